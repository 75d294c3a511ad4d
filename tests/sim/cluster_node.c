/* Nodes of the simulated cluster: the real cores, started, killed, stopped and freed. */
#include "sim/cluster_sim.h"

static void log_line(void *arg, enum firn_log_level level, const char *line, size_t len)
{
    const struct node *n = arg;
    (void)level;
    firn_fake_say(n->x->w, n->fake, "%.*s", (int)len, line);
}

void sim_node_over(struct node *n)
{
    n->over = true;
    n->x->ended_one = true;
}

static void serving(void *arg, uint16_t port)
{
    struct node *n = arg;
    (void)port;
    n->serving = true;
    n->x->r->count[SIM_standby_takeovers] += n->standby;
}

static void writer_ended(void *arg, enum firn_writer_end how, const struct firn_err *err)
{
    struct node *n = arg;
    (void)err;
    n->x->r->count[SIM_fenced] += how == FIRN_WRITER_FENCED;
    sim_node_over(n);
}

static void reader_ended(void *arg, bool failed, const struct firn_err *err)
{
    struct node *n = arg;
    /* Who is refused at its start takes that for wrong settings; later it must go on. */
    bool refused = n->x->denied == n && !n->serving;
    if (failed && !refused)
        sim_fail(n->x, "reader %u failed: %s", n->n, err->text);
    sim_node_over(n);
}

static void compactor_ended(void *arg, enum firn_compactor_end how, const struct firn_err *err)
{
    (void)how;
    (void)err;
    sim_node_over(arg);
}

static void begin(struct node *n)
{
    struct sim *x = n->x;
    struct firn_writer_user wu = {.serving = serving, .ended = writer_ended, .arg = n};
    struct firn_reader_user ru = {.serving = serving, .ended = reader_ended, .arg = n};
    struct firn_compactor_user cu = {.ended = compactor_ended, .arg = n};
    const struct firn_env *env = n->env;
    switch (n->role) {
    case ROLE_WRITER:
        SIM_MUST(x, firn_writer_create(env, n->store, &n->settings, &n->obs, &wu,
                                       &n->core.writer) == FIRN_OK);
        firn_writer_start(n->core.writer);
        break;
    case ROLE_READER:
        SIM_MUST(x, firn_reader_create(env, n->store, &n->settings, &n->obs, &ru,
                                       &n->core.reader) == FIRN_OK);
        firn_reader_start(n->core.reader);
        break;
    case ROLE_COMPACTOR:
        SIM_MUST(x, firn_compactor_create(env, n->store, &n->settings, &n->obs, &cu,
                                          &n->core.compactor) == FIRN_OK);
        firn_compactor_start(n->core.compactor);
        break;
    case ROLE_OPERATOR: /* who starts it says what it is to do */
        n->core.operator= sim_operator_new(n);
        break;
    }
}

void sim_set_clock(struct node *n)
{
    struct sim *x = n->x;
    int64_t off = (int64_t)sim_rnd(x, 2 * SIM_WALL_OFF_MS) - SIM_WALL_OFF_MS;
    int32_t drift = (int32_t)x->choice.drift_ppm;
    firn_fake_node_clock(n->fake, off, (int32_t)sim_rnd(x, 2 * (uint64_t)drift) - drift);
}

static struct node *add(struct sim *x, enum role role)
{
    struct node *n = sim_alloc(sizeof *n);
    x->node[x->nodes] = n;
    n->n = n->machine = x->nodes++;
    n->x = x;
    n->role = role;
    return n;
}

static struct node *start(struct node *n)
{
    struct sim *x = n->x;
    SIM_MUST(x, firn_fake_node_index(n->fake) == n->n);
    n->env = firn_fake_env(n->fake);
    struct firn_store_options o = {.hedge_gets = true};
    SIM_MUST(x, firn_store_create(n->env, &o, &n->store) == FIRN_OK);
    char id[16];
    (void)snprintf(id, sizeof id, "node-%u", n->machine);
    sim_settings(x, &n->settings, n->standby, id);
    firn_obs_init(&n->obs);
    if (x->spec->trace) {
        n->obs.log.sink = log_line;
        n->obs.log.sink_arg = n;
    }
    SIM_COUNT(x, starts);
    begin(n);
    return n;
}

struct node *sim_node_start(struct sim *x, enum role role, bool standby)
{
    if (x->nodes == NODES_MAX)
        return NULL;
    struct node *n = add(x, role);
    n->standby = standby;
    n->fake = firn_fake_node_add(x->w, NULL);
    sim_set_clock(n);
    return start(n);
}

struct node *sim_node_restart(struct sim *x, struct node *old, bool rebooted)
{
    if (x->nodes == NODES_MAX)
        return NULL;
    struct node *n = add(x, old->role);
    n->standby = old->standby;
    n->machine = old->machine;
    n->fake = firn_fake_node_restart(old->fake, rebooted);
    return start(n);
}

/* ---- the end of a node */

void sim_node_free(struct node *n)
{
    switch (n->role) {
    case ROLE_WRITER:
        firn_writer_free(n->core.writer);
        break;
    case ROLE_READER:
        firn_reader_free(n->core.reader);
        break;
    case ROLE_COMPACTOR:
        firn_compactor_free(n->core.compactor);
        break;
    case ROLE_OPERATOR:
        sim_operator_free(n->core.operator);
        break;
    }
    firn_store_free(n->store);
    firn_settings_deinit(&n->settings);
    n->freed = true;
}

void sim_nodes_reap(struct sim *x)
{
    if (!x->ended_one)
        return;
    x->ended_one = false;
    for (unsigned i = 0; i < x->nodes; i++)
        if (x->node[i]->over && !x->node[i]->freed)
            sim_node_free(x->node[i]);
}

static void end(struct node *n, bool gently)
{
    if (n->ending || n->over)
        return;
    n->ending = true;
    switch (n->role) {
    case ROLE_WRITER:
        gently ? firn_writer_stop(n->core.writer) : firn_writer_halt(n->core.writer);
        break;
    case ROLE_READER:
        firn_reader_stop(n->core.reader);
        break;
    case ROLE_COMPACTOR:
        gently ? firn_compactor_stop(n->core.compactor) : firn_compactor_halt(n->core.compactor);
        break;
    case ROLE_OPERATOR:
        sim_operator_stop(n->core.operator);
        break;
    }
}

void sim_node_stop(struct node *n)
{
    end(n, true);
}

void sim_node_kill(struct node *n)
{
    if (n->over)
        return;
    SIM_COUNT(n->x, crashes);
    if (firn_fake_node_frozen(n->fake))
        firn_fake_node_thaw(n->fake);
    firn_fake_node_crash(n->fake); /* nothing that it does from now on has any effect */
    n->serving = false;
    n->dies_in = 0;
    if (!n->ending)
        end(n, false);
}

/* ---- finding nodes */

bool sim_node_lives(const struct node *n)
{
    return !n->ending && !n->over;
}

struct node *sim_pick(struct sim *x, enum role role, bool is_serving)
{
    struct node *of[NODES_MAX];
    unsigned k = 0;
    for (unsigned i = 0; i < x->nodes; i++)
        if (x->node[i]->role == role && sim_node_lives(x->node[i]) &&
            (x->node[i]->serving || !is_serving))
            of[k++] = x->node[i];
    return k ? of[sim_rnd(x, k)] : NULL;
}

unsigned sim_count(const struct sim *x, enum role role)
{
    unsigned n = 0;
    for (unsigned i = 0; i < x->nodes; i++)
        n += x->node[i]->role == role && sim_node_lives(x->node[i]);
    return n;
}
