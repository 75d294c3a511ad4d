/* Manifests: the input as the message of one, and (cut where a length says) of the one behind it.
 * Whatever decodes can be checked, alone and as a step. */
#include "fuzz/fuzz.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "manifest/check.h"

static Firn__Manifest *decode(struct firn_slice message)
{
    Firn__Manifest *m = NULL;
    uint8_t *p = calloc(1, FIRN_MANIFEST_HEADER_BYTES + message.len);
    FIRN_ASSERT(p != NULL);
    memcpy(p, "FIRN\x03\0\x01\0", 8);
    firn_put_le32(p + 12, (uint32_t)message.len);
    firn_put_le32(p + 16, (uint32_t)message.len);
    if (message.len)
        memcpy(p + FIRN_MANIFEST_HEADER_BYTES, message.data, message.len);
    firn_put_le64(p + 24,
                  firn_xxh3_seed(p + FIRN_MANIFEST_HEADER_BYTES, message.len, firn_xxh3(p, 24)));
    enum firn_status s =
        firn_manifest_decode(firn_slice_of(p, FIRN_MANIFEST_HEADER_BYTES + message.len), &m, NULL);
    FIRN_ASSERT((s == FIRN_OK) == (m != NULL));
    free(p);
    return m;
}

static void check(const Firn__Manifest *m)
{
    struct firn_err err = {""};
    FIRN_ASSERT(firn_manifest_check(m, &err) == FIRN_OK || err.text[0]);
    err.text[0] = '\0';
    FIRN_ASSERT(firn_manifest_check_features(m, true, &err) == FIRN_OK || err.text[0]);
    FIRN_ASSERT(firn_manifest_check_step(m, m, &err) == FIRN_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_begin(data, size);
    size_t first = (size_t)(fuzz_u64(&in) & 0xffff);
    struct firn_err err = {""};
    Firn__Manifest *m = decode(fuzz_bytes(&in, first)), *n = decode(fuzz_rest(&in));
    if (m)
        check(m);
    if (n)
        check(n);
    if (m && n)
        FIRN_ASSERT(firn_manifest_check_step(m, n, &err) == FIRN_OK || err.text[0]);
    firn_pb_manifest_free(m);
    firn_pb_manifest_free(n);
    return 0;
}
