/* A manifest with something in every field, and unknown fields in every message, for tests. */
#ifndef FIRN_TESTS_MANIFEST_SAMPLE_H
#define FIRN_TESTS_MANIFEST_SAMPLE_H

#include "base/mem.h"
#include "format/key.h"
#include "format/manifest_codec.h"

#include <stdio.h>
#include <stdlib.h>

#define SAMPLE_OK(e)                                                                               \
    do {                                                                                           \
        if ((e) != FIRN_OK)                                                                        \
            abort();                                                                               \
    } while (0)

static const struct firn_id sample_db = {
    {0xab, 0xcd, 0xef, 1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

/* A table of keys [db 0 `lower`, db 0 `upper`). */
static inline Firn__Table *sample_table(enum firn_role role, uint64_t epoch, uint64_t number,
                                        const char *lower, const char *upper)
{
    Firn__Table *t = firn_pb_table_new();
    char key[64];
    t->role = (Firn__TableRole)role;
    t->epoch = epoch;
    t->number = number;
    t->table_id = 0x1122334455667788u + number;
    t->size = 100000;
    t->head_offset = 90000;
    t->head_length = 9952;
    t->head_checksum = 0xdeadbeef;
    t->entries = 1000;
    t->tombstones = 10;
    t->range_tombstones = 1;
    int n = snprintf(key, sizeof key, "\x10%s", lower);
    SAMPLE_OK(firn_pb_set_bytes(&t->lower, firn_slice_of(key, (size_t)n)));
    n = snprintf(key, sizeof key, "\x10%s", upper);
    SAMPLE_OK(firn_pb_set_bytes(&t->upper, firn_slice_of(key, (size_t)n)));
    t->min_seqno = 5;
    t->max_seqno = 6;
    t->min_expiry_ms = 7;
    t->max_expiry_ms = 8;
    t->raw_bytes = 200000;
    t->format = 1;
    t->part_lengths = firn_malloc(2 * sizeof *t->part_lengths);
    t->part_separator_lengths = firn_malloc(sizeof *t->part_separator_lengths);
    n = snprintf(key, sizeof key, "\x10%s\x7f", lower);
    SAMPLE_OK(firn_pb_set_bytes(&t->part_separators, firn_slice_of(key, (size_t)n)));
    t->n_part_lengths = 2;
    t->part_lengths[0] = 3000;
    t->part_lengths[1] = 4000;
    t->n_part_separator_lengths = 1;
    t->part_separator_lengths[0] = (uint32_t)n;
    return t;
}

static inline void sample_run(Firn__Partition *p, Firn__Table *a, Firn__Table *b)
{
    Firn__Run *r = firn_pb_run_new();
    SAMPLE_OK(firn_pb_insert(&r->tables, &r->n_tables, 0, a));
    if (b)
        SAMPLE_OK(firn_pb_insert(&r->tables, &r->n_tables, 1, b));
    SAMPLE_OK(firn_pb_insert(&p->runs, &p->n_runs, p->n_runs, r));
}

static inline void sample_partitions(Firn__Manifest *m)
{
    Firn__Partition *p = firn_pb_partition_new(), *q = firn_pb_partition_new();
    SAMPLE_OK(firn_pb_set_bytes(&p->end, firn_slice_str("\x10m")));
    SAMPLE_OK(firn_pb_set_bytes(&q->start, firn_slice_str("\x10m")));
    SAMPLE_OK(firn_pb_set_place(&p->l0_upto, (struct firn_place){2, 10}));
    SAMPLE_OK(firn_pb_set_place(&q->l0_upto, (struct firn_place){2, 10}));
    sample_run(p, sample_table(FIRN_ROLE_COMPACTOR, 1, 5, "a", "f"),
               sample_table(FIRN_ROLE_COMPACTOR, 1, 6, "f", "l"));
    sample_run(p, sample_table(FIRN_ROLE_COMPACTOR, 1, 2, "a", "m"), NULL);
    sample_run(q, sample_table(FIRN_ROLE_COMPACTOR, 1, 7, "n", "z"), NULL);
    SAMPLE_OK(firn_pb_insert(&m->partitions, &m->n_partitions, 0, p));
    SAMPLE_OK(firn_pb_insert(&m->partitions, &m->n_partitions, 1, q));
}

static inline void sample_l0(Firn__Manifest *m, uint64_t number, struct firn_place first,
                             struct firn_place end, const char *lower, const char *upper)
{
    Firn__Table *t = sample_table(FIRN_ROLE_WRITER, 2, number, lower, upper);
    SAMPLE_OK(firn_pb_set_place(&t->first, first));
    SAMPLE_OK(firn_pb_set_place(&t->end, end));
    SAMPLE_OK(firn_pb_insert(&m->l0, &m->n_l0, 0, t));
}

static inline void sample_small_lists(Firn__Manifest *m, bool features)
{
    struct firn_id nonce = {{77}};
    Firn__Garbage *g = firn_pb_garbage_new();
    g->role = FIRN__TABLE_ROLE__COMPACTOR;
    g->epoch = 1;
    g->number = 1;
    g->version = 40;
    g->size = 12345;
    SAMPLE_OK(firn_pb_insert(&m->garbage, &m->n_garbage, 0, g));
    Firn__Checkpoint *c = firn_pb_checkpoint_new();
    SAMPLE_OK(firn_pb_set_string(&c->id, "nightly-1"));
    SAMPLE_OK(firn_pb_set_string(&c->label, "before the move"));
    SAMPLE_OK(firn_pb_set_id(&c->nonce, &nonce));
    SAMPLE_OK(firn_pb_set_place(&c->floor, (struct firn_place){2, 3}));
    c->version = 30;
    c->log_time_ms = 1699999990000;
    c->expires_ms = 1800000000000;
    SAMPLE_OK(firn_pb_insert(&m->checkpoints, &m->n_checkpoints, 0, c));
    Firn__Table *adopted = sample_table(FIRN_ROLE_COMPACTOR, 1, 9, "a", "b");
    SAMPLE_OK(firn_pb_insert(&m->adopted, &m->n_adopted, 0, adopted));
    if (!features)
        return;
    Firn__Feature *f = firn_pb_feature_new();
    SAMPLE_OK(firn_pb_set_string(&f->name, "ref"));
    SAMPLE_OK(firn_pb_set_string(&f->since, "2.0"));
    SAMPLE_OK(firn_pb_insert(&m->features_to_read, &m->n_features_to_read, 0, f));
}

/* Writer epoch 2, floor 2/20, L0: w2-4 [2/15, 2/20) keys a..z, w2-3 [2/10, 2/15) keys n..p;
 * partitions [, m) with two runs and [m, ) with one; version 42. */
static inline Firn__Manifest *sample_manifest(bool features)
{
    struct firn_id nonce = {{42}}, parent = {{41}}, process = {{2, 2}};
    Firn__Manifest *m = firn_pb_manifest_new();
    m->format = 1;
    m->version = 42;
    m->parent_version = 41;
    SAMPLE_OK(firn_pb_set_id(&m->database_id, &sample_db));
    SAMPLE_OK(firn_pb_set_id(&m->nonce, &nonce));
    SAMPLE_OK(firn_pb_set_id(&m->parent_nonce, &parent));
    SAMPLE_OK(firn_pb_set_id(&m->writer->process_nonce, &process));
    SAMPLE_OK(firn_pb_set_string(&m->writer->node_id, "node-a"));
    SAMPLE_OK(firn_pb_set_string(&m->writer->address, "10.0.0.1:6379"));
    m->writer->epoch = 2;
    m->writer->heartbeat_kept_ms = 1000;
    m->writer->watermark = 5;
    SAMPLE_OK(firn_pb_set_id(&m->compactor->process_nonce, &process));
    m->compactor->epoch = 2;
    m->compactor->watermark = 10;
    SAMPLE_OK(firn_pb_set_place(&m->floor, (struct firn_place){2, 20}));
    SAMPLE_OK(firn_pb_set_place(&m->kept, (struct firn_place){2, 3}));
    SAMPLE_OK(firn_pb_set_place(&m->l0_start, (struct firn_place){2, 10}));
    m->seqno_at_floor = firn_epoch_seqno(2) + 1000;
    m->log_time_ms = 1700000000000;
    m->expired_to_ms = 1600000000000;
    sample_l0(m, 3, (struct firn_place){2, 10}, (struct firn_place){2, 15}, "n", "p");
    sample_l0(m, 4, (struct firn_place){2, 15}, (struct firn_place){2, 20}, "a", "z");
    sample_partitions(m);
    sample_small_lists(m, features);
    m->dialect->delete_many = true;
    m->settings->batch_bytes_max = 16 << 20;
    m->settings->wal_grace_ms = 900000;
    m->settings->history_ms = 60000;
    SAMPLE_OK(firn_pb_set_string(&m->settings->notify_keyspace_events, "KEA"));
    SAMPLE_OK(firn_pb_set_string(&m->promote_node, "node-b"));
    return m;
}

/* --- unknown fields */

/* Visit m and every message below it. The descriptor's depth bounds the recursion. */
static inline void sample_visit(ProtobufCMessage *m, void (*fn)(ProtobufCMessage *, void *),
                                void *arg)
{
    fn(m, arg);
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        char *at = (char *)m + f->offset;
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (f->label != PROTOBUF_C_LABEL_REPEATED) {
            ProtobufCMessage *sub;
            memcpy(&sub, at, sizeof sub);
            if (sub)
                sample_visit(sub, fn, arg);
            continue;
        }
        size_t n;
        ProtobufCMessage **sub;
        memcpy(&n, (char *)m + f->quantifier_offset, sizeof n);
        memcpy(&sub, at, sizeof sub);
        for (size_t k = 0; k < n; k++)
            sample_visit(sub[k], fn, arg);
    }
}

/* Give every message a field of a future version: number 900, the bytes "new". */
static inline void sample_add_unknown(ProtobufCMessage *m, void *arg)
{
    (void)arg;
    m->unknown_fields = firn_malloc(sizeof *m->unknown_fields);
    m->n_unknown_fields = 1;
    m->unknown_fields[0] = (ProtobufCMessageUnknownField){900, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                                          4, firn_malloc(4)};
    memcpy(m->unknown_fields[0].data, "\x03new", 4);
}

struct sample_count {
    size_t messages, with_unknown;
};

static inline void sample_count_unknown(ProtobufCMessage *m, void *arg)
{
    struct sample_count *c = arg;
    c->messages++;
    if (m->n_unknown_fields == 1 && m->unknown_fields[0].tag == 900 &&
        memcmp(m->unknown_fields[0].data, "\x03new", 4) == 0)
        c->with_unknown++;
}

/* A copy as another program would have it: through bytes. */
static inline Firn__Manifest *sample_through_bytes(const Firn__Manifest *m)
{
    struct firn_buf b;
    Firn__Manifest *copy = NULL;
    firn_buf_init(&b, 1 << 24);
    SAMPLE_OK(firn_manifest_encode(m, true, &b));
    SAMPLE_OK(firn_manifest_decode(firn_buf_slice(&b), &copy, NULL));
    firn_buf_clear(&b);
    return copy;
}

#endif
