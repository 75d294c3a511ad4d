#include "bench/load_series.h"

#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_SEC UINT64_C(1000000000)
#define SECONDS_MAX 1000000

void load_series_deinit(struct load_series *s)
{
    firn_free(s->second);
    *s = (struct load_series){0};
}

static enum firn_status reach(struct load_series *s, size_t second)
{
    if (second >= SECONDS_MAX)
        return FIRN_LIMIT;
    if (second >= s->cap) {
        size_t cap = second + 64;
        struct load_second *v = firn_realloc(s->second, cap * sizeof *v);
        if (!v)
            return FIRN_LIMIT;
        memset(v + s->cap, 0, (cap - s->cap) * sizeof *v);
        s->second = v;
        s->cap = cap;
    }
    if (second >= s->seconds)
        s->seconds = second + 1;
    return FIRN_OK;
}

enum firn_status load_series_add(struct load_series *s, uint64_t now_ns, uint64_t latency_ns)
{
    size_t second = (size_t)((now_ns - s->begin_ns) / NS_PER_SEC);
    enum firn_status st = reach(s, second);
    if (st != FIRN_OK)
        return st;
    struct load_second *at = &s->second[second];
    uint64_t gap = now_ns - (s->last_ns ? s->last_ns : s->begin_ns);
    s->last_ns = now_ns;
    at->replies++;
    if (latency_ns > at->worst_ns)
        at->worst_ns = latency_ns;
    if (gap > at->gap_ns)
        at->gap_ns = gap;
    return FIRN_OK;
}

enum firn_status load_series_write(const struct load_series *s, const char *path,
                                   struct firn_err *err)
{
    FILE *f = fopen(path, "we");
    bool ok = f && fputs("second,replies,worst_ms,gap_ms\n", f) >= 0;
    for (size_t i = 0; ok && i < s->seconds; i++)
        ok = fprintf(f, "%zu,%" PRIu64 ",%.3f,%.3f\n", i, s->second[i].replies,
                     (double)s->second[i].worst_ns / 1e6, (double)s->second[i].gap_ns / 1e6) > 0;
    if (f && fclose(f) != 0)
        ok = false;
    return ok ? FIRN_OK : firn_fail(err, FIRN_INVALID, "%s: %s", path, strerror(errno));
}
