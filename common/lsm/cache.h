/* The RAM block cache: unpacked, checked blocks and decoded table metadata, of all tables, within
 * one bound of bytes. Replacement is S3-FIFO (Yang et al., "FIFO queues are all you need for cache
 * eviction", SOSP 2023): new blocks enter a small queue, those that were used again move to the
 * main one, what was thrown out unused leaves a fingerprint that lets it enter the main queue when
 * it comes back. Metadata, heads and partitions of tables, has a queue of its own and goes only
 * when it fills more than half, or nothing else can go. Private to the room; loop thread only, but
 * for the _new functions. */
#ifndef FIRN_LSM_CACHE_H
#define FIRN_LSM_CACHE_H

#include "base/list.h"
#include "format/table.h"
#include "obs/budget.h"

struct firn_cache;

enum firn_cache_kind { FIRN_CACHE_BLOCK, FIRN_CACHE_HEAD, FIRN_CACHE_PART };

struct firn_cache_entry {
    struct firn_cache_entry *hnext;
    struct firn_list link;     /* in its queue */
    uint64_t table_id, offset; /* its name: where it lies as stored */
    uint64_t read_id;          /* the read that pinned it last */
    size_t bytes;              /* of this entry with all it holds */
    uint32_t refs;             /* > 0: pinned, is not evicted */
    uint8_t freq, queue;       /* private */
    uint8_t kind;              /* enum firn_cache_kind */
    union {                    /* metadata: owned */
        struct firn_table_head *head;
        struct firn_table_part *part;
    };
    struct firn_cache_entry **holder; /* metadata: set to NULL when the entry leaves the cache */
    struct firn_block block;          /* block: opened over raw */
    size_t raw_len;
    uint8_t raw[];
};

struct firn_cache_stats {
    uint64_t bytes, pinned_bytes, entries, evictions;
};

/* bytes: the bound of everything, the cache's own tables included. LIMIT: memory. */
enum firn_status firn_cache_create(uint64_t bytes, struct firn_cache **out) FIRN_MUST_USE;
/* Nothing may be pinned. NULL-safe. */
void firn_cache_free(struct firn_cache *c);
const struct firn_cache_stats *firn_cache_stats_of(const struct firn_cache *c);
uint64_t firn_cache_limit(const struct firn_cache *c);
/* From now on the bound is what the budget leaves to the cache, and what it holds is told to the
 * budget; both until free. */
void firn_cache_set_budget(struct firn_cache *c, struct firn_budget *b);
/* Let go of what may go until the bound holds. */
void firn_cache_shrink(struct firn_cache *c);

/* A new entry outside any cache, with one reference: a block with raw_len bytes of room in raw (the
 * caller fills raw and block), or a head or partition, which it owns from then on. NULL when memory
 * is short. Any thread. */
struct firn_cache_entry *firn_cache_new_block(uint64_t table_id, uint64_t offset, size_t raw_len);
struct firn_cache_entry *firn_cache_new_head(uint64_t offset, struct firn_table_head *head);
struct firn_cache_entry *firn_cache_new_part(uint64_t offset, struct firn_table_part *part);
/* Free an entry that was never inserted. NULL-safe. */
void firn_cache_discard(struct firn_cache_entry *e);

/* Take a new entry in; nothing of this name may be there. Its one reference stays the caller's.
 * Others go until the bound holds, or only pinned ones are left. Never fails: where the cache's own
 * tables cannot grow, chains do. */
void firn_cache_insert(struct firn_cache *c, struct firn_cache_entry *e);
/* The entry of this name, or NULL. Counts as no use. */
struct firn_cache_entry *firn_cache_find(const struct firn_cache *c, uint64_t table_id,
                                         uint64_t offset);
/* Ask the CPU's cache for what a find will touch: first where it begins, then, when that has come,
 * the entry that lies there. */
void firn_cache_prefetch(const struct firn_cache *c, uint64_t table_id, uint64_t offset);
void firn_cache_prefetch_entry(const struct firn_cache *c, uint64_t table_id, uint64_t offset);
/* Say that an entry was used. */
static inline void firn_cache_touch(struct firn_cache_entry *e)
{
    if (e->freq < 3)
        e->freq++;
}
void firn_cache_ref(struct firn_cache *c, struct firn_cache_entry *e);
void firn_cache_unref(struct firn_cache *c, struct firn_cache_entry *e);
/* Take an entry out; whoever has it pinned keeps it until unref. */
void firn_cache_drop(struct firn_cache *c, struct firn_cache_entry *e);

#endif
