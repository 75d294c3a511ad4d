/* The slow log: the last commands that kept the loop busy for long, or waited long. What is timed,
 * and so can be in it: slow.c. */
#ifndef FIRN_ENGINE_SLOWLOG_PRIV_H
#define FIRN_ENGINE_SLOWLOG_PRIV_H

#include "base/slice.h"
#include "resp/conn.h"

#define FIRN_SLOWLOG_ENTRIES 1024  /* the most that slowlog-max-len may ask for */
#define FIRN_SLOWLOG_ARGS 32       /* arguments kept of one command */
#define FIRN_SLOWLOG_ARG_BYTES 128 /* bytes kept of one argument */

struct firn_slowlog_entry {
    uint64_t id, took_ns, wall_ms;
    char *peer, *name;    /* owned */
    size_t argc;          /* elements of `args` */
    struct firn_buf args; /* bulk replies, one behind the other */
};

/* Zero-initialised is valid and empty. */
struct firn_slowlog {
    struct firn_slowlog_entry entry[FIRN_SLOWLOG_ENTRIES]; /* ring: entry[id % ENTRIES] */
    uint64_t next_id;
    uint64_t first_id; /* the oldest entry kept */
};

/* Keep a command, and of all at most max; nothing is kept when memory is short. Arguments of
 * commands that hold secrets are not kept. */
void firn_engine__slowlog_add(struct firn_slowlog *l, const struct firn_conn *c,
                              const struct firn_command *cmd, size_t argc,
                              const struct firn_slice *argv, uint64_t took_ns, uint64_t wall_ms,
                              size_t max);
/* Keep at most the newest max entries. */
void firn_engine__slowlog_trim(struct firn_slowlog *l, size_t max);
size_t firn_engine__slowlog_len(const struct firn_slowlog *l);
/* SLOWLOG GET's reply: the newest `count` entries, newest first. */
void firn_engine__slowlog_reply(const struct firn_slowlog *l, struct firn_reply *out, size_t count);
void firn_engine__slowlog_reset(struct firn_slowlog *l);

#endif
