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

static struct firn_table_handle *handle_of(const struct firn_source *s)
{
    return s->table[s->at].handle;
}

static void leave_part(struct firn_source *s)
{
    const struct firn_table_handle *h = handle_of(s);
    firn_read__unpin(s->it->r, h->loc.table_id, h->parts.offset[s->part_at],
                     h->parts.offset[s->part_at + 1]);
    drop(s, &s->part);
}

static void leave_table(struct firn_source *s)
{
    if (s->at < s->ntables)
        firn_read__unpin(s->it->r, handle_of(s)->loc.table_id, 0, UINT64_MAX);
    drop(s, &s->data);
    drop(s, &s->part);
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

/* The separator of block i of the current partition; i = count: of the next one's first block,
 * empty behind the last. */
static struct firn_slice sep_of(const struct firn_source *s, uint32_t i)
{
    const struct firn_seps *blocks = &s->part->part->sep, *parts = &handle_of(s)->parts.sep;
    uint32_t part = i < blocks->count ? s->part_at : s->part_at + 1;
    if (i > 0 && i < blocks->count)
        return firn_seps_get(blocks, i);
    return part < parts->count ? firn_seps_get(parts, part) : firn_slice_of(NULL, 0);
}

/* Does what lies between two separators (high empty = unbounded), and the scan comes to, hold keys
 * within the bounds? */
static bool reaches(const struct firn_source *s, struct firn_slice low, struct firn_slice high)
{
    if (s->it->reverse)
        return firn_before_end(low_of(s), high);
    return firn_before_end(low, high_of(s));
}

static bool reaches_block(const struct firn_source *s, uint32_t i)
{
    return reaches(s, sep_of(s, i), sep_of(s, i + 1));
}

static bool reaches_part(const struct firn_source *s, uint32_t i)
{
    const struct firn_seps *parts = &handle_of(s)->parts.sep;
    return reaches(s, firn_seps_get(parts, i),
                   i + 1 < parts->count ? firn_seps_get(parts, i + 1) : firn_slice_of(NULL, 0));
}

/* The partition of table t that a scan meets first, when it comes to t at key (its own bound, or
 * the table's; reverse: an end, empty = unbounded). */
static uint32_t first_part(const struct firn_source *s, const struct firn_view_table *t,
                           struct firn_slice key)
{
    const struct firn_table_parts *p = &t->handle->parts;
    return s->it->reverse && key.len == 0 ? p->sep.count - 1 : firn_seps_find(&p->sep, key);
}

/* Note the partition that the scan comes to behind the current one, of this table or the next. What
 * cannot be noted is not read ahead. */
static void read_ahead_part(struct firn_source *s)
{
    struct firn_iter *it = s->it;
    const struct firn_view_table *t = &s->table[s->at];
    uint32_t part = s->part_at + (it->reverse ? UINT32_MAX : 1);
    if (part < t->handle->parts.sep.count) { /* not so before partition 0 */
        if (!reaches_part(s, part))
            return;
    } else {
        size_t next = s->at + (it->reverse ? SIZE_MAX : 1);
        if (next >= s->ntables)
            return;
        t = &s->table[next];
        if (t->handle->parts.sep.count == 0 || !firn_before_end(t->lower, it->end) ||
            !firn_before_end(it->start, t->upper))
            return;
        part = first_part(
            s, t, it->reverse ? earlier_end(it->end, t->upper) : later(it->start, t->lower));
    }
    if (firn_handle_want_part(t->handle, part, it->r) == FIRN_LIMIT)
        s->ahead = 0; /* memory is short */
}

/* Note the blocks behind s->block, which is missing: one fetch brings many. */
static void read_ahead(struct firn_source *s)
{
    struct firn_iter *it = s->it;
    struct firn_table_handle *h = handle_of(s);
    const struct firn_table_part *p = s->part->part;
    uint64_t bytes = 0;
    uint32_t i = s->block;
    for (uint32_t n = 0; n < s->ahead; n++) {
        i += it->reverse ? UINT32_MAX : 1;
        if (i >= p->sep.count) { /* as is the one before block 0 */
            read_ahead_part(s);
            return;
        }
        const struct firn_table_block *b = &p->block[i];
        bytes += b->raw_len;
        if (bytes > it->ahead_bytes || !reaches_block(s, i) ||
            firn_handle_want_block(h, b, it->r) == FIRN_LIMIT)
            return;
    }
}

/* Make block s->block the current one. */
static enum firn_status load_block(struct firn_source *s)
{
    struct firn_iter *it = s->it;
    struct firn_table_handle *h = handle_of(s);
    struct firn_cache_entry *e;
    enum firn_status st = firn_handle_block(h, s->part->part, s->block, it->r, &e);
    if (st == FIRN_AGAIN)
        read_ahead(s);
    if (st != FIRN_OK)
        return st;
    firn_cache_ref(it->view->lsm->cache, e);
    drop(s, &s->data);
    s->data = e;
    if (it->reverse)
        s->check = firn_slice_cmp(sep_of(s, s->block), low_of(s)) < 0;
    else
        s->check = high_of(s).len && firn_before_end(high_of(s), sep_of(s, s->block + 1));
    /* The read need not keep what we have passed, nor this one, which is ours now. */
    if (it->reverse)
        firn_read__unpin(it->r, e->table_id, e->offset, h->parts.offset[0]);
    else
        firn_read__unpin(it->r, e->table_id, 0, e->offset + 1);
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
static void next_block(struct firn_source *s)
{
    bool reverse = s->it->reverse;
    s->block += reverse ? UINT32_MAX : 1;
    s->todo = FIRN_SOURCE_EDGE;
    s->ahead = s->ahead < UINT32_MAX / 2 ? s->ahead * 2 + 1 : s->ahead;
    drop(s, &s->data);
    if (s->block < s->part->part->sep.count) { /* not so before block 0 */
        if (!reaches_block(s, s->block))
            next_table(s);
        return;
    }
    leave_part(s);
    s->part_at += reverse ? UINT32_MAX : 1;
    s->block = reverse ? UINT32_MAX : 0;
    if (s->part_at >= handle_of(s)->parts.sep.count || !reaches_part(s, s->part_at))
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

/* The current partition, pinned. */
static enum firn_status load_part(struct firn_source *s)
{
    struct firn_table_handle *h = handle_of(s);
    const struct firn_table_part *p;
    if (s->part)
        return FIRN_OK;
    enum firn_status st = firn_handle_part(h, s->part_at, s->it->r, &p);
    if (st != FIRN_OK)
        return st;
    s->part = h->part[s->part_at];
    firn_cache_ref(s->it->view->lsm->cache, s->part);
    return FIRN_OK;
}

/* The table's head, where it has range tombstones: whoever comes to the table will ask for them. */
static enum firn_status load_head(struct firn_source *s)
{
    struct firn_table_handle *h = handle_of(s);
    const struct firn_table_head *head;
    return h->range_tombstones ? firn_handle_head(h, s->it->r, &head) : FIRN_OK;
}

/* Come to the partition that a seek leads to. OK: it is there; ABSENT: the table has nothing;
 * AGAIN: noted, and the head with it; LIMIT. */
static enum firn_status seek_part(struct firn_source *s)
{
    enum firn_status st = aim(s);
    if (st != FIRN_OK)
        return st;
    st = load_head(s);
    if (handle_of(s)->parts.sep.count == 0)
        return st == FIRN_OK ? FIRN_ABSENT : st;
    if (st != FIRN_OK && st != FIRN_AGAIN)
        return st;
    uint32_t part = first_part(s, &s->table[s->at], firn_buf_slice(&s->seek));
    if (s->part && part != s->part_at)
        leave_part(s);
    s->part_at = part;
    enum firn_status own = load_part(s);
    return own == FIRN_OK ? st : own;
}

/* Come to the block that todo wants, table by table. OK: in it; ABSENT: the table has nothing. */
static enum firn_status find_block(struct firn_source *s)
{
    if (s->todo == FIRN_SOURCE_STEP)
        return FIRN_OK;
    enum firn_status st = s->todo == FIRN_SOURCE_SEEK ? seek_part(s) : load_part(s);
    if (st != FIRN_OK)
        return st;
    const struct firn_seps *sep = &s->part->part->sep;
    bool from_end = s->it->reverse && s->seek.len == 0;
    if (s->todo == FIRN_SOURCE_SEEK)
        s->block = from_end ? sep->count - 1 : firn_seps_find(sep, firn_buf_slice(&s->seek));
    else if (s->block == UINT32_MAX)
        s->block = sep->count - 1;
    return load_block(s);
}

static enum firn_status resolve_tables(struct firn_source *s)
{
    while (s->at < s->ntables) {
        enum firn_status st = find_block(s);
        if (st == FIRN_ABSENT) {
            next_table(s);
            continue;
        }
        if (st != FIRN_OK)
            return st;
        if (!walk_block(s))
            next_block(s);
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
