/* Inside verify.
 *   ctl_verify.c         the flow, the report, progress
 *   ctl_verify_refs.c    which tables the manifest and its checkpoints name
 *   ctl_verify_table.c   one table: header, metadata, footer, blocks in chunks
 *   ctl_verify_block.c   a chunk's blocks: pure, run as a job
 *   ctl_verify_log.c     the log from the floor on
 *   ctl_verify_list.c    what a LIST of everything shows
 *
 *   manifest -> checkpoints' copies -> log -> tables, a few at a time -> LIST of everything
 *     -> manifest again, if something was missing: it may have been collected meanwhile -> report
 */
#ifndef FIRN_CTL_CTL_VERIFY_PRIV_H
#define FIRN_CTL_CTL_VERIFY_PRIV_H

#include "ctl/ctl_priv.h"
#include "format/table.h"
#include "log/slots.h"

#define VERIFY_TABLES_AT_ONCE 4

/* A table object, and who names it. References to one object are joined. */
struct verify_ref {
    const Firn__Table *table; /* of a manifest that verify holds */
    const char *checkpoint;   /* id; NULL: the manifest names it */
    bool missing;
};

struct verify;
struct verify_table;

/* The log's part. */
struct verify_log {
    const Firn__Manifest *m; /* that it is read by; held by verify */
    struct firn_slots *slots;
    struct firn_defer step; /* go on outside of the fetcher's call */
    void (*done)(struct verify *v);
    struct firn_place at;  /* where the next step begins */
    struct firn_place end; /* where it ended, once over */
    bool over;
    bool unsealed;                /* it ended in an epoch before the writer's */
    bool damaged_before;          /* the slot before was damaged */
    uint64_t next_seqno;          /* lowest one the next batch may begin with */
    uint64_t log_time_ms;         /* lowest one of the next batch */
    struct firn_id process_nonce; /* of the epoch's batches so far */
    uint64_t batches, records, bytes, seals;
};

/* What the LIST showed. */
struct verify_list {
    uint64_t objects, bytes;
    uint64_t orphans, orphan_bytes;     /* tables nobody may commit any more */
    uint64_t pending, pending_bytes;    /* tables that may be committed yet */
    uint64_t garbage, garbage_bytes;    /* in the manifest's garbage */
    uint64_t old_slots, old_slot_bytes; /* batches below the floor */
    uint64_t behind;                    /* batches behind the log's end in its epoch */
    uint64_t later;                     /* batches of later epochs */
    uint64_t other_db, foreign;
};

struct verify {
    struct firn_ctl *c;
    Firn__Manifest *m;      /* as read first; owned */
    Firn__Manifest *now;    /* as read again; owned; NULL: there was no need */
    struct firn_buf copies; /* Firn__Manifest * of checkpoints, owned; NULL where unreadable */
    size_t at;              /* checkpoint being read */
    struct firn_buf refs;   /* struct verify_ref each, by name */
    size_t next_ref, running;
    struct verify_table *table[VERIFY_TABLES_AT_ONCE];
    struct verify_log log;
    struct verify_list list;
    uint64_t errors;
    uint64_t tables_done, bytes_done, bytes_total, entries;
    uint64_t began_ns;
    struct firn_timer progress;
};

/* --- ctl_verify.c: lines of the report */
void firn_ctl__verify_error(struct verify *v, const char *fmt, ...) FIRN_PRINTF(2, 3);
void firn_ctl__verify_info(struct verify *v, const char *fmt, ...) FIRN_PRINTF(2, 3);

/* --- ctl_verify_refs.c */
/* Add all tables of m to v->refs. LIMIT: memory. */
enum firn_status firn_ctl__verify_add_refs(struct verify *v, const Firn__Manifest *m,
                                           const char *checkpoint) FIRN_MUST_USE;
/* Sort them, and join those of one object; references that contradict each other are errors. */
void firn_ctl__verify_join_refs(struct verify *v);
size_t firn_ctl__verify_refs(const struct verify *v);
struct verify_ref *firn_ctl__verify_ref(const struct verify *v, size_t i);
/* The reference to this table, or NULL. */
struct verify_ref *firn_ctl__verify_find(const struct verify *v,
                                         const struct firn_table_name *name);
/* Does m's own state (not its checkpoints) name it? */
bool firn_ctl__manifest_names(const Firn__Manifest *m, const struct firn_table_name *name);

/* --- ctl_verify_table.c */
/* Check the table of ref; done() comes once, never inside; then free it. LIMIT: memory. */
enum firn_status firn_ctl__verify_table_start(struct verify *v, struct verify_ref *ref,
                                              void (*done)(struct verify_table *t),
                                              struct verify_table **out) FIRN_MUST_USE;
struct verify *firn_ctl__verify_table_of(const struct verify_table *t);
void firn_ctl__verify_table_free(struct verify_table *t);

/* --- ctl_verify_block.c */
#define VERIFY_BLOCK_ERRORS 4

/* What the entries of blocks add up to. */
struct verify_totals {
    uint64_t entries, tombstones, expiring, key_bytes, value_bytes, raw_bytes;
    uint64_t min_seqno, max_seqno; /* UINT64_MAX, 0: none */
    uint64_t min_expiry_ms, max_expiry_ms;
};

/* A table's metadata, all of it. */
struct verify_meta {
    struct firn_table_parts parts; /* as the manifest names them */
    struct firn_table_head *head;
    struct firn_table_part *part[FIRN_TABLE_PARTS_MAX];
    struct firn_table_part *index; /* of all blocks; NULL: there are none */
};
static inline uint32_t verify_blocks_of(const struct verify_meta *m)
{
    return m->index ? m->index->sep.count : 0;
}

/* Blocks [first, end) of a table, and what came of them. */
struct verify_blocks {
    /* in */
    const struct verify_meta *meta;
    const Firn__Table *ref;
    uint32_t first, end;
    struct firn_slice stored; /* from the offset of block `first` on */
    /* out */
    struct verify_totals totals;
    struct firn_err err[VERIFY_BLOCK_ERRORS]; /* the first few */
    unsigned errors;                          /* all of them */
    bool unread;                              /* a block could not be opened: totals lack it */
    bool no_memory;
    /* working memory, kept for the next use */
    struct firn_buf raw, last;
    struct firn_block_iter it;
    struct firn_codec_ctx codec;
};
void firn_ctl__verify_totals_init(struct verify_totals *t);
void firn_ctl__verify_totals_add(struct verify_totals *to, const struct verify_totals *t);
/* Pure: made to be a firn_job's run. */
void firn_ctl__verify_blocks_run(struct verify_blocks *b);
void firn_ctl__verify_blocks_clear(struct verify_blocks *b);

/* --- ctl_verify_log.c */
/* Read the log from the floor of m on; done(v) comes once, never inside. LIMIT: memory. */
enum firn_status firn_ctl__verify_log_start(struct verify *v, const Firn__Manifest *m,
                                            void (*done)(struct verify *v)) FIRN_MUST_USE;
void firn_ctl__verify_log_free(struct verify *v);

/* --- ctl_verify_list.c */
/* An object of the LIST of everything; the log has been read. */
enum firn_status firn_ctl__verify_listed(struct firn_ctl *c, const struct firn_os_entry *e);
/* Say what the LIST showed. */
void firn_ctl__verify_report_list(struct verify *v);

#endif
