/* verify finds every kind of damage, and names the object. */
#include "ctl_fixture.h"

#include "format/seal.h"
#include "format/table.h"

static int setup(void **state)
{
    struct fx *f = malloc(sizeof *f);
    fx_open(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fx_close(*state);
    free(*state);
    return 0;
}

/* verify finds `errors` errors, and its report has both texts. */
static void expect_errors(struct fx *f, unsigned errors, const char *object, const char *what)
{
    char last[64];
    assert_int_equal(fx_ctl(f, "verify"), 1);
    fx_expect(f, object);
    fx_expect(f, what);
    (void)snprintf(last, sizeof last, "\nverify: %u errors\n", errors);
    fx_expect(f, last);
}

static void whole(void **state)
{
    struct fx *f = *state;
    assert_int_equal(fx_ctl(f, "verify"), 0);
    fx_expect(f, "verify: ok: version ");
    fx_expect(f, " 2 tables with 800 entries, 5 batches with 2080 records");
    fx_expect(f, "info: log from 1/4 to 2/3: 5 batches, 1 seals");
    fx_expect(f, "info: 4 batches lie below the floor");
    assert_int_equal(f->said.len, 1);
}

static void no_database(void **state)
{
    struct fx *f = *state;
    assert_true(firn_fake_delete(f->w, "manifest"));
    expect_errors(f, 1, "error: manifest: ", "there is no database here");
}

static void manifest_bits(void **state)
{
    struct fx *f = *state;
    struct firn_slice s;
    assert_true(firn_fake_get(f->w, "manifest", &s));
    for (long at = 0; at < (long)s.len; at += 13) {
        if (at >= 20 && at < 24)
            continue; /* reserved */
        fx_damage(f, "manifest", at, -1);
        expect_errors(f, 1, "error: manifest: ", "");
        fx_damage(f, "manifest", at, -1); /* back */
    }
    assert_int_equal(fx_ctl(f, "verify"), 0);
    fx_damage(f, "manifest", 0, 40);
    expect_errors(f, 1, "error: manifest: ", "");
}

/* I7: a hole in L0. */
static void l0_gap(void **state)
{
    struct fx *f = *state;
    Firn__Manifest *m = fx_manifest(f);
    m->l0[1]->end->slot = 1;
    fx_put_manifest(f, m);
    expect_errors(f, 1, "error: manifest: table w1-0 ", "(I7)");
}

/* I8: the partitions leave a hole. */
static void partition_gap(void **state)
{
    struct fx *f = *state;
    Firn__Manifest *m = fx_manifest(f);
    assert_int_equal(firn_pb_set_bytes(&m->partitions[0]->end, firn_slice_str("\x10m")), FIRN_OK);
    fx_put_manifest(f, m);
    expect_errors(f, 1, "error: manifest: ", "(I8)");
}

static void table_missing(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    fx_name_table(f, 0, name);
    assert_true(firn_fake_delete(f->w, name));
    expect_errors(f, 1, name, "missing, but the manifest names it");
}

static void table_cut(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    fx_name_table(f, 1, name);
    fx_damage(f, name, 0, 5000);
    expect_errors(f, 2, name, "5000 bytes, the manifest says");
}

static void table_header(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    fx_name_table(f, 0, name);
    fx_damage(f, name, 9, -1);
    expect_errors(f, 1, name, "header at offset 0");
}

static void table_footer(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    fx_name_table(f, 0, name);
    fx_damage(f, name, -40, -1);
    expect_errors(f, 1, name, "footer at offset ");
}

static void table_metadata(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX], what[64];
    Firn__Manifest *m = fx_manifest(f);
    fx_name_table(f, 0, name);
    struct firn_table_parts p;
    assert_int_equal(firn_table_parts_of(m->l0[1], &p, NULL), FIRN_OK);
    assert_true(p.sep.count > 2);
    for (uint32_t i = 0; i <= p.sep.count; i++) { /* the last one is the head */
        uint64_t end = i < p.sep.count ? p.offset[i + 1] : p.offset[i] + m->l0[1]->head_length;
        (void)snprintf(what, sizeof what, "metadata at offset %llu",
                       (unsigned long long)p.offset[i]);
        for (uint64_t at = p.offset[i]; at < end; at += 101) {
            fx_damage(f, name, (long)at, -1);
            expect_errors(f, 1, name, what);
            fx_damage(f, name, (long)at, -1);
        }
    }
    firn_table_parts_clear(&p);
    firn_pb_manifest_free(m);
    assert_int_equal(fx_ctl(f, "verify"), 0);
}

/* The manifest's map of the metadata and the table contradict each other, or it makes no sense. */
static void table_partitions(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    Firn__Manifest *m = fx_manifest(f);
    m->l0[0]->part_separators.data[m->l0[0]->part_separators.len - 1]++;
    m->l0[1]->part_lengths[0] = 1;
    fx_put_manifest(f, m);
    fx_name_table(f, 1, name);
    expect_errors(f, 2, name, "the head names other partitions than the manifest");
    fx_name_table(f, 0, name);
    fx_expect(f, name);
    fx_expect(f, "the reference makes no sense: length of a partition");
}

/* Any bit of any block: exactly that block is named. */
static void table_blocks(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    struct firn_slice s;
    struct firn_table_part *index = NULL;
    struct firn_table_parts p;
    Firn__Manifest *m = fx_manifest(f);
    fx_name_table(f, 1, name);
    assert_true(firn_fake_get(f->w, name, &s));
    assert_int_equal(firn_table_parts_of(m->l0[0], &p, NULL), FIRN_OK);
    struct firn_slice bytes =
        firn_slice_of(s.data + p.offset[0], firn_table_parts_bytes(&p, 0, p.sep.count));
    assert_int_equal(
        firn_table_index_decode(bytes, m->l0[0]->table_id, &p, 0, p.sep.count, &index, NULL),
        FIRN_OK);
    assert_true(index->sep.count > 5);
    for (uint32_t i = 0; i < index->sep.count; i++) {
        char what[64];
        long at = (long)index->block[i].offset + (long)(i * 37 % index->block[i].stored_len);
        (void)snprintf(what, sizeof what, "block %u at offset %llu:", i,
                       (unsigned long long)index->block[i].offset);
        fx_damage(f, name, at, -1);
        expect_errors(f, 1, name, what);
        fx_damage(f, name, at, -1);
    }
    firn_table_part_free(index);
    firn_table_parts_clear(&p);
    firn_pb_manifest_free(m);
}

/* The manifest counts otherwise than the table. */
static void table_counts(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    Firn__Manifest *m = fx_manifest(f);
    m->l0[0]->entries++;
    m->l0[0]->min_seqno++;
    m->l0[1]->tombstones--;
    m->l0[1]->range_tombstones = 0;
    fx_put_manifest(f, m);
    fx_name_table(f, 1, name);
    expect_errors(f, 4, name, "entries: 400, the manifest says 401");
    fx_expect(f, "lowest seqno: ");
    fx_expect(f, "range tombstones: 1, the manifest says 0");
}

static void table_bounds(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX], key[32];
    Firn__Manifest *m = fx_manifest(f);
    assert_int_equal(firn_pb_set_bytes(&m->l0[1]->lower, fx_key(key, 55)), FIRN_OK);
    fx_put_manifest(f, m);
    fx_name_table(f, 0, name);
    assert_int_equal(fx_ctl(f, "verify"), 1);
    fx_expect(f, "lies outside of the manifest's bounds");
    fx_expect(f, "range tombstone 0 lies outside");
    fx_expect(f, name);
}

/* Two names swapped: checksums bind bytes to their place. */
static void table_swapped(void **state)
{
    struct fx *f = *state;
    char a[FIRN_NAME_MAX], b[FIRN_NAME_MAX];
    struct firn_slice s;
    fx_name_table(f, 0, a);
    fx_name_table(f, 1, b);
    assert_true(firn_fake_get(f->w, b, &s));
    firn_fake_put(f->w, a, s.data, s.len);
    assert_int_equal(fx_ctl(f, "verify"), 1);
    fx_expect(f, a);
    assert_null(strstr(fx_text(f), b));
}

static void batch_bits(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    struct firn_slice s;
    fx_name_slot(f, 1, 5, name);
    assert_true(firn_fake_get(f->w, name, &s));
    for (long at = 0; at < (long)s.len; at += 7) {
        fx_damage(f, name, at, -1);
        expect_errors(f, 1, name, "batches, 1 seals"); /* the rest is read all the same */
        fx_damage(f, name, at, -1);
    }
    assert_int_equal(fx_ctl(f, "verify"), 0);
}

static void batch_cut(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    fx_name_slot(f, 2, 2, name);
    fx_damage(f, name, 0, 200);
    expect_errors(f, 1, name, "");
}

static void batch_of_another_place(void **state)
{
    struct fx *f = *state;
    char from[FIRN_NAME_MAX], to[FIRN_NAME_MAX];
    struct firn_slice s;
    fx_name_slot(f, 2, 0, from);
    fx_name_slot(f, 2, 1, to);
    assert_true(firn_fake_get(f->w, from, &s));
    firn_fake_put(f->w, to, s.data, s.len);
    expect_errors(f, 1, to, "");
}

/* A batch of epoch 1 is gone while epoch 2 has some: I4 says that cannot be. */
static void batch_missing(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    fx_name_slot(f, 1, 4, name);
    assert_true(firn_fake_delete(f->w, name));
    expect_errors(f, 1, name, "the log has a hole (I4)");
}

static void seal_missing(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    fx_name_slot(f, 1, 6, name);
    assert_true(firn_fake_delete(f->w, name));
    expect_errors(f, 1, name, "the log has a hole (I4)");
}

static void seal_damaged(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    fx_name_slot(f, 1, 6, name);
    fx_damage(f, name, 75, -1);
    expect_errors(f, 1, name, "to 2/3: 5 batches, 0 seals");
}

/* In the newest epoch a batch behind an empty slot may be in flight. */
static void behind_the_end(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    fx_name_slot(f, 2, 1, name);
    assert_true(firn_fake_delete(f->w, name));
    assert_int_equal(fx_ctl(f, "verify"), 0);
    fx_expect(f, "empty, with 1 batches behind it");
    fx_expect(f, name);
}

/* The collector raised kept past the place while verify was reading. */
static void collected_meanwhile(void *arg)
{
    struct fx *f = arg;
    char name[FIRN_NAME_MAX];
    Firn__Manifest *m = fx_manifest(f);
    m->kept->epoch = m->floor->epoch = 2;
    m->kept->slot = m->floor->slot = 1;
    m->l0[0]->end->epoch = 2;
    m->l0[0]->end->slot = 1;
    m->seqno_at_floor = firn_epoch_seqno(2) + 19;
    fx_put_manifest(f, m);
    for (unsigned i = 4; i < 6; i++) {
        fx_name_slot(f, 1, i, name);
        assert_true(firn_fake_delete(f->w, name));
    }
}

static void log_collected(void **state)
{
    struct fx *f = *state;
    /* Between the reply to the GET of the manifest and the GETs of slots. */
    firn_fake_options(f->w)->latency_min_ns = firn_fake_options(f->w)->latency_max_ns =
        10 * FIRN_MS;
    firn_fake_at(f->w, 10 * FIRN_MS + 1, collected_meanwhile, f);
    assert_int_equal(fx_ctl(f, "verify"), 0);
    fx_expect(f, "the log was read again from a newer floor");
}

/* A table that compaction replaced while verify ran is no damage. */
static void replaced_meanwhile(void *arg)
{
    struct fx *f = arg;
    char name[FIRN_NAME_MAX];
    Firn__Manifest *m = fx_manifest(f);
    Firn__Table *t = firn_pb_remove((void **)m->l0, &m->n_l0, 1);
    firn_pb_table_free(t);
    m->l0_start->slot = 2;
    fx_put_manifest(f, m);
    fx_name_table(f, 0, name);
    assert_true(firn_fake_delete(f->w, name));
}

static void table_collected(void **state)
{
    struct fx *f = *state;
    firn_fake_options(f->w)->latency_min_ns = firn_fake_options(f->w)->latency_max_ns =
        10 * FIRN_MS;
    firn_fake_at(f->w, 10 * FIRN_MS + 1, replaced_meanwhile, f);
    assert_int_equal(fx_ctl(f, "verify"), 0);
    fx_expect(f, "replaced and collected while this ran");
}

/* A checkpoint keeps tables visible: they are checked, too. */
static void checkpoint(void **state)
{
    struct fx *f = *state;
    char copy[FIRN_NAME_MAX], name[FIRN_NAME_MAX];
    struct firn_checkpoint_intent it = {.base.done = fx_committed, .base.arg = f};
    it.add = (struct firn_checkpoint_add){.id = "nightly"};
    firn_manifest_checkpoint_commit(f->mnode, &it);
    fx_wait(f);
    Firn__Manifest *m = fx_manifest(f);
    struct firn_id nonce = firn_pb_id(&m->checkpoints[0]->nonce);
    firn_name_manifest_log(copy, m->checkpoints[0]->version, &nonce);
    /* The live state drops the older table; the checkpoint still names it. */
    firn_pb_table_free(firn_pb_remove((void **)m->l0, &m->n_l0, 1));
    m->l0_start->slot = 2;
    fx_put_manifest(f, m);
    assert_int_equal(fx_ctl(f, "verify"), 0);
    fx_name_table(f, 0, name);
    assert_true(firn_fake_delete(f->w, name));
    expect_errors(f, 1, name, "missing, but checkpoint nightly names it");
    assert_true(firn_fake_delete(f->w, copy));
    expect_errors(f, 1, copy, "checkpoint nightly names it");
}

/* What else lies there is information. */
static void strangers(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    struct firn_table_name orphan = {FIRN_ROLE_WRITER, 1, 77};
    struct firn_table_name pending = {FIRN_ROLE_WRITER, 2, 5};
    firn_name_table(name, firn_id_short(&f->db), &orphan);
    firn_fake_put(f->w, name, "x", 1);
    firn_name_table(name, firn_id_short(&f->db), &pending);
    firn_fake_put(f->w, name, "x", 1);
    firn_fake_put(f->w, "notes.txt", "x", 1);
    firn_fake_put(f->w, "sst/00000000/w00000001-000000000000", "x", 1);
    assert_int_equal(fx_ctl(f, "verify"), 0);
    fx_expect(f, "info: 1 tables are orphans");
    fx_expect(f, "info: 1 tables are not named (yet)");
    fx_expect(f, "info: 1 objects of another database id");
    fx_expect(f, "info: 1 objects whose names are not Firn's");
}

/* A store that fails now and then does not make damage. */
static void flaky_store(void **state)
{
    struct fx *f = *state;
    struct firn_fake_options *o = firn_fake_options(f->w);
    o->faults = (struct firn_fake_faults){.lost_before = 50000,
                                          .err_500 = 50000,
                                          .err_503 = 50000,
                                          .short_read = 30000,
                                          .slow = 20000};
    assert_int_equal(fx_ctl(f, "verify"), 0);
    o->faults = (struct firn_fake_faults){0};
}

/* Out of memory at any point: an error or a finished run, never a crash or a leak. */
static void short_memory(void **state)
{
    struct fx *f = *state;
    for (uint64_t n = 1; n < 400; n += n < 60 ? 1 : 17) {
        struct firn_ctl_args a;
        char word[] = "verify", *argv[] = {word};
        struct firn_ctl *c = NULL;
        struct firn_ctl_user u = {.out = fx_out, .say = fx_say, .ended = fx_ended, .arg = f};
        assert_int_equal(firn_ctl_parse(1, argv, &a, NULL), FIRN_OK);
        f->ended = false;
        f->out.len = f->said.len = 0;
        /* room first, so that the test itself needs none */
        assert_int_equal(firn_buf_reserve(&f->out, 1 << 20), FIRN_OK);
        assert_int_equal(firn_buf_reserve(&f->said, 1 << 16), FIRN_OK);
        (void)firn_mem_fail_at(n, 0);
        if (firn_ctl_create(f->env, f->store, &f->settings, &a, &u, &c) == FIRN_OK) {
            firn_ctl_start(c);
            assert_true(firn_fake_run_until(f->w, fx_has_ended, f, 3600 * FIRN_SEC));
        }
        (void)firn_mem_fail_at(0, 0);
        firn_ctl_free(c);
    }
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(whole),          T(no_database),      T(manifest_bits),
        T(l0_gap),         T(partition_gap),    T(table_missing),
        T(table_cut),      T(table_header),     T(table_footer),
        T(table_metadata), T(table_partitions), T(table_blocks),
        T(table_counts),   T(table_bounds),     T(table_swapped),
        T(batch_bits),     T(batch_cut),        T(batch_of_another_place),
        T(batch_missing),  T(seal_missing),     T(seal_damaged),
        T(behind_the_end), T(log_collected),    T(table_collected),
        T(checkpoint),     T(strangers),        T(flaky_store),
        T(short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
