/* The command table: what commands there are, how they are called, where their keys are. Rooms give
 * static tables; a registry finds commands by name and answers COMMAND. */
#ifndef FIRN_RESP_COMMAND_H
#define FIRN_RESP_COMMAND_H

#include "base/slice.h"
#include "resp/reply.h"

/* Flags, as COMMAND INFO names them. */
enum firn_command_flag {
    FIRN_CMD_WRITE = 1 << 0,
    FIRN_CMD_READONLY = 1 << 1,
    FIRN_CMD_DENYOOM = 1 << 2,
    FIRN_CMD_ADMIN = 1 << 3,
    FIRN_CMD_PUBSUB = 1 << 4,
    FIRN_CMD_NOSCRIPT = 1 << 5,
    FIRN_CMD_BLOCKING = 1 << 6,
    FIRN_CMD_LOADING = 1 << 7, /* served while the state is being loaded */
    FIRN_CMD_STALE = 1 << 8,
    FIRN_CMD_FAST = 1 << 9,
    FIRN_CMD_NO_AUTH = 1 << 10, /* served before AUTH */
    FIRN_CMD_SKIP_MONITOR = 1 << 11,
    FIRN_CMD_MAY_REPLICATE = 1 << 12, /* PUBLISH, EXEC: held by CLIENT PAUSE WRITE */
    FIRN_CMD_NO_MULTI = 1 << 13,
    FIRN_CMD_MOVABLE_KEYS = 1 << 14, /* set by itself when getkeys is there */
    FIRN_CMD_ALLOW_BUSY = 1 << 15,
    FIRN_CMD_NO_CAPTURE = 1 << 16,   /* runs at once even inside MULTI (QUIT, RESET); not shown */
    FIRN_CMD_SENSITIVE = 1 << 17,    /* arguments hold secrets: never log or show them; not shown */
    FIRN_CMD_IN_SUBSCRIBE = 1 << 18, /* a RESP2 subscriber may call it; not shown */
};

/* ACL categories; those that follow from the flags (@write @read @fast @slow @admin @dangerous
 * @pubsub
 * @blocking) are added by themselves. */
enum firn_command_category {
    FIRN_CAT_KEYSPACE = 1 << 0,
    FIRN_CAT_STRING = 1 << 1,
    FIRN_CAT_BITMAP = 1 << 2,
    FIRN_CAT_CONNECTION = 1 << 3,
    FIRN_CAT_TRANSACTION = 1 << 4,
    FIRN_CAT_SCRIPTING = 1 << 5,
    FIRN_CAT_DANGEROUS = 1 << 6,
    FIRN_CAT_PUBSUB = 1 << 7,
};

/* What is done with a key: the flags of COMMAND INFO's key specifications. */
enum firn_key_flag {
    FIRN_KEY_RO = 1 << 0, /* exactly one of the first four */
    FIRN_KEY_RW = 1 << 1,
    FIRN_KEY_OW = 1 << 2,
    FIRN_KEY_RM = 1 << 3,
    FIRN_KEY_ACCESS = 1 << 4,
    FIRN_KEY_UPDATE = 1 << 5,
    FIRN_KEY_INSERT = 1 << 6,
    FIRN_KEY_DELETE = 1 << 7,
    FIRN_KEY_VARIABLE_FLAGS = 1 << 8,
    FIRN_KEY_NOT_KEY = 1 << 9, /* placed like a key, but none: a shard channel */
};

/* Keys at first, first + step, …, last; last < 0 counts from the end (-1 = the last argument);
 * first 0 = no keys here. */
struct firn_key_spec {
    int first, last, step;
    unsigned flags; /* enum firn_key_flag */
};

struct firn_key_ref {
    size_t index;   /* into argv */
    unsigned flags; /* enum firn_key_flag */
};

#define FIRN_KEYS_INVALID SIZE_MAX

/* One command or subcommand; static and const, alive as long as the registry. */
struct firn_command {
    const char *name; /* lower case; of a subcommand the second word only */
    /* Exact number of arguments with the name (and subcommand) if > 0, at least -arity if < 0. */
    int arity;
    unsigned flags;      /* enum firn_command_flag */
    unsigned categories; /* enum firn_command_category */
    /* Keys, at most two specifications; unused ones are zero. */
    struct firn_key_spec keys[2];
    /* Movable keys, or (beside `keys`) fixed ones whose flags depend on the arguments: fills at
     * most max refs and returns how many keys there are, or FIRN_KEYS_INVALID. argc fulfils the
     * arity. */
    size_t (*getkeys)(size_t argc, const struct firn_slice *argv, struct firn_key_ref *out,
                      size_t max);
    const struct firn_command *subcommands; /* or NULL */
    size_t nsubcommands;
    const char *group;      /* "string", "generic", "connection", "server", … */
    const char *since;      /* "1.0.0" */
    const char *summary;    /* one sentence without its full stop */
    const char *complexity; /* "O(1)"; NULL = none */
    /* The arguments, for COMMAND DOCS, as in the manual: lower-case words are arguments, upper-case
     * words tokens, [] optional, a|b one of, () group, … after an item "..." = several. A type
     * follows a colon: name:i integer, :d double, :p pattern, :t unix time, :k key; "key" is a key,
     * others strings. "key value [NX|XX] [GET] [EX seconds:i|PX milliseconds:i|KEEPTTL]". NULL or
     * "" = none. */
    const char *args;
    const char *tips; /* "request_policy:all_shards response_policy:agg_sum", or NULL */
    /* --- the owner's, unused by this room for tables of others */
    int id;
    void (*fn)(void); /* to be cast to what the owner knows it to be */
};

struct firn_command_stat {
    uint64_t calls;    /* executed; a parked one counts once, when done */
    uint64_t ns;       /* of execution on the loop */
    uint64_t rejected; /* refused before execution: arity, NOAUTH, LOADING */
    uint64_t failed;   /* executed, replied with an error */
};

/* A registered command. */
struct firn_command_entry {
    const struct firn_command *cmd;
    const struct firn_command_entry *parent; /* of a subcommand */
    char name[48];                           /* full: "get", "client|list" */
    bool own;                                /* of this room's table */
    struct firn_command_stat stat;
    /* --- private */
    uint64_t key;           /* first 8 bytes of the lower-case (sub)name */
    uint32_t name_len;      /* of the (sub)name */
    uint32_t number;        /* place in the registry, from 1 */
    uint32_t parent_number; /* of the parent; 0 = none */
};

struct firn_registry;

enum firn_status firn_registry_create(struct firn_registry **out) FIRN_MUST_USE;
void firn_registry_free(struct firn_registry *g);
/* Add n commands with their subcommands. INVALID: a name is there already or too long, or its
 * arguments' text is malformed: err says which. LIMIT: memory. */
enum firn_status firn_registry_add(struct firn_registry *g, const struct firn_command *table,
                                   size_t n, bool own, struct firn_err *err) FIRN_MUST_USE;
/* The command of that name, ASCII case ignored, or NULL. O(1), no allocation. */
struct firn_command_entry *firn_registry_find(struct firn_registry *g, struct firn_slice name);
/* The subcommand, or NULL. */
struct firn_command_entry *firn_registry_find_sub(struct firn_registry *g,
                                                  const struct firn_command_entry *parent,
                                                  struct firn_slice name);
/* By full name: "get", "client|list"; NULL = none. */
struct firn_command_entry *firn_registry_find_full(struct firn_registry *g, struct firn_slice name);
/* The entry argv names: the subcommand's where the command has subcommands and argc > 1. NULL:
 * unknown command, or (with *parent set) unknown subcommand. A command that has subcommands and was
 * given none is itself. */
struct firn_command_entry *firn_registry_resolve(struct firn_registry *g, size_t argc,
                                                 const struct firn_slice *argv,
                                                 struct firn_command_entry **parent);
/* Commands of first rank, as COMMAND COUNT counts them. */
size_t firn_registry_commands(const struct firn_registry *g);
/* Another room executes this subcommand of `parent`: cmd, which outlives the registry, takes the
 * place of the one of its name. INVALID: there is none. */
enum firn_status firn_registry_take(struct firn_registry *g, const char *parent,
                                    const struct firn_command *cmd,
                                    struct firn_err *err) FIRN_MUST_USE;
/* All entries in the order they were added, subcommands behind their parent. */
size_t firn_registry_count(const struct firn_registry *g);
struct firn_command_entry *firn_registry_at(const struct firn_registry *g, size_t i);
void firn_registry_reset_stats(struct firn_registry *g);

bool firn_command_arity_ok(const struct firn_command *cmd, size_t argc);
/* The keys of a call whose arity is right: fills at most max refs, returns how many there are (0
 * for commands without), or FIRN_KEYS_INVALID. O(keys). */
size_t firn_command_keys(const struct firn_command *cmd, size_t argc, const struct firn_slice *argv,
                         struct firn_key_ref *out, size_t max);

/* Answer COMMAND [COUNT|LIST|INFO|DOCS|GETKEYS|GETKEYSANDFLAGS …]; argv[0] is "command". */
void firn_command_reply(struct firn_registry *g, struct firn_reply *r, size_t argc,
                        const struct firn_slice *argv);

/* Answer HELP of a container: its subcommands with their arguments and summaries. */
void firn_command_help(struct firn_reply *r, const struct firn_command_entry *container);

/* "ERR unknown command 'x', with args beginning with: 'a' 'b' " and the like, as Redis words them.
 */
void firn_command_unknown(struct firn_reply *r, size_t argc, const struct firn_slice *argv);
void firn_command_unknown_sub(struct firn_reply *r, const struct firn_command_entry *parent,
                              struct firn_slice sub);
void firn_command_bad_arity(struct firn_reply *r, const struct firn_command_entry *e);
/* "ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP.": of a
 * subcommand that takes fewer arguments than argv has; argv[0] and argv[1] are there. */
void firn_command_bad_subcommand(struct firn_reply *r, const struct firn_slice *argv);

/* Error replies counted by their first word, for INFO errorstats. At most 64 words; further ones
 * count under "ERRORSTATS_OVERFLOW". Zero-initialised is valid. */
#define FIRN_ERROR_KINDS 64
struct firn_error_stats {
    struct {
        char word[32];
        uint64_t count;
    } kind[FIRN_ERROR_KINDS];
    size_t n;
    uint64_t total;
};
void firn_error_stats_count(struct firn_error_stats *s, struct firn_slice text);

#endif
