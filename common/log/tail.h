/* Tailing the log and probing how fresh that is (PROTOCOL.md, "Tailing and freshness"; I6): what a
 * reader and a standby do. Loop thread only.
 *
 *   idle --probe--> running --batch--> running (apply, next slot)
 *                   running --seal or 404--> vouching --believed seal--> running (next epoch)
 *                                            vouching --believed 404--> idle: the probe has ended
 *                                            vouching --kept has passed--> reload, running at its
 * floor any --failure--> resting --pause over--> running
 *
 * A 404 or a seal is believed only when a manifest reply vouches for it: its kept is not behind the
 * place, and it was asked for after the 404 or seal had come, or (S5) less than wal_grace / 4 lies
 * between, by the store's Date and by our own clock. The tail stops at every seal until it is
 * believed, so nothing from behind an unbelieved one is ever applied. */
#ifndef FIRN_LOG_TAIL_H
#define FIRN_LOG_TAIL_H

#include "log/slots.h"
#include "manifest/manifest.h"

struct firn_tail;

struct firn_tail_options {
    struct firn_id db;
    struct firn_place at; /* the first slot wanted: the floor of the view it feeds */
    uint64_t batch_raw_max;
    struct firn_budget *budget; /* of slots read ahead; or NULL */
    uint64_t ahead_bytes_max;
    uint64_t wal_grace_ns; /* the manifest's */
    bool strict;           /* always ask for the manifest last; assumes no clock at all */
};

struct firn_tail_user {
    /* The next batch. Anything but OK: it was not applied; the tail rests and delivers it again. */
    enum firn_status (*apply)(void *arg, const struct firn_slot_result *batch);
    /* A manifest was read on the way (borrowed): the user may move to its view. */
    void (*manifest)(void *arg, struct firn_manifest *m);
    /* kept has passed our place: slots we need are gone. The user drops its memory, takes the view
     * of m (borrowed); the tail goes on at m's floor. false: it could not, ask again after a rest.
     */
    bool (*reload)(void *arg, struct firn_manifest *m);
    /* The seal that counts of at.epoch lies there (I3), and was believed. May be NULL. */
    void (*sealed)(void *arg, struct firn_place at);
    /* A probe was believed: the state includes all that was acknowledged before fresh_ns (boot
     * clock), and all tickets up to `ticket` are done. */
    void (*believed)(void *arg, uint64_t fresh_ns, uint64_t ticket);
    /* Something failed; the tail rests and tries again. `for_good`: it does not mend, and the user
     * stops the node: the manifest is damaged or went back, or it or a slot, several times
     * in a row, is of a format that this program does not know. err may be NULL where it is not for
     * good. */
    void (*failed)(void *arg, enum firn_status s, const struct firn_err *err, bool for_good);
    void *arg;
};

/* The manifest node, env and store must outlive it. LIMIT: memory. */
enum firn_status firn_tail_create(const struct firn_env *env, struct firn_store *store,
                                  struct firn_manifest_node *mnode,
                                  const struct firn_tail_options *o,
                                  const struct firn_tail_user *user,
                                  struct firn_tail **out) FIRN_MUST_USE;
/* Not inside one of its callbacks; no manifest read of the tail may be under way unless the node
 * has been stopped. NULL-safe. */
void firn_tail_free(struct firn_tail *t);

/* Ask for a probe that begins from now on; returns its ticket. Shared: callers of one turn, and
 * those who come while an earlier probe runs, share the next. */
uint64_t firn_tail_probe(struct firn_tail *t);
/* Begin a probe if none is under way. */
void firn_tail_hint(struct firn_tail *t);
/* Hold back: nothing is applied until resume (the user's memory is at its bound). */
void firn_tail_pause(struct firn_tail *t);
void firn_tail_resume(struct firn_tail *t);

/* Go on at another place (the user took a view whose floor is ahead). A run under way begins anew
 * there. */
void firn_tail_seek(struct firn_tail *t, struct firn_place at);

/* The next slot wanted: everything before it has been applied. */
struct firn_place firn_tail_at(const struct firn_tail *t);
bool firn_tail_busy(const struct firn_tail *t);

struct firn_tail_stats {
    uint64_t probes, batches, records, raw_bytes, seals, missing, vouched_fast, vouched_read,
        reloads, failures;
};
const struct firn_tail_stats *firn_tail_stats_of(const struct firn_tail *t);

#endif
