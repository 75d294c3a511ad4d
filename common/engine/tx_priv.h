/* Several commands evaluated in one step into one group: EXEC, KV.BATCH, KV.TXN.
 *
 * A pass evaluates the commands that touch data, in their order, on one state; each sees the writes
 * of those before it, none applies any. When all of them are resident the holder commits the group:
 * one atomic record group in one slot. Until then a pass has no effect and may be made anew. What
 * is not a matter of data (SELECT, CLIENT …, INFO) runs once, after the commit; a pass only follows
 * which database is selected and which protocol is spoken. */
#ifndef FIRN_ENGINE_TX_PRIV_H
#define FIRN_ENGINE_TX_PRIV_H

#include "engine/engine_priv.h"

#define FIRN_TX_RANGES_MAX 1024 /* range deletes in one transaction */
/* What the commands of one transaction may have to fetch, all of it pinned until they are done. */
#define FIRN_TX_COLD_BYTES_MAX ((uint64_t)64 << 20)
/* Entries that the walks of one pass may look at: all in one turn of the loop, in which no
 * heartbeat is sent. */
#define FIRN_TX_STEPS_MAX 4000000

struct firn_tx_cmd {
    struct firn_command_entry *entry;
    firn_handler_fn run; /* instead of the command's own handler; or NULL */
    const struct firn_slice *argv;
    size_t argc;
    size_t reply_at; /* pass: where in the reply buffer the reply of one without data belongs */
};

struct firn_tx {
    struct firn_eval *x; /* of the command that holds them */
    struct firn_tx_cmd *cmd;
    size_t n;
    size_t mark; /* length of the reply buffer before the reply to the whole */
    bool strict; /* the first error or condition that does not hold ends the pass */

    /* after a pass */
    bool touched;     /* some command touched data */
    size_t effects;   /* commands that did not run yet */
    size_t failed_at; /* strict, INVALID: which command; its error was appended */
    bool unmet;       /* … or its condition does not hold, and nothing was appended */
    bool whole;       /* INVALID: the error is about all of them, not about one */

    /* private */
    bool running;          /* the effects run now: nothing may wait */
    unsigned steps;        /* of all walks of the pass */
    uint64_t first_cursor; /* ids that the pass gave begin here; kept only if it is committed */
    bool committed;
    struct firn_memtable *mem; /* the first `shown` records of the group, and a view with them */
    struct firn_view *view;
    size_t shown;
};

/* One pass over tx->cmd; x->view and max_seqno are those of the state. Replies are appended to
 * x->out. OK: the group and the replies are complete. INVALID: an error is the reply to the whole,
 * or (strict) see failed_at. AGAIN and others as a handler's. */
enum firn_status firn_engine__tx_pass(struct firn_tx *tx) FIRN_MUST_USE;
/* After an OK pass: commit its group, or answer as a command that writes nothing. OK: done. AGAIN,
 * INVALID (an error is the reply to the whole), LIMIT: nothing was applied. */
enum firn_status firn_engine__tx_commit(struct firn_tx *tx) FIRN_MUST_USE;
/* After the commit: run what was left out, each reply put where it belongs. */
void firn_engine__tx_effects(struct firn_tx *tx);
/* Does the command write, perhaps; does it touch data at all? Others run after the commit. */
bool firn_engine__may_write(const struct firn_command *cmd);
bool firn_engine__touches_data(const struct firn_command_entry *e);
/* Take what was appended since mark out of the reply, into a buffer that the caller clears. False:
 * memory; the reply has failed. */
bool firn_engine__tx_cut(struct firn_reply *out, size_t mark, struct firn_buf *to);
/* Note what tx->cmd[from …] will find missing, ns being the database selected there. */
void firn_engine__tx_note_misses(struct firn_tx *tx, size_t from, uint8_t ns);
/* The holder is done with it, after every pass: what one that was not committed left is dropped. */
void firn_engine__tx_clear(struct firn_tx *tx);

/* For the commands inside. Add a record to the group; the value is copied if `copy` says so and it
 * is none of x's arguments. INVALID, answered: too much for one group. LIMIT: memory. */
enum firn_status firn_engine__tx_add(struct firn_eval *x, const struct firn_record *r,
                                     bool copy) FIRN_MUST_USE;
/* A walk of x, which is in a transaction, looks at one more entry. INVALID, answered: too many. */
enum firn_status firn_engine__tx_step(struct firn_eval *x) FIRN_MUST_USE;
/* Let x->view show what the commands before x wrote. Nothing to do outside of a transaction.
 * LIMIT: memory. */
enum firn_status firn_engine__tx_show(struct firn_eval *x) FIRN_MUST_USE;

/* x runs after the commit of its transaction: it must not wait. */
static inline bool firn_engine__tx_running(const struct firn_eval *x)
{
    return x->tx && x->tx->running;
}

#endif
