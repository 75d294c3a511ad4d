#include "manifest/edit.h"

#include "base/mem.h"
#include "base/sometimes.h"
#include "format/key.h"
#include "manifest/edit_priv.h"

/* ---- looking things up */

bool firn_manifest__overlap(struct firn_slice a, struct firn_slice a_end, struct firn_slice b,
                            struct firn_slice b_end)
{
    return (b_end.len == 0 || firn_slice_cmp(a, b_end) < 0) &&
           (a_end.len == 0 || firn_slice_cmp(b, a_end) < 0);
}

static bool named(const struct firn_table_name *names, size_t count, const Firn__Table *t)
{
    struct firn_table_name name = firn_table_name_of(t);
    for (size_t i = 0; i < count; i++)
        if (firn_table_name_eq(&names[i], &name))
            return true;
    return false;
}

static Firn__Table *find_in(Firn__Table *const *tables, size_t n,
                            const struct firn_table_name *name)
{
    for (size_t i = 0; i < n; i++)
        if (named(name, 1, tables[i]))
            return tables[i];
    return NULL;
}

static const Firn__Table *find_in_partition(const Firn__Partition *p,
                                            const struct firn_table_name *name)
{
    for (size_t i = 0; i < p->n_runs; i++) {
        const Firn__Table *t = find_in(p->runs[i]->tables, p->runs[i]->n_tables, name);
        if (t)
            return t;
    }
    return NULL;
}

const Firn__Table *firn_manifest__find(const Firn__Manifest *m, const struct firn_table_name *name)
{
    const Firn__Table *t = find_in(m->l0, m->n_l0, name);
    if (!t)
        t = find_in(m->adopted, m->n_adopted, name);
    for (size_t i = 0; !t && i < m->n_partitions; i++)
        t = find_in_partition(m->partitions[i], name);
    return t;
}

bool firn_manifest__in_garbage(const Firn__Manifest *m, const struct firn_table_name *name)
{
    for (size_t i = 0; i < m->n_garbage; i++) {
        struct firn_table_name g = firn_manifest__garbage_name(m->garbage[i]);
        if (firn_table_name_eq(&g, name))
            return true;
    }
    return false;
}

static Firn__Partition *find_partition(const Firn__Manifest *m, struct firn_slice start, size_t *at)
{
    for (size_t i = 0; i < m->n_partitions; i++)
        if (firn_slice_eq(firn_pb_slice(&m->partitions[i]->start), start)) {
            *at = i;
            return m->partitions[i];
        }
    return NULL;
}

static bool covers(const Firn__Partition *p, const Firn__Table *t)
{
    return firn_manifest__overlap(firn_table_lower(t), firn_table_upper(t),
                                  firn_pb_slice(&p->start), firn_pb_slice(&p->end));
}

/* ---- what falls out of the manifest */

struct removed {
    Firn__Table **table; /* owned */
    size_t count;
};

/* Take element `at` out of a list of tables. LIMIT: it is freed and gone, and the edit has failed.
 */
static enum firn_status drop_table(struct removed *gone, Firn__Table **tables, size_t *n, size_t at)
{
    Firn__Table *t = firn_pb_remove(tables, n, at);
    enum firn_status st = firn_pb_insert(&gone->table, &gone->count, gone->count, t);
    if (st != FIRN_OK)
        firn_pb_table_free(t);
    return st;
}

static enum firn_status add_garbage(Firn__Manifest *m, const Firn__Table *t)
{
    Firn__Garbage *g = firn_pb_garbage_new();
    if (!g)
        return FIRN_LIMIT;
    g->role = t->role;
    g->epoch = t->epoch;
    g->number = t->number;
    g->version = m->version;
    g->size = t->size;
    enum firn_status st = firn_pb_insert(&m->garbage, &m->n_garbage, m->n_garbage, g);
    if (st != FIRN_OK)
        firn_pb_garbage_free(g);
    return st;
}

/* Everything in `gone` that nothing refers to any more becomes garbage. Frees what gone holds. */
static enum firn_status bury(Firn__Manifest *m, struct removed *gone, enum firn_status st)
{
    for (size_t i = 0; i < gone->count; i++) {
        struct firn_table_name name = firn_table_name_of(gone->table[i]);
        if (st == FIRN_OK && !firn_manifest__find(m, &name) && !firn_manifest__in_garbage(m, &name))
            st = add_garbage(m, gone->table[i]);
        firn_pb_table_free(gone->table[i]);
    }
    firn_free(gone->table);
    *gone = (struct removed){NULL, 0};
    return st;
}

/* ---- inputs */

/* Where the partition stands after its L0 inputs (I7: it consumes L0 from the oldest end, leaving
 * nothing out). */
static enum firn_status l0_upto_after(const Firn__Manifest *m, const Firn__Partition *p,
                                      const struct firn_compaction_part *c, struct firn_place *out,
                                      struct firn_err *err)
{
    struct firn_place old = firn_place_of(p->l0_upto), upto = old;
    for (size_t i = 0; i < c->nl0_inputs; i++) {
        const Firn__Table *t = find_in(m->l0, m->n_l0, &c->l0_inputs[i]);
        if (!t || firn_place_cmp(firn_place_of(t->end), old) <= 0)
            return firn_fail(err, FIRN_CONFLICT,
                             "an input has left L0, or went into the partition");
        if (firn_place_cmp(firn_place_of(t->end), upto) > 0)
            upto = firn_place_of(t->end);
    }
    for (size_t i = 0; i < m->n_l0; i++) {
        const Firn__Table *t = m->l0[i];
        struct firn_place end = firn_place_of(t->end);
        if (firn_place_cmp(end, old) > 0 && firn_place_cmp(end, upto) <= 0 && covers(p, t) &&
            !named(c->l0_inputs, c->nl0_inputs, t))
            return firn_fail(err, FIRN_CONFLICT,
                             "a compaction leaves out an older table of L0 than one it takes (I7)");
    }
    *out = upto;
    return FIRN_OK;
}

/* Which runs [from, to) of the stack are the inputs: whole ones and neighbours. */
static enum firn_status input_runs(const Firn__Partition *p, const struct firn_compaction_part *c,
                                   size_t *from, size_t *to, struct firn_err *err)
{
    size_t first = 0, last = 0;
    for (size_t i = 0; i < c->ninputs; i++)
        if (!find_in_partition(p, &c->inputs[i]))
            return firn_fail(err, FIRN_CONFLICT, "an input has left the partition");
    for (size_t i = 0; i < p->n_runs; i++) {
        size_t hits = 0;
        for (size_t k = 0; k < p->runs[i]->n_tables; k++)
            hits += named(c->inputs, c->ninputs, p->runs[i]->tables[k]);
        if (hits == 0)
            continue;
        if (hits != p->runs[i]->n_tables || (last != 0 && last != i))
            return firn_fail(err, FIRN_CONFLICT,
                             "the inputs of a compaction are not whole, neighbouring runs (I8)");
        if (last == 0)
            first = i;
        last = i + 1;
    }
    if (c->nl0_inputs && c->ninputs && first != 0)
        return firn_fail(err, FIRN_CONFLICT,
                         "a compaction of L0 takes older runs and leaves newer ones (I8)");
    *from = first;
    *to = last;
    return FIRN_OK;
}

/* ---- outputs */

/* Let only keys in [start, end) of t count. */
static enum firn_status clip(Firn__Table *t, struct firn_slice start, struct firn_slice end)
{
    enum firn_status st = FIRN_OK;
    if (firn_slice_cmp(firn_table_lower(t), start) < 0)
        st = firn_pb_set_bytes(&t->clip_lower, start);
    if (st == FIRN_OK && end.len && firn_slice_cmp(firn_table_upper(t), end) > 0)
        st = firn_pb_set_bytes(&t->clip_upper, end);
    return st;
}

/* I10: may this table be committed now? */
static enum firn_status check_output(const Firn__Manifest *m, const struct firn_compaction_part *c,
                                     const Firn__Partition *p, const Firn__Table *t,
                                     struct firn_err *err)
{
    struct firn_table_name name = firn_table_name_of(t);
    if (!covers(p, t) || named(c->inputs, c->ninputs, t))
        return firn_fail(err, FIRN_INVALID,
                         "an output of a compaction lies outside its partition or is an input");
    if (firn_manifest__find(m, &name))
        return FIRN_OK;
    if (name.role != FIRN_ROLE_COMPACTOR || name.epoch != m->compactor->epoch ||
        name.number < m->compactor->watermark || firn_manifest__in_garbage(m, &name)) {
        FIRN_SOMETIMES("manifest: a merge below the watermark refused");
        return firn_fail(err, FIRN_CONFLICT,
                         "a compaction may not add table %llu-%llu: its epoch is %llu and its "
                         "watermark %llu (I10)",
                         (unsigned long long)name.epoch, (unsigned long long)name.number,
                         (unsigned long long)m->compactor->epoch,
                         (unsigned long long)m->compactor->watermark);
    }
    return FIRN_OK;
}

static enum firn_status append_output(Firn__Run *r, const Firn__Partition *p, const Firn__Table *t)
{
    Firn__Table *copy = firn_pb_table_dup(t);
    if (!copy)
        return FIRN_LIMIT;
    if (clip(copy, firn_pb_slice(&p->start), firn_pb_slice(&p->end)) == FIRN_OK &&
        firn_pb_insert(&r->tables, &r->n_tables, r->n_tables, copy) == FIRN_OK)
        return FIRN_OK;
    firn_pb_table_free(copy);
    return FIRN_LIMIT;
}

/* Put the outputs as one run at place `at` of the stack. */
static enum firn_status add_outputs(Firn__Manifest *m, Firn__Partition *p,
                                    const struct firn_compaction_part *c, size_t at,
                                    struct firn_err *err)
{
    if (c->noutputs == 0)
        return FIRN_OK;
    Firn__Run *r = firn_pb_run_new();
    enum firn_status st = r ? FIRN_OK : FIRN_LIMIT;
    for (size_t i = 0; st == FIRN_OK && i < c->noutputs; i++) {
        st = check_output(m, c, p, c->outputs[i], err);
        if (st == FIRN_OK)
            st = append_output(r, p, c->outputs[i]);
    }
    if (st == FIRN_OK)
        st = firn_pb_insert(&p->runs, &p->n_runs, at, r);
    if (st != FIRN_OK)
        firn_pb_run_free(r);
    return st;
}

/* Take runs [from, to) out of the stack. */
static enum firn_status remove_runs(Firn__Partition *p, size_t from, size_t to,
                                    struct removed *gone)
{
    for (size_t i = to; i-- > from;) {
        Firn__Run *r = p->runs[i];
        while (r->n_tables) {
            enum firn_status st = drop_table(gone, r->tables, &r->n_tables, r->n_tables - 1);
            if (st != FIRN_OK)
                return st;
        }
        firn_pb_run_free(firn_pb_remove(p->runs, &p->n_runs, i));
    }
    return FIRN_OK;
}

/* Take single tables out of their runs: a drop makes no hole in the order of what is left. */
static enum firn_status drop_inputs(Firn__Partition *p, const struct firn_compaction_part *c,
                                    struct removed *gone, struct firn_err *err)
{
    for (size_t i = 0; i < c->ninputs; i++)
        if (!find_in_partition(p, &c->inputs[i]))
            return firn_fail(err, FIRN_CONFLICT, "an input has left the partition");
    for (size_t i = p->n_runs; i-- > 0;) {
        Firn__Run *r = p->runs[i];
        for (size_t k = r->n_tables; k-- > 0;) {
            if (!named(c->inputs, c->ninputs, r->tables[k]))
                continue;
            enum firn_status st = drop_table(gone, r->tables, &r->n_tables, k);
            if (st != FIRN_OK)
                return st;
        }
        if (r->n_tables == 0)
            firn_pb_run_free(firn_pb_remove(p->runs, &p->n_runs, i));
    }
    return FIRN_OK;
}

/* ---- splitting and merging partitions */

/* Drop what lies outside p's bounds and clip what crosses them. */
static enum firn_status trim(Firn__Partition *p)
{
    for (size_t i = p->n_runs; i-- > 0;) {
        Firn__Run *r = p->runs[i];
        for (size_t k = r->n_tables; k-- > 0;) {
            if (!covers(p, r->tables[k])) {
                firn_pb_table_free(firn_pb_remove(r->tables, &r->n_tables, k));
                continue;
            }
            enum firn_status st =
                clip(r->tables[k], firn_pb_slice(&p->start), firn_pb_slice(&p->end));
            if (st != FIRN_OK)
                return st;
        }
        if (r->n_tables == 0)
            firn_pb_run_free(firn_pb_remove(p->runs, &p->n_runs, i));
    }
    return FIRN_OK;
}

/* Split partition `at` at `key`: the left part stays, the right one follows it. No table leaves the
 * manifest. */
static enum firn_status split_at(Firn__Manifest *m, size_t at, struct firn_slice key,
                                 struct firn_err *err)
{
    Firn__Partition *left = m->partitions[at];
    struct firn_slice end = firn_pb_slice(&left->end);
    if (key.len < 1 || key.len > FIRN_BOUND_MAX ||
        firn_slice_cmp(key, firn_pb_slice(&left->start)) <= 0 ||
        (end.len && firn_slice_cmp(key, end) >= 0))
        return firn_fail(err, FIRN_INVALID, "a partition cannot be split there");
    Firn__Partition *right = firn_pb_partition_dup(left);
    if (!right)
        return FIRN_LIMIT;
    enum firn_status st = firn_pb_insert(&m->partitions, &m->n_partitions, at + 1, right);
    if (st != FIRN_OK) {
        firn_pb_partition_free(right);
        return st;
    }
    if ((st = firn_pb_set_bytes(&left->end, key)) != FIRN_OK ||
        (st = firn_pb_set_bytes(&right->start, key)) != FIRN_OK || (st = trim(left)) != FIRN_OK)
        return st;
    return trim(right);
}

/* Move all tables of `from` behind those of `to`. */
static enum firn_status join_runs(Firn__Run *to, Firn__Run *from)
{
    while (from->n_tables) {
        enum firn_status st =
            firn_pb_insert(&to->tables, &to->n_tables, to->n_tables, from->tables[0]);
        if (st != FIRN_OK)
            return st;
        (void)firn_pb_remove(from->tables, &from->n_tables, 0);
    }
    return FIRN_OK;
}

enum firn_status firn_edit_partition_merge(Firn__Manifest *m, struct firn_slice start,
                                           struct firn_err *err)
{
    size_t at;
    Firn__Partition *left = find_partition(m, start, &at);
    if (!left || at + 1 == m->n_partitions)
        return firn_fail(err, FIRN_CONFLICT, "no partition begins there, or it is the last one");
    Firn__Partition *right = m->partitions[at + 1];
    if (!firn_place_eq(firn_place_of(left->l0_upto), firn_place_of(right->l0_upto)))
        return firn_fail(err, FIRN_CONFLICT,
                         "partitions that hold different parts of L0 cannot be merged");
    enum firn_status st = firn_pb_set_bytes(&left->end, firn_pb_slice(&right->end));
    /* Their keys are disjoint, so runs may be joined in pairs from the newest down (I8). */
    for (size_t i = 0; st == FIRN_OK && right->n_runs; i++) {
        Firn__Run *r = right->runs[0];
        if (i < left->n_runs) {
            st = join_runs(left->runs[i], r);
            if (st == FIRN_OK)
                firn_pb_run_free(firn_pb_remove(right->runs, &right->n_runs, 0));
        } else {
            st = firn_pb_insert(&left->runs, &left->n_runs, left->n_runs, r);
            if (st == FIRN_OK)
                (void)firn_pb_remove(right->runs, &right->n_runs, 0);
        }
    }
    if (st == FIRN_OK)
        firn_pb_partition_free(firn_pb_remove(m->partitions, &m->n_partitions, at + 1));
    return st;
}

/* ---- the whole */

/* Replace whole runs, and what is consumed of L0, by one run of outputs. */
static enum firn_status replace_inputs(Firn__Manifest *m, Firn__Partition *p,
                                       const struct firn_compaction_part *c, struct removed *gone,
                                       struct firn_err *err)
{
    size_t from = 0, to = 0;
    struct firn_place upto = {0, 0};
    enum firn_status st = l0_upto_after(m, p, c, &upto, err);
    if (st == FIRN_OK)
        st = input_runs(p, c, &from, &to, err);
    /* Outputs first: while the inputs are in, a table that is live is known to be. */
    if (st == FIRN_OK)
        st = add_outputs(m, p, c, from, err);
    if (st != FIRN_OK)
        return st;
    size_t shift = c->noutputs ? 1 : 0;
    p->l0_upto->epoch = upto.epoch;
    p->l0_upto->slot = upto.slot;
    return remove_runs(p, from + shift, to + shift, gone);
}

static enum firn_status compact_part(Firn__Manifest *m, const struct firn_compaction_part *c,
                                     struct removed *gone, struct firn_err *err)
{
    size_t at;
    if (c->noutputs && !c->ninputs && !c->nl0_inputs)
        return firn_fail(err, FIRN_INVALID, "a compaction with outputs but no inputs");
    Firn__Partition *p = find_partition(m, c->start, &at);
    if (!p || !firn_slice_eq(firn_pb_slice(&p->end), c->end))
        return firn_fail(err, FIRN_CONFLICT, "the partition of a compaction was split or merged");
    enum firn_status st = c->noutputs || c->nl0_inputs ? replace_inputs(m, p, c, gone, err)
                                                       : drop_inputs(p, c, gone, err);
    for (size_t i = 0; st == FIRN_OK && i < c->nsplit; i++)
        st = split_at(m, at + i, c->split[i], err);
    return st;
}

static bool passed(const Firn__Manifest *m, const Firn__Table *t)
{
    for (size_t i = 0; i < m->n_partitions; i++)
        if (covers(m->partitions[i], t) &&
            firn_place_cmp(firn_place_of(m->partitions[i]->l0_upto), firn_place_of(t->end)) < 0)
            return false;
    return true;
}

/* Only from the oldest end, so that ranges stay contiguous (I7). */
static enum firn_status drop_l0(Firn__Manifest *m, struct removed *gone)
{
    enum firn_status st = FIRN_OK;
    size_t before = m->n_l0;
    while (st == FIRN_OK && m->n_l0 && passed(m, m->l0[m->n_l0 - 1]))
        st = drop_table(gone, m->l0, &m->n_l0, m->n_l0 - 1);
    struct firn_place start = firn_place_of(m->n_l0 ? m->l0[m->n_l0 - 1]->first : m->floor);
    if (m->n_l0 < before) {
        m->l0_start->epoch = start.epoch;
        m->l0_start->slot = start.slot;
    }
    return st;
}

/* Adopted tables that became live in a run are no longer merely adopted. */
static void settle_adopted(Firn__Manifest *m)
{
    for (size_t i = m->n_adopted; i-- > 0;) {
        struct firn_table_name name = firn_table_name_of(m->adopted[i]);
        bool live = false;
        for (size_t k = 0; !live && k < m->n_partitions; k++)
            live = find_in_partition(m->partitions[k], &name) != NULL;
        if (live)
            firn_pb_table_free(firn_pb_remove(m->adopted, &m->n_adopted, i));
    }
}

enum firn_status firn_edit_compaction(Firn__Manifest *m, const struct firn_compaction *c,
                                      struct firn_err *err)
{
    struct removed gone = {NULL, 0};
    enum firn_status st = FIRN_OK;
    for (size_t i = 0; st == FIRN_OK && i < c->nparts; i++)
        st = compact_part(m, &c->parts[i], &gone, err);
    if (st == FIRN_OK)
        st = drop_l0(m, &gone);
    if (st == FIRN_OK) {
        settle_adopted(m);
        if (c->watermark > m->compactor->watermark)
            m->compactor->watermark = c->watermark;
    }
    return bury(m, &gone, st);
}

static bool part_applied(const Firn__Manifest *m, const struct firn_compaction_part *c)
{
    bool only_split = !c->ninputs && !c->nl0_inputs;
    for (size_t i = 0; i < m->n_partitions; i++) {
        const Firn__Partition *p = m->partitions[i];
        struct firn_slice start = firn_pb_slice(&p->start), end = firn_pb_slice(&p->end);
        if (!firn_manifest__overlap(start, end, c->start, c->end))
            continue;
        if (only_split && firn_slice_eq(start, c->start) && firn_slice_eq(end, c->end))
            return false;
        for (size_t k = 0; k < c->ninputs; k++)
            if (find_in_partition(p, &c->inputs[k]))
                return false;
        for (size_t k = 0; k < c->nl0_inputs; k++) {
            const Firn__Table *t = find_in(m->l0, m->n_l0, &c->l0_inputs[k]);
            if (t && covers(p, t) &&
                firn_place_cmp(firn_place_of(p->l0_upto), firn_place_of(t->end)) < 0)
                return false;
        }
    }
    return true;
}

bool firn_compaction_applied(const Firn__Manifest *m, const struct firn_compaction *c)
{
    for (size_t i = 0; i < c->nparts; i++)
        if (!part_applied(m, &c->parts[i]))
            return false;
    return true;
}

enum firn_status firn_edit_unadopt(Firn__Manifest *m, const struct firn_table_name *names,
                                   size_t count)
{
    struct removed gone = {NULL, 0};
    enum firn_status st = FIRN_OK;
    for (size_t i = m->n_adopted; st == FIRN_OK && i-- > 0;)
        if (named(names, count, m->adopted[i]))
            st = drop_table(&gone, m->adopted, &m->n_adopted, i);
    return bury(m, &gone, st);
}
