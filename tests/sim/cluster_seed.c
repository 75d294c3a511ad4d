/* A whole cluster in the fake world, from one seed: the real writer, reader and compactor cores
 * over one store that loses, delays and repeats requests, while nodes are killed, frozen, cut off,
 * stopped and fought by second writers, and limits are tiny, so that floors, collected slots and
 * compactions are met all the time. Clients speak RESP over a network that has its own troubles.
 *
 * A run: chaos and writes; then the world is mended and clients only read (what they read must be
 * what was acknowledged, everywhere); then all but a compactor end, and what is left in the store
 * must be what the manifest names. */
#include "sim/cluster_sim.h"

#include "base/sometimes.h"

#include <signal.h>

static struct sim *running; /* for who dies of an assertion */

void *sim_alloc(size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        abort();
    return p;
}

uint64_t sim_rnd(struct sim *x, uint64_t n)
{
    return n ? firn_fake_random(x->w) % n : 0;
}

uint64_t sim_now_ns(const struct sim *x)
{
    return firn_fake_now_ns(x->w);
}

/* ---- what comes out */

static void point(void *arg, const struct firn_sometimes *p, uint64_t n)
{
    struct sim_result *r = arg;
    sim_named_add(r->point, SIM_POINTS_MAX, p->name, n);
}

static void collect(const struct sim *x)
{
    struct sim_result *r = x->r;
    size_t n;
    const uint64_t *struck = firn_fake_struck(x->w, &n);
    r->struck = n < SIM_STRUCK_MAX ? n : SIM_STRUCK_MAX;
    memcpy(r->ordinal, struck, r->struck * sizeof *struck);
    r->count[SIM_faults] = firn_fake_strikes(x->w, NULL);
    r->count[SIM_late] = firn_fake_strikes(x->w, "late");
    r->count[SIM_sim_ms] = sim_now_ns(x) / FIRN_MS;
    r->count[SIM_requests] = firn_fake_requests(x->w, FIRN_OS_OPS);
    r->hash = firn_fake_trace_hash(x->w);
    memset(r->fault, 0, sizeof r->fault);
    memset(r->point, 0, sizeof r->point);
    const char *kind;
    for (size_t i = 0; (kind = firn_fake_strike_kind(x->w, i)) != NULL; i++)
        sim_named_add(r->fault, SIM_KINDS_MAX, kind, firn_fake_strikes(x->w, kind));
    firn_sometimes_each(point, r);
}

void sim_fail(const struct sim *x, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int at = snprintf(x->r->why, sizeof x->r->why, "at %.6f s: ", (double)sim_now_ns(x) / 1e9);
    (void)vsnprintf(x->r->why + at, sizeof x->r->why - (size_t)at, fmt, ap);
    va_end(ap);
    x->r->why[strcspn(x->r->why, "\r\n")] = '\0';
    (void)fprintf(stderr, "seed %llu %s\n", (unsigned long long)x->spec->seed, x->r->why);
    firn_fake_say(x->w, NULL, "FAILED %s", x->r->why);
    collect(x);
    (void)fflush(NULL);
    _Exit(1);
}

/* An assertion of the code under test. */
static void aborted(int sig)
{
    (void)signal(sig, SIG_DFL);
    if (running && running->w) {
        (void)snprintf(running->r->why, sizeof running->r->why, "at %.6f s: aborted",
                       (double)sim_now_ns(running) / 1e9);
        collect(running);
        (void)fflush(NULL);
    }
    (void)raise(sig);
}

/* ---- begin */

/* "3,17,20-24", or "-" for none: those alone may strike. */
static void allow(struct sim *x, const char *list)
{
    uint64_t *set = NULL;
    size_t n = 0;
    for (const char *at = list; at && *at >= '0' && *at <= '9';) {
        char *end;
        uint64_t from = strtoull(at, &end, 10), to = from;
        if (*end == '-')
            to = strtoull(end + 1, &end, 10);
        for (; from <= to; from++) {
            set = realloc(set, (n + 1) * sizeof *set);
            if (!set)
                abort();
            set[n++] = from;
        }
        at = *end == ',' ? end + 1 : end;
    }
    firn_fake_allow(x->w, set, n);
    free(set);
}

static void begin(struct sim *x, const struct sim_spec *spec, struct sim_result *r)
{
    memset(x, 0, sizeof *x);
    memset(r, 0, sizeof *r);
    x->spec = spec;
    x->r = r;
    r->seed = spec->seed;
    struct firn_fake_options o = {.seed = spec->seed};
    sim_choose(x, &o);
    x->w = firn_fake_world_new(&o);
    running = x;
    (void)signal(SIGABRT, aborted);
    if (spec->trace) {
        x->trace = fopen(spec->trace, "w");
        SIM_MUST(x, x->trace);
        firn_fake_trace_to(x->w, x->trace);
    }
    if (spec->allow)
        allow(x, spec->allow);
    sim_history_begin(x);
    sim_store_begin(x);
    for (unsigned i = 0; i < x->choice.clients; i++)
        sim_client_begin(&x->client[i], x, i);
    sim_feed_begin(x);
    sim_keep_up(x);
    sim_chaos_begin(x);
}

/* ---- the run */

static bool run_on(void *arg)
{
    sim_nodes_reap(arg);
    return false;
}

static void run_for(struct sim *x, uint64_t ns)
{
    (void)firn_fake_run_until(x->w, run_on, x, ns);
}

static bool writer_serves(void *arg)
{
    struct sim *x = arg;
    sim_nodes_reap(x);
    for (unsigned i = 0; i < x->nodes; i++)
        if (x->node[i]->role == ROLE_WRITER && sim_node_lives(x->node[i]) && !x->node[i]->serving &&
            !x->node[i]->standby)
            return false; /* one more take-over is under way */
    return sim_pick(x, ROLE_WRITER, true) != NULL;
}

/* ---- all is quiet: everything acknowledged is to be seen, everywhere */

struct look {
    struct sim *x;
    struct node *node;
    struct client c;
    bool asked;
};

static bool looked(void *arg)
{
    struct look *l = arg;
    struct sim *x = l->x;
    sim_nodes_reap(x);
    if (l->node->over) { /* a writer that had been fenced and learned it from a read */
        struct node *other = sim_pick(x, l->node->role, true);
        if (!other)
            return false;
        l->node = other;
        l->asked = false;
    }
    if (!l->node->serving)
        return false;
    if (!l->c.conn) {
        if (!sim_client_dial(&l->c, l->node))
            return false;
        l->asked = false;
    }
    if (!l->asked)
        sim_work_final(&l->c);
    l->asked = true;
    return sim_client_idle(&l->c);
}

static void look_at(struct sim *x, struct node *n)
{
    struct look *l = sim_alloc(sizeof *l);
    *l = (struct look){.x = x, .node = n};
    sim_client_begin(&l->c, x, CLIENTS_MAX + SIM_SUBSCRIBERS_MAX);
    l->c.looks = true;
    if (!firn_fake_run_until(x->w, looked, l, SETTLE_NS))
        sim_fail(x, "node %u does not answer in a quiet world", n->n);
    sim_client_end(&l->c);
    x->look[x->looks++] = l; /* events of the world still point to it */
}

static void settle(struct sim *x)
{
    sim_mend(x);
    x->calm = true;
    memset(&firn_fake_options(x->w)->faults, 0, sizeof(struct firn_fake_faults));
    firn_fake_options(x->w)->latency_heavy = false;
    (void)sim_node_start(x, ROLE_WRITER, false);
    if (!firn_fake_run_until(x->w, writer_serves, x, SETTLE_NS))
        sim_fail(x, "no writer comes to serve in a quiet world");
    run_for(x, x->choice.calm_ns);
    struct node *cold = sim_node_start(x, ROLE_READER, false);
    for (unsigned i = 0; i < x->nodes; i++)
        if (x->node[i]->role == ROLE_READER && sim_node_lives(x->node[i]))
            look_at(x, x->node[i]);
    SIM_MUST(x, cold);
    look_at(x, sim_pick(x, ROLE_WRITER, true));
    sim_history_check_end(x);
    sim_expiry_check_end(x);
    sim_feed_check_end(x);
}

/* ---- end */

static bool all_over(void *arg)
{
    struct sim *x = arg;
    sim_nodes_reap(x);
    for (unsigned i = 0; i < x->nodes; i++)
        if (!x->node[i]->over)
            return false;
    return true;
}

static bool only_compactor(void *arg)
{
    struct sim *x = arg;
    sim_nodes_reap(x);
    for (unsigned i = 0; i < x->nodes; i++)
        if (!x->node[i]->over && x->node[i]->role != ROLE_COMPACTOR)
            return false;
    return sim_count(x, ROLE_COMPACTOR) > 0;
}

static void stop_all(struct sim *x, bool compactors)
{
    for (unsigned i = 0; i < x->nodes; i++)
        if (compactors || x->node[i]->role != ROLE_COMPACTOR)
            sim_node_stop(x->node[i]);
}

static void tell_who_stays(struct sim *x)
{
    for (unsigned i = 0; i < x->nodes; i++)
        if (!x->node[i]->over && (x->ending == SIM_ALL_END || x->node[i]->role != ROLE_COMPACTOR))
            sim_fail(x, "node %u (role %d) does not end", i, (int)x->node[i]->role);
}

static void stop_serving(struct sim *x)
{
    stop_all(x, false);
    if (!firn_fake_run_until(x->w, only_compactor, x, SETTLE_NS))
        tell_who_stays(x);
}

/* Writes that are late by an hour land first. Then both roles are claimed once more: what the ones
 * before had not committed is garbage only then. */
static void check_garbage(struct sim *x)
{
    x->ending = SIM_SERVING_ENDS;
    stop_serving(x);
    run_for(x, x->choice.late_max_ns);
    (void)sim_node_start(x, ROLE_WRITER, false);
    if (!firn_fake_run_until(x->w, writer_serves, x, SETTLE_NS))
        sim_fail(x, "no writer comes to serve at the end");
    stop_all(x, true); /* another compactor comes by itself */
    stop_serving(x);
    sim_store_check_end(x);
}

static void end(struct sim *x)
{
    for (unsigned i = 0; i < x->choice.clients; i++)
        sim_client_lose(&x->client[i]);
    check_garbage(x);
    x->ending = SIM_ALL_END;
    stop_all(x, true);
    if (!firn_fake_run_until(x->w, all_over, x, SETTLE_NS))
        tell_who_stays(x);
    collect(x);
    for (unsigned i = 0; i < x->nodes; i++) {
        if (!x->node[i]->freed)
            sim_node_free(x->node[i]);
        free(x->node[i]);
    }
    running = NULL;
    firn_fake_world_free(x->w);
    for (unsigned i = 0; i < x->choice.clients; i++)
        sim_client_end(&x->client[i]);
    for (size_t i = 0; i < x->looks; i++)
        free(x->look[i]);
    sim_expiry_end(x);
    sim_feed_end(x);
    sim_store_end(x);
    sim_history_end(x);
    sim_choice_free(&x->choice);
    if (x->trace)
        (void)fclose(x->trace);
}

void sim_run_seed(const struct sim_spec *spec, struct sim_result *r)
{
    static struct sim x;
    begin(&x, spec, r);
    run_for(&x, x.choice.run_ns);
    settle(&x);
    end(&x);
}
