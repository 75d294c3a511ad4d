/* Standing by: a writer that has not claimed. It tails the log into memory, so that a take-over
 * replays little, watches the manifest and the heartbeats of the writer it names, and claims when
 * that is released, silent for too long, or when somebody wished for it (PROTOCOL "Standby and
 * failover"). When it claims is a matter of availability only: a claim is safe at any moment.
 *
 *   waiting for a database --> standing by --claim--> claiming (writer_core.c)
 *                                   ^                     |
 *                                   +-- another was first +
 */
#include "writer/writer_priv.h"

#include "base/assert.h"
#include "base/sometimes.h"
#include "format/beat.h"
#include "format/event.h"
#include "manifest/settings.h"

#include <inttypes.h>

/* How often the manifest is read where no heartbeat is promised. */
#define IDLE_POLL_NS (10 * FIRN_SEC)
/* Between two looks for a database that is not there, or a store that does not answer. */
#define RETRY_NS (1 * FIRN_SEC)
/* Looks per heartbeat, so that one that fails is no reason to wait much longer. */
#define LOOKS_PER_BEAT 4
/* So many looks must have found no new heartbeat, spread over the whole wait. */
#define LOOKS_MIN 3
/* A silence is this many heartbeats at least. */
#define SILENT_BEATS 3

static bool standing_by(const struct firn_writer *w)
{
    return w->state == WRITER_STANDING_BY;
}

/* How often heartbeats are to be expected: what the writer undertook, else what is asked of it. */
static uint64_t beat_ns(const Firn__Manifest *pb)
{
    uint64_t ms = pb->writer->heartbeat_kept_ms;
    return (ms ? ms : pb->settings->heartbeat_ms) * FIRN_MS;
}

static void arm(struct firn_writer *w, uint64_t ns)
{
    if (standing_by(w))
        firn_timer_start(w->db.env, &w->standby.poll, ns);
}

static void arm_next(struct firn_writer *w)
{
    uint64_t every = w->manifest ? beat_ns(w->manifest->pb) : 0;
    arm(w, every ? every / LOOKS_PER_BEAT : IDLE_POLL_NS);
}

/* --- the log */

static bool memory_full(const struct firn_writer *w)
{
    return writer_log_full(w) || firn_budget_full(&w->budget, FIRN_BUDGET_MEMTABLES);
}

static void tail_due(void *arg)
{
    struct firn_writer *w = arg;
    if (!standing_by(w))
        return;
    firn_tail_hint(w->standby.tail);
    firn_timer_start(w->db.env, &w->standby.tail_timer,
                     beat_ns(w->manifest->pb) ? w->settings->tail_interval_ns : IDLE_POLL_NS);
}

static bool wants_index(const struct firn_manifest *m)
{
    return firn_events_want_expired(m->pb->settings->notify_keyspace_events);
}

/* Memory stands at m's floor: behind what it held, or for the first time. LIMIT changes nothing. */
static enum firn_status begin_memory(struct firn_writer *w, const struct firn_manifest *m)
{
    struct firn_memory fresh;
    enum firn_status s = firn_memory_init(&fresh, m->floor, NULL);
    if (s != FIRN_OK)
        return s;
    w->memory.budget = &w->budget;
    firn_memory_replace(&w->memory, &fresh);
    w->memory.expiry_index = wants_index(m);
    w->db.durable_seqno = m->pb->seqno_at_floor;
    return FIRN_OK;
}

/* What m's tables hold need not be in memory. */
static enum firn_status follow_floor(struct firn_writer *w, const struct firn_manifest *m)
{
    enum firn_status s = FIRN_OK;
    /* We lag, or memory lacks the expiry index of what it holds. */
    if (firn_place_cmp(firn_tail_at(w->standby.tail), m->floor) < 0 ||
        wants_index(m) != w->memory.expiry_index) {
        s = begin_memory(w, m);
        if (s == FIRN_OK)
            firn_tail_seek(w->standby.tail, m->floor);
        return s;
    }
    if (firn_place_cmp(firn_memory_active(&w->memory)->end, m->floor) <= 0)
        s = firn_memory_rotate(&w->memory);
    if (s == FIRN_OK)
        firn_memory_flushed(&w->memory, m->floor, 0);
    return s;
}

static void take_manifest(struct firn_writer *w, struct firn_manifest *m)
{
    if (m == w->manifest || (w->manifest && m->version < w->manifest->version))
        return;
    firn_manifest_ref(m);
    firn_manifest_unref(w->manifest);
    w->manifest = m;
}

static enum firn_status tail_apply(void *arg, const struct firn_slot_result *batch)
{
    struct firn_writer *w = arg;
    if (!standing_by(w))
        return FIRN_TRANSIENT;
    enum firn_status s = firn_writer__replay(w, batch->batch, batch->records);
    if (s == FIRN_OK && memory_full(w)) {
        firn_tail_pause(w->standby.tail); /* until a newer floor lets memory go */
        arm(w, 0);
    }
    return s;
}

static void tail_manifest(void *arg, struct firn_manifest *m)
{
    struct firn_writer *w = arg;
    if (standing_by(w) && m->version > w->manifest->version &&
        firn_place_cmp(firn_tail_at(w->standby.tail), m->floor) >= 0 &&
        wants_index(m) == w->memory.expiry_index && follow_floor(w, m) == FIRN_OK)
        take_manifest(w, m);
}

static bool tail_reload(void *arg, struct firn_manifest *m)
{
    struct firn_writer *w = arg;
    FIRN_SOMETIMES("writer: a standby's slots were collected");
    if (!standing_by(w) || begin_memory(w, m) != FIRN_OK)
        return false;
    take_manifest(w, m);
    return true;
}

static void tail_sealed(void *arg, struct firn_place at)
{
    struct firn_writer *w = arg;
    firn_seals_note(&w->seals, at);
}

static void tail_believed(void *arg, uint64_t fresh_ns, uint64_t ticket)
{
    (void)arg; /* nobody reads here */
    (void)fresh_ns;
    (void)ticket;
}

static void tail_failed(void *arg, enum firn_status s, const struct firn_err *err, bool for_good)
{
    struct firn_writer *w = arg;
    if (!standing_by(w))
        return;
    firn_log_event(&w->obs->log, FIRN_LOG_WARN, "tailing failed", "status=%s why=%s",
                   firn_status_name(s), err ? err->text : "");
    if (for_good)
        firn_writer__finish(w, FIRN_WRITER_FAILED, err);
}

/* The database is there: begin to follow it. */
static enum firn_status begin(struct firn_writer *w, struct firn_manifest *m, struct firn_err *err)
{
    const Firn__Settings *set = m->pb->settings;
    struct firn_tail_options o = {
        .db = m->db,
        .at = m->floor,
        .batch_raw_max = set->batch_bytes_max,
        .ahead_bytes_max =
            firn_budget_cap(&w->budget, FIRN_BUDGET_BATCHES, 2, set->unflushed_bytes_max / 4),
        .budget = &w->budget,
        .wal_grace_ns = set->wal_grace_ms * FIRN_MS,
        .strict = w->settings->probe == FIRN_PROBE_STRICT,
    };
    struct firn_tail_user u = {
        .apply = tail_apply,
        .manifest = tail_manifest,
        .reload = tail_reload,
        .sealed = tail_sealed,
        .believed = tail_believed,
        .failed = tail_failed,
        .arg = w,
    };
    enum firn_status s = firn_writer__open_database(w, m, err);
    if (s == FIRN_OK)
        s = begin_memory(w, m);
    if (s == FIRN_OK)
        s = firn_tail_create(w->db.env, w->db.store, w->mnode, &o, &u, &w->standby.tail);
    if (s != FIRN_OK)
        return s;
    take_manifest(w, m);
    firn_log_event(&w->obs->log, FIRN_LOG_INFO, "standing by",
                   "epoch=%" PRIu64 " writer=%s heartbeat=%" PRIu64 "ms", m->pb->writer->epoch,
                   m->pb->writer->node_id, m->pb->writer->heartbeat_kept_ms);
    tail_due(w);
    return FIRN_OK;
}

/* --- the writer that is watched */

/* The wait begins anew: it is of successful reads alone, without a break, so that a store that was
 * away for all of us is not taken for a silent writer. */
static void wait_anew(struct firn_writer *w)
{
    w->standby.silent_looks = 0;
    w->standby.overdue_kept_ns = 0;
    w->standby.since_ns = firn_boot_ns(w->db.env);
}

/* Watch the holder that m names; a new one gets a whole new wait, and some jitter, so that not all
 * standbys claim at once. One that promises another heartbeat gets a new wait, too. */
static void watch(struct firn_writer *w, const struct firn_manifest *m)
{
    struct writer_standby *b = &w->standby;
    const Firn__Role *holder = m->pb->writer;
    bool same = b->watching && firn_manifest_role_is(m->pb, FIRN_ROLE_WRITER, b->epoch, &b->nonce);
    if (!same || holder->heartbeat_kept_ms != b->kept_ms)
        wait_anew(w);
    b->kept_ms = holder->heartbeat_kept_ms;
    if (same)
        return;
    uint64_t beat = beat_ns(m->pb);
    b->jitter_ns = b->watching && beat ? firn_random_u64(w->db.env) % beat : 0;
    b->watching = true;
    b->epoch = holder->epoch;
    b->nonce = (struct firn_id){{0}};
    if (holder->process_nonce.len == FIRN_ID_BYTES)
        memcpy(b->nonce.byte, holder->process_nonce.data, FIRN_ID_BYTES);
    b->count = 0;
}

/* Why should we take over from the holder that m names? NULL: we should not. By silence only at the
 * pace that we found it silent at. */
static const char *reason(const struct firn_writer *w, const Firn__Manifest *m)
{
    const struct writer_standby *b = &w->standby;
    uint64_t kept = m->writer->heartbeat_kept_ms * FIRN_MS;
    if (strcmp(m->promote_node, w->settings->node_id) == 0) {
        FIRN_SOMETIMES("writer: a standby promoted");
        return "it was wished for";
    }
    if (m->writer->process_nonce.len == 0 && m->settings->heartbeat_ms) {
        FIRN_SOMETIMES("writer: a released database claimed");
        return "the writer has released the database";
    }
    if (b->overdue_kept_ns && b->overdue_kept_ns == kept &&
        firn_manifest_role_is(m, FIRN_ROLE_WRITER, b->epoch, &b->nonce)) {
        FIRN_SOMETIMES("writer: a silent writer's database claimed");
        return "the writer is silent";
    }
    return NULL;
}

/* Others may have changed the manifest before our claim of it lands. */
static bool still_wanted(void *arg, const Firn__Manifest *m)
{
    const struct firn_writer *w = arg;
    return m->writer->epoch == w->standby.epoch && reason(w, m) != NULL;
}

static void claim(struct firn_writer *w, const char *why)
{
    struct firn_err err = {0};
    enum firn_status s = firn_writer__open_database(w, w->manifest, &err);
    if (s != FIRN_OK) {
        firn_log_event(&w->obs->log, FIRN_LOG_WARN, "cannot take over", "why=%s", err.text);
        w->standby.overdue_kept_ns = 0;
        arm_next(w);
        return;
    }
    firn_log_event(&w->obs->log, FIRN_LOG_INFO, "taking over", "why=%s epoch=%" PRIu64, why,
                   w->standby.epoch);
    firn_timer_stop(w->db.env, &w->standby.tail_timer);
    firn_tail_pause(w->standby.tail);
    firn_writer__claim(w, still_wanted);
}

/* The store refuses us, or we lack memory. At the start a refusal would mean wrong settings; later,
 * credentials that are being changed, or something on the way that speaks for the store. */
static bool refused_for_now(const struct firn_writer *w, enum firn_status s)
{
    return w->standby.tail && firn_manifest_refused(w->mnode, s);
}

bool firn_writer__standby_again(struct firn_writer *w, enum firn_status s,
                                const struct firn_err *err)
{
    bool first = s == FIRN_CONFLICT, refused = refused_for_now(w, s);
    if (!w->standby.tail || !(first || refused))
        return false;
    FIRN_SOMETIMES_IF(first, "writer: a standby's claim was lost");
    FIRN_SOMETIMES_IF(refused, "writer: a standby's claim was refused");
    if (first)
        firn_log_event(&w->obs->log, FIRN_LOG_INFO, "not taking over", "epoch=%" PRIu64 " why=%s",
                       w->standby.epoch, err->text);
    else
        firn_log_event(&w->obs->log, FIRN_LOG_WARN, "cannot take over", "why=%s", err->text);
    w->state = WRITER_STANDING_BY;
    w->standby.overdue_kept_ns = 0;
    firn_tail_resume(w->standby.tail);
    tail_due(w);
    arm(w, first ? 0 : RETRY_NS);
    return true;
}

/* The wait of one whose heartbeat is promised every `beat`. */
static uint64_t silence_ns(const struct firn_writer *w, uint64_t beat)
{
    uint64_t wait = SILENT_BEATS * beat;
    if (wait < w->settings->failover_after_ns)
        wait = w->settings->failover_after_ns;
    return wait + w->standby.jitter_ns;
}

static void read_manifest(struct firn_writer *w);

static void looked(struct firn_store_op *op)
{
    struct firn_writer *w = op->arg;
    struct writer_standby *b = &w->standby;
    struct firn_beat beat;
    struct firn_err err = {0};
    b->looking = false;
    bool answered = op->status == FIRN_OK || op->status == FIRN_ABSENT;
    bool alive = op->status == FIRN_OK &&
                 firn_beat_decode(firn_buf_slice(&op->req.reply), &w->manifest->db, &beat, &err) ==
                     FIRN_OK &&
                 beat.epoch == b->epoch && firn_id_eq(&beat.process_nonce, &b->nonce) &&
                 beat.count > b->count;
    firn_store_op_clear(op);
    firn_writer__settled(w);
    if (!standing_by(w))
        return;
    if (alive)
        b->count = beat.count;
    if (alive || !answered)
        wait_anew(w);
    else
        b->silent_looks++;
    uint64_t kept = w->manifest->pb->writer->heartbeat_kept_ms * FIRN_MS;
    uint64_t silent_ns = firn_boot_ns(w->db.env) - b->since_ns;
    if (kept && b->silent_looks >= LOOKS_MIN && silent_ns >= silence_ns(w, kept)) {
        /* The manifest must still say the same before we claim. */
        b->overdue_kept_ns = kept;
        read_manifest(w);
        return;
    }
    arm_next(w);
}

/* Has the writer shown that it lives? */
static void look(struct firn_writer *w)
{
    struct writer_standby *b = &w->standby;
    const Firn__Role *holder = w->manifest->pb->writer;
    if (firn_name_id(b->name, FIRN_NAME_NODE, firn_slice_str(holder->node_id)) != FIRN_OK) {
        arm_next(w); /* a name that no writer can beat under */
        return;
    }
    firn_store_op_init(&b->op);
    b->op.req.op = FIRN_OS_GET;
    b->op.req.key = b->name;
    b->op.deadline_ns = firn_boot_ns(w->db.env) + RETRY_NS;
    b->op.done = looked;
    b->op.arg = w;
    b->looking = true;
    w->pending++;
    firn_store_submit(w->db.store, &b->op);
}

/* What the newest manifest asks us to do. */
static void decide(struct firn_writer *w)
{
    const Firn__Manifest *pb = w->manifest->pb;
    const char *why = reason(w, pb);
    watch(w, w->manifest);
    if (why)
        claim(w, why);
    else if (pb->writer->heartbeat_kept_ms)
        look(w);
    else
        arm_next(w);
}

static void manifest_read(struct firn_manifest_read *r)
{
    struct firn_writer *w = r->arg;
    w->standby.reading = false;
    if (!standing_by(w))
        return;
    struct firn_err err = r->err;
    enum firn_status s = r->status;
    bool refused = s == FIRN_LIMIT || refused_for_now(w, s);
    if (s == FIRN_ABSENT || s == FIRN_TRANSIENT || s == FIRN_UNCERTAIN || refused) {
        wait_anew(w);
        arm(w, RETRY_NS);
        return;
    }
    if (s == FIRN_OK && r->manifest->pb->state == FIRN__DATABASE_STATE__DROPPED)
        s = firn_fail(&err, FIRN_INVALID, "the database was dropped");
    if (s == FIRN_OK && !w->standby.tail)
        s = begin(w, r->manifest, &err);
    else if (s == FIRN_OK && r->manifest->version > w->manifest->version)
        s = follow_floor(w, r->manifest);
    if (s == FIRN_LIMIT) {
        firn_log_event(&w->obs->log, FIRN_LOG_WARN, "not following the database",
                       "why=out of memory version=%" PRIu64, r->manifest->version);
        arm(w, RETRY_NS);
        return;
    }
    if (s != FIRN_OK) {
        (void)firn_fail(&err, s, "standing by failed: %s", firn_status_name(s));
        firn_writer__finish(w, FIRN_WRITER_FAILED, &err);
        return;
    }
    take_manifest(w, r->manifest);
    if (!memory_full(w))
        firn_tail_resume(w->standby.tail);
    decide(w);
}

static void read_manifest(struct firn_writer *w)
{
    struct writer_standby *b = &w->standby;
    if (b->reading)
        return;
    b->reading = true;
    memset(&b->read, 0, sizeof b->read);
    b->read.deadline_ns = firn_boot_ns(w->db.env) + IDLE_POLL_NS;
    b->read.done = manifest_read;
    b->read.arg = w;
    firn_manifest_read(w->mnode, &b->read);
}

static void poll_due(void *arg)
{
    struct firn_writer *w = arg;
    if (standing_by(w) && !w->standby.looking)
        read_manifest(w);
}

/* --- from outside */

void firn_writer__standby_start(struct firn_writer *w)
{
    w->state = WRITER_STANDING_BY;
    read_manifest(w);
}

bool firn_writer__standby_place(const struct firn_writer *w, const struct firn_manifest *m,
                                struct firn_place *at)
{
    if (!w->standby.tail || wants_index(m) != w->memory.expiry_index)
        return false;
    *at = firn_tail_at(w->standby.tail);
    return firn_place_cmp(*at, m->floor) >= 0;
}

void firn_writer__standby_stop(struct firn_writer *w)
{
    struct writer_standby *b = &w->standby;
    firn_timer_stop(w->db.env, &b->poll);
    firn_timer_stop(w->db.env, &b->tail_timer);
    if (b->tail)
        firn_tail_pause(b->tail);
    if (b->looking)
        firn_store_cancel(w->db.store, &b->op);
}

void firn_writer__standby_init(struct firn_writer *w)
{
    w->standby.poll = (struct firn_timer){.fn = poll_due, .arg = w};
    w->standby.tail_timer = (struct firn_timer){.fn = tail_due, .arg = w};
}
