/* The port: requests wait for credentials and a place, are signed, sent, and answered. See
 * DESIGN.md for the states. */
#include "io_s3/s3_creds_priv.h"
#include "io_s3/s3_request_priv.h"

#include "base/assert.h"
#include "base/mem.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HASH_AWAY_BYTES (128u << 10) /* bodies from this on are hashed by a thread of the pool */
#define REPLY_MAX (8u << 20)         /* of what is not a GET: 1000 keys, fully escaped */
#define GET_HINT (128u << 10)        /* buffers for a GET of unknown size */
#define CREDENTIAL_CALLS 1           /* places beside connections_max */
/* Requests are signed with a time, which the store refuses when it is 15 min off (S3:
 * "RequestTimeTooSkewed"). Times that differ by more than this are told apart. */
#define CLOCK_TRUST_S 240

enum state {
    OP_HASHING, /* a thread reads the body */
    OP_WAITING, /* in `waiting` */
    OP_SENT,    /* a call is under way */
    OP_ENDING,  /* in `ending`: the results are there, done() is not called yet */
};

struct adapter;

struct op {
    struct firn_list link;
    struct adapter *a;
    struct firn_os_req *req;
    enum state state;
    enum firn_status verdict; /* while hashing: what to end with, OK = go on */
    struct firn_s3__timer timer;
    struct firn_s3__wire wire;
    struct firn_s3__call call;
    struct firn_buf reply; /* of what is not a GET */
    uint64_t generation;   /* of the credentials it was signed with */
    int64_t signed_at;     /* the time it was signed with, in s */
    uv_work_t work;
    bool hashed;
};

struct adapter {
    struct firn_objstore port;
    struct firn_s3__place place;
    struct firn_s3__http *http;
    struct firn_s3__creds *creds;
    struct firn_list waiting, ending;
    struct firn_os_req *failed; /* no memory for an op; linked by priv */
    uv_timer_t soon;            /* to call done() from the loop */
    unsigned sent, sent_max, ops;
    int64_t ahead_s; /* of our clock is the time that we sign with; 0 but for follow_clock() */
};

/* ---- ending */

static void on_soon(uv_timer_t *t);

static void wake(struct adapter *a)
{
    (void)uv_timer_start(&a->soon, on_soon, 0, 0);
}

static void op_free(struct op *op)
{
    firn_s3__wire_clear(&op->wire);
    firn_s3__call_clear(&op->call);
    firn_buf_clear(&op->reply);
    op->a->ops--;
    firn_free(op);
}

/* The results are there. done() may submit again, so everything of ours is gone before. */
static void deliver(struct op *op)
{
    struct firn_os_req *req = op->req;
    op_free(op);
    req->priv = NULL;
    req->done(req);
}

/* The results are there, but we may be inside the user's submit or cancel. */
static void end_later(struct op *op)
{
    firn_s3__timer_stop(op->a->http, &op->timer);
    op->state = OP_ENDING;
    firn_list_push(&op->a->ending, &op->link);
    wake(op->a);
}

static void fail_later(struct op *op, enum firn_status s, const char *why)
{
    firn_buf_clear(&op->req->reply);
    firn_s3__reply_fail(&op->a->place, op->req, s, "%s", why);
    end_later(op);
}

static void on_soon(uv_timer_t *t)
{
    struct adapter *a = t->data;
    struct firn_list now;
    struct firn_list *l;
    struct firn_os_req *failed = a->failed;
    a->failed = NULL;
    while (failed) {
        struct firn_os_req *req = failed;
        failed = req->priv;
        req->priv = NULL;
        req->done(req);
    }
    firn_list_init(&now);
    firn_list_splice(&now, &a->ending);
    while ((l = firn_list_pop(&now)) != NULL)
        deliver(FIRN_CONTAINER(l, struct op, link));
}

/* ---- sending */

static void pump(struct adapter *a);

static bool is_far(int64_t s)
{
    return s > CLOCK_TRUST_S || s < -CLOCK_TRUST_S;
}

/* Our clock may be wrong, or set wrong while we run. Only a refusal makes us believe the store's
 * Date, for what is on the way may write one of its own: we sign by it until it agrees with our
 * clock, or until a request signed by it is refused, too. What was refused for the time it was
 * signed with had no effect, and is worth another try with another time. */
static void follow_clock(struct op *op, const char *code)
{
    struct firn_os_req *req = op->req;
    struct adapter *a = op->a;
    if (req->date_ms <= 0)
        return;
    int64_t now = (int64_t)time(NULL), date = req->date_ms / 1000;
    bool denied = req->status == FIRN_DENIED, by_date = !is_far(date - op->signed_at);
    if (!is_far(date - now))
        a->ahead_s = 0;
    else if (denied)
        a->ahead_s = by_date ? 0 : date - now;
    bool for_time = denied && (!by_date || strcmp(code, "RequestTimeTooSkewed") == 0);
    if (for_time && is_far(now + a->ahead_s - op->signed_at))
        req->status = FIRN_TRANSIENT;
}

static void on_call(struct firn_s3__call *c)
{
    struct op *op = c->arg;
    struct adapter *a = op->a;
    char code[64];
    a->sent--;
    firn_s3__timer_stop(a->http, &op->timer);
    firn_s3__reply_read(&a->place, op->req, c, firn_buf_slice(&op->reply), code);
    if (op->req->status != FIRN_OK)
        firn_buf_clear(&op->req->reply);
    follow_clock(op, code);
    if (firn_s3__is_stale_credential(code))
        firn_s3__creds_reject(a->creds, op->generation);
    else if (op->req->status == FIRN_DENIED)
        firn_s3__creds_deny(a->creds, op->generation);
    pump(a); /* first: what has waited goes before what done() submits */
    deliver(op);
}

static void set_reply(struct op *op)
{
    struct firn_os_req *req = op->req;
    struct firn_s3__call *c = &op->call;
    if (req->op == FIRN_OS_GET) {
        uint64_t max = req->reply_max ? req->reply_max : FIRN_S3__GET_MAX;
        if (req->length && req->length < max)
            max = req->length; /* a store that sends more than was asked for is refused */
        firn_buf_init(&req->reply, (size_t)max);
        c->reply = &req->reply;
        c->reply_hint = req->length ? req->length : GET_HINT;
        return;
    }
    bool wanted = req->op == FIRN_OS_LIST || req->op == FIRN_OS_DELETE_MANY ||
                  req->op == FIRN_OS_MP_CREATE || req->op == FIRN_OS_MP_COMPLETE;
    firn_buf_init(&op->reply, REPLY_MAX);
    c->reply = wanted ? &op->reply : NULL;
    c->reply_hint = 0;
}

static void transmit(struct op *op, const struct firn_s3__keys *keys)
{
    struct adapter *a = op->a;
    struct firn_s3__call *c = &op->call;
    op->signed_at = (int64_t)time(NULL) + a->ahead_s;
    enum firn_status s =
        firn_s3__wire_sign(&op->wire, &a->place, keys, op->generation, op->signed_at);
    if (s == FIRN_OK) {
        c->method = op->wire.method;
        c->url = op->wire.url;
        c->headers = &op->wire.line[0];
        c->body = op->wire.body;
        c->done = on_call;
        c->arg = op;
        set_reply(op);
        s = firn_s3__call_start(a->http, c);
    }
    if (s != FIRN_OK) {
        fail_later(op, s, "out of memory for a request");
        return;
    }
    op->state = OP_SENT;
    a->sent++;
}

static void fail_waiting(struct adapter *a, enum firn_status s, const char *why)
{
    struct firn_list *l;
    while ((l = firn_list_pop(&a->waiting)) != NULL)
        fail_later(FIRN_CONTAINER(l, struct op, link), s, why);
}

/* Send what can be sent. */
static void pump(struct adapter *a)
{
    const struct firn_s3__keys *keys;
    struct firn_err err = {0};
    while (!firn_list_empty(&a->waiting) && a->sent < a->sent_max) {
        uint64_t generation;
        enum firn_status s = firn_s3__creds_get(a->creds, &keys, &generation, &err);
        if (s == FIRN_AGAIN)
            return;
        if (s != FIRN_OK) {
            fail_waiting(a, s, err.text);
            return;
        }
        struct op *op = FIRN_CONTAINER(firn_list_pop(&a->waiting), struct op, link);
        op->generation = generation;
        transmit(op, keys);
    }
}

static void on_creds(void *arg)
{
    pump(arg);
}

/* ---- time-out and cancel */

/* End a request at once if that can be done. */
static void stop(struct op *op, const char *why)
{
    bool write = firn_s3__is_write(op->req->op);
    switch (op->state) {
    case OP_HASHING:
        /* The thread reads the user's body: end when it is done with it. */
        op->verdict = FIRN_TRANSIENT;
        break;
    case OP_WAITING:
        firn_list_remove(&op->link);
        fail_later(op, FIRN_TRANSIENT, why);
        break;
    case OP_SENT:
        op->a->sent--;
        bool sent = firn_s3__call_abort(op->a->http, &op->call);
        fail_later(op, sent && write ? FIRN_UNCERTAIN : FIRN_TRANSIENT, why);
        pump(op->a);
        break;
    case OP_ENDING:
        break;
    }
}

static void on_late(void *arg)
{
    struct op *op = arg;
    static const char *const why[] = {"no time left while its body was hashed",
                                      "no time left while it waited for its turn",
                                      "no reply in time", ""};
    stop(op, why[op->state]);
}

/* ---- the port */

static void wait_turn(struct op *op)
{
    op->state = OP_WAITING;
    firn_list_push(&op->a->waiting, &op->link);
    pump(op->a);
}

static void hash(uv_work_t *w)
{
    struct op *op = w->data;
    op->hashed = firn_s3__sha256_hex(&op->a->place.signer, op->wire.body, op->wire.payload);
}

static void on_hashed(uv_work_t *w, int status)
{
    struct op *op = w->data;
    (void)status; /* nobody cancels it */
    if (op->verdict != FIRN_OK)
        fail_later(op, op->verdict, "stopped before it was sent");
    else if (!op->hashed)
        fail_later(op, FIRN_LIMIT, "OpenSSL cannot hash the body");
    else
        wait_turn(op);
}

static void start(struct op *op)
{
    struct adapter *a = op->a;
    op->hashed = true;
    if (op->wire.hash_body && op->wire.body.len >= HASH_AWAY_BYTES) {
        op->state = OP_HASHING;
        op->work.data = op;
        if (uv_queue_work(firn_s3__http_loop(a->http), &op->work, hash, on_hashed) == 0)
            return;
    }
    if (op->wire.hash_body)
        hash(&(uv_work_t){.data = op});
    if (op->hashed)
        wait_turn(op);
    else
        fail_later(op, FIRN_LIMIT, "OpenSSL cannot hash the body");
}

static void submit(void *ctx, struct firn_os_req *req)
{
    struct adapter *a = ctx;
    struct op *op = firn_calloc(1, sizeof *op);
    firn_os_req_clear(req);
    if (!op) {
        firn_s3__reply_fail(&a->place, req, FIRN_LIMIT, "out of memory for a request");
        req->priv = a->failed;
        a->failed = req;
        wake(a);
        return;
    }
    firn_list_init(&op->link);
    op->a = a;
    op->req = req;
    op->timer.fn = on_late;
    op->timer.arg = op;
    req->priv = op;
    a->ops++;
    struct firn_err err = {0};
    enum firn_status s = firn_s3__wire_build(&op->wire, &a->place, req, &err);
    if (s == FIRN_OK && firn_s3__timer_start(a->http, &op->timer, req->timeout_ns) != FIRN_OK)
        s = firn_fail(&err, FIRN_LIMIT, "out of memory for a request");
    if (s != FIRN_OK)
        fail_later(op, s, err.text);
    else
        start(op);
}

static void cancel(void *ctx, struct firn_os_req *req)
{
    struct adapter *a = ctx;
    for (struct firn_os_req *r = a->failed; r; r = r->priv) {
        if (r == req)
            return; /* it ends by itself, and its priv is no op */
    }
    if (req->priv)
        stop(req->priv, "cancelled");
}

static void set_dialect(void *ctx, const struct firn_os_dialect *d)
{
    struct adapter *a = ctx;
    a->place.dialect = *d;
}

/* ---- life */

static void on_freed(void *arg)
{
    struct adapter *a = arg;
    firn_s3__signer_deinit(&a->place.signer);
    firn_free(a);
}

static void on_soon_closed(uv_handle_t *handle)
{
    struct adapter *a = handle->data;
    firn_s3__http_unref(a->http);
}

void firn_s3_free(struct firn_objstore *s)
{
    if (!s)
        return;
    struct adapter *a = s->ctx;
    FIRN_ASSERT(a->ops == 0 && !a->failed);
    firn_s3__creds_free(a->creds);
    firn_s3__http_free(a->http);
    uv_close((uv_handle_t *)&a->soon, on_soon_closed);
}

/* Bucket, prefix, and what else one must know to find it: what messages and the store room see. */
static void set_url(struct adapter *a)
{
    const struct firn_s3_options *o = &a->place.o;
    (void)snprintf(a->port.url, sizeof a->port.url, "s3://%s%s%s%s%s", o->bucket,
                   o->prefix[0] ? "/" : "", o->prefix, o->endpoint[0] ? "?endpoint=" : "",
                   o->endpoint);
}

/* The region that only the profile knows, read from its file now; "" = none. A file that must not
 * be used for keys is no matter here: it is refused when the keys are needed from it. */
static enum firn_status profile_region(const char *name, char out[65], struct firn_err *err)
{
    struct firn_err ignored = {0};
    struct firn_s3__profile *p = firn_calloc(1, sizeof *p);
    if (!p)
        return firn_fail(err, FIRN_LIMIT, "out of memory");
    enum firn_status s = firn_s3__profile_read(firn_s3__profile_name(name), p, &ignored);
    (void)snprintf(out, 65, "%s", s == FIRN_OK ? p->region : "");
    OPENSSL_cleanse(p, sizeof *p);
    firn_free(p);
    return s == FIRN_OK || s == FIRN_DENIED ? FIRN_OK : firn_fail(err, s, "%s", ignored.text);
}

static enum firn_status set_place(struct firn_s3__place *p, const struct firn_s3_options *o,
                                  struct firn_err *err)
{
    char region[65] = "";
    bool known = o->region[0] || getenv("AWS_REGION") || getenv("AWS_DEFAULT_REGION");
    enum firn_status s = known ? FIRN_OK : profile_region(o->profile, region, err);
    if (s != FIRN_OK)
        return s;
    p->o = *o;
    firn_s3__options_complete(&p->o, region);
    (void)snprintf(p->prefix, sizeof p->prefix, "%s%s", o->prefix, o->prefix[0] ? "/" : "");
    return firn_s3__target_of(&p->o, &p->target, err);
}

static enum firn_status open_parts(struct adapter *a, uv_loop_t *loop, struct firn_err *err)
{
    const struct firn_s3_options *o = &a->place.o;
    enum firn_status s = firn_s3__signer_init(&a->place.signer, err);
    if (s != FIRN_OK)
        return s;
    a->sent_max = o->connections_max;
    struct firn_s3__http_options ho = {.ca_file = o->ca_file,
                                       .insecure = o->insecure,
                                       .calls_max = o->connections_max + CREDENTIAL_CALLS};
    s = firn_s3__http_create(loop, &ho, on_freed, a, &a->http, err);
    if (s != FIRN_OK) {
        firn_s3__signer_deinit(&a->place.signer);
        return s;
    }
    (void)uv_timer_init(loop, &a->soon);
    a->soon.data = a;
    firn_s3__http_ref(a->http);
    s = firn_s3__creds_create(a->http, o->profile, o->region, on_creds, a, &a->creds);
    if (s != FIRN_OK)
        (void)firn_fail(err, s, "out of memory");
    return s;
}

enum firn_status firn_s3_create(uv_loop_t *loop, const struct firn_s3_options *o,
                                struct firn_objstore **out, struct firn_err *err)
{
    static const struct firn_objstore_vt vt = {submit, cancel, set_dialect};
    struct adapter *a = firn_calloc(1, sizeof *a);
    if (!a)
        return firn_fail(err, FIRN_LIMIT, "out of memory");
    firn_list_init(&a->waiting);
    firn_list_init(&a->ending);
    a->port.vt = &vt;
    a->port.ctx = a;
    a->port.is_remote = true;
    enum firn_status s = set_place(&a->place, o, err);
    if (s == FIRN_OK)
        s = open_parts(a, loop, err);
    if (s != FIRN_OK) {
        if (a->http)
            firn_s3_free(&a->port);
        else
            firn_free(a);
        return s;
    }
    set_url(a);
    *out = &a->port;
    return FIRN_OK;
}
