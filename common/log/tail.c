#include "log/tail.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"

#define REST_NS (500 * FIRN_MS)
/* S5: the share of wal_grace within which a manifest read vouches for what came after it. */
#define VOUCH_SHARE 4

enum tail_state { TAIL_IDLE, TAIL_RUNNING, TAIL_VOUCHING, TAIL_RESTING };

struct firn_tail {
    const struct firn_env *env;
    struct firn_manifest_node *mnode;
    struct firn_tail_options opt;
    struct firn_tail_user user;
    struct firn_slots *slots;
    enum tail_state state;
    bool paused;

    uint64_t ticket;  /* the last one given out */
    uint64_t covered; /* tickets up to this were asked for before the run under way began */
    uint64_t done;    /* tickets up to this are done */

    /* The seal or 404 that waits to be believed. */
    bool end_is_seal;
    bool end_stale; /* the tail was moved meanwhile: it says nothing any more */
    struct firn_place end_at;
    uint64_t end_sent_ns, end_done_ns;
    int64_t end_date_ms;

    struct firn_manifest_read read;
    bool reading;
    struct firn_timer rest;
    struct firn_defer start;
    struct firn_tail_stats stats;
};

static void run(struct firn_tail *t)
{
    t->state = TAIL_RUNNING;
    if (!t->paused)
        firn_slots_run(t->slots);
}

/* A new run: whoever asked before now is covered by it, for all its GETs are sent from now on. */
static void run_anew(struct firn_tail *t)
{
    t->covered = t->ticket;
    t->stats.probes++;
    run(t);
}

static void start_due(void *arg)
{
    struct firn_tail *t = arg;
    if (t->state == TAIL_IDLE)
        run_anew(t);
}

static void rest_over(void *arg)
{
    run(arg);
}

static void rest(struct firn_tail *t)
{
    t->state = TAIL_RESTING;
    firn_slots_stop(t->slots);
    firn_timer_start(t->env, &t->rest, REST_NS);
}

static void fail(struct firn_tail *t, enum firn_status s, const struct firn_err *err, bool for_good)
{
    t->stats.failures++;
    rest(t);
    t->user.failed(t->user.arg, s, err, for_good);
}

/* I6: the probe that ended with this 404 began when its GET was sent. */
static void probe_ends(struct firn_tail *t)
{
    t->state = TAIL_IDLE;
    t->done = t->covered;
    if (t->ticket > t->covered)
        firn_defer(t->env, &t->start);
    t->user.believed(t->user.arg, t->end_sent_ns, t->done);
}

static void believe(struct firn_tail *t)
{
    if (!t->end_is_seal) {
        probe_ends(t);
        return;
    }
    if (t->user.sealed)
        t->user.sealed(t->user.arg, t->end_at);
    firn_slots_seek(t->slots, (struct firn_place){t->end_at.epoch + 1, 0});
    run(t);
}

/* Less than wal_grace / 4 between asking for m and the coming of the 404 or seal, by both clocks
 * (S5). */
static bool recent(const struct firn_tail *t, const struct firn_manifest *m)
{
    uint64_t limit_ns = t->opt.wal_grace_ns / VOUCH_SHARE;
    if (t->opt.strict || m->date_ms == 0 || t->end_date_ms == 0)
        return false;
    if (t->end_done_ns - m->asked_at_ns >= limit_ns)
        return false;
    int64_t by_date_ms = t->end_date_ms - m->date_ms + FIRN_STORE_DATE_GRAIN_MS;
    return by_date_ms < (int64_t)(limit_ns / FIRN_MS);
}

static bool vouches(const struct firn_tail *t, const struct firn_manifest *m)
{
    if (firn_place_cmp(m->kept, t->end_at) > 0)
        return false;
    return m->asked_at_ns >= t->end_done_ns || recent(t, m);
}

static void reload(struct firn_tail *t, struct firn_manifest *m)
{
    FIRN_SOMETIMES_IF(t->end_is_seal, "log: a seal below kept disbelieved");
    FIRN_SOMETIMES_IF(!t->end_is_seal, "log: a 404 below kept disbelieved");
    t->stats.reloads++;
    if (!t->user.reload(t->user.arg, m)) {
        rest(t);
        return;
    }
    firn_slots_seek(t->slots, m->floor);
    run(t);
}

static void manifest_read(struct firn_manifest_read *r)
{
    struct firn_tail *t = r->arg;
    t->reading = false;
    if (r->status != FIRN_OK) {
        fail(t, r->status, &r->err, firn_manifest_for_good(t->mnode, r->status));
        return;
    }
    t->user.manifest(t->user.arg, r->manifest);
    if (t->end_stale) {
        FIRN_SOMETIMES("log: the tail was moved while it vouched");
        run_anew(t);
    } else if (vouches(t, r->manifest)) {
        t->stats.vouched_read++;
        believe(t);
    } else if (firn_place_cmp(r->manifest->kept, t->end_at) > 0) {
        reload(t, r->manifest);
    } else {
        /* Asked for in time and still not vouching: only a clock that went back can do this. Look
         * again. */
        rest(t);
    }
}

static void vouch(struct firn_tail *t)
{
    const struct firn_manifest *m = firn_manifest_newest(t->mnode);
    t->state = TAIL_VOUCHING;
    if (m && vouches(t, m)) {
        t->stats.vouched_fast++;
        believe(t);
        return;
    }
    FIRN_SOMETIMES_IF(m && !t->opt.strict, "log: a manifest too old to vouch");
    memset(&t->read, 0, sizeof t->read);
    t->read.done = manifest_read;
    t->read.arg = t;
    t->reading = true;
    firn_manifest_read(t->mnode, &t->read);
}

static void on_batch(struct firn_tail *t, const struct firn_slot_result *r)
{
    enum firn_status s = t->user.apply(t->user.arg, r);
    if (s != FIRN_OK) {
        firn_slots_seek(t->slots, r->place);
        fail(t, s, NULL, false);
        return;
    }
    t->stats.batches++;
    t->stats.records += r->batch->count;
    t->stats.raw_bytes += r->records.len;
}

static void on_slot(void *arg, const struct firn_slot_result *r)
{
    struct firn_tail *t = arg;
    switch (r->found) {
    case FIRN_FOUND_BATCH:
        on_batch(t, r);
        return;
    case FIRN_FOUND_FAILED:
        fail(t, r->status, r->err, r->newer);
        return;
    case FIRN_FOUND_SEAL:
        t->stats.seals++;
        break;
    case FIRN_FOUND_MISSING:
        t->stats.missing++;
        break;
    }
    t->end_stale = false;
    t->end_is_seal = r->found == FIRN_FOUND_SEAL;
    t->end_at = r->place;
    t->end_sent_ns = r->sent_ns;
    t->end_done_ns = r->done_ns;
    t->end_date_ms = r->date_ms;
    vouch(t);
}

enum firn_status firn_tail_create(const struct firn_env *env, struct firn_store *store,
                                  struct firn_manifest_node *mnode,
                                  const struct firn_tail_options *o,
                                  const struct firn_tail_user *user, struct firn_tail **out)
{
    struct firn_tail *t = firn_calloc(1, sizeof *t);
    if (!t)
        return FIRN_LIMIT;
    t->env = env;
    t->mnode = mnode;
    t->opt = *o;
    t->user = *user;
    t->rest.fn = rest_over;
    t->rest.arg = t;
    t->start.fn = start_due;
    t->start.arg = t;
    struct firn_slots_options so = {
        .db = o->db,
        .batch_raw_max = o->batch_raw_max,
        .ahead_bytes_max = o->ahead_bytes_max,
        .budget = o->budget,
        .window_first = 1, /* a probe is one GET */
        .window_max = FIRN_SLOTS_WINDOW_MAX,
    };
    enum firn_status s = firn_slots_create(env, store, &so, on_slot, t, &t->slots);
    if (s != FIRN_OK) {
        firn_free(t);
        return s;
    }
    firn_slots_seek(t->slots, o->at);
    *out = t;
    return FIRN_OK;
}

void firn_tail_free(struct firn_tail *t)
{
    if (!t)
        return;
    FIRN_ASSERT(!t->reading);
    firn_timer_stop(t->env, &t->rest);
    firn_defer_cancel(t->env, &t->start);
    firn_slots_free(t->slots);
    firn_free(t);
}

uint64_t firn_tail_probe(struct firn_tail *t)
{
    /* The run begins at the end of this turn, so that all who ask within it share one. */
    t->ticket++;
    if (t->state == TAIL_IDLE)
        firn_defer(t->env, &t->start);
    return t->ticket;
}

void firn_tail_hint(struct firn_tail *t)
{
    if (t->state == TAIL_IDLE)
        firn_defer(t->env, &t->start);
}

void firn_tail_pause(struct firn_tail *t)
{
    t->paused = true;
    firn_slots_stop(t->slots);
}

void firn_tail_resume(struct firn_tail *t)
{
    t->paused = false;
    if (t->state == TAIL_RUNNING)
        firn_slots_run(t->slots);
}

void firn_tail_seek(struct firn_tail *t, struct firn_place at)
{
    firn_slots_seek(t->slots, at);
    if (t->state == TAIL_VOUCHING)
        t->end_stale = true;
    else if (t->state == TAIL_RUNNING)
        run(t);
}

struct firn_place firn_tail_at(const struct firn_tail *t)
{
    return firn_slots_at(t->slots);
}

bool firn_tail_busy(const struct firn_tail *t)
{
    return t->state != TAIL_IDLE;
}

const struct firn_tail_stats *firn_tail_stats_of(const struct firn_tail *t)
{
    return &t->stats;
}
