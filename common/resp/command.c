#include "resp/command.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "resp/command_priv.h"

#include <stdio.h>
#include <string.h>

/* A slot of the hash table: open addressing, linear probing, at most half full. */
struct slot {
    uint64_t key;
    uint32_t len;
    uint32_t parent; /* 0 = a command, else the parent's number + 1 */
    struct firn_command_entry *entry;
};

struct firn_registry {
    struct firn_command_entry **entries; /* in order; the structs are in `blocks` */
    size_t n, cap;
    struct firn_command_entry *blocks[16]; /* one per table added */
    size_t nblocks;
    struct slot *slots;
    size_t mask; /* slots - 1 */
};

/* ASCII lower case of eight bytes at once (SWAR; "Hacker's Delight" ch. 6 has the technique). */
static inline uint64_t lower8(uint64_t x)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t low7 = x & (ones * 0x7f);
    uint64_t above_z = low7 + ones * (0x7f - 'Z');
    uint64_t from_a = low7 + ones * (0x80 - 'A');
    uint64_t upper = ~x & (from_a ^ above_z) & (ones * 0x80);
    return x | upper >> 2;
}

/* The first up to eight bytes, lower case, zero-padded. */
static inline uint64_t key_of(const uint8_t *p, size_t n)
{
    uint64_t x = 0;
    if (n >= 8) {
        x = firn_le64(p);
    } else if (n >= 4) {
        x = firn_le32(p) | (uint64_t)firn_le32(p + n - 4) << (8 * (n - 4));
    } else if (n > 0) {
        x = p[0] | (uint64_t)p[n / 2] << (8 * (n / 2)) | (uint64_t)p[n - 1] << (8 * (n - 1));
    }
    return lower8(x);
}

static inline size_t slot_of(const struct firn_registry *g, uint64_t key, uint32_t len,
                             uint32_t parent)
{
    uint64_t h = (key ^ ((uint64_t)len << 56) ^ ((uint64_t)parent << 40)) *
                 UINT64_C(0x9E3779B97F4A7C15); /* Fibonacci hashing, Knuth 6.4 */
    return (h >> 40) & g->mask;
}

static struct firn_command_entry *lookup(const struct firn_registry *g, struct firn_slice name,
                                         uint32_t parent)
{
    if (name.len == 0 || name.len >= sizeof g->entries[0]->name || !g->n)
        return NULL;
    uint64_t key = key_of(name.data, name.len);
    uint32_t len = (uint32_t)name.len;
    for (size_t i = slot_of(g, key, len, parent); g->slots[i].entry; i = (i + 1) & g->mask) {
        const struct slot *s = &g->slots[i];
        if (s->key == key && s->len == len && s->parent == parent &&
            (len <= 8 || firn_slice_ieq(name, s->entry->cmd->name)))
            return s->entry;
    }
    return NULL;
}

enum firn_status firn_registry_create(struct firn_registry **out)
{
    struct firn_registry *g = firn_calloc(1, sizeof *g);
    if (!g)
        return FIRN_LIMIT;
    *out = g;
    return FIRN_OK;
}

void firn_registry_free(struct firn_registry *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->nblocks; i++)
        firn_free(g->blocks[i]);
    firn_free(g->entries);
    firn_free(g->slots);
    firn_free(g);
}

static void insert(struct firn_registry *g, struct firn_command_entry *e)
{
    uint32_t parent = e->parent_number;
    size_t i = slot_of(g, e->key, e->name_len, parent);
    while (g->slots[i].entry)
        i = (i + 1) & g->mask;
    g->slots[i] = (struct slot){e->key, e->name_len, parent, e};
}

/* Room for `more` entries in the array and the hash table. */
static enum firn_status grow(struct firn_registry *g, size_t more)
{
    size_t cap = g->n + more;
    struct firn_command_entry **v = firn_realloc(g->entries, cap * sizeof *v);
    if (!v)
        return FIRN_LIMIT;
    g->entries = v;
    g->cap = cap;
    size_t nslots = 64;
    while (nslots < cap * 2)
        nslots *= 2;
    struct slot *slots = firn_calloc(nslots, sizeof *slots);
    if (!slots)
        return FIRN_LIMIT;
    firn_free(g->slots);
    g->slots = slots;
    g->mask = nslots - 1;
    for (size_t i = 0; i < g->n; i++)
        insert(g, g->entries[i]);
    return FIRN_OK;
}

static enum firn_status add_one(struct firn_registry *g, struct firn_command_entry *e,
                                const struct firn_command *cmd, struct firn_command_entry *parent,
                                struct firn_err *err)
{
    struct firn_slice name = firn_slice_str(cmd->name);
    uint32_t number = parent ? parent->number : 0;
    int n = parent ? snprintf(e->name, sizeof e->name, "%s|%s", parent->name, cmd->name)
                   : snprintf(e->name, sizeof e->name, "%s", cmd->name);
    if (name.len == 0 || n < 0 || (size_t)n >= sizeof e->name)
        return firn_fail(err, FIRN_INVALID, "command name '%s' is empty or too long", cmd->name);
    if (lookup(g, name, number))
        return firn_fail(err, FIRN_INVALID, "command '%s' is registered twice", e->name);
    if (!firn_command__args_ok(cmd->args))
        return firn_fail(err, FIRN_INVALID, "arguments of command '%s' are malformed: %s", e->name,
                         cmd->args);
    e->cmd = cmd;
    e->parent = parent;
    e->parent_number = number;
    e->key = key_of(name.data, name.len);
    e->name_len = (uint32_t)name.len;
    g->entries[g->n++] = e;
    e->number = (uint32_t)g->n;
    insert(g, e);
    return FIRN_OK;
}

enum firn_status firn_registry_add(struct firn_registry *g, const struct firn_command *table,
                                   size_t n, bool own, struct firn_err *err)
{
    size_t total = n;
    for (size_t i = 0; i < n; i++)
        total += table[i].nsubcommands;
    if (g->nblocks == sizeof g->blocks / sizeof g->blocks[0])
        return firn_fail(err, FIRN_INVALID, "too many command tables");
    struct firn_command_entry *block = firn_calloc(total ? total : 1, sizeof *block);
    if (!block)
        return firn_fail(err, FIRN_LIMIT, "out of memory for the command table");
    g->blocks[g->nblocks++] = block;
    if (grow(g, total) != FIRN_OK)
        return firn_fail(err, FIRN_LIMIT, "out of memory for the command table");
    enum firn_status s = FIRN_OK;
    for (size_t i = 0; s == FIRN_OK && i < n; i++) {
        struct firn_command_entry *parent = block++;
        parent->own = own;
        s = add_one(g, parent, &table[i], NULL, err);
        for (size_t k = 0; s == FIRN_OK && k < table[i].nsubcommands; k++) {
            block->own = own;
            s = add_one(g, block++, &table[i].subcommands[k], parent, err);
        }
    }
    return s;
}

enum firn_status firn_registry_take(struct firn_registry *g, const char *parent,
                                    const struct firn_command *cmd, struct firn_err *err)
{
    struct firn_command_entry *p = lookup(g, firn_slice_str(parent), 0);
    struct firn_command_entry *e = p ? lookup(g, firn_slice_str(cmd->name), p->number) : NULL;
    if (!e)
        return firn_fail(err, FIRN_INVALID, "command '%s|%s' is not registered", parent, cmd->name);
    e->cmd = cmd;
    e->own = false;
    return FIRN_OK;
}

struct firn_command_entry *firn_registry_find(struct firn_registry *g, struct firn_slice name)
{
    return lookup(g, name, 0);
}

struct firn_command_entry *firn_registry_find_sub(struct firn_registry *g,
                                                  const struct firn_command_entry *parent,
                                                  struct firn_slice name)
{
    return lookup(g, name, parent->number);
}

struct firn_command_entry *firn_registry_find_full(struct firn_registry *g, struct firn_slice name)
{
    const uint8_t *bar = name.len ? memchr(name.data, '|', name.len) : NULL;
    if (!bar)
        return firn_registry_find(g, name);
    size_t head = (size_t)(bar - name.data);
    struct firn_command_entry *parent = firn_registry_find(g, firn_slice_of(name.data, head));
    if (!parent)
        return NULL;
    return firn_registry_find_sub(g, parent, firn_slice_of(bar + 1, name.len - head - 1));
}

struct firn_command_entry *firn_registry_resolve(struct firn_registry *g, size_t argc,
                                                 const struct firn_slice *argv,
                                                 struct firn_command_entry **parent)
{
    *parent = NULL;
    struct firn_command_entry *e = lookup(g, argv[0], 0);
    if (!e || !e->cmd->nsubcommands || argc < 2)
        return e;
    *parent = e;
    return firn_registry_find_sub(g, e, argv[1]);
}

size_t firn_registry_commands(const struct firn_registry *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++)
        n += !g->entries[i]->parent;
    return n;
}

size_t firn_registry_count(const struct firn_registry *g)
{
    return g->n;
}

struct firn_command_entry *firn_registry_at(const struct firn_registry *g, size_t i)
{
    FIRN_ASSERT(i < g->n);
    return g->entries[i];
}

void firn_registry_reset_stats(struct firn_registry *g)
{
    for (size_t i = 0; i < g->n; i++)
        g->entries[i]->stat = (struct firn_command_stat){0};
}

bool firn_command_arity_ok(const struct firn_command *cmd, size_t argc)
{
    if (cmd->arity >= 0)
        return argc == (size_t)cmd->arity;
    return argc >= (size_t)-cmd->arity;
}

size_t firn_command_keys(const struct firn_command *cmd, size_t argc, const struct firn_slice *argv,
                         struct firn_key_ref *out, size_t max)
{
    if (cmd->getkeys)
        return cmd->getkeys(argc, argv, out, max);
    size_t n = 0;
    for (size_t k = 0; k < 2 && cmd->keys[k].first; k++) {
        const struct firn_key_spec *spec = &cmd->keys[k];
        if (spec->flags & FIRN_KEY_NOT_KEY)
            continue;
        size_t last = spec->last >= 0 ? (size_t)spec->last : argc - (size_t)-spec->last;
        for (size_t i = (size_t)spec->first; i <= last; i += (size_t)spec->step) {
            if (i >= argc)
                return FIRN_KEYS_INVALID;
            if (n < max)
                out[n] = (struct firn_key_ref){i, spec->flags};
            n++;
        }
    }
    return n;
}

void firn_command_unknown(struct firn_reply *r, size_t argc, const struct firn_slice *argv)
{
    /* Redis shows at most 128 bytes of the name and of the arguments. */
    char args[160];
    size_t n = 0;
    args[0] = '\0';
    for (size_t i = 1; i < argc && n < 128; i++) {
        size_t len = argv[i].len < 128 - n ? argv[i].len : 128 - n;
        args[n++] = '\'';
        if (len)
            memcpy(args + n, argv[i].data, len);
        n += len;
        args[n++] = '\'';
        args[n++] = ' ';
    }
    char text[400];
    int name_len = (int)(argv[0].len < 128 ? argv[0].len : 128);
    int head = snprintf(text, sizeof text,
                        "ERR unknown command '%.*s', with args beginning with: ", name_len,
                        argv[0].len ? (const char *)argv[0].data : "");
    memcpy(text + head, args, n); /* arguments may hold NULs, which printf would stop at */
    firn_reply_error_slice(r, firn_slice_of(text, (size_t)head + n));
}

static void bad_sub(struct firn_reply *r, const char *what, struct firn_slice container,
                    struct firn_slice sub)
{
    char upper[64];
    size_t n = 0;
    for (; n < container.len && n < sizeof upper - 1; n++) {
        uint8_t c = container.data[n];
        upper[n] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
    }
    upper[n] = '\0';
    firn_reply_error(r, "ERR unknown subcommand%s '%.*s'. Try %s HELP.", what,
                     (int)(sub.len < 128 ? sub.len : 128), sub.len ? (const char *)sub.data : "",
                     upper);
}

void firn_command_unknown_sub(struct firn_reply *r, const struct firn_command_entry *parent,
                              struct firn_slice sub)
{
    bad_sub(r, "", firn_slice_str(parent->name), sub);
}

void firn_command_bad_subcommand(struct firn_reply *r, const struct firn_slice *argv)
{
    bad_sub(r, " or wrong number of arguments for", argv[0], argv[1]);
}

void firn_command_bad_arity(struct firn_reply *r, const struct firn_command_entry *e)
{
    firn_reply_error(r, "ERR wrong number of arguments for '%s' command", e->name);
}

void firn_error_stats_count(struct firn_error_stats *s, struct firn_slice text)
{
    s->total++;
    size_t n = 0;
    while (n < text.len && n < sizeof s->kind[0].word - 1 && text.data[n] > ' ' &&
           text.data[n] < 0x7f)
        n++;
    for (size_t i = 0; i < s->n; i++) {
        if (strlen(s->kind[i].word) == n && memcmp(s->kind[i].word, text.data, n) == 0) {
            s->kind[i].count++;
            return;
        }
    }
    if (n == 0)
        return;
    if (s->n == FIRN_ERROR_KINDS - 1) { /* the last place counts what has none of its own */
        text = firn_slice_str("ERRORSTATS_OVERFLOW");
        n = text.len;
    }
    if (s->n == FIRN_ERROR_KINDS) {
        s->kind[FIRN_ERROR_KINDS - 1].count++;
        return;
    }
    memcpy(s->kind[s->n].word, text.data, n);
    s->kind[s->n].word[n] = '\0';
    s->kind[s->n++].count = 1;
}
