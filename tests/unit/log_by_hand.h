/* Slots put into the fake store by hand, at once: of nobody. */
#ifndef FIRN_TESTS_UNIT_LOG_BY_HAND_H
#define FIRN_TESTS_UNIT_LOG_BY_HAND_H

#include "fakes/fake_env.h"
#include "format/batch.h"
#include "format/key.h"
#include "format/name.h"
#include "format/record.h"
#include "format/seal.h"
#include "format/version.h"
#include "unit/manifest_sample.h"

static inline void slot_put(struct firn_fake_world *w, const struct firn_id *db,
                            struct firn_place at, const void *body, size_t len)
{
    char name[FIRN_NAME_MAX];
    firn_name_slot(name, firn_id_short(db), at);
    firn_fake_put(w, name, body, len);
}

/* What lies in the slot; of a missing one NEITHER. */
static inline enum firn_slot_kind slot_there(const struct firn_fake_world *w,
                                             const struct firn_id *db, struct firn_place at)
{
    char name[FIRN_NAME_MAX];
    struct firn_slice body;
    firn_name_slot(name, firn_id_short(db), at);
    return firn_fake_get(w, name, &body) ? firn_slot_kind(body) : FIRN_SLOT_NEITHER;
}

/* A batch of one record. */
static inline void batch_put(struct firn_fake_world *w, const struct firn_id *db,
                             struct firn_place at)
{
    static const uint8_t key[] = {FIRN_NS_DB0, 'k'};
    struct firn_record rec = {
        .kind = FIRN_RECORD_PUT, .event = 1, .key = firn_slice_of(key, sizeof key)};
    struct firn_batch_header h = {.format = FIRN_FORMAT_OLDEST,
                                  .db = *db,
                                  .place = at,
                                  .first_seqno = (at.epoch << 40) + at.slot + 1,
                                  .count = 1};
    struct firn_buf raw = {.max = SIZE_MAX}, object = {.max = SIZE_MAX};
    SAMPLE_OK(firn_record_append(&raw, &rec));
    SAMPLE_OK(firn_batch_encode(&h, firn_buf_slice(&raw), FIRN_CODEC_NONE, &object));
    slot_put(w, db, at, object.data, object.len);
    firn_buf_clear(&raw);
    firn_buf_clear(&object);
}

/* A seal of the next epoch's writer. */
static inline void seal_put(struct firn_fake_world *w, const struct firn_id *db,
                            struct firn_place at)
{
    uint8_t body[FIRN_SEAL_BYTES];
    struct firn_seal s = {.db = *db, .place = at, .sealer_epoch = at.epoch + 1};
    firn_seal_encode(&s, body);
    slot_put(w, db, at, body, sizeof body);
}

#endif
