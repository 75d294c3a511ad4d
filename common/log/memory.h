/* The part of the log that a node holds in memory: memtables in log order, the newest one taking
 * records, the others frozen, until the manifest's floor has passed them. What a writer fills by
 * its writes and a reader by tailing. Loop thread only (frozen memtables may be read by jobs that
 * hold a reference). */
#ifndef FIRN_LOG_MEMORY_H
#define FIRN_LOG_MEMORY_H

#include "format/batch.h"
#include "format/record.h"
#include "lsm/memtable.h"
#include "lsm/view.h"
#include "obs/budget.h"

/* A memtable and the log range in it. */
struct firn_memory_part {
    struct firn_memtable *table;
    struct firn_place first, end; /* slots held: [first, end); equal: none */
    uint64_t slots;               /* batches begun in it */
    uint64_t raw_bytes;           /* uncompressed record bytes */
    uint64_t first_seqno;         /* oldest seqno of its records, 0 = none */
    uint64_t last_seqno;          /* newest seqno of its records, marks and messages included */
    uint64_t log_time_ms;         /* of its last slot */
    uint64_t expired_to_ms;       /* before it all that expired is dealt with in slots before `end`;
                                   * 0 = not known. The writer's. */
    uint64_t bytes;               /* memory of the table, as it was counted last */
};

#define FIRN_MEMORY_PARTS_MAX 256
#define FIRN_MEMORY_GONE_MAX 256

/* Parts without a gap between them, oldest first: `warm` ones that are in tables and are kept for
 * reads alone, frozen ones that are not, and the active one. */
struct firn_memory {
    struct firn_memory_part part[FIRN_MEMORY_PARTS_MAX];
    size_t parts, warm;
    /* Derive the expiry index (key.h) from values that expire. For who flushes, or may take over,
     * while the database asks for expired events; false to begin with, changed at any time. */
    bool expiry_index;
    /* Dropped tables that views still hold; they count until those are gone, too. */
    struct firn_memtable *gone[FIRN_MEMORY_GONE_MAX];
    size_t ngone;
    uint64_t bytes;             /* of all parts */
    uint64_t gone_bytes;        /* of those */
    struct firn_budget *budget; /* told of both (FIRN_BUDGET_MEMTABLES), or NULL */
};

/* Begin with one empty active memtable whose first slot will be `at`. The budget may be NULL; it
 * must outlive the memory. LIMIT: memory. */
enum firn_status firn_memory_init(struct firn_memory *m, struct firn_place at,
                                  struct firn_budget *budget) FIRN_MUST_USE;
void firn_memory_deinit(struct firn_memory *m);
/* Drop all and begin as `fresh` does, which was made with firn_memory_init without a budget and is
 * taken over. */
void firn_memory_replace(struct firn_memory *m, struct firn_memory *fresh);

/* Put one record with its seqno, of slot `place`, into the active memtable; with `expiry_index` a
 * PUT that expires gives an entry of that, too. Kinds that are no state (messages, group marks)
 * only count. LIMIT: memory; putting the same again is harmless. */
enum firn_status firn_memory_put(struct firn_memory *m, const struct firn_record *rec,
                                 uint64_t seqno, struct firn_place place) FIRN_MUST_USE;
/* All records of a checked batch. LIMIT: memory; a prefix may have been put, and putting the same
 * batch again is harmless. CORRUPT, INVALID: as firn_record_next. */
enum firn_status firn_memory_apply(struct firn_memory *m, const struct firn_batch_header *batch,
                                   struct firn_slice records) FIRN_MUST_USE;
/* As firn_memtable_horizon, of the active memtable; before the records that it speaks of. */
void firn_memory_horizon(struct firn_memory *m, uint64_t low, uint64_t high);
/* Slot `place` was closed at log_time: the active part now ends behind it. */
void firn_memory_slot_ends(struct firn_memory *m, struct firn_place place, uint64_t log_time_ms);

/* Everything before `at` is known: the active part reaches up to it, though no slot may lie
 * between. */
void firn_memory_reaches(struct firn_memory *m, struct firn_place at);

/* Freeze the active memtable and begin another whose first slot is where that one ends; one of an
 * empty log range stays. LIMIT: memory, or FIRN_MEMORY_PARTS_MAX; nothing changed then. */
enum firn_status firn_memory_rotate(struct firn_memory *m) FIRN_MUST_USE;
/* Everything before the floor is in tables: frozen parts that end at or before it are warm now, and
 * all of them but the newest `warm` are dropped. Only once a view without those is in use. */
void firn_memory_flushed(struct firn_memory *m, struct firn_place floor, size_t warm);
/* Let go of dropped tables that nobody reads any more. Every slot that ends does it; who waits for
 * memory without one has to ask. O(dropped tables). */
void firn_memory_sweep(struct firn_memory *m);
/* The first slot in memory, warm parts included. */
static inline struct firn_place firn_memory_first(const struct firn_memory *m)
{
    return m->part[0].first;
}

static inline struct firn_memory_part *firn_memory_active(struct firn_memory *m)
{
    return &m->part[m->parts - 1];
}
/* The oldest part that is in no table if it is frozen, else NULL. */
struct firn_memory_part *firn_memory_oldest_frozen(struct firn_memory *m);
/* Sums over the parts that are not warm. */
uint64_t firn_memory_raw_bytes(const struct firn_memory *m);
uint64_t firn_memory_slots(const struct firn_memory *m);
uint64_t firn_memory_unflushed(const struct firn_memory *m); /* memory of their tables */
/* Memory of all parts, and of dropped tables that views still hold. O(1). */
uint64_t firn_memory_bytes(const struct firn_memory *m);

/* A view of these memtables, of those below the manifest's floor only the newest `warm`, and of the
 * manifest's tables that hold anything older than they do. They hold all slots from their first to
 * the position, which is at or behind the floor, without a gap: so they may begin below it (I8),
 * and L0 tables of slots from there on have nothing to add. As firn_view_create. */
enum firn_status firn_memory_view(const struct firn_memory *m, size_t warm, struct firn_lsm *lsm,
                                  struct firn_manifest *manifest, struct firn_view **out,
                                  struct firn_err *err) FIRN_MUST_USE;

#endif
