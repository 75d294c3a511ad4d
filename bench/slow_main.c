/* Makes of an ordinary program one whose store is slow, as the environment says (slow_store.h has
 * the form of the values): FIRN_TEST_PUT_DELAY_MS, FIRN_TEST_GET_DELAY_MS, FIRN_TEST_LIST_DELAY_MS,
 * FIRN_TEST_DELETE_DELAY_MS. */
#include "bench/slow_store.h"
#include "main/main_run.h"

#include <stdlib.h>

static struct firn_objstore *wrap(const struct firn_env *env, struct firn_objstore *inner,
                                  struct firn_err *err)
{
    struct firn_slow_options o;
    const struct {
        const char *name;
        struct firn_slow_delay *out;
    } var[] = {
        {"FIRN_TEST_PUT_DELAY_MS", &o.put},
        {"FIRN_TEST_GET_DELAY_MS", &o.get},
        {"FIRN_TEST_LIST_DELAY_MS", &o.list},
        {"FIRN_TEST_DELETE_DELAY_MS", &o.del},
    };
    for (size_t i = 0; i < sizeof var / sizeof *var; i++) {
        if (firn_slow_parse(getenv(var[i].name), var[i].out) == FIRN_OK)
            continue;
        (void)firn_fail(err, FIRN_INVALID, "%s: give \"ms\" or \"median:p99\" in ms", var[i].name);
        return NULL;
    }
    struct firn_objstore *slow = NULL;
    if (firn_slow_create(env, inner, &o, &slow) != FIRN_OK)
        (void)firn_fail(err, FIRN_LIMIT, "out of memory");
    return slow;
}

const struct firn_main_wrap firn_main_wrap = {wrap, firn_slow_free};
