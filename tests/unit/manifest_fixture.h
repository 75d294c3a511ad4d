/* A fake store, processes with a manifest node each, and what becomes of their swaps, for tests. */
#ifndef FIRN_TESTS_MANIFEST_FIXTURE_H
#define FIRN_TESTS_MANIFEST_FIXTURE_H

#include "fakes/fake_env.h"
#include "manifest_sample.h"

#include "manifest/check.h"
#include "manifest/intents.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct proc {
    struct firn_fake_node *fake;
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_manifest_node *node;
    unsigned fenced, broken;
    bool stopped;
};

static struct firn_fake_world *world;
static Firn__Settings settings;
static Firn__Dialect dialect;

/* What becomes of the n-th PUT of `manifest` from now on. */
static enum firn_fake_fate swap_fate[64];
static unsigned swaps, swap_fates;
static uint64_t late_ns;

static inline void on_request(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                              struct firn_fake_plan *plan)
{
    (void)arg;
    (void)n;
    if (req->op != FIRN_OS_PUT || strcmp(req->key, "manifest") != 0)
        return;
    if (swaps < swap_fates) {
        plan->fate = swap_fate[swaps];
        plan->late_ns = late_ns;
    }
    swaps++;
}

static inline void next_swaps(enum firn_fake_fate a, enum firn_fake_fate b)
{
    swap_fate[0] = a;
    swap_fate[1] = b;
    swap_fates = 2;
    swaps = 0;
}

static inline void world_open(uint64_t seed)
{
    struct firn_fake_options o = {.seed = seed};
    world = firn_fake_world_new(&o);
    swap_fates = swaps = 0;
    late_ns = 0;
    firn_fake_on_request(world, on_request, NULL);
    firn_manifest_settings_default(&settings);
    firn__dialect__init(&dialect);
}

static inline void fenced(void *arg, enum firn_role role)
{
    (void)role;
    ((struct proc *)arg)->fenced++;
}

static inline void broken(void *arg, const struct firn_err *err)
{
    assert_true(err->text[0]);
    ((struct proc *)arg)->broken++;
}

static inline void proc_open(struct proc *p)
{
    struct firn_manifest_options o = {.fenced = fenced, .broken = broken, .arg = p};
    memset(p, 0, sizeof *p);
    p->fake = firn_fake_node_add(world, NULL);
    p->env = firn_fake_env(p->fake);
    assert_int_equal(firn_store_create(p->env, NULL, &p->store), FIRN_OK);
    assert_int_equal(firn_manifest_node_create(p->env, p->store, &o, &p->node), FIRN_OK);
}

static inline void on_stopped(void *arg)
{
    ((struct proc *)arg)->stopped = true;
}

static inline bool is_stopped(void *arg)
{
    return ((struct proc *)arg)->stopped;
}

static inline void proc_close(struct proc *p)
{
    firn_manifest_node_stop(p->node, on_stopped, p);
    assert_true(firn_fake_run_until(world, is_stopped, p, 100 * FIRN_SEC));
    firn_manifest_node_free(p->node);
    firn_store_free(p->store);
}

static inline bool is_set(void *arg)
{
    return *(bool *)arg;
}

static inline void run(bool *done)
{
    assert_true(firn_fake_run_until(world, is_set, done, 1000 * FIRN_SEC));
}

static inline void intent_done(struct firn_intent *it)
{
    *(bool *)it->arg = true;
}

static inline void create_done(struct firn_manifest_create *c)
{
    *(bool *)c->arg = true;
}

static inline void read_done(struct firn_manifest_read *r)
{
    if (r->status == FIRN_OK)
        firn_manifest_ref(r->manifest);
    *(bool *)r->arg = true;
}

static inline enum firn_status create(struct proc *p, bool *created)
{
    bool done = false;
    struct firn_manifest_create c = {
        .settings = &settings, .dialect = &dialect, .done = create_done, .arg = &done};
    firn_manifest_create(p->node, &c);
    run(&done);
    *created = c.created;
    return c.status;
}

static inline enum firn_status read_now(struct proc *p, struct firn_manifest **m)
{
    bool done = false;
    struct firn_manifest_read r = {.done = read_done, .arg = &done};
    firn_manifest_read(p->node, &r);
    run(&done);
    if (m)
        *m = r.manifest;
    else if (r.status == FIRN_OK)
        firn_manifest_unref(r.manifest);
    assert_true(r.status == FIRN_OK || r.err.text[0] || r.status == FIRN_ABSENT);
    return r.status;
}

static inline struct firn_id process_of(const struct proc *p)
{
    struct firn_id id = {{0}};
    id.byte[0] = (uint8_t)(1 + firn_fake_node_index(p->fake));
    return id;
}

static inline enum firn_status claim(struct proc *p, enum firn_role role)
{
    bool done = false;
    struct firn_claim_intent it = {
        .base = {.done = intent_done, .arg = &done},
        .claim = {.role = role, .process_nonce = process_of(p), .node_id = "n"}};
    firn_manifest_claim(p->node, &it);
    run(&done);
    struct firn_id nonce = process_of(p);
    if (it.base.status == FIRN_OK)
        firn_manifest_hold(p->node, role, it.epoch, &nonce);
    return it.base.status;
}

/* A flush intent of one table up to slot `end` of epoch `epoch`. */
struct flush {
    struct firn_flush_intent it;
    Firn__Table *table;
    bool done;
};

static inline void flush_start(struct flush *f, struct proc *p, uint64_t epoch, uint64_t end,
                               uint64_t number)
{
    memset(f, 0, sizeof *f);
    f->table = sample_table(FIRN_ROLE_WRITER, epoch, number, "a", "z");
    f->it.base.done = intent_done;
    f->it.base.arg = &f->done;
    f->it.flush = (struct firn_flush){.end = {epoch, end},
                                      .seqno = 100,
                                      .tables = &f->table,
                                      .ntables = 1,
                                      .watermark = number + 1};
    firn_manifest_flush(p->node, &f->it);
}

static inline enum firn_status flush_end(struct flush *f)
{
    run(&f->done);
    firn_pb_table_free(f->table);
    return f->it.base.status;
}

static inline Firn__Manifest *peek(void)
{
    struct firn_slice body;
    Firn__Manifest *m = NULL;
    assert_true(firn_fake_get(world, "manifest", &body));
    assert_int_equal(firn_manifest_decode(body, &m, NULL), FIRN_OK);
    assert_int_equal(firn_manifest_check(m, NULL), FIRN_OK);
    return m;
}

static inline uint64_t version_now(void)
{
    Firn__Manifest *m = peek();
    uint64_t v = m->version;
    firn_pb_manifest_free(m);
    return v;
}

/* Everything a test wants at its start: p holds the writer's role, epoch 1, version 2. */
static inline void open_writer(struct proc *p, uint64_t seed)
{
    bool created;
    world_open(seed);
    proc_open(p);
    assert_int_equal(create(p, &created), FIRN_OK);
    assert_true(created);
    assert_int_equal(claim(p, FIRN_ROLE_WRITER), FIRN_OK);
    assert_int_equal(version_now(), 2);
}

#endif
