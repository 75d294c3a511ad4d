/* The fetcher of slots while there is no memory: it rests between its tries, and goes on when there
 * is some again. (What it fetches is tested by what uses it.) */
#include "testing.h"

#include "base/mem.h"
#include "fakes/fake_env.h"
#include "log/slots.h"

#define STEPS 1000

static unsigned missing;

static void on_slot(void *arg, const struct firn_slot_result *r)
{
    (void)arg;
    assert_int_equal(r->found, FIRN_FOUND_MISSING);
    missing++;
}

static void rests_without_memory(void **state)
{
    (void)state;
    struct firn_slots_options o = {
        .batch_raw_max = 1 << 20, .ahead_bytes_max = 1 << 20, .window_first = 1, .window_max = 4};
    struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 1});
    const struct firn_env *env = firn_fake_env(firn_fake_node_add(w, NULL));
    struct firn_store *store = NULL;
    struct firn_slots *f = NULL;
    missing = 0;
    assert_int_equal(firn_store_create(env, NULL, &store), FIRN_OK);
    assert_int_equal(firn_slots_create(env, store, &o, on_slot, NULL, &f), FIRN_OK);
    firn_slots_seek(f, (struct firn_place){1, 0});
    (void)firn_mem_fail_at(1, 1);
    firn_slots_run(f);
    for (unsigned i = 0; i < STEPS; i++)
        assert_true(firn_fake_step(w));
    (void)firn_mem_fail_at(0, 0);
    /* so many events took a while */
    assert_true(firn_fake_now_ns(w) >= STEPS / 2 * FIRN_MS);
    assert_true(firn_slots_running(f));
    firn_fake_run_for(w, FIRN_SEC);
    assert_int_equal(missing, 1);
    firn_slots_free(f);
    firn_store_free(store);
    firn_fake_world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rests_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
