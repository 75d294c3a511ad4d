/* MULTI, EXEC, DISCARD, WATCH, UNWATCH, and the queueing in between. */
#include "engine/cmd_priv.h"

#include "base/sometimes.h"
#include "engine/tx_priv.h"

static void unwatch(struct firn_session *s)
{
    firn_engine__watch_clear(&s->e->watches, &s->watcher);
    s->watcher.gate = 0;
}

void firn_engine__transaction_end(struct firn_session *s)
{
    if (s->queue.on)
        firn_conn_capture(s->c, false);
    firn_engine__queue_clear(&s->queue);
    unwatch(s);
    firn_engine__account(s);
}

/* ---- queueing */

static bool is_handler(const struct firn_command *cmd, firn_handler_fn fn)
{
    return firn_engine__handler(cmd) == fn;
}

bool firn_engine__captures(const struct firn_session *s, const struct firn_command *cmd)
{
    return s->queue.on && !is_handler(cmd, firn_engine__cmd_exec) &&
           !is_handler(cmd, firn_engine__cmd_discard) && !is_handler(cmd, firn_engine__cmd_multi) &&
           !is_handler(cmd, firn_engine__cmd_watch);
}

/* HELLO with options may fail, and what protocol the replies behind it have hangs on that. */
static bool may_queue(const struct firn_command_entry *e, size_t argc)
{
    return !(e->cmd->flags & FIRN_CMD_NO_MULTI) &&
           !(e->own && argc > 2 && strcmp(e->name, "hello") == 0);
}

void firn_engine__enqueue(struct firn_session *s, size_t argc, const struct firn_slice *argv)
{
    const struct firn_db *db = s->e->db;
    struct firn_queue *q = &s->queue;
    struct firn_reply *out = firn_conn_out(s->c);
    struct firn_command_entry *e = firn_conn_command(s->c);
    bool queued = false;
    if (!may_queue(e, argc)) {
        firn_reply_error(out, "ERR Command not allowed inside a transaction");
    } else if (firn_engine__may_write(e->cmd) && (!db->writable || db->fenced)) {
        (void)firn_engine__refuse_readonly(s->e, out);
    } else if (!firn_engine__queue_has_room(q, argc, argv,
                                            (size_t)db->settings->client_query_bytes_max)) {
        firn_reply_error(out,
                         "ERR a transaction of more than %zu commands or, with them, more memory "
                         "than client-query-bytes-max (%llu)",
                         FIRN_QUEUE_COMMANDS_MAX,
                         (unsigned long long)db->settings->client_query_bytes_max);
    } else if (firn_engine__queue_add(q, e, argc, argv) != FIRN_OK) {
        firn_reply_error(out, "ERR out of memory");
    } else {
        queued = true;
        firn_reply_simple(out, "QUEUED");
    }
    q->spoilt |= !queued;
    firn_engine__account(s);
}

/* Reword the error that lies in the reply buffer; where memory was too short for one, there is
 * none. */
static void say_aborted(struct firn_conn *c)
{
    struct firn_reply *out = firn_conn_out(c);
    size_t mark = firn_conn_mark(c);
    char why[256];
    if (out->failed)
        return;
    struct firn_slice text = firn_slice_of(out->buf.data + mark + 1, out->buf.len - mark - 3);
    if (firn_slice_starts(text, firn_slice_str("ERR ")))
        text = firn_slice_of(text.data + 4, text.len - 4);
    size_t len = text.len < sizeof why ? text.len : sizeof why;
    memcpy(why, text.data, len);
    out->buf.len = mark;
    firn_reply_error(out, "EXECABORT Transaction discarded because of: %.*s", (int)len, why);
}

void firn_engine__rejected(void *engine, struct firn_conn *c, const struct firn_command_entry *e)
{
    (void)engine;
    struct firn_session *s = *firn_conn_session(c);
    if (!s)
        return;
    s->queue.spoilt = s->queue.on;
    if (!e || !is_handler(e->cmd, firn_engine__cmd_exec))
        return;
    /* As Redis: an EXEC that is refused ends the transaction, and says that. */
    say_aborted(c);
    firn_engine__transaction_end(s);
}

enum firn_status firn_engine__cmd_multi(struct firn_eval *x)
{
    if (x->s->queue.on) {
        firn_reply_error(x->out, "ERR MULTI calls can not be nested");
        return FIRN_INVALID;
    }
    x->s->queue.on = true;
    firn_conn_capture(x->s->c, true);
    firn_reply_ok(x->out);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_discard(struct firn_eval *x)
{
    if (!x->s->queue.on) {
        firn_reply_error(x->out, "ERR DISCARD without MULTI");
        return FIRN_INVALID;
    }
    firn_engine__transaction_end(x->s);
    firn_reply_ok(x->out);
    return FIRN_OK;
}

/* ---- EXEC */

/* The state all of them are evaluated on. */
static enum firn_status exec_ready(struct firn_eval *x)
{
    struct firn_db *db = x->db;
    const struct firn_queue *q = &x->s->queue;
    if (!q->data)
        return FIRN_OK;
    if (q->writes)
        return firn_engine__write_ready(x, 0); /* how many bytes is known later */
    if (!db->writable)
        return firn_engine__read_ready(x);
    x->view = db->view;
    x->max_seqno = UINT64_MAX;
    return FIRN_OK;
}

static enum firn_status exec_all(struct firn_eval *x)
{
    const struct firn_queue *q = &x->s->queue;
    struct firn_tx tx = {.x = x, .cmd = q->cmd, .n = q->n, .mark = x->out->buf.len};
    firn_reply_array(x->out, q->n);
    enum firn_status st = firn_engine__tx_pass(&tx);
    if (st == FIRN_OK)
        st = firn_engine__tx_commit(&tx);
    if (st == FIRN_OK) {
        unwatch(x->s); /* what it wrote touched what it watched */
        firn_engine__tx_effects(&tx);
        firn_engine__monitor_queued(x->s, &tx);
    }
    firn_engine__tx_clear(&tx);
    return st;
}

enum firn_status firn_engine__cmd_exec(struct firn_eval *x)
{
    struct firn_session *s = x->s;
    struct firn_queue *q = &s->queue;
    if (!q->on) {
        firn_reply_error(x->out, "ERR EXEC without MULTI");
        return FIRN_INVALID;
    }
    if (q->spoilt) {
        firn_reply_error(x->out, "EXECABORT Transaction discarded because of previous errors.");
        return FIRN_INVALID;
    }
    /* A fenced writer does not know any more who touches what. */
    if (s->watcher.n && x->db->fenced)
        return firn_engine__refuse_readonly(x->e, x->out);
    if (s->watcher.n && firn_engine__watch_failed(&s->watcher, firn_engine__now(x))) {
        enum firn_status st = firn_engine__noop(x);
        FIRN_SOMETIMES_IF(st == FIRN_OK, "engine: an EXEC aborted for a watched key");
        if (st == FIRN_OK)
            firn_reply_null_array(x->out);
        return st;
    }
    enum firn_status st = exec_ready(x);
    return st == FIRN_OK ? exec_all(x) : st;
}

/* ---- WATCH */

static enum firn_status watch_key(struct firn_eval *x, struct firn_slice user)
{
    struct firn_session *s = x->s;
    struct firn_entry v = {0};
    struct firn_slice key;
    enum firn_status st = firn_engine__get(x, user, &v);
    bool existed = st == FIRN_OK;
    if (st == FIRN_OK || st == FIRN_ABSENT)
        st = firn_engine__key(x, user, &key);
    if (st != FIRN_OK)
        return st;
    if (s->watcher.bytes + key.len > x->db->settings->client_query_bytes_max) {
        firn_reply_error(x->out, "ERR the keys watched take more memory than "
                                 "client-query-bytes-max");
        return FIRN_INVALID;
    }
    return firn_engine__watch_add(&x->e->watches, &s->watcher, key, existed,
                                  existed ? v.expiry_ms : 0);
}

enum firn_status firn_engine__cmd_watch(struct firn_eval *x)
{
    struct firn_session *s = x->s;
    struct firn_db *db = x->db;
    if (s->queue.on) {
        firn_reply_error(x->out, "ERR WATCH inside MULTI is not allowed");
        return FIRN_INVALID;
    }
    if (!db->writable || db->fenced)
        return firn_engine__refuse_readonly(x->e, x->out);
    x->view = db->view;
    x->max_seqno = UINT64_MAX;
    enum firn_status st = FIRN_OK;
    if (!s->watcher.touched)
        st = firn_engine__gather(x, 1, 1, x->argc - 1);
    for (size_t i = 1; i < x->argc && !s->watcher.touched && st == FIRN_OK; i++)
        st = watch_key(x, x->argv[i]);
    if (st != FIRN_OK)
        return st;
    s->watcher.gate = db->last_gate;
    firn_engine__account(s);
    firn_reply_ok(x->out);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_unwatch(struct firn_eval *x)
{
    unwatch(x->s);
    firn_engine__account(x->s);
    firn_reply_ok(x->out);
    return FIRN_OK;
}
