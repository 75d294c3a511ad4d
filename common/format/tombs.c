#include "format/tombs.h"

#include "base/mem.h"

#include <stdlib.h>

size_t firn_tombs_find(const struct firn_range_tomb *t, size_t n, struct firn_slice key)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (firn_before_end(key, t[mid].end))
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

uint64_t firn_tombs_covering(const struct firn_range_tomb *t, size_t n, struct firn_slice key)
{
    size_t i = firn_tombs_find(t, n, key);
    return i < n && firn_slice_cmp(t[i].start, key) <= 0 ? t[i].seqno : 0;
}

/* Order of bounds where empty means unbounded (ends). */
static int end_cmp(struct firn_slice a, struct firn_slice b)
{
    if (a.len == 0 || b.len == 0)
        return (a.len == 0) - (b.len == 0);
    return firn_slice_cmp(a, b);
}

static int by_start(const void *a, const void *b)
{
    const struct firn_range_tomb *x = a, *y = b;
    return firn_slice_cmp(x->start, y->start);
}

/* The sweep over sorted ranges: `open` are those that cover the current position. */
struct sweep {
    struct firn_range_tomb *out; /* at most 2 * ranges fragments */
    size_t nout;
    struct firn_range_tomb *open;
    size_t nopen;
    struct firn_slice at; /* fragments are complete up to here */
};

static void emit(struct sweep *w, struct firn_slice end, uint64_t seqno)
{
    struct firn_range_tomb *last = w->nout ? &w->out[w->nout - 1] : NULL;
    if (last && last->seqno == seqno && last->end.len && firn_slice_eq(last->end, w->at))
        last->end = end;
    else
        w->out[w->nout++] = (struct firn_range_tomb){w->at, end, seqno};
}

/* Emit what the open ranges cover from w->at to the start `to` (NULL = the very end), closing those
 * that end before it. */
static void advance(struct sweep *w, const struct firn_slice *to)
{
    if (to && to->len == 0)
        return; /* all ranges so far start here, too */
    while (w->nopen) {
        struct firn_slice end = w->open[0].end;
        uint64_t seqno = 0;
        for (size_t i = 0; i < w->nopen; i++) {
            if (end_cmp(w->open[i].end, end) < 0)
                end = w->open[i].end;
            if (w->open[i].seqno > seqno)
                seqno = w->open[i].seqno;
        }
        bool stops = to && end_cmp(*to, end) < 0;
        struct firn_slice upto = stops ? *to : end;
        if (upto.len == 0 || firn_slice_cmp(w->at, upto) < 0)
            emit(w, upto, seqno);
        w->at = upto;
        if (stops)
            return;
        size_t kept = 0;
        for (size_t i = 0; i < w->nopen; i++)
            if (end_cmp(w->open[i].end, end) > 0)
                w->open[kept++] = w->open[i];
        w->nopen = kept;
    }
}

enum firn_status firn_tombs_fragment(const struct firn_range_tomb *in, size_t n,
                                     struct firn_arena *a, struct firn_range_tomb **out,
                                     size_t *nout)
{
    *out = NULL;
    *nout = 0;
    if (n == 0)
        return FIRN_OK;
    struct firn_range_tomb *sorted = firn_malloc(2 * n * sizeof *sorted);
    struct sweep w = {.out = firn_arena_alloc(a, 2 * n * sizeof *w.out)};
    if (!sorted || !w.out) {
        firn_free(sorted);
        return FIRN_LIMIT;
    }
    memcpy(sorted, in, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_start);
    w.open = sorted + n;
    for (size_t i = 0; i < n; i++) {
        if (sorted[i].end.len && firn_slice_cmp(sorted[i].start, sorted[i].end) >= 0)
            continue;
        advance(&w, &sorted[i].start);
        w.at = sorted[i].start;
        w.open[w.nopen++] = sorted[i];
    }
    advance(&w, NULL);
    firn_free(sorted);
    *out = w.out;
    *nout = w.nout;
    return FIRN_OK;
}
