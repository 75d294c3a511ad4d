/* Commands about the server: CONFIG under Redis's names, SLOWLOG, LATENCY, MEMORY, DEBUG, HELP. */
#include "engine_one_client.h"

#define PAIR(name, n, value, m) "*2\r\n$" #n "\r\n" name "\r\n$" #m "\r\n" value "\r\n"

static void redis_names(void **state)
{
    (void)state;
    CALL(c, "CONFIG GET save", PAIR("save", 4, "", 0));
    CALL(c, "CONFIG GET maxmemory-p*", PAIR("maxmemory-policy", 16, "noeviction", 10));
    CALL(c, "CONFIG GET TIMEOUT", PAIR("timeout", 7, "0", 1));
    CALL(c, "CONFIG SET timeout 300", "+OK\r\n");
    CALL(c, "CONFIG GET timeout", PAIR("timeout", 7, "300", 3));
    CALL(c, "CONFIG GET idle-timeout", PAIR("idle-timeout", 12, "5min", 4));
    CALL(c, "CONFIG GET slowlog-log-slower-than", PAIR("slowlog-log-slower-than", 23, "10000", 5));
    CALL(c, "CONFIG SET slowlog-log-slower-than -1", "+OK\r\n");
    CALL(c, "CONFIG GET slowlog-log-slower-than", PAIR("slowlog-log-slower-than", 23, "-1", 2));
    CALL(c, "CONFIG SET latency-monitor-threshold 100 timeout 0", "+OK\r\n");
    CALL(c, "CONFIG GET latency-threshold", PAIR("latency-threshold", 17, "100ms", 5));
    CALL(c, "CONFIG GET client-output-buffer-limit",
         PAIR("client-output-buffer-limit", 26,
              "normal 67108864 0 0 slave 0 0 0 pubsub 33554432 8388608 60", 58));
    /* What cannot be changed may be set to what it is. */
    CALL(c, "CONFIG SET save '' appendonly no maxmemory-policy noeviction databases 16", "+OK\r\n");
    client_send(c, "CONFIG SET timeout 7 appendonly yes");
    EXPECT_START(c, "-ERR CONFIG SET failed (possibly related to argument 'appendonly') - it is "
                    "always 'no' here: all data is kept in the object store");
    CALL(c, "CONFIG GET timeout", PAIR("timeout", 7, "0", 1)); /* nothing was set */
    client_send(c, "CONFIG SET timeout -1");
    EXPECT_START(c, "-ERR CONFIG SET failed (possibly related to argument 'timeout') - ");
    client_send(c, "CONFIG SET timeout x");
    EXPECT_START(c, "-ERR CONFIG SET failed (possibly related to argument 'timeout') - ");
    CALL(c, "CONFIG SET nosuch 1",
         "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'\r\n");
}

static void idle_connections_are_closed(void **state)
{
    (void)state;
    struct client *other = fixture_connect(&f);
    CALL(c, "CONFIG SET timeout 5", "+OK\r\n");
    for (int i = 0; i < 8; i++) {
        firn_fake_run_for(f.world, FIRN_SEC);
        CALL(c, "PING", "+PONG\r\n");
    }
    assert_false(other->open);
    assert_true(c->open);
}

static void limits_follow_the_settings(void **state)
{
    (void)state;
    char big[2048];
    snprintf(big, sizeof big, "SET k %01500d", 0);
    CALL(c, big, "+OK\r\n");
    CALL(c, "CONFIG SET client-query-buffer-limit 65536", "+OK\r\n");
    const char head[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$70000\r\n";
    c->user.data(c->user.arg, (const uint8_t *)head, sizeof head - 1);
    EXPECT_START(c, "-ERR Protocol error: ");
    assert_false(c->open);
}

/* A write that finds no room for so long. */
static void wait_for(uint64_t ms)
{
    f.admit = FIRN_ADMIT_WAIT;
    client_send(c, "SET k v");
    firn_fake_run_for(f.world, ms * FIRN_MS);
    f.admit = FIRN_ADMIT_OK;
    firn_engine_advance(f.engine);
    EXPECT(c, "+OK\r\n");
}

static void slow_log(void **state)
{
    (void)state;
    wait_for(100);
    CALL(c, "SLOWLOG LEN", ":0\r\n");
    wait_for(300);
    CALL(c, "SLOWLOG LEN", ":1\r\n");
    client_send(c, "SLOWLOG GET");
    firn_fake_run_for(f.world, 1000);
    assert_int_equal(firn_buf_append(&c->got, "", 1), FIRN_OK);
    assert_non_null(strstr((const char *)c->got.data, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"));
    c->got.len = 0;
    CALL(c, "CONFIG SET slowlog-max-len 2", "+OK\r\n");
    for (int i = 0; i < 4; i++)
        wait_for(300);
    CALL(c, "SLOWLOG LEN", ":2\r\n");
    client_send(c, "SLOWLOG GET 1");
    EXPECT_START(c, "*1\r\n*6\r\n:4\r\n"); /* the newest of five */
    CALL(c, "CONFIG SET slowlog-max-len 1", "+OK\r\n");
    CALL(c, "SLOWLOG LEN", ":1\r\n");
    CALL(c, "CONFIG SET slowlog-max-len 0", "+OK\r\n");
    wait_for(300);
    CALL(c, "SLOWLOG LEN", ":0\r\n");
    CALL(c, "SLOWLOG GET -2", "-ERR count should be greater than or equal to -1\r\n");
}

static void latency(void **state)
{
    (void)state;
    wait_for(300);
    CALL(c, "LATENCY LATEST", "*0\r\n"); /* not watched */
    client_send(c, "LATENCY DOCTOR");
    firn_fake_run_for(f.world, 1000);
    c->got.len = 0;
    CALL(c, "CONFIG SET latency-monitor-threshold 200", "+OK\r\n");
    wait_for(100);
    CALL(c, "LATENCY LATEST", "*0\r\n");
    wait_for(300);
    firn_fake_run_for(f.world, FIRN_SEC);
    wait_for(210);
    client_send(c, "LATENCY LATEST");
    EXPECT_START(c, "*1\r\n*4\r\n$10\r\nstore-wait\r\n:");
    client_send(c, "LATENCY HISTORY store-wait");
    EXPECT_START(c, "*2\r\n*2\r\n:");
    CALL(c, "LATENCY HISTORY nosuch", "*0\r\n");
    client_send(c, "LATENCY GRAPH store-wait");
    firn_fake_run_for(f.world, 1000);
    assert_int_equal(firn_buf_append(&c->got, "", 1), FIRN_OK);
    assert_non_null(strstr((const char *)c->got.data,
                           "high 300 ms, low 210 ms (all time high 300 ms)\n# \n"
                           "##\n##\n##\n"));
    c->got.len = 0;
    CALL(c, "LATENCY GRAPH nosuch", "-ERR No samples available for event 'nosuch'\r\n");
    CALL(c, "LATENCY RESET nosuch store-wait", ":1\r\n");
    CALL(c, "LATENCY RESET", ":0\r\n");
    CALL(c, "LATENCY LATEST", "*0\r\n");
}

static void debug_behind_its_switch(void **state)
{
    (void)state;
    struct client *other = fixture_connect(&f);
    client_send(c, "DEBUG SLEEP 0");
    EXPECT_START(c, "-ERR DEBUG command not allowed.");
    f.settings.enable_debug_command = FIRN_WHO_LOCAL;
    client_send(c, "DEBUG SLEEP 0.5");
    CALL(other, "PING", "+PONG\r\n"); /* the loop goes on */
    firn_fake_run_for(f.world, 450 * FIRN_MS);
    NOTHING(c);
    firn_fake_run_for(f.world, 100 * FIRN_MS);
    EXPECT(c, "+OK\r\n");
    CALL(c, "SET k abc", "+OK\r\n");
    client_send(c, "DEBUG OBJECT k");
    EXPECT_START(c, "+Value at:0x0 refcount:1 encoding:embstr serializedlength:3 ");
    CALL(c, "DEBUG OBJECT none", "-ERR no such key\r\n");
    CALL(c, "DEBUG ERROR BUSY", "-BUSY\r\n");
    CALL(c, "DEBUG STRINGMATCH-LEN 3 a*a", ":1\r\n");
    CALL(c, "DEBUG NOSUCH",
         "-ERR unknown subcommand or wrong number of arguments for 'NOSUCH'. Try "
         "DEBUG HELP.\r\n");
    CALL(c, "DEBUG SET-ACTIVE-EXPIRE 0", "+OK\r\n");
    assert_true(f.db.expiry_paused);
    CALL(c, "DEBUG SET-ACTIVE-EXPIRE 1", "+OK\r\n");
    assert_false(f.db.expiry_paused);
}

static void help(void **state)
{
    (void)state;
    client_send(c, "SLOWLOG HELP");
    EXPECT_START(c, "*9\r\n+SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"
                    "+GET [count]\r\n+    Returns the slow log's entries.\r\n+HELP\r\n");
    client_send(c, "FUNCTION HELP");
    EXPECT_START(c, "*5\r\n+FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"
                    "+FLUSH [ASYNC|SYNC]\r\n");
}

static void memory(void **state)
{
    (void)state;
    client_send(c, "MEMORY STATS");
    EXPECT_START(c, "*26\r\n$14\r\npeak.allocated\r\n:");
    CALL(c, "MEMORY PURGE", "+OK\r\n");
    CALL(c, "MEMORY MALLOC-STATS", "$45\r\nStats not supported for the current allocator\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(redis_names, begin, end),
        cmocka_unit_test_setup_teardown(idle_connections_are_closed, begin, end),
        cmocka_unit_test_setup_teardown(limits_follow_the_settings, begin, end),
        cmocka_unit_test_setup_teardown(slow_log, begin, end),
        cmocka_unit_test_setup_teardown(latency, begin, end),
        cmocka_unit_test_setup_teardown(debug_behind_its_switch, begin, end),
        cmocka_unit_test_setup_teardown(help, begin, end),
        cmocka_unit_test_setup_teardown(memory, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
