/* How the store has been answering lately, per kind of request: for logs, /readyz and messages.
 * Nothing is decided by it. */
#include "store/store_priv.h"

/* Failures in a row over so long are told; shorter ones are what retries are for. */
#define TOLD_AFTER_NS (1 * FIRN_SEC)
/* A failure is news for so long, and while the next attempt is under way, which a store that
 * swallows requests makes longer: whoever sends nothing any more does not know. */
#define NEWS_NS (10 * FIRN_SEC)

static void tell(struct firn_store *s, enum firn_os_op op)
{
    if (s->told)
        s->told(s->told_arg, op, &s->health[op]);
}

void firn_store__health_sent(struct firn_store *s, enum firn_os_op op, uint64_t now)
{
    struct firn_store_health *h = &s->health[op];
    if (h->in_flight++ == 0)
        h->stale = now - h->failed_ns > NEWS_NS;
}

void firn_store__health_ended(struct firn_store *s, enum firn_os_op op)
{
    s->health[op].in_flight--;
}

void firn_store__health_note(struct firn_store *s, const struct firn_os_req *r, bool answered,
                             uint64_t now)
{
    struct firn_store_health *h = &s->health[r->op];
    if (answered) {
        bool was_told = h->told;
        h->told = false;
        if (was_told)
            tell(s, r->op);
        h->failing_since_ns = 0;
        return;
    }
    /* What happened between this failure and the last one, if that is old, nobody saw. */
    if (h->failing_since_ns == 0 || h->stale) {
        h->failing_since_ns = now;
        h->told = false;
    }
    h->stale = false;
    h->failed_ns = now;
    h->status = r->status;
    h->err = r->err;
    if (!h->told && now - h->failing_since_ns >= TOLD_AFTER_NS) {
        h->told = true;
        tell(s, r->op);
    }
}

const struct firn_store_health *firn_store_health_of(const struct firn_store *s, enum firn_os_op op)
{
    return &s->health[op];
}

bool firn_store_ails(const struct firn_store *s, enum firn_os_op op, uint64_t *for_ns)
{
    const struct firn_store_health *h = &s->health[op];
    uint64_t now = firn_boot_ns(s->env);
    *for_ns = h->told ? now - h->failing_since_ns : 0;
    return h->told && (h->in_flight || now - h->failed_ns < NEWS_NS);
}

void firn_store_watch(struct firn_store *s,
                      void (*told)(void *arg, enum firn_os_op op,
                                   const struct firn_store_health *h),
                      void *arg)
{
    s->told = told;
    s->told_arg = arg;
}
