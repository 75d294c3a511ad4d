/* Which operation wrote which unit of the log. */
#include "base/assert.h"
#include "base/mem.h"
#include "format/record.h"
#include "sim/check_serial_priv.h"

#include <stdlib.h>

/* Operations that may write a key, in the order they were invoked. One that can write no more is
 * taken out when it is met. */
struct candidate {
    uint32_t op, next; /* next: index in match.node, 0 = none */
};

struct match {
    struct serial *x;
    struct candidate *node; /* [0] is not used */
    size_t nodes, cap;
    uint32_t *head, *tail; /* by key id; [0]: those that delete ranges */
};

/* ---- candidates */

static void add_candidate(struct match *m, uint32_t key, uint32_t op)
{
    uint32_t tail = m->tail[key];
    if (tail && m->node[tail].op == op)
        return;
    m->node = hist_room(m->node, &m->cap, m->nodes, sizeof *m->node);
    uint32_t at = (uint32_t)m->nodes++;
    m->node[at] = (struct candidate){op, 0};
    if (tail)
        m->node[tail].next = at;
    else
        m->head[key] = at;
    m->tail[key] = at;
}

static void add_op(struct match *m, uint32_t index)
{
    const struct hist *h = m->x->h;
    const struct hist_op *op = &h->op[index];
    for (uint32_t i = 0; i < op->thens + op->elses; i++) {
        const struct hist_action *a = &h->action[op->action + op->compares + i];
        bool pairs = a->verb == HIST_SET || a->verb == HIST_SETNX;
        if (a->verb == HIST_DELRANGE)
            add_candidate(m, 0, index);
        else if (a->verb >= HIST_SET && a->verb != HIST_COMPARE)
            for (uint32_t k = 0; k < a->args; k += pairs ? 2 : 1)
                add_candidate(m, h->arg[a->arg + k], index);
    }
}

static int by_invocation(const void *a, const void *b, void *ops)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    const struct hist_op *op = ops;
    if (op[x].invoked_ns != op[y].invoked_ns)
        return op[x].invoked_ns < op[y].invoked_ns ? -1 : 1;
    return (x > y) - (x < y);
}

static void match_begin(struct match *m)
{
    struct hist *h = m->x->h;
    size_t n = (size_t)h->keys.count + 1;
    m->nodes = 1;
    m->node = hist_room(NULL, &m->cap, 0, sizeof *m->node);
    m->head = firn_calloc(n, sizeof *m->head);
    m->tail = firn_calloc(n, sizeof *m->tail);
    uint32_t *order = firn_malloc((h->ops + 1) * sizeof *order);
    FIRN_ASSERT(m->head && m->tail && order);
    for (uint32_t i = 0; i < h->ops; i++)
        order[i] = i;
    qsort_r(order, h->ops, sizeof *order, by_invocation, h->op);
    for (size_t i = 0; i < h->ops; i++)
        add_op(m, order[i]);
    firn_free(order);
}

/* ---- does it fit */

struct fit {
    uint32_t unit;
};

static bool expiry_fits(const struct serial *x, const struct hist_op *op,
                        const struct witness_unit *u, const struct hist_cell *c, uint64_t expiry_ms)
{
    if (!c->in_ms)
        return c->expiry_ms == expiry_ms;
    uint64_t from = serial__wall_ms(x, op->invoked_ns) + (uint64_t)c->in_ms;
    uint64_t to = serial__wall_ms(x, u->durable_ns) + (uint64_t)c->in_ms;
    return expiry_ms + x->o->skew_ms >= from && expiry_ms <= to + x->o->skew_ms;
}

/* What the operation leaves is what the unit leaves … */
static bool effect_fits(const struct serial *x, const struct hist_op *op, uint32_t unit,
                        const struct hist_effect *f)
{
    const struct witness_version *v = witness_at(x->w, f->key, unit + 1);
    uint32_t value = v ? v->value : 0;
    if (value != f->cell.value)
        return false;
    if (!v || v->from != unit + 1)
        return x->eval.erased && !value; /* nothing was there */
    return !value || expiry_fits(x, op, &x->w->unit[unit], &f->cell, v->expiry_ms);
}

static bool erases(const struct hist *h, const struct hist_op *op, const struct witness_record *r)
{
    for (uint32_t i = 0; i < op->thens + op->elses; i++) {
        const struct hist_action *a = &h->action[op->action + op->compares + i];
        if (a->verb == HIST_DELRANGE && h->arg[a->arg] == r->key && h->arg[a->arg + 1] == r->end)
            return true;
    }
    return false;
}

/* … and it writes nothing else. */
static bool record_fits(const struct serial *x, const struct hist_op *op,
                        const struct witness_record *r)
{
    if (r->kind == FIRN_RECORD_RANGEDEL)
        return x->eval.erased && erases(x->h, op, r);
    for (size_t i = 0; i < x->eval.effects; i++)
        if (x->eval.effect[i].key == r->key)
            return true;
    return false;
}

static bool has_tombstone(const struct witness *w, const struct witness_unit *u)
{
    for (uint32_t i = 0; i < u->records; i++)
        if (w->record[u->record + i].kind == FIRN_RECORD_RANGEDEL)
            return true;
    return false;
}

static bool fits(struct serial *x, const struct hist_op *op, void *arg)
{
    const struct fit *f = arg;
    const struct witness_unit *u = &x->w->unit[f->unit];
    if (x->eval.refused || !hist_eval_answers(x->h, op, &x->eval) ||
        x->eval.erased != has_tombstone(x->w, u))
        return false;
    for (size_t i = 0; i < x->eval.effects; i++)
        if (!effect_fits(x, op, f->unit, &x->eval.effect[i]))
            return false;
    for (uint32_t i = 0; i < u->records; i++)
        if (!record_fits(x, op, &x->w->record[u->record + i]))
            return false;
    return true;
}

/* Did this operation, by what it does and answered, write this unit? Times are not looked at. */
static bool may_have_written(struct serial *x, const struct hist_op *op, uint32_t unit)
{
    const struct witness_unit *u = &x->w->unit[unit];
    struct fit f = {unit};
    return serial__eval(x, op, unit, u->before_ms, u->log_time_ms, fits, &f);
}

/* ---- units */

static uint64_t deadline(const struct hist_op *op)
{
    return op->outcome == HIST_OK && !op->who.applied ? op->replied_ns : HIST_NEVER;
}

/* Was it under way when the unit became durable? */
static bool in_time(const struct hist_op *op, const struct witness_unit *u)
{
    return op->outcome != HIST_REFUSED && op->invoked_ns <= u->durable_ns &&
           deadline(op) >= u->durable_ns;
}

static bool is_over(const struct serial *x, uint32_t index, const struct witness_unit *u)
{
    return x->unit[index] != NO_UNIT || !in_time(&x->h->op[index], u);
}

static uint32_t list_of(const struct serial *x, const struct witness_unit *u)
{
    const struct witness_record *r = &x->w->record[u->record];
    return r->kind == FIRN_RECORD_RANGEDEL ? 0 : r->key;
}

/* Of those that fit, the one whose deadline is first. */
static uint32_t choose(struct match *m, uint32_t unit)
{
    struct serial *x = m->x;
    const struct witness_unit *u = &x->w->unit[unit];
    uint32_t list = list_of(x, u), before = 0, best = NO_UNIT;
    for (uint32_t at = m->head[list]; at; at = m->node[at].next) {
        uint32_t op = m->node[at].op;
        const struct hist_op *o = &x->h->op[op];
        if (o->invoked_ns > u->durable_ns)
            break;
        if (is_over(x, op, u)) {
            if (before)
                m->node[before].next = m->node[at].next;
            else
                m->head[list] = m->node[at].next;
            continue;
        }
        before = at;
        if ((best == NO_UNIT || deadline(o) < deadline(&x->h->op[best])) &&
            may_have_written(x, o, unit))
            best = op;
    }
    return best;
}

static const char *why_not(const struct serial *x, uint32_t index, const struct witness_unit *u)
{
    const struct hist_op *op = &x->h->op[index];
    if (op->outcome == HIST_REFUSED)
        return "a write that was refused is in the log";
    if (x->unit[index] != NO_UNIT)
        return "a write is in the log twice";
    return op->invoked_ns > u->durable_ns ? "a write is in the log before it was sent"
                                          : "a write was answered before it was durable";
}

/* ---- second thoughts: what deadlines alone put wrong, since conditions tell apart what looks
 * alike (augmenting paths: Kuhn 1955). Seldom needed, so everything is looked at. */

#define PATH_MAX_LEN 8

static bool could_lie(struct serial *x, uint32_t op, uint32_t unit)
{
    const struct hist_op *o = &x->h->op[op];
    return in_time(o, &x->w->unit[unit]) && hist_writes(x->h, o) && may_have_written(x, o, unit);
}

/* Find an operation for the unit: a free one, or one whose unit finds another. */
static bool give(struct serial *x, uint32_t unit, uint8_t *tried, unsigned depth)
{
    for (uint32_t op = 0; op < x->h->ops; op++) {
        if (tried[op] || !could_lie(x, op, unit))
            continue;
        tried[op] = 1;
        if (x->unit[op] != NO_UNIT && (depth == 0 || !give(x, x->unit[op], tried, depth - 1)))
            continue;
        x->unit[op] = unit;
        return true;
    }
    return false;
}

static bool give_anew(struct serial *x, uint32_t unit)
{
    uint8_t *tried = firn_calloc(x->h->ops + 1, 1);
    FIRN_ASSERT(tried);
    bool given = give(x, unit, tried, PATH_MAX_LEN);
    firn_free(tried);
    return given;
}

static uint32_t owner_of(const struct serial *x, uint32_t unit)
{
    uint32_t op = 0;
    while (op < x->h->ops && x->unit[op] != unit)
        op++;
    return op < x->h->ops ? op : NO_UNIT;
}

/* Find a unit for the operation: one whose owner need not have written at all, or finds another. */
static bool take(struct serial *x, uint32_t op, uint8_t *tried, unsigned depth)
{
    for (uint32_t unit = 0; unit < x->w->units; unit++) {
        if (tried[unit] || !could_lie(x, op, unit))
            continue;
        tried[unit] = 1;
        uint32_t owner = owner_of(x, unit);
        bool needed = owner != NO_UNIT && deadline(&x->h->op[owner]) != HIST_NEVER;
        if (owner == NO_UNIT || (needed && (depth == 0 || !take(x, owner, tried, depth - 1))))
            continue;
        if (!needed)
            x->unit[owner] = NO_UNIT;
        x->unit[op] = unit;
        return true;
    }
    return false;
}

bool serial__match_late(struct serial *x, uint32_t op)
{
    uint8_t *tried = firn_calloc((size_t)x->w->units + 1, 1);
    FIRN_ASSERT(tried);
    bool taken = take(x, op, tried, PATH_MAX_LEN);
    firn_free(tried);
    return taken;
}

uint32_t serial__place_from(struct serial *x, uint32_t op, uint32_t from)
{
    const struct hist_op *o = &x->h->op[op];
    uint32_t unit = x->unit[op];
    uint32_t first = o->invoked_ns ? witness_durable_by(x->w, o->invoked_ns - 1) : 0;
    uint32_t state = first > from ? first : from; /* places from here on are behind this state */
    while ((state = serial__next_change(x, o, state)) != NO_UNIT) {
        if ((unit >= from && state > unit) || x->w->unit[state - 1].durable_ns > deadline(o))
            break;
        if (could_lie(x, op, state - 1))
            return state - 1;
    }
    return unit >= from ? unit : NO_UNIT; /* a range tombstone where nothing was changes nothing */
}

/* ---- all units */

/* No operation can have written it: say which one looks like it. */
static void orphan(struct match *m, uint32_t unit)
{
    struct serial *x = m->x;
    const struct witness_unit *u = &x->w->unit[unit];
    const struct witness_record *r = &x->w->record[u->record];
    struct firn_slice key = hist_name_of(&x->h->keys, r->key);
    for (uint32_t i = 0; i < x->h->ops && x->report->wrong < CHECK_TEXTS_MAX; i++) {
        const struct hist_op *op = &x->h->op[i];
        if (!hist_writes(x->h, op) || !may_have_written(x, op, unit))
            continue;
        check_wrong_op(x->report, x->h, op, "slot (%llu, %llu), durable at %llu ns: %s",
                       (unsigned long long)u->place.epoch, (unsigned long long)u->place.slot,
                       (unsigned long long)u->durable_ns, why_not(x, i, u));
        return;
    }
    check_wrong(x->report,
                "slot (%llu, %llu): nobody wrote this: %u records, the first of kind %u to %.*s",
                (unsigned long long)u->place.epoch, (unsigned long long)u->place.slot, u->records,
                r->kind, (int)key.len, (const char *)key.data);
}

void serial__match(struct serial *x)
{
    struct match m = {.x = x};
    match_begin(&m);
    for (uint32_t i = 0; i < x->w->units; i++) {
        const struct witness_unit *u = &x->w->unit[i];
        const struct witness_record *r = &x->w->record[u->record];
        if (r->kind == FIRN_RECORD_EXPIRED ||
            (x->o->ignored && x->o->ignored(hist_name_of(&x->h->keys, r->key))))
            continue;
        uint32_t op = choose(&m, i);
        x->stats->writes++;
        if (op != NO_UNIT)
            x->unit[op] = i;
        else if (!give_anew(x, i))
            orphan(&m, i);
    }
    firn_free(m.node);
    firn_free(m.head);
    firn_free(m.tail);
}
