#include "log/takeover.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "format/name.h"

#define WINDOW_FIRST 8
/* How far ahead of the first slot lost to a living writer a barrier seal is put: it bounds the
 * chase. */
#define BARRIER_AHEAD 64
/* After what may pass (firn_takeover_may_pass) it looks again, or sends the same bytes again: the
 * claim has landed, and nobody else serves before we do or have failed. */
#define REST_NS (500 * FIRN_MS)

/* A seal on its way into a slot. Outlives the take-over while its request is under way (owner
 * NULL). */
struct seal_put {
    struct firn_takeover *owner;
    struct firn_place place;
    uint8_t body[FIRN_SEAL_BYTES];
    char name[FIRN_NAME_MAX];
    struct firn_store_op op;
    struct firn_timer again;
    bool barrier;
    bool busy;
};

struct firn_takeover {
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_takeover_options opt;
    struct firn_takeover_user user;
    struct firn_slots *slots;
    struct seal_put *seal;    /* the one that decides the current slot, or NULL */
    struct seal_put *barrier; /* ahead of a writer that is still alive, or NULL */
    uint64_t barrier_ahead;
    bool barrier_stands; /* in the current epoch */
    struct firn_place at;
    struct firn_timer rest; /* then it walks on from `at` */
    bool rested;            /* since it last made a step */
    struct firn_defer begin;
    struct firn_defer end; /* tells the user, outside of any callback of ours */
    enum firn_status end_status;
    struct firn_err end_err;
    struct firn_takeover_stats stats;
    bool ended;
};

static void seal_free(struct seal_put *p)
{
    if (!p)
        return;
    firn_store_op_clear(&p->op);
    firn_free(p);
}

/* Let go of a seal: freed now or when its request ends. */
static void seal_let_go(struct firn_takeover *t, struct seal_put *p)
{
    if (!p)
        return;
    firn_timer_stop(t->env, &p->again);
    p->owner = NULL;
    if (p->busy)
        firn_store_cancel(t->store, &p->op);
    else
        seal_free(p);
}

static void finish(struct firn_takeover *t, enum firn_status s, const struct firn_err *err)
{
    if (t->ended)
        return;
    t->ended = true;
    t->end_status = s;
    if (err)
        t->end_err = *err;
    firn_timer_stop(t->env, &t->rest);
    firn_slots_stop(t->slots);
    firn_defer(t->env, &t->end);
}

static void tell_end(void *arg)
{
    struct firn_takeover *t = arg;
    t->user.done(t->user.arg, t->end_status, &t->end_err);
}

static void walk_on(void *arg)
{
    struct firn_takeover *t = arg;
    firn_slots_seek(t->slots, t->at);
    firn_slots_run(t->slots);
}

/* The user hears of the first of several in a row. */
static void tell_rest(struct firn_takeover *t, enum firn_status s, const struct firn_err *err)
{
    FIRN_SOMETIMES_IF(s == FIRN_DENIED, "log: a take-over denied for a while");
    FIRN_SOMETIMES_IF(s == FIRN_LIMIT, "log: a take-over short of something for a while");
    t->stats.rests++;
    if (!t->rested && t->user.resting)
        t->user.resting(t->user.arg, s, err);
    t->rested = true;
}

static void rest(struct firn_takeover *t, enum firn_status s, const struct firn_err *err)
{
    tell_rest(t, s, err);
    firn_timer_start(t->env, &t->rest, REST_NS);
}

static void step_to(struct firn_takeover *t, struct firn_place at)
{
    t->at = at;
    t->rested = false;
}

static void epoch_begin(struct firn_takeover *t, struct firn_place at)
{
    seal_let_go(t, t->barrier);
    t->barrier = NULL;
    t->barrier_stands = false;
    t->barrier_ahead = BARRIER_AHEAD;
    step_to(t, at);
    if (at.epoch >= t->opt.epoch)
        finish(t, FIRN_OK, NULL);
    else
        walk_on(t);
}

/* The seal that counts in the current epoch is known (I3): on to the next. */
static void epoch_sealed(struct firn_takeover *t)
{
    if (t->user.sealed)
        t->user.sealed(t->user.arg, t->at);
    epoch_begin(t, (struct firn_place){t->at.epoch + 1, 0});
}

static bool apply(struct firn_takeover *t, const struct firn_batch_header *batch,
                  struct firn_slice records)
{
    enum firn_status s = t->user.apply(t->user.arg, batch, records);
    if (s != FIRN_OK) {
        struct firn_err err = {0};
        (void)firn_fail(&err, s, "replay of slot %llu of epoch %llu failed: %s",
                        (unsigned long long)batch->place.slot,
                        (unsigned long long)batch->place.epoch, firn_status_name(s));
        finish(t, s, &err);
        return false;
    }
    t->stats.batches++;
    t->stats.records += batch->count;
    t->stats.raw_bytes += records.len;
    step_to(t, (struct firn_place){batch->place.epoch, batch->place.slot + 1});
    return true;
}

static void barrier_decided(struct firn_takeover *t, struct seal_put *p);
static void slot_decided(struct firn_takeover *t, struct seal_put *p);

static void seal_send(void *arg)
{
    struct seal_put *p = arg;
    p->busy = true;
    firn_store_op_clear(&p->op);
    firn_store_submit(p->owner->store, &p->op);
}

static void seal_done(struct firn_store_op *op)
{
    struct seal_put *p = op->arg;
    struct firn_takeover *t = p->owner;
    p->busy = false;
    if (!t) {
        seal_free(p);
        return;
    }
    FIRN_SOMETIMES_IF(op->status == FIRN_UNCERTAIN, "log: a seal of unknown outcome sent again");
    if (firn_takeover_may_pass(op->status)) {
        tell_rest(t, op->status, &op->req.err);
        firn_timer_start(t->env, &p->again, REST_NS); /* the same bytes, until it is decided */
    } else if (p->barrier) {
        barrier_decided(t, p);
    } else {
        slot_decided(t, p);
    }
}

/* NULL when memory is short. */
static struct seal_put *seal_start(struct firn_takeover *t, struct firn_place place, bool barrier)
{
    struct seal_put *p = firn_calloc(1, sizeof *p);
    if (!p)
        return NULL;
    struct firn_seal seal = {
        .db = t->opt.db,
        .place = place,
        .process_nonce = t->opt.process_nonce,
        .sealer_epoch = t->opt.epoch,
    };
    firn_random(t->env, seal.nonce.byte, FIRN_ID_BYTES);
    firn_seal_encode(&seal, p->body);
    p->owner = t;
    p->place = place;
    p->barrier = barrier;
    p->again.fn = seal_send;
    p->again.arg = p;
    firn_name_slot(p->name, firn_id_short(&t->opt.db), place);
    firn_store_op_init(&p->op);
    p->op.req.op = FIRN_OS_PUT;
    p->op.req.cond = FIRN_OS_IF_ABSENT;
    p->op.req.key = p->name;
    p->op.req.body = firn_slice_of(p->body, sizeof p->body);
    p->op.done = seal_done;
    p->op.arg = p;
    seal_send(p);
    return p;
}

/* A living writer filled the slot we wanted: a seal ahead of it forbids it everything from there
 * on, so that the walk ends there at the latest. It costs nothing that was acknowledged (a batch
 * below it stays one). */
static void barrier_raise(struct firn_takeover *t)
{
    FIRN_SOMETIMES_IF(t->barrier_ahead > BARRIER_AHEAD, "log: a barrier seal met a batch");
    t->stats.chased++;
    if (t->barrier || t->barrier_stands)
        return;
    uint64_t slot = t->at.slot + t->barrier_ahead;
    if (slot <= FIRN_SLOT_MAX)
        t->barrier = seal_start(t, (struct firn_place){t->at.epoch, slot}, true);
}

static void barrier_decided(struct firn_takeover *t, struct seal_put *p)
{
    /* A batch there already: the next try goes further. Any other failure only costs the bound. */
    t->barrier = NULL;
    if (p->op.status == FIRN_OK) {
        FIRN_SOMETIMES("log: a barrier seal put");
        t->barrier_stands = true;
    } else {
        t->barrier_ahead *= 2;
    }
    seal_free(p);
}

/* What lay in a slot that we wanted to seal looks damaged, maybe so only on the way: the fetcher
 * looks at it again, often enough to say. Where it finds none any more (the slot was collected) we
 * put a seal there that nobody believes, and the read of the manifest that follows stops us. */
static void look_closer(struct firn_takeover *t)
{
    FIRN_SOMETIMES("log: what a seal met looked damaged");
    walk_on(t);
}

/* The slot we wanted holds something else; look what. */
static void look(struct firn_takeover *t, struct seal_put *p)
{
    struct firn_slice found = firn_buf_slice(&p->op.found);
    if (firn_slot_kind(found) == FIRN_SLOT_SEAL) {
        struct firn_seal seal;
        if (firn_seal_decode(found, &t->opt.db, p->place, &seal, NULL) != FIRN_OK) {
            look_closer(t);
            return;
        }
        FIRN_SOMETIMES("log: a seal race lost to another taker");
        t->stats.seals_met++;
        epoch_sealed(t);
        return;
    }
    struct firn_batch_header batch;
    struct firn_buf raw;
    firn_buf_init(&raw, t->opt.batch_raw_max);
    if (firn_batch_decode(found, &t->opt.db, p->place, t->opt.batch_raw_max, &batch, &raw, NULL) !=
        FIRN_OK) {
        look_closer(t);
    } else if (apply(t, &batch, firn_buf_slice(&raw))) {
        FIRN_SOMETIMES("log: a seal race lost to a batch");
        barrier_raise(t);
        walk_on(t);
    }
    firn_buf_clear(&raw);
}

static void slot_decided(struct firn_takeover *t, struct seal_put *p)
{
    t->seal = NULL;
    struct firn_err err = {0};
    switch (p->op.status) {
    case FIRN_OK:
        FIRN_SOMETIMES_IF(t->stats.chased, "log: a seal race won after a chase");
        t->stats.seals_put++;
        epoch_sealed(t);
        break;
    case FIRN_CONFLICT:
        look(t, p);
        break;
    case FIRN_ABSENT:
        FIRN_SOMETIMES("log: the slot to be sealed was collected");
        (void)firn_fail(&err, FIRN_FENCED, "%s was collected: a newer writer serves this database",
                        p->name);
        finish(t, FIRN_FENCED, &err);
        break;
    default:
        err = p->op.req.err;
        (void)firn_fail(&err, p->op.status, "cannot seal %s: %s", p->name,
                        firn_status_name(p->op.status));
        finish(t, p->op.status, &err);
        break;
    }
    seal_free(p);
}

static void on_slot(void *arg, const struct firn_slot_result *r)
{
    struct firn_takeover *t = arg;
    if (t->ended)
        return;
    switch (r->found) {
    case FIRN_FOUND_BATCH:
        (void)apply(t, r->batch, r->records);
        break;
    case FIRN_FOUND_SEAL:
        /* We hold the newest epoch, or the read of the manifest that follows us stops us: so no
         * slot from the floor on can have been collected, and this seal is no false one. */
        FIRN_SOMETIMES("log: a take-over met a seal");
        t->stats.seals_met++;
        t->at = r->place;
        epoch_sealed(t);
        break;
    case FIRN_FOUND_MISSING:
        t->at = r->place;
        t->seal = seal_start(t, r->place, false);
        if (!t->seal)
            rest(t, FIRN_LIMIT, &(struct firn_err){"out of memory for a seal"});
        break;
    case FIRN_FOUND_FAILED:
        if (firn_takeover_may_pass(r->status))
            rest(t, r->status, r->err);
        else
            finish(t, r->status, r->err);
        break;
    }
}

static void begin(void *arg)
{
    struct firn_takeover *t = arg;
    epoch_begin(t, t->opt.from);
}

enum firn_status firn_takeover_start(const struct firn_env *env, struct firn_store *store,
                                     const struct firn_takeover_options *o,
                                     const struct firn_takeover_user *user,
                                     struct firn_takeover **out)
{
    struct firn_takeover *t = firn_calloc(1, sizeof *t);
    if (!t)
        return FIRN_LIMIT;
    t->env = env;
    t->store = store;
    t->opt = *o;
    t->user = *user;
    t->begin.fn = begin;
    t->begin.arg = t;
    t->end.fn = tell_end;
    t->end.arg = t;
    t->rest.fn = walk_on;
    t->rest.arg = t;
    struct firn_slots_options so = {
        .db = o->db,
        .batch_raw_max = o->batch_raw_max,
        .ahead_bytes_max = o->ahead_bytes_max,
        .budget = o->budget,
        .window_first = WINDOW_FIRST,
        .window_max = FIRN_SLOTS_WINDOW_MAX,
    };
    enum firn_status s = firn_slots_create(env, store, &so, on_slot, t, &t->slots);
    if (s != FIRN_OK) {
        firn_free(t);
        return s;
    }
    firn_defer(env, &t->begin);
    *out = t;
    return FIRN_OK;
}

void firn_takeover_free(struct firn_takeover *t)
{
    if (!t)
        return;
    firn_defer_cancel(t->env, &t->begin);
    firn_defer_cancel(t->env, &t->end);
    firn_timer_stop(t->env, &t->rest);
    seal_let_go(t, t->seal);
    seal_let_go(t, t->barrier);
    firn_slots_free(t->slots);
    firn_free(t);
}

const struct firn_takeover_stats *firn_takeover_stats_of(const struct firn_takeover *t)
{
    return &t->stats;
}
