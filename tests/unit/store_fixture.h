/* What the tests of the store room share: one node over a fake world, and a script that says what
 * becomes of each request in turn. */
#ifndef FIRN_TESTS_UNIT_STORE_FIXTURE_H
#define FIRN_TESTS_UNIT_STORE_FIXTURE_H

#include "fakes/fake_env.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

struct fix {
    struct firn_fake_world *w;
    struct firn_fake_node *node;
    const struct firn_env *env;
    struct firn_store *store;
    const enum firn_fake_fate *script; /* of requests in turn; behind its end all are CLEAN */
    size_t scripted, at;
    uint64_t late_ns;
};

static inline void fix_on_request(void *arg, struct firn_fake_node *n,
                                  const struct firn_os_req *req, struct firn_fake_plan *plan)
{
    struct fix *f = arg;
    (void)n;
    (void)req;
    if (!f->script)
        return;
    plan->fate = f->at < f->scripted ? f->script[f->at] : FIRN_FAKE_CLEAN;
    plan->late_ns = f->late_ns;
    f->at++;
}

static inline void fix_open(struct fix *f, const struct firn_fake_options *o,
                            const struct firn_store_options *so)
{
    memset(f, 0, sizeof *f);
    f->w = firn_fake_world_new(o);
    f->node = firn_fake_node_add(f->w, NULL);
    f->env = firn_fake_env(f->node);
    firn_fake_on_request(f->w, fix_on_request, f);
    assert_int_equal(firn_store_create(f->env, so, &f->store), FIRN_OK);
}

static inline void fix_close(struct fix *f)
{
    firn_store_free(f->store);
    firn_fake_world_free(f->w);
}

#define FIX_SCRIPT(f, ...)                                                                         \
    do {                                                                                           \
        static const enum firn_fake_fate fates_[] = {__VA_ARGS__};                                 \
        (f)->script = fates_;                                                                      \
        (f)->scripted = sizeof fates_ / sizeof fates_[0];                                          \
        (f)->at = 0;                                                                               \
    } while (0)

struct fix_op {
    struct firn_store_op op;
    int done;
};

static inline void fix_on_done(struct firn_store_op *op)
{
    ((struct fix_op *)op->arg)->done++;
}

static inline bool fix_is_done(void *arg)
{
    return ((struct fix_op *)arg)->done > 0;
}

static inline void fix_start(struct fix *f, struct fix_op *o, enum firn_os_op what, const char *key)
{
    o->done = 0;
    o->op.req.op = what;
    o->op.req.key = key;
    o->op.done = fix_on_done;
    o->op.arg = o;
    firn_store_submit(f->store, &o->op);
    assert_int_equal(o->done, 0);
}

static inline enum firn_status fix_run(struct fix *f, struct fix_op *o, enum firn_os_op what,
                                       const char *key)
{
    fix_start(f, o, what, key);
    assert_true(firn_fake_run_until(f->w, fix_is_done, o, 3600 * FIRN_SEC));
    assert_int_equal(o->done, 1);
    return o->op.status;
}

/* A PUT with everything cleared behind it. */
static inline enum firn_status fix_put(struct fix *f, enum firn_os_cond cond, const char *etag,
                                       const char *key, const char *body)
{
    struct fix_op o = {0};
    o.op.req.cond = cond;
    o.op.req.etag = etag;
    o.op.req.body = firn_slice_str(body);
    enum firn_status s = fix_run(f, &o, FIRN_OS_PUT, key);
    firn_store_op_clear(&o.op);
    return s;
}

static inline bool fix_holds(struct fix *f, const char *key, const char *body)
{
    struct firn_slice s;
    return firn_fake_get(f->w, key, &s) && firn_slice_eq(s, firn_slice_str(body));
}

#endif
