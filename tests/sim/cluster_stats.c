#include "sim/cluster_stats.h"

#include <string.h>

#define QUOTA_OPERATIONS 500
#define QUOTA_FAULTS 10

static const struct {
    const char *name, *text;
} counter[SIM_COUNTS] = {
#define SIM_COUNTER_ROW(name, text) {#name, text},
    SIM_COUNTERS(SIM_COUNTER_ROW)
#undef SIM_COUNTER_ROW
};

void sim_named_add(struct sim_named *list, size_t max, const char *name, uint64_t n)
{
    for (size_t i = 0; i < max; i++) {
        if (list[i].name[0] == '\0')
            (void)snprintf(list[i].name, sizeof list[i].name, "%s", name);
        if (strncmp(list[i].name, name, sizeof list[i].name - 1) == 0) {
            list[i].n += n;
            return;
        }
    }
}

bool sim_quota(const struct sim_result *r)
{
    return r->count[SIM_operations] >= QUOTA_OPERATIONS && r->count[SIM_faults] >= QUOTA_FAULTS &&
           r->count[SIM_takeovers] && r->count[SIM_flushes] && r->count[SIM_compactions] &&
           r->count[SIM_collected];
}

void sim_totals_add(struct sim_totals *t, const struct sim_result *r)
{
    t->seeds++;
    t->quota += sim_quota(r);
    t->cpu_us += r->cpu_us;
    for (size_t i = 0; i < SIM_COUNTS; i++)
        t->count[i] += r->count[i];
    for (size_t i = 0; i < SIM_KINDS_MAX && r->fault[i].name[0]; i++)
        sim_named_add(t->fault, SIM_KINDS_MAX, r->fault[i].name, r->fault[i].n);
    for (size_t i = 0; i < SIM_POINTS_MAX && r->point[i].name[0]; i++)
        sim_named_add(t->point, SIM_POINTS_MAX, r->point[i].name, r->point[i].n);
}

static double share(uint64_t of, uint64_t all)
{
    return all ? 100.0 * (double)of / (double)all : 0;
}

static double speed(const struct sim_totals *t)
{
    return t->cpu_us ? (double)t->count[SIM_sim_ms] * 1000 / (double)t->cpu_us : 0;
}

static void print_counts(const uint64_t count[SIM_COUNTS], const struct sim_named *fault, FILE *to)
{
    for (size_t i = 0; i < SIM_COUNTS; i++)
        if (i != SIM_sim_ms)
            (void)fprintf(to, "  %12llu  %s\n", (unsigned long long)count[i], counter[i].text);
    for (size_t i = 0; i < SIM_KINDS_MAX && fault[i].name[0]; i++)
        (void)fprintf(to, "  %12llu  fault: %s\n", (unsigned long long)fault[i].n, fault[i].name);
}

void sim_totals_print(const struct sim_totals *t, FILE *to)
{
    size_t points = 0, reached = 0;
    for (; points < SIM_POINTS_MAX && t->point[points].name[0]; points++)
        reached += t->point[points].n > 0;
    (void)fprintf(to,
                  "%llu seeds, %llu failed, %llu run twice, %.1f %% meet the quota; %.1f simulated "
                  "hours in %.1f s of CPU (%.3f s a seed, %.0f x real time), %.1f s of ours\n",
                  (unsigned long long)t->seeds, (unsigned long long)t->failed,
                  (unsigned long long)t->twice, share(t->quota, t->seeds),
                  (double)t->count[SIM_sim_ms] / 3.6e6, (double)t->cpu_us / 1e6,
                  t->seeds ? (double)t->cpu_us / 1e6 / (double)t->seeds : 0, speed(t),
                  (double)t->wall_ms / 1e3);
    print_counts(t->count, t->fault, to);
    if (points == 0)
        return;
    (void)fprintf(to, "  %zu of %zu rare points reached; not reached:\n", reached, points);
    for (size_t i = 0; i < points; i++)
        if (t->point[i].n == 0)
            (void)fprintf(to, "    %s\n", t->point[i].name);
}

static void report_named(FILE *f, const char *what, const struct sim_named *list, size_t max)
{
    for (size_t i = 0; i < max && list[i].name[0]; i++)
        (void)fprintf(f, "%s %llu %s\n", what, (unsigned long long)list[i].n, list[i].name);
}

bool sim_totals_report(const struct sim_totals *t, const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        return false;
    (void)fprintf(f, "seeds %llu\nfailed %llu\nquota %llu\ntwice %llu\ncpu_us %llu\nwall_ms %llu\n",
                  (unsigned long long)t->seeds, (unsigned long long)t->failed,
                  (unsigned long long)t->quota, (unsigned long long)t->twice,
                  (unsigned long long)t->cpu_us, (unsigned long long)t->wall_ms);
    for (size_t i = 0; i < SIM_COUNTS; i++)
        (void)fprintf(f, "%s %llu\n", counter[i].name, (unsigned long long)t->count[i]);
    report_named(f, "fault", t->fault, SIM_KINDS_MAX);
    report_named(f, "sometimes", t->point, SIM_POINTS_MAX);
    bool ok = !ferror(f);
    return fclose(f) == 0 && ok;
}

void sim_result_print(const struct sim_result *r, FILE *to)
{
    (void)fprintf(to, "seed %llu: trace hash %016llx, %.1f simulated s in %.3f s of CPU\n",
                  (unsigned long long)r->seed, (unsigned long long)r->hash,
                  (double)r->count[SIM_sim_ms] / 1e3, (double)r->cpu_us / 1e6);
    print_counts(r->count, r->fault, to);
}
