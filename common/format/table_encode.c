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

enum firn_status firn_table_header_encode(uint64_t table_id, struct firn_buf *out)
{
    uint8_t b[FIRN_TABLE_HEADER_BYTES];
    firn_objheader_put(b, FIRN_OBJ_TABLE, FIRN_TABLE_FORMAT);
    firn_put_le64(b + FIRN_OBJHEADER_BYTES, table_id);
    return firn_buf_append(out, b, sizeof b);
}

static enum firn_status put_index(const struct firn_table_meta_parts *p, struct firn_buf *out)
{
    size_t len = FIRN_TABLE__INDEX_HEADER + p->blocks * FIRN_TABLE__INDEX_ENTRY + p->sep.len;
    if (len > FIRN_TABLE_META_MAX)
        return FIRN_LIMIT;
    enum firn_status s = firn_buf_reserve(out, len);
    if (s != FIRN_OK)
        return s;
    size_t common = 0;
    if (p->blocks > 1) { /* separators ascend: what the first and the last share, all share */
        size_t first = p->block[1].sep_len, last = p->block[p->blocks - 1].sep_len;
        const uint8_t *at = p->sep.data + p->sep.len - last;
        common = firn_shared_len(p->sep.data, at, first < last ? first : last);
    }
    uint8_t *b = out->data + out->len;
    firn_put_le32(b, (uint32_t)p->blocks);
    firn_put_le32(b + 4, (uint32_t)p->sep.len);
    firn_put_le32(b + 8, 0);
    firn_put_le32(b + 12, (uint32_t)common);
    b += FIRN_TABLE__INDEX_HEADER;
    for (size_t i = 0; i < p->blocks; i++, b += FIRN_TABLE__INDEX_ENTRY) {
        firn_put_le64(b, p->block[i].offset);
        firn_put_le32(b + 8, p->block[i].stored_len);
        firn_put_le32(b + 12, p->block[i].raw_len);
        firn_put_le32(b + 16, p->block[i].count);
        firn_put_le32(b + 20, p->block[i].sep_len);
    }
    if (p->sep.len)
        memcpy(b, p->sep.data, p->sep.len);
    out->len += len;
    return FIRN_OK;
}

static enum firn_status put_tombs(const struct firn_table_meta_parts *p, struct firn_buf *out)
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

static enum firn_status put_props(const struct firn_table_meta_parts *p, struct firn_buf *out)
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

/* Append one section and note it in the directory, which lies at `start`. */
static enum firn_status put_section(const struct firn_table_meta_parts *p, unsigned kind,
                                    struct firn_buf *out, size_t start)
{
    size_t at = out->len;
    enum firn_status s = FIRN_OK;
    switch (kind) {
    case FIRN_TABLE__INDEX:
        s = put_index(p, out);
        break;
    case FIRN_TABLE__FILTER:
        s = firn_buf_append(out, p->filter.data, p->filter.len);
        break;
    case FIRN_TABLE__TOMBS:
        s = put_tombs(p, out);
        break;
    default:
        s = put_props(p, out);
        break;
    }
    if (s != FIRN_OK)
        return s;
    if (out->len - start > FIRN_TABLE_META_MAX)
        return FIRN_LIMIT;
    uint32_t n = firn_le32(out->data + start);
    uint8_t *d = out->data + start + FIRN_TABLE__META_HEADER + n * FIRN_TABLE__SECTION_BYTES;
    firn_put_le16(d, (uint16_t)kind);
    firn_put_le16(d + 2, 0);
    firn_put_le32(d + 4, 0);
    firn_put_le32(d + 8, (uint32_t)(at - start));
    firn_put_le32(d + 12, (uint32_t)(out->len - at));
    firn_put_le32(out->data + start, n + 1);
    return FIRN_OK;
}

enum firn_status firn_table_meta_encode(const struct firn_table_meta_parts *p, struct firn_buf *out)
{
    size_t start = out->len, sections = 2;
    sections += p->filter.len > 0;
    sections += p->tombs > 0;
    size_t dir = FIRN_TABLE__META_HEADER + sections * FIRN_TABLE__SECTION_BYTES;
    enum firn_status s = firn_buf_reserve(out, dir);
    if (s != FIRN_OK)
        return s;
    memset(out->data + start, 0, dir);
    out->len += dir;
    s = put_section(p, FIRN_TABLE__INDEX, out, start);
    if (s == FIRN_OK && p->filter.len)
        s = put_section(p, FIRN_TABLE__FILTER, out, start);
    if (s == FIRN_OK && p->tombs)
        s = put_section(p, FIRN_TABLE__TOMBS, out, start);
    if (s == FIRN_OK)
        s = put_section(p, FIRN_TABLE__PROPS, out, start);
    return s;
}

enum firn_status firn_table_footer_encode(const struct firn_table_loc *loc, struct firn_buf *out)
{
    uint8_t b[FIRN_TABLE_FOOTER_BYTES];
    firn_put_le64(b, loc->meta_offset);
    firn_put_le64(b + 8, loc->meta_length);
    firn_put_le64(b + 16, loc->meta_checksum);
    firn_put_le64(b + 24, loc->table_id);
    firn_objheader_put(b + 32, FIRN_OBJ_TABLE, FIRN_TABLE_FORMAT);
    firn_put_le64(b + 40, firn_xxh3(b, 40));
    return firn_buf_append(out, b, sizeof b);
}
