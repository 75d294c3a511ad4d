/* Inside the simulation of a cluster: nodes and chaos (cluster_sim.c), clients and what they check
 * (cluster_client.c), expired events (cluster_expiry.c), subscribers (cluster_feed.c). */
#ifndef FIRN_TESTS_SIM_CLUSTER_SIM_H
#define FIRN_TESTS_SIM_CLUSTER_SIM_H

#include "testing.h"
#include "base/mem.h"
#include "compactor/compactor_core.h"
#include "conf/conf.h"
#include "format/id.h"
#include "format/place.h"
#include "format/record.h"
#include "reader/reader_core.h"
#include "unit/resp_fake_net.h"
#include "writer/writer_core.h"
#define CLIENTS 10
#define GROUPS 3 /* of each client: two keys that are written together */
#define NODES_MAX 128
#define QUEUE_MAX 24
#define GRAVES_MAX 64
#define WRITES_MAX 8192 /* of a group in a run */
#define ACKS_MAX 64
#define RUN_NS (100 * FIRN_SEC)
#define CALM_NS (20 * FIRN_SEC)
#define SETTLE_NS (120 * FIRN_SEC)
#define FRESH_NS (1 * FIRN_SEC) /* the other freshness */
#define SEEDS_DEFAULT 12
#define SIM_EXPIRING 6      /* of each client: keys with times to live … */
#define SIM_TTL_MAX_MS 4000 /* … of so much at most */

enum role { ROLE_WRITER, ROLE_READER, ROLE_COMPACTOR };

struct node {
    struct sim *x;
    enum role role;
    struct fake net;
    struct firn_store *store;
    struct firn_settings settings;
    struct firn_obs obs;
    union {
        struct firn_writer *writer;
        struct firn_reader *reader;
        struct firn_compactor *compactor;
    } core;
    bool serving, ending, over, freed, standby; /* standby: it was started as one */
    unsigned n;
};

enum op_kind {
    OP_SETUP,
    OP_SET,
    OP_DEL,
    OP_READ,
    OP_INCR,
    OP_INCR_READ,
    OP_SETNX,
    OP_UNSET,
    OP_EXPIRING,
    OP_PUBLISH
};

struct op {
    enum op_kind kind;
    unsigned client, group; /* whose */
    uint64_t n;             /* SET, DEL: its number */
    uint64_t floor;         /* READ: what must be seen */
};

/* A group of keys as its only writer knows it: write n is a SET of the number n or a DEL. */
struct group {
    uint64_t sent, acked, seen;
    uint8_t is_del[WRITES_MAX / 8];
    struct {
        uint64_t at_ns, n;
    } ack[ACKS_MAX]; /* a ring */
    size_t acks;
};

struct client {
    struct sim *x;
    unsigned id;
    struct node *node; /* connected to, or NULL */
    struct firn_sock *sock;
    uint64_t freshness_ns;
    struct op queue[QUEUE_MAX];
    size_t head, tail;
    size_t sent; /* of the queue's bytes, all or nothing: ops [head, sent) were handed over */
    struct firn_buf out;
    uint64_t next_ns;
    struct group group[GROUPS];
    uint64_t incr_min, incr_max; /* what its counter may be */
    int unique;                  /* its SETNX key: 0 absent, 1 there, -1 not known */
};

/* A socket whose client has gone; its node is to hear of that, and closes it. */
struct grave {
    struct node *node;
    struct firn_sock *sock;
    bool told;
};

/* What the log says of keys that expire. */
struct sim_expiry {
    struct firn_id db;
    struct sim_slot {
        struct firn_place place;
        struct firn_buf body;
    } * slot; /* every slot that landed, by place */
    size_t slots;
    struct firn_place at; /* read up to here */
    struct sim_value {
        uint64_t seqno, expiry_ms; /* of the newest value; 0: none */
    } value[CLIENTS][SIM_EXPIRING];
    uint64_t expired; /* records of kind EXPIRED */
};

#define SIM_SUBSCRIBERS 6
#define SIM_MESSAGES_MAX 32768

/* One subscription, from its connection to the loss of that. */
struct sim_sub {
    struct node *node;
    struct firn_sock *sock; /* NULL: not connected */
    uint64_t asked_ns, confirmed_ns, until_ns;
    uint64_t sent_before; /* messages sent before its confirmation came */
    uint64_t *got;        /* their numbers */
    size_t n, cap;
};

struct sim_feed {
    uint64_t sent, delivered;
    uint64_t acked_ns[SIM_MESSAGES_MAX]; /* by number; 0: not known to be published */
    uint64_t log[SIM_MESSAGES_MAX];      /* numbers, in the log's order */
    size_t logged;
    struct sim_sub sub[SIM_SUBSCRIBERS];
    struct sim_sub *past; /* those that got something */
    size_t npast;
};

struct sim {
    uint64_t seed;
    struct grave grave[GRAVES_MAX];
    struct firn_fake_world *w;
    struct node *node[NODES_MAX];
    unsigned nodes;
    struct client client[CLIENTS];
    struct sim_expiry expiry;
    struct sim_feed feed;
    uint64_t chaos_ns, thaw_ns;
    uint64_t heartbeat_ns; /* 0: no standbys */
    struct node *frozen, *cut;
    bool calm; /* no more chaos, clients only read */
    uint64_t acked, reads, fresh_reads, conditions, unknown, refused, fences, starts, takeovers;
};

uint64_t sim_rnd(struct sim *x, uint64_t n);
uint64_t sim_now_ns(const struct sim *x);
void sim_wrong(const struct sim *x, const struct client *c, const char *what, uint64_t got,
               uint64_t want);
void sim_bury(struct sim *x, struct node *n, struct firn_sock *sock);
struct node *sim_pick(struct sim *x, enum role role);
void sim_client_connect(struct client *c);
void sim_client_lost(struct client *c);
void sim_client_step(struct client *c);
void sim_client_replies(struct client *c);
struct op *sim_enqueue(struct client *c, enum op_kind kind);
void sim_say(struct client *c, const char *fmt, ...) FIRN_PRINTF(2, 3);
void sim_client_deliver(struct client *c);
void sim_write_expiring(struct client *c);
void sim_expiry_begin(struct sim *x);
void sim_expiry_check_end(struct sim *x);
void sim_expiry_end(struct sim *x);
void sim_publish(struct client *c);
void sim_published(struct client *c, uint64_t n);
void sim_feed_record(struct sim *x, const struct firn_record *r);
void sim_feed_step(struct sim *x);
void sim_feed_check_end(struct sim *x);
void sim_feed_end(struct sim *x);

#endif
