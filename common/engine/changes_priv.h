/* KV.CHANGES: the durable changes behind a position of the log, read from the log itself. A page is
 * gathered by a walker that outlives parks: it GETs slots from the position on, up to the place
 * that this node knows durable, and takes what it finds in log order. Loop thread only. */
#ifndef FIRN_ENGINE_CHANGES_PRIV_H
#define FIRN_ENGINE_CHANGES_PRIV_H

#include "format/token.h"
#include "log/seals.h"
#include "log/slots.h"
#include "manifest/manifest.h"
#include "resp/reply.h"

struct firn_engine;
struct firn_session;

#define FIRN_CHANGES_WALKERS_MAX 32 /* under way at once on a node */
#define FIRN_CHANGES_COUNT 1000     /* changes of a page, unless COUNT says otherwise */
#define FIRN_CHANGES_COUNT_MAX 100000
#define FIRN_CHANGES_BYTES (1u << 20) /* a page ends behind the group that reaches this */
#define FIRN_CHANGES_AHEAD_BYTES ((size_t)4 << 20) /* of slots fetched ahead */

struct firn_changes {
    struct firn_engine *e;
    struct firn_session *s; /* NULL: gone, and only the read under way keeps this */
    struct firn_slots *slots;
    struct firn_token from; /* the position asked for */
    struct firn_token next; /* behind what was taken */
    struct firn_place end;  /* where it stops: nothing from there on is known durable */
    struct firn_buf prefix; /* MATCH */
    uint64_t count_max;
    uint64_t group; /* seqno of the mark that began the group at hand; 0 = none */
    uint64_t count;
    struct firn_reply rows;
    bool verified; /* the position is known to lie before its epoch's seal */
    bool done;
    enum firn_status status; /* done: OK; ABSENT: the position was collected; INVALID: it lies
                                behind a seal; as the store and the log say */
    struct firn_err err;
    /* the seal or the empty slot that waits for a manifest */
    struct firn_place stop;
    bool stop_is_seal, reading;
    struct firn_manifest_read read;
};

/* What the node's walkers share. */
struct firn_changes_shared {
    unsigned walkers;
    struct firn_seals seals; /* the seals that they believed */
    uint64_t slots_read;
};

/* Let go of a walker; NULL-safe. */
void firn_engine__changes_free(struct firn_changes *w);

#endif
