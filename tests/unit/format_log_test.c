/* Names, records, batches, seals, tokens: contracts and edges. */
#include "base/hash.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "format/batch.h"
#include "format/event.h"
#include "format/key.h"
#include "format/name.h"
#include "format/objheader.h"
#include "format/record.h"
#include "format/beat.h"
#include "format/seal.h"
#include "format/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct firn_slice str(const char *s)
{
    return firn_slice_str(s);
}

static struct firn_slice key_of(const char *user)
{
    static char text[4][64];
    static int at;
    at = (at + 1) % 4;
    int n = snprintf(text[at], sizeof text[at], "\x10%s", user);
    return firn_slice_of(text[at], (size_t)n);
}

static const struct firn_id db = {
    {0xab, 0xcd, 0xef, 0x01, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static const struct firn_id nonce = {{1, 2, 3, 4}};

/* ---- names */

static void names_are_padded_and_parse_back(void **state)
{
    (void)state;
    char text[FIRN_NAME_MAX];
    struct firn_name n;
    firn_name_slot(text, firn_id_short(&db), (struct firn_place){7, 12});
    assert_string_equal(text, "wal/abcdef01/00000007/0000000000012");
    assert_int_equal(firn_name_parse(str(text), &n), FIRN_OK);
    assert_int_equal(n.kind, FIRN_NAME_SLOT);
    assert_int_equal(n.db, 0xabcdef01);
    assert_true(firn_place_eq(n.place, (struct firn_place){7, 12}));

    struct firn_table_name t = {FIRN_ROLE_COMPACTOR, 3, 99};
    firn_name_table(text, firn_id_short(&db), &t);
    assert_string_equal(text, "sst/abcdef01/c00000003-000000000099");
    assert_int_equal(firn_name_parse(str(text), &n), FIRN_OK);
    assert_true(n.kind == FIRN_NAME_TABLE && firn_table_name_eq(&n.table, &t));

    firn_name_manifest_log(text, 42, &nonce);
    assert_string_equal(text, "manifest-log/0000000000000042-01020304000000000000000000000000");
    assert_int_equal(firn_name_parse(str(text), &n), FIRN_OK);
    assert_true(n.kind == FIRN_NAME_MANIFEST_LOG && n.version == 42 &&
                firn_id_eq(&n.nonce, &nonce));

    assert_int_equal(firn_name_id(text, FIRN_NAME_PIN, str("a-B.9_")), FIRN_OK);
    assert_string_equal(text, "pins/a-B.9_");
    assert_int_equal(firn_name_parse(str(text), &n), FIRN_OK);
    assert_true(n.kind == FIRN_NAME_PIN && strcmp(n.id, "a-B.9_") == 0);
    assert_int_equal(firn_name_parse(str("manifest"), &n), FIRN_OK);
    assert_int_equal(n.kind, FIRN_NAME_MANIFEST);
}

static void names_at_their_limits(void **state)
{
    (void)state;
    char text[FIRN_NAME_MAX];
    struct firn_name n;
    firn_name_slot(text, UINT32_MAX, (struct firn_place){FIRN_EPOCH_MAX, FIRN_SLOT_MAX});
    assert_int_equal(firn_name_parse(str(text), &n), FIRN_OK);
    struct firn_table_name t = {FIRN_ROLE_WRITER, FIRN_EPOCH_MAX, FIRN_TABLE_NUMBER_MAX};
    firn_name_table(text, 0, &t);
    assert_int_equal(firn_name_parse(str(text), &n), FIRN_OK);
    firn_name_manifest_log(text, FIRN_VERSION_MAX, &nonce);
    assert_int_equal(firn_name_parse(str(text), &n), FIRN_OK);
    char id[FIRN_NAME_ID_MAX + 2];
    memset(id, 'x', sizeof id);
    assert_int_equal(firn_name_id(text, FIRN_NAME_NODE, firn_slice_of(id, FIRN_NAME_ID_MAX)),
                     FIRN_OK);
    assert_int_equal(firn_name_id(text, FIRN_NAME_NODE, firn_slice_of(id, FIRN_NAME_ID_MAX + 1)),
                     FIRN_INVALID);
    assert_int_equal(firn_name_id(text, FIRN_NAME_SLOT, str("x")), FIRN_INVALID);
}

static void other_names_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "manifest2",
        "manifest-log/",
        "manifest-log/0000000000000042-0102030400000000000000000000000",
        "wal/abcdef01/00000007/000000000001",
        "wal/ABCDEF01/00000007/0000000000012",
        "wal/abcdef01/00000007/00000000000123",
        "wal/abcdef01/99999999/0000000000012",
        "wal/abcdef01/00000007/9999999999999",
        "sst/abcdef01/x00000003-000000000099",
        "sst/abcdef01/c00000003-00000000009 ",
        "pins/",
        "pins/a/b",
        "pins/.hidden",
        "nodes/\xc3\xa4",
        "other",
        "wal/abcdef01/-0000007/0000000000012"};
    struct firn_name n;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(firn_name_parse(str(bad[i]), &n), FIRN_INVALID);
}

/* ---- keys and bounds */

static void bounds_enclose(void **state)
{
    (void)state;
    uint8_t key[100], up[FIRN_BOUND_MAX];
    for (size_t len = 1; len <= sizeof key; len++) {
        memset(key, 0xff, sizeof key);
        key[0] = 0x1f;
        struct firn_slice k = firn_slice_of(key, len);
        size_t n = firn_bound_upper(k, true, up);
        assert_true(n >= 1 && n <= FIRN_BOUND_MAX);
        assert_true(firn_slice_cmp(k, firn_slice_of(up, n)) < 0);
        assert_true(firn_slice_cmp(firn_bound_lower(k), k) <= 0);
        n = firn_bound_upper(k, false, up);
        assert_true(firn_slice_cmp(k, firn_slice_of(up, n)) <= 0);
    }
    /* exact where it fits */
    assert_int_equal(firn_bound_upper(str("\x10"
                                          "a"),
                                      true, up),
                     3);
    assert_memory_equal(up,
                        "\x10"
                        "a\0",
                        3);
    uint8_t end = FIRN_NS_DB_END;
    assert_int_equal(firn_bound_upper(firn_slice_of(&end, 1), false, up), 1);
    assert_int_equal(up[0], FIRN_NS_DB_END);
}

/* ---- records */

static void put(struct firn_buf *b, struct firn_record r)
{
    size_t before = b->len;
    assert_int_equal(firn_record_append(b, &r), FIRN_OK);
    assert_int_equal(b->len - before, firn_record_size(&r));
}

static void fill_all_kinds(struct firn_buf *b)
{
    put(b, (struct firn_record){.kind = FIRN_RECORD_PUT,
                                .event = FIRN_EVENT_SET,
                                .key = key_of("a"),
                                .value = str("1")});
    put(b, (struct firn_record){.kind = FIRN_RECORD_GROUP_BEGIN});
    put(b, (struct firn_record){.kind = FIRN_RECORD_PUT,
                                .flags = FIRN_RECORD_HAS_EXPIRY,
                                .expiry_ms = 1234567,
                                .key = key_of("b"),
                                .value = str("")});
    put(b,
        (struct firn_record){.kind = FIRN_RECORD_DEL, .event = FIRN_EVENT_DEL, .key = key_of("c")});
    put(b, (struct firn_record){.kind = 0x80, .event = 9, .flags = 0xff, .value = str("later")});
    put(b, (struct firn_record){
               .kind = FIRN_RECORD_RANGEDEL, .key = key_of("d"), .end_key = key_of("e")});
    put(b, (struct firn_record){.kind = FIRN_RECORD_GROUP_END});
    put(b, (struct firn_record){.kind = FIRN_RECORD_PUBLISH,
                                .event = FIRN_EVENT_PUBLISH,
                                .key = str("channel"),
                                .value = str("hello")});
    put(b, (struct firn_record){.kind = FIRN_RECORD_DEDUP,
                                .key = firn_slice_of("\0req", 4),
                                .value = str("outcome")});
    put(b, (struct firn_record){.kind = FIRN_RECORD_EXPIRED,
                                .event = FIRN_EVENT_EXPIRED,
                                .key = key_of("f"),
                                .value_seqno = 77});
}
#define ALL_KINDS 10

static void records_round_trip(void **state)
{
    (void)state;
    struct firn_buf b;
    struct firn_record_cursor c;
    struct firn_record r;
    firn_buf_init(&b, 1 << 20);
    fill_all_kinds(&b);
    assert_int_equal(firn_records_check(firn_buf_slice(&b), ALL_KINDS, NULL), FIRN_OK);
    firn_record_begin(&c, firn_buf_slice(&b), 1000);
    assert_int_equal(firn_record_next(&c, &r, NULL), FIRN_OK);
    assert_true(r.kind == FIRN_RECORD_PUT && r.seqno == 1000 && r.event == FIRN_EVENT_SET);
    assert_true(firn_slice_eq(r.key, key_of("a")) && firn_slice_eq(r.value, str("1")));
    assert_int_equal(firn_record_next(&c, &r, NULL), FIRN_OK);
    assert_int_equal(r.kind, FIRN_RECORD_GROUP_BEGIN);
    assert_int_equal(firn_record_next(&c, &r, NULL), FIRN_OK);
    assert_true(r.expiry_ms == 1234567 && r.value.len == 0 && c.in_group);
    assert_int_equal(firn_record_next(&c, &r, NULL), FIRN_OK);
    assert_true(r.kind == FIRN_RECORD_DEL && r.seqno == 1003);
    assert_int_equal(firn_record_next(&c, &r, NULL), FIRN_OK); /* the skipped kind took 1004 */
    assert_true(r.kind == FIRN_RECORD_RANGEDEL && r.seqno == 1005);
    assert_true(firn_slice_eq(r.key, key_of("d")) && firn_slice_eq(r.end_key, key_of("e")));
    assert_int_equal(firn_record_next(&c, &r, NULL), FIRN_OK);
    assert_int_equal(firn_record_next(&c, &r, NULL), FIRN_OK);
    assert_true(firn_slice_eq(r.key, str("channel")) && firn_slice_eq(r.value, str("hello")));
    assert_int_equal(firn_record_next(&c, &r, NULL), FIRN_OK);
    assert_int_equal(r.kind, FIRN_RECORD_DEDUP);
    assert_int_equal(firn_record_next(&c, &r, NULL), FIRN_OK);
    assert_true(r.kind == FIRN_RECORD_EXPIRED && r.value_seqno == 77);
    assert_int_equal(firn_record_next(&c, &r, NULL), FIRN_ABSENT);
    firn_buf_clear(&b);
}

static void bad_records_are_not_written(void **state)
{
    (void)state;
    struct firn_buf b;
    firn_buf_init(&b, 64);
    struct firn_record bad[] = {
        {.kind = FIRN_RECORD_PUT},
        {.kind = FIRN_RECORD_PUT,
         .key = str("\x20"
                    "a")},
        {.kind = FIRN_RECORD_PUT, .key = key_of("a"), .flags = 2},
        {.kind = FIRN_RECORD_DEL, .key = key_of("a"), .flags = FIRN_RECORD_HAS_EXPIRY},
        {.kind = FIRN_RECORD_REF, .key = key_of("a")},
        {.kind = 0x7f, .key = key_of("a")},
        {.kind = FIRN_RECORD_DEDUP, .key = key_of("a")},
        {.kind = FIRN_RECORD_RANGEDEL, .key = key_of("b"), .end_key = key_of("a")},
        {.kind = FIRN_RECORD_RANGEDEL, .key = key_of("b"), .end_key = key_of("b")},
        {.kind = FIRN_RECORD_RANGEDEL, .key = firn_slice_of("\x01x", 2), .end_key = key_of("b")},
        {.kind = FIRN_RECORD_PUT,
         .key = firn_slice_of("\x01"
                              "12345678"
                              "\x10"
                              "a",
                              11)},
        {.kind = FIRN_RECORD_GROUP_END, .value = str("x")},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(firn_record_append(&b, &bad[i]), FIRN_INVALID);
        assert_int_equal(b.len, 0);
    }
    static uint8_t big[FIRN_DATA_KEY_MAX + 1] = {0x10};
    struct firn_record r = {.kind = FIRN_RECORD_PUT, .key = firn_slice_of(big, sizeof big)};
    assert_int_equal(firn_record_append(&b, &r), FIRN_INVALID);
    r.key.len--;
    assert_int_equal(firn_record_append(&b, &r), FIRN_LIMIT);
    /* FLUSHALL reaches exactly to the end of the databases. */
    r = (struct firn_record){.kind = FIRN_RECORD_RANGEDEL,
                             .key = firn_slice_of("\x10", 1),
                             .end_key = firn_slice_of("\x20", 1)};
    assert_int_equal(firn_record_append(&b, &r), FIRN_OK);
    firn_buf_clear(&b);
}

/* The expiry index: in order of time, then of keys, and room for the longest. */
static void keys_of_the_expiry_index(void **state)
{
    (void)state;
    static uint8_t long_key[FIRN_DATA_KEY_MAX] = {0x1f}, a[FIRN_KEY_MAX], b[FIRN_KEY_MAX];
    struct firn_slice longest = firn_slice_of(long_key, sizeof long_key);
    struct firn_slice x = firn_expiry_key(UINT64_C(0x0102030405060708), longest, a);
    assert_int_equal(x.len, FIRN_KEY_MAX);
    assert_memory_equal(x.data, "\x01\x01\x02\x03\x04\x05\x06\x07\x08\x1f", 10);
    assert_true(firn_expiry_key_valid(x));
    assert_false(firn_key_valid(x));
    assert_true(firn_expiry_key_ms(x) == UINT64_C(0x0102030405060708));
    assert_true(firn_slice_eq(firn_expiry_key_of(x), longest));
    x = firn_expiry_key(255, longest, a);
    struct firn_slice y = firn_expiry_key(256, key_of(""), b);
    assert_true(firn_slice_cmp(x, y) < 0);
    y = firn_expiry_key(255, key_of("zz"), b);
    assert_true(firn_slice_cmp(y, x) < 0);
    assert_false(firn_expiry_key_valid(firn_slice_of(y.data, FIRN_EXPIRY_KEY_HEAD)));
    b[FIRN_EXPIRY_KEY_HEAD] = FIRN_NS_INTERNAL; /* of databases alone */
    assert_false(firn_expiry_key_valid(y));
    static uint8_t too_long[FIRN_KEY_MAX + 1] = {FIRN_NS_EXPIRY};
    too_long[FIRN_EXPIRY_KEY_HEAD] = 0x10;
    assert_false(firn_expiry_key_valid(firn_slice_of(too_long, sizeof too_long)));
}

static void which_classes_ask_for_expired_events(void **state)
{
    (void)state;
    static const char *const yes[] = {"Ex", "KEA", "xK", "KE$gx"};
    static const char *const no[] = {"", "x", "A", "KE", "KE$lg"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(firn_events_want_expired(yes[i]));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(firn_events_want_expired(no[i]));
}

static enum firn_status check_bytes(const char *bytes, size_t len, uint64_t count)
{
    struct firn_err err = {""};
    /* On the heap, so that reading past the end is seen. */
    uint8_t *p = malloc(len ? len : 1);
    memcpy(p, bytes, len);
    enum firn_status st = firn_records_check(firn_slice_of(p, len), count, &err);
    assert_true((st == FIRN_OK) == (err.text[0] == '\0'));
    free(p);
    return st;
}

static void damaged_records_are_found(void **state)
{
    (void)state;
    assert_int_equal(check_bytes("", 0, 0), FIRN_OK);
    assert_int_equal(check_bytes("\x02\0\0\x02\x10"
                                 "a",
                                 6, 1),
                     FIRN_OK);
    assert_int_equal(check_bytes("\x02\0\0\x02\x10"
                                 "a",
                                 6, 2),
                     FIRN_CORRUPT);
    assert_int_equal(check_bytes("\x02\0\0\x03\x10"
                                 "a",
                                 6, 1),
                     FIRN_CORRUPT);
    assert_int_equal(check_bytes("\x02\0", 2, 1), FIRN_CORRUPT);
    assert_int_equal(check_bytes("\x02\0\0", 3, 1), FIRN_CORRUPT);
    assert_int_equal(check_bytes("\x01\0\0\x01\x05", 5, 1),
                     FIRN_CORRUPT); /* key longer than body */
    assert_int_equal(check_bytes("\x01\0\x01\x02\x10\0", 6, 1),
                     FIRN_CORRUPT);                                        /* no room for expiry */
    assert_int_equal(check_bytes("\x02\0\0\x01\x20", 5, 1), FIRN_CORRUPT); /* no such namespace */
    assert_int_equal(check_bytes("\x04\0\0\0", 4, 1), FIRN_INVALID);       /* REF: the future */
    assert_int_equal(check_bytes("\x33\0\0\0", 4, 1), FIRN_INVALID);
    assert_int_equal(check_bytes("\x02\0\x40\x02\x10"
                                 "a",
                                 6, 1),
                     FIRN_INVALID);                                   /* unknown flag */
    assert_int_equal(check_bytes("\x90\0\x40\x02zz", 6, 1), FIRN_OK); /* skippable */
    assert_int_equal(check_bytes("\x08\0\0\0", 4, 1), FIRN_CORRUPT);  /* no end */
    assert_int_equal(check_bytes("\x09\0\0\0", 4, 1), FIRN_CORRUPT);  /* no begin */
    assert_int_equal(check_bytes("\x08\0\0\0\x08\0\0\0\x09\0\0\0\x09\0\0\0", 16, 4), FIRN_CORRUPT);
    assert_int_equal(check_bytes("\x08\0\0\0\x09\0\0\0", 8, 2), FIRN_OK);
    assert_int_equal(check_bytes("\x08\0\0\x01x\x09\0\0\0", 9, 2), FIRN_CORRUPT);
}

/* ---- batches */

static struct firn_batch_header header(void)
{
    return (struct firn_batch_header){.db = db,
                                      .format = 1,
                                      .place = {5, 17},
                                      .nonce = nonce,
                                      .process_nonce = {{9}},
                                      .first_seqno = firn_epoch_seqno(5) + 100,
                                      .log_time_ms = 1700000000000,
                                      .count = ALL_KINDS};
}

static void encode(struct firn_buf *object, enum firn_codec codec, size_t pad)
{
    struct firn_buf raw;
    struct firn_batch_header h = header();
    firn_buf_init(&raw, 1 << 24);
    fill_all_kinds(&raw);
    if (pad) {
        char *value = calloc(1, pad);
        put(&raw, (struct firn_record){.kind = FIRN_RECORD_PUT,
                                       .key = key_of("pad"),
                                       .value = firn_slice_of(value, pad)});
        free(value);
        h.count++;
    }
    firn_buf_init(object, 1 << 24);
    assert_int_equal(firn_batch_encode(&h, firn_buf_slice(&raw), codec, object), FIRN_OK);
    firn_buf_clear(&raw);
}

static enum firn_status decode(const struct firn_buf *object, struct firn_place place,
                               size_t raw_max)
{
    struct firn_buf raw;
    struct firn_batch_header h;
    struct firn_err err = {""};
    firn_buf_init(&raw, 1 << 24);
    enum firn_status st =
        firn_batch_decode(firn_buf_slice(object), &db, place, raw_max, &h, &raw, &err);
    if (st != FIRN_OK) {
        assert_int_equal(raw.len, 0);
        assert_true(err.text[0]);
    }
    firn_buf_clear(&raw);
    return st;
}

static void batches_round_trip(void **state)
{
    (void)state;
    for (int codec = FIRN_CODEC_NONE; codec <= FIRN_CODEC_ZSTD; codec++) {
        struct firn_buf object, raw;
        struct firn_batch_header h, want = header();
        encode(&object, (enum firn_codec)codec, 5000);
        firn_buf_init(&raw, 1 << 24);
        assert_int_equal(firn_buf_append(&raw, "before", 6), FIRN_OK);
        assert_int_equal(firn_slot_kind(firn_buf_slice(&object)), FIRN_SLOT_BATCH);
        assert_int_equal(
            firn_batch_decode(firn_buf_slice(&object), &db, want.place, 1 << 20, &h, &raw, NULL),
            FIRN_OK);
        assert_int_equal(h.codec, codec);
        assert_int_equal(raw.len, 6 + h.raw_len);
        assert_int_equal(object.len, FIRN_BATCH_HEADER_BYTES + h.stored_len);
        assert_true(codec == 0 || h.stored_len < h.raw_len);
        assert_true(firn_id_eq(&h.nonce, &want.nonce) &&
                    firn_id_eq(&h.process_nonce, &want.process_nonce));
        assert_true(h.first_seqno == want.first_seqno && h.log_time_ms == want.log_time_ms);
        assert_int_equal(h.count, ALL_KINDS + 1);
        firn_buf_clear(&raw);
        firn_buf_clear(&object);
    }
}

static void every_flipped_bit_of_a_batch_is_found(void **state)
{
    (void)state;
    struct firn_buf object;
    encode(&object, FIRN_CODEC_LZ4, 300);
    for (size_t i = 0; i < object.len * 8; i++) {
        object.data[i / 8] ^= (uint8_t)(1 << (i % 8));
        assert_int_not_equal(decode(&object, (struct firn_place){5, 17}, 1 << 20), FIRN_OK);
        object.data[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    size_t whole = object.len;
    for (object.len = 0; object.len < whole; object.len++)
        assert_int_not_equal(decode(&object, (struct firn_place){5, 17}, 1 << 20), FIRN_OK);
    assert_int_equal(decode(&object, (struct firn_place){5, 17}, 1 << 20), FIRN_OK);
    firn_buf_clear(&object);
}

static void a_batch_belongs_to_its_place(void **state)
{
    (void)state;
    struct firn_buf object;
    encode(&object, FIRN_CODEC_NONE, 0);
    assert_int_equal(decode(&object, (struct firn_place){5, 18}, 1 << 20), FIRN_CORRUPT);
    assert_int_equal(decode(&object, (struct firn_place){6, 17}, 1 << 20), FIRN_CORRUPT);
    assert_int_equal(decode(&object, (struct firn_place){5, 17}, 10), FIRN_LIMIT);
    struct firn_id other = db;
    other.byte[15]++;
    struct firn_batch_header h;
    struct firn_err err = {""};
    assert_int_equal(
        firn_batch_peek(firn_buf_slice(&object), &other, (struct firn_place){5, 17}, &h, &err),
        FIRN_CORRUPT);
    assert_int_equal(firn_batch_peek(firn_slice_of(object.data, FIRN_BATCH_HEADER_BYTES), &db,
                                     (struct firn_place){5, 17}, &h, NULL),
                     FIRN_OK);
    object.data[6] = 9; /* a format to come */
    assert_int_equal(decode(&object, (struct firn_place){5, 17}, 1 << 20), FIRN_INVALID);
    firn_buf_clear(&object);
}

static void encoding_a_batch_survives_short_memory(void **state)
{
    (void)state;
    struct firn_buf raw, object;
    struct firn_batch_header h = header();
    firn_buf_init(&raw, 1 << 20);
    fill_all_kinds(&raw);
    for (uint64_t n = 1;; n++) {
        firn_buf_init(&object, 1 << 20);
        (void)firn_mem_fail_at(n, 0);
        enum firn_status st = firn_batch_encode(&h, firn_buf_slice(&raw), FIRN_CODEC_ZSTD, &object);
        uint64_t made = firn_mem_fail_at(0, 0);
        assert_true(st == FIRN_OK || (st == FIRN_LIMIT && object.len == 0));
        firn_buf_clear(&object);
        if (made < n)
            break;
    }
    firn_buf_clear(&raw);
}

/* ---- heartbeats */

static void beats(void **state)
{
    (void)state;
    struct firn_beat beat = {.db = db,
                             .format = 1,
                             .process_nonce = {{9}},
                             .epoch = 7,
                             .count = 41},
                     out;
    uint8_t b[FIRN_BEAT_BYTES];
    firn_beat_encode(&beat, b);
    struct firn_slice object = firn_slice_of(b, sizeof b);
    assert_int_equal(firn_beat_decode(object, &db, &out, NULL), FIRN_OK);
    assert_true(out.epoch == 7 && out.count == 41);
    assert_true(firn_id_eq(&out.process_nonce, &beat.process_nonce));
    struct firn_id other = {{1}};
    assert_int_equal(firn_beat_decode(object, &other, &out, NULL), FIRN_CORRUPT);
    for (size_t i = 0; i < sizeof b * 8; i++) {
        b[i / 8] ^= (uint8_t)(1 << (i % 8));
        assert_int_not_equal(firn_beat_decode(object, &db, &out, NULL), FIRN_OK);
        b[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    for (size_t n = 0; n < sizeof b; n++)
        assert_int_equal(firn_beat_decode(firn_slice_of(b, n), &db, &out, NULL), FIRN_CORRUPT);
}

/* ---- seals */

static void seals(void **state)
{
    (void)state;
    struct firn_seal s = {.db = db,
                          .place = {5, 17},
                          .nonce = nonce,
                          .process_nonce = {{9}},
                          .sealer_epoch = 8},
                     out;
    uint8_t b[FIRN_SEAL_BYTES];
    firn_seal_encode(&s, b);
    struct firn_slice object = firn_slice_of(b, sizeof b);
    assert_int_equal(firn_slot_kind(object), FIRN_SLOT_SEAL);
    assert_int_equal(firn_seal_decode(object, &db, s.place, &out, NULL), FIRN_OK);
    assert_true(out.sealer_epoch == 8 && firn_id_eq(&out.nonce, &nonce));
    assert_int_equal(firn_seal_decode(object, &db, (struct firn_place){5, 16}, &out, NULL),
                     FIRN_CORRUPT);
    for (size_t i = 0; i < sizeof b * 8; i++) {
        b[i / 8] ^= (uint8_t)(1 << (i % 8));
        assert_int_not_equal(firn_seal_decode(object, &db, s.place, &out, NULL), FIRN_OK);
        b[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    assert_int_equal(firn_seal_decode(firn_slice_of(b, sizeof b - 1), &db, s.place, &out, NULL),
                     FIRN_CORRUPT);
    s.sealer_epoch = 5; /* a writer does not seal its own epoch */
    firn_seal_encode(&s, b);
    assert_int_equal(firn_seal_decode(object, &db, s.place, &out, NULL), FIRN_CORRUPT);
    assert_true(FIRN_SEAL_BYTES < FIRN_BATCH_HEADER_BYTES);
    assert_int_equal(firn_slot_kind(firn_slice_of("FIRN", 4)), FIRN_SLOT_NEITHER);
}

/* ---- tokens */

static void tokens(void **state)
{
    (void)state;
    struct firn_token t[] = {{0, {0, 0}, 0},
                             {0xabcdef01, {5, 17}, firn_epoch_seqno(5) + 3},
                             {UINT32_MAX, {FIRN_EPOCH_MAX, FIRN_SLOT_MAX}, UINT64_MAX}};
    char text[FIRN_TOKEN_MAX];
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct firn_token out;
        size_t n = firn_token_format(&t[i], text);
        assert_true(n == strlen(text) && n < FIRN_TOKEN_MAX);
        assert_int_equal(
            strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), n);
        assert_int_equal(firn_token_parse(str(text), &out), FIRN_OK);
        assert_true(out.db == t[i].db && firn_place_eq(out.place, t[i].place) &&
                    out.seqno == t[i].seqno);
        for (size_t k = 0; k < n; k++) { /* any one character changed */
            char was = text[k];
            text[k] = was == 'A' ? 'B' : 'A';
            assert_int_equal(firn_token_parse(str(text), &out), FIRN_INVALID);
            text[k] = was;
            assert_int_equal(firn_token_parse(firn_slice_of(text, k), &out), FIRN_INVALID);
        }
    }
}

static void object_headers(void **state)
{
    (void)state;
    uint8_t b[8];
    struct firn_err err = {""};
    firn_objheader_put(b, FIRN_OBJ_TABLE, 3);
    struct firn_slice o = firn_slice_of(b, 8);
    assert_int_equal(firn_objheader_check(o, FIRN_OBJ_TABLE, 2, 3, &err), FIRN_OK);
    assert_int_equal(firn_objheader_check(o, FIRN_OBJ_TABLE, 1, 2, &err), FIRN_INVALID);
    assert_non_null(strstr(err.text, "newer version"));
    assert_int_equal(firn_objheader_check(o, FIRN_OBJ_TABLE, 4, 5, NULL), FIRN_INVALID);
    assert_int_equal(firn_objheader_check(o, FIRN_OBJ_SEAL, 1, 5, NULL), FIRN_CORRUPT);
    o.len = 7;
    assert_int_equal(firn_objheader_check(o, FIRN_OBJ_TABLE, 1, 5, NULL), FIRN_CORRUPT);
    assert_string_equal(firn_event_name(FIRN_EVENT_RENAME_TO), "rename_to");
    assert_null(firn_event_name(200));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_padded_and_parse_back),
        cmocka_unit_test(names_at_their_limits),
        cmocka_unit_test(other_names_are_refused),
        cmocka_unit_test(bounds_enclose),
        cmocka_unit_test(records_round_trip),
        cmocka_unit_test(bad_records_are_not_written),
        cmocka_unit_test(keys_of_the_expiry_index),
        cmocka_unit_test(which_classes_ask_for_expired_events),
        cmocka_unit_test(damaged_records_are_found),
        cmocka_unit_test(batches_round_trip),
        cmocka_unit_test(every_flipped_bit_of_a_batch_is_found),
        cmocka_unit_test(a_batch_belongs_to_its_place),
        cmocka_unit_test(encoding_a_batch_survives_short_memory),
        cmocka_unit_test(beats),
        cmocka_unit_test(seals),
        cmocka_unit_test(tokens),
        cmocka_unit_test(object_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
