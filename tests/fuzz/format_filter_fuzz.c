/* Filters: what opens can be asked anything; one that was built denies none of its keys. */
#include "fuzz/fuzz.h"

#include "base/bytes.h"
#include "format/filter.h"

static void ask(struct firn_slice bytes)
{
    struct firn_filter f;
    uint8_t *copy = fuzz_copy(bytes);
    if (firn_filter_open(firn_slice_of(copy, bytes.len), &f) == FIRN_OK)
        for (uint64_t h = 1; h; h <<= 1) {
            firn_filter_prefetch(&f, h);
            (void)firn_filter_may_have(&f, h * UINT64_C(0x9e3779b97f4a7c15));
        }
    free(copy);
}

static void build(unsigned bits, struct firn_slice in)
{
    static uint64_t hash[512];
    struct firn_buf out;
    struct firn_filter f;
    size_t n = in.len / 8 < 512 ? in.len / 8 : 512;
    for (size_t i = 0; i < n; i++)
        hash[i] = firn_le64(in.data + 8 * i);
    firn_buf_init(&out, 1 << 20);
    FIRN_ASSERT(firn_filter_build(hash, n, bits, &out) == FIRN_OK);
    FIRN_ASSERT(firn_filter_open(firn_buf_slice(&out), &f) == FIRN_OK);
    for (size_t i = 0; i < n; i++)
        FIRN_ASSERT(firn_filter_may_have(&f, hash[i]));
    firn_buf_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_begin(data, size);
    ask(firn_slice_of(data, size));
    unsigned bits = 1 + fuzz_u8(&in) % 64;
    build(bits, fuzz_rest(&in));
    return 0;
}
