/* Hash index of the memtable: see memtable_priv.h. */
#include "base/assert.h"
#include "base/mem.h"
#include "lsm/memtable_priv.h"

#define SEGMENT_SLOTS 1024u
/* Beyond this many bits segments double in place instead: keys whose hashes were made to collide
 * cannot blow the directory up. */
#define DEPTH_MAX 16u

static size_t segment_bytes(uint32_t slots)
{
    return sizeof(struct firn_mt_segment) + (size_t)slots * sizeof(struct firn_mt_slot);
}

static struct firn_mt_segment *segment_new(uint32_t slots, uint32_t depth)
{
    struct firn_mt_segment *s = firn_calloc(1, segment_bytes(slots));
    if (s) {
        s->mask = slots - 1;
        s->depth = depth;
    }
    return s;
}

static void segment_insert(struct firn_mt_segment *s, uint64_t hash, struct firn_mt_key *key)
{
    uint32_t i = (uint32_t)hash & s->mask;
    while (s->slot[i].key)
        i = (i + 1) & s->mask;
    s->slot[i] = (struct firn_mt_slot){hash, key};
    s->count++;
}

enum firn_status firn_memtable__hash_init(struct firn_mt_hash *h)
{
    *h = (struct firn_mt_hash){0};
    h->dir = firn_malloc(sizeof *h->dir);
    struct firn_mt_segment *s = segment_new(SEGMENT_SLOTS, 0);
    if (!h->dir || !s) {
        firn_free(h->dir);
        firn_free(s);
        h->dir = NULL;
        return FIRN_LIMIT;
    }
    h->dir[0] = s;
    h->bytes = sizeof *h->dir + segment_bytes(SEGMENT_SLOTS);
    return FIRN_OK;
}

void firn_memtable__hash_deinit(struct firn_mt_hash *h)
{
    if (!h->dir)
        return;
    size_t n = (size_t)1 << h->depth;
    for (size_t i = 0; i < n;) {
        size_t span = (size_t)1 << (h->depth - h->dir[i]->depth);
        firn_free(h->dir[i]);
        i += span;
    }
    firn_free(h->dir);
    h->dir = NULL;
}

static enum firn_status directory_double(struct firn_mt_hash *h)
{
    size_t n = (size_t)1 << h->depth;
    struct firn_mt_segment **dir = firn_malloc(2 * n * sizeof *dir);
    if (!dir)
        return FIRN_LIMIT;
    for (size_t i = 0; i < n; i++)
        dir[2 * i] = dir[2 * i + 1] = h->dir[i];
    firn_free(h->dir);
    h->dir = dir;
    h->depth++;
    h->bytes += n * sizeof *dir;
    return FIRN_OK;
}

/* Let the directory entries from `at` on, `span` of them, name s. */
static void directory_set(struct firn_mt_hash *h, size_t at, size_t span, struct firn_mt_segment *s)
{
    for (size_t i = 0; i < span; i++)
        h->dir[at + i] = s;
}

/* The first directory entry of the segment that holds `hash`, and how many it has. */
static size_t directory_span(const struct firn_mt_hash *h, const struct firn_mt_segment *s,
                             uint64_t hash, size_t *span)
{
    *span = (size_t)1 << (h->depth - s->depth);
    return (size_t)(hash >> 1 >> (63 - h->depth)) & ~(*span - 1);
}

static enum firn_status segment_split(struct firn_mt_hash *h, uint64_t hash)
{
    struct firn_mt_segment *old = firn_memtable__segment(h, hash);
    if (old->depth == h->depth) {
        enum firn_status st = directory_double(h);
        if (st != FIRN_OK)
            return st;
    }
    uint32_t slots = old->mask + 1;
    struct firn_mt_segment *low = segment_new(slots, old->depth + 1);
    struct firn_mt_segment *high = segment_new(slots, old->depth + 1);
    if (!low || !high) {
        firn_free(low);
        firn_free(high);
        return FIRN_LIMIT;
    }
    uint64_t bit = UINT64_C(1) << (63 - old->depth);
    for (uint32_t i = 0; i < slots; i++)
        if (old->slot[i].key)
            segment_insert(old->slot[i].hash & bit ? high : low, old->slot[i].hash,
                           old->slot[i].key);
    size_t span;
    size_t at = directory_span(h, old, hash, &span);
    directory_set(h, at, span / 2, low);
    directory_set(h, at + span / 2, span / 2, high);
    firn_free(old);
    h->bytes += segment_bytes(slots);
    return FIRN_OK;
}

static enum firn_status segment_double(struct firn_mt_hash *h, uint64_t hash)
{
    struct firn_mt_segment *old = firn_memtable__segment(h, hash);
    uint32_t slots = old->mask + 1;
    if (slots > UINT32_MAX / 4)
        return FIRN_LIMIT;
    struct firn_mt_segment *s = segment_new(slots * 2, old->depth);
    if (!s)
        return FIRN_LIMIT;
    for (uint32_t i = 0; i < slots; i++)
        if (old->slot[i].key)
            segment_insert(s, old->slot[i].hash, old->slot[i].key);
    size_t span;
    size_t at = directory_span(h, old, hash, &span);
    directory_set(h, at, span, s);
    firn_free(old);
    h->bytes += segment_bytes(slots * 2) - segment_bytes(slots);
    return FIRN_OK;
}

enum firn_status firn_memtable__hash_reserve(struct firn_mt_hash *h, uint64_t hash)
{
    for (;;) {
        struct firn_mt_segment *s = firn_memtable__segment(h, hash);
        uint32_t slots = s->mask + 1;
        if (s->count < slots - slots / 4)
            return FIRN_OK;
        enum firn_status st =
            s->depth < DEPTH_MAX ? segment_split(h, hash) : segment_double(h, hash);
        if (st != FIRN_OK)
            return st;
    }
}

void firn_memtable__hash_insert(struct firn_mt_hash *h, uint64_t hash, struct firn_mt_key *key)
{
    segment_insert(firn_memtable__segment(h, hash), hash, key);
}
