/* INCREX key [BYINT n|BYFLOAT n] [LBOUND n] [UBOUND n] [SATURATE] [NX|XX]
 *   [EX s|PX ms|EXAT t|PXAT t|PERSIST] [ENX]: a counter with bounds and a time to live, as Redis
 * 8.8 has it; NX and XX are Valkey 9.2's. Answers [value, what was added to it]; an increment that
 * would leave the bounds adds nothing, or with SATURATE what leads to the bound. */
#include "engine/cmd_priv.h"
#include "engine/condition_priv.h"
#include "engine/expire_priv.h"
#include "engine/text_priv.h"

#include <float.h>
#include <math.h>

/* An integer, or in float mode a floating-point number. */
union number {
    int64_t i;
    long double f;
};

struct increx {
    bool is_float, saturate, enx;
    enum firn_condition condition; /* NX, XX */
    size_t by_arg, lower_arg, upper_arg;
    struct firn_ttl ttl;
    union number by, lower, upper;
    uint64_t expiry_ms; /* of EX … PXAT */
};

/* Take the word of an option that may be given once, and its argument's index. */
static bool take_arg(const struct firn_eval *x, size_t *i, const char *word, size_t *arg)
{
    if (!firn_engine__arg_is(x, *i, word) || *arg || *i + 1 >= x->argc)
        return false;
    *arg = ++*i;
    return true;
}

static bool take_flag(const struct firn_eval *x, size_t i, const char *word, bool *flag)
{
    if (!firn_engine__arg_is(x, i, word) || *flag)
        return false;
    *flag = true;
    return true;
}

static bool take_option(const struct firn_eval *x, size_t *i, struct increx *o)
{
    if (take_arg(x, i, "lbound", &o->lower_arg) || take_arg(x, i, "ubound", &o->upper_arg) ||
        take_arg(x, i, "byint", &o->by_arg) || take_flag(x, *i, "saturate", &o->saturate) ||
        take_flag(x, *i, "enx", &o->enx))
        return true;
    if (take_arg(x, i, "byfloat", &o->by_arg)) {
        o->is_float = true;
        return true;
    }
    enum firn_condition c = firn_engine__condition_of(x, *i);
    if (c == FIRN_IF_NX || c == FIRN_IF_XX) {
        bool first = o->condition == FIRN_IF_ALWAYS || o->condition == c;
        o->condition = c;
        return first;
    }
    return o->ttl.option == FIRN_TTL_NONE && firn_engine__ttl_option(x, i, false, true, &o->ttl);
}

/* argv[arg] as a number of the mode; `what` begins the error. */
static enum firn_status parse_number(struct firn_eval *x, const struct increx *o, size_t arg,
                                     const char *what, union number *out)
{
    if (o->is_float ? firn_engine__parse_ld(x->argv[arg], &out->f)
                    : firn_parse_i64(x->argv[arg], &out->i))
        return FIRN_OK;
    firn_reply_error(x->out, "ERR %s is not %s", what,
                     o->is_float ? "a valid float" : "an integer or out of range");
    return FIRN_INVALID;
}

static bool bounds_are_crossed(const struct increx *o)
{
    return o->is_float ? o->lower.f > o->upper.f : o->lower.i > o->upper.i;
}

static enum firn_status parse_numbers(struct firn_eval *x, struct increx *o)
{
    enum firn_status st = FIRN_OK;
    o->by.i = 1;
    o->lower.i = INT64_MIN;
    o->upper.i = INT64_MAX;
    if (o->is_float) {
        o->lower.f = -LDBL_MAX;
        o->upper.f = LDBL_MAX;
    }
    if (o->by_arg)
        st = parse_number(x, o, o->by_arg, "Increment", &o->by);
    if (st == FIRN_OK && o->is_float && isinf(o->by.f)) {
        firn_reply_error(x->out, "ERR BYFLOAT increment cannot be Infinity");
        return FIRN_INVALID;
    }
    if (st == FIRN_OK && o->lower_arg)
        st = parse_number(x, o, o->lower_arg, "LBOUND", &o->lower);
    if (st == FIRN_OK && o->upper_arg)
        st = parse_number(x, o, o->upper_arg, "UBOUND", &o->upper);
    if (st == FIRN_OK && bounds_are_crossed(o)) {
        firn_reply_error(x->out, "ERR LBOUND can't be greater than UBOUND");
        return FIRN_INVALID;
    }
    return st;
}

static enum firn_status parse(struct firn_eval *x, struct increx *o)
{
    *o = (struct increx){0};
    for (size_t i = 2; i < x->argc; i++)
        if (!take_option(x, &i, o))
            return firn_engine__syntax_error(x);
    bool has_time = o->ttl.option != FIRN_TTL_NONE && o->ttl.option != FIRN_TTL_PERSIST;
    if (o->enx && o->ttl.option == FIRN_TTL_PERSIST)
        return firn_engine__syntax_error(x);
    if (o->enx && !has_time) {
        firn_reply_error(x->out, "ERR ENX flag requires an expiration");
        return FIRN_INVALID;
    }
    enum firn_status st = parse_numbers(x, o);
    if (st == FIRN_OK && has_time)
        st = firn_engine__ttl_ms(x, o->ttl.option, o->ttl.arg, &o->expiry_ms);
    return st;
}

/* ---- adding */

/* What is to become of a counter. */
struct sum {
    union number value, added;
    bool declined;     /* out of bounds: nothing is added */
    const char *error; /* or NULL */
};

static struct sum add_i64(const struct increx *o, int64_t old)
{
    struct sum s = {.value.i = old, .added.i = 0};
    int64_t v;
    bool overflow = __builtin_add_overflow(old, o->by.i, &v);
    bool above = overflow ? o->by.i > 0 : v > o->upper.i;
    bool below = overflow ? o->by.i < 0 : v < o->lower.i;
    if ((above || below) && !o->saturate) {
        s.declined = true;
        return s;
    }
    s.value.i = above ? o->upper.i : below ? o->lower.i : v;
    if (__builtin_sub_overflow(s.value.i, old, &s.added.i))
        s.error = "ERR applied increment would overflow";
    return s;
}

static struct sum add_float(const struct increx *o, long double old)
{
    struct sum s = {.value.f = old, .added.f = 0};
    long double v = old + o->by.f; /* both finite: infinite at worst, never NaN */
    bool above = v > o->upper.f || (isinf(v) && v > 0);
    bool below = !above && (v < o->lower.f || isinf(v));
    if ((above || below) && !o->saturate) {
        s.declined = true;
        return s;
    }
    if (above)
        v = isinf(o->upper.f) && o->upper.f > 0 ? LDBL_MAX : o->upper.f;
    else if (below)
        v = isinf(o->lower.f) && o->lower.f < 0 ? -LDBL_MAX : o->lower.f;
    s.value.f = v;
    s.added.f = v - old; /* what the value really moved by, rounding included */
    if (isinf(s.added.f))
        s.error = "ERR applied increment would be Infinity";
    return s;
}

/* The value of the key as a number of the mode, 0 when there is none. */
static enum firn_status old_number(struct firn_eval *x, const struct increx *o,
                                   const struct firn_slice *value, union number *out)
{
    *out = (union number){.i = 0};
    if (o->is_float)
        out->f = 0;
    if (!value)
        return FIRN_OK;
    if (!o->is_float && !firn_parse_i64(*value, &out->i))
        return firn_engine__data_error(x, "ERR value is not an integer or out of range");
    if (o->is_float && !firn_engine__parse_ld(*value, &out->f))
        return firn_engine__data_error(x, "ERR value is not a valid float");
    if (o->is_float && isinf(out->f))
        return firn_engine__data_error(x, "ERR value cannot be Infinity");
    return FIRN_OK;
}

/* ---- writing */

static void reply_float(struct firn_eval *x, long double v)
{
    char text[FIRN_ENGINE_LD_MAX];
    firn_reply_double_text(x->out, firn_slice_of(text, firn_engine__format_ld(v, text)));
}

static void reply_sum(struct firn_eval *x, const struct increx *o, const struct sum *s)
{
    firn_reply_array(x->out, 2);
    if (o->is_float) {
        reply_float(x, s->value.f);
        reply_float(x, s->added.f);
    } else {
        firn_reply_i64(x->out, s->value.i);
        firn_reply_i64(x->out, s->added.i);
    }
}

/* Put the new value, with the time to live that the options leave it. */
static enum firn_status write_sum(struct firn_eval *x, const struct increx *o, const struct sum *s,
                                  const struct firn_entry *old)
{
    uint64_t expiry_ms = old ? old->expiry_ms : 0;
    enum firn_event event = o->is_float ? FIRN_EVENT_INCRBYFLOAT : FIRN_EVENT_INCRBY;
    if (o->ttl.option == FIRN_TTL_PERSIST && expiry_ms) {
        expiry_ms = 0;
        event = o->is_float ? FIRN_EVENT_INCRBYFLOAT_PERSIST : FIRN_EVENT_INCRBY_PERSIST;
    } else if (o->expiry_ms && !(o->enx && expiry_ms)) {
        expiry_ms = o->expiry_ms;
        event = o->is_float ? FIRN_EVENT_INCRBYFLOAT_EXPIRE : FIRN_EVENT_INCRBY_EXPIRE;
        if (expiry_ms <= firn_engine__now(x))
            return old ? firn_engine__del(x, x->argv[1], FIRN_EVENT_DEL) : firn_engine__noop(x);
    }
    char text[FIRN_ENGINE_LD_MAX];
    size_t len =
        o->is_float ? firn_engine__format_ld(s->value.f, text) : firn_format_i64(text, s->value.i);
    return firn_engine__put(x, x->argv[1], firn_slice_of(text, len), expiry_ms, event);
}

enum firn_status firn_engine__cmd_increx(struct firn_eval *x)
{
    struct increx o;
    struct firn_entry old;
    union number n;
    enum firn_status st = parse(x, &o);
    if (st == FIRN_OK)
        st = firn_engine__get(x, x->argv[1], &old);
    if (st != FIRN_OK && st != FIRN_ABSENT)
        return st;
    bool found = st == FIRN_OK;
    st = old_number(x, &o, found ? &old.value : NULL, &n);
    if (st != FIRN_OK)
        return st;
    struct sum s = o.is_float ? add_float(&o, n.f) : add_i64(&o, n.i);
    if ((o.condition == FIRN_IF_NX && found) || (o.condition == FIRN_IF_XX && !found)) {
        s = (struct sum){.declined = true, .value = n};
        if (o.is_float)
            s.added.f = 0;
    }
    if (s.error)
        return firn_engine__data_error(x, s.error);
    st = s.declined ? firn_engine__noop(x) : write_sum(x, &o, &s, found ? &old : NULL);
    if (st == FIRN_OK)
        reply_sum(x, &o, &s);
    return st;
}
