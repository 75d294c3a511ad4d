/* Tables: immutable sorted objects. Little-endian:
 *
 *   0   8  object header: kind FIRN_OBJ_TABLE, format 1
 *   8   8  table id
 *   16     blocks (block.h), one behind the other
 *   ..     metadata: one contiguous region, fetched by one exact range (the manifest has its
 * offset, length and checksum) -48 8  offset of the metadata -40 8  length of the metadata -32 8
 * checksum of the metadata: XXH3-64 seeded by firn_place_seed(table id, offset) -24 8  table id -16
 * 8  object header again -8  8  checksum of the footer: XXH3-64 of the 40 bytes before it
 *
 * The footer is for firnctl and repair: readers go by the manifest. Metadata:
 *
 *   0   4  sections
 *   4   4  zero
 *   8      per section, 16 bytes: kind (2), flags (2: 1 = who does not know it must refuse the
 * table), zero (4), offset in the metadata (4), length (4); then the sections
 *
 * Sections, each at most once (5 and up are free for a partitioned index and filter, with flag 1):
 *   1  index: 4 count of blocks, 4 length of the separators, 4 zero, 4 common; then per block 8
 * offset, 4 stored length, 4 raw length, 4 count of entries, 4 length of its separator; then the
 * separators, one behind the other. Keys of block i are ≥ separator i and < separator i + 1.
 * Separator 0 is empty. Others are as short as that allows. 2  filter (filter.h); may be missing 3
 * range tombstones: 4 count, 4 zero; then per fragment 8 seqno, 4 start length, 4 end length,
 * start, end (0 bytes = unbounded); sorted, not overlapping (tombs.h); may be missing 4 properties:
 * firn.TableProperties (proto/table.proto)
 */
#ifndef FIRN_FORMAT_TABLE_H
#define FIRN_FORMAT_TABLE_H

#include "format/block.h"
#include "format/filter.h"
#include "format/manifest_codec.h"
#include "format/tombs.h"

#define FIRN_TABLE_FORMAT 1
#define FIRN_TABLE_HEADER_BYTES 16
#define FIRN_TABLE_FOOTER_BYTES 48
#define FIRN_TABLE_META_MAX (UINT32_C(1) << 30)

/* A table's id, from what is never used twice (I10): database, role, epoch, number. Never 0. */
uint64_t firn_table_id(const struct firn_id *db, const struct firn_table_name *name);

/* Where the metadata of an object lies, and how it is known to be whole. */
struct firn_table_loc {
    uint64_t table_id;
    uint64_t size; /* of the object */
    uint64_t meta_offset, meta_length, meta_checksum;
};
/* From the manifest's reference. */
struct firn_table_loc firn_table_loc_of(const Firn__Table *t);
/* From the last FIRN_TABLE_FOOTER_BYTES of an object of `size` bytes. CORRUPT: no footer; INVALID:
 * a format from the future. */
enum firn_status firn_table_footer_decode(struct firn_slice footer, uint64_t size,
                                          struct firn_table_loc *out,
                                          struct firn_err *err) FIRN_MUST_USE;
/* Does an object's first FIRN_TABLE_HEADER_BYTES say that it is table `table_id`? Statuses as
 * above. */
enum firn_status firn_table_header_check(struct firn_slice header, uint64_t table_id,
                                         struct firn_err *err) FIRN_MUST_USE;

/* firn.TableProperties as plain data. */
struct firn_table_props {
    uint64_t entries, tombstones, range_tombstones, expiring;
    uint64_t blocks, raw_bytes, stored_bytes, key_bytes, value_bytes;
    uint64_t min_seqno, max_seqno;
    uint64_t min_expiry_ms, max_expiry_ms;
    uint64_t created_ms;
    struct firn_slice min_key, max_key; /* borrowed from whoever holds the props */
};

/* One block as the index has it. */
struct firn_table_block {
    uint64_t offset;
    uint32_t stored_len, raw_len, count;
    uint32_t sep_at, sep_len; /* separator: where in `sep` */
};

/* Decoded metadata, one allocation. Immutable: any thread may read it. */
struct firn_table_meta {
    uint64_t table_id;
    size_t bytes; /* of this allocation */
    uint32_t blocks;
    uint32_t common; /* bytes that all separators but the first share */
    const uint64_t
        *prefix; /* per block: the 8 bytes of its separator behind common, first highest */
    const struct firn_table_block *block;
    const uint8_t *sep;
    struct firn_filter filter;
    const struct firn_range_tomb *tomb; /* fragments (tombs.h) */
    size_t tombs;
    struct firn_table_props props;
};

/* Verify and decode the metadata region of the table at `loc` (region.len is loc->meta_length, else
 * CORRUPT). *out is the caller's, freed by firn_table_meta_free; it borrows nothing. CORRUPT:
 * damaged or malformed, or blocks that do not fill the object up to the metadata exactly; INVALID:
 * a section from the future that must be known; LIMIT: memory. */
enum firn_status firn_table_meta_decode(struct firn_slice region, const struct firn_table_loc *loc,
                                        struct firn_table_meta **out,
                                        struct firn_err *err) FIRN_MUST_USE;
/* The same without the filter (lines is 0): for merges, which never ask one. */
enum firn_status firn_table_meta_decode_lean(struct firn_slice region,
                                             const struct firn_table_loc *loc,
                                             struct firn_table_meta **out,
                                             struct firn_err *err) FIRN_MUST_USE;
void firn_table_meta_free(struct firn_table_meta *m); /* NULL-safe */

static inline struct firn_slice firn_table_sep(const struct firn_table_meta *m, uint32_t block)
{
    return firn_slice_of(m->sep + m->block[block].sep_at, m->block[block].sep_len);
}

/* The one block that may hold `key`, or where a scan from `key` begins: the last whose separator is
 * ≤ key (block 0 at least). The table must have blocks. O(log blocks), branch-free on prefixes. A
 * scan that finds nothing ≥ key in it goes on at the start of the next one. */
uint32_t firn_table_find(const struct firn_table_meta *m, struct firn_slice key);

/* --- encoding, for the builder (lsm/table_build) */

/* Append header, metadata or footer. Of the blocks' sep_at is ignored: `sep` has the separators one
 * behind the other. filter may be empty (none). LIMIT: out's max, memory or FIRN_TABLE_META_MAX. */
enum firn_status firn_table_header_encode(uint64_t table_id, struct firn_buf *out) FIRN_MUST_USE;
struct firn_table_meta_parts {
    const struct firn_table_block *block;
    size_t blocks;
    struct firn_slice sep;
    struct firn_slice filter;
    const struct firn_range_tomb *tomb;
    size_t tombs;
    const struct firn_table_props *props;
    const char *created_by;
};
enum firn_status firn_table_meta_encode(const struct firn_table_meta_parts *p,
                                        struct firn_buf *out) FIRN_MUST_USE;
enum firn_status firn_table_footer_encode(const struct firn_table_loc *loc,
                                          struct firn_buf *out) FIRN_MUST_USE;

#endif
