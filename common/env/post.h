/* How an adapter's own threads reach the loop thread. For adapters only; cores know no threads. */
#ifndef FIRN_ENV_POST_H
#define FIRN_ENV_POST_H

#include "base/list.h"

/* A call to be made on the loop thread. Zero-initialise, set fn and arg; leave it alone from post
 * until fn is called. */
struct firn_post {
    struct firn_list link; /* the loop's */
    void (*fn)(void *arg);
    void *arg;
};

struct firn_poster {
    /* Any thread. p->fn(p->arg) is called once, soon, on the loop thread. Never blocks for long,
     * cannot fail. */
    void (*post)(void *ctx, struct firn_post *p);
    void *ctx;
};

#endif
