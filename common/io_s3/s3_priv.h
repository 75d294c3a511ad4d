/* The pure parts of the S3 adapter: texts, URLs, signatures, XML, JSON, what a reply means. */
#ifndef FIRN_IO_S3_S3_PRIV_H
#define FIRN_IO_S3_S3_PRIV_H

#include "base/arena.h"
#include "io_s3/io_s3.h"

#include <openssl/evp.h>

/* ---- s3_text.c: texts in an arena, ended by NUL; NULL when memory is short */

char *firn_s3__printf(struct firn_arena *a, const char *fmt, ...) FIRN_PRINTF(2, 3);
/* Percent-encoded as SigV4 wants it: all but A-Z a-z 0-9 - . _ ~, and '/' when keep_slash. */
char *firn_s3__encode(struct firn_arena *a, const char *s, bool keep_slash);
/* Undo percent-encoding (and '+' for a space, when plus) in place; false when a '%' is not followed
 * by two hex digits or stands for NUL. */
bool firn_s3__decode(char *s, bool plus);
/* Lower-case hex of len bytes, and a NUL. */
void firn_s3__hex(const uint8_t *in, size_t len, char *out);
/* Base64 with padding (RFC 4648), and a NUL: 4 * ((len + 2) / 3) + 1 bytes. */
void firn_s3__base64(const uint8_t *in, size_t len, char *out);
/* Copy s to out, whose size is cap, with unprintable bytes as '?'; what does not fit is cut. */
void firn_s3__printable(struct firn_slice s, char *out, size_t cap);
/* Copy s to out if it fits with its NUL and has no control bytes; else out is "" and the answer
 * false. */
bool firn_s3__copy(struct firn_slice s, char *out, size_t cap);
/* Seconds since 1970 of "2026-11-21T10:00:00Z" (also with a fraction); -1: no such time, or before.
 */
int64_t firn_s3__iso_time(const char *s);

/* ---- s3_url.c */

/* Where requests go, made from complete options. */
struct firn_s3__target {
    char base[640];    /* "https://host[:port]": what stands before a path */
    char host[576];    /* the Host header: without the scheme's own port */
    char root[64 + 2]; /* "/bucket" or "": what stands before "/key" in a path */
    bool tls;
};

/* Fill in what is empty in *o: from the environment, then the profile's region, then defaults. */
void firn_s3__options_complete(struct firn_s3_options *o, const char *profile_region);
/* Host and path of complete options. INVALID when they do not go together. */
enum firn_status firn_s3__target_of(const struct firn_s3_options *o, struct firn_s3__target *t,
                                    struct firn_err *err) FIRN_MUST_USE;
/* "amazonaws.com", or what the region uses instead. */
const char *firn_s3__amazon_domain(const char *region);

/* ---- s3_sign.c: AWS Signature Version 4
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */

#define FIRN_S3_SHA256_HEX 65 /* with its NUL */
#define FIRN_S3_TIME_LEN 17   /* "20130524T000000Z" with its NUL */
#define FIRN_S3_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define FIRN_S3_UNSIGNED "UNSIGNED-PAYLOAD"

/* One set of credentials. Secret: wipe with OPENSSL_cleanse. */
struct firn_s3__keys {
    char id[129];
    char secret[257];
    char token[6145];  /* of a session; "" = none */
    int64_t expire_ms; /* wall clock; 0 = never */
};

struct firn_s3__signer {
    EVP_MD *sha256, *md5; /* fetched once; md5 may be NULL where it is forbidden */
    EVP_MAC *hmac;
    EVP_MD_CTX *digest;
    EVP_MAC_CTX *mac;
    uint8_t key[32];     /* signing key of … */
    char day[9];         /* … this day … */
    uint64_t generation; /* … and these credentials; 0 = none yet */
};

struct firn_s3__header {
    const char *name;  /* lower case */
    const char *value; /* no blanks at its ends */
};

/* What is signed. Path and query are encoded as they are sent; the query's parameters are sorted
 * and all have a '='; headers are sorted by name and have "host". */
struct firn_s3__signable {
    const char *method, *path, *query;
    const struct firn_s3__header *header;
    size_t headers;
    const char *payload_hash;
    const char *time; /* as in x-amz-date */
    const char *region;
};

enum firn_status firn_s3__signer_init(struct firn_s3__signer *s,
                                      struct firn_err *err) FIRN_MUST_USE;
void firn_s3__signer_deinit(struct firn_s3__signer *s);
/* The value of the Authorization header, in the arena. `generation` names the keys: the day's
 * signing key is kept for as long as it stays the same. NULL: memory, or OpenSSL refused. */
char *firn_s3__sign(struct firn_s3__signer *s, const struct firn_s3__signable *what,
                    const struct firn_s3__keys *keys, uint64_t generation, struct firn_arena *a);
/* Hex SHA-256 of the bytes. Any thread. False: OpenSSL refused or memory. */
bool firn_s3__sha256_hex(const struct firn_s3__signer *s, struct firn_slice data,
                         char out[FIRN_S3_SHA256_HEX]);
/* Seconds since 1970 as x-amz-date writes them. */
void firn_s3__amz_time(int64_t seconds, char out[FIRN_S3_TIME_LEN]);

/* ---- s3_xml.c: the little XML that S3 and STS speak. CORRUPT for anything that is not
 * well-formed, deeper than 8 elements, or not the document that is asked for; LIMIT when memory is
 * short. */

struct firn_s3__error {
    char code[64];     /* "" = the reply does not name one */
    char message[256]; /* printable */
    char region[65];   /* where the bucket is, if the error says so */
};
/* Read <Error> or <ErrorResponse>; *e is zeroed when the document is neither. */
void firn_s3__xml_error(struct firn_slice doc, struct firn_s3__error *e);
/* A page of ListObjectsV2 with keys below `prefix` (with its '/'; "" = none), made relative to it.
 */
enum firn_status firn_s3__xml_list(struct firn_slice doc, const char *prefix,
                                   struct firn_os_page *page) FIRN_MUST_USE;
/* InitiateMultipartUploadResult. */
enum firn_status firn_s3__xml_upload_id(struct firn_slice doc, char *out, size_t cap) FIRN_MUST_USE;
/* DeleteResult: how many keys were not deleted. */
enum firn_status firn_s3__xml_deleted(struct firn_slice doc, size_t *failed) FIRN_MUST_USE;
/* CompleteMultipartUploadResult: OK when the document is that, CORRUPT when it is another. */
enum firn_status firn_s3__xml_completed(struct firn_slice doc) FIRN_MUST_USE;
/* AssumeRoleWithWebIdentityResponse. Overwrites *keys. */
enum firn_status firn_s3__xml_keys(struct firn_slice doc, struct firn_s3__keys *keys) FIRN_MUST_USE;
/* Append s with < > & and quotes written as entities. */
enum firn_status firn_s3__xml_escape(struct firn_buf *out, const char *s) FIRN_MUST_USE;

/* ---- s3_json.c */

/* Credentials of the container and instance metadata endpoints: a flat object of strings.
 * Overwrites *keys. DENIED when its "Code" is not "Success", naming it; CORRUPT when it is no such
 * object. */
enum firn_status firn_s3__json_keys(struct firn_slice doc, struct firn_s3__keys *keys,
                                    struct firn_err *err) FIRN_MUST_USE;

/* ---- s3_status.c: what a reply means */

static inline bool firn_s3__is_write(enum firn_os_op op)
{
    return op != FIRN_OS_GET && op != FIRN_OS_HEAD && op != FIRN_OS_LIST;
}
/* The status of a reply by its HTTP status and S3 error code ("" = none); see DESIGN.md, table. */
enum firn_status firn_s3__status_of(enum firn_os_op op, enum firn_os_cond cond, int http,
                                    const char *code, bool *slow_down);
/* The HTTP status that an error code stands for, for errors that come inside a 200; 500 when
 * unknown. */
int firn_s3__http_of(const char *code);
/* Whether the error says that these credentials are no longer good. */
bool firn_s3__is_stale_credential(const char *code);
/* The right that a denied request probably lacks. */
const char *firn_s3__right_of(enum firn_os_op op);

#endif
