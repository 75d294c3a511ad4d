/* SCAN from 0 to 0, page by page on one connection, beside everything else: each of the keys k00 …
 * that was there all the time is returned at least once, none that was not there at any time. All
 * the time is from the state that the first page must show to the newest one that was durable when
 * the last page came. */
#include "sim/cluster_sim.h"

#define PREFIX 'k'

void sim_scan(struct client *c)
{
    struct sim_scan *s = &c->scan;
    struct sim *x = c->x;
    if (s->asked || c->who.applied) /* what is applied may be lost: nothing is promised */
        return;
    if (!s->under_way)
        *s = (struct sim_scan){
            .under_way = true, .freshness_ns = c->who.freshness_ns, .from_ns = sim_now_ns(x)};
    s->asked = true;
    sim_tell(c, SIM_SCAN, 0, "SCAN %llu%s COUNT %u", (unsigned long long)s->cursor,
             sim_rnd(x, 3) ? " MATCH k*" : "", 1 + (unsigned)sim_rnd(x, 12));
}

/* The keys of a page: "\nk07\r". */
static uint32_t keys_of(const struct client *c, const char *reply, size_t len)
{
    uint32_t keys = 0;
    for (const char *at = reply, *end = reply + len; at + 5 <= end; at++) {
        if (at[0] != '\n' || at[1] != PREFIX || at[4] != '\r')
            continue;
        unsigned k = (unsigned)(at[2] - '0') * 10 + (unsigned)(at[3] - '0');
        if (k >= SIM_KEYS)
            sim_fail(c->x, "client %u: SCAN returns a key that nobody wrote", c->id);
        keys |= 1u << k;
    }
    return keys;
}

static void keep(struct sim *x, const struct sim_scan *s)
{
    x->scan = hist_room(x->scan, &x->scans_cap, x->scans, sizeof *x->scan);
    x->scan[x->scans++] = *s;
}

void sim_scanned(struct client *c, const char *reply, size_t len)
{
    struct sim_scan *s = &c->scan;
    const char *cursor = memchr(reply, '$', len); /* *2 $len cursor *n … */
    s->asked = false;
    if (reply[0] != '*' || !cursor || !(cursor = memchr(cursor, '\n', len))) {
        *s = (struct sim_scan){0};
        return;
    }
    s->cursor = strtoull(cursor + 1, NULL, 10);
    s->keys |= keys_of(c, reply, len);
    if (s->cursor)
        return;
    s->to_ns = sim_now_ns(c->x);
    keep(c->x, s);
    s->under_way = false;
}

/* Was the key there in all the states from lo to hi, in any of them? */
static void presence(const struct witness *w, uint32_t key, uint32_t lo, uint32_t hi, bool *all,
                     bool *any)
{
    *all = true;
    *any = false;
    for (uint32_t at = lo; at <= hi; at = witness_change(w, key, at)) {
        const struct witness_version *v = witness_at(w, key, at);
        bool there = v && v->value;
        *all &= there;
        *any |= there;
    }
}

static void check_scan(struct sim *x, const struct sim_scan *s, struct check_report *r)
{
    const struct witness *w = &x->witness;
    uint64_t age = s->freshness_ns + s->freshness_ns / 1000000 * 2 * x->choice.drift_ppm;
    uint32_t lo = witness_durable_by(w, s->from_ns > age ? s->from_ns - age : 0);
    uint32_t hi = witness_durable_by(w, s->to_ns);
    for (unsigned k = 0; k < SIM_KEYS; k++) {
        char name[8];
        int len = snprintf(name, sizeof name, "%c%02u", PREFIX, k);
        uint32_t key = hist_intern(&x->hist.keys, firn_slice_of(name, (size_t)len));
        bool all, any, found = s->keys >> k & 1;
        presence(w, key, lo, hi, &all, &any);
        if (found ? any : !all)
            continue;
        check_wrong(
            r, "a SCAN from %.6f to %.6f s (states %u to %u) %s %s", (double)s->from_ns / 1e9,
            (double)s->to_ns / 1e9, lo, hi,
            found ? "returns, though it was not there:" : "misses, though it was there:", name);
    }
}

void sim_scan_check_end(struct sim *x, struct check_report *r)
{
    for (size_t i = 0; i < x->scans; i++)
        check_scan(x, &x->scan[i], r);
    x->r->count[SIM_scans] += x->scans;
    x->r->count[SIM_checks] += x->scans;
}
