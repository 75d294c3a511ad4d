/* firnctl: looking at a database and checking it. One struct firn_ctl is one run of one verb: a
 * state machine over the ports, so that tests run it in a simulated world. Loop thread only.
 *
 * Everything but `set`, `promote` and `upgrade` only reads: GET and LIST are the only rights it
 * needs. */
#ifndef FIRN_CTL_CTL_H
#define FIRN_CTL_CTL_H

#include "conf/settings.h"
#include "env/env.h"
#include "format/place.h"
#include "store/store.h"

struct firn_ctl_verb;

/* The command line behind the settings, taken apart. The words are borrowed. */
struct firn_ctl_args {
    const struct firn_ctl_verb *verb;
    bool json, values, verbose, dry_run;
    bool has_from, has_to;
    struct firn_place from, to;
    const char *word[2];
    int words;
};

/* Take argv[0..argc) apart: the verb, its options and words. INVALID: err says what is wrong. */
enum firn_status firn_ctl_parse(int argc, char *const *argv, struct firn_ctl_args *out,
                                struct firn_err *err) FIRN_MUST_USE;

/* Append the list of verbs, for --help. LIMIT: out's max or memory. */
enum firn_status firn_ctl_usage(struct firn_buf *out) FIRN_MUST_USE;

struct firn_ctl_user {
    void (*out)(void *arg, struct firn_slice text); /* what was asked for: standard output */
    void (*say)(void *arg, const char *line);       /* errors, progress: a line of stderr */
    void (*ended)(void *arg, int status); /* once; the exit status. It may be freed then */
    void *arg;
};

struct firn_ctl;

/* env (with its store), store and settings must outlive it. LIMIT: memory. */
enum firn_status firn_ctl_create(const struct firn_env *env, struct firn_store *store,
                                 const struct firn_settings *settings,
                                 const struct firn_ctl_args *args, const struct firn_ctl_user *user,
                                 struct firn_ctl **out) FIRN_MUST_USE;
/* Begin. ended() comes on the loop, never inside. Exit statuses: 0; 1: it failed, or verify found
 * damage; 2: the words make no sense. */
void firn_ctl_start(struct firn_ctl *c);
/* Before start or after ended only. NULL-safe. */
void firn_ctl_free(struct firn_ctl *c);

#endif
