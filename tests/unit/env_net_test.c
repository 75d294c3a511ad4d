/* The fake network keeps its own promises: see fakes/fake_net.h. */
#include "testing.h"

#include "fakes/fake_env.h"
#include "fakes/fake_net.h"
#include "fakes/fake_strike.h"

#include "env/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES 50000

/* A node that sends back what it gets, and keeps what does not fit into the window. */
struct echo {
    struct server *server;
    struct firn_sock *sock;
    struct firn_buf out;
    bool told;
};

struct server {
    struct firn_fake_node *n;
    const struct firn_net *net;
    struct firn_listener l;
    uint16_t port;
    size_t got, accepts, ends, writables;
    enum firn_status answer;
    bool keeps; /* does not send back, nor close when told */
    struct firn_sock *last;
};

static void flush(struct echo *e)
{
    const struct firn_net *net = e->server->net;
    if (e->out.len)
        firn_buf_consume(&e->out, net->vt->write(net->ctx, e->sock, e->out.data, e->out.len));
}

static void drop(struct echo *e)
{
    e->server->net->vt->close(e->server->net->ctx, e->sock);
    firn_buf_clear(&e->out);
    free(e);
}

static void echo_data(void *arg, const uint8_t *data, size_t len)
{
    struct echo *e = arg;
    assert_false(e->told);
    e->server->got += len;
    assert_int_equal(firn_buf_append(&e->out, data, len), FIRN_OK);
    if (!e->server->keeps)
        flush(e);
}

static void echo_writable(void *arg)
{
    struct echo *e = arg;
    e->server->writables++;
    flush(e);
}

static void echo_closed(void *arg)
{
    struct echo *e = arg;
    assert_false(e->told);
    e->told = true;
    e->server->ends++;
    drop(e);
}

static enum firn_status echo_accept(void *arg, struct firn_sock *sock, const char *peer,
                                    bool loopback, struct firn_sock_user *user)
{
    struct server *s = arg;
    s->accepts++;
    assert_true(loopback == (strncmp(peer, "127.0.0.1:", 10) == 0));
    if (s->answer != FIRN_OK)
        return s->answer;
    struct echo *e = calloc(1, sizeof *e);
    assert_non_null(e);
    *e = (struct echo){.server = s, .sock = sock};
    firn_buf_init(&e->out, SIZE_MAX);
    *user = (struct firn_sock_user){echo_data, echo_writable, echo_closed, e};
    s->last = sock;
    return FIRN_OK;
}

static void server_init(struct server *s, struct firn_fake_world *w)
{
    *s = (struct server){.n = firn_fake_node_add(w, NULL)};
    s->net = firn_fake_env(s->n)->net;
    s->l = (struct firn_listener){.accept = echo_accept, .arg = s};
    struct firn_err err = {0};
    assert_int_equal(s->net->vt->listen(s->net->ctx, "127.0.0.1", 0, &s->l, &s->port, &err),
                     FIRN_OK);
    assert_true(s->port != 0 && s->port == firn_fake_port(s->n));
}

struct peer {
    struct firn_fake_conn *c;
    size_t sent, got, connects, ends;
    enum firn_fake_end how;
};

static void peer_connected(void *arg)
{
    ((struct peer *)arg)->connects++;
}

/* Byte i of what is sent, and so of what comes back. */
static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

static void peer_data(void *arg, const uint8_t *data, size_t len)
{
    struct peer *p = arg;
    assert_true(p->connects == 1 && p->ends == 0 && len > 0);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(data[i], byte_at(p->got + i));
    p->got += len;
}

static void peer_closed(void *arg, enum firn_fake_end how)
{
    struct peer *p = arg;
    p->ends++;
    p->how = how;
    p->c = NULL;
}

static void dial(struct peer *p, struct firn_fake_world *w, unsigned client, struct server *s)
{
    struct firn_fake_conn_user u = {peer_connected, peer_data, peer_closed, p};
    *p = (struct peer){0};
    p->c = firn_fake_dial(w, client, s->n, s->port, &u);
    assert_ptr_equal(firn_fake_conn_node(p->c), s->n);
}

static void say(struct peer *p, size_t len)
{
    uint8_t *b = malloc(len);
    assert_non_null(b);
    for (size_t i = 0; i < len; i++)
        b[i] = byte_at(p->sent + i);
    firn_fake_send(p->c, b, len);
    free(b);
    p->sent += len;
}

static void test_bytes(void **state)
{
    (void)state;
    struct firn_fake_options o = {.seed = 3, .net_window_max = 256};
    o.faults.net_chop = 500000;
    o.faults.net_slow = 10000;
    struct firn_fake_world *w = firn_fake_world_new(&o);
    struct server s;
    struct peer p, q;
    server_init(&s, w);
    dial(&p, w, 5, &s);
    say(&p, BYTES); /* before it is connected */
    assert_int_equal(p.connects + s.accepts, 0);
    dial(&q, w, FIRN_FAKE_LOCAL, &s);
    firn_fake_run_for(w, FIRN_SEC);
    say(&q, 10);
    firn_fake_run_for(w, 600 * FIRN_SEC);
    assert_int_equal(p.got, BYTES);
    assert_int_equal(q.got, 10);
    assert_true(s.writables > 100);
    assert_true(firn_fake_strikes(w, "net-chop") > 100 && firn_fake_strikes(w, "net-slow") > 1);
    firn_fake_hang_up(p.c);
    assert_int_equal(s.ends, 0);
    firn_fake_run_for(w, FIRN_SEC);
    assert_int_equal(s.ends, 1);
    firn_fake_reset(q.c);
    firn_fake_run_for(w, FIRN_SEC);
    assert_int_equal(s.ends, 2);
    assert_int_equal(firn_fake_conns(w), 0);
    firn_fake_world_free(w);
}

static void test_slow_client(void **state)
{
    (void)state;
    struct firn_fake_world *w =
        firn_fake_world_new(&(struct firn_fake_options){.seed = 3, .net_window_max = 100});
    struct server s;
    struct peer p;
    server_init(&s, w);
    dial(&p, w, 5, &s);
    firn_fake_conn_read(p.c, false);
    say(&p, 1000);
    firn_fake_run_for(w, FIRN_SEC);
    assert_true(s.got == 1000 && p.got == 0 && p.connects == 1 && s.writables == 0);
    firn_fake_conn_read(p.c, true);
    firn_fake_run_for(w, FIRN_SEC);
    assert_int_equal(p.got, 1000);
    /* A node that does not read is not told of what comes, and then all of it. */
    s.net->vt->read_set(s.net->ctx, s.last, false);
    say(&p, 100);
    firn_fake_hang_up(p.c);
    firn_fake_run_for(w, FIRN_SEC);
    assert_true(s.got == 1000 && s.ends == 0);
    s.net->vt->read_set(s.net->ctx, s.last, true);
    firn_fake_run_for(w, FIRN_SEC);
    assert_true(s.got == 1100 && s.ends == 1);
    assert_int_equal(firn_fake_conns(w), 0);
    firn_fake_world_free(w);
}

static void test_refused(void **state)
{
    (void)state;
    struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 4});
    struct server s;
    struct peer p, q;
    server_init(&s, w);
    struct firn_listener twice = {.accept = echo_accept};
    uint16_t port = 0;
    assert_int_equal(s.net->vt->listen(s.net->ctx, "127.0.0.1", s.port, &twice, &port, NULL),
                     FIRN_CONFLICT);
    s.answer = FIRN_LIMIT;
    dial(&p, w, 0, &s);
    firn_fake_run_for(w, FIRN_SEC);
    assert_true(p.ends == 1 && p.how == FIRN_FAKE_END_CLOSED && s.accepts == 1);
    s.net->vt->unlisten(s.net->ctx, &s.l);
    assert_int_equal(firn_fake_port(s.n), 0);
    dial(&q, w, 0, &s);
    firn_fake_run_for(w, FIRN_SEC);
    assert_true(q.ends == 1 && q.how == FIRN_FAKE_END_REFUSED && q.connects == 0);
    assert_int_equal(firn_fake_conns(w), 0);
    firn_fake_world_free(w);
}

static void test_frozen(void **state)
{
    (void)state;
    struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 5});
    struct server s;
    struct peer p, q;
    server_init(&s, w);
    dial(&p, w, 0, &s);
    firn_fake_run_for(w, FIRN_SEC);
    firn_fake_node_freeze(s.n);
    say(&p, 10);
    dial(&q, w, 0, &s);
    say(&q, 20);
    firn_fake_run_for(w, 100 * FIRN_SEC);
    assert_true(q.connects == 1 && s.accepts == 1 && s.got == 0); /* its kernel took it */
    firn_fake_hang_up(q.c);
    firn_fake_run_for(w, FIRN_SEC);
    firn_fake_node_thaw(s.n);
    firn_fake_run_for(w, FIRN_SEC);
    assert_true(s.accepts == 2 && s.got == 30 && p.got == 10 && s.ends == 1);
    firn_fake_hang_up(p.c);
    firn_fake_run_for(w, FIRN_SEC);
    firn_fake_world_free(w);
}

static void test_split(void **state)
{
    (void)state;
    struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 6});
    struct server s;
    struct peer p, q, r;
    server_init(&s, w);
    dial(&p, w, 3, &s);
    dial(&q, w, 4, &s);
    firn_fake_run_for(w, FIRN_SEC);
    firn_fake_net_split(s.n, 1u << 3);
    say(&p, 10);
    say(&q, 10);
    dial(&r, w, 3, &s);
    firn_fake_run_for(w, 100 * FIRN_SEC);
    assert_true(p.got == 0 && q.got == 10 && s.got == 10 && r.connects == 0);
    firn_fake_net_split(s.n, 0);
    firn_fake_run_for(w, FIRN_SEC);
    assert_true(p.got == 10 && r.connects == 1);
    /* Behind a split the node does not hear of an end. */
    firn_fake_net_split(s.n, UINT64_MAX);
    firn_fake_hang_up(p.c);
    firn_fake_reset(q.c);
    firn_fake_run_for(w, 100 * FIRN_SEC);
    assert_int_equal(s.ends, 0);
    firn_fake_net_split(s.n, 0);
    firn_fake_run_for(w, FIRN_SEC);
    assert_int_equal(s.ends, 2);
    firn_fake_hang_up(r.c);
    firn_fake_run_for(w, FIRN_SEC);
    assert_int_equal(firn_fake_conns(w), 0);
    firn_fake_world_free(w);
}

static void crash_one(uint64_t seed, uint32_t silent, size_t *with_bytes)
{
    struct firn_fake_options o = {.seed = seed, .faults.net_silent = silent};
    struct firn_fake_world *w = firn_fake_world_new(&o);
    struct server s;
    struct peer p, q;
    server_init(&s, w);
    dial(&p, w, 0, &s);
    firn_fake_run_for(w, FIRN_SEC);
    s.keeps = true;
    say(&p, 10);
    firn_fake_run_for(w, FIRN_SEC);
    assert_int_equal(s.net->vt->write(s.net->ctx, s.last, "\0\7\16", 3), 3);
    firn_fake_node_freeze(s.n);
    firn_fake_node_crash(s.n);
    assert_true(firn_fake_node_crashed(s.n) && !firn_fake_node_frozen(s.n));
    dial(&q, w, 0, &s);
    firn_fake_run_for(w, FIRN_SEC);
    assert_int_equal(s.ends, 1); /* the core is told, and ends by itself */
    assert_true(p.got == 0 || p.got == 3);
    *with_bytes += p.got == 3;
    if (silent) {
        assert_true(p.ends == 0 && q.ends == 0 && p.got == 0);
        firn_fake_hang_up(p.c);
        firn_fake_hang_up(q.c);
    } else {
        assert_true(p.ends == 1 && q.ends == 1 && q.how == FIRN_FAKE_END_REFUSED);
    }
    assert_int_equal(firn_fake_conns(w), 0);
    firn_fake_world_free(w);
}

static void test_crash(void **state)
{
    (void)state;
    size_t with_bytes = 0;
    for (uint64_t seed = 0; seed < 20; seed++)
        crash_one(seed, 0, &with_bytes);
    assert_true(with_bytes > 0 && with_bytes < 20);
    crash_one(1, 1000000, &with_bytes);
}

static void end_all(struct firn_fake_world *w, struct server *s, struct peer *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i].c)
            firn_fake_hang_up(p[i].c);
        assert_true(p[i].ends <= 1);
    }
    firn_fake_node_crash(s->n);
    firn_fake_run_for(w, 100 * FIRN_SEC);
    assert_int_equal(firn_fake_conns(w), 0);
    assert_int_equal(s->ends, s->accepts);
}

/* Connections under all faults at once; the ordinals in allow (NULL: any) strike. */
static uint64_t storm(uint64_t seed, const uint64_t *allow, size_t allowed, uint64_t *struck,
                      size_t *count)
{
    struct firn_fake_options o = {.seed = seed, .net_window_max = 300};
    o.faults.net_chop = 200000;
    o.faults.net_reset = 5000;
    o.faults.net_refused = 100000;
    o.faults.net_slow = 50000;
    struct firn_fake_world *w = firn_fake_world_new(&o);
    if (allow)
        firn_fake_allow(w, allow, allowed);
    struct server s;
    struct peer p[20];
    server_init(&s, w);
    for (unsigned i = 0; i < 20; i++)
        dial(&p[i], w, i, &s);
    for (unsigned i = 0; i < 400; i++) {
        struct peer *a = &p[firn_fake_random(w) % 20];
        if (a->c)
            say(a, 1 + firn_fake_random(w) % 500);
        if (firn_fake_strike(w, "freeze", 20000))
            firn_fake_node_freeze(s.n);
        firn_fake_run_for(w, firn_fake_random(w) % (10 * FIRN_MS));
        firn_fake_node_thaw(s.n);
    }
    const uint64_t *list = firn_fake_struck(w, count);
    assert_true(*count <= 4096 && *count == firn_fake_strikes(w, NULL));
    for (size_t i = 0; i < *count; i++)
        struck[i] = list[i];
    uint64_t hash = firn_fake_trace_hash(w);
    end_all(w, &s, p, 20);
    firn_fake_world_free(w);
    return hash;
}

static bool in(const uint64_t *list, size_t n, uint64_t v)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == v)
            return true;
    return false;
}

static void test_storm(void **state)
{
    (void)state;
    static uint64_t all[4096], again[4096], few[4096];
    size_t n = 0, m = 0, k = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        uint64_t a = storm(seed, NULL, 0, all, &n), b = storm(seed, NULL, 0, again, &m);
        assert_true(a == b && n == m && n > 50);
        assert_memory_equal(all, again, n * sizeof *all);
        /* All of them allowed is the same run; half of them strike no others. */
        assert_true(storm(seed, all, n, again, &m) == a && n == m);
        assert_true(storm(seed, all, n / 2, few, &k) != a);
        for (size_t i = 0; i < k; i++)
            assert_true(in(all, n / 2, few[i]));
        (void)storm(seed, all, 0, few, &k);
        assert_int_equal(k, 0);
    }
}

static void test_strikes(void **state)
{
    (void)state;
    struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 9});
    struct firn_fake_world *v = firn_fake_world_new(&(struct firn_fake_options){.seed = 9});
    uint64_t draw[100];
    size_t n = 0, count = 0;
    for (int i = 0; i < 1000; i++)
        if (firn_fake_strike(w, "a", 50000))
            draw[n++] = firn_fake_strike_random(w);
    assert_true(n > 20 && firn_fake_strikes(w, "a") == n && firn_fake_strikes(w, "b") == 0);
    const uint64_t *struck = firn_fake_struck(w, &count);
    assert_string_equal(firn_fake_kind_of(w, struck[0]), "a");
    /* Another kind in between, and one left out: the rest strike as they did. */
    assert_false(firn_fake_strike(v, "a", 0));
    firn_fake_forbid(v, &struck[3], 1);
    size_t m = 0, b = 0;
    for (int i = 0; i < 1000; i++) {
        b += firn_fake_strike(v, "b", 500000);
        if (!firn_fake_strike(v, "a", 50000))
            continue;
        m += m == 3;
        assert_true(firn_fake_strike_random(v) == draw[m++]);
    }
    assert_true(m == n && b > 400 && firn_fake_strikes(v, "a") == n - 1);
    firn_fake_world_free(w);
    firn_fake_world_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),   cmocka_unit_test(test_slow_client),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_split),   cmocka_unit_test(test_crash),
        cmocka_unit_test(test_storm),   cmocka_unit_test(test_strikes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
