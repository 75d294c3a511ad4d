/* Small objects of a fixed form, as they are and with the checksum made right: heartbeats, pins,
 * object headers. What decodes encodes to the same bytes. */
#include "fuzz/fuzz.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "format/beat.h"
#include "format/objheader.h"
#include "format/pin.h"

static void beat(struct firn_slice object, const struct firn_id *db)
{
    struct firn_beat b;
    struct firn_err err = {""};
    uint8_t again[FIRN_BEAT_BYTES];
    if (firn_beat_decode(object, db, &b, &err) != FIRN_OK) {
        FIRN_ASSERT(err.text[0]);
        return;
    }
    firn_beat_encode(&b, again);
    FIRN_ASSERT(firn_slice_eq(object, firn_slice_of(again, sizeof again)));
}

static void pin(struct firn_slice object, const struct firn_id *db)
{
    struct firn_pin p;
    struct firn_err err = {""};
    uint8_t again[FIRN_PIN_BYTES];
    if (firn_pin_decode(object, db, &p, &err) != FIRN_OK) {
        FIRN_ASSERT(err.text[0]);
        return;
    }
    firn_pin_encode(&p, again);
    FIRN_ASSERT(firn_slice_eq(object, firn_slice_of(again, sizeof again)));
}

static void header(struct firn_slice object)
{
    uint8_t again[FIRN_OBJHEADER_BYTES];
    for (unsigned kind = 0; kind < 10; kind++) {
        struct firn_err err = {""};
        if (firn_objheader_check(object, (enum firn_obj_kind)kind, 1, 1, &err) == FIRN_OK) {
            firn_objheader_put(again, (enum firn_obj_kind)kind, 1);
            FIRN_ASSERT(memcmp(object.data, again, sizeof again) == 0);
        } else {
            FIRN_ASSERT(err.text[0] && firn_obj_kind_name(kind));
        }
    }
}

/* The input's bytes in an object of `bytes`, with a header and a checksum over all but itself. */
static void whole(struct firn_slice in, enum firn_obj_kind kind, size_t bytes, uint8_t *out)
{
    memset(out, 0, bytes);
    if (in.len)
        memcpy(out, in.data, in.len < bytes ? in.len : bytes);
    firn_objheader_put(out, kind, 1);
    firn_put_le64(out + bytes - 8, firn_xxh3(out, bytes - 8));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct firn_slice in = firn_slice_of(data, size);
    struct firn_id db = {{0}};
    uint8_t object[FIRN_BEAT_BYTES];
    beat(in, &db);
    pin(in, &db);
    header(in);
    whole(in, FIRN_OBJ_NODE, FIRN_BEAT_BYTES, object);
    memcpy(db.byte, object + 8, FIRN_ID_BYTES);
    beat(firn_slice_of(object, FIRN_BEAT_BYTES), &db);
    whole(in, FIRN_OBJ_PIN, FIRN_PIN_BYTES, object);
    pin(firn_slice_of(object, FIRN_PIN_BYTES), &db);
    return 0;
}
