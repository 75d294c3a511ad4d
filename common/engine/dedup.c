#include "engine/dedup_priv.h"

#include "base/bytes.h"
#include "base/hash.h"

/* Of the command, the database and all that follows, each with its length. */
static uint64_t hash_request(const struct firn_eval *x, size_t from)
{
    uint64_t h = firn_xxh3_seed(x->cmd->name, strlen(x->cmd->name), x->ns);
    for (size_t i = from; i < x->argc; i++) {
        uint8_t len[8];
        firn_put_le64(len, x->argv[i].len);
        h = firn_xxh3_seed(len, sizeof len, h);
        h = firn_xxh3_seed(x->argv[i].data, x->argv[i].len, h);
    }
    return h;
}

enum firn_status firn_engine__request_id(struct firn_eval *x, size_t *i,
                                         struct firn_request_id *out)
{
    *out = (struct firn_request_id){0};
    if (!firn_engine__arg_is(x, *i, "id"))
        return FIRN_OK;
    if (*i + 1 >= x->argc)
        return firn_engine__syntax_error(x);
    out->id = x->argv[*i + 1];
    if (out->id.len < 1 || out->id.len > FIRN_DEDUP_ID_MAX) {
        firn_reply_error(x->out, "ERR an ID is 1 to %d bytes", FIRN_DEDUP_ID_MAX);
        return FIRN_INVALID;
    }
    *i += 2;
    out->hash = hash_request(x, *i);
    return FIRN_OK;
}

enum firn_status firn_engine__request_find(struct firn_eval *x, const struct firn_request_id *id,
                                           struct firn_dedup *out)
{
    uint8_t key[FIRN_DEDUP_KEY_MAX];
    struct firn_entry v;
    size_t len = firn_dedup_key(id->id, key);
    enum firn_status st =
        firn_view_get(x->view, &x->s->read, firn_slice_of(key, len), x->max_seqno, &v);
    if (st != FIRN_OK)
        return st;
    if (v.expiry_ms && v.expiry_ms <= firn_engine__now(x))
        return FIRN_ABSENT;
    st = firn_dedup_decode(v.value, out);
    if (st == FIRN_INVALID)
        return FIRN_CORRUPT; /* of a version to come, which would have its own feature */
    if (st == FIRN_OK && out->request != id->hash)
        return firn_engine__data_error(x, "ERR this ID was another request's");
    return st;
}

enum firn_status firn_engine__request_keep(struct firn_eval *x, const struct firn_request_id *id,
                                           bool held, struct firn_slice results,
                                           uint8_t value[FIRN_DEDUP_MAX])
{
    uint8_t key[FIRN_DEDUP_KEY_MAX];
    struct firn_dedup d = {.request = id->hash,
                           .held = held,
                           .kept = results.len <= FIRN_DEDUP_RESULTS_MAX,
                           .results = results};
    struct firn_record r = {
        .kind = FIRN_RECORD_DEDUP,
        .flags = FIRN_RECORD_HAS_EXPIRY,
        .key = firn_slice_of(key, firn_dedup_key(id->id, key)),
        .value = firn_slice_of(value, firn_dedup_encode(&d, value)),
        .expiry_ms = firn_engine__now(x) + x->db->settings->dedup_ttl_ns / FIRN_MS,
    };
    return firn_engine__group_add(&x->e->group, &r);
}

/* ---- replaying */

/* The line at *at: its first byte and what follows it; *at is moved behind its CRLF. */
static bool next_line(struct firn_slice s, size_t *at, uint8_t *type, struct firn_slice *rest)
{
    const uint8_t *p = s.data + *at;
    size_t left = s.len - *at;
    const uint8_t *cr = left > 1 ? memchr(p + 1, '\r', left - 1) : NULL;
    if (!cr || (size_t)(cr - p) + 1 >= left || cr[1] != '\n')
        return false;
    *type = *p;
    *rest = firn_slice_of(p + 1, (size_t)(cr - p) - 1);
    *at += (size_t)(cr - p) + 2;
    return true;
}

/* Append the element at *at, if it is one of those that operations answer with. */
static bool replay_one(struct firn_reply *out, struct firn_slice s, size_t *at)
{
    uint8_t type;
    struct firn_slice rest;
    size_t begin = *at;
    int64_t n = 0;
    if (!next_line(s, at, &type, &rest) ||
        ((type == ':' || type == '$') && !firn_parse_i64(rest, &n)))
        return false;
    if (type == '_' || (type == '$' && n == -1)) {
        firn_reply_null(out);
        return true;
    }
    if (type == '$') {
        if (n < 0 || (uint64_t)n > s.len - *at || s.len - *at - (size_t)n < 2)
            return false;
        *at += (size_t)n + 2;
    } else if (type != '+' && type != ':') {
        return false;
    }
    firn_reply_raw(out, s.data + begin, *at - begin);
    return true;
}

enum firn_status firn_engine__request_replay(struct firn_reply *out, const struct firn_dedup *d)
{
    if (!d->kept) {
        firn_reply_null(out);
        return FIRN_OK;
    }
    size_t at = 0, before = out->buf.len;
    uint8_t type;
    struct firn_slice rest;
    int64_t n;
    bool ok = next_line(d->results, &at, &type, &rest) && type == '*' && firn_parse_i64(rest, &n) &&
              n >= 0;
    if (ok)
        firn_reply_array(out, (size_t)n);
    for (; ok && n > 0; n--)
        ok = replay_one(out, d->results, &at);
    if (ok && at == d->results.len)
        return FIRN_OK;
    out->buf.len = before;
    return FIRN_CORRUPT;
}
