/* Keys and bounds: an upper bound lies above its key and above nothing that it need not; index keys
 * come apart into what they were made of. */
#include "fuzz/fuzz.h"

#include "format/key.h"

static void bounds(struct firn_slice key)
{
    uint8_t at[FIRN_BOUND_MAX], behind[FIRN_BOUND_MAX];
    struct firn_slice lower = firn_bound_lower(key);
    struct firn_slice exclusive = firn_slice_of(at, firn_bound_upper(key, false, at));
    struct firn_slice inclusive = firn_slice_of(behind, firn_bound_upper(key, true, behind));
    FIRN_ASSERT(exclusive.len >= 1 && exclusive.len <= FIRN_BOUND_MAX);
    FIRN_ASSERT(inclusive.len >= 1 && inclusive.len <= FIRN_BOUND_MAX);
    FIRN_ASSERT(firn_slice_cmp(lower, key) <= 0);
    FIRN_ASSERT(firn_slice_cmp(exclusive, key) >= 0);
    FIRN_ASSERT(firn_slice_cmp(inclusive, key) > 0);
    FIRN_ASSERT(firn_slice_cmp(exclusive, inclusive) <= 0);
    FIRN_ASSERT(key.len > FIRN_BOUND_MAX || firn_slice_eq(exclusive, key));
}

static void index_key(uint64_t at_ms, struct firn_slice key)
{
    static uint8_t out[FIRN_KEY_MAX];
    struct firn_slice k = firn_expiry_key(at_ms, key, out);
    FIRN_ASSERT(firn_expiry_key_valid(k) && firn_key_is_expiry(k));
    FIRN_ASSERT(firn_expiry_key_ms(k) == at_ms && firn_slice_eq(firn_expiry_key_of(k), key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_begin(data, size);
    uint64_t at_ms = fuzz_u64(&in);
    struct firn_slice key = fuzz_rest(&in);
    FIRN_ASSERT(!firn_expiry_key_valid(key) || firn_expiry_key_of(key).len >= 1);
    if (!firn_key_valid(key))
        return 0;
    FIRN_ASSERT(firn_key_end_valid(key));
    FIRN_ASSERT(firn_key_db(key) < FIRN_DATABASES);
    bounds(key);
    if (firn_key_db(key) >= 0)
        index_key(at_ms, key);
    return 0;
}
