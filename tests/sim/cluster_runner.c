/* All seeds: some at a time, each in a child, the failing ones run once more for their trace. */
#include "sim/cluster_runner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define PROGRESS_MS 15000

struct job {
    pid_t pid; /* 0: free */
    struct sim_spec spec;
    struct sim_result *result;
};

struct runner {
    const struct sim_options *o;
    struct job *job;
    unsigned running;
    uint64_t next, begun_ms, said_ms;
    struct sim_totals totals;
};

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void sim_command(const struct sim_options *o, uint64_t seed, const char *allow, char *out,
                 size_t size)
{
    (void)snprintf(out, size, "%s --seed %llu%s%s", o->program, (unsigned long long)seed,
                   allow ? " --allow " : "", allow ? allow : "");
}

/* Once more, with its trace, and the line that says how to see it again. */
static void tell_failure(struct runner *u, const struct sim_spec *s, const struct sim_result *first)
{
    char trace[512], log[512], command[4096];
    (void)snprintf(trace, sizeof trace, "%s/sim-%llu.trace", u->o->traces,
                   (unsigned long long)s->seed);
    (void)snprintf(log, sizeof log, "%s/sim-%llu.log", u->o->traces, (unsigned long long)s->seed);
    struct sim_spec again = *s;
    struct sim_result *r = sim_results(1);
    again.trace = trace;
    again.log = log;
    bool passed = sim_try(&again, r);
    sim_command(u->o, s->seed, s->allow, command, sizeof command);
    (void)fprintf(stderr, "FAILED: %s%s # %s; trace: %s%s\n", command, s->twice ? " --twice" : "",
                  first->why[0] ? first->why : "it died", trace,
                  passed ? " (but it passes when run again)" : "");
}

static void reap(struct runner *u)
{
    int status;
    pid_t pid = wait(&status);
    for (unsigned i = 0; i < u->o->jobs; i++) {
        struct job *j = &u->job[i];
        if (pid <= 0 || j->pid != pid)
            continue;
        j->pid = 0;
        u->running--;
        u->totals.twice += j->spec.twice;
        sim_totals_add(&u->totals, j->result);
        if (!sim_passed(status, j->result)) {
            u->totals.failed++;
            tell_failure(u, &j->spec, j->result);
        }
    }
}

static void begin(struct runner *u, const struct sim_spec *s)
{
    if (u->running == u->o->jobs)
        reap(u);
    struct job *j = u->job;
    while (j->pid)
        j++;
    j->spec = *s;
    j->pid = sim_spawn(s, j->result);
    u->running++;
}

static bool more(const struct runner *u)
{
    const struct sim_options *o = u->o;
    if (o->minutes)
        return now_ms() - u->begun_ms < o->minutes * 60000;
    return u->next < o->first + o->seeds;
}

static void progress(struct runner *u)
{
    uint64_t now = now_ms();
    if (now - u->said_ms < PROGRESS_MS)
        return;
    u->said_ms = now;
    (void)fprintf(stderr, "%llu seeds, %llu failed, %llu s\n", (unsigned long long)u->totals.seeds,
                  (unsigned long long)u->totals.failed,
                  (unsigned long long)((now - u->begun_ms) / 1000));
}

/* Lines "<seed> <allow or -> <commit> <what it was>"; '#' begins a comment. All are read before the
 * first child is forked: it would share the file's offset, and move it at its exit. */
static struct sim_spec *read_regressions(const char *path, size_t *n)
{
    char line[8192];
    struct sim_spec *all = NULL;
    FILE *f = fopen(path, "r");
    if (!f) {
        perror(path);
        exit(2);
    }
    for (*n = 0; fgets(line, sizeof line, f);) {
        char *save = NULL, *seed = strtok_r(line, " \t\n", &save);
        if (!seed || seed[0] == '#')
            continue;
        char *allow = strtok_r(NULL, " \t\n", &save);
        bool any = !allow || strcmp(allow, "-") == 0;
        all = realloc(all, (*n + 1) * sizeof *all);
        if (!all)
            abort();
        all[(*n)++] = (struct sim_spec){.seed = strtoull(seed, NULL, 10),
                                        .allow = any ? NULL : strdup(allow)};
    }
    (void)fclose(f);
    return all;
}

static void regressions(struct runner *u)
{
    size_t n;
    struct sim_spec *all = read_regressions(u->o->regressions, &n);
    for (size_t i = 0; i < n; i++)
        begin(u, &all[i]); /* what it allows lives as long as we do */
    free(all);
}

int sim_run_all(const struct sim_options *o)
{
    struct runner u = {.o = o, .next = o->first, .begun_ms = now_ms()};
    struct sim_result *results = sim_results(o->jobs);
    u.said_ms = u.begun_ms;
    u.job = calloc(o->jobs, sizeof *u.job);
    if (!u.job)
        return 2;
    for (unsigned i = 0; i < o->jobs; i++)
        u.job[i].result = &results[i];
    if (o->regressions)
        regressions(&u);
    for (; more(&u); u.next++) {
        struct sim_spec s = {.seed = u.next, .allow = o->allow, .trace = o->trace};
        s.twice = o->twice_every && (u.next - o->first) % o->twice_every == 0;
        begin(&u, &s);
        progress(&u);
    }
    while (u.running)
        reap(&u);
    u.totals.wall_ms = now_ms() - u.begun_ms;
    if (o->one)
        sim_result_print(&results[0], stdout);
    else
        sim_totals_print(&u.totals, stdout);
    free(u.job);
    if (o->report && !sim_totals_report(&u.totals, o->report)) {
        perror(o->report);
        return 2;
    }
    return u.totals.failed ? 1 : 0;
}
