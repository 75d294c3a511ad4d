#include "format/slot_priv.h"

#include "base/bytes.h"
#include "base/hash.h"

void firn_slot__put_identity(uint8_t *object, const struct firn_id *db, struct firn_place place,
                             const struct firn_id *nonce, const struct firn_id *process_nonce)
{
    memcpy(object + 8, db->byte, FIRN_ID_BYTES);
    firn_put_le64(object + 24, place.epoch);
    firn_put_le64(object + 32, place.slot);
    memcpy(object + 40, nonce->byte, FIRN_ID_BYTES);
    memcpy(object + 56, process_nonce->byte, FIRN_ID_BYTES);
}

void firn_slot__get_identity(const uint8_t *object, struct firn_id *db, struct firn_place *place,
                             struct firn_id *nonce, struct firn_id *process_nonce)
{
    memcpy(db->byte, object + 8, FIRN_ID_BYTES);
    *place = (struct firn_place){firn_le64(object + 24), firn_le64(object + 32)};
    memcpy(nonce->byte, object + 40, FIRN_ID_BYTES);
    memcpy(process_nonce->byte, object + 56, FIRN_ID_BYTES);
}

uint64_t firn_slot__checksum(const uint8_t *object, struct firn_slice bytes)
{
    return firn_xxh3_seed(bytes.data, bytes.len, firn_xxh3(object + 8, 32));
}

enum firn_status firn_slot__match(const struct firn_id *found_db, struct firn_place found,
                                  const struct firn_id *db, struct firn_place place,
                                  const char *what, struct firn_err *err)
{
    if (firn_id_eq(found_db, db) && firn_place_eq(found, place))
        return FIRN_OK;
    return firn_fail(err, FIRN_CORRUPT,
                     "slot %llu/%llu of database %08x holds a %s that says it is slot %llu/%llu of "
                     "database %08x",
                     (unsigned long long)place.epoch, (unsigned long long)place.slot,
                     (unsigned)firn_id_short(db), what, (unsigned long long)found.epoch,
                     (unsigned long long)found.slot, (unsigned)firn_id_short(found_db));
}
