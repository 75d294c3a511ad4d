/* The latency monitor behind LATENCY: for each kind of event the samples that were at or above
 * `latency-threshold`, as Redis has it (latency.c). */
#ifndef FIRN_ENGINE_LATENCY_PRIV_H
#define FIRN_ENGINE_LATENCY_PRIV_H

#include "base/slice.h"
#include "resp/reply.h"

#define FIRN_LATENCY_SAMPLES 160 /* kept of each kind */

enum firn_latency_kind {
    FIRN_LATENCY_COMMAND,      /* a command kept the loop busy */
    FIRN_LATENCY_FAST_COMMAND, /* one that is said to be O(1) */
    FIRN_LATENCY_WAIT,         /* a command waited: for the store, for freshness, for room */
    FIRN_LATENCY_KINDS,
};

struct firn_latency_sample {
    uint64_t at_s; /* wall clock */
    uint64_t ms;
};

/* Zero-initialised is valid and empty. */
struct firn_latency {
    struct firn_latency_series {
        struct firn_latency_sample sample[FIRN_LATENCY_SAMPLES]; /* ring */
        uint64_t n;                                              /* ever since reset */
        uint64_t max_ms;
    } series[FIRN_LATENCY_KINDS];
};

/* "command", "fast-command", "store-wait". */
const char *firn_engine__latency_name(enum firn_latency_kind kind);
/* Samples of one second become one, the longest. */
void firn_engine__latency_add(struct firn_latency *l, enum firn_latency_kind kind, uint64_t at_s,
                              uint64_t ms);
/* The replies to LATEST, HISTORY (an empty array for names that are none) and GRAPH. */
void firn_engine__latency_latest(const struct firn_latency *l, struct firn_reply *out);
void firn_engine__latency_history(const struct firn_latency *l, struct firn_slice name,
                                  struct firn_reply *out);
void firn_engine__latency_graph(const struct firn_latency *l, struct firn_slice name,
                                uint64_t now_s, struct firn_reply *out);
/* Append what a person wants to know of all kinds. LIMIT. */
enum firn_status firn_engine__latency_report(const struct firn_latency *l, uint64_t threshold_ms,
                                             struct firn_buf *out) FIRN_MUST_USE;
/* Forget one kind, by name; false when there was nothing. */
bool firn_engine__latency_reset(struct firn_latency *l, struct firn_slice name);

#endif
