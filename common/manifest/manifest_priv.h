/* The node's insides, shared by manifest.c (handles, what a new manifest means), read.c (reads) and
 * commit.c (the commit machine, creation included). */
#ifndef FIRN_MANIFEST_MANIFEST_PRIV_H
#define FIRN_MANIFEST_MANIFEST_PRIV_H

#include "manifest/commit.h"

#define FIRN_MANIFEST__GETS 4 /* GETs under way at most; later reads wait for one to end */

/* One decoded manifest, shared by all replies that showed it. */
struct firn_manifest_doc {
    Firn__Manifest *pb;
    unsigned refs;
};

/* A GET and the reads that share it: all were submitted before it was sent. */
struct firn_manifest__get {
    struct firn_store_op op;
    struct firn_manifest_node *node;
    struct firn_list reads;
    struct firn_manifest *base; /* newest when it was sent (referenced), or NULL */
    bool busy;
};

enum firn_manifest__state {
    FIRN_COMMIT_IDLE,  /* nothing under way; perhaps waiting for the interval */
    FIRN_COMMIT_READ,  /* reading what to build on */
    FIRN_COMMIT_COPY,  /* putting the copy to manifest-log/ */
    FIRN_COMMIT_SWAP,  /* putting `manifest` */
    FIRN_COMMIT_LOOK,  /* reading what became of it */
    FIRN_COMMIT_PAUSE, /* waiting before `after_pause` */
};

struct firn_manifest__commit {
    enum firn_manifest__state state, after_pause;
    struct firn_list queued;             /* intents not proposed yet */
    struct firn_list batch;              /* intents of the proposal under way */
    struct firn_manifest_create *create; /* instead of intents */
    struct firn_defer turn;
    struct firn_timer timer;
    struct firn_store_op op;
    struct firn_manifest_read look;
    bool looking;
    struct firn_manifest *base; /* what the proposal builds on (referenced); NULL: nothing */
    Firn__Manifest *next;       /* the proposal */
    struct firn_buf body;       /* its bytes */
    struct firn_id proposed;    /* nonce of the newest proposal */
    char log_name[FIRN_NAME_MAX];
    bool maybe_sent;      /* a PUT of this proposal may have landed, or may yet */
    bool lost_race;       /* the batch was proposed before and lost: no interval to wait for */
    uint64_t last_put_ns; /* boot clock, of the last PUT of `manifest`; 0 = none yet */
    bool landed;          /* a reply said that it is the manifest */
    unsigned pauses;      /* of this proposal */
    unsigned refusals;    /* of this proposal: 412 or 404 */
};

struct firn_manifest__hold {
    uint64_t epoch; /* 0 = not held */
    struct firn_id nonce;
    bool lost, told;
};

struct firn_manifest_node {
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_manifest_options options;
    uint32_t name_rate;
    struct firn_manifest *newest; /* referenced */
    enum firn_status failed;      /* not OK: this process must not go on; failed_err says why */
    struct firn_err failed_err;

    struct firn_list waiting; /* reads without a GET */
    struct firn_manifest__get get[FIRN_MANIFEST__GETS];
    unsigned damaged; /* replies in a row that were no manifest */
    struct firn_defer read_turn;
    struct firn_timer read_timer; /* the earliest deadline of a read */

    struct firn_manifest__hold hold[3]; /* by enum firn_role */
    struct firn_defer fenced_turn;
    struct firn_defer broken_turn;

    struct firn_manifest__commit commit;

    bool stopping;
    void (*stopped)(void *arg);
    void *stopped_arg;
    struct firn_defer stop_turn;
};

/* --- manifest.c */
/* A handle for a decoded manifest, which it takes over (freed on failure too). NULL when memory is
 * short. */
struct firn_manifest *firn_manifest__handle(Firn__Manifest *pb, const char *etag,
                                            const struct firn_store_op *op, bool read_back);
/* Another handle for the document of m, as another reply showed it. */
struct firn_manifest *firn_manifest__again(struct firn_manifest *m, const struct firn_store_op *op);
/* A manifest was seen, by a request sent when `before` (may be NULL) was the newest. OK: it is the
 * newest now, or equal to it; CONFLICT: an older one that an earlier request met, to be thrown
 * away; otherwise this process must stop, and n->failed says so. */
enum firn_status firn_manifest__install(struct firn_manifest_node *n, struct firn_manifest *m,
                                        const struct firn_manifest *before);
/* Note that this process must not go on. Returns n->failed. */
enum firn_status firn_manifest__fail(struct firn_manifest_node *n, enum firn_status st,
                                     const struct firn_err *err);
bool firn_manifest__holds(const struct firn_manifest_node *n, enum firn_role role);
/* Call stopped() soon if all is quiet. */
void firn_manifest__settle(struct firn_manifest_node *n);

/* --- read.c */
void firn_manifest__reads_init(struct firn_manifest_node *n);
void firn_manifest__reads_stop(struct firn_manifest_node *n);
bool firn_manifest__reads_idle(const struct firn_manifest_node *n);

/* --- commit.c */
void firn_manifest__commit_init(struct firn_manifest_node *n);
void firn_manifest__commit_stop(struct firn_manifest_node *n);
bool firn_manifest__commit_idle(const struct firn_manifest_node *n);
void firn_manifest__commit_deinit(struct firn_manifest_node *n);

/* --- build.c: making proposals, pure but for the nonce they are given */
/* A copy of base as its next version. NULL when memory is short. */
Firn__Manifest *firn_manifest__successor(const Firn__Manifest *base, const struct firn_id *nonce);
/* The first manifest of a new database; `dropped` is what lies there now, or NULL. */
Firn__Manifest *firn_manifest__first(const struct firn_manifest_create *c,
                                     const Firn__Manifest *dropped, const struct firn_id *db,
                                     const struct firn_id *nonce);

#endif
