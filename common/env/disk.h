/* The local-disk port: the files of one directory on this machine, for caches of what the object
 * store holds. Nothing here is ever the only copy of anything. Asynchronous, as objstore.h: a
 * request is embedded in its user, and ends in exactly one done().
 *
 * What a power failure or a crash of the machine leaves:
 * - of a file's bytes: those of its last good SYNC. Of what was written since, any part may be
 * there, in any order, torn at any byte of it; where the file had grown, zeros may be in between;
 * - of the names: as they were at the last good SYNC_DIR. Of what was created, renamed or removed
 *   since, any part; a RENAME is there as a whole or not at all.
 * The end of the process alone loses nothing that was written. Bits rot at any time: users check
 * what they read. */
#ifndef FIRN_ENV_DISK_H
#define FIRN_ENV_DISK_H

#include "base/list.h"
#include "base/slice.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum firn_disk_op {
    FIRN_DISK_OPEN,
    FIRN_DISK_CLOSE,
    FIRN_DISK_READ,
    FIRN_DISK_WRITE,
    FIRN_DISK_APPEND,
    FIRN_DISK_SYNC,
    FIRN_DISK_SIZE,
    FIRN_DISK_RENAME,
    FIRN_DISK_REMOVE,
    FIRN_DISK_LIST,
    FIRN_DISK_SYNC_DIR,
    FIRN_DISK_OPS /* how many there are */
};

#define FIRN_DISK_NAME_MAX 64
#define FIRN_DISK_IO_MAX ((size_t)16 << 20) /* bytes of one READ, WRITE or APPEND, at most */

struct firn_disk_file; /* an open file, the adapter's; until its CLOSE is done */

struct firn_disk_entry {
    char name[FIRN_DISK_NAME_MAX + 1];
    uint64_t size;
};

/* Zero-initialise (firn_disk_req_init), fill in, submit; leave it alone until done() is called,
 * exactly once, on the loop thread, never inside submit. Input pointers are borrowed until then.
 * Requests that are under way together take effect in any order. */
struct firn_disk_req {
    /* --- what is asked */
    enum firn_disk_op op;
    const char *name; /* OPEN, RENAME, REMOVE: 1 to FIRN_DISK_NAME_MAX of A-Z a-z 0-9 . _ -, not
                         beginning with a dot */
    const char *to;   /* RENAME: replaces a file of that name */
    bool create;      /* OPEN: make an empty file where there is none */
    struct firn_disk_file *file; /* OPEN sets it; CLOSE, READ, WRITE, APPEND, SYNC, SIZE need it. A
                                    removed or replaced file lives until it is closed. */
    uint64_t offset;             /* READ; WRITE (a gap reads as zeros); APPEND sets it */
    struct firn_slice body;      /* WRITE, APPEND */
    uint8_t *into;               /* READ: room for `length` bytes */
    size_t length;
    void (*done)(struct firn_disk_req *req);
    void *arg;

    /* --- what came of it, valid from done() to clear */
    enum firn_status status;
    /* OK; ABSENT: no such file. LIMIT: the disk is full (of a WRITE or APPEND a first part may have
     * been written), or memory is short. CORRUPT: READ: the disk cannot give these bytes.
     * UNCERTAIN: an I/O error of what changes anything: done, in part or not; after a SYNC that
     * failed, what was written since the last good one may never become durable, even if a later
     * SYNC is OK. DENIED: no permission. INVALID: the name, or more than FIRN_DISK_IO_MAX. */
    struct firn_err err;           /* for people, on anything but OK and ABSENT */
    size_t got;                    /* READ: fewer than `length` only at the end of the file */
    uint64_t size;                 /* OPEN, SIZE */
    struct firn_disk_entry *entry; /* LIST: in no order; owned by the request until clear */
    size_t count;

    /* --- the adapter's */
    struct firn_list link;
    void *priv;
};

struct firn_disk_vt {
    void (*submit)(void *ctx, struct firn_disk_req *req);
};

struct firn_disk {
    const struct firn_disk_vt *vt;
    void *ctx;
    char path[1024]; /* for messages */
};

static inline void firn_disk_req_init(struct firn_disk_req *r)
{
    memset(r, 0, sizeof *r);
}

static inline void firn_disk_submit(const struct firn_disk *d, struct firn_disk_req *r)
{
    d->vt->submit(d->ctx, r);
}

/* Free what a finished request owns (entry) and reset the results. */
void firn_disk_req_clear(struct firn_disk_req *r);

/* "open", "read", …, for logs and metrics. */
const char *firn_disk_op_name(enum firn_disk_op op);
/* Whether a name is one that the port takes. */
bool firn_disk_name_valid(const char *name);

#endif
