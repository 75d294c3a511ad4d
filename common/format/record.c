#include "format/record.h"

#include "base/bytes.h"
#include "format/key.h"

#define HEAD_BYTES 3 /* kind, event, flags */
#define EXPIRY_BYTES 8
#define SEQNO_BYTES 8
#define CHANNEL_MAX FIRN_DATA_KEY_MAX

/* Kinds whose body is key length, key, value. */
static bool is_pair(unsigned kind)
{
    return kind == FIRN_RECORD_PUT || kind == FIRN_RECORD_DEDUP || kind == FIRN_RECORD_PUBLISH;
}

/* ---- rules both directions share */

static bool range_valid(struct firn_slice start, struct firn_slice end)
{
    /* FLUSHALL and KV.DELRANGE touch databases only, never 0x00 or 0x01. */
    return firn_key_valid(start) && firn_key_db(start) >= 0 && firn_key_end_valid(end) &&
           firn_slice_cmp(start, end) < 0;
}

/* Do the fields of a record of a known kind fit it? */
static bool fields_valid(const struct firn_record *r)
{
    switch (r->kind) {
    case FIRN_RECORD_PUT:
    case FIRN_RECORD_DEL:
        return firn_key_valid(r->key);
    case FIRN_RECORD_EXPIRED:
        return firn_key_valid(r->key);
    case FIRN_RECORD_DEDUP:
        return firn_key_valid(r->key) && r->key.data[0] == FIRN_NS_INTERNAL;
    case FIRN_RECORD_PUBLISH:
        return r->key.len <= CHANNEL_MAX;
    case FIRN_RECORD_RANGEDEL:
        return range_valid(r->key, r->end_key);
    case FIRN_RECORD_GROUP_BEGIN:
    case FIRN_RECORD_GROUP_END:
        return true;
    default:
        return r->kind >= FIRN_RECORD_SKIPPABLE;
    }
}

static bool flags_valid(unsigned kind, unsigned flags)
{
    if (kind == FIRN_RECORD_PUT || kind == FIRN_RECORD_DEDUP)
        return (flags & ~(unsigned)FIRN_RECORD_HAS_EXPIRY) == 0;
    return flags == 0 || kind >= FIRN_RECORD_SKIPPABLE;
}

/* ---- encoding */

static size_t body_size(const struct firn_record *r)
{
    size_t n = r->flags & FIRN_RECORD_HAS_EXPIRY ? EXPIRY_BYTES : 0;
    switch (r->kind) {
    case FIRN_RECORD_PUT:
    case FIRN_RECORD_DEDUP:
    case FIRN_RECORD_PUBLISH:
        return n + firn_varint_len(r->key.len) + r->key.len + r->value.len;
    case FIRN_RECORD_DEL:
        return r->key.len;
    case FIRN_RECORD_RANGEDEL:
        return firn_varint_len(r->key.len) + r->key.len + r->end_key.len;
    case FIRN_RECORD_EXPIRED:
        return SEQNO_BYTES + r->key.len;
    default: /* group marks have no value; of a skippable kind it is the body */
        return r->value.len;
    }
}

static uint8_t *put_slice(uint8_t *p, struct firn_slice s)
{
    if (s.len)
        memcpy(p, s.data, s.len);
    return p + s.len;
}

static uint8_t *put_body(uint8_t *p, const struct firn_record *r)
{
    switch (r->kind) {
    case FIRN_RECORD_PUT:
    case FIRN_RECORD_DEDUP:
    case FIRN_RECORD_PUBLISH:
        if (r->flags & FIRN_RECORD_HAS_EXPIRY) {
            firn_put_le64(p, r->expiry_ms);
            p += EXPIRY_BYTES;
        }
        p += firn_varint_put(p, r->key.len);
        return put_slice(put_slice(p, r->key), r->value);
    case FIRN_RECORD_DEL:
        return put_slice(p, r->key);
    case FIRN_RECORD_RANGEDEL:
        p += firn_varint_put(p, r->key.len);
        return put_slice(put_slice(p, r->key), r->end_key);
    case FIRN_RECORD_EXPIRED:
        firn_put_le64(p, r->value_seqno);
        return put_slice(p + SEQNO_BYTES, r->key);
    default:
        return put_slice(p, r->value);
    }
}

size_t firn_record_size(const struct firn_record *r)
{
    size_t body = body_size(r);
    return HEAD_BYTES + firn_varint_len(body) + body;
}

/* Kind, event, flags, body length: where the body begins. */
static uint8_t *put_head(uint8_t *p, const struct firn_record *r, size_t body)
{
    p[0] = r->kind;
    p[1] = r->event;
    p[2] = r->flags;
    return p + HEAD_BYTES + firn_varint_put(p + HEAD_BYTES, body);
}

/* The record of nearly every write, without the general case's look at each kind. */
static enum firn_status append_put(struct firn_buf *b, const struct firn_record *r)
{
    size_t expiry = r->flags & FIRN_RECORD_HAS_EXPIRY ? EXPIRY_BYTES : 0;
    size_t body = expiry + firn_varint_len(r->key.len) + r->key.len + r->value.len;
    enum firn_status st = firn_buf_reserve(b, HEAD_BYTES + firn_varint_len(body) + body);
    if (st != FIRN_OK)
        return st;
    uint8_t *p = put_head(b->data + b->len, r, body);
    if (expiry) {
        firn_put_le64(p, r->expiry_ms);
        p += EXPIRY_BYTES;
    }
    p += firn_varint_put(p, r->key.len);
    memcpy(p, r->key.data, r->key.len);
    p = put_slice(p + r->key.len, r->value);
    b->len = (size_t)(p - b->data);
    return FIRN_OK;
}

enum firn_status firn_record_append(struct firn_buf *b, const struct firn_record *r)
{
    bool mark = r->kind == FIRN_RECORD_GROUP_BEGIN || r->kind == FIRN_RECORD_GROUP_END;
    if (r->value.len > b->max) /* also keeps the sizes below from wrapping */
        return FIRN_LIMIT;
    if (r->kind == FIRN_RECORD_PUT && firn_key_valid(r->key) &&
        (r->flags & ~FIRN_RECORD_HAS_EXPIRY) == 0)
        return append_put(b, r);
    if (!fields_valid(r) || !flags_valid(r->kind, r->flags) || (mark && r->value.len))
        return FIRN_INVALID;
    size_t body = body_size(r);
    enum firn_status st = firn_buf_reserve(b, HEAD_BYTES + firn_varint_len(body) + body);
    if (st != FIRN_OK)
        return st;
    uint8_t *p = put_head(b->data + b->len, r, body);
    b->len = (size_t)(put_body(p, r) - b->data);
    return FIRN_OK;
}

/* ---- decoding */

static struct firn_slice rest(const uint8_t *p, const uint8_t *end)
{
    return firn_slice_of(p, (size_t)(end - p));
}

/* Split [p, end) into a length-prefixed slice and the rest. */
static bool get_two(const uint8_t *p, const uint8_t *end, struct firn_slice *first,
                    struct firn_slice *second)
{
    uint64_t len;
    p = firn_varint_get(p, end, &len);
    if (!p || len > (size_t)(end - p))
        return false;
    *first = firn_slice_of(p, (size_t)len);
    *second = rest(p + len, end);
    return true;
}

static bool get_body(const uint8_t *p, const uint8_t *end, struct firn_record *r)
{
    if (is_pair(r->kind)) {
        if (r->flags & FIRN_RECORD_HAS_EXPIRY) {
            if (end - p < EXPIRY_BYTES)
                return false;
            r->expiry_ms = firn_le64(p);
            p += EXPIRY_BYTES;
        }
        return get_two(p, end, &r->key, &r->value);
    }
    switch (r->kind) {
    case FIRN_RECORD_DEL:
        r->key = rest(p, end);
        return true;
    case FIRN_RECORD_RANGEDEL:
        return get_two(p, end, &r->key, &r->end_key);
    case FIRN_RECORD_EXPIRED:
        if (end - p < SEQNO_BYTES)
            return false;
        r->value_seqno = firn_le64(p);
        r->key = rest(p + SEQNO_BYTES, end);
        return true;
    default: /* group marks */
        return p == end;
    }
}

/* Frame of the next record: kind, event, flags, and its body. */
static enum firn_status get_frame(struct firn_record_cursor *c, struct firn_record *r,
                                  struct firn_slice *body, struct firn_err *err)
{
    const uint8_t *p = c->at;
    uint64_t len;
    if (c->end - p < HEAD_BYTES)
        return firn_fail(err, FIRN_CORRUPT, "a log record is cut off");
    *r = (struct firn_record){.kind = p[0], .event = p[1], .flags = p[2], .seqno = c->next_seqno};
    p = firn_varint_get(p + HEAD_BYTES, c->end, &len);
    if (!p || len > (size_t)(c->end - p))
        return firn_fail(err, FIRN_CORRUPT, "a log record is longer than its batch");
    *body = firn_slice_of(p, (size_t)len);
    c->at = p + len;
    c->next_seqno++;
    return FIRN_OK;
}

static enum firn_status check_group(struct firn_record_cursor *c, unsigned kind,
                                    struct firn_err *err)
{
    if (kind == FIRN_RECORD_GROUP_BEGIN) {
        if (c->in_group)
            return firn_fail(err, FIRN_CORRUPT, "a group of log records begins inside a group");
        c->in_group = true;
    } else if (kind == FIRN_RECORD_GROUP_END) {
        if (!c->in_group)
            return firn_fail(err, FIRN_CORRUPT, "a group of log records ends that never began");
        c->in_group = false;
    }
    return FIRN_OK;
}

enum firn_status firn_record_next(struct firn_record_cursor *c, struct firn_record *out,
                                  struct firn_err *err)
{
    struct firn_record r;
    struct firn_slice body = {NULL, 0};
    do {
        if (c->at == c->end) {
            if (c->in_group)
                return firn_fail(err, FIRN_CORRUPT, "a group of log records has no end");
            return FIRN_ABSENT;
        }
        enum firn_status st = get_frame(c, &r, &body, err);
        if (st != FIRN_OK)
            return st;
    } while (r.kind >= FIRN_RECORD_SKIPPABLE);
    if (r.kind == 0 || r.kind == FIRN_RECORD_REF || r.kind > FIRN_RECORD_GROUP_END)
        return firn_fail(err, FIRN_INVALID,
                         "a log record of kind %u, which this version of Firn does not know: use a "
                         "newer one",
                         r.kind);
    if (!flags_valid(r.kind, r.flags))
        return firn_fail(err, FIRN_INVALID,
                         "a log record of kind %u with flags %#x, which this version of Firn does "
                         "not know: use a newer one",
                         r.kind, r.flags);
    if (!get_body(body.data, body.data + body.len, &r) || !fields_valid(&r))
        return firn_fail(err, FIRN_CORRUPT, "a malformed log record of kind %u", r.kind);
    enum firn_status st = check_group(c, r.kind, err);
    if (st == FIRN_OK)
        *out = r;
    return st;
}

enum firn_status firn_records_check(struct firn_slice raw, uint64_t count, struct firn_err *err)
{
    struct firn_record_cursor c;
    struct firn_record r;
    enum firn_status st;
    firn_record_begin(&c, raw, 0);
    while ((st = firn_record_next(&c, &r, err)) == FIRN_OK)
        ;
    if (st != FIRN_ABSENT)
        return st;
    if (c.next_seqno != count)
        return firn_fail(err, FIRN_CORRUPT, "a batch of %llu records says it has %llu",
                         (unsigned long long)c.next_seqno, (unsigned long long)count);
    return FIRN_OK;
}
