/* Settings: parsed from flags, environment and files, range-checked, documented in one table. Pure:
 * files are read by a callback. Flags win over the environment, that over files, those over
 * defaults; within a file the last line wins. Loop thread only. */
#ifndef FIRN_CONF_CONF_H
#define FIRN_CONF_CONF_H

#include "base/slice.h"
#include "conf/settings.h"

enum firn_conf_role {
    FIRN_CONF_WRITER = 1,
    FIRN_CONF_READER = 2,
    FIRN_CONF_COMPACTOR = 4,
    FIRN_CONF_CTL = 8,
};

/* "writer", "reader", "compactor", "firnctl"; role is one enum firn_conf_role. Static. */
const char *firn_conf_role_name(unsigned role);

enum firn_conf_type {
    FIRN_CONF_BOOL, /* yes | no */
    FIRN_CONF_INT,  /* decimal */
    FIRN_CONF_SIZE, /* bytes, or with b k kb m mb g gb t tb (k = 1000, kb = 1024, as redis.conf) */
    FIRN_CONF_DURATION, /* with ns us ms s min h d; only 0 may stand alone */
    FIRN_CONF_ENUM,     /* one of a list of words */
    FIRN_CONF_STRING,
    FIRN_CONF_LIST,   /* words divided by blanks or commas; kept with single spaces */
    FIRN_CONF_SECRET, /* a string that is never shown; NAME-file gives it from a file */
};

enum firn_conf_scope {
    FIRN_CONF_NODE,     /* a node's own */
    FIRN_CONF_MANIFEST, /* (M): in the manifest, fixed at creation */
    FIRN_CONF_COMMIT,   /* (C): in the manifest, changed by a commit */
};

enum firn_conf_origin {
    FIRN_CONF_DEFAULT,
    FIRN_CONF_FILE,
    FIRN_CONF_ENVIRONMENT,
    FIRN_CONF_FLAG,
    FIRN_CONF_RUNTIME, /* CONFIG SET */
};

enum firn_conf_flags {
    FIRN_CONF_LIVE = 1,      /* CONFIG SET and reload may change it */
    FIRN_CONF_ZERO = 2,      /* 0 is allowed beside min … max */
    FIRN_CONF_REQUIRED = 4,  /* must be given */
    FIRN_CONF_FLAG_ONLY = 8, /* not in files */
    FIRN_CONF_EVENTS = 16,   /* letters of keyspace events, kept in the order Redis gives them */
};

/* One row of the table. */
struct firn_conf_def {
    const char *name;
    const char *doc;      /* one line */
    const char *standard; /* the default, as a user would write it */
    const char *words;    /* ENUM: "a|b|c"; STRING: allowed characters, NULL = any printable */
    uint64_t min, max;    /* numbers; STRING, LIST, SECRET: max = length */
    uint16_t offset;      /* of the field in struct firn_settings */
    uint8_t type, scope, roles, flags;
};

/* Where settings come from. Everything is borrowed for the call. */
struct firn_conf_source {
    int argc;
    char *const *argv; /* argv[0] is the program's name */
    char *const *envp; /* "NAME=value" …, NULL; may be NULL itself */
    /* Append a file's bytes to out (bounded by its max); *exposed says whether users other than the
     * owner and its group's administrator may read it (mode & 077). Says why it failed in err.
     * io_file has the one for real files (firn_conf_file_read). May be NULL: then no files are
     * read. */
    enum firn_status (*read_file)(void *arg, const char *path, struct firn_buf *out, bool *exposed,
                                  struct firn_err *err);
    void *arg;
};

/* Fill *out from the defaults, then files, environment and flags. `--name value`, `--name=value`, a
 * bool also as `--name`; `--help` and `--version` set want_help and want_version and stop there.
 * Flags of other roles are refused; lines and variables of other roles are checked and ignored, so
 * that one file serves a cluster. (M) settings count only when the database is created.
 * FIRN_INVALID: unknown name, bad value or out of range, a required one missing, a secret on the
 * command line or in a file that others can read; err names file and line, variable or flag, the
 * value and what is allowed. FIRN_LIMIT: memory. Whatever read_file answered. On failure *out needs
 * no deinit. */
enum firn_status firn_conf_load(enum firn_conf_role role, const struct firn_conf_source *src,
                                struct firn_settings *out, struct firn_err *err) FIRN_MUST_USE;
/* Defaults only (tests). FIRN_LIMIT: memory. */
enum firn_status firn_settings_init(struct firn_settings *s) FIRN_MUST_USE;
/* Free (secrets are wiped). Zeroed structs are fine. */
void firn_settings_deinit(struct firn_settings *s);

/* The row of a setting, or NULL. Case does not matter. */
const struct firn_conf_def *firn_conf_find(struct firn_slice name);
/* Where the value came from: FIRN_CONF_DEFAULT means that nobody gave it. The name must exist. */
enum firn_conf_origin firn_conf_origin_of(const struct firn_settings *s, const char *name);

/* CONFIG GET: for each setting of the role whose name matches the glob (* ? [a-z] \x, any case), in
 * table order. Values come as CONFIG SET takes them; secrets as "". Texts are borrowed for the
 * call. */
enum firn_status firn_conf_get(const struct firn_settings *s, enum firn_conf_role role,
                               struct firn_slice pattern,
                               void (*emit)(void *arg, const char *name, struct firn_slice value),
                               void *arg) FIRN_MUST_USE;

/* Whether CONFIG SET may give this value: OK, or FIRN_INVALID with why: unknown, not this role's,
 * only at start (store, credentials, paths, bind, ports …), fixed at creation (M), bad value. A (C)
 * setting is OK here: firn_conf_find says its scope; commit it first, then firn_conf_set. Changes
 * nothing. */
enum firn_status firn_conf_check(const struct firn_settings *s, enum firn_conf_role role,
                                 struct firn_slice name, struct firn_slice value,
                                 struct firn_err *err) FIRN_MUST_USE;
/* CONFIG SET: as firn_conf_check, then takes the value. FIRN_LIMIT: memory; nothing changed. */
enum firn_status firn_conf_set(struct firn_settings *s, enum firn_conf_role role,
                               struct firn_slice name, struct firn_slice value,
                               struct firn_err *err) FIRN_MUST_USE;

/* CONFIG REWRITE: the text of a config file (`old`, may be empty) with the node's settings that
 * were changed at run time: their lines go, new ones are added at the end (behind any include); all
 * else stays as it is. Secrets and settings kept in the manifest are never written. FIRN_LIMIT:
 * memory or out's max. */
enum firn_status firn_conf_rewrite(const struct firn_settings *s, struct firn_slice old,
                                   struct firn_buf *out) FIRN_MUST_USE;

/* SIGHUP: move to *s those values of a fresh load that may change while running and were not set by
 * CONFIG SET. changed() is told each difference; applied is false for what needs a restart.
 * FIRN_LIMIT: memory; those reported so far are applied. */
enum firn_status firn_conf_reload(struct firn_settings *s, const struct firn_settings *fresh,
                                  enum firn_conf_role role,
                                  void (*changed)(void *arg, const char *name, bool applied),
                                  void *arg) FIRN_MUST_USE;

/* Step through the words of a list ("127.0.0.1 ::1"): false at the end. Start with *at = the list.
 */
bool firn_conf_word(const char **at, struct firn_slice *word);

/* The --help text of a role's program. */
enum firn_status firn_conf_help(enum firn_conf_role role, const char *program,
                                struct firn_buf *out) FIRN_MUST_USE;
/* docs/CONFIG.md. */
enum firn_status firn_conf_markdown(struct firn_buf *out) FIRN_MUST_USE;

#endif
