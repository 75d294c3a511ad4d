#include "engine/condition_priv.h"

#include "base/hash.h"

enum firn_condition firn_engine__condition_of(const struct firn_eval *x, size_t i)
{
    static const struct {
        const char *word;
        enum firn_condition condition;
    } known[] = {
        {"nx", FIRN_IF_NX},   {"xx", FIRN_IF_XX},     {"ifeq", FIRN_IF_EQ},
        {"ifne", FIRN_IF_NE}, {"ifdeq", FIRN_IF_DEQ}, {"ifdne", FIRN_IF_DNE},
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (firn_engine__arg_is(x, i, known[k].word))
            return known[k].condition;
    return FIRN_IF_ALWAYS;
}

void firn_engine__digest(struct firn_slice value, char out[FIRN_DIGEST_LEN])
{
    static const char digit[] = "0123456789abcdef";
    uint64_t h = firn_xxh3(value.data, value.len);
    for (int i = 0; i < FIRN_DIGEST_LEN; i++)
        out[i] = digit[(h >> (60 - 4 * i)) & 15];
}

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool firn_engine__is_digest(struct firn_slice hex)
{
    bool ok = hex.len == FIRN_DIGEST_LEN;
    for (size_t i = 0; ok && i < hex.len; i++)
        ok = is_hex(hex.data[i]);
    return ok;
}

static bool digest_is(struct firn_slice value, struct firn_slice hex)
{
    char text[FIRN_DIGEST_LEN + 1];
    firn_engine__digest(value, text);
    text[FIRN_DIGEST_LEN] = '\0';
    return firn_slice_ieq(hex, text);
}

enum firn_status firn_engine__condition_holds(struct firn_eval *x, enum firn_condition c,
                                              const struct firn_slice *value, struct firn_slice arg,
                                              bool *holds)
{
    bool equal = false;
    if (value && (c == FIRN_IF_EQ || c == FIRN_IF_NE)) {
        equal = firn_slice_eq(*value, arg);
    } else if (value && (c == FIRN_IF_DEQ || c == FIRN_IF_DNE)) {
        if (!firn_engine__is_digest(arg))
            return firn_engine__data_error(x, "ERR digest must be exactly 16 hexadecimal "
                                              "characters");
        equal = digest_is(*value, arg);
    }
    switch (c) {
    case FIRN_IF_ALWAYS:
        *holds = true;
        break;
    case FIRN_IF_NX:
        *holds = !value;
        break;
    case FIRN_IF_XX:
        *holds = value != NULL;
        break;
    case FIRN_IF_EQ:
    case FIRN_IF_DEQ:
        *holds = equal;
        break;
    case FIRN_IF_NE:
    case FIRN_IF_DNE:
        *holds = !equal;
        break;
    }
    x->unmet |= !*holds;
    return FIRN_OK;
}
