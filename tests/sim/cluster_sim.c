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
 * - expired events: see cluster_expiry.c; subscribers: see cluster_feed.c;
 * - at the end all that was ever acknowledged is there, on the writer, on the readers that lived
 *   through it all, and on a cold one.
 *
 * One seed per run; FIRN_SEED=n replays one, FIRN_SEEDS=n runs that many. */
#include "sim/cluster_sim.h"

#include "base/mem.h"

uint64_t sim_rnd(struct sim *x, uint64_t n)
{
    return firn_fake_random(x->w) % n;
}

uint64_t sim_now_ns(const struct sim *x)
{
    return firn_fake_now_ns(x->w);
}

void sim_wrong(const struct sim *x, const struct client *c, const char *what, uint64_t got,
               uint64_t want)
{
    print_error("seed %llu at %.6f s: client %u on %s %u: %s: %llu, expected %llu\n",
                (unsigned long long)x->seed, (double)sim_now_ns(x) / 1e9, c->id,
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
    (void)fprintf(stderr, "%9.4f node %u: %.*s\n", (double)sim_now_ns(n->x) / 1e9, n->n, (int)len,
                  line);
}

static void serving(void *arg, uint16_t port)
{
    struct node *n = arg;
    (void)port;
    n->serving = true;
    n->x->takeovers += n->standby;
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
    firn_free(s->notify_keyspace_events);
    s->notify_keyspace_events = firn_strdup("Ex");
    s->wal_slots_max = 16;
    s->unflushed_bytes_max = 60000;
    s->memtable_bytes = 20000 + sim_rnd(x, 40000);
    s->batch_bytes_max = 16384;
    s->value_max_bytes = 4096;
    s->wal_batch_bytes = 1000 + sim_rnd(x, 8000);
    s->wal_inflight = 1 + sim_rnd(x, 8);
    s->wal_interval_ns = sim_rnd(x, 30) * FIRN_MS;
    s->idle_flush_ns = FIRN_SEC + sim_rnd(x, 4) * FIRN_SEC;
    s->manifest_interval_ns = sim_rnd(x, 200) * FIRN_MS;
    s->table_bytes = 4000;
    s->partition_bytes = 12000;
    s->slice_bytes_min = 1;
    s->l0_compact_tables = 2;
    s->wal_grace_ns = 8 * FIRN_SEC;
    s->table_grace_ns = 5 * FIRN_SEC;
    s->pin_ttl_ns = 4 * FIRN_SEC;
    s->compactor_poll_min_ns = 200 * FIRN_MS;
    s->compactor_poll_max_ns = 2 * FIRN_SEC;
    s->heartbeat_ns = x->heartbeat_ns;
    s->failover_after_ns = x->heartbeat_ns + sim_rnd(x, 3000) * FIRN_MS;
    s->tail_interval_ns = 50 * FIRN_MS;
    s->probe = sim_rnd(x, 4) == 0 ? FIRN_PROBE_STRICT : FIRN_PROBE_FAST;
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

static struct node *node_begin_new(struct sim *x, enum role role, bool standby)
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
    firn_fake_node_clock(n->net.node, (int64_t)sim_rnd(x, 4000) - 2000,
                         (int32_t)sim_rnd(x, 200000) - 100000);
    struct firn_store_options o = {.hedge_gets = true};
    assert_int_equal(firn_store_create(&n->net.env, &o, &n->store), FIRN_OK);
    assert_int_equal(firn_settings_init(&n->settings), FIRN_OK);
    tiny(x, &n->settings);
    n->standby = n->settings.standby = standby;
    char id[16];
    (void)snprintf(id, sizeof id, "node-%u", n->n);
    firn_free(n->settings.node_id);
    n->settings.node_id = firn_strdup(id);
    assert_non_null(n->settings.node_id);
    firn_obs_init(&n->obs);
    if (getenv("FIRN_VERBOSE")) {
        n->obs.log.sink = log_line;
        n->obs.log.sink_arg = n;
    }
    x->starts++;
    node_begin(n);
    return n;
}

static struct node *node_start(struct sim *x, enum role role)
{
    return node_begin_new(x, role, false);
}

void sim_bury(struct sim *x, struct node *n, struct firn_sock *sock)
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
            sim_client_lost(&n->x->client[i]);
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
            sim_client_lost(&n->x->client[i]);
    firn_fake_node_cut(n->net.node, true);
    n->serving = false;
    node_end(n, false);
}

static struct node *pick(struct sim *x, enum role role, bool serving)
{
    struct node *of[NODES_MAX];
    unsigned k = 0;
    for (unsigned i = 0; i < x->nodes; i++)
        if (x->node[i]->role == role && !x->node[i]->ending && !x->node[i]->over &&
            (x->node[i]->serving || !serving))
            of[k++] = x->node[i];
    return k ? of[sim_rnd(x, k)] : NULL;
}

struct node *sim_pick(struct sim *x, enum role role)
{
    return pick(x, role, false);
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
    struct node *n = sim_pick(x, (enum role)sim_rnd(x, 3));
    mend(x);
    switch (n ? sim_rnd(x, 10) : 10) {
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
        /* a second one takes over, or one more waits to */
        (void)node_begin_new(x, ROLE_WRITER, x->heartbeat_ns && sim_rnd(x, 5));
        break;
    case 6:
        (void)node_start(x, ROLE_COMPACTOR);
        break;
    default:
        break;
    }
    x->chaos_ns = sim_now_ns(x) + (sim_rnd(x, 4) ? sim_rnd(x, 2000) : sim_rnd(x, 15000)) * FIRN_MS;
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
    unsigned writers = count(x, ROLE_WRITER);
    if (writers == 0)
        (void)node_start(x, ROLE_WRITER);
    else if (writers == 1 && x->heartbeat_ns)
        (void)node_begin_new(x, ROLE_WRITER, true);
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
    if (!x->calm && sim_now_ns(x) >= x->chaos_ns)
        strike(x);
    for (unsigned i = 0; i < CLIENTS; i++)
        sim_client_step(&x->client[i]);
    sim_feed_step(x);
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
    x->heartbeat_ns = seed % 3 == 0 ? 0 : (200 + sim_rnd(x, 2000)) * FIRN_MS;
    for (unsigned i = 0; i < CLIENTS; i++) {
        x->client[i].x = x;
        x->client[i].id = i;
        firn_buf_init(&x->client[i].out, SIZE_MAX);
    }
    sim_expiry_begin(x);
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
        sim_client_lost(&x->client[i]);
        firn_buf_clear(&x->client[i].out);
    }
    for (unsigned i = 0; i < x->nodes; i++)
        node_end(x->node[i], true);
    if (!firn_fake_run_until(x->w, all_over, x, SETTLE_NS))
        for (unsigned i = 0; i < x->nodes; i++)
            if (!x->node[i]->over) {
                x->client[0].node = x->node[i];
                sim_wrong(x, &x->client[0], "node does not end: role", x->node[i]->role, 0);
            }
    for (unsigned i = 0; i < x->nodes; i++) {
        if (!x->node[i]->freed)
            node_free(x->node[i]);
        free(x->node[i]);
    }
    firn_fake_world_free(x->w);
    sim_expiry_end(x);
    sim_feed_end(x);
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
        if (l->node->over || (l->node->serving && !l->node->net.l)) {
            struct node *other = pick(l->x, l->node->role, true);
            l->node = other ? other : l->node;
        }
        if (l->node->over || !l->node->serving || !l->node->net.l)
            return false;
        c->sock = fake_connect(&l->node->net);
        c->node = l->node;
    }
    sim_client_replies(c);
    if (c->sock->closed) { /* a writer that had been fenced and learned it from this read */
        assert_int_equal(l->node->role, ROLE_WRITER);
        sim_client_lost(c);
        l->client = l->group = 0;
        return false;
    }
    if (c->head < c->tail)
        return false;
    c->head = c->tail = c->sent = 0;
    if (l->client == CLIENTS)
        return true;
    if (l->client == 0 && l->group == 0) {
        sim_enqueue(c, OP_SETUP);
        sim_say(c, "KV.FRESHNESS 0\r\n");
    }
    struct op *op = sim_enqueue(c, OP_READ);
    op->client = l->client;
    op->group = l->group;
    sim_say(c, "MGET g%u:%u:a g%u:%u:b\r\n", op->client, op->group, op->client, op->group);
    if (++l->group == GROUPS) {
        l->group = 0;
        op = sim_enqueue(c, OP_INCR_READ);
        op->client = l->client++;
        sim_say(c, "GET i%u\r\n", op->client);
    }
    sim_client_deliver(c);
    return false;
}

static void look_at(struct sim *x, struct node *n)
{
    struct last_look l = {.x = x, .node = n, .c = {.x = x, .id = CLIENTS}};
    uint64_t refused = x->refused;
    firn_buf_init(&l.c.out, SIZE_MAX);
    if (!firn_fake_run_until(x->w, last_looks, &l, SETTLE_NS))
        sim_wrong(x, &l.c, "node does not answer", n->n, 0);
    if (x->refused != refused)
        sim_wrong(x, &l.c, "reads refused in a quiet world", x->refused - refused, 0);
    sim_client_lost(&l.c);
}

static bool writer_serves(void *arg)
{
    struct sim *x = arg;
    drive(x);
    for (unsigned i = 0; i < x->nodes; i++)
        if (x->node[i]->role == ROLE_WRITER && !x->node[i]->ending && !x->node[i]->over &&
            !x->node[i]->serving && !x->node[i]->standby)
            return false; /* one more take-over is under way */
    return pick(x, ROLE_WRITER, true) != NULL;
}

static void settle(struct sim *x)
{
    mend(x);
    x->calm = true;
    memset(&firn_fake_options(x->w)->faults, 0, sizeof(struct firn_fake_faults));
    (void)node_start(x, ROLE_WRITER);
    if (!firn_fake_run_until(x->w, writer_serves, x, SETTLE_NS))
        sim_wrong(x, &x->client[0], "no writer comes to serve", 0, 1);
    assert_false(firn_fake_run_until(x->w, drive, x, CALM_NS));
    for (unsigned i = 0; i < x->nodes; i++)
        if (x->node[i]->serving && !x->node[i]->ending && !x->node[i]->over &&
            x->node[i]->role == ROLE_READER)
            look_at(x, x->node[i]);
    struct node *cold = node_start(x, ROLE_READER);
    if (cold)
        look_at(x, cold);
    look_at(x, pick(x, ROLE_WRITER, true));
}

static uint64_t run_seed(uint64_t seed, struct sim *x)
{
    begin(x, seed);
    assert_false(firn_fake_run_until(x->w, drive, x, RUN_NS));
    settle(x);
    sim_expiry_check_end(x);
    sim_feed_check_end(x);
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
        print_message(
            "seed %llu: %llu nodes, %llu fenced, %llu acknowledged, %llu reads (%llu at "
            "0), %llu conditions, %llu unknown, %llu refused, %llu expired, %llu standbys "
            "took over, %llu messages published, %llu delivered\n",
            (unsigned long long)s, (unsigned long long)x.starts, (unsigned long long)x.fences,
            (unsigned long long)x.acked, (unsigned long long)x.reads,
            (unsigned long long)x.fresh_reads, (unsigned long long)x.conditions,
            (unsigned long long)x.unknown, (unsigned long long)x.refused,
            (unsigned long long)x.expiry.expired, (unsigned long long)x.takeovers,
            (unsigned long long)x.feed.logged, (unsigned long long)x.feed.delivered);
        assert_true(x.acked > 100 && x.reads > 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cluster)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
