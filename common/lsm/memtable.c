#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "format/key.h"
#include "format/tombs.h"
#include "lsm/memtable_priv.h"

#define CHUNK_BYTES_MIN ((size_t)16 * 1024)
#define CHUNK_BYTES_MAX ((size_t)1024 * 1024)
#define PREFETCH_BYTES ((size_t)192) /* of a key with its value */

enum firn_status firn_memtable_create(struct firn_memtable **out)
{
    struct firn_memtable *m = firn_calloc(1, sizeof *m);
    if (!m)
        return FIRN_LIMIT;
    if (firn_memtable__hash_init(&m->hash) != FIRN_OK) {
        firn_free(m);
        return FIRN_LIMIT;
    }
    m->tree.arena = &m->arena;
    m->reads.high = UINT64_MAX;
    atomic_init(&m->refs, 1);
    *out = m;
    return FIRN_OK;
}

void firn_memtable_ref(struct firn_memtable *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
}

bool firn_memtable_shared(const struct firn_memtable *m)
{
    return atomic_load_explicit(&m->refs, memory_order_acquire) > 1;
}

void firn_memtable_unref(struct firn_memtable *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    firn_memtable__hash_deinit(&m->hash);
    firn_arena_clear(&m->arena);
    firn_free(m->tombs.at);
    firn_free(m);
}

/* Chunks grow with the memtable, so that an idle one is small and a full one makes few. */
static void *take(struct firn_memtable *m, size_t size)
{
    size_t chunk = m->arena.used_bytes / 4;
    if (chunk < CHUNK_BYTES_MIN)
        chunk = CHUNK_BYTES_MIN;
    m->arena.chunk_bytes = chunk < CHUNK_BYTES_MAX ? chunk : CHUNK_BYTES_MAX;
    return firn_arena_alloc(&m->arena, size);
}

static void version_fill(struct firn_mt_version *v, struct firn_mt_version *older,
                         const struct firn_entry *e)
{
    v->older = older;
    v->seqno = e->seqno;
    v->expiry_ms = e->expiry_ms;
    v->value_len = (uint32_t)e->value.len;
    v->kind = e->kind;
    if (e->value.len)
        memcpy(v->value, e->value.data, e->value.len);
}

enum firn_status firn_memtable__catch_up(struct firn_memtable *m)
{
    size_t done;
    enum firn_status st = firn_memtable__tree_insert(&m->tree, m->pending, m->npending, &done);
    m->npending -= done;
    if (m->npending)
        memmove(m->pending, m->pending + done, m->npending * sizeof *m->pending);
    return st;
}

static enum firn_status add_version(struct firn_memtable *m, struct firn_mt_key *k,
                                    const struct firn_entry *e)
{
    if (e->seqno < k->newest->seqno)
        return FIRN_INVALID;
    struct firn_mt_version *v = take(m, sizeof *v + e->value.len);
    if (!v)
        return FIRN_LIMIT;
    version_fill(v, k->newest, e);
    if (!firn_key_is_expiry(e->key))
        m->live += firn_kind_deletes(k->newest->kind) - firn_kind_deletes(e->kind);
    k->newest = v;
    return FIRN_OK;
}

static enum firn_status add_key(struct firn_memtable *m, const struct firn_entry *e, uint64_t hash)
{
    enum firn_status st = firn_memtable__hash_reserve(&m->hash, hash);
    if (st == FIRN_OK && m->npending == FIRN_MT_PENDING_MAX)
        st = firn_memtable__catch_up(m);
    if (st != FIRN_OK)
        return st;
    size_t key_bytes = (sizeof(struct firn_mt_key) + e->key.len + 7) & ~(size_t)7;
    struct firn_mt_key *k = take(m, key_bytes + sizeof(struct firn_mt_version) + e->value.len);
    if (!k)
        return FIRN_LIMIT;
    k->newest = (struct firn_mt_version *)(void *)((uint8_t *)k + key_bytes);
    k->len = (uint32_t)e->key.len;
    if (e->key.len)
        memcpy(k->bytes, e->key.data, e->key.len);
    version_fill(k->newest, NULL, e);
    firn_memtable__hash_insert(&m->hash, hash, k);
    m->pending[m->npending++] = k;
    m->keys++;
    if (firn_key_is_expiry(e->key)) {
        m->index_keys++;
        return FIRN_OK;
    }
    /* No-ops write no record: a DEL of a key that is not here deletes one further down. */
    m->live += firn_kind_deletes(e->kind) ? -1 : 1;
    return FIRN_OK;
}

enum firn_status firn_memtable_add(struct firn_memtable *m, const struct firn_entry *e)
{
    FIRN_ASSERT(!m->frozen);
    if (e->kind == FIRN_RECORD_RANGEDEL)
        return FIRN_INVALID;
    if (e->key.len > UINT32_MAX - 64 || e->value.len > UINT32_MAX)
        return FIRN_LIMIT;
    uint64_t hash = firn_xxh3(e->key.data, e->key.len);
    struct firn_mt_key *k = firn_memtable__hash_find(&m->hash, e->key, hash);
    enum firn_status st = k ? add_version(m, k, e) : add_key(m, e, hash);
    if (st == FIRN_OK)
        m->entries++;
    return st;
}

enum firn_status firn_memtable_add_range(struct firn_memtable *m, struct firn_slice start,
                                         struct firn_slice end, uint64_t seqno)
{
    FIRN_ASSERT(!m->frozen);
    if (!firn_before_end(start, end))
        return FIRN_OK;
    for (size_t i = 0; i < m->tombs.count; i++)
        if (m->tombs.at[i].seqno > seqno)
            return FIRN_INVALID;
    uint8_t *copy = take(m, start.len + end.len + 1); /* never 0 bytes */
    if (!copy)
        return FIRN_LIMIT;
    if (start.len)
        memcpy(copy, start.data, start.len);
    if (end.len)
        memcpy(copy + start.len, end.data, end.len);
    struct firn_range_tomb add = {{copy, start.len}, {copy + start.len, end.len}, seqno};
    struct firn_mt_tombs tombs;
    enum firn_status st = firn_memtable__tombs_add(&m->tombs, &add, &m->reads, &tombs);
    if (st != FIRN_OK)
        return st;
    m->live -= firn_memtable_live(m, start, end);
    firn_free(m->tombs.at);
    m->tombs = tombs;
    m->entries++;
    return FIRN_OK;
}

enum firn_status firn_memtable_covering(const struct firn_memtable *m, struct firn_slice key,
                                        uint64_t max_seqno, struct firn_range_tomb *out)
{
    const struct firn_range_tomb *t = m->tombs.at;
    size_t lo = 0, hi = m->tombs.count; /* entries [0, lo) begin at or before key */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (firn_slice_cmp(t[mid].start, key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0 || !firn_before_end(key, t[lo - 1].end))
        return FIRN_ABSENT;
    /* The fragment's entries end before lo, lowest seqno last. */
    size_t best = lo;
    while (best > 0 && t[best - 1].seqno <= max_seqno &&
           firn_slice_eq(t[best - 1].start, t[lo - 1].start))
        best--;
    if (best == lo)
        return FIRN_ABSENT;
    *out = t[best];
    return FIRN_OK;
}

enum firn_status firn_memtable_get(const struct firn_memtable *m, struct firn_slice key,
                                   uint64_t hash, uint64_t max_seqno, struct firn_entry *out,
                                   uint64_t *covering)
{
    struct firn_range_tomb t;
    if (m->tombs.count && firn_memtable_covering(m, key, max_seqno, &t) == FIRN_OK &&
        t.seqno > *covering)
        *covering = t.seqno;
    const struct firn_mt_key *k = firn_memtable__hash_find(&m->hash, key, hash);
    if (!k)
        return FIRN_ABSENT;
    const struct firn_mt_version *v = k->newest;
    while (v && v->seqno > max_seqno)
        v = v->older;
    if (!v)
        return FIRN_ABSENT;
    out->key = firn_mt_key_slice(k);
    out->value = firn_slice_of(v->value, v->value_len);
    out->seqno = v->seqno;
    out->expiry_ms = v->expiry_ms;
    out->kind = v->kind;
    return FIRN_OK;
}

void firn_memtable_prefetch(const struct firn_memtable *m, uint64_t hash)
{
    const struct firn_mt_segment *s = firn_memtable__segment(&m->hash, hash);
    __builtin_prefetch(&s->slot[(uint32_t)hash & s->mask]);
}

bool firn_memtable_prefetch_key(const struct firn_memtable *m, uint64_t hash)
{
    const struct firn_mt_segment *s = firn_memtable__segment(&m->hash, hash);
    uint32_t i = (uint32_t)hash & s->mask;
    while (s->slot[i].key && s->slot[i].hash != hash)
        i = (i + 1) & s->mask;
    const uint8_t *k = (const uint8_t *)s->slot[i].key;
    if (!k)
        return false;
    /* The key, its first version and the value lie behind one another. */
    for (size_t at = 0; at < PREFETCH_BYTES; at += 64)
        __builtin_prefetch(k + at);
    return true;
}

void firn_memtable_horizon(struct firn_memtable *m, uint64_t low, uint64_t high)
{
    if (low > m->reads.low)
        m->reads.low = low;
    m->reads.high = high;
}

void firn_memtable_place(struct firn_memtable *m, struct firn_place slot)
{
    if (!m->placed)
        m->first = slot;
    m->placed = true;
    m->last = slot;
}

bool firn_memtable_range(const struct firn_memtable *m, struct firn_place *first,
                         struct firn_place *last)
{
    if (m->placed) {
        *first = m->first;
        *last = m->last;
    }
    return m->placed;
}

enum firn_status firn_memtable_freeze(struct firn_memtable *m)
{
    enum firn_status st = firn_memtable__catch_up(m);
    if (st == FIRN_OK)
        m->frozen = true;
    return st;
}

bool firn_memtable_frozen(const struct firn_memtable *m)
{
    return m->frozen;
}

uint64_t firn_memtable_bytes(const struct firn_memtable *m)
{
    return sizeof *m + m->arena.used_bytes + m->hash.bytes + m->tombs.count * sizeof *m->tombs.at;
}

uint64_t firn_memtable_entries(const struct firn_memtable *m)
{
    return m->entries;
}

size_t firn_memtable_tombs(const struct firn_memtable *m, const struct firn_range_tomb **out)
{
    if (out)
        *out = m->tombs.at;
    return m->tombs.count;
}

int64_t firn_memtable_live(const struct firn_memtable *m, struct firn_slice start,
                           struct firn_slice end)
{
    if (start.len == 0 && end.len == 0)
        return m->live;
    double high = end.len ? firn_memtable__tree_rank(&m->tree, end) : 1;
    double share = high - firn_memtable__tree_rank(&m->tree, start);
    /* What is pending beside a large tree is taken to lie as that does; beside a small one it
     * counts. */
    if (m->tree.keys < FIRN_MT_PENDING_MAX && m->keys > 0) {
        double in = share * (double)m->tree.keys;
        for (size_t i = 0; i < m->npending; i++) {
            struct firn_slice key = firn_mt_key_slice(m->pending[i]);
            in += firn_slice_cmp(key, start) >= 0 && (end.len == 0 || firn_slice_cmp(key, end) < 0);
        }
        share = in / (double)(m->tree.keys + m->npending);
    }
    if (share <= 0 || m->keys == m->index_keys)
        return 0;
    /* The expiry index is no part of `live`, nor of the ranges asked for. */
    share *= (double)m->keys / (double)(m->keys - m->index_keys);
    return (int64_t)((share < 1 ? share : 1) * (double)m->live);
}
