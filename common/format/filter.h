/* A table's filter: a Bloom filter whose probes for one key all fall into one 64-byte line (Putze,
 * Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters, 2007). One cache miss per
 * question. Keys enter by their hash, firn_xxh3 of the internal key, computed once per lookup.
 * False positives: about 1.0 % with 10 bits per key, 0.1 % with 16.
 *
 * Bytes, little-endian:
 *   0  1  kind: 1
 *   1  1  probes per key, 1..16
 *   2  2  zero
 *   4  4  lines, at least 1
 *   8     lines * 64 bytes; bit b of a line is bit b%8 of its byte b/8 */
#ifndef FIRN_FORMAT_FILTER_H
#define FIRN_FORMAT_FILTER_H

#include "base/slice.h"

#define FIRN_FILTER_HEADER_BYTES 8
#define FIRN_FILTER_LINE_BYTES 64

/* An opened filter; lines 0 = there is none, every key may be there. */
struct firn_filter {
    const uint8_t *line; /* borrowed; aligned to 64 bytes for speed only */
    uint32_t lines;
    uint32_t probes;
};

/* Append a filter over n hashes with about bits_per_key (1..64, asserted) bits each. LIMIT: out's
 * max or memory. O(n). */
enum firn_status firn_filter_build(const uint64_t *hash, size_t n, unsigned bits_per_key,
                                   struct firn_buf *out) FIRN_MUST_USE;

/* Open a filter over the bytes, which stay borrowed. CORRUPT: not a filter; INVALID: a kind of a
 * newer version. */
enum firn_status firn_filter_open(struct firn_slice bytes, struct firn_filter *out) FIRN_MUST_USE;

/* False: the key is certainly not there. */
bool firn_filter_may_have(const struct firn_filter *f, uint64_t hash);

/* Ask the processor for the line that may_have will look at. */
static inline void firn_filter_prefetch(const struct firn_filter *f, uint64_t hash)
{
    if (f->lines)
        __builtin_prefetch(f->line + FIRN_FILTER_LINE_BYTES * (((hash >> 32) * f->lines) >> 32));
}

#endif
