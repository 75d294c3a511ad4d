#include "format/dedup.h"

#include "base/assert.h"
#include "base/bytes.h"

#define VERSION 1
#define HEAD_BYTES 10
#define FLAG_HELD 1
#define FLAG_KEPT 2

size_t firn_dedup_encode(const struct firn_dedup *d, uint8_t out[FIRN_DEDUP_MAX])
{
    bool kept = d->kept && d->results.len <= FIRN_DEDUP_RESULTS_MAX;
    out[0] = VERSION;
    firn_put_le64(out + 1, d->request);
    out[9] = (uint8_t)((d->held ? FLAG_HELD : 0) | (kept ? FLAG_KEPT : 0));
    if (!kept || !d->results.len)
        return HEAD_BYTES;
    memcpy(out + HEAD_BYTES, d->results.data, d->results.len);
    return HEAD_BYTES + d->results.len;
}

enum firn_status firn_dedup_decode(struct firn_slice value, struct firn_dedup *out)
{
    if (value.len < 1)
        return FIRN_CORRUPT;
    if (value.data[0] != VERSION)
        return FIRN_INVALID;
    if (value.len < HEAD_BYTES || value.len > FIRN_DEDUP_MAX ||
        (value.data[9] & ~(FLAG_HELD | FLAG_KEPT)) ||
        (!(value.data[9] & FLAG_KEPT) && value.len > HEAD_BYTES))
        return FIRN_CORRUPT;
    *out = (struct firn_dedup){
        .request = firn_le64(value.data + 1),
        .held = value.data[9] & FLAG_HELD,
        .kept = value.data[9] & FLAG_KEPT,
        .results = firn_slice_of(value.data + HEAD_BYTES, value.len - HEAD_BYTES),
    };
    return FIRN_OK;
}

size_t firn_dedup_key(struct firn_slice id, uint8_t out[FIRN_DEDUP_KEY_MAX])
{
    FIRN_ASSERT(id.len >= 1 && id.len <= FIRN_DEDUP_ID_MAX);
    out[0] = FIRN_NS_INTERNAL;
    memcpy(out + 1, id.data, id.len);
    return 1 + id.len;
}
