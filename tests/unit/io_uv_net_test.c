/* Sockets of io_uv: an echo server met by a blocking client in a thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/slice.h"
#include "io_uv/io_uv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct server {
    struct firn_uv *uv;
    struct firn_env *env;
    struct firn_listener l;
    uint16_t port;
    struct firn_timer guard;
    bool hung, close_on_data;
    _Atomic bool refuse;
    int accepted, closed;
    _Atomic int blocked; /* writes that the kernel did not take whole */
    struct firn_post over;
    void (*client)(struct server *s); /* runs in a thread */
};

struct conn {
    struct server *s;
    struct firn_sock *sock;
    struct firn_buf out;
};

static void conn_close(struct conn *c)
{
    c->s->closed++;
    c->s->env->net->vt->close(c->s->env->net->ctx, c->sock);
    firn_buf_clear(&c->out);
    firn_free(c);
}

static void conn_flush(struct conn *c)
{
    const struct firn_net *n = c->s->env->net;
    size_t took = n->vt->write(n->ctx, c->sock, c->out.data, c->out.len);
    firn_buf_consume(&c->out, took);
    if (c->out.len)
        c->s->blocked++;
    n->vt->read_set(n->ctx, c->sock, c->out.len == 0);
}

static void on_data(void *arg, const uint8_t *data, size_t len)
{
    struct conn *c = arg;
    if (c->s->close_on_data) {
        const struct firn_net *n = c->s->env->net;
        assert_int_equal(n->vt->write(n->ctx, c->sock, "bye", 3), 3);
        conn_close(c);
        return;
    }
    assert_int_equal(firn_buf_append(&c->out, data, len), FIRN_OK);
    conn_flush(c);
}

static void on_writable(void *arg)
{
    conn_flush(arg);
}

static void on_closed(void *arg)
{
    conn_close(arg);
}

static enum firn_status on_accept(void *arg, struct firn_sock *sock, const char *peer,
                                  bool loopback, struct firn_sock_user *user)
{
    struct server *s = arg;
    assert_true(loopback);
    assert_true(strncmp(peer, "127.0.0.1:", 10) == 0 || strncmp(peer, "[::1]:", 6) == 0);
    s->accepted++;
    if (s->refuse)
        return FIRN_LIMIT;
    struct conn *c = firn_calloc(1, sizeof *c);
    assert_non_null(c);
    *c = (struct conn){.s = s, .sock = sock, .out = {.max = 1 << 26}};
    *user = (struct firn_sock_user){on_data, on_writable, on_closed, c};
    return FIRN_OK;
}

static void on_guard(void *arg)
{
    struct server *s = arg;
    s->hung = true;
    firn_uv_stop(s->uv);
}

static void on_over(void *arg)
{
    firn_uv_stop(((struct server *)arg)->uv);
}

static void *client_thread(void *arg)
{
    struct server *s = arg;
    s->client(s);
    const struct firn_poster *p = firn_uv_poster(s->uv);
    p->post(p->ctx, &s->over);
    return NULL;
}

static void open_server(struct server *s, const char *addr)
{
    struct firn_err err = {{0}};
    assert_int_equal(firn_uv_create(NULL, &s->uv, &err), FIRN_OK);
    s->env = firn_uv_env(s->uv);
    s->l = (struct firn_listener){.accept = on_accept, .arg = s};
    s->guard = (struct firn_timer){.fn = on_guard, .arg = s};
    s->over = (struct firn_post){.fn = on_over, .arg = s};
    const struct firn_net *n = s->env->net;
    assert_int_equal(n->vt->listen(n->ctx, addr, 0, &s->l, &s->port, &err), FIRN_OK);
    assert_int_not_equal(s->port, 0);
}

static void run_server(struct server *s)
{
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, client_thread, s), 0);
    firn_timer_start(s->env, &s->guard, 30 * FIRN_SEC);
    firn_uv_run(s->uv);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_false(s->hung);
    firn_timer_stop(s->env, &s->guard);
}

static void close_server(struct server *s)
{
    s->env->net->vt->unlisten(s->env->net->ctx, &s->l);
    s->env->net->vt->unlisten(s->env->net->ctx, &s->l);
    firn_uv_free(s->uv);
}

static int dial(const struct server *s)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(s->port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        return -1;
    return fd;
}

/* Everything until the end of stream; returns the bytes, -1 on an error. */
static ssize_t drain(int fd, uint8_t *buf, size_t max)
{
    size_t at = 0;
    while (at < max) {
        ssize_t n = recv(fd, buf + at, max - at, 0);
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        at += (size_t)n;
    }
    return (ssize_t)at;
}

#define BIG ((size_t)16 << 20)

struct big_reader {
    struct server *s;
    int fd;
};

/* Read everything back, but not before the server met a full socket, however slow the machine is
 * just then. */
static void *reader_thread(void *arg)
{
    struct big_reader *r = arg;
    uint8_t *b = firn_malloc(BIG);
    bool ok = b != NULL;
    while (r->s->blocked == 0)
        usleep(1000);
    ok = ok && drain(r->fd, b, BIG) == (ssize_t)BIG;
    for (size_t i = 0; ok && i < BIG; i++)
        ok = b[i] == (uint8_t)(i * 31 >> 8);
    firn_free(b);
    return ok ? arg : NULL;
}

static void big_client(struct server *s)
{
    int fd = dial(s);
    assert_true(fd >= 0);
    int room = 64 << 10; /* of what the kernel takes for us; BIG is far more than all there is */
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    pthread_t t;
    struct big_reader r = {s, fd};
    assert_int_equal(pthread_create(&t, NULL, reader_thread, &r), 0);
    uint8_t *b = firn_malloc(BIG);
    assert_non_null(b);
    for (size_t i = 0; i < BIG; i++)
        b[i] = (uint8_t)(i * 31 >> 8);
    for (size_t at = 0; at < BIG;) {
        ssize_t n = send(fd, b + at, BIG - at, MSG_NOSIGNAL);
        assert_true(n > 0);
        at += (size_t)n;
    }
    void *ok;
    assert_int_equal(pthread_join(t, &ok), 0);
    assert_non_null(ok);
    firn_free(b);
    (void)close(fd);
}

static void test_big_echo(void **state)
{
    (void)state;
    struct server s = {.client = big_client};
    open_server(&s, "127.0.0.1");
    run_server(&s);
    assert_int_equal(s.accepted, 1);
    assert_true(s.blocked > 0);
    close_server(&s);
}

static void closing_client(struct server *s)
{
    for (int i = 0; i < 50; i++) {
        uint8_t b[8];
        int fd = dial(s);
        assert_true(fd >= 0);
        static uint8_t much[20000];
        assert_true(send(fd, much, sizeof much, MSG_NOSIGNAL) > 0);
        /* The last words arrive although the server never read all we sent. */
        assert_int_equal(drain(fd, b, sizeof b), 3);
        assert_memory_equal(b, "bye", 3);
        (void)close(fd);
    }
}

static void test_close_in_callback(void **state)
{
    (void)state;
    struct server s = {.client = closing_client, .close_on_data = true};
    open_server(&s, "127.0.0.1");
    run_server(&s);
    assert_int_equal(s.closed, 50);
    close_server(&s);
}

static void resetting_client(struct server *s)
{
    for (int i = 0; i < 50; i++) {
        int fd = dial(s);
        assert_true(fd >= 0);
        assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        (void)close(fd); /* sends a reset */
    }
    int fd = dial(s); /* one that stays open until the server goes */
    assert_true(fd >= 0);
    char b;
    assert_int_equal(send(fd, "y", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(recv(fd, &b, 1, 0), 1);
    s->refuse = true; /* read by the loop after the accept that follows this connect */
    int other = dial(s);
    assert_true(other >= 0);
    assert_int_equal(recv(other, &b, 1, 0), 0);
    (void)close(other);
    (void)close(fd);
}

static void test_reset_and_refuse(void **state)
{
    (void)state;
    struct server s = {.client = resetting_client};
    open_server(&s, "127.0.0.1");
    run_server(&s);
    assert_true(s.closed >= 50 && s.closed <= 51);
    close_server(&s);
}

/* Dial, say a byte and hear it back: 1. Turned away: 0. No descriptor for us: -1. */
static int try_echo(struct server *s, int *fd)
{
    uint8_t b;
    *fd = dial(s);
    if (*fd < 0)
        return -1;
    (void)send(*fd, "z", 1, MSG_NOSIGNAL);
    return recv(*fd, &b, 1, 0) == 1 ? 1 : 0;
}

/* All descriptors are gone: the server turns clients away and serves later ones. Client and server
 * share the process's few numbers; a spare is given up where the client runs out first. */
static void crowd_client(struct server *s)
{
    int fd[64], n = 0, r;
    int spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct rlimit before, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = (rlim_t)spare + 8;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while ((r = try_echo(s, &fd[n])) == 1)
        assert_true(++n < 60);
    if (r == -1) {
        (void)close(spare);
        spare = -1;
        r = try_echo(s, &fd[n]);
    }
    assert_int_equal(r, 0);
    n++;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < n; i++)
        (void)close(fd[i]);
    assert_int_equal(try_echo(s, &fd[0]), 1);
    (void)close(fd[0]);
    if (spare >= 0)
        (void)close(spare);
}

static void test_no_descriptors(void **state)
{
    (void)state;
    struct server s = {.client = crowd_client};
    open_server(&s, "127.0.0.1");
    run_server(&s);
    close_server(&s);
}

static void test_listen_errors(void **state)
{
    (void)state;
    struct server s = {0};
    open_server(&s, "127.0.0.1");
    const struct firn_net *n = s.env->net;
    struct firn_listener l = {.accept = on_accept, .arg = &s};
    struct firn_err err = {{0}};
    uint16_t port;
    assert_int_equal(n->vt->listen(n->ctx, "localhost", 0, &l, &port, &err), FIRN_INVALID);
    assert_non_null(strstr(err.text, "localhost"));
    err.text[0] = '\0';
    assert_int_equal(n->vt->listen(n->ctx, "127.0.0.1", s.port, &l, &port, &err), FIRN_CONFLICT);
    assert_non_null(strstr(err.text, "in use"));
    err.text[0] = '\0';
    assert_int_equal(n->vt->listen(n->ctx, "192.0.2.77", 0, &l, &port, &err), FIRN_ABSENT);
    assert_null(l.priv);
    close_server(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_big_echo),         cmocka_unit_test(test_close_in_callback),
        cmocka_unit_test(test_reset_and_refuse), cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_listen_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
