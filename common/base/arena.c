#include "base/arena.h"

#include "base/mem.h"

struct firn_arena_chunk {
    struct firn_arena_chunk *next;
    uint64_t pad; /* keeps the payload 16-byte aligned */
};

#define CHUNK_BYTES_DEFAULT ((size_t)64 * 1024)

static struct firn_arena_chunk *chunk_new(struct firn_arena *a, size_t payload)
{
    struct firn_arena_chunk *c = firn_malloc(sizeof *c + payload);
    if (c)
        a->used_bytes += sizeof *c + payload;
    return c;
}

void *firn_arena_alloc(struct firn_arena *a, size_t size)
{
    if (size > SIZE_MAX - 64)
        return NULL;
    size = (size + 7) & ~(size_t)7;
    if (size <= (size_t)(a->end - a->at)) {
        void *p = a->at;
        a->at += size;
        return p;
    }
    size_t chunk = a->chunk_bytes ? a->chunk_bytes : CHUNK_BYTES_DEFAULT;
    if (size > chunk / 4) {
        /* A chunk of its own, behind the current one, whose rest stays in use. */
        struct firn_arena_chunk *c = chunk_new(a, size);
        if (!c)
            return NULL;
        if (a->head) {
            c->next = a->head->next;
            a->head->next = c;
        } else {
            c->next = NULL;
            a->head = c;
        }
        return c + 1;
    }
    struct firn_arena_chunk *c = chunk_new(a, chunk);
    if (!c)
        return NULL;
    c->next = a->head;
    a->head = c;
    a->at = (uint8_t *)(c + 1) + size;
    a->end = (uint8_t *)(c + 1) + chunk;
    return c + 1;
}

struct firn_slice firn_arena_copy(struct firn_arena *a, struct firn_slice s)
{
    uint8_t *p = firn_arena_alloc(a, s.len);
    if (p && s.len)
        memcpy(p, s.data, s.len);
    return firn_slice_of(p, s.len);
}

void firn_arena_clear(struct firn_arena *a)
{
    for (struct firn_arena_chunk *c = a->head, *next; c; c = next) {
        next = c->next;
        firn_free(c);
    }
    *a = (struct firn_arena){.chunk_bytes = a->chunk_bytes};
}
