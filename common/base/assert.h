/* Assertions: on in every build, for what our own code guarantees; bytes from outside never assert.
 */
#ifndef FIRN_BASE_ASSERT_H
#define FIRN_BASE_ASSERT_H

/* Print where and what to stderr, then abort. */
_Noreturn void firn_assert_failed(const char *expr, const char *file, int line);

#define FIRN_ASSERT(e)                                                                             \
    do {                                                                                           \
        if (__builtin_expect(!(e), 0))                                                             \
            firn_assert_failed(#e, __FILE__, __LINE__);                                            \
    } while (0)

/* Whole-structure checks, too costly for release. */
#ifdef FIRN_DEBUG
#define FIRN_DASSERT(e) FIRN_ASSERT(e)
#else
#define FIRN_DASSERT(e)                                                                            \
    do {                                                                                           \
    } while (0)
#endif

#endif
