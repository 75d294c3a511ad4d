/* Inside firnctl.
 *   ctl.c               verbs, command line, life of a run
 *   ctl_io.c            one request at a time: GET, LIST, the manifest
 *   ctl_print.c         text for people: keys, sizes, times
 *   ctl_manifest.c      manifest show          ctl_manifest_json.c  … --json
 *   ctl_log.c           log ls, log dump
 *   ctl_table.c         table dump
 *   ctl_gc.c            gc --dry-run
 *   ctl_set.c           set
 *   ctl_verify*.c       verify: see ctl_verify_priv.h
 *   main.c              wires the adapters */
#ifndef FIRN_CTL_CTL_PRIV_H
#define FIRN_CTL_CTL_PRIV_H

#include "ctl/ctl.h"
#include "format/manifest_codec.h"

#define CTL_OK 0
#define CTL_FAILED 1
#define CTL_USAGE 2

struct firn_ctl_verb {
    const char *name, *sub; /* sub NULL: one word */
    const char *args;       /* for --help */
    const char *help;
    unsigned options; /* enum ctl_option */
    int words;        /* exactly so many */
    void (*start)(struct firn_ctl *c);
    void (*free)(struct firn_ctl *c); /* c->state, if it was made; NULL: there is none */
};

struct firn_ctl {
    const struct firn_env *env;
    struct firn_store *store;
    const struct firn_settings *settings;
    struct firn_ctl_args args;
    struct firn_ctl_user user;
    void *state; /* the verb's */

    /* --- the request under way (ctl_io.c) */
    struct firn_store_op op;
    char key[FIRN_OS_KEY_MAX + 1];
    char *cursor, *start_after;
    enum firn_status (*entry)(struct firn_ctl *c, const struct firn_os_entry *e);
    void (*then)(struct firn_ctl *c);
    void (*list_then)(struct firn_ctl *c);

    /* --- the manifest that firn_ctl__read_manifest read */
    Firn__Manifest *m;
    struct firn_id db;
    void (*manifest_then)(struct firn_ctl *c);

    struct firn_buf text; /* output that was not handed over yet */
    bool text_lost;       /* memory was short */
    int status;
    bool ending;
    struct firn_defer ended;
};

/* --- ctl.c */
/* The run is over; the first call decides. Nothing may be under way. */
void firn_ctl__end(struct firn_ctl *c, int status);
/* Say why on stderr, and end with CTL_FAILED. */
void firn_ctl__fail(struct firn_ctl *c, const char *fmt, ...) FIRN_PRINTF(2, 3);
void firn_ctl__fail_memory(struct firn_ctl *c);

/* --- ctl_io.c: submit, and go on with then(c), which looks at c->op.status */
#define CTL_DEADLINE_NS (30 * FIRN_SEC) /* of one request, with all its retries */

/* `length` 0: the whole object, of at most `max` bytes. */
void firn_ctl__get(struct firn_ctl *c, const char *key, uint64_t offset, uint64_t length,
                   uint64_t max, void (*then)(struct firn_ctl *c));
void firn_ctl__head(struct firn_ctl *c, const char *key, void (*then)(struct firn_ctl *c));
/* All names that begin with prefix (and lie behind start_after, unless the store ignores that, NULL
 * = all), in no order: entry() for each, page by page. then(c) finds c->op.status OK, or what LIST
 * or entry() answered. */
void firn_ctl__list(struct firn_ctl *c, const char *prefix, const char *start_after,
                    enum firn_status (*entry)(struct firn_ctl *c, const struct firn_os_entry *e),
                    void (*then)(struct firn_ctl *c));
/* Why the last request failed, in words. */
const char *firn_ctl__why(const struct firn_ctl *c);
/* Say that c->key could not be read, and why, and end. */
void firn_ctl__fail_read(struct firn_ctl *c);
/* Read and decode the manifest to c->m (in place of what was there) and check that this program may
 * read it, then go on; else it has ended with a message. */
void firn_ctl__read_manifest(struct firn_ctl *c, void (*then)(struct firn_ctl *c));

/* --- ctl_print.c: to c->text, handed over in pieces */
void firn_ctl__print(struct firn_ctl *c, const char *fmt, ...) FIRN_PRINTF(2, 3);
/* Quoted and escaped, so that it stays on its line. */
void firn_ctl__print_bytes(struct firn_ctl *c, struct firn_slice s);
/* An internal key or bound: its namespace and the user's part. */
void firn_ctl__print_key(struct firn_ctl *c, struct firn_slice key);
/* [lower, upper), empty = unbounded. */
void firn_ctl__print_range(struct firn_ctl *c, struct firn_slice lower, struct firn_slice upper);
/* A time of day, ms since 1970, in UTC; "never" for 0. */
void firn_ctl__print_time(struct firn_ctl *c, uint64_t ms);
void firn_ctl__flush(struct firn_ctl *c);

#define CTL_SIZE_MAX 16
/* "512 B", "1.4 MiB". Returns out. */
const char *firn_ctl__size(uint64_t bytes, char out[CTL_SIZE_MAX]);
/* Append bytes, escaped but not quoted: \" \\ \n \r \t \xHH. `json`: all but ASCII's printable
 * characters doubly, so that a JSON reader gets the same text back. */
enum firn_status firn_ctl__escape(struct firn_buf *out, struct firn_slice s,
                                  bool json) FIRN_MUST_USE;
enum firn_status firn_ctl__escape_key(struct firn_buf *out, struct firn_slice key,
                                      bool json) FIRN_MUST_USE;
const char *firn_ctl__codec_name(unsigned codec);
const char *firn_ctl__kind_name(unsigned kind);

/* --- the verbs */
void firn_ctl__manifest_show(struct firn_ctl *c);
void firn_ctl__manifest_json(struct firn_ctl *c);
void firn_ctl__log_ls(struct firn_ctl *c);
void firn_ctl__log_ls_free(struct firn_ctl *c);
void firn_ctl__log_dump(struct firn_ctl *c);
void firn_ctl__log_dump_free(struct firn_ctl *c);
void firn_ctl__table_dump(struct firn_ctl *c);
void firn_ctl__table_dump_free(struct firn_ctl *c);
void firn_ctl__verify(struct firn_ctl *c);
void firn_ctl__verify_free(struct firn_ctl *c);
void firn_ctl__gc(struct firn_ctl *c);
void firn_ctl__gc_free(struct firn_ctl *c);
void firn_ctl__set(struct firn_ctl *c);
void firn_ctl__promote(struct firn_ctl *c);
void firn_ctl__upgrade(struct firn_ctl *c);
void firn_ctl__set_free(struct firn_ctl *c);

#endif
