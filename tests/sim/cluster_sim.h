/* Inside the simulation of a cluster: what the seed chooses (cluster_choose.c), a run from begin to
 * end (cluster_seed.c), nodes (cluster_node.c), chaos (cluster_chaos.c), what the store shows
 * (cluster_store.c), clients (cluster_client.c), SCAN (cluster_scan.c), an operator
 * (cluster_operator.c), expired events (cluster_expiry.c), subscribers (cluster_feed.c). */
#ifndef FIRN_TESTS_SIM_CLUSTER_SIM_H
#define FIRN_TESTS_SIM_CLUSTER_SIM_H

#include "base/mem.h"
#include "compactor/compactor_core.h"
#include "conf/conf.h"
#include "fakes/fake_env.h"
#include "fakes/fake_net.h"
#include "fakes/fake_strike.h"
#include "format/id.h"
#include "format/manifest_codec.h"
#include "format/place.h"
#include "format/record.h"
#include "reader/reader_core.h"
#include "sim/cluster_runner.h"
#include "sim/history.h"
#include "sim/witness.h"
#include "writer/writer_core.h"

#include <stdlib.h>

#define CLIENTS_MAX 10
#define NODES_MAX 128
#define QUEUE_MAX 64
#define SIM_WALL_OFF_MS 2000 /* a node's clock at its start, either way, at most */
#define SETTLE_NS (180 * FIRN_SEC)
#define SIM_KEYS 16         /* k00 … k15 */
#define SIM_EXPIRING 6      /* of each client: keys with times to live … */
#define SIM_TTL_MAX_MS 4000 /* … of so much at most */

enum role { ROLE_WRITER, ROLE_READER, ROLE_COMPACTOR, ROLE_OPERATOR };

struct operator; /* cluster_operator.c */

/* What the seed chooses for the whole run. */
struct sim_choice {
    uint64_t run_ns, calm_ns; /* with chaos and writes; without, before everything is looked at */
    unsigned clients, subscribers, readers;
    uint64_t think_ns;           /* of a client between two bursts, at most */
    uint64_t chaos_ns;           /* between two strikes, most of the time */
    uint64_t fresh_ns;           /* the freshness of clients that do not ask for 0 */
    uint64_t heartbeat_ns;       /* 0: no standbys */
    uint64_t late_max_ns;        /* how late a write may land */
    uint32_t drift_ppm;          /* of a node's clock, at most */
    uint64_t jump_ms;            /* of a node's wall clock, at most; 0: it never jumps */
    bool events;                 /* expired events are asked for */
    struct firn_settings common; /* what all nodes share */
};

struct node {
    struct sim *x;
    enum role role;
    struct firn_fake_node *fake;
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_settings settings;
    struct firn_obs obs;
    union {
        struct firn_writer *writer;
        struct firn_reader *reader;
        struct firn_compactor *compactor;
        struct operator* operator;
    } core;
    bool serving, ending, over, freed, standby; /* standby: it was started as one */
    unsigned n, machine;                        /* machine: the number of the first node on it */
    /* It is to be killed at a call to the store: how many are left, and whether that one is still
     * to take effect. */
    unsigned dies_in;
    bool dies_after, dies_now;
};

/* What is to be done with a reply, beyond what the history takes of it. */
enum sim_what {
    SIM_PLAIN,    /* an operation of the history */
    SIM_NOTHING,  /* +OK, +QUEUED: part of another, or of no interest */
    SIM_PUBLISH,  /* n: the message's number */
    SIM_SNAPSHOT, /* KV.SNAPSHOT OPEN */
    SIM_TOKEN,    /* KV.TOKEN */
    SIM_CHANGES,  /* KV.CHANGES; n: the seqno behind which it begins */
    SIM_TRACKING, /* CLIENT TRACKING ON */
    SIM_TRACKED,  /* GET of key n by a connection that tracks */
    SIM_WATCHED,  /* GET of a watched key: what EXEC must find */
    SIM_SCAN,     /* a page */
    SIM_EXEC,     /* the EXEC that begins with that GET */
    SIM_ONCE      /* KV.BATCH ID: again until its outcome is known */
};

/* Sent and not yet answered. */
struct sim_sent {
    enum sim_what what;
    uint32_t op; /* of the history, SIM_NO_OP: none */
    uint64_t n;
};
#define SIM_NO_OP UINT32_MAX

/* A SCAN from its first page on. */
struct sim_scan {
    bool under_way, asked; /* asked: the next page */
    uint64_t cursor, freshness_ns, from_ns, to_ns;
    uint32_t keys; /* that were returned; bit i: of SIM_KEYS */
};

struct client {
    struct sim *x;
    unsigned id;
    struct node *node; /* connected to, or NULL */
    struct firn_fake_conn *conn;
    struct firn_buf in, out; /* not yet parsed; not yet sent */
    struct hist_who who;
    struct sim_sent queue[QUEUE_MAX];
    size_t head, tail;
    uint64_t wake_ns; /* it thinks then; other wake-ups are old ones */
    uint64_t heard_ns;
    bool looks;                           /* it looks at the end, and does nothing by itself */
    uint64_t values;                      /* written so far: all are different */
    uint64_t snapshot, snapshot_until_ns; /* of this node; 0: none */
    char changes[96];                     /* where its next KV.CHANGES begins, "": nowhere */
    struct sim_scan scan;
    uint32_t watched; /* SIM_WATCHED: its value's id */
    bool watched_known, watch_failed;
    bool resp3;  /* it only reads */
    bool tracks; /* CLIENT TRACKING: it only reads, and remembers */
    struct sim_cached {
        bool known;
        uint32_t value; /* id, 0: nil */
    } cache[SIM_KEYS];
    struct {
        uint32_t op; /* SIM_NO_OP: none */
        uint64_t give_up_ns;
        char text[256];
    } once; /* a batch with an ID whose outcome is not known */
};

/* What each manifest that was committed says of the values below its floor. */
struct sim_expiry {
    struct sim_claim {
        struct firn_place floor;
        uint64_t expired_to_ms;
    } * claim;
    size_t claims, claims_cap;
};

#define SIM_SUBSCRIBERS_MAX 3
#define SIM_MESSAGES_MAX 32768

/* One subscription, from its connection to the loss of that. */
struct sim_sub {
    struct sim *x;
    unsigned id;
    struct node *node;
    struct firn_fake_conn *conn; /* NULL: not connected */
    struct firn_buf in;
    uint64_t asked_ns, confirmed_ns, until_ns;
    uint64_t sent_before; /* messages sent before its confirmation came */
    uint64_t *got;        /* their numbers */
    size_t n, cap;
};

struct sim_feed {
    uint64_t sent;
    uint64_t acked_ns[SIM_MESSAGES_MAX]; /* by number; 0: not known to be published */
    uint64_t log[SIM_MESSAGES_MAX];      /* numbers, in the log's order */
    size_t logged;
    struct sim_sub sub[SIM_SUBSCRIBERS_MAX];
    struct sim_sub *past; /* those that got something */
    size_t npast;
};

/* Bodies of tables by name, for ever: hashes of both, open addressing. */
struct sim_bodies {
    struct sim_body {
        uint64_t name, body; /* name 0: free */
    } * slot;
    size_t cap, n;
};

/* What is in the store, and has been. */
struct sim_store {
    Firn__Manifest *manifest; /* the one that is there, NULL: none yet */
    struct firn_id db;        /* its */
    struct sim_bodies tables;
    uint64_t changed_ns; /* when the manifest last changed */
};

struct sim {
    const struct sim_spec *spec;
    struct sim_result *r; /* what is counted goes there at once */
    struct sim_choice choice;
    struct hist hist;
    struct witness witness;
    struct sim_page {
        uint64_t from; /* seqno */
        uint32_t op;
    } * page; /* of KV.CHANGES that were answered */
    size_t pages, pages_cap;
    struct sim_scan *scan; /* that came to their end */
    size_t scans, scans_cap;
    uint32_t sessions;
    char token[96]; /* the newest that a client was given, "": none */
    FILE *trace;    /* NULL: none */
    struct firn_fake_world *w;
    struct node *node[NODES_MAX];
    unsigned nodes;
    bool ended_one; /* a node ended: it is to be freed */
    struct client client[CLIENTS_MAX];
    struct sim_expiry expiry;
    struct sim_feed feed;
    struct sim_store store;
    struct node *frozen, *cut, *split, *denied;
    uint64_t look_ns; /* for garbage, next */
    bool calm;        /* no more chaos, clients only read */
    enum { SIM_GOES_ON, SIM_SERVING_ENDS, SIM_ALL_END } ending; /* what is not started any more */
    void *look[NODES_MAX];                                      /* who looked at the end */
    size_t looks;
};

#define SIM_COUNT(x, name) ((x)->r->count[SIM_##name]++)

/* The property is broken, or the simulation is: says where and when, and ends the process. */
_Noreturn void sim_fail(const struct sim *x, const char *fmt, ...) FIRN_PRINTF(2, 3);
/* The simulation itself must hold. */
#define SIM_MUST(x, e)                                                                             \
    do {                                                                                           \
        if (!(e))                                                                                  \
            sim_fail(x, "%s:%d: %s", __FILE__, __LINE__, #e);                                      \
    } while (0)
void *sim_alloc(size_t size); /* zeroed; never NULL */
uint64_t sim_rnd(struct sim *x, uint64_t n);
uint64_t sim_now_ns(const struct sim *x);

/* ---- cluster_choose.c */
void sim_choose(struct sim *x, struct firn_fake_options *world);
void sim_choice_free(struct sim_choice *c);
/* The settings of one more node. */
void sim_settings(struct sim *x, struct firn_settings *s, bool standby, const char *node_id);

/* ---- cluster_node.c */
struct node *sim_node_start(struct sim *x, enum role role, bool standby);
/* The next process on the machine of one that was killed, under its node-id. */
struct node *sim_node_restart(struct sim *x, struct node *old, bool rebooted);
/* Its core has ended: it is freed soon. */
void sim_node_over(struct node *n);
/* Another wall clock, another rate. */
void sim_set_clock(struct node *n);
/* kill -9: what it has sent may land, nothing more is; its clients hear nothing. */
void sim_node_kill(struct node *n);
/* SIGTERM. */
void sim_node_stop(struct node *n);
void sim_node_free(struct node *n);
void sim_nodes_reap(struct sim *x);
bool sim_node_lives(const struct node *n);
/* One of those that live, NULL: none. */
struct node *sim_pick(struct sim *x, enum role role, bool serving);
unsigned sim_count(const struct sim *x, enum role role);

/* ---- cluster_operator.c: firnctl promote, firnctl set; each a process that ends */
void sim_operator_promote(struct sim *x);
void sim_operator_set(struct sim *x);
struct operator* sim_operator_new(struct node *n);
void sim_operator_stop(struct operator* o);
void sim_operator_free(struct operator* o);

/* ---- cluster_chaos.c */
void sim_chaos_begin(struct sim *x);
void sim_mend(struct sim *x);
bool sim_frozen(const struct node *n);
/* Start what is missing, now and from time to time. */
void sim_keep_up(struct sim *x);
/* Hooks: a request is sent; one of this node took effect. */
void sim_on_request(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                    struct firn_fake_plan *plan);
void sim_took_effect(struct sim *x, unsigned node);

/* ---- cluster_store.c */
void sim_store_begin(struct sim *x);
/* Wait until nothing is left that nothing names. */
void sim_store_check_end(struct sim *x);
void sim_store_end(struct sim *x);

/* ---- cluster_client.c */
void sim_client_begin(struct client *c, struct sim *x, unsigned id);
void sim_client_end(struct client *c);
/* Connected, with an answer to everything it asked. */
bool sim_client_idle(const struct client *c);
bool sim_client_dial(struct client *c, struct node *n);
/* Hang up: what was not answered is of unknown outcome. */
void sim_client_lose(struct client *c);
/* One command, as a line; as one operation of the history, as one of none. Room for it is the
 * caller's to see to. */
uint32_t sim_ask(struct client *c, enum sim_what what, uint64_t n, const char *fmt, ...)
    FIRN_PRINTF(4, 5);
void sim_tell(struct client *c, enum sim_what what, uint64_t n, const char *fmt, ...)
    FIRN_PRINTF(4, 5);
/* MULTI, the commands (lines), EXEC: one operation. */
uint32_t sim_ask_exec(struct client *c, enum sim_what what, const char *const *line, size_t lines);
/* Send again what belongs to operation `op`. */
void sim_ask_again(struct client *c, enum sim_what what, uint32_t op, const char *line);
/* Bytes that were asked leave now. */
void sim_client_flush(struct client *c);
void sim_client_wake(struct client *c, uint64_t after_ns);

/* ---- cluster_work.c: what clients do */
/* A client with nothing on its way: a burst of commands, another node, or a rest. */
void sim_work(struct client *c);
/* A push came: of what it cached something is no longer so. */
void sim_pushed(struct client *c, const char *push, size_t len);
/* A reply came (to_history: an operation's, taken by the history already). */
void sim_replied(struct client *c, const struct sim_sent *s, const char *reply, size_t len);
/* At the end: read everything on this node, at freshness 0. */
void sim_work_final(struct client *c);

/* ---- cluster_history.c: what all clients did, against the log */
void sim_history_begin(struct sim *x);
/* A page of KV.CHANGES behind `from` was answered. */
void sim_history_page(struct sim *x, uint64_t from, uint32_t op);
void sim_history_check_end(struct sim *x);
void sim_history_end(struct sim *x);

/* ---- cluster_scan.c */
/* The next page of the client's SCAN; its reply. */
void sim_scan(struct client *c);
void sim_scanned(struct client *c, const char *reply, size_t len);
void sim_scan_check_end(struct sim *x, struct check_report *r);

/* ---- cluster_expiry.c */
void sim_expiry_manifest(struct sim *x, const Firn__Manifest *m);
void sim_expiry_check_end(struct sim *x);
void sim_expiry_end(struct sim *x);

/* ---- cluster_feed.c */
/* The number of a message to publish; SIM_MESSAGES_MAX: no more. */
uint64_t sim_publish(struct sim *x);
void sim_published(struct sim *x, uint64_t n);
void sim_feed_begin(struct sim *x);
void sim_feed_check_end(struct sim *x);
void sim_feed_end(struct sim *x);

#endif
