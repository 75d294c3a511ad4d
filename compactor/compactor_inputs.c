/* Which tables a job takes, and their metadata: listing them, what counts of each, leaving out what
 * need not be read or is not worth rewriting. */
#include "compactor/compactor_merge_priv.h"

#include "base/mem.h"
#include "base/sometimes.h"

#define LOADS_MAX 8 /* GETs of metadata at a time */

void firn_compactor__input_clear(struct compactor_input *in)
{
    firn_store_op_clear(&in->op);
    firn_table_parts_clear(&in->parts);
    firn_table_head_free(in->head);
    firn_table_part_free(in->index);
}

/* ---- listing */

static void add_input(struct compactor_merge *j, const Firn__Table *t, bool is_l0)
{
    struct compactor_input *in = &j->input[j->inputs++];
    struct firn_table_name name = firn_table_name_of(t);
    in->ref = t;
    in->job = j;
    in->is_l0 = is_l0;
    firn_name_table(in->name, firn_id_short(&j->manifest->db), &name);
}

static void add_source(struct compactor_merge *j, size_t first, size_t tables)
{
    j->source[j->sources++] =
        (struct compactor_source){.job = j, .first = &j->input[first], .tables = tables};
}

/* The tables of each flush are a run of their own; then the runs of the partition: those of the
 * plan, or all where L0 has range tombstones, which may cover whole tables of any run
 * (settle_runs). */
enum firn_status firn_compactor__inputs_list(struct compactor_merge *j)
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

static struct firn_slice larger(struct firn_slice a, struct firn_slice b)
{
    return firn_slice_cmp(a, b) < 0 ? b : a;
}

/* The smaller of two ends, of which b may be unbounded. */
static struct firn_slice smaller_end(struct firn_slice a, struct firn_slice b)
{
    return b.len && firn_slice_cmp(b, a) < 0 ? b : a;
}

/* Which keys of an input count, and which partitions of its metadata have them. */
static void aim(struct compactor_merge *j, struct compactor_input *in)
{
    struct firn_err err = {0};
    in->lower = larger(firn_table_lower(in->ref), j->plan.start);
    in->upper = smaller_end(firn_table_upper(in->ref), j->plan.end);
    enum firn_status s = firn_table_parts_of(in->ref, &in->parts, &err);
    if (s != FIRN_OK)
        firn_compactor__merge_fail(j, s, &err, "preparing to read", in->name);
    else if (!firn_table_parts_range(&in->parts, in->lower, in->upper, &in->first, &in->end))
        in->first = in->end = 0;
}

/* ---- loading metadata */

static void load_more(struct compactor_merge *j);

static enum firn_status decode(struct compactor_input *in, struct firn_slice bytes,
                               struct firn_err *err)
{
    struct firn_table_loc loc = firn_table_loc_of(in->ref);
    enum firn_status s;
    if (in->job->phase == MERGE_LOADING) {
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
    struct compactor_input *in = op->arg;
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
    firn_compactor__merge_count(j);
    if (s != FIRN_OK)
        firn_compactor__merge_fail(j, s, &err, "reading metadata of", in->name);
    if (!j->failed)
        load_more(j);
    firn_compactor__merge_end_if_idle(j);
}

static void load(struct compactor_merge *j, struct compactor_input *in)
{
    firn_store_op_init(&in->op);
    in->op.req.op = FIRN_OS_GET;
    in->op.req.key = in->name;
    bool head = j->phase == MERGE_LOADING_TOMBS;
    in->op.req.offset = head ? in->ref->head_offset : in->parts.offset[in->first];
    in->op.req.length =
        head ? in->ref->head_length : firn_table_parts_bytes(&in->parts, in->first, in->end);
    in->op.done = loaded;
    in->op.arg = in;
    j->loading++;
    firn_compactor__merge_get(j, &in->op);
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
static bool is_oldest(const struct compactor_merge *j, const struct compactor_input *in)
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
        struct compactor_input *in = &j->input[i];
        in->skipped = firn_plan_covered(tomb, tombs, firn_table_lower(in->ref),
                                        firn_table_upper(in->ref), in->ref->max_seqno) ||
                      (is_oldest(j, in) && firn_plan_expired(j->manifest->pb, in->ref));
    }
    firn_arena_clear(&arena);
    return s;
}

/* Bytes of a source that are to be rewritten. */
static uint64_t left_of(const struct compactor_source *s)
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
        firn_compactor__input_clear(&j->input[--j->inputs]);
}

static void load_more(struct compactor_merge *j)
{
    const struct firn_budget *b = &j->c->budget;
    for (;;) {
        while (j->loading < LOADS_MAX && j->next_load < j->inputs &&
               !(j->loading && firn_budget_full(b, FIRN_BUDGET_FETCHES))) {
            struct compactor_input *in = &j->input[j->next_load++];
            bool has_tombs = in->ref->range_tombstones > 0;
            if (j->phase == MERGE_LOADING_TOMBS ? has_tombs : in->first < in->end && !in->skipped)
                load(j, in);
        }
        if (j->loading)
            return;
        struct firn_err err = {0};
        enum firn_status s;
        if (j->phase == MERGE_LOADING_TOMBS) {
            s = skip_covered(j);
            if (s == FIRN_OK && j->tombs)
                settle_runs(j);
            for (size_t i = 0; i < j->inputs; i++) {
                FIRN_SOMETIMES_IF(j->input[i].skipped, "compactor: a table left unread");
                j->c->stats.tables_unread += j->input[i].skipped;
            }
            j->phase = MERGE_LOADING;
            j->next_load = 0;
        } else {
            s = firn_compactor__merge_begin(j, &err);
        }
        if (s != FIRN_OK)
            firn_compactor__merge_fail(j, s, &err, "preparing", "a merge");
        if (s != FIRN_OK || j->phase == MERGE_MERGING)
            return;
    }
}

void firn_compactor__inputs_load(struct compactor_merge *j)
{
    for (size_t i = 0; i < j->inputs && !j->failed; i++)
        aim(j, &j->input[i]);
    if (!j->failed)
        load_more(j);
}
