/* What the engine remembers for clients keeps to its part of `memory`: subscriptions, keys that
 * clients cache, cursors. */
#include "engine_fixture.h"

#include "obs/budget.h"

#define SHARE ((uint64_t)32 << 10)

static struct fixture f;
static struct firn_budget budget;

static int begin(void **state)
{
    (void)state;
    fixture_start(&f, true);
    firn_budget_init(&budget, (uint64_t)1 << 30);
    budget.part[FIRN_BUDGET_REMEMBERED].share = SHARE;
    f.db.budget = &budget;
    return 0;
}

static int end(void **state)
{
    (void)state;
    fixture_stop(&f);
    assert_int_equal(budget.part[FIRN_BUDGET_REMEMBERED].used, 0);
    return 0;
}

static uint64_t used(void)
{
    return budget.part[FIRN_BUDGET_REMEMBERED].used;
}

/* Send a command of one word and a number, and tell whether the reply begins so. */
static bool answers(struct client *c, const char *command, unsigned i, const char *want)
{
    char line[64];
    (void)snprintf(line, sizeof line, "%s%u", command, i);
    client_send(c, line);
    firn_fake_run_for(f.world, 1000);
    assert_int_equal(firn_buf_append(&c->got, "", 1), FIRN_OK);
    bool yes = strncmp((const char *)c->got.data, want, strlen(want)) == 0;
    c->got.len = 0;
    return yes;
}

static void further_subscriptions_are_refused(void **state)
{
    (void)state;
    struct client *c = fixture_connect(&f);
    unsigned n = 0;
    while (answers(c, "SUBSCRIBE channel:", n, "*3\r\n$9\r\nsubscribe")) {
        assert_true(++n < 1000 && used() <= SHARE / 2);
    }
    assert_true(n > 20);
    uint64_t full = used();
    client_send(c, "UNSUBSCRIBE channel:0");
    EXPECT_START(c, "*3\r\n$11\r\nunsubscribe");
    assert_true(used() < full);
    assert_true(answers(c, "SUBSCRIBE channel:", n, "*3\r\n$9\r\nsubscribe"));
    client_hang_up(c);
    assert_int_equal(used(), 0);
}

static void the_oldest_cached_keys_are_invalidated(void **state)
{
    (void)state;
    struct client *c = fixture_connect(&f);
    client_send(c, "HELLO 3");
    EXPECT_START(c, "%");
    CALL(c, "CLIENT TRACKING ON", "+OK\r\n");
    for (unsigned i = 0; i < 30; i++)
        assert_true(answers(c, "GET key:", i, "_\r\n"));
    bool invalidated = false;
    for (unsigned i = 30; i < 500; i++) {
        char line[32];
        (void)snprintf(line, sizeof line, "GET key:%u", i);
        client_send(c, line);
        firn_fake_run_for(f.world, 1000);
        assert_int_equal(firn_buf_append(&c->got, "", 1), FIRN_OK);
        const char *got = (const char *)c->got.data;
        if (!invalidated && strstr(got, "invalidate")) {
            assert_non_null(strstr(got, "$5\r\nkey:0\r\n"));
            invalidated = true;
        }
        c->got.len = 0;
        assert_true(used() <= SHARE / 4);
    }
    assert_true(invalidated && used() > SHARE / 8);
    CALL(c, "CLIENT TRACKING OFF", "+OK\r\n");
    assert_int_equal(used(), 0);
}

static void cursors_used_longest_ago_go(void **state)
{
    (void)state;
    struct client *c = fixture_connect(&f);
    CALL(c, "MSET a 1 b 2 c 3", "+OK\r\n");
    for (unsigned i = 0; i < 500; i++) {
        assert_true(answers(c, "SCAN 0 COUNT ", 1, "*2\r\n"));
        assert_true(used() > 0 && used() <= SHARE / 8);
    }
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(further_subscriptions_are_refused),
        TEST(the_oldest_cached_keys_are_invalidated),
        TEST(cursors_used_longest_ago_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
