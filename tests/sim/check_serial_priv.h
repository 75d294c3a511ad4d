/* Inside check_serial: which operation wrote which unit (check_match.c), and whether all lie in an
 * order that is allowed (check_serial.c). */
#ifndef FIRN_TESTS_SIM_CHECK_SERIAL_PRIV_H
#define FIRN_TESTS_SIM_CHECK_SERIAL_PRIV_H

#include "sim/check_serial.h"
#include "sim/history_eval.h"

#define NO_UNIT UINT32_MAX

struct serial {
    struct hist *h;
    const struct witness *w;
    const struct check_serial_options *o;
    struct check_serial_stats *stats;
    struct check_report *report;
    uint32_t *unit; /* by operation: the unit it wrote, or NO_UNIT */
    bool *writer;   /* by node: something was written there */
    uint32_t nodes;
    struct hist_eval eval;
};

/* A state of the witness as operations see it. */
struct serial_state {
    const struct witness *w;
    uint32_t at;
};
struct hist_state serial__state(const struct serial_state *s, uint64_t now_ms);

/* The time of day when it was ns in the history. */
uint64_t serial__wall_ms(const struct serial *x, uint64_t ns);

/* Evaluate op on state `at` at some time of day in [from_ms, to_ms], as many as make a difference,
 * until `good` says so. The evaluation is in x->eval. */
bool serial__eval(struct serial *x, const struct hist_op *op, uint32_t at, uint64_t from_ms,
                  uint64_t to_ms,
                  bool (*good)(struct serial *x, const struct hist_op *op, void *arg), void *arg);

/* The first state behind `at` in which a key of the operation differs; NO_UNIT: none. */
uint32_t serial__next_change(const struct serial *x, const struct hist_op *op, uint32_t at);

/* Find the operation of every unit: fill x->unit. */
void serial__match(struct serial *x);

/* An acknowledged operation that no unit was given to: give it one, if others can do with other
 * ones. */
bool serial__match_late(struct serial *x, uint32_t op);

/* The first place at or behind `from` where the operation, which wrote x->unit[op], could lie as
 * well, looked at alone: where one that looks alike was put. NO_UNIT: none. */
uint32_t serial__place_from(struct serial *x, uint32_t op, uint32_t from);

#endif
