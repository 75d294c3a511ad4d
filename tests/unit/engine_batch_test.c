/* KV.BATCH, KV.TXN, and requests that name an ID (INTERFACES "KV.*", "Traps measured"). */
#include "engine_fixture.h"
#include "format/dedup.h"

#define MANUAL(f) ((f)->auto_commit = (f)->auto_probe = false)

static struct fixture f;
static struct client *c, *d;

static int begin(void **state)
{
    (void)state;
    fixture_start(&f, true);
    c = fixture_connect(&f);
    d = fixture_connect(&f);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fixture_stop(&f);
    return 0;
}

static char token[64];

/* The reply is an array that begins with `head` ("*2\r\n"), a token, and `rest`. */
static void expect_token_(struct client *who, const char *head, const char *rest, int line)
{
    firn_fake_run_for(f.world, 1000);
    assert_int_equal(firn_buf_append(&who->got, "", 1), FIRN_OK);
    const char *got = (const char *)who->got.data, *p = got + strlen(head);
    char *after = NULL;
    if (strncmp(got, head, strlen(head)) != 0 || *p != '$')
        fail_msg("line %d: got \"%s\"", line, got);
    long len = strtol(p + 1, &after, 10);
    assert_true(len > 10 && len < 60);
    snprintf(token, sizeof token, "%.*s", (int)len, after + 2);
    if (strcmp(after + 2 + len + 2, rest) != 0)
        fail_msg("line %d: got \"%s\", not \"%s\"", line, after + 2 + len + 2, rest);
    who->got.len = 0;
}

#define BATCH(who, text, rest)                                                                     \
    do {                                                                                           \
        client_send(who, text);                                                                    \
        expect_token_(who, "*2\r\n", rest, __LINE__);                                              \
    } while (0)
#define TXN(who, text, held, rest)                                                                 \
    do {                                                                                           \
        client_send(who, text);                                                                    \
        expect_token_(who, "*3\r\n:" #held "\r\n", rest, __LINE__);                                \
    } while (0)

static void batch_is_one_group(void **state)
{
    (void)state;
    BATCH(c, "KV.BATCH 6 3 SET a 1 3 INCRBY a 4 2 GET a 3 APPEND b xy 3 EXPIRE b 100 2 PERSIST b",
          "*6\r\n+OK\r\n:5\r\n$1\r\n5\r\n:2\r\n:1\r\n:1\r\n");
    assert_int_equal(f.applies, 1);
    assert_int_equal(f.nlast, 5);
    char line[128];
    snprintf(line, sizeof line, "KV.GET a ATLEAST %s", token);
    CALL(c, line, "$1\r\n5\r\n");
    /* DEL never looks, answers nil and leaves its tombstones */
    BATCH(c, "KV.BATCH 3 3 DEL nokey a 2 GET a 3 PUBLISH ch hello", "*3\r\n$-1\r\n$-1\r\n:0\r\n");
    assert_int_equal(f.nlast, 3);
    assert_int_equal(f.last[0].kind, FIRN_RECORD_DEL);
    assert_int_equal(f.last[1].kind, FIRN_RECORD_DEL);
    assert_int_equal(f.last[2].kind, FIRN_RECORD_PUBLISH);
    BATCH(c, "KV.BATCH 3 3 SET c 1 3 KV.DELRANGE b d 2 GET c", "*3\r\n+OK\r\n+OK\r\n$-1\r\n");
    CALL(c, "DBSIZE", ":0\r\n");
    BATCH(c, "KV.BATCH 1 2 GET c", "*1\r\n$-1\r\n");
    BATCH(c, "KV.BATCH 0", "*0\r\n");
    assert_int_equal(f.applies, 3);
}

static void answer_waits_for_its_slot(void **state)
{
    (void)state;
    MANUAL(&f);
    CALL(c, "KV.BATCH 1 3 SET a 1", "");
    fixture_commit(&f);
    expect_token_(c, "*2\r\n", "*1\r\n+OK\r\n", __LINE__);
    char first[64];
    memcpy(first, token, sizeof first);
    firn_fake_run_for(f.world, FIRN_MS);
    CALL(c, "KV.BATCH 1 2 PERSIST a", ""); /* writes nothing: a read without age */
    assert_int_equal(f.probes, 1);
    fixture_probe_end(&f);
    expect_token_(c, "*2\r\n", "*1\r\n:0\r\n", __LINE__);
    assert_string_equal(first, token);
    CALL(c, "KV.ACK APPLIED", "+OK\r\n");
    BATCH(c, "KV.BATCH 1 3 SET a 2", "*1\r\n+OK\r\n");
    char line[128];
    snprintf(line, sizeof line, "KV.WAIT %s 1000", token);
    CALL(d, line, ""); /* the token names the slot, which is not durable */
    fixture_commit(&f);
    EXPECT(d, "+OK\r\n");
}

static void none_at_all_waits_for_what_its_token_names(void **state)
{
    (void)state;
    MANUAL(&f);
    CALL(d, "SET a 1", "");
    CALL(c, "KV.BATCH 0", "");
    fixture_commit(&f);
    expect_token_(c, "*2\r\n", "*0\r\n", __LINE__);
    EXPECT(d, "+OK\r\n");
}

static void failure_aborts_the_whole(void **state)
{
    (void)state;
    CALL(c, "MSET word abc n 1", "+OK\r\n");
    static const char *const bad[][2] = {
        {"KV.BATCH 2 3 SET a 1 4 SET n 2 NX", "-KVABORT 1 its condition does not hold\r\n"},
        {"KV.BATCH 2 5 SET n 2 IFEQ 3 3 SET a 1", "-KVABORT 0 its condition does not hold\r\n"},
        {"KV.BATCH 2 3 SET a 1 5 SET n 2 NX GET", "-KVABORT 1 its condition does not hold\r\n"},
        {"KV.BATCH 2 3 SET a 1 4 EXPIRE n 10 XX", "-KVABORT 1 its condition does not hold\r\n"},
        {"KV.BATCH 2 3 SET a 1 4 EXPIRE nokey 10 NX", "-KVABORT 1 its condition does not hold\r\n"},
        {"KV.BATCH 2 3 SET a 1 3 INCRBY word 1",
         "-KVABORT 1 ERR value is not an integer or out of range\r\n"},
        {"KV.BATCH 3 3 SET a 1 2 GET a 4 SET a 1 EX", "-KVABORT 2 ERR syntax error\r\n"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CALL(c, bad[i][0], bad[i][1]);
        CALL(c, "EXISTS a", ":0\r\n");
    }
    assert_int_equal(f.applies, 1);
    BATCH(c, "KV.BATCH 2 3 EXPIRE nokey 10 3 SET n 2", "*2\r\n:0\r\n+OK\r\n");
    MANUAL(&f);
    CALL(d, "SET n 3", "");
    CALL(c, "KV.BATCH 1 5 SET n 4 IFEQ 2", ""); /* it failed for a write that is not durable */
    fixture_commit(&f);
    EXPECT(c, "-KVABORT 0 its condition does not hold\r\n");
}

static void malformed_ones_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "KV.BATCH x",
        "KV.BATCH -1",
        "KV.BATCH 1",
        "KV.BATCH 1 3 SET a",
        "KV.BATCH 1 2 SET a",
        "KV.BATCH 1 0 SET",
        "KV.BATCH 1 3 SET a 1 extra",
        "KV.BATCH 1 2 INCR a",
        "KV.BATCH 1 1 FLUSHALL",
        "KV.BATCH 1 1 MULTI",
        "KV.BATCH 1 3 KV.BATCH 1 0",
        "KV.BATCH 9223372036854775807 3 SET a 1",
        "KV.BATCH ID",
        "KV.BATCH ID x",
        "KV.BATCH ID '' 1 3 SET a 1",
        "KV.BATCH ID 01234567890123456789012345678901234567890123456789012345678901234 1 3 SET a 1",
        "KV.TXN 0 THEN",
        "KV.TXN 0 ELSE 0 x",
        "KV.TXN 1 VALUE a = THEN 0",
        "KV.TXN 1 VALUE a == 1 THEN 0",
        "KV.TXN 1 SIZE a = 1 THEN 0",
        "KV.TXN 1 EXISTS a < 1 THEN 0",
        "KV.TXN 1 EXISTS a = 2 THEN 0",
        "KV.TXN 1 VERSION a = -1 THEN 0",
        "KV.TXN 1 DIGEST a = 12 THEN 0",
        "KV.TXN 0 THEN 1 3 SET a 1 ELSE 1 2 SET a",
        "KV.TXN 0 THEN 0 ELSE 0 ELSE 0",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        client_send(c, bad[i]);
        EXPECT_START(c, "-ERR ");
    }
    assert_int_equal(f.applies, 0);
    CALL(c, "MULTI", "+OK\r\n");
    CALL(c, "KV.BATCH 0", "-ERR Command not allowed inside a transaction\r\n");
    CALL(c, "DISCARD", "+OK\r\n");
    f.settings.batch_bytes_max = 150;
    client_send(c, "KV.BATCH ID r 2 3 SET a 0123456789012345678901234567890123456789 3 SET b "
                   "0123456789012345678901234567890123456789");
    EXPECT_START(c, "-ERR 3 records of");
    assert_int_equal(f.applies, 0);
    CALL(c, "COMMAND GETKEYS KV.BATCH ID r 3 3 SET k1 v 3 DEL k2 k3 3 PUBLISH ch m",
         "*3\r\n$2\r\nk1\r\n$2\r\nk2\r\n$2\r\nk3\r\n");
    CALL(c, "COMMAND GETKEYS KV.TXN 1 VALUE k1 = v THEN 1 2 GET k2 ELSE 1 3 SET k3 v",
         "*3\r\n$2\r\nk1\r\n$2\r\nk2\r\n$2\r\nk3\r\n");
}

static void transactions_choose(void **state)
{
    (void)state;
    CALL(c, "MSET a 10 b bb", "+OK\r\n");
    static const struct {
        const char *comparison;
        bool held;
    } t[] = {
        {"VALUE a = 10", true},
        {"VALUE a = 11", false},
        {"VALUE a != 11", true},
        {"VALUE b < bc", true},
        {"VALUE b > bc", false},
        {"VALUE b > b", true},
        {"VALUE nokey = ''", false},
        {"VALUE nokey != 1", true},
        {"VALUE nokey < 1", false},
        {"EXISTS a = 1", true},
        {"EXISTS a = 0", false},
        {"EXISTS nokey = 0", true},
        {"EXISTS nokey != 0", false},
        {"VERSION nokey = 0", true},
        {"VERSION a = 0", false},
        {"VERSION a > 0", true},
        {"VERSION a < 99999999999999", true},
        {"VERSION a != 1", true},
        {"digest nokey = 0123456789abcdef", false},
        {"digest nokey != 0123456789abcdef", true},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char line[200];
        snprintf(line, sizeof line, "KV.TXN 1 %s THEN 1 2 GET a ELSE 1 2 GET b", t[i].comparison);
        print_message("%s\n", t[i].comparison);
        client_send(c, line);
        expect_token_(c, t[i].held ? "*3\r\n:1\r\n" : "*3\r\n:0\r\n",
                      t[i].held ? "*1\r\n$2\r\n10\r\n" : "*1\r\n$2\r\nbb\r\n", __LINE__);
    }
    assert_int_equal(f.applies, 1);
    TXN(c, "KV.TXN 2 EXISTS a = 1 EXISTS b = 1 THEN 2 3 SET a 1 2 DEL b ELSE 1 3 SET a 2", 1,
        "*2\r\n+OK\r\n$-1\r\n");
    TXN(c, "KV.TXN 2 EXISTS a = 1 EXISTS b = 1 THEN 1 3 SET a 1 ELSE 2 3 SET a 2 2 GET a", 0,
        "*2\r\n+OK\r\n$1\r\n2\r\n");
    TXN(c, "KV.TXN 1 EXISTS a = 0 THEN 1 3 SET a 3", 0, "*0\r\n");
    CALL(c, "KV.TXN 0 THEN 2 3 SET a 9 3 INCRBY a x",
         "-KVABORT 1 ERR value is not an integer or out of range\r\n");
    CALL(c, "GET a", "$1\r\n2\r\n");
    client_send(c, "KV.GET a WITHVERSION");
    firn_fake_run_for(f.world, 1000);
    char line[200], *version = (char *)c->got.data + strlen("*2\r\n$1\r\n2\r\n$13\r\n");
    snprintf(line, sizeof line, "KV.TXN 1 VERSION a = %.13s THEN 1 3 SET a 5", version);
    c->got.len = 0;
    TXN(c, line, 1, "*1\r\n+OK\r\n");
    TXN(c, line, 0, "*0\r\n"); /* it has another one now */
}

/* ---- ID */

static void same_id_is_committed_once(void **state)
{
    (void)state;
    static const char batch[] = "KV.BATCH ID r1 3 3 INCRBY n 1 2 GET n 2 GET nokey";
    BATCH(c, batch, "*3\r\n:1\r\n$1\r\n1\r\n$-1\r\n");
    assert_int_equal(f.last[1].kind, FIRN_RECORD_DEDUP);
    assert_int_equal(f.last[1].flags, FIRN_RECORD_HAS_EXPIRY);
    BATCH(d, batch, "*3\r\n:1\r\n$1\r\n1\r\n$-1\r\n");
    CALL(d, "FLUSHALL", "+OK\r\n");
    BATCH(d, batch, "*3\r\n:1\r\n$1\r\n1\r\n$-1\r\n");
    client_send(d, "HELLO 3");
    EXPECT_START(d, "%7");
    BATCH(d, batch, "*3\r\n:1\r\n$1\r\n1\r\n_\r\n");
    assert_int_equal(f.applies, 2);
    static const char other[] = "-ERR this ID was another request's\r\n";
    CALL(d, "KV.BATCH ID r1 1 3 INCRBY n 1", other);
    CALL(d, "KV.TXN ID r1 0 THEN 1 3 INCRBY n 1", other);
    CALL(d, "SELECT 1", "+OK\r\n");
    CALL(d, batch, other);
    CALL(d, "SELECT 0", "+OK\r\n");
    TXN(d, "KV.TXN ID r2 1 EXISTS n = 1 THEN 0 ELSE 1 3 SET n 7", 0, "*1\r\n+OK\r\n");
    TXN(d, "KV.TXN ID r2 1 EXISTS n = 1 THEN 0 ELSE 1 3 SET n 7", 0, "*1\r\n+OK\r\n");
    assert_int_equal(f.applies, 3);
    firn_fake_run_for(f.world, f.settings.dedup_ttl_ns + FIRN_SEC);
    BATCH(c, batch, "*3\r\n:8\r\n$1\r\n8\r\n$-1\r\n"); /* forgotten after dedup-ttl */
}

static void aborts_and_noops_keep_no_id(void **state)
{
    (void)state;
    CALL(c, "SET n 1", "+OK\r\n");
    CALL(c, "KV.BATCH ID r 1 4 SET n 2 NX", "-KVABORT 0 its condition does not hold\r\n");
    BATCH(c, "KV.BATCH ID r 1 2 PERSIST n", "*1\r\n:0\r\n");
    assert_int_equal(f.applies, 1);
    BATCH(c, "KV.BATCH ID r 1 3 SET n 2", "*1\r\n+OK\r\n");
    assert_int_equal(f.applies, 2);
}

static void retry_waits_for_the_first(void **state)
{
    (void)state;
    MANUAL(&f);
    CALL(c, "KV.BATCH ID r 1 3 INCRBY n 1", "");
    CALL(d, "KV.BATCH ID r 1 3 INCRBY n 1", "");
    assert_int_equal(f.applies, 1);
    client_hang_up(c);
    fixture_commit(&f);
    expect_token_(d, "*2\r\n", "*1\r\n:1\r\n", __LINE__);
    CALL(d, "KV.BATCH ID s 1 3 INCRBY n 1", "");
    struct client *e = fixture_connect(&f);
    CALL(e, "KV.BATCH ID s 1 3 INCRBY n 1", "");
    firn_fake_run_for(f.world, 1600 * FIRN_MS);
    EXPECT_START(d, "-KVUNKNOWN");
    EXPECT_START(e, "-KVUNKNOWN"); /* of the same write */
}

static void long_results_are_not_kept(void **state)
{
    (void)state;
    char line[4000];
    memset(line, 'x', sizeof line);
    memcpy(line, "SET k ", 6);
    line[2100] = '\0';
    CALL(c, line, "+OK\r\n");
    client_send(c, "KV.BATCH ID r 3 3 SET n 1 2 GET k 2 GET k");
    EXPECT_START(c, "*2\r\n");
    client_send(c, "KV.BATCH ID r 3 3 SET n 1 2 GET k 2 GET k");
    expect_token_(c, "*2\r\n", "$-1\r\n", __LINE__);
    assert_int_equal(f.applies, 2);
    client_send(c, "KV.BATCH ID s 2 3 SET n 1 2 GET k");
    EXPECT_START(c, "*2\r\n");
    client_send(c, "KV.BATCH ID s 2 3 SET n 1 2 GET k");
    firn_fake_run_for(f.world, 1000);
    assert_true(c->got.len > 2000);
    c->got.len = 0;
    assert_int_equal(f.applies, 3);
}

/* What lies in the store is not trusted. */
static void damaged_record_is_an_error(void **state)
{
    (void)state;
    static const char *const bad[] = {"*1\r\n",
                                      "*1\r\n:x\r\n",
                                      "*1\r\n$5\r\nab\r\n",
                                      "*-1\r\n",
                                      "*1\r\n:1\r\n:1\r\n",
                                      ":1\r\n",
                                      "*1\r\n-ERR\r\n",
                                      "*1\r\n:1"};
    BATCH(c, "KV.BATCH ID r 1 3 SET n 1", "*1\r\n+OK\r\n");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct firn_entry found;
        struct firn_dedup was;
        struct firn_read read;
        uint8_t value[FIRN_DEDUP_MAX];
        firn_read_init(&read, f.lsm);
        assert_int_equal(
            firn_view_get(f.db.view, &read, firn_slice_of("\0r", 2), UINT64_MAX, &found), FIRN_OK);
        assert_int_equal(firn_dedup_decode(found.value, &was), FIRN_OK);
        was.results = firn_slice_str(bad[i]);
        struct firn_entry e = {.key = firn_slice_of("\0r", 2),
                               .value = firn_slice_of(value, firn_dedup_encode(&was, value)),
                               .seqno = ++f.db.applied_seqno,
                               .expiry_ms = found.expiry_ms,
                               .kind = FIRN_RECORD_PUT};
        assert_int_equal(firn_memtable_add(f.mem, &e), FIRN_OK);
        firn_read_clear(&read);
        client_send(c, "KV.BATCH ID r 1 3 SET n 1");
        EXPECT_START(c, "-KVCORRUPT");
    }
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(batch_is_one_group),
        TEST(answer_waits_for_its_slot),
        TEST(failure_aborts_the_whole),
        TEST(malformed_ones_are_refused),
        TEST(transactions_choose),
        TEST(same_id_is_committed_once),
        TEST(aborts_and_noops_keep_no_id),
        TEST(retry_waits_for_the_first),
        TEST(long_results_are_not_kept),
        TEST(damaged_record_is_an_error),
        TEST(none_at_all_waits_for_what_its_token_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
