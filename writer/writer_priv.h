/* Inside the writer: its state and what its flows share.
 *   writer_core.c    life: from the proof of the store to the end
 *   writer_write.c   admitting and applying writes, durability
 *   writer_flush.c   freezing memtables, building and committing tables
 *   writer_probe.c   freshness (I6): commits and manifest reads as probes; views
 *   writer_config.c  settings changed while running
 *   writer_standby.c waiting to take over: tailing, watching heartbeats
 *   writer_beat.c    showing standbys that this writer lives
 *   writer_report.c  metrics, INFO, readiness */
#ifndef FIRN_WRITER_PRIV_H
#define FIRN_WRITER_PRIV_H

#include "writer/writer_core.h"

#include "engine/db.h"
#include "engine/engine.h"
#include "format/beat.h"
#include "log/append.h"
#include "log/memory.h"
#include "log/seals.h"
#include "log/tail.h"
#include "log/takeover.h"
#include "manifest/intents.h"

enum writer_state {
    WRITER_NEW,
    WRITER_PROVING,
    WRITER_OPENING,
    WRITER_STANDING_BY,
    WRITER_CLAIMING,
    WRITER_TAKING_OVER,
    WRITER_CONFIRMING,
    WRITER_SERVING,
    WRITER_DRAINING, /* replies owed are sent */
    WRITER_FLUSHING, /* the last flush */
    WRITER_RELEASING,
    WRITER_ENDING, /* waiting for what is under way */
    WRITER_ENDED,
};

struct flush; /* one flush under way: writer_flush.c */

/* Freshness of the writer's own reads by reading the manifest: one read at a time, then the wait
 * for the slots that had been sent before it. */
struct writer_probe {
    uint64_t ticket;        /* the last one given out */
    uint64_t commit_ticket; /* tickets up to this end when commit_gate is durable */
    uint64_t commit_gate;   /* 0 = none waits */
    uint64_t read_ticket;   /* tickets up to this are covered by the manifest read under way */
    uint64_t want_ticket;   /* tickets up to this want a manifest read that begins after now */
    bool reading;           /* the read is under way */
    bool waiting;           /* it was answered; its slots are not all durable yet */
    uint64_t need_gate;     /* those slots' gate */
    uint64_t asked_ns;      /* when the read was asked for */
    struct firn_manifest_read read;
    struct firn_defer begin;
    struct firn_timer rest; /* the read failed: none before it is over */
};

/* Waiting to take over: the writer watched, and what was seen of it. */
struct writer_standby {
    struct firn_timer poll, tail_timer;
    struct firn_tail *tail; /* NULL: the database was not seen yet */
    struct firn_manifest_read read;
    bool reading;
    struct firn_store_op op; /* GET of its heartbeat */
    char name[FIRN_NAME_MAX];
    bool looking;
    bool watching;
    uint64_t epoch; /* of the one watched */
    struct firn_id nonce;
    uint64_t count;           /* of its newest heartbeat seen */
    uint64_t since_ns;        /* when that was seen, or the wait began anew */
    unsigned silent_looks;    /* since then: no newer one */
    uint64_t kept_ms;         /* the heartbeat it promised when last looked */
    uint64_t jitter_ns;       /* added to the wait */
    uint64_t overdue_kept_ns; /* silent for too long at this pace: a manifest read decides */
};

/* The heartbeat of an active writer. */
struct writer_beat {
    struct firn_timer timer;
    struct firn_store_op op;
    bool busy;
    char name[FIRN_NAME_MAX];
    uint8_t body[FIRN_BEAT_BYTES];
    uint64_t count;
    uint64_t kept_ms;              /* as the manifest in use says */
    uint64_t old_ms, old_until_ns; /* before it was changed, and how long that is still kept */
    struct firn_heartbeat_intent intent;
    bool committing;
};

struct firn_writer {
    struct firn_db db;
    struct firn_settings *settings;
    struct firn_obs *obs;
    struct firn_writer_user user;
    enum writer_state state;
    enum firn_writer_end how;
    struct firn_err err;
    bool fenced;     /* the log or the manifest said so */
    bool hands_over; /* while stopping: a standby is there, which flushes what we have not */

    struct firn_manifest_node *mnode;
    struct firn_pins *pins;
    struct firn_manifest *manifest; /* of the current view; our reference */
    struct firn_manifest_create create;
    Firn__Settings new_settings;
    Firn__Dialect new_dialect;
    struct firn_claim_intent claim;
    struct firn_release_intent release;
    struct firn_manifest_read confirm;
    struct firn_timer confirm_again;
    struct firn_takeover *takeover;
    struct firn_seals seals; /* of the epochs it sealed or found sealed */
    uint64_t takeover_began_ns, takeover_took_ns;
    struct firn_id process_nonce;
    uint64_t epoch;
    uint16_t format; /* of the database when the epoch was claimed: what we write */

    struct firn_append *append;
    struct firn_memory memory;
    struct firn_budget budget; /* of the node's memory */
    struct firn_engine *engine;
    uint16_t port;
    bool setting_view; /* a new view is being installed */

    /* what the bounds of PROTOCOL.md "Tables, flush, compaction" count, from the manifest's floor
     * on */
    bool rotate_wanted;
    struct flush *flush;   /* under way; commits go one by one, in log order */
    struct flush *ahead;   /* of the memtable behind it: built while that one uploads and commits */
    uint64_t closed_seqno; /* newest seqno applied when the last slot was closed */
    uint64_t last_close_ns; /* boot clock: when the newest slot was closed */
    struct firn_timer idle_timer;
    struct firn_timer flush_retry;
    uint64_t next_table;        /* number of the next table, never used twice (I10) */
    struct firn_timer l0_timer; /* reads the manifest while L0 is long */
    struct firn_manifest_read l0_read;
    bool l0_reading;
    uint64_t reload_ticket;  /* the last one given out */
    uint64_t reload_covered; /* tickets up to this are covered by the read under way */
    struct firn_timer slow_timer;
    uint64_t slow_window_ns;
    uint64_t slow_bytes;

    const struct firn_record *applying; /* the group that firn_writer__apply is about */
    size_t napplying;                   /* 0 = none */

    struct writer_probe probe;
    struct writer_standby standby;
    struct writer_beat beat;
    uint64_t newest_log_time_ms;  /* given out or replayed */
    uint64_t newest_now_ms;       /* now never goes back: what expired once stays expired */
    struct firn_timer halt_timer; /* shutdown-timeout */
    unsigned pending;             /* things under way that the end waits for */
    unsigned settings_pending;    /* of them: commits of settings */
    struct firn_defer end_defer, shut_defer, fence_defer;
    struct firn_timer idle_wait; /* the end waits for fetches under way */
    struct firn_collector metrics;

    /* counters */
    uint64_t flushes, flush_failures, flushed_tables, flushed_bytes;
};

/* --- writer_core.c */
/* The end begins: everything stops, ended() follows when nothing is under way. First caller wins.
 */
void firn_writer__finish(struct firn_writer *w, enum firn_writer_end how,
                         const struct firn_err *err);
/* A newer writer serves. */
void firn_writer__fence(struct firn_writer *w, const struct firn_err *err);
/* The same, because a manifest says so. */
void firn_writer__role_lost(struct firn_writer *w);
/* Claim the next epoch; wanted (NULL: always) is asked with w for every manifest that it is built
 * on whether to. */
void firn_writer__claim(struct firn_writer *w, bool (*wanted)(void *w, const Firn__Manifest *m));
/* Take what m says of the database; INVALID: this node cannot serve it now (clock, port). */
enum firn_status firn_writer__open_database(struct firn_writer *w, const struct firn_manifest *m,
                                            struct firn_err *err) FIRN_MUST_USE;
/* A batch of the log, in order: into memory. */
enum firn_status firn_writer__replay(struct firn_writer *w, const struct firn_batch_header *batch,
                                     struct firn_slice records) FIRN_MUST_USE;
/* A flush was committed, or slots became durable: while stopping, go on with it. */
void firn_writer__step_out(struct firn_writer *w);
/* Something counted in pending has ended. */
void firn_writer__settled(struct firn_writer *w);
/* Writes and their log are served (also while draining). */
static inline bool writer_live(const struct firn_writer *w)
{
    return w->state >= WRITER_SERVING && w->state <= WRITER_RELEASING;
}

/* The epoch is ours: standbys expect heartbeats. */
static inline bool writer_claimed(const struct firn_writer *w)
{
    return w->state > WRITER_CLAIMING && w->state <= WRITER_RELEASING;
}

/* Slots from memory's beginning on, or their bytes, reach what a reader's memory relies on. */
static inline bool writer_log_full(const struct firn_writer *w)
{
    return firn_memory_slots(&w->memory) >= 2 * w->settings->wal_slots_max ||
           firn_memory_raw_bytes(&w->memory) >= w->settings->unflushed_bytes_max;
}

/* --- writer_write.c */
enum firn_status firn_writer__open_log(struct firn_writer *w);
enum firn_admit firn_writer__admit(struct firn_db *db, size_t bytes);
enum firn_status firn_writer__apply(struct firn_db *db, const struct firn_record *rec, size_t n,
                                    uint64_t *slot, uint64_t *seqno);
/* The writer's now (PROTOCOL.md, "Time"). */
uint64_t firn_writer__now_ms(struct firn_db *db);
/* --- writer_config.c */
enum firn_status firn_writer__set_manifest(struct firn_db *db, const char *name, const char *value,
                                           void (*done)(void *arg, enum firn_status s,
                                                        const struct firn_err *err),
                                           void *arg, struct firn_err *err);
void firn_writer__settings_changed(struct firn_db *db);
/* Do as the settings in w->manifest say. */
void firn_writer__follow_settings(struct firn_writer *w);
void firn_writer__want_place(struct firn_db *db, struct firn_place place);

/* --- writer_flush.c */
void firn_writer__flush_init(struct firn_writer *w);
/* At how many bytes a memtable is frozen: several of them, and their tables, must fit into memory.
 */
uint64_t firn_writer__memtable_bytes(const struct firn_writer *w);
/* Slot `place` was closed: is it time to freeze? */
void firn_writer__maybe_freeze(struct firn_writer *w);
/* Freeze what there is at the next slot boundary, and flush it. */
void firn_writer__freeze_now(struct firn_writer *w);
/* The same if the active memtable holds at least `bytes`. */
void firn_writer__freeze_large(struct firn_db *db, uint64_t bytes);
/* The end has come: let go of tables on their way; the flush ends soon. */
void firn_writer__flush_cancel(struct firn_writer *w);
/* Begin the next flush if one is due and none is under way. */
void firn_writer__flush_next(struct firn_writer *w);
/* Everything written so far is in tables. */
bool firn_writer__all_flushed(const struct firn_writer *w);
void firn_writer__idle_touch(struct firn_writer *w);
/* idle-flush was changed: what waits by the old one waits by the new one. */
void firn_writer__idle_retime(struct firn_writer *w);

/* --- writer_probe.c */
void firn_writer__probe_init(struct firn_writer *w);
uint64_t firn_writer__probe(struct firn_db *db);
void firn_writer__probe_hint(struct firn_db *db);
uint64_t firn_writer__reload_view(struct firn_db *db);
enum firn_status firn_writer__take_view(struct firn_db *db, struct firn_manifest *m,
                                        struct firn_err *err);
/* Slots became durable: probes that waited for them end. */
void firn_writer__probe_durable(struct firn_writer *w);
/* A manifest was seen: take its view if it is newer. */
void firn_writer__see_manifest(struct firn_writer *w, struct firn_manifest *m);
/* Make the view of the newest manifest and memory the current one. Failure keeps the old one. */
enum firn_status firn_writer__install_view(struct firn_writer *w, struct firn_manifest *m,
                                           struct firn_err *err);
size_t firn_writer__l0_tables(const struct firn_writer *w);
/* Poll the manifest while L0 is long: only the compactor's commits can shorten it. */
void firn_writer__watch_l0(struct firn_writer *w);

/* --- writer_standby.c */
void firn_writer__standby_init(struct firn_writer *w);
void firn_writer__standby_start(struct firn_writer *w);
/* The claim failed. Lost to another, or refused by a store that gives no right or room just now:
 * stand by again, and true. Anything else, or of one that does not stand by: false. */
bool firn_writer__standby_again(struct firn_writer *w, enum firn_status s,
                                const struct firn_err *err);
/* Does memory hold the log from a place at or before m's floor without gap up to *at, at or behind
 * it, with the index that m asks for? */
bool firn_writer__standby_place(const struct firn_writer *w, const struct firn_manifest *m,
                                struct firn_place *at);
void firn_writer__standby_stop(struct firn_writer *w);

/* --- writer_beat.c */
/* INVALID: node-id is no name. */
enum firn_status firn_writer__beat_init(struct firn_writer *w, struct firn_err *err) FIRN_MUST_USE;
/* Another manifest is in use: beat as it says; undertake what its settings ask for. */
void firn_writer__beat_follow(struct firn_writer *w);
void firn_writer__beat_stop(struct firn_writer *w);

/* --- writer_report.c */
void firn_writer__info(struct firn_db *db, const char *section, struct firn_buf *out);
void firn_writer__report_init(struct firn_writer *w);

#endif
