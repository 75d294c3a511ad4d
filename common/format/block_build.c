#include "base/assert.h"
#include "base/hash.h"
#include "format/block_priv.h"

#include <limits.h>

#define HEAD_MAX (1 + 3 * FIRN_VARINT_MAX + 8 + 8)

uint64_t firn_place_seed(uint64_t table_id, uint64_t offset)
{
    uint8_t b[16];
    firn_put_le64(b, table_id);
    firn_put_le64(b + 8, offset);
    return firn_xxh3(b, sizeof b);
}

/* How many bytes a number takes. */
static uint8_t bytes_for(uint64_t v)
{
    uint8_t n = 0;
    for (; v; v >>= 8)
        n++;
    return n;
}

void firn_block_builder_init(struct firn_block_builder *b, uint64_t base_seqno, uint64_t max_seqno,
                             uint32_t restart_interval, bool hash_index)
{
    FIRN_ASSERT(base_seqno <= max_seqno);
    *b = (struct firn_block_builder){
        .base_seqno = base_seqno,
        .max_seqno = max_seqno,
        .seqno_bytes = bytes_for(max_seqno - base_seqno),
        .interval = restart_interval ? restart_interval : FIRN_BLOCK_RESTART_INTERVAL,
        .hash_index = hash_index,
    };
    firn_buf_init(&b->raw, FIRN_BLOCK_RAW_MAX);
    firn_buf_init(&b->restart, FIRN_BLOCK_RAW_MAX);
    firn_buf_init(&b->hash, FIRN_BLOCK_RAW_MAX);
    firn_buf_init(&b->last, FIRN_KEY_MAX);
}

void firn_block_builder_clear(struct firn_block_builder *b)
{
    firn_buf_clear(&b->raw);
    firn_buf_clear(&b->restart);
    firn_buf_clear(&b->hash);
    firn_buf_clear(&b->last);
    b->count = 0;
}

size_t firn_block_builder_size(const struct firn_block_builder *b)
{
    return b->raw.len + 3 * b->restart.len + FIRN_BLOCK_TRAILER_BYTES;
}

static uint8_t *put_head(uint8_t *p, const struct firn_block_builder *b, const struct firn_entry *e,
                         size_t shared)
{
    *p++ = e->kind;
    p += firn_varint_put(p, shared);
    p += firn_varint_put(p, e->key.len - shared);
    p += firn_varint_put(p, (uint64_t)e->value.len << 1 | (e->expiry_ms != 0));
    firn_put_le64(p, e->seqno - b->base_seqno);
    p += b->seqno_bytes;
    if (e->expiry_ms) {
        firn_put_le64(p, e->expiry_ms);
        p += 8;
    }
    return p;
}

/* Make all the room an entry needs, so that adding it cannot fail in the middle. */
static enum firn_status make_room(struct firn_block_builder *b, const struct firn_entry *e)
{
    /* 12 bytes of a restart, 2 of buckets */
    size_t most = HEAD_MAX + e->key.len + 14;
    if (e->value.len > FIRN_BLOCK_RAW_MAX ||
        firn_block_builder_size(b) + b->count + e->value.len + most > FIRN_BLOCK_RAW_MAX)
        return FIRN_LIMIT;
    enum firn_status s = firn_buf_reserve(&b->raw, most + e->value.len);
    if (s == FIRN_OK)
        s = firn_buf_reserve(&b->restart, 4);
    if (s == FIRN_OK && b->hash_index)
        s = firn_buf_reserve(&b->hash, 8);
    if (s == FIRN_OK && b->last.cap < e->key.len)
        s = firn_buf_reserve(&b->last, e->key.len - b->last.len);
    return s;
}

enum firn_status firn_block_builder_add(struct firn_block_builder *b, const struct firn_entry *e,
                                        uint64_t hash)
{
    FIRN_ASSERT(e->key.len >= 1 && e->key.len <= FIRN_KEY_MAX);
    FIRN_ASSERT(e->seqno >= b->base_seqno && e->seqno <= b->max_seqno);
    enum firn_status s = make_room(b, e);
    if (s != FIRN_OK)
        return s;
    size_t max = b->last.len < e->key.len ? b->last.len : e->key.len;
    size_t shared = firn_shared_len(b->last.data, e->key.data, max);
    FIRN_ASSERT(b->count == 0 || shared == b->last.len ||
                (shared < e->key.len && b->last.data[shared] < e->key.data[shared]));
    FIRN_ASSERT(b->count == 0 || shared < e->key.len);
    bool restart = b->count % b->interval == 0;
    if (restart) {
        firn_put_le32(b->restart.data + b->restart.len, (uint32_t)b->raw.len);
        b->restart.len += 4;
    }
    if (b->hash_index) {
        firn_put_le32(b->hash.data + b->hash.len, (uint32_t)hash);
        firn_put_le32(b->hash.data + b->hash.len + 4, (uint32_t)(b->restart.len / 4 - 1));
        b->hash.len += 8;
    }
    size_t kept = restart ? 0 : shared;
    uint8_t *p = put_head(b->raw.data + b->raw.len, b, e, kept);
    memcpy(p, e->key.data + kept, e->key.len - kept);
    p += e->key.len - kept;
    if (e->value.len)
        memcpy(p, e->value.data, e->value.len);
    b->raw.len = (size_t)(p - b->raw.data) + e->value.len;
    memcpy(b->last.data + shared, e->key.data + shared, e->key.len - shared);
    b->last.len = e->key.len;
    b->count++;
    return FIRN_OK;
}

/* Buckets for the entries, three quarters full; 0 where restarts have too large numbers. */
static uint32_t buckets_for(const struct firn_block_builder *b)
{
    if (!b->hash_index || b->restart.len / 4 > BUCKET_RESTARTS_MAX)
        return 0;
    return b->count + b->count / 3 + 1;
}

static void put_buckets(const struct firn_block_builder *b, uint8_t *bucket, uint32_t n)
{
    memset(bucket, BUCKET_NONE, n);
    for (size_t i = 0; i < b->hash.len; i += 8) {
        uint64_t hash = firn_le32(b->hash.data + i);
        uint8_t restart = b->hash.data[i + 4];
        uint8_t *at = bucket + ((hash * n) >> 32);
        *at = *at == BUCKET_NONE || *at == restart ? restart : BUCKET_SEVERAL;
    }
}

static struct firn_slice restart_key(const struct firn_block_builder *b, size_t i)
{
    struct firn_block__head h =
        firn_block__head(b->raw.data + firn_le32(b->restart.data + 4 * i), b->seqno_bytes);
    return firn_slice_of(h.key, h.rest);
}

/* Append search arrays, hash index and trailer to the raw block. */
static enum firn_status put_trailer(struct firn_block_builder *b)
{
    size_t restarts = b->restart.len / 4;
    uint32_t buckets = buckets_for(b);
    size_t need = 12 * restarts + buckets + FIRN_BLOCK_TRAILER_BYTES;
    enum firn_status s = firn_buf_reserve(&b->raw, need);
    if (s != FIRN_OK)
        return s;
    struct firn_slice first = restart_key(b, 0);
    size_t max = first.len < b->last.len ? first.len : b->last.len;
    size_t common = firn_shared_len(first.data, b->last.data, max);
    uint8_t *p = b->raw.data + b->raw.len;
    for (size_t i = 0; i < restarts; i++, p += 8)
        firn_put_le64(p, firn_key_prefix(restart_key(b, i), common));
    memcpy(p, b->restart.data, b->restart.len);
    p += b->restart.len;
    put_buckets(b, p, buckets);
    p += buckets;
    firn_put_le32(p, b->count);
    firn_put_le32(p + 4, (uint32_t)restarts);
    firn_put_le32(p + 8, buckets);
    firn_put_le32(p + 12, (uint32_t)common);
    firn_put_le64(p + 16, b->base_seqno);
    firn_put_le64(p + 24, b->seqno_bytes);
    b->raw.len += need;
    return FIRN_OK;
}

static enum firn_status put_frame(struct firn_buf *out, size_t start, enum firn_codec codec,
                                  uint32_t raw_len, uint64_t seed)
{
    uint8_t frame[FIRN_BLOCK_FRAME_BYTES] = {0};
    frame[0] = (uint8_t)codec;
    firn_put_le32(frame + 4, raw_len);
    enum firn_status s = firn_buf_append(out, frame, sizeof frame);
    if (s != FIRN_OK)
        return s;
    size_t len = out->len - start - 8;
    firn_put_le64(out->data + out->len - 8, firn_xxh3_seed(out->data + start, len, seed));
    return FIRN_OK;
}

enum firn_status firn_block_builder_finish(struct firn_block_builder *b, struct firn_codec_ctx *c,
                                           enum firn_codec codec, uint64_t table_id,
                                           uint64_t offset, struct firn_buf *out)
{
    FIRN_ASSERT(b->count > 0);
    size_t start = out->len;
    enum firn_status s = put_trailer(b);
    if (s == FIRN_OK)
        s = firn_codec_pack(c, &codec, firn_buf_slice(&b->raw), out);
    if (s == FIRN_OK)
        s = put_frame(out, start, codec, (uint32_t)b->raw.len, firn_place_seed(table_id, offset));
    if (s != FIRN_OK)
        return s;
    b->raw.len = b->restart.len = b->hash.len = b->last.len = 0;
    b->count = 0;
    return FIRN_OK;
}
