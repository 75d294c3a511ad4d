/* Deletes on a condition, and the digest that conditions may name: DELEX and DIGEST of Redis 8.4,
 * DELIFEQ of Valkey 9. */
#include "engine/cmd_priv.h"
#include "engine/condition_priv.h"

/* Delete argv[1] if the condition holds for it; 1 or 0. A missing key is never deleted. */
static enum firn_status delete_if(struct firn_eval *x, enum firn_condition c, struct firn_slice arg)
{
    struct firn_entry v;
    bool holds;
    enum firn_status st = firn_engine__get(x, x->argv[1], &v);
    if (st == FIRN_ABSENT)
        return firn_engine__noop_i64(x, 0);
    if (st == FIRN_OK)
        st = firn_engine__condition_holds(x, c, &v.value, arg, &holds);
    if (st != FIRN_OK)
        return st;
    if (!holds)
        return firn_engine__noop_i64(x, 0);
    st = firn_engine__del(x, x->argv[1], FIRN_EVENT_DEL);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, 1);
    return st;
}

enum firn_status firn_engine__cmd_delex(struct firn_eval *x)
{
    if (x->argc == 2)
        return delete_if(x, FIRN_IF_ALWAYS, firn_slice_of(NULL, 0));
    if (x->argc != 4) {
        firn_reply_error(x->out, "ERR wrong number of arguments for 'delex' command");
        return FIRN_INVALID;
    }
    enum firn_condition c = firn_engine__condition_of(x, 2);
    if (!firn_engine__condition_has_arg(c)) {
        firn_reply_error(x->out, "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");
        return FIRN_INVALID;
    }
    return delete_if(x, c, x->argv[3]);
}

enum firn_status firn_engine__cmd_delifeq(struct firn_eval *x)
{
    return delete_if(x, FIRN_IF_EQ, x->argv[2]);
}

enum firn_status firn_engine__cmd_digest(struct firn_eval *x)
{
    struct firn_entry v;
    char digest[FIRN_DIGEST_LEN];
    enum firn_status st = firn_engine__get(x, x->argv[1], &v);
    firn_engine__count_lookup(x, st);
    if (st == FIRN_OK) {
        firn_engine__digest(v.value, digest);
        firn_reply_bulk(x->out, firn_slice_of(digest, sizeof digest));
    } else if (st == FIRN_ABSENT) {
        firn_reply_null(x->out);
    } else {
        return st;
    }
    return FIRN_OK;
}
