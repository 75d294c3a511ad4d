#include "base/sometimes.h"

/* The bounds of the section that FIRN_SOMETIMES fills, by the linker; weak, for a program may have
 * no point. */
extern struct firn_sometimes *const points_begin[] __asm__("__start_firn_sometimes")
    __attribute__((weak));
extern struct firn_sometimes *const points_end[] __asm__("__stop_firn_sometimes")
    __attribute__((weak));

void firn_sometimes_each(void (*fn)(void *arg, const struct firn_sometimes *point, uint64_t count),
                         void *arg)
{
    for (struct firn_sometimes *const *p = points_begin; p != points_end; p++)
        fn(arg, *p, __atomic_load_n(&(*p)->count, __ATOMIC_RELAXED));
}
