/* The server as such: INFO, ROLE, WAIT, WAITAOF, HELP. */
#include "engine/cmd_priv.h"

enum firn_status firn_engine__cmd_ok(struct firn_eval *x)
{
    firn_reply_ok(x->out);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_help(struct firn_eval *x)
{
    firn_command_help(x->out, firn_registry_find(firn_server_registry(x->e->server), x->argv[0]));
    return FIRN_OK;
}

/* FUNCTION FLUSH [ASYNC|SYNC]: there are none. */
enum firn_status firn_engine__cmd_function_flush(struct firn_eval *x)
{
    if (x->argc > 3)
        return firn_engine__subcommand_error(x);
    if (x->argc == 3 && !firn_engine__arg_is(x, 2, "async") && !firn_engine__arg_is(x, 2, "sync")) {
        firn_reply_error(x->out, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
        return FIRN_INVALID;
    }
    firn_reply_ok(x->out);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_info(struct firn_eval *x)
{
    struct firn_buf text;
    firn_buf_init(&text, 4u << 20);
    enum firn_status st = FIRN_OK;
    if (x->argc == 1)
        st = firn_engine__info(x->e, firn_slice_str("default"), &text);
    for (size_t i = 1; i < x->argc && st == FIRN_OK; i++)
        st = firn_engine__info(x->e, x->argv[i], &text);
    if (st == FIRN_OK)
        firn_reply_verbatim(x->out, "txt", firn_buf_slice(&text));
    firn_buf_clear(&text);
    return st;
}

enum firn_status firn_engine__cmd_role(struct firn_eval *x)
{
    const struct firn_db *db = x->db;
    if (db->writable) {
        firn_reply_array(x->out, 3);
        firn_reply_str(x->out, "master");
        firn_reply_i64(x->out, (int64_t)db->durable_seqno);
        firn_reply_array(x->out, 0);
        return FIRN_OK;
    }
    const char *colon = strrchr(db->writer_addr, ':');
    size_t host = colon ? (size_t)(colon - db->writer_addr) : strlen(db->writer_addr);
    int64_t port = 0;
    if (colon && !firn_parse_i64(firn_slice_str(colon + 1), &port))
        port = 0;
    firn_reply_array(x->out, 5);
    firn_reply_str(x->out, "slave");
    firn_reply_bulk(x->out, firn_slice_of(db->writer_addr, host));
    firn_reply_i64(x->out, port);
    firn_reply_str(x->out, db->serving ? "connected" : "sync");
    firn_reply_i64(x->out, (int64_t)db->durable_seqno);
    return FIRN_OK;
}

/* ---- WAIT, WAITAOF: durability is in the store, not in replicas */

/* Wait until this connection's own writes are durable, up to timeout_ms (0: as long as it takes).
 * OK also when they never will be or time is up; *durable says which. */
static enum firn_status await_own(struct firn_eval *x, int64_t timeout_ms, bool *durable)
{
    uint64_t deadline = timeout_ms ? x->arrival_ns + (uint64_t)timeout_ms * FIRN_MS : 0;
    *durable = x->s->wrote_gate <= x->db->durable_gate;
    if (*durable || x->db->fenced || x->tx || (deadline && firn_boot_ns(x->db->env) >= deadline))
        return FIRN_OK;
    struct firn_wait w = {.kind = FIRN_WAIT_OWN, .gate = x->s->wrote_gate, .deadline_ns = deadline};
    return firn_engine__await(x, &w);
}

static enum firn_status timeout_arg(struct firn_eval *x, size_t i, int64_t *ms)
{
    if (!firn_parse_i64(x->argv[i], ms) || *ms > INT64_MAX / (int64_t)FIRN_MS) {
        firn_reply_error(x->out, "ERR timeout is not an integer or out of range");
        return FIRN_INVALID;
    }
    if (*ms < 0) {
        firn_reply_error(x->out, "ERR timeout is negative");
        return FIRN_INVALID;
    }
    return FIRN_OK;
}

static enum firn_status refuse_on_reader(struct firn_eval *x)
{
    if (x->db->writable)
        return FIRN_OK;
    firn_reply_error(x->out, "ERR %s cannot be used with replica instances.",
                     x->cmd->arity == 3 ? "WAIT" : "WAITAOF");
    return FIRN_INVALID;
}

enum firn_status firn_engine__cmd_wait(struct firn_eval *x)
{
    int64_t replicas, timeout_ms;
    bool durable;
    enum firn_status st = refuse_on_reader(x);
    if (st == FIRN_OK)
        st = firn_engine__arg_i64(x, 1, &replicas);
    if (st == FIRN_OK)
        st = timeout_arg(x, 2, &timeout_ms);
    if (st == FIRN_OK)
        st = await_own(x, timeout_ms, &durable);
    if (st == FIRN_OK)
        firn_reply_i64(x->out,
                       0); /* never until the time is up: there are no replicas to wait for */
    return st;
}

enum firn_status firn_engine__cmd_waitaof(struct firn_eval *x)
{
    int64_t local, replicas, timeout_ms;
    bool durable;
    enum firn_status st = refuse_on_reader(x);
    if (st == FIRN_OK)
        st = firn_engine__arg_i64(x, 1, &local);
    if (st == FIRN_OK)
        st = firn_engine__arg_i64(x, 2, &replicas);
    if (st == FIRN_OK && (local < 0 || local > 1 || replicas < 0)) {
        firn_reply_error(x->out, "ERR value is out of range, must be between 0 and 1");
        return FIRN_INVALID;
    }
    if (st == FIRN_OK)
        st = timeout_arg(x, 3, &timeout_ms);
    if (st == FIRN_OK)
        st = await_own(x, timeout_ms, &durable);
    if (st != FIRN_OK)
        return st;
    firn_reply_array(x->out, 2);
    firn_reply_i64(x->out, durable);
    firn_reply_i64(x->out, 0);
    return FIRN_OK;
}
