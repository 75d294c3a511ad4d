/* What was written: for each key the newest sequence number sent and the newest acknowledged; and
 * values that say which write they are of. A key is written by one connection only, so its writes
 * are in order, and whoever reads it later must find a sequence number between the two.
 *
 * Value: offset 0, 8 bytes LE: sequence number; 8, 8 bytes LE: number of the key; 16, 8 bytes LE:
 * XXH3-64 of the 16 bytes before; from 24 on filler that does not compress, known from the first
 * two. */
#ifndef FIRN_BENCH_LOAD_RECORD_H
#define FIRN_BENCH_LOAD_RECORD_H

#include "base/slice.h"

#define LOAD_KEY_BYTES 16

struct load_seqs {
    uint32_t acked, sent; /* 0 = none */
};

struct load_record {
    struct load_seqs *key; /* owned; 1 << keys_log2 of them */
    uint32_t keys_log2;
    uint32_t value_bytes;
    uint8_t *filler; /* owned */
};

/* LIMIT: memory. */
enum firn_status load_record_init(struct load_record *r, uint32_t keys_log2,
                                  uint32_t value_bytes) FIRN_MUST_USE;
void load_record_deinit(struct load_record *r);
/* Take over what a file says. ABSENT: there is none; INVALID: of other keys or values, or damaged;
 * err says so. */
enum firn_status load_record_read(struct load_record *r, const char *path,
                                  struct firn_err *err) FIRN_MUST_USE;
/* Replace the file. */
enum firn_status load_record_write(const struct load_record *r, const char *path,
                                   struct firn_err *err) FIRN_MUST_USE;

/* "key:" and twelve decimal digits. */
void load_record_key(uint64_t key, char out[LOAD_KEY_BYTES]);
/* The value of a write: value_bytes at out. */
void load_record_value(const struct load_record *r, uint64_t key, uint32_t seq, uint8_t *out);
/* The sequence number a value names. CORRUPT: it is no value of this key. */
enum firn_status load_record_check(const struct load_record *r, uint64_t key,
                                   struct firn_slice value, uint32_t *seq) FIRN_MUST_USE;

#endif
