/* What a reply means for the request. */
#include "io_s3/s3_request_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

void firn_s3__reply_fail(const struct firn_s3__place *p, struct firn_os_req *req,
                         enum firn_status s, const char *fmt, ...)
{
    char what[400];
    const char *key = req->key ? req->key : "";
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    req->status = firn_fail(&req->err, s, "%s s3://%s/%.64s%.96s: %s", firn_os_op_name(req->op),
                            p->o.bucket, p->prefix, key, what);
}

/* ---- errors */

/* What to do about it, as far as the reply lets us guess; "" = nothing. */
static void advise(const struct firn_s3__place *p, enum firn_os_op op,
                   const struct firn_s3__call *c, const struct firn_s3__error *e, char *out,
                   size_t cap)
{
    const char *region = e->region[0] ? e->region : c->region;
    out[0] = '\0';
    if (strcmp(e->code, "NoSuchBucket") == 0)
        (void)snprintf(out, cap, "; there is no bucket \"%s\" at %.80s", p->o.bucket,
                       p->target.base);
    else if (strcmp(e->code, "RequestTimeTooSkewed") == 0)
        (void)snprintf(out, cap, "; this machine's clock is off by about %" PRId64 " s",
                       (int64_t)time(NULL) - c->date_ms / 1000);
    else if (region[0] && strcmp(region, p->o.region) != 0)
        (void)snprintf(out, cap, "; the bucket is in region %s, asked was %s", region, p->o.region);
    else if (c->http == 404 && !e->code[0])
        (void)snprintf(out, cap, "; that is no reply of S3: is the endpoint right?");
    else if (strcmp(e->code, "InvalidAccessKeyId") == 0 ||
             strcmp(e->code, "SignatureDoesNotMatch") == 0)
        (void)snprintf(out, cap, "; the access key or its secret is wrong");
    else if (firn_s3__is_stale_credential(e->code))
        (void)snprintf(out, cap, "; the credentials have expired");
    else if (c->http == 401 || c->http == 403)
        (void)snprintf(out, cap, "; the credentials lack a right, probably %s",
                       firn_s3__right_of(op));
}

/* The store said no, by status or, inside a 200, by an error document. */
static void refused(const struct firn_s3__place *p, struct firn_os_req *req,
                    const struct firn_s3__call *c, const struct firn_s3__error *e, int http)
{
    char more[192];
    enum firn_status s = firn_s3__status_of(req->op, req->cond, http, e->code, &req->slow_down);
    if (s == FIRN_OK) /* cannot be: it is no success */
        s = FIRN_INVALID;
    req->status = s;
    if (s == FIRN_ABSENT || s == FIRN_CONFLICT || s == FIRN_UNCHANGED)
        return;
    advise(p, req->op, c, e, more, sizeof more);
    firn_s3__reply_fail(p, req, s, "%d %s%s%.128s%s%s", c->http,
                        e->code[0] ? e->code : "without an error code", e->message[0] ? " (" : "",
                        e->message, e->message[0] ? ")" : "", more);
}

/* A 200 whose body is not the document it should be: an error document, or nothing of use. */
static void broken(const struct firn_s3__place *p, struct firn_os_req *req,
                   const struct firn_s3__call *c, struct firn_slice body, enum firn_status s,
                   char code[64])
{
    struct firn_s3__error e;
    if (s == FIRN_LIMIT) {
        firn_s3__reply_fail(p, req, s, "out of memory for the reply");
        return;
    }
    firn_s3__xml_error(body, &e);
    memcpy(code, e.code, sizeof e.code);
    if (e.code[0])
        refused(p, req, c, &e, firn_s3__http_of(e.code));
    else
        firn_s3__reply_fail(p, req, firn_s3__is_write(req->op) ? FIRN_UNCERTAIN : FIRN_CORRUPT,
                            "%d, but the reply's body cannot be understood", c->http);
}

/* ---- successes */

static void read_get(const struct firn_s3__place *p, struct firn_os_req *req,
                     const struct firn_s3__call *c)
{
    uint64_t got = req->reply.len;
    if (c->length < 0 && !c->chunked) {
        /* It ends where the connection ends: a lost end would not be seen. */
        firn_s3__reply_fail(p, req, FIRN_CORRUPT, "the store does not say how long it is");
        return;
    }
    if (req->length == 0 || (c->http == 200 && req->offset == 0 && got <= req->length)) {
        /* Some stores answer 200 to a range that holds the whole object. */
        req->size = got;
        if (c->http != 200)
            firn_s3__reply_fail(p, req, FIRN_CORRUPT, "status %d to a plain GET", c->http);
        else if (c->length >= 0 && (uint64_t)c->length != got)
            firn_s3__reply_fail(p, req, FIRN_CORRUPT,
                                "%" PRIu64 " bytes came, %" PRId64 " were announced", got,
                                c->length);
        return;
    }
    uint64_t first = (uint64_t)c->first, last = (uint64_t)c->last, total = (uint64_t)c->total;
    uint64_t end = req->offset + req->length;
    req->size = total;
    if (c->http != 206 || c->first < 0)
        firn_s3__reply_fail(p, req, FIRN_CORRUPT, "status %d without the range that was asked for",
                            c->http);
    else if (first != req->offset || last + 1 != (end < total ? end : total))
        firn_s3__reply_fail(p, req, FIRN_CORRUPT,
                            "bytes %" PRIu64 " to %" PRIu64 " came, %" PRIu64 " to %" PRIu64
                            " were asked for",
                            first, last, req->offset, end - 1);
    else if (last - first + 1 != got)
        firn_s3__reply_fail(p, req, FIRN_CORRUPT,
                            "%" PRIu64 " bytes came, %" PRIu64 " were announced", got,
                            last - first + 1);
}

static enum firn_status read_body(const struct firn_s3__place *p, struct firn_os_req *req,
                                  struct firn_slice body)
{
    switch (req->op) {
    case FIRN_OS_LIST:
        return firn_s3__xml_list(body, p->prefix, &req->page);
    case FIRN_OS_DELETE_MANY:
        return firn_s3__xml_deleted(body, &req->nfailed);
    case FIRN_OS_MP_CREATE:
        return firn_s3__xml_upload_id(body, req->upload_id_out, sizeof req->upload_id_out);
    case FIRN_OS_MP_COMPLETE:
        return firn_s3__xml_completed(body);
    default:
        return FIRN_OK;
    }
}

static void succeeded(const struct firn_s3__place *p, struct firn_os_req *req,
                      const struct firn_s3__call *c, struct firn_slice body, char code[64])
{
    req->status = FIRN_OK;
    if (req->op == FIRN_OS_GET)
        read_get(p, req, c);
    if (req->op == FIRN_OS_HEAD) {
        req->size = (uint64_t)c->length;
        if (c->length < 0)
            firn_s3__reply_fail(p, req, FIRN_CORRUPT, "the store does not say how long it is");
    }
    enum firn_status s = read_body(p, req, body);
    if (s != FIRN_OK)
        broken(p, req, c, body, s, code);
    else if (req->op != FIRN_OS_LIST)
        memcpy(req->reply_etag, c->etag, sizeof c->etag);
}

/* ---- all */

static void not_answered(const struct firn_s3__place *p, struct firn_os_req *req,
                         const struct firn_s3__call *c)
{
    bool write = firn_s3__is_write(req->op);
    switch (c->end) {
    case FIRN_S3__TOO_LONG:
        firn_s3__reply_fail(p, req, write ? FIRN_UNCERTAIN : FIRN_LIMIT,
                            "the reply is longer than allowed, or memory is short");
        break;
    case FIRN_S3__BAD_SETUP:
        firn_s3__reply_fail(p, req, FIRN_INVALID, "%s: %.200s", p->target.base, c->error);
        break;
    case FIRN_S3__NOT_SENT:
        firn_s3__reply_fail(p, req, FIRN_TRANSIENT, "cannot reach %s: %.200s", p->target.base,
                            c->error);
        break;
    default:
        firn_s3__reply_fail(p, req, write ? FIRN_UNCERTAIN : FIRN_TRANSIENT,
                            "no whole reply from %s: %.200s", p->target.base, c->error);
    }
}

void firn_s3__reply_read(const struct firn_s3__place *p, struct firn_os_req *req,
                         const struct firn_s3__call *c, struct firn_slice body, char code[64])
{
    struct firn_s3__error e = {0};
    code[0] = '\0';
    if (c->end != FIRN_S3__ANSWERED) {
        not_answered(p, req, c);
        return;
    }
    req->http_status = c->http;
    req->date_ms = c->date_ms;
    if (c->http >= 200 && c->http < 300) {
        succeeded(p, req, c, body, code);
        return;
    }
    firn_s3__xml_error(firn_buf_slice(&c->other), &e);
    memcpy(code, e.code, sizeof e.code);
    refused(p, req, c, &e, c->http);
}
