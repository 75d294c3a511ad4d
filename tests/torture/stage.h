/* A small cluster in the fake world for torture: the real cores, one client that remembers what may
 * be there, and one fault: the n-th allocation fails, or the n-th request to the store goes wrong.
 * Everything follows from (flow, fault, n), so that a run can be repeated. */
#ifndef FIRN_TESTS_TORTURE_STAGE_H
#define FIRN_TESTS_TORTURE_STAGE_H

#include "testing.h"

#include "compactor/compactor_core.h"
#include "conf/conf.h"
#include "fakes/fake_env.h"
#include "reader/reader_core.h"
#include "unit/resp_fake_net.h"
#include "writer/writer_core.h"

#define STAGE_NODES 8
#define STAGE_KEYS 24
#define STAGE_PAST 40
#define STAGE_REPLY_MAX ((size_t)1 << 20)

enum stage_role { STAGE_WRITER, STAGE_READER, STAGE_COMPACTOR };

struct stage_node {
    struct stage *s;
    enum stage_role role;
    struct fake net;
    struct firn_store *store;
    struct firn_settings settings;
    struct firn_obs obs;
    union {
        struct firn_writer *writer;
        struct firn_reader *reader;
        struct firn_compactor *compactor;
    } core;
    bool serving, over, failed;
    char why[512]; /* failed */
    unsigned number;
};

/* What a key may hold: numbers that were written to it, oldest first; 0 = absent. One that was seen
 * or acknowledged ends all before it. */
struct stage_key {
    uint32_t may[STAGE_PAST];
    unsigned count;
};

enum stage_fault { STAGE_NO_FAULT, STAGE_MEMORY, STAGE_MEMORY_GONE, STAGE_STORE, STAGE_STORE_GONE };

struct stage {
    struct firn_fake_world *w;
    struct stage_node *node[STAGE_NODES];
    unsigned nodes;
    struct stage_node *writer, *reader, *compactor; /* the newest of each */
    struct stage_key key[STAGE_KEYS];
    uint32_t numbers; /* given to values */
    uint64_t counted; /* increments with an ID that were acknowledged */
    bool tiny;        /* limits so small that everything is flushed and merged at once */
    uint64_t heartbeat_ns;
    /* the fault */
    enum stage_fault fault;
    enum firn_fake_fate fate; /* STORE */
    uint64_t at, requests;    /* of the requests since it was armed */
    bool armed;
    const char *what; /* for messages */
};

void stage_open(struct stage *s);
/* End all nodes, tidily, and free everything. */
void stage_close(struct stage *s);
/* From now on the fault may strike; disarm says how often it could have. */
void stage_arm(struct stage *s);
uint64_t stage_disarm(struct stage *s);
/* Say where, and end the program with status 1. */
_Noreturn void stage_fail(const struct stage *s, const char *fmt, ...) FIRN_PRINTF(2, 3);

/* ---- nodes; NULL when memory is short */
struct stage_node *stage_writer(struct stage *s, bool standby);
struct stage_node *stage_reader(struct stage *s);
struct stage_node *stage_compactor(struct stage *s);
/* Wait until it serves (a compactor: is there) or is over. */
bool stage_serves(struct stage_node *n);
void stage_halt(struct stage_node *n); /* as kill -9 */
void stage_stop(struct stage_node *n); /* as SIGTERM */
void stage_run(struct stage *s, uint64_t ns);

/* ---- clients */
struct stage_client {
    struct stage_node *n;
    struct firn_sock *sock;
    char reply[STAGE_REPLY_MAX];
};
struct stage_client *stage_connect(struct stage_node *n);
/* Send a command (words divided by blanks, '' = an empty one) and wait for its reply, which is
 * borrowed until the next call; NULL: none came. Connects anew first if it must. An error that
 * clients are not promised ends the program. */
const char *stage_call(struct stage_client *c, const char *fmt, ...) FIRN_PRINTF(2, 3);
void stage_hang_up(struct stage_client *c); /* and free it */
/* Line n (from 0) of a reply that is no error, without its CRLF; "" otherwise. */
void stage_line(const char *reply, unsigned n, char *out, size_t cap);

/* ---- what is written, and what must be there */
/* Write a new number to each of the keys [first, first + n) in one transaction of one of several
 * forms; pad = bytes behind it. */
void stage_write(struct stage_client *c, unsigned first, unsigned n, unsigned form, unsigned pad);
void stage_delete(struct stage_client *c, unsigned first, unsigned n);
/* Add 1 to a counter by a request with an ID, again and again until it is answered. */
void stage_count(struct stage_client *c, unsigned tries);
/* Read all keys and the counter, and end the program if they show what they cannot. False: they are
 * not to be read now. */
bool stage_check(struct stage_client *c);
/* They are to be read on this node, and soon. */
void stage_must_show(struct stage_node *n);

#endif
