/* What building and reading of blocks share. */
#ifndef FIRN_FORMAT_BLOCK_PRIV_H
#define FIRN_FORMAT_BLOCK_PRIV_H

#include "base/bytes.h"
#include "format/block.h"

#define BUCKET_NONE 255
#define BUCKET_SEVERAL 254
#define BUCKET_RESTARTS_MAX 254 /* restarts a bucket can name */

/* The rest of a varint of several bytes, in bytes that are known to be well-formed. */
static inline const uint8_t *firn_block__varint_more(const uint8_t *p, uint64_t *v)
{
    *v &= 0x7f;
    for (unsigned shift = 7;; shift += 7) {
        uint8_t c = *p++;
        *v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80)
            return p;
    }
}

static inline __attribute__((always_inline)) const uint8_t *firn_block__varint(const uint8_t *p,
                                                                               uint64_t *out)
{
    *out = *p++;
    return __builtin_expect(*out < 0x80, 1) ? p : firn_block__varint_more(p, out);
}

/* The head of an entry in well-formed bytes. Inlined: it is all that a search does per entry. */
struct firn_block__head {
    const uint8_t *seqno; /* its bytes, then the expiry's if there is one */
    const uint8_t *key;   /* the `rest` bytes of the key; the value lies behind them */
    size_t value_len, shared, rest;
    uint8_t kind;
    bool expires;
};

static inline __attribute__((always_inline)) struct firn_block__head
firn_block__head(const uint8_t *p, size_t seqno_bytes)
{
    struct firn_block__head h = {.kind = *p++};
    uint64_t shared, rest, value;
    p = firn_block__varint(p, &shared);
    p = firn_block__varint(p, &rest);
    p = firn_block__varint(p, &value);
    h.shared = (size_t)shared;
    h.rest = (size_t)rest;
    h.value_len = (size_t)(value >> 1);
    h.expires = value & 1;
    h.seqno = p;
    h.key = p + seqno_bytes + 8 * (value & 1);
    return h;
}

#endif
