/* The server: listeners, the end of the turn, gates over all connections, pause, drain, counters.
 */
#include "resp/server.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "resp/conn_priv.h"

#include <stdio.h>
#include <string.h>

#define EXPIRE_NS (25 * FIRN_MS)
/* A client that stands still for want of memory, and sends nothing, has this long. */
#define STALLED_NS (1 * FIRN_SEC)
#define CLOSE_FLUSH_NS (10 * FIRN_SEC) /* for a closing connection to take its last bytes */

/* --- the end of the turn */

void firn_server__kick(struct firn_server *s)
{
    firn_defer(s->env, &s->turn);
}

/* --- memory of all clients */

static void set_pressure(struct firn_server *s)
{
    const struct firn_budget *b = s->opt.budget;
    uint64_t used = s->stats.buffer_bytes, share = b->part[FIRN_BUDGET_CLIENTS].share;
    /* What raised it must have gone down by an eighth of the share before it falls again. */
    enum firn_pressure p = FIRN_PRESSURE_NONE;
    if (used > share || (s->pressure == FIRN_PRESSURE_FULL && used > share - share / 8))
        p = FIRN_PRESSURE_FULL;
    else if (used > share / 2 || (s->pressure != FIRN_PRESSURE_NONE && used > share * 3 / 8))
        p = FIRN_PRESSURE_HIGH;
    s->pressure = p;
}

void firn_server__account(struct firn_server *s, size_t more)
{
    s->stats.buffer_bytes += more;
    if (!s->opt.budget)
        return;
    firn_budget_set(s->opt.budget, FIRN_BUDGET_CLIENTS, s->stats.buffer_bytes);
    enum firn_pressure before = s->pressure;
    set_pressure(s);
    if (s->pressure == before)
        return;
    s->pressure_changed = true;
    firn_server__kick(s);
}

static void evict(struct firn_server *s, struct firn_conn *c)
{
    s->stats.evicted++;
    if (s->handler->evicted)
        s->handler->evicted(s->handler->arg, c, c->accounted_bytes);
    firn_conn_close(c, false);
}

static bool goes_before(const struct firn_conn *c, const struct firn_conn *other)
{
    if (c->no_evict != other->no_evict)
        return !c->no_evict; /* the others only when there is nobody else */
    return c->accounted_bytes > other->accounted_bytes;
}

/* The open connection that holds most, of those that stand still or of all. */
static struct firn_conn *largest(struct firn_server *s, bool stalled_only)
{
    struct firn_conn *best = NULL;
    uint64_t now = stalled_only ? firn_boot_ns(s->env) : 0;
    FIRN_LIST_EACH(it, nx, &s->conns)
    {
        struct firn_conn *c = FIRN_CONTAINER(it, struct firn_conn, link);
        if (c->closing == FIRN_CONN_CLOSE_NOW ||
            (stalled_only && !(firn_conn__stalled(c) && now - c->active_ns >= STALLED_NS)))
            continue;
        if (!best || goes_before(c, best))
            best = c;
    }
    return best;
}

/* Above the share the largest go, as with Redis's maxmemory-clients; who had to wait goes on. */
static void relieve(struct firn_server *s)
{
    struct firn_conn *c;
    while (s->pressure == FIRN_PRESSURE_FULL && (c = largest(s, false))) {
        evict(s, c);
        firn_conn__destroy(c);
    }
    if (!s->pressure_changed)
        return;
    s->pressure_changed = false;
    FIRN_LIST_EACH(it, nx, &s->conns)
    {
        c = FIRN_CONTAINER(it, struct firn_conn, link);
        firn_conn__settle(c);
        if (firn_conn__runnable(c))
            firn_conn__make_ready(c);
    }
}

static void run_ready(struct firn_server *s)
{
    struct firn_list now; /* what becomes ready meanwhile waits for the next turn: nobody starves */
    firn_list_init(&now);
    firn_list_splice(&now, &s->ready);
    struct firn_list *n;
    while ((n = firn_list_pop(&now)))
        firn_conn__process(FIRN_CONTAINER(n, struct firn_conn, ready));
}

static void close_doomed(struct firn_server *s)
{
    struct firn_list *n;
    while ((n = firn_list_pop(&s->doomed)))
        firn_conn__destroy(FIRN_CONTAINER(n, struct firn_conn, doomed));
}

/* While draining: connections that are owed nothing go. */
static void drain_step(struct firn_server *s)
{
    FIRN_LIST_EACH(it, nx, &s->conns)
    {
        struct firn_conn *c = FIRN_CONTAINER(it, struct firn_conn, link);
        if (!c->parked && c->out.buf.len == 0)
            firn_conn_close(c, false);
    }
}

/* Tell the caller of drain when the last connection is gone. */
static void drain_end(struct firn_server *s)
{
    void (*done)(void *) = s->drain_done;
    if (!done || !firn_list_empty(&s->conns))
        return;
    s->drain_done = NULL;
    firn_timer_stop(s->env, &s->drain_timer);
    done(s->drain_arg);
}

static void end_of_turn(void *arg)
{
    struct firn_server *s = arg;
    relieve(s);
    run_ready(s);
    struct firn_list *n;
    while ((n = firn_list_pop(&s->dirty)))
        firn_conn__flush(FIRN_CONTAINER(n, struct firn_conn, dirty));
    if (s->pressure == FIRN_PRESSURE_FULL)
        relieve(s);
    if (s->draining)
        drain_step(s);
    close_doomed(s);
    if (s->draining)
        drain_end(s); /* last: done() may free the server */
}

/* --- listeners */

static const char denied_text[] =
    "-DENIED Firn is running in protected mode: it listens on more than the loopback interface and "
    "no "
    "password is set, so only connections from the loopback interface are accepted. To connect "
    "from "
    "other machines, do one of the following: 1) set a password with 'requirepass' in the "
    "configuration file or with CONFIG SET from this machine, 2) bind to loopback or private "
    "addresses "
    "only with 'bind', 3) switch protected mode off with 'protected-mode no', which lets everybody "
    "who "
    "can reach the port read and change all data.\r\n";

static void say(struct firn_server *s, struct firn_sock *sock, const char *text)
{
    size_t len = strlen(text);
    (void)s->env->net->vt->write(s->env->net->ctx, sock, text, len); /* the rest is lost with it */
    s->stats.connections_rejected++;
}

static enum firn_status on_accept(void *arg, struct firn_sock *sock, const char *peer,
                                  bool loopback, struct firn_sock_user *user)
{
    struct firn_server_listener *l = arg;
    struct firn_server *s = l->srv;
    s->stats.connections_received++;
    if (s->opt.bound_wide && !s->opt.protected_mode_off && !s->requirepass && !loopback) {
        say(s, sock, denied_text);
        return FIRN_DENIED;
    }
    if (s->stats.connected >= s->opt.maxclients) {
        say(s, sock, "-ERR max number of clients reached\r\n");
        return FIRN_LIMIT;
    }
    struct firn_conn *c = firn_conn__create(s, sock, peer, l->local);
    if (!c) {
        say(s, sock, "-ERR out of memory\r\n");
        return FIRN_LIMIT;
    }
    c->loopback = loopback;
    *user = (struct firn_sock_user){firn_conn__data, firn_conn__writable, firn_conn__closed, c};
    if (!firn_timer_running(&s->clock_timer))
        firn_timer_start(s->env, &s->clock_timer, FIRN_SEC);
    if (s->handler->open)
        s->handler->open(s->handler->arg, c);
    firn_conn__settle(c);
    return FIRN_OK;
}

enum firn_status firn_server_listen(struct firn_server *s, const char *addr, uint16_t port,
                                    uint16_t *port_out, struct firn_err *err)
{
    const struct firn_net *net = s->env->net;
    struct firn_server_listener *l = firn_calloc(1, sizeof *l);
    if (!l)
        return firn_fail(err, FIRN_LIMIT, "out of memory for a listener");
    l->srv = s;
    l->l = (struct firn_listener){.accept = on_accept, .arg = l};
    uint16_t got = port;
    enum firn_status st = net->vt->listen(net->ctx, addr, port, &l->l, &got, err);
    if (st != FIRN_OK) {
        firn_free(l);
        return st;
    }
    (void)snprintf(l->local, sizeof l->local, strchr(addr, ':') ? "[%s]:%u" : "%s:%u", addr,
                   (unsigned)got);
    firn_list_push(&s->listeners, &l->link);
    if (port_out)
        *port_out = got;
    return FIRN_OK;
}

/* Stop listening. The structs stay: connections name their listener. */
void firn_server_unlisten(struct firn_server *s)
{
    const struct firn_net *net = s->env->net;
    FIRN_LIST_EACH(it, nx, &s->listeners)
    {
        struct firn_server_listener *l = FIRN_CONTAINER(it, struct firn_server_listener, link);
        if (!l->closed)
            net->vt->unlisten(net->ctx, &l->l);
        l->closed = true;
    }
}

/* --- gates */

void firn_server_release(struct firn_server *s, uint64_t durable_slot, uint64_t probe_done)
{
    if (durable_slot <= s->durable_slot && probe_done <= s->probe_done)
        return;
    s->durable_slot = durable_slot > s->durable_slot ? durable_slot : s->durable_slot;
    s->probe_done = probe_done > s->probe_done ? probe_done : s->probe_done;
    FIRN_LIST_EACH(it, nx, &s->gated)
    firn_conn__release(FIRN_CONTAINER(it, struct firn_conn, gated));
}

struct expiry {
    struct firn_server *s;
    uint64_t now_ns;
    char write_text[128], read_text[128];
};

static struct firn_slice expired_text(void *arg, const struct firn_held *h)
{
    const struct expiry *x = arg;
    bool open = h->slot <= x->s->durable_slot && h->probe <= x->s->probe_done;
    if (open || h->deadline_ns > x->now_ns)
        return firn_slice_of(NULL, 0);
    return firn_slice_str(h->kind == FIRN_GATE_WRITE ? x->write_text : x->read_text);
}

/* Count before replacing: how many of the replaced are writes. */
static size_t expired_writes(const struct firn_conn *c, struct expiry *x)
{
    size_t n = 0;
    for (size_t i = 0; i < c->held.n; i++) {
        const struct firn_held *h = &c->held.at[(c->held.head + i) & (c->held.cap - 1)];
        if (h->kind == FIRN_GATE_WRITE && expired_text(x, h).len)
            n += h->count;
    }
    return n;
}

void firn_server_expire(struct firn_server *s, uint64_t now_ns)
{
    struct expiry x = {.s = s, .now_ns = now_ns};
    (void)snprintf(x.write_text, sizeof x.write_text,
                   "KVUNKNOWN commit not known durable within %u ms; it may yet appear, once",
                   s->opt.commit_timeout_ms);
    (void)snprintf(x.read_text, sizeof x.read_text,
                   "KVSTALE the freshness asked for could not be had within %u ms",
                   s->opt.read_timeout_ms);
    FIRN_LIST_EACH(it, nx, &s->gated)
    {
        struct firn_conn *c = FIRN_CONTAINER(it, struct firn_conn, gated);
        size_t writes = expired_writes(c, &x);
        size_t all = firn_conn__replace(c, expired_text, &x);
        FIRN_SOMETIMES_IF(writes, "resp: a write answered with its outcome unknown");
        s->stats.expired_writes += writes;
        s->stats.expired_reads += all - writes;
    }
}

static void on_expire_timer(void *arg)
{
    struct firn_server *s = arg;
    firn_server_expire(s, firn_boot_ns(s->env));
    if (!firn_list_empty(&s->gated))
        firn_timer_start(s->env, &s->expire_timer, EXPIRE_NS);
}

struct failing {
    struct firn_server *s;
    uint64_t after_slot;
    struct firn_slice write_text, read_text;
};

static struct firn_slice failed_text(void *arg, const struct firn_held *h)
{
    const struct failing *f = arg;
    bool hit = h->slot > f->after_slot && h->slot > f->s->durable_slot;
    if (!hit)
        return firn_slice_of(NULL, 0);
    return h->kind == FIRN_GATE_WRITE ? f->write_text : f->read_text;
}

void firn_server_fail_gates(struct firn_server *s, uint64_t after_slot, const char *write_text,
                            const char *read_text)
{
    struct failing f = {s, after_slot, firn_slice_str(write_text), firn_slice_str(read_text)};
    FIRN_LIST_EACH(it, nx, &s->gated)
    s->stats.failed_gates +=
        firn_conn__replace(FIRN_CONTAINER(it, struct firn_conn, gated), failed_text, &f);
}

void firn_server_resume_all(struct firn_server *s)
{
    if (!s->stats.parked)
        return;
    FIRN_LIST_EACH(it, nx, &s->conns)
    firn_conn_resume(FIRN_CONTAINER(it, struct firn_conn, link));
}

/* --- pause */

bool firn_server__pauses(const struct firn_server *s, const struct firn_command *cmd)
{
    return s->pause_all || cmd->flags & (FIRN_CMD_WRITE | FIRN_CMD_MAY_REPLICATE);
}

void firn_server__pause(struct firn_server *s, uint64_t ms, bool all)
{
    /* As Redis: a pause under way is never made shorter or weaker. */
    uint64_t now = firn_boot_ns(s->env);
    uint64_t until = ms > (UINT64_MAX / 4 - now) / FIRN_MS ? UINT64_MAX / 4 : now + ms * FIRN_MS;
    if (!s->pausing || until > s->pause_until_ns)
        s->pause_until_ns = until;
    s->pause_all = all || (s->pausing && s->pause_all);
    s->pausing = true;
    firn_timer_start(s->env, &s->pause_timer, s->pause_until_ns - now);
}

void firn_server__unpause(struct firn_server *s)
{
    s->pausing = s->pause_all = false;
    firn_timer_stop(s->env, &s->pause_timer);
    FIRN_LIST_EACH(it, nx, &s->conns)
    {
        struct firn_conn *c = FIRN_CONTAINER(it, struct firn_conn, link);
        if (c->paused)
            firn_conn_resume(c);
    }
}

static void on_pause_timer(void *arg)
{
    firn_server__unpause(arg);
}

/* --- housekeeping once a second */

static void on_clock_timer(void *arg)
{
    struct firn_server *s = arg;
    uint64_t now = firn_boot_ns(s->env);
    FIRN_LIST_EACH(it, nx, &s->conns)
    {
        struct firn_conn *c = FIRN_CONTAINER(it, struct firn_conn, link);
        if (c->closing == FIRN_CONN_CLOSE_FLUSH && !c->held.n &&
            now - c->closing_ns >= CLOSE_FLUSH_NS) {
            firn_conn_close(c, false);
        } else if (s->opt.idle_timeout_ns && c->closing == FIRN_CONN_OPEN && !c->parked &&
                   !c->subscriber && !c->held.n && now - c->active_ns >= s->opt.idle_timeout_ns) {
            s->stats.idle_closed++;
            firn_conn_close(c, false);
        }
        firn_conn__limit_subscriber(c);
    }
    struct firn_conn *stalled = s->pressure != FIRN_PRESSURE_NONE ? largest(s, true) : NULL;
    if (stalled)
        evict(s, stalled);
    if (!firn_list_empty(&s->conns))
        firn_timer_start(s->env, &s->clock_timer, FIRN_SEC);
}

/* --- drain */

static void on_drain_timer(void *arg)
{
    struct firn_server *s = arg;
    FIRN_LIST_EACH(it, nx, &s->conns)
    firn_conn_close(FIRN_CONTAINER(it, struct firn_conn, link), false);
    firn_server__kick(s);
}

void firn_server_drain(struct firn_server *s, uint64_t deadline_ns, void (*done)(void *arg),
                       void *arg)
{
    firn_server_unlisten(s);
    s->draining = true;
    s->drain_done = done;
    s->drain_arg = arg;
    firn_server__unpause(s); /* what was received before is still answered */
    FIRN_LIST_EACH(it, nx, &s->conns)
    firn_conn__settle(FIRN_CONTAINER(it, struct firn_conn, link));
    uint64_t now = firn_boot_ns(s->env);
    firn_timer_start(s->env, &s->drain_timer, deadline_ns > now ? deadline_ns - now : 0);
    firn_server__kick(s);
}

/* --- accounts */

void firn_server__charge(struct firn_server *s, struct firn_command_entry *e)
{
    if (s->run_cmd) {
        uint64_t now = firn_boot_ns(s->env);
        s->run_cmd->stat.ns += now - s->run_from_ns;
        s->run_from_ns = now;
    }
    s->run_cmd = e;
}

void firn_server_reset_stats(struct firn_server *s)
{
    struct firn_server_stats now = s->stats;
    s->stats = (struct firn_server_stats){.connected = now.connected,
                                          .parked = now.parked,
                                          .gated = now.gated,
                                          .buffer_bytes = now.buffer_bytes};
    s->errors = (struct firn_error_stats){0};
    firn_registry_reset_stats(s->registry);
}

enum firn_status firn_server_info_commands(struct firn_server *s, struct firn_buf *out)
{
    for (size_t i = 0; i < firn_registry_count(s->registry); i++) {
        const struct firn_command_entry *e = firn_registry_at(s->registry, i);
        const struct firn_command_stat *t = &e->stat;
        if (!t->calls && !t->rejected && !t->failed)
            continue;
        enum firn_status st = firn_buf_printf(
            out,
            "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,"
            "failed_calls=%llu\r\n",
            e->name, (unsigned long long)t->calls, (unsigned long long)(t->ns / 1000),
            t->calls ? (double)t->ns / 1000 / (double)t->calls : 0, (unsigned long long)t->rejected,
            (unsigned long long)t->failed);
        if (st != FIRN_OK)
            return st;
    }
    return FIRN_OK;
}

enum firn_status firn_server_info_errors(struct firn_server *s, struct firn_buf *out)
{
    for (size_t i = 0; i < s->errors.n; i++) {
        enum firn_status st =
            firn_buf_printf(out, "errorstat_%s:count=%llu\r\n", s->errors.kind[i].word,
                            (unsigned long long)s->errors.kind[i].count);
        if (st != FIRN_OK)
            return st;
    }
    return FIRN_OK;
}

enum firn_status firn_server_info_clients(struct firn_server *s, struct firn_buf *out)
{
    size_t in_max = 0, out_max = 0, tracking = 0;
    FIRN_LIST_EACH(it, nx, &s->conns)
    {
        struct firn_conn *c = FIRN_CONTAINER(it, struct firn_conn, link);
        struct firn_conn_describe d;
        firn_conn__describe(c, &d);
        tracking += d.tracking;
        in_max = c->query.cap > in_max ? c->query.cap : in_max;
        out_max = c->out.buf.cap > out_max ? c->out.buf.cap : out_max;
    }
    return firn_buf_printf(out,
                           "connected_clients:%zu\r\ncluster_connections:0\r\nmaxclients:%u\r\n"
                           "client_recent_max_input_buffer:%zu\r\n"
                           "client_recent_max_output_buffer:%zu\r\nblocked_clients:%zu\r\n"
                           "tracking_clients:%zu\r\nclients_in_timeout_table:0\r\n",
                           s->stats.connected, s->opt.maxclients, in_max, out_max, s->stats.parked,
                           tracking);
}

void firn_server_each(struct firn_server *s, void (*fn)(void *arg, struct firn_conn *c), void *arg)
{
    FIRN_LIST_EACH(it, nx, &s->conns)
    fn(arg, FIRN_CONTAINER(it, struct firn_conn, link));
}

struct firn_conn *firn_server_find(struct firn_server *s, uint64_t id)
{
    FIRN_LIST_EACH(it, nx, &s->conns)
    {
        struct firn_conn *c = FIRN_CONTAINER(it, struct firn_conn, link);
        if (c->id == id)
            return c;
    }
    return NULL;
}

const struct firn_server_stats *firn_server_stats(struct firn_server *s)
{
    return &s->stats;
}

struct firn_error_stats *firn_server_errors(struct firn_server *s)
{
    return &s->errors;
}

struct firn_registry *firn_server_registry(struct firn_server *s)
{
    return s->registry;
}

struct firn_server_options *firn_server_options(struct firn_server *s)
{
    return &s->opt;
}

/* --- life */

static void set_defaults(struct firn_server_options *o)
{
    o->maxclients = o->maxclients ? o->maxclients : 10000;
    o->query_bytes_max = o->query_bytes_max ? o->query_bytes_max : (size_t)64 << 20;
    o->output_bytes_max = o->output_bytes_max ? o->output_bytes_max : (size_t)64 << 20;
    o->output_pause_bytes = o->output_pause_bytes ? o->output_pause_bytes : (size_t)1 << 20;
    o->pubsub_bytes_max = o->pubsub_bytes_max ? o->pubsub_bytes_max : (size_t)32 << 20;
    o->pubsub_soft_bytes = o->pubsub_soft_bytes ? o->pubsub_soft_bytes : (size_t)8 << 20;
    o->pubsub_soft_ns = o->pubsub_soft_ns ? o->pubsub_soft_ns : 60 * FIRN_SEC;
    o->args_max = o->args_max ? o->args_max : (size_t)1 << 20;
    o->pipeline_lookahead = o->pipeline_lookahead ? o->pipeline_lookahead : 64;
    o->commit_timeout_ms = o->commit_timeout_ms ? o->commit_timeout_ms : 1500;
    o->read_timeout_ms = o->read_timeout_ms ? o->read_timeout_ms : 1500;
    o->redis_version = o->redis_version ? o->redis_version : FIRN_REDIS_VERSION;
    o->mode = o->mode ? o->mode : "standalone";
}

enum firn_status firn_server_set_password(struct firn_server *s, const char *password)
{
    char *copy = NULL;
    if (password && *password) {
        copy = firn_strdup(password);
        if (!copy)
            return FIRN_LIMIT;
    }
    firn_free(s->requirepass);
    s->requirepass = copy;
    s->opt.requirepass = copy;
    return FIRN_OK;
}

static void set_limits(struct firn_server *s)
{
    s->limits = (struct firn_parse_limits){.args_max = s->opt.args_max,
                                           .bulk_max = s->opt.query_bytes_max,
                                           .command_max = s->opt.query_bytes_max,
                                           .authenticated = true};
}

void firn_server_options_changed(struct firn_server *s)
{
    set_defaults(&s->opt);
    set_limits(s);
    FIRN_LIST_EACH(it, nx, &s->conns)
    firn_conn__set_limits(FIRN_CONTAINER(it, struct firn_conn, link));
}

static enum firn_status copy_options(struct firn_server *s, const struct firn_server_options *o)
{
    s->opt = *o;
    set_defaults(&s->opt);
    s->redis_version = firn_strdup(s->opt.redis_version);
    s->mode = firn_strdup(s->opt.mode);
    if (!s->redis_version || !s->mode)
        return FIRN_LIMIT;
    s->opt.redis_version = s->redis_version;
    s->opt.mode = s->mode;
    set_limits(s);
    return firn_server_set_password(s, o->requirepass);
}

static void init(struct firn_server *s)
{
    firn_list_init(&s->listeners);
    firn_list_init(&s->conns);
    firn_list_init(&s->dirty);
    firn_list_init(&s->ready);
    firn_list_init(&s->gated);
    firn_list_init(&s->doomed);
    s->next_id = 1;
    s->turn = (struct firn_defer){.fn = end_of_turn, .arg = s};
    s->expire_timer = (struct firn_timer){.fn = on_expire_timer, .arg = s};
    s->clock_timer = (struct firn_timer){.fn = on_clock_timer, .arg = s};
    s->pause_timer = (struct firn_timer){.fn = on_pause_timer, .arg = s};
    s->drain_timer = (struct firn_timer){.fn = on_drain_timer, .arg = s};
}

enum firn_status firn_server_create(const struct firn_env *env,
                                    const struct firn_server_options *options,
                                    const struct firn_handler *handler, struct firn_server **out,
                                    struct firn_err *err)
{
    if (!env->net || !handler->exec)
        return firn_fail(err, FIRN_INVALID, "a server needs a net port and a handler");
    struct firn_server *s = firn_calloc(1, sizeof *s);
    if (!s)
        return firn_fail(err, FIRN_LIMIT, "out of memory for the server");
    s->env = env;
    s->handler = handler;
    init(s);
    enum firn_status st = copy_options(s, options);
    if (st == FIRN_OK)
        st = firn_registry_create(&s->registry);
    if (st != FIRN_OK) {
        (void)firn_fail(err, st, "out of memory for the server");
        goto fail;
    }
    st = firn_registry_add(s->registry, firn_conn__commands, firn_conn__ncommands, true, err);
    if (st != FIRN_OK)
        goto fail;
    *out = s;
    return FIRN_OK;
fail:
    firn_server_free(s);
    return st;
}

enum firn_status firn_server_add_commands(struct firn_server *s, const struct firn_command *table,
                                          size_t n, struct firn_err *err)
{
    return firn_registry_add(s->registry, table, n, false, err);
}

void firn_server_set_loading(struct firn_server *s, bool loading)
{
    s->loading = loading;
}

void firn_server_set_watched(struct firn_server *s, bool watched)
{
    s->watched = watched;
}

void firn_server_free(struct firn_server *s)
{
    if (!s)
        return;
    firn_server_unlisten(s);
    s->drain_done = NULL;
    s->draining = false;
    FIRN_LIST_EACH(it, nx, &s->conns)
    firn_conn__destroy(FIRN_CONTAINER(it, struct firn_conn, link));
    struct firn_list *n;
    while ((n = firn_list_pop(&s->listeners)))
        firn_free(FIRN_CONTAINER(n, struct firn_server_listener, link));
    firn_defer_cancel(s->env, &s->turn);
    firn_timer_stop(s->env, &s->expire_timer);
    firn_timer_stop(s->env, &s->clock_timer);
    firn_timer_stop(s->env, &s->pause_timer);
    firn_timer_stop(s->env, &s->drain_timer);
    firn_parser_clear(&s->ahead);
    for (size_t i = 0; i < FIRN_BATCH_MAX; i++)
        firn_parser_clear(&s->batch.parser[i]);
    firn_registry_free(s->registry);
    firn_free(s->requirepass);
    firn_free(s->redis_version);
    firn_free(s->mode);
    firn_free(s);
}
