/* A deterministic world for tests: virtual time, any number of nodes (each a struct firn_env), and
 * one object store in memory that they share. Everything follows from one seed: same seed, same
 * calls, same run, to the event. Single-threaded; no real time passes; nothing is allocated through
 * base/mem but what a reply hands to its request, so torture tests count only the code under test.
 *
 *     struct firn_fake_world *w = firn_fake_world_new(&(struct firn_fake_options){.seed = 7});
 *     struct firn_fake_node *n = firn_fake_node_add(w, NULL);
 *     const struct firn_env *env = firn_fake_env(n);          // env->store and env->net
 *                                                             // are set
 *     ... create the thing under test over env, start it ...
 *     assert_true(firn_fake_run_until(w, is_done, &thing, 10 * FIRN_SEC));
 *     assert_true(firn_fake_get(w, "manifest", &body));
 *     firn_fake_world_free(w);
 *
 * A step is one event: a timer, a job, a request taking effect in the store, or a reply, followed
 * by the node's deferred calls. A request takes effect at one instant between submit and reply (so
 * the store is linearizable: S1–S4 of PROTOCOL.md), unless a fault says otherwise. Request bodies
 * and names are copied at submit. Out of memory and misuse abort. */
#ifndef FIRN_TESTS_FAKES_FAKE_ENV_H
#define FIRN_TESTS_FAKES_FAKE_ENV_H

#include "base/slice.h"
#include "env/env.h"
#include "env/objstore.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct firn_fake_world;
struct firn_fake_node;

/* The next number of a stream: SplitMix64 (Steele, Lea, Flood 2014). */
static inline uint64_t firn_fake_draw(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Random faults, each in parts per million of the requests it can befall (0 = never). */
struct firn_fake_faults {
    uint32_t lost_before; /* dropped on the way; the caller hears of it at once or by time-out */
    uint32_t lost_after;  /* takes effect, the reply is lost */
    uint32_t late; /* writes: the caller hears UNCERTAIN, then, up to late_max_ns later, it lands */
    uint32_t twice;     /* writes: delivered twice, the second up to late_max_ns later; now and then
                           the caller sees the reply of the second (a 412 by its own bytes) */
    uint32_t err_500;   /* 500; a write takes effect or not */
    uint32_t err_503;   /* 503 SlowDown; nothing is done */
    uint32_t err_409;   /* conditional PUT: 409; nothing is decided */
    uint32_t refused;   /* connection refused; nothing is done */
    uint32_t denied;    /* 403; nothing is done */
    uint32_t loser_500; /* a conditional PUT that loses is answered 500 instead of 412 */
    uint32_t short_read; /* GET: the body ends early: CORRUPT */
    uint32_t bit_flip;   /* GET: one bit of the body is wrong and the status is OK */
    uint32_t slow;       /* takes 10–100 times as long */
    /* The network (fake_net.h). */
    uint32_t net_refused; /* of the connections dialled */
    uint32_t net_reset;   /* of the pieces that arrive: there the connection breaks, and of what is
                             under way, each way, all or nothing arrives */
    uint32_t net_slow;    /* of the pieces: takes 10–1000 times as long */
    uint32_t net_chop;    /* of the pieces: only a part of what is there, half of them one byte */
    uint32_t net_silent;  /* of the nodes killed or crashed: the machine is dead, its clients hear
                             nothing; else their connections end, with or without the last bytes */
    /* Local disks (fake_disk.h). */
    uint32_t disk_torn; /* of the reboots: some pages and sectors of what was not synced are there,
                           and some names; else none */
    uint32_t disk_rot;  /* of the reads: a bit is wrong, for good */
    uint32_t disk_read_error, disk_write_error; /* of the reads; of the writes and syncs */
    uint32_t disk_slow;                         /* of the requests: takes 10–1000 times as long */
};

struct firn_fake_options {
    uint64_t seed;
    /* One request takes latency_min … latency_max (0, 0 = 1 … 5 ms), uniformly, plus, with
     * bytes_per_sec > 0, the length of its body or reply over that rate. */
    uint64_t latency_min_ns, latency_max_ns;
    uint64_t bytes_per_sec;
    bool latency_heavy;   /* a heavy tail on top (Pareto, index 1.7; up to 16,000 times as long) */
    uint64_t late_max_ns; /* of `late` and `twice`; 0 = 60 s. Any length up to it, short ones
                             more often (log-uniform) */
    uint64_t timer_slack_ns; /* timers fire up to this much late; 0 = on the dot */
    uint64_t date_skew_ms;   /* the store's Date is off by up to this, per reply, either way */
    /* One way through the network; 0, 0 = 50 … 500 us. */
    uint64_t net_latency_min_ns, net_latency_max_ns;
    size_t net_window_max; /* bytes from a node under way; per connection 64 … this; 0 = 64 KiB */
    uint64_t wall_start_ms; /* the true time of day at the start; 0 = 2026-01-01 */
    struct firn_fake_faults faults;
    /* What the store is like. */
    size_t list_page;           /* entries per LIST page; 0 = 1000 */
    bool list_unsorted;         /* any order, and start_after is ignored (S3 Express) */
    bool if_match_bare;         /* quoted ETags in If-Match never match (Ceph RGW 16) */
    bool if_match_missing_412;  /* If-Match on a missing object: 412; default 404 */
    bool no_delete_many;        /* multi-object delete is refused: INVALID */
    bool ignores_if_none_match; /* a broken store: If-None-Match: * is ignored */
    bool ignores_if_match;      /* a broken store: If-Match is ignored */
    bool no_date;               /* replies carry no Date */
};

/* ---- the world */
struct firn_fake_world *firn_fake_world_new(const struct firn_fake_options *o);
/* Frees nodes and objects. Requests still under way are forgotten: their done() never comes. */
void firn_fake_world_free(struct firn_fake_world *w);
/* Run the next event; false when there is none. */
bool firn_fake_step(struct firn_fake_world *w);
/* Step until pred(arg) holds (asked before each step); false when it still does not at now + max_ns
 * (time stands there then) or when nothing is left to happen. */
bool firn_fake_run_until(struct firn_fake_world *w, bool (*pred)(void *arg), void *arg,
                         uint64_t max_ns);
/* Run everything that happens in the next `ns`; time stands at now + ns afterwards. */
void firn_fake_run_for(struct firn_fake_world *w, uint64_t ns);
/* Virtual time since the start. */
uint64_t firn_fake_now_ns(const struct firn_fake_world *w);
/* The true time of day in ms since 1970: wall_start_ms plus virtual time. */
uint64_t firn_fake_true_ms(const struct firn_fake_world *w);
/* Call fn(arg) once, `after_ns` from now, outside any node. */
void firn_fake_at(struct firn_fake_world *w, uint64_t after_ns, void (*fn)(void *arg), void *arg);
/* A draw from the world's own stream: for the test's decisions. */
uint64_t firn_fake_random(struct firn_fake_world *w);
/* One line per event to `out` from now on (NULL: no more): the time, the node, what. */
void firn_fake_trace_to(struct firn_fake_world *w, FILE *out);
/* A line of its own in it, of node n (NULL: of none). Costs next to nothing when there is no trace.
 */
void firn_fake_say(const struct firn_fake_world *w, const struct firn_fake_node *n, const char *fmt,
                   ...) FIRN_PRINTF(3, 4);
/* Hash over every event so far (time, kind, node, key, outcome): equal on two runs of one seed. */
uint64_t firn_fake_trace_hash(const struct firn_fake_world *w);
/* The options, to be changed while the world runs (seed and wall_start_ms have no effect any more).
 */
struct firn_fake_options *firn_fake_options(struct firn_fake_world *w);

/* ---- nodes: processes on machines of their own */
/* prefix: the path of this node's database in the store ("" or NULL: the root). Names in requests
 * are below it, as with a URL; the peeks below take whole names. */
struct firn_fake_node *firn_fake_node_add(struct firn_fake_world *w, const char *prefix);
const struct firn_env *firn_fake_env(const struct firn_fake_node *n);
/* Which node this is: 0, 1, … in the order they were added. */
unsigned firn_fake_node_index(const struct firn_fake_node *n);
/* The next process on the machine of one that was killed or has crashed: a node with its prefix,
 * its clocks and its disk. rebooted: the machine was, too: its monotonic clocks start from 0. */
struct firn_fake_node *firn_fake_node_restart(struct firn_fake_node *old, bool rebooted);
/* From now on nothing of this node runs; its timers and replies wait. Clocks go on, and requests it
 * sent take effect. */
void firn_fake_node_freeze(struct firn_fake_node *n);
/* The same with its whole machine asleep: mono_ns stands still, and timers count by that; boot_ns
 * and wall_ms go on. Its kernel does not answer either; of the replies that come while it sleeps
 * half are lost. */
void firn_fake_node_suspend(struct firn_fake_node *n);
/* All that was held back runs now, in the order in which it would have. */
void firn_fake_node_thaw(struct firn_fake_node *n);
bool firn_fake_node_frozen(const struct firn_fake_node *n);
/* kill -9: no callback of this node ever comes again, and what it asks for from now on is ignored
 * (so that the test may free its memory); requests it had sent still take effect. */
void firn_fake_node_kill(struct firn_fake_node *n);
/* The end of a process as the world sees it, without that of its memory: for good it is cut off
 * from the store, its connections end or hang, nobody can dial it, and nothing that it does from
 * now on has any effect. Its core is told that its connections are gone and may shut down by its
 * own means: a kill that leaks nothing. */
void firn_fake_node_crash(struct firn_fake_node *n);
bool firn_fake_node_crashed(const struct firn_fake_node *n);
/* Cut the node from the store (or join it again): requests fail as if dropped on the way, those
 * under way lose their replies. A core can be shut down by its own means behind this without having
 * any effect on the world: a kill that leaks nothing. */
void firn_fake_node_cut(struct firn_fake_node *n, bool cut);
/* Its clocks: wall off by offset_ms from the truth; all its clocks and timers run faster than true
 * time by drift_ppm (negative: slower). Clocks go on from where they stand. */
void firn_fake_node_clock(struct firn_fake_node *n, int64_t wall_offset_ms, int32_t drift_ppm);
/* Its wall clock is set forward or back. */
void firn_fake_node_wall_jump(struct firn_fake_node *n, int64_t by_ms);
/* Its credentials are no longer taken (or are again): every request is answered 403. */
void firn_fake_node_deny(struct firn_fake_node *n, bool deny);

/* ---- the store as a whole */
/* It is down (or up again): requests are refused, dropped or answered 500 or 503, and what is under
 * way gets lost. */
void firn_fake_store_down(struct firn_fake_world *w, bool down);

/* ---- what becomes of one request */
enum firn_fake_fate {
    FIRN_FAKE_RANDOM,       /* as latencies and faults of the options have it */
    FIRN_FAKE_CLEAN,        /* no fault */
    FIRN_FAKE_DROP,         /* lost on the way: heard of by time-out */
    FIRN_FAKE_LOSE_REPLY,   /* takes effect, reply lost: heard of by time-out */
    FIRN_FAKE_RESET,        /* as DROP, heard of at once (connection reset: UNCERTAIN for writes) */
    FIRN_FAKE_RESET_DONE,   /* as LOSE_REPLY, heard of at once */
    FIRN_FAKE_LATE,         /* UNCERTAIN by time-out, takes effect late_ns after that */
    FIRN_FAKE_TWICE,        /* takes effect, and again late_ns after; the first's reply is seen */
    FIRN_FAKE_TWICE_SECOND, /* takes effect twice in a row, the second's reply is seen */
    FIRN_FAKE_REFUSED,      /* connection refused: TRANSIENT */
    FIRN_FAKE_409,
    FIRN_FAKE_500,      /* not applied */
    FIRN_FAKE_500_DONE, /* applied */
    FIRN_FAKE_503,
    FIRN_FAKE_DENIED,   /* 403 */
    FIRN_FAKE_REJECTED, /* 400, as a proxy on the way may say */
    FIRN_FAKE_SHORT_READ,
    FIRN_FAKE_BIT_FLIP,
    FIRN_FAKE_HOLD, /* waits on the way until firn_fake_release (the caller may time out) */
};

struct firn_fake_plan {
    enum firn_fake_fate fate;
    uint64_t delay_ns; /* on top of the latency, half before and half after taking effect */
    uint64_t late_ns;  /* LATE, TWICE */
};

/* Called at each submit, before anything is decided; plan is RANDOM. Must not call into the world
 * but for peeks and firn_fake_random. NULL: none. req->key is below the node's prefix. */
void firn_fake_on_request(struct firn_fake_world *w,
                          void (*fn)(void *arg, struct firn_fake_node *n,
                                     const struct firn_os_req *req, struct firn_fake_plan *plan),
                          void *arg);
/* Called whenever a request has taken effect in the store (each time, if twice), with its whole
 * name, its body (of a PUT) and the status it came to: for checkers. NULL: none. */
void firn_fake_on_effect(struct firn_fake_world *w,
                         void (*fn)(void *arg, unsigned node, enum firn_os_op op, const char *name,
                                    struct firn_slice body, enum firn_status status),
                         void *arg);
/* Called before a request removes an object that is there, with its whole name and its body: for
 * checkers. NULL: none. */
void firn_fake_on_delete(struct firn_fake_world *w,
                         void (*fn)(void *arg, unsigned node, const char *name,
                                    struct firn_slice body),
                         void *arg);
/* Let held requests go on, oldest first: those whose whole name starts with `prefix` (NULL: all),
 * at most `max`. Returns how many. */
size_t firn_fake_release(struct firn_fake_world *w, const char *prefix, size_t max);
size_t firn_fake_held(const struct firn_fake_world *w);

/* ---- peeks: at once, without latency or fault, seen by no counter */
/* *body is borrowed until the object is next written, deleted or freed. */
bool firn_fake_get(const struct firn_fake_world *w, const char *name, struct firn_slice *body);
void firn_fake_put(struct firn_fake_world *w, const char *name, const void *data, size_t len);
bool firn_fake_delete(struct firn_fake_world *w, const char *name);
/* The first name behind `after` (NULL: from the start) that begins with prefix, or NULL. Borrowed
 * until that object is deleted. */
const char *firn_fake_next(const struct firn_fake_world *w, const char *prefix, const char *after);
size_t firn_fake_count(const struct firn_fake_world *w, const char *prefix);
/* Multipart uploads begun and neither completed nor aborted. */
size_t firn_fake_uploads(const struct firn_fake_world *w);
/* Requests submitted so far by all nodes; op FIRN_OS_OPS: of all kinds. */
uint64_t firn_fake_requests(const struct firn_fake_world *w, enum firn_os_op op);
/* Requests submitted whose reply has not been delivered (held, frozen and killed ones included). */
size_t firn_fake_in_flight(const struct firn_fake_world *w);

#endif
