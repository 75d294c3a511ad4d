/* The port's requests in S3's words.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
 */
#include "io_s3/s3_request_priv.h"

#include "base/assert.h"
#include "base/hash.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>

#define MADE_MAX (4u << 20) /* multi-delete: 1000 keys of below 1 KiB, with their tags */

static enum firn_status no_memory(struct firn_err *err)
{
    return firn_fail(err, FIRN_LIMIT, "out of memory for a request");
}

/* ---- parts */

/* Add a header to be signed, at its place. Every header that changes what the store does is signed:
 * a proxy that dropped If-None-Match would otherwise turn a commit into an overwrite. */
static enum firn_status add_header(struct firn_s3__wire *w, const char *name, const char *value)
{
    FIRN_ASSERT(w->headers < FIRN_S3__HEADERS_MAX);
    if (!value)
        return FIRN_LIMIT;
    size_t i = w->headers++;
    for (; i && strcmp(w->header[i - 1].name, name) > 0; i--)
        w->header[i] = w->header[i - 1];
    w->header[i] = (struct firn_s3__header){name, value};
    return FIRN_OK;
}

static enum firn_status set_path(struct firn_s3__wire *w, const struct firn_s3__place *p,
                                 const char *key, struct firn_err *err)
{
    if (!key || !key[0] || strlen(key) > FIRN_OS_KEY_MAX)
        return firn_fail(err, FIRN_INVALID, "a key must have 1 to %d bytes", FIRN_OS_KEY_MAX);
    char *prefix = firn_s3__encode(&w->text, p->prefix, true);
    char *name = firn_s3__encode(&w->text, key, true);
    if (prefix && name)
        w->path = firn_s3__printf(&w->text, "%s/%s%s", p->target.root, prefix, name);
    return prefix && name && w->path ? FIRN_OK : no_memory(err);
}

static void set_bucket_path(struct firn_s3__wire *w, const struct firn_s3__place *p)
{
    w->path = p->target.root[0] ? p->target.root : "/";
}

/* The query's parameters must be sorted by name: callers add them so. */
static enum firn_status add_query(struct firn_s3__wire *w, const char *name, const char *value)
{
    char *v = value ? firn_s3__encode(&w->text, value, false) : NULL;
    char *q = v ? firn_s3__printf(&w->text, "%s%s%s=%s", w->query, w->query[0] ? "&" : "", name, v)
                : NULL;
    if (!q)
        return FIRN_LIMIT;
    w->query = q;
    return FIRN_OK;
}

static enum firn_status add_etag(struct firn_s3__wire *w, const char *name, const char *etag,
                                 bool bare, struct firn_err *err)
{
    size_t n = etag ? strlen(etag) : 0;
    if (n == 0 || n >= FIRN_OS_ETAG_MAX)
        return firn_fail(err, FIRN_INVALID, "a conditional request without a usable ETag");
    if (bare && n >= 2 && etag[0] == '"' && etag[n - 1] == '"') {
        etag++;
        n -= 2;
    }
    return add_header(w, name, firn_s3__printf(&w->text, "%.*s", (int)n, etag));
}

/* ---- operations */

static enum firn_status build_get(struct firn_s3__wire *w, const struct firn_s3__place *p,
                                  const struct firn_os_req *r, struct firn_err *err)
{
    w->method = r->op == FIRN_OS_HEAD ? "HEAD" : "GET";
    enum firn_status s = set_path(w, p, r->key, err);
    if (s == FIRN_OK && r->op == FIRN_OS_GET && r->length) {
        if (r->offset > INT64_MAX || r->length > INT64_MAX - r->offset)
            return firn_fail(err, FIRN_INVALID, "a range beyond any object");
        s = add_header(w, "range",
                       firn_s3__printf(&w->text, "bytes=%" PRIu64 "-%" PRIu64, r->offset,
                                       r->offset + r->length - 1));
    }
    if (s == FIRN_OK && r->cond == FIRN_OS_IF_NONE_MATCH)
        s = add_etag(w, "if-none-match", r->etag, false, err);
    return s;
}

/* Over TLS a PUT carries a CRC-32C that the store checks; over plain HTTP, and to stores that do
 * not know the checksum, the signed SHA-256 of the body does the same. Parts always carry the
 * latter: a checksum of a part would have to be repeated when the upload is completed. */
static enum firn_status set_body(struct firn_s3__wire *w, const struct firn_s3__place *p,
                                 const struct firn_os_req *r)
{
    w->has_body = true;
    w->body = r->body;
    if (r->op != FIRN_OS_PUT || !p->target.tls || !p->dialect.checksum_crc32c) {
        w->hash_body = true;
        return FIRN_OK;
    }
    uint32_t crc = firn_crc32c(0, r->body.data, r->body.len);
    const uint8_t bytes[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8),
                              (uint8_t)crc};
    char text[9];
    firn_s3__base64(bytes, sizeof bytes, text);
    memcpy(w->payload, FIRN_S3_UNSIGNED, sizeof FIRN_S3_UNSIGNED);
    return add_header(w, "x-amz-checksum-crc32c", firn_s3__printf(&w->text, "%s", text));
}

static enum firn_status build_put(struct firn_s3__wire *w, const struct firn_s3__place *p,
                                  const struct firn_os_req *r, struct firn_err *err)
{
    w->method = "PUT";
    enum firn_status s = set_path(w, p, r->key, err);
    if (s == FIRN_OK && r->cond == FIRN_OS_IF_ABSENT)
        s = add_header(w, "if-none-match", "*");
    else if (s == FIRN_OK && r->cond == FIRN_OS_IF_MATCH)
        s = add_etag(w, "if-match", r->etag, p->dialect.if_match_bare, err);
    return s == FIRN_OK ? set_body(w, p, r) : s;
}

static enum firn_status build_list(struct firn_s3__wire *w, const struct firn_s3__place *p,
                                   const struct firn_os_req *r, struct firn_err *err)
{
    w->method = "GET";
    set_bucket_path(w, p);
    char *prefix = firn_s3__printf(&w->text, "%s%s", p->prefix, r->key ? r->key : "");
    char *after =
        r->start_after ? firn_s3__printf(&w->text, "%s%s", p->prefix, r->start_after) : NULL;
    enum firn_status s = FIRN_OK;
    if (r->cursor)
        s = add_query(w, "continuation-token", r->cursor);
    if (s == FIRN_OK)
        s = add_query(w, "encoding-type", "url");
    if (s == FIRN_OK)
        s = add_query(w, "list-type", "2");
    if (s == FIRN_OK)
        s = add_query(w, "max-keys", "1000");
    if (s == FIRN_OK)
        s = add_query(w, "prefix", prefix);
    if (s == FIRN_OK && r->start_after)
        s = add_query(w, "start-after", after);
    return s == FIRN_OK ? s : no_memory(err);
}

static enum firn_status use_made(struct firn_s3__wire *w)
{
    w->method = "POST";
    w->has_body = w->hash_body = true;
    w->body = firn_buf_slice(&w->made);
    return FIRN_OK;
}

static enum firn_status add_md5(struct firn_s3__wire *w, const struct firn_s3__place *p,
                                struct firn_err *err)
{
    uint8_t sum[16];
    char text[25];
    if (!p->signer.md5 ||
        EVP_Digest(w->made.data, w->made.len, sum, NULL, p->signer.md5, NULL) != 1)
        return firn_fail(err, FIRN_INVALID,
                         "OpenSSL gives no MD5, which a multi-object delete must carry");
    firn_s3__base64(sum, sizeof sum, text);
    return add_header(w, "content-md5", firn_s3__printf(&w->text, "%s", text));
}

static enum firn_status build_delete_many(struct firn_s3__wire *w, const struct firn_s3__place *p,
                                          const struct firn_os_req *r, struct firn_err *err)
{
    if (r->nkeys == 0 || r->nkeys > FIRN_OS_DELETE_MANY_MAX)
        return firn_fail(err, FIRN_INVALID, "a multi-object delete takes 1 to %d keys",
                         FIRN_OS_DELETE_MANY_MAX);
    set_bucket_path(w, p);
    w->query = "delete=";
    enum firn_status s = firn_buf_printf(
        &w->made, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
    for (size_t i = 0; s == FIRN_OK && i < r->nkeys; i++) {
        s = firn_buf_printf(&w->made, "<Object><Key>");
        if (s == FIRN_OK)
            s = firn_s3__xml_escape(&w->made, p->prefix);
        if (s == FIRN_OK)
            s = firn_s3__xml_escape(&w->made, r->keys[i]);
        if (s == FIRN_OK)
            s = firn_buf_printf(&w->made, "</Key></Object>");
    }
    if (s == FIRN_OK)
        s = firn_buf_printf(&w->made, "</Delete>");
    if (s == FIRN_OK)
        s = add_md5(w, p, err);
    return s == FIRN_OK ? use_made(w) : s;
}

static enum firn_status build_complete(struct firn_s3__wire *w, const struct firn_os_req *r)
{
    enum firn_status s = firn_buf_printf(&w->made, "<CompleteMultipartUpload>");
    for (uint32_t i = 0; s == FIRN_OK && i < r->nparts; i++) {
        s = firn_buf_printf(&w->made, "<Part><PartNumber>%" PRIu32 "</PartNumber><ETag>", i + 1);
        if (s == FIRN_OK)
            s = firn_s3__xml_escape(&w->made, r->part_etags[i]);
        if (s == FIRN_OK)
            s = firn_buf_printf(&w->made, "</ETag></Part>");
    }
    if (s == FIRN_OK)
        s = firn_buf_printf(&w->made, "</CompleteMultipartUpload>");
    return s == FIRN_OK ? use_made(w) : s;
}

static enum firn_status build_multipart(struct firn_s3__wire *w, const struct firn_s3__place *p,
                                        const struct firn_os_req *r, struct firn_err *err)
{
    char number[11];
    enum firn_status s = set_path(w, p, r->key, err);
    if (s != FIRN_OK)
        return s;
    if (r->op == FIRN_OS_MP_CREATE) {
        w->method = "POST";
        w->has_body = true; /* an empty one */
        w->query = "uploads=";
        return FIRN_OK;
    }
    if (!r->upload_id || !r->upload_id[0])
        return firn_fail(err, FIRN_INVALID, "no upload is named");
    if (r->op == FIRN_OS_MP_PART) {
        (void)snprintf(number, sizeof number, "%" PRIu32, r->part_number);
        s = add_query(w, "partNumber", number);
    }
    if (s == FIRN_OK)
        s = add_query(w, "uploadId", r->upload_id);
    if (s != FIRN_OK)
        return s;
    if (r->op == FIRN_OS_MP_COMPLETE)
        return build_complete(w, r);
    w->method = r->op == FIRN_OS_MP_PART ? "PUT" : "DELETE";
    return r->op == FIRN_OS_MP_PART ? set_body(w, p, r) : FIRN_OK;
}

enum firn_status firn_s3__wire_build(struct firn_s3__wire *w, const struct firn_s3__place *p,
                                     const struct firn_os_req *req, struct firn_err *err)
{
    enum firn_status s;
    *w = (struct firn_s3__wire){.query = ""};
    w->text.chunk_bytes = 4096;
    firn_buf_init(&w->made, MADE_MAX);
    memcpy(w->payload, FIRN_S3_EMPTY_SHA256, sizeof FIRN_S3_EMPTY_SHA256);
    switch (req->op) {
    case FIRN_OS_GET:
    case FIRN_OS_HEAD:
        s = build_get(w, p, req, err);
        break;
    case FIRN_OS_PUT:
        s = build_put(w, p, req, err);
        break;
    case FIRN_OS_DELETE:
        w->method = "DELETE";
        s = set_path(w, p, req->key, err);
        break;
    case FIRN_OS_DELETE_MANY:
        s = build_delete_many(w, p, req, err);
        break;
    case FIRN_OS_LIST:
        s = build_list(w, p, req, err);
        break;
    default:
        s = build_multipart(w, p, req, err);
    }
    if (s == FIRN_OK)
        s = add_header(w, "host", p->target.host);
    return s == FIRN_LIMIT ? no_memory(err) : s;
}

/* ---- signing */

/* The next line for libcurl, which only reads the list. False: memory. */
static bool add_line(struct firn_s3__wire *w, size_t *n, char *text)
{
    if (!text)
        return false;
    w->line[*n] = (struct curl_slist){.data = text, .next = NULL};
    if (*n)
        w->line[*n - 1].next = &w->line[*n];
    (*n)++;
    return true;
}

static bool make_lines(struct firn_s3__wire *w, const char *authorization)
{
    size_t n = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < w->headers; i++) {
        const struct firn_s3__header *h = &w->header[i];
        if (strcmp(h->name, "host") != 0) /* libcurl writes the same */
            ok = add_line(w, &n, firn_s3__printf(&w->text, "%s: %s", h->name, h->value));
    }
    ok = ok && add_line(w, &n, firn_s3__printf(&w->text, "authorization: %s", authorization));
    /* No "Expect: 100-continue", which costs a round trip, and no form's content type. */
    if (ok && w->has_body)
        ok =
            add_line(w, &n, firn_s3__printf(&w->text, "Expect:")) &&
            add_line(w, &n,
                     firn_s3__printf(&w->text, "Content-Type: %s",
                                     w->made.len ? "application/xml" : "application/octet-stream"));
    return ok;
}

enum firn_status firn_s3__wire_sign(struct firn_s3__wire *w, struct firn_s3__place *p,
                                    const struct firn_s3__keys *keys, uint64_t generation,
                                    int64_t now_sec)
{
    char *time = firn_arena_alloc(&w->text, FIRN_S3_TIME_LEN);
    if (!time)
        return FIRN_LIMIT;
    firn_s3__amz_time(now_sec, time);
    if (add_header(w, "x-amz-date", time) != FIRN_OK ||
        add_header(w, "x-amz-content-sha256", w->payload) != FIRN_OK)
        return FIRN_LIMIT;
    if (keys->token[0] && add_header(w, "x-amz-security-token",
                                     firn_s3__printf(&w->text, "%s", keys->token)) != FIRN_OK)
        return FIRN_LIMIT;
    struct firn_s3__signable what = {.method = w->method,
                                     .path = w->path,
                                     .query = w->query,
                                     .header = w->header,
                                     .headers = w->headers,
                                     .payload_hash = w->payload,
                                     .time = time,
                                     .region = p->o.region};
    char *authorization = firn_s3__sign(&p->signer, &what, keys, generation, &w->text);
    w->url = firn_s3__printf(&w->text, "%s%s%s%s", p->target.base, w->path, w->query[0] ? "?" : "",
                             w->query);
    bool ok = authorization && w->url && make_lines(w, authorization);
    return ok ? FIRN_OK : FIRN_LIMIT;
}

void firn_s3__wire_clear(struct firn_s3__wire *w)
{
    static const char secret[] = "x-amz-security-token";
    for (size_t i = 0; i < w->headers; i++) {
        if (strcmp(w->header[i].name, secret) == 0)
            OPENSSL_cleanse((void *)w->header[i].value, strlen(w->header[i].value));
    }
    for (size_t i = 0; i < sizeof w->line / sizeof w->line[0] && w->line[i].data; i++) {
        if (strncmp(w->line[i].data, secret, sizeof secret - 1) == 0)
            OPENSSL_cleanse(w->line[i].data, strlen(w->line[i].data));
    }
    firn_buf_clear(&w->made);
    firn_arena_clear(&w->text);
}
