#include "sim/history_eval.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdlib.h>

struct eval {
    struct hist *h;
    const struct hist_op *op;
    const struct hist_state *s;
    struct hist_eval *e;
    bool strict; /* KV.BATCH, KV.TXN: a condition that does not hold refuses all */
};

void hist_eval_clear(struct hist_eval *e)
{
    firn_free(e->effect);
    firn_free(e->item);
    *e = (struct hist_eval){0};
}

/* ---- the state, as changed so far */

static struct hist_effect *find(const struct hist_eval *e, uint32_t key)
{
    for (size_t i = 0; i < e->effects; i++)
        if (e->effect[i].key == key)
            return &e->effect[i];
    return NULL;
}

static struct hist_cell get(const struct eval *x, uint32_t key)
{
    const struct hist_effect *f = find(x->e, key);
    struct hist_cell c = f ? f->cell : x->s->get(x->s->arg, key);
    if (c.expiry_ms && c.expiry_ms <= x->s->now_ms)
        return (struct hist_cell){0};
    return c;
}

static void put(struct eval *x, uint32_t key, struct hist_cell c)
{
    struct hist_eval *e = x->e;
    struct hist_effect *f = find(e, key);
    if (!f) {
        e->effect = hist_room(e->effect, &e->effects_cap, e->effects, sizeof *e->effect);
        f = &e->effect[e->effects++];
        f->key = key;
    }
    f->cell = c;
}

static uint32_t arg(const struct eval *x, const struct hist_action *a, uint32_t i)
{
    return x->h->arg[a->arg + i];
}

/* ---- replies */

static void say(struct eval *x, struct hist_item item)
{
    struct hist_eval *e = x->e;
    e->item = hist_room(e->item, &e->items_cap, e->items, sizeof *e->item);
    e->item[e->items++] = item;
}

static void say_int(struct eval *x, int64_t n)
{
    say(x, (struct hist_item){.kind = HIST_INT, .n = n});
}

static void say_value(struct eval *x, uint32_t value)
{
    say(x, (struct hist_item){.kind = value ? HIST_BULK : HIST_NIL, .value = value});
}

static void say_status(struct eval *x)
{
    say(x, (struct hist_item){.kind = HIST_STATUS});
}

/* ---- actions */

static bool holds(const struct eval *x, const struct hist_action *a, uint32_t step)
{
    for (uint32_t i = 0; i < a->args; i += step) {
        uint32_t value = get(x, arg(x, a, i)).value;
        if ((a->condition == HIST_IF_ABSENT && value) ||
            (a->condition == HIST_IF_PRESENT && !value) ||
            (a->condition == HIST_IF_EQUAL && value != a->expected) ||
            (a->condition == HIST_IF_UNEQUAL && value == a->expected))
            return false;
    }
    return true;
}

static void write_pairs(struct eval *x, const struct hist_action *a)
{
    for (uint32_t i = 0; i < a->args; i += 2) {
        struct hist_cell c = {.value = arg(x, a, i + 1)}, old = get(x, arg(x, a, i));
        if (a->ttl == HIST_TTL_KEEP) {
            c.expiry_ms = old.expiry_ms;
            c.in_ms = old.in_ms;
        } else if (a->ttl == HIST_TTL_IN) {
            c.in_ms = a->n;
        } else if (a->ttl == HIST_TTL_PAST) {
            c.value = 0;
        }
        put(x, arg(x, a, i), c);
    }
}

static void set(struct eval *x, const struct hist_action *a)
{
    bool number = a->verb == HIST_SETNX, ok = holds(x, a, 2);
    uint32_t old = get(x, arg(x, a, 0)).value;
    x->e->refused |= !ok && x->strict;
    if (ok)
        write_pairs(x, a);
    if (number)
        say_int(x, ok);
    else if (a->get)
        say_value(x, old);
    else if (ok)
        say_status(x);
    else
        say_value(x, 0);
}

static void del(struct eval *x, const struct hist_action *a)
{
    int64_t n = 0;
    bool ok = holds(x, a, 1);
    for (uint32_t i = 0; i < a->args && ok; i++) {
        bool there = get(x, arg(x, a, i)).value != 0;
        n += there;
        if (there || x->strict)
            put(x, arg(x, a, i), (struct hist_cell){0});
    }
    if (x->strict)
        say_value(x, 0);
    else
        say_int(x, n);
}

static void erase(struct eval *x, const struct hist_action *a)
{
    size_t n;
    uint32_t start = arg(x, a, 0), end = arg(x, a, 1);
    const uint32_t *key = x->s->range(x->s->arg, start, end, &n);
    say_status(x);
    if (end &&
        firn_slice_cmp(hist_name_of(&x->h->keys, start), hist_name_of(&x->h->keys, end)) >= 0)
        return; /* no range at all */
    for (size_t i = 0; i < n; i++)
        put(x, key[i], (struct hist_cell){0});
    x->e->erased = true;
}

static void incr(struct eval *x, const struct hist_action *a)
{
    struct hist_cell c = get(x, arg(x, a, 0));
    char text[32], *end = text;
    struct firn_slice old = hist_name_of(&x->h->values, c.value);
    long long n = 0;
    if (c.value && old.len < sizeof text) {
        memcpy(text, old.data, old.len);
        text[old.len] = 0;
        n = strtoll(text, &end, 10);
    }
    if (c.value && (end == text || *end)) {
        say(x, (struct hist_item){.kind = HIST_ERROR});
        x->e->refused |= x->strict;
        return;
    }
    n += a->n;
    struct firn_buf b;
    firn_buf_init(&b, sizeof text);
    enum firn_status st = firn_buf_printf(&b, "%lld", n);
    FIRN_ASSERT(st == FIRN_OK);
    c.value = hist_intern(&x->h->values, firn_buf_slice(&b));
    firn_buf_clear(&b);
    put(x, arg(x, a, 0), c);
    say_int(x, n);
}

static void getdel(struct eval *x, const struct hist_action *a)
{
    uint32_t old = get(x, arg(x, a, 0)).value;
    if (old)
        put(x, arg(x, a, 0), (struct hist_cell){0});
    say_value(x, old);
}

static void expire(struct eval *x, const struct hist_action *a)
{
    struct hist_cell c = get(x, arg(x, a, 0));
    say_int(x, c.value != 0);
    if (!c.value)
        return;
    c.expiry_ms = 0;
    c.in_ms = a->n;
    put(x, arg(x, a, 0), a->ttl == HIST_TTL_PAST ? (struct hist_cell){0} : c);
}

static void persist(struct eval *x, const struct hist_action *a)
{
    struct hist_cell c = get(x, arg(x, a, 0));
    bool does = c.value && (c.expiry_ms || c.in_ms);
    if (does)
        put(x, arg(x, a, 0), (struct hist_cell){.value = c.value});
    say_int(x, does);
}

static void copy(struct eval *x, const struct hist_action *a)
{
    struct hist_cell from = get(x, arg(x, a, 0));
    bool does = from.value && !(a->keep_old && get(x, arg(x, a, 1)).value);
    if (does)
        put(x, arg(x, a, 1), from);
    say_int(x, does);
}

static void get_all(struct eval *x, const struct hist_action *a)
{
    int64_t there = 0;
    for (uint32_t i = 0; i < a->args; i++) {
        uint32_t value = get(x, arg(x, a, i)).value;
        there += value != 0;
        if (a->verb == HIST_GET)
            say_value(x, value);
    }
    if (a->verb == HIST_EXISTS)
        say_int(x, there);
}

/* Keys that this very operation wrote are not seen in ranges unless they were written before by
 * somebody: no client sends such a one. */
static void range(struct eval *x, const struct hist_action *a)
{
    size_t n;
    int64_t there = 0;
    const uint32_t *key = x->s->range(x->s->arg, arg(x, a, 0), arg(x, a, 1), &n);
    if (a->verb == HIST_RANGE && x->op->form != HIST_PLAIN)
        say_value(x, a->next);
    for (size_t i = 0; i < n; i++) {
        uint32_t id = key[a->reverse ? n - 1 - i : i], value = get(x, id).value;
        if (!value)
            continue;
        there++;
        if (a->verb == HIST_RANGE)
            say_value(x, hist_intern(&x->h->values, hist_name_of(&x->h->keys, id)));
        if (a->verb == HIST_RANGE && !a->keys_only)
            say_value(x, value);
    }
    if (a->verb == HIST_COUNT)
        say_int(x, there);
}

static void act(struct eval *x, const struct hist_action *a)
{
    switch ((enum hist_verb)a->verb) {
    case HIST_GET:
    case HIST_EXISTS:
        get_all(x, a);
        break;
    case HIST_RANGE:
    case HIST_COUNT:
        range(x, a);
        break;
    case HIST_SET:
    case HIST_SETNX:
        set(x, a);
        break;
    case HIST_DEL:
        del(x, a);
        break;
    case HIST_DELRANGE:
        erase(x, a);
        break;
    case HIST_INCR:
        incr(x, a);
        break;
    case HIST_GETDEL:
        getdel(x, a);
        break;
    case HIST_EXPIRE:
        expire(x, a);
        break;
    case HIST_PERSIST:
        persist(x, a);
        break;
    case HIST_COPY:
        copy(x, a);
        break;
    case HIST_COMPARE:
        x->e->held &= holds(x, a, 1);
        break;
    }
}

void hist_eval(struct hist *h, const struct hist_op *op, const struct hist_state *s,
               struct hist_eval *e)
{
    struct eval x = {h, op, s, e, op->form == HIST_BATCH || op->form == HIST_TXN};
    uint32_t first = op->action, n = op->thens;
    e->effects = e->items = 0;
    e->erased = e->refused = false;
    e->held = true;
    for (uint32_t i = 0; i < op->compares; i++)
        act(&x, &h->action[first + i]);
    first += op->compares;
    if (!e->held) {
        first += op->thens;
        n = op->elses;
    }
    for (uint32_t i = 0; i < n && !e->refused; i++)
        act(&x, &h->action[first + i]);
    if (e->refused)
        e->effects = e->erased = false;
}

static bool same_item(const struct hist_item *a, const struct hist_item *b)
{
    if (a->kind != b->kind)
        return false;
    return a->kind == HIST_BULK ? a->value == b->value : a->kind != HIST_INT || a->n == b->n;
}

bool hist_eval_answers(const struct hist *h, const struct hist_op *op, const struct hist_eval *e)
{
    if (op->outcome != HIST_OK)
        return true;
    if (e->refused || e->items != op->items || (op->form == HIST_TXN && op->held != e->held))
        return false;
    for (uint32_t i = 0; i < op->items; i++)
        if (!same_item(&h->item[op->item + i], &e->item[i]))
            return false;
    return true;
}

void hist_eval_keys(const struct hist *h, const struct hist_op *op, const struct hist_state *s,
                    void (*visit)(void *arg, uint32_t key), void *to)
{
    for (uint32_t i = 0; i < op->compares + op->thens + op->elses; i++) {
        const struct hist_action *a = &h->action[op->action + i];
        const uint32_t *key = &h->arg[a->arg];
        size_t n = a->args, step = a->verb == HIST_SET || a->verb == HIST_SETNX ? 2 : 1;
        if (a->verb == HIST_RANGE || a->verb == HIST_COUNT || a->verb == HIST_DELRANGE)
            key = s->range(s->arg, key[0], key[1], &n);
        for (size_t k = 0; k < n; k += step)
            visit(to, key[k]);
    }
}
