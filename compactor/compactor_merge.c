#include "compactor/compactor_priv.h"

#include "base/assert.h"
#include "base/mem.h"
#include "lsm/merge.h"
#include "manifest/settings.h"

#include <inttypes.h>

#define LOADS_MAX 8   /* GETs of metadata at a time */
#define UPLOADS_MAX 2 /* finished tables on their way to the store */
#define SPLITS_MAX 64

/* A table that goes into the job. */
struct input {
    const Firn__Table *ref; /* the manifest's */
    struct compactor_merge *job;
    char name[FIRN_NAME_MAX];
    struct firn_slice lower, upper; /* what counts of it in this job */
    struct firn_table_parts parts;
    uint32_t first, end;          /* the partitions with those keys; none where they are equal */
    struct firn_table_head *head; /* where it has range tombstones */
    struct firn_table_part *index;
    struct firn_store_op op; /* GET of the one or the others */
    bool is_l0;
    bool skipped; /* a newer range tombstone covers it: never read */
};

/* A run of the merge, or the tables of one flush, and the GET of its next blocks. */
struct source {
    struct compactor_merge *job;
    struct input *first; /* its tables among the inputs */
    size_t tables;
    struct firn_stream_table *table;
    const struct input **of; /* per stream table: its input */
    size_t ntable;
    struct firn_store_op op;
    bool fetching, fetched;
};

/* A table that came out. */
struct output {
    struct compactor_merge *job;
    struct firn_table_object object;
    char name[FIRN_NAME_MAX];
    struct firn_store_upload upload;
};

enum phase {
    LOADING_TOMBS, /* heads of the inputs that have range tombstones */
    LOADING,       /* indexes of those that are not covered */
    MERGING,
    COMMITTING,
};

struct compactor_merge {
    struct firn_compactor *c;
    struct firn_manifest *manifest; /* the one the plan is of; referenced */
    struct firn_plan plan;
    enum phase phase;
    struct input *input;
    size_t inputs, loading, next_load;
    struct source *source;
    size_t sources, flushes; /* the first so many of them are flushes, the others runs */
    size_t chunk_bytes;      /* of one GET of blocks */
    struct firn_merge *merge;
    enum firn_merge_event event;
    struct firn_defer begin;
    struct firn_job job;
    bool running, started;
    bool tombs; /* some L0 input has range tombstones */
    struct output **output;
    size_t outputs, uploading;
    uint64_t uploading_bytes, on_the_way; /* tables; what GETs were asked for */
    uint64_t metadata_bytes;
    unsigned under_way; /* callbacks to come */
    bool failed;
    enum firn_status status;
    struct firn_err err;
    uint64_t began_ns, bytes_read, bytes_out;
    uint64_t first_number;
    struct firn_compaction_intent intent;
    struct firn_compaction_part part;
    struct firn_table_name *names; /* of all inputs: L0 first */
    Firn__Table **refs;            /* of the outputs */
    struct firn_slice split[SPLITS_MAX];
};

static void pump(struct compactor_merge *j);

/* ---- memory */

/* Tell the budget what the job holds. Not while a step runs: what that adds is counted after it. */
static void count(struct compactor_merge *j)
{
    struct firn_budget *b = &j->c->budget;
    uint64_t in = j->on_the_way, out = j->uploading_bytes;
    if (j->running)
        return;
    if (j->merge) {
        in += firn_merge_input_bytes(j->merge);
        out += firn_merge_output_bytes(j->merge);
    }
    firn_budget_set(b, FIRN_BUDGET_PINNED, j->metadata_bytes);
    firn_budget_set(b, FIRN_BUDGET_FETCHES, in);
    firn_budget_set(b, FIRN_BUDGET_TABLES, out);
}

static void send_get(struct compactor_merge *j, struct firn_store_op *op)
{
    j->under_way++;
    j->on_the_way += op->req.length;
    count(j);
    firn_store_submit(j->c->store, op);
}

/* ---- the end of a job */

static void clear_input(struct input *in)
{
    firn_store_op_clear(&in->op);
    firn_table_parts_clear(&in->parts);
    firn_table_head_free(in->head);
    firn_table_part_free(in->index);
}

static void free_job(struct compactor_merge *j)
{
    for (size_t i = 0; i < j->inputs; i++)
        clear_input(&j->input[i]);
    for (size_t i = 0; i < j->sources; i++) {
        firn_store_op_clear(&j->source[i].op);
        firn_free(j->source[i].table);
        firn_free(j->source[i].of);
    }
    firn_merge_free(j->merge);
    for (size_t i = 0; i < j->outputs; i++) {
        firn_table_object_clear(&j->output[i]->object);
        firn_free(j->output[i]);
    }
    firn_budget_set(&j->c->budget, FIRN_BUDGET_PINNED, 0);
    firn_budget_set(&j->c->budget, FIRN_BUDGET_FETCHES, 0);
    firn_budget_set(&j->c->budget, FIRN_BUDGET_TABLES, 0);
    firn_free(j->input);
    firn_free(j->source);
    firn_free(j->output);
    firn_free(j->names);
    firn_free(j->refs);
    firn_plan_clear(&j->plan);
    firn_manifest_unref(j->manifest);
    firn_free(j);
}

/* When nothing is under way any more: report and free. */
static void end_if_idle(struct compactor_merge *j)
{
    if (!j->failed || j->under_way)
        return;
    struct firn_compactor *c = j->c;
    struct firn_err err = j->err;
    enum firn_status s = j->status;
    c->next_number =
        j->first_number + j->outputs + 1; /* what was begun is never used again (I10) */
    free_job(j);
    firn_compactor__merged(c, s, &err, NULL);
    firn_compactor__settled(c);
}

static void cancel_all(struct compactor_merge *j)
{
    for (size_t i = 0; i < j->inputs; i++)
        firn_store_cancel(j->c->store, &j->input[i].op);
    for (size_t i = 0; i < j->sources; i++)
        firn_store_cancel(j->c->store, &j->source[i].op);
    for (size_t i = 0; i < j->outputs; i++)
        firn_store_upload_cancel(j->c->store, &j->output[i]->upload);
}

/* The first failure counts; the job ends when all callbacks have come (from a callback's
 * end_if_idle). */
static void fail(struct compactor_merge *j, enum firn_status s, const struct firn_err *err,
                 const char *what, const char *name)
{
    if (j->failed)
        return;
    j->failed = true;
    j->status = s;
    (void)firn_fail(&j->err, s, "%s %s: %s", what, name,
                    err && err->text[0] ? err->text : firn_status_name(s));
    cancel_all(j);
}

void firn_compactor__merge_cancel(struct firn_compactor *c)
{
    struct compactor_merge *j = c->merge;
    if (j->phase < COMMITTING)
        fail(j, FIRN_TRANSIENT, NULL, "job", "cancelled");
}

static struct firn_slice larger(struct firn_slice a, struct firn_slice b)
{
    return firn_slice_cmp(a, b) < 0 ? b : a;
}

/* The smaller of two ends, of which b may be unbounded. */
static struct firn_slice smaller_end(struct firn_slice a, struct firn_slice b)
{
    return b.len && firn_slice_cmp(b, a) < 0 ? b : a;
}

/* ---- loading metadata */

static void load_more(struct compactor_merge *j);

static enum firn_status decode(struct input *in, struct firn_slice bytes, struct firn_err *err)
{
    struct firn_table_loc loc = firn_table_loc_of(in->ref);
    enum firn_status s;
    if (in->job->phase == LOADING) {
        s = firn_table_index_decode(bytes, loc.table_id, &in->parts, in->first, in->end, &in->index,
                                    err);
        in->job->metadata_bytes += s == FIRN_OK ? in->index->bytes : 0;
        return s;
    }
    s = firn_table_head_decode(bytes, &loc, &in->head, err);
    in->job->metadata_bytes += s == FIRN_OK ? in->head->bytes : 0;
    if (s == FIRN_OK && !firn_table_parts_same(&in->head->parts, &in->parts))
        s = firn_fail(err, FIRN_CORRUPT, "the head names other partitions than the manifest");
    return s;
}

static void loaded(struct firn_store_op *op)
{
    struct input *in = op->arg;
    struct compactor_merge *j = in->job;
    struct firn_err err = {0};
    j->under_way--;
    j->loading--;
    j->bytes_read += op->req.reply.len;
    enum firn_status s = op->status;
    if (s == FIRN_OK)
        s = decode(in, firn_buf_slice(&op->req.reply), &err);
    else
        err = op->req.err;
    firn_store_op_clear(op);
    j->on_the_way -= op->req.length;
    count(j);
    if (s != FIRN_OK)
        fail(j, s, &err, "reading metadata of", in->name);
    if (!j->failed)
        load_more(j);
    end_if_idle(j);
}

static void load(struct compactor_merge *j, struct input *in)
{
    firn_store_op_init(&in->op);
    in->op.req.op = FIRN_OS_GET;
    in->op.req.key = in->name;
    bool head = j->phase == LOADING_TOMBS;
    in->op.req.offset = head ? in->ref->head_offset : in->parts.offset[in->first];
    in->op.req.length =
        head ? in->ref->head_length : firn_table_parts_bytes(&in->parts, in->first, in->end);
    in->op.done = loaded;
    in->op.arg = in;
    j->loading++;
    send_get(j, &in->op);
}

/* All range tombstones of the tables that have some, as fragments. */
static enum firn_status all_tombs(const struct compactor_merge *j, struct firn_arena *a,
                                  struct firn_range_tomb **out, size_t *nout)
{
    size_t n = 0;
    for (size_t i = 0; i < j->inputs; i++)
        n += j->input[i].head ? j->input[i].head->tombs : 0;
    struct firn_range_tomb *all = firn_malloc((n + 1) * sizeof *all);
    if (!all)
        return FIRN_LIMIT;
    n = 0;
    for (size_t i = 0; i < j->inputs; i++) {
        const struct firn_table_head *h = j->input[i].head;
        for (size_t k = 0; h && k < h->tombs; k++)
            all[n++] = h->tomb[k];
    }
    enum firn_status s = firn_tombs_fragment(all, n, a, out, nout);
    firn_free(all);
    return s;
}

/* Does nothing older than this table lie anywhere? Then what it hides needs not be hidden (I9). */
static bool is_oldest(const struct compactor_merge *j, const struct input *in)
{
    return j->plan.bottom && in >= j->source[j->sources - 1].first;
}

/* Tables that a newer range tombstone covers need not be read, nor do their own range tombstones
 * count: what those delete is covered, too. Clipped inputs only ever hide tombstones from keys that
 * are outside the partition, so the fragments hold for all that counts here. Nor need those be read
 * where all has expired and hides nothing. */
static enum firn_status skip_covered(struct compactor_merge *j)
{
    struct firn_arena arena = {0};
    struct firn_range_tomb *tomb;
    size_t tombs;
    enum firn_status s = all_tombs(j, &arena, &tomb, &tombs);
    for (size_t i = 0; s == FIRN_OK && i < j->inputs; i++) {
        struct input *in = &j->input[i];
        in->skipped = firn_plan_covered(tomb, tombs, firn_table_lower(in->ref),
                                        firn_table_upper(in->ref), in->ref->max_seqno) ||
                      (is_oldest(j, in) && firn_plan_expired(j->manifest->pb, in->ref));
    }
    firn_arena_clear(&arena);
    return s;
}

/* Bytes of a source that are to be rewritten. */
static uint64_t left_of(const struct source *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->tables; i++)
        sum += s->first[i].skipped ? 0 : s->first[i].ref->size;
    return sum;
}

static uint64_t left_of_run(const void *job, size_t run)
{
    const struct compactor_merge *j = job;
    return left_of(&j->source[j->flushes + run]);
}

/* What is covered is known: leave those of the listed runs out that are not worth rewriting. */
static void settle_runs(struct compactor_merge *j)
{
    size_t listed = j->sources - j->flushes, flushes = 0;
    if (j->plan.whole)
        return;
    for (size_t i = 0; i < j->flushes; i++)
        flushes += left_of(&j->source[i]) > 0;
    j->plan.runs = firn_plan_runs_left(&j->plan, flushes, listed, left_of_run, j);
    j->plan.bottom = j->plan.runs == j->manifest->pb->partitions[j->plan.partition]->n_runs;
    j->sources = j->flushes + j->plan.runs;
    if (j->plan.runs == listed)
        return;
    size_t keep = (size_t)(j->source[j->sources].first - j->input);
    while (j->inputs > keep)
        clear_input(&j->input[--j->inputs]);
}

static enum firn_status begin_merge(struct compactor_merge *j, struct firn_err *err);

static void load_more(struct compactor_merge *j)
{
    const struct firn_budget *b = &j->c->budget;
    for (;;) {
        while (j->loading < LOADS_MAX && j->next_load < j->inputs &&
               !(j->loading && firn_budget_full(b, FIRN_BUDGET_FETCHES))) {
            struct input *in = &j->input[j->next_load++];
            bool has_tombs = in->ref->range_tombstones > 0;
            if (j->phase == LOADING_TOMBS ? has_tombs : in->first < in->end && !in->skipped)
                load(j, in);
        }
        if (j->loading)
            return;
        struct firn_err err = {0};
        enum firn_status s;
        if (j->phase == LOADING_TOMBS) {
            s = skip_covered(j);
            if (s == FIRN_OK && j->tombs)
                settle_runs(j);
            for (size_t i = 0; i < j->inputs; i++)
                j->c->stats.tables_unread += j->input[i].skipped;
            j->phase = LOADING;
            j->next_load = 0;
        } else {
            s = begin_merge(j, &err);
        }
        if (s != FIRN_OK)
            fail(j, s, &err, "preparing", "a merge");
        if (s != FIRN_OK || j->phase == MERGING)
            return;
    }
}

/* ---- merging */

static enum firn_status fill_source(struct source *s)
{
    s->table = firn_calloc(s->tables + 1, sizeof *s->table);
    s->of = firn_calloc(s->tables + 1, sizeof *s->of);
    if (!s->table || !s->of)
        return FIRN_LIMIT;
    for (size_t i = 0; i < s->tables; i++) {
        const struct input *in = &s->first[i];
        if (in->skipped)
            continue;
        s->of[s->ntable] = in;
        s->table[s->ntable++] = (struct firn_stream_table){
            .index = in->index,
            .tomb = in->head ? in->head->tomb : NULL,
            .tombs = in->head ? in->head->tombs : 0,
            .lower = in->lower,
            .upper = in->upper,
        };
    }
    return FIRN_OK;
}

static struct firn_table_options table_options(const struct compactor_merge *j)
{
    const struct firn_compactor *c = j->c;
    uint64_t min = UINT64_MAX, max = 0;
    for (size_t i = 0; i < j->inputs; i++) {
        min = j->input[i].ref->min_seqno < min ? j->input[i].ref->min_seqno : min;
        max = j->input[i].ref->max_seqno > max ? j->input[i].ref->max_seqno : max;
    }
    return (struct firn_table_options){
        .db = j->manifest->db,
        .name = {FIRN_ROLE_COMPACTOR, c->epoch, j->first_number},
        .base_seqno = min,
        .max_seqno = max,
        .created_ms = firn_wall_ms(c->env),
        .block_bytes = (uint32_t)c->settings->block_bytes,
        .filter_bits = j->plan.bottom ? FIRN_FILTER_BITS_BOTTOM : FIRN_FILTER_BITS_L0,
        .codec = firn_settings_codec(c->settings),
        .hash_index = true,
    };
}

/* Sources with something to read. */
static size_t streams(const struct compactor_merge *j)
{
    size_t n = 0;
    for (size_t i = 0; i < j->sources; i++) {
        bool any = false;
        for (size_t k = 0; k < j->source[i].tables; k++)
            any |= j->source[i].first[k].index != NULL;
        n += any;
    }
    return n;
}

static enum firn_status begin_merge(struct compactor_merge *j, struct firn_err *err)
{
    size_t n = streams(j);
    enum firn_status s = firn_compactor__chunk_bytes(j->c, n ? n : 1, &j->chunk_bytes, err);
    if (s != FIRN_OK)
        return s;
    struct firn_merge_run_def *run = firn_calloc(j->sources, sizeof *run);
    s = run ? FIRN_OK : FIRN_LIMIT;
    for (size_t i = 0; s == FIRN_OK && i < j->sources; i++) {
        s = fill_source(&j->source[i]);
        run[i] = (struct firn_merge_run_def){j->source[i].table, j->source[i].ntable};
    }
    struct firn_merge_options o = {
        .run = run,
        .runs = j->sources,
        .table = table_options(j),
        .table_bytes = j->c->settings->table_bytes,
        .memory_max = j->c->budget.part[FIRN_BUDGET_TABLES].share / 2,
        .buffer_bytes = 2 * j->chunk_bytes + FIRN_BLOCK_RAW_MAX,
        .bottom = j->plan.bottom,
        .expired_before_ms = firn_plan_expired_before(j->manifest->pb),
    };
    if (s == FIRN_OK)
        s = firn_merge_create(&o, &j->merge);
    firn_free(run);
    if (s != FIRN_OK)
        return s;
    j->phase = MERGING;
    pump(j);
    return FIRN_OK;
}

static void fetched(struct firn_store_op *op)
{
    struct source *s = op->arg;
    struct compactor_merge *j = s->job;
    j->under_way--;
    j->bytes_read += op->req.reply.len;
    s->fetching = false; /* it counts until it was fed */
    s->fetched = true;
    if (op->status != FIRN_OK)
        fail(j, op->status, &op->req.err, "reading blocks of", op->req.key);
    if (!j->failed)
        pump(j);
    end_if_idle(j);
}

/* Hand over what came and ask for what is next. Never while the job runs. */
static enum firn_status feed(struct compactor_merge *j)
{
    for (size_t i = 0; i < j->sources; i++) {
        struct source *s = &j->source[i];
        struct firn_table_stream *stream = firn_merge_stream(j->merge, i);
        if (s->fetched) {
            enum firn_status st = firn_table_stream_feed(stream, firn_buf_slice(&s->op.req.reply));
            firn_store_op_clear(&s->op);
            j->on_the_way -= s->op.req.length;
            s->fetched = false;
            if (st != FIRN_OK)
                return st;
        }
        size_t table;
        uint64_t offset, length;
        if (s->fetching || firn_table_stream_buffered(stream) >= j->chunk_bytes ||
            !firn_table_stream_want(stream, j->chunk_bytes, &table, &offset, &length))
            continue;
        firn_store_op_init(&s->op);
        s->op.req.op = FIRN_OS_GET;
        s->op.req.key = s->of[table]->name;
        s->op.req.offset = offset;
        s->op.req.length = length;
        s->op.req.reply_max = length;
        s->op.done = fetched;
        s->op.arg = s;
        s->fetching = true;
        send_get(j, &s->op);
    }
    return FIRN_OK;
}

static void uploaded(struct firn_store_upload *u)
{
    struct output *o = u->arg;
    struct compactor_merge *j = o->job;
    j->under_way--;
    j->uploading--;
    j->uploading_bytes -= o->object.bytes.len;
    firn_buf_clear(&o->object.bytes);
    count(j);
    if (u->status != FIRN_OK)
        fail(j, u->status, &u->err, "writing", o->name);
    if (!j->failed)
        pump(j);
    end_if_idle(j);
}

/* Take a finished table and send it off. */
static enum firn_status upload(struct compactor_merge *j)
{
    struct output *o = firn_calloc(1, sizeof *o);
    struct output **more = firn_realloc(j->output, (j->outputs + 1) * sizeof *more);
    if (more)
        j->output = more;
    if (!o || !more) {
        firn_free(o);
        return FIRN_LIMIT;
    }
    o->job = j;
    o->object = firn_merge_take(j->merge);
    j->output[j->outputs++] = o;
    j->bytes_out += o->object.bytes.len;
    firn_name_table(o->name, firn_id_short(&j->manifest->db), &o->object.name);
    o->upload.key = o->name;
    o->upload.body = firn_buf_slice(&o->object.bytes);
    o->upload.done = uploaded;
    o->upload.arg = o;
    j->under_way++;
    j->uploading++;
    j->uploading_bytes += o->object.bytes.len;
    firn_store_upload(j->c->store, &o->upload);
    return FIRN_OK;
}

static void run(struct firn_job *job)
{
    struct compactor_merge *j = job->arg;
    j->event = firn_merge_run(j->merge);
}

static void ran(struct firn_job *job)
{
    struct compactor_merge *j = job->arg;
    j->under_way--;
    j->running = false;
    count(j);
    if (!j->failed && j->event == FIRN_MERGE_FAILED)
        fail(j, firn_merge_status(j->merge), NULL, "merging into", "new tables");
    if (!j->failed && j->event == FIRN_MERGE_OUTPUT && upload(j) != FIRN_OK)
        fail(j, FIRN_LIMIT, NULL, "writing", "a table");
    if (!j->failed)
        pump(j);
    end_if_idle(j);
}

/* Would a step end at once, for want of bytes that are on their way? */
static bool is_starved(const struct compactor_merge *j)
{
    if (!j->started || j->event != FIRN_MERGE_INPUT)
        return false;
    size_t i = firn_merge_needs(j->merge);
    return j->source[i].fetching && firn_table_stream_buffered(firn_merge_stream(j->merge, i)) == 0;
}

/* Must finished tables go before another one may grow? */
static bool must_upload(const struct compactor_merge *j)
{
    return j->uploading >= UPLOADS_MAX ||
           j->uploading_bytes > j->c->budget.part[FIRN_BUDGET_TABLES].share / 2;
}

static void commit(struct compactor_merge *j);

/* Keep the merge going: bytes in, a step of the job, tables out, and the commit at the end. */
static void pump(struct compactor_merge *j)
{
    if (j->running || j->phase != MERGING)
        return;
    enum firn_status s = feed(j);
    if (s != FIRN_OK) {
        fail(j, s, NULL, "merging into", "new tables");
        return;
    }
    if (j->started && j->event == FIRN_MERGE_DONE) {
        if (j->uploading == 0)
            commit(j);
        return;
    }
    if (is_starved(j) || must_upload(j))
        return;
    j->started = j->running = true;
    j->job = (struct firn_job){.run = run, .done = ran, .arg = j};
    j->under_way++;
    firn_exec(j->c->env, &j->job);
}

/* ---- committing */

static void note_success(struct compactor_merge *j)
{
    struct firn_compactor *c = j->c;
    const struct firn_merge_stats *st = firn_merge_stats_of(j->merge);
    c->stats.bytes_in += j->bytes_read;
    c->stats.bytes_out += j->bytes_out;
    c->stats.entries_in += st->entries_in;
    c->stats.entries_out += st->entries_out;
    c->stats.splits += j->part.nsplit;
    firn_log_event(&c->obs->log, FIRN_LOG_INFO, "compacted",
                   "l0=%zu runs=%zu tables_in=%zu tables_out=%zu bytes_in=%" PRIu64
                   " bytes_out=%" PRIu64 " entries_in=%" PRIu64 " entries_out=%" PRIu64
                   " bottom=%d splits=%zu took=%" PRIu64 "ms",
                   j->plan.nl0, j->plan.runs, j->inputs, j->outputs, j->bytes_read, j->bytes_out,
                   st->entries_in, st->entries_out, j->plan.bottom, j->part.nsplit,
                   (firn_mono_ns(c->env) - j->began_ns) / FIRN_MS);
}

static void committed(struct firn_intent *it)
{
    struct compactor_merge *j = it->arg;
    struct firn_compactor *c = j->c;
    j->under_way--;
    if (it->status != FIRN_OK) {
        fail(j, it->status, &it->err, "committing", "a compaction");
        end_if_idle(j);
        return;
    }
    struct firn_manifest *m =
        it->manifest; /* the node's until this returns; `it` goes with the job */
    note_success(j);
    free_job(j);
    firn_compactor__merged(c, FIRN_OK, NULL, m);
    firn_compactor__settled(c);
}

/* Replace the inputs by the outputs (I8), cut the partition if it grew too large. */
static void commit(struct compactor_merge *j)
{
    j->phase = COMMITTING;
    j->names = firn_calloc(j->inputs + 1, sizeof *j->names);
    j->refs = firn_calloc(j->outputs + 1, sizeof *j->refs);
    if (!j->names || !j->refs) {
        fail(j, FIRN_LIMIT, NULL, "committing", "a compaction");
        return;
    }
    size_t nl0 = 0;
    for (size_t i = 0; i < j->inputs; i++) {
        j->names[i] = firn_table_name_of(j->input[i].ref);
        nl0 += j->input[i].is_l0;
    }
    for (size_t i = 0; i < j->outputs; i++)
        j->refs[i] = j->output[i]->object.ref;
    j->part = (struct firn_compaction_part){
        .start = j->plan.start,
        .end = j->plan.end,
        .l0_inputs = j->names,
        .nl0_inputs = nl0,
        .inputs = j->names + nl0,
        .ninputs = j->inputs - nl0,
        .outputs = j->refs,
        .noutputs = j->outputs,
        .split = j->split,
    };
    if (j->plan.bottom)
        j->part.nsplit = firn_plan_splits(j->refs, j->outputs, j->c->settings->partition_bytes,
                                          j->split, SPLITS_MAX);
    j->c->next_number = j->first_number + j->outputs;
    j->intent.compaction = (struct firn_compaction){&j->part, 1, j->c->next_number};
    j->intent.base.done = committed;
    j->intent.base.arg = j;
    j->under_way++;
    firn_manifest_compaction(j->c->mnode, &j->intent);
}

/* ---- beginning */

static void add_input(struct compactor_merge *j, const Firn__Table *t, bool is_l0)
{
    struct input *in = &j->input[j->inputs++];
    struct firn_table_name name = firn_table_name_of(t);
    in->ref = t;
    in->job = j;
    in->is_l0 = is_l0;
    firn_name_table(in->name, firn_id_short(&j->manifest->db), &name);
}

static void add_source(struct compactor_merge *j, size_t first, size_t tables)
{
    j->source[j->sources++] =
        (struct source){.job = j, .first = &j->input[first], .tables = tables};
}

/* The tables of each flush are a run of their own; then the runs of the partition: those of the
 * plan, or all where L0 has range tombstones, which may cover whole tables of any run
 * (settle_runs). */
static enum firn_status list_inputs(struct compactor_merge *j)
{
    const Firn__Partition *p = j->manifest->pb->partitions[j->plan.partition];
    for (size_t i = 0; i < j->plan.nl0; i++)
        j->tombs |= j->plan.l0[i]->range_tombstones > 0;
    size_t n = j->plan.nl0, runs = j->tombs ? p->n_runs : j->plan.runs;
    for (size_t r = 0; r < runs; r++)
        n += p->runs[r]->n_tables;
    j->input = firn_calloc(n, sizeof *j->input);
    j->source = firn_calloc(j->plan.nl0 + runs, sizeof *j->source);
    if (!j->input || !j->source)
        return FIRN_LIMIT;
    for (size_t i = 0; i < j->plan.nl0; i++) {
        if (i == 0 || !firn_plan_same_flush(j->plan.l0[i - 1], j->plan.l0[i]))
            add_source(j, j->inputs, 0);
        j->source[j->sources - 1].tables++;
        add_input(j, j->plan.l0[i], true);
    }
    j->flushes = j->sources;
    for (size_t r = 0; r < runs; r++) {
        add_source(j, j->inputs, p->runs[r]->n_tables);
        for (size_t i = 0; i < p->runs[r]->n_tables; i++)
            add_input(j, p->runs[r]->tables[i], false);
    }
    return FIRN_OK;
}

/* Which keys of an input count, and which partitions of its metadata have them. */
static void aim(struct compactor_merge *j, struct input *in)
{
    struct firn_err err = {0};
    in->lower = larger(firn_table_lower(in->ref), j->plan.start);
    in->upper = smaller_end(firn_table_upper(in->ref), j->plan.end);
    enum firn_status s = firn_table_parts_of(in->ref, &in->parts, &err);
    if (s != FIRN_OK)
        fail(j, s, &err, "preparing to read", in->name);
    else if (!firn_table_parts_range(&in->parts, in->lower, in->upper, &in->first, &in->end))
        in->first = in->end = 0;
}

static void begin(void *arg)
{
    struct compactor_merge *j = arg;
    j->under_way--;
    for (size_t i = 0; i < j->inputs && !j->failed; i++)
        aim(j, &j->input[i]);
    if (!j->failed)
        load_more(j);
    end_if_idle(j);
}

enum firn_status firn_compactor__merge_start(struct firn_compactor *c, struct firn_plan *plan)
{
    struct compactor_merge *j = firn_calloc(1, sizeof *j);
    if (!j) {
        firn_plan_clear(plan);
        return FIRN_LIMIT;
    }
    j->c = c;
    j->manifest = c->manifest;
    firn_manifest_ref(j->manifest);
    j->plan = *plan;
    j->began_ns = firn_mono_ns(c->env);
    j->first_number = c->next_number;
    enum firn_status s = list_inputs(j);
    if (s != FIRN_OK) {
        free_job(j);
        return s;
    }
    c->merge = j;
    c->pending++;
    j->under_way++;
    j->begin = (struct firn_defer){.fn = begin, .arg = j};
    firn_defer(c->env, &j->begin);
    return FIRN_OK;
}
