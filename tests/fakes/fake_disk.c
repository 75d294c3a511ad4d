/* A machine's disk: see fake_disk.h and env/disk.h. Each file and the directory exist twice: as
 * they are now, and as they are safe from a power failure. */
#include "fakes/fake_disk.h"
#include "fakes/fake_priv.h"

#include "base/mem.h"
#include "env/disk.h"

#include <stdlib.h>

#define PAGE 4096
#define SECTOR 512
#define LATENCY_MIN_NS (20 * UINT64_C(1000))
#define LATENCY_MAX_NS (200 * UINT64_C(1000))

struct fake_file {
    unsigned refs; /* names, opened files, requests */
    uint8_t *now, *safe;
    size_t now_len, safe_len;
    size_t dirty_from, dirty_to; /* written since the last SYNC; from ≥ to: nothing */
};

/* What was done to names since the last SYNC_DIR: `to` became this file, `from` went. */
struct dir_change {
    struct firn_list link;
    char *from, *to; /* NULL: none */
    struct fake_file *file;
};

struct fake_disk {
    struct firn_fake_world *w;
    struct firn_list link;      /* w->disks */
    struct fake_tree now, safe; /* names to struct fake_file */
    struct firn_list changes;   /* struct dir_change, in order */
    struct fake_rng rng;
    uint64_t limit, used;
};

struct firn_disk_file {
    struct firn_list link; /* node->files */
    struct fake_file *file;
};

struct disk_op {
    struct firn_list link; /* node->disk_ops */
    struct fake_event effect, done;
    struct fake_disk *disk;
    struct firn_fake_node *node;
    struct firn_disk_req *req; /* its results are set by the effect */
    struct fake_file *file;
    struct fake_body *body;
};

/* ---- files */

static struct fake_file *file_ref(struct fake_file *f)
{
    f->refs++;
    return f;
}

static void file_unref(struct fake_disk *d, struct fake_file *f)
{
    if (!f || --f->refs)
        return;
    d->used -= f->now_len;
    free(f->now);
    free(f->safe);
    free(f);
}

static uint8_t *resize(uint8_t *p, size_t from, size_t to)
{
    uint8_t *q = realloc(p, to ? to : 1);
    FIRN_ASSERT(q != NULL);
    if (to > from)
        memset(q + from, 0, to - from);
    return q;
}

static void set_safe_len(struct fake_file *f, size_t len)
{
    f->safe = resize(f->safe, f->safe_len, len);
    f->safe_len = len;
}

static void file_write(struct fake_disk *d, struct fake_file *f, uint64_t at, const void *data,
                       size_t len)
{
    size_t end = (size_t)at + len;
    if (end > f->now_len) {
        f->now = resize(f->now, f->now_len, end);
        d->used += end - f->now_len;
        f->dirty_from = f->dirty_from < f->now_len ? f->dirty_from : f->now_len;
        f->now_len = end;
    }
    if (len)
        memcpy(f->now + at, data, len);
    f->dirty_from = f->dirty_from < (size_t)at ? f->dirty_from : (size_t)at;
    f->dirty_to = f->dirty_to > end ? f->dirty_to : end;
}

static void forget_dirty(struct fake_file *f)
{
    f->dirty_from = SIZE_MAX;
    f->dirty_to = 0;
}

/* Bytes [from, to) of what is now become safe. */
static void make_safe(struct fake_file *f, size_t from, size_t to)
{
    to = to < f->now_len ? to : f->now_len;
    if (from >= to)
        return;
    if (f->safe_len < to)
        set_safe_len(f, to);
    memcpy(f->safe + from, f->now + from, to - from);
}

static void bind(struct fake_disk *d, struct fake_tree *t, const char *name, struct fake_file *f)
{
    file_unref(d, fake_tree_remove(t, name));
    if (f)
        *fake_tree_put(t, name) = file_ref(f);
}

static struct fake_file *named(const struct fake_tree *t, const char *name)
{
    struct fake_tree_node *n = fake_tree_find(t, name);
    return n ? n->value : NULL;
}

/* ---- names */

static void change(struct fake_disk *d, const char *from, const char *to, struct fake_file *f)
{
    struct dir_change *c = fake_alloc(sizeof *c);
    *c = (struct dir_change){.from = from ? fake_strdup(from) : NULL,
                             .to = to ? fake_strdup(to) : NULL,
                             .file = f ? file_ref(f) : NULL};
    firn_list_push(&d->changes, &c->link);
    if (to)
        bind(d, &d->now, to, f);
    if (from)
        bind(d, &d->now, from, NULL);
}

/* The changes of names become safe, or are forgotten, one by one as `keep` says. */
static void settle_names(struct fake_disk *d, bool (*keep)(struct fake_disk *d))
{
    struct firn_list *l;
    while ((l = firn_list_pop(&d->changes)) != NULL) {
        struct dir_change *c = FIRN_CONTAINER(l, struct dir_change, link);
        if (keep(d)) {
            if (c->to)
                bind(d, &d->safe, c->to, c->file);
            if (c->from)
                bind(d, &d->safe, c->from, NULL);
        }
        file_unref(d, c->file);
        free(c->from);
        free(c->to);
        free(c);
    }
}

static bool always(struct fake_disk *d)
{
    (void)d;
    return true;
}

static bool never(struct fake_disk *d)
{
    (void)d;
    return false;
}

static bool coin(struct fake_disk *d)
{
    return fake_rng_next(&d->rng) & 1;
}

/* ---- a power failure */

/* Of what was not synced some pages got to the disk, or a first part of it; the last one torn. */
static void tear(struct fake_disk *d, struct fake_file *f)
{
    size_t to = f->dirty_to < f->now_len ? f->dirty_to : f->now_len;
    if (f->dirty_from >= to)
        return;
    uint64_t r = fake_rng_next(&d->rng);
    if (r % 4 == 0) {
        make_safe(f, f->dirty_from, f->dirty_from + (size_t)((r >> 2) % (to - f->dirty_from + 1)));
        return;
    }
    for (size_t page = f->dirty_from / PAGE * PAGE; page < to; page += PAGE) {
        size_t from = page > f->dirty_from ? page : f->dirty_from, end = page + PAGE;
        r = fake_rng_next(&d->rng);
        if (r & 1)
            continue;
        if (r & 2) /* a part of its sectors */
            end = page + SECTOR * (1 + (r >> 2) % (PAGE / SECTOR));
        make_safe(f, from, end < to ? end : to);
    }
}

static void revert(struct fake_disk *d, struct fake_file *f)
{
    d->used = d->used - f->now_len + f->safe_len;
    f->now = resize(f->now, f->now_len, f->safe_len);
    if (f->safe_len)
        memcpy(f->now, f->safe, f->safe_len);
    f->now_len = f->safe_len;
    forget_dirty(f);
}

void fake_disk_power_failure(struct firn_fake_node *n)
{
    struct fake_disk *d = n->disk;
    bool torn = fake_strike(d->w, FAKE_DISK_TORN, d->w->opt.faults.disk_torn);
    struct fake_tree_node *t;
    if (torn)
        d->rng.state = firn_fake_strike_random(d->w);
    for (t = d->now.head[0]; torn && t; t = fake_tree_next(t))
        tear(d, t->value);
    settle_names(d, torn ? coin : never);
    while (d->now.head[0])
        bind(d, &d->now, d->now.head[0]->name, NULL);
    for (t = d->safe.head[0]; t; t = fake_tree_next(t)) {
        revert(d, t->value);
        bind(d, &d->now, t->name, t->value);
    }
    firn_fake_say(d->w, n, "disk: power failure%s, %zu files left", torn ? ", torn" : "",
                  d->now.count);
}

/* ---- what requests do */

static void fail_req(struct disk_op *op, enum firn_status s, const char *why)
{
    op->req->status =
        firn_fail(&op->req->err, s, "%s%s%s: %s", firn_disk_op_name(op->req->op),
                  op->req->name ? " of " : "", op->req->name ? op->req->name : "", why);
}

static void do_open(struct disk_op *op)
{
    struct firn_disk_req *r = op->req;
    struct fake_disk *d = op->disk;
    struct fake_file *f = named(&d->now, r->name);
    if (!f && !r->create) {
        r->status = FIRN_ABSENT;
        return;
    }
    if (!f) {
        f = fake_alloc(sizeof *f);
        forget_dirty(f);
        change(d, NULL, r->name, f);
    }
    r->file = fake_alloc(sizeof *r->file);
    r->file->file = file_ref(f);
    firn_list_push(&op->node->files, &r->file->link);
    r->size = f->now_len;
}

static void file_close(struct fake_disk *d, struct firn_disk_file *file)
{
    firn_list_remove(&file->link);
    file_unref(d, file->file);
    free(file);
}

static void do_read(struct disk_op *op)
{
    struct firn_disk_req *r = op->req;
    struct fake_file *f = op->file;
    const struct firn_fake_faults *o = &op->disk->w->opt.faults;
    if (fake_strike(op->disk->w, FAKE_DISK_READ_ERROR, o->disk_read_error)) {
        fail_req(op, FIRN_CORRUPT, "I/O error");
        return;
    }
    size_t left = r->offset < f->now_len ? f->now_len - (size_t)r->offset : 0;
    r->got = left < r->length ? left : r->length;
    if (!r->got)
        return;
    if (fake_strike(op->disk->w, FAKE_DISK_ROT, o->disk_rot)) {
        uint64_t bit = firn_fake_strike_random(op->disk->w) % (r->got * 8);
        size_t at = (size_t)r->offset + (size_t)(bit / 8);
        f->now[at] ^= (uint8_t)(1u << bit % 8);
        make_safe(f, at, at + 1);
    }
    memcpy(r->into, f->now + r->offset, r->got);
}

/* How many of the bytes are written; fewer: the request failed. */
static size_t room_for(struct disk_op *op, uint64_t at, size_t len)
{
    struct fake_disk *d = op->disk;
    size_t now = op->file->now_len, end = (size_t)at + len, grows = end > now ? end - now : 0;
    if (fake_strike(d->w, FAKE_DISK_WRITE_ERROR, d->w->opt.faults.disk_write_error)) {
        fail_req(op, FIRN_UNCERTAIN, "I/O error");
        return (size_t)(firn_fake_strike_random(d->w) % (len + 1));
    }
    if (!d->limit || d->used + grows <= d->limit)
        return len;
    fail_req(op, FIRN_LIMIT, "no space left");
    size_t over = (size_t)(d->used + grows - d->limit);
    return over < len ? len - over : 0;
}

static void do_write(struct disk_op *op)
{
    struct firn_disk_req *r = op->req;
    if (r->op == FIRN_DISK_APPEND)
        r->offset = op->file->now_len;
    size_t len = room_for(op, r->offset, op->body->len);
    if (len || r->status == FIRN_OK)
        file_write(op->disk, op->file, r->offset, op->body->data, len);
}

static void do_sync(struct disk_op *op)
{
    struct fake_disk *d = op->disk;
    if (fake_strike(d->w, FAKE_DISK_WRITE_ERROR, d->w->opt.faults.disk_write_error))
        fail_req(op, FIRN_UNCERTAIN,
                 "I/O error"); /* and the kernel thinks that its pages are clean */
    else
        make_safe(op->file, op->file->dirty_from, op->file->dirty_to);
    forget_dirty(op->file);
}

static void do_rename(struct disk_op *op)
{
    struct firn_disk_req *r = op->req;
    struct fake_file *f = named(&op->disk->now, r->name);
    if (!f)
        r->status = FIRN_ABSENT;
    else if (r->op == FIRN_DISK_REMOVE)
        change(op->disk, r->name, NULL, NULL);
    else if (strcmp(r->name, r->to) != 0)
        change(op->disk, r->name, r->to, f);
}

static void do_list(struct disk_op *op)
{
    struct firn_disk_req *r = op->req;
    r->entry = firn_calloc(op->disk->now.count, sizeof *r->entry);
    if (!r->entry && op->disk->now.count) {
        fail_req(op, FIRN_LIMIT, "out of memory");
        return;
    }
    for (struct fake_tree_node *t = op->disk->now.head[0]; t; t = fake_tree_next(t)) {
        struct firn_disk_entry *e = &r->entry[r->count++];
        (void)snprintf(e->name, sizeof e->name, "%s", t->name);
        e->size = ((const struct fake_file *)t->value)->now_len;
    }
}

static void act(struct disk_op *op)
{
    switch (op->req->op) {
    case FIRN_DISK_OPEN:
        do_open(op);
        break;
    case FIRN_DISK_READ:
        do_read(op);
        break;
    case FIRN_DISK_WRITE:
    case FIRN_DISK_APPEND:
        do_write(op);
        break;
    case FIRN_DISK_SYNC:
        do_sync(op);
        break;
    case FIRN_DISK_SIZE:
        op->req->size = op->file->now_len;
        break;
    case FIRN_DISK_RENAME:
    case FIRN_DISK_REMOVE:
        do_rename(op);
        break;
    case FIRN_DISK_LIST:
        do_list(op);
        break;
    case FIRN_DISK_SYNC_DIR:
        settle_names(op->disk, always);
        break;
    case FIRN_DISK_CLOSE:
        file_close(op->disk, op->req->file);
        op->req->file = NULL;
        break;
    case FIRN_DISK_OPS:
        break;
    }
}

/* ---- requests on their way */

static void effect_arrives(void *arg)
{
    struct disk_op *op = arg;
    struct firn_disk_req *r = op->req;
    if (op->node->crashed && r->op != FIRN_DISK_CLOSE)
        fail_req(op, FIRN_UNCERTAIN, "the process is dead");
    else
        act(op);
    fake_trace(op->disk->w, FAKE_TRACE_DISK + (uint64_t)r->op, (uint64_t)r->status);
    firn_fake_say(op->disk->w, op->node, "disk %s %s: %s", firn_disk_op_name(r->op),
                  r->name ? r->name : "", firn_status_name(r->status));
}

static void op_free(struct disk_op *op)
{
    firn_list_remove(&op->link);
    fake_event_cancel(op->disk->w, &op->effect);
    fake_event_cancel(op->disk->w, &op->done);
    file_unref(op->disk, op->file);
    fake_body_unref(op->body);
    free(op);
}

static void done_arrives(void *arg)
{
    struct disk_op *op = arg;
    struct firn_disk_req *r = op->req;
    r->priv = NULL;
    op_free(op);
    r->done(r);
}

static bool names_are_valid(const struct firn_disk_req *r)
{
    bool one = r->op == FIRN_DISK_OPEN || r->op == FIRN_DISK_REMOVE || r->op == FIRN_DISK_RENAME;
    return (!one || firn_disk_name_valid(r->name)) &&
           (r->op != FIRN_DISK_RENAME || firn_disk_name_valid(r->to)) &&
           r->length <= FIRN_DISK_IO_MAX && r->body.len <= FIRN_DISK_IO_MAX;
}

static void disk_submit(void *ctx, struct firn_disk_req *req)
{
    struct firn_fake_node *n = ctx;
    struct firn_fake_world *w = n->world;
    if (n->dead)
        return;
    FIRN_ASSERT(req->op < FIRN_DISK_OPS && req->done && !req->priv);
    struct disk_op *op = fake_alloc(sizeof *op);
    *op = (struct disk_op){.disk = n->disk, .node = n, .req = req};
    fake_event_init(&op->effect, FAKE_OWNED, NULL, effect_arrives, op);
    fake_event_init(&op->done, FAKE_OWNED, n, done_arrives, op);
    firn_list_push(&n->disk_ops, &op->link);
    bool by_file = req->op != FIRN_DISK_OPEN && req->op != FIRN_DISK_RENAME &&
                   req->op != FIRN_DISK_REMOVE && req->op != FIRN_DISK_LIST &&
                   req->op != FIRN_DISK_SYNC_DIR;
    FIRN_ASSERT(!by_file || req->file);
    op->file = by_file ? file_ref(req->file->file) : NULL;
    if (req->op == FIRN_DISK_WRITE || req->op == FIRN_DISK_APPEND)
        op->body = fake_body_new(req->body.data, req->body.len);
    req->priv = op;
    req->status = FIRN_OK;
    uint64_t ns = LATENCY_MIN_NS + fake_rng_next(&n->disk->rng) % (LATENCY_MAX_NS - LATENCY_MIN_NS);
    if (fake_strike(w, FAKE_DISK_SLOW, w->opt.faults.disk_slow))
        ns *= 10 + firn_fake_strike_random(w) % 991;
    if (names_are_valid(req))
        fake_event_at(w, &op->effect, w->now_ns + ns / 2);
    else
        fail_req(op, FIRN_INVALID, "a name or length that the port does not take");
    fake_event_at(w, &op->done, w->now_ns + ns);
}

static const struct firn_disk_vt disk_vt = {.submit = disk_submit};

/* ---- machines */

void fake_disk_init(struct firn_fake_node *n, struct fake_disk *of)
{
    firn_list_init(&n->files);
    firn_list_init(&n->disk_ops);
    n->disk = of;
    if (of)
        return;
    n->disk = fake_alloc(sizeof *n->disk);
    n->disk->w = n->world;
    n->disk->rng.state = n->world->opt.seed ^ UINT64_C(0xd15c) << 32 ^ n->index;
    firn_list_init(&n->disk->changes);
    firn_list_push(&n->world->disks, &n->disk->link);
}

void fake_disk_forget(struct firn_fake_node *n)
{
    while (!firn_list_empty(&n->disk_ops)) {
        struct disk_op *op = FIRN_CONTAINER(n->disk_ops.next, struct disk_op, link);
        op->req->priv = NULL;
        op_free(op);
    }
    while (!firn_list_empty(&n->files))
        file_close(n->disk, FIRN_CONTAINER(n->files.next, struct firn_disk_file, link));
}

void fake_disk_free_all(struct firn_fake_world *w)
{
    struct firn_list *l;
    while ((l = firn_list_pop(&w->disks)) != NULL) {
        struct fake_disk *d = FIRN_CONTAINER(l, struct fake_disk, link);
        settle_names(d, never);
        while (d->now.head[0])
            bind(d, &d->now, d->now.head[0]->name, NULL);
        while (d->safe.head[0])
            bind(d, &d->safe, d->safe.head[0]->name, NULL);
        free(d);
    }
}

const struct firn_disk *firn_fake_disk(struct firn_fake_node *n)
{
    n->disk_port.vt = &disk_vt;
    n->disk_port.ctx = n;
    (void)snprintf(n->disk_port.path, sizeof n->disk_port.path, "disk of n%u", n->index);
    return &n->disk_port;
}

void firn_fake_disk_limit(struct firn_fake_node *n, uint64_t bytes)
{
    n->disk->limit = bytes;
}

bool firn_fake_disk_rot(struct firn_fake_node *n, const char *name, uint64_t offset, uint8_t mask)
{
    struct fake_file *f = named(&n->disk->now, name);
    if (!f || offset >= f->now_len)
        return false;
    f->now[offset] ^= mask;
    make_safe(f, (size_t)offset, (size_t)offset + 1);
    return true;
}

bool firn_fake_disk_get(struct firn_fake_node *n, const char *name, struct firn_slice *body)
{
    const struct fake_file *f = named(&n->disk->now, name);
    if (f)
        *body = firn_slice_of(f->now, f->now_len);
    return f != NULL;
}
