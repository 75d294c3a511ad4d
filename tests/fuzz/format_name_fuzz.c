/* Names and tokens: what parses is what would be built. */
#include "format/name.h"
#include "format/token.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void build(const struct firn_name *n, char out[FIRN_NAME_MAX])
{
    switch (n->kind) {
    case FIRN_NAME_MANIFEST:
        memcpy(out, FIRN_NAME_MANIFEST_TEXT, sizeof FIRN_NAME_MANIFEST_TEXT);
        break;
    case FIRN_NAME_MANIFEST_LOG:
        firn_name_manifest_log(out, n->version, &n->nonce);
        break;
    case FIRN_NAME_SLOT:
        firn_name_slot(out, n->db, n->place);
        break;
    case FIRN_NAME_TABLE:
        firn_name_table(out, n->db, &n->table);
        break;
    default:
        if (firn_name_id(out, n->kind, firn_slice_str(n->id)) != FIRN_OK)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct firn_name n;
    struct firn_token t;
    char text[FIRN_NAME_MAX];
    struct firn_slice in = firn_slice_of(data, size);
    if (firn_name_parse(in, &n) == FIRN_OK) {
        build(&n, text);
        if (!firn_slice_eq(in, firn_slice_str(text)))
            abort();
    }
    if (firn_token_parse(in, &t) == FIRN_OK &&
        (firn_token_format(&t, text) != size || memcmp(text, data, size) != 0))
        abort();
    return 0;
}
