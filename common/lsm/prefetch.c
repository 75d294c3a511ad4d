/* Point reads to come: what they will touch is asked of the memory for all of them at once, step by
 * step, so that their cache misses overlap (Chen, Ailamaki, Gibbons, Mowry: "Improving hash join
 * performance through prefetching", ICDE 2004: group prefetching). Changes nothing, counts nothing,
 * fetches nothing from the store. */
#include "base/hash.h"
#include "lsm/view_priv.h"

/* Less than this lies in the CPU's cache anyway. */
#define WORTH_BYTES ((uint64_t)2 << 20)

static bool worth_it(const struct firn_view *v)
{
    uint64_t bytes = firn_cache_stats_of(v->lsm->cache)->bytes;
    for (size_t i = 0; i < v->nmemtables && bytes < WORTH_BYTES; i++)
        bytes += firn_memtable_bytes(v->memtable[i]);
    return bytes >= WORTH_BYTES;
}

static void step_memory(const struct firn_view *v, struct firn_view_probe *p)
{
    size_t n = p->memory_only && v->nmemtables ? 1 : v->nmemtables;
    p->hash = firn_xxh3(p->key.data, p->key.len);
    for (size_t i = 0; i < n; i++)
        firn_memtable_prefetch(v->memtable[i], p->hash);
}

/* Note the partition of the table that the key would lie in, if there is one and it is resident. */
static void note_part(const struct firn_view_table *t, struct firn_view_probe *p)
{
    const struct firn_table_handle *h = t->handle;
    if (h->parts.sep.count == 0 || !firn_view__table_has(t, p->key))
        return;
    const struct firn_cache_entry *e = h->part[firn_handle_find(h, p->key)];
    if (e)
        p->part[p->tables++] = e->part;
}

/* Note the tables that a read of the key would ask, newest first, as far as there is room. */
static void note_tables(const struct firn_view *v, struct firn_view_probe *p)
{
    const struct firn_view_part *part = firn_view__part(v, p->key);
    for (size_t i = 0; i < v->nl0 && p->tables < FIRN_PROBE_TABLES_MAX; i++) {
        if (part && firn_place_cmp(v->l0[i].end, part->l0_upto) <= 0)
            break;
        note_part(&v->l0[i], p);
    }
    for (size_t i = 0; part && i < part->nruns && p->tables < FIRN_PROBE_TABLES_MAX; i++) {
        size_t t = firn_view__run_find(&part->run[i], p->key);
        if (t < part->run[i].count)
            note_part(&part->run[i].table[t], p);
    }
}

/* Found in memory, or the filters of the tables are wanted next. */
static void step_filters(const struct firn_view *v, struct firn_view_probe *p)
{
    size_t n = p->memory_only && v->nmemtables ? 1 : v->nmemtables;
    p->tables = 0;
    for (size_t i = 0; i < n; i++)
        if (firn_memtable_prefetch_key(v->memtable[i], p->hash))
            return;
    if (p->memory_only)
        return;
    note_tables(v, p);
    for (size_t i = 0; i < p->tables; i++)
        firn_filter_prefetch(&p->part[i]->filter, p->hash);
}

/* The first table whose filter does not rule the key out; its block in the cache is wanted next. */
static void step_cache(const struct firn_view *v, struct firn_view_probe *p)
{
    p->found = false;
    for (size_t i = 0; i < p->tables && !p->found; i++) {
        const struct firn_table_part *m = p->part[i];
        if (!firn_filter_may_have(&m->filter, p->hash))
            continue;
        p->found = true;
        p->table_id = m->table_id;
        p->offset = m->block[firn_seps_find(&m->sep, p->key)].offset;
        firn_cache_prefetch(v->lsm->cache, p->table_id, p->offset);
    }
}

void firn_view_prefetch(const struct firn_view *v, struct firn_view_probe *p, size_t n)
{
    const struct firn_cache *cache = v->lsm->cache;
    if (!worth_it(v))
        return;
    for (size_t i = 0; i < n; i++)
        step_memory(v, &p[i]);
    bool below = false;
    for (size_t i = 0; i < n; i++) {
        step_filters(v, &p[i]);
        below |= p[i].tables > 0;
    }
    if (!below)
        return;
    for (size_t i = 0; i < n; i++)
        step_cache(v, &p[i]);
    for (size_t i = 0; i < n; i++)
        if (p[i].found)
            firn_cache_prefetch_entry(cache, p[i].table_id, p[i].offset);
    for (size_t i = 0; i < n; i++) {
        p[i].block = p[i].found ? firn_cache_find(cache, p[i].table_id, p[i].offset) : NULL;
        if (p[i].block)
            firn_block_prefetch_index(&p[i].block->block, p[i].hash);
    }
    for (size_t i = 0; i < n; i++)
        if (p[i].block)
            firn_block_prefetch_restart(&p[i].block->block, p[i].hash);
    for (size_t i = 0; i < n; i++)
        if (p[i].block)
            firn_block_prefetch_entries(&p[i].block->block, p[i].key, p[i].hash);
}
