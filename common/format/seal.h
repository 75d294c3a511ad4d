/* Seals: what closes an epoch's slots (I3, I4). Always FIRN_SEAL_BYTES long, which no batch ever
 * is, so that a LIST tells them apart. Little-endian:
 *
 *   0    8  object header: kind FIRN_OBJ_SEAL, format 1 in databases of every format: a
 *          program that meets a seal it cannot read cannot tell where an epoch ends
 *   8   16  database id
 *   24   8  epoch of the slot
 *   32   8  slot
 *   40  16  nonce: random, of this attempt
 *   56  16  process nonce of the sealer
 *   72   8  epoch of the sealer, above the slot's
 *   80   8  checksum: XXH3-64 of bytes 0..79, seeded with XXH3-64 of bytes 8..39
 */
#ifndef FIRN_FORMAT_SEAL_H
#define FIRN_FORMAT_SEAL_H

#include "base/slice.h"
#include "format/id.h"
#include "format/place.h"

#define FIRN_SEAL_BYTES 88
#define FIRN_SEAL_FORMAT 1

struct firn_seal {
    struct firn_id db;
    struct firn_place place;
    struct firn_id nonce;
    struct firn_id process_nonce;
    uint64_t sealer_epoch;
};

void firn_seal_encode(const struct firn_seal *s, uint8_t out[FIRN_SEAL_BYTES]);

/* Verify and read a seal, which must be of database `db` and say it lies at `place`. CORRUPT:
 * damaged, or not what the name says; INVALID: a format from the future. `out` is unchanged on
 * failure. */
enum firn_status firn_seal_decode(struct firn_slice object, const struct firn_id *db,
                                  struct firn_place place, struct firn_seal *out,
                                  struct firn_err *err) FIRN_MUST_USE;

enum firn_slot_kind {
    FIRN_SLOT_BATCH,
    FIRN_SLOT_SEAL,
    FIRN_SLOT_NEITHER, /* no object that belongs into a slot: corrupt */
};

/* What an object in a slot claims to be, by its first bytes alone; decode it next. */
enum firn_slot_kind firn_slot_kind(struct firn_slice object);

#endif
