/* set, promote, upgrade: one commit each. */
#include "ctl/ctl_priv.h"

#include "base/mem.h"
#include "conf/conf.h"
#include "format/name.h"
#include "format/version.h"
#include "manifest/intents.h"
#include "manifest/settings.h"

#include <inttypes.h>
#include <stdio.h>

enum what { SET, PROMOTE, UPGRADE };

struct set {
    struct firn_manifest_node *node;
    union {
        struct firn_setting_intent setting;
        struct firn_promote_intent promote;
        struct firn_upgrade_intent upgrade;
    } intent;
    struct firn_manifest_read read;
    char value[FIRN_SETTINGS_VALUE_MAX]; /* as the manifest keeps it */
    enum what what;
    const char *name; /* SET: of the setting */
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
        const char *word = s->what == SET ? s->name : s->what == PROMOTE ? c->args.word[0] : "";
        (void)snprintf(line, sizeof line, "%s%s%s: %s", c->args.verb->name, word[0] ? " " : "",
                       word,
                       err->text[0]        ? err->text
                       : st == FIRN_ABSENT ? "there is no database"
                                           : firn_status_name(st));
        c->user.say(c->user.arg, line);
        s->status = CTL_FAILED;
    }
    firn_manifest_node_stop(s->node, stopped, c);
}

static void tell_setting(struct firn_ctl *c, const struct set *s, uint64_t version)
{
    firn_ctl__print(c, "%s is %s as of version %" PRIu64 "\n", s->name,
                    s->value[0] ? s->value : "\"\"", version);
    if (strcmp(s->name, "heartbeat") == 0)
        firn_ctl__print(c, "the writer undertakes it with its next commit\n");
}

static void tell_wish(struct firn_ctl *c, const char *node, uint64_t version)
{
    if (node[0])
        firn_ctl__print(c,
                        "node %s is wished for as of version %" PRIu64
                        "; a standby of that name takes over when it reads this\n",
                        node, version);
    else
        firn_ctl__print(c, "no node is wished for as of version %" PRIu64 "\n", version);
}

static void tell_format(struct firn_ctl *c, const struct firn_manifest *m)
{
    firn_ctl__print(c,
                    "the database has format %u as of version %" PRIu64
                    "; nodes write it when they start or take over\n",
                    m->pb->format, m->version);
}

static void committed(struct firn_intent *it)
{
    struct firn_ctl *c = it->arg;
    struct set *s = c->state;
    if (it->status == FIRN_OK && s->what == SET)
        tell_setting(c, s, it->manifest->version);
    else if (it->status == FIRN_OK && s->what == PROMOTE)
        tell_wish(c, c->args.word[0], it->manifest->version);
    else if (it->status == FIRN_OK)
        tell_format(c, it->manifest);
    finish(c, it->status, &it->err);
}

static void commit_wish(struct firn_ctl *c, struct set *s)
{
    s->intent.promote = (struct firn_promote_intent){.node_id = c->args.word[0]};
    s->intent.promote.base.done = committed;
    s->intent.promote.base.arg = c;
    firn_manifest_promote(s->node, &s->intent.promote);
}

static void commit_setting(struct firn_ctl *c, struct set *s)
{
    s->intent.setting = (struct firn_setting_intent){.name = s->name, .value = s->value};
    s->intent.setting.base.done = committed;
    s->intent.setting.base.arg = c;
    firn_manifest_setting(s->node, &s->intent.setting);
}

static void commit_upgrade(struct firn_ctl *c, struct set *s)
{
    s->intent.upgrade = (struct firn_upgrade_intent){.format = firn_format_newest};
    s->intent.upgrade.base.done = committed;
    s->intent.upgrade.base.arg = c;
    firn_manifest_upgrade(s->node, &s->intent.upgrade);
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
    struct firn_os_dialect d = firn_dialect_from_manifest(r->manifest->pb->dialect);
    firn_store_set_dialect(c->store, &d); /* as its writer proved it: conditions are worded by it */
    firn_manifest_set_name_rate(s->node, d.name_writes_per_sec);
    if (s->what == SET)
        commit_setting(c, s);
    else if (s->what == PROMOTE)
        commit_wish(c, s);
    else
        commit_upgrade(c, s);
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

static void begin(struct firn_ctl *c, struct set *s)
{
    struct firn_manifest_options o = {.interval_ns = 1};
    if (firn_manifest_node_create(c->env, c->store, &o, &s->node) != FIRN_OK) {
        firn_ctl__fail_memory(c);
        return;
    }
    s->read = (struct firn_manifest_read){
        .deadline_ns = firn_boot_ns(c->env) + CTL_DEADLINE_NS, .done = opened, .arg = c};
    firn_manifest_read(s->node, &s->read);
}

static void refuse(struct firn_ctl *c, enum firn_status st, const struct firn_err *err)
{
    c->user.say(c->user.arg, err->text);
    firn_ctl__end(c, st == FIRN_INVALID ? CTL_USAGE : CTL_FAILED);
}

/* NULL: no memory, and the verb has ended so. */
static struct set *set_new(struct firn_ctl *c, enum what what)
{
    struct set *s = firn_calloc(1, sizeof *s);
    c->state = s;
    if (s)
        s->what = what;
    else
        firn_ctl__fail_memory(c);
    return s;
}

void firn_ctl__set(struct firn_ctl *c)
{
    struct firn_err err = {0};
    struct set *s = set_new(c, SET);
    if (!s)
        return;
    enum firn_status st = convert(s, c->args.word[0], c->args.word[1], &err);
    if (st != FIRN_OK)
        refuse(c, st, &err);
    else
        begin(c, s);
}

void firn_ctl__promote(struct firn_ctl *c)
{
    struct firn_err err = {0};
    struct set *s = set_new(c, PROMOTE);
    const char *node = c->args.word[0];
    if (s && node[0] && !firn_name_id_valid(firn_slice_str(node))) {
        (void)firn_fail(&err, FIRN_INVALID, "promote: \"%.80s\" cannot be a node-id", node);
        refuse(c, FIRN_INVALID, &err);
    } else if (s) {
        begin(c, s);
    }
}

void firn_ctl__upgrade(struct firn_ctl *c)
{
    struct set *s = set_new(c, UPGRADE);
    if (s)
        begin(c, s);
}
