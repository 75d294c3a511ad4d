/* What batches and seals have in common: bytes 8..71 say which slot of which database this is, and
 * whose attempt to fill it; checksums are seeded with the former, so that bytes are bound to their
 * place. */
#ifndef FIRN_FORMAT_SLOT_PRIV_H
#define FIRN_FORMAT_SLOT_PRIV_H

#include "base/slice.h"
#include "format/id.h"
#include "format/place.h"

#define FIRN_SLOT__IDENTITY_END 72

/* Write and read bytes 8..71 of an object of at least 72 bytes. */
void firn_slot__put_identity(uint8_t *object, const struct firn_id *db, struct firn_place place,
                             const struct firn_id *nonce, const struct firn_id *process_nonce);
void firn_slot__get_identity(const uint8_t *object, struct firn_id *db, struct firn_place *place,
                             struct firn_id *nonce, struct firn_id *process_nonce);

/* XXH3-64 of `bytes`, seeded with XXH3-64 of the object's bytes 8..39. */
uint64_t firn_slot__checksum(const uint8_t *object, struct firn_slice bytes);

/* Is what the object says of itself what was asked for? CORRUPT with both names otherwise. */
enum firn_status firn_slot__match(const struct firn_id *found_db, struct firn_place found,
                                  const struct firn_id *db, struct firn_place place,
                                  const char *what, struct firn_err *err) FIRN_MUST_USE;

#endif
