/* The request parser: whatever comes, and however it is cut, it stays within the bytes, respects
 * its limits, and says the same as when it is given everything at once. The first byte of the input
 * chooses how the rest is cut and whether the client is authenticated. */
#include "base/assert.h"
#include "base/hash.h"
#include "resp/parse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    uint64_t hash; /* over all commands */
    size_t commands;
    size_t consumed;
    bool failed;
};

static void count_command(struct outcome *o, const struct firn_parser *p,
                          const struct firn_parse_limits *l, size_t len)
{
    FIRN_ASSERT(p->used > 0 && p->used <= len && p->used <= l->command_max);
    FIRN_ASSERT(p->argc <= l->args_max);
    for (size_t i = 0; i < p->argc; i++) {
        uint64_t h = firn_xxh3_seed(p->argv[i].data, p->argv[i].len, o->hash);
        o->hash = h * 31 + p->argv[i].len;
    }
    o->hash = o->hash * 31 + p->argc;
    o->commands++;
    o->consumed += p->used;
}

/* Feed pieces whose length `cut` draws (0 = all at once), each time in a copy of its own. */
static struct outcome feed(const struct firn_parse_limits *l, const uint8_t *data, size_t size,
                           unsigned cut)
{
    struct outcome o = {0};
    struct firn_parser p = {0};
    size_t have = 0;
    unsigned state = cut;
    while (have < size && !o.failed) {
        state = state * 1103515245 + 12345;
        size_t step = cut ? 1 + (state >> 16) % (cut * 4) : size;
        have = step < size - have ? have + step : size;
        size_t len = have - o.consumed, base = o.consumed;
        uint8_t *copy = malloc(len ? len : 1);
        FIRN_ASSERT(copy);
        memcpy(copy, data + base, len);
        enum firn_parse r = FIRN_PARSE_MORE;
        while (o.consumed < have) {
            size_t at = o.consumed - base;
            r = firn_parser_next(&p, l, copy + at, len - at);
            if (r != FIRN_PARSE_COMMAND)
                break;
            count_command(&o, &p, l, len - at);
        }
        if (r == FIRN_PARSE_MORE && o.consumed < have)
            FIRN_ASSERT(p.need > have - o.consumed &&
                        p.need <= l->command_max + FIRN_PARSE_LINE_MAX);
        o.failed = r == FIRN_PARSE_ERROR;
        FIRN_ASSERT(!o.failed || strncmp(p.error, "ERR Protocol error: ", 20) == 0);
        free(copy);
    }
    firn_parser_clear(&p);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct firn_parse_limits l = {.args_max = 100,
                                  .bulk_max = 1 << 16,
                                  .command_max = 1 << 17,
                                  .authenticated = !(data[0] & 0x80)};
    struct outcome whole = feed(&l, data + 1, size - 1, 0);
    struct outcome cut = feed(&l, data + 1, size - 1, 1 + (data[0] & 0x7f));
    FIRN_ASSERT(whole.failed == cut.failed && whole.commands == cut.commands &&
                whole.consumed == cut.consumed && whole.hash == cut.hash);
    return 0;
}
