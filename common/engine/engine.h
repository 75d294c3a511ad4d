/* The engine: Redis and KV.* commands over a database (db.h), served through the resp room. */
#ifndef FIRN_ENGINE_ENGINE_H
#define FIRN_ENGINE_ENGINE_H

#include "engine/db.h"
#include "format/batch.h"

struct firn_engine;
struct firn_server;

/* Create the engine and its RESP server over db->env->net, not listening yet. */
enum firn_status firn_engine_create(struct firn_db *db, struct firn_engine **out,
                                    struct firn_err *err) FIRN_MUST_USE;
/* Listen as the settings say (bind, port). Gives the port listened on. */
enum firn_status firn_engine_listen(struct firn_engine *e, uint16_t *port,
                                    struct firn_err *err) FIRN_MUST_USE;
/* Could firn_engine_listen succeed now? Listens and lets go again. A writer asks before it claims
 * the database: a port that is taken must not be found out after the writer that serves was fenced.
 */
enum firn_status firn_engine_can_listen(const struct firn_db *db,
                                        struct firn_err *err) FIRN_MUST_USE;
/* Close all connections after sending what may be sent; free. NULL-safe. */
void firn_engine_free(struct firn_engine *e);

/* The role changed db (durable, probe, view, room, place, fenced): release gated replies and wake
 * parked commands that can go on. Cheap when nothing waits; safe to call from any callback of the
 * role. */
void firn_engine_advance(struct firn_engine *e);
/* The writer was fenced or stops: replies gated behind gate > durable_gate answer -KVUNKNOWN, new
 * writes -READONLY (db->fenced is set by the role before). */
void firn_engine_fence(struct firn_engine *e);
/* Stop accepting and reading; done(arg) when every reply owed has been sent or `deadline_ns` (boot)
 * passed. */
void firn_engine_drain(struct firn_engine *e, uint64_t deadline_ns, void (*done)(void *arg),
                       void *arg);
/* Does anybody listen to the log: subscribers, tracking clients? Roles ask before they keep or hand
 * over anything for it. O(1). */
bool firn_engine_listens(const struct firn_engine *e);
/* A slot became durable: all of its records, borrowed for the call. Roles call it once per slot, in
 * log order, without gaps while somebody listens, before firn_engine_advance. Nothing without
 * listeners; else one walk of the records. */
void firn_engine_feed(struct firn_engine *e, const struct firn_batch_header *header,
                      struct firn_slice records);
/* Slots were skipped and will never be fed (PROTOCOL "Tailing and freshness"): subscribers'
 * connections end, tracking clients forget all. */
void firn_engine_feed_gap(struct firn_engine *e);
/* The writer's database asks for expired events from now on (or does so no more): values whose time
 * has come are logged as EXPIRED, from those that expire at `from_ms` (the manifest's expired_to)
 * on. The role derives the expiry index of every record it applies while this is on (log/memory.h).
 * Nothing changes when it is on, or off, already. The expirer ends by itself when admit says
 * FENCED.
 */
void firn_engine_expire(struct firn_engine *e, bool on, uint64_t from_ms);
/* Before this time everything that expired has been dealt with in records applied so far, and
 * nothing that expires before it will be written; 0 while the above is off. For a flush of what has
 * been applied. Inside db->vt->apply an EXPIRED being applied counts as not dealt with, while the
 * expiries of the PUTs being applied are for the role to count. O(512). */
uint64_t firn_engine_expired_to(struct firn_engine *e);
/* The settings were changed from outside (SIGHUP): hand on what the server keeps for itself. LIMIT.
 */
enum firn_status firn_engine_reload(struct firn_engine *e) FIRN_MUST_USE;
/* The server behind it, for what a role wants to show of it. Lives as long as the engine. */
struct firn_server *firn_engine_server(struct firn_engine *e);

/* The seqnos of reads that go on over several turns (walks, snapshots): lowers *low to the lowest
 * and raises *high to the highest of them. For firn_memory_horizon: the role knows which seqnos
 * reads to come will name. O(such reads). */
void firn_engine_held_seqnos(const struct firn_engine *e, uint64_t *low, uint64_t *high);

/* A firn_collector's function (obs/metrics.h) with the engine as its arg: report the engine's and
 * server's metrics. */
struct firn_metrics_out;
void firn_engine_collect(struct firn_metrics_out *out, void *engine);
/* Append the same alone in Prometheus's text form. LIMIT: out's max or memory. */
enum firn_status firn_engine_metrics(struct firn_engine *e, struct firn_buf *out) FIRN_MUST_USE;
/* All commands, the resp room's too, as a markdown page: docs/COMMANDS.md. LIMIT as above. */
enum firn_status firn_engine_commands_markdown(struct firn_engine *e,
                                               struct firn_buf *out) FIRN_MUST_USE;

#endif
