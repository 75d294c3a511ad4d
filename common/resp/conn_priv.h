/* Inside of connections and the server, shared by the files of this room. */
#ifndef FIRN_RESP_CONN_PRIV_H
#define FIRN_RESP_CONN_PRIV_H

#include "base/list.h"
#include "resp/parse.h"
#include "resp/server.h"

#define FIRN_PEER_MAX 64
#define FIRN_CLIENT_WORD_MAX 1024 /* longest client name, library name, library version */

/* Adjacent replies held by equal gates: bytes start … end of the connection's output stream. */
struct firn_held {
    uint64_t start, end;
    uint64_t slot, probe;
    uint64_t deadline_ns;
    uint32_t count; /* replies */
    enum firn_gate_kind kind;
};

/* FIFO ring of held replies, in stream order. */
struct firn_held_ring {
    struct firn_held *at;
    size_t cap, head, n; /* cap is 0 or a power of two */
};

/* Commands of the connection at hand, parsed ahead (conn_batch.c). */
#define FIRN_BATCH_MAX 16
struct firn_batch {
    struct firn_parser parser[FIRN_BATCH_MAX];
    struct firn_upcoming command[FIRN_BATCH_MAX];
    unsigned n, next; /* command[next … n) are to be executed */
    bool exhausted;   /* what follows is for the connection's own parser */
};

enum firn_conn_closing {
    FIRN_CONN_OPEN,
    FIRN_CONN_CLOSE_FLUSH, /* when everything owed was sent */
    FIRN_CONN_CLOSE_NOW,
};

struct firn_conn {
    struct firn_list link;   /* server->conns, by id */
    struct firn_list dirty;  /* server->dirty: has something to send */
    struct firn_list ready;  /* server->ready: execute at the end of the turn */
    struct firn_list gated;  /* server->gated: has held replies */
    struct firn_list doomed; /* server->doomed: close at the end of the turn */
    struct firn_server *srv;
    struct firn_sock *sock;
    uint64_t id;

    /* --- input. query holds what could not be executed out of the socket's own buffer; the command
     * under way (incomplete, parked or waiting for room in the output) begins at query_at. */
    struct firn_parser parser;
    struct firn_buf query;
    size_t query_at;
    size_t command_bytes; /* of the command executed last, or parked */
    size_t ahead_at;      /* first byte of query not shown to lookahead */
    unsigned ahead_n;     /* commands shown to lookahead and not executed since */
    uint64_t arrival_ns;
    struct firn_command_entry *cmd; /* being executed or executed last */

    /* --- output: out.buf[0] is byte out_base of the stream; bytes before `sent` have left. */
    struct firn_reply out;
    size_t sent;
    uint64_t out_base;
    size_t mark; /* index into out.buf where the reply of the current exec begins */
    struct firn_held_ring held;
    uint64_t held_slot_max;

    uint64_t created_ns, active_ns, closing_ns;
    size_t accounted_bytes;
    size_t charged_bytes; /* firn_conn_charge */
    void *session;
    char *name, *lib_name, *lib_ver; /* NULL = none */
    enum firn_conn_closing closing;
    uint8_t db;
    bool authenticated;
    bool loopback; /* it comes from this machine */
    bool in_exec;
    bool parked;     /* the command at query_at waits for firn_conn_resume */
    bool paused;     /* it is parked by CLIENT PAUSE */
    bool incomplete; /* what is left of the query is less than a command */
    bool retry;      /* the next command executed is the one that was parked */
    bool capture;
    bool reading; /* the socket delivers data */
    bool blocked; /* the socket takes nothing until writable() */
    bool reply_off, reply_skip, reply_skip_next;
    bool subscriber;       /* listens to pub/sub */
    bool pushing;          /* what is being executed answers by pushes */
    uint64_t over_soft_ns; /* a subscriber's unsent bytes are above the soft limit since; 0 = not */
    bool no_evict, no_touch, capa_redirect;
    char peer[FIRN_PEER_MAX];
    const char *local; /* "ip:port" of the listener */
};

struct firn_server_listener {
    struct firn_listener l;
    struct firn_server *srv;
    struct firn_list link;
    bool closed;
    char local[FIRN_PEER_MAX];
};

/* How near the clients are to their share of memory. */
enum firn_pressure {
    FIRN_PRESSURE_NONE,
    FIRN_PRESSURE_HIGH, /* half of it: nobody goes on who holds much */
    FIRN_PRESSURE_FULL, /* all of it: nobody goes on until the largest are closed */
};

struct firn_server {
    const struct firn_env *env;
    const struct firn_handler *handler;
    struct firn_server_options opt;
    struct firn_parse_limits limits; /* of an authenticated connection */
    char *requirepass;               /* owned; NULL = none */
    char *redis_version, *mode;      /* owned */
    struct firn_registry *registry;
    struct firn_server_stats stats;
    struct firn_error_stats errors;

    struct firn_list listeners;
    struct firn_list conns, dirty, ready, gated, doomed;
    struct firn_parser ahead; /* scratch of lookahead */
    struct firn_batch batch;  /* scratch of whichever connection executes */
    uint64_t next_id;
    uint64_t durable_slot, probe_done;
    struct firn_defer turn;         /* end of the loop turn */
    struct firn_timer expire_timer; /* runs while replies are held */
    struct firn_timer clock_timer;  /* once a second while there are connections */
    bool loading;
    bool watched; /* handler->executed is called */
    enum firn_pressure pressure;
    bool pressure_changed; /* relieve() has to tell the connections */

    /* Time is charged to commands in runs of equal ones: one clock reading per run. */
    struct firn_command_entry *run_cmd;
    uint64_t run_from_ns;

    bool pausing, pause_all;
    uint64_t pause_until_ns;
    struct firn_timer pause_timer;

    bool draining;
    struct firn_timer drain_timer;
    void (*drain_done)(void *arg);
    void *drain_arg;
};

/* --- conn.c: life, input, execution */

/* A new connection on sock; NULL when memory is short. */
struct firn_conn *firn_conn__create(struct firn_server *s, struct firn_sock *sock, const char *peer,
                                    const char *local);
/* Bounds of its buffers, from the server's options. */
void firn_conn__set_limits(struct firn_conn *c);
/* Gone at once. Only from the end of the turn or when the server is freed. */
void firn_conn__destroy(struct firn_conn *c);
/* The socket's callbacks. */
void firn_conn__data(void *arg, const uint8_t *data, size_t len);
void firn_conn__writable(void *arg);
void firn_conn__closed(void *arg);
/* Execute what lies in the query buffer, the parked command first. */
void firn_conn__process(struct firn_conn *c);
/* Start or stop reading as the state asks for, and account for the buffers. */
void firn_conn__settle(struct firn_conn *c);
/* Queue for firn_conn__process at the end of the turn. */
void firn_conn__make_ready(struct firn_conn *c);
/* Does it stand still because it has much of a command that is not whole, and memory is short? */
bool firn_conn__stalled(const struct firn_conn *c);
/* Are there bytes to be executed and nothing in the way? */
bool firn_conn__runnable(const struct firn_conn *c);

/* --- conn_batch.c: commands parsed ahead. begin before the first command of a stretch of input;
 * next as firn_parser_next, where data and len are always what was not executed yet. */
void firn_conn__batch_begin(struct firn_conn *c);
enum firn_parse firn_conn__batch_next(struct firn_conn *c, const struct firn_parse_limits *limits,
                                      const uint8_t *data, size_t len, struct firn_upcoming *out);

/* --- output.c: sending and holding */

/* Send what may be sent. */
void firn_conn__flush(struct firn_conn *c);
/* Bytes that may leave and have not; bytes that are held or queue behind held ones. */
size_t firn_conn__sendable(const struct firn_conn *c);
size_t firn_conn__withheld(const struct firn_conn *c);
/* Let go of the held replies whose gates are open now. */
void firn_conn__release(struct firn_conn *c);
/* Replace held replies for which text(arg, held) gives a text by that error, once per reply. */
size_t firn_conn__replace(struct firn_conn *c,
                          struct firn_slice (*text)(void *arg, const struct firn_held *h),
                          void *arg);
void firn_conn__held_clear(struct firn_conn *c);
/* Close a subscriber that is beyond its output limits. */
void firn_conn__limit_subscriber(struct firn_conn *c);

/* --- server.c */

/* Something is to be done at the end of the turn. */
void firn_server__kick(struct firn_server *s);
/* Clients hold so many bytes more than before (or, wrapping around, fewer). */
void firn_server__account(struct firn_server *s, size_t more);
/* Charge the time since the last call to the command before, and go on for e (NULL = nothing runs).
 */
void firn_server__charge(struct firn_server *s, struct firn_command_entry *e);
/* Must this command wait for the end of CLIENT PAUSE? */
bool firn_server__pauses(const struct firn_server *s, const struct firn_command *cmd);
void firn_server__pause(struct firn_server *s, uint64_t ms, bool all);
void firn_server__unpause(struct firn_server *s);

/* --- conn_commands.c, conn_client.c: commands of this room, `fn` of their table entries */
typedef void firn_conn_command_fn(struct firn_conn *c, size_t argc, const struct firn_slice *argv);
extern const struct firn_command firn_conn__commands[];
extern const size_t firn_conn__ncommands;
#define FIRN_CLIENT_COMMANDS 18 /* a constant: the table above holds it in a static initialiser */
extern const struct firn_command firn_conn__client_commands[FIRN_CLIENT_COMMANDS];
/* What of c only the handler knows. */
void firn_conn__describe(struct firn_conn *c, struct firn_conn_describe *d);
/* CLIENT SETNAME's work: false and an error reply when the name is not fit. */
bool firn_conn__set_name(struct firn_conn *c, struct firn_slice name);

#endif
