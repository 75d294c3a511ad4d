/* CONFIG GET, SET, REWRITE, RESETSTAT over the conf room's table. */
#include "engine/cmd_priv.h"
#include "engine/redis_names_priv.h"

#include "base/mem.h"
#include "resp/glob.h"

static enum firn_conf_role role_of(const struct firn_db *db)
{
    return db->writable ? FIRN_CONF_WRITER : FIRN_CONF_READER;
}

/* ---- GET */

struct config_get {
    struct firn_eval *x;
    struct firn_reply rows;
    size_t pairs;
    size_t pattern; /* index of the one being emitted */
};

/* A name that an earlier pattern matched is not given twice. */
static bool matched_before(struct config_get *g, const char *name)
{
    struct firn_slice n = firn_slice_str(name);
    for (size_t i = 2; i < g->pattern; i++)
        if (firn_glob_match(g->x->argv[i], n, true))
            return true;
    return false;
}

static void emit_matches(void *arg, const char *name, struct firn_slice value)
{
    struct config_get *g = arg;
    if (matched_before(g, name))
        return;
    firn_reply_str(&g->rows, name);
    firn_reply_bulk(&g->rows, value);
    g->pairs++;
}

/* Redis's own names, each that some pattern matches. */
static void emit_redis_names(struct config_get *g)
{
    const struct firn_redis_name *n;
    char value[FIRN_REDIS_VALUE_MAX];
    g->pattern = g->x->argc;
    for (size_t i = 0; (n = firn_engine__redis_name_at(i)) != NULL; i++) {
        const char *name = firn_engine__redis_name_text(n);
        if (!matched_before(g, name))
            continue;
        firn_engine__redis_value(n, g->x->db->settings, value);
        firn_reply_str(&g->rows, name);
        firn_reply_str(&g->rows, value);
        g->pairs++;
    }
}

enum firn_status firn_engine__cmd_config_get(struct firn_eval *x)
{
    struct config_get g = {.x = x};
    firn_reply_init(&g.rows, 1u << 20, x->out->resp);
    enum firn_status st = FIRN_OK;
    for (g.pattern = 2; g.pattern < x->argc && st == FIRN_OK; g.pattern++)
        st = firn_conf_get(x->db->settings, role_of(x->db), x->argv[g.pattern], emit_matches, &g);
    emit_redis_names(&g);
    if (st == FIRN_OK && g.rows.failed)
        st = FIRN_LIMIT;
    if (st == FIRN_OK) {
        firn_reply_map(x->out, g.pairs);
        firn_reply_raw(x->out, g.rows.buf.data, g.rows.buf.len);
    }
    firn_reply_clear(&g.rows);
    return st;
}

/* ---- SET */

static enum firn_status set_error(struct firn_eval *x, struct firn_slice name, const char *why)
{
    int len = name.len > 64 ? 64 : (int)name.len;
    firn_reply_error(x->out, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
                     len, (const char *)name.data, why);
    return FIRN_INVALID;
}

/* A setting of Firn's own and the value to give it. */
struct pair {
    struct firn_slice name, value;
    size_t arg; /* where it was named */
    char text[FIRN_REDIS_VALUE_MAX];
};

/* Those of this CONFIG SET, Redis's names translated; *n counts them. */
static enum firn_status make_pairs(struct firn_eval *x, struct pair *pairs, size_t *n)
{
    *n = 0;
    for (size_t i = 2; i < x->argc; i += 2) {
        struct pair *p = &pairs[*n];
        const struct firn_redis_name *redis = firn_engine__redis_name(x->argv[i]);
        *p = (struct pair){.name = x->argv[i], .value = x->argv[i + 1], .arg = i};
        if (redis) {
            const char *setting;
            struct firn_err err = {""};
            enum firn_status st = firn_engine__redis_translate(redis, x->db->settings, p->value,
                                                               &setting, p->text, &err);
            if (st == FIRN_INVALID)
                return set_error(x, x->argv[i], err.text);
            if (st == FIRN_ABSENT)
                continue;
            p->name = firn_slice_str(setting);
            p->value = firn_slice_str(p->text);
        }
        ++*n;
    }
    return FIRN_OK;
}

static bool is_commit(struct firn_slice name)
{
    const struct firn_conf_def *def = firn_conf_find(name);
    return def && def->scope == FIRN_CONF_COMMIT;
}

static enum firn_status check_all(struct firn_eval *x, const struct pair *pairs, size_t n)
{
    const struct firn_db *db = x->db;
    for (size_t i = 0; i < n; i++) {
        struct firn_err err = {""};
        struct firn_slice name = pairs[i].name;
        if (!firn_conf_find(name)) {
            int len = name.len > 64 ? 64 : (int)name.len;
            firn_reply_error(x->out,
                             "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                             len, (const char *)name.data);
            return FIRN_INVALID;
        }
        /* What is under way already is answered with its outcome. */
        bool refuses = !db->writable || (db->fenced && !x->s->commit) || !db->vt->set_manifest;
        if (is_commit(name) && refuses) {
            firn_reply_error(
                x->out, "READONLY '%s' is kept in the manifest: set it on the writer%s%s",
                firn_conf_find(name)->name, db->writer_addr[0] ? " at " : "", db->writer_addr);
            return FIRN_INVALID;
        }
        if (firn_conf_check(db->settings, role_of(db), name, pairs[i].value, &err) != FIRN_OK)
            return set_error(x, x->argv[pairs[i].arg], err.text);
    }
    return FIRN_OK;
}

enum firn_status firn_engine__setting_unknown(struct firn_eval *x)
{
    x->e->stat.unknown++;
    firn_reply_error(x->out,
                     "KVUNKNOWN the manifest is not known to be written within %u ms; "
                     "what was to be set may yet be, once",
                     (unsigned)(x->db->settings->commit_timeout_ns / FIRN_MS));
    return FIRN_INVALID;
}

static void committed(void *arg, enum firn_status st, const struct firn_err *err)
{
    struct firn_setting_commit *c = arg;
    if (!c->session) {
        firn_free(c);
        return;
    }
    c->done = true;
    c->status = st;
    if (err)
        c->err = *err;
    firn_conn_resume(c->session->c);
}

static enum firn_status await_commit(struct firn_eval *x)
{
    struct firn_wait w = {.kind = FIRN_WAIT_COMMIT, .deadline_ns = x->s->commit->deadline_ns};
    return firn_engine__await(x, &w); /* answered before it is done, it is let go */
}

static enum firn_status begin_commit(struct firn_eval *x, struct firn_slice name,
                                     struct firn_slice value)
{
    struct firn_setting_commit *c = firn_calloc(1, sizeof *c);
    char *text = firn_strndup(value.len ? (const char *)value.data : "", value.len);
    if (!c || !text) {
        firn_free(c);
        firn_free(text);
        return FIRN_LIMIT;
    }
    struct firn_err err = {""};
    enum firn_status st =
        x->db->vt->set_manifest(x->db, firn_conf_find(name)->name, text, committed, c, &err);
    firn_free(text);
    if (st != FIRN_OK) {
        firn_free(c);
        return set_error(x, name, err.text);
    }
    c->session = x->s;
    c->deadline_ns = firn_boot_ns(x->db->env) + x->db->settings->commit_timeout_ns;
    x->s->commit = c;
    return await_commit(x);
}

/* Commit the manifest settings one after the other; s->commits_done says how many are. */
static enum firn_status commit_all(struct firn_eval *x, const struct pair *pairs, size_t n)
{
    struct firn_session *s = x->s;
    size_t nth = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_commit(pairs[i].name) || nth++ < s->commits_done)
            continue;
        if (x->tx)
            return set_error(x, x->argv[pairs[i].arg],
                             "the database's settings cannot be changed inside of a transaction");
        if (!s->commit)
            return begin_commit(x, pairs[i].name, pairs[i].value);
        if (!s->commit->done)
            return await_commit(x);
        enum firn_status st = s->commit->status;
        struct firn_err err = s->commit->err;
        firn_free(s->commit);
        s->commit = NULL;
        s->commits_done++;
        if (st == FIRN_UNCERTAIN)
            return firn_engine__setting_unknown(x);
        if (st != FIRN_OK)
            return set_error(x, x->argv[pairs[i].arg],
                             err.text[0] ? err.text : firn_status_name(st));
    }
    return FIRN_OK;
}

static enum firn_status set_all(struct firn_eval *x, struct pair *pairs)
{
    struct firn_db *db = x->db;
    size_t n;
    enum firn_status st = make_pairs(x, pairs, &n);
    if (st == FIRN_OK)
        st = check_all(x, pairs, n);
    if (st == FIRN_OK)
        st = commit_all(x, pairs, n);
    for (size_t i = 0; i < n && st == FIRN_OK; i++) {
        struct firn_err err = {""};
        st = firn_conf_set(db->settings, role_of(db), pairs[i].name, pairs[i].value, &err);
        if (st == FIRN_INVALID)
            return set_error(x, x->argv[pairs[i].arg], err.text);
    }
    if (st == FIRN_OK)
        st = firn_engine__settings_changed(x->e);
    if (st == FIRN_OK && db->vt->settings_changed)
        db->vt->settings_changed(db);
    if (st == FIRN_OK)
        firn_reply_ok(x->out);
    return st;
}

enum firn_status firn_engine__cmd_config_set(struct firn_eval *x)
{
    if (x->argc % 2) {
        firn_reply_error(x->out, "ERR wrong number of arguments for 'config|set' command");
        return FIRN_INVALID;
    }
    struct pair *pairs = firn_calloc(x->argc / 2, sizeof *pairs);
    enum firn_status st = pairs ? set_all(x, pairs) : FIRN_LIMIT;
    firn_free(pairs);
    return st;
}

enum firn_status firn_engine__cmd_config_rewrite(struct firn_eval *x)
{
    struct firn_db *db = x->db;
    struct firn_err err = {""};
    if (!db->vt->rewrite_config || !db->settings->config[0]) {
        firn_reply_error(x->out, "ERR The server is running without a config file");
        return FIRN_INVALID;
    }
    if (db->vt->rewrite_config(db, &err) != FIRN_OK) {
        firn_reply_error(x->out, "ERR Rewriting config file: %s", err.text);
        return FIRN_INVALID;
    }
    firn_reply_ok(x->out);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_config_resetstat(struct firn_eval *x)
{
    firn_server_reset_stats(x->e->server);
    x->e->stat = (struct firn_engine_stats){0};
    firn_reply_ok(x->out);
    return FIRN_OK;
}
