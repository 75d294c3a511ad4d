/* The now by which a reader hides keys (PROTOCOL.md, "Time"). */
#include "testing.h"

#include "base/mem.h"
#include "conf/conf.h"
#include "fakes/fake_env.h"
#include "reader/reader_priv.h"

#define DAY_MS INT64_C(86400000)

static struct firn_fake_world *world;
static struct firn_fake_node *fake;
static struct firn_store *store;
static struct firn_settings settings;
static struct firn_reader *reader;

static int open_world(void **state)
{
    (void)state;
    world = firn_fake_world_new(&(struct firn_fake_options){.seed = 3});
    fake = firn_fake_node_add(world, NULL);
    assert_int_equal(firn_store_create(firn_fake_env(fake), NULL, &store), FIRN_OK);
    assert_int_equal(firn_settings_init(&settings), FIRN_OK);
    reader = firn_calloc(1, sizeof *reader);
    assert_non_null(reader);
    reader->db.role = reader;
    reader->db.env = firn_fake_env(fake);
    reader->db.store = store;
    reader->db.settings = &settings;
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    firn_free(reader);
    firn_store_free(store);
    firn_settings_deinit(&settings);
    firn_fake_world_free(world);
    return 0;
}

static void got(struct firn_store_op *op)
{
    *(bool *)op->arg = true;
}

static bool is_set(void *arg)
{
    return *(bool *)arg;
}

/* A reply, with a Date. */
static void ask_store(void)
{
    struct firn_store_op op;
    bool done = false;
    firn_store_op_init(&op);
    op.req.op = FIRN_OS_GET;
    op.req.key = "nothing";
    op.done = got;
    op.arg = &done;
    firn_store_submit(store, &op);
    assert_true(firn_fake_run_until(world, is_set, &done, 600 * FIRN_SEC));
    assert_int_equal(op.status, FIRN_ABSENT);
    firn_store_op_clear(&op);
}

/* How far its now is ahead of the truth. */
static int64_t ahead_ms(void)
{
    return (int64_t)firn_reader__now_ms(&reader->db) - (int64_t)firn_fake_true_ms(world);
}

static int64_t held_ms(void)
{
    return (int64_t)(settings.clock_skew_max_ns / FIRN_MS) + 1000;
}

/* Its clock jumps to and fro, the store's is right: now goes forth as far as it may, and not back.
 */
static void what_was_hidden_stays_so(void **state)
{
    (void)state;
    ask_store();
    firn_fake_node_wall_jump(fake, DAY_MS);
    int64_t most = ahead_ms();
    assert_true(most > 0 && most <= held_ms());
    uint64_t before = firn_reader__now_ms(&reader->db);
    firn_fake_node_wall_jump(fake, -2 * DAY_MS);
    ask_store();
    assert_true(firn_reader__now_ms(&reader->db) >= before);
    firn_fake_run_for(world, 60 * FIRN_SEC);
    assert_true(firn_reader__now_ms(&reader->db) > before);
}

/* Its clock and a Date are both a day ahead, for a moment, as the clock of the machine is with
 * file://. That is over when they are right again. */
static void one_wrong_date_hides_nothing_for_ever(void **state)
{
    (void)state;
    ask_store();
    firn_fake_node_wall_jump(fake, DAY_MS);
    firn_fake_options(world)->date_skew_ms = DAY_MS;
    for (unsigned i = 0; i < 100 && ahead_ms() < DAY_MS / 4; i++)
        ask_store();
    assert_true(ahead_ms() >= DAY_MS / 4);
    firn_fake_options(world)->date_skew_ms = 0;
    firn_fake_node_wall_jump(fake, -DAY_MS);
    ask_store();
    assert_true(ahead_ms() <= held_ms());
}

/* What the log says counts, however far it is ahead (it is the writer's now). */
static void the_log_counts(void **state)
{
    (void)state;
    ask_store();
    reader->db.log_time_ms = firn_fake_true_ms(world) + (uint64_t)DAY_MS;
    assert_int_equal(ahead_ms(), DAY_MS);
    ask_store();
    assert_int_equal(firn_reader__now_ms(&reader->db), reader->db.log_time_ms);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_hidden_stays_so),
        TEST(one_wrong_date_hides_nothing_for_ever),
        TEST(the_log_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
