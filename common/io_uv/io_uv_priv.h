/* Shared by the files of io_uv: uv_loop.c (loop, clocks, timers, deferred calls), uv_pool.c (worker
 * threads and calls from other threads), uv_net.c (sockets). */
#ifndef FIRN_IO_UV_IO_UV_PRIV_H
#define FIRN_IO_UV_IO_UV_PRIV_H

#include "io_uv/io_uv.h"

#include <pthread.h>

#define UV_READ_BYTES ((size_t)256 * 1024)
#define UV_SIGNALS 3

/* Worker threads, and the mailbox by which any thread reaches the loop. */
struct uv_pool {
    pthread_mutex_t lock; /* guards the three lists, stop and notified */
    pthread_cond_t more;
    struct firn_list queue; /* firn_job, to be run */
    struct firn_list ran;   /* firn_job, to be done() on the loop */
    struct firn_list posts; /* firn_post */
    bool stop;
    bool notified;     /* an async wake-up is on its way */
    uv_async_t mail;   /* wakes the loop */
    pthread_t *thread; /* owned */
    unsigned threads;
};

struct firn_uv {
    uv_loop_t loop;
    struct firn_env env;
    struct firn_net net;
    struct firn_poster poster;
    struct firn_uv_options options;
    /* timers: one uv_timer for the first of the heap, which is ordered by CLOCK_MONOTONIC ns */
    struct firn_heap timers;
    uv_timer_t timer;
    uint64_t armed_ms; /* loop time at which `timer` fires; 0 = not running */
    /* deferred calls: run in `prepare` (after timers) and `check` (after I/O); `idle` keeps the
     * loop from sleeping while there are some */
    struct firn_list defers;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;
    /* signals */
    uv_signal_t signal[UV_SIGNALS];
    unsigned signals;
    void (*signal_fn)(void *arg, int signo);
    void *signal_arg;
    /* sockets */
    struct firn_list socks;     /* firn_sock, not closed */
    struct firn_list listeners; /* uv_listener */
    uint8_t *read_buf;          /* UV_READ_BYTES, shared by all sockets of the loop */
    int reserve_fd; /* given up for a moment when there is no descriptor left; -1 = none */
    struct uv_pool pool;
};

uint64_t firn_uv__mono_ns(void *ctx);

enum firn_status firn_uv__pool_start(struct firn_uv *u, struct firn_err *err) FIRN_MUST_USE;
/* Join the threads and close the mailbox's handle. */
void firn_uv__pool_stop(struct firn_uv *u);
void firn_uv__exec(void *ctx, struct firn_job *job);
void firn_uv__post(void *ctx, struct firn_post *p);

enum firn_status firn_uv__net_init(struct firn_uv *u, struct firn_err *err) FIRN_MUST_USE;
void firn_uv__net_deinit(struct firn_uv *u);

#endif
