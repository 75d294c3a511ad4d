/* How long the collector has known things, by its own clock: a bounded hash map from names to the
 * time since when they are as they are. Names are kept as 128-bit hashes. */
#ifndef FIRN_MANIFEST_AGES_PRIV_H
#define FIRN_MANIFEST_AGES_PRIV_H

#include "base/slice.h"

struct firn_manifest__age {
    uint64_t hash[2]; /* both 0: a free place */
    uint64_t tag;
    uint64_t since_ns;
    uint64_t pass; /* the last one it was met in */
};

/* Zero-initialise and set max. */
struct firn_manifest__ages {
    struct firn_manifest__age *slot; /* open addressing, a power of two, at most 3/4 full */
    size_t cap, count, max;
    uint64_t pass;
};

void firn_manifest__ages_begin(struct firn_manifest__ages *a);
/* Forget what was not met since begin. */
void firn_manifest__ages_end(struct firn_manifest__ages *a);
void firn_manifest__ages_clear(struct firn_manifest__ages *a);

/* Meet `prefix``name` with `tag`: since when has it been there with this tag? now_ns at first,
 * after a change of tag, and when it cannot be remembered (max, memory): then nothing is deleted by
 * it. */
uint64_t firn_manifest__age(struct firn_manifest__ages *a, const char *prefix,
                            struct firn_slice name, struct firn_slice tag, uint64_t now_ns);
/* Since when, if it was met in this pass. */
bool firn_manifest__age_of(const struct firn_manifest__ages *a, struct firn_slice name,
                           uint64_t *since_ns);

#endif
