/* A histogram of 64-bit values (ns, bytes): log-linear buckets as in HdrHistogram
 * (hdrhistogram.org), 32 per power of two, so any value it reports is within 1.6 % of one that was
 * recorded. Fixed memory, no allocation. Not thread-safe: a job fills its own and the loop thread
 * merges it in done(). */
#ifndef FIRN_OBS_HIST_H
#define FIRN_OBS_HIST_H

#include <stdint.h>

#define FIRN_HIST_SUB_BITS 5
#define FIRN_HIST_TOP_BITS 42 /* larger values count as 2^42 - 1 (73 minutes in ns) */
#define FIRN_HIST_BUCKETS ((FIRN_HIST_TOP_BITS - FIRN_HIST_SUB_BITS + 1) << FIRN_HIST_SUB_BITS)

/* Zero-initialised is valid and empty. */
struct firn_hist {
    uint64_t count;
    uint64_t sum; /* of the values as recorded, not clamped */
    uint64_t min, max;
    uint64_t bucket[FIRN_HIST_BUCKETS];
};

/* Count one value. O(1), a few ns. */
void firn_hist_add(struct firn_hist *h, uint64_t value);
/* Add all that `from` holds; `from` stays as it is. O(buckets). */
void firn_hist_merge(struct firn_hist *h, const struct firn_hist *from);
/* The value at quantile q (0.5 = median, clamped to 0 … 1); 0 for an empty histogram. O(buckets).
 */
uint64_t firn_hist_quantile(const struct firn_hist *h, double q);
/* How many values were ≤ bound; values less than 1/32 above it may be counted too. O(buckets). */
uint64_t firn_hist_count_le(const struct firn_hist *h, uint64_t bound);
/* Mean of the values, 0 for an empty histogram. */
uint64_t firn_hist_mean(const struct firn_hist *h);

#endif
