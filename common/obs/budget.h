/* The memory budget of a node: one bound, `memory`, divided into parts. Each part has a share,
 * which its owner keeps to (how is said with each), a counter of what it holds now, and its peak.
 * The shares add up to the bound. The block cache alone may pass its share: it takes what the
 * others leave, and gives it back at once when they want it, down to its share. So the sum stays
 * within the bound as long as every owner keeps to its share. Loop thread only; functions accept
 * NULL for a budget and then do nothing. */
#ifndef FIRN_OBS_BUDGET_H
#define FIRN_OBS_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum firn_budget_part {
    FIRN_BUDGET_CACHE,     /* blocks and metadata that may go: takes what is left */
    FIRN_BUDGET_PINNED,    /* those that reads hold: above the share, fetches go one by one */
    FIRN_BUDGET_FETCHES,   /* blocks on their way: the others queue */
    FIRN_BUDGET_MEMTABLES, /* above the share, the writer takes no writes, the reader no slots */
    FIRN_BUDGET_BATCHES,   /* the open batch, those in flight, slots read ahead: as memtables */
    FIRN_BUDGET_TABLES,    /* tables being built, merged, uploaded: one after the other */
    FIRN_BUDGET_CLIENTS,   /* buffers of connections: above the share, the largest are closed */
    FIRN_BUDGET_SNAPSHOTS, /* what only snapshots hold: above the share, the oldest ends */
    /* subscriptions, keys that clients cache, cursors, what expires next: each has its bound in it
     */
    FIRN_BUDGET_REMEMBERED,
    FIRN_BUDGET_PARTS,
};

struct firn_budget {
    uint64_t total;         /* the bound */
    uint64_t sum, sum_peak; /* of all parts */
    struct {
        uint64_t share, used, peak;
    } part[FIRN_BUDGET_PARTS];
    /* The cache's: the sum is above the bound, let go of what may go. Called inside
     * firn_budget_set, so that whoever reads memory there must have pinned it. */
    void (*reclaim)(void *arg);
    void *reclaim_arg;
};

/* What a part must have, and by which weight it takes part in what is left over. */
struct firn_budget_need {
    uint64_t least;
    unsigned weight;
};

/* No shares yet, nothing used. */
void firn_budget_init(struct firn_budget *b, uint64_t total);
/* The least bound that these needs allow. */
uint64_t firn_budget_least(const struct firn_budget_need need[FIRN_BUDGET_PARTS]);
/* Set the shares: each part's least, and its part of the rest. The bound is at least
 * firn_budget_least. At least one weight is not 0. */
void firn_budget_divide(struct firn_budget *b,
                        const struct firn_budget_need need[FIRN_BUDGET_PARTS]);

/* The part, not the cache's, now holds so much. O(1), but for what the cache must let go of. */
void firn_budget_set(struct firn_budget *b, enum firn_budget_part part, uint64_t used);
/* The cache holds so much that may go, and so much that is pinned. */
void firn_budget_set_cache(struct firn_budget *b, uint64_t cache, uint64_t pinned);
/* What the cache and what it has pinned may hold together now: all that the others leave. */
uint64_t firn_budget_cache_room(const struct firn_budget *b);

/* Does the part hold its share, or more? A NULL budget is never full. */
static inline bool firn_budget_full(const struct firn_budget *b, enum firn_budget_part part)
{
    return b && b->part[part].used >= b->part[part].share;
}
/* The lesser of a limit and one n-th of a part's share. */
static inline uint64_t firn_budget_cap(const struct firn_budget *b, enum firn_budget_part part,
                                       unsigned nth, uint64_t limit)
{
    return b && b->part[part].share / nth < limit ? b->part[part].share / nth : limit;
}

/* "cache", "pinned" …: as INFO and the metrics name it. */
const char *firn_budget_part_name(enum firn_budget_part part);
struct firn_metrics_out;
/* Report memory_bytes, memory_share_bytes, memory_peak_bytes by part, and the bound. */
void firn_budget_collect(struct firn_metrics_out *out, const struct firn_budget *b);

#endif
