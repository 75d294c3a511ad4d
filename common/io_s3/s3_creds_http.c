/* Credentials that are asked for over HTTP. All three are short chains of calls:
 *   web identity: POST AssumeRoleWithWebIdentity to STS
 *   container:    GET the URI that the environment names
 *   instance:     PUT for a session token, GET the role's name, GET its credentials */
#include "io_s3/s3_creds_priv.h"

#include "base/assert.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#define REPLY_MAX 65536
#define STS_NS (10 * UINT64_C(1000000000))
#define METADATA_NS (2 * UINT64_C(1000000000)) /* one call; off EC2 nobody answers */
#define ROLES "/latest/meta-data/iam/security-credentials/"

static void clean(struct firn_s3__fetch *f)
{
    firn_s3__timer_stop(f->http, &f->timer);
    for (size_t i = 0; i < sizeof f->header / sizeof f->header[0]; i++) {
        if (f->header[i].data) /* may hold a token */
            OPENSSL_cleanse(f->header[i].data, strlen(f->header[i].data));
        f->header[i] = (struct curl_slist){0};
    }
    if (f->form)
        OPENSSL_cleanse(f->form, strlen(f->form));
    f->form = NULL;
    firn_s3__wipe(&f->reply);
    firn_s3__call_clear(&f->call);
    firn_arena_clear(&f->text);
}

static void end(struct firn_s3__fetch *f, enum firn_status s)
{
    clean(f);
    OPENSSL_cleanse(f->imds_token, sizeof f->imds_token);
    f->status = s;
    if (s != FIRN_OK)
        OPENSSL_cleanse(&f->keys, sizeof f->keys);
    f->done(f);
}

void firn_s3__fetch_cancel(struct firn_s3__fetch *f)
{
    if (f->call.easy)
        (void)firn_s3__call_abort(f->http, &f->call);
    if (f->http)
        clean(f);
    OPENSSL_cleanse(f->imds_token, sizeof f->imds_token);
    OPENSSL_cleanse(&f->keys, sizeof f->keys);
}

static void end_memory(struct firn_s3__fetch *f)
{
    end(f, firn_fail(&f->err, FIRN_LIMIT, "out of memory for credentials"));
}

/* ---- one call */

static const char *whom(const struct firn_s3__fetch *f)
{
    static const char *const name[] = {"STS", "the container's credential endpoint",
                                       "the instance metadata service"};
    return name[f->remote];
}

static void not_reached(struct firn_s3__fetch *f, const char *why)
{
    end(f, firn_fail(&f->err, FIRN_TRANSIENT, "%s at %.128s did not answer: %s", whom(f),
                     f->call.url, why));
}

static void on_late(void *arg)
{
    struct firn_s3__fetch *f = arg;
    (void)firn_s3__call_abort(f->http, &f->call);
    not_reached(f, "no reply in time");
}

/* STS tells what was wrong in a 400. */
static bool is_passing(int http, const char *code)
{
    return http >= 500 || http == 429 || strcmp(code, "Throttling") == 0 ||
           strcmp(code, "IDPCommunicationError") == 0;
}

static void refused(struct firn_s3__fetch *f)
{
    struct firn_s3__error e;
    firn_s3__xml_error(firn_buf_slice(&f->call.other), &e);
    enum firn_status s = is_passing(f->call.http, e.code) ? FIRN_TRANSIENT : FIRN_DENIED;
    end(f,
        firn_fail(&f->err, s, "%s at %.128s answered %d%s%s%s%s", whom(f), f->call.url,
                  f->call.http, e.code[0] ? " " : "", e.code, e.message[0] ? ": " : "", e.message));
}

static void on_call(struct firn_s3__call *c)
{
    struct firn_s3__fetch *f = c->arg;
    firn_s3__timer_stop(f->http, &f->timer);
    if (c->end != FIRN_S3__ANSWERED)
        not_reached(f, c->error);
    else if (c->http != 200)
        refused(f);
    else
        f->next(f);
}

/* Begin a call; headers and text of the one before are forgotten. */
static void call(struct firn_s3__fetch *f, const char *method, const char *url, uint64_t within_ns,
                 void (*next)(struct firn_s3__fetch *f))
{
    struct firn_s3__call *c = &f->call;
    firn_s3__call_clear(c);
    firn_s3__wipe(&f->reply);
    firn_buf_init(&f->reply, REPLY_MAX);
    c->method = method;
    c->url = url;
    c->headers = f->header[0].data ? &f->header[0] : NULL;
    c->reply = &f->reply;
    c->direct = f->remote != FIRN_S3__WEB_IDENTITY;
    c->done = on_call;
    c->arg = f;
    f->next = next;
    f->timer.fn = on_late;
    f->timer.arg = f;
    if (!url || firn_buf_reserve(&f->reply, REPLY_MAX) != FIRN_OK ||
        firn_s3__timer_start(f->http, &f->timer, within_ns) != FIRN_OK ||
        firn_s3__call_start(f->http, c) != FIRN_OK)
        end_memory(f);
}

/* Add "name: value" to the next call; false when memory is short. */
static bool add_header(struct firn_s3__fetch *f, unsigned at, const char *name, const char *value)
{
    f->header[at] =
        (struct curl_slist){.data = firn_s3__printf(&f->text, "%s: %s", name, value), .next = NULL};
    if (at && f->header[at].data)
        f->header[at - 1].next = &f->header[at];
    return f->header[at].data != NULL;
}

static const char *env(const char *name)
{
    const char *s = getenv(name);
    return s && s[0] ? s : NULL;
}

static const char *no_slash(struct firn_s3__fetch *f, const char *url)
{
    size_t n = strlen(url);
    return firn_s3__printf(&f->text, "%.*s", (int)(n && url[n - 1] == '/' ? n - 1 : n), url);
}

/* ---- web identity */

static void on_sts(struct firn_s3__fetch *f)
{
    enum firn_status s = firn_s3__xml_keys(firn_buf_slice(&f->reply), &f->keys);
    if (s != FIRN_OK)
        (void)firn_fail(&f->err, s, "the reply of STS holds no credentials");
    end(f, s);
}

static void start_web_identity(struct firn_s3__fetch *f)
{
    const char *endpoint = env("AWS_ENDPOINT_URL_STS");
    if (!endpoint)
        endpoint = env("AWS_ENDPOINT_URL");
    if (!endpoint)
        endpoint = firn_s3__printf(&f->text, "https://sts.%s.%s", f->region,
                                   firn_s3__amazon_domain(f->region));
    const char *base = endpoint ? no_slash(f, endpoint) : NULL;
    const char *url = base ? firn_s3__printf(&f->text, "%s/", base) : NULL;
    char *token = firn_s3__printf(&f->text, "%.*s", (int)f->token.len, (const char *)f->token.data);
    char *role = firn_s3__encode(&f->text, f->role_arn, false);
    char *session = firn_s3__encode(&f->text, f->session, false);
    char *encoded = token ? firn_s3__encode(&f->text, token, false) : NULL;
    if (encoded && role && session)
        f->form = firn_s3__printf(&f->text,
                                  "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=%s"
                                  "&RoleSessionName=%s&WebIdentityToken=%s",
                                  role, session, encoded);
    if (token)
        OPENSSL_cleanse(token, strlen(token));
    if (encoded)
        OPENSSL_cleanse(encoded, strlen(encoded));
    if (!url || !f->form ||
        !add_header(f, 0, "Content-Type", "application/x-www-form-urlencoded") ||
        !add_header(f, 1, "Accept", "application/xml") || !add_header(f, 2, "Expect", "")) {
        end_memory(f);
        return;
    }
    f->header[2].data[strlen("Expect:")] = '\0';
    f->call.body = firn_slice_str(f->form);
    call(f, "POST", url, STS_NS, on_sts);
}

/* ---- container */

static void on_container(struct firn_s3__fetch *f)
{
    end(f, firn_s3__json_keys(firn_buf_slice(&f->reply), &f->keys, &f->err));
}

/* A full URI may leave the machine by https only, or the token would. */
static bool uri_allowed(const char *uri)
{
    static const char *const host[] = {"http://127.",           "http://localhost",
                                       "http://[::1]",          "http://169.254.170.2",
                                       "http://169.254.170.23", "http://[fd00:ec2::23]"};
    if (strncmp(uri, "https://", 8) == 0)
        return true;
    size_t authority = strncmp(uri, "http://", 7) == 0 ? 7 + strcspn(uri + 7, "/?#") : 0;
    if (memchr(uri, '@', authority))
        return false;
    for (size_t i = 0; i < sizeof host / sizeof host[0]; i++) {
        size_t n = strlen(host[i]);
        if (strncmp(uri, host[i], n) != 0)
            continue;
        if (i == 0) /* any numeric address of 127/8 */
            return 7 + strspn(uri + 7, "0123456789.:") == authority;
        if (strchr(":/?", uri[n])) /* or the end */
            return true;
    }
    return false;
}

static void start_container(struct firn_s3__fetch *f)
{
    const char *relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (!relative && !(full && uri_allowed(full))) {
        end(f, firn_fail(&f->err, FIRN_INVALID,
                         "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to loopback "
                         "or the container host"));
        return;
    }
    const char *url = relative ? firn_s3__printf(&f->text, "http://169.254.170.2%s%s",
                                                 relative[0] == '/' ? "" : "/", relative)
                               : full;
    bool ok = true;
    if (f->token.len) {
        char *token =
            firn_s3__printf(&f->text, "%.*s", (int)f->token.len, (const char *)f->token.data);
        ok = token && add_header(f, 0, "Authorization", token);
        if (token)
            OPENSSL_cleanse(token, strlen(token));
    }
    if (!ok)
        end_memory(f);
    else
        call(f, "GET", url, METADATA_NS, on_container);
}

/* ---- instance */

static const char *metadata_url(struct firn_s3__fetch *f, const char *path)
{
    const char *endpoint = env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *base = no_slash(f, endpoint ? endpoint : "http://169.254.169.254");
    return base ? firn_s3__printf(&f->text, "%s%s", base, path) : NULL;
}

/* The first line of the reply; false when it is empty, too long or not all printable. */
static bool first_line(const struct firn_buf *b, char *out, size_t cap)
{
    const uint8_t *nl = b->len ? memchr(b->data, '\n', b->len) : NULL;
    size_t n = nl ? (size_t)(nl - b->data) : b->len;
    if (n && b->data[n - 1] == '\r')
        n--;
    return n && firn_s3__copy(firn_slice_of(b->data, n), out, cap);
}

static void on_instance_keys(struct firn_s3__fetch *f)
{
    end(f, firn_s3__json_keys(firn_buf_slice(&f->reply), &f->keys, &f->err));
}

static void on_role(struct firn_s3__fetch *f)
{
    char role[256];
    if (!first_line(&f->reply, role, sizeof role)) {
        end(f, firn_fail(&f->err, FIRN_DENIED, "the instance has no role with credentials"));
        return;
    }
    char *encoded = firn_s3__encode(&f->text, role, false);
    char *path = encoded ? firn_s3__printf(&f->text, ROLES "%s", encoded) : NULL;
    call(f, "GET", path ? metadata_url(f, path) : NULL, METADATA_NS, on_instance_keys);
}

static void on_session(struct firn_s3__fetch *f)
{
    if (!first_line(&f->reply, f->imds_token, sizeof f->imds_token)) {
        end(f, firn_fail(&f->err, FIRN_CORRUPT, "the instance metadata service gave no token"));
        return;
    }
    f->header[0] = f->header[1] = (struct curl_slist){0};
    if (!add_header(f, 0, "X-aws-ec2-metadata-token", f->imds_token))
        end_memory(f);
    else
        call(f, "GET", metadata_url(f, ROLES), METADATA_NS, on_role);
}

static void start_instance(struct firn_s3__fetch *f)
{
    if (!add_header(f, 0, "X-aws-ec2-metadata-token-ttl-seconds", "300"))
        end_memory(f);
    else
        call(f, "PUT", metadata_url(f, "/latest/api/token"), METADATA_NS, on_session);
}

void firn_s3__fetch_start(struct firn_s3__fetch *f)
{
    FIRN_ASSERT(!f->call.easy);
    f->err.text[0] = '\0';
    f->call.body = (struct firn_slice){0};
    switch (f->remote) {
    case FIRN_S3__WEB_IDENTITY:
        start_web_identity(f);
        break;
    case FIRN_S3__CONTAINER:
        start_container(f);
        break;
    case FIRN_S3__INSTANCE:
        start_instance(f);
        break;
    }
}
