/* Held replies: order, sharing, release, time-outs, fencing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "resp/conn_priv.h"
#include "unit/resp_fake_net.h"

enum { ID_HOLD, ID_HOLDREAD, ID_PLAIN, ID_FAIL };

static const struct firn_command table[] = {
    {.name = "hold", .arity = -3, .id = ID_HOLD},        /* hold reply slot [deadline_ms] */
    {.name = "holdread", .arity = 4, .id = ID_HOLDREAD}, /* holdread reply slot probe */
    {.name = "plain", .arity = 2, .id = ID_PLAIN},
    {.name = "fail", .arity = 2, .id = ID_FAIL}, /* fences inside exec, behind its own reply */
};

static struct fake f;

static uint64_t number(struct firn_slice s)
{
    int64_t v;
    assert_true(firn_parse_i64(s, &v));
    return (uint64_t)v;
}

static enum firn_exec exec(void *arg, struct firn_conn *c, const struct firn_command *cmd,
                           size_t argc, const struct firn_slice *argv)
{
    (void)arg;
    struct firn_reply *r = firn_conn_out(c);
    firn_reply_bulk(r, argv[1]);
    struct firn_gate g = {.deadline_ns = firn_conn_arrival_ns(c) + 1500 * FIRN_MS};
    if (cmd->id == ID_HOLD) {
        g.slot = number(argv[2]);
        if (argc > 3)
            g.deadline_ns = firn_conn_arrival_ns(c) + number(argv[3]) * FIRN_MS;
        firn_conn_gate(c, &g);
    } else if (cmd->id == ID_HOLDREAD) {
        g.slot = number(argv[2]);
        g.probe = number(argv[3]);
        g.kind = FIRN_GATE_READ;
        firn_conn_gate(c, &g);
    } else if (cmd->id == ID_FAIL) {
        firn_server_fail_gates(f.s, 0, "KVUNKNOWN fenced", "KVSTALE fenced");
    }
    return FIRN_EXEC_DONE;
}

static const struct firn_handler handler = {.exec = exec};

static struct firn_sock *start(void)
{
    fake_start(&f, &(struct firn_server_options){0}, &handler, table,
               sizeof table / sizeof table[0]);
    return fake_connect(&f);
}

static void stop(struct firn_sock *k)
{
    fake_stop(&f);
    fake_sock_free(k);
}

#define EXPECT(k, line, want)                                                                      \
    do {                                                                                           \
        fake_send(&f, k, line);                                                                    \
        assert_string_equal(fake_got(k), want);                                                    \
    } while (0)

#define RELEASE(slot, probe, k, want)                                                              \
    do {                                                                                           \
        firn_server_release(f.s, slot, probe);                                                     \
        fake_turn(&f);                                                                             \
        assert_string_equal(fake_got(k), want);                                                    \
    } while (0)

static void order(void **state)
{
    (void)state;
    struct firn_sock *k = start();
    EXPECT(k, "plain 0\r\nhold a 1\r\nhold b 1\r\nplain c\r\nhold d 2\r\nping\r\n", "$1\r\n0\r\n");
    assert_int_equal(firn_conn_gate_slot(firn_server_find(f.s, 1)), 2);
    RELEASE(1, 0, k, "$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    RELEASE(1, 5, k, "");
    RELEASE(2, 0, k, "$1\r\nd\r\n+PONG\r\n");
    assert_int_equal(firn_conn_gate_slot(firn_server_find(f.s, 1)), 0);
    EXPECT(k, "hold e 2\r\n", "$1\r\ne\r\n"); /* durable already */
    assert_int_equal(firn_server_stats(f.s)->gated, 0);
    assert_int_equal(firn_server_stats(f.s)->gated_replies, 3);
    stop(k);
}

/* 64 pipelined writes of one batch take one entry, a new slot or an ungated reply between another.
 */
static void coalescing(void **state)
{
    (void)state;
    struct firn_sock *k = start();
    for (int i = 0; i < 64; i++)
        fake_deliver(k, "hold x 1\r\n", 10);
    struct firn_conn *c = firn_server_find(f.s, 1);
    assert_int_equal(c->held.n, 1);
    fake_deliver(k, "hold y 2\r\nplain z\r\nhold y 2\r\n", 29);
    assert_int_equal(c->held.n, 3);
    fake_turn(&f);
    firn_server_release(f.s, 1, 0);
    fake_turn(&f);
    assert_int_equal(k->got.len, 64 * 7);
    firn_server_release(f.s, 2, 0);
    fake_turn(&f);
    assert_int_equal(k->got.len, 67 * 7);
    assert_int_equal(c->held.n, 0);
    stop(k);
}

/* The beginning of a command, while replies are held, must not keep the loop busy. */
static void incomplete_while_held(void **state)
{
    (void)state;
    struct firn_sock *k = start();
    EXPECT(k, "hold a 1\r\nhold b", "");
    assert_int_equal(firn_fake_step(f.w), 1); /* the timers are all that is left to happen */
    assert_true(firn_fake_now_ns(f.w) >= 25 * FIRN_MS);
    EXPECT(k, " 1\r\n", "");
    RELEASE(1, 0, k, "$1\r\na\r\n$1\r\nb\r\n");
    stop(k);
}

static void probes(void **state)
{
    (void)state;
    struct firn_sock *k = start();
    EXPECT(k, "holdread a 0 3\r\nholdread b 2 0\r\nholdread c 1 4\r\n", "");
    RELEASE(0, 2, k, "");
    RELEASE(1, 3, k, "$1\r\na\r\n");
    RELEASE(1, 9, k, "");
    RELEASE(2, 9, k, "$1\r\nb\r\n$1\r\nc\r\n");
    stop(k);
}

static void expiry(void **state)
{
    (void)state;
    struct firn_sock *k = start();
    EXPECT(k,
           "plain 0\r\nhold a 1\r\nhold b 1\r\nplain c\r\nhold d 1 5000\r\nholdread e 0 1\r\nplain "
           "g\r\n",
           "$1\r\n0\r\n");
    firn_fake_run_for(f.w, 1400 * FIRN_MS);
    assert_string_equal(fake_got(k), "");
    firn_fake_run_for(f.w, 150 * FIRN_MS);
    /* a and b gave up, c follows them; e gave up too but queues behind d, which is still held. */
    assert_string_equal(
        fake_got(k),
        "-KVUNKNOWN commit not known durable within 1500 ms; it may yet appear, once\r\n"
        "-KVUNKNOWN commit not known durable within 1500 ms; it may yet appear, once\r\n"
        "$1\r\nc\r\n");
    const struct firn_server_stats *s = firn_server_stats(f.s);
    assert_int_equal(s->expired_writes, 2);
    assert_int_equal(s->expired_reads, 1);
    /* They are never sent a second time. */
    RELEASE(1, 1, k,
            "$1\r\nd\r\n-KVSTALE the freshness asked for could not be had within 1500 "
            "ms\r\n$1\r\ng\r\n");
    EXPECT(k, "hold h 2\r\n", "");
    RELEASE(2, 1, k, "$1\r\nh\r\n");
    assert_int_equal(firn_server_errors(f.s)->total, 3);
    stop(k);
}

/* A reply whose gate opened while it queued behind another is not taken back by its deadline. */
static void open_behind_held(void **state)
{
    (void)state;
    struct firn_sock *k = start();
    EXPECT(k, "hold a 5 3000\r\nholdread b 0 1\r\n", "");
    RELEASE(0, 1, k, "");
    firn_fake_run_for(f.w, 2 * FIRN_SEC);
    assert_string_equal(fake_got(k), "");
    RELEASE(5, 1, k, "$1\r\na\r\n$1\r\nb\r\n");
    assert_int_equal(firn_server_stats(f.s)->expired_reads, 0);
    stop(k);
}

static void fencing(void **state)
{
    (void)state;
    struct firn_sock *k = start(), *other = fake_connect(&f);
    EXPECT(k, "hold a 1\r\nhold b 2\r\nhold c 3\r\nholdread d 0 1\r\n", "");
    EXPECT(other, "hold z 3\r\n", "");
    firn_server_release(f.s, 1, 0);
    firn_server_fail_gates(f.s, 2, "KVUNKNOWN fenced: it may yet appear, once", "KVSTALE fenced");
    fake_turn(&f);
    assert_string_equal(fake_got(k), "$1\r\na\r\n");
    assert_string_equal(fake_got(other), "-KVUNKNOWN fenced: it may yet appear, once\r\n");
    assert_int_equal(firn_conn_gate_slot(firn_server_find(f.s, 1)), 2);
    RELEASE(2, 1, k, "$1\r\nb\r\n-KVUNKNOWN fenced: it may yet appear, once\r\n$1\r\nd\r\n");
    assert_int_equal(firn_server_stats(f.s)->failed_gates, 2);
    stop(k);
    fake_sock_free(other);
}

/* Replacing while a reply is being written behind what is replaced. */
static void fencing_inside_exec(void **state)
{
    (void)state;
    struct firn_sock *k = start();
    EXPECT(k, "client reply skip\r\nplain no\r\nhold a 1\r\nhold bb 1\r\nfail x\r\nhold c 1\r\n",
           "-KVUNKNOWN fenced\r\n-KVUNKNOWN fenced\r\n$1\r\nx\r\n");
    RELEASE(1, 0, k, "$1\r\nc\r\n");
    stop(k);
}

/* Replacing keeps what was sent sent, wherever the socket stopped taking bytes. */
static void partly_sent(void **state)
{
    (void)state;
    for (size_t window = 0; window < 20; window++) {
        struct firn_sock *k = start();
        k->window = window;
        fake_send(&f, k, "plain aaa\r\nplain bbb\r\nhold ccc 1\r\nplain ddd\r\n");
        firn_server_fail_gates(f.s, 0, "ERR x", "KVSTALE fenced");
        fake_turn(&f);
        k->window = SIZE_MAX;
        k->user.writable(k->user.arg);
        fake_turn(&f);
        assert_string_equal(fake_got(k), "$3\r\naaa\r\n$3\r\nbbb\r\n-ERR x\r\n$3\r\nddd\r\n");
        stop(k);
    }
}

/* QUIT and protocol errors wait for what is owed before them. */
static void close_behind_gate(void **state)
{
    (void)state;
    struct firn_sock *k = start();
    EXPECT(k, "hold a 1\r\nquit\r\n", "");
    assert_false(k->closed);
    RELEASE(1, 0, k, "$1\r\na\r\n+OK\r\n");
    assert_true(k->closed);
    stop(k);
}

static void gone_while_held(void **state)
{
    (void)state;
    struct firn_sock *k = start();
    EXPECT(k, "hold a 1\r\n", "");
    k->user.closed(k->user.arg);
    firn_server_release(f.s, 1, 0);
    fake_turn(&f);
    assert_true(k->closed);
    assert_int_equal(firn_server_stats(f.s)->gated, 0);
    assert_int_equal(k->got.len, 0);
    stop(k);
}

/* More is held than is wise: the connection waits, and goes on. */
static void held_too_much(void **state)
{
    (void)state;
    fake_start(&f,
               &(struct firn_server_options){.output_pause_bytes = 100, .output_bytes_max = 4000},
               &handler, table, sizeof table / sizeof table[0]);
    struct firn_sock *k = fake_connect(&f);
    for (int i = 0; i < 200; i++)
        fake_deliver(k, "hold x 1\r\n", 10);
    fake_turn(&f);
    assert_false(k->reading);
    assert_in_range(firn_server_stats(f.s)->commands_processed, 140, 150);
    RELEASE(0, 1, k, "");
    firn_server_release(f.s, 1, 1);
    fake_turn(&f);
    assert_int_equal(k->got.len, 200 * 7);
    assert_true(k->reading);
    stop(k);
}

static void no_memory(void **state)
{
    (void)state;
    struct firn_sock *k = start();
    EXPECT(k, "plain a\r\n", "$1\r\na\r\n");
    fake_deliver(k, "hold b 1\r\n", 10);
    struct firn_conn *c = firn_server_find(f.s, 1);
    assert_int_equal(c->held.n, 1);
    (void)firn_mem_fail_at(1, 1);
    firn_server_fail_gates(f.s, 0, "ERR a longer text than the reply", "KVSTALE fenced");
    (void)firn_mem_fail_at(0, 0);
    fake_turn(&f);
    assert_true(k->closed); /* the outcome is unknown to the client, which is true */
    assert_int_equal(k->got.len, 0);
    stop(k);
}

/* Random gates against a plain model: every reply once, in order, and none before its gate. */
static void random_model(void **state)
{
    (void)state;
    struct firn_sock *k = start();
    uint64_t seed = 12345, slot = 0;
    static uint64_t gate[4000];
    size_t sent = 0, seen = 0;
    while (seen < 4000) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        unsigned r = (unsigned)(seed >> 60);
        if (sent < 4000 && r < 12) {
            char line[64];
            gate[sent] = r < 4 ? 0 : slot + r % 3;
            int n =
                snprintf(line, sizeof line, "hold %zu %u 100000\r\n", sent, (unsigned)gate[sent]);
            fake_deliver(k, line, (size_t)n);
            sent++;
        } else {
            k->window = SIZE_MAX;
            firn_server_release(f.s, ++slot, 0);
        }
        if (r % 2)
            fake_turn(&f);
        size_t at = 0;
        while (at < k->got.len) {
            char want[64];
            char digits[24];
            int d = snprintf(digits, sizeof digits, "%zu", seen);
            int n = snprintf(want, sizeof want, "$%d\r\n%s\r\n", d, digits);
            assert_true(k->got.len - at >= (size_t)n);
            assert_memory_equal(k->got.data + at, want, (size_t)n);
            assert_true(gate[seen] <= slot);
            at += (size_t)n;
            seen++;
        }
        k->got.len = 0;
    }
    stop(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order),
        cmocka_unit_test(coalescing),
        cmocka_unit_test(incomplete_while_held),
        cmocka_unit_test(probes),
        cmocka_unit_test(expiry),
        cmocka_unit_test(open_behind_held),
        cmocka_unit_test(fencing),
        cmocka_unit_test(fencing_inside_exec),
        cmocka_unit_test(partly_sent),
        cmocka_unit_test(close_behind_gate),
        cmocka_unit_test(gone_while_held),
        cmocka_unit_test(held_too_much),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(random_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
