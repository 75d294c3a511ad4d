/* Snapshots and long walks: views that are kept although the database goes on. A snapshot is a view
 * (its tables pinned in the store, its memtables referenced) and a seqno; the node that opened it
 * holds it, for no longer than its time to live, whatever becomes of the connection. Its id is this
 * node's alone. Loop thread only. */
#ifndef FIRN_ENGINE_SNAPSHOT_PRIV_H
#define FIRN_ENGINE_SNAPSHOT_PRIV_H

#include "lsm/view.h"
#include "manifest/pins.h"

struct firn_engine;
struct firn_eval;
struct firn_session;

#define FIRN_SNAPSHOTS_MAX 1000
#define FIRN_SNAPSHOT_TTL_MS 60000              /* unless OPEN names another */
#define FIRN_SNAPSHOT_TTL_MS_MAX (24 * 3600000) /* a day */
#define FIRN_SNAPSHOT_MEMORY_SHARE 8            /* of `memory`, for memtables only they hold */
#define FIRN_SNAPSHOT_ENDS_KEPT 64              /* why the last ones ended, for who still asks */

/* A read that names the same seqno for more than one turn: range tombstones it must see stay apart
 * (firn_engine_held_seqnos). */
struct firn_seqno_hold {
    struct firn_list link; /* in engine->holds */
    uint64_t seqno;
};

/* A place under the node's pin, and the wait for it. */
struct firn_pinned {
    struct firn_pin_hold hold;
    struct firn_session *session; /* to be resumed when the hold changes; NULL = nobody waits */
    uint64_t ticket;              /* of the probe begun for the view it needs; 0 = none */
};

struct firn_snapshot {
    struct firn_list link; /* in firn_snapshots.open, oldest first */
    struct firn_engine *e;
    uint64_t id;
    struct firn_pinned pin;
    struct firn_view *view;      /* our reference */
    struct firn_seqno_hold hold; /* the state is all up to its seqno */
    uint64_t now_ms;             /* what had expired then is hidden, what had not is there */
    uint64_t ends_ns;            /* boot clock */
};

enum firn_snapshot_end {
    FIRN_SNAPSHOT_CLOSED,
    FIRN_SNAPSHOT_EXPIRED, /* its time to live passed */
    FIRN_SNAPSHOT_LOST,    /* its pin was lost, or a table of it */
    FIRN_SNAPSHOT_MEMORY,  /* the oldest, when memory ran short */
    FIRN_SNAPSHOT_ENDS,    /* how many there are */
};

struct firn_snapshots {
    struct firn_list open;
    size_t count;
    uint64_t bytes;   /* of memtables that only snapshots hold, as last counted */
    uint64_t next_id; /* begins at random: ids of an earlier process are unknown */
    struct firn_timer timer;
    struct {
        uint64_t id;
        enum firn_snapshot_end why;
    } ended[FIRN_SNAPSHOT_ENDS_KEPT]; /* ring */
    uint64_t nended;
    uint64_t ended_by[FIRN_SNAPSHOT_ENDS], opened;
};

void firn_engine__snapshots_init(struct firn_engine *e);
/* Close all, silently. */
void firn_engine__snapshots_clear(struct firn_engine *e);

/* The version of a view's manifest; 0 where it has none. */
uint64_t firn_engine__view_version(const struct firn_view *v);
/* Hold the node's pin: OK, and views of p->hold.version and newer ones keep their tables as long as
 * it is held. AGAIN: parked for it. INVALID: parked too long, answered. ABSENT: it could not be
 * had, p->hold.err says why. */
enum firn_status firn_engine__pin_hold(struct firn_eval *x, struct firn_pinned *p) FIRN_MUST_USE;
/* Let x->view be the database's view under the node's pin: OK, and its tables stay as long as `p`
 * is held. AGAIN: parked for it. INVALID: could not be had, answered. Two round trips where this
 * node has no pin, none where it has one. */
enum firn_status firn_engine__pin_view(struct firn_eval *x, struct firn_pinned *p) FIRN_MUST_USE;
void firn_engine__unpin(struct firn_pinned *p);

/* Open one of x->view at x->max_seqno, which s->opening has pinned; it is s's no more. LIMIT:
 * memory. */
struct firn_snapshot *firn_engine__snapshot_open(struct firn_eval *x, uint64_t ttl_ms);
/* The snapshot of this id; NULL with an error appended, which says why it ended if that is known.
 */
struct firn_snapshot *firn_engine__snapshot_find(struct firn_eval *x, struct firn_slice id);
void firn_engine__snapshot_end(struct firn_snapshot *s, enum firn_snapshot_end why);
/* Evaluate x at the snapshot that argv[i] names: view, seqno and time are its. INVALID: there is no
 * such one, answered. */
enum firn_status firn_engine__read_at(struct firn_eval *x, size_t i) FIRN_MUST_USE;
/* A table of the snapshot that this session reads was gone: it ends. INVALID, answered. */
enum firn_status firn_engine__snapshot_gone(struct firn_eval *x);
/* The pin, for INFO and metrics. */
const struct firn_pins_stats *firn_engine__pins_stats(const struct firn_engine *e);

#endif
