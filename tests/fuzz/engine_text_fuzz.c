/* Numbers in commands: what is taken is what would be written, and a long double survives being
 * written and read. */
#include "fuzz/fuzz.h"

#include "engine/text_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = fuzz_copy(firn_slice_of(data, size));
    struct firn_slice s = firn_slice_of(copy, size);
    char text[32], digits[FIRN_ENGINE_LD_MAX];
    uint64_t v;
    long double d, again;
    if (firn_engine__parse_u64(s, &v)) {
        int len = snprintf(text, sizeof text, "%" PRIu64, v);
        FIRN_ASSERT(firn_slice_eq(s, firn_slice_of(text, (size_t)len)));
    }
    if (firn_engine__parse_ld(s, &d)) {
        FIRN_ASSERT(!isnan(d));
        if (isfinite(d)) {
            size_t len = firn_engine__format_ld(d, digits);
            FIRN_ASSERT(len > 0 && len < sizeof digits);
            FIRN_ASSERT(firn_engine__parse_ld(firn_slice_of(digits, len), &again));
            FIRN_ASSERT(fabsl(again - d) <= 1e-17L + fabsl(d) * 1e-18L);
        }
    }
    free(copy);
    return 0;
}
