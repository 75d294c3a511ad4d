/* Times to live: the options of SET and GETEX, EXPIRE and its kin, TTL and its kin, PERSIST. Times
 * are absolute ms in records and entries; rounding and error texts are Redis's (expire.c,
 * t_string.c of 7.0). */
#include "engine/cmd_priv.h"
#include "engine/expire_priv.h"

/* ---- as options */

static enum firn_ttl_option ttl_word(const struct firn_eval *x, size_t i)
{
    static const struct {
        const char *word;
        enum firn_ttl_option option;
    } known[] = {
        {"ex", FIRN_TTL_EX},     {"px", FIRN_TTL_PX},        {"exat", FIRN_TTL_EXAT},
        {"pxat", FIRN_TTL_PXAT}, {"keepttl", FIRN_TTL_KEEP}, {"persist", FIRN_TTL_PERSIST},
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (firn_engine__arg_is(x, i, known[k].word))
            return known[k].option;
    return FIRN_TTL_NONE;
}

bool firn_engine__ttl_option(const struct firn_eval *x, size_t *i, bool keep, bool persist,
                             struct firn_ttl *t)
{
    enum firn_ttl_option o = ttl_word(x, *i);
    if (o == FIRN_TTL_NONE || (t->option != FIRN_TTL_NONE && t->option != o))
        return false;
    if ((o == FIRN_TTL_KEEP && !keep) || (o == FIRN_TTL_PERSIST && !persist))
        return false;
    bool has_number = o != FIRN_TTL_KEEP && o != FIRN_TTL_PERSIST;
    if (has_number && *i + 1 >= x->argc)
        return false;
    t->option = o;
    if (has_number)
        t->arg = ++*i;
    return true;
}

enum firn_status firn_engine__ttl_error(struct firn_eval *x)
{
    firn_reply_error(x->out, "ERR invalid expire time in '%s' command", x->cmd->name);
    return FIRN_INVALID;
}

enum firn_status firn_engine__ttl_ms(struct firn_eval *x, enum firn_ttl_option option, size_t arg,
                                     uint64_t *out)
{
    int64_t v;
    enum firn_status st = firn_engine__arg_i64(x, arg, &v);
    if (st != FIRN_OK)
        return st;
    bool seconds = option == FIRN_TTL_EX || option == FIRN_TTL_EXAT;
    bool relative = option == FIRN_TTL_EX || option == FIRN_TTL_PX;
    if (v <= 0 || (seconds && v > INT64_MAX / 1000))
        return firn_engine__ttl_error(x);
    if (seconds)
        v *= 1000;
    if (relative && __builtin_add_overflow(v, (int64_t)firn_engine__now(x), &v))
        return firn_engine__ttl_error(x);
    *out = (uint64_t)v;
    return FIRN_OK;
}

/* ---- EXPIRE */

enum { COND_NX = 1, COND_XX = 2, COND_GT = 4, COND_LT = 8 };

static enum firn_status parse_conditions(struct firn_eval *x, unsigned *flags)
{
    *flags = 0;
    for (size_t i = 3; i < x->argc; i++) {
        unsigned f = firn_engine__arg_is(x, i, "nx")   ? COND_NX
                     : firn_engine__arg_is(x, i, "xx") ? COND_XX
                     : firn_engine__arg_is(x, i, "gt") ? COND_GT
                     : firn_engine__arg_is(x, i, "lt") ? COND_LT
                                                       : 0;
        if (!f) {
            int len =
                x->argv[i].len > 1024 ? 1024 : (int)x->argv[i].len; /* as long as errors are */
            firn_reply_error(x->out, "ERR Unsupported option %.*s", len,
                             (const char *)x->argv[i].data);
            return FIRN_INVALID;
        }
        *flags |= f;
    }
    if ((*flags & COND_NX) && (*flags & (COND_XX | COND_GT | COND_LT))) {
        firn_reply_error(x->out,
                         "ERR NX and XX, GT or LT options at the same time are not compatible");
        return FIRN_INVALID;
    }
    if ((*flags & COND_GT) && (*flags & COND_LT)) {
        firn_reply_error(x->out, "ERR GT and LT options at the same time are not compatible");
        return FIRN_INVALID;
    }
    return FIRN_OK;
}

/* The absolute time meant, which may lie in the past, or before 1970. */
static enum firn_status parse_when(struct firn_eval *x, bool seconds, bool relative, int64_t *when)
{
    enum firn_status st = firn_engine__arg_i64(x, 2, when);
    if (st != FIRN_OK)
        return st;
    if (seconds && (*when > INT64_MAX / 1000 || *when < INT64_MIN / 1000))
        return firn_engine__ttl_error(x);
    if (seconds)
        *when *= 1000;
    if (relative && __builtin_add_overflow(*when, (int64_t)firn_engine__now(x), when))
        return firn_engine__ttl_error(x);
    return FIRN_OK;
}

static bool conditions_hold(unsigned flags, uint64_t current_ms, int64_t when)
{
    bool has = current_ms != 0;
    int64_t current = (int64_t)current_ms;
    if ((flags & COND_NX) && has)
        return false;
    if ((flags & COND_XX) && !has)
        return false;
    if ((flags & COND_GT) && (!has || when <= current))
        return false;
    return !((flags & COND_LT) && has && when >= current);
}

static enum firn_status expire(struct firn_eval *x, bool seconds, bool relative)
{
    unsigned flags;
    int64_t when;
    struct firn_entry v;
    enum firn_status st = parse_conditions(x, &flags);
    if (st == FIRN_OK)
        st = parse_when(x, seconds, relative, &when);
    if (st == FIRN_OK)
        st = firn_engine__get(x, x->argv[1], &v);
    if (st == FIRN_ABSENT || (st == FIRN_OK && !conditions_hold(flags, v.expiry_ms, when))) {
        x->unmet = flags != 0;
        return firn_engine__noop_i64(x, 0);
    }
    if (st != FIRN_OK)
        return st;
    if (when <= (int64_t)firn_engine__now(x))
        st = firn_engine__del(x, x->argv[1], FIRN_EVENT_DEL);
    else
        st = firn_engine__put(x, x->argv[1], v.value, (uint64_t)when, FIRN_EVENT_EXPIRE);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, 1);
    return st;
}

enum firn_status firn_engine__cmd_expire(struct firn_eval *x)
{
    return expire(x, true, true);
}

enum firn_status firn_engine__cmd_pexpire(struct firn_eval *x)
{
    return expire(x, false, true);
}

enum firn_status firn_engine__cmd_expireat(struct firn_eval *x)
{
    return expire(x, true, false);
}

enum firn_status firn_engine__cmd_pexpireat(struct firn_eval *x)
{
    return expire(x, false, false);
}

enum firn_status firn_engine__cmd_persist(struct firn_eval *x)
{
    struct firn_entry v;
    enum firn_status st = firn_engine__get(x, x->argv[1], &v);
    if (st == FIRN_ABSENT || (st == FIRN_OK && !v.expiry_ms))
        return firn_engine__noop_i64(x, 0);
    if (st == FIRN_OK)
        st = firn_engine__put(x, x->argv[1], v.value, 0, FIRN_EVENT_PERSIST);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, 1);
    return st;
}

/* ---- TTL */

static enum firn_status ttl(struct firn_eval *x, bool seconds, bool absolute)
{
    struct firn_entry v;
    enum firn_status st = firn_engine__get(x, x->argv[1], &v);
    firn_engine__count_lookup(x, st);
    if (st != FIRN_OK && st != FIRN_ABSENT)
        return st;
    int64_t answer = st == FIRN_ABSENT ? -2 : -1;
    if (st == FIRN_OK && v.expiry_ms) {
        uint64_t ms = absolute ? v.expiry_ms : v.expiry_ms - firn_engine__now(x);
        answer = (int64_t)(seconds ? (ms + 500) / 1000 : ms); /* ms may be INT64_MAX */
    }
    firn_reply_i64(x->out, answer);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_ttl(struct firn_eval *x)
{
    return ttl(x, true, false);
}

enum firn_status firn_engine__cmd_pttl(struct firn_eval *x)
{
    return ttl(x, false, false);
}

enum firn_status firn_engine__cmd_expiretime(struct firn_eval *x)
{
    return ttl(x, true, true);
}

enum firn_status firn_engine__cmd_pexpiretime(struct firn_eval *x)
{
    return ttl(x, false, true);
}
