/* From a request of the port to what goes over the wire, and from the reply back. */
#ifndef FIRN_IO_S3_S3_REQUEST_PRIV_H
#define FIRN_IO_S3_S3_REQUEST_PRIV_H

#include "io_s3/s3_http_priv.h"
#include "io_s3/s3_priv.h"

#define FIRN_S3__HEADERS_MAX 10
#define FIRN_S3__GET_MAX (UINT64_C(256) << 20) /* of a reply, when the request does not say */

/* What does not change from request to request. */
struct firn_s3__place {
    struct firn_s3_options o; /* complete */
    struct firn_s3__target target;
    struct firn_os_dialect dialect;
    struct firn_s3__signer signer;
    char prefix[FIRN_S3_PREFIX_MAX + 2]; /* with its '/', or "" */
};

/* A request in S3's words. All texts lie in the arena. */
struct firn_s3__wire {
    struct firn_arena text;
    const char *method, *path, *query;                   /* encoded; query "" = none */
    struct firn_s3__header header[FIRN_S3__HEADERS_MAX]; /* sorted by name */
    size_t headers;
    struct firn_buf made;   /* a body that is made here */
    struct firn_slice body; /* made, or the request's */
    bool has_body;
    bool hash_body;                   /* payload must be given its hash before it is signed */
    char payload[FIRN_S3_SHA256_HEX]; /* x-amz-content-sha256 */
    char *url;                        /* by sign */
    struct curl_slist line[FIRN_S3__HEADERS_MAX + 4];
};

/* Say what is to be sent. w is zeroed first. When w->hash_body is set afterwards, the caller puts
 * the hash of w->body into w->payload (firn_s3__sha256_hex; any thread). INVALID: a request that S3
 * cannot carry; LIMIT: memory. */
enum firn_status firn_s3__wire_build(struct firn_s3__wire *w, const struct firn_s3__place *p,
                                     const struct firn_os_req *req,
                                     struct firn_err *err) FIRN_MUST_USE;
/* Date and sign it, and make url and line[0]… for libcurl. Once. LIMIT: memory. */
enum firn_status firn_s3__wire_sign(struct firn_s3__wire *w, struct firn_s3__place *p,
                                    const struct firn_s3__keys *keys, uint64_t generation,
                                    int64_t now_sec) FIRN_MUST_USE;
/* Wipe what is secret and free. */
void firn_s3__wire_clear(struct firn_s3__wire *w);

/* Fill in the results of req from a call that has ended. `body` is what its `reply` took for
 * anything but a GET. *code (of 64 bytes) is the S3 error code, "" = none. */
void firn_s3__reply_read(const struct firn_s3__place *p, struct firn_os_req *req,
                         const struct firn_s3__call *c, struct firn_slice body, char code[64]);
/* Give req a status and a message that names the operation and the object. */
void firn_s3__reply_fail(const struct firn_s3__place *p, struct firn_os_req *req,
                         enum firn_status s, const char *fmt, ...) FIRN_PRINTF(4, 5);

#endif
