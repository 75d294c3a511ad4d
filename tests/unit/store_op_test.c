/* Operations of the store: what each kind of trouble comes to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "unit/store_fixture.h"

static const struct firn_fake_options plain = {.seed = 11};

/* ---- if-absent PUTs: 412, lost replies, looks */

static void test_if_absent_own_first_attempt(void **state)
{
    (void)state;
    static const enum firn_fake_fate fates[] = {
        FIRN_FAKE_LOSE_REPLY, FIRN_FAKE_RESET_DONE, FIRN_FAKE_500_DONE,
        FIRN_FAKE_TWICE_SECOND, /* the transport delivers twice; the first reply we see is a 412 */
    };
    for (size_t i = 0; i < 4; i++) {
        struct fix f;
        fix_open(&f, &plain, NULL);
        f.script = &fates[i];
        f.scripted = 1;
        struct fix_op o = {.op.req = {.cond = FIRN_OS_IF_ABSENT, .body = firn_slice_str("mine")}};
        assert_int_equal(fix_run(&f, &o, FIRN_OS_PUT, "wal/1"), FIRN_OK);
        assert_true(o.op.req.reply_etag[0]);
        assert_true(o.op.first_sent_ns <= o.op.sent_ns && o.op.sent_ns < o.op.done_ns);
        assert_int_equal(firn_fake_requests(f.w, FIRN_OS_GET), 1); /* one look */
        firn_store_op_clear(&o.op);
        fix_close(&f);
    }
}

static void test_if_absent_lost_before(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f, &plain, NULL);
    FIX_SCRIPT(&f, FIRN_FAKE_DROP, FIRN_FAKE_RESET, FIRN_FAKE_500, FIRN_FAKE_409, FIRN_FAKE_REFUSED,
               FIRN_FAKE_503);
    assert_int_equal(fix_put(&f, FIRN_OS_IF_ABSENT, NULL, "wal/1", "mine"), FIRN_OK);
    assert_true(fix_holds(&f, "wal/1", "mine"));
    assert_int_equal(firn_fake_requests(f.w, FIRN_OS_PUT), 7);
    const struct firn_store_account *a = firn_store_account_of(f.store, FIRN_OS_PUT);
    assert_int_equal(a->requests, 7);
    assert_int_equal(a->retries, 6);
    assert_int_equal(a->errors, 6);
    assert_int_equal(a->slow_downs, 1);
    assert_int_equal(a->bytes_sent, 28);
    assert_true(firn_store_dollars(f.store) > 7 * 5e-6 * 0.99);
    fix_close(&f);
}

static void test_if_absent_conflict(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f, &plain, NULL);
    firn_fake_put(f.w, "wal/1", "theirs", 6);
    /* Found out at once; and with trouble on the way to the look. */
    for (int i = 0; i < 2; i++) {
        if (i == 1)
            FIX_SCRIPT(&f, FIRN_FAKE_CLEAN, FIRN_FAKE_DROP, FIRN_FAKE_SHORT_READ, FIRN_FAKE_DENIED,
                       FIRN_FAKE_503);
        struct fix_op o = {.op.req = {.cond = FIRN_OS_IF_ABSENT, .body = firn_slice_str("mine")}};
        assert_int_equal(fix_run(&f, &o, FIRN_OS_PUT, "wal/1"), FIRN_CONFLICT);
        assert_true(firn_slice_eq(firn_buf_slice(&o.op.found), firn_slice_str("theirs")));
        firn_store_op_clear(&o.op);
    }
    fix_close(&f);
}

static void delete_it(void *arg)
{
    (void)firn_fake_delete(arg, "wal/1");
}

static void collect_on_412(void *arg, unsigned node, enum firn_os_op op, const char *name,
                           struct firn_slice body, enum firn_status status)
{
    (void)node;
    (void)name;
    (void)body;
    if (op == FIRN_OS_PUT && status == FIRN_CONFLICT)
        firn_fake_at(arg, 0, delete_it, arg);
}

static void test_if_absent_gone(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f, &plain, NULL);
    firn_fake_put(f.w, "wal/1", "theirs", 6);
    firn_fake_on_effect(f.w, collect_on_412, f.w);
    assert_int_equal(fix_put(&f, FIRN_OS_IF_ABSENT, NULL, "wal/1", "mine"), FIRN_ABSENT);
    fix_close(&f);
}

/* The first attempt lands long after it was given up; the second has won by then and stays. */
static void test_late_application(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f, &plain, NULL);
    f.late_ns = 5 * FIRN_SEC;
    FIX_SCRIPT(&f, FIRN_FAKE_LATE);
    assert_int_equal(fix_put(&f, FIRN_OS_IF_ABSENT, NULL, "wal/1", "mine"), FIRN_OK);
    firn_fake_run_for(f.w, 10 * FIRN_SEC);
    assert_true(fix_holds(&f, "wal/1", "mine"));
    /* With a deadline it ends UNCERTAIN, and lands afterwards. */
    FIX_SCRIPT(&f, FIRN_FAKE_LATE);
    struct fix_op o = {.op.req = {.cond = FIRN_OS_IF_ABSENT, .body = firn_slice_str("x")}};
    o.op.deadline_ns = firn_boot_ns(f.env) + 500 * FIRN_MS;
    assert_int_equal(fix_run(&f, &o, FIRN_OS_PUT, "wal/2"), FIRN_UNCERTAIN);
    assert_true(o.op.req.err.text[0]);
    assert_true(firn_boot_ns(f.env) <= o.op.deadline_ns + FIRN_MS);
    assert_int_equal(firn_fake_count(f.w, "wal/2"), 0);
    firn_fake_run_for(f.w, 10 * FIRN_SEC);
    assert_true(fix_holds(&f, "wal/2", "x"));
    firn_store_op_clear(&o.op);
    fix_close(&f);
}

/* ---- If-Match */

static void etag_of(struct fix *f, const char *key, char etag[FIRN_OS_ETAG_MAX])
{
    struct fix_op o = {0};
    assert_int_equal(fix_run(f, &o, FIRN_OS_HEAD, key), FIRN_OK);
    (void)snprintf(etag, FIRN_OS_ETAG_MAX, "%s", o.op.req.reply_etag);
    firn_store_op_clear(&o.op);
}

static void test_if_match(void **state)
{
    (void)state;
    struct fix f;
    char etag[FIRN_OS_ETAG_MAX];
    fix_open(&f, &plain, NULL);
    firn_fake_put(f.w, "manifest", "v1", 2);
    etag_of(&f, "manifest", etag);
    assert_int_equal(fix_put(&f, FIRN_OS_IF_MATCH, etag, "manifest", "v2"), FIRN_OK);
    assert_int_equal(fix_put(&f, FIRN_OS_IF_MATCH, etag, "manifest", "v3"), FIRN_CONFLICT);
    assert_int_equal(fix_put(&f, FIRN_OS_IF_MATCH, etag, "missing", "v3"), FIRN_CONFLICT);
    etag_of(&f, "manifest", etag);
    /* Our own first attempt causes the 412: the caller is told to look, never FIRN_OK on a guess.
     */
    FIX_SCRIPT(&f, FIRN_FAKE_LOSE_REPLY);
    assert_int_equal(fix_put(&f, FIRN_OS_IF_MATCH, etag, "manifest", "v4"), FIRN_CONFLICT);
    assert_true(fix_holds(&f, "manifest", "v4"));
    etag_of(&f, "manifest", etag);
    FIX_SCRIPT(&f, FIRN_FAKE_DROP);
    assert_int_equal(fix_put(&f, FIRN_OS_IF_MATCH, etag, "manifest", "v5"), FIRN_OK);
    fix_close(&f);
}

/* ---- reads and deletes */

static void test_reads(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f, &plain, NULL);
    firn_fake_put(f.w, "a", "0123456789", 10);
    struct fix_op o = {.op.req = {.offset = 2, .length = 3}};
    FIX_SCRIPT(&f, FIRN_FAKE_DROP, FIRN_FAKE_500, FIRN_FAKE_SHORT_READ, FIRN_FAKE_SHORT_READ);
    assert_int_equal(fix_run(&f, &o, FIRN_OS_GET, "a"), FIRN_OK);
    assert_true(firn_slice_eq(firn_buf_slice(&o.op.req.reply), firn_slice_str("234")));
    assert_int_equal(o.op.req.size, 10);
    assert_int_equal(o.op.attempts, 5);
    uint64_t at;
    assert_true(firn_store_date_ms(f.store, &at) > 0);
    assert_true(at == o.op.done_ns);
    FIX_SCRIPT(&f, FIRN_FAKE_SHORT_READ, FIRN_FAKE_SHORT_READ, FIRN_FAKE_SHORT_READ);
    assert_int_equal(fix_run(&f, &o, FIRN_OS_GET, "a"), FIRN_CORRUPT);
    assert_int_equal(fix_run(&f, &o, FIRN_OS_GET, "none"), FIRN_ABSENT);
    FIX_SCRIPT(&f, FIRN_FAKE_DENIED);
    assert_int_equal(fix_run(&f, &o, FIRN_OS_GET, "a"), FIRN_DENIED);
    o.op.req.reply_max = 2;
    o.op.req.length = 0;
    assert_int_equal(fix_run(&f, &o, FIRN_OS_GET, "a"), FIRN_LIMIT);
    struct fix_op l = {0};
    assert_int_equal(fix_run(&f, &l, FIRN_OS_LIST, ""), FIRN_OK);
    assert_int_equal(l.op.req.page.count, 1);
    struct fix_op d = {0};
    assert_int_equal(fix_run(&f, &d, FIRN_OS_DELETE, "a"), FIRN_OK);
    assert_int_equal(fix_run(&f, &d, FIRN_OS_DELETE, "a"), FIRN_OK);
    firn_store_op_clear(&l.op);
    firn_store_op_clear(&o.op);
    fix_close(&f);
}

static void test_no_retry(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f, &plain, NULL);
    FIX_SCRIPT(&f, FIRN_FAKE_503);
    struct fix_op o = {.op.flags = FIRN_STORE_NO_RETRY};
    assert_int_equal(fix_run(&f, &o, FIRN_OS_GET, "a"), FIRN_TRANSIENT);
    assert_int_equal(o.op.attempts, 1);
    firn_fake_put(f.w, "a", "x", 1);
    o.op.req.cond = FIRN_OS_IF_ABSENT;
    o.op.req.body = firn_slice_str("y");
    assert_int_equal(fix_run(&f, &o, FIRN_OS_PUT, "a"), FIRN_CONFLICT);
    assert_int_equal(o.op.attempts, 1);
    firn_store_op_clear(&o.op);
    fix_close(&f);
}

/* ---- time-outs, deadlines, cancel */

static void test_cancel(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f, &plain, NULL);
    struct fix_op o = {.op.req = {.cond = FIRN_OS_IF_ABSENT, .body = firn_slice_str("x")}};
    firn_store_cancel(f.store, &o.op); /* not under way: harmless */
    /* While it is on its way. */
    FIX_SCRIPT(&f, FIRN_FAKE_HOLD);
    fix_start(&f, &o, FIRN_OS_PUT, "k");
    firn_fake_run_for(f.w, 10 * FIRN_MS);
    firn_store_cancel(f.store, &o.op);
    firn_store_cancel(f.store, &o.op);
    assert_int_equal(o.done, 0);
    firn_fake_run_for(f.w, FIRN_MS);
    assert_int_equal(o.done, 1);
    assert_int_equal(o.op.status, FIRN_UNCERTAIN);
    /* While it waits to try again: nothing was done. */
    FIX_SCRIPT(&f, FIRN_FAKE_503, FIRN_FAKE_503, FIRN_FAKE_503, FIRN_FAKE_503, FIRN_FAKE_503,
               FIRN_FAKE_503, FIRN_FAKE_503, FIRN_FAKE_503, FIRN_FAKE_503, FIRN_FAKE_503);
    fix_start(&f, &o, FIRN_OS_PUT, "k2");
    while (firn_fake_in_flight(f.w) > 0 || o.op.attempts < 5)
        assert_true(firn_fake_step(f.w));
    firn_store_cancel(f.store, &o.op);
    assert_int_equal(o.done, 0);
    firn_fake_run_for(f.w, FIRN_MS);
    assert_int_equal(o.done, 1);
    assert_int_equal(o.op.status, FIRN_TRANSIENT);
    firn_store_op_clear(&o.op);
    fix_close(&f);
}

static void test_deadline_while_waiting(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f, &plain, NULL);
    struct fix_op o = {.op.deadline_ns = firn_boot_ns(f.env)}; /* has passed already */
    assert_int_equal(fix_run(&f, &o, FIRN_OS_GET, "k"), FIRN_TRANSIENT);
    assert_int_equal(o.op.attempts, 0);
    firn_fake_options(f.w)->faults.refused = 1000000;
    for (int i = 0; i < 20; i++) {
        o.op.deadline_ns = firn_boot_ns(f.env) + FIRN_SEC;
        assert_int_equal(fix_run(&f, &o, FIRN_OS_GET, "k"), FIRN_TRANSIENT);
        assert_true(firn_boot_ns(f.env) <= o.op.deadline_ns + FIRN_MS);
    }
    firn_store_op_clear(&o.op);
    fix_close(&f);
}

/* A line slower than attempt_bytes_per_sec must not mean that nothing ever arrives. */
static void test_slow_line(void **state)
{
    (void)state;
    struct firn_fake_options o = plain;
    o.bytes_per_sec = 2000000;
    struct fix f;
    fix_open(&f, &o, NULL);
    static uint8_t body[8 << 20];
    struct fix_op p = {.op.req = {.body = firn_slice_of(body, sizeof body)}};
    assert_int_equal(fix_run(&f, &p, FIRN_OS_PUT, "big"), FIRN_OK);
    assert_true(p.op.attempts > 1 && p.op.attempts <= 4);
    firn_store_op_clear(&p.op);
    fix_close(&f);
}

/* ---- memory */

static void test_no_memory(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f, &plain, NULL);
    struct fix_op o = {0};
    (void)firn_mem_fail_at(1, 0);
    fix_start(&f, &o, FIRN_OS_GET, "k");
    (void)firn_mem_fail_at(0, 0);
    /* Not at once: who tries again without a thought must not spin. */
    firn_fake_run_for(f.w, FIRN_STORE_MEMORY_REST_NS - 1);
    assert_int_equal(o.done, 0);
    assert_false(firn_store_idle(f.store));
    firn_fake_run_for(f.w, 1);
    assert_int_equal(o.done, 1);
    assert_int_equal(o.op.status, FIRN_LIMIT);
    assert_true(firn_store_idle(f.store));
    firn_store_cancel(f.store, &o.op); /* it has ended: harmless */
    /* Who cancels waits for the end alone. */
    (void)firn_mem_fail_at(1, 0);
    fix_start(&f, &o, FIRN_OS_GET, "k");
    (void)firn_mem_fail_at(0, 0);
    firn_store_cancel(f.store, &o.op);
    assert_int_equal(o.done, 0);
    firn_fake_run_for(f.w, 0);
    assert_int_equal(o.done, 1);
    assert_true(firn_store_idle(f.store));
    struct firn_store *s;
    (void)firn_mem_fail_at(1, 0);
    assert_int_equal(firn_store_create(f.env, NULL, &s), FIRN_LIMIT);
    (void)firn_mem_fail_at(0, 0);
    fix_close(&f);
}

/* ---- everything at once: whatever happens, an OK is true and a final word is final */

static void storm(uint64_t seed)
{
    struct firn_fake_options o = {.seed = seed, .late_max_ns = 3 * FIRN_SEC};
    o.faults = (struct firn_fake_faults){.lost_before = 40000,
                                         .lost_after = 40000,
                                         .late = 40000,
                                         .twice = 40000,
                                         .err_500 = 40000,
                                         .err_503 = 20000,
                                         .err_409 = 40000,
                                         .refused = 40000,
                                         .loser_500 = 300000,
                                         .short_read = 40000,
                                         .slow = 40000};
    struct fix f;
    fix_open(&f, &o, &(struct firn_store_options){.hedge_gets = true});
    enum { N = 60 };
    static struct fix_op op[N];
    static char body[N][24], key[N][24];
    memset(op, 0, sizeof op);
    for (int i = 0; i < N; i++) {
        (void)snprintf(body[i], sizeof body[i], "body %d", i);
        (void)snprintf(key[i], sizeof key[i], "wal/%d", i / 3); /* three race for each */
        op[i].op.flags = FIRN_STORE_HEDGE;
        op[i].op.req.cond = FIRN_OS_IF_ABSENT;
        op[i].op.req.body = firn_slice_str(body[i]);
        fix_start(&f, &op[i], FIRN_OS_PUT, key[i]);
        if (i % 10 == 0)
            firn_fake_run_for(f.w, FIRN_MS);
    }
    for (int i = 0; i < N; i++)
        assert_true(firn_fake_run_until(f.w, fix_is_done, &op[i], 3600 * FIRN_SEC));
    firn_fake_run_for(f.w, 60 * FIRN_SEC); /* late ones land */
    for (int i = 0; i < N; i += 3) {
        int won = 0;
        for (int j = i; j < i + 3; j++) {
            assert_int_equal(op[j].done, 1);
            bool ok = op[j].op.status == FIRN_OK;
            won += ok;
            assert_true(ok || op[j].op.status == FIRN_CONFLICT);
            assert_true(fix_holds(&f, key[j], body[j]) == ok);
            firn_store_op_clear(&op[j].op);
        }
        assert_int_equal(won, 1);
    }
    fix_close(&f);
}

static void test_storm(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++)
        storm(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_if_absent_own_first_attempt),
        cmocka_unit_test(test_if_absent_lost_before),
        cmocka_unit_test(test_if_absent_conflict),
        cmocka_unit_test(test_if_absent_gone),
        cmocka_unit_test(test_late_application),
        cmocka_unit_test(test_if_match),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_no_retry),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_deadline_while_waiting),
        cmocka_unit_test(test_slow_line),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
