/* Inside of the memtable: records, hash index, ordered index, range tombstones. Not for other
 * rooms. */
#ifndef FIRN_LSM_MEMTABLE_PRIV_H
#define FIRN_LSM_MEMTABLE_PRIV_H

#include "base/arena.h"
#include "base/bytes.h"
#include "lsm/memtable.h"

#include <stdatomic.h>

/* One version. Immutable once linked. */
struct firn_mt_version {
    struct firn_mt_version *older;
    uint64_t seqno;
    uint64_t expiry_ms;
    uint32_t value_len;
    uint8_t kind;
    uint8_t value[];
};

/* One key, with its first version behind it in the same allocation, so that a lookup of a key that
 * was written once meets neighbouring cache lines. Immutable but for `newest`. */
struct firn_mt_key {
    struct firn_mt_version *newest;
    uint32_t len;
    uint8_t bytes[];
};

static inline struct firn_slice firn_mt_key_slice(const struct firn_mt_key *k)
{
    return firn_slice_of(k->bytes, k->len);
}

/* --- hash index (memtable_hash.c): extendible hashing. The directory is indexed by the high bits
 * of the hash and names segments; within a segment the low bits say where linear probing begins. A
 * full segment splits in two by its next high bit, so that growth never touches more than one
 * segment (Fagin et al., "Extendible hashing", TODS 1979). */
struct firn_mt_slot {
    uint64_t hash;
    struct firn_mt_key *key; /* NULL = free */
};

struct firn_mt_segment {
    uint32_t count; /* slots in use */
    uint32_t mask;  /* slots - 1 */
    uint32_t depth; /* high bits of the hash that all its keys share */
    struct firn_mt_slot slot[];
};

struct firn_mt_hash {
    struct firn_mt_segment **dir; /* 1 << depth entries */
    unsigned depth;
    uint64_t bytes; /* memory held */
};

enum firn_status firn_memtable__hash_init(struct firn_mt_hash *h) FIRN_MUST_USE;
void firn_memtable__hash_deinit(struct firn_mt_hash *h);
/* Make room for one more key with this hash. LIMIT: memory; the index still holds what it held. */
enum firn_status firn_memtable__hash_reserve(struct firn_mt_hash *h, uint64_t hash) FIRN_MUST_USE;
/* Insert a key that is not there, after reserve for the same hash. */
void firn_memtable__hash_insert(struct firn_mt_hash *h, uint64_t hash, struct firn_mt_key *key);

static inline struct firn_mt_segment *firn_memtable__segment(const struct firn_mt_hash *h,
                                                             uint64_t hash)
{
    return h->dir[hash >> 1 >> (63 - h->depth)];
}

static inline struct firn_mt_key *firn_memtable__hash_find(const struct firn_mt_hash *h,
                                                           struct firn_slice key, uint64_t hash)
{
    const struct firn_mt_segment *s = firn_memtable__segment(h, hash);
    for (uint32_t i = (uint32_t)hash & s->mask;; i = (i + 1) & s->mask) {
        struct firn_mt_key *k = s->slot[i].key;
        if (!k)
            return NULL;
        if (s->slot[i].hash == hash && k->len == key.len &&
            memcmp(k->bytes, key.data, key.len) == 0)
            return k;
    }
}

/* --- ordered index (memtable_tree.c): a B+ tree of keys. A node compares keys by their next eight
 * bytes behind what its fences have in common (the fences are the separators around it, so every
 * key that can ever come into it has that prefix: Graefe, "B-tree indexes, interpolation search,
 * and skew", DaMoN 2006), and by the whole only on a tie. */
#define FIRN_MT_FANOUT 64
#define FIRN_MT_LEVELS_MAX 16
#define FIRN_MT_PENDING_MAX 512

struct firn_mt_node {
    uint16_t count;
    uint16_t level;                   /* 0 = leaf */
    uint32_t skip;                    /* bytes that every key here has in common */
    struct firn_mt_node *next, *prev; /* leaves only */
    uint64_t prefix[FIRN_MT_FANOUT];  /* big-endian bytes [skip, skip + 8) of key[i] */
    struct firn_mt_key *key[FIRN_MT_FANOUT];
};

struct firn_mt_inner { /* key[i] divides child[i] from child[i + 1]: key[i] is the least of i + 1 */
    struct firn_mt_node node;
    struct firn_mt_node *child[FIRN_MT_FANOUT + 1];
};

struct firn_mt_tree {
    struct firn_mt_node *root, *first, *last; /* root NULL = empty */
    struct firn_arena *arena;
    uint64_t keys;
    uint64_t gen; /* grows whenever a key comes in: positions of iterators are found anew then */
    unsigned levels;
};

/* Insert n keys that are not there. LIMIT: memory; the first *done are in. O(log keys) each; the
 * cache misses of a group of keys overlap. */
enum firn_status firn_memtable__tree_insert(struct firn_mt_tree *t, struct firn_mt_key *const *key,
                                            size_t n, size_t *done) FIRN_MUST_USE;
/* The leaf and the index of the first key ≥ key (index = count of the leaf when none is in it).
 * NULL when the tree is empty. */
const struct firn_mt_node *firn_memtable__tree_find(const struct firn_mt_tree *t,
                                                    struct firn_slice key, unsigned *index);
/* About which part of the keys lies below key: 0..1. */
double firn_memtable__tree_rank(const struct firn_mt_tree *t, struct firn_slice key);

/* --- range tombstones (memtable_tombs.c) */
struct firn_mt_tombs {
    struct firn_range_tomb *at; /* by start, then seqno descending; fragments do not overlap */
    size_t count;
};

/* The seqnos that reads of the state before an insert may name; see firn_memtable_horizon. */
struct firn_mt_reads {
    uint64_t low, high;
};

/* The list with [start, end) at seqno added, made anew; of the seqnos of a fragment that no read of
 * `reads` tells apart only the highest is kept. The slices are borrowed. LIMIT: memory. */
enum firn_status firn_memtable__tombs_add(const struct firn_mt_tombs *old,
                                          const struct firn_range_tomb *add,
                                          const struct firn_mt_reads *reads,
                                          struct firn_mt_tombs *out) FIRN_MUST_USE;

struct firn_memtable {
    atomic_uint refs;
    bool frozen, placed;
    struct firn_place first, last;
    struct firn_arena arena;
    struct firn_mt_hash hash;
    struct firn_mt_tree tree;
    size_t npending; /* new keys that are not in the tree yet */
    struct firn_mt_tombs tombs;
    struct firn_mt_reads reads;
    uint64_t entries, keys;
    int64_t live;      /* of them; the expiry index not counted */
    size_t index_keys; /* distinct keys of the expiry index */
    struct firn_mt_key *pending[FIRN_MT_PENDING_MAX];
};

/* Bring the tree up to date. LIMIT: memory; what is left stays pending. */
enum firn_status firn_memtable__catch_up(struct firn_memtable *m) FIRN_MUST_USE;

#endif
