/* A view: an immutable set of memtables and tables that reads use (I8: memtables > L0 newest to
 * oldest > runs newest to oldest), and iterators over it. Reference-counted; loop thread only. */
#ifndef FIRN_LSM_VIEW_H
#define FIRN_LSM_VIEW_H

#include "lsm/lsm.h"
#include "lsm/memtable.h"
#include "manifest/manifest.h"

struct firn_table_part;
struct firn_view;

/* Build from a loaded manifest (NULL: no tables) and memtables, newest first, which the view
 * references. Table handles are shared with the other views of this lsm (same table id = same
 * handle). The caller guarantees I8's rule on memory: only slots from the manifest's floor on, or
 * all from a place ≤ floor without gap. FIRN_LIMIT (memory) or CORRUPT (the manifest's table
 * entries make no sense). */
enum firn_status firn_view_create(struct firn_lsm *lsm, struct firn_manifest *manifest,
                                  struct firn_memtable *const *memtables, size_t nmemtables,
                                  struct firn_view **out, struct firn_err *err) FIRN_MUST_USE;
/* A view of `top` over everything of `base`, which it references like top: what is not in the log
 * yet over what is. Inserts into top show up in it. FIRN_LIMIT (memory). O(memtables). */
enum firn_status firn_view_overlay(struct firn_view *base, struct firn_memtable *top,
                                   struct firn_view **out) FIRN_MUST_USE;
/* The same, where the memtables hold every slot from `from` to their newest: L0 tables of slots
 * from there on are left out, for what they have is in memory. */
enum firn_status firn_view_create_above(struct firn_lsm *lsm, struct firn_manifest *manifest,
                                        struct firn_memtable *const *memtables, size_t nmemtables,
                                        struct firn_place from, struct firn_view **out,
                                        struct firn_err *err) FIRN_MUST_USE;
void firn_view_ref(struct firn_view *v);
void firn_view_unref(struct firn_view *v);                           /* NULL-safe */
struct firn_manifest *firn_view_manifest(const struct firn_view *v); /* borrowed; NULL = none */
size_t firn_view_memtables(const struct firn_view *v);
/* The i-th of them, newest first; borrowed. */
const struct firn_memtable *firn_view_memtable(const struct firn_view *v, size_t i);
size_t firn_view_l0_tables(const struct firn_view *v);
/* Have what firn_view_estimate knows of deleted ranges: OK; AGAIN: fetch r's misses, call again;
 * LIMIT: memory. One round trip where L0 has range tombstones that nobody has read yet. */
enum firn_status firn_view_tombs(const struct firn_view *v, struct firn_read *r) FIRN_MUST_USE;
/* Estimated number of live keys (table properties + memtables), for DBSIZE. Range tombstones of
 * tables count where they are resident. */
uint64_t firn_view_estimate(const struct firn_view *v, struct firn_slice start,
                            struct firn_slice end);

/* The newest version of key visible at max_seqno (UINT64_MAX = all), range tombstones applied.
 * FIRN_OK: *out is a PUT or DEDUP (it may have expired: the caller's clock decides); its slices
 * last until r is cleared, while the view is referenced. FIRN_ABSENT: never written or deleted.
 * FIRN_AGAIN: fetch r's misses, call again. FIRN_LIMIT: memory. What a memtable decides costs no
 * allocation; a cold read at most two round trips, one for the metadata of all tables that may have
 * the key, one for the blocks that their filters do not rule out. */
enum firn_status firn_view_get(struct firn_view *v, struct firn_read *r, struct firn_slice key,
                               uint64_t max_seqno, struct firn_entry *out);

/* A point read to come. */
#define FIRN_PROBE_TABLES_MAX 6 /* tables looked at, of those that may have the key */
struct firn_view_probe {
    struct firn_slice key; /* borrowed during the call */
    bool memory_only;      /* a write that reads nothing: only the active memtable is touched */
    /* private from here */
    bool found;
    uint8_t tables;
    uint64_t hash, table_id, offset;
    const struct firn_table_part *part[FIRN_PROBE_TABLES_MAX];
    struct firn_cache_entry *block;
};

/* Have the CPU's cache loaded with what gets of these keys will touch, all of them at once: in a
 * large database the time of a get is that of half a dozen accesses to memory one behind the other.
 * A hint: it changes nothing and asks the store for nothing. No allocation; costs about half the
 * instructions of the gets. */
void firn_view_prefetch(const struct firn_view *v, struct firn_view_probe *p, size_t n);

/* --- ordered reading of live keys */
struct firn_iter;

struct firn_iter_options {
    struct firn_slice start,
        end;            /* internal keys, end exclusive, empty end = unbounded; borrowed */
    bool reverse;       /* from the end downwards */
    bool keys_only;     /* values need not be set */
    uint64_t max_seqno; /* UINT64_MAX = all */
    uint64_t now_ms;    /* entries with 0 < expiry_ms ≤ now_ms are skipped; 0 = show all */
    uint32_t ahead;     /* blocks to read ahead at the first miss; it grows from there */
};

/* The iterator references the view and uses r for its blocks (it drops the pins of blocks it has
 * passed). FIRN_LIMIT: memory. */
enum firn_status firn_iter_create(struct firn_view *v, struct firn_read *r,
                                  const struct firn_iter_options *o,
                                  struct firn_iter **out) FIRN_MUST_USE;
/* The next live entry: OK; ABSENT at the end; AGAIN: fetch r's misses, call again (nothing is
 * skipped or repeated); LIMIT: memory, call again or give up. The entry is borrowed until the next
 * call. */
enum firn_status firn_iter_next(struct firn_iter *it, struct firn_entry *out);
void firn_iter_free(struct firn_iter *it); /* NULL-safe; leaves r to its owner */

#endif
