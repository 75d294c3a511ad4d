/* Range tombstones of the memtable: see memtable_priv.h. */
#include "base/assert.h"
#include "base/mem.h"
#include "format/tombs.h"
#include "lsm/memtable_priv.h"

/* a and b as exclusive ends: the empty one is behind all. */
static int end_cmp(struct firn_slice a, struct firn_slice b)
{
    if (a.len == 0 || b.len == 0)
        return (a.len == 0) - (b.len == 0);
    return firn_slice_cmp(a, b);
}

/* The first entry of the fragment behind the one at i. */
static size_t fragment_end(const struct firn_mt_tombs *t, size_t i)
{
    size_t e = i + 1;
    while (e < t->count && firn_slice_eq(t->at[e].start, t->at[i].start))
        e++;
    return e;
}

/* The fragment last written to out: its seqnos equal those of t[i, e)? Then one that begins where
 * that one ends is part of it. */
static bool extends(const struct firn_mt_tombs *out, size_t frag,
                    const struct firn_range_tomb *list, size_t n, struct firn_slice start)
{
    if (out->count - frag != n || n == 0 || out->at[frag].end.len == 0 ||
        !firn_slice_eq(out->at[frag].end, start))
        return false;
    for (size_t i = 0; i < n; i++)
        if (out->at[frag + i].seqno != list[i].seqno)
            return false;
    return true;
}

struct builder {
    struct firn_mt_tombs out;
    size_t frag; /* where the last fragment begins */
    struct firn_mt_reads reads;
};

/* Append the fragment [start, end) with *added (NULL = none) on top of the n seqnos of list. */
static void append(struct builder *b, struct firn_slice start, struct firn_slice end,
                   const uint64_t *added, const struct firn_range_tomb *list, size_t n)
{
    if (!firn_before_end(start, end))
        return;
    struct firn_mt_tombs *o = &b->out;
    size_t frag = o->count;
    if (added)
        o->at[o->count++] = (struct firn_range_tomb){start, end, *added};
    for (size_t i = 0; i < n; i++) {
        bool under = o->count > frag;
        if (under && o->at[o->count - 1].seqno <= b->reads.low)
            break; /* nobody will ask for what lies under this one */
        if (under && list[i].seqno > b->reads.high)
            continue; /* whoever sees this one sees the one above it, too */
        o->at[o->count++] = (struct firn_range_tomb){start, end, list[i].seqno};
    }
    size_t len = o->count - frag;
    if (extends(&(struct firn_mt_tombs){o->at, frag}, b->frag, o->at + frag, len, start)) {
        o->count = frag;
        for (size_t i = b->frag; i < frag; i++)
            o->at[i].end = end;
    } else {
        b->frag = frag;
    }
}

static struct firn_slice later(struct firn_slice a, struct firn_slice b)
{
    return firn_slice_cmp(a, b) > 0 ? a : b;
}

static struct firn_slice earlier_end(struct firn_slice a, struct firn_slice b)
{
    return end_cmp(a, b) < 0 ? a : b;
}

enum firn_status firn_memtable__tombs_add(const struct firn_mt_tombs *old,
                                          const struct firn_range_tomb *add,
                                          const struct firn_mt_reads *reads,
                                          struct firn_mt_tombs *out)
{
    /* Each old entry may be cut into three (before, under, behind the new range); the new range
     * adds one entry on top of each fragment and one in each gap. */
    size_t most = 5 * old->count + 1;
    struct builder b = {.reads = *reads};
    b.out.at = firn_malloc(most * sizeof *b.out.at);
    if (!b.out.at)
        return FIRN_LIMIT;
    struct firn_slice at = add->start; /* the new range is written up to here */
    bool left = true;                  /* some of it is to be written */
    for (size_t i = 0, e; i < old->count; i = e) {
        e = fragment_end(old, i);
        struct firn_slice start = old->at[i].start, end = old->at[i].end;
        if (add->start.len) /* an empty start is the least key; as an end it would be unbounded */
            append(&b, start, earlier_end(end, add->start), NULL, old->at + i, e - i);
        if (left && firn_before_end(add->start, end)) {
            if (start.len)
                append(&b, at, earlier_end(start, add->end), &add->seqno, NULL, 0);
            struct firn_slice from = later(start, add->start);
            append(&b, from, earlier_end(end, add->end), &add->seqno, old->at + i, e - i);
            at = end;
            left = end_cmp(end, add->end) < 0;
        }
        if (add->end.len)
            append(&b, later(start, add->end), end, NULL, old->at + i, e - i);
    }
    if (left)
        append(&b, at, add->end, &add->seqno, NULL, 0);
    FIRN_ASSERT(b.out.count <= most);
    struct firn_range_tomb *fit = firn_realloc(b.out.at, b.out.count * sizeof *fit);
    if (fit)
        b.out.at = fit;
    *out = b.out;
    return FIRN_OK;
}
