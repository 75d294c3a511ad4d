/* The object-store port (env/objstore.h) over S3 and what speaks its protocol: libcurl's multi
 * handle driven by a libuv loop, own SigV4 signatures, credentials from the standard AWS chain.
 * Everything here is for the loop thread. */
#ifndef FIRN_IO_S3_IO_S3_H
#define FIRN_IO_S3_IO_S3_H

#include "base/status.h"
#include "env/objstore.h"

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define FIRN_S3_PREFIX_MAX 480 /* bytes: a prefix, '/' and a key stay below S3's 1024 */

enum firn_s3_addressing {
    FIRN_S3_AUTO,    /* path where an endpoint is given or the name has a dot, else virtual */
    FIRN_S3_PATH,    /* https://host/bucket/key */
    FIRN_S3_VIRTUAL, /* https://bucket.host/key */
};

/* Where a database lies and how to get there. Zero-initialise, fill in, parse the URL on top. Empty
 * texts are filled in by firn_s3_create as their comments say. */
struct firn_s3_options {
    char bucket[64];
    char prefix[FIRN_S3_PREFIX_MAX + 1]; /* no slash at either end; "" = the bucket's root */
    char endpoint[512]; /* "http[s]://host[:port]"; else AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL,
                         * Amazon's endpoint of the region */
    char region[65];    /* else AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1 */
    char profile[129];  /* the only source of credentials; else the whole chain with AWS_PROFILE */
    char ca_file[512];  /* PEM file of trusted authorities; else AWS_CA_BUNDLE, the system's */
    enum firn_s3_addressing addressing;
    bool insecure;            /* do not check the server's certificate: for tests */
    unsigned connections_max; /* requests under way at once, others wait; 0 = 128 */
};

/* Read "s3://bucket[/prefix][?name=value&…]" into *o; names are endpoint, region, addressing (auto,
 * path, virtual), profile and ca. Prefix and values may be percent-encoded. What the URL does not
 * name stays as it is in *o, so that settings can be put there first. FIRN_INVALID with a message
 * (and *o unchanged) for anything that is not of this form or not allowed: S3 bucket names, no
 * empty, "." or ".." segments, an endpoint without path or secrets. */
enum firn_status firn_s3_url_parse(const char *url, struct firn_s3_options *o,
                                   struct firn_err *err) FIRN_MUST_USE;

/* A store over the bucket, for requests of this loop's thread; nothing is sent before the first
 * one. *o is copied. Reads the environment and (blocking) the AWS config file for a region, so call
 * it before the loop runs. *out is valid until firn_s3_free; its url names bucket, prefix and a
 * foreign endpoint. FIRN_INVALID: options that cannot work, a broken config file; FIRN_LIMIT:
 * memory.
 *
 * Beside the port's contract:
 * - Requests above connections_max, and all while there are no credentials, wait in order; their
 *   time-out runs meanwhile. One that ends so is TRANSIENT: nothing was sent.
 * - A reply that breaks off is a lost reply (reads: TRANSIENT, writes: UNCERTAIN). CORRUPT is one
 *   that came whole and is not what was asked for: other range, other length, broken XML.
 * - libcurl sends a request again by itself when a kept connection turns out to be dead before the
 *   first byte of a reply. So a conditional PUT can be refused because of its own bytes, without a
 *   retry above: every 412 needs a look.
 * - done() is never called inside cancel either. */
enum firn_status firn_s3_create(uv_loop_t *loop, const struct firn_s3_options *o,
                                struct firn_objstore **out, struct firn_err *err) FIRN_MUST_USE;

/* Close all connections and wipe the credentials. No request may be under way, and it must not be
 * called from a done(). The memory goes once the loop has run the close callbacks: run it once more
 * before it is closed. NULL-safe. */
void firn_s3_free(struct firn_objstore *s);

#endif
