#include "manifest/intents.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "format/version.h"
#include "manifest/edit_priv.h"
#include "manifest/manifest_priv.h"

/* Each struct begins with its intent. */
#define OF(type, it) ((type *)(void *)(it))
#define OF_CONST(type, it) ((const type *)(const void *)(it))

static void
submit(struct firn_manifest_node *n, struct firn_intent *it,
       enum firn_status (*apply)(struct firn_intent *, Firn__Manifest *, struct firn_err *),
       bool (*applied)(const struct firn_intent *, const Firn__Manifest *), enum firn_role role)
{
    it->apply = apply;
    it->applied = applied;
    it->role = role;
    firn_manifest_commit(n, it);
}

/* ---- claims and releases */

static enum firn_status claim_apply(struct firn_intent *it, Firn__Manifest *m, struct firn_err *err)
{
    struct firn_claim_intent *c = OF(struct firn_claim_intent, it);
    uint64_t held = firn_manifest_role(m, c->claim.role)->epoch;
    if (m->state != FIRN__DATABASE_STATE__LIVE)
        return firn_fail(err, FIRN_CONFLICT, "the database has been dropped");
    if (c->wanted && !c->wanted(it->arg, it->current)) {
        FIRN_SOMETIMES("manifest: the reason for a claim went away");
        return firn_fail(err, FIRN_CONFLICT, "version %llu gives no reason to claim the role",
                         (unsigned long long)it->current->version);
    }
    /* Ours may have landed, and another took over from it: that one is the newer. */
    if (c->epoch && held > c->epoch) {
        FIRN_SOMETIMES("manifest: an open claim was overtaken");
        return firn_fail(err, FIRN_CONFLICT,
                         "epoch %llu was claimed while our claim of %llu was open",
                         (unsigned long long)held, (unsigned long long)c->epoch);
    }
    enum firn_status st = firn_edit_claim(m, &c->claim, err);
    if (st == FIRN_OK)
        c->epoch = held + 1;
    return st;
}

/* H10: by epoch and process nonce, never by node id. */
static bool claim_applied(const struct firn_intent *it, const Firn__Manifest *m)
{
    const struct firn_claim_intent *c = OF_CONST(struct firn_claim_intent, it);
    return c->epoch != 0 &&
           firn_manifest_role_is(m, c->claim.role, c->epoch, &c->claim.process_nonce);
}

void firn_manifest_claim(struct firn_manifest_node *n, struct firn_claim_intent *it)
{
    it->base.urgent = true;
    it->epoch = 0;
    submit(n, &it->base, claim_apply, claim_applied, FIRN_ROLE_NONE);
}

static enum firn_status release_apply(struct firn_intent *it, Firn__Manifest *m,
                                      struct firn_err *err)
{
    (void)err;
    return firn_edit_release(m, OF(struct firn_release_intent, it)->role);
}

static bool release_applied(const struct firn_intent *it, const Firn__Manifest *m)
{
    const struct firn_release_intent *r = OF_CONST(struct firn_release_intent, it);
    const Firn__Role *role = firn_manifest_role(m, r->role);
    return role->epoch == r->epoch && role->process_nonce.len == 0;
}

void firn_manifest_release(struct firn_manifest_node *n, struct firn_release_intent *it)
{
    it->base.urgent = true;
    submit(n, &it->base, release_apply, release_applied, it->role);
}

/* ---- the writer */

static enum firn_status flush_apply(struct firn_intent *it, Firn__Manifest *m, struct firn_err *err)
{
    return firn_edit_flush(m, &OF(struct firn_flush_intent, it)->flush, err);
}

/* H13: the presence of its tables would prove nothing. */
static bool flush_applied(const struct firn_intent *it, const Firn__Manifest *m)
{
    return firn_place_cmp(firn_place_of(m->floor),
                          OF_CONST(struct firn_flush_intent, it)->flush.end) >= 0;
}

void firn_manifest_flush(struct firn_manifest_node *n, struct firn_flush_intent *it)
{
    submit(n, &it->base, flush_apply, flush_applied, FIRN_ROLE_WRITER);
}

static enum firn_status heartbeat_apply(struct firn_intent *it, Firn__Manifest *m,
                                        struct firn_err *err)
{
    (void)err;
    firn_edit_heartbeat_kept(m, OF(struct firn_heartbeat_intent, it)->heartbeat_kept_ms);
    return FIRN_OK;
}

static bool heartbeat_applied(const struct firn_intent *it, const Firn__Manifest *m)
{
    return m->writer->heartbeat_kept_ms ==
           OF_CONST(struct firn_heartbeat_intent, it)->heartbeat_kept_ms;
}

void firn_manifest_heartbeat(struct firn_manifest_node *n, struct firn_heartbeat_intent *it)
{
    submit(n, &it->base, heartbeat_apply, heartbeat_applied, FIRN_ROLE_WRITER);
}

static enum firn_status drop_apply(struct firn_intent *it, Firn__Manifest *m, struct firn_err *err)
{
    (void)it;
    (void)err;
    m->state = FIRN__DATABASE_STATE__DROPPED;
    return FIRN_OK;
}

static bool drop_applied(const struct firn_intent *it, const Firn__Manifest *m)
{
    (void)it;
    return m->state == FIRN__DATABASE_STATE__DROPPED;
}

void firn_manifest_drop(struct firn_manifest_node *n, struct firn_intent *it)
{
    submit(n, it, drop_apply, drop_applied, FIRN_ROLE_WRITER);
}

/* ---- the compactor */

static enum firn_status compaction_apply(struct firn_intent *it, Firn__Manifest *m,
                                         struct firn_err *err)
{
    return firn_edit_compaction(m, &OF(struct firn_compaction_intent, it)->compaction, err);
}

static bool compaction_applied(const struct firn_intent *it, const Firn__Manifest *m)
{
    return firn_compaction_applied(m, &OF_CONST(struct firn_compaction_intent, it)->compaction);
}

void firn_manifest_compaction(struct firn_manifest_node *n, struct firn_compaction_intent *it)
{
    submit(n, &it->base, compaction_apply, compaction_applied, FIRN_ROLE_COMPACTOR);
}

static enum firn_status merge_apply(struct firn_intent *it, Firn__Manifest *m, struct firn_err *err)
{
    return firn_edit_partition_merge(m, OF(struct firn_partition_merge_intent, it)->start, err);
}

static bool merge_applied(const struct firn_intent *it, const Firn__Manifest *m)
{
    struct firn_slice gone = OF_CONST(struct firn_partition_merge_intent, it)->neighbour;
    for (size_t i = 0; i < m->n_partitions; i++)
        if (firn_slice_eq(firn_pb_slice(&m->partitions[i]->start), gone))
            return false;
    return true;
}

void firn_manifest_partition_merge(struct firn_manifest_node *n,
                                   struct firn_partition_merge_intent *it)
{
    submit(n, &it->base, merge_apply, merge_applied, FIRN_ROLE_COMPACTOR);
}

static enum firn_status unadopt_apply(struct firn_intent *it, Firn__Manifest *m,
                                      struct firn_err *err)
{
    const struct firn_unadopt_intent *u = OF(struct firn_unadopt_intent, it);
    (void)err;
    return firn_edit_unadopt(m, u->names, u->count);
}

static bool unadopt_applied(const struct firn_intent *it, const Firn__Manifest *m)
{
    const struct firn_unadopt_intent *u = OF_CONST(struct firn_unadopt_intent, it);
    for (size_t i = 0; i < m->n_adopted; i++) {
        struct firn_table_name name = firn_table_name_of(m->adopted[i]);
        for (size_t k = 0; k < u->count; k++)
            if (firn_table_name_eq(&u->names[k], &name))
                return false;
    }
    return true;
}

void firn_manifest_unadopt(struct firn_manifest_node *n, struct firn_unadopt_intent *it)
{
    submit(n, &it->base, unadopt_apply, unadopt_applied, FIRN_ROLE_COMPACTOR);
}

static enum firn_status collect_apply(struct firn_intent *it, Firn__Manifest *m,
                                      struct firn_err *err)
{
    const struct firn_collect_intent *c = OF(struct firn_collect_intent, it);
    firn_edit_garbage_deleted(m, c->deleted, c->ndeleted);
    return firn_edit_kept(m, c->kept, err);
}

static bool collect_applied(const struct firn_intent *it, const Firn__Manifest *m)
{
    const struct firn_collect_intent *c = OF_CONST(struct firn_collect_intent, it);
    for (size_t k = 0; k < c->ndeleted; k++)
        if (firn_manifest__in_garbage(m, &c->deleted[k]))
            return false;
    return firn_place_cmp(firn_place_of(m->kept), c->kept) >= 0;
}

void firn_manifest_collect(struct firn_manifest_node *n, struct firn_collect_intent *it)
{
    submit(n, &it->base, collect_apply, collect_applied, FIRN_ROLE_COMPACTOR);
}

/* ---- people: others may undo what they did, or do the opposite. So whether a wish was applied is
 * told by its id among the newest ones, once it was proposed: by its effect alone it would be
 * applied again over a later one. */

static enum firn_status wish_proposed(struct firn_wish *w, Firn__Manifest *m)
{
    size_t n = m->n_recent_wishes < FIRN_WISHES_MAX - 1 ? m->n_recent_wishes : FIRN_WISHES_MAX - 1;
    uint64_t *recent = firn_realloc(m->recent_wishes, (n + 1) * sizeof *recent);
    if (!recent)
        return FIRN_LIMIT;
    memmove(recent + 1, recent, n * sizeof *recent);
    recent[0] = w->id;
    m->recent_wishes = recent;
    m->n_recent_wishes = n + 1;
    w->proposed = true;
    return FIRN_OK;
}

/* `is_so`: what it wishes for is so already. Then it need not be proposed. */
static bool wish_applied(const struct firn_wish *w, const Firn__Manifest *m, bool is_so)
{
    if (!w->proposed)
        return is_so;
    for (size_t i = 0; i < m->n_recent_wishes; i++)
        if (m->recent_wishes[i] == w->id)
            return true;
    return false;
}

static void wish_begin(struct firn_manifest_node *n, struct firn_wish *w)
{
    *w = (struct firn_wish){.id = firn_random_u64(n->env)};
}

static enum firn_status checkpoint_apply(struct firn_intent *it, Firn__Manifest *m,
                                         struct firn_err *err)
{
    struct firn_checkpoint_intent *c = OF(struct firn_checkpoint_intent, it);
    enum firn_status st = FIRN_OK;
    if (c->drop)
        firn_edit_checkpoint_drop(m, c->add.id);
    else
        st = firn_edit_checkpoint_add(m, it->current, &c->add, err);
    return st == FIRN_OK ? wish_proposed(&c->wish, m) : st;
}

static bool checkpoint_applied(const struct firn_intent *it, const Firn__Manifest *m)
{
    const struct firn_checkpoint_intent *c = OF_CONST(struct firn_checkpoint_intent, it);
    return wish_applied(&c->wish, m, (firn_manifest_checkpoint(m, c->add.id) == NULL) == c->drop);
}

void firn_manifest_checkpoint_commit(struct firn_manifest_node *n,
                                     struct firn_checkpoint_intent *it)
{
    wish_begin(n, &it->wish);
    submit(n, &it->base, checkpoint_apply, checkpoint_applied, FIRN_ROLE_NONE);
}

static enum firn_status setting_apply(struct firn_intent *it, Firn__Manifest *m,
                                      struct firn_err *err)
{
    struct firn_setting_intent *s = OF(struct firn_setting_intent, it);
    enum firn_status st = firn_edit_setting(m, s->name, s->value, err);
    return st == FIRN_OK ? wish_proposed(&s->wish, m) : st;
}

static bool setting_applied(const struct firn_intent *it, const Firn__Manifest *m)
{
    const struct firn_setting_intent *s = OF_CONST(struct firn_setting_intent, it);
    return wish_applied(&s->wish, m, firn_manifest_setting_is(m, s->name, s->value));
}

void firn_manifest_setting(struct firn_manifest_node *n, struct firn_setting_intent *it)
{
    wish_begin(n, &it->wish);
    submit(n, &it->base, setting_apply, setting_applied, FIRN_ROLE_NONE);
}

static enum firn_status promote_apply(struct firn_intent *it, Firn__Manifest *m,
                                      struct firn_err *err)
{
    struct firn_promote_intent *p = OF(struct firn_promote_intent, it);
    if (p->node_id[0] && !firn_name_id_valid(firn_slice_str(p->node_id)))
        return firn_fail(err, FIRN_INVALID, "\"%.80s\" cannot be a node id", p->node_id);
    enum firn_status st = firn_pb_set_string(&m->promote_node, p->node_id);
    return st == FIRN_OK ? wish_proposed(&p->wish, m) : st;
}

static bool promote_applied(const struct firn_intent *it, const Firn__Manifest *m)
{
    const struct firn_promote_intent *p = OF_CONST(struct firn_promote_intent, it);
    return wish_applied(&p->wish, m, strcmp(m->promote_node, p->node_id) == 0);
}

void firn_manifest_promote(struct firn_manifest_node *n, struct firn_promote_intent *it)
{
    wish_begin(n, &it->wish);
    submit(n, &it->base, promote_apply, promote_applied, FIRN_ROLE_NONE);
}

static enum firn_status upgrade_apply(struct firn_intent *it, Firn__Manifest *m,
                                      struct firn_err *err)
{
    (void)err;
    m->format = OF(struct firn_upgrade_intent, it)->format;
    return FIRN_OK;
}

static bool upgrade_applied(const struct firn_intent *it, const Firn__Manifest *m)
{
    return m->format >= OF_CONST(struct firn_upgrade_intent, it)->format;
}

void firn_manifest_upgrade(struct firn_manifest_node *n, struct firn_upgrade_intent *it)
{
    FIRN_ASSERT(firn_format_known(it->format));
    submit(n, &it->base, upgrade_apply, upgrade_applied, FIRN_ROLE_NONE);
}
