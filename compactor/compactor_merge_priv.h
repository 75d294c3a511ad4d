/* One compaction job, as its two files see it: compactor_inputs.c chooses and prepares what goes
 * in, compactor_merge.c merges, uploads, commits and ends it. */
#ifndef FIRN_COMPACTOR_MERGE_PRIV_H
#define FIRN_COMPACTOR_MERGE_PRIV_H

#include "compactor/compactor_priv.h"
#include "lsm/merge.h"

#define COMPACTOR_SPLITS_MAX 64

/* A table that goes into the job. */
struct compactor_input {
    const Firn__Table *ref; /* the manifest's */
    struct compactor_merge *job;
    char name[FIRN_NAME_MAX];
    struct firn_slice lower, upper; /* what counts of it in this job */
    struct firn_table_parts parts;
    uint32_t first, end;          /* the partitions with those keys; none where they are equal */
    struct firn_table_head *head; /* where it has range tombstones */
    struct firn_table_part *index;
    struct firn_store_op op; /* GET of the one or the others */
    bool is_l0;
    bool skipped; /* a newer range tombstone covers it: never read */
};

/* A run of the merge, or the tables of one flush, and the GET of its next blocks. */
struct compactor_source {
    struct compactor_merge *job;
    struct compactor_input *first; /* its tables among the inputs */
    size_t tables;
    struct firn_stream_table *table;
    const struct compactor_input **of; /* per stream table: its input */
    size_t ntable;
    struct firn_store_op op;
    bool fetching, fetched;
};

/* A table that came out. */
struct compactor_output {
    struct compactor_merge *job;
    struct firn_table_object object;
    char name[FIRN_NAME_MAX];
    struct firn_store_upload upload;
};

enum compactor_merge_phase {
    MERGE_LOADING_TOMBS, /* heads of the inputs that have range tombstones */
    MERGE_LOADING,       /* indexes of those that are not covered */
    MERGE_MERGING,
    MERGE_COMMITTING,
};

struct compactor_merge {
    struct firn_compactor *c;
    struct firn_manifest *manifest; /* the one the plan is of; referenced */
    struct firn_plan plan;
    enum compactor_merge_phase phase;
    struct compactor_input *input;
    size_t inputs, loading, next_load;
    struct compactor_source *source;
    size_t sources, flushes; /* the first so many of them are flushes, the others runs */
    size_t chunk_bytes;      /* of one GET of blocks */
    struct firn_merge *merge;
    enum firn_merge_event event;
    struct firn_defer begin;
    struct firn_job job;
    bool running, started;
    bool tombs; /* some L0 input has range tombstones */
    struct compactor_output **output;
    size_t outputs, uploading;
    uint64_t uploading_bytes, on_the_way; /* tables; what GETs were asked for */
    uint64_t metadata_bytes;
    unsigned under_way; /* callbacks to come */
    bool failed;
    enum firn_status status;
    struct firn_err err;
    uint64_t began_ns, bytes_read, bytes_out;
    uint64_t first_number;
    struct firn_compaction_intent intent;
    struct firn_compaction_part part;
    struct firn_table_name *names; /* of all inputs: L0 first */
    Firn__Table **refs;            /* of the outputs */
    struct firn_slice split[COMPACTOR_SPLITS_MAX];
};

/* ---- compactor_inputs.c */

/* List what the plan names as inputs and sources. LIMIT: memory. */
enum firn_status firn_compactor__inputs_list(struct compactor_merge *j) FIRN_MUST_USE;
/* Read the metadata of the inputs, settle which of them count, then firn_compactor__merge_begin.
 * A failure goes to firn_compactor__merge_fail; the caller goes on with
 * firn_compactor__merge_end_if_idle. */
void firn_compactor__inputs_load(struct compactor_merge *j);
/* Free what an input holds; its GET is not under way. */
void firn_compactor__input_clear(struct compactor_input *in);

/* ---- compactor_merge.c */

/* Tell the budget what the job holds. Not while a step runs: what that adds is counted after it. */
void firn_compactor__merge_count(struct compactor_merge *j);
/* Submit a GET of the job; its callback must take back under_way and on_the_way. */
void firn_compactor__merge_get(struct compactor_merge *j, struct firn_store_op *op);
/* Note a failure ("`what` `name`: ..."; err may be NULL) and cancel what is under way. The first
 * one counts; the job ends when all callbacks have come (firn_compactor__merge_end_if_idle). */
void firn_compactor__merge_fail(struct compactor_merge *j, enum firn_status s,
                                const struct firn_err *err, const char *what, const char *name);
/* The last call of every callback: a failed job of which nothing is under way is reported and
 * freed. */
void firn_compactor__merge_end_if_idle(struct compactor_merge *j);
/* All metadata is there: start merging. LIMIT: memory; INVALID: `memory` is too little, as err
 * says. */
enum firn_status firn_compactor__merge_begin(struct compactor_merge *j,
                                             struct firn_err *err) FIRN_MUST_USE;

#endif
