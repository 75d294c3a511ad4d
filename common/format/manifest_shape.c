#include "format/manifest_shape_priv.h"

#include "format/key.h"
#include "format/manifest_codec.h"
#include "format/version.h"

#define TEXT_MAX 255 /* node ids, addresses, labels, feature names */

static enum firn_status bad(struct firn_err *err, const char *what)
{
    return firn_fail(err, FIRN_CORRUPT, "a manifest whose %s is missing or out of range", what);
}

static bool place_ok(const Firn__Place *p)
{
    return p && firn_place_valid(firn_place_of(p));
}

static bool text_ok(const char *s)
{
    return strnlen(s, TEXT_MAX + 1) <= TEXT_MAX;
}

/* An id of 16 bytes, or none. */
static bool id_or_none(const ProtobufCBinaryData *b)
{
    return b->len == FIRN_ID_BYTES || b->len == 0;
}

static bool role_ok(const Firn__Role *r)
{
    return r && r->epoch <= FIRN_EPOCH_MAX && id_or_none(&r->process_nonce) &&
           text_ok(r->node_id) && text_ok(r->address) && r->watermark <= FIRN_TABLE_NUMBER_MAX;
}

static bool name_ok(Firn__TableRole role, uint64_t epoch, uint64_t number)
{
    return (role == FIRN__TABLE_ROLE__WRITER || role == FIRN__TABLE_ROLE__COMPACTOR) &&
           epoch <= FIRN_EPOCH_MAX && number <= FIRN_TABLE_NUMBER_MAX;
}

static bool table_ok(const Firn__Manifest *m, const Firn__Table *t, bool l0)
{
    if (!name_ok(t->role, t->epoch, t->number) || t->format < FIRN_FORMAT_OLDEST ||
        t->format > m->format)
        return false;
    if (t->head_offset > t->size || t->head_length > t->size - t->head_offset)
        return false;
    if (t->lower.len > FIRN_BOUND_MAX || t->upper.len > FIRN_BOUND_MAX ||
        t->clip_lower.len > FIRN_BOUND_MAX || t->clip_upper.len > FIRN_BOUND_MAX)
        return false;
    if (firn_slice_cmp(firn_table_lower(t), firn_table_upper(t)) >= 0)
        return false;
    return !l0 || (place_ok(t->first) && place_ok(t->end));
}

static bool partition_ok(const Firn__Manifest *m, const Firn__Partition *p)
{
    if (!place_ok(p->l0_upto) || p->start.len > FIRN_BOUND_MAX || p->end.len > FIRN_BOUND_MAX)
        return false;
    for (size_t i = 0; i < p->n_runs; i++)
        for (size_t k = 0; k < p->runs[i]->n_tables; k++)
            if (!table_ok(m, p->runs[i]->tables[k], false))
                return false;
    return true;
}

static bool features_ok(Firn__Feature *const *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!text_ok(f[i]->name) || !text_ok(f[i]->since))
            return false;
    return true;
}

static bool checkpoint_ok(const Firn__Checkpoint *c)
{
    return firn_name_id_valid(firn_slice_str(c->id)) && c->version <= FIRN_VERSION_MAX &&
           c->nonce.len == FIRN_ID_BYTES && place_ok(c->floor) && text_ok(c->label);
}

static enum firn_status check_lists(const Firn__Manifest *m, struct firn_err *err)
{
    for (size_t i = 0; i < m->n_l0; i++)
        if (!table_ok(m, m->l0[i], true))
            return bad(err, "table in L0");
    for (size_t i = 0; i < m->n_adopted; i++)
        if (!table_ok(m, m->adopted[i], false))
            return bad(err, "adopted table");
    for (size_t i = 0; i < m->n_partitions; i++)
        if (!partition_ok(m, m->partitions[i]))
            return bad(err, "partition");
    for (size_t i = 0; i < m->n_garbage; i++)
        if (!name_ok(m->garbage[i]->role, m->garbage[i]->epoch, m->garbage[i]->number) ||
            m->garbage[i]->version > FIRN_VERSION_MAX)
            return bad(err, "garbage");
    for (size_t i = 0; i < m->n_checkpoints; i++)
        if (!checkpoint_ok(m->checkpoints[i]))
            return bad(err, "checkpoint");
    return FIRN_OK;
}

/* ---- unknown fields */

#define FIELD_NUMBER_MAX ((1u << 29) - 1) /* protobuf's */

static bool unknown_ok(const ProtobufCMessage *m);

/* The messages of one field. */
static bool field_ok(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const char *at = (const char *)m + f->offset;
    const ProtobufCMessage *one;
    ProtobufCMessage *const *many;
    size_t n;
    if (f->label != PROTOBUF_C_LABEL_REPEATED) {
        memcpy(&one, at, sizeof one);
        return !one || unknown_ok(one);
    }
    memcpy(&many, at, sizeof many);
    memcpy(&n, (const char *)m + f->quantifier_offset, sizeof n);
    for (size_t i = 0; i < n; i++)
        if (!unknown_ok(many[i]))
            return false;
    return true;
}

/* protobuf-c takes a field number 0, written in too many bytes, for an unknown field, which it then
 * writes as what it cannot read. Recursion: as deep as the schema, which has no recursive messages.
 */
static bool unknown_ok(const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        if (m->unknown_fields[i].tag < 1 || m->unknown_fields[i].tag > FIELD_NUMBER_MAX)
            return false;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++)
        if (m->descriptor->fields[i].type == PROTOBUF_C_TYPE_MESSAGE &&
            !field_ok(m, &m->descriptor->fields[i]))
            return false;
    return true;
}

enum firn_status firn_manifest__check_shape(const Firn__Manifest *m, struct firn_err *err)
{
    if (m->database_id.len != FIRN_ID_BYTES || m->nonce.len != FIRN_ID_BYTES ||
        !id_or_none(&m->parent_nonce))
        return bad(err, "database id or nonce");
    if (m->version > FIRN_VERSION_MAX || m->parent_version > FIRN_VERSION_MAX)
        return bad(err, "version");
    if (m->state != FIRN__DATABASE_STATE__LIVE && m->state != FIRN__DATABASE_STATE__DROPPED)
        return bad(err, "state");
    if (!role_ok(m->writer) || !role_ok(m->compactor))
        return bad(err, "writer or compactor");
    if (!place_ok(m->floor) || !place_ok(m->kept) || !place_ok(m->l0_start))
        return bad(err, "floor, kept or l0_start");
    if (!m->dialect || !m->settings)
        return bad(err, "dialect or settings");
    if (!features_ok(m->features_to_read, m->n_features_to_read) ||
        !features_ok(m->features_to_commit, m->n_features_to_commit))
        return bad(err, "feature list");
    if (!text_ok(m->promote_node) || !text_ok(m->settings->notify_keyspace_events))
        return bad(err, "promoted node or event setting");
    if (!unknown_ok(&m->base))
        return bad(err, "field number");
    return check_lists(m, err);
}
