#include "sim/check_linear.h"

#include "base/assert.h"
#include "base/mem.h"
#include "sim/check_linear_priv.h"
#include "sim/history_eval.h"

#include <stdlib.h>

#define NONE UINT32_MAX

/* Operations of one key, completed ones (calls and returns in the order of time) in one list, those
 * of unknown outcome in another: they have no return, and are tried last, since they need not have
 * happened at all. */
struct event {
    uint32_t op; /* index in search.op */
    bool is_return;
    uint32_t prev, next; /* among those still there */
};

struct search_op {
    const struct hist_op *op;
    uint32_t of;        /* in the history */
    uint32_t call, ret; /* events; ret NONE: of unknown outcome */
    uint32_t twin;      /* the unknown operation before it that is the same; NONE */
    bool done;          /* linearized */
    uint64_t mark[2];   /* of the set of those that are done: Zobrist hashing, 128 bits */
};

struct step {
    uint32_t op, state; /* what was linearized, and the value before */
};

struct search {
    struct hist *h; /* the projection's */
    const struct check_linear_options *o;
    struct search_op *op;
    size_t ops;
    struct event *event; /* [0]: head of the completed ones, [1]: of the unknown ones */
    size_t events;
    struct step *stack;
    size_t depth, left; /* completed ones that are not linearized yet */
    uint32_t state;     /* value id; 0: absent */
    uint64_t done[2];
    struct met {
        uint64_t mark[2];
    } * met; /* states that lead nowhere; open addressing, zeros are free */
    size_t mets, met_cap;
    struct hist_eval eval;
    uint64_t steps;
    size_t deepest;    /* the longest that was linearized … */
    uint32_t stuck;    /* … and what could not be then */
    uint32_t stuck_at; /* … and the value */
};

/* ---- one operation on the value */

static struct hist_cell get_value(const void *arg, uint32_t key)
{
    (void)key;
    return (struct hist_cell){.value = *(const uint32_t *)arg};
}

static const uint32_t *no_range(const void *arg, uint32_t start, uint32_t end, size_t *n)
{
    (void)arg;
    (void)start;
    (void)end;
    *n = 0;
    return NULL;
}

/* The value behind the operation; false: it was answered as it could not be here. */
static bool apply(struct search *s, const struct hist_op *op, uint32_t *value)
{
    struct hist_state state = {get_value, no_range, &s->state, 0};
    s->steps++;
    hist_eval(s->h, op, &state, &s->eval);
    if (!hist_eval_answers(s->h, op, &s->eval))
        return false;
    *value = s->eval.effects ? s->eval.effect[0].cell.value : s->state;
    return true;
}

/* ---- states that were met */

static uint64_t mix(uint64_t x) /* splitmix64: Steele, Lea & Flood 2014 */
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void met_enter(struct met *met, size_t cap, const struct met *m)
{
    size_t i = m->mark[0] & (cap - 1);
    while (met[i].mark[0] || met[i].mark[1])
        i = (i + 1) & (cap - 1);
    met[i] = *m;
}

static void met_grow(struct search *s)
{
    size_t cap = s->met_cap ? 2 * s->met_cap : 1024;
    struct met *more = firn_calloc(cap, sizeof *more);
    FIRN_ASSERT(more);
    for (size_t i = 0; i < s->met_cap; i++)
        if (s->met[i].mark[0] || s->met[i].mark[1])
            met_enter(more, cap, &s->met[i]);
    firn_free(s->met);
    s->met = more;
    s->met_cap = cap;
}

/* Remember that these are done and this is the value. False: it was met before. Two sets that are
 * not the same are taken for the same with a chance of 2^-128. */
static bool met_first(struct search *s, const uint64_t done[2], uint32_t state)
{
    struct met m = {{done[0] ^ mix(state), done[1] ^ mix(~(uint64_t)state)}};
    if (2 * (s->mets + 1) > s->met_cap)
        met_grow(s);
    size_t i = m.mark[0] & (s->met_cap - 1);
    for (; s->met[i].mark[0] || s->met[i].mark[1]; i = (i + 1) & (s->met_cap - 1))
        if (s->met[i].mark[0] == m.mark[0] && s->met[i].mark[1] == m.mark[1])
            return false;
    s->met[i] = m;
    s->mets++;
    return true;
}

/* ---- lists */

static void unlink_event(struct search *s, uint32_t at)
{
    struct event *e = &s->event[at];
    s->event[e->prev].next = e->next;
    if (e->next != NONE)
        s->event[e->next].prev = e->prev;
}

static void relink_event(struct search *s, uint32_t at)
{
    struct event *e = &s->event[at];
    s->event[e->prev].next = at;
    if (e->next != NONE)
        s->event[e->next].prev = at;
}

static void linearize(struct search *s, uint32_t op, uint32_t value)
{
    struct search_op *o = &s->op[op];
    s->stack[s->depth++] = (struct step){op, s->state};
    s->state = value;
    o->done = true;
    s->done[0] ^= o->mark[0];
    s->done[1] ^= o->mark[1];
    unlink_event(s, o->call);
    if (o->ret == NONE)
        return;
    unlink_event(s, o->ret);
    s->left--;
}

/* Take back the last one; its call is where the search goes on. */
static uint32_t take_back(struct search *s)
{
    struct step *t = &s->stack[--s->depth];
    struct search_op *o = &s->op[t->op];
    s->state = t->state;
    o->done = false;
    s->done[0] ^= o->mark[0];
    s->done[1] ^= o->mark[1];
    if (o->ret != NONE) {
        relink_event(s, o->ret);
        s->left++;
    }
    relink_event(s, o->call);
    return o->call;
}

/* ---- the search */

/* What follows `at` and may be linearized next: calls up to the first return, then the calls of
 * unknown outcome before that. NONE: nothing. */
static uint32_t next_call(struct search *s, uint32_t at)
{
    bool unknown = at == 1 || (at > 1 && s->op[s->event[at].op].ret == NONE);
    uint32_t next = s->event[at].next;
    if (!unknown && !s->event[next].is_return)
        return next;
    if (!unknown)
        next = s->event[1].next;
    uint32_t first = s->event[0].next;
    while (!s->event[first].is_return)
        first = s->event[first].next;
    uint64_t by = s->op[s->event[first].op].op->replied_ns;
    return next != NONE && s->op[s->event[next].op].op->invoked_ns <= by ? next : NONE;
}

static void note_stuck(struct search *s)
{
    if (s->depth < s->deepest)
        return;
    uint32_t first = s->event[0].next;
    while (!s->event[first].is_return)
        first = s->event[first].next;
    s->deepest = s->depth;
    s->stuck = s->event[first].op;
    s->stuck_at = s->state;
}

static bool try_call(struct search *s, uint32_t op)
{
    const struct search_op *o = &s->op[op];
    uint32_t value;
    if (o->ret == NONE && o->twin != NONE && !s->op[o->twin].done)
        return false; /* the earlier one can do as well */
    if (!apply(s, o->op, &value) || (o->ret == NONE && value == s->state))
        return false;
    uint64_t done[2] = {s->done[0] ^ o->mark[0], s->done[1] ^ o->mark[1]};
    if (!met_first(s, done, value))
        return false;
    linearize(s, op, value);
    return true;
}

/* OK: it is linearizable; CONFLICT: it is not; LIMIT: not decided. */
static enum firn_status search(struct search *s)
{
    uint32_t at = 0;
    while (s->left) {
        if (s->steps > s->o->work_max)
            return FIRN_LIMIT;
        uint32_t call = next_call(s, at);
        if (call != NONE) {
            at = try_call(s, s->event[call].op) ? 0 : call;
            continue;
        }
        note_stuck(s);
        if (s->depth == 0)
            return FIRN_CONFLICT;
        at = take_back(s);
    }
    return FIRN_OK;
}

/* ---- setting it up */

static int by_time(const void *a, const void *b, void *arg)
{
    struct event x, y;
    const struct search *s = arg;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    const struct hist_op *p = s->op[x.op].op, *q = s->op[y.op].op;
    uint64_t t = x.is_return ? p->replied_ns : p->invoked_ns;
    uint64_t u = y.is_return ? q->replied_ns : q->invoked_ns;
    if (t != u)
        return t < u ? -1 : 1;
    if (x.is_return != y.is_return)
        return x.is_return ? 1 : -1; /* at the same time: both orders are possible */
    return (x.op > y.op) - (x.op < y.op);
}

static void link_events(struct search *s)
{
    uint32_t last[2] = {0, 1};
    qsort_r(s->event + 2, s->events - 2, sizeof *s->event, by_time, s);
    s->event[0] = s->event[1] = (struct event){.op = NONE, .prev = NONE, .next = NONE};
    for (uint32_t i = 2; i < s->events; i++) {
        struct event *e = &s->event[i];
        struct search_op *o = &s->op[e->op];
        unsigned list = o->op->replied_ns == HIST_NEVER;
        *(e->is_return ? &o->ret : &o->call) = i;
        e->prev = last[list];
        e->next = NONE;
        s->event[last[list]].next = i;
        last[list] = i;
    }
}

static bool same_words(const struct hist *h, const struct hist_op *a, const struct hist_op *b)
{
    return a->words == b->words &&
           memcmp(&h->word[a->word], &h->word[b->word], a->words * sizeof *h->word) == 0;
}

/* Each unknown operation's twin: the last one before it, by invocation, with the same words. */
static void find_twins(struct search *s)
{
    for (uint32_t at = s->event[1].next; at != NONE; at = s->event[at].next)
        for (uint32_t k = s->event[at].prev; k > 1; k = s->event[k].prev)
            if (same_words(s->h, s->op[s->event[at].op].op, s->op[s->event[k].op].op)) {
                s->op[s->event[at].op].twin = s->event[k].op;
                break;
            }
}

/* Plain writes of unknown outcome whose value no reply shows, of a key that nobody asks about but
 * by reading it, change nothing whether they happened or not. */
static bool only_plain(const struct hist *h, const struct project_key *k)
{
    for (size_t i = 0; i < k->ops; i++) {
        const struct hist_action *a = &h->action[h->op[k->op[i].op].action];
        bool plain = a->verb == HIST_GET || (a->verb == HIST_SET && !a->condition && !a->get) ||
                     (a->verb == HIST_DEL && !a->condition);
        bool counted = a->verb == HIST_DEL && h->op[k->op[i].op].outcome == HIST_OK;
        if (!plain || counted)
            return false;
    }
    return true;
}

static bool is_shown(const struct hist *h, const struct project_key *k, uint32_t value)
{
    for (size_t i = 0; i < k->ops; i++) {
        const struct hist_op *op = &h->op[k->op[i].op];
        const struct hist_item *item = &h->item[op->item];
        if (op->outcome == HIST_OK && op->items && item->kind == HIST_BULK && item->value == value)
            return true;
    }
    return false;
}

static bool is_idle(const struct hist *h, const struct project_key *k, const struct hist_op *op,
                    bool plain)
{
    const struct hist_action *a = &h->action[op->action];
    bool unknown = op->replied_ns == HIST_NEVER;
    if (unknown && (a->verb == HIST_GET || a->verb == HIST_EXISTS))
        return true;
    return unknown && plain && a->verb == HIST_SET && !is_shown(h, k, h->arg[a->arg + 1]);
}

static bool is_bounded(const struct hist *h, const struct hist_op *op)
{
    return op->who.freshness_ns && !hist_writes(h, op);
}

static void add_op(struct search *s, const struct hist_op *op, uint32_t of)
{
    uint32_t i = (uint32_t)s->ops++;
    bool completed = op->replied_ns != HIST_NEVER;
    s->op[i] = (struct search_op){
        op, of, NONE, NONE, NONE, false, {mix(2 * i + 1), mix(~(2 * (uint64_t)i))}};
    s->event[s->events++] = (struct event){.op = i};
    if (!completed)
        return;
    s->event[s->events++] = (struct event){.op = i, .is_return = true};
    s->left++;
}

static void search_begin(struct search *s, struct project *p, const struct project_key *k)
{
    bool plain = only_plain(&p->h, k);
    s->op = firn_calloc(k->ops + 1, sizeof *s->op);
    s->event = firn_calloc(2 * k->ops + 2, sizeof *s->event);
    s->stack = firn_calloc(k->ops + 1, sizeof *s->stack);
    FIRN_ASSERT(s->op && s->event && s->stack);
    s->events = 2;
    for (size_t i = 0; i < k->ops; i++) {
        const struct hist_op *op = &p->h.op[k->op[i].op];
        if (!is_bounded(&p->h, op) && !is_idle(&p->h, k, op, plain))
            add_op(s, op, k->op[i].of);
    }
    link_events(s);
    find_twins(s);
}

static void search_end(struct search *s)
{
    firn_free(s->op);
    firn_free(s->event);
    firn_free(s->stack);
    firn_free(s->met);
    hist_eval_clear(&s->eval);
}

/* ---- reads at a freshness above 0 */

/* The one plain write of this value; NULL: none, or several. *somebody: it may have been written.
 */
static const struct hist_op *writer_of(const struct hist *h, const struct project_key *k,
                                       uint32_t value, bool *somebody)
{
    const struct hist_op *found = NULL;
    unsigned n = 0;
    *somebody = false;
    for (size_t i = 0; i < k->ops; i++) {
        const struct hist_op *op = &h->op[k->op[i].op];
        const struct hist_action *a = &h->action[op->action];
        bool sets = a->verb == HIST_SET || a->verb == HIST_SETNX;
        *somebody |= a->verb == HIST_INCR;
        if (!sets || h->arg[a->arg + 1] != value)
            continue;
        *somebody = true;
        found = op;
        n++;
    }
    return n == 1 ? found : NULL;
}

/* Was something else surely written behind w, and that before `by`? */
static bool overwritten(const struct hist *h, const struct project_key *k, const struct hist_op *w,
                        uint64_t by)
{
    if (w->replied_ns == HIST_NEVER)
        return false;
    for (size_t i = 0; i < k->ops; i++) {
        const struct hist_op *op = &h->op[k->op[i].op];
        const struct hist_action *a = &h->action[op->action];
        bool sets = a->verb == HIST_SET && !a->condition && op->outcome != HIST_REFUSED;
        if (sets && op->invoked_ns > w->replied_ns && op->replied_ns < by)
            return true;
    }
    return false;
}

static void check_bounded(const struct hist *h, const struct check_linear_options *o,
                          const struct project *p, const struct project_key *k,
                          const struct project_op *r, struct check_report *report)
{
    const struct hist_op *op = &p->h.op[r->op];
    const struct hist_item *item = &p->h.item[op->item];
    uint64_t f = op->who.freshness_ns, age = f + f / 1000000 * o->drift_ppm;
    bool somebody;
    if (op->outcome != HIST_OK || !op->items || item->kind != HIST_BULK)
        return;
    const struct hist_op *w = writer_of(&p->h, k, item->value, &somebody);
    if (!somebody)
        check_wrong_op(report, h, &h->op[r->of], "nobody wrote what this shows");
    else if (w && w->invoked_ns > op->replied_ns)
        check_wrong_op(report, h, &h->op[r->of], "shows what was written later");
    else if (w && op->invoked_ns > age && overwritten(&p->h, k, w, op->invoked_ns - age))
        check_wrong_op(report, h, &h->op[r->of], "shows what was overwritten before its freshness");
}

/* ---- all keys */

static void check_key(const struct hist *h, const struct check_linear_options *o, struct project *p,
                      uint32_t key, struct check_linear_stats *stats, struct check_report *r)
{
    const struct project_key *k = &p->key[key];
    struct search s = {.h = &p->h, .o = o, .stuck = NONE};
    struct firn_slice name = hist_name_of(&p->h.keys, key);
    search_begin(&s, p, k);
    enum firn_status st = search(&s);
    stats->steps += s.steps;
    stats->keys += st != FIRN_LIMIT;
    stats->undecided += st == FIRN_LIMIT;
    stats->operations += s.ops;
    stats->unknown += s.ops - (s.events - 2 - s.ops);
    if (st == FIRN_CONFLICT) {
        struct firn_slice at = hist_name_of(&p->h.values, s.stuck_at);
        const struct hist_op *op = &h->op[s.op[s.stuck].of];
        check_wrong_op(r, h, op,
                       "key %.*s is not linearizable: %zu operations have an order, after which it "
                       "holds %.*s, but this one has no place",
                       (int)name.len, (const char *)name.data, s.deepest,
                       s.stuck_at ? (int)at.len : 7,
                       s.stuck_at ? (const char *)at.data : "nothing");
    }
    search_end(&s);
}

void check_linear(const struct hist *h, const struct check_linear_options *o,
                  struct check_linear_stats *stats, struct check_report *r)
{
    struct project p;
    *stats = (struct check_linear_stats){0};
    project_make(&p, h);
    for (uint32_t key = 1; key < p.keys; key++) {
        const struct project_key *k = &p.key[key];
        if (k->opaque) {
            stats->undecided++;
            continue;
        }
        if (k->ops == 0)
            continue;
        check_key(h, o, &p, key, stats, r);
        for (size_t i = 0; i < k->ops; i++)
            if (is_bounded(&p.h, &p.h.op[k->op[i].op])) {
                stats->bounded++;
                check_bounded(h, o, &p, k, &k->op[i], r);
            }
    }
    project_clear(&p);
}
