/* What a run of the simulated cluster counts, and the totals over seeds. */
#ifndef FIRN_TESTS_SIM_CLUSTER_STATS_H
#define FIRN_TESTS_SIM_CLUSTER_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Name in the code and the report; what it is. */
#define SIM_COUNTERS(X)                                                                            \
    X(sim_ms, "simulated milliseconds")                                                            \
    X(requests, "requests to the store")                                                           \
    X(asked, "operations of clients sent")                                                         \
    X(operations, "operations of clients answered")                                                \
    X(acked, "writes acknowledged")                                                                \
    X(reads, "reads answered")                                                                     \
    X(fresh_reads, "reads at freshness 0 answered")                                                \
    X(unknown, "writes of unknown outcome")                                                        \
    X(refused, "operations refused")                                                               \
    X(lost_applied, "writes acknowledged as applied that were lost")                               \
    X(snapshot_reads, "reads of snapshots checked")                                                \
    X(tokens, "tokens checked")                                                                    \
    X(linear_keys, "keys found linearizable without the log, too")                                 \
    X(linear_undecided, "keys not decided that way")                                               \
    X(changes, "pages of KV.CHANGES checked")                                                      \
    X(scans, "passes of SCAN checked")                                                             \
    X(invalidated, "invalidations told to clients that cache")                                     \
    X(published, "messages published")                                                             \
    X(delivered, "messages delivered")                                                             \
    X(expired, "expired events")                                                                   \
    X(starts, "nodes started")                                                                     \
    X(crashes, "nodes killed")                                                                     \
    X(crashes_at_call, "of them at a chosen call to the store")                                    \
    X(freezes, "nodes frozen")                                                                     \
    X(cuts, "nodes cut off from the store")                                                        \
    X(takeovers, "epochs claimed from another writer")                                             \
    X(standby_takeovers, "of them by standbys")                                                    \
    X(wishes, "settings changed and promotions wished by an operator")                             \
    X(fenced, "writers that found themselves fenced")                                              \
    X(faults, "faults that struck")                                                                \
    X(late, "writes that took effect after their caller had given up")                             \
    X(flushes, "flushes")                                                                          \
    X(compactions, "compactions")                                                                  \
    X(collected, "objects collected")                                                              \
    X(manifests, "manifests committed")                                                            \
    X(checks, "checks made")

enum sim_counter {
#define SIM_COUNTER_ENUM(name, text) SIM_##name,
    SIM_COUNTERS(SIM_COUNTER_ENUM)
#undef SIM_COUNTER_ENUM
        SIM_COUNTS
};

#define SIM_KINDS_MAX 64 /* of faults */
#define SIM_STRUCK_MAX 8192
#define SIM_POINTS_MAX 160 /* FIRN_SOMETIMES points */

struct sim_named {
    char name[80];
    uint64_t n;
};

/* What one seed comes to. In shared memory: no pointers. */
struct sim_result {
    bool done;
    uint64_t seed, hash, cpu_us;
    uint64_t count[SIM_COUNTS];
    struct sim_named fault[SIM_KINDS_MAX];
    struct sim_named point[SIM_POINTS_MAX];
    uint64_t struck; /* faults, by ordinal: */
    uint64_t ordinal[SIM_STRUCK_MAX];
    char why[256]; /* the first line of what failed */
};

/* The sum over seeds. */
struct sim_totals {
    uint64_t seeds, failed, quota, twice;
    uint64_t cpu_us, wall_ms;
    uint64_t count[SIM_COUNTS];
    struct sim_named fault[SIM_KINDS_MAX];
    struct sim_named point[SIM_POINTS_MAX];
};

void sim_named_add(struct sim_named *list, size_t max, const char *name, uint64_t n);
/* Does a seed come to what one must: 500 operations, 10 faults, a take-over, a flush, a compaction
 * and a collected object? */
bool sim_quota(const struct sim_result *r);
void sim_totals_add(struct sim_totals *t, const struct sim_result *r);
void sim_totals_print(const struct sim_totals *t, FILE *to);
/* "name value" lines, one per figure, for programs; false: the file could not be written. */
bool sim_totals_report(const struct sim_totals *t, const char *path);
void sim_result_print(const struct sim_result *r, FILE *to);

#endif
