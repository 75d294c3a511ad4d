/* What is slow: which commands are timed, and what becomes of those that took long (SLOWLOG,
 * LATENCY). A look at the clock costs as much as a small command. So only those are timed that can
 * take long by what they are (FIRN_TRAIT_LONG), that waited, or all of them while a threshold asks
 * for it: less than a millisecond, or the latency monitor's. */
#include "engine/engine_priv.h"

#define TIME_ALL_BELOW_NS FIRN_MS

void firn_engine__slow_settings(struct firn_engine *e)
{
    const struct firn_settings *s = e->db->settings;
    e->time_all = s->latency_threshold_ns > 0 ||
                  (s->slowlog_max_len > 0 && s->slowlog_slower_ns < TIME_ALL_BELOW_NS);
    firn_engine__slowlog_trim(&e->slowlog, (size_t)s->slowlog_max_len);
}

static void note_latency(struct firn_eval *x, enum firn_latency_kind kind, uint64_t ns)
{
    uint64_t threshold = x->db->settings->latency_threshold_ns;
    if (threshold && ns >= threshold)
        firn_engine__latency_add(&x->e->latency, kind, firn_wall_ms(x->db->env) / 1000,
                                 ns / FIRN_MS);
}

void firn_engine__note_timed(struct firn_eval *x, uint64_t busy_ns, uint64_t waited_ns)
{
    const struct firn_settings *set = x->db->settings;
    bool waited = waited_ns && waited_ns >= set->slowlog_waited_ns;
    if (waited || (busy_ns && busy_ns >= set->slowlog_slower_ns))
        firn_engine__slowlog_add(&x->e->slowlog, x->s->c, x->cmd, x->argc, x->argv,
                                 waited ? waited_ns : busy_ns, firn_wall_ms(x->db->env),
                                 (size_t)set->slowlog_max_len);
    note_latency(x,
                 x->cmd->flags & FIRN_CMD_FAST ? FIRN_LATENCY_FAST_COMMAND : FIRN_LATENCY_COMMAND,
                 busy_ns);
    note_latency(x, FIRN_LATENCY_WAIT, waited_ns);
}
