/* AWS Signature Version 4 on OpenSSL's EVP. */
#include "io_s3/s3_priv.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdio.h>
#include <time.h>

enum firn_status firn_s3__signer_init(struct firn_s3__signer *s, struct firn_err *err)
{
    *s = (struct firn_s3__signer){0};
    s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    s->md5 = EVP_MD_fetch(NULL, "MD5", NULL);
    s->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    s->digest = EVP_MD_CTX_new();
    s->mac = s->hmac ? EVP_MAC_CTX_new(s->hmac) : NULL;
    if (s->sha256 && s->digest && s->mac)
        return FIRN_OK;
    firn_s3__signer_deinit(s);
    return firn_fail(err, FIRN_LIMIT, "OpenSSL gives no SHA-256 and HMAC, or memory is short");
}

void firn_s3__signer_deinit(struct firn_s3__signer *s)
{
    EVP_MAC_CTX_free(s->mac);
    EVP_MD_CTX_free(s->digest);
    EVP_MAC_free(s->hmac);
    EVP_MD_free(s->md5);
    EVP_MD_free(s->sha256);
    OPENSSL_cleanse(s, sizeof *s);
}

static bool hmac(struct firn_s3__signer *s, const void *key, size_t key_len, const char *text,
                 uint8_t out[32])
{
    char name[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end(),
    };
    size_t len = 0;
    return EVP_MAC_init(s->mac, key, key_len, params) == 1 &&
           EVP_MAC_update(s->mac, (const unsigned char *)text, strlen(text)) == 1 &&
           EVP_MAC_final(s->mac, out, &len, 32) == 1 && len == 32;
}

/* The signing key of a day: HMAC chained over day, region, service and a closing word. */
static bool make_key(struct firn_s3__signer *s, const char *secret, const char *day,
                     const char *region)
{
    char first[4 + 256 + 1];
    uint8_t k[32];
    int n = snprintf(first, sizeof first, "AWS4%s", secret);
    bool ok = n > 0 && (size_t)n < sizeof first && hmac(s, first, (size_t)n, day, k) &&
              hmac(s, k, sizeof k, region, k) && hmac(s, k, sizeof k, "s3", k) &&
              hmac(s, k, sizeof k, "aws4_request", s->key);
    OPENSSL_cleanse(first, sizeof first);
    OPENSSL_cleanse(k, sizeof k);
    return ok;
}

static bool add(EVP_MD_CTX *c, const char *text, const char *then)
{
    return EVP_DigestUpdate(c, text, strlen(text)) == 1 &&
           EVP_DigestUpdate(c, then, strlen(then)) == 1;
}

static bool add_header_names(EVP_MD_CTX *c, const struct firn_s3__signable *w)
{
    bool ok = true;
    for (size_t i = 0; i < w->headers; i++)
        ok = ok && add(c, w->header[i].name, i + 1 < w->headers ? ";" : "\n");
    return ok;
}

/* The hash of the canonical request. */
static bool hash_request(struct firn_s3__signer *s, const struct firn_s3__signable *w,
                         char hex[FIRN_S3_SHA256_HEX])
{
    uint8_t sum[32];
    EVP_MD_CTX *c = s->digest;
    bool ok = EVP_DigestInit_ex(c, s->sha256, NULL) == 1 && add(c, w->method, "\n") &&
              add(c, w->path, "\n") && add(c, w->query, "\n");
    for (size_t i = 0; i < w->headers; i++)
        ok = ok && add(c, w->header[i].name, ":") && add(c, w->header[i].value, "\n");
    ok = ok && add(c, "", "\n") && add_header_names(c, w) && add(c, w->payload_hash, "") &&
         EVP_DigestFinal_ex(c, sum, NULL) == 1;
    if (ok)
        firn_s3__hex(sum, sizeof sum, hex);
    return ok;
}

static char *join_names(const struct firn_s3__signable *w, struct firn_arena *a)
{
    char *out = firn_s3__printf(a, "%s", w->headers ? w->header[0].name : "");
    for (size_t i = 1; out && i < w->headers; i++)
        out = firn_s3__printf(a, "%s;%s", out, w->header[i].name);
    return out;
}

char *firn_s3__sign(struct firn_s3__signer *s, const struct firn_s3__signable *what,
                    const struct firn_s3__keys *keys, uint64_t generation, struct firn_arena *a)
{
    char day[9], scope[128], request[FIRN_S3_SHA256_HEX], text[256], hex[FIRN_S3_SHA256_HEX];
    uint8_t signature[32];
    (void)snprintf(day, sizeof day, "%.8s", what->time);
    if (s->generation != generation || strcmp(s->day, day) != 0) {
        s->generation = 0;
        if (!make_key(s, keys->secret, day, what->region))
            return NULL;
        memcpy(s->day, day, sizeof day);
        s->generation = generation;
    }
    (void)snprintf(scope, sizeof scope, "%s/%s/s3/aws4_request", day, what->region);
    if (!hash_request(s, what, request))
        return NULL;
    (void)snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", what->time, scope, request);
    char *names = join_names(what, a);
    if (!names || !hmac(s, s->key, sizeof s->key, text, signature))
        return NULL;
    firn_s3__hex(signature, sizeof signature, hex);
    return firn_s3__printf(a, "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%s",
                           keys->id, scope, names, hex);
}

bool firn_s3__sha256_hex(const struct firn_s3__signer *s, struct firn_slice data,
                         char out[FIRN_S3_SHA256_HEX])
{
    uint8_t sum[32];
    if (EVP_Digest(data.len ? (const void *)data.data : "", data.len, sum, NULL, s->sha256, NULL) !=
        1)
        return false;
    firn_s3__hex(sum, sizeof sum, out);
    return true;
}

void firn_s3__amz_time(int64_t seconds, char out[FIRN_S3_TIME_LEN])
{
    struct tm t;
    time_t at = (time_t)seconds;
    if (!gmtime_r(&at, &t) || strftime(out, FIRN_S3_TIME_LEN, "%Y%m%dT%H%M%SZ", &t) == 0)
        memcpy(out, "19700101T000000Z", FIRN_S3_TIME_LEN);
}
