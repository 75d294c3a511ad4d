#include "manifest/edit.h"

#include "base/sometimes.h"
#include "format/event.h"
#include "format/key.h"
#include "manifest/edit_priv.h"

#include <string.h>

Firn__Role *firn_manifest_role(const Firn__Manifest *m, enum firn_role role)
{
    return role == FIRN_ROLE_WRITER ? m->writer : m->compactor;
}

bool firn_manifest_role_is(const Firn__Manifest *m, enum firn_role role, uint64_t epoch,
                           const struct firn_id *process_nonce)
{
    const Firn__Role *r = firn_manifest_role(m, role);
    struct firn_id nonce = firn_pb_id(&r->process_nonce);
    return r->epoch == epoch && firn_id_eq(&nonce, process_nonce);
}

/* ---- roles */

static enum firn_status adopt(Firn__Manifest *m, const struct firn_claim *c, struct firn_err *err)
{
    if (c->nadopt && c->role != FIRN_ROLE_COMPACTOR)
        return firn_fail(err, FIRN_INVALID, "only a compactor adopts tables");
    for (size_t i = 0; i < c->nadopt; i++) {
        const Firn__Table *t = c->adopt[i];
        struct firn_table_name name = firn_table_name_of(t);
        if (name.role != FIRN_ROLE_COMPACTOR || name.epoch >= m->compactor->epoch ||
            name.number < m->compactor->watermark)
            return firn_fail(
                err, FIRN_CONFLICT,
                "table c%llu-%llu lies below the watermark and may be gone: it cannot be "
                "adopted (I10)",
                (unsigned long long)name.epoch, (unsigned long long)name.number);
        if (firn_manifest__find(m, &name) || firn_manifest__in_garbage(m, &name))
            return firn_fail(err, FIRN_CONFLICT, "table c%llu-%llu was committed before",
                             (unsigned long long)name.epoch, (unsigned long long)name.number);
        Firn__Table *copy = firn_pb_table_dup(t);
        if (!copy)
            return FIRN_LIMIT;
        if (firn_pb_insert(&m->adopted, &m->n_adopted, m->n_adopted, copy) != FIRN_OK) {
            firn_pb_table_free(copy);
            return FIRN_LIMIT;
        }
    }
    return FIRN_OK;
}

enum firn_status firn_edit_claim(Firn__Manifest *m, const struct firn_claim *c,
                                 struct firn_err *err)
{
    Firn__Role *r = firn_manifest_role(m, c->role);
    if (firn_id_none(&c->process_nonce))
        return firn_fail(err, FIRN_INVALID, "a claim without a process nonce");
    if (r->epoch >= FIRN_EPOCH_MAX)
        return firn_fail(err, FIRN_LIMIT, "the database has used up its %llu epochs",
                         (unsigned long long)FIRN_EPOCH_MAX);
    r->epoch++;
    enum firn_status st = adopt(m, c, err);
    if (st == FIRN_OK)
        st = firn_pb_set_id(&r->process_nonce, &c->process_nonce);
    if (st == FIRN_OK)
        st = firn_pb_set_string(&r->node_id, c->node_id);
    if (st == FIRN_OK)
        st = firn_pb_set_string(&r->address, c->address ? c->address : "");
    if (st != FIRN_OK)
        return st;
    r->heartbeat_kept_ms = c->role == FIRN_ROLE_WRITER ? m->settings->heartbeat_ms : 0;
    if (c->watermark > r->watermark)
        r->watermark = c->watermark;
    if (c->dialect)
        firn_manifest__copy_dialect(m->dialect, c->dialect);
    if (c->role == FIRN_ROLE_WRITER && strcmp(m->promote_node, c->node_id) == 0)
        return firn_pb_set_string(&m->promote_node, "");
    return FIRN_OK;
}

enum firn_status firn_edit_release(Firn__Manifest *m, enum firn_role role)
{
    return firn_pb_set_bytes(&firn_manifest_role(m, role)->process_nonce, firn_slice_of(NULL, 0));
}

void firn_edit_heartbeat_kept(Firn__Manifest *m, uint64_t ms)
{
    m->writer->heartbeat_kept_ms = ms;
}

/* ---- flush */

/* The log range (old floor, end] has nothing for a table: it joins the newest flush's, or stays
 * with l0_start for the next one (I7). A partition that had everything up to the old floor still
 * has everything. */
static void extend_newest(Firn__Manifest *m, struct firn_place end)
{
    struct firn_place old = firn_place_of(m->floor);
    for (size_t i = 0; i < m->n_l0 && firn_place_eq(firn_place_of(m->l0[i]->end), old); i++) {
        m->l0[i]->end->epoch = end.epoch;
        m->l0[i]->end->slot = end.slot;
    }
    for (size_t i = 0; i < m->n_partitions; i++) {
        Firn__Place *upto = m->partitions[i]->l0_upto;
        if (firn_place_eq(firn_place_of(upto), old)) {
            upto->epoch = end.epoch;
            upto->slot = end.slot;
        }
    }
}

static enum firn_status add_flushed(Firn__Manifest *m, const Firn__Table *t, size_t at,
                                    struct firn_place first, struct firn_place end,
                                    struct firn_err *err)
{
    if (t->role != FIRN__TABLE_ROLE__WRITER || t->epoch != m->writer->epoch ||
        t->number < m->writer->watermark) {
        FIRN_SOMETIMES("manifest: a flush below the watermark refused");
        return firn_fail(err, FIRN_CONFLICT,
                         "a flush may not add table %llu-%llu: its epoch is %llu and its watermark "
                         "%llu (I10)",
                         (unsigned long long)t->epoch, (unsigned long long)t->number,
                         (unsigned long long)m->writer->epoch,
                         (unsigned long long)m->writer->watermark);
    }
    Firn__Table *copy = firn_pb_table_dup(t);
    if (!copy)
        return FIRN_LIMIT;
    if (firn_pb_set_place(&copy->first, first) == FIRN_OK &&
        firn_pb_set_place(&copy->end, end) == FIRN_OK &&
        firn_pb_insert(&m->l0, &m->n_l0, at, copy) == FIRN_OK)
        return FIRN_OK;
    firn_pb_table_free(copy);
    return FIRN_LIMIT;
}

enum firn_status firn_edit_flush(Firn__Manifest *m, const struct firn_flush *f,
                                 struct firn_err *err)
{
    struct firn_place old = firn_place_of(m->floor);
    if (firn_place_cmp(f->end, old) <= 0)
        return firn_fail(err, FIRN_CONFLICT, "the floor is at or behind this flush's end already");
    struct firn_place first = m->n_l0 ? old : firn_place_of(m->l0_start);
    for (size_t i = 0; i < f->ntables; i++) {
        enum firn_status st = add_flushed(m, f->tables[i], i, first, f->end, err);
        if (st != FIRN_OK)
            return st;
    }
    if (f->ntables == 0) {
        FIRN_SOMETIMES("manifest: the floor moved alone");
        extend_newest(m, f->end);
    }
    m->floor->epoch = f->end.epoch;
    m->floor->slot = f->end.slot;
    if (f->seqno > m->seqno_at_floor)
        m->seqno_at_floor = f->seqno;
    if (f->log_time_ms > m->log_time_ms)
        m->log_time_ms = f->log_time_ms;
    if (f->expired_to_ms > m->expired_to_ms)
        m->expired_to_ms = f->expired_to_ms < m->log_time_ms ? f->expired_to_ms : m->log_time_ms;
    if (f->watermark > m->writer->watermark)
        m->writer->watermark = f->watermark;
    return FIRN_OK;
}

/* ---- collector */

enum firn_status firn_edit_kept(Firn__Manifest *m, struct firn_place kept, struct firn_err *err)
{
    if (firn_place_cmp(kept, firn_place_of(m->floor)) > 0)
        return firn_fail(err, FIRN_CONFLICT, "kept cannot be raised above the floor");
    if (firn_place_cmp(kept, firn_place_of(m->kept)) > 0) {
        m->kept->epoch = kept.epoch;
        m->kept->slot = kept.slot;
    }
    return FIRN_OK;
}

void firn_edit_garbage_deleted(Firn__Manifest *m, const struct firn_table_name *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = m->n_garbage; k-- > 0;) {
            struct firn_table_name g = firn_manifest__garbage_name(m->garbage[k]);
            if (firn_table_name_eq(&g, &names[i]))
                firn_pb_garbage_free(firn_pb_remove(m->garbage, &m->n_garbage, k));
        }
}

/* ---- checkpoints */

const Firn__Checkpoint *firn_manifest_checkpoint(const Firn__Manifest *m, const char *id)
{
    for (size_t i = 0; i < m->n_checkpoints; i++)
        if (strcmp(m->checkpoints[i]->id, id) == 0)
            return m->checkpoints[i];
    return NULL;
}

/* Fill in what is kept: that of another checkpoint, or the version this commit builds on. */
static enum firn_status fill_checkpoint(Firn__Checkpoint *c, const Firn__Manifest *current,
                                        const Firn__Checkpoint *from)
{
    struct firn_id nonce = firn_pb_id(from ? &from->nonce : &current->nonce);
    c->version = from ? from->version : current->version;
    c->log_time_ms = from ? from->log_time_ms : current->log_time_ms;
    enum firn_status st = firn_pb_set_id(&c->nonce, &nonce);
    if (st == FIRN_OK)
        st = firn_pb_set_place(&c->floor, firn_place_of(from ? from->floor : current->floor));
    return st;
}

static enum firn_status insert_checkpoint(Firn__Manifest *m, const Firn__Manifest *current,
                                          const struct firn_checkpoint_add *a,
                                          const Firn__Checkpoint *from)
{
    Firn__Checkpoint *c = firn_pb_checkpoint_new();
    if (!c)
        return FIRN_LIMIT;
    c->expires_ms = a->expires_ms;
    if (firn_pb_set_string(&c->id, a->id) == FIRN_OK &&
        firn_pb_set_string(&c->label, a->label ? a->label : "") == FIRN_OK &&
        fill_checkpoint(c, current, from) == FIRN_OK &&
        firn_pb_insert(&m->checkpoints, &m->n_checkpoints, m->n_checkpoints, c) == FIRN_OK)
        return FIRN_OK;
    firn_pb_checkpoint_free(c);
    return FIRN_LIMIT;
}

enum firn_status firn_edit_checkpoint_add(Firn__Manifest *m, const Firn__Manifest *current,
                                          const struct firn_checkpoint_add *a, struct firn_err *err)
{
    if (!firn_name_id_valid(firn_slice_str(a->id)))
        return firn_fail(
            err, FIRN_INVALID,
            "\"%.80s\" cannot name a checkpoint: use 1 to %d letters, digits, '.', '_' "
            "and '-'",
            a->id, FIRN_NAME_ID_MAX);
    if (a->label && strlen(a->label) > 255)
        return firn_fail(err, FIRN_INVALID, "the label of checkpoint %s is longer than 255 bytes",
                         a->id);
    if (firn_manifest_checkpoint(m, a->id))
        return firn_fail(err, FIRN_CONFLICT, "there is a checkpoint %s already", a->id);
    const Firn__Checkpoint *from = a->source ? firn_manifest_checkpoint(m, a->source) : NULL;
    if (a->source && !from)
        return firn_fail(err, FIRN_CONFLICT, "there is no checkpoint %.80s to copy", a->source);
    return insert_checkpoint(m, current, a, from);
}

void firn_edit_checkpoint_drop(Firn__Manifest *m, const char *id)
{
    for (size_t i = m->n_checkpoints; i-- > 0;)
        if (strcmp(m->checkpoints[i]->id, id) == 0)
            firn_pb_checkpoint_free(firn_pb_remove(m->checkpoints, &m->n_checkpoints, i));
}

/* ---- settings */

static bool parse_u64(const char *text, uint64_t *out)
{
    uint64_t v = 0;
    if (!*text)
        return false;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9' || v > (UINT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    *out = v;
    return true;
}

static enum firn_status set_events(Firn__Manifest *m, const char *value, struct firn_err *err)
{
    if (strlen(value) > 32 || value[strspn(value, "KEg$lshzxetdmnA")] != '\0')
        return firn_fail(
            err, FIRN_INVALID,
            "notify-keyspace-events takes letters of \"KEg$lshzxetdmnA\", not \"%.40s\"", value);
    /* INTERFACES "Expiry events": keys that expired before are not announced. */
    if (firn_events_want_expired(value) &&
        !firn_events_want_expired(m->settings->notify_keyspace_events))
        m->expired_to_ms = m->log_time_ms;
    return firn_pb_set_string(&m->settings->notify_keyspace_events, value);
}

#define YEAR_MS (UINT64_C(366) * 24 * 3600 * 1000)

/* The numeric (C) settings: *max is the largest value; NULL for other names. */
static uint64_t *number_setting(Firn__Settings *s, const char *name, uint64_t *max)
{
    if (strcmp(name, "history") == 0) {
        *max = 100 * YEAR_MS;
        return &s->history_ms;
    }
    if (strcmp(name, "dedup-ttl") == 0) {
        *max = YEAR_MS;
        return &s->dedup_ttl_ms;
    }
    if (strcmp(name, "heartbeat") == 0) {
        *max = UINT64_C(3600) * 1000;
        return &s->heartbeat_ms;
    }
    return NULL;
}

enum firn_status firn_heartbeat_check(uint64_t ms, uint32_t name_writes_per_sec,
                                      struct firn_err *err)
{
    if (ms == 0 || ms >= FIRN_HEARTBEAT_LIMITED_MS || name_writes_per_sec == 0)
        return FIRN_OK;
    return firn_fail(err, FIRN_INVALID,
                     "this store limits writes of one name: heartbeat is 0 or at least %u ms",
                     FIRN_HEARTBEAT_LIMITED_MS);
}

enum firn_status firn_edit_setting(Firn__Manifest *m, const char *name, const char *value,
                                   struct firn_err *err)
{
    if (strcmp(name, "notify-keyspace-events") == 0)
        return set_events(m, value, err);
    uint64_t v, max, *field = number_setting(m->settings, name, &max);
    if (!field)
        return firn_fail(err, FIRN_INVALID,
                         "\"%.80s\" is no setting of the database that can be changed", name);
    if (!parse_u64(value, &v) || v > max)
        return firn_fail(err, FIRN_INVALID, "%s takes 0 to %llu milliseconds, not \"%.40s\"", name,
                         (unsigned long long)max, value);
    if (field == &m->settings->heartbeat_ms) {
        enum firn_status st = firn_heartbeat_check(v, m->dialect->name_writes_per_sec, err);
        if (st != FIRN_OK)
            return st;
    }
    *field = v;
    return FIRN_OK;
}

bool firn_manifest_setting_is(const Firn__Manifest *m, const char *name, const char *value)
{
    if (strcmp(name, "notify-keyspace-events") == 0)
        return strcmp(m->settings->notify_keyspace_events, value) == 0;
    uint64_t v, max, *field = number_setting(m->settings, name, &max);
    return field && parse_u64(value, &v) && *field == v;
}
