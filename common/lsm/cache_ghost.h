/* What was lately thrown out of the cache unused: fingerprints with the time they came, in buckets
 * of four; a bucket forgets its oldest. A fingerprint counts while at most `window` others came
 * after it. */
#ifndef FIRN_LSM_CACHE_GHOST_H
#define FIRN_LSM_CACHE_GHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct firn_ghost_slot {
    uint32_t print, time; /* time 0 = free */
};

struct firn_ghost {
    struct firn_ghost_slot *slot; /* buckets * 4; NULL = remembers nothing */
    uint32_t buckets;             /* a power of two */
    uint32_t now;
};

/* Make room for about n fingerprints, forgetting all; where memory is short it remembers nothing.
 */
void firn_ghost_resize(struct firn_ghost *g, size_t n);
void firn_ghost_deinit(struct firn_ghost *g);
size_t firn_ghost_capacity(const struct firn_ghost *g);
size_t firn_ghost_bytes(const struct firn_ghost *g);
void firn_ghost_add(struct firn_ghost *g, uint64_t hash);
/* Was it added among the last `window`? Then it is forgotten. */
bool firn_ghost_take(struct firn_ghost *g, uint64_t hash, uint32_t window);

#endif
