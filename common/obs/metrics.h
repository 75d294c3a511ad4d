/* Metrics: rooms keep plain counters in their own structs; a collector they register reports them
 * when /metrics is asked for. Rendered in the Prometheus text format, version 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats). Loop thread only. */
#ifndef FIRN_OBS_METRICS_H
#define FIRN_OBS_METRICS_H

#include "base/list.h"
#include "base/slice.h"
#include "obs/hist.h"

struct firn_metrics_out; /* one rendering under way */

/* Embedded in its user, who fills in collect and arg, and keeps it until it is removed. */
struct firn_collector {
    struct firn_list link; /* obs' */
    /* Report metrics by the firn_metrics_ functions below. Must not add or remove collectors. */
    void (*collect)(struct firn_metrics_out *out, void *arg);
    void *arg;
};

struct firn_metrics {
    struct firn_list collectors;
};

void firn_metrics_init(struct firn_metrics *m);
/* The collector is used until firn_metrics_remove. Those added first are rendered first. */
void firn_metrics_add(struct firn_metrics *m, struct firn_collector *c);
/* Harmless on a collector that was removed already. */
void firn_metrics_remove(struct firn_collector *c);

/* Append everything to `out`. FIRN_LIMIT when out's max or memory is short: out is as it was. */
enum firn_status firn_metrics_render(const struct firn_metrics *m,
                                     struct firn_buf *out) FIRN_MUST_USE;

/* --- for collectors. `name` comes without the firn_ prefix, in base units (seconds, bytes), in
 * [a-z0-9_]; counters end in _total, others do not. The variable arguments are label names and
 * values, (const char *) in pairs, ended by NULL: values may hold any bytes (they are escaped),
 * label names are as metric names. Samples of one metric may be reported in any order among others,
 * with the same help, and each combination of labels once. A name that breaks the rules is a bug
 * and asserts. */
void firn_metrics_counter(struct firn_metrics_out *out, const char *name, const char *help,
                          uint64_t value, ...) __attribute__((sentinel));
/* A counter that is not whole: seconds of CPU, dollars. */
void firn_metrics_counter_f(struct firn_metrics_out *out, const char *name, const char *help,
                            double value, ...) __attribute__((sentinel));
void firn_metrics_gauge(struct firn_metrics_out *out, const char *name, const char *help,
                        double value, ...) __attribute__((sentinel));
/* Becomes <name>_bucket (fixed bounds), _sum, _count. A histogram of ns has a name in _seconds; any
 * other name (_bytes, _slots) means the values as they are. */
void firn_metrics_hist(struct firn_metrics_out *out, const char *name, const char *help,
                       const struct firn_hist *h, ...) __attribute__((sentinel));

#endif
