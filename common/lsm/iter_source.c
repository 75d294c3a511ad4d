/* The sources of an iterator: see iter_priv.h. */
#include "base/assert.h"
#include "base/mem.h"
#include "lsm/iter_priv.h"

static struct firn_slice later(struct firn_slice a, struct firn_slice b)
{
    return firn_slice_cmp(a, b) > 0 ? a : b;
}

static struct firn_slice earlier_end(struct firn_slice a, struct firn_slice b)
{
    if (a.len == 0 || b.len == 0)
        return a.len ? a : b;
    return firn_slice_cmp(a, b) < 0 ? a : b;
}

/* --- where a source stands */

static enum firn_status done(struct firn_source *s)
{
    s->state = FIRN_SOURCE_DONE;
    return FIRN_OK;
}

static enum firn_status arrive(struct firn_source *s, const struct firn_entry *e)
{
    s->e = *e;
    s->state = FIRN_SOURCE_AT;
    return FIRN_OK;
}

static bool in_bounds(const struct firn_source *s, struct firn_slice key)
{
    const struct firn_iter *it = s->it;
    return it->reverse ? firn_slice_cmp(key, it->start) >= 0 : firn_before_end(key, it->end);
}

enum firn_status firn_source__seek(struct firn_source *s, struct firn_slice key)
{
    if (s->seek.cap < key.len || !s->seek.data) {
        struct firn_buf b;
        firn_buf_init(&b, SIZE_MAX);
        if (firn_buf_reserve(&b, key.len ? key.len : 1) != FIRN_OK)
            return FIRN_LIMIT;
        firn_buf_clear(&s->seek);
        s->seek = b;
    }
    if (key.len)
        memmove(s->seek.data, key.data, key.len);
    s->seek.len = key.len;
    s->todo = FIRN_SOURCE_SEEK;
    s->state = FIRN_SOURCE_PENDING;
    s->ahead = 0;
    return FIRN_OK;
}

/* --- memtables */

static enum firn_status resolve_memtable(struct firn_source *s)
{
    struct firn_entry e;
    if (s->todo == FIRN_SOURCE_SEEK)
        firn_memtable_iter_seek(&s->mi, firn_buf_slice(&s->seek));
    else
        firn_memtable_iter_skip(&s->mi);
    if (!firn_memtable_iter_get(&s->mi, &e) || !in_bounds(s, e.key))
        return done(s);
    return arrive(s, &e);
}

/* --- tables */

static void drop(struct firn_source *s, struct firn_cache_entry **pinned)
{
    if (*pinned)
        firn_cache_unref(s->it->view->lsm->cache, *pinned);
    *pinned = NULL;
}

static void leave_table(struct firn_source *s)
{
    if (s->at < s->ntables)
        firn_read__unpin(s->it->r, s->table[s->at].handle->loc.table_id, 0, FIRN_CACHE_META, true);
    drop(s, &s->data);
    drop(s, &s->meta);
}

static void next_table(struct firn_source *s)
{
    leave_table(s);
    s->at += s->it->reverse ? SIZE_MAX : 1;
    s->todo = FIRN_SOURCE_SEEK;
}

/* The bounds of the current table that count. */
static struct firn_slice low_of(const struct firn_source *s)
{
    return later(s->it->start, s->table[s->at].lower);
}

static struct firn_slice high_of(const struct firn_source *s)
{
    return earlier_end(s->it->end, s->table[s->at].upper);
}

/* Forward: move on to behind what newer sources are known to have deleted. False: nothing is left.
 */
static bool skip_deleted(struct firn_source *s, struct firn_slice *key)
{
    struct firn_iter *it = s->it;
    struct firn_range_tomb t;
    for (size_t i = 0; i < it->ntombs;) {
        if (it->tomb[i].rank < s->rank &&
            firn_iter__tomb(it, &it->tomb[i], *key, false, &t) == FIRN_OK) {
            if (t.end.len == 0)
                return false;
            *key = t.end;
            i = 0;
            continue;
        }
        i++;
    }
    return true;
}

/* Sharpen the seek to where the current table has something. OK; ABSENT: nowhere; LIMIT. */
static enum firn_status aim(struct firn_source *s)
{
    bool reverse = s->it->reverse;
    struct firn_slice key = firn_buf_slice(&s->seek), low = low_of(s), high = high_of(s);
    struct firn_slice to = reverse ? earlier_end(key, high) : later(key, low);
    if (reverse ? !firn_before_end(low, to) : !skip_deleted(s, &to) || !firn_before_end(to, high))
        return FIRN_ABSENT;
    uint32_t ahead = s->ahead;
    enum firn_status st = firn_source__seek(s, to);
    s->ahead = ahead;
    return st;
}

/* Does block i, which the scan comes to, hold keys within the bounds as far as its separators say?
 */
static bool reaches(const struct firn_source *s, const struct firn_table_meta *m, uint32_t i)
{
    if (s->it->reverse)
        return i + 1 == m->blocks || firn_slice_cmp(low_of(s), firn_table_sep(m, i + 1)) < 0;
    return firn_before_end(firn_table_sep(m, i), high_of(s));
}

/* Note the metadata of the table behind the current one. */
static void read_ahead_table(struct firn_source *s)
{
    struct firn_iter *it = s->it;
    size_t next = s->at + (it->reverse ? SIZE_MAX : 1);
    if (next >= s->ntables || s->table[next].handle->meta ||
        !firn_before_end(s->table[next].lower, it->end) ||
        !firn_before_end(it->start, s->table[next].upper))
        return;
    struct firn_table_handle *h = s->table[next].handle;
    if (firn_read__note(it->r, h, FIRN_CACHE_META, h->loc.meta_length, 0) != FIRN_OK)
        s->ahead = 0; /* memory is short */
}

/* Note the blocks behind s->block, which is missing: one fetch brings many. What cannot be noted is
 * not read ahead. */
static void read_ahead(struct firn_source *s, const struct firn_table_meta *m)
{
    struct firn_iter *it = s->it;
    const struct firn_view_table *t = &s->table[s->at];
    uint64_t bytes = 0;
    uint32_t i = s->block;
    for (uint32_t n = 0; n < s->ahead; n++) {
        i += it->reverse ? UINT32_MAX : 1;
        if (i >= m->blocks) { /* as is the one before block 0 */
            read_ahead_table(s);
            return;
        }
        const struct firn_table_block *b = &m->block[i];
        bytes += b->raw_len;
        if (bytes > it->ahead_bytes || !reaches(s, m, i))
            return;
        if (!firn_cache_find(it->view->lsm->cache, m->table_id, b->offset) &&
            firn_read__note(it->r, t->handle, b->offset, b->stored_len, b->raw_len) != FIRN_OK)
            return;
    }
}

/* Make block s->block the current one. */
static enum firn_status load_block(struct firn_source *s, const struct firn_table_meta *m)
{
    struct firn_iter *it = s->it;
    struct firn_cache_entry *e;
    enum firn_status st = firn_handle_block(s->table[s->at].handle, m, s->block, it->r, &e);
    if (st == FIRN_AGAIN)
        read_ahead(s, m);
    if (st != FIRN_OK)
        return st;
    firn_cache_ref(it->view->lsm->cache, e);
    drop(s, &s->data);
    s->data = e;
    uint32_t i = s->block;
    if (it->reverse)
        s->check = firn_slice_cmp(firn_table_sep(m, i), low_of(s)) < 0;
    else
        s->check = i + 1 == m->blocks ? high_of(s).len != 0
                                      : !firn_before_end(firn_table_sep(m, i + 1), high_of(s));
    /* The read need not keep what we have passed, nor this one, which is ours now. */
    if (it->reverse)
        firn_read__unpin(it->r, e->table_id, e->offset, FIRN_CACHE_META, false);
    else
        firn_read__unpin(it->r, e->table_id, 0, e->offset + 1, false);
    return firn_block_iter_init(&s->bi, &e->block);
}

/* To the entry that `todo` names, within the current block. */
static void place(struct firn_source *s)
{
    bool reverse = s->it->reverse;
    struct firn_slice key = firn_buf_slice(&s->seek);
    if (s->todo == FIRN_SOURCE_STEP && reverse)
        firn_block_iter_prev(&s->bi);
    else if (s->todo == FIRN_SOURCE_STEP)
        firn_block_iter_next(&s->bi);
    else if (reverse && s->todo == FIRN_SOURCE_SEEK && key.len)
        firn_block_iter_seek_before(&s->bi, key);
    else if (reverse)
        firn_block_iter_last(&s->bi);
    else if (s->todo == FIRN_SOURCE_SEEK)
        firn_block_iter_seek(&s->bi, key);
    else
        firn_block_iter_first(&s->bi);
    s->todo = FIRN_SOURCE_STEP;
}

static bool counts(const struct firn_source *s, const struct firn_entry *e)
{
    return e->seqno <= s->it->max_seqno && e->kind < FIRN_RECORD_SKIPPABLE;
}

/* The block is used up: on to its neighbour. Long scans read further ahead. */
static void next_block(struct firn_source *s, const struct firn_table_meta *m)
{
    s->block += s->it->reverse ? UINT32_MAX : 1;
    s->todo = FIRN_SOURCE_EDGE;
    s->ahead = s->ahead < UINT32_MAX / 2 ? s->ahead * 2 + 1 : s->ahead;
    drop(s, &s->data);
    if (s->block >= m->blocks || !reaches(s, m, s->block))
        next_table(s);
}

/* Walk the current block from where todo says. True: at an entry that counts, or at the end of the
 * bounds (then the table was left). False: the block is used up. */
static bool walk_block(struct firn_source *s)
{
    for (place(s); s->bi.valid; place(s)) {
        const struct firn_entry *e = &s->bi.e;
        bool inside = !s->check || (s->it->reverse ? firn_slice_cmp(e->key, low_of(s)) >= 0
                                                   : firn_before_end(e->key, high_of(s)));
        if (!inside) {
            next_table(s);
            return true;
        }
        if (counts(s, e)) {
            s->e = *e;
            s->state = FIRN_SOURCE_AT;
            return true;
        }
    }
    return false;
}

/* The current table's metadata, pinned. */
static enum firn_status load_meta(struct firn_source *s, const struct firn_table_meta **m)
{
    if (!s->meta) {
        struct firn_table_handle *h = s->table[s->at].handle;
        enum firn_status st = firn_handle_meta(h, s->it->r, m);
        if (st != FIRN_OK)
            return st;
        firn_cache_ref(s->it->view->lsm->cache, h->meta);
        s->meta = h->meta;
    }
    *m = s->meta->meta;
    return FIRN_OK;
}

/* Come to the block that todo wants, table by table. OK: in it; ABSENT: the table has nothing. */
static enum firn_status find_block(struct firn_source *s, const struct firn_table_meta **m)
{
    enum firn_status st = FIRN_OK;
    if (s->todo == FIRN_SOURCE_SEEK)
        st = aim(s);
    if (st == FIRN_OK)
        st = load_meta(s, m);
    if (st != FIRN_OK || s->todo == FIRN_SOURCE_STEP)
        return st;
    if ((*m)->blocks == 0)
        return FIRN_ABSENT;
    if (s->todo == FIRN_SOURCE_SEEK)
        s->block = s->it->reverse && s->seek.len == 0
                       ? (*m)->blocks - 1
                       : firn_table_find(*m, firn_buf_slice(&s->seek));
    return load_block(s, *m);
}

static enum firn_status resolve_tables(struct firn_source *s)
{
    while (s->at < s->ntables) {
        const struct firn_table_meta *m;
        enum firn_status st = find_block(s, &m);
        if (st == FIRN_ABSENT) {
            next_table(s);
            continue;
        }
        if (st != FIRN_OK)
            return st;
        if (!walk_block(s))
            next_block(s, m);
        else if (s->state == FIRN_SOURCE_AT)
            return FIRN_OK;
    }
    return done(s);
}

enum firn_status firn_source__resolve(struct firn_source *s)
{
    FIRN_ASSERT(s->state == FIRN_SOURCE_PENDING);
    return s->memtable ? resolve_memtable(s) : resolve_tables(s);
}

/* The first table that a scan meets. */
static size_t first_table(const struct firn_source *s)
{
    const struct firn_iter *it = s->it;
    struct firn_view_run r = {(struct firn_view_table *)(uintptr_t)s->table, s->ntables};
    if (!it->reverse)
        return firn_view__run_find(&r, it->start);
    if (it->end.len == 0)
        return s->ntables - 1;
    size_t i = firn_view__run_find(&r, it->end);
    return i < s->ntables ? i : s->ntables - 1;
}

enum firn_status firn_source__open(struct firn_source *s, const struct firn_view_table *table,
                                   size_t n)
{
    s->table = table;
    s->ntables = n;
    s->at = s->memtable ? 0 : first_table(s);
    enum firn_status st = firn_source__seek(s, s->it->reverse ? s->it->end : s->it->start);
    s->ahead = s->it->ahead;
    return st;
}

void firn_source__close(struct firn_source *s)
{
    leave_table(s);
    firn_block_iter_clear(&s->bi);
    firn_buf_clear(&s->seek);
    s->state = FIRN_SOURCE_DONE;
}
