#include "lsm/cache.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "lsm/cache_ghost.h"

#define BUCKETS_MIN 64u
#define SMALL_SHARE 10 /* the small queue may have one part in this many */

enum queue {
    SMALL, /* new blocks */
    MAIN,  /* blocks that were used again */
    META,
    QUEUES,
    NONE = QUEUES, /* not in the cache */
};

struct queue_state {
    struct firn_list list; /* oldest first */
    uint64_t bytes;
    size_t count;
};

struct firn_cache {
    uint64_t limit;
    struct firn_budget *budget; /* NULL: the limit stays as it was given */
    uint64_t detached_bytes;    /* of entries that are pinned, but in the cache no more */
    uint64_t own_bytes;         /* of this struct, the hash table and the ghosts */
    struct firn_cache_entry **bucket;
    size_t nbuckets; /* a power of two */
    struct queue_state queue[QUEUES];
    struct firn_ghost ghost;
    struct firn_cache_stats stats;
};

static uint64_t hash_of(uint64_t table_id, uint64_t offset)
{
    uint64_t x = table_id ^ (offset + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

static void account(struct firn_cache *c)
{
    c->own_bytes = sizeof *c + c->nbuckets * sizeof *c->bucket + firn_ghost_bytes(&c->ghost);
    c->stats.bytes = c->own_bytes;
    c->stats.entries = 0;
    for (int q = 0; q < QUEUES; q++) {
        c->stats.bytes += c->queue[q].bytes;
        c->stats.entries += c->queue[q].count;
    }
}

/* The budget says what the limit is now: all that the others leave. */
static void ask(struct firn_cache *c)
{
    if (!c->budget)
        return;
    uint64_t room = firn_budget_cache_room(c->budget);
    c->limit = room > c->detached_bytes ? room - c->detached_bytes : 0;
}

static void tell(struct firn_cache *c)
{
    if (c->budget)
        firn_budget_set_cache(c->budget, c->stats.bytes + c->detached_bytes - c->stats.pinned_bytes,
                              c->stats.pinned_bytes);
}

enum firn_status firn_cache_create(uint64_t bytes, struct firn_cache **out)
{
    struct firn_cache *c = firn_calloc(1, sizeof *c);
    if (!c)
        return FIRN_LIMIT;
    c->bucket = firn_calloc(BUCKETS_MIN, sizeof *c->bucket);
    if (!c->bucket) {
        firn_free(c);
        return FIRN_LIMIT;
    }
    c->nbuckets = BUCKETS_MIN;
    c->limit = bytes;
    for (int q = 0; q < QUEUES; q++)
        firn_list_init(&c->queue[q].list);
    firn_ghost_resize(&c->ghost, BUCKETS_MIN);
    account(c);
    *out = c;
    return FIRN_OK;
}

struct firn_cache_entry *firn_cache_new_block(uint64_t table_id, uint64_t offset, size_t raw_len)
{
    struct firn_cache_entry *e = firn_malloc(sizeof *e + raw_len);
    if (!e)
        return NULL;
    *e = (struct firn_cache_entry){.table_id = table_id,
                                   .offset = offset,
                                   .bytes = sizeof *e + raw_len,
                                   .refs = 1,
                                   .queue = NONE,
                                   .raw_len = raw_len};
    return e;
}

struct firn_cache_entry *firn_cache_new_head(uint64_t offset, struct firn_table_head *head)
{
    struct firn_cache_entry *e = firn_cache_new_block(head->table_id, offset, 0);
    if (e) {
        e->kind = FIRN_CACHE_HEAD;
        e->head = head;
        e->bytes += head->bytes;
    }
    return e;
}

struct firn_cache_entry *firn_cache_new_part(uint64_t offset, struct firn_table_part *part)
{
    struct firn_cache_entry *e = firn_cache_new_block(part->table_id, offset, 0);
    if (e) {
        e->kind = FIRN_CACHE_PART;
        e->part = part;
        e->bytes += part->bytes;
    }
    return e;
}

void firn_cache_discard(struct firn_cache_entry *e)
{
    if (!e)
        return;
    if (e->kind == FIRN_CACHE_HEAD)
        firn_table_head_free(e->head);
    if (e->kind == FIRN_CACHE_PART)
        firn_table_part_free(e->part);
    firn_free(e);
}

static void enqueue(struct firn_cache *c, struct firn_cache_entry *e, enum queue q)
{
    e->queue = (uint8_t)q;
    firn_list_push(&c->queue[q].list, &e->link);
    c->queue[q].bytes += e->bytes;
    c->queue[q].count++;
}

static void dequeue(struct firn_cache *c, struct firn_cache_entry *e)
{
    firn_list_remove(&e->link);
    c->queue[e->queue].bytes -= e->bytes;
    c->queue[e->queue].count--;
    e->queue = NONE;
}

static struct firn_cache_entry **bucket_of(const struct firn_cache *c, uint64_t table_id,
                                           uint64_t offset)
{
    return &c->bucket[hash_of(table_id, offset) & (c->nbuckets - 1)];
}

/* Out of queue and hash; freed unless it is pinned. */
static void detach(struct firn_cache *c, struct firn_cache_entry *e)
{
    struct firn_cache_entry **p = bucket_of(c, e->table_id, e->offset);
    while (*p != e)
        p = &(*p)->hnext;
    *p = e->hnext;
    dequeue(c, e);
    if (e->holder)
        *e->holder = NULL;
    e->holder = NULL;
    if (e->refs == 0)
        firn_cache_discard(e);
    else
        c->detached_bytes += e->bytes;
}

/* Let one entry of queue q go, or of the small one rise into the main one. False when all of it is
 * pinned. An entry is looked at a bounded number of times: pinned ones go to the end, used ones
 * lose a use. */
static bool evict_from(struct firn_cache *c, enum queue q)
{
    for (size_t tries = c->queue[q].count * 4; tries > 0; tries--) {
        struct firn_cache_entry *e =
            FIRN_CONTAINER(c->queue[q].list.next, struct firn_cache_entry, link);
        if (e->refs > 0) {
            dequeue(c, e);
            enqueue(c, e, q);
        } else if (q == SMALL && e->freq > 1) {
            dequeue(c, e);
            e->freq = 0;
            enqueue(c, e, MAIN);
            return true;
        } else if (q != SMALL && e->freq > 0) {
            dequeue(c, e);
            e->freq--;
            enqueue(c, e, q);
        } else {
            if (q == SMALL)
                firn_ghost_add(&c->ghost, hash_of(e->table_id, e->offset));
            c->stats.evictions++;
            detach(c, e);
            return true;
        }
    }
    return false;
}

static bool evict_one(struct firn_cache *c)
{
    const struct queue_state *q = c->queue;
    if (q[META].bytes > c->limit / 2 && evict_from(c, META))
        return true;
    bool small_first = q[SMALL].bytes >= c->limit / SMALL_SHARE || q[MAIN].count == 0;
    return evict_from(c, small_first ? SMALL : MAIN) || evict_from(c, small_first ? MAIN : SMALL) ||
           evict_from(c, META);
}

static void hold_limit(struct firn_cache *c)
{
    ask(c);
    account(c);
    while (c->stats.bytes > c->limit && evict_one(c)) {
        FIRN_SOMETIMES("lsm: a cache entry evicted");
        account(c);
    }
    tell(c);
}

static void grow(struct firn_cache *c)
{
    size_t n = c->nbuckets * 2;
    struct firn_cache_entry **bucket = firn_calloc(n, sizeof *bucket);
    if (!bucket)
        return;
    for (size_t i = 0; i < c->nbuckets; i++) {
        for (struct firn_cache_entry *e = c->bucket[i], *next; e; e = next) {
            next = e->hnext;
            struct firn_cache_entry **to = &bucket[hash_of(e->table_id, e->offset) & (n - 1)];
            e->hnext = *to;
            *to = e;
        }
    }
    firn_free(c->bucket);
    c->bucket = bucket;
    c->nbuckets = n;
    firn_ghost_resize(&c->ghost, n);
}

void firn_cache_insert(struct firn_cache *c, struct firn_cache_entry *e)
{
    FIRN_DASSERT(!firn_cache_find(c, e->table_id, e->offset) && e->refs == 1);
    if (c->stats.entries >= c->nbuckets)
        grow(c);
    struct firn_cache_entry **p = bucket_of(c, e->table_id, e->offset);
    e->hnext = *p;
    *p = e;
    c->stats.pinned_bytes += e->bytes;
    enum queue q = META;
    if (e->kind == FIRN_CACHE_BLOCK)
        q = firn_ghost_take(&c->ghost, hash_of(e->table_id, e->offset),
                            (uint32_t)(c->queue[MAIN].count + c->queue[SMALL].count))
                ? MAIN
                : SMALL;
    enqueue(c, e, q);
    hold_limit(c);
}

struct firn_cache_entry *firn_cache_find(const struct firn_cache *c, uint64_t table_id,
                                         uint64_t offset)
{
    struct firn_cache_entry *e = *bucket_of(c, table_id, offset);
    while (e && (e->table_id != table_id || e->offset != offset))
        e = e->hnext;
    return e;
}

void firn_cache_prefetch(const struct firn_cache *c, uint64_t table_id, uint64_t offset)
{
    __builtin_prefetch(bucket_of(c, table_id, offset));
}

void firn_cache_prefetch_entry(const struct firn_cache *c, uint64_t table_id, uint64_t offset)
{
    const uint8_t *e = (const uint8_t *)*bucket_of(c, table_id, offset);
    for (size_t at = 0; e && at < sizeof(struct firn_cache_entry); at += 64)
        __builtin_prefetch(e + at);
}

void firn_cache_ref(struct firn_cache *c, struct firn_cache_entry *e)
{
    if (e->refs++ > 0)
        return;
    c->stats.pinned_bytes += e->bytes;
    tell(c);
}

void firn_cache_unref(struct firn_cache *c, struct firn_cache_entry *e)
{
    FIRN_ASSERT(e->refs > 0);
    if (--e->refs > 0)
        return;
    c->stats.pinned_bytes -= e->bytes;
    if (e->queue == NONE) {
        c->detached_bytes -= e->bytes;
        firn_cache_discard(e);
    }
    tell(c);
    ask(c);
    if (c->stats.bytes > c->limit)
        hold_limit(c);
}

void firn_cache_drop(struct firn_cache *c, struct firn_cache_entry *e)
{
    detach(c, e);
    account(c);
    tell(c);
}

void firn_cache_free(struct firn_cache *c)
{
    if (!c)
        return;
    FIRN_ASSERT(c->stats.pinned_bytes == 0);
    for (int q = 0; q < QUEUES; q++)
        while (!firn_list_empty(&c->queue[q].list))
            detach(c, FIRN_CONTAINER(c->queue[q].list.next, struct firn_cache_entry, link));
    if (c->budget)
        firn_budget_set_cache(c->budget, 0, 0);
    firn_ghost_deinit(&c->ghost);
    firn_free(c->bucket);
    firn_free(c);
}

const struct firn_cache_stats *firn_cache_stats_of(const struct firn_cache *c)
{
    return &c->stats;
}

uint64_t firn_cache_limit(const struct firn_cache *c)
{
    return c->limit;
}

void firn_cache_set_budget(struct firn_cache *c, struct firn_budget *b)
{
    c->budget = b;
    hold_limit(c);
}

void firn_cache_shrink(struct firn_cache *c)
{
    hold_limit(c);
}
