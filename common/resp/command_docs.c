/* COMMAND DOCS: the arguments of a command are written in its table as the manual writes them, and
 * parsed here into the tree the reply wants. */
#include "resp/command_priv.h"

#include "base/assert.h"

#include <stdio.h>
#include <string.h>

#define NODES_MAX 96
#define DEPTH_MAX 8
#define HELP_LINE_MAX 512
#define NONE 0 /* node 0 is the root: nobody's child or sibling */

enum node_kind { NODE_WORD, NODE_TOKEN, NODE_ONEOF, NODE_BLOCK };

struct node {
    enum node_kind kind;
    bool optional, multiple;
    struct firn_slice name;  /* as written; of ONEOF and BLOCK may be empty */
    struct firn_slice token; /* leading token, or empty */
    char type;               /* of a WORD: 's', 'i', 'd', 'p', 't', 'k' */
    unsigned first, next;
};

struct tree {
    const char *at;
    struct node node[NODES_MAX];
    unsigned n;
    bool bad;
};

static unsigned new_node(struct tree *t, enum node_kind kind)
{
    if (t->n == NODES_MAX) {
        t->bad = true;
        return NODES_MAX - 1;
    }
    t->node[t->n] = (struct node){.kind = kind, .type = 's'};
    return t->n++;
}

static bool is_delimiter(char c)
{
    return c == '\0' || c == ' ' || c == '|' || c == '[' || c == ']' || c == '(' || c == ')';
}

static bool is_token(struct firn_slice w)
{
    bool letter = false;
    for (size_t i = 0; i < w.len; i++) {
        if (w.data[i] >= 'a' && w.data[i] <= 'z')
            return false;
        letter |= w.data[i] >= 'A' && w.data[i] <= 'Z';
    }
    return letter || (w.len == 1 && !is_delimiter((char)w.data[0]));
}

static void blanks(struct tree *t)
{
    while (*t->at == ' ')
        t->at++;
}

/* "..." behind an item. */
static bool dots(struct tree *t)
{
    blanks(t);
    if (strncmp(t->at, "...", 3) != 0)
        return false;
    t->at += 3;
    return true;
}

static unsigned parse_word(struct tree *t)
{
    const char *from = t->at;
    while (!is_delimiter(*t->at) && *t->at != ':' && strncmp(t->at, "...", 3) != 0)
        t->at++;
    struct firn_slice w = firn_slice_of(from, (size_t)(t->at - from));
    unsigned n = new_node(t, is_token(w) ? NODE_TOKEN : NODE_WORD);
    struct node *node = &t->node[n];
    node->name = w;
    if (node->kind == NODE_TOKEN)
        node->token = w;
    else if (w.len == 3 && memcmp(w.data, "key", 3) == 0)
        node->type = 'k';
    if (*t->at == ':') {
        node->type = t->at[1];
        t->bad |= !t->at[1] || !strchr("sidptk", t->at[1]);
        t->at += t->at[1] ? 2 : 1;
    }
    t->bad |= w.len == 0;
    return n;
}

static unsigned parse_alternatives(struct tree *t, char close, unsigned depth);

static unsigned parse_item(struct tree *t, unsigned depth)
{
    char open = *t->at;
    unsigned n;
    if (open == '[' || open == '(') {
        t->at++;
        n = parse_alternatives(t, open == '[' ? ']' : ')', depth + 1);
        t->node[n].optional |= open == '[';
    } else {
        n = parse_word(t);
    }
    if (dots(t))
        t->node[n].multiple = true;
    return n;
}

/* A token takes the plain words and groups behind it along: none is a pure token, one is an
 * argument with a token, more are a block. `list` is the chain of items; gives the chain with
 * tokens joined. */
static unsigned join_tokens(struct tree *t, unsigned list)
{
    unsigned head = NONE, *link = &head;
    while (list != NONE) {
        unsigned n = list;
        list = t->node[n].next;
        t->node[n].next = NONE;
        struct node *node = &t->node[n];
        bool takes = node->kind == NODE_TOKEN && !node->multiple;
        unsigned first = list, last = NONE, count = 0;
        while (takes && list != NONE && t->node[list].kind != NODE_TOKEN &&
               !t->node[list].optional && !t->node[list].token.len) {
            last = list;
            list = t->node[list].next;
            count++;
        }
        if (count == 1) {
            t->node[first].token = node->token;
            t->node[first].next = NONE;
            n = first;
        } else if (count > 1) {
            node->kind = NODE_BLOCK;
            node->first = first;
            t->node[last].next = NONE;
        }
        *link = n;
        link = &t->node[n].next;
    }
    return head;
}

/* Items up to '|', the closing bracket or the end; gives the chain of them. */
static unsigned parse_sequence(struct tree *t, unsigned depth)
{
    unsigned head = NONE, *link = &head;
    if (depth > DEPTH_MAX)
        t->bad = true;
    blanks(t);
    while (!t->bad && *t->at && *t->at != '|' && *t->at != ']' && *t->at != ')') {
        unsigned n = parse_item(t, depth);
        *link = n;
        link = &t->node[n].next;
        blanks(t);
    }
    return join_tokens(t, head);
}

/* "name=" at the start of a group names it. */
static struct firn_slice group_name(struct tree *t)
{
    blanks(t);
    const char *p = t->at;
    while ((*p >= 'a' && *p <= 'z') || *p == '-')
        p++;
    if (*p != '=' || p == t->at)
        return firn_slice_of(NULL, 0);
    struct firn_slice name = firn_slice_of(t->at, (size_t)(p - t->at));
    t->at = p + 1;
    return name;
}

/* One alternative as one node: the only item itself, or a block. */
static unsigned as_one(struct tree *t, unsigned list)
{
    if (list == NONE) {
        t->bad = true;
        return new_node(t, NODE_BLOCK);
    }
    if (t->node[list].next == NONE)
        return list;
    unsigned n = new_node(t, NODE_BLOCK);
    t->node[n].first = list;
    return n;
}

/* "a|b c|…" up to `close`, as one node. The text is the program's own and DEPTH_MAX bounds it. */
static unsigned parse_alternatives(struct tree *t, char close, unsigned depth)
{
    struct firn_slice name = group_name(t);
    unsigned n = as_one(t, parse_sequence(t, depth));
    if (!t->bad && *t->at == '|') {
        unsigned oneof = new_node(t, NODE_ONEOF);
        t->node[oneof].first = n;
        while (!t->bad && *t->at == '|') {
            t->at++;
            unsigned next = as_one(t, parse_sequence(t, depth));
            t->node[n].next = next;
            n = next;
        }
        n = oneof;
    }
    if (name.len)
        t->node[n].name = name;
    if (*t->at == close)
        t->at++;
    else
        t->bad = true;
    return n;
}

/* Fill t from the text; its root's children are the arguments. */
static bool parse_args(struct tree *t, const char *args)
{
    t->at = args ? args : "";
    t->n = 0;
    t->bad = false;
    (void)new_node(t, NODE_BLOCK);
    t->node[0].first = parse_sequence(t, 0);
    return !t->bad && *t->at == '\0';
}

bool firn_command__args_ok(const char *args)
{
    struct tree t;
    return parse_args(&t, args);
}

/* --- the reply */

static size_t count_chain(const struct tree *t, unsigned n)
{
    size_t count = 0;
    for (; n != NONE; n = t->node[n].next)
        count++;
    return count;
}

static const char *type_name(const struct node *n)
{
    switch (n->kind) {
    case NODE_TOKEN:
        return "pure-token";
    case NODE_ONEOF:
        return "oneof";
    case NODE_BLOCK:
        return "block";
    default:
        break;
    }
    switch (n->type) {
    case 'i':
        return "integer";
    case 'd':
        return "double";
    case 'p':
        return "pattern";
    case 't':
        return "unix-time";
    case 'k':
        return "key";
    default:
        return "string";
    }
}

/* The name, lower case; a group without one is named after its first member. */
static void reply_name(struct firn_reply *r, const struct tree *t, const struct node *n)
{
    while (!n->name.len && n->first != NONE)
        n = &t->node[n->first];
    char text[64];
    size_t len = n->name.len < sizeof text ? n->name.len : sizeof text;
    for (size_t i = 0; i < len; i++) {
        char c = (char)n->name.data[i];
        text[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    firn_reply_bulk(r, firn_slice_of(text, len));
}

static void reply_node_flags(struct firn_reply *r, const struct node *n)
{
    firn_reply_str(r, "flags");
    firn_reply_set(r, (size_t)n->optional + n->multiple);
    if (n->optional)
        firn_reply_simple(r, "optional");
    if (n->multiple)
        firn_reply_simple(r, "multiple");
}

static void reply_chain(struct firn_reply *r, const struct tree *t, unsigned first);

static void reply_node(struct firn_reply *r, const struct tree *t, const struct node *n)
{
    bool key = n->kind == NODE_WORD && n->type == 'k';
    bool group = n->kind == NODE_ONEOF || n->kind == NODE_BLOCK;
    bool flags = n->optional || n->multiple;
    firn_reply_map(r, 2u + key + (n->token.len > 0) + flags + group);
    firn_reply_str(r, "name");
    reply_name(r, t, n);
    firn_reply_str(r, "type");
    firn_reply_str(r, type_name(n));
    if (key) {
        firn_reply_str(r, "key_spec_index");
        firn_reply_i64(r, 0);
    }
    if (n->token.len) {
        firn_reply_str(r, "token");
        firn_reply_bulk(r, n->token);
    }
    if (flags)
        reply_node_flags(r, n);
    if (group) {
        firn_reply_str(r, "arguments");
        reply_chain(r, t, n->first);
    }
}

static void reply_chain(struct firn_reply *r, const struct tree *t, unsigned first)
{
    firn_reply_array(r, count_chain(t, first));
    for (unsigned n = first; n != NONE; n = t->node[n].next)
        reply_node(r, t, &t->node[n]);
}

static void reply_pair(struct firn_reply *r, const char *name, const char *value)
{
    if (!value)
        return;
    firn_reply_str(r, name);
    firn_reply_str(r, value);
}

/* The map of one command, without its subcommands; `more` fields follow. */
static void reply_doc_head(struct firn_reply *r, const struct firn_command *cmd, size_t more)
{
    struct tree t;
    bool args = parse_args(&t, cmd->args) && t.node[0].first != NONE;
    firn_reply_map(r, (size_t)(cmd->summary != NULL) + (size_t)(cmd->since != NULL) +
                          (size_t)(cmd->group != NULL) + (size_t)(cmd->complexity != NULL) +
                          (size_t)args + more);
    reply_pair(r, "summary", cmd->summary);
    reply_pair(r, "since", cmd->since);
    reply_pair(r, "group", cmd->group);
    reply_pair(r, "complexity", cmd->complexity);
    if (args) {
        firn_reply_str(r, "arguments");
        reply_chain(r, &t, t.node[0].first);
    }
}

static void reply_doc(struct firn_registry *g, struct firn_reply *r,
                      const struct firn_command_entry *e)
{
    size_t n = e->parent ? 0 : e->cmd->nsubcommands;
    firn_reply_str(r, e->name);
    reply_doc_head(r, e->cmd, n > 0);
    if (!n)
        return;
    firn_reply_str(r, "subcommands");
    firn_reply_map(r, n);
    for (size_t i = 0; i < n; i++) { /* they follow their parent */
        const struct firn_command_entry *sub = firn_registry_at(g, e->number + i);
        firn_reply_str(r, sub->name);
        reply_doc_head(r, sub->cmd, 0);
    }
}

void firn_command__docs(struct firn_registry *g, struct firn_reply *r, size_t argc,
                        const struct firn_slice *argv)
{
    size_t n = 0;
    if (argc <= 2) {
        firn_reply_map(r, firn_registry_commands(g));
        for (size_t i = 0; i < firn_registry_count(g); i++) {
            if (!firn_registry_at(g, i)->parent)
                reply_doc(g, r, firn_registry_at(g, i));
        }
        return;
    }
    for (size_t i = 2; i < argc; i++)
        n += firn_registry_find_full(g, argv[i]) != NULL;
    firn_reply_map(r, n);
    for (size_t i = 2; i < argc; i++) {
        const struct firn_command_entry *e = firn_registry_find_full(g, argv[i]);
        if (e)
            reply_doc(g, r, e);
    }
}

/* --- HELP */

/* The arguments for people: without types (":i") and the names of groups ("range="). */
static size_t plain_arguments(const char *args, char *out, size_t max)
{
    size_t n = 0, word = 0;
    for (const char *p = args; *p && n + 1 < max; p++) {
        if (*p == ':') {
            p += p[1] != '\0';
        } else if (*p == '=') {
            n = word;
        } else {
            out[n++] = *p;
            word = is_delimiter(*p) ? n : word;
        }
    }
    return n;
}

static void help_of(struct firn_reply *r, const struct firn_command *cmd)
{
    char line[HELP_LINE_MAX] = "";
    size_t n = 0;
    for (const char *p = cmd->name; *p && n < sizeof line - 2; p++)
        line[n++] = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
    if (cmd->args) {
        line[n++] = ' ';
        n += plain_arguments(cmd->args, line + n, sizeof line - n);
    }
    line[n] = '\0';
    firn_reply_simple(r, line);
    (void)snprintf(line, sizeof line, "    %s.", cmd->summary);
    firn_reply_simple(r, line);
}

void firn_command_help(struct firn_reply *r, const struct firn_command_entry *container)
{
    const struct firn_command *cmd = container->cmd;
    char line[HELP_LINE_MAX], upper[sizeof container->name];
    size_t n = strlen(container->name);
    for (size_t i = 0; i <= n; i++) {
        char c = container->name[i];
        upper[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    }
    (void)snprintf(line, sizeof line,
                   "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", upper);
    firn_reply_array(r, 1 + 2 * cmd->nsubcommands);
    firn_reply_simple(r, line);
    for (size_t i = 0; i < cmd->nsubcommands; i++)
        help_of(r, &cmd->subcommands[i]);
}
