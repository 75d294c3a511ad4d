/* Heartbeats: what the active writer writes to nodes/<node id>, again and again, so that standbys
 * see that it lives (PROTOCOL "Standby and failover"). Little-endian:
 *
 *   0   8  object header: kind FIRN_OBJ_NODE, format of the database
 *   8   16 database id
 *   24  8  writer epoch
 *   32  16 process nonce
 *   48  8  count: 1 for the first beat of this process, then one more each
 *   56  8  checksum: XXH3-64 of bytes 0..55
 *
 * A PUT may land late, so of one process nonce only a count above every one seen shows life. */
#ifndef FIRN_FORMAT_BEAT_H
#define FIRN_FORMAT_BEAT_H

#include "base/slice.h"
#include "format/id.h"

#define FIRN_BEAT_BYTES 64

struct firn_beat {
    struct firn_id db, process_nonce;
    uint64_t epoch, count;
    uint16_t format; /* number of the object (format/version.h): known */
};

void firn_beat_encode(const struct firn_beat *b, uint8_t out[FIRN_BEAT_BYTES]);

/* Verify and read a beat of database `db`. CORRUPT: damaged, or of another database; INVALID: a
 * format from the future. `out` is unchanged on failure. */
enum firn_status firn_beat_decode(struct firn_slice object, const struct firn_id *db,
                                  struct firn_beat *out, struct firn_err *err) FIRN_MUST_USE;

#endif
