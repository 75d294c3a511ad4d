/* Texts to values and back. */
#include "base/assert.h"
#include "base/mem.h"
#include "conf/conf_priv.h"

#include <inttypes.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: format picks the first that divides. The k, m, g of redis.conf are read, not
 * written. */
static const struct unit size_unit[] = {{"tb", UINT64_C(1) << 40},
                                        {"gb", UINT64_C(1) << 30},
                                        {"mb", UINT64_C(1) << 20},
                                        {"kb", UINT64_C(1) << 10},
                                        {"b", 1},
                                        {"", 1},
                                        {"k", 1000},
                                        {"m", 1000000},
                                        {"g", 1000000000}};
static const struct unit time_unit[] = {{"d", UINT64_C(86400000000000)},
                                        {"h", UINT64_C(3600000000000)},
                                        {"min", UINT64_C(60000000000)},
                                        {"s", UINT64_C(1000000000)},
                                        {"ms", UINT64_C(1000000)},
                                        {"us", 1000},
                                        {"ns", 1}};
static const struct unit no_unit[] = {{"", 1}};

static const struct unit *units_of(const struct firn_conf_def *d, size_t *n)
{
    if (d->type == FIRN_CONF_SIZE) {
        *n = sizeof size_unit / sizeof *size_unit;
        return size_unit;
    }
    if (d->type == FIRN_CONF_DURATION) {
        *n = sizeof time_unit / sizeof *time_unit;
        return time_unit;
    }
    *n = 1;
    return no_unit;
}

static void *field(const struct firn_conf_def *d, const struct firn_settings *s)
{
    return (char *)(uintptr_t)s + d->offset;
}

/* --- texts of what is allowed */

static enum firn_status format_number(const struct firn_conf_def *d, uint64_t n,
                                      struct firn_buf *out)
{
    size_t count;
    const struct unit *u = units_of(d, &count);
    if (n == 0)
        return firn_buf_append(out, "0", 1);
    while (n % u->factor)
        u++; /* each list has a unit of 1 */
    return firn_buf_printf(out, "%" PRIu64 "%s", n / u->factor,
                           strcmp(u->name, "b") == 0 ? "" : u->name);
}

static enum firn_status format_words(const char *words, struct firn_buf *out)
{
    enum firn_status s = FIRN_OK;
    while (*words && s == FIRN_OK) {
        size_t n = strcspn(words, "|");
        s = firn_buf_append(out, words, n);
        words += n;
        if (s != FIRN_OK || !*words)
            break;
        words++;
        s = strchr(words, '|') ? firn_buf_append(out, ", ", 2) : firn_buf_append(out, " or ", 4);
    }
    return s;
}

enum firn_status firn_conf__format_range(const struct firn_conf_def *d, struct firn_buf *out)
{
    enum firn_status s = FIRN_OK;
    switch ((enum firn_conf_type)d->type) {
    case FIRN_CONF_BOOL:
        return firn_buf_printf(out, "yes or no");
    case FIRN_CONF_ENUM:
        return format_words(d->words, out);
    case FIRN_CONF_STRING:
        if (d->words)
            return firn_buf_printf(out, "at most %" PRIu64 " of the characters %s", d->max,
                                   d->words);
        return firn_buf_printf(out, "text of at most %" PRIu64 " bytes", d->max);
    case FIRN_CONF_LIST:
    case FIRN_CONF_SECRET:
        return firn_buf_printf(out, "text of at most %" PRIu64 " bytes", d->max);
    case FIRN_CONF_INT:
    case FIRN_CONF_SIZE:
    case FIRN_CONF_DURATION:
        break;
    }
    if (d->flags & FIRN_CONF_ZERO)
        s = firn_buf_append(out, "0 or ", 5);
    if (s == FIRN_OK)
        s = format_number(d, d->min, out);
    if (s == FIRN_OK)
        s = firn_buf_append(out, " to ", 4);
    return s == FIRN_OK ? format_number(d, d->max, out) : s;
}

static enum firn_status refuse(const struct firn_conf_def *d, struct firn_slice value,
                               const char *why, struct firn_err *err)
{
    struct firn_buf range;
    firn_buf_init(&range, 512);
    enum firn_status s = firn_conf__format_range(d, &range);
    if (s == FIRN_OK && d->type == FIRN_CONF_SECRET)
        s = firn_fail(err, FIRN_INVALID, "%s: %s; allowed: %.*s", d->name, why, (int)range.len,
                      (const char *)range.data);
    else if (s == FIRN_OK)
        s = firn_fail(err, FIRN_INVALID, "%s: \"%.*s\" %s; allowed: %.*s", d->name,
                      value.len < 100 ? (int)value.len : 100, (const char *)value.data, why,
                      (int)range.len, (const char *)range.data);
    firn_buf_clear(&range);
    return s;
}

/* --- texts to values */

static enum firn_status parse_number(const struct firn_conf_def *d, struct firn_slice v,
                                     uint64_t *out, struct firn_err *err)
{
    uint64_t n = 0;
    size_t i = 0, count;
    for (; i < v.len && v.data[i] >= '0' && v.data[i] <= '9'; i++) {
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, v.data[i] - '0', &n))
            return refuse(d, v, "is out of range", err);
    }
    if (i == 0)
        return refuse(d, v, "is not a number", err);
    struct firn_slice suffix = firn_slice_of(v.data + i, v.len - i);
    const struct unit *u = units_of(d, &count), *end = u + count;
    while (u < end && !firn_slice_ieq(suffix, u->name))
        u++;
    if (u == end && !(n == 0 && suffix.len == 0)) {
        const char *why = d->type == FIRN_CONF_DURATION ? "wants a unit of ns us ms s min h d"
                          : d->type == FIRN_CONF_SIZE   ? "has a unit other than b kb mb gb tb"
                                                        : "is not a number";
        return refuse(d, v, why, err);
    }
    if (u < end && __builtin_mul_overflow(n, u->factor, &n))
        return refuse(d, v, "is out of range", err);
    bool zero = n == 0 && (d->flags & FIRN_CONF_ZERO);
    if (!zero && (n < d->min || n > d->max))
        return refuse(d, v, "is out of range", err);
    *out = n;
    return FIRN_OK;
}

static enum firn_status parse_word(const struct firn_conf_def *d, struct firn_slice v,
                                   uint64_t *out, struct firn_err *err)
{
    const char *at = d->words;
    for (uint64_t i = 0; *at; i++) {
        size_t n = strcspn(at, "|");
        if (n == v.len && strncasecmp(at, (const char *)v.data, n) == 0) {
            *out = i;
            return FIRN_OK;
        }
        at += n + (at[n] == '|');
    }
    return refuse(d, v, "is not known", err);
}

static enum firn_status parse_bool(const struct firn_conf_def *d, struct firn_slice v,
                                   uint64_t *out, struct firn_err *err)
{
    static const char *const word[2][4] = {{"no", "false", "off", "0"}, {"yes", "true", "on", "1"}};
    for (size_t i = 0; i < 8; i++) {
        if (firn_slice_ieq(v, word[i / 4][i % 4])) {
            *out = i / 4;
            return FIRN_OK;
        }
    }
    return refuse(d, v, "is neither yes nor no", err);
}

static enum firn_status check_text(const struct firn_conf_def *d, struct firn_slice v,
                                   struct firn_err *err)
{
    if (v.len > d->max)
        return refuse(d, v, "is too long", err);
    for (size_t i = 0; i < v.len; i++) {
        if (v.data[i] < 0x20 || v.data[i] == 0x7f)
            return refuse(d, firn_slice_str(""), "holds a control character", err);
        if (d->words && !strchr(d->words, v.data[i]))
            return refuse(d, v, "holds a character that is not allowed", err);
    }
    return FIRN_OK;
}

/* Words with single spaces between them, in place; commas count as blanks. */
static void normalise_list(char *s)
{
    char *to = s;
    for (const char *at = s; *at;) {
        at += strspn(at, " ,");
        size_t n = strcspn(at, " ,");
        if (n == 0)
            break;
        if (to != s)
            *to++ = ' ';
        memmove(to, at,
                n); /* never ahead of `at`: each word gives at most what it and its blank had */
        to += n;
        at += n;
    }
    *to = '\0';
}

/* Letters of keyspace events as CONFIG GET of Redis 7 gives them, in place: each once, A for all of
 * the classes it stands for. */
static void normalise_events(char *s)
{
    static const char classes[] = "g$lshzxetd", order[] = "Ag$lshzxetdKEmn";
    bool given[256] = {false}, all = true;
    for (const char *p = s; *p; p++)
        given[(unsigned char)*p] = true;
    for (const char *p = classes; *p; p++)
        all = all && given[(unsigned char)*p];
    given['A'] = given['A'] || all;
    for (const char *p = order; *p; p++) {
        if (given[(unsigned char)*p] && !(given['A'] && strchr(classes, *p)))
            *s++ = *p;
    }
    *s = '\0';
}

static enum firn_status parse_text(const struct firn_conf_def *d, struct firn_slice v, char **out,
                                   struct firn_err *err)
{
    enum firn_status s = check_text(d, v, err);
    if (s != FIRN_OK)
        return s;
    char *text = firn_strndup(v.len ? (const char *)v.data : "", v.len);
    if (!text)
        return firn_fail(err, FIRN_LIMIT, "%s: out of memory", d->name);
    if (d->type == FIRN_CONF_LIST)
        normalise_list(text);
    if (d->flags & FIRN_CONF_EVENTS)
        normalise_events(text);
    *out = text;
    return FIRN_OK;
}

enum firn_status firn_conf__parse(const struct firn_conf_def *d, struct firn_slice value,
                                  struct firn_conf__value *out, struct firn_err *err)
{
    enum firn_status s;
    struct firn_conf__value v = {0};
    switch ((enum firn_conf_type)d->type) {
    case FIRN_CONF_BOOL:
        s = parse_bool(d, value, &v.number, err);
        break;
    case FIRN_CONF_ENUM:
        s = parse_word(d, value, &v.number, err);
        break;
    case FIRN_CONF_INT:
    case FIRN_CONF_SIZE:
    case FIRN_CONF_DURATION:
        s = parse_number(d, value, &v.number, err);
        break;
    default:
        s = parse_text(d, value, &v.text, err);
        break;
    }
    if (s == FIRN_OK)
        *out = v;
    return s;
}

void firn_conf__take(const struct firn_conf_def *d, struct firn_settings *s,
                     struct firn_conf__value *value, enum firn_conf_origin origin)
{
    void *f = field(d, s);
    if (d->type == FIRN_CONF_BOOL) {
        *(bool *)f = value->number != 0;
    } else if (d->type == FIRN_CONF_ENUM) {
        *(int *)f = (int)value->number;
    } else if (firn_conf__is_text(d)) {
        char **text = f;
        if (*text && d->type == FIRN_CONF_SECRET)
            explicit_bzero(*text, strlen(*text));
        firn_free(*text);
        *text = value->text;
        value->text = NULL;
    } else {
        *(uint64_t *)f = value->number;
    }
    s->origin[firn_conf__index(d)] = (uint8_t)origin;
}

enum firn_status firn_conf__put(const struct firn_conf_def *d, struct firn_settings *s,
                                struct firn_slice value, enum firn_conf_origin origin,
                                struct firn_err *err)
{
    struct firn_conf__value v;
    enum firn_status st = firn_conf__parse(d, value, &v, err);
    if (st == FIRN_OK)
        firn_conf__take(d, s, &v, origin);
    return st;
}

enum firn_status firn_conf__read(const struct firn_conf_def *d, const struct firn_settings *s,
                                 struct firn_conf__value *out)
{
    const void *f = field(d, s);
    struct firn_conf__value v = {0};
    if (d->type == FIRN_CONF_BOOL) {
        v.number = *(const bool *)f;
    } else if (d->type == FIRN_CONF_ENUM) {
        v.number = (uint64_t) * (const int *)f;
    } else if (!firn_conf__is_text(d)) {
        v.number = *(const uint64_t *)f;
    } else {
        v.text = firn_strdup(*(char *const *)f);
        if (!v.text)
            return FIRN_LIMIT;
    }
    *out = v;
    return FIRN_OK;
}

enum firn_status firn_conf__format(const struct firn_conf_def *d, const struct firn_settings *s,
                                   struct firn_buf *out)
{
    const void *f = field(d, s);
    switch ((enum firn_conf_type)d->type) {
    case FIRN_CONF_BOOL:
        return firn_buf_printf(out, "%s", *(const bool *)f ? "yes" : "no");
    case FIRN_CONF_ENUM: {
        const char *at = d->words;
        for (int i = *(const int *)f; i > 0; i--)
            at += strcspn(at, "|") + 1;
        return firn_buf_append(out, at, strcspn(at, "|"));
    }
    case FIRN_CONF_STRING:
    case FIRN_CONF_LIST:
        return firn_buf_printf(out, "%s", *(char *const *)f);
    case FIRN_CONF_SECRET:
        return FIRN_OK;
    case FIRN_CONF_INT:
    case FIRN_CONF_SIZE:
    case FIRN_CONF_DURATION:
        return format_number(d, *(const uint64_t *)f, out);
    }
    return FIRN_BUG;
}

void firn_settings_deinit(struct firn_settings *s)
{
    for (size_t i = 0; i < firn_conf__count; i++) {
        struct firn_conf__value none = {0};
        if (firn_conf__is_text(&firn_conf__table[i]))
            firn_conf__take(&firn_conf__table[i], s, &none, FIRN_CONF_DEFAULT);
    }
}

enum firn_status firn_settings_init(struct firn_settings *s)
{
    struct firn_settings fresh = {0};
    for (size_t i = 0; i < firn_conf__count; i++) {
        const struct firn_conf_def *d = &firn_conf__table[i];
        enum firn_status st =
            firn_conf__put(d, &fresh, firn_slice_str(d->standard), FIRN_CONF_DEFAULT, NULL);
        FIRN_ASSERT(st != FIRN_INVALID); /* the table's defaults are within its own ranges */
        if (st != FIRN_OK) {
            firn_settings_deinit(&fresh);
            return st;
        }
    }
    *s = fresh;
    return FIRN_OK;
}

bool firn_conf_word(const char **at, struct firn_slice *word)
{
    const char *p = *at + strspn(*at, " ");
    size_t n = strcspn(p, " ");
    *at = p + n;
    *word = firn_slice_of(p, n);
    return n > 0;
}
