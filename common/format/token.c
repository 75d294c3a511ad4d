#include "format/token.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"

#define VERSION 1
#define CHECK_BYTES 4
#define RAW_MAX (1 + 4 + 4 + 6 + FIRN_VARINT_MAX + CHECK_BYTES) /* epochs 24 bits, slots 40 */

_Static_assert((RAW_MAX * 4 + 2) / 3 < FIRN_TOKEN_MAX, "a token fits its text");

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* out has room for the text and a NUL. */
static size_t base64url(const uint8_t *in, size_t len, char *out)
{
    size_t n = 0;
    uint32_t acc = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < len; i++) {
        acc = acc << 8 | in[i];
        for (bits += 8; bits >= 6; bits -= 6)
            out[n++] = alphabet[acc >> (bits - 6) & 63];
    }
    if (bits)
        out[n++] = alphabet[acc << (6 - bits) & 63];
    out[n] = '\0';
    return n;
}

/* The bytes of a text, or 0 for one with other characters or set bits behind its end. */
static size_t unbase64url(struct firn_slice text, uint8_t *out)
{
    size_t n = 0;
    uint32_t acc = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *p = text.data[i] ? strchr(alphabet, text.data[i]) : NULL;
        if (!p)
            return 0;
        acc = acc << 6 | (uint32_t)(p - alphabet);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (uint8_t)(acc >> bits);
        }
    }
    return bits < 6 && (acc & ((1u << bits) - 1)) == 0 ? n : 0;
}

size_t firn_token_format(const struct firn_token *t, char out[FIRN_TOKEN_MAX])
{
    FIRN_ASSERT(firn_place_valid(t->place));
    uint8_t raw[RAW_MAX + FIRN_VARINT_MAX]; /* varints want room for the longest */
    size_t n = 0;
    raw[n++] = VERSION;
    firn_put_le32(raw + n, __builtin_bswap32(t->db)); /* as in names: first byte first */
    n += 4;
    n += firn_varint_put(raw + n, t->place.epoch);
    n += firn_varint_put(raw + n, t->place.slot);
    n += firn_varint_put(raw + n, t->seqno);
    firn_put_le32(raw + n, (uint32_t)firn_xxh3(raw, n));
    n += CHECK_BYTES;
    return base64url(raw, n, out);
}

enum firn_status firn_token_parse(struct firn_slice text, struct firn_token *out)
{
    uint8_t raw[FIRN_TOKEN_MAX];
    if (text.len >= FIRN_TOKEN_MAX)
        return FIRN_INVALID;
    size_t n = unbase64url(text, raw);
    if (n < 1 + 4 + 3 + CHECK_BYTES || raw[0] != VERSION)
        return FIRN_INVALID;
    n -= CHECK_BYTES;
    if (firn_le32(raw + n) != (uint32_t)firn_xxh3(raw, n))
        return FIRN_INVALID;
    struct firn_token t = {.db = __builtin_bswap32(firn_le32(raw + 1))};
    const uint8_t *p = raw + 5, *end = raw + n;
    if (!(p = firn_varint_get(p, end, &t.place.epoch)) ||
        !(p = firn_varint_get(p, end, &t.place.slot)) || !(p = firn_varint_get(p, end, &t.seqno)) ||
        p != end || !firn_place_valid(t.place))
        return FIRN_INVALID;
    char again[FIRN_TOKEN_MAX]; /* overlong varints: only what format() gives is a token */
    if (firn_token_format(&t, again) != text.len || memcmp(again, text.data, text.len) != 0)
        return FIRN_INVALID;
    *out = t;
    return FIRN_OK;
}
