/* KV.GET, KV.RANGE, KV.COUNT, KV.DELRANGE (INTERFACES "KV.*"). Bounds: start inclusive, end
 * exclusive, the empty string = unbounded. */
#include "engine/cmd_priv.h"

#define RANGE_LIMIT_DEFAULT 1000
#define RANGE_LIMIT_MAX 1000000
#define RANGE_BYTES_DEFAULT (1 << 20)

/* The words that say which state is read: where their values are in argv, 0 = not given. */
struct state_words {
    size_t token;    /* ATLEAST */
    size_t snapshot; /* AT */
};

/* Take such a word at argv[*i] and its value; *i is moved to the last taken. False: it is none. */
static bool state_word(const struct firn_eval *x, size_t *i, struct state_words *w)
{
    bool at = firn_engine__arg_is(x, *i, "at");
    if ((!at && !firn_engine__arg_is(x, *i, "atleast")) || *i + 1 >= x->argc)
        return false;
    ++*i;
    if (at)
        w->snapshot = *i;
    else
        w->token = *i;
    return true;
}

/* A snapshot does not change: it holds the token or never will. */
static enum firn_status at_snapshot(struct firn_eval *x, const struct firn_token *t)
{
    if (!t || t->seqno <= x->max_seqno)
        return FIRN_OK;
    firn_reply_error(x->out, "KVSTALE the snapshot is older than the token");
    return FIRN_INVALID;
}

/* The state to read: the snapshot's, or the node's once it is fresh enough and holds the token. A
 * walk that is open keeps the state it began with. */
static enum firn_status choose_state(struct firn_eval *x, const struct state_words *w)
{
    struct firn_token t;
    enum firn_status st = FIRN_OK;
    if (w->snapshot && x->tx) {
        firn_reply_error(x->out, "ERR a transaction is of one state: no AT inside of it");
        return FIRN_INVALID;
    }
    if (w->token)
        st = firn_engine__parse_token(x, x->argv[w->token], &t);
    if (st == FIRN_OK && w->snapshot)
        st = firn_engine__read_at(x, w->snapshot);
    if (st == FIRN_OK && w->snapshot)
        return at_snapshot(x, w->token ? &t : NULL);
    if (st != FIRN_OK || firn_engine__range_is_open(x->s))
        return st;
    st = firn_engine__read_ready(x);
    if (st == FIRN_OK && w->token)
        st = firn_engine__await_token(x, &t, x->durable,
                                      x->arrival_ns + x->db->settings->read_timeout_ns);
    return st;
}

/* A value that this very transaction wrote has none before the commit. */
static void reply_version(struct firn_eval *x, const struct firn_entry *v)
{
    if (v->seqno == 0 || v->seqno > x->db->applied_seqno)
        firn_reply_null(x->out);
    else
        firn_reply_bulk_u64(x->out, v->seqno);
}

enum firn_status firn_engine__cmd_kv_get(struct firn_eval *x)
{
    bool with_version = false;
    struct state_words at = {0};
    for (size_t i = 2; i < x->argc; i++) {
        if (firn_engine__arg_is(x, i, "withversion"))
            with_version = true;
        else if (!state_word(x, &i, &at))
            return firn_engine__syntax_error(x);
    }
    struct firn_entry v;
    enum firn_status st = choose_state(x, &at);
    if (st != FIRN_OK)
        return st;
    st = firn_engine__get(x, x->argv[1], &v);
    firn_engine__count_lookup(x, st);
    if (st == FIRN_ABSENT) {
        firn_reply_null(x->out);
        return FIRN_OK;
    }
    if (st != FIRN_OK)
        return st;
    if (with_version)
        firn_reply_array(x->out, 2);
    firn_reply_bulk(x->out, v.value);
    if (with_version)
        reply_version(x, &v);
    return FIRN_OK;
}

/* ---- ranges */

struct range_options {
    bool reverse, keys_only;
    uint64_t limit, bytes;
    struct state_words at;
};

static enum firn_status bounded_arg(struct firn_eval *x, size_t i, int64_t max, uint64_t *out)
{
    int64_t v;
    enum firn_status st = firn_engine__arg_i64(x, i, &v);
    if (st != FIRN_OK)
        return st;
    if (v < 1 || v > max) {
        firn_reply_error(x->out, "ERR %.*s must be 1 to %lld", (int)x->argv[i - 1].len,
                         (const char *)x->argv[i - 1].data, (long long)max);
        return FIRN_INVALID;
    }
    *out = (uint64_t)v;
    return FIRN_OK;
}

static enum firn_status parse_range(struct firn_eval *x, struct range_options *o)
{
    int64_t bytes_max = (int64_t)(x->db->settings->client_output_bytes_max / 2);
    *o = (struct range_options){.limit = RANGE_LIMIT_DEFAULT, .bytes = RANGE_BYTES_DEFAULT};
    for (size_t i = 3; i < x->argc; i++) {
        enum firn_status st = FIRN_OK;
        bool more = i + 1 < x->argc;
        if (firn_engine__arg_is(x, i, "rev"))
            o->reverse = true;
        else if (firn_engine__arg_is(x, i, "keysonly"))
            o->keys_only = true;
        else if (firn_engine__arg_is(x, i, "limit") && more)
            st = bounded_arg(x, ++i, RANGE_LIMIT_MAX, &o->limit);
        else if (firn_engine__arg_is(x, i, "bytes") && more)
            st = bounded_arg(x, ++i, bytes_max, &o->bytes);
        else if (!state_word(x, &i, &o->at))
            return firn_engine__syntax_error(x);
        if (st != FIRN_OK)
            return st;
    }
    return FIRN_OK;
}

/* The bounds argv[1], argv[2]; *empty when nothing can lie between them. */
static enum firn_status parse_bounds(struct firn_eval *x, struct firn_range_bounds *b, bool *empty)
{
    *b = (struct firn_range_bounds){.start = x->argv[1], .end = x->argv[2], .ns = x->ns};
    /* One byte more than a key: the bound right behind the longest one. */
    if (b->start.len > FIRN_USER_KEY_MAX + 1 || b->end.len > FIRN_USER_KEY_MAX + 1) {
        firn_reply_error(x->out, "ERR a bound is longer than %d bytes", FIRN_USER_KEY_MAX + 1);
        return FIRN_INVALID;
    }
    *empty = b->end.len && firn_slice_cmp(b->start, b->end) >= 0;
    return FIRN_OK;
}

/* Take entries into rows until a limit is met. *next: where the next call goes on, from the entry
 * that did not fit; data NULL at the end of the range. */
static enum firn_status take_rows(struct firn_eval *x, const struct range_options *o,
                                  struct firn_slice *next)
{
    struct firn_range *r = &x->s->range;
    for (;;) {
        struct firn_entry v;
        enum firn_status st = firn_engine__range_next(x, &v);
        *next = firn_slice_of(NULL, 0);
        if (st != FIRN_OK)
            return st == FIRN_ABSENT ? FIRN_OK : st;
        struct firn_slice key = firn_key_user(v.key);
        uint64_t bytes = key.len + (o->keys_only ? 0 : v.value.len);
        if (r->count == o->limit || (r->count > 0 && r->bytes + bytes > o->bytes)) {
            /* Forwards it begins there; backwards the last one taken is the new exclusive end. */
            *next = o->reverse ? firn_buf_slice(&r->last) : key;
            if (!next->data)
                next->data = (const uint8_t *)"";
            return FIRN_OK;
        }
        if (o->reverse) {
            r->last.len = 0;
            st = firn_buf_append(&r->last, key.data, key.len);
            if (st != FIRN_OK)
                return st;
        }
        firn_reply_bulk(&r->rows, key);
        if (!o->keys_only)
            firn_reply_bulk(&r->rows, v.value);
        if (r->rows.failed)
            return firn_engine__rows_lost(x, &r->rows, "give a smaller LIMIT or BYTES");
        r->count++;
        r->bytes += bytes;
    }
}

static enum firn_status reply_empty_range(struct firn_eval *x)
{
    firn_reply_array(x->out, 2);
    firn_reply_null(x->out);
    firn_reply_array(x->out, 0);
    return FIRN_OK;
}

static enum firn_status open_range(struct firn_eval *x, const struct range_options *o,
                                   struct firn_range_bounds *b)
{
    b->reverse = o->reverse;
    b->keys_only = o->keys_only;
    enum firn_status st = firn_engine__range_open(x, b);
    if (st == FIRN_OK)
        firn_reply_init(&x->s->range.rows, (size_t)x->db->settings->client_output_bytes_max,
                        x->out->resp);
    return st;
}

enum firn_status firn_engine__cmd_kv_range(struct firn_eval *x)
{
    struct firn_range *r = &x->s->range;
    struct range_options o;
    struct firn_range_bounds b;
    struct firn_slice next;
    bool empty;
    enum firn_status st = parse_range(x, &o);
    if (st == FIRN_OK)
        st = parse_bounds(x, &b, &empty);
    if (st == FIRN_OK)
        st = choose_state(x, &o.at);
    if (st != FIRN_OK)
        return st;
    if (empty)
        return reply_empty_range(x);
    if (!firn_engine__range_is_open(x->s))
        st = open_range(x, &o, &b);
    if (st == FIRN_OK)
        st = take_rows(x, &o, &next);
    if (st != FIRN_OK)
        return st;
    firn_reply_array(x->out, 2);
    if (next.data)
        firn_reply_bulk(x->out, next);
    else
        firn_reply_null(x->out);
    firn_reply_array(x->out, (size_t)(o.keys_only ? r->count : 2 * r->count));
    firn_reply_raw(x->out, r->rows.buf.data, r->rows.buf.len);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_kv_count(struct firn_eval *x)
{
    struct firn_range *r = &x->s->range;
    struct range_options o = {.keys_only = true};
    struct firn_range_bounds b;
    bool empty;
    for (size_t i = 3; i < x->argc; i++)
        if (!state_word(x, &i, &o.at))
            return firn_engine__syntax_error(x);
    enum firn_status st = parse_bounds(x, &b, &empty);
    if (st == FIRN_OK)
        st = choose_state(x, &o.at);
    if (st == FIRN_OK && !firn_engine__range_is_open(x->s))
        st = open_range(x, &o, &b);
    while (st == FIRN_OK && !empty) {
        struct firn_entry v;
        st = firn_engine__range_next(x, &v);
        r->count += st == FIRN_OK;
    }
    if (st != FIRN_OK && st != FIRN_ABSENT)
        return st;
    firn_reply_i64(x->out, (int64_t)r->count);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_kv_delrange(struct firn_eval *x)
{
    struct firn_range_bounds b;
    bool empty;
    enum firn_status st = parse_bounds(x, &b, &empty);
    if (st == FIRN_OK && b.start.len > FIRN_USER_KEY_MAX)
        empty = true; /* right behind the longest key: nothing that can be named lies there */
    if (st == FIRN_OK && empty) {
        st = firn_engine__noop(x);
        if (st == FIRN_OK)
            firn_reply_ok(x->out);
        return st;
    }
    uint8_t end[1 + FIRN_USER_KEY_MAX + 1];
    size_t end_len = 1 + b.end.len;
    if (st != FIRN_OK)
        return st;
    x->e->key[0] = x->ns;
    if (b.start.len)
        memcpy(x->e->key + 1, b.start.data, b.start.len);
    end[0] = (uint8_t)(x->ns + (b.end.len ? 0 : 1));
    if (b.end.len)
        memcpy(end + 1, b.end.data, b.end.len);
    st = firn_engine__del_range(x, firn_slice_of(x->e->key, 1 + b.start.len),
                                firn_slice_of(end, end_len));
    if (st == FIRN_OK)
        firn_reply_ok(x->out);
    return st;
}
