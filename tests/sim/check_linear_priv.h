/* Inside check_linear: a history taken apart into operations of one key (check_project.c), and the
 * search (check_linear.c). */
#ifndef FIRN_TESTS_SIM_CHECK_LINEAR_PRIV_H
#define FIRN_TESTS_SIM_CHECK_LINEAR_PRIV_H

#include "sim/check_linear.h"

/* Of one key. An operation with a replied_ns has happened by then; if its outcome is HIST_OK its
 * reply is that of this part. One without may have happened. */
struct project_op {
    uint32_t op; /* in the projection's hist */
    uint32_t of; /* in the history */
};

struct project_key {
    struct project_op *op;
    size_t ops, cap;
    bool opaque; /* written in a way that cannot be taken apart */
};

struct project {
    struct hist h;           /* operations of one key each; ids are its own */
    struct project_key *key; /* by id of h.keys */
    uint32_t keys;
};

/* Take the history apart. Bounded reads keep their freshness. */
void project_make(struct project *p, const struct hist *h);
void project_clear(struct project *p);

#endif
