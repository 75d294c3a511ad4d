/* What lies under the database's URL beside what it names. A LIST is a hint: nothing here is an
 * error. */
#include "ctl/ctl_verify_priv.h"

#include <inttypes.h>

static void count(uint64_t *objects, uint64_t *bytes, uint64_t size)
{
    ++*objects;
    *bytes += size;
}

static void note_slot(struct verify *v, struct firn_place p, uint64_t size)
{
    struct verify_list *l = &v->list;
    bool batch = size != FIRN_SEAL_BYTES;
    if (!batch)
        return;
    if (firn_place_cmp(p, firn_place_of(v->m->floor)) < 0)
        count(&l->old_slots, &l->old_slot_bytes, size);
    else if (p.epoch == v->log.end.epoch && p.slot > v->log.end.slot)
        l->behind++;
    else if (p.epoch > v->log.end.epoch)
        l->later++;
}

static bool in_garbage(const Firn__Manifest *m, const struct firn_table_name *t)
{
    for (size_t i = 0; i < m->n_garbage; i++)
        if ((enum firn_role)m->garbage[i]->role == t->role && m->garbage[i]->epoch == t->epoch &&
            m->garbage[i]->number == t->number)
            return true;
    return false;
}

static void note_table(struct verify *v, const struct firn_table_name *t, uint64_t size)
{
    struct verify_list *l = &v->list;
    const Firn__Role *owner = t->role == FIRN_ROLE_WRITER ? v->m->writer : v->m->compactor;
    if (firn_ctl__verify_find(v, t))
        return;
    if (in_garbage(v->m, t))
        count(&l->garbage, &l->garbage_bytes, size);
    else if (t->epoch < owner->epoch || (t->epoch == owner->epoch && t->number < owner->watermark))
        count(&l->orphans, &l->orphan_bytes, size); /* I10 */
    else
        count(&l->pending, &l->pending_bytes, size);
}

enum firn_status firn_ctl__verify_listed(struct firn_ctl *c, const struct firn_os_entry *e)
{
    struct verify *v = c->state;
    struct firn_name n;
    count(&v->list.objects, &v->list.bytes, e->size);
    if (firn_name_parse(firn_slice_str(e->key), &n) != FIRN_OK) {
        v->list.foreign++;
        return FIRN_OK;
    }
    if (n.kind != FIRN_NAME_SLOT && n.kind != FIRN_NAME_TABLE)
        return FIRN_OK;
    if (n.db != firn_id_short(&c->db))
        v->list.other_db++;
    else if (n.kind == FIRN_NAME_SLOT)
        note_slot(v, n.place, e->size);
    else
        note_table(v, &n.table, e->size);
    return FIRN_OK;
}

static void say(struct verify *v, uint64_t objects, uint64_t bytes, const char *what)
{
    char size[CTL_SIZE_MAX];
    if (objects)
        firn_ctl__verify_info(v, "%" PRIu64 " %s, %s", objects, what, firn_ctl__size(bytes, size));
}

void firn_ctl__verify_report_list(struct verify *v)
{
    const struct verify_list *l = &v->list;
    say(v, l->objects, l->bytes, "objects listed");
    say(v, l->garbage, l->garbage_bytes, "tables are garbage and wait for the collector");
    say(v, l->orphans, l->orphan_bytes,
        "tables are orphans of interrupted work, for the collector");
    say(v, l->pending, l->pending_bytes, "tables are not named (yet): work under way");
    say(v, l->old_slots, l->old_slot_bytes, "batches lie below the floor");
    if (l->other_db)
        firn_ctl__verify_info(v, "%" PRIu64 " objects of another database id", l->other_db);
    if (l->foreign)
        firn_ctl__verify_info(v, "%" PRIu64 " objects whose names are not Firn's", l->foreign);
}
