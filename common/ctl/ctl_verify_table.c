/* One table object: header -> partitions, head and footer -> blocks, in chunks that are fetched and
 * checked in parallel -> what they add up to. Keys of block i lie between separators i and i + 1,
 * so that each chunk can be checked by itself. */
#include "ctl/ctl_verify_priv.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

#define CHUNKS_AT_ONCE 4
#define CHUNK_BYTES (UINT64_C(1) << 20) /* unless one block alone is larger */

struct chunk {
    struct verify_table *t;
    struct firn_store_op op;
    struct firn_job job;
    struct verify_blocks blocks;
    bool busy;
};

struct verify_table {
    struct verify *v;
    struct verify_ref *ref;
    struct firn_table_loc loc;
    char key[FIRN_NAME_MAX];
    struct firn_store_op op; /* header, metadata */
    struct firn_job job;     /* decoding metadata */
    struct verify_meta meta;
    enum firn_status meta_status; /* of decoding it: the first error … */
    uint64_t meta_offset;         /* … in what lies here */
    struct firn_err meta_err;
    uint32_t next_block;
    struct chunk chunk[CHUNKS_AT_ONCE];
    unsigned busy;
    struct verify_totals totals;
    bool unread; /* something of it could not be read: its sums say nothing */
    void (*done)(struct verify_table *t);
    struct firn_defer ended;
};

struct verify *firn_ctl__verify_table_of(const struct verify_table *t)
{
    return t->v;
}

void firn_ctl__verify_table_free(struct verify_table *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i < CHUNKS_AT_ONCE; i++) {
        firn_store_op_clear(&t->chunk[i].op);
        firn_ctl__verify_blocks_clear(&t->chunk[i].blocks);
    }
    firn_store_op_clear(&t->op);
    firn_table_parts_clear(&t->meta.parts);
    firn_table_head_free(t->meta.head);
    firn_table_part_free(t->meta.index);
    for (unsigned i = 0; i < FIRN_TABLE_PARTS_MAX; i++)
        firn_table_part_free(t->meta.part[i]);
    firn_defer_cancel(t->v->c->env, &t->ended);
    firn_free(t);
}

static void call_done(void *arg)
{
    struct verify_table *t = arg;
    t->done(t);
}

static void finish(struct verify_table *t)
{
    firn_defer(t->v->c->env, &t->ended);
}

static void fetch(struct verify_table *t, struct firn_store_op *op, uint64_t offset,
                  uint64_t length, void (*done)(struct firn_store_op *op), void *arg)
{
    firn_store_op_clear(op);
    firn_store_op_init(op);
    op->req.op = FIRN_OS_GET;
    op->req.key = t->key;
    op->req.offset = offset;
    op->req.length = length;
    op->req.reply_max = length;
    op->flags = FIRN_STORE_HEDGE;
    op->deadline_ns = firn_boot_ns(t->v->c->env) + CTL_DEADLINE_NS;
    op->done = done;
    op->arg = arg;
    firn_store_submit(t->v->c->store, op);
}

/* The answer to a GET of this object; false: it was not had, and that has been said. */
static bool usable(struct verify_table *t, const struct firn_store_op *op, uint64_t offset,
                   uint64_t length)
{
    if (op->status == FIRN_ABSENT) {
        t->ref->missing = true; /* the manifest is asked again before this is an error */
        return false;
    }
    if (op->status != FIRN_OK) {
        firn_ctl__verify_error(
            t->v, "%s: cannot read %" PRIu64 " bytes at offset %" PRIu64 ": %s", t->key, length,
            offset, op->req.err.text[0] ? op->req.err.text : firn_status_name(op->status));
        return false;
    }
    if (op->req.reply.len != length) {
        firn_ctl__verify_error(
            t->v, "%s: %zu bytes at offset %" PRIu64 " instead of %" PRIu64 ": it is cut off",
            t->key, op->req.reply.len, offset, length);
        return false;
    }
    t->v->bytes_done += length;
    return true;
}

/* ---- sums */

static void compare(struct verify_table *t, const char *what, uint64_t counted, uint64_t props,
                    uint64_t manifest)
{
    if (counted != props)
        firn_ctl__verify_error(t->v, "%s: %s: %" PRIu64 ", its properties say %" PRIu64, t->key,
                               what, counted, props);
    if (counted != manifest)
        firn_ctl__verify_error(t->v, "%s: %s: %" PRIu64 ", the manifest says %" PRIu64, t->key,
                               what, counted, manifest);
}

static void compare_sums(struct verify_table *t)
{
    struct verify_totals *s = &t->totals;
    const struct firn_table_head *h = t->meta.head;
    const struct firn_table_props *p = &h->props;
    const Firn__Table *r = t->ref->table;
    for (size_t i = 0; i < h->tombs; i++) {
        uint64_t seqno = h->tomb[i].seqno;
        s->min_seqno = seqno < s->min_seqno ? seqno : s->min_seqno;
        s->max_seqno = seqno > s->max_seqno ? seqno : s->max_seqno;
    }
    if (!s->expiring)
        s->min_expiry_ms = 0;
    compare(t, "entries", s->entries, p->entries, r->entries);
    compare(t, "tombstones", s->tombstones, p->tombstones, r->tombstones);
    compare(t, "range tombstones", h->tombs, p->range_tombstones, r->range_tombstones);
    compare(t, "raw bytes", s->raw_bytes, p->raw_bytes, r->raw_bytes);
    compare(t, "lowest seqno", s->min_seqno, p->min_seqno, r->min_seqno);
    compare(t, "highest seqno", s->max_seqno, p->max_seqno, r->max_seqno);
    compare(t, "earliest expiry", s->min_expiry_ms, p->min_expiry_ms, r->min_expiry_ms);
    compare(t, "latest expiry", s->max_expiry_ms, p->max_expiry_ms, r->max_expiry_ms);
    compare(t, "expiring entries", s->expiring, p->expiring, r->expiring);
    compare(t, "bytes of keys", s->key_bytes, p->key_bytes, s->key_bytes);
    compare(t, "bytes of values", s->value_bytes, p->value_bytes, s->value_bytes);
}

/* ---- blocks */

static void next_chunks(struct verify_table *t);

static void merge(struct verify_table *t, struct chunk *k)
{
    const struct verify_blocks *b = &k->blocks;
    for (unsigned i = 0; i < b->errors && i < VERIFY_BLOCK_ERRORS; i++)
        firn_ctl__verify_error(t->v, "%s: %s", t->key, b->err[i].text);
    if (b->errors > VERIFY_BLOCK_ERRORS)
        firn_ctl__verify_error(t->v, "%s: %u more errors in blocks %u to %u", t->key,
                               b->errors - VERIFY_BLOCK_ERRORS, b->first, b->end - 1);
    if (b->no_memory)
        firn_ctl__verify_error(t->v, "%s: out of memory: blocks %u to %u were not checked", t->key,
                               b->first, b->end - 1);
    t->unread |= b->unread;
    firn_ctl__verify_totals_add(&t->totals, &b->totals);
}

static void chunk_checked(struct firn_job *job)
{
    struct chunk *k = job->arg;
    merge(k->t, k);
    k->busy = false;
    k->t->busy--;
    next_chunks(k->t);
}

static void check_chunk(struct firn_job *job)
{
    firn_ctl__verify_blocks_run(&((struct chunk *)job->arg)->blocks);
}

static void got_chunk(struct firn_store_op *op)
{
    struct chunk *k = op->arg;
    struct verify_table *t = k->t;
    if (!usable(t, op, op->req.offset, op->req.length)) {
        t->unread = true;
        k->busy = false;
        t->busy--;
        next_chunks(t);
        return;
    }
    k->blocks.stored = firn_buf_slice(&op->req.reply);
    k->job = (struct firn_job){.run = check_chunk, .done = chunk_checked, .arg = k};
    firn_exec(t->v->c->env, &k->job);
}

static void fetch_chunk(struct verify_table *t, struct chunk *k)
{
    const struct firn_table_block *b = t->meta.index->block;
    uint64_t from = b[t->next_block].offset, to = from;
    k->blocks.meta = &t->meta;
    k->blocks.ref = t->ref->table;
    k->blocks.first = t->next_block;
    do {
        to += b[t->next_block++].stored_len;
    } while (t->next_block < verify_blocks_of(&t->meta) &&
             to + b[t->next_block].stored_len - from <= CHUNK_BYTES);
    k->blocks.end = t->next_block;
    k->t = t;
    k->busy = true;
    t->busy++;
    fetch(t, &k->op, from, to - from, got_chunk, k);
}

static void next_chunks(struct verify_table *t)
{
    for (unsigned i = 0; i < CHUNKS_AT_ONCE && !t->ref->missing; i++)
        if (!t->chunk[i].busy && t->next_block < verify_blocks_of(&t->meta))
            fetch_chunk(t, &t->chunk[i]);
    if (t->busy)
        return;
    if (!t->unread && !t->ref->missing)
        compare_sums(t);
    t->v->entries += t->totals.entries;
    finish(t);
}

/* ---- metadata */

static void check_tombs(struct verify_table *t)
{
    const Firn__Table *r = t->ref->table;
    for (size_t i = 0; i < t->meta.head->tombs; i++) {
        const struct firn_range_tomb *x = &t->meta.head->tomb[i];
        if (firn_slice_cmp(x->start, firn_pb_slice(&r->lower)) < 0 ||
            (x->end.len && firn_slice_cmp(x->end, firn_pb_slice(&r->upper)) > 0))
            firn_ctl__verify_error(t->v,
                                   "%s: range tombstone %zu lies outside of the manifest's bounds "
                                   "of the table",
                                   t->key, i);
    }
}

static void check_footer(struct verify_table *t)
{
    struct firn_slice tail = firn_buf_slice(&t->op.req.reply);
    struct firn_slice footer =
        firn_slice_of(tail.data + tail.len - FIRN_TABLE_FOOTER_BYTES, FIRN_TABLE_FOOTER_BYTES);
    struct firn_table_loc loc;
    struct firn_err err = {0};
    enum firn_status s = firn_table_footer_decode(footer, t->loc.size, &loc, &err);
    if (s != FIRN_OK)
        firn_ctl__verify_error(t->v, "%s: footer at offset %" PRIu64 ": %s", t->key,
                               t->loc.size - FIRN_TABLE_FOOTER_BYTES,
                               err.text[0] ? err.text : firn_status_name(s));
    else if (loc.table_id != t->loc.table_id || loc.head_offset != t->loc.head_offset ||
             loc.head_length != t->loc.head_length || loc.head_checksum != t->loc.head_checksum)
        firn_ctl__verify_error(t->v,
                               "%s: footer at offset %" PRIu64 ": the manifest says otherwise",
                               t->key, t->loc.size - FIRN_TABLE_FOOTER_BYTES);
}

/* Each partition by itself, as readers do; then all as one index, which they must make. */
static void decode_parts(struct verify_table *t, struct firn_slice bytes)
{
    struct verify_meta *m = &t->meta;
    const struct firn_table_parts *p = &m->parts;
    for (uint32_t i = 0; t->meta_status == FIRN_OK && i < p->sep.count; i++) {
        struct firn_slice one = firn_slice_of(bytes.data + firn_table_parts_bytes(p, 0, i),
                                              firn_table_parts_bytes(p, i, i + 1));
        t->meta_offset = p->offset[i];
        t->meta_status =
            firn_table_part_decode(one, t->loc.table_id, p, i, &m->part[i], &t->meta_err);
    }
    if (t->meta_status != FIRN_OK || p->sep.count == 0)
        return;
    t->meta_offset = p->offset[0];
    t->meta_status = firn_table_index_decode(bytes, t->loc.table_id, p, 0, p->sep.count, &m->index,
                                             &t->meta_err);
}

static void decode_meta(struct firn_job *job)
{
    struct verify_table *t = job->arg;
    const struct firn_table_parts *p = &t->meta.parts;
    size_t parts_len = firn_table_parts_bytes(p, 0, p->sep.count);
    struct firn_slice all = firn_buf_slice(&t->op.req.reply);
    struct firn_slice head = firn_slice_of(all.data + parts_len, t->loc.head_length);
    t->meta_offset = t->loc.head_offset;
    t->meta_status = firn_table_head_decode(head, &t->loc, &t->meta.head, &t->meta_err);
    if (t->meta_status == FIRN_OK && !firn_table_parts_same(&t->meta.head->parts, p))
        t->meta_status = firn_fail(&t->meta_err, FIRN_CORRUPT,
                                   "the head names other partitions than the manifest");
    if (t->meta_status == FIRN_OK)
        decode_parts(t, firn_slice_of(all.data, parts_len));
}

static void meta_decoded(struct firn_job *job)
{
    struct verify_table *t = job->arg;
    check_footer(t);
    firn_store_op_clear(&t->op);
    if (t->meta_status != FIRN_OK) {
        firn_ctl__verify_error(
            t->v, "%s: metadata at offset %" PRIu64 ": %s", t->key, t->meta_offset,
            t->meta_err.text[0] ? t->meta_err.text : firn_status_name(t->meta_status));
        finish(t);
        return;
    }
    check_tombs(t);
    next_chunks(t);
}

static void got_tail(struct firn_store_op *op)
{
    struct verify_table *t = op->arg;
    if (!usable(t, op, op->req.offset, op->req.length)) {
        finish(t);
        return;
    }
    t->job = (struct firn_job){.run = decode_meta, .done = meta_decoded, .arg = t};
    firn_exec(t->v->c->env, &t->job);
}

/* ---- header */

static void got_header(struct firn_store_op *op)
{
    struct verify_table *t = op->arg;
    struct firn_err err = {0};
    if (!usable(t, op, 0, FIRN_TABLE_HEADER_BYTES)) {
        finish(t);
        return;
    }
    if (firn_table_header_check(firn_buf_slice(&op->req.reply), t->loc.table_id, &err) != FIRN_OK)
        firn_ctl__verify_error(t->v, "%s: header at offset 0: %s", t->key, err.text);
    if (op->req.size != t->loc.size) {
        firn_ctl__verify_error(t->v, "%s: %" PRIu64 " bytes, the manifest says %" PRIu64, t->key,
                               op->req.size, t->loc.size);
        if (op->req.size < t->loc.size) {
            finish(t);
            return;
        }
    }
    uint64_t from = t->meta.parts.offset[0];
    fetch(t, &t->op, from, t->loc.size - from, got_tail, t);
}

/* Does the manifest's reference make sense by itself? */
static bool reference_ok(struct verify_table *t)
{
    struct firn_table_name name = firn_table_name_of(t->ref->table);
    struct firn_err err = {0};
    if (firn_table_parts_of(t->ref->table, &t->meta.parts, &err) != FIRN_OK) {
        firn_ctl__verify_error(t->v, "%s: the manifest: %s", t->key, err.text);
        return false;
    }
    if (t->loc.table_id != firn_table_id(&t->v->c->db, &name))
        firn_ctl__verify_error(t->v, "%s: the manifest's table id is not that of the name", t->key);
    return true;
}

enum firn_status firn_ctl__verify_table_start(struct verify *v, struct verify_ref *ref,
                                              void (*done)(struct verify_table *t),
                                              struct verify_table **out)
{
    struct verify_table *t = firn_calloc(1, sizeof *t);
    if (!t)
        return FIRN_LIMIT;
    struct firn_table_name name = firn_table_name_of(ref->table);
    t->v = v;
    t->ref = ref;
    t->loc = firn_table_loc_of(ref->table);
    t->done = done;
    t->ended = (struct firn_defer){.fn = call_done, .arg = t};
    firn_ctl__verify_totals_init(&t->totals);
    firn_name_table(t->key, firn_id_short(&v->c->db), &name);
    *out = t;
    if (reference_ok(t))
        fetch(t, &t->op, 0, FIRN_TABLE_HEADER_BYTES, got_header, t);
    else
        finish(t);
    return FIRN_OK;
}
