/* The one door to the allocator. Tests make the n-th allocation fail here. All functions may be
 * called from any thread. */
#ifndef FIRN_BASE_MEM_H
#define FIRN_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

/* As malloc/calloc/realloc/free; NULL when memory is short (or a test says so). Size 0 gives a
 * unique pointer. The caller owns the result and gives it back with firn_free. */
void *firn_malloc(size_t size) __attribute__((malloc));
void *firn_calloc(size_t count, size_t size) __attribute__((malloc));
void *firn_realloc(void *p, size_t size);
void firn_free(void *p);
/* Memory aligned to `align` (a power of two ≥ sizeof(void *)); freed with firn_free. */
void *firn_aligned(size_t align, size_t size);
/* A NUL-terminated copy of `len` bytes; NULL when memory is short. */
char *firn_strndup(const char *s, size_t len);
char *firn_strdup(const char *s);

/* For tests: let the n-th allocation from now on (1 = the next) and, if `sticky`, all later ones
 * fail; 0 switches this off. Returns how many allocations were made since the last call. */
uint64_t firn_mem_fail_at(uint64_t n, int sticky);

#endif
