/* The memtable: every version of every key written since it was begun, in memory. One thread
 * inserts and reads (the loop); a frozen one may be read by any thread (a flush job), references
 * may be taken and dropped by any. MVCC: a read names the highest seqno it may see. Point reads go
 * through a hash index; ordered reads through an ordered index that may lag and is caught up before
 * a scan or freeze. */
#ifndef FIRN_LSM_MEMTABLE_H
#define FIRN_LSM_MEMTABLE_H

#include "format/entry.h"
#include "format/place.h"
#include "lsm/lsm.h"

struct firn_memtable;

#define FIRN_MEMTABLE_TOMBS_MAX 1024 /* fragments; then the memtable should be frozen */

enum firn_status firn_memtable_create(struct firn_memtable **out) FIRN_MUST_USE; /* one reference */
void firn_memtable_ref(struct firn_memtable *m);
void firn_memtable_unref(struct firn_memtable *m); /* NULL-safe; frees with the last one */

/* Does anybody but the caller hold a reference? Others may be letting go meanwhile. */
bool firn_memtable_shared(const struct firn_memtable *m);

/* Insert a version (key and value are copied). Seqnos only grow. FIRN_LIMIT when memory is short
 * (or key or value are 4 GiB and more), FIRN_INVALID when the seqno lies below the key's newest or
 * the kind is RANGEDEL: then nothing was inserted. O(1) for a key that is there; a new one costs
 * one more insert into the ordered index, done for up to 512 keys at a time. Iterators stay valid.
 */
enum firn_status firn_memtable_add(struct firn_memtable *m,
                                   const struct firn_entry *e) FIRN_MUST_USE;
/* Delete [start, end) as of seqno (end empty = unbounded; an empty range does nothing). LIMIT:
 * memory, nothing changed. INVALID: the seqno is below that of the newest range. O(fragments). */
enum firn_status firn_memtable_add_range(struct firn_memtable *m, struct firn_slice start,
                                         struct firn_slice end, uint64_t seqno) FIRN_MUST_USE;

/* The newest version with seqno ≤ max_seqno: FIRN_OK and *out; FIRN_ABSENT when there is none. In
 * both cases *covering is raised to the highest seqno ≤ max_seqno of a range tombstone over the key
 * (the caller compares: an entry older than the covering seqno is deleted). hash = firn_xxh3 of the
 * key. */
enum firn_status firn_memtable_get(const struct firn_memtable *m, struct firn_slice key,
                                   uint64_t hash, uint64_t max_seqno, struct firn_entry *out,
                                   uint64_t *covering);

/* Ask the CPU's cache for what a get of this hash will touch first: for batches of lookups. Then,
 * once that has come, for what it will touch next; false: no such key is here. */
void firn_memtable_prefetch(const struct firn_memtable *m, uint64_t hash);
bool firn_memtable_prefetch_key(const struct firn_memtable *m, uint64_t hash);
/* Promise, for the inserts to come: every read, now or later, that must see the state of before
 * them names a max_seqno in [low, high]; all others see them. So of the range tombstones over a key
 * only the newest one at or below low, the newest one, and those in between at or below high are
 * kept when another one covers them. low never goes back. Default 0 and UINT64_MAX: each stays
 * visible. */
void firn_memtable_horizon(struct firn_memtable *m, uint64_t low, uint64_t high);

/* Log range held: the caller says which slot the following inserts belong to. */
void firn_memtable_place(struct firn_memtable *m, struct firn_place slot);
/* First and last slot noted; false when none was. */
bool firn_memtable_range(const struct firn_memtable *m, struct firn_place *first,
                         struct firn_place *last);

/* No insert may come any more; catches the ordered index up. LIMIT: memory (not frozen then). */
enum firn_status firn_memtable_freeze(struct firn_memtable *m) FIRN_MUST_USE;
bool firn_memtable_frozen(const struct firn_memtable *m);

uint64_t firn_memtable_bytes(const struct firn_memtable *m); /* memory held */
uint64_t
firn_memtable_entries(const struct firn_memtable *m); /* versions held, range tombstones included */
/* All range tombstones: *out[0..n), by start, then seqno descending (one fragment has one entry per
 * seqno that a read may still need, the fragments do not overlap). Borrowed until the next
 * add_range or the last unref. */
/* Range tombstones held, sorted by start; out (may be NULL) borrows them until the next insert. */
size_t firn_memtable_tombs(const struct firn_memtable *m, const struct firn_range_tomb **out);
/* The tombstone with the highest seqno ≤ max_seqno over key: OK and *out (its start and end are
 * those of the fragment; valid as the list is), or ABSENT. O(log n). */
enum firn_status firn_memtable_covering(const struct firn_memtable *m, struct firn_slice key,
                                        uint64_t max_seqno, struct firn_range_tomb *out);
/* By about how many live keys in [start, end) (empty = unbounded) this memtable changes the
 * database, its own range tombstones over older sources not counted. An estimate; O(log n). */
int64_t firn_memtable_live(const struct firn_memtable *m, struct firn_slice start,
                           struct firn_slice end);

/* --- ordered reading: all versions with seqno ≤ max_seqno, key ascending (or descending), within a
 * key newest first. The iterator borrows the memtable. */
struct firn_memtable_iter {
    const struct firn_memtable *m;
    uint64_t max_seqno;
    bool reverse;
    void *node; /* private from here */
    void *version;
    uint64_t priv[6];
};
/* Catches the ordered index up (LIMIT: memory). */
enum firn_status firn_memtable_iter_init(struct firn_memtable_iter *it, struct firn_memtable *m,
                                         uint64_t max_seqno, bool reverse) FIRN_MUST_USE;
/* Move to the first key ≥ key (reverse: the last key < key; empty key = from the very end). */
void firn_memtable_iter_seek(struct firn_memtable_iter *it, struct firn_slice key);
/* The entry at the iterator, or false at the end. */
bool firn_memtable_iter_get(const struct firn_memtable_iter *it, struct firn_entry *out);
void firn_memtable_iter_next(struct firn_memtable_iter *it); /* next version */
/* Move to the next key, whatever versions of this one are left. */
void firn_memtable_iter_skip(struct firn_memtable_iter *it);

#endif
