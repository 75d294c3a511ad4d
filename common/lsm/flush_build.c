#include "lsm/flush_build.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "format/key.h"
#include "lsm/table_cut.h"

void firn_flush_build_clear(struct firn_flush_build *f)
{
    for (size_t i = 0; i < f->count; i++)
        firn_table_object_clear(&f->object[i]);
    firn_free(f->object);
    f->object = NULL;
    f->count = 0;
}

/* The memtable's range tombstones up to max_seqno, as fragments without history. */
static enum firn_status collect_tombs(const struct firn_flush_build *f, struct firn_arena *a,
                                      struct firn_range_tomb **out, size_t *nout)
{
    const struct firn_range_tomb *all;
    size_t n = firn_memtable_tombs(f->memtable, &all), kept = 0;
    struct firn_range_tomb *in = firn_arena_alloc(a, (n + 1) * sizeof *in);
    if (!in)
        return FIRN_LIMIT;
    for (size_t i = 0; i < n; i++)
        if (all[i].seqno <= f->max_seqno)
            in[kept++] = all[i];
    return firn_tombs_fragment(in, kept, a, out, nout);
}

static enum firn_status take_table(struct firn_flush_build *f, struct firn_table_cut *c)
{
    struct firn_table_object *more = firn_realloc(f->object, (f->count + 1) * sizeof *more);
    if (!more)
        return FIRN_LIMIT;
    f->object = more;
    f->object[f->count++] = firn_table_cut_take(c);
    return FIRN_OK;
}

static bool index_is_past(const struct firn_flush_build *f, const struct firn_entry *e)
{
    return firn_key_is_expiry(e->key) && e->expiry_ms < f->expired_to_ms;
}

/* Walk the keys; the first version of each is its newest. */
static enum firn_status add_entries(struct firn_flush_build *f, struct firn_table_cut *c,
                                    const struct firn_range_tomb *tomb, size_t tombs)
{
    struct firn_memtable_iter it;
    struct firn_entry e;
    size_t covering = 0;
    enum firn_status s = firn_memtable_iter_init(&it, f->memtable, f->max_seqno, false);
    if (s != FIRN_OK)
        return s;
    firn_memtable_iter_seek(&it, firn_slice_of(NULL, 0));
    for (; firn_memtable_iter_get(&it, &e); firn_memtable_iter_skip(&it)) {
        while (covering < tombs && !firn_before_end(e.key, tomb[covering].end))
            covering++;
        if (covering < tombs && firn_slice_cmp(tomb[covering].start, e.key) <= 0 &&
            e.seqno < tomb[covering].seqno)
            continue;
        if (index_is_past(f, &e))
            continue;
        bool ready;
        s = firn_table_cut_add(c, &e, firn_xxh3(e.key.data, e.key.len), &ready);
        if (s == FIRN_OK && ready)
            s = take_table(f, c);
        if (s != FIRN_OK)
            return s;
    }
    return FIRN_OK;
}

void firn_flush_build_run(struct firn_flush_build *f)
{
    FIRN_ASSERT(firn_memtable_frozen(f->memtable));
    struct firn_arena arena = {0};
    struct firn_range_tomb *tomb = NULL;
    size_t tombs = 0;
    struct firn_table_cut cut;
    bool ready = false;
    f->object = NULL;
    f->count = 0;
    f->status = collect_tombs(f, &arena, &tomb, &tombs);
    firn_table_cut_init(&cut, &f->table, f->table_bytes, tomb, tombs);
    if (f->status == FIRN_OK)
        f->status = add_entries(f, &cut, tomb, tombs);
    if (f->status == FIRN_OK)
        f->status = firn_table_cut_finish(&cut, &ready);
    if (f->status == FIRN_OK && ready)
        f->status = take_table(f, &cut);
    if (f->status != FIRN_OK)
        firn_flush_build_clear(f);
    firn_table_cut_clear(&cut);
    firn_arena_clear(&arena);
}
