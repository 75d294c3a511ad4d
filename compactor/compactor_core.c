#include "compactor/compactor_priv.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "manifest/check.h"
#include "manifest/settings.h"

#include <inttypes.h>
#include <stdio.h>

#define GC_IDLE_NS (3600 * FIRN_SEC)  /* between passes where nothing happens */
#define RETRY_AFTER_NS (5 * FIRN_SEC) /* between a job that failed and the next one */

/* ---- the end */

static void tell_end(void *arg)
{
    struct firn_compactor *c = arg;
    if (c->pending || c->state == COMPACTOR_ENDED)
        return;
    c->state = COMPACTOR_ENDED;
    c->user.ended(c->user.arg, c->how, &c->err);
}

void firn_compactor__settled(struct firn_compactor *c)
{
    FIRN_ASSERT(c->pending > 0);
    c->pending--;
    if (c->state == COMPACTOR_ENDING && c->pending == 0)
        firn_defer(c->env, &c->end_defer);
}

static void node_stopped(void *arg)
{
    firn_compactor__settled(arg);
}

/* Cancel what is under way and wait for it. */
static void finish(struct firn_compactor *c, enum firn_compactor_end how,
                   const struct firn_err *err)
{
    if (c->state >= COMPACTOR_ENDING)
        return;
    c->how = how;
    if (err)
        c->err = *err;
    c->state = COMPACTOR_ENDING;
    firn_timer_stop(c->env, &c->wake_timer);
    firn_timer_stop(c->env, &c->stop_timer);
    if (c->merge)
        firn_compactor__merge_cancel(c);
    if (c->collecting)
        firn_compactor__gc_cancel(c);
    if (c->mnode) {
        c->pending++;
        firn_manifest_node_stop(c->mnode, node_stopped, c);
    }
    if (c->pending == 0)
        firn_defer(c->env, &c->end_defer);
}

void firn_compactor__fail(struct firn_compactor *c, enum firn_status s, const struct firn_err *err,
                          const char *doing)
{
    struct firn_err e = {0};
    if (err && err->text[0])
        (void)snprintf(e.text, sizeof e.text, "%s", err->text);
    else
        (void)snprintf(e.text, sizeof e.text, "%s failed: %s", doing, firn_status_name(s));
    finish(c, s == FIRN_FENCED ? FIRN_COMPACTOR_FENCED : FIRN_COMPACTOR_FAILED, &e);
}

void firn_compactor_halt(struct firn_compactor *c)
{
    struct firn_err err = {"halted"};
    finish(c, FIRN_COMPACTOR_FAILED, &err);
}

static void role_lost(void *arg, enum firn_role role)
{
    struct firn_compactor *c = arg;
    struct firn_err err = {"the manifest names another compactor: a newer one works"};
    (void)role;
    if (c->state == COMPACTOR_ENDING || c->state == COMPACTOR_ENDED)
        return;
    FIRN_SOMETIMES_IF(c->merge, "compactor: fenced inside a merge");
    FIRN_SOMETIMES_IF(c->collecting, "compactor: fenced inside a collection");
    firn_log_event(&c->obs->log, FIRN_LOG_WARN, "compactor fenced", "epoch=%" PRIu64, c->epoch);
    finish(c, FIRN_COMPACTOR_FENCED, &err);
}

static void broken(void *arg, const struct firn_err *err)
{
    finish(arg, FIRN_COMPACTOR_FAILED, err);
}

bool firn_compactor_went_back(const struct firn_compactor *c)
{
    return firn_manifest_went_back(c->mnode);
}

/* ---- releasing */

static void released(struct firn_intent *it)
{
    struct firn_compactor *c = it->arg;
    finish(c, FIRN_COMPACTOR_STOPPED, NULL);
    firn_compactor__settled(c);
}

/* Give the role up; the job under way is cancelled first. */
static void release(struct firn_compactor *c)
{
    c->state = COMPACTOR_RELEASING;
    firn_timer_stop(c->env, &c->wake_timer);
    c->release.role = FIRN_ROLE_COMPACTOR;
    c->release.epoch = c->epoch;
    c->release.base.done = released;
    c->release.base.arg = c;
    c->pending++;
    firn_manifest_release(c->mnode, &c->release);
}

/* The store did not answer in time: the epoch stays ours until the next claim, which harms nobody.
 */
static void stop_late(void *arg)
{
    finish(arg, FIRN_COMPACTOR_STOPPED, NULL);
}

void firn_compactor_stop(struct firn_compactor *c)
{
    if (c->stop_asked || c->state >= COMPACTOR_RELEASING)
        return;
    c->stop_asked = true;
    if (c->state != COMPACTOR_WORKING) {
        finish(c, FIRN_COMPACTOR_STOPPED, NULL);
        return;
    }
    firn_timer_start(c->env, &c->stop_timer, c->settings->shutdown_timeout_ns);
    if (c->merge)
        firn_compactor__merge_cancel(c);
    if (c->collecting)
        firn_compactor__gc_cancel(c);
    firn_compactor__work(c);
}

/* ---- polling */

void firn_compactor__take_manifest(struct firn_compactor *c, struct firn_manifest *m, bool ours)
{
    bool changed = !c->manifest || m->version != c->manifest->version;
    if (c->manifest && m->version < c->manifest->version)
        return; /* the reply to a read that was sent before our commit */
    firn_manifest_ref(m);
    firn_manifest_unref(c->manifest);
    c->manifest = m;
    if (!changed)
        return;
    c->poll_ns = c->settings->compactor_poll_min_ns;
    uint64_t now = firn_mono_ns(c->env), next = now + firn_compactor__gc_interval_ns(c);
    if (!ours)
        c->settled_ns = now;
    if (c->gc_at_ns > next)
        c->gc_at_ns = next;
}

/* Wake up when the next poll or pass is due. */
static void arm_timer(struct firn_compactor *c)
{
    uint64_t now = firn_mono_ns(c->env);
    uint64_t at =
        c->gc_at_ns < c->poll_at_ns && !c->merge && !c->collecting ? c->gc_at_ns : c->poll_at_ns;
    if (c->state == COMPACTOR_WORKING && !c->reading)
        firn_timer_start(c->env, &c->wake_timer, at > now ? at - now : 0);
}

/* Refused for now, as when credentials are changed or memory is short: the next look may do better.
 */
static bool may_pass(const struct firn_compactor *c, enum firn_status s)
{
    return firn_manifest_refused(c->mnode, s) && !c->settings->once;
}

static void polled(struct firn_manifest_read *r)
{
    struct firn_compactor *c = r->arg;
    struct firn_err err = r->err;
    enum firn_status s = r->status;
    bool ended = s == FIRN_TRANSIENT || s == FIRN_UNCERTAIN; /* with the node */
    c->reading = false;
    if (s == FIRN_OK)
        s = firn_manifest_check_features(r->manifest->pb, true, &err);
    if (c->state == COMPACTOR_WORKING && s == FIRN_OK) {
        c->poll_ns *= 2; /* back to the minimum if it changed */
        if (c->poll_ns > c->settings->compactor_poll_max_ns)
            c->poll_ns = c->settings->compactor_poll_max_ns;
        firn_compactor__take_manifest(c, r->manifest, false);
        c->poll_at_ns = firn_mono_ns(c->env) + c->poll_ns;
        firn_compactor__work(c);
    } else if (c->state == COMPACTOR_WORKING && may_pass(c, r->status)) {
        c->poll_at_ns = firn_mono_ns(c->env) + RETRY_AFTER_NS;
        firn_compactor__work(c);
    } else if (c->state == COMPACTOR_WORKING && !ended) {
        firn_compactor__fail(c, s, &err, "reading the manifest");
    }
    firn_compactor__settled(c);
}

static void wake(void *arg)
{
    struct firn_compactor *c = arg;
    if (firn_mono_ns(c->env) < c->poll_at_ns) {
        firn_compactor__work(c);
        return;
    }
    c->reading = true;
    c->pending++;
    c->read = (struct firn_manifest_read){.done = polled, .arg = c};
    firn_manifest_read(c->mnode, &c->read);
}

/* ---- what to do next */

static bool start_job(struct firn_compactor *c)
{
    struct firn_plan_options o = {
        .l0_compact_tables = c->settings->l0_compact_tables,
        .slice_bytes_min = c->settings->slice_bytes_min,
        .l0_force_tables = c->settings->l0_force_tables,
        .all = c->settings->once,
        .inputs_max = firn_compactor__sources_max(c),
    };
    struct firn_plan plan;
    if (firn_mono_ns(c->env) < c->retry_at_ns)
        return false;
    enum firn_status s = firn_plan_choose(c->manifest->pb, &o, &plan);
    if (s == FIRN_OK)
        s = firn_compactor__merge_start(c, &plan);
    if (s == FIRN_LIMIT)
        c->retry_at_ns = firn_mono_ns(c->env) + RETRY_AFTER_NS;
    return s == FIRN_OK;
}

void firn_compactor__work(struct firn_compactor *c)
{
    if (c->state != COMPACTOR_WORKING)
        return;
    if (!c->merge && !c->collecting) {
        if (c->stop_asked) {
            release(c);
            return;
        }
        if (!start_job(c) && firn_mono_ns(c->env) >= c->gc_at_ns) {
            c->collecting = true;
            firn_compactor__gc_start(c);
        }
    }
    arm_timer(c);
}

void firn_compactor__merged(struct firn_compactor *c, enum firn_status s,
                            const struct firn_err *err, struct firn_manifest *m)
{
    c->merge = NULL;
    if (c->state != COMPACTOR_WORKING)
        return;
    if (s == FIRN_OK) {
        c->stats.jobs++;
        firn_compactor__take_manifest(c, m, false);
        firn_compactor__work(c);
        return;
    }
    /* ABSENT: the manifest names an input that is gone. */
    bool hopeless = s == FIRN_CORRUPT || s == FIRN_INVALID || s == FIRN_DENIED || s == FIRN_ABSENT;
    if (s == FIRN_FENCED || (hopeless && c->settings->once)) {
        firn_compactor__fail(c, s, err, "a compaction");
        return;
    }
    if (!c->stop_asked) {
        FIRN_SOMETIMES("compactor: a merge given up");
        c->stats.jobs_failed++;
        c->retry_at_ns =
            firn_mono_ns(c->env) + (hopeless ? c->settings->compactor_poll_max_ns : RETRY_AFTER_NS);
        firn_log_event(&c->obs->log, FIRN_LOG_ERROR, "compaction failed", "status=%s why=%s",
                       firn_status_name(s), err->text);
    }
    firn_compactor__work(c);
}

/* Have all graces passed, with a pass or two behind them, since something last happened? */
static bool is_quiet(const struct firn_compactor *c, const struct compactor_pass *p)
{
    uint64_t quiet = firn_compactor__grace_ns(c) + 2 * firn_compactor__gc_interval_ns(c);
    return p->status == FIRN_OK && !p->deleted && firn_mono_ns(c->env) - c->settled_ns >= quiet;
}

void firn_compactor__collected(struct firn_compactor *c, const struct compactor_pass *p)
{
    uint64_t now = firn_mono_ns(c->env);
    c->collecting = false;
    if (c->state != COMPACTOR_WORKING)
        return;
    if (p->status == FIRN_FENCED) {
        firn_compactor__fail(c, p->status, &p->err, "collecting garbage");
        return;
    }
    c->stats.passes++;
    c->stats.objects_deleted += p->deleted;
    if (p->status != FIRN_OK && !c->stop_asked)
        firn_log_event(&c->obs->log, FIRN_LOG_WARN, "collecting failed", "status=%s why=%s",
                       firn_status_name(p->status), p->err.text);
    if (p->raised)
        c->settled_ns = now;
    bool quiet = is_quiet(c, p);
    c->gc_at_ns = now + (quiet && !p->waiting ? GC_IDLE_NS : firn_compactor__gc_interval_ns(c));
    if (quiet && c->settings->once && now >= c->retry_at_ns)
        c->stop_asked = true;
    firn_compactor__work(c);
}

/* ---- starting: prove, open, claim */

static void claimed(struct firn_intent *it)
{
    struct firn_compactor *c = it->arg;
    struct firn_err err = {0};
    enum firn_status s = it->status;
    if (c->state == COMPACTOR_CLAIMING && s == FIRN_OK)
        s = firn_settings_from_manifest(c->settings, it->manifest->pb->settings);
    if (c->state == COMPACTOR_CLAIMING && s == FIRN_OK)
        s = firn_compactor__gc_create(c);
    if (c->state == COMPACTOR_CLAIMING && s != FIRN_OK) {
        err = it->err;
        firn_compactor__fail(c, s, &err, "claiming the role");
    } else if (c->state == COMPACTOR_CLAIMING) {
        c->epoch = c->claim.epoch;
        c->format = (uint16_t)it->manifest->pb->format;
        firn_manifest_hold(c->mnode, FIRN_ROLE_COMPACTOR, c->epoch, &c->nonce);
        c->next_number = it->manifest->pb->compactor->watermark;
        c->state = COMPACTOR_WORKING;
        c->gc_at_ns = firn_mono_ns(c->env);
        firn_compactor__take_manifest(c, it->manifest, false);
        firn_log_event(&c->obs->log, FIRN_LOG_INFO, "compactor working",
                       "epoch=%" PRIu64 " version=%" PRIu64, c->epoch, c->manifest->version);
        if (c->user.working)
            c->user.working(c->user.arg);
        firn_compactor__work(c);
    }
    firn_compactor__settled(c);
}

static void claim(struct firn_compactor *c)
{
    c->state = COMPACTOR_CLAIMING;
    firn_random(c->env, c->nonce.byte, sizeof c->nonce.byte);
    firn_dialect_to_manifest(&c->dialect, &c->dialect_pb);
    c->claim.claim = (struct firn_claim){
        .role = FIRN_ROLE_COMPACTOR,
        .process_nonce = c->nonce,
        .node_id = c->settings->node_id,
        .address = "",
        .dialect = &c->dialect_pb,
    };
    c->claim.base.done = claimed;
    c->claim.base.arg = c;
    c->pending++;
    firn_manifest_claim(c->mnode, &c->claim);
}

static void opened(struct firn_manifest_read *r)
{
    struct firn_compactor *c = r->arg;
    c->reading = false;
    if (c->state == COMPACTOR_OPENING && r->status == FIRN_ABSENT) {
        struct firn_err err = {"there is no database at this URL: a writer makes one"};
        firn_compactor__fail(c, r->status, &err, "opening");
    } else if (c->state == COMPACTOR_OPENING && r->status != FIRN_OK) {
        firn_compactor__fail(c, r->status, &r->err, "reading the manifest");
    } else if (c->state == COMPACTOR_OPENING) {
        /* Whoever has not the memory for this database leaves the role to who has it. */
        struct firn_err err = {0};
        enum firn_status s = firn_settings_from_manifest(c->settings, r->manifest->pb->settings);
        if (s == FIRN_OK)
            s = firn_compactor__divide_memory(c, &err);
        if (s == FIRN_OK)
            claim(c);
        else
            firn_compactor__fail(c, s, &err, "opening");
    }
    firn_compactor__settled(c);
}

static void proved(void *arg, enum firn_status status, const struct firn_os_dialect *dialect,
                   const struct firn_err *err)
{
    struct firn_compactor *c = arg;
    if (c->state == COMPACTOR_PROVING && status != FIRN_OK) {
        firn_compactor__fail(c, status, err, "the proof of the store");
    } else if (c->state == COMPACTOR_PROVING) {
        c->dialect = *dialect;
        firn_manifest_set_name_rate(c->mnode, dialect->name_writes_per_sec);
        c->state = COMPACTOR_OPENING;
        c->reading = true;
        c->pending++;
        c->read = (struct firn_manifest_read){.done = opened, .arg = c};
        firn_manifest_read(c->mnode, &c->read);
    }
    firn_compactor__settled(c);
}

void firn_compactor_start(struct firn_compactor *c)
{
    FIRN_ASSERT(c->state == COMPACTOR_NEW);
    c->state = COMPACTOR_PROVING;
    c->pending++;
    firn_store_prove(c->store, proved, c);
}

/* ---- the handle */

static void collect_metrics(struct firn_metrics_out *out, void *arg)
{
    const struct firn_compactor *c = arg;
    const struct firn_compactor_stats *s = &c->stats;
    firn_metrics_counter(out, "compactions_total", "Compaction jobs committed.", s->jobs, NULL);
    firn_metrics_counter(out, "compactions_failed_total", "Compaction jobs given up.",
                         s->jobs_failed, NULL);
    firn_metrics_counter(out, "compaction_read_bytes_total", "Bytes read by jobs.", s->bytes_in,
                         NULL);
    firn_metrics_counter(out, "compaction_written_bytes_total", "Bytes of the outputs of jobs.",
                         s->bytes_out, NULL);
    firn_metrics_counter(out, "compaction_entries_total", "Entries by direction.", s->entries_in,
                         "direction", "in", NULL);
    firn_metrics_counter(out, "compaction_entries_total", "Entries by direction.", s->entries_out,
                         "direction", "out", NULL);
    firn_metrics_counter(out, "garbage_passes_total", "Passes of the collector.", s->passes, NULL);
    firn_metrics_counter(out, "garbage_deleted_total", "Objects deleted.", s->objects_deleted,
                         NULL);
    firn_budget_collect(out, &c->budget);
    if (!c->manifest)
        return;
    firn_metrics_gauge(out, "l0_tables", "Tables in L0.", (double)c->manifest->pb->n_l0, NULL);
    firn_metrics_gauge(out, "partitions", "Partitions of L1.",
                       (double)c->manifest->pb->n_partitions, NULL);
    firn_metrics_gauge(out, "garbage_objects", "Tables dropped and not deleted yet.",
                       (double)c->manifest->pb->n_garbage, NULL);
}

enum firn_status firn_compactor_create(const struct firn_env *env, struct firn_store *store,
                                       struct firn_settings *settings, struct firn_obs *obs,
                                       const struct firn_compactor_user *user,
                                       struct firn_compactor **out)
{
    struct firn_compactor *c = firn_calloc(1, sizeof *c);
    if (!c)
        return FIRN_LIMIT;
    c->env = env;
    c->store = store;
    c->settings = settings;
    c->obs = obs;
    c->user = *user;
    c->poll_ns = settings->compactor_poll_min_ns;
    c->end_defer = (struct firn_defer){.fn = tell_end, .arg = c};
    c->wake_timer = (struct firn_timer){.fn = wake, .arg = c};
    c->stop_timer = (struct firn_timer){.fn = stop_late, .arg = c};
    struct firn_manifest_options o = {
        .interval_ns = settings->manifest_interval_ns,
        .fenced = role_lost,
        .broken = broken,
        .arg = c,
    };
    enum firn_status s = firn_manifest_node_create(env, store, &o, &c->mnode);
    if (s != FIRN_OK) {
        firn_free(c);
        return s;
    }
    c->metrics = (struct firn_collector){.collect = collect_metrics, .arg = c};
    firn_metrics_add(&obs->metrics, &c->metrics);
    *out = c;
    return FIRN_OK;
}

void firn_compactor_free(struct firn_compactor *c)
{
    if (!c)
        return;
    FIRN_ASSERT(c->state == COMPACTOR_NEW || c->state == COMPACTOR_ENDED);
    firn_defer_cancel(c->env, &c->end_defer);
    firn_metrics_remove(&c->metrics);
    firn_compactor__gc_free(c);
    firn_manifest_unref(c->manifest);
    firn_manifest_node_free(c->mnode);
    firn_free(c);
}

bool firn_compactor_ready(const struct firn_compactor *c, struct firn_buf *lines)
{
    static const char *const why[] = {
        "not started",
        "proving the store",
        "opening the database",
        "claiming the role",
        "ok",
        "stopping",
        "stopping",
        "ended",
    };
    bool ok = firn_buf_printf(lines, "role: %s\n", why[c->state]) == FIRN_OK;
    return ok && c->state == COMPACTOR_WORKING;
}

const struct firn_compactor_stats *firn_compactor_stats_of(const struct firn_compactor *c)
{
    return &c->stats;
}

const struct firn_budget *firn_compactor_budget_of(const struct firn_compactor *c)
{
    return &c->budget;
}

uint64_t firn_compactor_version(const struct firn_compactor *c)
{
    return c->manifest ? c->manifest->version : 0;
}
