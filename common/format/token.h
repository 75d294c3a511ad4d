/* Tokens: a place in the history of a database, as clients carry it (KV.TOKEN, ATLEAST). Text of at
 * most FIRN_TOKEN_MAX - 1 URL-safe characters: base64url (RFC 4648, no padding) of
 *
 *   1  version, 1
 *   4  first 4 bytes of the database id
 *   v  epoch, slot, seqno: LEB128 each
 *   4  checksum: low 32 bits of XXH3-64 of all that, little-endian
 */
#ifndef FIRN_FORMAT_TOKEN_H
#define FIRN_FORMAT_TOKEN_H

#include "base/slice.h"
#include "format/place.h"

#define FIRN_TOKEN_MAX 56 /* room for the text and its NUL */

/* The state that holds everything up to and including seqno, whose slot is `place`. A node has it
 * once it has consumed that slot. */
struct firn_token {
    uint32_t db; /* firn_id_short */
    struct firn_place place;
    uint64_t seqno;
};

/* Write the text and its NUL; returns its length. */
size_t firn_token_format(const struct firn_token *t, char out[FIRN_TOKEN_MAX]);

/* INVALID for any text that firn_token_format does not give. */
enum firn_status firn_token_parse(struct firn_slice text, struct firn_token *out) FIRN_MUST_USE;

#endif
