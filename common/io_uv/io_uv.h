/* The production world over libuv: one loop with clocks, timers, deferred calls, a small pool of
 * worker threads for jobs, sockets and signals. One per loop thread; everything here is for that
 * thread unless it says otherwise. Other adapters (io_s3, io_http) put their own handles on the
 * same uv_loop_t. */
#ifndef FIRN_IO_UV_IO_UV_H
#define FIRN_IO_UV_IO_UV_H

#include "env/env.h"
#include "env/net.h"
#include "env/post.h"

#include <uv.h>

struct firn_uv;

struct firn_uv_options {
    unsigned workers; /* threads for env->exec; 0 = one per CPU, at most 8 */
    bool reuseport;   /* listeners share their port with other loops (SO_REUSEPORT) */
};

/* A loop with its worker threads started. o may be NULL. FIRN_LIMIT with a message when memory,
 * file descriptors or threads are short. */
enum firn_status firn_uv_create(const struct firn_uv_options *o, struct firn_uv **out,
                                struct firn_err *err) FIRN_MUST_USE;

/* Close what is left of sockets and listeners (their users hear nothing), end the worker threads
 * and free all. No job may be under way, and other users' handles must be closed (uv_close called).
 * NULL-safe. */
void firn_uv_free(struct firn_uv *u);

/* The env of this loop, valid until free. Its net is this adapter's; its store is NULL until
 * whoever wires the program sets it. */
struct firn_env *firn_uv_env(struct firn_uv *u);
uv_loop_t *firn_uv_loop(struct firn_uv *u);

/* How other threads reach this loop; valid until free. */
const struct firn_poster *firn_uv_poster(struct firn_uv *u);

/* Run until firn_uv_stop. Callbacks of this loop are made here. May be called again afterwards. */
void firn_uv_run(struct firn_uv *u);
/* Let firn_uv_run return after this turn. From callbacks of the loop. */
void firn_uv_stop(struct firn_uv *u);

/* Call fn(arg, signal number) on the loop for SIGTERM, SIGINT and SIGHUP, and ignore SIGPIPE in the
 * process. At most one loop of a process may ask, once. FIRN_LIMIT when libuv cannot. */
enum firn_status firn_uv_signals(struct firn_uv *u, void (*fn)(void *arg, int signo), void *arg,
                                 struct firn_err *err) FIRN_MUST_USE;

/* Raise the process's soft limit on open files to at least `want`, as far as the hard limit lets
 * it. Returns the limit there is now. */
uint64_t firn_uv_nofile(uint64_t want);

#endif
