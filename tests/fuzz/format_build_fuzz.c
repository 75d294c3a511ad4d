/* Encoders: blocks and batches made of what the input describes decode to the same. */
#include "fuzz/fuzz.h"

#include "base/hash.h"
#include "format/batch.h"
#include "format/block.h"
#include "format/record.h"

#define ENTRIES 128
#define TABLE 9
#define OFFSET 16
#define BASE (UINT64_C(1) << 40) /* of epoch 1 */

static int by_key(const void *a, const void *b)
{
    const struct firn_entry *x = a, *y = b;
    return firn_slice_cmp(x->key, y->key);
}

/* Entries of distinct keys, in order. */
static size_t take(struct fuzz_in *in, struct firn_entry *e)
{
    static const uint8_t kind[] = {FIRN_RECORD_PUT, FIRN_RECORD_DEL, FIRN_RECORD_DEDUP,
                                   FIRN_RECORD_EXPIRED};
    size_t n = 0, kept = 0;
    while (fuzz_more(in) && n < ENTRIES) {
        uint8_t how = fuzz_u8(in);
        e[n] = (struct firn_entry){.kind = kind[how % 4], .seqno = BASE + fuzz_u8(in)};
        e[n].key = fuzz_short(in);
        if (!firn_kind_deletes(e[n].kind))
            e[n].value = fuzz_bytes(in, how & 64 ? 200 : how / 8 % 8);
        if (how & 128 && !firn_kind_deletes(e[n].kind))
            e[n].expiry_ms = 1 + fuzz_u64(in) / 2;
        n += firn_key_valid(e[n].key);
    }
    qsort(e, n, sizeof *e, by_key);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !firn_slice_eq(e[i].key, e[kept - 1].key))
            e[kept++] = e[i];
    return kept;
}

static bool same(const struct firn_entry *a, const struct firn_entry *b)
{
    return a->kind == b->kind && a->seqno == b->seqno && a->expiry_ms == b->expiry_ms &&
           firn_slice_eq(a->key, b->key) && firn_slice_eq(a->value, b->value);
}

static void walk(const struct firn_block *b, const struct firn_entry *e, size_t n)
{
    struct firn_block_iter it = {0};
    struct firn_entry got;
    size_t i = 0;
    FIRN_ASSERT(firn_block_iter_init(&it, b) == FIRN_OK);
    for (firn_block_iter_first(&it); it.valid; firn_block_iter_next(&it), i++)
        FIRN_ASSERT(i < n && same(&it.e, &e[i]));
    FIRN_ASSERT(i == n);
    for (firn_block_iter_last(&it); it.valid; firn_block_iter_prev(&it))
        FIRN_ASSERT(i > 0 && same(&it.e, &e[--i]));
    FIRN_ASSERT(i == 0);
    for (i = 0; i < n; i++) {
        uint64_t hash = firn_xxh3(e[i].key.data, e[i].key.len);
        FIRN_ASSERT(firn_block_get(b, e[i].key, hash, &got) == FIRN_OK && same(&got, &e[i]));
        firn_block_iter_seek(&it, e[i].key);
        FIRN_ASSERT(it.valid && same(&it.e, &e[i]));
    }
    firn_block_iter_clear(&it);
}

static void block(const struct firn_entry *e, size_t n, uint8_t how)
{
    struct firn_block_builder b;
    struct firn_block opened;
    struct firn_codec_ctx c = {0};
    struct firn_buf out;
    uint32_t raw_len = 0;
    firn_buf_init(&out, 1 << 22);
    firn_block_builder_init(&b, BASE, BASE + 255, how % 9, how & 64);
    for (size_t i = 0; i < n; i++)
        FIRN_ASSERT(firn_block_builder_add(&b, &e[i], firn_xxh3(e[i].key.data, e[i].key.len)) ==
                    FIRN_OK);
    FIRN_ASSERT(firn_block_builder_finish(&b, &c, (enum firn_codec)(how / 9 % 3), TABLE, OFFSET,
                                          &out) == FIRN_OK);
    FIRN_ASSERT(firn_block_raw_len(firn_buf_slice(&out), &raw_len) == FIRN_OK);
    uint8_t *raw = malloc(raw_len);
    FIRN_ASSERT(raw != NULL);
    FIRN_ASSERT(firn_block_unpack(&c, firn_buf_slice(&out), TABLE, OFFSET, raw, raw_len) ==
                FIRN_OK);
    FIRN_ASSERT(firn_block_open(firn_slice_of(raw, raw_len), &opened) == FIRN_OK);
    walk(&opened, e, n);
    free(raw);
    firn_buf_clear(&out);
    firn_block_builder_clear(&b);
    firn_codec_ctx_clear(&c);
}

static void batch(const struct firn_entry *e, size_t n, uint8_t how)
{
    struct firn_batch_header h = {
        .format = 1, .place = {1, 9}, .first_seqno = BASE, .log_time_ms = how};
    struct firn_batch_header got;
    struct firn_buf raw, object, back;
    firn_buf_init(&raw, 1 << 22);
    firn_buf_init(&object, 1 << 22);
    firn_buf_init(&back, 1 << 22);
    for (size_t i = 0; i < n; i++) {
        struct firn_record r = {.kind = e[i].kind,
                                .flags = e[i].expiry_ms ? FIRN_RECORD_HAS_EXPIRY : 0,
                                .key = e[i].key,
                                .value = e[i].value,
                                .expiry_ms = e[i].expiry_ms,
                                .value_seqno = e[i].kind == FIRN_RECORD_EXPIRED ? e[i].seqno : 0};
        h.count += firn_record_append(&raw, &r) == FIRN_OK;
    }
    if (h.count) {
        FIRN_ASSERT(firn_batch_encode(&h, firn_buf_slice(&raw), (enum firn_codec)(how % 3),
                                      &object) == FIRN_OK);
        FIRN_ASSERT(firn_batch_decode(firn_buf_slice(&object), &h.db, h.place, raw.len, &got, &back,
                                      NULL) == FIRN_OK);
        FIRN_ASSERT(firn_slice_eq(firn_buf_slice(&raw), firn_buf_slice(&back)));
        FIRN_ASSERT(got.count == h.count && got.first_seqno == h.first_seqno &&
                    got.log_time_ms == h.log_time_ms);
    }
    firn_buf_clear(&raw);
    firn_buf_clear(&object);
    firn_buf_clear(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_begin(data, size);
    struct firn_entry e[ENTRIES + 1];
    uint8_t how = fuzz_u8(&in);
    size_t n = take(&in, e);
    if (n == 0)
        return 0;
    block(e, n, how);
    batch(e, n, how);
    return 0;
}
