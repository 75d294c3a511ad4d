#include "manifest/settings.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include "manifest/edit_priv.h"

#define NS_PER_MS UINT64_C(1000000)

void firn_settings_to_manifest(const struct firn_settings *s, Firn__Settings *out)
{
    firn__settings__init(out);
    out->batch_bytes_max = s->batch_bytes_max;
    out->value_max = s->value_max_bytes;
    out->block_bytes = s->block_bytes;
    out->empty_value_deletes = s->empty_value == FIRN_EMPTY_DELETES;
    out->unflushed_bytes_max = s->unflushed_bytes_max;
    out->wal_slots_max = s->wal_slots_max;
    out->wal_grace_ms = s->wal_grace_ns / NS_PER_MS;
    out->clock_skew_max_ms = s->clock_skew_max_ns / NS_PER_MS;
    out->notify_keyspace_events = s->notify_keyspace_events;
    out->history_ms = s->history_ns / NS_PER_MS;
    out->dedup_ttl_ms = s->dedup_ttl_ns / NS_PER_MS;
    out->heartbeat_ms = s->heartbeat_ns / NS_PER_MS;
}

enum firn_status firn_settings_from_manifest(struct firn_settings *s, const Firn__Settings *pb)
{
    s->batch_bytes_max = pb->batch_bytes_max;
    s->value_max_bytes = pb->value_max;
    s->block_bytes = pb->block_bytes;
    s->empty_value = pb->empty_value_deletes ? FIRN_EMPTY_DELETES : FIRN_EMPTY_KEEPS;
    s->unflushed_bytes_max = pb->unflushed_bytes_max;
    s->wal_slots_max = pb->wal_slots_max;
    s->wal_grace_ns = pb->wal_grace_ms * NS_PER_MS;
    s->clock_skew_max_ns = pb->clock_skew_max_ms * NS_PER_MS;
    s->history_ns = pb->history_ms * NS_PER_MS;
    s->dedup_ttl_ns = pb->dedup_ttl_ms * NS_PER_MS;
    s->heartbeat_ns = pb->heartbeat_ms * NS_PER_MS;
    char *notify = firn_strdup(pb->notify_keyspace_events ? pb->notify_keyspace_events : "");
    if (!notify)
        return FIRN_LIMIT;
    firn_free(s->notify_keyspace_events);
    s->notify_keyspace_events = notify;
    return FIRN_OK;
}

enum firn_codec firn_settings_codec(const struct firn_settings *s)
{
    switch ((enum firn_conf_codec)s->codec) {
    case FIRN_CONF_CODEC_ZSTD:
        return FIRN_CODEC_ZSTD;
    case FIRN_CONF_CODEC_NONE:
        return FIRN_CODEC_NONE;
    case FIRN_CONF_CODEC_LZ4:
        break;
    }
    return FIRN_CODEC_LZ4;
}

void firn_dialect_to_manifest(const struct firn_os_dialect *d, Firn__Dialect *out)
{
    firn__dialect__init(out);
    out->if_match_bare = d->if_match_bare;
    out->delete_many = d->delete_many;
    out->checksum_crc32c = d->checksum_crc32c;
    out->name_writes_per_sec = d->name_writes_per_sec;
}

struct firn_os_dialect firn_dialect_from_manifest(const Firn__Dialect *pb)
{
    return (struct firn_os_dialect){
        .if_match_bare = pb->if_match_bare,
        .delete_many = pb->delete_many,
        .checksum_crc32c = pb->checksum_crc32c,
        .name_writes_per_sec = pb->name_writes_per_sec,
    };
}

void firn_manifest__copy_dialect(Firn__Dialect *to, const Firn__Dialect *from)
{
    to->if_match_bare = from->if_match_bare;
    to->delete_many = from->delete_many;
    to->checksum_crc32c = from->checksum_crc32c;
    to->name_writes_per_sec = from->name_writes_per_sec;
}

static void take_text(void *arg, const char *name, struct firn_slice value)
{
    (void)name;
    (void)snprintf(arg, FIRN_SETTINGS_VALUE_MAX, "%.*s", (int)value.len, (const char *)value.data);
}

enum firn_status firn_settings_commit_value(const char *name, const char *value,
                                            char out[FIRN_SETTINGS_VALUE_MAX], struct firn_err *err)
{
    struct firn_settings local;
    struct firn_slice n = firn_slice_str(name);
    const struct firn_conf_def *def = firn_conf_find(n);
    enum firn_status st = firn_settings_init(&local);
    if (st != FIRN_OK)
        return firn_fail(err, st, "out of memory");
    st = firn_conf_set(&local, FIRN_CONF_WRITER, n, firn_slice_str(value), err);
    if (st == FIRN_OK && def->type == FIRN_CONF_DURATION) {
        uint64_t ns;
        memcpy(&ns, (const char *)&local + def->offset, sizeof ns);
        (void)snprintf(out, FIRN_SETTINGS_VALUE_MAX, "%" PRIu64, ns / NS_PER_MS);
    } else if (st == FIRN_OK) {
        st = firn_conf_get(&local, FIRN_CONF_WRITER, n, take_text, out);
    }
    firn_settings_deinit(&local);
    return st;
}
