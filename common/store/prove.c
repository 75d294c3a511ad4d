/* The proof of the store: that it keeps S1 to S4 (PROTOCOL.md) as far as one client can see, and
 * which dialect it speaks. A chain of operations on one name of its own; each step's reply decides
 * the next. */
#include "store/store_priv.h"

#include "base/assert.h"

#include <stdio.h>

#define PROOF_NS (30 * FIRN_SEC)
#define BODY_LEN PROOF_BODY
#define WRONG_ETAG "\"00000000000000000000000000000000\""
#define NOT_SAFE "Firn cannot keep data safe on it"

typedef void (*step_fn)(struct firn_store_op *op);

static struct firn_os_req *prepare(struct proof *p, enum firn_os_op what)
{
    firn_store_op_clear(&p->op);
    firn_store_op_init(&p->op);
    p->op.arg = p;
    p->op.deadline_ns = p->deadline_ns;
    p->op.req.op = what;
    p->op.req.key = p->key;
    return &p->op.req;
}

static void go(struct proof *p, step_fn next)
{
    p->op.done = next;
    firn_store_submit(p->store, &p->op);
}

static void put(struct proof *p, enum firn_os_cond cond, const char *etag, const uint8_t *body,
                step_fn next)
{
    struct firn_os_req *r = prepare(p, FIRN_OS_PUT);
    r->cond = cond;
    r->etag = etag;
    r->body = firn_slice_of(body, BODY_LEN);
    go(p, next);
}

static void get(struct proof *p, step_fn next)
{
    (void)prepare(p, FIRN_OS_GET);
    go(p, next);
}

static bool holds(const struct firn_store_op *op, const uint8_t *body)
{
    return firn_slice_eq(firn_buf_slice(&op->req.reply), firn_slice_of(body, BODY_LEN));
}

/* ---- the end, good or bad */

static void finish(struct proof *p)
{
    firn_store_op_clear(&p->op);
    p->running = false;
    p->done(p->arg, p->status, &p->dialect, &p->err);
}

static void on_swept(struct firn_store_op *op)
{
    finish(op->arg); /* whatever came of it: the collector takes what is left under probe/ */
}

static void sweep(struct proof *p)
{
    (void)prepare(p, FIRN_OS_DELETE);
    p->op.deadline_ns = firn_boot_ns(p->store->env) + FIRN_SEC;
    go(p, on_swept);
}

/* The store broke a promise. */
static void refuse(struct proof *p, const char *what)
{
    p->status = firn_fail(&p->err, FIRN_INVALID, "the store at %s %s: " NOT_SAFE,
                          p->store->env->store->url, what);
    sweep(p);
}

/* The store could not be asked. */
static void fail(struct proof *p, const char *doing, enum firn_status s)
{
    p->status =
        firn_fail(&p->err, s, "the store at %s failed the proof, %s (%s): %s",
                  p->store->env->store->url, doing, firn_status_name(s), p->op.req.err.text);
    sweep(p);
}

/* ---- the steps, last to first */

static void on_deleted(struct firn_store_op *op)
{
    struct proof *p = op->arg;
    p->dialect.delete_many = op->status == FIRN_OK && op->req.nfailed == 0;
    firn_store_set_dialect(p->store, &p->dialect);
    if (p->dialect.delete_many)
        finish(p);
    else
        sweep(p);
}

static void on_listed(struct firn_store_op *op)
{
    struct proof *p = op->arg;
    if (op->status != FIRN_OK) {
        fail(p, "listing", op->status);
        return;
    }
    bool seen = false;
    for (size_t i = 0; i < op->req.page.count; i++) {
        const struct firn_os_entry *e = &op->req.page.entry[i];
        seen = seen || (strcmp(e->key, p->key) == 0 && e->size == BODY_LEN);
    }
    if (!seen) {
        refuse(p, "does not list an object it has just taken");
        return;
    }
    struct firn_os_req *r = prepare(p, FIRN_OS_DELETE_MANY);
    p->del[0] = p->key;
    r->keys = p->del;
    r->nkeys = 1;
    go(p, on_deleted);
}

static void on_read_back(struct firn_store_op *op)
{
    struct proof *p = op->arg;
    if (op->status != FIRN_OK && op->status != FIRN_ABSENT) {
        fail(p, "reading an object back", op->status);
        return;
    }
    if (op->status == FIRN_ABSENT || !holds(op, p->c)) {
        refuse(p, "gives back something else than was written last");
        return;
    }
    (void)prepare(p, FIRN_OS_LIST);
    go(p, on_listed);
}

static void swap(struct proof *p);

/* If-Match with the right ETag was refused, perhaps by our own bytes whose reply was lost: look. */
static void on_swap_looked(struct firn_store_op *op)
{
    struct proof *p = op->arg;
    if (op->status == FIRN_OK && holds(op, p->c)) {
        on_read_back(op);
    } else if (op->status == FIRN_OK && holds(op, p->a)) {
        if (p->dialect.if_match_bare) {
            refuse(p, "refuses If-Match with the object's own ETag");
        } else {
            p->dialect.if_match_bare = true;
            swap(p);
        }
    } else if (op->status == FIRN_OK || op->status == FIRN_ABSENT) {
        refuse(p, "changes an object although it refused to");
    } else {
        fail(p, "reading an object back", op->status);
    }
}

static void on_swapped(struct firn_store_op *op)
{
    struct proof *p = op->arg;
    if (op->status == FIRN_OK)
        get(p, on_read_back);
    else if (op->status == FIRN_CONFLICT)
        get(p, on_swap_looked);
    else
        fail(p, "replacing an object with If-Match", op->status);
}

static void swap(struct proof *p)
{
    firn_store_set_dialect(p->store, &p->dialect);
    put(p, FIRN_OS_IF_MATCH, p->etag, p->c, on_swapped);
}

static void on_wrong_match(struct firn_store_op *op)
{
    struct proof *p = op->arg;
    if (op->status == FIRN_CONFLICT)
        swap(p);
    else if (op->status == FIRN_OK)
        refuse(p, "ignores If-Match");
    else
        fail(p, "replacing an object with If-Match", op->status);
}

static void on_second(struct firn_store_op *op)
{
    struct proof *p = op->arg;
    if (op->status == FIRN_OK) {
        refuse(p, "ignores If-None-Match");
        return;
    }
    if (op->status == FIRN_CONFLICT && op->found.len == BODY_LEN &&
        memcmp(op->found.data, p->a, BODY_LEN) == 0) {
        (void)snprintf(p->etag, sizeof p->etag, "%s", op->req.reply_etag);
        if (p->etag[0])
            put(p, FIRN_OS_IF_MATCH, WRONG_ETAG, p->b, on_wrong_match);
        else
            refuse(p, "gives no ETag");
    } else if (op->status == FIRN_CONFLICT || op->status == FIRN_ABSENT) {
        refuse(p, "does not hold what it has just taken");
    } else {
        fail(p, "creating an object with If-None-Match", op->status);
    }
}

static void first(struct proof *p);

static void on_first(struct firn_store_op *op)
{
    struct proof *p = op->arg;
    if (op->status == FIRN_OK) {
        put(p, FIRN_OS_IF_ABSENT, NULL, p->b, on_second);
    } else if (op->status == FIRN_INVALID && p->dialect.checksum_crc32c) {
        p->dialect.checksum_crc32c = false; /* perhaps that is what it does not know */
        first(p);
    } else if (op->status == FIRN_CONFLICT || op->status == FIRN_ABSENT) {
        refuse(p, "finds an object under a name that was never used");
    } else {
        fail(p, "creating an object with If-None-Match", op->status);
    }
}

static void first(struct proof *p)
{
    firn_store_set_dialect(p->store, &p->dialect);
    put(p, FIRN_OS_IF_ABSENT, NULL, p->a, on_first);
}

/* The end of the log is a name that is missing: a store that says "forbidden" there, for want of a
 * right, would let a writer claim the database and then fail it. */
static void on_missing(struct firn_store_op *op)
{
    struct proof *p = op->arg;
    if (op->status == FIRN_ABSENT)
        first(p);
    else if (op->status == FIRN_OK)
        refuse(p, "finds an object under a name that was never used");
    else
        fail(p, "asking for an object that is missing", op->status);
}

/* Stores that are known to limit writes on one name (PERFORMANCE.md, store facts). */
static uint32_t name_limit(const char *url)
{
    static const char *const slow[] = {"storage.googleapis.com", "r2.cloudflarestorage.com"};
    for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++) {
        if (strstr(url, slow[i]))
            return 1;
    }
    return 0;
}

void firn_store_prove(struct firn_store *s,
                      void (*done)(void *arg, enum firn_status status,
                                   const struct firn_os_dialect *dialect,
                                   const struct firn_err *err),
                      void *arg)
{
    struct proof *p = &s->proof;
    uint64_t id[2];
    FIRN_ASSERT(!p->running);
    *p = (struct proof){.store = s, .running = true};
    p->done = done;
    p->arg = arg;
    firn_random(s->env, id, sizeof id);
    (void)snprintf(p->key, sizeof p->key, "probe/%016llx%016llx", (unsigned long long)id[0],
                   (unsigned long long)id[1]);
    firn_random(s->env, p->a, BODY_LEN);
    firn_random(s->env, p->b, BODY_LEN);
    firn_random(s->env, p->c, BODY_LEN);
    p->dialect.checksum_crc32c = s->env->store->is_remote;
    p->dialect.name_writes_per_sec = name_limit(s->env->store->url);
    p->deadline_ns = firn_boot_ns(s->env) + PROOF_NS;
    get(p, on_missing);
}
