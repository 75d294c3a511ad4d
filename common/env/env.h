/* Ports: everything a core may know of the world. Production gives adapters (io_*), the simulator a
 * seeded world. All callbacks run on the loop thread, never inside the call that asked for them. */
#ifndef FIRN_ENV_ENV_H
#define FIRN_ENV_ENV_H

#include "base/heap.h"
#include "base/list.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct firn_objstore;
struct firn_net;

#define FIRN_MS UINT64_C(1000000)
#define FIRN_SEC UINT64_C(1000000000)

/* A one-shot timer, embedded in its user. Zero-initialise, set fn and arg, then start it. */
struct firn_timer {
    struct firn_heap_node node; /* the adapter's */
    void (*fn)(void *arg);
    void *arg;
};

/* A call to be made once at the end of this loop turn. Zero-initialise, set fn and arg. */
struct firn_defer {
    struct firn_list link; /* the adapter's; queued says whether it is in use */
    bool queued;
    void (*fn)(void *arg);
    void *arg;
};

/* A pure piece of CPU work: run() on some worker thread, touching only what was handed over whole;
 * then done() on the loop thread. Owned by the submitter, who leaves it alone until done(). */
struct firn_job {
    struct firn_list link; /* the adapter's */
    void (*run)(struct firn_job *job);
    void (*done)(struct firn_job *job);
    void *arg;
};

struct firn_env_vt {
    /* Monotonic time that may stand still while the machine sleeps; read anew at each call. */
    uint64_t (*mono_ns)(void *ctx);
    /* Monotonic time that counts suspension (CLOCK_BOOTTIME): freshness and S5 are measured by it.
     */
    uint64_t (*boot_ns)(void *ctx);
    /* Wall clock, ms since 1970; may jump. */
    uint64_t (*wall_ms)(void *ctx);
    /* Fill with unpredictable bytes. */
    void (*random)(void *ctx, void *out, size_t len);
    /* Fire t->fn(t->arg) once, `after_ns` from now; a running timer is set anew. */
    void (*timer_start)(void *ctx, struct firn_timer *t, uint64_t after_ns);
    /* After this the timer does not fire; harmless when it is not running. */
    void (*timer_stop)(void *ctx, struct firn_timer *t);
    void (*defer)(void *ctx, struct firn_defer *d);
    /* Take a queued call back; harmless when it is not queued. */
    void (*defer_cancel)(void *ctx, struct firn_defer *d);
    void (*exec)(void *ctx, struct firn_job *job);
};

struct firn_env {
    const struct firn_env_vt *vt;
    void *ctx;
    struct firn_objstore *store; /* the store under the database's URL */
    struct firn_net *net;        /* NULL in programs that serve no clients */
};

static inline uint64_t firn_mono_ns(const struct firn_env *e)
{
    return e->vt->mono_ns(e->ctx);
}
static inline uint64_t firn_boot_ns(const struct firn_env *e)
{
    return e->vt->boot_ns(e->ctx);
}
static inline uint64_t firn_wall_ms(const struct firn_env *e)
{
    return e->vt->wall_ms(e->ctx);
}
static inline void firn_random(const struct firn_env *e, void *out, size_t len)
{
    e->vt->random(e->ctx, out, len);
}
static inline uint64_t firn_random_u64(const struct firn_env *e)
{
    uint64_t v;
    e->vt->random(e->ctx, &v, sizeof v);
    return v;
}
static inline void firn_timer_start(const struct firn_env *e, struct firn_timer *t,
                                    uint64_t after_ns)
{
    e->vt->timer_start(e->ctx, t, after_ns);
}
static inline void firn_timer_stop(const struct firn_env *e, struct firn_timer *t)
{
    e->vt->timer_stop(e->ctx, t);
}
static inline bool firn_timer_running(const struct firn_timer *t)
{
    return t->node.pos != 0;
}
/* Queue d for the end of this loop turn; a queued one stays queued once. */
static inline void firn_defer(const struct firn_env *e, struct firn_defer *d)
{
    if (!d->queued)
        e->vt->defer(e->ctx, d);
}
static inline void firn_defer_cancel(const struct firn_env *e, struct firn_defer *d)
{
    e->vt->defer_cancel(e->ctx, d);
}
static inline void firn_exec(const struct firn_env *e, struct firn_job *job)
{
    e->vt->exec(e->ctx, job);
}

#endif
