#include "manifest/garbage.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "manifest/ages_priv.h"

#include <stdlib.h>

#define OBJECTS_MAX_DEFAULT ((size_t)1 << 20)

/* A table in M's garbage. */
struct dropped {
    struct firn_table_name name;
    uint64_t version;  /* that dropped it */
    uint64_t since_ns; /* when this collector first saw it dropped */
};

/* A value of kept that was read back. */
struct kept_seen {
    struct firn_place kept;
    uint64_t since_ns;
};
#define KEPTS 16 /* remembered; when they are full, the newest one is replaced */

struct firn_garbage_collector {
    struct firn_garbage_options options;
    struct firn_manifest__ages ages;
    struct kept_seen kept[KEPTS]; /* ascending */
    size_t nkept;
    struct firn_id db; /* whose kept values these are */
    /* of this pass */
    struct firn_pass pass;
    bool ready;
    bool all_checkpoints; /* every checkpoint's manifest is at hand */
    uint64_t
        min_pin; /* least version of a live pin; UINT64_MAX = none; 0 = an unreadable one lives */
    struct firn_table_name *referenced; /* by M and its checkpoints, sorted */
    size_t nreferenced;
    struct dropped *dropped; /* sorted by name */
    size_t ndropped;
};

/* ---- sorted lists of names */

static int cmp_name(const void *a, const void *b)
{
    const struct firn_table_name *x = a, *y = b;
    if (x->role != y->role)
        return x->role < y->role ? -1 : 1;
    if (x->epoch != y->epoch)
        return x->epoch < y->epoch ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static int cmp_dropped(const void *a, const void *b)
{
    const struct dropped *x = a, *y = b;
    return cmp_name(&x->name, &y->name);
}

static size_t count_tables(const Firn__Manifest *m)
{
    size_t n = m->n_l0 + m->n_adopted;
    for (size_t i = 0; i < m->n_partitions; i++)
        for (size_t k = 0; k < m->partitions[i]->n_runs; k++)
            n += m->partitions[i]->runs[k]->n_tables;
    return n;
}

static void add_tables(struct firn_garbage_collector *c, Firn__Table *const *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        c->referenced[c->nreferenced++] = firn_table_name_of(t[i]);
}

static void add_manifest(struct firn_garbage_collector *c, const Firn__Manifest *m)
{
    add_tables(c, m->l0, m->n_l0);
    add_tables(c, m->adopted, m->n_adopted);
    for (size_t i = 0; i < m->n_partitions; i++)
        for (size_t k = 0; k < m->partitions[i]->n_runs; k++)
            add_tables(c, m->partitions[i]->runs[k]->tables, m->partitions[i]->runs[k]->n_tables);
}

static bool is_referenced(const struct firn_garbage_collector *c,
                          const struct firn_table_name *name)
{
    return c->nreferenced && bsearch(name, c->referenced, c->nreferenced, sizeof *name, cmp_name);
}

static const struct dropped *find_dropped(const struct firn_garbage_collector *c,
                                          const struct firn_table_name *name)
{
    struct dropped key = {.name = *name};
    return c->ndropped ? bsearch(&key, c->dropped, c->ndropped, sizeof key, cmp_dropped) : NULL;
}

/* ---- beginning a pass */

static enum firn_status list_references(struct firn_garbage_collector *c)
{
    const Firn__Manifest *m = c->pass.m->pb;
    size_t n = count_tables(m);
    for (size_t i = 0; i < c->pass.ncheckpoints; i++)
        n += count_tables(c->pass.checkpoints[i]);
    c->referenced = firn_calloc(n, sizeof *c->referenced);
    if (!c->referenced)
        return FIRN_LIMIT;
    add_manifest(c, m);
    for (size_t i = 0; i < c->pass.ncheckpoints; i++)
        add_manifest(c, c->pass.checkpoints[i]);
    qsort(c->referenced, c->nreferenced, sizeof *c->referenced, cmp_name);
    return FIRN_OK;
}

/* A name of its own for the age of "in garbage", which no object has. */
static uint64_t age_in_garbage(struct firn_garbage_collector *c, const struct firn_table_name *name)
{
    char text[FIRN_NAME_MAX];
    firn_name_table(text, firn_id_short(&c->pass.m->db), name);
    return firn_manifest__age(&c->ages, "garbage:", firn_slice_str(text), firn_slice_of(NULL, 0),
                              c->pass.now_ns);
}

static enum firn_status list_garbage(struct firn_garbage_collector *c)
{
    const Firn__Manifest *m = c->pass.m->pb;
    c->dropped = firn_calloc(m->n_garbage, sizeof *c->dropped);
    if (!c->dropped)
        return FIRN_LIMIT;
    for (size_t i = 0; i < m->n_garbage; i++) {
        const Firn__Garbage *g = m->garbage[i];
        struct dropped *d = &c->dropped[c->ndropped++];
        d->name = (struct firn_table_name){(enum firn_role)g->role, g->epoch, g->number};
        d->version = g->version;
        d->since_ns = age_in_garbage(c, &d->name);
    }
    if (c->ndropped)
        qsort(c->dropped, c->ndropped, sizeof *c->dropped, cmp_dropped);
    return FIRN_OK;
}

static bool have_all_checkpoints(const struct firn_pass *p)
{
    const Firn__Manifest *m = p->m->pb;
    for (size_t i = 0; i < m->n_checkpoints; i++) {
        struct firn_id want = firn_pb_id(&m->checkpoints[i]->nonce);
        bool found = false;
        for (size_t k = 0; !found && k < p->ncheckpoints; k++) {
            struct firn_id have = firn_pb_id(&p->checkpoints[k]->nonce);
            found = firn_id_eq(&want, &have) &&
                    p->checkpoints[k]->version == m->checkpoints[i]->version;
        }
        if (!found)
            return false;
    }
    return true;
}

static bool expired(uint64_t now, uint64_t since, uint64_t grace)
{
    return now >= since && now - since >= grace;
}

/* The least version any live pin names. A pin is dead when it has not changed for pin_ttl by our
 * clock. */
static void look_at_pins(struct firn_garbage_collector *c)
{
    c->min_pin = UINT64_MAX;
    for (size_t i = 0; i < c->pass.npins; i++) {
        const struct firn_pin_seen *p = &c->pass.pins[i];
        uint64_t since =
            firn_manifest__age(&c->ages, "", p->seen.name, p->seen.etag, c->pass.now_ns);
        if (expired(c->pass.now_ns, since, c->options.pin_ttl_ns)) {
            FIRN_SOMETIMES("manifest: a dead pin found");
            continue;
        }
        uint64_t version = p->readable ? p->version : 0;
        if (version < c->min_pin)
            c->min_pin = version;
    }
}

/* Remember when this kept was first read back (S5). */
static void look_at_kept(struct firn_garbage_collector *c)
{
    struct firn_place kept = c->pass.m->kept;
    if (!firn_id_eq(&c->db, &c->pass.m->db)) {
        c->db = c->pass.m->db;
        c->nkept = 0;
    }
    if (c->nkept && firn_place_cmp(kept, c->kept[c->nkept - 1].kept) <= 0)
        return;
    if (c->nkept == KEPTS)
        c->nkept--;
    c->kept[c->nkept++] = (struct kept_seen){kept, c->pass.now_ns};
}

/* The highest kept whose grace has passed; lower ones are of no use any more. */
static struct firn_place matured_kept(struct firn_garbage_collector *c)
{
    uint64_t grace = c->pass.m->pb->settings->wal_grace_ms;
    struct firn_place none = {0, 0};
    if (grace > UINT64_MAX / FIRN_MS)
        return none;
    size_t ripe = 0;
    while (ripe < c->nkept && expired(c->pass.now_ns, c->kept[ripe].since_ns, grace * FIRN_MS))
        ripe++;
    if (ripe > 1) {
        memmove(c->kept, c->kept + ripe - 1, (c->nkept - (ripe - 1)) * sizeof c->kept[0]);
        c->nkept -= ripe - 1;
    }
    return ripe ? c->kept[0].kept : none;
}

static void drop_pass(struct firn_garbage_collector *c)
{
    firn_free(c->referenced);
    firn_free(c->dropped);
    c->referenced = NULL;
    c->dropped = NULL;
    c->nreferenced = c->ndropped = 0;
    c->ready = false;
}

enum firn_status firn_garbage_create(const struct firn_garbage_options *o,
                                     struct firn_garbage_collector **out)
{
    struct firn_garbage_collector *c = firn_calloc(1, sizeof *c);
    if (!c)
        return FIRN_LIMIT;
    c->options = *o;
    c->ages.max = o->objects_max ? o->objects_max : OBJECTS_MAX_DEFAULT;
    *out = c;
    return FIRN_OK;
}

void firn_garbage_free(struct firn_garbage_collector *c)
{
    if (!c)
        return;
    drop_pass(c);
    firn_manifest__ages_clear(&c->ages);
    firn_free(c);
}

enum firn_status firn_garbage_begin(struct firn_garbage_collector *c, const struct firn_pass *p)
{
    FIRN_ASSERT(p->m->read_back); /* deletions go by what was read, never by what was proposed */
    drop_pass(c);
    c->pass = *p;
    firn_manifest__ages_begin(&c->ages);
    c->all_checkpoints = have_all_checkpoints(p);
    enum firn_status st = list_references(c);
    if (st == FIRN_OK)
        st = list_garbage(c);
    if (st != FIRN_OK) {
        drop_pass(c);
        return st;
    }
    look_at_pins(c);
    look_at_kept(c);
    c->ready = true;
    return FIRN_OK;
}

/* ---- judging */

static enum firn_verdict if_true(bool b)
{
    return b ? FIRN_DELETE : FIRN_KEEP;
}

/* S5 and I3: below a kept that was read back wal_grace ago, and no seal. */
static enum firn_verdict judge_slot(struct firn_garbage_collector *c, const struct firn_name *n,
                                    bool is_seal)
{
    bool passed = firn_place_cmp(n->place, matured_kept(c)) < 0;
    FIRN_SOMETIMES_IF(is_seal && passed, "manifest: a seal below kept spared");
    return if_true(!is_seal && passed);
}

static enum firn_verdict judge_table(struct firn_garbage_collector *c,
                                     const struct firn_table_name *name)
{
    const Firn__Manifest *m = c->pass.m->pb;
    /* H7: being in garbage never overrules a reference that is left. */
    if (is_referenced(c, name) || !c->all_checkpoints)
        return FIRN_KEEP;
    const struct dropped *d = find_dropped(c, name);
    FIRN_SOMETIMES_IF(d && d->version > c->min_pin, "manifest: garbage spared for a pin");
    if (d)
        return if_true(d->version <= c->min_pin &&
                       expired(c->pass.now_ns, d->since_ns, c->options.table_grace_ns));
    /* H8: an orphan, once nobody may commit it any more (I10). */
    const Firn__Role *owner = name->role == FIRN_ROLE_WRITER ? m->writer : m->compactor;
    bool orphan = name->epoch < owner->epoch ||
                  (name->epoch == owner->epoch && name->number < owner->watermark);
    FIRN_SOMETIMES_IF(orphan, "manifest: an orphan swept");
    FIRN_SOMETIMES_IF(!orphan, "manifest: a table of a job under way spared");
    return if_true(orphan);
}

static bool named_by_checkpoint(const Firn__Manifest *m, const struct firn_name *n)
{
    for (size_t i = 0; i < m->n_checkpoints; i++) {
        struct firn_id nonce = firn_pb_id(&m->checkpoints[i]->nonce);
        if (m->checkpoints[i]->version == n->version && firn_id_eq(&nonce, &n->nonce))
            return true;
    }
    return false;
}

/* Is this copy off the parent chain, or older than history? */
static bool copy_is_old(const struct firn_garbage_collector *c, const struct firn_name *n)
{
    const struct firn_pass *p = &c->pass;
    if (n->version >= p->m->version || named_by_checkpoint(p->m->pb, n))
        return false;
    for (size_t i = 0; i < p->nchain; i++)
        if (p->chain[i].version == n->version)
            return !firn_id_eq(&p->chain[i].nonce, &n->nonce) || !p->chain[i].in_history;
    return p->chain_whole;
}

static enum firn_verdict judge_copy(struct firn_garbage_collector *c, const struct firn_name *n,
                                    const struct firn_seen *object)
{
    if (!copy_is_old(c, n))
        return FIRN_KEEP; /* not looked at: its age begins when it is */
    uint64_t since = firn_manifest__age(&c->ages, "", object->name, object->etag, c->pass.now_ns);
    return if_true(expired(c->pass.now_ns, since, c->options.table_grace_ns));
}

static enum firn_verdict judge_pin(struct firn_garbage_collector *c, const struct firn_seen *object)
{
    uint64_t since;
    /* Only pins that were looked at when the pass began: others may be new. */
    return if_true(firn_manifest__age_of(&c->ages, object->name, &since) &&
                   expired(c->pass.now_ns, since, c->options.pin_ttl_ns));
}

static enum firn_verdict judge_note(struct firn_garbage_collector *c, const struct firn_name *n,
                                    const struct firn_seen *object, bool busy)
{
    const Firn__Manifest *m = c->pass.m->pb;
    uint64_t grace = c->options.pin_ttl_ns > c->options.table_grace_ns ? c->options.pin_ttl_ns
                                                                       : c->options.table_grace_ns;
    uint64_t since = firn_manifest__age(&c->ages, "", object->name, object->etag, c->pass.now_ns);
    if (busy || (n->kind == FIRN_NAME_NODE && (strcmp(n->id, m->writer->node_id) == 0 ||
                                               strcmp(n->id, m->compactor->node_id) == 0)))
        return FIRN_KEEP;
    return if_true(expired(c->pass.now_ns, since, grace));
}

enum firn_verdict firn_garbage_judge(struct firn_garbage_collector *c,
                                     const struct firn_seen *object, bool is_seal, bool busy)
{
    struct firn_name n;
    if (!c->ready || firn_name_parse(object->name, &n) != FIRN_OK)
        return FIRN_KEEP;
    uint32_t db = firn_id_short(&c->pass.m->db);
    switch (n.kind) {
    case FIRN_NAME_SLOT:
        return n.db == db ? judge_slot(c, &n, is_seal) : FIRN_KEEP;
    case FIRN_NAME_TABLE:
        return n.db == db ? judge_table(c, &n.table) : FIRN_KEEP;
    case FIRN_NAME_MANIFEST_LOG:
        return c->all_checkpoints ? judge_copy(c, &n, object) : FIRN_KEEP;
    case FIRN_NAME_PIN:
        return judge_pin(c, object);
    case FIRN_NAME_JOB:
    case FIRN_NAME_NODE:
    case FIRN_NAME_PROBE:
        return judge_note(c, &n, object, busy);
    case FIRN_NAME_MANIFEST:
        break;
    }
    return FIRN_KEEP;
}

void firn_garbage_end(struct firn_garbage_collector *c)
{
    firn_manifest__ages_end(&c->ages);
    drop_pass(c);
}

struct firn_place firn_garbage_kept_max(const Firn__Manifest *m, const struct firn_place *feed)
{
    struct firn_place max = firn_place_of(m->floor);
    if (feed && firn_place_cmp(*feed, max) < 0)
        max = *feed;
    for (size_t i = 0; m->settings->history_ms && i < m->n_checkpoints; i++) {
        const Firn__Checkpoint *c = m->checkpoints[i];
        bool in_window = c->log_time_ms >= m->log_time_ms ||
                         m->log_time_ms - c->log_time_ms <= m->settings->history_ms;
        if (in_window && firn_place_cmp(firn_place_of(c->floor), max) < 0)
            max = firn_place_of(c->floor);
    }
    struct firn_place kept = firn_place_of(m->kept);
    return firn_place_cmp(max, kept) < 0 ? kept : max;
}
