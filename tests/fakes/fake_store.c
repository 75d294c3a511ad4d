/* The store in memory: objects, multipart uploads, and requests on their way there and back. */
#include "fakes/fake_priv.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define LATE_MAX_NS (60 * FIRN_SEC)
#define REPLY_MAX (UINT64_C(256) << 20)
#define PART_MIN ((size_t)5 << 20)
#define PARTS_MAX 10000

struct fake_object {
    struct fake_body *body;
};

struct fake_upload {
    char *name;
    struct fake_body **part; /* by number - 1 */
    size_t parts;
};

/* What came of a request. */
struct outcome {
    enum firn_status status;
    int http;
    bool slow_down;
    const char *why;
    char etag[FIRN_OS_ETAG_MAX];
    char upload_id[64];
    struct fake_body *body; /* GET: the bytes [from, from + len) of it */
    size_t from, len;
    uint64_t size;
    char **name; /* LIST: whole names */
    uint64_t *name_size;
    size_t names;
    char *next;
    int64_t date_ms;
};

/* A request on its way: a copy of everything it needs, for it may outlive its caller. */
struct fake_op {
    struct fake_event effect, reply;
    struct firn_list in_node; /* node->ops while the reply is to come */
    struct firn_list in_held;
    struct firn_fake_node *node;
    struct firn_os_req *req; /* NULL once it was answered or its caller died */
    enum firn_os_op op;
    enum firn_os_cond cond;
    char *name, *etag, *cursor, *start_after, *upload_id;
    char **list; /* keys or part etags */
    size_t list_count;
    uint32_t part_number;
    uint64_t offset, length, reply_max;
    struct fake_body *body;
    uint64_t deadline_ns, again_ns; /* again_ns: then a second effect; 0 = none */
    enum firn_fake_fate fate;
    bool lost; /* no reply will be had */
    bool loser_500;
    bool second; /* the reply is that of the second effect */
    bool want;   /* the next effect decides the reply */
    struct outcome out;
};

/* ---- bodies */

struct fake_body *fake_body_new(const void *data, size_t len)
{
    struct fake_body *b = fake_alloc(sizeof *b + len);
    b->refs = 1;
    b->len = len;
    if (len)
        memcpy(b->data, data, len);
    return b;
}

struct fake_body *fake_body_ref(struct fake_body *b)
{
    b->refs++;
    return b;
}

void fake_body_unref(struct fake_body *b)
{
    if (b && --b->refs == 0)
        free(b);
}

static void etag_of(const struct fake_body *b, char out[FIRN_OS_ETAG_MAX])
{
    (void)snprintf(out, FIRN_OS_ETAG_MAX, "\"%016llx-%zx\"",
                   (unsigned long long)firn_xxh3(b->data, b->len), b->len);
}

static void object_set(struct firn_fake_world *w, const char *name, struct fake_body *b)
{
    void **slot = fake_tree_put(&w->objects, name);
    if (!*slot)
        *slot = fake_alloc(sizeof(struct fake_object));
    struct fake_object *o = *slot;
    fake_body_unref(o->body);
    o->body = fake_body_ref(b);
}

static bool object_remove(struct firn_fake_world *w, const char *name)
{
    struct fake_object *o = fake_tree_remove(&w->objects, name);
    if (!o)
        return false;
    fake_body_unref(o->body);
    free(o);
    return true;
}

static struct fake_object *object_of(const struct firn_fake_world *w, const char *name)
{
    struct fake_tree_node *t = fake_tree_find(&w->objects, name);
    return t ? t->value : NULL;
}

/* ---- operations */

static void outcome_clear(struct outcome *o)
{
    fake_body_unref(o->body);
    for (size_t i = 0; i < o->names; i++)
        free(o->name[i]);
    free(o->name);
    free(o->name_size);
    free(o->next);
    *o = (struct outcome){0};
}

static void op_free(struct fake_op *op)
{
    outcome_clear(&op->out);
    fake_body_unref(op->body);
    for (size_t i = 0; i < op->list_count; i++)
        free(op->list[i]);
    free(op->list);
    free(op->name);
    free(op->etag);
    free(op->cursor);
    free(op->start_after);
    free(op->upload_id);
    free(op);
}

/* Free the operation once neither an effect nor a reply nor a release can come. */
static void op_settle(struct fake_op *op)
{
    bool effect = op->effect.heap.pos != 0 || !firn_list_empty(&op->in_held);
    if (!effect && !op->req)
        op_free(op);
}

static bool is_write(enum firn_os_op op)
{
    return op != FIRN_OS_GET && op != FIRN_OS_HEAD && op != FIRN_OS_LIST;
}

static void fail(struct outcome *o, enum firn_status s, int http, const char *why)
{
    o->status = s;
    o->http = http;
    o->why = why;
}

static void do_get(struct firn_fake_world *w, struct fake_op *op, struct outcome *o)
{
    struct fake_object *obj = object_of(w, op->name);
    if (!obj) {
        fail(o, FIRN_ABSENT, 404, "no such object");
        return;
    }
    o->size = obj->body->len;
    etag_of(obj->body, o->etag);
    if (op->cond == FIRN_OS_IF_NONE_MATCH && strcmp(op->etag, o->etag) == 0) {
        fail(o, FIRN_UNCHANGED, 304, "");
        return;
    }
    if (op->op == FIRN_OS_HEAD)
        return;
    if (op->length && op->offset >= o->size) {
        fail(o, FIRN_INVALID, 416, "range not satisfiable");
        return;
    }
    o->from = op->length ? (size_t)op->offset : 0;
    o->len = obj->body->len - o->from;
    if (op->length && op->length < o->len)
        o->len = (size_t)op->length;
    o->body = fake_body_ref(obj->body);
}

/* Whether the condition of a PUT holds; else the outcome is set. */
static bool condition_holds(struct firn_fake_world *w, struct fake_op *op, struct outcome *o)
{
    struct fake_object *obj = object_of(w, op->name);
    if (op->cond == FIRN_OS_IF_ABSENT && obj && !w->opt.ignores_if_none_match) {
        fail(o, FIRN_CONFLICT, 412, "precondition failed");
        return false;
    }
    if (op->cond != FIRN_OS_IF_MATCH || w->opt.ignores_if_match)
        return true;
    if (!obj && !w->opt.if_match_missing_412) {
        fail(o, FIRN_ABSENT, 404, "no such object");
        return false;
    }
    char etag[FIRN_OS_ETAG_MAX] = "";
    if (obj)
        etag_of(obj->body, etag);
    const char *have = etag, *want = op->etag;
    char bare[FIRN_OS_ETAG_MAX];
    if (w->opt.if_match_bare && have[0]) {
        (void)snprintf(bare, sizeof bare, "%.*s", (int)strlen(have) - 2, have + 1);
        have = bare;
    }
    if (!obj || strcmp(have, want) != 0) {
        fail(o, FIRN_CONFLICT, 412, "precondition failed");
        return false;
    }
    return true;
}

static void do_put(struct firn_fake_world *w, struct fake_op *op, struct outcome *o)
{
    if (!condition_holds(w, op, o)) {
        if (op->loser_500)
            fail(o, FIRN_UNCERTAIN, 500, "internal error");
        return;
    }
    object_set(w, op->name, op->body);
    etag_of(op->body, o->etag);
}

static void do_delete_many(struct firn_fake_world *w, struct fake_op *op, struct outcome *o)
{
    if (w->opt.no_delete_many || op->list_count > FIRN_OS_DELETE_MANY_MAX) {
        fail(o, FIRN_INVALID, w->opt.no_delete_many ? 501 : 400, "multi-delete refused");
        return;
    }
    for (size_t i = 0; i < op->list_count; i++)
        (void)object_remove(w, op->list[i]);
}

static size_t page_max(const struct firn_fake_world *w)
{
    size_t n = w->opt.list_page ? w->opt.list_page : FIRN_OS_LIST_MAX;
    return n > FIRN_OS_LIST_MAX ? FIRN_OS_LIST_MAX : n;
}

static void list_add(struct outcome *o, const struct fake_tree_node *t)
{
    o->name[o->names] = fake_strdup(t->name);
    o->name_size[o->names++] = ((const struct fake_object *)t->value)->body->len;
}

static void list_sorted(struct firn_fake_world *w, struct fake_op *op, struct outcome *o)
{
    size_t max = page_max(w), plen = strlen(op->name);
    const char *from = op->name;
    bool behind = false;
    if (op->start_after && strcmp(op->start_after, from) > 0) {
        from = op->start_after;
        behind = true;
    }
    if (op->cursor) {
        from = op->cursor;
        behind = true;
    }
    struct fake_tree_node *t = fake_tree_seek(&w->objects, from, behind);
    for (; t && strncmp(t->name, op->name, plen) == 0; t = fake_tree_next(t)) {
        if (o->names == max) {
            o->next = fake_strdup(o->name[o->names - 1]);
            return;
        }
        list_add(o, t);
    }
}

struct unsorted {
    uint64_t hash;
    const struct fake_tree_node *t;
};

static int unsorted_cmp(const void *a, const void *b)
{
    const struct unsorted *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Any order that stays the same from page to page: by a hash of the name. O(n log n). */
static void list_unsorted(struct firn_fake_world *w, struct fake_op *op, struct outcome *o)
{
    size_t max = page_max(w), plen = strlen(op->name), n = 0;
    uint64_t behind = op->cursor ? strtoull(op->cursor, NULL, 16) : 0;
    struct unsorted *all = fake_alloc((w->objects.count + 1) * sizeof *all);
    struct fake_tree_node *t = fake_tree_seek(&w->objects, op->name, false);
    for (; t && strncmp(t->name, op->name, plen) == 0; t = fake_tree_next(t)) {
        uint64_t h = firn_xxh3_seed(t->name, strlen(t->name), w->opt.seed);
        if (h > behind)
            all[n++] = (struct unsorted){h, t};
    }
    qsort(all, n, sizeof *all, unsorted_cmp);
    for (size_t i = 0; i < n && i < max; i++)
        list_add(o, all[i].t);
    if (n > max) {
        o->next = fake_alloc(17);
        (void)snprintf(o->next, 17, "%016llx", (unsigned long long)all[max - 1].hash);
    }
    free(all);
}

static void do_list(struct firn_fake_world *w, struct fake_op *op, struct outcome *o)
{
    o->name = fake_alloc(page_max(w) * sizeof *o->name);
    o->name_size = fake_alloc(page_max(w) * sizeof *o->name_size);
    if (w->opt.list_unsorted)
        list_unsorted(w, op, o);
    else
        list_sorted(w, op, o);
}

/* ---- multipart */

static void upload_free(struct fake_upload *u)
{
    for (size_t i = 0; i < u->parts; i++)
        fake_body_unref(u->part[i]);
    free(u->part);
    free(u->name);
    free(u);
}

static void do_mp_create(struct firn_fake_world *w, struct fake_op *op, struct outcome *o)
{
    (void)snprintf(o->upload_id, sizeof o->upload_id, "up-%llu",
                   (unsigned long long)++w->upload_seq);
    struct fake_upload *u = fake_alloc(sizeof *u);
    u->name = fake_strdup(op->name);
    *fake_tree_put(&w->uploads, o->upload_id) = u;
}

static struct fake_upload *upload_of(struct firn_fake_world *w, struct fake_op *op,
                                     struct outcome *o)
{
    struct fake_tree_node *t = fake_tree_find(&w->uploads, op->upload_id);
    struct fake_upload *u = t ? t->value : NULL;
    if (u && strcmp(u->name, op->name) == 0)
        return u;
    fail(o, FIRN_ABSENT, 404, "no such upload");
    return NULL;
}

static void do_mp_part(struct firn_fake_world *w, struct fake_op *op, struct outcome *o)
{
    struct fake_upload *u = upload_of(w, op, o);
    if (!u)
        return;
    if (op->part_number < 1 || op->part_number > PARTS_MAX) {
        fail(o, FIRN_INVALID, 400, "part number out of range");
        return;
    }
    if (op->part_number > u->parts) {
        struct fake_body **p = realloc(u->part, op->part_number * sizeof(struct fake_body *));
        FIRN_ASSERT(p != NULL);
        u->part = p;
        while (u->parts < op->part_number)
            p[u->parts++] = NULL;
    }
    fake_body_unref(u->part[op->part_number - 1]);
    u->part[op->part_number - 1] = fake_body_ref(op->body);
    etag_of(op->body, o->etag);
}

static bool parts_match(const struct fake_upload *u, const struct fake_op *op)
{
    if (op->list_count == 0 || op->list_count > u->parts)
        return false;
    for (size_t i = 0; i < op->list_count; i++) {
        char etag[FIRN_OS_ETAG_MAX] = "";
        if (u->part[i])
            etag_of(u->part[i], etag);
        bool small = u->part[i] && u->part[i]->len < PART_MIN && i + 1 < op->list_count;
        if (strcmp(etag, op->list[i]) != 0 || small)
            return false;
    }
    return true;
}

static void do_mp_complete(struct firn_fake_world *w, struct fake_op *op, struct outcome *o)
{
    struct fake_upload *u = upload_of(w, op, o);
    if (!u)
        return;
    if (!parts_match(u, op)) {
        fail(o, FIRN_INVALID, 400, "a part is missing, too small or not the one named");
        return;
    }
    size_t len = 0;
    for (size_t i = 0; i < op->list_count; i++)
        len += u->part[i]->len;
    struct fake_body *b = fake_alloc(sizeof *b + len);
    b->refs = 1;
    for (size_t i = 0; i < op->list_count; i++) {
        if (u->part[i]->len)
            memcpy(b->data + b->len, u->part[i]->data, u->part[i]->len);
        b->len += u->part[i]->len;
    }
    object_set(w, op->name, b);
    etag_of(b, o->etag);
    fake_body_unref(b);
    upload_free(fake_tree_remove(&w->uploads, op->upload_id));
}

static void do_mp_abort(struct firn_fake_world *w, struct fake_op *op, struct outcome *o)
{
    if (upload_of(w, op, o))
        upload_free(fake_tree_remove(&w->uploads, op->upload_id));
}

/* ---- a request takes effect */

static void apply(struct firn_fake_world *w, struct fake_op *op, struct outcome *o)
{
    static void (*const act[FIRN_OS_OPS])(struct firn_fake_world *, struct fake_op *,
                                          struct outcome *) = {
        [FIRN_OS_GET] = do_get,           [FIRN_OS_HEAD] = do_get,
        [FIRN_OS_PUT] = do_put,           [FIRN_OS_DELETE_MANY] = do_delete_many,
        [FIRN_OS_LIST] = do_list,         [FIRN_OS_MP_CREATE] = do_mp_create,
        [FIRN_OS_MP_PART] = do_mp_part,   [FIRN_OS_MP_COMPLETE] = do_mp_complete,
        [FIRN_OS_MP_ABORT] = do_mp_abort,
    };
    o->status = FIRN_OK;
    o->http = 200;
    if (op->op == FIRN_OS_DELETE)
        (void)object_remove(w, op->name); /* S3: OK whether it was there or not */
    else
        act[op->op](w, op, o);
    if (!w->opt.no_date) {
        int64_t skew = (int64_t)w->opt.date_skew_ms;
        int64_t off = skew ? (int64_t)fake_below(w, (uint64_t)(2 * skew)) - skew : 0;
        o->date_ms = ((int64_t)firn_fake_true_ms(w) + off) / 1000 * 1000;
    }
}

void fake_store_effect(struct firn_fake_world *w, void *arg)
{
    struct fake_op *op = arg;
    struct outcome o = {0};
    apply(w, op, &o);
    fake_trace(w, (uint64_t)op->op * 64 + (uint64_t)o.status,
               firn_xxh3(op->name, strlen(op->name)));
    if (w->on_effect)
        w->on_effect(w->on_effect_arg, op->node->index, op->op, op->name,
                     op->body ? firn_slice_of(op->body->data, op->body->len)
                              : firn_slice_of(NULL, 0),
                     o.status);
    bool last = op->again_ns == 0;
    if (op->want && (!op->second || last)) {
        op->out = o;
        op->want = false;
    } else {
        outcome_clear(&o);
    }
    if (!last) {
        fake_event_at(w, &op->effect, op->again_ns);
        op->again_ns = 0;
    }
    op_settle(op);
}

/* ---- the reply */

/* Hand the outcome's page over. Names below the node's prefix, as the port wants. */
static void deliver_page(struct fake_op *op, struct firn_os_req *req)
{
    size_t skip = strlen(op->node->prefix);
    req->page.entry = firn_calloc(op->out.names, sizeof *req->page.entry);
    for (size_t i = 0; req->page.entry && i < op->out.names; i++) {
        req->page.entry[i].key = firn_strdup(op->out.name[i] + skip);
        req->page.entry[i].size = op->out.name_size[i];
        if (!req->page.entry[i].key)
            break;
        req->page.count++;
    }
    if (op->out.next)
        req->page.next = firn_strdup(op->out.next);
    if (req->page.count < op->out.names || !req->page.entry || (op->out.next && !req->page.next)) {
        firn_os_req_clear(req);
        req->status = firn_fail(&req->err, FIRN_LIMIT, "out of memory");
    }
}

static void deliver_body(struct firn_fake_world *w, struct fake_op *op, struct firn_os_req *req)
{
    uint64_t max = op->reply_max ? op->reply_max : REPLY_MAX;
    firn_buf_init(&req->reply, max);
    if (firn_buf_append(&req->reply, op->out.body->data + op->out.from, op->out.len) != FIRN_OK) {
        req->status = firn_fail(&req->err, FIRN_LIMIT, "body of %zu bytes", op->out.len);
        return;
    }
    if (op->fate == FIRN_FAKE_SHORT_READ && req->reply.len) {
        req->reply.len = (size_t)fake_below(w, req->reply.len);
        req->status = firn_fail(&req->err, FIRN_CORRUPT, "body shorter than announced");
    }
    if (op->fate == FIRN_FAKE_BIT_FLIP && req->reply.len) {
        uint64_t bit = fake_below(w, req->reply.len * 8);
        req->reply.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static void deliver(struct firn_fake_world *w, struct fake_op *op, struct firn_os_req *req)
{
    const struct outcome *o = &op->out;
    req->status = o->status;
    req->http_status = o->http;
    req->slow_down = o->slow_down;
    req->date_ms = o->date_ms;
    req->size = o->size;
    memcpy(req->reply_etag, o->etag, sizeof req->reply_etag);
    (void)snprintf(req->upload_id_out, sizeof req->upload_id_out, "%s", o->upload_id);
    bool quiet = o->status == FIRN_OK || o->status == FIRN_ABSENT || o->status == FIRN_UNCHANGED ||
                 o->status == FIRN_CONFLICT;
    if (!quiet)
        (void)firn_fail(&req->err, o->status, "%s of %s: %s", firn_os_op_name(op->op), op->name,
                        o->why ? o->why : "failed");
    if (o->status == FIRN_OK && op->op == FIRN_OS_LIST)
        deliver_page(op, req);
    if (o->body)
        deliver_body(w, op, req);
}

void fake_store_reply(struct firn_fake_world *w, void *arg)
{
    struct fake_op *op = arg;
    struct firn_os_req *req = op->req;
    op->req = NULL;
    firn_list_remove(&op->in_node);
    w->in_flight--;
    req->priv = NULL;
    firn_os_req_clear(req);
    if (op->lost || op->want) {
        bool write = is_write(op->op);
        outcome_clear(&op->out);
        fail(&op->out, write ? FIRN_UNCERTAIN : FIRN_TRANSIENT, 0, "no reply");
    }
    op->want = false;
    deliver(w, op, req);
    fake_trace(w, 4096 + (uint64_t)req->status, op->node->index);
    op_settle(op);
    req->done(req);
}

/* ---- submit: what will become of it is decided here */

static enum firn_fake_fate random_fate(struct firn_fake_world *w, const struct fake_op *op)
{
    const struct firn_fake_faults *f = &w->opt.faults;
    bool put = op->op == FIRN_OS_PUT, get = op->op == FIRN_OS_GET, write = is_write(op->op);
    bool repeats = put || op->op == FIRN_OS_DELETE || op->op == FIRN_OS_DELETE_MANY;
    bool cond = put && op->cond != FIRN_OS_ALWAYS;
    bool coin = fake_below(w, 2) != 0;
    const struct {
        uint32_t ppm;
        bool can;
        enum firn_fake_fate fate;
    } t[] = {
        {f->lost_before, true, coin ? FIRN_FAKE_DROP : FIRN_FAKE_RESET},
        {f->lost_after, true, coin ? FIRN_FAKE_LOSE_REPLY : FIRN_FAKE_RESET_DONE},
        {f->late, write, FIRN_FAKE_LATE},
        {f->twice, repeats, coin ? FIRN_FAKE_TWICE : FIRN_FAKE_TWICE_SECOND},
        {f->err_500, true, coin || !write ? FIRN_FAKE_500 : FIRN_FAKE_500_DONE},
        {f->err_503, true, FIRN_FAKE_503},
        {f->err_409, cond, FIRN_FAKE_409},
        {f->refused, true, FIRN_FAKE_REFUSED},
        {f->short_read, get, FIRN_FAKE_SHORT_READ},
        {f->bit_flip, get, FIRN_FAKE_BIT_FLIP},
    };
    uint64_t r = fake_below(w, 1000000);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        if (!t[i].can)
            continue;
        if (r < t[i].ppm)
            return t[i].fate;
        r -= t[i].ppm;
    }
    return FIRN_FAKE_CLEAN;
}

static uint64_t latency(struct firn_fake_world *w, const struct fake_op *op)
{
    const struct firn_fake_options *o = &w->opt;
    uint64_t ns = o->latency_min_ns + fake_below(w, o->latency_max_ns - o->latency_min_ns + 1);
    if (o->bytes_per_sec) {
        uint64_t bytes = op->body ? op->body->len : 0;
        if (op->op == FIRN_OS_GET) {
            struct fake_object *obj = object_of(w, op->name);
            bytes = obj ? obj->body->len : 0;
            if (op->length && op->length < bytes)
                bytes = op->length;
        }
        ns += bytes * FIRN_SEC / o->bytes_per_sec;
    }
    if (fake_chance(w, o->faults.slow))
        ns *= 10 + fake_below(w, 91);
    return ns;
}

static void set_outcome(struct fake_op *op, enum firn_status s, int http, const char *why)
{
    fail(&op->out, s, http, why);
    op->want = false;
}

/* Answers that come without the request taking effect. False: it does take effect. */
static bool fate_without_effect(struct fake_op *op)
{
    bool write = is_write(op->op);
    switch (op->fate) {
    case FIRN_FAKE_REFUSED:
        set_outcome(op, FIRN_TRANSIENT, 0, "connection refused");
        return true;
    case FIRN_FAKE_409:
        set_outcome(op, FIRN_TRANSIENT, 409, "conditional request conflict");
        return true;
    case FIRN_FAKE_500:
        set_outcome(op, write ? FIRN_UNCERTAIN : FIRN_TRANSIENT, 500, "internal error");
        return true;
    case FIRN_FAKE_503:
        set_outcome(op, FIRN_TRANSIENT, 503, "slow down");
        op->out.slow_down = true;
        return true;
    case FIRN_FAKE_DENIED:
        set_outcome(op, FIRN_DENIED, 403, "access denied");
        return true;
    case FIRN_FAKE_DROP:
    case FIRN_FAKE_RESET:
        op->lost = true;
        return true;
    default:
        return false;
    }
}

static void schedule(struct firn_fake_world *w, struct fake_op *op,
                     const struct firn_fake_plan *plan)
{
    uint64_t lat = latency(w, op);
    uint64_t there = lat / 4 + fake_below(w, lat / 2 + 1) + plan->delay_ns / 2;
    uint64_t effect = w->now_ns + there, reply = w->now_ns + lat + plan->delay_ns;
    uint64_t late_max = w->opt.late_max_ns ? w->opt.late_max_ns : LATE_MAX_NS;
    uint64_t late = plan->late_ns ? plan->late_ns : 1 + fake_below(w, late_max);
    op->want = true;
    if (fate_without_effect(op)) {
        effect = UINT64_MAX;
    } else if (op->fate == FIRN_FAKE_LATE) {
        op->lost = true;
        effect = op->deadline_ns + late;
    } else if (op->fate == FIRN_FAKE_TWICE) {
        op->again_ns = effect + late;
    } else if (op->fate == FIRN_FAKE_TWICE_SECOND) {
        op->again_ns = effect + 1;
        op->second = true;
    } else if (op->fate == FIRN_FAKE_500_DONE) {
        set_outcome(op, FIRN_UNCERTAIN, 500, "internal error");
    } else if (op->fate == FIRN_FAKE_LOSE_REPLY || op->fate == FIRN_FAKE_RESET_DONE) {
        op->lost = true;
    }
    bool by_timeout = op->fate == FIRN_FAKE_DROP || op->fate == FIRN_FAKE_LOSE_REPLY ||
                      op->fate == FIRN_FAKE_LATE || op->fate == FIRN_FAKE_HOLD;
    if (by_timeout || reply > op->deadline_ns) {
        op->lost = op->lost || op->fate != FIRN_FAKE_HOLD;
        reply = op->deadline_ns;
    }
    if (op->fate == FIRN_FAKE_HOLD) {
        firn_list_push(&w->held, &op->in_held);
        w->held_count++;
    } else if (effect != UINT64_MAX) {
        fake_event_at(w, &op->effect, effect);
    }
    fake_event_at(w, &op->reply, reply);
}

static char *copy_or_null(const char *s)
{
    return s ? fake_strdup(s) : NULL;
}

/* The node's prefix and a name below it. */
static char *whole_name(const struct firn_fake_node *n, const char *key)
{
    size_t len = strlen(n->prefix) + strlen(key) + 1;
    char *s = fake_alloc(len);
    (void)snprintf(s, len, "%s%s", n->prefix, key);
    return s;
}

static void copy_list(struct fake_op *op, const struct firn_os_req *req)
{
    bool keys = req->op == FIRN_OS_DELETE_MANY;
    const char *const *from = keys ? req->keys : req->part_etags;
    size_t n = keys ? req->nkeys : req->op == FIRN_OS_MP_COMPLETE ? req->nparts : 0;
    op->list = n ? fake_alloc(n * sizeof *op->list) : NULL;
    for (size_t i = 0; i < n; i++)
        op->list[i] = keys ? whole_name(op->node, from[i]) : fake_strdup(from[i]);
    op->list_count = n;
}

/* The ETag as this node's adapter would send it. */
static char *etag_to_send(const struct firn_fake_node *n, const struct firn_os_req *req)
{
    size_t len = req->etag ? strlen(req->etag) : 0;
    if (req->cond == FIRN_OS_IF_MATCH && n->if_match_bare && len >= 2 && req->etag[0] == '"') {
        char *s = fake_strdup(req->etag + 1);
        s[len - 2] = '\0';
        return s;
    }
    return copy_or_null(req->etag);
}

static struct fake_op *op_new(struct firn_fake_node *n, struct firn_os_req *req)
{
    struct fake_op *op = fake_alloc(sizeof *op);
    op->node = n;
    op->req = req;
    op->op = req->op;
    op->cond = req->cond;
    op->effect = (struct fake_event){.kind = FAKE_EFFECT, .arg = op};
    op->reply = (struct fake_event){.kind = FAKE_REPLY, .node = n, .arg = op};
    firn_list_init(&op->effect.held);
    firn_list_init(&op->reply.held);
    firn_list_init(&op->in_held);
    op->name = whole_name(n, req->key ? req->key : "");
    op->etag = etag_to_send(n, req);
    op->cursor = copy_or_null(req->cursor);
    op->start_after = req->start_after ? whole_name(n, req->start_after) : NULL;
    op->upload_id = copy_or_null(req->upload_id);
    copy_list(op, req);
    op->part_number = req->part_number;
    op->offset = req->offset;
    op->length = req->length;
    op->reply_max = req->reply_max;
    if (req->op == FIRN_OS_PUT || req->op == FIRN_OS_MP_PART)
        op->body = fake_body_new(req->body.data, req->body.len);
    return op;
}

static void check_req(const struct firn_os_req *req)
{
    FIRN_ASSERT(req->op < FIRN_OS_OPS && req->done && req->timeout_ns);
    FIRN_ASSERT(!req->priv); /* not under way already */
    FIRN_ASSERT(req->key || req->op == FIRN_OS_DELETE_MANY);
    FIRN_ASSERT(!req->key || strlen(req->key) <= FIRN_OS_KEY_MAX);
    bool etag = req->cond == FIRN_OS_IF_MATCH || req->cond == FIRN_OS_IF_NONE_MATCH;
    FIRN_ASSERT(!etag || req->etag);
    FIRN_ASSERT(req->cond == FIRN_OS_ALWAYS || req->op == FIRN_OS_PUT || req->op == FIRN_OS_GET);
}

static void store_submit(void *ctx, struct firn_os_req *req)
{
    struct firn_fake_node *n = ctx;
    struct firn_fake_world *w = n->world;
    if (n->dead)
        return;
    check_req(req);
    w->requests[req->op]++;
    w->requests[FIRN_OS_OPS]++;
    w->in_flight++;
    struct firn_fake_plan plan = {.fate = FIRN_FAKE_RANDOM};
    if (w->on_request)
        w->on_request(w->on_request_arg, n, req, &plan);
    struct fake_op *op = op_new(n, req);
    req->priv = op;
    firn_list_push(&n->ops, &op->in_node);
    op->deadline_ns = w->now_ns + req->timeout_ns;
    if (op->deadline_ns < w->now_ns)
        op->deadline_ns = UINT64_MAX / 2;
    if (n->cut)
        plan = (struct firn_fake_plan){.fate = FIRN_FAKE_RESET};
    op->fate = plan.fate == FIRN_FAKE_RANDOM ? random_fate(w, op) : plan.fate;
    op->loser_500 = plan.fate == FIRN_FAKE_RANDOM && fake_chance(w, w->opt.faults.loser_500);
    schedule(w, op, &plan);
}

/* The caller wants to hear soon; what was sent goes on its way. */
static void store_cancel(void *ctx, struct firn_os_req *req)
{
    struct firn_fake_node *n = ctx;
    struct fake_op *op = req->priv;
    if (n->dead || !op || !firn_list_empty(&op->reply.held))
        return;
    op->lost = true;
    uint64_t soon = n->world->now_ns + 1;
    if (op->reply.heap.key > soon)
        fake_event_at(n->world, &op->reply, soon);
}

static void store_set_dialect(void *ctx, const struct firn_os_dialect *d)
{
    struct firn_fake_node *n = ctx;
    n->if_match_bare = d->if_match_bare;
}

static const struct firn_objstore_vt store_vt = {
    .submit = store_submit,
    .cancel = store_cancel,
    .set_dialect = store_set_dialect,
};

void fake_store_init(struct firn_fake_node *n)
{
    n->store = (struct firn_objstore){.vt = &store_vt, .ctx = n, .is_remote = true};
    (void)snprintf(n->store.url, sizeof n->store.url, "fake://%s", n->prefix);
}

void fake_store_forget(struct firn_fake_node *n)
{
    struct firn_list *l;
    while ((l = firn_list_pop(&n->ops)) != NULL) {
        struct fake_op *op = FIRN_CONTAINER(l, struct fake_op, in_node);
        fake_event_cancel(n->world, &op->reply);
        op->req->priv = NULL;
        op->req = NULL;
        n->world->in_flight--;
        op_settle(op);
    }
}

void fake_store_cut(struct firn_fake_node *n)
{
    FIRN_LIST_EACH(l, nx, &n->ops)
    {
        FIRN_CONTAINER(l, struct fake_op, in_node)->lost = true;
    }
}

size_t firn_fake_release(struct firn_fake_world *w, const char *prefix, size_t max)
{
    size_t n = 0, plen = prefix ? strlen(prefix) : 0;
    FIRN_LIST_EACH(l, nx, &w->held)
    {
        struct fake_op *op = FIRN_CONTAINER(l, struct fake_op, in_held);
        if (n == max)
            break;
        if (plen && strncmp(op->name, prefix, plen) != 0)
            continue;
        n++;
        w->held_count--;
        firn_list_remove(&op->in_held);
        uint64_t lat = latency(w, op);
        fake_event_at(w, &op->effect, w->now_ns + lat / 2);
        if (op->reply.heap.pos && op->reply.heap.key > w->now_ns + lat)
            fake_event_at(w, &op->reply, w->now_ns + lat);
    }
    return n;
}

size_t firn_fake_held(const struct firn_fake_world *w)
{
    return w->held_count;
}

void fake_store_drop_event(void *arg, enum fake_event_kind kind)
{
    struct fake_op *op = arg;
    FIRN_ASSERT(kind == FAKE_EFFECT || !op->req);
    if (kind == FAKE_EFFECT)
        op_settle(op);
}

void fake_store_free(struct firn_fake_world *w)
{
    struct firn_list *l;
    while ((l = firn_list_pop(&w->held)) != NULL)
        op_settle(FIRN_CONTAINER(l, struct fake_op, in_held));
    while (w->objects.head[0])
        (void)object_remove(w, w->objects.head[0]->name);
    while (w->uploads.head[0])
        upload_free(fake_tree_remove(&w->uploads, w->uploads.head[0]->name));
}

/* ---- hooks and peeks */

void firn_fake_on_request(struct firn_fake_world *w,
                          void (*fn)(void *arg, struct firn_fake_node *n,
                                     const struct firn_os_req *req, struct firn_fake_plan *plan),
                          void *arg)
{
    w->on_request = fn;
    w->on_request_arg = arg;
}

void firn_fake_on_effect(struct firn_fake_world *w,
                         void (*fn)(void *arg, unsigned node, enum firn_os_op op, const char *name,
                                    struct firn_slice body, enum firn_status status),
                         void *arg)
{
    w->on_effect = fn;
    w->on_effect_arg = arg;
}

bool firn_fake_get(const struct firn_fake_world *w, const char *name, struct firn_slice *body)
{
    struct fake_object *o = object_of(w, name);
    if (!o)
        return false;
    *body = firn_slice_of(o->body->data, o->body->len);
    return true;
}

void firn_fake_put(struct firn_fake_world *w, const char *name, const void *data, size_t len)
{
    struct fake_body *b = fake_body_new(data, len);
    object_set(w, name, b);
    fake_body_unref(b);
}

bool firn_fake_delete(struct firn_fake_world *w, const char *name)
{
    return object_remove(w, name);
}

const char *firn_fake_next(const struct firn_fake_world *w, const char *prefix, const char *after)
{
    bool behind = after && strcmp(after, prefix) >= 0;
    struct fake_tree_node *t = fake_tree_seek(&w->objects, behind ? after : prefix, behind);
    return t && strncmp(t->name, prefix, strlen(prefix)) == 0 ? t->name : NULL;
}

size_t firn_fake_count(const struct firn_fake_world *w, const char *prefix)
{
    size_t n = 0;
    const char *name = NULL;
    while ((name = firn_fake_next(w, prefix, name)) != NULL)
        n++;
    return n;
}

size_t firn_fake_uploads(const struct firn_fake_world *w)
{
    return w->uploads.count;
}

uint64_t firn_fake_requests(const struct firn_fake_world *w, enum firn_os_op op)
{
    return w->requests[op];
}

size_t firn_fake_in_flight(const struct firn_fake_world *w)
{
    return w->in_flight;
}
