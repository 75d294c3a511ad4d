/* Inside the fake world: what fake_env.c (time, nodes), fake_store.c (objects, requests) and
 * fake_tree.c (sorted names) share. */
#ifndef FIRN_TESTS_FAKES_FAKE_PRIV_H
#define FIRN_TESTS_FAKES_FAKE_PRIV_H

#include "fakes/fake_env.h"
#include "fakes/fake_net.h"
#include "fakes/fake_strike.h"

#include "base/assert.h"
#include "env/disk.h"
#include "env/net.h"

#include <stdio.h>

/* ---- memory that cannot fail and is not counted by base/mem */
void *fake_alloc(size_t size); /* zeroed */
char *fake_strdup(const char *s);
/* firn_heap_push that does not go through base/mem's fault seam. */
void fake_heap_push(struct firn_heap *h, struct firn_heap_node *n, uint64_t key);

/* ---- bytes shared by requests, objects and replies */
struct fake_body {
    unsigned refs;
    size_t len;
    char etag[40]; /* "" until somebody asked: fake_body_etag */
    uint8_t data[];
};
struct fake_body *fake_body_new(const void *data, size_t len);
struct fake_body *fake_body_ref(struct fake_body *b);
void fake_body_unref(struct fake_body *b); /* NULL-safe */
const char *fake_body_etag(struct fake_body *b);

/* ---- a skip list from names to values, in memcmp order */
#define FAKE_TREE_LEVELS 20
struct fake_tree_node {
    char *name;
    void *value;
    struct fake_tree_node *next[];
};
struct fake_tree {
    struct fake_tree_node *head[FAKE_TREE_LEVELS];
    size_t count;
};
struct fake_tree_node *fake_tree_find(const struct fake_tree *t, const char *name);
/* The first one ≥ name (or > name, if behind). */
struct fake_tree_node *fake_tree_seek(const struct fake_tree *t, const char *name, bool behind);
struct fake_tree_node *fake_tree_next(const struct fake_tree_node *n);
/* The value's place for name; a new one holds NULL. */
void **fake_tree_put(struct fake_tree *t, const char *name);
/* Unlink and free the node; returns its value, NULL when it is not there. */
void *fake_tree_remove(struct fake_tree *t, const char *name);

/* ---- events */
enum fake_event_kind {
    FAKE_WAKE,
    FAKE_JOB,
    FAKE_CALL,
    FAKE_EFFECT,
    FAKE_REPLY,
    FAKE_OWNED, /* fn(arg), in the node or outside; the event is part of its owner */
};

struct fake_event {
    struct firn_heap_node heap;
    enum fake_event_kind kind;
    struct firn_fake_node *node; /* NULL: none */
    struct firn_list held;       /* in node->held while that is frozen */
    void (*fn)(void *arg);       /* CALL, OWNED */
    void *arg;                   /* JOB: the firn_job; CALL, OWNED; EFFECT, REPLY: the fake_op */
};
void fake_event_init(struct fake_event *e, enum fake_event_kind kind, struct firn_fake_node *node,
                     void (*fn)(void *arg), void *arg);
/* It is to come, or waits for its node to thaw. */
bool fake_event_pending(const struct fake_event *e);
/* (Re-)schedule for a point in virtual time. */
void fake_event_at(struct firn_fake_world *w, struct fake_event *e, uint64_t at_ns);
void fake_event_cancel(struct firn_fake_world *w, struct fake_event *e);

struct fake_rng {
    uint64_t state;
};
uint64_t fake_rng_next(struct fake_rng *r);

/* ---- numbered faults: fake_strike.c */
enum fake_strike_kind {
    FAKE_LOST_BEFORE,
    FAKE_LOST_AFTER,
    FAKE_LATE,
    FAKE_TWICE,
    FAKE_500,
    FAKE_503,
    FAKE_409,
    FAKE_REFUSED,
    FAKE_DENIED,
    FAKE_LOSER_500,
    FAKE_SHORT_READ,
    FAKE_BIT_FLIP,
    FAKE_SLOW,
    FAKE_NET_REFUSED,
    FAKE_NET_RESET,
    FAKE_NET_SLOW,
    FAKE_NET_CHOP,
    FAKE_NET_SILENT,
    FAKE_DISK_TORN,
    FAKE_DISK_ROT,
    FAKE_DISK_READ_ERROR,
    FAKE_DISK_WRITE_ERROR,
    FAKE_DISK_SLOW,
    FAKE_KINDS, /* of the world itself; a scenario's follow */
};

struct fake_kind {
    const char *name;
    struct fake_rng rng;
    uint64_t due, struck;
};

enum fake_rule { FAKE_ALL, FAKE_ONLY, FAKE_BUT };

struct fake_strikes {
    struct fake_kind kind[FIRN_FAKE_KINDS_MAX];
    size_t kinds;
    uint64_t total;
    struct fake_rng rng; /* of the last strike */
    uint64_t *struck;
    size_t struck_count, struck_cap;
    enum fake_rule rule; /* all strike, only those in set, all but those in set */
    uint64_t *set;       /* sorted */
    size_t set_count;
};
void fake_strikes_init(struct firn_fake_world *w);
void fake_strikes_free(struct firn_fake_world *w);
/* firn_fake_strike by number; and its halves, for one choice among several kinds: whether the draw
 * says yes, and whether that yes, which gets the ordinal, is allowed. */
bool fake_strike(struct firn_fake_world *w, size_t kind, uint32_t ppm);
bool fake_due(struct firn_fake_world *w, size_t kind, uint32_t ppm);
bool fake_claim(struct firn_fake_world *w, size_t kind);

struct firn_fake_node {
    struct firn_fake_world *world;
    unsigned index;
    char *prefix;
    struct firn_env env;
    struct firn_objstore store;
    struct fake_rng rng;
    struct firn_heap timers; /* by world time */
    struct firn_list defers;
    struct fake_event wake; /* for the next timer or for defers */
    struct firn_list held;  /* events that came while frozen */
    struct firn_list ops;   /* struct fake_op whose reply is to come */
    struct fake_rng way;    /* of its requests' ways to the store and back */
    uint64_t clock_base_ns; /* what its clock had counted awake at clock_since_ns of world time … */
    uint64_t slept_ns;      /* … and asleep */
    uint64_t clock_since_ns, suspended_at_ns;
    uint64_t wall_base_ns; /* what it had counted before its last reboot */
    uint64_t boot_offset_ns;
    int64_t wall_offset_ms;
    int32_t drift_ppm;
    bool in_turn, frozen, dead, cut, crashed;
    bool if_match_bare; /* as the dialect told to this node's adapter has it */
    struct firn_net net;
    struct firn_list listeners; /* struct fake_listener */
    uint64_t split;             /* client machines that do not reach it, by bit */
    bool suspended, denied;
    struct fake_disk *disk; /* the machine's */
    struct firn_disk disk_port;
    struct firn_list files;    /* struct firn_disk_file */
    struct firn_list disk_ops; /* struct disk_op */
    bool net_gone, net_silent; /* its process is no more; its machine does not say so */
};

struct firn_fake_world {
    struct firn_fake_options opt;
    struct fake_strikes strikes;
    bool down;              /* the store */
    FILE *out;              /* the readable trace, or NULL */
    struct firn_list disks; /* struct fake_disk */
    struct firn_list conns; /* struct firn_sock */
    uint64_t conn_seq;
    size_t conn_count;
    uint16_t port_seq;
    uint64_t now_ns;
    uint64_t trace;
    struct fake_rng rng;
    struct firn_heap events;
    struct firn_fake_node **node;
    size_t nodes;
    struct fake_tree objects; /* struct fake_object */
    struct fake_tree uploads; /* struct fake_upload */
    uint64_t upload_seq;
    struct firn_list held; /* fake_op waiting for release */
    size_t held_count, in_flight;
    uint64_t requests[FIRN_OS_OPS + 1];
    void (*on_request)(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                       struct firn_fake_plan *plan);
    void *on_request_arg;
    void (*on_effect)(void *arg, unsigned node, enum firn_os_op op, const char *name,
                      struct firn_slice body, enum firn_status status);
    void *on_effect_arg;
    void (*on_delete)(void *arg, unsigned node, const char *name, struct firn_slice body);
    void *on_delete_arg;
};

/* Into the hash. `a` says what: below 64 an event kind, 64 … a request's effect, FAKE_TRACE_…. */
void fake_trace(struct firn_fake_world *w, uint64_t a, uint64_t b);
enum {
    FAKE_TRACE_REPLY = 4096,
    FAKE_TRACE_STRIKE = 8192,
    FAKE_TRACE_NET,
    FAKE_TRACE_NODE,
    FAKE_TRACE_DISK
};
/* ---- nodes: fake_node.c */
uint64_t fake_node_mono_ns(const struct firn_fake_node *n);
uint64_t fake_node_boot_ns(const struct firn_fake_node *n);
uint64_t fake_node_wall_ms(const struct firn_fake_node *n);
/* How much true time passes in this much of the node's. */
uint64_t fake_node_world_ns(const struct firn_fake_node *n, uint64_t ns);
/* Set the node's wake event to when it next has something to do: fake_env.c. */
void fake_node_arm(struct firn_fake_node *n);
extern const struct firn_env_vt fake_env_vt;
/* Free an event that will not come any more. */
void fake_event_free(struct fake_event *e);

/* Uniform in [0, n); 0 for n = 0. */
uint64_t fake_below(struct firn_fake_world *w, uint64_t n);

/* ---- the store's side: fake_store.c */
struct fake_object {
    struct fake_body *body;
};

/* What came of a request. */
struct fake_outcome {
    enum firn_status status;
    int http;
    bool slow_down;
    const char *why;
    char etag[FIRN_OS_ETAG_MAX];
    char upload_id[64];
    struct fake_body *body; /* GET: the bytes [from, from + len) of it */
    size_t from, len;
    uint64_t size;
    char **name; /* LIST: whole names */
    uint64_t *name_size;
    size_t names;
    char *next;
    int64_t date_ms;
};

/* A request on its way: a copy of everything it needs, for it may outlive its caller. */
struct fake_op {
    struct fake_event effect, reply;
    struct firn_list in_node; /* node->ops while the reply is to come */
    struct firn_list in_held;
    struct firn_fake_node *node;
    struct firn_os_req *req; /* NULL once it was answered or its caller died */
    enum firn_os_op op;
    enum firn_os_cond cond;
    char *name, *etag, *cursor, *start_after, *upload_id;
    char **list; /* keys or part etags */
    size_t list_count;
    uint32_t part_number;
    uint64_t offset, length, reply_max;
    struct fake_body *body;
    uint64_t draw;                  /* how its fault strikes */
    uint64_t deadline_ns, again_ns; /* again_ns: then a second effect; 0 = none */
    enum firn_fake_fate fate;
    bool lost;      /* no reply will be had */
    bool by_chance; /* its fate was left to the faults */
    bool second;    /* the reply is that of the second effect */
    bool want;      /* the next effect decides the reply */
    struct fake_outcome out;
};

struct fake_object *fake_object_of(const struct firn_fake_world *w, const char *name);
void fake_store_effect(struct firn_fake_world *w, void *op);
void fake_store_free(struct firn_fake_world *w);

/* ---- requests on their way: fake_request.c */
void fake_fail(struct fake_outcome *o, enum firn_status s, int http, const char *why);
void fake_outcome_clear(struct fake_outcome *o);
/* Free the operation once neither an effect nor a reply nor a release can come. */
void fake_op_settle(struct fake_op *op);
void fake_store_init(struct firn_fake_node *n);
void fake_store_reply(struct firn_fake_world *w, void *op);
/* The node died: its requests lose their callers. */
void fake_store_forget(struct firn_fake_node *n);
void fake_store_cut(struct firn_fake_node *n);
void fake_held_free(struct firn_fake_world *w);
/* Free an operation of which only an EFFECT event was left. */
void fake_store_drop_event(void *op, enum fake_event_kind kind);

/* ---- disks: fake_disk.c */
/* of: the disk of the machine, NULL for a new one. */
void fake_disk_init(struct firn_fake_node *n, struct fake_disk *of);
void fake_disk_power_failure(struct firn_fake_node *n);
/* The node died: its requests and open files are gone. */
void fake_disk_forget(struct firn_fake_node *n);
void fake_disk_free_all(struct firn_fake_world *w);

/* ---- the network: fake_net.c */
void fake_net_init(struct firn_fake_node *n);
/* The node's process is gone. `ghost`: its core still runs, and is told of its connections' end. */
void fake_net_gone(struct firn_fake_node *n, bool ghost);
/* The machine of a node that is gone runs again, and says so to those who still talk to it. */
void fake_net_back(struct firn_fake_node *n);
/* The node can be reached again by some. */
void fake_net_resume(struct firn_fake_node *n);
void fake_net_free_node(struct firn_fake_node *n);
void fake_net_free(struct firn_fake_world *w);

#endif
