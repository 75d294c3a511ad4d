/* The object store with patience: time-outs per attempt, retries with backoff, full jitter and a
 * budget, SlowDown respected, hedged GETs, lost replies and 412s of conditional PUTs resolved by a
 * look, and an account of every request. Everything above the objstore port goes through here. Loop
 * thread only. */
#ifndef FIRN_STORE_STORE_H
#define FIRN_STORE_STORE_H

#include "env/env.h"
#include "env/objstore.h"

struct firn_store;

/* Whoever found no memory waits so long before the next try. */
#define FIRN_STORE_MEMORY_REST_NS (10 * FIRN_MS)
/* Damage on the way is not damage in the store, and one flipped bit can look like a format from the
 * future: so often in a row an object is looked at before it is said to be damaged or newer. */
#define FIRN_STORE_LOOKS_MAX 3
/* Date counts whole seconds: one is added to what is measured by it. */
#define FIRN_STORE_DATE_GRAIN_MS 1000

struct firn_store_options {
    uint64_t attempt_base_ns;       /* time-out of an attempt: this … (0 = 1 s) */
    uint64_t attempt_bytes_per_sec; /* … plus size / this (0 = 10 MB/s) */
    uint64_t backoff_min_ns;        /* 0 = 20 ms; doubles per retry, full jitter */
    uint64_t backoff_max_ns;        /* 0 = 2 s */
    bool hedge_gets; /* send a second GET for one older than max(2·p50, p99), ≤ 1 % */
    /* Retries may be this part of first attempts, in percent (0 = 20), beside a reserve that
     * refills slowly; others wait their turn, so that an outage is not amplified. */
    unsigned retry_percent;
};

/* Of an operation or upload for which there was no memory: it waits to be told so. */
struct firn_store_failing {
    struct firn_timer timer;
    struct firn_store *store; /* NULL: not waiting */
};

/* What an operation's user wants done on the way. */
enum firn_store_flags {
    FIRN_STORE_NO_RETRY =
        1,                /* one attempt, its status as it is (the proof of the store wants this) */
    FIRN_STORE_HEDGE = 2, /* this GET or if-absent PUT may be hedged */
};

/* One operation, embedded in its user. firn_store_op_init, fill in req's inputs (not its done, arg,
 * timeout_ns: those are the store's), done and arg, then submit. Leave it alone until done() is
 * called, exactly once, never inside submit. Then read the results; firn_store_op_clear before
 * re-use.
 *
 * Results in `status`:
 * - FIRN_OK. For an IF_ABSENT PUT: the object holds our bytes (after any 412 or lost reply the
 * store looked: equal bytes are ours, for every conditional body carries a fresh nonce).
 * - FIRN_CONFLICT. IF_ABSENT: the object holds other bytes, which are in `found` (borrowed until
 *   clear). IF_MATCH: some attempt was answered 412 (or 404); it may be by our own earlier attempt,
 * so the caller must read the object and decide.
 * - FIRN_ABSENT. GET/HEAD: not there. IF_ABSENT PUT: 412, then 404: the object was there and is
 * gone. DELETE never answers it (deleting what is not there is OK).
 * - FIRN_UNCHANGED: GET IF_NONE_MATCH.
 * - FIRN_UNCERTAIN / FIRN_TRANSIENT: deadline passed or cancelled; UNCERTAIN when an attempt may
 * have been applied or may yet be.
 * - FIRN_DENIED, FIRN_INVALID, FIRN_LIMIT, FIRN_CORRUPT: as the port says, not retried (CORRUPT
 * bodies of GETs are retried twice first; DENIED is retried for a conditional PUT once it has been
 * sent before, as credentials rotate, until the deadline). LIMIT for want of memory before anything
 * was sent is told FIRN_STORE_MEMORY_REST_NS later, so that who tries again at once does not spin.
 */
struct firn_store_op {
    struct firn_os_req
        req; /* in: op, cond, key, …; out: reply, reply_etag, size, date_ms, page, err */
    unsigned flags;
    uint64_t deadline_ns; /* boot clock; 0 = try for ever (cancel ends it) */
    void (*done)(struct firn_store_op *op);
    void *arg;

    enum firn_status status;
    uint64_t first_sent_ns; /* boot clock: before the first attempt was submitted */
    uint64_t sent_ns; /* boot clock: before the attempt that was answered (or its hedge) was */
    uint64_t done_ns; /* boot clock: when the deciding reply had come */
    unsigned attempts;
    struct firn_buf found; /* IF_ABSENT, CONFLICT: what lies there instead */

    void *priv;                        /* the store's */
    struct firn_store_failing failing; /* the store's */
};

/* Create over env->store. The env must outlive it. FIRN_LIMIT when memory is short. */
enum firn_status firn_store_create(const struct firn_env *env, const struct firn_store_options *o,
                                   struct firn_store **out) FIRN_MUST_USE;
/* No operation, upload or proof may be under way. NULL-safe. */
void firn_store_free(struct firn_store *s);
/* Nothing is under way: cancelled operations have ended, too. O(1). */
bool firn_store_idle(const struct firn_store *s);

static inline void firn_store_op_init(struct firn_store_op *op)
{
    memset(op, 0, sizeof *op);
}
void firn_store_submit(struct firn_store *s, struct firn_store_op *op);
/* Ask op to end soon; done() still comes, with UNCERTAIN if something sent may be applied. Harmless
 * on an operation that is not under way. */
void firn_store_cancel(struct firn_store *s, struct firn_store_op *op);
/* Free results; inputs stay, so that the operation may be submitted again. */
void firn_store_op_clear(struct firn_store_op *op);

/* The Date of the last reply that carried one, and when that reply came (boot clock), for "Time" in
 * PROTOCOL.md: returns 0 when no reply carried one yet. */
int64_t firn_store_date_ms(const struct firn_store *s, uint64_t *at_boot_ns);

/* `wall_ms` held within skew_ms (+ 1 s: Date counts whole seconds) of that Date + the time passed
 * since on the boot clock; as it is where no Date is known. */
uint64_t firn_store_hold_ms(const struct firn_store *s, uint64_t wall_ms, uint64_t skew_ms);

/* --- account */
struct firn_store_account {
    uint64_t requests, retries, hedges, errors, slow_downs;
    uint64_t bytes_sent, bytes_received;
};
/* What was done by `op` since the start (attempts count as requests). */
const struct firn_store_account *firn_store_account_of(const struct firn_store *s,
                                                       enum firn_os_op op);
/* Dollars at S3 Standard's list prices (PERFORMANCE.md: PUT and LIST $5, GET and HEAD $0.40 per
 * million, DELETE free); 0 for a local store. */
double firn_store_dollars(const struct firn_store *s);

/* --- health: how requests of a kind have fared lately, for people to read; nothing is decided by
 * it
 */
struct firn_store_health {
    uint64_t failing_since_ns; /* boot clock: first failure in a row; 0 = the last was answered */
    uint64_t failed_ns;        /* boot clock: the newest failure */
    enum firn_status status;   /* of that */
    struct firn_err err;       /* of that */
    bool told;                 /* they have lasted for long enough to be told of */
    bool stale;                /* private: the newest failure was no news when the next was sent */
    unsigned in_flight;        /* private: attempts under way */
};
/* Borrowed; kept up to date. */
const struct firn_store_health *firn_store_health_of(const struct firn_store *s,
                                                     enum firn_os_op op);
/* Have requests of this kind failed for a second or more, lately? *for_ns: for how long. A node
 * that has had none under way for ten seconds does not know, and says no; what fails after that is
 * a new row. */
bool firn_store_ails(const struct firn_store *s, enum firn_os_op op, uint64_t *for_ns);
/* Call told() when failures of a kind have lasted for a second (h->told), once, and when one is
 * answered again (!h->told; the rest of h is as it was). Within a reply's callback: it must call
 * nothing of this room. NULL: nobody listens. */
void firn_store_watch(struct firn_store *s,
                      void (*told)(void *arg, enum firn_os_op op,
                                   const struct firn_store_health *h),
                      void *arg);

/* --- proof of the store (S2, S3): done by whoever creates a database or serves it as writer or
 * compactor */
/* Prove under probe/<nonce> that the store keeps its promises, find its dialect, tell it to the
 * adapter and hand it to done(status, dialect, err): OK; DENIED, INVALID … as met; INVALID with a
 * clear line when the store ignores conditions. Cleans up its object. About 9 requests, at most 30
 * s. err is empty on OK; it and dialect are borrowed for the call. */
void firn_store_prove(struct firn_store *s,
                      void (*done)(void *arg, enum firn_status status,
                                   const struct firn_os_dialect *dialect,
                                   const struct firn_err *err),
                      void *arg);
/* Use a dialect that somebody else proved (readers trust the manifest's copy). */
void firn_store_set_dialect(struct firn_store *s, const struct firn_os_dialect *d);

/* --- a large object without condition: multipart above 16 MiB, parts in parallel, else one PUT */
struct firn_store_upload {
    const char *key;        /* borrowed until done; a name that is never used twice (I10) */
    struct firn_slice body; /* borrowed until done */
    void (*done)(struct firn_store_upload *u);
    void *arg;
    uint64_t deadline_ns;    /* boot clock; 0 = try for ever */
    enum firn_status status; /* OK, or as for operations; after anything else the name is burnt */
    struct firn_err err;
    void *priv;                        /* the store's */
    struct firn_store_failing failing; /* the store's */
};
/* done() comes exactly once, never inside this call. */
void firn_store_upload(struct firn_store *s, struct firn_store_upload *u);
/* Ask u to end soon; done() still comes. Harmless when it is not under way (u zero-initialised or
 * done). */
void firn_store_upload_cancel(struct firn_store *s, struct firn_store_upload *u);

#endif
