#include "engine/cmd_priv.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/sometimes.h"

/* A key that somebody may hold. */
struct firn_tracked {
    struct firn_hashtab_node node;
    struct firn_list order;
    struct firn_list by; /* struct firn_tracked_by.of_key */
    size_t len;
    uint8_t key[]; /* the user's part: as in Redis, the database does not count */
};

struct firn_tracked_by {
    struct firn_list of_key, of_session;
    struct firn_tracked *k;
    struct firn_session *s;
    uint64_t seqno; /* the state it was read from held all up to this */
};

static struct firn_session *session_of(struct firn_list *link)
{
    return FIRN_CONTAINER(FIRN_CONTAINER(link, struct firn_track, link), struct firn_session,
                          track);
}

/* ---- the table */

static uint64_t hash_of(const struct firn_tracking *t, struct firn_slice key)
{
    return firn_xxh3_seed(key.data, key.len, t->seed);
}

static struct firn_tracked *find(const struct firn_tracking *t, struct firn_slice key)
{
    struct firn_hashtab_node *n = firn_hashtab_find(&t->keys, hash_of(t, key));
    for (; n; n = firn_hashtab_next(n)) {
        struct firn_tracked *k = FIRN_CONTAINER(n, struct firn_tracked, node);
        if (firn_slice_eq(firn_slice_of(k->key, k->len), key))
            return k;
    }
    return NULL;
}

static void count(struct firn_tracking *t, size_t bytes)
{
    t->bytes = bytes;
    firn_engine__remembered(t->e);
}

static struct firn_tracked *find_or_add(struct firn_tracking *t, struct firn_slice key)
{
    struct firn_tracked *k = find(t, key);
    if (k)
        return k;
    k = firn_malloc(sizeof *k + key.len);
    if (!k)
        return NULL;
    k->len = key.len;
    if (key.len)
        memcpy(k->key, key.data, key.len);
    firn_list_init(&k->by);
    firn_list_init(&k->order);
    if (firn_hashtab_add(&t->keys, &k->node, hash_of(t, key)) != FIRN_OK) {
        firn_free(k);
        return NULL;
    }
    firn_list_push(&t->order, &k->order);
    count(t, t->bytes + sizeof *k + k->len);
    return k;
}

static void drop_key(struct firn_tracking *t, struct firn_tracked *k)
{
    firn_hashtab_remove(&t->keys, &k->node);
    firn_list_remove(&k->order);
    count(t, t->bytes - sizeof *k - k->len);
    firn_free(k);
}

static void drop_entry(struct firn_tracking *t, struct firn_tracked_by *b)
{
    firn_list_remove(&b->of_key);
    firn_list_remove(&b->of_session);
    firn_free(b);
    t->entries--;
    count(t, t->bytes - sizeof *b);
}

static void drop_keys_of(struct firn_session *s)
{
    struct firn_tracking *t = &s->e->tracking;
    struct firn_list *it;
    while ((it = s->track.keys.next) != &s->track.keys) {
        struct firn_tracked_by *b = FIRN_CONTAINER(it, struct firn_tracked_by, of_session);
        struct firn_tracked *k = b->k;
        drop_entry(t, b);
        if (firn_list_empty(&k->by))
            drop_key(t, k);
    }
}

/* ---- telling */

/* The connection that hears for s, or NULL: nobody can. */
static struct firn_conn *hearer(struct firn_session *s, bool *message)
{
    struct firn_track *k = &s->track;
    struct firn_conn *c = s->c;
    *message = false;
    if (!k->redirect)
        return firn_conn_resp(c) == 3 ? c : NULL;
    struct firn_conn *to = firn_server_find(s->e->server, k->redirect);
    if (to) {
        const struct firn_session *other = *firn_conn_session(to);
        *message = firn_conn_resp(to) == 2;
        return !*message || (other && other->subs.n[FIRN_TOPIC_CHANNEL]) ? to : NULL;
    }
    if (!k->broken_redirect && firn_conn_resp(c) == 3) {
        struct firn_reply r;
        firn_reply_init(&r, SIZE_MAX, 3);
        firn_reply_push(&r, 2);
        firn_reply_str(&r, "tracking-redir-broken");
        firn_reply_i64(&r, (int64_t)k->redirect);
        if (r.failed)
            firn_conn_close(c, false);
        else
            firn_conn_push(c, firn_buf_slice(&r.buf));
        firn_reply_clear(&r);
    }
    k->broken_redirect = true;
    return NULL;
}

/* Tell s that a key has changed; NULL: that anything may have. Outside of every command. */
static void tell_now(struct firn_session *s, const struct firn_slice *key)
{
    bool message;
    struct firn_conn *c = hearer(s, &message);
    struct firn_reply r;
    if (!c)
        return;
    s->e->tracking.told++;
    firn_reply_init(&r, SIZE_MAX, firn_conn_resp(c));
    firn_reply_push(&r, message ? 3 : 2);
    if (message) {
        firn_reply_str(&r, "message");
        firn_reply_str(&r, FIRN_TRACKING_CHANNEL);
    } else {
        firn_reply_str(&r, "invalidate");
    }
    if (key) {
        firn_reply_array(&r, 1);
        firn_reply_bulk(&r, *key);
    } else if (message) {
        firn_reply_null_array(&r);
    } else {
        firn_reply_null(&r);
    }
    if (r.failed)
        firn_conn_close(c, false); /* it must not hold what has changed and not know it */
    else
        firn_conn_push(c, firn_buf_slice(&r.buf));
    firn_reply_clear(&r);
}

static void drop_note(struct firn_track_note *n)
{
    firn_list_remove(&n->of_all);
    firn_list_remove(&n->of_session);
    firn_free(n);
}

static void drop_notes_of(struct firn_session *s)
{
    FIRN_LIST_EACH(it, nx, &s->track.notes)
    drop_note(FIRN_CONTAINER(it, struct firn_track_note, of_session));
}

static void tell_notes(void *arg)
{
    struct firn_tracking *t = arg;
    while (!firn_list_empty(&t->notes)) {
        struct firn_track_note *n = FIRN_CONTAINER(t->notes.next, struct firn_track_note, of_all);
        struct firn_slice key = firn_slice_of(n->key, n->len);
        tell_now(n->s, n->all ? NULL : &key);
        drop_note(n);
    }
}

/* Tell s, now or at the end of the turn, in the order of the calls. */
static void tell(struct firn_session *s, const struct firn_slice *key)
{
    struct firn_tracking *t = &s->e->tracking;
    if (t->outside) {
        tell_now(s, key);
        return;
    }
    size_t len = key ? key->len : 0;
    struct firn_track_note *n = firn_malloc(sizeof *n + len);
    if (!n) {
        firn_conn_close(s->c, false); /* it must not hold what has changed and not know it */
        return;
    }
    n->s = s;
    n->all = !key;
    n->len = len;
    if (len)
        memcpy(n->key, key->data, len);
    firn_list_init(&n->of_all);
    firn_list_init(&n->of_session);
    firn_list_push(&t->notes, &n->of_all);
    firn_list_push(&s->track.notes, &n->of_session);
    firn_defer(s->e->db->env, &t->tell_defer);
}

/* Everything, to everybody `which` allows. */
static void tell_all(struct firn_tracking *t, bool (*which)(const struct firn_session *s))
{
    t->flushes++;
    FIRN_LIST_EACH(it, nx, &t->sessions)
    {
        struct firn_session *s = session_of(it);
        if (which && !which(s))
            continue;
        drop_keys_of(s);
        tell(s, NULL);
    }
}

static bool is_applied(const struct firn_session *s)
{
    return s->e->db->writable && firn_engine__ack(s) == FIRN_ACK_APPLIED;
}

/* Tell those who remember the key from before this seqno; `applied`: connections that read applied
 * state alone. `author`: whose write it is, 0 = nobody's. */
static void key_changed(struct firn_tracking *t, struct firn_slice key, uint64_t seqno,
                        bool applied, uint64_t author)
{
    struct firn_tracked *k = find(t, key);
    if (!k)
        return;
    FIRN_LIST_EACH(it, nx, &k->by)
    {
        struct firn_tracked_by *b = FIRN_CONTAINER(it, struct firn_tracked_by, of_key);
        struct firn_session *s = b->s;
        if (b->seqno >= seqno || (applied && !is_applied(s)))
            continue;
        bool own = s->track.noloop && firn_conn_id(s->c) == author;
        drop_entry(t, b);
        if (!own)
            tell(s, &key);
    }
    if (firn_list_empty(&k->by))
        drop_key(t, k);
}

static bool has_prefix(const struct firn_track *k, struct firn_slice key)
{
    for (size_t i = 0; i < k->nprefix; i++)
        if (firn_slice_starts(key, firn_buf_slice(&k->prefix[i])))
            return true;
    return false;
}

/* Has this BCAST connection been told of the record when it was applied? At apply: note so. */
static bool told_at_apply(struct firn_session *s, uint64_t seqno, bool applied)
{
    struct firn_track *k = &s->track;
    if (!applied)
        return k->applied && seqno >= k->applied_since;
    bool is = is_applied(s);
    if (is && !k->applied)
        k->applied_since = seqno;
    k->applied = is;
    return !is;
}

static void broadcast(struct firn_tracking *t, struct firn_slice key, uint64_t seqno, bool applied,
                      uint64_t author)
{
    FIRN_LIST_EACH(it, nx, &t->sessions)
    {
        struct firn_session *s = session_of(it);
        if (!s->track.bcast || told_at_apply(s, seqno, applied))
            continue;
        if (s->track.noloop && firn_conn_id(s->c) == author)
            continue;
        if (has_prefix(&s->track, key))
            tell(s, &key);
    }
}

static void record(struct firn_tracking *t, const struct firn_record *r, uint64_t seqno,
                   bool applied, uint64_t author)
{
    switch (r->kind) {
    case FIRN_RECORD_RANGEDEL:
        if (r->end_key.len && firn_slice_cmp(r->end_key, firn_slice_str("\x10")) > 0)
            tell_all(t, applied ? is_applied : NULL);
        return;
    case FIRN_RECORD_PUT:
    case FIRN_RECORD_DEL:
    case FIRN_RECORD_EXPIRED:
        if (firn_key_db(r->key) < 0)
            return;
        key_changed(t, firn_key_user(r->key), seqno, applied, author);
        broadcast(t, firn_key_user(r->key), seqno, applied, author);
        return;
    default:
        return;
    }
}

/* ---- own writes */

static void note_own(struct firn_tracking *t, uint64_t first, uint64_t last, uint64_t conn)
{
    if (t->own_n == t->own_cap) {
        size_t cap = t->own_cap ? t->own_cap * 2 : 64;
        struct firn_own_write *v = firn_calloc(cap, sizeof *v);
        if (!v)
            return; /* it will hear of its own write, which is no harm */
        for (size_t i = 0; i < t->own_n; i++)
            v[i] = t->own[(t->own_head + i) % t->own_cap];
        firn_free(t->own);
        t->own = v;
        t->own_cap = cap;
        t->own_head = 0;
    }
    t->own[(t->own_head + t->own_n++) % t->own_cap] = (struct firn_own_write){first, last, conn};
}

/* Who wrote this record, if it was one of those; records come in order. */
static uint64_t author_of(struct firn_tracking *t, uint64_t seqno)
{
    while (t->own_n && t->own[t->own_head].last < seqno) {
        t->own_head = (t->own_head + 1) % t->own_cap;
        t->own_n--;
    }
    return t->own_n && t->own[t->own_head].first <= seqno ? t->own[t->own_head].conn : 0;
}

/* ---- what is told to us */

static void on_record(void *arg, const struct firn_batch_header *batch, const struct firn_record *r)
{
    struct firn_tracking *t = arg;
    (void)batch;
    tell_notes(t); /* those of before come first */
    t->outside = true;
    record(t, r, r->seqno, false, author_of(t, r->seqno));
    t->outside = false;
}

static void on_gap(void *arg)
{
    FIRN_SOMETIMES("engine: all tracked keys invalidated for a gap");
    tell_all(arg, NULL);
}

void firn_engine__track_applied(struct firn_tracking *t, const struct firn_record *rec, size_t n,
                                uint64_t last)
{
    uint64_t first = last - n + 1, author = t->writing ? firn_conn_id(t->writing->c) : 0;
    if (firn_list_empty(&t->sessions))
        return;
    if (t->writing && t->writing->track.noloop)
        note_own(t, first, last, author);
    for (size_t i = 0; i < n; i++)
        record(t, &rec[i], first + i, true, author);
}

void firn_engine__track_executed(struct firn_eval *x)
{
    struct firn_track *k = &x->s->track;
    if (!x->s->queue.on && firn_engine__handler(x->cmd) != firn_engine__cmd_client_caching)
        k->caching = false;
}

void firn_engine__track_expired(struct firn_tracking *t, struct firn_slice key)
{
    if (t->entries)
        key_changed(t, key, UINT64_MAX, false, 0);
}

/* ---- remembering */

static void remember(struct firn_session *s, struct firn_slice key, uint64_t seqno)
{
    struct firn_tracking *t = &s->e->tracking;
    struct firn_tracked *k = find_or_add(t, key);
    struct firn_tracked_by *b = k ? firn_malloc(sizeof *b) : NULL;
    if (!b) { /* it may hold what we cannot remember */
        if (k && firn_list_empty(&k->by))
            drop_key(t, k);
        tell(s, NULL);
        return;
    }
    FIRN_LIST_EACH(it, nx, &k->by)
    {
        if (FIRN_CONTAINER(it, struct firn_tracked_by, of_key)->s == s) {
            firn_free(b); /* known, from an older state: more is told, never less */
            return;
        }
    }
    *b = (struct firn_tracked_by){.k = k, .s = s, .seqno = seqno};
    firn_list_push(&k->by, &b->of_key);
    firn_list_push(&s->track.keys, &b->of_session);
    t->entries++;
    count(t, t->bytes + sizeof *b);
}

/* The table is bounded: who holds the keys remembered longest is told to forget them. */
static void evict(struct firn_tracking *t)
{
    uint64_t max = t->e->db->settings->tracking_table_max_keys;
    uint64_t bytes = firn_engine__remembered_max(t->e, FIRN_REMEMBERED_TRACKED, UINT64_MAX);
    while (t->keys.len && ((max && t->keys.len > max) || t->bytes > bytes)) {
        struct firn_tracked *k = FIRN_CONTAINER(t->order.next, struct firn_tracked, order);
        t->evicted++;
        key_changed(t, firn_slice_of(k->key, k->len), UINT64_MAX, false, 0);
    }
}

void firn_engine__track_read(struct firn_eval *x)
{
    struct firn_session *s = x->s;
    const struct firn_track *k = &s->track;
    struct firn_key_ref few[16], *ref = few;
    if (!k->on || k->bcast || s->at_snapshot || !(x->cmd->flags & FIRN_CMD_READONLY) ||
        (k->optin && !k->caching) || (k->optout && k->caching))
        return;
    if (x->argc > sizeof few / sizeof *few)
        ref = firn_calloc(x->argc, sizeof *ref);
    size_t max = ref == few ? sizeof few / sizeof *few : x->argc;
    size_t n = ref ? firn_command_keys(x->cmd, x->argc, x->argv, ref, max) : 0;
    if (!ref)
        tell(s, NULL);
    uint64_t applied = x->db->applied_seqno;
    uint64_t seqno = x->max_seqno < applied ? x->max_seqno : applied;
    for (size_t i = 0; n != FIRN_KEYS_INVALID && i < n && i < max; i++)
        remember(s, x->argv[ref[i].index], seqno);
    if (ref != few)
        firn_free(ref);
    evict(&s->e->tracking);
}

/* ---- life */

void firn_engine__tracking_init(struct firn_engine *e)
{
    struct firn_tracking *t = &e->tracking;
    t->e = e;
    t->seed = firn_random_u64(e->db->env);
    firn_list_init(&t->order);
    firn_list_init(&t->sessions);
    firn_list_init(&t->listener.link);
    t->listener.record = on_record;
    t->listener.gap = on_gap;
    t->listener.arg = t;
    firn_list_init(&t->notes);
    t->tell_defer = (struct firn_defer){.fn = tell_notes, .arg = t};
}

void firn_engine__tracking_clear(struct firn_tracking *t)
{
    FIRN_ASSERT(t->keys.len == 0 && firn_list_empty(&t->sessions));
    firn_defer_cancel(t->e->db->env, &t->tell_defer);
    firn_hashtab_clear(&t->keys);
    firn_free(t->own);
}

void firn_engine__track_init(struct firn_track *k)
{
    firn_list_init(&k->link);
    firn_list_init(&k->keys);
    firn_list_init(&k->notes);
}

void firn_engine__track_off(struct firn_session *s)
{
    struct firn_track *k = &s->track;
    struct firn_tracking *t = &s->e->tracking;
    drop_keys_of(s);
    drop_notes_of(s);
    firn_list_remove(&k->link);
    for (size_t i = 0; i < k->nprefix; i++)
        firn_buf_clear(&k->prefix[i]);
    *k = (struct firn_track){.on = false};
    firn_engine__track_init(k);
    if (firn_list_empty(&t->sessions)) {
        firn_engine__feed_remove(&t->listener);
        t->own_n = t->own_head = 0;
    }
}
