/* Nodes: processes on machines with clocks of their own, and what can happen to them. */
#include "fakes/fake_priv.h"

#include <stdlib.h>

/* ---- clocks. A machine counts true time since `clock_since_ns`, sped up by its drift, on top of
 * what it had counted until then: awake (base) and asleep (slept). */

static uint64_t scale(uint64_t ns, uint64_t num, uint64_t den)
{
    unsigned __int128 v = (unsigned __int128)ns * num + den - 1;
    return (uint64_t)(v / den);
}

static uint64_t rate(const struct firn_fake_node *n)
{
    return (uint64_t)(1000000 + (int64_t)n->drift_ppm);
}

static uint64_t passed(const struct firn_fake_node *n)
{
    uint64_t ns = n->world->now_ns - n->clock_since_ns;
    return n->drift_ppm ? scale(ns, rate(n), 1000000) : ns;
}

uint64_t fake_node_world_ns(const struct firn_fake_node *n, uint64_t ns)
{
    return n->drift_ppm ? scale(ns, 1000000, rate(n)) : ns;
}

uint64_t fake_node_mono_ns(const struct firn_fake_node *n)
{
    return n->clock_base_ns + (n->suspended ? 0 : passed(n));
}

uint64_t fake_node_boot_ns(const struct firn_fake_node *n)
{
    return n->clock_base_ns + n->slept_ns + passed(n) + n->boot_offset_ns;
}

uint64_t fake_node_wall_ms(const struct firn_fake_node *n)
{
    uint64_t ns = n->clock_base_ns + n->slept_ns + passed(n) + n->wall_base_ns;
    return n->world->opt.wall_start_ms + ns / FIRN_MS + (uint64_t)n->wall_offset_ms;
}

/* Count from now on: what has passed is added up. */
static void rebase(struct firn_fake_node *n)
{
    uint64_t ns = passed(n);
    *(n->suspended ? &n->slept_ns : &n->clock_base_ns) += ns;
    n->clock_since_ns = n->world->now_ns;
}

void firn_fake_node_clock(struct firn_fake_node *n, int64_t wall_offset_ms, int32_t drift_ppm)
{
    FIRN_ASSERT(drift_ppm > -1000000);
    rebase(n);
    n->wall_offset_ms = wall_offset_ms;
    n->drift_ppm = drift_ppm;
    fake_trace(n->world, FAKE_TRACE_NODE, (uint64_t)wall_offset_ms ^ (uint64_t)drift_ppm << 40);
    firn_fake_say(n->world, n, "clock: wall off by %lld ms, drift %d ppm",
                  (long long)wall_offset_ms, drift_ppm);
}

void firn_fake_node_wall_jump(struct firn_fake_node *n, int64_t by_ms)
{
    firn_fake_node_clock(n, n->wall_offset_ms + by_ms, n->drift_ppm);
}

/* ---- life */

static struct firn_fake_node *add(struct firn_fake_world *w, const char *prefix,
                                  struct fake_disk *disk)
{
    struct firn_fake_node *n = fake_alloc(sizeof *n);
    struct firn_fake_node **list =
        realloc(w->node, (w->nodes + 1) * sizeof(struct firn_fake_node *));
    FIRN_ASSERT(list != NULL);
    w->node = list;
    n->world = w;
    n->index = (unsigned)w->nodes;
    list[w->nodes++] = n;
    n->prefix = fake_strdup(prefix ? prefix : "");
    n->rng.state = fake_rng_next(&w->rng);
    n->way.state = fake_rng_next(&w->rng);
    n->clock_since_ns = w->now_ns;
    n->clock_base_ns = w->now_ns;
    n->boot_offset_ns = fake_below(w, 1000000) * FIRN_MS;
    fake_event_init(&n->wake, FAKE_WAKE, n, NULL, NULL);
    firn_list_init(&n->defers);
    firn_list_init(&n->held);
    firn_list_init(&n->ops);
    n->env = (struct firn_env){.vt = &fake_env_vt, .ctx = n, .store = &n->store, .net = &n->net};
    fake_store_init(n);
    fake_net_init(n);
    fake_disk_init(n, disk);
    firn_fake_say(w, n, "added");
    return n;
}

struct firn_fake_node *firn_fake_node_add(struct firn_fake_world *w, const char *prefix)
{
    return add(w, prefix, NULL);
}

struct firn_fake_node *firn_fake_node_restart(struct firn_fake_node *old, bool rebooted)
{
    FIRN_ASSERT(firn_fake_node_crashed(old));
    struct firn_fake_node *n = add(old->world, old->prefix, old->disk);
    rebase(old);
    n->clock_base_ns = old->clock_base_ns;
    n->slept_ns = old->slept_ns;
    n->wall_base_ns = old->wall_base_ns;
    n->boot_offset_ns = old->boot_offset_ns;
    n->wall_offset_ms = old->wall_offset_ms;
    n->drift_ppm = old->drift_ppm;
    if (rebooted) { /* the hardware clock goes on, the others start again */
        n->wall_base_ns += n->clock_base_ns + n->slept_ns;
        n->clock_base_ns = n->slept_ns = n->boot_offset_ns = 0;
        fake_disk_power_failure(n);
    }
    firn_fake_say(n->world, n, "restart of n%u%s", old->index, rebooted ? " after a reboot" : "");
    fake_net_back(old);
    return n;
}

const struct firn_env *firn_fake_env(const struct firn_fake_node *n)
{
    return &n->env;
}

unsigned firn_fake_node_index(const struct firn_fake_node *n)
{
    return n->index;
}

static void stop_running(struct firn_fake_node *n)
{
    n->frozen = true;
    if (!n->in_turn)
        fake_node_arm(n);
}

void firn_fake_node_freeze(struct firn_fake_node *n)
{
    fake_trace(n->world, FAKE_TRACE_NODE, n->index);
    firn_fake_say(n->world, n, "freeze");
    stop_running(n);
}

void firn_fake_node_suspend(struct firn_fake_node *n)
{
    if (n->suspended)
        return;
    fake_trace(n->world, FAKE_TRACE_NODE, n->index);
    firn_fake_say(n->world, n, "suspend");
    rebase(n);
    n->suspended = true;
    n->suspended_at_ns = n->world->now_ns;
    stop_running(n);
}

/* The machine wakes: timers count the time that it was awake, and of the replies that came
 * meanwhile some are lost. */
static void wake_up(struct firn_fake_node *n)
{
    uint64_t slept = n->world->now_ns - n->suspended_at_ns;
    rebase(n);
    n->suspended = false;
    for (size_t i = 1; i <= n->timers.len; i++)
        n->timers.node[i]->key += slept;
    FIRN_LIST_EACH(it, nx, &n->held)
    {
        struct fake_event *e = FIRN_CONTAINER(it, struct fake_event, held);
        if (e->kind == FAKE_REPLY && fake_rng_next(&n->way) & 1)
            ((struct fake_op *)e->arg)->lost = true;
    }
    fake_net_resume(n);
}

void firn_fake_node_thaw(struct firn_fake_node *n)
{
    if (!n->frozen)
        return;
    fake_trace(n->world, FAKE_TRACE_NODE, n->index);
    firn_fake_say(n->world, n, n->suspended ? "wakes up" : "thaw");
    if (n->suspended)
        wake_up(n);
    n->frozen = false;
    uint64_t at = n->world->now_ns;
    struct firn_list *l;
    while ((l = firn_list_pop(&n->held)) != NULL) /* one ns apart keeps their order */
        fake_event_at(n->world, FIRN_CONTAINER(l, struct fake_event, held), at++);
    if (!n->in_turn)
        fake_node_arm(n);
}

bool firn_fake_node_frozen(const struct firn_fake_node *n)
{
    return n->frozen;
}

void firn_fake_node_kill(struct firn_fake_node *n)
{
    if (n->dead)
        return;
    n->dead = true;
    fake_trace(n->world, FAKE_TRACE_NODE, n->index);
    firn_fake_say(n->world, n, "killed");
    struct firn_heap_node *h;
    while ((h = firn_heap_min(&n->timers)) != NULL)
        firn_heap_remove(&n->timers, h);
    struct firn_list *l;
    while ((l = firn_list_pop(&n->defers)) != NULL)
        FIRN_CONTAINER(l, struct firn_defer, link)->queued = false;
    fake_store_forget(n);
    fake_net_gone(n, false);
    fake_disk_forget(n);
    while ((l = firn_list_pop(&n->held)) != NULL)
        fake_event_free(FIRN_CONTAINER(l, struct fake_event, held));
    fake_event_cancel(n->world, &n->wake);
}

void firn_fake_node_crash(struct firn_fake_node *n)
{
    if (n->dead || n->crashed)
        return;
    fake_trace(n->world, FAKE_TRACE_NODE, n->index);
    firn_fake_say(n->world, n, "crash");
    n->crashed = true;
    n->cut = true;
    fake_store_cut(n);
    fake_net_gone(n, true);
    firn_fake_node_thaw(n); /* its core is to end */
}

bool firn_fake_node_crashed(const struct firn_fake_node *n)
{
    return n->crashed || n->dead;
}

void firn_fake_node_cut(struct firn_fake_node *n, bool cut)
{
    fake_trace(n->world, FAKE_TRACE_NODE, n->index);
    firn_fake_say(n->world, n, cut ? "cut from the store" : "joined to the store");
    n->cut = cut || n->crashed;
    if (cut)
        fake_store_cut(n);
}

void firn_fake_node_deny(struct firn_fake_node *n, bool deny)
{
    fake_trace(n->world, FAKE_TRACE_NODE, n->index);
    firn_fake_say(n->world, n, deny ? "credentials refused" : "credentials taken again");
    n->denied = deny;
}
