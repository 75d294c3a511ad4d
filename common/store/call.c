/* One operation: attempts until one decides. See the state diagram in DESIGN.md. */
#include "store/store_priv.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"

#define CORRUPT_MAX 3 /* replies that fail their check, before that is the result */
#define STRETCH_MAX 3 /* a slow line gets up to eight times the time */
#define TIMEOUT_MIN_NS FIRN_MS
#define WHOLE_BYTES ((uint64_t)16 << 20) /* what a GET of a whole object is given time for */
#define DELETE_ONE_NS (10 * FIRN_MS)     /* what one key adds to the time of a multi-delete */

static bool is_write(const struct firn_store_op *op)
{
    enum firn_os_op o = op->req.op;
    return o != FIRN_OS_GET && o != FIRN_OS_HEAD && o != FIRN_OS_LIST;
}

static bool is_conditional_put(const struct firn_store_op *op)
{
    return op->req.op == FIRN_OS_PUT && op->req.cond != FIRN_OS_ALWAYS;
}

/* ---- the end */

static void deliver(struct call *c)
{
    struct firn_store_op *op = c->op;
    struct firn_store *s = c->store;
    FIRN_ASSERT(c->active == 0);
    firn_timer_stop(s->env, &c->timer);
    firn_list_remove(&c->link);
    for (int i = 0; i < 2; i++)
        firn_os_req_clear(&c->a[i].req);
    op->priv = NULL;
    op->req.status = op->status;
    firn_free(c);
    op->done(op);
}

static void on_end(void *arg)
{
    deliver(arg);
}

/* From inside a caller's submit or cancel, where done() must not be called. */
static void end_later(struct call *c, enum firn_status status)
{
    c->state = CALL_ENDING;
    c->op->status = status;
    firn_timer_stop(c->store->env, &c->timer);
    firn_defer(c->store->env, &c->end);
}

static void end_now(struct call *c, enum firn_status status)
{
    c->state = CALL_ENDING;
    c->op->status = status;
    deliver(c);
}

/* What giving up means: a write of which something may be on its way is UNCERTAIN. */
static enum firn_status given_up(struct call *c)
{
    bool unsure = is_write(c->op) && (c->maybe_applied || c->looking);
    FIRN_SOMETIMES_IF(unsure, "store: a write given up, outcome unknown");
    enum firn_status s = unsure ? FIRN_UNCERTAIN : FIRN_TRANSIENT;
    return firn_fail(&c->op->req.err, s, "%s of %s: %s", firn_os_op_name(c->op->req.op),
                     c->op->req.key ? c->op->req.key : "many",
                     c->cancelled ? "cancelled" : "no answer in time");
}

static void take_scalars(struct firn_os_req *to, const struct firn_os_req *from)
{
    to->slow_down = from->slow_down;
    to->http_status = from->http_status;
    to->err = from->err;
    to->size = from->size;
    to->date_ms = from->date_ms;
    to->nfailed = from->nfailed;
    memcpy(to->reply_etag, from->reply_etag, sizeof to->reply_etag);
    memcpy(to->upload_id_out, from->upload_id_out, sizeof to->upload_id_out);
}

/* The attempt's results become the operation's. */
static void take_results(struct call *c, struct attempt *a)
{
    struct firn_os_req *to = &c->op->req, *from = &a->req;
    take_scalars(to, from);
    to->reply = from->reply;
    to->page = from->page;
    from->reply = (struct firn_buf){0};
    from->page = (struct firn_os_page){0};
    c->op->sent_ns = a->sent_ns;
}

/* ---- sending */

static uint64_t size_of(const struct firn_os_req *r)
{
    if (r->op == FIRN_OS_PUT || r->op == FIRN_OS_MP_PART)
        return r->body.len;
    if (r->op == FIRN_OS_GET)
        return r->length ? r->length : r->reply_max;
    return 0;
}

/* The time of an attempt: base plus size over rate, doubled for each time-out in a row (a line
 * slower than the rate must come to an end some day), within the deadline. */
static uint64_t timeout_of(const struct call *c, const struct firn_os_req *r, uint64_t now)
{
    const struct firn_store_options *o = &c->store->o;
    uint64_t size = size_of(r), rate = o->attempt_bytes_per_sec;
    if (r->op == FIRN_OS_GET && r->length == 0 && (size == 0 || size > WHOLE_BYTES))
        size = WHOLE_BYTES;
    uint64_t t = o->attempt_base_ns;
    t += size / rate * FIRN_SEC + size % rate * FIRN_SEC / rate;
    if (r->op == FIRN_OS_DELETE_MANY)
        t += r->nkeys * DELETE_ONE_NS;
    t <<= c->stretch;
    uint64_t deadline = c->op->deadline_ns;
    if (deadline) {
        uint64_t left = deadline > now ? deadline - now : 0;
        t = t < left ? t : left;
    }
    return t < TIMEOUT_MIN_NS ? TIMEOUT_MIN_NS : t;
}

static void on_attempt(struct firn_os_req *req);

static void copy_inputs(struct firn_os_req *to, const struct firn_os_req *from)
{
    firn_os_req_init(to);
    to->op = from->op;
    to->cond = from->cond;
    to->key = from->key;
    to->etag = from->etag;
    to->offset = from->offset;
    to->length = from->length;
    to->reply_max = from->reply_max;
    to->body = from->body;
    to->cursor = from->cursor;
    to->start_after = from->start_after;
    to->keys = from->keys;
    to->nkeys = from->nkeys;
    to->upload_id = from->upload_id;
    to->part_number = from->part_number;
    to->part_etags = from->part_etags;
    to->nparts = from->nparts;
}

static void send_attempt(struct call *c, struct attempt *a, uint64_t now)
{
    struct firn_store *s = c->store;
    struct firn_os_req *r = &a->req;
    if (c->looking) {
        firn_os_req_init(r);
        r->op = FIRN_OS_GET;
        r->key = c->op->req.key;
    } else {
        copy_inputs(r, &c->op->req);
    }
    r->timeout_ns = timeout_of(c, r, now);
    r->done = on_attempt;
    r->arg = a;
    a->call = c;
    a->active = true;
    a->sent_ns = now;
    c->active++;
    c->op->attempts++;
    if (!c->op->first_sent_ns)
        c->op->first_sent_ns = now;
    struct firn_store_account *acc = &s->account[r->op];
    acc->requests++;
    acc->retries += c->retry;
    acc->bytes_sent += r->body.len;
    firn_store__health_sent(s, r->op, now);
    firn_os_submit(s->env->store, r);
}

static bool may_hedge(const struct call *c)
{
    const struct firn_store_op *op = c->op;
    if (!(op->flags & FIRN_STORE_HEDGE) || (op->flags & FIRN_STORE_NO_RETRY) || c->looking ||
        c->retry)
        return false;
    if (op->req.op == FIRN_OS_GET)
        return c->store->o.hedge_gets;
    return op->req.op == FIRN_OS_PUT && op->req.cond == FIRN_OS_IF_ABSENT;
}

void firn_store__send(struct call *c)
{
    struct firn_store *s = c->store;
    uint64_t now = firn_boot_ns(s->env);
    firn_timer_stop(s->env, &c->timer);
    if (c->op->deadline_ns && now >= c->op->deadline_ns) {
        end_later(c, given_up(c));
        return;
    }
    c->state = CALL_SENT;
    c->best = NULL;
    send_attempt(c, &c->a[0], now);
    if (!may_hedge(c))
        return;
    uint64_t after = firn_store__hedge_after(s, c->op->req.op, size_of(&c->op->req));
    if (after)
        firn_timer_start(s->env, &c->timer, after);
}

/* Wait for the turn to send, at most until the deadline. */
static void go(struct call *c)
{
    struct firn_store *s = c->store;
    c->state = CALL_GATE;
    uint64_t deadline = c->op->deadline_ns, now = firn_boot_ns(s->env);
    if (deadline)
        firn_timer_start(s->env, &c->timer, deadline > now ? deadline - now : 0);
    firn_store__gate_enter(s, c);
}

static void hedge(struct call *c)
{
    struct firn_store *s = c->store;
    if (c->active != 1 || !c->a[0].active || c->best || c->cancelled || !firn_store__hedge_take(s))
        return;
    FIRN_SOMETIMES("store: a hedge sent");
    s->account[c->op->req.op].hedges++;
    send_attempt(c, &c->a[1], firn_boot_ns(s->env));
}

/* Full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015): anywhere in [0, backoff]. */
static void try_again(struct call *c)
{
    struct firn_store *s = c->store;
    uint64_t now = firn_boot_ns(s->env);
    c->backoff_ns = c->backoff_ns ? c->backoff_ns * 2 : s->o.backoff_min_ns;
    if (c->backoff_ns > s->o.backoff_max_ns)
        c->backoff_ns = s->o.backoff_max_ns;
    uint64_t wait = firn_random_u64(s->env) % (c->backoff_ns + 1);
    for (int i = 0; i < 2; i++)
        firn_os_req_clear(&c->a[i].req);
    if (c->cancelled || (c->op->deadline_ns && now + wait >= c->op->deadline_ns)) {
        end_now(c, given_up(c));
        return;
    }
    c->state = CALL_BACKOFF;
    c->retry = true;
    firn_timer_start(s->env, &c->timer, wait);
}

static void on_timer(void *arg)
{
    struct call *c = arg;
    if (c->state == CALL_SENT) {
        hedge(c);
    } else if (c->state == CALL_BACKOFF) {
        go(c);
    } else {
        FIRN_ASSERT(c->state == CALL_GATE);
        firn_store__gate_leave(c);
        end_now(c, given_up(c));
    }
}

/* ---- what a reply means */

static bool is_answer(enum firn_status s)
{
    return s == FIRN_OK || s == FIRN_ABSENT || s == FIRN_CONFLICT || s == FIRN_UNCHANGED;
}

/* How much a status decides: 2 = success; 1 = an answer, which ends the round; 0 = try again. */
static int rank(const struct call *c, enum firn_status s)
{
    switch (s) {
    case FIRN_OK:
    case FIRN_UNCHANGED:
        return 2;
    case FIRN_TRANSIENT:
    case FIRN_UNCERTAIN:
        return 0;
    case FIRN_CORRUPT:
        return c->corrupt >= CORRUPT_MAX && !c->looking;
    case FIRN_DENIED:
    case FIRN_INVALID:
    case FIRN_LIMIT:
        /* A conditional write that may be on its way is not given up for what a later attempt met:
         * credentials rotate, a full store gets room. A look neither. */
        if (is_conditional_put(c->op) && c->op->attempts > 1)
            return !(c->maybe_applied || c->looking || s == FIRN_DENIED);
        return 1;
    default:
        return 1;
    }
}

/* Books: account, latency, Date, pace. */
static void note_reply(struct call *c, const struct attempt *a, uint64_t now)
{
    struct firn_store *s = c->store;
    const struct firn_os_req *r = &a->req;
    struct firn_store_account *acc = &s->account[r->op];
    acc->errors += !is_answer(r->status);
    acc->slow_downs += r->slow_down;
    acc->bytes_received += r->reply.len;
    if (r->date_ms) {
        s->date_ms = r->date_ms;
        s->date_at_ns = now;
    }
    if (r->slow_down || is_answer(r->status))
        firn_store__gate_note(s, r->slow_down);
    firn_store__health_ended(s, r->op);
    /* One that was cancelled, its twin having got an answer, says nothing. */
    if (!c->cancelled && (!c->best || !is_answer(c->best->req.status)))
        firn_store__health_note(s, r, is_answer(r->status), now);
    if (is_answer(r->status) && !c->cancelled && !c->best)
        firn_store__hedge_note(s, r->op, size_of(r), now - a->sent_ns);
    bool timed_out = r->http_status == 0 && now - a->sent_ns >= r->timeout_ns;
    if (!timed_out)
        c->stretch = 0;
    else if (c->stretch < STRETCH_MAX)
        c->stretch++;
}

/* The look at what lies under the name of our if-absent PUT has ended. Equal bytes are ours: no two
 * bodies written under a condition are equal but those of one operation (its nonce). */
static void looked(struct call *c)
{
    struct firn_store_op *op = c->op;
    struct firn_os_req *r = &c->a[0].req;
    if (rank(c, r->status) == 0) {
        op->req.err = r->err;
        try_again(c);
        return;
    }
    if (r->status != FIRN_OK) {
        FIRN_SOMETIMES_IF(r->status == FIRN_ABSENT, "store: what refused our PUT was gone");
        take_results(c, &c->a[0]);
        end_now(c, r->status);
        return;
    }
    uint64_t sent = op->sent_ns; /* of the PUT that was answered, not of the look */
    take_scalars(&op->req, r);
    op->sent_ns = sent;
    if (firn_slice_eq(firn_buf_slice(&r->reply), op->req.body)) {
        FIRN_SOMETIMES("store: a 412 was by our own bytes");
        end_now(c, FIRN_OK);
        return;
    }
    FIRN_SOMETIMES("store: a 412 was by another's bytes");
    op->found = r->reply;
    r->reply = (struct firn_buf){0};
    end_now(c, FIRN_CONFLICT);
}

static void begin_look(struct call *c)
{
    c->op->sent_ns = c->best->sent_ns;
    c->looking = true;
    c->retry = false;
    c->backoff_ns = 0;
    for (int i = 0; i < 2; i++)
        firn_os_req_clear(&c->a[i].req);
    go(c);
}

/* All attempts of the round have ended; c->best says most. */
static void act(struct call *c)
{
    struct firn_store_op *op = c->op;
    enum firn_status s = c->best->req.status;
    bool retry = !(op->flags & FIRN_STORE_NO_RETRY);
    if (retry && rank(c, s) == 0) {
        op->req.err = c->best->req.err;
        op->req.http_status = c->best->req.http_status;
        try_again(c);
        return;
    }
    bool is_delete = op->req.op == FIRN_OS_DELETE || op->req.op == FIRN_OS_MP_ABORT;
    if (s == FIRN_ABSENT && is_delete)
        s = FIRN_OK;
    if (retry && s == FIRN_CONFLICT && op->req.cond == FIRN_OS_IF_ABSENT) {
        if (c->cancelled) {
            c->looking = true; /* the 412 may be by our own attempt: nobody knows */
            end_now(c, given_up(c));
        } else {
            begin_look(c);
        }
        return;
    }
    if (s == FIRN_ABSENT && op->req.op == FIRN_OS_PUT && op->req.cond == FIRN_OS_IF_MATCH)
        s = FIRN_CONFLICT;
    take_results(c, c->best);
    /* To the caller ABSENT means "was there and is gone"; only a look may say that. */
    if (s == FIRN_ABSENT && op->req.op == FIRN_OS_PUT)
        s = firn_fail(&op->req.err, FIRN_INVALID,
                      "the store answers 404 to a PUT: is its bucket gone?");
    end_now(c, s);
}

static void on_attempt(struct firn_os_req *req)
{
    struct attempt *a = req->arg;
    struct call *c = a->call;
    struct firn_store *s = c->store;
    uint64_t now = firn_boot_ns(s->env);
    a->active = false;
    c->active--;
    note_reply(c, a, now);
    c->op->done_ns = now;
    if (req->status == FIRN_CORRUPT)
        c->corrupt++;
    if (req->status == FIRN_UNCERTAIN && !c->looking && is_write(c->op))
        c->maybe_applied = true;
    if (!c->best || rank(c, req->status) > rank(c, c->best->req.status))
        c->best = a;
    if (c->active) {
        /* Its twin: no longer needed once this one is an answer, our only hope otherwise. */
        if (rank(c, req->status) > 0)
            firn_os_cancel(s->env->store, &c->a[a == &c->a[0]].req);
        return;
    }
    firn_timer_stop(s->env, &c->timer);
    if (c->looking)
        looked(c);
    else
        act(c);
}

/* ---- the caller's side */

static struct call *call_new(struct firn_store *s, struct firn_store_op *op)
{
    struct call *c = firn_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->store = s;
    c->op = op;
    c->timer = (struct firn_timer){.fn = on_timer, .arg = c};
    c->end = (struct firn_defer){.fn = on_end, .arg = c};
    firn_list_init(&c->gate_link);
    firn_list_push(&s->calls, &c->link);
    return c;
}

static void on_no_memory(void *arg)
{
    struct firn_store_op *op = arg;
    firn_store__failed(&op->failing);
    op->done(op);
}

void firn_store_submit(struct firn_store *s, struct firn_store_op *op)
{
    FIRN_ASSERT(op->done && !op->priv);
    firn_store_op_clear(op);
    struct call *c = call_new(s, op);
    if (!c) {
        op->status = op->req.status = firn_fail(&op->req.err, FIRN_LIMIT, "out of memory");
        firn_store__fail_later(s, &op->failing, on_no_memory, op);
        return;
    }
    op->priv = c;
    go(c);
}

void firn_store_cancel(struct firn_store *s, struct firn_store_op *op)
{
    struct call *c = op->priv;
    firn_store__fail_soon(&op->failing);
    if (!c || c->state == CALL_ENDING || c->cancelled)
        return;
    c->cancelled = true;
    if (c->active == 0) {
        firn_store__gate_leave(c);
        end_later(c, given_up(c));
        return;
    }
    /* The last done() frees the call, should an adapter make it at once: look first. */
    bool first = c->a[0].active, second = c->a[1].active;
    if (second)
        firn_os_cancel(s->env->store, &c->a[1].req);
    if (first)
        firn_os_cancel(s->env->store, &c->a[0].req);
}
