/* Inside the reader.
 *   reader_core.c    life: opening, serving, ending
 *   reader_tail.c    what the tail delivers: memory, views, freshness
 *   reader_warm.c    tables into the cache before memory lets go of what they hold
 *   reader_report.c  metrics, INFO, readiness */
#ifndef FIRN_READER_PRIV_H
#define FIRN_READER_PRIV_H

#include "reader/reader_core.h"

#include "engine/db.h"
#include "engine/engine.h"
#include "log/memory.h"
#include "log/seals.h"
#include "log/tail.h"

/* Bringing tables into the cache before memory lets go of what they hold: reader_warm.c. */
struct reader_warm {
    struct firn_memtable *table; /* of the part at hand, referenced; NULL: none */
    struct firn_view *view;      /* of the tables alone */
    struct firn_memtable_iter it;
    struct firn_slice from, next; /* first key of this batch and of the next one, in table */
    bool at_end, fetching;
    unsigned rounds;
    struct firn_place upto; /* parts that end here or before are dealt with */
    struct firn_read read;
    struct firn_defer step;
    struct firn_timer pause;
};

enum reader_state { READER_NEW, READER_OPENING, READER_SERVING, READER_ENDING, READER_ENDED };

struct firn_reader {
    struct firn_db db;
    struct firn_settings *settings;
    struct firn_obs *obs;
    struct firn_reader_user user;
    enum reader_state state;
    bool failed;
    struct firn_err err;

    struct firn_manifest_node *mnode;
    struct firn_pins *pins;
    struct firn_manifest *manifest; /* of the current view; our reference */
    struct firn_manifest_read open_read;
    struct firn_timer open_retry;
    struct firn_manifest_read view_read; /* for a newer view: memory is long, or a table is gone */
    bool view_reading;
    uint64_t reload_ticket;  /* reads that met a missing table: the last ticket given out */
    uint64_t reload_covered; /* tickets up to this are covered by the read under way */
    uint64_t view_asked_ns;
    struct firn_tail *tail;
    struct firn_memory memory;
    struct firn_budget budget; /* of the node's memory */
    struct reader_warm warm;
    bool view_behind; /* the active memtable is not in the view yet */
    struct firn_engine *engine;
    uint16_t port;
    struct firn_place want; /* furthest place that somebody waits for */
    uint64_t want_until_ns;
    struct firn_timer want_timer;
    struct firn_hist probe_time;
    uint64_t newest_now_ms;  /* now does not go back a little: what expired stays expired */
    struct firn_seals seals; /* the seals that were believed */

    unsigned pending;
    struct firn_defer end_defer;
    struct firn_timer idle_wait; /* the end waits for fetches under way */
    struct firn_collector metrics;
    uint64_t run_slots; /* applied since a probe last ended */
    uint64_t views_taken, reloads;
    uint64_t newest_log_time_ms;
};

/* --- reader_core.c */
void firn_reader__finish(struct firn_reader *r, bool failed, const struct firn_err *err);

/* --- reader_tail.c */
enum firn_status firn_reader__begin(struct firn_reader *r, struct firn_manifest *m,
                                    struct firn_err *err);
uint64_t firn_reader__probe(struct firn_db *db);
void firn_reader__probe_hint(struct firn_db *db);
uint64_t firn_reader__reload_view(struct firn_db *db);
enum firn_status firn_reader__take_view(struct firn_db *db, struct firn_manifest *m,
                                        struct firn_err *err);
void firn_reader__want_place(struct firn_db *db, struct firn_place place);
bool firn_reader__place_lost(struct firn_db *db, struct firn_place place);
void firn_reader__feed_wanted(struct firn_db *db);
uint64_t firn_reader__now_ms(struct firn_db *db);
void firn_reader__tail_init(struct firn_reader *r);

/* --- reader_warm.c */
void firn_reader__warm_init(struct firn_reader *r);
/* Parts may have become warm: deal with them, in the background. */
void firn_reader__warm(struct firn_reader *r);
/* Give up what is under way. Harmless before warm_init and when called twice. */
void firn_reader__warm_stop(struct firn_reader *r);

/* --- reader_report.c */
void firn_reader__info(struct firn_db *db, const char *section, struct firn_buf *out);
void firn_reader__report_init(struct firn_reader *r);

#endif
