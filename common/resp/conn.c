/* A connection: its bytes in, the commands in their order, parking, closing. */
#include "resp/conn_priv.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define PARKED_QUERY_BYTES                                                                         \
    (256 * 1024) /* received behind a parked command before reading stops                          \
                  */
#define HIGH_PAUSE_BYTES ((size_t)64 * 1024) /* as output_pause_bytes, while memory is short */
#define STALL_SHARE                                                                                \
    8 /* then a query of one part in this many of the clients' share is not read on */
#define KEEP_BYTES (256 * 1024) /* an empty buffer larger than this is given back */

/* --- life */

void firn_conn__set_limits(struct firn_conn *c)
{
    const struct firn_server_options *o = &c->srv->opt;
    /* Room for a command of the largest size behind the rest of what was read before it. */
    c->query.max = o->query_bytes_max + PARKED_QUERY_BYTES * 2;
    c->out.buf.max = o->output_bytes_max;
}

struct firn_conn *firn_conn__create(struct firn_server *s, struct firn_sock *sock, const char *peer,
                                    const char *local)
{
    struct firn_conn *c = firn_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    firn_list_init(&c->link);
    firn_list_init(&c->dirty);
    firn_list_init(&c->ready);
    firn_list_init(&c->gated);
    firn_list_init(&c->doomed);
    c->srv = s;
    c->sock = sock;
    c->id = s->next_id++;
    c->out.resp = 2;
    firn_conn__set_limits(c);
    c->out.stats = &s->errors;
    c->authenticated = !s->requirepass;
    c->reading = true;
    c->created_ns = c->active_ns = firn_boot_ns(s->env);
    c->local = local;
    (void)snprintf(c->peer, sizeof c->peer, "%s", peer);
    firn_list_push(&s->conns, &c->link);
    s->stats.connected++;
    return c;
}

void firn_conn__destroy(struct firn_conn *c)
{
    struct firn_server *s = c->srv;
    if (s->handler->close)
        s->handler->close(s->handler->arg, c);
    s->env->net->vt->close(s->env->net->ctx, c->sock);
    firn_list_remove(&c->link);
    firn_list_remove(&c->dirty);
    firn_list_remove(&c->ready);
    firn_list_remove(&c->doomed);
    firn_conn__held_clear(c);
    s->stats.connected--;
    s->stats.parked -= c->parked;
    firn_server__account(s, 0 - c->accounted_bytes);
    firn_parser_clear(&c->parser);
    firn_buf_clear(&c->query);
    firn_reply_clear(&c->out);
    firn_free(c->name);
    firn_free(c->lib_name);
    firn_free(c->lib_ver);
    firn_free(c);
}

void firn_conn_close(struct firn_conn *c, bool flush)
{
    enum firn_conn_closing how = flush ? FIRN_CONN_CLOSE_FLUSH : FIRN_CONN_CLOSE_NOW;
    if (how <= c->closing)
        return;
    if (c->closing == FIRN_CONN_OPEN)
        c->closing_ns = firn_boot_ns(c->srv->env);
    c->closing = how;
    if (flush) {
        firn_conn_dirty(c);
    } else if (firn_list_empty(&c->doomed)) {
        firn_list_push(&c->srv->doomed, &c->doomed);
        firn_server__kick(c->srv);
    }
}

void firn_conn__closed(void *arg)
{
    firn_conn_close(arg, false);
}

/* --- what stands in the way of execution */

/* The client does not read what it is sent, or more is held for it than is wise. */
static bool output_full(const struct firn_conn *c)
{
    const struct firn_server_options *o = &c->srv->opt;
    size_t pause = o->output_pause_bytes, held_max = o->output_bytes_max / 4;
    if (__builtin_expect(c->srv->pressure != FIRN_PRESSURE_NONE, 0)) {
        pause = pause < HIGH_PAUSE_BYTES ? pause : HIGH_PAUSE_BYTES;
        held_max = held_max < HIGH_PAUSE_BYTES ? held_max : HIGH_PAUSE_BYTES;
    }
    if (c->out.buf.len - c->sent <= pause)
        return false;
    return firn_conn__sendable(c) > pause || firn_conn__withheld(c) > held_max;
}

bool firn_conn__stalled(const struct firn_conn *c)
{
    const struct firn_server *s = c->srv;
    return s->pressure != FIRN_PRESSURE_NONE && c->incomplete &&
           c->query.cap > s->opt.budget->part[FIRN_BUDGET_CLIENTS].share / STALL_SHARE;
}

static bool may_execute(const struct firn_conn *c)
{
    return !c->parked && c->closing == FIRN_CONN_OPEN && !output_full(c) &&
           c->srv->pressure != FIRN_PRESSURE_FULL;
}

bool firn_conn__runnable(const struct firn_conn *c)
{
    return c->query_at < c->query.len && !c->incomplete && may_execute(c) && !c->srv->draining;
}

static size_t bytes_held(const struct firn_conn *c)
{
    return sizeof *c + c->query.cap + c->out.buf.cap + firn_parser_bytes(&c->parser) +
           c->held.cap * sizeof *c->held.at + c->charged_bytes;
}

void firn_conn__settle(struct firn_conn *c)
{
    struct firn_server *s = c->srv;
    size_t bytes = bytes_held(c);
    firn_server__account(s, bytes - c->accounted_bytes);
    c->accounted_bytes = bytes;
    bool waiting = c->query_at < c->query.len;
    bool on = c->closing == FIRN_CONN_OPEN && !s->draining && !output_full(c) &&
              s->pressure != FIRN_PRESSURE_FULL && !firn_conn__stalled(c) &&
              !(waiting && c->parked && c->query.len - c->query_at > PARKED_QUERY_BYTES);
    if (on != c->reading) {
        c->reading = on;
        s->env->net->vt->read_set(s->env->net->ctx, c->sock, on);
    }
}

/* --- execution */

/* Refuse a command before it is executed. */
static enum firn_exec rejected(struct firn_conn *c, struct firn_command_entry *e)
{
    const struct firn_handler *h = c->srv->handler;
    if (e)
        e->stat.rejected++;
    if (h->rejected)
        h->rejected(h->arg, c, e);
    return FIRN_EXEC_DONE;
}

/* What every command must fulfil; false: it does not, and has been answered. */
static bool passes(struct firn_conn *c, struct firn_command_entry *e, size_t argc)
{
    const struct firn_command *cmd = e->cmd;
    if (!firn_command_arity_ok(cmd, argc)) {
        firn_command_bad_arity(&c->out, e);
        return false;
    }
    if (!c->authenticated && !(cmd->flags & FIRN_CMD_NO_AUTH)) {
        firn_reply_error(&c->out, "NOAUTH Authentication required.");
        return false;
    }
    if (c->subscriber && c->out.resp == 2 && !(cmd->flags & FIRN_CMD_IN_SUBSCRIBE)) {
        firn_reply_error(&c->out,
                         "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / "
                         "QUIT / RESET are allowed in this context",
                         e->name);
        return false;
    }
    if (c->srv->loading && !(cmd->flags & FIRN_CMD_LOADING)) {
        firn_reply_error(&c->out, "LOADING the database is being loaded, try again shortly");
        return false;
    }
    return true;
}

/* A browser tricked into talking to us (cross-protocol scripting): no answer, no second line. */
static bool is_http(struct firn_slice name)
{
    return firn_slice_ieq(name, "post") || firn_slice_ieq(name, "host:");
}

static enum firn_exec unknown(struct firn_conn *c, struct firn_command_entry *parent, size_t argc,
                              const struct firn_slice *argv)
{
    if (parent)
        firn_command_unknown_sub(&c->out, parent, argv[1]);
    else if (is_http(argv[0]))
        firn_conn_close(c, false);
    else
        firn_command_unknown(&c->out, argc, argv);
    return rejected(c, NULL);
}

static enum firn_exec dispatch(struct firn_conn *c, const struct firn_upcoming *u)
{
    struct firn_server *s = c->srv;
    struct firn_command_entry *e = u->entry;
    size_t argc = u->argc;
    const struct firn_slice *argv = u->argv;
    if (__builtin_expect(!e, 0))
        return unknown(c, u->parent, argc, argv);
    c->cmd = e;
    if (e != s->run_cmd)
        firn_server__charge(s, e);
    if (__builtin_expect(!passes(c, e, argc), 0))
        return rejected(c, e);
    const struct firn_command *cmd = e->cmd;
    if (__builtin_expect(s->pausing, 0) && firn_server__pauses(s, cmd)) {
        c->paused = true;
        return FIRN_EXEC_PARK;
    }
    uint64_t errors = c->out.errors;
    if (e->own && (!c->capture || cmd->flags & FIRN_CMD_NO_CAPTURE))
        firn_conn_run_own(c, cmd, argc, argv);
    else if (s->handler->exec(s->handler->arg, c, cmd, argc, argv) == FIRN_EXEC_PARK)
        return FIRN_EXEC_PARK;
    e->stat.calls++;
    e->stat.failed += c->out.errors != errors;
    if (__builtin_expect(s->watched, 0))
        s->handler->executed(s->handler->arg, c, e, argc, argv);
    return FIRN_EXEC_DONE;
}

void firn_conn_run_own(struct firn_conn *c, const struct firn_command *cmd, size_t argc,
                       const struct firn_slice *argv)
{
    ((firn_conn_command_fn *)cmd->fn)(c, argc, argv);
}

/* CLIENT REPLY OFF and SKIP: the reply since the mark is not sent, unless it is a push. */
static void silence(struct firn_conn *c)
{
    if ((c->reply_off || c->reply_skip) && !c->pushing)
        c->out.buf.len = c->mark;
    c->reply_skip = c->reply_skip_next;
    c->reply_skip_next = false;
}

static enum firn_exec execute(struct firn_conn *c, const struct firn_upcoming *u, uint64_t now_ns)
{
    struct firn_server *s = c->srv;
    if (!c->retry)
        c->arrival_ns = now_ns;
    c->mark = c->out.buf.len;
    c->pushing = false;
    c->in_exec = true;
    c->command_bytes = u->used;
    enum firn_exec r = dispatch(c, u);
    c->in_exec = false;
    if (r == FIRN_EXEC_PARK) {
        FIRN_ASSERT(c->out.buf.len == c->mark);
        s->stats.parked_total += !c->retry;
        return r;
    }
    c->retry = false;
    s->stats.commands_processed++;
    if (__builtin_expect(c->reply_off | c->reply_skip | c->reply_skip_next, 0))
        silence(c);
    if (__builtin_expect(c->out.failed, 0)) {
        s->stats.output_limit_closed++;
        firn_conn_close(c, false);
    }
    return r;
}

/* The stream of requests cannot be followed any more. */
static void protocol_error(struct firn_conn *c)
{
    c->srv->stats.protocol_errors++;
    firn_reply_error_slice(&c->out, firn_slice_str(c->parser.error));
    firn_conn_close(c, true);
}

/* Execute commands from `data` until they end or something stands in the way; gives the bytes done
 * with. What is left begins with the command under way. */
static size_t run(struct firn_conn *c, const uint8_t *data, size_t len, uint64_t now_ns)
{
    struct firn_server *s = c->srv;
    struct firn_parse_limits limits = s->limits;
    size_t at = 0, out_before = c->out.buf.len;
    c->incomplete = false;
    s->run_from_ns = now_ns;
    firn_conn__batch_begin(c);
    while (at < len && may_execute(c) && (!s->draining || c->retry)) {
        limits.authenticated = c->authenticated;
        struct firn_upcoming u;
        enum firn_parse p = firn_conn__batch_next(c, &limits, data + at, len - at, &u);
        if (p == FIRN_PARSE_MORE) {
            c->incomplete = true;
            break;
        }
        if (p == FIRN_PARSE_ERROR) {
            protocol_error(c);
            at = len;
            break;
        }
        if (c->ahead_n && !c->retry && u.argc && c->query_at + at + u.used <= c->ahead_at)
            c->ahead_n--;
        if (u.argc && execute(c, &u, now_ns) == FIRN_EXEC_PARK) {
            c->parked = true;
            s->stats.parked++;
            break;
        }
        at += u.used;
    }
    firn_server__charge(s, NULL);
    if (c->out.buf.len > out_before)
        firn_conn_dirty(c);
    return at;
}

/* --- input */

/* Drop what was executed from the query buffer, when it is worth it or room is needed. */
static void query_compact(struct firn_conn *c, bool force)
{
    struct firn_buf *q = &c->query;
    if (c->query_at == q->len) {
        q->len = 0;
        if (q->cap > KEEP_BYTES)
            firn_buf_clear(q);
    } else if (c->query_at && (force || c->query_at >= q->len / 2)) {
        firn_buf_consume(q, c->query_at);
    } else {
        return;
    }
    c->ahead_at = c->ahead_at > c->query_at ? c->ahead_at - c->query_at : 0;
    c->query_at = 0;
}

static bool query_append(struct firn_conn *c, const uint8_t *data, size_t len)
{
    struct firn_buf *q = &c->query;
    if (q->cap - q->len < len)
        query_compact(c, true);
    /* The command under way says how long it is: one allocation instead of several. */
    size_t want = len;
    if (c->incomplete && c->query_at == 0 && c->authenticated && c->parser.need > q->len + len)
        want = c->parser.need - q->len;
    if (firn_buf_reserve(q, want) == FIRN_OK && firn_buf_append(q, data, len) == FIRN_OK)
        return true;
    c->srv->stats.query_limit_closed++;
    firn_conn_close(c, false);
    return false;
}

/* Show the commands behind the parked one to the handler. */
static void look_ahead(struct firn_conn *c)
{
    struct firn_server *s = c->srv;
    const struct firn_handler *h = s->handler;
    if (!h->lookahead || !c->parked)
        return;
    struct firn_parse_limits limits = s->limits;
    limits.authenticated = c->authenticated;
    size_t parked_end = c->query_at + c->command_bytes;
    if (c->ahead_at < parked_end) {
        c->ahead_at = parked_end;
        c->ahead_n = 0;
    }
    while (c->ahead_n < s->opt.pipeline_lookahead && c->ahead_at < c->query.len) {
        firn_parser_reset(&s->ahead);
        if (firn_parser_next(&s->ahead, &limits, c->query.data + c->ahead_at,
                             c->query.len - c->ahead_at) != FIRN_PARSE_COMMAND)
            return; /* an error is met again, and answered, when it is executed */
        c->ahead_at += s->ahead.used;
        if (!s->ahead.argc)
            continue;
        c->ahead_n++;
        struct firn_command_entry *parent;
        struct firn_command_entry *e =
            firn_registry_resolve(s->registry, s->ahead.argc, s->ahead.argv, &parent);
        if (e && !e->own && firn_command_arity_ok(e->cmd, s->ahead.argc) && c->authenticated)
            h->lookahead(h->arg, c, e->cmd, s->ahead.argc, s->ahead.argv);
    }
}

static void run_query(struct firn_conn *c, uint64_t now_ns)
{
    c->query_at += run(c, c->query.data + c->query_at, c->query.len - c->query_at, now_ns);
    query_compact(c, false);
}

void firn_conn__data(void *arg, const uint8_t *data, size_t len)
{
    struct firn_conn *c = arg;
    uint64_t now = firn_boot_ns(c->srv->env);
    c->srv->stats.net_in_bytes += len;
    c->active_ns = now;
    if (c->closing != FIRN_CONN_OPEN)
        return;
    if (c->query.len == 0 && may_execute(c)) {
        /* The usual case: straight out of the socket's buffer, nothing is copied. */
        size_t done = run(c, data, len, now);
        if (done < len && c->closing == FIRN_CONN_OPEN)
            (void)query_append(c, data + done, len - done);
    } else if (query_append(c, data, len) && may_execute(c)) {
        run_query(c, now);
    }
    look_ahead(c);
    firn_conn__settle(c);
}

void firn_conn__writable(void *arg)
{
    struct firn_conn *c = arg;
    c->blocked = false;
    firn_conn_dirty(c);
}

void firn_conn__make_ready(struct firn_conn *c)
{
    if (firn_list_empty(&c->ready)) {
        firn_list_push(&c->srv->ready, &c->ready);
        firn_server__kick(c->srv);
    }
}

void firn_conn__process(struct firn_conn *c)
{
    if (c->closing != FIRN_CONN_OPEN)
        return;
    if (c->parked) {
        c->parked = c->paused = false;
        c->retry = true;
        c->srv->stats.parked--;
    } else if (!firn_conn__runnable(c)) {
        return;
    }
    run_query(c, firn_boot_ns(c->srv->env));
    look_ahead(c);
    firn_conn__settle(c);
}

void firn_conn_resume(struct firn_conn *c)
{
    if (c->parked)
        firn_conn__make_ready(c);
}

/* --- accessors */

struct firn_reply *firn_conn_out(struct firn_conn *c)
{
    return &c->out;
}

bool firn_conn_parked(const struct firn_conn *c)
{
    return c->parked;
}

void firn_conn_capture(struct firn_conn *c, bool on)
{
    c->capture = on;
}

void firn_conn_set_subscriber(struct firn_conn *c, bool on)
{
    c->subscriber = on;
    c->over_soft_ns = 0;
}

void firn_conn_answers_by_push(struct firn_conn *c)
{
    c->pushing = true;
}

size_t firn_conn_mark(const struct firn_conn *c)
{
    return c->mark;
}

void firn_conn_charge(struct firn_conn *c, size_t bytes)
{
    c->charged_bytes = bytes;
}

void **firn_conn_session(struct firn_conn *c)
{
    return &c->session;
}

struct firn_server *firn_conn_server(struct firn_conn *c)
{
    return c->srv;
}

uint64_t firn_conn_id(const struct firn_conn *c)
{
    return c->id;
}

unsigned firn_conn_db(const struct firn_conn *c)
{
    return c->db;
}

void firn_conn_set_db(struct firn_conn *c, unsigned db)
{
    FIRN_ASSERT(db < FIRN_CONN_DBS);
    c->db = (uint8_t)db;
}

uint8_t firn_conn_resp(const struct firn_conn *c)
{
    return c->out.resp;
}

bool firn_conn_authenticated(const struct firn_conn *c)
{
    return c->authenticated;
}

struct firn_slice firn_conn_name(const struct firn_conn *c)
{
    return c->name ? firn_slice_str(c->name) : firn_slice_of(NULL, 0);
}

const char *firn_conn_peer(const struct firn_conn *c)
{
    return c->peer;
}

bool firn_conn_is_local(const struct firn_conn *c)
{
    return c->loopback;
}

uint64_t firn_conn_arrival_ns(const struct firn_conn *c)
{
    return c->arrival_ns;
}

struct firn_command_entry *firn_conn_command(struct firn_conn *c)
{
    return c->cmd;
}

bool firn_conn_no_touch(const struct firn_conn *c)
{
    return c->no_touch;
}

bool firn_conn_no_evict(const struct firn_conn *c)
{
    return c->no_evict;
}

bool firn_conn_has_capa_redirect(const struct firn_conn *c)
{
    return c->capa_redirect;
}
