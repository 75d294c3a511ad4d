#include "bench/slow_store.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NORMAL_P99 2.3263478740408408 /* of the standard normal distribution */
#define TWO_PI 6.283185307179586
#define DELAY_MS_MAX 60000

struct slow {
    struct firn_objstore store; /* what others see */
    const struct firn_env *env;
    struct firn_objstore *inner;
    struct firn_slow_options opt;
    struct firn_list held; /* struct hold */
};

/* A request that has not been handed on. */
struct hold {
    struct firn_list link;
    struct firn_timer timer;
    struct slow *slow;
    struct firn_os_req *req;
    enum firn_status end; /* other than OK: it ends with this and is not handed on */
};

/* In (0, 1). */
static double uniform(const struct firn_env *env)
{
    return ((double)(firn_random_u64(env) >> 11) + 0.5) / 9007199254740992.0; /* 2^53 */
}

/* Box and Muller, A Note on the Generation of Random Normal Deviates, 1958. */
static uint64_t draw(const struct firn_env *env, const struct firn_slow_delay *d)
{
    if (d->p50_ns == 0 || d->p99_ns <= d->p50_ns)
        return d->p50_ns;
    double normal = sqrt(-2.0 * log(uniform(env))) * cos(TWO_PI * uniform(env));
    double sigma = log((double)d->p99_ns / (double)d->p50_ns) / NORMAL_P99;
    return (uint64_t)((double)d->p50_ns * exp(sigma * normal));
}

static const struct firn_slow_delay *delay_of(const struct slow *s, enum firn_os_op op)
{
    switch (op) {
    case FIRN_OS_GET:
    case FIRN_OS_HEAD:
        return &s->opt.get;
    case FIRN_OS_LIST:
        return &s->opt.list;
    case FIRN_OS_DELETE:
    case FIRN_OS_DELETE_MANY:
        return &s->opt.del;
    default:
        return &s->opt.put;
    }
}

static void over(void *arg)
{
    struct hold *h = arg;
    struct slow *s = h->slow;
    struct firn_os_req *req = h->req;
    enum firn_status end = h->end;
    firn_list_remove(&h->link);
    firn_free(h);
    if (end == FIRN_OK) {
        firn_os_submit(s->inner, req);
        return;
    }
    firn_os_req_clear(req);
    req->status = firn_fail(&req->err, end, "the delay is longer than the request may last");
    req->done(req);
}

static void submit(void *ctx, struct firn_os_req *req)
{
    struct slow *s = ctx;
    uint64_t delay = draw(s->env, delay_of(s, req->op));
    struct hold *h = delay ? firn_calloc(1, sizeof *h) : NULL;
    if (!h) { /* memory is short, or there is nothing to wait for */
        firn_os_submit(s->inner, req);
        return;
    }
    h->slow = s;
    h->req = req;
    h->timer.fn = over;
    h->timer.arg = h;
    if (delay >= req->timeout_ns) {
        delay = req->timeout_ns;
        h->end = FIRN_UNCERTAIN;
    }
    firn_list_push(&s->held, &h->link);
    firn_timer_start(s->env, &h->timer, delay);
}

static void cancel(void *ctx, struct firn_os_req *req)
{
    struct slow *s = ctx;
    FIRN_LIST_EACH(it, nx, &s->held)
    {
        struct hold *h = FIRN_CONTAINER(it, struct hold, link);
        if (h->req != req)
            continue;
        h->end = FIRN_TRANSIENT; /* nothing was done */
        firn_timer_start(s->env, &h->timer, 0);
        return;
    }
    firn_os_cancel(s->inner, req);
}

static void set_dialect(void *ctx, const struct firn_os_dialect *d)
{
    struct slow *s = ctx;
    s->inner->vt->set_dialect(s->inner->ctx, d);
}

static const struct firn_objstore_vt slow_vt = {submit, cancel, set_dialect};

enum firn_status firn_slow_create(const struct firn_env *env, struct firn_objstore *inner,
                                  const struct firn_slow_options *o, struct firn_objstore **out)
{
    struct slow *s = firn_calloc(1, sizeof *s);
    if (!s)
        return FIRN_LIMIT;
    s->store = (struct firn_objstore){.vt = &slow_vt, .ctx = s, .is_remote = true};
    (void)snprintf(s->store.url, sizeof s->store.url, "%s", inner->url);
    s->env = env;
    s->inner = inner;
    s->opt = *o;
    firn_list_init(&s->held);
    *out = &s->store;
    return FIRN_OK;
}

void firn_slow_free(struct firn_objstore *store)
{
    if (!store)
        return;
    struct slow *s = store->ctx;
    FIRN_ASSERT(firn_list_empty(&s->held));
    firn_free(s);
}

static const char *parse_ms(const char *p, uint64_t *ns)
{
    char *end;
    errno = 0;
    double ms = strtod(p, &end);
    if (end == p || errno != 0 || !(ms >= 0 && ms <= DELAY_MS_MAX))
        return NULL;
    *ns = (uint64_t)(ms * (double)FIRN_MS);
    return end;
}

enum firn_status firn_slow_parse(const char *text, struct firn_slow_delay *out)
{
    struct firn_slow_delay d = {0, 0};
    if (text) {
        const char *p = parse_ms(text, &d.p50_ns);
        d.p99_ns = d.p50_ns;
        if (p && *p == ':')
            p = parse_ms(p + 1, &d.p99_ns);
        if (!p || *p || d.p99_ns < d.p50_ns)
            return FIRN_INVALID;
    }
    *out = d;
    return FIRN_OK;
}
