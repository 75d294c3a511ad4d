/* Today's code reads every format ever released, and writes today's byte for byte. The files of a
 * format are written once, when it is released: FIRN_GOLDEN_WRITE=1 writes those that are missing.
 * What a compression library makes of the same bytes may differ from version to version, so
 * compressed files are only read. */
#include "manifest_sample.h"

#include "format/batch.h"
#include "format/record.h"
#include "format/seal.h"
#include "format/token.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FOLDER "tests/golden/"

static struct firn_buf load(const char *name)
{
    char path[128];
    struct firn_buf b;
    uint8_t chunk[4096];
    size_t n;
    (void)snprintf(path, sizeof path, FOLDER "%s", name);
    firn_buf_init(&b, 1 << 20);
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("%s is missing", path);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        SAMPLE_OK(firn_buf_append(&b, chunk, n));
    (void)fclose(f);
    return b;
}

static void write_if_missing(const char *name, struct firn_slice bytes)
{
    char path[128];
    (void)snprintf(path, sizeof path, FOLDER "%s", name);
    if (!getenv("FIRN_GOLDEN_WRITE"))
        return;
    FILE *f = fopen(path, "wbx");
    if (!f)
        return;
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, f), bytes.len);
    (void)fclose(f);
}

static void assert_golden(const char *name, struct firn_slice bytes)
{
    write_if_missing(name, bytes);
    struct firn_buf b = load(name);
    if (!firn_slice_eq(firn_buf_slice(&b), bytes))
        fail_msg("%s differs from what is written today", name);
    firn_buf_clear(&b);
}

/* ---- the fixed inputs */

static const struct firn_id nonce = {{0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
static const struct firn_id process = {{0xb0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
static const struct firn_place place = {3, 1234};
#define RECORDS 10

static void append_records(struct firn_buf *b)
{
    struct firn_slice k = firn_slice_str("\x10user:1"),
                      text = firn_slice_str("value value value value value");
    const struct firn_record r[RECORDS] = {
        {.kind = FIRN_RECORD_PUT, .event = 1, .key = k, .value = text},
        {.kind = FIRN_RECORD_PUT,
         .event = 14,
         .flags = 1,
         .expiry_ms = 1800000000123,
         .key = k,
         .value = text},
        {.kind = FIRN_RECORD_GROUP_BEGIN},
        {.kind = FIRN_RECORD_DEL, .event = 6, .key = k},
        {.kind = FIRN_RECORD_RANGEDEL,
         .key = firn_slice_str("\x10"),
         .end_key = firn_slice_str("\x20")},
        {.kind = FIRN_RECORD_DEDUP,
         .flags = 1,
         .expiry_ms = 5,
         .key = firn_slice_of("\0req-1", 6),
         .value = text},
        {.kind = FIRN_RECORD_GROUP_END},
        {.kind = FIRN_RECORD_PUBLISH, .event = 32, .key = firn_slice_str("news"), .value = text},
        {.kind = FIRN_RECORD_EXPIRED, .event = 8, .key = k, .value_seqno = 3298534883330},
        {.kind = 0x81, .event = 7, .flags = 9, .value = firn_slice_str("of a later version")}};
    for (int i = 0; i < RECORDS; i++)
        SAMPLE_OK(firn_record_append(b, &r[i]));
}

static void make_batch(struct firn_buf *out, enum firn_codec codec)
{
    struct firn_buf raw;
    struct firn_batch_header h = {.db = sample_db,
                                  .format = 1,
                                  .place = place,
                                  .nonce = nonce,
                                  .process_nonce = process,
                                  .first_seqno = firn_epoch_seqno(3) + 7,
                                  .log_time_ms = 1700000000000,
                                  .count = RECORDS};
    firn_buf_init(&raw, 1 << 16);
    firn_buf_init(out, 1 << 16);
    append_records(&raw);
    SAMPLE_OK(firn_batch_encode(&h, firn_buf_slice(&raw), codec, out));
    firn_buf_clear(&raw);
}

/* ---- */

static void batches(void **state)
{
    (void)state;
    static const char *const name[] = {"batch-1-raw.bin", "batch-1-lz4.bin", "batch-1-zstd.bin"};
    struct firn_buf want;
    firn_buf_init(&want, 1 << 16);
    append_records(&want);
    for (int codec = 0; codec < 3; codec++) {
        struct firn_buf now, raw;
        struct firn_batch_header h;
        make_batch(&now, (enum firn_codec)codec);
        if (codec == FIRN_CODEC_NONE)
            assert_golden(name[codec], firn_buf_slice(&now));
        else
            write_if_missing(name[codec], firn_buf_slice(&now));
        firn_buf_clear(&now);
        now = load(name[codec]);
        firn_buf_init(&raw, 1 << 16);
        assert_int_equal(
            firn_batch_decode(firn_buf_slice(&now), &sample_db, place, 1 << 16, &h, &raw, NULL),
            FIRN_OK);
        assert_int_equal(h.codec, codec);
        assert_true(h.count == RECORDS && h.first_seqno == firn_epoch_seqno(3) + 7 &&
                    h.log_time_ms == 1700000000000);
        assert_true(firn_slice_eq(firn_buf_slice(&raw), firn_buf_slice(&want)));
        firn_buf_clear(&now);
        firn_buf_clear(&raw);
    }
    firn_buf_clear(&want);
}

static void seals(void **state)
{
    (void)state;
    struct firn_seal s = {.db = sample_db,
                          .place = place,
                          .nonce = nonce,
                          .process_nonce = process,
                          .sealer_epoch = 5},
                     back;
    uint8_t b[FIRN_SEAL_BYTES];
    firn_seal_encode(&s, b);
    assert_golden("seal-1.bin", firn_slice_of(b, sizeof b));
    struct firn_buf file = load("seal-1.bin");
    assert_int_equal(firn_seal_decode(firn_buf_slice(&file), &sample_db, place, &back, NULL),
                     FIRN_OK);
    assert_true(back.sealer_epoch == 5 && firn_id_eq(&back.process_nonce, &process));
    firn_buf_clear(&file);
}

static void manifests(void **state)
{
    (void)state;
    Firn__Manifest *m = sample_manifest(true);
    struct firn_buf now, again;
    firn_buf_init(&now, 1 << 16);
    SAMPLE_OK(firn_manifest_encode(m, false, &now));
    assert_golden("manifest-1-raw.bin", firn_buf_slice(&now));
    firn_buf_init(&again, 1 << 16);
    SAMPLE_OK(firn_manifest_encode(m, true, &again));
    write_if_missing("manifest-1-zstd.bin", firn_buf_slice(&again));
    firn_buf_clear(&again);
    firn_pb_manifest_free(m);

    struct firn_buf file = load("manifest-1-zstd.bin");
    m = NULL;
    assert_int_equal(firn_manifest_decode(firn_buf_slice(&file), &m, NULL), FIRN_OK);
    SAMPLE_OK(firn_manifest_encode(m, false, &again));
    assert_true(firn_slice_eq(firn_buf_slice(&again), firn_buf_slice(&now)));
    firn_pb_manifest_free(m);
    firn_buf_clear(&file);
    firn_buf_clear(&again);
    firn_buf_clear(&now);
}

static void names_and_tokens(void **state)
{
    (void)state;
    char text[FIRN_NAME_MAX];
    struct firn_buf b;
    struct firn_table_name w = {FIRN_ROLE_WRITER, 3, 17}, c = {FIRN_ROLE_COMPACTOR, 12, 345};
    struct firn_token t = {firn_id_short(&sample_db), place, firn_epoch_seqno(3) + 8};
    uint32_t db = firn_id_short(&sample_db);
    firn_buf_init(&b, 4096);
    firn_name_slot(text, db, place);
    SAMPLE_OK(firn_buf_printf(&b, "%s\n", text));
    firn_name_table(text, db, &w);
    SAMPLE_OK(firn_buf_printf(&b, "%s\n", text));
    firn_name_table(text, db, &c);
    SAMPLE_OK(firn_buf_printf(&b, "%s\n", text));
    firn_name_manifest_log(text, 42, &nonce);
    SAMPLE_OK(firn_buf_printf(&b, "%s\n", text));
    (void)firn_token_format(&t, text);
    SAMPLE_OK(firn_buf_printf(&b, "%s\n", text));
    assert_golden("names-1.txt", firn_buf_slice(&b));
    assert_int_equal(firn_token_parse(firn_slice_str(text), &t), FIRN_OK);
    firn_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches),
        cmocka_unit_test(seals),
        cmocka_unit_test(manifests),
        cmocka_unit_test(names_and_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
