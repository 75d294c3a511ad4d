/* A frozen memtable into L0 tables: the newest version of each key, without those that a range
 * tombstone of the same memtable covers, and the range tombstones. */
#ifndef FIRN_LSM_FLUSH_BUILD_H
#define FIRN_LSM_FLUSH_BUILD_H

#include "lsm/memtable.h"
#include "lsm/table_build.h"

struct firn_flush_build {
    /* --- in */
    struct firn_memtable *memtable; /* frozen; referenced by the caller until the job is done */
    struct firn_table_options
        table;              /* name.number: of the first table; each further one the next */
    uint64_t table_bytes;   /* tables are cut from this size on */
    uint64_t max_seqno;     /* versions above it are left out; UINT64_MAX = none */
    uint64_t expired_to_ms; /* entries of the expiry index before it are left out: what they tell of
                             * has been dealt with */
    /* --- out */
    enum firn_status status; /* OK; LIMIT: memory; INVALID: not what options promise (base_seqno) */
    struct firn_table_object *object; /* in key order, disjoint; owned */
    size_t count;                     /* 0: there was nothing for a table */
};

/* Build. Pure: made to be a firn_job's run (job->arg). The results are in f. */
void firn_flush_build_run(struct firn_flush_build *f);
/* Free the results that were not moved away; harmless twice. */
void firn_flush_build_clear(struct firn_flush_build *f);

#endif
