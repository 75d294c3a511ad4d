/* Range tombstones as sorted lists of fragments that do not overlap: fragment i ends at or before
 * the start of fragment i + 1; only the last may be unbounded. Tables hold no history, so a
 * fragment keeps the newest seqno that covers it. */
#ifndef FIRN_FORMAT_TOMBS_H
#define FIRN_FORMAT_TOMBS_H

#include "base/arena.h"
#include "format/entry.h"

/* Is `key` before the exclusive bound `end` (empty = unbounded)? */
static inline bool firn_before_end(struct firn_slice key, struct firn_slice end)
{
    return end.len == 0 || firn_slice_cmp(key, end) < 0;
}

/* The first of n fragments that ends behind `key` (n if none does): the one that covers it, if it
 * also starts at or before it. O(log n). */
size_t firn_tombs_find(const struct firn_range_tomb *t, size_t n, struct firn_slice key);

/* The seqno of the fragment that covers `key`, 0 if none does. O(log n). */
uint64_t firn_tombs_covering(const struct firn_range_tomb *t, size_t n, struct firn_slice key);

/* Turn any n ranges (overlapping, in any order; empty ones are ignored) into fragments, each with
 * the highest seqno over it; neighbours of equal seqno that touch are joined. *out is allocated in
 * `a` and borrows the bounds of `in`. LIMIT: memory. O(n log n) plus, where many overlap, O(n *
 * depth). */
enum firn_status firn_tombs_fragment(const struct firn_range_tomb *in, size_t n,
                                     struct firn_arena *a, struct firn_range_tomb **out,
                                     size_t *nout) FIRN_MUST_USE;

#endif
