/* Inside the engine: its state, a connection's session, and the evaluation of one command.
 *
 * A command is evaluated in one step by its handler (a function of type firn_handler_fn named in
 * the command table). What it needs and is not there (room, freshness, blocks, its own writes
 * durable) makes it answer FIRN_AGAIN: it is parked with nothing done and nothing replied, and
 * evaluated anew on the state of the moment when it can go on (ARCHITECTURE "A command on the
 * writer"). Loop thread only. */
#ifndef FIRN_ENGINE_PRIV_H
#define FIRN_ENGINE_PRIV_H

#include "base/assert.h"
#include "engine/changes_priv.h"
#include "engine/cursor_priv.h"
#include "engine/engine.h"
#include "engine/expirer_priv.h"
#include "engine/feed_priv.h"
#include "engine/group_priv.h"
#include "engine/latency_priv.h"
#include "engine/pubsub_priv.h"
#include "engine/queue_priv.h"
#include "engine/slowlog_priv.h"
#include "engine/snapshot_priv.h"
#include "engine/tracking_priv.h"
#include "engine/watch_priv.h"
#include "format/event.h"
#include "format/key.h"
#include "format/token.h"
#include "obs/hist.h"
#include "resp/parse.h"
#include "resp/server.h"

#define FIRN_ENGINE_AHEAD_BYTES ((size_t)256 << 10) /* keys kept of commands to come */
#define FIRN_ENGINE_TICK_NS (25 * FIRN_MS) /* how exact the deadlines of parked commands are */

/* ---- why a command is parked */
enum firn_wait_kind {
    FIRN_WAIT_NONE,
    FIRN_WAIT_OWN,    /* the connection's own writes are not durable yet */
    FIRN_WAIT_FRESH,  /* a probe (I6) */
    FIRN_WAIT_ROOM,   /* admit said WAIT */
    FIRN_WAIT_PLACE,  /* a token's place */
    FIRN_WAIT_VIEW,   /* an object was gone: the manifest is reloaded */
    FIRN_WAIT_FETCH,  /* blocks are on their way */
    FIRN_WAIT_TURN,   /* it has worked long enough for one turn of the loop */
    FIRN_WAIT_PIN,    /* the node's pin is being made */
    FIRN_WAIT_LOG,    /* slots are on their way (KV.CHANGES) */
    FIRN_WAIT_SLEEP,  /* DEBUG SLEEP */
    FIRN_WAIT_COMMIT, /* a manifest setting is being committed */
};

struct firn_wait {
    struct firn_list link; /* in engine->waiting or ->turning; else empty */
    enum firn_wait_kind kind;
    uint64_t deadline_ns;    /* boot clock; 0 = none */
    uint64_t gate;           /* OWN: durable_gate must reach it */
    uint64_t fresh_ns;       /* FRESH: fresh_ns must reach it … */
    uint64_t ticket;         /* … or probe_done this, unless 0; VIEW: reload_done */
    size_t bytes;            /* ROOM */
    struct firn_place place; /* PLACE */
};

/* An ordered walk over live keys that survives parks: one view, one seqno, so one moment. */
struct firn_range {
    struct firn_iter *iter; /* NULL: not open */
    struct firn_seqno_hold hold;
    struct firn_buf bounds;   /* the bytes of start and end */
    unsigned steps;           /* in this turn */
    uint64_t opened_ns;       /* boot clock */
    uint64_t version;         /* of its view's manifest */
    uint64_t count;           /* the handler's: entries taken so far */
    uint64_t bytes;           /* the handler's: bytes taken so far */
    uint64_t seen;            /* the handler's: entries looked at */
    uint64_t expires;         /* the handler's: entries with a time to live */
    uint64_t next_expiry_ms;  /* the handler's: the earliest of those, 0 = none */
    uint64_t view_gen, seqno; /* the handler's: of the state it walks over */
    struct firn_reply rows;   /* the handler's: reply elements gathered so far */
    struct firn_buf last;     /* the handler's: the last key taken (user part) */
};

/* A commit of a manifest setting under way for CONFIG SET; outlives its command if need be. */
struct firn_setting_commit {
    struct firn_session *session; /* NULL: it was answered, or the connection is gone */
    uint64_t deadline_ns;         /* boot clock: then the answer is -KVUNKNOWN */
    bool done;
    enum firn_status status;
    struct firn_err err;
};

/* ---- a connection */
struct firn_session {
    struct firn_engine *e;
    struct firn_conn *c;
    struct firn_list link; /* in engine->sessions */

    /* what it chose with KV.ACK and KV.FRESHNESS; otherwise the settings hold, as they are now */
    bool ack_chosen, freshness_chosen;
    int ack; /* enum firn_ack */
    uint64_t freshness_ns;

    /* its newest write */
    uint64_t wrote_gate; /* 0 = none */
    uint64_t wrote_seqno;
    struct firn_place wrote_place;

    /* MULTI and WATCH */
    struct firn_queue queue;
    struct firn_watcher watcher;

    /* the command under way, cleared when it is done */
    struct firn_wait wait;
    struct firn_read read;
    struct firn_range range;
    bool was_parked;
    uint64_t busy_ns;       /* spent on its evaluations, as far as they were timed */
    bool fetching;          /* read's done() is to come */
    bool fetch_failed;      /* it came with a bad status, not yet answered */
    bool retried;           /* a 404 was met, and it was tried again on a new view */
    uint64_t reload_ticket; /* of the reload begun for that; 0 = none */
    uint64_t ticket;        /* of the probe begun for it; 0 = none */
    struct firn_track track;
    struct firn_list monitor;     /* in engine->monitors while it is one */
    struct firn_changes *changes; /* the page being gathered, or NULL */
    struct firn_pinned pinned;    /* what its view is kept by: of a long walk, or while one opens a
                                     snapshot */
    bool pin_wanted;              /* the walk under way has become long */
    uint64_t at_snapshot;         /* it reads at this snapshot; 0 = none */
    uint64_t behind_gate;         /* the newest gate when that began: firn_engine__caught_up */
    bool listens_soon;            /* … which has the log kept for it: firn_engine__feed_soon */
    uint64_t draw;                /* RANDOMKEY's random number; 0 = not drawn */
    struct firn_setting_commit *commit;
    size_t commits_done; /* manifest settings of this CONFIG SET that are committed */

    struct firn_session_subs subs;

    /* fetches for the commands behind a parked one */
    struct firn_read ahead;
    struct firn_list ahead_link; /* in engine->ahead while its misses are to be fetched */
    bool ahead_fetching;
    struct firn_buf ahead_keys; /* of those commands, one record each; see ahead.c */
    size_t ahead_at;            /* the first record of a command not yet executed */
    unsigned ahead_left;        /* how many such commands there are */
    bool ahead_skip;            /* the command under way came before them */
};

/* Exact number of keys of a database, known for one state. */
struct firn_dbsize {
    bool known;
    uint64_t view_gen, seqno;
    uint64_t valid_to_ms; /* a key expires then; 0 = never */
    uint64_t keys, expires;
};

struct firn_engine_stats {
    uint64_t hits, misses, expired_hidden;
    uint64_t expired_logged, expired_stale; /* entries of the expiry index that were due */
    uint64_t expire_failures;               /* the expirer had to wait for the store, or memory */
    uint64_t writes, noops;
    uint64_t parked[FIRN_WAIT_COMMIT + 1]; /* by reason */
    uint64_t stale, busy, readonly, corrupt, fetch_errors;
    uint64_t unknown; /* CONFIG SETs answered -KVUNKNOWN; of other writes the server counts them */
    uint64_t cold_reads, cold_trips, cold_gets, cold_bytes;
    uint64_t reloads;
    struct firn_hist parked_ns;     /* from a parked command's arrival to its end */
    struct firn_hist state_age_ns;  /* age of the state at serve, of reads */
    struct firn_hist expire_lag_ns; /* from a value's time to its record of kind EXPIRED */
    struct firn_hist trips;         /* round trips of reads that needed any */
};

/* Store requests counted up to KV.COST RESET. */
struct firn_cost_base {
    struct firn_store_account op[FIRN_OS_OPS];
    double dollars;
    uint64_t tail_polls;
    uint64_t since_ms;
};

struct firn_engine {
    struct firn_db *db;
    struct firn_server *server;
    struct firn_handler handler;
    struct firn_list sessions;
    struct firn_list feed;     /* struct firn_feed_listener */
    size_t listens_soon;       /* sessions whose command will listen when it is answered */
    struct firn_list waiting;  /* struct firn_wait, in the order they were parked */
    struct firn_list turning;  /* struct firn_wait of kind TURN */
    struct firn_list monitors; /* struct firn_session.monitor */
    struct firn_list holds;    /* struct firn_seqno_hold */
    struct firn_list ahead;    /* struct firn_session with misses to fetch */
    struct firn_timer tick;    /* runs while something waits */
    struct firn_timer turn;
    struct firn_defer ahead_defer;
    struct firn_group group;     /* of the command being evaluated */
    struct firn_buf value;       /* a value being computed by it */
    struct firn_cursors cursors; /* SCAN's */
    struct firn_snapshots snapshots;
    struct firn_watches watches; /* who watches which key */
    struct firn_changes_shared changes;
    struct firn_tracking tracking;
    struct firn_slowlog slowlog;
    struct firn_pubsub pubsub;
    struct firn_latency latency;
    bool time_all; /* every command is timed, see slow.c */
    struct firn_dbsize dbsize[FIRN_DATABASES];
    struct firn_cost_base cost;
    struct firn_expirer expirer;
    struct firn_engine_stats stat;
    uint64_t started_boot_ns;
    bool loading;
    uint16_t port;
    uint8_t key[FIRN_KEY_MAX + 1]; /* the internal key at hand: one at a time */
};

/* ---- one evaluation */
struct firn_eval {
    struct firn_engine *e;
    struct firn_db *db;
    struct firn_session *s;
    const struct firn_command *cmd;
    struct firn_reply *out; /* where the reply goes */
    size_t argc;
    const struct firn_slice *argv;
    uint64_t arrival_ns;
    struct firn_view *view; /* set by read_ready and write_ready */
    struct firn_view
        *held; /* a reference on it, where old values are used after a write; or NULL */
    uint64_t max_seqno;
    uint64_t now_ms; /* 0 = not taken yet: firn_engine__now */
    uint8_t ns;      /* namespace of the selected database */
    bool durable;    /* the connection reads and acknowledges durable state */
    bool gated;      /* `gate` is to be put on the reply */
    struct firn_gate gate;
    /* Of a command inside of a transaction (tx_priv.h), else NULL and 0: */
    struct firn_tx *tx;
    size_t nth;        /* which one */
    size_t group_from; /* records before this one were made by commands before it */
    bool unmet;        /* set by its handler: a condition that it named does not hold */
};

/* Evaluate. OK: the reply was appended. INVALID: an error was appended. AGAIN: nothing was done;
 * wait.kind says for what (NONE: for the misses of s->read). Anything else: finish answers the
 * matching error. Replies appended before AGAIN are taken back. */
typedef enum firn_status (*firn_handler_fn)(struct firn_eval *x);

/* Bits of firn_command.id. */
enum firn_command_trait {
    FIRN_TRAIT_READS = 1,   /* a write that looks at its keys */
    FIRN_TRAIT_OPTIONS = 2, /* … only when it has more than the least number of arguments */
    FIRN_TRAIT_AT = 4,      /* a read whose words choose its state: it asks for read_ready itself */
    FIRN_TRAIT_LONG = 8,    /* can keep the loop busy for milliseconds: it is timed */
};

/* ---- session.c */
void firn_engine__session_open(void *engine, struct firn_conn *c);
void firn_engine__session_close(void *engine, struct firn_conn *c);
void firn_engine__session_reset(void *engine, struct firn_conn *c);
void firn_engine__session_describe(void *engine, struct firn_conn *c,
                                   struct firn_conn_describe *out);
int firn_engine__ack(const struct firn_session *s);
uint64_t firn_engine__freshness(const struct firn_session *s);
/* Count what the session holds as its connection's memory. */
void firn_engine__account(struct firn_session *s);
/* Forget the command under way: unpin, close its range, leave every list. */
void firn_engine__session_done(struct firn_session *s);
/* The durable state of this node, as a token. */
struct firn_token firn_engine__state_token(const struct firn_engine *e);
/* The newest state this connection wrote or can have seen, as a token. */
size_t firn_engine__token(struct firn_session *s, char out[FIRN_TOKEN_MAX]);
/* Parse a client's token; INVALID with an error reply: malformed, or another database's. */
enum firn_status firn_engine__parse_token(struct firn_eval *x, struct firn_slice text,
                                          struct firn_token *out) FIRN_MUST_USE;

/* ---- eval.c */
enum firn_exec firn_engine__exec(void *engine, struct firn_conn *c, const struct firn_command *cmd,
                                 size_t argc, const struct firn_slice *argv);
/* Run the handler of x->cmd with what it needs before: freshness, admission. */
enum firn_status firn_engine__run(struct firn_eval *x) FIRN_MUST_USE;
static inline firn_handler_fn firn_engine__handler(const struct firn_command *cmd)
{
    return (firn_handler_fn)cmd->fn;
}
/* Now in wall ms, taken once per evaluation. */
uint64_t firn_engine__now(struct firn_eval *x);
/* Append "-ERR syntax error" / "-ERR value is not an integer or out of range"; give INVALID. */
enum firn_status firn_engine__syntax_error(struct firn_eval *x);
/* "-ERR unknown subcommand or wrong number of arguments for 'x'. Try CONTAINER HELP."; INVALID. */
enum firn_status firn_engine__subcommand_error(struct firn_eval *x);
/* `rows`, gathered for a reply, have failed: LIMIT, for want of memory; INVALID with an error that
 * ends with the advice appended, where they are larger than a reply may be. */
enum firn_status firn_engine__rows_lost(struct firn_eval *x, const struct firn_reply *rows,
                                        const char *advice);
/* argv[i] as an integer, or INVALID with the error appended. */
enum firn_status firn_engine__arg_i64(struct firn_eval *x, size_t i, int64_t *out) FIRN_MUST_USE;
static inline bool firn_engine__arg_is(const struct firn_eval *x, size_t i, const char *word)
{
    return i < x->argc && firn_slice_ieq(x->argv[i], word);
}

/* ---- wait.c */
/* Somebody waits for this gate: the role is told, unless it is open already. */
void firn_engine__want_gate(struct firn_db *db, uint64_t gate);
/* Leave AGAIN with this reason; the deadline is boot time. When it has passed already, answer the
 * error that goes with the reason and give INVALID. */
enum firn_status firn_engine__await(struct firn_eval *x, const struct firn_wait *w) FIRN_MUST_USE;
/* Put the session where it will be woken. */
void firn_engine__park(struct firn_eval *x);
/* Resume every parked command whose reason has gone, or whose deadline has passed. */
void firn_engine__wake(struct firn_engine *e);
void firn_engine__wake_all(struct firn_engine *e);
void firn_engine__tick(void *engine);
void firn_engine__turn(void *engine);
/* Wait until this place has been consumed (a token's); on an APPLIED connection of the writer its
 * own applied state will do for seqno. */
enum firn_status firn_engine__await_token(struct firn_eval *x, const struct firn_token *t,
                                          bool durable, uint64_t deadline_ns) FIRN_MUST_USE;

/* ---- read.c */
/* The state a plain read of this connection is served from, or what it must wait for (I6). */
enum firn_status firn_engine__read_ready(struct firn_eval *x) FIRN_MUST_USE;
/* For commands that begin to listen to the log: OK when a probe begun after the command came was
 * believed and, on the writer, every slot begun before it came is durable, so that none of those
 * will be fed. Slots closed meanwhile are kept: those that become durable after OK are fed. */
enum firn_status firn_engine__caught_up(struct firn_eval *x) FIRN_MUST_USE;
/* OK when a manifest that was asked for after the command came has been taken: its view, and the
 * settings kept in it. */
enum firn_status firn_engine__manifest_read(struct firn_eval *x) FIRN_MUST_USE;
/* Freshness alone: OK when the state will do for this connection. */
enum firn_status firn_engine__fresh_ready(struct firn_eval *x) FIRN_MUST_USE;
/* The internal key of a user's key, in e->key (overwritten by the next). INVALID: too long,
 * answered. */
enum firn_status firn_engine__key(struct firn_eval *x, struct firn_slice user,
                                  struct firn_slice *out) FIRN_MUST_USE;
/* The live value of a key, expiry applied, earlier writes of this command seen. OK, ABSENT, AGAIN,
 * INVALID, CORRUPT, LIMIT. The entry's value is borrowed for this evaluation; its key is not set.
 */
enum firn_status firn_engine__get(struct firn_eval *x, struct firn_slice user,
                                  struct firn_entry *out) FIRN_MUST_USE;
/* Make n keys (argv[first], argv[first + step], …) resident, all misses noted at once. */
enum firn_status firn_engine__gather(struct firn_eval *x, size_t first, size_t step,
                                     size_t n) FIRN_MUST_USE;
/* Gate the reply on everything applied being durable, and that on being no older than need_ns: the
 * commit of the open batch is a probe that begins after now. */
void firn_engine__gate_applied(struct firn_eval *x, uint64_t need_ns);
/* Count a lookup for keyspace_hits and keyspace_misses. */
void firn_engine__count_lookup(struct firn_eval *x, enum firn_status st);
/* Answer what a failed fetch left behind, or retry on a new view. */
enum firn_status firn_engine__fetch_result(struct firn_eval *x) FIRN_MUST_USE;
void firn_engine__fetch_start(struct firn_session *s, uint64_t deadline_ns);

/* ---- ahead.c */
/* Does evaluating this command here look at the values of its keys? */
bool firn_engine__looks_at_keys(const struct firn_db *db, const struct firn_command *cmd,
                                size_t argc);
void firn_engine__lookahead(void *engine, struct firn_conn *c, const struct firn_command *cmd,
                            size_t argc, const struct firn_slice *argv);
void firn_engine__fetch_ahead(void *engine);
/* Commands about to be executed: load the CPU's cache for them. */
void firn_engine__prefetch(void *engine, struct firn_conn *c, const struct firn_upcoming *command,
                           size_t n);
/* The command at hand is parked; a command was executed to its end. */
void firn_engine__ahead_parked(struct firn_session *s);
void firn_engine__ahead_executed(struct firn_session *s);

/* ---- cmd_transaction.c */
/* Between MULTI and EXEC: is this command one to be queued? Then firn_engine__enqueue does, and
 * answers. */
bool firn_engine__captures(const struct firn_session *s, const struct firn_command *cmd);
void firn_engine__enqueue(struct firn_session *s, size_t argc, const struct firn_slice *argv);
/* A command was refused before exec. */
void firn_engine__rejected(void *engine, struct firn_conn *c, const struct firn_command_entry *e);
/* No MULTI and no WATCH any more. */
void firn_engine__transaction_end(struct firn_session *s);

/* ---- range.c */
struct firn_range_bounds {
    struct firn_slice start, end; /* user keys, end exclusive; empty = unbounded */
    uint8_t ns;
    bool reverse, keys_only;
};
static inline bool firn_engine__range_is_open(const struct firn_session *s)
{
    return s->range.iter != NULL;
}
enum firn_status firn_engine__range_open(struct firn_eval *x,
                                         const struct firn_range_bounds *b) FIRN_MUST_USE;
/* The next live entry; its key is internal. OK, ABSENT, AGAIN, CORRUPT, LIMIT; INVALID, answered:
 * too many for a transaction. */
enum firn_status firn_engine__range_next(struct firn_eval *x, struct firn_entry *out) FIRN_MUST_USE;
void firn_engine__range_close(struct firn_session *s);
/* The walk under way has become long, or lost a table twice: have the view it goes on with kept by
 * the node's pin; one whose view is too old for that begins anew. OK, AGAIN, INVALID (answered). */
enum firn_status firn_engine__range_pin(struct firn_eval *x) FIRN_MUST_USE;
/* A walk that is not pinned met a missing table on a view that was reloaded: OK, it begins anew
 * under a pin. INVALID, answered: it had one, which was lost. */
enum firn_status firn_engine__range_lost(struct firn_eval *x) FIRN_MUST_USE;

/* ---- write.c */
/* The way of every record into the log, a command's or the engine's own: apply n records as one
 * atomic group, in one slot, and tell whoever follows the applied state. Only after admit said OK
 * in the same turn. Gives the slot's number within the epoch and the seqno of the last record. OK:
 * nothing can fail any more. LIMIT: memory or batch-bytes-max, nothing was applied. */
enum firn_status firn_engine__log(struct firn_engine *e, const struct firn_record *rec, size_t n,
                                  uint64_t *slot, uint64_t *seqno) FIRN_MUST_USE;
/* May x write `bytes` of records now? Then x->view is the newest applied state. */
enum firn_status firn_engine__write_ready(struct firn_eval *x, size_t bytes) FIRN_MUST_USE;
/* An upper bound of what the arguments of x can become as records of their own. */
size_t firn_engine__bytes_of_args(const struct firn_eval *x);
/* "-READONLY …" with where the writer is; INVALID. */
enum firn_status firn_engine__refuse_readonly(struct firn_engine *e, struct firn_reply *out);
/* One record, its key and value borrowed: applied at once, or added to the group of x's
 * transaction. INVALID, answered: too much for one group. */
enum firn_status firn_engine__record(struct firn_eval *x,
                                     const struct firn_record *r) FIRN_MUST_USE;
/* One PUT (a DEL where the value is empty and `empty-value deletes`). INVALID: the key or value is
 * too long, answered. */
enum firn_status firn_engine__put(struct firn_eval *x, struct firn_slice user,
                                  struct firn_slice value, uint64_t expiry_ms,
                                  enum firn_event event) FIRN_MUST_USE;
enum firn_status firn_engine__del(struct firn_eval *x, struct firn_slice user,
                                  enum firn_event event) FIRN_MUST_USE;
/* Add to the command's group instead; firn_engine__commit applies it whole. The value is borrowed
 * until then, or to the end of the transaction: an argument, or what a read gave. */
enum firn_status firn_engine__group_put(struct firn_eval *x, struct firn_slice user,
                                        struct firn_slice value, uint64_t expiry_ms,
                                        enum firn_event event) FIRN_MUST_USE;
enum firn_status firn_engine__group_del(struct firn_eval *x, struct firn_slice user,
                                        enum firn_event event) FIRN_MUST_USE;
/* A message to a channel (event PUBLISH) or shard channel (SPUBLISH): one record,
 * in order with the writes around it, delivered by every node when it is durable. INVALID: the
 * channel's name or the message is too long, answered. */
enum firn_status firn_engine__publish(struct firn_eval *x, struct firn_slice channel,
                                      struct firn_slice message,
                                      enum firn_event event) FIRN_MUST_USE;
enum firn_status firn_engine__commit(struct firn_eval *x) FIRN_MUST_USE;
/* INVALID with the error appended when n records of so many bytes are too much for one group. */
enum firn_status firn_engine__check_group(struct firn_eval *x, size_t n,
                                          size_t bytes) FIRN_MUST_USE;
/* Delete [start, end) of internal keys. */
enum firn_status firn_engine__del_range(struct firn_eval *x, struct firn_slice start,
                                        struct firn_slice end) FIRN_MUST_USE;
/* The command writes nothing: answer as a read with F = 0 of the state it was evaluated on
 * (PROTOCOL "Tailing and freshness"). Called before the reply is made. */
enum firn_status firn_engine__noop(struct firn_eval *x) FIRN_MUST_USE;
/* INVALID with the error appended when a value of this length may not be. */
enum firn_status firn_engine__check_value(struct firn_eval *x, uint64_t len) FIRN_MUST_USE;
/* firn_engine__noop, then "-" and the text: an error that follows from the data. */
enum firn_status firn_engine__data_error(struct firn_eval *x, const char *text) FIRN_MUST_USE;
/* firn_engine__noop, then an integer. */
enum firn_status firn_engine__noop_i64(struct firn_eval *x, int64_t v) FIRN_MUST_USE;
/* firn_engine__noop, then null. */
enum firn_status firn_engine__noop_null(struct firn_eval *x) FIRN_MUST_USE;

/* ---- slow.c */
static inline bool firn_engine__is_timed(const struct firn_engine *e, const struct firn_session *s,
                                         const struct firn_command *cmd)
{
    return e->time_all || s->was_parked || (cmd->id & FIRN_TRAIT_LONG);
}
/* A timed command has ended: it kept the loop busy for busy_ns, and was parked for waited_ns (0 =
 * was not) from its arrival on. */
void firn_engine__note_timed(struct firn_eval *x, uint64_t busy_ns, uint64_t waited_ns);
/* The settings changed. */
void firn_engine__slow_settings(struct firn_engine *e);

/* ---- scratch.c */
/* Room for a value of len bytes that begins with `old` (len ≥ old.len); the rest is not filled in.
 * Of one use at a time, good until firn_engine__scratch_done. INVALID with the error appended: such
 * a value may not be. LIMIT. */
enum firn_status firn_engine__scratch(struct firn_eval *x, struct firn_slice old, uint64_t len,
                                      uint8_t **out) FIRN_MUST_USE;
void firn_engine__scratch_done(struct firn_eval *x);

/* ---- engine.c */
/* Hand the server those settings that it keeps for itself. LIMIT: memory. */
enum firn_status firn_engine__settings_changed(struct firn_engine *e) FIRN_MUST_USE;

/* Writes answered -KVUNKNOWN so far. */
static inline uint64_t firn_engine__unknown(const struct firn_engine *e)
{
    const struct firn_server_stats *r = firn_server_stats(e->server);
    return r->expired_writes + r->failed_gates + e->stat.unknown;
}

/* ---- cmd_config.c */
/* Answer that a setting may yet change; INVALID. */
enum firn_status firn_engine__setting_unknown(struct firn_eval *x) FIRN_MUST_USE;

/* ---- cmd_kv_session.c */
/* KV.COST counts from here. */
void firn_engine__cost_reset(struct firn_engine *e);

/* ---- monitor.c */
struct firn_tx;
void firn_engine__executed(void *engine, struct firn_conn *c, struct firn_command_entry *e,
                           size_t argc, const struct firn_slice *argv);
/* EXEC has run these. */
void firn_engine__monitor_queued(struct firn_session *s, const struct firn_tx *tx);
void firn_engine__monitor_off(struct firn_session *s);

/* ---- info.c */
/* The node's memory; all zero where a test has none. */
/* What is remembered for clients between commands (FIRN_BUDGET_REMEMBERED). Its owners keep to the
 * lesser of `limit` and their part of the share, and say so when what they hold has changed. */
enum firn_remembered {
    FIRN_REMEMBERED_SUBSCRIPTIONS, /* further ones are refused */
    FIRN_REMEMBERED_TRACKED,       /* the oldest are invalidated */
    FIRN_REMEMBERED_CURSORS,       /* the least recently used go */
    FIRN_REMEMBERED_EXPIRING,      /* the rest stays in the index */
    FIRN_REMEMBERED_KINDS,
};
uint64_t firn_engine__remembered_max(const struct firn_engine *e, enum firn_remembered kind,
                                     uint64_t limit);
void firn_engine__remembered(struct firn_engine *e);
const struct firn_budget *firn_engine__budget(const struct firn_engine *e);
enum firn_status firn_engine__info(struct firn_engine *e, struct firn_slice section,
                                   struct firn_buf *out) FIRN_MUST_USE;
/* ---- commands_table.c */
/* The engine's commands; one table, from which COMMAND, docs/COMMANDS.md and dispatch come. */
const struct firn_command *firn_engine__commands(size_t *n);
/* Subcommands of the resp room's CLIENT that the engine executes. */
const struct firn_command *firn_engine__client_commands(size_t *n);

#endif
