#include "format/key.h"

#include "base/assert.h"

struct firn_slice firn_expiry_key(uint64_t at_ms, struct firn_slice key, uint8_t out[FIRN_KEY_MAX])
{
    FIRN_ASSERT(firn_key_valid(key) && firn_key_db(key) >= 0);
    out[0] = FIRN_NS_EXPIRY;
    firn_put_be64(out + 1, at_ms);
    memcpy(out + FIRN_EXPIRY_KEY_HEAD, key.data, key.len);
    return firn_slice_of(out, FIRN_EXPIRY_KEY_HEAD + key.len);
}

bool firn_expiry_key_valid(struct firn_slice key)
{
    if (!firn_key_is_expiry(key) || key.len <= FIRN_EXPIRY_KEY_HEAD)
        return false;
    struct firn_slice of = firn_expiry_key_of(key);
    return firn_key_valid(of) && firn_key_db(of) >= 0;
}

size_t firn_bound_upper(struct firn_slice key, bool inclusive, uint8_t out[FIRN_BOUND_MAX])
{
    FIRN_ASSERT(key.len >= 1 && key.data[0] <= FIRN_NS_DB_END);
    if (!inclusive && key.len <= FIRN_BOUND_MAX) {
        memcpy(out, key.data, key.len);
        return key.len;
    }
    if (key.len < FIRN_BOUND_MAX) {
        memcpy(out, key.data, key.len);
        out[key.len] = 0; /* the immediate successor */
        return key.len + 1;
    }
    /* The least string of at most FIRN_BOUND_MAX bytes above every string with this prefix: cut
     * trailing 0xff, count the last byte up. The namespace byte is never 0xff, so there is one. */
    size_t len = FIRN_BOUND_MAX;
    while (key.data[len - 1] == 0xff)
        len--;
    memcpy(out, key.data, len);
    out[len - 1]++;
    return len;
}
