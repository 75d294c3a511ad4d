#include "lsm/table_stream.h"

#include "base/assert.h"
#include "base/mem.h"

/* The blocks of a table that hold keys of [lower, upper): from first_block to before end_block. */
static uint32_t first_block(const struct firn_stream_table *t)
{
    return t->index ? firn_seps_find(&t->index->sep, t->lower) : 0;
}

static uint32_t end_block(const struct firn_stream_table *t)
{
    if (!t->index || t->upper.len == 0)
        return t->index ? t->index->sep.count : 0;
    uint32_t i = firn_seps_find(&t->index->sep, t->upper);
    return firn_slice_cmp(firn_seps_get(&t->index->sep, i), t->upper) < 0 ? i + 1 : i;
}

/* From table `from` on, find one with blocks to read; its first one is *block. */
static size_t enter_table(const struct firn_table_stream *s, size_t from, uint32_t *block)
{
    for (; from < s->tables; from++) {
        *block = first_block(&s->table[from]);
        if (*block < end_block(&s->table[from]))
            return from;
    }
    *block = 0;
    return from;
}

void firn_table_stream_init(struct firn_table_stream *s, const struct firn_stream_table *table,
                            size_t tables, size_t buffer_max)
{
    *s = (struct firn_table_stream){.table = table, .tables = tables, .seek = true};
    firn_buf_init(&s->bytes, buffer_max);
    s->at = enter_table(s, 0, &s->block);
    s->fetch_table = s->at;
    s->fetch_block = s->block;
}

void firn_table_stream_clear(struct firn_table_stream *s)
{
    firn_buf_clear(&s->bytes);
    firn_free(s->raw);
    firn_block_iter_clear(&s->it);
    firn_codec_ctx_clear(&s->codec);
    *s = (struct firn_table_stream){0};
}

size_t firn_table_stream_buffered(const struct firn_table_stream *s)
{
    return s->bytes.len - s->used;
}

size_t firn_table_stream_memory(const struct firn_table_stream *s)
{
    return s->bytes.cap + s->raw_cap;
}

bool firn_table_stream_want(const struct firn_table_stream *s, size_t max_bytes, size_t *table,
                            uint64_t *offset, uint64_t *length)
{
    if (s->fetch_table == s->tables)
        return false;
    const struct firn_table_part *m = s->table[s->fetch_table].index;
    uint32_t i = s->fetch_block, end = end_block(&s->table[s->fetch_table]);
    uint64_t sum = m->block[i].stored_len;
    while (++i < end && sum + m->block[i].stored_len <= max_bytes)
        sum += m->block[i].stored_len;
    *table = s->fetch_table;
    *offset = m->block[s->fetch_block].offset;
    *length = sum;
    return true;
}

enum firn_status firn_table_stream_feed(struct firn_table_stream *s, struct firn_slice bytes)
{
    if (s->fetch_table == s->tables)
        return FIRN_CORRUPT;
    const struct firn_table_part *m = s->table[s->fetch_table].index;
    uint32_t i = s->fetch_block, end = end_block(&s->table[s->fetch_table]);
    uint64_t sum = 0;
    while (i < end && sum < bytes.len)
        sum += m->block[i++].stored_len;
    if (sum != bytes.len || sum == 0)
        return FIRN_CORRUPT;
    firn_buf_consume(&s->bytes, s->used);
    s->used = 0;
    enum firn_status status = firn_buf_append(&s->bytes, bytes.data, bytes.len);
    if (status != FIRN_OK)
        return status;
    s->fetch_block = i;
    if (i == end)
        s->fetch_table = enter_table(s, s->fetch_table + 1, &s->fetch_block);
    return FIRN_OK;
}

static enum firn_status raw_room(struct firn_table_stream *s, size_t len)
{
    if (len <= s->raw_cap)
        return FIRN_OK;
    uint8_t *raw = firn_malloc(len);
    if (!raw)
        return FIRN_LIMIT;
    firn_free(s->raw);
    s->raw = raw;
    s->raw_cap = len;
    return FIRN_OK;
}

/* Unpack the next block and stand on its first entry that counts (none: it.valid is false). */
static enum firn_status open_block(struct firn_table_stream *s)
{
    const struct firn_stream_table *t = &s->table[s->at];
    const struct firn_table_block *x = &t->index->block[s->block];
    if (firn_table_stream_buffered(s) < x->stored_len)
        return FIRN_AGAIN;
    struct firn_slice stored = firn_slice_of(s->bytes.data + s->used, x->stored_len);
    enum firn_status status = raw_room(s, x->raw_len);
    if (status == FIRN_OK)
        status =
            firn_block_unpack(&s->codec, stored, t->index->table_id, x->offset, s->raw, x->raw_len);
    if (status == FIRN_OK)
        status = firn_block_open(firn_slice_of(s->raw, x->raw_len), &s->open);
    if (status == FIRN_OK)
        status = firn_block_iter_init(&s->it, &s->open);
    if (status != FIRN_OK)
        return status;
    if (s->seek)
        firn_block_iter_seek(&s->it, t->lower);
    else
        firn_block_iter_first(&s->it);
    s->seek = false;
    s->used += x->stored_len;
    s->block++;
    return FIRN_OK;
}

enum firn_status firn_table_stream_next(struct firn_table_stream *s)
{
    if (s->it.valid)
        firn_block_iter_next(&s->it);
    for (;;) {
        if (s->at == s->tables)
            return FIRN_ABSENT;
        const struct firn_stream_table *t = &s->table[s->at];
        if (s->it.valid && firn_before_end(s->it.e.key, t->upper))
            return FIRN_OK;
        s->it.valid = false;
        if (s->block == end_block(t)) {
            s->at = enter_table(s, s->at + 1, &s->block);
            s->seek = true;
            continue;
        }
        enum firn_status status = open_block(s);
        s->damaged = status == FIRN_CORRUPT || status == FIRN_INVALID;
        if (status != FIRN_OK)
            return status;
    }
}
