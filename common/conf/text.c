/* --help and docs/CONFIG.md, from the table. */
#include "conf/conf_priv.h"

static const char *const scope_mark[] = {"", " (M)", " (C)"};

static enum firn_status help_row(const struct firn_conf_def *d, struct firn_buf *out)
{
    enum firn_status s = firn_buf_printf(out, "  --%-25s %s", d->name, d->doc);
    if (s == FIRN_OK && d->type == FIRN_CONF_SECRET)
        return firn_buf_printf(out, "\n%30sfrom a file: --%s-file FILE\n", "", d->name);
    if (s == FIRN_OK)
        s = firn_buf_printf(out, "\n%30s", "");
    if (s == FIRN_OK)
        s = firn_conf__format_range(d, out);
    if (s == FIRN_OK && (d->flags & FIRN_CONF_REQUIRED))
        return firn_buf_printf(out, "; required\n");
    if (s == FIRN_OK)
        s = firn_buf_printf(out, "; default %s%s\n", d->standard[0] ? d->standard : "empty",
                            scope_mark[d->scope]);
    return s;
}

enum firn_status firn_conf_help(enum firn_conf_role role, const char *program, struct firn_buf *out)
{
    enum firn_status s =
        firn_buf_printf(out,
                        "usage: %s --store URL [--name value]...%s\n\n"
                        "Settings come from flags, else from FIRN_NAME in the environment, else "
                        "from --config FILE\n"
                        "(lines of `name value`). (M) counts only when the database is created, "
                        "(C) is kept in the\n"
                        "database and changed by CONFIG SET or firnctl set.\n\n",
                        program, role == FIRN_CONF_CTL ? " VERB [argument]..." : "");
    for (size_t i = 0; i < firn_conf__count && s == FIRN_OK; i++) {
        if (firn_conf__table[i].roles & (unsigned)role)
            s = help_row(&firn_conf__table[i], out);
    }
    if (s == FIRN_OK)
        s = firn_buf_printf(out, "  --%-25s %s\n  --%-25s %s\n", "help", "this text", "version",
                            "version of the program");
    return s;
}

static enum firn_status markdown_roles(const struct firn_conf_def *d, struct firn_buf *out)
{
    static const char *const mark[] = {"W", "R", "C", "ctl"};
    enum firn_status s = FIRN_OK;
    bool any = false;
    for (size_t i = 0; i < 4 && s == FIRN_OK; i++) {
        if (!(d->roles & (1u << i)))
            continue;
        s = firn_buf_printf(out, "%s%s", any ? " " : "", mark[i]);
        any = true;
    }
    return s;
}

static enum firn_status markdown_row(const struct firn_conf_def *d, struct firn_buf *out)
{
    static const char *const change[] = {"restart", "fixed at creation (M)", "commit (C)"};
    enum firn_status s = firn_buf_printf(out, "| `%s` | ", d->name);
    if (s == FIRN_OK && (d->flags & FIRN_CONF_REQUIRED))
        s = firn_buf_printf(out, "required");
    else if (s == FIRN_OK)
        s = firn_buf_printf(out, "`%s`", d->standard[0] ? d->standard : "\"\"");
    if (s == FIRN_OK)
        s = firn_buf_printf(out, " | ");
    if (s == FIRN_OK)
        s = firn_conf__format_range(d, out);
    if (s == FIRN_OK)
        s = firn_buf_printf(out, " | ");
    if (s == FIRN_OK)
        s = markdown_roles(d, out);
    bool live = d->scope == FIRN_CONF_NODE && (d->flags & FIRN_CONF_LIVE);
    if (s == FIRN_OK)
        s = firn_buf_printf(out, " | %s | %s |\n", live ? "CONFIG SET" : change[d->scope], d->doc);
    return s;
}

enum firn_status firn_conf_markdown(struct firn_buf *out)
{
    enum firn_status s = firn_buf_printf(
        out,
        "# Settings\n\n"
        "This page is made from the table in `common/conf/table.c`; after a change there run\n"
        "`cmake --build build/debug --target config_md`. A test compares the two.\n\n"
        "A setting is given as a flag (`--wal-interval 50ms` or `--wal-interval=50ms`), in the\n"
        "environment (`FIRN_WAL_INTERVAL=50ms`) or in a file named by `--config` (lines of\n"
        "`wal-interval 50ms`; `include FILE`; `#` begins a comment line; a value may stand in "
        "double\n"
        "quotes). Flags win over the environment, that over the file, that over the default. One "
        "file or\n"
        "environment may serve all roles: a node ignores what only others have. Anything unknown "
        "or\n"
        "out of range keeps the node from starting, with a message that names the place and what "
        "is\n"
        "allowed.\n\n"
        "Sizes are bytes, or have a unit of `b kb mb gb tb` (1 kb = 1024) or `k m g` (1 k = "
        "1000).\n"
        "Durations have a unit of `ns us ms s min h d`; only 0 may go without. Passwords are "
        "never\n"
        "taken from the command line: give `--requirepass-file FILE`, whose mode must be 0600.\n\n"
        "Roles: W `firn-writer`, R `firn-reader`, C `firn-compactor`, ctl `firnctl`. How a value\n"
        "changes: *CONFIG SET* while the node runs; *restart*; *(M)* is kept in the manifest and "
        "fixed\n"
        "when the database is created, the node's value counts only then; *(C)* is kept in the\n"
        "manifest and changed by a commit (`firnctl set`, or `CONFIG SET` on the writer).\n\n"
        "| setting | default | allowed | roles | changes by | meaning |\n"
        "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < firn_conf__count && s == FIRN_OK; i++)
        s = markdown_row(&firn_conf__table[i], out);
    return s;
}
