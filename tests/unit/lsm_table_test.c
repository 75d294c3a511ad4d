/* What a reference in the manifest may say of a table's partitions, and what head and partitions
 * must say in turn. Round trips and damage are in prop/lsm_table_model_test.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "lsm/table_build.h"

#include <stdio.h>

struct fix {
    struct firn_table_object o;
    Firn__Table *ref; /* a copy to spoil */
};

static struct firn_slice S(const char *s) {
    return firn_slice_str(s);
}

/* A table of 60 keys in blocks of about two, its metadata in partitions of about two blocks. */
static void
open(struct fix *f)
{
    struct firn_table_options o = {.db = {{1}},
                                   .name = {FIRN_ROLE_WRITER, 1, 7},
                                   .block_bytes = 64,
                                   .filter_bits = 10,
                                   .part_bytes = 60};
    struct firn_table_builder *b;
    assert_int_equal(firn_table_builder_create(&o, &b), FIRN_OK);
    for (unsigned i = 0; i < 60; i++) {
        char key[16];
        int n = snprintf(key, sizeof key, "\x10key:%03u", i);
        struct firn_entry e = {firn_slice_of(key, (size_t)n), S("a value of some length"), 1 + i, 0,
                               FIRN_RECORD_PUT};
        assert_int_equal(firn_table_builder_add(b, &e, firn_xxh3(key, (size_t)n)), FIRN_OK);
    }
    struct firn_range_tomb t = {S("\x10key:010"), S("\x10key:020"), 5};
    assert_int_equal(firn_table_builder_add_tomb(b, &t), FIRN_OK);
    assert_int_equal(firn_table_builder_finish(b, &f->o), FIRN_OK);
    firn_table_builder_free(b);
    assert_true(f->o.ref->n_part_lengths > 8);
    f->ref = firn_pb_table_dup(f->o.ref);
    assert_non_null(f->ref);
}

static void close(struct fix *f)
{
    firn_pb_table_free(f->ref);
    firn_table_object_clear(&f->o);
}

static void expect(const Firn__Table *t, const char *why)
{
    struct firn_table_parts p = {0};
    struct firn_err err = {""};
    assert_int_equal(firn_table_parts_of(t, &p, &err), FIRN_CORRUPT);
    assert_null(p.room);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void a_reference_is_checked(void **state)
{
    (void)state;
    struct fix f;
    open(&f);
    Firn__Table *t = f.ref;
    struct firn_table_parts p;
    struct firn_err err = {""};
    assert_int_equal(firn_table_parts_of(t, &p, &err), FIRN_OK);
    assert_true(firn_table_parts_match(&p, t));
    size_t n = t->n_part_lengths;

    t->n_part_lengths--;
    expect(t, "number of separators");
    assert_false(firn_table_parts_match(&p, t));
    t->n_part_lengths = 0;
    expect(t, "entries without partitions");
    t->n_part_lengths = n;
    t->entries = 0;
    expect(t, "partitions without entries");
    t->entries = 60;
    t->part_lengths[3] += 1u << 20;
    expect(t, "place of the partitions");
    t->part_lengths[3] = 20;
    expect(t, "length of a partition");
    assert_false(firn_table_parts_match(&p, t));
    t->part_lengths[3] = f.o.ref->part_lengths[3];
    t->part_separator_lengths[2]++;
    expect(t, "separators of partitions");
    t->part_separator_lengths[2] = FIRN_BOUND_MAX + 1;
    expect(t, "length of a separator");
    t->part_separator_lengths[2] = f.o.ref->part_separator_lengths[2];
    t->part_separators.data[0] = 0x1f;
    expect(t, "order of the separators");
    assert_false(firn_table_parts_match(&p, t));
    t->part_separators.data[0] = 0x10;
    assert_int_equal(firn_pb_set_bytes(&t->lower, S("\x10key:030")), FIRN_OK);
    expect(t, "bounds");
    assert_int_equal(firn_pb_set_bytes(&t->lower, S("\x10")), FIRN_OK);
    assert_int_equal(firn_pb_set_bytes(&t->upper, S("\x10key:030")), FIRN_OK);
    expect(t, "bounds");
    t->head_offset++;
    expect(t, "place of the head");
    t->head_length--;
    assert_false(firn_table_parts_match(&p, t));
    t->table_id = 0;
    expect(t, "no table id");
    firn_table_parts_clear(&p);
    close(&f);
}

static void too_many_partitions_are_refused(void **state)
{
    (void)state;
    uint32_t length[FIRN_TABLE_PARTS_MAX + 1], sep_length[FIRN_TABLE_PARTS_MAX];
    uint8_t sep[FIRN_TABLE_PARTS_MAX], bounds[2] = {0, FIRN_NS_DB_END};
    for (unsigned i = 0; i <= FIRN_TABLE_PARTS_MAX; i++)
        length[i] = 200;
    for (unsigned i = 0; i < FIRN_TABLE_PARTS_MAX; i++) {
        sep_length[i] = 1;
        sep[i] = (uint8_t)(1 + i);
    }
    Firn__Table t = FIRN__TABLE__INIT;
    t.table_id = t.entries = 1;
    t.head_offset = 1 << 20;
    t.head_length = 100;
    t.size = t.head_offset + 100 + FIRN_TABLE_FOOTER_BYTES;
    t.n_part_lengths = FIRN_TABLE_PARTS_MAX;
    t.part_lengths = length;
    t.n_part_separator_lengths = FIRN_TABLE_PARTS_MAX - 1;
    t.part_separator_lengths = sep_length;
    t.part_separators = (ProtobufCBinaryData){FIRN_TABLE_PARTS_MAX - 1, sep};
    t.lower = (ProtobufCBinaryData){1, bounds};
    bounds[1] = 0xff;
    t.upper = (ProtobufCBinaryData){1, bounds + 1};
    struct firn_table_parts p;
    assert_int_equal(firn_table_parts_of(&t, &p, NULL), FIRN_OK);
    uint32_t first, end;
    assert_true(firn_table_parts_range(&p, S("\x05"), S("\x09"), &first, &end));
    assert_true(first == 5 && end == 9);
    assert_true(firn_table_parts_range(&p, S("\x05"), S("\x09\x01"), &first, &end));
    assert_true(first == 5 && end == 10);
    assert_true(firn_table_parts_range(&p, S(""), S(""), &first, &end));
    assert_true(first == 0 && end == FIRN_TABLE_PARTS_MAX);
    firn_table_parts_clear(&p);
    t.n_part_lengths++;
    t.n_part_separator_lengths++;
    t.part_separators.len++;
    expect(&t, "too many partitions");
}

/* Right bytes for another place, or beside separators that are not theirs. */
static void a_partition_is_bound_to_its_place(void **state)
{
    (void)state;
    struct fix f;
    struct firn_table_parts p;
    struct firn_table_part *part = NULL;
    struct firn_err err = {""};
    open(&f);
    assert_int_equal(firn_table_parts_of(f.ref, &p, NULL), FIRN_OK);
    uint64_t id = f.ref->table_id;
    struct firn_slice one =
        firn_slice_of(f.o.bytes.data + p.offset[2], firn_table_parts_bytes(&p, 2, 3));
    assert_int_equal(firn_table_part_decode(one, id, &p, 2, &part, NULL), FIRN_OK);
    assert_true(part->filter.lines > 0 && part->sep.count > 0);
    firn_table_part_free(part);
    part = NULL;
    assert_int_equal(firn_table_part_decode(one, id + 1, &p, 2, &part, &err), FIRN_CORRUPT);
    assert_int_equal(firn_table_part_decode(one, id, &p, 1, &part, NULL), FIRN_CORRUPT);
    firn_table_parts_clear(&p);

    /* the manifest's separators are others: the blocks' lie outside */
    size_t at = f.ref->part_separator_lengths[0] + f.ref->part_separator_lengths[1];
    size_t len = f.ref->part_separator_lengths[2]; /* of partition 3 */
    f.ref->part_separators.data[at + len - 1]--;
    assert_int_equal(firn_table_parts_of(f.ref, &p, NULL), FIRN_OK);
    enum firn_status lower = firn_table_part_decode(one, id, &p, 2, &part, &err);
    if (lower == FIRN_OK) { /* a partition of one block has no separator to tell by … */
        firn_table_part_free(part);
        part = NULL;
    }
    struct firn_table_loc loc = firn_table_loc_of(f.ref);
    struct firn_table_head *head = NULL;
    struct firn_slice bytes = firn_slice_of(f.o.bytes.data + loc.head_offset, loc.head_length);
    assert_int_equal(firn_table_head_decode(bytes, &loc, &head, NULL), FIRN_OK);
    assert_false(firn_table_parts_same(&head->parts, &p)); /* … but the head tells */
    firn_table_head_free(head);
    firn_table_parts_clear(&p);
    close(&f);
}

/* Separators may not be cut: where keys differ late there is one partition. */
static void partitions_begin_where_a_separator_is_short(void **state)
{
    (void)state;
    for (unsigned pad = 30; pad <= 90; pad += 60) {
        struct firn_table_options o = {.name = {FIRN_ROLE_WRITER, 1, 7},
                                       .block_bytes = 64,
                                       .filter_bits = 10,
                                       .part_bytes = 1};
        struct firn_table_builder *b;
        struct firn_table_object out;
        assert_int_equal(firn_table_builder_create(&o, &b), FIRN_OK);
        for (unsigned i = 0; i < 500; i++) {
            char key[128];
            int n = snprintf(key, sizeof key, "\x10%0*u:%03u", (int)pad, 0u, i);
            struct firn_entry e = {firn_slice_of(key, (size_t)n), S("v"), 1, 0, FIRN_RECORD_PUT};
            assert_int_equal(firn_table_builder_add(b, &e, i), FIRN_OK);
        }
        assert_int_equal(firn_table_builder_finish(b, &out), FIRN_OK);
        if (pad > FIRN_BOUND_MAX)
            assert_int_equal(out.ref->n_part_lengths, 1);
        else
            assert_true(out.ref->n_part_lengths > 40 &&
                        out.ref->n_part_lengths <= FIRN_TABLE_PARTS_MAX);
        firn_table_builder_free(b);
        firn_table_object_clear(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reference_is_checked),
        cmocka_unit_test(too_many_partitions_are_refused),
        cmocka_unit_test(a_partition_is_bound_to_its_place),
        cmocka_unit_test(partitions_begin_where_a_separator_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
