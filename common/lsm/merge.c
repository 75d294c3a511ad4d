#include "lsm/merge.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "format/key.h"
#include "lsm/table_cut.h"

/* A run in the heap, ordered by its current key, then newest first. `prefix` is 8 bytes of that key
 * behind what all keys share: most comparisons need no more. */
struct head {
    uint64_t prefix;
    struct firn_table_stream *stream;
};

struct firn_merge {
    struct firn_merge_options o;
    struct firn_table_stream *stream; /* o.runs of them */
    struct head *heap;
    size_t heads;
    size_t primed;        /* streams whose first entry was asked for */
    bool advance;         /* heap[0] is to move on first */
    size_t needs;         /* stream to be fed */
    size_t skip;          /* bytes that all keys share */
    struct firn_buf last; /* the key of the last group */
    bool have_last, finishing;
    enum firn_status status;
    struct firn_arena arena;      /* fragments and their bounds' array */
    struct firn_range_tomb *tomb; /* of all inputs; bounds borrowed from the metadata */
    size_t tombs, covering;       /* fragments; the first that ends behind the current key */
    struct firn_table_cut cut;
    struct firn_merge_stats stats;
};

/* ---- beginning */

/* All range tombstones of all inputs, cut to the keys of each table that count. */
static enum firn_status collect_tombs(struct firn_merge *m)
{
    size_t n = 0;
    for (size_t r = 0; r < m->o.runs; r++)
        for (size_t i = 0; i < m->o.run[r].tables; i++)
            n += m->o.run[r].table[i].tombs;
    struct firn_range_tomb *all = firn_malloc((n + 1) * sizeof *all);
    if (!all)
        return FIRN_LIMIT;
    n = 0;
    for (size_t r = 0; r < m->o.runs; r++)
        for (size_t i = 0; i < m->o.run[r].tables; i++) {
            const struct firn_stream_table *t = &m->o.run[r].table[i];
            for (size_t k = 0; k < t->tombs; k++) {
                struct firn_range_tomb x = t->tomb[k];
                if (firn_slice_cmp(x.start, t->lower) < 0)
                    x.start = t->lower;
                if (t->upper.len && (x.end.len == 0 || firn_slice_cmp(x.end, t->upper) > 0))
                    x.end = t->upper;
                if (firn_before_end(x.start, x.end))
                    all[n++] = x;
            }
        }
    enum firn_status s = firn_tombs_fragment(all, n, &m->arena, &m->tomb, &m->tombs);
    firn_free(all);
    return s;
}

/* What the lowest and the highest bound of the inputs share, all keys share. */
static size_t shared_bytes(const struct firn_merge *m)
{
    struct firn_slice lo = {NULL, 0}, hi = {NULL, 0};
    bool any = false;
    for (size_t r = 0; r < m->o.runs; r++)
        for (size_t i = 0; i < m->o.run[r].tables; i++, any = true) {
            const struct firn_stream_table *t = &m->o.run[r].table[i];
            if (t->upper.len == 0)
                return 0;
            if (!any || firn_slice_cmp(t->lower, lo) < 0)
                lo = t->lower;
            if (!any || firn_slice_cmp(t->upper, hi) > 0)
                hi = t->upper;
        }
    return firn_shared_len(lo.data, hi.data, lo.len < hi.len ? lo.len : hi.len);
}

enum firn_status firn_merge_create(const struct firn_merge_options *o, struct firn_merge **out)
{
    if (o->runs == 0 || o->table_bytes == 0 || o->buffer_bytes == 0)
        return FIRN_INVALID;
    struct firn_merge *m = firn_calloc(1, sizeof *m);
    if (!m)
        return FIRN_LIMIT;
    m->o = *o;
    firn_buf_init(&m->last, FIRN_KEY_MAX);
    struct firn_merge_run_def *run = firn_malloc(o->runs * sizeof *run);
    m->o.run = run;
    m->stream = firn_calloc(o->runs, sizeof *m->stream);
    m->heap = firn_malloc(o->runs * sizeof *m->heap);
    if (!run || !m->stream || !m->heap) {
        firn_merge_free(m);
        return FIRN_LIMIT;
    }
    memcpy(run, o->run, o->runs * sizeof *run);
    for (size_t r = 0; r < o->runs; r++)
        firn_table_stream_init(&m->stream[r], run[r].table, run[r].tables, o->buffer_bytes);
    m->skip = shared_bytes(m);
    enum firn_status s = collect_tombs(m);
    if (s != FIRN_OK) {
        firn_merge_free(m);
        return s;
    }
    firn_table_cut_init(&m->cut, &o->table, o->table_bytes, m->tomb, o->bottom ? 0 : m->tombs);
    m->cut.memory_max = o->memory_max;
    *out = m;
    return FIRN_OK;
}

void firn_merge_free(struct firn_merge *m)
{
    if (!m)
        return;
    for (size_t r = 0; m->stream && r < m->o.runs; r++)
        firn_table_stream_clear(&m->stream[r]);
    firn_free(m->stream);
    firn_free(m->heap);
    firn_free((void *)(uintptr_t)m->o.run);
    firn_buf_clear(&m->last);
    firn_table_cut_clear(&m->cut);
    firn_arena_clear(&m->arena);
    firn_free(m);
}

/* ---- the heap */

static bool before(const struct head *a, const struct head *b)
{
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix;
    const struct firn_entry *x = &a->stream->it.e, *y = &b->stream->it.e;
    int c = firn_slice_cmp(x->key, y->key);
    return c ? c < 0 : x->seqno > y->seqno;
}

static void sift_down(struct firn_merge *m, size_t i)
{
    struct head h = m->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->heads)
            break;
        if (child + 1 < m->heads && before(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (!before(&m->heap[child], &h))
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = h;
}

static void push(struct firn_merge *m, struct firn_table_stream *s)
{
    struct head h = {firn_key_prefix(s->it.e.key, m->skip), s};
    size_t i = m->heads++;
    for (; i && before(&h, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = h;
}

/* Ask every stream for its first entry. */
static enum firn_status prime(struct firn_merge *m)
{
    for (; m->primed < m->o.runs; m->primed++) {
        struct firn_table_stream *s = &m->stream[m->primed];
        enum firn_status status = firn_table_stream_next(s);
        if (status == FIRN_AGAIN)
            m->needs = m->primed;
        if (status == FIRN_OK)
            push(m, s);
        else if (status != FIRN_ABSENT)
            return status;
    }
    return FIRN_OK;
}

/* Move the first stream on. */
static enum firn_status advance(struct firn_merge *m)
{
    struct head *h = &m->heap[0];
    enum firn_status status = firn_table_stream_next(h->stream);
    if (status == FIRN_AGAIN)
        m->needs = (size_t)(h->stream - m->stream);
    if (status != FIRN_OK && status != FIRN_ABSENT)
        return status;
    if (status == FIRN_OK)
        h->prefix = firn_key_prefix(h->stream->it.e.key, m->skip);
    else
        m->heap[0] = m->heap[--m->heads];
    if (m->heads > 1)
        sift_down(m, 0);
    m->advance = false;
    return FIRN_OK;
}

/* ---- what becomes of an entry */

static bool is_covered(struct firn_merge *m, const struct firn_entry *e)
{
    while (m->covering < m->tombs && !firn_before_end(e->key, m->tomb[m->covering].end))
        m->covering++;
    if (m->covering == m->tombs)
        return false;
    const struct firn_range_tomb *t = &m->tomb[m->covering];
    return e->seqno < t->seqno && firn_slice_cmp(t->start, e->key) <= 0;
}

static bool has_expired(const struct firn_merge *m, const struct firn_entry *e)
{
    return e->expiry_ms && e->expiry_ms < m->o.expired_before_ms;
}

/* Is the newest version of its key to be kept? A covered one is dead for whoever comes later: the
 * range tombstone is kept wherever something older may remain. The others go only at the bottom
 * (I9), but for entries of the expiry index: an older version of one says the same. */
static bool keeps(struct firn_merge *m, const struct firn_entry *e)
{
    if (is_covered(m, e)) {
        m->stats.covered++;
        return false;
    }
    if (!m->o.bottom && !firn_key_is_expiry(e->key))
        return true;
    if (firn_kind_deletes(e->kind)) {
        m->stats.tombstones_dropped++;
        return false;
    }
    if (has_expired(m, e)) {
        m->stats.expired_dropped++;
        return false;
    }
    return true;
}

/* Deal with the entry at the head of the heap. *ready: a table was finished. */
static enum firn_status take_entry(struct firn_merge *m, bool *ready)
{
    const struct firn_entry *e = &m->heap[0].stream->it.e;
    *ready = false;
    m->advance = true;
    m->stats.entries_in++;
    m->stats.bytes_in += e->key.len + e->value.len;
    if (m->have_last && firn_slice_eq(firn_buf_slice(&m->last), e->key)) {
        m->stats.shadowed++;
        return FIRN_OK;
    }
    if (m->o.runs > 1) {
        m->last.len = 0;
        enum firn_status s = firn_buf_append(&m->last, e->key.data, e->key.len);
        if (s != FIRN_OK)
            return s;
        m->have_last = true;
    }
    if (!keeps(m, e))
        return FIRN_OK;
    m->stats.entries_out++;
    return firn_table_cut_add(&m->cut, e, firn_xxh3(e->key.data, e->key.len), ready);
}

static enum firn_merge_event stop(struct firn_merge *m, enum firn_status s)
{
    if (s == FIRN_AGAIN)
        return FIRN_MERGE_INPUT;
    m->status = s;
    return FIRN_MERGE_FAILED;
}

enum firn_merge_event firn_merge_run(struct firn_merge *m)
{
    bool ready = false;
    if (m->status != FIRN_OK)
        return FIRN_MERGE_FAILED;
    if (m->finishing)
        return FIRN_MERGE_DONE;
    enum firn_status s = prime(m);
    while (s == FIRN_OK) {
        if (m->advance)
            s = advance(m);
        if (s != FIRN_OK || m->heads == 0)
            break;
        s = take_entry(m, &ready);
        if (s == FIRN_OK && ready)
            return FIRN_MERGE_OUTPUT;
    }
    if (s == FIRN_OK) {
        m->finishing = true;
        s = firn_table_cut_finish(&m->cut, &ready);
        if (s == FIRN_OK)
            return ready ? FIRN_MERGE_OUTPUT : FIRN_MERGE_DONE;
    }
    return stop(m, s);
}

size_t firn_merge_needs(const struct firn_merge *m)
{
    return m->needs;
}

enum firn_status firn_merge_status(const struct firn_merge *m)
{
    return m->status;
}

struct firn_table_object firn_merge_take(struct firn_merge *m)
{
    return firn_table_cut_take(&m->cut);
}

uint64_t firn_merge_input_bytes(const struct firn_merge *m)
{
    uint64_t n = 0;
    for (size_t r = 0; r < m->o.runs; r++)
        n += firn_table_stream_memory(&m->stream[r]);
    return n;
}

uint64_t firn_merge_output_bytes(const struct firn_merge *m)
{
    uint64_t done = m->cut.have_done ? m->cut.done.bytes.len : 0;
    return done + (m->cut.builder ? firn_table_builder_memory(m->cut.builder) : 0);
}

const struct firn_merge_stats *firn_merge_stats_of(const struct firn_merge *m)
{
    return &m->stats;
}

struct firn_table_stream *firn_merge_stream(struct firn_merge *m, size_t run)
{
    FIRN_ASSERT(run < m->o.runs);
    return &m->stream[run];
}
