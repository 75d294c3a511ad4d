/* The value of a DEDUP record: what is written is read, anything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "format/dedup.h"

static void round_trip(void **state)
{
    (void)state;
    static uint8_t long_results[FIRN_DEDUP_RESULTS_MAX + 1];
    uint8_t value[FIRN_DEDUP_MAX];
    struct firn_dedup got, d = {.request = 0x0123456789abcdef, .held = true, .kept = true};
    d.results = firn_slice_str("*1\r\n:1\r\n");
    size_t len = firn_dedup_encode(&d, value);
    static const uint8_t want[] = "\x01\xef\xcd\xab\x89\x67\x45\x23\x01\x03*1\r\n:1\r\n";
    assert_int_equal(len, sizeof want - 1);
    assert_memory_equal(value, want, len);
    assert_int_equal(firn_dedup_decode(firn_slice_of(value, len), &got), FIRN_OK);
    assert_true(got.request == d.request && got.held && got.kept);
    assert_true(firn_slice_eq(got.results, d.results));
    d.results = firn_slice_of(long_results, FIRN_DEDUP_RESULTS_MAX);
    assert_int_equal(firn_dedup_encode(&d, value), FIRN_DEDUP_MAX);
    d.results.len++;
    len = firn_dedup_encode(&d, value);
    assert_int_equal(firn_dedup_decode(firn_slice_of(value, len), &got), FIRN_OK);
    assert_true(got.held && !got.kept && got.results.len == 0);
}

static void refuses_what_is_none(void **state)
{
    (void)state;
    uint8_t value[FIRN_DEDUP_MAX + 1] = {1};
    struct firn_dedup d;
    for (size_t len = 0; len < 10; len++)
        assert_int_equal(firn_dedup_decode(firn_slice_of(value, len), &d), FIRN_CORRUPT);
    assert_int_equal(firn_dedup_decode(firn_slice_of(value, 10), &d), FIRN_OK);
    assert_int_equal(firn_dedup_decode(firn_slice_of(value, 11), &d), FIRN_CORRUPT);
    value[9] = 2;
    assert_int_equal(firn_dedup_decode(firn_slice_of(value, sizeof value), &d), FIRN_CORRUPT);
    value[9] = 4;
    assert_int_equal(firn_dedup_decode(firn_slice_of(value, 10), &d), FIRN_CORRUPT);
    value[0] = 2;
    assert_int_equal(firn_dedup_decode(firn_slice_of(value, 10), &d), FIRN_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(refuses_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
