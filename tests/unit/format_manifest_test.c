/* The manifest's codec: round trips, unknown fields, damage, bounds. */
#include "manifest_sample.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_manifest_round_trips(void **state)
{
    (void)state;
    Firn__Manifest *m = sample_manifest(true), *copy = NULL;
    struct firn_buf a, b;
    for (int compress = 0; compress < 2; compress++) {
        firn_buf_init(&a, 1 << 20);
        firn_buf_init(&b, 1 << 20);
        assert_int_equal(firn_manifest_encode(m, compress, &a), FIRN_OK);
        assert_int_equal(firn_manifest_decode(firn_buf_slice(&a), &copy, NULL), FIRN_OK);
        assert_int_equal(firn_manifest_encode(copy, compress, &b), FIRN_OK);
        assert_true(firn_slice_eq(firn_buf_slice(&a), firn_buf_slice(&b)));
        assert_string_equal(copy->writer->address, "10.0.0.1:6379");
        assert_int_equal(copy->partitions[0]->runs[0]->tables[1]->number, 6);
        firn_pb_manifest_free(copy);
        firn_buf_clear(&a);
        firn_buf_clear(&b);
    }
    firn_pb_manifest_free(m);
}

static void unknown_fields_survive_edits_at_every_level(void **state)
{
    (void)state;
    Firn__Manifest *m = sample_manifest(true);
    sample_visit(&m->base, sample_add_unknown, NULL);
    Firn__Manifest *read = sample_through_bytes(m);
    read->version++;
    SAMPLE_OK(firn_pb_set_string(&read->writer->address, "elsewhere:1"));
    SAMPLE_OK(firn_pb_set_place(&read->floor, (struct firn_place){2, 30}));
    SAMPLE_OK(firn_pb_set_bytes(&read->l0[0]->upper, firn_slice_str("\x10zz")));
    Firn__Manifest *dup = firn_pb_manifest_dup(read);
    Firn__Manifest *again = sample_through_bytes(dup);
    struct sample_count c = {0, 0};
    sample_visit(&again->base, sample_count_unknown, &c);
    assert_int_equal(c.messages, 30);
    assert_int_equal(c.with_unknown, c.messages);
    /* Each kind of message was among them. */
    assert_true(again->n_features_to_read && again->n_adopted && again->n_checkpoints &&
                again->n_garbage && again->dialect && again->settings);
    firn_pb_manifest_free(again);
    firn_pb_manifest_free(dup);
    firn_pb_manifest_free(read);
    firn_pb_manifest_free(m);
}

static void every_flipped_bit_is_found(void **state)
{
    (void)state;
    Firn__Manifest *m = sample_manifest(false), *out = NULL;
    struct firn_buf b;
    firn_buf_init(&b, 1 << 20);
    assert_int_equal(firn_manifest_encode(m, true, &b), FIRN_OK);
    for (size_t i = 0; i < b.len * 8; i++) {
        struct firn_err err = {""};
        b.data[i / 8] ^= (uint8_t)(1 << (i % 8));
        assert_int_not_equal(firn_manifest_decode(firn_buf_slice(&b), &out, &err), FIRN_OK);
        assert_true(err.text[0] && !out);
        b.data[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    for (size_t n = 0; n < b.len; n++)
        assert_int_not_equal(firn_manifest_decode(firn_slice_of(b.data, n), &out, NULL), FIRN_OK);
    b.data[6] = 2;
    assert_int_equal(firn_manifest_decode(firn_buf_slice(&b), &out, NULL), FIRN_INVALID);
    firn_buf_clear(&b);
    firn_pb_manifest_free(m);
}

/* Wrap any bytes in a right header. */
static enum firn_status decode_message(struct firn_slice raw, struct firn_err *err)
{
    uint8_t *p = calloc(1, FIRN_MANIFEST_HEADER_BYTES + raw.len);
    Firn__Manifest *m = NULL;
    memcpy(p, "FIRN\x03\0\x01\0", 8);
    firn_put_le32(p + 12, (uint32_t)raw.len);
    firn_put_le32(p + 16, (uint32_t)raw.len);
    firn_put_le64(p + 24, firn_xxh3_seed(raw.data, raw.len, firn_xxh3(p, 24)));
    memcpy(p + FIRN_MANIFEST_HEADER_BYTES, raw.data, raw.len);
    enum firn_status st =
        firn_manifest_decode(firn_slice_of(p, FIRN_MANIFEST_HEADER_BYTES + raw.len), &m, err);
    firn_pb_manifest_free(m);
    free(p);
    return st;
}

static void memory_of_a_hostile_message_is_bounded(void **state)
{
    (void)state;
    /* Empty tables in L0: 3 bytes each on the wire, some 300 in memory. */
    size_t n = 6 << 20;
    uint8_t *raw = malloc(n);
    for (size_t i = 0; i + 3 <= n; i += 3)
        memcpy(raw + i, "\x92\x01\x00", 3);
    struct firn_err err = {""};
    assert_int_equal(decode_message(firn_slice_of(raw, n), &err), FIRN_LIMIT);
    free(raw);
    assert_int_equal(decode_message(firn_slice_str("no protobuf"), NULL), FIRN_CORRUPT);
    assert_int_equal(decode_message(firn_slice_str(""), NULL), FIRN_CORRUPT);
}

static void shape_is_checked(void **state)
{
    (void)state;
    for (int i = 0; i < 13; i++) {
        Firn__Manifest *m = sample_manifest(false);
        switch (i) {
        case 0:
            m->database_id.len = 15;
            break;
        case 1:
            m->writer->process_nonce.len = 3;
            break;
        case 2:
            m->floor->epoch = FIRN_EPOCH_MAX + 1;
            break;
        case 3:
            m->l0[0]->role = (Firn__TableRole)7;
            break;
        case 4:
            m->l0[0]->number = FIRN_TABLE_NUMBER_MAX + 1;
            break;
        case 5:
            m->l0[0]->head_length = m->l0[0]->size;
            break;
        case 6:
            m->l0[0]->lower.data[1] = 0x7f;
            break;
        case 7:
            SAMPLE_OK(firn_pb_set_string(&m->checkpoints[0]->id, "a/b"));
            break;
        case 8:
            m->version = FIRN_VERSION_MAX + 1;
            break;
        case 9:
            m->l0_start->slot = FIRN_SLOT_MAX + 1;
            break;
        case 10:
            m->state = (Firn__DatabaseState)5;
            break;
        case 11:
            m->partitions[0]->runs[0]->tables[0]->epoch = UINT64_MAX;
            break;
        default:
            m->garbage[0]->role = FIRN__TABLE_ROLE__NOBODY;
            break;
        }
        struct firn_buf b;
        struct firn_err err = {""};
        Firn__Manifest *out = NULL;
        firn_buf_init(&b, 1 << 20);
        assert_int_equal(firn_manifest_encode(m, true, &b), FIRN_OK);
        assert_int_equal(firn_manifest_decode(firn_buf_slice(&b), &out, &err), FIRN_CORRUPT);
        assert_null(out);
        firn_buf_clear(&b);
        firn_pb_manifest_free(m);
    }
}

static void short_memory_leaks_nothing(void **state)
{
    (void)state;
    Firn__Manifest *m = sample_manifest(true);
    struct firn_buf b;
    firn_buf_init(&b, 1 << 20);
    assert_int_equal(firn_manifest_encode(m, true, &b), FIRN_OK);
    for (uint64_t n = 1;; n++) {
        Firn__Manifest *out = NULL;
        (void)firn_mem_fail_at(n, 0);
        enum firn_status st = firn_manifest_decode(firn_buf_slice(&b), &out, NULL);
        uint64_t made = firn_mem_fail_at(0, 0);
        assert_true(st == FIRN_OK || (st == FIRN_LIMIT && !out));
        firn_pb_manifest_free(out);
        if (made < n)
            break;
    }
    for (uint64_t n = 1;; n++) {
        (void)firn_mem_fail_at(n, 0);
        Firn__Manifest *copy = firn_pb_manifest_dup(m);
        uint64_t made = firn_mem_fail_at(0, 0);
        firn_pb_manifest_free(copy);
        if (made < n)
            break;
    }
    firn_buf_clear(&b);
    firn_pb_manifest_free(m);
}

static void clips_cut_bounds(void **state)
{
    (void)state;
    Firn__Table *t = sample_table(FIRN_ROLE_WRITER, 1, 1, "c", "k");
    assert_true(firn_slice_eq(firn_table_lower(t), firn_slice_str("\x10"
                                                                  "c")));
    SAMPLE_OK(firn_pb_set_bytes(&t->clip_lower, firn_slice_str("\x10"
                                                               "a")));
    SAMPLE_OK(firn_pb_set_bytes(&t->clip_upper, firn_slice_str("\x10"
                                                               "z")));
    assert_true(firn_slice_eq(firn_table_lower(t), firn_slice_str("\x10"
                                                                  "c")));
    assert_true(firn_slice_eq(firn_table_upper(t), firn_slice_str("\x10k")));
    SAMPLE_OK(firn_pb_set_bytes(&t->clip_lower, firn_slice_str("\x10"
                                                               "d")));
    SAMPLE_OK(firn_pb_set_bytes(&t->clip_upper, firn_slice_str("\x10"
                                                               "e")));
    assert_true(firn_slice_eq(firn_table_lower(t), firn_slice_str("\x10"
                                                                  "d")));
    assert_true(firn_slice_eq(firn_table_upper(t), firn_slice_str("\x10"
                                                                  "e")));
    firn_pb_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_round_trips),
        cmocka_unit_test(unknown_fields_survive_edits_at_every_level),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(memory_of_a_hostile_message_is_bounded),
        cmocka_unit_test(shape_is_checked),
        cmocka_unit_test(short_memory_leaks_nothing),
        cmocka_unit_test(clips_cut_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
