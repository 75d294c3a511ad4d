/* Requests, whole and in pieces cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "resp/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct firn_parse_limits limits = {
    .args_max = 1000, .bulk_max = 100000, .command_max = 200000, .authenticated = true};
static const struct firn_parse_limits stranger = {
    .args_max = 1000, .bulk_max = 100000, .command_max = 200000, .authenticated = false};

/* Everything the parser says about a stream, as text: "[GET|k]" per command, "!error" at the end.
 */
struct trace {
    char text[4096];
    size_t n;
};

static void note(struct trace *t, const char *s, size_t n)
{
    assert_true(t->n + n < sizeof t->text);
    memcpy(t->text + t->n, s, n);
    t->n += n;
    t->text[t->n] = '\0';
}

static void note_command(struct trace *t, const struct firn_parser *p)
{
    note(t, "[", 1);
    for (size_t i = 0; i < p->argc; i++) {
        if (i)
            note(t, "|", 1);
        note(t, p->argv[i].len ? (const char *)p->argv[i].data : "", p->argv[i].len);
    }
    note(t, "]", 1);
}

/* Feed the stream in pieces of `step` bytes, each time in a fresh copy, so that stale pointers
 * show. */
static void feed(const struct firn_parse_limits *l, const char *stream, size_t len, size_t step,
                 struct trace *t)
{
    struct firn_parser p = {0};
    size_t from = 0, have = 0;
    t->n = 0;
    t->text[0] = '\0';
    while (have < len) {
        have = have + step < len ? have + step : len;
        uint8_t *copy = malloc(have - from + 1);
        assert_non_null(copy);
        memcpy(copy, stream + from, have - from);
        size_t at = 0;
        enum firn_parse r = FIRN_PARSE_COMMAND;
        while (from + at < have &&
               (r = firn_parser_next(&p, l, copy + at, have - from - at)) == FIRN_PARSE_COMMAND) {
            note_command(t, &p);
            assert_true(p.used > 0 && p.used <= have - from - at);
            at += p.used;
        }
        free(copy);
        if (r == FIRN_PARSE_ERROR) {
            note(t, "!", 1);
            note(t, p.error, strlen(p.error));
            break;
        }
        if (from + at < have)
            assert_true(p.need > have - from - at);
        from += at;
    }
    firn_parser_clear(&p);
}

/* The same result however the stream is cut into pieces. */
static void expect_as(const struct firn_parse_limits *l, const char *stream, size_t len,
                      const char *want)
{
    static struct trace t;
    for (size_t step = 1; step <= len; step++) {
        feed(l, stream, len, step, &t);
        assert_string_equal(t.text, want);
    }
}

static void expect(const char *stream, const char *want)
{
    expect_as(&limits, stream, strlen(stream), want);
}

static void multibulk(void **state)
{
    (void)state;
    expect("*1\r\n$4\r\nPING\r\n", "[PING]");
    expect("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nbc\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
           "[SET|k|a\r\nbc][GET|]");
    expect("*0\r\n*-1\r\n*1\r\n$1\r\nx\r\n", "[][][x]");
    expect("*12\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$1\r\ng\r\n"
           "$1\r\nh\r\n$1\r\ni\r\n$1\r\nj\r\n$1\r\nk\r\n$2\r\nlm\r\n",
           "[a|b|c|d|e|f|g|h|i|j|k|lm]");
}

static void inline_requests(void **state)
{
    (void)state;
    expect("PING\r\n", "[PING]");
    expect("PING\n", "[PING]");
    expect("\r\n\n  \r\nget  k \r\n", "[][][][get|k]");
    expect("set k \"a b\\n\\x41\\\"\\q\"\r\n", "[set|k|a b\nA\"q]");
    expect("set k 'a \\' \\n' x\"y z\"'w'\r\n",
           "!ERR Protocol error: unbalanced quotes in request");
    expect("set k 'a \\' \\n' x\"y z\"\r\n", "[set|k|a ' \\n|xy z]");
    expect("set \"\" ''\r\n", "[set||]");
    expect("set \"a\r\n", "!ERR Protocol error: unbalanced quotes in request");
    expect("set \"a\"b\r\n", "!ERR Protocol error: unbalanced quotes in request");
    expect("set 'a\\\r\n", "!ERR Protocol error: unbalanced quotes in request");
    expect("set \"a\\\r\n", "!ERR Protocol error: unbalanced quotes in request");
    expect("get k\r\n*1\r\n$4\r\nPING\r\n", "[get|k][PING]");
}

static void errors(void **state)
{
    (void)state;
    expect("*x\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*1001\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*99999999999999999999\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*01\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*-0\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*1\r\nx3\r\n", "!ERR Protocol error: expected '$', got 'x'");
    expect("*1\r\n$abc\r\n", "!ERR Protocol error: invalid bulk length");
    expect("*1\r\n$-1\r\n", "!ERR Protocol error: invalid bulk length");
    expect("*1\r\n$100001\r\n", "!ERR Protocol error: invalid bulk length");
    expect("*1\r\n$+4\r\n", "!ERR Protocol error: invalid bulk length");
    expect("*1\r\n$4\r\nPING\r\n*1\r\n!", "[PING]!ERR Protocol error: expected '$', got '!'");
}

static void strangers(void **state)
{
    (void)state;
    const char *s = "*11\r\n";
    expect_as(&stranger, s, strlen(s), "!ERR Protocol error: unauthenticated multibulk length");
    s = "*1\r\n$16385\r\n";
    expect_as(&stranger, s, strlen(s), "!ERR Protocol error: unauthenticated bulk length");
    s = "a b c d e f g h i j k\r\n";
    expect_as(&stranger, s, strlen(s), "!ERR Protocol error: unauthenticated multibulk length");
    s = "*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n";
    expect_as(&stranger, s, strlen(s), "[AUTH|x]");
}

static void long_lines(void **state)
{
    (void)state;
    static char line[FIRN_PARSE_LINE_MAX + 2];
    memset(line, 'a', sizeof line);
    struct firn_parser p = {0};
    assert_int_equal(firn_parser_next(&p, &limits, (uint8_t *)line, FIRN_PARSE_LINE_MAX - 1),
                     FIRN_PARSE_MORE);
    assert_int_equal(firn_parser_next(&p, &limits, (uint8_t *)line, FIRN_PARSE_LINE_MAX),
                     FIRN_PARSE_ERROR);
    assert_string_equal(p.error, "ERR Protocol error: too big inline request");
    firn_parser_clear(&p);
    assert_int_equal(firn_parser_next(&p, &stranger, (uint8_t *)line, 16 * 1024), FIRN_PARSE_ERROR);
    firn_parser_clear(&p);
}

static void command_size(void **state)
{
    (void)state;
    struct firn_parse_limits l = {
        .args_max = 10, .bulk_max = 100, .command_max = 60, .authenticated = true};
    const char *s = "*2\r\n$20\r\naaaaaaaaaaaaaaaaaaaa\r\n$40\r\n";
    struct firn_parser p = {0};
    assert_int_equal(firn_parser_next(&p, &l, (const uint8_t *)s, strlen(s)), FIRN_PARSE_ERROR);
    assert_string_equal(p.error, "ERR Protocol error: command exceeds the query buffer limit");
    firn_parser_clear(&p);
    /* need says how much is to come */
    s = "*1\r\n$10\r\nabc";
    assert_int_equal(firn_parser_next(&p, &l, (const uint8_t *)s, strlen(s)), FIRN_PARSE_MORE);
    assert_int_equal(p.need, 4 + 5 + 12);
    firn_parser_clear(&p);
}

static void no_memory(void **state)
{
    (void)state;
    const char *s =
        "*9\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n"
        "$1\r\na\r\n$1\r\na\r\n";
    struct firn_parser p = {0};
    (void)firn_mem_fail_at(1, 1);
    enum firn_parse r = firn_parser_next(&p, &limits, (const uint8_t *)s, strlen(s));
    (void)firn_mem_fail_at(0, 0);
    assert_int_equal(r, FIRN_PARSE_ERROR);
    firn_parser_clear(&p);
    (void)firn_mem_fail_at(1, 1);
    r = firn_parser_next(&p, &limits, (const uint8_t *)"ping x\r\n", 8);
    (void)firn_mem_fail_at(0, 0);
    assert_int_equal(r, FIRN_PARSE_ERROR);
    firn_parser_clear(&p);
}

static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t v;
    } cases[] = {
        {"0", true, 0},
        {"-1", true, -1},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"-0", false, 0},
        {"01", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1a", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t v = 0;
        assert_int_equal(firn_parse_i64(firn_slice_str(cases[i].text), &v), cases[i].ok);
        if (cases[i].ok)
            assert_true(v == cases[i].v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multibulk),  cmocka_unit_test(inline_requests),
        cmocka_unit_test(errors),     cmocka_unit_test(strangers),
        cmocka_unit_test(long_lines), cmocka_unit_test(command_size),
        cmocka_unit_test(no_memory),  cmocka_unit_test(integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
