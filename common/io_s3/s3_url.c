#include "io_s3/s3_priv.h"

#include "base/slice.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum firn_status s3_encode(struct firn_buf *out, struct firn_slice s, bool slash)
{
    static const char hex[] = "0123456789ABCDEF";
    enum firn_status st = firn_buf_reserve(out, 3 * s.len);
    if (st != FIRN_OK)
        return st;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        if ((c < 0x80 && isalnum(c)) || c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && slash)) {
            out->data[out->len++] = c;
        } else {
            out->data[out->len++] = '%';
            out->data[out->len++] = (uint8_t)hex[c >> 4];
            out->data[out->len++] = (uint8_t)hex[c & 15];
        }
    }
    return FIRN_OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void s3_decode(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (*s == '%' && hex_digit(s[1]) >= 0 && hex_digit(s[2]) >= 0) {
            *to++ = (char)(hex_digit(s[1]) * 16 + hex_digit(s[2]));
            s += 2;
        } else {
            *to++ = *s == '+' ? ' ' : *s;
        }
    }
    *to = '\0';
}

enum firn_status s3_path(const struct firn_s3_options *o, const char *key, struct firn_buf *out)
{
    enum firn_status s = FIRN_OK;
    if (o->path_style)
        s = firn_buf_printf(out, "/%s", o->bucket);
    if (s != FIRN_OK || !key[0])
        return s == FIRN_OK && !o->path_style ? firn_buf_append(out, "/", 1) : s;
    if (o->prefix[0]) {
        s = firn_buf_append(out, "/", 1);
        if (s == FIRN_OK)
            s = s3_encode(out, firn_slice_str(o->prefix), true);
    }
    if (s == FIRN_OK)
        s = firn_buf_append(out, "/", 1);
    return s == FIRN_OK ? s3_encode(out, firn_slice_str(key), true) : s;
}

/* --- options */

static const char *env_of(const char *a, const char *b, const char *standard)
{
    const char *v = getenv(a);
    if (!v || !*v)
        v = b ? getenv(b) : NULL;
    return v && *v ? v : standard;
}

static enum firn_status copy(char *out, size_t max, const char *s, size_t n, const char *what, struct firn_err *err)
{
    if (n >= max)
        return firn_fail(err, FIRN_INVALID, "%s of the store's URL is longer than %zu bytes", what, max - 1);
    memcpy(out, s, n);
    out[n] = '\0';
    return FIRN_OK;
}

/* Amazon S3 User Guide, "Bucket naming rules"; other stores allow capitals and underscores. */
static bool bucket_ok(const char *b)
{
    if (strlen(b) < 1 || !isalnum((unsigned char)b[0]))
        return false;
    for (; *b; b++) {
        if (!isalnum((unsigned char)*b) && *b != '-' && *b != '.' && *b != '_')
            return false;
    }
    return true;
}

static enum firn_status parse_bucket(struct firn_s3_options *o, const char *url, struct firn_err *err)
{
    if (strncmp(url, "s3://", 5) != 0)
        return firn_fail(err, FIRN_INVALID, "store \"%s\": it must begin with s3://", url);
    const char *bucket = url + 5, *slash = strchr(bucket, '/');
    size_t n = slash ? (size_t)(slash - bucket) : strlen(bucket);
    enum firn_status s = copy(o->bucket, sizeof o->bucket, bucket, n, "bucket", err);
    if (s != FIRN_OK)
        return s;
    if (!bucket_ok(o->bucket))
        return firn_fail(err, FIRN_INVALID, "store \"%s\": no bucket's name behind s3://", url);
    const char *prefix = slash ? slash : "";
    while (*prefix == '/')
        prefix++;
    n = strlen(prefix);
    while (n && prefix[n - 1] == '/')
        n--;
    if (memchr(prefix, '?', n) || memchr(prefix, '#', n))
        return firn_fail(err, FIRN_INVALID, "store \"%s\": no ? or # in a URL (endpoint and region are settings)", url);
    return copy(o->prefix, sizeof o->prefix, prefix, n, "prefix", err);
}

static enum firn_status parse_endpoint(struct firn_s3_options *o, const char *endpoint, int addressing,
                                       struct firn_err *err)
{
    char aws[128];
    bool is_aws = !endpoint[0];
    if (is_aws) {
        (void)snprintf(aws, sizeof aws, "https://s3.%s.amazonaws.com", o->region);
        endpoint = aws;
    }
    (void)snprintf(o->scheme, sizeof o->scheme, "https");
    const char *host = strstr(endpoint, "://");
    if (host) {
        size_t n = (size_t)(host - endpoint);
        if (!(n == 4 && strncmp(endpoint, "http", 4) == 0) && !(n == 5 && strncmp(endpoint, "https", 5) == 0))
            return firn_fail(err, FIRN_INVALID, "endpoint \"%s\": it must be http:// or https://", endpoint);
        (void)snprintf(o->scheme, sizeof o->scheme, "%.*s", (int)n, endpoint);
        host += 3;
    } else {
        host = endpoint;
    }
    size_t n = strcspn(host, "/?#");
    if (n == 0 || memchr(host, '@', n) || host[n + strspn(host + n, "/")] != '\0')
        return firn_fail(err, FIRN_INVALID, "endpoint \"%s\": it must be [http[s]://]host[:port]", endpoint);
    o->path_style = addressing == FIRN_S3_PATH || (addressing == FIRN_S3_AUTO && (!is_aws || strchr(o->bucket, '.')));
    int len = snprintf(o->host, sizeof o->host, "%s%s%.*s", o->path_style ? "" : o->bucket,
                       o->path_style ? "" : ".", (int)n, host);
    if (len < 0 || (size_t)len >= sizeof o->host)
        return firn_fail(err, FIRN_INVALID, "endpoint \"%s\": too long", endpoint);
    return FIRN_OK;
}

enum firn_status firn_s3_options_init(struct firn_s3_options *o, const char *url, const char *endpoint,
                                      const char *region, int addressing, struct firn_err *err)
{
    memset(o, 0, sizeof *o);
    enum firn_status s = copy(o->url, sizeof o->url, url, strlen(url), "text", err);
    if (s == FIRN_OK)
        s = parse_bucket(o, url, err);
    if (s != FIRN_OK)
        return s;
    if (!region[0])
        region = env_of("AWS_REGION", "AWS_DEFAULT_REGION", "us-east-1");
    s = copy(o->region, sizeof o->region, region, strlen(region), "region", err);
    if (s != FIRN_OK)
        return s;
    if (!endpoint[0])
        endpoint = env_of("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "");
    return parse_endpoint(o, endpoint, addressing, err);
}
