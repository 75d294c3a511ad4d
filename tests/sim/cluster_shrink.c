/* The shrinker: delta debugging (Zeller & Hildebrandt, "Simplifying and Isolating Failure-Inducing
 * Input", 2002: ddmin) over the ordinals of the faults that struck a failing seed. A fault that is
 * forbidden keeps its ordinal, so that those before it stay as they were; what comes after may
 * change, which costs tries but misleads nobody: what is printed was run. */
#include "sim/cluster_runner.h"

#include <stdlib.h>
#include <string.h>

struct shrink {
    const struct sim_options *o;
    struct sim_result *r;
    uint64_t *set; /* with these it fails, ascending */
    size_t n;
    unsigned tries;
};

/* "1,2,5-9"; "-" for none. The caller's to free. */
static char *list_text(const uint64_t *set, size_t n)
{
    size_t size = n * 44 + 2, at = 0;
    char *text = malloc(size);
    if (!text)
        abort();
    (void)snprintf(text, size, "-");
    for (size_t i = 0; i < n; i++) {
        size_t last = i;
        while (last + 1 < n && set[last + 1] == set[last] + 1)
            last++;
        const char *comma = at ? "," : "";
        unsigned long long from = set[i], to = set[last];
        at += last > i ? (size_t)snprintf(text + at, size - at, "%s%llu-%llu", comma, from, to)
                       : (size_t)snprintf(text + at, size - at, "%s%llu", comma, from);
        i = last;
    }
    return text;
}

static bool fails(struct shrink *s, const uint64_t *set, size_t n)
{
    char *allow = list_text(set, n);
    struct sim_spec spec = {.seed = s->o->first, .allow = allow, .log = "/dev/null"};
    bool failed = !sim_try(&spec, s->r);
    free(allow);
    s->tries++;
    return failed;
}

/* s->set without [from, to). */
static size_t without(const struct shrink *s, size_t from, size_t to, uint64_t *out)
{
    memcpy(out, s->set, from * sizeof *out);
    memcpy(out + from, s->set + to, (s->n - to) * sizeof *out);
    return s->n - (to - from);
}

/* Try to leave out one of `parts` pieces; false: each is needed. */
static bool reduce(struct shrink *s, size_t parts, uint64_t *scratch)
{
    for (size_t i = 0; i < parts; i++) {
        size_t from = s->n * i / parts, to = s->n * (i + 1) / parts;
        size_t n = without(s, from, to, scratch);
        if (to > from && fails(s, scratch, n)) {
            memcpy(s->set, scratch, n * sizeof *scratch);
            s->n = n;
            (void)fprintf(stderr, "%u tries: %zu faults left\n", s->tries, n);
            return true;
        }
    }
    return false;
}

static void minimize(struct shrink *s)
{
    uint64_t *scratch = calloc(s->n + 1, sizeof *scratch);
    if (!scratch)
        abort();
    size_t parts = 2;
    while (s->n > 0) {
        if (parts > s->n)
            parts = s->n;
        if (reduce(s, parts, scratch))
            parts = parts > 2 ? parts - 1 : 2;
        else if (parts == s->n)
            break;
        else
            parts *= 2;
    }
    free(scratch);
}

static void tell(struct shrink *s)
{
    char command[8192], trace[512], log[512];
    char *allow = list_text(s->set, s->n);
    (void)snprintf(trace, sizeof trace, "%s/sim-%llu.min.trace", s->o->traces,
                   (unsigned long long)s->o->first);
    (void)snprintf(log, sizeof log, "%s/sim-%llu.min.log", s->o->traces,
                   (unsigned long long)s->o->first);
    struct sim_spec spec = {.seed = s->o->first, .allow = allow, .trace = trace, .log = log};
    (void)sim_try(&spec, s->r);
    sim_command(s->o, s->o->first, allow, command, sizeof command);
    printf("%zu faults are needed (%u tries): %s # %s; trace: %s\n", s->n, s->tries, command,
           s->r->why, trace);
    free(allow);
}

int sim_shrink(const struct sim_options *o)
{
    struct shrink s = {.o = o, .r = sim_results(1)};
    struct sim_spec spec = {.seed = o->first, .log = "/dev/null"};
    if (sim_try(&spec, s.r)) {
        printf("seed %llu does not fail\n", (unsigned long long)o->first);
        return 1;
    }
    s.n = (size_t)s.r->struck;
    s.set = calloc(s.n + 1, sizeof *s.set);
    if (!s.set)
        abort();
    memcpy(s.set, s.r->ordinal, s.n * sizeof *s.set);
    minimize(&s);
    tell(&s);
    free(s.set);
    return 0;
}
