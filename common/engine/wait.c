/* Parking and waking. Parked commands lie in engine->waiting in the order they came;
 * firn_engine_advance and, while any of them has a deadline, a timer look through them. Waking one
 * only means that it is evaluated anew: whether it can really go on is decided there. */
#include "engine/engine_priv.h"

#include "base/sometimes.h"
#include "engine/tx_priv.h"

static bool token_reached(const struct firn_db *db, struct firn_place place)
{
    return firn_place_cmp(db->durable_place, place) > 0;
}

static enum firn_status timed_out(struct firn_eval *x, enum firn_wait_kind kind)
{
    struct firn_engine *e = x->e;
    if (kind == FIRN_WAIT_ROOM) {
        FIRN_SOMETIMES("engine: a write refused after waiting for room");
        e->stat.busy++;
        firn_reply_error(x->out, "KVBUSY %s; nothing was applied, it is safe to retry",
                         x->db->busy_why ? x->db->busy_why : "no room within commit-timeout");
        return FIRN_INVALID;
    }
    if (kind == FIRN_WAIT_COMMIT) {
        FIRN_SOMETIMES("engine: a setting not committed in time");
        return firn_engine__setting_unknown(x);
    }
    FIRN_SOMETIMES("engine: a read refused after waiting");
    e->stat.stale++;
    const char *what = kind == FIRN_WAIT_OWN     ? "this connection's own writes were not durable"
                       : kind == FIRN_WAIT_PLACE ? "the token was not reached"
                       : kind == FIRN_WAIT_VIEW  ? "the manifest could not be reloaded"
                       : kind == FIRN_WAIT_PIN   ? "the pin could not be written"
                       : kind == FIRN_WAIT_LOG   ? "the log could not be read"
                                                 : "the freshness asked for could not be had";
    firn_reply_error(x->out, "KVSTALE %s in time", what);
    return FIRN_INVALID;
}

void firn_engine__want_gate(struct firn_db *db, uint64_t gate)
{
    if (gate > db->durable_gate)
        db->vt->want_place(db, (struct firn_place){db->durable_place.epoch, gate - 1});
}

enum firn_status firn_engine__await(struct firn_eval *x, const struct firn_wait *w)
{
    if ((w->deadline_ns && firn_boot_ns(x->db->env) >= w->deadline_ns) ||
        firn_engine__tx_running(x))
        return timed_out(x, w->kind);
    if (w->kind == FIRN_WAIT_OWN)
        firn_engine__want_gate(x->db, w->gate);
    struct firn_list link = x->s->wait.link;
    FIRN_ASSERT(firn_list_empty(&x->s->wait.link));
    x->s->wait = *w;
    x->s->wait.link = link;
    return FIRN_AGAIN;
}

enum firn_status firn_engine__await_token(struct firn_eval *x, const struct firn_token *t,
                                          bool durable, uint64_t deadline_ns)
{
    struct firn_db *db = x->db;
    bool whole_epoch = t->place.slot == FIRN_SLOT_MAX; /* "before slot 0", see place_before */
    if (!whole_epoch && db->vt->place_lost && db->vt->place_lost(db, t->place)) {
        FIRN_SOMETIMES("engine: a token behind the end of its epoch");
        firn_reply_error(x->out, "ERR the token lies behind the end of its writer's log: "
                                 "that write was never durable");
        return FIRN_INVALID;
    }
    if (token_reached(db, t->place))
        return FIRN_OK;
    if (!durable && db->writable && t->place.epoch == db->durable_place.epoch &&
        t->seqno <= db->applied_seqno)
        return FIRN_OK;
    db->vt->want_place(db, t->place);
    struct firn_wait w = {.kind = FIRN_WAIT_PLACE, .deadline_ns = deadline_ns, .place = t->place};
    return firn_engine__await(x, &w);
}

void firn_engine__park(struct firn_eval *x)
{
    struct firn_session *s = x->s;
    struct firn_engine *e = x->e;
    s->was_parked = true;
    e->stat.parked[s->wait.kind]++;
    if (s->wait.kind == FIRN_WAIT_TURN) {
        firn_list_push(&e->turning, &s->wait.link);
        if (!firn_timer_running(&e->turn))
            firn_timer_start(x->db->env, &e->turn, 0);
        return;
    }
    if (s->wait.kind == FIRN_WAIT_FETCH)
        return; /* its callback wakes it */
    firn_list_push(&e->waiting, &s->wait.link);
    if (!firn_timer_running(&e->tick))
        firn_timer_start(x->db->env, &e->tick, FIRN_ENGINE_TICK_NS);
}

static struct firn_session *session_of(struct firn_wait *w)
{
    return FIRN_CONTAINER(w, struct firn_session, wait);
}

static void resume(struct firn_wait *w)
{
    firn_list_remove(&w->link);
    firn_conn_resume(session_of(w)->c);
}

/* Whether what w waits for has come. *room turns false once admit has said WAIT: it is not asked
 * again. */
static bool wait_over(struct firn_engine *e, const struct firn_wait *w, bool *room)
{
    struct firn_db *db = e->db;
    switch (w->kind) {
    case FIRN_WAIT_OWN:
        return db->durable_gate >= w->gate || db->fenced;
    case FIRN_WAIT_FRESH:
        return (db->fresh_ns && db->fresh_ns >= w->fresh_ns) ||
               (w->ticket && db->probe_done >= w->ticket);
    case FIRN_WAIT_ROOM:
        if (*room)
            *room = db->fenced || db->vt->admit(db, w->bytes) != FIRN_ADMIT_WAIT;
        return *room;
    case FIRN_WAIT_PLACE:
        return token_reached(db, w->place) ||
               (db->vt->place_lost && db->vt->place_lost(db, w->place));
    case FIRN_WAIT_VIEW:
        return db->reload_done >= w->ticket;
    case FIRN_WAIT_PIN: /* their own callbacks wake them */
    case FIRN_WAIT_LOG:
    case FIRN_WAIT_SLEEP:
    case FIRN_WAIT_COMMIT:
        return false;
    case FIRN_WAIT_NONE:
    case FIRN_WAIT_FETCH:
    case FIRN_WAIT_TURN:
        break;
    }
    return true;
}

void firn_engine__wake(struct firn_engine *e)
{
    if (firn_list_empty(&e->waiting))
        return;
    bool room = true;
    uint64_t now = firn_boot_ns(e->db->env);
    FIRN_LIST_EACH(it, nx, &e->waiting)
    {
        struct firn_wait *w = FIRN_CONTAINER(it, struct firn_wait, link);
        if ((w->deadline_ns && now >= w->deadline_ns) || wait_over(e, w, &room))
            resume(w);
    }
}

void firn_engine__wake_all(struct firn_engine *e)
{
    FIRN_LIST_EACH(it, nx, &e->waiting)
    resume(FIRN_CONTAINER(it, struct firn_wait, link));
}

void firn_engine__tick(void *engine)
{
    struct firn_engine *e = engine;
    firn_engine__wake(e);
    if (!firn_list_empty(&e->waiting))
        firn_timer_start(e->db->env, &e->tick, FIRN_ENGINE_TICK_NS);
}

void firn_engine__turn(void *engine)
{
    struct firn_engine *e = engine;
    FIRN_LIST_EACH(it, nx, &e->turning)
    resume(FIRN_CONTAINER(it, struct firn_wait, link));
}
