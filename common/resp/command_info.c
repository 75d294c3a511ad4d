/* COMMAND and its subcommands, but for DOCS: what the table says, in the form of Redis 7. */
#include "resp/command_priv.h"

#include "base/mem.h"
#include "resp/glob.h"

#include <stdio.h>
#include <string.h>

const char *const firn_command__categories[FIRN_CATEGORIES] = {
    "keyspace", "read", "write",    "string",    "bitmap",     "pubsub",      "admin",
    "fast",     "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
};

enum category_bit {
    BIT_KEYSPACE,
    BIT_READ,
    BIT_WRITE,
    BIT_STRING,
    BIT_BITMAP,
    BIT_PUBSUB,
    BIT_ADMIN,
    BIT_FAST,
    BIT_SLOW,
    BIT_BLOCKING,
    BIT_DANGEROUS,
    BIT_CONNECTION,
    BIT_TRANSACTION,
    BIT_SCRIPTING,
};

struct mapping {
    unsigned from, to;
};

unsigned firn_command__category_set(const struct firn_command *cmd)
{
    static const struct mapping of_category[] = {
        {FIRN_CAT_KEYSPACE, 1u << BIT_KEYSPACE},       {FIRN_CAT_STRING, 1u << BIT_STRING},
        {FIRN_CAT_BITMAP, 1u << BIT_BITMAP},           {FIRN_CAT_CONNECTION, 1u << BIT_CONNECTION},
        {FIRN_CAT_TRANSACTION, 1u << BIT_TRANSACTION}, {FIRN_CAT_SCRIPTING, 1u << BIT_SCRIPTING},
        {FIRN_CAT_DANGEROUS, 1u << BIT_DANGEROUS},     {FIRN_CAT_PUBSUB, 1u << BIT_PUBSUB},
    };
    static const struct mapping of_flag[] = {
        {FIRN_CMD_WRITE, 1u << BIT_WRITE},
        {FIRN_CMD_READONLY, 1u << BIT_READ},
        {FIRN_CMD_ADMIN, 1u << BIT_ADMIN | 1u << BIT_DANGEROUS},
        {FIRN_CMD_PUBSUB, 1u << BIT_PUBSUB},
        {FIRN_CMD_BLOCKING, 1u << BIT_BLOCKING},
    };
    unsigned set = cmd->flags & FIRN_CMD_FAST ? 1u << BIT_FAST : 1u << BIT_SLOW;
    for (size_t i = 0; i < sizeof of_category / sizeof of_category[0]; i++)
        set |= cmd->categories & of_category[i].from ? of_category[i].to : 0;
    for (size_t i = 0; i < sizeof of_flag / sizeof of_flag[0]; i++)
        set |= cmd->flags & of_flag[i].from ? of_flag[i].to : 0;
    return set;
}

struct flag_name {
    unsigned flag;
    const char *name;
};

/* A set of the names whose flags are in `flags`, each behind `prefix`. */
static void reply_flags(struct firn_reply *r, unsigned flags, const struct flag_name *names,
                        size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += (flags & names[i].flag) != 0;
    firn_reply_set(r, count);
    for (size_t i = 0; i < n; i++) {
        if (flags & names[i].flag)
            firn_reply_simple(r, names[i].name);
    }
}

static bool has_movable_keys(const struct firn_command *cmd)
{
    return cmd->getkeys && !cmd->keys[0].first;
}

static void reply_command_flags(struct firn_reply *r, const struct firn_command *cmd)
{
    static const struct flag_name names[] = {
        {FIRN_CMD_WRITE, "write"},
        {FIRN_CMD_READONLY, "readonly"},
        {FIRN_CMD_DENYOOM, "denyoom"},
        {FIRN_CMD_ADMIN, "admin"},
        {FIRN_CMD_PUBSUB, "pubsub"},
        {FIRN_CMD_NOSCRIPT, "noscript"},
        {FIRN_CMD_BLOCKING, "blocking"},
        {FIRN_CMD_LOADING, "loading"},
        {FIRN_CMD_STALE, "stale"},
        {FIRN_CMD_SKIP_MONITOR, "skip_monitor"},
        {FIRN_CMD_FAST, "fast"},
        {FIRN_CMD_NO_AUTH, "no_auth"},
        {FIRN_CMD_MAY_REPLICATE, "may_replicate"},
        {FIRN_CMD_NO_MULTI, "no_multi"},
        {FIRN_CMD_MOVABLE_KEYS, "movablekeys"},
        {FIRN_CMD_ALLOW_BUSY, "allow_busy"},
    };
    unsigned flags = cmd->flags | (has_movable_keys(cmd) ? FIRN_CMD_MOVABLE_KEYS : 0);
    reply_flags(r, flags, names, sizeof names / sizeof names[0]);
}

static void reply_key_flags(struct firn_reply *r, unsigned flags)
{
    static const struct flag_name names[] = {
        {FIRN_KEY_RO, "RO"},
        {FIRN_KEY_RW, "RW"},
        {FIRN_KEY_OW, "OW"},
        {FIRN_KEY_RM, "RM"},
        {FIRN_KEY_ACCESS, "access"},
        {FIRN_KEY_UPDATE, "update"},
        {FIRN_KEY_INSERT, "insert"},
        {FIRN_KEY_DELETE, "delete"},
        {FIRN_KEY_VARIABLE_FLAGS, "variable_flags"},
        {FIRN_KEY_NOT_KEY, "not_key"},
    };
    reply_flags(r, flags, names, sizeof names / sizeof names[0]);
}

static void reply_categories(struct firn_reply *r, const struct firn_command *cmd)
{
    unsigned set = firn_command__category_set(cmd);
    firn_reply_set(r, (size_t)__builtin_popcount(set));
    for (unsigned i = 0; i < FIRN_CATEGORIES; i++) {
        if (!(set & 1u << i))
            continue;
        char text[24];
        (void)snprintf(text, sizeof text, "@%s", firn_command__categories[i]);
        firn_reply_simple(r, text);
    }
}

/* The words of a blank-separated text as a set of bulks. */
static void reply_tips(struct firn_reply *r, const char *tips)
{
    size_t n = 0;
    for (const char *p = tips; p && *p; p += *p == ' ') {
        n++;
        p += strcspn(p, " ");
    }
    firn_reply_set(r, n);
    for (const char *p = tips; p && *p; p += *p == ' ') {
        size_t len = strcspn(p, " ");
        firn_reply_bulk(r, firn_slice_of(p, len));
        p += len;
    }
}

static void reply_key_spec(struct firn_reply *r, const struct firn_key_spec *spec)
{
    firn_reply_map(r, 3);
    firn_reply_str(r, "flags");
    reply_key_flags(r, spec->flags);
    firn_reply_str(r, "begin_search");
    firn_reply_map(r, 2);
    firn_reply_str(r, "type");
    firn_reply_str(r, "index");
    firn_reply_str(r, "spec");
    firn_reply_map(r, 1);
    firn_reply_str(r, "index");
    firn_reply_i64(r, spec->first);
    firn_reply_str(r, "find_keys");
    firn_reply_map(r, 2);
    firn_reply_str(r, "type");
    firn_reply_str(r, "range");
    firn_reply_str(r, "spec");
    firn_reply_map(r, 3);
    firn_reply_str(r, "lastkey");
    firn_reply_i64(r, spec->last >= 0 ? spec->last - spec->first : spec->last);
    firn_reply_str(r, "keystep");
    firn_reply_i64(r, spec->step);
    firn_reply_str(r, "limit");
    firn_reply_i64(r, 0);
}

/* The specification of keys only the command itself can find. */
static void reply_unknown_key_spec(struct firn_reply *r)
{
    firn_reply_map(r, 3);
    firn_reply_str(r, "flags");
    reply_key_flags(r, FIRN_KEY_RW | FIRN_KEY_ACCESS | FIRN_KEY_UPDATE | FIRN_KEY_VARIABLE_FLAGS);
    static const char *const parts[] = {"begin_search", "find_keys"};
    for (size_t i = 0; i < 2; i++) {
        firn_reply_str(r, parts[i]);
        firn_reply_map(r, 2);
        firn_reply_str(r, "type");
        firn_reply_str(r, "unknown");
        firn_reply_str(r, "spec");
        firn_reply_map(r, 0);
    }
}

static void reply_key_specs(struct firn_reply *r, const struct firn_command *cmd)
{
    size_t n = 0;
    while (n < 2 && cmd->keys[n].first)
        n++;
    firn_reply_set(r, n + has_movable_keys(cmd));
    for (size_t i = 0; i < n; i++)
        reply_key_spec(r, &cmd->keys[i]);
    if (has_movable_keys(cmd))
        reply_unknown_key_spec(r);
}

/* First key, last key and step of the old form; specifications that follow one another are joined.
 */
static void reply_legacy_range(struct firn_reply *r, const struct firn_command *cmd)
{
    struct firn_key_spec k = cmd->keys[0];
    const struct firn_key_spec *second = &cmd->keys[1];
    if (second->first && k.last >= 0 && second->first == k.last + 1 && k.step == second->step)
        k.last = second->last;
    firn_reply_i64(r, k.first);
    firn_reply_i64(r, k.first ? k.last : 0);
    firn_reply_i64(r, k.first ? k.step : 0);
}

/* All but the subcommands of an entry: nine of its ten elements. */
static void reply_info_head(struct firn_reply *r, const struct firn_command_entry *e)
{
    firn_reply_array(r, 10);
    firn_reply_str(r, e->name);
    firn_reply_i64(r, e->cmd->arity);
    reply_command_flags(r, e->cmd);
    reply_legacy_range(r, e->cmd);
    reply_categories(r, e->cmd);
    reply_tips(r, e->cmd->tips);
    reply_key_specs(r, e->cmd);
}

static void reply_info(struct firn_registry *g, struct firn_reply *r,
                       const struct firn_command_entry *e)
{
    reply_info_head(r, e);
    size_t n = e->parent ? 0 : e->cmd->nsubcommands;
    if (!n) {
        firn_reply_set(r, 0);
        return;
    }
    firn_reply_array(r, n);
    for (size_t i = 0; i < n; i++) { /* they follow their parent */
        reply_info_head(r, firn_registry_at(g, e->number + i));
        firn_reply_set(r, 0);
    }
}

static void command_info(struct firn_registry *g, struct firn_reply *r, size_t argc,
                         const struct firn_slice *argv)
{
    if (argc <= 2) {
        firn_reply_array(r, firn_registry_commands(g));
        for (size_t i = 0; i < firn_registry_count(g); i++) {
            if (!firn_registry_at(g, i)->parent)
                reply_info(g, r, firn_registry_at(g, i));
        }
        return;
    }
    firn_reply_array(r, argc - 2);
    for (size_t i = 2; i < argc; i++) {
        const struct firn_command_entry *e = firn_registry_find_full(g, argv[i]);
        if (e)
            reply_info(g, r, e);
        else
            firn_reply_null(r);
    }
}

static bool in_category(const struct firn_command *cmd, struct firn_slice name)
{
    unsigned set = firn_command__category_set(cmd);
    for (unsigned i = 0; i < FIRN_CATEGORIES; i++) {
        if (set & 1u << i && firn_slice_ieq(name, firn_command__categories[i]))
            return true;
    }
    return false;
}

static void command_list(struct firn_registry *g, struct firn_reply *r, size_t argc,
                         const struct firn_slice *argv)
{
    enum { ALL, MODULE, ACLCAT, PATTERN } by = ALL;
    if (argc == 5 && firn_slice_ieq(argv[2], "filterby")) {
        by = firn_slice_ieq(argv[3], "module")    ? MODULE
             : firn_slice_ieq(argv[3], "aclcat")  ? ACLCAT
             : firn_slice_ieq(argv[3], "pattern") ? PATTERN
                                                  : ALL;
    }
    if (argc != 2 && by == ALL) {
        firn_reply_error(r, "ERR syntax error");
        return;
    }
    size_t place = firn_reply_defer_array(r);
    size_t n = 0;
    for (size_t i = 0; i < firn_registry_count(g) && by != MODULE; i++) {
        const struct firn_command_entry *e = firn_registry_at(g, i);
        if (by == ACLCAT && !in_category(e->cmd, argv[4]))
            continue;
        if (by == PATTERN && !firn_glob_match(argv[4], firn_slice_str(e->name), true))
            continue;
        firn_reply_str(r, e->name);
        n++;
    }
    firn_reply_fill_array(r, place, n);
}

static void reply_keys(struct firn_reply *r, const struct firn_slice *argv,
                       const struct firn_key_ref *refs, size_t n, bool with_flags)
{
    firn_reply_array(r, n);
    for (size_t i = 0; i < n; i++) {
        if (with_flags)
            firn_reply_array(r, 2);
        firn_reply_bulk(r, argv[refs[i].index]);
        if (with_flags)
            reply_key_flags(r, refs[i].flags);
    }
}

static void command_getkeys(struct firn_registry *g, struct firn_reply *r, size_t argc,
                            const struct firn_slice *argv, bool with_flags)
{
    struct firn_command_entry *parent;
    struct firn_command_entry *e = firn_registry_resolve(g, argc - 2, argv + 2, &parent);
    argc -= 2;
    argv += 2;
    if (!e) {
        firn_reply_error(r, "ERR Invalid command specified");
        return;
    }
    const struct firn_key_spec *spec = &e->cmd->keys[0];
    if (!e->cmd->getkeys && (!spec->first || spec->flags & FIRN_KEY_NOT_KEY)) {
        firn_reply_error(r, "ERR The command has no key arguments");
        return;
    }
    if (!firn_command_arity_ok(e->cmd, argc)) {
        firn_reply_error(r, "ERR Invalid number of arguments specified for command");
        return;
    }
    struct firn_key_ref *refs = firn_malloc(argc * sizeof *refs); /* a key is an argument */
    if (!refs) {
        r->failed = true;
        return;
    }
    size_t n = firn_command_keys(e->cmd, argc, argv, refs, argc);
    if (n == FIRN_KEYS_INVALID || n > argc)
        firn_reply_error(r, "ERR Invalid arguments specified for command");
    else
        reply_keys(r, argv, refs, n, with_flags);
    firn_free(refs);
}

void firn_command_reply(struct firn_registry *g, struct firn_reply *r, size_t argc,
                        const struct firn_slice *argv)
{
    if (argc < 2 || firn_slice_ieq(argv[1], "info"))
        command_info(g, r, argc, argv);
    else if (firn_slice_ieq(argv[1], "count"))
        firn_reply_i64(r, (int64_t)firn_registry_commands(g));
    else if (firn_slice_ieq(argv[1], "list"))
        command_list(g, r, argc, argv);
    else if (firn_slice_ieq(argv[1], "docs"))
        firn_command__docs(g, r, argc, argv);
    else if (firn_slice_ieq(argv[1], "getkeys"))
        command_getkeys(g, r, argc, argv, false);
    else if (firn_slice_ieq(argv[1], "getkeysandflags"))
        command_getkeys(g, r, argc, argv, true);
    else
        firn_command_help(r, firn_registry_find(g, argv[0]));
}
