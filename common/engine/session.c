/* Sessions: what the engine keeps for each connection. */
#include "engine/engine_priv.h"

#include "base/mem.h"

void firn_engine__session_open(void *engine, struct firn_conn *c)
{
    struct firn_engine *e = engine;
    struct firn_session *s = firn_calloc(1, sizeof *s);
    if (!s)
        return; /* exec finds no session, says so and closes the connection */
    s->e = e;
    s->c = c;
    firn_list_init(&s->link);
    firn_list_init(&s->wait.link);
    firn_list_init(&s->range.hold.link);
    firn_list_init(&s->ahead_link);
    firn_engine__subs_init(&s->subs);
    firn_list_init(&s->watcher.keys);
    firn_read_init(&s->read, e->db->lsm);
    firn_read_init(&s->ahead, e->db->lsm);
    firn_buf_init(&s->range.bounds, 2 * (FIRN_KEY_MAX + 1));
    firn_buf_init(&s->range.last, FIRN_KEY_MAX);
    firn_buf_init(&s->ahead_keys, FIRN_ENGINE_AHEAD_BYTES);
    firn_engine__track_init(&s->track);
    firn_list_init(&s->monitor);
    firn_list_push(&e->sessions, &s->link);
    *firn_conn_session(c) = s;
    firn_engine__account(s);
}

void firn_engine__account(struct firn_session *s)
{
    const struct firn_range *r = &s->range;
    firn_conn_charge(s->c, sizeof *s + firn_engine__queue_bytes(&s->queue) + s->watcher.bytes +
                               s->ahead_keys.cap + r->rows.buf.cap + r->bounds.cap + r->last.cap);
}

void firn_engine__session_done(struct firn_session *s)
{
    firn_list_remove(&s->wait.link);
    s->wait.kind = FIRN_WAIT_NONE;
    firn_engine__range_close(s);
    if (s->read.tables_looked || s->read.npins || s->read.trips || s->read.nwants ||
        s->read.explain)
        firn_read_clear(&s->read); /* a memtable hit leaves nothing to clear */
    if (s->was_parked)
        firn_engine__account(s);
    s->fetching = s->fetch_failed = s->retried = s->was_parked = false;
    s->busy_ns = 0;
    s->reload_ticket = 0;
    s->ticket = s->behind_gate = 0;
    firn_engine__feed_soon_over(s);
    s->at_snapshot = 0;
    if (s->changes) {
        firn_engine__changes_free(s->changes);
        s->changes = NULL;
    }
    if (s->pinned.hold.state != FIRN_PIN_IDLE)
        firn_engine__unpin(&s->pinned);
    s->pin_wanted = false;
    s->draw = 0;
    s->commits_done = 0;
    if (s->queue.ending)
        firn_engine__transaction_end(s);
    if (s->commit) {
        if (s->commit->done)
            firn_free(s->commit);
        else
            s->commit->session = NULL; /* its callback frees it */
        s->commit = NULL;
    }
}

void firn_engine__session_close(void *engine, struct firn_conn *c)
{
    (void)engine;
    struct firn_session *s = *firn_conn_session(c);
    if (!s)
        return;
    firn_engine__session_done(s);
    firn_engine__unsubscribe_all(s);
    firn_engine__track_off(s);
    firn_engine__monitor_off(s);
    firn_engine__transaction_end(s);
    firn_read_clear(&s->ahead);
    firn_list_remove(&s->ahead_link);
    firn_list_remove(&s->link);
    firn_buf_clear(&s->range.bounds);
    firn_buf_clear(&s->range.last);
    firn_buf_clear(&s->ahead_keys);
    *firn_conn_session(c) = NULL;
    firn_free(s);
}

void firn_engine__session_reset(void *engine, struct firn_conn *c)
{
    (void)engine;
    struct firn_session *s = *firn_conn_session(c);
    if (!s)
        return;
    s->ack_chosen = s->freshness_chosen = false;
    firn_engine__transaction_end(s);
    firn_engine__unsubscribe_all(s);
    firn_engine__track_off(s);
    firn_engine__monitor_off(s);
}

void firn_engine__session_describe(void *engine, struct firn_conn *c,
                                   struct firn_conn_describe *out)
{
    (void)engine;
    const struct firn_session *s = *firn_conn_session(c);
    if (!s)
        return;
    out->sub = s->subs.n[FIRN_TOPIC_CHANNEL];
    out->psub = s->subs.n[FIRN_TOPIC_PATTERN];
    out->ssub = s->subs.n[FIRN_TOPIC_SHARD];
    out->multi = s->queue.on ? (int)s->queue.n : -1;
    out->multi_bytes = firn_engine__queue_bytes(&s->queue);
    out->watch = s->watcher.n;
    out->tracking = s->track.on;
    out->redirect = s->track.redirect;
    const struct {
        bool is;
        char letter;
    } flag[] = {
        {!firn_list_empty(&s->monitor), 'O'},
        {out->sub || out->psub || out->ssub, 'P'},
        {s->queue.on, 'x'},
        {s->track.on, 't'},
        {s->track.on && s->track.broken_redirect, 'R'},
        {s->track.on && s->track.bcast, 'B'},
        {s->watcher.touched, 'd'},
    };
    for (size_t i = 0, n = 0; i < sizeof flag / sizeof *flag; i++)
        if (flag[i].is)
            out->flags[n++] = flag[i].letter;
}

int firn_engine__ack(const struct firn_session *s)
{
    return s->ack_chosen ? s->ack : s->e->db->settings->ack;
}

uint64_t firn_engine__freshness(const struct firn_session *s)
{
    return s->freshness_chosen ? s->freshness_ns : s->e->db->settings->freshness_ns;
}

/* The last slot before `end`. Before slot 0 of an epoch lies the whole of the epoch before: its
 * last slot that can be named stands for that, and is consumed once the seal was passed. */
static struct firn_place place_before(struct firn_place end)
{
    if (end.slot > 0)
        return (struct firn_place){end.epoch, end.slot - 1};
    if (end.epoch > 0)
        return (struct firn_place){end.epoch - 1, FIRN_SLOT_MAX};
    return end;
}

static uint32_t db_short(const struct firn_db *db)
{
    struct firn_id id;
    memcpy(id.byte, db->db_id, sizeof id.byte);
    return firn_id_short(&id);
}

struct firn_token firn_engine__state_token(const struct firn_engine *e)
{
    const struct firn_db *db = e->db;
    return (struct firn_token){
        .db = db_short(db), .place = place_before(db->durable_place), .seqno = db->durable_seqno};
}

size_t firn_engine__token(struct firn_session *s, char out[FIRN_TOKEN_MAX])
{
    const struct firn_db *db = s->e->db;
    struct firn_token t = firn_engine__state_token(s->e);
    bool applied = db->writable && firn_engine__ack(s) == FIRN_ACK_APPLIED;
    if (applied && db->last_gate > db->durable_gate) {
        t.place = (struct firn_place){db->durable_place.epoch, db->last_gate - 1};
        t.seqno = db->applied_seqno;
    } else if (s->wrote_seqno > t.seqno) {
        t.place = s->wrote_place;
        t.seqno = s->wrote_seqno;
    }
    return firn_token_format(&t, out);
}

enum firn_status firn_engine__parse_token(struct firn_eval *x, struct firn_slice text,
                                          struct firn_token *out)
{
    if (firn_token_parse(text, out) != FIRN_OK) {
        firn_reply_error(x->out, "ERR invalid token");
        return FIRN_INVALID;
    }
    if (out->db != db_short(x->db)) {
        firn_reply_error(x->out, "ERR the token is of another database");
        return FIRN_INVALID;
    }
    return FIRN_OK;
}
