/* Sockets: Firn owns the descriptors and lets libuv only watch them (uv_poll), so that reads go
 * into one buffer per loop and writes are plain send(2) without queues or requests. */
#include "io_uv/io_uv_priv.h"

#include "base/assert.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 511
#define ACCEPTS_PER_TURN 64
#define READS_PER_TURN 4
#define DISCARDS_AT_CLOSE 16
#define ACCEPT_PAUSE_NS (100 * FIRN_MS)
#define KEEPALIVE_S 300
#define PEER_MAX 64 /* "[ipv6]:port" */

struct firn_sock {
    uv_poll_t poll;
    struct firn_list link; /* u->socks */
    struct firn_uv *u;
    int fd;
    struct firn_sock_user user;
    struct firn_defer failed; /* a write failed: closed() is to be called */
    bool reading;             /* data() is wanted */
    bool writing;             /* writable() is owed */
    bool ended;               /* end of stream or failed: nothing is read any more */
    bool broken;              /* failed: nothing is written any more */
    bool told;                /* closed() was called */
    bool closed;              /* by the user: no callback any more */
};

struct uv_listener {
    uv_poll_t poll;
    struct firn_list link; /* u->listeners */
    struct firn_uv *u;
    struct firn_listener *l;
    int fd;
    struct firn_timer pause; /* while accept fails for want of descriptors */
    bool closed;
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* ---- connections */

static void on_poll(uv_poll_t *h, int status, int events);

/* Watch for what is wanted now. */
static void watch(struct firn_sock *s)
{
    int events = 0;
    if (s->reading && !s->ended)
        events |= UV_READABLE;
    if (s->writing && !s->broken)
        events |= UV_WRITABLE;
    if (s->closed)
        return;
    if (events)
        (void)uv_poll_start(&s->poll, events,
                            on_poll); /* fails only for a descriptor watched twice */
    else
        (void)uv_poll_stop(&s->poll);
}

static void sock_free(uv_handle_t *h)
{
    firn_free(h->data);
}

/* Closing with unread bytes would make the kernel reset the connection and drop the last replies:
 * end our side first, then discard what has come. */
static void close_gently(int fd)
{
    uint8_t junk[4096];
    (void)shutdown(fd, SHUT_WR);
    for (int i = 0; i < DISCARDS_AT_CLOSE; i++) {
        if (recv(fd, junk, sizeof junk, MSG_DONTWAIT) <= 0)
            break;
    }
    (void)close(fd);
}

static void net_close(void *ctx, struct firn_sock *s)
{
    struct firn_uv *u = ctx;
    FIRN_ASSERT(!s->closed);
    s->closed = true;
    firn_list_remove(&s->link);
    firn_defer_cancel(&u->env, &s->failed);
    uv_close((uv_handle_t *)&s->poll, sock_free); /* libuv forgets the descriptor at once */
    close_gently(s->fd);
    s->fd = -1;
}

static void tell_closed(struct firn_sock *s)
{
    if (s->told || s->closed)
        return;
    s->told = true;
    s->user.closed(s->user.arg);
}

static void on_failed(void *arg)
{
    tell_closed(arg);
}

static void break_off(struct firn_sock *s)
{
    s->ended = s->broken = true;
    watch(s);
}

/* Read until the kernel has no more, a few times at most, so that others get their turn. */
static void sock_read(struct firn_sock *s)
{
    struct firn_uv *u = s->u;
    for (int i = 0; i < READS_PER_TURN && s->reading && !s->ended && !s->closed; i++) {
        ssize_t n = recv(s->fd, u->read_buf, UV_READ_BYTES, MSG_DONTWAIT);
        if (n > 0) {
            s->user.data(s->user.arg, u->read_buf, (size_t)n);
            if ((size_t)n < UV_READ_BYTES)
                return;
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        if (n < 0)
            s->broken = true;
        s->ended = true;
        watch(s);
        tell_closed(s);
        return;
    }
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct firn_sock *s = h->data;
    if (status < 0) { /* libuv has stopped watching: the socket is in error */
        break_off(s);
        tell_closed(s);
        return;
    }
    if (events & UV_READABLE)
        sock_read(s);
    if ((events & UV_WRITABLE) && !s->closed && s->writing && !s->broken) {
        s->writing = false;
        watch(s);
        s->user.writable(s->user.arg);
    }
}

static void net_read_set(void *ctx, struct firn_sock *s, bool on)
{
    (void)ctx;
    if (s->reading == on)
        return;
    s->reading = on;
    watch(s);
}

static size_t net_write(void *ctx, struct firn_sock *s, const void *data, size_t len)
{
    struct firn_uv *u = ctx;
    if (s->broken || s->closed)
        return len;
    ssize_t n;
    do {
        n = send(s->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) {
        break_off(s);
        firn_defer(&u->env, &s->failed);
        return len;
    }
    size_t took = n < 0 ? 0 : (size_t)n;
    if (took < len && !s->writing) {
        s->writing = true;
        watch(s);
    }
    return took;
}

/* ---- addresses */

static bool is_loopback(const union address *a)
{
    if (a->any.sa_family == AF_INET)
        return (ntohl(a->v4.sin_addr.s_addr) >> 24) == 127;
    if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
        return a->v6.sin6_addr.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

static void name_peer(const union address *a, char out[PEER_MAX])
{
    char ip[INET6_ADDRSTRLEN] = "?";
    if (a->any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &a->v4.sin_addr, ip, sizeof ip);
        (void)snprintf(out, PEER_MAX, "%s:%u", ip, ntohs(a->v4.sin_port));
    } else {
        (void)inet_ntop(AF_INET6, &a->v6.sin6_addr, ip, sizeof ip);
        (void)snprintf(out, PEER_MAX, "[%s]:%u", ip, ntohs(a->v6.sin6_port));
    }
}

/* A numeric address and port; false when it is none. */
static bool parse_address(const char *text, uint16_t port, union address *a, socklen_t *len)
{
    memset(a, 0, sizeof *a);
    if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons(port);
        *len = sizeof a->v4;
        return true;
    }
    if (inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1) {
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons(port);
        *len = sizeof a->v6;
        return true;
    }
    return false;
}

/* ---- listeners */

static void set_int(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value,
                     sizeof value); /* hints: working without them is fine */
}

static void tune(int fd)
{
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_S / 3);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

/* Take a new descriptor in; it is closed when nobody wants it. */
static void adopt(struct uv_listener *ln, int fd, const union address *a)
{
    struct firn_uv *u = ln->u;
    struct firn_sock *s = firn_calloc(1, sizeof *s);
    if (!s || uv_poll_init_socket(&u->loop, &s->poll, fd) != 0) {
        firn_free(s);
        (void)close(fd);
        return;
    }
    tune(fd);
    s->poll.data = s;
    s->u = u;
    s->fd = fd;
    s->reading = true;
    s->failed = (struct firn_defer){.fn = on_failed, .arg = s};
    firn_list_push(&u->socks, &s->link);
    char peer[PEER_MAX];
    name_peer(a, peer);
    if (ln->l->accept(ln->l->arg, s, peer, is_loopback(a), &s->user) != FIRN_OK)
        net_close(u, s);
    else
        watch(s);
}

static void resume_accept(void *arg);

/* No descriptor is left. Give up the reserve to take one client and turn it away, so that it does
 * not wait in vain; where even that fails, look away for a while instead of spinning on the ready
 * listener. */
static void turn_away(struct uv_listener *ln)
{
    struct firn_uv *u = ln->u;
    int fd = -1;
    if (u->reserve_fd >= 0) {
        (void)close(u->reserve_fd);
        fd = accept4(ln->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            (void)close(fd);
        u->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0) {
        (void)uv_poll_stop(&ln->poll);
        firn_timer_start(&u->env, &ln->pause, ACCEPT_PAUSE_NS);
    }
}

static void on_listener(uv_poll_t *h, int status, int events)
{
    struct uv_listener *ln = h->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN && !ln->closed; i++) {
        union address a;
        memset(&a, 0, sizeof a);
        socklen_t len = sizeof a;
        int fd = accept4(ln->fd, &a.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            adopt(ln, fd, &a);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            turn_away(ln);
            return;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        /* Anything else concerns the one connection that was lost before we took it (accept(2)). */
    }
}

static void resume_accept(void *arg)
{
    struct uv_listener *ln = arg;
    (void)uv_poll_start(&ln->poll, UV_READABLE, on_listener);
}

static enum firn_status listen_failed(struct firn_err *err, const char *what, const char *addr,
                                      uint16_t port)
{
    int e = errno;
    enum firn_status s = FIRN_LIMIT;
    if (e == EADDRINUSE)
        s = FIRN_CONFLICT;
    else if (e == EACCES || e == EPERM)
        s = FIRN_DENIED;
    else if (e == EADDRNOTAVAIL || e == EAFNOSUPPORT)
        s = FIRN_ABSENT;
    return firn_fail(err, s, "cannot %s %s port %u: %s", what, addr, port, strerror(e));
}

/* A listening descriptor, or -1 with errno and *what failed. */
static int listening(const struct firn_uv *u, const union address *a, socklen_t len,
                     const char **what)
{
    *what = "make a socket for";
    int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (u->options.reuseport)
        set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (a->any.sa_family == AF_INET6)
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1); /* so that 0.0.0.0 and :: go together */
    *what = "listen on";
    if (bind(fd, &a->any, len) != 0 || listen(fd, BACKLOG) != 0) {
        int e = errno;
        (void)close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

static uint16_t port_of(int fd, uint16_t fallback)
{
    union address a;
    memset(&a, 0, sizeof a);
    socklen_t len = sizeof a;
    if (getsockname(fd, &a.any, &len) != 0)
        return fallback;
    return ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
}

static enum firn_status net_listen(void *ctx, const char *addr, uint16_t port,
                                   struct firn_listener *l, uint16_t *port_out,
                                   struct firn_err *err)
{
    struct firn_uv *u = ctx;
    union address a;
    socklen_t len = 0;
    if (!parse_address(addr, port, &a, &len))
        return firn_fail(err, FIRN_INVALID, "'%s' is not a numeric IPv4 or IPv6 address", addr);
    const char *what;
    int fd = listening(u, &a, len, &what);
    if (fd < 0)
        return listen_failed(err, what, addr, port);
    struct uv_listener *ln = firn_calloc(1, sizeof *ln);
    if (!ln || uv_poll_init_socket(&u->loop, &ln->poll, fd) != 0) {
        firn_free(ln);
        (void)close(fd);
        return firn_fail(err, FIRN_LIMIT, "out of memory for a listener on %s port %u", addr, port);
    }
    ln->poll.data = ln;
    ln->u = u;
    ln->l = l;
    ln->fd = fd;
    ln->pause = (struct firn_timer){.fn = resume_accept, .arg = ln};
    firn_list_push(&u->listeners, &ln->link);
    (void)uv_poll_start(&ln->poll, UV_READABLE, on_listener);
    l->priv = ln;
    if (port_out)
        *port_out = port_of(fd, port);
    return FIRN_OK;
}

static void listener_free(uv_handle_t *h)
{
    firn_free(h->data);
}

static void net_unlisten(void *ctx, struct firn_listener *l)
{
    struct firn_uv *u = ctx;
    struct uv_listener *ln = l->priv;
    if (!ln)
        return;
    l->priv = NULL;
    ln->closed = true;
    firn_list_remove(&ln->link);
    firn_timer_stop(&u->env, &ln->pause);
    uv_close((uv_handle_t *)&ln->poll, listener_free);
    (void)close(ln->fd);
}

static const struct firn_net_vt net_vt = {
    .listen = net_listen,
    .unlisten = net_unlisten,
    .read_set = net_read_set,
    .write = net_write,
    .close = net_close,
};

enum firn_status firn_uv__net_init(struct firn_uv *u, struct firn_err *err)
{
    u->net = (struct firn_net){.vt = &net_vt, .ctx = u};
    u->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (u->reserve_fd < 0)
        return firn_fail(err, FIRN_LIMIT, "cannot open /dev/null: %s", strerror(errno));
    return FIRN_OK;
}

void firn_uv__net_deinit(struct firn_uv *u)
{
    struct firn_list *l;
    while (!firn_list_empty(&u->listeners)) {
        l = u->listeners.next;
        net_unlisten(u, FIRN_CONTAINER(l, struct uv_listener, link)->l);
    }
    while (!firn_list_empty(&u->socks)) {
        l = u->socks.next;
        net_close(u, FIRN_CONTAINER(l, struct firn_sock, link));
    }
    if (u->reserve_fd >= 0)
        (void)close(u->reserve_fd);
    u->reserve_fd = -1;
}
