/* Metadata of tables: 8 bytes say where it lies, 4 how long the other of two partitions is, the
 * rest is a head, or a partition with a right checksum. What decodes can be searched. The same
 * bytes as a footer, a filter and a pin. */
#include "base/bytes.h"
#include "base/hash.h"
#include "format/pin.h"
#include "format/table.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void search(const struct firn_seps *s, struct firn_slice key)
{
    if (s->count == 0)
        return;
    uint32_t i = firn_seps_find(s, key);
    if (i >= s->count || (i && firn_slice_cmp(firn_seps_get(s, i), key) > 0) ||
        (i + 1 < s->count && firn_slice_cmp(firn_seps_get(s, i + 1), key) <= 0))
        abort();
}

static void search_all(const struct firn_seps *s, struct firn_slice key)
{
    for (uint32_t i = 0; i < s->count; i++)
        search(s, firn_seps_get(s, i));
    search(s, key);
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

static void head(uint64_t offset, struct firn_slice bytes, struct firn_slice key)
{
    struct firn_table_head *h = NULL;
    struct firn_err err = {""};
    struct firn_table_loc loc = {.table_id = 1, .head_offset = offset, .head_length = bytes.len};
    loc.size = offset + bytes.len + FIRN_TABLE_FOOTER_BYTES;
    loc.head_checksum =
        firn_xxh3_seed(bytes.data, bytes.len, firn_place_seed(loc.table_id, offset));
    if (firn_table_head_decode(bytes, &loc, &h, &err) != FIRN_OK) {
        if (!err.text[0] || h)
            abort();
        return;
    }
    search_all(&h->parts.sep, key);
    for (size_t i = 0; i < h->tombs; i++)
        if (firn_tombs_covering(h->tomb, h->tombs, h->tomb[i].start) != h->tomb[i].seqno)
            abort();
    firn_table_head_free(h);
}

/* As partition `i` of two, the other one of which nobody sees. */
static void partition(uint64_t offset, uint32_t other, uint32_t i, struct firn_slice bytes,
                      struct firn_slice key)
{
    static uint8_t copy[1 << 20];
    struct firn_table_part *p = NULL, *index = NULL;
    struct firn_err err = {""};
    if (bytes.len < 100 || bytes.len + 8 > sizeof copy || offset > UINT64_MAX / 2)
        return;
    memcpy(copy, bytes.data, bytes.len);
    firn_put_le64(copy + bytes.len,
                  firn_xxh3_seed(bytes.data, bytes.len, firn_place_seed(1, offset)));
    bytes = firn_slice_of(copy, bytes.len + 8);
    uint32_t length[2] = {other, other}, sep_length = 5;
    length[i] = (uint32_t)bytes.len;
    Firn__Table t = FIRN__TABLE__INIT;
    t.table_id = 1;
    t.entries = 1;
    t.head_offset = offset + length[i] + (i ? 0 : length[1]);
    t.head_length = 100;
    t.size = t.head_offset + 100 + FIRN_TABLE_FOOTER_BYTES;
    t.n_part_lengths = 2;
    t.part_lengths = length;
    t.n_part_separator_lengths = 1;
    t.part_separator_lengths = &sep_length;
    t.part_separators = (ProtobufCBinaryData){5, (uint8_t *)(uintptr_t) "\x10k030"};
    t.upper = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "\x20"};
    struct firn_table_parts parts;
    if (firn_table_parts_of(&t, &parts, NULL) != FIRN_OK)
        return; /* no room before it */
    enum firn_status s = firn_table_part_decode(bytes, 1, &parts, i, &p, &err);
    if (s != FIRN_OK && (!err.text[0] || p))
        abort();
    if (s == FIRN_OK) {
        (void)firn_filter_may_have(&p->filter, firn_xxh3(key.data, key.len));
        search_all(&p->sep, key);
        if (firn_table_index_decode(bytes, 1, &parts, i, i + 1, &index, &err) != FIRN_OK ||
            !firn_seps_same(&p->sep, &index->sep))
            abort();
    }
    firn_table_part_free(p);
    firn_table_part_free(index);
    firn_table_parts_clear(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    others(firn_slice_of(data, size));
    if (size < 12)
        return 0;
    uint64_t offset = firn_le64(data);
    uint32_t other = firn_le32(data + 8);
    struct firn_slice rest = firn_slice_of(data + 12, size - 12);
    struct firn_slice key = firn_slice_of(data, size < 16 ? size : 16);
    head(offset, rest, key);
    partition(offset, other, 0, rest, key);
    partition(offset, other, 1, rest, key);
    return 0;
}
