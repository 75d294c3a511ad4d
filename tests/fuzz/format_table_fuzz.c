/* Metadata of tables: 8 bytes say where it lies, the rest is the region, with a right checksum.
 * What decodes can be searched. The same bytes as a footer, a filter and a pin. */
#include "base/bytes.h"
#include "base/hash.h"
#include "format/pin.h"
#include "format/table.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void search(const struct firn_table_meta *m, struct firn_slice key)
{
    (void)firn_tombs_covering(m->tomb, m->tombs, key);
    (void)firn_filter_may_have(&m->filter, firn_xxh3(key.data, key.len));
    if (m->blocks == 0)
        return;
    uint32_t i = firn_table_find(m, key);
    if (i >= m->blocks || (i && firn_slice_cmp(firn_table_sep(m, i), key) > 0) ||
        (i + 1 < m->blocks && firn_slice_cmp(firn_table_sep(m, i + 1), key) <= 0))
        abort();
}

static void others(struct firn_slice bytes)
{
    struct firn_table_loc loc;
    struct firn_filter f;
    struct firn_pin pin;
    struct firn_id db = {{0}};
    if (firn_table_footer_decode(bytes, 1000, &loc, NULL) == FIRN_OK &&
        bytes.len != FIRN_TABLE_FOOTER_BYTES)
        abort();
    if (firn_table_header_check(bytes, 1, NULL) == FIRN_OK && bytes.len < FIRN_TABLE_HEADER_BYTES)
        abort();
    if (firn_pin_decode(bytes, &db, &pin, NULL) == FIRN_OK && bytes.len != FIRN_PIN_BYTES)
        abort();
    if (firn_filter_open(bytes, &f) == FIRN_OK)
        for (uint64_t h = 1; h; h <<= 1)
            (void)firn_filter_may_have(&f, h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct firn_table_meta *m = NULL;
    struct firn_err err = {""};
    others(firn_slice_of(data, size));
    if (size < 8)
        return 0;
    struct firn_table_loc loc = {.table_id = 1, .meta_offset = firn_le64(data)};
    struct firn_slice region = firn_slice_of(data + 8, size - 8);
    loc.meta_length = region.len;
    loc.size = loc.meta_offset + region.len + FIRN_TABLE_FOOTER_BYTES;
    loc.meta_checksum =
        firn_xxh3_seed(region.data, region.len, firn_place_seed(loc.table_id, loc.meta_offset));
    if (firn_table_meta_decode(region, &loc, &m, &err) != FIRN_OK) {
        if (!err.text[0] || m)
            abort();
        return 0;
    }
    for (uint32_t i = 0; i < m->blocks; i++)
        search(m, firn_table_sep(m, i));
    for (size_t i = 0; i < m->tombs; i++)
        search(m, m->tomb[i].start);
    search(m, firn_slice_of(data, size < 16 ? size : 16));
    firn_table_meta_free(m);
    return 0;
}
