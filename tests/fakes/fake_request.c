/* Requests on their way to the store and back, and what befalls them there. */
#include "fakes/fake_priv.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define LATE_MAX_NS (60 * FIRN_SEC)
#define HEAVY_STEPS 24
#define REPLY_MAX (UINT64_C(256) << 20)

/* ---- operations */

void fake_outcome_clear(struct fake_outcome *o)
{
    fake_body_unref(o->body);
    for (size_t i = 0; i < o->names; i++)
        free(o->name[i]);
    free(o->name);
    free(o->name_size);
    free(o->next);
    *o = (struct fake_outcome){0};
}

static void op_free(struct fake_op *op)
{
    fake_outcome_clear(&op->out);
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
void fake_op_settle(struct fake_op *op)
{
    bool effect = op->effect.heap.pos != 0 || !firn_list_empty(&op->in_held);
    if (!effect && !op->req)
        op_free(op);
}

static bool is_write(enum firn_os_op op)
{
    return op != FIRN_OS_GET && op != FIRN_OS_HEAD && op != FIRN_OS_LIST;
}

void fake_fail(struct fake_outcome *o, enum firn_status s, int http, const char *why)
{
    o->status = s;
    o->http = http;
    o->why = why;
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

static void deliver_body(struct fake_op *op, struct firn_os_req *req)
{
    uint64_t max = op->reply_max ? op->reply_max : REPLY_MAX;
    firn_buf_init(&req->reply, max);
    if (firn_buf_append(&req->reply, op->out.body->data + op->out.from, op->out.len) != FIRN_OK) {
        req->status = firn_fail(&req->err, FIRN_LIMIT, "body of %zu bytes", op->out.len);
        return;
    }
    if (op->fate == FIRN_FAKE_SHORT_READ && req->reply.len) {
        req->reply.len = (size_t)(op->draw % req->reply.len);
        req->status = firn_fail(&req->err, FIRN_CORRUPT, "body shorter than announced");
    }
    if (op->fate == FIRN_FAKE_BIT_FLIP && req->reply.len) {
        uint64_t bit = op->draw % (req->reply.len * 8);
        req->reply.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static void deliver(struct fake_op *op, struct firn_os_req *req)
{
    const struct fake_outcome *o = &op->out;
    req->status = o->status;
    req->http_status = o->http;
    req->slow_down = o->slow_down;
    req->date_ms = o->date_ms;
    req->size = o->size;
    memcpy(req->reply_etag, o->etag, sizeof req->reply_etag);
    memcpy(req->upload_id_out, o->upload_id, sizeof o->upload_id);
    bool quiet = o->status == FIRN_OK || o->status == FIRN_ABSENT || o->status == FIRN_UNCHANGED ||
                 o->status == FIRN_CONFLICT;
    if (!quiet)
        (void)firn_fail(&req->err, o->status, "%s of %s: %s", firn_os_op_name(op->op), op->name,
                        o->why ? o->why : "failed");
    if (o->status == FIRN_OK && op->op == FIRN_OS_LIST)
        deliver_page(op, req);
    if (o->body)
        deliver_body(op, req);
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
        fake_outcome_clear(&op->out);
        fake_fail(&op->out, write ? FIRN_UNCERTAIN : FIRN_TRANSIENT, 0, "no reply");
    }
    op->want = false;
    deliver(op, req);
    fake_trace(w, FAKE_TRACE_REPLY + (uint64_t)req->status, op->node->index);
    firn_fake_say(w, op->node, "reply %s %s -> %s", firn_os_op_name(op->op), op->name,
                  firn_status_name(req->status));
    fake_op_settle(op);
    req->done(req);
}

/* ---- submit: what will become of it is decided here */

static enum firn_fake_fate random_fate(struct firn_fake_world *w, struct fake_op *op)
{
    const struct firn_fake_faults *f = &w->opt.faults;
    bool put = op->op == FIRN_OS_PUT, get = op->op == FIRN_OS_GET, write = is_write(op->op);
    bool repeats = put || op->op == FIRN_OS_DELETE || op->op == FIRN_OS_DELETE_MANY;
    bool cond = put && op->cond != FIRN_OS_ALWAYS;
    const struct {
        uint32_t ppm;
        bool can;
        enum fake_strike_kind kind;
        enum firn_fake_fate fate[2]; /* one or the other */
    } t[] = {
        {f->lost_before, true, FAKE_LOST_BEFORE, {FIRN_FAKE_DROP, FIRN_FAKE_RESET}},
        {f->lost_after, true, FAKE_LOST_AFTER, {FIRN_FAKE_LOSE_REPLY, FIRN_FAKE_RESET_DONE}},
        {f->late, write, FAKE_LATE, {FIRN_FAKE_LATE, FIRN_FAKE_LATE}},
        {f->twice, repeats, FAKE_TWICE, {FIRN_FAKE_TWICE, FIRN_FAKE_TWICE_SECOND}},
        {f->err_500, true, FAKE_500, {FIRN_FAKE_500, write ? FIRN_FAKE_500_DONE : FIRN_FAKE_500}},
        {f->err_503, true, FAKE_503, {FIRN_FAKE_503, FIRN_FAKE_503}},
        {f->err_409, cond, FAKE_409, {FIRN_FAKE_409, FIRN_FAKE_409}},
        {f->refused, true, FAKE_REFUSED, {FIRN_FAKE_REFUSED, FIRN_FAKE_REFUSED}},
        {f->denied, true, FAKE_DENIED, {FIRN_FAKE_DENIED, FIRN_FAKE_DENIED}},
        {f->short_read, get, FAKE_SHORT_READ, {FIRN_FAKE_SHORT_READ, FIRN_FAKE_SHORT_READ}},
        {f->bit_flip, get, FAKE_BIT_FLIP, {FIRN_FAKE_BIT_FLIP, FIRN_FAKE_BIT_FLIP}},
    };
    enum firn_fake_fate fate = FIRN_FAKE_CLEAN;
    /* Each kind is asked each time, so that what one does shifts no other's draws. */
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        bool due = t[i].can && fake_due(w, t[i].kind, t[i].ppm);
        if (due && fate == FIRN_FAKE_CLEAN && fake_claim(w, t[i].kind)) {
            fate = t[i].fate[firn_fake_strike_random(w) & 1];
            op->draw = firn_fake_strike_random(w);
        }
    }
    return fate;
}

/* What a reply or a body of so many bytes adds. */
static uint64_t transfer(struct firn_fake_world *w, const struct fake_op *op)
{
    if (!w->opt.bytes_per_sec)
        return 0;
    uint64_t bytes = op->body ? op->body->len : 0;
    if (op->op == FIRN_OS_GET) {
        struct fake_object *obj = fake_object_of(w, op->name);
        bytes = obj ? obj->body->len : 0;
        if (op->length && op->length < bytes)
            bytes = op->length;
    }
    return bytes * FIRN_SEC / w->opt.bytes_per_sec;
}

static uint64_t latency(struct firn_fake_world *w, const struct fake_op *op)
{
    const struct firn_fake_options *o = &w->opt;
    struct fake_rng *way = &op->node->way;
    uint64_t ns = o->latency_min_ns +
                  fake_rng_next(way) % (o->latency_max_ns - o->latency_min_ns + 1) +
                  transfer(w, op);
    uint64_t tail = fake_rng_next(way) | UINT64_C(1) << HEAVY_STEPS;
    for (; o->latency_heavy && !(tail & 1); tail >>= 1) /* with each step half as likely */
        ns += ns / 2;
    if (fake_strike(w, FAKE_SLOW, o->faults.slow))
        ns *= 10 + firn_fake_strike_random(w) % 91;
    return ns;
}

/* How late: log-uniform between a millisecond and the most there is. */
static uint64_t lateness(const struct firn_fake_world *w, const struct fake_op *op)
{
    uint64_t max = w->opt.late_max_ns ? w->opt.late_max_ns : LATE_MAX_NS, most = FIRN_MS;
    struct fake_rng r = {op->draw};
    unsigned doublings = 0;
    while (max >> doublings > FIRN_MS)
        doublings++;
    most <<= doublings ? fake_rng_next(&r) % (doublings + 1) : 0;
    return 1 + fake_rng_next(&r) % (most < max ? most : max);
}

static void set_outcome(struct fake_op *op, enum firn_status s, int http, const char *why)
{
    fake_fail(&op->out, s, http, why);
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
    case FIRN_FAKE_REJECTED:
        set_outcome(op, FIRN_INVALID, 400, "bad request");
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
    uint64_t there = lat / 4 + fake_rng_next(&op->node->way) % (lat / 2 + 1) + plan->delay_ns / 2;
    uint64_t effect = w->now_ns + there, reply = w->now_ns + lat + plan->delay_ns;
    uint64_t late = plan->late_ns ? plan->late_ns : lateness(w, op);
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
    size_t above = strlen(n->prefix), len = strlen(key) + 1;
    char *s = fake_alloc(above + len);
    memcpy(s, n->prefix, above);
    memcpy(s + above, key, len);
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

/* What becomes of a request that the store will not serve. */
static enum firn_fake_fate no_service(const struct firn_fake_node *n, uint64_t draw)
{
    static const enum firn_fake_fate down[] = {FIRN_FAKE_REFUSED, FIRN_FAKE_DROP, FIRN_FAKE_500,
                                               FIRN_FAKE_503};
    if (n->cut)
        return FIRN_FAKE_RESET;
    return n->world->down ? down[draw % 4] : FIRN_FAKE_DENIED;
}

static const char *const cond_name[] = {
    [FIRN_OS_ALWAYS] = "",
    [FIRN_OS_IF_ABSENT] = " if absent",
    [FIRN_OS_IF_MATCH] = " if match",
    [FIRN_OS_IF_NONE_MATCH] = " if changed",
};

static const char *const fate_name[] = {
    [FIRN_FAKE_RANDOM] = "",
    [FIRN_FAKE_CLEAN] = "",
    [FIRN_FAKE_DROP] = ": dropped",
    [FIRN_FAKE_LOSE_REPLY] = ": reply to be lost",
    [FIRN_FAKE_RESET] = ": reset on the way",
    [FIRN_FAKE_RESET_DONE] = ": reset after it",
    [FIRN_FAKE_LATE] = ": late",
    [FIRN_FAKE_TWICE] = ": twice",
    [FIRN_FAKE_TWICE_SECOND] = ": twice, the second's reply",
    [FIRN_FAKE_REFUSED] = ": refused",
    [FIRN_FAKE_409] = ": 409",
    [FIRN_FAKE_500] = ": 500, not done",
    [FIRN_FAKE_500_DONE] = ": 500, done",
    [FIRN_FAKE_503] = ": 503",
    [FIRN_FAKE_DENIED] = ": 403",
    [FIRN_FAKE_REJECTED] = ": 400",
    [FIRN_FAKE_SHORT_READ] = ": short body",
    [FIRN_FAKE_BIT_FLIP] = ": bit flip",
    [FIRN_FAKE_HOLD] = ": held",
};

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
    op->draw = fake_rng_next(&n->way);
    if (n->cut || n->denied || w->down)
        plan = (struct firn_fake_plan){.fate = no_service(n, op->draw)};
    op->fate = plan.fate == FIRN_FAKE_RANDOM ? random_fate(w, op) : plan.fate;
    op->by_chance = plan.fate == FIRN_FAKE_RANDOM;
    firn_fake_say(w, n, "send %s %s%s%s", firn_os_op_name(op->op), op->name, cond_name[op->cond],
                  fate_name[op->fate]);
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
        fake_op_settle(op);
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
        fake_op_settle(op);
}

void fake_held_free(struct firn_fake_world *w)
{
    struct firn_list *l;
    while ((l = firn_list_pop(&w->held)) != NULL)
        fake_op_settle(FIRN_CONTAINER(l, struct fake_op, in_held));
}
