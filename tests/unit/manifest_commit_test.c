/* Committing over a fake store: races, lost and late replies, fencing. */
#include "manifest_fixture.h"

/* ---- creating */

static void creators_race(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct proc p[3];
        struct firn_manifest_create c[3];
        bool done[3] = {false, false, false};
        unsigned made = 0;
        world_open(seed);
        firn_fake_options(world)->faults.twice = 300000;
        firn_fake_options(world)->faults.lost_after = 200000;
        for (int i = 0; i < 3; i++) {
            proc_open(&p[i]);
            c[i] = (struct firn_manifest_create){
                .settings = &settings, .dialect = &dialect, .done = create_done, .arg = &done[i]};
            firn_manifest_create(p[i].node, &c[i]);
        }
        for (int i = 0; i < 3; i++) {
            run(&done[i]);
            assert_int_equal(c[i].status, FIRN_OK);
            made += c[i].created;
            assert_true(firn_id_eq(&firn_manifest_newest(p[i].node)->db,
                                   &firn_manifest_newest(p[0].node)->db));
        }
        assert_int_equal(made, 1);
        assert_int_equal(version_now(), 1);
        assert_true(firn_fake_count(world, "manifest-log/") >= 1);
        for (int i = 0; i < 3; i++)
            proc_close(&p[i]);
        firn_fake_world_free(world);
    }
}

static void a_dropped_database_is_made_anew(void **state)
{
    (void)state;
    struct proc p, q, r;
    bool done = false, created;
    open_writer(&p, 1);
    struct firn_id old = firn_manifest_newest(p.node)->db;
    proc_open(&r);
    assert_int_equal(read_now(&r, NULL), FIRN_OK);
    struct firn_intent drop = {.done = intent_done, .arg = &done};
    firn_manifest_drop(p.node, &drop);
    run(&done);
    assert_int_equal(drop.status, FIRN_OK);
    assert_int_equal(claim(&p, FIRN_ROLE_WRITER), FIRN_CONFLICT);
    proc_open(&q);
    assert_int_equal(create(&q, &created), FIRN_OK);
    assert_true(created);
    assert_false(firn_id_eq(&firn_manifest_newest(q.node)->db, &old));
    assert_int_equal(version_now(), 4);
    assert_int_equal(claim(&q, FIRN_ROLE_WRITER), FIRN_OK);
    /* Nodes of the old one stop, for good. */
    assert_int_equal(read_now(&r, NULL), FIRN_INVALID);
    assert_int_equal(read_now(&r, NULL), FIRN_INVALID);
    assert_int_equal(claim(&r, FIRN_ROLE_WRITER), FIRN_INVALID);
    proc_close(&p);
    proc_close(&q);
    proc_close(&r);
    firn_fake_world_free(world);
}

/* ---- committing */

static void committers_race(void **state)
{
    (void)state;
    struct proc p[2];
    bool created, done[2] = {false, false};
    world_open(3);
    proc_open(&p[0]);
    proc_open(&p[1]);
    assert_int_equal(create(&p[0], &created), FIRN_OK);
    struct firn_claim_intent it[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(read_now(&p[i], NULL), FIRN_OK);
        it[i] = (struct firn_claim_intent){.base = {.done = intent_done, .arg = &done[i]},
                                           .claim = {.role = FIRN_ROLE_WRITER,
                                                     .process_nonce = process_of(&p[i]),
                                                     .node_id = "same"}};
        firn_manifest_claim(p[i].node, &it[i]);
    }
    run(&done[0]);
    run(&done[1]);
    assert_int_equal(it[0].base.status, FIRN_OK);
    assert_int_equal(it[1].base.status, FIRN_OK);
    assert_true(it[0].epoch != it[1].epoch && it[0].epoch + it[1].epoch == 3); /* H10 */
    assert_int_equal(version_now(), 3);
    proc_close(&p[0]);
    proc_close(&p[1]);
    firn_fake_world_free(world);
}

static void a_412_by_our_own_first_attempt(void **state)
{
    (void)state;
    struct proc p;
    struct flush f;
    open_writer(&p, 4);
    next_swaps(FIRN_FAKE_TWICE_SECOND, FIRN_FAKE_CLEAN);
    flush_start(&f, &p, 1, 10, 0);
    assert_int_equal(flush_end(&f), FIRN_OK);
    assert_int_equal(swaps, 1);
    Firn__Manifest *m = peek();
    assert_int_equal(m->version, 3);
    assert_int_equal(m->n_l0, 1); /* once */
    firn_pb_manifest_free(m);
    proc_close(&p);
    firn_fake_world_free(world);
}

/* The reply is lost, and before anybody looks the compactor has moved the table on (H13). */
static void a_lost_reply_and_the_table_is_gone(void **state)
{
    (void)state;
    struct proc p, q;
    struct flush f;
    bool done = false;
    open_writer(&p, 5);
    proc_open(&q);
    assert_int_equal(claim(&q, FIRN_ROLE_COMPACTOR), FIRN_OK);
    next_swaps(FIRN_FAKE_LOSE_REPLY, FIRN_FAKE_CLEAN);
    assert_int_equal(read_now(&p, NULL), FIRN_OK);
    flush_start(&f, &p, 1, 10, 0);
    while (version_now() < 4)
        assert_true(firn_fake_step(world));
    firn_fake_node_freeze(p.fake);
    assert_int_equal(read_now(&q, NULL), FIRN_OK);
    struct firn_table_name in = {FIRN_ROLE_WRITER, 1, 0};
    Firn__Table *out = sample_table(FIRN_ROLE_COMPACTOR, 1, 0, "a", "z");
    struct firn_compaction_part part = {
        .l0_inputs = &in, .nl0_inputs = 1, .outputs = &out, .noutputs = 1};
    struct firn_compaction_intent c = {.base = {.done = intent_done, .arg = &done},
                                       .compaction = {.parts = &part, .nparts = 1}};
    firn_manifest_compaction(q.node, &c);
    run(&done);
    assert_int_equal(c.base.status, FIRN_OK);
    firn_fake_node_thaw(p.fake);
    assert_int_equal(flush_end(&f), FIRN_OK);
    Firn__Manifest *m = peek();
    assert_int_equal(m->n_l0, 0); /* not added again above newer data */
    assert_int_equal(m->version, 5);
    firn_pb_manifest_free(m);
    firn_pb_table_free(out);
    proc_close(&p);
    proc_close(&q);
    firn_fake_world_free(world);
}

static void an_uncertain_commit_lands_late(void **state)
{
    (void)state;
    struct proc p;
    struct flush f;
    bool done = false;
    open_writer(&p, 6);
    late_ns = 60 * FIRN_SEC;
    next_swaps(FIRN_FAKE_HOLD, FIRN_FAKE_HOLD);
    swap_fates = 64;
    for (int i = 0; i < 64; i++)
        swap_fate[i] = FIRN_FAKE_HOLD;
    flush_start(&f, &p, 1, 10, 0);
    firn_fake_run_for(world, 30 * FIRN_SEC);
    assert_false(f.done); /* it may yet land: not over */
    assert_true(swaps > 1 && firn_fake_held(world) > 0);
    assert_int_equal(version_now(), 2);
    swap_fates = 0;
    assert_true(firn_fake_release(world, "manifest", 100) > 1);
    assert_int_equal(flush_end(&f), FIRN_OK);
    firn_fake_run_for(world, 100 * FIRN_SEC);
    assert_int_equal(version_now(), 3); /* all attempts were one proposal */
    struct firn_setting_intent s = {
        .base = {.done = intent_done, .arg = &done}, .name = "history", .value = "1"};
    firn_manifest_setting(p.node, &s);
    run(&done);
    assert_int_equal(s.base.status, FIRN_OK);
    assert_int_equal(version_now(), 4);
    proc_close(&p);
    firn_fake_world_free(world);
}

static void setting(struct firn_setting_intent *s, struct proc *p, const char *value, bool *done)
{
    *done = false;
    *s = (struct firn_setting_intent){
        .base = {.done = intent_done, .arg = done}, .name = "history", .value = value};
    firn_manifest_setting(p->node, s);
}

/* The reply to a setting is lost, and before its process looks another one has set it anew: the
 * first is not set over the second (a wish that was granted and taken back is not wished again). */
static void a_lost_reply_and_a_later_wish(void **state)
{
    (void)state;
    struct proc p, q;
    struct firn_setting_intent first, second;
    bool done[2], promoted = false;
    open_writer(&p, 31);
    proc_open(&q);
    assert_int_equal(read_now(&q, NULL), FIRN_OK);
    next_swaps(FIRN_FAKE_LOSE_REPLY, FIRN_FAKE_CLEAN);
    setting(&first, &p, "1", &done[0]);
    struct firn_promote_intent wish = {.base = {.done = intent_done, .arg = &promoted},
                                       .node_id = "n"};
    firn_manifest_promote(p.node, &wish);
    while (version_now() < 3)
        assert_true(firn_fake_step(world));
    firn_fake_node_freeze(p.fake);
    setting(&second, &q, "2", &done[1]);
    run(&done[1]);
    assert_int_equal(second.base.status, FIRN_OK);
    assert_int_equal(claim(&q, FIRN_ROLE_WRITER), FIRN_OK); /* it is node "n" */
    firn_fake_node_thaw(p.fake);
    run(&done[0]);
    run(&promoted);
    assert_int_equal(first.base.status, FIRN_OK);
    assert_int_equal(wish.base.status, FIRN_OK);
    Firn__Manifest *m = peek();
    assert_int_equal(m->settings->history_ms, 2);
    assert_string_equal(m->promote_node, "");
    assert_int_equal(m->version, 5);
    firn_pb_manifest_free(m);
    proc_close(&p);
    proc_close(&q);
    firn_fake_world_free(world);
}

static void stopping_leaves_it_uncertain(void **state)
{
    (void)state;
    struct proc p;
    struct flush f, later;
    open_writer(&p, 7);
    next_swaps(FIRN_FAKE_HOLD, FIRN_FAKE_HOLD);
    flush_start(&f, &p, 1, 10, 0);
    while (swaps == 0)
        assert_true(firn_fake_step(world));
    flush_start(&later, &p, 1, 20, 1);
    proc_close(&p);
    assert_int_equal(flush_end(&f), FIRN_UNCERTAIN);
    assert_int_equal(flush_end(&later), FIRN_TRANSIENT);
    firn_fake_world_free(world);
}

static void the_fenced_stop(void **state)
{
    (void)state;
    struct proc p, q;
    struct flush f;
    open_writer(&p, 8);
    proc_open(&q);
    assert_int_equal(claim(&q, FIRN_ROLE_WRITER), FIRN_OK);
    flush_start(&f, &p, 1, 10, 0);
    assert_int_equal(flush_end(&f), FIRN_FENCED);
    firn_fake_run_for(world, FIRN_SEC);
    assert_int_equal(p.fenced, 1);
    assert_int_equal(q.fenced, 0);
    Firn__Manifest *m = peek();
    assert_int_equal(m->n_l0, 0);
    firn_pb_manifest_free(m);
    /* A release of ours is no fence, and ends the role. */
    bool done = false;
    struct firn_release_intent r = {
        .base = {.done = intent_done, .arg = &done}, .role = FIRN_ROLE_WRITER, .epoch = 2};
    firn_manifest_release(q.node, &r);
    run(&done);
    assert_int_equal(r.base.status, FIRN_OK);
    flush_start(&f, &q, 2, 10, 0);
    assert_int_equal(flush_end(&f), FIRN_FENCED);
    assert_int_equal(q.fenced, 0);
    proc_close(&p);
    proc_close(&q);
    firn_fake_world_free(world);
}

/* Not a fence check alone: the claim is lost between our read and our PUT. */
static void a_claim_between_read_and_swap(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 30; seed++) {
        struct proc p, q;
        struct flush f;
        open_writer(&p, seed);
        proc_open(&q);
        assert_int_equal(read_now(&q, NULL), FIRN_OK);
        flush_start(&f, &p, 1, 10, 0);
        assert_int_equal(claim(&q, FIRN_ROLE_WRITER), FIRN_OK);
        enum firn_status st = flush_end(&f);
        Firn__Manifest *m = peek();
        assert_true(st == FIRN_OK ? m->n_l0 == 1 : st == FIRN_FENCED && m->n_l0 == 0);
        firn_pb_manifest_free(m);
        proc_close(&p);
        proc_close(&q);
        firn_fake_world_free(world);
    }
}

static void intents_are_coalesced_and_spaced(void **state)
{
    (void)state;
    struct proc p;
    bool done[4] = {false, false, false, false};
    open_writer(&p, 9);
    struct firn_setting_intent s[3] = {{.name = "history", .value = "1"},
                                       {.name = "nonsense", .value = "1"},
                                       {.name = "dedup-ttl", .value = "2"}};
    uint64_t at = firn_fake_now_ns(world);
    for (int i = 0; i < 3; i++) {
        s[i].base.done = intent_done;
        s[i].base.arg = &done[i];
        firn_manifest_setting(p.node, &s[i]);
    }
    for (int i = 0; i < 3; i++)
        run(&done[i]);
    assert_int_equal(s[0].base.status, FIRN_OK);
    assert_int_equal(s[1].base.status, FIRN_INVALID); /* alone */
    assert_int_equal(s[2].base.status, FIRN_OK);
    assert_int_equal(version_now(), 3);
    assert_true(firn_fake_now_ns(world) - at > FIRN_SEC / 2); /* an interval after the claim */
    at = firn_fake_now_ns(world);
    assert_int_equal(claim(&p, FIRN_ROLE_COMPACTOR), FIRN_OK);
    assert_true(firn_fake_now_ns(world) - at < FIRN_SEC / 2); /* urgent: not delayed */
    proc_close(&p);
    firn_fake_world_free(world);
}

static enum firn_status break_l0(struct firn_intent *it, Firn__Manifest *m, struct firn_err *err)
{
    (void)it;
    (void)err;
    m->floor->slot += 5; /* but no table, no range: I7 */
    m->kept->slot += 9;
    return FIRN_OK;
}

static bool never(const struct firn_intent *it, const Firn__Manifest *m)
{
    (void)it;
    (void)m;
    return false;
}

static void nothing_against_the_rules_is_proposed(void **state)
{
    (void)state;
    struct proc p;
    bool done = false;
    open_writer(&p, 10);
    struct firn_intent it = {
        .apply = break_l0, .applied = never, .done = intent_done, .arg = &done};
    firn_manifest_commit(p.node, &it);
    run(&done);
    assert_int_equal(it.status, FIRN_BUG);
    assert_true(it.err.text[0]);
    assert_int_equal(version_now(), 2);
    proc_close(&p);
    firn_fake_world_free(world);
}

/* ---- everything at once */

/* Every version on the parent chain has its copy in manifest-log/, back to the first. */
static void assert_history(void)
{
    Firn__Manifest *m = peek();
    while (m->parent_version) {
        char name[FIRN_NAME_MAX];
        struct firn_id parent = firn_pb_id(&m->parent_nonce);
        struct firn_slice body;
        firn_name_manifest_log(name, m->parent_version, &parent);
        assert_true(firn_fake_get(world, name, &body));
        firn_pb_manifest_free(m);
        assert_int_equal(firn_manifest_decode(body, &m, NULL), FIRN_OK);
    }
    assert_int_equal(m->version, 1);
    firn_pb_manifest_free(m);
}

#define STORM_PROCS 3
#define STORM_INTENTS 4

static void a_storm_loses_and_doubles_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 130; seed++) {
        struct proc p[STORM_PROCS];
        static struct firn_checkpoint_intent it[STORM_PROCS][STORM_INTENTS];
        static char id[STORM_PROCS][STORM_INTENTS][32];
        bool done[STORM_PROCS][STORM_INTENTS] = {{false}};
        bool created;
        world_open(seed);
        for (int i = 0; i < STORM_PROCS; i++)
            proc_open(&p[i]);
        assert_int_equal(create(&p[0], &created), FIRN_OK);
        firn_fake_options(world)->faults = (struct firn_fake_faults){.lost_before = 50000,
                                                                     .lost_after = 50000,
                                                                     .late = 50000,
                                                                     .twice = 50000,
                                                                     .err_500 = 50000,
                                                                     .err_409 = 30000,
                                                                     .refused = 30000,
                                                                     .loser_500 = 200000,
                                                                     .bit_flip = 20000,
                                                                     .slow = 50000};
        for (int i = 0; i < STORM_PROCS; i++)
            for (int k = 0; k < STORM_INTENTS; k++) {
                (void)snprintf(id[i][k], sizeof id[i][k], "c%d-%d", i, k);
                it[i][k] = (struct firn_checkpoint_intent){
                    .base = {.done = intent_done, .arg = &done[i][k]}, .add = {.id = id[i][k]}};
                it[i][k].base.urgent = k == 2;
                firn_manifest_checkpoint_commit(p[i].node, &it[i][k]);
                firn_fake_run_for(world, firn_fake_random(world) % (3 * FIRN_SEC));
            }
        for (int i = 0; i < STORM_PROCS; i++)
            for (int k = 0; k < STORM_INTENTS; k++) {
                run(&done[i][k]);
                assert_int_equal(it[i][k].base.status, FIRN_OK);
            }
        firn_fake_options(world)->faults = (struct firn_fake_faults){0};
        firn_fake_run_for(world, 200 * FIRN_SEC); /* late ones land now, or do not */
        Firn__Manifest *m = peek();
        assert_int_equal(m->n_checkpoints, STORM_PROCS * STORM_INTENTS);
        firn_pb_manifest_free(m);
        assert_history();
        for (int i = 0; i < STORM_PROCS; i++)
            proc_close(&p[i]);
        firn_fake_world_free(world);
    }
}

static void commits_survive_short_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 400; n += 3) {
        struct proc p;
        struct flush f;
        open_writer(&p, 16);
        flush_start(&f, &p, 1, 10, 0);
        (void)firn_mem_fail_at(n, 0);
        run(&f.done);
        uint64_t made = firn_mem_fail_at(0, 0);
        enum firn_status st = flush_end(&f);
        assert_true(st == FIRN_OK || st == FIRN_LIMIT);
        Firn__Manifest *m = peek();
        assert_int_equal(m->n_l0, st == FIRN_OK ? 1 : 0);
        firn_pb_manifest_free(m);
        proc_close(&p);
        firn_fake_world_free(world);
        if (made < n)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creators_race),
        cmocka_unit_test(a_dropped_database_is_made_anew),
        cmocka_unit_test(committers_race),
        cmocka_unit_test(a_412_by_our_own_first_attempt),
        cmocka_unit_test(a_lost_reply_and_the_table_is_gone),
        cmocka_unit_test(an_uncertain_commit_lands_late),
        cmocka_unit_test(a_lost_reply_and_a_later_wish),
        cmocka_unit_test(stopping_leaves_it_uncertain),
        cmocka_unit_test(the_fenced_stop),
        cmocka_unit_test(a_claim_between_read_and_swap),
        cmocka_unit_test(intents_are_coalesced_and_spaced),
        cmocka_unit_test(nothing_against_the_rules_is_proposed),
        cmocka_unit_test(a_storm_loses_and_doubles_nothing),
        cmocka_unit_test(commits_survive_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
