/* Passes of the collector (PROTOCOL.md, "Garbage collection"): beside a reader that pins, request
 * by request, where table_grace is none, so that the order of the looks alone protects what is
 * read; and when there is to be another one. */
#include "testing.h"

#include "compactor/compactor_core.h"
#include "conf/conf.h"
#include "format/name.h"
#include "format/pin.h"
#include "format/seal.h"
#include "format/version.h"
#include "manifest/edit.h"
#include "manifest/intents.h"
#include "unit/manifest_by_hand.h"

#define WAIT_NS (600 * FIRN_SEC)
#define PIN_TTL (40 * FIRN_SEC)
#define SLOW_NS (800 * FIRN_MS) /* of a LIST; a pass has seven, and comes every second */

static struct firn_fake_world *world;
static struct firn_fake_node *fake;
static struct firn_store *store;
static struct firn_settings settings;
static struct firn_obs obs;
static struct firn_compactor *core;
static struct firn_id db;
static bool flag, pins_listed, slow;
static char table[FIRN_NAME_MAX];

static bool is_set(void *arg)
{
    return *(bool *)arg;
}

static void wait_for(bool *what)
{
    assert_true(firn_fake_run_until(world, is_set, what, WAIT_NS));
    *what = false;
}

static void on_effect(void *arg, unsigned node, enum firn_os_op op, const char *name,
                      struct firn_slice body, enum firn_status status)
{
    (void)arg;
    (void)node;
    (void)body;
    (void)status;
    pins_listed |= op == FIRN_OS_LIST && strcmp(name, "pins/") == 0;
}

static void on_request(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                       struct firn_fake_plan *plan)
{
    (void)arg;
    (void)n;
    plan->delay_ns = slow && req->op == FIRN_OS_LIST ? SLOW_NS : 0;
}

/* ---- a database with one table, by hand */

static void created(struct firn_manifest_create *c)
{
    assert_int_equal(c->status, FIRN_OK);
    db = c->manifest->db;
    flag = true;
}

static void stopped(void *arg)
{
    *(bool *)arg = true;
}

static void add_table(Firn__Manifest *m, const void *arg)
{
    struct firn_id nonce = firn_pb_id(&m->nonce);
    struct firn_claim c = {.role = FIRN_ROLE_WRITER, .process_nonce = nonce, .node_id = "w"};
    (void)arg;
    SAMPLE_OK(firn_edit_claim(m, &c, NULL));
    Firn__Table *t = sample_table(FIRN_ROLE_WRITER, m->writer->epoch, 1, "a", "m");
    struct firn_flush f = {
        .end = {m->writer->epoch, 3}, .seqno = 100, .watermark = 2, .tables = &t, .ntables = 1};
    SAMPLE_OK(firn_edit_flush(m, &f, NULL));
    firn_pb_table_free(t);
}

/* A compaction of which nothing is left. */
static void drop_table(Firn__Manifest *m, const void *arg)
{
    struct firn_table_name name = firn_table_name_of(m->l0[0]);
    struct firn_compaction_part part = {.l0_inputs = &name, .nl0_inputs = 1};
    (void)arg;
    SAMPLE_OK(
        firn_edit_compaction(m, &(struct firn_compaction){.parts = &part, .nparts = 1}, NULL));
    assert_int_equal(m->n_garbage, 1);
}

static void put_pin(uint64_t version)
{
    char name[FIRN_NAME_MAX];
    uint8_t body[FIRN_PIN_BYTES];
    struct firn_pin p = {
        .db = db, .version = version, .format = FIRN_FORMAT_OLDEST, .nonce = {{7}}};
    SAMPLE_OK(firn_name_id(name, FIRN_NAME_PIN, firn_slice_str("reader")));
    firn_pin_encode(&p, body);
    firn_fake_put(world, name, body, sizeof body);
}

static bool is_there(const char *name)
{
    struct firn_slice body;
    return firn_fake_get(world, name, &body);
}

/* What an earlier collector did last. */
static void raise_kept(Firn__Manifest *m, const void *arg)
{
    (void)arg;
    SAMPLE_OK(firn_edit_kept(m, firn_place_of(m->floor), NULL));
}

/* In slot 1 of epoch 1, which lies below the floor. */
static void put_slot(char name[FIRN_NAME_MAX], uint32_t db_short, size_t len)
{
    static const uint8_t body[FIRN_SEAL_BYTES + 1];
    firn_name_slot(name, db_short, (struct firn_place){1, 1});
    firn_fake_put(world, name, body, len);
}

/* ---- set-up */

static void make_database(void)
{
    struct firn_manifest_node *maker;
    Firn__Settings s;
    Firn__Dialect d;
    assert_int_equal(firn_manifest_node_create(firn_fake_env(fake), store, NULL, &maker), FIRN_OK);
    firn_manifest_settings_default(&s);
    firn__dialect__init(&d);
    struct firn_manifest_create c = {.settings = &s, .dialect = &d, .done = created};
    firn_manifest_create(maker, &c);
    wait_for(&flag);
    firn_manifest_node_stop(maker, stopped, &flag);
    wait_for(&flag);
    firn_manifest_node_free(maker);
    (void)manifest_change(world, add_table, NULL);
    firn_name_table(table, firn_id_short(&db), &(struct firn_table_name){FIRN_ROLE_WRITER, 1, 1});
    firn_fake_put(world, table, "a table", 7);
}

static void working(void *arg)
{
    (void)arg;
}

static void ended(void *arg, enum firn_compactor_end how, const struct firn_err *err)
{
    (void)arg;
    (void)err;
    assert_int_equal(how, FIRN_COMPACTOR_STOPPED);
    flag = true;
}

static int open_world(void **state)
{
    (void)state;
    world = firn_fake_world_new(&(struct firn_fake_options){.seed = 9});
    firn_fake_on_effect(world, on_effect, NULL);
    firn_fake_on_request(world, on_request, NULL);
    fake = firn_fake_node_add(world, NULL);
    flag = pins_listed = slow = false;
    assert_int_equal(firn_store_create(firn_fake_env(fake), NULL, &store), FIRN_OK);
    make_database();
    assert_int_equal(firn_settings_init(&settings), FIRN_OK);
    settings.l0_compact_tables = settings.l0_force_tables = 100;
    settings.table_grace_ns = 0;
    settings.pin_ttl_ns = PIN_TTL;
    firn_obs_init(&obs);
    struct firn_compactor_user u = {.working = working, .ended = ended};
    assert_int_equal(firn_compactor_create(firn_fake_env(fake), store, &settings, &obs, &u, &core),
                     FIRN_OK);
    firn_compactor_start(core);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    flag = false;
    firn_compactor_stop(core);
    wait_for(&flag);
    firn_compactor_free(core);
    firn_store_free(store);
    firn_settings_deinit(&settings);
    firn_fake_world_free(world);
    return 0;
}

/* ---- the tests */

/* Just behind the LIST of pins a reader pins the current version, and then a table of that is
 * dropped. A collector that read the manifest after the pins would find garbage and no pin. */
static void a_pin_made_after_the_list_still_counts(void **state)
{
    (void)state;
    wait_for(&pins_listed);
    uint64_t version = manifest_change(world, NULL, NULL);
    put_pin(version);
    (void)manifest_change(world, drop_table, NULL);
    firn_fake_run_for(world, PIN_TTL - FIRN_SEC);
    assert_true(is_there(table));
    firn_fake_run_for(world, 4 * PIN_TTL); /* nobody renews it: it dies */
    assert_false(is_there(table));
}

/* Without a pin nothing keeps it, once it was seen dropped. */
static void what_nobody_pins_goes(void **state)
{
    (void)state;
    wait_for(&pins_listed);
    (void)manifest_change(world, drop_table, NULL);
    firn_fake_run_for(world, PIN_TTL - FIRN_SEC);
    assert_false(is_there(table));
}

/* A pin of the version that dropped it, or of a newer one, is no reason to keep it. */
static void a_newer_pin_keeps_nothing_older(void **state)
{
    (void)state;
    wait_for(&pins_listed);
    put_pin(manifest_change(world, drop_table, NULL));
    firn_fake_run_for(world, PIN_TTL - FIRN_SEC);
    assert_false(is_there(table));
}

static uint64_t wal_grace_ns(void)
{
    Firn__Manifest *m = manifest_there(world);
    uint64_t ns = m->settings->wal_grace_ms * FIRN_MS;
    firn_pb_manifest_free(m);
    return ns;
}

/* A collector counts the age of `kept` from when its first pass judges, and what is quiet from its
 * claim. When that pass is slow, all graces have passed since the claim with a pass behind them,
 * and the slot's has not: there is to be another pass before the hour of one that idles. */
static void a_slot_goes_although_the_first_pass_was_slow(void **state)
{
    (void)state;
    char slot[FIRN_NAME_MAX];
    slow = true;
    (void)manifest_change(world, raise_kept, NULL);
    put_slot(slot, firn_id_short(&db), FIRN_SEAL_BYTES + 1);
    wait_for(&pins_listed);
    slow = false;
    firn_fake_run_for(world, wal_grace_ns() - 2 * FIRN_SEC);
    assert_true(is_there(slot));
    firn_fake_run_for(world, 60 * FIRN_SEC);
    assert_false(is_there(slot));
}

/* How many passes there are in ten minutes, all graces after the beginning. */
static unsigned passes_when_quiet(void)
{
    unsigned n = 0;
    firn_fake_run_for(world, wal_grace_ns() + 60 * FIRN_SEC);
    for (pins_listed = false; n < 600; n++, pins_listed = false)
        if (!firn_fake_run_until(world, is_set, &pins_listed, WAIT_NS))
            break;
    return n;
}

/* Nothing that is never to be deleted keeps the passes going: seals, slots of another database. */
static void what_stays_is_no_reason_for_a_pass(void **state)
{
    (void)state;
    char seal[FIRN_NAME_MAX], foreign[FIRN_NAME_MAX];
    (void)manifest_change(world, raise_kept, NULL);
    put_slot(seal, firn_id_short(&db), FIRN_SEAL_BYTES);
    put_slot(foreign, firn_id_short(&db) ^ 1, FIRN_SEAL_BYTES + 1);
    assert_int_equal(passes_when_quiet(), 0);
    assert_true(is_there(seal) && is_there(foreign));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pin_made_after_the_list_still_counts),
        TEST(what_nobody_pins_goes),
        TEST(a_newer_pin_keeps_nothing_older),
        TEST(a_slot_goes_although_the_first_pass_was_slow),
        TEST(what_stays_is_no_reason_for_a_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
