/* Building a table in memory, from entries in key order to the whole object. Pure: may run in a
 * job. */
#ifndef FIRN_LSM_TABLE_BUILD_H
#define FIRN_LSM_TABLE_BUILD_H

#include "format/table.h"
#include "format/version.h"

#define FIRN_FILTER_BITS_L0 16     /* bits per key of the filters of tables in L0 … */
#define FIRN_FILTER_BITS_BOTTOM 10 /* … and in the bottom run of a partition */

struct firn_table_options {
    struct firn_id db;
    struct firn_table_name name;
    uint16_t format; /* number of the object (format/version.h); 0 = FIRN_FORMAT_OLDEST */
    uint64_t
        base_seqno; /* every seqno lies between these two: the closer they are, the smaller … */
    uint64_t max_seqno;   /* … the entries; 0 = not known */
    uint64_t created_ms;  /* wall clock, for people; 0 = not said */
    uint32_t block_bytes; /* of a raw block; 0 = 16 KiB; a larger entry gets a block of its own */
    uint32_t restart_interval; /* 0 = FIRN_BLOCK_RESTART_INTERVAL */
    unsigned filter_bits;      /* per key; 0 = no filter */
    uint32_t part_bytes; /* of a partition of the metadata, about; 0 = FIRN_TABLE_PART_BYTES */
    enum firn_codec codec;
    bool hash_index;   /* of the blocks, for point reads */
    size_t object_max; /* bound of the object's bytes; 0 = 2^40 */
};

/* A finished table: the object, and its reference for the manifest. */
struct firn_table_object {
    struct firn_buf bytes;
    struct firn_table_name name;
    Firn__Table *ref; /* all filled in but first, end (the flush's) and clips */
};
/* Free both; harmless on a zeroed or cleared one. */
void firn_table_object_clear(struct firn_table_object *o);

struct firn_table_builder;

/* LIMIT: memory; INVALID: max_seqno below base_seqno. */
enum firn_status firn_table_builder_create(const struct firn_table_options *o,
                                           struct firn_table_builder **out) FIRN_MUST_USE;
void firn_table_builder_free(struct firn_table_builder *b); /* NULL-safe */

/* Add an entry; its key must be above the last one's (INVALID otherwise: nothing was added), key
 * and value are copied. hash = firn_xxh3(key). LIMIT: memory or object_max: the builder is of no
 * further use. */
enum firn_status firn_table_builder_add(struct firn_table_builder *b, const struct firn_entry *e,
                                        uint64_t hash) FIRN_MUST_USE;
/* Add a range tombstone. They come in order and do not overlap (tombs.h; INVALID otherwise),
 * independently of the entries. Copied. */
enum firn_status firn_table_builder_add_tomb(struct firn_table_builder *b,
                                             const struct firn_range_tomb *t) FIRN_MUST_USE;

/* Nothing was added. */
bool firn_table_builder_empty(const struct firn_table_builder *b);
/* Bytes the object has so far: finished blocks, and the open one before compression. */
uint64_t firn_table_builder_bytes(const struct firn_table_builder *b);

/* Memory it has filled: the object so far, and what its metadata is made of. */
uint64_t firn_table_builder_memory(const struct firn_table_builder *b);

/* Finish a builder that is not empty (asserted); it is of no further use but to be freed. *out is
 * the caller's. LIMIT: memory or object_max. */
enum firn_status firn_table_builder_finish(struct firn_table_builder *b,
                                           struct firn_table_object *out) FIRN_MUST_USE;

#endif
