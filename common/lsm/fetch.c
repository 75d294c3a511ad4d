/* Fetches: ranged GETs for blocks and metadata that reads miss. One GET per missing block however
 * many reads want it (single flight); blocks that lie side by side share one; the bytes under way
 * are bounded, the rest queues first come, first served. What comes is verified, unpacked and
 * checked before it enters the cache: on the loop where it is small, else as a job.
 *
 *   QUEUED -> SENT -> [UNPACKING] -> waiters told, freed
 *              ^------ damaged, twice --+
 */
#include "base/assert.h"
#include "base/mem.h"
#include "lsm/lsm_priv.h"

#include <stdlib.h>

#define INLINE_BYTES_MAX ((uint64_t)64 * 1024) /* unpacked on the loop up to this much */

struct firn_fetch;

struct firn_fetch_item {
    struct firn_fetch_item *hnext;
    struct firn_fetch *fetch;
    struct firn_piece piece;
    struct firn_list waiters; /* firn_read_want */
    struct firn_cache_entry *entry;
    enum firn_status status;
    struct firn_err err;
};

enum fetch_state { QUEUED, SENT, UNPACKING };

struct firn_fetch {
    struct firn_list link; /* while queued */
    struct firn_table_handle *table;
    struct firn_store_op op;
    struct firn_job job;
    enum fetch_state state;
    uint64_t offset, length;
    uint64_t cost;    /* memory that it takes: the reply, and what becomes of it */
    uint64_t read_id; /* the read that counted it last */
    unsigned trip;
    unsigned tries;
    bool cancelled; /* nobody waited any more */
    size_t nitems;
    struct firn_fetch_item item[];
};

static void pump(struct firn_lsm *l);
static void on_get(struct firn_store_op *op);

/* --- single flight: items under way by (table, offset) */

static struct firn_fetch_item **bucket_of(struct firn_lsm *l, uint64_t table_id, uint64_t offset)
{
    uint64_t h = (table_id ^ offset * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93);
    return &l->inflight[h >> 32 & (FIRN_INFLIGHT_BUCKETS - 1)];
}

static struct firn_fetch_item *item_find(struct firn_lsm *l, const struct firn_table_handle *h,
                                         uint64_t offset)
{
    struct firn_fetch_item *it = *bucket_of(l, h->loc.table_id, offset);
    while (it && (it->fetch->table != h || it->piece.offset != offset))
        it = it->hnext;
    return it;
}

static void item_unlink(struct firn_lsm *l, struct firn_fetch_item *it)
{
    struct firn_fetch_item **p = bucket_of(l, it->fetch->table->loc.table_id, it->piece.offset);
    while (*p != it)
        p = &(*p)->hnext;
    *p = it->hnext;
}

/* --- making and freeing */

/* A fetch for n wants that lie side by side in one table. */
static struct firn_fetch *fetch_new(struct firn_lsm *l, const struct firn_read_want *w, size_t n)
{
    struct firn_fetch *f = firn_calloc(1, sizeof *f + n * sizeof f->item[0]);
    if (!f)
        return NULL;
    f->table = w->table;
    firn_handle_ref(f->table);
    f->nitems = n;
    f->offset = w->piece.offset;
    for (size_t i = 0; i < n; i++) {
        struct firn_fetch_item *it = &f->item[i];
        it->fetch = f;
        it->piece = w[i].piece;
        firn_list_init(&it->waiters);
        f->length += it->piece.stored_len;
        /* What metadata becomes is not known before; it is about as large as it is stored. */
        f->cost += it->piece.stored_len;
        f->cost += it->piece.kind == FIRN_CACHE_BLOCK ? it->piece.raw_len : it->piece.stored_len;
        struct firn_fetch_item **p = bucket_of(l, f->table->loc.table_id, it->piece.offset);
        it->hnext = *p;
        *p = it;
    }
    f->state = QUEUED;
    firn_list_push(&l->queued, &f->link);
    return f;
}

/* The items are unlinked and nobody waits. */
static void fetch_free(struct firn_fetch *f)
{
    for (size_t i = 0; i < f->nitems; i++)
        firn_cache_discard(f->item[i].entry);
    firn_store_op_clear(&f->op);
    firn_handle_unref(f->table);
    firn_free(f);
}

static bool wanted(const struct firn_fetch *f)
{
    for (size_t i = 0; i < f->nitems; i++)
        if (!firn_list_empty(&f->item[i].waiters))
            return true;
    return false;
}

/* --- sending */

static void submit(struct firn_lsm *l, struct firn_fetch *f)
{
    f->state = SENT;
    f->cancelled = false;
    f->tries++;
    firn_store_op_init(&f->op);
    f->op.req.op = FIRN_OS_GET;
    f->op.req.key = f->table->name;
    f->op.req.offset = f->offset;
    f->op.req.length = f->length;
    f->op.req.reply_max = f->length;
    f->op.flags = FIRN_STORE_HEDGE;
    f->op.done = on_get; /* no deadline: when the last read has given up, it is cancelled */
    f->op.arg = f;
    l->stats.fetches++;
    l->stats.fetched_bytes += f->length;
    firn_store_submit(l->store, &f->op);
}

/* May f go now? One always may, so that what reads have pinned is some time let go of. */
static bool has_room(const struct firn_lsm *l, const struct firn_fetch *f)
{
    const struct firn_budget *b = l->options.budget;
    if (l->nactive == 0)
        return true;
    if (!b)
        return l->active_bytes + f->cost <= l->options.fetch_bytes_max;
    return l->active_bytes + f->cost <= b->part[FIRN_BUDGET_FETCHES].share &&
           !firn_budget_full(b, FIRN_BUDGET_PINNED);
}

static void count_active(struct firn_lsm *l, uint64_t active_bytes)
{
    l->active_bytes = active_bytes;
    firn_budget_set(l->options.budget, FIRN_BUDGET_FETCHES, active_bytes);
}

static void pump(struct firn_lsm *l)
{
    while (!firn_list_empty(&l->queued)) {
        struct firn_fetch *f = FIRN_CONTAINER(l->queued.next, struct firn_fetch, link);
        if (!has_room(l, f))
            return;
        firn_list_remove(&f->link);
        l->nactive++;
        count_active(l, l->active_bytes + f->cost);
        submit(l, f);
    }
}

/* --- what came back */

static enum firn_status unpack_head(const struct firn_table_handle *h, struct firn_slice bytes,
                                    struct firn_fetch_item *it)
{
    struct firn_table_head *head = NULL;
    enum firn_status st = firn_table_head_decode(bytes, &h->loc, &head, &it->err);
    if (st != FIRN_OK)
        return st;
    if (head->tombs != h->range_tombstones || !firn_table_parts_same(&head->parts, &h->parts)) {
        firn_table_head_free(head);
        return firn_fail(&it->err, FIRN_CORRUPT,
                         "the head names other partitions or range tombstones than the manifest");
    }
    it->entry = firn_cache_new_head(it->piece.offset, head);
    if (it->entry)
        return FIRN_OK;
    firn_table_head_free(head);
    return FIRN_LIMIT;
}

static enum firn_status unpack_part(const struct firn_table_handle *h, struct firn_slice bytes,
                                    struct firn_fetch_item *it)
{
    struct firn_table_part *part = NULL;
    enum firn_status st =
        firn_table_part_decode(bytes, h->loc.table_id, &h->parts, it->piece.part, &part, &it->err);
    if (st != FIRN_OK)
        return st;
    it->entry = firn_cache_new_part(it->piece.offset, part);
    if (it->entry)
        return FIRN_OK;
    firn_table_part_free(part);
    return FIRN_LIMIT;
}

static enum firn_status unpack_block(struct firn_codec_ctx *codec, struct firn_fetch *f,
                                     struct firn_slice bytes, struct firn_fetch_item *it)
{
    uint64_t id = f->table->loc.table_id;
    struct firn_cache_entry *e = firn_cache_new_block(id, it->piece.offset, it->piece.raw_len);
    if (!e)
        return FIRN_LIMIT;
    enum firn_status st = firn_block_unpack(codec, bytes, id, it->piece.offset, e->raw, e->raw_len);
    if (st == FIRN_OK)
        st = firn_block_open(firn_slice_of(e->raw, e->raw_len), &e->block);
    if (st == FIRN_OK)
        it->entry = e;
    else
        firn_cache_discard(e);
    return st;
}

/* Say which object it is, before what was said about the bytes. */
static void item_explain(const struct firn_fetch *f, struct firn_fetch_item *it)
{
    struct firn_err inner = it->err;
    it->err.text[0] = '\0';
    firn_fail(&it->err, it->status, "%s: %llu bytes at %llu are %s%s%.300s", f->table->name,
              (unsigned long long)it->piece.stored_len, (unsigned long long)it->piece.offset,
              it->status == FIRN_CORRUPT ? "damaged" : "not readable", inner.text[0] ? ": " : "",
              inner.text);
}

static enum firn_status unpack_item(struct firn_codec_ctx *codec, struct firn_fetch *f,
                                    struct firn_slice bytes, struct firn_fetch_item *it)
{
    switch (it->piece.kind) {
    case FIRN_CACHE_HEAD:
        return unpack_head(f->table, bytes, it);
    case FIRN_CACHE_PART:
        return unpack_part(f->table, bytes, it);
    case FIRN_CACHE_BLOCK:
        break;
    }
    return unpack_block(codec, f, bytes, it);
}

/* Pure: touches the fetch alone. codec may be NULL. */
static void unpack(struct firn_fetch *f, struct firn_codec_ctx *codec)
{
    const uint8_t *at = f->op.req.reply.data;
    for (size_t i = 0; i < f->nitems; at += f->item[i++].piece.stored_len) {
        struct firn_fetch_item *it = &f->item[i];
        struct firn_slice bytes = firn_slice_of(at, (size_t)it->piece.stored_len);
        it->status = unpack_item(codec, f, bytes, it);
        if (it->status != FIRN_OK)
            item_explain(f, it);
    }
}

static void item_end(struct firn_lsm *l, struct firn_fetch_item *it)
{
    struct firn_cache_entry *e = it->entry;
    item_unlink(l, it);
    if (e) {
        it->entry = NULL;
        struct firn_table_handle *h = it->fetch->table;
        if (e->kind != FIRN_CACHE_BLOCK) {
            e->holder = e->kind == FIRN_CACHE_HEAD ? &h->head : &h->part[it->piece.part];
            *e->holder = e;
        }
        firn_cache_insert(l->cache, e);
    }
    for (struct firn_list *n; (n = firn_list_pop(&it->waiters)) != NULL;)
        firn_read__arrived(FIRN_CONTAINER(n, struct firn_read_want, link), e, it->status, &it->err);
    if (e)
        firn_cache_unref(l->cache, e);
}

/* Every item has its status: tell the waiters. */
static void fetch_end(struct firn_lsm *l, struct firn_fetch *f)
{
    l->nactive--;
    count_active(l, l->active_bytes - f->cost);
    for (size_t i = 0; i < f->nitems; i++)
        item_end(l, &f->item[i]);
    fetch_free(f);
    pump(l);
}

/* Unpacked. What is damaged is asked for again: it may have been so on the way only. */
static void fetch_unpacked(struct firn_lsm *l, struct firn_fetch *f)
{
    bool damaged = false;
    for (size_t i = 0; i < f->nitems; i++)
        damaged |= f->item[i].status == FIRN_CORRUPT;
    if (!damaged || f->tries >= FIRN_STORE_LOOKS_MAX || !wanted(f)) {
        l->stats.corrupt += damaged;
        fetch_end(l, f);
        return;
    }
    for (size_t i = 0; i < f->nitems; i++) {
        firn_cache_discard(f->item[i].entry);
        f->item[i].entry = NULL;
        f->item[i].err.text[0] = '\0';
    }
    firn_store_op_clear(&f->op);
    submit(l, f);
}

static void job_run(struct firn_job *job)
{
    unpack(job->arg, NULL);
}

static void job_done(struct firn_job *job)
{
    struct firn_fetch *f = job->arg;
    fetch_unpacked(f->table->lsm, f);
}

static void fetch_failed(struct firn_lsm *l, struct firn_fetch *f, enum firn_status st)
{
    for (size_t i = 0; i < f->nitems; i++) {
        struct firn_fetch_item *it = &f->item[i];
        it->status = st;
        it->err.text[0] = '\0';
        firn_fail(&it->err, st, "reading %s: %s: %s", f->table->name, firn_status_name(st),
                  f->op.req.err.text);
    }
    l->stats.corrupt += st == FIRN_CORRUPT;
    fetch_end(l, f);
}

static void on_get(struct firn_store_op *op)
{
    struct firn_fetch *f = op->arg;
    struct firn_lsm *l = f->table->lsm;
    enum firn_status st = op->status;
    if (st != FIRN_OK && f->cancelled && wanted(f)) { /* somebody came after we had given it up */
        f->tries = 0;
        firn_store_op_clear(op);
        submit(l, f);
        return;
    }
    if (st == FIRN_OK && op->req.reply.len != f->length)
        st = firn_fail(&op->req.err, FIRN_CORRUPT, "%zu bytes instead of %llu", op->req.reply.len,
                       (unsigned long long)f->length);
    if (st != FIRN_OK) {
        fetch_failed(l, f, st);
        return;
    }
    uint64_t work = 0;
    for (size_t i = 0; i < f->nitems; i++)
        work += f->item[i].piece.kind == FIRN_CACHE_BLOCK ? f->item[i].piece.raw_len
                                                          : f->item[i].piece.stored_len;
    if (work <= INLINE_BYTES_MAX) {
        unpack(f, &l->codec);
        fetch_unpacked(l, f);
        return;
    }
    f->state = UNPACKING;
    f->job = (struct firn_job){.run = job_run, .done = job_done, .arg = f};
    firn_exec(l->env, &f->job);
}

/* --- wanting and leaving */

static int by_place(const void *a, const void *b)
{
    const struct firn_read_want *x = a, *y = b;
    uint64_t i = x->table->loc.table_id, j = y->table->loc.table_id;
    if (i != j)
        return i < j ? -1 : 1;
    return (x->piece.offset > y->piece.offset) - (x->piece.offset < y->piece.offset);
}

static void join(struct firn_read_want *w, struct firn_fetch_item *it)
{
    struct firn_fetch *f = it->fetch;
    struct firn_read *r = w->r;
    w->item = it;
    firn_list_push(&it->waiters, &w->link);
    r->outstanding++;
    if (f->read_id != r->id || f->trip != r->trips) {
        f->read_id = r->id;
        f->trip = r->trips;
        firn_read__step(r, f->table, f->offset, f->length, it->piece.kind != FIRN_CACHE_BLOCK);
    }
}

/* Is it neither resident nor under way? */
static bool missing(struct firn_lsm *l, const struct firn_read_want *w)
{
    return !firn_cache_find(l->cache, w->table->loc.table_id, w->piece.offset) &&
           !item_find(l, w->table, w->piece.offset);
}

/* Does b lie right behind a, and is it of the same sort (blocks, or metadata)? */
static bool adjoins(const struct firn_read_want *a, const struct firn_read_want *b)
{
    return a->table == b->table && b->piece.offset == a->piece.offset + a->piece.stored_len &&
           (a->piece.kind == FIRN_CACHE_BLOCK) == (b->piece.kind == FIRN_CACHE_BLOCK);
}

/* How many wants from w on can share a GET. */
static size_t run_length(struct firn_lsm *l, const struct firn_read_want *w, size_t most)
{
    uint64_t bytes = w->piece.stored_len;
    size_t n = 1;
    for (; n < most; n++) {
        bytes += w[n].piece.stored_len;
        if (!adjoins(&w[n - 1], &w[n]) || bytes > FIRN_COALESCE_MAX || !missing(l, &w[n]))
            break;
    }
    return n;
}

enum firn_status firn_fetch__start(struct firn_read *r)
{
    struct firn_lsm *l = r->lsm;
    qsort(r->want, r->nwants, sizeof *r->want, by_place);
    enum firn_status st = FIRN_OK;
    for (size_t i = 0, n; st == FIRN_OK && i < r->nwants; i += n) {
        struct firn_read_want *w = &r->want[i];
        struct firn_fetch_item *it = item_find(l, w->table, w->piece.offset);
        struct firn_cache_entry *e =
            firn_cache_find(l->cache, w->table->loc.table_id, w->piece.offset);
        n = 1;
        if (e) {
            st = firn_read__pin(r, e);
        } else if (it) {
            join(w, it);
        } else {
            n = run_length(l, w, r->nwants - i);
            struct firn_fetch *f = fetch_new(l, w, n);
            if (!f)
                st = FIRN_LIMIT;
            for (size_t k = 0; f && k < n; k++)
                join(&w[k], &f->item[k]);
        }
    }
    pump(l);
    return st;
}

void firn_fetch__leave(struct firn_read_want *w)
{
    struct firn_fetch *f = w->item->fetch;
    struct firn_lsm *l = f->table->lsm;
    firn_list_remove(&w->link);
    w->item = NULL;
    if (wanted(f))
        return;
    if (f->state == SENT) {
        f->cancelled = true;
        firn_store_cancel(l->store, &f->op);
    } else if (f->state == QUEUED) {
        firn_list_remove(&f->link);
        for (size_t i = 0; i < f->nitems; i++)
            item_unlink(l, &f->item[i]);
        fetch_free(f);
    }
}
