/* The read context: what a read has pinned, what it misses, and the waiting for it. */
#include "base/assert.h"
#include "base/mem.h"
#include "lsm/lsm_priv.h"

#include <stdio.h>

#define PINS0 (sizeof((struct firn_read *)0)->pin0 / sizeof(struct firn_cache_entry *))

void firn_read_init(struct firn_read *r, struct firn_lsm *lsm)
{
    memset(r, 0, offsetof(struct firn_read, err)); /* err is large, and empty when its text is */
    r->err.text[0] = '\0';
    r->lsm = lsm;
    r->id = lsm->next_read_id++;
    r->pin = r->pin0;
    r->pins_cap = PINS0;
    firn_list_init(&r->ready);
}

bool firn_read_wants(const struct firn_read *r)
{
    return r->nwants > 0;
}

enum firn_status firn_read_status(const struct firn_read *r)
{
    return r->fetch_status;
}

const struct firn_err *firn_read_err(const struct firn_read *r)
{
    return &r->err;
}

enum firn_status firn_read__note(struct firn_read *r, struct firn_table_handle *h,
                                 const struct firn_piece *piece)
{
    FIRN_ASSERT(!r->fetching);
    for (size_t i = 0; i < r->nwants; i++)
        if (r->want[i].table == h && r->want[i].piece.offset == piece->offset)
            return FIRN_OK;
    if (r->nwants == r->wants_cap) {
        size_t cap = r->wants_cap ? r->wants_cap * 2 : 8;
        struct firn_read_want *want = firn_realloc(r->want, cap * sizeof *want);
        if (!want)
            return FIRN_LIMIT;
        r->want = want;
        r->wants_cap = cap;
    }
    firn_handle_ref(h);
    r->want[r->nwants++] = (struct firn_read_want){.r = r, .table = h, .piece = *piece};
    return FIRN_OK;
}

enum firn_status firn_read__pin(struct firn_read *r, struct firn_cache_entry *e)
{
    if (e->read_id == r->id) /* set by this read and by no other since: it is among the pins */
        return FIRN_OK;
    if (r->npins == r->pins_cap) {
        size_t cap = r->pins_cap * 2;
        bool inside = r->pin == r->pin0;
        struct firn_cache_entry **pin = firn_realloc(inside ? NULL : r->pin, cap * sizeof *pin);
        if (!pin)
            return FIRN_LIMIT;
        if (inside)
            memcpy(pin, r->pin0, sizeof r->pin0);
        r->pin = pin;
        r->pins_cap = cap;
    }
    firn_cache_ref(r->lsm->cache, e);
    e->read_id = r->id;
    r->pin[r->npins++] = e;
    return FIRN_OK;
}

static void unpin_at(struct firn_read *r, size_t i)
{
    struct firn_cache_entry *e = r->pin[i];
    r->pin[i] = r->pin[--r->npins];
    if (e->read_id == r->id)
        e->read_id = 0;
    firn_cache_unref(r->lsm->cache, e);
}

void firn_read__unpin(struct firn_read *r, uint64_t table_id, uint64_t from, uint64_t to)
{
    if (r->keep)
        return;
    for (size_t i = r->npins; i-- > 0;) {
        const struct firn_cache_entry *e = r->pin[i];
        if (e->table_id == table_id && e->offset >= from && e->offset < to)
            unpin_at(r, i);
    }
}

void firn_read__step(struct firn_read *r, const struct firn_table_handle *h, uint64_t offset,
                     uint64_t length, bool meta)
{
    r->gets++;
    r->fetched_bytes += length;
    if (!r->explain)
        return;
    struct firn_read_step *step = firn_realloc(r->step, (r->nsteps + 1) * sizeof *step);
    if (!step)
        return; /* an explanation with a step missing, rather than a read that fails */
    r->step = step;
    step += r->nsteps++;
    *step =
        (struct firn_read_step){.offset = offset, .length = length, .trip = r->trips, .meta = meta};
    snprintf(step->object, sizeof step->object, "%s", h->name);
}

static void forget_wants(struct firn_read *r)
{
    for (size_t i = 0; i < r->nwants; i++) {
        if (r->want[i].item)
            firn_fetch__leave(&r->want[i]);
        firn_handle_unref(r->want[i].table);
    }
    r->nwants = 0;
    r->outstanding = 0;
}

static void finish(struct firn_read *r)
{
    firn_timer_stop(r->lsm->env, &r->timer);
    forget_wants(r);
    r->fetching = false;
    firn_list_push(&r->lsm->ready, &r->ready);
    firn_defer(r->lsm->env, &r->lsm->ready_defer);
}

static void fail(struct firn_read *r, enum firn_status st, const struct firn_err *err)
{
    if (r->fetch_status != FIRN_OK)
        return;
    r->fetch_status = st;
    r->err = *err;
}

static void on_deadline(void *arg)
{
    struct firn_read *r = arg;
    struct firn_err err = {""};
    enum firn_status st =
        firn_fail(&err, FIRN_TRANSIENT, "the store did not answer in time: %zu reads of %s … open",
                  r->outstanding, r->want[0].table->name);
    fail(r, st, &err);
    finish(r);
}

void firn_read__arrived(struct firn_read_want *w, struct firn_cache_entry *e, enum firn_status st,
                        const struct firn_err *err)
{
    struct firn_read *r = w->r;
    static const struct firn_err no_memory = {"no memory to keep a block for a read"};
    w->item = NULL;
    if (e && firn_read__pin(r, e) != FIRN_OK)
        fail(r, FIRN_LIMIT, &no_memory);
    else if (!e)
        fail(r, st, err);
    if (r->outstanding > 0 && --r->outstanding == 0)
        finish(r);
}

void firn_read_fetch(struct firn_read *r, uint64_t deadline_ns, void (*done)(struct firn_read *),
                     void *arg)
{
    FIRN_ASSERT(!r->fetching && firn_list_empty(&r->ready));
    r->fetching = true;
    r->done = done;
    r->arg = arg;
    r->trips++;
    r->fetch_status = FIRN_OK;
    r->err.text[0] = '\0';
    r->timer.fn = on_deadline;
    r->timer.arg = r;
    static const struct firn_err no_memory = {"no memory to fetch what a read misses"};
    enum firn_status st = firn_fetch__start(r);
    if (st != FIRN_OK)
        fail(r, st, &no_memory);
    if (r->outstanding == 0) {
        finish(r);
    } else if (deadline_ns) {
        uint64_t now = firn_boot_ns(r->lsm->env);
        firn_timer_start(r->lsm->env, &r->timer, deadline_ns > now ? deadline_ns - now : 0);
    }
}

void firn_read_clear(struct firn_read *r)
{
    struct firn_lsm *l = r->lsm;
    if (firn_timer_running(&r->timer))
        firn_timer_stop(l->env, &r->timer);
    firn_list_remove(&r->ready);
    forget_wants(r);
    while (r->npins > 0)
        unpin_at(r, r->npins - 1);
    if (r->pin != r->pin0)
        firn_free(r->pin);
    firn_free(r->want);
    firn_free(r->step);
    firn_read_init(r, l);
}
