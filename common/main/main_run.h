/* What the programs have in common: settings, the log on stderr, the loop, the store's adapter by
 * its URL, signals and the HTTP port. A program's main.c adds its role core to this. Not a core: it
 * may call the OS. */
#ifndef FIRN_MAIN_MAIN_RUN_H
#define FIRN_MAIN_MAIN_RUN_H

#include "conf/conf.h"
#include "env/env.h"
#include "io_http/io_http.h"
#include "io_uv/io_uv.h"
#include "obs/obs.h"
#include "store/store.h"

/* Exit statuses beside 0. */
#define FIRN_EXIT_FAILED 1
#define FIRN_EXIT_USAGE 2 /* bad settings */
#define FIRN_EXIT_WENT_BACK                                                                        \
    65 /* the manifest went back to an older one: nobody must start before a person has looked */
#define FIRN_EXIT_FENCED                                                                           \
    75 /* a newer writer serves: the service manager must not restart us at once */

struct firn_main {
    /* set by the program before firn_main_init */
    enum firn_conf_role role;
    const char *program;
    void (*stop)(struct firn_main *m); /* SIGTERM, SIGINT */
    bool (*ready)(struct firn_main *m,
                  struct firn_buf *out); /* /readyz: lines, and whether all is well */
    void *core;                          /* the program's */
    /* firnctl's, which has no node, no HTTP port and dies of signals as any command does: */
    /* Look at the words behind the settings, before anything is opened: -1 to go on, else the exit
     * status. NULL: there are none. */
    int (*words)(struct firn_main *m, int argc, char **argv);
    enum firn_status (*usage)(struct firn_buf *out); /* more for --help, or NULL */

    /* for the program to use */
    struct firn_settings settings;
    struct firn_obs obs;
    struct firn_env *env;
    struct firn_store *store;
    int exit_status; /* what firn_main_run returns */

    /* private */
    struct firn_uv *uv;
    struct firn_objstore *objstore; /* the adapter */
    struct firn_file *file;         /* behind objstore, when that is a directory */
    struct firn_http *http;
    uint16_t http_port;
    struct firn_collector metrics;
    int argc;
    char **argv;
    bool stopping;
    struct firn_timer overdue; /* since the signal */
};

/* A program may put a store of its own between the adapter and the rest (the benches delay requests
 * by it): it defines firn_main_wrap, which is absent (weak) from all others. */
struct firn_main_wrap {
    /* Called once, the adapter being open; gives what the program is to use instead of it, which
     * must not outlive it. NULL: failed, and err says why. */
    struct firn_objstore *(*wrap)(const struct firn_env *env, struct firn_objstore *inner,
                                  struct firn_err *err);
    /* Free what wrap gave; no request is under way. */
    void (*unwrap)(struct firn_objstore *outer);
};
extern const struct firn_main_wrap firn_main_wrap __attribute__((weak));

/* Load settings, make the loop and the store, open the HTTP port (role FIRN_CONF_CTL: no HTTP port,
 * no signals, no node id). Returns -1 when the program is to
 * go on, else the status to exit with at once (--help, --version, or a bad setting, said on
 * stderr). */
int firn_main_init(struct firn_main *m, int argc, char **argv);
/* Run the loop until firn_main_quit; then free all but the core, which the caller freed before (in
 * its end callback's aftermath: call firn_main_run, then free the core, then firn_main_deinit). */
int firn_main_run(struct firn_main *m);
void firn_main_deinit(struct firn_main *m);
/* Let firn_main_run return this status. */
void firn_main_quit(struct firn_main *m, int status);
/* The program serves: log it and tell the service manager (sd_notify's protocol). */
void firn_main_serving(struct firn_main *m, uint16_t port);
/* INFO's lines that only the system knows ("cpu", "memory"); arg is the struct firn_main. */
void firn_main_info(void *arg, const char *section, struct firn_buf *out);
/* One clear line on stderr. */
void firn_main_complain(const struct firn_main *m, const char *text);
#endif
