/* An object store that answers later: it holds each request back for a time drawn from a
 * distribution and then hands it to another store, any number at once. A store on this machine so
 * has the latency of one far away, without its price. Loop thread only. */
#ifndef FIRN_BENCH_SLOW_STORE_H
#define FIRN_BENCH_SLOW_STORE_H

#include "env/env.h"
#include "env/objstore.h"

/* Log-normal: half of the delays are below p50, 99 of 100 below p99. Equal values: always p50. */
struct firn_slow_delay {
    uint64_t p50_ns, p99_ns;
};

struct firn_slow_options {
    struct firn_slow_delay get;  /* GET and HEAD */
    struct firn_slow_delay put;  /* PUT and all of a multipart upload */
    struct firn_slow_delay list; /* LIST */
    struct firn_slow_delay del;  /* DELETE, of one and of many */
};

/* Put delays before `inner`, which must outlive the result; `env` gives timers and random numbers.
 * A request whose delay is longer than its time-out ends as UNCERTAIN when that has passed and does
 * not reach `inner`. The result counts as a remote store. LIMIT: memory. */
enum firn_status firn_slow_create(const struct firn_env *env, struct firn_objstore *inner,
                                  const struct firn_slow_options *o,
                                  struct firn_objstore **out) FIRN_MUST_USE;
/* NULL-safe; no request is under way. */
void firn_slow_free(struct firn_objstore *s);

/* "100" = always 100 ms; "100:195" = log-normal with that median and 99th percentile in ms; NULL =
 * none. INVALID: anything else. */
enum firn_status firn_slow_parse(const char *text, struct firn_slow_delay *out) FIRN_MUST_USE;

#endif
