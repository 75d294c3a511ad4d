#include "manifest/manifest.h"

#include "base/assert.h"
#include "base/mem.h"
#include "manifest/check.h"
#include "manifest/edit.h"
#include "manifest/manifest_priv.h"

#include <stdio.h>

/* ---- handles */

void firn_manifest_ref(struct firn_manifest *m)
{
    m->refs++;
}

void firn_manifest_unref(struct firn_manifest *m)
{
    if (!m || --m->refs > 0)
        return;
    if (--m->doc->refs == 0) {
        firn_pb_manifest_free(m->doc->pb);
        firn_free(m->doc);
    }
    firn_free(m);
}

static void set_times(struct firn_manifest *m, const struct firn_store_op *op, bool read_back)
{
    m->asked_at_ns = op->sent_ns;
    m->got_at_ns = op->done_ns;
    m->date_ms = op->req.date_ms;
    m->read_back = read_back;
    m->refs = 1;
}

struct firn_manifest *firn_manifest__handle(Firn__Manifest *pb, const char *etag,
                                            const struct firn_store_op *op, bool read_back)
{
    struct firn_manifest *m = firn_malloc(sizeof *m);
    struct firn_manifest_doc *doc = firn_malloc(sizeof *doc);
    if (!m || !doc) {
        firn_free(m);
        firn_free(doc);
        firn_pb_manifest_free(pb);
        return NULL;
    }
    *doc = (struct firn_manifest_doc){pb, 1};
    *m = (struct firn_manifest){.pb = pb,
                                .db = firn_pb_id(&pb->database_id),
                                .nonce = firn_pb_id(&pb->nonce),
                                .version = pb->version,
                                .floor = firn_place_of(pb->floor),
                                .kept = firn_place_of(pb->kept),
                                .doc = doc};
    (void)snprintf(m->etag, sizeof m->etag, "%s", etag);
    set_times(m, op, read_back);
    return m;
}

struct firn_manifest *firn_manifest__again(struct firn_manifest *m, const struct firn_store_op *op)
{
    struct firn_manifest *again = firn_malloc(sizeof *again);
    if (!again)
        return NULL;
    *again = *m;
    again->doc->refs++;
    set_times(again, op, true);
    return again;
}

/* ---- what a new manifest means */

enum firn_status firn_manifest__fail(struct firn_manifest_node *n, enum firn_status st,
                                     const struct firn_err *err)
{
    if (n->failed == FIRN_OK) {
        n->failed = st;
        n->failed_err = *err;
        firn_defer(n->env, &n->broken_turn);
    }
    return n->failed;
}

bool firn_manifest__holds(const struct firn_manifest_node *n, enum firn_role role)
{
    return n->hold[role].epoch != 0 && !n->hold[role].lost;
}

/* Are the roles held still ours? (PROTOCOL "Commit": a role whose epoch or nonce is no longer the
 * manifest's stops.) */
static void check_holds(struct firn_manifest_node *n)
{
    for (int role = FIRN_ROLE_WRITER; role <= FIRN_ROLE_COMPACTOR; role++) {
        struct firn_manifest__hold *h = &n->hold[role];
        const Firn__Role *r = firn_manifest_role(n->newest->pb, (enum firn_role)role);
        if (h->epoch == 0 || h->lost ||
            firn_manifest_role_is(n->newest->pb, (enum firn_role)role, h->epoch, &h->nonce))
            continue;
        if (r->epoch == h->epoch && r->process_nonce.len == 0) {
            h->epoch = 0; /* our own release */
            continue;
        }
        h->lost = true;
        firn_defer(n->env, &n->fenced_turn);
    }
}

static void fenced_turn(void *arg)
{
    struct firn_manifest_node *n = arg;
    for (int role = FIRN_ROLE_WRITER; role <= FIRN_ROLE_COMPACTOR; role++) {
        struct firn_manifest__hold *h = &n->hold[role];
        if (!h->lost || h->told)
            continue;
        h->told = true;
        if (n->options.fenced && !n->stopping)
            n->options.fenced(n->options.arg, (enum firn_role)role);
    }
}

static void broken_turn(void *arg)
{
    struct firn_manifest_node *n = arg;
    if (n->options.broken && !n->stopping)
        n->options.broken(n->options.arg, &n->failed_err);
}

/* May m follow the newest? A database made over a dropped one may, for who is creating it. */
static enum firn_status check_follows(struct firn_manifest_node *n, const struct firn_manifest *m,
                                      struct firn_err *err)
{
    const struct firn_manifest *newest = n->newest;
    if (!firn_id_eq(&m->db, &newest->db)) {
        if (n->commit.create && newest->pb->state == FIRN__DATABASE_STATE__DROPPED)
            return FIRN_OK;
        char was[FIRN_ID_HEX + 1], is[FIRN_ID_HEX + 1];
        firn_id_hex(&newest->db, was);
        firn_id_hex(&m->db, is);
        return firn_fail(err, FIRN_INVALID,
                         "another database (%s) lies at this URL, where %s was: restart to use it",
                         is, was);
    }
    if (m->version == newest->version && !firn_id_eq(&m->nonce, &newest->nonce))
        return firn_fail(
            err, FIRN_CORRUPT,
            "two different manifests of version %llu: somebody restored an old one, or "
            "the store lost writes",
            (unsigned long long)m->version);
    return m->version == newest->version ? FIRN_OK
                                         : firn_manifest_check_step(newest->pb, m->pb, err);
}

enum firn_status firn_manifest__install(struct firn_manifest_node *n, struct firn_manifest *m,
                                        const struct firn_manifest *before)
{
    struct firn_err err = {""};
    enum firn_status st = FIRN_OK;
    if (n->newest) {
        bool older = firn_id_eq(&m->db, &n->newest->db) && m->version < n->newest->version;
        if (older && (!before || m->version >= before->version))
            return FIRN_CONFLICT;
        st = check_follows(n, m, &err);
    }
    if (st != FIRN_OK)
        return firn_manifest__fail(n, st, &err);
    if (n->newest && n->newest->version == m->version && m->asked_at_ns < n->newest->asked_at_ns)
        return FIRN_OK; /* the same, asked for earlier */
    firn_manifest_ref(m);
    firn_manifest_unref(n->newest);
    n->newest = m;
    check_holds(n);
    return FIRN_OK;
}

/* ---- the node */

static void stop_turn(void *arg)
{
    struct firn_manifest_node *n = arg;
    void (*stopped)(void *) = n->stopped;
    n->stopped = NULL;
    if (stopped)
        stopped(n->stopped_arg);
}

enum firn_status firn_manifest_node_create(const struct firn_env *env, struct firn_store *store,
                                           const struct firn_manifest_options *o,
                                           struct firn_manifest_node **out)
{
    struct firn_manifest_node *n = firn_calloc(1, sizeof *n);
    if (!n)
        return FIRN_LIMIT;
    n->env = env;
    n->store = store;
    if (o)
        n->options = *o;
    if (!n->options.interval_ns)
        n->options.interval_ns = FIRN_SEC;
    if (!n->options.attempt_ns)
        n->options.attempt_ns = 5 * FIRN_SEC;
    n->fenced_turn = (struct firn_defer){.fn = fenced_turn, .arg = n};
    n->broken_turn = (struct firn_defer){.fn = broken_turn, .arg = n};
    n->stop_turn = (struct firn_defer){.fn = stop_turn, .arg = n};
    firn_manifest__reads_init(n);
    firn_manifest__commit_init(n);
    *out = n;
    return FIRN_OK;
}

static bool idle(const struct firn_manifest_node *n)
{
    return firn_manifest__reads_idle(n) && firn_manifest__commit_idle(n);
}

void firn_manifest_node_free(struct firn_manifest_node *n)
{
    if (!n)
        return;
    FIRN_ASSERT(idle(n));
    firn_timer_stop(n->env, &n->read_timer);
    firn_defer_cancel(n->env, &n->read_turn);
    firn_defer_cancel(n->env, &n->fenced_turn);
    firn_defer_cancel(n->env, &n->broken_turn);
    firn_defer_cancel(n->env, &n->stop_turn);
    firn_manifest__commit_deinit(n);
    firn_manifest_unref(n->newest);
    firn_free(n);
}

void firn_manifest_node_stop(struct firn_manifest_node *n, void (*stopped)(void *arg), void *arg)
{
    n->stopping = true;
    n->stopped = stopped;
    n->stopped_arg = arg;
    firn_manifest__commit_stop(n);
    firn_manifest__reads_stop(n);
    firn_manifest__settle(n);
}

void firn_manifest__settle(struct firn_manifest_node *n)
{
    if (n->stopping && n->stopped && idle(n))
        firn_defer(n->env, &n->stop_turn);
}

struct firn_manifest *firn_manifest_newest(const struct firn_manifest_node *n)
{
    return n->newest;
}

void firn_manifest_hold(struct firn_manifest_node *n, enum firn_role role, uint64_t epoch,
                        const struct firn_id *process_nonce)
{
    n->hold[role] = (struct firn_manifest__hold){.epoch = epoch};
    if (epoch) {
        n->hold[role].nonce = *process_nonce;
        if (n->newest)
            check_holds(n);
    }
}

bool firn_manifest_for_good(const struct firn_manifest_node *n, enum firn_status s)
{
    return s == FIRN_CORRUPT || n->failed != FIRN_OK;
}

bool firn_manifest_refused(const struct firn_manifest_node *n, enum firn_status s)
{
    bool refused = s == FIRN_DENIED || s == FIRN_LIMIT || s == FIRN_INVALID;
    return refused && !firn_manifest_for_good(n, s);
}

bool firn_manifest_went_back(const struct firn_manifest_node *n)
{
    return n->failed == FIRN_CORRUPT;
}

void firn_manifest_set_name_rate(struct firn_manifest_node *n, uint32_t name_writes_per_sec)
{
    n->name_rate = name_writes_per_sec;
}
