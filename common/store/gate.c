/* When attempts are sent. First attempts go at once, unless the store asked for patience. Retries
 * cost a token: first attempts earn a fifth of one each, and a trickle by time lets every operation
 * go on in the end. */
#include "store/store_priv.h"

#define TOKEN UINT64_C(1000)
#define TOKENS_MAX (20 * TOKEN)
#define TRICKLE_NS (100 * FIRN_MS) /* a token by time alone */
#define PACE_MIN_NS (2 * FIRN_MS)
#define PACE_MAX_NS (250 * FIRN_MS)
#define PACE_STEP_NS (100 * FIRN_MS) /* the pace is slowed at most this often */
#define SLOW_MEMORY_NS (10 * FIRN_SEC)

static void on_gate(void *arg);

void firn_store__gate_init(struct firn_store *s)
{
    struct gate *g = &s->gate;
    firn_list_init(&g->retries);
    firn_list_init(&g->paced);
    g->timer = (struct firn_timer){.fn = on_gate, .arg = s};
    g->tokens = TOKENS_MAX;
    g->refill_ns = firn_boot_ns(s->env);
}

static void refill(struct gate *g, uint64_t now)
{
    uint64_t passed = now - g->refill_ns;
    if (passed >= TRICKLE_NS * (TOKENS_MAX / TOKEN)) {
        g->tokens = TOKENS_MAX;
        g->refill_ns = now;
        return;
    }
    uint64_t earned = passed * TOKEN / TRICKLE_NS;
    g->refill_ns += earned * TRICKLE_NS / TOKEN;
    g->tokens += earned;
    if (g->tokens > TOKENS_MAX)
        g->tokens = TOKENS_MAX;
}

/* Wake up when the first waiter may go. */
static void arm(struct firn_store *s, uint64_t now)
{
    struct gate *g = &s->gate;
    uint64_t wait = UINT64_MAX;
    if (!firn_list_empty(&g->retries))
        wait = g->tokens >= TOKEN ? 0 : (TOKEN - g->tokens) * TRICKLE_NS / TOKEN + 1;
    if (!firn_list_empty(&g->paced)) {
        uint64_t turn = g->pace_next > now ? g->pace_next - now : 0;
        wait = turn < wait ? turn : wait;
    }
    if (wait == UINT64_MAX)
        firn_timer_stop(s->env, &g->timer);
    else
        firn_timer_start(s->env, &g->timer, wait);
}

/* Send, or queue where attempts are paced. */
static void pass_paced(struct firn_store *s, struct call *c, uint64_t now)
{
    struct gate *g = &s->gate;
    if (g->pace_ns && (now < g->pace_next || !firn_list_empty(&g->paced))) {
        firn_list_push(&g->paced, &c->gate_link);
        return;
    }
    g->pace_next = now + g->pace_ns;
    firn_store__send(c);
}

static void on_gate(void *arg)
{
    struct firn_store *s = arg;
    struct gate *g = &s->gate;
    uint64_t now = firn_boot_ns(s->env);
    refill(g, now);
    while (!firn_list_empty(&g->retries) && g->tokens >= TOKEN) {
        g->tokens -= TOKEN;
        struct firn_list *l = firn_list_pop(&g->retries);
        pass_paced(s, FIRN_CONTAINER(l, struct call, gate_link), now);
    }
    while (!firn_list_empty(&g->paced) && (g->pace_ns == 0 || now >= g->pace_next)) {
        struct firn_list *l = firn_list_pop(&g->paced);
        g->pace_next = now + g->pace_ns;
        firn_store__send(FIRN_CONTAINER(l, struct call, gate_link));
    }
    arm(s, now);
}

void firn_store__gate_enter(struct firn_store *s, struct call *c)
{
    struct gate *g = &s->gate;
    uint64_t now = firn_boot_ns(s->env);
    refill(g, now);
    if (!c->retry) {
        g->tokens += TOKEN * s->o.retry_percent / 100;
        if (g->tokens > TOKENS_MAX)
            g->tokens = TOKENS_MAX;
        pass_paced(s, c, now);
    } else if (g->tokens < TOKEN || !firn_list_empty(&g->retries)) {
        firn_list_push(&g->retries, &c->gate_link);
    } else {
        g->tokens -= TOKEN;
        pass_paced(s, c, now);
    }
    if (!firn_list_empty(&g->retries) || !firn_list_empty(&g->paced))
        arm(s, now);
}

void firn_store__gate_leave(struct call *c)
{
    firn_list_remove(&c->gate_link);
}

/* Multiplicative slowing, gradual recovery: the pace halves over some ten good replies. */
void firn_store__gate_note(struct firn_store *s, bool slow_down)
{
    struct gate *g = &s->gate;
    if (slow_down) {
        uint64_t now = firn_boot_ns(s->env);
        /* Many requests in flight say the same thing at once: that counts once. */
        if (g->pace_ns == 0 || now - g->slowed_ns >= PACE_STEP_NS) {
            g->pace_ns = g->pace_ns ? g->pace_ns * 2 : PACE_MIN_NS;
            g->pace_ns = g->pace_ns > PACE_MAX_NS ? PACE_MAX_NS : g->pace_ns;
            g->slowed_ns = now;
        }
        return;
    }
    if (g->pace_ns) {
        g->pace_ns -= g->pace_ns / 16;
        if (g->pace_ns < PACE_MIN_NS / 4)
            g->pace_ns = 0;
    }
}

bool firn_store__gate_slow(const struct firn_store *s)
{
    const struct gate *g = &s->gate;
    if (g->pace_ns)
        return true;
    return g->slowed_ns && firn_boot_ns(s->env) - g->slowed_ns < SLOW_MEMORY_NS;
}
