#include "engine/ops_priv.h"

#include "base/mem.h"
#include "engine/cmd_priv.h"

/* DEL never looks: it answers nil and always leaves its tombstone and event, so that a batch of
 * nothing but writes reads nothing (INTERFACES "Traps measured"). */
static enum firn_status blind_del(struct firn_eval *x)
{
    enum firn_status st = FIRN_OK;
    for (size_t i = 1; i < x->argc && st == FIRN_OK; i++)
        st = firn_engine__del(x, x->argv[i], FIRN_EVENT_DEL);
    if (st == FIRN_OK)
        firn_reply_null(x->out);
    return st;
}

#define OP_NAMES "GET SET DEL INCRBY APPEND EXPIRE PERSIST KV.DELRANGE PUBLISH"

static const struct op {
    const char *name;
    firn_handler_fn run; /* NULL: the command's own */
    unsigned keys;       /* what is done with its key; 0 = it has none */
    bool many;           /* all its arguments are keys */
} known[] = {
    {"get", NULL, FIRN_KEY_RO | FIRN_KEY_ACCESS, false},
    {"set", NULL, FIRN_KEY_RW | FIRN_KEY_ACCESS | FIRN_KEY_UPDATE | FIRN_KEY_VARIABLE_FLAGS, false},
    {"del", blind_del, FIRN_KEY_RM | FIRN_KEY_DELETE, true},
    {"incrby", NULL, FIRN_KEY_RW | FIRN_KEY_ACCESS | FIRN_KEY_UPDATE, false},
    {"append", NULL, FIRN_KEY_RW | FIRN_KEY_UPDATE, false},
    {"expire", NULL, FIRN_KEY_RW | FIRN_KEY_UPDATE, false},
    {"persist", NULL, FIRN_KEY_RW | FIRN_KEY_UPDATE, false},
    {"kv.delrange", NULL, 0, false},
    {"publish", NULL, 0, false},
};

static const struct op *op_of(struct firn_slice name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (firn_slice_ieq(name, known[i].name))
            return &known[i];
    return NULL;
}

/* A number of things that take at least `each` of the words from argv[at] on. */
static bool count_at(size_t argc, const struct firn_slice *argv, size_t at, size_t each,
                     size_t *count)
{
    int64_t v;
    if (at >= argc || !firn_parse_i64(argv[at], &v) || v < 0 ||
        (uint64_t)v > (argc - at - 1) / each)
        return false;
    *count = (size_t)v;
    return true;
}

static enum firn_status bad_op(struct firn_eval *x, size_t nth, const char *why)
{
    firn_reply_error(x->out, "ERR operation %zu: %s", nth, why);
    return FIRN_INVALID;
}

static enum firn_status parse_op(struct firn_eval *x, size_t nth, size_t *i,
                                 struct firn_tx_cmd *out)
{
    size_t argc;
    if (!count_at(x->argc, x->argv, *i, 1, &argc) || argc == 0)
        return bad_op(x, nth, "its number of words is not one, or more than there are");
    const struct firn_slice *argv = x->argv + *i + 1;
    const struct op *op = op_of(argv[0]);
    if (!op)
        return bad_op(x, nth, "is none of " OP_NAMES);
    *out = (struct firn_tx_cmd){
        .entry = firn_registry_find(firn_server_registry(x->e->server), argv[0]),
        .run = op->run,
        .argv = argv,
        .argc = argc,
    };
    FIRN_ASSERT(out->entry);
    if (!firn_command_arity_ok(out->entry->cmd, argc))
        return bad_op(x, nth, "wrong number of arguments");
    *i += 1 + argc;
    return FIRN_OK;
}

enum firn_status firn_engine__ops_parse(struct firn_eval *x, size_t *i, struct firn_ops *out)
{
    size_t n;
    if (!count_at(x->argc, x->argv, *i, 2, &n)) {
        firn_reply_error(x->out, "ERR the number of operations is not one, or more than there are");
        return FIRN_INVALID;
    }
    ++*i;
    out->cmd = n ? firn_calloc(n, sizeof *out->cmd) : NULL;
    if (n && !out->cmd)
        return FIRN_LIMIT;
    enum firn_status st = FIRN_OK;
    for (out->n = 0; out->n < n && st == FIRN_OK; out->n++)
        st = parse_op(x, out->n, i, &out->cmd[out->n]);
    return st;
}

void firn_engine__ops_clear(struct firn_ops *ops)
{
    firn_free(ops->cmd);
    *ops = (struct firn_ops){0};
}

size_t firn_engine__ops_keys(size_t argc, const struct firn_slice *argv, size_t *i,
                             struct firn_key_ref *out, size_t max, size_t have)
{
    size_t ops, words;
    if (!count_at(argc, argv, *i, 2, &ops))
        return FIRN_KEYS_INVALID;
    ++*i;
    for (; ops > 0; ops--) {
        if (!count_at(argc, argv, *i, 1, &words) || words == 0)
            return FIRN_KEYS_INVALID;
        const struct op *op = op_of(argv[*i + 1]);
        size_t keys = !op || !op->keys || words < 2 ? 0 : op->many ? words - 1 : 1;
        for (size_t k = 0; k < keys; k++, have++)
            if (have < max)
                out[have] = (struct firn_key_ref){*i + 2 + k, op->keys};
        *i += 1 + words;
    }
    return have;
}
