/* Filters: nothing in them is ever denied; false positives stay near what the bits promise. */
#include "base/hash.h"
#include "base/mem.h"
#include "format/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#define KEYS 100000

static uint64_t hash_of(uint64_t i)
{
    char key[32];
    int n = snprintf(key, sizeof key, "\x10key-%llu", (unsigned long long)i);
    return firn_xxh3(key, (size_t)n);
}

/* False positives in 100,000 questions. */
static unsigned false_positives(unsigned bits, size_t keys)
{
    uint64_t *hash = malloc(keys * sizeof *hash);
    struct firn_buf out;
    struct firn_filter f;
    firn_buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < keys; i++)
        hash[i] = hash_of(i);
    assert_int_equal(firn_filter_build(hash, keys, bits, &out), FIRN_OK);
    assert_true(out.len <= keys * bits / 8 + FIRN_FILTER_LINE_BYTES + FIRN_FILTER_HEADER_BYTES);
    assert_int_equal(firn_filter_open(firn_buf_slice(&out), &f), FIRN_OK);
    for (size_t i = 0; i < keys; i++)
        assert_true(firn_filter_may_have(&f, hash[i]));
    unsigned wrong = 0;
    for (uint64_t i = 0; i < 100000; i++)
        wrong += firn_filter_may_have(&f, hash_of(1000000000 + i));
    firn_buf_clear(&out);
    free(hash);
    return wrong;
}

static void test_rates(void **state)
{
    (void)state;
    assert_true(false_positives(16, KEYS) < 200); /* 0.2 % */
    assert_true(false_positives(10, KEYS) < 1400);
    assert_true(false_positives(8, KEYS) < 3000);
    assert_true(false_positives(1, KEYS) > 100); /* the measure measures */
    assert_true(false_positives(64, 3) < 50);
}

static void test_none(void **state)
{
    (void)state;
    struct firn_filter none = {0};
    assert_true(firn_filter_may_have(&none, 7));
}

static void test_damage(void **state)
{
    (void)state;
    uint64_t h = 1;
    struct firn_buf out;
    struct firn_filter f;
    firn_buf_init(&out, SIZE_MAX);
    assert_int_equal(firn_filter_build(&h, 1, 10, &out), FIRN_OK);
    for (size_t n = 0; n < out.len; n++)
        assert_int_equal(firn_filter_open(firn_slice_of(out.data, n), &f), FIRN_CORRUPT);
    static const struct {
        size_t at;
        uint8_t value;
        enum firn_status want;
    } bad[] = {{0, 2, FIRN_INVALID}, {1, 0, FIRN_CORRUPT}, {1, 17, FIRN_CORRUPT},
               {2, 1, FIRN_CORRUPT}, {4, 0, FIRN_CORRUPT}, {7, 0x80, FIRN_CORRUPT}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t was = out.data[bad[i].at];
        out.data[bad[i].at] = bad[i].value;
        assert_int_equal(firn_filter_open(firn_buf_slice(&out), &f), bad[i].want);
        out.data[bad[i].at] = was;
    }
    firn_buf_clear(&out);
    (void)firn_mem_fail_at(1, 0);
    assert_int_equal(firn_filter_build(&h, 1, 10, &out), FIRN_LIMIT);
    (void)firn_mem_fail_at(0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
