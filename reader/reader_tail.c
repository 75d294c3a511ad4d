#include "reader/reader_priv.h"

#include "base/assert.h"
#include "base/sometimes.h"
#include "manifest/settings.h"

/* A reader's memtables are frozen when they hold such a share of what may be unflushed, so that the
 * oldest can go soon after a flush. */
#define PART_BYTES_SHARE 16
#define PART_SLOTS_SHARE 8
/* This many slots without an end: the tables of a newer manifest may be nearer. */
#define RUN_SLOTS 64
/* So many parts that are in tables stay for reads, where memory has room: as many as a flush
 * brings, so that there is the time from one flush to the next to warm its tables. */
#define WARM_PARTS PART_SLOTS_SHARE
/* Least time between manifest reads made only to shorten memory. */
#define VIEW_READ_NS (1 * FIRN_SEC)
/* What may be fetched ahead, and what memory may hold before the manifest is read: this share of
 * unflushed-bytes-max. */
#define AHEAD_SHARE 4
/* While somebody listens to the log, the manifest is read so often: settings that another node
 * changed, which keyspace events there are above all, hold here by then. */
#define FOLLOW_READ_NS (10 * FIRN_SEC)
/* How long the tail goes on looking for a place after somebody last asked for it. */
#define WANT_NS (60 * FIRN_SEC)

/* Of the Dates that a right store sends: they count whole seconds and come with a delay. */
#define DATE_SLACK_MS UINT64_C(2000)

/* Held by right Dates, a clock that jumps moves now within clock-skew-max to either side: as far it
 * does not go back. Further ahead only a wrong Date can have led it, and then it does: what was
 * hidden must not stay so for as long as that was wrong. */
uint64_t firn_reader__now_ms(struct firn_db *db)
{
    struct firn_reader *r = db->role;
    uint64_t skew_ms = db->settings->clock_skew_max_ns / FIRN_MS;
    uint64_t now = firn_store_hold_ms(db->store, firn_wall_ms(db->env), skew_ms);
    if (now < db->log_time_ms)
        now = db->log_time_ms;
    if (now > r->newest_now_ms || r->newest_now_ms - now > 2 * (skew_ms + DATE_SLACK_MS))
        r->newest_now_ms = now;
    return r->newest_now_ms;
}

/* --- views */

/* Make the view of m and this memory the current one, of the parts that are in tables with the
 * newest `warm`. Failure changes nothing. */
static enum firn_status install(struct firn_reader *r, const struct firn_memory *memory,
                                size_t warm, struct firn_manifest *m, struct firn_err *err)
{
    struct firn_view *v;
    enum firn_status s = firn_memory_view(memory, warm, r->db.lsm, m, &v, err);
    if (s != FIRN_OK) {
        firn_log_event(&r->obs->log, FIRN_LOG_ERROR, "view not built", "status=%s why=%s",
                       firn_status_name(s), err->text);
        return s;
    }
    firn_view_unref(r->db.view);
    r->db.view = v;
    r->db.view_gen++;
    r->views_taken++;
    r->view_behind = false;
    if (m != r->manifest) {
        firn_manifest_ref(m);
        firn_manifest_unref(r->manifest);
        r->manifest = m;
        /* What another node changed holds here from now on. */
        if (firn_settings_from_manifest(r->settings, m->pb->settings) != FIRN_OK)
            firn_log_event(&r->obs->log, FIRN_LOG_WARN, "settings not taken",
                           "why=out of memory version=%llu", (unsigned long long)m->version);
    }
    const Firn__Role *writer = m->pb->writer;
    size_t n = writer->address ? strlen(writer->address) : 0;
    if (n >= sizeof r->db.writer_addr)
        n = 0;
    if (n)
        memcpy(r->db.writer_addr, writer->address, n);
    r->db.writer_addr[n] = '\0';
    if (m->pb->log_time_ms > r->db.log_time_ms)
        r->db.log_time_ms = m->pb->log_time_ms;
    return FIRN_OK;
}

/* Drop all memory and stand at m's floor, which lies ahead of us: slots we need were collected, or
 * tables of our view are gone, or we lag. Never backwards: what was shown would be taken back. */
static enum firn_status jump(struct firn_reader *r, struct firn_manifest *m, struct firn_err *err)
{
    struct firn_memory fresh;
    enum firn_status s = firn_memory_init(&fresh, m->floor, NULL);
    if (s != FIRN_OK)
        return firn_fail(err, s, "no memory for a memtable");
    s = install(r, &fresh, 0, m, err);
    if (s != FIRN_OK) {
        firn_memory_deinit(&fresh);
        return s;
    }
    FIRN_SOMETIMES("reader: memory dropped for a newer floor");
    firn_memory_replace(&r->memory, &fresh);
    r->reloads++;
    r->db.durable_place = m->floor;
    r->db.durable_seqno = m->pb->seqno_at_floor;
    r->db.applied_seqno = r->db.durable_seqno;
    return FIRN_OK;
}

/* A dropped database has nothing more to serve: this node ends. */
static bool dropped(struct firn_reader *r, const struct firn_manifest *m)
{
    struct firn_err err = {"the database was dropped"};
    if (m->pb->state != FIRN__DATABASE_STATE__DROPPED)
        return false;
    firn_reader__finish(r, true, &err);
    return true;
}

/* Freeze the active memtable where that can be done: it is only for having smaller parts. */
static void rotate(struct firn_reader *r)
{
    const struct firn_memtable *active = firn_memory_active(&r->memory)->table;
    if (firn_memory_rotate(&r->memory) == FIRN_OK &&
        firn_memory_active(&r->memory)->table != active)
        r->view_behind = true;
}

/* Memory wants back what only spares reads a trip. */
static bool memory_tight(const struct firn_reader *r)
{
    return r->budget.part[FIRN_BUDGET_MEMTABLES].used >=
           r->budget.part[FIRN_BUDGET_MEMTABLES].share / 2;
}

/* Take the view of m, and keep of what its floor has passed what memory has room for: until those
 * parts go, reads need none of the tables that hold the same, and these can be warmed. */
static enum firn_status take(struct firn_reader *r, struct firn_manifest *m, struct firn_err *err)
{
    size_t warm = memory_tight(r) ? 0 : WARM_PARTS;
    enum firn_status s = install(r, &r->memory, warm, m, err);
    /* Only now: an older view, and another one of its manifest, need what lies below. */
    if (s == FIRN_OK)
        firn_memory_flushed(&r->memory, m->floor, warm);
    return s;
}

/* A manifest was seen: take its view if it is newer and our memory reaches its floor (I8). */
static enum firn_status see_manifest(struct firn_reader *r, struct firn_manifest *m,
                                     struct firn_err *err)
{
    if (m->version <= r->manifest->version || firn_place_cmp(m->floor, firn_tail_at(r->tail)) > 0)
        return FIRN_OK;
    if (firn_place_cmp(firn_memory_active(&r->memory)->end, m->floor) <= 0)
        rotate(r); /* all we hold is in tables */
    enum firn_status s = take(r, m, err);
    firn_reader__warm(r);
    return s;
}

/* --- bounds of memory (PROTOCOL.md, "Tables, flush, compaction") */

/* What memory holds above the view's floor. A part that the floor has cut counts with its slots
 * above it and without its bytes, of which that is not known. */
static void above_floor(const struct firn_reader *r, uint64_t *slots, uint64_t *bytes)
{
    struct firn_place floor = r->manifest->floor;
    *slots = *bytes = 0;
    for (size_t i = 0; i < r->memory.parts; i++) {
        const struct firn_memory_part *p = &r->memory.part[i];
        if (firn_place_cmp(p->end, floor) <= 0)
            continue;
        bool cut = firn_place_cmp(p->first, floor) < 0;
        uint64_t n = p->slots;
        if (cut && p->end.epoch == floor.epoch && p->end.slot - floor.slot < n)
            n = p->end.slot - floor.slot;
        *slots += n;
        *bytes += cut ? 0 : p->raw_bytes;
    }
}

static bool memory_full(const struct firn_reader *r)
{
    uint64_t slots, bytes;
    above_floor(r, &slots, &bytes);
    return slots >= 2 * r->settings->wal_slots_max || bytes >= r->settings->unflushed_bytes_max ||
           firn_budget_full(&r->budget, FIRN_BUDGET_MEMTABLES);
}

static bool memory_long(const struct firn_reader *r)
{
    uint64_t slots, bytes;
    above_floor(r, &slots, &bytes);
    return r->run_slots >= RUN_SLOTS || slots >= r->settings->wal_slots_max ||
           bytes >= r->settings->unflushed_bytes_max / AHEAD_SHARE;
}

static void read_for_view(struct firn_reader *r);

/* Its tables hold everything before its floor, so where we lag behind that we need not read slot by
 * slot, but for those who listen to the log: for them the tail goes on where it is. */
static void take_view(struct firn_reader *r, struct firn_manifest *m)
{
    struct firn_err err = {0};
    enum firn_status s;
    if (m->version > r->manifest->version && firn_place_cmp(m->floor, firn_tail_at(r->tail)) > 0) {
        s = jump(r, m, &err);
        if (s == FIRN_OK && !firn_engine_listens(r->engine))
            firn_tail_seek(r->tail, m->floor);
    } else {
        s = see_manifest(r, m, &err);
    }
    if (s != FIRN_OK)
        r->db.view_error = err;
}

static void view_read(struct firn_manifest_read *mr)
{
    struct firn_reader *r = mr->arg;
    r->view_reading = false;
    if (r->state != READER_SERVING)
        return;
    firn_memory_sweep(&r->memory); /* a paused tail ends no slot, which would do it */
    r->db.view_error.text[0] = '\0';
    if (mr->status != FIRN_OK && firn_manifest_for_good(r->mnode, mr->status)) {
        firn_reader__finish(r, true, &mr->err);
        return;
    }
    if (mr->status == FIRN_OK && dropped(r, mr->manifest))
        return;
    if (mr->status == FIRN_OK)
        take_view(r, mr->manifest);
    else
        r->db.view_error = mr->err;
    r->db.reload_done = r->reload_covered;
    firn_engine_advance(r->engine);
    if (r->reload_ticket > r->reload_covered)
        read_for_view(r);
    if (memory_full(r))
        firn_timer_start(r->db.env, &r->want_timer, VIEW_READ_NS);
    else
        firn_tail_resume(r->tail);
}

static void read_for_view(struct firn_reader *r)
{
    if (r->view_reading)
        return;
    r->view_reading = true;
    r->reload_covered = r->reload_ticket;
    r->view_asked_ns = firn_boot_ns(r->db.env);
    memset(&r->view_read, 0, sizeof r->view_read);
    r->view_read.done = view_read;
    r->view_read.arg = r;
    firn_manifest_read(r->mnode, &r->view_read);
}

static void keep_bounds(struct firn_reader *r)
{
    struct firn_err err = {0};
    if (r->memory.warm && memory_tight(r))
        (void)!take(r, r->manifest, &err); /* said already; a later one lets go */
    if (memory_full(r)) {
        FIRN_SOMETIMES("reader: memory is full, the tail waits");
        firn_tail_pause(r->tail);
        read_for_view(r);
    } else if (memory_long(r) && firn_boot_ns(r->db.env) - r->view_asked_ns >= VIEW_READ_NS) {
        read_for_view(r);
    }
}

/* --- what the tail says */

static bool part_full(const struct firn_reader *r, const struct firn_memory_part *p)
{
    return p->raw_bytes >= r->settings->unflushed_bytes_max / PART_BYTES_SHARE ||
           p->slots >= r->settings->wal_slots_max / PART_SLOTS_SHARE ||
           firn_memtable_tombs(p->table, NULL) >= FIRN_MEMTABLE_TOMBS_MAX;
}

static enum firn_status apply(void *arg, const struct firn_slot_result *batch)
{
    struct firn_reader *r = arg;
    struct firn_err err = {0};
    if (firn_place_cmp(batch->place, r->db.durable_place) < 0) {
        /* Below the floor of a view that was jumped to: read for those who listen alone. */
        FIRN_SOMETIMES("reader: a slot read for listeners alone");
        firn_engine_feed(r->engine, batch->batch, batch->records);
        return FIRN_OK;
    }
    if (part_full(r, firn_memory_active(&r->memory)))
        rotate(r);
    /* Nothing goes into a memtable that reads do not see. */
    if (r->view_behind) {
        enum firn_status s = take(r, r->manifest, &err);
        if (s != FIRN_OK)
            return s;
    }
    /* Within the batch nobody reads; should only a part of it get in, reads stay before it. */
    uint64_t low = r->db.durable_seqno, high = low;
    firn_engine_held_seqnos(r->engine, &low, &high);
    firn_memory_horizon(&r->memory, low, high);
    enum firn_status s = firn_memory_apply(&r->memory, batch->batch, batch->records);
    if (s != FIRN_OK)
        return s;
    struct firn_db *db = &r->db;
    db->durable_seqno = batch->batch->first_seqno + batch->batch->count - 1;
    db->applied_seqno = db->durable_seqno;
    db->durable_place = (struct firn_place){batch->place.epoch, batch->place.slot + 1};
    if (batch->batch->log_time_ms > db->log_time_ms)
        db->log_time_ms = batch->batch->log_time_ms;
    r->run_slots++;
    keep_bounds(r);
    firn_engine_feed(r->engine, batch->batch, batch->records);
    firn_engine_advance(r->engine);
    return FIRN_OK;
}

static void manifest_seen(void *arg, struct firn_manifest *m)
{
    struct firn_err err = {0};
    if (!dropped(arg, m))
        (void)!see_manifest(arg, m, &err); /* said already; the view in use goes on */
}

static bool reload(void *arg, struct firn_manifest *m)
{
    struct firn_reader *r = arg;
    struct firn_err err = {0};
    if (dropped(r, m) || jump(r, m, &err) != FIRN_OK)
        return false;
    FIRN_SOMETIMES("reader: slots skipped");
    firn_engine_feed_gap(r->engine);
    firn_log_event(&r->obs->log, FIRN_LOG_WARN, "log slots skipped", "why=%s epoch=%llu slot=%llu",
                   "they were collected before this reader read them",
                   (unsigned long long)m->floor.epoch, (unsigned long long)m->floor.slot);
    return true;
}

/* An epoch ended: the newest manifest names the writer that clients are to go to now. */
static void sealed(void *arg, struct firn_place at)
{
    struct firn_reader *r = arg;
    struct firn_place next = {at.epoch + 1, 0};
    firn_seals_note(&r->seals, at);
    read_for_view(r);
    /* All of that epoch is consumed; the view may have jumped further already. */
    if (firn_place_cmp(r->db.durable_place, next) < 0)
        r->db.durable_place = next;
}

static bool wants_place(const struct firn_reader *r)
{
    return firn_place_cmp(r->db.durable_place, r->want) < 0 &&
           firn_boot_ns(r->db.env) < r->want_until_ns;
}

/* Is there a reason to look for new slots without a read that asks for it? */
static bool polls(const struct firn_reader *r)
{
    return wants_place(r) || firn_engine_listens(r->engine);
}

/* The next look, unless it is set already. */
static void poll_later(struct firn_reader *r)
{
    if (r->state == READER_SERVING && polls(r) && !firn_timer_running(&r->want_timer))
        firn_timer_start(r->db.env, &r->want_timer, r->settings->tail_interval_ns);
}

void firn_reader__feed_wanted(struct firn_db *db)
{
    poll_later(db->role);
}

static void believed(void *arg, uint64_t fresh_ns, uint64_t ticket)
{
    struct firn_reader *r = arg;
    struct firn_db *db = &r->db;
    r->run_slots = 0;
    if (fresh_ns > db->fresh_ns)
        db->fresh_ns = fresh_ns;
    if (ticket > db->probe_done)
        db->probe_done = ticket;
    firn_hist_add(&r->probe_time, firn_boot_ns(db->env) - fresh_ns);
    db->probe_p99_ns = firn_hist_quantile(&r->probe_time, 0.99);
    firn_engine_advance(r->engine);
    poll_later(r);
}

static void tail_failed(void *arg, enum firn_status s, const struct firn_err *err, bool for_good)
{
    struct firn_reader *r = arg;
    firn_log_event(&r->obs->log, FIRN_LOG_WARN, "tailing failed", "status=%s why=%s",
                   firn_status_name(s), err ? err->text : "");
    if (for_good)
        firn_reader__finish(r, true, err);
}

enum firn_status firn_reader__begin(struct firn_reader *r, struct firn_manifest *m,
                                    struct firn_err *err)
{
    struct firn_tail_options o = {
        .db = m->db,
        .at = m->floor,
        .batch_raw_max = m->pb->settings->batch_bytes_max,
        .ahead_bytes_max = firn_budget_cap(&r->budget, FIRN_BUDGET_BATCHES, 2,
                                           m->pb->settings->unflushed_bytes_max / AHEAD_SHARE),
        .budget = &r->budget,
        .wal_grace_ns = m->pb->settings->wal_grace_ms * FIRN_MS,
        .strict = r->settings->probe == FIRN_PROBE_STRICT,
    };
    struct firn_tail_user u = {
        .apply = apply,
        .manifest = manifest_seen,
        .reload = reload,
        .sealed = sealed,
        .believed = believed,
        .failed = tail_failed,
        .arg = r,
    };
    enum firn_status s = firn_memory_init(&r->memory, m->floor, &r->budget);
    if (s == FIRN_OK)
        s = firn_tail_create(r->db.env, r->db.store, r->mnode, &o, &u, &r->tail);
    if (s == FIRN_OK)
        s = install(r, &r->memory, 0, m, err);
    r->db.durable_place = m->floor;
    r->db.durable_seqno = m->pb->seqno_at_floor;
    r->db.applied_seqno = r->db.durable_seqno;
    return s;
}

/* --- what the engine asks */

uint64_t firn_reader__probe(struct firn_db *db)
{
    struct firn_reader *r = db->role;
    return firn_tail_probe(r->tail);
}

void firn_reader__probe_hint(struct firn_db *db)
{
    struct firn_reader *r = db->role;
    firn_tail_hint(r->tail);
}

uint64_t firn_reader__reload_view(struct firn_db *db)
{
    struct firn_reader *r = db->role;
    uint64_t ticket = ++r->reload_ticket;
    read_for_view(r);
    return ticket;
}

enum firn_status firn_reader__take_view(struct firn_db *db, struct firn_manifest *m,
                                        struct firn_err *err)
{
    return see_manifest(db->role, m, err);
}

void firn_reader__want_place(struct firn_db *db, struct firn_place place)
{
    struct firn_reader *r = db->role;
    if (firn_place_cmp(place, r->want) > 0)
        r->want = place;
    r->want_until_ns = firn_boot_ns(db->env) + WANT_NS;
    firn_tail_hint(r->tail);
}

bool firn_reader__place_lost(struct firn_db *db, struct firn_place place)
{
    struct firn_reader *r = db->role;
    return firn_seals_behind(&r->seals, place);
}

/* Somebody still waits for a place or listens, or memory is still full: look again. */
static void want_due(void *arg)
{
    struct firn_reader *r = arg;
    if (memory_full(r)) {
        read_for_view(r);
        return;
    }
    firn_tail_resume(r->tail); /* another's manifest may have let memory go */
    if (polls(r)) {
        r->db.tail_polls++;
        firn_tail_hint(r->tail);
        if (firn_boot_ns(r->db.env) - r->view_asked_ns >= FOLLOW_READ_NS)
            read_for_view(r);
    }
}

void firn_reader__tail_init(struct firn_reader *r)
{
    r->want_timer.fn = want_due;
    r->want_timer.arg = r;
}
