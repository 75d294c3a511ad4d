#include "format/seal.h"

#include "base/bytes.h"
#include "format/objheader.h"
#include "format/slot_priv.h"

void firn_seal_encode(const struct firn_seal *s, uint8_t out[FIRN_SEAL_BYTES])
{
    firn_objheader_put(out, FIRN_OBJ_SEAL, FIRN_SEAL_FORMAT);
    firn_slot__put_identity(out, &s->db, s->place, &s->nonce, &s->process_nonce);
    firn_put_le64(out + 72, s->sealer_epoch);
    firn_put_le64(out + 80, firn_slot__checksum(out, firn_slice_of(out, 80)));
}

enum firn_status firn_seal_decode(struct firn_slice object, const struct firn_id *db,
                                  struct firn_place place, struct firn_seal *out,
                                  struct firn_err *err)
{
    enum firn_status st = firn_objheader_check(object, FIRN_OBJ_SEAL, 1, FIRN_SEAL_FORMAT, err);
    if (st != FIRN_OK)
        return st;
    if (object.len != FIRN_SEAL_BYTES)
        return firn_fail(err, FIRN_CORRUPT, "a seal of %zu bytes, not %d", object.len,
                         FIRN_SEAL_BYTES);
    const uint8_t *p = object.data;
    if (firn_le64(p + 80) != firn_slot__checksum(p, firn_slice_of(p, 80)))
        return firn_fail(err, FIRN_CORRUPT, "a seal whose checksum is wrong");
    struct firn_seal s;
    firn_slot__get_identity(p, &s.db, &s.place, &s.nonce, &s.process_nonce);
    st = firn_slot__match(&s.db, s.place, db, place, "seal", err);
    if (st != FIRN_OK)
        return st;
    s.sealer_epoch = firn_le64(p + 72);
    if (s.sealer_epoch <= s.place.epoch || s.sealer_epoch > FIRN_EPOCH_MAX)
        return firn_fail(err, FIRN_CORRUPT,
                         "a seal of epoch %llu by epoch %llu, which may not seal it",
                         (unsigned long long)s.place.epoch, (unsigned long long)s.sealer_epoch);
    *out = s;
    return FIRN_OK;
}

enum firn_slot_kind firn_slot_kind(struct firn_slice object)
{
    if (object.len < FIRN_OBJHEADER_BYTES || memcmp(object.data, "FIRN", 4) != 0)
        return FIRN_SLOT_NEITHER;
    switch (firn_le16(object.data + 4)) {
    case FIRN_OBJ_BATCH:
        return FIRN_SLOT_BATCH;
    case FIRN_OBJ_SEAL:
        return FIRN_SLOT_SEAL;
    default:
        return FIRN_SLOT_NEITHER;
    }
}
