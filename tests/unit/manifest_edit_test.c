/* Edits and checks of manifests, pure. */
#include "manifest_sample.h"

#include "manifest/check.h"
#include "manifest/edit.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_good(const Firn__Manifest *m)
{
    struct firn_err err = {""};
    if (firn_manifest_check(m, &err) != FIRN_OK)
        fail_msg("%s", err.text);
}

/* The sample as a commit has it before its edits, with unknown fields everywhere. */
static Firn__Manifest *next_sample(void)
{
    Firn__Manifest *m = sample_manifest(false);
    sample_visit(&m->base, sample_add_unknown, NULL);
    m->version++;
    m->parent_version++;
    assert_good(m);
    return m;
}

static bool garbage_has(const Firn__Manifest *m, enum firn_role role, uint64_t epoch,
                        uint64_t number)
{
    for (size_t i = 0; i < m->n_garbage; i++)
        if (m->garbage[i]->role == (Firn__TableRole)role && m->garbage[i]->epoch == epoch &&
            m->garbage[i]->number == number)
            return m->garbage[i]->version == m->version;
    return false;
}

/* ---- the checker */

static void the_checker_finds(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++) {
        Firn__Manifest *m = sample_manifest(false);
        assert_good(m);
        switch (i) {
        case 0:
            m->l0[0]->end->slot--;
            break; /* newest does not end at the floor */
        case 1:
            m->l0[1]->end->slot--;
            break; /* a gap in L0 */
        case 2:
            m->l0_start->slot++;
            break;
        case 3:
            m->kept->slot = 21;
            break; /* behind the floor */
        case 4:
            m->floor->epoch = 4;
            break;
        case 5:
            m->partitions[0]->l0_upto->slot = 21;
            break;
        case 6:
            SAMPLE_OK(firn_pb_set_bytes(&m->partitions[1]->start, firn_slice_str("\x10n")));
            break;
        case 7:
            SAMPLE_OK(firn_pb_set_bytes(&m->partitions[1]->end, firn_slice_str("\x10z")));
            break;
        case 8:
            m->partitions[0]->runs[0]->tables[0]->upper.data[1] = 'g';
            break; /* overlap in a run */
        case 9:
            m->partitions[0]->runs[1]->tables[0]->upper.data[1] = 'n';
            break; /* behind the end */
        case 10:
            m->partitions[1]->runs[0]->tables[0]->lower.data[1] = 'a';
            break;
        case 11:
            m->l0[0]->epoch = 3;
            break; /* an epoch that has not been */
        case 12:
            m->l0[0]->max_seqno = m->seqno_at_floor + 1;
            break;
        case 13:
            m->expired_to_ms = m->log_time_ms + 1;
            break;
        case 14:
            m->garbage[0]->version = 43;
            break;
        default:
            m->parent_version = 42;
            break;
        }
        struct firn_err err = {""};
        assert_int_equal(firn_manifest_check(m, &err), FIRN_CORRUPT);
        assert_true(err.text[0]);
        firn_pb_manifest_free(m);
    }
}

static void steps_never_go_back(void **state)
{
    (void)state;
    Firn__Manifest *a = sample_manifest(false);
    for (int i = 0; i < 8; i++) {
        Firn__Manifest *b = firn_pb_manifest_dup(a);
        assert_int_equal(firn_manifest_check_step(a, b, NULL), FIRN_OK);
        switch (i) {
        case 0:
            b->version--;
            break;
        case 1:
            b->writer->epoch--;
            break;
        case 2:
            b->floor->slot--;
            break;
        case 3:
            b->kept->slot--;
            break;
        case 4:
            b->log_time_ms--;
            break;
        case 5:
            b->compactor->watermark--;
            break;
        case 6:
            b->seqno_at_floor--;
            break;
        default:
            b->settings->wal_grace_ms++;
            break;
        }
        struct firn_err err = {""};
        assert_int_equal(firn_manifest_check_step(a, b, &err), FIRN_CORRUPT);
        firn_pb_manifest_free(b);
    }
    firn_pb_manifest_free(a);
    a = sample_manifest(true);
    struct firn_err err = {""};
    assert_int_equal(firn_manifest_check_features(a, false, &err), FIRN_INVALID);
    assert_non_null(strstr(err.text, "\"ref\""));
    firn_pb_manifest_free(a);
}

/* ---- claims */

static void claims(void **state)
{
    (void)state;
    Firn__Manifest *m = next_sample();
    struct firn_claim c = {
        .role = FIRN_ROLE_WRITER, .process_nonce = {{7}}, .node_id = "node-b", .address = "b:1"};
    m->settings->heartbeat_ms = 500;
    assert_int_equal(firn_edit_claim(m, &c, NULL), FIRN_OK);
    assert_true(firn_manifest_role_is(m, FIRN_ROLE_WRITER, 3, &c.process_nonce));
    assert_string_equal(m->promote_node, "");  /* the wish is granted */
    assert_int_equal(m->writer->watermark, 5); /* numbers go on */
    assert_int_equal(m->writer->heartbeat_kept_ms, 500);
    assert_int_equal(firn_edit_release(m, FIRN_ROLE_WRITER), FIRN_OK);
    assert_int_equal(m->writer->epoch, 3);
    assert_int_equal(m->writer->process_nonce.len, 0);
    assert_good(m);
    firn_pb_manifest_free(m);
}

/* H8, N3: only at or above the watermark the claim replaces, only of earlier epochs. */
static void adoption(void **state)
{
    (void)state;
    struct {
        uint64_t epoch, number;
        enum firn_status want;
    } cases[] = {{2, 10, FIRN_OK}, {1, 99, FIRN_OK}, {2, 9, FIRN_CONFLICT}, {3, 12, FIRN_CONFLICT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Firn__Manifest *m = next_sample();
        Firn__Table *t =
            sample_table(FIRN_ROLE_COMPACTOR, cases[i].epoch, cases[i].number, "a", "c");
        struct firn_claim c = {.role = FIRN_ROLE_COMPACTOR,
                               .process_nonce = {{7}},
                               .node_id = "n",
                               .adopt = &t,
                               .nadopt = 1,
                               .watermark = 20};
        assert_int_equal(firn_edit_claim(m, &c, NULL), cases[i].want);
        if (cases[i].want == FIRN_OK) {
            assert_int_equal(m->n_adopted, 2);
            assert_int_equal(m->compactor->watermark, 20);
            assert_good(m);
        }
        firn_pb_table_free(t);
        firn_pb_manifest_free(m);
    }
}

/* ---- flush */

static void a_flush_prepends(void **state)
{
    (void)state;
    Firn__Manifest *m = next_sample();
    Firn__Table *t[2] = {sample_table(FIRN_ROLE_WRITER, 2, 5, "a", "g"),
                         sample_table(FIRN_ROLE_WRITER, 2, 6, "g", "z")};
    struct firn_flush f = {.end = {2, 31},
                           .seqno = m->seqno_at_floor + 5,
                           .log_time_ms = 1700000001000,
                           .expired_to_ms = 1700000000500,
                           .watermark = 7,
                           .tables = t,
                           .ntables = 2};
    assert_int_equal(firn_edit_flush(m, &f, NULL), FIRN_OK);
    assert_good(m);
    assert_int_equal(m->n_l0, 4);
    assert_int_equal(m->l0[0]->number, 5);
    assert_int_equal(m->l0[1]->number, 6);
    assert_true(firn_place_eq(firn_place_of(m->l0[1]->first), (struct firn_place){2, 20}));
    assert_int_equal(m->expired_to_ms, 1700000000500);
    assert_int_equal(m->writer->watermark, 7);
    assert_int_equal(firn_edit_flush(m, &f, NULL), FIRN_CONFLICT); /* not twice */
    firn_pb_manifest_free(m);

    m = next_sample(); /* I10: a number below the watermark may be gone */
    t[0]->number = 4;
    assert_int_equal(firn_edit_flush(m, &f, NULL), FIRN_CONFLICT);
    firn_pb_manifest_free(m);
    firn_pb_table_free(t[0]);
    firn_pb_table_free(t[1]);
}

static void a_flush_of_nothing_moves_the_floor(void **state)
{
    (void)state;
    Firn__Manifest *m = next_sample();
    struct firn_flush f = {.end = {2, 31}};
    m->partitions[1]->l0_upto->slot = 20; /* has all of L0 */
    assert_int_equal(firn_edit_flush(m, &f, NULL), FIRN_OK);
    assert_good(m);
    assert_int_equal(m->n_l0, 2);
    assert_int_equal(m->l0[0]->end->slot, 31); /* the range joined the newest table's */
    assert_int_equal(m->partitions[1]->l0_upto->slot, 31);
    assert_int_equal(m->partitions[0]->l0_upto->slot, 10);
    while (m->n_l0) /* and with an empty L0 it is carried to the next one's */
        firn_pb_table_free(firn_pb_remove(m->l0, &m->n_l0, 0));
    m->l0_start->slot = 31;
    f.end.slot = 40;
    assert_int_equal(firn_edit_flush(m, &f, NULL), FIRN_OK);
    assert_good(m);
    Firn__Table *t = sample_table(FIRN_ROLE_WRITER, 2, 5, "a", "g");
    f = (struct firn_flush){.end = {2, 50}, .tables = &t, .ntables = 1, .watermark = 6};
    assert_int_equal(firn_edit_flush(m, &f, NULL), FIRN_OK);
    assert_good(m);
    assert_int_equal(m->l0[0]->first->slot, 31);
    firn_pb_table_free(t);
    firn_pb_manifest_free(m);
}

/* ---- compaction */

static const struct firn_table_name w3 = {FIRN_ROLE_WRITER, 2, 3}, w4 = {FIRN_ROLE_WRITER, 2, 4},
                                    c2 = {FIRN_ROLE_COMPACTOR, 1, 2},
                                    c5 = {FIRN_ROLE_COMPACTOR, 1, 5},
                                    c6 = {FIRN_ROLE_COMPACTOR, 1, 6},
                                    c7 = {FIRN_ROLE_COMPACTOR, 1, 7};

static void l0_goes_down_in_both_partitions(void **state)
{
    (void)state;
    Firn__Manifest *m = next_sample();
    Firn__Table *out = sample_table(FIRN_ROLE_COMPACTOR, 2, 10, "a", "z"); /* shared by both */
    struct firn_table_name both[2] = {w3, w4};
    struct firn_compaction_part parts[2] = {{.end = firn_slice_str("\x10m"),
                                             .l0_inputs = &w4,
                                             .nl0_inputs = 1,
                                             .outputs = &out,
                                             .noutputs = 1},
                                            {.start = firn_slice_str("\x10m"),
                                             .l0_inputs = both,
                                             .nl0_inputs = 2,
                                             .outputs = &out,
                                             .noutputs = 1}};
    struct firn_compaction one = {.parts = parts, .nparts = 1, .watermark = 11},
                           two = {.parts = parts + 1, .nparts = 1};
    assert_false(firn_compaction_applied(m, &one));
    assert_int_equal(firn_edit_compaction(m, &one, NULL), FIRN_OK);
    assert_good(m);
    assert_true(firn_compaction_applied(m, &one));
    assert_false(firn_compaction_applied(m, &two));
    assert_int_equal(m->n_l0, 2); /* the other partition still needs both */
    assert_int_equal(m->partitions[0]->n_runs, 3);
    assert_int_equal(m->partitions[0]->runs[0]->tables[0]->number, 10);
    assert_int_equal(m->partitions[0]->runs[0]->tables[0]->clip_upper.len,
                     2); /* cut at the bound */
    assert_int_equal(m->compactor->watermark, 11);
    assert_int_equal(firn_edit_compaction(m, &two, NULL),
                     FIRN_OK); /* live already: below the watermark is fine */
    assert_good(m);
    assert_int_equal(m->n_l0, 0);
    assert_true(garbage_has(m, FIRN_ROLE_WRITER, 2, 3) && garbage_has(m, FIRN_ROLE_WRITER, 2, 4));
    assert_int_equal(m->l0_start->slot, 20);
    struct sample_count c = {
        0, 0}; /* what was there keeps its unknown fields; new: 2 runs, 2 tables, 2 garbage */
    sample_visit(&m->base, sample_count_unknown, &c);
    assert_int_equal(c.messages - c.with_unknown, 6);
    firn_pb_table_free(out);
    firn_pb_manifest_free(m);
}

static void l0_is_consumed_from_its_oldest_end(void **state)
{
    (void)state;
    Firn__Manifest *m = next_sample();
    Firn__Table *out = sample_table(FIRN_ROLE_COMPACTOR, 2, 10, "n", "z");
    struct firn_compaction_part p = {.start = firn_slice_str("\x10m"),
                                     .l0_inputs = &w4,
                                     .nl0_inputs = 1,
                                     .outputs = &out,
                                     .noutputs = 1};
    struct firn_compaction c = {.parts = &p, .nparts = 1};
    struct firn_err err = {""};
    assert_int_equal(firn_edit_compaction(m, &c, &err),
                     FIRN_CONFLICT); /* leaves w3 below w4 (H18) */
    assert_non_null(strstr(err.text, "I7"));
    firn_pb_table_free(out);
    firn_pb_manifest_free(m);
}

static void runs_are_merged_and_split(void **state)
{
    (void)state;
    Firn__Manifest *m = next_sample();
    struct firn_table_name in[3] = {c5, c6, c2};
    Firn__Table *out = sample_table(FIRN_ROLE_COMPACTOR, 2, 12, "a", "m");
    struct firn_slice cut[1] = {firn_slice_str("\x10g")};
    struct firn_compaction_part p = {.end = firn_slice_str("\x10m"),
                                     .inputs = in,
                                     .ninputs = 3,
                                     .outputs = &out,
                                     .noutputs = 1,
                                     .split = cut,
                                     .nsplit = 1};
    struct firn_compaction c = {.parts = &p, .nparts = 1};
    assert_int_equal(firn_edit_compaction(m, &c, NULL), FIRN_OK);
    assert_good(m);
    assert_true(firn_compaction_applied(m, &c));
    assert_int_equal(m->n_partitions, 3);
    assert_int_equal(m->partitions[0]->n_runs, 1);
    assert_true(firn_slice_eq(firn_table_upper(m->partitions[0]->runs[0]->tables[0]), cut[0]));
    assert_true(firn_slice_eq(firn_table_lower(m->partitions[1]->runs[0]->tables[0]), cut[0]));
    assert_true(garbage_has(m, FIRN_ROLE_COMPACTOR, 1, 2) &&
                garbage_has(m, FIRN_ROLE_COMPACTOR, 1, 6));
    assert_int_equal(firn_edit_compaction(m, &c, NULL), FIRN_CONFLICT);
    /* and together again: one run of two slices */
    assert_int_equal(firn_edit_partition_merge(m, firn_slice_str(""), NULL), FIRN_OK);
    assert_good(m);
    assert_int_equal(m->n_partitions, 2);
    assert_int_equal(m->partitions[0]->runs[0]->n_tables, 2);
    firn_pb_table_free(out);
    firn_pb_manifest_free(m);
}

static void senseless_compactions_are_refused(void **state)
{
    (void)state;
    Firn__Table *fresh = sample_table(FIRN_ROLE_COMPACTOR, 2, 12, "a", "m");
    Firn__Table *old = sample_table(FIRN_ROLE_COMPACTOR, 2, 9, "a", "m");
    Firn__Table *foreign = sample_table(FIRN_ROLE_COMPACTOR, 1, 12, "a", "m");
    Firn__Table *dead = sample_table(FIRN_ROLE_COMPACTOR, 1, 1, "a", "m");
    struct firn_table_name half[1] = {c5}, whole[2] = {c5, c6},
                           gone[1] = {{FIRN_ROLE_COMPACTOR, 1, 1}};
    struct firn_slice m_ = firn_slice_str("\x10m");
    struct firn_compaction_part bad[] = {
        {.end = m_, .inputs = half, .ninputs = 1, .outputs = &fresh, .noutputs = 1},
        {.end = m_, .inputs = gone, .ninputs = 1, .outputs = &fresh, .noutputs = 1},
        {.end = m_, .outputs = &fresh, .noutputs = 1},
        {.end = m_, .inputs = whole, .ninputs = 2, .outputs = &old, .noutputs = 1},
        {.end = m_, .inputs = whole, .ninputs = 2, .outputs = &foreign, .noutputs = 1},
        {.end = m_, .inputs = whole, .ninputs = 2, .outputs = &dead, .noutputs = 1},
        {.end = firn_slice_str("\x10k"),
         .inputs = whole,
         .ninputs = 2,
         .outputs = &fresh,
         .noutputs = 1},
        {.end = m_,
         .inputs = &c2,
         .ninputs = 1,
         .l0_inputs = &w4,
         .nl0_inputs = 1,
         .outputs = &fresh,
         .noutputs = 1},
        {.end = m_, .split = &m_, .nsplit = 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Firn__Manifest *m = next_sample();
        struct firn_compaction c = {.parts = &bad[i], .nparts = 1};
        assert_int_not_equal(firn_edit_compaction(m, &c, NULL), FIRN_OK);
        firn_pb_manifest_free(m);
    }
    Firn__Manifest *m =
        next_sample(); /* dropping single tables is fine: a newer tombstone covers them */
    struct firn_compaction_part drop = {.end = m_, .inputs = half, .ninputs = 1};
    struct firn_compaction c = {.parts = &drop, .nparts = 1};
    assert_int_equal(firn_edit_compaction(m, &c, NULL), FIRN_OK);
    assert_good(m);
    assert_int_equal(m->partitions[0]->runs[0]->n_tables, 1);
    assert_true(garbage_has(m, FIRN_ROLE_COMPACTOR, 1, 5));
    firn_pb_manifest_free(m);
    firn_pb_table_free(fresh);
    firn_pb_table_free(old);
    firn_pb_table_free(foreign);
    firn_pb_table_free(dead);
}

static void adopted_outputs_are_committed_or_given_up(void **state)
{
    (void)state;
    Firn__Manifest *m = next_sample();
    Firn__Table *out =
        sample_table(FIRN_ROLE_COMPACTOR, 1, 9, "n", "z"); /* adopted in the sample */
    struct firn_compaction_part p = {.start = firn_slice_str("\x10m"),
                                     .inputs = &c7,
                                     .ninputs = 1,
                                     .outputs = &out,
                                     .noutputs = 1};
    struct firn_compaction c = {.parts = &p, .nparts = 1};
    assert_int_equal(firn_edit_compaction(m, &c, NULL), FIRN_OK);
    assert_int_equal(m->n_adopted, 0);
    assert_good(m);
    firn_pb_manifest_free(m);
    m = next_sample();
    struct firn_table_name name = {FIRN_ROLE_COMPACTOR, 1, 9};
    assert_int_equal(firn_edit_unadopt(m, &name, 1), FIRN_OK);
    assert_true(m->n_adopted == 0 && garbage_has(m, FIRN_ROLE_COMPACTOR, 1, 9));
    firn_edit_garbage_deleted(m, &name, 1);
    assert_int_equal(m->n_garbage, 1);
    firn_pb_manifest_free(m);
    firn_pb_table_free(out);
}

/* Every allocation of an edit may fail: no leak, no crash. */
static void edits_survive_short_memory(void **state)
{
    (void)state;
    Firn__Table *out = sample_table(FIRN_ROLE_COMPACTOR, 2, 10, "a", "z");
    struct firn_table_name both[2] = {w3, w4};
    struct firn_slice cut = firn_slice_str("\x10g");
    struct firn_compaction_part parts[2] = {{.end = firn_slice_str("\x10m"),
                                             .l0_inputs = &w4,
                                             .nl0_inputs = 1,
                                             .outputs = &out,
                                             .noutputs = 1,
                                             .split = &cut,
                                             .nsplit = 1},
                                            {.start = firn_slice_str("\x10m"),
                                             .l0_inputs = both,
                                             .nl0_inputs = 2,
                                             .outputs = &out,
                                             .noutputs = 1}};
    struct firn_compaction c = {.parts = parts, .nparts = 2, .watermark = 11};
    for (uint64_t n = 1;; n++) {
        Firn__Manifest *m = next_sample();
        (void)firn_mem_fail_at(n, 0);
        enum firn_status st = firn_edit_compaction(m, &c, NULL);
        uint64_t made = firn_mem_fail_at(0, 0);
        assert_true(st == FIRN_OK || st == FIRN_LIMIT);
        firn_pb_manifest_free(m);
        if (made < n)
            break;
    }
    firn_pb_table_free(out);
}

/* ---- the rest */

static void checkpoints_and_settings(void **state)
{
    (void)state;
    Firn__Manifest *current = sample_manifest(false), *m = next_sample();
    struct firn_checkpoint_add a = {.id = "now", .label = "x"},
                               again = {.id = "copy", .source = "nightly-1"};
    struct firn_flush f = {.end = {2, 31}};
    assert_int_equal(firn_edit_flush(m, &f, NULL), FIRN_OK); /* in the same commit */
    assert_int_equal(firn_edit_checkpoint_add(m, current, &a, NULL), FIRN_OK);
    const Firn__Checkpoint *c = firn_manifest_checkpoint(m, "now");
    assert_true(c->version == 42 &&
                c->floor->slot == 20); /* what was committed, not what is proposed */
    assert_int_equal(firn_edit_checkpoint_add(m, current, &a, NULL), FIRN_CONFLICT);
    assert_int_equal(firn_edit_checkpoint_add(m, current, &again, NULL), FIRN_OK);
    assert_int_equal(firn_manifest_checkpoint(m, "copy")->version, 30);
    again.source = "none";
    again.id = "other";
    assert_int_equal(firn_edit_checkpoint_add(m, current, &again, NULL), FIRN_CONFLICT);
    firn_edit_checkpoint_drop(m, "now");
    assert_null(firn_manifest_checkpoint(m, "now"));
    assert_good(m);

    assert_int_equal(firn_edit_kept(m, (struct firn_place){2, 32}, NULL), FIRN_CONFLICT);
    assert_int_equal(firn_edit_kept(m, (struct firn_place){2, 1}, NULL), FIRN_OK);
    assert_int_equal(m->kept->slot, 3); /* never back */
    assert_int_equal(firn_edit_setting(m, "history", "5000", NULL), FIRN_OK);
    assert_true(firn_manifest_setting_is(m, "history", "5000"));
    assert_int_equal(firn_edit_setting(m, "history", "-1", NULL), FIRN_INVALID);
    assert_int_equal(firn_edit_setting(m, "wal-grace", "1", NULL), FIRN_INVALID);
    assert_int_equal(firn_edit_setting(m, "notify-keyspace-events", "K?", NULL), FIRN_INVALID);
    assert_int_equal(firn_edit_setting(m, "notify-keyspace-events", "", NULL), FIRN_OK);
    assert_int_equal(m->expired_to_ms, 1600000000000);
    assert_int_equal(firn_edit_setting(m, "notify-keyspace-events", "Ex", NULL), FIRN_OK);
    assert_int_equal(m->expired_to_ms, m->log_time_ms); /* switched on */
    firn_pb_manifest_free(m);
    firn_pb_manifest_free(current);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checker_finds),
        cmocka_unit_test(steps_never_go_back),
        cmocka_unit_test(claims),
        cmocka_unit_test(adoption),
        cmocka_unit_test(a_flush_prepends),
        cmocka_unit_test(a_flush_of_nothing_moves_the_floor),
        cmocka_unit_test(l0_goes_down_in_both_partitions),
        cmocka_unit_test(l0_is_consumed_from_its_oldest_end),
        cmocka_unit_test(runs_are_merged_and_split),
        cmocka_unit_test(senseless_compactions_are_refused),
        cmocka_unit_test(adopted_outputs_are_committed_or_given_up),
        cmocka_unit_test(edits_survive_short_memory),
        cmocka_unit_test(checkpoints_and_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
