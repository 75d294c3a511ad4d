/* The log as the witness of a serial order: every write that counts, in the order that I5 gives
 * them, from the slots that landed in the store. With it a history can be checked in nearly linear
 * time, where without a known order of writes it is exponential (Gibbons & Korach, "Testing Shared
 * Memories", SIAM J. Comput. 26(4), 1997: the problem with the write order given).
 *
 * A unit is one atomic group, or one record on its own. State P is what the first P units give:
 * state 0 is empty. Only keys of database 0 are looked at. Pure; no thread of its own. */
#ifndef FIRN_TESTS_SIM_WITNESS_H
#define FIRN_TESTS_SIM_WITNESS_H

#include "format/id.h"
#include "format/place.h"
#include "sim/check_report.h"

struct witness_record {
    uint8_t kind;         /* PUT, DEL, RANGEDEL, EXPIRED */
    uint32_t key, end;    /* ids of keys; RANGEDEL: bounds, 0 = none */
    uint32_t value;       /* id of a value; 0 unless PUT */
    uint64_t expiry_ms;   /* 0: none */
    uint64_t value_seqno; /* EXPIRED */
    uint64_t seqno;
};

struct witness_unit {
    struct firn_place place;
    uint32_t record, records; /* in witness.record */
    uint64_t durable_ns;      /* when its slot, and all before it, had landed */
    uint64_t log_time_ms;     /* of its slot */
    uint64_t before_ms;       /* log time of the slot before: what the writer knew then */
};

/* A key's value from state `from` on. */
struct witness_version {
    uint32_t from;
    uint32_t value;       /* 0: there is none */
    uint64_t expiry_ms;   /* 0: none */
    uint64_t log_time_ms; /* of the slot that wrote it */
    uint64_t seqno;
};

struct witness_key {
    struct witness_version *version;
    size_t n, cap;
};

struct witness_slot; /* one that landed */

struct witness {
    struct hist *h; /* whose ids are used; borrowed */
    struct witness_slot *slot;
    size_t slots, slots_cap;
    struct witness_record *record;
    size_t records, records_cap;
    struct witness_unit *unit;
    size_t units, units_cap;
    struct witness_key *key; /* by id */
    uint32_t keys;
    uint32_t *order; /* ids of keys that were ever written, in the order of keys */
    size_t ordered;
    uint64_t expired;  /* records of kind EXPIRED */
    uint32_t *message; /* ids of values: what was published, in the log's order */
    size_t messages, messages_cap;
};

void witness_init(struct witness *w, struct hist *h);
void witness_clear(struct witness *w);

/* An object was put into a slot (a PUT that the store took). Only the first one counts (I1); it is
 * copied. */
void witness_landed(struct witness *w, struct firn_place place, struct firn_slice body,
                    uint64_t now_ns);

/* Read the log of this database from (first_epoch, 0) on, once, when all has landed that is to
 * count. Wrong are: batches that cannot be read, an epoch that is not closed by a seal though a
 * later one has batches (I4), seqnos that go back, an EXPIRED that does not name the newest value
 * of its key or comes before its time. */
void witness_read(struct witness *w, const struct firn_id *db, uint64_t first_epoch,
                  struct check_report *r);

/* For hand-made histories: one more unit, its records given; in place of witness_read. */
void witness_add(struct witness *w, const struct witness_unit *unit,
                 const struct witness_record *record, uint32_t records);
/* When all units were added: versions, and the checks of EXPIRED. witness_read does it itself. */
void witness_finish(struct witness *w, struct check_report *r);

/* The key's version in this state; NULL: never written. O(log versions). */
const struct witness_version *witness_at(const struct witness *w, uint32_t key, uint32_t state);
/* The first state behind this one in which the key differs; UINT32_MAX: none. */
uint32_t witness_change(const struct witness *w, uint32_t key, uint32_t state);
/* Written keys in [start, end) as ids in key order; 0 = no bound. *n is set. */
const uint32_t *witness_range(const struct witness *w, uint32_t start, uint32_t end, size_t *n);
/* The newest state all of which was durable by then. */
uint32_t witness_durable_by(const struct witness *w, uint64_t ns);
/* The state that holds everything up to and including seqno. */
uint32_t witness_state_of(const struct witness *w, uint64_t seqno);
/* The state that holds all slots before this place, and nothing behind it. */
uint32_t witness_state_before(const struct witness *w, struct firn_place place);
/* The newest log time that a node which has this state must know. */
uint64_t witness_log_time(const struct witness *w, uint32_t state);

#endif
