#include "sim/witness.h"

#include "base/assert.h"
#include "base/mem.h"
#include "format/batch.h"
#include "format/key.h"
#include "format/record.h"
#include "format/seal.h"

#include <stdlib.h>

struct witness_slot {
    struct firn_place place;
    struct firn_buf body;
    uint64_t landed_ns;
};

void witness_init(struct witness *w, struct hist *h)
{
    *w = (struct witness){.h = h};
}

void witness_clear(struct witness *w)
{
    for (size_t i = 0; i < w->slots; i++)
        firn_buf_clear(&w->slot[i].body);
    for (uint32_t i = 0; i < w->keys; i++)
        firn_free(w->key[i].version);
    firn_free(w->slot);
    firn_free(w->record);
    firn_free(w->unit);
    firn_free(w->key);
    firn_free(w->order);
    firn_free(w->message);
    witness_init(w, w->h);
}

/* ---- slots that landed */

/* The first slot at or behind p. */
static size_t slot_from(const struct witness *w, struct firn_place p)
{
    size_t lo = 0, hi = w->slots;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (firn_place_cmp(w->slot[mid].place, p) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void witness_landed(struct witness *w, struct firn_place place, struct firn_slice body,
                    uint64_t now_ns)
{
    size_t at = slot_from(w, place);
    if (at < w->slots && firn_place_eq(w->slot[at].place, place))
        return;
    w->slot = hist_room(w->slot, &w->slots_cap, w->slots, sizeof *w->slot);
    struct witness_slot *s = &w->slot[at];
    memmove(s + 1, s, (w->slots++ - at) * sizeof *s);
    *s = (struct witness_slot){.place = place, .landed_ns = now_ns};
    firn_buf_init(&s->body, SIZE_MAX);
    enum firn_status st = firn_buf_append(&s->body, body.data, body.len);
    FIRN_ASSERT(st == FIRN_OK);
}

/* ---- versions */

static struct witness_key *key_at(struct witness *w, uint32_t id)
{
    if (id >= w->keys) {
        uint32_t n = w->h->keys.count + 1;
        w->key = firn_realloc(w->key, n * sizeof *w->key);
        FIRN_ASSERT(w->key && id < n);
        memset(w->key + w->keys, 0, (n - w->keys) * sizeof *w->key);
        w->keys = n;
    }
    return &w->key[id];
}

static void add_version(struct witness *w, uint32_t key, const struct witness_version *v)
{
    struct witness_key *k = key_at(w, key);
    if (k->n && k->version[k->n - 1].from == v->from)
        k->n--; /* a group that writes a key twice */
    k->version = hist_room(k->version, &k->cap, k->n, sizeof *k->version);
    k->version[k->n++] = *v;
}

static const struct witness_version *newest(const struct witness *w, uint32_t key)
{
    const struct witness_key *k = key < w->keys ? &w->key[key] : NULL;
    return k && k->n ? &k->version[k->n - 1] : NULL;
}

static bool in_bounds(const struct hist *h, uint32_t key, uint32_t start, uint32_t end)
{
    struct firn_slice k = hist_name_of(&h->keys, key);
    return (!start || firn_slice_cmp(k, hist_name_of(&h->keys, start)) >= 0) &&
           (!end || firn_slice_cmp(k, hist_name_of(&h->keys, end)) < 0);
}

static void delete_range(struct witness *w, const struct witness_record *r,
                         const struct witness_version *gone)
{
    for (uint32_t id = 1; id < w->keys; id++) {
        const struct witness_version *v = newest(w, id);
        if (v && v->value && in_bounds(w->h, id, r->key, r->end))
            add_version(w, id, gone);
    }
}

static void check_expired(struct witness *w, const struct witness_unit *u,
                          const struct witness_record *r, struct check_report *report)
{
    const struct witness_version *v = newest(w, r->key);
    struct firn_slice key = hist_name_of(&w->h->keys, r->key);
    w->expired++;
    if (!v || !v->value || v->seqno != r->value_seqno)
        check_wrong(report,
                    "slot (%llu, %llu): EXPIRED of %.*s names value %llu, the newest is %llu",
                    (unsigned long long)u->place.epoch, (unsigned long long)u->place.slot,
                    (int)key.len, (const char *)key.data, (unsigned long long)r->value_seqno,
                    v ? (unsigned long long)v->seqno : 0);
    else if (!v->expiry_ms || v->expiry_ms > u->log_time_ms)
        check_wrong(report, "slot (%llu, %llu): EXPIRED of %.*s comes at %llu ms, before %llu ms",
                    (unsigned long long)u->place.epoch, (unsigned long long)u->place.slot,
                    (int)key.len, (const char *)key.data, (unsigned long long)u->log_time_ms,
                    (unsigned long long)v->expiry_ms);
}

static void take_unit(struct witness *w, uint32_t index, struct check_report *report)
{
    const struct witness_unit *u = &w->unit[index];
    for (uint32_t i = 0; i < u->records; i++) {
        const struct witness_record *r = &w->record[u->record + i];
        struct witness_version v = {index + 1, r->value, r->expiry_ms, u->log_time_ms, r->seqno};
        if (r->kind == FIRN_RECORD_EXPIRED)
            check_expired(w, u, r, report);
        if (r->kind == FIRN_RECORD_RANGEDEL)
            delete_range(w, r, &v);
        else
            add_version(w, r->key, &v);
    }
}

static int by_key(const void *a, const void *b, void *names)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return firn_slice_cmp(hist_name_of(names, x), hist_name_of(names, y));
}

void witness_finish(struct witness *w, struct check_report *r)
{
    for (uint32_t i = 0; i < w->units; i++)
        take_unit(w, i, r);
    w->order = firn_malloc(((size_t)w->keys + 1) * sizeof *w->order);
    FIRN_ASSERT(w->order);
    for (uint32_t id = 1; id < w->keys; id++)
        if (w->key[id].n)
            w->order[w->ordered++] = id;
    qsort_r(w->order, w->ordered, sizeof *w->order, by_key, &w->h->keys);
}

void witness_add(struct witness *w, const struct witness_unit *unit,
                 const struct witness_record *record, uint32_t records)
{
    w->unit = hist_room(w->unit, &w->units_cap, w->units, sizeof *w->unit);
    struct witness_unit *u = &w->unit[w->units++];
    *u = *unit;
    u->record = (uint32_t)w->records;
    u->records = records;
    for (uint32_t i = 0; i < records; i++) {
        w->record = hist_room(w->record, &w->records_cap, w->records, sizeof *w->record);
        w->record[w->records++] = record[i];
    }
}

/* ---- the log in order */

struct reading {
    struct witness *w;
    const struct firn_id *db;
    struct check_report *report;
    struct witness_unit unit; /* being read: place and times */
    struct witness_record *group;
    size_t n, cap;
    uint64_t seqno; /* of the last record */
};

/* The id of a key of database 0; false: of another one, or an internal one. */
static bool user_key(struct witness *w, struct firn_slice key, uint32_t *id)
{
    if (firn_key_db(key) != 0)
        return false;
    *id = hist_intern(&w->h->keys, firn_key_user(key));
    return true;
}

/* The part of a range that lies in database 0; false: none of it. */
static bool user_range(struct witness *w, const struct firn_record *r, struct witness_record *out)
{
    static const uint8_t first = FIRN_NS_DB0, behind = FIRN_NS_DB0 + 1;
    bool from_first = firn_slice_cmp(r->key, firn_slice_of(&first, 1)) <= 0;
    bool to_last = firn_slice_cmp(r->end_key, firn_slice_of(&behind, 1)) >= 0;
    out->key = out->end = 0;
    return (from_first || user_key(w, r->key, &out->key)) &&
           (to_last || user_key(w, r->end_key, &out->end));
}

static void take_message(struct witness *w, struct firn_slice message)
{
    w->message = hist_room(w->message, &w->messages_cap, w->messages, sizeof *w->message);
    w->message[w->messages++] = hist_intern(&w->h->values, message);
}

static void take_record(struct reading *x, const struct firn_record *r)
{
    struct witness_record out = {.kind = r->kind, .seqno = r->seqno};
    bool range = r->kind == FIRN_RECORD_RANGEDEL;
    if (r->seqno <= x->seqno)
        check_wrong(x->report, "slot (%llu, %llu): seqno %llu follows %llu",
                    (unsigned long long)x->unit.place.epoch, (unsigned long long)x->unit.place.slot,
                    (unsigned long long)r->seqno, (unsigned long long)x->seqno);
    x->seqno = r->seqno;
    if (r->kind == FIRN_RECORD_PUBLISH)
        take_message(x->w, r->value);
    if (r->kind != FIRN_RECORD_PUT && r->kind != FIRN_RECORD_DEL && !range &&
        r->kind != FIRN_RECORD_EXPIRED)
        return;
    if (range ? !user_range(x->w, r, &out) : !user_key(x->w, r->key, &out.key))
        return;
    if (r->kind == FIRN_RECORD_PUT)
        out.value = hist_intern(&x->w->h->values, r->value);
    out.expiry_ms = r->expiry_ms;
    out.value_seqno = r->value_seqno;
    x->group = hist_room(x->group, &x->cap, x->n, sizeof *x->group);
    x->group[x->n++] = out;
}

/* A group is one unit, in one slot: a batch whose groups are not balanced does not decode. */
static void take_records(struct reading *x, struct firn_slice raw, uint64_t first_seqno)
{
    struct firn_record_cursor c;
    struct firn_record r;
    firn_record_begin(&c, raw, first_seqno);
    while (firn_record_next(&c, &r, NULL) == FIRN_OK) {
        take_record(x, &r);
        if (c.in_group || x->n == 0)
            continue;
        witness_add(x->w, &x->unit, x->group, (uint32_t)x->n);
        x->n = 0;
    }
}

static void take_batch(struct reading *x, const struct witness_slot *s)
{
    struct firn_batch_header h;
    struct firn_buf raw;
    struct firn_err err = {""};
    firn_buf_init(&raw, SIZE_MAX);
    if (firn_batch_decode(firn_buf_slice(&s->body), x->db, s->place, FIRN_BATCH_RAW_MAX, &h, &raw,
                          &err) != FIRN_OK) {
        check_wrong(x->report, "slot (%llu, %llu): %s", (unsigned long long)s->place.epoch,
                    (unsigned long long)s->place.slot, err.text);
    } else {
        x->unit.place = s->place;
        x->unit.before_ms = x->unit.log_time_ms;
        x->unit.log_time_ms = h.log_time_ms;
        take_records(x, firn_buf_slice(&raw), h.first_seqno);
    }
    firn_buf_clear(&raw);
}

/* No batch lies in slot `at`; is that of no consequence? */
static bool closed(const struct witness *w, struct firn_place at, bool seal)
{
    for (size_t i = slot_from(w, (struct firn_place){at.epoch + 1, 0}); i < w->slots && !seal; i++)
        if (firn_slot_kind(firn_buf_slice(&w->slot[i].body)) == FIRN_SLOT_BATCH)
            return false;
    return true;
}

void witness_read(struct witness *w, const struct firn_id *db, uint64_t first_epoch,
                  struct check_report *r)
{
    struct reading x = {.w = w, .db = db, .report = r};
    struct firn_place at = {first_epoch, 0};
    size_t i;
    while ((i = slot_from(w, at)) < w->slots) {
        const struct witness_slot *s = &w->slot[i];
        bool there = firn_place_eq(s->place, at);
        bool seal = there && firn_slot_kind(firn_buf_slice(&s->body)) == FIRN_SLOT_SEAL;
        if (there && s->landed_ns > x.unit.durable_ns)
            x.unit.durable_ns = s->landed_ns;
        if (there && !seal) {
            take_batch(&x, s);
            at.slot++;
            continue;
        }
        if (!closed(w, at, seal))
            check_wrong(r, "slot (%llu, %llu) is empty, yet a later epoch has batches",
                        (unsigned long long)at.epoch, (unsigned long long)at.slot);
        at = (struct firn_place){at.epoch + 1, 0};
    }
    firn_free(x.group);
    witness_finish(w, r);
}

/* ---- looking things up */

/* How many of the key's versions begin at or before this state. */
static size_t versions_by(const struct witness_key *k, uint32_t state)
{
    size_t lo = 0, hi = k->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (k->version[mid].from <= state)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct witness_version *witness_at(const struct witness *w, uint32_t key, uint32_t state)
{
    if (key >= w->keys)
        return NULL;
    size_t n = versions_by(&w->key[key], state);
    return n ? &w->key[key].version[n - 1] : NULL;
}

uint32_t witness_change(const struct witness *w, uint32_t key, uint32_t state)
{
    if (key >= w->keys)
        return UINT32_MAX;
    size_t n = versions_by(&w->key[key], state);
    return n < w->key[key].n ? w->key[key].version[n].from : UINT32_MAX;
}

static size_t order_from(const struct witness *w, uint32_t bound)
{
    struct firn_slice b = hist_name_of(&w->h->keys, bound);
    size_t lo = 0, hi = w->ordered;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (firn_slice_cmp(hist_name_of(&w->h->keys, w->order[mid]), b) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const uint32_t *witness_range(const struct witness *w, uint32_t start, uint32_t end, size_t *n)
{
    size_t from = start ? order_from(w, start) : 0, to = end ? order_from(w, end) : w->ordered;
    *n = to > from ? to - from : 0;
    return w->order + from;
}

uint32_t witness_durable_by(const struct witness *w, uint64_t ns)
{
    size_t lo = 0, hi = w->units;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (w->unit[mid].durable_ns <= ns)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint32_t)lo;
}

uint32_t witness_state_of(const struct witness *w, uint64_t seqno)
{
    size_t lo = 0, hi = w->units;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct witness_unit *u = &w->unit[mid];
        if (w->record[u->record + u->records - 1].seqno <= seqno)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint32_t)lo;
}

uint32_t witness_state_before(const struct witness *w, struct firn_place place)
{
    size_t lo = 0, hi = w->units;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (firn_place_cmp(w->unit[mid].place, place) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint32_t)lo;
}

uint64_t witness_log_time(const struct witness *w, uint32_t state)
{
    if (state == 0)
        return 0;
    const struct witness_unit *u = &w->unit[state - 1];
    bool whole = state == w->units || !firn_place_eq(w->unit[state].place, u->place);
    return whole ? u->log_time_ms : u->before_ms;
}
