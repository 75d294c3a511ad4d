/* The append pipeline of a writer: records gather in the open batch, batches become slots, several
 * slots are in flight, and they count as durable strictly in slot order (I1, I2). Loop thread only.
 *
 *   open --close--> encoding --> in flight --PUT is ours--> landed --all below landed--> durable
 *
 * Closing is adaptive: with nothing in flight and somebody waiting for the batch, at the end of the
 * loop turn; otherwise when `interval` has passed since the last closing or the batch has
 * `batch_bytes`, provided fewer than `inflight_max` slots are under way. So a batch for which
 * nobody waits does not cost a PUT of its own on a store that is faster than the interval. */
#ifndef FIRN_LOG_APPEND_H
#define FIRN_LOG_APPEND_H

#include "env/env.h"
#include "format/batch.h"
#include "format/record.h"
#include "obs/budget.h"
#include "store/store.h"

#define FIRN_APPEND_INFLIGHT_MAX 256

struct firn_append;

struct firn_append_options {
    struct firn_id db;
    struct firn_id process_nonce;
    uint16_t format;          /* number of its objects (format/version.h): known */
    uint64_t epoch;           /* ours; its slots are numbered from 0 */
    uint64_t interval_ns;     /* wal-interval */
    uint64_t batch_bytes;     /* wal-batch-bytes: close at this size */
    uint64_t batch_bytes_max; /* (M): no batch is larger */
    unsigned inflight_max;    /* wal-inflight, 1..FIRN_APPEND_INFLIGHT_MAX */
    enum firn_codec codec;
    struct firn_budget *budget; /* told what batches hold (FIRN_BUDGET_BATCHES), or NULL */
};

struct firn_append_user {
    /* The log_time of the batch that is being closed. */
    uint64_t (*now_ms)(void *arg);
    /* Slot `slot` has been closed; the next record goes to the next one. Records must not be added
     * in it. */
    void (*closed)(void *arg, uint64_t slot);
    /* Does anybody want the records of the batch that is being closed? If so they are kept, as they
     * are, until it is durable; bounded by what may be unacknowledged, of which they are part. May
     * be NULL: nobody. */
    bool (*listens)(void *arg);
    /* A slot whose records were kept is durable: told in slot order, before `durable`. Borrowed. */
    void (*records)(void *arg, const struct firn_batch_header *header, struct firn_slice records);
    /* All slots below `slots` are durable; the newest seqno among them; and the time before which
     * the newest of them was first sent, its commit being a probe begun then (I6). */
    void (*durable)(void *arg, uint64_t slots, uint64_t last_seqno, uint64_t first_sent_ns);
    /* The log is not ours any more: FENCED (a seal lies in one of our slots) or CORRUPT (a foreign
     * batch does: two processes in one epoch). Nothing further is sent; called once. */
    void (*stopped)(void *arg, enum firn_status why, const struct firn_err *err);
    void *arg;
};

/* env and store must outlive it. LIMIT: memory. */
enum firn_status firn_append_create(const struct firn_env *env, struct firn_store *store,
                                    const struct firn_append_options *o,
                                    const struct firn_append_user *user,
                                    struct firn_append **out) FIRN_MUST_USE;
/* Requests under way end by themselves; nothing is called any more. NULL-safe. */
void firn_append_free(struct firn_append *a);

/* Could a group of `bytes` (firn_record_size of its records, group marks included) be added now?
 * False while the open batch cannot take it and no slot is free to close it into. A group larger
 * than batch_bytes_max never fits: the caller refuses it before. */
bool firn_append_room(const struct firn_append *a, size_t bytes);

/* Append n records as one atomic group (n > 1: between group marks), all in one slot; gives the
 * slot and the seqno of the first record proper (the others follow). LIMIT: no room (see above) or
 * memory: nothing was added. INVALID: a record that the format cannot hold. O(bytes), no allocation
 * when the batch has room. */
enum firn_status firn_append_add(struct firn_append *a, const struct firn_record *rec, size_t n,
                                 uint64_t *slot, uint64_t *first_seqno) FIRN_MUST_USE;

/* Somebody waits for `slot` to become durable; one that is closed already, or that nothing was
 * added to yet, is left as it is. O(1). */
void firn_append_want(struct firn_append *a, uint64_t slot);
/* Close the open batch as soon as a slot is free, whatever the policy says (shutdown, flush). */
void firn_append_close_now(struct firn_append *a);
/* Change the policy of a running pipeline (CONFIG SET). */
void firn_append_tune(struct firn_append *a, uint64_t interval_ns, uint64_t batch_bytes,
                      unsigned inflight_max);

/* Uncompressed bytes not known durable, the open batch included. O(1). */
uint64_t firn_append_unacked_bytes(const struct firn_append *a);
/* Boot clock: when the oldest slot not known durable got its first record; 0 = there is none. O(1).
 */
uint64_t firn_append_oldest_ns(const struct firn_append *a);

struct firn_append_state {
    bool open_used;         /* the open batch holds records */
    uint64_t open_slot;     /* the number the open batch has */
    uint64_t durable_slots; /* slots below this are durable */
    uint64_t sent_slots;    /* slots below this have been sent at least once */
    uint64_t next_seqno;    /* of the next record */
    uint64_t unacked_bytes; /* uncompressed bytes not known durable, the open batch included */
    uint64_t
        oldest_ns; /* boot clock: when the oldest slot not durable got its first record; 0 = none */
    uint64_t batches, records, raw_bytes, object_bytes; /* closed since the start */
    unsigned inflight;                                  /* closed and not durable */
};
void firn_append_state(const struct firn_append *a, struct firn_append_state *out);

#endif
