#include "engine/group_priv.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

#define KEEP_RECORDS 1024 /* of a group's arrays, from one command to the next */

enum firn_status firn_engine__group_add(struct firn_group *g, const struct firn_record *r)
{
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 16;
        struct firn_record *rec = firn_realloc(g->rec, cap * sizeof *rec);
        if (!rec)
            return FIRN_LIMIT;
        g->rec = rec;
        g->cap = cap;
    }
    struct firn_slice key = firn_arena_copy(&g->arena, r->key);
    if (!key.data && r->key.len) /* a channel may be empty */
        return FIRN_LIMIT;
    struct firn_record *mine = &g->rec[g->n];
    *mine = *r;
    mine->key = key;
    if (r->end_key.len) {
        mine->end_key = firn_arena_copy(&g->arena, r->end_key);
        if (!mine->end_key.data)
            return FIRN_LIMIT;
    }
    g->n++;
    g->bytes += firn_record_size(mine);
    g->ranges += mine->kind == FIRN_RECORD_RANGEDEL;
    return FIRN_OK;
}

/* A range's or channel's name is no key. */
static bool is_point(const struct firn_record *r)
{
    return r->kind == FIRN_RECORD_PUT || r->kind == FIRN_RECORD_DEL;
}

/* The slot that holds the key, or the free one where it belongs. */
static uint32_t *slot_of(const struct firn_group *g, struct firn_slice key)
{
    size_t i = firn_xxh3(key.data, key.len) & (g->slots - 1);
    while (g->slot[i] && !firn_slice_eq(g->rec[g->slot[i] - 1].key, key))
        i = (i + 1) & (g->slots - 1);
    return &g->slot[i];
}

static enum firn_status index_catch_up(struct firn_group *g)
{
    if (g->n * 2 > g->slots) {
        size_t slots = g->slots ? g->slots : 32;
        while (slots < g->n * 4)
            slots *= 2;
        uint32_t *slot = firn_calloc(slots, sizeof *slot);
        if (!slot)
            return FIRN_LIMIT;
        firn_free(g->slot);
        g->slot = slot;
        g->slots = slots;
        g->indexed = 0;
    }
    for (; g->indexed < g->n; g->indexed++)
        if (is_point(&g->rec[g->indexed]))
            *slot_of(g, g->rec[g->indexed].key) = (uint32_t)(g->indexed + 1);
    return FIRN_OK;
}

enum firn_status firn_engine__group_find(struct firn_group *g, struct firn_slice key,
                                         const struct firn_record **out)
{
    if (g->n == 0)
        return FIRN_ABSENT;
    if (g->indexed < g->n) {
        enum firn_status st = index_catch_up(g);
        if (st != FIRN_OK)
            return st;
    }
    uint32_t at = *slot_of(g, key);
    if (!at)
        return FIRN_ABSENT;
    *out = &g->rec[at - 1];
    return FIRN_OK;
}

void firn_engine__group_truncate(struct firn_group *g, size_t n)
{
    FIRN_ASSERT(n <= g->n);
    for (size_t i = n; i < g->n; i++) {
        g->bytes -= firn_record_size(&g->rec[i]);
        g->ranges -= g->rec[i].kind == FIRN_RECORD_RANGEDEL;
    }
    g->n = n;
    if (g->indexed > n) { /* what was the newest of its key before is found anew */
        memset(g->slot, 0, g->slots * sizeof *g->slot);
        g->indexed = 0;
    }
}

void firn_engine__group_reset(struct firn_group *g)
{
    if (g->n == 0 && !g->arena.head)
        return;
    firn_arena_clear(&g->arena);
    if (g->cap > KEEP_RECORDS) {
        firn_free(g->rec);
        g->rec = NULL;
        g->cap = 0;
    }
    if (g->slots > KEEP_RECORDS * 4) {
        firn_free(g->slot);
        g->slot = NULL;
        g->slots = 0;
    } else if (g->indexed) {
        memset(g->slot, 0, g->slots * sizeof *g->slot);
    }
    g->n = g->indexed = g->bytes = g->ranges = 0;
}

void firn_engine__group_free(struct firn_group *g)
{
    firn_arena_clear(&g->arena);
    firn_free(g->rec);
    firn_free(g->slot);
    *g = (struct firn_group){0};
}
