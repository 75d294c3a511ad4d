/* Shared by the compactor's files: compactor_core.c (states, polling), compactor_inputs.c and
 * compactor_merge.c (one compaction job), compactor_gc.c and compactor_look.c (a pass of garbage
 * collection), compactor_memory.c (what may be held). */
#ifndef FIRN_COMPACTOR_PRIV_H
#define FIRN_COMPACTOR_PRIV_H

#include "compactor/compactor_core.h"
#include "lsm/planner.h"
#include "manifest/intents.h"
#include "obs/budget.h"

enum compactor_state {
    COMPACTOR_NEW,
    COMPACTOR_PROVING,
    COMPACTOR_OPENING,
    COMPACTOR_CLAIMING,
    COMPACTOR_WORKING,
    COMPACTOR_RELEASING,
    COMPACTOR_ENDING,
    COMPACTOR_ENDED,
};

struct compactor_merge;
struct compactor_gc;

struct firn_compactor {
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_settings *settings;
    struct firn_obs *obs;
    struct firn_compactor_user user;
    struct firn_compactor_stats stats;
    struct firn_collector metrics;
    struct firn_budget budget;

    enum compactor_state state;
    bool stop_asked;
    enum firn_compactor_end how;
    struct firn_err err;
    unsigned pending; /* callbacks that are still to come, while ending */
    struct firn_defer end_defer;

    struct firn_manifest_node *mnode;
    struct firn_manifest *manifest; /* newest known, referenced; NULL before the first */
    struct firn_id nonce;           /* of this process */
    uint64_t epoch;
    uint16_t format; /* of the database when the epoch was claimed: what we write */
    struct firn_os_dialect dialect;
    Firn__Dialect dialect_pb;
    uint64_t next_number; /* of the next table */
    struct firn_claim_intent claim;
    struct firn_release_intent release;

    struct firn_manifest_read read;
    bool reading;
    struct firn_timer wake_timer, stop_timer;
    uint64_t poll_ns;     /* time between polls now */
    uint64_t poll_at_ns;  /* mono clock, as all below */
    uint64_t retry_at_ns; /* mono clock: no job before, after one failed */

    struct compactor_merge *merge; /* under way, or NULL */
    struct compactor_gc *gc;       /* remembers ages from pass to pass */
    bool collecting;
    uint64_t gc_at_ns;   /* mono clock: when the next pass is due */
    uint64_t settled_ns; /* mono clock: when something that graces wait for last happened */
};

/* Divide `memory` as the settings ask, the manifest's included: metadata and names (PINNED), blocks
 * on their way and waiting to be merged (FETCHES), tables built and uploaded (TABLES). INVALID: it
 * is too little; err names the least. */
enum firn_status firn_compactor__divide_memory(struct firn_compactor *c,
                                               struct firn_err *err) FIRN_MUST_USE;
/* How many sources, flushes and runs, a job may merge. */
size_t firn_compactor__sources_max(const struct firn_compactor *c);
/* The bytes of a source's next GET that let `sources` of them go on within what TABLES and the
 * metadata leave of `memory`; a block that is larger alone has room, too. INVALID: they cannot. */
enum firn_status firn_compactor__chunk_bytes(const struct firn_compactor *c, size_t sources,
                                             size_t *out, struct firn_err *err) FIRN_MUST_USE;

/* Something this compactor waits for while ending has come. */
void firn_compactor__settled(struct firn_compactor *c);
/* Look what to do next: a job, a pass, a wait, the end. */
void firn_compactor__work(struct firn_compactor *c);
/* Take a manifest as the newest; ours: this process committed it. */
void firn_compactor__take_manifest(struct firn_compactor *c, struct firn_manifest *m, bool ours);
void firn_compactor__fail(struct firn_compactor *c, enum firn_status s, const struct firn_err *err,
                          const char *doing);

/* Run the job `plan` (taken over) on c->manifest; firn_compactor__merged follows on the loop.
 * LIMIT: memory; then the plan is cleared and nothing follows. */
enum firn_status firn_compactor__merge_start(struct firn_compactor *c,
                                             struct firn_plan *plan) FIRN_MUST_USE;
void firn_compactor__merge_cancel(struct firn_compactor *c);
/* The end of a job: OK: committed (`m`, borrowed); else why not. */
void firn_compactor__merged(struct firn_compactor *c, enum firn_status s,
                            const struct firn_err *err, struct firn_manifest *m);

enum firn_status firn_compactor__gc_create(struct firn_compactor *c) FIRN_MUST_USE;
void firn_compactor__gc_free(struct firn_compactor *c);
/* Begin a pass; firn_compactor__collected follows on the loop. */
void firn_compactor__gc_start(struct firn_compactor *c);
void firn_compactor__gc_cancel(struct firn_compactor *c);
/* How a pass ended. */
struct compactor_pass {
    enum firn_status status;
    struct firn_err err;
    size_t deleted; /* objects */
    bool raised;    /* kept went up */
    bool waiting;   /* something is left that a later pass may delete: garbage, pins, notes */
};
void firn_compactor__collected(struct firn_compactor *c, const struct compactor_pass *p);
/* Time between passes, and the longest of the graces. */
uint64_t firn_compactor__gc_interval_ns(const struct firn_compactor *c);
uint64_t firn_compactor__grace_ns(const struct firn_compactor *c);

#endif
