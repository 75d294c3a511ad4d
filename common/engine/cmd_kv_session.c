/* What a connection chooses and asks about itself: KV.TOKEN, KV.WAIT, KV.FRESHNESS, KV.ACK; and
 * KV.COST, KV.EXPLAIN. */
#include "engine/cmd_priv.h"

#include <inttypes.h>

enum firn_status firn_engine__cmd_kv_token(struct firn_eval *x)
{
    char text[FIRN_TOKEN_MAX];
    size_t len = firn_engine__token(x->s, text);
    firn_reply_bulk(x->out, firn_slice_of(text, len));
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_kv_wait(struct firn_eval *x)
{
    struct firn_token t;
    int64_t timeout_ms;
    enum firn_status st = firn_engine__parse_token(x, x->argv[1], &t);
    if (st == FIRN_OK)
        st = firn_engine__arg_i64(x, 2, &timeout_ms);
    if (st != FIRN_OK)
        return st;
    if (timeout_ms < 0 || timeout_ms > INT32_MAX) {
        firn_reply_error(x->out, "ERR timeout is out of range");
        return FIRN_INVALID;
    }
    st = firn_engine__await_token(x, &t, true, x->arrival_ns + (uint64_t)timeout_ms * FIRN_MS);
    if (st == FIRN_OK)
        firn_reply_ok(x->out);
    return st;
}

enum firn_status firn_engine__cmd_kv_freshness(struct firn_eval *x)
{
    int64_t ms;
    if (firn_engine__arg_is(x, 1, "default")) {
        x->s->freshness_chosen = false;
        firn_reply_ok(x->out);
        return FIRN_OK;
    }
    enum firn_status st = firn_engine__arg_i64(x, 1, &ms);
    if (st != FIRN_OK)
        return st;
    if (ms < 0 || ms > INT32_MAX) {
        firn_reply_error(x->out, "ERR freshness must be 0 to %d ms, or DEFAULT", INT32_MAX);
        return FIRN_INVALID;
    }
    x->s->freshness_chosen = true;
    x->s->freshness_ns = (uint64_t)ms * FIRN_MS;
    firn_reply_ok(x->out);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_kv_ack(struct firn_eval *x)
{
    bool durable = firn_engine__arg_is(x, 1, "durable");
    if (!durable && !firn_engine__arg_is(x, 1, "applied") &&
        !firn_engine__arg_is(x, 1, "default")) {
        firn_reply_error(x->out, "ERR ack must be DURABLE, APPLIED or DEFAULT");
        return FIRN_INVALID;
    }
    x->s->ack_chosen = !firn_engine__arg_is(x, 1, "default");
    x->s->ack = durable ? FIRN_ACK_DURABLE : FIRN_ACK_APPLIED;
    firn_reply_ok(x->out);
    return FIRN_OK;
}

/* ---- KV.COST */

void firn_engine__cost_reset(struct firn_engine *e)
{
    e->cost.since_ms = firn_wall_ms(e->db->env);
    e->cost.tail_polls = e->db->tail_polls;
    if (!e->db->store)
        return;
    for (int op = 0; op < FIRN_OS_OPS; op++)
        e->cost.op[op] = *firn_store_account_of(e->db->store, (enum firn_os_op)op);
    e->cost.dollars = firn_store_dollars(e->db->store);
}

static void reply_pair_u64(struct firn_reply *r, const char *name, const char *suffix, uint64_t v)
{
    firn_reply_bulk_printf(r, "%s%s", name, suffix);
    firn_reply_i64(r, (int64_t)v);
}

enum firn_status firn_engine__cmd_kv_cost(struct firn_eval *x)
{
    struct firn_engine *e = x->e;
    struct firn_reply *out = x->out;
    if (x->argc == 2 && firn_engine__arg_is(x, 1, "reset")) {
        firn_engine__cost_reset(e);
        firn_reply_ok(out);
        return FIRN_OK;
    }
    if (x->argc != 1)
        return firn_engine__syntax_error(x);
    struct firn_store *store = x->db->store;
    firn_reply_map(out, 3 + 3 * (store ? FIRN_OS_OPS : 0));
    firn_reply_str(out, "since_ms");
    firn_reply_i64(out, (int64_t)e->cost.since_ms);
    firn_reply_str(out, "dollars");
    firn_reply_bulk_printf(out, "%.6f", store ? firn_store_dollars(store) - e->cost.dollars : 0.0);
    /* Of the GETs below: those that look for new slots for subscribers and tracking clients. */
    reply_pair_u64(out, "tail_polls", "", x->db->tail_polls - e->cost.tail_polls);
    for (int op = 0; store && op < FIRN_OS_OPS; op++) {
        const struct firn_store_account *now = firn_store_account_of(store, (enum firn_os_op)op);
        const struct firn_store_account *then = &e->cost.op[op];
        const char *name = firn_os_op_name((enum firn_os_op)op);
        reply_pair_u64(out, name, "_requests", now->requests - then->requests);
        reply_pair_u64(out, name, "_bytes_sent", now->bytes_sent - then->bytes_sent);
        reply_pair_u64(out, name, "_bytes_received", now->bytes_received - then->bytes_received);
    }
    return FIRN_OK;
}

/* ---- KV.EXPLAIN: run a command that only reads, drop its reply, tell what the read took */

static void reply_steps(struct firn_reply *out, const struct firn_read *r)
{
    firn_reply_array(out, r->nsteps);
    for (unsigned i = 0; i < r->nsteps; i++) {
        const struct firn_read_step *step = &r->step[i];
        firn_reply_bulk_printf(out, "trip %u: %s %s %" PRIu64 "+%" PRIu64, step->trip,
                               step->meta ? "metadata" : "data", step->object, step->offset,
                               step->length);
    }
}

static void reply_explanation(struct firn_eval *x, const struct firn_reply *inner)
{
    const struct firn_read *r = &x->s->read;
    struct firn_reply *out = x->out;
    uint64_t fresh = x->db->fresh_ns, came = x->arrival_ns;
    firn_reply_map(out, 11);
    reply_pair_u64(out, "trips", "", r->trips);
    reply_pair_u64(out, "gets", "", r->gets);
    reply_pair_u64(out, "fetched_bytes", "", r->fetched_bytes);
    reply_pair_u64(out, "blocks_hit", "", r->blocks_hit);
    reply_pair_u64(out, "tables_looked", "", r->tables_looked);
    reply_pair_u64(out, "filters_absent", "", r->filters_absent);
    reply_pair_u64(out, "memtables_looked", "", r->memtables_looked);
    reply_pair_u64(out, "probe", "", x->s->ticket != 0);
    reply_pair_u64(out, "state_age_us", "", came > fresh ? (came - fresh) / 1000 : 0);
    reply_pair_u64(out, "reply_bytes", "", inner->buf.len);
    firn_reply_str(out, "steps");
    reply_steps(out, r);
}

/* The command named by argv[1…], if it is one that can be explained. */
static const struct firn_command *explained(struct firn_eval *x)
{
    struct firn_registry *g = firn_server_registry(x->e->server);
    struct firn_command_entry *parent;
    struct firn_command_entry *entry = firn_registry_resolve(g, x->argc - 1, x->argv + 1, &parent);
    if (!entry) {
        firn_command_unknown(x->out, x->argc - 1, x->argv + 1);
        return NULL;
    }
    if (entry->own || !(entry->cmd->flags & FIRN_CMD_READONLY) || !entry->cmd->fn ||
        entry->cmd == x->cmd) {
        firn_reply_error(x->out, "ERR only commands that read can be explained");
        return NULL;
    }
    if (!firn_command_arity_ok(entry->cmd, x->argc - 1)) {
        firn_command_bad_arity(x->out, entry);
        return NULL;
    }
    return entry->cmd;
}

enum firn_status firn_engine__cmd_kv_explain(struct firn_eval *x)
{
    const struct firn_command *cmd = explained(x);
    if (!cmd)
        return FIRN_INVALID;
    struct firn_reply inner;
    firn_reply_init(&inner, (size_t)x->db->settings->client_output_bytes_max, x->out->resp);
    struct firn_eval sub = *x;
    sub.cmd = cmd;
    sub.argc--;
    sub.argv++;
    sub.out = &inner;
    x->s->read.explain = true;
    enum firn_status st = firn_engine__run(&sub);
    x->gated = sub.gated; /* the explanation waits for what the read would have waited for */
    x->gate = sub.gate;
    if (st == FIRN_INVALID && inner.failed)
        st = FIRN_LIMIT; /* no memory for the error either */
    if (st == FIRN_OK)
        reply_explanation(x, &inner);
    else if (st == FIRN_INVALID)
        firn_reply_raw(x->out, inner.buf.data, inner.buf.len);
    firn_reply_clear(&inner);
    return st;
}
