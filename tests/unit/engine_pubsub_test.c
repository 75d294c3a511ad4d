/* Pub/sub and keyspace events: who gets what, when, in which order; and what an idle node does for
 * it (nothing). */
#include "engine_fixture.h"

#define MANUAL(f) ((f)->auto_commit = (f)->auto_probe = false)
#define SUBSCRIBED "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
#define MESSAGE(text) "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n" text "\r\n"

/* ---- subscribing */

static void subscribe_mode(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    struct client *c = fixture_connect(&f);
    CALL(c, "SUBSCRIBE a b a",
         SUBSCRIBED "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"
                    "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:2\r\n");
    CALL(c, "GET x",
         "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
         "are allowed in this context\r\n");
    CALL(c, "HELLO 3",
         "-ERR Can't execute 'hello': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
         "are allowed in this context\r\n");
    CALL(c, "GET", "-ERR wrong number of arguments for 'get' command\r\n");
    CALL(c, "PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    CALL(c, "PING hi", "*2\r\n$4\r\npong\r\n$2\r\nhi\r\n");
    CALL(c, "PSUBSCRIBE p* q*",
         "*3\r\n$10\r\npsubscribe\r\n$2\r\np*\r\n:3\r\n*3\r\n$10\r\npsubscribe\r\n$2\r\nq*\r\n:"
         "4\r\n");
    CALL(c, "SSUBSCRIBE s", "*3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n");
    CALL(c, "UNSUBSCRIBE zz", "*3\r\n$11\r\nunsubscribe\r\n$2\r\nzz\r\n:4\r\n");
    CALL(c, "UNSUBSCRIBE",
         "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:3\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:"
         "2\r\n");
    CALL(c, "UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:2\r\n");
    CALL(c, "SUNSUBSCRIBE", "*3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:0\r\n");
    CALL(c, "PUNSUBSCRIBE q*", "*3\r\n$12\r\npunsubscribe\r\n$2\r\nq*\r\n:1\r\n");
    assert_true(firn_engine_listens(f.engine));
    CALL(c, "PUNSUBSCRIBE", "*3\r\n$12\r\npunsubscribe\r\n$2\r\np*\r\n:0\r\n");
    CALL(c, "GET x", "$-1\r\n");
    assert_false(firn_engine_listens(f.engine));
    CALL(c, "SUBSCRIBE a", SUBSCRIBED);
    CALL(c, "RESET", "+RESET\r\n");
    CALL(c, "GET x", "$-1\r\n");
    assert_false(firn_engine_listens(f.engine));
    CALL(c, "SUBSCRIBE a", SUBSCRIBED);
    CALL(c, "QUIT", "+OK\r\n");
    assert_false(c->open);
    assert_false(firn_engine_listens(f.engine));
    assert_int_equal(f.feed_wanted, 3);
    fixture_stop(&f);
}

static void resp3_pushes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    struct client *c = fixture_connect(&f);
    client_send(c, "HELLO 3");
    EXPECT_START(c, "%7");
    CALL(c, "SUBSCRIBE a", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    CALL(c, "PSUBSCRIBE a*", ">3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:2\r\n");
    CALL(c, "GET x", "_\r\n");
    CALL(c, "PING", "+PONG\r\n");
    /* The reply and then the pushes, in its place in the log. */
    CALL(c, "PUBLISH a m",
         ":2\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n"
         ">4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$1\r\nm\r\n");
    CALL(c, "CLIENT REPLY OFF", "");
    CALL(c, "PUBLISH a m",
         ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n"
         ">4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$1\r\nm\r\n");
    CALL(c, "SUBSCRIBE z", ">3\r\n$9\r\nsubscribe\r\n$1\r\nz\r\n:3\r\n");
    CALL(c, "CLIENT REPLY ON", "+OK\r\n");
    CALL(c, "UNSUBSCRIBE nope", ">3\r\n$11\r\nunsubscribe\r\n$4\r\nnope\r\n:3\r\n");
    fixture_stop(&f);
}

static void shard_channels_are_apart(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    struct client *c = fixture_connect(&f), *s = fixture_connect(&f), *p = fixture_connect(&f);
    f.auto_reload = true;
    CALL(c, "SUBSCRIBE a", SUBSCRIBED);
    client_send(c, "PSUBSCRIBE *");
    EXPECT_START(c, "*3");
    CALL(s, "SSUBSCRIBE a", "*3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n");
    CALL(p, "SPUBLISH a m", ":1\r\n");
    EXPECT(s, "*3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$1\r\nm\r\n");
    NOTHING(c);
    CALL(p, "PUBLISH a m", ":2\r\n");
    NOTHING(s);
    EXPECT(c, MESSAGE("m") "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$1\r\nm\r\n");
    fixture_stop(&f);
}

static void pubsub_tells_of_this_node(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    struct client *c = fixture_connect(&f), *d = fixture_connect(&f), *x = fixture_connect(&f);
    client_send(c, "SUBSCRIBE a bb");
    client_send(d, "SUBSCRIBE a");
    client_send(d, "PSUBSCRIBE p* q*");
    client_send(c, "PSUBSCRIBE p*");
    client_send(d, "SSUBSCRIBE s");
    firn_fake_run_for(f.world, 1000);
    CALL(x, "PUBSUB CHANNELS", "*2\r\n$1\r\na\r\n$2\r\nbb\r\n");
    CALL(x, "PUBSUB CHANNELS b*", "*1\r\n$2\r\nbb\r\n");
    CALL(x, "PUBSUB CHANNELS a b",
         "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB "
         "HELP.\r\n");
    CALL(x, "PUBSUB NUMSUB", "*0\r\n");
    CALL(x, "PUBSUB NUMSUB a z", "*4\r\n$1\r\na\r\n:2\r\n$1\r\nz\r\n:0\r\n");
    CALL(x, "PUBSUB NUMPAT", ":2\r\n");
    CALL(x, "PUBSUB SHARDCHANNELS", "*1\r\n$1\r\ns\r\n");
    CALL(x, "PUBSUB SHARDNUMSUB s", "*2\r\n$1\r\ns\r\n:1\r\n");
    CALL(x, "PUBSUB FOO", "-ERR unknown subcommand 'FOO'. Try PUBSUB HELP.\r\n");
    client_send(x, "CLIENT LIST TYPE pubsub");
    firn_fake_run_for(f.world, 1000);
    assert_non_null(strstr((const char *)x->got.data, "flags=P"));
    assert_non_null(strstr((const char *)x->got.data, "sub=2 psub=1 ssub=0"));
    assert_non_null(strstr((const char *)x->got.data, "sub=1 psub=2 ssub=1"));
    client_hang_up(d);
    x->got.len = 0;
    CALL(x, "PUBSUB NUMSUB a", "*2\r\n$1\r\na\r\n:1\r\n");
    CALL(x, "PUBSUB NUMPAT", ":1\r\n");
    CALL(x, "PUBSUB SHARDCHANNELS", "*0\r\n");
    fixture_stop(&f);
}

/* ---- when */

static void message_comes_when_durable(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    struct client *c = fixture_connect(&f), *p = fixture_connect(&f);
    CALL(c, "SUBSCRIBE a", SUBSCRIBED);
    MANUAL(&f);
    CALL(p, "PUBLISH a 1", "");
    NOTHING(c);
    fixture_commit(&f);
    EXPECT(p, ":1\r\n");
    EXPECT(c, MESSAGE("1"));
    CALL(p, "KV.ACK APPLIED", "+OK\r\n");
    CALL(p, "PUBLISH a 2", ":1\r\n"); /* acknowledged at once, delivered when durable */
    NOTHING(c);
    fixture_commit(&f);
    EXPECT(c, MESSAGE("2"));
    fixture_stop(&f);
}

/* What lay in slots begun before SUBSCRIBE came is not for it; what was published after it was
 * answered is. */
static void subscribe_waits_for_what_was_before(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    MANUAL(&f);
    struct client *c = fixture_connect(&f), *p = fixture_connect(&f);
    CALL(p, "KV.ACK APPLIED", "+OK\r\n");
    CALL(p, "PUBLISH a 1", ":0\r\n");
    CALL(c, "SUBSCRIBE a", "");
    assert_int_equal(f.probes, 1);
    fixture_probe_end(&f); /* of this the open batch is no part */
    NOTHING(c);
    fixture_commit(&f);
    EXPECT(c, SUBSCRIBED);
    CALL(p, "PUBLISH a 2", ":1\r\n");
    fixture_commit(&f);
    EXPECT(c, MESSAGE("2"));
    fixture_stop(&f);
}

/* The first to listen waits for slots on their way: those closed meanwhile land after it was
 * answered, and are for it. */
static void first_listener_gets_what_closed_while_it_waited(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    struct client *c = fixture_connect(&f), *t = fixture_connect(&f), *p = fixture_connect(&f);
    client_send(t, "HELLO 3");
    EXPECT_START(t, "%7");
    MANUAL(&f);
    CALL(p, "KV.ACK APPLIED", "+OK\r\n");
    CALL(p, "PUBLISH a 0", ":0\r\n");
    fixture_close(&f);
    CALL(c, "SUBSCRIBE a", "");
    CALL(t, "CLIENT TRACKING ON", "");
    CALL(p, "PUBLISH a 1", ":0\r\n");
    CALL(p, "SET k v", "+OK\r\n");
    fixture_close(&f);
    fixture_land(&f);
    fixture_probe_end(&f);
    EXPECT(c, SUBSCRIBED);
    EXPECT(t, "+OK\r\n");
    CALL(t, "GET k", "_\r\n"); /* as it was before the slot on its way */
    fixture_land(&f);
    EXPECT(c, MESSAGE("1"));
    EXPECT(t, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
    /* Who gives up leaves nothing behind. */
    struct client *g = fixture_connect(&f);
    client_hang_up(c);
    client_hang_up(t);
    firn_fake_run_for(f.world, 1000);
    assert_false(firn_engine_listens(f.engine));
    CALL(g, "SUBSCRIBE a", "");
    assert_true(firn_engine_listens(f.engine));
    client_hang_up(g);
    firn_fake_run_for(f.world, 1000);
    assert_false(firn_engine_listens(f.engine));
    fixture_stop(&f);
}

static void reader_subscribes_after_a_probe(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, false);
    MANUAL(&f);
    struct client *c = fixture_connect(&f);
    struct firn_record m = {.kind = FIRN_RECORD_PUBLISH,
                            .event = FIRN_EVENT_PUBLISH,
                            .key = firn_slice_str("a"),
                            .value = firn_slice_str("1")};
    CALL(c, "SUBSCRIBE a", "");
    assert_true(firn_engine_listens(f.engine)); /* slots are kept, a reader polls */
    assert_int_equal(f.feed_wanted, 1);
    fixture_feed(&f, &m, 1); /* met on the way */
    NOTHING(c);
    fixture_probe_end(&f);
    EXPECT(c, SUBSCRIBED);
    assert_int_equal(f.feed_wanted, 1);
    m.value = firn_slice_str("2");
    fixture_feed(&f, &m, 1);
    EXPECT(c, MESSAGE("2"));
    /* A store that does not answer: nothing is subscribed, and it is said. */
    CALL(c, "SUBSCRIBE b", "");
    firn_fake_run_for(f.world, 1600 * FIRN_MS);
    EXPECT_START(c, "-KVSTALE");
    CALL(c, "UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n");
    struct client *p = fixture_connect(&f);
    client_send(p, "PUBLISH a x");
    EXPECT_START(p, "-READONLY");
    fixture_stop(&f);
}

/* A message waits behind the held reply of a command before it. */
static void messages_keep_their_place(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    struct client *c = fixture_connect(&f);
    client_send(c, "HELLO 3");
    EXPECT_START(c, "%7");
    CALL(c, "SUBSCRIBE a", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    MANUAL(&f);
    client_send(c, "PUBLISH a 1");
    client_send(c, "SET k v");
    client_send(c, "PUBLISH a 2");
    CALL(c, "INCR n", "");
    fixture_commit(&f);
    EXPECT(c, ":1\r\n+OK\r\n:1\r\n:1\r\n"
              ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n1\r\n"
              ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n2\r\n");
    fixture_stop(&f);
}

static void skipped_slots_end_subscribers(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, false);
    struct client *c = fixture_connect(&f), *other = fixture_connect(&f);
    CALL(c, "SUBSCRIBE a", SUBSCRIBED);
    firn_engine_feed_gap(f.engine);
    firn_fake_run_for(f.world, 1000);
    assert_false(c->open);
    assert_true(other->open);
    assert_false(firn_engine_listens(f.engine));
    firn_engine_feed_gap(f.engine);
    fixture_stop(&f);
}

/* ---- slow subscribers */

static void slow_subscriber_is_cut_off(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    f.settings.pubsub_output_bytes_max = 1u << 20;
    f.settings.pubsub_output_soft_bytes = 1u << 18;
    assert_int_equal(firn_engine_reload(f.engine), FIRN_OK);
    struct client *slow = fixture_connect(&f), *good = fixture_connect(&f);
    CALL(slow, "SUBSCRIBE a", SUBSCRIBED);
    CALL(good, "SUBSCRIBE a", SUBSCRIBED);
    slow->stuck = true;
    char *text = malloc(100000);
    memset(text, 'x', 100000);
    struct firn_record m = {.kind = FIRN_RECORD_PUBLISH,
                            .event = FIRN_EVENT_PUBLISH,
                            .key = firn_slice_str("a"),
                            .value = firn_slice_of(text, 100000)};
    const struct firn_server_stats *st = firn_server_stats(firn_engine_server(f.engine));
    for (int i = 0; i < 20; i++) {
        fixture_feed(&f, &m, 1);
        firn_fake_run_for(f.world, 1000);
        assert_int_equal(slow->open, i < 10);
    }
    assert_int_equal(st->pubsub_limit_closed, 1);
    assert_true(good->open);
    assert_true(good->got.len > 20 * 100000);

    /* Above the soft limit for so long. */
    struct client *lame = fixture_connect(&f);
    CALL(lame, "SUBSCRIBE a", SUBSCRIBED);
    lame->stuck = true;
    for (int i = 0; i < 3; i++)
        fixture_feed(&f, &m, 1);
    firn_fake_run_for(f.world, 55 * FIRN_SEC);
    assert_true(lame->open);
    firn_fake_run_for(f.world, 10 * FIRN_SEC);
    assert_false(lame->open);
    assert_int_equal(st->pubsub_limit_closed, 2);
    free(text);
    fixture_stop(&f);
}

/* Whichever allocation fails: a subscriber gets the message, or an error, or is closed. */
static void memory_ends_anywhere(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 30; n++) {
        struct fixture f;
        fixture_start(&f, true);
        f.auto_reload = true;
        struct client *c = fixture_connect(&f), *p = fixture_connect(&f);
        CALL(p, "PING", "+PONG\r\n");
        assert_int_equal(firn_buf_reserve(&c->got, 65536), FIRN_OK);
        assert_int_equal(firn_buf_reserve(&p->got, 65536), FIRN_OK);
        assert_int_equal(firn_buf_reserve(&f.open, 65536), FIRN_OK);
        (void)firn_mem_fail_at(n, 0);
        client_send(c, "SUBSCRIBE a");
        firn_fake_run_for(f.world, 1000);
        client_send(p, "PUBLISH a m");
        firn_fake_run_for(f.world, 1000);
        (void)firn_mem_fail_at(0, 0);
        bool told = memmem(c->got.data, c->got.len, "message", strlen("message")) != NULL;
        bool refused = memchr(c->got.data, '-', c->got.len) != NULL;
        bool published = memmem(p->got.data, p->got.len, ":1", 2) != NULL;
        assert_true(!published || told || refused || !c->open);
        fixture_stop(&f);
    }
}

/* ---- keyspace events */

#define EVENT(channel_len, channel, len, message)                                                  \
    "*4\r\n$8\r\npmessage\r\n$6\r\n__key*\r\n$" channel_len "\r\n" channel "\r\n$" len             \
    "\r\n" message "\r\n"

static void set_notify(struct fixture *f, const char *letters)
{
    firn_free(f->settings.notify_keyspace_events);
    f->settings.notify_keyspace_events = firn_strdup(letters);
}

static void events_of_commands(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    struct client *c = fixture_connect(&f), *w = fixture_connect(&f);
    client_send(c, "PSUBSCRIBE __key*");
    NOTHING(c); /* which events there are is asked for first */
    f.db.reload_done = f.reloads;
    firn_engine_advance(f.engine);
    EXPECT_START(c, "*3");
    CALL(w, "SET k v", "+OK\r\n");
    NOTHING(c); /* none are asked for */
    set_notify(&f, "KEA");
    CALL(w, "SET k v EX 10", "+OK\r\n");
    EXPECT(c,
           EVENT("16", "__keyspace@0__:k", "3", "set") EVENT("18", "__keyevent@0__:set", "1", "k")
               EVENT("16", "__keyspace@0__:k", "6", "expire")
                   EVENT("21", "__keyevent@0__:expire", "1", "k"));
    CALL(w, "SELECT 12", "+OK\r\n");
    CALL(w, "INCR n", ":1\r\n");
    EXPECT(c, EVENT("17", "__keyspace@12__:n", "6", "incrby")
                  EVENT("22", "__keyevent@12__:incrby", "1", "n"));
    set_notify(&f, "Eg");
    CALL(w, "SET n v EX 10", "+OK\r\n");
    EXPECT(c, EVENT("22", "__keyevent@12__:expire", "1", "n"));
    CALL(w, "DEL n", ":1\r\n");
    EXPECT(c, EVENT("19", "__keyevent@12__:del", "1", "n"));
    CALL(w, "FLUSHDB", "+OK\r\n");
    CALL(w, "DEL n", ":0\r\n");
    NOTHING(c);
    set_notify(&f, "KE");
    CALL(w, "SET n v", "+OK\r\n");
    NOTHING(c);
    fixture_stop(&f);
}

static void expired_records_are_events(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, false);
    struct client *c = fixture_connect(&f);
    f.auto_reload = true;
    CALL(c, "SUBSCRIBE __keyevent@1__:expired",
         "*3\r\n$9\r\nsubscribe\r\n$22\r\n__keyevent@1__:expired\r\n:1\r\n");
    struct firn_record r = {.kind = FIRN_RECORD_EXPIRED,
                            .event = FIRN_EVENT_EXPIRED,
                            .key = firn_slice_of("\x11k", 2),
                            .value_seqno = 7};
    set_notify(&f, "Ex");
    fixture_feed(&f, &r, 1);
    EXPECT(c, "*3\r\n$7\r\nmessage\r\n$22\r\n__keyevent@1__:expired\r\n$1\r\nk\r\n");
    r.event = 200; /* of a later version */
    fixture_feed(&f, &r, 1);
    NOTHING(c);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscribe_mode),
        cmocka_unit_test(resp3_pushes),
        cmocka_unit_test(shard_channels_are_apart),
        cmocka_unit_test(pubsub_tells_of_this_node),
        cmocka_unit_test(message_comes_when_durable),
        cmocka_unit_test(subscribe_waits_for_what_was_before),
        cmocka_unit_test(first_listener_gets_what_closed_while_it_waited),
        cmocka_unit_test(reader_subscribes_after_a_probe),
        cmocka_unit_test(messages_keep_their_place),
        cmocka_unit_test(skipped_slots_end_subscribers),
        cmocka_unit_test(slow_subscriber_is_cut_off),
        cmocka_unit_test(memory_ends_anywhere),
        cmocka_unit_test(events_of_commands),
        cmocka_unit_test(expired_records_are_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
