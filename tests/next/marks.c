/* Which messages of a manifest carry the field of the next format (next.c), a line each:
 *
 *     marks FILE
 *     + writer
 *     - table w1-3
 *
 * Names are the same from one version to the next as long as the message is. */
#include "unit/manifest_sample.h"

static void tell(const ProtobufCMessage *m, const char *name)
{
    bool has = m->n_unknown_fields == 1 && m->unknown_fields[0].tag == 900;
    (void)printf("%c %s\n", has ? '+' : '-', name);
}

static void tell_table(const Firn__Table *t, const char *where)
{
    char name[160];
    int n = snprintf(name, sizeof name, "%s %c%llu-%llu", where,
                     t->role == FIRN__TABLE_ROLE__WRITER ? 'w' : 'c', (unsigned long long)t->epoch,
                     (unsigned long long)t->number);
    tell(&t->base, name);
    (void)snprintf(name + n, sizeof name - (size_t)n, " first");
    if (t->first)
        tell(&t->first->base, name);
    (void)snprintf(name + n, sizeof name - (size_t)n, " end");
    if (t->end)
        tell(&t->end->base, name);
}

static void tell_partition(const Firn__Partition *p)
{
    char name[64];
    int n = snprintf(name, sizeof name, "partition ");
    for (size_t i = 0; i < p->start.len && i < 16; i++)
        n += snprintf(name + n, sizeof name - (size_t)n, "%02x", p->start.data[i]);
    tell(&p->base, name);
    (void)snprintf(name + n, sizeof name - (size_t)n, " l0_upto");
    tell(&p->l0_upto->base, name);
    for (size_t i = 0; i < p->n_runs; i++) {
        const Firn__Table *first = p->runs[i]->tables[0];
        (void)snprintf(name, sizeof name, "run from %llu-%llu", (unsigned long long)first->epoch,
                       (unsigned long long)first->number);
        tell(&p->runs[i]->base, name);
        for (size_t k = 0; k < p->runs[i]->n_tables; k++)
            tell_table(p->runs[i]->tables[k], "table");
    }
}

static void tell_manifest(const Firn__Manifest *m)
{
    char name[128];
    tell(&m->base, "manifest");
    tell(&m->writer->base, "writer");
    tell(&m->compactor->base, "compactor");
    tell(&m->floor->base, "floor");
    tell(&m->kept->base, "kept");
    tell(&m->l0_start->base, "l0_start");
    tell(&m->dialect->base, "dialect");
    tell(&m->settings->base, "settings");
    for (size_t i = 0; i < m->n_l0; i++)
        tell_table(m->l0[i], "l0");
    for (size_t i = 0; i < m->n_adopted; i++)
        tell_table(m->adopted[i], "adopted");
    for (size_t i = 0; i < m->n_partitions; i++)
        tell_partition(m->partitions[i]);
    for (size_t i = 0; i < m->n_garbage; i++) {
        const Firn__Garbage *g = m->garbage[i];
        (void)snprintf(name, sizeof name, "garbage %u %llu-%llu", (unsigned)g->role,
                       (unsigned long long)g->epoch, (unsigned long long)g->number);
        tell(&g->base, name);
    }
    for (size_t i = 0; i < m->n_checkpoints; i++) {
        (void)snprintf(name, sizeof name, "checkpoint %s", m->checkpoints[i]->id);
        tell(&m->checkpoints[i]->base, name);
    }
}

int main(int argc, char **argv)
{
    struct firn_buf b;
    struct firn_err err = {""};
    Firn__Manifest *m = NULL;
    FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!f) {
        (void)fprintf(stderr, "marks FILE: no such file\n");
        return 2;
    }
    firn_buf_init(&b, FIRN_MANIFEST_RAW_MAX);
    SAMPLE_OK(firn_buf_reserve(&b, FIRN_MANIFEST_RAW_MAX / 2));
    b.len = fread(b.data, 1, FIRN_MANIFEST_RAW_MAX / 2, f);
    (void)fclose(f);
    if (firn_manifest_decode(firn_buf_slice(&b), &m, &err) != FIRN_OK) {
        (void)fprintf(stderr, "marks: %s\n", err.text);
        return 1;
    }
    (void)printf("version %llu format %u\n", (unsigned long long)m->version, m->format);
    tell_manifest(m);
    firn_pb_manifest_free(m);
    firn_buf_clear(&b);
    return 0;
}
