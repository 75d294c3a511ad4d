/* Writers that fight over one log while the store loses, delays and repeats their requests: nothing
 * acknowledged is lost or doubled (I1–I5), and a tail that says it is fresh is (I6). One process,
 * one seed per run; a failing seed is printed and replayed with FIRN_SEED=n. */
#include "testing.h"

#include "base/bytes.h"
#include "fakes/fake_env.h"
#include "format/key.h"
#include "log/append.h"
#include "log/tail.h"
#include "log/takeover.h"
#include "manifest/intents.h"

#include <stdio.h>
#include <stdlib.h>

#define WRITERS 4
#define RECORDS_MAX 4096
#define SEEDS_DEFAULT 1000

/* A record as its payload says: which writer (by epoch) and its number among that writer's. */
struct mark {
    uint64_t epoch, number;
};

struct log_copy {
    struct mark mark[RECORDS_MAX];
    size_t count;
    uint64_t last_seqno;
};

struct actor {
    struct world *x;
    struct firn_fake_node *node;
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_manifest_node *mnode;
    struct firn_manifest_create create;
    struct firn_claim_intent claim;
    struct firn_manifest_read confirm;
    struct firn_takeover *takeover;
    struct firn_append *append;
    struct firn_timer tick;
    struct firn_id process_nonce;
    struct log_copy seen; /* what its take-over replayed */
    uint64_t epoch;
    uint64_t sent;  /* records added */
    uint64_t acked; /* of them known durable: always a prefix */
    uint64_t seqno_of[RECORDS_MAX];
    bool listening;          /* somebody wants the records of slots that are durable */
    uint64_t closed_records; /* records in slots that are closed */
    bool kept[RECORDS_MAX];  /* by number: closed while it was listening … */
    bool told[RECORDS_MAX];  /* … and told again */
    bool serving, over, last;
};

struct probe_check {
    uint64_t ticket;
    uint64_t
        acked[WRITERS + 1]; /* what each writer had acknowledged when the probe was asked for */
};

struct watcher {
    struct world *x;
    struct firn_store *store;
    struct firn_manifest_node *mnode;
    const struct firn_env *env;
    struct firn_manifest_read read;
    struct firn_tail *tail;
    struct firn_timer tick;
    struct log_copy seen;
    struct probe_check probe[64];
    size_t asked, checked;
};

struct world {
    struct firn_fake_world *w;
    struct actor actor[WRITERS + 1];
    struct watcher watcher;
    uint64_t seed;
    unsigned fenced, probes_checked;
};

static uint64_t below(struct world *x, uint64_t n)
{
    return firn_fake_random(x->w) % n;
}

/* --- records */

static enum firn_status add_record(struct actor *a)
{
    uint8_t key[1 + 16];
    struct firn_record rec = {.kind = FIRN_RECORD_PUT, .event = 1};
    uint64_t slot, seqno;
    key[0] = FIRN_NS_DB0;
    firn_put_le64(key + 1, a->epoch);
    firn_put_le64(key + 9, a->sent);
    rec.key = firn_slice_of(key, sizeof key);
    enum firn_status s = firn_append_add(a->append, &rec, 1, &slot, &seqno);
    if (s == FIRN_OK)
        a->seqno_of[a->sent++] = seqno;
    return s;
}

static void copy_batch(struct log_copy *c, const struct firn_batch_header *b,
                       struct firn_slice records)
{
    struct firn_record_cursor cur;
    struct firn_record rec;
    firn_record_begin(&cur, records, b->first_seqno);
    while (firn_record_next(&cur, &rec, NULL) == FIRN_OK) {
        assert_true(c->count < RECORDS_MAX);
        assert_true(rec.seqno > c->last_seqno || c->count == 0);
        c->last_seqno = rec.seqno;
        c->mark[c->count++] =
            (struct mark){firn_le64(rec.key.data + 1), firn_le64(rec.key.data + 9)};
    }
}

/* Every epoch's records in the copy are its first ones, each once, in order; epochs only grow. */
static void check_order(const struct log_copy *c)
{
    uint64_t epoch = 0, next = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (c->mark[i].epoch != epoch) {
            assert_true(c->mark[i].epoch > epoch);
            epoch = c->mark[i].epoch;
            next = 0;
        }
        assert_int_equal(c->mark[i].number, next);
        next++;
    }
}

static uint64_t count_of(const struct log_copy *c, uint64_t epoch)
{
    uint64_t n = 0;
    for (size_t i = 0; i < c->count; i++)
        n += c->mark[i].epoch == epoch;
    return n;
}

/* --- writers */

static uint64_t now_ms(void *arg)
{
    struct actor *a = arg;
    return firn_wall_ms(a->env);
}

static void closed(void *arg, uint64_t slot)
{
    (void)arg;
    (void)slot;
}

/* Asked when a batch is closed, which holds every record that was not in one yet. */
static bool listens(void *arg)
{
    struct actor *a = arg;
    while (a->closed_records < a->sent)
        a->kept[a->closed_records++] = a->listening;
    return a->listening;
}

/* In order, each once, of our own, when durable and not before that was said. */
static void records(void *arg, const struct firn_batch_header *batch, struct firn_slice raw)
{
    struct actor *a = arg;
    struct firn_record_cursor cur;
    struct firn_record rec;
    assert_int_equal(batch->place.epoch, a->epoch);
    firn_record_begin(&cur, raw, batch->first_seqno);
    while (firn_record_next(&cur, &rec, NULL) == FIRN_OK) {
        uint64_t n = firn_le64(rec.key.data + 9);
        assert_int_equal(firn_le64(rec.key.data + 1), a->epoch);
        assert_true(n < a->closed_records && n >= a->acked);
        assert_int_equal(rec.seqno, a->seqno_of[n]);
        assert_true(a->kept[n] && !a->told[n] &&
                    (n == a->acked || a->told[n - 1] || !a->kept[n - 1]));
        a->told[n] = true;
    }
}

static void durable(void *arg, uint64_t slots, uint64_t last_seqno, uint64_t first_sent_ns)
{
    struct actor *a = arg;
    (void)slots;
    assert_true(first_sent_ns > 0 && first_sent_ns <= firn_boot_ns(a->env));
    for (; a->acked < a->sent && a->seqno_of[a->acked] <= last_seqno; a->acked++)
        assert_int_equal(a->told[a->acked], a->kept[a->acked]);
}

static void stopped(void *arg, enum firn_status why, const struct firn_err *err)
{
    struct actor *a = arg;
    (void)err;
    assert_int_equal(why, FIRN_FENCED);
    a->x->fenced++;
    a->serving = false;
    a->over = true;
}

static void tick(void *arg)
{
    struct actor *a = arg;
    if (!a->serving)
        return;
    if (below(a->x, 8) == 0)
        a->listening = !a->listening;
    for (uint64_t n = below(a->x, 4); n > 0 && a->sent < 500; n--) {
        if (!firn_append_room(a->append, 64) || add_record(a) != FIRN_OK)
            break;
    }
    firn_timer_start(a->env, &a->tick, (1 + below(a->x, 40)) * FIRN_MS);
}

static void serve(struct firn_manifest_read *r)
{
    struct actor *a = r->arg;
    if (r->status != FIRN_OK ||
        !firn_manifest_role_is(r->manifest->pb, FIRN_ROLE_WRITER, a->epoch, &a->process_nonce)) {
        a->over = true;
        return;
    }
    struct firn_append_options o = {
        .db = r->manifest->db,
        .format = 1,
        .process_nonce = a->process_nonce,
        .epoch = a->epoch,
        .interval_ns = 5 * FIRN_MS,
        .batch_bytes = 256,
        .batch_bytes_max = 4096,
        .inflight_max = (unsigned)(1 + below(a->x, 6)),
        .codec = FIRN_CODEC_LZ4,
    };
    struct firn_append_user u = {
        .now_ms = now_ms,
        .closed = closed,
        .listens = listens,
        .records = records,
        .durable = durable,
        .stopped = stopped,
        .arg = a,
    };
    check_order(&a->seen);
    assert_int_equal(firn_append_create(a->env, a->store, &o, &u, &a->append), FIRN_OK);
    a->serving = true;
    if (!a->last)
        firn_timer_start(a->env, &a->tick, FIRN_MS);
}

static enum firn_status replay(void *arg, const struct firn_batch_header *batch,
                               struct firn_slice records)
{
    struct actor *a = arg;
    copy_batch(&a->seen, batch, records);
    return FIRN_OK;
}

static void taken(void *arg, enum firn_status s, const struct firn_err *err)
{
    struct actor *a = arg;
    (void)err;
    if (s != FIRN_OK) {
        assert_int_equal(s, FIRN_FENCED);
        a->over = true;
        return;
    }
    a->confirm.done = serve;
    a->confirm.arg = a;
    firn_manifest_read(a->mnode, &a->confirm);
}

static void claimed(struct firn_intent *it)
{
    struct actor *a = it->arg;
    if (it->status != FIRN_OK) {
        a->over = true;
        return;
    }
    a->epoch = a->claim.epoch;
    firn_manifest_hold(a->mnode, FIRN_ROLE_WRITER, a->epoch, &a->process_nonce);
    struct firn_takeover_options o = {
        .db = it->manifest->db,
        .process_nonce = a->process_nonce,
        .epoch = a->epoch,
        .from = it->manifest->floor,
        .batch_raw_max = 4096,
        .ahead_bytes_max = 65536,
    };
    struct firn_takeover_user u = {.apply = replay, .done = taken, .arg = a};
    assert_int_equal(firn_takeover_start(a->env, a->store, &o, &u, &a->takeover), FIRN_OK);
}

static void opened(struct firn_manifest_create *c)
{
    struct actor *a = c->arg;
    assert_int_equal(c->status, FIRN_OK);
    firn_random(a->env, a->process_nonce.byte, FIRN_ID_BYTES);
    a->claim.claim = (struct firn_claim){
        .role = FIRN_ROLE_WRITER,
        .process_nonce = a->process_nonce,
        .node_id = "w",
        .address = "",
    };
    a->claim.base.done = claimed;
    a->claim.base.arg = a;
    firn_manifest_claim(a->mnode, &a->claim);
}

static const Firn__Settings *settings(void)
{
    static Firn__Settings s;
    firn_manifest_settings_default(&s);
    return &s;
}

static const Firn__Dialect *dialect(void)
{
    static Firn__Dialect d = FIRN__DIALECT__INIT;
    return &d;
}

static void begin(void *arg)
{
    struct actor *a = arg;
    a->create.settings = settings();
    a->create.dialect = dialect();
    a->create.done = opened;
    a->create.arg = a;
    firn_manifest_create(a->mnode, &a->create);
}

static void actor_init(struct world *x, struct actor *a)
{
    struct firn_manifest_options mo = {.interval_ns = FIRN_MS};
    a->x = x;
    a->node = firn_fake_node_add(x->w, NULL);
    a->env = firn_fake_env(a->node);
    a->tick.fn = tick;
    a->tick.arg = a;
    assert_int_equal(firn_store_create(a->env, &(struct firn_store_options){0}, &a->store),
                     FIRN_OK);
    assert_int_equal(firn_manifest_node_create(a->env, a->store, &mo, &a->mnode), FIRN_OK);
}

/* --- the watcher: a tail beside them */

static enum firn_status watch_apply(void *arg, const struct firn_slot_result *r)
{
    struct watcher *v = arg;
    copy_batch(&v->seen, r->batch, r->records);
    return FIRN_OK;
}

static void watch_manifest(void *arg, struct firn_manifest *m)
{
    (void)arg;
    (void)m;
}

static bool watch_reload(void *arg, struct firn_manifest *m)
{
    (void)arg;
    (void)m;
    fail_msg("nothing was collected");
    return false;
}

/* I6: what was acknowledged when the probe was asked for is in the state when it has ended. */
static void watch_believed(void *arg, uint64_t fresh_ns, uint64_t ticket)
{
    struct watcher *v = arg;
    (void)fresh_ns;
    for (; v->checked < v->asked && v->probe[v->checked % 64].ticket <= ticket; v->checked++) {
        const struct probe_check *p = &v->probe[v->checked % 64];
        for (int i = 0; i <= WRITERS; i++) {
            if (v->x->actor[i].epoch)
                assert_true(count_of(&v->seen, v->x->actor[i].epoch) >= p->acked[i]);
        }
        v->x->probes_checked++;
    }
}

static void watch_failed(void *arg, enum firn_status s, const struct firn_err *err, bool for_good)
{
    (void)arg;
    (void)err;
    (void)for_good;
    assert_int_not_equal(s, FIRN_INVALID);
}

static void watch_tick(void *arg)
{
    struct watcher *v = arg;
    if (v->asked - v->checked < 60) {
        struct probe_check *p = &v->probe[v->asked++ % 64];
        for (int i = 0; i <= WRITERS; i++)
            p->acked[i] = v->x->actor[i].acked;
        p->ticket = firn_tail_probe(v->tail);
    }
    firn_timer_start(v->env, &v->tick, (1 + below(v->x, 200)) * FIRN_MS);
}

static void watch_open(struct firn_manifest_read *r)
{
    struct watcher *v = r->arg;
    if (r->status != FIRN_OK) {
        firn_timer_start(v->env, &v->tick, 50 * FIRN_MS);
        return;
    }
    struct firn_tail_options o = {
        .db = r->manifest->db,
        .at = r->manifest->floor,
        .batch_raw_max = 4096,
        .ahead_bytes_max = 65536,
        .wal_grace_ns = 900 * FIRN_SEC,
        .strict = v->x->seed % 3 == 0,
    };
    struct firn_tail_user u = {
        .apply = watch_apply,
        .manifest = watch_manifest,
        .reload = watch_reload,
        .believed = watch_believed,
        .failed = watch_failed,
        .arg = v,
    };
    assert_int_equal(firn_tail_create(v->env, v->store, v->mnode, &o, &u, &v->tail), FIRN_OK);
    v->tick.fn = watch_tick;
    watch_tick(v);
}

static void watch_try(void *arg)
{
    struct watcher *v = arg;
    memset(&v->read, 0, sizeof v->read);
    v->read.done = watch_open;
    v->read.arg = v;
    firn_manifest_read(v->mnode, &v->read);
}

static void watcher_init(struct world *x, struct watcher *v)
{
    struct firn_manifest_options mo = {.interval_ns = FIRN_MS};
    v->x = x;
    v->env = firn_fake_env(firn_fake_node_add(x->w, NULL));
    v->tick.fn = watch_try;
    v->tick.arg = v;
    assert_int_equal(firn_store_create(v->env, &(struct firn_store_options){0}, &v->store),
                     FIRN_OK);
    assert_int_equal(firn_manifest_node_create(v->env, v->store, &mo, &v->mnode), FIRN_OK);
    firn_timer_start(v->env, &v->tick, 100 * FIRN_MS);
}

/* --- one seed */

static void freeze_thaw(void *arg)
{
    struct actor *a = arg;
    if (firn_fake_node_frozen(a->node))
        firn_fake_node_thaw(a->node);
    else
        firn_fake_node_freeze(a->node);
}

static bool last_serves(void *arg)
{
    struct actor *a = arg;
    return a->serving || a->over;
}

/* Nobody is still on the way to an epoch: the last writer will be the newest. */
static bool all_settled(void *arg)
{
    struct world *x = arg;
    for (int i = 0; i < WRITERS; i++) {
        if (!x->actor[i].serving && !x->actor[i].over)
            return false;
    }
    return true;
}

static void stop_done(void *arg)
{
    *(bool *)arg = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

static void node_shut(struct world *x, struct firn_manifest_node *m)
{
    bool done = false;
    firn_manifest_node_stop(m, stop_done, &done);
    assert_true(firn_fake_run_until(x->w, is_true, &done, 600 * FIRN_SEC));
}

static void shut(struct world *x)
{
    firn_timer_stop(x->watcher.env, &x->watcher.tick);
    for (int i = 0; i <= WRITERS; i++) {
        struct actor *a = &x->actor[i];
        a->serving = false;
        firn_timer_stop(a->env, &a->tick);
        firn_append_free(a->append);
        firn_takeover_free(a->takeover);
        node_shut(x, a->mnode);
    }
    node_shut(x, x->watcher.mnode);
    firn_tail_free(x->watcher.tail);
    firn_fake_run_for(x->w, 300 * FIRN_SEC);
    for (int i = 0; i <= WRITERS; i++) {
        firn_manifest_node_free(x->actor[i].mnode);
        firn_store_free(x->actor[i].store);
    }
    firn_manifest_node_free(x->watcher.mnode);
    firn_store_free(x->watcher.store);
}

static uint64_t run_seed(uint64_t seed, struct world *x)
{
    struct firn_fake_options o = {
        .seed = seed,
        .latency_min_ns = 1 * FIRN_MS,
        .latency_max_ns = 60 * FIRN_MS,
        .late_max_ns = 4 * FIRN_SEC,
        .list_unsorted = true,
        .faults = {.lost_before = 20000,
                   .lost_after = 30000,
                   .late = 60000,
                   .twice = 40000,
                   .err_500 = 20000,
                   .err_503 = 5000,
                   .err_409 = 20000,
                   .loser_500 = 200000,
                   .short_read = 5000,
                   .slow = 50000},
    };
    memset(x, 0, sizeof *x);
    x->seed = seed;
    x->w = firn_fake_world_new(&o);
    for (int i = 0; i <= WRITERS; i++)
        actor_init(x, &x->actor[i]);
    watcher_init(x, &x->watcher);
    /* Writers start one after the other, each while its elders live and write; some sleep in
     * between. */
    for (int i = 0; i < WRITERS; i++) {
        uint64_t at = (uint64_t)i * below(x, 3000) * FIRN_MS;
        firn_fake_at(x->w, at, begin, &x->actor[i]);
        if (below(x, 2)) {
            uint64_t frozen = at + below(x, 3000) * FIRN_MS;
            firn_fake_at(x->w, frozen, freeze_thaw, &x->actor[i]);
            firn_fake_at(x->w, frozen + (1 + below(x, 6000)) * FIRN_MS, freeze_thaw, &x->actor[i]);
        }
    }
    firn_fake_run_for(x->w, 16 * FIRN_SEC);
    /* The store heals, and a last writer reads the log as it has become. */
    memset(&firn_fake_options(x->w)->faults, 0, sizeof o.faults);
    assert_true(firn_fake_run_until(x->w, all_settled, x, 600 * FIRN_SEC));
    struct actor *last = &x->actor[WRITERS];
    last->last = true;
    begin(last);
    assert_true(firn_fake_run_until(x->w, last_serves, last, 600 * FIRN_SEC));
    assert_true(last->serving);
    firn_fake_run_for(x->w, 10 * FIRN_SEC); /* what is late lands now */

    check_order(&last->seen);
    for (int i = 0; i < WRITERS; i++) {
        struct actor *a = &x->actor[i];
        if (a->epoch)
            assert_true(count_of(&last->seen, a->epoch) >=
                        a->acked); /* nothing acknowledged is lost */
        assert_false(a->serving && a->epoch != last->epoch &&
                     a->acked > count_of(&last->seen, a->epoch));
    }
    /* The watcher saw a prefix of the same log. */
    check_order(&x->watcher.seen);
    assert_true(x->watcher.seen.count <= last->seen.count);
    assert_memory_equal(x->watcher.seen.mark, last->seen.mark,
                        x->watcher.seen.count * sizeof(struct mark));
    uint64_t hash = firn_fake_trace_hash(x->w);
    shut(x);
    firn_fake_world_free(x->w);
    return hash;
}

static void interleavings(void **state)
{
    (void)state;
    static struct world x;
    const char *one = getenv("FIRN_SEED"), *many = getenv("FIRN_SEEDS");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1;
    uint64_t count = one ? 1 : many ? strtoull(many, NULL, 10) : SEEDS_DEFAULT;
    uint64_t acked = 0, epochs = 0, fenced = 0, probes = 0;
    for (uint64_t s = first; s < first + count; s++) {
        if (getenv("FIRN_VERBOSE"))
            (void)fprintf(stderr, "seed %llu\n", (unsigned long long)s);
        (void)run_seed(s, &x);
        for (int i = 0; i <= WRITERS; i++) {
            acked += x.actor[i].acked;
            epochs += x.actor[i].epoch != 0;
        }
        fenced += x.fenced;
        probes += x.probes_checked;
    }
    print_message("%llu seeds: %llu epochs, %llu records acknowledged, %llu writers fenced by the "
                  "log, %llu probes\n",
                  (unsigned long long)count, (unsigned long long)epochs, (unsigned long long)acked,
                  (unsigned long long)fenced, (unsigned long long)probes);
    /* The runs must have met what they are about. */
    if (count >= 100) {
        assert_true(acked > count * 100);
        assert_true(epochs > count * 3);
        assert_true(fenced > count / 10);
        assert_true(probes > count * 5);
    }
}

static void same_seed_same_run(void **state)
{
    (void)state;
    static struct world x;
    uint64_t a = run_seed(7, &x), b = run_seed(7, &x);
    assert_true(a == b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_run),
        cmocka_unit_test(interleavings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
