/* Reading slots in order with look-ahead: what replay and tailing share. Loop thread only.
 *
 * The fetcher GETs consecutive slots of one epoch, several at a time, and delivers them strictly in
 * slot order: batches decoded and checked, until it meets a seal, an empty slot or a failure, where
 * it stops and forgets what it had fetched ahead ("slots fetched ahead count in slot order",
 * PROTOCOL.md). A slot that looks damaged, or of a format from the future, has looked so three
 * times in a row: bits also flip on the way. Whether an empty slot or a seal is to be believed is
 * the user's business. */
#ifndef FIRN_LOG_SLOTS_H
#define FIRN_LOG_SLOTS_H

#include "env/env.h"
#include "format/batch.h"
#include "format/place.h"
#include "format/seal.h"
#include "obs/budget.h"
#include "store/store.h"

#define FIRN_SLOTS_WINDOW_MAX 64

enum firn_slot_found {
    FIRN_FOUND_BATCH,   /* the fetcher goes on with the next slot */
    FIRN_FOUND_SEAL,    /* the fetcher has stopped at this slot */
    FIRN_FOUND_MISSING, /* 404; stopped at this slot */
    FIRN_FOUND_FAILED,  /* status and err say why; stopped at this slot */
};

struct firn_slot_result {
    enum firn_slot_found found;
    struct firn_place place;
    uint64_t sent_ns; /* boot clock: before the GET that was answered was sent */
    uint64_t done_ns; /* boot clock: when its answer had come */
    int64_t date_ms;  /* the store's Date on it; 0 = none */
    /* BATCH, borrowed for the call: */
    const struct firn_batch_header *batch;
    struct firn_slice records;
    size_t object_bytes;
    /* FAILED: */
    enum firn_status status;
    const struct firn_err *err; /* names the object */
    bool newer; /* it was written for a format that this program does not know: no use to retry */
};

struct firn_slots_options {
    struct firn_id db;
    uint64_t batch_raw_max;     /* bound of a batch's uncompressed size */
    uint64_t ahead_bytes_max;   /* stop looking further ahead while this much is held */
    struct firn_budget *budget; /* told what is held (FIRN_BUDGET_BATCHES), or NULL */
    unsigned window_first;      /* GETs in flight when it starts; at least 1 */
    unsigned window_max;        /* at most FIRN_SLOTS_WINDOW_MAX */
};

struct firn_slots;

/* on_slot is called once per slot, in order, never inside firn_slots_run. In it the user may call
 * seek, run and stop, but not free. env and store must outlive the fetcher. LIMIT: memory. */
enum firn_status firn_slots_create(const struct firn_env *env, struct firn_store *store,
                                   const struct firn_slots_options *o,
                                   void (*on_slot)(void *arg, const struct firn_slot_result *r),
                                   void *arg, struct firn_slots **out) FIRN_MUST_USE;
/* Requests under way end by themselves and are not delivered. NULL-safe. */
void firn_slots_free(struct firn_slots *f);
/* Stop and stand at this place. */
void firn_slots_seek(struct firn_slots *f, struct firn_place at);
/* Fetch from where it stands until it stops by itself. No effect while it runs. */
void firn_slots_run(struct firn_slots *f);
/* Forget what is under way; run() begins anew at the same place. */
void firn_slots_stop(struct firn_slots *f);
bool firn_slots_running(const struct firn_slots *f);
/* The slot to be delivered next. */
struct firn_place firn_slots_at(const struct firn_slots *f);

#endif
