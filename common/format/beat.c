#include "format/beat.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "format/objheader.h"
#include "format/version.h"

void firn_beat_encode(const struct firn_beat *b, uint8_t out[FIRN_BEAT_BYTES])
{
    FIRN_ASSERT(firn_format_known(b->format));
    firn_objheader_put(out, FIRN_OBJ_NODE, b->format);
    memcpy(out + 8, b->db.byte, FIRN_ID_BYTES);
    firn_put_le64(out + 24, b->epoch);
    memcpy(out + 32, b->process_nonce.byte, FIRN_ID_BYTES);
    firn_put_le64(out + 48, b->count);
    firn_put_le64(out + 56, firn_xxh3(out, 56));
}

enum firn_status firn_beat_decode(struct firn_slice object, const struct firn_id *db,
                                  struct firn_beat *out, struct firn_err *err)
{
    enum firn_status s =
        firn_objheader_check(object, FIRN_OBJ_NODE, FIRN_FORMAT_OLDEST, firn_format_newest, err);
    if (s != FIRN_OK)
        return s;
    if (object.len != FIRN_BEAT_BYTES || firn_le64(object.data + 56) != firn_xxh3(object.data, 56))
        return firn_fail(err, FIRN_CORRUPT, "a heartbeat is damaged");
    struct firn_beat b = {.epoch = firn_le64(object.data + 24),
                          .count = firn_le64(object.data + 48),
                          .format = firn_objheader_format(object.data)};
    memcpy(b.db.byte, object.data + 8, FIRN_ID_BYTES);
    memcpy(b.process_nonce.byte, object.data + 32, FIRN_ID_BYTES);
    if (!firn_id_eq(&b.db, db))
        return firn_fail(err, FIRN_CORRUPT, "a heartbeat is of another database");
    *out = b;
    return FIRN_OK;
}
