/* What a tail believes (PROTOCOL.md, "Tailing and freshness"; S5; I6), case by case: slots and
 * manifests are put into the store by hand, at chosen times. */
#include "testing.h"

#include "log/tail.h"
#include "unit/log_by_hand.h"
#include "unit/manifest_by_hand.h"

#include "manifest/edit.h"
#include "manifest/intents.h"

#define WAL_GRACE (40 * FIRN_SEC)
#define RAW_MAX 4096

struct fix {
    struct firn_fake_world *w;
    struct firn_fake_node *node;
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_manifest_node *mnode;
    struct firn_id db;
    struct firn_tail *tail;
    bool flag;
    /* told by the tail */
    unsigned batches, seals, reloads, ends;
    struct firn_place last_seal, last_batch;
    uint64_t fresh_ns, ticket_done;
    /* seen in the store */
    unsigned manifest_gets, slot_gets;
    bool may_fail;
    bool rejects; /* GETs of the manifest: 400 */
    unsigned failures, for_good;
    uint64_t slot_delay_ns; /* of each GET of a slot, half before it takes effect */
};

static void on_request(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                       struct firn_fake_plan *plan)
{
    struct fix *f = arg;
    (void)n;
    plan->fate = FIRN_FAKE_CLEAN;
    if (req->op != FIRN_OS_GET)
        return;
    if (strcmp(req->key, "manifest") == 0) {
        f->manifest_gets++;
        if (f->rejects)
            plan->fate = FIRN_FAKE_REJECTED;
    }
    if (strncmp(req->key, "wal/", 4) == 0) {
        f->slot_gets++;
        plan->delay_ns = f->slot_delay_ns;
    }
}

static bool flagged(void *arg)
{
    return ((struct fix *)arg)->flag;
}

static void wait_flag(struct fix *f)
{
    assert_true(firn_fake_run_until(f->w, flagged, f, 100 * FIRN_SEC));
    f->flag = false;
}

/* ---- the world by hand */

static void put_batch(struct fix *f, uint64_t epoch, uint64_t slot)
{
    batch_put(f->w, &f->db, (struct firn_place){epoch, slot});
}

static void put_seal(struct fix *f, uint64_t epoch, uint64_t slot)
{
    seal_put(f->w, &f->db, (struct firn_place){epoch, slot});
}

static void move_kept(Firn__Manifest *m, const void *arg)
{
    const struct firn_place *at = arg;
    struct firn_id nonce = firn_pb_id(&m->nonce);
    while (m->writer->epoch <= at->epoch) {
        struct firn_claim c = {.role = FIRN_ROLE_WRITER, .process_nonce = nonce, .node_id = "w"};
        SAMPLE_OK(firn_edit_claim(m, &c, NULL));
    }
    if (firn_place_cmp(firn_place_of(m->floor), *at) < 0)
        SAMPLE_OK(firn_edit_flush(m, &(struct firn_flush){.end = *at, .seqno = 1}, NULL));
    SAMPLE_OK(firn_edit_kept(m, *at, NULL));
}

/* Somebody else's commit: a newer epoch, and floor and kept at (epoch, slot). */
static void commit_kept(struct fix *f, uint64_t epoch, uint64_t slot)
{
    struct firn_place at = {epoch, slot};
    (void)manifest_change(f->w, move_kept, &at);
}

/* ---- what the tail tells */

static enum firn_status apply(void *arg, const struct firn_slot_result *batch)
{
    struct fix *f = arg;
    f->batches++;
    f->last_batch = batch->place;
    return FIRN_OK;
}

static void manifest_seen(void *arg, struct firn_manifest *m)
{
    (void)arg;
    (void)m;
}

static bool reload(void *arg, struct firn_manifest *m)
{
    struct fix *f = arg;
    (void)m;
    f->reloads++;
    return true;
}

static void sealed(void *arg, struct firn_place at)
{
    struct fix *f = arg;
    f->seals++;
    f->last_seal = at;
}

static void believed(void *arg, uint64_t fresh_ns, uint64_t ticket)
{
    struct fix *f = arg;
    f->ends++;
    f->fresh_ns = fresh_ns;
    f->ticket_done = ticket;
    f->flag = true;
}

static void failed(void *arg, enum firn_status s, const struct firn_err *err, bool for_good)
{
    struct fix *f = arg;
    if (!f->may_fail)
        fail_msg("the tail failed: %s: %s", firn_status_name(s), err ? err->text : "");
    f->failures++;
    f->for_good += for_good;
}

/* ---- set-up */

static void created(struct firn_manifest_create *c)
{
    struct fix *f = c->arg;
    assert_int_equal(c->status, FIRN_OK);
    f->db = c->manifest->db;
    f->flag = true;
}

static void open_tail(struct fix *f, bool strict)
{
    Firn__Settings settings;
    Firn__Dialect dialect;
    memset(f, 0, sizeof *f);
    f->w = firn_fake_world_new(&(struct firn_fake_options){.seed = 5});
    f->node = firn_fake_node_add(f->w, NULL);
    f->env = firn_fake_env(f->node);
    assert_int_equal(firn_store_create(f->env, NULL, &f->store), FIRN_OK);
    assert_int_equal(firn_manifest_node_create(f->env, f->store, NULL, &f->mnode), FIRN_OK);
    firn_manifest_settings_default(&settings);
    firn__dialect__init(&dialect);
    struct firn_manifest_create c = {
        .settings = &settings, .dialect = &dialect, .done = created, .arg = f};
    firn_manifest_create(f->mnode, &c);
    wait_flag(f);
    commit_kept(f, 1, 0); /* epoch 1 begins, and 2 */
    firn_fake_on_request(f->w, on_request, f);
    struct firn_tail_options o = {
        .db = f->db,
        .at = {1, 0},
        .batch_raw_max = RAW_MAX,
        .ahead_bytes_max = 65536,
        .wal_grace_ns = WAL_GRACE,
        .strict = strict,
    };
    struct firn_tail_user u = {
        .apply = apply,
        .manifest = manifest_seen,
        .reload = reload,
        .sealed = sealed,
        .believed = believed,
        .failed = failed,
        .arg = f,
    };
    assert_int_equal(firn_tail_create(f->env, f->store, f->mnode, &o, &u, &f->tail), FIRN_OK);
}

static void stopped(void *arg)
{
    ((struct fix *)arg)->flag = true;
}

static bool idle(void *arg)
{
    const struct fix *f = arg;
    return f->flag && firn_store_idle(f->store);
}

static void close_tail(struct fix *f)
{
    f->flag = false;
    firn_tail_pause(f->tail);
    firn_manifest_node_stop(f->mnode, stopped, f);
    assert_true(firn_fake_run_until(f->w, idle, f, 100 * FIRN_SEC));
    firn_tail_free(f->tail);
    firn_manifest_node_free(f->mnode);
    firn_store_free(f->store);
    firn_fake_world_free(f->w);
}

static void probe(struct fix *f)
{
    (void)firn_tail_probe(f->tail);
    wait_flag(f);
}

static bool stands_at(const struct fix *f, uint64_t epoch, uint64_t slot)
{
    return firn_place_eq(firn_tail_at(f->tail), (struct firn_place){epoch, slot});
}

/* Batches 0 … n-1 of epoch 1, consumed; the manifest was read on the way. */
static void consume(struct fix *f, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        put_batch(f, 1, i);
    probe(f);
    probe(f); /* it looks no further ahead from now on */
    assert_int_equal(f->batches, n);
    assert_true(stands_at(f, 1, n));
}

/* ---- the tests */

static void a_seal_that_counts_is_believed(void **state)
{
    struct fix f;
    (void)state;
    open_tail(&f, false);
    consume(&f, 2);
    put_seal(&f, 1, 2);
    put_batch(&f, 2, 0);
    probe(&f);
    assert_int_equal(f.seals, 1);
    assert_true(f.last_seal.epoch == 1 && f.last_seal.slot == 2);
    assert_true(stands_at(&f, 2, 1));
    assert_int_equal(f.reloads, 0);
    close_tail(&f);
}

/* Slots below kept hold anything: a sealer that slept put one into a collected slot. */
static void a_false_seal_is_not_believed(void **state)
{
    struct fix f;
    (void)state;
    open_tail(&f, false);
    consume(&f, 2);
    firn_fake_run_for(f.w, WAL_GRACE);
    commit_kept(&f, 1, 7);
    put_seal(&f, 1, 2);
    put_batch(&f, 1, 7);
    put_batch(&f, 2, 0); /* of a writer whose seal lies elsewhere, or nowhere yet */
    probe(&f);
    assert_int_equal(f.seals, 0);
    assert_int_equal(f.reloads, 1);
    assert_true(stands_at(&f, 1, 8));
    close_tail(&f);
}

/* The same of an empty slot: what was acknowledged lies behind it. */
static void a_404_below_kept_is_not_believed(void **state)
{
    struct fix f;
    (void)state;
    open_tail(&f, false);
    consume(&f, 2);
    firn_fake_run_for(f.w, WAL_GRACE);
    commit_kept(&f, 1, 7);
    put_batch(&f, 1, 7);
    probe(&f);
    assert_int_equal(f.reloads, 1);
    assert_int_equal(f.batches, 3); /* before the probe was said to have ended */
    assert_true(stands_at(&f, 1, 8));
    close_tail(&f);
}

static void read_done(struct firn_manifest_read *r)
{
    assert_int_equal(r->status, FIRN_OK);
    ((struct fix *)r->arg)->flag = true;
}

/* A fresh manifest is no voucher for what lies below its kept. */
static void a_fresh_manifest_with_a_higher_kept_does_not_vouch(void **state)
{
    struct fix f;
    (void)state;
    open_tail(&f, false);
    consume(&f, 2);
    commit_kept(&f, 1, 7);
    put_batch(&f, 1, 7);
    struct firn_manifest_read r = {.done = read_done, .arg = &f};
    firn_manifest_read(f.mnode, &r);
    wait_flag(&f);
    probe(&f);
    assert_int_equal(f.reloads, 1);
    assert_int_equal(f.batches, 3);
    close_tail(&f);
}

/* S5: one manifest read serves many probes, for a quarter of wal_grace. */
static void a_manifest_vouches_for_a_while(void **state)
{
    struct fix f;
    (void)state;
    open_tail(&f, false);
    consume(&f, 1);
    f.manifest_gets = f.slot_gets = 0;
    for (int i = 0; i < 5; i++)
        probe(&f);
    assert_int_equal(f.manifest_gets, 0);
    assert_int_equal(f.slot_gets, 5);
    firn_fake_run_for(f.w, WAL_GRACE / 4);
    probe(&f);
    assert_int_equal(f.manifest_gets, 1);
    close_tail(&f);
}

/* By the store's Date, too: this machine's clock all but stands. */
static void a_slow_clock_does_not_stretch_it(void **state)
{
    struct fix f;
    (void)state;
    open_tail(&f, false);
    consume(&f, 1);
    f.manifest_gets = 0;
    firn_fake_node_clock(f.node, 0, -990000);
    firn_fake_run_for(f.w, WAL_GRACE / 4);
    uint64_t before = firn_boot_ns(f.env);
    probe(&f);
    assert_true(firn_boot_ns(f.env) - before < WAL_GRACE / 40);
    assert_int_equal(f.manifest_gets, 1);
    close_tail(&f);
}

static void a_strict_tail_asks_every_time(void **state)
{
    struct fix f;
    (void)state;
    open_tail(&f, true);
    consume(&f, 1);
    f.manifest_gets = 0;
    probe(&f);
    probe(&f);
    assert_int_equal(f.manifest_gets, 2);
    close_tail(&f);
}

/* I6: the state includes what was acknowledged before the probe's GET was sent, and says no more
 * than that. */
static void fresh_as_of_the_sending(void **state)
{
    struct fix f;
    (void)state;
    open_tail(&f, false);
    consume(&f, 1);
    f.slot_delay_ns = 400 * FIRN_MS;
    uint64_t before = firn_boot_ns(f.env);
    probe(&f);
    assert_true(firn_boot_ns(f.env) >= before + 400 * FIRN_MS);
    assert_true(f.fresh_ns >= before && f.fresh_ns < before + 10 * FIRN_MS);
    close_tail(&f);
}

/* I6: who asks while a probe's GET is under way gets one of his own. */
static void a_probe_serves_who_asked_before_it(void **state)
{
    struct fix f;
    (void)state;
    open_tail(&f, false);
    consume(&f, 1);
    f.slot_delay_ns = 400 * FIRN_MS;
    uint64_t first = firn_tail_probe(f.tail), shared = firn_tail_probe(f.tail);
    firn_fake_run_for(f.w, 100 * FIRN_MS);
    f.slot_gets = 0;
    uint64_t late = firn_tail_probe(f.tail);
    assert_true(first <= shared && shared < late);
    wait_flag(&f);
    assert_int_equal(f.ticket_done, shared);
    wait_flag(&f);
    assert_int_equal(f.ticket_done, late);
    assert_int_equal(f.slot_gets, 1);
    close_tail(&f);
}

/* The user took a view whose floor is ahead while a 404 was waiting for a manifest: that says
 * nothing of the new place. */
static void a_move_makes_what_was_found_stale(void **state)
{
    struct fix f;
    (void)state;
    open_tail(&f, true);
    consume(&f, 1);
    put_batch(&f, 1, 5);
    f.slot_gets = f.manifest_gets = 0;
    (void)firn_tail_probe(f.tail);
    while (f.manifest_gets == 0)
        assert_true(firn_fake_step(f.w));
    firn_tail_seek(f.tail, (struct firn_place){1, 5});
    wait_flag(&f);
    assert_int_equal(f.ends, 3); /* of consume two, and this */
    assert_int_equal(f.batches, 2);
    assert_true(stands_at(&f, 1, 6));
    close_tail(&f);
}

/* What changes format 1 into 17 is damage until it was seen three times: a bit flips on the way. */
static void flip_format(struct fix *f, uint64_t slot)
{
    char name[FIRN_NAME_MAX];
    struct firn_slice body;
    firn_name_slot(name, firn_id_short(&f->db), (struct firn_place){1, slot});
    assert_true(firn_fake_get(f->w, name, &body));
    uint8_t *copy = malloc(body.len);
    assert_non_null(copy);
    memcpy(copy, body.data, body.len);
    copy[6] ^= 16;
    firn_fake_put(f->w, name, copy, body.len);
    free(copy);
}

static bool looked_thrice(void *arg)
{
    return ((struct fix *)arg)->slot_gets == 3;
}

static bool failed_for_good(void *arg)
{
    return ((struct fix *)arg)->for_good > 0;
}

static void a_format_from_the_future_is_not_believed_at_once(void **state)
{
    struct fix f;
    (void)state;
    open_tail(&f, false);
    consume(&f, 2);
    put_batch(&f, 1, 2);
    flip_format(&f, 2);
    f.slot_gets = 0;
    (void)firn_tail_probe(f.tail);
    assert_true(firn_fake_run_until(f.w, looked_thrice, &f, 100 * FIRN_SEC));
    flip_format(&f, 2); /* it was damage: now it is as it was put */
    wait_flag(&f);
    assert_true(f.failures == 0 && f.batches == 3 && stands_at(&f, 1, 3));
    put_batch(&f, 1, 3);
    flip_format(&f, 3);
    f.slot_gets = 0;
    f.may_fail = true;
    (void)firn_tail_probe(f.tail);
    assert_true(firn_fake_run_until(f.w, failed_for_good, &f, 100 * FIRN_SEC));
    assert_true(f.failures == 1 && f.slot_gets >= 3);
    close_tail(&f);
}

static bool failed_twice(void *arg)
{
    return ((struct fix *)arg)->failures == 2;
}

/* A read of the manifest that the store does not take says nothing of the manifest. */
static void a_refused_manifest_is_asked_for_again(void **state)
{
    struct fix f;
    (void)state;
    open_tail(&f, true);
    consume(&f, 1);
    f.may_fail = f.rejects = true;
    (void)firn_tail_probe(f.tail);
    assert_true(firn_fake_run_until(f.w, failed_twice, &f, 100 * FIRN_SEC));
    f.rejects = false;
    wait_flag(&f);
    assert_int_equal(f.for_good, 0);
    close_tail(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seal_that_counts_is_believed),
        cmocka_unit_test(a_false_seal_is_not_believed),
        cmocka_unit_test(a_404_below_kept_is_not_believed),
        cmocka_unit_test(a_fresh_manifest_with_a_higher_kept_does_not_vouch),
        cmocka_unit_test(a_manifest_vouches_for_a_while),
        cmocka_unit_test(a_slow_clock_does_not_stretch_it),
        cmocka_unit_test(a_strict_tail_asks_every_time),
        cmocka_unit_test(fresh_as_of_the_sending),
        cmocka_unit_test(a_probe_serves_who_asked_before_it),
        cmocka_unit_test(a_move_makes_what_was_found_stale),
        cmocka_unit_test(a_format_from_the_future_is_not_believed_at_once),
        cmocka_unit_test(a_refused_manifest_is_asked_for_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
