/* Ready-made intents. Each struct begins with the intent; the user fills in the inputs, sets
 * base.done and base.arg, and submits with the function; results are in base (commit.h). Inputs are
 * borrowed until done(). */
#ifndef FIRN_MANIFEST_INTENTS_H
#define FIRN_MANIFEST_INTENTS_H

#include "manifest/commit.h"
#include "manifest/edit.h"

/* Claim a role. Applied iff epoch and process nonce are ours. OK: `epoch` is the one claimed; then
 * call firn_manifest_hold. CONFLICT: `wanted` said no; another claimed after a claim of ours that
 * may have landed; or the database is dropped. */
struct firn_claim_intent {
    struct firn_intent base;
    struct firn_claim claim;
    /* Is there still a reason for the claim in `m`, which it would replace? Asked for every
     * manifest that the claim is built on; with base.arg. NULL: whoever holds the role. */
    bool (*wanted)(void *arg, const Firn__Manifest *m);
    uint64_t epoch; /* out; while under way: the epoch of the newest proposal */
};
void firn_manifest_claim(struct firn_manifest_node *n, struct firn_claim_intent *it);

/* Release a held role: process nonce emptied. Applied iff the epoch is ours and the nonce empty.
 * The node stops holding the role when it is applied. */
struct firn_release_intent {
    struct firn_intent base;
    enum firn_role role;
    uint64_t epoch;
};
void firn_manifest_release(struct firn_manifest_node *n, struct firn_release_intent *it);

/* Flush, as the held writer. Applied iff floor >= end. */
struct firn_flush_intent {
    struct firn_intent base;
    struct firn_flush flush;
};
void firn_manifest_flush(struct firn_manifest_node *n, struct firn_flush_intent *it);

/* Compaction, as the held compactor. Applied iff its inputs are gone. */
struct firn_compaction_intent {
    struct firn_intent base;
    struct firn_compaction compaction;
};
void firn_manifest_compaction(struct firn_manifest_node *n, struct firn_compaction_intent *it);

/* Merge the partition that starts at `start` with its right neighbour, as the held compactor.
 * Applied iff no partition starts where the neighbour did. */
struct firn_partition_merge_intent {
    struct firn_intent base;
    struct firn_slice start;     /* of the left one */
    struct firn_slice neighbour; /* start of the right one */
};
void firn_manifest_partition_merge(struct firn_manifest_node *n,
                                   struct firn_partition_merge_intent *it);

/* Give up adopted tables, as the held compactor. Applied iff none is adopted any more. */
struct firn_unadopt_intent {
    struct firn_intent base;
    const struct firn_table_name *names;
    size_t count;
};
void firn_manifest_unadopt(struct firn_manifest_node *n, struct firn_unadopt_intent *it);

/* The writer undertakes another heartbeat, as the held writer. Applied iff it has the value. */
struct firn_heartbeat_intent {
    struct firn_intent base;
    uint64_t heartbeat_kept_ms;
};
void firn_manifest_heartbeat(struct firn_manifest_node *n, struct firn_heartbeat_intent *it);

/* Raise kept (0,0: leave it) and forget deleted garbage, as the held compactor. Applied iff kept is
 * at or behind it and none of the names is left in garbage. */
struct firn_collect_intent {
    struct firn_intent base;
    struct firn_place kept;
    const struct firn_table_name *deleted;
    size_t ndeleted;
};
void firn_manifest_collect(struct firn_manifest_node *n, struct firn_collect_intent *it);

/* What people ask for needs no role, and others may ask for the opposite at any time: it is applied
 * iff its id is among the manifest's `recent_wishes`, or, before it was first proposed, if what it
 * asks for is so. That holds unless FIRN_WISHES_MAX others are committed while it is uncertain. */
#define FIRN_WISHES_MAX 16
struct firn_wish { /* private */
    uint64_t id;
    bool proposed;
};

/* Add or drop a checkpoint. */
struct firn_checkpoint_intent {
    struct firn_intent base;
    struct firn_wish wish;
    struct firn_checkpoint_add add; /* drop: its id alone */
    bool drop;
};
void firn_manifest_checkpoint_commit(struct firn_manifest_node *n,
                                     struct firn_checkpoint_intent *it);

/* Change a (C) setting. */
struct firn_setting_intent {
    struct firn_intent base;
    struct firn_wish wish;
    const char *name, *value;
};
void firn_manifest_setting(struct firn_manifest_node *n, struct firn_setting_intent *it);

/* firnctl promote: wish that `node_id` takes over ("" = no wish). */
struct firn_promote_intent {
    struct firn_intent base;
    struct firn_wish wish;
    const char *node_id;
};
void firn_manifest_promote(struct firn_manifest_node *n, struct firn_promote_intent *it);

/* firnctl upgrade: raise the format of the database to `format`, which is known (format/version.h);
 * needs no role. Applied iff it is there or higher. Older programs stop when they read this. */
struct firn_upgrade_intent {
    struct firn_intent base;
    uint16_t format;
};
void firn_manifest_upgrade(struct firn_manifest_node *n, struct firn_upgrade_intent *it);

/* Drop the database, as the held writer (after a take-over). Applied iff the state is dropped. */
void firn_manifest_drop(struct firn_manifest_node *n, struct firn_intent *it);

#endif
