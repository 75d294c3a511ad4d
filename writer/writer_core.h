/* The writer: the one process that may append to a database (PROTOCOL.md). A core over ports: main
 * wires adapters to it, tests a simulated world. Loop thread only.
 *
 *   proving --> opening --> claiming --> taking over --> confirming --> serving --> draining -->
 * ended |           |            |             |              |             |           |
 *      +-----------+------------+---- error or fenced -------+-------------+---------> ended
 */
#ifndef FIRN_WRITER_CORE_H
#define FIRN_WRITER_CORE_H

#include "conf/settings.h"
#include "env/env.h"
#include "obs/obs.h"
#include "store/store.h"

struct firn_writer;

enum firn_writer_end {
    FIRN_WRITER_STOPPED, /* as asked: all acknowledged, flushed, released */
    FIRN_WRITER_FENCED,  /* a newer writer serves; never claims again by itself */
    FIRN_WRITER_FAILED,  /* err says why */
};

struct firn_writer_user {
    /* The writer serves clients on this port. */
    void (*serving)(void *arg, uint16_t port);
    /* The end; once. The writer may be freed afterwards, not inside. */
    void (*ended)(void *arg, enum firn_writer_end how, const struct firn_err *err);
    /* The program's INFO lines of a section; may be NULL. */
    void (*host_info)(void *arg, const char *section, struct firn_buf *out);
    void *arg;
};

/* env (with its store and net), store, settings and obs must outlive it; settings' (M) and (C)
 * values are replaced by the manifest's. Nothing happens before firn_writer_start. LIMIT: memory.
 */
enum firn_status firn_writer_create(const struct firn_env *env, struct firn_store *store,
                                    struct firn_settings *settings, struct firn_obs *obs,
                                    const struct firn_writer_user *user,
                                    struct firn_writer **out) FIRN_MUST_USE;
void firn_writer_start(struct firn_writer *w);
/* SIGTERM: not ready, acknowledge what is in flight, flush, release, end, within shutdown-timeout.
 */
void firn_writer_stop(struct firn_writer *w);
/* End now, as a crash would, but tidily: nothing more is sent, clients are closed; ended() follows
 * with FAILED. */
void firn_writer_halt(struct firn_writer *w);
/* Before start or after ended only. NULL-safe. */
void firn_writer_free(struct firn_writer *w);

/* After ended with FAILED: the manifest went back to an older one, or is gone. Whoever starts on it
 * again, this process too, would build on the older state: nobody should before a person has
 * looked. */
bool firn_writer_went_back(const struct firn_writer *w);

/* /readyz: one "name: ok" or "name: why not" line per check; true when all are well. */
bool firn_writer_ready(struct firn_writer *w, struct firn_buf *lines);

#endif
