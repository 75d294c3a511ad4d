/* Inside of iterators over a view. An iterator merges sources, each of which gives its entries in
 * order; rank says which is newer (I8), 0 newest. A source that misses something is PENDING: it
 * knows where it wants to be and is resolved again when the caller has fetched. */
#ifndef FIRN_LSM_ITER_PRIV_H
#define FIRN_LSM_ITER_PRIV_H

#include "lsm/view_priv.h"

struct firn_iter;

enum firn_source_state {
    FIRN_SOURCE_AT,      /* stands at `e`, is in the heap */
    FIRN_SOURCE_PENDING, /* is to move: see todo */
    FIRN_SOURCE_DONE,
};

enum firn_source_todo {
    FIRN_SOURCE_SEEK, /* to the first key ≥ seek (reverse: the last < seek; empty = from the end) */
    FIRN_SOURCE_EDGE, /* to the first (reverse: last) entry of block `block` of part_at */
    FIRN_SOURCE_STEP, /* to the next key */
};

/* A memtable, or tables that follow each other in key order (a run, or one table of L0). */
struct firn_source {
    struct firn_iter *it;
    unsigned rank;
    enum firn_source_state state;
    enum firn_source_todo todo;
    struct firn_buf seek; /* owned */
    struct firn_entry e;
    /* of a memtable */
    bool memtable;
    struct firn_memtable_iter mi;
    /* of tables */
    const struct firn_view_table *table;
    size_t ntables, at;            /* at ≥ ntables: behind the end (reverse: SIZE_MAX) */
    uint32_t part_at;              /* current partition of the current table's metadata */
    struct firn_cache_entry *part; /* that one, pinned; NULL = not there yet */
    struct firn_cache_entry *data; /* current block, pinned */
    uint32_t block;                /* of the partition; UINT32_MAX = its last, before it is there */
    bool check;                    /* the current block reaches out of the bounds */
    struct firn_block_iter bi;
    uint32_t ahead; /* blocks to read ahead */
};

/* Who may have range tombstones. */
struct firn_tomb_source {
    unsigned rank;
    struct firn_memtable *memtable; /* or */
    const struct firn_view_table *table;
};

struct firn_iter {
    struct firn_view *view; /* referenced */
    struct firn_read *r;
    struct firn_slice start, end; /* owned bytes, in `bounds` */
    uint8_t *bounds;
    bool reverse;
    uint64_t max_seqno, now_ms;
    uint64_t ahead_bytes;       /* bound of one source's read-ahead */
    uint32_t ahead;             /* where it begins */
    struct firn_source *source; /* memtables, L0, then the runs of the current partition */
    size_t nfixed, nsources;
    size_t part;               /* current partition, where the view has any */
    struct firn_source **heap; /* sources AT, the next entry first */
    size_t nheap;
    struct firn_tomb_source *tomb; /* those of the fixed sources first */
    size_t nfixed_tombs, ntombs, tombs_cap;
    bool emitted; /* the top of the heap was handed out, or is not to be */
};

/* Get a PENDING source to where it wants to be: OK: it is AT or DONE; AGAIN: noted; LIMIT. */
enum firn_status firn_source__resolve(struct firn_source *s) FIRN_MUST_USE;
/* Begin with n tables (memtable: s->mi is set), at the iterator's bound. */
enum firn_status firn_source__open(struct firn_source *s, const struct firn_view_table *table,
                                   size_t n) FIRN_MUST_USE;
/* Make it PENDING for a seek; key is copied. LIMIT: memory, nothing changed. */
enum firn_status firn_source__seek(struct firn_source *s, struct firn_slice key) FIRN_MUST_USE;
/* Give back pins and memory; it may be opened again. */
void firn_source__close(struct firn_source *s);

/* The range tombstone with the highest seqno ≤ max_seqno that t has over key, cut to the range that
 * counts: OK and *out (borrowed until a fetch or unpinning); ABSENT; AGAIN: noted (with note), else
 * ABSENT then; LIMIT. */
enum firn_status firn_iter__tomb(struct firn_iter *it, const struct firn_tomb_source *t,
                                 struct firn_slice key, bool note,
                                 struct firn_range_tomb *out) FIRN_MUST_USE;

#endif
