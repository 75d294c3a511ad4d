/* Connections: execution in order, parking, lookahead, limits, closing, and the commands about
 * them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/resp_fake_net.h"

enum { ID_LATE, ID_BIG, ID_CAPTURE };

static const struct firn_command table[] = {
    {.name = "late", .arity = -1, .flags = FIRN_CMD_READONLY, .id = ID_LATE},
    {.name = "set", .arity = 3, .flags = FIRN_CMD_WRITE, .id = ID_LATE},
    {.name = "big", .arity = 2, .id = ID_BIG},
    {.name = "capture", .arity = 2, .id = ID_CAPTURE},
};

/* What happened, in order. */
static struct {
    char text[8192];
    bool park;          /* LATE parks */
    bool note_prefetch; /* what is parsed ahead is noted, too */
    int opened, closed, rejected, reset, evicted;
    uint64_t arrival_ns;
    struct fake f;
} t;

static void note(const char *what, size_t argc, const struct firn_slice *argv)
{
    size_t n = strlen(t.text);
    n += (size_t)snprintf(t.text + n, sizeof t.text - n, "%s", what);
    for (size_t i = 1; i < argc; i++)
        n += (size_t)snprintf(t.text + n, sizeof t.text - n, " %.*s",
                              (int)(argv[i].len < 32 ? argv[i].len : 32),
                              (const char *)argv[i].data);
    (void)snprintf(t.text + n, sizeof t.text - n, ";");
}

static void expect_notes(const char *want)
{
    assert_string_equal(t.text, want);
    t.text[0] = '\0';
}

static enum firn_exec exec(void *arg, struct firn_conn *c, const struct firn_command *cmd,
                           size_t argc, const struct firn_slice *argv)
{
    (void)arg;
    struct firn_reply *r = firn_conn_out(c);
    t.arrival_ns = firn_conn_arrival_ns(c);
    if (cmd->id == ID_LATE && t.park) {
        note("park", argc, argv);
        return FIRN_EXEC_PARK;
    }
    note(cmd->name, argc, argv);
    if (cmd->id == ID_BIG) {
        size_t n = strtoul((const char *)argv[1].data, NULL, 10);
        uint8_t *p = firn_reply_bulk_space(r, n);
        if (p)
            memset(p, 'x', n);
        return FIRN_EXEC_DONE;
    }
    if (cmd->id == ID_CAPTURE)
        firn_conn_capture(c, argv[1].data[0] == '1');
    if (argc > 1)
        firn_reply_bulk(r, argv[1]);
    else
        firn_reply_ok(r);
    return FIRN_EXEC_DONE;
}

static void on_open(void *arg, struct firn_conn *c)
{
    (void)arg;
    (void)c;
    t.opened++;
}

static void on_close(void *arg, struct firn_conn *c)
{
    (void)arg;
    (void)c;
    t.closed++;
}

static void on_lookahead(void *arg, struct firn_conn *c, const struct firn_command *cmd,
                         size_t argc, const struct firn_slice *argv)
{
    (void)arg;
    (void)c;
    (void)cmd;
    note("ahead", argc, argv);
}

static void on_rejected(void *arg, struct firn_conn *c, const struct firn_command_entry *e)
{
    (void)arg;
    (void)c;
    (void)e;
    t.rejected++;
}

static void on_reset(void *arg, struct firn_conn *c)
{
    (void)arg;
    (void)c;
    t.reset++;
}

static void on_prefetch(void *arg, struct firn_conn *c, const struct firn_upcoming *u, size_t n)
{
    (void)arg;
    (void)c;
    assert_true(n > 1);
    for (size_t i = 0; t.note_prefetch && i < n; i++)
        note(u[i].entry ? "soon" : "unknown", u[i].argc, u[i].argv);
}

static void on_evicted(void *arg, struct firn_conn *c, size_t bytes)
{
    (void)arg;
    assert_non_null(c);
    assert_true(bytes > 1000);
    t.evicted++;
}

static const struct firn_handler handler = {.exec = exec,
                                            .open = on_open,
                                            .close = on_close,
                                            .lookahead = on_lookahead,
                                            .prefetch = on_prefetch,
                                            .rejected = on_rejected,
                                            .reset = on_reset,
                                            .evicted = on_evicted};

static void start(const struct firn_server_options *o)
{
    memset(&t, 0, sizeof t);
    fake_start(&t.f, o, &handler, table, sizeof table / sizeof table[0]);
}

static void stop(void)
{
    fake_stop(&t.f);
    assert_int_equal(t.opened, t.closed);
}

#define EXPECT(k, line, want)                                                                      \
    do {                                                                                           \
        fake_send(&t.f, k, line);                                                                  \
        assert_string_equal(fake_got(k), want);                                                    \
    } while (0)

static void pipeline(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *k = fake_connect(&t.f);
    EXPECT(k, "PING\r\nECHO hi\r\nlate 1\r\n*1\r\n$4\r\nP", "+PONG\r\n$2\r\nhi\r\n$1\r\n1\r\n");
    assert_int_equal(k->writes, 1); /* one write for all */
    EXPECT(k, "ING\r\n", "+PONG\r\n");
    assert_int_equal(t.f.s ? firn_server_stats(t.f.s)->commands_processed : 0, 4);
    /* A container's name alone says nothing of the command behind it. */
    EXPECT(k, "CLIENT\r\nCLIENT GETNAME\r\n",
           "-ERR wrong number of arguments for 'client' command\r\n$-1\r\n");
    stop();
    fake_sock_free(k);
}

/* Any cut of a pipelined stream gives the same replies. */
static void cut_anywhere(void **state)
{
    (void)state;
    static const char stream[] =
        "*2\r\n$4\r\nECHO\r\n$3\r\nabc\r\nPING\r\n*2\r\n$4\r\nlate\r\n$2\r\nxy\r\n";
    for (size_t cut = 1; cut < sizeof stream - 1; cut++) {
        start(&(struct firn_server_options){0});
        struct firn_sock *k = fake_connect(&t.f);
        fake_deliver(k, stream, cut);
        if (cut % 2)
            fake_turn(&t.f);
        fake_deliver(k, stream + cut, sizeof stream - 1 - cut);
        fake_turn(&t.f);
        assert_string_equal(fake_got(k), "$3\r\nabc\r\n+PONG\r\n$2\r\nxy\r\n");
        stop();
        fake_sock_free(k);
    }
}

static struct firn_conn *only(void)
{
    return firn_server_find(t.f.s, 1);
}

static void parking(void **state)
{
    (void)state;
    start(&(struct firn_server_options){.pipeline_lookahead = 3});
    struct firn_sock *k = fake_connect(&t.f);
    t.park = true;
    EXPECT(k, "PING\r\nlate 1\r\nlate 2\r\nPING\r\nlate 3\r\nlate 4\r\n", "+PONG\r\n");
    expect_notes("park 1;ahead 2;ahead 3;"); /* PING counts among the three, but needs nothing */
    assert_true(firn_conn_parked(only()));
    uint64_t arrival = t.arrival_ns;
    firn_fake_run_for(t.f.w, FIRN_SEC);
    firn_conn_resume(only());
    firn_conn_resume(only());
    EXPECT(k, "late 5\r\n", "");
    expect_notes("park 1;");
    assert_int_equal(t.arrival_ns, arrival); /* time counts from the first parse */
    t.park = false;
    firn_conn_resume(only());
    fake_turn(&t.f);
    assert_string_equal(fake_got(k),
                        "$1\r\n1\r\n$1\r\n2\r\n+PONG\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n");
    expect_notes("late 1;late 2;late 3;late 4;late 5;");
    assert_true(t.arrival_ns > arrival);
    assert_int_equal(firn_server_stats(t.f.s)->parked, 0);
    firn_conn_resume(only()); /* harmless */
    fake_turn(&t.f);
    stop();
    fake_sock_free(k);
}

/* The window of lookahead moves on as commands are executed; each is shown once. */
static void lookahead_window(void **state)
{
    (void)state;
    start(&(struct firn_server_options){.pipeline_lookahead = 2});
    struct firn_sock *k = fake_connect(&t.f);
    t.park = true;
    fake_send(&t.f, k, "late 1\r\nlate 2\r\n");
    expect_notes("park 1;ahead 2;");
    fake_send(&t.f, k, "late 3\r\nbig 1\r\nlate 5\r\nlat");
    expect_notes("ahead 3;");
    t.park = false;
    firn_conn_resume(only());
    fake_turn(&t.f);
    expect_notes("late 1;late 2;late 3;big 1;late 5;");
    t.park = true;
    fake_send(&t.f, k, "e 6\r\nlate 7\r\n");
    expect_notes("park 6;ahead 7;");
    fake_send(&t.f, k, "late 8\r\nlate 9\r\n");
    expect_notes("ahead 8;");
    stop();
    fake_sock_free(k);
}

/* What lies complete in a pipeline is shown before the first of it is executed; what cannot be
 * executed then is parsed, and shown, again. */
static void pipelines_are_shown_before(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *k = fake_connect(&t.f);
    t.note_prefetch = true;
    fake_send(&t.f, k, "late 1\r\n");
    expect_notes("late 1;"); /* alone: nothing to gain */
    fake_send(&t.f, k, "late 2\r\nLate 3\r\n\r\nnone 4\r\nlate 5\r\nlat");
    expect_notes("soon 2;soon 3;unknown;unknown 4;soon 5;late 2;late 3;late 5;");
    fake_send(&t.f, k, "e 6\r\n");
    expect_notes("late 6;");
    t.park = true;
    fake_send(&t.f, k, "big 1\r\nlate 7\r\nbig 2\r\n");
    expect_notes("soon 1;soon 7;soon 2;big 1;park 7;ahead 2;");
    t.park = false;
    firn_conn_resume(only());
    fake_turn(&t.f);
    expect_notes("soon 7;soon 2;late 7;big 2;");
    stop();
    fake_sock_free(k);
}

/* More commands than are parsed at once, large ones among them, in pieces. */
static void long_pipelines(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *k = fake_connect(&t.f);
    char text[4096] = "", want[4096] = "";
    size_t n = 0, w = 0;
    for (int i = 0; i < 50; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n,
                              i % 7 == 3
                                  ? "*10\r\n$4\r\nlate\r\n$3\r\n%03d\r\n$1\r\n1\r\n$1\r\n2"
                                    "\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n$1\r\n7\r\n$1"
                                    "\r\n8\r\n"
                                  : "*2\r\n$4\r\nlate\r\n$3\r\n%03d\r\n",
                              i);
        w += (size_t)snprintf(want + w, sizeof want - w, "$3\r\n%03d\r\n", i);
    }
    for (size_t piece = 1; piece <= n; piece += piece < 100 ? 1 : 97) {
        for (size_t at = 0; at < n; at += piece) {
            fake_deliver(k, text + at, n - at < piece ? n - at : piece);
            if (at % 3 == 0)
                fake_turn(&t.f);
        }
        fake_turn(&t.f);
        assert_string_equal(fake_got(k), want);
        t.text[0] = '\0';
    }
    stop();
    fake_sock_free(k);
}

/* RESET in a pipeline: what was parsed behind it must meet the limits of the unauthenticated. */
static void reset_in_a_pipeline(void **state)
{
    (void)state;
    start(&(struct firn_server_options){.requirepass = "secret"});
    struct firn_sock *k = fake_connect(&t.f);
    EXPECT(k, "AUTH secret\r\n", "+OK\r\n");
    EXPECT(
        k, "late 1\r\nRESET\r\nlate 2\r\nAUTH secret\r\nlate 3\r\nlate 4\r\n",
        "$1\r\n1\r\n+RESET\r\n-NOAUTH Authentication required.\r\n+OK\r\n$1\r\n3\r\n$1\r\n4\r\n");
    EXPECT(
        k,
        "RESET\r\n*11\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na"
        "\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n",
        "+RESET\r\n-ERR Protocol error: unauthenticated multibulk length\r\n");
    stop();
    fake_sock_free(k);
}

static void gone_while_parked(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *k = fake_connect(&t.f);
    t.park = true;
    fake_send(&t.f, k, "late 1\r\n");
    firn_conn_resume(only());
    k->user.closed(k->user.arg);
    t.park = false;
    fake_turn(&t.f);
    assert_int_equal(t.closed, 1);
    assert_true(k->closed);
    expect_notes("park 1;");
    assert_int_equal(firn_server_stats(t.f.s)->parked, 0);
    stop();
    fake_sock_free(k);
}

/* A parked connection that keeps sending is read up to a bound only. */
static void parked_flood(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *k = fake_connect(&t.f);
    static char chunk[32 * 1024];
    memset(chunk, '\n', sizeof chunk);
    t.park = true;
    fake_send(&t.f, k, "late 1\r\n");
    int n = 0;
    while (k->reading && ++n < 100)
        fake_deliver(k, chunk, sizeof chunk);
    assert_in_range(n, 5, 20);
    t.park = false;
    firn_conn_resume(only());
    fake_turn(&t.f);
    assert_true(k->reading);
    assert_string_equal(fake_got(k), "$1\r\n1\r\n");
    stop();
    fake_sock_free(k);
}

/* A client that does not read is not executed for, and goes on when it reads again. */
static void slow_reader(void **state)
{
    (void)state;
    start(&(struct firn_server_options){.output_pause_bytes = 1000});
    struct firn_sock *k = fake_connect(&t.f);
    k->window = 0;
    fake_send(&t.f, k, "big 900\r\nbig 900\r\nbig 900\r\nPING\r\n");
    expect_notes("big 900;big 900;");
    assert_false(k->reading);
    k->window = 1000;
    k->user.writable(k->user.arg);
    fake_turn(&t.f);
    expect_notes("big 900;");
    assert_int_equal(k->got.len, 1000);
    k->window = SIZE_MAX;
    k->user.writable(k->user.arg);
    fake_turn(&t.f);
    assert_int_equal(k->got.len, 3 * (900 + 8) + 7);
    assert_true(k->reading);
    stop();
    fake_sock_free(k);
}

static void output_limit(void **state)
{
    (void)state;
    start(&(struct firn_server_options){.output_bytes_max = 10000});
    struct firn_sock *k = fake_connect(&t.f);
    fake_send(&t.f, k, "big 20000\r\nPING\r\n");
    assert_true(k->closed);
    assert_int_equal(k->got.len, 0);
    assert_int_equal(firn_server_stats(t.f.s)->output_limit_closed, 1);
    stop();
    fake_sock_free(k);
}

static void query_limit(void **state)
{
    (void)state;
    start(&(struct firn_server_options){.query_bytes_max = 1000});
    struct firn_sock *k = fake_connect(&t.f);
    EXPECT(k, "*2\r\n$4\r\nECHO\r\n$980\r\n",
           "-ERR Protocol error: command exceeds the query buffer limit\r\n");
    assert_true(k->closed);
    stop();
    fake_sock_free(k);
}

static void closing(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *k = fake_connect(&t.f);
    EXPECT(k, "PING\r\nQUIT\r\nPING\r\n", "+PONG\r\n+OK\r\n");
    assert_true(k->closed);
    fake_sock_free(k);
    k = fake_connect(&t.f);
    EXPECT(k, "PING\r\nPOST / HTTP/1.1\r\nHost: x\r\nPING\r\n", "");
    assert_true(k->closed);
    fake_sock_free(k);
    k = fake_connect(&t.f);
    EXPECT(k, "Host: x\r\n", "");
    assert_true(k->closed);
    fake_sock_free(k);
    k = fake_connect(&t.f);
    k->window = 3; /* the error waits until it can be sent */
    fake_send(&t.f, k, "*1\r\n!\r\n");
    assert_false(k->closed);
    k->window = SIZE_MAX;
    k->user.writable(k->user.arg);
    fake_turn(&t.f);
    assert_string_equal(fake_got(k), "-ERR Protocol error: expected '$', got '!'\r\n");
    assert_true(k->closed);
    fake_sock_free(k);
    stop();
}

static void admission(void **state)
{
    (void)state;
    start(&(struct firn_server_options){.maxclients = 1, .bound_wide = true});
    struct firn_sock *far = fake_connect_from(&t.f, "10.0.0.1:1", false);
    assert_true(far->refused);
    assert_int_equal(strncmp(fake_got(far), "-DENIED Firn is running in protected mode", 40), 0);
    struct firn_sock *k = fake_connect(&t.f);
    struct firn_sock *second = fake_connect(&t.f);
    assert_false(k->refused);
    assert_true(second->refused);
    assert_string_equal(fake_got(second), "-ERR max number of clients reached\r\n");
    assert_int_equal(firn_server_set_password(t.f.s, "secret"), FIRN_OK);
    firn_server_options(t.f.s)->maxclients = 10;
    struct firn_sock *again = fake_connect_from(&t.f, "10.0.0.1:1", false);
    assert_false(again->refused);
    EXPECT(k, "PING\r\n", "+PONG\r\n"); /* connected before the password */
    EXPECT(again, "PING\r\n", "-NOAUTH Authentication required.\r\n");
    EXPECT(again, "AUTH wrong\r\n",
           "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    EXPECT(again, "AUTH secre\r\nAUTH secretsecret\r\nAUTH x secret\r\n",
           "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
           "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
           "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    EXPECT(again, "AUTH secret\r\nPING\r\n", "+OK\r\n+PONG\r\n");
    EXPECT(again, "RESET\r\nPING\r\n", "+RESET\r\n-NOAUTH Authentication required.\r\n");
    EXPECT(again, "AUTH default secret\r\nPING\r\n", "+OK\r\n+PONG\r\n");
    assert_int_equal(t.reset, 1);
    assert_int_equal(firn_server_stats(t.f.s)->auth_failures, 4);
    EXPECT(again, "RESET\r\n*11\r\n",
           "+RESET\r\n-ERR Protocol error: unauthenticated multibulk length\r\n");
    stop();
    fake_sock_free(far);
    fake_sock_free(k);
    fake_sock_free(second);
    fake_sock_free(again);
}

static void refusals(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *k = fake_connect(&t.f);
    EXPECT(k, "foo bar baz\r\n",
           "-ERR unknown command 'foo', with args beginning with: 'bar' 'baz' \r\n");
    EXPECT(k, "set a\r\n", "-ERR wrong number of arguments for 'set' command\r\n");
    EXPECT(k, "client id x\r\n", "-ERR wrong number of arguments for 'client|id' command\r\n");
    EXPECT(k, "client foo\r\n", "-ERR unknown subcommand 'foo'. Try CLIENT HELP.\r\n");
    assert_int_equal(t.rejected, 4);
    firn_server_set_loading(t.f.s, true);
    EXPECT(k, "late\r\n", "-LOADING the database is being loaded, try again shortly\r\n");
    EXPECT(k, "select 3\r\n", "+OK\r\n");
    assert_int_equal(firn_conn_db(only()), 3);
    firn_server_set_loading(t.f.s, false);
    struct firn_buf info = {.max = 1 << 20};
    assert_int_equal(firn_server_info_commands(t.f.s, &info), FIRN_OK);
    assert_int_equal(firn_server_info_errors(t.f.s, &info), FIRN_OK);
    assert_int_equal(firn_server_info_clients(t.f.s, &info), FIRN_OK);
    assert_int_equal(firn_buf_append(&info, "", 1), FIRN_OK);
    assert_non_null(strstr((char *)info.data, "cmdstat_set:calls=0,usec=0,usec_per_call=0.00,"
                                              "rejected_calls=1,failed_calls=0\r\n"));
    assert_non_null(strstr((char *)info.data, "cmdstat_select:calls=1,"));
    assert_non_null(strstr((char *)info.data, "errorstat_ERR:count=4\r\n"));
    assert_non_null(strstr((char *)info.data, "connected_clients:1\r\n"));
    firn_buf_clear(&info);
    firn_server_reset_stats(t.f.s);
    assert_int_equal(firn_server_errors(t.f.s)->total, 0);
    assert_int_equal(firn_server_stats(t.f.s)->connected, 1);
    stop();
    fake_sock_free(k);
}

static void capture(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *k = fake_connect(&t.f);
    fake_send(&t.f, k, "capture 1\r\nping 7\r\nreset\r\nping\r\n");
    expect_notes("capture 1;ping 7;");
    assert_string_equal(fake_got(k), "$1\r\n1\r\n$1\r\n7\r\n+RESET\r\n+PONG\r\n");
    stop();
    fake_sock_free(k);
}

static void silence(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *k = fake_connect(&t.f);
    EXPECT(k, "client reply skip\r\nping a\r\nping b\r\n", "$1\r\nb\r\n");
    EXPECT(k, "client reply off\r\nping\r\nfoo\r\nclient reply on\r\nping\r\n", "+OK\r\n+PONG\r\n");
    EXPECT(k, "client reply maybe\r\n", "-ERR syntax error\r\n");
    stop();
    fake_sock_free(k);
}

static void pause_clients(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *k = fake_connect(&t.f), *other = fake_connect(&t.f);
    EXPECT(k, "client pause 1000 write\r\nlate 1\r\n", "+OK\r\n$1\r\n1\r\n");
    EXPECT(other, "ping\r\nset a b\r\nping\r\n", "+PONG\r\n");
    EXPECT(k, "client unpause\r\n", "+OK\r\n");
    assert_string_equal(fake_got(other), "$1\r\na\r\n+PONG\r\n");
    EXPECT(k, "client pause 1000\r\n", "+OK\r\n");
    EXPECT(other, "ping\r\n", "");
    firn_fake_run_for(t.f.w, 1100 * FIRN_MS);
    assert_string_equal(fake_got(other), "+PONG\r\n");
    stop();
    fake_sock_free(k);
    fake_sock_free(other);
}

static void clients(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *k = fake_connect(&t.f), *other = fake_connect_from(&t.f, "1.2.3.4:5", false);
    EXPECT(k, "client getname\r\n", "$-1\r\n");
    EXPECT(k, "client setname me\r\nclient getname\r\n", "+OK\r\n$2\r\nme\r\n");
    EXPECT(k, "client setinfo lib-name redis-x\r\nclient setinfo lib-ver 1.0\r\n",
           "+OK\r\n+OK\r\n");
    EXPECT(k, "client setinfo foo x\r\n", "-ERR Unrecognized option 'foo'\r\n");
    fake_send(&t.f, k, "client info\r\n");
    const char *info = fake_got(k);
    assert_non_null(strstr(info, "id=1 addr=127.0.0.1:5000 laddr=127.0.0.1:6379 "));
    assert_non_null(strstr(info, " name=me "));
    assert_non_null(strstr(
        info, " cmd=client|info user=default redir=-1 resp=2 lib-name=redis-x lib-ver=1.0\n"));
    fake_send(&t.f, k, "hello 3\r\n");
    (void)fake_got(k);
    fake_send(&t.f, k, "client list id 2\r\n");
    info = fake_got(k);
    assert_int_equal(info[0], '=');
    assert_non_null(strstr(info, "txt:id=2 addr=1.2.3.4:5 "));
    EXPECT(k, "client kill id 99\r\n", ":0\r\n");
    EXPECT(k, "client kill addr 1.2.3.4:5 type normal\r\n", ":1\r\n");
    assert_true(other->closed);
    EXPECT(k, "client kill 1.2.3.4:5\r\n", "-ERR No such client\r\n");
    EXPECT(k, "client kill id 1\r\n", ":0\r\n"); /* not oneself, by default */
    EXPECT(k, "client kill id 1 skipme no\r\nping\r\n", ":1\r\n");
    assert_true(k->closed);
    stop();
    fake_sock_free(k);
    fake_sock_free(other);
}

static void drained(void *arg)
{
    ++*(int *)arg;
}

static void drain(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *idle = fake_connect(&t.f), *busy = fake_connect(&t.f);
    t.park = true;
    fake_send(&t.f, busy, "late 1\r\nlate 2\r\n");
    int done = 0;
    firn_server_drain(t.f.s, firn_boot_ns(&t.f.env) + FIRN_SEC, drained, &done);
    fake_turn(&t.f);
    assert_true(idle->closed);
    assert_false(busy->closed);
    t.park = false;
    firn_conn_resume(firn_server_find(t.f.s, 2));
    fake_turn(&t.f);
    assert_string_equal(fake_got(busy), "$1\r\n1\r\n"); /* what came behind it is not executed */
    assert_true(busy->closed);
    assert_int_equal(done, 1);
    stop();
    fake_sock_free(idle);
    fake_sock_free(busy);
}

static void drain_deadline(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *k = fake_connect(&t.f);
    t.park = true;
    fake_send(&t.f, k, "late 1\r\n");
    int done = 0;
    firn_server_drain(t.f.s, firn_boot_ns(&t.f.env) + FIRN_SEC, drained, &done);
    firn_fake_run_for(t.f.w, 900 * FIRN_MS);
    assert_int_equal(done, 0);
    firn_fake_run_for(t.f.w, 200 * FIRN_MS);
    assert_int_equal(done, 1);
    assert_true(k->closed);
    stop();
    fake_sock_free(k);
}

static void idle_timeout(void **state)
{
    (void)state;
    start(&(struct firn_server_options){.idle_timeout_ns = 3 * FIRN_SEC});
    struct firn_sock *k = fake_connect(&t.f);
    firn_fake_run_for(t.f.w, 2 * FIRN_SEC);
    EXPECT(k, "ping\r\n", "+PONG\r\n");
    firn_fake_run_for(t.f.w, 2 * FIRN_SEC);
    assert_false(k->closed);
    firn_fake_run_for(t.f.w, 3 * FIRN_SEC);
    assert_true(k->closed);
    stop();
    fake_sock_free(k);
}

/* Large values: memory goes with what is held, and is given back. */
static void large_value(void **state)
{
    (void)state;
    start(&(struct firn_server_options){0});
    struct firn_sock *k = fake_connect(&t.f);
    size_t n = 3 << 20;
    char *value = malloc(n);
    assert_non_null(value);
    memset(value, 'v', n);
    char head[64];
    (void)snprintf(head, sizeof head, "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$%zu\r\n", n);
    fake_deliver(k, head, strlen(head));
    for (size_t at = 0; at < n; at += 1 << 16)
        fake_deliver(k, value + at, n - at < 1 << 16 ? n - at : 1 << 16);
    assert_in_range(firn_server_stats(t.f.s)->buffer_bytes, n, n + (1 << 16));
    EXPECT(k, "\r\n", "$1\r\nk\r\n");
    assert_in_range(firn_server_stats(t.f.s)->buffer_bytes, 1, 1 << 12);
    free(value);
    stop();
    assert_true(k->closed);
    fake_sock_free(k);
}

#define CROWD 40
#define CLIENTS_SHARE ((uint64_t)1 << 20)

static void budget_of(struct firn_budget *b)
{
    firn_budget_init(b, CLIENTS_SHARE);
    b->part[FIRN_BUDGET_CLIENTS].share = CLIENTS_SHARE;
}

/* Clients that do not read what they ask for: together they keep to their share, the ones that hold
 * most go, and who reads is served all the time. */
static void crowd_of_slow_readers(void **state)
{
    (void)state;
    struct firn_budget b;
    budget_of(&b);
    start(&(struct firn_server_options){.budget = &b});
    struct firn_sock *k[CROWD], *good = fake_connect(&t.f);
    unsigned gone = 0;
    for (int i = 0; i < CROWD; i++) {
        k[i] = fake_connect(&t.f);
        k[i]->window = 0;
        for (int n = 0; n < 30 && k[i]->reading && !k[i]->closed; n++)
            fake_send(&t.f, k[i], "big 30000\r\nbig 30000\r\n");
        assert_true(b.part[FIRN_BUDGET_CLIENTS].used <= CLIENTS_SHARE);
        assert_int_equal(b.part[FIRN_BUDGET_CLIENTS].used, firn_server_stats(t.f.s)->buffer_bytes);
        t.text[0] = '\0';
        EXPECT(good, "PING\r\n", "+PONG\r\n");
        EXPECT(good, "big 10\r\n", "$10\r\nxxxxxxxxxx\r\n");
    }
    for (int i = 0; i < CROWD; i++)
        gone += k[i]->closed;
    assert_true(gone > 0 && gone < CROWD);
    assert_int_equal(t.evicted, gone);
    assert_int_equal(firn_server_stats(t.f.s)->evicted, gone);
    assert_true(b.part[FIRN_BUDGET_CLIENTS].peak <= CLIENTS_SHARE + 70000); /* and one reply */
    /* Those that are left get all they asked for. */
    for (int i = 0; i < CROWD; i++) {
        if (k[i]->closed)
            continue;
        k[i]->window = SIZE_MAX;
        k[i]->user.writable(k[i]->user.arg);
        fake_turn(&t.f);
        assert_true(k[i]->reading && k[i]->got.len % 30010 == 0);
    }
    stop();
    assert_int_equal(b.part[FIRN_BUDGET_CLIENTS].used, 0);
    for (int i = 0; i < CROWD; i++)
        fake_sock_free(k[i]);
    fake_sock_free(good);
}

/* Half of large commands, and nothing more: they are not read on while memory is short, then go. */
static void crowd_of_unfinished_commands(void **state)
{
    (void)state;
    struct firn_budget b;
    budget_of(&b);
    start(&(struct firn_server_options){.budget = &b});
    struct firn_sock *k[8], *good = fake_connect(&t.f);
    static const char half[] = "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$140000\r\nvvvv";
    for (int i = 0; i < 8; i++) {
        k[i] = fake_connect(&t.f);
        fake_send(&t.f, k[i], half);
        assert_true(b.part[FIRN_BUDGET_CLIENTS].used <= CLIENTS_SHARE);
        EXPECT(good, "PING\r\n", "+PONG\r\n");
    }
    assert_false(k[6]->reading);
    firn_fake_run_for(t.f.w, 20 * FIRN_SEC);
    assert_true(t.evicted > 0);
    EXPECT(good, "PING\r\n", "+PONG\r\n");
    struct firn_sock *later = fake_connect(&t.f);
    EXPECT(later, "PING\r\n", "+PONG\r\n");
    assert_true(later->reading);
    stop();
    for (int i = 0; i < 8; i++)
        fake_sock_free(k[i]);
    fake_sock_free(good);
    fake_sock_free(later);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipeline),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(parking),
        cmocka_unit_test(lookahead_window),
        cmocka_unit_test(pipelines_are_shown_before),
        cmocka_unit_test(long_pipelines),
        cmocka_unit_test(reset_in_a_pipeline),
        cmocka_unit_test(gone_while_parked),
        cmocka_unit_test(parked_flood),
        cmocka_unit_test(slow_reader),
        cmocka_unit_test(output_limit),
        cmocka_unit_test(query_limit),
        cmocka_unit_test(closing),
        cmocka_unit_test(admission),
        cmocka_unit_test(refusals),
        cmocka_unit_test(capture),
        cmocka_unit_test(silence),
        cmocka_unit_test(pause_clients),
        cmocka_unit_test(clients),
        cmocka_unit_test(drain),
        cmocka_unit_test(drain_deadline),
        cmocka_unit_test(idle_timeout),
        cmocka_unit_test(large_value),
        cmocka_unit_test(crowd_of_slow_readers),
        cmocka_unit_test(crowd_of_unfinished_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
