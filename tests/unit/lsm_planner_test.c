/* The planner: when to begin, what to take, where to split, what goes unread. */
#include "lsm/planner.h"
#include "manifest/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#define MB ((uint64_t)1 << 20)

static const struct firn_plan_options standard = {
    .l0_compact_tables = 4, .slice_bytes_min = MB, .l0_force_tables = 8};

static Firn__Table *table(const char *lower, const char *upper, uint64_t size, uint64_t number)
{
    Firn__Table *t = firn_pb_table_new();
    assert_non_null(t);
    t->role = FIRN__TABLE_ROLE__WRITER;
    t->epoch = 1;
    t->number = number;
    t->size = size;
    assert_int_equal(firn_pb_set_bytes(&t->lower, firn_slice_str(lower)), FIRN_OK);
    assert_int_equal(firn_pb_set_bytes(&t->upper, firn_slice_str(upper)), FIRN_OK);
    return t;
}

/* A database whose partitions are divided at "m", if `two`. */
static Firn__Manifest *manifest(bool two)
{
    Firn__Manifest *m = firn_pb_manifest_new();
    assert_non_null(m);
    for (size_t i = 0; i < (two ? 2u : 1u); i++) {
        Firn__Partition *p = firn_pb_partition_new();
        assert_non_null(p);
        struct firn_slice bound = firn_slice_str("\x10m");
        if (two)
            assert_int_equal(firn_pb_set_bytes(i ? &p->start : &p->end, bound), FIRN_OK);
        assert_int_equal(firn_pb_set_place(&p->l0_upto, (struct firn_place){1, 0}), FIRN_OK);
        assert_int_equal(firn_pb_insert(&m->partitions, &m->n_partitions, i, p), FIRN_OK);
    }
    return m;
}

static void add_l0(Firn__Manifest *m, const char *lower, const char *upper, uint64_t size)
{
    Firn__Table *t = table(lower, upper, size, m->n_l0 + 1);
    uint64_t slot = m->n_l0;
    assert_int_equal(firn_pb_set_place(&t->first, (struct firn_place){1, slot}), FIRN_OK);
    assert_int_equal(firn_pb_set_place(&t->end, (struct firn_place){1, slot + 1}), FIRN_OK);
    assert_int_equal(firn_pb_insert(&m->l0, &m->n_l0, 0, t), FIRN_OK);
}

static void add_run(Firn__Partition *p, uint64_t size)
{
    Firn__Run *r = firn_pb_run_new();
    assert_non_null(r);
    Firn__Table *t = table("\x10"
                           "a",
                           "\x10"
                           "c",
                           size, 100 + p->n_runs);
    assert_int_equal(firn_pb_insert(&r->tables, &r->n_tables, 0, t), FIRN_OK);
    assert_int_equal(firn_pb_insert(&p->runs, &p->n_runs, p->n_runs, r), FIRN_OK);
}

static enum firn_status choose(const Firn__Manifest *m, const struct firn_plan_options *o)
{
    struct firn_plan p;
    enum firn_status s = firn_plan_choose(m, o, &p);
    if (s == FIRN_OK)
        firn_plan_clear(&p);
    return s;
}

static void test_when(void **state)
{
    (void)state;
    struct firn_plan_options once = standard;
    once.all = true;
    Firn__Manifest *small = manifest(false), *large = manifest(false);
    assert_int_equal(choose(small, &once), FIRN_ABSENT);
    for (size_t i = 1; i <= 9; i++) {
        add_l0(small,
               "\x10"
               "a",
               "\x10z", 1000);
        add_l0(large,
               "\x10"
               "a",
               "\x10z", 2 * MB);
        assert_int_equal(choose(small, &standard), i >= 8 ? FIRN_OK : FIRN_ABSENT);
        assert_int_equal(choose(large, &standard), i >= 4 ? FIRN_OK : FIRN_ABSENT);
        assert_int_equal(choose(small, &once), FIRN_OK);
    }
    /* nothing is left to take for a partition that has passed them all */
    assert_int_equal(firn_pb_set_place(&small->partitions[0]->l0_upto, (struct firn_place){1, 9}),
                     FIRN_OK);
    assert_int_equal(choose(small, &once), FIRN_ABSENT);
    firn_pb_manifest_free(small);
    firn_pb_manifest_free(large);
}

/* The partition with the most bytes to take, and of L0 what it overlaps and has not passed. */
static void test_partition(void **state)
{
    (void)state;
    struct firn_plan p;
    Firn__Manifest *m = manifest(true);
    add_l0(m,
           "\x10"
           "a",
           "\x10"
           "c",
           5 * MB);
    add_l0(m, "\x10n", "\x10q", 20 * MB);
    add_l0(m,
           "\x10"
           "a",
           "\x10z", 8 * MB);
    add_l0(m, "\x10n", "\x10p", 3 * MB);
    assert_int_equal(firn_plan_choose(m, &standard, &p), FIRN_OK);
    assert_int_equal(p.partition, 1);
    assert_int_equal(p.nl0, 3);
    assert_int_equal(p.l0[0]->number, 4); /* newest first */
    assert_int_equal(p.l0[2]->number, 2);
    assert_true(p.bottom);
    assert_int_equal(p.bytes, 27 * MB);
    firn_plan_clear(&p);
    assert_int_equal(firn_pb_set_place(&m->partitions[1]->l0_upto, (struct firn_place){1, 4}),
                     FIRN_OK);
    assert_int_equal(firn_plan_choose(m, &standard, &p), FIRN_OK);
    assert_int_equal(p.partition, 0);
    assert_int_equal(p.nl0, 2);
    firn_plan_clear(&p);
    firn_pb_manifest_free(m);
}

/* Runs are taken while they are not much larger than what goes into them, and when the stack is too
 * deep. */
static void test_runs(void **state)
{
    (void)state;
    static const struct {
        uint64_t run[6];
        size_t want;
    } cases[] = {
        {{0}, 0},
        {{8, 0}, 1},
        {{100, 0}, 0},
        {{8, 16, 100, 0}, 2},
        {{100, 200, 300, 0}, 0},
        {{100, 1000, 10000, 100000, 0}, 1}, /* never above FIRN_PLAN_RUNS_MAX */
        {{100, 1000, 10000, 100000, 1000000, 0}, 2},
        {{100, 200, 300, 400, 0}, 4}, /* one takes the next along */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct firn_plan p;
        Firn__Manifest *m = manifest(false);
        for (size_t k = 0; k < 4; k++)
            add_l0(m,
                   "\x10"
                   "a",
                   "\x10z", MB);
        for (size_t k = 0; cases[i].run[k]; k++)
            add_run(m->partitions[0], cases[i].run[k] * MB);
        assert_int_equal(firn_plan_choose(m, &standard, &p), FIRN_OK);
        assert_int_equal(p.runs, cases[i].want);
        assert_int_equal(p.bottom, p.runs == m->partitions[0]->n_runs);
        assert_true(m->partitions[0]->n_runs - p.runs + 1 <= FIRN_PLAN_RUNS_MAX);
        firn_plan_clear(&p);
        firn_pb_manifest_free(m);
    }
}

static void test_splits(void **state)
{
    (void)state;
    static const char *const lower[] = {"\x10"
                                        "a",
                                        "\x10"
                                        "b",
                                        "\x10"
                                        "c",
                                        "\x10"
                                        "d",
                                        "\x10"
                                        "e",
                                        "\x10"
                                        "f"};
    Firn__Table *t[5];
    struct firn_slice out[8];
    for (size_t i = 0; i < 5; i++)
        t[i] = table(lower[i], lower[i + 1], 10, i);
    assert_int_equal(firn_plan_splits(t, 5, 50, out, 8), 0);
    assert_int_equal(firn_plan_splits(t, 5, 49, out, 8), 1);
    assert_true(firn_slice_eq(out[0], firn_slice_str("\x10"
                                                     "d")));
    assert_int_equal(firn_plan_splits(t, 5, 20, out, 8), 4);
    assert_int_equal(firn_plan_splits(t, 5, 20, out, 2), 2);
    assert_int_equal(firn_plan_splits(t, 1, 1, out, 8), 0);
    assert_int_equal(firn_plan_splits(t, 0, 1, out, 8), 0);
    for (size_t i = 0; i < 5; i++)
        firn_pb_table_free(t[i]);
}

static void test_covered(void **state)
{
    (void)state;
    struct firn_range_tomb t[] = {
        {firn_slice_str("b"), firn_slice_str("d"), 10},
        {firn_slice_str("d"), firn_slice_str("f"), 20},
        {firn_slice_str("h"), {NULL, 0}, 30},
    };
    static const struct {
        const char *lower, *upper;
        uint64_t seqno;
        bool want;
    } cases[] = {
        {"b", "d", 9, true},   {"b", "d", 10, false}, {"b", "f", 9, true},  {"b", "f", 15, false},
        {"d", "f", 15, true},  {"a", "d", 1, false},  {"c", "g", 1, false}, {"f", "h", 1, false},
        {"h", "zz", 29, true}, {"g", "i", 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(firn_plan_covered(t, 3, firn_slice_str(cases[i].lower),
                                           firn_slice_str(cases[i].upper), cases[i].seqno),
                         cases[i].want);
    assert_false(firn_plan_covered(t, 0, firn_slice_str("a"), firn_slice_str("b"), 0));
}

/* While expired events are asked for, nothing that is to be told of is dropped. */
static void test_expired(void **state)
{
    (void)state;
    Firn__Manifest *m = manifest(false);
    m->log_time_ms = 500;
    m->expired_to_ms = 300;
    assert_int_equal(firn_plan_expired_before(m), 500);
    assert_int_equal(firn_pb_set_string(&m->settings->notify_keyspace_events, "Ex"), FIRN_OK);
    assert_int_equal(firn_plan_expired_before(m), 300);
    firn_pb_manifest_free(m);
}

/* The only table of the newest run: n of its 100 entries expire, between min and max. */
static Firn__Table *expiring(Firn__Partition *p, uint64_t n, uint64_t min, uint64_t max)
{
    add_run(p, 10 * MB);
    Firn__Table *t = p->runs[p->n_runs - 1]->tables[0];
    t->entries = 100;
    t->expiring = n;
    t->min_expiry_ms = min;
    t->max_expiry_ms = max;
    return t;
}

/* What has expired is reason enough for a job, without anything new. */
static void test_garbage(void **state)
{
    (void)state;
    static const struct {
        uint64_t expiring, min, max, tombstones;
        bool want;
    } cases[] = {
        {0, 0, 0, 0, false},       {100, 100, 400, 0, true}, {50, 100, 400, 0, true},
        {49, 100, 400, 0, false},  {100, 100, 899, 0, true}, {100, 100, 920, 0, false},
        {100, 500, 900, 0, false}, {0, 0, 0, 25, true},      {0, 0, 0, 24, false},
        {20, 100, 400, 15, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Firn__Manifest *m = manifest(true);
        m->log_time_ms = 500;
        (void)expiring(m->partitions[0], 0, 0, 0); /* a partition without garbage before it */
        Firn__Table *t = expiring(m->partitions[1], cases[i].expiring, cases[i].min, cases[i].max);
        t->tombstones = cases[i].tombstones;
        struct firn_plan p = {0};
        assert_int_equal(firn_plan_choose(m, &standard, &p) == FIRN_OK, cases[i].want);
        if (cases[i].want) {
            assert_int_equal(p.partition, 1);
            assert_true(p.bottom && p.runs == 1 && p.nl0 == 0 && p.bytes == 10 * MB);
        }
        firn_plan_clear(&p);
        firn_pb_manifest_free(m);
    }
}

/* Such a job takes all runs and what is pending of L0; L0 that has grown too long comes first; and
 * what events are still owed for is no garbage. */
static void test_garbage_and_the_rest(void **state)
{
    (void)state;
    struct firn_plan p;
    Firn__Manifest *m = manifest(false);
    m->log_time_ms = 500;
    (void)expiring(m->partitions[0], 100, 100, 400);
    add_run(m->partitions[0], 1000 * MB);
    add_l0(m,
           "\x10"
           "a",
           "\x10z", 1000);
    assert_int_equal(firn_plan_choose(m, &standard, &p), FIRN_OK);
    assert_true(p.bottom && p.runs == 2 && p.nl0 == 1);
    firn_plan_clear(&p);
    for (size_t i = 1; i < standard.l0_force_tables; i++)
        add_l0(m,
               "\x10"
               "a",
               "\x10z", 1000);
    assert_int_equal(firn_plan_choose(m, &standard, &p), FIRN_OK);
    assert_int_equal(p.runs, 0);
    firn_plan_clear(&p);
    while (m->n_l0)
        firn_pb_table_free(firn_pb_remove(m->l0, &m->n_l0, 0));
    assert_int_equal(firn_pb_set_string(&m->settings->notify_keyspace_events, "Ex"), FIRN_OK);
    m->expired_to_ms = 100;
    assert_int_equal(choose(m, &standard), FIRN_ABSENT);
    m->expired_to_ms = 400;
    assert_int_equal(choose(m, &standard), FIRN_OK);
    firn_pb_manifest_free(m);
}

/* Only a table without anything that stays, or hides something, goes unread. */
static void test_all_expired(void **state)
{
    (void)state;
    Firn__Manifest *m = manifest(false);
    Firn__Table *t = expiring(m->partitions[0], 100, 100, 400);
    m->log_time_ms = 401;
    assert_true(firn_plan_expired(m, t));
    m->log_time_ms = 400;
    assert_false(firn_plan_expired(m, t));
    m->log_time_ms = 401;
    t->range_tombstones = 1;
    assert_false(firn_plan_expired(m, t));
    t->range_tombstones = 0;
    t->expiring = 99;
    assert_false(firn_plan_expired(m, t));
    firn_pb_manifest_free(m);
}

/* Where fewer inputs may be merged than there are the oldest flushes go first, whole. */
static void test_inputs_max(void **state)
{
    (void)state;
    Firn__Manifest *m = manifest(false);
    for (size_t i = 0; i < 8; i++)
        add_l0(m, "\x10\x61", "\x10\x62", MB);
    m->l0[1]->end->slot = m->l0[2]->end->slot = m->l0[3]->end->slot; /* one flush */
    for (size_t i = 0; i < 2; i++)
        add_run(m->partitions[0], MB);
    static const size_t tables[] = {8, 1, 1, 1, 2, 3, 4, 7, 8, 8};
    struct firn_plan_options o = standard;
    for (o.inputs_max = 0; o.inputs_max < 10; o.inputs_max++) {
        struct firn_plan p;
        assert_int_equal(firn_plan_choose(m, &o, &p), FIRN_OK);
        assert_int_equal(p.nl0, tables[o.inputs_max]);
        assert_ptr_equal(p.l0[p.nl0 - 1], m->l0[7]);
        assert_int_equal(p.runs, 2);
        assert_int_equal(p.l0_bytes, p.nl0 * MB);
        assert_int_equal(p.bytes, (p.nl0 + 2) * MB);
        firn_plan_clear(&p);
    }
    firn_pb_manifest_free(m);
}

static uint64_t left_in(const void *bytes, size_t run)
{
    return ((const uint64_t *)bytes)[run];
}

/* A run that was too large for the job comes in once most of it is covered, but never with more
 * inputs left to read than may be merged. */
static void test_runs_left(void **state)
{
    (void)state;
    Firn__Manifest *m = manifest(false);
    for (size_t i = 0; i < 8; i++)
        add_l0(m, "\x10\x61", "\x10\x62", MB);
    add_run(m->partitions[0], MB);
    add_run(m->partitions[0], 100 * MB);
    add_run(m->partitions[0], 100 * MB);
    struct firn_plan_options o = standard;
    struct firn_plan p;
    o.inputs_max = 5;
    assert_int_equal(firn_plan_choose(m, &o, &p), FIRN_OK);
    assert_int_equal(p.nl0, 4);
    assert_int_equal(p.runs, 1);
    assert_int_equal(p.inputs_max, 5);
    static const struct {
        uint64_t left[3];
        size_t flushes, runs;
    } of[] = {
        {{MB, 100 * MB, 100 * MB}, 4, 1}, /* nothing is covered */
        {{MB, MB, MB}, 4, 1},             /* both would be too many, */
        {{MB, MB, MB}, 3, 2},             /* one of them */
        {{MB, MB, MB}, 2, 3},             /* or none */
        {{MB, 0, MB}, 4, 2},              /* what is covered whole takes no room */
        {{MB, 0, 0}, 4, 3},
        {{0, MB, 0}, 4, 3},
        {{MB, MB, 0}, 4, 1},      /* a run is never taken without the newer ones */
        {{MB, MB, MB}, 9, 1},     /* those of the plan stay */
        {{100 * MB, 0, 0}, 4, 0}, /* unless they are not worth it */
    };
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++)
        assert_int_equal(firn_plan_runs_left(&p, of[i].flushes, 3, left_in, of[i].left),
                         of[i].runs);
    p.inputs_max = 0;
    assert_int_equal(firn_plan_runs_left(&p, 9, 3, left_in, of[1].left), 3);
    firn_plan_clear(&p);
    firn_pb_manifest_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_when),        cmocka_unit_test(test_partition),
        cmocka_unit_test(test_runs),        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_covered),     cmocka_unit_test(test_expired),
        cmocka_unit_test(test_garbage),     cmocka_unit_test(test_garbage_and_the_rest),
        cmocka_unit_test(test_all_expired), cmocka_unit_test(test_inputs_max),
        cmocka_unit_test(test_runs_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
