/* What the append pipeline makes of a slot whose PUT met a 412. */
#include "testing.h"

#include "log/append.h"
#include "unit/log_by_hand.h"

#define WAIT_NS (100 * FIRN_SEC)
#define EPOCH 2

static const struct firn_id db = {{0xab, 0xcd}};
static struct firn_fake_world *world;
static struct firn_store *store;
static unsigned flips, looks;
static uint64_t durable_slots;
static enum firn_status why;

/* The first PUT lands and its reply is lost; so many looks at what lies there meet a flipped bit.
 */
static void on_request(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                       struct firn_fake_plan *plan)
{
    bool *lost = arg;
    (void)n;
    plan->fate = FIRN_FAKE_CLEAN;
    if (req->op == FIRN_OS_PUT && !*lost) {
        *lost = true;
        plan->fate = FIRN_FAKE_RESET_DONE;
    } else if (req->op == FIRN_OS_GET && looks++ < flips) {
        plan->fate = FIRN_FAKE_BIT_FLIP;
    }
}

static uint64_t now_ms(void *arg)
{
    (void)arg;
    return 1;
}

static void closed(void *arg, uint64_t slot)
{
    (void)arg;
    (void)slot;
}

static void durable(void *arg, uint64_t slots, uint64_t last_seqno, uint64_t first_sent_ns)
{
    (void)arg;
    (void)last_seqno;
    (void)first_sent_ns;
    durable_slots = slots;
}

static void stopped(void *arg, enum firn_status s, const struct firn_err *err)
{
    (void)arg;
    (void)err;
    why = s;
}

static bool decided(void *arg)
{
    (void)arg;
    return durable_slots > 0 || why != FIRN_OK;
}

static bool is_idle(void *arg)
{
    return firn_store_idle(arg);
}

/* One record goes into slot 0. */
static void append_one(uint64_t seed, unsigned flipped)
{
    static const uint8_t key[] = {FIRN_NS_DB0, 'k'};
    struct firn_record rec = {
        .kind = FIRN_RECORD_PUT, .event = 1, .key = firn_slice_of(key, sizeof key)};
    struct firn_append_options o = {.db = db,
                                    .process_nonce = {{1}},
                                    .format = FIRN_FORMAT_OLDEST,
                                    .epoch = EPOCH,
                                    .batch_bytes = 4096,
                                    .batch_bytes_max = 4096,
                                    .inflight_max = 1,
                                    .codec = FIRN_CODEC_NONE};
    struct firn_append_user user = {
        .now_ms = now_ms, .closed = closed, .durable = durable, .stopped = stopped};
    struct firn_append *a;
    bool lost = false;
    uint64_t slot, seqno;
    flips = flipped;
    looks = 0;
    durable_slots = 0;
    why = FIRN_OK;
    world = firn_fake_world_new(&(struct firn_fake_options){.seed = seed});
    const struct firn_env *env = firn_fake_env(firn_fake_node_add(world, NULL));
    firn_fake_on_request(world, on_request, &lost);
    assert_int_equal(firn_store_create(env, NULL, &store), FIRN_OK);
    assert_int_equal(firn_append_create(env, store, &o, &user, &a), FIRN_OK);
    assert_int_equal(firn_append_add(a, &rec, 1, &slot, &seqno), FIRN_OK);
    firn_append_want(a, slot);
    assert_true(firn_fake_run_until(world, decided, NULL, WAIT_NS));
    firn_append_free(a);
    assert_true(is_idle(store) || firn_fake_run_until(world, is_idle, store, WAIT_NS));
    firn_store_free(store);
    firn_fake_world_free(world);
}

/* A bit that flips while our own batch is looked at does not end the writer, wherever it is. */
static void what_looks_foreign_is_looked_at_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        append_one(seed, 2);
        assert_int_equal(why, FIRN_OK);
        assert_true(durable_slots == 1 && looks >= 3);
    }
}

/* Two processes in one epoch: what stays foreign ends it. */
static void what_stays_foreign_ends_it(void **state)
{
    (void)state;
    append_one(1, UINT32_MAX);
    assert_int_equal(why, FIRN_CORRUPT);
    assert_true(durable_slots == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_looks_foreign_is_looked_at_again),
        cmocka_unit_test(what_stays_foreign_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
