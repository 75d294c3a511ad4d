/* The key space as a whole: SCAN, KEYS, DBSIZE, FLUSHDB, FLUSHALL. */
#include "engine/cmd_priv.h"
#include "engine/text_priv.h"
#include "resp/glob.h"

#define EXACT_KEYS_MAX 1000000 /* above: DBSIZE estimates and KEYS refuses */
#define SCAN_COUNT_DEFAULT 10
#define SCAN_PAGE_BYTES (1u << 20) /* a page ends when it is this large, whatever COUNT says */

/* ---- patterns as bounds */

/* Bounds of a user's keys, narrowed to those that begin with the literal part of a pattern. `end`
 * is made in out, which has room for FIRN_USER_KEY_MAX bytes: the least string above all with that
 * prefix. */
static void narrow_to_prefix(struct firn_range_bounds *b, struct firn_slice pattern, uint8_t *out)
{
    size_t n = firn_glob_prefix(pattern);
    if (n == 0 || n > FIRN_USER_KEY_MAX)
        return;
    struct firn_slice prefix = firn_slice_of(pattern.data, n);
    if (firn_slice_cmp(b->start, prefix) < 0)
        b->start = prefix;
    while (n > 0 && prefix.data[n - 1] == 0xff)
        n--;
    if (n == 0)
        return; /* nothing but 0xff: no string above it */
    memcpy(out, prefix.data, n);
    out[n - 1]++;
    b->end = firn_slice_of(out, n);
}

static enum firn_status rows_lost(struct firn_eval *x)
{
    return firn_engine__rows_lost(x, &x->s->range.rows, "use SCAN or KV.RANGE");
}

static void rows_begin(struct firn_eval *x)
{
    firn_reply_init(&x->s->range.rows, (size_t)x->db->settings->client_output_bytes_max / 2,
                    x->out->resp);
}

static void rows_reply(struct firn_eval *x)
{
    const struct firn_range *r = &x->s->range;
    firn_reply_array(x->out, (size_t)r->count);
    firn_reply_raw(x->out, r->rows.buf.data, r->rows.buf.len);
}

/* ---- SCAN */

struct scan_options {
    uint64_t cursor;
    struct firn_slice pattern; /* data NULL: all */
    uint64_t count;
    bool none; /* TYPE names something that no key is */
};

static enum firn_status parse_scan(struct firn_eval *x, struct scan_options *o)
{
    *o = (struct scan_options){.count = SCAN_COUNT_DEFAULT};
    if (!firn_engine__parse_u64(x->argv[1], &o->cursor)) {
        firn_reply_error(x->out, "ERR invalid cursor");
        return FIRN_INVALID;
    }
    for (size_t i = 2; i < x->argc; i += 2) {
        if (i + 1 >= x->argc)
            return firn_engine__syntax_error(x);
        if (firn_engine__arg_is(x, i, "count")) {
            int64_t count;
            enum firn_status st = firn_engine__arg_i64(x, i + 1, &count);
            if (st != FIRN_OK)
                return st;
            if (count < 1)
                return firn_engine__syntax_error(x);
            o->count = (uint64_t)count;
        } else if (firn_engine__arg_is(x, i, "match")) {
            o->pattern = x->argv[i + 1];
        } else if (firn_engine__arg_is(x, i, "type")) {
            o->none = !firn_engine__arg_is(x, i + 1, "string");
        } else {
            return firn_engine__syntax_error(x);
        }
    }
    return FIRN_OK;
}

static enum firn_status open_scan(struct firn_eval *x, const struct scan_options *o)
{
    struct firn_range_bounds b = {.ns = x->ns, .keys_only = true};
    uint8_t after[FIRN_USER_KEY_MAX + 1]; /* the least key behind the last one returned */
    uint8_t end[FIRN_USER_KEY_MAX];
    if (o->cursor) {
        const struct firn_cursor *cur = firn_engine__cursor_find(&x->e->cursors, o->cursor);
        if (!cur || cur->db != x->ns) {
            firn_reply_error(x->out,
                             "ERR invalid cursor: this node did not give it for this database, "
                             "or too long ago; begin again with 0");
            return FIRN_INVALID;
        }
        memcpy(after, cur->key, cur->len);
        after[cur->len] = 0;
        b.start = firn_slice_of(after, cur->len + 1);
    }
    narrow_to_prefix(&b, o->pattern, end);
    enum firn_status st = firn_engine__range_open(x, &b);
    if (st == FIRN_OK)
        rows_begin(x);
    return st;
}

/* Take entries until the page is full: OK with *more when keys remain, so that 0 comes only at the
 * end. */
static enum firn_status scan_page(struct firn_eval *x, const struct scan_options *o, bool *more)
{
    struct firn_range *r = &x->s->range;
    *more = false;
    for (;;) {
        struct firn_entry v;
        enum firn_status st = firn_engine__range_next(x, &v);
        if (st != FIRN_OK)
            return st == FIRN_ABSENT ? FIRN_OK : st;
        if (r->seen >= o->count || r->rows.buf.len >= SCAN_PAGE_BYTES) {
            *more = true;
            return FIRN_OK;
        }
        struct firn_slice key = firn_key_user(v.key);
        r->seen++;
        r->last.len = 0;
        st = firn_buf_append(&r->last, key.data, key.len);
        if (st != FIRN_OK)
            return st;
        if (o->none || (o->pattern.data && !firn_glob_match(o->pattern, key, false)))
            continue;
        firn_reply_bulk(&r->rows, key);
        r->count++;
    }
}

static enum firn_status new_cursor(struct firn_eval *x, struct firn_slice last, uint64_t *id)
{
    uint64_t max =
        firn_engine__remembered_max(x->e, FIRN_REMEMBERED_CURSORS, FIRN_CURSOR_BYTES_MAX);
    enum firn_status st = firn_engine__cursor_new(&x->e->cursors, x->ns, last, max, id);
    firn_engine__remembered(x->e);
    return st;
}

enum firn_status firn_engine__cmd_scan(struct firn_eval *x)
{
    struct firn_range *r = &x->s->range;
    struct scan_options o;
    bool more;
    uint64_t id = 0;
    enum firn_status st = parse_scan(x, &o);
    if (st == FIRN_OK && !firn_engine__range_is_open(x->s))
        st = open_scan(x, &o);
    if (st == FIRN_OK)
        st = scan_page(x, &o, &more);
    if (st == FIRN_OK && r->rows.failed)
        return rows_lost(x);
    if (st == FIRN_OK && more)
        st = new_cursor(x, firn_buf_slice(&r->last), &id);
    if (st != FIRN_OK)
        return st;
    firn_reply_array(x->out, 2);
    firn_reply_bulk_u64(x->out, id);
    rows_reply(x);
    return FIRN_OK;
}

/* ---- KEYS, DBSIZE */

static enum firn_status estimate(struct firn_eval *x, uint64_t *keys)
{
    uint8_t start = x->ns, end = (uint8_t)(x->ns + 1);
    enum firn_status st = firn_view_tombs(x->view, &x->s->read);
    *keys = firn_view_estimate(x->view, firn_slice_of(&start, 1), firn_slice_of(&end, 1));
    return st;
}

static enum firn_status open_keys(struct firn_eval *x)
{
    uint64_t about;
    enum firn_status st = estimate(x, &about);
    if (st != FIRN_OK)
        return st;
    if (about > EXACT_KEYS_MAX) {
        firn_reply_error(x->out, "ERR more than %d keys: use SCAN or KV.RANGE", EXACT_KEYS_MAX);
        return FIRN_INVALID;
    }
    struct firn_range_bounds b = {.ns = x->ns, .keys_only = true};
    uint8_t end[FIRN_USER_KEY_MAX];
    narrow_to_prefix(&b, x->argv[1], end);
    st = firn_engine__range_open(x, &b);
    if (st == FIRN_OK)
        rows_begin(x);
    return st;
}

enum firn_status firn_engine__cmd_keys(struct firn_eval *x)
{
    struct firn_range *r = &x->s->range;
    enum firn_status st = FIRN_OK;
    if (!firn_engine__range_is_open(x->s))
        st = open_keys(x);
    while (st == FIRN_OK) {
        struct firn_entry v;
        st = firn_engine__range_next(x, &v);
        if (st != FIRN_OK)
            break;
        if (!firn_glob_match(x->argv[1], firn_key_user(v.key), false))
            continue;
        firn_reply_bulk(&r->rows, firn_key_user(v.key));
        r->count++;
        if (r->rows.failed)
            return rows_lost(x);
    }
    if (st != FIRN_ABSENT)
        return st;
    rows_reply(x);
    return FIRN_OK;
}

static uint64_t seqno_read(const struct firn_eval *x)
{
    return x->max_seqno < x->db->applied_seqno ? x->max_seqno : x->db->applied_seqno;
}

static bool dbsize_known(struct firn_eval *x, const struct firn_dbsize *d)
{
    return d->known && !x->e->group.n && d->view_gen == x->db->view_gen &&
           d->seqno == seqno_read(x) && (!d->valid_to_ms || d->valid_to_ms > firn_engine__now(x));
}

/* Count to the end; the result holds until something is written or a key expires. */
static enum firn_status count_keys(struct firn_eval *x, struct firn_dbsize *d)
{
    struct firn_range *r = &x->s->range;
    struct firn_range_bounds b = {.ns = x->ns, .keys_only = true};
    enum firn_status st = FIRN_OK;
    if (!firn_engine__range_is_open(x->s)) {
        st = firn_engine__range_open(x, &b);
        r->view_gen = x->db->view_gen;
        r->seqno = seqno_read(x);
    }
    while (st == FIRN_OK) {
        struct firn_entry v;
        st = firn_engine__range_next(x, &v);
        if (st != FIRN_OK)
            break;
        r->count++;
        r->expires += v.expiry_ms != 0;
        if (v.expiry_ms && (!r->next_expiry_ms || v.expiry_ms < r->next_expiry_ms))
            r->next_expiry_ms = v.expiry_ms;
    }
    if (st != FIRN_ABSENT)
        return st;
    *d = (struct firn_dbsize){
        .known = !x->e->group.n, /* else its transaction alone saw that state */
        .view_gen = r->view_gen,
        .seqno = r->seqno,
        .valid_to_ms = r->next_expiry_ms,
        .keys = r->count,
        .expires = r->expires,
    };
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_dbsize(struct firn_eval *x)
{
    struct firn_dbsize *d = &x->e->dbsize[x->ns - FIRN_NS_DB0];
    if (!firn_engine__range_is_open(x->s)) {
        if (dbsize_known(x, d)) {
            firn_reply_i64(x->out, (int64_t)d->keys);
            return FIRN_OK;
        }
        uint64_t about;
        enum firn_status known = estimate(x, &about);
        if (known != FIRN_OK)
            return known;
        if (about > EXACT_KEYS_MAX) {
            firn_reply_i64(x->out, (int64_t)about);
            return FIRN_OK;
        }
    }
    enum firn_status st = count_keys(x, d);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, (int64_t)d->keys);
    return st;
}

/* ---- FLUSHDB, FLUSHALL: one range tombstone, never over namespaces 0x00 and 0x01 */

static enum firn_status flush(struct firn_eval *x, uint8_t start, uint8_t end)
{
    if (x->argc > 2 ||
        (x->argc == 2 && !firn_engine__arg_is(x, 1, "async") && !firn_engine__arg_is(x, 1, "sync")))
        return firn_engine__syntax_error(x);
    enum firn_status st =
        firn_engine__del_range(x, firn_slice_of(&start, 1), firn_slice_of(&end, 1));
    if (st == FIRN_OK)
        firn_reply_ok(x->out);
    return st;
}

enum firn_status firn_engine__cmd_flushdb(struct firn_eval *x)
{
    return flush(x, x->ns, (uint8_t)(x->ns + 1));
}

enum firn_status firn_engine__cmd_flushall(struct firn_eval *x)
{
    return flush(x, FIRN_NS_DB0, FIRN_NS_DB_END);
}
