#include "lsm/cache_ghost.h"

#include "base/mem.h"

#define WAYS 4u
#define BUCKETS_MAX (UINT32_C(1) << 24)

static struct firn_ghost_slot *bucket_of(const struct firn_ghost *g, uint64_t hash)
{
    return g->slot + (size_t)(hash & (g->buckets - 1)) * WAYS;
}

void firn_ghost_resize(struct firn_ghost *g, size_t n)
{
    uint32_t buckets = 16;
    while (buckets < BUCKETS_MAX && (size_t)buckets * WAYS < n)
        buckets *= 2;
    firn_ghost_deinit(g);
    g->slot = firn_calloc((size_t)buckets * WAYS, sizeof *g->slot);
    g->buckets = g->slot ? buckets : 0;
}

void firn_ghost_deinit(struct firn_ghost *g)
{
    firn_free(g->slot);
    *g = (struct firn_ghost){0};
}

size_t firn_ghost_capacity(const struct firn_ghost *g)
{
    return (size_t)g->buckets * WAYS;
}

size_t firn_ghost_bytes(const struct firn_ghost *g)
{
    return firn_ghost_capacity(g) * sizeof *g->slot;
}

void firn_ghost_add(struct firn_ghost *g, uint64_t hash)
{
    if (!g->slot)
        return;
    struct firn_ghost_slot *b = bucket_of(g, hash), *oldest = b;
    if (++g->now == 0) /* 0 is "free": once in four billion a slot looks new for one turn */
        g->now = 1;
    for (unsigned i = 0; i < WAYS; i++) {
        if (b[i].time == 0) {
            oldest = &b[i];
            break;
        }
        if (g->now - b[i].time > g->now - oldest->time)
            oldest = &b[i];
    }
    *oldest = (struct firn_ghost_slot){(uint32_t)(hash >> 32), g->now};
}

bool firn_ghost_take(struct firn_ghost *g, uint64_t hash, uint32_t window)
{
    if (!g->slot)
        return false;
    struct firn_ghost_slot *b = bucket_of(g, hash);
    for (unsigned i = 0; i < WAYS; i++) {
        if (b[i].time && b[i].print == (uint32_t)(hash >> 32)) {
            bool recent = g->now - b[i].time <= window;
            b[i].time = 0;
            return recent;
        }
    }
    return false;
}
