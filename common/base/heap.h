/* Intrusive binary min-heap of nodes ordered by a 64-bit key (ties in no order). */
#ifndef FIRN_BASE_HEAP_H
#define FIRN_BASE_HEAP_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct firn_heap_node {
    uint64_t key;
    size_t pos; /* 1-based place in the heap; 0 = in none */
};

struct firn_heap {
    struct firn_heap_node **node; /* owned; node[0] is unused */
    size_t len, cap;
};

/* Insert a node that is in no heap. FIRN_LIMIT when memory is short. O(log n). */
enum firn_status firn_heap_push(struct firn_heap *h, struct firn_heap_node *n) FIRN_MUST_USE;
/* Remove a node; harmless when it is in no heap. */
void firn_heap_remove(struct firn_heap *h, struct firn_heap_node *n);
/* The node with the smallest key, or NULL. */
struct firn_heap_node *firn_heap_min(const struct firn_heap *h);
/* Free the heap's own memory; nodes belong to the caller. */
void firn_heap_clear(struct firn_heap *h);

#endif
