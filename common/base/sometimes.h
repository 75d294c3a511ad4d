/* Points on rare paths that the tests must reach. A check of a path that no run takes proves
 * nothing: so the path counts itself, and a report over a corpus of runs (tests/sometimes.py) says
 * which of them were taken. The idea is Antithesis' "sometimes assertions"; here they are counters
 * alone and always compiled in, so that what is tested is what ships. */
#ifndef FIRN_BASE_SOMETIMES_H
#define FIRN_BASE_SOMETIMES_H

#include <stdint.h>

struct firn_sometimes {
    const char *name; /* "room: what", unique in the whole program */
    const char *file;
    int line;
    uint64_t count; /* added to with relaxed atomics, on any thread */
};

/* The path at hand was taken. One locked add: for rare paths, never in a loop over keys or records.
 */
#define FIRN_SOMETIMES(what)                                                                       \
    do {                                                                                           \
        static struct firn_sometimes firn_sometimes_point = {what, __FILE__, __LINE__, 0};         \
        static struct firn_sometimes *const firn_sometimes_link                                    \
            __attribute__((section("firn_sometimes"), used)) = &firn_sometimes_point;              \
        __atomic_fetch_add(&firn_sometimes_point.count, 1, __ATOMIC_RELAXED);                      \
    } while (0)

/* The same where `e` holds. */
#define FIRN_SOMETIMES_IF(e, what)                                                                 \
    do {                                                                                           \
        if (e)                                                                                     \
            FIRN_SOMETIMES(what);                                                                  \
    } while (0)

/* Call `fn` for each point linked into this program, reached or not, in no particular order;
 * `count` is what it was at that moment. Any thread. */
void firn_sometimes_each(void (*fn)(void *arg, const struct firn_sometimes *point, uint64_t count),
                         void *arg);

#endif
