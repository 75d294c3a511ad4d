/* What is kept of a request that named an ID, so that it is committed at most once: the value of a
 * DEDUP record, whose key is FIRN_NS_INTERNAL and the ID.
 *
 *   0  1  version, 1
 *   1  8  XXH3-64 of the request, little-endian
 *   9  1  flags: 1 = its comparisons held, 2 = the results are kept
 *  10  .. the results as an array of the Redis protocol, at most FIRN_DEDUP_RESULTS_MAX bytes
 */
#ifndef FIRN_FORMAT_DEDUP_H
#define FIRN_FORMAT_DEDUP_H

#include "base/slice.h"
#include "format/key.h"

#define FIRN_DEDUP_ID_MAX 64
#define FIRN_DEDUP_KEY_MAX (1 + FIRN_DEDUP_ID_MAX)
#define FIRN_DEDUP_RESULTS_MAX 4096
#define FIRN_DEDUP_MAX (10 + FIRN_DEDUP_RESULTS_MAX)

struct firn_dedup {
    uint64_t request;          /* hash */
    bool held;                 /* its comparisons */
    bool kept;                 /* results are there */
    struct firn_slice results; /* borrowed; empty unless kept */
};

/* Write the value; its length is returned. Results longer than FIRN_DEDUP_RESULTS_MAX are not kept.
 */
size_t firn_dedup_encode(const struct firn_dedup *d, uint8_t out[FIRN_DEDUP_MAX]);
/* CORRUPT: no such value. INVALID: of a version that this program does not know. */
enum firn_status firn_dedup_decode(struct firn_slice value, struct firn_dedup *out) FIRN_MUST_USE;

/* The internal key of an ID of 1 to FIRN_DEDUP_ID_MAX bytes; its length is returned. */
size_t firn_dedup_key(struct firn_slice id, uint8_t out[FIRN_DEDUP_KEY_MAX]);

#endif
