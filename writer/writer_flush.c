#include "writer/writer_priv.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "lsm/flush_build.h"
#include "manifest/settings.h"

#include <inttypes.h>

/* One flush: a frozen part of memory becomes tables, the tables objects, and the manifest names
 * them.
 *
 *   building --> uploading --> committing --> done
 *       any failure: given up; begun anew after RETRY_NS under new table numbers (I10)
 *
 * A crash at any point leaves objects that nothing refers to, of an epoch or below a watermark by
 * which the collector knows them for orphans. */

#define RETRY_NS (1 * FIRN_SEC)

struct upload {
    struct firn_store_upload u;
    struct flush *flush;
    char name[FIRN_NAME_MAX];
};

struct flush {
    struct firn_writer *w;
    struct firn_memory_part part; /* a copy; its memtable is referenced */
    struct firn_flush_build build;
    struct firn_job job;
    struct upload *upload;
    size_t uploading;
    bool upload_failed;
    Firn__Table **refs;
    struct firn_flush_intent intent;
    uint64_t watermark;   /* behind its own tables: those built ahead are still to be committed */
    uint64_t table_bytes; /* memory that its tables take, or will */
    bool ready;           /* built */
    bool dropped;         /* built ahead for a flush that failed: free it when its job is done */
};

static void count_tables(struct firn_writer *w)
{
    firn_budget_set(&w->budget, FIRN_BUDGET_TABLES,
                    (w->flush ? w->flush->table_bytes : 0) +
                        (w->ahead ? w->ahead->table_bytes : 0));
}

static void flush_free(struct flush *f)
{
    struct firn_writer *w = f->w;
    firn_flush_build_clear(&f->build);
    firn_memtable_unref(f->part.table);
    firn_free(f->upload);
    firn_free((void *)f->refs);
    firn_free(f);
    count_tables(w);
    firn_memory_sweep(&w->memory);
}

/* What was built ahead is not wanted any more: its turn comes anew, under new numbers. */
static void drop_ahead(struct firn_writer *w)
{
    struct flush *f = w->ahead;
    if (!f)
        return;
    FIRN_SOMETIMES("writer: tables built ahead dropped");
    w->ahead = NULL;
    if (!f->ready) {
        f->dropped = true;
        return;
    }
    flush_free(f);
    firn_writer__settled(w);
}

/* The flush is over, one way or the other; true: the writer goes on. */
static bool flush_over(struct flush *f)
{
    struct firn_writer *w = f->w;
    if (w->flush == f)
        w->flush = NULL;
    else
        w->ahead = NULL;
    flush_free(f);
    bool live = writer_live(w);
    firn_writer__settled(w);
    return live;
}

static void give_up(struct flush *f, const char *doing, enum firn_status s,
                    const struct firn_err *err)
{
    struct firn_writer *w = f->w;
    FIRN_SOMETIMES("writer: a flush given up");
    w->flush_failures++;
    firn_log_event(&w->obs->log, FIRN_LOG_WARN, "flush failed", "doing=%s status=%s why=%s", doing,
                   firn_status_name(s), err ? err->text : "");
    drop_ahead(w);
    if (flush_over(f))
        firn_timer_start(w->db.env, &w->flush_retry, RETRY_NS);
}

static void committed(struct firn_intent *it)
{
    struct flush *f = it->arg;
    struct firn_writer *w = f->w;
    if (it->status == FIRN_FENCED && writer_live(w)) {
        FIRN_SOMETIMES("writer: fenced by the commit of a flush");
        struct firn_err err = it->err;
        (void)flush_over(f);
        firn_writer__fence(w, &err);
        return;
    }
    if (it->status != FIRN_OK) {
        give_up(f, "commit", it->status, &it->err);
        return;
    }
    struct firn_err err = {0};
    enum firn_status s = FIRN_OK;
    w->flushes++;
    w->flushed_tables += f->build.count;
    for (size_t i = 0; i < f->build.count; i++)
        w->flushed_bytes += f->build.object[i].bytes.len;
    if (writer_live(w))
        s = firn_writer__install_view(w, it->manifest, &err);
    firn_log_event(&w->obs->log, FIRN_LOG_INFO, "flushed",
                   "tables=%zu entries=%" PRIu64 " floor=%" PRIu64 "/%" PRIu64 " version=%" PRIu64
                   " l0=%zu",
                   f->build.count, firn_memtable_entries(f->part.table), it->manifest->floor.epoch,
                   it->manifest->floor.slot, it->manifest->version, it->manifest->pb->n_l0);
    if (!flush_over(f))
        return;
    if (s != FIRN_OK) {
        firn_writer__finish(w, FIRN_WRITER_FAILED, &err);
        return;
    }
    firn_writer__flush_next(w);
    firn_writer__watch_l0(w);
    firn_engine_advance(w->engine);
    firn_writer__step_out(w);
}

static void commit(struct flush *f)
{
    struct firn_writer *w = f->w;
    for (size_t i = 0; i < f->build.count; i++)
        f->refs[i] = f->build.object[i].ref;
    f->intent.flush = (struct firn_flush){
        .end = f->part.end,
        .seqno = f->part.last_seqno,
        .log_time_ms = f->part.log_time_ms,
        .expired_to_ms = f->part.expired_to_ms,
        .watermark = f->watermark,
        .tables = f->refs,
        .ntables = f->build.count,
    };
    f->intent.base.done = committed;
    f->intent.base.arg = f;
    /* Where further memtables wait, every second of manifest-interval brings unflushed-bytes-max
     * nearer. */
    f->intent.base.urgent = w->state != WRITER_SERVING;
    f->intent.base.prompt = w->memory.parts > 2;
    firn_manifest_flush(w->mnode, &f->intent);
}

static void uploaded(struct firn_store_upload *u)
{
    struct flush *f = ((struct upload *)u->arg)->flush;
    if (u->status != FIRN_OK)
        f->upload_failed = true;
    if (--f->uploading > 0)
        return;
    if (!f->upload_failed && writer_live(f->w)) {
        commit(f);
        return;
    }
    for (size_t i = 0; i < f->build.count; i++) {
        if (f->upload[i].u.status != FIRN_OK) {
            give_up(f, "upload", f->upload[i].u.status, &f->upload[i].u.err);
            return;
        }
    }
    give_up(f, "upload", FIRN_TRANSIENT, NULL); /* the writer is ending */
}

static void flush_ahead(struct firn_writer *w);

static void upload(struct flush *f)
{
    struct firn_writer *w = f->w;
    if (f->build.count == 0) {
        FIRN_SOMETIMES("writer: a flush of the floor alone");
        commit(f); /* nothing for a table: the floor alone moves */
        return;
    }
    f->upload = firn_calloc(f->build.count, sizeof *f->upload);
    f->refs = firn_calloc(f->build.count, sizeof(Firn__Table *));
    if (!f->upload || !f->refs) {
        give_up(f, "upload", FIRN_LIMIT, NULL);
        return;
    }
    f->uploading = f->build.count;
    for (size_t i = 0; i < f->build.count; i++) {
        struct upload *u = &f->upload[i];
        firn_name_table(u->name, firn_id_short(&w->manifest->db), &f->build.object[i].name);
        u->flush = f;
        u->u.key = u->name;
        u->u.body = firn_buf_slice(&f->build.object[i].bytes);
        u->u.done = uploaded;
        u->u.arg = u;
        firn_store_upload(w->db.store, &u->u);
    }
    flush_ahead(w);
}

static void built(struct firn_job *job)
{
    struct flush *f = job->arg;
    struct firn_writer *w = f->w;
    bool failed = f->build.status != FIRN_OK || !writer_live(w);
    if (f->dropped) {
        flush_free(f);
        firn_writer__settled(w);
    } else if (failed && f == w->ahead) {
        (void)flush_over(f); /* its turn comes anew */
    } else if (failed) {
        give_up(f, "build", f->build.status, NULL);
    } else {
        f->ready = true;
        f->table_bytes = 0;
        for (size_t i = 0; i < f->build.count; i++)
            f->table_bytes += f->build.object[i].bytes.cap;
        count_tables(w);
        w->next_table += f->build.count;
        f->watermark = w->next_table;
        if (f == w->flush)
            upload(f);
    }
}

static void build_run(struct firn_job *job)
{
    struct flush *f = job->arg;
    firn_flush_build_run(&f->build);
}

void firn_writer__flush_cancel(struct firn_writer *w)
{
    struct flush *f = w->flush;
    drop_ahead(w);
    for (size_t i = 0; f && f->uploading && i < f->build.count; i++)
        firn_store_upload_cancel(w->db.store, &f->upload[i].u);
}

/* Begin to build; NULL when memory is short. */
static struct flush *flush_start(struct firn_writer *w, const struct firn_memory_part *part)
{
    struct flush *f = firn_calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->w = w;
    f->part = *part;
    f->table_bytes = part->raw_bytes; /* at most, about */
    firn_memtable_ref(part->table);
    f->build.memtable = part->table;
    f->build.table = (struct firn_table_options){
        .db = w->manifest->db,
        .name = {FIRN_ROLE_WRITER, w->epoch, w->next_table},
        .format = w->format,
        .base_seqno = part->first_seqno, /* a standby's memory begins below the floor */
        .created_ms = firn_wall_ms(w->db.env),
        .block_bytes = (uint32_t)w->settings->block_bytes,
        .filter_bits = FIRN_FILTER_BITS_L0,
        .codec = firn_settings_codec(w->settings),
        .hash_index = true,
    };
    f->build.table_bytes = w->settings->table_bytes;
    f->build.max_seqno = UINT64_MAX; /* every slot in it is durable */
    f->build.expired_to_ms = part->expired_to_ms;
    f->job = (struct firn_job){.run = build_run, .done = built, .arg = f};
    w->pending++;
    firn_exec(w->db.env, &f->job);
    return f;
}

/* Only slots known durable enter a table. */
static bool flushable(const struct firn_writer *w, const struct firn_memory_part *p)
{
    return firn_place_cmp(p->end, w->db.durable_place) <= 0;
}

/* While one flush uploads and commits, the next one's tables are built: its numbers begin behind
 * those of the one before, which are known by then. */
static void flush_ahead(struct firn_writer *w)
{
    const struct firn_memory_part *second = &w->memory.part[1];
    if (firn_budget_full(&w->budget, FIRN_BUDGET_TABLES))
        return;
    if (!w->ahead && w->flush && w->flush->ready && w->memory.parts > 2 && flushable(w, second))
        w->ahead = flush_start(w, second);
    count_tables(w);
}

void firn_writer__flush_next(struct firn_writer *w)
{
    if (!writer_live(w) || firn_timer_running(&w->flush_retry))
        return;
    if (w->flush) {
        flush_ahead(w);
        return;
    }
    struct firn_memory_part *p = firn_memory_oldest_frozen(&w->memory);
    if (w->ahead && (!p || w->ahead->part.table != p->table))
        drop_ahead(w);
    if (w->ahead) {
        w->flush = w->ahead;
        w->ahead = NULL;
        if (w->flush->ready)
            upload(w->flush);
    } else if (p && flushable(w, p)) {
        w->flush = flush_start(w, p);
        if (!w->flush)
            firn_timer_start(w->db.env, &w->flush_retry, RETRY_NS);
        count_tables(w);
    }
}

static void freeze(struct firn_writer *w);

static void retry_due(void *arg)
{
    struct firn_writer *w = arg;
    if (w->rotate_wanted && !w->db.open_gate && writer_live(w))
        freeze(w);
    firn_writer__flush_next(w);
}

/* --- freezing */

/* No record has been applied to the next slot yet: what the expirer has dealt with lies before. But
 * one may be about to be: a slot is closed to make room for a group, or behind one that the expirer
 * has not been told of yet. What expires in that is not dealt with. O(records of the group). */
static uint64_t expired_to(const struct firn_writer *w)
{
    uint64_t t = w->engine ? firn_engine_expired_to(w->engine) : 0;
    for (size_t i = 0; t && i < w->napplying; i++) {
        const struct firn_record *r = &w->applying[i];
        if (r->kind == FIRN_RECORD_PUT && r->expiry_ms && r->expiry_ms < t)
            t = r->expiry_ms;
    }
    return t;
}

static void freeze(struct firn_writer *w)
{
    struct firn_err err = {0};
    w->rotate_wanted = false;
    firn_memory_active(&w->memory)->expired_to_ms = expired_to(w);
    enum firn_status s = firn_memory_rotate(&w->memory);
    if (s == FIRN_LIMIT) {
        /* Memory is short, or flushes lag: try again. The bounds hold writes back meanwhile. */
        w->rotate_wanted = true;
        if (!firn_timer_running(&w->flush_retry))
            firn_timer_start(w->db.env, &w->flush_retry, RETRY_NS);
        return;
    }
    if (s == FIRN_OK)
        s = firn_writer__install_view(w, w->manifest, &err);
    if (s != FIRN_OK) {
        (void)firn_fail(&err, s, "no view after freezing a memtable: %s", firn_status_name(s));
        firn_writer__finish(w, FIRN_WRITER_FAILED, &err);
    }
}

uint64_t firn_writer__memtable_bytes(const struct firn_writer *w)
{
    const struct firn_budget *b = &w->budget;
    uint64_t limit = firn_budget_cap(b, FIRN_BUDGET_MEMTABLES, 4, w->settings->memtable_bytes);
    return firn_budget_cap(b, FIRN_BUDGET_TABLES, 1, limit);
}

void firn_writer__maybe_freeze(struct firn_writer *w)
{
    const struct firn_memory_part *p = firn_memory_active(&w->memory);
    if (w->rotate_wanted || firn_memtable_bytes(p->table) >= firn_writer__memtable_bytes(w) ||
        p->slots >= w->settings->wal_slots_max ||
        p->raw_bytes >= w->settings->unflushed_bytes_max / 2 ||
        firn_memtable_tombs(p->table, NULL) >= FIRN_MEMTABLE_TOMBS_MAX)
        freeze(w);
}

void firn_writer__freeze_now(struct firn_writer *w)
{
    if (w->db.open_gate) {
        w->rotate_wanted = true; /* at the boundary, when the open batch closes */
        firn_append_close_now(w->append);
        return;
    }
    freeze(w);
    firn_writer__flush_next(w);
}

void firn_writer__freeze_large(struct firn_db *db, uint64_t bytes)
{
    struct firn_writer *w = db->role;
    if (w->state == WRITER_SERVING &&
        firn_memtable_bytes(firn_memory_active(&w->memory)->table) >= bytes)
        firn_writer__freeze_now(w);
}

bool firn_writer__all_flushed(const struct firn_writer *w)
{
    const struct firn_memory_part *p = &w->memory.part[w->memory.parts - 1];
    return !w->flush && w->memory.parts == 1 && firn_place_eq(p->first, p->end);
}

/* An idle database has an empty log, so that a cold reader finds everything in tables. */
static void idle_due(void *arg)
{
    struct firn_writer *w = arg;
    if (w->state != WRITER_SERVING || firn_writer__all_flushed(w))
        return;
    uint64_t now = firn_boot_ns(w->db.env);
    uint64_t idle = w->settings->idle_flush_ns;
    if (now - w->last_close_ns < idle || firn_writer__l0_tables(w) >= w->settings->l0_slow_tables) {
        uint64_t since = now - w->last_close_ns;
        firn_timer_start(w->db.env, &w->idle_timer, since < idle ? idle - since : idle);
        return;
    }
    firn_writer__freeze_now(w);
}

void firn_writer__idle_touch(struct firn_writer *w)
{
    if (w->settings->idle_flush_ns && !firn_timer_running(&w->idle_timer))
        firn_timer_start(w->db.env, &w->idle_timer, w->settings->idle_flush_ns);
}

void firn_writer__idle_retime(struct firn_writer *w)
{
    if (firn_timer_running(&w->idle_timer))
        firn_timer_start(w->db.env, &w->idle_timer, 0); /* it reckons anew */
}

void firn_writer__flush_init(struct firn_writer *w)
{
    w->idle_timer.fn = idle_due;
    w->idle_timer.arg = w;
    w->flush_retry.fn = retry_due;
    w->flush_retry.arg = w;
}
