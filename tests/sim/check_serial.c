#include "sim/check_serial.h"

#include "base/assert.h"
#include "base/mem.h"
#include "sim/check_serial_priv.h"

#include <stdlib.h>

/* ---- evaluation on states of the witness */

static struct hist_cell state_get(const void *arg, uint32_t key)
{
    const struct serial_state *s = arg;
    const struct witness_version *v = witness_at(s->w, key, s->at);
    return v ? (struct hist_cell){.value = v->value, .expiry_ms = v->expiry_ms}
             : (struct hist_cell){0};
}

static const uint32_t *state_range(const void *arg, uint32_t start, uint32_t end, size_t *n)
{
    const struct serial_state *s = arg;
    return witness_range(s->w, start, end, n);
}

struct hist_state serial__state(const struct serial_state *s, uint64_t now_ms)
{
    return (struct hist_state){state_get, state_range, s, now_ms};
}

uint64_t serial__wall_ms(const struct serial *x, uint64_t ns)
{
    return x->o->wall_ms + ns / 1000000;
}

struct next_time {
    const struct serial_state *s;
    uint64_t behind_ms, next_ms;
};

static void visit_time(void *arg, uint32_t key)
{
    struct next_time *t = arg;
    uint64_t expiry = state_get(t->s, key).expiry_ms;
    if (expiry > t->behind_ms && expiry < t->next_ms)
        t->next_ms = expiry;
}

bool serial__eval(struct serial *x, const struct hist_op *op, uint32_t at, uint64_t from_ms,
                  uint64_t to_ms,
                  bool (*good)(struct serial *x, const struct hist_op *op, void *arg), void *arg)
{
    struct serial_state s = {x->w, at};
    struct next_time t = {.s = &s, .behind_ms = from_ms};
    do {
        struct hist_state state = serial__state(&s, t.behind_ms);
        hist_eval(x->h, op, &state, &x->eval);
        if (good(x, op, arg))
            return true;
        t.next_ms = UINT64_MAX;
        hist_eval_keys(x->h, op, &state, visit_time, &t);
        t.behind_ms = t.next_ms;
    } while (t.behind_ms <= to_ms);
    return false;
}

/* ---- which state a read shows */

struct next_change {
    const struct witness *w;
    uint32_t at, next;
};

static void visit_change(void *arg, uint32_t key)
{
    struct next_change *c = arg;
    uint32_t change = witness_change(c->w, key, c->at);
    if (change < c->next)
        c->next = change;
}

static bool shows(struct serial *x, const struct hist_op *op, void *arg)
{
    (void)arg;
    return x->eval.effects == 0 && !x->eval.erased && hist_eval_answers(x->h, op, &x->eval);
}

/* The time that a node with this state must know to have come. A writer evaluates on its open batch
 * as well, which gets its log time when it closes. */
static uint64_t known_ms(const struct serial *x, const struct hist_op *op, uint32_t at)
{
    if (at > 0 && x->writer[op->who.node])
        return x->w->unit[at - 1].before_ms;
    return witness_log_time(x->w, at);
}

/* Does the reply show this state, as it was while `when` was under way? */
static bool shows_state(struct serial *x, const struct hist_op *op, uint32_t at,
                        const struct hist_op *when)
{
    uint64_t skew = x->o->skew_ms, from = serial__wall_ms(x, when->invoked_ns);
    uint64_t to = serial__wall_ms(x, when->replied_ns) + skew, known = known_ms(x, op, at);
    from = from > skew ? from - skew : 0;
    from = from > known ? from : known;
    return serial__eval(x, op, at, from, to > from ? to : from, shows, NULL);
}

uint32_t serial__next_change(const struct serial *x, const struct hist_op *op, uint32_t at)
{
    struct serial_state s = {x->w, at};
    struct hist_state state = serial__state(&s, 0);
    struct next_change c = {x->w, at, NO_UNIT};
    hist_eval_keys(x->h, op, &state, visit_change, &c);
    return c.next;
}

/* The first state in [lo, hi] that explains the reply; NO_UNIT: none. */
static uint32_t find_state(struct serial *x, const struct hist_op *op, uint32_t lo, uint32_t hi)
{
    while (lo <= hi) {
        if (shows_state(x, op, lo, op))
            return lo;
        lo = serial__next_change(x, op, lo);
    }
    return NO_UNIT;
}

/* ---- what must be seen */

/* From ns on a state of at least this. In the order of ns, states never fall. */
struct mark {
    uint64_t ns;
    uint32_t state;
};

struct marks {
    struct mark *mark;
    size_t n, cap;
};

static void mark(struct marks *m, uint64_t ns, uint32_t state)
{
    if (m->n && m->mark[m->n - 1].state >= state)
        return;
    m->mark = hist_room(m->mark, &m->cap, m->n, sizeof *m->mark);
    m->mark[m->n++] = (struct mark){ns, state};
}

/* What was marked before ns. */
static uint32_t marked(const struct marks *m, uint64_t ns)
{
    size_t lo = 0, hi = m->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (m->mark[mid].ns < ns)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? m->mark[lo - 1].state : 0;
}

struct order {
    struct serial *x;
    struct marks all, writes; /* what was acknowledged, or shown at freshness 0; the first alone */
    uint32_t *session;        /* by number: the state it has seen */
};

/* The least state that the operation may be evaluated on. */
static uint32_t least_state(const struct order *o, const struct hist_op *op)
{
    const struct serial *x = o->x;
    uint64_t f = op->who.freshness_ns, age = f + f / 1000000 * x->o->drift_ppm;
    uint32_t lo;
    if (f == 0 || hist_writes(x->h, op))
        lo = marked(&o->all, op->invoked_ns);
    else
        lo = op->invoked_ns > age ? marked(&o->writes, op->invoked_ns - age) : 0;
    if (!op->who.applied && o->session[op->who.session] > lo)
        lo = o->session[op->who.session];
    uint32_t waited = op->wait_seqno ? witness_state_of(x->w, op->wait_seqno) : 0;
    lo = waited > lo ? waited : lo;
    uint32_t end = op->final && op->invoked_ns ? witness_durable_by(x->w, op->invoked_ns - 1) : 0;
    return end > lo ? end : lo;
}

static void saw(struct order *o, const struct hist_op *op, uint32_t state)
{
    uint32_t *s = &o->session[op->who.session];
    if (state > *s)
        *s = state;
}

/* ---- operations */

static void check_token(struct order *o, const struct hist_op *op)
{
    struct serial *x = o->x;
    if (!op->seqno || op->outcome != HIST_OK)
        return;
    uint32_t state = witness_state_of(x->w, op->seqno), seen = o->session[op->who.session];
    x->stats->tokens++;
    if (state < seen)
        check_wrong_op(x->report, x->h, op,
                       "a token names state %u, but the connection has seen state %u", state, seen);
}

/* In real time it lies right: it was under way when it became durable. What is left is the order of
 * its connection, where another place counts as well if what lies there looks alike. */
static void check_write(struct order *o, uint32_t index)
{
    struct serial *x = o->x;
    const struct hist_op *op = &x->h->op[index];
    uint32_t unit = x->unit[index], seen = o->session[op->who.session], place;
    x->stats->uncertain += op->outcome != HIST_OK;
    if (op->outcome != HIST_OK || op->who.applied)
        return;
    mark(&o->all, op->replied_ns, unit + 1);
    mark(&o->writes, op->replied_ns, unit + 1);
    if (op->again) /* on which connection it was applied is not known */
        return;
    place = serial__place_from(x, index, seen);
    if (place == NO_UNIT)
        check_wrong_op(x->report, x->h, op,
                       "a write lies at place %u, but its connection had seen state %u", unit,
                       seen);
    saw(o, op, place == NO_UNIT ? unit + 1 : place + 1);
    check_token(o, op);
}

static void say_unexplained(struct serial *x, const struct hist_op *op, uint32_t lo, uint32_t hi)
{
    uint32_t last = (uint32_t)x->w->units;
    if (x->report->wrong >= CHECK_TEXTS_MAX) {
        x->report->wrong++;
        return;
    }
    uint32_t before = lo ? find_state(x, op, 0, lo - 1) : NO_UNIT;
    uint32_t behind = hi < last ? find_state(x, op, hi + 1, last) : NO_UNIT;
    if (before != NO_UNIT)
        check_wrong_op(x->report, x->h, op, "stale: shows state %u, must show state %u at least",
                       before, lo);
    else if (behind != NO_UNIT)
        check_wrong_op(x->report, x->h, op,
                       "shows state %u, when state %u was the newest that was durable", behind, hi);
    else if (hist_writes(x->h, op))
        check_wrong_op(
            x->report, x->h, op,
            "acknowledged, but not in the log, nor right as a write that came to nothing "
            "between states %u and %u",
            lo, hi);
    else
        check_wrong_op(x->report, x->h, op, "shows a state that never was (allowed: %u to %u)", lo,
                       hi);
}

/* A read, or a write that came to nothing. */
static void check_read(struct order *o, uint32_t index)
{
    struct serial *x = o->x;
    const struct hist_op *op = &x->h->op[index];
    bool writes = hist_writes(x->h, op), fresh = op->who.freshness_ns == 0 || writes;
    uint32_t lo = least_state(o, op), last = (uint32_t)x->w->units;
    uint32_t hi = op->who.applied ? last : witness_durable_by(x->w, op->replied_ns);
    uint32_t state = find_state(x, op, lo, hi);
    *(writes ? &x->stats->nothing : fresh ? &x->stats->reads : &x->stats->bounded) += 1;
    if (state == NO_UNIT && op->who.applied) {
        *(writes ? &x->stats->lost_applied : &x->stats->unproved) += 1;
        return;
    }
    if (state == NO_UNIT && writes && serial__match_late(x, index)) {
        check_write(o, index);
        return;
    }
    if (state == NO_UNIT) {
        say_unexplained(x, op, lo, hi);
        return;
    }
    if (op->who.applied)
        return; /* it may as well have seen what was lost later */
    if (fresh)
        mark(&o->all, op->replied_ns, state);
    saw(o, op, state);
    check_token(o, op);
}

/* The opening of the snapshot that op reads. */
static const struct hist_op *opening(const struct hist *h, const struct hist_op *op)
{
    for (size_t i = h->ops; i-- > 0;) {
        const struct hist_op *s = &h->op[i];
        if (s->form == HIST_OPEN && s->outcome == HIST_OK && s->snapshot == op->snapshot &&
            s->who.node == op->who.node && s->replied_ns <= op->invoked_ns)
            return s;
    }
    return NULL;
}

static void check_opening(struct order *o, const struct hist_op *op)
{
    struct serial *x = o->x;
    uint32_t lo = least_state(o, op), hi = witness_durable_by(x->w, op->replied_ns);
    uint32_t state = witness_state_of(x->w, op->seqno);
    if (state < lo || state > hi)
        check_wrong_op(x->report, x->h, op, "a snapshot of state %u, allowed are %u to %u", state,
                       lo, hi);
    saw(o, op, state);
}

static void check_snapshot(struct order *o, const struct hist_op *op)
{
    struct serial *x = o->x;
    const struct hist_op *s = opening(x->h, op);
    x->stats->snapshots++;
    if (!s)
        check_wrong_op(x->report, x->h, op, "a snapshot is read that nobody opened");
    else if (!shows_state(x, op, witness_state_of(x->w, s->seqno), s))
        check_wrong_op(x->report, x->h, op, "a snapshot does not show its state %u",
                       witness_state_of(x->w, s->seqno));
}

static void check_op(struct order *o, uint32_t index)
{
    const struct hist_op *op = &o->x->h->op[index];
    if (o->x->unit[index] != NO_UNIT) {
        check_write(o, index);
        return;
    }
    if (op->outcome != HIST_OK)
        return;
    switch ((enum hist_form)op->form) {
    case HIST_PLAIN:
    case HIST_EXEC:
    case HIST_BATCH:
    case HIST_TXN:
        if (op->snapshot)
            check_snapshot(o, op);
        else
            check_read(o, index);
        break;
    case HIST_OPEN:
        check_opening(o, op);
        break;
    case HIST_TOKEN:
        check_token(o, op);
        break;
    case HIST_WAIT:
        saw(o, op, witness_state_of(o->x->w, op->wait_seqno));
        break;
    case HIST_OTHER:
        break;
    }
}

static int by_reply(const void *a, const void *b, void *ops)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    const struct hist_op *op = ops;
    if (op[x].replied_ns != op[y].replied_ns)
        return op[x].replied_ns < op[y].replied_ns ? -1 : 1;
    return (x > y) - (x < y);
}

static void check_order(struct serial *x)
{
    struct order o = {.x = x};
    struct hist *h = x->h;
    uint32_t sessions = 0, *order = firn_malloc((h->ops + 1) * sizeof *order);
    FIRN_ASSERT(order);
    for (uint32_t i = 0; i < h->ops; i++) {
        order[i] = i;
        sessions = h->op[i].who.session > sessions ? h->op[i].who.session : sessions;
    }
    o.session = firn_calloc((size_t)sessions + 1, sizeof *o.session);
    FIRN_ASSERT(o.session);
    qsort_r(order, h->ops, sizeof *order, by_reply, h->op);
    for (size_t i = 0; i < h->ops; i++)
        check_op(&o, order[i]);
    firn_free(o.session);
    firn_free(o.all.mark);
    firn_free(o.writes.mark);
    firn_free(order);
}

static void find_writers(struct serial *x)
{
    const struct hist *h = x->h;
    for (size_t i = 0; i < h->ops; i++)
        x->nodes = h->op[i].who.node >= x->nodes ? h->op[i].who.node + 1 : x->nodes;
    x->writer = firn_calloc(x->nodes + 1, sizeof *x->writer);
    FIRN_ASSERT(x->writer);
    for (size_t i = 0; i < h->ops; i++)
        if (x->unit[i] != NO_UNIT)
            x->writer[h->op[i].who.node] = true;
}

void check_serial(struct hist *h, const struct witness *w, const struct check_serial_options *o,
                  struct check_serial_stats *stats, struct check_report *r)
{
    struct serial x = {.h = h, .w = w, .o = o, .stats = stats, .report = r};
    *stats = (struct check_serial_stats){0};
    x.unit = firn_malloc((h->ops + 1) * sizeof *x.unit);
    FIRN_ASSERT(x.unit);
    memset(x.unit, 0xff, (h->ops + 1) * sizeof *x.unit);
    serial__match(&x);
    find_writers(&x);
    check_order(&x);
    hist_eval_clear(&x.eval);
    firn_free(x.writer);
    firn_free(x.unit);
}
