/* MONITOR: what is shown of which command, in which order; and of CLIENT TRACKING what needs a
 * puppet role: slots that were skipped. */
#include "engine_fixture.h"

static struct fixture f;
static struct client *c, *m;

static int begin(void **state)
{
    (void)state;
    fixture_start(&f, true);
    c = fixture_connect(&f);
    m = fixture_connect(&f);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fixture_stop(&f);
    return 0;
}

/* The next line that m got is "+<time> [<db> <peer>]" and this. */
static void shown(const char *want)
{
    firn_fake_run_for(f.world, 1000);
    char *end_of_line = memchr(m->got.data, '\r', m->got.len);
    assert_non_null(end_of_line);
    *end_of_line = '\0';
    assert_int_equal(m->got.data[0], '+');
    const char *text = strstr((const char *)m->got.data, "127.0.0.1:5000] ");
    assert_non_null(text);
    assert_string_equal(text + 16, want);
    firn_buf_consume(&m->got, (size_t)((uint8_t *)end_of_line - m->got.data) + 2);
}

static void commands_are_shown_as_executed(void **state)
{
    (void)state;
    CALL(m, "MONITOR", "+OK\r\n");
    CALL(c, "SET a\"b\\ \n\x01", "+OK\r\n");
    shown("\"SET\" \"a\\\"b\\\\\" \"\\n\\x01\"");
    CALL(c, "PING", "+PONG\r\n");
    shown("\"PING\"");
    client_send(c, "HELLO 2 AUTH default secret");
    client_send(c, "AUTH secret");
    client_send(c, "CONFIG GET maxclients");
    firn_fake_run_for(f.world, 1000);
    c->got.len = 0;
    assert_null(memmem(m->got.data, m->got.len, "secret", 6));
    assert_null(memmem(m->got.data, m->got.len, "CONFIG", 6));
    m->got.len = 0;
    CALL(c, "MULTI", "+OK\r\n");
    shown("\"MULTI\"");
    CALL(c, "SET k v", "+QUEUED\r\n");
    NOTHING(m);
    CALL(c, "EXEC", "*1\r\n+OK\r\n");
    shown("\"SET\" \"k\" \"v\"");
    shown("\"EXEC\"");
    CALL(c, "MULTI", "+OK\r\n");
    CALL(c, "SET k v", "+QUEUED\r\n");
    CALL(c, "DISCARD", "+OK\r\n");
    shown("\"MULTI\"");
    shown("\"DISCARD\"");
    CALL(m, "RESET", "+RESET\r\n");
    CALL(c, "PING", "+PONG\r\n");
    NOTHING(m);
}

static void slow_monitor_is_cut_off(void **state)
{
    (void)state;
    firn_server_options(firn_engine_server(f.engine))->output_bytes_max = 1 << 20;
    struct client *slow = fixture_connect(&f);
    CALL(slow, "MONITOR", "+OK\r\n");
    slow->stuck = true;
    for (int i = 0; i < 400 && slow->open; i++) {
        char line[4000];
        memset(line, 'x', sizeof line);
        memcpy(line, "SET k ", 6);
        line[sizeof line - 1] = '\0';
        CALL(c, line, "+OK\r\n");
    }
    assert_false(slow->open);
    CALL(c, "PING", "+PONG\r\n");
}

/* Skipped slots: whoever tracks forgets all, and hears once. */
static void skipped_slots_invalidate_all(void **state)
{
    (void)state;
    client_send(c, "HELLO 3");
    firn_fake_run_for(f.world, 1000);
    c->got.len = 0;
    CALL(c, "CLIENT TRACKING ON", "+OK\r\n");
    CALL(m, "SET a 1", "+OK\r\n");
    CALL(c, "GET a", "$1\r\n1\r\n");
    firn_engine_feed_gap(f.engine);
    EXPECT(c, ">2\r\n$10\r\ninvalidate\r\n_\r\n");
    CALL(m, "SET a 2", "+OK\r\n");
    NOTHING(c);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(commands_are_shown_as_executed),
        TEST(slow_monitor_is_cut_off),
        TEST(skipped_slots_invalidate_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
