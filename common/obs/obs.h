/* What a core is given to be observed by: its log and its metrics. Owned by main (or a test). */
#ifndef FIRN_OBS_OBS_H
#define FIRN_OBS_OBS_H

#include "obs/log.h"
#include "obs/metrics.h"

struct firn_obs {
    struct firn_log log;
    struct firn_metrics metrics;
};

/* No sink, level info, no collectors. Nothing to deinit: collectors remove themselves. */
void firn_obs_init(struct firn_obs *obs);

#endif
