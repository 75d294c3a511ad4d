/* What the store shows of the simulated cluster, looked at whenever something takes effect in it:
 *
 * - each manifest obeys its rules, and follows the one before: version, epochs, floor, kept,
 *   log_time, expired_to and watermarks never go back;
 * - no two bodies ever have one table's name (I10);
 * - nothing live is deleted: no table that the manifest names (but as garbage), no slot from `kept`
 *   on, no seal (I3), no manifest;
 * - when all is over: nothing is left but what the manifest names, the slots from `kept` on, seals,
 *   and the manifests of its history. */
#include "sim/cluster_sim.h"

#include "base/hash.h"
#include "env/objstore.h"
#include "format/name.h"
#include "format/seal.h"
#include "manifest/check.h"

#define COLLECT_NS (120 * FIRN_SEC) /* what is to go is gone after that */

/* ---- bodies of tables */

static struct sim_body *body_find(const struct sim_bodies *b, uint64_t name)
{
    size_t i = name & (b->cap - 1);
    while (b->slot[i].name && b->slot[i].name != name)
        i = (i + 1) & (b->cap - 1);
    return &b->slot[i];
}

static void bodies_grow(struct sim_bodies *b)
{
    struct sim_bodies more = {.cap = b->cap ? b->cap * 2 : 256, .n = b->n};
    more.slot = sim_alloc(more.cap * sizeof *more.slot);
    for (size_t i = 0; i < b->cap; i++)
        if (b->slot[i].name)
            *body_find(&more, b->slot[i].name) = b->slot[i];
    free(b->slot);
    *b = more;
}

static void keep_table(struct sim *x, const char *name, struct firn_slice body)
{
    struct sim_bodies *b = &x->store.tables;
    if (2 * b->n >= b->cap)
        bodies_grow(b);
    uint64_t hash = firn_xxh3(name, strlen(name)) | 1, sum = firn_xxh3(body.data, body.len);
    struct sim_body *e = body_find(b, hash);
    if (e->name && e->body != sum)
        sim_fail(x, "%s was written twice, with two bodies", name);
    b->n += !e->name;
    *e = (struct sim_body){hash, sum};
    SIM_COUNT(x, checks);
}

/* ---- manifests */

static bool same_role(const Firn__Role *a, const Firn__Role *b)
{
    return a->epoch == b->epoch;
}

static bool names_compacted(const Firn__Manifest *m, uint64_t epoch, uint64_t from)
{
    for (size_t p = 0; p < m->n_partitions; p++)
        for (size_t r = 0; r < m->partitions[p]->n_runs; r++) {
            const Firn__Run *run = m->partitions[p]->runs[r];
            for (size_t t = 0; t < run->n_tables; t++)
                if (run->tables[t]->role == FIRN__TABLE_ROLE__COMPACTOR &&
                    run->tables[t]->epoch == epoch && run->tables[t]->number >= from)
                    return true;
        }
    return false;
}

/* What a commit did, for the figures. */
static void count_commit(struct sim *x, const Firn__Manifest *was, const Firn__Manifest *m)
{
    SIM_COUNT(x, manifests);
    if (!was)
        return;
    if (firn_place_cmp(firn_place_of(was->floor), firn_place_of(m->floor)) < 0 &&
        m->n_l0 > was->n_l0)
        SIM_COUNT(x, flushes);
    if (!same_role(was->writer, m->writer) && was->writer->epoch > 0)
        SIM_COUNT(x, takeovers);
    if (same_role(was->compactor, m->compactor) &&
        m->compactor->watermark > was->compactor->watermark &&
        names_compacted(m, m->compactor->epoch, was->compactor->watermark))
        SIM_COUNT(x, compactions);
}

static void take_manifest(struct sim *x, struct firn_slice body)
{
    struct sim_store *s = &x->store;
    Firn__Manifest *m;
    struct firn_err err = {""};
    if (firn_manifest_decode(body, &m, &err) != FIRN_OK || firn_manifest_check(m, &err) != FIRN_OK)
        sim_fail(x, "a bad manifest: %s", err.text);
    if (s->manifest && m->version == s->manifest->version &&
        firn_slice_eq(firn_pb_slice(&m->nonce), firn_pb_slice(&s->manifest->nonce))) {
        firn_pb_manifest_free(m); /* the same again */
        return;
    }
    if (s->manifest && firn_manifest_check_step(s->manifest, m, &err) != FIRN_OK)
        sim_fail(x, "the manifest went back: %s", err.text);
    x->r->count[SIM_checks] += 2;
    count_commit(x, s->manifest, m);
    sim_expiry_manifest(x, m);
    firn_pb_manifest_free(s->manifest);
    s->manifest = m;
    s->db = firn_pb_id(&m->database_id);
    s->changed_ns = sim_now_ns(x);
}

static bool is_table(const Firn__Table *t, const struct firn_table_name *name)
{
    struct firn_table_name n = firn_table_name_of(t);
    return firn_table_name_eq(&n, name);
}

/* Live: in L0, in a run, or adopted. */
static bool names_table(const Firn__Manifest *m, const struct firn_table_name *name)
{
    for (size_t i = 0; i < m->n_l0; i++)
        if (is_table(m->l0[i], name))
            return true;
    for (size_t i = 0; i < m->n_adopted; i++)
        if (is_table(m->adopted[i], name))
            return true;
    for (size_t p = 0; p < m->n_partitions; p++)
        for (size_t r = 0; r < m->partitions[p]->n_runs; r++) {
            const Firn__Run *run = m->partitions[p]->runs[r];
            for (size_t t = 0; t < run->n_tables; t++)
                if (is_table(run->tables[t], name))
                    return true;
        }
    return false;
}

/* ---- deletions */

/* Why an object may not go; NULL: it may. */
static const char *keeps(const struct sim *x, const struct firn_name *n, struct firn_slice body)
{
    const Firn__Manifest *m = x->store.manifest;
    struct firn_id nonce;
    switch (n->kind) {
    case FIRN_NAME_MANIFEST:
        return "the manifest";
    case FIRN_NAME_SLOT:
        if (firn_slot_kind(body) == FIRN_SLOT_SEAL)
            return "a seal (I3)";
        return firn_place_cmp(n->place, firn_place_of(m->kept)) >= 0 ? "a slot that is kept" : NULL;
    case FIRN_NAME_TABLE:
        return names_table(m, &n->table) ? "a live table" : NULL;
    case FIRN_NAME_MANIFEST_LOG:
        nonce = firn_pb_id(&m->nonce);
        return firn_id_eq(&n->nonce, &nonce) ? "the copy of the manifest" : NULL;
    default:
        return NULL;
    }
}

static void deleted(void *arg, unsigned node, const char *name, struct firn_slice body)
{
    struct sim *x = arg;
    struct firn_name n;
    if (firn_name_parse(firn_slice_str(name), &n) != FIRN_OK)
        sim_fail(x, "node %u deletes %s, which is no name of ours", node, name);
    const char *why = x->store.manifest ? keeps(x, &n, body) : NULL;
    if (why)
        sim_fail(x, "node %u deletes %s: %s", node, name, why);
    SIM_COUNT(x, checks);
    if (n.kind == FIRN_NAME_SLOT || n.kind == FIRN_NAME_TABLE || n.kind == FIRN_NAME_MANIFEST_LOG)
        SIM_COUNT(x, collected);
}

static void effect(void *arg, unsigned node, enum firn_os_op op, const char *name,
                   struct firn_slice body, enum firn_status status)
{
    struct sim *x = arg;
    struct firn_name n;
    sim_took_effect(x, node);
    if ((op != FIRN_OS_PUT && op != FIRN_OS_MP_COMPLETE) || status != FIRN_OK ||
        firn_name_parse(firn_slice_str(name), &n) != FIRN_OK)
        return;
    if (op == FIRN_OS_MP_COMPLETE && !firn_fake_get(x->w, name, &body))
        return;
    if (n.kind == FIRN_NAME_SLOT) {
        witness_landed(&x->witness, n.place, body, sim_now_ns(x));
    } else if (n.kind == FIRN_NAME_MANIFEST)
        take_manifest(x, body);
    else if (n.kind == FIRN_NAME_TABLE)
        keep_table(x, name, body);
}

void sim_store_begin(struct sim *x)
{
    firn_fake_on_effect(x->w, effect, x);
    firn_fake_on_delete(x->w, deleted, x);
    firn_fake_on_request(x->w, sim_on_request, x);
}

/* ---- garbage */

/* Is this object to stay? */
static bool belongs(const struct sim *x, const char *name)
{
    const Firn__Manifest *m = x->store.manifest;
    const Firn__Role *role;
    struct firn_name n;
    struct firn_slice body;
    if (firn_name_parse(firn_slice_str(name), &n) != FIRN_OK)
        return false;
    switch (n.kind) {
    case FIRN_NAME_SLOT:
        return firn_place_cmp(n.place, firn_place_of(m->kept)) >= 0 ||
               (firn_fake_get(x->w, name, &body) && firn_slot_kind(body) == FIRN_SLOT_SEAL);
    case FIRN_NAME_TABLE: /* one that its owner may still commit stays until the next claim */
        role = n.table.role == FIRN_ROLE_WRITER ? m->writer : m->compactor;
        return names_table(m, &n.table) ||
               (n.table.epoch == role->epoch && n.table.number >= role->watermark);
    case FIRN_NAME_MANIFEST_LOG: /* the last one, and those that are young by a clock */
    case FIRN_NAME_MANIFEST:
    case FIRN_NAME_NODE: /* of those that run */
    case FIRN_NAME_PIN:
    case FIRN_NAME_JOB:
        return true;
    case FIRN_NAME_PROBE:
        return false;
    }
    return false;
}

static const char *litter(const struct sim *x)
{
    const char *name = NULL;
    while ((name = firn_fake_next(x->w, "", name)) != NULL)
        if (!belongs(x, name))
            return name;
    return NULL;
}

static bool clean(void *arg)
{
    struct sim *x = arg;
    sim_nodes_reap(x);
    if (sim_now_ns(x) < x->look_ns)
        return false;
    x->look_ns = sim_now_ns(x) + FIRN_SEC;
    return x->store.manifest->n_garbage == 0 && litter(x) == NULL;
}

void sim_store_check_end(struct sim *x)
{
    x->look_ns = 0;
    if (firn_fake_run_until(x->w, clean, x, COLLECT_NS))
        return;
    const char *name = litter(x);
    sim_fail(x, "garbage stays: %s (%zu tables in the manifest's garbage)",
             name ? name : "no object", x->store.manifest->n_garbage);
}

void sim_store_end(struct sim *x)
{
    firn_pb_manifest_free(x->store.manifest);
    free(x->store.tables.slot);
}
