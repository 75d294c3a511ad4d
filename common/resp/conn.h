/* One client's connection, as the commands executed on it see it. Loop thread only. A pointer to a
 * connection is good until handler->close was called for it. */
#ifndef FIRN_RESP_CONN_H
#define FIRN_RESP_CONN_H

#include "resp/command.h"
#include "resp/reply.h"

struct firn_conn;
struct firn_server;

#define FIRN_CONN_DBS 16

enum firn_gate_kind {
    FIRN_GATE_WRITE, /* timed out: -KVUNKNOWN */
    FIRN_GATE_READ,  /* timed out: -KVSTALE */
};

/* What a reply waits for before it may leave. */
struct firn_gate {
    uint64_t slot;        /* held until the server's durable_slot ≥ slot; 0 = no such wait */
    uint64_t probe;       /* and probe_done ≥ probe; 0 = no such wait */
    uint64_t deadline_ns; /* boot clock; from then on the reply is replaced by an error */
    enum firn_gate_kind kind;
};

/* Where replies go. During exec: the reply to this command. Outside: queued in order behind what is
 * there; call firn_conn_dirty afterwards (pushes: firn_conn_push). */
struct firn_reply *firn_conn_out(struct firn_conn *c);
/* Bytes were appended outside exec: send them at the end of this turn. */
void firn_conn_dirty(struct firn_conn *c);

/* The connection listens to pub/sub from now on (or no more): in RESP2 it may call commands with
 * FIRN_CMD_IN_SUBSCRIBE only, and the output limits of subscribers hold for it. */
void firn_conn_set_subscriber(struct firn_conn *c, bool on);
/* Queue a push outside exec: bytes in the protocol form of firn_conn_resp, behind what is there,
 * sent at the end of this turn. A connection that is closing takes nothing. A subscriber with more
 * unsent than its limits allow is closed at the end of the turn, and counted. One copy. */
void firn_conn_push(struct firn_conn *c, struct firn_slice bytes);
/* During exec: what this command appends are pushes, which CLIENT REPLY OFF and SKIP let pass. */
void firn_conn_answers_by_push(struct firn_conn *c);

/* Hold the reply appended since this command's exec began, and by that everything behind it, until
 * the gate opens. At most one call per exec, after the reply was appended. A gate that is open
 * already costs nothing and holds nothing. Adjacent replies with equal slot, probe, kind and
 * millisecond of the deadline share one entry of the connection's queue. No memory: the connection
 * is closed (the outcome is unknown to the client then, which is true). */
void firn_conn_gate(struct firn_conn *c, const struct firn_gate *gate);
/* Highest slot that a held reply of this connection still waits for; 0 = none. O(1). */
uint64_t firn_conn_gate_slot(const struct firn_conn *c);

/* The parked command is worth another exec. Takes effect at the end of this turn; harmless when
 * nothing is parked. */
void firn_conn_resume(struct firn_conn *c);
bool firn_conn_parked(const struct firn_conn *c);

/* Close at the end of this turn: after what may be sent was sent (replies behind a closed gate wait
 * for it first) if `flush`, else at once and unsent. No further command is executed. */
void firn_conn_close(struct firn_conn *c, bool flush);

/* Capture (MULTI): while on, every command that passes the checks goes to handler->exec, this
 * room's own ones too, except those with FIRN_CMD_NO_CAPTURE. */
void firn_conn_capture(struct firn_conn *c, bool on);
/* Execute a command of this room's own table (entry->own) that was captured; appends its reply. */
void firn_conn_run_own(struct firn_conn *c, const struct firn_command *cmd, size_t argc,
                       const struct firn_slice *argv);

/* How many bytes of the reply buffer lay before the reply of the command being executed. */
size_t firn_conn_mark(const struct firn_conn *c);
/* Memory that the handler holds for this connection (its session, commands queued by MULTI, a reply
 * that is being gathered): counted among its buffers from the end of the turn on. Replaces what was
 * said before. */
void firn_conn_charge(struct firn_conn *c, size_t bytes);
/* The engine's state of this connection; NULL at first. */
void **firn_conn_session(struct firn_conn *c);
struct firn_server *firn_conn_server(struct firn_conn *c);
uint64_t firn_conn_id(const struct firn_conn *c); /* from 1, never used twice */
unsigned firn_conn_db(const struct firn_conn *c);
void firn_conn_set_db(struct firn_conn *c, unsigned db);
uint8_t firn_conn_resp(const struct firn_conn *c); /* 2 or 3 */
bool firn_conn_authenticated(const struct firn_conn *c);
struct firn_slice firn_conn_name(const struct firn_conn *c);
const char *firn_conn_peer(const struct firn_conn *c); /* "ip:port" */
bool firn_conn_is_local(const struct firn_conn *c);    /* it comes from this machine */
/* When the command being executed (or parked) was first parsed, boot clock; read once per turn of
 * reading. Re-execution keeps it. */
uint64_t firn_conn_arrival_ns(const struct firn_conn *c);
/* The entry (statistics, full name) of the command being executed or executed last; NULL before. */
struct firn_command_entry *firn_conn_command(struct firn_conn *c);
/* CLIENT NO-TOUCH and the like. */
bool firn_conn_no_touch(const struct firn_conn *c);
bool firn_conn_no_evict(const struct firn_conn *c);
/* The client sent CLIENT CAPA with this word ("redirect"). */
bool firn_conn_has_capa_redirect(const struct firn_conn *c);

#endif
