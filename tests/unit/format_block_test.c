/* Blocks: every key found, none invented, both directions, damage noticed, memory running out. */
#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "format/block.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#define TABLE 77
#define OFFSET 4096
#define BASE 1000

struct made {
    struct firn_buf stored;
    uint8_t *raw;
    uint32_t raw_len;
    struct firn_block b;
};

static struct firn_slice key_of(char buf[64], unsigned i)
{
    int n = snprintf(buf, 64, "\x10user:%06u", i * 2);
    return firn_slice_of(buf, (size_t)n);
}

static struct firn_entry entry_of(char kbuf[64], char vbuf[64], unsigned i)
{
    int n = snprintf(vbuf, 64, "value %u", i);
    return (struct firn_entry){
        .key = key_of(kbuf, i),
        .value = i % 7 ? firn_slice_of(vbuf, (size_t)n) : firn_slice_of(NULL, 0),
        .seqno = BASE + (i * 7919) % 100000,
        .expiry_ms = i % 3 ? 0 : 1700000000000 + i,
        .kind = i % 5 ? FIRN_RECORD_PUT : FIRN_RECORD_DEL,
    };
}

static struct made make(unsigned count, uint32_t interval, bool hash_index, enum firn_codec codec)
{
    struct made m = {0};
    struct firn_block_builder bb;
    struct firn_codec_ctx c = {0};
    firn_block_builder_init(&bb, BASE, BASE + 99999, interval, hash_index);
    firn_buf_init(&m.stored, SIZE_MAX);
    for (unsigned i = 0; i < count; i++) {
        char k[64], v[64];
        struct firn_entry e = entry_of(k, v, i);
        assert_int_equal(firn_block_builder_add(&bb, &e, firn_xxh3(e.key.data, e.key.len)),
                         FIRN_OK);
    }
    assert_int_equal(firn_block_builder_finish(&bb, &c, codec, TABLE, OFFSET, &m.stored), FIRN_OK);
    assert_int_equal(firn_block_raw_len(firn_buf_slice(&m.stored), &m.raw_len), FIRN_OK);
    m.raw = firn_malloc(m.raw_len);
    assert_int_equal(
        firn_block_unpack(&c, firn_buf_slice(&m.stored), TABLE, OFFSET, m.raw, m.raw_len), FIRN_OK);
    assert_int_equal(firn_block_open(firn_slice_of(m.raw, m.raw_len), &m.b), FIRN_OK);
    assert_int_equal(m.b.count, count);
    firn_block_builder_clear(&bb);
    firn_codec_ctx_clear(&c);
    return m;
}

static void unmake(struct made *m)
{
    firn_buf_clear(&m->stored);
    firn_free(m->raw);
}

static void same(const struct firn_entry *a, const struct firn_entry *b)
{
    assert_true(firn_slice_eq(a->key, b->key));
    assert_true(firn_slice_eq(a->value, b->value));
    assert_int_equal(a->seqno, b->seqno);
    assert_int_equal(a->expiry_ms, b->expiry_ms);
    assert_int_equal(a->kind, b->kind);
}

/* Every key is found by get and by seek; the keys between and around are not. */
static void check_reads(const struct made *m, unsigned count)
{
    struct firn_block_iter it = {0};
    assert_int_equal(firn_block_iter_init(&it, &m->b), FIRN_OK);
    for (unsigned i = 0; i < count; i++) {
        char k[64], v[64], other[64];
        struct firn_entry want = entry_of(k, v, i), got;
        assert_int_equal(
            firn_block_get(&m->b, want.key, firn_xxh3(want.key.data, want.key.len), &got), FIRN_OK);
        same(&want, &got);
        firn_block_iter_seek(&it, want.key);
        assert_true(it.valid);
        same(&want, &it.e);
        firn_block_iter_seek_before(&it, want.key);
        assert_int_equal(it.valid, i > 0);
        int n = snprintf(other, sizeof other, "\x10user:%06u", i * 2 + 1);
        struct firn_slice odd = firn_slice_of(other, (size_t)n);
        assert_int_equal(firn_block_get(&m->b, odd, firn_xxh3(odd.data, odd.len), &got),
                         FIRN_ABSENT);
        firn_block_iter_seek(&it, odd);
        assert_int_equal(it.valid, i + 1 < count);
        firn_block_iter_seek_before(&it, odd);
        assert_true(it.valid);
        same(&want, &it.e);
    }
    static const char *const around[] = {"",          "\x01",    "\x10", "\x10us",
                                         "\x10user:", "\x10usf", "\x11"};
    for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
        struct firn_slice key = firn_slice_str(around[i]);
        struct firn_entry got;
        assert_int_equal(firn_block_get(&m->b, key, firn_xxh3(key.data, key.len), &got),
                         FIRN_ABSENT);
        firn_block_iter_seek(&it, key);
        assert_int_equal(it.valid, i < 5);
    }
    firn_block_iter_clear(&it);
}

static void check_order(const struct made *m, unsigned count)
{
    struct firn_block_iter it = {0};
    char k[64], v[64];
    assert_int_equal(firn_block_iter_init(&it, &m->b), FIRN_OK);
    firn_block_iter_first(&it);
    for (unsigned i = 0; i < count; i++, firn_block_iter_next(&it)) {
        struct firn_entry want = entry_of(k, v, i);
        assert_true(it.valid);
        same(&want, &it.e);
    }
    assert_false(it.valid);
    firn_block_iter_last(&it);
    for (unsigned i = count; i-- > 0; firn_block_iter_prev(&it)) {
        struct firn_entry want = entry_of(k, v, i);
        assert_true(it.valid);
        same(&want, &it.e);
    }
    assert_false(it.valid);
    firn_block_iter_clear(&it);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const unsigned counts[] = {1, 2, 3, 4, 5, 16, 17, 200, 3000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (uint32_t interval = 0; interval <= 16; interval += 8)
            for (unsigned codec = 0; codec <= FIRN_CODEC_ZSTD; codec++) {
                struct made m = make(counts[i], interval, codec != 1, (enum firn_codec)codec);
                check_reads(&m, counts[i]);
                check_order(&m, counts[i]);
                unmake(&m);
            }
}

/* Keys that differ only far behind the 8 bytes that are searched, one a prefix of the other. */
static void test_long_ties(void **state)
{
    (void)state;
    enum { N = 90 };
    static uint8_t key[N][200];
    size_t len[N];
    struct firn_block_builder bb;
    struct firn_codec_ctx c = {0};
    struct firn_buf out;
    firn_buf_init(&out, SIZE_MAX);
    firn_block_builder_init(&bb, 0, UINT64_MAX, 1, false);
    for (unsigned i = 0; i < N; i++) {
        memset(key[i], i < 30 ? 0x20 : 0x21, sizeof key[i]);
        len[i] = 100 + i; /* each a prefix of the next, within a third */
        key[i][0] = 0x10;
        if (i >= 60)
            key[i][1] = 0xff;
        struct firn_entry e = {firn_slice_of(key[i], len[i]), firn_slice_of(NULL, 0), i, 0,
                               FIRN_RECORD_PUT};
        assert_int_equal(firn_block_builder_add(&bb, &e, 0), FIRN_OK);
    }
    uint32_t raw_len;
    assert_int_equal(firn_block_builder_finish(&bb, &c, FIRN_CODEC_NONE, 1, 2, &out), FIRN_OK);
    assert_int_equal(firn_block_raw_len(firn_buf_slice(&out), &raw_len), FIRN_OK);
    struct firn_block b;
    assert_int_equal(firn_block_open(firn_slice_of(out.data, raw_len), &b), FIRN_OK);
    struct firn_block_iter it = {0};
    assert_int_equal(firn_block_iter_init(&it, &b), FIRN_OK);
    for (unsigned i = 0; i < N; i++) {
        struct firn_entry e;
        assert_int_equal(firn_block_get(&b, firn_slice_of(key[i], len[i]), 0, &e), FIRN_OK);
        assert_int_equal(e.seqno, i);
        firn_block_iter_seek(&it, firn_slice_of(key[i], len[i] - 1));
        assert_true(it.valid);
        assert_int_equal(it.e.seqno, i % 30 ? i - 1 : i);
    }
    firn_block_iter_clear(&it);
    firn_block_builder_clear(&bb);
    firn_buf_clear(&out);
    firn_codec_ctx_clear(&c);
}

/* Any damaged byte, another table, another offset: CORRUPT. */
static void test_checksum(void **state)
{
    (void)state;
    struct made m = make(50, 0, true, FIRN_CODEC_LZ4);
    struct firn_slice stored = firn_buf_slice(&m.stored);
    uint8_t *raw = firn_malloc(m.raw_len);
    assert_int_equal(firn_block_unpack(NULL, stored, TABLE + 1, OFFSET, raw, m.raw_len),
                     FIRN_CORRUPT);
    assert_int_equal(firn_block_unpack(NULL, stored, TABLE, OFFSET + 1, raw, m.raw_len),
                     FIRN_CORRUPT);
    assert_int_equal(firn_block_unpack(NULL, stored, TABLE, OFFSET, raw, m.raw_len - 1),
                     FIRN_CORRUPT);
    for (size_t i = 0; i < stored.len; i++) {
        m.stored.data[i] ^= 0x10;
        assert_int_equal(firn_block_unpack(NULL, stored, TABLE, OFFSET, raw, m.raw_len),
                         FIRN_CORRUPT);
        m.stored.data[i] ^= 0x10;
    }
    for (size_t n = 0; n < stored.len; n++)
        assert_int_equal(
            firn_block_unpack(NULL, firn_slice_of(stored.data, n), TABLE, OFFSET, raw, m.raw_len),
            FIRN_CORRUPT);
    firn_free(raw);
    unmake(&m);
}

/* Damage that the checksum did not see must not lead outside the bytes (ASan watches). */
static void test_hostile_raw(void **state)
{
    (void)state;
    struct made m = make(40, 0, true, FIRN_CODEC_NONE);
    for (size_t i = 0; i < (size_t)m.raw_len * 3; i++) {
        uint8_t *raw = firn_malloc(m.raw_len); /* exactly as large, so that ASan sees the end */
        memcpy(raw, m.raw, m.raw_len);
        static const uint8_t flip[] = {0x01, 0x80, 0xff};
        raw[i / 3] ^= flip[i % 3];
        struct firn_block b;
        if (firn_block_open(firn_slice_of(raw, m.raw_len), &b) == FIRN_OK) {
            struct firn_block_iter it = {0};
            struct firn_entry e;
            struct firn_slice key = firn_slice_str("\x10user:000033");
            assert_int_equal(firn_block_iter_init(&it, &b), FIRN_OK);
            for (firn_block_iter_first(&it); it.valid; firn_block_iter_next(&it)) {
            }
            for (firn_block_iter_last(&it); it.valid; firn_block_iter_prev(&it)) {
            }
            firn_block_iter_seek(&it, key);
            (void)firn_block_get(&b, key, firn_xxh3(key.data, key.len), &e);
            firn_block_iter_clear(&it);
        }
        firn_free(raw);
    }
    unmake(&m);
}

static void test_kinds(void **state)
{
    (void)state;
    struct made m = make(1, 0, false, FIRN_CODEC_NONE);
    struct firn_block b;
    m.raw[0] = FIRN_RECORD_REF;
    assert_int_equal(firn_block_open(firn_slice_of(m.raw, m.raw_len), &b), FIRN_INVALID);
    m.raw[0] = 0x7f;
    assert_int_equal(firn_block_open(firn_slice_of(m.raw, m.raw_len), &b), FIRN_INVALID);
    m.raw[0] = 0x90; /* may be skipped: the reader of entries decides */
    assert_int_equal(firn_block_open(firn_slice_of(m.raw, m.raw_len), &b), FIRN_OK);
    unmake(&m);
}

static void test_no_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 20; n++) {
        struct firn_block_builder bb;
        struct firn_codec_ctx c = {0};
        struct firn_buf out;
        firn_buf_init(&out, SIZE_MAX);
        firn_block_builder_init(&bb, 0, UINT64_MAX, 0, true);
        enum firn_status s = FIRN_OK;
        (void)firn_mem_fail_at(n, 0);
        for (unsigned i = 0; i < 20 && s == FIRN_OK; i++) {
            char k[64], v[64];
            struct firn_entry e = entry_of(k, v, i);
            s = firn_block_builder_add(&bb, &e, i);
        }
        if (s == FIRN_OK)
            s = firn_block_builder_finish(&bb, &c, FIRN_CODEC_ZSTD, 1, 1, &out);
        (void)firn_mem_fail_at(0, 0);
        assert_true(s == FIRN_OK || s == FIRN_LIMIT);
        firn_block_builder_clear(&bb);
        firn_codec_ctx_clear(&c);
        firn_buf_clear(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_long_ties),
        cmocka_unit_test(test_checksum),   cmocka_unit_test(test_hostile_raw),
        cmocka_unit_test(test_kinds),      cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
