/* Several keys in one command: MGET, MSET, MSETNX, MSETEX. */
#include "engine/cmd_priv.h"
#include "engine/expire_priv.h"

enum firn_status firn_engine__cmd_mget(struct firn_eval *x)
{
    enum firn_status worst = FIRN_OK;
    firn_reply_array(x->out, x->argc - 1);
    for (size_t i = 1; i < x->argc; i++) {
        struct firn_entry v;
        enum firn_status st = firn_engine__get(x, x->argv[i], &v);
        if (st == FIRN_AGAIN)
            worst = st; /* go on: all misses are fetched at once */
        else if (st != FIRN_OK && st != FIRN_ABSENT)
            return st;
        if (worst != FIRN_OK)
            continue;
        firn_engine__count_lookup(x, st);
        if (st == FIRN_OK)
            firn_reply_bulk(x->out, v.value);
        else
            firn_reply_null(x->out);
    }
    return worst;
}

static enum firn_status add_pairs(struct firn_eval *x, size_t first, size_t n, uint64_t expiry_ms,
                                  enum firn_event event)
{
    for (size_t i = 0; i < n; i++) {
        struct firn_slice key = x->argv[first + 2 * i];
        enum firn_status st =
            firn_engine__group_put(x, key, x->argv[first + 2 * i + 1], expiry_ms, event);
        if (st != FIRN_OK)
            return st;
    }
    return FIRN_OK;
}

static enum firn_status bad_arity(struct firn_eval *x)
{
    firn_reply_error(x->out, "ERR wrong number of arguments for '%s' command", x->cmd->name);
    return FIRN_INVALID;
}

enum firn_status firn_engine__cmd_mset(struct firn_eval *x)
{
    if (x->argc % 2 == 0)
        return bad_arity(x);
    enum firn_status st = add_pairs(x, 1, x->argc / 2, 0, FIRN_EVENT_SET);
    if (st == FIRN_OK)
        st = firn_engine__commit(x);
    if (st == FIRN_OK)
        firn_reply_ok(x->out);
    return st;
}

/* How many of n keys (argv[first], every second) exist; all are resident. */
static enum firn_status count_existing(struct firn_eval *x, size_t first, size_t n,
                                       size_t *existing)
{
    *existing = 0;
    enum firn_status st = firn_engine__gather(x, first, 2, n);
    for (size_t i = 0; i < n && st == FIRN_OK; i++) {
        struct firn_entry v;
        st = firn_engine__get(x, x->argv[first + 2 * i], &v);
        *existing += st == FIRN_OK;
        if (st == FIRN_ABSENT)
            st = FIRN_OK;
    }
    return st;
}

enum firn_status firn_engine__cmd_msetnx(struct firn_eval *x)
{
    if (x->argc % 2 == 0)
        return bad_arity(x);
    size_t existing;
    enum firn_status st = count_existing(x, 1, x->argc / 2, &existing);
    if (st != FIRN_OK)
        return st;
    if (existing)
        return firn_engine__noop_i64(x, 0);
    st = add_pairs(x, 1, x->argc / 2, 0, FIRN_EVENT_SET);
    if (st == FIRN_OK)
        st = firn_engine__commit(x);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, 1);
    return st;
}

/* ---- MSETEX numkeys key value … [NX|XX] [EX s|PX ms|EXAT t|PXAT t|KEEPTTL] */

size_t firn_engine__keys_msetex(size_t argc, const struct firn_slice *argv,
                                struct firn_key_ref *out, size_t max)
{
    int64_t n;
    if (!firn_parse_i64(argv[1], &n) || n < 1 || (uint64_t)n > (argc - 2) / 2)
        return FIRN_KEYS_INVALID;
    for (size_t i = 0; i < (size_t)n && i < max; i++)
        out[i] = (struct firn_key_ref){2 + 2 * i, FIRN_KEY_OW | FIRN_KEY_UPDATE};
    return (size_t)n;
}

struct msetex {
    size_t n;
    bool nx, xx;
    struct firn_ttl ttl;
};

static enum firn_status parse_msetex(struct firn_eval *x, struct msetex *m)
{
    int64_t n;
    *m = (struct msetex){0};
    if (!firn_parse_i64(x->argv[1], &n) || n < 1) {
        firn_reply_error(x->out, "ERR invalid numkeys value");
        return FIRN_INVALID;
    }
    if ((uint64_t)n > (x->argc - 2) / 2) {
        firn_reply_error(x->out, "ERR wrong number of key-value pairs");
        return FIRN_INVALID;
    }
    m->n = (size_t)n;
    for (size_t i = 2 + 2 * m->n; i < x->argc; i++) {
        if (firn_engine__arg_is(x, i, "nx") && !m->xx)
            m->nx = true;
        else if (firn_engine__arg_is(x, i, "xx") && !m->nx)
            m->xx = true;
        else if (!firn_engine__ttl_option(x, &i, true, false, &m->ttl))
            return firn_engine__syntax_error(x);
    }
    return FIRN_OK;
}

/* Every pair keeps the time to live that its key has. */
static enum firn_status add_keeping(struct firn_eval *x, size_t n)
{
    enum firn_status st = firn_engine__gather(x, 2, 2, n);
    for (size_t i = 0; i < n && st == FIRN_OK; i++) {
        struct firn_entry old;
        st = firn_engine__get(x, x->argv[2 + 2 * i], &old);
        if (st == FIRN_OK || st == FIRN_ABSENT)
            st = add_pairs(x, 2 + 2 * i, 1, st == FIRN_OK ? old.expiry_ms : 0, FIRN_EVENT_SET);
    }
    return st;
}

static enum firn_status add_msetex(struct firn_eval *x, const struct msetex *m)
{
    if (m->ttl.option == FIRN_TTL_KEEP)
        return add_keeping(x, m->n);
    if (m->ttl.option == FIRN_TTL_NONE)
        return add_pairs(x, 2, m->n, 0, FIRN_EVENT_SET);
    uint64_t expiry_ms;
    enum firn_status st = firn_engine__ttl_ms(x, m->ttl.option, m->ttl.arg, &expiry_ms);
    if (st != FIRN_OK)
        return st;
    if (expiry_ms > firn_engine__now(x))
        return add_pairs(x, 2, m->n, expiry_ms, FIRN_EVENT_SET_EXPIRE);
    for (size_t i = 0; i < m->n && st == FIRN_OK; i++)
        st = firn_engine__group_del(x, x->argv[2 + 2 * i], FIRN_EVENT_DEL);
    return st;
}

enum firn_status firn_engine__cmd_msetex(struct firn_eval *x)
{
    struct msetex m;
    enum firn_status st = parse_msetex(x, &m);
    if (st != FIRN_OK)
        return st;
    if (m.nx || m.xx) {
        size_t existing;
        st = count_existing(x, 2, m.n, &existing);
        if (st != FIRN_OK)
            return st;
        if (m.nx ? existing > 0 : existing < m.n)
            return firn_engine__noop_i64(x, 0);
    }
    st = add_msetex(x, &m);
    if (st == FIRN_OK)
        st = firn_engine__commit(x);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, 1);
    return st;
}
