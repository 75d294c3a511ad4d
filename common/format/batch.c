#include "format/batch.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "format/objheader.h"
#include "format/record.h"
#include "format/slot_priv.h"
#include "format/version.h"

/* Offsets, as batch.h says. */
#define AT_FIRST_SEQNO 72
#define AT_LOG_TIME 80
#define AT_COUNT 88
#define AT_CODEC 92
#define AT_RAW_LEN 96
#define AT_STORED_LEN 100
#define AT_RESERVED 104
#define AT_BODY_SUM 120
#define AT_HEADER_SUM 128

_Static_assert(AT_HEADER_SUM + 8 == FIRN_BATCH_HEADER_BYTES, "the header ends with its checksum");

static void put_header(uint8_t *p, const struct firn_batch_header *h, enum firn_codec codec,
                       size_t raw_len, struct firn_slice body)
{
    memset(p, 0, FIRN_BATCH_HEADER_BYTES);
    firn_objheader_put(p, FIRN_OBJ_BATCH, h->format);
    firn_slot__put_identity(p, &h->db, h->place, &h->nonce, &h->process_nonce);
    firn_put_le64(p + AT_FIRST_SEQNO, h->first_seqno);
    firn_put_le64(p + AT_LOG_TIME, h->log_time_ms);
    firn_put_le32(p + AT_COUNT, h->count);
    p[AT_CODEC] = (uint8_t)codec;
    firn_put_le32(p + AT_RAW_LEN, (uint32_t)raw_len);
    firn_put_le32(p + AT_STORED_LEN, (uint32_t)body.len);
    firn_put_le64(p + AT_BODY_SUM, firn_slot__checksum(p, body));
    firn_put_le64(p + AT_HEADER_SUM, firn_slot__checksum(p, firn_slice_of(p, AT_HEADER_SUM)));
}

enum firn_status firn_batch_encode(const struct firn_batch_header *h, struct firn_slice raw,
                                   enum firn_codec codec, struct firn_buf *out)
{
    FIRN_ASSERT(h->count >= 1 && firn_place_valid(h->place) && firn_format_known(h->format));
    FIRN_DASSERT(firn_records_check(raw, h->count, NULL) == FIRN_OK);
    if (raw.len > FIRN_BATCH_RAW_MAX)
        return FIRN_LIMIT;
    size_t start = out->len;
    enum firn_status st = firn_buf_reserve(out, FIRN_BATCH_HEADER_BYTES);
    if (st != FIRN_OK)
        return st;
    out->len += FIRN_BATCH_HEADER_BYTES;
    struct firn_codec_ctx ctx = {0};
    st = firn_codec_pack(&ctx, &codec, raw, out);
    firn_codec_ctx_clear(&ctx);
    if (st != FIRN_OK) {
        out->len = start;
        return st;
    }
    uint8_t *p = out->data + start;
    size_t body_len = out->len - start - FIRN_BATCH_HEADER_BYTES;
    put_header(p, h, codec, raw.len, firn_slice_of(p + FIRN_BATCH_HEADER_BYTES, body_len));
    return FIRN_OK;
}

/* The fields of a header whose checksum is right: they are as some writer wrote them, but a writer
 * is outside, too. */
static enum firn_status check_fields(const uint8_t *p, const struct firn_batch_header *h,
                                     struct firn_err *err)
{
    static const uint8_t zero[AT_BODY_SUM - AT_RESERVED];
    if (memcmp(p + AT_RESERVED, zero, sizeof zero) != 0 || memcmp(p + AT_CODEC + 1, zero, 3) != 0)
        return firn_fail(err, FIRN_INVALID,
                         "a batch uses header fields that this version of Firn does not know "
                         "(encryption?): use a newer one");
    if (!firn_codec_known(p[AT_CODEC]))
        return firn_fail(err, FIRN_INVALID,
                         "a batch is compressed with codec %u, which this version of Firn does not "
                         "know: use a newer one",
                         p[AT_CODEC]);
    if (h->count < 1 || h->raw_len < 1)
        return firn_fail(err, FIRN_CORRUPT, "a batch without records");
    if (h->first_seqno < firn_epoch_seqno(h->place.epoch) ||
        h->first_seqno - firn_epoch_seqno(h->place.epoch) >
            (UINT64_C(1) << FIRN_SEQNO_EPOCH_BITS) - h->count)
        return firn_fail(err, FIRN_CORRUPT,
                         "a batch of epoch %llu with seqno %llu of another epoch",
                         (unsigned long long)h->place.epoch, (unsigned long long)h->first_seqno);
    return FIRN_OK;
}

enum firn_status firn_batch_peek(struct firn_slice object, const struct firn_id *db,
                                 struct firn_place place, struct firn_batch_header *out,
                                 struct firn_err *err)
{
    enum firn_status st =
        firn_objheader_check(object, FIRN_OBJ_BATCH, FIRN_FORMAT_OLDEST, firn_format_newest, err);
    if (st != FIRN_OK)
        return st;
    if (object.len < FIRN_BATCH_HEADER_BYTES)
        return firn_fail(err, FIRN_CORRUPT, "a batch of %zu bytes, less than its header",
                         object.len);
    const uint8_t *p = object.data;
    if (firn_le64(p + AT_HEADER_SUM) != firn_slot__checksum(p, firn_slice_of(p, AT_HEADER_SUM)))
        return firn_fail(err, FIRN_CORRUPT, "a batch whose header checksum is wrong");
    struct firn_batch_header h = {.format = firn_objheader_format(p)};
    firn_slot__get_identity(p, &h.db, &h.place, &h.nonce, &h.process_nonce);
    st = firn_slot__match(&h.db, h.place, db, place, "batch", err);
    if (st != FIRN_OK)
        return st;
    h.first_seqno = firn_le64(p + AT_FIRST_SEQNO);
    h.log_time_ms = firn_le64(p + AT_LOG_TIME);
    h.count = firn_le32(p + AT_COUNT);
    h.codec = (enum firn_codec)p[AT_CODEC];
    h.raw_len = firn_le32(p + AT_RAW_LEN);
    h.stored_len = firn_le32(p + AT_STORED_LEN);
    st = check_fields(p, &h, err);
    if (st == FIRN_OK)
        *out = h;
    return st;
}

/* Unpack and check the records into the room behind raw_out's len. */
static enum firn_status unpack(const struct firn_batch_header *h, struct firn_slice body,
                               struct firn_buf *raw_out, struct firn_err *err)
{
    if (firn_buf_reserve(raw_out, h->raw_len) != FIRN_OK)
        return firn_fail(err, FIRN_LIMIT, "no memory for a batch of %u bytes", h->raw_len);
    uint8_t *raw = raw_out->data + raw_out->len;
    struct firn_codec_ctx ctx = {0};
    enum firn_status st = firn_codec_unpack(&ctx, h->codec, body, raw, h->raw_len);
    firn_codec_ctx_clear(&ctx);
    if (st != FIRN_OK)
        return firn_fail(err, st, "a batch that cannot be decompressed to its %u bytes",
                         h->raw_len);
    return firn_records_check(firn_slice_of(raw, h->raw_len), h->count, err);
}

enum firn_status firn_batch_decode(struct firn_slice object, const struct firn_id *db,
                                   struct firn_place place, size_t raw_max,
                                   struct firn_batch_header *out, struct firn_buf *raw_out,
                                   struct firn_err *err)
{
    struct firn_batch_header h;
    enum firn_status st = firn_batch_peek(object, db, place, &h, err);
    if (st != FIRN_OK)
        return st;
    struct firn_slice body =
        firn_slice_of(object.data + FIRN_BATCH_HEADER_BYTES, object.len - FIRN_BATCH_HEADER_BYTES);
    if (body.len != h.stored_len)
        return firn_fail(err, FIRN_CORRUPT, "a batch with %zu bytes of body, not %u", body.len,
                         h.stored_len);
    if (firn_le64(object.data + AT_BODY_SUM) != firn_slot__checksum(object.data, body))
        return firn_fail(err, FIRN_CORRUPT, "a batch whose body checksum is wrong");
    if (h.raw_len > raw_max || h.raw_len > FIRN_BATCH_RAW_MAX)
        return firn_fail(err, FIRN_LIMIT, "a batch of %u bytes, above the bound of %zu", h.raw_len,
                         raw_max);
    st = unpack(&h, body, raw_out, err);
    if (st != FIRN_OK)
        return st;
    raw_out->len += h.raw_len;
    *out = h;
    return FIRN_OK;
}
