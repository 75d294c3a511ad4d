/* Memory that ends anywhere in a transaction: all of it was applied, or nothing and that is said,
 * or the connection is closed; and nothing leaks (the build with ASan sees that). */
#include "engine_fixture.h"

static struct fixture f;
static struct firn_db_vt vt;

static uint64_t fails_at, made, later; /* later: 1 = all after it fail, too */

/* The role's own memory is not what is tested. */
static enum firn_status apply_with_memory(struct firn_db *db, const struct firn_record *rec,
                                          size_t n, uint64_t *slot, uint64_t *seqno)
{
    made += firn_mem_fail_at(0, 0);
    enum firn_status st = fixture_apply(db, rec, n, slot, seqno);
    (void)firn_mem_fail_at(made < fails_at ? fails_at - made : later, (int)later);
    return st;
}

static bool says(const struct client *c, const char *text)
{
    return strstr((const char *)c->got.data, text) != NULL;
}

/* `whole`: how the reply to what was applied begins. Send the lines, the n-th allocation from line
 * `from` on failing; true when there were not so many. */
static bool attempt(const char *const *lines, size_t from, const char *whole, uint64_t n,
                    int sticky)
{
    fixture_start(&f, true);
    vt = *f.db.vt;
    vt.apply = apply_with_memory;
    f.db.vt = &vt;
    fails_at = later = 0;
    struct client *c = fixture_connect(&f), *d = fixture_connect(&f);
    assert_int_equal(firn_buf_reserve(&c->got, 4096), FIRN_OK);
    CALL(d, "MSET left 0 right 0 gone 1", "+OK\r\n");
    for (size_t i = 0; lines[i] && c->open; i++) {
        if (i == from) {
            fails_at = n;
            later = (uint64_t)sticky;
            made = 0;
            (void)firn_mem_fail_at(n, sticky);
        }
        client_send(c, lines[i]);
    }
    firn_fake_run_for(f.world, 2000);
    made += firn_mem_fail_at(0, 0);
    client_send(d, "MGET left right");
    firn_fake_run_for(f.world, 1000);
    assert_int_equal(firn_buf_append(&d->got, "", 1), FIRN_OK);
    assert_int_equal(firn_buf_append(&c->got, "", 1), FIRN_OK);
    bool all = says(d, "*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
    assert_true(all || says(d, "*2\r\n$1\r\n0\r\n$1\r\n0\r\n"));
    if (c->open) {
        assert_true(all == says(c, whole));
        assert_true(all || says(c, "-KVBUSY") || says(c, "-ERR") || says(c, "-EXECABORT"));
    }
    assert_true(made >= n || all);
    fixture_stop(&f);
    return made < n;
}

static void every_allocation(const char *const *lines, size_t from, const char *whole)
{
    for (int sticky = 0; sticky < 2; sticky++) {
        uint64_t n = 1;
        while (!attempt(lines, from, whole, n, sticky))
            n++;
        assert_true(n > 10);
    }
}

static void exec_is_all_or_nothing(void **state)
{
    (void)state;
    static const char *const lines[] = {"WATCH left",     "MULTI",      "INCR left",
                                        "FLUSHALL",       "SET left 1", "CLIENT SETNAME x",
                                        "SET right 1",    "KEYS *",     "RENAME right a",
                                        "RENAME a right", "DBSIZE",     "GET left",
                                        "EXEC",           NULL};
    every_allocation(lines, 12, "*10\r\n");
    every_allocation(lines, 0, "*10\r\n");
}

static void batch_is_all_or_nothing(void **state)
{
    (void)state;
    static const char *const lines[] = {"KV.BATCH ID r 5 3 INCRBY left 1 3 KV.DELRANGE gone gonf 2 "
                                        "GET gone 3 INCRBY right 1 2 GET left",
                                        NULL};
    every_allocation(lines, 0, "*2\r\n");
}

/* Send the line, no memory from the n-th allocation on, and wait; what came is in c->got. */
static struct client *without_memory(const char *const *lines, uint64_t n, uint64_t wait_ns)
{
    struct client *c = fixture_connect(&f);
    assert_int_equal(firn_buf_reserve(&c->got, 4096), FIRN_OK);
    for (; lines[1]; lines++)
        client_send(c, *lines);
    (void)firn_mem_fail_at(n, 1);
    client_send(c, *lines);
    firn_fake_run_for(f.world, wait_ns);
    made = firn_mem_fail_at(0, 0);
    assert_int_equal(firn_buf_append(&c->got, "", 1), FIRN_OK);
    return c;
}

/* A command that finds no memory to be queued is no transaction that is too large. */
static void queueing_names_memory(void **state)
{
    (void)state;
    static const char *const lines[] = {"MULTI", "SET left 1", NULL};
    uint64_t n = 0, said = 0;
    do {
        fixture_start(&f, true);
        struct client *c = without_memory(lines, ++n, 2000);
        assert_false(says(c, "a transaction of more than"));
        said += says(c, "-ERR out of memory");
        fixture_stop(&f);
    } while (made >= n);
    assert_true(said > 0);
}

/* The read that is explained waits in vain, and there is no memory to say so. */
static void explain_names_memory(void **state)
{
    (void)state;
    static const char *const lines[] = {"KV.FRESHNESS 0", "KV.EXPLAIN GET left", NULL};
    uint64_t n = 0;
    do {
        fixture_start(&f, false);
        f.auto_probe = false;
        firn_fake_run_for(f.world, FIRN_SEC); /* the state grows old */
        struct client *c = without_memory(lines, ++n, 10 * FIRN_SEC);
        assert_false(says(c, "internal error"));
        assert_true(!c->open || says(c, "-KV") || says(c, "-ERR out of memory"));
        fixture_stop(&f);
    } while (made >= n);
    assert_true(n > 1);
}

/* Rows gathered before a reply begins: all of them come, or an error does; never fewer than were
 * announced. */
static void rows_are_whole(void **state)
{
    (void)state;
    static const char *const reads[] = {"KV.RANGE '' ''", "KV.RANGE '' '' REV KEYSONLY", "KEYS *",
                                        "SCAN 0 COUNT 100"};
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        char whole[4096];
        for (uint64_t n = 0; n == 0 || made >= n; n++) {
            const char *const lines[] = {"MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7", reads[i], NULL};
            fixture_start(&f, true);
            struct client *c = without_memory(lines, n, 2000); /* 0: there is enough */
            const char *got = (const char *)c->got.data + strlen("+OK\r\n");
            if (n == 0)
                (void)snprintf(whole, sizeof whole, "%s", got);
            else if (c->open && got[0] != '-' && reads[i][0] != 'S') /* SCAN's ids are random */
                assert_string_equal(got, whole);
            else if (c->open && got[0] != '-')
                assert_int_equal(strlen(got), strlen(whole));
            else if (c->open)
                assert_non_null(strstr(got, "out of memory"));
            fixture_stop(&f);
        }
    }
}

/* A page may be larger than a reply may be, where that is small. */
static void rows_fit_or_are_refused(void **state)
{
    (void)state;
    static const char *const reads[] = {"KV.RANGE '' ''", "KEYS *", "SCAN 0 COUNT 100"};
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        fixture_start(&f, true);
        struct client *c = fixture_connect(&f);
        CALL(c, "MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7", "+OK\r\n");
        f.settings.client_output_bytes_max = 80;
        client_send(c, reads[i]);
        EXPECT_START(c, "-ERR the reply is larger than an output buffer may be; ");
        fixture_stop(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exec_is_all_or_nothing), cmocka_unit_test(batch_is_all_or_nothing),
        cmocka_unit_test(queueing_names_memory),  cmocka_unit_test(explain_names_memory),
        cmocka_unit_test(rows_are_whole),         cmocka_unit_test(rows_fit_or_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
