/* Throughput of compaction's merge on one core: the bars are 400 MB/s uncompressed, 260 with lz4
 * (PERFORMANCE.md), counted in keys and values going in. Two runs of 16 + 100 B entries, a million
 * each, keys interleaved, in tables of 64 MiB, merged at the bottom into one. Beside it the speed
 * of lz4 on the same bytes, as the measure of the machine. */
#include "base/hash.h"
#include "base/mem.h"
#include "lsm/merge.h"

#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ENTRIES 1000000
#define VALUE_BYTES 100
#define ROUNDS 5

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "merge_bench: %s failed\n", what);
    exit(1);
}

/* Half of it compresses, as db_bench's values do. */
static void fill_value(uint8_t *v, uint64_t seed)
{
    for (size_t i = 0; i < VALUE_BYTES; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        v[i] = i % 2 ? 'v' : (uint8_t)(seed >> 56);
    }
}

struct run {
    struct firn_table_object object;
    struct firn_table_parts parts;
    struct firn_table_part *index;
    struct firn_stream_table table;
};

static struct firn_table_options options(enum firn_codec codec, uint64_t number)
{
    return (struct firn_table_options){
        .name = {FIRN_ROLE_COMPACTOR, 1, number},
        .max_seqno = 4 * (uint64_t)ENTRIES,
        .filter_bits = FIRN_FILTER_BITS_BOTTOM,
        .codec = codec,
        .hash_index = true,
    };
}

static void make_run(struct run *r, unsigned which, enum firn_codec codec)
{
    struct firn_table_options o = options(codec, which);
    struct firn_table_builder *b;
    if (firn_table_builder_create(&o, &b) != FIRN_OK)
        die("builder");
    for (uint64_t i = 0; i < ENTRIES; i++) {
        char key[20];
        uint8_t value[VALUE_BYTES];
        unsigned long long id = i * 2ULL + which;
        int n = snprintf(key, sizeof key, "\x10%015llu", id);
        fill_value(value, i);
        struct firn_entry e = {firn_slice_of(key, (size_t)n), firn_slice_of(value, VALUE_BYTES),
                               i * 2 + which, 0, FIRN_RECORD_PUT};
        if (firn_table_builder_add(b, &e, firn_xxh3(key, (size_t)n)) != FIRN_OK)
            die("add");
    }
    if (firn_table_builder_finish(b, &r->object) != FIRN_OK)
        die("finish");
    firn_table_builder_free(b);
    const Firn__Table *ref = r->object.ref;
    if (firn_table_parts_of(ref, &r->parts, NULL) != FIRN_OK)
        die("reference");
    const struct firn_table_parts *p = &r->parts;
    struct firn_slice bytes = firn_slice_of(r->object.bytes.data + p->offset[0],
                                            firn_table_parts_bytes(p, 0, p->sep.count));
    if (firn_table_index_decode(bytes, ref->table_id, p, 0, p->sep.count, &r->index, NULL) !=
        FIRN_OK)
        die("metadata");
    r->table = (struct firn_stream_table){
        .index = r->index, .lower = firn_table_lower(ref), .upper = firn_table_upper(ref)};
}

/* Seconds of merging, copies from the "store" not counted. */
static double merge(struct run *run, enum firn_codec codec, struct firn_merge_stats *stats)
{
    struct firn_merge_run_def def[2] = {{&run[0].table, 1}, {&run[1].table, 1}};
    struct firn_merge_options o = {.run = def,
                                   .runs = 2,
                                   .table = options(codec, 10),
                                   .table_bytes = 64 << 20,
                                   .buffer_bytes = 64 << 20,
                                   .bottom = true};
    struct firn_merge *m;
    double busy = 0;
    if (firn_merge_create(&o, &m) != FIRN_OK)
        die("merge");
    for (;;) {
        double start = now_s();
        enum firn_merge_event ev = firn_merge_run(m);
        busy += now_s() - start;
        if (ev == FIRN_MERGE_DONE)
            break;
        if (ev == FIRN_MERGE_FAILED)
            die("merge");
        if (ev == FIRN_MERGE_OUTPUT) {
            struct firn_table_object out = firn_merge_take(m);
            firn_table_object_clear(&out);
            continue;
        }
        size_t i = firn_merge_needs(m), table;
        uint64_t offset, length;
        struct firn_table_stream *s = firn_merge_stream(m, i);
        if (!firn_table_stream_want(s, 4 << 20, &table, &offset, &length) ||
            firn_table_stream_feed(s, firn_slice_of(run[i].object.bytes.data + offset, length)) !=
                FIRN_OK)
            die("feed");
    }
    *stats = *firn_merge_stats_of(m);
    firn_merge_free(m);
    return busy;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench(enum firn_codec codec, const char *name)
{
    struct run run[2];
    struct firn_merge_stats stats;
    double t[ROUNDS];
    make_run(&run[0], 0, codec);
    make_run(&run[1], 1, codec);
    for (int i = 0; i < ROUNDS; i++)
        t[i] = merge(run, codec, &stats);
    qsort(t, ROUNDS, sizeof *t, by_value);
    if (stats.entries_out != 2 * (uint64_t)ENTRIES)
        die("the count");
    double median = t[ROUNDS / 2];
    printf("%-5s %6.0f MB/s  %5.2f M entries/s  (stored %zu of %llu bytes)\n", name,
           (double)stats.bytes_in / median / 1e6, (double)stats.entries_in / median / 1e6,
           run[0].object.bytes.len, (unsigned long long)run[0].object.ref->raw_bytes);
    for (int i = 0; i < 2; i++) {
        firn_table_object_clear(&run[i].object);
        firn_table_part_free(run[i].index);
        firn_table_parts_clear(&run[i].parts);
    }
}

/* lz4 in 16 KiB blocks over values as above: both directions. */
static void yardstick(void)
{
    enum { BLOCK = 16384, BLOCKS = 2000 };
    static uint8_t raw[BLOCK], back[BLOCK];
    static char out[BLOCK * 2];
    for (size_t i = 0; i + VALUE_BYTES <= BLOCK; i += VALUE_BYTES)
        fill_value(raw + i, i);
    double start = now_s();
    int n = 0;
    for (int i = 0; i < BLOCKS; i++)
        n = LZ4_compress_default((const char *)raw, out, BLOCK, (int)sizeof out);
    double middle = now_s();
    for (int i = 0; i < BLOCKS; i++)
        if (LZ4_decompress_safe(out, (char *)back, n, BLOCK) != BLOCK)
            die("lz4");
    double end = now_s();
    printf("lz4 alone: %.0f MB/s in, %.0f MB/s out\n",
           BLOCK * (double)BLOCKS / (middle - start) / 1e6,
           BLOCK * (double)BLOCKS / (end - middle) / 1e6);
}

int main(void)
{
    yardstick();
    bench(FIRN_CODEC_NONE, "none");
    bench(FIRN_CODEC_LZ4, "lz4");
    bench(FIRN_CODEC_ZSTD, "zstd");
    return 0;
}
