/* Search in a block: the bar is ≤ 60 ns p50 (PERFORMANCE.md). Blocks of 16 KiB with 20-byte keys
 * and 100-byte values, and with 16-byte keys and 16-byte values; point reads by search and by hash
 * index, present and absent keys, and seeks; one block (in cache) and 256 blocks (4 MiB). Each
 * figure is the median of 31 rounds of 10,000 operations over keys in random order; beside it a
 * plain binary search over the same sorted keys as an array of pointers, as the measure of the
 * machine. */
#include "base/hash.h"
#include "base/mem.h"
#include "format/block.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 31
#define OPS 10000

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t rng = 88172645463325252u;
static uint64_t draw(uint64_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng % n;
}

static void die(const char *what)
{
    fprintf(stderr, "block_bench: %s failed\n", what);
    exit(1);
}

struct set {
    size_t blocks, keys_per_block, key_len;
    struct firn_block *block;
    uint8_t **raw;
    char *key; /* key_len bytes each */
    const uint8_t **sorted;
};

static void make_block(struct set *s, size_t i, size_t value_len, bool hash_index)
{
    struct firn_block_builder b;
    struct firn_codec_ctx c = {0};
    struct firn_buf out;
    static uint8_t value[4096];
    firn_block_builder_init(&b, 0, 1000000, 0, hash_index);
    firn_buf_init(&out, SIZE_MAX);
    for (size_t k = 0; k < s->keys_per_block; k++) {
        const char *key = s->key + (i * s->keys_per_block + k) * s->key_len;
        struct firn_entry e = {firn_slice_of(key, s->key_len), firn_slice_of(value, value_len),
                               i * 1000 + k, 0, FIRN_RECORD_PUT};
        if (firn_block_builder_add(&b, &e, firn_xxh3(key, s->key_len)) != FIRN_OK)
            die("add");
    }
    uint32_t raw_len;
    if (firn_block_builder_finish(&b, &c, FIRN_CODEC_LZ4, 1, 2, &out) != FIRN_OK ||
        firn_block_raw_len(firn_buf_slice(&out), &raw_len) != FIRN_OK)
        die("finish");
    s->raw[i] = firn_malloc(raw_len);
    if (!s->raw[i] ||
        firn_block_unpack(&c, firn_buf_slice(&out), 1, 2, s->raw[i], raw_len) != FIRN_OK ||
        firn_block_open(firn_slice_of(s->raw[i], raw_len), &s->block[i]) != FIRN_OK)
        die("open");
    firn_block_builder_clear(&b);
    firn_codec_ctx_clear(&c);
    firn_buf_clear(&out);
}

static void make(struct set *s, size_t blocks, size_t key_len, size_t value_len, bool hash_index)
{
    *s = (struct set){
        .blocks = blocks, .key_len = key_len, .keys_per_block = 16384 / (key_len + value_len)};
    size_t n = blocks * s->keys_per_block;
    s->block = firn_malloc(blocks * sizeof *s->block);
    s->raw = firn_malloc(blocks * sizeof *s->raw);
    s->key = firn_malloc(n * key_len + 1);
    s->sorted = firn_malloc(n * sizeof *s->sorted);
    if (!s->block || !s->raw || !s->key || !s->sorted)
        die("memory");
    for (size_t k = 0; k < n; k++) {
        char text[64];
        (void)snprintf(text, sizeof text, "\x10%0*zu", (int)key_len - 1, k * 7);
        memcpy(s->key + k * key_len, text, key_len);
        s->sorted[k] = (const uint8_t *)s->key + k * key_len;
    }
    for (size_t i = 0; i < blocks; i++)
        make_block(s, i, value_len, hash_index);
}

static void unmake(struct set *s)
{
    for (size_t i = 0; i < s->blocks; i++)
        firn_free(s->raw[i]);
    firn_free(s->raw);
    firn_free(s->block);
    firn_free(s->key);
    firn_free(s->sorted);
}

enum what { GET, GET_ABSENT, SEEK, PLAIN };

static uint32_t pick[OPS];
static uint64_t hashes[OPS];
static char keys[OPS][64];
static uint64_t sink;

static void plain_search(const struct set *s, size_t block, const char *key)
{
    const uint8_t **a = s->sorted + block * s->keys_per_block;
    size_t lo = 0, hi = s->keys_per_block;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(a[mid], key, s->key_len) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    sink += lo;
}

static double one_round(const struct set *s, enum what what, struct firn_block_iter *it)
{
    for (size_t i = 0; i < OPS; i++) {
        size_t k = draw(s->blocks * s->keys_per_block);
        pick[i] = (uint32_t)(k / s->keys_per_block);
        memcpy(keys[i], s->key + k * s->key_len, s->key_len);
        if (what == GET_ABSENT)
            keys[i][s->key_len - 1]++; /* numbers go in steps of 7 */
        hashes[i] = firn_xxh3(keys[i], s->key_len);
    }
    uint64_t start = now_ns();
    for (size_t i = 0; i < OPS; i++) {
        const struct firn_block *b = &s->block[pick[i]];
        struct firn_slice key = firn_slice_of(keys[i], s->key_len);
        struct firn_entry e = {0};
        if (what == PLAIN) {
            plain_search(s, pick[i], keys[i]);
        } else if (what == SEEK) {
            if (firn_block_iter_init(it, b) != FIRN_OK)
                die("iter");
            firn_block_iter_seek(it, key);
            sink += it->e.seqno;
        } else {
            if ((firn_block_get(b, key, hashes[i], &e) == FIRN_OK) != (what == GET))
                die("get");
            sink += e.seqno;
        }
    }
    return (double)(now_ns() - start) / OPS;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const struct set *s, enum what what)
{
    double t[ROUNDS];
    struct firn_block_iter it = {0};
    for (int i = 0; i < ROUNDS; i++)
        t[i] = one_round(s, what, &it);
    firn_block_iter_clear(&it);
    qsort(t, ROUNDS, sizeof *t, by_value);
    return t[ROUNDS / 2];
}

int main(void)
{
    static const struct {
        size_t key, value;
    } shapes[] = {{20, 100}, {16, 16}, {20, 400}};
    printf("ns per operation, median   get  get-absent  hash-get  hash-absent  seek  plain\n");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t blocks = 1; blocks <= 256; blocks *= 256) {
            struct set with, without;
            make(&without, blocks, shapes[i].key, shapes[i].value, false);
            make(&with, blocks, shapes[i].key, shapes[i].value, true);
            printf("%zu+%zu B, %3zu blocks     %6.1f %6.1f      %6.1f    %6.1f    %6.1f  %6.1f\n",
                   shapes[i].key, shapes[i].value, blocks, median(&without, GET),
                   median(&without, GET_ABSENT), median(&with, GET), median(&with, GET_ABSENT),
                   median(&without, SEEK), median(&without, PLAIN));
            unmake(&with);
            unmake(&without);
        }
    return sink == 42;
}
