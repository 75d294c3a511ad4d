#include "ctl/ctl_priv.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum ctl_option {
    OPT_JSON = 1,
    OPT_VALUES = 2,
    OPT_VERBOSE = 4,
    OPT_PLACES = 8,
    OPT_DRY_RUN = 16,
};

static const struct firn_ctl_verb verbs[] = {
    {"manifest", "show", "[--json]",
     "everything the manifest says: epochs, floor, settings, tables, garbage, checkpoints",
     OPT_JSON, 0, firn_ctl__manifest_show, NULL},
    {"log", "ls", "[-v]",
     "the slots of the log from `kept` on: place, size, batch or seal; -v reads their headers",
     OPT_VERBOSE, 0, firn_ctl__log_ls, firn_ctl__log_ls_free},
    {"log", "dump", "[--from EPOCH/SLOT] [--to EPOCH/SLOT] [--values]",
     "every record of the log in order, from the floor on; --to is exclusive; lengths instead of\n"
     "                              values unless --values is given",
     OPT_PLACES | OPT_VALUES, 0, firn_ctl__log_dump, firn_ctl__log_dump_free},
    {"table", "dump", "NAME [--values]",
     "one table: properties, index, range tombstones, entries; NAME as in `manifest show`",
     OPT_VALUES, 1, firn_ctl__table_dump, firn_ctl__table_dump_free},
    {"verify", NULL, "",
     "read everything and check every checksum and rule; exit status 1 if anything is damaged", 0,
     0, firn_ctl__verify, firn_ctl__verify_free},
    {"gc", NULL, "--dry-run",
     "what the compactor's collector would delete, and what it would keep and why", OPT_DRY_RUN, 0,
     firn_ctl__gc, firn_ctl__gc_free},
    {"set", NULL, "NAME VALUE",
     "change a (C) setting: history, dedup-ttl, heartbeat, notify-keyspace-events", 0, 2,
     firn_ctl__set, firn_ctl__set_free},
    {"promote", NULL, "NODE",
     "wish that the standby of this node-id takes over now; \"\" takes the wish back", 0, 1,
     firn_ctl__promote, firn_ctl__set_free},
    {"upgrade", NULL, "",
     "raise the database to the newest format this firnctl knows; programs that do not know it "
     "stop",
     0, 0, firn_ctl__upgrade, firn_ctl__set_free},
};
#define VERBS (sizeof verbs / sizeof verbs[0])

enum firn_status firn_ctl_usage(struct firn_buf *out)
{
    enum firn_status s = firn_buf_printf(out, "verbs:\n");
    for (size_t i = 0; i < VERBS && s == FIRN_OK; i++) {
        const struct firn_ctl_verb *v = &verbs[i];
        s = firn_buf_printf(out, "  %s%s%s%s%s\n%30s%s\n", v->name, v->sub ? " " : "",
                            v->sub ? v->sub : "", v->args[0] ? " " : "", v->args, "", v->help);
    }
    if (s == FIRN_OK)
        s = firn_buf_printf(out, "Settings come before the verb. Exit status: 0; 1 it failed, or "
                                 "verify found damage; 2 bad words.\n\n");
    return s;
}

/* --- the command line */

static bool parse_number(const char **at, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    const char *p = *at;
    for (; *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (uint64_t)(*p - '0');
        if (v > max)
            return false;
    }
    bool any = p != *at;
    *at = p;
    *out = v;
    return any;
}

static enum firn_status parse_place(const char *option, const char *text, struct firn_place *out,
                                    struct firn_err *err)
{
    const char *p = text;
    if (p && parse_number(&p, FIRN_EPOCH_MAX, &out->epoch) && *p == '/') {
        p++;
        if (parse_number(&p, FIRN_SLOT_MAX, &out->slot) && *p == '\0')
            return FIRN_OK;
    }
    return firn_fail(err, FIRN_INVALID, "%s: \"%s\" is no place in the log: write EPOCH/SLOT",
                     option, text ? text : "");
}

/* The option at argv[*i], which may take the word behind it. */
static enum firn_status parse_option(int argc, char *const *argv, int *i, struct firn_ctl_args *a,
                                     struct firn_err *err)
{
    const char *o = argv[*i];
    unsigned can = a->verb->options;
    if ((can & OPT_JSON) && strcmp(o, "--json") == 0) {
        a->json = true;
    } else if ((can & OPT_VALUES) && strcmp(o, "--values") == 0) {
        a->values = true;
    } else if ((can & OPT_VERBOSE) && strcmp(o, "-v") == 0) {
        a->verbose = true;
    } else if ((can & OPT_DRY_RUN) && strcmp(o, "--dry-run") == 0) {
        a->dry_run = true;
    } else if ((can & OPT_PLACES) && strcmp(o, "--from") == 0) {
        a->has_from = true;
        return parse_place(o, ++*i < argc ? argv[*i] : NULL, &a->from, err);
    } else if ((can & OPT_PLACES) && strcmp(o, "--to") == 0) {
        a->has_to = true;
        return parse_place(o, ++*i < argc ? argv[*i] : NULL, &a->to, err);
    } else {
        return firn_fail(err, FIRN_INVALID, "%s: no option of \"%s%s%s\" (settings come before it)",
                         o, a->verb->name, a->verb->sub ? " " : "",
                         a->verb->sub ? a->verb->sub : "");
    }
    return FIRN_OK;
}

static const struct firn_ctl_verb *find_verb(int argc, char *const *argv, int *used)
{
    for (size_t i = 0; i < VERBS; i++) {
        const struct firn_ctl_verb *v = &verbs[i];
        *used = v->sub ? 2 : 1;
        if (argc >= *used && strcmp(argv[0], v->name) == 0 &&
            (!v->sub || strcmp(argv[1], v->sub) == 0))
            return v;
    }
    return NULL;
}

enum firn_status firn_ctl_parse(int argc, char *const *argv, struct firn_ctl_args *out,
                                struct firn_err *err)
{
    struct firn_ctl_args a = {0};
    int i = 0;
    if (argc == 0)
        return firn_fail(err, FIRN_INVALID, "a verb is missing: see --help");
    a.verb = find_verb(argc, argv, &i);
    if (!a.verb)
        return firn_fail(err, FIRN_INVALID, "\"%s%s%.40s\" is no verb: see --help", argv[0],
                         argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
    for (; i < argc; i++) {
        /* A value may begin with a dash where words are all that is wanted. */
        if (argv[i][0] == '-' && (a.verb->options || a.words >= a.verb->words)) {
            enum firn_status s = parse_option(argc, argv, &i, &a, err);
            if (s != FIRN_OK)
                return s;
        } else if (a.words < a.verb->words) {
            a.word[a.words++] = argv[i];
        } else {
            return firn_fail(err, FIRN_INVALID, "\"%s\": one word too many", argv[i]);
        }
    }
    if (a.words < a.verb->words)
        return firn_fail(err, FIRN_INVALID, "%s%s%s: %s is missing", a.verb->name,
                         a.verb->sub ? " " : "", a.verb->sub ? a.verb->sub : "", a.verb->args);
    if ((a.verb->options & OPT_DRY_RUN) && !a.dry_run)
        return firn_fail(err, FIRN_INVALID, "gc: only --dry-run; deleting is the compactor's");
    *out = a;
    return FIRN_OK;
}

/* --- life */

static void call_ended(void *arg)
{
    struct firn_ctl *c = arg;
    c->user.ended(c->user.arg, c->status);
}

enum firn_status firn_ctl_create(const struct firn_env *env, struct firn_store *store,
                                 const struct firn_settings *settings,
                                 const struct firn_ctl_args *args, const struct firn_ctl_user *user,
                                 struct firn_ctl **out)
{
    struct firn_ctl *c = firn_calloc(1, sizeof *c);
    if (!c)
        return FIRN_LIMIT;
    c->env = env;
    c->store = store;
    c->settings = settings;
    c->args = *args;
    c->user = *user;
    firn_buf_init(&c->text, SIZE_MAX);
    c->ended = (struct firn_defer){.fn = call_ended, .arg = c};
    *out = c;
    return FIRN_OK;
}

void firn_ctl_start(struct firn_ctl *c)
{
    c->args.verb->start(c);
}

void firn_ctl_free(struct firn_ctl *c)
{
    if (!c)
        return;
    if (c->state && c->args.verb->free)
        c->args.verb->free(c);
    firn_defer_cancel(c->env, &c->ended);
    firn_store_op_clear(&c->op);
    firn_free(c->cursor);
    firn_free(c->start_after);
    firn_pb_manifest_free(c->m);
    firn_buf_clear(&c->text);
    firn_free(c);
}

void firn_ctl__end(struct firn_ctl *c, int status)
{
    if (c->ending)
        return;
    c->ending = true;
    firn_ctl__flush(c);
    c->status = status;
    if (c->text_lost) {
        c->user.say(c->user.arg, "out of memory: some of the output is missing");
        c->status = CTL_FAILED;
    }
    firn_defer(c->env, &c->ended);
}

void firn_ctl__fail(struct firn_ctl *c, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    if (c->ending)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    firn_ctl__flush(c);
    c->user.say(c->user.arg, line);
    firn_ctl__end(c, CTL_FAILED);
}

void firn_ctl__fail_memory(struct firn_ctl *c)
{
    firn_ctl__fail(c, "out of memory");
}
