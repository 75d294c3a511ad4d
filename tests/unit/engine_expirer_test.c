/* The expirer: what it says of itself while it logs. */
#include "engine_fixture.h"

/* The role may freeze a memtable inside apply: what is being logged is not in that one. */
static void entry_counts_until_it_is_logged(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, true);
    struct client *c = fixture_connect(&f);
    firn_engine_expire(f.engine, true, 0);
    firn_fake_run_for(f.world, 10 * FIRN_MS);
    CALL(c, "SET k v PX 50", "+OK\r\n");
    uint64_t due = f.last[0].expiry_ms;
    f.admit = FIRN_ADMIT_WAIT; /* it is late */
    firn_fake_run_for(f.world, 200 * FIRN_MS);
    f.admit = FIRN_ADMIT_OK;
    firn_fake_run_for(f.world, 200 * FIRN_MS);
    assert_int_equal(f.last[0].kind, FIRN_RECORD_EXPIRED);
    assert_int_equal(f.expired_to_ms, due);
    assert_true(firn_engine_expired_to(f.engine) > due);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entry_counts_until_it_is_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
