/* Edits of manifests: pure functions that change a private copy. Each gives OK; LIMIT when memory
 * is short; CONFLICT when the manifest as it stands does not allow the edit; INVALID when the edit
 * makes no sense. After anything but OK the copy may be half-changed and is to be thrown away. They
 * keep the rules of firn_manifest_check. All inputs are borrowed and copied. */
#ifndef FIRN_MANIFEST_EDIT_H
#define FIRN_MANIFEST_EDIT_H

#include "format/manifest_codec.h"

/* The sub-message of a role. */
Firn__Role *firn_manifest_role(const Firn__Manifest *m, enum firn_role role);
/* Is this epoch and process nonce the manifest's? */
bool firn_manifest_role_is(const Firn__Manifest *m, enum firn_role role, uint64_t epoch,
                           const struct firn_id *process_nonce);

/* --- roles */
struct firn_claim {
    enum firn_role role;
    struct firn_id process_nonce;
    const char *node_id;
    const char *address; /* writer: announced address, "" = none */
    /* compactor: finished outputs of earlier epochs, taken over at or above the watermark this
     * claim replaces (I10); and the new watermark (0 = unchanged) */
    Firn__Table *const *adopt;
    size_t nadopt;
    uint64_t watermark;
    const Firn__Dialect *dialect; /* as this process proved it, or NULL */
};
/* epoch := old + 1, and the rest. A writer undertakes the heartbeat that the settings ask for.
 * Removes a wish that names this node. LIMIT too when epochs are
 * used up. */
enum firn_status firn_edit_claim(Firn__Manifest *m, const struct firn_claim *c,
                                 struct firn_err *err) FIRN_MUST_USE;
/* The process nonce becomes empty; epoch stays. */
enum firn_status firn_edit_release(Firn__Manifest *m, enum firn_role role) FIRN_MUST_USE;
/* The writer undertakes another heartbeat. */
void firn_edit_heartbeat_kept(Firn__Manifest *m, uint64_t ms);

/* --- flush */
struct firn_flush {
    struct firn_place end;  /* the new floor: the first slot not covered */
    uint64_t seqno;         /* newest seqno before `end` (never lowers the manifest's) */
    uint64_t log_time_ms;   /* of the last slot covered (never lowers) */
    uint64_t expired_to_ms; /* 0 = unchanged */
    uint64_t watermark;     /* lowest table number this writer may still commit (never lowers) */
    Firn__Table *const
        *tables;    /* of this writer's epoch, disjoint in keys; none: the floor alone moves */
    size_t ntables; /* their first and end are set here */
};
/* Prepend the tables to L0 and move the floor. Without a table the range joins the newest L0
 * table's, or, L0 being empty, is carried to the next one's (I7). CONFLICT when the floor is
 * already at or behind `end`. */
enum firn_status firn_edit_flush(Firn__Manifest *m, const struct firn_flush *f,
                                 struct firn_err *err) FIRN_MUST_USE;

/* --- compaction */
/* The change of one partition. Input runs must be whole and neighbours in the stack; with L0 inputs
 * they are the newest ones (or none). L0 inputs are all tables of L0 that overlap the partition and
 * that it has not passed, from the oldest up to the newest one named (I7). The outputs, in key
 * order and disjoint, become one run in the inputs' place (none: the inputs vanish), cut at the
 * partition's bounds. Outputs are tables of this compactor epoch at or above its watermark, adopted
 * ones, or ones that are live already (one object, several slices), but none of the
 * part's own run inputs. Without outputs and L0 inputs, the inputs may be any tables: they are
 * dropped. A part without inputs only splits. */
struct firn_compaction_part {
    struct firn_slice start, end; /* the partition, exactly as it is */
    const struct firn_table_name *l0_inputs;
    size_t nl0_inputs;
    const struct firn_table_name *inputs; /* tables of its runs */
    size_t ninputs;
    Firn__Table *const *outputs;
    size_t noutputs;
    const struct firn_slice
        *split; /* new bounds inside (start, end), ascending; 1..64 bytes each */
    size_t nsplit;
};
struct firn_compaction {
    const struct firn_compaction_part *parts;
    size_t nparts;
    uint64_t watermark; /* lowest table number this compactor may still commit (never lowers) */
};
/* Do all parts; then drop from L0's oldest end what every partition it overlaps has passed, and put
 * every table that is no longer referenced (by L0, runs, adopted) into garbage under m's version,
 * which must already be the new one. */
enum firn_status firn_edit_compaction(Firn__Manifest *m, const struct firn_compaction *c,
                                      struct firn_err *err) FIRN_MUST_USE;
/* Are its inputs gone: none is left in the partitions that overlap its parts, and those have passed
 * its L0 inputs? */
bool firn_compaction_applied(const Firn__Manifest *m, const struct firn_compaction *c);
/* Merge the partition that starts at `start` with its right neighbour. CONFLICT when their l0_upto
 * differ. */
enum firn_status firn_edit_partition_merge(Firn__Manifest *m, struct firn_slice start,
                                           struct firn_err *err) FIRN_MUST_USE;
/* Give up adopted tables: they become garbage. Names that are not adopted are ignored. */
enum firn_status firn_edit_unadopt(Firn__Manifest *m, const struct firn_table_name *names,
                                   size_t count) FIRN_MUST_USE;

/* --- collector */
/* kept := place if that raises it. CONFLICT above the floor. */
enum firn_status firn_edit_kept(Firn__Manifest *m, struct firn_place kept,
                                struct firn_err *err) FIRN_MUST_USE;
/* Forget garbage that was deleted. Names that are not in it are ignored. Never fails. */
void firn_edit_garbage_deleted(Firn__Manifest *m, const struct firn_table_name *names,
                               size_t count);

/* --- checkpoints: of the database at the floor of `current`, the version this commit builds on
 * (only what was current when the commit landed is kept: I10) */
struct firn_checkpoint_add {
    const char *id;
    const char *label;   /* free text of at most 255 bytes, NULL = "" */
    const char *source;  /* id of a checkpoint to keep again, NULL = current */
    uint64_t expires_ms; /* by log time; 0 = never */
};
/* CONFLICT when the id exists or the source does not, INVALID for an id that is none
 * (firn_name_id_valid). */
enum firn_status firn_edit_checkpoint_add(Firn__Manifest *m, const Firn__Manifest *current,
                                          const struct firn_checkpoint_add *a,
                                          struct firn_err *err) FIRN_MUST_USE;
/* Never fails; an unknown id is ignored. */
void firn_edit_checkpoint_drop(Firn__Manifest *m, const char *id);
const Firn__Checkpoint *firn_manifest_checkpoint(const Firn__Manifest *m, const char *id);

/* --- settings */
/* The quickest heartbeat where the store limits writes of one name. */
#define FIRN_HEARTBEAT_LIMITED_MS 1000u
/* INVALID: this store (its dialect's name_writes_per_sec, 0 = no limit) does not allow a heartbeat
 * of so many ms. */
enum firn_status firn_heartbeat_check(uint64_t ms, uint32_t name_writes_per_sec,
                                      struct firn_err *err) FIRN_MUST_USE;
/* Set a (C) setting by its configuration name ("history" in ms, "heartbeat" in ms, "dedup-ttl" in
 * ms, "notify-keyspace-events"). Switching expired events on sets expired_to to log_time
 * (INTERFACES "Expiry events"). INVALID: unknown name, an (M) setting, a value out of range. */
enum firn_status firn_edit_setting(Firn__Manifest *m, const char *name, const char *value,
                                   struct firn_err *err) FIRN_MUST_USE;
/* Has the setting this value? False for names that are no (C) setting. */
bool firn_manifest_setting_is(const Firn__Manifest *m, const char *name, const char *value);

#endif
