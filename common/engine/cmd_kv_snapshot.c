/* KV.SNAPSHOT OPEN and CLOSE. What reads AT one is in cmd_kv.c. */
#include "engine/cmd_priv.h"

/* The state of a snapshot is durable, whatever the connection's ack is, and holds the connection's
 * own writes; the token says which state that is. */
enum firn_status firn_engine__cmd_kv_snapshot_open(struct firn_eval *x)
{
    int64_t ttl_ms = FIRN_SNAPSHOT_TTL_MS;
    enum firn_status st = FIRN_OK;
    if (x->argc > 3)
        return firn_engine__syntax_error(x);
    if (x->argc == 3)
        st = firn_engine__arg_i64(x, 2, &ttl_ms);
    if (st != FIRN_OK)
        return st;
    if (ttl_ms < 1 || ttl_ms > FIRN_SNAPSHOT_TTL_MS_MAX) {
        firn_reply_error(x->out, "ERR ttl must be 1 to %d ms", FIRN_SNAPSHOT_TTL_MS_MAX);
        return FIRN_INVALID;
    }
    if (x->e->snapshots.count >= FIRN_SNAPSHOTS_MAX) {
        firn_reply_error(x->out, "KVBUSY there are %d snapshots already; close some",
                         FIRN_SNAPSHOTS_MAX);
        return FIRN_INVALID;
    }
    if (!x->db->pins) {
        firn_reply_error(x->out, "ERR there is no store to keep a snapshot's tables in");
        return FIRN_INVALID;
    }
    x->durable = true;
    st = firn_engine__pin_view(x, &x->s->pinned);
    if (st == FIRN_OK)
        st = firn_engine__read_ready(x);
    if (st != FIRN_OK)
        return st;
    struct firn_token t = firn_engine__state_token(x->e);
    struct firn_snapshot *s = firn_engine__snapshot_open(x, (uint64_t)ttl_ms);
    if (!s)
        return FIRN_LIMIT;
    char token[FIRN_TOKEN_MAX];
    size_t len = firn_token_format(&t, token);
    firn_reply_array(x->out, 2);
    firn_reply_bulk_u64(x->out, s->id);
    firn_reply_bulk(x->out, firn_slice_of(token, len));
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_kv_snapshot_close(struct firn_eval *x)
{
    struct firn_snapshot *s = firn_engine__snapshot_find(x, x->argv[2]);
    if (!s)
        return FIRN_INVALID;
    firn_engine__snapshot_end(s, FIRN_SNAPSHOT_CLOSED);
    firn_reply_ok(x->out);
    return FIRN_OK;
}
