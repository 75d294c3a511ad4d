/* Codecs: round trips, incompressible bytes, hostile bytes, memory running out. */
#include "base/mem.h"
#include "format/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
// clang-format off
#include <cmocka.h>
// clang-format on

static const enum firn_codec all[] = {FIRN_CODEC_NONE, FIRN_CODEC_LZ4, FIRN_CODEC_ZSTD};

static void fill(uint8_t *p, size_t n, bool compressible)
{
    uint32_t x = 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = compressible ? (uint8_t)(i / 50) : (uint8_t)(x >> 24);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 15, 16, 100, 16384, 1000000};
    struct firn_codec_ctx c = {0};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes * 6; k++) {
        size_t n = sizes[k / 6];
        enum firn_codec codec = all[k % 3], asked = codec;
        bool compressible = k % 2;
        uint8_t *raw = malloc(n + 1), *back = malloc(n + 1);
        struct firn_buf out;
        fill(raw, n, compressible);
        firn_buf_init(&out, n);
        assert_int_equal(firn_codec_pack(&c, &codec, firn_slice_of(raw, n), &out), FIRN_OK);
        if (asked != FIRN_CODEC_NONE && n >= 16384)
            assert_int_equal(codec, compressible ? asked : FIRN_CODEC_NONE);
        assert_int_equal(firn_codec_unpack(&c, codec, firn_buf_slice(&out), back, n), FIRN_OK);
        assert_memory_equal(raw, back, n);
        if (n)
            assert_int_equal(firn_codec_unpack(NULL, codec, firn_buf_slice(&out), back, n - 1),
                             FIRN_CORRUPT);
        assert_int_equal(firn_codec_unpack(NULL, 3, firn_buf_slice(&out), back, n), FIRN_CORRUPT);
        firn_buf_clear(&out);
        free(raw);
        free(back);
    }
    firn_codec_ctx_clear(&c);
}

static void test_hostile(void **state)
{
    (void)state;
    uint8_t junk[300], raw[1000];
    for (unsigned seed = 0; seed < 300; seed++) {
        fill(junk, sizeof junk, seed % 2);
        junk[0] = (uint8_t)seed;
        for (unsigned codec = 1; codec <= 2; codec++) {
            enum firn_status s =
                firn_codec_unpack(NULL, codec, firn_slice_of(junk, seed), raw, sizeof raw);
            assert_true(s == FIRN_CORRUPT || s == FIRN_OK);
        }
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    uint8_t raw[20000], back[20000];
    fill(raw, sizeof raw, true);
    for (size_t k = 0; k < 3; k++)
        for (uint64_t n = 1; n < 4; n++) {
            struct firn_codec_ctx c = {0};
            struct firn_buf out;
            firn_buf_init(&out, sizeof raw);
            enum firn_codec codec = all[k];
            (void)firn_mem_fail_at(n, 1);
            enum firn_status s = firn_codec_pack(&c, &codec, firn_slice_of(raw, sizeof raw), &out);
            (void)firn_mem_fail_at(0, 0);
            assert_true(s == FIRN_OK || (s == FIRN_LIMIT && out.len == 0));
            if (s == FIRN_OK) {
                (void)firn_mem_fail_at(n, 1);
                s = firn_codec_unpack(&c, codec, firn_buf_slice(&out), back, sizeof back);
                (void)firn_mem_fail_at(0, 0);
                assert_true(s == FIRN_OK || s == FIRN_LIMIT);
            }
            firn_buf_clear(&out);
            firn_codec_ctx_clear(&c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
