/* All settings of all roles as plain typed fields. The table in conf/table.c says what each one
 * means, its default and range; docs/CONFIG.md is made from it. Durations are in ns, sizes in
 * bytes. Strings are owned by the struct and never NULL after firn_conf_load. */
#ifndef FIRN_CONF_SETTINGS_H
#define FIRN_CONF_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#define FIRN_SETTINGS_MAX 96 /* room for origins; the table is smaller */

enum firn_ack { FIRN_ACK_DURABLE, FIRN_ACK_APPLIED };
enum firn_probe { FIRN_PROBE_FAST, FIRN_PROBE_STRICT };
enum firn_who { FIRN_WHO_NOBODY, FIRN_WHO_LOCAL, FIRN_WHO_ALL };
enum firn_empty_value { FIRN_EMPTY_KEEPS, FIRN_EMPTY_DELETES };
enum firn_addressing { FIRN_ADDRESSING_AUTO, FIRN_ADDRESSING_PATH, FIRN_ADDRESSING_VIRTUAL };
enum firn_conf_codec { FIRN_CONF_CODEC_LZ4, FIRN_CONF_CODEC_ZSTD, FIRN_CONF_CODEC_NONE };

struct firn_settings {
    /* the process */
    char *config;
    char *store; /* URL, without secrets */
    char *node_id;
    char *dir;
    int log_level;         /* enum firn_log_level */
    int log_format;        /* 0 logfmt, 1 JSON */
    uint64_t memory_bytes; /* 0 = half of what there is */
    uint64_t shutdown_timeout_ns;
    bool standby; /* wait to take over */
    bool once;

    /* network and clients */
    uint64_t port;
    uint64_t http_port;
    char *bind; /* addresses divided by single spaces */
    char *announce_address;
    char *requirepass; /* secret; "" = none */
    bool protected_mode;
    uint64_t maxclients;
    uint64_t client_query_bytes_max;
    uint64_t client_output_bytes_max;
    uint64_t pubsub_output_bytes_max;
    uint64_t pubsub_output_soft_bytes;
    uint64_t pubsub_output_soft_time_ns;
    uint64_t idle_timeout_ns;   /* 0 = none */
    uint64_t slowlog_slower_ns; /* 0 = all */
    uint64_t slowlog_waited_ns;
    uint64_t slowlog_max_len;      /* 0 = off */
    uint64_t latency_threshold_ns; /* 0 = off */
    int enable_debug_command;      /* enum firn_who */
    uint64_t pipeline_lookahead;

    /* the store */
    char *endpoint;
    char *region;
    int addressing; /* enum firn_addressing */
    uint64_t attempt_timeout_ns;
    uint64_t attempt_bytes_per_sec;

    /* what a client is promised */
    int ack; /* enum firn_ack */
    uint64_t freshness_ns;
    int probe; /* enum firn_probe */
    uint64_t commit_timeout_ns;
    uint64_t read_timeout_ns;
    uint64_t tail_interval_ns;
    uint64_t tracking_table_max_keys;
    uint64_t unacked_bytes_max;

    /* the log */
    uint64_t wal_interval_ns;
    uint64_t wal_batch_bytes;
    uint64_t wal_inflight;
    uint64_t batch_bytes_max;     /* (M) */
    uint64_t value_max_bytes;     /* (M) */
    uint64_t wal_slots_max;       /* (M) */
    uint64_t unflushed_bytes_max; /* (M) */
    uint64_t wal_grace_ns;        /* (M) */
    uint64_t clock_skew_max_ns;   /* (M) */
    int empty_value;              /* (M) enum firn_empty_value */
    uint64_t dedup_ttl_ns;        /* (C) */
    char *notify_keyspace_events; /* (C) */
    uint64_t history_ns;          /* (C) */
    uint64_t heartbeat_ns;        /* (C) 0 = none */
    uint64_t failover_after_ns;

    /* tables */
    int codec;            /* enum firn_conf_codec */
    uint64_t block_bytes; /* (M) */
    uint64_t memtable_bytes;
    uint64_t idle_flush_ns;
    uint64_t manifest_interval_ns;
    uint64_t table_bytes;
    uint64_t partition_bytes;
    uint64_t slice_bytes_min;
    uint64_t l0_compact_tables;
    uint64_t l0_force_tables;
    uint64_t l0_slow_tables;
    uint64_t l0_refuse_tables;
    uint64_t table_grace_ns;
    uint64_t pin_ttl_ns;
    uint64_t compactor_poll_min_ns;
    uint64_t compactor_poll_max_ns;

    /* --- conf's own */
    bool want_help;    /* --help was given: print firn_conf_help and exit */
    bool want_version; /* --version was given */
    int argi; /* index of the first argument that is no setting (firnctl's verb), or argc */
    uint8_t origin[FIRN_SETTINGS_MAX]; /* enum firn_conf_origin, by place in the table */
};

#endif
