/* A pass of garbage collection: what compactor_gc.c and compactor_look.c share. */
#ifndef FIRN_COMPACTOR_GC_PRIV_H
#define FIRN_COMPACTOR_GC_PRIV_H

#include "base/arena.h"
#include "compactor/compactor_priv.h"
#include "format/seal.h"
#include "manifest/garbage.h"

#define GC_LISTED_MAX 200000 /* objects of one prefix in a pass; the rest waits for the next */

/* An object that a LIST showed. The name lies in the pass's arena. */
struct gc_object {
    const char *name;
    uint64_t size;
    struct firn_slice etag; /* of those whose changes count */
};

struct gc_single {
    struct compactor_gc *gc;
    struct firn_store_op op;
    size_t at; /* in doomed */
    bool busy;
};

struct compactor_gc {
    struct firn_compactor *c;
    struct firn_garbage_collector *collector;
    bool cancelled;
    struct firn_store_op op;              /* the one request under way … */
    void (*then)(struct compactor_gc *g); /* … and what follows it */
    struct firn_manifest_read read;
    struct firn_manifest *manifest; /* M, referenced */
    struct firn_arena arena;        /* names and ETags of this pass */
    size_t prefix, nlisted, at;
    size_t first_pin;            /* pins lie behind all others in `objects` */
    struct firn_buf objects;     /* struct gc_object each */
    struct firn_buf checkpoints; /* Firn__Manifest * each, owned */
    struct firn_buf pins;        /* struct firn_pin_seen each */
    /* The parent chain behind the newest M walked from, newest first: struct firn_chain_link each.
     */
    struct firn_buf chain;
    bool chain_whole;
    uint64_t parent_version; /* of the last link */
    struct firn_id parent_nonce;
    struct firn_buf doomed;  /* const char * each: names to delete, garbage first */
    struct firn_buf deleted; /* struct firn_table_name each: the garbage among them */
    size_t next_doomed, ndeleted, singles;
    struct gc_single *single; /* single deletes under way */
    struct firn_collect_intent intent;
    bool raised;
};

/* Send one request and go on with `done` (not after a cancel: the pass ends then). */
void firn_compactor__gc_submit(struct compactor_gc *g, enum firn_os_op op, const char *key,
                               void (*done)(struct compactor_gc *g));
void firn_compactor__gc_done(struct firn_store_op *op);
/* End the pass if s is not OK: true then. */
bool firn_compactor__gc_failed(struct compactor_gc *g, enum firn_status s);
void firn_compactor__gc_end(struct compactor_gc *g, enum firn_status s, const struct firn_err *err);
/* Keep an entry of a LIST. LIMIT: memory. */
enum firn_status firn_compactor__gc_note(struct compactor_gc *g, struct firn_buf *to,
                                         const struct firn_os_entry *e) FIRN_MUST_USE;

/* Look at what the verdicts need: checkpoints, history, notes, pins. Ends in
 * firn_compactor__gc_judge. */
void firn_compactor__gc_look(struct compactor_gc *g);
void firn_compactor__gc_judge(struct compactor_gc *g);

#endif
