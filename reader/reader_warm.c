/* Warming: what a flush moved into tables is still in memory for a while (warm parts), so there is
 * time to bring the tables' metadata and blocks into the cache before reads need them. Reads go on
 * meanwhile, and never wait for this. */
#include "reader/reader_priv.h"

#define PROBE_BYTES                                                                                \
    1024 /* look up one key for each so many bytes of the part: some for each block */
#define BATCH_PROBES 32 /* looked up and fetched together */
#define ROUNDS 3        /* fetches of a batch: head, partition, block */
/* A part is only worth warming while the cache has room for so many like it. */
#define ROOM_SHARE 4

static void let_go(struct firn_reader *r)
{
    struct reader_warm *w = &r->warm;
    firn_read_clear(&w->read);
    firn_view_unref(w->view);
    firn_memtable_unref(w->table);
    w->view = NULL;
    w->table = NULL;
    w->fetching = false;
}

/* The oldest warm part that was not dealt with yet: OK, and its table is at hand. */
static bool take_part(struct firn_reader *r)
{
    struct reader_warm *w = &r->warm;
    for (size_t i = 0; i < r->memory.warm; i++) {
        const struct firn_memory_part *p = &r->memory.part[i];
        struct firn_err err = {0};
        if (firn_place_cmp(p->end, w->upto) <= 0)
            continue;
        w->upto = p->end;
        if (firn_budget_cache_room(&r->budget) / ROOM_SHARE < p->bytes ||
            firn_memtable_iter_init(&w->it, p->table, UINT64_MAX, false) != FIRN_OK ||
            firn_view_create(r->db.lsm, r->manifest, NULL, 0, &w->view, &err) != FIRN_OK)
            continue;
        firn_memtable_ref(p->table);
        w->table = p->table;
        w->from = firn_slice_of(NULL, 0);
        w->rounds = 0;
        return true;
    }
    return false;
}

/* Look up a batch of keys from w->from on in the tables alone. True: something is to be fetched. */
static bool probe_batch(struct reader_warm *w)
{
    struct firn_entry e, found;
    size_t bytes = PROBE_BYTES;
    unsigned probes = 0;
    bool missing = false;
    firn_memtable_iter_seek(&w->it, w->from);
    for (; probes < BATCH_PROBES && firn_memtable_iter_get(&w->it, &e);
         firn_memtable_iter_skip(&w->it)) {
        bytes += e.key.len + e.value.len;
        if (bytes < PROBE_BYTES)
            continue;
        bytes = 0;
        probes++;
        missing |= firn_view_get(w->view, &w->read, e.key, UINT64_MAX, &found) == FIRN_AGAIN;
    }
    w->at_end = !firn_memtable_iter_get(&w->it, &e);
    w->next = w->at_end ? firn_slice_of(NULL, 0) : e.key;
    return missing && firn_read_wants(&w->read);
}

static void fetched(struct firn_read *read)
{
    struct firn_reader *r = read->arg;
    struct reader_warm *w = &r->warm;
    w->fetching = false;
    if (firn_read_status(read) != FIRN_OK)
        let_go(r); /* the next part may fare better */
    firn_defer(r->db.env, &w->step);
}

static void step(void *arg)
{
    struct firn_reader *r = arg;
    struct reader_warm *w = &r->warm;
    if (w->fetching || r->state != READER_SERVING || (!w->table && !take_part(r)))
        return;
    if (probe_batch(w) && w->rounds++ < ROUNDS) {
        w->fetching = true;
        firn_read_fetch(&w->read, 0, fetched, r);
        return;
    }
    firn_read_clear(&w->read);
    w->from = w->next;
    w->rounds = 0;
    if (w->at_end)
        let_go(r);
    firn_timer_start(r->db.env, &w->pause, 1); /* others' turn */
}

void firn_reader__warm(struct firn_reader *r)
{
    if (!r->warm.table && r->memory.warm)
        firn_defer(r->db.env, &r->warm.step);
}

void firn_reader__warm_init(struct firn_reader *r)
{
    firn_read_init(&r->warm.read, r->db.lsm);
    r->warm.step = (struct firn_defer){.fn = step, .arg = r};
    r->warm.pause = (struct firn_timer){.fn = step, .arg = r};
}

void firn_reader__warm_stop(struct firn_reader *r)
{
    if (!r->warm.step.fn)
        return;
    firn_defer_cancel(r->db.env, &r->warm.step);
    firn_timer_stop(r->db.env, &r->warm.pause);
    let_go(r);
}
