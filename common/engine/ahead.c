/* Fetching for commands to come: while a command is parked, what the ones received behind it will
 * look at is noted and fetched, so that a pipeline of cold reads takes the round trips of one.
 * Their keys are kept until they are executed: what a first fetch brings (a table's metadata) may
 * show what else they need. Only a hint: a command fetches for itself whatever is still missing. */
#include "engine/engine_priv.h"

#include "base/bytes.h"

#define KEEP_BYTES 4096 /* of a connection's buffer, from one pipeline to the next */
#define PREFETCH_MAX 16 /* commands, each with its first key */
#define PREFETCH_KEY_MAX 255

/* ahead_keys holds a record per command: 2 bytes number of keys, then 2 bytes length and the
 * internal key of each (lengths less one, so that the longest key fits). */
static enum firn_status keep_key(struct firn_session *s, struct firn_slice user)
{
    uint8_t head[3];
    firn_put_le16(head, (uint16_t)user.len);
    head[2] = (uint8_t)(FIRN_NS_DB0 + firn_conn_db(s->c));
    enum firn_status st = firn_buf_reserve(&s->ahead_keys, sizeof head + user.len);
    if (st == FIRN_OK)
        st = firn_buf_append(&s->ahead_keys, head, sizeof head);
    if (st == FIRN_OK)
        st = firn_buf_append(&s->ahead_keys, user.data, user.len);
    return st;
}

/* Keep the keys that the command will look at, as far as there is room. */
static void keep_keys(struct firn_session *s, const struct firn_command *cmd, size_t argc,
                      const struct firn_slice *argv)
{
    struct firn_key_ref ref[64];
    size_t n = firn_command_keys(cmd, argc, argv, ref, sizeof ref / sizeof *ref);
    if (n == FIRN_KEYS_INVALID)
        return;
    if (n > sizeof ref / sizeof *ref)
        n = sizeof ref / sizeof *ref;
    size_t head = s->ahead_keys.len - 2;
    uint16_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (argv[ref[i].index].len <= FIRN_USER_KEY_MAX &&
            keep_key(s, argv[ref[i].index]) == FIRN_OK)
            kept++;
    firn_put_le16(s->ahead_keys.data + head, kept);
}

/* Note the misses of the record at `at`. */
static void note_record(struct firn_session *s, size_t at)
{
    const uint8_t *p = s->ahead_keys.data + at;
    uint16_t n = firn_le16(p);
    p += 2;
    for (uint16_t i = 0; i < n; i++) {
        struct firn_slice key = firn_slice_of(p + 2, (size_t)firn_le16(p) + 1);
        struct firn_entry found; /* by the command itself, later */
        enum firn_status st = firn_view_get(s->e->db->view, &s->ahead, key, UINT64_MAX, &found);
        if (st != FIRN_OK && st != FIRN_ABSENT && st != FIRN_AGAIN)
            break;
        p = key.data + key.len;
    }
}

/* Where the record behind the one at `at` begins. */
static size_t skip_record(const struct firn_session *s, size_t at)
{
    const uint8_t *p = s->ahead_keys.data + at;
    uint16_t n = firn_le16(p);
    p += 2;
    for (uint16_t i = 0; i < n; i++)
        p += 2 + 1 + (size_t)firn_le16(p);
    return (size_t)(p - s->ahead_keys.data);
}

static void fetch_soon(struct firn_session *s)
{
    if (!firn_read_wants(&s->ahead) || !firn_list_empty(&s->ahead_link))
        return;
    firn_list_push(&s->e->ahead, &s->ahead_link);
    firn_defer(s->e->db->env, &s->e->ahead_defer);
}

bool firn_engine__looks_at_keys(const struct firn_db *db, const struct firn_command *cmd,
                                size_t argc)
{
    if (!(cmd->flags & FIRN_CMD_WRITE))
        return cmd->flags & FIRN_CMD_READONLY;
    if (!db->writable || !(cmd->id & FIRN_TRAIT_READS))
        return false;
    size_t least = (size_t)(cmd->arity < 0 ? -cmd->arity : cmd->arity);
    return !(cmd->id & FIRN_TRAIT_OPTIONS) || argc > least;
}

void firn_engine__lookahead(void *engine, struct firn_conn *c, const struct firn_command *cmd,
                            size_t argc, const struct firn_slice *argv)
{
    struct firn_engine *e = engine;
    struct firn_session *s = *firn_conn_session(c);
    if (!s || !e->db->view)
        return;
    size_t at = s->ahead_keys.len;
    if (firn_buf_append(&s->ahead_keys, "\0\0", 2) != FIRN_OK)
        return;
    s->ahead_left++;
    if (firn_engine__looks_at_keys(e->db, cmd, argc))
        keep_keys(s, cmd, argc, argv);
    if (s->ahead_fetching)
        return; /* looked at when that has ended */
    note_record(s, at);
    fetch_soon(s);
}

static void ahead_done(struct firn_read *r)
{
    struct firn_session *s = r->arg;
    s->ahead_fetching = false;
    if (!s->ahead_left) {
        firn_read_clear(r); /* those it was for have gone by */
        return;
    }
    if (firn_read_status(r) != FIRN_OK)
        return;
    size_t at = s->ahead_at;
    for (unsigned i = 0; i < s->ahead_left; i++) {
        note_record(s, at);
        at = skip_record(s, at);
    }
    fetch_soon(s);
}

void firn_engine__fetch_ahead(void *engine)
{
    struct firn_engine *e = engine;
    uint64_t deadline = firn_boot_ns(e->db->env) + e->db->settings->read_timeout_ns;
    FIRN_LIST_EACH(it, nx, &e->ahead)
    {
        struct firn_session *s = FIRN_CONTAINER(it, struct firn_session, ahead_link);
        firn_list_remove(&s->ahead_link);
        s->ahead_fetching = true;
        firn_read_fetch(&s->ahead, deadline, ahead_done, s);
    }
}

void firn_engine__ahead_parked(struct firn_session *s)
{
    if (!s->ahead_left)
        s->ahead_skip = true;
}

void firn_engine__ahead_executed(struct firn_session *s)
{
    if (s->ahead_skip || !s->ahead_left) {
        s->ahead_skip = false;
        return;
    }
    s->ahead_at = skip_record(s, s->ahead_at);
    if (--s->ahead_left > 0)
        return;
    s->ahead_at = s->ahead_keys.len = 0;
    if (s->ahead_keys.cap > KEEP_BYTES)
        firn_buf_clear(&s->ahead_keys);
    if (!s->ahead_fetching && firn_list_empty(&s->ahead_link))
        firn_read_clear(&s->ahead);
}

/* ---- commands about to be executed */

void firn_engine__prefetch(void *engine, struct firn_conn *c, const struct firn_upcoming *command,
                           size_t n)
{
    struct firn_engine *e = engine;
    struct firn_db *db = e->db;
    struct firn_view_probe probe[PREFETCH_MAX];
    uint8_t key[PREFETCH_MAX][1 + PREFETCH_KEY_MAX];
    size_t probes = 0;
    if (!db->view)
        return;
    for (size_t i = 0; i < n && probes < PREFETCH_MAX; i++) {
        const struct firn_upcoming *u = &command[i];
        const struct firn_command *cmd = u->entry ? u->entry->cmd : NULL;
        size_t first = cmd ? (size_t)cmd->keys[0].first : 0;
        if (!first || u->argc <= first || u->argv[first].len > PREFETCH_KEY_MAX)
            continue;
        struct firn_slice user = u->argv[first];
        uint8_t *k = key[probes];
        k[0] = (uint8_t)(FIRN_NS_DB0 + firn_conn_db(c));
        if (user.len)
            memcpy(k + 1, user.data, user.len);
        probe[probes].key = firn_slice_of(k, user.len + 1);
        probe[probes++].memory_only = !firn_engine__looks_at_keys(db, cmd, u->argc);
    }
    firn_view_prefetch(db->view, probe, probes);
}
