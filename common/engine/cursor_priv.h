/* SCAN's cursors: ids that this node gave, each standing for (database, last key returned). An id
 * is never used twice, stays valid however often it is used (a retry repeats its page), and is
 * forgotten only when too many or too large ones are kept: least recently used first. Unknown ids
 * are an error for the client, never a silent restart. */
#ifndef FIRN_ENGINE_CURSOR_PRIV_H
#define FIRN_ENGINE_CURSOR_PRIV_H

#include "base/list.h"
#include "base/slice.h"

#include <stdint.h>

#define FIRN_CURSORS_MAX 10000
#define FIRN_CURSOR_BYTES_MAX (UINT64_C(64) << 20) /* or their part of `memory` */
#define FIRN_CURSOR_BUCKETS 4096

struct firn_cursor {
    struct firn_list lru;     /* private */
    struct firn_cursor *next; /* private: of its bucket */
    uint64_t id;
    uint8_t db;
    size_t len;
    uint8_t key[]; /* the user's part of the last key returned */
};

struct firn_cursors {
    struct firn_list lru; /* least recently used first */
    struct firn_cursor *bucket[FIRN_CURSOR_BUCKETS];
    uint64_t next_id;
    uint64_t bytes;
    size_t count;
};

/* `seed` random bits place this process's ids, so that ids of an earlier one are unknown to it. */
void firn_engine__cursors_init(struct firn_cursors *c, uint64_t seed);
void firn_engine__cursors_clear(struct firn_cursors *c);

/* Keep a position, and of the others as many as bytes_max allows; gives its id (1 .. 2^53 - 1).
 * LIMIT: memory. */
enum firn_status firn_engine__cursor_new(struct firn_cursors *c, uint8_t db, struct firn_slice key,
                                         uint64_t bytes_max, uint64_t *id) FIRN_MUST_USE;
/* Forget the ids from `from` on: nobody was told them. */
void firn_engine__cursors_drop(struct firn_cursors *c, uint64_t from);
/* The position of an id, now the most recently used; NULL when it is unknown. Borrowed until the
 * next call of this file. */
const struct firn_cursor *firn_engine__cursor_find(struct firn_cursors *c, uint64_t id);

#endif
