/* The one table of all settings. Flags, files, environment, CONFIG, --help and docs/CONFIG.md come
 * from it. */
#include "conf/conf_priv.h"

#include <stddef.h>

#define KB UINT64_C(1024)
#define MB (KB * 1024)
#define GB (MB * 1024)
#define TB (GB * 1024)
#define MS UINT64_C(1000000)
#define SEC (MS * 1000)
#define MIN (SEC * 60)
#define HOUR (MIN * 60)
#define DAY (HOUR * 24)

#define W FIRN_CONF_WRITER
#define R FIRN_CONF_READER
#define C FIRN_CONF_COMPACTOR
#define CTL FIRN_CONF_CTL
#define NODES (W | R | C)
#define ALL (NODES | CTL)

#define LIVE FIRN_CONF_LIVE
#define ZERO FIRN_CONF_ZERO

/* Offset of a field that has type T; another type does not compile. */
#define AT(f, T)                                                                                   \
    ((uint16_t)(offsetof(struct firn_settings, f) +                                                \
                0 * sizeof(_Generic(((struct firn_settings *)0)->f, T : 0))))
#define ROW(NAME, OFFSET, TYPE, STANDARD, LOW, HIGH, SCOPE, ROLES, FLAGS, WORDS, DOC)              \
    {                                                                                              \
        .name = NAME, .doc = DOC, .standard = STANDARD, .words = WORDS, .min = LOW, .max = HIGH,   \
        .offset = OFFSET, .type = FIRN_CONF_##TYPE, .scope = FIRN_CONF_##SCOPE, .roles = ROLES,    \
        .flags = FLAGS                                                                             \
    }
#define BOOLEAN(name, f, standard, roles, flags, doc)                                              \
    ROW(name, AT(f, bool), BOOL, standard, 0, 1, NODE, roles, flags, NULL, doc)
#define NUMBER(type, name, f, standard, low, high, scope, roles, flags, doc)                       \
    ROW(name, AT(f, uint64_t), type, standard, low, high, scope, roles, flags, NULL, doc)
#define CHOICE(name, f, words, standard, scope, roles, flags, doc)                                 \
    ROW(name, AT(f, int), ENUM, standard, 0, 0, scope, roles, flags, words, doc)
#define TEXT(type, name, f, standard, length, scope, roles, flags, chars, doc)                     \
    ROW(name, AT(f, char *), type, standard, 0, length, scope, roles, flags, chars, doc)

#define ID_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

/* clang-format off */
const struct firn_conf_def firn_conf__table[] = {
/* the process */
TEXT(STRING, "config", config, "", 4096, NODE, ALL, FIRN_CONF_FLAG_ONLY, NULL,
     "a file of settings, read before environment and flags are applied"),
TEXT(STRING, "store", store, "", 1023, NODE, ALL, FIRN_CONF_REQUIRED, NULL,
     "where the database lies: s3://bucket/prefix or file:///directory"),
TEXT(STRING, "node-id", node_id, "", 64, NODE, NODES, 0, ID_CHARS,
     "name of this node, unique in the cluster; empty = made up at the first start"),
TEXT(STRING, "dir", dir, "", 4096, NODE, ALL, 0, NULL,
     "directory for what the node keeps on this machine, which it can lose; empty = none"),
CHOICE("log-level", log_level, "debug|info|warn|error", "info", NODE, ALL, LIVE,
     "events below it are not logged"),
CHOICE("log-format", log_format, "logfmt|json", "logfmt", NODE, ALL, 0,
     "form of the lines on stderr"),
NUMBER(SIZE, "memory", memory_bytes, "0", 32 * MB, 64 * TB, NODE, NODES, ZERO,
     "bound of all caches, memtables and buffers; 0 = half of what there is"),
NUMBER(DURATION, "shutdown-timeout", shutdown_timeout_ns, "10s", 100 * MS, 10 * MIN, NODE, NODES, LIVE,
     "a node told to stop exits within it"),
BOOLEAN("standby", standby, "no", W, FIRN_CONF_FLAG_ONLY,
        "wait, following the log, until the writer is released, silent or this node promoted"),
BOOLEAN("once", once, "no", C, FIRN_CONF_FLAG_ONLY, "work off what there is, then exit"),

/* network and clients */
NUMBER(INT, "port", port, "6379", 1, 65535, NODE, W | R, ZERO,
     "RESP port; 0 = any free one, named in the log"),
NUMBER(INT, "http-port", http_port, "9121", 1, 65535, NODE, NODES, ZERO,
     "port of /metrics, /livez, /readyz and the console; 0 = any free one, named in the log"),
TEXT(LIST, "bind", bind, "127.0.0.1 ::1", 1024, NODE, NODES, 0, NULL,
     "numeric addresses to listen on, RESP and HTTP"),
TEXT(STRING, "announce-address", announce_address, "", 255, NODE, W | R, 0, NULL,
     "host:port that other nodes and -MOVED name; empty = the bound one, none if that is loopback"),
TEXT(SECRET, "requirepass", requirepass, "", 512, NODE, W | R, 0, NULL,
     "password that AUTH asks for; empty = none"),
BOOLEAN("protected-mode", protected_mode, "yes", W | R, LIVE,
     "without a password only loopback is served, whatever bind says"),
NUMBER(INT, "maxclients", maxclients, "10000", 1, 1000000, NODE, W | R, LIVE,
     "connections beyond it are refused"),
NUMBER(SIZE, "client-query-bytes-max", client_query_bytes_max, "64mb", 64 * KB, 1 * GB, NODE, W | R, LIVE,
     "unparsed input of one connection"),
NUMBER(SIZE, "client-output-bytes-max", client_output_bytes_max, "64mb", 64 * KB, 16 * GB, NODE, W | R, LIVE,
     "unsent replies of one connection; above it, it is closed"),
NUMBER(SIZE, "pubsub-output-bytes-max", pubsub_output_bytes_max, "32mb", 64 * KB, 16 * GB, NODE, W | R, LIVE,
     "unsent messages of one subscriber; above it, it is closed"),
NUMBER(SIZE, "pubsub-output-soft-bytes", pubsub_output_soft_bytes, "8mb", 64 * KB, 16 * GB, NODE, W | R, LIVE,
     "a subscriber above it for pubsub-output-soft-time is closed"),
NUMBER(DURATION, "pubsub-output-soft-time", pubsub_output_soft_time_ns, "60s", 1 * SEC, 1 * DAY, NODE, W | R, LIVE,
     "see pubsub-output-soft-bytes"),
NUMBER(DURATION, "idle-timeout", idle_timeout_ns, "0", 1 * SEC, 365 * DAY, NODE, W | R, LIVE | ZERO,
     "a connection without a command for so long is closed; 0 = never"),
NUMBER(DURATION, "slowlog-slower-than", slowlog_slower_ns, "10ms", 1000, 1 * HOUR, NODE, W | R, LIVE | ZERO,
     "commands that keep the loop busy for longer are in SLOWLOG; 0 = all"),
NUMBER(DURATION, "slowlog-waited-longer-than", slowlog_waited_ns, "250ms", 1 * MS, 1 * HOUR, NODE, W | R, LIVE,
     "commands that waited, for the store or for freshness, longer than this are in SLOWLOG"),
NUMBER(INT, "slowlog-max-len", slowlog_max_len, "128", 0, 1024, NODE, W | R, LIVE,
     "commands kept in SLOWLOG; 0 = it is off"),
NUMBER(DURATION, "latency-threshold", latency_threshold_ns, "0", 1 * MS, 1 * HOUR, NODE, W | R, LIVE | ZERO,
     "what took longer is in LATENCY; 0 = nothing is"),
CHOICE("enable-debug-command", enable_debug_command, "no|local|yes", "no", NODE, W | R, 0,
     "who may send DEBUG: nobody, connections from this machine, everybody"),
NUMBER(INT, "pipeline-lookahead", pipeline_lookahead, "64", 1, 4096, NODE, W | R, LIVE,
     "commands behind a waiting one, per connection, whose fetches begin at once"),

/* the store */
TEXT(STRING, "endpoint", endpoint, "", 1023, NODE, ALL, 0, NULL,
     "S3 endpoint URL; empty = Amazon's of the region"),
TEXT(STRING, "region", region, "", 64, NODE, ALL, 0, ID_CHARS,
     "S3 region; empty = AWS_REGION, the profile's, else us-east-1"),
CHOICE("addressing", addressing, "auto|path|virtual", "auto", NODE, ALL, 0,
     "bucket in the path or in the host name; auto = path where an endpoint is given"),
NUMBER(DURATION, "attempt-timeout", attempt_timeout_ns, "1s", 10 * MS, 5 * MIN, NODE, ALL, 0,
     "time of one request to the store, before what its size adds"),
NUMBER(SIZE, "attempt-bytes-per-sec", attempt_bytes_per_sec, "10mb", 64 * KB, 10 * GB, NODE, ALL, 0,
     "one second more for each so many bytes of a request"),

/* what a client is promised */
CHOICE("ack", ack, "durable|applied", "durable", NODE, W, LIVE,
     "when writes are answered, and what is read, unless KV.ACK says otherwise"),
NUMBER(DURATION, "freshness", freshness_ns, "1s", 0, 1 * DAY, NODE, W | R, LIVE,
     "how old what is read may be, unless KV.FRESHNESS says otherwise; 0 = linearizable"),
CHOICE("probe", probe, "fast|strict", "fast", NODE, W | R, 0,
     "strict asks for the manifest with each probe of the log and trusts no clock"),
NUMBER(DURATION, "commit-timeout", commit_timeout_ns, "1500ms", 10 * MS, 1 * HOUR, NODE, W, LIVE,
     "a write not durable by then is answered -KVUNKNOWN"),
NUMBER(DURATION, "read-timeout", read_timeout_ns, "1500ms", 10 * MS, 1 * HOUR, NODE, W | R, LIVE,
     "a read that cannot be as fresh as asked by then is answered -KVSTALE"),
NUMBER(DURATION, "tail-interval", tail_interval_ns, "250ms", 10 * MS, 1 * HOUR, NODE, W | R, LIVE,
     "how often the log is looked at for subscribers and tracking connections"),
NUMBER(INT, "tracking-table-max-keys", tracking_table_max_keys, "1000000", 0, 1000000000, NODE, W | R, LIVE,
     "keys remembered for CLIENT TRACKING; those remembered longest are invalidated above; 0 = no bound"),
NUMBER(SIZE, "unacked-bytes-max", unacked_bytes_max, "64mb", 1 * MB, 16 * GB, NODE, W, LIVE,
     "above so many bytes not yet durable, sockets of writing clients are not read"),

/* the log */
NUMBER(DURATION, "wal-interval", wal_interval_ns, "50ms", 0, 10 * SEC, NODE, W, LIVE,
     "a batch is sent at least so often while others are in flight; a PUT costs money"),
NUMBER(SIZE, "wal-batch-bytes", wal_batch_bytes, "8mb", 4 * KB, 64 * MB, NODE, W, LIVE,
     "a batch is sent when it has so many bytes"),
NUMBER(INT, "wal-inflight", wal_inflight, "8", 1, 256, NODE, W, LIVE,
     "batches being uploaded at once"),
NUMBER(SIZE, "batch-bytes-max", batch_bytes_max, "16mb", 64 * KB, 64 * MB, MANIFEST, W, 0,
     "largest atomic group: EXEC, MSET, KV.BATCH"),
NUMBER(SIZE, "value-max", value_max_bytes, "8mb", 1 * KB, 8 * MB, MANIFEST, W, 0,
     "longest value"),
NUMBER(INT, "wal-slots-max", wal_slots_max, "1024", 16, 1048576, MANIFEST, W, 0,
     "log objects not yet in tables at which a flush begins; at twice as many new writes wait"),
NUMBER(SIZE, "unflushed-bytes-max", unflushed_bytes_max, "256mb", 1 * MB, 64 * GB, MANIFEST, W, 0,
     "bytes of log not yet in tables at which new writes wait; a reader must be able to hold them"),
NUMBER(DURATION, "wal-grace", wal_grace_ns, "15min", 20 * SEC, 7 * DAY, MANIFEST, W, 0,
     "log objects are deleted so long after nothing needs them (S5 of the protocol)"),
NUMBER(DURATION, "clock-skew-max", clock_skew_max_ns, "5s", 1 * SEC, 1 * HOUR, MANIFEST, W, 0,
     "a writer whose clock is further from the store's does not start"),
CHOICE("empty-value", empty_value, "keeps|deletes", "keeps", MANIFEST, W, 0,
     "what storing an empty value does"),
NUMBER(DURATION, "dedup-ttl", dedup_ttl_ns, "1h", 1 * SEC, 30 * DAY, COMMIT, W, LIVE,
     "how long a request's ID is remembered"),
TEXT(STRING, "notify-keyspace-events", notify_keyspace_events, "", 16, COMMIT, W, LIVE | FIRN_CONF_EVENTS, "KEg$lshzxetdmnA",
     "which keyspace events are published, in Redis's letters; empty = none"),
NUMBER(DURATION, "history", history_ns, "0", 1 * MIN, 3650 * DAY, COMMIT, W, LIVE | ZERO,
     "how far back the log is kept for time travel and KV.CHANGES; 0 = as long as needed otherwise"),
NUMBER(DURATION, "heartbeat", heartbeat_ns, "0", 100 * MS, 10 * MIN, COMMIT, W, LIVE | ZERO,
     "how often the writer shows standbys that it lives; 0 = never: no take-over by time"),
NUMBER(DURATION, "failover-after", failover_after_ns, "3s", 100 * MS, 1 * HOUR, NODE, W, LIVE,
     "a standby takes over when the writer was silent for so long"),

/* tables */
CHOICE("codec", codec, "lz4|zstd|none", "lz4", NODE, W | C, LIVE,
     "compression of log batches and of tables this node writes"),
NUMBER(SIZE, "block-bytes", block_bytes, "16kb", 4 * KB, 64 * KB, MANIFEST, W, 0,
     "size of a table's blocks before compression"),
NUMBER(SIZE, "memtable-bytes", memtable_bytes, "64mb", 64 * KB, 16 * GB, NODE, W, LIVE,
     "memory of new writes at which a flush begins"),
NUMBER(DURATION, "idle-flush", idle_flush_ns, "60s", 100 * MS, 1 * DAY, NODE, W, LIVE,
     "a flush begins so long after the last write"),
NUMBER(DURATION, "manifest-interval", manifest_interval_ns, "1s", 0, 1 * MIN, NODE, W | C, LIVE,
     "shortest time between two commits of this node; stores limit writes of one name"),
NUMBER(SIZE, "table-bytes", table_bytes, "64mb", 64 * KB, 1 * GB, NODE, W | C, LIVE,
     "target size of a table"),
NUMBER(SIZE, "partition-bytes", partition_bytes, "4gb", 1 * MB, 1 * TB, NODE, C, LIVE,
     "target size of a partition of L1"),
NUMBER(SIZE, "slice-bytes-min", slice_bytes_min, "1mb", 1, 1 * GB, NODE, C, LIVE,
     "L0 waits for more tables while it would give each partition less than this on average"),
NUMBER(INT, "l0-compact-tables", l0_compact_tables, "4", 1, 1024, NODE, C, LIVE,
     "tables in L0 from which it is compacted, see slice-bytes-min"),
NUMBER(INT, "l0-force-tables", l0_force_tables, "8", 1, 1024, NODE, C, LIVE,
     "tables in L0 from which it is compacted in any case"),
NUMBER(INT, "l0-slow-tables", l0_slow_tables, "16", 2, 4096, NODE, W, LIVE,
     "tables in L0 from which the writer slows down"),
NUMBER(INT, "l0-refuse-tables", l0_refuse_tables, "64", 4, 4096, NODE, W, LIVE,
     "tables in L0 from which the writer refuses writes"),
NUMBER(DURATION, "table-grace", table_grace_ns, "15min", 1 * SEC, 7 * DAY, NODE, C, LIVE,
     "tables are deleted so long after the collector saw that nothing needs them"),
NUMBER(DURATION, "pin-ttl", pin_ttl_ns, "5min", 1 * SEC, 1 * DAY, NODE, NODES, 0,
     "a pin of a snapshot counts as dead when not renewed for so long; the same on all nodes"),
NUMBER(DURATION, "compactor-poll-min", compactor_poll_min_ns, "1s", 50 * MS, 1 * HOUR, NODE, C, LIVE,
     "how often the manifest is read while it changes"),
NUMBER(DURATION, "compactor-poll-max", compactor_poll_max_ns, "60s", 50 * MS, 1 * DAY, NODE, C, LIVE,
     "how often the manifest is read, at least, when it does not change"),
};
/* clang-format on */

const size_t firn_conf__count = sizeof firn_conf__table / sizeof *firn_conf__table;
_Static_assert(sizeof firn_conf__table / sizeof *firn_conf__table <= FIRN_SETTINGS_MAX,
               "FIRN_SETTINGS_MAX is too small");

const struct firn_conf_def *firn_conf_find(struct firn_slice name)
{
    for (size_t i = 0; i < firn_conf__count; i++) {
        if (firn_slice_ieq(name, firn_conf__table[i].name))
            return &firn_conf__table[i];
    }
    return NULL;
}

const char *firn_conf_role_name(unsigned role)
{
    switch (role) {
    case FIRN_CONF_WRITER:
        return "writer";
    case FIRN_CONF_READER:
        return "reader";
    case FIRN_CONF_COMPACTOR:
        return "compactor";
    default:
        return "firnctl";
    }
}

struct relation {
    const char *low, *high;
    uint64_t a, b;
};

enum firn_status firn_conf__cross_check(const struct firn_settings *s, struct firn_err *err)
{
    const struct relation r[] = {
        {"value-max", "batch-bytes-max", s->value_max_bytes, s->batch_bytes_max},
        {"memtable-bytes", "unflushed-bytes-max", s->memtable_bytes, s->unflushed_bytes_max},
        {"l0-compact-tables", "l0-force-tables", s->l0_compact_tables, s->l0_force_tables},
        {"l0-slow-tables", "l0-refuse-tables", s->l0_slow_tables, s->l0_refuse_tables},
        {"compactor-poll-min", "compactor-poll-max", s->compactor_poll_min_ns,
         s->compactor_poll_max_ns},
        {"pubsub-output-soft-bytes", "pubsub-output-bytes-max", s->pubsub_output_soft_bytes,
         s->pubsub_output_bytes_max},
        {"heartbeat", "failover-after", s->heartbeat_ns, s->failover_after_ns},
    };
    for (size_t i = 0; i < sizeof r / sizeof *r; i++) {
        if (r[i].a > r[i].b)
            return firn_fail(err, FIRN_INVALID, "%s must not be above %s", r[i].low, r[i].high);
    }
    return FIRN_OK;
}
