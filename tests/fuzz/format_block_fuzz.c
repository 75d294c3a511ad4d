/* Blocks: the input as a raw block, and as a stored one whose checksum was made right. Whatever
 * opens can be walked and searched, and both directions see the same entries. */
#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "format/block.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TABLE 1
#define OFFSET 16

static void walk(const struct firn_block *b)
{
    struct firn_block_iter it = {0};
    uint32_t there = 0, back = 0;
    if (firn_block_iter_init(&it, b) != FIRN_OK)
        return;
    for (firn_block_iter_first(&it); it.valid; firn_block_iter_next(&it))
        there++;
    for (firn_block_iter_last(&it); it.valid; firn_block_iter_prev(&it))
        back++;
    if (there != b->count || back != there)
        abort();
    firn_block_iter_clear(&it);
}

static void search(const struct firn_block *b, struct firn_slice key)
{
    struct firn_block_iter it = {0};
    struct firn_entry e;
    if (firn_block_iter_init(&it, b) != FIRN_OK)
        return;
    if (firn_block_get(b, key, firn_xxh3(key.data, key.len), &e) == FIRN_OK &&
        (e.value.data < b->raw || e.value.data + e.value.len > b->raw + b->entries_end))
        abort();
    firn_block_iter_seek(&it, key);
    if (it.valid && firn_slice_cmp(it.e.key, key) < 0)
        abort();
    firn_block_iter_seek_before(&it, key);
    firn_block_iter_clear(&it);
}

static void raw_block(struct firn_slice raw)
{
    struct firn_block b;
    if (firn_block_open(raw, &b) != FIRN_OK)
        return;
    walk(&b);
    search(&b, firn_slice_of(b.first_key, b.common));
    search(&b, firn_slice_of(raw.data, raw.len < 20 ? raw.len : 20));
    search(&b, firn_slice_of("\x10key", 4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t raw_len;
    raw_block(firn_slice_of(data, size));
    if (firn_block_raw_len(firn_slice_of(data, size), &raw_len) != FIRN_OK || raw_len > 1 << 20)
        return 0;
    uint8_t *stored = malloc(size), *raw = malloc(raw_len);
    if (!stored || !raw)
        abort();
    memcpy(stored, data, size);
    firn_put_le64(stored + size - 8,
                  firn_xxh3_seed(stored, size - 8, firn_place_seed(TABLE, OFFSET)));
    if (firn_block_unpack(NULL, firn_slice_of(stored, size), TABLE, OFFSET, raw, raw_len) ==
        FIRN_OK)
        raw_block(firn_slice_of(raw, raw_len));
    free(stored);
    free(raw);
    return 0;
}
