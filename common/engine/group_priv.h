/* The writes of one command, or of the commands of one transaction, gathered while they are
 * evaluated and handed to the role as one atomic group. Later steps see earlier ones through
 * firn_engine__group_find. One per engine: evaluation is a single step, so no two ever gather at
 * once. */
#ifndef FIRN_ENGINE_GROUP_PRIV_H
#define FIRN_ENGINE_GROUP_PRIV_H

#include "base/arena.h"
#include "format/record.h"

/* Zero-initialised is valid and empty. */
struct firn_group {
    struct firn_arena arena; /* keys, and values that were computed */
    struct firn_record *rec;
    size_t n, cap;
    size_t bytes;   /* encoded size of the records */
    size_t ranges;  /* RANGEDEL records among them */
    uint32_t *slot; /* open addressing: index + 1 of the newest record of a key, 0 = free */
    size_t slots;   /* a power of two, or 0 */
    size_t indexed; /* records that are in the index */
};

/* Add a record. Its key is copied; its value is borrowed until the group is reset. LIMIT: memory.
 */
enum firn_status firn_engine__group_add(struct firn_group *g,
                                        const struct firn_record *r) FIRN_MUST_USE;
/* The newest PUT or DEL of this internal key in *out: OK or ABSENT. Range deletes are not looked
 * at. LIMIT: memory. Amortised O(1). */
enum firn_status firn_engine__group_find(struct firn_group *g, struct firn_slice key,
                                         const struct firn_record **out) FIRN_MUST_USE;
/* Forget the records from the n-th on: the step that added them failed. O(g->n). */
void firn_engine__group_truncate(struct firn_group *g, size_t n);
/* Forget the records; keeps a moderate amount of memory for the next command. */
void firn_engine__group_reset(struct firn_group *g);
void firn_engine__group_free(struct firn_group *g);

#endif
