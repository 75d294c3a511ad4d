#include "format/pin.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "format/objheader.h"
#include "format/version.h"

void firn_pin_encode(const struct firn_pin *p, uint8_t out[FIRN_PIN_BYTES])
{
    FIRN_ASSERT(firn_format_known(p->format));
    firn_objheader_put(out, FIRN_OBJ_PIN, p->format);
    memcpy(out + 8, p->db.byte, FIRN_ID_BYTES);
    firn_put_le64(out + 24, p->version);
    memcpy(out + 32, p->nonce.byte, FIRN_ID_BYTES);
    firn_put_le64(out + 48, firn_xxh3(out, 48));
}

enum firn_status firn_pin_decode(struct firn_slice object, const struct firn_id *db,
                                 struct firn_pin *out, struct firn_err *err)
{
    enum firn_status s =
        firn_objheader_check(object, FIRN_OBJ_PIN, FIRN_FORMAT_OLDEST, firn_format_newest, err);
    if (s != FIRN_OK)
        return s;
    if (object.len != FIRN_PIN_BYTES || firn_le64(object.data + 48) != firn_xxh3(object.data, 48))
        return firn_fail(err, FIRN_CORRUPT, "a pin is damaged");
    struct firn_pin p = {.version = firn_le64(object.data + 24),
                         .format = firn_objheader_format(object.data)};
    memcpy(p.db.byte, object.data + 8, FIRN_ID_BYTES);
    memcpy(p.nonce.byte, object.data + 32, FIRN_ID_BYTES);
    if (!firn_id_eq(&p.db, db))
        return firn_fail(err, FIRN_CORRUPT, "a pin is of another database");
    *out = p;
    return FIRN_OK;
}
