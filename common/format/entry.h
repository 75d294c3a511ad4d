/* What memtables, tables and merges pass around: one version of a key, and a deleted range. */
#ifndef FIRN_FORMAT_ENTRY_H
#define FIRN_FORMAT_ENTRY_H

#include "base/bytes.h"
#include "base/slice.h"
#include "format/record.h"

/* One version of one key. The slices are borrowed; whoever hands the entry out says for how long.
 */
struct firn_entry {
    struct firn_slice key; /* internal key: namespace byte + user key (key.h) */
    struct firn_slice value;
    uint64_t seqno;
    uint64_t expiry_ms; /* wall time at which it expires; 0 = never */
    uint8_t kind;       /* enum firn_record_kind: PUT, DEDUP, DEL, EXPIRED (never RANGEDEL) */
};

/* A kind that says "this key is gone". */
static inline bool firn_kind_deletes(uint8_t kind)
{
    return kind == FIRN_RECORD_DEL || kind == FIRN_RECORD_EXPIRED;
}

/* A range tombstone: every version in [start, end) older than seqno is deleted. Empty end =
 * unbounded. */
struct firn_range_tomb {
    struct firn_slice start, end;
    uint64_t seqno;
};

/* Length of the prefix that the first max bytes of a and b share. */
static inline size_t firn_shared_len(const uint8_t *a, const uint8_t *b, size_t max)
{
    size_t i = 0;
    for (; i + 8 <= max; i += 8) {
        uint64_t x = firn_le64(a + i) ^ firn_le64(b + i);
        if (x)
            return i + (size_t)__builtin_ctzll(x) / 8;
    }
    while (i < max && a[i] == b[i])
        i++;
    return i;
}

/* Are n bytes the same? For few of them, without a call. */
static inline bool firn_same_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        if (firn_le64(a + i) != firn_le64(b + i))
            return false;
    if (n >= 8)
        return firn_le64(a + n - 8) == firn_le64(b + n - 8);
    while (i < n && a[i] == b[i])
        i++;
    return i == n;
}

/* The 8 bytes of `key` behind its first `skip`, first byte highest, zeros behind its end. */
static inline uint64_t firn_key_prefix(struct firn_slice key, size_t skip)
{
    if (key.len >= skip + 8)
        return firn_be64(key.data + skip);
    if (key.len <= skip)
        return 0;
    size_t n = key.len - skip;
    if (key.len >= 8) /* its last 8 bytes, less those before skip */
        return firn_be64(key.data + key.len - 8) << (64 - 8 * n);
    uint64_t p = 0;
    for (size_t i = 0; i < n; i++)
        p |= (uint64_t)key.data[skip + i] << (56 - 8 * i);
    return p;
}

#endif
