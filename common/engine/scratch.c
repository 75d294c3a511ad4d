/* Values that a command computes: the engine's one buffer for them, kept from command to command
 * while it is small. */
#include "engine/engine_priv.h"

#define KEEP_VALUE_BYTES (64u << 10)

enum firn_status firn_engine__scratch(struct firn_eval *x, struct firn_slice old, uint64_t len,
                                      uint8_t **out)
{
    uint64_t max = x->db->settings->value_max_bytes;
    if (len > max)
        return firn_engine__data_error(x, "ERR string exceeds maximum allowed size (value-max)");
    struct firn_buf *b = &x->e->value;
    b->max = (size_t)max;
    b->len = 0;
    enum firn_status st = firn_buf_reserve(b, (size_t)len);
    if (st != FIRN_OK)
        return st;
    if (old.len)
        memcpy(b->data, old.data, old.len);
    *out = b->data;
    return FIRN_OK;
}

void firn_engine__scratch_done(struct firn_eval *x)
{
    if (x->e->value.cap > KEEP_VALUE_BYTES)
        firn_buf_clear(&x->e->value);
}
