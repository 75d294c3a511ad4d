/* The expirer at work: see expirer_priv.h. One run does a bounded piece of everything that can be
 * done now and sets the timer for what is next; nothing runs while nothing is due. */
#include "engine/engine_priv.h"

#define AHEAD_MS 500             /* values due within this are made resident */
#define COLD_MAX 1024            /* entries whose blocks one round trip brings */
#define GATHER_NS (5 * FIRN_MS)  /* entries that fall due within this are dealt with together */
#define ROOM_NS (25 * FIRN_MS)   /* until a refused record is tried again */
#define PAUSE_NS (1 * FIRN_SEC)  /* after the store or memory failed */
#define SLEEP_NS (60 * FIRN_SEC) /* at most: the wall clock may jump meanwhile */

enum outcome {
    DEALT,   /* logged, or there was nothing to log */
    MISSING, /* blocks were noted */
    REFUSED, /* no room for a record now */
    OVER,    /* a newer writer serves, or this one goes down */
    FAILED,
};

static void sleep_ns(struct firn_engine *e, uint64_t ns)
{
    firn_timer_start(e->db->env, &e->expirer.timer, ns);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t first_of(const struct firn_heap *h)
{
    const struct firn_heap_node *n = firn_heap_min(h);
    return n ? n->key : UINT64_MAX;
}

uint64_t firn_engine_expired_to(struct firn_engine *e)
{
    const struct firn_expirer *x = &e->expirer;
    if (!x->on)
        return 0;
    /* Nothing that expires later than now has been dealt with, and nothing is written from now on
     * that expires before. */
    uint64_t t = e->db->now_ms(e->db);
    t = least(t, least(first_of(&x->near), first_of(&x->far)));
    for (size_t i = 0; i < x->nstuck; i++)
        t = least(t, x->stuck[i]->node.key);
    return x->complete ? t : least(t, firn_expiry_key_ms(firn_buf_slice(&x->upto)));
}

/* Begin anew at what is not dealt with yet. */
static void rewind_to(struct firn_engine *e, uint64_t from_ms)
{
    if (firn_engine__expirer_rewind(&e->expirer, from_ms) != FIRN_OK)
        firn_engine__expirer_stop(e); /* no memory for a few bytes: the next writer goes on */
}

/* Back into a heap it came from. */
static void put_back(struct firn_engine *e, struct firn_due *d)
{
    struct firn_expirer *x = &e->expirer;
    if (firn_heap_push(&x->near, &d->node) == FIRN_OK)
        return;
    uint64_t from = least(firn_engine_expired_to(e), d->node.key);
    firn_engine__expirer_drop(x, d);
    rewind_to(e, from);
}

/* ---- one entry */

static enum outcome log_expired(struct firn_engine *e, const struct firn_due *d, uint64_t seqno)
{
    struct firn_db *db = e->db;
    struct firn_record r = {
        .kind = FIRN_RECORD_EXPIRED,
        .event = FIRN_EVENT_EXPIRED,
        .key = firn_engine__due_key(d),
        .value_seqno = seqno,
    };
    uint64_t slot, ignored;
    enum firn_admit room = db->vt->admit(db, firn_record_size(&r));
    if (room == FIRN_ADMIT_FENCED)
        return OVER;
    if (room != FIRN_ADMIT_OK || firn_engine__log(e, &r, 1, &slot, &ignored) != FIRN_OK)
        return REFUSED;
    uint64_t now = db->now_ms(db);
    e->stat.expired_logged++;
    firn_hist_add(&e->stat.expire_lag_ns, (now - d->node.key) * FIRN_MS);
    return DEALT;
}

/* The time of an entry has come: is the value it tells of still there? */
static enum outcome expire(struct firn_engine *e, const struct firn_due *d)
{
    struct firn_entry v;
    enum firn_status s =
        firn_view_get(e->db->view, &e->expirer.read, firn_engine__due_key(d), UINT64_MAX, &v);
    if (s == FIRN_OK && v.expiry_ms == d->node.key)
        return log_expired(e, d, v.seqno);
    if (s == FIRN_OK || s == FIRN_ABSENT) {
        e->stat.expired_stale++;
        return DEALT;
    }
    return s == FIRN_AGAIN ? MISSING : FAILED;
}

/* ---- due entries */

static void resume(struct firn_read *r);

static void fetch_stuck(struct firn_engine *e)
{
    struct firn_expirer *x = &e->expirer;
    x->fetching = true;
    firn_read_fetch(&x->read, firn_boot_ns(e->db->env) + e->db->settings->read_timeout_ns, resume,
                    e);
}

/* What failed is tried again; an object that is gone was compacted away under the view. */
static void fetch_failed(struct firn_engine *e, enum firn_status s)
{
    struct firn_expirer *x = &e->expirer;
    e->stat.expire_failures++;
    if (s == FIRN_ABSENT && !x->reload_ticket)
        x->reload_ticket = e->db->vt->reload_view(e->db);
    sleep_ns(e, PAUSE_NS);
}

static void run(void *engine);

static void resume(struct firn_read *r)
{
    struct firn_engine *e = r->arg;
    struct firn_expirer *x = &e->expirer;
    enum firn_status s = firn_read_status(r);
    if (r == &x->scan)
        x->scanning = false;
    else if (r == &x->warm)
        x->warming = false;
    else
        x->fetching = false;
    if (r == &x->warm)
        firn_read_clear(r); /* the cache has them; who still misses some waits for them */
    while (r == &x->read && x->nstuck)
        put_back(e, x->stuck[--x->nstuck]);
    if (s != FIRN_OK && r != &x->warm)
        fetch_failed(e, s);
    else
        sleep_ns(e, 0);
}

/* Deal with what is due. False: something must be waited for, and the timer is set. */
static bool expire_due(struct firn_engine *e, uint64_t now)
{
    struct firn_expirer *x = &e->expirer;
    enum outcome o = DEALT;
    for (unsigned n = 0; n < FIRN_EXPIRER_TURN && !x->fetching; n++) {
        struct firn_heap_node *node = firn_heap_min(&x->near);
        if (!node || node->key > now)
            break;
        struct firn_due *d = firn_engine__due(node);
        o = expire(e, d); /* it stays where firn_engine_expired_to counts it until it is logged */
        if (o > MISSING)
            break;
        firn_heap_remove(&x->near, node);
        if (o == DEALT)
            firn_engine__expirer_drop(x, d);
        else
            x->stuck[x->nstuck++] = d;
    }
    if (o == OVER) {
        firn_engine__expirer_stop(e);
        return false;
    }
    if (x->nstuck && !x->fetching)
        fetch_stuck(e);
    else if (!x->fetching)
        firn_read_clear(&x->read);
    if (o == REFUSED || o == FAILED)
        sleep_ns(e, o == REFUSED ? ROOM_NS : PAUSE_NS);
    e->stat.expire_failures += o == FAILED;
    return o <= MISSING;
}

/* ---- what is to come */

/* Entries that are soon due move on, their values' blocks are fetched. */
static void bring_near(struct firn_engine *e, uint64_t now)
{
    struct firn_expirer *x = &e->expirer;
    unsigned n = 0;
    for (; n < FIRN_EXPIRER_TURN && !x->warming && x->cold < COLD_MAX; n++) {
        struct firn_heap_node *node = firn_heap_min(&x->far);
        struct firn_entry v;
        if (!node || node->key > now + AHEAD_MS)
            break;
        struct firn_due *d = firn_engine__due(node);
        firn_heap_remove(&x->far, node);
        x->cold += firn_view_get(e->db->view, &x->warm, firn_engine__due_key(d), UINT64_MAX, &v) ==
                   FIRN_AGAIN;
        put_back(e, d);
    }
    if (x->warming || (n == FIRN_EXPIRER_TURN && x->cold < COLD_MAX))
        return;
    x->cold = 0;
    if (!firn_read_wants(&x->warm)) {
        firn_read_clear(&x->warm);
        return;
    }
    x->warming = true;
    firn_read_fetch(&x->warm, firn_boot_ns(e->db->env) + e->db->settings->read_timeout_ns, resume,
                    e);
}

/* Read on in the index. False: it failed, and the timer is set. */
static bool read_index(struct firn_engine *e)
{
    struct firn_expirer *x = &e->expirer;
    if (x->scanning || !firn_engine__expirer_wants(x))
        return true;
    enum firn_status s = firn_engine__expirer_scan(e);
    if (s == FIRN_AGAIN) {
        x->scanning = true;
        firn_read_fetch(&x->scan, firn_boot_ns(e->db->env) + e->db->settings->read_timeout_ns,
                        resume, e);
    } else if (s != FIRN_OK) {
        e->stat.expire_failures++;
        sleep_ns(e, PAUSE_NS);
        return false;
    }
    return true;
}

/* Set the timer for what can be done next without waiting for a fetch. */
static void arm(struct firn_engine *e, uint64_t now)
{
    struct firn_expirer *x = &e->expirer;
    uint64_t next = UINT64_MAX;
    if (!x->fetching)
        next = first_of(&x->near);
    if (!x->warming && x->far.len)
        next = least(next, first_of(&x->far) - least(first_of(&x->far), AHEAD_MS));
    if (!x->scanning && firn_engine__expirer_wants(x))
        next = 0;
    x->wake_ms = next;
    if (next == UINT64_MAX)
        return;
    uint64_t ns = next > now ? least((next - now), SLEEP_NS / FIRN_MS) * FIRN_MS : 0;
    sleep_ns(e, ns && ns < GATHER_NS ? GATHER_NS : ns);
}

static void run(void *engine)
{
    struct firn_engine *e = engine;
    struct firn_expirer *x = &e->expirer;
    struct firn_db *db = e->db;
    x->wake_ms = 0;
    if (db->expiry_paused) { /* DEBUG SET-ACTIVE-EXPIRE 0 */
        sleep_ns(e, PAUSE_NS);
        return;
    }
    if (x->reload_ticket && db->reload_done < x->reload_ticket) {
        sleep_ns(e, ROOM_NS);
        return;
    }
    x->reload_ticket = 0;
    uint64_t now = db->now_ms(db);
    if (!read_index(e))
        return;
    bring_near(e, now);
    if (expire_due(e, now) && x->on)
        arm(e, now);
}

void firn_engine__expirer_note(struct firn_engine *e, const struct firn_record *r)
{
    struct firn_expirer *x = &e->expirer;
    if (!x->on || r->kind != FIRN_RECORD_PUT || !r->expiry_ms || firn_key_db(r->key) < 0 ||
        !firn_engine__expirer_covers(x, r->expiry_ms, r->key))
        return;
    if (firn_engine__expirer_push(x, r->expiry_ms, r->key) != FIRN_OK)
        rewind_to(e, least(firn_engine_expired_to(e), r->expiry_ms));
    uint64_t wake = r->expiry_ms > AHEAD_MS ? r->expiry_ms - AHEAD_MS : 0;
    if (x->on && wake < x->wake_ms) {
        x->wake_ms = wake;
        sleep_ns(e, GATHER_NS);
    }
}

/* ---- on and off */

void firn_engine__expirer_init(struct firn_engine *e)
{
    struct firn_expirer *x = &e->expirer;
    x->timer = (struct firn_timer){.fn = run, .arg = e};
    firn_buf_init(&x->upto, FIRN_KEY_MAX + 1);
    firn_read_init(&x->scan, e->db->lsm);
    firn_read_init(&x->warm, e->db->lsm);
    firn_read_init(&x->read, e->db->lsm);
}

void firn_engine__expirer_stop(struct firn_engine *e)
{
    struct firn_expirer *x = &e->expirer;
    x->on = false;
    firn_timer_stop(e->db->env, &x->timer);
    (void)!firn_engine__expirer_rewind(x, 0);
    firn_heap_clear(&x->far);
    firn_heap_clear(&x->near);
    firn_buf_clear(&x->upto);
    firn_iter_free(x->held);
    x->held = NULL;
    firn_read_clear(&x->scan);
    firn_read_clear(&x->warm);
    firn_read_clear(&x->read);
    x->scanning = x->warming = x->fetching = false;
    x->cold = 0;
    x->reload_ticket = 0;
}

void firn_engine_expire(struct firn_engine *e, bool on, uint64_t from_ms)
{
    struct firn_expirer *x = &e->expirer;
    if (on == x->on)
        return;
    if (!on) {
        firn_engine__expirer_stop(e);
        return;
    }
    x->on = true;
    rewind_to(e, from_ms);
    if (x->on)
        sleep_ns(e, 0);
}
