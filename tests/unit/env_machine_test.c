/* The machines, the store's weather and the trace of the fake world: see fakes/fake_env.h. */
#include "testing.h"

#include "fakes/fake_env.h"
#include "fakes/fake_net.h"
#include "fakes/fake_strike.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR (3600 * FIRN_SEC)
#define HOUR_MS INT64_C(3600000)

struct call {
    struct firn_os_req req;
    struct firn_fake_world *w;
    uint64_t at_ns;
    int done;
};

static void on_done(struct firn_os_req *req)
{
    struct call *c = req->arg;
    c->done++;
    c->at_ns = firn_fake_now_ns(c->w);
}

static bool is_done(void *arg)
{
    return ((struct call *)arg)->done > 0;
}

static void send(struct firn_fake_world *w, struct firn_fake_node *n, struct call *c,
                 enum firn_os_op op, const char *key)
{
    *c = (struct call){.req = {.op = op,
                               .key = key,
                               .body = firn_slice_str(key),
                               .timeout_ns = FIRN_SEC,
                               .done = on_done,
                               .arg = c},
                       .w = w};
    firn_os_submit(firn_fake_env(n)->store, &c->req);
}

static enum firn_status run(struct firn_fake_world *w, struct firn_fake_node *n, enum firn_os_op op,
                            const char *key)
{
    struct call c;
    send(w, n, &c, op, key);
    assert_true(firn_fake_run_until(w, is_done, &c, 100 * FIRN_SEC));
    enum firn_status status = c.req.status;
    firn_os_req_clear(&c.req);
    return status;
}

struct alarm {
    struct firn_timer t;
    struct firn_fake_world *w;
    uint64_t rang_ns;
};

static void ring(void *arg)
{
    struct alarm *a = arg;
    a->rang_ns = firn_fake_now_ns(a->w);
}

static void test_suspend(void **state)
{
    (void)state;
    struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 1});
    struct firn_fake_node *n = firn_fake_node_add(w, NULL);
    const struct firn_env *e = firn_fake_env(n);
    struct alarm a = {.t = {.fn = ring, .arg = &a}, .w = w};
    firn_timer_start(e, &a.t, 10 * FIRN_SEC);
    firn_fake_run_for(w, 3 * FIRN_SEC);
    uint64_t mono = firn_mono_ns(e), boot = firn_boot_ns(e), wall = firn_wall_ms(e);
    firn_fake_node_suspend(n);
    firn_fake_run_for(w, HOUR);
    assert_true(firn_mono_ns(e) == mono && a.rang_ns == 0);
    assert_true(firn_boot_ns(e) == boot + HOUR && firn_wall_ms(e) == wall + HOUR / FIRN_MS);
    firn_fake_node_thaw(n);
    uint64_t woke = firn_fake_now_ns(w);
    assert_true(firn_mono_ns(e) == mono && firn_boot_ns(e) == boot + HOUR);
    firn_fake_run_for(w, 60 * FIRN_SEC);
    assert_true(a.rang_ns == woke + 7 * FIRN_SEC); /* timers count by the monotonic clock */
    /* A freeze stops no clock, and a timer that was due meanwhile rings at once. */
    mono = firn_mono_ns(e);
    boot = firn_boot_ns(e);
    firn_timer_start(e, &a.t, 10 * FIRN_SEC);
    firn_fake_node_freeze(n);
    firn_fake_run_for(w, HOUR);
    assert_true(firn_mono_ns(e) == mono + HOUR && firn_boot_ns(e) == boot + HOUR);
    firn_fake_node_thaw(n);
    woke = firn_fake_now_ns(w);
    firn_fake_run_for(w, FIRN_SEC);
    assert_true(a.rang_ns == woke);
    firn_fake_world_free(w);
}

/* Whatever is done to it, the two monotonic clocks never go back, and boot never falls behind. */
static void test_monotonic(void **state)
{
    (void)state;
    struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 2});
    struct firn_fake_node *n = firn_fake_node_add(w, NULL);
    const struct firn_env *e = firn_fake_env(n);
    uint64_t mono = firn_mono_ns(e), boot = firn_boot_ns(e), back = 0;
    for (int i = 0; i < 2000; i++) {
        uint64_t r = firn_fake_random(w), wall = firn_wall_ms(e);
        if (r % 5 == 0)
            firn_fake_node_suspend(n);
        else if (r % 5 == 1)
            firn_fake_node_thaw(n);
        else if (r % 5 == 2)
            firn_fake_node_clock(n, 0, (int32_t)(r >> 32 & 0x1ffff) - 0xffff);
        else if (r % 5 == 3)
            firn_fake_node_wall_jump(n, (int64_t)(r >> 8) % (3 * HOUR_MS));
        else
            firn_fake_run_for(w, r >> 40);
        assert_true(firn_mono_ns(e) >= mono && firn_boot_ns(e) >= boot);
        assert_true(firn_boot_ns(e) - boot >= firn_mono_ns(e) - mono);
        back += firn_wall_ms(e) < wall;
        mono = firn_mono_ns(e);
        boot = firn_boot_ns(e);
    }
    assert_true(back > 100);
    firn_fake_world_free(w);
}

static void test_restart(void **state)
{
    (void)state;
    struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 3});
    struct firn_fake_node *a = firn_fake_node_add(w, "db/");
    firn_fake_node_clock(a, -2 * HOUR_MS, 1000);
    firn_fake_run_for(w, HOUR);
    firn_fake_node_suspend(a);
    firn_fake_run_for(w, HOUR);
    firn_fake_node_thaw(a);
    firn_fake_node_crash(a);
    const struct firn_env *ea = firn_fake_env(a);
    struct firn_fake_node *b = firn_fake_node_restart(a, false);
    const struct firn_env *eb = firn_fake_env(b);
    firn_fake_run_for(w, HOUR);
    assert_true(firn_mono_ns(ea) == firn_mono_ns(eb) && firn_boot_ns(ea) == firn_boot_ns(eb));
    assert_true(firn_wall_ms(ea) == firn_wall_ms(eb));
    assert_int_equal(run(w, b, FIRN_OS_PUT, "x"), FIRN_OK);
    assert_int_equal(firn_fake_count(w, "db/"), 1);
    firn_fake_node_crash(b);
    struct firn_fake_node *c = firn_fake_node_restart(b, true);
    const struct firn_env *ec = firn_fake_env(c);
    assert_true(firn_mono_ns(ec) == 0 && firn_boot_ns(ec) == 0);
    firn_fake_run_for(w, HOUR);
    assert_true(firn_wall_ms(ec) - firn_wall_ms(eb) <= 1);
    assert_true(firn_mono_ns(ec) == HOUR + HOUR / 1000);
    firn_fake_world_free(w);
}

static void no_data(void *arg, const uint8_t *data, size_t len)
{
    (void)arg;
    (void)data;
    (void)len;
}

static void ended(void *arg, enum firn_fake_end how)
{
    *(int *)arg += 1 + (how == FIRN_FAKE_END_REFUSED);
}

static void test_asleep(void **state)
{
    (void)state;
    struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 4});
    struct firn_fake_node *n = firn_fake_node_add(w, NULL);
    struct call c[40];
    char key[40][16];
    int told = 0;
    struct firn_fake_conn_user u = {.data = no_data, .closed = ended, .arg = &told};
    for (int i = 0; i < 40; i++) {
        (void)snprintf(key[i], sizeof key[i], "k%d", i);
        send(w, n, &c[i], FIRN_OS_PUT, key[i]);
    }
    firn_fake_node_suspend(n);
    (void)firn_fake_dial(w, 0, n, 0, &u);
    firn_fake_run_for(w, FIRN_SEC);
    assert_int_equal(firn_fake_count(w, ""), 40); /* what it had sent is done */
    assert_int_equal(told, 0);
    firn_fake_node_thaw(n);
    firn_fake_run_for(w, FIRN_SEC);
    int lost = 0;
    for (int i = 0; i < 40; i++) {
        assert_int_equal(c[i].done, 1);
        lost += c[i].req.status == FIRN_UNCERTAIN;
    }
    assert_true(lost > 5 && lost < 35);
    assert_int_equal(told, 2);
    firn_fake_world_free(w);
}

static void test_store_weather(void **state)
{
    (void)state;
    struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 5});
    struct firn_fake_node *a = firn_fake_node_add(w, NULL), *b = firn_fake_node_add(w, NULL);
    firn_fake_node_deny(a, true);
    assert_int_equal(run(w, a, FIRN_OS_PUT, "a"), FIRN_DENIED);
    assert_int_equal(run(w, a, FIRN_OS_GET, "a"), FIRN_DENIED);
    assert_int_equal(run(w, b, FIRN_OS_PUT, "b"), FIRN_OK);
    firn_fake_node_deny(a, false);
    assert_int_equal(run(w, a, FIRN_OS_PUT, "a"), FIRN_OK);
    struct call under_way;
    send(w, a, &under_way, FIRN_OS_PUT, "c");
    firn_fake_store_down(w, true);
    for (int i = 0; i < 50; i++) {
        enum firn_status put = run(w, a, FIRN_OS_PUT, "d"), get = run(w, b, FIRN_OS_GET, "a");
        assert_true(put == FIRN_TRANSIENT || put == FIRN_UNCERTAIN);
        assert_int_equal(get, FIRN_TRANSIENT);
    }
    assert_true(under_way.done == 1 && under_way.req.status == FIRN_UNCERTAIN);
    firn_fake_store_down(w, false);
    assert_int_equal(firn_fake_count(w, ""), 2);
    assert_int_equal(run(w, b, FIRN_OS_GET, "a"), FIRN_OK);
    firn_fake_world_free(w);
}

/* A PUT lands hours after its caller gave up, and brings an object back that was collected. */
static void test_hours_late(void **state)
{
    (void)state;
    struct firn_fake_options o = {.seed = 6, .late_max_ns = 4 * HOUR};
    struct firn_fake_world *w = firn_fake_world_new(&o);
    struct firn_fake_node *n = firn_fake_node_add(w, NULL);
    char key[200][16];
    size_t within[3] = {0}; /* a second, ten minutes, ever */
    firn_fake_options(w)->faults.late = 1000000;
    for (int i = 0; i < 200; i++) {
        (void)snprintf(key[i], sizeof key[i], "k%d", i);
        struct call c;
        send(w, n, &c, FIRN_OS_PUT, key[i]);
        assert_true(firn_fake_run_until(w, is_done, &c, 2 * FIRN_SEC));
        assert_int_equal(c.req.status, FIRN_UNCERTAIN);
        firn_fake_run_for(w, FIRN_SEC);
        within[0] += firn_fake_delete(w, key[i]);
    }
    firn_fake_run_for(w, HOUR / 6);
    for (int i = 0; i < 200; i++)
        within[1] += firn_fake_delete(w, key[i]); /* collected; those that come again are back */
    firn_fake_run_for(w, 4 * HOUR);
    within[2] = firn_fake_count(w, "");
    assert_true(within[0] > 40 && within[1] > 40 && within[2] > 10);
    assert_int_equal(within[0] + within[1] + within[2], 200);
    firn_fake_world_free(w);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void test_heavy_tail(void **state)
{
    (void)state;
    static uint64_t took[4000];
    struct firn_fake_options o = {
        .seed = 7, .latency_min_ns = FIRN_MS, .latency_max_ns = 2 * FIRN_MS, .latency_heavy = true};
    struct firn_fake_world *w = firn_fake_world_new(&o);
    struct firn_fake_node *n = firn_fake_node_add(w, NULL);
    for (size_t i = 0; i < 4000; i++) {
        struct call c;
        uint64_t from = firn_fake_now_ns(w);
        send(w, n, &c, FIRN_OS_PUT, "x");
        assert_true(firn_fake_run_until(w, is_done, &c, 2 * FIRN_SEC));
        took[i] = c.at_ns - from;
        firn_os_req_clear(&c.req);
    }
    qsort(took, 4000, sizeof took[0], by_value);
    assert_true(took[2000] < 4 * FIRN_MS && took[3999] > 40 * FIRN_MS);
    firn_fake_world_free(w);
}

static uint64_t traced(FILE *out)
{
    struct firn_fake_options o = {.seed = 8, .faults.lost_after = 300000};
    struct firn_fake_world *w = firn_fake_world_new(&o);
    struct firn_fake_node *n = firn_fake_node_add(w, "db/");
    firn_fake_trace_to(w, out);
    for (int i = 0; i < 10; i++)
        (void)run(w, n, FIRN_OS_PUT, "some/name");
    firn_fake_node_freeze(n);
    firn_fake_say(w, n, "the scenario's own %d", 7);
    uint64_t hash = firn_fake_trace_hash(w);
    firn_fake_world_free(w);
    return hash;
}

static void test_trace(void **state)
{
    (void)state;
    static char text[2][8192];
    uint64_t hash[3];
    for (int i = 0; i < 2; i++) {
        FILE *f = tmpfile();
        assert_non_null(f);
        hash[i] = traced(f);
        rewind(f);
        size_t len = fread(text[i], 1, sizeof text[i] - 1, f);
        assert_true(len > 500 && len < sizeof text[i] - 1);
        (void)fclose(f);
    }
    hash[2] = traced(NULL);
    assert_true(hash[0] == hash[1] && hash[0] == hash[2]);
    assert_string_equal(text[0], text[1]);
    static const char *const has[] = {"lost-after",           "PUT db/some/name: OK, 9 bytes",
                                      "n0   freeze",          "strike #",
                                      "the scenario's own 7", "-> UNCERTAIN"};
    for (size_t i = 0; i < sizeof has / sizeof has[0]; i++)
        if (!strstr(text[0], has[i]))
            fail_msg("no \"%s\" in:\n%s", has[i], text[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suspend),       cmocka_unit_test(test_monotonic),
        cmocka_unit_test(test_restart),       cmocka_unit_test(test_asleep),
        cmocka_unit_test(test_store_weather), cmocka_unit_test(test_hours_late),
        cmocka_unit_test(test_heavy_tail),    cmocka_unit_test(test_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
