/* What the whole lsm room shares: entries, the per-operation read context, and the node-wide state
 * (block cache, fetches, counters). Loop thread only, except where a header says otherwise.
 *
 * How reads wait: nothing in here blocks or calls back in the middle. A read runs synchronously
 * over what is resident; what is missing it notes in its struct firn_read and answers FIRN_AGAIN.
 * The caller hands the read to firn_read_fetch, which gets everything noted in parallel (single
 * flight per block) and pins it, and then runs the same read again from the start (or the
 * iterator's next again). */
#ifndef FIRN_LSM_LSM_H
#define FIRN_LSM_LSM_H

#include "base/slice.h"
#include "env/env.h"
#include "format/entry.h"
#include "obs/budget.h"
#include "store/store.h"

struct firn_lsm;

/* Slices of a struct firn_entry (format/entry.h) that a read gives are borrowed: from a memtable
 * (while the view is referenced) or from a block pinned by the read (until firn_read_clear). */

struct firn_lsm_options {
    uint64_t cache_bytes;     /* bound of the RAM block cache, metadata included */
    uint64_t fetch_bytes_max; /* bound of bytes under way from the store at any time */
    uint64_t readahead_bytes; /* scans fetch up to this much ahead; 0 = 1 MiB */
    /* Or NULL. It bounds cache and fetches instead of the two above, and is told what they, and
     * what reads have pinned, hold. Must outlive the lsm. */
    struct firn_budget *budget;
};

struct firn_lsm_stats {
    uint64_t hits, misses; /* blocks found resident / not */
    uint64_t meta_hits, meta_misses;
    uint64_t filter_absent; /* tables a filter ruled out */
    uint64_t filter_false;  /* filter said maybe, table had nothing */
    uint64_t fetches, fetched_bytes;
    uint64_t cache_bytes, cache_entries, pinned_bytes, evictions;
    uint64_t corrupt; /* blocks or metadata that failed a check */
};

/* store may be NULL where there are no tables (tests of memtables). The env and store must outlive
 * it. */
enum firn_status firn_lsm_create(const struct firn_env *env, struct firn_store *store,
                                 const struct firn_lsm_options *o,
                                 struct firn_lsm **out) FIRN_MUST_USE;
/* Nothing may be under way (firn_lsm_idle) and no read or view may be left. NULL-safe. */
void firn_lsm_free(struct firn_lsm *l);
/* Is no fetch under way? One whose reads were all cleared still ends, on the loop. */
bool firn_lsm_idle(const struct firn_lsm *l);
const struct firn_lsm_stats *firn_lsm_stats_of(const struct firn_lsm *l);

/* --- the read context of one operation (point read, multi-get, scan) */

/* A step of KV.EXPLAIN: what a fetch asked for. */
struct firn_read_step {
    char object[96];
    uint64_t offset, length;
    unsigned trip; /* 1 = first round trip of this read */
    bool meta;
};

struct firn_read_want;
struct firn_cache_entry;

/* Embedded in its user, who calls firn_read_init and in the end firn_read_clear. It must not move
 * while a fetch is under way. */
struct firn_read {
    struct firn_lsm *lsm;
    /* counters of this read, for KV.EXPLAIN and metrics */
    unsigned trips; /* sequential round trips made */
    unsigned gets;  /* GETs it waited for */
    uint64_t fetched_bytes;
    unsigned blocks_hit, tables_looked, filters_absent, memtables_looked;
    bool explain; /* keep steps; set after init or clear */
    bool keep;    /* iterators leave what they have passed pinned; set after init or clear */
    struct firn_read_step *step;
    unsigned nsteps;
    /* private */
    uint64_t id;
    struct firn_cache_entry **pin; /* pin0 as long as that is enough */
    struct firn_cache_entry *pin0[4];
    struct firn_read_want *want;
    size_t npins, pins_cap, nwants, wants_cap, outstanding;
    bool fetching;
    struct firn_list ready;
    struct firn_timer timer;
    void (*done)(struct firn_read *r);
    void *arg;
    enum firn_status fetch_status;
    struct firn_err err; /* last, and not zeroed as a whole */
};

void firn_read_init(struct firn_read *r, struct firn_lsm *lsm);
/* True when the last FIRN_AGAIN left something to fetch. What several calls answered FIRN_AGAIN for
 * (an MGET) gathers, and is fetched together. */
bool firn_read_wants(const struct firn_read *r);
/* Fetch all that is noted, in parallel, and pin it. done(r) comes on the loop, never inside.
 * Afterwards firn_read_status tells: OK; TRANSIENT/UNCERTAIN (store not reachable within
 * deadline_ns, boot clock); ABSENT (an object is gone: reload the manifest and retry on the new
 * view; if that still names it, it is CORRUPT); CORRUPT (a block that fails its checks is asked for
 * twice); LIMIT; DENIED; INVALID (bytes of a format from the future). After any of them the wants
 * are forgotten: run the read again to note them anew. Adjacent blocks come in one GET of at most 1
 * MiB. */
void firn_read_fetch(struct firn_read *r, uint64_t deadline_ns, void (*done)(struct firn_read *),
                     void *arg);
enum firn_status firn_read_status(const struct firn_read *r);
/* The message that goes with a bad firn_read_status (names the object). */
const struct firn_err *firn_read_err(const struct firn_read *r);
/* Unpin all, forget all, counters and steps too; it may be used again at once. If a fetch is under
 * way its done() is not called any more. Harmless when called twice. */
void firn_read_clear(struct firn_read *r);

#endif
