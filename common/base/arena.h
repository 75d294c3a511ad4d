/* An arena: allocations live until the arena is cleared. Not thread-safe. */
#ifndef FIRN_BASE_ARENA_H
#define FIRN_BASE_ARENA_H

#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>

struct firn_arena_chunk;

struct firn_arena {
    struct firn_arena_chunk *head;
    uint8_t *at, *end;
    size_t chunk_bytes; /* size of ordinary chunks; 0 = 64 KiB */
    size_t used_bytes;  /* memory taken from the allocator */
};

/* 8-byte aligned memory, not zeroed; NULL when memory is short. Larger than a quarter of a chunk
 * gets a chunk of its own. */
void *firn_arena_alloc(struct firn_arena *a, size_t size);
/* A copy of the bytes (data NULL and len as given on failure; check data when len > 0). */
struct firn_slice firn_arena_copy(struct firn_arena *a, struct firn_slice s);
/* Free everything; the arena is empty and usable again. */
void firn_arena_clear(struct firn_arena *a);

#endif
