/* set: commit a (C) setting. */
#include "ctl/ctl_priv.h"

#include "base/mem.h"
#include "conf/conf.h"
#include "manifest/intents.h"
#include "manifest/settings.h"

#include <inttypes.h>
#include <stdio.h>

struct set {
    struct firn_manifest_node *node;
    struct firn_setting_intent intent;
    struct firn_manifest_read read;
    char value[FIRN_SETTINGS_VALUE_MAX]; /* as the manifest keeps it */
    const char *name;
    int status;
};

void firn_ctl__set_free(struct firn_ctl *c)
{
    struct set *s = c->state;
    firn_manifest_node_free(s->node);
    firn_free(s);
}

static void stopped(void *arg)
{
    struct firn_ctl *c = arg;
    firn_ctl__end(c, ((struct set *)c->state)->status);
}

static void finish(struct firn_ctl *c, enum firn_status st, const struct firn_err *err)
{
    struct set *s = c->state;
    if (st != FIRN_OK) {
        char line[sizeof err->text + 64];
        (void)snprintf(line, sizeof line, "set %s: %s", s->name,
                       err->text[0]        ? err->text
                       : st == FIRN_ABSENT ? "there is no database"
                                           : firn_status_name(st));
        c->user.say(c->user.arg, line);
        s->status = CTL_FAILED;
    }
    firn_manifest_node_stop(s->node, stopped, c);
}

static void committed(struct firn_intent *it)
{
    struct firn_ctl *c = it->arg;
    struct set *s = c->state;
    if (it->status == FIRN_OK)
        firn_ctl__print(c, "%s is %s as of version %" PRIu64 "\n", s->name,
                        s->value[0] ? s->value : "\"\"", it->manifest->version);
    if (it->status == FIRN_OK && strcmp(s->name, "heartbeat") == 0)
        firn_ctl__print(c, "the writer undertakes it with its next commit\n");
    finish(c, it->status, &it->err);
}

/* The database is there and this program may read it: commit. */
static void opened(struct firn_manifest_read *r)
{
    struct firn_ctl *c = r->arg;
    struct set *s = c->state;
    if (r->status != FIRN_OK) {
        struct firn_err err = r->err;
        finish(c, r->status, &err);
        return;
    }
    s->intent = (struct firn_setting_intent){.name = s->name, .value = s->value};
    s->intent.base.done = committed;
    s->intent.base.arg = c;
    firn_manifest_setting(s->node, &s->intent);
}

static enum firn_status convert(struct set *s, const char *name, const char *text,
                                struct firn_err *err)
{
    const struct firn_conf_def *def = firn_conf_find(firn_slice_str(name));
    if (!def || def->scope != FIRN_CONF_COMMIT)
        return firn_fail(err, FIRN_INVALID,
                         "%s: %s; set takes history, dedup-ttl, heartbeat, notify-keyspace-events",
                         name,
                         !def                               ? "no such setting"
                         : def->scope == FIRN_CONF_MANIFEST ? "fixed at creation"
                                                            : "a setting of nodes: see CONFIG SET");
    s->name = def->name;
    return firn_settings_commit_value(def->name, text, s->value, err);
}

void firn_ctl__set(struct firn_ctl *c)
{
    struct firn_err err = {0};
    struct firn_manifest_options o = {.interval_ns = 1};
    struct set *s = firn_calloc(1, sizeof *s);
    c->state = s;
    if (!s) {
        firn_ctl__fail_memory(c);
        return;
    }
    enum firn_status st = convert(s, c->args.word[0], c->args.word[1], &err);
    if (st != FIRN_OK) {
        c->user.say(c->user.arg, err.text);
        firn_ctl__end(c, st == FIRN_INVALID ? CTL_USAGE : CTL_FAILED);
        return;
    }
    if (firn_manifest_node_create(c->env, c->store, &o, &s->node) != FIRN_OK) {
        firn_ctl__fail_memory(c);
        return;
    }
    s->read = (struct firn_manifest_read){
        .deadline_ns = firn_boot_ns(c->env) + CTL_DEADLINE_NS, .done = opened, .arg = c};
    firn_manifest_read(s->node, &s->read);
}
