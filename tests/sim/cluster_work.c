/* What the clients of the simulated cluster do. All share a few keys, so that they meet: k00 …
 * values, c… counters, n… keys that only one may make, o… counters of batches with an ID, e… (of
 * one client each, see cluster_expiry.c) keys that expire. */
#include "sim/cluster_sim.h"

#include "format/token.h"

#define KEYS SIM_KEYS
#define FEW 4 /* counters, unique keys */
#define ONCE_PATIENCE_NS (25 * FIRN_SEC)
#define SNAPSHOT_NS_MAX (40 * FIRN_SEC)
#define LOOKS 3 /* at bytes that look damaged, before a node says so */

static unsigned rnd(struct client *c, unsigned n)
{
    return (unsigned)sim_rnd(c->x, n);
}

/* A value that nobody else ever writes; good until the next call but three. */
static const char *value(struct client *c)
{
    static char text[4][3200];
    static unsigned turn;
    char *v = text[turn++ % 4];
    unsigned pad = rnd(c, 8) ? rnd(c, 40) : rnd(c, 2500);
    int n = snprintf(v, sizeof text[0], "v%u.%llu.", c->id, (unsigned long long)++c->values);
    for (unsigned i = 0; i < pad; i++)
        v[n + (int)i] = (char)('a' + (i * 7 + c->values) % 26);
    v[n + (int)pad] = '\0';
    return v;
}

/* ---- writes */

static void do_set(struct client *c)
{
    static const char *const how[] = {"", "", "", " NX", " XX", " GET", " NX GET", " KEEPTTL"};
    (void)sim_ask(c, SIM_PLAIN, 0, "SET k%02u %s%s", rnd(c, KEYS), value(c), how[rnd(c, 8)]);
}

static void do_many(struct client *c)
{
    unsigned a = rnd(c, KEYS), b = (a + 1 + rnd(c, KEYS - 1)) % KEYS;
    switch (rnd(c, 6)) {
    case 0:
        (void)sim_ask(c, SIM_PLAIN, 0, "DEL k%02u k%02u", a, b);
        break;
    case 1:
        (void)sim_ask(c, SIM_PLAIN, 0, "KV.DELRANGE k%02u k%02u:%u.%llu", a < b ? a : b,
                      a < b ? b : a, c->id, (unsigned long long)++c->values);
        break;
    case 2:
        (void)sim_ask(c, SIM_PLAIN, 0, "MSETNX k%02u %s k%02u %s", a, value(c), b, value(c));
        break;
    default:
        (void)sim_ask(c, SIM_PLAIN, 0, "MSET k%02u %s k%02u %s", a, value(c), b, value(c));
        break;
    }
}

static void do_condition(struct client *c)
{
    unsigned k = rnd(c, FEW);
    switch (rnd(c, 7)) {
    case 0:
        (void)sim_ask(c, SIM_PLAIN, 0, "SETNX n%u %s", k, value(c));
        break;
    case 1:
        (void)sim_ask(c, SIM_PLAIN, 0, "DEL n%u", k);
        break;
    case 2:
        (void)sim_ask(c, SIM_PLAIN, 0, "GETDEL n%u", k);
        break;
    case 3: /* a few values only, so that it often is the one */
        (void)sim_ask(c, SIM_PLAIN, 0, "SET n%u s%u IFEQ s%u", k, rnd(c, 3), rnd(c, 3));
        break;
    case 4:
        (void)sim_ask(c, SIM_PLAIN, 0, "SET n%u s%u IFNE s%u", k, rnd(c, 3), rnd(c, 3));
        break;
    default:
        (void)sim_ask(c, SIM_PLAIN, 0, "INCRBY c%u %u", k, 1 + rnd(c, 3));
        break;
    }
}

static void do_batch(struct client *c)
{
    unsigned a = rnd(c, KEYS), k = rnd(c, FEW);
    switch (rnd(c, 4)) {
    case 0:
        (void)sim_ask(c, SIM_PLAIN, 0, "KV.BATCH 3 3 SET k%02u %s 3 INCRBY c%u 1 2 GET k%02u", a,
                      value(c), k, rnd(c, KEYS));
        break;
    case 1:
        (void)sim_ask(c, SIM_PLAIN, 0, "KV.BATCH 2 4 SET k%02u %s NX 3 INCRBY c%u 1", a, value(c),
                      k);
        break;
    case 2:
        (void)sim_ask(c, SIM_PLAIN, 0,
                      "KV.TXN 1 EXISTS k%02u = 1 THEN 2 2 GET k%02u 2 DEL k%02u ELSE 1 3 SET "
                      "k%02u %s",
                      a, a, a, a, value(c));
        break;
    default:
        (void)sim_ask(c, SIM_PLAIN, 0,
                      "KV.TXN 1 VALUE n%u = s1 THEN 2 3 SET n%u s2 3 INCRBY c%u 1 ELSE 1 2 GET "
                      "c%u",
                      k, k, k, k);
        break;
    }
}

static void do_exec(struct client *c)
{
    char line[4][3300];
    unsigned a = rnd(c, KEYS), b = rnd(c, KEYS);
    bool watch = rnd(c, 2);
    if (watch) {
        sim_tell(c, SIM_NOTHING, 0, "WATCH k%02u", a);
        (void)sim_ask(c, SIM_WATCHED, 0, "GET k%02u", a);
    }
    (void)snprintf(line[0], sizeof line[0], "GET k%02u", a);
    (void)snprintf(line[1], sizeof line[1], "SET k%02u %s", a, value(c));
    (void)snprintf(line[2], sizeof line[2], "INCR c%u", rnd(c, FEW));
    (void)snprintf(line[3], sizeof line[3], rnd(c, 2) ? "GET k%02u" : "DEL k%02u", b);
    const char *lines[] = {line[0], line[1], line[2], line[3]};
    (void)sim_ask_exec(c, watch ? SIM_EXEC : SIM_PLAIN, lines, 2 + rnd(c, 3));
}

/* A batch that is sent again, with its ID, until somebody says what became of it. */
static void do_once(struct client *c)
{
    if (c->once.op != SIM_NO_OP || c->who.applied) /* the history knows one kind of answer */
        return;
    unsigned long long n = ++c->values;
    (void)snprintf(c->once.text, sizeof c->once.text,
                   "KV.BATCH ID r%u.%llu 2 3 INCRBY o%u 1 3 SET k%02u once%u.%llu", c->id, n, c->id,
                   rnd(c, KEYS), c->id, n);
    c->once.give_up_ns = sim_now_ns(c->x) + ONCE_PATIENCE_NS;
    c->once.op = sim_ask(c, SIM_ONCE, 0, "%s", c->once.text);
}

static void do_expiring(struct client *c)
{
    unsigned k = rnd(c, SIM_EXPIRING), other = (k + 1 + rnd(c, SIM_EXPIRING - 1)) % SIM_EXPIRING;
    unsigned ms = 50 + rnd(c, rnd(c, 2) ? 400 : SIM_TTL_MAX_MS - 50), id = c->id;
    switch (rnd(c, 10)) {
    case 0:
        (void)sim_ask(c, SIM_PLAIN, 0, "PERSIST e%u:%u", id, k);
        break;
    case 1:
        (void)sim_ask(c, SIM_PLAIN, 0, "DEL e%u:%u", id, k);
        break;
    case 2:
        (void)sim_ask(c, SIM_PLAIN, 0, "SET e%u:%u plain", id, k);
        break;
    case 3:
        (void)sim_ask(c, SIM_PLAIN, 0, "PEXPIRE e%u:%u %u", id, k, ms);
        break;
    case 4:
        (void)sim_ask(c, SIM_PLAIN, 0, "SET e%u:%u kept KEEPTTL", id, k);
        break;
    case 5:
        (void)sim_ask(c, SIM_PLAIN, 0, "COPY e%u:%u e%u:%u REPLACE", id, k, id, other);
        break;
    case 6:
        (void)sim_ask(c, SIM_PLAIN, 0, "MSETEX 2 e%u:%u a e%u:%u b PX %u", id, k, id, other, ms);
        break;
    default:
        (void)sim_ask(c, SIM_PLAIN, 0, "SET e%u:%u %s PX %u", id, k, value(c), ms);
        break;
    }
}

static void do_publish(struct client *c)
{
    uint64_t n = sim_publish(c->x);
    if (n < SIM_MESSAGES_MAX)
        sim_tell(c, SIM_PUBLISH, n, "PUBLISH p %llu", (unsigned long long)n);
}

/* ---- reads */

static void do_read(struct client *c)
{
    unsigned a = rnd(c, KEYS), b = rnd(c, KEYS), other = rnd(c, c->x->choice.clients);
    switch (rnd(c, 8)) {
    case 0:
        (void)sim_ask(c, SIM_PLAIN, 0, "GET c%u", rnd(c, FEW));
        break;
    case 1:
        (void)sim_ask(c, SIM_PLAIN, 0, "MGET n0 n1 n2 n3 c0 c1 c2 c3");
        break;
    case 2:
        (void)sim_ask(c, SIM_PLAIN, 0, "GET o%u", other);
        break;
    case 3:
        (void)sim_ask(c, SIM_PLAIN, 0, "MGET e%u:0 e%u:1 e%u:2 e%u:3 e%u:4 e%u:5", other, other,
                      other, other, other, other);
        break;
    case 4:
        (void)sim_ask(c, SIM_PLAIN, 0, "EXISTS k%02u k%02u", a, b);
        break;
    case 5:
        (void)sim_ask(c, SIM_PLAIN, 0, "MGET k%02u k%02u k%02u", a, b, rnd(c, KEYS));
        break;
    default:
        (void)sim_ask(c, SIM_PLAIN, 0, "GET k%02u", a);
        break;
    }
}

static void do_range(struct client *c)
{
    unsigned a = rnd(c, KEYS), b = a + 1 + rnd(c, KEYS);
    switch (rnd(c, 5)) {
    case 0:
        (void)sim_ask(c, SIM_PLAIN, 0, "KV.COUNT k%02u k%02u", a, b);
        break;
    case 1:
        (void)sim_ask(c, SIM_PLAIN, 0, "KV.RANGE k%02u k%02u REV LIMIT %u", a, b, 1 + rnd(c, 8));
        break;
    case 2:
        (void)sim_ask(c, SIM_PLAIN, 0, "KV.RANGE k%02u k%02u KEYSONLY", a, b);
        break;
    default:
        (void)sim_ask(c, SIM_PLAIN, 0, "KV.RANGE k%02u k%02u LIMIT %u", a, b, 1 + rnd(c, 20));
        break;
    }
}

static void do_snapshot(struct client *c)
{
    struct sim *x = c->x;
    unsigned a = rnd(c, KEYS);
    unsigned long long id = c->snapshot;
    if (!c->snapshot) {
        (void)sim_ask(c, SIM_SNAPSHOT, 0, "KV.SNAPSHOT OPEN 60000");
        c->snapshot_until_ns = sim_now_ns(x) + sim_rnd(x, SNAPSHOT_NS_MAX);
        return;
    }
    if (rnd(c, 3) == 0)
        (void)sim_ask(c, SIM_PLAIN, 0, "KV.RANGE k00 k99 AT %llu", id);
    else if (rnd(c, 2))
        (void)sim_ask(c, SIM_PLAIN, 0, "KV.COUNT k%02u k99 AT %llu", a, id);
    else
        (void)sim_ask(c, SIM_PLAIN, 0, "KV.GET k%02u AT %llu", a, id);
    if (sim_now_ns(x) > c->snapshot_until_ns) {
        sim_tell(c, SIM_NOTHING, 0, "KV.SNAPSHOT CLOSE %llu", id);
        c->snapshot = 0;
    }
}

/* What one client has seen another is to see, wherever it is. */
static void do_token(struct client *c)
{
    struct sim *x = c->x;
    if (!x->token[0] || rnd(c, 2)) {
        (void)sim_ask(c, SIM_TOKEN, 0, "KV.TOKEN");
        return;
    }
    if (rnd(c, 2)) {
        (void)sim_ask(c, SIM_PLAIN, 0, "KV.WAIT %s 1500", x->token);
        (void)sim_ask(c, SIM_PLAIN, 0, "GET k%02u", rnd(c, KEYS));
    } else {
        (void)sim_ask(c, SIM_PLAIN, 0, "KV.GET k%02u ATLEAST %s", rnd(c, KEYS), x->token);
    }
}

/* A copy of all changes, page by page, over all nodes it meets. */
static void do_changes(struct client *c)
{
    struct sim *x = c->x;
    struct firn_token t;
    if (!c->changes[0])
        memcpy(c->changes, x->token, sizeof c->changes);
    if (firn_token_parse(firn_slice_str(c->changes), &t) != FIRN_OK) {
        do_token(c);
        return;
    }
    (void)sim_ask(c, SIM_CHANGES, t.seqno, "KV.CHANGES FROM %s COUNT %u", c->changes,
                  1 + rnd(c, 60));
}

static void do_tracked(struct client *c)
{
    unsigned k = rnd(c, KEYS);
    (void)sim_ask(c, SIM_TRACKED, k, "GET k%02u", k);
}

/* ---- bursts */

enum { WRITES = 7, READS = 6 };
static void (*const job[WRITES + READS])(struct client *c) = {
    do_set,  do_many,  do_condition, do_batch, do_exec,    do_expiring, do_publish,
    do_read, do_range, do_snapshot,  do_token, do_changes, sim_scan};
/* Of the queue, at most, in one call of a job. */
#define JOB_OPS_MAX 10

static void burst(struct client *c)
{
    struct sim *x = c->x;
    bool writer = c->node->role == ROLE_WRITER && !x->calm && !c->resp3;
    unsigned n = rnd(c, 3) ? 1 + rnd(c, 3) : 1 + rnd(c, 12);
    bool writes = writer && rnd(c, 4);
    unsigned from = writes ? 0 : WRITES, all = writes ? WRITES : READS;
    for (; c->tracks && n && c->tail - c->head < QUEUE_MAX; n--)
        do_tracked(c);
    if (writer && rnd(c, 12) == 0)
        do_once(c);
    for (unsigned one = from + rnd(c, all); n && c->tail - c->head + JOB_OPS_MAX <= QUEUE_MAX;
         n--) {
        job[one](c);
        if (rnd(c, 3) == 0)
            one = from + rnd(c, all);
    }
    sim_client_flush(c);
    if (c->head == c->tail)
        sim_client_wake(c, sim_rnd(x, x->choice.think_ns));
}

/* Another node: a writer, one that thinks it is, or a reader. */
static void connect(struct client *c)
{
    struct sim *x = c->x;
    struct node *n =
        sim_pick(x, sim_rnd(x, x->calm ? 2 : 3) ? ROLE_WRITER : ROLE_READER, sim_rnd(x, 8));
    if (!n || !n->serving || !sim_client_dial(c, n)) {
        sim_client_wake(c, 200 * FIRN_MS + sim_rnd(x, 500 * FIRN_MS));
        return;
    }
    c->who.freshness_ns = sim_rnd(x, 3) ? 0 : x->choice.fresh_ns;
    c->who.applied = sim_rnd(x, 4) == 0;
    sim_tell(c, SIM_NOTHING, 0, "KV.FRESHNESS %llu",
             (unsigned long long)(c->who.freshness_ns / FIRN_MS));
    sim_tell(c, SIM_NOTHING, 0, "KV.ACK %s", c->who.applied ? "APPLIED" : "DURABLE");
    if (rnd(c, 6) == 0) {
        c->tracks = c->resp3 = true;
        sim_tell(c, SIM_NOTHING, 0, "HELLO 3");
        sim_tell(c, SIM_TRACKING, 0, "CLIENT TRACKING ON");
    }
    if (n->role == ROLE_WRITER && !c->resp3 && c->once.op != SIM_NO_OP && !c->who.applied) {
        if (sim_now_ns(x) < c->once.give_up_ns)
            sim_ask_again(c, SIM_ONCE, c->once.op, c->once.text);
        else
            c->once.op = SIM_NO_OP;
    }
    sim_client_flush(c);
}

void sim_work(struct client *c)
{
    if (!c->conn) {
        connect(c);
    } else if (sim_rnd(c->x, c->x->cut ? 4 : 15) == 0) {
        sim_client_lose(c);
        connect(c);
    } else {
        burst(c);
    }
}

/* ---- replies */

static bool starts(const char *reply, size_t len, const char *word)
{
    size_t n = strlen(word);
    return len > n && memcmp(reply, word, n) == 0;
}

/* Damage that comes three times in a row is believed: none may be seen where none was done. */
static bool flipped(const struct firn_fake_world *w)
{
    return firn_fake_strikes(w, "bit-flip") >= LOOKS || firn_fake_strikes(w, "short-read") >= LOOKS;
}

static void check_error(struct client *c, const char *reply, size_t len)
{
    static const char *const known[] = {"-KVBUSY",
                                        "-KVSTALE",
                                        "-READONLY",
                                        "-KVUNKNOWN",
                                        "-MOVED",
                                        "-KVABORT",
                                        "-CLUSTERDOWN",
                                        "-EXECABORT",
                                        "-LOADING",
                                        "-KVGONE",
                                        "-ERR the token lies behind the end of its writer's log"};
    bool expected = starts(reply, len, "-KVCORRUPT") && flipped(c->x->w);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        expected |= starts(reply, len, known[i]);
    if (expected && !c->looks) { /* who looks is in a quiet world */
        if (starts(reply, len, "-KVUNKNOWN"))
            SIM_COUNT(c->x, unknown);
        else
            SIM_COUNT(c->x, refused);
        return;
    }
    sim_fail(c->x, "client %u on node %u: an error: %.*s", c->id, c->node->n, (int)len, reply);
}

static const struct hist_item *items(struct client *c, uint32_t op)
{
    return &c->x->hist.item[c->x->hist.op[op].item];
}

/* The text of an item as a token, for others. */
static void keep_token(struct client *c, const struct hist_item *i, char out[96])
{
    struct firn_slice t = hist_name_of(&c->x->hist.values, i->value);
    if (i->kind == HIST_BULK)
        (void)snprintf(out, 96, "%.*s", (int)t.len, (const char *)t.data);
}

static void check_watched(struct client *c, uint32_t op)
{
    const struct hist_op *o = &c->x->hist.op[op];
    if (!c->watched_known || o->outcome != HIST_OK || o->items == 0)
        return;
    const struct hist_item *i = items(c, op);
    uint32_t found = i->kind == HIST_BULK ? i->value : 0;
    if (found != c->watched)
        sim_fail(c->x, "client %u: EXEC ran although the value it watched had changed", c->id);
    SIM_COUNT(c->x, checks);
}

/* ---- CLIENT TRACKING */

void sim_pushed(struct client *c, const char *push, size_t len)
{
    SIM_COUNT(c->x, invalidated);
    if (memchr(push, 'k', len) == NULL) { /* no key is named: all */
        memset(c->cache, 0, sizeof c->cache);
        return;
    }
    for (const char *at = push, *end = push + len; at + 4 <= end; at++) /* "\nk07\r" */
        if (at[0] == '\n' && at[1] == 'k') {
            unsigned k = (unsigned)(at[2] - '0') * 10 + (unsigned)(at[3] - '0');
            if (k < KEYS)
                c->cache[k].known = false;
        }
}

/* A reader's view may be ahead of what it has told, by a tail-interval: so what is shown anew is no
 * sign. What the client holds from before stays until it is told, and is looked at in the end. */
static void take_tracked(struct client *c, const struct sim_sent *s, bool error)
{
    const struct hist_item *i = items(c, s->op);
    struct sim_cached *known = &c->cache[s->n];
    if (error || !c->tracks || known->known)
        return;
    *known = (struct sim_cached){true, i->kind == HIST_BULK ? i->value : 0};
}

static void count(struct client *c, uint32_t op)
{
    const struct hist_op *o = &c->x->hist.op[op];
    if (o->outcome != HIST_OK)
        return;
    SIM_COUNT(c->x, operations);
    if (hist_writes(&c->x->hist, o)) {
        SIM_COUNT(c->x, acked);
        return;
    }
    SIM_COUNT(c->x, reads);
    c->x->r->count[SIM_fresh_reads] += o->who.freshness_ns == 0;
}

void sim_replied(struct client *c, const struct sim_sent *s, const char *reply, size_t len)
{
    struct sim *x = c->x;
    bool error = reply[0] == '-';
    if (error)
        check_error(c, reply, len);
    if (s->op != SIM_NO_OP)
        count(c, s->op);
    switch (s->what) {
    case SIM_PUBLISH:
        if (!error && !c->who.applied) /* as APPLIED it may become durable later */
            sim_published(x, s->n);
        break;
    case SIM_SNAPSHOT:
        c->snapshot = error ? 0 : x->hist.op[s->op].snapshot;
        break;
    case SIM_TOKEN:
        if (!error)
            keep_token(c, items(c, s->op), x->token);
        break;
    case SIM_CHANGES:
        c->changes[0] = '\0';
        if (!error) {
            keep_token(c, items(c, s->op), c->changes);
            sim_history_page(x, s->n, s->op);
        }
        break;
    case SIM_SCAN:
        sim_scanned(c, reply, len);
        break;
    case SIM_TRACKING:
        c->tracks = !error;
        memset(c->cache, 0, sizeof c->cache);
        break;
    case SIM_TRACKED:
        take_tracked(c, s, error);
        break;
    case SIM_WATCHED:
        c->watched_known = !error && !c->watch_failed;
        c->watched = !error && items(c, s->op)->kind == HIST_BULK ? items(c, s->op)->value : 0;
        break;
    case SIM_EXEC:
        check_watched(c, s->op);
        c->watched_known = c->watch_failed = false;
        break;
    case SIM_ONCE:
        if (!error || x->hist.op[s->op].outcome == HIST_OK)
            c->once.op = SIM_NO_OP;
        break;
    case SIM_NOTHING:
        c->watch_failed |= error;
        break;
    default:
        if (error && starts(reply, len, "-KVGONE"))
            c->snapshot = 0;
        break;
    }
}

void sim_work_final(struct client *c)
{
    static const char *const line[] = {
        "KV.RANGE k00 k99",
        "MGET n0 n1 n2 n3 c0 c1 c2 c3",
        "MGET o0 o1 o2 o3 o4 o5 o6 o7 o8 o9",
        "KV.RANGE e e;",
    };
    c->who.freshness_ns = 0;
    sim_tell(c, SIM_NOTHING, 0, "KV.FRESHNESS 0");
    for (size_t i = 0; i < sizeof line / sizeof line[0]; i++) {
        uint32_t op = sim_ask(c, SIM_PLAIN, 0, "%s", line[i]);
        c->x->hist.op[op].final = true;
    }
    sim_client_flush(c);
}
