/* One seed in a process of its own. */
#include "sim/cluster_runner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CPU_SECONDS_MAX 120 /* of one seed: more is a loop without end */

struct sim_result *sim_results(size_t n)
{
    void *p = mmap(NULL, n * sizeof(struct sim_result), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return p;
}

static uint64_t cpu_us(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void run(const struct sim_spec *s, struct sim_result *r)
{
    sim_run_seed(s, r);
    r->cpu_us = cpu_us();
    if (s->twice) {
        static struct sim_result again;
        sim_run_seed(s, &again);
        if (again.hash != r->hash) {
            (void)snprintf(r->why, sizeof r->why, "two runs, two traces: %016llx and %016llx",
                           (unsigned long long)r->hash, (unsigned long long)again.hash);
            (void)fprintf(stderr, "seed %llu: %s\n", (unsigned long long)s->seed, r->why);
            exit(1);
        }
    }
    r->done = true;
}

pid_t sim_spawn(const struct sim_spec *s, struct sim_result *r)
{
    memset(r, 0, sizeof *r);
    r->seed = s->seed;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    if (pid)
        return pid;
    struct rlimit cpu = {CPU_SECONDS_MAX, CPU_SECONDS_MAX}, core = {0, 0};
    (void)setrlimit(RLIMIT_CPU, &cpu);
    (void)setrlimit(RLIMIT_CORE, &core);
    if (s->log && !freopen(s->log, "w", stderr))
        _exit(2);
    run(s, r);
    exit(0); /* not _exit: what leaks is found there */
}

bool sim_passed(int wait_status, const struct sim_result *r)
{
    return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0 && r->done;
}

bool sim_try(const struct sim_spec *s, struct sim_result *r)
{
    int status = 0;
    pid_t pid = sim_spawn(s, r);
    if (waitpid(pid, &status, 0) != pid) {
        perror("waitpid");
        exit(2);
    }
    return sim_passed(status, r);
}
