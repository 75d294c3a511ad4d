#include "writer/writer_priv.h"

#include "base/assert.h"
#include "base/mem.h"
#include "format/event.h"

/* A CONFIG SET of a setting that the manifest keeps: one commit. */
struct setting {
    struct firn_setting_intent intent;
    struct firn_writer *w;
    char *name, *value;
    void (*done)(void *arg, enum firn_status s, const struct firn_err *err);
    void *arg;
};

static void setting_free(struct setting *s)
{
    firn_free(s->name);
    firn_free(s->value);
    firn_free(s);
}

static void setting_committed(struct firn_intent *it)
{
    struct setting *s = it->arg;
    struct firn_writer *w = s->w;
    if (it->status == FIRN_OK && writer_live(w))
        firn_writer__see_manifest(w, it->manifest);
    s->done(s->arg, it->status, &it->err);
    setting_free(s);
    firn_writer__settled(w);
}

void firn_writer__set_manifest(struct firn_db *db, const char *name, const char *value,
                               void (*done)(void *arg, enum firn_status s,
                                            const struct firn_err *err),
                               void *arg)
{
    struct firn_writer *w = db->role;
    struct setting *s = firn_calloc(1, sizeof *s);
    FIRN_ASSERT(s);
    s->w = w;
    s->name = firn_strdup(name);
    s->value = firn_strdup(value);
    FIRN_ASSERT(s->name && s->value);
    s->done = done;
    s->arg = arg;
    s->intent.name = s->name;
    s->intent.value = s->value;
    s->intent.base.done = setting_committed;
    s->intent.base.arg = s;
    w->pending++;
    firn_manifest_setting(w->mnode, &s->intent);
}

void firn_writer__follow_settings(struct firn_writer *w)
{
    const Firn__Manifest *pb = w->manifest->pb;
    bool expire = firn_events_want_expired(pb->settings->notify_keyspace_events);
    w->memory.expiry_index = expire;
    if (w->engine)
        firn_engine_expire(w->engine, expire, pb->expired_to_ms);
}

void firn_writer__settings_changed(struct firn_db *db)
{
    struct firn_writer *w = db->role;
    if (w->append)
        firn_append_tune(w->append, w->settings->wal_interval_ns, w->settings->wal_batch_bytes,
                         (unsigned)w->settings->wal_inflight);
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
