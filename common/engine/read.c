/* Reads: the state they are served from (I6), values of keys, fetches. */
#include "engine/engine_priv.h"

#include "base/sometimes.h"
#include "engine/tx_priv.h"

/* ---- freshness */

/* A read with F > 0 that was served from a state older than max(0, min(F/2, F - 2 x p99 of a
 * probe)) begins the next probe, so that reads to come need not wait for it (PROTOCOL "Tailing and
 * freshness"). */
static void hint_probe(struct firn_eval *x, uint64_t freshness)
{
    struct firn_db *db = x->db;
    uint64_t age = x->arrival_ns > db->fresh_ns ? x->arrival_ns - db->fresh_ns : 0;
    uint64_t early = 2 * db->probe_p99_ns;
    uint64_t limit = freshness > early ? freshness - early : 0;
    if (limit > freshness / 2)
        limit = freshness / 2;
    if (age > limit)
        db->vt->probe_hint(db);
}

enum firn_status firn_engine__fresh_ready(struct firn_eval *x)
{
    struct firn_db *db = x->db;
    struct firn_session *s = x->s;
    uint64_t freshness = firn_engine__freshness(s);
    uint64_t need = x->arrival_ns > freshness ? x->arrival_ns - freshness : 0;
    if (db->fresh_ns && db->fresh_ns >= need) {
        if (freshness)
            hint_probe(x, freshness);
        return FIRN_OK;
    }
    if (s->ticket && db->probe_done >= s->ticket)
        return FIRN_OK;
    if (!s->ticket)
        s->ticket = db->vt->probe(db);
    struct firn_wait w = {
        .kind = FIRN_WAIT_FRESH,
        .fresh_ns = need,
        .ticket = s->ticket,
        .deadline_ns = x->arrival_ns + db->settings->read_timeout_ns,
    };
    return firn_engine__await(x, &w);
}

enum firn_status firn_engine__caught_up(struct firn_eval *x)
{
    struct firn_db *db = x->db;
    struct firn_session *s = x->s;
    if (!s->listens_soon) {
        s->ticket = db->vt->probe(db);
        s->behind_gate = db->last_gate;
        firn_engine__feed_soon(s);
    }
    struct firn_wait w = {
        .ticket = s->ticket,
        .gate = s->behind_gate,
        .deadline_ns = x->arrival_ns + db->settings->read_timeout_ns,
    };
    if (db->probe_done < s->ticket)
        w.kind = FIRN_WAIT_FRESH;
    else if (db->durable_gate < s->behind_gate)
        w.kind = FIRN_WAIT_OWN;
    else
        return FIRN_OK;
    w.fresh_ns = UINT64_MAX; /* the probe itself is waited for */
    return firn_engine__await(x, &w);
}

void firn_engine__gate_applied(struct firn_eval *x, uint64_t need_ns)
{
    struct firn_db *db = x->db;
    x->gated = true;
    x->gate = (struct firn_gate){
        .slot = db->open_gate ? db->open_gate : db->last_gate,
        .deadline_ns = x->arrival_ns + db->settings->read_timeout_ns,
        .kind = FIRN_GATE_READ,
    };
    if (!db->open_gate && db->fresh_ns < need_ns)
        x->gate.probe = db->vt->probe(db);
}

/* May a read follow the connection's own write before that is durable? It sees all that is applied,
 * and its reply is held until that is durable: no longer than the reply to the write before it
 * while that is of the newest batch. So a pipeline of writes and reads does not wait for a commit
 * at each read. Not for walks and tokens, which outlive one evaluation. */
static bool may_follow(const struct firn_eval *x)
{
    return x->s->wrote_gate == x->db->last_gate && x->cmd->keys[0].first &&
           !(x->cmd->id & FIRN_TRAIT_AT);
}

static enum firn_status follow(struct firn_eval *x)
{
    struct firn_db *db = x->db;
    struct firn_session *s = x->s;
    uint64_t freshness = firn_engine__freshness(s);
    firn_engine__gate_applied(x, x->arrival_ns > freshness ? x->arrival_ns - freshness : 0);
    s->wrote_seqno = db->applied_seqno; /* what it sees, its next token names */
    x->view = db->view;
    x->max_seqno = UINT64_MAX;
    return FIRN_OK;
}

enum firn_status firn_engine__read_ready(struct firn_eval *x)
{
    struct firn_db *db = x->db;
    struct firn_session *s = x->s;
    if (x->tx)
        return FIRN_OK; /* its transaction chose the state */
    uint64_t must_see = s->watcher.gate > s->wrote_gate ? s->watcher.gate : s->wrote_gate;
    if (x->durable && must_see > db->durable_gate && !db->fenced) {
        if (may_follow(x))
            return follow(x);
        struct firn_wait w = {
            .kind = FIRN_WAIT_OWN,
            .gate = must_see,
            .deadline_ns = x->arrival_ns + db->settings->read_timeout_ns,
        };
        return firn_engine__await(x, &w);
    }
    enum firn_status st = firn_engine__fresh_ready(x);
    if (st != FIRN_OK)
        return st;
    if (db->fresh_ns)
        firn_hist_add(&x->e->stat.state_age_ns,
                      x->arrival_ns > db->fresh_ns ? x->arrival_ns - db->fresh_ns : 0);
    x->view = db->view;
    x->max_seqno = x->durable ? db->durable_seqno : UINT64_MAX;
    return FIRN_OK;
}

/* ---- values */

enum firn_status firn_engine__key(struct firn_eval *x, struct firn_slice user,
                                  struct firn_slice *out)
{
    if (user.len > FIRN_USER_KEY_MAX) {
        firn_reply_error(x->out, "ERR key of %zu bytes is longer than %d", user.len,
                         FIRN_USER_KEY_MAX);
        return FIRN_INVALID;
    }
    x->e->key[0] = x->ns;
    if (user.len)
        memcpy(x->e->key + 1, user.data, user.len);
    *out = firn_slice_of(x->e->key, user.len + 1);
    return FIRN_OK;
}

/* What an earlier step of this command, or of its transaction, did to the key: OK, ABSENT
 * (deleted), AGAIN (nothing). */
static enum firn_status get_from_group(struct firn_eval *x, struct firn_slice key,
                                       struct firn_entry *out)
{
    const struct firn_group *g = &x->e->group;
    const struct firn_record *r;
    enum firn_status st = firn_engine__group_find(&x->e->group, key, &r);
    if (st == FIRN_ABSENT)
        return FIRN_AGAIN;
    if (st == FIRN_OK && g->ranges && (size_t)(r - g->rec) < x->group_from)
        return FIRN_AGAIN; /* a range delete may have come after it: the view knows */
    if (st != FIRN_OK)
        return st;
    if (r->kind != FIRN_RECORD_PUT)
        return FIRN_ABSENT;
    *out =
        (struct firn_entry){.value = r->value, .expiry_ms = r->expiry_ms, .kind = FIRN_RECORD_PUT};
    return FIRN_OK;
}

enum firn_status firn_engine__get(struct firn_eval *x, struct firn_slice user,
                                  struct firn_entry *out)
{
    struct firn_slice key;
    enum firn_status st = firn_engine__key(x, user, &key);
    if (st != FIRN_OK)
        return st;
    if (x->e->group.n) {
        st = get_from_group(x, key, out);
        if (st == FIRN_AGAIN)
            st = x->e->group.ranges ? firn_engine__tx_show(x) : FIRN_OK;
        else
            return st;
        if (st != FIRN_OK)
            return st;
    }
    st = firn_view_get(x->view, &x->s->read, key, x->max_seqno, out);
    if (st == FIRN_OK && out->expiry_ms && out->expiry_ms <= firn_engine__now(x)) {
        x->e->stat.expired_hidden += !x->e->expirer.on; /* else its record counts */
        firn_engine__track_expired(&x->e->tracking, user);
        return FIRN_ABSENT;
    }
    return st;
}

enum firn_status firn_engine__gather(struct firn_eval *x, size_t first, size_t step, size_t n)
{
    enum firn_status worst = x->e->group.ranges ? firn_engine__tx_show(x) : FIRN_OK;
    struct firn_entry ignored;
    if (worst != FIRN_OK)
        return worst;
    for (size_t i = 0; i < n; i++) {
        struct firn_slice key;
        enum firn_status st = firn_engine__key(x, x->argv[first + i * step], &key);
        if (st == FIRN_OK)
            st = firn_view_get(x->view, &x->s->read, key, x->max_seqno, &ignored);
        if (st == FIRN_AGAIN)
            worst = st;
        else if (st != FIRN_OK && st != FIRN_ABSENT)
            return st;
    }
    return worst;
}

void firn_engine__count_lookup(struct firn_eval *x, enum firn_status st)
{
    if (st == FIRN_OK)
        x->e->stat.hits++;
    else if (st == FIRN_ABSENT)
        x->e->stat.misses++;
}

/* ---- fetches */

static void fetch_done(struct firn_read *r)
{
    struct firn_session *s = r->arg;
    s->fetching = false;
    s->fetch_failed = firn_read_status(r) != FIRN_OK;
    firn_conn_resume(s->c);
}

void firn_engine__fetch_start(struct firn_session *s, uint64_t deadline_ns)
{
    FIRN_ASSERT(firn_read_wants(&s->read));
    s->fetching = true;
    firn_read_fetch(&s->read, deadline_ns, fetch_done, s);
}

enum firn_status firn_engine__manifest_read(struct firn_eval *x)
{
    struct firn_session *s = x->s;
    struct firn_db *db = x->db;
    if (!s->reload_ticket)
        s->reload_ticket = db->vt->reload_view(db);
    if (db->reload_done < s->reload_ticket) {
        struct firn_wait w = {
            .kind = FIRN_WAIT_VIEW,
            .ticket = s->reload_ticket,
            .deadline_ns = x->arrival_ns + db->settings->read_timeout_ns,
        };
        return firn_engine__await(x, &w);
    }
    if (!db->view_error.text[0])
        return FIRN_OK;
    firn_reply_error(x->out, "KVBUSY the manifest could not be reloaded: %s; nothing was applied",
                     db->view_error.text);
    return FIRN_INVALID;
}

/* A 404: the object was compacted away under this view and a newer manifest names something else.
 * Reload it once and evaluate anew on the new view; one that still names a missing object is
 * damaged, unless this is a walk, which lasts: that goes on under a pin. */
static enum firn_status retry_on_new_view(struct firn_eval *x)
{
    struct firn_session *s = x->s;
    if (s->at_snapshot)
        return firn_engine__snapshot_gone(x);
    if (s->retried && x->db->pins && firn_engine__range_is_open(s) &&
        s->pinned.hold.state != FIRN_PIN_HELD)
        return firn_engine__range_lost(x);
    if (s->retried)
        return FIRN_CORRUPT;
    FIRN_SOMETIMES_IF(!firn_engine__range_is_open(s), "engine: 404 of a point read");
    FIRN_SOMETIMES_IF(firn_engine__range_is_open(s), "engine: 404 of a walk");
    x->e->stat.reloads += s->reload_ticket == 0;
    enum firn_status st = firn_engine__manifest_read(x);
    if (st != FIRN_OK)
        return st;
    s->retried = true;
    firn_engine__range_close(s);
    firn_read_clear(&s->read);
    return FIRN_OK;
}

enum firn_status firn_engine__fetch_result(struct firn_eval *x)
{
    enum firn_status st = firn_read_status(&x->s->read);
    if (st == FIRN_ABSENT)
        st = retry_on_new_view(x);
    if (st != FIRN_AGAIN)
        x->s->fetch_failed = false;
    return st;
}
