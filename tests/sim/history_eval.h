/* What an operation does to a state, and what it must be answered: the commands' meaning, once, for
 * both checkers. */
#ifndef FIRN_TESTS_SIM_HISTORY_EVAL_H
#define FIRN_TESTS_SIM_HISTORY_EVAL_H

#include "sim/history.h"

struct hist_cell {
    uint32_t value;     /* 0: none */
    uint64_t expiry_ms; /* 0: none */
    int64_t in_ms; /* expires so long after the operation was evaluated; 0: as expiry_ms says */
};

/* A state, as an operation finds it. */
struct hist_state {
    struct hist_cell (*get)(const void *arg, uint32_t key);
    /* Keys that may be there in [start, end), in order; 0 = no bound. */
    const uint32_t *(*range)(const void *arg, uint32_t start, uint32_t end, size_t *n);
    const void *arg;
    uint64_t now_ms; /* values that expire at or before it are not seen */
};

struct hist_effect {
    uint32_t key;
    struct hist_cell cell;
};

/* Results, to be used again and again. Zero-initialised is valid. */
struct hist_eval {
    struct hist_effect *effect; /* keys written, each once, with what they hold then */
    size_t effects, effects_cap;
    struct hist_item *item; /* the reply, without heads */
    size_t items, items_cap;
    bool erased;  /* a range tombstone: a record even where no key was */
    bool held;    /* TXN: its comparisons */
    bool refused; /* a condition of KV.BATCH or KV.TXN does not hold: nothing is done */
};

void hist_eval_clear(struct hist_eval *e);

/* Evaluate. Cost: its keys, twice if it writes. */
void hist_eval(struct hist *h, const struct hist_op *op, const struct hist_state *s,
               struct hist_eval *e);

/* Is this what the operation was answered? True of one that was not answered. */
bool hist_eval_answers(const struct hist *h, const struct hist_op *op, const struct hist_eval *e);

/* Call visit for each key that the operation reads or may write; of ranges with what the state says
 * may be there. */
void hist_eval_keys(const struct hist *h, const struct hist_op *op, const struct hist_state *s,
                    void (*visit)(void *arg, uint32_t key), void *arg);

#endif
