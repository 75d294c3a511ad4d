/* Running seeds of the simulated cluster: each in a child process of its own, so that an assertion,
 * a sanitizer or a loop without end fails one seed and the others go on. What a seed counted comes
 * back through shared memory. */
#ifndef FIRN_TESTS_SIM_CLUSTER_RUNNER_H
#define FIRN_TESTS_SIM_CLUSTER_RUNNER_H

#include "sim/cluster_stats.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct sim_options {
    const char *program; /* argv[0], for the line that reproduces */
    uint64_t first, seeds;
    uint64_t minutes; /* 0: as many seeds as `seeds` says */
    unsigned jobs;
    uint64_t twice_every; /* every so many seeds run twice; 0: none */
    bool one;             /* --seed: its figures are printed */
    bool shrink;
    const char *allow;       /* ordinals of the faults that may strike, NULL: all */
    const char *trace;       /* --seed: the readable trace goes there */
    const char *traces;      /* directory for the traces of seeds that fail */
    const char *report;      /* NULL: none */
    const char *regressions; /* NULL: none */
};

/* One run of one seed. */
struct sim_spec {
    uint64_t seed;
    const char *allow;
    const char *trace; /* file, NULL: none */
    const char *log;   /* file for what the run prints, NULL: our stderr */
    bool twice;
};

/* The scenario (cluster_seed.c): run the seed and fill in *r. Failing, it prints one line and ends
 * the process. Every call begins anew, from the seed alone. */
void sim_run_seed(const struct sim_spec *s, struct sim_result *r);

/* Begin the run in a child. *r is shared memory (sim_results) that the caller leaves alone until
 * the child was waited for. */
pid_t sim_spawn(const struct sim_spec *s, struct sim_result *r);
/* Did the child that ended so run its seed to a good end? */
bool sim_passed(int wait_status, const struct sim_result *r);
/* Spawn and wait. */
bool sim_try(const struct sim_spec *s, struct sim_result *r);
struct sim_result *sim_results(size_t n);

/* The regressions, then all seeds; prints a line per failure and the totals. 0: all passed. */
int sim_run_all(const struct sim_options *o);
/* Find a smallest set of faults with which the seed of o->first still fails. 0: found. */
int sim_shrink(const struct sim_options *o);
/* The options of one run again, as a command: " --seed 7 --allow 3,9". */
void sim_command(const struct sim_options *o, uint64_t seed, const char *allow, char *out,
                 size_t size);

#endif
