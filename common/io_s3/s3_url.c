/* Where a database lies: the URL, what the environment adds, and the host and path made of both. */
#include "io_s3/s3_priv.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static bool bucket_ok(const char *s)
{
    size_t n = strlen(s);
    if (n < 3 || n > 63 || !isalnum((unsigned char)s[0]) || !isalnum((unsigned char)s[n - 1]))
        return false;
    for (; *s; s++) {
        if (!isalnum((unsigned char)*s) && !strchr(".-_", *s))
            return false;
        if (s[0] == '.' && s[1] == '.')
            return false;
    }
    return true;
}

/* No control bytes, and no segment that an HTTP client or server might fold away. */
static bool prefix_ok(const char *s)
{
    if (!*s)
        return true;
    for (const char *p = s; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    }
    for (;;) {
        size_t n = strcspn(s, "/");
        if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
            return false;
        if (!s[n])
            return true;
        s += n + 1;
    }
}

static bool port_ok(const char *s)
{
    size_t n = strspn(s, "0123456789");
    return n > 0 && n <= 5 && s[n] == '\0';
}

/* The part behind "http[s]://" of an endpoint, NULL when it is none; *tls says which. */
static const char *endpoint_host(const char *s, bool *tls)
{
    *tls = strncmp(s, "https://", 8) == 0;
    if (!*tls && strncmp(s, "http://", 7) != 0)
        return NULL;
    return s + (*tls ? 8 : 7);
}

static bool endpoint_ok(const char *s)
{
    bool tls;
    const char *host = endpoint_host(s, &tls);
    if (!host)
        return false;
    size_t n;
    if (host[0] == '[') {
        n = 1 + strspn(host + 1, "0123456789abcdefABCDEF:.");
        if (n == 1 || host[n] != ']')
            return false;
        n++;
    } else {
        n = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
    }
    return n > 0 && (host[n] == '\0' || (host[n] == ':' && port_ok(host + n + 1)));
}

static bool region_ok(const char *s)
{
    for (; *s; s++) {
        if (!isalnum((unsigned char)*s) && !strchr("._-", *s))
            return false;
    }
    return true;
}

static bool addressing_of(const char *s, enum firn_s3_addressing *out)
{
    if (strcmp(s, "auto") == 0)
        *out = FIRN_S3_AUTO;
    else if (strcmp(s, "path") == 0)
        *out = FIRN_S3_PATH;
    else if (strcmp(s, "virtual") == 0)
        *out = FIRN_S3_VIRTUAL;
    else
        return false;
    return true;
}

static bool fits(char *out, size_t cap, const char *s)
{
    return firn_s3__copy(firn_slice_str(s), out, cap);
}

static void cut_slash(char *s)
{
    size_t n = strlen(s);
    if (n > 1 && s[n - 1] == '/')
        s[n - 1] = '\0';
}

static enum firn_status set_option(struct firn_s3_options *o, const char *name, const char *value,
                                   struct firn_err *err)
{
    bool ok;
    if (strcmp(name, "endpoint") == 0) {
        ok = fits(o->endpoint, sizeof o->endpoint, value);
        cut_slash(o->endpoint);
        ok = ok && endpoint_ok(o->endpoint);
    } else if (strcmp(name, "region") == 0) {
        ok = fits(o->region, sizeof o->region, value) && region_ok(value);
    } else if (strcmp(name, "addressing") == 0) {
        ok = addressing_of(value, &o->addressing);
    } else if (strcmp(name, "profile") == 0) {
        ok = fits(o->profile, sizeof o->profile, value);
    } else if (strcmp(name, "ca") == 0) {
        ok = fits(o->ca_file, sizeof o->ca_file, value);
    } else {
        return firn_fail(err, FIRN_INVALID,
                         "store URL: unknown parameter \"%s\": it takes endpoint, region, "
                         "addressing, profile and ca",
                         name);
    }
    if (ok)
        return FIRN_OK;
    return firn_fail(err, FIRN_INVALID, "store URL: \"%s\" cannot be the value of %s", value, name);
}

/* "a=b&c=d", cut up in place. */
static enum firn_status parse_query(char *query, struct firn_s3_options *o, struct firn_err *err)
{
    char *save = NULL;
    for (char *p = strtok_r(query, "&", &save); p; p = strtok_r(NULL, "&", &save)) {
        char *value = strchr(p, '=');
        if (!value)
            return firn_fail(err, FIRN_INVALID, "store URL: parameter \"%s\" has no value", p);
        *value++ = '\0';
        if (!firn_s3__decode(value, false))
            return firn_fail(err, FIRN_INVALID, "store URL: \"%s\" is not percent-encoded", value);
        enum firn_status s = set_option(o, p, value, err);
        if (s != FIRN_OK)
            return s;
    }
    return FIRN_OK;
}

/* "bucket[/prefix]", cut up in place. */
static enum firn_status parse_place(char *place, struct firn_s3_options *o, struct firn_err *err)
{
    char *prefix = strchr(place, '/');
    if (prefix)
        *prefix++ = '\0';
    else
        prefix = place + strlen(place);
    if (!bucket_ok(place) || !fits(o->bucket, sizeof o->bucket, place))
        return firn_fail(err, FIRN_INVALID,
                         "store URL: \"%s\" is no bucket name: 3 to 63 letters, digits, dots, "
                         "hyphens, underscores",
                         place);
    cut_slash(prefix);
    if (!firn_s3__decode(prefix, false) || !prefix_ok(prefix))
        return firn_fail(err, FIRN_INVALID,
                         "store URL: \"%s\" is no prefix: segments must not be empty, \".\", "
                         "\"..\" or hold control characters",
                         prefix);
    if (!fits(o->prefix, sizeof o->prefix, prefix))
        return firn_fail(err, FIRN_INVALID, "store URL: the prefix is longer than %d bytes",
                         FIRN_S3_PREFIX_MAX);
    return FIRN_OK;
}

enum firn_status firn_s3_url_parse(const char *url, struct firn_s3_options *o, struct firn_err *err)
{
    if (strncmp(url, "s3://", 5) != 0)
        return firn_fail(err, FIRN_INVALID, "store URL \"%s\": it must begin with s3://", url);
    struct firn_s3_options made = *o;
    char *copy = firn_strdup(url + 5);
    if (!copy)
        return firn_fail(err, FIRN_LIMIT, "out of memory");
    char *query = strchr(copy, '?');
    if (query)
        *query++ = '\0';
    enum firn_status s = parse_place(copy, &made, err);
    if (s == FIRN_OK && query)
        s = parse_query(query, &made, err);
    if (s == FIRN_OK)
        *o = made;
    firn_free(copy);
    return s;
}

static void fill(char *out, size_t cap, const char *value)
{
    if (!out[0] && value)
        (void)snprintf(out, cap, "%s", value);
}

void firn_s3__options_complete(struct firn_s3_options *o, const char *profile_region)
{
    fill(o->endpoint, sizeof o->endpoint, getenv("AWS_ENDPOINT_URL_S3"));
    fill(o->endpoint, sizeof o->endpoint, getenv("AWS_ENDPOINT_URL"));
    fill(o->region, sizeof o->region, getenv("AWS_REGION"));
    fill(o->region, sizeof o->region, getenv("AWS_DEFAULT_REGION"));
    fill(o->region, sizeof o->region, profile_region);
    fill(o->region, sizeof o->region, "us-east-1");
    fill(o->ca_file, sizeof o->ca_file, getenv("AWS_CA_BUNDLE"));
    cut_slash(o->endpoint);
    if (!o->connections_max)
        o->connections_max = 128;
}

const char *firn_s3__amazon_domain(const char *region)
{
    return strncmp(region, "cn-", 3) == 0 ? "amazonaws.com.cn" : "amazonaws.com";
}

static bool numeric_host(const char *host)
{
    return host[0] == '[' || host[strspn(host, "0123456789.:")] == '\0';
}

enum firn_status firn_s3__target_of(const struct firn_s3_options *o, struct firn_s3__target *t,
                                    struct firn_err *err)
{
    char amazon[160];
    const char *endpoint = o->endpoint;
    if (!bucket_ok(o->bucket))
        return firn_fail(err, FIRN_INVALID, "no bucket is named");
    if (!prefix_ok(o->prefix))
        return firn_fail(err, FIRN_INVALID, "\"%s\" is no prefix", o->prefix);
    if (!region_ok(o->region))
        return firn_fail(err, FIRN_INVALID, "\"%s\" is no region", o->region);
    if (!endpoint[0]) {
        (void)snprintf(amazon, sizeof amazon, "https://s3.%s.%s", o->region,
                       firn_s3__amazon_domain(o->region));
        endpoint = amazon;
    }
    if (!endpoint_ok(endpoint))
        return firn_fail(err, FIRN_INVALID,
                         "endpoint \"%s\": it must be http://host[:port] or https://host[:port], "
                         "without user, path or query",
                         endpoint);
    const char *host = endpoint_host(endpoint, &t->tls);
    bool virtual_host =
        o->addressing == FIRN_S3_VIRTUAL ||
        (o->addressing == FIRN_S3_AUTO && !o->endpoint[0] && strpbrk(o->bucket, "._") == NULL);
    if (virtual_host && numeric_host(host))
        return firn_fail(err, FIRN_INVALID,
                         "endpoint \"%s\": a bucket cannot stand before a numeric address: use "
                         "addressing path",
                         endpoint);
    (void)snprintf(t->host, sizeof t->host, "%s%s%s", virtual_host ? o->bucket : "",
                   virtual_host ? "." : "", host);
    (void)snprintf(t->base, sizeof t->base, "http%s://%s", t->tls ? "s" : "", t->host);
    (void)snprintf(t->root, sizeof t->root, "%s%s", virtual_host ? "" : "/",
                   virtual_host ? "" : o->bucket);
    /* libcurl leaves the scheme's own port out of the Host header: what is signed must as well. */
    const char *own = t->tls ? ":443" : ":80";
    size_t n = strlen(t->host), m = strlen(own);
    if (n > m && strcmp(t->host + n - m, own) == 0)
        t->host[n - m] = '\0';
    return FIRN_OK;
}
