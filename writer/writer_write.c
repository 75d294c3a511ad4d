#include "writer/writer_priv.h"

#include "base/assert.h"
#include "base/sometimes.h"
#include "manifest/settings.h"

#include <inttypes.h>

/* While L0 is longer than l0-slow, writes are let in at a rate that falls from
 * SLOW_BYTES_PER_WINDOW to nothing at l0-refuse, counted in windows of SLOW_WINDOW_NS. */
#define SLOW_WINDOW_NS (100 * FIRN_MS)
#define SLOW_BYTES_PER_WINDOW (2 * 1024 * 1024)

uint64_t firn_writer__now_ms(struct firn_db *db)
{
    struct firn_writer *w = db->role;
    uint64_t now = firn_store_hold_ms(db->store, firn_wall_ms(db->env),
                                      w->settings->clock_skew_max_ns / FIRN_MS);
    if (now < w->newest_log_time_ms)
        now = w->newest_log_time_ms;
    if (now > w->newest_now_ms)
        w->newest_now_ms = now;
    return w->newest_now_ms;
}

/* --- the pipeline's callbacks */

static uint64_t closing_time(void *arg)
{
    struct firn_writer *w = arg;
    w->newest_log_time_ms = firn_writer__now_ms(&w->db);
    w->db.log_time_ms = w->newest_log_time_ms;
    return w->newest_log_time_ms;
}

static void slot_closed(void *arg, uint64_t slot)
{
    struct firn_writer *w = arg;
    firn_memory_slot_ends(&w->memory, (struct firn_place){w->epoch, slot}, w->newest_log_time_ms);
    w->db.open_gate = 0;
    w->closed_seqno = w->db.applied_seqno;
    w->last_close_ns = firn_boot_ns(w->db.env);
    firn_writer__maybe_freeze(w);
}

static bool feeds(void *arg)
{
    const struct firn_writer *w = arg;
    return firn_engine_listens(w->engine);
}

static void slot_records(void *arg, const struct firn_batch_header *header,
                         struct firn_slice records)
{
    struct firn_writer *w = arg;
    if (w->state < WRITER_ENDING)
        firn_engine_feed(w->engine, header, records);
}

static void slots_durable(void *arg, uint64_t slots, uint64_t last_seqno, uint64_t first_sent_ns)
{
    struct firn_writer *w = arg;
    if (w->state >= WRITER_ENDING)
        return; /* those who waited were told that it is not known */
    w->db.durable_gate = slots;
    w->db.durable_seqno = last_seqno;
    w->db.durable_place = (struct firn_place){w->epoch, slots};
    /* I6: the commit is a probe begun when its slot was first sent. */
    if (first_sent_ns > w->db.fresh_ns)
        w->db.fresh_ns = first_sent_ns;
    firn_writer__probe_durable(w);
    firn_engine_advance(w->engine);
    firn_writer__flush_next(w);
    firn_writer__step_out(w);
}

static void log_lost(void *arg, enum firn_status why, const struct firn_err *err)
{
    struct firn_writer *w = arg;
    if (why == FIRN_FENCED)
        firn_writer__fence(w, err);
    else
        firn_writer__finish(w, FIRN_WRITER_FAILED, err);
}

enum firn_status firn_writer__open_log(struct firn_writer *w)
{
    struct firn_append_options o = {
        .db = w->manifest->db,
        .process_nonce = w->process_nonce,
        .format = w->format,
        .epoch = w->epoch,
        .interval_ns = w->settings->wal_interval_ns,
        .batch_bytes = w->settings->wal_batch_bytes,
        .batch_bytes_max = w->settings->batch_bytes_max,
        .inflight_max = (unsigned)w->settings->wal_inflight,
        .codec = firn_settings_codec(w->settings),
        .budget = &w->budget,
    };
    struct firn_append_user u = {
        .now_ms = closing_time,
        .closed = slot_closed,
        .listens = feeds,
        .records = slot_records,
        .durable = slots_durable,
        .stopped = log_lost,
        .arg = w,
    };
    w->db.durable_place = (struct firn_place){w->epoch, 0};
    w->last_close_ns = firn_boot_ns(w->db.env);
    w->db.applied_seqno = w->db.durable_seqno;
    w->closed_seqno = w->db.durable_seqno;
    w->db.log_time_ms = w->newest_log_time_ms;
    return firn_append_create(w->db.env, w->db.store, &o, &u, &w->append);
}

/* --- admitting */

/* Slots from the floor to the next one, their bytes, and what those take in memtables, against the
 * bounds that the memory of readers and of the next writer relies on. */
static bool unflushed_full(const struct firn_writer *w)
{
    return writer_log_full(w) ||
           firn_memory_unflushed(&w->memory) >= firn_db_unflushed_memory(&w->db);
}

/* Every range tombstone costs as much as there are: their number is bounded per memtable. */
static bool too_many_tombs(struct firn_writer *w)
{
    return firn_memtable_tombs(firn_memory_active(&w->memory)->table, NULL) >=
           FIRN_MEMTABLE_TOMBS_MAX;
}

/* Dropped ones that only a read held may be free by now: where no write is let in, no slot ends
 * that would tell. */
static bool memtables_full(struct firn_writer *w)
{
    if (firn_budget_full(&w->budget, FIRN_BUDGET_MEMTABLES))
        firn_memory_sweep(&w->memory);
    return firn_budget_full(&w->budget, FIRN_BUDGET_MEMTABLES);
}

/* L0 is long: let in less the longer it is. */
static bool slowed(struct firn_writer *w, size_t l0, size_t bytes)
{
    uint64_t slow = w->settings->l0_slow_tables, refuse = w->settings->l0_refuse_tables;
    if (l0 < slow)
        return false;
    uint64_t now = firn_boot_ns(w->db.env);
    if (now - w->slow_window_ns >= SLOW_WINDOW_NS) {
        w->slow_window_ns = now;
        w->slow_bytes = 0;
    }
    uint64_t budget = SLOW_BYTES_PER_WINDOW * (refuse - l0) / (refuse - slow + 1);
    if (w->slow_bytes >= budget) {
        if (!firn_timer_running(&w->slow_timer))
            firn_timer_start(w->db.env, &w->slow_timer, w->slow_window_ns + SLOW_WINDOW_NS - now);
        return true;
    }
    w->slow_bytes += bytes;
    return false;
}

enum firn_admit firn_writer__admit(struct firn_db *db, size_t bytes)
{
    struct firn_writer *w = db->role;
    if (w->state != WRITER_SERVING)
        return FIRN_ADMIT_FENCED;
    uint64_t oldest = firn_append_oldest_ns(w->append);
    if (oldest && firn_boot_ns(db->env) - oldest >= w->settings->commit_timeout_ns) {
        FIRN_SOMETIMES("writer: busy, the store does not take the log");
        db->busy_why = "the store has not taken the log for longer than commit-timeout";
        return FIRN_ADMIT_BUSY;
    }
    size_t l0 = firn_writer__l0_tables(w);
    if (l0 >= w->settings->l0_refuse_tables) {
        db->busy_why = "L0 has l0-refuse-tables tables: no compactor keeps up (firn-compactor "
                       "--once clears it)";
        return FIRN_ADMIT_BUSY;
    }
    if (too_many_tombs(w) && db->open_gate) {
        db->busy_why = "a memtable is full of range tombstones";
        return FIRN_ADMIT_WAIT;
    }
    if (unflushed_full(w)) {
        FIRN_SOMETIMES_IF(firn_memory_slots(&w->memory) >= 2 * w->settings->wal_slots_max,
                          "writer: stalled at wal-slots-max");
        db->busy_why = "as much is unflushed as wal-slots-max or unflushed-bytes-max allow";
        return FIRN_ADMIT_WAIT;
    }
    if (memtables_full(w)) {
        db->busy_why = "memtables fill their share of `memory` until flushes are committed";
        return FIRN_ADMIT_WAIT;
    }
    if (firn_budget_full(&w->budget, FIRN_BUDGET_BATCHES)) {
        db->busy_why = "batches in flight fill their share of `memory`";
        return FIRN_ADMIT_WAIT;
    }
    if (firn_append_unacked_bytes(w->append) >= w->settings->unacked_bytes_max ||
        !firn_append_room(w->append, bytes)) {
        db->busy_why = "more is unacknowledged than unacked-bytes-max or wal-inflight allow";
        return FIRN_ADMIT_WAIT;
    }
    if (slowed(w, l0, bytes)) {
        FIRN_SOMETIMES("writer: slowed by a long L0");
        db->busy_why =
            "L0 has l0-slow-tables tables: writes are slowed until a compactor catches up";
        return FIRN_ADMIT_WAIT;
    }
    return FIRN_ADMIT_OK;
}

/* Reads to come see the end of a batch from the durable one on, or everything; so range tombstones
 * of the open batch need not be told apart. */
static void before_range(struct firn_writer *w)
{
    uint64_t low = w->db.durable_seqno, high = w->closed_seqno;
    firn_engine_held_seqnos(w->engine, &low, &high);
    firn_memory_horizon(&w->memory, low, high);
}

static enum firn_status apply(struct firn_writer *w, const struct firn_record *rec, size_t n,
                              uint64_t *slot, uint64_t *seqno)
{
    struct firn_db *db = &w->db;
    uint64_t at, first;
    enum firn_status s = firn_append_add(w->append, rec, n, &at, &first);
    if (s != FIRN_OK)
        return s;
    for (size_t i = 0; i < n && s == FIRN_OK; i++) {
        if (rec[i].kind == FIRN_RECORD_RANGEDEL)
            before_range(w);
        s = firn_memory_put(&w->memory, &rec[i], first + i, (struct firn_place){w->epoch, at});
    }
    if (s != FIRN_OK) {
        /* The log has it and memory has not: what we would answer from now on could be wrong. It
         * was not refused, either: the reply meets its gate, and the end of this writer says that
         * the outcome is unknown. The next writer replays what landed. */
        struct firn_err err = {"out of memory while applying a write"};
        firn_writer__finish(w, FIRN_WRITER_FAILED, &err);
    }
    *slot = at;
    *seqno = first + n - 1;
    db->applied_seqno = *seqno;
    db->open_gate = at + 1;
    db->last_gate = at + 1;
    if (too_many_tombs(w))
        firn_append_close_now(w->append); /* the memtable freezes when the slot closes */
    firn_writer__idle_touch(w);
    return FIRN_OK;
}

enum firn_status firn_writer__apply(struct firn_db *db, const struct firn_record *rec, size_t n,
                                    uint64_t *slot, uint64_t *seqno)
{
    struct firn_writer *w = db->role;
    w->applying = rec;
    w->napplying = n;
    enum firn_status s = apply(w, rec, n, slot, seqno);
    w->napplying = 0;
    w->applying = NULL;
    return s;
}
