/* The tables that a database names: its own and its checkpoints'. */
#include "ctl/ctl_verify_priv.h"

#include <inttypes.h>
#include <stdlib.h>

size_t firn_ctl__verify_refs(const struct verify *v)
{
    return v->refs.len / sizeof(struct verify_ref);
}

struct verify_ref *firn_ctl__verify_ref(const struct verify *v, size_t i)
{
    return (struct verify_ref *)(void *)v->refs.data + i;
}

static enum firn_status add(struct verify *v, Firn__Table *const *t, size_t n,
                            const char *checkpoint)
{
    enum firn_status s = FIRN_OK;
    for (size_t i = 0; s == FIRN_OK && i < n; i++) {
        struct verify_ref r = {t[i], checkpoint, false};
        s = firn_buf_append(&v->refs, &r, sizeof r);
    }
    return s;
}

enum firn_status firn_ctl__verify_add_refs(struct verify *v, const Firn__Manifest *m,
                                           const char *checkpoint)
{
    enum firn_status s = add(v, m->l0, m->n_l0, checkpoint);
    if (s == FIRN_OK)
        s = add(v, m->adopted, m->n_adopted, checkpoint);
    for (size_t i = 0; s == FIRN_OK && i < m->n_partitions; i++)
        for (size_t k = 0; s == FIRN_OK && k < m->partitions[i]->n_runs; k++)
            s = add(v, m->partitions[i]->runs[k]->tables, m->partitions[i]->runs[k]->n_tables,
                    checkpoint);
    return s;
}

static int cmp_name(const struct firn_table_name *a, const struct firn_table_name *b)
{
    if (a->role != b->role)
        return a->role < b->role ? -1 : 1;
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

/* By name; the manifest's own reference before those of checkpoints. */
static int by_name(const void *x, const void *y)
{
    const struct verify_ref *a = x, *b = y;
    struct firn_table_name an = firn_table_name_of(a->table), bn = firn_table_name_of(b->table);
    int c = cmp_name(&an, &bn);
    return c ? c : (a->checkpoint != NULL) - (b->checkpoint != NULL);
}

static bool same_parts(const Firn__Table *a, const Firn__Table *b)
{
    struct firn_table_parts p;
    if (firn_table_parts_of(a, &p, NULL) != FIRN_OK)
        return true; /* that is said when the table is read */
    bool same = firn_table_parts_match(&p, b);
    firn_table_parts_clear(&p);
    return same;
}

/* All that does not depend on the place a reference has in the manifest. */
static bool same_object(const Firn__Table *a, const Firn__Table *b)
{
    return a->table_id == b->table_id && a->size == b->size && a->head_offset == b->head_offset &&
           a->head_length == b->head_length && a->head_checksum == b->head_checksum &&
           a->entries == b->entries && a->min_seqno == b->min_seqno &&
           a->max_seqno == b->max_seqno && same_parts(a, b);
}

void firn_ctl__verify_join_refs(struct verify *v)
{
    size_t n = firn_ctl__verify_refs(v), kept = 0;
    if (n)
        qsort(v->refs.data, n, sizeof(struct verify_ref), by_name);
    for (size_t i = 0; i < n; i++) {
        struct verify_ref *r = firn_ctl__verify_ref(v, i);
        struct verify_ref *last = kept ? firn_ctl__verify_ref(v, kept - 1) : NULL;
        struct firn_table_name name = firn_table_name_of(r->table), before;
        if (last) {
            before = firn_table_name_of(last->table);
            if (firn_table_name_eq(&name, &before)) {
                char key[FIRN_NAME_MAX];
                firn_name_table(key, firn_id_short(&v->c->db), &name);
                if (!same_object(r->table, last->table))
                    firn_ctl__verify_error(v, "%s: two references to it contradict each other",
                                           key);
                continue;
            }
        }
        *firn_ctl__verify_ref(v, kept++) = *r;
    }
    v->refs.len = kept * sizeof(struct verify_ref);
    for (size_t i = 0; i < kept; i++)
        v->bytes_total += firn_ctl__verify_ref(v, i)->table->size;
}

struct verify_ref *firn_ctl__verify_find(const struct verify *v, const struct firn_table_name *name)
{
    size_t lo = 0, hi = firn_ctl__verify_refs(v);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        struct firn_table_name at = firn_table_name_of(firn_ctl__verify_ref(v, mid)->table);
        int c = cmp_name(&at, name);
        if (c == 0)
            return firn_ctl__verify_ref(v, mid);
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static bool among(Firn__Table *const *t, size_t n, const struct firn_table_name *name)
{
    for (size_t i = 0; i < n; i++) {
        struct firn_table_name at = firn_table_name_of(t[i]);
        if (firn_table_name_eq(&at, name))
            return true;
    }
    return false;
}

bool firn_ctl__manifest_names(const Firn__Manifest *m, const struct firn_table_name *name)
{
    if (among(m->l0, m->n_l0, name) || among(m->adopted, m->n_adopted, name))
        return true;
    for (size_t i = 0; i < m->n_partitions; i++)
        for (size_t k = 0; k < m->partitions[i]->n_runs; k++)
            if (among(m->partitions[i]->runs[k]->tables, m->partitions[i]->runs[k]->n_tables, name))
                return true;
    return false;
}
