/* A reader: a replica that tails log and manifest and serves reads (PROTOCOL.md, "Tailing and
 * freshness"). It writes nothing. A core over ports; loop thread only.
 *
 *   opening --manifest seen--> serving --asked--> ending --> ended
 *
 * It serves with the writer dead, and starts before there is a database (not ready until then). */
#ifndef FIRN_READER_CORE_H
#define FIRN_READER_CORE_H

#include "conf/settings.h"
#include "env/env.h"
#include "obs/obs.h"
#include "store/store.h"

struct firn_reader;

struct firn_reader_user {
    /* The reader serves clients on this port. */
    void (*serving)(void *arg, uint16_t port);
    /* The end; once. failed: err says why (the store went back, another database, a format we lack
     * …). */
    void (*ended)(void *arg, bool failed, const struct firn_err *err);
    /* The program's INFO lines of a section; may be NULL. */
    void (*host_info)(void *arg, const char *section, struct firn_buf *out);
    void *arg;
};

/* env (with its store and net), store, settings and obs must outlive it; settings' (M) and (C)
 * values are replaced by the manifest's. LIMIT: memory. */
enum firn_status firn_reader_create(const struct firn_env *env, struct firn_store *store,
                                    struct firn_settings *settings, struct firn_obs *obs,
                                    const struct firn_reader_user *user,
                                    struct firn_reader **out) FIRN_MUST_USE;
void firn_reader_start(struct firn_reader *r);
/* SIGTERM: send the replies owed, then end. */
void firn_reader_stop(struct firn_reader *r);
/* Before start or after ended only. NULL-safe. */
void firn_reader_free(struct firn_reader *r);

/* After it ended as failed: as firn_writer_went_back. */
bool firn_reader_went_back(const struct firn_reader *r);

/* /readyz: one line per check; true when all are well. */
bool firn_reader_ready(struct firn_reader *r, struct firn_buf *lines);

#endif
