/* A place in the log: slot `slot` of writer epoch `epoch`. Half-open ranges of places are used
 * throughout: [first, end), where `end` is the next slot not in the range. */
#ifndef FIRN_FORMAT_PLACE_H
#define FIRN_FORMAT_PLACE_H

#include <stdbool.h>
#include <stdint.h>

/* A writer numbers its writes from epoch * 2^40 (PROTOCOL "Take-over"), so an epoch has 24 bits;
 * and since every slot holds at least one write, a slot number has 40. */
#define FIRN_SEQNO_EPOCH_BITS 40
#define FIRN_EPOCH_MAX ((UINT64_C(1) << 24) - 1)
#define FIRN_SLOT_MAX ((UINT64_C(1) << 40) - 1)

struct firn_place {
    uint64_t epoch, slot;
};

/* <0, 0, >0 as a lies before, at or behind b. */
static inline int firn_place_cmp(struct firn_place a, struct firn_place b)
{
    if (a.epoch != b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    return (a.slot > b.slot) - (a.slot < b.slot);
}

static inline bool firn_place_eq(struct firn_place a, struct firn_place b)
{
    return a.epoch == b.epoch && a.slot == b.slot;
}

static inline bool firn_place_valid(struct firn_place p)
{
    return p.epoch <= FIRN_EPOCH_MAX && p.slot <= FIRN_SLOT_MAX;
}

/* The first seqno of the writer of this epoch. */
static inline uint64_t firn_epoch_seqno(uint64_t epoch)
{
    return epoch << FIRN_SEQNO_EPOCH_BITS;
}

#endif
