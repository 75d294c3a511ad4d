/* What the compactor may hold: `memory` in three parts. Nothing here is a cache: all of it belongs
 * to the job or the pass under way. */
#include "compactor/compactor_priv.h"

#include <inttypes.h>

#define MB ((uint64_t)1 << 20)
#define MEMORY_DEFAULT (1024 * MB)        /* where nobody has looked what there is (tests) */
#define METADATA_LEAST (16 * MB)          /* indexes of a job's inputs; names of a pass */
#define BLOCK_SLACK ((uint64_t)256 << 10) /* beside its value: key, framing, decompressor */
#define CHUNK_BYTES_MAX (4 * MB)          /* of one GET of blocks */
#define BLOCKS_PER_SOURCE 4               /* waiting, on its way, open; and what chunks add */
#define CHUNKS_PER_SOURCE 8               /* with those the same */
#define SOURCES_LEAST (FIRN_PLAN_RUNS_MAX + 1)

static uint64_t source_bytes(const struct firn_compactor *c)
{
    return BLOCKS_PER_SOURCE * (c->settings->value_max_bytes + BLOCK_SLACK);
}

enum firn_status firn_compactor__divide_memory(struct firn_compactor *c, struct firn_err *err)
{
    const struct firn_settings *s = c->settings;
    struct firn_budget_need need[FIRN_BUDGET_PARTS] = {{0, 0}};
    need[FIRN_BUDGET_PINNED] = (struct firn_budget_need){METADATA_LEAST, 2};
    need[FIRN_BUDGET_FETCHES] = (struct firn_budget_need){SOURCES_LEAST * source_bytes(c), 3};
    /* One being built while one is uploaded; both end with whole entries. */
    need[FIRN_BUDGET_TABLES] =
        (struct firn_budget_need){2 * (s->table_bytes + s->value_max_bytes + MB), 3};
    uint64_t least = firn_budget_least(need);
    firn_budget_init(&c->budget, s->memory_bytes ? s->memory_bytes : MEMORY_DEFAULT);
    if (c->budget.total < least)
        return firn_fail(err, FIRN_INVALID,
                         "memory is %" PRIu64 "mb, but compaction needs at least %" PRIu64
                         "mb (table-bytes %" PRIu64 "mb, value-max %" PRIu64
                         "mb): raise memory or lower table-bytes",
                         c->budget.total / MB, (least + MB - 1) / MB, s->table_bytes / MB,
                         s->value_max_bytes / MB);
    firn_budget_divide(&c->budget, need);
    return FIRN_OK;
}

size_t firn_compactor__sources_max(const struct firn_compactor *c)
{
    return c->budget.part[FIRN_BUDGET_FETCHES].share / source_bytes(c);
}

enum firn_status firn_compactor__chunk_bytes(const struct firn_compactor *c, size_t sources,
                                             size_t *out, struct firn_err *err)
{
    const struct firn_budget *b = &c->budget;
    uint64_t held = b->part[FIRN_BUDGET_PINNED].used, meta = b->part[FIRN_BUDGET_PINNED].share;
    uint64_t room = b->total - b->part[FIRN_BUDGET_TABLES].share;
    held = held > meta ? held : meta;
    uint64_t each = held < room ? (room - held) / sources : 0;
    if (each < source_bytes(c))
        return firn_fail(err, FIRN_INVALID,
                         "memory is %" PRIu64 "mb: too little to merge %zu runs of tables whose "
                         "metadata takes %" PRIu64 "mb (value-max %" PRIu64 "mb)",
                         b->total / MB, sources, held / MB, c->settings->value_max_bytes / MB);
    each /= CHUNKS_PER_SOURCE;
    *out = each < CHUNK_BYTES_MAX ? each : CHUNK_BYTES_MAX;
    return FIRN_OK;
}
