/* Ascending entries, and a list of range tombstones known beforehand, into a row of tables: what a
 * flush and a merge have in common. Tables are cut so that their bounds in the manifest, which are
 * at most 64 bytes, do not overlap; range tombstones are split at the cuts. Pure. */
#ifndef FIRN_LSM_TABLE_CUT_H
#define FIRN_LSM_TABLE_CUT_H

#include "lsm/table_build.h"

struct firn_table_cut {
    struct firn_table_options o; /* of the next table: its number grows */
    uint64_t table_bytes;
    uint64_t memory_max; /* a table is also cut when its builder has filled so much; 0 = never */
    const struct firn_range_tomb *tomb; /* fragments, borrowed */
    size_t tombs, next_tomb;
    struct firn_table_builder *builder; /* open table, or NULL */
    struct firn_buf from;               /* a fragment cut through: its rest starts here … */
    bool cut_through;                   /* … if this is set */
    struct firn_buf last;               /* the last key */
    struct firn_table_object done;      /* a finished table nobody took yet */
    bool have_done;
};

/* Tables are cut from table_bytes on; the first has o's number, each further one the next. `tomb`
 * (tombs.h) must stay. */
void firn_table_cut_init(struct firn_table_cut *c, const struct firn_table_options *o,
                         uint64_t table_bytes, const struct firn_range_tomb *tomb, size_t tombs);
void firn_table_cut_clear(struct firn_table_cut *c);

/* Add the next entry (key above the last). *ready says that a table was finished before it: take it
 * with firn_table_cut_take before anything else. LIMIT, INVALID: as the builder says; then of no
 * further use. */
enum firn_status firn_table_cut_add(struct firn_table_cut *c, const struct firn_entry *e,
                                    uint64_t hash, bool *ready) FIRN_MUST_USE;
/* Behind the last entry: finish what is open. *ready is false when there is nothing left. */
enum firn_status firn_table_cut_finish(struct firn_table_cut *c, bool *ready) FIRN_MUST_USE;
/* The table that was finished; the caller's. */
struct firn_table_object firn_table_cut_take(struct firn_table_cut *c);

#endif
