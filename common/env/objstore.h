/* The object-store port. One request = one attempt against the store: no retry, no look, no hedge
 * (those live above, in the store room). What the store must give is S1..S5 of docs/PROTOCOL.md. */
#ifndef FIRN_ENV_OBJSTORE_H
#define FIRN_ENV_OBJSTORE_H

#include "base/slice.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum firn_os_op {
    FIRN_OS_GET,
    FIRN_OS_HEAD,
    FIRN_OS_PUT,
    FIRN_OS_DELETE,
    FIRN_OS_DELETE_MANY,
    FIRN_OS_LIST,
    FIRN_OS_MP_CREATE,
    FIRN_OS_MP_PART,
    FIRN_OS_MP_COMPLETE,
    FIRN_OS_MP_ABORT,
    FIRN_OS_OPS /* how many there are */
};

enum firn_os_cond {
    FIRN_OS_ALWAYS,
    FIRN_OS_IF_ABSENT,     /* PUT: If-None-Match: * */
    FIRN_OS_IF_MATCH,      /* PUT: If-Match: etag */
    FIRN_OS_IF_NONE_MATCH, /* GET: If-None-Match: etag; unchanged answers FIRN_UNCHANGED */
};

#define FIRN_OS_ETAG_MAX 128
#define FIRN_OS_KEY_MAX 512
#define FIRN_OS_LIST_MAX 1000        /* entries of one LIST page, at most */
#define FIRN_OS_DELETE_MANY_MAX 1000 /* keys of one multi-delete, at most */

struct firn_os_entry {
    char *key; /* relative to the database's URL, as in requests */
    uint64_t size;
};

/* A page of a LIST, in no promised order. Owned by the request until clear. */
struct firn_os_page {
    struct firn_os_entry *entry;
    size_t count;
    char *next; /* continuation to hand to the next request, NULL at the end */
};

/* A request, embedded in its user. Zero-initialise (firn_os_req_init), fill in, submit; leave it
 * alone until done() is called, exactly once, on the loop thread, never inside submit. Then read
 * the results and call firn_os_req_clear before the struct is used again or dropped. All input
 * pointers are borrowed until done(). */
struct firn_os_req {
    /* --- what is asked */
    enum firn_os_op op;
    enum firn_os_cond cond;
    const char *key;         /* below the database's URL, no leading slash; LIST: the prefix */
    const char *etag;        /* IF_MATCH, IF_NONE_MATCH: as a reply gave it */
    uint64_t offset, length; /* GET: byte range; length 0 = the whole object */
    uint64_t reply_max;      /* GET: a longer body is FIRN_LIMIT; 0 = 256 MiB */
    struct firn_slice body;  /* PUT, MP_PART */
    const char *cursor;      /* LIST: `next` of the page before, or NULL */
    const char
        *start_after; /* LIST: only keys behind this one, or NULL; a hint: stores may ignore it */
    const char *const *keys; /* DELETE_MANY */
    size_t nkeys;
    const char *upload_id;         /* MP_PART, MP_COMPLETE, MP_ABORT */
    uint32_t part_number;          /* MP_PART: from 1 */
    const char *const *part_etags; /* MP_COMPLETE: of parts 1..nparts */
    uint32_t nparts;
    uint64_t timeout_ns; /* of this attempt; required */
    void (*done)(struct firn_os_req *req);
    void *arg;

    /* --- what came back, valid from done() to clear */
    enum firn_status status;
    /* OK; ABSENT (404 for a key, or an unknown upload); CONFLICT (412: look); UNCHANGED (304);
     * TRANSIENT (nothing was done: refused connection, 409, 503 before the body was taken, bad
     * credentials are DENIED instead); UNCERTAIN (time-out, lost reply, 5xx of a write: may have
     * been or still be applied); DENIED (401, 403); LIMIT (reply_max; store full); INVALID (any
     * other 4xx, wrong bucket …); CORRUPT (a body that fails its checksum or is shorter than
     * announced). */
    bool slow_down;        /* 503 SlowDown or 429: back off */
    int http_status;       /* 0 when no reply was had, or none is spoken */
    struct firn_err err;   /* for people, on anything but OK, UNCHANGED, ABSENT, CONFLICT */
    struct firn_buf reply; /* GET: the body */
    char reply_etag[FIRN_OS_ETAG_MAX]; /* GET, HEAD, PUT, MP_PART; "" = none. Opaque. */
    char upload_id_out[256];           /* MP_CREATE */
    uint64_t size;                     /* GET, HEAD: length of the whole object */
    int64_t date_ms; /* the store's Date of the reply, ms since 1970 (whole seconds); 0 = none */
    struct firn_os_page page; /* LIST */
    size_t nfailed;           /* DELETE_MANY: keys not deleted although the reply was OK */

    /* --- the adapter's */
    void *priv;
};

/* What one store is like. The proof of the store (store room) fills it in; an adapter obeys it. */
struct firn_os_dialect {
    bool if_match_bare;           /* If-Match wants the ETag without its quotes (Ceph RGW 16) */
    bool delete_many;             /* multi-object delete works */
    bool checksum_crc32c;         /* send x-amz-checksum-crc32c with bodies */
    uint32_t name_writes_per_sec; /* writes/s the store allows on one name; 0 = no known limit */
};

struct firn_objstore_vt {
    void (*submit)(void *ctx, struct firn_os_req *req);
    /* Ask that req ends soon; its done() still comes (a sent PUT cannot be recalled: UNCERTAIN). */
    void (*cancel)(void *ctx, struct firn_os_req *req);
    void (*set_dialect)(void *ctx, const struct firn_os_dialect *d);
};

struct firn_objstore {
    const struct firn_objstore_vt *vt;
    void *ctx;
    char url[1024]; /* as given by the user, without secrets: for messages */
    bool is_remote; /* requests cost money (S3), as against a local directory */
};

static inline void firn_os_req_init(struct firn_os_req *r)
{
    memset(r, 0, sizeof *r);
}

/* Free what a finished request owns (reply, page). The inputs stay; the results are reset, so that
 * the request can be submitted again. */
void firn_os_req_clear(struct firn_os_req *r);

static inline void firn_os_submit(struct firn_objstore *s, struct firn_os_req *r)
{
    s->vt->submit(s->ctx, r);
}
static inline void firn_os_cancel(struct firn_objstore *s, struct firn_os_req *r)
{
    s->vt->cancel(s->ctx, r);
}

/* "GET", "PUT", …, for logs and metrics. */
const char *firn_os_op_name(enum firn_os_op op);

#endif
