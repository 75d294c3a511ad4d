/* Where settings come from: flags, environment, files. */
#include "base/mem.h"
#include "conf/conf_priv.h"

#include <stdio.h>
#include <string.h>

#define INCLUDE_DEPTH_MAX 8
#define NAME_MAX_LEN 64
#define PATH_MAX_LEN 4096

struct load {
    enum firn_conf_role role;
    const struct firn_conf_source *src;
    struct firn_settings s;
    struct firn_err *err;
};

/* One place a value came from, for messages. */
struct place {
    enum firn_conf_origin origin;
    const char *text; /* "firn.conf:12", "FIRN_PORT", "--port" */
    bool exposed;     /* a file that others can read */
};

static enum firn_status read_file(struct load *l, const struct place *p, const char *path,
                                  struct firn_buf *out, bool *exposed)
{
    if (!l->src->read_file)
        return firn_fail(l->err, FIRN_INVALID, "%s: %s: no files are read here", p->text, path);
    struct firn_err why = {0};
    enum firn_status s = l->src->read_file(l->src->arg, path, out, exposed, &why);
    if (s != FIRN_OK)
        return firn_fail(l->err, s, "%s: %s: %s", p->text, path,
                         why.text[0] ? why.text : firn_status_name(s));
    return FIRN_OK;
}

/* A copy of the path as a C string, relative ones taken from the folder of `base` (may be NULL). */
static char *path_of(struct firn_slice path, const char *base)
{
    const char *slash = base && path.len && path.data[0] != '/' ? strrchr(base, '/') : NULL;
    size_t dir = slash ? (size_t)(slash - base) + 1 : 0;
    char *p = path.len && path.len < PATH_MAX_LEN ? firn_malloc(dir + path.len + 1) : NULL;
    if (!p)
        return NULL;
    if (dir)
        memcpy(p, base, dir);
    memcpy(p + dir, path.data, path.len);
    p[dir + path.len] = '\0';
    return p;
}

/* Take a secret from a file: its first line. */
static enum firn_status put_secret_file(struct load *l, const struct firn_conf_def *d,
                                        const struct place *p, struct firn_slice path)
{
    char *file = path_of(path, NULL);
    if (!file)
        return firn_fail(l->err, FIRN_INVALID, "%s: no usable file name", p->text);
    struct firn_buf text;
    firn_buf_init(&text, FIRN_CONF__VALUE_MAX);
    bool exposed = true;
    enum firn_status s = read_file(l, p, file, &text, &exposed);
    if (s == FIRN_OK && exposed)
        s = firn_fail(l->err, FIRN_INVALID, "%s: %s can be read by others; run: chmod 600 %s",
                      p->text, file, file);
    if (s == FIRN_OK) {
        const uint8_t *end = text.len ? memchr(text.data, '\n', text.len) : NULL;
        size_t len = end ? (size_t)(end - text.data) : text.len;
        if (len && text.data[len - 1] == '\r')
            len--;
        struct firn_err why = {0};
        s = firn_conf__put(d, &l->s, firn_slice_of(text.data, len), p->origin, &why);
        if (s != FIRN_OK)
            s = firn_fail(l->err, s, "%s: %s: %s", p->text, file, why.text);
    }
    if (text.data)
        explicit_bzero(text.data, text.cap);
    firn_buf_clear(&text);
    firn_free(file);
    return s;
}

/* The row of NAME-file where NAME is a secret, or NULL. */
static const struct firn_conf_def *find_secret_file(struct firn_slice name)
{
    if (name.len <= 5 || !firn_slice_ieq(firn_slice_of(name.data + name.len - 5, 5), "-file"))
        return NULL;
    const struct firn_conf_def *d = firn_conf_find(firn_slice_of(name.data, name.len - 5));
    return d && d->type == FIRN_CONF_SECRET ? d : NULL;
}

/* Whether a setting may come from this place at all. */
static enum firn_status check_place(struct load *l, const struct firn_conf_def *d,
                                    const struct place *p, bool plain_secret)
{
    if (p->origin == FIRN_CONF_FLAG && !(d->roles & (unsigned)l->role))
        return firn_fail(l->err, FIRN_INVALID, "%s: the %s has no such setting", p->text,
                         firn_conf_role_name(l->role));
    if (p->origin == FIRN_CONF_FILE && (d->flags & FIRN_CONF_FLAG_ONLY))
        return firn_fail(l->err, FIRN_INVALID, "%s: %s cannot be set in a file", p->text, d->name);
    if (!plain_secret)
        return FIRN_OK;
    if (p->origin == FIRN_CONF_FLAG)
        return firn_fail(l->err, FIRN_INVALID,
                         "%s: a command line can be seen by all users; give --%s-file FILE",
                         p->text, d->name);
    if (p->exposed)
        return firn_fail(
            l->err, FIRN_INVALID,
            "%s: %s stands in a file that others can read; chmod 600 it or use %s-file", p->text,
            d->name, d->name);
    return FIRN_OK;
}

static enum firn_status assign(struct load *l, const struct place *p, struct firn_slice name,
                               struct firn_slice value)
{
    const struct firn_conf_def *d = firn_conf_find(name), *secret = find_secret_file(name);
    if (!d && !secret)
        return firn_fail(
            l->err, FIRN_INVALID, "%s: unknown setting \"%.*s\"%s", p->text,
            name.len < 80 ? (int)name.len : 80, (const char *)name.data,
            p->origin == FIRN_CONF_ENVIRONMENT
                ? "; every variable FIRN_… is a setting (in Kubernetes a service named "
                  "firn adds some: use enableServiceLinks: false)"
                : "");
    const struct firn_conf_def *row = d ? d : secret;
    bool plain_secret = row->type == FIRN_CONF_SECRET && !secret && value.len > 0;
    enum firn_status s = check_place(l, row, p, plain_secret);
    if (s != FIRN_OK)
        return s;
    bool ours = row->roles & (unsigned)l->role;
    if (secret)
        return ours ? put_secret_file(l, row, p, value) : FIRN_OK;
    struct firn_err why = {0};
    struct firn_conf__value v;
    s = firn_conf__parse(row, value, &v, &why);
    if (s != FIRN_OK)
        return firn_fail(l->err, s, "%s: %s", p->text, why.text);
    if (ours)
        firn_conf__take(row, &l->s, &v, p->origin);
    else
        firn_free(v.text);
    return FIRN_OK;
}

/* --- files */

static struct firn_slice trim(struct firn_slice s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = firn_slice_of(s.data + 1, s.len - 1);
    while (s.len && strchr(" \t\r", s.data[s.len - 1]) && s.data[s.len - 1])
        s.len--;
    return s;
}

bool firn_conf__split_line(struct firn_slice line, struct firn_slice *name,
                           struct firn_slice *value)
{
    line = trim(line);
    if (line.len == 0 || line.data[0] == '#')
        return false;
    size_t n = 0;
    while (n < line.len && line.data[n] != ' ' && line.data[n] != '\t')
        n++;
    *name = firn_slice_of(line.data, n);
    *value = trim(firn_slice_of(line.data + n, line.len - n));
    return true;
}

struct firn_slice firn_conf__next_line(struct firn_slice *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->len);
    size_t len = end ? (size_t)(end - text->data) : text->len;
    struct firn_slice line = firn_slice_of(text->data, len);
    size_t skip = len + (end != NULL);
    *text = firn_slice_of(text->data + skip, text->len - skip);
    return line;
}

/* Resolve "…" with \" and \\ in place of the text after the opening quote. INVALID: no end, or text
 * behind it. */
static enum firn_status unquote(struct firn_slice in, char *out, size_t *len)
{
    size_t n = 0;
    for (size_t i = 1; i < in.len; i++) {
        if (in.data[i] == '"') {
            *len = n;
            return i + 1 == in.len ? FIRN_OK : FIRN_INVALID;
        }
        if (in.data[i] == '\\' && i + 1 < in.len)
            i++;
        out[n++] = (char)in.data[i];
    }
    return FIRN_INVALID;
}

static enum firn_status load_file(struct load *l, const struct place *from, const char *path,
                                  unsigned depth);

static enum firn_status load_include(struct load *l, const struct place *p, const char *file,
                                     struct firn_slice path, unsigned depth)
{
    char *included = path_of(path, file);
    if (!included)
        return firn_fail(l->err, FIRN_INVALID, "%s: include wants a file name", p->text);
    enum firn_status s = load_file(l, p, included, depth + 1);
    firn_free(included);
    return s;
}

static enum firn_status load_line(struct load *l, const struct place *p, const char *file,
                                  struct firn_slice line, unsigned depth)
{
    struct firn_slice name, value;
    if (!firn_conf__split_line(line, &name, &value))
        return FIRN_OK;
    if (value.len == 0)
        return firn_fail(l->err, FIRN_INVALID, "%s: %.*s has no value (\"\" is the empty one)",
                         p->text, name.len < 80 ? (int)name.len : 80, (const char *)name.data);
    char *plain = NULL;
    size_t plain_len = value.len;
    enum firn_status s = FIRN_OK;
    if (value.data[0] == '"') {
        size_t len = 0;
        plain = firn_calloc(1, plain_len);
        s = plain ? unquote(value, plain, &len) : FIRN_LIMIT;
        if (s != FIRN_OK)
            s = firn_fail(l->err, s, "%s: the quotes do not match", p->text);
        value = firn_slice_of(plain, len);
    }
    if (s == FIRN_OK)
        s = firn_slice_ieq(name, "include") ? load_include(l, p, file, value, depth)
                                            : assign(l, p, name, value);
    if (plain)
        explicit_bzero(plain, plain_len);
    firn_free(plain);
    return s;
}

/* Recursion by `include` is bounded by INCLUDE_DEPTH_MAX. */
static enum firn_status load_file(struct load *l, const struct place *from, const char *path,
                                  unsigned depth)
{
    if (depth > INCLUDE_DEPTH_MAX)
        return firn_fail(l->err, FIRN_INVALID, "%s: more than %d files include each other",
                         from->text, INCLUDE_DEPTH_MAX);
    struct firn_buf text;
    firn_buf_init(&text, FIRN_CONF__FILE_MAX);
    bool exposed = true;
    enum firn_status s = read_file(l, from, path, &text, &exposed);
    struct firn_slice rest = firn_buf_slice(&text);
    for (unsigned n = 1; s == FIRN_OK && rest.len; n++) {
        char where[256];
        (void)snprintf(where, sizeof where, "%s:%u", path, n);
        struct place p = {FIRN_CONF_FILE, where, exposed};
        s = load_line(l, &p, path, firn_conf__next_line(&rest), depth);
    }
    if (text.data)
        explicit_bzero(text.data, text.cap);
    firn_buf_clear(&text);
    return s;
}

/* --- environment */

/* FIRN_WAL_INTERVAL → wal-interval. False when it is no variable of ours. */
static bool env_name(const char *var, char *name, size_t cap, const char **value)
{
    const char *eq = strchr(var, '=');
    if (!eq || strncmp(var, "FIRN_", 5) != 0 || strncmp(var, "FIRN_TEST_", 10) == 0)
        return false;
    size_t n = 0;
    for (const char *p = var + 5; p < eq && n + 1 < cap; p++)
        name[n++] = *p == '_' ? '-' : (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    name[n] = '\0';
    *value = eq + 1;
    return true;
}

static enum firn_status load_env(struct load *l)
{
    enum firn_status s = FIRN_OK;
    for (char *const *e = l->src->envp; e && *e && s == FIRN_OK; e++) {
        char name[NAME_MAX_LEN], where[NAME_MAX_LEN + 16];
        const char *value;
        if (!env_name(*e, name, sizeof name, &value))
            continue;
        (void)snprintf(where, sizeof where, "%.*s", (int)strcspn(*e, "="), *e);
        struct place p = {FIRN_CONF_ENVIRONMENT, where, false};
        s = assign(l, &p, firn_slice_str(name), firn_slice_str(value));
    }
    return s;
}

/* --- flags */

struct flag {
    struct firn_slice name;
    struct firn_slice value;
};

/* Read the flag at argv[*i] and move behind it. ABSENT: there is none any more. */
static enum firn_status next_flag(struct load *l, int *i, struct flag *f)
{
    const struct firn_conf_source *src = l->src;
    if (*i >= src->argc || strncmp(src->argv[*i], "--", 2) != 0)
        return FIRN_ABSENT;
    const char *word = src->argv[(*i)++] + 2;
    if (!*word)
        return FIRN_ABSENT;
    size_t n = strcspn(word, "=");
    f->name = firn_slice_of(word, n);
    if (word[n] == '=') {
        f->value = firn_slice_str(word + n + 1);
        return FIRN_OK;
    }
    const struct firn_conf_def *d = firn_conf_find(f->name);
    bool value_follows = *i < src->argc && strncmp(src->argv[*i], "--", 2) != 0;
    f->value = firn_slice_str("yes");
    if (firn_slice_ieq(f->name, "help") || firn_slice_ieq(f->name, "version"))
        return FIRN_OK;
    if (value_follows)
        f->value = firn_slice_str(src->argv[(*i)++]);
    else if (!d || d->type != FIRN_CONF_BOOL)
        return firn_fail(l->err, FIRN_INVALID, "--%s: %s", word,
                         d || find_secret_file(f->name) ? "needs a value" : "unknown setting");
    return FIRN_OK;
}

/* First pass: --help, --version, --config and where the flags end. */
static enum firn_status scan_flags(struct load *l, struct firn_slice *config)
{
    struct flag f;
    enum firn_status s;
    int i = 1;
    while ((s = next_flag(l, &i, &f)) == FIRN_OK) {
        if (firn_slice_ieq(f.name, "help"))
            l->s.want_help = true;
        else if (firn_slice_ieq(f.name, "version"))
            l->s.want_version = true;
        else if (firn_slice_ieq(f.name, "config"))
            *config = f.value;
    }
    if (l->s.want_help || l->s.want_version)
        return FIRN_OK;
    if (s != FIRN_ABSENT)
        return s;
    l->s.argi = i;
    if (i < l->src->argc && l->role != FIRN_CONF_CTL)
        return firn_fail(l->err, FIRN_INVALID, "%s: not a setting; settings are --name value",
                         l->src->argv[i]);
    return FIRN_OK;
}

static enum firn_status load_flags(struct load *l)
{
    struct flag f;
    enum firn_status s;
    int i = 1;
    while ((s = next_flag(l, &i, &f)) == FIRN_OK) {
        char where[NAME_MAX_LEN + 3];
        (void)snprintf(where, sizeof where, "--%.*s", (int)f.name.len, (const char *)f.name.data);
        struct place p = {FIRN_CONF_FLAG, where, false};
        s = assign(l, &p, f.name, f.value);
        if (s != FIRN_OK)
            return s;
    }
    return s == FIRN_ABSENT ? FIRN_OK : s;
}

static enum firn_status check_required(struct load *l)
{
    for (size_t i = 0; i < firn_conf__count; i++) {
        const struct firn_conf_def *d = &firn_conf__table[i];
        if ((d->flags & FIRN_CONF_REQUIRED) && (d->roles & (unsigned)l->role) &&
            l->s.origin[i] == FIRN_CONF_DEFAULT)
            return firn_fail(l->err, FIRN_INVALID, "--%s is missing: %s", d->name, d->doc);
    }
    return FIRN_OK;
}

static enum firn_status load_all(struct load *l)
{
    struct firn_slice config = {0};
    struct place p = {FIRN_CONF_FLAG, "--config", false};
    for (char *const *e = l->src->envp; e && *e; e++) {
        if (strncmp(*e, "FIRN_CONFIG=", 12) == 0) {
            config = firn_slice_str(*e + 12);
            p.text = "FIRN_CONFIG";
        }
    }
    struct firn_slice from_env = config;
    enum firn_status s = scan_flags(l, &config);
    if (s != FIRN_OK || l->s.want_help || l->s.want_version)
        return s;
    if (config.data != from_env.data)
        p.text = "--config";
    if (config.len) {
        char *path = path_of(config, NULL);
        s = path ? load_file(l, &p, path, 1) : firn_fail(l->err, FIRN_LIMIT, "--config: no memory");
        firn_free(path);
    }
    if (s == FIRN_OK)
        s = load_env(l);
    if (s == FIRN_OK)
        s = load_flags(l);
    if (s == FIRN_OK)
        s = check_required(l);
    return s == FIRN_OK ? firn_conf__cross_check(&l->s, l->err) : s;
}

enum firn_status firn_conf_load(enum firn_conf_role role, const struct firn_conf_source *src,
                                struct firn_settings *out, struct firn_err *err)
{
    struct load l = {.role = role, .src = src, .err = err};
    enum firn_status s = firn_settings_init(&l.s);
    if (s != FIRN_OK)
        return firn_fail(err, s, "settings: out of memory");
    s = load_all(&l);
    if (s == FIRN_OK)
        *out = l.s;
    else
        firn_settings_deinit(&l.s);
    return s;
}
