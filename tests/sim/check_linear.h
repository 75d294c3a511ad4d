/* Linearizability of a history, key by key, with no witness but the clients: for what was recorded
 * against real programs, and as a second opinion on simulated histories. Each key is a register;
 * histories of keys are checked apart (linearizability is local: Herlihy & Wing 1990; Horn &
 * Kroening, "Faster linearizability checking via P-compositionality", FORTE 2015). The search is
 * Wing & Gong's (1993) with Lowe's memory of states that were met before ("Testing for
 * linearizability", 2017).
 *
 * Commands of several keys are taken apart, so that half a batch seen is not noticed here (the
 * witness's check does). Of reads at a freshness above 0 it is checked that their value was
 * written, not before it was sent, and not overwritten by then. Reads of snapshots and of
 * connections with KV.ACK APPLIED are left out, writes of these are of unknown outcome. Every key
 * begins absent.
 *
 * A key is not decided, and counted so, when the search takes more than work_max steps, or when the
 * key is written in a way that cannot be taken apart: with a time to live, by COPY. */
#ifndef FIRN_TESTS_SIM_CHECK_LINEAR_H
#define FIRN_TESTS_SIM_CHECK_LINEAR_H

#include "sim/check_report.h"

#define CHECK_LINEAR_WORK (UINT64_C(1) << 22)

struct check_linear_options {
    uint64_t work_max;  /* steps for one key */
    uint32_t drift_ppm; /* a node's seconds may be longer by so much */
};

struct check_linear_stats {
    uint64_t keys; /* decided */
    uint64_t undecided;
    uint64_t operations; /* of one key each */
    uint64_t unknown;    /* of these: of unknown outcome */
    uint64_t bounded;    /* reads at a freshness above 0 */
    uint64_t steps;
};

void check_linear(const struct hist *h, const struct check_linear_options *o,
                  struct check_linear_stats *stats, struct check_report *r);

#endif
