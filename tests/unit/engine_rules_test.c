/* When a command is answered: gates, freshness, parks, refusals (PROTOCOL "Tailing and freshness",
 * INTERFACES "Outcomes"). */
#include "engine_fixture.h"

#define MANUAL(f) ((f)->auto_commit = (f)->auto_probe = false)

static void write_is_answered_when_durable(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f);
    CALL(c, "SET k v", "");
    assert_int_equal(f.applies, 1);
    fixture_commit(&f);
    EXPECT(c, "+OK\r\n");
    fixture_stop(&f);
}

static void applied_connection_does_not_wait(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f);
    CALL(c, "KV.ACK APPLIED", "+OK\r\n");
    CALL(c, "SET k v", "+OK\r\n");
    CALL(c, "GET k", "$1\r\nv\r\n");
    CALL(c, "WAITAOF 1 0 0", "");
    fixture_commit(&f);
    EXPECT(c, "*2\r\n:1\r\n:0\r\n");
    fixture_stop(&f);
}

static void read_waits_for_own_writes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f), *other = fixture_connect(&f);
    client_send(c, "SET k v");
    CALL(c, "GET k", "");
    CALL(other, "GET k", "$-1\r\n"); /* sees the newest durable state only */
    fixture_commit(&f);
    EXPECT(c, "+OK\r\n$1\r\nv\r\n");
    CALL(other, "GET k", "$1\r\nv\r\n");
    fixture_stop(&f);
}

/* A pipeline of writes and reads is evaluated at once; its replies wait for one commit. */
static void reads_follow_own_writes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f), *other = fixture_connect(&f);
    client_send(c, "SET k v");
    client_send(c, "GET k");
    client_send(c, "SET k w");
    client_send(c, "MGET k l");
    CALL(c, "APPEND k x", "");
    assert_int_equal(f.applies, 3); /* nothing was parked */
    CALL(other, "GET k", "$-1\r\n");
    fixture_commit(&f);
    EXPECT(c, "+OK\r\n$1\r\nv\r\n+OK\r\n*2\r\n$1\r\nw\r\n$-1\r\n:2\r\n");
    CALL(other, "GET k", "$2\r\nwx\r\n");
    fixture_stop(&f);
}

/* It sees others' writes of its batch, too, and must not show them before they are durable. */
static void what_a_following_read_saw_is_durable(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f), *other = fixture_connect(&f);
    CALL(c, "SET k v", "");
    CALL(other, "SET l w", "");
    CALL(c, "GET l", "");
    f.db.durable_gate = 0; /* nothing is durable yet */
    firn_engine_advance(f.engine);
    NOTHING(c);
    fixture_commit(&f);
    EXPECT(c, "+OK\r\n$1\r\nw\r\n");
    EXPECT(other, "+OK\r\n");
    /* A newer batch has been begun by another: the read waits for its own writes alone. */
    CALL(c, "SET k v2", "");
    f.open_slot++;
    CALL(other, "SET l w2", "");
    CALL(c, "GET l", "");
    f.db.durable_gate = f.db.last_gate - 1;
    f.db.durable_seqno = f.db.applied_seqno - 1;
    firn_engine_advance(f.engine);
    EXPECT(c, "+OK\r\n$1\r\nw\r\n");
    NOTHING(other);
    fixture_commit(&f);
    EXPECT(other, "+OK\r\n");
    fixture_stop(&f);
}

static void a_following_read_of_a_fenced_writer_is_unknown(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f);
    client_send(c, "SET k v");
    CALL(c, "GET k", "");
    f.db.fenced = true;
    firn_engine_fence(f.engine);
    firn_fake_run_for(f.world, FIRN_MS);
    assert_null(memchr(c->got.data, '$', c->got.len)); /* the value is not shown */
    EXPECT_START(c, "-KVUNKNOWN");
    fixture_stop(&f);
}

static void write_not_durable_in_time_is_unknown(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f);
    client_send(c, "SET k v");
    CALL(c, "GET k", "");
    firn_fake_run_for(f.world, 1600 * FIRN_MS);
    firn_fake_run_for(f.world, 1);
    EXPECT_START(c, "-KVUNKNOWN");
    assert_int_equal(firn_server_stats(firn_engine_server(f.engine))->expired_writes, 1);
    fixture_stop(&f);
}

/* ---- commands that write nothing */

static void noop_waits_for_the_open_batch(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *a = fixture_connect(&f), *b = fixture_connect(&f);
    CALL(a, "SET k v", "");
    CALL(b, "SET k w NX", "");
    assert_int_equal(f.applies, 1);
    assert_int_equal(f.probes, 0); /* the open batch's commit is the probe */
    fixture_commit(&f);
    EXPECT(b, "$-1\r\n");
    EXPECT(a, "+OK\r\n");
    fixture_stop(&f);
}

static void noop_without_a_batch_needs_a_probe(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f);
    firn_fake_run_for(f.world, FIRN_MS);
    CALL(c, "DEL absent", "");
    assert_int_equal(f.probes, 1);
    assert_int_equal(f.applies, 0);
    fixture_probe_end(&f);
    EXPECT(c, ":0\r\n");
    fixture_stop(&f);
}

static void noop_on_applied_connection_is_a_read(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f);
    CALL(c, "KV.ACK APPLIED", "+OK\r\n");
    CALL(c, "DEL absent", ":0\r\n"); /* the state is fresh enough for 1 s */
    CALL(c, "KV.FRESHNESS 0", "+OK\r\n");
    firn_fake_run_for(f.world, FIRN_MS);
    CALL(c, "DEL absent", "");
    assert_int_equal(f.probes, 1);
    fixture_probe_end(&f);
    EXPECT(c, ":0\r\n");
    fixture_stop(&f);
}

static void data_errors_wait_like_noops(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f), *d = fixture_connect(&f);
    CALL(c, "SET k word", "");
    CALL(d, "INCR k", "");
    fixture_commit(&f);
    EXPECT(d, "-ERR value is not an integer or out of range\r\n");
    EXPECT(c, "+OK\r\n");
    fixture_stop(&f);
}

static void noop_not_confirmed_in_time_is_stale(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f);
    firn_fake_run_for(f.world, FIRN_MS);
    CALL(c, "DEL absent", "");
    firn_fake_run_for(f.world, 1600 * FIRN_MS);
    EXPECT_START(c, "-KVSTALE");
    fixture_stop(&f);
}

/* ---- freshness */

static void old_state_needs_a_probe(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, false);
    MANUAL(&f);
    struct client *c = fixture_connect(&f), *d = fixture_connect(&f);
    CALL(c, "GET k", "$-1\r\n");
    assert_int_equal(f.hints, 0);
    firn_fake_run_for(f.world, 600 * FIRN_MS);
    CALL(c, "GET k", "$-1\r\n"); /* old, but not too old: served, and the next probe begun */
    assert_int_equal(f.hints, 1);
    assert_int_equal(f.probes, 0);
    firn_fake_run_for(f.world, 600 * FIRN_MS);
    CALL(c, "GET k", "");
    CALL(d, "GET k", "");
    assert_int_equal(f.probes, 2);
    fixture_probe_end(&f);
    EXPECT(c, "$-1\r\n");
    EXPECT(d, "$-1\r\n");
    fixture_stop(&f);
}

static void freshness_not_had_in_time_is_stale(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, false);
    MANUAL(&f);
    struct client *c = fixture_connect(&f);
    CALL(c, "KV.FRESHNESS 0", "+OK\r\n");
    firn_fake_run_for(f.world, FIRN_MS);
    CALL(c, "GET k", "");
    firn_fake_run_for(f.world, 1530 * FIRN_MS);
    EXPECT_START(c, "-KVSTALE");
    fixture_probe_end(&f);
    NOTHING(c);
    CALL(c, "PING", "+PONG\r\n");
    fixture_stop(&f);
}

static void config_set_takes_effect_at_once(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f), *d = fixture_connect(&f);
    CALL(d, "KV.ACK DURABLE", "+OK\r\n");
    CALL(c, "CONFIG SET ack applied", "+OK\r\n");
    CALL(c, "SET k v", "+OK\r\n");
    CALL(d, "SET k w", ""); /* has chosen for itself */
    fixture_commit(&f);
    EXPECT(d, "+OK\r\n");
    CALL(d, "KV.ACK DEFAULT", "+OK\r\n");
    CALL(d, "SET k w", "+OK\r\n");
    fixture_stop(&f);
}

/* ---- refusals */

static void room(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    struct client *c = fixture_connect(&f);
    f.admit = FIRN_ADMIT_WAIT;
    client_send(c, "SET k v");
    CALL(c, "PING", "");
    f.admit = FIRN_ADMIT_OK;
    firn_engine_advance(f.engine);
    EXPECT(c, "+OK\r\n+PONG\r\n");
    f.admit = FIRN_ADMIT_WAIT;
    f.db.busy_why = "the log is full";
    CALL(c, "SET k v", "");
    firn_fake_run_for(f.world, 1600 * FIRN_MS);
    EXPECT(c, "-KVBUSY the log is full; nothing was applied, it is safe to retry\r\n");
    f.admit = FIRN_ADMIT_BUSY;
    CALL(c, "SET k v", "-KVBUSY the log is full; nothing was applied, it is safe to retry\r\n");
    CALL(c, "GET k", "$1\r\nv\r\n");
    assert_int_equal(f.applies, 1);
    fixture_stop(&f);
}

static void fenced(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f), *d = fixture_connect(&f);
    CALL(c, "SET k v", "");
    CALL(c, "GET k", "");
    f.admit = FIRN_ADMIT_WAIT;
    CALL(d, "SET k w", "");
    snprintf(f.db.writer_addr, sizeof f.db.writer_addr, "10.0.0.2:6379");
    f.db.fenced = true;
    firn_engine_fence(f.engine);
    EXPECT_START(d, "-READONLY a newer writer serves this database");
    EXPECT_START(c, "-KVUNKNOWN");
    CALL(d, "SET k x",
         "-READONLY a newer writer serves this database, or this one is going down; "
         "the writer is at 10.0.0.2:6379\r\n");
    fixture_stop(&f);
}

static void reader_refuses_writes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, false);
    struct client *c = fixture_connect(&f);
    CALL(c, "SET k v", "-READONLY You can't write against a read only replica.\r\n");
    snprintf(f.db.writer_addr, sizeof f.db.writer_addr, "w:1");
    CALL(c, "INCR k",
         "-READONLY You can't write against a read only replica; the writer is at w:1\r\n");
    EXPECT(c, "");
    CALL(c, "CONFIG SET history 1h",
         "-READONLY 'history' is kept in the manifest: set it on the writer at w:1\r\n");
    fixture_stop(&f);
}

static void loading(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    struct client *c = fixture_connect(&f);
    f.db.serving = false;
    firn_engine_advance(f.engine);
    client_send(c, "GET k");
    EXPECT_START(c, "-LOADING");
    f.db.serving = true;
    firn_engine_advance(f.engine);
    CALL(c, "GET k", "$-1\r\n");
    fixture_stop(&f);
}

/* ---- tokens, ends */

static void tokens(void **state)
{
    (void)state;
    struct fixture f;
    char token[128], line[256];
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f), *d = fixture_connect(&f);
    client_send(c, "SET k v");
    client_send(c, "KV.TOKEN");
    fixture_commit(&f);
    firn_fake_run_for(f.world, 1000);
    assert_int_equal(firn_buf_append(&c->got, "", 1), FIRN_OK);
    assert_memory_equal(c->got.data, "+OK\r\n$", 6);
    const char *text = strchr((char *)c->got.data + 6, '\n') + 1;
    snprintf(token, sizeof token, "%.*s", (int)strcspn(text, "\r"), text);
    c->got.len = 0;
    /* The writer has it; a node one slot behind waits, then says so. */
    snprintf(line, sizeof line, "KV.GET k WITHVERSION ATLEAST %s", token);
    CALL(d, line, "*2\r\n$1\r\nv\r\n$13\r\n3298534883329\r\n");
    f.db.durable_place.slot--;
    CALL(d, line, "");
    f.db.durable_place.slot++;
    firn_engine_advance(f.engine);
    EXPECT(d, "*2\r\n$1\r\nv\r\n$13\r\n3298534883329\r\n");
    f.db.durable_place.slot--;
    snprintf(line, sizeof line, "KV.WAIT %s 200", token);
    CALL(d, line, "");
    firn_fake_run_for(f.world, 250 * FIRN_MS);
    EXPECT(d, "-KVSTALE the token was not reached in time\r\n");
    CALL(d, "KV.WAIT nonsense 0", "-ERR invalid token\r\n");
    fixture_stop(&f);
}

static void connection_closes_while_parked(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f), *d = fixture_connect(&f);
    client_send(c, "SET k v");
    CALL(c, "GET k", "");
    client_hang_up(c);
    CALL(d, "GET k", "$-1\r\n");
    fixture_commit(&f);
    CALL(d, "GET k", "$1\r\nv\r\n");
    fixture_stop(&f);
}

static void manifest_setting_is_committed(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    struct client *c = fixture_connect(&f);
    CALL(c, "CONFIG SET history 2h freshness 250ms", "+OK\r\n");
    assert_string_equal(f.set_name, "history");
    assert_string_equal(f.set_value, "2h");
    assert_int_equal(f.settings.freshness_ns, 250 * FIRN_MS);
    CALL(c, "CONFIG GET freshness", "*2\r\n$9\r\nfreshness\r\n$5\r\n250ms\r\n");
    CALL(c, "CONFIG SET nonsense 1",
         "-ERR Unknown option or number of arguments for CONFIG SET - 'nonsense'\r\n");
    client_send(c, "CONFIG SET store file:///x");
    EXPECT_START(c, "-ERR CONFIG SET failed (possibly related to argument 'store')");
    fixture_stop(&f);
}

static void end_commit(struct fixture *f, enum firn_status st)
{
    struct firn_err err = {"the store"};
    f->set_done(f->set_arg, st, &err);
    firn_fake_run_for(f->world, FIRN_MS);
}

static void a_setting_is_answered_in_time(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    struct client *c = fixture_connect(&f), *d = fixture_connect(&f);
    f.set_held = true;
    CALL(c, "CONFIG SET history 2h timeout 7", "");
    firn_fake_run_for(f.world, 1400 * FIRN_MS);
    CALL(c, "PING", "");
    firn_fake_run_for(f.world, 200 * FIRN_MS);
    EXPECT(c, "-KVUNKNOWN the manifest is not known to be written within 1500 ms; what was to be "
              "set may yet be, once\r\n+PONG\r\n");
    CALL(c, "CONFIG GET timeout", "*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n");
    end_commit(&f, FIRN_OK); /* nobody waits for it any more */
    CALL(c, "CONFIG SET history 3h", "");
    firn_fake_run_for(f.world, 1400 * FIRN_MS);
    end_commit(&f, FIRN_OK);
    EXPECT(c, "+OK\r\n");
    CALL(c, "CONFIG SET history 4h", "");
    end_commit(&f, FIRN_UNCERTAIN);
    EXPECT_START(c, "-KVUNKNOWN");
    CALL(c, "CONFIG SET history 5h", "");
    end_commit(&f, FIRN_DENIED);
    EXPECT_START(c, "-ERR CONFIG SET failed (possibly related to argument 'history') - the store");
    CALL(c, "CONFIG SET history 6h", "");
    client_hang_up(c);
    firn_fake_run_for(f.world, 2 * FIRN_SEC);
    end_commit(&f, FIRN_OK);
    CALL(d, "CONFIG SET history 7h", "");
    f.db.fenced = true; /* which says nothing about the commit */
    firn_engine_fence(f.engine);
    EXPECT(d, "");
    end_commit(&f, FIRN_UNCERTAIN);
    EXPECT_START(d, "-KVUNKNOWN");
    CALL(d, "CONFIG SET history 8h",
         "-READONLY 'history' is kept in the manifest: set it on the writer\r\n");
    fixture_stop(&f);
}

static void explanation_waits_as_the_read(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f);
    CALL(c, "KV.ACK APPLIED", "+OK\r\n");
    CALL(c, "SET k v", "+OK\r\n");
    CALL(c, "KV.ACK DURABLE", "+OK\r\n");
    CALL(c, "KV.EXPLAIN GET k", ""); /* it follows the connection's own write */
    fixture_commit(&f);
    EXPECT_START(c, "*22\r\n$5\r\ntrips\r\n:0\r\n");
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_is_answered_when_durable),
        cmocka_unit_test(applied_connection_does_not_wait),
        cmocka_unit_test(read_waits_for_own_writes),
        cmocka_unit_test(reads_follow_own_writes),
        cmocka_unit_test(what_a_following_read_saw_is_durable),
        cmocka_unit_test(explanation_waits_as_the_read),
        cmocka_unit_test(a_following_read_of_a_fenced_writer_is_unknown),
        cmocka_unit_test(write_not_durable_in_time_is_unknown),
        cmocka_unit_test(noop_waits_for_the_open_batch),
        cmocka_unit_test(noop_without_a_batch_needs_a_probe),
        cmocka_unit_test(noop_on_applied_connection_is_a_read),
        cmocka_unit_test(data_errors_wait_like_noops),
        cmocka_unit_test(noop_not_confirmed_in_time_is_stale),
        cmocka_unit_test(old_state_needs_a_probe),
        cmocka_unit_test(freshness_not_had_in_time_is_stale),
        cmocka_unit_test(config_set_takes_effect_at_once),
        cmocka_unit_test(room),
        cmocka_unit_test(fenced),
        cmocka_unit_test(reader_refuses_writes),
        cmocka_unit_test(loading),
        cmocka_unit_test(tokens),
        cmocka_unit_test(connection_closes_while_parked),
        cmocka_unit_test(manifest_setting_is_committed),
        cmocka_unit_test(a_setting_is_answered_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
