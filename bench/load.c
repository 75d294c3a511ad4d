/* firn-load: puts a RESP server under load from one thread and checks every reply. See --help. */
#include "bench/load_conn.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define NS_PER_SEC 1e9
#define EVENTS_MAX 512
#define IN_BYTES ((size_t)512 * 1024)
#define DRAIN_NS (UINT64_C(30) * 1000000000) /* how long the last replies are waited for */
#define IDLE_WAIT_NS 50000000L               /* a look at the clock at least so often */

struct run {
    struct load load;
    struct load_conn *conn;
    int epoll;
    uint32_t open; /* connections */
    uint64_t begin_ns, end_ns, last_reply_ns;
    bool ending;  /* nothing is sent any more */
    uint64_t due; /* open loop: commands that have been sent */
    uint32_t turn;
};

static void watch(struct run *r, struct load_conn *c, int op)
{
    struct epoll_event e = {.events = EPOLLIN | (c->wants_write ? (uint32_t)EPOLLOUT : 0),
                            .data.u32 = c->index};
    if (epoll_ctl(r->epoll, op, c->fd, &e) != 0)
        perror("epoll_ctl");
}

static void drop(struct run *r, struct load_conn *c)
{
    load_conn_close(c, &r->load);
    r->open--;
}

static void flush(struct run *r, struct load_conn *c)
{
    bool wanted = c->wants_write;
    if (!load_conn_flush(c))
        drop(r, c);
    else if (c->wants_write != wanted)
        watch(r, c, EPOLL_CTL_MOD);
}

/* May another command be sent? */
static bool more(struct run *r)
{
    if (!r->ending && r->load.opt.count && r->load.sent >= r->load.opt.count)
        r->ending = true;
    return !r->ending;
}

/* Closed loop: once all is answered, the next round of `pipeline` commands. */
static void fill_closed(struct run *r, struct load_conn *c)
{
    if (c->flights > 0 || c->first_owed)
        return;
    uint64_t now = load_now();
    while (c->flights < r->load.opt.pipeline && more(r)) {
        if (!load_conn_add(c, &r->load, now))
            break;
    }
}

/* A connection that can take one more command, in turn; NULL: none. */
static struct load_conn *free_conn(struct run *r)
{
    for (uint32_t i = 0; i < r->load.opt.conns; i++) {
        struct load_conn *c = &r->conn[r->turn];
        r->turn = (r->turn + 1) % r->load.opt.conns;
        if (c->fd >= 0 && !c->first_owed && c->flights < r->load.opt.pipeline)
            return c;
    }
    return NULL;
}

/* Open loop: command i is due at begin + i / rate, and its latency counts from then (coordinated
 * omission: Gil Tene, "How NOT to Measure Latency"). Gives the time until the next is due. */
static uint64_t fill_open(struct run *r)
{
    double step = NS_PER_SEC / r->load.opt.rate;
    uint64_t now = load_now();
    while (more(r)) {
        uint64_t due = r->begin_ns + (uint64_t)((double)r->due * step);
        if (due > now)
            return due - now;
        struct load_conn *c = free_conn(r);
        if (!c || !load_conn_add(c, &r->load, due))
            break;
        r->due++;
        flush(r, c);
    }
    return IDLE_WAIT_NS;
}

static void serve(struct run *r, const struct epoll_event *e)
{
    struct load_conn *c = &r->conn[e->data.u32];
    if (c->fd < 0)
        return;
    if ((e->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !load_conn_receive(c, &r->load)) {
        drop(r, c);
        return;
    }
    if (r->load.opt.rate == 0)
        fill_closed(r, c);
    if (c->out.len)
        flush(r, c);
}

static uint64_t in_flight(const struct run *r)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < r->load.opt.conns; i++)
        n += r->conn[i].flights;
    return n;
}

static void loop(struct run *r)
{
    struct epoll_event ev[EVENTS_MAX];
    for (uint32_t i = 0; i < r->load.opt.conns; i++) {
        if (r->load.opt.rate == 0)
            fill_closed(r, &r->conn[i]);
        flush(r, &r->conn[i]);
    }
    while (r->open > 0) {
        uint64_t wait = r->load.opt.rate > 0 ? fill_open(r) : IDLE_WAIT_NS;
        struct timespec t = {0, wait < IDLE_WAIT_NS ? (long)wait : IDLE_WAIT_NS};
        int n = epoll_pwait2(r->epoll, ev, EVENTS_MAX, &t, NULL);
        for (int i = 0; i < n; i++)
            serve(r, &ev[i]);
        uint64_t now = load_now();
        if (!r->load.opt.sequential && !r->load.opt.count && now >= r->end_ns)
            r->ending = true;
        if (n == 0 || r->ending || r->load.opt.sequential) {
            bool idle = in_flight(r) == 0;
            if (idle && (r->ending || r->load.opt.sequential))
                break;
            if (r->ending && now > r->end_ns + DRAIN_NS && !r->load.opt.count)
                break;
        }
    }
    r->last_reply_ns = load_now();
}

static double cpu_seconds(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0)
        return 0;
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double us(const struct firn_hist *h, double q)
{
    return (double)firn_hist_quantile(h, q) / 1e3;
}

static void report(const struct run *r)
{
    const struct load_options *o = &r->load.opt;
    const struct load_counts *g = &r->load.got;
    const struct firn_hist *h = &g->latency;
    uint64_t from = r->load.count_from > r->begin_ns ? r->load.count_from : r->begin_ns;
    double seconds = (double)(r->last_reply_ns - from) / NS_PER_SEC;
    double rate = seconds > 0 ? (double)h->count / seconds : 0;
    (void)printf(
        "{\"mode\":\"%s\",\"conns\":%u,\"pipeline\":%u,\"keys\":%" PRIu64
        ",\"value_bytes\":%u,\"open_rate\":%.0f,\"seconds\":%.3f,\"rate\":%.0f"
        ",\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,\"mean_us\":%.1f"
        ",\"sets\":%" PRIu64 ",\"gets\":%" PRIu64 ",\"nils\":%" PRIu64 ",\"unanswered\":%" PRIu64
        ",\"wrong\":%" PRIu64 ",\"errors\":{",
        load_mode_name(o->mode), o->conns, o->pipeline, UINT64_C(1) << o->keys_log2, o->value_bytes,
        o->rate, seconds, rate, us(h, 0.5), us(h, 0.99), us(h, 0.999), (double)h->max / 1e3,
        (double)firn_hist_mean(h) / 1e3, g->sets, g->gets, g->nils, g->unanswered, g->wrong);
    for (size_t i = 0; i < LOAD_KINDS_MAX && g->kind[i].n; i++)
        (void)printf("%s\"%s\":%" PRIu64, i ? "," : "", g->kind[i].name, g->kind[i].n);
    (void)printf("},\"cpu_seconds\":%.2f}\n", cpu_seconds());
    (void)fprintf(stderr,
                  "%-6s %8.0f/s  p50 %.2f  p99 %.2f  p999 %.2f  max %.2f ms  (%u x %u, %" PRIu64
                  " counted, %" PRIu64 " errors, %" PRIu64 " unanswered, %" PRIu64 " wrong)\n",
                  load_mode_name(o->mode), rate, us(h, 0.5) / 1e3, us(h, 0.99) / 1e3,
                  us(h, 0.999) / 1e3, (double)h->max / 1e6, o->conns, o->pipeline, h->count,
                  g->errors, g->unanswered, g->wrong);
    if (g->wrong)
        (void)fprintf(stderr, "firn-load: first wrong reply: %s\n", g->first_wrong.text);
}

static enum firn_status begin(struct run *r, struct firn_err *err)
{
    struct load *l = &r->load;
    enum firn_status s = load_record_init(&l->record, l->opt.keys_log2, l->opt.value_bytes);
    l->in_bytes = IN_BYTES;
    l->in = firn_malloc(IN_BYTES);
    r->conn = firn_calloc(l->opt.conns, sizeof *r->conn);
    if (s != FIRN_OK || !l->in || !r->conn)
        return firn_fail(err, FIRN_LIMIT, "out of memory");
    if (l->opt.record) {
        s = load_record_read(&l->record, l->opt.record, err);
        if (s == FIRN_ABSENT && l->opt.mode != LOAD_VERIFY)
            err->text[0] = '\0';
        else if (s != FIRN_OK)
            return s;
    }
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (r->epoll < 0)
        return firn_fail(err, FIRN_LIMIT, "epoll_create1 failed");
    for (; r->open < l->opt.conns; r->open++) {
        s = load_conn_open(&r->conn[r->open], l, r->open, err);
        if (s != FIRN_OK)
            return s;
        watch(r, &r->conn[r->open], EPOLL_CTL_ADD);
    }
    r->begin_ns = l->series.begin_ns = load_now();
    l->count_from = r->begin_ns + (uint64_t)(l->opt.warmup * NS_PER_SEC);
    r->end_ns = l->count_from + (uint64_t)(l->opt.seconds * NS_PER_SEC);
    return FIRN_OK;
}

static void want_files(uint32_t conns)
{
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < conns + 64) {
        lim.rlim_cur = lim.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &lim);
    }
}

int main(int argc, char **argv)
{
    static struct run r; /* holds a histogram */
    struct firn_err err = {0};
    load_options_parse(&r.load.opt, argc, argv);
    want_files(r.load.opt.conns);
    enum firn_status s = begin(&r, &err);
    if (s == FIRN_OK) {
        loop(&r);
        for (uint32_t i = 0; i < r.load.opt.conns; i++)
            load_conn_close(&r.conn[i], &r.load);
        report(&r);
        if (r.load.opt.record && r.load.opt.mode != LOAD_VERIFY)
            s = load_record_write(&r.load.record, r.load.opt.record, &err);
    }
    if (s == FIRN_OK && r.load.opt.series)
        s = load_series_write(&r.load.series, r.load.opt.series, &err);
    if (s != FIRN_OK)
        (void)fprintf(stderr, "firn-load: %s\n", err.text[0] ? err.text : firn_status_name(s));
    const struct load_counts *g = &r.load.got;
    bool short_verify = r.load.opt.mode == LOAD_VERIFY && g->gets >> r.load.opt.keys_log2 == 0;
    bool failed = short_verify || s != FIRN_OK || g->wrong || g->unanswered ||
                  (g->errors && !r.load.opt.allow_errors);
    load_record_deinit(&r.load.record);
    load_series_deinit(&r.load.series);
    firn_free(r.load.in);
    firn_free(r.conn);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
