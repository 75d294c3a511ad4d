#include "ctl/ctl_verify_priv.h"

#include "base/mem.h"
#include "manifest/check.h"

#include <inttypes.h>
#include <stdio.h>

#define PROGRESS_NS FIRN_SEC

/* ---- the report */

FIRN_PRINTF(3, 0)
static void line(struct verify *v, const char *kind, const char *fmt, va_list ap)
{
    char text[1024];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    firn_ctl__print(v->c, "%s: %s\n", kind, text);
    firn_ctl__flush(v->c);
}

void firn_ctl__verify_error(struct verify *v, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    line(v, "error", fmt, ap);
    va_end(ap);
    v->errors++;
}

void firn_ctl__verify_info(struct verify *v, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    line(v, "info", fmt, ap);
    va_end(ap);
}

static void progress(void *arg)
{
    struct verify *v = arg;
    char text[160], done[CTL_SIZE_MAX], total[CTL_SIZE_MAX];
    double s = (double)(firn_mono_ns(v->c->env) - v->began_ns) / (double)FIRN_SEC;
    (void)snprintf(text, sizeof text,
                   "verify: %" PRIu64 " of %zu tables, %" PRIu64
                   " batches, %s (tables have %s), %.0f MB/s",
                   v->tables_done, firn_ctl__verify_refs(v), v->log.batches,
                   firn_ctl__size(v->bytes_done, done), firn_ctl__size(v->bytes_total, total),
                   s > 0 ? (double)v->bytes_done / 1e6 / s : 0.0);
    v->c->user.say(v->c->user.arg, text);
    firn_timer_start(v->c->env, &v->progress, PROGRESS_NS);
}

static void finish(struct verify *v)
{
    struct firn_ctl *c = v->c;
    char size[CTL_SIZE_MAX];
    firn_timer_stop(c->env, &v->progress);
    if (v->errors) {
        firn_ctl__print(c, "verify: %" PRIu64 " errors\n", v->errors);
        firn_ctl__end(c, CTL_FAILED);
        return;
    }
    firn_ctl__print(c,
                    "verify: ok: version %" PRIu64 ", %zu tables with %" PRIu64 " entries, %" PRIu64
                    " batches with %" PRIu64 " records, %s read\n",
                    v->m->version, firn_ctl__verify_refs(v), v->entries, v->log.batches,
                    v->log.records, firn_ctl__size(v->bytes_done, size));
    firn_ctl__end(c, CTL_OK);
}

static void out_of_memory(struct verify *v)
{
    firn_ctl__verify_error(v, "out of memory: not everything was checked");
    finish(v);
}

void firn_ctl__verify_free(struct firn_ctl *c)
{
    struct verify *v = c->state;
    Firn__Manifest **m = (Firn__Manifest **)(void *)v->copies.data;
    for (size_t i = 0; i < VERIFY_TABLES_AT_ONCE; i++)
        firn_ctl__verify_table_free(v->table[i]);
    for (size_t i = 0; i < v->copies.len / sizeof *m; i++)
        firn_pb_manifest_free(m[i]);
    firn_ctl__verify_log_free(v);
    firn_timer_stop(c->env, &v->progress);
    firn_buf_clear(&v->copies);
    firn_buf_clear(&v->refs);
    firn_pb_manifest_free(v->m);
    firn_pb_manifest_free(v->now);
    firn_free(v);
}

/* ---- the end of the log, and what was missing, in the light of a second look */

static void judge_gap_again(struct firn_ctl *c);

static void log_again(struct verify *v)
{
    firn_ctl__verify_info(v, "the log was read again from a newer floor");
    finish(v);
}

/* The log ended at l->end, and there are batches behind it. Slots below kept may have gone. */
static void judge_log_end(struct verify *v)
{
    struct verify_log *l = &v->log;
    char key[FIRN_NAME_MAX];
    if (firn_place_cmp(firn_place_of(v->now->kept), l->end) > 0) {
        if (firn_ctl__verify_log_start(v, v->now, log_again) != FIRN_OK)
            out_of_memory(v);
        return;
    }
    firn_name_slot(key, firn_id_short(&v->c->db), l->end);
    firn_ctl__head(v->c, key, judge_gap_again);
}

static void judge_gap_again(struct firn_ctl *c)
{
    struct verify *v = c->state;
    struct verify_log *l = &v->log;
    bool gone = c->op.status == FIRN_ABSENT;
    if (gone && l->unsealed && v->list.later)
        firn_ctl__verify_error(v,
                               "%s: missing, but %" PRIu64
                               " batches of later epochs are there: the log has a hole (I4)",
                               c->key, v->list.later);
    else if (gone && v->list.behind)
        firn_ctl__verify_info(v,
                              "%s: empty, with %" PRIu64
                              " batches behind it: in flight or never acknowledged, unless it was "
                              "lost; they count when it is there",
                              c->key, v->list.behind);
    finish(v);
}

static void judge_missing_tables(struct verify *v)
{
    const Firn__Manifest *now = v->now ? v->now : v->m;
    for (size_t i = 0; i < firn_ctl__verify_refs(v); i++) {
        const struct verify_ref *r = firn_ctl__verify_ref(v, i);
        struct firn_table_name name = firn_table_name_of(r->table);
        char key[FIRN_NAME_MAX];
        bool named = false;
        if (!r->missing)
            continue;
        firn_name_table(key, firn_id_short(&v->c->db), &name);
        for (size_t k = 0; r->checkpoint && k < now->n_checkpoints; k++)
            named |= strcmp(now->checkpoints[k]->id, r->checkpoint) == 0;
        if (!r->checkpoint)
            named = firn_ctl__manifest_names(now, &name);
        if (named)
            firn_ctl__verify_error(v, "%s: missing, but %s%s names it", key,
                                   r->checkpoint ? "checkpoint " : "the manifest",
                                   r->checkpoint ? r->checkpoint : "");
        else
            firn_ctl__verify_info(v, "%s: replaced and collected while this ran", key);
    }
}

static void report(struct verify *v)
{
    const struct verify_log *l = &v->log;
    char size[CTL_SIZE_MAX];
    firn_ctl__verify_info(v,
                          "log from %" PRIu64 "/%" PRIu64 " to %" PRIu64 "/%" PRIu64 ": %" PRIu64
                          " batches, %" PRIu64 " seals, %s",
                          l->m->floor->epoch, l->m->floor->slot, l->end.epoch, l->end.slot,
                          l->batches, l->seals, firn_ctl__size(l->bytes, size));
    if (l->unsealed && !v->list.later)
        firn_ctl__verify_info(v,
                              "epoch %" PRIu64 " is not sealed yet: a take-over is under way, or "
                              "was interrupted",
                              l->end.epoch);
    firn_ctl__verify_report_list(v);
    judge_missing_tables(v);
    if (v->now && ((l->unsealed && v->list.later) || v->list.behind))
        judge_log_end(v);
    else
        finish(v);
}

static void manifest_again(struct firn_ctl *c)
{
    struct verify *v = c->state;
    struct firn_id id = firn_pb_id(&c->m->database_id);
    v->now = c->m;
    c->m = NULL;
    if (!firn_id_eq(&id, &c->db))
        firn_ctl__verify_error(v, "manifest: another database was made here while this ran");
    report(v);
}

static void listed(struct firn_ctl *c)
{
    struct verify *v = c->state;
    bool again = (v->log.unsealed && v->list.later) || v->list.behind;
    if (c->op.status != FIRN_OK)
        firn_ctl__verify_error(v, "cannot list the objects: %s", firn_ctl__why(c));
    for (size_t i = 0; i < firn_ctl__verify_refs(v); i++)
        again |= firn_ctl__verify_ref(v, i)->missing;
    if (again)
        firn_ctl__read_manifest(c, manifest_again);
    else
        report(v);
}

/* ---- tables */

static void next_tables(struct verify *v);

static void table_done(struct verify_table *t)
{
    struct verify *v = firn_ctl__verify_table_of(t);
    for (size_t i = 0; i < VERIFY_TABLES_AT_ONCE; i++)
        if (v->table[i] == t)
            v->table[i] = NULL;
    firn_ctl__verify_table_free(t);
    v->running--;
    v->tables_done++;
    next_tables(v);
}

static void next_tables(struct verify *v)
{
    size_t n = firn_ctl__verify_refs(v);
    for (size_t i = 0; i < VERIFY_TABLES_AT_ONCE && v->next_ref < n; i++) {
        if (v->table[i])
            continue;
        struct verify_ref *r = firn_ctl__verify_ref(v, v->next_ref++);
        if (firn_ctl__verify_table_start(v, r, table_done, &v->table[i]) == FIRN_OK) {
            v->running++;
            continue;
        }
        firn_ctl__verify_error(v, "out of memory: not all tables were checked");
        v->next_ref = n;
    }
    if (v->running == 0)
        firn_ctl__list(v->c, "", NULL, firn_ctl__verify_listed, listed);
}

static void log_read(struct verify *v)
{
    next_tables(v);
}

/* ---- manifests */

static void checkpoints_read(struct verify *v)
{
    const Firn__Manifest *const *copy = (const Firn__Manifest *const *)(void *)v->copies.data;
    enum firn_status s = firn_ctl__verify_add_refs(v, v->m, NULL);
    for (size_t i = 0; s == FIRN_OK && i < v->m->n_checkpoints; i++)
        if (copy[i])
            s = firn_ctl__verify_add_refs(v, copy[i], v->m->checkpoints[i]->id);
    if (s == FIRN_OK) {
        firn_ctl__verify_join_refs(v);
        s = firn_ctl__verify_log_start(v, v->m, log_read);
    }
    if (s != FIRN_OK)
        out_of_memory(v);
}

static void next_checkpoint(struct firn_ctl *c);

/* The copy that checkpoint k names, or NULL: then that has been said. */
static Firn__Manifest *checkpoint_copy(struct verify *v, const Firn__Checkpoint *k)
{
    struct firn_ctl *c = v->c;
    struct firn_err err = {0};
    Firn__Manifest *m = NULL;
    if (c->op.status != FIRN_OK) {
        firn_ctl__verify_error(v, "%s: cannot read it, but checkpoint %s names it: %s", c->key,
                               k->id, firn_ctl__why(c));
        return NULL;
    }
    v->bytes_done += c->op.req.reply.len;
    enum firn_status s = firn_manifest_decode(firn_buf_slice(&c->op.req.reply), &m, &err);
    if (s != FIRN_OK) {
        firn_ctl__verify_error(v, "%s: %s", c->key, err.text[0] ? err.text : firn_status_name(s));
        return NULL;
    }
    struct firn_id want = firn_pb_id(&k->nonce), have = firn_pb_id(&m->nonce),
                   db = firn_pb_id(&m->database_id);
    if (m->version != k->version || !firn_id_eq(&want, &have) || !firn_id_eq(&db, &c->db))
        firn_ctl__verify_error(v, "%s: it is not the version that its name says", c->key);
    else if (!firn_place_eq(firn_place_of(m->floor), firn_place_of(k->floor)))
        firn_ctl__verify_error(v, "%s: its floor is not the one of checkpoint %s", c->key, k->id);
    if (firn_manifest_check(m, &err) != FIRN_OK)
        firn_ctl__verify_error(v, "%s: %s", c->key, err.text);
    return m;
}

static void got_checkpoint(struct firn_ctl *c)
{
    struct verify *v = c->state;
    Firn__Manifest *m = checkpoint_copy(v, v->m->checkpoints[v->at]);
    if (firn_buf_append(&v->copies, &m, sizeof m) != FIRN_OK) {
        firn_pb_manifest_free(m);
        out_of_memory(v);
        return;
    }
    v->at++;
    next_checkpoint(c);
}

static void next_checkpoint(struct firn_ctl *c)
{
    struct verify *v = c->state;
    char key[FIRN_NAME_MAX];
    if (v->at == v->m->n_checkpoints) {
        checkpoints_read(v);
        return;
    }
    struct firn_id nonce = firn_pb_id(&v->m->checkpoints[v->at]->nonce);
    firn_name_manifest_log(key, v->m->checkpoints[v->at]->version, &nonce);
    firn_ctl__get(c, key, 0, 0, FIRN_MANIFEST_HEADER_BYTES + FIRN_MANIFEST_RAW_MAX, got_checkpoint);
}

static void got_manifest(struct firn_ctl *c)
{
    struct verify *v = c->state;
    struct firn_err err = {0};
    if (c->op.status != FIRN_OK) {
        firn_ctl__verify_error(v, "manifest: %s",
                               c->op.status == FIRN_ABSENT ? "missing: there is no database here"
                                                           : firn_ctl__why(c));
        finish(v);
        return;
    }
    v->bytes_done += c->op.req.reply.len;
    enum firn_status s = firn_manifest_decode(firn_buf_slice(&c->op.req.reply), &v->m, &err);
    if (s == FIRN_OK)
        s = firn_manifest_check_features(v->m, false, &err);
    if (s != FIRN_OK) {
        firn_ctl__verify_error(v, "manifest: %s", err.text[0] ? err.text : firn_status_name(s));
        finish(v);
        return;
    }
    c->db = firn_pb_id(&v->m->database_id);
    if (firn_manifest_check(v->m, &err) != FIRN_OK)
        firn_ctl__verify_error(v, "manifest: %s", err.text);
    if (v->m->state == FIRN__DATABASE_STATE__DROPPED)
        firn_ctl__verify_info(v, "the database is dropped");
    next_checkpoint(c);
}

void firn_ctl__verify(struct firn_ctl *c)
{
    struct verify *v = firn_calloc(1, sizeof *v);
    c->state = v;
    if (!v) {
        firn_ctl__fail_memory(c);
        return;
    }
    v->c = c;
    v->began_ns = firn_mono_ns(c->env);
    v->progress = (struct firn_timer){.fn = progress, .arg = v};
    firn_buf_init(&v->copies, SIZE_MAX);
    firn_buf_init(&v->refs, SIZE_MAX);
    firn_timer_start(c->env, &v->progress, PROGRESS_NS);
    firn_ctl__get(c, FIRN_NAME_MANIFEST_TEXT, 0, 0,
                  FIRN_MANIFEST_HEADER_BYTES + FIRN_MANIFEST_RAW_MAX, got_manifest);
}
