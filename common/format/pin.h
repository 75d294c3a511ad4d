/* Pins: what a long scan or a snapshot writes to pins/<id>, so that the collector spares the tables
 * of its version (PROTOCOL "Garbage collection"). Little-endian:
 *
 *   0   8  object header: kind FIRN_OBJ_PIN, format of the database
 *   8   16 database id
 *   24  8  version of the manifest it uses; FIRN_PIN_NOTHING: its owner needs nothing any more
 *   32  16 nonce: random, of this attempt to write it
 *   48  8  checksum: XXH3-64 of bytes 0..47
 */
#ifndef FIRN_FORMAT_PIN_H
#define FIRN_FORMAT_PIN_H

#include "base/slice.h"
#include "format/id.h"

#define FIRN_PIN_BYTES 56
#define FIRN_PIN_NOTHING UINT64_MAX

struct firn_pin {
    struct firn_id db, nonce;
    uint64_t version;
    uint16_t format; /* number of the object (format/version.h): known */
};

void firn_pin_encode(const struct firn_pin *p, uint8_t out[FIRN_PIN_BYTES]);

/* Verify and read a pin of database `db`. CORRUPT: damaged, or of another database; INVALID: a
 * format from the future. `out` is unchanged on failure. */
enum firn_status firn_pin_decode(struct firn_slice object, const struct firn_id *db,
                                 struct firn_pin *out, struct firn_err *err) FIRN_MUST_USE;

#endif
