/* Compression: any bytes unpack or are refused, within the room they were given; what was packed
 * unpacks to what it was. */
#include "fuzz/fuzz.h"

#include "format/codec.h"

static void unpack(struct firn_codec_ctx *c, unsigned codec, size_t raw_len,
                   struct firn_slice stored)
{
    uint8_t *raw = malloc(raw_len ? raw_len : 1), *copy = fuzz_copy(stored);
    FIRN_ASSERT(raw != NULL);
    enum firn_status s = firn_codec_unpack(c, codec, firn_slice_of(copy, stored.len), raw, raw_len);
    FIRN_ASSERT(s == FIRN_OK || s == FIRN_CORRUPT);
    free(raw);
    free(copy);
}

static void there_and_back(struct firn_codec_ctx *c, enum firn_codec codec, struct firn_slice raw)
{
    struct firn_buf out;
    uint8_t *again = malloc(raw.len ? raw.len : 1);
    FIRN_ASSERT(again != NULL);
    firn_buf_init(&out, 1 << 22);
    FIRN_ASSERT(firn_codec_pack(c, &codec, raw, &out) == FIRN_OK);
    FIRN_ASSERT(firn_codec_known(codec) && out.len <= raw.len);
    FIRN_ASSERT(firn_codec_unpack(c, codec, firn_buf_slice(&out), again, raw.len) == FIRN_OK);
    FIRN_ASSERT(firn_slice_eq(firn_slice_of(again, raw.len), raw));
    firn_buf_clear(&out);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_begin(data, size);
    struct firn_codec_ctx c = {0};
    size_t raw_len = (size_t)fuzz_u8(&in) << 8;
    raw_len |= fuzz_u8(&in);
    struct firn_slice rest = fuzz_rest(&in);
    for (unsigned codec = 0; codec < 4; codec++)
        unpack(&c, codec, raw_len, rest);
    unpack(&c, FIRN_CODEC_NONE, rest.len, rest);
    there_and_back(&c, FIRN_CODEC_NONE, rest);
    there_and_back(&c, FIRN_CODEC_LZ4, rest);
    there_and_back(&c, FIRN_CODEC_ZSTD, rest);
    firn_codec_ctx_clear(&c);
    return 0;
}
