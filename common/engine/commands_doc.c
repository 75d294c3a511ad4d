/* docs/COMMANDS.md, from the command tables. */
#include "engine/engine_priv.h"

static enum firn_status row(const struct firn_command_entry *en, struct firn_buf *out)
{
    const struct firn_command *cmd = en->cmd;
    char name[sizeof en->name];
    size_t len = strlen(en->name);
    for (size_t i = 0; i <= len; i++) {
        char c = en->name[i];
        name[i] = c == '|' ? ' ' : (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
    }
    const char *kind = cmd->flags & FIRN_CMD_WRITE      ? "write"
                       : cmd->flags & FIRN_CMD_READONLY ? "read"
                       : cmd->flags & FIRN_CMD_ADMIN    ? "admin"
                                                        : "";
    enum firn_status st = firn_buf_printf(out, "| `%s%s", name, cmd->args ? " " : "");
    for (const char *p = cmd->args ? cmd->args : ""; *p && st == FIRN_OK; p++)
        st = *p == '|' ? firn_buf_append(out, "\\|", 2) : firn_buf_append(out, p, 1);
    if (st == FIRN_OK)
        st = firn_buf_printf(out, "` | %s | %s | %s |\n", kind, cmd->summary ? cmd->summary : "",
                             cmd->complexity ? cmd->complexity : "");
    return st;
}

/* The commands of one group, in the order of the tables; containers are named by their subcommands
 * only. */
static enum firn_status group_rows(struct firn_registry *g, const char *group, struct firn_buf *out)
{
    enum firn_status st = firn_buf_printf(out,
                                          "\n## %s\n\n| Command | Kind | What it does | Cost |\n"
                                          "|---|---|---|---|\n",
                                          group);
    for (size_t i = 0; i < firn_registry_count(g) && st == FIRN_OK; i++) {
        const struct firn_command_entry *en = firn_registry_at(g, i);
        const struct firn_command_entry *top = en->parent ? en->parent : en;
        if (strcmp(top->cmd->group, group) == 0 && !(en->cmd->nsubcommands && en->cmd->arity < -1))
            st = row(en, out);
    }
    return st;
}

enum firn_status firn_engine_commands_markdown(struct firn_engine *e, struct firn_buf *out)
{
    static const char *const groups[] = {"string", "generic", "kv",        "transactions", "pubsub",
                                         "server", "cluster", "scripting", "connection"};
    struct firn_registry *g = firn_server_registry(e->server);
    enum firn_status st = firn_buf_printf(
        out,
        "# Commands\n\nMade from the command tables; `COMMAND DOCS` on a node gives the same. In "
        "arguments lower-case words\nare values (`:i` integer, `:d` double, `:p` pattern, `:t` "
        "time, "
        "`:k` key), upper-case words are typed as they are,\n`[]` is optional, `...` means "
        "several.\n");
    for (size_t k = 0; k < sizeof groups / sizeof *groups && st == FIRN_OK; k++) {
        bool any = false;
        for (size_t i = 0; i < firn_registry_count(g) && !any; i++)
            any = strcmp(firn_registry_at(g, i)->cmd->group, groups[k]) == 0;
        if (any)
            st = group_rows(g, groups[k], out);
    }
    return st;
}
