/* The evaluation of one command: what it needs first, its handler, and what follows from the
 * answer. */
#include "engine/cmd_priv.h"

#include "base/sometimes.h"

uint64_t firn_engine__now(struct firn_eval *x)
{
    if (!x->now_ms)
        x->now_ms = x->db->now_ms(x->db);
    return x->now_ms;
}

enum firn_status firn_engine__syntax_error(struct firn_eval *x)
{
    firn_reply_error(x->out, "ERR syntax error");
    return FIRN_INVALID;
}

enum firn_status firn_engine__subcommand_error(struct firn_eval *x)
{
    firn_command_bad_subcommand(x->out, x->argv);
    return FIRN_INVALID;
}

enum firn_status firn_engine__arg_i64(struct firn_eval *x, size_t i, int64_t *out)
{
    if (firn_parse_i64(x->argv[i], out))
        return FIRN_OK;
    firn_reply_error(x->out, "ERR value is not an integer or out of range");
    return FIRN_INVALID;
}

enum firn_status firn_engine__rows_lost(struct firn_eval *x, const struct firn_reply *rows,
                                        const char *advice)
{
    if (rows->no_memory)
        return FIRN_LIMIT;
    firn_reply_error(x->out, "ERR the reply is larger than an output buffer may be; %s", advice);
    return FIRN_INVALID;
}

enum firn_status firn_engine__run(struct firn_eval *x)
{
    enum firn_status st = FIRN_OK;
    if (x->s->fetch_failed)
        st = firn_engine__fetch_result(x);
    if (st == FIRN_OK && x->s->pin_wanted)
        st = firn_engine__range_pin(x);
    if (st == FIRN_OK && (x->cmd->flags & FIRN_CMD_WRITE))
        st = firn_engine__write_ready(x, firn_engine__bytes_of_args(x));
    else if (st == FIRN_OK && (x->cmd->flags & FIRN_CMD_READONLY) &&
             !(x->cmd->id & FIRN_TRAIT_AT) && !firn_engine__range_is_open(x->s))
        st = firn_engine__read_ready(x); /* an open range keeps the state it began with */
    return st == FIRN_OK ? firn_engine__handler(x->cmd)(x) : st;
}

/* A status that no handler has answered itself. */
static void answer_failure(struct firn_eval *x, enum firn_status st)
{
    const struct firn_err *why = firn_read_err(&x->s->read);
    const char *text = why && why->text[0] ? why->text : firn_status_name(st);
    switch (st) {
    case FIRN_CORRUPT:
        FIRN_SOMETIMES("engine: damage told to a client");
        x->e->stat.corrupt++;
        firn_reply_error(x->out, "KVCORRUPT %s; nothing was applied", text);
        return;
    case FIRN_LIMIT:
        x->e->stat.busy++;
        firn_reply_error(x->out, "KVBUSY out of memory; nothing was applied, it is safe to retry");
        return;
    case FIRN_FENCED:
        x->e->stat.readonly++;
        firn_reply_error(x->out, "READONLY a newer writer serves this database");
        return;
    default:
        x->e->stat.fetch_errors++;
        firn_reply_error(x->out,
                         "KVBUSY the store could not be read: %s; nothing was applied, "
                         "it is safe to retry",
                         text);
    }
}

static void note_parked_end(struct firn_eval *x)
{
    struct firn_engine *e = x->e;
    const struct firn_read *r = &x->s->read;
    uint64_t took = firn_boot_ns(x->db->env) - x->arrival_ns;
    firn_hist_add(&e->stat.parked_ns, took);
    FIRN_SOMETIMES_IF(r->trips > 1, "engine: a command parked more than once");
    if (r->trips) {
        e->stat.cold_reads++;
        e->stat.cold_trips += r->trips;
        e->stat.cold_gets += r->gets;
        e->stat.cold_bytes += r->fetched_bytes;
        firn_hist_add(&e->stat.trips, r->trips);
    }
    firn_engine__note_timed(x, x->s->busy_ns, took);
}

/* Nothing was done: wait for the misses of the read, or for what the handler named. */
static enum firn_exec park(struct firn_eval *x, size_t mark)
{
    struct firn_session *s = x->s;
    x->out->buf.len = mark;
    if (s->wait.kind == FIRN_WAIT_NONE) {
        bool write = x->cmd->flags & FIRN_CMD_WRITE;
        const struct firn_settings *set = x->db->settings;
        /* A walk may be long; each step of it has the time of a read. */
        uint64_t from = firn_engine__range_is_open(s) ? firn_boot_ns(x->db->env) : x->arrival_ns;
        s->wait.kind = FIRN_WAIT_FETCH;
        firn_engine__fetch_start(s, from + (write ? set->commit_timeout_ns : set->read_timeout_ns));
    }
    firn_engine__ahead_parked(s);
    firn_engine__park(x);
    firn_engine__account(s);
    return FIRN_EXEC_PARK;
}

static enum firn_exec finish(struct firn_eval *x, enum firn_status st, size_t mark)
{
    struct firn_session *s = x->s;
    firn_engine__group_reset(&x->e->group);
    if (st == FIRN_AGAIN)
        return park(x, mark);
    if (st != FIRN_OK && st != FIRN_INVALID) {
        x->out->buf.len = mark; /* some of the reply may have been made */
        answer_failure(x, st);
    } else if (x->out->buf.len == mark && !x->out->failed) {
        firn_reply_error(x->out, "ERR internal error: '%s' made no reply", x->cmd->name);
    }
    if (x->gated) {
        firn_conn_gate(s->c, &x->gate);
        firn_engine__want_gate(x->db, x->gate.slot);
    }
    if (s->was_parked)
        note_parked_end(x);
    else if (s->busy_ns)
        firn_engine__note_timed(x, s->busy_ns, 0);
    if (s->track.on) {
        if (st == FIRN_OK)
            firn_engine__track_read(x);
        firn_engine__track_executed(x);
    }
    firn_engine__session_done(s);
    firn_engine__ahead_executed(s);
    return FIRN_EXEC_DONE;
}

enum firn_exec firn_engine__exec(void *engine, struct firn_conn *c, const struct firn_command *cmd,
                                 size_t argc, const struct firn_slice *argv)
{
    struct firn_engine *e = engine;
    struct firn_session *s = *firn_conn_session(c);
    struct firn_reply *out = firn_conn_out(c);
    if (!s) {
        firn_reply_error(out, "ERR out of memory");
        firn_conn_close(c, true);
        return FIRN_EXEC_DONE;
    }
    if (s->queue.on && firn_engine__captures(s, cmd)) {
        firn_engine__enqueue(s, argc, argv);
        if (!firn_conn_command(c)->own)
            firn_engine__ahead_executed(s);
        return FIRN_EXEC_DONE;
    }
    struct firn_eval x = {
        .e = e,
        .db = e->db,
        .s = s,
        .cmd = cmd,
        .out = out,
        .argc = argc,
        .argv = argv,
        .arrival_ns = firn_conn_arrival_ns(c),
        .ns = (uint8_t)(FIRN_NS_DB0 + firn_conn_db(c)),
        .durable = !e->db->writable || firn_engine__ack(s) == FIRN_ACK_DURABLE,
    };
    size_t mark = out->buf.len;
    s->wait.kind = FIRN_WAIT_NONE;
    firn_list_remove(&s->wait.link);
    if (s->fetching) { /* resumed before its fetch ended: go on waiting for that */
        s->wait.kind = FIRN_WAIT_FETCH;
        return FIRN_EXEC_PARK;
    }
    s->queue.ending = s->queue.on && firn_engine__handler(cmd) == firn_engine__cmd_exec;
    uint64_t from = firn_engine__is_timed(e, s, cmd) ? firn_boot_ns(e->db->env) : 0;
    enum firn_status st = firn_engine__run(&x);
    if (from)
        s->busy_ns += firn_boot_ns(e->db->env) - from;
    enum firn_exec r = finish(&x, st, mark);
    firn_view_unref(x.held);
    return r;
}
