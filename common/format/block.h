/* Blocks of a table: sorted entries of distinct keys, found without decoding. As stored:
 *
 *   0       body: the raw block, compressed as the codec says
 *   -24  1  codec: 0 none, 1 lz4 block, 2 zstd frame
 *   -23  3  zero
 *   -20  4  raw length
 *   -16  4  key id (0 = not encrypted; the nonce of encryption at rest is (table id, offset))
 *   -12  4  zero
 *   -8   8  checksum: XXH3-64 of all before it, seeded by (table id, offset): firn_place_seed
 *
 * A raw block, little-endian:
 *
 *   entries; each one
 *     1  kind (record.h)
 *     v  bytes of the key shared with the entry before (0 in the first entry behind a restart)
 *     v  bytes of the key that follow here
 *     v  value length * 2 + (1 if it expires)
 *     w  seqno - base seqno, little-endian, as many bytes as the trailer says
 *     8  expiry in ms since 1970, if it expires
 *     .. the rest of the key, the value
 *   8 * restarts  the next 8 bytes of each restart's key behind the common prefix, as a number
 * (first byte highest, zeros behind a shorter key): this array is searched without branches 4 *
 * restarts  offsets of the restarts; the first is 0 buckets       hash index, one byte each:
 * restart number, 254 = several (search), 255 = none (absent); bucket of a key = (low half of
 * firn_xxh3(key) * buckets) >> 32 4  count of entries 4  restarts, at least 1 4  buckets, 0 = no
 * hash index 4  common: length of the prefix that all keys share, found at the start of the first
 * key 8  base seqno 8  zero (flags)
 *
 * All numbers marked v are LEB128. Everything in here is pure and safe on any bytes. */
#ifndef FIRN_FORMAT_BLOCK_H
#define FIRN_FORMAT_BLOCK_H

#include "format/codec.h"
#include "format/entry.h"
#include "format/key.h"

#define FIRN_BLOCK_FRAME_BYTES 24
#define FIRN_BLOCK_TRAILER_BYTES 32
#define FIRN_BLOCK_RAW_MAX ((UINT32_C(1) << 30) + (UINT32_C(1) << 20))
#define FIRN_BLOCK_RESTART_INTERVAL 4 /* entries per restart, by default */

/* The seed that binds bytes to (table id, offset). */
uint64_t firn_place_seed(uint64_t table_id, uint64_t offset);

/* --- building */

struct firn_block_builder {
    struct firn_buf raw;     /* entries so far */
    struct firn_buf restart; /* offsets, 4 bytes each */
    struct firn_buf hash;    /* firn_xxh3 of each key, low half, and its restart: 8 bytes each */
    struct firn_buf last;    /* the last key */
    uint64_t base_seqno, max_seqno;
    uint32_t count, interval;
    uint8_t seqno_bytes;
    bool hash_index;
};

/* Every seqno will lie in [base_seqno, max_seqno] (the narrower, the fewer bytes an entry takes);
 * restart_interval: entries per restart, 0 = the default. No allocation. */
void firn_block_builder_init(struct firn_block_builder *b, uint64_t base_seqno, uint64_t max_seqno,
                             uint32_t restart_interval, bool hash_index);
void firn_block_builder_clear(struct firn_block_builder *b);
/* Add an entry: its key above the last one, its seqno within the bounds (both asserted), hash =
 * firn_xxh3(key). LIMIT: memory, or the block would pass FIRN_BLOCK_RAW_MAX; nothing was added. */
enum firn_status firn_block_builder_add(struct firn_block_builder *b, const struct firn_entry *e,
                                        uint64_t hash) FIRN_MUST_USE;
/* Bytes of the raw block, if it were finished now (without the hash index). */
size_t firn_block_builder_size(const struct firn_block_builder *b);
/* Append the stored block of the entries added (at least one, asserted), which will lie at `offset`
 * of table `table_id`, to `out`; the builder is empty and usable again. LIMIT: out's max or memory;
 * then builder and out are of use only to be cleared. */
enum firn_status firn_block_builder_finish(struct firn_block_builder *b, struct firn_codec_ctx *c,
                                           enum firn_codec codec, uint64_t table_id,
                                           uint64_t offset, struct firn_buf *out) FIRN_MUST_USE;

/* --- unpacking */

/* The raw length a stored block claims to have (what the index says, too). CORRUPT: too short, or
 * out of bounds. The checksum is not looked at. */
enum firn_status firn_block_raw_len(struct firn_slice stored, uint32_t *out) FIRN_MUST_USE;
/* Verify the checksum and unpack to `raw`, which has raw_len bytes of room. CORRUPT: damaged, not
 * of this place, or of another raw length; INVALID: encrypted (key id); LIMIT: memory. c may be
 * NULL. */
enum firn_status firn_block_unpack(struct firn_codec_ctx *c, struct firn_slice stored,
                                   uint64_t table_id, uint64_t offset, uint8_t *raw,
                                   size_t raw_len) FIRN_MUST_USE;

/* An opened raw block. Plain data that points into the raw bytes, which must stay. */
struct firn_block {
    const uint8_t *raw;
    const uint8_t *prefix;  /* array of 8-byte numbers */
    const uint8_t *restart; /* array of 4-byte offsets */
    const uint8_t *bucket;
    const uint8_t *first_key;
    uint64_t base_seqno;
    uint64_t seqno_mask;
    uint32_t entries_end; /* offset behind the last entry */
    uint32_t count, restarts, buckets, common;
    uint32_t key_max; /* length of the longest key */
    uint32_t seqno_bytes;
};

/* Open raw bytes and check every entry's lengths, kind and place, so that nothing below can leave
 * the bytes. (Order of keys is the writer's business: the checksum vouches for it.) CORRUPT:
 * malformed; INVALID: a kind below 0x80 that this program does not know. O(entries), no allocation.
 */
enum firn_status firn_block_open(struct firn_slice raw, struct firn_block *out) FIRN_MUST_USE;

/* --- reading */

/* Point read: OK and *out (key = the one asked for, value borrowed from the block), or ABSENT. hash
 * = firn_xxh3(key). No allocation, no copy. */
enum firn_status firn_block_get(const struct firn_block *b, struct firn_slice key, uint64_t hash,
                                struct firn_entry *out);

/* Ask the CPU's cache, one step after the other and each when what the one before asked for has
 * come, for what a get of this key will touch: the hash index, the restart's offset, the entries.
 */
void firn_block_prefetch_index(const struct firn_block *b, uint64_t hash);
void firn_block_prefetch_restart(const struct firn_block *b, uint64_t hash);
void firn_block_prefetch_entries(const struct firn_block *b, struct firn_slice key, uint64_t hash);

/* A position in a block. Zero-initialise. */
struct firn_block_iter {
    const struct firn_block *b;
    struct firn_entry e; /* where `valid`; key borrowed from the iterator, value from the block */
    bool valid;
    uint32_t at, next; /* offsets of this entry and of the one behind it */
    uint8_t *key;      /* key_cap bytes, owned */
    size_t key_cap;
};

/* Stand nowhere in block b, which must outlive the use. The iterator may have been on another block
 * before: its memory is used again. LIMIT: memory (the iterator stands nowhere then). */
enum firn_status firn_block_iter_init(struct firn_block_iter *it,
                                      const struct firn_block *b) FIRN_MUST_USE;
void firn_block_iter_clear(struct firn_block_iter *it);
/* Move to the first entry with a key ≥ key; valid says whether there is one. */
void firn_block_iter_seek(struct firn_block_iter *it, struct firn_slice key);
/* Move to the last entry with a key < key. */
void firn_block_iter_seek_before(struct firn_block_iter *it, struct firn_slice key);
void firn_block_iter_first(struct firn_block_iter *it);
void firn_block_iter_last(struct firn_block_iter *it);
/* One on; only where valid. prev costs up to a restart interval of entries. */
void firn_block_iter_next(struct firn_block_iter *it);
void firn_block_iter_prev(struct firn_block_iter *it);

#endif
