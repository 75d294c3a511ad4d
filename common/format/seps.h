/* Separators of a sorted row of things, the blocks of a partition or the partitions of a table: the
 * keys of item i are ≥ separator i and < separator i + 1. Separator 0 is empty, the others ascend.
 * They are searched by an array of their next 8 bytes behind what all but the first share. */
#ifndef FIRN_FORMAT_SEPS_H
#define FIRN_FORMAT_SEPS_H

#include "base/slice.h"

/* Plain data that points into room of its maker. Immutable once made. */
struct firn_seps {
    uint32_t count;         /* items */
    uint32_t common;        /* bytes that all separators but the first share */
    const uint64_t *prefix; /* per item the 8 bytes behind common, first byte highest */
    const uint32_t *at;     /* count + 1 places in bytes: item i has [at[i], at[i + 1]) */
    const uint8_t *bytes;
};

/* Room that `count` items with `len` bytes of separators take; to be aligned to 8. */
size_t firn_seps_room(size_t count, size_t len);

/* Making one in room: begin, push every item's separator, end. */
struct firn_seps_maker {
    uint64_t *prefix;
    uint32_t *at;
    uint8_t *bytes;
    uint32_t count, pushed;
};
void firn_seps_begin(struct firn_seps_maker *m, void *room, uint32_t count);
/* Add the next separator (copied). False: it is not above the one before, or the first is not
 * empty. No more than count are pushed (asserted), with no more bytes than there is room for (the
 * caller's sums). */
bool firn_seps_push(struct firn_seps_maker *m, struct firn_slice sep) FIRN_MUST_USE;
/* All were pushed (asserted). */
struct firn_seps firn_seps_end(const struct firn_seps_maker *m);

static inline struct firn_slice firn_seps_get(const struct firn_seps *s, uint32_t i)
{
    return firn_slice_of(s->bytes + s->at[i], s->at[i + 1] - s->at[i]);
}

/* Are the separators of both the same? O(bytes). */
bool firn_seps_same(const struct firn_seps *a, const struct firn_seps *b);

/* The one item that may hold `key`: the last whose separator is ≤ key. There is at least one item
 * (asserted). O(log count), branch-free on prefixes. */
uint32_t firn_seps_find(const struct firn_seps *s, struct firn_slice key);

#endif
