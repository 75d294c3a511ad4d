#include "log/append.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "format/name.h"
#include "format/seal.h"

/* Batches at most this large are encoded on the loop; larger ones by a job. */
#define ENCODE_INLINE_BYTES ((size_t)32 * 1024)
/* After a refusal that a retry at once will not mend (no permission, store full). */
#define REFUSED_PAUSE_NS (500 * FIRN_MS)
/* Group marks around the records of a group: kind, event, flags, length 0. */
#define GROUP_MARK_BYTES 4

enum slot_state { SLOT_FREE, SLOT_ENCODING, SLOT_FLIGHT, SLOT_PAUSED, SLOT_LANDED };

/* A closed batch on its way. Heap memory of its own: it outlives the pipeline while a job or
 * request has it. */
struct slot {
    struct firn_append *owner; /* NULL: the pipeline is gone, free yourself */
    const struct firn_env *env;
    enum slot_state state;
    struct firn_batch_header header;
    enum firn_codec codec;
    struct firn_buf raw;    /* until encoded; until durable when kept */
    struct firn_buf object; /* until durable */
    size_t raw_bytes;
    bool kept; /* somebody listens: its records are told when it is durable */
    uint64_t last_seqno;
    uint64_t opened_ns;     /* boot clock: first record */
    uint64_t first_sent_ns; /* boot clock; 0 = not sent yet */
    char name[FIRN_NAME_MAX];
    struct firn_store_op op;
    struct firn_job job;
    struct firn_timer pause;
    unsigned looks; /* in a row at something that is no seal and not ours */
    enum firn_status status;
};

struct firn_append {
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_append_options opt;
    struct firn_append_user user;

    struct firn_buf open; /* raw records of the open batch */
    uint32_t open_count;
    uint64_t open_seqno; /* its first */
    uint64_t open_since_ns;
    uint64_t open_slot;

    struct slot
        *ring[FIRN_APPEND_INFLIGHT_MAX]; /* slots durable_slots … open_slot-1, by number modulo */
    uint64_t durable_slots;
    uint64_t unacked_bytes; /* of closed slots */
    uint64_t last_close_ns;
    bool close_now;
    bool wanted; /* somebody waits for the open batch */
    bool stopped;
    struct firn_buf spare; /* a raw buffer to be used again */
    size_t counted_cap;    /* of the open batch, as the budget knows it */

    struct firn_timer timer; /* wal-interval */
    struct firn_defer defer; /* end of the turn: maybe close */
    uint64_t batches, records, raw_bytes, object_bytes;
};

static void maybe_close(struct firn_append *a);

static void slot_free(struct slot *s)
{
    if (!s)
        return;
    firn_store_op_clear(&s->op);
    firn_buf_clear(&s->raw);
    firn_buf_clear(&s->object);
    firn_free(s);
}

static struct slot **ring_at(struct firn_append *a, uint64_t slot)
{
    return &a->ring[slot % FIRN_APPEND_INFLIGHT_MAX];
}

static unsigned inflight(const struct firn_append *a)
{
    return (unsigned)(a->open_slot - a->durable_slots);
}

/* What the open batch, the spare buffer and the slots under way hold. O(slots under way). */
static void count(struct firn_append *a)
{
    uint64_t bytes = a->open.cap + a->spare.cap;
    for (uint64_t i = a->durable_slots; i < a->open_slot; i++) {
        const struct slot *s = *ring_at(a, i);
        /* A job may be filling the object: it will be about as large. */
        bytes += s->raw.cap + (s->state == SLOT_ENCODING ? s->raw_bytes : s->object.cap);
    }
    a->counted_cap = a->open.cap;
    firn_budget_set(a->opt.budget, FIRN_BUDGET_BATCHES, bytes);
}

/* Keep one raw buffer: the next batch is likely to be as large as this one. */
static void recycle(struct firn_append *a, struct firn_buf *b)
{
    if (b->cap > a->spare.cap) {
        firn_buf_clear(&a->spare);
        a->spare = *b;
        a->spare.len = 0;
        *b = (struct firn_buf){.max = b->max};
    }
    firn_buf_clear(b);
}

static void stop(struct firn_append *a, enum firn_status why, const struct firn_err *err)
{
    if (a->stopped)
        return;
    a->stopped = true;
    firn_timer_stop(a->env, &a->timer);
    a->user.stopped(a->user.arg, why, err);
}

/* I2: slots become durable strictly in order. Told once per advance, with the newest. */
static void advance(struct firn_append *a)
{
    uint64_t last_seqno = 0, first_sent = 0;
    uint64_t before = a->durable_slots;
    while (a->durable_slots < a->open_slot) {
        struct slot **at = ring_at(a, a->durable_slots);
        struct slot *s = *at;
        if (s->state != SLOT_LANDED)
            break;
        last_seqno = s->last_seqno;
        first_sent = s->first_sent_ns;
        a->unacked_bytes -= s->raw_bytes;
        if (s->kept)
            a->user.records(a->user.arg, &s->header, firn_buf_slice(&s->raw));
        recycle(a, &s->raw);
        *at = NULL;
        slot_free(s);
        a->durable_slots++;
    }
    count(a);
    if (a->durable_slots > before)
        a->user.durable(a->user.arg, a->durable_slots, last_seqno, first_sent);
}

/* Something that is not what we sent lies in our slot: a seal, or it only looks so (the same PUT
 * shows it again), or another process has our epoch. */
static void lost_slot(struct firn_append *a, struct slot *s)
{
    struct firn_err err = {0};
    struct firn_slice found = firn_buf_slice(&s->op.found);
    struct firn_seal seal;
    bool is_seal = firn_slot_kind(found) == FIRN_SLOT_SEAL;
    if (is_seal && firn_seal_decode(found, &a->opt.db, s->header.place, &seal, &err) == FIRN_OK) {
        (void)firn_fail(
            &err, FIRN_FENCED, "slot %llu of epoch %llu was sealed by the writer of epoch %llu",
            (unsigned long long)s->header.place.slot, (unsigned long long)s->header.place.epoch,
            (unsigned long long)seal.sealer_epoch);
        FIRN_SOMETIMES("log: a writer fenced by a seal in its slot");
        stop(a, FIRN_FENCED, &err);
    } else if (++s->looks < FIRN_STORE_LOOKS_MAX) {
        FIRN_SOMETIMES("log: a slot of ours looked at again");
        firn_timer_start(s->env, &s->pause, REFUSED_PAUSE_NS);
    } else {
        if (!is_seal)
            (void)firn_fail(&err, FIRN_CORRUPT, "%s holds a batch of our epoch that is not ours",
                            s->name);
        stop(a, FIRN_CORRUPT, &err);
    }
}

static void slot_send(struct slot *s);

static void pause_over(void *arg)
{
    slot_send(arg);
}

static void slot_put(struct firn_store_op *op)
{
    struct slot *s = op->arg;
    struct firn_append *a = s->owner;
    if (!a) {
        slot_free(s);
        return;
    }
    if (s->first_sent_ns == 0)
        s->first_sent_ns = op->first_sent_ns;
    switch (op->status) {
    case FIRN_OK:
    case FIRN_ABSENT: /* 412, then 404: it was ours, was flushed and collected: durable */
        FIRN_SOMETIMES_IF(op->status == FIRN_ABSENT,
                          "log: own slot collected before its reply came");
        FIRN_SOMETIMES_IF(s != *ring_at(a, a->durable_slots),
                          "log: a slot landed before an older one");
        s->state = SLOT_LANDED;
        firn_buf_clear(&s->object);
        if (!a->stopped) {
            advance(a);
            maybe_close(a);
        }
        return;
    case FIRN_CONFLICT:
        s->state = SLOT_PAUSED;
        lost_slot(a, s);
        return;
    default:
        FIRN_SOMETIMES("log: the PUT of a slot was refused for now");
        /* Refused for now. Later slots are nothing without this one, so it is sent until it is
         * decided; meanwhile commit-timeout answers the clients. */
        s->state = SLOT_PAUSED;
        firn_timer_start(s->env, &s->pause, REFUSED_PAUSE_NS);
        return;
    }
}

static void slot_send(struct slot *s)
{
    struct firn_append *a = s->owner;
    if (a->stopped)
        return;
    s->state = SLOT_FLIGHT;
    firn_store_op_clear(&s->op);
    firn_store_submit(a->store, &s->op);
}

static void slot_prepare(struct firn_append *a, struct slot *s)
{
    firn_name_slot(s->name, firn_id_short(&a->opt.db), s->header.place);
    firn_store_op_init(&s->op);
    s->op.req.op = FIRN_OS_PUT;
    s->op.req.cond = FIRN_OS_IF_ABSENT;
    s->op.req.key = s->name;
    s->op.req.body = firn_buf_slice(&s->object);
    s->op.flags = FIRN_STORE_HEDGE;
    s->op.done = slot_put;
    s->op.arg = s;
    s->pause.fn = pause_over;
    s->pause.arg = s;
    a->object_bytes += s->object.len;
    if (!s->kept)
        recycle(a, &s->raw);
    s->state = SLOT_PAUSED;
    count(a);
    slot_send(s);
}

static void encode_run(struct firn_job *job)
{
    struct slot *s = job->arg;
    s->status = firn_batch_encode(&s->header, firn_buf_slice(&s->raw), s->codec, &s->object);
}

static void encode_again(void *arg)
{
    struct slot *s = arg;
    firn_exec(s->env, &s->job);
}

static void encode_done(struct firn_job *job)
{
    struct slot *s = job->arg;
    if (!s->owner) {
        slot_free(s);
        return;
    }
    if (s->status != FIRN_OK) {
        /* Memory is short. The records are acknowledged to nobody yet and must not be lost: try
         * again. */
        s->pause.fn = encode_again;
        s->pause.arg = s;
        firn_timer_start(s->env, &s->pause, REFUSED_PAUSE_NS);
        return;
    }
    slot_prepare(s->owner, s);
}

static bool close_open(struct firn_append *a)
{
    struct slot *s = firn_calloc(1, sizeof *s);
    if (!s)
        return false;
    s->owner = a;
    s->env = a->env;
    s->codec = a->opt.codec;
    s->header.db = a->opt.db;
    s->header.format = a->opt.format;
    s->header.place = (struct firn_place){a->opt.epoch, a->open_slot};
    s->header.process_nonce = a->opt.process_nonce;
    firn_random(a->env, s->header.nonce.byte, FIRN_ID_BYTES);
    s->header.first_seqno = a->open_seqno;
    s->header.count = a->open_count;
    s->header.log_time_ms = a->user.now_ms(a->user.arg);
    s->raw = a->open;
    s->raw_bytes = a->open.len;
    s->kept = a->user.listens && a->user.listens(a->user.arg);
    s->last_seqno = a->open_seqno + a->open_count - 1;
    s->opened_ns = a->open_since_ns;
    firn_buf_init(&s->object, SIZE_MAX);
    s->state = SLOT_ENCODING;
    s->job = (struct firn_job){.run = encode_run, .done = encode_done, .arg = s};
    *ring_at(a, a->open_slot) = s;

    a->unacked_bytes += s->raw_bytes;
    a->batches++;
    a->records += a->open_count;
    a->raw_bytes += s->raw_bytes;
    a->open = a->spare;
    a->open.max = a->opt.batch_bytes_max;
    firn_buf_init(&a->spare, a->opt.batch_bytes_max);
    a->open_seqno += a->open_count;
    a->open_count = 0;
    a->open_slot++;
    a->last_close_ns = firn_boot_ns(a->env);
    a->close_now = a->wanted = false;
    firn_timer_stop(a->env, &a->timer);
    count(a);
    a->user.closed(a->user.arg, s->header.place.slot);

    if (s->raw_bytes <= ENCODE_INLINE_BYTES) {
        encode_run(&s->job);
        encode_done(&s->job);
    } else {
        firn_exec(a->env, &s->job);
    }
    return true;
}

/* The policy of closing; see the head of append.h. */
static void maybe_close(struct firn_append *a)
{
    if (a->stopped || a->open_count == 0 || inflight(a) >= a->opt.inflight_max)
        return;
    bool at_once = a->close_now || (a->wanted && inflight(a) == 0);
    if (!at_once && a->open.len < a->opt.batch_bytes) {
        uint64_t since = firn_boot_ns(a->env) - a->last_close_ns;
        if (since < a->opt.interval_ns) {
            if (!firn_timer_running(&a->timer))
                firn_timer_start(a->env, &a->timer, a->opt.interval_ns - since);
            return;
        }
    }
    if (!close_open(a))
        firn_timer_start(a->env, &a->timer, REFUSED_PAUSE_NS); /* memory is short */
}

static void close_due(void *arg)
{
    maybe_close(arg);
}

enum firn_status firn_append_create(const struct firn_env *env, struct firn_store *store,
                                    const struct firn_append_options *o,
                                    const struct firn_append_user *user, struct firn_append **out)
{
    FIRN_ASSERT(o->inflight_max >= 1 && o->inflight_max <= FIRN_APPEND_INFLIGHT_MAX);
    struct firn_append *a = firn_calloc(1, sizeof *a);
    if (!a)
        return FIRN_LIMIT;
    a->env = env;
    a->store = store;
    a->opt = *o;
    a->user = *user;
    firn_buf_init(&a->open, o->batch_bytes_max);
    firn_buf_init(&a->spare, o->batch_bytes_max);
    a->open_seqno = firn_epoch_seqno(o->epoch);
    a->timer.fn = close_due;
    a->timer.arg = a;
    a->defer.fn = close_due;
    a->defer.arg = a;
    *out = a;
    return FIRN_OK;
}

void firn_append_free(struct firn_append *a)
{
    if (!a)
        return;
    firn_timer_stop(a->env, &a->timer);
    firn_defer_cancel(a->env, &a->defer);
    for (uint64_t i = a->durable_slots; i < a->open_slot; i++) {
        struct slot *s = *ring_at(a, i);
        s->owner = NULL;
        if (s->state == SLOT_FLIGHT) {
            firn_store_cancel(a->store, &s->op);
        } else if (s->state == SLOT_ENCODING && !firn_timer_running(&s->pause)) {
            continue; /* its job is under way and frees it */
        } else {
            firn_timer_stop(a->env, &s->pause);
            slot_free(s);
        }
    }
    firn_buf_clear(&a->open);
    firn_buf_clear(&a->spare);
    firn_budget_set(a->opt.budget, FIRN_BUDGET_BATCHES, 0);
    firn_free(a);
}

bool firn_append_room(const struct firn_append *a, size_t bytes)
{
    if (a->stopped)
        return false;
    return a->open.len + bytes <= a->opt.batch_bytes_max || inflight(a) < a->opt.inflight_max;
}

/* Append all or nothing to the open batch. */
static enum firn_status add_all(struct firn_append *a, const struct firn_record *rec, size_t n)
{
    static const struct firn_record begin = {.kind = FIRN_RECORD_GROUP_BEGIN};
    static const struct firn_record end = {.kind = FIRN_RECORD_GROUP_END};
    size_t before = a->open.len;
    enum firn_status s = n > 1 ? firn_record_append(&a->open, &begin) : FIRN_OK;
    for (size_t i = 0; i < n && s == FIRN_OK; i++)
        s = firn_record_append(&a->open, &rec[i]);
    if (n > 1 && s == FIRN_OK)
        s = firn_record_append(&a->open, &end);
    if (s != FIRN_OK)
        a->open.len = before;
    return s;
}

/* The group does not fit behind what the open batch holds: close that first. */
static bool make_room(struct firn_append *a, const struct firn_record *rec, size_t n)
{
    size_t bytes = n > 1 ? 2 * GROUP_MARK_BYTES : 0;
    for (size_t i = 0; i < n; i++)
        bytes += firn_record_size(&rec[i]);
    if (bytes <= a->opt.batch_bytes_max - a->open.len)
        return true;
    if (bytes > a->opt.batch_bytes_max || inflight(a) >= a->opt.inflight_max)
        return false;
    FIRN_SOMETIMES_IF(a->open_count, "log: a batch closed to make room for a group");
    return a->open_count == 0 || close_open(a);
}

enum firn_status firn_append_add(struct firn_append *a, const struct firn_record *rec, size_t n,
                                 uint64_t *slot, uint64_t *first_seqno)
{
    FIRN_ASSERT(n >= 1);
    if (a->stopped || !make_room(a, rec, n))
        return FIRN_LIMIT;
    enum firn_status s = add_all(a, rec, n);
    if (s != FIRN_OK)
        return s;
    if (a->open_count == 0)
        a->open_since_ns = firn_boot_ns(a->env);
    *slot = a->open_slot;
    *first_seqno = a->open_seqno + a->open_count + (n > 1 ? 1 : 0);
    a->open_count += (uint32_t)(n > 1 ? n + 2 : 1);
    if (a->open.cap != a->counted_cap)
        count(a);
    if (a->open.len >= a->opt.batch_bytes || !firn_timer_running(&a->timer))
        firn_defer(a->env, &a->defer);
    return FIRN_OK;
}

void firn_append_want(struct firn_append *a, uint64_t slot)
{
    if (a->wanted || slot != a->open_slot || a->open_count == 0)
        return;
    a->wanted = true;
    if (inflight(a) == 0)
        firn_defer(a->env, &a->defer);
}

void firn_append_close_now(struct firn_append *a)
{
    if (a->open_count == 0)
        return;
    a->close_now = true;
    maybe_close(a);
}

void firn_append_tune(struct firn_append *a, uint64_t interval_ns, uint64_t batch_bytes,
                      unsigned inflight_max)
{
    FIRN_ASSERT(inflight_max >= 1 && inflight_max <= FIRN_APPEND_INFLIGHT_MAX);
    a->opt.interval_ns = interval_ns;
    a->opt.batch_bytes = batch_bytes;
    a->opt.inflight_max = inflight_max;
    firn_timer_stop(a->env, &a->timer);
    firn_defer(a->env, &a->defer);
}

static uint64_t sent_slots(const struct firn_append *a)
{
    uint64_t n = a->durable_slots;
    while (n < a->open_slot && a->ring[n % FIRN_APPEND_INFLIGHT_MAX]->state != SLOT_ENCODING)
        n++;
    return n;
}

uint64_t firn_append_unacked_bytes(const struct firn_append *a)
{
    return a->unacked_bytes + a->open.len;
}

uint64_t firn_append_oldest_ns(const struct firn_append *a)
{
    if (inflight(a) > 0)
        return a->ring[a->durable_slots % FIRN_APPEND_INFLIGHT_MAX]->opened_ns;
    return a->open_count ? a->open_since_ns : 0;
}

void firn_append_state(const struct firn_append *a, struct firn_append_state *out)
{
    *out = (struct firn_append_state){
        .open_used = a->open_count > 0,
        .open_slot = a->open_slot,
        .durable_slots = a->durable_slots,
        .sent_slots = sent_slots(a),
        .next_seqno = a->open_seqno + a->open_count,
        .batches = a->batches,
        .records = a->records,
        .raw_bytes = a->raw_bytes,
        .object_bytes = a->object_bytes,
        .inflight = inflight(a),
    };
}
