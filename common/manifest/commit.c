/* The commit machine: one proposal at a time. See DESIGN.md for its states. */
#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "manifest/check.h"
#include "manifest/manifest_priv.h"

#define PAUSE_MIN_NS (20 * FIRN_MS)
#define PAUSE_MAX_NS (2 * FIRN_SEC)
/* A store that answers 412 this often although the ETag stands does not honour the ETags it gives.
 */
#define REFUSALS_MAX 10

static void step(struct firn_manifest_node *n);

static struct firn_intent *intent_of(struct firn_list *link)
{
    return FIRN_CONTAINER(link, struct firn_intent, link);
}

/* ---- ends */

static void finish(struct firn_intent *it, enum firn_status st, struct firn_manifest *m,
                   const struct firn_err *err)
{
    firn_list_remove(&it->link);
    it->status = st;
    it->manifest = st == FIRN_OK ? m : NULL;
    if (err && st != FIRN_OK && !it->err.text[0])
        it->err = *err;
    it->done(it);
}

static void finish_all(struct firn_list *intents, enum firn_status st, struct firn_manifest *m,
                       const struct firn_err *err)
{
    struct firn_list local;
    firn_list_init(&local);
    firn_list_splice(&local, intents);
    while (!firn_list_empty(&local))
        finish(intent_of(local.next), st, m, err);
}

static void finish_create(struct firn_manifest_node *n, enum firn_status st,
                          struct firn_manifest *m, const struct firn_err *err)
{
    struct firn_manifest_create *c = n->commit.create;
    n->commit.create = NULL;
    c->status = st;
    c->manifest = st == FIRN_OK ? m : NULL;
    /* A look shows our own, or a later version of what a PUT's reply said we made. */
    c->created = st == FIRN_OK && (n->commit.landed || firn_id_eq(&m->nonce, &n->commit.proposed));
    if (err)
        c->err = *err;
    c->done(c);
}

/* Throw the proposal away; nothing of it is under way. */
static void forget_proposal(struct firn_manifest__commit *c)
{
    firn_manifest_unref(c->base);
    firn_pb_manifest_free(c->next);
    firn_buf_clear(&c->body);
    c->base = NULL;
    c->next = NULL;
    c->maybe_sent = false;
    c->landed = false;
    c->pauses = 0;
    c->refusals = 0;
}

static void go_idle(struct firn_manifest_node *n)
{
    forget_proposal(&n->commit);
    n->commit.state = FIRN_COMMIT_IDLE;
    firn_defer(n->env, &n->commit.turn);
}

/* The proposal has come to nothing but `st` for all that is in it. */
static void end_batch(struct firn_manifest_node *n, enum firn_status st, const struct firn_err *err)
{
    go_idle(n);
    if (n->commit.create)
        finish_create(n, st, NULL, err);
    finish_all(&n->commit.batch, st, NULL, err);
}

/* Nothing more can be learned: UNCERTAIN if a PUT may yet land. */
static void give_up(struct firn_manifest_node *n, enum firn_status st, const struct firn_err *err)
{
    end_batch(n, n->commit.maybe_sent ? FIRN_UNCERTAIN : st, err);
}

static void stop_batch(struct firn_manifest_node *n)
{
    struct firn_err err = {""};
    (void)firn_fail(&err, FIRN_TRANSIENT, "shutting down");
    give_up(n, FIRN_TRANSIENT, &err);
}

/* ---- pauses */

static void pause_then(struct firn_manifest_node *n, enum firn_manifest__state next)
{
    struct firn_manifest__commit *c = &n->commit;
    uint64_t most = PAUSE_MIN_NS << (c->pauses < 7 ? c->pauses : 7);
    if (most > PAUSE_MAX_NS)
        most = PAUSE_MAX_NS;
    c->pauses++;
    c->state = FIRN_COMMIT_PAUSE;
    c->after_pause = next;
    firn_timer_start(n->env, &c->timer, most / 2 + firn_random_u64(n->env) % (most / 2));
}

/* ---- deciding about intents (PROTOCOL "Commit") */

/* Settle what `m` decides: applied intents, and those of roles that are not ours any more. */
static void settle_intents(struct firn_manifest_node *n, struct firn_manifest *m)
{
    struct firn_list applied, fenced;
    struct firn_err err = {""};
    firn_list_init(&applied);
    firn_list_init(&fenced);
    FIRN_LIST_EACH(at, nx, &n->commit.batch)
    {
        struct firn_intent *it = intent_of(at);
        struct firn_list *to = NULL;
        if (it->applied(it, m->pb))
            to = &applied;
        else if (it->role && !firn_manifest__holds(n, it->role))
            to = &fenced;
        if (!to)
            continue;
        firn_list_remove(at);
        firn_list_push(to, at);
    }
    (void)firn_fail(&err, FIRN_FENCED, "another process holds the role now");
    FIRN_SOMETIMES_IF(!firn_list_empty(&fenced), "manifest: an intent of a lost role fenced");
    firn_manifest_ref(m);
    finish_all(&applied, FIRN_OK, m, NULL);
    finish_all(&fenced, FIRN_FENCED, NULL, &err);
    firn_manifest_unref(m);
}

/* ---- building a proposal */

/* Let one intent change m, and see whether the result makes sense. */
static enum firn_status apply_one(struct firn_intent *it, const Firn__Manifest *base,
                                  Firn__Manifest *m)
{
    it->err.text[0] = '\0';
    it->current = base;
    enum firn_status st = it->apply(it, m, &it->err);
    if (st == FIRN_OK && firn_manifest_check(m, &it->err) != FIRN_OK)
        st = FIRN_BUG;
    if (st == FIRN_OK && firn_manifest_check_step(base, m, &it->err) != FIRN_OK)
        st = FIRN_BUG;
    return st;
}

/* The next version with the whole batch applied; intents that cannot be are finished and left out.
 * NULL when memory is short or nothing is left. */
static Firn__Manifest *apply_batch(struct firn_manifest_node *n, const Firn__Manifest *base)
{
    struct firn_manifest__commit *c = &n->commit;
    Firn__Manifest *m = NULL;
    while (!firn_list_empty(&c->batch)) {
        struct firn_intent *bad = NULL;
        enum firn_status st = FIRN_OK;
        m = firn_manifest__successor(base, &c->proposed);
        if (!m)
            return NULL;
        FIRN_LIST_EACH(at, nx, &c->batch)
        {
            st = apply_one(intent_of(at), base, m);
            if (st != FIRN_OK) {
                bad = intent_of(at);
                break;
            }
        }
        if (!bad)
            return m;
        firn_pb_manifest_free(m);
        finish(bad, st, NULL, NULL);
    }
    return NULL;
}

static Firn__Manifest *first_manifest(struct firn_manifest_node *n)
{
    struct firn_manifest__commit *c = &n->commit;
    struct firn_id db;
    firn_random(n->env, db.byte, sizeof db.byte);
    return firn_manifest__first(c->create, c->base ? c->base->pb : NULL, &db, &c->proposed);
}

/* c->base is set. Make c->next and its bytes. False: the batch has ended. */
static bool build(struct firn_manifest_node *n)
{
    struct firn_manifest__commit *c = &n->commit;
    struct firn_err err = {""};
    if (c->base && firn_manifest_check_features(c->base->pb, true, &err) != FIRN_OK) {
        (void)firn_manifest__fail(n, FIRN_INVALID, &err);
        end_batch(n, FIRN_INVALID, &err);
        return false;
    }
    firn_random(n->env, c->proposed.byte, sizeof c->proposed.byte);
    c->next = c->create ? first_manifest(n) : apply_batch(n, c->base->pb);
    firn_buf_init(&c->body, FIRN_MANIFEST_HEADER_BYTES + FIRN_MANIFEST_RAW_MAX);
    if (c->next && firn_manifest_encode(c->next, true, &c->body) == FIRN_OK) {
        firn_name_manifest_log(c->log_name, c->next->version, &c->proposed);
        return true;
    }
    (void)firn_fail(&err, FIRN_LIMIT, "no memory for a new manifest, or it has grown too large");
    end_batch(n, FIRN_LIMIT, &err);
    return false;
}

/* ---- requests */

static void op_done(struct firn_store_op *op);

static void put(struct firn_manifest_node *n, const char *key)
{
    struct firn_manifest__commit *c = &n->commit;
    firn_store_op_init(&c->op);
    c->op.req.op = FIRN_OS_PUT;
    c->op.req.key = key;
    c->op.req.body = firn_buf_slice(&c->body);
    c->op.deadline_ns = firn_boot_ns(n->env) + n->options.attempt_ns;
    c->op.done = op_done;
    c->op.arg = n;
}

static void send_copy(struct firn_manifest_node *n)
{
    n->commit.state = FIRN_COMMIT_COPY;
    put(n, n->commit.log_name);
    firn_store_submit(n->store, &n->commit.op);
}

static void send_swap(struct firn_manifest_node *n)
{
    struct firn_manifest__commit *c = &n->commit;
    c->state = FIRN_COMMIT_SWAP;
    put(n, FIRN_NAME_MANIFEST_TEXT);
    c->op.req.cond = c->base ? FIRN_OS_IF_MATCH : FIRN_OS_IF_ABSENT;
    c->op.req.etag = c->base ? c->base->etag : NULL;
    c->last_put_ns = firn_boot_ns(n->env);
    firn_store_submit(n->store, &c->op);
}

static void look_done(struct firn_manifest_read *r);

static void send_look(struct firn_manifest_node *n, enum firn_manifest__state state)
{
    struct firn_manifest__commit *c = &n->commit;
    c->state = state;
    c->looking = true;
    c->look = (struct firn_manifest_read){.done = look_done, .arg = n};
    firn_manifest_read(n, &c->look);
}

/* Build on `base` (NULL: on nothing) and send the copy. */
static void propose(struct firn_manifest_node *n, struct firn_manifest *base)
{
    struct firn_manifest__commit *c = &n->commit;
    forget_proposal(c);
    c->base = base;
    if (base)
        firn_manifest_ref(base);
    if (build(n))
        send_copy(n);
}

/* ---- what came back */

/* Our proposal is the manifest. */
static void landed(struct firn_manifest_node *n)
{
    struct firn_manifest__commit *c = &n->commit;
    c->landed = true;
    struct firn_manifest *m = firn_manifest__handle(c->next, c->op.req.reply_etag, &c->op, false);
    c->next = NULL; /* the handle's, or freed */
    if (!m) {
        c->maybe_sent = true; /* it did land: look, which needs memory, too */
        pause_then(n, FIRN_COMMIT_LOOK);
        return;
    }
    if (firn_manifest__install(n, m, c->base) == FIRN_OK) {
        if (c->create)
            finish_create(n, FIRN_OK, m, NULL);
        go_idle(n);
        settle_intents(n, m);
        struct firn_err err = {""};
        (void)firn_fail(&err, FIRN_BUG, "a commit landed that does not show its own intent");
        finish_all(&c->batch, FIRN_BUG, NULL, &err);
    } else {
        /* Newer ones were seen meanwhile: they decide. */
        FIRN_SOMETIMES("manifest: overtaken before its commit's reply");
        c->maybe_sent = true;
        send_look(n, FIRN_COMMIT_LOOK);
    }
    firn_manifest_unref(m);
}

static bool is_passing(enum firn_status st)
{
    return st == FIRN_TRANSIENT || st == FIRN_UNCERTAIN;
}

static void copy_done(struct firn_manifest_node *n)
{
    struct firn_store_op *op = &n->commit.op;
    enum firn_status st = op->status;
    struct firn_err err = op->req.err;
    firn_store_op_clear(op);
    if (n->stopping)
        stop_batch(n);
    else if (st == FIRN_OK)
        send_swap(n);
    else if (is_passing(st))
        pause_then(n, FIRN_COMMIT_COPY);
    else
        give_up(n, st, &err);
}

static void swap_done(struct firn_manifest_node *n)
{
    struct firn_manifest__commit *c = &n->commit;
    enum firn_status st = c->op.status;
    struct firn_err err = c->op.req.err;
    if (st == FIRN_OK && c->op.req.reply_etag[0]) {
        landed(n);
        firn_store_op_clear(&c->op);
        return;
    }
    firn_store_op_clear(&c->op);
    /* From CONFLICT nothing follows but that we must look: it may be by our own first attempt. */
    bool refused = st == FIRN_CONFLICT || st == FIRN_ABSENT;
    if (st == FIRN_OK || st == FIRN_UNCERTAIN || refused)
        c->maybe_sent = true;
    if (refused)
        c->refusals++;
    if (n->stopping)
        stop_batch(n);
    else if (st == FIRN_OK || is_passing(st) || refused)
        send_look(n, FIRN_COMMIT_LOOK);
    else if (c->maybe_sent)
        pause_then(n, FIRN_COMMIT_LOOK);
    else
        give_up(n, st, &err);
}

static void op_done(struct firn_store_op *op)
{
    struct firn_manifest_node *n = op->arg;
    if (n->commit.state == FIRN_COMMIT_COPY)
        copy_done(n);
    else
        swap_done(n);
    firn_manifest__settle(n);
}

/* `manifest` still has the ETag the proposal named: it may yet land, so the same bytes are sent
 * again. */
static void not_moved(struct firn_manifest_node *n)
{
    struct firn_manifest__commit *c = &n->commit;
    struct firn_err err = {""};
    if (c->refusals >= REFUSALS_MAX) {
        (void)firn_fail(&err, FIRN_UNCERTAIN,
                        "the store keeps refusing a conditional write with the ETag it gave (%s)",
                        c->base ? c->base->etag : "*");
        give_up(n, FIRN_UNCERTAIN, &err);
        return;
    }
    FIRN_SOMETIMES("manifest: an open commit sent again");
    pause_then(n, FIRN_COMMIT_SWAP);
}

/* `manifest` is not what the proposal built on, so the proposal is decided: `m` says how. */
static void moved(struct firn_manifest_node *n, struct firn_manifest *m)
{
    struct firn_manifest__commit *c = &n->commit;
    bool uncertain = c->maybe_sent;
    if (c->create && m->pb->state == FIRN__DATABASE_STATE__LIVE)
        finish_create(n, FIRN_OK, m, NULL);
    go_idle(n);
    settle_intents(n, m);
    FIRN_SOMETIMES_IF(uncertain && firn_list_empty(&c->batch),
                      "manifest: an open commit had been decided");
    FIRN_SOMETIMES_IF(uncertain && !firn_list_empty(&c->batch),
                      "manifest: an open commit had come to nothing");
    /* What was neither applied nor fenced is proposed again, before what came later. */
    c->lost_race = !firn_list_empty(&c->batch) || c->create;
    firn_list_splice(&c->batch, &c->queued);
    firn_list_splice(&c->queued, &c->batch);
}

static void look_failed(struct firn_manifest_node *n, enum firn_status st,
                        const struct firn_err *err)
{
    struct firn_manifest__commit *c = &n->commit;
    if (st == FIRN_ABSENT && c->create) {
        if (c->state == FIRN_COMMIT_LOOK)
            not_moved(n);
        else
            propose(n, NULL);
        return;
    }
    /* An uncertain commit is over only when `manifest` was seen with another ETag. */
    bool look_on = c->maybe_sent && st != FIRN_INVALID && st != FIRN_BUG;
    if (n->failed == FIRN_OK && (is_passing(st) || look_on))
        pause_then(n, c->state);
    else
        give_up(n, st, err);
}

static void look_done(struct firn_manifest_read *r)
{
    struct firn_manifest_node *n = r->arg;
    struct firn_manifest__commit *c = &n->commit;
    c->looking = false;
    if (n->stopping && r->status != FIRN_OK)
        stop_batch(n);
    else if (r->status != FIRN_OK)
        look_failed(n, r->status, &r->err);
    else if (c->state == FIRN_COMMIT_READ)
        moved(n, r->manifest);
    else if (c->base && firn_id_eq(&c->base->nonce, &r->manifest->nonce))
        n->stopping ? stop_batch(n) : not_moved(n);
    else
        moved(n, r->manifest);
    firn_manifest__settle(n);
}

/* ---- the machine at rest */

/* What the most hasty of the queued intents asks for. */
static void haste_of(const struct firn_manifest__commit *c, bool *urgent, bool *prompt)
{
    *urgent = *prompt = false;
    for (struct firn_list *at = c->queued.next; at != &c->queued; at = at->next) {
        *urgent |= intent_of(at)->urgent;
        *prompt |= intent_of(at)->prompt;
    }
}

/* When the next PUT of `manifest` may begin. */
static uint64_t allowed_at(const struct firn_manifest_node *n)
{
    const struct firn_manifest__commit *c = &n->commit;
    uint64_t rate = n->name_rate ? FIRN_SEC / n->name_rate : 0;
    bool urgent, prompt;
    haste_of(c, &urgent, &prompt);
    uint64_t interval = c->lost_race || prompt ? 0 : n->options.interval_ns;
    if (c->last_put_ns == 0 || c->create || urgent)
        return 0;
    return c->last_put_ns + (interval > rate ? interval : rate);
}

static void refuse_queued(struct firn_manifest_node *n)
{
    struct firn_err err = {""};
    enum firn_status st = n->failed;
    if (st == FIRN_OK) {
        st = FIRN_TRANSIENT;
        (void)firn_fail(&err, st, "shutting down");
    } else {
        err = n->failed_err;
    }
    if (n->commit.create)
        finish_create(n, st, NULL, &err);
    finish_all(&n->commit.queued, st, NULL, &err);
}

/* Begin the next proposal, if there is anything to propose and it is time. */
static void start(struct firn_manifest_node *n)
{
    struct firn_manifest__commit *c = &n->commit;
    if (!c->create && firn_list_empty(&c->queued))
        return;
    uint64_t now = firn_boot_ns(n->env), at = allowed_at(n);
    if (n->newest && at > now) {
        firn_timer_start(n->env, &c->timer, at - now);
        return;
    }
    firn_timer_stop(n->env, &c->timer);
    if (!n->newest) {
        if (!c->create)
            firn_list_splice(&c->batch, &c->queued);
        send_look(n, FIRN_COMMIT_READ);
        return;
    }
    if (c->create && n->newest->pb->state == FIRN__DATABASE_STATE__LIVE) {
        finish_create(n, FIRN_OK, n->newest, NULL);
        return;
    }
    c->lost_race = false;
    if (!c->create) /* intents wait for a creation under way */
        firn_list_splice(&c->batch, &c->queued);
    settle_intents(n, n->newest);
    if (c->create || !firn_list_empty(&c->batch))
        propose(n, n->newest);
}

static void step(struct firn_manifest_node *n)
{
    struct firn_manifest__commit *c = &n->commit;
    if (c->state == FIRN_COMMIT_PAUSE && n->stopping) {
        firn_timer_stop(n->env, &c->timer);
        stop_batch(n);
    }
    if (c->state == FIRN_COMMIT_IDLE) {
        if (n->failed != FIRN_OK || n->stopping)
            refuse_queued(n);
        else
            start(n);
    }
    firn_manifest__settle(n);
}

static void turn(void *arg)
{
    step(arg);
}

static void timer(void *arg)
{
    struct firn_manifest_node *n = arg;
    if (n->commit.state != FIRN_COMMIT_PAUSE) {
        step(n);
        return;
    }
    switch (n->commit.after_pause) {
    case FIRN_COMMIT_COPY:
        send_copy(n);
        break;
    case FIRN_COMMIT_SWAP:
        send_swap(n);
        break;
    default:
        send_look(n, n->commit.after_pause);
        break;
    }
}

/* ---- doors */

void firn_manifest_commit(struct firn_manifest_node *n, struct firn_intent *it)
{
    it->manifest = NULL;
    it->err.text[0] = '\0';
    firn_list_init(&it->link);
    firn_list_push(&n->commit.queued, &it->link);
    firn_defer(n->env, &n->commit.turn);
}

void firn_manifest_create(struct firn_manifest_node *n, struct firn_manifest_create *c)
{
    FIRN_ASSERT(!n->commit.create && !n->newest);
    n->commit.create = c;
    c->err.text[0] = '\0';
    firn_defer(n->env, &n->commit.turn);
}

void firn_manifest__commit_init(struct firn_manifest_node *n)
{
    struct firn_manifest__commit *c = &n->commit;
    firn_list_init(&c->queued);
    firn_list_init(&c->batch);
    c->turn = (struct firn_defer){.fn = turn, .arg = n};
    c->timer = (struct firn_timer){.fn = timer, .arg = n};
}

void firn_manifest__commit_stop(struct firn_manifest_node *n)
{
    struct firn_manifest__commit *c = &n->commit;
    if (c->state == FIRN_COMMIT_COPY || c->state == FIRN_COMMIT_SWAP)
        firn_store_cancel(n->store, &c->op);
    if (c->looking)
        firn_manifest_read_cancel(n, &c->look);
    firn_defer(n->env, &c->turn);
}

bool firn_manifest__commit_idle(const struct firn_manifest_node *n)
{
    const struct firn_manifest__commit *c = &n->commit;
    return c->state == FIRN_COMMIT_IDLE && !c->create && firn_list_empty(&c->queued) &&
           firn_list_empty(&c->batch);
}

void firn_manifest__commit_deinit(struct firn_manifest_node *n)
{
    firn_defer_cancel(n->env, &n->commit.turn);
    firn_timer_stop(n->env, &n->commit.timer);
    forget_proposal(&n->commit);
}
