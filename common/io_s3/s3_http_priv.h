/* HTTP for the S3 adapter: libcurl's multi handle on a libuv loop, and timers. Loop thread only. */
#ifndef FIRN_IO_S3_S3_HTTP_PRIV_H
#define FIRN_IO_S3_S3_HTTP_PRIV_H

#include "base/heap.h"
#include "base/list.h"
#include "base/slice.h"
#include "env/objstore.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <uv.h>

struct firn_s3__http;

struct firn_s3__http_options {
    const char *ca_file; /* NULL or "" = the system's */
    bool insecure;
    unsigned calls_max; /* calls under way at once; more are refused */
};

/* freed(arg) is called once everything is closed, after firn_s3__http_free and the last unref. */
enum firn_status firn_s3__http_create(uv_loop_t *loop, const struct firn_s3__http_options *o,
                                      void (*freed)(void *arg), void *arg,
                                      struct firn_s3__http **out,
                                      struct firn_err *err) FIRN_MUST_USE;
/* No call and no timer may be under way. The rest happens when the loop runs. NULL-safe. */
void firn_s3__http_free(struct firn_s3__http *h);
/* Keep the memory alive beyond free, for work that a thread still does. */
void firn_s3__http_ref(struct firn_s3__http *h);
void firn_s3__http_unref(struct firn_s3__http *h);
uv_loop_t *firn_s3__http_loop(struct firn_s3__http *h);

/* ---- timers: embedded, zero-initialised, one shot */

struct firn_s3__timer {
    struct firn_heap_node node;
    void (*fn)(void *arg);
    void *arg;
};
/* Call t->fn(t->arg) after so long, on the loop. A running timer is set anew. LIMIT: memory. */
enum firn_status firn_s3__timer_start(struct firn_s3__http *h, struct firn_s3__timer *t,
                                      uint64_t after_ns) FIRN_MUST_USE;
void firn_s3__timer_stop(struct firn_s3__http *h, struct firn_s3__timer *t);

/* ---- calls */

enum firn_s3__end {
    FIRN_S3__ANSWERED,  /* a whole reply came: see http */
    FIRN_S3__NOT_SENT,  /* it failed before a byte of the request was sent */
    FIRN_S3__LOST,      /* it failed later */
    FIRN_S3__TOO_LONG,  /* the body did not fit into `reply` */
    FIRN_S3__BAD_SETUP, /* libcurl cannot do this at all, e.g. the CA file is not there */
};

/* One request and its reply. Embedded in its user, who fills in the first part and leaves all alone
 * from start to done() or abort. */
struct firn_s3__call {
    /* --- what is asked; borrowed */
    const char *method; /* GET HEAD PUT POST DELETE */
    const char *url;
    struct curl_slist *headers;            /* "name: value"; libcurl only reads the list */
    struct firn_slice body;                /* PUT and POST */
    struct firn_buf *reply;                /* where the body of a 2xx goes, up to its max */
    uint64_t reply_hint;                   /* about how much that will be, 0 = little */
    bool direct;                           /* never by a proxy */
    void (*done)(struct firn_s3__call *c); /* once, on the loop, not inside start */
    void *arg;

    /* --- what came */
    enum firn_s3__end end;
    int http; /* of the last status line, 0 = none came */
    char etag[FIRN_OS_ETAG_MAX];
    char region[65];                 /* x-amz-bucket-region */
    int64_t length;                  /* Content-Length, -1 = not said */
    bool chunked;                    /* the end of the body is marked in itself */
    int64_t first, last, total;      /* Content-Range, -1 = not said */
    int64_t date_ms;                 /* Date, 0 = not said */
    struct firn_buf other;           /* body of any other status, cut at 64 KiB */
    char error[CURL_ERROR_SIZE + 1]; /* why it was not answered */

    /* --- the layer's */
    CURL *easy; /* NULL = not under way */
    bool too_long, began;
};

/* Begin. LIMIT when calls_max are under way or memory is short: then done() does not come. */
enum firn_status firn_s3__call_start(struct firn_s3__http *h,
                                     struct firn_s3__call *c) FIRN_MUST_USE;
/* End a call that is under way without done(): closes its connection. Returns whether a byte of the
 * request may have been sent. */
bool firn_s3__call_abort(struct firn_s3__http *h, struct firn_s3__call *c);
/* Free `other`. */
void firn_s3__call_clear(struct firn_s3__call *c);

#endif
