/* Seals, as they are and with the checksum made right. */
#include "base/bytes.h"
#include "format/seal.h"
#include "format/slot_priv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct firn_seal s;
    struct firn_id db = {{0}};
    uint8_t b[FIRN_SEAL_BYTES] = {0}, again[FIRN_SEAL_BYTES];
    if (firn_seal_decode(firn_slice_of(data, size), &db, (struct firn_place){0, 0}, &s, NULL) ==
            FIRN_OK &&
        size != FIRN_SEAL_BYTES)
        abort();
    memcpy(b, data, size < sizeof b ? size : sizeof b);
    memcpy(b, "FIRN\x02\0\x01\0", 8);
    firn_put_le64(b + 80, firn_slot__checksum(b, firn_slice_of(b, 80)));
    memcpy(db.byte, b + 8, FIRN_ID_BYTES);
    struct firn_place place = {firn_le64(b + 24), firn_le64(b + 32)};
    if (firn_seal_decode(firn_slice_of(b, sizeof b), &db, place, &s, NULL) == FIRN_OK) {
        firn_seal_encode(&s, again);
        if (memcmp(b, again, sizeof b) != 0)
            abort();
    }
    return 0;
}
