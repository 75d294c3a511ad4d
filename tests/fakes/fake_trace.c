/* What happened, as a hash and as lines to read. */
#include "fakes/fake_priv.h"

#include <stdarg.h>

void fake_trace(struct firn_fake_world *w, uint64_t a, uint64_t b)
{
    struct fake_rng r = {w->trace ^ a * UINT64_C(0x9fb21c651e98df25) ^ (b << 1)};
    w->trace = fake_rng_next(&r) ^ w->now_ns;
}

/* ---- the readable trace */

void firn_fake_say(const struct firn_fake_world *w, const struct firn_fake_node *n, const char *fmt,
                   ...)
{
    if (!w->out)
        return;
    char who[16] = "-";
    if (n)
        (void)snprintf(who, sizeof who, "n%u", n->index);
    (void)fprintf(w->out, "%13.6f %-4s ", (double)w->now_ns / 1e9, who);
    va_list ap;
    va_start(ap, fmt);
    (void)vfprintf(w->out, fmt, ap);
    va_end(ap);
    (void)fputc('\n', w->out);
}

void firn_fake_trace_to(struct firn_fake_world *w, FILE *out)
{
    w->out = out;
}

uint64_t firn_fake_trace_hash(const struct firn_fake_world *w)
{
    return w->trace;
}
