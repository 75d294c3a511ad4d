#include "fakes/fake_priv.h"

#include "base/mem.h"

#include <stdlib.h>

#define WALL_START_MS UINT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define JOB_NS_MAX (200 * UINT64_C(1000))

void *fake_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    FIRN_ASSERT(p != NULL);
    return p;
}

char *fake_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(fake_alloc(n), s, n);
}

void fake_heap_push(struct firn_heap *h, struct firn_heap_node *n, uint64_t key)
{
    if (h->len + 1 >= h->cap) { /* grow here, or firn_heap_push would ask base/mem */
        size_t cap = h->cap ? h->cap * 2 : 64;
        struct firn_heap_node **p = realloc(h->node, cap * sizeof(struct firn_heap_node *));
        FIRN_ASSERT(p != NULL);
        h->node = p;
        h->cap = cap;
    }
    n->key = key;
    enum firn_status s = firn_heap_push(h, n);
    FIRN_ASSERT(s == FIRN_OK);
}

uint64_t fake_rng_next(struct fake_rng *r)
{
    return firn_fake_draw(&r->state);
}

uint64_t fake_below(struct firn_fake_world *w, uint64_t n)
{
    return n ? fake_rng_next(&w->rng) % n : 0;
}

/* ---- events */

void fake_event_init(struct fake_event *e, enum fake_event_kind kind, struct firn_fake_node *node,
                     void (*fn)(void *arg), void *arg)
{
    *e = (struct fake_event){.kind = kind, .node = node, .fn = fn, .arg = arg};
    firn_list_init(&e->held);
}

bool fake_event_pending(const struct fake_event *e)
{
    return e->heap.pos != 0 || !firn_list_empty(&e->held);
}

void fake_event_at(struct firn_fake_world *w, struct fake_event *e, uint64_t at_ns)
{
    firn_heap_remove(&w->events, &e->heap);
    fake_heap_push(&w->events, &e->heap, at_ns < w->now_ns ? w->now_ns : at_ns);
}

void fake_event_cancel(struct firn_fake_world *w, struct fake_event *e)
{
    firn_heap_remove(&w->events, &e->heap);
    if (e->held.next)
        firn_list_remove(&e->held);
}

/* ---- the env port */

static uint64_t env_mono_ns(void *ctx)
{
    return fake_node_mono_ns(ctx);
}

static uint64_t env_boot_ns(void *ctx)
{
    return fake_node_boot_ns(ctx);
}

static uint64_t env_wall_ms(void *ctx)
{
    return fake_node_wall_ms(ctx);
}

static void env_random(void *ctx, void *out, size_t len)
{
    struct firn_fake_node *n = ctx;
    uint8_t *p = out;
    for (size_t at = 0; at < len; at += 8) {
        uint64_t v = fake_rng_next(&n->rng);
        memcpy(p + at, &v, len - at < 8 ? len - at : 8);
    }
}

/* Set the node's wake event to when it next has something to do. */
void fake_node_arm(struct firn_fake_node *n)
{
    struct firn_fake_world *w = n->world;
    struct firn_heap_node *t = firn_heap_min(&n->timers);
    if (n->frozen || n->dead || (firn_list_empty(&n->defers) && !t)) {
        fake_event_cancel(w, &n->wake);
        return;
    }
    uint64_t at = firn_list_empty(&n->defers) ? t->key : w->now_ns;
    if (n->wake.heap.pos == 0 || n->wake.heap.key != at)
        fake_event_at(w, &n->wake, at);
}

static void env_timer_start(void *ctx, struct firn_timer *t, uint64_t after_ns)
{
    struct firn_fake_node *n = ctx;
    if (n->dead)
        return;
    FIRN_ASSERT(t->fn != NULL);
    after_ns = fake_node_world_ns(n, after_ns);
    firn_heap_remove(&n->timers, &t->node);
    uint64_t slack = n->world->opt.timer_slack_ns;
    after_ns += slack ? fake_below(n->world, slack) : 0;
    fake_heap_push(&n->timers, &t->node, n->world->now_ns + after_ns);
    if (!n->in_turn)
        fake_node_arm(n);
}

static void env_timer_stop(void *ctx, struct firn_timer *t)
{
    struct firn_fake_node *n = ctx;
    firn_heap_remove(&n->timers, &t->node);
    if (!n->in_turn)
        fake_node_arm(n);
}

static void env_defer(void *ctx, struct firn_defer *d)
{
    struct firn_fake_node *n = ctx;
    if (n->dead || d->queued)
        return;
    FIRN_ASSERT(d->fn != NULL);
    d->queued = true;
    firn_list_push(&n->defers, &d->link);
    if (!n->in_turn)
        fake_node_arm(n);
}

static void env_defer_cancel(void *ctx, struct firn_defer *d)
{
    struct firn_fake_node *n = ctx;
    if (!d->queued)
        return;
    d->queued = false;
    firn_list_remove(&d->link);
    if (!n->in_turn)
        fake_node_arm(n);
}

static void env_exec(void *ctx, struct firn_job *job)
{
    struct firn_fake_node *n = ctx;
    if (n->dead)
        return;
    struct fake_event *e = fake_alloc(sizeof *e);
    *e = (struct fake_event){.kind = FAKE_JOB, .node = n, .arg = job};
    firn_list_init(&e->held);
    fake_event_at(n->world, e, n->world->now_ns + fake_below(n->world, JOB_NS_MAX));
}

const struct firn_env_vt fake_env_vt = {
    .mono_ns = env_mono_ns,
    .boot_ns = env_boot_ns,
    .wall_ms = env_wall_ms,
    .random = env_random,
    .timer_start = env_timer_start,
    .timer_stop = env_timer_stop,
    .defer = env_defer,
    .defer_cancel = env_defer_cancel,
    .exec = env_exec,
};

/* ---- turns */

/* The end of a turn: the calls deferred so far. What these defer runs in a turn of its own. */
static void run_defers(struct firn_fake_node *n)
{
    struct firn_list batch;
    firn_list_init(&batch);
    firn_list_splice(&batch, &n->defers);
    struct firn_list *l;
    while (!n->dead && (l = firn_list_pop(&batch)) != NULL) {
        struct firn_defer *d = FIRN_CONTAINER(l, struct firn_defer, link);
        d->queued = false;
        d->fn(d->arg);
    }
    while ((l = firn_list_pop(&batch)) != NULL) /* killed half-way */
        FIRN_CONTAINER(l, struct firn_defer, link)->queued = false;
}

static void run_timer(struct firn_fake_node *n)
{
    struct firn_heap_node *h = firn_heap_min(&n->timers);
    if (!h || h->key > n->world->now_ns)
        return;
    struct firn_timer *t = FIRN_CONTAINER(h, struct firn_timer, node);
    firn_heap_remove(&n->timers, h);
    fake_trace(n->world, FAKE_WAKE, n->index);
    firn_fake_say(n->world, n, "timer");
    t->fn(t->arg);
}

static void run_job(struct fake_event *e)
{
    struct firn_job *job = e->arg;
    struct firn_fake_node *n = e->node;
    free(e);
    fake_trace(n->world, FAKE_JOB, n->index);
    firn_fake_say(n->world, n, "job");
    job->run(job);
    job->done(job);
}

static void run_in_node(struct firn_fake_world *w, struct fake_event *e)
{
    struct firn_fake_node *n = e->node;
    if (n->dead) { /* only jobs outlive their node in the heap */
        FIRN_ASSERT(e->kind == FAKE_JOB);
        free(e);
        return;
    }
    if (n->frozen) {
        firn_list_push(&n->held, &e->held);
        return;
    }
    n->in_turn = true;
    if (e->kind == FAKE_WAKE)
        run_timer(n);
    else if (e->kind == FAKE_JOB)
        run_job(e);
    else if (e->kind == FAKE_OWNED)
        e->fn(e->arg);
    else
        fake_store_reply(w, e->arg);
    run_defers(n);
    n->in_turn = false;
    fake_node_arm(n);
}

bool firn_fake_step(struct firn_fake_world *w)
{
    struct firn_heap_node *h = firn_heap_min(&w->events);
    if (!h)
        return false;
    struct fake_event *e = FIRN_CONTAINER(h, struct fake_event, heap);
    firn_heap_remove(&w->events, h);
    w->now_ns = h->key;
    if (e->kind == FAKE_EFFECT) {
        fake_store_effect(w, e->arg);
    } else if (e->kind == FAKE_CALL) {
        struct fake_event call = *e;
        free(e);
        call.fn(call.arg);
    } else if (e->kind == FAKE_OWNED && !e->node) {
        e->fn(e->arg);
    } else {
        run_in_node(w, e);
    }
    return true;
}

bool firn_fake_run_until(struct firn_fake_world *w, bool (*pred)(void *arg), void *arg,
                         uint64_t max_ns)
{
    uint64_t end = w->now_ns + max_ns;
    while (!pred(arg)) {
        struct firn_heap_node *h = firn_heap_min(&w->events);
        if (!h)
            return false;
        if (h->key > end) {
            w->now_ns = end;
            return false;
        }
        (void)firn_fake_step(w);
    }
    return true;
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

void firn_fake_run_for(struct firn_fake_world *w, uint64_t ns)
{
    uint64_t end = w->now_ns + ns;
    (void)firn_fake_run_until(w, never, NULL, ns);
    w->now_ns = end;
}

void firn_fake_at(struct firn_fake_world *w, uint64_t after_ns, void (*fn)(void *arg), void *arg)
{
    struct fake_event *e = fake_alloc(sizeof *e);
    *e = (struct fake_event){.kind = FAKE_CALL, .fn = fn, .arg = arg};
    firn_list_init(&e->held);
    fake_event_at(w, e, w->now_ns + after_ns);
}

/* ---- worlds */

struct firn_fake_world *firn_fake_world_new(const struct firn_fake_options *o)
{
    struct firn_fake_world *w = fake_alloc(sizeof *w);
    w->opt = *o;
    if (!w->opt.latency_min_ns && !w->opt.latency_max_ns) {
        w->opt.latency_min_ns = FIRN_MS;
        w->opt.latency_max_ns = 5 * FIRN_MS;
    }
    FIRN_ASSERT(w->opt.latency_min_ns <= w->opt.latency_max_ns);
    if (!w->opt.wall_start_ms)
        w->opt.wall_start_ms = WALL_START_MS;
    w->rng.state = o->seed * UINT64_C(0xd1342543de82ef95) + 1;
    firn_list_init(&w->held);
    firn_list_init(&w->conns);
    firn_list_init(&w->disks);
    fake_strikes_init(w);
    return w;
}

void fake_event_free(struct fake_event *e)
{
    if (e->kind == FAKE_JOB || e->kind == FAKE_CALL)
        free(e);
    else if (e->kind != FAKE_WAKE && e->kind != FAKE_OWNED)
        fake_store_drop_event(e->arg, e->kind);
}

void firn_fake_world_free(struct firn_fake_world *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->nodes; i++)
        firn_fake_node_kill(w->node[i]);
    struct firn_heap_node *h;
    while ((h = firn_heap_min(&w->events)) != NULL) {
        firn_heap_remove(&w->events, h);
        fake_event_free(FIRN_CONTAINER(h, struct fake_event, heap));
    }
    fake_store_free(w);
    fake_net_free(w);
    fake_disk_free_all(w);
    fake_strikes_free(w);
    for (size_t i = 0; i < w->nodes; i++) {
        firn_heap_clear(&w->node[i]->timers);
        fake_net_free_node(w->node[i]);
        free(w->node[i]->prefix);
        free(w->node[i]);
    }
    free(w->node);
    firn_heap_clear(&w->events);
    free(w);
}

uint64_t firn_fake_now_ns(const struct firn_fake_world *w)
{
    return w->now_ns;
}

uint64_t firn_fake_true_ms(const struct firn_fake_world *w)
{
    return w->opt.wall_start_ms + w->now_ns / FIRN_MS;
}

uint64_t firn_fake_random(struct firn_fake_world *w)
{
    return fake_rng_next(&w->rng);
}

struct firn_fake_options *firn_fake_options(struct firn_fake_world *w)
{
    return &w->opt;
}
