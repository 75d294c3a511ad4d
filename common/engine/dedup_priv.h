/* Requests that name an ID are committed at most once within dedup-ttl: a DEDUP record in their own
 * atomic group says that they were, and what was answered (INTERFACES "Traps measured"). It is
 * looked for on the newest applied state, so a request that is under way is found, too: its retry
 * is answered when that state is durable. */
#ifndef FIRN_ENGINE_DEDUP_PRIV_H
#define FIRN_ENGINE_DEDUP_PRIV_H

#include "engine/engine_priv.h"
#include "format/dedup.h"

/* A request's ID and the hash of all that it asks for. */
struct firn_request_id {
    struct firn_slice id; /* data NULL: it has none */
    uint64_t hash;
};

/* Take [ID reqid] at argv[*i]; *i is moved behind it. INVALID, answered. */
enum firn_status firn_engine__request_id(struct firn_eval *x, size_t *i,
                                         struct firn_request_id *out) FIRN_MUST_USE;
/* Was it committed? OK: yes, and *out says how (borrowed from the read); ABSENT: no. INVALID,
 * answered: another request had this ID. AGAIN and others as a read. */
enum firn_status firn_engine__request_find(struct firn_eval *x, const struct firn_request_id *id,
                                           struct firn_dedup *out) FIRN_MUST_USE;
/* Add the record to x's group; `value` is scratch that lasts until the commit. LIMIT: memory. */
enum firn_status firn_engine__request_keep(struct firn_eval *x, const struct firn_request_id *id,
                                           bool held, struct firn_slice results,
                                           uint8_t value[FIRN_DEDUP_MAX]) FIRN_MUST_USE;
/* Append kept results in the protocol of this connection; nil when they are not kept. CORRUPT: they
 * are none, nothing was appended. */
enum firn_status firn_engine__request_replay(struct firn_reply *out,
                                             const struct firn_dedup *d) FIRN_MUST_USE;

#endif
