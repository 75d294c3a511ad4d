/* Log lines: logfmt and JSON, quoting, cutting, repeats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "obs/obs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

struct sink {
    struct firn_log log;
    char line[FIRN_LOG_LINE_MAX + 1];
    unsigned lines;
    uint64_t now_ms;
};

static void take(void *arg, enum firn_log_level level, const char *line, size_t len)
{
    struct sink *s = arg;
    (void)level;
    assert_true(len <= FIRN_LOG_LINE_MAX);
    memcpy(s->line, line, len);
    s->line[len] = '\0';
    s->lines++;
}

static uint64_t now_ms(void *arg)
{
    return ((struct sink *)arg)->now_ms;
}

static void sink_init(struct sink *s)
{
    memset(s, 0, sizeof *s);
    s->log.sink = take;
    s->log.sink_arg = s;
    s->log.level = FIRN_LOG_INFO;
}

static void logfmt_lines(void **state)
{
    const char *volatile none = NULL; /* volatile: the compiler would warn of it */
    (void)state;
    struct sink s;
    sink_init(&s);
    firn_log_plain(NULL, FIRN_LOG_ERROR, "dropped");
    firn_log_plain(&s.log, FIRN_LOG_DEBUG, "dropped");
    assert_int_equal(s.lines, 0);
    firn_log_plain(&s.log, FIRN_LOG_INFO, "started");
    assert_string_equal(s.line, "level=info msg=started");
    firn_log_event(&s.log, FIRN_LOG_WARN, "put slow",
                   "key=%s epoch=%" PRIu64 " took=%ums left=%d%% ratio=%.2f", "wal/1", UINT64_MAX,
                   7u, -3, 1.0 / 3);
    assert_string_equal(s.line, "level=warn msg=\"put slow\" key=wal/1 epoch=18446744073709551615 "
                                "took=7ms left=-3% ratio=0.33");
    firn_log_event(&s.log, FIRN_LOG_ERROR, "odd", "a=%s b=%.*s c=%s d=%s e=%zu f=%08x g=%c h=%zd",
                   none, 3, "abcdef", "", "x=\"1\"\n\xff", (size_t)5, 0xbeefu, 'q', (ssize_t)-1);
    assert_string_equal(s.line, "level=error msg=odd a=(none) b=abc c=\"\" "
                                "d=\"x=\\\"1\\\"\\n\\ufffd\" e=5 f=0000beef g=q h=-1");
}

static void json_lines(void **state)
{
    (void)state;
    struct sink s;
    sink_init(&s);
    s.log.json = true;
    s.log.wall_ms = now_ms;
    s.log.wall_arg = &s;
    s.now_ms = UINT64_C(1709210096789); /* 2024-02-29T12:34:56.789Z */
    firn_log_event(&s.log, FIRN_LOG_INFO, "ev", "n=%d u=%lu s=%s t=%dms f=%g nan=%g", -1, 2ul,
                   "\x01\xc3\xa9", 3, 0.5, NAN);
    assert_string_equal(s.line, "{\"ts\":\"2024-02-29T12:34:56.789Z\",\"level\":\"info\","
                                "\"msg\":\"ev\",\"n\":-1,\"u\":2,\"s\":\"\\u0001\xc3\xa9\","
                                "\"t\":\"3ms\",\"f\":0.5,\"nan\":\"nan\"}");
}

static void long_lines_are_cut_whole_pairs_at_a_time(void **state)
{
    (void)state;
    struct sink s;
    sink_init(&s);
    char big[1000];
    memset(big, 'v', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    firn_log_event(&s.log, FIRN_LOG_INFO, "big", "a=%s b=%s c=%s d=%s e=%d", big, big, big, big, 1);
    assert_non_null(strstr(s.line, " c=vvv"));
    assert_null(strstr(s.line, " d="));
    assert_null(strstr(s.line, " e="));
    assert_non_null(strstr(s.line, " truncated=yes"));
    s.log.json = true;
    memset(big, 1, sizeof big - 1); /* six bytes each once escaped */
    firn_log_event(&s.log, FIRN_LOG_INFO, "big", "a=%s", big);
    assert_string_equal(s.line, "{\"level\":\"info\",\"msg\":\"big\",\"truncated\":\"yes\"}");
}

static void repeats_are_counted_not_written(void **state)
{
    (void)state;
    struct sink s;
    sink_init(&s);
    s.log.wall_ms = now_ms;
    s.log.wall_arg = &s;
    s.now_ms = 1000000;
    for (int i = 0; i < 100; i++)
        firn_log_event(&s.log, FIRN_LOG_WARN, "storm", "i=%d", i);
    assert_int_equal(s.lines, FIRN_LOG_BURST);
    firn_log_plain(&s.log, FIRN_LOG_WARN, "other");
    assert_int_equal(s.lines, FIRN_LOG_BURST + 1);
    firn_log_plain(&s.log, FIRN_LOG_ERROR, "storm");
    assert_int_equal(s.lines, FIRN_LOG_BURST + 2);
    assert_non_null(strstr(s.line, " suppressed=80"));
    firn_log_plain(&s.log, FIRN_LOG_WARN, "storm");
    assert_int_equal(s.lines, FIRN_LOG_BURST + 2);
    s.now_ms += FIRN_LOG_WINDOW_MS;
    firn_log_event(&s.log, FIRN_LOG_WARN, "storm", "i=%d", 1);
    assert_non_null(strstr(s.line, " i=1 suppressed=1"));
    firn_log_event(&s.log, FIRN_LOG_WARN, "storm", "i=%d", 2);
    assert_null(strstr(s.line, "suppressed"));
    s.now_ms -= 500000; /* the clock was set back: lines go on */
    firn_log_event(&s.log, FIRN_LOG_WARN, "storm", "i=%d", 3);
    assert_non_null(strstr(s.line, " i=3"));
}

static void many_events_share_the_table(void **state)
{
    (void)state;
    struct sink s;
    sink_init(&s);
    s.log.wall_ms = now_ms;
    s.log.wall_arg = &s;
    s.now_ms = 5000000;
    char event[32];
    for (int i = 0; i < 5 * FIRN_LOG_REPEAT_SLOTS; i++) {
        (void)snprintf(event, sizeof event, "event %d", i);
        firn_log_plain(&s.log, FIRN_LOG_WARN, event);
    }
    assert_int_equal(s.lines, 5 * FIRN_LOG_REPEAT_SLOTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logfmt_lines),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(long_lines_are_cut_whole_pairs_at_a_time),
        cmocka_unit_test(repeats_are_counted_not_written),
        cmocka_unit_test(many_events_share_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
