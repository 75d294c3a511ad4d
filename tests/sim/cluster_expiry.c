/* Expired events in the simulated cluster, against the log (witness.h, which checks each EXPIRED:
 * it names the value that is the key's newest then, whose time had come):
 *
 * - a manifest's expired_to is true: of the values in the log below its floor none that expired
 *   before it is still its key's newest;
 * - when all is over, every value that could expire did. */
#include "sim/cluster_sim.h"

void sim_expiry_manifest(struct sim *x, const Firn__Manifest *m)
{
    struct sim_expiry *e = &x->expiry;
    e->claim = hist_room(e->claim, &e->claims_cap, e->claims, sizeof *e->claim);
    e->claim[e->claims++] = (struct sim_claim){firn_place_of(m->floor), m->expired_to_ms};
}

/* A key of these clients: "e3:1". */
static void check_key(struct sim *x, uint32_t key, uint32_t state, uint64_t expired_to_ms)
{
    const struct witness_version *v = witness_at(&x->witness, key, state);
    struct firn_slice name = hist_name_of(&x->hist.keys, key);
    if (v && v->value && v->expiry_ms && v->expiry_ms < expired_to_ms)
        sim_fail(x, "in state %u nobody knows that %.*s expired at %llu, expired_to is %llu", state,
                 (int)name.len, (const char *)name.data, (unsigned long long)v->expiry_ms,
                 (unsigned long long)expired_to_ms);
}

static void check_claim(struct sim *x, uint32_t state, uint64_t expired_to_ms)
{
    size_t n;
    uint32_t from = hist_intern(&x->hist.keys, firn_slice_str("e"));
    uint32_t to = hist_intern(&x->hist.keys, firn_slice_str("e;"));
    const uint32_t *key = witness_range(&x->witness, from, to, &n);
    for (size_t i = 0; i < n; i++)
        check_key(x, key[i], state, expired_to_ms);
}

void sim_expiry_check_end(struct sim *x)
{
    const struct sim_expiry *e = &x->expiry;
    x->r->count[SIM_expired] += x->witness.expired;
    for (size_t i = 0; x->choice.events && i < e->claims; i++)
        check_claim(x, witness_state_before(&x->witness, e->claim[i].floor),
                    e->claim[i].expired_to_ms);
    if (x->choice.events)
        check_claim(x, (uint32_t)x->witness.units, UINT64_MAX);
}

void sim_expiry_end(struct sim *x)
{
    firn_free(x->expiry.claim);
}
