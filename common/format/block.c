#include "format/block.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "format/block_priv.h"

/* ---- unpacking */

enum firn_status firn_block_raw_len(struct firn_slice stored, uint32_t *out)
{
    if (stored.len < FIRN_BLOCK_FRAME_BYTES)
        return FIRN_CORRUPT;
    uint32_t len = firn_le32(stored.data + stored.len - FIRN_BLOCK_FRAME_BYTES + 4);
    if (len < FIRN_BLOCK_TRAILER_BYTES || len > FIRN_BLOCK_RAW_MAX)
        return FIRN_CORRUPT;
    *out = len;
    return FIRN_OK;
}

enum firn_status firn_block_unpack(struct firn_codec_ctx *c, struct firn_slice stored,
                                   uint64_t table_id, uint64_t offset, uint8_t *raw, size_t raw_len)
{
    uint32_t len;
    enum firn_status s = firn_block_raw_len(stored, &len);
    if (s != FIRN_OK)
        return s;
    const uint8_t *frame = stored.data + stored.len - FIRN_BLOCK_FRAME_BYTES;
    uint64_t sum = firn_xxh3_seed(stored.data, stored.len - 8, firn_place_seed(table_id, offset));
    if (len != raw_len || sum != firn_le64(frame + 16))
        return FIRN_CORRUPT;
    if (firn_le32(frame + 8) != 0)
        return FIRN_INVALID;
    if (firn_le32(frame + 12) != 0 || frame[1] || frame[2] || frame[3])
        return FIRN_CORRUPT;
    struct firn_slice body = firn_slice_of(stored.data, stored.len - FIRN_BLOCK_FRAME_BYTES);
    return firn_codec_unpack(c, frame[0], body, raw, raw_len);
}

/* ---- opening */

static enum firn_status check_kind(uint8_t kind)
{
    switch (kind) {
    case FIRN_RECORD_PUT:
    case FIRN_RECORD_DEDUP:
    case FIRN_RECORD_DEL:
    case FIRN_RECORD_EXPIRED:
        return FIRN_OK;
    default:
        return kind >= FIRN_RECORD_SKIPPABLE ? FIRN_OK : FIRN_INVALID;
    }
}

/* Check the entry at offset `at`; *key_len is the length of the key before it and becomes its own.
 */
static enum firn_status check_entry(const struct firn_block *b, uint32_t *at, bool restart,
                                    size_t *key_len)
{
    const uint8_t *p = b->raw + *at, *end = b->raw + b->entries_end;
    uint64_t shared, rest, value;
    enum firn_status s = check_kind(*p++);
    if (s != FIRN_OK)
        return s;
    if (!(p = firn_varint_get(p, end, &shared)) || !(p = firn_varint_get(p, end, &rest)) ||
        !(p = firn_varint_get(p, end, &value)))
        return FIRN_CORRUPT;
    size_t left = (size_t)(end - p), fixed = b->seqno_bytes + (value & 1 ? 8 : 0);
    value >>= 1;
    if (shared > *key_len || (restart && shared) || rest > FIRN_KEY_MAX ||
        shared + rest > FIRN_KEY_MAX || rest == 0)
        return FIRN_CORRUPT;
    if (left < fixed || left - fixed < rest || left - fixed - rest < value)
        return FIRN_CORRUPT;
    *key_len = (size_t)(shared + rest);
    *at = (uint32_t)(p + fixed + rest + value - b->raw);
    return FIRN_OK;
}

/* Walk all entries; restarts must be where the array says, and nowhere else. */
static enum firn_status check_entries(struct firn_block *b)
{
    uint32_t at = 0, r = 0;
    size_t key_len = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        if (at >= b->entries_end)
            return FIRN_CORRUPT;
        bool restart = r < b->restarts && firn_le32(b->restart + (size_t)r * 4) == at;
        r += restart;
        enum firn_status s = check_entry(b, &at, restart, &key_len);
        if (s != FIRN_OK)
            return s;
        if (r == 0 || (i == 0 && b->common > key_len))
            return FIRN_CORRUPT;
        if (key_len > b->key_max)
            b->key_max = (uint32_t)key_len;
    }
    return at == b->entries_end && r == b->restarts ? FIRN_OK : FIRN_CORRUPT;
}

static enum firn_status check_buckets(const struct firn_block *b)
{
    for (uint32_t i = 0; i < b->buckets; i++)
        if (b->bucket[i] >= b->restarts && b->bucket[i] < BUCKET_SEVERAL)
            return FIRN_CORRUPT;
    return FIRN_OK;
}

enum firn_status firn_block_open(struct firn_slice raw, struct firn_block *out)
{
    if (raw.len < FIRN_BLOCK_TRAILER_BYTES || raw.len > FIRN_BLOCK_RAW_MAX)
        return FIRN_CORRUPT;
    const uint8_t *t = raw.data + raw.len - FIRN_BLOCK_TRAILER_BYTES;
    struct firn_block b = {
        .raw = raw.data,
        .count = firn_le32(t),
        .restarts = firn_le32(t + 4),
        .buckets = firn_le32(t + 8),
        .common = firn_le32(t + 12),
        .base_seqno = firn_le64(t + 16),
        .seqno_bytes = t[24],
    };
    uint64_t arrays = (uint64_t)b.restarts * 12 + b.buckets;
    if (firn_le64(t + 24) > 8 || b.restarts == 0 || b.restarts > b.count ||
        arrays > raw.len - FIRN_BLOCK_TRAILER_BYTES)
        return FIRN_CORRUPT;
    b.entries_end = (uint32_t)(raw.len - FIRN_BLOCK_TRAILER_BYTES - arrays);
    b.prefix = raw.data + b.entries_end;
    b.restart = b.prefix + (size_t)b.restarts * 8;
    b.bucket = b.restart + (size_t)b.restarts * 4;
    b.seqno_mask = b.seqno_bytes == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * b.seqno_bytes) - 1;
    enum firn_status s = check_buckets(&b);
    if (s == FIRN_OK)
        s = check_entries(&b);
    if (s != FIRN_OK)
        return s;
    b.first_key = firn_block__head(b.raw, b.seqno_bytes).key;
    *out = b;
    return FIRN_OK;
}

/* ---- searching */

#define BEFORE_ALL UINT32_MAX
#define BEHIND_ALL (UINT32_MAX - 1)
#define PREFETCH_BYTES ((size_t)384)       /* from a restart on: entries, as a scan meets them */
#define PREFETCH_ARRAY_BYTES ((size_t)768) /* of the arrays that a search meets */

static inline uint32_t restart_at(const struct firn_block *b, uint32_t r)
{
    return firn_le32(b->restart + (size_t)r * 4);
}

static inline struct firn_slice restart_key(const struct firn_block *b, uint32_t r)
{
    struct firn_block__head h = firn_block__head(b->raw + restart_at(b, r), b->seqno_bytes);
    return firn_slice_of(h.key, h.rest);
}

/* How many of the n numbers at `array` are below p: a binary search without branches on data. */
static inline uint32_t count_below(const uint8_t *array, uint32_t n, uint64_t p)
{
    uint32_t base = 0;
    while (n > 1) {
        uint32_t half = n / 2;
        base += half & (0 - (uint32_t)(firn_le64(array + 8 * (size_t)(base + half - 1)) < p));
        n -= half;
    }
    return base + (n == 1 && firn_le64(array + 8 * (size_t)base) < p);
}

/* Restarts `from` on have the prefix p, several of them: the last one whose key is ≤ key, or from
 * - 1. */
static uint32_t among_equals(const struct firn_block *b, uint32_t from, uint64_t p,
                             struct firn_slice key)
{
    uint32_t lo = from;
    uint32_t hi = p < UINT64_MAX ? count_below(b->prefix, b->restarts, p + 1) : b->restarts;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (firn_slice_cmp(restart_key(b, mid), key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo - 1; /* BEFORE_ALL where lo is 0 */
}

static inline uint64_t prefix_at(const struct firn_block *b, uint32_t r)
{
    return firn_le64(b->prefix + (size_t)r * 8);
}

/* The last restart whose key is ≤ key, or the one behind that, if its prefix alone cannot tell;
 * BEFORE_ALL if the first key is larger, BEHIND_ALL if every key is smaller. */
static uint32_t find_restart(const struct firn_block *b, struct firn_slice key)
{
    if (key.len < b->common || !firn_same_bytes(key.data, b->first_key, b->common))
        return firn_slice_cmp(key, firn_slice_of(b->first_key, b->common)) < 0 ? BEFORE_ALL
                                                                               : BEHIND_ALL;
    uint64_t p = firn_key_prefix(key, b->common);
    uint32_t lo = count_below(b->prefix, b->restarts, p);
    if (lo == b->restarts || prefix_at(b, lo) != p)
        return lo - 1;
    if (lo + 1 == b->restarts || prefix_at(b, lo + 1) != p)
        return lo;
    return among_equals(b, lo, p, key);
}

static inline void set_entry(const struct firn_block *b, const struct firn_block__head *h,
                             struct firn_slice key, struct firn_entry *out)
{
    /* 8 bytes can be read from any entry's seqno: the trailer alone is longer */
    out->key = key;
    out->value = firn_slice_of(h->key + h->rest, h->value_len);
    out->seqno = b->base_seqno + (firn_le64(h->seqno) & b->seqno_mask);
    out->expiry_ms = h->expires ? firn_le64(h->seqno + b->seqno_bytes) : 0;
    out->kind = h->kind;
}

enum scan { FOUND, MISSING, ALL_LARGER };

/* Look for `key` among the entries of restart r, without building their keys: `same` bytes of the
 * key are those of the entry before, which was smaller. */
static inline enum scan scan_group(const struct firn_block *b, uint32_t r, struct firn_slice key,
                                   struct firn_entry *out)
{
    const uint8_t *start = b->raw + restart_at(b, r), *p = start;
    const uint8_t *end = b->raw + (r + 1 < b->restarts ? restart_at(b, r + 1) : b->entries_end);
    size_t same = 0;
    do {
        struct firn_block__head h = firn_block__head(p, b->seqno_bytes);
        const uint8_t *at = p;
        p = h.key + h.rest + h.value_len;
        if (h.shared > same)
            continue; /* differs from key where the one before did: smaller */
        if (h.shared < same)
            return MISSING; /* grew where the one before was as key: larger */
        size_t left = key.len - same, max = h.rest < left ? h.rest : left;
        size_t n = firn_shared_len(h.key, key.data + same, max);
        if (n == left && n == h.rest) {
            set_entry(b, &h, key, out);
            return FOUND;
        }
        if (n == left || (n < h.rest && h.key[n] > key.data[same + n]))
            return at == start ? ALL_LARGER : MISSING;
        same += n;
    } while (p < end);
    return MISSING;
}

/* Where the hash index says what it knows of a key; only where there is one. */
static inline const uint8_t *bucket_of(const struct firn_block *b, uint64_t hash)
{
    return &b->bucket[((hash & UINT32_MAX) * b->buckets) >> 32];
}

void firn_block_prefetch_index(const struct firn_block *b, uint64_t hash)
{
    if (b->buckets)
        __builtin_prefetch(bucket_of(b, hash));
}

/* What the hash index says: a restart, BUCKET_SEVERAL or BUCKET_NONE. */
static inline uint8_t ask_index(const struct firn_block *b, uint64_t hash)
{
    return b->buckets ? *bucket_of(b, hash) : BUCKET_SEVERAL;
}

static inline void prefetch(const uint8_t *p, size_t len)
{
    for (size_t at = 0; at < len; at += 64)
        __builtin_prefetch(p + at);
}

void firn_block_prefetch_restart(const struct firn_block *b, uint64_t hash)
{
    uint8_t r = ask_index(b, hash);
    size_t arrays = (size_t)b->restarts * 12;
    if (r == BUCKET_SEVERAL) { /* a search: prefixes, then the restart's offset */
        prefetch(b->prefix, arrays < PREFETCH_ARRAY_BYTES ? arrays : PREFETCH_ARRAY_BYTES);
        __builtin_prefetch(b->first_key);
    } else if (r != BUCKET_NONE) {
        __builtin_prefetch(b->restart + (size_t)r * 4);
    }
}

void firn_block_prefetch_entries(const struct firn_block *b, struct firn_slice key, uint64_t hash)
{
    uint32_t r = ask_index(b, hash);
    if (r == BUCKET_NONE)
        return;
    if (r == BUCKET_SEVERAL)
        r = find_restart(b, key);
    if (r < BEHIND_ALL)
        prefetch(b->raw + restart_at(b, r), PREFETCH_BYTES);
}

enum firn_status firn_block_get(const struct firn_block *b, struct firn_slice key, uint64_t hash,
                                struct firn_entry *out)
{
    if (b->buckets) {
        uint8_t r = *bucket_of(b, hash);
        if (r == BUCKET_NONE)
            return FIRN_ABSENT;
        if (r != BUCKET_SEVERAL)
            return scan_group(b, r, key, out) == FOUND ? FIRN_OK : FIRN_ABSENT;
    }
    uint32_t r = find_restart(b, key);
    if (r >= BEHIND_ALL)
        return FIRN_ABSENT;
    enum scan found = scan_group(b, r, key, out);
    if (found == ALL_LARGER && r > 0)
        found = scan_group(b, r - 1, key, out);
    return found == FOUND ? FIRN_OK : FIRN_ABSENT;
}

/* ---- iterating */

enum firn_status firn_block_iter_init(struct firn_block_iter *it, const struct firn_block *b)
{
    it->b = b;
    it->valid = false;
    if (it->key_cap >= b->key_max)
        return FIRN_OK;
    size_t cap = b->key_max < 64 ? 64 : b->key_max;
    uint8_t *key = firn_malloc(cap);
    if (!key)
        return FIRN_LIMIT;
    firn_free(it->key);
    it->key = key;
    it->key_cap = cap;
    return FIRN_OK;
}

void firn_block_iter_clear(struct firn_block_iter *it)
{
    firn_free(it->key);
    *it = (struct firn_block_iter){0};
}

/* Stand on the entry at offset `at`, a restart or the one behind the current entry. */
static inline void stand(struct firn_block_iter *it, uint32_t at)
{
    const struct firn_block *b = it->b;
    struct firn_block__head h = firn_block__head(b->raw + at, b->seqno_bytes);
    memcpy(it->key + h.shared, h.key, h.rest);
    set_entry(b, &h, firn_slice_of(it->key, h.shared + h.rest), &it->e);
    it->at = at;
    it->next = (uint32_t)(h.key + h.rest + h.value_len - b->raw);
    it->valid = true;
}

void firn_block_iter_first(struct firn_block_iter *it)
{
    stand(it, 0);
}

void firn_block_iter_last(struct firn_block_iter *it)
{
    stand(it, restart_at(it->b, it->b->restarts - 1));
    while (it->next < it->b->entries_end)
        stand(it, it->next);
}

void firn_block_iter_next(struct firn_block_iter *it)
{
    FIRN_ASSERT(it->valid);
    if (it->next >= it->b->entries_end)
        it->valid = false;
    else
        stand(it, it->next);
}

void firn_block_iter_prev(struct firn_block_iter *it)
{
    FIRN_ASSERT(it->valid);
    uint32_t at = it->at, lo = 0, hi = it->b->restarts;
    if (at == 0) {
        it->valid = false;
        return;
    }
    while (hi - lo > 1) { /* the last restart before `at` */
        uint32_t mid = lo + (hi - lo) / 2;
        if (restart_at(it->b, mid) < at)
            lo = mid;
        else
            hi = mid;
    }
    stand(it, restart_at(it->b, lo));
    while (it->next < at)
        stand(it, it->next);
}

void firn_block_iter_seek(struct firn_block_iter *it, struct firn_slice key)
{
    uint32_t r = find_restart(it->b, key);
    it->valid = false;
    if (r == BEHIND_ALL)
        return;
    stand(it, r == BEFORE_ALL ? 0 : restart_at(it->b, r));
    if (r != BEFORE_ALL && r > 0 && firn_slice_cmp(it->e.key, key) > 0)
        stand(it, restart_at(it->b, r - 1));
    while (it->valid && firn_slice_cmp(it->e.key, key) < 0)
        firn_block_iter_next(it);
}

void firn_block_iter_seek_before(struct firn_block_iter *it, struct firn_slice key)
{
    firn_block_iter_seek(it, key);
    if (it->valid)
        firn_block_iter_prev(it);
    else
        firn_block_iter_last(it);
}
