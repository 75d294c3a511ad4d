#include "base/hash.h"
#include "base/mem.h"
#include "format/record.h"
#include "lsm/memtable.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>

static struct firn_slice S(const char *s) {
    return firn_slice_str(s);
}

static enum firn_status
put(struct firn_memtable *m, const char *key, const char *value, uint64_t seqno)
{
    struct firn_entry e = {
        .key = S(key), .value = S(value), .seqno = seqno, .kind = FIRN_RECORD_PUT};
    return firn_memtable_add(m, &e);
}

static enum firn_status get(const struct firn_memtable *m, const char *key, uint64_t max_seqno,
                            struct firn_entry *out, uint64_t *covering)
{
    *covering = 0;
    return firn_memtable_get(m, S(key), firn_xxh3(key, strlen(key)), max_seqno, out, covering);
}

static struct firn_memtable *make(void)
{
    struct firn_memtable *m = NULL;
    assert_int_equal(firn_memtable_create(&m), FIRN_OK);
    return m;
}

static void versions_are_chosen_by_seqno(void **state)
{
    (void)state;
    struct firn_memtable *m = make();
    struct firn_entry e;
    uint64_t covering;
    assert_int_equal(get(m, "a", UINT64_MAX, &e, &covering), FIRN_ABSENT);
    assert_int_equal(put(m, "a", "one", 5), FIRN_OK);
    assert_int_equal(put(m, "a", "three", 9), FIRN_OK);
    assert_int_equal(put(m, "a", "late", 8), FIRN_INVALID);
    assert_int_equal(get(m, "a", 4, &e, &covering), FIRN_ABSENT);
    assert_int_equal(get(m, "a", 8, &e, &covering), FIRN_OK);
    assert_true(firn_slice_eq(e.value, S("one")) && e.seqno == 5);
    assert_int_equal(get(m, "a", 9, &e, &covering), FIRN_OK);
    assert_true(firn_slice_eq(e.value, S("three")) && firn_slice_eq(e.key, S("a")));
    assert_int_equal(firn_memtable_entries(m), 2);
    struct firn_entry r = {.key = S("b"), .kind = FIRN_RECORD_RANGEDEL};
    assert_int_equal(firn_memtable_add(m, &r), FIRN_INVALID);
    firn_memtable_unref(m);
}

static void a_range_covers_what_is_older_at_each_seqno(void **state)
{
    (void)state;
    struct firn_memtable *m = make();
    struct firn_entry e;
    uint64_t covering;
    assert_int_equal(firn_memtable_add_range(m, S("b"), S("f"), 10), FIRN_OK);
    assert_int_equal(firn_memtable_add_range(m, S("c"), S("c"), 11), FIRN_OK); /* empty */
    assert_int_equal(firn_memtable_add_range(m, S("d"), S(""), 20), FIRN_OK);
    assert_int_equal(firn_memtable_add_range(m, S(""), S("c"), 30), FIRN_OK);
    assert_int_equal(firn_memtable_add_range(m, S("a"), S("b"), 29), FIRN_INVALID);
    static const struct {
        const char *key;
        uint64_t max_seqno, covering;
    } t[] = {{"b", 9, 0},   {"b", 10, 10},   {"b", 30, 30}, {"a", 29, 0},   {"a", 30, 30},
             {"c", 99, 10}, {"d", 19, 10},   {"d", 20, 20}, {"ez", 99, 20}, {"f", 19, 0},
             {"f", 20, 20}, {"zzz", 99, 20}, {"", 99, 30}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        assert_int_equal(get(m, t[i].key, t[i].max_seqno, &e, &covering), FIRN_ABSENT);
        assert_int_equal(covering, t[i].covering);
    }
    covering = 40;
    assert_int_equal(firn_memtable_get(m, S("b"), firn_xxh3("b", 1), 99, &e, &covering),
                     FIRN_ABSENT);
    assert_int_equal(covering, 40);
    firn_memtable_unref(m);
}

static void below_the_horizon_a_newer_range_swallows_older_ones(void **state)
{
    (void)state;
    struct firn_memtable *m = make();
    const struct firn_range_tomb *t;
    char a[8], b[8];
    for (unsigned i = 0; i < 200; i++) {
        snprintf(a, sizeof a, "k%03u", i * 2);
        snprintf(b, sizeof b, "k%03u", i * 2 + 1);
        assert_int_equal(firn_memtable_add_range(m, S(a), S(b), i + 1), FIRN_OK);
    }
    assert_int_equal(firn_memtable_tombs(m, &t), 200);
    assert_int_equal(firn_memtable_add_range(m, S("k"), S("l"), 300), FIRN_OK);
    assert_int_equal(firn_memtable_tombs(m, &t), 601); /* each twice, and each gap */
    firn_memtable_horizon(m, 300, UINT64_MAX);
    firn_memtable_horizon(m, 7, UINT64_MAX); /* does not go back */
    assert_int_equal(firn_memtable_add_range(m, S("k"), S("l"), 400), FIRN_OK);
    assert_int_equal(firn_memtable_tombs(m, &t), 2);
    assert_true(firn_slice_eq(t[0].start, S("k")) && firn_slice_eq(t[0].end, S("l")));
    assert_true(t[0].seqno == 400 && t[1].seqno == 300);
    firn_memtable_unref(m);
}

static void ranges_that_no_read_tells_apart_become_one(void **state)
{
    (void)state;
    struct firn_memtable *m = make();
    const struct firn_range_tomb *t;
    /* After each insert: how many are left, and which reads at 100, 300 and the end see. */
    static const struct {
        uint64_t low, high, seqno;
        size_t left;
        uint64_t at_100, at_300;
    } step[] = {
        {100, 100, 80, 1, 80, 80},   {100, 100, 90, 1, 90, 90},   /* no read lies below 100 */
        {100, 100, 110, 2, 90, 110}, {100, 100, 120, 2, 90, 120}, /* nor in the open batch */
        {100, 300, 310, 3, 90, 120}, {100, 300, 320, 3, 90, 120}, /* its end became one */
        {300, 300, 330, 2, 0, 120},                               /* what was read at 100 is over */
    };
    for (size_t i = 0; i < sizeof step / sizeof *step; i++) {
        struct firn_range_tomb c = {.seqno = 0};
        firn_memtable_horizon(m, step[i].low, step[i].high);
        assert_int_equal(firn_memtable_add_range(m, S("a"), S("z"), step[i].seqno), FIRN_OK);
        assert_int_equal(firn_memtable_tombs(m, &t), step[i].left);
        assert_int_equal(t[0].seqno, step[i].seqno);
        (void)!firn_memtable_covering(m, S("k"), 100, &c);
        assert_int_equal(c.seqno, step[i].at_100);
        assert_int_equal(firn_memtable_covering(m, S("k"), 300, &c), FIRN_OK);
        assert_int_equal(c.seqno, step[i].at_300);
    }
    firn_memtable_unref(m);
}

static void an_iterator_survives_inserts(void **state)
{
    (void)state;
    struct firn_memtable *m = make();
    char key[16];
    for (unsigned i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "key%05u", i * 10);
        assert_int_equal(put(m, key, "v", i), FIRN_OK);
    }
    struct firn_memtable_iter it, other;
    struct firn_entry e;
    for (int reverse = 0; reverse < 2; reverse++) {
        assert_int_equal(firn_memtable_iter_init(&it, m, 499, reverse), FIRN_OK);
        firn_memtable_iter_seek(&it, S(""));
        for (unsigned i = 0; i < 500; i++) {
            snprintf(key, sizeof key, "key%05u", (reverse ? 499 - i : i) * 10);
            assert_true(firn_memtable_iter_get(&it, &e) && firn_slice_eq(e.key, S(key)));
            snprintf(key, sizeof key, "key%05u", i * 10 + 1 + (unsigned)reverse);
            assert_int_equal(put(m, key, "new", 1000 + i), FIRN_OK);
            assert_int_equal(firn_memtable_iter_init(&other, m, 499, false), FIRN_OK);
            firn_memtable_iter_next(&it);
        }
        assert_false(firn_memtable_iter_get(&it, &e));
        firn_memtable_iter_next(&it);
        assert_false(firn_memtable_iter_get(&it, &e));
    }
    assert_int_equal(firn_memtable_freeze(m), FIRN_OK);
    assert_true(firn_memtable_frozen(m));
    firn_memtable_unref(m);
}

static void the_log_range_is_kept(void **state)
{
    (void)state;
    struct firn_memtable *m = make();
    struct firn_place first = {0, 0}, last = {0, 0};
    assert_false(firn_memtable_range(m, &first, &last));
    firn_memtable_place(m, (struct firn_place){1, 7});
    firn_memtable_place(m, (struct firn_place){2, 0});
    assert_true(firn_memtable_range(m, &first, &last));
    assert_true(first.epoch == 1 && first.slot == 7 && last.epoch == 2 && last.slot == 0);
    firn_memtable_unref(m);
}

static void live_keys_are_estimated(void **state)
{
    (void)state;
    struct firn_memtable *m = make();
    char key[16];
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(key, sizeof key, "key%05u", i);
        assert_int_equal(put(m, key, "v", i), FIRN_OK);
    }
    struct firn_entry del = {.key = S("elsewhere"), .kind = FIRN_RECORD_DEL, .seqno = 20000};
    assert_int_equal(firn_memtable_add(m, &del), FIRN_OK);
    del.key = S("key00007");
    assert_int_equal(firn_memtable_add(m, &del), FIRN_OK);
    assert_int_equal(firn_memtable_live(m, S(""), S("")), 9998);
    int64_t half = firn_memtable_live(m, S("key05000"), S(""));
    assert_true(half > 4000 && half < 6000);
    assert_int_equal(firn_memtable_live(m, S("x"), S("")), 0);
    assert_int_equal(firn_memtable_add_range(m, S(""), S(""), 30000), FIRN_OK);
    assert_int_equal(firn_memtable_live(m, S(""), S("")), 0);
    firn_memtable_unref(m);
}

/* Keys chosen so that hashes share their high bits grow one segment only and are still found. */
static void colliding_hashes_are_found(void **state)
{
    (void)state;
    struct firn_memtable *m = make();
    char key[24];
    unsigned n = 0;
    for (unsigned i = 0; n < 3000; i++) {
        snprintf(key, sizeof key, "c%u", i);
        if (firn_xxh3(key, strlen(key)) >> 57 == 0x55) {
            assert_int_equal(put(m, key, key, i), FIRN_OK);
            n++;
        }
    }
    struct firn_entry e;
    uint64_t covering;
    for (unsigned i = 0; n > 0; i++) {
        snprintf(key, sizeof key, "c%u", i);
        if (firn_xxh3(key, strlen(key)) >> 57 == 0x55) {
            assert_int_equal(get(m, key, UINT64_MAX, &e, &covering), FIRN_OK);
            assert_true(firn_slice_eq(e.value, S(key)));
            n--;
        }
    }
    assert_true(firn_memtable_bytes(m) < 2000000);
    firn_memtable_unref(m);
}

/* Let every n-th allocation fail in turn: what was refused is not there, what was taken is. */
static void short_memory_loses_nothing(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 60; n++) {
        struct firn_memtable *m = NULL;
        firn_mem_fail_at(n, 0);
        enum firn_status st = firn_memtable_create(&m);
        if (st != FIRN_OK) {
            assert_int_equal(st, FIRN_LIMIT);
            firn_mem_fail_at(0, 0);
            continue;
        }
        char key[16];
        bool in[4000] = {0};
        uint64_t seqno = 0;
        for (unsigned i = 0; i < 4000; i++) {
            snprintf(key, sizeof key, "%u", i * 7919 % 4000);
            in[i * 7919 % 4000] = put(m, key, key, seqno++) == FIRN_OK;
            if (i % 500 == 499 && firn_memtable_add_range(m, S("x"), S(key), seqno++) != FIRN_OK)
                assert_true(n > 1);
        }
        struct firn_memtable_iter it;
        while (firn_memtable_iter_init(&it, m, UINT64_MAX, false) != FIRN_OK)
            ;
        firn_mem_fail_at(0, 0);
        firn_memtable_iter_seek(&it, S(""));
        struct firn_entry e;
        unsigned seen = 0, expected = 0;
        for (; firn_memtable_iter_get(&it, &e); firn_memtable_iter_next(&it))
            seen++;
        for (unsigned i = 0; i < 4000; i++) {
            uint64_t covering;
            snprintf(key, sizeof key, "%u", i);
            assert_int_equal(get(m, key, UINT64_MAX, &e, &covering), in[i] ? FIRN_OK : FIRN_ABSENT);
            expected += in[i];
        }
        assert_int_equal(seen, expected);
        firn_memtable_unref(m);
    }
}

/* Bytes of a memtable per byte of the log, times 100, for `n` records of such keys and values, of
 * which `versions` follow each other for each key. */
static uint64_t cost_of(uint64_t n, uint64_t versions, size_t key_len, size_t value_len)
{
    struct firn_memtable *m = make();
    uint8_t key[64] = {0x10}, *value = firn_calloc(1, value_len + 1);
    uint64_t raw = 0;
    assert_non_null(value);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t id = i / versions * UINT64_C(0x9e3779b97f4a7c15);
        memcpy(key + 1, &id, sizeof id);
        struct firn_record r = {.key = firn_slice_of(key, 1 + key_len),
                                .value = firn_slice_of(value, value_len),
                                .kind = FIRN_RECORD_PUT};
        struct firn_entry e = {.key = r.key, .value = r.value, .seqno = i + 1, .kind = r.kind};
        assert_int_equal(firn_memtable_add(m, &e), FIRN_OK);
        raw += firn_record_size(&r);
    }
    assert_int_equal(firn_memtable_freeze(m), FIRN_OK);
    uint64_t cost = firn_memtable_bytes(m) * 100 / raw;
    print_message("%3zu + %7zu bytes, %2" PRIu64 " versions: %" PRIu64 " %%\n", key_len, value_len,
                  versions, cost);
    firn_memtable_unref(m);
    firn_free(value);
    return cost;
}

/* What engine/memory.c and OPERATIONS "Memory" say: twice the log, for records of 16 + 100 bytes
 * and larger ones; more for smaller ones. */
static void memory_per_byte_of_the_log(void **state)
{
    (void)state;
    assert_in_range(cost_of(200000, 1, 16, 100), 100, 200);
    assert_in_range(cost_of(200000, 10, 16, 100), 100, 200);
    assert_in_range(cost_of(20000, 1, 32, 4000), 100, 110);
    assert_in_range(cost_of(64, 1, 16, 1 << 20), 100, 110);
    assert_in_range(cost_of(400000, 1, 8, 8), 200, 700);
    assert_in_range(cost_of(400000, 10, 8, 8), 200, 700);
    assert_in_range(cost_of(400000, 1, 8, 0), 200, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_are_chosen_by_seqno),
        cmocka_unit_test(a_range_covers_what_is_older_at_each_seqno),
        cmocka_unit_test(below_the_horizon_a_newer_range_swallows_older_ones),
        cmocka_unit_test(ranges_that_no_read_tells_apart_become_one),
        cmocka_unit_test(an_iterator_survives_inserts),
        cmocka_unit_test(the_log_range_is_kept),
        cmocka_unit_test(live_keys_are_estimated),
        cmocka_unit_test(colliding_hashes_are_found),
        cmocka_unit_test(short_memory_loses_nothing),
        cmocka_unit_test(memory_per_byte_of_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
