/* How a writer or reader divides its memory (obs/budget.h). */
#include "engine/engine_priv.h"

#include <inttypes.h>

#define MB ((uint64_t)1 << 20)
/* Memory of memtables that the log may demand of a node, per byte of unflushed-bytes-max. Records
 * of 16 + 100 bytes take 1.9, larger ones less, of 8 + 8 bytes 5.9 (lsm_memtable_test measures it):
 * where records are so small the writer stops at this bound, before it has written so many bytes
 * (firn_db_unflushed_memory). */
#define MEMTABLE_PER_LOG_BYTE 2

/* What each part must have for the node to work at all, and its weight in what is left. */
static void needs(const struct firn_db *db, uint64_t unflushed,
                  struct firn_budget_need need[FIRN_BUDGET_PARTS])
{
    const struct firn_settings *s = db->settings;
    bool writes = db->vt->apply != NULL;
    uint64_t batch = s->batch_bytes_max, block = 2 * s->value_max_bytes + 2 * MB;
    need[FIRN_BUDGET_CACHE] = (struct firn_budget_need){8 * MB, 3};
    need[FIRN_BUDGET_PINNED] = (struct firn_budget_need){block, 1};
    need[FIRN_BUDGET_FETCHES] = (struct firn_budget_need){block, 1};
    /* All that may lie in the log unflushed: a reader tails it, the next writer replays it. */
    need[FIRN_BUDGET_MEMTABLES] = (struct firn_budget_need){MEMTABLE_PER_LOG_BYTE * unflushed, 4};
    /* One open, one being encoded into a third buffer; of a reader one with its object. */
    need[FIRN_BUDGET_BATCHES] = (struct firn_budget_need){3 * batch, 2};
    /* One being uploaded, one being built. */
    need[FIRN_BUDGET_TABLES] = (struct firn_budget_need){writes ? 2 * batch : 0, writes ? 2 : 0};
    /* A connection may have half of it, which must take the largest command. */
    need[FIRN_BUDGET_CLIENTS] = (struct firn_budget_need){2 * batch + 8 * MB, 3};
    need[FIRN_BUDGET_SNAPSHOTS] = (struct firn_budget_need){0, 1};
    need[FIRN_BUDGET_REMEMBERED] = (struct firn_budget_need){8 * MB, 2};
}

void firn_db_budget_init(struct firn_db *db, struct firn_budget *budget)
{
    uint64_t memory = db->settings->memory_bytes;
    firn_budget_init(budget, memory ? memory : 1024 * MB);
    db->budget = budget;
}

enum firn_status firn_db_divide_memory(struct firn_db *db, struct firn_err *err)
{
    struct firn_budget_need need[FIRN_BUDGET_PARTS];
    const struct firn_settings *s = db->settings;
    needs(db, s->unflushed_bytes_max, need);
    uint64_t least = firn_budget_least(need);
    if (db->budget->total < least)
        return firn_fail(err, FIRN_INVALID,
                         "memory is %" PRIu64 "mb, but this database demands at least %" PRIu64
                         "mb of a node (unflushed-bytes-max %" PRIu64 "mb, batch-bytes-max %" PRIu64
                         "mb, value-max %" PRIu64 "mb)",
                         db->budget->total / MB, (least + MB - 1) / MB, s->unflushed_bytes_max / MB,
                         s->batch_bytes_max / MB, s->value_max_bytes / MB);
    firn_budget_divide(db->budget, need);
    return FIRN_OK;
}

/* ---- what the engine remembers for clients */

/* Of the share a half is for subscriptions, a quarter for what clients cache, an eighth each for
 * cursors and the expirer. */
static const unsigned part_of_share[FIRN_REMEMBERED_KINDS] = {
    [FIRN_REMEMBERED_SUBSCRIPTIONS] = 2,
    [FIRN_REMEMBERED_TRACKED] = 4,
    [FIRN_REMEMBERED_CURSORS] = 8,
    [FIRN_REMEMBERED_EXPIRING] = 8,
};

uint64_t firn_engine__remembered_max(const struct firn_engine *e, enum firn_remembered kind,
                                     uint64_t limit)
{
    return firn_budget_cap(e->db->budget, FIRN_BUDGET_REMEMBERED, part_of_share[kind], limit);
}

void firn_engine__remembered(struct firn_engine *e)
{
    firn_budget_set(e->db->budget, FIRN_BUDGET_REMEMBERED,
                    e->pubsub.bytes + e->tracking.bytes + e->cursors.bytes + e->expirer.bytes);
}

/* ---- the division */

uint64_t firn_db_unflushed_memory(const struct firn_db *db)
{
    return MEMTABLE_PER_LOG_BYTE * db->settings->unflushed_bytes_max;
}

uint64_t firn_db_unflushed_fit(const struct firn_db *db)
{
    struct firn_budget_need need[FIRN_BUDGET_PARTS];
    uint64_t most = db->settings->unflushed_bytes_max;
    needs(db, 0, need);
    uint64_t least = firn_budget_least(need), total = db->budget->total;
    uint64_t fit = total > least ? (total - least) / MEMTABLE_PER_LOG_BYTE / MB * MB : 0;
    return fit < most ? fit : most;
}
