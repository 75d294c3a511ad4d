/* manifest show --json: one object. Keys and bounds are strings as people see them (`db0 "user:1"`,
 * bytes that do not print as \xHH); seqnos and other numbers that may pass 2^53 are strings, too.
 */
#include "ctl/ctl_priv.h"

#include "format/table.h"

#include <inttypes.h>

struct json {
    struct firn_ctl *c;
    bool comma; /* something stands before in this object or array */
};

static void name(struct json *j, const char *n)
{
    firn_ctl__print(j->c, "%s", j->comma ? "," : "");
    if (n)
        firn_ctl__print(j->c, "\"%s\":", n);
    j->comma = true;
}

/* n NULL: an element of an array. */
static void opening(struct json *j, const char *n, char bracket)
{
    name(j, n);
    firn_ctl__print(j->c, "%c", bracket);
    j->comma = false;
}

static void closing(struct json *j, char bracket)
{
    firn_ctl__print(j->c, "%c", bracket);
    j->comma = true;
}

static void number(struct json *j, const char *n, uint64_t v)
{
    name(j, n);
    firn_ctl__print(j->c, "%" PRIu64, v);
}

static void big(struct json *j, const char *n, uint64_t v)
{
    name(j, n);
    firn_ctl__print(j->c, "\"%" PRIu64 "\"", v);
}

static void boolean(struct json *j, const char *n, bool v)
{
    name(j, n);
    firn_ctl__print(j->c, v ? "true" : "false");
}

static void end_text(struct json *j, enum firn_status s)
{
    if (s != FIRN_OK)
        j->c->text_lost = true;
    firn_ctl__print(j->c, "\"");
}

static void text(struct json *j, const char *n, const char *v)
{
    name(j, n);
    firn_ctl__print(j->c, "\"");
    end_text(j, firn_ctl__escape(&j->c->text, firn_slice_str(v), true));
}

static void key(struct json *j, const char *n, struct firn_slice k)
{
    name(j, n);
    firn_ctl__print(j->c, "\"");
    end_text(j, k.len ? firn_ctl__escape_key(&j->c->text, k, true) : FIRN_OK);
}

static void id(struct json *j, const char *n, struct firn_id v)
{
    char hex[FIRN_ID_HEX + 1];
    firn_id_hex(&v, hex);
    text(j, n, firn_id_none(&v) ? "" : hex);
}

static void place(struct json *j, const char *n, const Firn__Place *p)
{
    opening(j, n, '{');
    number(j, "epoch", p->epoch);
    number(j, "slot", p->slot);
    closing(j, '}');
}

static void role(struct json *j, const char *n, const Firn__Role *r)
{
    opening(j, n, '{');
    number(j, "epoch", r->epoch);
    id(j, "process_nonce", firn_pb_id(&r->process_nonce));
    text(j, "node_id", r->node_id);
    text(j, "address", r->address);
    number(j, "heartbeat_kept_ms", r->heartbeat_kept_ms);
    number(j, "watermark", r->watermark);
    closing(j, '}');
}

static void object_name(struct json *j, Firn__TableRole owner, uint64_t epoch, uint64_t number_)
{
    char out[FIRN_NAME_MAX];
    struct firn_table_name t = {(enum firn_role)owner, epoch, number_};
    firn_name_table(out, firn_id_short(&j->c->db), &t);
    text(j, "name", out);
}

/* The partitions of its metadata; a reference that makes no sense shows none. */
static void table_parts(struct json *j, const Firn__Table *t)
{
    struct firn_table_parts p = {0};
    opening(j, "metadata_partitions", '[');
    if (firn_table_parts_of(t, &p, NULL) != FIRN_OK)
        p.sep.count = 0;
    for (uint32_t i = 0; i < p.sep.count; i++) {
        opening(j, NULL, '{');
        number(j, "offset", p.offset[i]);
        number(j, "length", firn_table_parts_bytes(&p, i, i + 1));
        key(j, "from", firn_seps_get(&p.sep, i));
        closing(j, '}');
    }
    firn_table_parts_clear(&p);
    closing(j, ']');
}

static void table(struct json *j, const Firn__Table *t)
{
    opening(j, NULL, '{');
    object_name(j, t->role, t->epoch, t->number);
    big(j, "table_id", t->table_id);
    number(j, "format", t->format);
    number(j, "size", t->size);
    number(j, "raw_bytes", t->raw_bytes);
    number(j, "head_offset", t->head_offset);
    number(j, "head_length", t->head_length);
    big(j, "head_checksum", t->head_checksum);
    table_parts(j, t);
    number(j, "entries", t->entries);
    number(j, "tombstones", t->tombstones);
    number(j, "range_tombstones", t->range_tombstones);
    key(j, "lower", firn_pb_slice(&t->lower));
    key(j, "upper", firn_pb_slice(&t->upper));
    key(j, "clip_lower", firn_pb_slice(&t->clip_lower));
    key(j, "clip_upper", firn_pb_slice(&t->clip_upper));
    big(j, "min_seqno", t->min_seqno);
    big(j, "max_seqno", t->max_seqno);
    if (t->first)
        place(j, "first", t->first);
    if (t->end)
        place(j, "end", t->end);
    number(j, "expiring", t->expiring);
    number(j, "min_expiry_ms", t->min_expiry_ms);
    number(j, "max_expiry_ms", t->max_expiry_ms);
    closing(j, '}');
}

static void tables(struct json *j, const char *n, Firn__Table *const *t, size_t count)
{
    opening(j, n, '[');
    for (size_t i = 0; i < count; i++)
        table(j, t[i]);
    closing(j, ']');
}

static void partitions(struct json *j, const Firn__Manifest *m)
{
    opening(j, "partitions", '[');
    for (size_t i = 0; i < m->n_partitions; i++) {
        const Firn__Partition *p = m->partitions[i];
        opening(j, NULL, '{');
        key(j, "start", firn_pb_slice(&p->start));
        key(j, "end", firn_pb_slice(&p->end));
        place(j, "l0_upto", p->l0_upto);
        opening(j, "runs", '[');
        for (size_t k = 0; k < p->n_runs; k++)
            tables(j, NULL, p->runs[k]->tables, p->runs[k]->n_tables);
        closing(j, ']');
        closing(j, '}');
    }
    closing(j, ']');
}

static void garbage(struct json *j, const Firn__Manifest *m)
{
    opening(j, "garbage", '[');
    for (size_t i = 0; i < m->n_garbage; i++) {
        const Firn__Garbage *g = m->garbage[i];
        opening(j, NULL, '{');
        object_name(j, g->role, g->epoch, g->number);
        number(j, "version", g->version);
        number(j, "size", g->size);
        closing(j, '}');
    }
    closing(j, ']');
}

static void checkpoints(struct json *j, const Firn__Manifest *m)
{
    opening(j, "checkpoints", '[');
    for (size_t i = 0; i < m->n_checkpoints; i++) {
        const Firn__Checkpoint *k = m->checkpoints[i];
        opening(j, NULL, '{');
        text(j, "id", k->id);
        number(j, "version", k->version);
        id(j, "nonce", firn_pb_id(&k->nonce));
        place(j, "floor", k->floor);
        number(j, "log_time_ms", k->log_time_ms);
        number(j, "expires_ms", k->expires_ms);
        text(j, "label", k->label);
        closing(j, '}');
    }
    closing(j, ']');
}

static void features(struct json *j, const char *n, Firn__Feature *const *f, size_t count)
{
    opening(j, n, '[');
    for (size_t i = 0; i < count; i++) {
        opening(j, NULL, '{');
        text(j, "name", f[i]->name);
        text(j, "since", f[i]->since);
        closing(j, '}');
    }
    closing(j, ']');
}

static void settings(struct json *j, const Firn__Settings *s)
{
    opening(j, "settings", '{');
    number(j, "batch_bytes_max", s->batch_bytes_max);
    number(j, "value_max", s->value_max);
    number(j, "block_bytes", s->block_bytes);
    text(j, "empty_value", s->empty_value_deletes ? "deletes" : "keeps");
    number(j, "unflushed_bytes_max", s->unflushed_bytes_max);
    number(j, "wal_slots_max", s->wal_slots_max);
    number(j, "wal_grace_ms", s->wal_grace_ms);
    number(j, "clock_skew_max_ms", s->clock_skew_max_ms);
    text(j, "notify_keyspace_events", s->notify_keyspace_events);
    number(j, "history_ms", s->history_ms);
    number(j, "dedup_ttl_ms", s->dedup_ttl_ms);
    number(j, "heartbeat_ms", s->heartbeat_ms);
    closing(j, '}');
}

static void head(struct json *j, const Firn__Manifest *m)
{
    id(j, "database_id", j->c->db);
    text(j, "state", m->state == FIRN__DATABASE_STATE__DROPPED ? "dropped" : "live");
    number(j, "format", m->format);
    features(j, "features_to_read", m->features_to_read, m->n_features_to_read);
    features(j, "features_to_commit", m->features_to_commit, m->n_features_to_commit);
    number(j, "version", m->version);
    id(j, "nonce", firn_pb_id(&m->nonce));
    number(j, "parent_version", m->parent_version);
    id(j, "parent_nonce", firn_pb_id(&m->parent_nonce));
    role(j, "writer", m->writer);
    role(j, "compactor", m->compactor);
    place(j, "floor", m->floor);
    place(j, "kept", m->kept);
    big(j, "seqno_at_floor", m->seqno_at_floor);
    number(j, "log_time_ms", m->log_time_ms);
    number(j, "expired_to_ms", m->expired_to_ms);
    text(j, "promote_node", m->promote_node);
    opening(j, "dialect", '{');
    boolean(j, "if_match_bare", m->dialect->if_match_bare);
    boolean(j, "delete_many", m->dialect->delete_many);
    boolean(j, "checksum_crc32c", m->dialect->checksum_crc32c);
    number(j, "name_writes_per_sec", m->dialect->name_writes_per_sec);
    closing(j, '}');
}

void firn_ctl__manifest_json(struct firn_ctl *c)
{
    const Firn__Manifest *m = c->m;
    struct json j = {c, false};
    opening(&j, NULL, '{');
    head(&j, m);
    settings(&j, m->settings);
    place(&j, "l0_start", m->l0_start);
    tables(&j, "l0", m->l0, m->n_l0);
    partitions(&j, m);
    tables(&j, "adopted", m->adopted, m->n_adopted);
    garbage(&j, m);
    checkpoints(&j, m);
    closing(&j, '}');
    firn_ctl__print(c, "\n");
}
