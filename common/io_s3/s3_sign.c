#include "io_s3/s3_priv.h"

#include "base/slice.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#define ALGORITHM "AWS4-HMAC-SHA256"

enum firn_status s3_signer_init(struct s3_signer *s)
{
    memset(s, 0, sizeof *s);
    s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    s->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    return s->sha256 && s->hmac ? FIRN_OK : FIRN_BUG;
}

void s3_signer_deinit(struct s3_signer *s)
{
    EVP_MD_free(s->sha256);
    EVP_MAC_free(s->hmac);
    OPENSSL_cleanse(s, sizeof *s);
}

static void to_hex(const uint8_t *in, size_t n, char *out)
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digit[in[i] >> 4];
        out[2 * i + 1] = digit[in[i] & 15];
    }
    out[2 * n] = '\0';
}

bool s3_sha256_hex(const struct s3_signer *s, struct firn_slice data, char out[S3_SHA256_HEX + 1])
{
    uint8_t digest[S3_SHA256_BYTES];
    unsigned n = 0;
    const void *bytes = data.data ? (const void *)data.data : "";
    if (EVP_Digest(bytes, data.len, digest, &n, s->sha256, NULL) != 1 || n != sizeof digest)
        return false;
    to_hex(digest, sizeof digest, out);
    return true;
}

static bool hmac(const struct s3_signer *s, struct firn_slice key, struct firn_slice text,
                 uint8_t out[S3_SHA256_BYTES])
{
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0), OSSL_PARAM_construct_end()};
    size_t n = 0;
    EVP_MAC_CTX *c = EVP_MAC_CTX_new(s->hmac);
    bool ok = c && EVP_MAC_init(c, key.data, key.len, params) == 1 && EVP_MAC_update(c, text.data, text.len) == 1 &&
              EVP_MAC_final(c, out, &n, S3_SHA256_BYTES) == 1 && n == S3_SHA256_BYTES;
    EVP_MAC_CTX_free(c);
    return ok;
}

/* The day's signing key: HMACs over date, region, service and "aws4_request". Kept until one of them changes. */
static bool day_key(struct s3_signer *s, const struct s3_to_sign *t)
{
    char day[9], secret[sizeof t->creds->secret_key + 4];
    memcpy(day, t->amz_date, 8);
    day[8] = '\0';
    if (strcmp(day, s->day) == 0 && s->generation == t->generation)
        return true;
    uint8_t k[S3_SHA256_BYTES];
    int n = snprintf(secret, sizeof secret, "AWS4%s", t->creds->secret_key);
    bool ok = hmac(s, firn_slice_of(secret, (size_t)n), firn_slice_str(day), k) &&
              hmac(s, firn_slice_of(k, sizeof k), firn_slice_str(t->region), k) &&
              hmac(s, firn_slice_of(k, sizeof k), firn_slice_str("s3"), k) &&
              hmac(s, firn_slice_of(k, sizeof k), firn_slice_str("aws4_request"), s->key);
    OPENSSL_cleanse(secret, sizeof secret);
    OPENSSL_cleanse(k, sizeof k);
    if (!ok)
        return false;
    memcpy(s->day, day, sizeof day);
    s->generation = t->generation;
    return true;
}

static enum firn_status signed_headers(const struct s3_to_sign *t, struct firn_buf *out)
{
    enum firn_status s = FIRN_OK;
    for (size_t i = 0; i < t->headers && s == FIRN_OK; i++)
        s = firn_buf_printf(out, "%s%s", i ? ";" : "", t->header[i][0]);
    return s;
}

static enum firn_status canonical_request(const struct s3_to_sign *t, struct firn_buf *out)
{
    enum firn_status s = firn_buf_printf(out, "%s\n%s\n%s\n", t->method, t->path, t->query);
    for (size_t i = 0; i < t->headers && s == FIRN_OK; i++)
        s = firn_buf_printf(out, "%s:%s\n", t->header[i][0], t->header[i][1]);
    if (s == FIRN_OK)
        s = firn_buf_append(out, "\n", 1);
    if (s == FIRN_OK)
        s = signed_headers(t, out);
    return s == FIRN_OK ? firn_buf_printf(out, "\n%s", t->payload_hash) : s;
}

static enum firn_status authorization(const struct s3_to_sign *t, const char *scope, const char *signature,
                                      struct firn_buf *out)
{
    enum firn_status s = firn_buf_printf(out, ALGORITHM " Credential=%s/%s, SignedHeaders=", t->creds->access_key, scope);
    if (s == FIRN_OK)
        s = signed_headers(t, out);
    if (s == FIRN_OK)
        s = firn_buf_printf(out, ", Signature=%s", signature);
    return s == FIRN_OK ? firn_buf_append(out, "", 1) : s;
}

enum firn_status s3_sign(struct s3_signer *s, const struct s3_to_sign *t, struct firn_buf *out)
{
    char hash[S3_SHA256_HEX + 1], signature[S3_SHA256_HEX + 1], scope[128], text[384];
    uint8_t mac[S3_SHA256_BYTES];
    struct firn_buf canonical;
    firn_buf_init(&canonical, 64 * 1024);
    enum firn_status st = canonical_request(t, &canonical);
    bool ok = st == FIRN_OK && s3_sha256_hex(s, firn_buf_slice(&canonical), hash) && day_key(s, t);
    firn_buf_clear(&canonical);
    if (st != FIRN_OK)
        return st;
    if (!ok)
        return FIRN_BUG;
    (void)snprintf(scope, sizeof scope, "%s/%s/s3/aws4_request", s->day, t->region);
    int n = snprintf(text, sizeof text, ALGORITHM "\n%s\n%s\n%s", t->amz_date, scope, hash);
    if (!hmac(s, firn_slice_of(s->key, sizeof s->key), firn_slice_of(text, (size_t)n), mac))
        return FIRN_BUG;
    to_hex(mac, sizeof mac, signature);
    return authorization(t, scope, signature, out);
}
