#include "obs/hist.h"

#define SUB (UINT64_C(1) << FIRN_HIST_SUB_BITS)
#define VALUE_MAX ((UINT64_C(1) << FIRN_HIST_TOP_BITS) - 1)

/* Values below SUB have a bucket each; above, an octave [2^e, 2^(e+1)) is cut into SUB equal parts.
 */
static uint32_t bucket_of(uint64_t v)
{
    if (v < SUB)
        return (uint32_t)v;
    if (v > VALUE_MAX)
        v = VALUE_MAX;
    uint32_t e = 63 - (uint32_t)__builtin_clzll(v);
    uint32_t shift = e - FIRN_HIST_SUB_BITS;
    return ((shift + 1) << FIRN_HIST_SUB_BITS) + (uint32_t)((v >> shift) & (SUB - 1));
}

static uint32_t shift_of(uint32_t b)
{
    return b < SUB ? 0 : (b >> FIRN_HIST_SUB_BITS) - 1;
}

static uint64_t lowest_of(uint32_t b)
{
    return b < SUB ? b : (SUB + (b & (SUB - 1))) << shift_of(b);
}

static uint64_t middle_of(uint32_t b)
{
    return lowest_of(b) + (((UINT64_C(1) << shift_of(b)) - 1) >> 1);
}

void firn_hist_add(struct firn_hist *h, uint64_t value)
{
    if (h->count == 0 || value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->count++;
    h->sum += value;
    h->bucket[bucket_of(value)]++;
}

void firn_hist_merge(struct firn_hist *h, const struct firn_hist *from)
{
    if (from->count == 0)
        return;
    if (h->count == 0 || from->min < h->min)
        h->min = from->min;
    if (from->max > h->max)
        h->max = from->max;
    h->count += from->count;
    h->sum += from->sum;
    for (uint32_t b = 0; b < FIRN_HIST_BUCKETS; b++)
        h->bucket[b] += from->bucket[b];
}

uint64_t firn_hist_quantile(const struct firn_hist *h, double q)
{
    if (h->count == 0)
        return 0;
    if (!(q > 0))
        return h->min;
    if (q >= 1)
        return h->max;
    /* the smallest value with at least q of all values at or below it */
    double exact = q * (double)h->count;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact || rank == 0)
        rank++;
    uint64_t seen = 0;
    for (uint32_t b = 0; b < FIRN_HIST_BUCKETS; b++) {
        seen += h->bucket[b];
        if (seen < rank)
            continue;
        uint64_t v = middle_of(b);
        return v < h->min ? h->min : v > h->max ? h->max : v;
    }
    return h->max;
}

uint64_t firn_hist_count_le(const struct firn_hist *h, uint64_t bound)
{
    if (bound >= h->max)
        return h->count;
    uint64_t n = 0;
    for (uint32_t b = 0; b < FIRN_HIST_BUCKETS && lowest_of(b) <= bound; b++)
        n += h->bucket[b];
    return n;
}

uint64_t firn_hist_mean(const struct firn_hist *h)
{
    return h->count ? h->sum / h->count : 0;
}
