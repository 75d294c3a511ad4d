/* INCR and its kin. */
#include "engine/cmd_priv.h"
#include "engine/text_priv.h"

#include <math.h>

#define NOT_AN_INTEGER "ERR value is not an integer or out of range"

static enum firn_status add(struct firn_eval *x, int64_t delta)
{
    struct firn_entry old = {0};
    enum firn_status st = firn_engine__get(x, x->argv[1], &old);
    if (st != FIRN_OK && st != FIRN_ABSENT)
        return st;
    int64_t v = 0;
    if (st == FIRN_OK && !firn_parse_i64(old.value, &v))
        return firn_engine__data_error(x, NOT_AN_INTEGER);
    if (__builtin_add_overflow(v, delta, &v))
        return firn_engine__data_error(x, "ERR increment or decrement would overflow");
    char text[21];
    size_t len = firn_format_i64(text, v);
    uint64_t expiry_ms = st == FIRN_OK ? old.expiry_ms : 0;
    st = firn_engine__put(x, x->argv[1], firn_slice_of(text, len), expiry_ms, FIRN_EVENT_INCRBY);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, v);
    return st;
}

enum firn_status firn_engine__cmd_incr(struct firn_eval *x)
{
    return add(x, 1);
}

enum firn_status firn_engine__cmd_decr(struct firn_eval *x)
{
    return add(x, -1);
}

enum firn_status firn_engine__cmd_incrby(struct firn_eval *x)
{
    int64_t delta;
    enum firn_status st = firn_engine__arg_i64(x, 2, &delta);
    return st == FIRN_OK ? add(x, delta) : st;
}

enum firn_status firn_engine__cmd_decrby(struct firn_eval *x)
{
    int64_t delta;
    enum firn_status st = firn_engine__arg_i64(x, 2, &delta);
    if (st != FIRN_OK)
        return st;
    if (delta == INT64_MIN) {
        firn_reply_error(x->out, "ERR decrement would overflow");
        return FIRN_INVALID;
    }
    return add(x, -delta);
}

enum firn_status firn_engine__cmd_incrbyfloat(struct firn_eval *x)
{
    struct firn_entry old = {0};
    enum firn_status st = firn_engine__get(x, x->argv[1], &old);
    if (st != FIRN_OK && st != FIRN_ABSENT)
        return st;
    uint64_t expiry_ms = st == FIRN_OK ? old.expiry_ms : 0;
    long double v = 0, delta;
    if ((st == FIRN_OK && !firn_engine__parse_ld(old.value, &v)) ||
        !firn_engine__parse_ld(x->argv[2], &delta))
        return firn_engine__data_error(x, "ERR value is not a valid float");
    v += delta;
    if (isnan(v) || isinf(v))
        return firn_engine__data_error(x, "ERR increment would produce NaN or Infinity");
    char text[FIRN_ENGINE_LD_MAX];
    struct firn_slice value = firn_slice_of(text, firn_engine__format_ld(v, text));
    st = firn_engine__put(x, x->argv[1], value, expiry_ms, FIRN_EVENT_INCRBYFLOAT);
    if (st == FIRN_OK)
        firn_reply_bulk(x->out, value);
    return st;
}
