/* What memtables, tables and merges pass around: one version of a key, and a deleted range. */
#ifndef FIRN_FORMAT_ENTRY_H
#define FIRN_FORMAT_ENTRY_H

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

#endif
