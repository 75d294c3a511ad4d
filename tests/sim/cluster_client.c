/* The clients of the simulated cluster: what they send, and what must come back. */
#include "sim/cluster_sim.h"

/* ---- clients: sending */

struct op *sim_enqueue(struct client *c, enum op_kind kind)
{
    assert_true(c->tail < QUEUE_MAX);
    struct op *op = &c->queue[c->tail++];
    *op = (struct op){.kind = kind, .client = c->id};
    return op;
}

void sim_say(struct client *c, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    assert_true(len > 0 && (size_t)len < sizeof line);
    assert_int_equal(firn_buf_append(&c->out, line, (size_t)len), FIRN_OK);
}

/* "<n>:" and what makes it long. */
static void say_value(struct client *c, uint64_t n, size_t pad)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%llu:", (unsigned long long)n);
    sim_say(c, "$%zu\r\n%s", (size_t)len + pad, text);
    assert_int_equal(firn_buf_reserve(&c->out, pad + 2), FIRN_OK);
    for (size_t i = 0; i < pad; i++) {
        char x = (char)('a' + sim_rnd(c->x, 26));
        assert_int_equal(firn_buf_append(&c->out, &x, 1), FIRN_OK);
    }
    sim_say(c, "\r\n");
}

static void write_group(struct client *c)
{
    unsigned g = (unsigned)sim_rnd(c->x, GROUPS);
    struct group *m = &c->group[g];
    if (m->sent + 1 >= WRITES_MAX)
        return;
    bool del = sim_rnd(c->x, 6) == 0;
    struct op *op = sim_enqueue(c, del ? OP_DEL : OP_SET);
    op->group = g;
    op->n = ++m->sent;
    if (del)
        m->is_del[op->n / 8] |= (uint8_t)(1u << op->n % 8);
    if (del && sim_rnd(c->x, 2)) {
        sim_say(c, "KV.DELRANGE g%u:%u: g%u:%u;\r\n", c->id, g, c->id, g);
        return;
    }
    if (del) {
        sim_say(c, "MSETEX 2 g%u:%u:a x g%u:%u:b x PXAT 1\r\n", c->id, g, c->id, g);
        return;
    }
    size_t pad = sim_rnd(c->x, 8) ? sim_rnd(c->x, 60) : sim_rnd(c->x, 3000);
    sim_say(c, "*5\r\n$4\r\nMSET\r\n$6\r\ng%u:%u:a\r\n", c->id, g);
    say_value(c, op->n, pad);
    sim_say(c, "$6\r\ng%u:%u:b\r\n", c->id, g);
    say_value(c, op->n, pad / 2);
}

static void read_group(struct client *c)
{
    struct op *op = sim_enqueue(c, OP_READ);
    op->client = (unsigned)sim_rnd(c->x, CLIENTS);
    op->group = (unsigned)sim_rnd(c->x, GROUPS);
    sim_say(c, "MGET g%u:%u:a g%u:%u:b\r\n", op->client, op->group, op->client, op->group);
}

static void write_other(struct client *c)
{
    static const enum op_kind kind[] = {OP_INCR, OP_SETNX, OP_UNSET};
    struct op *op = sim_enqueue(c, kind[sim_rnd(c->x, 3)]);
    if (op->kind == OP_INCR)
        sim_say(c, "INCR i%u\r\n", c->id);
    else if (op->kind == OP_SETNX)
        sim_say(c, "SETNX n%u 1\r\n", c->id);
    else
        sim_say(c, "DEL n%u\r\n", c->id);
}

/* What an acknowledged-by-then read must show. */
static uint64_t floor_of(const struct client *c, const struct group *m)
{
    if (c->freshness_ns == 0)
        return m->acked > m->seen ? m->acked : m->seen;
    /* Its node's clock may be fast or slow by a tenth. */
    uint64_t age = c->freshness_ns + c->freshness_ns / 4, now = sim_now_ns(c->x), floor = 0;
    for (size_t i = 0; i < ACKS_MAX && i < m->acks; i++)
        if (m->ack[i].at_ns + age < now && m->ack[i].n > floor)
            floor = m->ack[i].n;
    return floor;
}

/* Hand over what is queued; that is when it arrives. */
void sim_client_deliver(struct client *c)
{
    if (c->out.len == 0 || !c->sock || firn_fake_node_frozen(c->node->net.node))
        return;
    for (size_t i = c->sent; i < c->tail; i++) {
        struct op *op = &c->queue[i];
        struct client *owner = &c->x->client[op->client];
        if (op->kind == OP_READ)
            op->floor = floor_of(c, &owner->group[op->group]);
        else if (op->kind == OP_INCR_READ)
            op->floor = c->freshness_ns ? 0 : owner->incr_min;
    }
    c->sent = c->tail;
    struct firn_buf out = c->out;
    firn_buf_init(&c->out, SIZE_MAX);
    fake_deliver(c->sock, (const char *)out.data, out.len);
    firn_buf_clear(&out);
}

void sim_client_connect(struct client *c)
{
    bool only_reads = c->x->calm;
    struct node *n = sim_pick(c->x, only_reads && sim_rnd(c->x, 2) ? ROLE_READER
                                    : sim_rnd(c->x, 3)             ? ROLE_WRITER
                                                                   : ROLE_READER);
    c->next_ns = sim_now_ns(c->x) + 20 * FIRN_MS;
    if (!n || !n->serving || !n->net.l || firn_fake_node_frozen(n->net.node))
        return;
    c->sock = fake_connect(&n->net);
    c->node = n;
    c->freshness_ns = sim_rnd(c->x, 4) ? 0 : FRESH_NS;
    sim_enqueue(c, OP_SETUP);
    sim_say(c, "KV.FRESHNESS %llu\r\n", (unsigned long long)(c->freshness_ns / FIRN_MS));
}

static void client_think(struct client *c)
{
    struct sim *x = c->x;
    if (c->head == c->tail) {
        c->head = c->tail = c->sent = 0;
        bool writer = c->node->role == ROLE_WRITER && !x->calm;
        uint64_t n = sim_rnd(x, 4) ? 1 : 1 + sim_rnd(x, QUEUE_MAX - 1);
        if (sim_rnd(x, x->cut ? 3 : 12) == 0 && !x->calm) {
            sim_client_lost(c); /* another node, perhaps */
            return;
        }
        if (writer && sim_rnd(x, 4) == 0) {
            for (uint64_t i = 0; i < n; i++)
                sim_publish(c);
        } else if (writer && sim_rnd(x, 3) == 0) {
            for (uint64_t i = 0; i < n; i++)
                sim_write_expiring(c);
        } else if (writer && sim_rnd(x, 3) == 0) {
            write_other(c);
        } else {
            for (uint64_t i = 0; i < n; i++)
                writer &&sim_rnd(x, 3) ? write_group(c) : read_group(c);
            if (sim_rnd(x, 8) == 0 && c->tail < QUEUE_MAX) {
                struct op *op = sim_enqueue(c, OP_INCR_READ);
                op->client = (unsigned)sim_rnd(x, CLIENTS);
                sim_say(c, "GET i%u\r\n", op->client);
            }
        }
        c->next_ns = sim_now_ns(x) + sim_rnd(x, 10) * sim_rnd(x, 40) * FIRN_MS;
    }
}

/* ---- clients: what came back */

/* A reply at the start of text[0, len): its length, 0 = not whole yet. The elements of an array of
 * bulk strings, or the one value, go to v[] (NULL data: nil). */
struct value {
    char kind;
    struct firn_slice text;
};

static size_t line_end(const char *text, size_t len)
{
    const char *nl = memchr(text, '\n', len);
    return nl ? (size_t)(nl - text) + 1 : 0;
}

static size_t parse_one(const char *text, size_t len, struct value *v)
{
    size_t line = len ? line_end(text, len) : 0;
    if (!line)
        return 0;
    v->kind = text[0];
    v->text = firn_slice_of(text + 1, line - 3);
    if (text[0] != '$')
        return line;
    long n = strtol(text + 1, NULL, 10);
    if (n < 0) {
        v->kind = '_';
        return line;
    }
    if (len < line + (size_t)n + 2)
        return 0;
    v->text = firn_slice_of(text + line, (size_t)n);
    return line + (size_t)n + 2;
}

static size_t parse_reply(const char *text, size_t len, struct value v[2])
{
    size_t at = parse_one(text, len, &v[0]);
    if (!at || v[0].kind != '*')
        return at;
    for (int i = 0; i < 2; i++) {
        size_t used = parse_one(text + at, len - at, &v[i]);
        if (!used)
            return 0;
        at += used;
    }
    return at;
}

static uint64_t number_of(const struct value *v)
{
    return v->kind == '_' ? 0 : strtoull((const char *)v->text.data, NULL, 10);
}

static bool is_error(const struct value *v, const char *word)
{
    return v->kind == '-' && firn_slice_starts(v->text, firn_slice_str(word));
}

static void acked(struct client *c, const struct op *op)
{
    struct group *m = &c->group[op->group];
    c->x->acked++;
    if (op->n <= m->acked)
        return;
    m->acked = op->n;
    m->ack[m->acks % ACKS_MAX].n = op->n;
    m->ack[m->acks++ % ACKS_MAX].at_ns = sim_now_ns(c->x);
}

static void check_read(struct client *c, const struct op *op, const struct value v[2])
{
    struct sim *x = c->x;
    struct group *m = &x->client[op->client].group[op->group];
    uint64_t n = number_of(&v[0]);
    uint64_t floor = op->floor;
    x->reads++;
    x->fresh_reads += c->freshness_ns == 0;
    if (v[0].kind != v[1].kind || n != number_of(&v[1]))
        sim_wrong(x, c, "half of a group is seen", number_of(&v[1]), n);
    if (v[0].kind == '_') {
        /* Nothing was written yet, or one of the DELs that may count. */
        bool ok = floor == 0;
        for (uint64_t i = floor; i <= m->sent && !ok; i++)
            if (m->is_del[i / 8] & 1u << i % 8) {
                ok = true;
                n = i; /* at least this one was applied */
            }
        if (!ok)
            sim_wrong(x, c, "nothing is there", 0, floor);
    } else if (n < floor || n > m->sent) {
        sim_wrong(x, c, "a read shows", n, floor);
    }
    if (c->freshness_ns == 0 && n > m->seen)
        m->seen = n;
}

static void check_incr(struct client *c, const struct value *v)
{
    uint64_t n = number_of(v);
    c->x->conditions++;
    if (n < c->incr_min + 1 || n > c->incr_max + 1)
        sim_wrong(c->x, c, "INCR answers", n, c->incr_min + 1);
    c->incr_min = c->incr_max = n;
}

/* SETNX answers 1 where nothing was, DEL where something was. */
static void check_unique(struct client *c, const struct op *op, const struct value *v)
{
    bool set = op->kind == OP_SETNX, done = number_of(v) == 1;
    bool was = set ? !done : done;
    c->x->conditions++;
    if (c->unique >= 0 && was != (c->unique == 1))
        sim_wrong(c->x, c, set ? "SETNX finds" : "DEL finds", was, (uint64_t)c->unique);
    c->unique = set;
}

/* The outcome of a write is not known. */
static void unknown(struct client *c, const struct op *op)
{
    c->x->unknown++;
    if (op->kind == OP_INCR)
        c->incr_max++;
    else if (op->kind == OP_SETNX || op->kind == OP_UNSET)
        c->unique = -1;
}

static void take_reply(struct client *c, const struct op *op, const struct value v[2])
{
    struct sim *x = c->x;
    if (v[0].kind == '-') {
        if (is_error(&v[0], "KVUNKNOWN"))
            unknown(c, op);
        else if (is_error(&v[0], "KVBUSY") || is_error(&v[0], "READONLY") ||
                 is_error(&v[0], "KVSTALE"))
            x->refused++;
        else {
            print_error("%.*s\n", (int)v[0].text.len, (const char *)v[0].text.data);
            sim_wrong(x, c, "an error", 0, 0);
        }
        return;
    }
    switch (op->kind) {
    case OP_SETUP:
    case OP_EXPIRING: /* the log is looked at */
        break;
    case OP_SET:
    case OP_DEL:
        acked(c, op);
        break;
    case OP_PUBLISH:
        sim_published(c, op->n);
        break;
    case OP_READ:
        check_read(c, op, v);
        break;
    case OP_INCR:
        check_incr(c, &v[0]);
        break;
    case OP_INCR_READ:
        if (number_of(&v[0]) < op->floor)
            sim_wrong(x, c, "a counter shows", number_of(&v[0]), op->floor);
        break;
    case OP_SETNX:
    case OP_UNSET:
        check_unique(c, op, &v[0]);
        break;
    }
}

void sim_client_replies(struct client *c)
{
    struct firn_buf *got = &c->sock->got;
    size_t at = 0;
    struct value v[2];
    while (c->head < c->sent) {
        size_t used = parse_reply((const char *)got->data + at, got->len - at, v);
        if (!used)
            break;
        take_reply(c, &c->queue[c->head++], v);
        at += used;
    }
    firn_buf_consume(got, at);
}

/* The connection is gone: what was not answered is of unknown outcome. */
void sim_client_lost(struct client *c)
{
    if (!c->sock)
        return;
    sim_client_replies(c);
    for (; c->head < c->sent; c->head++)
        if (c->queue[c->head].kind != OP_READ && c->queue[c->head].kind != OP_INCR_READ)
            unknown(c, &c->queue[c->head]);
    c->head = c->tail = c->sent = 0;
    c->out.len = 0;
    sim_bury(c->x, c->node, c->sock);
    c->sock = NULL;
    c->node = NULL;
}

void sim_client_step(struct client *c)
{
    if (c->sock && c->sock->got.len)
        sim_client_replies(c);
    if (c->sock && c->sock->closed)
        sim_client_lost(c);
    if (sim_now_ns(c->x) < c->next_ns)
        return;
    if (!c->sock)
        sim_client_connect(c);
    else
        client_think(c);
    if (c->sock)
        sim_client_deliver(c);
}
