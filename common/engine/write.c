/* Writes: admission, records, what a reply waits for; and commands that in the end write nothing.
 */
#include "engine/engine_priv.h"
#include "engine/tx_priv.h"

/* ---- may it be written now */

enum firn_status firn_engine__refuse_readonly(struct firn_engine *e, struct firn_reply *out)
{
    const struct firn_db *db = e->db;
    const char *who = db->writable
                          ? "a newer writer serves this database, or this one is going down"
                          : "You can't write against a read only replica";
    e->stat.readonly++;
    if (db->writer_addr[0])
        firn_reply_error(out, "READONLY %s; the writer is at %s", who, db->writer_addr);
    else
        firn_reply_error(out, "READONLY %s.", who);
    return FIRN_INVALID;
}

size_t firn_engine__bytes_of_args(const struct firn_eval *x)
{
    size_t bytes = 0;
    for (size_t i = 1; i < x->argc; i++)
        bytes += x->argv[i].len + FIRN_RECORD_OVERHEAD;
    return bytes;
}

enum firn_status firn_engine__write_ready(struct firn_eval *x, size_t bytes)
{
    struct firn_db *db = x->db;
    if (x->tx)
        return FIRN_OK; /* its transaction was admitted */
    if (!db->writable || db->fenced)
        return firn_engine__refuse_readonly(x->e, x->out);
    switch (db->vt->admit(db, bytes)) {
    case FIRN_ADMIT_OK:
        break;
    case FIRN_ADMIT_FENCED:
        return firn_engine__refuse_readonly(x->e, x->out);
    case FIRN_ADMIT_BUSY:
        x->e->stat.busy++;
        firn_reply_error(x->out, "KVBUSY %s; nothing was applied, it is safe to retry",
                         db->busy_why ? db->busy_why : "no writes are taken now");
        return FIRN_INVALID;
    case FIRN_ADMIT_WAIT: {
        struct firn_wait w = {
            .kind = FIRN_WAIT_ROOM,
            .bytes = bytes,
            .deadline_ns = x->arrival_ns + db->settings->commit_timeout_ns,
        };
        return firn_engine__await(x, &w);
    }
    }
    x->view = db->view;
    x->max_seqno = UINT64_MAX;
    if ((x->cmd->id & FIRN_TRAIT_READS) && !x->held) {
        /* Applying may put a new view in place; old values go into the reply after that. */
        firn_view_ref(x->view);
        x->held = x->view;
    }
    return FIRN_OK;
}

/* ---- records */

enum firn_status firn_engine__check_value(struct firn_eval *x, uint64_t len)
{
    if (len <= x->db->settings->value_max_bytes)
        return FIRN_OK;
    firn_reply_error(x->out, "ERR value of %llu bytes is longer than value-max (%llu)",
                     (unsigned long long)len, (unsigned long long)x->db->settings->value_max_bytes);
    return FIRN_INVALID;
}

enum firn_status firn_engine__log(struct firn_engine *e, const struct firn_record *rec, size_t n,
                                  uint64_t *slot, uint64_t *seqno)
{
    enum firn_status st = e->db->vt->apply(e->db, rec, n, slot, seqno);
    if (st == FIRN_OK && e->watches.keys.len)
        firn_engine__watch_touch(&e->watches, rec, n);
    if (st == FIRN_OK && !firn_list_empty(&e->tracking.sessions))
        firn_engine__track_applied(&e->tracking, rec, n, *seqno);
    for (size_t i = 0; st == FIRN_OK && e->expirer.on && i < n; i++)
        firn_engine__expirer_note(e, &rec[i]);
    return st;
}

/* Apply n records as one atomic group and note what the reply waits for. */
static enum firn_status apply(struct firn_eval *x, const struct firn_record *rec, size_t n)
{
    struct firn_db *db = x->db;
    struct firn_session *s = x->s;
    uint64_t slot, seqno;
    x->e->tracking.writing = s;
    enum firn_status st = firn_engine__log(x->e, rec, n, &slot, &seqno);
    x->e->tracking.writing = NULL;
    if (st != FIRN_OK)
        return st;
    x->e->stat.writes++;
    s->wrote_gate = slot + 1;
    s->wrote_seqno = seqno;
    s->wrote_place = (struct firn_place){db->durable_place.epoch, slot};
    if (x->durable) {
        x->gated = true;
        x->gate = (struct firn_gate){
            .slot = slot + 1,
            .deadline_ns = x->arrival_ns + db->settings->commit_timeout_ns,
            .kind = FIRN_GATE_WRITE,
        };
    }
    return FIRN_OK;
}

enum firn_status firn_engine__record(struct firn_eval *x, const struct firn_record *r)
{
    return x->tx ? firn_engine__tx_add(x, r, true) : apply(x, r, 1);
}

/* Add to the group, the value borrowed. */
static enum firn_status gather_record(struct firn_eval *x, const struct firn_record *r)
{
    return x->tx ? firn_engine__tx_add(x, r, false) : firn_engine__group_add(&x->e->group, r);
}

/* The record of a put. Its key lies in e->key. */
static enum firn_status make_put(struct firn_eval *x, struct firn_slice user,
                                 struct firn_slice value, uint64_t expiry_ms, enum firn_event event,
                                 struct firn_record *r)
{
    enum firn_status st = firn_engine__check_value(x, value.len);
    if (st != FIRN_OK)
        return st;
    *r = (struct firn_record){.kind = FIRN_RECORD_PUT, .event = (uint8_t)event, .value = value};
    if (value.len == 0 && x->db->settings->empty_value == FIRN_EMPTY_DELETES) {
        r->kind = FIRN_RECORD_DEL;
        r->event = FIRN_EVENT_DEL;
    } else if (expiry_ms) {
        r->flags = FIRN_RECORD_HAS_EXPIRY;
        r->expiry_ms = expiry_ms;
    }
    return firn_engine__key(x, user, &r->key);
}

enum firn_status firn_engine__put(struct firn_eval *x, struct firn_slice user,
                                  struct firn_slice value, uint64_t expiry_ms,
                                  enum firn_event event)
{
    struct firn_record r;
    enum firn_status st = make_put(x, user, value, expiry_ms, event, &r);
    return st == FIRN_OK ? firn_engine__record(x, &r) : st;
}

static enum firn_status make_del(struct firn_eval *x, struct firn_slice user, enum firn_event event,
                                 struct firn_record *r)
{
    *r = (struct firn_record){.kind = FIRN_RECORD_DEL, .event = (uint8_t)event};
    return firn_engine__key(x, user, &r->key);
}

enum firn_status firn_engine__del(struct firn_eval *x, struct firn_slice user,
                                  enum firn_event event)
{
    struct firn_record r;
    enum firn_status st = make_del(x, user, event, &r);
    return st == FIRN_OK ? firn_engine__record(x, &r) : st;
}

enum firn_status firn_engine__group_put(struct firn_eval *x, struct firn_slice user,
                                        struct firn_slice value, uint64_t expiry_ms,
                                        enum firn_event event)
{
    struct firn_record r;
    enum firn_status st = make_put(x, user, value, expiry_ms, event, &r);
    return st == FIRN_OK ? gather_record(x, &r) : st;
}

enum firn_status firn_engine__group_del(struct firn_eval *x, struct firn_slice user,
                                        enum firn_event event)
{
    struct firn_record r;
    enum firn_status st = make_del(x, user, event, &r);
    return st == FIRN_OK ? gather_record(x, &r) : st;
}

enum firn_status firn_engine__check_group(struct firn_eval *x, size_t n, size_t bytes)
{
    bytes += 2 * FIRN_RECORD_OVERHEAD; /* the group's marks */
    if (bytes <= x->db->settings->batch_bytes_max)
        return FIRN_OK;
    firn_reply_error(x->out,
                     "ERR %zu records of %zu bytes are more than batch-bytes-max (%llu) takes; "
                     "nothing was applied",
                     n, bytes, (unsigned long long)x->db->settings->batch_bytes_max);
    return FIRN_INVALID;
}

static enum firn_status make_publish(struct firn_eval *x, struct firn_slice channel,
                                     struct firn_slice message, enum firn_event event,
                                     struct firn_record *r)
{
    if (channel.len > FIRN_USER_KEY_MAX) {
        firn_reply_error(x->out, "ERR channel name of %zu bytes is longer than %d", channel.len,
                         FIRN_USER_KEY_MAX);
        return FIRN_INVALID;
    }
    *r = (struct firn_record){
        .kind = FIRN_RECORD_PUBLISH, .event = (uint8_t)event, .key = channel, .value = message};
    return firn_engine__check_value(x, message.len);
}

enum firn_status firn_engine__publish(struct firn_eval *x, struct firn_slice channel,
                                      struct firn_slice message, enum firn_event event)
{
    struct firn_record r;
    enum firn_status st = make_publish(x, channel, message, event, &r);
    return st == FIRN_OK ? firn_engine__record(x, &r) : st;
}

enum firn_status firn_engine__commit(struct firn_eval *x)
{
    const struct firn_group *g = &x->e->group;
    FIRN_ASSERT(g->n > 0);
    if (x->tx)
        return FIRN_OK; /* with all the others of its transaction */
    enum firn_status st = firn_engine__check_group(x, g->n, g->bytes);
    return st == FIRN_OK ? apply(x, g->rec, g->n) : st;
}

enum firn_status firn_engine__del_range(struct firn_eval *x, struct firn_slice start,
                                        struct firn_slice end)
{
    struct firn_record r = {
        .kind = FIRN_RECORD_RANGEDEL, .event = FIRN_EVENT_NONE, .key = start, .end_key = end};
    return firn_engine__record(x, &r);
}

/* ---- nothing to write */

enum firn_status firn_engine__noop(struct firn_eval *x)
{
    if (x->tx)
        return FIRN_OK; /* decided for the transaction as a whole */
    if (!x->durable) {
        enum firn_status st = firn_engine__fresh_ready(x);
        if (st == FIRN_OK)
            x->e->stat.noops++;
        return st;
    }
    /* The state evaluated holds the open batch. Its commit is a probe that begins after now;
     * without one the newest batch must be durable and a probe begun after the command came must
     * have ended (I6). */
    x->e->stat.noops++;
    firn_engine__gate_applied(x, x->arrival_ns);
    return FIRN_OK;
}

enum firn_status firn_engine__noop_i64(struct firn_eval *x, int64_t v)
{
    enum firn_status st = firn_engine__noop(x);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, v);
    return st;
}

enum firn_status firn_engine__noop_null(struct firn_eval *x)
{
    enum firn_status st = firn_engine__noop(x);
    if (st == FIRN_OK)
        firn_reply_null(x->out);
    return st;
}

enum firn_status firn_engine__data_error(struct firn_eval *x, const char *text)
{
    enum firn_status st = firn_engine__noop(x);
    if (st == FIRN_OK)
        firn_reply_error(x->out, "%s", text);
    return st == FIRN_OK ? FIRN_INVALID : st;
}
