/* A history taken apart into operations of one key each. */
#include "base/assert.h"
#include "base/mem.h"
#include "sim/check_linear_priv.h"

struct maker {
    struct project *p;
    const struct hist *h;
    const struct hist_op *op;
    uint32_t index;
    bool answered; /* what it did, and by when, is known; as APPLIED it may be durable later */
    const struct hist_item *item; /* the reply to the action at hand; NULL: not known */
};

/* ---- parts */

static struct project_key *key_at(struct project *p, uint32_t id)
{
    if (id >= p->keys) {
        uint32_t n = id + 64;
        p->key = firn_realloc(p->key, n * sizeof *p->key);
        FIRN_ASSERT(p->key);
        memset(p->key + p->keys, 0, (n - p->keys) * sizeof *p->key);
        p->keys = n;
    }
    return &p->key[id];
}

static struct firn_slice key_name(const struct maker *m, uint32_t id)
{
    return hist_name_of(&m->h->keys, id);
}

static struct project_key *key_of(struct maker *m, uint32_t id)
{
    return key_at(m->p, hist_intern(&m->p->h.keys, key_name(m, id)));
}

/* The part made of `word`, whose second is its key, and whose reply is `item`; NULL: not known. */
static void part(struct maker *m, const struct firn_slice *word, size_t words,
                 const struct hist_item *item)
{
    struct hist *h = &m->p->h;
    struct project_key *k = key_at(m->p, hist_intern(&h->keys, word[1]));
    uint32_t op = hist_begin(h, &m->op->who, m->op->invoked_ns);
    bool known = hist_command(h, op, word, words);
    FIRN_ASSERT(known);
    if (m->answered) {
        struct hist_item copy = {.kind = HIST_NIL};
        if (item)
            copy = *item;
        if (copy.value)
            copy.value = hist_intern(&h->values, hist_name_of(&m->h->values, copy.value));
        hist_answer_items(h, op, &copy, 1, m->op->replied_ns);
        h->op[op].outcome = item ? HIST_OK : HIST_UNKNOWN;
    }
    k->op = hist_room(k->op, &k->cap, k->ops, sizeof *k->op);
    k->op[k->ops++] = (struct project_op){op, m->index};
}

static void part1(struct maker *m, const char *name, uint32_t key, const struct hist_item *item)
{
    struct firn_slice word[] = {firn_slice_str(name), key_name(m, key)};
    part(m, word, 2, item);
}

static void part2(struct maker *m, const char *name, uint32_t key, uint32_t value,
                  const struct hist_item *item)
{
    struct firn_slice word[] = {firn_slice_str(name), key_name(m, key),
                                hist_name_of(&m->h->values, value)};
    part(m, word, 3, item);
}

/* ---- actions */

static uint32_t arg(const struct maker *m, const struct hist_action *a, uint32_t i)
{
    return m->h->arg[a->arg + i];
}

static void opaque(struct maker *m, const struct hist_action *a, uint32_t step)
{
    for (uint32_t i = 0; i < a->args; i += step)
        key_of(m, arg(m, a, i))->opaque = true;
}

/* A value that is set, with a condition and GET perhaps, of one key. */
static void set_one(struct maker *m, const struct hist_action *a)
{
    static const char *const name[] = {"", "nx", "xx", "ifeq", "ifne"};
    struct firn_slice word[7] = {firn_slice_str("set"), key_name(m, arg(m, a, 0)),
                                 hist_name_of(&m->h->values, arg(m, a, 1))};
    size_t n = 3;
    if (a->condition != HIST_ALWAYS)
        word[n++] = firn_slice_str(name[a->condition]);
    if (a->condition >= HIST_IF_EQUAL)
        word[n++] = hist_name_of(&m->h->values, a->expected);
    if (a->get)
        word[n++] = firn_slice_str("get");
    part(m, word, n, m->item);
}

static void set(struct maker *m, const struct hist_action *a)
{
    bool setnx = a->verb == HIST_SETNX, one = a->args == 2;
    if (a->ttl != HIST_TTL_NONE || (!one && a->condition == HIST_IF_PRESENT)) {
        opaque(m, a, 2);
    } else if (one && !setnx) {
        set_one(m, a);
    } else if (a->condition == HIST_ALWAYS) {
        for (uint32_t i = 0; i < a->args; i += 2)
            part2(m, "set", arg(m, a, i), arg(m, a, i + 1), NULL);
    } else if (one || !m->item || m->item->n == 1) {
        for (uint32_t i = 0; i < a->args; i += 2)
            part2(m, "setnx", arg(m, a, i), arg(m, a, i + 1), m->item);
    } /* else some key was there, not known which */
}

static void del(struct maker *m, const struct hist_action *a)
{
    if (a->condition == HIST_IF_EQUAL) {
        part2(m, "delifeq", arg(m, a, 0), a->expected, m->item);
        return;
    }
    for (uint32_t i = 0; i < a->args; i++)
        part1(m, "del", arg(m, a, i),
              a->args == 1 && m->item && m->item->kind == HIST_INT ? m->item : NULL);
}

static void incr(struct maker *m, const struct hist_action *a)
{
    struct firn_buf by;
    firn_buf_init(&by, 32);
    enum firn_status st = firn_buf_printf(&by, "%lld", (long long)a->n);
    FIRN_ASSERT(st == FIRN_OK);
    struct firn_slice word[] = {firn_slice_str("incrby"), key_name(m, arg(m, a, 0)),
                                firn_buf_slice(&by)};
    part(m, word, 3, m->item);
    firn_buf_clear(&by);
}

/* Every key of the history that lies in the range. */
static void del_range(struct maker *m, const struct hist_action *a)
{
    struct firn_slice start = key_name(m, arg(m, a, 0)), end = key_name(m, arg(m, a, 1));
    for (uint32_t id = 1; id <= m->h->keys.count; id++) {
        struct firn_slice key = key_name(m, id);
        if (firn_slice_cmp(key, start) >= 0 && (!end.len || firn_slice_cmp(key, end) < 0))
            part1(m, "del", id, NULL);
    }
}

/* What a range shows, as reads of its keys. */
static void show_range(struct maker *m, const struct hist_action *a)
{
    for (uint32_t i = 0; !a->keys_only && i + 1 < m->op->items; i += 2) {
        struct firn_slice word[] = {firn_slice_str("get"),
                                    hist_name_of(&m->h->values, m->item[i].value)};
        part(m, word, 2, &m->item[i + 1]);
    }
}

static void read_keys(struct maker *m, const struct hist_action *a)
{
    if (!m->item)
        return;
    for (uint32_t i = 0; i < a->args; i++)
        if (a->verb == HIST_GET)
            part1(m, "get", arg(m, a, i), &m->item[i]);
        else if (a->args == 1)
            part1(m, "exists", arg(m, a, i), m->item);
}

static void take_action(struct maker *m, const struct hist_action *a)
{
    switch ((enum hist_verb)a->verb) {
    case HIST_GET:
    case HIST_EXISTS:
        read_keys(m, a);
        break;
    case HIST_RANGE:
        if (m->item && m->op->form == HIST_PLAIN)
            show_range(m, a);
        break;
    case HIST_SET:
    case HIST_SETNX:
        set(m, a);
        break;
    case HIST_DEL:
        del(m, a);
        break;
    case HIST_DELRANGE:
        del_range(m, a);
        break;
    case HIST_INCR:
        incr(m, a);
        break;
    case HIST_GETDEL:
        part1(m, "getdel", arg(m, a, 0), m->item);
        break;
    case HIST_EXPIRE:
    case HIST_PERSIST:
    case HIST_COPY:
        opaque(m, a, 1);
        break;
    case HIST_COUNT:
    case HIST_COMPARE:
        break;
    }
}

/* ---- operations */

static void take_actions(struct maker *m, uint32_t first, uint32_t n)
{
    uint32_t item = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct hist_action *a = &m->h->action[first + i];
        uint32_t items = a->verb == HIST_GET ? a->args : 1;
        m->item =
            m->answered && item + items <= m->op->items ? &m->h->item[m->op->item + item] : NULL;
        if (m->op->form == HIST_PLAIN && a->verb == HIST_RANGE && m->answered)
            m->item = &m->h->item[m->op->item];
        take_action(m, a);
        item += items;
    }
}

/* Parts of one operation are taken for operations of their own at about the same time: what has an
 * order as one has an order so. Of a KV.TXN whose outcome is not known both branches may be. */
static void take_op(struct maker *m)
{
    const struct hist_op *op = m->op;
    uint32_t thens = op->action + op->compares;
    bool writes = hist_writes(m->h, op);
    if (op->form > HIST_TXN || op->outcome == HIST_REFUSED || op->snapshot ||
        (op->who.applied && !writes))
        return;
    m->answered = op->outcome == HIST_OK && !op->who.applied;
    if (!m->answered || op->form != HIST_TXN || op->held)
        take_actions(m, thens, op->thens);
    if (!m->answered || (op->form == HIST_TXN && !op->held))
        take_actions(m, thens + op->thens, op->elses);
}

void project_make(struct project *p, const struct hist *h)
{
    *p = (struct project){.keys = 0};
    hist_init(&p->h);
    for (uint32_t i = 0; i < h->ops; i++) {
        struct maker m = {.p = p, .h = h, .op = &h->op[i], .index = i};
        take_op(&m);
    }
}

void project_clear(struct project *p)
{
    for (uint32_t i = 0; i < p->keys; i++)
        firn_free(p->key[i].op);
    firn_free(p->key);
    hist_clear(&p->h);
}
