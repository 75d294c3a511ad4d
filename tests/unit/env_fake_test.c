/* The fake world keeps its own promises: what it claims to be, other tests build on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fakes/fake_env.h"

#include <stdio.h>
#include <string.h>

struct call {
    struct firn_os_req req;
    int done;
};

static void on_done(struct firn_os_req *req)
{
    struct call *c = req->arg;
    c->done++;
}

static bool is_done(void *arg)
{
    return ((struct call *)arg)->done > 0;
}

static void send(const struct firn_env *env, struct call *c, enum firn_os_op op, const char *key)
{
    c->req.op = op;
    c->req.key = key;
    c->req.done = on_done;
    c->req.arg = c;
    if (!c->req.timeout_ns)
        c->req.timeout_ns = FIRN_SEC;
    firn_os_submit(env->store, &c->req);
    assert_int_equal(c->done, 0);
}

static enum firn_status run(struct firn_fake_world *w, const struct firn_env *env, struct call *c,
                            enum firn_os_op op, const char *key)
{
    c->done = 0;
    send(env, c, op, key);
    assert_true(firn_fake_run_until(w, is_done, c, 100 * FIRN_SEC));
    assert_int_equal(c->done, 1);
    return c->req.status;
}

static enum firn_status put(struct firn_fake_world *w, const struct firn_env *env,
                            enum firn_os_cond cond, const char *key, const char *etag,
                            const char *body)
{
    struct call c = {.req = {.cond = cond, .etag = etag, .body = firn_slice_str(body)}};
    enum firn_status s = run(w, env, &c, FIRN_OS_PUT, key);
    firn_os_req_clear(&c.req);
    return s;
}

static void test_conditions(void **state)
{
    (void)state;
    struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 1});
    const struct firn_env *env = firn_fake_env(firn_fake_node_add(w, "db/"));
    assert_int_equal(put(w, env, FIRN_OS_IF_ABSENT, "a", NULL, "one"), FIRN_OK);
    assert_int_equal(put(w, env, FIRN_OS_IF_ABSENT, "a", NULL, "two"), FIRN_CONFLICT);
    struct firn_slice body;
    assert_true(firn_fake_get(w, "db/a", &body));
    assert_memory_equal(body.data, "one", 3);
    struct call g = {0};
    assert_int_equal(run(w, env, &g, FIRN_OS_GET, "a"), FIRN_OK);
    assert_int_equal(g.req.reply.len, 3);
    assert_true(g.req.date_ms > 0 && g.req.date_ms % 1000 == 0);
    char etag[FIRN_OS_ETAG_MAX];
    (void)snprintf(etag, sizeof etag, "%s", g.req.reply_etag);
    firn_os_req_clear(&g.req);
    assert_int_equal(put(w, env, FIRN_OS_IF_MATCH, "a", "\"nope\"", "two"), FIRN_CONFLICT);
    assert_int_equal(put(w, env, FIRN_OS_IF_MATCH, "b", etag, "two"), FIRN_ABSENT);
    g.req.cond = FIRN_OS_IF_NONE_MATCH;
    g.req.etag = etag;
    assert_int_equal(run(w, env, &g, FIRN_OS_GET, "a"), FIRN_UNCHANGED);
    assert_int_equal(put(w, env, FIRN_OS_IF_MATCH, "a", etag, "two"), FIRN_OK);
    assert_int_equal(run(w, env, &g, FIRN_OS_GET, "a"), FIRN_OK);
    assert_memory_equal(g.req.reply.data, "two", 3);
    assert_string_not_equal(g.req.reply_etag, etag);
    firn_os_req_clear(&g.req);
    struct call d = {0};
    assert_int_equal(run(w, env, &d, FIRN_OS_DELETE, "a"), FIRN_OK);
    assert_int_equal(run(w, env, &d, FIRN_OS_HEAD, "a"), FIRN_ABSENT);
    firn_fake_world_free(w);
}

static size_t list_all(struct firn_fake_world *w, const struct firn_env *env, const char *prefix)
{
    struct call c = {0};
    char cursor[600];
    size_t n = 0;
    do {
        assert_int_equal(run(w, env, &c, FIRN_OS_LIST, prefix), FIRN_OK);
        for (size_t i = 0; i < c.req.page.count; i++)
            assert_int_equal(strncmp(c.req.page.entry[i].key, prefix, strlen(prefix)), 0);
        n += c.req.page.count;
        bool more = c.req.page.next != NULL;
        if (more)
            (void)snprintf(cursor, sizeof cursor, "%s", c.req.page.next);
        firn_os_req_clear(&c.req);
        c.req.cursor = more ? cursor : NULL;
    } while (c.req.cursor);
    return n;
}

static void test_list(void **state)
{
    (void)state;
    struct firn_fake_world *w =
        firn_fake_world_new(&(struct firn_fake_options){.seed = 2, .list_page = 7});
    const struct firn_env *env = firn_fake_env(firn_fake_node_add(w, NULL));
    for (int i = 0; i < 100; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "wal/%03d", i);
        firn_fake_put(w, name, "x", 1);
    }
    firn_fake_put(w, "sst/1", "x", 1);
    firn_fake_put(w, "zzz", "x", 1);
    assert_int_equal(list_all(w, env, "wal/"), 100);
    firn_fake_options(w)->list_unsorted = true;
    assert_int_equal(list_all(w, env, "wal/"), 100);
    assert_int_equal(firn_fake_count(w, "wal/09"), 10);
    struct call c = {.req = {.start_after = "wal/097"}};
    firn_fake_options(w)->list_unsorted = false;
    assert_int_equal(run(w, env, &c, FIRN_OS_LIST, "wal/"), FIRN_OK);
    assert_int_equal(c.req.page.count, 2);
    firn_os_req_clear(&c.req);
    firn_fake_world_free(w);
}

static void one_fate(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                     struct firn_fake_plan *plan)
{
    (void)n;
    (void)req;
    *plan = *(struct firn_fake_plan *)arg;
}

static void test_fates(void **state)
{
    (void)state;
    const struct {
        enum firn_fake_fate fate;
        enum firn_status status;
        bool there, there_later;
    } t[] = {
        {FIRN_FAKE_CLEAN, FIRN_OK, true, true},
        {FIRN_FAKE_DROP, FIRN_UNCERTAIN, false, false},
        {FIRN_FAKE_LOSE_REPLY, FIRN_UNCERTAIN, true, true},
        {FIRN_FAKE_RESET, FIRN_UNCERTAIN, false, false},
        {FIRN_FAKE_RESET_DONE, FIRN_UNCERTAIN, true, true},
        {FIRN_FAKE_LATE, FIRN_UNCERTAIN, false, true},
        {FIRN_FAKE_TWICE, FIRN_OK, true, true},
        {FIRN_FAKE_TWICE_SECOND, FIRN_CONFLICT, true, true},
        {FIRN_FAKE_REFUSED, FIRN_TRANSIENT, false, false},
        {FIRN_FAKE_409, FIRN_TRANSIENT, false, false},
        {FIRN_FAKE_500, FIRN_UNCERTAIN, false, false},
        {FIRN_FAKE_500_DONE, FIRN_UNCERTAIN, true, true},
        {FIRN_FAKE_503, FIRN_TRANSIENT, false, false},
        {FIRN_FAKE_DENIED, FIRN_DENIED, false, false},
        {FIRN_FAKE_HOLD, FIRN_UNCERTAIN, false, false},
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = i});
        const struct firn_env *env = firn_fake_env(firn_fake_node_add(w, NULL));
        struct firn_fake_plan plan = {.fate = t[i].fate, .late_ns = 5 * FIRN_SEC};
        firn_fake_on_request(w, one_fate, &plan);
        assert_int_equal(put(w, env, FIRN_OS_IF_ABSENT, "k", NULL, "v"), t[i].status);
        struct firn_slice body;
        assert_int_equal(firn_fake_get(w, "k", &body), t[i].there);
        firn_fake_run_for(w, 10 * FIRN_SEC);
        assert_int_equal(firn_fake_get(w, "k", &body), t[i].there_later);
        assert_int_equal(firn_fake_held(w), t[i].fate == FIRN_FAKE_HOLD);
        assert_int_equal(firn_fake_release(w, NULL, 10), t[i].fate == FIRN_FAKE_HOLD);
        firn_fake_run_for(w, FIRN_SEC);
        assert_true(firn_fake_get(w, "k", &body) ==
                    (t[i].there_later || t[i].fate == FIRN_FAKE_HOLD));
        assert_int_equal(firn_fake_in_flight(w), 0);
        firn_fake_world_free(w);
    }
}

struct ticker {
    const struct firn_env *env;
    struct firn_timer t;
    struct firn_defer d;
    struct firn_job job;
    int ticks, defers, jobs;
    uint64_t at_ns;
};

static void job_run(struct firn_job *job)
{
    ((struct ticker *)job->arg)->jobs += 100;
}

static void job_done(struct firn_job *job)
{
    ((struct ticker *)job->arg)->jobs++;
}

static void on_defer(void *arg)
{
    ((struct ticker *)arg)->defers++;
}

static void on_tick(void *arg)
{
    struct ticker *t = arg;
    t->ticks++;
    t->at_ns = firn_mono_ns(t->env);
    firn_defer(t->env, &t->d);
    firn_timer_start(t->env, &t->t, 10 * FIRN_MS);
}

static void test_node(void **state)
{
    (void)state;
    struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 3});
    struct firn_fake_node *n = firn_fake_node_add(w, NULL);
    struct ticker t = {.env = firn_fake_env(n)};
    t.t = (struct firn_timer){.fn = on_tick, .arg = &t};
    t.d = (struct firn_defer){.fn = on_defer, .arg = &t};
    t.job = (struct firn_job){.run = job_run, .done = job_done, .arg = &t};
    firn_timer_start(t.env, &t.t, 10 * FIRN_MS);
    firn_exec(t.env, &t.job);
    firn_fake_run_for(w, 100 * FIRN_MS);
    assert_int_equal(t.ticks, 10);
    assert_int_equal(t.defers, 10);
    assert_int_equal(t.jobs, 101);
    struct call c = {.req = {.body = firn_slice_str("x")}};
    send(t.env, &c, FIRN_OS_PUT, "k");
    firn_fake_node_freeze(n);
    firn_fake_run_for(w, 100 * FIRN_MS);
    assert_int_equal(t.ticks, 10);
    assert_int_equal(c.done, 0);
    assert_int_equal(firn_fake_count(w, ""), 1);
    firn_fake_node_thaw(n);
    firn_fake_run_for(w, 5 * FIRN_MS);
    assert_int_equal(t.ticks, 11);
    assert_int_equal(c.done, 1);
    firn_fake_node_clock(n, 0, 1000000); /* twice as fast */
    uint64_t before = firn_mono_ns(t.env);
    firn_fake_run_for(w, 100 * FIRN_MS);
    assert_int_equal(firn_mono_ns(t.env) - before, 200 * FIRN_MS);
    struct call d = {.req = {.body = firn_slice_str("y")}};
    send(t.env, &d, FIRN_OS_PUT, "late");
    int ticks = t.ticks;
    firn_fake_node_kill(n);
    assert_false(firn_timer_running(&t.t));
    firn_fake_run_for(w, FIRN_SEC);
    assert_int_equal(t.ticks, ticks);
    assert_int_equal(d.done, 0);
    assert_int_equal(firn_fake_count(w, "late"), 1);
    firn_fake_world_free(w);
}

static void test_cut(void **state)
{
    (void)state;
    struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 3});
    struct firn_fake_node *n = firn_fake_node_add(w, NULL);
    struct call c = {.req = {.body = firn_slice_str("x")}};
    send(firn_fake_env(n), &c, FIRN_OS_PUT, "k");
    firn_fake_node_cut(n, true);
    assert_true(firn_fake_run_until(w, is_done, &c, FIRN_SEC));
    assert_int_equal(c.req.status, FIRN_UNCERTAIN);
    firn_os_req_clear(&c.req);
    assert_int_equal(run(w, firn_fake_env(n), &c, FIRN_OS_GET, "k"), FIRN_TRANSIENT);
    firn_fake_node_cut(n, false);
    assert_int_equal(run(w, firn_fake_env(n), &c, FIRN_OS_GET, "k"), FIRN_OK);
    firn_os_req_clear(&c.req);
    firn_fake_world_free(w);
}

/* A busy, faulty run of several nodes; returns its trace. */
static uint64_t storm(uint64_t seed)
{
    struct firn_fake_options o = {.seed = seed, .timer_slack_ns = FIRN_MS};
    o.faults = (struct firn_fake_faults){.lost_before = 50000,
                                         .lost_after = 50000,
                                         .late = 50000,
                                         .twice = 50000,
                                         .err_500 = 50000,
                                         .err_503 = 50000,
                                         .err_409 = 50000,
                                         .refused = 50000,
                                         .denied = 50000,
                                         .loser_500 = 50000,
                                         .short_read = 50000,
                                         .bit_flip = 50000,
                                         .slow = 50000};
    struct firn_fake_world *w = firn_fake_world_new(&o);
    static struct call c[200];
    memset(c, 0, sizeof c);
    const struct firn_env *env[4];
    for (int i = 0; i < 4; i++)
        env[i] = firn_fake_env(firn_fake_node_add(w, NULL));
    for (int i = 0; i < 200; i++) {
        static const char *const keys[] = {"a", "b", "c"};
        c[i].req.body = firn_slice_of(&i, sizeof i);
        c[i].req.cond = i % 2 ? FIRN_OS_IF_ABSENT : FIRN_OS_ALWAYS;
        bool get = i % 5 == 0;
        if (get)
            c[i].req.cond = FIRN_OS_ALWAYS;
        send(env[i % 4], &c[i], get ? FIRN_OS_GET : FIRN_OS_PUT, keys[i % 3]);
        firn_fake_run_for(w, FIRN_MS);
    }
    while (firn_fake_step(w))
        ;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(c[i].done, 1);
        firn_os_req_clear(&c[i].req);
    }
    uint64_t trace = firn_fake_trace_hash(w);
    firn_fake_world_free(w);
    return trace;
}

static void test_reproducible(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++)
        assert_true(storm(seed) == storm(seed));
    assert_true(storm(1) != storm(2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions), cmocka_unit_test(test_list),
        cmocka_unit_test(test_fates),      cmocka_unit_test(test_node),
        cmocka_unit_test(test_cut),        cmocka_unit_test(test_reproducible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
