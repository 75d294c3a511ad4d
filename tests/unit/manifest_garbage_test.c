/* The collector's rules, one by one (PROTOCOL "Garbage collection"; H7, H8). */
#include "manifest_sample.h"

#include "manifest/garbage.h"

#include "format/seal.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define TABLE_GRACE (900 * FIRN_SEC)
#define PIN_TTL (300 * FIRN_SEC)
#define WAL_GRACE (900 * FIRN_SEC)

struct fix {
    struct firn_garbage_collector *c;
    Firn__Manifest *pb;
    Firn__Manifest *checkpoint; /* the copy that the sample's checkpoint names */
    struct firn_manifest m;
    struct firn_pass pass;
    const Firn__Manifest *checkpoints[1];
};

static void open_fix(struct fix *f)
{
    struct firn_garbage_options o = {.table_grace_ns = TABLE_GRACE, .pin_ttl_ns = PIN_TTL};
    struct firn_id nonce = {{77}};
    memset(f, 0, sizeof *f);
    assert_int_equal(firn_garbage_create(&o, &f->c), FIRN_OK);
    f->pb = sample_manifest(false);
    f->pb->settings->wal_grace_ms = WAL_GRACE / FIRN_MS;
    f->checkpoint = firn_pb_manifest_new();
    f->checkpoint->version = 30;
    SAMPLE_OK(firn_pb_set_id(&f->checkpoint->nonce, &nonce));
    f->checkpoints[0] = f->checkpoint;
    f->pass = (struct firn_pass){
        .m = &f->m, .checkpoints = f->checkpoints, .ncheckpoints = 1, .now_ns = 1000 * FIRN_SEC};
}

static void close_fix(struct fix *f)
{
    firn_garbage_free(f->c);
    firn_pb_manifest_free(f->pb);
    firn_pb_manifest_free(f->checkpoint);
}

static void begin(struct fix *f, uint64_t later)
{
    f->pass.now_ns += later;
    f->m = (struct firn_manifest){.pb = f->pb,
                                  .db = sample_db,
                                  .nonce = firn_pb_id(&f->pb->nonce),
                                  .version = f->pb->version,
                                  .floor = firn_place_of(f->pb->floor),
                                  .kept = firn_place_of(f->pb->kept),
                                  .read_back = true,
                                  .refs = 1};
    assert_int_equal(firn_garbage_begin(f->c, &f->pass), FIRN_OK);
}

static enum firn_verdict judge(struct fix *f, const char *name)
{
    struct firn_seen s = {firn_slice_str(name), firn_slice_str("etag")};
    return firn_garbage_judge(f->c, &s, false, false);
}

/* Judge it in a pass `later` from the last one. */
static enum firn_verdict pass(struct fix *f, uint64_t later, const char *name)
{
    begin(f, later);
    enum firn_verdict v = judge(f, name);
    firn_garbage_end(f->c);
    return v;
}

#define C1_1 "sst/abcdef01/c00000001-000000000001" /* in garbage since version 40 */

static void garbage_waits_for_its_grace(void **state)
{
    (void)state;
    struct fix f;
    open_fix(&f);
    assert_int_equal(pass(&f, 0, C1_1), FIRN_KEEP);
    assert_int_equal(pass(&f, TABLE_GRACE - 1, C1_1), FIRN_KEEP);
    assert_int_equal(pass(&f, 1, C1_1), FIRN_DELETE);
    close_fix(&f);
}

static void references_overrule_garbage(void **state)
{
    (void)state;
    struct fix f;
    open_fix(&f); /* H7: shared objects */
    Firn__Table *t = sample_table(FIRN_ROLE_COMPACTOR, 1, 1, "a", "b");
    SAMPLE_OK(firn_pb_insert(&f.pb->adopted, &f.pb->n_adopted, 0, t));
    assert_int_equal(pass(&f, 0, C1_1), FIRN_KEEP);
    assert_int_equal(pass(&f, 2 * TABLE_GRACE, C1_1), FIRN_KEEP);
    (void)firn_pb_remove(f.pb->adopted, &f.pb->n_adopted, 0);
    SAMPLE_OK(firn_pb_insert(&f.checkpoint->l0, &f.checkpoint->n_l0, 0, t));
    assert_int_equal(pass(&f, 1, C1_1), FIRN_KEEP); /* a checkpoint's */
    f.pass.ncheckpoints = 0;
    assert_int_equal(pass(&f, 1, C1_1), FIRN_KEEP); /* a checkpoint that could not be read */
    firn_pb_checkpoint_free(firn_pb_remove(f.pb->checkpoints, &f.pb->n_checkpoints, 0));
    assert_int_equal(pass(&f, 1, C1_1), FIRN_DELETE);
    close_fix(&f);
}

static void pins_hold_what_they_can_see(void **state)
{
    (void)state;
    struct fix f;
    open_fix(&f);
    struct firn_pin_seen pin = {
        .seen = {firn_slice_str("pins/p1"), firn_slice_str("e1")}, .readable = true, .version = 39};
    f.pass.pins = &pin;
    f.pass.npins = 1;
    assert_int_equal(pass(&f, 0, C1_1), FIRN_KEEP);
    pin.seen.etag = firn_slice_str("e2");                     /* renewed */
    assert_int_equal(pass(&f, TABLE_GRACE, C1_1), FIRN_KEEP); /* version 39 still shows it */
    pin.version = 40;
    assert_int_equal(pass(&f, 1, C1_1), FIRN_DELETE); /* of the version that dropped it */
    pin.readable = false;
    assert_int_equal(pass(&f, 1, C1_1), FIRN_KEEP); /* who knows */
    assert_int_equal(pass(&f, PIN_TTL - 3, "pins/p1"), FIRN_KEEP);
    assert_int_equal(pass(&f, 1, C1_1), FIRN_DELETE); /* dead: unchanged for pin_ttl */
    assert_int_equal(pass(&f, 1, "pins/p1"), FIRN_DELETE);
    assert_int_equal(pass(&f, 1, "pins/other"), FIRN_KEEP); /* not looked at when the pass began */
    close_fix(&f);
}

static void orphans_go_when_nobody_may_commit_them(void **state)
{
    (void)state;
    struct fix f;
    open_fix(&f); /* writer epoch 2, watermark 5; compactor epoch 2, watermark 10 */
    assert_int_equal(pass(&f, 0, "sst/abcdef01/w00000001-000000000099"), FIRN_DELETE);
    assert_int_equal(pass(&f, 0, "sst/abcdef01/w00000002-000000000002"), FIRN_DELETE);
    assert_int_equal(pass(&f, 0, "sst/abcdef01/w00000002-000000000005"),
                     FIRN_KEEP); /* at the watermark */
    assert_int_equal(pass(&f, 0, "sst/abcdef01/w00000003-000000000001"),
                     FIRN_KEEP); /* a newer epoch */
    assert_int_equal(pass(&f, 0, "sst/abcdef01/w00000002-000000000003"), FIRN_KEEP); /* live */
    assert_int_equal(pass(&f, 0, "sst/abcdef01/c00000001-000000000008"), FIRN_DELETE);
    assert_int_equal(pass(&f, 0, "sst/abcdef01/c00000001-000000000009"),
                     FIRN_KEEP); /* adopted (H8) */
    assert_int_equal(pass(&f, 0, "sst/abcdef02/w00000001-000000000099"),
                     FIRN_KEEP); /* another database (H6) */
    close_fix(&f);
}

static void slots_wait_for_kept_to_mature(void **state)
{
    (void)state;
    struct fix f;
    open_fix(&f); /* kept 2/3 */
    assert_int_equal(pass(&f, 0, "wal/abcdef01/00000002/0000000000002"), FIRN_KEEP);
    assert_int_equal(pass(&f, WAL_GRACE - 1, "wal/abcdef01/00000002/0000000000002"), FIRN_KEEP);
    assert_int_equal(pass(&f, 1, "wal/abcdef01/00000002/0000000000002"), FIRN_DELETE);
    assert_int_equal(pass(&f, 0, "wal/abcdef01/00000001/0000000000900"), FIRN_DELETE);
    assert_int_equal(pass(&f, 0, "wal/abcdef01/00000002/0000000000003"), FIRN_KEEP);
    f.pb->kept->slot = 10; /* raised: the new ones wait anew, the old ones do not */
    assert_int_equal(pass(&f, 1, "wal/abcdef01/00000002/0000000000003"), FIRN_KEEP);
    assert_int_equal(pass(&f, 1, "wal/abcdef01/00000002/0000000000002"), FIRN_DELETE);
    assert_int_equal(pass(&f, WAL_GRACE, "wal/abcdef01/00000002/0000000000009"), FIRN_DELETE);
    begin(&f, 1); /* I3: a seal never */
    struct firn_seen seal = {firn_slice_str("wal/abcdef01/00000001/0000000000001"),
                             firn_slice_str("")};
    assert_int_equal(firn_garbage_judge(f.c, &seal, true, false), FIRN_KEEP);
    firn_garbage_end(f.c);
    close_fix(&f);
}

static void manifest_copies(void **state)
{
    (void)state;
    struct fix f;
    open_fix(&f);
    struct firn_chain_link chain[] = {{41, {{41}}, true}, {35, {{35}}, false}};
    f.pass.chain = chain;
    f.pass.nchain = 2;
    f.pass.chain_whole = true;
#define COPY(v, n) "manifest-log/00000000000000" v "-" n "000000000000000000000000000000"
    static const struct {
        const char *name;
        enum firn_verdict later;
    } copies[] = {{COPY("42", "2a"), FIRN_KEEP},   /* M's own */
                  {COPY("43", "00"), FIRN_KEEP},   /* a proposal */
                  {COPY("41", "29"), FIRN_KEEP},   /* in history */
                  {COPY("41", "00"), FIRN_DELETE}, /* lost its race */
                  {COPY("35", "23"), FIRN_DELETE}, /* older than history */
                  {COPY("30", "4d"), FIRN_KEEP},   /* named by the checkpoint */
                  {COPY("29", "00"), FIRN_DELETE}};
    for (int round = 0; round < 2; round++) {
        begin(&f, round ? TABLE_GRACE : 0);
        for (size_t i = 0; i < sizeof copies / sizeof copies[0]; i++)
            assert_int_equal(judge(&f, copies[i].name), round ? copies[i].later : FIRN_KEEP);
        firn_garbage_end(f.c);
    }
    f.pass.chain_whole = false;
    assert_int_equal(pass(&f, 1, COPY("29", "00")), FIRN_KEEP);
    close_fix(&f);
}

static void notes_of_the_dead(void **state)
{
    (void)state;
    struct fix f;
    open_fix(&f);
    static const char *const name[] = {"probe/x", "jobs/j1", "nodes/gone", "nodes/node-a"};
    for (int round = 0; round < 2; round++) {
        begin(&f, round ? TABLE_GRACE : 0);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(judge(&f, name[i]), round && i < 3 ? FIRN_DELETE : FIRN_KEEP);
        struct firn_seen busy = {firn_slice_str("jobs/j1"), firn_slice_str("etag")};
        assert_int_equal(firn_garbage_judge(f.c, &busy, false, true), FIRN_KEEP);
        firn_garbage_end(f.c);
    }
    begin(&f, 1);
    struct firn_seen written = {firn_slice_str("jobs/j1"), firn_slice_str("new")};
    assert_int_equal(firn_garbage_judge(f.c, &written, false, false), FIRN_KEEP);
    firn_garbage_end(f.c);
    assert_int_equal(pass(&f, 1, "nodes/gone"),
                     FIRN_KEEP); /* not met in the last pass: waits anew */
    assert_int_equal(pass(&f, 2 * TABLE_GRACE, "manifest"), FIRN_KEEP);
    assert_int_equal(pass(&f, 1, "somebody else's"), FIRN_KEEP);
    close_fix(&f);
}

static void kept_stays_below_what_is_needed(void **state)
{
    (void)state;
    Firn__Manifest *m =
        sample_manifest(false); /* floor 2/20, checkpoint 10 s old at 2/3, history 60 s */
    struct firn_place feed = {2, 11};
    m->checkpoints[0]->floor->slot = 7;
    assert_true(firn_place_eq(firn_garbage_kept_max(m, NULL), (struct firn_place){2, 7}));
    m->settings->history_ms = 9000;
    assert_true(firn_place_eq(firn_garbage_kept_max(m, NULL), (struct firn_place){2, 20}));
    assert_true(firn_place_eq(firn_garbage_kept_max(m, &feed), feed));
    m->settings->history_ms = 0;
    assert_true(firn_place_eq(firn_garbage_kept_max(m, NULL), (struct firn_place){2, 20}));
    firn_pb_manifest_free(m);
}

static void memory_of_ages_is_bounded(void **state)
{
    (void)state;
    struct firn_garbage_options o = {.table_grace_ns = 1, .pin_ttl_ns = 1, .objects_max = 1000};
    struct fix f;
    open_fix(&f);
    firn_garbage_free(f.c);
    assert_int_equal(firn_garbage_create(&o, &f.c), FIRN_OK);
    unsigned deleted = 0;
    for (int round = 0; round < 2; round++) {
        begin(&f, 10);
        for (int i = 0; i < 3000; i++) {
            char name[32];
            (void)snprintf(name, sizeof name, "jobs/%d", i);
            deleted += judge(&f, name) == FIRN_DELETE;
        }
        firn_garbage_end(f.c);
    }
    assert_true(deleted > 900 && deleted <= 1000);
    close_fix(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_waits_for_its_grace),
        cmocka_unit_test(references_overrule_garbage),
        cmocka_unit_test(pins_hold_what_they_can_see),
        cmocka_unit_test(orphans_go_when_nobody_may_commit_them),
        cmocka_unit_test(slots_wait_for_kept_to_mature),
        cmocka_unit_test(manifest_copies),
        cmocka_unit_test(notes_of_the_dead),
        cmocka_unit_test(kept_stays_below_what_is_needed),
        cmocka_unit_test(memory_of_ages_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
