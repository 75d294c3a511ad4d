/* What a checker found wrong, for people. */
#ifndef FIRN_TESTS_SIM_CHECK_REPORT_H
#define FIRN_TESTS_SIM_CHECK_REPORT_H

#include "sim/history.h"

#define CHECK_TEXTS_MAX 12 /* of more wrongs only the number is kept */

struct check_report {
    uint64_t wrong;
    struct firn_buf text; /* lines */
};

void check_report_init(struct check_report *r);
void check_report_clear(struct check_report *r);

/* Count one wrong; the text is a sentence without a full stop. */
void check_wrong(struct check_report *r, const char *fmt, ...) FIRN_PRINTF(2, 3);
/* The same about an operation, whose line follows. */
void check_wrong_op(struct check_report *r, const struct hist *h, const struct hist_op *op,
                    const char *fmt, ...) FIRN_PRINTF(4, 5);

#endif
