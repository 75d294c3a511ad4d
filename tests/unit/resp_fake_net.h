/* Sockets for tests of the resp room: what a client sends is handed over by hand, what it is sent
 * piles up in a buffer. One per test, over a node of the fake world. */
#ifndef FIRN_TESTS_UNIT_RESP_FAKE_NET_H
#define FIRN_TESTS_UNIT_RESP_FAKE_NET_H

#include "base/slice.h"
#include "env/net.h"
#include "fakes/fake_env.h"
#include "resp/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct firn_sock {
    struct firn_sock_user user;
    struct firn_buf got; /* what the client was sent */
    size_t window;       /* bytes it still takes */
    size_t writes;       /* calls that wrote something */
    bool reading, closed, refused;
};

struct fake {
    struct firn_fake_world *w;
    struct firn_fake_node *node;
    struct firn_env env;
    struct firn_net net;
    struct firn_listener *l;
    struct firn_server *s;
};

static enum firn_status fake_listen(void *ctx, const char *addr, uint16_t port,
                                    struct firn_listener *l, uint16_t *port_out,
                                    struct firn_err *err)
{
    (void)addr;
    (void)err;
    ((struct fake *)ctx)->l = l;
    *port_out = port ? port : 6379;
    return FIRN_OK;
}

static void fake_unlisten(void *ctx, struct firn_listener *l)
{
    (void)l;
    ((struct fake *)ctx)->l = NULL;
}

static void fake_read_set(void *ctx, struct firn_sock *sock, bool on)
{
    (void)ctx;
    sock->reading = on;
}

static size_t fake_write(void *ctx, struct firn_sock *sock, const void *data, size_t len)
{
    (void)ctx;
    size_t n = len < sock->window ? len : sock->window;
    struct firn_buf *got = &sock->got;
    if (got->cap - got->len < n) { /* not by base/mem: that fails where a test says so */
        size_t cap = 2 * got->cap + n;
        uint8_t *p = realloc(got->data, cap);
        if (!p)
            abort();
        got->data = p;
        got->cap = cap;
    }
    if (n)
        memcpy(got->data + got->len, data, n);
    got->len += n;
    sock->window -= n;
    sock->writes += n > 0;
    return n;
}

static void fake_close(void *ctx, struct firn_sock *sock)
{
    (void)ctx;
    if (sock->closed)
        abort();
    sock->closed = true;
}

static const struct firn_net_vt fake_net_vt = {fake_listen, fake_unlisten, fake_read_set,
                                               fake_write, fake_close};

/* A server with the handler and the table, listening. */
static inline void fake_start(struct fake *f, const struct firn_server_options *o,
                              const struct firn_handler *h, const struct firn_command *table,
                              size_t n)
{
    f->w = firn_fake_world_new(&(struct firn_fake_options){.seed = 1});
    f->node = firn_fake_node_add(f->w, NULL);
    f->env = *firn_fake_env(f->node);
    f->net = (struct firn_net){&fake_net_vt, f};
    f->env.net = &f->net;
    struct firn_err err = {0};
    if (firn_server_create(&f->env, o, h, &f->s, &err) != FIRN_OK ||
        firn_server_add_commands(f->s, table, n, &err) != FIRN_OK ||
        firn_server_listen(f->s, "127.0.0.1", 0, NULL, &err) != FIRN_OK) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
}

static inline void fake_stop(struct fake *f)
{
    firn_server_free(f->s);
    firn_fake_world_free(f->w);
}

static inline struct firn_sock *fake_connect_from(struct fake *f, const char *peer, bool loopback)
{
    struct firn_sock *k = calloc(1, sizeof *k);
    if (!k)
        abort();
    k->got.max = SIZE_MAX;
    k->window = SIZE_MAX;
    k->reading = true;
    k->refused = f->l->accept(f->l->arg, k, peer, loopback, &k->user) != FIRN_OK;
    return k;
}

static inline struct firn_sock *fake_connect(struct fake *f)
{
    return fake_connect_from(f, "127.0.0.1:5000", true);
}

static inline void fake_sock_free(struct firn_sock *k)
{
    firn_buf_clear(&k->got);
    free(k);
}

/* Bytes arrive (from a buffer that is gone afterwards); the turn does not end. */
static inline void fake_deliver(struct firn_sock *k, const char *data, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    if (!copy)
        abort();
    memcpy(copy, data, len);
    k->user.data(k->user.arg, copy, len);
    free(copy);
}

/* Let the turn end, and what that makes ready. */
static inline void fake_turn(struct fake *f)
{
    firn_fake_run_for(f->w, 1000);
}

static inline void fake_send(struct fake *f, struct firn_sock *k, const char *text)
{
    fake_deliver(k, text, strlen(text));
    fake_turn(f);
}

/* What the client was sent since the last call, as a C string, good until the next. */
static inline const char *fake_got(struct firn_sock *k)
{
    static char text[1 << 16];
    if (k->got.len >= sizeof text)
        abort();
    if (k->got.len)
        memcpy(text, k->got.data, k->got.len);
    text[k->got.len] = '\0';
    k->got.len = 0;
    return text;
}

#endif
