#include "manifest/pins.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "format/pin.h"

/* Renewals are so many times as frequent as they need be; an attempt gets as long. */
#define RENEW_SHARE 4
/* A renewal that the store refused or did not answer is tried again after this share of the ttl. */
#define RETRY_SHARE 16

enum pins_state { PINS_NONE, PINS_PUTTING, PINS_CHECKING, PINS_LIVE, PINS_RENEWING, PINS_LOOKING };

struct firn_pins {
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_manifest_node *node;
    struct firn_pins_options opt;
    enum pins_state state;
    bool stopped;
    struct firn_list holds;
    struct firn_pins_stats stats;

    /* the object */
    char name[FIRN_NAME_MAX];
    char etag[FIRN_OS_ETAG_MAX]; /* of the body known to lie there; "" = not told */
    struct firn_pin there;       /* what that body says */
    struct firn_pin attempt;     /* what the PUT under way says */
    uint8_t body[FIRN_PIN_BYTES];
    struct firn_store_op op; /* PUT, or the look */
    bool busy;               /* op is under way */
    struct firn_timer timer; /* LIVE: the next renewal; RENEWING, LOOKING: the next try */

    struct firn_manifest_read read;
    bool reading;
    struct firn_manifest *checked; /* what that read showed, referenced; NULL before the first */
    uint64_t least;                /* no view below this version is kept */

    /* giving an object up that nobody holds */
    char old_name[FIRN_NAME_MAX], old_etag[FIRN_OS_ETAG_MAX];
    uint8_t old_body[FIRN_PIN_BYTES];
    struct firn_store_op old_op;
    bool old_busy;
};

static uint64_t part(const struct firn_pins *p, uint64_t share)
{
    return p->opt.ttl_ns / share;
}

static struct firn_pin_hold *hold_of(struct firn_list *link)
{
    return FIRN_CONTAINER(link, struct firn_pin_hold, link);
}

/* ---- what the holders hear */

/* Everybody's hold is lost, and with it this object. */
static void lose(struct firn_pins *p, enum firn_status s, const struct firn_err *err)
{
    struct firn_list lost, *link;
    FIRN_SOMETIMES("manifest: a pin lost");
    p->state = PINS_NONE;
    firn_timer_stop(p->env, &p->timer);
    firn_list_init(&lost);
    firn_list_splice(&lost, &p->holds);
    FIRN_LIST_EACH(it, nx, &lost)
    {
        struct firn_pin_hold *h = hold_of(it);
        h->state = FIRN_PIN_LOST;
        h->status = s;
        h->err = *err;
    }
    while ((link = firn_list_pop(&lost)) != NULL)
        hold_of(link)->changed(hold_of(link));
}

static void held(struct firn_pin_hold *h, const struct firn_pins *p)
{
    h->state = FIRN_PIN_HELD;
    h->version = p->least;
}

static void all_held(struct firn_pins *p)
{
    struct firn_list told, *link;
    firn_list_init(&told);
    firn_list_splice(&told, &p->holds);
    while ((link = firn_list_pop(&told)) != NULL) {
        struct firn_pin_hold *h = hold_of(link);
        firn_list_push(&p->holds, link);
        held(h, p);
        h->changed(h);
    }
}

/* ---- requests */

static void put_done(struct firn_store_op *op);
static void look_done(struct firn_store_op *op);

static void submit(struct firn_pins *p, enum firn_os_op what, enum firn_os_cond cond,
                   void (*done)(struct firn_store_op *op))
{
    FIRN_ASSERT(!p->busy);
    firn_store_op_init(&p->op);
    p->op.req.op = what;
    p->op.req.cond = cond;
    p->op.req.key = p->name;
    p->op.req.reply_max = FIRN_PIN_BYTES;
    if (what == FIRN_OS_PUT)
        p->op.req.body = firn_slice_of(p->body, sizeof p->body);
    if (cond == FIRN_OS_IF_MATCH)
        p->op.req.etag = p->etag;
    p->op.deadline_ns = firn_boot_ns(p->env) + part(p, RENEW_SHARE);
    p->op.done = done;
    p->op.arg = p;
    p->busy = true;
    firn_store_submit(p->store, &p->op);
}

/* A body of its own for the next PUT: never two with one nonce. */
static void compose(struct firn_pins *p, uint64_t version)
{
    p->attempt = (struct firn_pin){.db = p->opt.db, .version = version, .format = p->opt.format};
    firn_random(p->env, p->attempt.nonce.byte, FIRN_ID_BYTES);
    firn_pin_encode(&p->attempt, p->body);
}

static void begin(struct firn_pins *p)
{
    const struct firn_manifest *m = firn_manifest_newest(p->node);
    struct firn_id id;
    char text[FIRN_ID_HEX + 1];
    FIRN_ASSERT(m);
    firn_random(p->env, id.byte, sizeof id.byte);
    firn_id_hex(&id, text);
    enum firn_status s = firn_name_id(p->name, FIRN_NAME_PIN, firn_slice_str(text));
    FIRN_ASSERT(s == FIRN_OK);
    compose(p, m->version);
    p->state = PINS_PUTTING;
    submit(p, FIRN_OS_PUT, FIRN_OS_IF_ABSENT, put_done);
}

/* Nobody holds it: let it name nothing, so that the collector need not wait until it is dead. We
 * have no right to delete. Whatever becomes of this, it dies by its ttl. */
static void give_up_done(struct firn_store_op *op)
{
    struct firn_pins *p = op->arg;
    p->old_busy = false;
    firn_store_op_clear(op);
}

static void give_up(struct firn_pins *p)
{
    FIRN_SOMETIMES("manifest: a pin given up that nobody holds");
    p->state = PINS_NONE;
    p->stats.given_up++;
    if (p->old_busy || !p->etag[0])
        return;
    struct firn_pin none = {.db = p->opt.db, .version = FIRN_PIN_NOTHING, .format = p->opt.format};
    firn_random(p->env, none.nonce.byte, FIRN_ID_BYTES);
    firn_pin_encode(&none, p->old_body);
    memcpy(p->old_name, p->name, sizeof p->old_name);
    memcpy(p->old_etag, p->etag, sizeof p->old_etag);
    firn_store_op_init(&p->old_op);
    p->old_op.req.op = FIRN_OS_PUT;
    p->old_op.req.cond = FIRN_OS_IF_MATCH;
    p->old_op.req.key = p->old_name;
    p->old_op.req.etag = p->old_etag;
    p->old_op.req.body = firn_slice_of(p->old_body, sizeof p->old_body);
    p->old_op.deadline_ns = firn_boot_ns(p->env) + part(p, RENEW_SHARE);
    p->old_op.done = give_up_done;
    p->old_op.arg = p;
    p->old_busy = true;
    firn_store_submit(p->store, &p->old_op);
}

/* ---- the check: is the version still current, now that the pin is durable? */

static void check_done(struct firn_manifest_read *r)
{
    struct firn_pins *p = r->arg;
    p->reading = false;
    if (p->stopped)
        return;
    if (r->status != FIRN_OK) {
        struct firn_err err = r->err;
        give_up(p);
        lose(p, r->status, &err);
        return;
    }
    /* It names the version it was put with until the first renewal. That is not newer than this
     * one: it spares a little more for a little while, never less. */
    FIRN_SOMETIMES_IF(r->manifest->version > p->there.version,
                      "manifest: a pin was behind when it was durable");
    firn_manifest_ref(r->manifest);
    firn_manifest_unref(p->checked);
    p->checked = r->manifest;
    p->least = r->manifest->version;
    p->state = PINS_LIVE;
    firn_timer_start(p->env, &p->timer, part(p, RENEW_SHARE));
    all_held(p);
}

static void check(struct firn_pins *p)
{
    p->state = PINS_CHECKING;
    memset(&p->read, 0, sizeof p->read);
    p->read.deadline_ns = firn_boot_ns(p->env) + part(p, RENEW_SHARE);
    p->read.done = check_done;
    p->read.arg = p;
    p->reading = true;
    firn_manifest_read(p->node, &p->read);
}

/* ---- what lies there */

/* `attempt` is known to lie there. */
static void confirmed(struct firn_pins *p, const char *etag)
{
    p->there = p->attempt;
    memcpy(p->etag, etag, sizeof p->etag);
    if (p->state == PINS_PUTTING) {
        p->stats.made++;
        check(p);
        return;
    }
    FIRN_SOMETIMES_IF(p->state == PINS_LOOKING, "manifest: an open renewal had landed");
    p->stats.renewed++;
    p->state = PINS_LIVE;
    firn_timer_start(p->env, &p->timer, part(p, RENEW_SHARE));
}

static void try_later(struct firn_pins *p)
{
    firn_timer_start(p->env, &p->timer, part(p, RETRY_SHARE));
}

static void first_put_failed(struct firn_pins *p, enum firn_status s, const struct firn_err *err)
{
    struct firn_err why = {""};
    p->etag[0] = '\0'; /* nothing is known to lie there: if it lands yet, it dies by its ttl */
    if (s == FIRN_CONFLICT || s == FIRN_ABSENT)
        (void)firn_fail(&why, s, "%s was there, or was deleted at once", p->name);
    else
        (void)firn_fail(&why, s, "%s could not be written: %s", p->name,
                        err->text[0] ? err->text : firn_status_name(s));
    lose(p, s, &why);
}

static void put_done(struct firn_store_op *op)
{
    struct firn_pins *p = op->arg;
    enum firn_status s = op->status;
    struct firn_err err = op->req.err;
    char etag[FIRN_OS_ETAG_MAX];
    memcpy(etag, op->req.reply_etag, sizeof etag);
    p->busy = false;
    firn_store_op_clear(op);
    if (p->stopped)
        return;
    bool first = p->state == PINS_PUTTING;
    if (first && s != FIRN_OK) {
        first_put_failed(p, s, &err);
    } else if (s == FIRN_OK && etag[0]) {
        confirmed(p, etag);
    } else if (s == FIRN_OK || s == FIRN_CONFLICT) {
        /* Any 412 may be by our own bytes: look. So may the ETag be asked for. */
        p->state = first ? PINS_PUTTING : PINS_LOOKING;
        submit(p, FIRN_OS_GET, FIRN_OS_ALWAYS, look_done);
    } else {
        try_later(p); /* the same bytes again: if they landed, a 412 and a look will say so */
    }
}

static bool is_nonce(const struct firn_pin *a, const struct firn_pin *b)
{
    return firn_id_eq(&a->nonce, &b->nonce);
}

static void look_at(struct firn_pins *p, struct firn_slice body, const char *etag)
{
    struct firn_pin pin;
    struct firn_err err = {""};
    enum firn_status s = firn_pin_decode(body, &p->opt.db, &pin, &err);
    if (s == FIRN_OK && is_nonce(&pin, &p->attempt)) {
        confirmed(p, etag);
    } else if (s == FIRN_OK && p->state == PINS_LOOKING && is_nonce(&pin, &p->there)) {
        /* Still the body of before: the renewal has not landed, and may be tried again. */
        FIRN_SOMETIMES("manifest: an open renewal had not landed");
        memcpy(p->etag, etag, sizeof p->etag);
        p->state = PINS_RENEWING;
        try_later(p);
    } else {
        p->stats.lost++;
        err.text[0] = '\0';
        (void)firn_fail(&err, FIRN_CONFLICT, "%s was overwritten by somebody else", p->name);
        lose(p, FIRN_CONFLICT, &err);
    }
}

static void look_done(struct firn_store_op *op)
{
    struct firn_pins *p = op->arg;
    p->busy = false;
    if (p->stopped) {
        firn_store_op_clear(op);
        return;
    }
    if (op->status == FIRN_OK) {
        struct firn_buf body = op->req.reply;
        char etag[FIRN_OS_ETAG_MAX];
        memcpy(etag, op->req.reply_etag, sizeof etag);
        op->req.reply = (struct firn_buf){0};
        firn_store_op_clear(op);
        look_at(p, firn_buf_slice(&body), etag);
        firn_buf_clear(&body);
        return;
    }
    enum firn_status s = op->status;
    struct firn_err err = op->req.err;
    firn_store_op_clear(op);
    if (s == FIRN_ABSENT) {
        p->stats.lost++;
        err.text[0] = '\0';
        (void)firn_fail(&err, s, "%s was collected: it was not renewed within pin-ttl", p->name);
        lose(p, s, &err);
    } else if (s == FIRN_LIMIT || s == FIRN_CORRUPT) {
        look_at(p, firn_slice_of(NULL, 0), ""); /* longer than a pin, or damaged: not ours */
    } else if (p->state == PINS_PUTTING) {
        first_put_failed(p, s, &err);
    } else {
        try_later(p);
    }
}

/* ---- renewing */

/* The least version in use. Who was told only which versions would do may still take the least. */
static uint64_t least_held(const struct firn_pins *p)
{
    uint64_t least = UINT64_MAX;
    FIRN_LIST_EACH(it, nx, &p->holds)
    {
        if (hold_of(it)->version < least)
            least = hold_of(it)->version;
    }
    return least;
}

static void renew(struct firn_pins *p)
{
    uint64_t version = least_held(p);
    if (version > p->least)
        p->least = version; /* from now on nothing older is kept for those to come */
    compose(p, version);
    p->state = PINS_RENEWING;
    submit(p, FIRN_OS_PUT, FIRN_OS_IF_MATCH, put_done);
}

static void due(void *arg)
{
    struct firn_pins *p = arg;
    if (p->stopped)
        return;
    if (p->state == PINS_LIVE && firn_list_empty(&p->holds))
        give_up(p);
    else if (p->state == PINS_LIVE)
        renew(p);
    else if (p->state == PINS_RENEWING)
        submit(p, FIRN_OS_PUT, FIRN_OS_IF_MATCH, put_done);
    else if (p->state == PINS_LOOKING)
        submit(p, FIRN_OS_GET, FIRN_OS_ALWAYS, look_done);
}

/* ---- life and holds */

enum firn_status firn_pins_create(const struct firn_env *env, struct firn_store *store,
                                  struct firn_manifest_node *node,
                                  const struct firn_pins_options *o, struct firn_pins **out)
{
    struct firn_pins *p = firn_calloc(1, sizeof *p);
    if (!p)
        return FIRN_LIMIT;
    p->env = env;
    p->store = store;
    p->node = node;
    p->opt = *o;
    p->timer = (struct firn_timer){.fn = due, .arg = p};
    firn_list_init(&p->holds);
    *out = p;
    return FIRN_OK;
}

void firn_pins_stop(struct firn_pins *p)
{
    if (!p || p->stopped)
        return;
    p->stopped = true;
    firn_timer_stop(p->env, &p->timer);
    if (p->busy)
        firn_store_cancel(p->store, &p->op);
    if (p->old_busy)
        firn_store_cancel(p->store, &p->old_op);
}

void firn_pins_free(struct firn_pins *p)
{
    if (!p)
        return;
    FIRN_ASSERT(!p->busy && !p->old_busy && !p->reading && firn_list_empty(&p->holds));
    firn_timer_stop(p->env, &p->timer);
    firn_manifest_unref(p->checked);
    firn_free(p);
}

void firn_pins_hold(struct firn_pins *p, struct firn_pin_hold *h)
{
    FIRN_ASSERT(h->state == FIRN_PIN_IDLE || h->state == FIRN_PIN_LOST);
    firn_pins_release(h); /* one that was lost may not have been told yet */
    firn_list_init(&h->link);
    firn_list_push(&p->holds, &h->link);
    h->state = FIRN_PIN_WAITING;
    if (p->state >= PINS_LIVE)
        held(h, p);
    else if (p->state == PINS_NONE && !p->stopped)
        begin(p);
}

void firn_pins_use(struct firn_pin_hold *h, uint64_t version)
{
    FIRN_ASSERT(h->state == FIRN_PIN_HELD && version >= h->version);
    h->version = version;
}

void firn_pins_release(struct firn_pin_hold *h)
{
    if (h->state != FIRN_PIN_IDLE)
        firn_list_remove(&h->link);
    h->state = FIRN_PIN_IDLE;
}

struct firn_manifest *firn_pins_manifest(const struct firn_pins *p)
{
    return p->checked;
}

const struct firn_pins_stats *firn_pins_stats_of(const struct firn_pins *p)
{
    return &p->stats;
}
