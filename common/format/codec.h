/* Compression of blocks: none, lz4 (block format), zstd (frame, level 1). Pure. */
#ifndef FIRN_FORMAT_CODEC_H
#define FIRN_FORMAT_CODEC_H

#include "base/slice.h"

#include <stdint.h>

/* Numbers are part of the formats. */
enum firn_codec {
    FIRN_CODEC_NONE = 0,
    FIRN_CODEC_LZ4 = 1,
    FIRN_CODEC_ZSTD = 2,
};

/* The libraries' working memory, made when first needed and used again. Zero-initialise; one thread
 * at a time; clear when done. */
struct firn_codec_ctx {
    void *lz4, *zstd_in, *zstd_out;
};
void firn_codec_ctx_clear(struct firn_codec_ctx *c);

static inline bool firn_codec_known(unsigned codec)
{
    return codec <= FIRN_CODEC_ZSTD;
}

/* Append `raw` to `out`, compressed with *codec if that saves at least 1/16, else as it is; *codec
 * says which was done. raw is at most 2^31 - 2^24 bytes (asserted). LIMIT: out's max or memory; out
 * and *codec are unchanged then. */
enum firn_status firn_codec_pack(struct firn_codec_ctx *c, enum firn_codec *codec,
                                 struct firn_slice raw, struct firn_buf *out) FIRN_MUST_USE;

/* Unpack to exactly raw_len bytes at `raw`. CORRUPT: an unknown codec, damaged bytes, or another
 * length; raw may hold anything then. LIMIT: memory. `stored` may be any bytes. */
enum firn_status firn_codec_unpack(struct firn_codec_ctx *c, unsigned codec,
                                   struct firn_slice stored, uint8_t *raw,
                                   size_t raw_len) FIRN_MUST_USE;

#endif
