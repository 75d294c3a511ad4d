/* CLIENT TRACKING: which connections may hold which keys in a cache of their own, and telling them
 * when a key has changed. Loop thread only.
 *
 * A connection is told at the latest when a record that changes the key is durable, from the feed
 * of the log (feed_priv.h): a reader tails it, the writer is told of its own slots. An APPLIED
 * connection of the writer reads what is not durable yet, and is told when it is applied. What a
 * connection read is remembered with the newest seqno of the state it was read from, so that no
 * record which that state already held is told again. */
#ifndef FIRN_ENGINE_TRACKING_PRIV_H
#define FIRN_ENGINE_TRACKING_PRIV_H

#include "base/hashtab.h"
#include "engine/feed_priv.h"

struct firn_engine;
struct firn_eval;
struct firn_session;

#define FIRN_TRACKING_PREFIXES_MAX 64 /* of one connection */
#define FIRN_TRACKING_CHANNEL "__redis__:invalidate"

/* A connection's choices. Zero-initialised: off. */
struct firn_track {
    struct firn_list link;  /* in firn_tracking.sessions while on */
    struct firn_list keys;  /* struct firn_tracked_by.of_session */
    struct firn_list notes; /* struct firn_track_note.of_session */
    bool on, bcast, optin, optout, noloop;
    bool caching;         /* CLIENT CACHING was said for the next command */
    bool broken_redirect; /* the connection redirected to is gone */
    uint64_t redirect;    /* its id; 0 = none */
    struct firn_buf prefix[FIRN_TRACKING_PREFIXES_MAX]; /* BCAST; one empty = all */
    size_t nprefix;
    bool applied;           /* BCAST: it is told at apply, from … */
    uint64_t applied_since; /* … the record of this seqno on */
};

/* Writes of connections that do not want to hear of their own, until they are durable. */
struct firn_own_write {
    uint64_t first, last; /* seqnos */
    uint64_t conn;        /* id */
};

/* What a connection is to be told at the end of the turn: nothing may be pushed to a connection
 * while one executes a command. */
struct firn_track_note {
    struct firn_list of_all, of_session;
    struct firn_session *s;
    bool all; /* that anything may have changed */
    size_t len;
    uint8_t key[];
};

struct firn_tracking {
    struct firn_engine *e;
    bool outside;           /* of every command: what is to be told is told at once */
    struct firn_list notes; /* struct firn_track_note.of_all, in order */
    struct firn_defer tell_defer;
    uint64_t seed;
    struct firn_hashtab keys; /* struct firn_tracked */
    struct firn_list order;   /* struct firn_tracked, the one remembered longest first */
    size_t entries;           /* pairs of key and connection */
    size_t bytes;             /* of both */
    struct firn_list sessions;
    struct firn_feed_listener listener;
    struct firn_session *writing; /* whose records are being applied; NULL = the engine's own */
    struct firn_own_write *own;   /* ring */
    size_t own_cap, own_head, own_n;
    uint64_t told, evicted, flushes;
};

void firn_engine__tracking_init(struct firn_engine *e);
/* When every session is closed. */
void firn_engine__tracking_clear(struct firn_tracking *t);
void firn_engine__track_init(struct firn_track *k);
/* Forget all about this connection. */
void firn_engine__track_off(struct firn_session *s);

/* A command that reads was evaluated to its end: remember its keys where the connection tracks. */
void firn_engine__track_read(struct firn_eval *x);
/* A command was executed: what CLIENT CACHING said of it is over. */
void firn_engine__track_executed(struct firn_eval *x);
/* n records were applied, the last of them with this seqno. */
void firn_engine__track_applied(struct firn_tracking *t, const struct firn_record *rec, size_t n,
                                uint64_t last);
/* A key was found expired, which no record says: whoever holds it is told. */
void firn_engine__track_expired(struct firn_tracking *t, struct firn_slice key);

#endif
