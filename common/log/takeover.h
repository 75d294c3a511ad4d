/* The log part of a take-over (PROTOCOL.md, "Take-over"): every epoch below ours, from the floor's
 * on, is sealed in its lowest slot that is not a batch, and what lies before is replayed in order
 * (I4, I5). The claim of the epoch must be known to have won before this begins; when it is done
 * the caller reads the manifest once more and serves only if epoch and process nonce are still its
 * own. Loop thread only. */
#ifndef FIRN_LOG_TAKEOVER_H
#define FIRN_LOG_TAKEOVER_H

#include "log/slots.h"

struct firn_takeover;

struct firn_takeover_options {
    struct firn_id db;
    struct firn_id process_nonce;
    uint64_t epoch; /* ours */
    /* Everything before is known: the floor of the manifest that our claim made, or a place at or
     * behind it that a standby has tailed to (every seal on the way believed). */
    struct firn_place from;
    uint64_t batch_raw_max;
    struct firn_budget *budget; /* of slots read ahead; or NULL */
    uint64_t ahead_bytes_max;
};

struct firn_takeover_stats {
    uint64_t batches, records, raw_bytes, seals_put, seals_met, chased, rests;
};

/* Worth another try after a claim, without end: the store is away, credentials are being changed,
 * memory is short, the store is full. To give up would leave a manifest that names nobody who
 * serves. */
static inline bool firn_takeover_may_pass(enum firn_status s)
{
    return s == FIRN_TRANSIENT || s == FIRN_UNCERTAIN || s == FIRN_DENIED || s == FIRN_LIMIT;
}

struct firn_takeover_user {
    /* A batch of the log, in order. Must not free the take-over. Anything but FIRN_OK ends it with
     * that. */
    enum firn_status (*apply)(void *arg, const struct firn_batch_header *batch,
                              struct firn_slice records);
    /* The seal that counts of at.epoch lies there (I3). May be NULL. */
    void (*sealed)(void *arg, struct firn_place at);
    /* What may pass has stopped it for now, err says what: told once until it makes a step again.
     * Must not free the take-over. May be NULL. */
    void (*resting)(void *arg, enum firn_status status, const struct firn_err *err);
    /* OK: all epochs below ours are sealed and replayed. FENCED: a slot we looked for was
     * collected, so a newer writer serves. CORRUPT, INVALID, …: as met, err says where.
     * Called once; the take-over may be freed in it. */
    void (*done)(void *arg, enum firn_status status, const struct firn_err *err);
    void *arg;
};

/* Begins at once. env and store must outlive it. LIMIT: memory. */
enum firn_status firn_takeover_start(const struct firn_env *env, struct firn_store *store,
                                     const struct firn_takeover_options *o,
                                     const struct firn_takeover_user *user,
                                     struct firn_takeover **out) FIRN_MUST_USE;
/* Also ends one under way, without done(): seals already sent may still land, which is harmless.
 * NULL-safe. */
void firn_takeover_free(struct firn_takeover *t);
const struct firn_takeover_stats *firn_takeover_stats_of(const struct firn_takeover *t);

#endif
