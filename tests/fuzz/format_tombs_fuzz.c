/* Range tombstones: ranges over keys of one byte, cut into fragments, cover each key with the same
 * seqno as a plain table of all keys says, and the fragments are in order and apart. */
#include "fuzz/fuzz.h"

#include "format/tombs.h"

#define RANGES 32

struct plain {
    uint64_t seqno[256];
};

static size_t take(struct fuzz_in *in, struct firn_range_tomb *t, struct plain *p)
{
    size_t n = 0;
    while (fuzz_more(in) && n < RANGES) {
        struct firn_slice start = fuzz_bytes(in, 1), end = fuzz_bytes(in, 1);
        uint64_t seqno = 1 + fuzz_u8(in) % 16;
        if (start.len == 0)
            break;
        if (end.len && end.data[0] == 0)
            end.len = 0; /* unbounded */
        t[n++] = (struct firn_range_tomb){start, end, seqno};
        unsigned to = end.len ? end.data[0] : 256;
        for (unsigned k = start.data[0]; k < to; k++)
            p->seqno[k] = p->seqno[k] > seqno ? p->seqno[k] : seqno;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_begin(data, size);
    struct firn_range_tomb t[RANGES], *f = NULL;
    struct plain p = {{0}};
    struct firn_arena a = {0};
    size_t n = take(&in, t, &p), nf = 0;
    FIRN_ASSERT(firn_tombs_fragment(t, n, &a, &f, &nf) == FIRN_OK);
    for (size_t i = 0; i + 1 < nf; i++) {
        FIRN_ASSERT(f[i].end.len && firn_slice_cmp(f[i].end, f[i + 1].start) <= 0);
        FIRN_ASSERT(f[i].seqno != f[i + 1].seqno || !firn_slice_eq(f[i].end, f[i + 1].start));
    }
    for (unsigned k = 0; k < 256; k++) {
        uint8_t key = (uint8_t)k;
        FIRN_ASSERT(firn_tombs_covering(f, nf, firn_slice_of(&key, 1)) == p.seqno[k]);
    }
    firn_arena_clear(&a);
    return 0;
}
