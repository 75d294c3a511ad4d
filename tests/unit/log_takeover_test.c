/* The log part of a take-over, slot by slot (PROTOCOL.md, "Take-over"): who lies in the slot that
 * is to be sealed, put there by hand between the look and the seal. */
#include "testing.h"

#include "log/takeover.h"
#include "unit/log_by_hand.h"

#define WAIT_NS (100 * FIRN_SEC)
#define EPOCH 3 /* ours */

static const struct firn_id db = {{0xab, 0xcd}};
static struct firn_fake_world *world;
static const struct firn_env *env;
static struct firn_store *store;
static struct firn_takeover *takeover;
static struct firn_place applied[256], seal[8];
static size_t napplied, nseals;
static bool over;
static enum firn_status how;
static struct firn_err why;
/* What happens when the taker's first PUT of the slot `at` is on its way. */
static struct firn_place at;
static void (*meanwhile)(void);
static enum firn_fake_fate fate;
/* So many GETs of that slot meet a flipped bit; so many requests to it are denied. */
static unsigned flips, gets, denials, rests;

static void on_request(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                       struct firn_fake_plan *plan)
{
    char name[FIRN_NAME_MAX];
    (void)arg;
    (void)n;
    plan->fate = FIRN_FAKE_CLEAN;
    firn_name_slot(name, firn_id_short(&db), at);
    if (strcmp(req->key, name) != 0)
        return;
    if (req->op == FIRN_OS_GET && gets++ < flips)
        plan->fate = FIRN_FAKE_BIT_FLIP;
    if (denials && denials--)
        plan->fate = FIRN_FAKE_DENIED;
    if (req->op != FIRN_OS_PUT || !meanwhile)
        return;
    plan->fate = fate;
    meanwhile();
    meanwhile = NULL;
}

static enum firn_status apply(void *arg, const struct firn_batch_header *batch,
                              struct firn_slice records)
{
    (void)arg;
    (void)records;
    applied[napplied++] = batch->place;
    return FIRN_OK;
}

static void sealed(void *arg, struct firn_place p)
{
    (void)arg;
    seal[nseals++] = p;
}

static void resting(void *arg, enum firn_status status, const struct firn_err *err)
{
    (void)arg;
    assert_int_equal(status, FIRN_DENIED);
    assert_true(err->text[0]);
    rests++;
}

static void done(void *arg, enum firn_status status, const struct firn_err *err)
{
    (void)arg;
    over = true;
    how = status;
    why = *err;
}

static void open_seed(uint64_t seed)
{
    world = firn_fake_world_new(&(struct firn_fake_options){.seed = seed});
    env = firn_fake_env(firn_fake_node_add(world, NULL));
    assert_int_equal(firn_store_create(env, NULL, &store), FIRN_OK);
    firn_fake_on_request(world, on_request, NULL);
    napplied = nseals = 0;
    over = false;
    meanwhile = NULL;
    fate = FIRN_FAKE_CLEAN;
    flips = gets = denials = rests = 0;
}

static int open_world(void **state)
{
    (void)state;
    open_seed(4);
    return 0;
}

static bool is_idle(void *arg)
{
    return firn_store_idle(arg);
}

static int close_world(void **state)
{
    (void)state;
    firn_takeover_free(takeover);
    takeover = NULL;
    assert_true(is_idle(store) || firn_fake_run_until(world, is_idle, store, WAIT_NS));
    firn_store_free(store);
    firn_fake_world_free(world);
    return 0;
}

static bool is_over(void *arg)
{
    (void)arg;
    return over;
}

/* From (1, 0) on, to its end. */
static void take_over(void)
{
    struct firn_takeover_options o = {.db = db,
                                      .process_nonce = {{1}},
                                      .epoch = EPOCH,
                                      .from = {1, 0},
                                      .batch_raw_max = 4096,
                                      .ahead_bytes_max = 65536};
    struct firn_takeover_user u = {
        .apply = apply, .sealed = sealed, .resting = resting, .done = done};
    assert_int_equal(firn_takeover_start(env, store, &o, &u, &takeover), FIRN_OK);
    assert_true(firn_fake_run_until(world, is_over, NULL, WAIT_NS));
}

static void batch(uint64_t epoch, uint64_t slot)
{
    batch_put(world, &db, (struct firn_place){epoch, slot});
}

static bool sealed_at(size_t i, uint64_t epoch, uint64_t slot)
{
    struct firn_place p = {epoch, slot};
    return i < nseals && firn_place_eq(seal[i], p) && slot_there(world, &db, p) == FIRN_SLOT_SEAL;
}

/* ---- the tests */

/* I4: every older epoch is sealed in its lowest slot that is no batch, also one without any. */
static void every_older_epoch_is_sealed(void **state)
{
    (void)state;
    batch(1, 0);
    batch(1, 1);
    take_over();
    assert_int_equal(how, FIRN_OK);
    assert_int_equal(napplied, 2);
    assert_true(nseals == 2 && sealed_at(0, 1, 2) && sealed_at(1, 2, 0));
}

/* I3, I5: what lies behind the seal that counts was never acknowledged. */
static void nothing_behind_a_seal_is_replayed(void **state)
{
    (void)state;
    batch(1, 0);
    seal_put(world, &db, (struct firn_place){1, 1});
    batch(1, 2);
    batch(2, 0);
    take_over();
    assert_int_equal(how, FIRN_OK);
    assert_int_equal(napplied, 2);
    assert_true(applied[1].epoch == 2);
    assert_true(sealed_at(0, 1, 1) && sealed_at(1, 2, 1));
}

static void a_batch_lands(void)
{
    batch(1, 1);
}

/* The stalled writer's PUT lands before the seal: it counts, and the next slot is sealed; a seal
 * far ahead bounds the chase. */
static void a_batch_that_was_first_is_replayed(void **state)
{
    (void)state;
    batch(1, 0);
    at = (struct firn_place){1, 1};
    meanwhile = a_batch_lands;
    take_over();
    assert_int_equal(how, FIRN_OK);
    assert_int_equal(napplied, 2);
    assert_true(applied[1].slot == 1);
    assert_true(sealed_at(0, 1, 2));
    assert_int_equal(slot_there(world, &db, (struct firn_place){1, 2 + 64}), FIRN_SLOT_SEAL);
    assert_int_equal(firn_takeover_stats_of(takeover)->chased, 1);
}

static void a_seal_lands(void)
{
    seal_put(world, &db, at);
}

static void a_seal_that_was_first_counts(void **state)
{
    (void)state;
    batch(1, 0);
    at = (struct firn_place){1, 1};
    meanwhile = a_seal_lands;
    take_over();
    assert_int_equal(how, FIRN_OK);
    assert_int_equal(firn_takeover_stats_of(takeover)->seals_met, 1);
    assert_true(sealed_at(0, 1, 1) && sealed_at(1, 2, 0));
}

static void nothing(void) {}

/* The reply is lost and the seal has landed: its own bytes are no seal of another. */
static void its_own_seal_is_known_again(void **state)
{
    (void)state;
    batch(1, 0);
    at = (struct firn_place){1, 1};
    meanwhile = nothing;
    fate = FIRN_FAKE_RESET_DONE;
    take_over();
    assert_int_equal(how, FIRN_OK);
    assert_true(nseals == 2 && sealed_at(0, 1, 1));
    assert_int_equal(firn_takeover_stats_of(takeover)->seals_put, 2);
}

static void it_is_collected(void *arg)
{
    char name[FIRN_NAME_MAX];
    (void)arg;
    firn_name_slot(name, firn_id_short(&db), at);
    (void)firn_fake_delete(world, name);
}

static void a_batch_lands_and_goes(void)
{
    batch(1, 1);
    firn_fake_at(world, 12 * FIRN_MS, it_is_collected, NULL); /* when the 412 is on its way */
}

/* 412, and then there is nothing: somebody collected it, so a newer writer serves. */
static void a_slot_that_was_collected_ends_it(void **state)
{
    (void)state;
    batch(1, 0);
    at = (struct firn_place){1, 1};
    meanwhile = a_batch_lands_and_goes;
    firn_fake_options(world)->latency_min_ns = firn_fake_options(world)->latency_max_ns =
        20 * FIRN_MS;
    take_over();
    assert_int_equal(how, FIRN_FENCED);
    assert_non_null(strstr(why.text, "collected"));
    assert_int_equal(nseals, 0);
}

static void damage_lands(void)
{
    slot_put(world, &db, at, "neither a batch nor a seal", 26);
}

/* Damage is named, and never skipped. */
static void damage_ends_it(void **state)
{
    (void)state;
    batch(1, 0);
    at = (struct firn_place){1, 1};
    meanwhile = damage_lands;
    take_over();
    assert_int_equal(how, FIRN_CORRUPT);
    assert_non_null(strstr(why.text, "wal/"));
}

#define FLIP_SEEDS 50 /* another bit each time */

/* A flipped bit can look like damage, or like a format from the future. */
static void what_looks_damaged_is_looked_at_again(void **state)
{
    for (uint64_t seed = 1; seed <= FLIP_SEEDS; seed++) {
        (void)close_world(state);
        open_seed(seed);
        batch(1, 0);
        batch(1, 1);
        at = (struct firn_place){1, seed % 2};
        flips = 2;
        take_over();
        assert_int_equal(how, FIRN_OK);
        assert_true(napplied == 2 && gets == 3 && sealed_at(0, 1, 2));
    }
}

/* … also behind a 412. */
static void what_a_seal_met_is_looked_at_again(void **state)
{
    for (uint64_t seed = 1; seed <= FLIP_SEEDS; seed++) {
        (void)close_world(state);
        open_seed(seed);
        batch(1, 0);
        at = (struct firn_place){1, 1};
        meanwhile = seed % 2 ? a_batch_lands : a_seal_lands;
        flips = 2; /* the GET that finds nothing, and the look */
        take_over();
        assert_int_equal(how, FIRN_OK);
        assert_true(napplied == 1 + seed % 2 && gets >= 3 && sealed_at(0, 1, 1 + seed % 2));
    }
}

/* The keys are changed while it walks: it looks again, and tells of it once. */
static void a_denied_look_is_repeated(void **state)
{
    (void)state;
    batch(1, 0);
    batch(1, 1);
    at = (struct firn_place){1, 1};
    denials = 3;
    take_over();
    assert_int_equal(how, FIRN_OK);
    assert_true(napplied == 2 && rests == 1 && sealed_at(0, 1, 2) && sealed_at(1, 2, 0));
    assert_int_equal(firn_takeover_stats_of(takeover)->rests, 3);
}

static void keys_are_changed(void)
{
    denials = 3;
}

/* … and sends the seal again. */
static void a_denied_seal_is_repeated(void **state)
{
    (void)state;
    batch(1, 0);
    at = (struct firn_place){1, 1};
    meanwhile = keys_are_changed;
    fate = FIRN_FAKE_DENIED;
    take_over();
    assert_int_equal(how, FIRN_OK);
    assert_true(napplied == 1 && rests == 1 && sealed_at(0, 1, 1) && sealed_at(1, 2, 0));
    assert_int_equal(firn_takeover_stats_of(takeover)->rests, 4);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_older_epoch_is_sealed),
        TEST(nothing_behind_a_seal_is_replayed),
        TEST(a_batch_that_was_first_is_replayed),
        TEST(a_seal_that_was_first_counts),
        TEST(its_own_seal_is_known_again),
        TEST(a_slot_that_was_collected_ends_it),
        TEST(damage_ends_it),
        TEST(what_looks_damaged_is_looked_at_again),
        TEST(what_a_seal_met_is_looked_at_again),
        TEST(a_denied_look_is_repeated),
        TEST(a_denied_seal_is_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
