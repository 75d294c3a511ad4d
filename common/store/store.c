#include "store/store_priv.h"

#include "base/assert.h"
#include "base/mem.h"

#define ATTEMPT_BASE_NS FIRN_SEC
#define ATTEMPT_BYTES_PER_SEC UINT64_C(10000000)
#define BACKOFF_MIN_NS (20 * FIRN_MS)
#define BACKOFF_MAX_NS (2 * FIRN_SEC)
#define RETRY_PERCENT 20

enum firn_status firn_store_create(const struct firn_env *env, const struct firn_store_options *o,
                                   struct firn_store **out)
{
    struct firn_store *s = firn_calloc(1, sizeof *s);
    if (!s)
        return FIRN_LIMIT;
    s->env = env;
    if (o)
        s->o = *o;
    if (!s->o.attempt_base_ns)
        s->o.attempt_base_ns = ATTEMPT_BASE_NS;
    if (!s->o.attempt_bytes_per_sec)
        s->o.attempt_bytes_per_sec = ATTEMPT_BYTES_PER_SEC;
    if (!s->o.backoff_min_ns)
        s->o.backoff_min_ns = BACKOFF_MIN_NS;
    if (!s->o.backoff_max_ns)
        s->o.backoff_max_ns = BACKOFF_MAX_NS;
    if (!s->o.retry_percent)
        s->o.retry_percent = RETRY_PERCENT;
    firn_list_init(&s->calls);
    firn_store__gate_init(s);
    *out = s;
    return FIRN_OK;
}

void firn_store_free(struct firn_store *s)
{
    if (!s)
        return;
    FIRN_ASSERT(firn_store_idle(s));
    firn_timer_stop(s->env, &s->gate.timer);
    firn_free(s);
}

bool firn_store_idle(const struct firn_store *s)
{
    return firn_list_empty(&s->calls) && s->failing == 0;
}

void firn_store__fail_later(struct firn_store *s, struct firn_store_failing *f,
                            void (*told)(void *arg), void *arg)
{
    f->timer = (struct firn_timer){.fn = told, .arg = arg};
    f->store = s;
    s->failing++;
    firn_timer_start(s->env, &f->timer, FIRN_STORE_MEMORY_REST_NS);
}

void firn_store__failed(struct firn_store_failing *f)
{
    f->store->failing--;
    f->store = NULL;
}

void firn_store__fail_soon(struct firn_store_failing *f)
{
    if (f->store)
        firn_timer_start(f->store->env, &f->timer, 0);
}

void firn_store_op_clear(struct firn_store_op *op)
{
    firn_os_req_clear(&op->req);
    firn_buf_clear(&op->found);
    op->status = FIRN_OK;
    op->first_sent_ns = op->sent_ns = op->done_ns = 0;
    op->attempts = 0;
}

int64_t firn_store_date_ms(const struct firn_store *s, uint64_t *at_boot_ns)
{
    if (at_boot_ns)
        *at_boot_ns = s->date_at_ns;
    return s->date_ms;
}

uint64_t firn_store_hold_ms(const struct firn_store *s, uint64_t wall_ms, uint64_t skew_ms)
{
    if (s->date_ms <= 0)
        return wall_ms;
    uint64_t store_ms = (uint64_t)s->date_ms + (firn_boot_ns(s->env) - s->date_at_ns) / FIRN_MS;
    skew_ms += FIRN_STORE_DATE_GRAIN_MS;
    if (wall_ms > store_ms + skew_ms)
        return store_ms + skew_ms;
    return wall_ms + skew_ms < store_ms ? store_ms - skew_ms : wall_ms;
}

const struct firn_store_account *firn_store_account_of(const struct firn_store *s,
                                                       enum firn_os_op op)
{
    return &s->account[op];
}

double firn_store_dollars(const struct firn_store *s)
{
    static const double per_million[FIRN_OS_OPS] = {
        [FIRN_OS_GET] = 0.4,         [FIRN_OS_HEAD] = 0.4,      [FIRN_OS_PUT] = 5.0,
        [FIRN_OS_LIST] = 5.0,        [FIRN_OS_MP_CREATE] = 5.0, [FIRN_OS_MP_PART] = 5.0,
        [FIRN_OS_MP_COMPLETE] = 5.0,
    };
    if (!s->env->store->is_remote)
        return 0;
    double sum = 0;
    for (unsigned i = 0; i < FIRN_OS_OPS; i++)
        sum += (double)s->account[i].requests * per_million[i] / 1e6;
    return sum;
}

void firn_store_set_dialect(struct firn_store *s, const struct firn_os_dialect *d)
{
    s->env->store->vt->set_dialect(s->env->store->ctx, d);
}
