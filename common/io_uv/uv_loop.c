#include "io_uv/io_uv_priv.h"

#include "base/assert.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#define TIMERS_RESERVED 4096 /* places in the heap that exist from the start */

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    int r = clock_gettime(id, &t);
    FIRN_ASSERT(r == 0);
    return (uint64_t)t.tv_sec * FIRN_SEC + (uint64_t)t.tv_nsec;
}

uint64_t firn_uv__mono_ns(void *ctx)
{
    (void)ctx;
    return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t env_boot_ns(void *ctx)
{
    (void)ctx;
    return clock_ns(CLOCK_BOOTTIME);
}

static uint64_t env_wall_ms(void *ctx)
{
    (void)ctx;
    return clock_ns(CLOCK_REALTIME) / FIRN_MS;
}

static void env_random(void *ctx, void *out, size_t len)
{
    (void)ctx;
    uint8_t *p = out;
    while (len) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0) {
            /* Linux gives no other error for valid arguments; nonces must never be guessed at. */
            FIRN_ASSERT(errno == EINTR);
            continue;
        }
        p += n;
        len -= (size_t)n;
    }
}

/* ---- timers */

/* The first millisecond of loop time (CLOCK_MONOTONIC rounded down) at which `ns` has passed. */
static uint64_t ms_after(uint64_t ns)
{
    return ns / FIRN_MS + (ns % FIRN_MS != 0);
}

static void on_timer(uv_timer_t *h);

/* Set the uv timer to the first of the heap; called before the loop sleeps. uv_timer_start counts
 * from the loop's cached time, so handing over absolute time minus that never fires early. */
static void arm(struct firn_uv *u)
{
    struct firn_heap_node *n = firn_heap_min(&u->timers);
    uint64_t at = n ? ms_after(n->key) : 0;
    if (at == u->armed_ms)
        return;
    u->armed_ms = at;
    if (!n) {
        (void)uv_timer_stop(&u->timer);
        return;
    }
    uint64_t now = uv_now(&u->loop);
    (void)uv_timer_start(&u->timer, on_timer, at > now ? at - now : 0, 0);
}

static void on_timer(uv_timer_t *h)
{
    struct firn_uv *u = h->data;
    u->armed_ms = 0;
    uint64_t now = firn_uv__mono_ns(u);
    struct firn_heap_node *n;
    /* `now` stands still, so a timer that sets itself anew waits for the next turn. */
    while ((n = firn_heap_min(&u->timers)) != NULL && n->key <= now) {
        firn_heap_remove(&u->timers, n);
        struct firn_timer *t = FIRN_CONTAINER(n, struct firn_timer, node);
        t->fn(t->arg);
    }
}

static void env_timer_start(void *ctx, struct firn_timer *t, uint64_t after_ns)
{
    struct firn_uv *u = ctx;
    uint64_t now = firn_uv__mono_ns(u);
    firn_heap_remove(&u->timers, &t->node);
    /* One that is due at once still waits for the next turn: on_timer's clock has passed already.
     */
    t->node.key = after_ns > UINT64_MAX - now ? UINT64_MAX : now + (after_ns ? after_ns : 1);
    /* A lost timer would be a silent hang for ever, so a shortage of memory ends the process here;
     * the first TIMERS_RESERVED need none. */
    enum firn_status s = firn_heap_push(&u->timers, &t->node);
    FIRN_ASSERT(s == FIRN_OK && "out of memory for a timer");
}

static void env_timer_stop(void *ctx, struct firn_timer *t)
{
    struct firn_uv *u = ctx;
    firn_heap_remove(&u->timers, &t->node);
}

/* ---- deferred calls */

static void on_idle(uv_idle_t *h)
{
    (void)h;
}

/* Run what was deferred so far; what that defers in turn waits for the next round, before which the
 * loop does not sleep. */
static void run_defers(struct firn_uv *u)
{
    struct firn_list batch, *l;
    firn_list_init(&batch);
    firn_list_splice(&batch, &u->defers);
    while ((l = firn_list_pop(&batch)) != NULL) {
        struct firn_defer *d = FIRN_CONTAINER(l, struct firn_defer, link);
        d->queued = false;
        d->fn(d->arg);
    }
}

static void on_prepare(uv_prepare_t *h)
{
    struct firn_uv *u = h->data;
    run_defers(u);
    uv_update_time(
        &u->loop); /* timers and deferred calls took time; the sleep is reckoned from now */
    arm(u);
    if (firn_list_empty(&u->defers))
        (void)uv_idle_stop(&u->idle);
    else
        (void)uv_idle_start(&u->idle, on_idle);
}

static void on_check(uv_check_t *h)
{
    struct firn_uv *u = h->data;
    run_defers(u);
}

static void env_defer(void *ctx, struct firn_defer *d)
{
    struct firn_uv *u = ctx;
    d->queued = true;
    firn_list_push(&u->defers, &d->link);
}

static void env_defer_cancel(void *ctx, struct firn_defer *d)
{
    (void)ctx;
    if (d->queued) {
        d->queued = false;
        firn_list_remove(&d->link);
    }
}

static const struct firn_env_vt env_vt = {
    .mono_ns = firn_uv__mono_ns,
    .boot_ns = env_boot_ns,
    .wall_ms = env_wall_ms,
    .random = env_random,
    .timer_start = env_timer_start,
    .timer_stop = env_timer_stop,
    .defer = env_defer,
    .defer_cancel = env_defer_cancel,
    .exec = firn_uv__exec,
};

/* ---- the loop */

static void start_handles(struct firn_uv *u)
{
    /* libuv 1.x: these inits and starts cannot fail with a valid loop and callback. */
    (void)uv_timer_init(&u->loop, &u->timer);
    (void)uv_prepare_init(&u->loop, &u->prepare);
    (void)uv_check_init(&u->loop, &u->check);
    (void)uv_idle_init(&u->loop, &u->idle);
    u->timer.data = u->prepare.data = u->check.data = u->idle.data = u;
    (void)uv_prepare_start(&u->prepare, on_prepare);
    (void)uv_check_start(&u->check, on_check);
}

static void close_handles(struct firn_uv *u)
{
    uv_close((uv_handle_t *)&u->timer, NULL);
    uv_close((uv_handle_t *)&u->prepare, NULL);
    uv_close((uv_handle_t *)&u->check, NULL);
    uv_close((uv_handle_t *)&u->idle, NULL);
    for (unsigned i = 0; i < u->signals; i++)
        uv_close((uv_handle_t *)&u->signal[i], NULL);
    u->signals = 0;
}

/* Let all closing handles go and end the loop. The first turn is lost where uv_stop was called. */
static void end_loop(struct firn_uv *u)
{
    (void)uv_run(&u->loop, UV_RUN_NOWAIT);
    (void)uv_run(&u->loop, UV_RUN_NOWAIT);
    int r = uv_loop_close(&u->loop);
    FIRN_ASSERT(r == 0); /* a handle of another adapter was left open */
}

static void free_memory(struct firn_uv *u)
{
    firn_heap_clear(&u->timers);
    firn_free(u->read_buf);
    firn_free(u);
}

enum firn_status firn_uv_create(const struct firn_uv_options *o, struct firn_uv **out,
                                struct firn_err *err)
{
    struct firn_uv *u = firn_calloc(1, sizeof *u);
    if (!u)
        return firn_fail(err, FIRN_LIMIT, "out of memory for the event loop");
    if (o)
        u->options = *o;
    firn_list_init(&u->defers);
    firn_list_init(&u->socks);
    firn_list_init(&u->listeners);
    u->reserve_fd = -1;
    u->timers.node = firn_calloc(TIMERS_RESERVED, sizeof(struct firn_heap_node *));
    u->read_buf = firn_malloc(UV_READ_BYTES);
    if (!u->timers.node || !u->read_buf) {
        free_memory(u);
        return firn_fail(err, FIRN_LIMIT, "out of memory for the event loop");
    }
    u->timers.cap = TIMERS_RESERVED;
    int r = uv_loop_init(&u->loop);
    if (r != 0) {
        free_memory(u);
        return firn_fail(err, FIRN_LIMIT, "cannot make an event loop: %s", uv_strerror(r));
    }
    start_handles(u);
    u->env = (struct firn_env){.vt = &env_vt, .ctx = u, .net = &u->net};
    u->poster = (struct firn_poster){.post = firn_uv__post, .ctx = u};
    enum firn_status s = firn_uv__net_init(u, err);
    if (s == FIRN_OK)
        s = firn_uv__pool_start(u, err);
    if (s != FIRN_OK) {
        firn_uv__net_deinit(u);
        close_handles(u);
        end_loop(u);
        free_memory(u);
        return s;
    }
    *out = u;
    return FIRN_OK;
}

void firn_uv_free(struct firn_uv *u)
{
    if (!u)
        return;
    firn_uv__pool_stop(u);
    firn_uv__net_deinit(u);
    close_handles(u);
    end_loop(u);
    free_memory(u);
}

struct firn_env *firn_uv_env(struct firn_uv *u)
{
    return &u->env;
}

uv_loop_t *firn_uv_loop(struct firn_uv *u)
{
    return &u->loop;
}

const struct firn_poster *firn_uv_poster(struct firn_uv *u)
{
    return &u->poster;
}

void firn_uv_run(struct firn_uv *u)
{
    (void)uv_run(&u->loop, UV_RUN_DEFAULT);
}

void firn_uv_stop(struct firn_uv *u)
{
    uv_stop(&u->loop);
}

/* ---- the process */

static void on_signal(uv_signal_t *h, int signo)
{
    struct firn_uv *u = h->data;
    u->signal_fn(u->signal_arg, signo);
}

enum firn_status firn_uv_signals(struct firn_uv *u, void (*fn)(void *arg, int signo), void *arg,
                                 struct firn_err *err)
{
    static const int wanted[UV_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    FIRN_ASSERT(u->signals == 0);
    u->signal_fn = fn;
    u->signal_arg = arg;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigemptyset(&ignore.sa_mask);
    if (sigaction(SIGPIPE, &ignore, NULL) != 0)
        return firn_fail(err, FIRN_LIMIT, "cannot ignore SIGPIPE: %s", strerror(errno));
    for (unsigned i = 0; i < UV_SIGNALS; i++) {
        int r = uv_signal_init(&u->loop, &u->signal[i]);
        if (r != 0)
            return firn_fail(err, FIRN_LIMIT, "cannot watch signals: %s", uv_strerror(r));
        u->signal[i].data = u;
        u->signals = i + 1;
        r = uv_signal_start(&u->signal[i], on_signal, wanted[i]);
        if (r != 0)
            return firn_fail(err, FIRN_LIMIT, "cannot watch signal %d: %s", wanted[i],
                             uv_strerror(r));
    }
    return FIRN_OK;
}

uint64_t firn_uv_nofile(uint64_t want)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 0;
    if (r.rlim_cur >= want)
        return r.rlim_cur;
    rlim_t before = r.rlim_cur;
    r.rlim_cur = r.rlim_max < want ? r.rlim_max : (rlim_t)want;
    return setrlimit(RLIMIT_NOFILE, &r) == 0 ? r.rlim_cur : before;
}
