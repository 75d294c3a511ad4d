/* Blocks of a table: checksum, structure, order, bounds, and that each entry is found as a reader
 * would look for it: by the index, the filter and the search in the block. */
#include "ctl/ctl_verify_priv.h"

#include "base/hash.h"
#include "format/key.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void firn_ctl__verify_totals_init(struct verify_totals *t)
{
    *t = (struct verify_totals){.min_seqno = UINT64_MAX, .min_expiry_ms = UINT64_MAX};
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void firn_ctl__verify_totals_add(struct verify_totals *to, const struct verify_totals *t)
{
    to->entries += t->entries;
    to->tombstones += t->tombstones;
    to->expiring += t->expiring;
    to->key_bytes += t->key_bytes;
    to->value_bytes += t->value_bytes;
    to->raw_bytes += t->raw_bytes;
    to->min_seqno = min_u64(to->min_seqno, t->min_seqno);
    to->max_seqno = max_u64(to->max_seqno, t->max_seqno);
    to->min_expiry_ms = min_u64(to->min_expiry_ms, t->min_expiry_ms);
    to->max_expiry_ms = max_u64(to->max_expiry_ms, t->max_expiry_ms);
}

FIRN_PRINTF(3, 4)
static void complain(struct verify_blocks *b, uint32_t block, const char *fmt, ...)
{
    if (b->errors < VERIFY_BLOCK_ERRORS) {
        struct firn_err *e = &b->err[b->errors];
        va_list ap;
        int n = snprintf(e->text, sizeof e->text, "block %u at offset %" PRIu64 ": ", block,
                         b->meta->index->block[block].offset);
        va_start(ap, fmt);
        (void)vsnprintf(e->text + n, sizeof e->text - (size_t)n, fmt, ap);
        va_end(ap);
    }
    b->errors++;
}

/* Unpack and open block i into b->raw. */
static bool open_block(struct verify_blocks *b, uint32_t i, struct firn_block *out)
{
    const struct firn_table_part *index = b->meta->index;
    const struct firn_table_block *x = &index->block[i];
    struct firn_slice stored =
        firn_slice_of(b->stored.data + (x->offset - index->block[b->first].offset), x->stored_len);
    enum firn_status s = firn_buf_reserve(&b->raw, x->raw_len);
    if (s == FIRN_OK)
        s = firn_block_unpack(&b->codec, stored, index->table_id, x->offset, b->raw.data,
                              x->raw_len);
    if (s == FIRN_OK) {
        s = firn_block_open(firn_slice_of(b->raw.data, x->raw_len), out);
        if (s == FIRN_CORRUPT)
            complain(b, i, "its checksum is right, its structure is not");
    } else if (s == FIRN_CORRUPT) {
        complain(b, i, "%u bytes are damaged: the checksum does not match", x->stored_len);
    }
    if (s == FIRN_INVALID)
        complain(b, i, "needs a newer version of Firn");
    if (s == FIRN_LIMIT)
        b->no_memory = true;
    b->unread |= s != FIRN_OK;
    return s == FIRN_OK;
}

/* Does a reader find it, in block i? It goes by the manifest's separators to a partition. */
static const char *lookup_problem(const struct verify_blocks *b, uint32_t i,
                                  const struct firn_block *block, const struct firn_entry *e)
{
    struct firn_entry found;
    uint64_t hash = firn_xxh3(e->key.data, e->key.len);
    const struct verify_meta *m = b->meta;
    const struct firn_table_part *p = m->part[firn_seps_find(&m->parts.sep, e->key)];
    if (p->block[firn_seps_find(&p->sep, e->key)].offset != m->index->block[i].offset)
        return "the index leads to another block for a key that is there";
    if (!firn_filter_may_have(&p->filter, hash))
        return "the filter denies a key that is there";
    if (firn_block_get(block, e->key, hash, &found) != FIRN_OK || found.seqno != e->seqno)
        return "the search in the block does not find a key that is there";
    return NULL;
}

static const char *entry_problem(const struct verify_blocks *b, uint32_t i,
                                 const struct firn_block *block, const struct firn_entry *e,
                                 bool first)
{
    const struct firn_table_props *p = &b->meta->head->props;
    if (!firn_key_valid(e->key) && !firn_expiry_key_valid(e->key))
        return "a key is not well-formed";
    if (firn_key_is_expiry(e->key) && firn_expiry_key_ms(e->key) != e->expiry_ms)
        return "an entry of the expiry index has another time than its key";
    if (!first && firn_slice_cmp(firn_buf_slice(&b->last), e->key) >= 0)
        return "keys are not in ascending order";
    if (e->seqno < p->min_seqno || e->seqno > p->max_seqno)
        return "a seqno lies outside of the table's range";
    return lookup_problem(b, i, block, e);
}

static void count_entry(struct verify_totals *t, const struct firn_entry *e)
{
    t->entries++;
    t->tombstones += firn_kind_deletes(e->kind);
    t->key_bytes += e->key.len;
    t->value_bytes += e->value.len;
    t->min_seqno = min_u64(t->min_seqno, e->seqno);
    t->max_seqno = max_u64(t->max_seqno, e->seqno);
    if (!e->expiry_ms)
        return;
    t->expiring++;
    t->min_expiry_ms = min_u64(t->min_expiry_ms, e->expiry_ms);
    t->max_expiry_ms = max_u64(t->max_expiry_ms, e->expiry_ms);
}

/* The first or last key of a block, against the index, the manifest's bounds and the properties. */
static void check_edge(struct verify_blocks *b, uint32_t i, struct firn_slice key, bool last)
{
    const struct firn_table_props *p = &b->meta->head->props;
    const struct firn_seps *sep = &b->meta->index->sep;
    bool end_of_table = last ? i + 1 == sep->count : i == 0;
    if (last && i + 1 < sep->count && firn_slice_cmp(key, firn_seps_get(sep, i + 1)) >= 0)
        complain(b, i, "its last key belongs into the next block");
    if (!last && firn_slice_cmp(key, firn_seps_get(sep, i)) < 0)
        complain(b, i, "its first key belongs into the block before");
    if (last ? firn_slice_cmp(key, firn_pb_slice(&b->ref->upper)) >= 0
             : firn_slice_cmp(key, firn_pb_slice(&b->ref->lower)) < 0)
        complain(b, i, "its %s key lies outside of the manifest's bounds of the table",
                 last ? "last" : "first");
    if (end_of_table && !firn_slice_eq(key, last ? p->max_key : p->min_key))
        complain(b, i, "the table's %s key is not the one in its properties",
                 last ? "last" : "first");
}

static void check_block(struct verify_blocks *b, uint32_t i)
{
    struct firn_block block;
    uint32_t n = 0;
    if (!open_block(b, i, &block))
        return;
    if (firn_block_iter_init(&b->it, &block) != FIRN_OK) {
        b->no_memory = b->unread = true;
        return;
    }
    for (firn_block_iter_first(&b->it); b->it.valid; firn_block_iter_next(&b->it), n++) {
        const struct firn_entry *e = &b->it.e;
        const char *problem = entry_problem(b, i, &block, e, n == 0);
        if (problem)
            complain(b, i, "entry %u: %s", n, problem);
        if (n == 0)
            check_edge(b, i, e->key, false);
        count_entry(&b->totals, e);
        b->last.len = 0;
        if (firn_buf_append(&b->last, e->key.data, e->key.len) != FIRN_OK) {
            b->no_memory = b->unread = true;
            return;
        }
    }
    if (n)
        check_edge(b, i, firn_buf_slice(&b->last), true);
    const struct firn_table_block *x = &b->meta->index->block[i];
    if (n != x->count)
        complain(b, i, "%u entries, the index says %u", n, x->count);
    b->totals.raw_bytes += x->raw_len;
}

void firn_ctl__verify_blocks_run(struct verify_blocks *b)
{
    firn_ctl__verify_totals_init(&b->totals);
    b->errors = 0;
    b->unread = b->no_memory = false;
    b->raw.max = FIRN_BLOCK_RAW_MAX;
    b->last.max = FIRN_KEY_MAX + 1;
    for (uint32_t i = b->first; i < b->end && !b->no_memory; i++)
        check_block(b, i);
}

void firn_ctl__verify_blocks_clear(struct verify_blocks *b)
{
    firn_buf_clear(&b->raw);
    firn_buf_clear(&b->last);
    firn_block_iter_clear(&b->it);
    firn_codec_ctx_clear(&b->codec);
}
