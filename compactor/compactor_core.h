/* The compactor: merges L0 into the partitions and collects garbage (PROTOCOL.md "Tables, flush,
 * compaction", "Garbage collection"). A core over ports: main wires adapters to it, tests a
 * simulated world. Loop thread only.
 *
 *   proving --> opening --> claiming --> working --> releasing --> ending --> ended
 *      +-----------+------------+-- error or fenced --+-----------------^
 */
#ifndef FIRN_COMPACTOR_CORE_H
#define FIRN_COMPACTOR_CORE_H

#include "conf/settings.h"
#include "env/env.h"
#include "obs/budget.h"
#include "obs/obs.h"
#include "store/store.h"

struct firn_compactor;

enum firn_compactor_end {
    FIRN_COMPACTOR_STOPPED, /* as asked, or all work of --once is done */
    FIRN_COMPACTOR_FENCED,  /* a newer compactor works on this database */
    FIRN_COMPACTOR_FAILED,  /* err says why */
};

struct firn_compactor_user {
    /* The role is claimed. */
    void (*working)(void *arg);
    /* The end; once. The compactor may be freed afterwards, not inside. */
    void (*ended)(void *arg, enum firn_compactor_end how, const struct firn_err *err);
    void *arg;
};

struct firn_compactor_stats {
    uint64_t jobs, jobs_failed;
    uint64_t bytes_in, bytes_out; /* of objects read by and written by jobs that were committed */
    uint64_t entries_in, entries_out;
    uint64_t tables_unread; /* inputs that a range tombstone covered */
    uint64_t splits;
    uint64_t passes, objects_deleted;
};

/* env (with its store), store, settings and obs must outlive it; settings' (M) and (C) values are
 * replaced by the manifest's. Nothing happens before firn_compactor_start. LIMIT: memory. */
enum firn_status firn_compactor_create(const struct firn_env *env, struct firn_store *store,
                                       struct firn_settings *settings, struct firn_obs *obs,
                                       const struct firn_compactor_user *user,
                                       struct firn_compactor **out) FIRN_MUST_USE;
void firn_compactor_start(struct firn_compactor *c);
/* SIGTERM: give up the job under way, release the role, end. */
void firn_compactor_stop(struct firn_compactor *c);
/* End now, as a crash would, but tidily: nothing more is sent; ended() follows with FAILED. */
void firn_compactor_halt(struct firn_compactor *c);
/* Before start or after ended only. NULL-safe. */
void firn_compactor_free(struct firn_compactor *c);

/* After ended with FAILED: as firn_writer_went_back. */
bool firn_compactor_went_back(const struct firn_compactor *c);

/* /readyz: one "name: ok" or "name: why not" line per check; true when all are well. */
bool firn_compactor_ready(const struct firn_compactor *c, struct firn_buf *lines);
const struct firn_compactor_stats *firn_compactor_stats_of(const struct firn_compactor *c);
/* How it divides and uses `memory`; all zero before the manifest was read. */
const struct firn_budget *firn_compactor_budget_of(const struct firn_compactor *c);
/* Manifest version seen last, 0 = none: for tests and the console. */
uint64_t firn_compactor_version(const struct firn_compactor *c);

#endif
