#include "writer/writer_priv.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "manifest/settings.h"

#include <inttypes.h>
#include <stdio.h>

/* How long the sending of replies may take once a fenced writer has answered them. */
#define FENCED_DRAIN_NS (1 * FIRN_SEC)
#define IDLE_WAIT_NS (5 * FIRN_MS)
#define CONFIRM_AGAIN_NS (500 * FIRN_MS)

static void set_state(struct firn_writer *w, enum writer_state s)
{
    w->state = s;
}

/* --- the end */

static void tell_end(void *arg)
{
    struct firn_writer *w = arg;
    if (w->pending || w->state == WRITER_ENDED)
        return;
    /* Requests that nobody waits for any more end by themselves. */
    if (!firn_lsm_idle(w->db.lsm) || !firn_store_idle(w->db.store)) {
        firn_timer_start(w->db.env, &w->idle_wait, IDLE_WAIT_NS);
        return;
    }
    set_state(w, WRITER_ENDED);
    w->user.ended(w->user.arg, w->how, &w->err);
}

void firn_writer__settled(struct firn_writer *w)
{
    FIRN_ASSERT(w->pending > 0);
    w->pending--;
    if (w->state == WRITER_ENDING && w->pending == 0)
        firn_defer(w->db.env, &w->end_defer);
}

static void mnode_stopped(void *arg)
{
    firn_writer__settled(arg);
}

/* Everything that could still send something goes; what is under way is waited for. */
static void shut(void *arg)
{
    struct firn_writer *w = arg;
    w->pending--;
    firn_timer_stop(w->db.env, &w->idle_timer);
    firn_timer_stop(w->db.env, &w->flush_retry);
    firn_timer_stop(w->db.env, &w->l0_timer);
    firn_timer_stop(w->db.env, &w->slow_timer);
    firn_timer_stop(w->db.env, &w->halt_timer);
    firn_timer_stop(w->db.env, &w->confirm_again);
    firn_writer__standby_stop(w);
    firn_writer__beat_stop(w);
    firn_timer_stop(w->db.env, &w->probe.rest);
    firn_defer_cancel(w->db.env, &w->probe.begin);
    firn_writer__flush_cancel(w);
    firn_append_free(w->append);
    w->append = NULL;
    firn_takeover_free(w->takeover);
    w->takeover = NULL;
    firn_pins_stop(w->pins);
    if (w->mnode) {
        w->pending++;
        firn_manifest_node_stop(w->mnode, mnode_stopped, w);
    }
    if (w->pending == 0)
        firn_defer(w->db.env, &w->end_defer);
}

static void drained(void *arg);

static void tell_clients(void *arg)
{
    struct firn_writer *w = arg;
    firn_engine_fence(w->engine);
}

void firn_writer__finish(struct firn_writer *w, enum firn_writer_end how,
                         const struct firn_err *err)
{
    enum writer_state was = w->state;
    if (was >= WRITER_ENDING)
        return;
    w->how = how;
    if (err)
        w->err = *err;
    w->db.fenced = true;
    set_state(w, WRITER_ENDING);
    w->pending++; /* until it is shut */
    if (!w->engine || was > WRITER_DRAINING) {
        firn_defer(w->db.env, &w->shut_defer); /* we may be inside a callback of what goes */
        return;
    }
    /* Clients hear first: what was in flight is of unknown outcome. At the end of the turn, for a
     * command may be under evaluation (a write that found no memory): it has not got its gate yet,
     * and its reply is being made where those of others would be rewritten. */
    firn_defer(w->db.env, &w->fence_defer);
    if (was != WRITER_DRAINING)
        firn_engine_drain(w->engine, firn_boot_ns(w->db.env) + FENCED_DRAIN_NS, drained, w);
}

void firn_writer__fence(struct firn_writer *w, const struct firn_err *err)
{
    if (w->state >= WRITER_ENDING)
        return;
    if (w->state == WRITER_RELEASING) { /* it has landed, and a standby has claimed already */
        FIRN_SOMETIMES("writer: released and taken over before it knew");
        firn_writer__finish(w, FIRN_WRITER_STOPPED, NULL);
        return;
    }
    FIRN_SOMETIMES_IF(w->flush, "writer: fenced inside a flush");
    FIRN_SOMETIMES_IF(writer_live(w), "writer: fenced while serving");
    FIRN_SOMETIMES_IF(!writer_live(w), "writer: fenced before it served");
    w->fenced = true;
    firn_log_event(&w->obs->log, FIRN_LOG_WARN, "writer fenced", "epoch=%" PRIu64 " why=%s",
                   w->epoch, err ? err->text : "");
    firn_writer__finish(w, FIRN_WRITER_FENCED, err);
}

void firn_writer_halt(struct firn_writer *w)
{
    struct firn_err err = {"halted"};
    firn_writer__finish(w, FIRN_WRITER_FAILED, &err);
}

static void fail(struct firn_writer *w, enum firn_status s, const struct firn_err *err,
                 const char *doing)
{
    struct firn_err e = {0};
    if (err && err->text[0])
        (void)snprintf(e.text, sizeof e.text, "%s", err->text);
    else
        (void)snprintf(e.text, sizeof e.text, "%s failed: %s", doing, firn_status_name(s));
    if (s == FIRN_FENCED)
        firn_writer__fence(w, &e);
    else
        firn_writer__finish(w, FIRN_WRITER_FAILED, &e);
}

void firn_writer__role_lost(struct firn_writer *w)
{
    struct firn_err err = {"the manifest names another writer: a newer one took over"};
    const struct firn_manifest *m = firn_manifest_newest(w->mnode);
    if (m && m->pb->state == FIRN__DATABASE_STATE__DROPPED)
        (void)snprintf(err.text, sizeof err.text, "the database was dropped");
    firn_writer__fence(w, &err);
}

static void role_lost(void *arg, enum firn_role role)
{
    (void)role;
    firn_writer__role_lost(arg);
}

static void broken(void *arg, const struct firn_err *err)
{
    firn_writer__finish(arg, FIRN_WRITER_FAILED, err);
}

bool firn_writer_went_back(const struct firn_writer *w)
{
    return firn_manifest_went_back(w->mnode);
}

/* --- serving */

static void begin_serving(struct firn_writer *w)
{
    struct firn_err err = {0};
    /* What was replayed ends where our own slots begin; the two never share a memtable. */
    firn_memory_reaches(&w->memory, (struct firn_place){w->epoch, 0});
    enum firn_status s = FIRN_OK;
    if (firn_memory_active(&w->memory)->slots > 0)
        s = firn_memory_rotate(&w->memory);
    if (s == FIRN_OK)
        s = firn_writer__open_log(w);
    if (s == FIRN_OK)
        s = firn_writer__install_view(w, w->manifest, &err);
    struct firn_pins_options po = {
        .db = w->manifest->db, .format = w->format, .ttl_ns = w->settings->pin_ttl_ns};
    if (s == FIRN_OK)
        s = firn_pins_create(w->db.env, w->db.store, w->mnode, &po, &w->pins);
    w->db.pins = w->pins;
    w->db.mnode = w->mnode;
    if (s == FIRN_OK)
        s = firn_engine_create(&w->db, &w->engine, &err);
    if (s == FIRN_OK)
        s = firn_engine_listen(w->engine, &w->port, &err);
    if (s != FIRN_OK) {
        fail(w, s, &err, "starting to serve");
        return;
    }
    set_state(w, WRITER_SERVING);
    w->db.serving = true;
    w->takeover_took_ns = firn_boot_ns(w->db.env) - w->takeover_began_ns;
    firn_log_event(&w->obs->log, FIRN_LOG_INFO, "writer serving",
                   "epoch=%" PRIu64 " port=%u took=%" PRIu64 "ms", w->epoch, (unsigned)w->port,
                   w->takeover_took_ns / FIRN_MS);
    firn_engine_advance(w->engine);
    firn_writer__follow_settings(w);
    /* What was replayed is flushed if it reached a bound, and else when the database has been idle.
     */
    firn_writer__maybe_freeze(w);
    firn_writer__flush_next(w);
    firn_writer__idle_touch(w);
    firn_writer__watch_l0(w);
    w->user.serving(w->user.arg, w->port);
}

static void resting(void *arg, enum firn_status s, const struct firn_err *err)
{
    struct firn_writer *w = arg;
    firn_log_event(&w->obs->log, FIRN_LOG_WARN, "take-over waits", "status=%s why=%s",
                   firn_status_name(s), err->text);
}

/* The read of the manifest that ends a take-over: epoch and nonce are still ours, or we stop. */
static void confirmed(struct firn_manifest_read *r)
{
    struct firn_writer *w = r->arg;
    if (w->state != WRITER_CONFIRMING)
        return;
    if (firn_takeover_may_pass(r->status)) {
        FIRN_SOMETIMES("writer: not confirmed at once");
        resting(w, r->status, &r->err);
        firn_timer_start(w->db.env, &w->confirm_again, CONFIRM_AGAIN_NS);
        return;
    }
    if (r->status != FIRN_OK) {
        fail(w, r->status, &r->err, "confirming the take-over");
        return;
    }
    if (!firn_manifest_role_is(r->manifest->pb, FIRN_ROLE_WRITER, w->epoch, &w->process_nonce)) {
        FIRN_SOMETIMES("writer: not confirmed after its take-over");
        firn_writer__role_lost(w);
        return;
    }
    firn_manifest_ref(r->manifest);
    firn_manifest_unref(w->manifest);
    w->manifest = r->manifest;
    w->db.fresh_ns = r->manifest->asked_at_ns;
    begin_serving(w);
}

static void confirm(void *arg)
{
    struct firn_writer *w = arg;
    if (w->state == WRITER_CONFIRMING)
        firn_manifest_read(w->mnode, &w->confirm);
}

static void taken_over(void *arg, enum firn_status s, const struct firn_err *err)
{
    struct firn_writer *w = arg;
    const struct firn_takeover_stats *st = firn_takeover_stats_of(w->takeover);
    firn_log_event(&w->obs->log, FIRN_LOG_INFO, "log replayed",
                   "batches=%" PRIu64 " records=%" PRIu64 " bytes=%" PRIu64 " seals_put=%" PRIu64
                   " chased=%" PRIu64 " rests=%" PRIu64 " status=%s",
                   st->batches, st->records, st->raw_bytes, st->seals_put, st->chased, st->rests,
                   firn_status_name(s));
    if (s != FIRN_OK) {
        fail(w, s, err, "replaying the log");
        return;
    }
    firn_takeover_free(w->takeover);
    w->takeover = NULL;
    set_state(w, WRITER_CONFIRMING);
    confirm(w);
}

enum firn_status firn_writer__replay(struct firn_writer *w, const struct firn_batch_header *batch,
                                     struct firn_slice records)
{
    uint64_t last = batch->first_seqno + batch->count - 1;
    firn_memory_horizon(&w->memory, last, last); /* nobody reads before all is replayed */
    enum firn_status s = firn_memory_apply(&w->memory, batch, records);
    if (s != FIRN_OK)
        return s;
    if (batch->log_time_ms > w->newest_log_time_ms)
        w->newest_log_time_ms = batch->log_time_ms;
    w->db.durable_seqno = last;
    const struct firn_memtable *active = firn_memory_active(&w->memory)->table;
    bool full = firn_memtable_bytes(active) >= firn_writer__memtable_bytes(w) ||
                firn_memtable_tombs(active, NULL) >= FIRN_MEMTABLE_TOMBS_MAX;
    /* The last part takes what is left, however small this node's memtables are to be. */
    return full && w->memory.parts < FIRN_MEMORY_PARTS_MAX - 1 ? firn_memory_rotate(&w->memory)
                                                               : FIRN_OK;
}

static enum firn_status replay(void *arg, const struct firn_batch_header *batch,
                               struct firn_slice records)
{
    return firn_writer__replay(arg, batch, records);
}

static void sealed(void *arg, struct firn_place at)
{
    struct firn_writer *w = arg;
    firn_seals_note(&w->seals, at);
}

static bool place_lost(struct firn_db *db, struct firn_place place)
{
    struct firn_writer *w = db->role;
    return firn_seals_behind(&w->seals, place);
}

/* --- claiming */

/* Where the replay begins: where a standby's memory ends, else the floor. */
static enum firn_status replay_from(struct firn_writer *w, struct firn_place *at)
{
    const Firn__Manifest *pb = w->manifest->pb;
    if (firn_writer__standby_place(w, w->manifest, at)) {
        FIRN_SOMETIMES("writer: a warm take-over");
        return FIRN_OK;
    }
    FIRN_SOMETIMES_IF(w->standby.tail, "writer: a standby behind the floor");
    *at = w->manifest->floor;
    w->db.durable_seqno = pb->seqno_at_floor;
    firn_memory_deinit(&w->memory);
    return firn_memory_init(&w->memory, *at, &w->budget);
}

static void claimed(struct firn_intent *it)
{
    struct firn_writer *w = it->arg;
    if (w->state != WRITER_CLAIMING)
        return;
    if (it->status != FIRN_OK) {
        if (firn_writer__standby_again(w, it->status, &it->err))
            return;
        fail(w, it->status, &it->err, "claiming the database");
        return;
    }
    w->epoch = w->claim.epoch;
    w->format = (uint16_t)it->manifest->pb->format;
    firn_manifest_hold(w->mnode, FIRN_ROLE_WRITER, w->epoch, &w->process_nonce);
    firn_manifest_ref(it->manifest);
    firn_manifest_unref(w->manifest);
    w->manifest = it->manifest;
    const Firn__Manifest *pb = w->manifest->pb;
    w->next_table = pb->writer->watermark;
    if (pb->log_time_ms > w->newest_log_time_ms)
        w->newest_log_time_ms = pb->log_time_ms;
    firn_log_event(&w->obs->log, FIRN_LOG_INFO, "epoch claimed",
                   "epoch=%" PRIu64 " floor=%" PRIu64 "/%" PRIu64 " version=%" PRIu64, w->epoch,
                   pb->floor->epoch, pb->floor->slot, pb->version);

    struct firn_takeover_options o = {
        .db = w->manifest->db,
        .process_nonce = w->process_nonce,
        .epoch = w->epoch,
        .batch_raw_max = pb->settings->batch_bytes_max,
        .ahead_bytes_max = firn_budget_cap(&w->budget, FIRN_BUDGET_BATCHES, 2,
                                           pb->settings->unflushed_bytes_max / 4),
        .budget = &w->budget,
    };
    struct firn_takeover_user u = {
        .apply = replay, .sealed = sealed, .resting = resting, .done = taken_over, .arg = w};
    enum firn_status s = replay_from(w, &o.from);
    set_state(w, WRITER_TAKING_OVER);
    firn_writer__follow_settings(w);
    if (s == FIRN_OK)
        s = firn_takeover_start(w->db.env, w->db.store, &o, &u, &w->takeover);
    if (s != FIRN_OK)
        fail(w, s, NULL, "starting the take-over");
}

/* A wrong clock would expire what it should not. */
static bool clock_agrees(struct firn_writer *w, struct firn_err *err)
{
    uint64_t at;
    int64_t date = firn_store_date_ms(w->db.store, &at);
    if (date == 0)
        return true;
    int64_t age = (int64_t)((firn_boot_ns(w->db.env) - at) / FIRN_MS);
    int64_t off = (int64_t)firn_wall_ms(w->db.env) - (date + age);
    int64_t max =
        (int64_t)(w->settings->clock_skew_max_ns / FIRN_MS) + 1000; /* Date counts whole seconds */
    w->db.clock_offset_ms = off;
    if (off <= max && off >= -max)
        return true;
    (void)firn_fail(err, FIRN_INVALID,
                    "this machine's clock is %" PRId64
                    " ms off the store's, more than clock-skew-max: "
                    "set the clock (keys would expire at wrong times)",
                    off);
    return false;
}

enum firn_status firn_writer__open_database(struct firn_writer *w, const struct firn_manifest *m,
                                            struct firn_err *err)
{
    enum firn_status s = firn_settings_from_manifest(w->settings, m->pb->settings);
    memcpy(w->db.db_id, m->db.byte, FIRN_ID_BYTES);
    if (s == FIRN_OK)
        s = firn_db_divide_memory(&w->db, err);
    if (s == FIRN_OK && !clock_agrees(w, err))
        s = FIRN_INVALID;
    if (s == FIRN_OK)
        s = firn_engine_can_listen(&w->db, err);
    return s;
}

void firn_writer__claim(struct firn_writer *w, bool (*wanted)(void *w, const Firn__Manifest *m))
{
    w->takeover_began_ns = firn_boot_ns(w->db.env);
    firn_random(w->db.env, w->process_nonce.byte, FIRN_ID_BYTES);
    set_state(w, WRITER_CLAIMING);
    memset(&w->claim, 0, sizeof w->claim);
    w->claim.claim = (struct firn_claim){
        .role = FIRN_ROLE_WRITER,
        .process_nonce = w->process_nonce,
        .node_id = w->settings->node_id,
        .address = w->settings->announce_address,
        .dialect = &w->new_dialect,
    };
    w->claim.wanted = wanted;
    w->claim.base.done = claimed;
    w->claim.base.arg = w;
    firn_manifest_claim(w->mnode, &w->claim);
}

static void opened(struct firn_manifest_create *c)
{
    struct firn_writer *w = c->arg;
    if (w->state != WRITER_OPENING)
        return;
    struct firn_err err = c->err;
    enum firn_status s = c->status;
    if (s == FIRN_OK)
        s = firn_writer__open_database(w, c->manifest, &err);
    if (s != FIRN_OK) {
        fail(w, s, &err, "opening the database");
        return;
    }
    if (c->created)
        firn_log_event(&w->obs->log, FIRN_LOG_INFO, "database created", "url=%s",
                       w->db.env->store->url);
    firn_writer__claim(w, NULL);
}

/* Where nobody asked for an unflushed-bytes-max, a new database gets one that this node can hold.
 */
static void fit_unflushed(struct firn_writer *w)
{
    uint64_t fit = firn_db_unflushed_fit(&w->db);
    if (fit && firn_conf_origin_of(w->settings, "unflushed-bytes-max") == FIRN_CONF_DEFAULT)
        w->new_settings.unflushed_bytes_max = fit;
}

static void proved(void *arg, enum firn_status s, const struct firn_os_dialect *d,
                   const struct firn_err *err)
{
    struct firn_writer *w = arg;
    firn_writer__settled(w);
    if (w->state != WRITER_PROVING)
        return;
    if (s != FIRN_OK) {
        fail(w, s, err, "proving the store");
        return;
    }
    struct firn_err e = {0};
    s = firn_writer__beat_init(w, &e);
    if (s == FIRN_OK)
        s = firn_heartbeat_check(w->settings->heartbeat_ns / FIRN_MS, d->name_writes_per_sec, &e);
    if (s != FIRN_OK) {
        fail(w, s, &e, "opening the database");
        return;
    }
    firn_manifest_set_name_rate(w->mnode, d->name_writes_per_sec);
    firn_settings_to_manifest(w->settings, &w->new_settings);
    fit_unflushed(w);
    firn_dialect_to_manifest(d, &w->new_dialect);
    if (w->settings->standby) {
        firn_writer__standby_start(w);
        return;
    }
    set_state(w, WRITER_OPENING);
    w->create.settings = &w->new_settings;
    w->create.dialect = &w->new_dialect;
    w->create.done = opened;
    w->create.arg = w;
    firn_manifest_create(w->mnode, &w->create);
}

/* --- leaving */

static void release_done(struct firn_intent *it)
{
    struct firn_writer *w = it->arg;
    if (it->status != FIRN_OK)
        firn_log_event(&w->obs->log, FIRN_LOG_WARN, "release failed", "status=%s why=%s",
                       firn_status_name(it->status), it->err.text);
    firn_writer__finish(w, FIRN_WRITER_STOPPED, NULL);
}

static void release(struct firn_writer *w)
{
    set_state(w, WRITER_RELEASING);
    w->release.role = FIRN_ROLE_WRITER;
    w->release.epoch = w->epoch;
    w->release.base.done = release_done;
    w->release.base.arg = w;
    firn_manifest_release(w->mnode, &w->release);
}

void firn_writer__step_out(struct firn_writer *w)
{
    if (w->state != WRITER_FLUSHING)
        return;
    if (w->hands_over ? w->db.durable_gate >= w->db.last_gate : firn_writer__all_flushed(w))
        release(w);
}

/* All replies owed were sent (or the deadline has passed): what is left is ours alone. */
static void drained(void *arg)
{
    struct firn_writer *w = arg;
    if (w->state == WRITER_ENDING) {
        shut(w);
        return;
    }
    set_state(w, WRITER_FLUSHING);
    firn_append_close_now(w->append);
    w->hands_over = w->manifest->pb->writer->heartbeat_kept_ms > 0;
    FIRN_SOMETIMES_IF(w->hands_over, "writer: the last flush left to a standby");
    if (!w->hands_over)
        firn_writer__freeze_now(w);
    firn_writer__step_out(w);
}

static void halt_due(void *arg)
{
    struct firn_writer *w = arg;
    struct firn_err err = {
        "shutdown-timeout passed before everything was flushed; nothing acknowledged is lost"};
    firn_log_event(&w->obs->log, FIRN_LOG_WARN, "shutdown timed out", "why=%s", err.text);
    firn_writer__finish(w, FIRN_WRITER_STOPPED, NULL);
}

void firn_writer_stop(struct firn_writer *w)
{
    if (w->state < WRITER_SERVING) {
        /* Nothing was acknowledged in this epoch. */
        firn_writer__finish(w, FIRN_WRITER_STOPPED, NULL);
        return;
    }
    if (w->state != WRITER_SERVING)
        return;
    set_state(w, WRITER_DRAINING);
    uint64_t timeout = w->settings->shutdown_timeout_ns;
    firn_timer_start(w->db.env, &w->halt_timer, timeout);
    firn_append_close_now(w->append);
    firn_engine_drain(w->engine, firn_boot_ns(w->db.env) + timeout / 2, drained, w);
}

/* --- creating */

static const struct firn_db_vt db_vt = {
    .probe = firn_writer__probe,
    .probe_hint = firn_writer__probe_hint,
    .reload_view = firn_writer__reload_view,
    .take_view = firn_writer__take_view,
    .want_place = firn_writer__want_place,
    .place_lost = place_lost,
    .admit = firn_writer__admit,
    .apply = firn_writer__apply,
    .freeze = firn_writer__freeze_large,
    .set_manifest = firn_writer__set_manifest,
    .settings_changed = firn_writer__settings_changed,
    .info = firn_writer__info,
};

enum firn_status firn_writer_create(const struct firn_env *env, struct firn_store *store,
                                    struct firn_settings *settings, struct firn_obs *obs,
                                    const struct firn_writer_user *user, struct firn_writer **out)
{
    struct firn_writer *w = firn_calloc(1, sizeof *w);
    if (!w)
        return FIRN_LIMIT;
    w->db.vt = &db_vt;
    w->db.role = w;
    w->db.env = env;
    w->db.store = store;
    w->db.log = &obs->log;
    w->db.settings = settings;
    w->db.writable = true;
    w->db.now_ms = firn_writer__now_ms;
    w->settings = settings;
    w->obs = obs;
    w->user = *user;
    w->db.host_info = user->host_info;
    w->db.host_arg = user->arg;
    firn_db_budget_init(&w->db, &w->budget);
    firn_db_name(&w->db, settings->node_id);
    w->end_defer.fn = tell_end;
    w->end_defer.arg = w;
    w->shut_defer.fn = shut;
    w->shut_defer.arg = w;
    w->fence_defer.fn = tell_clients;
    w->fence_defer.arg = w;
    w->idle_wait.fn = tell_end;
    w->idle_wait.arg = w;
    w->halt_timer.fn = halt_due;
    w->halt_timer.arg = w;
    w->confirm.done = confirmed;
    w->confirm.arg = w;
    w->confirm_again.fn = confirm;
    w->confirm_again.arg = w;
    firn_writer__flush_init(w);
    firn_writer__probe_init(w);
    firn_writer__standby_init(w);
    firn_writer__report_init(w);
    struct firn_manifest_options mo = {
        .interval_ns = settings->manifest_interval_ns,
        .fenced = role_lost,
        .broken = broken,
        .arg = w,
    };
    struct firn_lsm_options lo = {.cache_bytes = w->budget.total, .budget = &w->budget};
    enum firn_status s = firn_manifest_node_create(env, store, &mo, &w->mnode);
    if (s == FIRN_OK)
        s = firn_lsm_create(env, store, &lo, &w->db.lsm);
    if (s != FIRN_OK) {
        firn_writer_free(w);
        return s;
    }
    *out = w;
    return FIRN_OK;
}

void firn_writer_start(struct firn_writer *w)
{
    FIRN_ASSERT(w->state == WRITER_NEW);
    set_state(w, WRITER_PROVING);
    w->pending++;
    firn_store_prove(w->db.store, proved, w);
}

void firn_writer_free(struct firn_writer *w)
{
    if (!w)
        return;
    FIRN_ASSERT(w->state == WRITER_NEW || w->state == WRITER_ENDED);
    firn_metrics_remove(&w->metrics);
    firn_engine_free(w->engine);
    firn_pins_free(w->pins);
    firn_tail_free(w->standby.tail);
    firn_view_unref(w->db.view);
    firn_memory_deinit(&w->memory);
    firn_manifest_unref(w->manifest);
    firn_lsm_free(w->db.lsm);
    firn_manifest_node_free(w->mnode);
    firn_free(w);
}
