#include "format/codec.h"

#include "base/assert.h"
#include "base/mem.h"

#include <lz4.h>
#define ZSTD_STATIC_LINKING_ONLY /* contexts in memory of base/mem */
#include <zstd.h>
#include <zstd_errors.h>

#define ZSTD_LEVEL 1

static void *zstd_alloc(void *opaque, size_t size)
{
    (void)opaque;
    return firn_malloc(size);
}

static void zstd_release(void *opaque, void *p)
{
    (void)opaque;
    firn_free(p);
}

static const ZSTD_customMem zstd_mem = {zstd_alloc, zstd_release, NULL};

void firn_codec_ctx_clear(struct firn_codec_ctx *c)
{
    firn_free(c->lz4);
    (void)ZSTD_freeCCtx(c->zstd_in);
    (void)ZSTD_freeDCtx(c->zstd_out);
    *c = (struct firn_codec_ctx){0};
}

/* Compress into at most `room` bytes; *len is 0 when it does not fit. */
static enum firn_status pack_lz4(struct firn_codec_ctx *c, struct firn_slice raw, uint8_t *out,
                                 size_t room, size_t *len)
{
    if (!c->lz4 && !(c->lz4 = firn_malloc((size_t)LZ4_sizeofState())))
        return FIRN_LIMIT;
    int n = LZ4_compress_fast_extState(c->lz4, (const char *)raw.data, (char *)out, (int)raw.len,
                                       (int)room, 1);
    *len = n > 0 ? (size_t)n : 0;
    return FIRN_OK;
}

static enum firn_status pack_zstd(struct firn_codec_ctx *c, struct firn_slice raw, uint8_t *out,
                                  size_t room, size_t *len)
{
    if (!c->zstd_in && !(c->zstd_in = ZSTD_createCCtx_advanced(zstd_mem)))
        return FIRN_LIMIT;
    size_t n = ZSTD_compressCCtx(c->zstd_in, out, room, raw.data, raw.len, ZSTD_LEVEL);
    if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
        return FIRN_LIMIT;
    *len = ZSTD_isError(n) ? 0 : n;
    return FIRN_OK;
}

enum firn_status firn_codec_pack(struct firn_codec_ctx *c, enum firn_codec *codec,
                                 struct firn_slice raw, struct firn_buf *out)
{
    FIRN_ASSERT(raw.len <= (size_t)LZ4_MAX_INPUT_SIZE);
    size_t room = raw.len - raw.len / 16, len = 0;
    if (*codec == FIRN_CODEC_NONE || raw.len < 16) {
        enum firn_status s = firn_buf_append(out, raw.data, raw.len);
        if (s == FIRN_OK)
            *codec = FIRN_CODEC_NONE;
        return s;
    }
    enum firn_status s = firn_buf_reserve(out, raw.len);
    if (s != FIRN_OK)
        return s;
    uint8_t *at = out->data + out->len;
    s = *codec == FIRN_CODEC_LZ4 ? pack_lz4(c, raw, at, room, &len)
                                 : pack_zstd(c, raw, at, room, &len);
    if (s != FIRN_OK)
        return s;
    if (len) {
        out->len += len;
        return FIRN_OK;
    }
    *codec = FIRN_CODEC_NONE;
    return firn_buf_append(out, raw.data, raw.len);
}

static enum firn_status unpack_zstd(struct firn_codec_ctx *c, struct firn_slice stored,
                                    uint8_t *raw, size_t raw_len)
{
    if (!c->zstd_out && !(c->zstd_out = ZSTD_createDCtx_advanced(zstd_mem)))
        return FIRN_LIMIT;
    size_t n = ZSTD_decompressDCtx(c->zstd_out, raw, raw_len, stored.data, stored.len);
    if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
        return FIRN_LIMIT;
    return n == raw_len ? FIRN_OK : FIRN_CORRUPT;
}

enum firn_status firn_codec_unpack(struct firn_codec_ctx *c, unsigned codec,
                                   struct firn_slice stored, uint8_t *raw, size_t raw_len)
{
    if (codec == FIRN_CODEC_NONE) {
        if (stored.len != raw_len)
            return FIRN_CORRUPT;
        if (raw_len)
            memcpy(raw, stored.data, raw_len);
        return FIRN_OK;
    }
    if (stored.len > INT32_MAX || raw_len > INT32_MAX || stored.len == 0)
        return FIRN_CORRUPT;
    if (codec == FIRN_CODEC_LZ4) {
        int n = LZ4_decompress_safe((const char *)stored.data, (char *)raw, (int)stored.len,
                                    (int)raw_len);
        return n >= 0 && (size_t)n == raw_len ? FIRN_OK : FIRN_CORRUPT;
    }
    if (codec != FIRN_CODEC_ZSTD)
        return FIRN_CORRUPT;
    struct firn_codec_ctx own = {0};
    enum firn_status s = unpack_zstd(c ? c : &own, stored, raw, raw_len);
    firn_codec_ctx_clear(&own);
    return s;
}
