/* Expired events in the simulated cluster: what the log says of them, read as I5 has it from every
 * slot that ever landed, up to the floor of each manifest that was committed:
 *
 * - an EXPIRED names the seqno of the value that is the key's newest then, whose time had come; so
 *   none is logged twice, nor by another writer again, and none for a value that was overwritten,
 *   persisted or deleted before;
 * - a manifest's expired_to is true: of the values in the log below its floor none that expired
 *   before it is still its key's newest;
 * - when all is over, every value that could expire did. */
#include "sim/cluster_sim.h"

#include "format/batch.h"
#include "format/key.h"
#include "format/record.h"
#include "format/seal.h"

/* ---- the slots that landed */

static size_t slot_find(const struct sim_expiry *s, struct firn_place p)
{
    size_t lo = 0, hi = s->slots;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (firn_place_cmp(s->slot[mid].place, p) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The first that lands is the slot (I1); what is put into a collected one later is not. */
void sim_expiry_slot(struct sim *x, struct firn_place p, struct firn_slice body)
{
    struct sim_expiry *s = &x->expiry;
    size_t at = slot_find(s, p);
    if (at < s->slots && firn_place_eq(s->slot[at].place, p))
        return;
    struct sim_slot *more = realloc(s->slot, (s->slots + 1) * sizeof *more);
    if (!more)
        abort();
    s->slot = more;
    memmove(more + at + 1, more + at, (s->slots++ - at) * sizeof *more);
    more[at].place = p;
    firn_buf_init(&more[at].body, SIZE_MAX);
    SIM_MUST(x, firn_buf_append(&more[at].body, body.data, body.len) == FIRN_OK);
}

/* ---- the log in order */

_Noreturn static void bad(const struct sim *x, const char *what, struct firn_slice key,
                          uint64_t got, uint64_t want)
{
    sim_fail(x, "%s of %.*s: %llu, expected %llu", what, (int)key.len - 1,
             (const char *)key.data + 1, (unsigned long long)got, (unsigned long long)want);
}

/* What is known of a key of these clients; NULL for others. */
static struct sim_value *value_of(struct sim_expiry *s, struct firn_slice key)
{
    if (key.len != 5 || key.data[1] != 'e' || key.data[3] != ':') /* namespace, "e3:1" */
        return NULL;
    unsigned client = key.data[2] - (unsigned)'0', k = key.data[4] - (unsigned)'0';
    return client < CLIENTS_MAX && k < SIM_EXPIRING ? &s->value[client][k] : NULL;
}

static void take_record(struct sim *x, const struct firn_batch_header *h,
                        const struct firn_record *r)
{
    struct sim_value *v = value_of(&x->expiry, r->key);
    if (!v)
        return;
    if (r->kind == FIRN_RECORD_EXPIRED) {
        if (v->seqno != r->value_seqno)
            bad(x, "EXPIRED names a value", r->key, r->value_seqno, v->seqno);
        if (v->expiry_ms == 0 || v->expiry_ms > h->log_time_ms)
            bad(x, "EXPIRED comes before its time", r->key, h->log_time_ms, v->expiry_ms);
        SIM_COUNT(x, expired);
    }
    *v = (struct sim_value){0};
    if (r->kind == FIRN_RECORD_PUT)
        *v = (struct sim_value){.seqno = r->seqno, .expiry_ms = r->expiry_ms};
}

static void take_batch(struct sim *x, struct firn_place at, struct firn_slice body)
{
    struct firn_batch_header h;
    struct firn_buf raw;
    struct firn_record_cursor c;
    struct firn_record r;
    struct firn_err err = {""};
    firn_buf_init(&raw, SIZE_MAX);
    if (firn_batch_decode(body, &x->expiry.db, at, FIRN_BATCH_RAW_MAX, &h, &raw, &err) != FIRN_OK)
        sim_fail(x, "slot %llu/%llu: %s", (unsigned long long)at.epoch, (unsigned long long)at.slot,
                 err.text);
    firn_record_begin(&c, firn_buf_slice(&raw), h.first_seqno);
    while (firn_record_next(&c, &r, NULL) == FIRN_OK) {
        sim_feed_record(x, &r);
        take_record(x, &h, &r);
    }
    firn_buf_clear(&raw);
}

/* Read on, up to `end`, which may lie behind everything. */
static void read_log(struct sim *x, struct firn_place end)
{
    struct sim_expiry *s = &x->expiry;
    while (firn_place_cmp(s->at, end) < 0) {
        size_t i = slot_find(s, s->at);
        bool there = i < s->slots && firn_place_eq(s->slot[i].place, s->at);
        if (!there && end.epoch == UINT64_MAX && i == s->slots)
            return;
        if (!there || firn_slot_kind(firn_buf_slice(&s->slot[i].body)) == FIRN_SLOT_SEAL) {
            s->at = (struct firn_place){s->at.epoch + 1, 0};
            continue;
        }
        take_batch(x, s->at, firn_buf_slice(&s->slot[i].body));
        s->at.slot++;
    }
}

static void check_expired_to(struct sim *x, uint64_t expired_to_ms)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        for (unsigned k = 0; k < SIM_EXPIRING; k++) {
            const struct sim_value *v = &x->expiry.value[i][k];
            char key[16];
            int n = snprintf(key, sizeof key, "\x10%c%u:%u", 'e', i, k);
            if (v->expiry_ms && v->expiry_ms < expired_to_ms)
                bad(x, "below the floor nobody knows that it expired: a value",
                    firn_slice_of(key, (size_t)n), expired_to_ms, v->expiry_ms);
        }
}

void sim_expiry_manifest(struct sim *x, const Firn__Manifest *m)
{
    x->expiry.db = firn_pb_id(&m->database_id);
    read_log(x, firn_place_of(m->floor));
    if (x->choice.events)
        check_expired_to(x, m->expired_to_ms);
}

void sim_expiry_begin(struct sim *x)
{
    x->expiry.at = (struct firn_place){1, 0};
}

/* No epoch is above this; read_log stops where nothing is left. */
void sim_expiry_check_end(struct sim *x)
{
    read_log(x, (struct firn_place){UINT64_MAX, 0});
    if (x->choice.events)
        check_expired_to(x, UINT64_MAX);
}

void sim_expiry_end(struct sim *x)
{
    for (size_t i = 0; i < x->expiry.slots; i++)
        firn_buf_clear(&x->expiry.slot[i].body);
    free(x->expiry.slot);
}
