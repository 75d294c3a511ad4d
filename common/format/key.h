/* Internal keys: one namespace byte and the user's key, ordered by memcmp, shorter first
 * (firn_slice_cmp). Bounds are half-open: lower inclusive, upper exclusive. */
#ifndef FIRN_FORMAT_KEY_H
#define FIRN_FORMAT_KEY_H

#include "base/bytes.h"
#include "base/slice.h"

#define FIRN_NS_INTERNAL 0x00 /* the database's own: de-duplication of requests */
#define FIRN_NS_EXPIRY 0x01   /* the expiry index */
#define FIRN_NS_DB0 0x10      /* databases 0..15: 0x10..0x1f */
#define FIRN_NS_DB_END 0x20   /* behind the last one; the least byte above every key */
#define FIRN_DATABASES 16

#define FIRN_USER_KEY_MAX 65535
#define FIRN_DATA_KEY_MAX (FIRN_USER_KEY_MAX + 1) /* of an internal key that a record carries */
#define FIRN_EXPIRY_KEY_HEAD 9 /* what an index key has before the key: namespace, time */
#define FIRN_KEY_MAX (FIRN_EXPIRY_KEY_HEAD + FIRN_DATA_KEY_MAX) /* of any internal key */
#define FIRN_BOUND_MAX 64                                       /* of a bound in the manifest */

/* A well-formed key of a record: 1..FIRN_DATA_KEY_MAX bytes of a namespace whose keys are logged.
 * The expiry index is derived from those and never is. */
static inline bool firn_key_valid(struct firn_slice key)
{
    return key.len >= 1 && key.len <= FIRN_DATA_KEY_MAX &&
           (key.data[0] == FIRN_NS_INTERNAL ||
            (key.data[0] >= FIRN_NS_DB0 && key.data[0] < FIRN_NS_DB_END));
}

/* An exclusive upper bound: a well-formed key or the single byte FIRN_NS_DB_END, at most
 * FIRN_KEY_MAX + 1 bytes (the immediate successor of the longest key is that key and a 0 byte). */
static inline bool firn_key_end_valid(struct firn_slice end)
{
    return end.len >= 1 && end.len <= FIRN_KEY_MAX + 1 &&
           (end.data[0] < FIRN_NS_DB_END || (end.len == 1 && end.data[0] == FIRN_NS_DB_END));
}

/* Database 0..15 of a key in 0x10..0x1f, else -1. */
static inline int firn_key_db(struct firn_slice key)
{
    return key.len && key.data[0] >= FIRN_NS_DB0 && key.data[0] < FIRN_NS_DB_END
               ? key.data[0] - FIRN_NS_DB0
               : -1;
}

/* --- the expiry index: of every value of a database that expires, while expired events are asked
 * for, an entry of kind PUT, without a value, that expires then itself:
 *
 *   0  1  FIRN_NS_EXPIRY
 *   1  8  ms since 1970, big-endian, so that the index is in order of time
 *   9  .. the internal key, 1..FIRN_DATA_KEY_MAX bytes */

/* Write the index key of a well-formed `key` of a database, which expires at `at_ms`. */
struct firn_slice firn_expiry_key(uint64_t at_ms, struct firn_slice key, uint8_t out[FIRN_KEY_MAX]);
/* A well-formed key of the index. */
bool firn_expiry_key_valid(struct firn_slice key);
static inline bool firn_key_is_expiry(struct firn_slice key)
{
    return key.len && key.data[0] == FIRN_NS_EXPIRY;
}
/* The parts of a well-formed one. The key is borrowed. */
static inline uint64_t firn_expiry_key_ms(struct firn_slice key)
{
    return firn_be64(key.data + 1);
}
static inline struct firn_slice firn_expiry_key_of(struct firn_slice key)
{
    return firn_slice_of(key.data + FIRN_EXPIRY_KEY_HEAD, key.len - FIRN_EXPIRY_KEY_HEAD);
}

/* The user's part of an internal key of at least one byte. Borrows. */
static inline struct firn_slice firn_key_user(struct firn_slice key)
{
    return firn_slice_of(key.data + 1, key.len - 1);
}

/* An inclusive lower bound for `key`: its first FIRN_BOUND_MAX bytes. Borrows. */
static inline struct firn_slice firn_bound_lower(struct firn_slice key)
{
    return firn_slice_of(key.data, key.len < FIRN_BOUND_MAX ? key.len : FIRN_BOUND_MAX);
}

/* Write an exclusive upper bound for the well-formed `key` (if `inclusive` is false: for the
 * exclusive bound `key`) to `out`; returns its length, 1..FIRN_BOUND_MAX. Keys that fit are bounded
 * exactly, longer ones by the least string of at most FIRN_BOUND_MAX bytes above them. */
size_t firn_bound_upper(struct firn_slice key, bool inclusive, uint8_t out[FIRN_BOUND_MAX]);

#endif
