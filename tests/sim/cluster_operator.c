/* What an operator does with firnctl: one process for one commit, which may be killed, lose replies
 * and race with the nodes like any other. The commits are those of ctl_set.c. */
#include "sim/cluster_sim.h"

#include "manifest/intents.h"
#include "manifest/settings.h"

struct operator
{
    struct node *n;
    struct firn_manifest_node *mnode;
    struct firn_manifest_read read;
    struct firn_setting_intent setting;
    struct firn_promote_intent promote;
    char name[24], value[24]; /* name "": promote the node `value` */
    bool stopping;
};

static void stopped(void *arg)
{
    struct operator* o = arg;
    sim_node_over(o->n);
}

void sim_operator_stop(struct operator* o)
{
    if (!o->stopping)
        firn_manifest_node_stop(o->mnode, stopped, o);
    o->stopping = true;
}

static void committed(struct firn_intent *it)
{
    struct operator* o = it->arg;
    if (it->status == FIRN_OK)
        SIM_COUNT(o->n->x, wishes);
    sim_operator_stop(o);
}

/* The database is there: commit. */
static void opened(struct firn_manifest_read *r)
{
    struct operator* o = r->arg;
    if (r->status != FIRN_OK) {
        sim_operator_stop(o);
        return;
    }
    struct firn_os_dialect d = firn_dialect_from_manifest(r->manifest->pb->dialect);
    firn_store_set_dialect(o->n->store, &d);
    struct firn_intent base = {.done = committed, .arg = o};
    if (o->name[0]) {
        o->setting = (struct firn_setting_intent){.base = base, .name = o->name, .value = o->value};
        firn_manifest_setting(o->mnode, &o->setting);
    } else {
        o->promote = (struct firn_promote_intent){.base = base, .node_id = o->value};
        firn_manifest_promote(o->mnode, &o->promote);
    }
}

static void start(struct sim *x, const char *name, const char *value)
{
    struct node *n = sim_node_start(x, ROLE_OPERATOR, false);
    if (!n)
        return;
    struct operator* o = n->core.operator;
    (void)snprintf(o->name, sizeof o->name, "%s", name);
    (void)snprintf(o->value, sizeof o->value, "%s", value);
    firn_fake_say(x->w, n->fake, "operator: %s %s", name[0] ? name : "promote", value);
    o->read = (struct firn_manifest_read){
        .deadline_ns = firn_boot_ns(n->env) + 10 * FIRN_SEC, .done = opened, .arg = o};
    firn_manifest_read(o->mnode, &o->read);
}

struct operator* sim_operator_new(struct node *n)
{
    struct firn_manifest_options mo = {.interval_ns = 1};
    struct operator* o = sim_alloc(sizeof *o);
    o->n = n;
    SIM_MUST(n->x, firn_manifest_node_create(n->env, n->store, &mo, &o->mnode) == FIRN_OK);
    return o;
}

void sim_operator_free(struct operator* o)
{
    firn_manifest_node_free(o->mnode);
    free(o);
}

/* ---- what is asked for */

/* A standby; seldom nobody, or one that is not there. */
void sim_operator_promote(struct sim *x)
{
    const struct node *of[NODES_MAX];
    uint64_t draw = firn_fake_strike_random(x->w);
    unsigned k = 0;
    for (unsigned i = 0; i < x->nodes; i++)
        if (x->node[i]->standby && !x->node[i]->serving && sim_node_lives(x->node[i]))
            of[k++] = x->node[i];
    if (draw % 8 == 0)
        start(x, "", draw / 8 % 2 ? "" : "nobody");
    else if (k)
        start(x, "", of[draw / 8 % k]->settings.node_id);
}

/* The least dedup-ttl is longer than a client tries again. Events stay: whether there were any is
 * looked at in the end. */
void sim_operator_set(struct sim *x)
{
    uint64_t draw = firn_fake_strike_random(x->w);
    char value[24];
    uint64_t n = draw / 4 % 5000;
    switch (draw % 4) {
    case 0:
        (void)snprintf(value, sizeof value, "%llu", (unsigned long long)(60000 + 100 * n));
        start(x, "dedup-ttl", value);
        break;
    case 1:
        (void)snprintf(value, sizeof value, "%llu", (unsigned long long)(800 + n / 2));
        if (x->choice.heartbeat_ns)
            start(x, "heartbeat", value);
        break;
    default:
        (void)snprintf(value, sizeof value, "%llu", (unsigned long long)(n % 3 ? 10 * n : 0));
        start(x, "history", value);
        break;
    }
}
