/* Documents of S3 and of the credential endpoints: each reader of XML and JSON gets the same bytes.
 */
#include "fuzz/fuzz.h"

#include "env/objstore.h"
#include "io_s3/s3_priv.h"

#include <openssl/crypto.h>

static bool ended(const char *text, size_t cap)
{
    return memchr(text, 0, cap) != NULL;
}

static void error(struct firn_slice doc)
{
    struct firn_s3__error e;
    firn_s3__xml_error(doc, &e);
    FIRN_ASSERT(ended(e.code, sizeof e.code) && ended(e.message, sizeof e.message) &&
                ended(e.region, sizeof e.region));
    (void)firn_s3__http_of(e.code);
    (void)firn_s3__is_stale_credential(e.code);
    for (unsigned op = 0; op < FIRN_OS_OPS; op++) {
        bool slow = false;
        enum firn_status s = firn_s3__status_of((enum firn_os_op)op, FIRN_OS_IF_ABSENT,
                                                doc.len ? 300 + doc.data[0] : 404, e.code, &slow);
        FIRN_ASSERT(s != FIRN_OK && s != FIRN_BUG);
    }
}

static void list(struct firn_slice doc, const char *prefix)
{
    struct firn_os_req r;
    firn_os_req_init(&r);
    if (firn_s3__xml_list(doc, prefix, &r.page) == FIRN_OK)
        for (size_t i = 0; i < r.page.count; i++)
            FIRN_ASSERT(strlen(r.page.entry[i].key) <= FIRN_OS_KEY_MAX);
    firn_os_req_clear(&r);
}

static void keys(struct firn_slice doc)
{
    struct firn_s3__keys k;
    struct firn_err err = {""};
    if (firn_s3__json_keys(doc, &k, &err) == FIRN_OK)
        FIRN_ASSERT(k.id[0] && k.secret[0] && ended(k.id, sizeof k.id) &&
                    ended(k.secret, sizeof k.secret) && ended(k.token, sizeof k.token));
    else
        FIRN_ASSERT(err.text[0] && !k.id[0] && !k.secret[0]);
    if (firn_s3__xml_keys(doc, &k) == FIRN_OK)
        FIRN_ASSERT(k.id[0] && k.secret[0]);
    OPENSSL_cleanse(&k, sizeof k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char id[64];
    size_t failed;
    uint8_t *copy = fuzz_copy(firn_slice_of(data, size));
    struct firn_slice doc = firn_slice_of(copy, size);
    fuzz_meter_begin();
    error(doc);
    list(doc, "");
    list(doc, "pre/");
    enum firn_status st = firn_s3__xml_upload_id(doc, id, sizeof id);
    FIRN_ASSERT(st != FIRN_OK || ended(id, sizeof id));
    st = firn_s3__xml_deleted(doc, &failed);
    FIRN_ASSERT(st != FIRN_OK || failed <= size);
    st = firn_s3__xml_completed(doc);
    FIRN_ASSERT(st == FIRN_OK || st == FIRN_CORRUPT);
    keys(doc);
    /* a key takes some sixty bytes of document, and a pointer, a size and its text here */
    fuzz_meter_end(64 * size + (64 << 10));
    free(copy);
    return 0;
}
