#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t allocations;
static _Atomic uint64_t fail_at; /* 0 = never */
static _Atomic int fail_sticky;

/* Count an allocation; nonzero = a test wants it to fail. */
static int refused(void)
{
    if (__builtin_expect(atomic_load_explicit(&fail_at, memory_order_relaxed) == 0, 1))
        return 0;
    uint64_t n = atomic_fetch_add(&allocations, 1) + 1;
    uint64_t at = atomic_load(&fail_at);
    return n == at || (n > at && atomic_load(&fail_sticky));
}

void *firn_malloc(size_t size)
{
    return refused() ? NULL : malloc(size ? size : 1);
}

void *firn_calloc(size_t count, size_t size)
{
    return refused() ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *firn_realloc(void *p, size_t size)
{
    return refused() ? NULL : realloc(p, size ? size : 1);
}

void firn_free(void *p)
{
    free(p);
}

void *firn_aligned(size_t align, size_t size)
{
    size_t rounded = (size + align - 1) & ~(align - 1);
    return refused() ? NULL : aligned_alloc(align, rounded ? rounded : align);
}

char *firn_strndup(const char *s, size_t len)
{
    char *p = firn_malloc(len + 1);
    if (!p)
        return NULL;
    memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

char *firn_strdup(const char *s)
{
    return firn_strndup(s, strlen(s));
}

uint64_t firn_mem_fail_at(uint64_t n, int sticky)
{
    atomic_store(&fail_at, 0);
    uint64_t made = atomic_exchange(&allocations, 0);
    atomic_store(&fail_sticky, sticky);
    atomic_store(&fail_at, n);
    return made;
}
