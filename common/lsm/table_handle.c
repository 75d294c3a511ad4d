#include "base/assert.h"
#include "base/mem.h"
#include "lsm/lsm_priv.h"

#include <stdio.h>

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

/* Does t refer to the same object in the same way? */
static bool same(const struct firn_table_handle *h, const char *name, const Firn__Table *t)
{
    return h->loc.size == t->size && h->loc.head_offset == t->head_offset &&
           h->loc.head_length == t->head_length && h->loc.head_checksum == t->head_checksum &&
           h->entries == t->entries && h->range_tombstones == t->range_tombstones &&
           h->max_seqno == t->max_seqno && strcmp(h->name, name) == 0 &&
           firn_table_parts_match(&h->parts, t);
}

static enum firn_status handle_new(struct firn_lsm *l, const char *name, const Firn__Table *t,
                                   struct firn_table_handle **out, struct firn_err *err)
{
    struct firn_table_parts parts;
    struct firn_err why = {""};
    enum firn_status s = firn_table_parts_of(t, &parts, &why);
    if (s != FIRN_OK)
        return firn_fail(err, s, "the manifest's table %s: %.300s", name, why.text);
    if (l->nhandles >= l->handle_buckets)
        grow(l);
    size_t size =
        sizeof(struct firn_table_handle) + parts.sep.count * sizeof(struct firn_cache_entry *);
    struct firn_table_handle *h = l->handle_buckets ? firn_calloc(1, size) : NULL;
    if (!h) {
        firn_table_parts_clear(&parts);
        return firn_fail(err, FIRN_LIMIT, "no memory for table %s", name);
    }
    h->lsm = l;
    h->refs = 1;
    h->loc = firn_table_loc_of(t);
    h->parts = parts;
    (void)snprintf(h->name, sizeof h->name, "%s", name);
    h->entries = t->entries;
    h->tombstones = t->tombstones;
    h->range_tombstones = t->range_tombstones;
    h->max_seqno = t->max_seqno;
    struct firn_table_handle **p = bucket_of(l->handle, l->handle_buckets, t->table_id);
    h->hnext = *p;
    *p = h;
    l->nhandles++;
    *out = h;
    return FIRN_OK;
}

enum firn_status firn_handle_get(struct firn_lsm *l, uint32_t db, const Firn__Table *t,
                                 struct firn_table_handle **out, struct firn_err *err)
{
    struct firn_table_name n = firn_table_name_of(t);
    char name[FIRN_NAME_MAX];
    firn_name_table(name, db, &n);
    struct firn_table_handle *h =
        l->handle_buckets ? *bucket_of(l->handle, l->handle_buckets, t->table_id) : NULL;
    while (h && h->loc.table_id != t->table_id)
        h = h->hnext;
    if (!h)
        return handle_new(l, name, t, out, err);
    if (!same(h, name, t))
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
    if (h->head)
        firn_cache_drop(l->cache, h->head);
    for (uint32_t i = 0; i < h->parts.sep.count; i++)
        if (h->part[i])
            firn_cache_drop(l->cache, h->part[i]);
    struct firn_table_handle **p = bucket_of(l->handle, l->handle_buckets, h->loc.table_id);
    while (*p != h)
        p = &(*p)->hnext;
    *p = h->hnext;
    l->nhandles--;
    firn_table_parts_clear(&h->parts);
    firn_free(h);
}

/* Note a piece that is missing. */
static enum firn_status miss(struct firn_table_handle *h, struct firn_read *r,
                             const struct firn_piece *piece)
{
    enum firn_status st = firn_read__note(r, h, piece);
    return st == FIRN_OK ? FIRN_AGAIN : st;
}

enum firn_status firn_handle_head(struct firn_table_handle *h, struct firn_read *r,
                                  const struct firn_table_head **out)
{
    if (h->head) {
        h->lsm->stats.meta_hits++;
        firn_cache_touch(h->head);
        *out = h->head->head;
        return FIRN_OK;
    }
    h->lsm->stats.meta_misses++;
    return miss(h, r,
                &(struct firn_piece){.offset = h->loc.head_offset,
                                     .stored_len = h->loc.head_length,
                                     .kind = FIRN_CACHE_HEAD});
}

enum firn_status firn_handle_want_part(struct firn_table_handle *h, uint32_t i, struct firn_read *r)
{
    if (h->part[i])
        return FIRN_OK;
    return miss(h, r,
                &(struct firn_piece){.offset = h->parts.offset[i],
                                     .stored_len = firn_table_parts_bytes(&h->parts, i, i + 1),
                                     .part = i,
                                     .kind = FIRN_CACHE_PART});
}

enum firn_status firn_handle_part(struct firn_table_handle *h, uint32_t i, struct firn_read *r,
                                  const struct firn_table_part **out)
{
    struct firn_cache_entry *e = h->part[i];
    if (!e) {
        h->lsm->stats.meta_misses++;
        return firn_handle_want_part(h, i, r);
    }
    h->lsm->stats.meta_hits++;
    firn_cache_touch(e);
    *out = e->part;
    return FIRN_OK;
}

static enum firn_status want_block(struct firn_table_handle *h, const struct firn_table_block *b,
                                   struct firn_read *r)
{
    return miss(h, r,
                &(struct firn_piece){
                    .offset = b->offset, .stored_len = b->stored_len, .raw_len = b->raw_len});
}

enum firn_status firn_handle_block(struct firn_table_handle *h, const struct firn_table_part *p,
                                   uint32_t i, struct firn_read *r, struct firn_cache_entry **out)
{
    const struct firn_table_block *b = &p->block[i];
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
    return want_block(h, b, r);
}

enum firn_status firn_handle_want_block(struct firn_table_handle *h,
                                        const struct firn_table_block *b, struct firn_read *r)
{
    bool there = firn_cache_find(h->lsm->cache, h->loc.table_id, b->offset) != NULL;
    return there ? FIRN_OK : want_block(h, b, r);
}
