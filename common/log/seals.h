/* The seals that count, as a node met them (I3): where each of the last epochs ended. Answers
 * whether a place can ever become durable. Header-only; no memory of its own. */
#ifndef FIRN_LOG_SEALS_H
#define FIRN_LOG_SEALS_H

#include "format/place.h"

#include <stddef.h>

#define FIRN_SEALS_KEPT 64

struct firn_seals {
    struct firn_place at[FIRN_SEALS_KEPT]; /* a ring, newest at (next - 1) */
    size_t next;
};

/* The seal that counts of at.epoch lies at this place. */
static inline void firn_seals_note(struct firn_seals *s, struct firn_place at)
{
    s->at[s->next++ % FIRN_SEALS_KEPT] = at;
}

/* True when the place is known to lie at or behind its epoch's seal: what was there was never
 * acknowledged and never will be. */
static inline bool firn_seals_behind(const struct firn_seals *s, struct firn_place p)
{
    for (size_t i = 0; i < FIRN_SEALS_KEPT && i < s->next; i++) {
        if (s->at[i].epoch == p.epoch)
            return p.slot >= s->at[i].slot;
    }
    return false;
}

#endif
