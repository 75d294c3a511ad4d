#include "writer/writer_priv.h"

#include "base/mem.h"
#include "format/event.h"
#include "manifest/settings.h"

/* Clients are answered after commit-timeout, but their settings go on waiting for a manifest that
 * cannot be written: at most so many. */
#define SETTINGS_PENDING_MAX 64

/* A CONFIG SET of a setting that the manifest keeps: one commit. */
struct setting {
    struct firn_setting_intent intent;
    struct firn_writer *w;
    char value[FIRN_SETTINGS_VALUE_MAX]; /* as the manifest keeps it */
    void (*done)(void *arg, enum firn_status s, const struct firn_err *err);
    void *arg;
};

static void setting_committed(struct firn_intent *it)
{
    struct setting *s = it->arg;
    struct firn_writer *w = s->w;
    if (it->status == FIRN_OK && writer_live(w))
        firn_writer__see_manifest(w, it->manifest);
    s->done(s->arg, it->status, &it->err);
    firn_free(s);
    w->settings_pending--;
    firn_writer__settled(w);
}

enum firn_status firn_writer__set_manifest(struct firn_db *db, const char *name, const char *value,
                                           void (*done)(void *arg, enum firn_status s,
                                                        const struct firn_err *err),
                                           void *arg, struct firn_err *err)
{
    struct firn_writer *w = db->role;
    const struct firn_conf_def *def = firn_conf_find(firn_slice_str(name));
    if (w->settings_pending >= SETTINGS_PENDING_MAX)
        return firn_fail(err, FIRN_LIMIT,
                         "%u settings wait already for the manifest to be written; nothing was "
                         "changed, it is safe to retry",
                         w->settings_pending);
    struct setting *s = firn_calloc(1, sizeof *s);
    if (!s)
        return firn_fail(err, FIRN_LIMIT, "out of memory");
    enum firn_status st = firn_settings_commit_value(def->name, value, s->value, err);
    if (st != FIRN_OK) {
        firn_free(s);
        return st;
    }
    s->w = w;
    s->done = done;
    s->arg = arg;
    s->intent.name = def->name;
    s->intent.value = s->value;
    s->intent.base.done = setting_committed;
    s->intent.base.arg = s;
    w->pending++;
    w->settings_pending++;
    firn_manifest_setting(w->mnode, &s->intent);
    return FIRN_OK;
}

void firn_writer__follow_settings(struct firn_writer *w)
{
    const Firn__Manifest *pb = w->manifest->pb;
    if (firn_settings_from_manifest(w->settings, pb->settings) != FIRN_OK)
        firn_log_event(&w->obs->log, FIRN_LOG_WARN, "settings not taken",
                       "why=out of memory version=%llu", (unsigned long long)pb->version);
    bool expire = firn_events_want_expired(pb->settings->notify_keyspace_events);
    w->memory.expiry_index = expire;
    if (w->engine)
        firn_engine_expire(w->engine, expire, pb->expired_to_ms);
    firn_writer__beat_follow(w);
}

void firn_writer__settings_changed(struct firn_db *db)
{
    struct firn_writer *w = db->role;
    if (w->append)
        firn_append_tune(w->append, w->settings->wal_interval_ns, w->settings->wal_batch_bytes,
                         (unsigned)w->settings->wal_inflight);
    firn_writer__idle_retime(w);
    w->obs->log.level = (enum firn_log_level)w->settings->log_level;
}

/* The writer reaches every place it handed out by itself, but sooner if it knows that somebody
 * waits. */
void firn_writer__want_place(struct firn_db *db, struct firn_place place)
{
    struct firn_writer *w = db->role;
    if (w->append && place.epoch == w->epoch)
        firn_append_want(w->append, place.slot);
}
