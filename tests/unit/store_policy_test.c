/* How much the store asks of the object store: budget of retries, pace, hedges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/store_fixture.h"

#define OPS 100

static bool all_done(void *arg)
{
    struct fix_op *o = arg;
    for (int i = 0; i < OPS; i++) {
        if (!o[i].done)
            return false;
    }
    return true;
}

/* An outage of five minutes under a hundred endless operations: the store is asked a little, not
 * hammered, and all of them end when it is back. */
static void test_outage(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f, &(struct firn_fake_options){.seed = 5}, NULL);
    static struct fix_op o[OPS];
    memset(o, 0, sizeof o);
    firn_fake_options(f.w)->faults.refused = 1000000;
    for (int i = 0; i < OPS; i++) {
        o[i].op.req.body = firn_slice_str("x");
        fix_start(&f, &o[i], FIRN_OS_PUT, "k");
    }
    firn_fake_run_for(f.w, 300 * FIRN_SEC);
    uint64_t asked = firn_fake_requests(f.w, FIRN_OS_OPS);
    assert_true(asked >= 2 * OPS);
    assert_true(asked <= OPS + 20 + OPS / 5 + 300 * 10 + 10);
    firn_fake_options(f.w)->faults.refused = 0;
    assert_true(firn_fake_run_until(f.w, all_done, o, 30 * FIRN_SEC));
    for (int i = 0; i < OPS; i++) {
        assert_int_equal(o[i].op.status, FIRN_OK);
        firn_store_op_clear(&o[i].op);
    }
    fix_close(&f);
}

/* With failures at random the retries stay near a fifth of the requests plus the trickle. */
static void test_budget(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f, &(struct firn_fake_options){.seed = 6}, NULL);
    firn_fake_put(f.w, "k", "x", 1);
    firn_fake_options(f.w)->faults.err_500 = 100000;
    struct fix_op o = {0};
    uint64_t began = firn_fake_now_ns(f.w);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(fix_run(&f, &o, FIRN_OS_GET, "k"), FIRN_OK);
    const struct firn_store_account *a = firn_store_account_of(f.store, FIRN_OS_GET);
    uint64_t seconds = (firn_fake_now_ns(f.w) - began) / FIRN_SEC;
    assert_true(a->retries > 150 && a->retries < 2000 / 5 + 20 + seconds * 10 + 10);
    firn_store_op_clear(&o.op);
    fix_close(&f);
}

/* SlowDown spreads new attempts out; when the store is well again, they flow as before. */
static void test_slow_down(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f, &(struct firn_fake_options){.seed = 7}, NULL);
    static struct fix_op o[OPS];
    memset(o, 0, sizeof o);
    firn_fake_options(f.w)->faults.err_503 = 1000000;
    for (int i = 0; i < OPS; i++)
        fix_start(&f, &o[i], FIRN_OS_GET, "k");
    firn_fake_run_for(f.w, 5 * FIRN_SEC);
    uint64_t before = firn_fake_requests(f.w, FIRN_OS_OPS);
    firn_fake_run_for(f.w, 10 * FIRN_SEC);
    assert_true(firn_fake_requests(f.w, FIRN_OS_OPS) - before <= 10 * 4 + 4);
    firn_fake_options(f.w)->faults.err_503 = 0;
    assert_true(firn_fake_run_until(f.w, all_done, o, 60 * FIRN_SEC));
    uint64_t at = firn_fake_now_ns(f.w);
    for (int i = 0; i < OPS; i++) {
        assert_int_equal(o[i].op.status, FIRN_ABSENT);
        fix_start(&f, &o[i], FIRN_OS_GET, "k");
    }
    assert_true(firn_fake_run_until(f.w, all_done, o, 60 * FIRN_SEC));
    assert_true(firn_fake_now_ns(f.w) - at < 20 * FIRN_MS);
    for (int i = 0; i < OPS; i++)
        firn_store_op_clear(&o[i].op);
    fix_close(&f);
}

/* One request in `rare` takes 100 times as long; returns the slowest time met. */
static uint64_t hedged_run(struct fix *f, enum firn_os_op what, unsigned flags, int n)
{
    uint64_t worst = 0;
    for (int i = 0; i < n; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, what == FIRN_OS_PUT ? "wal/%d" : "k", i);
        struct fix_op o = {.op.flags = flags};
        if (what == FIRN_OS_PUT) {
            o.op.req.cond = FIRN_OS_IF_ABSENT;
            o.op.req.body = firn_slice_of(&i, sizeof i);
        }
        uint64_t at = firn_fake_now_ns(f->w);
        assert_int_equal(fix_run(f, &o, what, key), FIRN_OK);
        uint64_t took = firn_fake_now_ns(f->w) - at;
        if (i >= n / 2 && took > worst)
            worst = took;
        firn_store_op_clear(&o.op);
    }
    return worst;
}

static void test_hedge(void **state)
{
    (void)state;
    static const enum firn_os_op ops[] = {FIRN_OS_GET, FIRN_OS_PUT};
    struct firn_fake_options fo = {.seed = 8,
                                   .latency_min_ns = 8 * FIRN_MS,
                                   .latency_max_ns = 10 * FIRN_MS,
                                   .faults.slow = 3000};
    struct firn_store_options so = {.hedge_gets = true};
    for (int i = 0; i < 2; i++) {
        struct fix f;
        fix_open(&f, &fo, &so);
        firn_fake_put(f.w, "k", "x", 1);
        uint64_t plain = hedged_run(&f, ops[i], 0, 4000);
        const struct firn_store_account *a = firn_store_account_of(f.store, ops[i]);
        assert_int_equal(a->hedges, 0);
        fix_close(&f);
        fix_open(&f, &fo, &so);
        firn_fake_put(f.w, "k", "x", 1);
        uint64_t hedged = hedged_run(&f, ops[i], FIRN_STORE_HEDGE, 4000);
        a = firn_store_account_of(f.store, ops[i]);
        assert_true(plain > 80 * FIRN_MS);
        assert_true(hedged < 60 * FIRN_MS);
        assert_true(a->hedges > 0 && a->hedges * 100 <= 4000);
        fix_close(&f);
    }
}

/* When half of all requests are slow, hedges stay at one percent; and at none while the store is
 * slowing us. */
static void test_hedge_bounds(void **state)
{
    (void)state;
    struct firn_fake_options fo = {.seed = 9, .faults.slow = 40000};
    struct fix f;
    fix_open(&f, &fo, &(struct firn_store_options){.hedge_gets = true});
    firn_fake_put(f.w, "k", "x", 1);
    (void)hedged_run(&f, FIRN_OS_GET, FIRN_STORE_HEDGE, 500);
    firn_fake_options(f.w)->faults.slow = 500000;
    (void)hedged_run(&f, FIRN_OS_GET, FIRN_STORE_HEDGE, 3000);
    const struct firn_store_account *a = firn_store_account_of(f.store, FIRN_OS_GET);
    assert_true(a->hedges > 5 && a->hedges * 100 <= 3500);
    uint64_t before = a->hedges;
    FIX_SCRIPT(&f, FIRN_FAKE_503);
    struct fix_op o = {0};
    assert_int_equal(fix_run(&f, &o, FIRN_OS_GET, "k"), FIRN_OK);
    firn_store_op_clear(&o.op);
    f.script = NULL;
    uint64_t until = firn_fake_now_ns(f.w) + 9 * FIRN_SEC;
    while (firn_fake_now_ns(f.w) < until)
        (void)hedged_run(&f, FIRN_OS_GET, FIRN_STORE_HEDGE, 2);
    assert_int_equal(a->hedges, before);
    fix_close(&f);
}

struct told {
    unsigned ails, well;
};

static void on_told(void *arg, enum firn_os_op op, const struct firn_store_health *h)
{
    struct told *t = arg;
    assert_int_equal(op, FIRN_OS_PUT);
    assert_true(h->failing_since_ns > 0);
    if (h->told)
        t->ails++;
    else
        t->well++;
}

/* An outage is told of once, and its end; a short one and one of another kind of request are not,
 * and one that nobody has met for a while is no news. */
static void test_health(void **state)
{
    (void)state;
    struct fix f;
    struct told t = {0};
    struct fix_op o = {0};
    uint64_t for_ns;
    fix_open(&f, &(struct firn_fake_options){.seed = 9}, NULL);
    firn_store_watch(f.store, on_told, &t);
    o.op.req.body = firn_slice_str("x");
    firn_fake_options(f.w)->faults.refused = 1000000;
    fix_start(&f, &o, FIRN_OS_PUT, "k");
    firn_fake_run_for(f.w, 500 * FIRN_MS);
    assert_false(firn_store_ails(f.store, FIRN_OS_PUT, &for_ns));
    firn_fake_run_for(f.w, 60 * FIRN_SEC);
    assert_true(firn_store_ails(f.store, FIRN_OS_PUT, &for_ns));
    assert_true(for_ns > 55 * FIRN_SEC && for_ns <= 61 * FIRN_SEC);
    assert_int_equal(firn_store_health_of(f.store, FIRN_OS_PUT)->status, FIRN_TRANSIENT);
    assert_false(firn_store_ails(f.store, FIRN_OS_GET, &for_ns));
    assert_int_equal(t.ails, 1);
    firn_fake_options(f.w)->faults.refused = 0;
    firn_fake_run_for(f.w, 10 * FIRN_SEC);
    assert_true(o.done);
    assert_int_equal(o.op.status, FIRN_OK);
    assert_int_equal(t.ails, 1);
    assert_int_equal(t.well, 1);
    assert_false(firn_store_ails(f.store, FIRN_OS_PUT, &for_ns));
    assert_int_equal(firn_store_health_of(f.store, FIRN_OS_PUT)->failing_since_ns, 0);
    firn_store_op_clear(&o.op);

    firn_fake_options(f.w)->faults.refused = 1000000;
    fix_start(&f, &o, FIRN_OS_PUT, "k");
    firn_fake_run_for(f.w, 5 * FIRN_SEC);
    firn_store_cancel(f.store, &o.op);
    firn_fake_run_for(f.w, FIRN_SEC);
    assert_true(firn_store_ails(f.store, FIRN_OS_PUT, &for_ns));
    firn_fake_run_for(f.w, 20 * FIRN_SEC);
    assert_false(firn_store_ails(f.store, FIRN_OS_PUT, &for_ns));
    firn_store_op_clear(&o.op);
    fix_close(&f);
}

/* A store that swallows requests is known to for as long as the next one is under way. */
static void test_health_in_flight(void **state)
{
    (void)state;
    struct fix f;
    struct fix_op o = {0};
    uint64_t for_ns;
    fix_open(&f, &(struct firn_fake_options){.seed = 10}, NULL);
    firn_fake_options(f.w)->faults.lost_before = 1000000;
    fix_start(&f, &o, FIRN_OS_GET, "k"); /* its size is not known: up to 21 s an attempt */
    firn_fake_run_for(f.w, 20 * FIRN_SEC);
    for (int i = 0; i < 120; i++) {
        assert_true(firn_store_ails(f.store, FIRN_OS_GET, &for_ns));
        firn_fake_run_for(f.w, FIRN_SEC);
    }
    firn_store_cancel(f.store, &o.op);
    firn_fake_run_for(f.w, 30 * FIRN_SEC);
    assert_true(o.done && !firn_store_ails(f.store, FIRN_OS_GET, &for_ns));
    firn_store_op_clear(&o.op);
    fix_close(&f);
}

static void refuse_once(struct fix *f)
{
    struct fix_op o = {0};
    firn_fake_options(f->w)->faults.denied = 1000000;
    assert_int_equal(fix_run(f, &o, FIRN_OS_GET, "k"), FIRN_DENIED);
    firn_fake_options(f->w)->faults.denied = 0;
    firn_store_op_clear(&o.op);
}

/* Two failures of which nobody knows what was between them are no row. */
static void test_health_rows(void **state)
{
    (void)state;
    struct fix f;
    uint64_t for_ns;
    fix_open(&f, &(struct firn_fake_options){.seed = 11}, NULL);
    refuse_once(&f);
    firn_fake_run_for(f.w, 3600 * FIRN_SEC);
    refuse_once(&f);
    assert_false(firn_store_ails(f.store, FIRN_OS_GET, &for_ns));
    firn_fake_run_for(f.w, 5 * FIRN_SEC);
    refuse_once(&f);
    assert_true(firn_store_ails(f.store, FIRN_OS_GET, &for_ns));
    assert_true(for_ns < 7 * FIRN_SEC);
    fix_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outage),           cmocka_unit_test(test_budget),
        cmocka_unit_test(test_slow_down),        cmocka_unit_test(test_hedge),
        cmocka_unit_test(test_hedge_bounds),     cmocka_unit_test(test_health),
        cmocka_unit_test(test_health_in_flight), cmocka_unit_test(test_health_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
