/* Records: what decodes encodes to as many records that decode alike. */
#include "format/record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct firn_record *a, const struct firn_record *b)
{
    return a->kind == b->kind && a->event == b->event && a->flags == b->flags &&
           a->expiry_ms == b->expiry_ms && a->value_seqno == b->value_seqno &&
           firn_slice_eq(a->key, b->key) && firn_slice_eq(a->value, b->value) &&
           firn_slice_eq(a->end_key, b->end_key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct firn_record_cursor c, d;
    struct firn_record r, s;
    struct firn_buf again;
    struct firn_err err = {""};
    firn_buf_init(&again, 2 * size + 64);
    firn_record_begin(&c, firn_slice_of(data, size), 7);
    enum firn_status st;
    while ((st = firn_record_next(&c, &r, &err)) == FIRN_OK)
        if (firn_record_append(&again, &r) != FIRN_OK)
            abort();
    if (st != FIRN_ABSENT && !err.text[0])
        abort();
    if (st == FIRN_ABSENT) {
        firn_record_begin(&c, firn_slice_of(data, size), 7);
        firn_record_begin(&d, firn_buf_slice(&again), 7);
        while (firn_record_next(&c, &r, NULL) == FIRN_OK)
            if (firn_record_next(&d, &s, NULL) != FIRN_OK || !same(&r, &s))
                abort();
        if (firn_record_next(&d, &s, NULL) != FIRN_ABSENT)
            abort();
    }
    firn_buf_clear(&again);
    return 0;
}
