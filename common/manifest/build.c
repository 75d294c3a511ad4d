/* Making proposals. */
#include "manifest/edit_priv.h"
#include "manifest/manifest_priv.h"

Firn__Manifest *firn_manifest__successor(const Firn__Manifest *base, const struct firn_id *nonce)
{
    Firn__Manifest *m = firn_pb_manifest_dup(base);
    struct firn_id parent = firn_pb_id(&base->nonce);
    if (!m)
        return NULL;
    m->version = base->version + 1;
    m->parent_version = base->version;
    if (firn_pb_set_id(&m->nonce, nonce) == FIRN_OK &&
        firn_pb_set_id(&m->parent_nonce, &parent) == FIRN_OK)
        return m;
    firn_pb_manifest_free(m);
    return NULL;
}

static void copy_settings(Firn__Settings *to, const Firn__Settings *from)
{
    to->batch_bytes_max = from->batch_bytes_max;
    to->value_max = from->value_max;
    to->block_bytes = from->block_bytes;
    to->empty_value_deletes = from->empty_value_deletes;
    to->unflushed_bytes_max = from->unflushed_bytes_max;
    to->wal_slots_max = from->wal_slots_max;
    to->wal_grace_ms = from->wal_grace_ms;
    to->clock_skew_max_ms = from->clock_skew_max_ms;
    to->history_ms = from->history_ms;
    to->dedup_ttl_ms = from->dedup_ttl_ms;
    to->heartbeat_ms = from->heartbeat_ms;
}

/* One partition that covers everything. */
static enum firn_status add_partition(Firn__Manifest *m, struct firn_place start)
{
    Firn__Partition *p = firn_pb_partition_new();
    if (!p)
        return FIRN_LIMIT;
    if (firn_pb_set_place(&p->l0_upto, start) == FIRN_OK &&
        firn_pb_insert(&m->partitions, &m->n_partitions, 0, p) == FIRN_OK)
        return FIRN_OK;
    firn_pb_partition_free(p);
    return FIRN_LIMIT;
}

Firn__Manifest *firn_manifest__first(const struct firn_manifest_create *c,
                                     const Firn__Manifest *dropped, const struct firn_id *db,
                                     const struct firn_id *nonce)
{
    Firn__Manifest *m = firn_pb_manifest_new();
    if (!m)
        return NULL;
    /* The first writer will have epoch 1: nothing below needs a seal. Versions go on over a dropped
     * database, so that the collector finds its copies below M's. */
    struct firn_place start = {1, 0};
    m->version = dropped ? dropped->version + 1 : 1;
    copy_settings(m->settings, c->settings);
    firn_manifest__copy_dialect(m->dialect, c->dialect);
    if (firn_pb_set_string(&m->settings->notify_keyspace_events,
                           c->settings->notify_keyspace_events) == FIRN_OK &&
        firn_pb_set_id(&m->database_id, db) == FIRN_OK &&
        firn_pb_set_id(&m->nonce, nonce) == FIRN_OK &&
        firn_pb_set_place(&m->floor, start) == FIRN_OK &&
        firn_pb_set_place(&m->kept, start) == FIRN_OK &&
        firn_pb_set_place(&m->l0_start, start) == FIRN_OK && add_partition(m, start) == FIRN_OK)
        return m;
    firn_pb_manifest_free(m);
    return NULL;
}

void firn_manifest_settings_default(Firn__Settings *s)
{
    firn__settings__init(s);
    s->batch_bytes_max = UINT64_C(16) << 20;
    s->value_max = UINT64_C(8) << 20;
    s->block_bytes = UINT64_C(16) << 10;
    s->unflushed_bytes_max = UINT64_C(256) << 20;
    s->wal_slots_max = 1024;
    s->wal_grace_ms = UINT64_C(15) * 60 * 1000;
    s->clock_skew_max_ms = 5000;
    s->dedup_ttl_ms = UINT64_C(3600) * 1000;
}
