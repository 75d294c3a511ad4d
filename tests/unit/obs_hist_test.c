/* Histograms: error bound, quantiles, merge, cumulative counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "obs/hist.h"

#include <stdlib.h>

static void error_is_within_two_percent(void **state)
{
    (void)state;
    for (uint64_t v = 1; v < (UINT64_C(1) << 41); v += v / 7 + 1) {
        struct firn_hist *h = calloc(1, sizeof *h);
        assert_non_null(h);
        firn_hist_add(h, 0); /* so that min and max do not pin the answer */
        firn_hist_add(h, v);
        firn_hist_add(h, v);
        firn_hist_add(h, UINT64_C(1) << 41);
        uint64_t got = firn_hist_quantile(h, 0.6);
        uint64_t diff = got > v ? got - v : v - got;
        assert_true(diff * 50 <= v);
        free(h);
    }
}

static void quantiles_of_a_known_set(void **state)
{
    (void)state;
    struct firn_hist *h = calloc(1, sizeof *h);
    assert_non_null(h);
    assert_int_equal(firn_hist_quantile(h, 0.5), 0);
    for (uint64_t v = 1; v <= 10; v++)
        firn_hist_add(h, v);
    assert_int_equal(firn_hist_quantile(h, 0), 1);
    assert_int_equal(firn_hist_quantile(h, 0.1), 1);
    assert_int_equal(firn_hist_quantile(h, 0.11), 2);
    assert_int_equal(firn_hist_quantile(h, 0.5), 5);
    assert_int_equal(firn_hist_quantile(h, 0.99), 10);
    assert_int_equal(firn_hist_quantile(h, 1), 10);
    assert_int_equal(firn_hist_mean(h), 5);
    assert_int_equal(h->sum, 55);
    free(h);
}

static void huge_values_are_clamped_in_buckets_only(void **state)
{
    (void)state;
    struct firn_hist *h = calloc(1, sizeof *h);
    assert_non_null(h);
    firn_hist_add(h, UINT64_MAX);
    assert_int_equal(h->max, UINT64_MAX);
    assert_int_equal(firn_hist_quantile(h, 0.5), UINT64_MAX);
    assert_int_equal(firn_hist_count_le(h, UINT64_MAX), 1);
    assert_int_equal(firn_hist_count_le(h, 1000), 0);
    free(h);
}

static void merge_equals_adding_to_one(void **state)
{
    (void)state;
    struct firn_hist *a = calloc(3, sizeof *a);
    assert_non_null(a);
    struct firn_hist *b = a + 1, *all = a + 2;
    firn_hist_merge(a, b);
    assert_int_equal(a->count, 0);
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 5000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17; /* xorshift64, Marsaglia */
        uint64_t v = x >> (20 + x % 40);
        firn_hist_add(i % 3 ? a : b, v);
        firn_hist_add(all, v);
    }
    firn_hist_merge(a, b);
    assert_memory_equal(a, all, sizeof *a);
    free(a);
}

static void cumulative_counts(void **state)
{
    (void)state;
    struct firn_hist *h = calloc(1, sizeof *h);
    assert_non_null(h);
    for (uint64_t v = 0; v < 100000; v += 10)
        firn_hist_add(h, v);
    uint64_t before = 0;
    for (uint64_t bound = 0; bound < 120000; bound += 777) {
        uint64_t exact = bound < 100000 ? bound / 10 + 1 : 10000;
        uint64_t got = firn_hist_count_le(h, bound);
        assert_true(got >= exact && got <= exact + exact / 30 + 1);
        assert_true(got >= before);
        before = got;
    }
    assert_int_equal(firn_hist_count_le(h, 99990), 10000);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_is_within_two_percent),
        cmocka_unit_test(quantiles_of_a_known_set),
        cmocka_unit_test(huge_values_are_clamped_in_buckets_only),
        cmocka_unit_test(merge_equals_adding_to_one),
        cmocka_unit_test(cumulative_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
