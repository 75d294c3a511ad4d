/* A run of tables read in key order from stored blocks that somebody else fetches: what a merge
 * reads from. The loop asks what to fetch (want) and hands it over (feed), a job reads entries
 * (next): never both at a time. */
#ifndef FIRN_LSM_TABLE_STREAM_H
#define FIRN_LSM_TABLE_STREAM_H

#include "format/table.h"

/* A table of a stream, and the keys of it that count. Borrowed. */
struct firn_stream_table {
    const struct firn_table_part
        *index;                         /* of all blocks that may have some; NULL: there are none */
    const struct firn_range_tomb *tomb; /* the table's, in order */
    size_t tombs;
    struct firn_slice lower, upper; /* [lower, upper), upper empty = unbounded */
};

struct firn_table_stream {
    const struct firn_stream_table *table; /* in key order, disjoint */
    size_t tables;
    /* what is fetched next */
    size_t fetch_table;
    uint32_t fetch_block;
    /* what is read next */
    size_t at;
    uint32_t block;
    bool damaged;          /* block `block` of table `at` cannot be read: next said so */
    bool seek;             /* the next block is the first of its table: skip to lower */
    struct firn_buf bytes; /* stored blocks that were fed */
    size_t used;           /* of them */
    uint8_t *raw;          /* the open block */
    size_t raw_cap;
    struct firn_block open;
    struct firn_block_iter it; /* where it.valid: the current entry */
    struct firn_codec_ctx codec;
};

/* Begin; the tables must stay. buffer_max bounds the bytes fed and not yet read. */
void firn_table_stream_init(struct firn_table_stream *s, const struct firn_stream_table *table,
                            size_t tables, size_t buffer_max);
void firn_table_stream_clear(struct firn_table_stream *s);

/* What to fetch next: consecutive whole blocks of one table, at most max_bytes of them unless the
 * first alone is larger. False: everything was fed. */
bool firn_table_stream_want(const struct firn_table_stream *s, size_t max_bytes, size_t *table,
                            uint64_t *offset, uint64_t *length);
/* Hand over exactly what want named. LIMIT: buffer_max or memory, nothing taken; CORRUPT: `bytes`
 * are not a row of whole blocks. */
enum firn_status firn_table_stream_feed(struct firn_table_stream *s,
                                        struct firn_slice bytes) FIRN_MUST_USE;
/* Bytes fed and not yet read. */
size_t firn_table_stream_buffered(const struct firn_table_stream *s);

/* Memory held: those, and the open block. */
size_t firn_table_stream_memory(const struct firn_table_stream *s);

/* Move to the next entry (s->it.e, borrowed until the next call): OK; ABSENT: the end; AGAIN: feed
 * first; CORRUPT, INVALID (a kind from the future), LIMIT (memory): of no further use. */
enum firn_status firn_table_stream_next(struct firn_table_stream *s) FIRN_MUST_USE;

#endif
