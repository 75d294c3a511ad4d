/* The compactor over a fake store, beside a small writer that flushes random memtables: what is
 * read stays what was written, L0 is worked off, partitions split, everything that is of no use is
 * deleted and nothing else, whatever the store does. */
#include "unit/compactor_fixture.h"

/* Of these programs, in place of the library's (format/version.h). */
const uint16_t firn_format_newest = FIRN_FORMAT_OLDEST + 1;

/* --once: L0 is worked off, the graces are waited for, all garbage goes, and nothing else. */
static void test_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct comp c;
        world_open(seed, NULL);
        put_slot(0, 7, FIRN_SEAL_BYTES); /* of an older epoch: stays for ever (I3) */
        firn_fake_put(world, "probe/left-behind", "x", 1);
        firn_fake_put(world, "somebody-else/s.txt", "x", 1);
        for (size_t i = 0; i < 12; i++)
            flush(50 + draw(200));
        check_contents();
        comp_open(&c, true);
        assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
        assert_int_equal(c.how, FIRN_COMPACTOR_STOPPED);
        check_contents();
        struct firn_manifest *m = read_manifest();
        assert_int_equal(m->pb->n_l0, 0);
        assert_int_equal(m->pb->n_garbage, 0);
        assert_true(m->pb->n_partitions > 1);
        assert_int_equal(firn_place_cmp(m->kept, m->floor), 0);
        assert_int_equal(firn_fake_count(world, "sst/"), live_tables(m->pb));
        assert_int_equal(firn_fake_count(world, "wal/"), 1);
        assert_int_equal(firn_fake_count(world, "probe/"), 0);
        assert_int_equal(firn_fake_count(world, "somebody-else/"), 1);
        /* copies of the last commits: waiting for them, too, would never end */
        assert_in_range(firn_fake_count(world, "manifest-log/"), 1, 6);
        assert_int_equal(m->pb->compactor->process_nonce.len, 0); /* released */
        firn_manifest_unref(m);
        comp_close(&c);
        writer_close();
        firn_fake_world_free(world);
    }
}

static const struct firn_fake_faults bad_day = {
    .lost_before = 10000,
    .lost_after = 10000,
    .late = 10000,
    .twice = 10000,
    .err_500 = 10000,
    .err_503 = 10000,
    .err_409 = 10000,
    .refused = 10000,
    .short_read = 10000,
    .bit_flip = 2000,
    .slow = 20000,
};

/* Beside a busy writer, on a bad day: the contents never change, and in the end nothing is left
 * over. */
static void test_service(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct comp c;
        world_open(seed, NULL);
        comp_open(&c, false);
        assert_true(firn_fake_run_until(world, is_set, &c.working, LIMIT_NS));
        firn_fake_options(world)->faults = bad_day;
        for (size_t i = 0; i < 30; i++) {
            flush(20 + draw(150));
            firn_fake_run_for(world, draw(20) * FIRN_SEC);
            if (i % 5 == 4) {
                firn_fake_options(world)->faults.bit_flip = 0; /* the scan here does not retry */
                check_contents();
                firn_fake_options(world)->faults = bad_day;
            }
        }
        firn_fake_options(world)->faults = (struct firn_fake_faults){0};
        firn_fake_run_for(world, 600 * FIRN_SEC);
        assert_false(c.ended);
        assert_true(firn_compactor_stats_of(c.core)->jobs > 0);
        check_contents();
        struct firn_manifest *m = read_manifest();
        assert_true(m->pb->n_l0 < 4);
        assert_int_equal(m->pb->n_garbage, 0);
        assert_int_equal(firn_fake_count(world, "wal/"), 0);
        firn_manifest_unref(m);
        comp_close(&c);
        assert_int_equal(c.how, FIRN_COMPACTOR_STOPPED);
        writer_close();
        firn_fake_world_free(world);
    }
}

/* A second compactor takes over: the first one ends fenced, in whatever it is doing. */
static void test_fenced(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct comp a, b;
        world_open(seed, NULL);
        for (size_t i = 0; i < 8; i++)
            flush(150);
        comp_open(&a, false);
        assert_true(firn_fake_run_until(world, is_set, &a.working, LIMIT_NS));
        firn_fake_run_for(world, draw(100) * FIRN_MS);
        comp_open(&b, false);
        assert_true(firn_fake_run_until(world, is_set, &a.ended, LIMIT_NS));
        assert_int_equal(a.how, FIRN_COMPACTOR_FENCED);
        firn_fake_run_for(world, 600 * FIRN_SEC);
        assert_false(b.ended);
        check_contents();
        struct firn_manifest *m = read_manifest();
        assert_int_equal(m->pb->n_l0, 0);
        assert_int_equal(firn_fake_count(world, "sst/"), live_tables(m->pb)); /* a's orphans, too */
        firn_manifest_unref(m);
        comp_close(&a);
        comp_close(&b);
        writer_close();
        firn_fake_world_free(world);
    }
}

/* A pin that is renewed keeps what was dropped behind its version; a dead one does not. */
static void test_pin(void **state)
{
    (void)state;
    struct comp c;
    uint8_t bytes[FIRN_PIN_BYTES];
    world_open(5, NULL);
    for (size_t i = 0; i < 8; i++)
        flush(150);
    struct firn_manifest *m = read_manifest();
    struct firn_pin pin = {.db = m->db, .version = m->version, .format = 1};
    size_t tables = live_tables(m->pb);
    comp_open(&c, false);
    for (unsigned i = 0; i < 40; i++) {
        pin.nonce.byte[0] = (uint8_t)i;
        firn_pin_encode(&pin, bytes);
        firn_fake_put(world, "pins/scan", bytes, sizeof bytes);
        firn_fake_run_for(world, 10 * FIRN_SEC);
        for (size_t k = 0; k < m->pb->n_l0; k++) {
            char name[FIRN_NAME_MAX];
            struct firn_slice body;
            struct firn_table_name t = firn_table_name_of(m->pb->l0[k]);
            firn_name_table(name, firn_id_short(&m->db), &t);
            assert_true(firn_fake_get(world, name, &body));
        }
    }
    firn_manifest_unref(m);
    assert_true(firn_fake_count(world, "sst/") > tables);
    firn_fake_run_for(world, 600 * FIRN_SEC);
    assert_int_equal(firn_fake_count(world, "pins/"), 0);
    m = read_manifest();
    assert_int_equal(firn_fake_count(world, "sst/"), live_tables(m->pb));
    firn_manifest_unref(m);
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* A feature that it lacks for committing appears in the manifest: it deletes nothing more and ends.
 */
static void test_feature(void **state)
{
    (void)state;
    struct comp c;
    struct firn_slice body;
    struct firn_buf out;
    Firn__Manifest *m = NULL;
    world_open(6, NULL);
    for (size_t i = 0; i < 8; i++)
        flush(150);
    comp_open(&c, false);
    firn_fake_run_for(world, 30 * FIRN_SEC); /* merged; what it replaced waits for its grace */
    assert_true(firn_fake_get(world, "manifest", &body));
    assert_int_equal(firn_manifest_decode(body, &m, NULL), FIRN_OK);
    assert_true(m->n_garbage > 0);
    Firn__Feature *f = firn_pb_feature_new();
    assert_int_equal(firn_pb_set_string(&f->name, "shared-tables"), FIRN_OK);
    assert_int_equal(firn_pb_insert(&m->features_to_commit, &m->n_features_to_commit, 0, f),
                     FIRN_OK);
    m->version++;
    m->nonce.data[0] ^= 1;
    firn_buf_init(&out, 1 << 20);
    assert_int_equal(firn_manifest_encode(m, true, &out), FIRN_OK);
    firn_fake_put(world, "manifest", out.data, out.len);
    size_t tables = firn_fake_count(world, "sst/");
    assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
    assert_int_equal(c.how, FIRN_COMPACTOR_FAILED);
    firn_fake_run_for(world, 3600 * FIRN_SEC);
    assert_int_equal(firn_fake_count(world, "sst/"), tables);
    firn_buf_clear(&out);
    firn_pb_manifest_free(m);
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* Its look at the manifest is not taken by the store, for a while: it goes on afterwards. */
static void reject_gets(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                        struct firn_fake_plan *plan)
{
    const struct comp *c = arg;
    if (n == c->fake && c->working && req->op == FIRN_OS_GET)
        plan->fate = FIRN_FAKE_REJECTED;
}

static void test_rejected(void **state)
{
    (void)state;
    struct comp c;
    world_open(6, NULL);
    comp_open(&c, false);
    firn_fake_on_request(world, reject_gets, &c);
    firn_fake_run_for(world, 120 * FIRN_SEC);
    assert_true(c.working && !c.ended);
    firn_fake_on_request(world, NULL, NULL);
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* Stopped at any moment: it ends, released, and the next one goes on. */
static void test_stop(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct comp c;
        world_open(seed, NULL);
        for (size_t i = 0; i < 8; i++)
            flush(100);
        comp_open(&c, false);
        firn_fake_run_for(world, draw(400) * FIRN_MS);
        comp_close(&c);
        assert_int_equal(c.how, FIRN_COMPACTOR_STOPPED);
        check_contents();
        comp_open(&c, true);
        assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
        check_contents();
        comp_close(&c);
        writer_close();
        firn_fake_world_free(world);
    }
}

static void make_old(Firn__Manifest *m, const void *arg)
{
    (void)arg;
    m->format = FIRN_FORMAT_OLDEST;
}

/* A compactor that claimed before the database was upgraded merges what a newer writer flushed:
 * what it writes says so. */
static void test_format(void **state)
{
    (void)state;
    struct comp c;
    world_open(14, NULL);
    writer_close();
    (void)manifest_change(world, make_old, NULL);
    writer_open(20000, 0);
    flush(150);
    uint64_t before = wr.seqno;
    comp_open(&c, false);
    firn_fake_run_for(world, 20 * FIRN_SEC);
    assert_true(c.working);
    struct firn_upgrade_intent it = {.base = {.done = intent_done, .arg = &wr.done},
                                     .format = firn_format_newest};
    firn_manifest_upgrade(wr.node, &it);
    wait_for(&wr.done);
    assert_int_equal(it.base.status, FIRN_OK);
    wr.format = firn_format_newest;
    for (size_t i = 0; i < 8; i++)
        flush(150);
    firn_fake_run_for(world, 60 * FIRN_SEC);
    struct firn_manifest *m = read_manifest();
    assert_int_equal(m->pb->n_l0, 0);
    size_t newer = 0;
    for (size_t i = 0; i < m->pb->n_partitions; i++) {
        const Firn__Partition *p = m->pb->partitions[i];
        for (size_t r = 0; r < p->n_runs; r++)
            for (size_t t = 0; t < p->runs[r]->n_tables; t++) {
                const Firn__Table *table = p->runs[r]->tables[t];
                if (table->max_seqno <= before)
                    continue;
                newer++;
                assert_int_equal(table->format, firn_format_newest);
            }
    }
    assert_true(newer);
    firn_manifest_unref(m);
    check_contents();
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* What a newer range tombstone covers whole goes unread. */
static void test_unread(void **state)
{
    (void)state;
    struct comp c;
    world_open(11, NULL);
    for (size_t i = 0; i < 8; i++)
        flush(150);
    comp_open(&c, false);
    firn_fake_run_for(world, 60 * FIRN_SEC);
    assert_int_equal(firn_compactor_stats_of(c.core)->tables_unread, 0);
    struct firn_manifest *m = read_manifest();
    size_t runs = live_tables(m->pb);
    firn_manifest_unref(m);
    for (size_t i = 0; i < 8; i++)
        flush_after(i == 0 ? KEYS : 0, 100);
    firn_fake_run_for(world, 60 * FIRN_SEC);
    assert_true(runs > 1);
    assert_in_range(firn_compactor_stats_of(c.core)->tables_unread, runs / 2, runs);
    check_contents();
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* A range tombstone alone, over everything: the runs below it, however large, go unread with it. */
static void test_cleared(void **state)
{
    (void)state;
    struct comp c;
    world_open(12, NULL);
    for (size_t i = 0; i < 8; i++)
        flush(150);
    comp_open(&c, false);
    firn_fake_run_for(world, 60 * FIRN_SEC);
    struct firn_manifest *m = read_manifest();
    size_t tables = live_tables(m->pb);
    assert_int_equal(m->pb->n_l0, 0);
    firn_manifest_unref(m);
    struct firn_compactor_stats before = *firn_compactor_stats_of(c.core);
    for (size_t i = 0; i < 8; i++)
        flush_after(KEYS, 0);
    firn_fake_run_for(world, 60 * FIRN_SEC);
    struct firn_compactor_stats after = *firn_compactor_stats_of(c.core);
    m = read_manifest();
    assert_int_equal(live_tables(m->pb), 0);
    firn_manifest_unref(m);
    assert_true(after.tables_unread - before.tables_unread >= tables);
    assert_true(after.bytes_in - before.bytes_in < before.bytes_in / 10); /* heads */
    assert_int_equal(after.bytes_out, before.bytes_out);
    check_contents();
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* With the least memory there may be L0 is worked off, a few flushes at a time, and what is held
 * stays within it; with less the role is not even claimed. */
static void test_memory(void **state)
{
    (void)state;
    struct comp c;
    world_open_with(13, NULL, 1 << 10);
    for (size_t i = 0; i < 24; i++)
        flush(60 + draw(100));
    comp_open_with(&c, true, 16 << 20);
    assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
    assert_int_equal(c.how, FIRN_COMPACTOR_FAILED);
    assert_string_equal(c.err.text,
                        "memory is 16mb, but compaction needs at least 24mb (table-bytes "
                        "0mb, value-max 0mb): raise memory or lower table-bytes");
    struct firn_manifest *m = read_manifest();
    assert_int_equal(m->pb->compactor->epoch, 0);
    assert_int_equal(m->pb->n_l0, 24);
    firn_manifest_unref(m);
    comp_close(&c);

    comp_open_with(&c, true, 24 << 20);
    assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
    assert_int_equal(c.how, FIRN_COMPACTOR_STOPPED);
    const struct firn_budget *b = firn_compactor_budget_of(c.core);
    assert_true(b->sum_peak <= b->total);
    assert_int_equal(b->sum, 0);
    assert_true(b->part[FIRN_BUDGET_PINNED].peak > 0 && b->part[FIRN_BUDGET_FETCHES].peak > 0 &&
                b->part[FIRN_BUDGET_TABLES].peak > 0);
    assert_true(firn_compactor_stats_of(c.core)->jobs >= 24 / 5);
    check_contents();
    m = read_manifest();
    assert_int_equal(m->pb->n_l0, 0);
    firn_manifest_unref(m);
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* With the least memory, too, range tombstones that cover most of a run that was too large do not
 * let it into a job that has as many inputs as may be. */
static void test_memory_covered(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 26; seed++) {
        struct comp c;
        world_open_with(seed, NULL, 1 << 10);
        for (size_t i = 0; i < 4; i++)
            flush(400);
        comp_open_with(&c, true, 24 << 20);
        assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
        assert_int_equal(c.how, FIRN_COMPACTOR_STOPPED);
        comp_close(&c);
        for (size_t i = 0; i < 5; i++)
            flush_after(KEYS / 5 + draw(KEYS / 2), 3);
        comp_open_with(&c, true, 24 << 20);
        assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
        assert_string_equal(c.err.text, "");
        assert_int_equal(c.how, FIRN_COMPACTOR_STOPPED);
        check_contents();
        comp_close(&c);
        writer_close();
        firn_fake_world_free(world);
    }
}

static bool hold_commits;

static void on_request(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                       struct firn_fake_plan *plan)
{
    const struct comp *c = arg;
    if (hold_commits && n == c->fake && req->op == FIRN_OS_PUT && strcmp(req->key, "manifest") == 0)
        plan->fate = FIRN_FAKE_HOLD;
}

static bool is_held(void *arg)
{
    (void)arg;
    return firn_fake_held(world) > 0;
}

/* The compactor ends while its commit is on the way: what that refers to stays, for it may land an
 * hour later. */
static void test_open_commit(void **state)
{
    (void)state;
    struct comp c;
    world_open(5, NULL);
    for (size_t i = 0; i < 8; i++)
        flush(100);
    hold_commits = false;
    comp_open(&c, false);
    firn_fake_on_request(world, on_request, &c);
    assert_true(firn_fake_run_until(world, is_set, &c.working, LIMIT_NS));
    hold_commits = true;
    assert_true(firn_fake_run_until(world, is_held, NULL, LIMIT_NS));
    firn_compactor_halt(c.core);
    assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
    firn_fake_run_for(world, 3600 * FIRN_SEC);
    struct firn_manifest *before = read_manifest();
    hold_commits = false;
    assert_true(firn_fake_release(world, NULL, SIZE_MAX) > 0);
    firn_fake_run_for(world, FIRN_SEC);
    struct firn_manifest *after = read_manifest();
    assert_int_equal(after->version, before->version + 1); /* it has landed */
    assert_true(after->pb->n_l0 < before->pb->n_l0);
    firn_manifest_unref(before);
    firn_manifest_unref(after);
    check_contents();
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* No database: a clear error, and nothing is written but under probe/. */
static void test_no_database(void **state)
{
    (void)state;
    struct comp c;
    struct firn_fake_options o = {.seed = 3};
    world = firn_fake_world_new(&o);
    comp_open(&c, true);
    assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
    assert_int_equal(c.how, FIRN_COMPACTOR_FAILED);
    assert_non_null(strstr(c.err.text, "no database"));
    assert_int_equal(firn_fake_count(world, ""), 0);
    comp_close(&c);
    firn_fake_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),           cmocka_unit_test(test_service),
        cmocka_unit_test(test_fenced),         cmocka_unit_test(test_pin),
        cmocka_unit_test(test_feature),        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_no_database),    cmocka_unit_test(test_unread),
        cmocka_unit_test(test_cleared),        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_covered), cmocka_unit_test(test_open_commit),
        cmocka_unit_test(test_rejected),       cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
