/* A database as a node sees it: what a role core (writer, reader) keeps true and the engine's
 * commands read. The role owns the struct, updates the fields and calls the engine when they
 * change; the engine asks the role for probes and, on the writer, hands it records. Loop thread
 * only. */
#ifndef FIRN_ENGINE_DB_H
#define FIRN_ENGINE_DB_H

#include "conf/conf.h"
#include "env/env.h"
#include "format/place.h"
#include "format/record.h"
#include "lsm/lsm.h"
#include "lsm/view.h"
#include "manifest/pins.h"
#include "obs/obs.h"

struct firn_db;

/* Name the node: node_id (cut to fit) and a random run_id. db->env is set. */
void firn_db_name(struct firn_db *db, const char *node_id);

/* Begin db->budget in caller storage: as the setting `memory` says, or, where nobody has looked
 * what there is (tests), one GiB. db->settings and db->vt are set. */
void firn_db_budget_init(struct firn_db *db, struct firn_budget *budget);
/* Divide db->budget as the settings ask, the manifest's included. INVALID: `memory` is less than
 * the database demands; err names the least. */
enum firn_status firn_db_divide_memory(struct firn_db *db, struct firn_err *err) FIRN_MUST_USE;
/* What the unflushed part of the log may take in memtables: as much as every node of the database
 * has room for, whoever tails or replays it, however small the records are. The writer opens no
 * further slot above it. */
uint64_t firn_db_unflushed_memory(const struct firn_db *db);
/* For a new database: the largest unflushed-bytes-max up to the one in the settings that this
 * node's `memory` can hold; 0 when it can hold none. */
uint64_t firn_db_unflushed_fit(const struct firn_db *db);

/* How the writer takes a write now. */
enum firn_admit {
    FIRN_ADMIT_OK,
    FIRN_ADMIT_WAIT,   /* no room just now: park; firn_engine_advance follows when there is */
    FIRN_ADMIT_BUSY,   /* -KVBUSY with db->busy_why: nothing applied, safe to retry */
    FIRN_ADMIT_FENCED, /* -READONLY: a newer writer serves, or this one is going down */
};

struct firn_db_vt {
    /* Begin a probe after now, or join one that will begin after now; returns its ticket. When it
     * has been believed, the role has raised db->probe_done to at least the ticket and db->fresh_ns
     * to its start, and calls firn_engine_advance. On the writer the commit of a batch first sent
     * after now may be the probe. */
    uint64_t (*probe)(struct firn_db *db);
    /* A read with F > 0 found the state old: begin a probe in the background if none is under way.
     */
    void (*probe_hint)(struct firn_db *db);
    /* A read found an object gone (404): read the manifest anew and take its view. Returns a
     * ticket; when db->reload_done has reached it, the newest view is installed (or db->view_error
     * says why not), and firn_engine_advance was called. */
    uint64_t (*reload_view)(struct firn_db *db);
    /* Move to the view of this manifest, which is not newer than the newest read, unless the view
     * in use is as new or memory does not reach the manifest's floor yet (the end of a probe that
     * begins now will find that it does): OK, and db->view says which. Otherwise, as memory or the
     * manifest's tables have it, with err. */
    enum firn_status (*take_view)(struct firn_db *db, struct firn_manifest *m,
                                  struct firn_err *err);
    /* Wait for the state to reach this place (a token's slot is applied and durable); the role
     * calls firn_engine_advance as it moves. On a reader: tail on even without a freshness demand.
     */
    void (*want_place)(struct firn_db *db, struct firn_place place);
    /* True when the place lies in a sealed epoch at or behind the seal that counts (I3): what was
     * applied there never became durable and never will. May be NULL: not known. Cheap. */
    bool (*place_lost)(struct firn_db *db, struct firn_place place);

    /* Somebody begins to listen to the log (firn_engine_listens): a reader polls from now on, every
     * tail-interval, until nobody does. May be NULL: slots come without being asked for. */
    void (*feed_wanted)(struct firn_db *db);

    /* --- writer only; NULL on readers */
    /* May `bytes` of records be taken now? Called before evaluation of a write. */
    enum firn_admit (*admit)(struct firn_db *db, size_t bytes);
    /* Apply n records as one atomic group (n > 1: the role adds GROUP_BEGIN/END) to the memtable
     * and the open batch, all in one slot. Only after admit said OK in the same turn. Gives the
     * slot's number within the epoch and the seqno of the last record. LIMIT: memory or
     * batch-bytes-max, nothing applied. */
    enum firn_status (*apply)(struct firn_db *db, const struct firn_record *rec, size_t n,
                              uint64_t *slot, uint64_t *seqno);
    /* The active memtable is referenced for long: if it holds at least `bytes`, let what is written
     * from the next slot on go into another one. */
    void (*freeze)(struct firn_db *db, uint64_t bytes);
    /* CONFIG SET of a manifest setting (C): commit. OK: done(status) comes later, when db->settings
     * follows the manifest that has it. INVALID, LIMIT: not begun, err says why. */
    enum firn_status (*set_manifest)(struct firn_db *db, const char *name, const char *value,
                                     void (*done)(void *arg, enum firn_status s,
                                                  const struct firn_err *err),
                                     void *arg, struct firn_err *err);
    /* CONFIG SET changed node settings (already in db->settings). May be NULL. */
    void (*settings_changed)(struct firn_db *db);
    /* CONFIG REWRITE: put the settings changed at run time into the config file
     * (firn_conf_rewrite). NULL: the program runs without one. May be set on readers too. */
    enum firn_status (*rewrite_config)(struct firn_db *db, struct firn_err *err);
    /* Role's own INFO fields for a section ("firn", "replication", …), "name:value\r\n" lines. May
     * be NULL. */
    void (*info)(struct firn_db *db, const char *section, struct firn_buf *out);
};

struct firn_db {
    const struct firn_db_vt *vt;
    void *role; /* the role core */
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_lsm *lsm;
    struct firn_manifest_node *mnode; /* the role's; NULL where there is no store */
    struct firn_pins *pins;           /* the node's pin, the role's; NULL where there is no store */
    struct firn_settings *settings;
    struct firn_log *log; /* the node's, for what the engine has to tell; may be NULL */

    bool writable;         /* writer */
    bool serving;          /* false: still replaying (-LOADING) */
    bool fenced;           /* writer: a newer epoch exists; writes answer -READONLY */
    char writer_addr[128]; /* announced address of the active writer from the manifest; "" = unknown
                            */
    char node_id[64];
    char run_id[41];
    uint8_t db_id[16];
    bool expiry_paused;         /* DEBUG SET-ACTIVE-EXPIRE 0: the writer logs no EXPIRED records */
    const char *busy_why;       /* text behind -KVBUSY when admit says BUSY */
    struct firn_budget *budget; /* the node's memory; NULL in tests that bound nothing */
    /* The program's own INFO lines ("cpu", "memory"): only it can ask the system. May be NULL. */
    void (*host_info)(void *arg, const char *section, struct firn_buf *out);
    void *host_arg;
    struct firn_err view_error; /* why reload_view failed, "" = it did not */

    struct firn_view *view; /* current, the role's reference */
    uint64_t view_gen;      /* grows with every new view */
    uint64_t reload_done;   /* highest ticket of reload_view that has ended */
    uint64_t applied_seqno; /* newest applied (writer); on readers = durable_seqno */
    uint64_t durable_seqno; /* newest durable: reads of DURABLE connections see up to this */
    struct firn_place durable_place; /* first place not known durable/applied (log position) */

    /* Freshness (I6): the state at durable_seqno includes every write acknowledged before fresh_ns
     * (boot clock); 0 = unknown. */
    uint64_t fresh_ns;
    uint64_t probe_done;   /* highest probe ticket that ended believed */
    uint64_t probe_p99_ns; /* what a probe takes; 0 = not known yet */

    /* Gates of replies (writer). Slot numbers are those of the writer's own epoch plus one, so that
     * 0 means none: a write applied into slot n is durable when durable_gate ≥ n + 1. */
    uint64_t open_gate;    /* gate of the open batch if it holds records, else 0 */
    uint64_t last_gate;    /* highest gate ever handed out (open or in flight or durable) */
    uint64_t durable_gate; /* all gates ≤ this are durable */

    uint64_t tail_polls; /* looks for new slots that no read asked for (listeners, tokens) */

    uint64_t log_time_ms;    /* newest log_time seen */
    int64_t clock_offset_ms; /* own wall clock minus the store's Date, for metrics */
    /* The writer's now, held within clock-skew-max of Date and ≥ log_time; on readers
     * max(own clock, log_time). */
    uint64_t (*now_ms)(struct firn_db *db);
};

#endif
