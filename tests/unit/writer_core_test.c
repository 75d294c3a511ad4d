/* The writer's core over a fake store, step by step: what a read may be answered from (I6), what
 * may enter a table and when the floor may move, and take-overs between chosen requests. */
#include "testing.h"

#include "base/mem.h"
#include "conf/conf.h"
#include "format/batch.h"
#include "format/name.h"
#include "unit/manifest_by_hand.h"
#include "unit/resp_fake_net.h"
#include "writer/writer_core.h"

#define WAIT_NS (60 * FIRN_SEC)
#define VALUE_BYTES 30000
#define MEMTABLE_VALUES 6 /* so many fill a memtable, about */
#define NODES 3
#define HOLDS 4

struct node {
    struct fake net;
    struct firn_store *store;
    struct firn_settings settings;
    struct firn_obs obs;
    struct firn_writer *core;
    struct firn_sock *client;
    bool serving, over;
    enum firn_writer_end how;
};

/* Requests of a node that wait on their way, or meet something else. */
struct hold {
    const struct firn_fake_node *node; /* NULL: of every one */
    enum firn_os_op op;
    const char *prefix; /* NULL: not in use */
    unsigned pass;      /* so many go through first */
    enum firn_fake_fate fate;
    unsigned met;
};

static struct firn_fake_world *world;
static struct node node[NODES];
static struct hold hold[HOLDS];
static uint64_t slot_delay_ns; /* of each PUT of a slot, half of it before it takes effect */

/* ---- the world */

static void on_request(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                       struct firn_fake_plan *plan)
{
    (void)arg;
    plan->fate = FIRN_FAKE_CLEAN;
    for (struct hold *h = hold; h < hold + HOLDS; h++) {
        if (!h->prefix || req->op != h->op || (h->node && h->node != n) ||
            strncmp(req->key, h->prefix, strlen(h->prefix)) != 0)
            continue;
        if (h->pass) {
            h->pass--;
            continue;
        }
        plan->fate = h->fate;
        h->met++;
    }
    if (req->op == FIRN_OS_PUT && strncmp(req->key, "wal/", 4) == 0)
        plan->delay_ns = slot_delay_ns;
}

static struct hold *hold_back(const struct node *n, enum firn_os_op op, const char *prefix)
{
    size_t i = 0;
    while (i < HOLDS && hold[i].prefix)
        i++;
    assert_true(i < HOLDS);
    hold[i] = (struct hold){n ? n->net.node : NULL, op, prefix, .pass = 0, .fate = FIRN_FAKE_HOLD};
    return &hold[i];
}

/* The store answers n's requests so, or something on the way does. */
static struct hold *refuse(const struct node *n, enum firn_os_op op, const char *prefix,
                           enum firn_fake_fate fate)
{
    struct hold *h = hold_back(n, op, prefix);
    h->fate = fate;
    return h;
}

static void let_go(void)
{
    memset(hold, 0, sizeof hold);
    (void)firn_fake_release(world, NULL, SIZE_MAX);
}

static int open_world(void **state)
{
    (void)state;
    world = firn_fake_world_new(&(struct firn_fake_options){.seed = 3});
    memset(node, 0, sizeof node);
    memset(hold, 0, sizeof hold);
    slot_delay_ns = 0;
    firn_fake_on_request(world, on_request, NULL);
    return 0;
}

/* ---- nodes */

static void serving(void *arg, uint16_t port)
{
    (void)port;
    ((struct node *)arg)->serving = true;
}

static void ended(void *arg, enum firn_writer_end how, const struct firn_err *err)
{
    struct node *n = arg;
    (void)err;
    n->over = true;
    n->how = how;
}

static void configure(struct firn_settings *s)
{
    assert_int_equal(firn_settings_init(s), FIRN_OK);
    s->memtable_bytes = MEMTABLE_VALUES * VALUE_BYTES;
    s->wal_interval_ns = 0;
    s->wal_inflight = 8;
    s->idle_flush_ns = 3600 * FIRN_SEC;
    s->manifest_interval_ns = FIRN_MS;
    s->commit_timeout_ns = WAIT_NS;
    s->read_timeout_ns = WAIT_NS;
}

static struct node *start(unsigned i, bool standby, uint64_t heartbeat_ns)
{
    struct node *n = &node[i];
    char id[16];
    n->net.w = world;
    n->net.node = firn_fake_node_add(world, NULL);
    n->net.env = *firn_fake_env(n->net.node);
    n->net.net = (struct firn_net){&fake_net_vt, &n->net};
    n->net.env.net = &n->net.net;
    assert_int_equal(firn_store_create(&n->net.env, NULL, &n->store), FIRN_OK);
    configure(&n->settings);
    n->settings.standby = standby;
    n->settings.heartbeat_ns = heartbeat_ns;
    (void)snprintf(id, sizeof id, "node-%u", i);
    firn_free(n->settings.node_id);
    n->settings.node_id = firn_strdup(id);
    assert_non_null(n->settings.node_id);
    firn_obs_init(&n->obs);
    struct firn_writer_user u = {.serving = serving, .ended = ended, .arg = n};
    assert_int_equal(firn_writer_create(&n->net.env, n->store, &n->settings, &n->obs, &u, &n->core),
                     FIRN_OK);
    firn_writer_start(n->core);
    return n;
}

static bool is_serving(void *arg)
{
    const struct node *n = arg;
    return n->serving || n->over;
}

static bool is_over(void *arg)
{
    return ((const struct node *)arg)->over;
}

static void wait_serving(struct node *n)
{
    assert_true(firn_fake_run_until(world, is_serving, n, WAIT_NS));
    assert_true(n->serving && !n->over);
    n->client = fake_connect(&n->net);
}

static struct node *start_serving(unsigned i)
{
    struct node *n = start(i, false, 0);
    wait_serving(n);
    return n;
}

/* kill -9, without a leak. */
static void crash(struct node *n)
{
    firn_fake_node_cut(n->net.node, true);
    firn_writer_halt(n->core);
    assert_true(firn_fake_run_until(world, is_over, n, WAIT_NS));
}

static void end_node(struct node *n)
{
    if (!n->core)
        return;
    if (!n->over)
        firn_writer_stop(n->core);
    assert_true(firn_fake_run_until(world, is_over, n, WAIT_NS));
    firn_writer_free(n->core);
    firn_store_free(n->store);
    firn_settings_deinit(&n->settings);
    if (n->client)
        fake_sock_free(n->client);
}

static int close_world(void **state)
{
    (void)state;
    let_go();
    slot_delay_ns = 0;
    for (unsigned i = 0; i < NODES; i++)
        end_node(&node[i]);
    firn_fake_world_free(world);
    return 0;
}

/* ---- what a client says and hears */

static void say(struct node *n, const char *text)
{
    fake_deliver(n->client, text, strlen(text));
}

struct answer {
    const struct firn_sock *client;
    size_t len;
};

static bool is_whole(void *arg)
{
    const struct answer *a = arg;
    return a->client->got.len >= a->len;
}

static void expect_(struct node *n, const char *want, int line)
{
    struct answer a = {n->client, strlen(want)};
    (void)firn_fake_run_until(world, is_whole, &a, WAIT_NS);
    fake_turn(&n->net);
    const char *got = fake_got(n->client);
    if (strcmp(got, want) != 0)
        fail_msg("line %d: got \"%.60s\", not \"%.60s\"", line, got, want);
}

#define EXPECT(n, want) expect_(n, want, __LINE__)

/* SET key to VALUE_BYTES of c; the answer is not waited for. */
static void say_large(struct node *n, const char *key, char c)
{
    char text[VALUE_BYTES + 100], value[VALUE_BYTES + 1];
    memset(value, c, VALUE_BYTES);
    value[VALUE_BYTES] = '\0';
    (void)snprintf(text, sizeof text, "SET %s %s\r\n", key, value);
    say(n, text);
    fake_turn(&n->net);
}

static void expect_large(struct node *n, const char *key, char c)
{
    char get[64], want[VALUE_BYTES + 32], value[VALUE_BYTES + 1];
    memset(value, c, VALUE_BYTES);
    value[VALUE_BYTES] = '\0';
    (void)snprintf(get, sizeof get, "GET %s\r\n", key);
    (void)snprintf(want, sizeof want, "$%d\r\n%s\r\n", VALUE_BYTES, value);
    say(n, get);
    EXPECT(n, want);
}

/* ---- what lies in the store */

static struct firn_place floor_now(void)
{
    Firn__Manifest *m = manifest_there(world);
    struct firn_place p = firn_place_of(m->floor);
    firn_pb_manifest_free(m);
    return p;
}

/* Is the writer's memory, but for what is being written, in tables? */
static bool floor_is_behind(void *arg)
{
    return firn_place_cmp(floor_now(), *(struct firn_place *)arg) >= 0;
}

/* ---- reads (I6) */

/* A slot that another node may have seen, for it lies there, is to be seen here, too, though we do
 * not know yet that it does. */
static void a_fresh_read_waits_for_the_slots_in_flight(void **state)
{
    (void)state;
    struct node *n = start_serving(0);
    say(n, "KV.FRESHNESS 0\r\nSET k old\r\n");
    EXPECT(n, "+OK\r\n+OK\r\n");
    firn_fake_run_for(world, FIRN_SEC);
    struct firn_sock *other = fake_connect(&n->net);
    slot_delay_ns = 800 * FIRN_MS;
    fake_deliver(other, "SET k new\r\n", 11);
    firn_fake_run_for(world, 600 * FIRN_MS); /* it has landed, and its reply is under way */
    say(n, "GET k\r\n");
    EXPECT(n, "$3\r\nnew\r\n");
    other->user.closed(other->user.arg);
    fake_turn(&n->net);
    fake_sock_free(other);
}

/* Reads that need freshness while the store refuses the manifest: no more than two looks a second,
 * -KVSTALE within read-timeout, and the writer lives on. */
static void a_refused_probe_rests(struct node *n, enum firn_fake_fate fate)
{
    struct hold *h = refuse(n, FIRN_OS_GET, "manifest", fate);
    n->settings.read_timeout_ns = 2 * FIRN_SEC;
    say(n, "GET k\r\n");
    firn_fake_run_for(world, 3 * FIRN_SEC);
    assert_non_null(strstr(fake_got(n->client), "-KVSTALE"));
    assert_in_range(h->met, 3, 8);
    let_go();
    firn_fake_run_for(world, FIRN_SEC);
    assert_false(n->over);
    say(n, "GET k\r\n");
    EXPECT(n, "$1\r\nv\r\n");
}

static void probes_rest_while_the_store_refuses(void **state)
{
    (void)state;
    struct node *n = start_serving(0);
    say(n, "KV.FRESHNESS 0\r\nSET k v\r\n");
    EXPECT(n, "+OK\r\n+OK\r\n");
    firn_fake_run_for(world, FIRN_SEC);
    a_refused_probe_rests(n, FIRN_FAKE_DENIED);
    a_refused_probe_rests(n, FIRN_FAKE_REJECTED);
}

/* A feed of changes ends where durability is known to, though the next slot lies there already. */
static void changes_end_at_the_last_durable_slot(void **state)
{
    (void)state;
    struct node *n = start_serving(0);
    char ask[256], token[128];
    say(n, "KV.FRESHNESS 60000\r\nSET k old\r\n");
    EXPECT(n, "+OK\r\n+OK\r\n");
    say(n, "KV.TOKEN\r\n");
    fake_turn(&n->net);
    const char *line = strchr(fake_got(n->client), '\n'); /* of a bulk string */
    assert_non_null(line);
    (void)snprintf(token, sizeof token, "%.*s", (int)strcspn(line + 1, "\r"), line + 1);
    int len = snprintf(ask, sizeof ask, "KV.CHANGES FROM %s\r\n", token);
    say(n, "SET k mid\r\n");
    EXPECT(n, "+OK\r\n");
    struct firn_sock *other = fake_connect(&n->net);
    slot_delay_ns = 800 * FIRN_MS;
    fake_deliver(other, "SET k new\r\n", 11);
    firn_fake_run_for(world, 600 * FIRN_MS); /* it has landed, and its reply is under way */
    fake_deliver(n->client, ask, (size_t)len);
    firn_fake_run_for(world, 50 * FIRN_MS);
    const char *got = fake_got(n->client);
    assert_true(got[0] == '*');
    assert_non_null(strstr(got, "mid"));
    assert_null(strstr(got, "new"));
    other->user.closed(other->user.arg);
    fake_turn(&n->net);
    fake_sock_free(other);
}

/* A commit is a probe as of the first sending of its slot, not of its reply. */
static void a_commit_is_fresh_as_of_its_sending(void **state)
{
    (void)state;
    struct node *n = start_serving(0);
    say(n, "KV.FRESHNESS 500\r\n");
    EXPECT(n, "+OK\r\n");
    slot_delay_ns = 800 * FIRN_MS;
    say(n, "SET k v\r\n");
    EXPECT(n, "+OK\r\n");
    firn_fake_run_for(world, 50 * FIRN_MS);
    (void)hold_back(n, FIRN_OS_GET, "manifest");
    say(n, "GET k\r\n"); /* 850 ms after the sending: too long ago */
    firn_fake_run_for(world, 100 * FIRN_MS);
    assert_int_equal(n->client->got.len, 0);
    let_go();
    EXPECT(n, "$1\r\nv\r\n");
}

/* ---- flushes */

/* Only slots known durable enter a table. */
static void slots_in_flight_are_not_flushed(void **state)
{
    (void)state;
    struct node *n = start_serving(0);
    hold_back(n, FIRN_OS_PUT, "wal/")->pass = 1;
    slot_delay_ns = 400 * FIRN_MS; /* the first lands when the memtable is full and frozen */
    for (int i = 0; i < 8; i++)
        say_large(n, "k", (char)('a' + i));
    firn_fake_run_for(world, 800 * FIRN_MS);
    assert_int_equal(firn_fake_count(world, "wal/"), 1);
    assert_int_equal(firn_fake_count(world, "sst/"), 0);
    let_go();
    EXPECT(n, "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
}

/* The tables are there before the floor moves past what they hold. */
static void the_floor_follows_the_tables(void **state)
{
    (void)state;
    struct node *n = start_serving(0);
    struct firn_place before = floor_now();
    (void)hold_back(n, FIRN_OS_PUT, "sst/");
    for (int i = 0; i < 2 * MEMTABLE_VALUES; i++) {
        say_large(n, "k", (char)('a' + i));
        EXPECT(n, "+OK\r\n");
    }
    firn_fake_run_for(world, 900 * FIRN_MS);
    assert_true(firn_fake_held(world) > 0);
    assert_true(firn_place_eq(floor_now(), before));
    let_go();
    struct firn_place some = {before.epoch, before.slot + 1};
    assert_true(firn_fake_run_until(world, floor_is_behind, &some, WAIT_NS));
    expect_large(n, "k", 'l');
}

/* Several memtables wait: each goes by its own commit, and none is left out. */
static void memtables_are_flushed_one_by_one(void **state)
{
    (void)state;
    static const char *const key[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k",
                                      "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v"};
    size_t keys = sizeof key / sizeof *key;
    struct node *n = start_serving(0);
    (void)hold_back(n, FIRN_OS_PUT, "sst/");
    for (size_t i = 0; i < keys; i++) {
        say_large(n, key[i], key[i][0]);
        EXPECT(n, "+OK\r\n");
    }
    let_go();
    struct firn_place most = {1, keys - 2 * MEMTABLE_VALUES};
    assert_true(firn_fake_run_until(world, floor_is_behind, &most, WAIT_NS));
    firn_fake_run_for(world, 5 * FIRN_SEC);
    for (size_t i = 0; i < keys; i++)
        expect_large(n, key[i], key[i][0]);
    Firn__Manifest *m = manifest_there(world);
    assert_true(m->n_l0 >= 2);
    assert_int_equal(firn_fake_count(world, "sst/"), m->n_l0); /* none was made in vain */
    firn_pb_manifest_free(m);
}

/* ---- take-overs */

/* A writer that sleeps between its claim and the end of its replay, while another takes over. */
static void the_replay_is_no_probe(void **state)
{
    (void)state;
    struct node *first = start_serving(0);
    say(first, "SET k 1\r\n");
    EXPECT(first, "+OK\r\n");
    struct node *slow = start(1, false, 0);
    (void)hold_back(slow, FIRN_OS_GET, "wal/");
    Firn__Manifest *m;
    for (uint64_t epoch = 0; epoch < 2; epoch = m->writer->epoch, firn_pb_manifest_free(m)) {
        firn_fake_run_for(world, 10 * FIRN_MS);
        m = manifest_there(world);
    }
    struct node *last = start_serving(2);
    say(last, "SET k 2\r\n");
    EXPECT(last, "+OK\r\n");
    let_go();
    assert_true(firn_fake_run_until(world, is_over, slow, WAIT_NS));
    assert_false(slow->serving);
    assert_int_equal(slow->how, FIRN_WRITER_FENCED);
    say(last, "GET k\r\n");
    EXPECT(last, "$1\r\n2\r\n");
}

static struct node *start_pair(struct node **standby)
{
    struct node *n = start(0, false, FIRN_SEC);
    wait_serving(n);
    *standby = start(1, true, FIRN_SEC);
    firn_fake_run_for(world, 2 * FIRN_SEC);
    return n;
}

/* What a standby had tailed is durable: reads of durable connections see it at once. */
static void a_warm_take_over_shows_all_that_is_durable(void **state)
{
    (void)state;
    struct node *standby, *n = start_pair(&standby);
    say(n, "SET k v\r\n");
    EXPECT(n, "+OK\r\n");
    firn_fake_run_for(world, 2 * FIRN_SEC); /* it has tailed that */
    crash(n);
    wait_serving(standby);
    say(standby, "GET k\r\n");
    EXPECT(standby, "$1\r\nv\r\n");
}

/* Its key is changed just behind its claim: it waits, for nobody else serves now. */
static void a_take_over_that_is_denied_waits(void **state)
{
    (void)state;
    struct node *old = start_serving(0);
    say(old, "SET k v\r\n");
    EXPECT(old, "+OK\r\n");
    crash(old);
    struct node *n = start(1, false, 0);
    struct hold *slots = hold_back(n, FIRN_OS_GET, "wal/");
    slots->fate = FIRN_FAKE_DENIED;
    firn_fake_run_for(world, 5 * FIRN_SEC);
    assert_false(n->over || n->serving);
    hold_back(n, FIRN_OS_GET, "manifest")->fate = FIRN_FAKE_DENIED; /* the read that confirms */
    hold_back(n, FIRN_OS_PUT, "wal/")->fate = FIRN_FAKE_DENIED;
    slots->prefix = NULL;
    firn_fake_run_for(world, 5 * FIRN_SEC);
    assert_false(n->over || n->serving);
    hold[2].prefix = NULL; /* of the seals */
    firn_fake_run_for(world, 5 * FIRN_SEC);
    assert_false(n->over || n->serving);
    let_go();
    wait_serving(n);
    say(n, "GET k\r\n");
    EXPECT(n, "$1\r\nv\r\n");
}

static bool claim_is_held(void *arg)
{
    (void)arg;
    return firn_fake_held(world) > 0;
}

/* firnctl promote */
static void wish(Firn__Manifest *m, const void *node_id)
{
    assert_int_equal(firn_pb_set_string(&m->promote_node, node_id), FIRN_OK);
}

/* Between a standby's last look at the manifest and its claim the floor moves past where its tail
 * stands: what lies between is in tables alone, and its memory ends before. */
static void a_standby_that_fell_behind_replays_from_the_floor(void **state)
{
    (void)state;
    struct node *standby, *n = start_pair(&standby);
    say_large(n, "first", 'f');
    EXPECT(n, "+OK\r\n");
    firn_fake_run_for(world, 2 * FIRN_SEC);
    (void)hold_back(standby, FIRN_OS_PUT, "manifest");
    (void)manifest_change(world, wish, "node-1");
    assert_true(firn_fake_run_until(world, claim_is_held, NULL, WAIT_NS)); /* its tail stands now */
    for (int i = 0; i < 12; i++) {
        say_large(n, i == 0 ? "gap" : "k", (char)('a' + i));
        EXPECT(n, "+OK\r\n");
    }
    struct firn_place past = {1, 3};
    assert_true(firn_fake_run_until(world, floor_is_behind, &past, WAIT_NS));
    let_go();
    wait_serving(standby);
    expect_large(standby, "gap", 'a');
    expect_large(standby, "first", 'f');
    expect_large(standby, "k", 'l');
}

/* firnctl set heartbeat 0, and the writer undertakes it. */
static void no_heartbeat(Firn__Manifest *m, const void *arg)
{
    (void)arg;
    m->settings->heartbeat_ms = 0;
    m->writer->heartbeat_kept_ms = 0;
}

/* A standby's claim is on its way when `edit` takes its reason: nobody is fenced. */
static void the_reason_goes(struct node *n, struct node *standby,
                            void (*edit)(Firn__Manifest *m, const void *arg), const void *arg)
{
    assert_true(firn_fake_run_until(world, claim_is_held, NULL, WAIT_NS));
    firn_fake_node_cut(n->net.node, false);
    (void)manifest_change(world, edit, arg);
    let_go();
    firn_fake_run_for(world, 10 * FIRN_SEC);
    assert_false(standby->serving || n->over);
    say(n, "SET k v\r\n");
    EXPECT(n, "+OK\r\n");
}

static void a_wish_taken_back_is_not_obeyed(void **state)
{
    (void)state;
    struct node *standby, *n = start_pair(&standby);
    (void)hold_back(standby, FIRN_OS_PUT, "manifest");
    (void)manifest_change(world, wish, "node-1");
    the_reason_goes(n, standby, wish, "");
}

static void silence_of_who_promises_nothing_is_none(void **state)
{
    (void)state;
    struct node *standby, *n = start_pair(&standby);
    (void)hold_back(standby, FIRN_OS_PUT, "manifest");
    firn_fake_node_cut(n->net.node, true); /* it is silent for a while */
    the_reason_goes(n, standby, no_heartbeat, NULL);
}

/* What the store itself says passes: the standby goes on, and claims when there is a reason. */
static void a_standby_outlives_refusals(void **state)
{
    (void)state;
    struct node *standby, *n = start_pair(&standby);
    (void)refuse(standby, FIRN_OS_GET, "", FIRN_FAKE_REJECTED);
    firn_fake_run_for(world, 10 * FIRN_SEC);
    assert_false(standby->over || standby->serving);
    let_go();
    struct hold *h = refuse(standby, FIRN_OS_PUT, "manifest", FIRN_FAKE_REJECTED);
    (void)manifest_change(world, wish, "node-1");
    firn_fake_run_for(world, 10 * FIRN_SEC);
    assert_true(h->met > 1); /* its claim was refused, and made again */
    assert_false(standby->over || standby->serving || n->over);
    let_go();
    wait_serving(standby);
}

static void set_events(Firn__Manifest *m, const void *events)
{
    assert_int_equal(firn_pb_set_string(&m->settings->notify_keyspace_events, events), FIRN_OK);
}

/* Whichever allocation fails while it begins its memory anew: it rests, and does so later. */
static void a_standby_without_memory_waits(void **state)
{
    (void)state;
    struct node *n = start_serving(0), *standby = start(1, true, 0);
    firn_fake_run_for(world, 2 * FIRN_SEC);
    crash(n);
    for (uint64_t at = 1; at <= 40; at++) {
        (void)manifest_change(world, set_events, at % 2 ? "Ex" : "");
        (void)firn_mem_fail_at(at, 0);
        firn_fake_run_for(world, 12 * FIRN_SEC);
        (void)firn_mem_fail_at(0, 0);
        firn_fake_run_for(world, 2 * FIRN_SEC);
        assert_false(standby->over);
    }
    (void)manifest_change(world, wish, "node-1");
    wait_serving(standby);
}

/* ---- time */

static uint64_t newest_log_time;
static unsigned batches;

static void on_effect(void *arg, unsigned from, enum firn_os_op op, const char *name,
                      struct firn_slice body, enum firn_status status)
{
    struct firn_name what;
    struct firn_batch_header h;
    (void)from;
    if (op != FIRN_OS_PUT || status != FIRN_OK ||
        firn_name_parse(firn_slice_str(name), &what) != FIRN_OK || what.kind != FIRN_NAME_SLOT)
        return;
    assert_int_equal(firn_batch_peek(body, arg, what.place, &h, NULL), FIRN_OK);
    assert_true(h.log_time_ms >= newest_log_time);
    newest_log_time = h.log_time_ms;
    batches++;
}

/* The writer's now never goes back, whatever its clock does. */
static void log_time_never_goes_back(void **state)
{
    (void)state;
    struct node *n = start_serving(0);
    Firn__Manifest *m = manifest_there(world);
    struct firn_id db = firn_pb_id(&m->database_id);
    firn_pb_manifest_free(m);
    newest_log_time = batches = 0;
    firn_fake_on_effect(world, on_effect, &db);
    for (int i = 0; i < 4; i++) {
        firn_fake_node_clock(n->net.node, i % 2 ? -2000 : 2000, 0);
        say(n, "SET k v\r\n");
        EXPECT(n, "+OK\r\n");
        firn_fake_run_for(world, 100 * FIRN_MS);
    }
    assert_int_equal(batches, 4);
    firn_fake_on_effect(world, NULL, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_fresh_read_waits_for_the_slots_in_flight),
        TEST(probes_rest_while_the_store_refuses),
        TEST(changes_end_at_the_last_durable_slot),
        TEST(a_commit_is_fresh_as_of_its_sending),
        TEST(slots_in_flight_are_not_flushed),
        TEST(the_floor_follows_the_tables),
        TEST(memtables_are_flushed_one_by_one),
        TEST(the_replay_is_no_probe),
        TEST(a_take_over_that_is_denied_waits),
        TEST(a_warm_take_over_shows_all_that_is_durable),
        TEST(a_standby_that_fell_behind_replays_from_the_floor),
        TEST(a_wish_taken_back_is_not_obeyed),
        TEST(silence_of_who_promises_nothing_is_none),
        TEST(a_standby_outlives_refusals),
        TEST(a_standby_without_memory_waits),
        TEST(log_time_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
