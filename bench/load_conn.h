/* A connection of firn-load: commands in flight, their replies checked one by one. */
#ifndef FIRN_BENCH_LOAD_CONN_H
#define FIRN_BENCH_LOAD_CONN_H

#include "bench/load_options.h"
#include "bench/load_record.h"
#include "bench/load_series.h"
#include "obs/hist.h"

#define LOAD_KINDS_MAX 16
#define LOAD_KIND_BYTES 24

/* What came back. */
struct load_counts {
    struct firn_hist latency; /* ns, of what was counted (warm-up is not) */
    uint64_t sets, gets, nils;
    uint64_t unanswered;
    uint64_t wrong; /* replies that must not be: corrupt, lost writes, stale, not understood */
    struct firn_err first_wrong;
    uint64_t errors;
    struct {
        char name[LOAD_KIND_BYTES];
        uint64_t n;
    } kind[LOAD_KINDS_MAX]; /* error replies by their first word */
};

/* What all connections share. */
struct load {
    struct load_options opt;
    struct load_record record;
    struct load_counts got;
    struct load_series series;
    uint64_t sent;       /* commands, of all connections */
    uint64_t count_from; /* commands due before this time are warm-up */
    uint8_t *in;         /* for reading, one connection at a time */
    size_t in_bytes;
};

struct load_flight {
    uint64_t due_ns;
    uint32_t key;
    uint32_t seq;   /* SET: its sequence number, 0 = a GET */
    uint32_t least; /* GET: the sequence number it must show at least */
};

struct load_conn {
    int fd; /* -1: closed */
    uint32_t index;
    bool first_owed;            /* the reply to --first has not come */
    bool wants_write;           /* the socket took no more */
    struct load_flight *flight; /* ring */
    uint32_t flight_from, flights;
    uint32_t ring_mask;
    uint64_t random;
    uint64_t next_key; /* sequential */
    struct firn_buf out, part;
    size_t out_sent;
};

/* Connect (blocking), then send --first. INVALID: err says why. */
enum firn_status load_conn_open(struct load_conn *c, struct load *l, uint32_t index,
                                struct firn_err *err) FIRN_MUST_USE;
void load_conn_close(struct load_conn *c, struct load *l);
/* Add one command, due at due_ns, to the output. False: no key is left, or memory is short. The
 * caller has seen to it that flights < pipeline. */
bool load_conn_add(struct load_conn *c, struct load *l, uint64_t due_ns);
/* Send what there is; false: the connection is broken. */
bool load_conn_flush(struct load_conn *c);
/* Read and check replies; false: the connection is broken. */
bool load_conn_receive(struct load_conn *c, struct load *l);

uint64_t load_now(void);

#endif
