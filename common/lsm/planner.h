/* What to compact next, from a manifest alone. Pure.
 *
 * A job takes one partition: the slices of all L0 tables it has not passed, and as many of its
 * newest runs as are not much larger than what is merged into them, or stand above the allowed
 * depth of the stack. The result is one run in their place. So a byte is rewritten about once per
 * doubling of its run, and the stack stays short. A job that takes the oldest run, too, is at the
 * bottom: there tombstones end (I9), and a partition that grew too large is split.
 *
 * A partition of which so much has expired or is deleted that half of its entries would go is
 * merged whole, though L0 gives no reason: what nobody writes to any more, as the past of the
 * expiry index, would stay for ever. Such a job leaves neither tombstones nor what had expired, so
 * that it is no reason for the next one. */
#ifndef FIRN_LSM_PLANNER_H
#define FIRN_LSM_PLANNER_H

#include "format/manifest_codec.h"
#include "format/tombs.h"

#define FIRN_PLAN_GARBAGE_PERCENT 50 /* of a partition's entries: reason enough to merge it */
#define FIRN_PLAN_RUNS_MAX 4         /* runs a partition has after a job, at most */

struct firn_plan_options {
    uint64_t
        l0_compact_tables; /* from so many L0 tables on, if the mean slice is large enough, … */
    uint64_t slice_bytes_min;
    uint64_t l0_force_tables; /* … and from so many on in any case */
    bool all;                 /* any L0 table is reason enough (--once) */
    size_t inputs_max;        /* flushes and runs that a job may merge; 0 = any number. At least
                               * FIRN_PLAN_RUNS_MAX + 1, or a stack may stay too deep */
};

/* A job. The slices are borrowed from the manifest. */
struct firn_plan {
    size_t partition; /* index in the manifest */
    struct firn_slice start, end;
    const Firn__Table **l0; /* newest first; owned */
    size_t nl0;
    size_t runs; /* the newest so many of the partition's */
    bool whole;  /* all of them, whatever they weigh: for the garbage in them */
    bool bottom;
    size_t inputs_max; /* as in the options */
    uint64_t l0_bytes; /* of the L0 tables, by their slices */
    uint64_t bytes;    /* of all input objects */
};

/* Choose: OK and *out, which the caller clears; ABSENT: nothing to do; LIMIT: memory. */
enum firn_status firn_plan_choose(const Firn__Manifest *m, const struct firn_plan_options *o,
                                  struct firn_plan *out) FIRN_MUST_USE;
void firn_plan_clear(struct firn_plan *p);

/* Do these tables of L0 come from one flush? Those lie side by side in L0, in key order. */
bool firn_plan_same_flush(const Firn__Table *a, const Firn__Table *b);

/* How many of a partition's newest runs (of `runs`) a job takes that brings l0_bytes to them, where
 * left(arg, i) bytes of run i are to be rewritten: what a range tombstone covers is not, so a run
 * that is covered whole is always worth taking. */
size_t firn_plan_runs(uint64_t l0_bytes, size_t runs, uint64_t (*left)(const void *arg, size_t run),
                      const void *arg);

/* As firn_plan_runs, for a plan made already, of which `flushes` flushes are left to read: how many
 * of the partition's `runs` newest runs its job takes. None beyond those of the plan with which
 * more inputs than inputs_max would be left to read; what is covered whole is not one of those. */
size_t firn_plan_runs_left(const struct firn_plan *p, size_t flushes, size_t runs,
                           uint64_t (*left)(const void *arg, size_t run), const void *arg);

/* Is everything a table holds in [lower, upper) (upper not empty) deleted by the fragments `tomb`,
 * all newer than its max_seqno? Then it goes unread. */
bool firn_plan_covered(const struct firn_range_tomb *tomb, size_t tombs, struct firn_slice lower,
                       struct firn_slice upper, uint64_t max_seqno);

/* Has everything in this table expired, so that at the bottom of its partition all of it goes? */
bool firn_plan_expired(const Firn__Manifest *m, const Firn__Table *t);

/* Where to split a partition whose only run is `table` (in key order): bounds, borrowed from the
 * tables, that make parts of about half of partition_bytes each. None unless all together pass
 * partition_bytes. `out` has room for max of them. */
size_t firn_plan_splits(Firn__Table *const *table, size_t tables, uint64_t partition_bytes,
                        struct firn_slice *out, size_t max);

/* Expired before this wall time may be dropped at the bottom: the manifest's log_time, held back to
 * expired_to while expired events are asked for (INTERFACES "Expiry events"). */
uint64_t firn_plan_expired_before(const Firn__Manifest *m);

#endif
