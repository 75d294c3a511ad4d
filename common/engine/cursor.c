#include "engine/cursor_priv.h"

#include "base/mem.h"

/* Ids are below 2^53, so that clients which keep numbers in doubles keep them exactly. A process
 * counts up from a random multiple of 2^20 below 2^52. */
#define ID_RANDOM_BITS 32
#define ID_COUNT_BITS 20

void firn_engine__cursors_init(struct firn_cursors *c, uint64_t seed)
{
    memset(c, 0, sizeof *c);
    firn_list_init(&c->lru);
    c->next_id = ((seed & ((UINT64_C(1) << ID_RANDOM_BITS) - 1)) << ID_COUNT_BITS) + 1;
}

static void cursor_drop(struct firn_cursors *c, struct firn_cursor *cur)
{
    struct firn_cursor **at = &c->bucket[cur->id % FIRN_CURSOR_BUCKETS];
    while (*at != cur)
        at = &(*at)->next;
    *at = cur->next;
    firn_list_remove(&cur->lru);
    c->bytes -= sizeof *cur + cur->len;
    c->count--;
    firn_free(cur);
}

void firn_engine__cursors_clear(struct firn_cursors *c)
{
    FIRN_LIST_EACH(it, nx, &c->lru)
    cursor_drop(c, FIRN_CONTAINER(it, struct firn_cursor, lru));
}

enum firn_status firn_engine__cursor_new(struct firn_cursors *c, uint8_t db, struct firn_slice key,
                                         uint64_t bytes_max, uint64_t *id)
{
    struct firn_cursor *cur = firn_malloc(sizeof *cur + key.len);
    if (!cur)
        return FIRN_LIMIT;
    cur->id = c->next_id++;
    cur->db = db;
    cur->len = key.len;
    if (key.len)
        memcpy(cur->key, key.data, key.len);
    firn_list_init(&cur->lru);
    firn_list_push(&c->lru, &cur->lru);
    cur->next = c->bucket[cur->id % FIRN_CURSOR_BUCKETS];
    c->bucket[cur->id % FIRN_CURSOR_BUCKETS] = cur;
    c->bytes += sizeof *cur + key.len;
    c->count++;
    while (c->count > FIRN_CURSORS_MAX || (c->bytes > bytes_max && c->count > 1))
        cursor_drop(c, FIRN_CONTAINER(c->lru.next, struct firn_cursor, lru));
    *id = cur->id;
    return FIRN_OK;
}

static struct firn_cursor *lookup(const struct firn_cursors *c, uint64_t id)
{
    struct firn_cursor *cur = c->bucket[id % FIRN_CURSOR_BUCKETS];
    while (cur && cur->id != id)
        cur = cur->next;
    return cur;
}

void firn_engine__cursors_drop(struct firn_cursors *c, uint64_t from)
{
    for (uint64_t id = from; id < c->next_id; id++) {
        struct firn_cursor *cur = lookup(c, id);
        if (cur)
            cursor_drop(c, cur);
    }
}

const struct firn_cursor *firn_engine__cursor_find(struct firn_cursors *c, uint64_t id)
{
    struct firn_cursor *cur = lookup(c, id);
    if (cur) {
        firn_list_remove(&cur->lru);
        firn_list_push(&c->lru, &cur->lru);
    }
    return cur;
}
