/* What fuzz targets share: an input taken apart piece by piece, and a meter of the memory that
 * decoding it took. */
#ifndef FIRN_TESTS_FUZZ_FUZZ_H
#define FIRN_TESTS_FUZZ_FUZZ_H

#include "base/assert.h"
#include "base/slice.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the input; pieces beyond its end are zeros or empty */

struct fuzz_in {
    const uint8_t *at, *end;
};

static inline struct fuzz_in fuzz_begin(const uint8_t *data, size_t size)
{
    return (struct fuzz_in){data, data + size};
}

static inline bool fuzz_more(const struct fuzz_in *in)
{
    return in->at < in->end;
}

static inline uint8_t fuzz_u8(struct fuzz_in *in)
{
    return fuzz_more(in) ? *in->at++ : 0;
}

static inline uint64_t fuzz_u64(struct fuzz_in *in)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v |= (uint64_t)fuzz_u8(in) << 8 * i;
    return v;
}

/* The next n bytes, or as many as there are; borrowed. */
static inline struct firn_slice fuzz_bytes(struct fuzz_in *in, size_t n)
{
    size_t left = (size_t)(in->end - in->at);
    struct firn_slice s = firn_slice_of(in->at, n < left ? n : left);
    in->at += s.len;
    return s;
}

/* A byte that says how long, and that many bytes. */
static inline struct firn_slice fuzz_short(struct fuzz_in *in)
{
    return fuzz_bytes(in, fuzz_u8(in));
}

static inline struct firn_slice fuzz_rest(struct fuzz_in *in)
{
    return fuzz_bytes(in, SIZE_MAX);
}

/* A copy exactly as long as the bytes, so that a read past them is seen; to be freed with free. */
static inline uint8_t *fuzz_copy(struct firn_slice s)
{
    uint8_t *p = malloc(s.len ? s.len : 1);
    FIRN_ASSERT(p != NULL);
    if (s.len)
        memcpy(p, s.data, s.len);
    return p;
}

/* A C string of the bytes; to be freed with free. */
static inline char *fuzz_string(struct firn_slice s)
{
    char *p = malloc(s.len + 1);
    FIRN_ASSERT(p != NULL);
    if (s.len)
        memcpy(p, s.data, s.len);
    p[s.len] = '\0';
    return p;
}

/* ---- the meter: bytes asked of the allocator, where AddressSanitizer is there to count them */

int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *p, size_t n),
                                              void (*on_free)(const volatile void *p))
    __attribute__((weak));

static size_t fuzz_metered;

static inline void fuzz_on_malloc(const volatile void *p, size_t n)
{
    (void)p;
    fuzz_metered += n;
}

static inline void fuzz_on_free(const volatile void *p)
{
    (void)p;
}

static inline void fuzz_meter_begin(void)
{
    static bool installed;
    if (!installed && __sanitizer_install_malloc_and_free_hooks)
        (void)__sanitizer_install_malloc_and_free_hooks(fuzz_on_malloc, fuzz_on_free);
    installed = true;
    fuzz_metered = 0;
}

/* Since begin, no more than this was asked for, even if it was given back. */
static inline void fuzz_meter_end(size_t bytes_max)
{
    FIRN_ASSERT(fuzz_metered <= bytes_max);
}

#endif
