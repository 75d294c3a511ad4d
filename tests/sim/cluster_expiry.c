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
#include "format/manifest_codec.h"
#include "format/name.h"
#include "format/record.h"
#include "format/seal.h"

/* ---- clients */

void sim_write_expiring(struct client *c)
{
    struct sim *x = c->x;
    unsigned k = (unsigned)sim_rnd(x, SIM_EXPIRING), other = (unsigned)sim_rnd(x, SIM_EXPIRING);
    unsigned ms = (unsigned)(50 + sim_rnd(x, sim_rnd(x, 2) ? 400 : SIM_TTL_MAX_MS - 50));
    sim_enqueue(c, OP_EXPIRING);
    switch (sim_rnd(x, 10)) {
    case 0:
        sim_say(c, "PERSIST e%u:%u\r\n", c->id, k);
        break;
    case 1:
        sim_say(c, "DEL e%u:%u\r\n", c->id, k);
        break;
    case 2:
        sim_say(c, "SET e%u:%u plain\r\n", c->id, k);
        break;
    case 3:
        sim_say(c, "PEXPIRE e%u:%u %u\r\n", c->id, k, ms);
        break;
    case 4:
        sim_say(c, "SET e%u:%u kept KEEPTTL\r\n", c->id, k);
        break;
    case 5:
        sim_say(c, "COPY e%u:%u e%u:%u REPLACE\r\n", c->id, k, c->id, (k + 1) % SIM_EXPIRING);
        break;
    case 6:
        sim_say(c, "MSETEX 2 e%u:%u a e%u:%u b PX %u\r\n", c->id, k, c->id, other, ms);
        break;
    default:
        sim_say(c, "SET e%u:%u x PX %u\r\n", c->id, k, ms);
        break;
    }
}

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
static void keep_slot(struct sim_expiry *s, struct firn_place p, struct firn_slice body)
{
    size_t at = slot_find(s, p);
    if (at < s->slots && firn_place_eq(s->slot[at].place, p))
        return;
    struct sim_slot *more = realloc(s->slot, (s->slots + 1) * sizeof *more);
    assert_non_null(more);
    s->slot = more;
    memmove(more + at + 1, more + at, (s->slots++ - at) * sizeof *more);
    more[at].place = p;
    firn_buf_init(&more[at].body, SIZE_MAX);
    assert_int_equal(firn_buf_append(&more[at].body, body.data, body.len), FIRN_OK);
}

/* ---- the log in order */

static void bad(const struct sim *x, const char *what, struct firn_slice key, uint64_t got,
                uint64_t want)
{
    print_error("seed %llu at %.6f s: %s of %.*s: %llu, expected %llu\n",
                (unsigned long long)x->seed, (double)sim_now_ns(x) / 1e9, what, (int)key.len - 1,
                (const char *)key.data + 1, (unsigned long long)got, (unsigned long long)want);
    fail();
}

/* What is known of a key of these clients; NULL for others. */
static struct sim_value *value_of(struct sim_expiry *s, struct firn_slice key)
{
    if (key.len != 5 || key.data[1] != 'e' || key.data[3] != ':') /* namespace, "e3:1" */
        return NULL;
    unsigned client = key.data[2] - (unsigned)'0', k = key.data[4] - (unsigned)'0';
    return client < CLIENTS && k < SIM_EXPIRING ? &s->value[client][k] : NULL;
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
        x->expiry.expired++;
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
        fail_msg("%s", err.text);
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
    for (unsigned i = 0; i < CLIENTS; i++)
        for (unsigned k = 0; k < SIM_EXPIRING; k++) {
            const struct sim_value *v = &x->expiry.value[i][k];
            char key[16];
            int n = snprintf(key, sizeof key, "\x10%c%u:%u", 'e', i, k);
            if (v->expiry_ms && v->expiry_ms < expired_to_ms)
                bad(x, "below the floor nobody knows that it expired: a value",
                    firn_slice_of(key, (size_t)n), expired_to_ms, v->expiry_ms);
        }
}

static void take_manifest(struct sim *x, struct firn_slice body)
{
    Firn__Manifest *m;
    struct firn_err err = {""};
    if (firn_manifest_decode(body, &m, &err) != FIRN_OK)
        fail_msg("%s", err.text);
    x->expiry.db = firn_pb_id(&m->database_id);
    read_log(x, firn_place_of(m->floor));
    check_expired_to(x, m->expired_to_ms);
    firn_pb_manifest_free(m);
}

static void effect(void *arg, unsigned node, enum firn_os_op op, const char *name,
                   struct firn_slice body, enum firn_status status)
{
    struct sim *x = arg;
    struct firn_name n;
    (void)node;
    if (op != FIRN_OS_PUT || status != FIRN_OK ||
        firn_name_parse(firn_slice_str(name), &n) != FIRN_OK)
        return;
    if (n.kind == FIRN_NAME_SLOT)
        keep_slot(&x->expiry, n.place, body);
    else if (n.kind == FIRN_NAME_MANIFEST)
        take_manifest(x, body);
}

void sim_expiry_begin(struct sim *x)
{
    x->expiry.at = (struct firn_place){1, 0};
    firn_fake_on_effect(x->w, effect, x);
}

/* No epoch is above this; read_log stops where nothing is left. */
void sim_expiry_check_end(struct sim *x)
{
    read_log(x, (struct firn_place){UINT64_MAX, 0});
    check_expired_to(x, UINT64_MAX);
}

void sim_expiry_end(struct sim *x)
{
    for (size_t i = 0; i < x->expiry.slots; i++)
        firn_buf_clear(&x->expiry.slot[i].body);
    free(x->expiry.slot);
}
