#include "compactor/compactor_merge_priv.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "format/version.h"
#include "manifest/settings.h"

#include <inttypes.h>

#define UPLOADS_MAX 2 /* finished tables on their way to the store */

static void pump(struct compactor_merge *j);

/* ---- memory */

void firn_compactor__merge_count(struct compactor_merge *j)
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

void firn_compactor__merge_get(struct compactor_merge *j, struct firn_store_op *op)
{
    j->under_way++;
    j->on_the_way += op->req.length;
    firn_compactor__merge_count(j);
    firn_store_submit(j->c->store, op);
}

/* ---- the end of a job */

static void free_job(struct compactor_merge *j)
{
    for (size_t i = 0; i < j->inputs; i++)
        firn_compactor__input_clear(&j->input[i]);
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
void firn_compactor__merge_end_if_idle(struct compactor_merge *j)
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
void firn_compactor__merge_fail(struct compactor_merge *j, enum firn_status s,
                                const struct firn_err *err, const char *what, const char *name)
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
    if (j->phase < MERGE_COMMITTING)
        firn_compactor__merge_fail(j, FIRN_TRANSIENT, NULL, "job", "cancelled");
}

/* ---- merging */

static enum firn_status fill_source(struct compactor_source *s)
{
    s->table = firn_calloc(s->tables + 1, sizeof *s->table);
    s->of = firn_calloc(s->tables + 1, sizeof *s->of);
    if (!s->table || !s->of)
        return FIRN_LIMIT;
    for (size_t i = 0; i < s->tables; i++) {
        const struct compactor_input *in = &s->first[i];
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

/* A table says the newest format of anything in it: a writer that claimed its epoch after us may
 * write a newer one than ours. We know it, or could not read it. */
static uint16_t format_of(const struct compactor_merge *j)
{
    uint64_t format = j->c->format;
    for (size_t i = 0; i < j->inputs; i++)
        format = j->input[i].ref->format > format ? j->input[i].ref->format : format;
    return format < firn_format_newest ? (uint16_t)format : firn_format_newest;
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
        .format = format_of(j),
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

enum firn_status firn_compactor__merge_begin(struct compactor_merge *j, struct firn_err *err)
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
    j->phase = MERGE_MERGING;
    pump(j);
    return FIRN_OK;
}

static void fetched(struct firn_store_op *op)
{
    struct compactor_source *s = op->arg;
    struct compactor_merge *j = s->job;
    j->under_way--;
    j->bytes_read += op->req.reply.len;
    s->fetching = false; /* it counts until it was fed */
    s->fetched = true;
    if (op->status != FIRN_OK)
        firn_compactor__merge_fail(j, op->status, &op->req.err, "reading blocks of", op->req.key);
    if (!j->failed)
        pump(j);
    firn_compactor__merge_end_if_idle(j);
}

/* Hand over what came and ask for what is next. Never while the job runs. */
static enum firn_status feed(struct compactor_merge *j)
{
    for (size_t i = 0; i < j->sources; i++) {
        struct compactor_source *s = &j->source[i];
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
        firn_compactor__merge_get(j, &s->op);
    }
    return FIRN_OK;
}

static void uploaded(struct firn_store_upload *u)
{
    struct compactor_output *o = u->arg;
    struct compactor_merge *j = o->job;
    j->under_way--;
    j->uploading--;
    j->uploading_bytes -= o->object.bytes.len;
    firn_buf_clear(&o->object.bytes);
    firn_compactor__merge_count(j);
    if (u->status != FIRN_OK)
        firn_compactor__merge_fail(j, u->status, &u->err, "writing", o->name);
    if (!j->failed)
        pump(j);
    firn_compactor__merge_end_if_idle(j);
}

/* Take a finished table and send it off. */
static enum firn_status upload(struct compactor_merge *j)
{
    struct compactor_output *o = firn_calloc(1, sizeof *o);
    struct compactor_output **more = firn_realloc(j->output, (j->outputs + 1) * sizeof *more);
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

/* The merge has failed: name what it could not read. */
static void merge_failed(struct compactor_merge *j)
{
    struct firn_err err = {0};
    enum firn_status status = firn_merge_status(j->merge);
    for (size_t i = 0; i < j->sources; i++) {
        const struct firn_table_stream *s = firn_merge_stream(j->merge, i);
        if (!s->damaged)
            continue;
        const char *name = j->source[i].of[s->at]->name;
        (void)firn_fail(&err, status, "block at offset %" PRIu64 ": %s",
                        s->table[s->at].index->block[s->block].offset, firn_status_name(status));
        firn_compactor__merge_fail(j, status, &err, "merging", name);
        return;
    }
    firn_compactor__merge_fail(j, status, NULL, "merging into", "new tables");
}

static void ran(struct firn_job *job)
{
    struct compactor_merge *j = job->arg;
    j->under_way--;
    j->running = false;
    firn_compactor__merge_count(j);
    if (!j->failed && j->event == FIRN_MERGE_FAILED)
        merge_failed(j);
    if (!j->failed && j->event == FIRN_MERGE_OUTPUT && upload(j) != FIRN_OK)
        firn_compactor__merge_fail(j, FIRN_LIMIT, NULL, "writing", "a table");
    if (!j->failed)
        pump(j);
    firn_compactor__merge_end_if_idle(j);
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
    if (j->running || j->phase != MERGE_MERGING)
        return;
    enum firn_status s = feed(j);
    if (s != FIRN_OK) {
        firn_compactor__merge_fail(j, s, NULL, "merging into", "new tables");
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
    FIRN_SOMETIMES_IF(st->tombstones_dropped, "compactor: a merge dropped tombstones");
    FIRN_SOMETIMES_IF(st->expired_dropped, "compactor: a merge dropped what had expired");
    FIRN_SOMETIMES_IF(j->plan.whole, "compactor: a merge for garbage alone");
    FIRN_SOMETIMES_IF(j->part.nsplit, "compactor: a partition split");
    FIRN_SOMETIMES_IF(j->outputs == 0, "compactor: a merge left nothing");
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
        firn_compactor__merge_fail(j, it->status, &it->err, "committing", "a compaction");
        firn_compactor__merge_end_if_idle(j);
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
    j->phase = MERGE_COMMITTING;
    j->names = firn_calloc(j->inputs + 1, sizeof *j->names);
    j->refs = firn_calloc(j->outputs + 1, sizeof *j->refs);
    if (!j->names || !j->refs) {
        firn_compactor__merge_fail(j, FIRN_LIMIT, NULL, "committing", "a compaction");
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
                                          j->split, COMPACTOR_SPLITS_MAX);
    j->c->next_number = j->first_number + j->outputs;
    j->intent.compaction = (struct firn_compaction){&j->part, 1, j->c->next_number};
    j->intent.base.done = committed;
    j->intent.base.arg = j;
    j->under_way++;
    firn_manifest_compaction(j->c->mnode, &j->intent);
}

/* ---- beginning */

static void begin(void *arg)
{
    struct compactor_merge *j = arg;
    j->under_way--;
    firn_compactor__inputs_load(j);
    firn_compactor__merge_end_if_idle(j);
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
    enum firn_status s = firn_compactor__inputs_list(j);
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
