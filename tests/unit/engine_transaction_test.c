/* MULTI, EXEC, WATCH: one step, one group, and when it is answered (PROTOCOL "Tailing and
 * freshness", ARCHITECTURE "A command on the writer"). */
#include "engine_fixture.h"

#define MANUAL(f) ((f)->auto_commit = (f)->auto_probe = false)

static struct fixture f;
static struct client *c, *d;

static int begin_as(bool writable)
{
    fixture_start(&f, writable);
    c = fixture_connect(&f);
    d = fixture_connect(&f);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    return begin_as(true);
}

static int begin_reader(void **state)
{
    (void)state;
    return begin_as(false);
}

static int end(void **state)
{
    (void)state;
    fixture_stop(&f);
    return 0;
}

/* MULTI, then the commands (ended by NULL): all are queued. */
static void queue(struct client *who, const char *first, ...)
{
    va_list ap;
    CALL(who, "MULTI", "+OK\r\n");
    va_start(ap, first);
    for (const char *line = first; line; line = va_arg(ap, const char *))
        CALL(who, line, "+QUEUED\r\n");
    va_end(ap);
}

/* ---- one step, one group */

static void is_one_group(void **state)
{
    (void)state;
    MANUAL(&f);
    queue(c, "SET a 1", "INCR a", "GET a", "MSET b 2 c 3", "DEL b nokey", "STRLEN c", NULL);
    assert_int_equal(f.applies, 0);
    CALL(c, "EXEC", "");
    assert_int_equal(f.applies, 1);
    assert_int_equal(f.nlast, 5);
    assert_int_equal(f.last[1].event, FIRN_EVENT_INCRBY);
    CALL(d, "GET a", "$-1\r\n"); /* not durable */
    fixture_commit(&f);
    EXPECT(c, "*6\r\n+OK\r\n:2\r\n$1\r\n2\r\n+OK\r\n:1\r\n:1\r\n");
    CALL(d, "MGET a b c", "*3\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n");
    CALL(c, "EXEC", "-ERR EXEC without MULTI\r\n");
}

static void publishes_to_the_empty_channel(void **state)
{
    (void)state;
    queue(c, "SPUBLISH '' text", "SET a 1", NULL);
    CALL(c, "EXEC", "*2\r\n:0\r\n+OK\r\n");
    assert_int_equal(f.nlast, 2);
    assert_int_equal(f.last[0].kind, FIRN_RECORD_PUBLISH);
}

static void sees_its_own_writes(void **state)
{
    (void)state;
    CALL(c, "MSET old 1 older 2", "+OK\r\n");
    queue(c, "SET a 1", "FLUSHDB", "GET a", "GET old", "EXISTS a old older", "DEL older", "SET b 2",
          "SET c 3", "KEYS *", "DBSIZE", NULL);
    CALL(c, "EXEC",
         "*10\r\n+OK\r\n+OK\r\n$-1\r\n$-1\r\n:0\r\n:0\r\n+OK\r\n+OK\r\n"
         "*2\r\n$1\r\nb\r\n$1\r\nc\r\n:2\r\n");
    CALL(c, "DBSIZE", ":2\r\n");
    queue(c, "SET ba 4", "KV.DELRANGE b c", "KV.RANGE '' ''", "RENAME c e", "GET c", "GET e",
          "KV.COUNT '' ''", "RANDOMKEY", "SCAN 0", NULL);
    CALL(c, "EXEC",
         "*9\r\n+OK\r\n+OK\r\n*2\r\n$-1\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n+OK\r\n$-1\r\n"
         "$1\r\n3\r\n:1\r\n$1\r\ne\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\ne\r\n");
    CALL(c, "KV.RANGE '' '' KEYSONLY", "*2\r\n$-1\r\n*1\r\n$1\r\ne\r\n");
    queue(c, "APPEND e 45", "SETRANGE e 1 x", "EXPIRE e 100", "TTL e", "INCRBYFLOAT n 1.5",
          "GETSET n 7", "GET e", "KV.GET e WITHVERSION", "PERSIST e", "TTL e", NULL);
    CALL(c, "EXEC",
         "*10\r\n:3\r\n:3\r\n:1\r\n:100\r\n$3\r\n1.5\r\n$3\r\n1.5\r\n$3\r\n3x5\r\n"
         "*2\r\n$3\r\n3x5\r\n$-1\r\n:1\r\n:-1\r\n");
}

static void failed_command_leaves_nothing(void **state)
{
    (void)state;
    f.settings.value_max_bytes = 5;
    CALL(c, "SET word abc", "+OK\r\n");
    queue(c, "SET a 1", "MSET a 2 b toolong", "GET a", "INCR word", "GET b", NULL);
    client_send(c, "EXEC");
    EXPECT(c, "*5\r\n+OK\r\n-ERR value of 7 bytes is longer than value-max (5)\r\n$1\r\n1\r\n"
              "-ERR value is not an integer or out of range\r\n$-1\r\n");
    assert_int_equal(f.nlast, 1);
    CALL(c, "MGET a b", "*2\r\n$1\r\n1\r\n$-1\r\n");
}

static void too_large_is_refused_whole(void **state)
{
    (void)state;
    f.settings.batch_bytes_max = 200;
    queue(c, "SET a 1", "SET b 0123456789012345678901234567890123456789012345678901234567890123456",
          "SET c 0123456789012345678901234567890123456789012345678901234567890123456",
          "CLIENT SETNAME never", NULL);
    client_send(c, "EXEC");
    EXPECT_START(c, "-ERR 3 records of ");
    assert_int_equal(f.applies, 0);
    CALL(c, "CLIENT GETNAME", "$-1\r\n");
    CALL(c, "EXEC", "-ERR EXEC without MULTI\r\n");
    f.settings.batch_bytes_max = 16 << 20;
    CALL(c, "MULTI", "+OK\r\n");
    for (int i = 0; i < 1025; i++)
        CALL(c, "FLUSHDB", "+QUEUED\r\n");
    client_send(c, "EXEC");
    EXPECT_START(c, "-ERR more than 1024 range deletes in one transaction");
    assert_int_equal(f.applies, 0);
}

/* 2,001 walks over 2,000 keys: more than one turn of the loop may take. */
static void long_walks_are_refused_whole(void **state)
{
    (void)state;
    char line[64];
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(line, sizeof line, "SET key:%d v", i);
        CALL(d, line, "+OK\r\n");
    }
    unsigned applies = f.applies;
    queue(c, "SET a 1", "KV.COUNT '' ''", NULL);
    for (int i = 0; i < 2000; i++)
        CALL(c, "KV.COUNT '' ''", "+QUEUED\r\n");
    CALL(c, "EXEC",
         "-ERR the transaction would have to walk over more than 4000000 keys in one step; "
         "nothing was applied\r\n");
    assert_int_equal(f.applies, applies);
    CALL(c, "EXISTS a", ":0\r\n");
    queue(c, "SET a 1", "KV.COUNT '' ''", NULL);
    CALL(c, "EXEC", "*2\r\n+OK\r\n:2001\r\n");
}

static void connection_commands_run_in_their_place(void **state)
{
    (void)state;
    queue(c, "SELECT 3", "SET k 3", "SELECT 99", "DBSIZE", "CLIENT SETNAME joe", "SELECT 0",
          "GET k", "HELLO 3", "GET k", "CLIENT GETNAME", NULL);
    client_send(c, "EXEC");
    EXPECT_START(c, "*10\r\n+OK\r\n+OK\r\n-ERR DB index is out of range\r\n:1\r\n+OK\r\n+OK\r\n"
                    "$-1\r\n%7\r\n");
    CALL(c, "GET k", "_\r\n");
    CALL(c, "SELECT 3", "+OK\r\n");
    CALL(c, "GET k", "$1\r\n3\r\n");
    CALL(c, "CLIENT GETNAME", "$3\r\njoe\r\n");
    CALL(c, "HELLO 2 SETNAME x",
         "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n"
         "$5\r\n7.4.2\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n"
         "$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n"
         "*0\r\n");
    MANUAL(&f);
    queue(c, "SET k 4", "WAIT 1 0", "WAITAOF 1 0 0", "KV.ACK APPLIED",
          "CONFIG SET notify-keyspace-events K", NULL);
    CALL(c, "EXEC", "");
    fixture_commit(&f);
    EXPECT(
        c,
        "*5\r\n+OK\r\n:0\r\n*2\r\n:0\r\n:0\r\n+OK\r\n-ERR CONFIG SET failed (possibly related to "
        "argument 'notify-keyspace-events') - the database's settings cannot be changed inside "
        "of a transaction\r\n");
}

/* ---- when it is answered */

static void reads_alone_are_a_read_without_age(void **state)
{
    (void)state;
    MANUAL(&f);
    CALL(d, "SET k v", "");
    queue(c, "GET k", NULL);
    CALL(c, "EXEC", ""); /* the newest applied state: not before that is durable */
    assert_int_equal(f.probes, 0);
    fixture_commit(&f);
    EXPECT(c, "*1\r\n$1\r\nv\r\n");
    EXPECT(d, "+OK\r\n");
    firn_fake_run_for(f.world, FIRN_MS);
    queue(c, "GET k", "DEL nokey", "SET k w NX", NULL);
    CALL(c, "EXEC", "");
    assert_int_equal(f.applies, 1);
    assert_int_equal(f.probes, 1);
    fixture_probe_end(&f);
    EXPECT(c, "*3\r\n$1\r\nv\r\n:0\r\n$-1\r\n");
    queue(c, "PING", "SELECT 1", NULL);
    CALL(c, "EXEC", "*2\r\n+PONG\r\n+OK\r\n"); /* no data, nothing to wait for */
    CALL(c, "KV.ACK APPLIED", "+OK\r\n");
    CALL(d, "SET k x", "");
    queue(c, "SELECT 0", "GET k", NULL);
    CALL(c, "EXEC", "*2\r\n+OK\r\n$1\r\nx\r\n");
    CALL(c, "KV.FRESHNESS 0", "+OK\r\n");
    firn_fake_run_for(f.world, FIRN_MS);
    queue(c, "CLIENT SETNAME once", "GET k", NULL);
    CALL(c, "EXEC", "");
    assert_int_equal(f.probes, 2);
    fixture_probe_end(&f);
    EXPECT(c, "*2\r\n+OK\r\n$1\r\nx\r\n");
}

static void busy_writer_takes_reads_only(void **state)
{
    (void)state;
    f.db.busy_why = "of a test";
    f.admit = FIRN_ADMIT_BUSY;
    queue(c, "SET k v", NULL);
    CALL(c, "EXEC", "-KVBUSY of a test; nothing was applied, it is safe to retry\r\n");
    CALL(c, "EXEC", "-ERR EXEC without MULTI\r\n");
    queue(c, "GET k", NULL);
    CALL(c, "EXEC", "*1\r\n$-1\r\n");
    f.admit = FIRN_ADMIT_WAIT;
    queue(c, "CLIENT SETNAME late", "SET k v", NULL);
    CALL(c, "EXEC", "");
    CALL(d, "CLIENT LIST ID 1 TYPE", "-ERR Invalid client ID\r\n");
    f.admit = FIRN_ADMIT_OK;
    firn_engine_advance(f.engine);
    EXPECT(c, "*2\r\n+OK\r\n+OK\r\n");
}

static void refusals_spoil_it(void **state)
{
    (void)state;
    CALL(c, "MULTI", "+OK\r\n");
    CALL(c, "MULTI", "-ERR MULTI calls can not be nested\r\n");
    CALL(c, "WATCH k", "-ERR WATCH inside MULTI is not allowed\r\n");
    CALL(c, "SET k v", "+QUEUED\r\n");
    CALL(c, "EXEC", "*1\r\n+OK\r\n");
    static const char *const bad[][2] = {
        {"GET", "-ERR wrong number of arguments for 'get' command\r\n"},
        {"NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n"},
        {"HELLO 3 SETNAME x", "-ERR Command not allowed inside a transaction\r\n"},
        {"KV.EXPLAIN GET k", "-ERR Command not allowed inside a transaction\r\n"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CALL(c, "MULTI", "+OK\r\n");
        CALL(c, bad[i][0], bad[i][1]);
        CALL(c, "SET k w", "+QUEUED\r\n");
        CALL(c, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    }
    CALL(c, "MULTI", "+OK\r\n");
    CALL(c, "EXEC now",
         "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' "
         "command\r\n");
    CALL(c, "DISCARD", "-ERR DISCARD without MULTI\r\n");
    CALL(c, "GET k", "$1\r\nv\r\n");
    CALL(c, "MULTI", "+OK\r\n");
    CALL(c, "RESET", "+RESET\r\n");
    CALL(c, "GET k", "$1\r\nv\r\n");
}

static void queue_is_bounded(void **state)
{
    (void)state;
    f.settings.client_query_bytes_max = 4096;
    CALL(c, "MULTI", "+OK\r\n");
    unsigned n = 0;
    for (;; n++) {
        client_send(c, "SET key 0123456789012345678901234567890123456789012345678901234567890123");
        firn_fake_run_for(f.world, 1000);
        if (c->got.data[0] != '+')
            break;
        c->got.len = 0;
        assert_true(n < 40);
    }
    EXPECT_START(c, "-ERR a transaction of more than 1048576 commands or, with them, more memory "
                    "than client-query-bytes-max (4096)\r\n");
    assert_true(n > 8);
    client_send(d, "CLIENT LIST ID 1");
    firn_fake_run_for(f.world, 1000);
    char text[600];
    snprintf(text, sizeof text, "%.*s", (int)d->got.len, (const char *)d->got.data);
    assert_non_null(strstr(text, "flags=x"));
    snprintf(text + 500, 100, "multi=%u watch=0", n);
    assert_non_null(strstr(text, text + 500));
    CALL(c, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
}

static void fenced_writer_fails_it(void **state)
{
    (void)state;
    CALL(c, "WATCH k", "+OK\r\n");
    queue(c, "GET k", NULL);
    queue(d, "SET k v", NULL);
    f.db.fenced = true;
    firn_engine_fence(f.engine);
    client_send(c, "EXEC");
    EXPECT_START(c, "-READONLY a newer writer serves this database");
    client_send(d, "EXEC");
    EXPECT_START(d, "-READONLY a newer writer serves this database");
    client_send(d, "WATCH k");
    EXPECT_START(d, "-READONLY");
    CALL(d, "MULTI", "+OK\r\n");
    client_send(d, "SET k v");
    EXPECT_START(d, "-READONLY");
    CALL(d, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
}

static void reader_takes_reads(void **state)
{
    (void)state;
    MANUAL(&f);
    struct firn_entry e = {.key = firn_slice_of("\x10k", 2),
                           .value = firn_slice_str("v"),
                           .seqno = f.db.durable_seqno,
                           .kind = FIRN_RECORD_PUT};
    assert_int_equal(firn_memtable_add(f.mem, &e), FIRN_OK);
    queue(c, "GET k", "DBSIZE", "CLIENT GETNAME", NULL);
    CALL(c, "EXEC", "*3\r\n$1\r\nv\r\n:1\r\n$-1\r\n");
    firn_fake_run_for(f.world, 1200 * FIRN_MS);
    queue(c, "GET k", "KEYS *", NULL);
    CALL(c, "EXEC", ""); /* as old as any read may be */
    assert_int_equal(f.probes, 1);
    fixture_probe_end(&f);
    EXPECT(c, "*2\r\n$1\r\nv\r\n*1\r\n$1\r\nk\r\n");
    CALL(c, "WATCH k", "-READONLY You can't write against a read only replica.\r\n");
    CALL(c, "MULTI", "+OK\r\n");
    CALL(c, "SET k w", "-READONLY You can't write against a read only replica.\r\n");
    CALL(c, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
}

/* ---- WATCH */

/* What another client does between WATCH and EXEC, and whether EXEC fails for it. */
struct touch {
    const char *before, *watch, *between;
    bool fails;
};

static void watch_matrix(void **state)
{
    (void)state;
    static const struct touch t[] = {
        {"SET k 1", "WATCH k", "SET k 2", true},
        {"SET k 1", "WATCH k", "SET k 1", true},
        {"SET k 1", "WATCH k", "SET other 1", false},
        {"SET k 1", "WATCH other k", "INCR k", true},
        {"SET k 1", "WATCH k", "GET k", false},
        {"SET k 1", "WATCH k", "SET k 2 NX", false},
        {"SET k 1", "WATCH k", "DEL k", true},
        {"SET k 1", "WATCH k", "EXPIRE k 100", true},
        {"SET k 1", "WATCH k", "PERSIST k", false},
        {"SET k 1", "WATCH k", "RENAME k l", true},
        {"SET l 1", "WATCH k", "RENAME l k", true},
        {"SET l 1", "WATCH k", "COPY l k REPLACE", true},
        {"SET k 1", "WATCH k", "MSET a 1 k 2", true},
        {"SET k 1", "WATCH k", "FLUSHDB", true},
        {"SET k 1", "WATCH k", "FLUSHALL", true},
        {"SET k 1", "WATCH k", "KV.DELRANGE a z", true},
        {"SET k 1", "WATCH k", "KV.DELRANGE l z", false},
        {"SET k 1", "WATCH k", "KV.DELRANGE a k", false},
        {"DEL k", "WATCH k", "FLUSHALL", false},
        {"DEL k", "WATCH k", "DEL k", false},
        {"DEL k", "WATCH k", "KV.BATCH 1 2 DEL k", false},
        {"SET k 1", "WATCH k", "KV.BATCH 1 2 DEL k", true},
        {"DEL k", "WATCH k", "SET k 1", true},
        {"SET k 1 PX 1", "WATCH k", "GET k", true}, /* it expires before EXEC */
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        client_send(d, t[i].before);
        EXPECT_START(d, "");
        CALL(c, t[i].watch, "+OK\r\n");
        client_send(d, t[i].between);
        EXPECT_START(d, "");
        firn_fake_run_for(f.world, 2 * FIRN_MS);
        queue(c, "PING", NULL);
        print_message("%s, %s, %s\n", t[i].before, t[i].watch, t[i].between);
        CALL(c, "EXEC", t[i].fails ? "*-1\r\n" : "*1\r\n+PONG\r\n");
    }
}

static void watch_is_forgotten(void **state)
{
    (void)state;
    static const char *const end_by[] = {"UNWATCH", "DISCARD", "RESET", "EXEC"};
    CALL(c, "SET k 1", "+OK\r\n");
    for (size_t i = 0; i < 4; i++) {
        CALL(c, "WATCH k", "+OK\r\n");
        if (i == 1 || i == 3)
            CALL(c, "MULTI", "+OK\r\n");
        CALL(d, "SET k 2", "+OK\r\n");
        client_send(c, end_by[i]);
        EXPECT_START(c, "");
        queue(c, "PING", NULL);
        CALL(c, "EXEC", "*1\r\n+PONG\r\n");
    }
    CALL(c, "WATCH k a b c", "+OK\r\n");
    client_hang_up(c);
    CALL(d, "SET k 3", "+OK\r\n");
    CALL(d, "WATCH k", "+OK\r\n");
    CALL(d, "SELECT 1", "+OK\r\n"); /* the key of another database */
    CALL(d, "SET k 3", "+OK\r\n");
    CALL(d, "SET gone 1 PX 1", "+OK\r\n");
    firn_fake_run_for(f.world, 2 * FIRN_MS);
    CALL(d, "WATCH gone", "+OK\r\n"); /* it has expired already */
    queue(d, "PING", NULL);
    CALL(d, "EXEC", "*1\r\n+PONG\r\n");
}

/* A write applied before WATCH and not durable yet: a GET of a DURABLE connection must not show
 * what lay below it, or its EXEC would overwrite that write unseen. */
static void watch_makes_reads_see_what_it_compared(void **state)
{
    (void)state;
    CALL(c, "SET k 1", "+OK\r\n");
    MANUAL(&f);
    CALL(d, "SET k 2", "");
    CALL(c, "GET k", "$1\r\n1\r\n");
    CALL(c, "WATCH k", "+OK\r\n");
    CALL(c, "GET k", "");
    fixture_commit(&f);
    EXPECT(c, "$1\r\n2\r\n");
    CALL(d, "INCR k", "+OK\r\n");
    queue(c, "SET k 3", NULL);
    CALL(c, "EXEC", ""); /* it failed for a write that is not durable */
    fixture_commit(&f);
    EXPECT(c, "*-1\r\n");
    EXPECT(d, ":3\r\n");
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(is_one_group),
        TEST(publishes_to_the_empty_channel),
        TEST(sees_its_own_writes),
        TEST(failed_command_leaves_nothing),
        TEST(too_large_is_refused_whole),
        TEST(long_walks_are_refused_whole),
        TEST(connection_commands_run_in_their_place),
        TEST(reads_alone_are_a_read_without_age),
        TEST(busy_writer_takes_reads_only),
        TEST(refusals_spoil_it),
        TEST(queue_is_bounded),
        TEST(fenced_writer_fails_it),
        cmocka_unit_test_setup_teardown(reader_takes_reads, begin_reader, end),
        TEST(watch_matrix),
        TEST(watch_is_forgotten),
        TEST(watch_makes_reads_see_what_it_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
