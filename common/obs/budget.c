#include "obs/budget.h"

#include "base/assert.h"
#include "obs/metrics.h"

void firn_budget_init(struct firn_budget *b, uint64_t total)
{
    *b = (struct firn_budget){.total = total};
}

uint64_t firn_budget_least(const struct firn_budget_need need[FIRN_BUDGET_PARTS])
{
    uint64_t sum = 0;
    for (int i = 0; i < FIRN_BUDGET_PARTS; i++)
        sum += need[i].least;
    return sum;
}

void firn_budget_divide(struct firn_budget *b,
                        const struct firn_budget_need need[FIRN_BUDGET_PARTS])
{
    uint64_t least = firn_budget_least(need), weights = 0, given = 0;
    FIRN_ASSERT(b->total >= least);
    for (int i = 0; i < FIRN_BUDGET_PARTS; i++)
        weights += need[i].weight;
    FIRN_ASSERT(weights > 0);
    for (int i = 0; i < FIRN_BUDGET_PARTS; i++) {
        b->part[i].share = need[i].least + (b->total - least) / weights * need[i].weight;
        given += b->part[i].share;
    }
    b->part[FIRN_BUDGET_CACHE].share += b->total - given; /* what the division left */
}

static void count(struct firn_budget *b, enum firn_budget_part part, uint64_t used)
{
    b->sum += used - b->part[part].used;
    b->part[part].used = used;
    if (used > b->part[part].peak)
        b->part[part].peak = used;
}

void firn_budget_set(struct firn_budget *b, enum firn_budget_part part, uint64_t used)
{
    if (!b)
        return;
    count(b, part, used);
    if (b->sum > b->total && b->reclaim)
        b->reclaim(b->reclaim_arg);
    if (b->sum > b->sum_peak)
        b->sum_peak = b->sum;
}

void firn_budget_set_cache(struct firn_budget *b, uint64_t cache, uint64_t pinned)
{
    count(b, FIRN_BUDGET_CACHE, cache);
    count(b, FIRN_BUDGET_PINNED, pinned);
    if (b->sum > b->sum_peak)
        b->sum_peak = b->sum;
}

uint64_t firn_budget_cache_room(const struct firn_budget *b)
{
    uint64_t others = b->sum - b->part[FIRN_BUDGET_CACHE].used - b->part[FIRN_BUDGET_PINNED].used;
    uint64_t least = b->part[FIRN_BUDGET_CACHE].share;
    return others + least < b->total ? b->total - others : least;
}

const char *firn_budget_part_name(enum firn_budget_part part)
{
    static const char *const name[] = {
        [FIRN_BUDGET_CACHE] = "cache",           [FIRN_BUDGET_PINNED] = "pinned",
        [FIRN_BUDGET_FETCHES] = "fetches",       [FIRN_BUDGET_MEMTABLES] = "memtables",
        [FIRN_BUDGET_BATCHES] = "batches",       [FIRN_BUDGET_TABLES] = "tables",
        [FIRN_BUDGET_CLIENTS] = "clients",       [FIRN_BUDGET_SNAPSHOTS] = "snapshots",
        [FIRN_BUDGET_REMEMBERED] = "remembered",
    };
    return name[part];
}

void firn_budget_collect(struct firn_metrics_out *out, const struct firn_budget *b)
{
    firn_metrics_gauge(out, "memory_limit_bytes", "The setting memory.", (double)b->total, NULL);
    firn_metrics_gauge(out, "memory_sum_bytes", "Memory of all parts.", (double)b->sum, NULL);
    firn_metrics_gauge(out, "memory_sum_peak_bytes", "The most that all parts held together.",
                       (double)b->sum_peak, NULL);
    for (int i = 0; i < FIRN_BUDGET_PARTS; i++) {
        const char *part = firn_budget_part_name((enum firn_budget_part)i);
        firn_metrics_gauge(out, "memory_bytes", "Memory by part.", (double)b->part[i].used, "part",
                           part, NULL);
        firn_metrics_gauge(out, "memory_share_bytes", "What each part may hold.",
                           (double)b->part[i].share, "part", part, NULL);
        firn_metrics_gauge(out, "memory_peak_bytes", "The most that each part held.",
                           (double)b->part[i].peak, "part", part, NULL);
    }
}
