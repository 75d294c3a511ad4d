/* What came back second by second, for plots and for finding pauses that a histogram hides. */
#ifndef FIRN_BENCH_LOAD_SERIES_H
#define FIRN_BENCH_LOAD_SERIES_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct load_second {
    uint64_t replies;
    uint64_t worst_ns; /* highest latency of a reply that came in this second */
    uint64_t gap_ns;   /* longest time without any reply that ended in this second */
};

/* Zero-initialise, then set begin_ns. */
struct load_series {
    uint64_t begin_ns, last_ns; /* last_ns: of the newest reply, 0 = none */
    struct load_second *second; /* owned */
    size_t seconds, cap;
};

void load_series_deinit(struct load_series *s);
/* A reply came at now_ns (which never goes back) after latency_ns. LIMIT: memory; it is lost. */
enum firn_status load_series_add(struct load_series *s, uint64_t now_ns,
                                 uint64_t latency_ns) FIRN_MUST_USE;
/* Lines "second,replies,worst_ms,gap_ms". INVALID: err says why. */
enum firn_status load_series_write(const struct load_series *s, const char *path,
                                   struct firn_err *err) FIRN_MUST_USE;

#endif
