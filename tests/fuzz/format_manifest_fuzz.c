/* The manifest: the object as it is, and the input as its message behind a right header. */
#include "base/bytes.h"
#include "base/hash.h"
#include "format/manifest_codec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(struct firn_slice object)
{
    Firn__Manifest *m = NULL, *n = NULL;
    struct firn_err err = {""};
    struct firn_buf b;
    enum firn_status st = firn_manifest_decode(object, &m, &err);
    if (st != FIRN_OK) {
        if (!err.text[0] || m)
            abort();
        return;
    }
    firn_buf_init(&b, FIRN_MANIFEST_RAW_MAX);
    if (firn_manifest_encode(m, true, &b) != FIRN_OK ||
        firn_manifest_decode(firn_buf_slice(&b), &n, NULL) != FIRN_OK)
        abort();
    firn_buf_clear(&b);
    firn_pb_manifest_free(m);
    firn_pb_manifest_free(n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode(firn_slice_of(data, size));
    uint8_t *p = calloc(1, FIRN_MANIFEST_HEADER_BYTES + size);
    memcpy(p, "FIRN\x03\0\x01\0", 8);
    firn_put_le32(p + 12, (uint32_t)size);
    firn_put_le32(p + 16, (uint32_t)size);
    memcpy(p + FIRN_MANIFEST_HEADER_BYTES, data, size);
    firn_put_le64(p + 24, firn_xxh3_seed(p + FIRN_MANIFEST_HEADER_BYTES, size, firn_xxh3(p, 24)));
    decode(firn_slice_of(p, FIRN_MANIFEST_HEADER_BYTES + size));
    free(p);
    return 0;
}
