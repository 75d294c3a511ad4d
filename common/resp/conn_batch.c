/* Commands of a pipeline parsed ahead of their execution, so that the handler can ask the memory
 * for all that they will touch before the first of them waits for it. Only a hint: whatever was
 * parsed ahead and not executed is parsed again. */
#include "resp/conn_priv.h"

/* As the one before, or looked up: most pipelines are runs of one command. Never from a container,
 * which may have come without a subcommand. */
static void resolve(struct firn_server *s, const struct firn_upcoming *before,
                    struct firn_upcoming *u)
{
    if (before && before->entry && !before->parent && !before->entry->cmd->nsubcommands &&
        before->argv[0].len == u->argv[0].len &&
        memcmp(before->argv[0].data, u->argv[0].data, u->argv[0].len) == 0) {
        u->entry = before->entry;
        u->parent = NULL;
        return;
    }
    u->entry = firn_registry_resolve(s->registry, u->argc, u->argv, &u->parent);
}

static void take(struct firn_server *s, const struct firn_parser *p,
                 const struct firn_upcoming *before, struct firn_upcoming *u)
{
    *u = (struct firn_upcoming){.argv = p->argv, .argc = p->argc, .used = p->used};
    if (u->argc)
        resolve(s, before && before->argc ? before : NULL, u);
}

/* Parse what is complete at `data`. */
static void fill(struct firn_conn *c, const struct firn_parse_limits *limits, const uint8_t *data,
                 size_t len)
{
    struct firn_server *s = c->srv;
    struct firn_batch *b = &s->batch;
    size_t at = 0;
    b->n = b->next = 0;
    while (b->n < FIRN_BATCH_MAX && at < len) {
        struct firn_parser *p = &b->parser[b->n];
        if (firn_parser_next(p, limits, data + at, len - at) != FIRN_PARSE_COMMAND) {
            firn_parser_reset(p);
            b->exhausted = true; /* what is left is the connection's own parser's */
            break;
        }
        take(s, p, b->n ? &b->command[b->n - 1] : NULL, &b->command[b->n]);
        at += p->used;
        b->n++;
    }
    if (b->n > 1 && s->handler->prefetch)
        s->handler->prefetch(s->handler->arg, c, b->command, b->n);
}

void firn_conn__batch_begin(struct firn_conn *c)
{
    struct firn_batch *b = &c->srv->batch;
    b->n = b->next = 0;
    b->exhausted = firn_parser_under_way(&c->parser);
}

enum firn_parse firn_conn__batch_next(struct firn_conn *c, const struct firn_parse_limits *limits,
                                      const uint8_t *data, size_t len, struct firn_upcoming *out)
{
    struct firn_batch *b = &c->srv->batch;
    if (!limits->authenticated) { /* other limits hold, and RESET may have brought them just now */
        b->n = b->next = 0;
    } else if (b->next == b->n && !b->exhausted) {
        fill(c, limits, data, len);
    }
    if (b->next < b->n) {
        *out = b->command[b->next++];
        return FIRN_PARSE_COMMAND;
    }
    enum firn_parse r = firn_parser_next(&c->parser, limits, data, len);
    if (r == FIRN_PARSE_COMMAND) {
        take(c->srv, &c->parser, NULL, out);
        b->exhausted = false;
    }
    return r;
}
