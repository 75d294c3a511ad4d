/* The memtable against a plain skip list (Pugh 1990, p = 1/4), one thread, n keys of 16 bytes with
 * values of 100 bytes in random order: ns per operation. Usage: memtable_bench [keys]. Figures of
 * one run are compared with each other only. */
#include "base/hash.h"
#include "base/mem.h"
#include "format/record.h"
#include "lsm/memtable.h"

#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define KEY_BYTES 16
#define VALUE_BYTES 100
#define SKIP_LEVELS 16
#define BATCH 16

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t mix(uint64_t x) /* splitmix64's finaliser: a permutation, so keys are distinct */
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

enum key_shape { BINARY, DECIMAL, ASCENDING };

static struct firn_slice key_of(uint8_t buf[KEY_BYTES + 1], uint64_t i, uint64_t n,
                                enum key_shape shape)
{
    if (shape == BINARY) {
        uint64_t v = mix(i);
        memcpy(buf, &v, 8);
        v = mix(v);
        memcpy(buf + 8, &v, 8);
    } else {
        /* a stride that is coprime with n visits every number once */
        uint64_t v = shape == ASCENDING ? i : i * UINT64_C(7919) % n;
        snprintf((char *)buf, KEY_BYTES + 1, "key:%012" PRIu64, v);
    }
    return firn_slice_of(buf, KEY_BYTES);
}

struct skip_node {
    struct firn_slice key, value;
    struct skip_node *next[];
};
struct skip_list {
    struct skip_node *head;
    uint64_t rng;
};

static void *need(void *p)
{
    if (!p) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static struct skip_node *skip_find(const struct skip_list *l, struct firn_slice key,
                                   struct skip_node **before)
{
    struct skip_node *n = l->head;
    for (int i = SKIP_LEVELS - 1; i >= 0; i--) {
        while (n->next[i] && firn_slice_cmp(n->next[i]->key, key) < 0)
            n = n->next[i];
        if (before)
            before[i] = n;
    }
    n = n->next[0];
    return n && firn_slice_eq(n->key, key) ? n : NULL;
}

static void skip_insert(struct skip_list *l, struct firn_slice key, struct firn_slice value)
{
    struct skip_node *before[SKIP_LEVELS];
    (void)skip_find(l, key, before);
    int levels = 1;
    l->rng = mix(l->rng + 1);
    for (uint64_t r = l->rng; levels < SKIP_LEVELS && (r & 3) == 0; r >>= 2)
        levels++;
    size_t links = (size_t)levels * sizeof(struct skip_node *);
    struct skip_node *n = need(malloc(sizeof *n + links + key.len + value.len));
    uint8_t *bytes = (uint8_t *)n + sizeof *n + links;
    memcpy(bytes, key.data, key.len);
    memcpy(bytes + key.len, value.data, value.len);
    n->key = firn_slice_of(bytes, key.len);
    n->value = firn_slice_of(bytes + key.len, value.len);
    for (int i = 0; i < levels; i++) {
        n->next[i] = before[i]->next[i];
        before[i]->next[i] = n;
    }
}

static void skip_free(struct skip_list *l)
{
    for (struct skip_node *n = l->head, *next; n; n = next) {
        next = n->next[0];
        free(n);
    }
}

static uint64_t report_at;

static void report(const char *what, uint64_t ops)
{
    printf("  %-28s %7.1f ns/op\n", what, (double)(now_ns() - report_at) / (double)ops);
}

static void check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "%s failed\n", what);
        exit(1);
    }
}

static void bench_gets(const struct firn_memtable *m, uint64_t n, enum key_shape shape)
{
    uint8_t key[BATCH][KEY_BYTES + 1];
    struct firn_slice s[BATCH];
    uint64_t hash[BATCH], covering = 0, sum = 0;
    struct firn_entry e;
    report_at = now_ns();
    for (uint64_t i = 0; i < n; i++) {
        s[0] = key_of(key[0], mix(i) % n, n, shape);
        uint64_t h = firn_xxh3(s[0].data, s[0].len);
        check(firn_memtable_get(m, s[0], h, UINT64_MAX, &e, &covering) == FIRN_OK, "get");
        sum += e.value.data[0];
    }
    report("get, hit", n);
    report_at = now_ns();
    for (uint64_t i = 0; i + BATCH <= n; i += BATCH) {
        for (unsigned j = 0; j < BATCH; j++) {
            s[j] = key_of(key[j], mix(i + j) % n, n, shape);
            hash[j] = firn_xxh3(s[j].data, s[j].len);
            firn_memtable_prefetch(m, hash[j]);
        }
        for (unsigned j = 0; j < BATCH; j++) {
            check(firn_memtable_get(m, s[j], hash[j], UINT64_MAX, &e, &covering) == FIRN_OK, "get");
            sum += e.value.data[0];
        }
    }
    report("get, hit, batches of 16", n);
    report_at = now_ns();
    for (uint64_t i = 0; i < n; i++) {
        key_of(key[0], i, n, shape);
        key[0][0] ^= 0x80;
        s[0] = firn_slice_of(key[0], KEY_BYTES);
        uint64_t h = firn_xxh3(s[0].data, s[0].len);
        check(firn_memtable_get(m, s[0], h, UINT64_MAX, &e, &covering) == FIRN_ABSENT ||
                  shape == BINARY,
              "miss");
    }
    report("get, miss", n);
    if (sum == 1)
        puts("");
}

static void bench_memtable(uint64_t n, enum key_shape shape)
{
    struct firn_memtable *m = NULL;
    check(firn_memtable_create(&m) == FIRN_OK, "create");
    uint8_t key[KEY_BYTES + 1], value[VALUE_BYTES] = {1};
    struct firn_entry e = {.value = {value, sizeof value}, .kind = FIRN_RECORD_PUT};
    report_at = now_ns();
    uint64_t worst = 0;
    for (uint64_t i = 0; i < n; i++) {
        e.key = key_of(key, i, n, shape);
        e.seqno = i;
        uint64_t t = (i & 63) == 0 ? now_ns() : 0;
        check(firn_memtable_add(m, &e) == FIRN_OK, "add");
        if (t && now_ns() - t > worst)
            worst = now_ns() - t;
    }
    report("insert", n);
    bench_gets(m, n, shape);
    report_at = now_ns();
    for (uint64_t i = 0; i < n; i++) {
        e.seqno++;
        check(firn_memtable_add(m, &e) == FIRN_OK, "overwrite");
    }
    report("overwrite one key", n);
    report_at = now_ns();
    check(firn_memtable_freeze(m) == FIRN_OK, "freeze");
    printf("  %-28s %7.1f us, worst insert seen %.1f us\n", "freeze",
           (double)(now_ns() - report_at) / 1e3, (double)worst / 1e3);
    struct firn_memtable_iter it;
    check(firn_memtable_iter_init(&it, m, UINT64_MAX, false) == FIRN_OK, "iterator");
    report_at = now_ns();
    uint64_t seen = 0;
    firn_memtable_iter_seek(&it, (struct firn_slice){0});
    for (; firn_memtable_iter_get(&it, &e); firn_memtable_iter_skip(&it))
        seen++;
    check(seen == n, "scan");
    report("scan", n);
    printf("  %-28s %7.1f bytes, key and value included\n", "memory per version",
           (double)firn_memtable_bytes(m) / (double)firn_memtable_entries(m));
    firn_memtable_unref(m);
}

static void bench_skip(uint64_t n, enum key_shape shape)
{
    struct skip_list l = {.rng = 1};
    l.head = need(calloc(1, sizeof *l.head + SKIP_LEVELS * sizeof(struct skip_node *)));
    uint8_t key[KEY_BYTES + 1], value[VALUE_BYTES] = {1};
    report_at = now_ns();
    for (uint64_t i = 0; i < n; i++)
        skip_insert(&l, key_of(key, i, n, shape), firn_slice_of(value, sizeof value));
    report("skip list: insert", n);
    report_at = now_ns();
    for (uint64_t i = 0; i < n; i++)
        check(skip_find(&l, key_of(key, mix(i) % n, n, shape), NULL) != NULL, "skip list get");
    report("skip list: get, hit", n);
    skip_free(&l);
}

static void bench_key(uint64_t n, enum key_shape shape)
{
    uint8_t key[KEY_BYTES + 1];
    uint64_t sum = 0;
    report_at = now_ns();
    for (uint64_t i = 0; i < n; i++) {
        struct firn_slice s = key_of(key, mix(i) % n, n, shape);
        sum += firn_xxh3(s.data, s.len);
    }
    report(sum ? "making and hashing a key" : "", n);
}

/* Touch memory and give it back to malloc, which is told to keep it. */
static void warm_up(size_t bytes)
{
    enum { PIECE = 1 << 20 };
    mallopt(M_MMAP_THRESHOLD, 2 * PIECE);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    size_t n = bytes / PIECE + 1;
    void **piece = need(calloc(n, sizeof *piece));
    for (size_t i = 0; i < n; i++)
        memset(piece[i] = need(malloc(PIECE)), 1, PIECE);
    while (n)
        free(piece[--n]);
    free(piece);
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    if (n < BATCH) {
        fputs("usage: memtable_bench [keys, at least 16]\n", stderr);
        return 2;
    }
    warm_up(n * 512);
    static const char *const name[] = {"binary keys", "decimal keys, shuffled",
                                       "decimal keys, ascending"};
    for (enum key_shape shape = BINARY; shape <= ASCENDING; shape++) {
        printf("%s, %" PRIu64 ":\n", name[shape], n);
        bench_key(n, shape);
        bench_memtable(n, shape);
        bench_skip(n, shape);
    }
    return 0;
}
