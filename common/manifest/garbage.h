/* What may be deleted: the rules of PROTOCOL "Garbage collection", pure. A pass is: LIST objects ->
 * read the manifest M -> LIST and read pins -> look at each object -> delete. All times are of the
 * collector's own monotonic clock; what was seen when is remembered by a struct
 * firn_garbage_collector from pass to pass, and lost with it (a new one waits anew). */
#ifndef FIRN_MANIFEST_GARBAGE_H
#define FIRN_MANIFEST_GARBAGE_H

#include "manifest/manifest.h"

struct firn_garbage_collector;

struct firn_garbage_options {
    uint64_t table_grace_ns;
    uint64_t pin_ttl_ns;
    size_t objects_max; /* objects remembered at most; further ones wait for a later pass; 0 = 1
                           million */
};

/* What one LIST or GET showed of an object whose age counts (pins, probe, jobs, nodes,
 * manifest-log). */
struct firn_seen {
    struct firn_slice name;
    struct firn_slice etag; /* any bytes that change when the object is written */
};

/* A pin: an observation, and the version it names. */
struct firn_pin_seen {
    struct firn_seen seen;
    bool readable;    /* its body was read and is of this database */
    uint64_t version; /* then: the version it pins; otherwise it counts as pinning everything until
                         it is dead */
};

enum firn_verdict {
    FIRN_KEEP,
    FIRN_DELETE,
};

/* LIMIT when memory is short. */
enum firn_status firn_garbage_create(const struct firn_garbage_options *o,
                                     struct firn_garbage_collector **out) FIRN_MUST_USE;
void firn_garbage_free(struct firn_garbage_collector *c); /* NULL-safe */

/* Begin a pass with M (read back: asserted), the manifest copies of all M's checkpoints in any
 * order (any one missing: nothing in garbage and no copy is deleted in this pass), the manifest-log
 * nonces on the parent chain as far as the caller walked it, and the pins. All borrowed until the
 * pass ends. The objects to be judged were listed before M was asked for. LIMIT: memory; the pass
 * then deletes nothing. */
struct firn_chain_link {
    uint64_t version;
    struct firn_id nonce;
    bool in_history; /* within the history window or named by a checkpoint */
};
struct firn_pass {
    const struct firn_manifest *m;
    const Firn__Manifest *const *checkpoints;
    size_t ncheckpoints;
    const struct firn_pin_seen *pins;
    size_t npins;
    const struct firn_chain_link *chain; /* without M itself */
    size_t nchain;
    bool chain_whole; /* it reaches back to where history ends: the rest is old or off it */
    uint64_t now_ns;
};
enum firn_status firn_garbage_begin(struct firn_garbage_collector *c,
                                    const struct firn_pass *p) FIRN_MUST_USE;

/* May this object, listed before M was read, be deleted now? Names that are no Firn names, other
 * databases' included, are kept. `is_seal` of a slot: its listed size is FIRN_SEAL_BYTES. `busy`: a
 * role holder M names, or a job under way, owns this jobs/ or nodes/ object. */
enum firn_verdict firn_garbage_judge(struct firn_garbage_collector *c,
                                     const struct firn_seen *object, bool is_seal, bool busy);
/* Forget what this pass did not meet. */
void firn_garbage_end(struct firn_garbage_collector *c);

/* How far kept may be raised: the floor, or what checkpoints in the history window and feeds
 * (place; NULL = none) need. */
struct firn_place firn_garbage_kept_max(const Firn__Manifest *m, const struct firn_place *feed);

#endif
