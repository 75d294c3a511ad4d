/* Listeners of the log inside the engine: who is told every record of every durable slot, in log
 * order (pub/sub, keyspace events, tracking). While there is none, roles hand over nothing and a
 * reader polls for nothing. Loop thread only. */
#ifndef FIRN_ENGINE_FEED_PRIV_H
#define FIRN_ENGINE_FEED_PRIV_H

#include "base/list.h"
#include "format/batch.h"
#include "format/record.h"

struct firn_engine;
struct firn_session;

/* Embedded in its owner; zeroed (with the link initialised) it listens to nothing. */
struct firn_feed_listener {
    struct firn_list link; /* in engine->feed while it listens */
    /* One record of a slot that is durable; group marks and messages, too. Both are borrowed for
     * the call. It may append to connections and ask for their end, but must not evaluate commands,
     * and of listeners it may take away itself alone. */
    void (*record)(void *arg, const struct firn_batch_header *batch, const struct firn_record *r);
    /* Slots were skipped: what lay in them will never be told. */
    void (*gap)(void *arg);
    void *arg;
};

/* Listen from the next slot on that is told: on the writer the first that is closed from now on, on
 * a reader the next it applies. Harmless when it listens already. O(1). */
void firn_engine__feed_add(struct firn_engine *e, struct firn_feed_listener *l);
/* The command under way of this session will add a listener when it is answered: until
 * firn_engine__feed_soon_over the role keeps the slots that are closed from now on, and a reader
 * polls, as if somebody listened. Harmless when said before. O(1). */
void firn_engine__feed_soon(struct firn_session *s);
/* The command is done, whatever came of it; harmless without the above. O(1). */
void firn_engine__feed_soon_over(struct firn_session *s);
/* Listen no more; harmless when it does not. O(1). */
void firn_engine__feed_remove(struct firn_feed_listener *l);

#endif
