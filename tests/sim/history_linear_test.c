/* Linearizability without a witness: what it accepts, that violations are seen, and that what could
 * not be decided is said to be so. */
#include "sim/history_fixture.h"

#include "sim/check_linear.h"

#define LINES 12

struct history {
    const char *op[LINES];
    const char *wrong; /* what is to be said; NULL: nothing is wrong */
};

static void run(const char *const *op, uint64_t work, struct check_linear_stats *stats,
                struct check_report *r)
{
    struct check_linear_options o = {.work_max = work, .drift_ppm = 0};
    struct hist h;
    hist_init(&h);
    check_report_init(r);
    for (size_t i = 0; i < LINES && op[i]; i++)
        fixture_op(&h, op[i]);
    check_linear(&h, &o, stats, r);
    enum firn_status st = firn_buf_append(&r->text, "", 1);
    assert_int_equal(st, FIRN_OK);
    hist_clear(&h);
}

static void check_all(const struct history *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct check_linear_stats stats;
        struct check_report r;
        run(x[i].op, 100000, &stats, &r);
        const char *text = (const char *)r.text.data;
        if (x[i].wrong ? !strstr(text, x[i].wrong) : r.wrong != 0)
            fail_msg("first operation %s: expected %s, got: %s", x[i].op[0],
                     x[i].wrong ? x[i].wrong : "nothing wrong", text);
        assert_int_equal(stats.undecided, 0);
        check_report_clear(&r);
    }
}

#define CHECK_ALL(x) check_all(x, sizeof(x) / sizeof *(x))

static void registers(void **state)
{
    (void)state;
    static const struct history x[] = {
        {{"1 1 1 0 1 10 : SET a 1 => +", "2 2 2 0 11 20 : GET a => $1"}, NULL},
        {{"1 1 1 0 1 10 : SET a 1 => +", "2 2 2 0 11 20 : GET a => _"}, "not linearizable"},
        {{"1 1 1 0 1 10 : SET a 1 => +", "2 2 2 0 10 20 : GET a => _"}, NULL},
        {{"1 1 1 0 1 10 : SET a 1 => +", "2 2 2 0 11 20 : GET a => $2"}, "not linearizable"},
        /* two at once, in either order, but in one */
        {{"1 1 1 0 1 10 : SET a 1 => +", "2 2 2 0 1 10 : SET a 2 => +",
          "3 3 3 0 11 20 : GET a => $1", "3 3 3 0 21 30 : GET a => $1"},
         NULL},
        {{"1 1 1 0 1 10 : SET a 1 => +", "2 2 2 0 1 10 : SET a 2 => +",
          "3 3 3 0 11 20 : GET a => $1", "4 4 4 0 21 30 : GET a => $2"},
         "not linearizable"},
        /* unknown: never, now, much later; not twice */
        {{"1 1 1 0 1 - : SET a 1", "2 2 2 0 50 60 : GET a => _", "2 2 2 0 90 95 : GET a => $1"},
         NULL},
        {{"1 1 1 0 1 9 : SET a 1 => -KVUNKNOWN", "2 2 2 0 50 60 : GET a => _",
          "2 2 2 0 90 95 : GET a => $1"},
         NULL},
        {{"1 1 1 0 1 - : SET a 1", "2 2 2 0 50 60 : GET a => $1", "2 2 2 0 61 62 : SET a 2 => +",
          "2 2 2 0 90 95 : GET a => $1"},
         "not linearizable"},
        /* refused: not there */
        {{"1 1 1 0 1 9 : SET a 1 => -KVBUSY", "2 2 2 0 50 60 : GET a => $1"}, "not linearizable"},
        {{"1 1 1 0 1 9 : SET a 1 => +", "2 2 2 0 10 20 : KV.DELRANGE a b => +",
          "2 2 2 0 50 60 : GET a => _"},
         NULL},
        {{"1 1 1 0 1 9 : SET a 1 => +", "2 2 2 0 10 20 : KV.DELRANGE a b => +",
          "2 2 2 0 50 60 : GET a => $1"},
         "not linearizable"},
        {{"1 1 1 0 1 9 : MSET a 1 b 2 => +", "2 2 2 0 10 20 : MGET a b => $1 _"}, "key b is not"},
        {{"1 1 1 0 1 9 : MSET a 1 b 2 => +", "2 2 2 0 10 20 : KV.RANGE a z => _ $a $1 $b $3"},
         "key b is not"},
    };
    CHECK_ALL(x);
}

static void conditions(void **state)
{
    (void)state;
    static const struct history x[] = {
        {{"1 1 1 0 1 10 : INCR i => :2", "2 2 2 0 1 10 : INCR i => :1"}, NULL},
        {{"1 1 1 0 1 10 : INCR i => :1", "2 2 2 0 1 10 : INCR i => :1"}, "not linearizable"},
        {{"1 1 1 0 1 - : INCR i", "1 1 1 0 1 - : INCR i", "2 2 2 0 20 30 : INCR i => :3"}, NULL},
        {{"1 1 1 0 1 - : INCR i", "2 2 2 0 20 30 : INCR i => :3"}, "not linearizable"},
        {{"1 1 1 0 1 10 : SETNX a 1 => :1", "2 2 2 0 1 10 : SETNX a 2 => :1"}, "not linearizable"},
        {{"1 1 1 0 1 10 : SETNX a 1 => :1", "2 2 2 0 1 10 : DEL a => :1",
          "2 2 2 0 11 12 : SETNX a 2 => :1"},
         NULL},
        {{"1 1 1 0 1 10 : SET a 1 => +", "2 2 2 0 11 20 : SET a 2 IFEQ 1 => +",
          "3 3 3 0 11 20 : SET a 3 IFEQ 1 => _"},
         NULL},
        {{"1 1 1 0 1 10 : SET a 1 => +", "2 2 2 0 11 20 : SET a 2 IFEQ 1 => +",
          "3 3 3 0 11 20 : SET a 3 IFEQ 1 => +"},
         "not linearizable"},
        {{"1 1 1 0 1 10 : SET a 1 => +", "2 2 2 0 11 - : SET a 2 IFEQ 1",
          "3 3 3 0 12 20 : GETDEL a => $2"},
         NULL},
        {{"1 1 1 0 1 10 : SET a 1 => +", "2 2 2 0 11 - : SET a 2 IFEQ 7",
          "3 3 3 0 12 20 : GETDEL a => $2"},
         "not linearizable"},
        {{"1 1 1 0 1 10 exec : SET a 1 ; INCR i => + :1", "2 2 2 0 11 20 : MGET a i => $1 $1"},
         NULL},
        {{"1 1 1 0 1 10 : KV.BATCH 2 3 SET a 1 2 INCR i => $t + :1", "2 2 2 0 11 20 : GET i => _"},
         "key i is not"},
        {{"1 1 1 0 1 10 : SET a 1 => +", "1 1 1 0 11 20 exec : GET a ; SET a 2 ; GET a => $1 + $2",
          "2 2 2 0 21 30 : GET a => $2"},
         NULL},
        {{"1 1 1 0 1 - : KV.TXN 1 EXISTS a %3d 1 THEN 1 2 DEL a ELSE 1 3 SET a 1",
          "2 2 2 0 21 30 : GET a => $1"},
         NULL},
        {{"1 1 1 0 1 9 : KV.TXN 1 EXISTS a %3d 1 THEN 1 2 DEL a ELSE 1 3 SET a 1 => :0 $t +",
          "2 2 2 0 21 30 : GET a => _"},
         "not linearizable"},
        /* applied: durable later, or never */
        {{"1 1 1 0 1 9 applied : SET a 1 => +", "2 2 2 0 21 30 : GET a => _",
          "2 2 2 0 41 50 : GET a => $1"},
         NULL},
    };
    CHECK_ALL(x);
}

static void bounded(void **state)
{
    (void)state;
    static const struct history x[] = {
        {{"1 1 1 0 1 10 : SET a 1 => +", "1 1 1 0 11 20 : SET a 2 => +",
          "2 2 2 50 60 70 : GET a => $1"},
         NULL},
        {{"1 1 1 0 1 10 : SET a 1 => +", "1 1 1 0 11 20 : SET a 2 => +",
          "2 2 2 50 71 80 : GET a => $1"},
         "overwritten"},
        {{"1 1 1 0 1 10 : SET a 1 => +", "2 2 2 50 71 80 : GET a => $2"}, "nobody wrote"},
        {{"2 2 2 50 1 8 : GET a => $1", "1 1 1 0 11 20 : SET a 1 => +"}, "written later"},
    };
    CHECK_ALL(x);
}

/* A dozen writes at once and a read of what nobody wrote: too much for a hundred steps, and it says
 * so; what cannot be taken apart, too. */
static void not_decided(void **state)
{
    (void)state;
    static const char *const many[LINES] = {
        "1 1 1 0 1 90 : SET a 1 => +", "2 1 1 0 1 90 : SET a 2 => +",
        "3 1 1 0 1 90 : SET a 3 => +", "4 1 1 0 1 90 : SET a 4 => +",
        "5 1 1 0 1 90 : SET a 5 => +", "6 1 1 0 1 90 : SET a 6 => +",
        "7 1 1 0 1 90 : SET a 7 => +", "8 1 1 0 1 90 : SET a 8 => +",
        "9 1 1 0 99 100 : GET a => $x"};
    static const char *const ttl[LINES] = {"1 1 1 0 1 90 : SET a 1 PX 5 => +",
                                           "2 2 2 0 91 95 : GET a => _"};
    struct check_linear_stats stats;
    struct check_report r;
    run(many, 100, &stats, &r);
    assert_int_equal(stats.undecided, 1);
    assert_int_equal(stats.keys, 0);
    assert_int_equal(r.wrong, 0);
    check_report_clear(&r);
    run(many, 1000000, &stats, &r);
    assert_int_equal(stats.undecided, 0);
    assert_int_equal(r.wrong, 1);
    check_report_clear(&r);
    run(ttl, 100, &stats, &r);
    assert_int_equal(stats.undecided, 1);
    assert_int_equal(r.wrong, 0);
    check_report_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers),
        cmocka_unit_test(conditions),
        cmocka_unit_test(bounded),
        cmocka_unit_test(not_decided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
