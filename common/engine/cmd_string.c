/* GET, SET and their kin: one key, its whole value. */
#include "engine/cmd_priv.h"
#include "engine/condition_priv.h"
#include "engine/expire_priv.h"

/* ---- GET */

enum firn_status firn_engine__cmd_get(struct firn_eval *x)
{
    struct firn_entry v;
    enum firn_status st = firn_engine__get(x, x->argv[1], &v);
    firn_engine__count_lookup(x, st);
    if (st == FIRN_OK)
        firn_reply_bulk(x->out, v.value);
    else if (st == FIRN_ABSENT)
        firn_reply_null(x->out);
    else
        return st;
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_strlen(struct firn_eval *x)
{
    struct firn_entry v;
    enum firn_status st = firn_engine__get(x, x->argv[1], &v);
    firn_engine__count_lookup(x, st);
    if (st != FIRN_OK && st != FIRN_ABSENT)
        return st;
    firn_reply_i64(x->out, st == FIRN_OK ? (int64_t)v.value.len : 0);
    return FIRN_OK;
}

/* ---- SET */

struct set_options {
    enum firn_condition condition;
    size_t condition_arg; /* of IFEQ … */
    bool get;
    struct firn_ttl ttl;
};

static enum firn_status parse_set(struct firn_eval *x, struct set_options *o)
{
    *o = (struct set_options){0};
    for (size_t i = 3; i < x->argc; i++) {
        enum firn_condition condition = firn_engine__condition_of(x, i);
        if (condition != FIRN_IF_ALWAYS) {
            bool has_arg = firn_engine__condition_has_arg(condition);
            if (o->condition != FIRN_IF_ALWAYS && (o->condition != condition || has_arg))
                return firn_engine__syntax_error(x);
            o->condition = condition;
            if (has_arg && ++i >= x->argc)
                return firn_engine__syntax_error(x);
            o->condition_arg = i;
        } else if (firn_engine__arg_is(x, i, "get")) {
            o->get = true;
        } else if (!firn_engine__ttl_option(x, &i, true, false, &o->ttl)) {
            return firn_engine__syntax_error(x);
        }
    }
    return FIRN_OK;
}

/* Put with a time to live that may lie in the past already: then the key is deleted at once. */
static enum firn_status put_until(struct firn_eval *x, struct firn_slice key,
                                  struct firn_slice value, uint64_t expiry_ms,
                                  enum firn_event event)
{
    if (expiry_ms && expiry_ms <= firn_engine__now(x))
        return firn_engine__del(x, key, FIRN_EVENT_DEL);
    return firn_engine__put(x, key, value, expiry_ms, event);
}

static void reply_old(struct firn_eval *x, bool found, const struct firn_entry *old)
{
    if (found)
        firn_reply_bulk(x->out, old->value);
    else
        firn_reply_null(x->out);
}

static enum firn_status set_with_options(struct firn_eval *x)
{
    struct set_options o;
    enum firn_status st = parse_set(x, &o);
    if (st != FIRN_OK)
        return st;
    uint64_t expiry_ms = 0;
    bool has_expiry = o.ttl.option != FIRN_TTL_NONE && o.ttl.option != FIRN_TTL_KEEP;
    if (has_expiry)
        st = firn_engine__ttl_ms(x, o.ttl.option, o.ttl.arg, &expiry_ms);
    if (st == FIRN_OK)
        st = firn_engine__check_value(x, x->argv[2].len);
    if (st != FIRN_OK)
        return st;
    struct firn_entry old = {0};
    bool found = false;
    if (o.condition != FIRN_IF_ALWAYS || o.get || o.ttl.option == FIRN_TTL_KEEP) {
        st = firn_engine__get(x, x->argv[1], &old);
        if (st != FIRN_OK && st != FIRN_ABSENT)
            return st;
        found = st == FIRN_OK;
    }
    bool holds;
    st = firn_engine__condition_holds(x, o.condition, found ? &old.value : NULL,
                                      x->argv[o.condition_arg], &holds);
    if (st != FIRN_OK)
        return st;
    if (!holds) {
        st = firn_engine__noop(x);
        if (st == FIRN_OK)
            reply_old(x, found && o.get, &old);
        return st;
    }
    if (o.ttl.option == FIRN_TTL_KEEP && found)
        expiry_ms = old.expiry_ms;
    st = put_until(x, x->argv[1], x->argv[2], expiry_ms,
                   has_expiry ? FIRN_EVENT_SET_EXPIRE : FIRN_EVENT_SET);
    if (st != FIRN_OK)
        return st;
    if (o.get)
        reply_old(x, found, &old);
    else
        firn_reply_ok(x->out);
    return FIRN_OK;
}

/* What SET does with its key depends on its options: GET reads it. */
size_t firn_engine__keys_set(size_t argc, const struct firn_slice *argv, struct firn_key_ref *out,
                             size_t max)
{
    unsigned flags = FIRN_KEY_OW | FIRN_KEY_UPDATE;
    for (size_t i = 3; i < argc; i++)
        if (firn_slice_ieq(argv[i], "get"))
            flags = FIRN_KEY_RW | FIRN_KEY_ACCESS | FIRN_KEY_UPDATE;
    if (max)
        out[0] = (struct firn_key_ref){1, flags};
    return 1;
}

enum firn_status firn_engine__cmd_set(struct firn_eval *x)
{
    if (x->argc > 3)
        return set_with_options(x);
    enum firn_status st = firn_engine__put(x, x->argv[1], x->argv[2], 0, FIRN_EVENT_SET);
    if (st == FIRN_OK)
        firn_reply_ok(x->out);
    return st;
}

enum firn_status firn_engine__cmd_setnx(struct firn_eval *x)
{
    struct firn_entry old;
    enum firn_status st = firn_engine__get(x, x->argv[1], &old);
    if (st == FIRN_OK)
        return firn_engine__noop_i64(x, 0);
    if (st != FIRN_ABSENT)
        return st;
    st = firn_engine__put(x, x->argv[1], x->argv[2], 0, FIRN_EVENT_SET);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, 1);
    return st;
}

static enum firn_status set_for(struct firn_eval *x, enum firn_ttl_option option)
{
    uint64_t expiry_ms;
    enum firn_status st = firn_engine__ttl_ms(x, option, 2, &expiry_ms);
    if (st == FIRN_OK)
        st = put_until(x, x->argv[1], x->argv[3], expiry_ms, FIRN_EVENT_SET_EXPIRE);
    if (st == FIRN_OK)
        firn_reply_ok(x->out);
    return st;
}

enum firn_status firn_engine__cmd_setex(struct firn_eval *x)
{
    return set_for(x, FIRN_TTL_EX);
}

enum firn_status firn_engine__cmd_psetex(struct firn_eval *x)
{
    return set_for(x, FIRN_TTL_PX);
}

/* ---- read and write at once */

enum firn_status firn_engine__cmd_getset(struct firn_eval *x)
{
    struct firn_entry old;
    enum firn_status st = firn_engine__get(x, x->argv[1], &old);
    if (st != FIRN_OK && st != FIRN_ABSENT)
        return st;
    bool found = st == FIRN_OK;
    st = firn_engine__put(x, x->argv[1], x->argv[2], 0, FIRN_EVENT_SET);
    if (st == FIRN_OK)
        reply_old(x, found, &old);
    return st;
}

enum firn_status firn_engine__cmd_getdel(struct firn_eval *x)
{
    struct firn_entry old;
    enum firn_status st = firn_engine__get(x, x->argv[1], &old);
    if (st == FIRN_ABSENT)
        return firn_engine__noop_null(x);
    if (st == FIRN_OK)
        st = firn_engine__del(x, x->argv[1], FIRN_EVENT_DEL);
    if (st == FIRN_OK)
        firn_reply_bulk(x->out, old.value);
    return st;
}

/* Change nothing but the time to live of a value just read. */
static enum firn_status retime(struct firn_eval *x, const struct firn_entry *v, struct firn_ttl ttl)
{
    if (ttl.option == FIRN_TTL_PERSIST)
        return v->expiry_ms ? firn_engine__put(x, x->argv[1], v->value, 0, FIRN_EVENT_PERSIST)
                            : firn_engine__noop(x);
    uint64_t expiry_ms;
    enum firn_status st = firn_engine__ttl_ms(x, ttl.option, ttl.arg, &expiry_ms);
    if (st == FIRN_OK)
        return put_until(x, x->argv[1], v->value, expiry_ms, FIRN_EVENT_EXPIRE);
    enum firn_status none =
        firn_engine__noop(x); /* that there is a key to complain of is data, too */
    return none == FIRN_OK ? st : none;
}

enum firn_status firn_engine__cmd_getex(struct firn_eval *x)
{
    struct firn_ttl ttl = {0};
    for (size_t i = 2; i < x->argc; i++)
        if (!firn_engine__ttl_option(x, &i, false, true, &ttl))
            return firn_engine__syntax_error(x);
    struct firn_entry v;
    enum firn_status st = firn_engine__get(x, x->argv[1], &v);
    if (st == FIRN_ABSENT)
        return firn_engine__noop_null(x);
    if (st == FIRN_OK)
        st = ttl.option == FIRN_TTL_NONE ? firn_engine__noop(x) : retime(x, &v, ttl);
    if (st == FIRN_OK)
        firn_reply_bulk(x->out, v.value);
    return st;
}
