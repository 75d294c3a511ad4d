#include "format/table.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "format/objheader.h"
#include "format/table_priv.h"
#include "format/version.h"

struct firn_table_loc firn_table_loc_of(const Firn__Table *t)
{
    return (struct firn_table_loc){t->table_id, t->size, t->head_offset, t->head_length,
                                   t->head_checksum};
}

enum firn_status firn_table_header_check(struct firn_slice header, uint64_t table_id,
                                         struct firn_err *err)
{
    enum firn_status s =
        firn_objheader_check(header, FIRN_OBJ_TABLE, FIRN_FORMAT_OLDEST, firn_format_newest, err);
    if (s != FIRN_OK)
        return s;
    if (header.len < FIRN_TABLE_HEADER_BYTES ||
        firn_le64(header.data + FIRN_OBJHEADER_BYTES) != table_id)
        return firn_fail(err, FIRN_CORRUPT, "the object is another table than its name says");
    return FIRN_OK;
}

enum firn_status firn_table_footer_decode(struct firn_slice footer, uint64_t size,
                                          struct firn_table_loc *out, struct firn_err *err)
{
    if (footer.len != FIRN_TABLE_FOOTER_BYTES ||
        firn_le64(footer.data + 40) != firn_xxh3(footer.data, 40))
        return firn_fail(err, FIRN_CORRUPT, "no footer of a table, or a damaged one");
    enum firn_status s =
        firn_objheader_check(firn_slice_of(footer.data + 32, FIRN_OBJHEADER_BYTES), FIRN_OBJ_TABLE,
                             FIRN_FORMAT_OLDEST, firn_format_newest, err);
    if (s != FIRN_OK)
        return s;
    *out = (struct firn_table_loc){
        .table_id = firn_le64(footer.data + 24),
        .size = size,
        .head_offset = firn_le64(footer.data),
        .head_length = firn_le64(footer.data + 8),
        .head_checksum = firn_le64(footer.data + 16),
    };
    return FIRN_OK;
}

enum firn_status firn_table__bad(struct firn_err *err, const char *what)
{
    return firn_fail(err, FIRN_CORRUPT, "metadata of a table is damaged: %s", what);
}

enum firn_status firn_table__sections(struct firn_slice bytes,
                                      struct firn_slice out[FIRN_TABLE__SECTIONS],
                                      struct firn_err *err)
{
    memset(out, 0, FIRN_TABLE__SECTIONS * sizeof out[0]);
    if (bytes.len < FIRN_TABLE__DIRECTORY)
        return firn_table__bad(err, "length");
    uint32_t n = firn_le32(bytes.data);
    if (n > (bytes.len - FIRN_TABLE__DIRECTORY) / FIRN_TABLE__SECTION_BYTES)
        return firn_table__bad(err, "number of sections");
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *d =
            bytes.data + FIRN_TABLE__DIRECTORY + (size_t)i * FIRN_TABLE__SECTION_BYTES;
        unsigned kind = firn_le16(d);
        uint32_t at = firn_le32(d + 8), len = firn_le32(d + 12);
        if (at > bytes.len || len > bytes.len - at)
            return firn_table__bad(err, "place of a section");
        if (kind == 0 || kind >= FIRN_TABLE__SECTIONS) {
            if (firn_le16(d + 2) & FIRN_TABLE__MUST_KNOW)
                return firn_fail(err, FIRN_INVALID,
                                 "a table has metadata of kind %u: upgrade to read it", kind);
            continue;
        }
        if (out[kind].data)
            return firn_table__bad(err, "a section twice");
        out[kind] = firn_slice_of(bytes.data + at, len);
    }
    return FIRN_OK;
}
