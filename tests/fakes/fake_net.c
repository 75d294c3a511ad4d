/* Connections between client machines and nodes: see fake_net.h. Each way is a pipe: bytes that
 * were written and not yet handed over, then perhaps an end. One event per pipe hands over the next
 * piece, or the end. A connection is freed when neither side holds its end any more. */
#include "fakes/fake_priv.h"

#include <stdlib.h>

#define LATENCY_MIN_NS (50 * UINT64_C(1000))
#define LATENCY_MAX_NS (500 * UINT64_C(1000))
#define PIECE_MAX 65536
#define WINDOW_MIN_BITS 6
#define WINDOW_MAX 65536
#define PORT_FIRST 20000

enum pipe_end { PIPE_OPEN, PIPE_FIN, PIPE_RST };

struct pipe {
    struct fake_event arrive;
    uint8_t *data;
    size_t at, len, cap; /* the bytes are data[at, at + len) */
    enum pipe_end end;   /* what follows them */
};

struct fake_listener {
    struct firn_list link; /* node->listeners */
    struct firn_listener *l;
    char addr[48];
    uint16_t port;
};

struct firn_fake_conn {
    struct firn_sock *sock;
};

/* Both ends of a connection; the net port knows it as the node's. */
struct firn_sock {
    struct firn_fake_conn conn; /* as its client knows it */
    struct firn_fake_world *w;
    struct firn_fake_node *node;
    unsigned client;
    uint16_t port;
    uint64_t number;
    struct firn_list link; /* w->conns */
    struct fake_rng rng;
    struct pipe up, down;     /* to the node, to the client */
    size_t window;            /* most bytes in `down` */
    struct fake_event shake;  /* the first packet reaches the node, then the answer the client */
    struct fake_event accept; /* the node takes it */
    struct fake_event room;   /* the node's writable() */
    struct firn_sock_user user;
    struct firn_fake_conn_user client_user;
    bool client_open, client_reads, connected;
    bool node_open, node_reads, wants_room;
    bool lost; /* the node's side knows: writes vanish, closed() comes even if it does not read */
    bool told; /* the node's closed() was called */
    bool refused, silent, busy;
};

static uint64_t below(struct firn_sock *s, uint64_t n)
{
    return n ? fake_rng_next(&s->rng) % n : 0;
}

static bool reachable(const struct firn_sock *s)
{
    const struct firn_fake_node *n = s->node;
    if (s->silent || n->suspended)
        return false;
    return s->client == FIRN_FAKE_LOCAL || !(n->split >> s->client & 1);
}

static uint64_t latency(struct firn_sock *s)
{
    const struct firn_fake_options *o = &s->w->opt;
    uint64_t min = o->net_latency_min_ns, max = o->net_latency_max_ns;
    if (!min && !max) {
        min = LATENCY_MIN_NS;
        max = LATENCY_MAX_NS;
    }
    uint64_t ns = min + below(s, max - min + 1);
    if (fake_strike(s->w, FAKE_NET_SLOW, o->faults.net_slow))
        ns *= 10 + firn_fake_strike_random(s->w) % 991;
    return ns;
}

static void note(const struct firn_sock *s, const char *what, size_t bytes)
{
    fake_trace(s->w, FAKE_TRACE_NET,
               s->number << 32 ^ (uint64_t)(unsigned char)what[0] << 24 ^ bytes);
    firn_fake_say(s->w, s->node, "net c%u #%llu %s %zu", s->client, (unsigned long long)s->number,
                  what, bytes);
}

/* ---- pipes */

static void pipe_put(struct pipe *p, const void *data, size_t len)
{
    if (p->at && p->at + p->len + len > p->cap) {
        memmove(p->data, p->data + p->at, p->len);
        p->at = 0;
    }
    if (p->len + len > p->cap) {
        p->cap = 2 * p->cap + len;
        p->data = realloc(p->data, p->cap);
        FIRN_ASSERT(p->data != NULL);
    }
    if (len)
        memcpy(p->data + p->at + p->len, data, len);
    p->len += len;
}

/* The next piece, in a block of just its size, so that reading behind it is seen. */
static uint8_t *pipe_take(struct pipe *p, size_t len)
{
    uint8_t *piece = fake_alloc(len);
    memcpy(piece, p->data + p->at, len);
    p->at += len;
    p->len -= len;
    if (p->len == 0)
        p->at = 0;
    return piece;
}

static void pipe_schedule(struct firn_sock *s, struct pipe *p)
{
    if (!fake_event_pending(&p->arrive))
        fake_event_at(s->w, &p->arrive, s->w->now_ns + latency(s));
}

/* Whether the end can reach the node although it does not read. */
static bool end_is_heard(const struct firn_sock *s)
{
    return s->up.end != PIPE_OPEN && !s->told &&
           (s->lost || (s->up.end == PIPE_RST && s->wants_room && reachable(s)));
}

static bool up_is_due(const struct firn_sock *s)
{
    bool more = s->up.len || (s->up.end != PIPE_OPEN && !s->told);
    return s->node_open && (end_is_heard(s) || (!s->lost && s->node_reads && more && reachable(s)));
}

static void pump_up(struct firn_sock *s)
{
    if (up_is_due(s))
        pipe_schedule(s, &s->up);
}

static void pump_down(struct firn_sock *s)
{
    bool reads = s->client_reads || s->down.end == PIPE_RST;
    if (s->client_open && (s->connected || s->refused) && reachable(s) && reads &&
        (s->down.len || s->down.end != PIPE_OPEN))
        pipe_schedule(s, &s->down);
}

/* The sender of a pipe is gone. keep: what is under way arrives before the end. */
static void pipe_end(struct pipe *p, enum pipe_end end, bool keep)
{
    if (!keep)
        p->len = p->at = 0;
    if (p->end != PIPE_RST)
        p->end = end;
}

/* Both ends will see a reset. */
static void break_off(struct firn_sock *s, uint64_t coins)
{
    note(s, "reset", 0);
    pipe_end(&s->up, PIPE_RST, coins & 1);
    pipe_end(&s->down, PIPE_RST, coins & 2);
    pump_up(s);
    pump_down(s);
}

/* How much of what is there comes now; 0: the connection breaks instead. */
static size_t piece_size(struct firn_sock *s, const struct pipe *p)
{
    const struct firn_fake_faults *f = &s->w->opt.faults;
    if (p->end != PIPE_RST && fake_strike(s->w, FAKE_NET_RESET, f->net_reset)) {
        break_off(s, firn_fake_strike_random(s->w));
        return 0;
    }
    size_t len = p->len < PIECE_MAX ? p->len : PIECE_MAX;
    if (len > 1 && fake_strike(s->w, FAKE_NET_CHOP, f->net_chop)) {
        uint64_t r = firn_fake_strike_random(s->w);
        len = r & 1 ? 1 : 1 + (size_t)((r >> 1) % (len - 1));
    }
    return len;
}

static void sock_free(struct firn_sock *s)
{
    firn_list_remove(&s->link);
    s->w->conn_count--;
    free(s->up.data);
    free(s->down.data);
    free(s);
}

/* Free it when both ends are gone. */
static void settle(struct firn_sock *s)
{
    if (s->client_open || s->node_open || s->busy || fake_event_pending(&s->accept))
        return;
    fake_event_cancel(s->w, &s->shake);
    fake_event_cancel(s->w, &s->room);
    fake_event_cancel(s->w, &s->up.arrive);
    fake_event_cancel(s->w, &s->down.arrive);
    sock_free(s);
}

/* ---- what arrives at the node, on its turn */

static void up_data(struct firn_sock *s)
{
    size_t len = piece_size(s, &s->up);
    if (!len)
        return;
    uint8_t *piece = pipe_take(&s->up, len);
    note(s, "up", len);
    s->user.data(s->user.arg, piece, len);
    free(piece);
}

static void up_arrives(void *arg)
{
    struct firn_sock *s = arg;
    if (!up_is_due(s))
        return;
    s->busy = true;
    if (s->up.len && s->node_reads && !s->lost) {
        up_data(s);
    } else {
        s->told = true;
        s->lost = s->lost || s->up.end == PIPE_RST;
        note(s, "node told of end", 0);
        s->user.closed(s->user.arg);
    }
    s->busy = false;
    pump_up(s);
    settle(s);
}

static void room_arrives(void *arg)
{
    struct firn_sock *s = arg;
    if (!s->node_open || !s->wants_room || s->lost)
        return;
    s->wants_room = false;
    s->busy = true;
    s->user.writable(s->user.arg);
    s->busy = false;
    settle(s);
}

static void give_room(struct firn_sock *s)
{
    if (s->wants_room && s->node_open && s->down.len < s->window && !fake_event_pending(&s->room))
        fake_event_at(s->w, &s->room, s->w->now_ns + latency(s));
}

/* ---- what arrives at the client, outside of any node */

static void client_told(struct firn_sock *s, enum firn_fake_end how)
{
    note(s, "client told of end", how);
    s->client_open = false;
    pipe_end(&s->up, PIPE_FIN, true);
    pump_up(s);
    s->client_user.closed(s->client_user.arg, how);
}

static void down_arrives(void *arg)
{
    struct firn_sock *s = arg;
    if (!s->client_open || !reachable(s))
        return;
    s->busy = true;
    size_t len = s->down.len && s->client_reads ? piece_size(s, &s->down) : 0;
    if (len) {
        uint8_t *piece = pipe_take(&s->down, len);
        note(s, "down", len);
        give_room(s);
        s->client_user.data(s->client_user.arg, piece, len);
        free(piece);
    } else if (s->down.end != PIPE_OPEN && (!s->down.len || !s->client_reads) &&
               !fake_event_pending(&s->down.arrive)) {
        bool fin = s->down.end == PIPE_FIN;
        client_told(s, s->refused ? FIRN_FAKE_END_REFUSED
                       : fin      ? FIRN_FAKE_END_CLOSED
                                  : FIRN_FAKE_END_RESET);
    }
    s->busy = false;
    pump_down(s);
    settle(s);
}

/* ---- how a connection comes to be */

static struct fake_listener *listener_of(const struct firn_fake_node *n, uint16_t port)
{
    if (n->net_gone)
        return NULL;
    FIRN_LIST_EACH(it, nx, &n->listeners)
    {
        struct fake_listener *l = FIRN_CONTAINER(it, struct fake_listener, link);
        if (port == 0 || l->port == port)
            return l;
    }
    return NULL;
}

static void connected_arrives(void *arg)
{
    struct firn_sock *s = arg;
    s->connected = true;
    note(s, "connected", 0);
    s->busy = true;
    if (s->client_open && s->client_user.connected)
        s->client_user.connected(s->client_user.arg);
    s->busy = false;
    pump_down(s);
    settle(s);
}

static void refuse(struct firn_sock *s)
{
    s->refused = true;
    pipe_end(&s->down, PIPE_RST, false);
    pump_down(s);
}

static void shake_arrives(void *arg)
{
    struct firn_sock *s = arg;
    s->silent = s->node->net_silent;
    if (!reachable(s)) /* it is sent again when that has changed */
        return;
    if (!listener_of(s->node, s->port) ||
        fake_strike(s->w, FAKE_NET_REFUSED, s->w->opt.faults.net_refused)) {
        refuse(s);
        return;
    }
    s->shake.fn = connected_arrives;
    fake_event_at(s->w, &s->shake, s->w->now_ns + latency(s));
    fake_event_at(s->w, &s->accept, s->w->now_ns);
}

static void node_close(void *ctx, struct firn_sock *s);

static void accept_arrives(void *arg)
{
    struct firn_sock *s = arg;
    struct fake_listener *l = listener_of(s->node, s->port);
    if (!l) { /* no longer */
        pipe_end(&s->down, PIPE_RST, false);
        pump_down(s);
        settle(s);
        return;
    }
    char peer[32];
    bool local = s->client == FIRN_FAKE_LOCAL;
    (void)snprintf(peer, sizeof peer, "%s.%u:%u", local ? "127.0.0" : "10.0.0",
                   local ? 1 : s->client + 1, (unsigned)(1024 + s->number % 60000));
    s->node_open = s->node_reads = true;
    s->busy = true;
    note(s, "accept", 0);
    if (l->l->accept(l->l->arg, s, peer, local, &s->user) != FIRN_OK && s->node_open)
        node_close(s->node, s);
    s->busy = false;
    pump_up(s);
    settle(s);
}

struct firn_fake_conn *firn_fake_dial(struct firn_fake_world *w, unsigned client,
                                      struct firn_fake_node *n, uint16_t port,
                                      const struct firn_fake_conn_user *u)
{
    FIRN_ASSERT(client <= FIRN_FAKE_LOCAL && u->data && u->closed);
    struct firn_sock *s = fake_alloc(sizeof *s);
    *s = (struct firn_sock){.conn = {s},
                            .w = w,
                            .node = n,
                            .client = client,
                            .port = port,
                            .number = ++w->conn_seq,
                            .client_user = *u,
                            .client_open = true,
                            .client_reads = true};
    s->rng.state = w->opt.seed ^ s->number * UINT64_C(0x9fb21c651e98df25);
    size_t max = w->opt.net_window_max ? w->opt.net_window_max : WINDOW_MAX;
    s->window = (size_t)1 << (WINDOW_MIN_BITS + below(s, 11));
    s->window = s->window < max ? s->window : max;
    fake_event_init(&s->up.arrive, FAKE_OWNED, n, up_arrives, s);
    fake_event_init(&s->down.arrive, FAKE_OWNED, NULL, down_arrives, s);
    fake_event_init(&s->shake, FAKE_OWNED, NULL, shake_arrives, s);
    fake_event_init(&s->accept, FAKE_OWNED, n, accept_arrives, s);
    fake_event_init(&s->room, FAKE_OWNED, n, room_arrives, s);
    firn_list_push(&w->conns, &s->link);
    w->conn_count++;
    note(s, "dial", port);
    fake_event_at(w, &s->shake, w->now_ns + latency(s));
    return &s->conn;
}

/* ---- the client's calls */

void firn_fake_send(struct firn_fake_conn *c, const void *data, size_t len)
{
    struct firn_sock *s = c->sock;
    FIRN_ASSERT(s->client_open);
    if (s->up.end != PIPE_OPEN) /* broken, which the client is about to hear */
        return;
    pipe_put(&s->up, data, len);
    pump_up(s);
}

void firn_fake_conn_read(struct firn_fake_conn *c, bool on)
{
    c->sock->client_reads = on;
    pump_down(c->sock);
}

static void client_leaves(struct firn_sock *s, enum pipe_end end, bool keep)
{
    FIRN_ASSERT(s->client_open);
    note(s, "client leaves", end);
    s->client_open = false;
    pipe_end(&s->up, end, keep);
    pump_up(s);
    give_room(s);
    settle(s);
}

void firn_fake_hang_up(struct firn_fake_conn *c)
{
    struct firn_sock *s = c->sock;
    client_leaves(s, s->down.len ? PIPE_RST : PIPE_FIN, true);
}

void firn_fake_reset(struct firn_fake_conn *c)
{
    struct firn_sock *s = c->sock;
    client_leaves(s, PIPE_RST, below(s, 2));
}

struct firn_fake_node *firn_fake_conn_node(const struct firn_fake_conn *c)
{
    return c->sock->node;
}

/* ---- the port */

static enum firn_status node_listen(void *ctx, const char *addr, uint16_t port,
                                    struct firn_listener *l, uint16_t *port_out,
                                    struct firn_err *err)
{
    struct firn_fake_node *n = ctx;
    struct fake_listener *own = fake_alloc(sizeof *own);
    (void)snprintf(own->addr, sizeof own->addr, "%s", addr);
    FIRN_LIST_EACH(it, nx, &n->listeners)
    {
        struct fake_listener *o = FIRN_CONTAINER(it, struct fake_listener, link);
        if (o->port == port && strcmp(o->addr, own->addr) == 0) {
            free(own);
            return firn_fail(err, FIRN_CONFLICT, "%s:%u is in use", addr, port);
        }
    }
    own->l = l;
    own->port = port ? port : (uint16_t)(PORT_FIRST + n->world->port_seq++ % 40000);
    *port_out = own->port;
    l->priv = own;
    firn_list_push(&n->listeners, &own->link);
    return FIRN_OK;
}

static void node_unlisten(void *ctx, struct firn_listener *l)
{
    (void)ctx;
    struct fake_listener *own = l->priv;
    l->priv = NULL;
    firn_list_remove(&own->link);
    free(own);
}

static void node_read_set(void *ctx, struct firn_sock *s, bool on)
{
    (void)ctx;
    s->node_reads = on;
    pump_up(s);
}

static size_t node_write(void *ctx, struct firn_sock *s, const void *data, size_t len)
{
    (void)ctx;
    FIRN_ASSERT(s->node_open);
    bool gone = !s->client_open || s->down.end == PIPE_RST;
    if (s->lost || (gone && reachable(s))) {
        s->lost = true;
        pipe_end(&s->up, PIPE_RST, false);
        pump_up(s);
        return len;
    }
    size_t room = s->down.len < s->window ? s->window - s->down.len : 0;
    size_t took = len < room ? len : room;
    pipe_put(&s->down, data, took);
    s->wants_room = s->wants_room || took < len;
    pump_down(s);
    return took;
}

static void node_close(void *ctx, struct firn_sock *s)
{
    (void)ctx;
    FIRN_ASSERT(s->node_open);
    note(s, "node closes", s->up.len);
    s->node_open = false;
    /* Bytes that nobody read make the kernel reset the connection, which may overtake replies. */
    bool unread = s->up.len != 0;
    if (!s->node->crashed)
        pipe_end(&s->down, unread ? PIPE_RST : PIPE_FIN, !unread || below(s, 2));
    pump_down(s);
    settle(s);
}

static const struct firn_net_vt net_vt = {
    .listen = node_listen,
    .unlisten = node_unlisten,
    .read_set = node_read_set,
    .write = node_write,
    .close = node_close,
};

/* ---- nodes */

void fake_net_init(struct firn_fake_node *n)
{
    n->net = (struct firn_net){&net_vt, n};
    firn_list_init(&n->listeners);
}

static void end_of_node(struct firn_sock *s, bool ghost)
{
    fake_event_cancel(s->w, &s->accept);
    fake_event_cancel(s->w, &s->room);
    fake_event_cancel(s->w, &s->up.arrive);
    uint64_t coins = fake_rng_next(&s->rng);
    pipe_end(&s->up, PIPE_RST, false);
    if (s->node->net_silent)
        s->silent = true;
    else
        pipe_end(&s->down, coins & 1 && s->connected ? PIPE_FIN : PIPE_RST, coins & 2);
    s->lost = true;
    if (!ghost)
        s->node_open = false;
    else if (s->node_open)
        fake_event_at(s->w, &s->up.arrive, s->w->now_ns + 1);
}

void fake_net_gone(struct firn_fake_node *n, bool ghost)
{
    if (!n->net_gone) {
        n->net_gone = true;
        n->net_silent = fake_strike(n->world, FAKE_NET_SILENT, n->world->opt.faults.net_silent);
    }
    FIRN_LIST_EACH(it, nx, &n->world->conns)
    {
        struct firn_sock *s = FIRN_CONTAINER(it, struct firn_sock, link);
        if (s->node != n || (s->shake.fn == shake_arrives && fake_event_pending(&s->shake)))
            continue;
        end_of_node(s, ghost);
        pump_down(s);
        settle(s);
    }
}

void fake_net_back(struct firn_fake_node *n)
{
    n->net_silent = false;
    FIRN_LIST_EACH(it, nx, &n->world->conns)
    {
        struct firn_sock *s = FIRN_CONTAINER(it, struct firn_sock, link);
        if (s->node != n || !s->silent)
            continue;
        s->silent = false;
        pipe_end(&s->down, PIPE_RST, false);
    }
    fake_net_resume(n);
}

void fake_net_resume(struct firn_fake_node *n)
{
    FIRN_LIST_EACH(it, nx, &n->world->conns)
    {
        struct firn_sock *s = FIRN_CONTAINER(it, struct firn_sock, link);
        if (s->node != n || !reachable(s))
            continue;
        bool dialling = s->shake.fn == shake_arrives && !s->refused && s->client_open;
        if (dialling && !fake_event_pending(&s->shake))
            fake_event_at(s->w, &s->shake, s->w->now_ns + latency(s));
        pump_up(s);
        pump_down(s);
    }
}

void firn_fake_net_split(struct firn_fake_node *n, uint64_t clients)
{
    n->split = clients;
    fake_trace(n->world, FAKE_TRACE_NODE, clients);
    firn_fake_say(n->world, n, "split from clients %llx", (unsigned long long)clients);
    fake_net_resume(n);
}

uint16_t firn_fake_port(const struct firn_fake_node *n)
{
    const struct fake_listener *l = listener_of(n, 0);
    return l ? l->port : 0;
}

size_t firn_fake_conns(const struct firn_fake_world *w)
{
    return w->conn_count;
}

void fake_net_free_node(struct firn_fake_node *n)
{
    struct firn_list *l;
    while ((l = firn_list_pop(&n->listeners)) != NULL)
        free(FIRN_CONTAINER(l, struct fake_listener, link));
}

void fake_net_free(struct firn_fake_world *w)
{
    while (!firn_list_empty(&w->conns))
        sock_free(FIRN_CONTAINER(w->conns.next, struct firn_sock, link));
}
