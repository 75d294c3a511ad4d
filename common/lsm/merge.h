/* Compaction's merge: several runs of tables into one. Pure; the loop fetches blocks and takes
 * finished tables, a job merges in between, in steps bounded by what was fed. */
#ifndef FIRN_LSM_MERGE_H
#define FIRN_LSM_MERGE_H

#include "lsm/table_build.h"
#include "lsm/table_stream.h"

struct firn_merge;

/* The tables of one run, in key order; each L0 table is a run of its own. */
struct firn_merge_run_def {
    const struct firn_stream_table *table;
    size_t tables;
};

struct firn_merge_options {
    const struct firn_merge_run_def *run; /* copied; the tables and their metadata must stay */
    size_t runs;
    struct firn_table_options table; /* of the outputs; name.number: of the first */
    uint64_t table_bytes;
    uint64_t memory_max; /* of a table being built, filters' hashes and all: 0 = no bound */
    size_t buffer_bytes; /* per run: fed and not yet read, at most */
    /* I9: nothing older than the inputs remains for these keys, in any run below or any table that
     * a checkpoint keeps visible through them. Then tombstones go, and what expired. */
    bool bottom;
    uint64_t expired_before_ms; /* entries with 0 < expiry_ms < this have expired; 0 = none has */
};

struct firn_merge_stats {
    uint64_t entries_in, entries_out, bytes_in; /* bytes_in: keys and values */
    uint64_t shadowed, covered, tombstones_dropped, expired_dropped;
};

enum firn_merge_event {
    FIRN_MERGE_INPUT,  /* feed run firn_merge_needs() */
    FIRN_MERGE_OUTPUT, /* take a finished table */
    FIRN_MERGE_DONE,
    FIRN_MERGE_FAILED, /* firn_merge_status says why */
};

/* LIMIT: memory; INVALID: an option that makes no sense. */
enum firn_status firn_merge_create(const struct firn_merge_options *o,
                                   struct firn_merge **out) FIRN_MUST_USE;
void firn_merge_free(struct firn_merge *m); /* NULL-safe */

/* Merge on until something is needed or finished. The one part for jobs: nothing else may touch m
 * meanwhile. */
enum firn_merge_event firn_merge_run(struct firn_merge *m);
size_t firn_merge_needs(const struct firn_merge *m);
enum firn_status firn_merge_status(const struct firn_merge *m);
struct firn_table_object firn_merge_take(struct firn_merge *m); /* the caller's */
/* Memory that the streams hold, and that the table being built has filled. Not while it runs. */
uint64_t firn_merge_input_bytes(const struct firn_merge *m);
uint64_t firn_merge_output_bytes(const struct firn_merge *m);
const struct firn_merge_stats *firn_merge_stats_of(const struct firn_merge *m);
/* The stream of a run: for want and feed. */
struct firn_table_stream *firn_merge_stream(struct firn_merge *m, size_t run);

#endif
