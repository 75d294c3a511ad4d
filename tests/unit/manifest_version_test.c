/* What programs one format apart make of each other's objects. This program is of the next format:
 * it defines the newest number itself, and the room's is not linked. */
#include "format/version.h"

#include "manifest_sample.h"

#include "format/batch.h"
#include "format/beat.h"
#include "format/pin.h"
#include "format/record.h"
#include "format/seal.h"
#include "format/table.h"
#include "manifest/check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NEXT 2

const uint16_t firn_format_newest = NEXT;

static void assert_from_the_future(enum firn_status s, const struct firn_err *err)
{
    assert_int_equal(s, FIRN_INVALID);
    assert_non_null(strstr(err->text, "use a newer version of Firn"));
}

static void batches(void **state)
{
    (void)state;
    struct firn_batch_header h = {.db = sample_db, .place = {1, 2}, .count = 1}, got;
    h.first_seqno = firn_epoch_seqno(1);
    struct firn_buf raw, object, out;
    firn_buf_init(&raw, 1 << 10);
    firn_buf_init(&object, 1 << 10);
    firn_buf_init(&out, 1 << 10);
    struct firn_record r = {
        .kind = FIRN_RECORD_PUT, .key = firn_slice_str("\x10k"), .value = firn_slice_str("v")};
    assert_int_equal(firn_record_append(&raw, &r), FIRN_OK);
    for (h.format = 1; h.format <= NEXT; h.format++) {
        object.len = 0;
        assert_int_equal(firn_batch_encode(&h, firn_buf_slice(&raw), FIRN_CODEC_NONE, &object),
                         FIRN_OK);
        assert_int_equal(firn_batch_decode(firn_buf_slice(&object), &sample_db, h.place, 1 << 10,
                                           &got, &out, NULL),
                         FIRN_OK);
        assert_int_equal(got.format, h.format);
    }
    object.data[6] = NEXT + 1;
    struct firn_err err = {""};
    assert_from_the_future(
        firn_batch_peek(firn_buf_slice(&object), &sample_db, h.place, &got, &err), &err);
    firn_buf_clear(&raw);
    firn_buf_clear(&object);
    firn_buf_clear(&out);
}

static void pins_and_beats(void **state)
{
    (void)state;
    for (uint16_t format = 1; format <= NEXT; format++) {
        uint8_t p[FIRN_PIN_BYTES], b[FIRN_BEAT_BYTES];
        struct firn_pin pin = {.db = sample_db, .version = 3, .format = format}, pin_got;
        struct firn_beat beat = {.db = sample_db, .count = 3, .format = format}, beat_got;
        firn_pin_encode(&pin, p);
        firn_beat_encode(&beat, b);
        assert_int_equal(firn_pin_decode(firn_slice_of(p, sizeof p), &sample_db, &pin_got, NULL),
                         FIRN_OK);
        assert_int_equal(firn_beat_decode(firn_slice_of(b, sizeof b), &sample_db, &beat_got, NULL),
                         FIRN_OK);
        assert_int_equal(pin_got.format, format);
        assert_int_equal(beat_got.format, format);
        struct firn_err err = {""};
        p[6] = b[6] = NEXT + 1;
        assert_from_the_future(
            firn_pin_decode(firn_slice_of(p, sizeof p), &sample_db, &pin_got, &err), &err);
        err.text[0] = '\0';
        assert_from_the_future(
            firn_beat_decode(firn_slice_of(b, sizeof b), &sample_db, &beat_got, &err), &err);
    }
}

/* A program that cannot read a seal could not tell where an epoch ends. */
static void seals_are_of_format_1_for_ever(void **state)
{
    (void)state;
    struct firn_seal s = {.db = sample_db, .place = {1, 2}, .sealer_epoch = 2}, got;
    uint8_t b[FIRN_SEAL_BYTES];
    firn_seal_encode(&s, b);
    assert_int_equal(b[6], 1);
    assert_int_equal(firn_seal_decode(firn_slice_of(b, sizeof b), &sample_db, s.place, &got, NULL),
                     FIRN_OK);
}

static void tables(void **state)
{
    (void)state;
    struct firn_table_loc loc = {
        .table_id = 7, .size = 1000, .head_offset = 900, .head_length = 52};
    for (uint16_t format = 1; format <= NEXT; format++) {
        struct firn_buf header, footer;
        struct firn_table_loc got;
        struct firn_err err = {""};
        firn_buf_init(&header, 1 << 10);
        firn_buf_init(&footer, 1 << 10);
        assert_int_equal(firn_table_header_encode(7, format, &header), FIRN_OK);
        assert_int_equal(firn_table_footer_encode(&loc, format, &footer), FIRN_OK);
        assert_int_equal(header.data[6], format);
        assert_int_equal(firn_table_header_check(firn_buf_slice(&header), 7, NULL), FIRN_OK);
        assert_int_equal(firn_table_footer_decode(firn_buf_slice(&footer), 1000, &got, NULL),
                         FIRN_OK);
        header.data[6] = NEXT + 1;
        assert_from_the_future(firn_table_header_check(firn_buf_slice(&header), 7, &err), &err);
        firn_buf_clear(&header);
        firn_buf_clear(&footer);
    }
}

/* Through bytes, whose header may be made to say another number (0: as it is). */
static enum firn_status recode(const Firn__Manifest *m, uint8_t header_format, struct firn_err *err)
{
    struct firn_buf b;
    Firn__Manifest *out = NULL;
    firn_buf_init(&b, 1 << 20);
    SAMPLE_OK(firn_manifest_encode(m, true, &b));
    assert_int_equal(b.data[6], m->format);
    if (header_format)
        b.data[6] = header_format;
    enum firn_status s = firn_manifest_decode(firn_buf_slice(&b), &out, err);
    firn_pb_manifest_free(out);
    firn_buf_clear(&b);
    return s;
}

static void manifests(void **state)
{
    (void)state;
    Firn__Manifest *m = sample_manifest(false);
    for (m->format = 1; m->format <= NEXT; m->format++)
        assert_int_equal(recode(m, 0, NULL), FIRN_OK);
    m->format = NEXT;
    struct firn_err err = {""};
    assert_from_the_future(recode(m, NEXT + 1, &err), &err);
    /* Tables of the database's number or a lower one lie side by side; none is above it. */
    m->l0[0]->format = NEXT;
    assert_int_equal(recode(m, 0, NULL), FIRN_OK);
    m->format = 1;
    assert_int_equal(recode(m, 0, NULL), FIRN_CORRUPT);
    m->l0[0]->format = 0;
    assert_int_equal(recode(m, 0, NULL), FIRN_CORRUPT);
    firn_pb_manifest_free(m);
}

static void a_database_never_goes_back_to_an_older_format(void **state)
{
    (void)state;
    Firn__Manifest *a = sample_manifest(false), *b = sample_manifest(false);
    b->version++;
    b->format = NEXT;
    assert_int_equal(firn_manifest_check_step(a, b, NULL), FIRN_OK);
    a->format = NEXT;
    b->format = 1;
    struct firn_err err = {""};
    assert_int_equal(firn_manifest_check_step(a, b, &err), FIRN_CORRUPT);
    assert_non_null(strstr(err.text, "format went back from 2 to 1"));
    firn_pb_manifest_free(a);
    firn_pb_manifest_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches),
        cmocka_unit_test(pins_and_beats),
        cmocka_unit_test(seals_are_of_format_1_for_ever),
        cmocka_unit_test(tables),
        cmocka_unit_test(manifests),
        cmocka_unit_test(a_database_never_goes_back_to_an_older_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
