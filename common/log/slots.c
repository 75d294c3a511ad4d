#include "log/slots.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "format/name.h"

/* Batches at most this large are decoded on the loop; larger ones by a job. */
#define DECODE_INLINE_BYTES ((size_t)64 * 1024)

enum fetch_state { FETCH_FLIGHT, FETCH_DECODING, FETCH_READY };

/* One slot under way. Belongs to its fetcher, or, once that has let go of it (owner NULL), to its
 * own callback, which frees it. */
struct fetch {
    struct firn_list link;
    struct firn_slots *owner;
    const struct firn_env *env;
    struct firn_store_op op;
    struct firn_job job;
    char name[FIRN_NAME_MAX];
    struct firn_id db;
    uint64_t raw_max;
    struct firn_place place;
    enum fetch_state state;
    enum firn_slot_found found;
    enum firn_status status;
    struct firn_err err;
    unsigned looks; /* GETs sent */
    bool bad;       /* its bytes are damaged, or of a format that we do not know */
    struct firn_batch_header batch;
    struct firn_buf raw;
};

struct firn_slots {
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_slots_options opt;
    void (*on_slot)(void *arg, const struct firn_slot_result *r);
    void *arg;
    struct firn_list fetches; /* struct fetch, in slot order from `at` on */
    unsigned count;
    unsigned window;
    unsigned round_left;  /* batches to come before the window grows */
    uint64_t run_batches; /* delivered since run() */
    size_t held_bytes;    /* of finished fetches that wait for their turn */
    size_t typical_bytes; /* what one takes: the most of late, fading */
    struct firn_place at;
    bool running;
    bool delivering;
    struct firn_timer retry; /* memory was short: look again when others had time to free some */
};

static void refill(struct firn_slots *f);

static void count_held(struct firn_slots *f, size_t held_bytes)
{
    f->held_bytes = held_bytes;
    firn_budget_set(f->opt.budget, FIRN_BUDGET_BATCHES, held_bytes);
}

static void fetch_free(struct fetch *x)
{
    firn_store_op_clear(&x->op);
    firn_buf_clear(&x->raw);
    firn_free(x);
}

static size_t held_of(const struct fetch *x)
{
    return x->raw.cap + x->op.req.reply.cap;
}

/* Let go of a fetch: freed now, or by its own callback when something of it is still under way. */
static void let_go(struct firn_slots *f, struct fetch *x)
{
    firn_list_remove(&x->link);
    f->count--;
    x->owner = NULL;
    if (x->state == FETCH_READY) {
        count_held(f, f->held_bytes - held_of(x));
        fetch_free(x);
    } else if (x->state == FETCH_FLIGHT) {
        firn_store_cancel(f->store, &x->op);
    }
}

static void let_all_go(struct firn_slots *f)
{
    FIRN_LIST_EACH(it, nx, &f->fetches)
    let_go(f, FIRN_CONTAINER(it, struct fetch, link));
}

/* Errors name the object: people have to find it. */
static void name_object(struct fetch *x)
{
    struct firn_err what = x->err;
    if (strstr(what.text, x->name))
        return;
    x->err.text[0] = '\0';
    (void)firn_fail(&x->err, x->status, "%s: %s", x->name,
                    what.text[0] ? what.text : firn_status_name(x->status));
}

/* Pure, on any thread: the object's bytes to a checked batch, a seal, or a failure. */
static void decode(struct fetch *x)
{
    struct firn_slice object = firn_buf_slice(&x->op.req.reply);
    struct firn_seal seal;
    switch (firn_slot_kind(object)) {
    case FIRN_SLOT_BATCH:
        x->found = FIRN_FOUND_BATCH;
        x->status =
            firn_batch_decode(object, &x->db, x->place, x->raw_max, &x->batch, &x->raw, &x->err);
        break;
    case FIRN_SLOT_SEAL:
        x->found = FIRN_FOUND_SEAL;
        x->status = firn_seal_decode(object, &x->db, x->place, &seal, &x->err);
        break;
    case FIRN_SLOT_NEITHER:
        x->status =
            firn_fail(&x->err, FIRN_CORRUPT, "neither a batch nor a seal (%zu bytes)", object.len);
        break;
    }
    if (x->status != FIRN_OK) {
        x->found = FIRN_FOUND_FAILED;
        x->bad = x->status == FIRN_CORRUPT || x->status == FIRN_INVALID;
        name_object(x);
    }
}

static void deliver(struct firn_slots *f);

static void send(struct fetch *x)
{
    x->looks++;
    x->state = FETCH_FLIGHT;
    firn_store_submit(x->owner->store, &x->op);
}

static void look_again(struct fetch *x)
{
    FIRN_SOMETIMES("log: a slot that looked damaged looked at again");
    firn_store_op_clear(&x->op);
    x->bad = false;
    x->err.text[0] = '\0';
    send(x);
}

static void ready(struct fetch *x)
{
    struct firn_slots *f = x->owner;
    if (f && x->bad && x->looks < FIRN_STORE_LOOKS_MAX) {
        look_again(x);
        return;
    }
    x->state = FETCH_READY;
    if (!f) {
        fetch_free(x);
        return;
    }
    count_held(f, f->held_bytes + held_of(x));
    deliver(f);
}

static void decode_run(struct firn_job *job)
{
    decode(job->arg);
}

static void decode_done(struct firn_job *job)
{
    ready(job->arg);
}

static void got(struct firn_store_op *op)
{
    struct fetch *x = op->arg;
    x->status = op->status;
    if (op->status == FIRN_ABSENT) {
        x->found = FIRN_FOUND_MISSING;
    } else if (op->status != FIRN_OK) {
        x->found = FIRN_FOUND_FAILED;
        x->err = op->req.err;
        name_object(x);
    } else if (x->owner && op->req.reply.len > DECODE_INLINE_BYTES) {
        x->state = FETCH_DECODING;
        x->job = (struct firn_job){.run = decode_run, .done = decode_done, .arg = x};
        firn_exec(x->env, &x->job);
        return;
    } else if (x->owner) {
        decode(x);
    }
    ready(x);
}

/* The look-ahead doubles with every round of which every slot was a batch. */
static void batch_counts(struct firn_slots *f)
{
    f->run_batches++;
    if (--f->round_left > 0)
        return;
    f->window = f->window * 2 < f->opt.window_max ? f->window * 2 : f->opt.window_max;
    f->round_left = f->window;
}

/* A run met the end. The next is likely to find as many batches as this one did, and a little more
 * look-ahead than that meets the end within one round trip; an idle log costs one GET. */
static unsigned next_window(const struct firn_slots *f)
{
    uint64_t want = f->run_batches + f->run_batches / 4 + 1;
    if (want < f->opt.window_first)
        return f->opt.window_first;
    return want < f->opt.window_max ? (unsigned)want : f->opt.window_max;
}

static void hand_over(struct firn_slots *f, struct fetch *x)
{
    struct firn_slot_result r = {
        .found = x->found,
        .place = x->place,
        .sent_ns = x->op.sent_ns,
        .done_ns = x->op.done_ns,
        .date_ms = x->op.req.date_ms,
        .batch = x->found == FIRN_FOUND_BATCH ? &x->batch : NULL,
        .records = firn_buf_slice(&x->raw),
        .object_bytes = x->op.req.reply.len,
        .status = x->status,
        .err = &x->err,
        .newer = x->bad && x->status == FIRN_INVALID,
    };
    firn_list_remove(&x->link);
    f->count--;
    count_held(f, f->held_bytes - held_of(x));
    f->typical_bytes -= f->typical_bytes / 8;
    if (held_of(x) > f->typical_bytes)
        f->typical_bytes = held_of(x);
    if (x->found == FIRN_FOUND_BATCH) {
        f->at.slot++;
        batch_counts(f);
    } else {
        let_all_go(f);
        f->running = false;
        f->window = next_window(f);
    }
    f->on_slot(f->arg, &r);
    fetch_free(x);
}

static void deliver(struct firn_slots *f)
{
    if (f->delivering)
        return;
    f->delivering = true;
    while (f->running && !firn_list_empty(&f->fetches)) {
        struct fetch *x = FIRN_CONTAINER(f->fetches.next, struct fetch, link);
        if (x->state != FETCH_READY)
            break;
        hand_over(f, x);
    }
    f->delivering = false;
    if (f->running)
        refill(f);
}

static bool fetch_start(struct firn_slots *f, uint64_t slot)
{
    struct fetch *x = firn_calloc(1, sizeof *x);
    if (!x)
        return false;
    x->owner = f;
    x->env = f->env;
    x->place = (struct firn_place){f->at.epoch, slot};
    x->raw_max = f->opt.batch_raw_max;
    x->db = f->opt.db;
    firn_buf_init(&x->raw, f->opt.batch_raw_max);
    firn_name_slot(x->name, firn_id_short(&x->db), x->place);
    firn_store_op_init(&x->op);
    x->op.req.op = FIRN_OS_GET;
    x->op.req.key = x->name;
    x->op.flags = FIRN_STORE_HEDGE;
    x->op.done = got;
    x->op.arg = x;
    firn_list_init(&x->link);
    firn_list_push(&f->fetches, &x->link);
    f->count++;
    send(x);
    return true;
}

/* Is there room for one more, those on their way supposed to be as large as the last ones? */
static bool has_room(const struct firn_slots *f)
{
    return f->count == 0 || (f->held_bytes < f->opt.ahead_bytes_max &&
                             f->count * f->typical_bytes < f->opt.ahead_bytes_max);
}

static void refill(struct firn_slots *f)
{
    while (f->count < f->window && has_room(f)) {
        if (!fetch_start(f, f->at.slot + f->count)) {
            /* Memory is short: those under way will call again, or the timer does. */
            if (f->count == 0)
                firn_timer_start(f->env, &f->retry, FIRN_STORE_MEMORY_REST_NS);
            return;
        }
    }
}

static void retry_refill(void *arg)
{
    struct firn_slots *f = arg;
    if (f->running)
        refill(f);
}

enum firn_status firn_slots_create(const struct firn_env *env, struct firn_store *store,
                                   const struct firn_slots_options *o,
                                   void (*on_slot)(void *arg, const struct firn_slot_result *r),
                                   void *arg, struct firn_slots **out)
{
    FIRN_ASSERT(o->window_first >= 1 && o->window_max >= o->window_first);
    FIRN_ASSERT(o->window_max <= FIRN_SLOTS_WINDOW_MAX);
    struct firn_slots *f = firn_calloc(1, sizeof *f);
    if (!f)
        return FIRN_LIMIT;
    f->env = env;
    f->store = store;
    f->opt = *o;
    f->on_slot = on_slot;
    f->arg = arg;
    f->window = o->window_first;
    firn_list_init(&f->fetches);
    f->retry.fn = retry_refill;
    f->retry.arg = f;
    *out = f;
    return FIRN_OK;
}

void firn_slots_free(struct firn_slots *f)
{
    if (!f)
        return;
    FIRN_ASSERT(!f->delivering);
    firn_slots_stop(f);
    firn_timer_stop(f->env, &f->retry);
    firn_free(f);
}

void firn_slots_seek(struct firn_slots *f, struct firn_place at)
{
    firn_slots_stop(f);
    f->at = at;
}

void firn_slots_run(struct firn_slots *f)
{
    if (f->running)
        return;
    f->running = true;
    f->run_batches = 0;
    f->round_left = f->window;
    if (!f->delivering)
        refill(f);
}

void firn_slots_stop(struct firn_slots *f)
{
    let_all_go(f);
    f->running = false;
    f->window = f->opt.window_first;
}

bool firn_slots_running(const struct firn_slots *f)
{
    return f->running;
}

struct firn_place firn_slots_at(const struct firn_slots *f)
{
    return f->at;
}
