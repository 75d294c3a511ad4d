/* Credentials from the standard AWS chain, fetched and refreshed without blocking the loop. */
#ifndef FIRN_IO_S3_S3_CREDS_PRIV_H
#define FIRN_IO_S3_S3_CREDS_PRIV_H

#include "io_s3/s3_http_priv.h"
#include "io_s3/s3_priv.h"

/* ---- s3_creds_file.c */

/* What the credentials and the config file say about one profile. Secret: wipe. */
struct firn_s3__profile {
    bool found;
    struct firn_s3__keys keys; /* id "" = none */
    char region[65];
    char role_arn[2049];
    char session[65];     /* role_session_name */
    char token_file[512]; /* web_identity_token_file */
    char unsupported[32]; /* a way to credentials that we do not go, e.g. "credential_process" */
};

/* Read both files (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE, else ~/.aws/…) for profile `name`.
 * Blocks. A file that is not there is empty. DENIED: not readable, or it holds a secret and others
 * may read it; INVALID: no file of this form; LIMIT. Overwrites *p. Any thread. */
enum firn_status firn_s3__profile_read(const char *name, struct firn_s3__profile *p,
                                       struct firn_err *err) FIRN_MUST_USE;
/* The profile to use: `name` if not empty, else AWS_PROFILE, else "default". */
const char *firn_s3__profile_name(const char *name);
/* Append a whole small file to `out`. *exposed: others than its owner may read it, or the owner is
 * neither we nor root. Blocks. ABSENT, DENIED, INVALID, LIMIT. Any thread. */
enum firn_status firn_s3__file_read(const char *path, struct firn_buf *out, bool *exposed,
                                    struct firn_err *err) FIRN_MUST_USE;
/* Free a buffer with secrets in it. */
void firn_s3__wipe(struct firn_buf *b);

/* ---- s3_creds.c */

struct firn_s3__creds;

/* changed(arg): credentials came or the fetch failed; ask again. Not called inside get. profile and
 * region are copied. */
enum firn_status firn_s3__creds_create(struct firn_s3__http *h, const char *profile,
                                       const char *region, void (*changed)(void *arg), void *arg,
                                       struct firn_s3__creds **out) FIRN_MUST_USE;
/* Wipe and free; changed is not called any more. NULL-safe. */
void firn_s3__creds_free(struct firn_s3__creds *c);
/* OK: *keys are good now, borrowed until the loop runs on, named by *generation (from 1). AGAIN: a
 * fetch is under way. DENIED, INVALID, TRANSIENT, LIMIT: there are none, and why; a later get tries
 * again. */
enum firn_status firn_s3__creds_get(struct firn_s3__creds *c, const struct firn_s3__keys **keys,
                                    uint64_t *generation, struct firn_err *err) FIRN_MUST_USE;
/* The store refused the credentials of this generation: fetch anew before the next use. */
void firn_s3__creds_reject(struct firn_s3__creds *c, uint64_t generation);
/* The store knows them, or does not say, but denies what was asked: it may be a key that was
 * removed (Ceph answers so while it remembers the user) or one that lacks a right. Those of a file
 * are read again, for it may hold others by now, and serve on until it gives others; to ask anybody
 * else for that would not be worth it. */
void firn_s3__creds_deny(struct firn_s3__creds *c, uint64_t generation);

/* ---- s3_creds_http.c: the requests of web identity, container and instance metadata */

enum firn_s3__remote {
    FIRN_S3__WEB_IDENTITY, /* STS AssumeRoleWithWebIdentity */
    FIRN_S3__CONTAINER,    /* ECS, EKS pod identity */
    FIRN_S3__INSTANCE,     /* EC2 instance metadata, version 2 */
};

/* A fetch. Zero-initialise, fill in the first part. */
struct firn_s3__fetch {
    struct firn_s3__http *http;
    enum firn_s3__remote remote;
    const char *region, *role_arn, *session; /* web identity; borrowed */
    struct firn_slice token; /* web identity's, container's Authorization; borrowed */
    void (*done)(struct firn_s3__fetch *f); /* once, unless cancelled; maybe inside start */
    void *arg;

    enum firn_status
        status; /* OK; TRANSIENT: not reached, 5xx; DENIED: refused; INVALID; CORRUPT; LIMIT */
    struct firn_err err;
    struct firn_s3__keys keys; /* secret */

    struct firn_s3__call call;
    struct firn_s3__timer timer;
    struct firn_arena text;
    struct curl_slist header[4];
    struct firn_buf reply;
    char *form; /* in text */
    char imds_token[256];
    void (*next)(struct firn_s3__fetch *f);
};
void firn_s3__fetch_start(struct firn_s3__fetch *f);
/* End it without done(); harmless when it is not under way. */
void firn_s3__fetch_cancel(struct firn_s3__fetch *f);

#endif
