/* Reads of the manifest: those submitted in one turn of the loop share a GET that is sent at its
 * end. */
#include "base/assert.h"
#include "base/sometimes.h"
#include "manifest/check.h"
#include "manifest/manifest_priv.h"

static void finish(struct firn_manifest_read *r, enum firn_status st, struct firn_manifest *m,
                   const struct firn_err *err)
{
    firn_list_remove(&r->link);
    r->status = st;
    r->manifest = m;
    if (err)
        r->err = *err;
    r->done(r);
}

static struct firn_manifest_read *read_of(struct firn_list *link)
{
    return FIRN_CONTAINER(link, struct firn_manifest_read, link);
}

/* Finish all reads of a list, which callbacks may not grow. */
static void finish_all(struct firn_list *reads, enum firn_status st, struct firn_manifest *m,
                       const struct firn_err *err)
{
    struct firn_list local;
    firn_list_init(&local);
    firn_list_splice(&local, reads);
    while (!firn_list_empty(&local))
        finish(read_of(local.next), st, m, err);
}

/* ---- deadlines and cancelling */

static bool overdue(const struct firn_manifest_read *r, uint64_t now)
{
    return r->cancelled || (r->deadline_ns && r->deadline_ns <= now);
}

static void pick_overdue(struct firn_list *reads, uint64_t now, struct firn_list *out,
                         uint64_t *earliest)
{
    FIRN_LIST_EACH(it, nx, reads)
    {
        struct firn_manifest_read *r = read_of(it);
        if (overdue(r, now)) {
            firn_list_remove(it);
            firn_list_push(out, it);
        } else if (r->deadline_ns && r->deadline_ns < *earliest) {
            *earliest = r->deadline_ns;
        }
    }
}

/* End what is cancelled or late, and set the timer for the next one. */
static void expire(struct firn_manifest_node *n)
{
    struct firn_list late;
    struct firn_err err = {""};
    uint64_t now = firn_boot_ns(n->env), earliest = UINT64_MAX;
    firn_list_init(&late);
    pick_overdue(&n->waiting, now, &late, &earliest);
    for (int i = 0; i < FIRN_MANIFEST__GETS; i++)
        pick_overdue(&n->get[i].reads, now, &late, &earliest);
    if (earliest != UINT64_MAX)
        firn_timer_start(n->env, &n->read_timer, earliest - now);
    else
        firn_timer_stop(n->env, &n->read_timer);
    (void)firn_fail(&err, FIRN_TRANSIENT, "no reply to the read of the manifest in time");
    finish_all(&late, FIRN_TRANSIENT, NULL, &err);
}

/* ---- GETs */

/* The reply of a GET: *m is a new reference. */
static enum firn_status take_reply(struct firn_manifest__get *g, struct firn_manifest **m,
                                   struct firn_err *err)
{
    struct firn_store_op *op = &g->op;
    Firn__Manifest *pb = NULL;
    if (op->status == FIRN_UNCHANGED && g->base) {
        *m = firn_manifest__again(g->base, op);
        return *m ? FIRN_OK : firn_fail(err, FIRN_LIMIT, "no memory for the manifest");
    }
    if (op->status == FIRN_ABSENT && g->base) {
        (void)firn_fail(err, FIRN_CORRUPT,
                        "the manifest is gone, which is never deleted: somebody removed it");
        return firn_manifest__fail(g->node, FIRN_CORRUPT, err);
    }
    if (op->status != FIRN_OK) {
        *err = op->req.err;
        return op->status == FIRN_UNCHANGED || op->status == FIRN_CONFLICT ? FIRN_BUG : op->status;
    }
    enum firn_status st = firn_manifest_decode(firn_buf_slice(&op->req.reply), &pb, err);
    if (st == FIRN_OK)
        st = firn_manifest_check_features(pb, false, err);
    if (st == FIRN_OK)
        st = firn_manifest_check(pb, err);
    if (st != FIRN_OK) {
        firn_pb_manifest_free(pb);
        return st;
    }
    *m = firn_manifest__handle(pb, op->req.reply_etag, op, true);
    return *m ? FIRN_OK : firn_fail(err, FIRN_LIMIT, "no memory for the manifest");
}

static void get_done(struct firn_store_op *op)
{
    struct firn_manifest__get *g = op->arg;
    struct firn_manifest_node *n = g->node;
    struct firn_manifest *m = NULL;
    struct firn_err err = {""};
    enum firn_status st = take_reply(g, &m, &err);
    if (st == FIRN_OK) {
        st = firn_manifest__install(n, m, g->base);
        if (st != FIRN_OK && st != FIRN_CONFLICT)
            err = n->failed_err;
    } else if (st == FIRN_ABSENT && n->newest) {
        st = FIRN_CONFLICT; /* it was made while this GET was under way */
    }
    bool newer = st == FIRN_INVALID && op->status == FIRN_OK;
    bool bad = (st == FIRN_CORRUPT || newer) && n->failed == FIRN_OK;
    n->damaged = bad ? n->damaged + 1 : 0;
    if (bad && n->damaged < FIRN_STORE_LOOKS_MAX && !n->stopping)
        st = FIRN_CONFLICT;
    else if (bad && newer &&
             n->damaged >= FIRN_STORE_LOOKS_MAX) /* what we do not know never goes again */
        st = firn_manifest__fail(n, st, &err);
    firn_store_op_clear(op);
    firn_manifest_unref(g->base);
    g->base = NULL;
    g->busy = false;
    if (st == FIRN_CONFLICT) { /* too old to be told, or damaged: ask again */
        FIRN_SOMETIMES("manifest: a reply too old thrown away");
        firn_list_splice(&n->waiting, &g->reads);
    } else {
        finish_all(&g->reads, st, st == FIRN_OK ? m : NULL, &err);
    }
    firn_manifest_unref(m);
    if (!firn_list_empty(&n->waiting))
        firn_defer(n->env, &n->read_turn);
    firn_manifest__settle(n);
}

static void send(struct firn_manifest__get *g)
{
    struct firn_manifest_node *n = g->node;
    firn_list_splice(&g->reads, &n->waiting);
    g->busy = true;
    g->base = n->newest;
    if (g->base)
        firn_manifest_ref(g->base);
    firn_store_op_init(&g->op);
    g->op.req.op = FIRN_OS_GET;
    g->op.req.key = FIRN_NAME_MANIFEST_TEXT;
    g->op.req.reply_max = FIRN_MANIFEST_HEADER_BYTES + FIRN_MANIFEST_RAW_MAX;
    /* A manifest whose ETag was not told is read whole. */
    if (g->base && g->base->etag[0]) {
        g->op.req.cond = FIRN_OS_IF_NONE_MATCH;
        g->op.req.etag = g->base->etag;
    }
    g->op.flags = FIRN_STORE_HEDGE;
    g->op.done = get_done;
    g->op.arg = g;
    FIRN_LIST_EACH(it, nx, &g->reads)
    {
        const struct firn_manifest_read *r = read_of(it);
        if (r->deadline_ns > g->op.deadline_ns)
            g->op.deadline_ns = r->deadline_ns;
    }
    FIRN_LIST_EACH(it, nx, &g->reads)
    {
        if (read_of(it)->deadline_ns == 0)
            g->op.deadline_ns = 0;
    }
    firn_store_submit(n->store, &g->op);
}

static void read_turn(void *arg)
{
    struct firn_manifest_node *n = arg;
    struct firn_err err = {""};
    expire(n);
    if (n->failed != FIRN_OK) {
        finish_all(&n->waiting, n->failed, NULL, &n->failed_err);
    } else if (n->stopping) {
        (void)firn_fail(&err, FIRN_TRANSIENT, "shutting down");
        finish_all(&n->waiting, FIRN_TRANSIENT, NULL, &err);
    } else if (!firn_list_empty(&n->waiting)) {
        int i = 0;
        while (i < FIRN_MANIFEST__GETS && n->get[i].busy)
            i++;
        if (i < FIRN_MANIFEST__GETS)
            send(&n->get[i]);
    }
    firn_manifest__settle(n);
}

static void read_timer(void *arg)
{
    expire(arg);
}

void firn_manifest_read(struct firn_manifest_node *n, struct firn_manifest_read *r)
{
    r->cancelled = false;
    r->manifest = NULL;
    r->err.text[0] = '\0';
    firn_list_init(&r->link);
    firn_list_push(&n->waiting, &r->link);
    firn_defer(n->env, &n->read_turn);
}

void firn_manifest_read_cancel(struct firn_manifest_node *n, struct firn_manifest_read *r)
{
    r->cancelled = true;
    firn_defer(n->env, &n->read_turn);
}

void firn_manifest__reads_init(struct firn_manifest_node *n)
{
    firn_list_init(&n->waiting);
    n->read_turn = (struct firn_defer){.fn = read_turn, .arg = n};
    n->read_timer = (struct firn_timer){.fn = read_timer, .arg = n};
    for (int i = 0; i < FIRN_MANIFEST__GETS; i++) {
        n->get[i].node = n;
        firn_list_init(&n->get[i].reads);
    }
}

void firn_manifest__reads_stop(struct firn_manifest_node *n)
{
    for (int i = 0; i < FIRN_MANIFEST__GETS; i++)
        if (n->get[i].busy)
            firn_store_cancel(n->store, &n->get[i].op);
    firn_defer(n->env, &n->read_turn);
}

bool firn_manifest__reads_idle(const struct firn_manifest_node *n)
{
    for (int i = 0; i < FIRN_MANIFEST__GETS; i++)
        if (n->get[i].busy)
            return false;
    return firn_list_empty(&n->waiting);
}
