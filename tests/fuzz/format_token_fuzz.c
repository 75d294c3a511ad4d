/* Tokens. The input as a text, as the bytes behind one with the checksum made right, and as the
 * fields of one: what parses formats to the same text, what is formatted parses to the same token.
 */
#include "fuzz/fuzz.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "format/token.h"

static bool parse(struct firn_slice text, struct firn_token *t)
{
    char again[FIRN_TOKEN_MAX];
    if (firn_token_parse(text, t) != FIRN_OK)
        return false;
    size_t len = firn_token_format(t, again);
    FIRN_ASSERT(len < FIRN_TOKEN_MAX && firn_slice_eq(text, firn_slice_of(again, len)));
    return true;
}

/* base64url without padding. */
static size_t encode(const uint8_t *in, size_t n, char *out)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t len = 0;
    for (size_t bit = 0; bit < 8 * n; bit += 6) {
        unsigned v = (unsigned)in[bit / 8] << 8 | (bit / 8 + 1 < n ? in[bit / 8 + 1] : 0);
        out[len++] = digit[v >> (10 - bit % 8) & 63];
    }
    return len;
}

static void sealed(struct firn_slice in)
{
    uint8_t bytes[48];
    char text[72];
    struct firn_token t;
    size_t n = in.len < 40 ? in.len : 40;
    if (n)
        memcpy(bytes, in.data, n);
    firn_put_le32(bytes + n, (uint32_t)firn_xxh3(bytes, n));
    (void)parse(firn_slice_of(text, encode(bytes, n + 4, text)), &t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct firn_token t, u;
    char text[FIRN_TOKEN_MAX];
    (void)parse(firn_slice_of(data, size), &t);
    sealed(firn_slice_of(data, size));
    struct fuzz_in in = fuzz_begin(data, size);
    t = (struct firn_token){.db = (uint32_t)fuzz_u64(&in)};
    t.place.epoch = fuzz_u64(&in) & FIRN_EPOCH_MAX;
    t.place.slot = fuzz_u64(&in) & FIRN_SLOT_MAX;
    t.seqno = fuzz_u64(&in);
    size_t len = firn_token_format(&t, text);
    FIRN_ASSERT(parse(firn_slice_of(text, len), &u));
    FIRN_ASSERT(t.db == u.db && firn_place_eq(t.place, u.place) && t.seqno == u.seqno);
    return 0;
}
