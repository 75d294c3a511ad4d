#include "reader/reader_priv.h"

#include "base/assert.h"
#include "base/mem.h"
#include "manifest/settings.h"

#include <inttypes.h>
#include <stdio.h>

/* Between two looks for a database that is not there yet, or a store that does not answer. */
#define OPEN_RETRY_NS (1 * FIRN_SEC)
/* A look that takes longer is told of, and begun anew. */
#define OPEN_READ_NS (10 * FIRN_SEC)
/* How long an ending reader waits for its last replies to leave, beside shutdown-timeout. */
#define FAILED_DRAIN_NS (1 * FIRN_SEC)
#define IDLE_WAIT_NS (5 * FIRN_MS)

/* --- the end */

static void tell_end(void *arg)
{
    struct firn_reader *r = arg;
    if (r->pending || r->state == READER_ENDED)
        return;
    /* Requests that nobody waits for any more end by themselves. */
    if (!firn_lsm_idle(r->db.lsm) || !firn_store_idle(r->db.store)) {
        firn_timer_start(r->db.env, &r->idle_wait, IDLE_WAIT_NS);
        return;
    }
    r->state = READER_ENDED;
    r->user.ended(r->user.arg, r->failed, &r->err);
}

static void settled(void *arg)
{
    struct firn_reader *r = arg;
    FIRN_ASSERT(r->pending > 0);
    r->pending--;
    if (r->pending == 0)
        firn_defer(r->db.env, &r->end_defer);
}

static void drained(void *arg)
{
    struct firn_reader *r = arg;
    if (r->tail)
        firn_tail_pause(r->tail); /* it asks for no slot and no manifest any more */
    firn_timer_stop(r->db.env, &r->want_timer);
    firn_reader__warm_stop(r);
    firn_pins_stop(r->pins);
    firn_manifest_node_stop(r->mnode, settled, r);
}

void firn_reader__finish(struct firn_reader *r, bool failed, const struct firn_err *err)
{
    if (r->state >= READER_ENDING)
        return;
    r->failed = failed;
    if (err)
        r->err = *err;
    r->state = READER_ENDING;
    firn_timer_stop(r->db.env, &r->open_retry);
    r->pending++;
    if (!r->engine) {
        drained(r);
        return;
    }
    uint64_t within = failed ? FAILED_DRAIN_NS : r->settings->shutdown_timeout_ns;
    firn_engine_drain(r->engine, firn_boot_ns(r->db.env) + within, drained, r);
}

void firn_reader_stop(struct firn_reader *r)
{
    firn_reader__finish(r, false, NULL);
}

static void broken(void *arg, const struct firn_err *err)
{
    firn_reader__finish(arg, true, err);
}

bool firn_reader_went_back(const struct firn_reader *r)
{
    return firn_manifest_went_back(r->mnode);
}

/* --- opening */

static enum firn_status serve(struct firn_reader *r, struct firn_manifest *m, struct firn_err *err)
{
    struct firn_os_dialect dialect = firn_dialect_from_manifest(m->pb->dialect);
    uint64_t given = r->settings->unflushed_bytes_max;
    bool asked = firn_conf_origin_of(r->settings, "unflushed-bytes-max") != FIRN_CONF_DEFAULT;
    if (asked && given < m->pb->settings->unflushed_bytes_max)
        return firn_fail(err, FIRN_INVALID,
                         "unflushed-bytes-max is %" PRIu64 " here, but the database allows %" PRIu64
                         " of unflushed log, which a reader must be able to hold",
                         given, m->pb->settings->unflushed_bytes_max);
    enum firn_status s = firn_settings_from_manifest(r->settings, m->pb->settings);
    if (s != FIRN_OK)
        return s;
    s = firn_db_divide_memory(&r->db, err);
    if (s != FIRN_OK)
        return s;
    memcpy(r->db.db_id, m->db.byte, FIRN_ID_BYTES);
    firn_store_set_dialect(r->db.store, &dialect);
    struct firn_pins_options po = {
        .db = m->db, .format = (uint16_t)m->pb->format, .ttl_ns = r->settings->pin_ttl_ns};
    s = firn_pins_create(r->db.env, r->db.store, r->mnode, &po, &r->pins);
    r->db.pins = r->pins;
    r->db.mnode = r->mnode;
    if (s == FIRN_OK)
        s = firn_reader__begin(r, m, err);
    if (s == FIRN_OK)
        s = firn_engine_create(&r->db, &r->engine, err);
    if (s == FIRN_OK)
        s = firn_engine_listen(r->engine, &r->port, err);
    return s;
}

static void opened(struct firn_manifest_read *mr)
{
    struct firn_reader *r = mr->arg;
    if (r->state != READER_OPENING)
        return;
    struct firn_err err = mr->err;
    enum firn_status s = mr->status;
    if (s == FIRN_ABSENT || s == FIRN_TRANSIENT || s == FIRN_UNCERTAIN) {
        if (s == FIRN_ABSENT)
            firn_log_event(&r->obs->log, FIRN_LOG_INFO, "no database yet", "url=%s",
                           r->db.env->store->url);
        else
            firn_log_event(&r->obs->log, FIRN_LOG_WARN, "the store does not answer",
                           "url=%s why=%s", r->db.env->store->url, err.text);
        firn_timer_start(r->db.env, &r->open_retry, OPEN_RETRY_NS);
        return;
    }
    if (s == FIRN_OK && mr->manifest->pb->state == FIRN__DATABASE_STATE__DROPPED)
        s = firn_fail(&err, FIRN_INVALID, "the database was dropped");
    if (s == FIRN_OK)
        s = serve(r, mr->manifest, &err);
    if (s != FIRN_OK) {
        (void)firn_fail(&err, s, "opening the database failed: %s", firn_status_name(s));
        firn_reader__finish(r, true, &err);
        return;
    }
    r->state = READER_SERVING;
    r->db.serving = true;
    firn_log_event(&r->obs->log, FIRN_LOG_INFO, "reader serving",
                   "port=%u version=%" PRIu64 " floor=%" PRIu64 "/%" PRIu64, (unsigned)r->port,
                   mr->manifest->version, mr->manifest->floor.epoch, mr->manifest->floor.slot);
    firn_engine_advance(r->engine);
    r->user.serving(r->user.arg, r->port);
}

static void open_due(void *arg)
{
    struct firn_reader *r = arg;
    memset(&r->open_read, 0, sizeof r->open_read);
    r->open_read.deadline_ns = firn_boot_ns(r->db.env) + OPEN_READ_NS;
    r->open_read.done = opened;
    r->open_read.arg = r;
    firn_manifest_read(r->mnode, &r->open_read);
}

/* --- creating */

static const struct firn_db_vt db_vt = {
    .probe = firn_reader__probe,
    .probe_hint = firn_reader__probe_hint,
    .reload_view = firn_reader__reload_view,
    .take_view = firn_reader__take_view,
    .want_place = firn_reader__want_place,
    .place_lost = firn_reader__place_lost,
    .feed_wanted = firn_reader__feed_wanted,
    .info = firn_reader__info,
};

enum firn_status firn_reader_create(const struct firn_env *env, struct firn_store *store,
                                    struct firn_settings *settings, struct firn_obs *obs,
                                    const struct firn_reader_user *user, struct firn_reader **out)
{
    struct firn_reader *r = firn_calloc(1, sizeof *r);
    if (!r)
        return FIRN_LIMIT;
    r->db.vt = &db_vt;
    r->db.role = r;
    r->db.env = env;
    r->db.store = store;
    r->db.log = &obs->log;
    r->db.settings = settings;
    r->db.now_ms = firn_reader__now_ms;
    r->settings = settings;
    r->obs = obs;
    r->user = *user;
    r->db.host_info = user->host_info;
    r->db.host_arg = user->arg;
    firn_db_budget_init(&r->db, &r->budget);
    firn_db_name(&r->db, settings->node_id);
    r->end_defer.fn = tell_end;
    r->end_defer.arg = r;
    r->idle_wait.fn = tell_end;
    r->idle_wait.arg = r;
    r->open_retry.fn = open_due;
    r->open_retry.arg = r;
    firn_reader__tail_init(r);
    firn_reader__report_init(r);
    struct firn_manifest_options mo = {
        .interval_ns = settings->manifest_interval_ns,
        .broken = broken,
        .arg = r,
    };
    struct firn_lsm_options lo = {.cache_bytes = r->budget.total, .budget = &r->budget};
    enum firn_status s = firn_manifest_node_create(env, store, &mo, &r->mnode);
    if (s == FIRN_OK)
        s = firn_lsm_create(env, store, &lo, &r->db.lsm);
    if (s != FIRN_OK) {
        firn_reader_free(r);
        return s;
    }
    firn_reader__warm_init(r);
    *out = r;
    return FIRN_OK;
}

void firn_reader_start(struct firn_reader *r)
{
    FIRN_ASSERT(r->state == READER_NEW);
    r->state = READER_OPENING;
    open_due(r);
}

void firn_reader_free(struct firn_reader *r)
{
    if (!r)
        return;
    FIRN_ASSERT(r->state == READER_NEW || r->state == READER_ENDED);
    firn_timer_stop(r->db.env, &r->want_timer);
    firn_timer_stop(r->db.env, &r->open_retry);
    firn_metrics_remove(&r->metrics);
    firn_engine_free(r->engine);
    firn_reader__warm_stop(r);
    firn_pins_free(r->pins);
    firn_tail_free(r->tail);
    firn_view_unref(r->db.view);
    firn_memory_deinit(&r->memory);
    firn_manifest_unref(r->manifest);
    firn_lsm_free(r->db.lsm);
    firn_manifest_node_free(r->mnode);
    firn_free(r);
}
