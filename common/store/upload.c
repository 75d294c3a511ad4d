/* Large objects: one PUT up to 16 MiB, else multipart with a few parts under way at a time. */
#include "store/store_priv.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>

#define SINGLE_MAX ((size_t)16 << 20)
#define PART_BYTES ((size_t)8 << 20) /* all but the last are equal, as R2 wants it */
#define PART_BYTES_MAX ((size_t)512 << 20)
#define PARTS_MAX 10000
#define PARALLEL 4

struct part {
    struct firn_store_op op;
    struct upload *up;
    bool busy;
};

struct upload {
    struct firn_store *store;
    struct firn_store_upload *u;
    char id[256];
    size_t part_bytes;
    uint32_t parts, next;           /* parts in all, the one to be sent next (from 0) */
    char (*etag)[FIRN_OS_ETAG_MAX]; /* by part, owned */
    const char **etags;             /* pointers to them */
    struct firn_store_op op;        /* PUT, MP_CREATE, MP_COMPLETE, HEAD, MP_ABORT: one at a time */
    struct part part[PARALLEL];
    unsigned busy;
    enum firn_status status; /* first error */
    bool cancelled;
};

static void upload_free(struct upload *up)
{
    firn_free(up->etag);
    firn_free(up->etags);
    firn_free(up);
}

static void finish(struct upload *up)
{
    struct firn_store_upload *u = up->u;
    u->status = up->status;
    u->priv = NULL;
    for (int i = 0; i < PARALLEL; i++)
        firn_store_op_clear(&up->part[i].op);
    firn_store_op_clear(&up->op);
    upload_free(up);
    u->done(u);
}

static void fail(struct upload *up, enum firn_status s, const struct firn_err *err)
{
    if (up->status != FIRN_OK)
        return;
    up->status = s;
    up->u->err = *err;
}

static void submit(struct upload *up, enum firn_os_op what, void (*done)(struct firn_store_op *op))
{
    struct firn_store_op *op = &up->op;
    firn_store_op_clear(op);
    firn_store_op_init(op);
    op->req.op = what;
    op->req.key = up->u->key;
    op->req.upload_id = up->id[0] ? up->id : NULL;
    op->deadline_ns = up->u->deadline_ns;
    op->done = done;
    op->arg = up;
    if (what == FIRN_OS_PUT)
        op->req.body = up->u->body;
    if (what == FIRN_OS_MP_COMPLETE) {
        op->req.part_etags = up->etags;
        op->req.nparts = up->parts;
    }
    if (what == FIRN_OS_MP_ABORT)
        op->flags = FIRN_STORE_NO_RETRY; /* best effort: a bucket rule clears what is left */
    firn_store_submit(up->store, op);
}

static void on_last(struct firn_store_op *op)
{
    struct upload *up = op->arg;
    if (op->req.op != FIRN_OS_MP_ABORT && op->status != FIRN_OK)
        fail(up, op->status, &op->req.err);
    finish(up);
}

/* After an error, once no part is under way. */
static void give_up(struct upload *up)
{
    up->u->deadline_ns = 0; /* the abort may come after it: one attempt, in its own time */
    submit(up, FIRN_OS_MP_ABORT, on_last);
}

/* The upload was unknown to MP_COMPLETE: an earlier attempt whose reply was lost may have done it.
 */
static void on_head(struct firn_store_op *op)
{
    struct upload *up = op->arg;
    struct firn_err err = op->req.err;
    if (op->status == FIRN_OK && op->req.size == up->u->body.len) {
        finish(up);
        return;
    }
    enum firn_status s = op->status;
    if (s == FIRN_OK || s == FIRN_ABSENT)
        s = firn_fail(&err, FIRN_CORRUPT, "multipart upload of %s came to nothing", up->u->key);
    fail(up, s, &err);
    finish(up);
}

static void on_complete(struct firn_store_op *op)
{
    struct upload *up = op->arg;
    if (op->status == FIRN_OK) {
        finish(up);
    } else if (op->status == FIRN_ABSENT) {
        submit(up, FIRN_OS_HEAD, on_head);
    } else {
        fail(up, op->status, &op->req.err);
        give_up(up);
    }
}

static void on_part(struct firn_store_op *op);

static void send_part(struct upload *up, struct part *p)
{
    size_t from = (size_t)up->next * up->part_bytes, len = up->u->body.len - from;
    firn_store_op_clear(&p->op);
    firn_store_op_init(&p->op);
    p->up = up;
    p->busy = true;
    up->busy++;
    p->op.req.op = FIRN_OS_MP_PART;
    p->op.req.key = up->u->key;
    p->op.req.upload_id = up->id;
    p->op.req.part_number = ++up->next;
    p->op.req.body =
        firn_slice_of(up->u->body.data + from, len < up->part_bytes ? len : up->part_bytes);
    p->op.deadline_ns = up->u->deadline_ns;
    p->op.done = on_part;
    p->op.arg = p;
    firn_store_submit(up->store, &p->op);
}

/* Send what may be sent; when all is there, complete; after an error, abort. */
static void step(struct upload *up)
{
    if (up->cancelled) {
        struct firn_err err = {"cancelled"};
        fail(up, FIRN_TRANSIENT, &err);
    }
    for (int i = 0; i < PARALLEL && up->status == FIRN_OK && up->next < up->parts; i++) {
        if (!up->part[i].busy)
            send_part(up, &up->part[i]);
    }
    if (up->busy)
        return;
    if (up->status != FIRN_OK)
        give_up(up);
    else
        submit(up, FIRN_OS_MP_COMPLETE, on_complete);
}

static void cancel_parts(struct upload *up)
{
    for (int i = 0; i < PARALLEL; i++) {
        if (up->part[i].busy)
            firn_store_cancel(up->store, &up->part[i].op);
    }
}

static void on_part(struct firn_store_op *op)
{
    struct part *p = op->arg;
    struct upload *up = p->up;
    p->busy = false;
    up->busy--;
    enum firn_status s = op->status;
    if (s == FIRN_OK) {
        (void)snprintf(up->etag[op->req.part_number - 1], FIRN_OS_ETAG_MAX, "%s",
                       op->req.reply_etag);
    } else {
        if (s == FIRN_ABSENT)
            s = firn_fail(&op->req.err, FIRN_TRANSIENT, "multipart upload of %s was aborted",
                          up->u->key);
        fail(up, s, &op->req.err);
        cancel_parts(up);
    }
    step(up);
}

static void on_created(struct firn_store_op *op)
{
    struct upload *up = op->arg;
    if (op->status != FIRN_OK) {
        fail(up, op->status, &op->req.err);
        finish(up);
        return;
    }
    (void)snprintf(up->id, sizeof up->id, "%s", op->req.upload_id_out);
    step(up);
}

static void on_no_memory(void *arg)
{
    struct firn_store_upload *u = arg;
    firn_store__failed(&u->failing);
    u->status = firn_fail(&u->err, FIRN_LIMIT, "out of memory for the upload of %s", u->key);
    u->done(u);
}

/* Parts of 8 MiB; larger only where there would be too many. */
static bool plan_parts(struct upload *up)
{
    size_t len = up->u->body.len;
    up->part_bytes = PART_BYTES;
    while ((len + up->part_bytes - 1) / up->part_bytes > PARTS_MAX &&
           up->part_bytes < PART_BYTES_MAX)
        up->part_bytes *= 2;
    up->parts = (uint32_t)((len + up->part_bytes - 1) / up->part_bytes);
    up->etag = firn_calloc(up->parts, sizeof *up->etag);
    up->etags = firn_calloc(up->parts, sizeof *up->etags);
    if (!up->etag || !up->etags)
        return false;
    for (uint32_t i = 0; i < up->parts; i++)
        up->etags[i] = up->etag[i];
    return true;
}

void firn_store_upload(struct firn_store *s, struct firn_store_upload *u)
{
    FIRN_ASSERT(u->done && !u->priv);
    u->status = FIRN_OK;
    u->err.text[0] = '\0';
    bool single = u->body.len <= SINGLE_MAX;
    struct upload *up = firn_calloc(1, sizeof *up);
    if (up) {
        up->store = s;
        up->u = u;
    }
    if (!up || (!single && !plan_parts(up))) {
        if (up)
            upload_free(up);
        firn_store__fail_later(s, &u->failing, on_no_memory, u);
        return;
    }
    u->priv = up;
    if (single)
        submit(up, FIRN_OS_PUT, on_last);
    else
        submit(up, FIRN_OS_MP_CREATE, on_created);
}

void firn_store_upload_cancel(struct firn_store *s, struct firn_store_upload *u)
{
    struct upload *up = u->priv;
    firn_store__fail_soon(&u->failing);
    if (!up || up->cancelled)
        return;
    up->cancelled = true;
    if (up->busy == 0) {
        if (up->op.req.op != FIRN_OS_MP_ABORT)
            firn_store_cancel(s, &up->op);
        return;
    }
    cancel_parts(up);
}
