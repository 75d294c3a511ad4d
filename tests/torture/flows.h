/* Flows for torture: prepare runs without a fault, run with it. */
#ifndef FIRN_TESTS_TORTURE_FLOWS_H
#define FIRN_TESTS_TORTURE_FLOWS_H

#include "stage.h"

struct flow {
    const char *name;
    bool tiny; /* limits: see struct stage */
    void (*prepare)(struct stage *s);
    void (*run)(struct stage *s);
};

extern const struct flow flows[];
extern const size_t flows_count;

#endif
