/* Strict serializability of a history, with the log as witness (witness.h), and what is promised
 * beside it:
 *
 * - every write that was acknowledged is in the log exactly once, one that was refused never, one
 * of unknown outcome at most once; what a command wrote is one unit; nothing is there that nobody
 *   wrote; replies of read-modify-writes are right where they lie in the log;
 * - every read shows one state, whole (of a range nothing is missing and nothing is too much), and
 * so does a write that came to nothing. At freshness 0 that state holds every write acknowledged,
 * and every state shown at freshness 0, before it was asked for; at freshness F every write
 * acknowledged F before (I6). Nothing is shown before it is durable;
 * - along a connection states never go back, its own acknowledged writes are seen, and a token
 * covers what it saw and wrote; who waited for a token has its state; all reads of a snapshot show
 * the state that its token names;
 * - a value with a time to live may be seen or not within skew_ms of its time; where the state's
 * log time has passed it, it is gone for ever, and the writer's commands see it until its slot's
 * log time and not when the log time before had passed it;
 * - a final read shows all that was durable when it was asked for, acknowledged or not.
 *
 * On connections that acknowledge what is applied (KV.ACK APPLIED) writes may be lost, and reads
 * may show what was lost; both are counted.
 *
 * Values should be unique, so that a write is known by what it wrote. Writes that look alike (INCR,
 * DEL) are given to the places where they could lie by earliest deadline, which finds an assignment
 * if there is one (Glover 1967, convex bipartite graphs). Cost: about a microsecond per operation.
 */
#ifndef FIRN_TESTS_SIM_CHECK_SERIAL_H
#define FIRN_TESTS_SIM_CHECK_SERIAL_H

#include "sim/check_report.h"
#include "sim/witness.h"

struct check_serial_options {
    uint64_t wall_ms;   /* true time of day at 0 ns of the history */
    uint64_t skew_ms;   /* no node's idea of it was ever further off */
    uint32_t drift_ppm; /* a node's seconds may be longer by so much */
    /* Keys written by others than the recorded clients; NULL: none. */
    bool (*ignored)(struct firn_slice key);
};

struct check_serial_stats {
    uint64_t writes;    /* found in the log … */
    uint64_t uncertain; /* … of these: of unknown outcome */
    uint64_t reads;     /* checked, at freshness 0 … */
    uint64_t bounded;   /* … at another */
    uint64_t nothing;   /* writes that came to nothing, checked as reads */
    uint64_t snapshots; /* reads of snapshots */
    uint64_t tokens;
    uint64_t lost_applied; /* writes of APPLIED connections that are not in the log */
    uint64_t unproved;     /* reads of APPLIED connections that no state of the log explains */
};

/* Check it all. h gets values interned and is otherwise not changed. */
void check_serial(struct hist *h, const struct witness *w, const struct check_serial_options *o,
                  struct check_serial_stats *stats, struct check_report *r);

#endif
