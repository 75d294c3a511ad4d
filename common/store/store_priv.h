/* Shared by the files of the store room: store.c (life, account), call.c (one operation: attempts,
 * retries, looks), gate.c (when an attempt may be sent), hedge.c (when a second one is worth it),
 * health.c (how the store has been answering).
 */
#ifndef FIRN_STORE_STORE_PRIV_H
#define FIRN_STORE_STORE_PRIV_H

#include "store/store.h"

/* ---- hedge.c: recent latencies in logarithmic buckets, 8 to the octave, old ones fading */
#define HEDGE_BUCKETS 192
#define HEDGE_CLASSES 4 /* of size: up to 64 KiB, 1 MiB, 8 MiB, above */

struct hedge_hist {
    uint32_t count[HEDGE_BUCKETS];
    uint32_t total;
    uint32_t fresh;        /* recorded since threshold_ns was worked out */
    uint64_t threshold_ns; /* max(2·p50, p99); 0 = too few samples */
};

struct hedge {
    struct hedge_hist get[HEDGE_CLASSES], put[HEDGE_CLASSES];
    uint64_t credit; /* hedges that may be sent, in hundredths */
};

/* ---- gate.c: budget of retries, pacing after SlowDown */
struct gate {
    struct firn_list retries; /* calls waiting for a token */
    struct firn_list paced;   /* calls waiting for their turn */
    struct firn_timer timer;
    uint64_t tokens;    /* thousandths */
    uint64_t refill_ns; /* when tokens were last reckoned */
    uint64_t pace_ns;   /* between two attempts; 0 = no pacing */
    uint64_t pace_next; /* the next attempt may be sent then */
    uint64_t slowed_ns; /* when the store last said SlowDown; 0 = never */
};

/* ---- prove.c */
#define PROOF_BODY 48

struct proof {
    bool running;
    struct firn_store *store;
    void (*done)(void *arg, enum firn_status status, const struct firn_os_dialect *dialect,
                 const struct firn_err *err);
    void *arg;
    struct firn_store_op op;
    struct firn_os_dialect dialect;
    uint64_t deadline_ns;
    char key[64];
    char etag[FIRN_OS_ETAG_MAX];
    const char *del[1];
    uint8_t a[PROOF_BODY], b[PROOF_BODY], c[PROOF_BODY]; /* bodies with a nonce each */
    enum firn_status status;
    struct firn_err err;
};

struct firn_store {
    const struct firn_env *env;
    struct firn_store_options o;
    struct firn_list calls; /* struct call, under way */
    size_t failing;         /* operations and uploads that found no memory, not yet told */
    struct gate gate;
    struct hedge hedge;
    struct proof proof;
    struct firn_store_account account[FIRN_OS_OPS];
    struct firn_store_health health[FIRN_OS_OPS];
    void (*told)(void *arg, enum firn_os_op op, const struct firn_store_health *h);
    void *told_arg;
    int64_t date_ms;
    uint64_t date_at_ns;
};

enum call_state {
    CALL_GATE,    /* waits to be let through; timer: the deadline */
    CALL_SENT,    /* attempts are under way; timer: when to hedge */
    CALL_BACKOFF, /* timer: when to try again */
    CALL_ENDING,  /* status is known, done() is about to be called */
};

struct attempt {
    struct firn_os_req req;
    struct call *call;
    bool active;
    uint64_t sent_ns;
};

/* One operation under way. */
struct call {
    struct firn_list link;      /* store->calls */
    struct firn_list gate_link; /* in one of the gate's lists while CALL_GATE */
    struct firn_store *store;
    struct firn_store_op *op;
    enum call_state state;
    bool retry;         /* what is to be sent is a retry */
    bool looking;       /* a 412 of an if-absent PUT is being resolved: attempts are GETs */
    bool maybe_applied; /* some attempt of this write ended UNCERTAIN */
    bool cancelled;
    unsigned corrupt; /* CORRUPT replies so far */
    unsigned stretch; /* time-outs in a row: attempts get 2^stretch the time */
    uint64_t backoff_ns;
    struct firn_timer timer;
    struct firn_defer end;
    struct attempt a[2]; /* the second one is the hedge */
    unsigned active;
    struct attempt *best; /* the reply that decides, once all attempts have ended */
};

/* The gate lets the call through: send now. */
void firn_store__send(struct call *c);

/* --- store.c: what found no memory. Call told(arg) when FIRN_STORE_MEMORY_REST_NS have passed; it
 * begins with firn_store__failed. */
void firn_store__fail_later(struct firn_store *s, struct firn_store_failing *f,
                            void (*told)(void *arg), void *arg);
void firn_store__failed(struct firn_store_failing *f);
/* It was cancelled: do not wait. Nothing happens where f does not wait. */
void firn_store__fail_soon(struct firn_store_failing *f);

/* --- health.c: an attempt is sent; it ended, whatever it says; it was answered, or failed. */
void firn_store__health_sent(struct firn_store *s, enum firn_os_op op, uint64_t now);
void firn_store__health_ended(struct firn_store *s, enum firn_os_op op);
void firn_store__health_note(struct firn_store *s, const struct firn_os_req *r, bool answered,
                             uint64_t now);

void firn_store__gate_init(struct firn_store *s);
/* Send at once or when the call's turn comes; c->retry says whether it costs a token. */
void firn_store__gate_enter(struct firn_store *s, struct call *c);
void firn_store__gate_leave(struct call *c);
/* A reply came: adapt the pace. */
void firn_store__gate_note(struct firn_store *s, bool slow_down);
/* The store asked for patience lately. */
bool firn_store__gate_slow(const struct firn_store *s);

/* An operation that may be hedged is sent: it earns its hundredth. Returns after how long a second
 * attempt is worth sending; 0 = never. */
uint64_t firn_store__hedge_after(struct firn_store *s, enum firn_os_op op, uint64_t size);
/* Take the right to one hedge; false when 1 % is used up. */
bool firn_store__hedge_take(struct firn_store *s);
void firn_store__hedge_note(struct firn_store *s, enum firn_os_op op, uint64_t size, uint64_t ns);

#endif
