/* The RESP server: listeners, connections, execution in order, held replies, limits, counters.
 * Everything runs on the loop thread. Times are those of the boot clock (firn_boot_ns). */
#ifndef FIRN_RESP_SERVER_H
#define FIRN_RESP_SERVER_H

#include "env/env.h"
#include "env/net.h"
#include "obs/budget.h"
#include "resp/command.h"
#include "resp/conn.h"

/* The level of commands and fields that clients may expect, in HELLO and INFO. redis-py caches on
 * its side only from 7.4 on. */
#define FIRN_REDIS_VERSION "7.4.2"

enum firn_exec {
    FIRN_EXEC_DONE, /* the reply was appended (or the command has none) */
    FIRN_EXEC_PARK, /* not now: nothing was appended, nothing was done; exec comes again after
                       resume */
};

/* What of a connection only the engine knows, for CLIENT LIST. */
struct firn_conn_describe {
    unsigned sub, psub, ssub; /* subscriptions */
    int multi;                /* commands queued, -1 = not in MULTI */
    size_t multi_bytes;       /* memory of those commands */
    unsigned watch;           /* keys */
    bool tracking;            /* CLIENT TRACKING is on */
    uint64_t redirect;        /* … and tells this connection; 0 = its own */
    char flags[8]; /* letters: O monitor, P pub/sub, x in MULTI, t tracking, R its redirect is gone,
                      B broadcast, d a watched key was changed; "" = none */
};

/* A command that was parsed and is not executed yet. */
struct firn_upcoming {
    const struct firn_slice *argv;
    size_t argc;
    size_t used;                       /* bytes it took, protocol included */
    struct firn_command_entry *entry;  /* NULL: there is no such command */
    struct firn_command_entry *parent; /* of a subcommand */
};

/* The user of the server. Only exec is required. argv is valid during the call only: after PARK the
 * bytes move into the connection's buffer and exec gets them anew. */
struct firn_handler {
    /* Execute a command of a table that is not this room's (or any while capturing). cmd is the
     * subcommand where the command has such. Arity, authentication, pause and loading were checked.
     */
    enum firn_exec (*exec)(void *arg, struct firn_conn *c, const struct firn_command *cmd,
                           size_t argc, const struct firn_slice *argv);
    void (*open)(void *arg, struct firn_conn *c);
    /* The connection is gone after this call; a parked command is dropped with it. */
    void (*close)(void *arg, struct firn_conn *c);
    /* Commands received behind a parked one, each once, so that what they need can be fetched. */
    void (*lookahead)(void *arg, struct firn_conn *c, const struct firn_command *cmd, size_t argc,
                      const struct firn_slice *argv);
    /* Commands of a pipeline, two at least, before the first of them is executed: a hint to have
     * the memory loaded that they will touch. Some may never be executed, or later, or anew. */
    void (*prefetch)(void *arg, struct firn_conn *c, const struct firn_upcoming *command, size_t n);
    /* A command was refused before exec: unknown, arity, NOAUTH, LOADING (a MULTI is spoilt by it).
     * The error lies in the reply buffer from firn_conn_mark on. e: the command; NULL = unknown. */
    void (*rejected)(void *arg, struct firn_conn *c, const struct firn_command_entry *e);
    /* RESET: give up MULTI, WATCH, subscriptions, per-connection choices. */
    void (*reset)(void *arg, struct firn_conn *c);
    void (*describe)(void *arg, struct firn_conn *c, struct firn_conn_describe *out);
    /* The connection is about to be closed because all clients together hold more than their share
     * of memory and it holds `bytes`, more than any other. */
    void (*evicted)(void *arg, struct firn_conn *c, size_t bytes);
    /* A command was executed (this room's own, too), its reply appended; only while
     * firn_server_set_watched says so. It may push to other connections. */
    void (*executed)(void *arg, struct firn_conn *c, struct firn_command_entry *e, size_t argc,
                     const struct firn_slice *argv);
    const char *(*role)(void *arg); /* for HELLO: "master" or "replica"; NULL = master */
    void *arg;
};

/* Copied by create, strings too. 0 or NULL = the default given. */
struct firn_server_options {
    const char *requirepass; /* none */
    bool bound_wide;         /* some listener is not on loopback: protected mode matters */
    bool protected_mode_off;
    unsigned maxclients;       /* 10000 */
    size_t query_bytes_max;    /* 64 MiB, of one connection */
    size_t output_bytes_max;   /* 64 MiB */
    size_t output_pause_bytes; /* 1 MiB: with more unsent a connection neither reads nor executes */
    size_t pubsub_bytes_max;   /* 32 MiB, unsent to a subscriber */
    size_t pubsub_soft_bytes;  /* 8 MiB: so much … */
    uint64_t pubsub_soft_ns;   /* 60 s: … for so long */
    size_t args_max;           /* 1 Mi arguments of a command */
    unsigned pipeline_lookahead; /* 64 */
    uint64_t idle_timeout_ns;    /* `timeout`; 0 = connections may idle for ever */
    unsigned commit_timeout_ms;  /* 1500, for the text of -KVUNKNOWN */
    unsigned read_timeout_ms;    /* 1500, for the text of -KVSTALE */
    /* Of all clients' buffers together (FIRN_BUDGET_CLIENTS), which is told what they hold: with
     * half of the share in use large ones are not read on, above it the largest are closed. NULL:
     * no bound. Must outlive the server. */
    struct firn_budget *budget;
    const char *redis_version; /* FIRN_REDIS_VERSION */
    const char *mode;          /* "standalone" */
};

struct firn_server_stats {
    uint64_t connections_received, connections_rejected;
    uint64_t commands_processed;
    uint64_t net_in_bytes, net_out_bytes;
    uint64_t output_limit_closed, query_limit_closed, idle_closed, evicted;
    uint64_t pubsub_limit_closed;                         /* subscribers that read too slowly */
    uint64_t parked_total;                                /* commands that were parked, each once */
    uint64_t gated_replies;                               /* replies that were held */
    uint64_t expired_writes, expired_reads, failed_gates; /* replies replaced by errors */
    uint64_t auth_failures, protocol_errors;
    /* now */
    size_t connected, parked,
        gated;           /* connections: open, with a parked command, with held replies */
    size_t buffer_bytes; /* memory of all clients' buffers */
};

/* A server over env->net without a listener. handler and env are borrowed until free. INVALID,
 * LIMIT. */
enum firn_status firn_server_create(const struct firn_env *env,
                                    const struct firn_server_options *options,
                                    const struct firn_handler *handler, struct firn_server **out,
                                    struct firn_err *err) FIRN_MUST_USE;
/* Register a table of commands besides this room's own, before the first listen. */
enum firn_status firn_server_add_commands(struct firn_server *s, const struct firn_command *table,
                                          size_t n, struct firn_err *err) FIRN_MUST_USE;
/* Listen on one more address; statuses as the net port's. port_out may be NULL. */
enum firn_status firn_server_listen(struct firn_server *s, const char *addr, uint16_t port,
                                    uint16_t *port_out, struct firn_err *err) FIRN_MUST_USE;
void firn_server_unlisten(struct firn_server *s); /* all of them */
/* Stop listening, reading and executing (parked commands still finish); done(arg) once, never
 * inside this call, when all replies owed are sent or the deadline has passed. The connections are
 * closed then. */
void firn_server_drain(struct firn_server *s, uint64_t deadline_ns, void (*done)(void *arg),
                       void *arg);
/* Close everything (handler->close is called for each connection) and free. NULL-safe. */
void firn_server_free(struct firn_server *s);

/* Progress: replies whose gates are open are sent at the end of this turn. Both only grow (a
 * smaller value is ignored). O(connections with held replies) when something changed. */
void firn_server_release(struct firn_server *s, uint64_t durable_slot, uint64_t probe_done);
/* Replace held replies whose deadline is ≤ now. Called by the server's own timer every 25 ms while
 * replies are held; here for tests and for callers that know better. */
void firn_server_expire(struct firn_server *s, uint64_t now_ns);
/* Held replies that wait for a slot > after_slot become errors (texts without "-"): those of
 * writes and of reads, one each, and leave in their order. */
void firn_server_fail_gates(struct firn_server *s, uint64_t after_slot, const char *write_text,
                            const char *read_text);
/* Resume every parked command. */
void firn_server_resume_all(struct firn_server *s);

/* While loading, commands without FIRN_CMD_LOADING answer -LOADING. */
void firn_server_set_loading(struct firn_server *s, bool loading);
/* Call handler->executed from now on, or no more. */
void firn_server_set_watched(struct firn_server *s, bool watched);
/* NULL or "": none. Open connections keep their authentication (as Redis). */
enum firn_status firn_server_set_password(struct firn_server *s,
                                          const char *password) FIRN_MUST_USE;
/* Numbers of the options may be changed while it runs (not strings); then say so. */
struct firn_server_options *firn_server_options(struct firn_server *s);
/* They were: limits of open connections follow. */
void firn_server_options_changed(struct firn_server *s);

const struct firn_server_stats *firn_server_stats(struct firn_server *s);
struct firn_error_stats *firn_server_errors(struct firn_server *s);
struct firn_registry *firn_server_registry(struct firn_server *s);
void firn_server_reset_stats(struct firn_server *s); /* CONFIG RESETSTAT */
/* "cmdstat_get:calls=…\r\n" and "errorstat_ERR:count=…\r\n" lines, as INFO has them. */
enum firn_status firn_server_info_commands(struct firn_server *s,
                                           struct firn_buf *out) FIRN_MUST_USE;
enum firn_status firn_server_info_errors(struct firn_server *s, struct firn_buf *out) FIRN_MUST_USE;
/* INFO clients: connected_clients, maxclients, buffers, blocked_clients. */
enum firn_status firn_server_info_clients(struct firn_server *s,
                                          struct firn_buf *out) FIRN_MUST_USE;

/* Call fn for every connection; fn must not close any at once (firn_conn_close is fine). */
void firn_server_each(struct firn_server *s, void (*fn)(void *arg, struct firn_conn *c), void *arg);
/* The connection of that id, or NULL. O(connections). */
struct firn_conn *firn_server_find(struct firn_server *s, uint64_t id);

#endif
