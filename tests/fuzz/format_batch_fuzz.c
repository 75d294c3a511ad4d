/* Batches: bytes as they are, and (so that the fuzzer gets past the checksums) with the checksums
 * made right. */
#include "base/bytes.h"
#include "base/mem.h"
#include "format/batch.h"
#include "format/record.h"
#include "format/seal.h"
#include "format/slot_priv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(struct firn_slice object)
{
    struct firn_batch_header h;
    struct firn_buf raw;
    struct firn_record_cursor c;
    struct firn_record r;
    struct firn_err err = {""};
    struct firn_id db = {{0}};
    struct firn_place place = {0, 0};
    (void)firn_slot_kind(object);
    if (object.len >= 40) { /* what it says of itself */
        memcpy(db.byte, object.data + 8, FIRN_ID_BYTES);
        place = (struct firn_place){firn_le64(object.data + 24), firn_le64(object.data + 32)};
    }
    firn_buf_init(&raw, 1 << 20);
    enum firn_status st = firn_batch_decode(object, &db, place, 1 << 20, &h, &raw, &err);
    if (st != FIRN_OK && !err.text[0])
        abort();
    if (st == FIRN_OK) {
        firn_record_begin(&c, firn_buf_slice(&raw), h.first_seqno);
        while ((st = firn_record_next(&c, &r, NULL)) == FIRN_OK)
            ;
        if (st != FIRN_ABSENT)
            abort();
    }
    firn_buf_clear(&raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode(firn_slice_of(data, size));
    if (size < FIRN_BATCH_HEADER_BYTES)
        return 0;
    uint8_t *p = malloc(size);
    memcpy(p, data, size);
    size_t body = size - FIRN_BATCH_HEADER_BYTES;
    memcpy(p, "FIRN\x01\0\x01\0", 8);
    firn_put_le32(p + 100, (uint32_t)body);
    firn_put_le64(p + 120,
                  firn_slot__checksum(p, firn_slice_of(p + FIRN_BATCH_HEADER_BYTES, body)));
    firn_put_le64(p + 128, firn_slot__checksum(p, firn_slice_of(p, 128)));
    decode(firn_slice_of(p, size));
    free(p);
    return 0;
}
