/* Unaligned loads and stores, little- and big-endian, and LEB128 varints. */
#ifndef FIRN_BASE_BYTES_H
#define FIRN_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "firn needs a little-endian machine"
#endif

static inline uint16_t firn_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t firn_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t firn_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t firn_be64(const void *p)
{
    return __builtin_bswap64(firn_le64(p));
}
static inline void firn_put_le16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void firn_put_le32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void firn_put_le64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void firn_put_be64(void *p, uint64_t v)
{
    firn_put_le64(p, __builtin_bswap64(v));
}

/* LEB128, low group first (as protobuf's varint). At most 10 bytes for 64 bits. */
#define FIRN_VARINT_MAX 10

static inline size_t firn_varint_len(uint64_t v)
{
    size_t n = 1;
    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

/* Write v at p, which has FIRN_VARINT_MAX bytes of room; returns the bytes written. */
static inline size_t firn_varint_put(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

/* Read a varint from [p, end). Returns the byte behind it, or NULL when it is cut off, longer than
 * ten bytes, or does not fit 64 bits. */
static inline const uint8_t *firn_varint_get(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; p < end && shift < 70; shift += 7) {
        uint8_t c = *p++;
        if (shift == 63 && c > 1)
            return NULL;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            *out = v;
            return p;
        }
    }
    return NULL;
}

#endif
