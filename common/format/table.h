/* Tables: immutable sorted objects. Little-endian:
 *
 *   0   8  object header: kind FIRN_OBJ_TABLE, format of the database
 *   8   8  table id
 *   16     blocks (block.h), one behind the other
 *   ..     partitions, one behind the other: each has the index of consecutive blocks and the
 *          filter of their keys
 *   ..     head: range tombstones, properties, where the partitions lie
 *   -48 8  offset of the head
 *   -40 8  length of the head
 *   -32 8  checksum of the head: XXH3-64 seeded by firn_place_seed(table id, offset)
 *   -24 8  table id
 *   -16 8  object header again
 *   -8  8  checksum of the footer: XXH3-64 of the 40 bytes before it
 *
 * The manifest's reference has what the footer has, and the lengths and separators of the
 * partitions, so that a reader gets the one partition that may have a key by one exact range
 * without having seen the head. The footer is for firnctl and repair.
 *
 * Head and partitions begin with a directory of sections:
 *
 *   0   4  sections
 *   4   4  zero
 *   8      per section, 16 bytes: kind (2), flags (2: 1 = who does not know it must refuse the
 *          table), zero (4), offset in the head or partition (4), length (4); then the sections
 *
 * and a partition ends with 8 bytes: XXH3-64 of all before, seeded by firn_place_seed(table id,
 * offset of the partition). Sections, each at most once:
 *
 *   1  index (partition): 8 offset of its first block, 4 count of blocks (at least 1), 4 length of
 *      the separators; per block 4 stored length, 4 raw length, 4 count of entries, 4 length of its
 *      separator; the separators. Keys of block i are ≥ separator i and < separator i + 1. That of
 *      a partition's first block is the partition's and not written again (length 0); the others
 *      are as short as that allows.
 *   2  filter (partition; filter.h); may be missing
 *   3  range tombstones (head): 4 count, 4 zero; per fragment 8 seqno, 4 start length, 4 end
 *      length, start, end (0 bytes = unbounded); sorted, not overlapping (tombs.h); may be missing
 *   4  properties (head): firn.TableProperties (proto/table.proto)
 *   5  partitions (head): 4 count, 4 length of the separators; per partition 4 length, 4 length of
 *      its separator, at most FIRN_BOUND_MAX; the separators. That of the first is empty.
 */
#ifndef FIRN_FORMAT_TABLE_H
#define FIRN_FORMAT_TABLE_H

#include "format/block.h"
#include "format/filter.h"
#include "format/manifest_codec.h"
#include "format/seps.h"
#include "format/tombs.h"

#define FIRN_TABLE_HEADER_BYTES 16
#define FIRN_TABLE_FOOTER_BYTES 48
#define FIRN_TABLE_META_MAX (UINT32_C(1) << 30) /* of a head, and of a partition */
#define FIRN_TABLE_PARTS_MAX 64                 /* partitions of a table */
/* What the builder makes of a partition: with 64 MiB tables of 1 KiB values about 6 partitions, of
 * 100 byte values 20; tables whose metadata would pass PARTS_MAX of them have larger ones. */
#define FIRN_TABLE_PART_BYTES (UINT32_C(64) << 10)

/* A table's id, from what is never used twice (I10): database, role, epoch, number. Never 0. */
uint64_t firn_table_id(const struct firn_id *db, const struct firn_table_name *name);

/* Where the head of an object lies, and how it is known to be whole. */
struct firn_table_loc {
    uint64_t table_id;
    uint64_t size; /* of the object */
    uint64_t head_offset, head_length, head_checksum;
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

/* --- where the partitions lie */

/* Partition i is [offset[i], offset[i + 1]) of the object and has the keys from separator i on.
 * Count 0: the table has no blocks. Immutable: any thread may read it. */
struct firn_table_parts {
    struct firn_seps sep;
    const uint64_t *offset; /* count + 1; the last one is the head's */
    void *room;             /* owned: all of the above */
};
/* From the manifest's reference, which is checked as far as it can be by itself: places, lengths,
 * separators against each other and the bounds. *out is the caller's, and borrows nothing. CORRUPT:
 * it makes no sense; LIMIT: memory. */
enum firn_status firn_table_parts_of(const Firn__Table *t, struct firn_table_parts *out,
                                     struct firn_err *err) FIRN_MUST_USE;
void firn_table_parts_clear(struct firn_table_parts *p); /* harmless on a zeroed one */
/* Do both name the same partitions? */
bool firn_table_parts_same(const struct firn_table_parts *a, const struct firn_table_parts *b);
/* Does the reference t name these partitions, too? No allocation. */
bool firn_table_parts_match(const struct firn_table_parts *p, const Firn__Table *t);

/* The bytes of partitions [first, end). */
static inline uint64_t firn_table_parts_bytes(const struct firn_table_parts *p, uint32_t first,
                                              uint32_t end)
{
    return p->offset[end] - p->offset[first];
}

/* --- the head */

/* firn.TableProperties as plain data. */
struct firn_table_props {
    uint64_t entries, tombstones, range_tombstones, expiring;
    uint64_t blocks, raw_bytes, stored_bytes, key_bytes, value_bytes;
    uint64_t min_seqno, max_seqno;
    uint64_t min_expiry_ms, max_expiry_ms;
    uint64_t created_ms;
    struct firn_slice min_key, max_key; /* borrowed from whoever holds the props */
};

/* Decoded. Immutable: any thread may read it. */
struct firn_table_head {
    uint64_t table_id;
    size_t bytes; /* of memory */
    struct firn_table_parts parts;
    const struct firn_range_tomb *tomb; /* fragments (tombs.h) */
    size_t tombs;
    struct firn_table_props props;
};

/* Verify and decode the head of the table at `loc` (bytes.len is loc->head_length, else CORRUPT).
 * *out is the caller's, freed by firn_table_head_free; it borrows nothing. CORRUPT: damaged or
 * malformed; INVALID: a section from the future that must be known; LIMIT: memory. */
enum firn_status firn_table_head_decode(struct firn_slice bytes, const struct firn_table_loc *loc,
                                        struct firn_table_head **out,
                                        struct firn_err *err) FIRN_MUST_USE;
void firn_table_head_free(struct firn_table_head *h); /* NULL-safe */

/* --- partitions */

/* One block as the index has it. */
struct firn_table_block {
    uint64_t offset;
    uint32_t stored_len, raw_len, count;
};

/* A decoded partition, or the indexes of several that follow each other as one; one allocation.
 * Immutable: any thread may read it. */
struct firn_table_part {
    uint64_t table_id;
    size_t bytes;         /* of this allocation */
    struct firn_seps sep; /* of the blocks; the first one's is not known in here (empty) */
    const struct firn_table_block *block; /* sep.count of them, at least one */
    struct firn_filter filter;            /* lines 0: every key may be there */
};

/* Verify and decode partition i of `parts` (bytes.len is its length, else CORRUPT). *out is the
 * caller's, freed by firn_table_part_free; it borrows nothing. Statuses as for the head. */
enum firn_status firn_table_part_decode(struct firn_slice bytes, uint64_t table_id,
                                        const struct firn_table_parts *parts, uint32_t i,
                                        struct firn_table_part **out,
                                        struct firn_err *err) FIRN_MUST_USE;
/* The same of the consecutive partitions [first, end), at least one, as one index without a filter:
 * for who reads a table from end to end. CORRUPT also: they do not follow each other. */
enum firn_status firn_table_index_decode(struct firn_slice bytes, uint64_t table_id,
                                         const struct firn_table_parts *parts, uint32_t first,
                                         uint32_t end, struct firn_table_part **out,
                                         struct firn_err *err) FIRN_MUST_USE;
void firn_table_part_free(struct firn_table_part *p); /* NULL-safe */

/* The partitions [*first, *end) that hold what keys of [lower, upper) there are (upper empty =
 * unbounded; the range is not empty). False: the table has no blocks. */
bool firn_table_parts_range(const struct firn_table_parts *p, struct firn_slice lower,
                            struct firn_slice upper, uint32_t *first, uint32_t *end);

/* --- encoding, for the builder (lsm/table_build) */

#define FIRN_TABLE_INDEX_BYTES 16 /* that a block takes in an index, without its separator */

/* Append header, partition, head or footer; `format` is the object's (version.h). LIMIT: out's max,
 * memory or FIRN_TABLE_META_MAX. */
enum firn_status firn_table_header_encode(uint64_t table_id, uint16_t format,
                                          struct firn_buf *out) FIRN_MUST_USE;
struct firn_table_part_def {
    uint64_t table_id, offset;            /* where it will lie */
    const struct firn_table_block *block; /* one behind the other, at least one */
    uint32_t blocks;
    const uint32_t *sep_at; /* blocks + 1 places in sep; that of the first block is not written */
    const uint8_t *sep;
    struct firn_slice filter; /* empty = none */
};
enum firn_status firn_table_part_encode(const struct firn_table_part_def *d,
                                        struct firn_buf *out) FIRN_MUST_USE;
struct firn_table_head_def {
    const uint32_t *part_length,
        *part_sep_length; /* `parts` of each; the first separator is empty */
    uint32_t parts;
    struct firn_slice part_sep;
    const struct firn_range_tomb *tomb;
    size_t tombs;
    const struct firn_table_props *props;
    const char *created_by;
};
enum firn_status firn_table_head_encode(const struct firn_table_head_def *d,
                                        struct firn_buf *out) FIRN_MUST_USE;
enum firn_status firn_table_footer_encode(const struct firn_table_loc *loc, uint16_t format,
                                          struct firn_buf *out) FIRN_MUST_USE;

#endif
