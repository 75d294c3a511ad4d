/* The manifest as a process knows it: reading it (here) and changing it (commit.h). Loop thread
 * only. */
#ifndef FIRN_MANIFEST_MANIFEST_H
#define FIRN_MANIFEST_MANIFEST_H

#include "base/list.h"
#include "format/manifest_codec.h"
#include "store/store.h"

/* One reply that showed the manifest: immutable, reference-counted. Replies that show the same
 * version share one struct behind `pb`. */
struct firn_manifest {
    const Firn__Manifest *pb; /* well-formed: firn_manifest_check holds */
    struct firn_id db, nonce; /* copies of pb's, for convenience */
    uint64_t version;
    struct firn_place floor, kept;
    char etag[FIRN_OS_ETAG_MAX];
    uint64_t asked_at_ns; /* boot clock: before the request that showed it was sent */
    uint64_t got_at_ns;   /* boot clock: when its reply had come */
    int64_t date_ms;      /* the store's Date of that reply, 0 = none */
    bool read_back; /* read, not merely written by us (garbage collection goes by what was read) */
    unsigned refs;  /* private */
    struct firn_manifest_doc *doc; /* private */
};

void firn_manifest_ref(struct firn_manifest *m);
void firn_manifest_unref(struct firn_manifest *m); /* NULL-safe; frees with the last */

struct firn_manifest_node; /* one per process and database */

struct firn_manifest_options {
    uint64_t interval_ns; /* `manifest-interval`: least time between commits; 0 = 1 s */
    uint64_t
        attempt_ns; /* how long a commit's PUT is tried before `manifest` is looked at; 0 = 5 s */
    /* The role named to firn_manifest_hold is no longer ours: stop it. Called once per hold, on the
     * loop, from within no call of this room. NULL: nobody listens. */
    void (*fenced)(void *arg, enum firn_role role);
    /* This process must not go on: the manifest went back to an older one or is gone, another
     * database lies here, or it has a format or a feature that this program lacks; err (borrowed)
     * says which. Called at most once, on the loop, from within no call of this room, whoever's
     * request met it. NULL: nobody listens. */
    void (*broken)(void *arg, const struct firn_err *err);
    void *arg;
};

/* Create over a store. env and store must outlive it. LIMIT when memory is short. */
enum firn_status firn_manifest_node_create(const struct firn_env *env, struct firn_store *store,
                                           const struct firn_manifest_options *o,
                                           struct firn_manifest_node **out) FIRN_MUST_USE;
/* Nothing may be under way: firn_manifest_node_stop first. NULL-safe. Manifests that are still
 * referenced live on. */
void firn_manifest_node_free(struct firn_manifest_node *n);
/* End all that is under way soon: reads give TRANSIENT, intents not yet sent TRANSIENT, sent ones
 * UNCERTAIN; later ones too. stopped(arg) is called once, on the loop, when all their callbacks
 * have run; then it may be freed. */
void firn_manifest_node_stop(struct firn_manifest_node *n, void (*stopped)(void *arg), void *arg);

/* The newest manifest seen; NULL before the first. Borrowed: take a reference to keep it. */
struct firn_manifest *firn_manifest_newest(const struct firn_manifest_node *n);

/* A read, embedded in its user. Zero-initialise, set done and arg, submit; leave it alone until
 * done(), which comes exactly once, never inside. Statuses: OK: `manifest` is one whose request was
 * sent after the submission; ABSENT: there is no manifest, and this process has never seen one;
 * INVALID: another database's id, a format or feature that this program lacks (err names it), or a
 * request that the store does not take (firn_manifest_for_good tells which);
 * CORRUPT: damaged, against its rules, or gone back to an older version: the store or a person did
 * that; TRANSIENT, UNCERTAIN: the deadline passed, or cancelled; DENIED, LIMIT: as the store says.
 * After another id or a manifest that went back, every later read and commit gives the same error.
 */
struct firn_manifest_read {
    uint64_t deadline_ns; /* boot clock; 0 = none */
    void (*done)(struct firn_manifest_read *r);
    void *arg;
    enum firn_status status;
    struct firn_err err;
    struct firn_manifest
        *manifest; /* OK: owned by the node until done() returns; take a reference to keep it */
    struct firn_list link; /* private, as all below */
    bool cancelled;
};

/* Ask for the manifest as it is now or later: one GET (If-None-Match once one is known), shared by
 * all reads that were submitted in the same turn of the loop. */
void firn_manifest_read(struct firn_manifest_node *n, struct firn_manifest_read *r);
/* Ask that it end soon; done() still comes. Harmless when it is not under way. */
void firn_manifest_read_cancel(struct firn_manifest_node *n, struct firn_manifest_read *r);

/* Say which role this process holds since its claim was seen applied: intents of that role are
 * FENCED, and fenced() is called, once a manifest shows another epoch or process nonce. Epoch 0
 * gives the role up (released). */
void firn_manifest_hold(struct firn_manifest_node *n, enum firn_role role, uint64_t epoch,
                        const struct firn_id *process_nonce);

/* Is the end s of a read for good, so that this process must not go on? CORRUPT is, and whatever
 * options.broken tells of. What else a read can give says something of the store as it is now, not
 * of the manifest, and passes: DENIED, LIMIT, and an INVALID that is the store's own (a proxy's
 * 400, a bucket's name that is gone). At a start, where nothing has been read yet, it is for the
 * caller to say what wrong settings look like. */
bool firn_manifest_for_good(const struct firn_manifest_node *n, enum firn_status s);
/* Has the store refused what ended with s, or memory run short, and may that pass? */
bool firn_manifest_refused(const struct firn_manifest_node *n, enum firn_status s);

/* The manifest went back, or is gone: what was read here before is not what lies in the store. */
bool firn_manifest_went_back(const struct firn_manifest_node *n);

/* Tell the node how often the store allows writes of one name (dialect; 0 = no limit). */
void firn_manifest_set_name_rate(struct firn_manifest_node *n, uint32_t name_writes_per_sec);

#endif
