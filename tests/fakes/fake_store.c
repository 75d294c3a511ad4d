/* The store in memory: objects, multipart uploads, and what a request does to them. */
#include "fakes/fake_priv.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

#define PART_MIN ((size_t)5 << 20)
#define PARTS_MAX 10000

struct fake_upload {
    char *name;
    struct fake_body **part; /* by number - 1 */
    size_t parts;
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

/* Hashing and printing it once per object is what makes reads cheap. */
const char *fake_body_etag(struct fake_body *b)
{
    if (!b->etag[0])
        (void)snprintf(b->etag, sizeof b->etag, "\"%016llx-%zx\"",
                       (unsigned long long)firn_xxh3(b->data, b->len), b->len);
    return b->etag;
}

static void tell_etag(struct fake_outcome *o, struct fake_body *b)
{
    memcpy(o->etag, fake_body_etag(b), sizeof b->etag);
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

struct fake_object *fake_object_of(const struct firn_fake_world *w, const char *name)
{
    struct fake_tree_node *t = fake_tree_find(&w->objects, name);
    return t ? t->value : NULL;
}

/* ---- what a request does */

static void do_get(struct firn_fake_world *w, struct fake_op *op, struct fake_outcome *o)
{
    struct fake_object *obj = fake_object_of(w, op->name);
    if (!obj) {
        fake_fail(o, FIRN_ABSENT, 404, "no such object");
        return;
    }
    o->size = obj->body->len;
    tell_etag(o, obj->body);
    if (op->cond == FIRN_OS_IF_NONE_MATCH && strcmp(op->etag, o->etag) == 0) {
        fake_fail(o, FIRN_UNCHANGED, 304, "");
        return;
    }
    if (op->op == FIRN_OS_HEAD)
        return;
    if (op->length && op->offset >= o->size) {
        fake_fail(o, FIRN_INVALID, 416, "range not satisfiable");
        return;
    }
    o->from = op->length ? (size_t)op->offset : 0;
    o->len = obj->body->len - o->from;
    if (op->length && op->length < o->len)
        o->len = (size_t)op->length;
    o->body = fake_body_ref(obj->body);
}

/* Whether the condition of a PUT holds; else the outcome is set. */
static bool condition_holds(struct firn_fake_world *w, struct fake_op *op, struct fake_outcome *o)
{
    struct fake_object *obj = fake_object_of(w, op->name);
    if (op->cond == FIRN_OS_IF_ABSENT && obj && !w->opt.ignores_if_none_match) {
        fake_fail(o, FIRN_CONFLICT, 412, "precondition failed");
        return false;
    }
    if (op->cond != FIRN_OS_IF_MATCH || w->opt.ignores_if_match)
        return true;
    if (!obj && !w->opt.if_match_missing_412) {
        fake_fail(o, FIRN_ABSENT, 404, "no such object");
        return false;
    }
    const char *have = obj ? fake_body_etag(obj->body) : "", *want = op->etag;
    char bare[FIRN_OS_ETAG_MAX];
    if (w->opt.if_match_bare && have[0]) {
        (void)snprintf(bare, sizeof bare, "%.*s", (int)strlen(have) - 2, have + 1);
        have = bare;
    }
    if (!obj || strcmp(have, want) != 0) {
        fake_fail(o, FIRN_CONFLICT, 412, "precondition failed");
        return false;
    }
    return true;
}

static void do_put(struct firn_fake_world *w, struct fake_op *op, struct fake_outcome *o)
{
    if (!condition_holds(w, op, o)) {
        if (op->by_chance && fake_strike(w, FAKE_LOSER_500, w->opt.faults.loser_500))
            fake_fail(o, FIRN_UNCERTAIN, 500, "internal error");
        return;
    }
    object_set(w, op->name, op->body);
    tell_etag(o, op->body);
}

/* What a request deletes. */
static void do_delete(struct firn_fake_world *w, const struct fake_op *op, const char *name)
{
    const struct fake_object *o = fake_object_of(w, name);
    if (o && w->on_delete)
        w->on_delete(w->on_delete_arg, op->node->index, name,
                     firn_slice_of(o->body->data, o->body->len));
    (void)object_remove(w, name);
}

static void do_delete_many(struct firn_fake_world *w, struct fake_op *op, struct fake_outcome *o)
{
    if (w->opt.no_delete_many || op->list_count > FIRN_OS_DELETE_MANY_MAX) {
        fake_fail(o, FIRN_INVALID, w->opt.no_delete_many ? 501 : 400, "multi-delete refused");
        return;
    }
    for (size_t i = 0; i < op->list_count; i++)
        do_delete(w, op, op->list[i]);
}

static size_t page_max(const struct firn_fake_world *w)
{
    size_t n = w->opt.list_page ? w->opt.list_page : FIRN_OS_LIST_MAX;
    return n > FIRN_OS_LIST_MAX ? FIRN_OS_LIST_MAX : n;
}

static void list_add(struct fake_outcome *o, const struct fake_tree_node *t)
{
    o->name[o->names] = fake_strdup(t->name);
    o->name_size[o->names++] = ((const struct fake_object *)t->value)->body->len;
}

static void list_sorted(struct firn_fake_world *w, struct fake_op *op, struct fake_outcome *o)
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
static void list_unsorted(struct firn_fake_world *w, struct fake_op *op, struct fake_outcome *o)
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

static void do_list(struct firn_fake_world *w, struct fake_op *op, struct fake_outcome *o)
{
    size_t room = w->objects.count < page_max(w) ? w->objects.count : page_max(w);
    o->name = fake_alloc(room * sizeof *o->name);
    o->name_size = fake_alloc(room * sizeof *o->name_size);
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

static void do_mp_create(struct firn_fake_world *w, struct fake_op *op, struct fake_outcome *o)
{
    (void)snprintf(o->upload_id, sizeof o->upload_id, "up-%llu",
                   (unsigned long long)++w->upload_seq);
    struct fake_upload *u = fake_alloc(sizeof *u);
    u->name = fake_strdup(op->name);
    *fake_tree_put(&w->uploads, o->upload_id) = u;
}

static struct fake_upload *upload_of(struct firn_fake_world *w, struct fake_op *op,
                                     struct fake_outcome *o)
{
    struct fake_tree_node *t = fake_tree_find(&w->uploads, op->upload_id);
    struct fake_upload *u = t ? t->value : NULL;
    if (u && strcmp(u->name, op->name) == 0)
        return u;
    fake_fail(o, FIRN_ABSENT, 404, "no such upload");
    return NULL;
}

static void do_mp_part(struct firn_fake_world *w, struct fake_op *op, struct fake_outcome *o)
{
    struct fake_upload *u = upload_of(w, op, o);
    if (!u)
        return;
    if (op->part_number < 1 || op->part_number > PARTS_MAX) {
        fake_fail(o, FIRN_INVALID, 400, "part number out of range");
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
    tell_etag(o, op->body);
}

static bool parts_match(const struct fake_upload *u, const struct fake_op *op)
{
    if (op->list_count == 0 || op->list_count > u->parts)
        return false;
    for (size_t i = 0; i < op->list_count; i++) {
        const char *etag = u->part[i] ? fake_body_etag(u->part[i]) : "";
        bool small = u->part[i] && u->part[i]->len < PART_MIN && i + 1 < op->list_count;
        if (strcmp(etag, op->list[i]) != 0 || small)
            return false;
    }
    return true;
}

static void do_mp_complete(struct firn_fake_world *w, struct fake_op *op, struct fake_outcome *o)
{
    struct fake_upload *u = upload_of(w, op, o);
    if (!u)
        return;
    if (!parts_match(u, op)) {
        fake_fail(o, FIRN_INVALID, 400, "a part is missing, too small or not the one named");
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
    tell_etag(o, b);
    fake_body_unref(b);
    upload_free(fake_tree_remove(&w->uploads, op->upload_id));
}

static void do_mp_abort(struct firn_fake_world *w, struct fake_op *op, struct fake_outcome *o)
{
    if (upload_of(w, op, o))
        upload_free(fake_tree_remove(&w->uploads, op->upload_id));
}

/* ---- a request takes effect */

static void apply(struct firn_fake_world *w, struct fake_op *op, struct fake_outcome *o)
{
    static void (*const act[FIRN_OS_OPS])(struct firn_fake_world *, struct fake_op *,
                                          struct fake_outcome *) = {
        [FIRN_OS_GET] = do_get,           [FIRN_OS_HEAD] = do_get,
        [FIRN_OS_PUT] = do_put,           [FIRN_OS_DELETE_MANY] = do_delete_many,
        [FIRN_OS_LIST] = do_list,         [FIRN_OS_MP_CREATE] = do_mp_create,
        [FIRN_OS_MP_PART] = do_mp_part,   [FIRN_OS_MP_COMPLETE] = do_mp_complete,
        [FIRN_OS_MP_ABORT] = do_mp_abort,
    };
    o->status = FIRN_OK;
    o->http = 200;
    if (op->op == FIRN_OS_DELETE)
        do_delete(w, op, op->name); /* S3: OK whether it was there or not */
    else
        act[op->op](w, op, o);
    if (!w->opt.no_date) {
        int64_t skew = (int64_t)w->opt.date_skew_ms;
        uint64_t r = fake_rng_next(&op->node->way);
        int64_t off = skew ? (int64_t)(r % (uint64_t)(2 * skew)) - skew : 0;
        o->date_ms = ((int64_t)firn_fake_true_ms(w) + off) / 1000 * 1000;
    }
}

void fake_store_effect(struct firn_fake_world *w, void *arg)
{
    struct fake_op *op = arg;
    struct fake_outcome o = {0};
    if (w->down) {
        firn_fake_say(w, op->node, "lost %s %s", firn_os_op_name(op->op), op->name);
        op->lost = true;
        fake_op_settle(op);
        return;
    }
    apply(w, op, &o);
    firn_fake_say(w, op->node, "%s %s: %s, %zu bytes", firn_os_op_name(op->op), op->name,
                  firn_status_name(o.status), op->body ? op->body->len : o.len);
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
        fake_outcome_clear(&o);
    }
    if (!last) {
        fake_event_at(w, &op->effect, op->again_ns);
        op->again_ns = 0;
    }
    fake_op_settle(op);
}

/* ---- hooks and peeks */

void firn_fake_store_down(struct firn_fake_world *w, bool down)
{
    fake_trace(w, FAKE_TRACE_NODE, down);
    firn_fake_say(w, NULL, down ? "the store is down" : "the store is up");
    w->down = down;
}

void fake_store_free(struct firn_fake_world *w)
{
    fake_held_free(w);
    while (w->objects.head[0])
        (void)object_remove(w, w->objects.head[0]->name);
    while (w->uploads.head[0])
        upload_free(fake_tree_remove(&w->uploads, w->uploads.head[0]->name));
}

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

void firn_fake_on_delete(struct firn_fake_world *w,
                         void (*fn)(void *arg, unsigned node, const char *name,
                                    struct firn_slice body),
                         void *arg)
{
    w->on_delete = fn;
    w->on_delete_arg = arg;
}

bool firn_fake_get(const struct firn_fake_world *w, const char *name, struct firn_slice *body)
{
    struct fake_object *o = fake_object_of(w, name);
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
