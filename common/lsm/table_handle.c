#include "base/assert.h"
#include "base/mem.h"
#include "lsm/lsm_priv.h"

#define BUCKETS_MIN 64u

static struct firn_table_handle **bucket_of(struct firn_table_handle **table, size_t buckets,
                                            uint64_t id)
{
    return &table[(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (buckets - 1)];
}

/* More buckets, where memory allows; longer chains where not. */
static void grow(struct firn_lsm *l)
{
    size_t n = l->handle_buckets ? l->handle_buckets * 2 : BUCKETS_MIN;
    struct firn_table_handle **table = firn_calloc(n, sizeof(struct firn_table_handle *));
    if (!table)
        return;
    for (size_t i = 0; i < l->handle_buckets; i++) {
        for (struct firn_table_handle *h = l->handle[i], *next; h; h = next) {
            next = h->hnext;
            struct firn_table_handle **to = bucket_of(table, n, h->loc.table_id);
            h->hnext = *to;
            *to = h;
        }
    }
    firn_free(l->handle);
    l->handle = table;
    l->handle_buckets = n;
}

static enum firn_status check_loc(const struct firn_table_loc *loc, const char *name,
                                  struct firn_err *err)
{
    if (loc->table_id == 0 || loc->meta_length == 0 || loc->meta_length > FIRN_TABLE_META_MAX ||
        loc->meta_offset > loc->size || loc->meta_length > loc->size - loc->meta_offset)
        return firn_fail(err, FIRN_CORRUPT,
                         "the manifest's reference to table %s makes no sense: size %llu, metadata "
                         "at %llu, %llu bytes",
                         name, (unsigned long long)loc->size, (unsigned long long)loc->meta_offset,
                         (unsigned long long)loc->meta_length);
    return FIRN_OK;
}

static bool loc_equal(const struct firn_table_loc *a, const struct firn_table_loc *b)
{
    return a->size == b->size && a->meta_offset == b->meta_offset &&
           a->meta_length == b->meta_length && a->meta_checksum == b->meta_checksum;
}

static enum firn_status handle_new(struct firn_lsm *l, const struct firn_table_loc *loc,
                                   const char *name, const Firn__Table *t,
                                   struct firn_table_handle **out, struct firn_err *err)
{
    if (l->nhandles >= l->handle_buckets)
        grow(l);
    struct firn_table_handle *h = l->handle_buckets ? firn_calloc(1, sizeof *h) : NULL;
    if (!h)
        return firn_fail(err, FIRN_LIMIT, "no memory for table %s", name);
    h->lsm = l;
    h->refs = 1;
    h->loc = *loc;
    memcpy(h->name, name, sizeof h->name);
    h->entries = t->entries;
    h->tombstones = t->tombstones;
    h->range_tombstones = t->range_tombstones;
    struct firn_table_handle **p = bucket_of(l->handle, l->handle_buckets, loc->table_id);
    h->hnext = *p;
    *p = h;
    l->nhandles++;
    *out = h;
    return FIRN_OK;
}

enum firn_status firn_handle_get(struct firn_lsm *l, uint32_t db, const Firn__Table *t,
                                 struct firn_table_handle **out, struct firn_err *err)
{
    struct firn_table_loc loc = firn_table_loc_of(t);
    struct firn_table_name n = firn_table_name_of(t);
    char name[FIRN_NAME_MAX];
    firn_name_table(name, db, &n);
    enum firn_status st = check_loc(&loc, name, err);
    if (st != FIRN_OK)
        return st;
    struct firn_table_handle *h =
        l->handle_buckets ? *bucket_of(l->handle, l->handle_buckets, loc.table_id) : NULL;
    while (h && h->loc.table_id != loc.table_id)
        h = h->hnext;
    if (!h)
        return handle_new(l, &loc, name, t, out, err);
    if (!loc_equal(&h->loc, &loc) || strcmp(h->name, name) != 0)
        return firn_fail(err, FIRN_CORRUPT,
                         "the manifest's references to table %s and to %s have one table id but "
                         "differ",
                         h->name, name);
    h->refs++;
    *out = h;
    return FIRN_OK;
}

void firn_handle_ref(struct firn_table_handle *h)
{
    h->refs++;
}

void firn_handle_unref(struct firn_table_handle *h)
{
    if (!h || --h->refs > 0)
        return;
    struct firn_lsm *l = h->lsm;
    if (h->meta)
        firn_cache_drop(l->cache, h->meta);
    struct firn_table_handle **p = bucket_of(l->handle, l->handle_buckets, h->loc.table_id);
    while (*p != h)
        p = &(*p)->hnext;
    *p = h->hnext;
    l->nhandles--;
    firn_free(h);
}

enum firn_status firn_handle_meta(struct firn_table_handle *h, struct firn_read *r,
                                  const struct firn_table_meta **out)
{
    if (h->meta) {
        h->lsm->stats.meta_hits++;
        firn_cache_touch(h->meta);
        *out = h->meta->meta;
        return FIRN_OK;
    }
    h->lsm->stats.meta_misses++;
    enum firn_status st = firn_read__note(r, h, FIRN_CACHE_META, h->loc.meta_length, 0);
    return st == FIRN_OK ? FIRN_AGAIN : st;
}

enum firn_status firn_handle_block(struct firn_table_handle *h, const struct firn_table_meta *m,
                                   uint32_t i, struct firn_read *r, struct firn_cache_entry **out)
{
    const struct firn_table_block *b = &m->block[i];
    struct firn_cache_entry *e = firn_cache_find(h->lsm->cache, h->loc.table_id, b->offset);
    if (e) {
        if (e->read_id != r->id) {
            h->lsm->stats.hits++;
            r->blocks_hit++;
            firn_cache_touch(e);
        }
        *out = e;
        return FIRN_OK;
    }
    h->lsm->stats.misses++;
    enum firn_status st = firn_read__note(r, h, b->offset, b->stored_len, b->raw_len);
    return st == FIRN_OK ? FIRN_AGAIN : st;
}
