/* The expirer: while the database asks for expired events, the writer logs EXPIRED for every value
 * whose time has come; that record deletes it and is the event (INTERFACES "Expiry events").
 *
 *   expiry index --scan--> far --soon due--> near --due, value still there--> firn_engine__log
 *   (in the view)           ^                 |  ^
 *   PUTs that expire -------+                 +--+ its blocks are fetched first
 *
 * Memory is bounded: the two heaps hold the next entries of the index, at most FIRN_EXPIRER_MAX,
 * and whatever lies behind `upto` is left in the index until they run low. An entry is only a hint:
 * what counts is the newest applied value when its turn comes, looked at and logged in one step, so
 * that a command that overwrote or persisted the key before has won. Loop thread only. */
#ifndef FIRN_ENGINE_EXPIRER_PRIV_H
#define FIRN_ENGINE_EXPIRER_PRIV_H

#include "base/slice.h"
#include "env/env.h"
#include "format/record.h"
#include "lsm/lsm.h"

#define FIRN_EXPIRER_MAX 32768 /* entries in memory … */
#define FIRN_EXPIRER_BYTES_MAX                                                                     \
    ((uint64_t)16 << 20)      /* … and their bytes, or their part of `memory` */
#define FIRN_EXPIRER_TURN 512 /* entries dealt with per turn of the loop */

struct firn_engine;
struct firn_due; /* an entry of the index, in memory */

struct firn_expirer {
    bool on;
    struct firn_timer timer;
    uint64_t wake_ms;     /* what the timer is set to, by the writer's now */
    struct firn_heap far; /* by time */
    struct firn_heap near;
    uint64_t bytes; /* of the entries */
    /* the index */
    struct firn_buf upto; /* index key: entries before it are in memory, or were dealt with */
    bool complete;        /* … and there is none behind it */
    bool filling;         /* few are left: read on until there are enough */
    struct firn_read scan;
    struct firn_iter *held; /* that noted them */
    bool scanning;          /* blocks of the index are on their way */
    /* blocks of values that are soon due */
    struct firn_read warm;
    bool warming; /* they are on their way */
    size_t cold;  /* entries that miss some */
    /* entries that are due and miss blocks */
    struct firn_due *stuck[FIRN_EXPIRER_TURN];
    size_t nstuck;
    struct firn_read read;
    bool fetching;
    uint64_t reload_ticket; /* an object was gone; 0 = none */
};

void firn_engine__expirer_init(struct firn_engine *e);
/* Stop, and let go of everything. */
void firn_engine__expirer_stop(struct firn_engine *e);
/* A record was logged: one that expires may be the next to do so. O(log n). */
void firn_engine__expirer_note(struct firn_engine *e, const struct firn_record *r);

/* --- expirer_scan.c */
/* Put an entry into memory: `key` is internal and copied. LIMIT: memory. */
enum firn_status firn_engine__expirer_push(struct firn_expirer *x, uint64_t at_ms,
                                           struct firn_slice key) FIRN_MUST_USE;
void firn_engine__expirer_drop(struct firn_expirer *x, struct firn_due *d);
/* Forget every entry; the index is scanned anew from this time on. LIMIT: memory, forgotten all the
 * same: the expirer must stop. */
enum firn_status firn_engine__expirer_rewind(struct firn_expirer *x,
                                             uint64_t from_ms) FIRN_MUST_USE;
/* Is it time to read on in the index? */
bool firn_engine__expirer_wants(struct firn_expirer *x);
/* Take the next entries of the index into memory. OK: as many as one turn may bring, or all there
 * are. AGAIN: blocks were noted in x->scan. LIMIT, CORRUPT: as the index could be read. */
enum firn_status firn_engine__expirer_scan(struct firn_engine *e) FIRN_MUST_USE;
/* Is the key of this time and name in the part of the index that lies in memory? */
bool firn_engine__expirer_covers(const struct firn_expirer *x, uint64_t at_ms,
                                 struct firn_slice key);

/* An entry; in one of the heaps, or stuck. */
struct firn_due {
    struct firn_heap_node node; /* key: ms since 1970 */
    uint32_t len;
    uint8_t key[]; /* internal */
};
static inline struct firn_due *firn_engine__due(struct firn_heap_node *n)
{
    return FIRN_CONTAINER(n, struct firn_due, node);
}
static inline struct firn_slice firn_engine__due_key(const struct firn_due *d)
{
    return firn_slice_of(d->key, d->len);
}

#endif
