/* Replies in both versions of the protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "resp/command.h"
#include "resp/reply.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void check(struct firn_reply *r, const char *want)
{
    assert_false(r->failed);
    assert_int_equal(r->buf.len, strlen(want));
    assert_memory_equal(r->buf.data, want, strlen(want));
    r->buf.len = 0;
}

static void version2(void **state)
{
    (void)state;
    struct firn_reply r;
    firn_reply_init(&r, 1 << 20, 2);
    firn_reply_simple(&r, "PONG");
    firn_reply_ok(&r);
    firn_reply_i64(&r, 0);
    firn_reply_i64(&r, -1);
    firn_reply_i64(&r, INT64_MIN);
    check(&r, "+PONG\r\n+OK\r\n:0\r\n:-1\r\n:-9223372036854775808\r\n");
    firn_reply_bulk(&r, firn_slice_of("a\0b", 3));
    assert_memory_equal(r.buf.data, "$3\r\na\0b\r\n", 9);
    r.buf.len = 0;
    firn_reply_bulk(&r, firn_slice_of(NULL, 0));
    firn_reply_str(&r, "xyz");
    firn_reply_bulk_u64(&r, UINT64_MAX);
    firn_reply_bulk_printf(&r, "%d-%s", 7, "x");
    check(&r, "$0\r\n\r\n$3\r\nxyz\r\n$20\r\n18446744073709551615\r\n$3\r\n7-x\r\n");
    firn_reply_null(&r);
    firn_reply_null_array(&r);
    firn_reply_array(&r, 12);
    firn_reply_map(&r, 2);
    firn_reply_set(&r, 3);
    firn_reply_push(&r, 1);
    check(&r, "$-1\r\n*-1\r\n*12\r\n*4\r\n*3\r\n*1\r\n");
    firn_reply_double(&r, 3.5);
    firn_reply_double(&r, INFINITY);
    firn_reply_bool(&r, true);
    firn_reply_verbatim(&r, "txt", firn_slice_str("hi"));
    firn_reply_bignum(&r, "123");
    check(&r, "$3\r\n3.5\r\n$3\r\ninf\r\n:1\r\n$2\r\nhi\r\n$3\r\n123\r\n");
    firn_reply_clear(&r);
}

static void version3(void **state)
{
    (void)state;
    struct firn_reply r;
    firn_reply_init(&r, 1 << 20, 3);
    firn_reply_null(&r);
    firn_reply_null_array(&r);
    firn_reply_map(&r, 2);
    firn_reply_set(&r, 3);
    firn_reply_push(&r, 1);
    check(&r, "_\r\n_\r\n%2\r\n~3\r\n>1\r\n");
    firn_reply_double(&r, 0.1);
    firn_reply_double(&r, 1e300);
    firn_reply_double(&r, -INFINITY);
    firn_reply_double(&r, (double)NAN);
    firn_reply_bool(&r, true);
    firn_reply_bool(&r, false);
    firn_reply_verbatim(&r, "txt", firn_slice_str("hi"));
    firn_reply_bignum(&r, "123");
    check(&r, ",0.1\r\n,1e+300\r\n,-inf\r\n,nan\r\n#t\r\n#f\r\n=6\r\ntxt:hi\r\n(123\r\n");
    firn_reply_clear(&r);
}

static void errors(void **state)
{
    (void)state;
    struct firn_error_stats stats = {0};
    struct firn_reply r;
    firn_reply_init(&r, 1 << 20, 2);
    r.stats = &stats;
    firn_reply_error(&r, "ERR a\r\nb '%s'", "\n");
    firn_reply_error(&r, "ERR again");
    firn_reply_error(&r, "WRONGTYPE");
    assert_int_equal(r.errors, 3);
    check(&r, "-ERR a  b ' '\r\n-ERR again\r\n-WRONGTYPE\r\n");
    assert_int_equal(stats.total, 3);
    assert_int_equal(stats.n, 2);
    assert_string_equal(stats.kind[0].word, "ERR");
    assert_int_equal(stats.kind[0].count, 2);
    for (int i = 0; i < 200; i++)
        firn_reply_error(&r, "E%d x", i);
    assert_int_equal(stats.n, FIRN_ERROR_KINDS);
    assert_string_equal(stats.kind[FIRN_ERROR_KINDS - 1].word, "ERRORSTATS_OVERFLOW");
    uint64_t sum = 0;
    for (size_t i = 0; i < stats.n; i++)
        sum += stats.kind[i].count;
    assert_int_equal(sum, stats.total);
    firn_reply_clear(&r);
}

static void deferred(void **state)
{
    (void)state;
    struct firn_reply r;
    firn_reply_init(&r, 1 << 20, 2);
    size_t outer = firn_reply_defer_array(&r);
    firn_reply_i64(&r, 1);
    size_t inner = firn_reply_defer_array(&r);
    firn_reply_i64(&r, 2);
    firn_reply_i64(&r, 3);
    firn_reply_fill_array(&r, inner, 2);
    firn_reply_fill_array(&r, outer, 2);
    check(&r, "*2\r\n:1\r\n*2\r\n:2\r\n:3\r\n");
    firn_reply_clear(&r);
}

static void bounded(void **state)
{
    (void)state;
    struct firn_reply r;
    firn_reply_init(&r, 100, 2);
    assert_null(firn_reply_bulk_space(&r, SIZE_MAX));
    assert_true(r.failed);
    firn_reply_clear(&r);
    char big[200] = {0};
    firn_reply_ok(&r);
    firn_reply_bulk(&r, firn_slice_of(big, sizeof big));
    assert_true(r.failed);
    assert_int_equal(r.buf.len, 5);
    firn_reply_ok(&r); /* nothing follows a failure */
    assert_int_equal(r.buf.len, 5);
    firn_reply_clear(&r);
}

static void digits(void **state)
{
    (void)state;
    static const uint64_t values[] = {0,   9,    10,    99,         100,       101,
                                      999, 1000, 12345, 4294967296, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char got[24], want[24];
        size_t n = firn_format_u64(got, values[i]);
        int m = snprintf(want, sizeof want, "%llu", (unsigned long long)values[i]);
        assert_int_equal(n, m);
        assert_memory_equal(got, want, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version2), cmocka_unit_test(version3), cmocka_unit_test(errors),
        cmocka_unit_test(deferred), cmocka_unit_test(bounded),  cmocka_unit_test(digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
