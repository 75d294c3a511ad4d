/* 128-bit identities: database ids, nonces, process nonces. Random, compared for equality only. */
#ifndef FIRN_FORMAT_ID_H
#define FIRN_FORMAT_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FIRN_ID_BYTES 16
#define FIRN_ID_HEX 32 /* characters of an id in hex, without NUL */

struct firn_id {
    uint8_t byte[FIRN_ID_BYTES];
};

static inline bool firn_id_eq(const struct firn_id *a, const struct firn_id *b)
{
    return memcmp(a->byte, b->byte, FIRN_ID_BYTES) == 0;
}

/* All bytes zero: no id (a random one never is). */
static inline bool firn_id_none(const struct firn_id *a)
{
    static const struct firn_id zero;
    return firn_id_eq(a, &zero);
}

/* `<db>` of the object names: the first 4 bytes of a database id, printed as 8 hex digits. */
static inline uint32_t firn_id_short(const struct firn_id *a)
{
    return (uint32_t)a->byte[0] << 24 | (uint32_t)a->byte[1] << 16 | (uint32_t)a->byte[2] << 8 |
           (uint32_t)a->byte[3];
}

/* Lower-case hex with a NUL. */
static inline void firn_id_hex(const struct firn_id *a, char out[FIRN_ID_HEX + 1])
{
    static const char digit[] = "0123456789abcdef";
    for (int i = 0; i < FIRN_ID_BYTES; i++) {
        out[2 * i] = digit[a->byte[i] >> 4];
        out[2 * i + 1] = digit[a->byte[i] & 15];
    }
    out[FIRN_ID_HEX] = '\0';
}

#endif
