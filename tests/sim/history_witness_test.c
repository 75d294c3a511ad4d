/* The log as witness, read from the objects that landed in the slots. */
#include "testing.h"

#include "format/batch.h"
#include "format/record.h"
#include "format/seal.h"
#include "format/version.h"
#include "sim/witness.h"

struct log {
    struct hist h;
    struct witness w;
    struct check_report r;
    struct firn_id db;
};

static int begin(void **state)
{
    static struct log l;
    l.db = (struct firn_id){{7}};
    hist_init(&l.h);
    witness_init(&l.w, &l.h);
    check_report_init(&l.r);
    *state = &l;
    return 0;
}

static void read_log(struct log *l, uint64_t wrong)
{
    witness_read(&l->w, &l->db, 1, &l->r);
    if (l->r.wrong != wrong)
        fail_msg("%.*s", (int)l->r.text.len, (const char *)l->r.text.data);
}

static int end(void **state)
{
    struct log *l = *state;
    witness_clear(&l->w);
    hist_clear(&l->h);
    check_report_clear(&l->r);
    return 0;
}

static void put(struct firn_buf *raw, const char *key, const char *value)
{
    struct firn_record r = {
        .kind = FIRN_RECORD_PUT, .key = firn_slice_str(key), .value = firn_slice_str(value)};
    assert_int_equal(firn_record_append(raw, &r), FIRN_OK);
}

static void mark(struct firn_buf *raw, uint8_t kind)
{
    struct firn_record r = {.kind = kind};
    assert_int_equal(firn_record_append(raw, &r), FIRN_OK);
}

static void batch(struct log *l, struct firn_place at, uint64_t seqno, struct firn_buf *raw,
                  uint32_t count, uint64_t ns)
{
    struct firn_batch_header h = {.db = l->db,
                                  .place = at,
                                  .first_seqno = firn_epoch_seqno(at.epoch) + seqno,
                                  .log_time_ms = 1000 + seqno,
                                  .count = count,
                                  .format = FIRN_FORMAT_OLDEST};
    struct firn_buf body;
    firn_buf_init(&body, SIZE_MAX);
    assert_int_equal(firn_batch_encode(&h, firn_buf_slice(raw), FIRN_CODEC_NONE, &body), FIRN_OK);
    witness_landed(&l->w, at, firn_buf_slice(&body), ns);
    firn_buf_clear(&body);
    firn_buf_clear(raw);
}

static void one(struct log *l, uint64_t epoch, uint64_t slot, uint64_t seqno, const char *value,
                uint64_t ns)
{
    struct firn_buf raw;
    firn_buf_init(&raw, SIZE_MAX);
    put(&raw, "\x10key", value);
    batch(l, (struct firn_place){epoch, slot}, seqno, &raw, 1, ns);
}

static void seal(struct log *l, uint64_t epoch, uint64_t slot, uint64_t ns)
{
    struct firn_seal s = {.db = l->db, .place = {epoch, slot}, .sealer_epoch = epoch + 1};
    uint8_t body[FIRN_SEAL_BYTES];
    firn_seal_encode(&s, body);
    witness_landed(&l->w, s.place, firn_slice_of(body, sizeof body), ns);
}

static void assert_key(const struct log *l, uint32_t state, const char *value)
{
    struct firn_slice key = firn_slice_str("key");
    uint32_t id = hist_intern((struct hist_names *)&l->h.keys, key);
    const struct witness_version *v = witness_at(&l->w, id, state);
    assert_non_null(v);
    assert_true(firn_slice_eq(hist_name_of(&l->h.values, v->value), firn_slice_str(value)));
}

/* The seal that counts ends the epoch; what lies behind it, or was put later, is nothing. */
static void epochs(void **state)
{
    struct log *l = *state;
    one(l, 1, 0, 1, "a", 50);
    one(l, 1, 1, 2, "b", 40); /* landed before the one before it */
    one(l, 1, 3, 4, "behind", 45);
    seal(l, 1, 2, 60);
    one(l, 2, 0, 9, "c", 70);
    seal(l, 1, 0, 90); /* into a slot that was collected */
    one(l, 1, 2, 3, "late", 95);
    read_log(l, 0);
    assert_int_equal(l->w.units, 3);
    assert_key(l, 1, "a");
    assert_key(l, 2, "b");
    assert_key(l, 3, "c");
    assert_int_equal(witness_durable_by(&l->w, 49), 0);
    assert_int_equal(witness_durable_by(&l->w, 50), 2);
    assert_int_equal(witness_durable_by(&l->w, 70), 3);
    assert_int_equal(witness_state_of(&l->w, firn_epoch_seqno(2) + 8), 2);
    assert_true(witness_log_time(&l->w, 2) == 1002);
}

static void not_sealed(void **state)
{
    struct log *l = *state;
    one(l, 1, 0, 1, "a", 50);
    one(l, 2, 0, 9, "c", 70);
    read_log(l, 1);
}

static void seqnos_go_back(void **state)
{
    struct log *l = *state;
    one(l, 1, 0, 5, "a", 50);
    one(l, 1, 1, 5, "c", 70);
    read_log(l, 1);
}

/* A group is one unit; other databases, and the database's own keys, are none. */
static void groups(void **state)
{
    struct log *l = *state;
    struct firn_buf raw;
    firn_buf_init(&raw, SIZE_MAX);
    mark(&raw, FIRN_RECORD_GROUP_BEGIN);
    put(&raw, "\x10key", "a");
    put(&raw, "\x11key", "other");
    put(&raw, "\x10two", "b");
    mark(&raw, FIRN_RECORD_GROUP_END);
    put(&raw, "\x11key", "other");
    put(&raw, "\x10key", "c");
    batch(l, (struct firn_place){1, 0}, 1, &raw, 7, 10);
    read_log(l, 0);
    assert_int_equal(l->w.units, 2);
    assert_int_equal(l->w.unit[0].records, 2);
    assert_key(l, 1, "a");
    assert_key(l, 2, "c");
    assert_true(witness_log_time(&l->w, 1) == 0); /* the slot is not whole */
    size_t n;
    (void)witness_range(&l->w, 0, 0, &n);
    assert_int_equal(n, 2);
}

static void damaged(void **state)
{
    struct log *l = *state;
    one(l, 1, 0, 1, "a", 50);
    struct firn_id other = {{8}};
    witness_read(&l->w, &other, 1, &l->r);
    assert_int_equal(l->r.wrong, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(epochs, begin, end),
        cmocka_unit_test_setup_teardown(not_sealed, begin, end),
        cmocka_unit_test_setup_teardown(seqnos_go_back, begin, end),
        cmocka_unit_test_setup_teardown(groups, begin, end),
        cmocka_unit_test_setup_teardown(damaged, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
