/* Intrusive hash table of nodes chained by a 64-bit hash; whoever uses it compares keys. */
#ifndef FIRN_BASE_HASHTAB_H
#define FIRN_BASE_HASHTAB_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct firn_hashtab_node {
    struct firn_hashtab_node *next; /* in its bucket */
    uint64_t hash;
};

/* Zero-initialised is valid and empty. */
struct firn_hashtab {
    struct firn_hashtab_node **bucket; /* owned */
    size_t len, cap;                   /* nodes; buckets, 0 or a power of two */
};

/* Insert a node that is in no table; its hash is set here. FIRN_LIMIT when memory is short and
 * there is not one bucket yet. Amortised O(1). */
enum firn_status firn_hashtab_add(struct firn_hashtab *t, struct firn_hashtab_node *n,
                                  uint64_t hash) FIRN_MUST_USE;
/* Remove a node that is in it. O(1) on average. */
void firn_hashtab_remove(struct firn_hashtab *t, struct firn_hashtab_node *n);
/* The first node of this hash, or NULL; the next one of the same hash behind n, or NULL. */
struct firn_hashtab_node *firn_hashtab_find(const struct firn_hashtab *t, uint64_t hash);
struct firn_hashtab_node *firn_hashtab_next(const struct firn_hashtab_node *n);
/* Free the table's own memory; nodes belong to the caller. */
void firn_hashtab_clear(struct firn_hashtab *t);

#endif
