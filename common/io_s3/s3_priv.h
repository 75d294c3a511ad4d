/* Inside the S3 adapter.
 *   s3_url.c      the store's URL and keys to URLs
 *   s3_sign.c     Signature Version 4
 *   s3_creds.c    credentials from environment and files
 *   s3_xml.c      the little XML that S3 speaks
 *   s3_request.c  one request: what is sent, what its reply means
 *   s3_adapter.c  libcurl on libuv, the port */
#ifndef FIRN_IO_S3_PRIV_H
#define FIRN_IO_S3_PRIV_H

#include "io_s3/io_s3.h"

#include <curl/curl.h>
#include <openssl/evp.h>

#define S3_SHA256_BYTES 32
#define S3_SHA256_HEX (2 * S3_SHA256_BYTES)
#define S3_URL_MAX 4096

/* --- s3_url.c */
/* Append `s` percent-encoded as RFC 3986 asks of SigV4: all but A-Z a-z 0-9 - . _ ~ (and '/', if `slash`). */
enum firn_status s3_encode(struct firn_buf *out, struct firn_slice s, bool slash) FIRN_MUST_USE;
/* Decode in place; '+' is a space. */
void s3_decode(char *s);
/* The path of a key ("" = the bucket itself), encoded: "/bucket/prefix/key" or "/prefix/key". */
enum firn_status s3_path(const struct firn_s3_options *o, const char *key, struct firn_buf *out) FIRN_MUST_USE;

/* --- s3_creds.c */
struct s3_creds {
    char access_key[128];
    char secret_key[256];
    char token[4096]; /* "" = none */
};
struct s3_creds_source {
    struct s3_creds now;
    bool from_env;
    char file[2][1024];     /* credentials, config; "" = none */
    struct timespec mtime[2];
    uint64_t looked_ms;     /* uv_now at the last look */
    uint64_t generation;    /* grows when `now` changes */
};
enum firn_status s3_creds_open(struct s3_creds_source *c, struct firn_err *err) FIRN_MUST_USE;
/* Look at the files again if it is time (or `must`). On failure the old ones stay. */
void s3_creds_refresh(struct s3_creds_source *c, uint64_t now_ms, bool must);
void s3_creds_wipe(struct s3_creds_source *c);

/* --- s3_sign.c */
struct s3_signer {
    EVP_MD *sha256;
    EVP_MAC *hmac;
    uint8_t key[S3_SHA256_BYTES]; /* of `day`, region and the secret of `generation` */
    char day[9];
    uint64_t generation;
};
enum firn_status s3_signer_init(struct s3_signer *s) FIRN_MUST_USE;
void s3_signer_deinit(struct s3_signer *s);
/* Lower-case hex of the SHA-256 of the bytes. */
bool s3_sha256_hex(const struct s3_signer *s, struct firn_slice data, char out[S3_SHA256_HEX + 1]);
/* What is signed. Headers: name (lower case) and value pairs, sorted by name, host and all x-amz-*. */
struct s3_to_sign {
    const char *method, *path, *query; /* path and query encoded, the query's parameters sorted */
    const char *const (*header)[2];
    size_t headers;
    const char *payload_hash;
    const char *amz_date; /* 20130524T000000Z */
    const char *region;
    const struct s3_creds *creds;
    uint64_t generation;
};
/* The value of the Authorization header, appended to `out` with a NUL. LIMIT: memory; BUG: OpenSSL refused. */
enum firn_status s3_sign(struct s3_signer *s, const struct s3_to_sign *t, struct firn_buf *out) FIRN_MUST_USE;

/* --- s3_xml.c: flat look-ups, enough for S3's replies */
/* The text of the first <name>…</name> in xml behind *at, entities decoded, at most max - 1 bytes; moves *at behind
 * it. False when there is none or it is too long. */
bool s3_xml_text(struct firn_slice xml, size_t *at, const char *name, char *out, size_t max);
/* The inside of the first <name>…</name> behind *at; moves *at behind it. */
bool s3_xml_inside(struct firn_slice xml, size_t *at, const char *name, struct firn_slice *out);
enum firn_status s3_xml_escape(struct firn_buf *out, struct firn_slice s) FIRN_MUST_USE;

/* --- s3_request.c */
struct s3;
struct s3_request {
    struct firn_list link;
    struct s3 *s3;
    struct firn_os_req *req;
    CURL *easy;
    struct curl_slist *headers;
    struct firn_buf url, body; /* body: made here (multi-delete, complete); else req->body is sent */
    struct firn_slice send;
    size_t sent;
    struct firn_buf reply;
    bool reply_too_long;
    bool cancelled;
    char etag[FIRN_OS_ETAG_MAX];
    char curl_error[CURL_ERROR_SIZE];
    int64_t date_ms;
    uint64_t content_length, object_size;
    bool have_length;
};
/* Make the easy handle ready to go. Anything but OK: say so to the caller in req->status and err. */
enum firn_status s3_request_prepare(struct s3_request *r) FIRN_MUST_USE;
/* The transfer ended with this code: fill in the results of r->req. */
void s3_request_finish(struct s3_request *r, CURLcode code);

/* --- s3_adapter.c */
struct s3 {
    struct firn_objstore port;
    struct firn_s3_options opt;
    struct firn_os_dialect dialect;
    struct s3_signer signer;
    struct s3_creds_source creds;
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;  /* libcurl's */
    uv_timer_t later;  /* for requests that failed before they were sent */
    struct firn_list failed;
    struct firn_list active;
    CURL *spare[64];
    size_t spares;
    unsigned handles; /* libuv handles that are not closed yet */
};

#endif
