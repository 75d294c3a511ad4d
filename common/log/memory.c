#include "log/memory.h"

#include "format/key.h"

/* What is the memtable's of a record; false for kinds that change no key. */
static bool entry_of(const struct firn_record *rec, uint64_t seqno, struct firn_entry *out)
{
    *out = (struct firn_entry){
        .key = rec->key,
        .value = rec->value,
        .seqno = seqno,
        .expiry_ms = rec->expiry_ms,
        .kind = rec->kind,
    };
    switch (rec->kind) {
    case FIRN_RECORD_DEDUP: /* a value like any other, in a namespace of its own */
        out->kind = FIRN_RECORD_PUT;
        return true;
    case FIRN_RECORD_EXPIRED: /* its event is delivered from the log; to a read it is a deletion */
        out->kind = FIRN_RECORD_DEL;
        return true;
    case FIRN_RECORD_PUT:
    case FIRN_RECORD_DEL:
        return true;
    default:
        return false;
    }
}

/* What the expiry index says of a record that was put (INTERFACES "Expiry events"). Only databases
 * have events. */
static enum firn_status put_index(struct firn_memtable *t, const struct firn_record *rec,
                                  uint64_t seqno)
{
    uint8_t key[FIRN_KEY_MAX];
    if (rec->kind != FIRN_RECORD_PUT || !rec->expiry_ms || firn_key_db(rec->key) < 0)
        return FIRN_OK;
    struct firn_entry e = {
        .key = firn_expiry_key(rec->expiry_ms, rec->key, key),
        .seqno = seqno,
        .expiry_ms = rec->expiry_ms,
        .kind = FIRN_RECORD_PUT,
    };
    return firn_memtable_add(t, &e);
}

/* Of dropped tables those that only snapshots hold are counted there. */
static void tell(const struct firn_memory *m)
{
    if (!m->budget)
        return;
    uint64_t theirs = m->budget->part[FIRN_BUDGET_SNAPSHOTS].used;
    uint64_t gone = m->gone_bytes > theirs ? m->gone_bytes - theirs : 0;
    firn_budget_set(m->budget, FIRN_BUDGET_MEMTABLES, m->bytes + gone);
}

/* The part's table may have grown. */
static void count(struct firn_memory *m, struct firn_memory_part *p)
{
    uint64_t bytes = firn_memtable_bytes(p->table);
    if (bytes == p->bytes)
        return;
    m->bytes += bytes - p->bytes;
    p->bytes = bytes;
    tell(m);
}

enum firn_status firn_memory_init(struct firn_memory *m, struct firn_place at,
                                  struct firn_budget *budget)
{
    struct firn_memtable *t;
    enum firn_status s = firn_memtable_create(&t);
    if (s != FIRN_OK)
        return s;
    m->part[0] = (struct firn_memory_part){.table = t, .first = at, .end = at};
    m->parts = 1;
    m->expiry_index = false;
    m->warm = m->ngone = 0;
    m->bytes = m->gone_bytes = 0;
    m->budget = budget;
    count(m, &m->part[0]);
    return FIRN_OK;
}

void firn_memory_deinit(struct firn_memory *m)
{
    for (size_t i = 0; i < m->parts; i++)
        firn_memtable_unref(m->part[i].table);
    for (size_t i = 0; i < m->ngone; i++)
        firn_memtable_unref(m->gone[i]);
    m->parts = m->warm = m->ngone = 0;
    m->bytes = m->gone_bytes = 0;
    tell(m);
}

void firn_memory_sweep(struct firn_memory *m)
{
    size_t left = 0;
    if (!m->ngone)
        return;
    for (size_t i = 0; i < m->ngone; i++) {
        if (firn_memtable_shared(m->gone[i])) {
            m->gone[left++] = m->gone[i];
        } else {
            m->gone_bytes -= firn_memtable_bytes(m->gone[i]);
            firn_memtable_unref(m->gone[i]);
        }
    }
    m->ngone = left;
    tell(m);
}

/* Where more are dropped than there is room for, the rest stays uncounted until views let go. */
static void drop_part(struct firn_memory *m, const struct firn_memory_part *p)
{
    m->bytes -= p->bytes;
    if (firn_memtable_shared(p->table) && m->ngone < FIRN_MEMORY_GONE_MAX) {
        m->gone[m->ngone++] = p->table;
        m->gone_bytes += firn_memtable_bytes(p->table);
    } else {
        firn_memtable_unref(p->table);
    }
}

void firn_memory_replace(struct firn_memory *m, struct firn_memory *fresh)
{
    firn_memory_sweep(m);
    for (size_t i = 0; i < m->parts; i++)
        drop_part(m, &m->part[i]);
    m->part[0] = fresh->part[0];
    m->parts = 1;
    m->warm = 0;
    m->bytes = fresh->bytes;
    tell(m);
}

enum firn_status firn_memory_put(struct firn_memory *m, const struct firn_record *rec,
                                 uint64_t seqno, struct firn_place place)
{
    struct firn_memory_part *p = firn_memory_active(m);
    struct firn_entry e;
    enum firn_status s = FIRN_OK;
    if (rec->kind == FIRN_RECORD_RANGEDEL)
        s = firn_memtable_add_range(p->table, rec->key, rec->end_key, seqno);
    else if (entry_of(rec, seqno, &e))
        s = firn_memtable_add(p->table, &e);
    if (s == FIRN_OK && m->expiry_index)
        s = put_index(p->table, rec, seqno);
    if (s != FIRN_OK)
        return s;
    count(m, p);
    p->raw_bytes += firn_record_size(rec);
    if (!p->first_seqno)
        p->first_seqno = seqno;
    p->last_seqno = seqno;
    if (firn_place_cmp(p->end, place) <= 0) {
        firn_memtable_place(p->table, place);
        p->end = (struct firn_place){place.epoch, place.slot + 1};
        p->slots++;
    }
    return FIRN_OK;
}

enum firn_status firn_memory_apply(struct firn_memory *m, const struct firn_batch_header *batch,
                                   struct firn_slice records)
{
    struct firn_record_cursor c;
    struct firn_record rec;
    enum firn_status s;
    firn_record_begin(&c, records, batch->first_seqno);
    while ((s = firn_record_next(&c, &rec, NULL)) == FIRN_OK) {
        /* Delivered again after memory was short half-way: the prefix is in. Seqnos only grow. */
        if (rec.seqno <= firn_memory_active(m)->last_seqno)
            continue;
        s = firn_memory_put(m, &rec, rec.seqno, batch->place);
        if (s != FIRN_OK)
            return s;
    }
    if (s != FIRN_ABSENT)
        return s;
    struct firn_memory_part *p = firn_memory_active(m);
    p->last_seqno = batch->first_seqno + batch->count - 1; /* skipped kinds count, too */
    firn_memory_slot_ends(m, batch->place, batch->log_time_ms);
    return FIRN_OK;
}

void firn_memory_horizon(struct firn_memory *m, uint64_t low, uint64_t high)
{
    firn_memtable_horizon(firn_memory_active(m)->table, low, high);
}

void firn_memory_slot_ends(struct firn_memory *m, struct firn_place place, uint64_t log_time_ms)
{
    struct firn_memory_part *p = firn_memory_active(m);
    if (firn_place_cmp(p->end, place) <= 0) {
        p->end = (struct firn_place){place.epoch, place.slot + 1};
        p->slots++;
    }
    if (log_time_ms > p->log_time_ms)
        p->log_time_ms = log_time_ms;
    firn_memory_sweep(m);
}

void firn_memory_reaches(struct firn_memory *m, struct firn_place at)
{
    struct firn_memory_part *p = firn_memory_active(m);
    if (firn_place_cmp(p->end, at) < 0)
        p->end = at;
}

enum firn_status firn_memory_rotate(struct firn_memory *m)
{
    struct firn_memory_part *p = firn_memory_active(m);
    if (firn_place_eq(p->first, p->end))
        return FIRN_OK;
    if (m->parts == FIRN_MEMORY_PARTS_MAX)
        return FIRN_LIMIT;
    struct firn_memtable *t;
    enum firn_status s = firn_memtable_create(&t);
    if (s != FIRN_OK)
        return s;
    s = firn_memtable_freeze(p->table);
    if (s != FIRN_OK) {
        firn_memtable_unref(t);
        return s;
    }
    count(m, p);
    m->part[m->parts++] = (struct firn_memory_part){.table = t, .first = p->end, .end = p->end};
    count(m, &m->part[m->parts - 1]);
    return FIRN_OK;
}

/* How many parts, from the oldest, are frozen and in tables. */
static size_t parts_below(const struct firn_memory *m, struct firn_place floor)
{
    size_t n = 0;
    while (n + 1 < m->parts && firn_place_cmp(m->part[n].end, floor) <= 0)
        n++;
    return n;
}

void firn_memory_flushed(struct firn_memory *m, struct firn_place floor, size_t warm)
{
    size_t below = parts_below(m, floor), drop = below > warm ? below - warm : 0;
    for (size_t i = 0; i < drop; i++)
        drop_part(m, &m->part[i]);
    m->parts -= drop;
    m->warm = below - drop;
    if (drop) {
        memmove(m->part, m->part + drop, m->parts * sizeof m->part[0]);
        tell(m);
    }
}

struct firn_memory_part *firn_memory_oldest_frozen(struct firn_memory *m)
{
    return m->warm + 1 < m->parts ? &m->part[m->warm] : NULL;
}

uint64_t firn_memory_raw_bytes(const struct firn_memory *m)
{
    uint64_t n = 0;
    for (size_t i = m->warm; i < m->parts; i++)
        n += m->part[i].raw_bytes;
    return n;
}

uint64_t firn_memory_slots(const struct firn_memory *m)
{
    uint64_t n = 0;
    for (size_t i = m->warm; i < m->parts; i++)
        n += m->part[i].slots;
    return n;
}

uint64_t firn_memory_unflushed(const struct firn_memory *m)
{
    uint64_t n = 0;
    for (size_t i = m->warm; i < m->parts; i++)
        n += m->part[i].bytes;
    return n;
}

uint64_t firn_memory_bytes(const struct firn_memory *m)
{
    return m->bytes + m->gone_bytes;
}

enum firn_status firn_memory_view(const struct firn_memory *m, size_t warm, struct firn_lsm *lsm,
                                  struct firn_manifest *manifest, struct firn_view **out,
                                  struct firn_err *err)
{
    struct firn_memtable *newest_first[FIRN_MEMORY_PARTS_MAX];
    size_t below = parts_below(m, manifest->floor), skip = below > warm ? below - warm : 0;
    size_t n = m->parts - skip;
    for (size_t i = 0; i < n; i++)
        newest_first[i] = m->part[m->parts - 1 - i].table;
    return firn_view_create_above(lsm, manifest, newest_first, n, m->part[skip].first, out, err);
}
