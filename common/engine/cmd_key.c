/* Keys as such: DEL, EXISTS, TYPE, RENAME, COPY, OBJECT. */
#include "engine/cmd_priv.h"

/* Add a DEL to the group for each of the keys argv[1…] that exists; *n counts them. A key named
 * twice is deleted once: the second look finds the first's record in the group. */
enum firn_status firn_engine__cmd_del(struct firn_eval *x)
{
    enum firn_status st = firn_engine__gather(x, 1, 1, x->argc - 1);
    int64_t n = 0;
    for (size_t i = 1; i < x->argc && st == FIRN_OK; i++) {
        struct firn_entry v;
        st = firn_engine__get(x, x->argv[i], &v);
        if (st == FIRN_OK) {
            st = firn_engine__group_del(x, x->argv[i], FIRN_EVENT_DEL);
            n++;
        } else if (st == FIRN_ABSENT) {
            st = FIRN_OK;
        }
    }
    if (st != FIRN_OK)
        return st;
    if (n == 0)
        return firn_engine__noop_i64(x, 0);
    st = firn_engine__commit(x);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, n);
    return st;
}

enum firn_status firn_engine__cmd_exists(struct firn_eval *x)
{
    enum firn_status st = firn_engine__gather(x, 1, 1, x->argc - 1);
    int64_t n = 0;
    for (size_t i = 1; i < x->argc && st == FIRN_OK; i++) {
        struct firn_entry v;
        st = firn_engine__get(x, x->argv[i], &v);
        firn_engine__count_lookup(x, st);
        n += st == FIRN_OK;
        if (st == FIRN_ABSENT)
            st = FIRN_OK;
    }
    if (st == FIRN_OK)
        firn_reply_i64(x->out, n);
    return st;
}

enum firn_status firn_engine__cmd_type(struct firn_eval *x)
{
    struct firn_entry v;
    enum firn_status st = firn_engine__get(x, x->argv[1], &v);
    firn_engine__count_lookup(x, st);
    if (st != FIRN_OK && st != FIRN_ABSENT)
        return st;
    firn_reply_simple(x->out, st == FIRN_OK ? "string" : "none");
    return FIRN_OK;
}

/* ---- RENAME */

/* argv[1] becomes argv[2]; only_new: not if that exists. *renamed says whether it did. */
static enum firn_status rename_key(struct firn_eval *x, bool only_new, bool *renamed)
{
    struct firn_entry v, there;
    enum firn_status st = firn_engine__gather(x, 1, 1, 2);
    if (st == FIRN_OK)
        st = firn_engine__get(x, x->argv[1], &v);
    if (st == FIRN_ABSENT)
        return firn_engine__data_error(x, "ERR no such key");
    if (st != FIRN_OK)
        return st;
    *renamed = false;
    if (firn_slice_eq(x->argv[1], x->argv[2]))
        return firn_engine__noop(x);
    if (only_new) {
        st = firn_engine__get(x, x->argv[2], &there);
        if (st == FIRN_OK)
            return firn_engine__noop(x);
        if (st != FIRN_ABSENT)
            return st;
    }
    st = firn_engine__group_del(x, x->argv[1], FIRN_EVENT_RENAME_FROM);
    if (st == FIRN_OK)
        st = firn_engine__group_put(x, x->argv[2], v.value, v.expiry_ms, FIRN_EVENT_RENAME_TO);
    if (st == FIRN_OK)
        st = firn_engine__commit(x);
    *renamed = st == FIRN_OK;
    return st;
}

enum firn_status firn_engine__cmd_rename(struct firn_eval *x)
{
    bool renamed;
    enum firn_status st = rename_key(x, false, &renamed);
    if (st == FIRN_OK)
        firn_reply_ok(x->out);
    return st;
}

enum firn_status firn_engine__cmd_renamenx(struct firn_eval *x)
{
    bool renamed;
    enum firn_status st = rename_key(x, true, &renamed);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, renamed);
    return st;
}

/* ---- COPY source destination [DB n] [REPLACE] */

static enum firn_status parse_copy(struct firn_eval *x, uint8_t *to_ns, bool *replace)
{
    *to_ns = x->ns;
    *replace = false;
    for (size_t i = 3; i < x->argc; i++) {
        int64_t n;
        if (firn_engine__arg_is(x, i, "replace")) {
            *replace = true;
        } else if (firn_engine__arg_is(x, i, "db") && i + 1 < x->argc) {
            enum firn_status st = firn_engine__arg_i64(x, ++i, &n);
            if (st != FIRN_OK)
                return st;
            if (n < 0 || n >= FIRN_DATABASES) {
                firn_reply_error(x->out, "ERR DB index is out of range");
                return FIRN_INVALID;
            }
            *to_ns = (uint8_t)(FIRN_NS_DB0 + n);
        } else {
            return firn_engine__syntax_error(x);
        }
    }
    if (*to_ns == x->ns && firn_slice_eq(x->argv[1], x->argv[2])) {
        firn_reply_error(x->out, "ERR source and destination objects are the same");
        return FIRN_INVALID;
    }
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_copy(struct firn_eval *x)
{
    uint8_t to_ns;
    bool replace;
    struct firn_entry v, there;
    enum firn_status st = parse_copy(x, &to_ns, &replace);
    if (st == FIRN_OK)
        st = firn_engine__get(x, x->argv[1], &v);
    if (st == FIRN_ABSENT)
        return firn_engine__noop_i64(x, 0);
    if (st != FIRN_OK)
        return st;
    x->ns = to_ns;
    if (!replace) {
        st = firn_engine__get(x, x->argv[2], &there);
        if (st == FIRN_OK)
            return firn_engine__noop_i64(x, 0);
        if (st != FIRN_ABSENT)
            return st;
    }
    st = firn_engine__put(x, x->argv[2], v.value, v.expiry_ms, FIRN_EVENT_COPY_TO);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, 1);
    return st;
}

/* ---- OBJECT */

const char *firn_engine__encoding(struct firn_slice v)
{
    int64_t n;
    if (firn_parse_i64(v, &n))
        return "int";
    return v.len <= 44 ? "embstr" : "raw";
}

/* The value of argv[2]; ABSENT: null was answered. */
static enum firn_status inspect(struct firn_eval *x, struct firn_entry *v)
{
    enum firn_status st = firn_engine__get(x, x->argv[2], v);
    if (st == FIRN_ABSENT)
        firn_reply_null(x->out);
    return st;
}

enum firn_status firn_engine__cmd_object_encoding(struct firn_eval *x)
{
    struct firn_entry v;
    enum firn_status st = inspect(x, &v);
    if (st == FIRN_OK)
        firn_reply_str(x->out, firn_engine__encoding(v.value));
    return st == FIRN_ABSENT ? FIRN_OK : st;
}

static enum firn_status object_i64(struct firn_eval *x, int64_t n)
{
    struct firn_entry v;
    enum firn_status st = inspect(x, &v);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, n);
    return st == FIRN_ABSENT ? FIRN_OK : st;
}

enum firn_status firn_engine__cmd_object_refcount(struct firn_eval *x)
{
    return object_i64(x, 1);
}

enum firn_status firn_engine__cmd_object_idletime(struct firn_eval *x)
{
    return object_i64(x, 0); /* nothing is evicted, so nothing notes when a key was used */
}

enum firn_status firn_engine__cmd_object_freq(struct firn_eval *x)
{
    struct firn_entry v;
    enum firn_status st = inspect(x, &v);
    if (st == FIRN_OK)
        firn_reply_error(
            x->out, "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
                    "Please note that when switching between policies at runtime LRU and LFU "
                    "data will take some time to adjust.");
    return st == FIRN_ABSENT ? FIRN_OK : st;
}
