/* KV.CHANGES FROM token [MATCH prefix] [COUNT n]: see changes_priv.h and docs/COMMANDS.md.
 *
 * Which slots may be believed (PROTOCOL.md, "Tailing and freshness"): a batch before its epoch's
 * seal is true for ever. Nothing at or behind this node's durable place is looked at, so an empty
 * slot means that it was collected. A seal may be a false one in a collected slot: it counts when a
 * manifest that was asked for afterwards keeps its place. A position in an older epoch might lie
 * behind that epoch's seal, where batches were never acknowledged (a token of an APPLIED connection
 * can name one): unless the position is known to lie before it, the walk begins at the first slot
 * kept, and meets the seal. */
#include "engine/cmd_priv.h"

#include "base/mem.h"
#include "base/sometimes.h"

#include <inttypes.h>

#define WINDOW_MAX 16 /* slots asked for at once */

/* ---- what a change looks like */

static bool wanted(const struct firn_changes *w, struct firn_slice key)
{
    return firn_slice_starts(key, firn_buf_slice(&w->prefix));
}

/* Could a key of [start, end) begin with the prefix? */
static bool range_wanted(const struct firn_changes *w, struct firn_slice start,
                         struct firn_slice end)
{
    struct firn_slice p = firn_buf_slice(&w->prefix);
    bool begins_below = firn_slice_cmp(start, p) <= 0 || firn_slice_starts(start, p);
    return begins_below && (end.len == 0 || firn_slice_cmp(p, end) < 0);
}

/* [kind, db, key, value | end | nil, expiry_ms | nil, version, event | nil, group | nil] */
static void put_change(struct firn_changes *w, const struct firn_record *r, const char *kind,
                       int db, struct firn_slice key, const struct firn_slice *value)
{
    struct firn_reply *out = &w->rows;
    const char *event = firn_event_name(r->event);
    firn_reply_array(out, 8);
    firn_reply_str(out, kind);
    firn_reply_i64(out, db);
    firn_reply_bulk(out, key);
    if (value)
        firn_reply_bulk(out, *value);
    else
        firn_reply_null(out);
    if (r->expiry_ms)
        firn_reply_bulk_u64(out, r->expiry_ms);
    else
        firn_reply_null(out);
    firn_reply_bulk_u64(out, r->seqno);
    if (event)
        firn_reply_str(out, event);
    else
        firn_reply_null(out);
    if (w->group)
        firn_reply_bulk_u64(out, w->group);
    else
        firn_reply_null(out);
    w->count++;
}

/* A range may span databases: one change for each. */
static void put_range(struct firn_changes *w, const struct firn_record *r)
{
    for (uint8_t ns = FIRN_NS_DB0; ns < FIRN_NS_DB_END; ns++) {
        struct firn_slice start = {NULL, 0}, end = {NULL, 0};
        if (firn_slice_cmp(r->end_key, firn_slice_of(&ns, 1)) <= 0 || r->key.data[0] > ns)
            continue;
        if (r->key.data[0] == ns)
            start = firn_slice_of(r->key.data + 1, r->key.len - 1);
        if (r->end_key.len && r->end_key.data[0] == ns)
            end = firn_slice_of(r->end_key.data + 1, r->end_key.len - 1);
        if (range_wanted(w, start, end))
            put_change(w, r, "delrange", ns - FIRN_NS_DB0, start, &end);
    }
}

static void put_record(struct firn_changes *w, const struct firn_record *r)
{
    if (r->kind == FIRN_RECORD_RANGEDEL) {
        put_range(w, r);
        return;
    }
    const char *kind = r->kind == FIRN_RECORD_PUT       ? "put"
                       : r->kind == FIRN_RECORD_DEL     ? "del"
                       : r->kind == FIRN_RECORD_EXPIRED ? "expired"
                                                        : NULL;
    int db = kind ? firn_key_db(r->key) : -1;
    if (db < 0 || !wanted(w, firn_key_user(r->key)))
        return; /* messages, marks, the database's own records */
    put_change(w, r, kind, db, firn_key_user(r->key),
               r->kind == FIRN_RECORD_PUT ? &r->value : NULL);
}

/* ---- the walk */

/* Has everything before the manifest's floor been taken? Then nothing below it need be there any
 * more. Seqnos are given out once, so one that the manifest names was durable. */
static bool floor_taken(const struct firn_manifest *m, uint64_t seqno, bool verified)
{
    uint64_t at_floor = m->pb->seqno_at_floor;
    return seqno == at_floor || (verified && seqno > at_floor);
}

static void end_walk(struct firn_changes *w, enum firn_status s)
{
    if (w->done)
        return;
    firn_slots_stop(w->slots);
    w->done = true;
    w->status = s;
    if (w->s)
        firn_conn_resume(w->s->c);
}

static bool page_full(const struct firn_changes *w)
{
    return w->count >= w->count_max || w->rows.buf.len >= FIRN_CHANGES_BYTES;
}

/* Take the records behind the position, until the page is full at the end of a group. */
static void take_batch(struct firn_changes *w, const struct firn_slot_result *slot)
{
    struct firn_record_cursor c;
    struct firn_record r;
    enum firn_status s;
    w->e->changes.slots_read++;
    w->verified |= firn_place_cmp(slot->place, w->from.place) >= 0;
    w->group = 0;
    firn_record_begin(&c, slot->records, slot->batch->first_seqno);
    while ((s = firn_record_next(&c, &r, &w->err)) == FIRN_OK) {
        if (r.kind == FIRN_RECORD_GROUP_BEGIN)
            w->group = r.seqno;
        else if (r.kind == FIRN_RECORD_GROUP_END)
            w->group = 0;
        if (r.seqno <= w->from.seqno)
            continue;
        put_record(w, &r);
        if (w->group)
            continue;
        w->next.place = slot->place;
        w->next.seqno = r.seqno;
        if (page_full(w)) {
            end_walk(w, FIRN_OK);
            return;
        }
    }
    if (s != FIRN_ABSENT) {
        end_walk(w, s);
        return;
    }
    uint64_t last = slot->batch->first_seqno + slot->batch->count - 1; /* skipped kinds, too */
    if (last > w->next.seqno)
        w->next.seqno = last;
}

/* The next slot to be read is `at`: go on, unless that is the end. */
static void go_on(struct firn_changes *w, struct firn_place at)
{
    if (firn_place_cmp(at, w->end) >= 0) {
        end_walk(w, FIRN_OK);
        return;
    }
    firn_slots_run(w->slots);
}

static void walk_on(struct firn_changes *w, struct firn_place at)
{
    firn_slots_seek(w->slots, at);
    go_on(w, at);
}

/* The slots from here on were collected. */
static void not_kept(struct firn_changes *w, const struct firn_manifest *m)
{
    if (floor_taken(m, w->next.seqno, w->verified))
        walk_on(w, m->floor);
    else
        end_walk(w, FIRN_ABSENT);
}

/* The seal that counts. */
static void sealed(struct firn_changes *w)
{
    firn_seals_note(&w->e->changes.seals, w->stop);
    if (w->verified)
        walk_on(w, (struct firn_place){w->stop.epoch + 1, 0});
    else
        end_walk(w, FIRN_INVALID);
}

/* The manifest of after the seal or the empty slot says whether the place is kept. */
static void vouched(struct firn_manifest_read *r)
{
    struct firn_changes *w = r->arg;
    w->reading = false;
    if (!w->s) {
        firn_engine__changes_free(w);
        return;
    }
    if (r->status != FIRN_OK) {
        w->err = r->err;
        end_walk(w, r->status);
    } else if (firn_place_cmp(r->manifest->kept, w->stop) > 0) {
        not_kept(w, r->manifest);
    } else if (w->stop_is_seal) {
        sealed(w);
    } else {
        (void)firn_fail(&w->err, FIRN_CORRUPT, "slot %" PRIu64 "/%" PRIu64 " is missing",
                        w->stop.epoch, w->stop.slot);
        end_walk(w, FIRN_CORRUPT);
    }
}

static void vouch(struct firn_changes *w, const struct firn_slot_result *slot)
{
    w->stop = slot->place;
    w->stop_is_seal = slot->found == FIRN_FOUND_SEAL;
    memset(&w->read, 0, sizeof w->read);
    w->read.done = vouched;
    w->read.arg = w;
    w->reading = true;
    firn_manifest_read(w->e->db->mnode, &w->read);
}

static void on_slot(void *arg, const struct firn_slot_result *slot)
{
    struct firn_changes *w = arg;
    struct firn_place next = {slot->place.epoch, slot->place.slot + 1};
    switch (slot->found) {
    case FIRN_FOUND_BATCH:
        take_batch(w, slot);
        if (!w->done && firn_place_cmp(next, w->end) >= 0)
            end_walk(w, FIRN_OK);
        return;
    case FIRN_FOUND_SEAL:
    case FIRN_FOUND_MISSING:
        vouch(w, slot);
        return;
    case FIRN_FOUND_FAILED:
        w->err = *slot->err;
        end_walk(w, slot->status);
        return;
    }
}

/* ---- where it begins */

/* Is the slot of the position known to lie before its epoch's seal? */
static bool before_seal(const struct firn_engine *e, const struct firn_manifest *m,
                        struct firn_place p)
{
    const struct firn_seals *seals = &e->changes.seals;
    struct firn_place durable = e->db->durable_place;
    if ((p.epoch == durable.epoch && p.slot < durable.slot) ||
        (p.epoch == m->floor.epoch && p.slot < m->floor.slot))
        return true;
    for (size_t i = 0; i < FIRN_SEALS_KEPT && i < seals->next; i++)
        if (seals->at[i].epoch == p.epoch)
            return p.slot < seals->at[i].slot;
    return false;
}

/* The first slot to read for this position, and whether it is known to lie before its seal. Slots
 * below `kept` are tried: a batch that is still there is true. */
static struct firn_place first_slot(const struct firn_engine *e, const struct firn_token *from,
                                    bool *verified)
{
    const struct firn_manifest *m = firn_manifest_newest(e->db->mnode);
    struct firn_place p = from->place;
    bool whole = p.slot == FIRN_SLOT_MAX; /* all of that epoch */
    *verified = whole || before_seal(e, m, p);
    if (floor_taken(m, from->seqno, *verified)) {
        *verified = true;
        if (firn_place_cmp(p, m->floor) < 0)
            return m->floor;
    }
    if (whole)
        return (struct firn_place){p.epoch + 1, 0};
    if (!*verified)
        p.slot = p.epoch == m->kept.epoch && m->kept.slot < p.slot ? m->kept.slot : 0;
    return p;
}

static unsigned window(struct firn_place at, struct firn_place end)
{
    uint64_t slots = at.epoch == end.epoch ? end.slot - at.slot : WINDOW_MAX;
    return slots < WINDOW_MAX ? (unsigned)slots : WINDOW_MAX;
}

void firn_engine__changes_free(struct firn_changes *w)
{
    if (!w)
        return;
    if (w->s) {
        w->e->changes.walkers--;
        w->s = NULL;
    }
    firn_slots_free(w->slots);
    w->slots = NULL;
    firn_reply_clear(&w->rows);
    firn_buf_clear(&w->prefix);
    if (w->reading)
        firn_manifest_read_cancel(w->e->db->mnode, &w->read); /* its callback frees this */
    else
        firn_free(w);
}

struct change_words {
    struct firn_token from;
    struct firn_slice prefix;
    uint64_t count;
};

static enum firn_status begin_walk(struct firn_eval *x, const struct change_words *o,
                                   struct firn_place at, bool verified)
{
    struct firn_engine *e = x->e;
    struct firn_changes *w = firn_calloc(1, sizeof *w);
    if (!w)
        return FIRN_LIMIT;
    w->e = e;
    w->s = x->s;
    w->from = w->next = o->from;
    w->end = x->db->durable_place;
    w->count_max = o->count;
    w->verified = verified;
    e->changes.walkers++;
    x->s->changes = w;
    firn_reply_init(&w->rows, (size_t)x->db->settings->client_output_bytes_max / 2, x->out->resp);
    firn_buf_init(&w->prefix, SIZE_MAX);
    enum firn_status s = firn_buf_append(&w->prefix, o->prefix.data, o->prefix.len);
    struct firn_slots_options so = {
        .batch_raw_max = x->db->settings->batch_bytes_max,
        .ahead_bytes_max = FIRN_CHANGES_AHEAD_BYTES,
        .window_first = 1,
        .window_max = window(at, w->end),
    };
    memcpy(so.db.byte, x->db->db_id, sizeof so.db.byte);
    if (s == FIRN_OK)
        s = firn_slots_create(x->db->env, x->db->store, &so, on_slot, w, &w->slots);
    if (s != FIRN_OK)
        return s;
    firn_slots_seek(w->slots, at);
    firn_slots_run(w->slots);
    return FIRN_OK;
}

/* ---- the command */

static enum firn_status parse(struct firn_eval *x, struct change_words *o)
{
    if (!firn_engine__arg_is(x, 1, "from"))
        return firn_engine__syntax_error(x);
    *o = (struct change_words){.count = FIRN_CHANGES_COUNT};
    enum firn_status st = firn_engine__parse_token(x, x->argv[2], &o->from);
    for (size_t i = 3; st == FIRN_OK && i < x->argc; i += 2) {
        int64_t n;
        if (i + 1 < x->argc && firn_engine__arg_is(x, i, "match")) {
            o->prefix = x->argv[i + 1];
            continue;
        }
        if (i + 1 >= x->argc || !firn_engine__arg_is(x, i, "count"))
            return firn_engine__syntax_error(x);
        st = firn_engine__arg_i64(x, i + 1, &n);
        if (st == FIRN_OK && (n < 1 || n > FIRN_CHANGES_COUNT_MAX)) {
            firn_reply_error(x->out, "ERR COUNT must be 1 to %d", FIRN_CHANGES_COUNT_MAX);
            return FIRN_INVALID;
        }
        if (st == FIRN_OK)
            o->count = (uint64_t)n;
    }
    return st;
}

static void reply_page(struct firn_eval *x, const struct firn_token *next, uint64_t count,
                       const struct firn_reply *rows)
{
    char text[FIRN_TOKEN_MAX];
    size_t len = firn_token_format(next, text);
    firn_reply_array(x->out, 2);
    firn_reply_bulk(x->out, firn_slice_of(text, len));
    firn_reply_array(x->out, (size_t)count);
    if (rows)
        firn_reply_raw(x->out, rows->buf.data, rows->buf.len);
}

static enum firn_status gone(struct firn_eval *x)
{
    FIRN_SOMETIMES("engine: changes asked for behind what is kept");
    firn_reply_error(x->out, "KVGONE the log behind this position is not kept any more: read the "
                             "database anew (KV.SNAPSHOT) and go on from there");
    return FIRN_INVALID;
}

static enum firn_status start(struct firn_eval *x, const struct change_words *o)
{
    struct firn_place at;
    bool verified;
    enum firn_status st = firn_engine__read_ready(x);
    if (st == FIRN_OK)
        st = firn_engine__await_token(x, &o->from, true,
                                      x->arrival_ns + x->db->settings->read_timeout_ns);
    if (st != FIRN_OK)
        return st;
    if (o->from.seqno >= x->db->durable_seqno) { /* nothing is new: no request for that */
        reply_page(x, &o->from, 0, NULL);
        return FIRN_OK;
    }
    at = first_slot(x->e, &o->from, &verified);
    if (firn_place_cmp(at, x->db->durable_place) >= 0) {
        reply_page(x, &o->from, 0, NULL);
        return FIRN_OK;
    }
    if (x->e->changes.walkers >= FIRN_CHANGES_WALKERS_MAX) {
        firn_reply_error(x->out, "KVBUSY %d clients read the log already; it is safe to retry",
                         FIRN_CHANGES_WALKERS_MAX);
        return FIRN_INVALID;
    }
    st = begin_walk(x, o, at, verified);
    return st == FIRN_OK ? FIRN_AGAIN : st;
}

static enum firn_status finish(struct firn_eval *x, const struct firn_changes *w)
{
    if (w->rows.failed)
        return firn_engine__rows_lost(x, &w->rows, "ask for fewer changes");
    if (!w->done || (w->status != FIRN_OK && w->count > 0)) {
        /* What was taken before it failed, or the time was up, is as good as any page. */
        reply_page(x, &w->next, w->count, &w->rows);
        return FIRN_OK;
    }
    switch (w->status) {
    case FIRN_OK:
        reply_page(x, &w->next, w->count, &w->rows);
        return FIRN_OK;
    case FIRN_ABSENT:
        return gone(x);
    case FIRN_INVALID:
        firn_reply_error(x->out, "ERR the token lies behind the end of its writer's log: that "
                                 "write was never durable");
        return FIRN_INVALID;
    case FIRN_CORRUPT:
        firn_reply_error(x->out, "KVCORRUPT %s", w->err.text);
        return FIRN_INVALID;
    default:
        firn_reply_error(x->out, "KVBUSY the log could not be read: %s; it is safe to retry",
                         w->err.text[0] ? w->err.text : firn_status_name(w->status));
        return FIRN_INVALID;
    }
}

enum firn_status firn_engine__cmd_kv_changes(struct firn_eval *x)
{
    struct change_words o;
    enum firn_status st = parse(x, &o);
    if (st != FIRN_OK)
        return st;
    if (!x->s->changes) {
        st = start(x, &o);
        if (!x->s->changes || st != FIRN_AGAIN)
            return st;
    }
    const struct firn_changes *w = x->s->changes;
    uint64_t until = x->arrival_ns + x->db->settings->read_timeout_ns;
    bool late = firn_boot_ns(x->db->env) >= until;
    if (w->done || (late && (w->count > 0 || w->next.seqno > w->from.seqno)))
        return finish(x, w);
    struct firn_wait wait = {.kind = FIRN_WAIT_LOG, .deadline_ns = until};
    return firn_engine__await(x, &wait);
}
