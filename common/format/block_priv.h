/* What building and reading of blocks share. */
#ifndef FIRN_FORMAT_BLOCK_PRIV_H
#define FIRN_FORMAT_BLOCK_PRIV_H

#include "base/bytes.h"
#include "format/block.h"

#define BUCKET_NONE 255
#define BUCKET_SEVERAL 254
#define BUCKET_RESTARTS_MAX 254 /* restarts a bucket can name */

/* A varint in bytes that are known to be well-formed. */
static inline const uint8_t *firn_block__varint(const uint8_t *p, uint64_t *out)
{
    uint64_t v = *p++;
    if (v >= 0x80) {
        v &= 0x7f;
        unsigned shift = 7;
        uint8_t c;
        do {
            c = *p++;
            v |= (uint64_t)(c & 0x7f) << shift;
            shift += 7;
        } while (c >= 0x80);
    }
    *out = v;
    return p;
}

/* The head of an entry in well-formed bytes. */
struct firn_block__head {
    const uint8_t *key; /* the `rest` bytes of the key; the value lies behind them */
    uint64_t value_len, seqno_delta, expiry_ms;
    size_t shared, rest;
    uint8_t kind;
};

static inline struct firn_block__head firn_block__head(const uint8_t *p)
{
    struct firn_block__head h = {.kind = *p++};
    uint64_t v;
    p = firn_block__varint(p, &v);
    h.shared = (size_t)v;
    p = firn_block__varint(p, &v);
    h.rest = (size_t)v;
    p = firn_block__varint(p, &v);
    h.value_len = v >> 1;
    p = firn_block__varint(p, &h.seqno_delta);
    if (v & 1) {
        h.expiry_ms = firn_le64(p);
        p += 8;
    }
    h.key = p;
    return h;
}

#endif
