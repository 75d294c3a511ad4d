/* The engine: Redis and KV.* commands over a database (db.h), served through the resp room. */
#ifndef FIRN_ENGINE_ENGINE_H
#define FIRN_ENGINE_ENGINE_H

#include "engine/db.h"

struct firn_engine;

/* Create the engine and its RESP server over db->env->net, not listening yet. */
enum firn_status firn_engine_create(struct firn_db *db, struct firn_engine **out, struct firn_err *err) FIRN_MUST_USE;
/* Listen as the settings say (bind, port). Gives the port listened on. */
enum firn_status firn_engine_listen(struct firn_engine *e, uint16_t *port, struct firn_err *err) FIRN_MUST_USE;
/* Close all connections after sending what may be sent; free. NULL-safe. */
void firn_engine_free(struct firn_engine *e);

/* The role changed db (durable, probe, view, room, place, fenced): release gated replies and wake parked
 * commands that can go on. Cheap when nothing waits; safe to call from any callback of the role. */
void firn_engine_advance(struct firn_engine *e);
/* The writer was fenced or stops: replies gated behind gate > durable_gate answer -KVUNKNOWN, new writes
 * -READONLY (db->fenced is set by the role before). */
void firn_engine_fence(struct firn_engine *e);
/* Stop accepting and reading; done(arg) when every reply owed has been sent or `deadline_ns` (boot) passed. */
void firn_engine_drain(struct firn_engine *e, uint64_t deadline_ns, void (*done)(void *arg), void *arg);
/* Append the engine's and server's metrics in Prometheus text form. */
enum firn_status firn_engine_metrics(struct firn_engine *e, struct firn_buf *out);

#endif
