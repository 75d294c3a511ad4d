#include "engine/redis_names_priv.h"

#include "env/env.h"
#include "resp/parse.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

struct firn_redis_name {
    const char *name;
    const char *fixed;   /* its value, always; NULL: that of a setting */
    const char *setting; /* Firn's name */
    size_t offset;       /* of the setting, a uint64_t */
    uint64_t unit;       /* of the setting in one of Redis's */
    const char *suffix;  /* of Firn's unit, for CONFIG SET */
    bool minus_one_off;  /* -1 = off: Firn's largest value */
    void (*print)(const struct firn_settings *s, char out[FIRN_REDIS_VALUE_MAX]);
    const char *why; /* it cannot be changed */
};

/* `slowlog-slower-than` has no "never", but nothing keeps the loop busy for its largest value. */
#define OFF_TEXT "1h"
#define OFF_NS (3600 * FIRN_SEC)

#define KEPT "all data is kept in the object store"

static void output_limits(const struct firn_settings *s, char out[FIRN_REDIS_VALUE_MAX])
{
    (void)snprintf(out, FIRN_REDIS_VALUE_MAX,
                   "normal %" PRIu64 " 0 0 slave 0 0 0 pubsub %" PRIu64 " %" PRIu64 " %" PRIu64,
                   s->client_output_bytes_max, s->pubsub_output_bytes_max,
                   s->pubsub_output_soft_bytes, s->pubsub_output_soft_time_ns / FIRN_SEC);
}

#define FIELD(f) .offset = offsetof(struct firn_settings, f)

/* clang-format off */
static const struct firn_redis_name names[] = {
    {.name = "appendfsync", .fixed = "always", .why = KEPT},
    {.name = "appendonly", .fixed = "no", .why = KEPT},
    {.name = "client-output-buffer-limit", .print = output_limits,
     .why = "use client-output-bytes-max, pubsub-output-bytes-max, pubsub-output-soft-bytes and "
            "pubsub-output-soft-time"},
    {.name = "client-query-buffer-limit", .setting = "client-query-bytes-max",
     FIELD(client_query_bytes_max), .unit = 1, .suffix = ""},
    {.name = "cluster-enabled", .fixed = "no", .why = "there is no cluster mode"},
    {.name = "databases", .fixed = "16", .why = "there are 16 databases"},
    {.name = "io-threads", .fixed = "1", .why = "commands run on one thread"},
    {.name = "latency-monitor-threshold", .setting = "latency-threshold",
     FIELD(latency_threshold_ns), .unit = FIRN_MS, .suffix = "ms"},
    {.name = "latency-tracking", .fixed = "no", .why = "the histograms are on the HTTP port"},
    {.name = "maxmemory", .setting = "memory", FIELD(memory_bytes), .unit = 1, .suffix = ""},
    {.name = "maxmemory-policy", .fixed = "noeviction", .why = "nothing is evicted: " KEPT},
    {.name = "proto-max-bulk-len", .setting = "value-max", FIELD(value_max_bytes), .unit = 1,
     .suffix = ""},
    {.name = "rdbcompression", .fixed = "yes", .why = "use codec"},
    {.name = "replica-read-only", .fixed = "yes", .why = "a reader never takes writes"},
    {.name = "save", .fixed = "", .why = KEPT},
    {.name = "slave-read-only", .fixed = "yes", .why = "a reader never takes writes"},
    {.name = "slowlog-log-slower-than", .setting = "slowlog-slower-than",
     FIELD(slowlog_slower_ns), .unit = 1000, .suffix = "us", .minus_one_off = true},
    {.name = "tcp-keepalive", .fixed = "300", .why = "the kernel probes idle connections"},
    {.name = "timeout", .setting = "idle-timeout", FIELD(idle_timeout_ns), .unit = FIRN_SEC,
     .suffix = "s"},
};
/* clang-format on */

const struct firn_redis_name *firn_engine__redis_name_at(size_t i)
{
    return i < sizeof names / sizeof *names ? &names[i] : NULL;
}

const struct firn_redis_name *firn_engine__redis_name(struct firn_slice name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (firn_slice_ieq(name, names[i].name))
            return &names[i];
    return NULL;
}

const char *firn_engine__redis_name_text(const struct firn_redis_name *n)
{
    return n->name;
}

void firn_engine__redis_value(const struct firn_redis_name *n, const struct firn_settings *s,
                              char out[FIRN_REDIS_VALUE_MAX])
{
    if (n->print) {
        n->print(s, out);
        return;
    }
    if (n->fixed) {
        (void)snprintf(out, FIRN_REDIS_VALUE_MAX, "%s", n->fixed);
        return;
    }
    uint64_t v = *(const uint64_t *)(const void *)((const char *)s + n->offset);
    if (n->minus_one_off && v == OFF_NS)
        (void)snprintf(out, FIRN_REDIS_VALUE_MAX, "-1");
    else
        (void)snprintf(out, FIRN_REDIS_VALUE_MAX, "%" PRIu64, v / n->unit);
}

enum firn_status firn_engine__redis_translate(const struct firn_redis_name *n,
                                              const struct firn_settings *s,
                                              struct firn_slice value, const char **setting,
                                              char out[FIRN_REDIS_VALUE_MAX], struct firn_err *err)
{
    firn_engine__redis_value(n, s, out);
    if (firn_slice_eq(value, firn_slice_str(out)))
        return FIRN_ABSENT;
    if (!n->setting)
        return firn_fail(err, FIRN_INVALID, "it is always '%s' here: %s", out, n->why);
    int64_t v;
    bool is_number = firn_parse_i64(value, &v);
    if (is_number && (v < -1 || (v == -1 && !n->minus_one_off)))
        return firn_fail(err, FIRN_INVALID, "argument must not be negative");
    *setting = n->setting;
    if (is_number && v == -1)
        (void)snprintf(out, FIRN_REDIS_VALUE_MAX, OFF_TEXT);
    else if (is_number)
        (void)snprintf(out, FIRN_REDIS_VALUE_MAX, "%" PRId64 "%s", v, n->suffix);
    else if (value.len < FIRN_REDIS_VALUE_MAX) /* a size with its unit */
        (void)snprintf(out, FIRN_REDIS_VALUE_MAX, "%.*s", (int)value.len, (const char *)value.data);
    else
        return firn_fail(err, FIRN_INVALID, "argument is not a number");
    return FIRN_OK;
}
