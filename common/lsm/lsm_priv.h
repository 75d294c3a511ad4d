/* What the files of the lsm room share among themselves: the node-wide state, table handles, and
 * the inside of reads. Loop thread only. */
#ifndef FIRN_LSM_LSM_PRIV_H
#define FIRN_LSM_LSM_PRIV_H

#include "lsm/cache.h"
#include "lsm/lsm.h"

#define FIRN_COALESCE_MAX ((uint64_t)1 << 20) /* bytes of one GET of adjacent blocks */
#define FIRN_INFLIGHT_BUCKETS 256u

struct firn_fetch_item;

struct firn_lsm {
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_lsm_options options;
    struct firn_cache *cache;
    struct firn_lsm_stats stats;
    struct firn_codec_ctx codec;
    uint64_t next_read_id;
    /* table handles by id */
    struct firn_table_handle **handle;
    size_t nhandles, handle_buckets;
    /* fetches (fetch.c) */
    struct firn_list queued;
    size_t nactive; /* sent, or being unpacked */
    uint64_t active_bytes;
    struct firn_fetch_item *inflight[FIRN_INFLIGHT_BUCKETS];
    struct firn_list ready; /* reads whose done() is due */
    struct firn_defer ready_defer;
};

/* What one walk may fetch ahead: nothing once reads have pinned half of their share. */
static inline uint64_t firn_lsm__readahead(const struct firn_lsm *l)
{
    const struct firn_budget *b = l->options.budget;
    bool tight = b && b->part[FIRN_BUDGET_PINNED].used >= b->part[FIRN_BUDGET_PINNED].share / 2;
    return tight ? 0 : l->options.readahead_bytes;
}

/* --- table handles (table_handle.c): one per object, shared by every reference to it */
struct firn_table_handle {
    struct firn_lsm *lsm;
    struct firn_table_handle *hnext;
    unsigned refs;
    struct firn_table_loc loc;
    struct firn_table_parts parts;
    char name[FIRN_NAME_MAX];
    uint64_t entries, tombstones, range_tombstones, max_seqno;
    /* NULL while they are not resident; the cache clears them */
    struct firn_cache_entry *head;
    struct firn_cache_entry *part[]; /* parts.sep.count of them */
};

/* Partition of the table that may have key; only if it has any. */
static inline uint32_t firn_handle_find(const struct firn_table_handle *h, struct firn_slice key)
{
    return firn_seps_find(&h->parts.sep, key);
}

/* The handle for the object that t refers to, of database `db`; the caller gets a reference.
 * CORRUPT: t makes no sense, or contradicts another reference to the same table; LIMIT: memory. */
enum firn_status firn_handle_get(struct firn_lsm *l, uint32_t db, const Firn__Table *t,
                                 struct firn_table_handle **out,
                                 struct firn_err *err) FIRN_MUST_USE;
void firn_handle_ref(struct firn_table_handle *h);
/* NULL-safe. With the last reference the metadata leaves the cache. */
void firn_handle_unref(struct firn_table_handle *h);

/* The table's head, or partition i of its metadata: OK and *out, valid until the next call that may
 * evict (a fetch's end, unpinning); AGAIN: noted in r; LIMIT: memory. */
enum firn_status firn_handle_head(struct firn_table_handle *h, struct firn_read *r,
                                  const struct firn_table_head **out) FIRN_MUST_USE;
enum firn_status firn_handle_part(struct firn_table_handle *h, uint32_t i, struct firn_read *r,
                                  const struct firn_table_part **out) FIRN_MUST_USE;
/* Note partition i, or a block of the table, as missing, if it is; AGAIN then. For reading ahead:
 * counts as neither hit nor miss. */
enum firn_status firn_handle_want_part(struct firn_table_handle *h, uint32_t i,
                                       struct firn_read *r) FIRN_MUST_USE;
enum firn_status firn_handle_want_block(struct firn_table_handle *h,
                                        const struct firn_table_block *b,
                                        struct firn_read *r) FIRN_MUST_USE;
/* Block number i of partition p of the table: OK and *out (not pinned; counted as used, unless this
 * read has it pinned already); AGAIN: noted in r; LIMIT. */
enum firn_status firn_handle_block(struct firn_table_handle *h, const struct firn_table_part *p,
                                   uint32_t i, struct firn_read *r,
                                   struct firn_cache_entry **out) FIRN_MUST_USE;

/* --- reads (read.c) */

/* What is fetched, verified and cached as one. */
struct firn_piece {
    uint64_t offset; /* of the table: its name */
    uint64_t stored_len;
    uint32_t raw_len; /* block: unpacked */
    uint32_t part;    /* partition: which one */
    enum firn_cache_kind kind;
};

/* Something a read misses. */
struct firn_read_want {
    struct firn_list link; /* among the waiters of an item while fetching */
    struct firn_read *r;
    struct firn_table_handle *table; /* referenced */
    struct firn_fetch_item *item;    /* while fetching */
    struct firn_piece piece;
};

/* Note a piece of a table as missing; once is enough. LIMIT: memory. */
enum firn_status firn_read__note(struct firn_read *r, struct firn_table_handle *h,
                                 const struct firn_piece *piece) FIRN_MUST_USE;
/* Pin an entry until firn_read_clear, unless this read has it already. LIMIT: memory. */
enum firn_status firn_read__pin(struct firn_read *r, struct firn_cache_entry *e) FIRN_MUST_USE;
/* Drop the pins of what lies in [from, to) of table `table_id`. */
void firn_read__unpin(struct firn_read *r, uint64_t table_id, uint64_t from, uint64_t to);
/* Something of what is fetched has come (e; NULL: it failed with st and err). */
void firn_read__arrived(struct firn_read_want *w, struct firn_cache_entry *e, enum firn_status st,
                        const struct firn_err *err);
/* Note a GET that this read waits for. */
void firn_read__step(struct firn_read *r, const struct firn_table_handle *h, uint64_t offset,
                     uint64_t length, bool meta);

/* --- fetches (fetch.c) */

/* Have everything in r->want[0..nwants) come: what is in the cache is pinned at once; for the rest,
 * which r->outstanding counts, firn_read__arrived will be called. LIMIT: memory; wants may be
 * waiting. */
enum firn_status firn_fetch__start(struct firn_read *r) FIRN_MUST_USE;
/* w waits no longer. A fetch that nobody waits for is given up. */
void firn_fetch__leave(struct firn_read_want *w);

#endif
