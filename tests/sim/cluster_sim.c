/* A whole cluster in the fake world: the real writer, reader and compactor cores over one store
 * that loses, delays and repeats requests, while nodes are killed, frozen, cut off, stopped and
 * fought by second writers, and limits are tiny, so that floors, collected slots and compactions
 * are met all the time. Clients speak RESP. What is checked, of every reply:
 *
 * - a read at freshness 0, on any node, shows at least what was acknowledged, and what any such
 * read had shown, before it arrived; one at freshness F what was acknowledged F before (I6);
 * - what is written as one group is seen as one;
 * - INCR, SETNX and DEL answer as if there were one database, however many writers think they are
 *   it: no write that was called refused was applied, none was applied twice, no condition was
 *   judged by a state that was out of date;
 * - at the end all that was ever acknowledged is there, on the writer, on the readers that lived
 *   through it all, and on a cold one.
 *
 * One seed per run; FIRN_SEED=n replays one, FIRN_SEEDS=n runs that many. */
#include "testing.h"

#include "compactor/compactor_core.h"
#include "conf/conf.h"
#include "reader/reader_core.h"
#include "unit/resp_fake_net.h"
#include "writer/writer_core.h"

#define CLIENTS 10
#define GROUPS 3 /* of each client: two keys that are written together */
#define NODES_MAX 128
#define QUEUE_MAX 24
#define GRAVES_MAX 64
#define WRITES_MAX 8192 /* of a group in a run */
#define ACKS_MAX 64
#define RUN_NS (100 * FIRN_SEC)
#define CALM_NS (20 * FIRN_SEC)
#define SETTLE_NS (120 * FIRN_SEC)
#define FRESH_NS (1 * FIRN_SEC) /* the other freshness */
#define SEEDS_DEFAULT 12

enum role { ROLE_WRITER, ROLE_READER, ROLE_COMPACTOR };

struct node {
    struct sim *x;
    enum role role;
    struct fake net;
    struct firn_store *store;
    struct firn_settings settings;
    struct firn_obs obs;
    union {
        struct firn_writer *writer;
        struct firn_reader *reader;
        struct firn_compactor *compactor;
    } core;
    bool serving, ending, over, freed;
    unsigned n;
};

enum op_kind { OP_SETUP, OP_SET, OP_DEL, OP_READ, OP_INCR, OP_INCR_READ, OP_SETNX, OP_UNSET };

struct op {
    enum op_kind kind;
    unsigned client, group; /* whose */
    uint64_t n;             /* SET, DEL: its number */
    uint64_t floor;         /* READ: what must be seen */
};

/* A group of keys as its only writer knows it: write n is a SET of the number n or a DEL. */
struct group {
    uint64_t sent, acked, seen;
    uint8_t is_del[WRITES_MAX / 8];
    struct {
        uint64_t at_ns, n;
    } ack[ACKS_MAX]; /* a ring */
    size_t acks;
};

struct client {
    struct sim *x;
    unsigned id;
    struct node *node; /* connected to, or NULL */
    struct firn_sock *sock;
    uint64_t freshness_ns;
    struct op queue[QUEUE_MAX];
    size_t head, tail;
    size_t sent; /* of the queue's bytes, all or nothing: ops [head, sent) were handed over */
    struct firn_buf out;
    uint64_t next_ns;
    struct group group[GROUPS];
    uint64_t incr_min, incr_max; /* what its counter may be */
    int unique;                  /* its SETNX key: 0 absent, 1 there, -1 not known */
};

/* A socket whose client has gone; its node is to hear of that, and closes it. */
struct grave {
    struct node *node;
    struct firn_sock *sock;
    bool told;
};

struct sim {
    uint64_t seed;
    struct grave grave[GRAVES_MAX];
    struct firn_fake_world *w;
    struct node *node[NODES_MAX];
    unsigned nodes;
    struct client client[CLIENTS];
    uint64_t chaos_ns, thaw_ns;
    struct node *frozen, *cut;
    bool calm; /* no more chaos, clients only read */
    uint64_t acked, reads, fresh_reads, conditions, unknown, refused, fences, starts;
};

static uint64_t rnd(struct sim *x, uint64_t n)
{
    return firn_fake_random(x->w) % n;
}

static uint64_t now_ns(const struct sim *x)
{
    return firn_fake_now_ns(x->w);
}

static void wrong(const struct sim *x, const struct client *c, const char *what, uint64_t got,
                  uint64_t want)
{
    print_error("seed %llu at %.6f s: client %u on %s %u: %s: %llu, expected %llu\n",
                (unsigned long long)x->seed, (double)now_ns(x) / 1e9, c->id,
                !c->node                       ? "nothing"
                : c->node->role == ROLE_WRITER ? "writer"
                                               : "reader",
                c->node ? c->node->n : 0, what, (unsigned long long)got, (unsigned long long)want);
    fail();
}

/* ---- nodes */

static void log_line(void *arg, enum firn_log_level level, const char *line, size_t len)
{
    const struct node *n = arg;
    (void)level;
    (void)fprintf(stderr, "%9.4f node %u: %.*s\n", (double)now_ns(n->x) / 1e9, n->n, (int)len,
                  line);
}

static void serving(void *arg, uint16_t port)
{
    (void)port;
    ((struct node *)arg)->serving = true;
}

static void writer_ended(void *arg, enum firn_writer_end how, const struct firn_err *err)
{
    struct node *n = arg;
    (void)err;
    n->over = true;
    n->x->fences += how == FIRN_WRITER_FENCED;
}

static void reader_ended(void *arg, bool failed, const struct firn_err *err)
{
    struct node *n = arg;
    n->over = true;
    if (failed)
        print_error("seed %llu: reader %u failed: %s\n", (unsigned long long)n->x->seed, n->n,
                    err->text);
    assert_false(failed);
}

static void compactor_ended(void *arg, enum firn_compactor_end how, const struct firn_err *err)
{
    (void)how;
    (void)err;
    ((struct node *)arg)->over = true;
}

static void tiny(struct sim *x, struct firn_settings *s)
{
    s->wal_slots_max = 16;
    s->unflushed_bytes_max = 60000;
    s->memtable_bytes = 20000 + rnd(x, 40000);
    s->batch_bytes_max = 16384;
    s->value_max_bytes = 4096;
    s->wal_batch_bytes = 1000 + rnd(x, 8000);
    s->wal_inflight = 1 + rnd(x, 8);
    s->wal_interval_ns = rnd(x, 30) * FIRN_MS;
    s->idle_flush_ns = FIRN_SEC + rnd(x, 4) * FIRN_SEC;
    s->manifest_interval_ns = rnd(x, 200) * FIRN_MS;
    s->table_bytes = 4000;
    s->partition_bytes = 12000;
    s->slice_bytes_min = 1;
    s->l0_compact_tables = 2;
    s->wal_grace_ns = 8 * FIRN_SEC;
    s->table_grace_ns = 5 * FIRN_SEC;
    s->pin_ttl_ns = 4 * FIRN_SEC;
    s->compactor_poll_min_ns = 200 * FIRN_MS;
    s->compactor_poll_max_ns = 2 * FIRN_SEC;
    s->probe = rnd(x, 4) == 0 ? FIRN_PROBE_STRICT : FIRN_PROBE_FAST;
}

static void node_begin(struct node *n)
{
    struct firn_writer_user wu = {.serving = serving, .ended = writer_ended, .arg = n};
    struct firn_reader_user ru = {.serving = serving, .ended = reader_ended, .arg = n};
    struct firn_compactor_user cu = {.ended = compactor_ended, .arg = n};
    switch (n->role) {
    case ROLE_WRITER:
        assert_int_equal(
            firn_writer_create(&n->net.env, n->store, &n->settings, &n->obs, &wu, &n->core.writer),
            FIRN_OK);
        firn_writer_start(n->core.writer);
        break;
    case ROLE_READER:
        assert_int_equal(
            firn_reader_create(&n->net.env, n->store, &n->settings, &n->obs, &ru, &n->core.reader),
            FIRN_OK);
        firn_reader_start(n->core.reader);
        break;
    case ROLE_COMPACTOR:
        assert_int_equal(firn_compactor_create(&n->net.env, n->store, &n->settings, &n->obs, &cu,
                                               &n->core.compactor),
                         FIRN_OK);
        firn_compactor_start(n->core.compactor);
        break;
    }
}

static struct node *node_start(struct sim *x, enum role role)
{
    if (x->nodes == NODES_MAX)
        return NULL;
    struct node *n = calloc(1, sizeof *n);
    assert_non_null(n);
    x->node[x->nodes] = n;
    n->n = x->nodes++;
    n->x = x;
    n->role = role;
    n->net.w = x->w;
    n->net.node = firn_fake_node_add(x->w, NULL);
    n->net.env = *firn_fake_env(n->net.node);
    n->net.net = (struct firn_net){&fake_net_vt, &n->net};
    n->net.env.net = &n->net.net;
    firn_fake_node_clock(n->net.node, (int64_t)rnd(x, 4000) - 2000,
                         (int32_t)rnd(x, 200000) - 100000);
    struct firn_store_options o = {.hedge_gets = true};
    assert_int_equal(firn_store_create(&n->net.env, &o, &n->store), FIRN_OK);
    assert_int_equal(firn_settings_init(&n->settings), FIRN_OK);
    tiny(x, &n->settings);
    firn_obs_init(&n->obs);
    if (getenv("FIRN_VERBOSE")) {
        n->obs.log.sink = log_line;
        n->obs.log.sink_arg = n;
    }
    x->starts++;
    node_begin(n);
    return n;
}

static void client_lost(struct client *c);

static void bury(struct sim *x, struct node *n, struct firn_sock *sock)
{
    size_t i = 0;
    while (i < GRAVES_MAX && x->grave[i].sock)
        i++;
    assert_true(i < GRAVES_MAX);
    x->grave[i] = (struct grave){n, sock, false};
}

static void tell_graves(struct sim *x)
{
    for (size_t i = 0; i < GRAVES_MAX; i++) {
        struct grave *g = &x->grave[i];
        if (!g->sock)
            continue;
        if (!g->sock->closed && !g->told && !g->node->freed &&
            !firn_fake_node_frozen(g->node->net.node)) {
            g->told = true;
            g->sock->user.closed(g->sock->user.arg);
        }
        if (g->sock->closed || g->node->freed) {
            fake_sock_free(g->sock);
            g->sock = NULL;
        }
    }
}

/* Free a core that has ended. */
static void node_free(struct node *n)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (n->x->client[i].node == n)
            client_lost(&n->x->client[i]);
    switch (n->role) {
    case ROLE_WRITER:
        firn_writer_free(n->core.writer);
        break;
    case ROLE_READER:
        firn_reader_free(n->core.reader);
        break;
    case ROLE_COMPACTOR:
        firn_compactor_free(n->core.compactor);
        break;
    }
    firn_store_free(n->store);
    firn_settings_deinit(&n->settings);
    n->freed = true;
    tell_graves(n->x);
}

static void node_end(struct node *n, bool gently)
{
    if (n->ending || n->over)
        return;
    n->ending = true;
    switch (n->role) {
    case ROLE_WRITER:
        gently ? firn_writer_stop(n->core.writer) : firn_writer_halt(n->core.writer);
        break;
    case ROLE_READER:
        firn_reader_stop(n->core.reader);
        break;
    case ROLE_COMPACTOR:
        gently ? firn_compactor_stop(n->core.compactor) : firn_compactor_halt(n->core.compactor);
        break;
    }
}

/* kill -9: what it has sent may land, nothing more is; its clients hear nothing. */
static void node_kill(struct node *n)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (n->x->client[i].node == n)
            client_lost(&n->x->client[i]);
    firn_fake_node_cut(n->net.node, true);
    n->serving = false;
    node_end(n, false);
}

static struct node *pick(struct sim *x, enum role role)
{
    struct node *of[NODES_MAX];
    unsigned k = 0;
    for (unsigned i = 0; i < x->nodes; i++)
        if (x->node[i]->role == role && !x->node[i]->ending && !x->node[i]->over)
            of[k++] = x->node[i];
    return k ? of[rnd(x, k)] : NULL;
}

/* ---- clients: sending */

static struct op *enqueue(struct client *c, enum op_kind kind)
{
    assert_true(c->tail < QUEUE_MAX);
    struct op *op = &c->queue[c->tail++];
    *op = (struct op){.kind = kind, .client = c->id};
    return op;
}

static void say(struct client *c, const char *fmt, ...) FIRN_PRINTF(2, 3);
static void say(struct client *c, const char *fmt, ...)
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
    say(c, "$%zu\r\n%s", (size_t)len + pad, text);
    assert_int_equal(firn_buf_reserve(&c->out, pad + 2), FIRN_OK);
    for (size_t i = 0; i < pad; i++) {
        char x = (char)('a' + rnd(c->x, 26));
        assert_int_equal(firn_buf_append(&c->out, &x, 1), FIRN_OK);
    }
    say(c, "\r\n");
}

static void write_group(struct client *c)
{
    unsigned g = (unsigned)rnd(c->x, GROUPS);
    struct group *m = &c->group[g];
    if (m->sent + 1 >= WRITES_MAX)
        return;
    bool del = rnd(c->x, 6) == 0;
    struct op *op = enqueue(c, del ? OP_DEL : OP_SET);
    op->group = g;
    op->n = ++m->sent;
    if (del)
        m->is_del[op->n / 8] |= (uint8_t)(1u << op->n % 8);
    if (del && rnd(c->x, 2)) {
        say(c, "KV.DELRANGE g%u:%u: g%u:%u;\r\n", c->id, g, c->id, g);
        return;
    }
    if (del) {
        say(c, "MSETEX 2 g%u:%u:a x g%u:%u:b x PXAT 1\r\n", c->id, g, c->id, g);
        return;
    }
    size_t pad = rnd(c->x, 8) ? rnd(c->x, 60) : rnd(c->x, 3000);
    say(c, "*5\r\n$4\r\nMSET\r\n$6\r\ng%u:%u:a\r\n", c->id, g);
    say_value(c, op->n, pad);
    say(c, "$6\r\ng%u:%u:b\r\n", c->id, g);
    say_value(c, op->n, pad / 2);
}

static void read_group(struct client *c)
{
    struct op *op = enqueue(c, OP_READ);
    op->client = (unsigned)rnd(c->x, CLIENTS);
    op->group = (unsigned)rnd(c->x, GROUPS);
    say(c, "MGET g%u:%u:a g%u:%u:b\r\n", op->client, op->group, op->client, op->group);
}

static void write_other(struct client *c)
{
    static const enum op_kind kind[] = {OP_INCR, OP_SETNX, OP_UNSET};
    struct op *op = enqueue(c, kind[rnd(c->x, 3)]);
    if (op->kind == OP_INCR)
        say(c, "INCR i%u\r\n", c->id);
    else if (op->kind == OP_SETNX)
        say(c, "SETNX n%u 1\r\n", c->id);
    else
        say(c, "DEL n%u\r\n", c->id);
}

/* What an acknowledged-by-then read must show. */
static uint64_t floor_of(const struct client *c, const struct group *m)
{
    if (c->freshness_ns == 0)
        return m->acked > m->seen ? m->acked : m->seen;
    /* Its node's clock may be fast or slow by a tenth. */
    uint64_t age = c->freshness_ns + c->freshness_ns / 4, now = now_ns(c->x), floor = 0;
    for (size_t i = 0; i < ACKS_MAX && i < m->acks; i++)
        if (m->ack[i].at_ns + age < now && m->ack[i].n > floor)
            floor = m->ack[i].n;
    return floor;
}

/* Hand over what is queued; that is when it arrives. */
static void client_deliver(struct client *c)
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

static void client_connect(struct client *c)
{
    bool only_reads = c->x->calm;
    struct node *n = pick(c->x, only_reads && rnd(c->x, 2) ? ROLE_READER
                                : rnd(c->x, 3)             ? ROLE_WRITER
                                                           : ROLE_READER);
    c->next_ns = now_ns(c->x) + 20 * FIRN_MS;
    if (!n || !n->serving || !n->net.l || firn_fake_node_frozen(n->net.node))
        return;
    c->sock = fake_connect(&n->net);
    c->node = n;
    c->freshness_ns = rnd(c->x, 4) ? 0 : FRESH_NS;
    enqueue(c, OP_SETUP);
    say(c, "KV.FRESHNESS %llu\r\n", (unsigned long long)(c->freshness_ns / FIRN_MS));
}

static void client_think(struct client *c)
{
    struct sim *x = c->x;
    if (c->head == c->tail) {
        c->head = c->tail = c->sent = 0;
        bool writer = c->node->role == ROLE_WRITER && !x->calm;
        uint64_t n = rnd(x, 4) ? 1 : 1 + rnd(x, QUEUE_MAX - 1);
        if (rnd(x, x->cut ? 3 : 12) == 0 && !x->calm) {
            client_lost(c); /* another node, perhaps */
            return;
        }
        if (writer && rnd(x, 3) == 0) {
            write_other(c);
        } else {
            for (uint64_t i = 0; i < n; i++)
                writer &&rnd(x, 3) ? write_group(c) : read_group(c);
            if (rnd(x, 8) == 0 && c->tail < QUEUE_MAX) {
                struct op *op = enqueue(c, OP_INCR_READ);
                op->client = (unsigned)rnd(x, CLIENTS);
                say(c, "GET i%u\r\n", op->client);
            }
        }
        c->next_ns = now_ns(x) + rnd(x, 10) * rnd(x, 40) * FIRN_MS;
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
    m->ack[m->acks++ % ACKS_MAX].at_ns = now_ns(c->x);
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
        wrong(x, c, "half of a group is seen", number_of(&v[1]), n);
    if (v[0].kind == '_') {
        /* Nothing was written yet, or one of the DELs that may count. */
        bool ok = floor == 0;
        for (uint64_t i = floor; i <= m->sent && !ok; i++)
            if (m->is_del[i / 8] & 1u << i % 8) {
                ok = true;
                n = i; /* at least this one was applied */
            }
        if (!ok)
            wrong(x, c, "nothing is there", 0, floor);
    } else if (n < floor || n > m->sent) {
        wrong(x, c, "a read shows", n, floor);
    }
    if (c->freshness_ns == 0 && n > m->seen)
        m->seen = n;
}

static void check_incr(struct client *c, const struct value *v)
{
    uint64_t n = number_of(v);
    c->x->conditions++;
    if (n < c->incr_min + 1 || n > c->incr_max + 1)
        wrong(c->x, c, "INCR answers", n, c->incr_min + 1);
    c->incr_min = c->incr_max = n;
}

/* SETNX answers 1 where nothing was, DEL where something was. */
static void check_unique(struct client *c, const struct op *op, const struct value *v)
{
    bool set = op->kind == OP_SETNX, done = number_of(v) == 1;
    bool was = set ? !done : done;
    c->x->conditions++;
    if (c->unique >= 0 && was != (c->unique == 1))
        wrong(c->x, c, set ? "SETNX finds" : "DEL finds", was, (uint64_t)c->unique);
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
            wrong(x, c, "an error", 0, 0);
        }
        return;
    }
    switch (op->kind) {
    case OP_SETUP:
        break;
    case OP_SET:
    case OP_DEL:
        acked(c, op);
        break;
    case OP_READ:
        check_read(c, op, v);
        break;
    case OP_INCR:
        check_incr(c, &v[0]);
        break;
    case OP_INCR_READ:
        if (number_of(&v[0]) < op->floor)
            wrong(x, c, "a counter shows", number_of(&v[0]), op->floor);
        break;
    case OP_SETNX:
    case OP_UNSET:
        check_unique(c, op, &v[0]);
        break;
    }
}

static void client_replies(struct client *c)
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
static void client_lost(struct client *c)
{
    if (!c->sock)
        return;
    client_replies(c);
    for (; c->head < c->sent; c->head++)
        if (c->queue[c->head].kind != OP_READ && c->queue[c->head].kind != OP_INCR_READ)
            unknown(c, &c->queue[c->head]);
    c->head = c->tail = c->sent = 0;
    c->out.len = 0;
    bury(c->x, c->node, c->sock);
    c->sock = NULL;
    c->node = NULL;
}

static void client_step(struct client *c)
{
    if (c->sock && c->sock->got.len)
        client_replies(c);
    if (c->sock && c->sock->closed)
        client_lost(c);
    if (now_ns(c->x) < c->next_ns)
        return;
    if (!c->sock)
        client_connect(c);
    else
        client_think(c);
    if (c->sock)
        client_deliver(c);
}

/* ---- chaos */

static void mend(struct sim *x)
{
    if (x->frozen)
        firn_fake_node_thaw(x->frozen->net.node);
    if (x->cut && !x->cut->ending)
        firn_fake_node_cut(x->cut->net.node, false);
    x->frozen = x->cut = NULL;
}

static void strike(struct sim *x)
{
    struct node *n = pick(x, (enum role)rnd(x, 3));
    mend(x);
    switch (n ? rnd(x, 10) : 10) {
    case 0:
        node_kill(n);
        break;
    case 1:
        node_end(n, true);
        break;
    case 2:
    case 3: /* for a moment, or for longer than wal_grace */
        firn_fake_node_freeze(n->net.node);
        x->frozen = n;
        break;
    case 4: /* cut off from the store, not from its clients … */
    case 8:
        firn_fake_node_cut(n->net.node, true);
        x->cut = n;
        if (n->role == ROLE_WRITER) /* … who do not know that it is fenced, nor does it */
            (void)node_start(x, ROLE_WRITER);
        break;
    case 5:
    case 9:
        (void)node_start(x, ROLE_WRITER); /* a second one takes over */
        break;
    case 6:
        (void)node_start(x, ROLE_COMPACTOR);
        break;
    default:
        break;
    }
    x->chaos_ns = now_ns(x) + (rnd(x, 4) ? rnd(x, 2000) : rnd(x, 15000)) * FIRN_MS;
}

static unsigned count(const struct sim *x, enum role role)
{
    unsigned n = 0;
    for (unsigned i = 0; i < x->nodes; i++)
        n += x->node[i]->role == role && !x->node[i]->ending && !x->node[i]->over;
    return n;
}

static void keep_up(struct sim *x)
{
    if (count(x, ROLE_WRITER) == 0)
        (void)node_start(x, ROLE_WRITER);
    if (count(x, ROLE_READER) < 2)
        (void)node_start(x, ROLE_READER);
    if (count(x, ROLE_COMPACTOR) == 0)
        (void)node_start(x, ROLE_COMPACTOR);
}

static bool drive(void *arg)
{
    struct sim *x = arg;
    for (unsigned i = 0; i < x->nodes; i++)
        if (x->node[i]->over && !x->node[i]->freed)
            node_free(x->node[i]);
    tell_graves(x);
    keep_up(x);
    if (!x->calm && now_ns(x) >= x->chaos_ns)
        strike(x);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_step(&x->client[i]);
    return false;
}

static void tick(void *arg)
{
    struct sim *x = arg;
    firn_fake_at(x->w, 5 * FIRN_MS, tick, x);
}

/* ---- a run */

static void begin(struct sim *x, uint64_t seed)
{
    memset(x, 0, sizeof *x);
    x->seed = seed;
    struct firn_fake_options o = {
        .seed = seed,
        .late_max_ns = 30 * FIRN_SEC,
        .date_skew_ms = seed % 3 * 900,
        .list_unsorted = seed % 2,
        .no_delete_many = seed % 5 == 0,
        .faults = {.lost_before = 3000,
                   .lost_after = 3000,
                   .late = 3000,
                   .twice = 3000,
                   .err_500 = 3000,
                   .err_503 = 1000,
                   .err_409 = 1000,
                   .refused = 1000,
                   .short_read = 1000,
                   .loser_500 = 20000,
                   .slow = 10000},
    };
    if (seed % 4 == 0)
        memset(&o.faults, 0, sizeof o.faults);
    x->w = firn_fake_world_new(&o);
    x->chaos_ns = 3 * FIRN_SEC;
    for (unsigned i = 0; i < CLIENTS; i++) {
        x->client[i].x = x;
        x->client[i].id = i;
        firn_buf_init(&x->client[i].out, SIZE_MAX);
    }
    tick(x);
}

static bool all_over(void *arg)
{
    const struct sim *x = arg;
    bool over = true;
    for (unsigned i = 0; i < x->nodes; i++)
        over &= x->node[i]->over;
    return over;
}

static void end(struct sim *x)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_lost(&x->client[i]);
        firn_buf_clear(&x->client[i].out);
    }
    for (unsigned i = 0; i < x->nodes; i++)
        node_end(x->node[i], true);
    if (!firn_fake_run_until(x->w, all_over, x, SETTLE_NS))
        for (unsigned i = 0; i < x->nodes; i++)
            if (!x->node[i]->over) {
                x->client[0].node = x->node[i];
                wrong(x, &x->client[0], "node does not end: role", x->node[i]->role, 0);
            }
    for (unsigned i = 0; i < x->nodes; i++) {
        if (!x->node[i]->freed)
            node_free(x->node[i]);
        free(x->node[i]);
    }
    firn_fake_world_free(x->w);
}

/* All is quiet: everything acknowledged is to be seen, everywhere. */
struct last_look {
    struct sim *x;
    struct node *node;
    struct client c;
    unsigned client, group;
};

static bool last_looks(void *arg)
{
    struct last_look *l = arg;
    struct client *c = &l->c;
    drive(l->x);
    if (!c->sock) {
        if (l->node->over || (l->node->serving && !l->node->net.l))
            l->node = pick(l->x, l->node->role);
        if (!l->node || !l->node->serving || !l->node->net.l)
            return false;
        c->sock = fake_connect(&l->node->net);
        c->node = l->node;
    }
    client_replies(c);
    if (c->sock->closed) { /* a writer that had been fenced and learned it from this read */
        assert_int_equal(l->node->role, ROLE_WRITER);
        client_lost(c);
        l->client = l->group = 0;
        return false;
    }
    if (c->head < c->tail)
        return false;
    c->head = c->tail = c->sent = 0;
    if (l->client == CLIENTS)
        return true;
    if (l->client == 0 && l->group == 0) {
        enqueue(c, OP_SETUP);
        say(c, "KV.FRESHNESS 0\r\n");
    }
    struct op *op = enqueue(c, OP_READ);
    op->client = l->client;
    op->group = l->group;
    say(c, "MGET g%u:%u:a g%u:%u:b\r\n", op->client, op->group, op->client, op->group);
    if (++l->group == GROUPS) {
        l->group = 0;
        op = enqueue(c, OP_INCR_READ);
        op->client = l->client++;
        say(c, "GET i%u\r\n", op->client);
    }
    client_deliver(c);
    return false;
}

static void look_at(struct sim *x, struct node *n)
{
    struct last_look l = {.x = x, .node = n, .c = {.x = x, .id = CLIENTS}};
    uint64_t refused = x->refused;
    firn_buf_init(&l.c.out, SIZE_MAX);
    if (!firn_fake_run_until(x->w, last_looks, &l, SETTLE_NS))
        wrong(x, &l.c, "node does not answer", n->n, 0);
    if (x->refused != refused)
        wrong(x, &l.c, "reads refused in a quiet world", x->refused - refused, 0);
    client_lost(&l.c);
}

static bool writer_serves(void *arg)
{
    struct sim *x = arg;
    drive(x);
    for (unsigned i = 0; i < x->nodes; i++)
        if (x->node[i]->role == ROLE_WRITER && !x->node[i]->ending && !x->node[i]->over &&
            !x->node[i]->serving)
            return false; /* one more take-over is under way */
    struct node *n = pick(x, ROLE_WRITER);
    return n && n->serving;
}

static void settle(struct sim *x)
{
    mend(x);
    x->calm = true;
    memset(&firn_fake_options(x->w)->faults, 0, sizeof(struct firn_fake_faults));
    (void)node_start(x, ROLE_WRITER);
    if (!firn_fake_run_until(x->w, writer_serves, x, SETTLE_NS))
        wrong(x, &x->client[0], "no writer comes to serve", 0, 1);
    assert_false(firn_fake_run_until(x->w, drive, x, CALM_NS));
    for (unsigned i = 0; i < x->nodes; i++)
        if (x->node[i]->serving && !x->node[i]->ending && !x->node[i]->over &&
            x->node[i]->role == ROLE_READER)
            look_at(x, x->node[i]);
    struct node *cold = node_start(x, ROLE_READER);
    if (cold)
        look_at(x, cold);
    look_at(x, pick(x, ROLE_WRITER));
}

static uint64_t run_seed(uint64_t seed, struct sim *x)
{
    begin(x, seed);
    assert_false(firn_fake_run_until(x->w, drive, x, RUN_NS));
    settle(x);
    uint64_t hash = firn_fake_trace_hash(x->w);
    end(x);
    return hash;
}

static void cluster(void **state)
{
    (void)state;
    static struct sim x;
    const char *one = getenv("FIRN_SEED"), *many = getenv("FIRN_SEEDS");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1;
    uint64_t seeds = one ? 1 : many ? strtoull(many, NULL, 10) : SEEDS_DEFAULT;
    for (uint64_t s = first; s < first + seeds; s++) {
        (void)run_seed(s, &x);
        print_message("seed %llu: %llu nodes, %llu fenced, %llu acknowledged, %llu reads (%llu at "
                      "0), %llu conditions, %llu unknown, %llu refused\n",
                      (unsigned long long)s, (unsigned long long)x.starts,
                      (unsigned long long)x.fences, (unsigned long long)x.acked,
                      (unsigned long long)x.reads, (unsigned long long)x.fresh_reads,
                      (unsigned long long)x.conditions, (unsigned long long)x.unknown,
                      (unsigned long long)x.refused);
        assert_true(x.acked > 100 && x.reads > 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cluster)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
