/* Iterators over a view: the merge of its sources, newest version of each key, deletions applied.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "lsm/iter_priv.h"

#define NOWHERE SIZE_MAX

/* --- the heap of sources that stand at an entry: least key first (reverse: greatest), newer ones
 * first */

static bool before(const struct firn_iter *it, const struct firn_source *a,
                   const struct firn_source *b)
{
    int c = firn_slice_cmp(a->e.key, b->e.key);
    if (c == 0)
        return a->rank < b->rank;
    return it->reverse ? c > 0 : c < 0;
}

static void sift_down(struct firn_iter *it, size_t i)
{
    struct firn_source *s = it->heap[i];
    for (size_t child; (child = 2 * i + 1) < it->nheap; i = child) {
        if (child + 1 < it->nheap && before(it, it->heap[child + 1], it->heap[child]))
            child++;
        if (!before(it, it->heap[child], s))
            break;
        it->heap[i] = it->heap[child];
    }
    it->heap[i] = s;
}

static void push(struct firn_iter *it, struct firn_source *s)
{
    size_t i = it->nheap++;
    for (; i > 0 && before(it, s, it->heap[(i - 1) / 2]); i = (i - 1) / 2)
        it->heap[i] = it->heap[(i - 1) / 2];
    it->heap[i] = s;
}

static struct firn_source *pop(struct firn_iter *it)
{
    struct firn_source *s = it->heap[0];
    it->heap[0] = it->heap[--it->nheap];
    if (it->nheap)
        sift_down(it, 0);
    return s;
}

/* Make the heap anew, of the first n sources. */
static void reheap(struct firn_iter *it, size_t n)
{
    it->nheap = 0;
    for (size_t i = 0; i < n; i++)
        if (it->source[i].state == FIRN_SOURCE_AT)
            push(it, &it->source[i]);
}

/* --- moving */

/* Let every source that stands at the top's key go on to its next one. */
static void consume(struct firn_iter *it)
{
    struct firn_source *top = pop(it);
    while (it->nheap && firn_slice_eq(it->heap[0]->e.key, top->e.key)) {
        struct firn_source *s = pop(it);
        s->state = FIRN_SOURCE_PENDING; /* has not moved yet: todo is STEP */
        s->todo = FIRN_SOURCE_STEP;
    }
    top->state = FIRN_SOURCE_PENDING;
    top->todo = FIRN_SOURCE_STEP;
}

/* Resolve all that is pending. Every source is asked, so that all that is missing is noted at once.
 */
static enum firn_status resolve(struct firn_iter *it)
{
    enum firn_status result = FIRN_OK;
    for (size_t i = 0; i < it->nsources; i++) {
        struct firn_source *s = &it->source[i];
        if (s->state != FIRN_SOURCE_PENDING)
            continue;
        enum firn_status st = firn_source__resolve(s);
        if (st != FIRN_OK && (result == FIRN_OK || result == FIRN_AGAIN))
            result = st;
        if (st == FIRN_OK && s->state == FIRN_SOURCE_AT)
            push(it, s);
    }
    return result;
}

/* --- partitions: the sources behind nfixed are the runs of one */

static enum firn_status tomb_add(struct firn_iter *it, unsigned rank, struct firn_memtable *m,
                                 const struct firn_view_table *t)
{
    if (it->ntombs == it->tombs_cap) {
        size_t cap = it->tombs_cap ? it->tombs_cap * 2 : 8;
        struct firn_tomb_source *p = firn_realloc(it->tomb, cap * sizeof *p);
        if (!p)
            return FIRN_LIMIT;
        it->tomb = p;
        it->tombs_cap = cap;
    }
    it->tomb[it->ntombs++] = (struct firn_tomb_source){rank, m, t};
    return FIRN_OK;
}

/* Open the runs of partition `part`, whose sources come up behind the fixed ones. On LIMIT those
 * that were opened are closed again by the next try, or by free. */
static enum firn_status open_part(struct firn_iter *it, size_t part)
{
    const struct firn_view_part *p = &it->view->part[part];
    reheap(it, it->nfixed);
    for (size_t i = it->nfixed; i < it->nsources; i++)
        firn_source__close(&it->source[i]);
    it->nsources = it->nfixed;
    it->ntombs = it->nfixed_tombs;
    for (size_t i = 0; i < p->nruns; i++) {
        const struct firn_view_run *run = &p->run[i];
        if (run->count == 0)
            continue;
        struct firn_source *s = &it->source[it->nsources];
        *s = (struct firn_source){.it = it, .rank = (unsigned)(it->nfixed + i)};
        enum firn_status st = firn_source__open(s, run->table, run->count);
        for (size_t t = 0; st == FIRN_OK && t < run->count; t++)
            if (run->table[t].handle->range_tombstones)
                st = tomb_add(it, s->rank, NULL, &run->table[t]);
        if (st != FIRN_OK) {
            firn_source__close(s);
            return st;
        }
        it->nsources++;
    }
    it->part = part;
    return FIRN_OK;
}

/* The partition to go on with when the merge has come to `top` (NULL: to the end of the sources
 * there are), NOWHERE when the current one is not used up or was the last within the bounds. */
static size_t next_part(const struct firn_iter *it, const struct firn_source *top)
{
    const struct firn_view *v = it->view;
    if (v->nparts == 0)
        return NOWHERE;
    const struct firn_view_part *p = &v->part[it->part];
    if (it->reverse) {
        bool used_up = !top || firn_slice_cmp(top->e.key, p->start) < 0;
        bool more = it->part > 0 && firn_slice_cmp(it->start, p->start) < 0;
        return used_up && more ? it->part - 1 : NOWHERE;
    }
    bool used_up = !top || !firn_before_end(top->e.key, p->end);
    bool more = it->part + 1 < v->nparts && firn_before_end(p->end, it->end);
    return used_up && more ? it->part + 1 : NOWHERE;
}

/* --- range tombstones */

enum firn_status firn_iter__tomb(struct firn_iter *it, const struct firn_tomb_source *t,
                                 struct firn_slice key, bool note, struct firn_range_tomb *out)
{
    if (t->memtable)
        return firn_memtable_covering(t->memtable, key, it->max_seqno, out);
    if (!firn_view__table_has(t->table, key))
        return FIRN_ABSENT;
    struct firn_table_handle *table = t->table->handle;
    if (!table->head && !note)
        return FIRN_ABSENT;
    const struct firn_table_head *h;
    enum firn_status st = firn_handle_head(table, it->r, &h);
    if (st != FIRN_OK)
        return st;
    size_t i = firn_tombs_find(h->tomb, h->tombs, key);
    if (i == h->tombs || firn_slice_cmp(h->tomb[i].start, key) > 0 ||
        h->tomb[i].seqno > it->max_seqno)
        return FIRN_ABSENT;
    *out = h->tomb[i];
    if (firn_slice_cmp(out->start, t->table->lower) < 0)
        out->start = t->table->lower;
    struct firn_slice upper = t->table->upper;
    if (upper.len && firn_before_end(upper, out->end))
        out->end = upper;
    return FIRN_OK;
}

/* The newest range tombstone over the top's key from its own or a newer source: OK, *out and its
 * rank; ABSENT; AGAIN: something that may have one is missing. */
static enum firn_status covering(struct firn_iter *it, const struct firn_source *top,
                                 struct firn_range_tomb *out, unsigned *rank)
{
    enum firn_status result = FIRN_ABSENT;
    bool again = false;
    for (size_t i = 0; i < it->ntombs; i++) {
        struct firn_range_tomb t;
        if (it->tomb[i].rank > top->rank)
            continue;
        enum firn_status st = firn_iter__tomb(it, &it->tomb[i], top->e.key, true, &t);
        again |= st == FIRN_AGAIN;
        if (st == FIRN_LIMIT)
            return st;
        if (st != FIRN_OK || (result == FIRN_OK && t.seqno <= out->seqno))
            continue;
        result = FIRN_OK;
        *out = t;
        *rank = it->tomb[i].rank;
    }
    return again ? FIRN_AGAIN : result;
}

/* Let all sources older than `rank` that stand within t jump to its end: all they have in there is
 * older than it (I8). That goes for those too that were told to step from an entry within. LIMIT:
 * some have jumped, which is right, too. */
static enum firn_status jump(struct firn_iter *it, const struct firn_range_tomb *t, unsigned rank)
{
    struct firn_slice to = it->reverse ? t->start : t->end;
    enum firn_status st = FIRN_OK;
    for (size_t i = 0; st == FIRN_OK && i < it->nsources; i++) {
        struct firn_source *s = &it->source[i];
        bool stands = s->state == FIRN_SOURCE_AT ||
                      (s->state == FIRN_SOURCE_PENDING && s->todo == FIRN_SOURCE_STEP);
        if (!stands || s->rank <= rank)
            continue;
        if (it->reverse ? firn_slice_cmp(s->e.key, t->start) < 0
                        : !firn_before_end(s->e.key, t->end))
            continue;
        if (to.len == 0)
            s->state = FIRN_SOURCE_DONE; /* nothing lies behind it */
        else
            st = firn_source__seek(s, to);
    }
    reheap(it, it->nsources);
    return st;
}

/* --- the merge */

/* Is the top to be shown? OK; ABSENT: no, it is passed over; AGAIN, LIMIT. */
static enum firn_status judge(struct firn_iter *it)
{
    const struct firn_source *top = it->heap[0];
    struct firn_range_tomb t = {0};
    unsigned rank = 0;
    enum firn_status st = it->ntombs ? covering(it, top, &t, &rank) : FIRN_ABSENT;
    if (st == FIRN_OK && top->e.seqno < t.seqno) {
        consume(it); /* its own source cannot jump: it may have newer entries in there */
        st = jump(it, &t, rank);
        return st == FIRN_OK ? FIRN_ABSENT : st;
    }
    if (st != FIRN_OK && st != FIRN_ABSENT)
        return st;
    bool expired = it->now_ms && top->e.expiry_ms && top->e.expiry_ms <= it->now_ms;
    if (expired || firn_kind_deletes(top->e.kind)) {
        consume(it);
        return FIRN_ABSENT;
    }
    return FIRN_OK;
}

enum firn_status firn_iter_next(struct firn_iter *it, struct firn_entry *out)
{
    if (it->emitted)
        consume(it);
    it->emitted = false;
    for (;;) {
        enum firn_status st = resolve(it);
        if (st != FIRN_OK)
            return st;
        size_t part = next_part(it, it->nheap ? it->heap[0] : NULL);
        if (part != NOWHERE) {
            st = open_part(it, part);
            if (st != FIRN_OK)
                return st;
            continue;
        }
        if (it->nheap == 0)
            return FIRN_ABSENT;
        st = judge(it);
        if (st == FIRN_ABSENT)
            continue;
        if (st == FIRN_OK) {
            it->emitted = true;
            *out = it->heap[0]->e;
        }
        return st;
    }
}

/* --- making */

static enum firn_status copy_bounds(struct firn_iter *it, const struct firn_iter_options *o)
{
    it->bounds = firn_malloc(o->start.len + o->end.len);
    if (!it->bounds)
        return FIRN_LIMIT;
    if (o->start.len)
        memcpy(it->bounds, o->start.data, o->start.len);
    if (o->end.len)
        memcpy(it->bounds + o->start.len, o->end.data, o->end.len);
    it->start = firn_slice_of(it->bounds, o->start.len);
    it->end = firn_slice_of(it->bounds + o->start.len, o->end.len);
    return FIRN_OK;
}

static enum firn_status open_memtable(struct firn_iter *it, struct firn_memtable *m)
{
    struct firn_source *s = &it->source[it->nsources];
    *s = (struct firn_source){.it = it, .rank = (unsigned)it->nsources, .memtable = true};
    enum firn_status st = tomb_add(it, s->rank, m, NULL);
    if (st == FIRN_OK)
        st = firn_memtable_iter_init(&s->mi, m, it->max_seqno, it->reverse);
    if (st == FIRN_OK)
        st = firn_source__open(s, NULL, 0);
    it->nsources += st == FIRN_OK;
    return st;
}

static enum firn_status open_l0(struct firn_iter *it, const struct firn_view_table *t)
{
    struct firn_source *s = &it->source[it->nsources];
    *s = (struct firn_source){.it = it, .rank = (unsigned)it->nsources};
    enum firn_status st = t->handle->range_tombstones ? tomb_add(it, s->rank, NULL, t) : FIRN_OK;
    if (st == FIRN_OK)
        st = firn_source__open(s, t, 1);
    it->nsources += st == FIRN_OK;
    return st;
}

/* The partition in which a scan begins. */
static size_t first_part(const struct firn_iter *it)
{
    const struct firn_view *v = it->view;
    if (it->reverse && it->end.len == 0)
        return v->nparts - 1;
    const struct firn_view_part *p = firn_view__part(v, it->reverse ? it->end : it->start);
    return p ? (size_t)(p - v->part) : 0;
}

static enum firn_status open_sources(struct firn_iter *it)
{
    const struct firn_view *v = it->view;
    size_t most = 0;
    for (size_t i = 0; i < v->nparts; i++)
        most = v->part[i].nruns > most ? v->part[i].nruns : most;
    most += v->nmemtables + v->nl0;
    it->source = firn_calloc(most, sizeof *it->source);
    it->heap = firn_calloc(most, sizeof(struct firn_source *));
    if (!it->source || !it->heap)
        return FIRN_LIMIT;
    /* All that is read ahead is pinned: it must not fill the cache. */
    it->ahead_bytes = firn_lsm__readahead(v->lsm);
    if (it->ahead_bytes > firn_cache_limit(v->lsm->cache) / 4)
        it->ahead_bytes = firn_cache_limit(v->lsm->cache) / 4;
    it->ahead_bytes /= most - v->nmemtables + 1;
    enum firn_status st = FIRN_OK;
    for (size_t i = 0; st == FIRN_OK && i < v->nmemtables; i++)
        st = open_memtable(it, v->memtable[i]);
    for (size_t i = 0; st == FIRN_OK && i < v->nl0; i++)
        st = open_l0(it, &v->l0[i]);
    if (st != FIRN_OK)
        return st;
    it->nfixed = it->nsources;
    it->nfixed_tombs = it->ntombs;
    return v->nparts ? open_part(it, first_part(it)) : FIRN_OK;
}

enum firn_status firn_iter_create(struct firn_view *v, struct firn_read *r,
                                  const struct firn_iter_options *o, struct firn_iter **out)
{
    struct firn_iter *it = firn_calloc(1, sizeof *it);
    if (!it)
        return FIRN_LIMIT;
    firn_view_ref(v);
    it->view = v;
    it->r = r;
    it->reverse = o->reverse;
    it->max_seqno = o->max_seqno;
    it->now_ms = o->now_ms;
    it->ahead = o->ahead;
    enum firn_status st = copy_bounds(it, o);
    if (st == FIRN_OK)
        st = open_sources(it);
    if (st == FIRN_OK)
        *out = it;
    else
        firn_iter_free(it);
    return st;
}

void firn_iter_free(struct firn_iter *it)
{
    if (!it)
        return;
    for (size_t i = 0; i < it->nsources; i++)
        firn_source__close(&it->source[i]);
    firn_free(it->source);
    firn_free(it->heap);
    firn_free(it->tomb);
    firn_free(it->bounds);
    firn_view_unref(it->view);
    firn_free(it);
}
