/* What befalls the nodes. Every strike is one of the world's numbered faults, so that the shrinker
 * can leave it out. */
#include "sim/cluster_sim.h"

/* ---- mending */

void sim_mend(struct sim *x)
{
    if (x->frozen && sim_frozen(x->frozen))
        firn_fake_node_thaw(x->frozen->fake);
    if (x->cut && !firn_fake_node_crashed(x->cut->fake))
        firn_fake_node_cut(x->cut->fake, false);
    if (x->split)
        firn_fake_net_split(x->split->fake, 0);
    if (x->denied)
        firn_fake_node_deny(x->denied->fake, false);
    firn_fake_store_down(x->w, false);
    x->frozen = x->cut = x->split = x->denied = NULL;
}

bool sim_frozen(const struct node *n)
{
    return !n->freed && firn_fake_node_frozen(n->fake);
}

/* ---- strikes */

/* A node to strike, of any role: writers twice as often. The same for this strike on every run of
 * the same nodes. */
static struct node *victim(struct sim *x)
{
    static const enum role roles[] = {ROLE_WRITER, ROLE_WRITER, ROLE_READER, ROLE_COMPACTOR};
    struct node *of[NODES_MAX];
    uint64_t draw = firn_fake_strike_random(x->w);
    enum role role = roles[draw % 4];
    unsigned k = 0;
    for (unsigned i = 0; i < x->nodes; i++)
        if (x->node[i]->role == role && sim_node_lives(x->node[i]))
            of[k++] = x->node[i];
    return k ? of[draw / 4 % k] : NULL;
}

static void do_kill(struct sim *x, struct node *n)
{
    (void)x;
    sim_node_kill(n);
}

static void do_kill_at_call(struct sim *x, struct node *n)
{
    n->dies_in = 1 + (unsigned)sim_rnd(x, 40);
    n->dies_after = sim_rnd(x, 2);
}

static void do_stop(struct sim *x, struct node *n)
{
    (void)x;
    sim_node_stop(n);
}

/* For a moment, or for longer than any lease and grace: until the next strike. */
static void do_freeze(struct sim *x, struct node *n)
{
    if (x->frozen)
        return;
    SIM_COUNT(x, freezes);
    firn_fake_node_freeze(n->fake);
    x->frozen = n;
}

/* The machine sleeps: its monotonic clock stands still. */
static void do_suspend(struct sim *x, struct node *n)
{
    if (x->frozen)
        return;
    SIM_COUNT(x, freezes);
    firn_fake_node_suspend(n->fake);
    x->frozen = n;
}

static void do_store_down(struct sim *x, struct node *n)
{
    (void)n;
    firn_fake_store_down(x->w, true); /* until the next strike */
}

static void do_jump(struct sim *x, struct node *n)
{
    if (x->choice.jump_ms)
        firn_fake_node_wall_jump(n->fake, (int64_t)sim_rnd(x, 2 * x->choice.jump_ms) -
                                              (int64_t)x->choice.jump_ms);
}

/* Cut off from the store, not from its clients, who do not know that it is fenced, nor does it. */
static void do_cut(struct sim *x, struct node *n)
{
    if (x->cut)
        return;
    SIM_COUNT(x, cuts);
    firn_fake_node_cut(n->fake, true);
    x->cut = n;
    if (n->role == ROLE_WRITER)
        (void)sim_node_start(x, ROLE_WRITER, false);
}

/* Some clients do not reach it; it reaches the store. */
static void do_split(struct sim *x, struct node *n)
{
    if (x->split)
        return;
    firn_fake_net_split(n->fake, firn_fake_strike_random(x->w));
    x->split = n;
}

/* Its credentials are not taken, until the next strike. */
static void do_deny(struct sim *x, struct node *n)
{
    if (x->denied)
        return;
    firn_fake_node_deny(n->fake, true);
    x->denied = n;
}

/* Another process of that name on the same machine, while what the one before had sent may still
 * land; half of them after a reboot. */
static void do_restart(struct sim *x, struct node *n)
{
    sim_node_kill(n);
    (void)sim_node_restart(x, n, firn_fake_strike_random(x->w) % 2);
}

static void do_promote(struct sim *x, struct node *n)
{
    (void)n;
    sim_operator_promote(x);
}

static void do_set(struct sim *x, struct node *n)
{
    (void)n;
    sim_operator_set(x);
}

static void do_second_writer(struct sim *x, struct node *n)
{
    (void)n;
    (void)sim_node_start(x, ROLE_WRITER, false);
}

static void do_second_standby(struct sim *x, struct node *n)
{
    (void)n;
    if (x->choice.heartbeat_ns)
        (void)sim_node_start(x, ROLE_WRITER, true);
}

static void do_second_compactor(struct sim *x, struct node *n)
{
    (void)n;
    (void)sim_node_start(x, ROLE_COMPACTOR, false);
}

static void do_clock(struct sim *x, struct node *n)
{
    (void)x;
    sim_set_clock(n);
}

static const struct {
    const char *kind;
    uint32_t ppm; /* of the strikes; together about a million */
    void (*act)(struct sim *x, struct node *n);
} strike[] = {
    {"kill", 110000, do_kill},
    {"kill at a call", 110000, do_kill_at_call},
    {"stop", 60000, do_stop},
    {"freeze", 140000, do_freeze},
    {"cut", 110000, do_cut},
    {"split", 60000, do_split},
    {"second writer", 80000, do_second_writer},
    {"second standby", 60000, do_second_standby},
    {"second compactor", 60000, do_second_compactor},
    {"clock", 50000, do_clock},
    {"suspend", 60000, do_suspend},
    {"store down", 30000, do_store_down},
    {"wall clock", 50000, do_jump},
    {"denied for a while", 40000, do_deny},
    {"restart", 70000, do_restart},
    {"promote", 80000, do_promote},
    {"setting", 60000, do_set},
};
#define STRIKES (sizeof strike / sizeof strike[0])

static void chaos(void *arg)
{
    struct sim *x = arg;
    if (x->calm)
        return;
    sim_mend(x);
    for (size_t i = 0; i < STRIKES; i++) {
        if (!firn_fake_strike(x->w, strike[i].kind, strike[i].ppm))
            continue;
        struct node *n = victim(x);
        if (!n)
            continue;
        firn_fake_say(x->w, n->fake, "strike: %s", strike[i].kind);
        strike[i].act(x, n);
    }
    uint64_t usual = x->choice.chaos_ns;
    firn_fake_at(x->w, sim_rnd(x, sim_rnd(x, 5) ? usual : 5 * usual), chaos, x);
}

void sim_chaos_begin(struct sim *x)
{
    for (size_t i = 0; i < STRIKES; i++)
        (void)firn_fake_strike(x->w, strike[i].kind, 0);
    firn_fake_at(x->w, 3 * FIRN_SEC, chaos, x);
}

/* ---- a kill at a call to the store: before it takes effect, or just after */

static void dies(void *arg)
{
    sim_node_kill(arg);
}

static void die_soon(struct node *n)
{
    SIM_COUNT(n->x, crashes_at_call);
    firn_fake_at(n->x->w, 0, dies, n);
}

void sim_on_request(void *arg, struct firn_fake_node *fake, const struct firn_os_req *req,
                    struct firn_fake_plan *plan)
{
    struct sim *x = arg;
    struct node *n = x->node[firn_fake_node_index(fake)];
    (void)req;
    if (n->dies_in == 0 || --n->dies_in > 0)
        return;
    if (n->dies_after) {
        n->dies_now = true; /* sim_took_effect */
        plan->fate = FIRN_FAKE_CLEAN;
    } else {
        plan->fate = FIRN_FAKE_DROP;
        die_soon(n);
    }
}

void sim_took_effect(struct sim *x, unsigned node)
{
    struct node *n = x->node[node];
    if (!n->dies_now)
        return;
    n->dies_now = false;
    die_soon(n);
}

/* ---- what an operator would see to */

static void keep_up(void *arg)
{
    struct sim *x = arg;
    unsigned writers = sim_count(x, ROLE_WRITER);
    if (x->ending == SIM_ALL_END)
        return;
    if (sim_count(x, ROLE_COMPACTOR) == 0)
        (void)sim_node_start(x, ROLE_COMPACTOR, false);
    firn_fake_at(x->w, FIRN_SEC / 2 + sim_rnd(x, FIRN_SEC), keep_up, x);
    if (x->ending)
        return;
    if (writers == 0)
        (void)sim_node_start(x, ROLE_WRITER, false);
    else if (writers == 1 && x->choice.heartbeat_ns && !x->calm)
        (void)sim_node_start(x, ROLE_WRITER, true);
    if (sim_count(x, ROLE_READER) < x->choice.readers)
        (void)sim_node_start(x, ROLE_READER, false);
}

void sim_keep_up(struct sim *x)
{
    keep_up(x);
}
