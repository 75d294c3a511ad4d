/* Torture of whole roles: run a flow again and again, with the n-th allocation or the n-th request
 * to the store failing, for n = 1, 2, … until the flow is through before. Each time: no crash, no
 * leak, replies that clients are promised, nodes that go on or say why not; afterwards, without a
 * fault, nothing acknowledged is missing on the nodes that live, on a new writer and a new reader,
 * after a compaction, and firnctl verify finds nothing.
 *
 *     torture_cluster FLOW FAULT [--all | --runs R | --n N] [--fork]
 *
 * FAULT: memory (one allocation fails), memory-gone (all from the n-th on), or a fate of a request:
 * drop, lost, reset, reset-done, refused, 409, 500, 500-done, 503, 403, short, flip, late, twice;
 * with "-on" behind it all requests from the n-th on have it until the flow is over. "store" means
 * each of them in turn. Default: as many n as --runs says, spread evenly. --fork: each n in a
 * process of its own, and go on behind failures. */
#include "flows.h"

#include "base/mem.h"
#include "ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS 25     /* of one fault */
#define RUNS_EACH 3 /* of each, where there are many */

void __sanitizer_set_death_callback(void (*fn)(void)) __attribute__((weak));
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static const struct {
    const char *name;
    enum stage_fault fault;
    enum firn_fake_fate fate;
} faults[] = {
    {"memory", STAGE_MEMORY, FIRN_FAKE_CLEAN},
    {"memory-gone", STAGE_MEMORY_GONE, FIRN_FAKE_CLEAN},
    {"drop", STAGE_STORE, FIRN_FAKE_DROP},
    {"lost", STAGE_STORE, FIRN_FAKE_LOSE_REPLY},
    {"reset", STAGE_STORE, FIRN_FAKE_RESET},
    {"reset-done", STAGE_STORE, FIRN_FAKE_RESET_DONE},
    {"refused", STAGE_STORE, FIRN_FAKE_REFUSED},
    {"409", STAGE_STORE, FIRN_FAKE_409},
    {"500", STAGE_STORE, FIRN_FAKE_500},
    {"500-done", STAGE_STORE, FIRN_FAKE_500_DONE},
    {"503", STAGE_STORE, FIRN_FAKE_503},
    {"403", STAGE_STORE, FIRN_FAKE_DENIED},
    {"short", STAGE_STORE, FIRN_FAKE_SHORT_READ},
    {"flip", STAGE_STORE, FIRN_FAKE_BIT_FLIP},
    {"late", STAGE_STORE, FIRN_FAKE_LATE},
    {"twice", STAGE_STORE, FIRN_FAKE_TWICE_SECOND},
    {"drop-on", STAGE_STORE_GONE, FIRN_FAKE_DROP},
    {"500-on", STAGE_STORE_GONE, FIRN_FAKE_500},
    {"503-on", STAGE_STORE_GONE, FIRN_FAKE_503},
    {"403-on", STAGE_STORE_GONE, FIRN_FAKE_DENIED},
    {"refused-on", STAGE_STORE_GONE, FIRN_FAKE_REFUSED},
};
#define FAULTS (sizeof faults / sizeof *faults)

static char current[96]; /* for messages */

static void on_death(void)
{
    fprintf(stderr, "*** %s\n", current);
}

/* ---- afterwards */

static void ctl_out(void *arg, struct firn_slice text)
{
    struct firn_buf *b = arg;
    if (firn_buf_append(b, text.data, text.len) != FIRN_OK)
        abort();
}

static void ctl_say(void *arg, const char *line)
{
    ctl_out(arg, firn_slice_str(line));
    ctl_out(arg, firn_slice_str("\n"));
}

struct verify {
    struct firn_buf text;
    int status;
    bool ended;
};

static void ctl_ended(void *arg, int status)
{
    struct verify *v = arg;
    v->status = status;
    v->ended = true;
}

static bool has_ended(void *arg)
{
    return ((const struct verify *)arg)->ended;
}

/* firnctl verify finds nothing wrong. */
static void verify(struct stage *s)
{
    char *argv[] = {(char *)(uintptr_t) "verify"};
    struct firn_ctl_args a;
    struct firn_settings settings;
    struct firn_store *store;
    struct firn_ctl *ctl;
    struct verify v = {.text = {.max = 1 << 20}};
    struct firn_ctl_user u = {.out = ctl_out, .say = ctl_say, .ended = ctl_ended, .arg = &v};
    const struct firn_env *env = firn_fake_env(firn_fake_node_add(s->w, NULL));
    if (firn_settings_init(&settings) != FIRN_OK || firn_ctl_parse(1, argv, &a, NULL) != FIRN_OK ||
        firn_store_create(env, NULL, &store) != FIRN_OK ||
        firn_ctl_create(env, store, &settings, &a, &u, &ctl) != FIRN_OK)
        abort();
    firn_ctl_start(ctl);
    if (!firn_fake_run_until(s->w, has_ended, &v, 600 * FIRN_SEC))
        stage_fail(s, "firnctl verify does not end");
    if (v.status != 0)
        stage_fail(s, "firnctl verify: %.*s", (int)v.text.len, (const char *)v.text.data);
    firn_ctl_free(ctl);
    firn_store_free(store);
    firn_settings_deinit(&settings);
    firn_buf_clear(&v.text);
}

static void heal(struct stage *s)
{
    stage_run(s, 8 * FIRN_SEC);
    if (s->writer && !s->writer->over && s->writer->serving)
        stage_must_show(s->writer);
    if (s->reader && !s->reader->over && s->reader->serving)
        stage_must_show(s->reader);
    for (unsigned i = 0; i < s->nodes; i++)
        stage_halt(s->node[i]);
    stage_run(s, 10 * FIRN_SEC);
    if (!stage_serves(stage_writer(s, false)))
        stage_fail(s, "no new writer comes to serve: %s", s->writer->why);
    stage_must_show(s->writer);
    if (!stage_serves(stage_reader(s)))
        stage_fail(s, "no new reader comes to serve: %s", s->reader->why);
    stage_must_show(s->reader);
    (void)stage_serves(stage_compactor(s));
    struct stage_client *c = stage_connect(s->writer);
    stage_write(c, 0, STAGE_KEYS / 2, 0, 400);
    stage_count(c, 1);
    stage_run(s, 6 * FIRN_SEC);
    stage_hang_up(c);
    stage_must_show(s->reader);
    stage_must_show(s->writer);
    if (s->writer->over || s->reader->over || s->compactor->over)
        stage_fail(s, "a node without a fault ended: %s%s%s", s->writer->why, s->reader->why,
                   s->compactor->why);
    verify(s);
}

/* ---- one run, all runs */

/* How often the fault could have struck. n UINT64_MAX: never. */
static uint64_t run(const struct flow *f, size_t fault, uint64_t n)
{
    static struct stage s;
    memset(&s, 0, sizeof s);
    (void)snprintf(current, sizeof current, "%s %s --n %llu", f->name, faults[fault].name,
                   (unsigned long long)n);
    s.what = current;
    s.tiny = f->tiny;
    s.fault = faults[fault].fault;
    s.fate = faults[fault].fate;
    s.at = n;
    stage_open(&s);
    if (f->prepare)
        f->prepare(&s);
    stage_arm(&s);
    f->run(&s);
    uint64_t count = stage_disarm(&s);
    heal(&s);
    stage_close(&s);
    return count;
}

static bool run_apart(const struct flow *f, size_t fault, uint64_t n)
{
    int status = 0;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        (void)run(f, fault, n);
        if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check()) {
            on_death();
            _exit(1);
        }
        _exit(0);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

struct options {
    uint64_t runs, n;
    bool all, apart;
};

/* Returns how many runs failed. */
static unsigned torture(const struct flow *f, size_t fault, const struct options *o)
{
    uint64_t total = run(f, fault, UINT64_MAX);
    uint64_t runs = o->all || total < o->runs ? total : o->runs;
    unsigned failed = 0;
    for (uint64_t i = 0; i < runs; i++) {
        /* Each fault elsewhere. */
        uint64_t n = o->all ? i + 1 : 1 + (i * FAULTS + fault) * total / (runs * FAULTS);
        if (o->apart)
            failed += !run_apart(f, fault, n);
        else
            (void)run(f, fault, n);
    }
    printf("%s %s: %llu of %llu places, %u failed\n", f->name, faults[fault].name,
           (unsigned long long)runs, (unsigned long long)total, failed);
    return failed;
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "torture_cluster FLOW FAULT [--all | --runs R | --n N] [--fork]\nflows:");
    for (size_t i = 0; i < flows_count; i++)
        fprintf(stderr, " %s", flows[i].name);
    fprintf(stderr, "\nfaults: store");
    for (size_t i = 0; i < FAULTS; i++)
        fprintf(stderr, " %s", faults[i].name);
    fprintf(stderr, "\n");
    exit(2);
}

static bool chosen(const char *word, size_t fault)
{
    bool memory = faults[fault].fault == STAGE_MEMORY || faults[fault].fault == STAGE_MEMORY_GONE;
    return strcmp(word, faults[fault].name) == 0 || (!memory && strcmp(word, "store") == 0);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    const struct flow *f = NULL;
    unsigned failed = 0, tried = 0;
    for (size_t i = 0; argc > 2 && i < flows_count; i++)
        f = strcmp(argv[1], flows[i].name) == 0 ? &flows[i] : f;
    if (!f)
        usage();
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--all") == 0)
            o.all = true;
        else if (strcmp(argv[i], "--fork") == 0)
            o.apart = true;
        else if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc)
            o.runs = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--n") == 0 && i + 1 < argc)
            o.n = strtoull(argv[++i], NULL, 10);
        else
            usage();
    }
    if (o.runs == 0)
        o.runs = strcmp(argv[2], "store") == 0 ? RUNS_EACH : RUNS;
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(on_death);
    for (size_t i = 0; i < FAULTS; i++) {
        if (!chosen(argv[2], i))
            continue;
        tried++;
        if (o.n)
            (void)run(f, i, o.n);
        else
            failed += torture(f, i, &o);
    }
    if (!tried)
        usage();
    return failed > 0;
}
