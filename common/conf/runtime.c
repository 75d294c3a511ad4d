/* Settings of a running node: CONFIG GET, SET, REWRITE and reload. */
#include "base/assert.h"
#include "base/mem.h"
#include "conf/conf_priv.h"

#include <string.h>

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Match one character against the class behind `[`; *p moves behind its `]`. */
static bool match_class(const uint8_t **p, const uint8_t *end, uint8_t c)
{
    const uint8_t *at = *p;
    bool negate = at < end && *at == '^', hit = false;
    at += negate;
    while (at < end && *at != ']') {
        at += *at == '\\' && at + 1 < end;
        uint8_t low = lower(*at), high = low;
        if (at + 2 < end && at[1] == '-' && at[2] != ']') {
            high = lower(at[2]);
            at += 2;
        }
        hit |= (c >= low && c <= high) || (c >= high && c <= low);
        at++;
    }
    *p = at + (at < end);
    return hit != negate;
}

/* Glob as Redis has it, any case. On a mismatch only the last * need be tried longer. */
static bool match(struct firn_slice pattern, const char *text)
{
    const uint8_t *p = pattern.data, *end = p + pattern.len, *star = NULL;
    const char *star_text = NULL;
    while (*text) {
        if (p < end && *p == '*') {
            star = ++p;
            star_text = text;
            continue;
        }
        const uint8_t *next = p;
        uint8_t c = lower((uint8_t)*text);
        bool ok = false;
        if (p < end && *p == '[') {
            next = p + 1;
            ok = match_class(&next, end, c);
        } else if (p < end) {
            next += *p == '\\' && p + 1 < end;
            ok = (*next == '?' && next == p) || lower(*next) == c;
            next++;
        }
        if (!ok && !star)
            return false;
        p = ok ? next : star;
        text = ok ? text + 1 : ++star_text;
    }
    while (p < end && *p == '*')
        p++;
    return p == end;
}

enum firn_conf_origin firn_conf_origin_of(const struct firn_settings *s, const char *name)
{
    const struct firn_conf_def *d = firn_conf_find(firn_slice_str(name));
    FIRN_ASSERT(d);
    return (enum firn_conf_origin)s->origin[firn_conf__index(d)];
}

enum firn_status firn_conf_get(const struct firn_settings *s, enum firn_conf_role role,
                               struct firn_slice pattern,
                               void (*emit)(void *arg, const char *name, struct firn_slice value),
                               void *arg)
{
    struct firn_buf value;
    firn_buf_init(&value, FIRN_CONF__VALUE_MAX);
    enum firn_status st = FIRN_OK;
    for (size_t i = 0; i < firn_conf__count && st == FIRN_OK; i++) {
        const struct firn_conf_def *d = &firn_conf__table[i];
        if (!(d->roles & (unsigned)role) || !match(pattern, d->name))
            continue;
        value.len = 0;
        st = firn_conf__format(d, s, &value);
        if (st == FIRN_OK)
            emit(arg, d->name, firn_buf_slice(&value));
    }
    firn_buf_clear(&value);
    return st;
}

/* Find the row and check the value for CONFIG SET; on success *v is the caller's. */
static enum firn_status parse_set(const struct firn_settings *s, enum firn_conf_role role,
                                  struct firn_slice name, struct firn_slice value,
                                  const struct firn_conf_def **row, struct firn_conf__value *v,
                                  struct firn_err *err)
{
    const struct firn_conf_def *d = firn_conf_find(name);
    if (!d || !(d->roles & (unsigned)role))
        return firn_fail(err, FIRN_INVALID, "unknown setting '%.*s'",
                         name.len < 80 ? (int)name.len : 80, (const char *)name.data);
    if (d->scope == FIRN_CONF_MANIFEST)
        return firn_fail(err, FIRN_INVALID, "%s was fixed when the database was created", d->name);
    if (!(d->flags & FIRN_CONF_LIVE))
        return firn_fail(err, FIRN_INVALID, "%s can only be set at start", d->name);
    enum firn_status st = firn_conf__parse(d, value, v, err);
    if (st == FIRN_OK && !firn_conf__is_text(d)) {
        struct firn_settings with = *s; /* its texts are only looked at */
        struct firn_conf__value copy = *v;
        firn_conf__take(d, &with, &copy, FIRN_CONF_RUNTIME);
        st = firn_conf__cross_check(&with, err);
    }
    *row = d;
    return st;
}

enum firn_status firn_conf_check(const struct firn_settings *s, enum firn_conf_role role,
                                 struct firn_slice name, struct firn_slice value,
                                 struct firn_err *err)
{
    const struct firn_conf_def *d = NULL;
    struct firn_conf__value v = {0};
    enum firn_status st = parse_set(s, role, name, value, &d, &v, err);
    firn_free(v.text);
    return st;
}

enum firn_status firn_conf_set(struct firn_settings *s, enum firn_conf_role role,
                               struct firn_slice name, struct firn_slice value,
                               struct firn_err *err)
{
    const struct firn_conf_def *d = NULL;
    struct firn_conf__value v = {0};
    enum firn_status st = parse_set(s, role, name, value, &d, &v, err);
    if (st == FIRN_OK)
        firn_conf__take(d, s, &v, FIRN_CONF_RUNTIME);
    return st;
}

/* Whether CONFIG REWRITE has this setting to write. */
static bool is_rewritten(const struct firn_settings *s, const struct firn_conf_def *d)
{
    return d && s->origin[firn_conf__index(d)] == FIRN_CONF_RUNTIME && d->scope == FIRN_CONF_NODE &&
           d->type != FIRN_CONF_SECRET;
}

/* Append a value of a file, quoted where it must be. */
static enum firn_status append_quoted(struct firn_buf *out, struct firn_slice v)
{
    bool plain = v.len > 0 && v.data[0] != '"' && v.data[0] != ' ' && v.data[v.len - 1] != ' ';
    if (plain)
        return firn_buf_append(out, v.data, v.len);
    enum firn_status st = firn_buf_append(out, "\"", 1);
    for (size_t i = 0; i < v.len && st == FIRN_OK; i++) {
        if (v.data[i] == '"' || v.data[i] == '\\')
            st = firn_buf_append(out, "\\", 1);
        if (st == FIRN_OK)
            st = firn_buf_append(out, &v.data[i], 1);
    }
    return st == FIRN_OK ? firn_buf_append(out, "\"", 1) : st;
}

static enum firn_status append_line(const struct firn_settings *s, const struct firn_conf_def *d,
                                    struct firn_buf *out)
{
    struct firn_buf value;
    firn_buf_init(&value, FIRN_CONF__VALUE_MAX);
    enum firn_status st = firn_conf__format(d, s, &value);
    if (st == FIRN_OK)
        st = firn_buf_printf(out, "%s ", d->name);
    if (st == FIRN_OK)
        st = append_quoted(out, firn_buf_slice(&value));
    if (st == FIRN_OK)
        st = firn_buf_append(out, "\n", 1);
    firn_buf_clear(&value);
    return st;
}

enum firn_status firn_conf_rewrite(const struct firn_settings *s, struct firn_slice old,
                                   struct firn_buf *out)
{
    enum firn_status st = FIRN_OK;
    while (old.len && st == FIRN_OK) {
        struct firn_slice line = firn_conf__next_line(&old), name, value;
        if (firn_conf__split_line(line, &name, &value) && is_rewritten(s, firn_conf_find(name)))
            continue;
        st = firn_buf_append(out, line.data, line.len);
        if (st == FIRN_OK)
            st = firn_buf_append(out, "\n", 1);
    }
    for (size_t i = 0; i < firn_conf__count && st == FIRN_OK; i++) {
        if (is_rewritten(s, &firn_conf__table[i]))
            st = append_line(s, &firn_conf__table[i], out);
    }
    return st;
}

static bool same(const struct firn_conf__value *a, const struct firn_conf__value *b)
{
    return a->number == b->number && (!a->text || strcmp(a->text, b->text) == 0);
}

/* Drop a copied value; it may be a secret. */
static void drop(struct firn_conf__value *v)
{
    if (v->text)
        explicit_bzero(v->text, strlen(v->text));
    firn_free(v->text);
    *v = (struct firn_conf__value){0};
}

/* Bring one setting over; *differs and *applied say what became of it. */
static enum firn_status reload_one(struct firn_settings *s, const struct firn_settings *fresh,
                                   const struct firn_conf_def *d, bool *differs, bool *applied)
{
    size_t i = firn_conf__index(d);
    struct firn_conf__value now = {0}, next = {0};
    enum firn_status st = firn_conf__read(d, s, &now);
    if (st == FIRN_OK)
        st = firn_conf__read(d, fresh, &next);
    *differs = st == FIRN_OK && !same(&now, &next);
    *applied = *differs && (d->flags & FIRN_CONF_LIVE);
    if (*applied)
        firn_conf__take(d, s, &next, (enum firn_conf_origin)fresh->origin[i]);
    drop(&now);
    drop(&next);
    return st;
}

enum firn_status firn_conf_reload(struct firn_settings *s, const struct firn_settings *fresh,
                                  enum firn_conf_role role,
                                  void (*changed)(void *arg, const char *name, bool applied),
                                  void *arg)
{
    for (size_t i = 0; i < firn_conf__count; i++) {
        const struct firn_conf_def *d = &firn_conf__table[i];
        bool differs, applied;
        if (!(d->roles & (unsigned)role) || d->scope != FIRN_CONF_NODE ||
            s->origin[i] == FIRN_CONF_RUNTIME)
            continue;
        enum firn_status st = reload_one(s, fresh, d, &differs, &applied);
        if (st != FIRN_OK)
            return st;
        if (differs)
            changed(arg, d->name, applied);
    }
    return FIRN_OK;
}
