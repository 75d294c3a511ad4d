/* Values of DEDUP records: what is decoded encodes to the same bytes. */
#include "format/dedup.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct firn_dedup d;
    uint8_t again[FIRN_DEDUP_MAX];
    if (firn_dedup_decode(firn_slice_of(data, size), &d) != FIRN_OK)
        return 0;
    if (firn_dedup_encode(&d, again) != size || memcmp(data, again, size) != 0)
        abort();
    return 0;
}
