/* The loop of io_uv against the real kernel: clocks, timers, deferred calls, jobs, calls from
 * threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "io_uv/io_uv.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct world {
    struct firn_uv *uv;
    const struct firn_env *env;
    struct firn_timer guard; /* ends a test that hangs */
    bool hung;
};

static void on_guard(void *arg)
{
    struct world *w = arg;
    w->hung = true;
    firn_uv_stop(w->uv);
}

static void open_world(struct world *w)
{
    memset(w, 0, sizeof *w);
    struct firn_err err = {{0}};
    assert_int_equal(firn_uv_create(&(struct firn_uv_options){.workers = 3}, &w->uv, &err),
                     FIRN_OK);
    w->env = firn_uv_env(w->uv);
    w->guard = (struct firn_timer){.fn = on_guard, .arg = w};
}

static void run(struct world *w)
{
    firn_timer_start(w->env, &w->guard, 20 * FIRN_SEC);
    firn_uv_run(w->uv);
    firn_timer_stop(w->env, &w->guard);
    assert_false(w->hung);
}

/* ---- timers */

#define TIMERS 200

struct alarm {
    struct firn_timer t;
    struct timers *all;
    uint64_t due;
    int fired;
};

struct timers {
    struct world w;
    struct alarm a[TIMERS];
    int left;
    uint64_t last_due;
};

static void on_alarm(void *arg)
{
    struct alarm *a = arg;
    struct timers *t = a->all;
    assert_true(firn_mono_ns(t->w.env) >= a->due); /* never early */
    assert_true(a->due + FIRN_MS >= t->last_due);  /* in order */
    assert_false(firn_timer_running(&a->t));
    t->last_due = a->due;
    a->fired++;
    if (--t->left == 0)
        firn_uv_stop(t->w.uv);
}

static void test_timers(void **state)
{
    (void)state;
    static struct timers t;
    memset(&t, 0, sizeof t);
    open_world(&t.w);
    t.left = TIMERS;
    for (int i = 0; i < TIMERS; i++) {
        struct alarm *a = &t.a[i];
        a->all = &t;
        a->t = (struct firn_timer){.fn = on_alarm, .arg = a};
        uint64_t after = (uint64_t)(i * 7919 % 100) * FIRN_MS / 3;
        firn_timer_start(t.w.env, &a->t, 30 * FIRN_SEC);
        firn_timer_start(t.w.env, &a->t, after); /* set anew */
        a->due = firn_mono_ns(t.w.env) - 50000 + after;
    }
    firn_timer_stop(t.w.env, &t.a[5].t);
    firn_timer_stop(t.w.env, &t.a[5].t);
    t.left--;
    run(&t.w);
    for (int i = 0; i < TIMERS; i++)
        assert_int_equal(t.a[i].fired, i == 5 ? 0 : 1);
    firn_uv_free(t.w.uv);
}

/* ---- deferred calls */

struct deferred {
    struct world w;
    struct firn_defer d, never;
    struct firn_timer t;
    int rounds, ticks;
    bool ticking;
};

static void on_defer(void *arg)
{
    struct deferred *d = arg;
    assert_false(d->d.queued);
    if (++d->rounds >= 1000 && (!d->ticking || d->ticks >= 3))
        firn_uv_stop(d->w.uv);
    else
        firn_defer(d->w.env, &d->d);
}

static void on_never(void *arg)
{
    (void)arg;
    fail();
}

static void on_tick(void *arg)
{
    struct deferred *d = arg;
    d->ticks++;
    firn_timer_start(d->w.env, &d->t, 0);
}

/* A thousand calls that defer themselves anew: the loop must not sleep, nor starve timers. */
static void test_defer(void **state)
{
    (void)state;
    static struct deferred d;
    memset(&d, 0, sizeof d);
    open_world(&d.w);
    d.d = (struct firn_defer){.fn = on_defer, .arg = &d};
    d.never = (struct firn_defer){.fn = on_never};
    d.t = (struct firn_timer){.fn = on_tick, .arg = &d};
    firn_defer(d.w.env, &d.d);
    firn_defer(d.w.env, &d.d); /* once is enough */
    firn_defer(d.w.env, &d.never);
    firn_defer_cancel(d.w.env, &d.never);
    firn_defer_cancel(d.w.env, &d.never);
    run(&d.w);
    assert_int_equal(d.rounds, 1000);
    d.ticking = true;
    firn_timer_start(d.w.env, &d.t, 0);
    firn_defer(d.w.env, &d.d);
    run(&d.w);
    assert_true(d.ticks >= 3);
    firn_timer_stop(d.w.env, &d.t);
    firn_uv_free(d.w.uv);
}

/* ---- jobs and posts */

#define JOBS 2000

struct job {
    struct firn_job j;
    struct jobs *all;
    uint64_t in, out;
};

struct jobs {
    struct world w;
    struct job job[JOBS];
    struct firn_post post[JOBS];
    pthread_t loop;
    int left;
};

static void job_run(struct firn_job *job)
{
    struct job *j = job->arg;
    j->out = j->in * j->in;
}

static void one_less(struct jobs *js)
{
    assert_true(pthread_equal(pthread_self(), js->loop));
    if (--js->left == 0)
        firn_uv_stop(js->w.uv);
}

static void job_done(struct firn_job *job)
{
    struct job *j = job->arg;
    assert_int_equal(j->out, j->in * j->in);
    one_less(j->all);
}

static void on_post(void *arg)
{
    one_less(arg);
}

static void *poster_thread(void *arg)
{
    struct jobs *js = arg;
    const struct firn_poster *p = firn_uv_poster(js->w.uv);
    for (int i = 0; i < JOBS; i++)
        p->post(p->ctx, &js->post[i]);
    return NULL;
}

static void test_jobs_and_posts(void **state)
{
    (void)state;
    static struct jobs js;
    memset(&js, 0, sizeof js);
    open_world(&js.w);
    js.loop = pthread_self();
    js.left = 2 * JOBS;
    for (int i = 0; i < JOBS; i++) {
        js.post[i] = (struct firn_post){.fn = on_post, .arg = &js};
        js.job[i] = (struct job){.all = &js, .in = (uint64_t)i};
        js.job[i].j = (struct firn_job){.run = job_run, .done = job_done, .arg = &js.job[i]};
    }
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, poster_thread, &js), 0);
    for (int i = 0; i < JOBS; i++)
        firn_exec(js.w.env, &js.job[i].j);
    run(&js.w);
    assert_int_equal(pthread_join(t, NULL), 0);
    firn_uv_free(js.w.uv);
}

/* ---- signals, clocks, random */

static int signal_seen;

static void on_signal(void *arg, int signo)
{
    signal_seen = signo;
    firn_uv_stop(((struct world *)arg)->uv);
}

static void test_process(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(firn_uv_signals(w.uv, on_signal, &w, NULL), FIRN_OK);
    assert_int_equal(raise(SIGHUP), 0);
    run(&w);
    assert_int_equal(signal_seen, SIGHUP);
    assert_true(firn_wall_ms(w.env) > UINT64_C(1600000000000));
    assert_true(firn_boot_ns(w.env) >= firn_mono_ns(w.env) - FIRN_SEC);
    uint8_t a[600] = {0}, b[600] = {0};
    firn_random(w.env, a, sizeof a);
    firn_random(w.env, b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    uint64_t limit = firn_uv_nofile(0);
    assert_true(limit > 0);
    assert_true(firn_uv_nofile(limit) == limit);
    firn_uv_free(w.uv);
    firn_uv_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_defer),
        cmocka_unit_test(test_jobs_and_posts),
        cmocka_unit_test(test_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
