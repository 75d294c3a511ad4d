/* What the commands answer and which records they leave. Redis's own replies are compared with
 * those of a real redis-server by tests/oracle; here is what that cannot see: records, events,
 * limits, extensions. */
#include "engine_one_client.h"

static void expect_record(size_t i, enum firn_record_kind kind, enum firn_event event)
{
    assert_true(i < f.nlast);
    assert_int_equal(f.last[i].kind, kind);
    assert_int_equal(f.last[i].event, event);
}

static void set_and_conditions(void **state)
{
    (void)state;
    CALL(c, "SET k v", "+OK\r\n");
    expect_record(0, FIRN_RECORD_PUT, FIRN_EVENT_SET);
    CALL(c, "SET k w NX GET", "$1\r\nv\r\n");
    CALL(c, "SET k w IFEQ x", "$-1\r\n");
    CALL(c, "SET k w IFEQ v", "+OK\r\n");
    CALL(c, "SET k x IFNE w", "$-1\r\n");
    CALL(c, "SET absent x IFEQ w", "$-1\r\n");
    CALL(c, "SET absent x IFNE w", "+OK\r\n");
    CALL(c, "SET none x IFDEQ 0000000000000000", "$-1\r\n");
    CALL(c, "SET k y IFDNE 0000000000000000", "+OK\r\n");
    CALL(c, "SET e abc", "+OK\r\n");
    CALL(c, "SET e d IFDEQ 78af5f94892f3950", "+OK\r\n"); /* XXH3-64 of "abc" */
    CALL(c, "SET k v NX IFEQ v", "-ERR syntax error\r\n");
    CALL(c, "SET k v IFEQ", "-ERR syntax error\r\n");
    CALL(c, "SET k v EX 10 PX 5", "-ERR syntax error\r\n");
}

static void expiry(void **state)
{
    (void)state;
    CALL(c, "SET k v PX 1500", "+OK\r\n");
    expect_record(0, FIRN_RECORD_PUT, FIRN_EVENT_SET_EXPIRE);
    assert_int_equal(f.last[0].flags, FIRN_RECORD_HAS_EXPIRY);
    CALL(c, "TTL k", ":2\r\n");
    CALL(c, "SET k w KEEPTTL", "+OK\r\n");
    firn_fake_run_for(f.world, 1400 * FIRN_MS);
    CALL(c, "GET k", "$1\r\nw\r\n");
    firn_fake_run_for(f.world, 200 * FIRN_MS);
    CALL(c, "GET k", "$-1\r\n");
    CALL(c, "DBSIZE", ":0\r\n");
    CALL(c, "EXPIRE k 10", ":0\r\n");
    CALL(c, "SET k v", "+OK\r\n");
    CALL(c, "EXPIRE k -1", ":1\r\n");
    expect_record(0, FIRN_RECORD_DEL, FIRN_EVENT_DEL);
    CALL(c, "EXISTS k", ":0\r\n");
    CALL(c, "SET k v PXAT 9223372036854775807", "+OK\r\n");
    CALL(c, "EXPIRETIME k", ":9223372036854776\r\n");
    CALL(c, "PEXPIRETIME k", ":9223372036854775807\r\n");
    CALL(c, "SET k v PXAT 1", "+OK\r\n"); /* in the past: deleted at once */
    expect_record(0, FIRN_RECORD_DEL, FIRN_EVENT_DEL);
    CALL(c, "SET k v", "+OK\r\n");
    CALL(c, "PEXPIRE k 100000 XX", ":0\r\n");
    CALL(c, "PEXPIRE k 100000 NX", ":1\r\n");
    expect_record(0, FIRN_RECORD_PUT, FIRN_EVENT_EXPIRE);
    CALL(c, "PEXPIRE k 99000 GT", ":0\r\n");
    CALL(c, "PERSIST k", ":1\r\n");
    expect_record(0, FIRN_RECORD_PUT, FIRN_EVENT_PERSIST);
    CALL(c, "PERSIST k", ":0\r\n");
}

static void records_of_groups(void **state)
{
    (void)state;
    CALL(c, "MSET a 1 b 2 a 3", "+OK\r\n");
    assert_int_equal(f.nlast, 3);
    CALL(c, "MGET a b nil", "*3\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n");
    CALL(c, "MSETNX b 5 d 6", ":0\r\n");
    CALL(c, "MSETEX 2 b 5 d 6 NX", ":0\r\n");
    CALL(c, "MSETEX 2 e 5 d 6 NX EX 10", ":1\r\n");
    CALL(c, "DEL a a b", ":2\r\n");
    assert_int_equal(f.nlast, 2);
    expect_record(0, FIRN_RECORD_DEL, FIRN_EVENT_DEL);
    unsigned applies = f.applies;
    CALL(c, "DEL a b", ":0\r\n"); /* no record for what is not there */
    assert_int_equal(f.applies, applies);
    CALL(c, "RENAME e f", "+OK\r\n");
    expect_record(0, FIRN_RECORD_DEL, FIRN_EVENT_RENAME_FROM);
    expect_record(1, FIRN_RECORD_PUT, FIRN_EVENT_RENAME_TO);
    assert_int_equal(f.last[1].flags, FIRN_RECORD_HAS_EXPIRY);
    CALL(c, "COPY f g DB 3", ":1\r\n");
    CALL(c, "SELECT 3", "+OK\r\n");
    CALL(c, "GET g", "$1\r\n5\r\n");
    CALL(c, "FLUSHDB", "+OK\r\n");
    expect_record(0, FIRN_RECORD_RANGEDEL, FIRN_EVENT_NONE);
    CALL(c, "GET g", "$-1\r\n");
    CALL(c, "SELECT 0", "+OK\r\n");
    CALL(c, "GET f", "$1\r\n5\r\n");
}

static void limits(void **state)
{
    (void)state;
    CALL(c, "CONFIG GET value-max", "*2\r\n$9\r\nvalue-max\r\n$3\r\n8mb\r\n");
    f.settings.value_max_bytes = 10;
    CALL(c, "SET k 12345678901", "-ERR value of 11 bytes is longer than value-max (10)\r\n");
    CALL(c, "SET k 1234567890", "+OK\r\n");
    CALL(c, "APPEND k x", "-ERR string exceeds maximum allowed size (value-max)\r\n");
    CALL(c, "SETRANGE k 9223372036854775807 x",
         "-ERR string exceeds maximum allowed size (value-max)\r\n");
    f.settings.value_max_bytes = 100;
    f.settings.batch_bytes_max = 200;
    char line[256];
    snprintf(line, sizeof line, "MSET a %080d b %080d", 1, 2);
    client_send(c, line);
    EXPECT_START(c, "-ERR 2 records of ");
    CALL(c, "EXISTS a b", ":0\r\n");
    assert_int_equal(f.applies, 1);
}

static void long_keys(void **state)
{
    (void)state;
    size_t n = 65536;
    char *get = malloc(n + 64);
    int head = snprintf(get, 64, "*2\r\n$3\r\nGET\r\n$%zu\r\n", n);
    memset(get + head, 'k', n);
    memcpy(get + head + n, "\r\n", 2);
    c->user.data(c->user.arg, (uint8_t *)get, (size_t)head + n + 2);
    EXPECT(c, "-ERR key of 65536 bytes is longer than 65535\r\n");
    free(get);
}

static void empty_values(void **state)
{
    (void)state;
    CALL(c, "SET k ''", "+OK\r\n");
    CALL(c, "EXISTS k", ":1\r\n");
    f.settings.empty_value = FIRN_EMPTY_DELETES;
    CALL(c, "SET k ''", "+OK\r\n");
    expect_record(0, FIRN_RECORD_DEL, FIRN_EVENT_DEL);
    CALL(c, "EXISTS k", ":0\r\n");
}

static void ranges(void **state)
{
    (void)state;
    CALL(c, "MSET a 1 b 2 c 3 d 4", "+OK\r\n");
    CALL(c, "KV.RANGE b '' LIMIT 2",
         "*2\r\n$1\r\nd\r\n*4\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n3\r\n");
    CALL(c, "KV.RANGE d '' LIMIT 2", "*2\r\n$-1\r\n*2\r\n$1\r\nd\r\n$1\r\n4\r\n");
    CALL(c, "KV.RANGE '' '' REV LIMIT 2 KEYSONLY", "*2\r\n$1\r\nc\r\n*2\r\n$1\r\nd\r\n$1\r\nc\r\n");
    CALL(c, "KV.RANGE '' c REV KEYSONLY", "*2\r\n$-1\r\n*2\r\n$1\r\nb\r\n$1\r\na\r\n");
    CALL(c, "KV.RANGE '' '' BYTES 1 KEYSONLY", "*2\r\n$1\r\nb\r\n*1\r\n$1\r\na\r\n");
    CALL(c, "KV.RANGE c b", "*2\r\n$-1\r\n*0\r\n");
    CALL(c, "KV.COUNT b d", ":2\r\n");
    CALL(c, "KV.COUNT d b", ":0\r\n");
    CALL(c, "KV.DELRANGE b d", "+OK\r\n");
    CALL(c, "KV.COUNT '' ''", ":2\r\n");
    CALL(c, "KV.DELRANGE '' ''", "+OK\r\n");
    CALL(c, "DBSIZE", ":0\r\n");
    CALL(c, "KV.RANGE '' '' LIMIT 0", "-ERR LIMIT must be 1 to 1000000\r\n");
    CALL(c, "KV.RANGE '' '' AT", "-ERR syntax error\r\n");
    CALL(c, "KV.RANGE '' '' AT x", "-ERR invalid snapshot id\r\n");
    CALL(c, "KV.COUNT '' '' AT 5",
         "-KVGONE there is no snapshot 5: this node did not open it, or it ended long ago\r\n");
}

static uint64_t scan_cursor(const char *line, size_t *keys)
{
    client_send(c, line);
    firn_fake_run_for(f.world, 1000);
    assert_int_equal(firn_buf_append(&c->got, "", 1), FIRN_OK);
    /* "*2", the cursor as a bulk, "*" and the number of keys */
    const char *text = strchr((char *)c->got.data, '\n') + 1;
    text = strchr(text, '\n') + 1;
    uint64_t cursor = strtoull(text, NULL, 10);
    text = strchr(text, '\n') + 1;
    assert_int_equal(*text, '*');
    *keys = strtoull(text + 1, NULL, 10);
    c->got.len = 0;
    return cursor;
}

static void scanning(void **state)
{
    (void)state;
    char line[128];
    size_t total = 0, n, retried;
    for (int i = 0; i < 25; i++) {
        snprintf(line, sizeof line, "SET key:%02d v", i);
        CALL(c, line, "+OK\r\n");
    }
    CALL(c, "SET other v", "+OK\r\n");
    uint64_t cursor = scan_cursor("SCAN 0 MATCH key:*", &n);
    assert_int_equal(n, 10);
    total += n;
    snprintf(line, sizeof line, "SCAN %llu MATCH key:*", (unsigned long long)cursor);
    uint64_t next = scan_cursor(line, &n);
    (void)scan_cursor(line, &retried); /* an old cursor repeats its page */
    assert_int_equal(n, retried);
    total += n;
    snprintf(line, sizeof line, "SCAN %llu MATCH key:* COUNT 5", (unsigned long long)next);
    assert_int_equal(scan_cursor(line, &n), 0); /* 0 comes with the last page already */
    assert_int_equal(total + n, 25);
    client_send(c, "SCAN 12345");
    EXPECT_START(c, "-ERR invalid cursor: this node did not give it");
    CALL(c, "SCAN 0 TYPE list COUNT 100", "*2\r\n$1\r\n0\r\n*0\r\n");
    CALL(c, "DBSIZE", ":26\r\n");
    CALL(c, "KEYS o*", "*1\r\n$5\r\nother\r\n");
    CALL(c, "SET k v PX 50", "+OK\r\n");
    CALL(c, "DBSIZE", ":27\r\n");
    firn_fake_run_for(f.world, 60 * FIRN_MS);
    CALL(c, "DBSIZE", ":26\r\n"); /* the count kept from before knows when it ends */
}

static void long_scans_take_turns(void **state)
{
    (void)state;
    char line[64];
    for (int i = 0; i < 10000; i++) {
        snprintf(line, sizeof line, "SET %d v", i);
        client_send(c, line);
    }
    firn_fake_run_for(f.world, 1000);
    c->got.len = 0;
    CALL(c, "DBSIZE", ":10000\r\n");
    CALL(c, "KV.COUNT '' ''", ":10000\r\n");
    uint64_t turns = firn_server_stats(firn_engine_server(f.engine))->parked_total;
    assert_true(turns >= 2);
    client_send(c, "RANDOMKEY");
    EXPECT_START(c, "$");
}

static void server_commands(void **state)
{
    (void)state;
    CALL(c, "ROLE", "*3\r\n$6\r\nmaster\r\n:3298534883328\r\n*0\r\n");
    CALL(c, "WAIT 1 0", ":0\r\n");
    CALL(c, "WAITAOF 1 0 0", "*2\r\n:1\r\n:0\r\n");
    CALL(c, "READONLY", "+OK\r\n");
    CALL(c, "FUNCTION FLUSH", "+OK\r\n");
    CALL(c, "SLOWLOG LEN", ":0\r\n");
    CALL(c, "CONFIG REWRITE", "-ERR The server is running without a config file\r\n");
    CALL(c, "CONFIG RESETSTAT", "+OK\r\n");
    CALL(c, "OBJECT ENCODING nokey", "$-1\r\n");
    client_send(c, "INFO");
    firn_fake_run_for(f.world, 1000);
    assert_int_equal(firn_buf_append(&c->got, "", 1), FIRN_OK);
    assert_non_null(strstr((char *)c->got.data, "\r\nrole:master\r\n"));
    assert_non_null(strstr((char *)c->got.data, "\r\nfirn_durable_place:3/0\r\n"));
    c->got.len = 0;
    client_send(c, "KV.EXPLAIN GET k");
    EXPECT_START(c, "*22\r\n$5\r\ntrips\r\n:0\r\n");
    CALL(c, "KV.EXPLAIN SET k v", "-ERR only commands that read can be explained\r\n");
    client_send(c, "KV.COST");
    EXPECT_START(c, "*6\r\n$8\r\nsince_ms\r\n");
    CALL(c, "KV.COST RESET", "+OK\r\n");
    struct firn_buf out;
    firn_buf_init(&out, 1 << 20);
    assert_int_equal(firn_engine_metrics(f.engine, &out), FIRN_OK);
    assert_non_null(memmem(out.data, out.len, "firn_connected_clients 1\n", 25));
    firn_buf_clear(&out);
}

/* docs/COMMANDS.md is what the tables say. With FIRN_WRITE_DOCS in the environment it is written
 * anew. */
static void documented(void **state)
{
    (void)state;
    static const char path[] = "docs/COMMANDS.md";
    struct firn_buf want;
    firn_buf_init(&want, 1 << 20);
    assert_int_equal(firn_engine_commands_markdown(f.engine, &want), FIRN_OK);
    if (getenv("FIRN_WRITE_DOCS")) {
        FILE *out = fopen(path, "wb");
        assert_non_null(out);
        assert_int_equal(fwrite(want.data, 1, want.len, out), want.len);
        assert_int_equal(fclose(out), 0);
    }
    char *got = calloc(1, want.len + 2);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    size_t n = fread(got, 1, want.len + 1, in);
    fclose(in);
    bool same = n == want.len && memcmp(got, want.data, n) == 0;
    free(got);
    firn_buf_clear(&want);
    if (!same)
        fail_msg("docs/COMMANDS.md is out of date: run this test with FIRN_WRITE_DOCS=1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(set_and_conditions),
        TEST(expiry),
        TEST(records_of_groups),
        TEST(limits),
        TEST(long_keys),
        TEST(empty_values),
        TEST(ranges),
        TEST(scanning),
        TEST(long_scans_take_turns),
        TEST(server_commands),
        TEST(documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
