#include "store/store_priv.h"

#define HIST_SHIFT 14       /* bucket 0: below 2^14 ns = 16 µs */
#define HIST_FADE 2048      /* at this many samples all counts are halved */
#define HIST_SAMPLES_MIN 64 /* fewer say nothing about a p99 */
#define HIST_REFRESH 32
#define CREDIT_ONE 100
#define CREDIT_MAX (10 * CREDIT_ONE)

static unsigned bucket_of(uint64_t ns)
{
    uint64_t v = ns >> HIST_SHIFT;
    if (v < 8)
        return (unsigned)v;
    unsigned top = 63u - (unsigned)__builtin_clzll(v);
    unsigned b = (top - 2) * 8 + (unsigned)((v >> (top - 3)) & 7);
    return b < HEDGE_BUCKETS ? b : HEDGE_BUCKETS - 1;
}

/* The upper end of a bucket. */
static uint64_t bucket_end(unsigned b)
{
    if (b < 8)
        return (uint64_t)(b + 1) << HIST_SHIFT;
    return (uint64_t)(8 + b % 8 + 1) << (b / 8 - 1 + HIST_SHIFT);
}

static uint64_t quantile(const struct hedge_hist *h, uint32_t percent)
{
    uint64_t want = ((uint64_t)h->total * percent + 99) / 100, seen = 0;
    for (unsigned b = 0; b < HEDGE_BUCKETS; b++) {
        seen += h->count[b];
        if (seen >= want)
            return bucket_end(b);
    }
    return bucket_end(HEDGE_BUCKETS - 1);
}

static void fade(struct hedge_hist *h)
{
    h->total = 0;
    for (unsigned b = 0; b < HEDGE_BUCKETS; b++) {
        h->count[b] /= 2;
        h->total += h->count[b];
    }
}

static void note(struct hedge_hist *h, uint64_t ns)
{
    h->count[bucket_of(ns)]++;
    if (++h->total >= HIST_FADE)
        fade(h);
    if (++h->fresh < HIST_REFRESH || h->total < HIST_SAMPLES_MIN)
        return;
    h->fresh = 0;
    uint64_t twice = 2 * quantile(h, 50), rare = quantile(h, 99);
    h->threshold_ns = twice > rare ? twice : rare;
}

static struct hedge_hist *hist_of(struct firn_store *s, enum firn_os_op op, uint64_t size)
{
    unsigned c = size <= 64u << 10 ? 0 : size <= 1u << 20 ? 1 : size <= 8u << 20 ? 2 : 3;
    if (op == FIRN_OS_GET)
        return &s->hedge.get[c];
    return op == FIRN_OS_PUT ? &s->hedge.put[c] : NULL;
}

void firn_store__hedge_note(struct firn_store *s, enum firn_os_op op, uint64_t size, uint64_t ns)
{
    struct hedge_hist *h = hist_of(s, op, size);
    if (h)
        note(h, ns);
}

uint64_t firn_store__hedge_after(struct firn_store *s, enum firn_os_op op, uint64_t size)
{
    if (s->hedge.credit < CREDIT_MAX)
        s->hedge.credit++;
    const struct hedge_hist *h = hist_of(s, op, size);
    return h ? h->threshold_ns : 0;
}

bool firn_store__hedge_take(struct firn_store *s)
{
    if (s->hedge.credit < CREDIT_ONE || firn_store__gate_slow(s))
        return false;
    s->hedge.credit -= CREDIT_ONE;
    return true;
}
