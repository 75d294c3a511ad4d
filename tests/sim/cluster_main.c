/* sim_cluster: see DESIGN.md. */
#include "sim/cluster_runner.h"

#include <stdlib.h>
#include <string.h>

#define JOBS_MAX 64

static const char usage[] =
    "sim_cluster: a whole Firn cluster in a simulated world that breaks it, seed by seed\n"
    "\n"
    "  --seeds N            so many seeds (100)\n"
    "  --first N            the first of them (1)\n"
    "  --minutes N          as many seeds as fit into so much time instead\n"
    "  --jobs N             so many processes, each with one seed at a time (1)\n"
    "  --twice [N]          every seed, or every Nth, runs twice: their traces must be equal\n"
    "  --regressions FILE   the seeds of this file first\n"
    "  --report FILE        the totals as lines \"name value\"\n"
    "  --traces DIR         where traces of failing seeds go (/tmp)\n"
    "  --seed N             this seed alone, with its figures\n"
    "  --allow LIST         only these faults may strike, by ordinal: 3,17,20-24; \"-\": none\n"
    "  --trace FILE         with --seed: every event, one line each\n"
    "  --shrink             with --seed: the fewest faults with which it still fails\n"
    "\n"
    "A failing seed prints one line that reproduces it; the exit status is 1 then.\n";

static uint64_t number(const char *name, const char *text)
{
    char *end;
    uint64_t n = text ? strtoull(text, &end, 10) : 0;
    if (!text || *text == '\0' || *end != '\0') {
        (void)fprintf(stderr, "%s needs a number\n", name);
        exit(2);
    }
    return n;
}

/* One option; returns how many words it took, 0: no such. */
static int option(struct sim_options *o, const char *name, const char *value)
{
    const struct {
        const char *name;
        uint64_t *n;
        const char **text;
    } known[] = {
        {"--seeds", &o->seeds, NULL},     {"--first", &o->first, NULL},
        {"--minutes", &o->minutes, NULL}, {"--report", NULL, &o->report},
        {"--traces", NULL, &o->traces},   {"--trace", NULL, &o->trace},
        {"--allow", NULL, &o->allow},     {"--regressions", NULL, &o->regressions},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i].name) != 0)
            continue;
        if (known[i].n)
            *known[i].n = number(name, value);
        else if (value)
            *known[i].text = value;
        else
            return 0;
        return 2;
    }
    if (strcmp(name, "--jobs") == 0) {
        uint64_t n = number(name, value);
        o->jobs = (unsigned)(n < 1 ? 1 : n > JOBS_MAX ? JOBS_MAX : n);
        return 2;
    }
    if (strcmp(name, "--seed") == 0) {
        o->first = number(name, value);
        o->seeds = 1;
        o->one = true;
        return 2;
    }
    if (strcmp(name, "--twice") == 0) {
        bool given = value && value[0] != '-';
        o->twice_every = given ? number(name, value) : 1;
        return given ? 2 : 1;
    }
    o->shrink |= strcmp(name, "--shrink") == 0;
    return strcmp(name, "--shrink") == 0;
}

int main(int argc, char **argv)
{
    struct sim_options o = {
        .program = argv[0], .first = 1, .seeds = 100, .jobs = 1, .traces = "/tmp"};
    for (int i = 1; i < argc;) {
        int n = option(&o, argv[i], argv[i + 1]);
        if (n == 0) {
            (void)fputs(usage, strcmp(argv[i], "--help") == 0 ? stdout : stderr);
            return strcmp(argv[i], "--help") == 0 ? 0 : 2;
        }
        i += n;
    }
    if ((o.trace || o.shrink) && !o.one) {
        (void)fputs("--trace and --shrink need --seed\n", stderr);
        return 2;
    }
    return o.shrink ? sim_shrink(&o) : sim_run_all(&o);
}
