/* The texts of the S3 adapter: URLs, percent-encoding, times, and what is printed of foreign bytes.
 */
#include "fuzz/fuzz.h"

#include "io_s3/s3_priv.h"

static void encoding(const char *text)
{
    struct firn_arena a = {0};
    char *encoded = firn_s3__encode(&a, text, false), *copy = fuzz_string(firn_slice_str(text));
    FIRN_ASSERT(encoded && firn_s3__decode(encoded, false) && strcmp(encoded, text) == 0);
    if (firn_s3__decode(copy, true))
        FIRN_ASSERT(strlen(copy) <= strlen(text));
    free(copy);
    firn_arena_clear(&a);
}

static void url(const char *text)
{
    struct firn_s3_options o = {.bucket = "kept"};
    struct firn_s3__target t;
    struct firn_err err = {""};
    if (firn_s3_url_parse(text, &o, &err) != FIRN_OK) {
        FIRN_ASSERT(err.text[0] && strcmp(o.bucket, "kept") == 0);
        return;
    }
    size_t prefix = strlen(o.prefix);
    FIRN_ASSERT(prefix == 0 || (o.prefix[0] != '/' && o.prefix[prefix - 1] != '/'));
    firn_s3__options_complete(&o, NULL);
    err.text[0] = '\0';
    FIRN_ASSERT(firn_s3__target_of(&o, &t, &err) == FIRN_OK || err.text[0]);
}

static void printable(struct firn_slice s)
{
    char out[40];
    firn_s3__printable(s, out, sizeof out);
    for (const char *c = out; *c; c++)
        FIRN_ASSERT(*c >= ' ' && *c <= '~');
    if (firn_s3__copy(s, out, sizeof out))
        FIRN_ASSERT(firn_slice_eq(s, firn_slice_str(out)));
    else
        FIRN_ASSERT(out[0] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_string(firn_slice_of(data, size));
    printable(firn_slice_of(data, size));
    url(text);
    encoding(text);
    int64_t at = firn_s3__iso_time(text);
    FIRN_ASSERT(at >= -1);
    free(text);
    return 0;
}
