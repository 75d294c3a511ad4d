/* Commands whose data lies in tables in the store: parks, fetches ahead, objects that are gone. */
#include "engine_fixture.h"
#include "obs/budget.h"
#include "unit/lsm_view_fixture.h"

#define KEYS 400
#define LATENCY (10 * FIRN_MS)

static struct vfix v;
static struct fixture f;
static struct client *c;

static struct firn_memtable *new_memtable(void)
{
    struct firn_memtable *m;
    assert_int_equal(firn_memtable_create(&m), FIRN_OK);
    return m;
}

/* A store with one table of key:0000 …, their values padded to so many bytes, and a node that has
 * read nothing of it yet. */
static int begin_with(const struct firn_lsm_options *lsm, size_t padded)
{
    vfix_open(&v,
              &(struct firn_fake_options){
                  .seed = 5, .latency_min_ns = LATENCY, .latency_max_ns = LATENCY},
              lsm);
    vfix_partitions(&v, NULL, 0);
    firn_fake_run_for(v.w, 10 * FIRN_SEC);
    struct firn_memtable *m = new_memtable();
    firn_memtable_place(m, (struct firn_place){1, 0});
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32], value[4096];
        int n = snprintf(key, sizeof key, "%ckey:%04u", FIRN_NS_DB0, i);
        memset(value, 'v', sizeof value);
        size_t digits = (size_t)snprintf(value, sizeof value, "%u", i);
        struct firn_entry e = {.key = firn_slice_of(key, (size_t)n),
                               .value = firn_slice_of(value, digits > padded ? digits : padded),
                               .seqno = i + 1,
                               .kind = FIRN_RECORD_PUT};
        assert_int_equal(firn_memtable_add(m, &e), FIRN_OK);
    }
    vfix_flush(&v, m, 1 << 30);
    firn_memtable_unref(m);
    memset(&f, 0, sizeof f);
    f.world = v.w;
    struct firn_memtable *mem = new_memtable();
    fixture_serve(&f, v.env, v.lsm, mem, vfix_view(&v, &mem, 1), true);
    c = fixture_connect(&f);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    return begin_with(
        &(struct firn_lsm_options){.cache_bytes = 4 << 20, .fetch_bytes_max = 4 << 20}, 0);
}

/* The table is many times the cache. */
static int begin_small_cache(void **state)
{
    (void)state;
    return begin_with(&(struct firn_lsm_options){.cache_bytes = 128 << 10,
                                                 .fetch_bytes_max = 1 << 20,
                                                 .readahead_bytes = 32 << 10},
                      4000);
}

static int end(void **state)
{
    (void)state;
    fixture_unserve(&f);
    firn_view_unref(f.db.view);
    firn_memtable_unref(f.mem);
    vfix_close(&v);
    return 0;
}

static void cold_read_parks_and_takes_two_trips(void **state)
{
    (void)state;
    CALL(c, "CONFIG SET slowlog-waited-longer-than 1ms", "+OK\r\n");
    client_send(c, "GET key:0007");
    CALL(c, "PING", "");
    firn_fake_run_for(v.w, 2 * LATENCY + FIRN_MS);
    EXPECT(c, "$1\r\n7\r\n+PONG\r\n");
    CALL(c, "GET key:0007", "$1\r\n7\r\n"); /* resident now */
    CALL(c, "EXISTS key:0007 key:0008", ":2\r\n");
    client_send(c, "KV.EXPLAIN GET key:0390");
    firn_fake_run_for(v.w, 2 * LATENCY);
    EXPECT_START(c, "*22\r\n$5\r\ntrips\r\n:1\r\n$4\r\ngets\r\n:1\r\n");
    CALL(c, "SLOWLOG LEN", ":2\r\n");
    client_send(c, "SLOWLOG GET 1");
    EXPECT_START(c, "*1\r\n*6\r\n:1\r\n");
}

static void pipelines_are_fetched_ahead(void **state)
{
    (void)state;
    char line[32];
    for (unsigned i = 0; i < 60; i++) {
        snprintf(line, sizeof line, "GET key:%04u", (i * 37) % KEYS);
        client_send(c, line);
    }
    firn_fake_run_for(v.w, 5 * LATENCY); /* one after the other would take over 60 */
    unsigned replies = 0;
    for (size_t i = 0; i < c->got.len; i++)
        replies += c->got.data[i] == '$';
    assert_int_equal(replies, 60);
    c->got.len = 0;
}

/* A pass that is thrown away gave cursors that nobody is told: only the last one's stay. */
static void passes_leave_no_cursors(void **state)
{
    (void)state;
    struct firn_budget budget;
    firn_budget_init(&budget, (uint64_t)1 << 30);
    budget.part[FIRN_BUDGET_REMEMBERED].share = 1 << 20;
    const uint64_t *used = &budget.part[FIRN_BUDGET_REMEMBERED].used;
    f.db.budget = &budget;
    client_send(c, "SCAN 0 COUNT 1");
    firn_fake_run_for(v.w, 5 * LATENCY);
    c->got.len = 0;
    uint64_t one = *used;
    assert_true(one > 0);
    CALL(c, "MULTI", "+OK\r\n");
    CALL(c, "SCAN 0 COUNT 1", "+QUEUED\r\n"); /* of what is resident */
    CALL(c, "GET key:0390", "+QUEUED\r\n");
    CALL(c, "EXEC", "");
    assert_int_equal(*used, one);
    firn_fake_run_for(v.w, 5 * LATENCY);
    EXPECT_START(c, "*2\r\n*2\r\n$");
    assert_int_equal(*used, 2 * one);
    f.settings.batch_bytes_max = 100;
    CALL(c, "MULTI", "+OK\r\n");
    CALL(c, "SCAN 0 COUNT 1", "+QUEUED\r\n");
    CALL(c, "MSET key:0001 0123456789012345678901234567890123456789 key:0002 2 key:0003 3",
         "+QUEUED\r\n");
    client_send(c, "EXEC");
    EXPECT_START(c, "-ERR ");
    assert_int_equal(*used, 2 * one);
    f.db.budget = NULL;
}

static void parked_write_is_evaluated_anew(void **state)
{
    (void)state;
    struct client *d = fixture_connect(&f);
    CALL(c, "INCR key:0010", "");
    CALL(d, "SET key:0010 41", "+OK\r\n");
    firn_fake_run_for(v.w, 3 * LATENCY);
    EXPECT(c, ":42\r\n");
    client_send(c, "MGET key:0001 key:0200 key:0399 nokey");
    firn_fake_run_for(v.w, 2 * LATENCY);
    EXPECT(c, "*4\r\n$1\r\n1\r\n$3\r\n200\r\n$3\r\n399\r\n$-1\r\n");
    client_send(c, "DEL key:0001 key:0300 nokey key:0001");
    firn_fake_run_for(v.w, 2 * LATENCY);
    EXPECT(c, ":2\r\n");
}

static void walks_go_on_over_parks(void **state)
{
    (void)state;
    client_send(c, "DBSIZE");
    firn_fake_run_for(v.w, 40 * LATENCY);
    EXPECT(c, ":400\r\n");
    client_send(c, "KV.RANGE key:0398 ''");
    firn_fake_run_for(v.w, 4 * LATENCY);
    EXPECT(c, "*2\r\n$-1\r\n*4\r\n$8\r\nkey:0398\r\n$3\r\n398\r\n$8\r\nkey:0399\r\n$3\r\n399\r\n");
    client_send(c, "RANDOMKEY");
    firn_fake_run_for(v.w, 60 * LATENCY);
    EXPECT_START(c, "$8\r\nkey:");
}

/* Everything that a transaction looks at comes in the round trips of one read; what it does beside
 * data it does once, however often it was evaluated. */
static void transactions_are_evaluated_anew_as_a_whole(void **state)
{
    (void)state;
    struct client *d = fixture_connect(&f);
    static const char *const lines[] = {
        "MULTI",       "CLIENT SETNAME once", "INCR key:0010", "GET key:0399",
        "SELECT 1",    "GET key:0399",        "SELECT 0",      "SET n 1",
        "DEL key:0200"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        client_send(c, lines[i]);
        EXPECT_START(c, i ? "+QUEUED" : "+OK");
    }
    CALL(c, "EXEC", "");
    CALL(d, "SET key:0010 41", "+OK\r\n");
    CALL(d, "CLIENT LIST ID 1 2 TYPE", "-ERR Invalid client ID\r\n");
    assert_int_equal(f.applies, 1);
    firn_fake_run_for(v.w, 2 * LATENCY + FIRN_MS);
    EXPECT(c, "*8\r\n+OK\r\n:42\r\n$3\r\n399\r\n+OK\r\n$-1\r\n+OK\r\n+OK\r\n:1\r\n");
    assert_int_equal(f.applies, 2);
    CALL(c, "WATCH key:0001", "");
    firn_fake_run_for(v.w, 2 * LATENCY);
    EXPECT(c, "+OK\r\n");
}

/* A walk inside of a transaction gets further with every fetch, and is one moment with the rest. */
static void walks_in_transactions_make_progress(void **state)
{
    (void)state;
    struct client *d = fixture_connect(&f);
    static const char *const lines[] = {
        "MULTI",        "SET key:0000a x", "KV.DELRANGE key:0001 key:0301",
        "DBSIZE",       "INCR key:0399",   "KV.RANGE key:0000 key:0302",
        "KEYS key:039*"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        client_send(c, lines[i]);
        EXPECT_START(c, i ? "+QUEUED" : "+OK");
    }
    CALL(c, "EXEC", "");
    CALL(d, "SET other 1", "+OK\r\n");
    firn_fake_run_for(v.w, 60 * LATENCY);
    EXPECT_START(
        c, "*6\r\n+OK\r\n+OK\r\n:102\r\n:400\r\n*2\r\n$-1\r\n*6\r\n$8\r\nkey:0000\r\n$1\r\n0\r\n"
           "$9\r\nkey:0000a\r\n$1\r\nx\r\n$8\r\nkey:0301\r\n$3\r\n301\r\n*10\r\n");
}

/* What a transaction has fetched stays for its next pass, or a walk over more than the cache holds
 * would never get to its end. */
static void walks_in_transactions_end_with_a_small_cache(void **state)
{
    (void)state;
    client_send(c, "MULTI");
    client_send(c, "KV.RANGE '' '' LIMIT 1000 BYTES 10000000");
    client_send(c, "KV.COUNT '' ''");
    EXPECT_START(c, "+OK");
    client_send(c, "EXEC");
    firn_fake_run_for(v.w, 140 * LATENCY);
    EXPECT_START(c, "*2\r\n*2\r\n$-1\r\n*800\r\n");
    assert_int_equal(firn_lsm_stats_of(v.lsm)->pinned_bytes, 0);
}

static void delete_tables(void)
{
    const char *name;
    while ((name = firn_fake_next(v.w, "sst/", NULL)))
        assert_true(firn_fake_delete(v.w, name));
}

static void missing_object_is_looked_for_in_a_new_view(void **state)
{
    (void)state;
    delete_tables();
    client_send(c, "GET key:0007");
    firn_fake_run_for(v.w, 3 * LATENCY);
    NOTHING(c);
    assert_int_equal(f.reloads, 1);
    /* The reload shows that compaction has left one key, here in memory. */
    struct firn_memtable *mem = new_memtable();
    struct firn_entry e = {.key = firn_slice_str("\x10key:0007"),
                           .value = firn_slice_str("new"),
                           .seqno = 5,
                           .kind = FIRN_RECORD_PUT};
    assert_int_equal(firn_memtable_add(mem, &e), FIRN_OK);
    struct firn_view *old = f.db.view;
    struct firn_err err = {""};
    assert_int_equal(firn_view_create(v.lsm, NULL, &mem, 1, &f.db.view, &err), FIRN_OK);
    firn_view_unref(old);
    firn_memtable_unref(f.mem);
    f.mem = mem;
    f.db.view_gen++;
    f.db.reload_done = 1;
    firn_engine_advance(f.engine);
    EXPECT(c, "$3\r\nnew\r\n");
}

static void missing_object_that_is_still_named_is_damage(void **state)
{
    (void)state;
    delete_tables();
    client_send(c, "KV.COUNT '' ''");
    firn_fake_run_for(v.w, 3 * LATENCY);
    f.db.reload_done = 1;
    firn_engine_advance(f.engine);
    firn_fake_run_for(v.w, 3 * LATENCY);
    firn_fake_run_for(v.w, 1000);
    assert_int_equal(firn_buf_append(&c->got, "", 1), FIRN_OK);
    assert_memory_equal(c->got.data, "-KVCORRUPT ", 11);
    assert_non_null(strstr((char *)c->got.data, "sst/")); /* names the object */
    c->got.len = 0;
    assert_int_equal(f.reloads, 1);
    client_send(c, "INCR key:0001"); /* the next command tries again */
    firn_fake_run_for(v.w, 3 * LATENCY);
    assert_int_equal(f.reloads, 2);
    snprintf(f.db.view_error.text, sizeof f.db.view_error.text, "no luck");
    f.db.reload_done = 2;
    firn_engine_advance(f.engine);
    EXPECT(c, "-KVBUSY the manifest could not be reloaded: no luck; nothing was applied\r\n");
    assert_int_equal(f.applies, 0);
}

static void hold_all(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                     struct firn_fake_plan *plan)
{
    (void)arg;
    (void)n;
    (void)req;
    plan->fate = FIRN_FAKE_HOLD;
}

static void unreachable_store_ends_in_time(void **state)
{
    (void)state;
    firn_fake_on_request(v.w, hold_all, NULL);
    client_send(c, "INCR key:0001");
    firn_fake_run_for(v.w, 1000 * FIRN_MS);
    NOTHING(c);
    firn_fake_run_for(v.w, 600 * FIRN_MS);
    EXPECT_START(c, "-KVBUSY the store could not be read: ");
    assert_int_equal(f.applies, 0);
    CALL(c, "SET key:0001 x", "+OK\r\n");
    CALL(c, "GET key:0001", "$1\r\nx\r\n"); /* memory has it: no store needed */
    client_send(c, "GET key:0002");
    firn_fake_run_for(v.w, 1000);
    client_hang_up(c); /* while its fetch is under way */
    firn_fake_on_request(v.w, NULL, NULL);
    firn_fake_release(v.w, NULL, SIZE_MAX);
    firn_fake_run_for(v.w, 10 * FIRN_SEC);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cold_read_parks_and_takes_two_trips),
        TEST(pipelines_are_fetched_ahead),
        TEST(passes_leave_no_cursors),
        TEST(parked_write_is_evaluated_anew),
        TEST(walks_go_on_over_parks),
        TEST(transactions_are_evaluated_anew_as_a_whole),
        TEST(walks_in_transactions_make_progress),
        cmocka_unit_test_setup_teardown(walks_in_transactions_end_with_a_small_cache,
                                        begin_small_cache, end),
        TEST(missing_object_is_looked_for_in_a_new_view),
        TEST(missing_object_that_is_still_named_is_damage),
        TEST(unreachable_store_ends_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
