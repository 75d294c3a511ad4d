/* About how many live keys a view has in a range: entries less tombstones (each of which deletes
 * one further down), by share of the key range, less what range tombstones of newer sources cover.
 */
#include "base/bytes.h"
#include "format/key.h"
#include "lsm/view_priv.h"

struct range {
    struct firn_slice start, end; /* empty = unbounded */
};

static struct range intersect(struct range a, struct range b)
{
    if (firn_slice_cmp(b.start, a.start) > 0)
        a.start = b.start;
    if (a.end.len == 0 || (b.end.len && firn_slice_cmp(b.end, a.end) < 0))
        a.end = b.end;
    return a;
}

static bool nothing(struct range r)
{
    return !firn_before_end(r.start, r.end);
}

static double eight_bytes(struct firn_slice key, size_t skip)
{
    uint8_t b[8] = {0};
    if (key.len > skip)
        memcpy(b, key.data + skip, key.len - skip < 8 ? key.len - skip : 8);
    return (double)firn_be64(b);
}

/* Where key lies between lower and upper: 0..1, as if keys were spread evenly. */
static double position(struct range whole, struct firn_slice key)
{
    struct firn_slice lo = whole.start, hi = whole.end;
    size_t skip = 0;
    while (skip < lo.len && skip < hi.len && lo.data[skip] == hi.data[skip])
        skip++;
    double a = eight_bytes(lo, skip), b = hi.len ? eight_bytes(hi, skip) : 18446744073709551615.0;
    double at = firn_slice_cmp(key, lo) <= 0 ? a : eight_bytes(key, skip);
    if (!firn_before_end(key, whole.end))
        at = b;
    return b > a ? (at - a) / (b - a) : 0;
}

/* Which part of the entries of a partition, of keys in `whole`, lies in r: by its index where that
 * is resident. */
static double part_share(const struct firn_cache_entry *e, struct range whole, struct range r)
{
    r = intersect(whole, r);
    if (nothing(r))
        return 0;
    if (!e) {
        double high = r.end.len ? position(whole, r.end) : 1;
        return high - position(whole, r.start);
    }
    const struct firn_table_part *p = e->part;
    uint32_t first = firn_seps_find(&p->sep, r.start);
    uint32_t last = r.end.len ? firn_seps_find(&p->sep, r.end) : p->sep.count - 1;
    double in = 0, all = 0;
    for (uint32_t i = 0; i < p->sep.count; i++) {
        all += p->block[i].count;
        in += i >= first && i <= last ? p->block[i].count : 0;
    }
    return in / all;
}

/* Which part of the table's entries lies in r. Partitions have about as many entries as they have
 * bytes. */
static double table_share(const struct firn_view_table *t, struct range r)
{
    struct range whole = {t->lower, t->upper};
    const struct firn_table_handle *h = t->handle;
    const struct firn_table_parts *p = &h->parts;
    uint32_t n = p->sep.count, first, end;
    r = intersect(whole, r);
    if (nothing(r) || !firn_table_parts_range(p, r.start, r.end, &first, &end))
        return 0;
    double share = 0;
    for (uint32_t i = first; i < end; i++) {
        struct range of = whole; /* whole: the edge of the table is not known better */
        if (i > 0)
            of.start = firn_seps_get(&p->sep, i);
        if (i + 1 < n)
            of.end = firn_seps_get(&p->sep, i + 1);
        share += part_share(h->part[i], of, r) * (double)firn_table_parts_bytes(p, i, i + 1);
    }
    return share / (double)firn_table_parts_bytes(p, 0, n);
}

static double table_live(const struct firn_view_table *t, struct range r)
{
    const uint8_t first = FIRN_NS_DB0, behind = FIRN_NS_DB_END;
    const struct range databases = {firn_slice_of(&first, 1), firn_slice_of(&behind, 1)};
    const struct firn_table_handle *h = t->handle;
    double share = table_share(t, r);
    /* All tombstones are of databases; the expiry index beside them has none. */
    double whole = h->tombstones ? table_share(t, databases) : 0;
    double tombstones = whole > 0 ? share / whole * (double)h->tombstones : 0;
    return share * (double)h->entries - 2 * tombstones;
}

struct estimate {
    const struct firn_view *v;
    struct range r;
    double live;
};

/* What the n fragments take away of what `live(arg, range)` counts. */
static double covered(const struct estimate *e, const struct firn_range_tomb *t, size_t n,
                      double (*live)(const void *arg, struct range r), const void *arg)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && firn_slice_eq(t[i].start, t[i - 1].start))
            continue; /* the same fragment at an older seqno */
        struct range r = intersect(e->r, (struct range){t[i].start, t[i].end});
        if (!nothing(r))
            sum += live(arg, r);
    }
    return sum;
}

static double memtable_live(const void *m, struct range r)
{
    return (double)firn_memtable_live(m, r.start, r.end);
}

static double view_table_live(const void *t, struct range r)
{
    return table_live(t, r);
}

/* Add a source whose newer sources are the first nmem memtables and the first nl0 tables of L0. */
static void add(struct estimate *e, size_t nmem, size_t nl0,
                double (*live)(const void *arg, struct range r), const void *arg)
{
    double own = live(arg, e->r), gone = 0;
    const struct firn_range_tomb *t;
    for (size_t i = 0; i < nmem; i++) {
        size_t n = firn_memtable_tombs(e->v->memtable[i], &t);
        gone += covered(e, t, n, live, arg);
    }
    for (size_t i = 0; i < nl0; i++) {
        const struct firn_cache_entry *head = e->v->l0[i].handle->head;
        if (head)
            gone += covered(e, head->head->tomb, head->head->tombs, live, arg);
    }
    /* Fragments of several sources may lie over each other: no more can be gone than is there. */
    if (own > 0 && gone > own)
        gone = own;
    e->live += own - gone;
}

/* How many memtables count: the oldest may be in every partition's runs already. */
static size_t memtables_above_runs(const struct firn_view *v)
{
    size_t n = v->nmemtables;
    struct firn_place first, last;
    for (; v->nparts && n > 0; n--) {
        if (!firn_memtable_range(v->memtable[n - 1], &first, &last))
            return n;
        for (size_t p = 0; p < v->nparts; p++)
            if (firn_place_cmp(v->part[p].l0_upto, last) <= 0)
                return n;
    }
    return n;
}

enum firn_status firn_view_tombs(const struct firn_view *v, struct firn_read *r)
{
    enum firn_status worst = FIRN_OK;
    for (size_t i = 0; i < v->nl0; i++) {
        const struct firn_table_head *head;
        if (!v->l0[i].handle->range_tombstones)
            continue;
        enum firn_status st = firn_handle_head(v->l0[i].handle, r, &head);
        if (st == FIRN_AGAIN)
            worst = st;
        else if (st != FIRN_OK)
            return st;
    }
    return worst;
}

uint64_t firn_view_estimate(const struct firn_view *v, struct firn_slice start,
                            struct firn_slice end)
{
    struct estimate e = {.v = v, .r = {start, end}};
    size_t nmem = memtables_above_runs(v);
    for (size_t i = 0; i < nmem; i++)
        add(&e, i, 0, memtable_live, v->memtable[i]);
    for (size_t i = 0; i < v->nl0; i++)
        add(&e, nmem, i, view_table_live, &v->l0[i]);
    for (size_t p = 0; p < v->nparts; p++)
        for (size_t i = 0; i < v->part[p].nruns; i++)
            for (size_t t = 0; t < v->part[p].run[i].count; t++)
                add(&e, nmem, v->nl0, view_table_live, &v->part[p].run[i].table[t]);
    return e.live > 0 ? (uint64_t)e.live : 0;
}
