#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "format/objheader.h"
#include "format/table_priv.h"
#include "table.pb-c.h"

uint64_t firn_table_id(const struct firn_id *db, const struct firn_table_name *name)
{
    uint8_t b[FIRN_ID_BYTES + 24];
    memcpy(b, db->byte, FIRN_ID_BYTES);
    firn_put_le64(b + FIRN_ID_BYTES, name->role);
    firn_put_le64(b + FIRN_ID_BYTES + 8, name->epoch);
    firn_put_le64(b + FIRN_ID_BYTES + 16, name->number);
    uint64_t id = firn_xxh3(b, sizeof b);
    return id ? id : 1;
}

enum firn_status firn_table_header_encode(uint64_t table_id, uint16_t format, struct firn_buf *out)
{
    uint8_t b[FIRN_TABLE_HEADER_BYTES];
    firn_objheader_put(b, FIRN_OBJ_TABLE, format);
    firn_put_le64(b + FIRN_OBJHEADER_BYTES, table_id);
    return firn_buf_append(out, b, sizeof b);
}

static enum firn_status put_index(const struct firn_table_part_def *d, struct firn_buf *out)
{
    uint32_t from = d->sep_at[1], sep_len = d->sep_at[d->blocks] - from;
    size_t len = FIRN_TABLE__INDEX_HEADER + (size_t)d->blocks * FIRN_TABLE__INDEX_ENTRY + sep_len;
    enum firn_status s = len > FIRN_TABLE_META_MAX ? FIRN_LIMIT : firn_buf_reserve(out, len);
    if (s != FIRN_OK)
        return s;
    uint8_t *b = out->data + out->len;
    firn_put_le64(b, d->block[0].offset);
    firn_put_le32(b + 8, d->blocks);
    firn_put_le32(b + 12, sep_len);
    b += FIRN_TABLE__INDEX_HEADER;
    for (uint32_t i = 0; i < d->blocks; i++, b += FIRN_TABLE__INDEX_ENTRY) {
        firn_put_le32(b, d->block[i].stored_len);
        firn_put_le32(b + 4, d->block[i].raw_len);
        firn_put_le32(b + 8, d->block[i].count);
        firn_put_le32(b + 12, i ? d->sep_at[i + 1] - d->sep_at[i] : 0);
    }
    if (sep_len)
        memcpy(b, d->sep + from, sep_len);
    out->len += len;
    return FIRN_OK;
}

static enum firn_status put_parts(const struct firn_table_head_def *d, struct firn_buf *out)
{
    uint8_t b[FIRN_TABLE__PARTS_ENTRY];
    firn_put_le32(b, d->parts);
    firn_put_le32(b + 4, (uint32_t)d->part_sep.len);
    enum firn_status s = firn_buf_append(out, b, FIRN_TABLE__PARTS_HEADER);
    for (uint32_t i = 0; i < d->parts && s == FIRN_OK; i++) {
        firn_put_le32(b, d->part_length[i]);
        firn_put_le32(b + 4, i ? d->part_sep_length[i] : 0);
        s = firn_buf_append(out, b, sizeof b);
    }
    return s == FIRN_OK ? firn_buf_append(out, d->part_sep.data, d->part_sep.len) : s;
}

static enum firn_status put_tombs(const struct firn_table_head_def *p, struct firn_buf *out)
{
    uint8_t b[FIRN_TABLE__TOMB_ENTRY] = {0};
    firn_put_le32(b, (uint32_t)p->tombs);
    enum firn_status s = firn_buf_append(out, b, FIRN_TABLE__TOMB_HEADER);
    for (size_t i = 0; i < p->tombs && s == FIRN_OK; i++) {
        const struct firn_range_tomb *t = &p->tomb[i];
        firn_put_le64(b, t->seqno);
        firn_put_le32(b + 8, (uint32_t)t->start.len);
        firn_put_le32(b + 12, (uint32_t)t->end.len);
        s = firn_buf_append(out, b, sizeof b);
        if (s == FIRN_OK)
            s = firn_buf_append(out, t->start.data, t->start.len);
        if (s == FIRN_OK)
            s = firn_buf_append(out, t->end.data, t->end.len);
    }
    return s;
}

static enum firn_status put_props(const struct firn_table_head_def *p, struct firn_buf *out)
{
    const struct firn_table_props *q = p->props;
    Firn__TableProperties m = FIRN__TABLE_PROPERTIES__INIT;
    m.entries = q->entries;
    m.tombstones = q->tombstones;
    m.range_tombstones = q->range_tombstones;
    m.expiring = q->expiring;
    m.blocks = q->blocks;
    m.raw_bytes = q->raw_bytes;
    m.stored_bytes = q->stored_bytes;
    m.key_bytes = q->key_bytes;
    m.value_bytes = q->value_bytes;
    m.min_seqno = q->min_seqno;
    m.max_seqno = q->max_seqno;
    m.min_expiry_ms = q->min_expiry_ms;
    m.max_expiry_ms = q->max_expiry_ms;
    m.created_ms = q->created_ms;
    /* protobuf-c has no const, and packing does not write */
    m.min_key.data = (uint8_t *)(uintptr_t)q->min_key.data;
    m.min_key.len = q->min_key.len;
    m.max_key.data = (uint8_t *)(uintptr_t)q->max_key.data;
    m.max_key.len = q->max_key.len;
    m.created_by = (char *)(uintptr_t)(p->created_by ? p->created_by : "");
    size_t len = firn__table_properties__get_packed_size(&m);
    enum firn_status s = firn_buf_reserve(out, len);
    if (s == FIRN_OK)
        out->len += firn__table_properties__pack(&m, out->data + out->len);
    return s;
}

/* A directory with room for `sections` at the end of out, empty so far; *start is where it lies. */
static enum firn_status begin(size_t sections, struct firn_buf *out, size_t *start)
{
    size_t len = FIRN_TABLE__DIRECTORY + sections * FIRN_TABLE__SECTION_BYTES;
    enum firn_status s = firn_buf_reserve(out, len);
    if (s != FIRN_OK)
        return s;
    *start = out->len;
    memset(out->data + out->len, 0, len);
    out->len += len;
    return FIRN_OK;
}

/* Note in the directory at `start` that what lies from `at` on is a section. */
static enum firn_status note(unsigned kind, size_t at, size_t start, struct firn_buf *out)
{
    if (out->len - start > FIRN_TABLE_META_MAX - FIRN_TABLE__SUM_BYTES)
        return FIRN_LIMIT;
    uint32_t n = firn_le32(out->data + start);
    uint8_t *d = out->data + start + FIRN_TABLE__DIRECTORY + n * FIRN_TABLE__SECTION_BYTES;
    firn_put_le16(d, (uint16_t)kind);
    firn_put_le32(d + 8, (uint32_t)(at - start));
    firn_put_le32(d + 12, (uint32_t)(out->len - at));
    firn_put_le32(out->data + start, n + 1);
    return FIRN_OK;
}

enum firn_status firn_table_part_encode(const struct firn_table_part_def *d, struct firn_buf *out)
{
    size_t start, at;
    FIRN_ASSERT(d->blocks > 0);
    enum firn_status s = begin(d->filter.len ? 2 : 1, out, &start);
    at = out->len;
    if (s == FIRN_OK)
        s = put_index(d, out);
    if (s == FIRN_OK)
        s = note(FIRN_TABLE__INDEX, at, start, out);
    at = out->len;
    if (s == FIRN_OK && d->filter.len)
        s = firn_buf_append(out, d->filter.data, d->filter.len);
    if (s == FIRN_OK && d->filter.len)
        s = note(FIRN_TABLE__FILTER, at, start, out);
    if (s != FIRN_OK)
        return s;
    uint8_t sum[FIRN_TABLE__SUM_BYTES];
    uint64_t seed = firn_place_seed(d->table_id, d->offset);
    firn_put_le64(sum, firn_xxh3_seed(out->data + start, out->len - start, seed));
    return firn_buf_append(out, sum, sizeof sum);
}

enum firn_status firn_table_head_encode(const struct firn_table_head_def *d, struct firn_buf *out)
{
    static enum firn_status (*const put[])(const struct firn_table_head_def *,
                                           struct firn_buf *) = {put_parts, put_tombs, put_props};
    static const unsigned kind[] = {FIRN_TABLE__PARTS, FIRN_TABLE__TOMBS, FIRN_TABLE__PROPS};
    size_t start;
    enum firn_status s = begin(d->tombs ? 3 : 2, out, &start);
    for (unsigned i = 0; s == FIRN_OK && i < 3; i++) {
        size_t at = out->len;
        if (kind[i] == FIRN_TABLE__TOMBS && d->tombs == 0)
            continue;
        s = put[i](d, out);
        if (s == FIRN_OK)
            s = note(kind[i], at, start, out);
    }
    return s;
}

enum firn_status firn_table_footer_encode(const struct firn_table_loc *loc, uint16_t format,
                                          struct firn_buf *out)
{
    uint8_t b[FIRN_TABLE_FOOTER_BYTES];
    firn_put_le64(b, loc->head_offset);
    firn_put_le64(b + 8, loc->head_length);
    firn_put_le64(b + 16, loc->head_checksum);
    firn_put_le64(b + 24, loc->table_id);
    firn_objheader_put(b + 32, FIRN_OBJ_TABLE, format);
    firn_put_le64(b + 40, firn_xxh3(b, 40));
    return firn_buf_append(out, b, sizeof b);
}
