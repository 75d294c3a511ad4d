#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "lsm/view_priv.h"

#define ARENA_CHUNK_BYTES ((size_t)4096)

/* --- building */

static void *array(struct firn_view *v, size_t count, size_t size)
{
    size_t bytes = count ? count * size : 1; /* an arena has nothing to give for 0 bytes */
    void *p = firn_arena_alloc(&v->arena, bytes);
    if (p)
        memset(p, 0, bytes);
    return p;
}

static enum firn_status table_init(struct firn_view *v, const Firn__Table *t,
                                   struct firn_view_table *out, struct firn_err *err)
{
    struct firn_table_handle *h;
    enum firn_status st = firn_handle_get(v->lsm, firn_id_short(&v->manifest->db), t, &h, err);
    if (st != FIRN_OK)
        return st;
    *out = (struct firn_view_table){
        .handle = h, .lower = firn_table_lower(t), .upper = firn_table_upper(t)};
    if (t->end)
        out->end = firn_place_of(t->end);
    return FIRN_OK;
}

static enum firn_status l0_init(struct firn_view *v, struct firn_place from, struct firn_err *err)
{
    const Firn__Manifest *m = v->manifest->pb;
    v->l0 = array(v, m->n_l0, sizeof *v->l0);
    if (!v->l0)
        return firn_fail(err, FIRN_LIMIT, "no memory for a view");
    for (size_t i = 0; i < m->n_l0; i++) {
        if (m->l0[i]->first && firn_place_cmp(firn_place_of(m->l0[i]->first), from) >= 0)
            continue; /* it is in memory, whole */
        enum firn_status st = table_init(v, m->l0[i], &v->l0[v->nl0], err);
        if (st != FIRN_OK)
            return st;
        v->nl0++;
    }
    return FIRN_OK;
}

static enum firn_status run_init(struct firn_view *v, const Firn__Run *r, struct firn_view_run *out,
                                 struct firn_err *err)
{
    out->table = array(v, r->n_tables, sizeof *out->table);
    if (!out->table)
        return firn_fail(err, FIRN_LIMIT, "no memory for a view");
    for (size_t i = 0; i < r->n_tables; i++) {
        enum firn_status st = table_init(v, r->tables[i], &out->table[i], err);
        if (st != FIRN_OK)
            return st;
        out->count++;
    }
    return FIRN_OK;
}

static enum firn_status parts_init(struct firn_view *v, struct firn_err *err)
{
    const Firn__Manifest *m = v->manifest->pb;
    v->part = array(v, m->n_partitions, sizeof *v->part);
    if (!v->part)
        return firn_fail(err, FIRN_LIMIT, "no memory for a view");
    for (; v->nparts < m->n_partitions; v->nparts++) {
        const Firn__Partition *p = m->partitions[v->nparts];
        struct firn_view_part *out = &v->part[v->nparts];
        out->start = firn_pb_slice(&p->start);
        out->end = firn_pb_slice(&p->end);
        out->l0_upto = firn_place_of(p->l0_upto);
        out->run = array(v, p->n_runs, sizeof *out->run);
        enum firn_status st =
            out->run ? FIRN_OK : firn_fail(err, FIRN_LIMIT, "no memory for a view");
        for (size_t i = 0; st == FIRN_OK && i < p->n_runs; i++) {
            out->nruns++; /* what run_init got before it failed is given back, too */
            st = run_init(v, p->runs[i], &out->run[i], err);
        }
        if (st != FIRN_OK) {
            v->nparts++;
            return st;
        }
    }
    return FIRN_OK;
}

static void view_free(struct firn_view *v)
{
    for (size_t i = 0; i < v->nmemtables; i++)
        firn_memtable_unref(v->memtable[i]);
    if (v->base) { /* the rest is its */
        v->manifest = NULL;
        v->nl0 = v->nparts = 0;
    }
    for (size_t i = 0; i < v->nl0; i++)
        firn_handle_unref(v->l0[i].handle);
    for (size_t p = 0; p < v->nparts; p++)
        for (size_t i = 0; i < v->part[p].nruns; i++)
            for (size_t t = 0; t < v->part[p].run[i].count; t++)
                firn_handle_unref(v->part[p].run[i].table[t].handle);
    firn_manifest_unref(v->manifest);
    firn_arena_clear(&v->arena);
    firn_free(v);
}

enum firn_status firn_view_create(struct firn_lsm *lsm, struct firn_manifest *manifest,
                                  struct firn_memtable *const *memtables, size_t nmemtables,
                                  struct firn_view **out, struct firn_err *err)
{
    static const struct firn_place nowhere = {UINT64_MAX, UINT64_MAX};
    return firn_view_create_above(lsm, manifest, memtables, nmemtables, nowhere, out, err);
}

enum firn_status firn_view_create_above(struct firn_lsm *lsm, struct firn_manifest *manifest,
                                        struct firn_memtable *const *memtables, size_t nmemtables,
                                        struct firn_place from, struct firn_view **out,
                                        struct firn_err *err)
{
    struct firn_view *v = firn_calloc(1, sizeof *v);
    if (!v)
        return firn_fail(err, FIRN_LIMIT, "no memory for a view");
    v->refs = 1;
    v->lsm = lsm;
    v->arena.chunk_bytes = ARENA_CHUNK_BYTES;
    enum firn_status st = FIRN_OK;
    v->memtable = array(v, nmemtables, sizeof *v->memtable);
    if (!v->memtable)
        st = firn_fail(err, FIRN_LIMIT, "no memory for a view");
    for (size_t i = 0; st == FIRN_OK && i < nmemtables; i++) {
        firn_memtable_ref(memtables[i]);
        v->memtable[v->nmemtables++] = memtables[i];
    }
    if (st == FIRN_OK && manifest) {
        firn_manifest_ref(manifest);
        v->manifest = manifest;
        st = l0_init(v, from, err);
        if (st == FIRN_OK)
            st = parts_init(v, err);
    }
    if (st == FIRN_OK)
        *out = v;
    else
        view_free(v);
    return st;
}

enum firn_status firn_view_overlay(struct firn_view *base, struct firn_memtable *top,
                                   struct firn_view **out)
{
    struct firn_view *v = firn_malloc(sizeof *v);
    if (!v)
        return FIRN_LIMIT;
    *v = *base;
    v->refs = 1;
    v->arena = (struct firn_arena){.chunk_bytes = ARENA_CHUNK_BYTES};
    v->memtable = array(v, base->nmemtables + 1, sizeof *v->memtable);
    if (!v->memtable) {
        firn_free(v);
        return FIRN_LIMIT;
    }
    v->memtable[0] = top;
    for (size_t i = 0; i < base->nmemtables; i++)
        v->memtable[i + 1] = base->memtable[i];
    v->nmemtables = base->nmemtables + 1;
    for (size_t i = 0; i < v->nmemtables; i++)
        firn_memtable_ref(v->memtable[i]);
    firn_view_ref(base);
    v->base = base;
    *out = v;
    return FIRN_OK;
}

void firn_view_ref(struct firn_view *v)
{
    v->refs++;
}

void firn_view_unref(struct firn_view *v)
{
    while (v && --v->refs == 0) {
        struct firn_view *base = v->base;
        view_free(v);
        v = base;
    }
}

struct firn_manifest *firn_view_manifest(const struct firn_view *v)
{
    return v->manifest;
}

size_t firn_view_memtables(const struct firn_view *v)
{
    return v->nmemtables;
}

const struct firn_memtable *firn_view_memtable(const struct firn_view *v, size_t i)
{
    FIRN_ASSERT(i < v->nmemtables);
    return v->memtable[i];
}

size_t firn_view_l0_tables(const struct firn_view *v)
{
    return v->nl0;
}

/* --- finding */

const struct firn_view_part *firn_view__part(const struct firn_view *v, struct firn_slice key)
{
    size_t lo = 0, hi = v->nparts; /* those before lo begin at or before key */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (firn_slice_cmp(v->part[mid].start, key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? &v->part[lo - 1] : NULL;
}

size_t firn_view__run_find(const struct firn_view_run *r, struct firn_slice key)
{
    size_t lo = 0, hi = r->count; /* those before lo end at or before key */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (firn_before_end(key, r->table[mid].upper))
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* --- point reads (I8: the first source that has the key, or a range tombstone over it, decides,
 * for all it has is newer than what lies below) */

struct lookup {
    struct firn_read *r;
    struct firn_slice key;
    uint64_t hash, max_seqno;
    uint64_t covering; /* highest seqno of a range tombstone met */
    bool found;
    struct firn_entry e;
    bool missing, missing_meta; /* of a source that might have decided */
};

/* The key's newest version and what covers it are known. */
static enum firn_status decide(const struct lookup *k, struct firn_entry *out)
{
    if (!k->found || k->e.seqno < k->covering || firn_kind_deletes(k->e.kind))
        return FIRN_ABSENT;
    *out = k->e;
    return FIRN_OK;
}

/* The filters do not rule it out: is it in its block? OK: known, one way or the other; AGAIN,
 * LIMIT. */
static enum firn_status look_block(struct lookup *k, struct firn_table_handle *h,
                                   const struct firn_table_part *p)
{
    struct firn_cache_entry *block;
    enum firn_status st = firn_handle_block(h, p, firn_seps_find(&p->sep, k->key), k->r, &block);
    if (st != FIRN_OK)
        return st;
    struct firn_entry e;
    if (firn_block_get(&block->block, k->key, k->hash, &e) != FIRN_OK) {
        h->lsm->stats.filter_false += p->filter.lines > 0;
        return FIRN_OK;
    }
    if (e.kind >= FIRN_RECORD_SKIPPABLE || e.seqno > k->max_seqno)
        return FIRN_OK;
    k->e = e;
    k->found = true;
    return firn_read__pin(k->r, block);
}

/* What the table's range tombstones say. OK; AGAIN: its head is missing (noted); LIMIT. */
static enum firn_status look_tombs(struct lookup *k, struct firn_table_handle *h)
{
    const struct firn_table_head *head;
    enum firn_status st = firn_handle_head(h, k->r, &head);
    k->missing_meta |= st == FIRN_AGAIN;
    if (st != FIRN_OK)
        return st;
    uint64_t c = firn_tombs_covering(head->tomb, head->tombs, k->key);
    if (c <= k->max_seqno && c > k->covering)
        k->covering = c;
    return FIRN_OK;
}

/* Look into one table. OK: done with it, k->found or k->covering say whether it decides; AGAIN: it
 * might, but something is missing (noted). */
static enum firn_status look_table(struct lookup *k, const struct firn_view_table *t)
{
    struct firn_table_handle *h = t->handle;
    const struct firn_table_part *p;
    if (!firn_view__table_has(t, k->key))
        return FIRN_OK;
    k->r->tables_looked++;
    enum firn_status tombs = h->range_tombstones ? look_tombs(k, h) : FIRN_OK;
    if (tombs == FIRN_LIMIT)
        return tombs;
    if (h->parts.sep.count == 0 || k->covering > h->max_seqno)
        return tombs;
    /* Asked for also while the head is missing: both come in one round trip. */
    enum firn_status st = firn_handle_part(h, firn_handle_find(h, k->key), k->r, &p);
    if (st != FIRN_OK || tombs != FIRN_OK) {
        k->missing_meta = true;
        return st != FIRN_OK ? st : tombs;
    }
    if (!firn_filter_may_have(&p->filter, k->hash)) {
        k->r->filters_absent++;
        h->lsm->stats.filter_absent++;
        return FIRN_OK;
    }
    /* While a newer table's metadata is missing it is not known whether this block will be needed:
     * it waits for the second round trip, in which all such blocks come together. */
    if (k->missing_meta)
        return FIRN_AGAIN;
    return look_block(k, h, p);
}

/* Look into t unless something above has decided. False: no need to look further down. */
static bool look(struct lookup *k, const struct firn_view_table *t, enum firn_status *st)
{
    enum firn_status s = look_table(k, t);
    if (s == FIRN_AGAIN)
        k->missing = true;
    else if (s != FIRN_OK)
        *st = s;
    return *st == FIRN_OK && !k->found && k->covering == 0;
}

static enum firn_status get_from_tables(const struct firn_view *v, struct lookup *k,
                                        struct firn_entry *out)
{
    struct firn_read *r = k->r;
    unsigned looked = r->tables_looked, absent = r->filters_absent;
    const struct firn_view_part *p = firn_view__part(v, k->key);
    enum firn_status st = FIRN_OK;
    bool on = true;
    for (size_t i = 0; on && i < v->nl0; i++) {
        /* Older tables are in the partition's runs already, as is this one. */
        if (p && firn_place_cmp(v->l0[i].end, p->l0_upto) <= 0)
            break;
        on = look(k, &v->l0[i], &st);
    }
    for (size_t i = 0; p && on && i < p->nruns; i++) {
        size_t t = firn_view__run_find(&p->run[i], k->key);
        if (t < p->run[i].count)
            on = look(k, &p->run[i].table[t], &st);
    }
    if (st != FIRN_OK)
        return st;
    if (!k->missing)
        return decide(k, out);
    r->tables_looked = looked; /* it will all be looked at again */
    r->filters_absent = absent;
    r->memtables_looked -= (unsigned)v->nmemtables;
    return FIRN_AGAIN;
}

enum firn_status firn_view_get(struct firn_view *v, struct firn_read *r, struct firn_slice key,
                               uint64_t max_seqno, struct firn_entry *out)
{
    struct lookup k = {
        .r = r, .key = key, .hash = firn_xxh3(key.data, key.len), .max_seqno = max_seqno};
    for (size_t i = 0; i < v->nmemtables; i++) {
        r->memtables_looked++;
        k.found =
            firn_memtable_get(v->memtable[i], key, k.hash, max_seqno, &k.e, &k.covering) == FIRN_OK;
        if (k.found || k.covering)
            return decide(&k, out);
    }
    return v->manifest ? get_from_tables(v, &k, out) : FIRN_ABSENT;
}
