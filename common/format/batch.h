/* The object of a log slot: a batch (here) or a seal (seal.h). A batch, little-endian:
 *
 *   0    8  object header: kind FIRN_OBJ_BATCH, format of the database
 *   8   16  database id
 *   24   8  epoch
 *   32   8  slot
 *   40  16  nonce: random, of this attempt to fill the slot
 *   56  16  process nonce of the writer
 *   72   8  first seqno
 *   80   8  log time, ms since 1970
 *   88   4  count of records, at least 1
 *   92   1  codec: 0 none, 1 lz4 block, 2 zstd frame
 *   93   3  zero
 *   96   4  raw length: bytes of the records
 *   100  4  stored length: bytes of the body
 *   104 16  zero (key id and nonce, for encryption at rest)
 *   120  8  body checksum: XXH3-64 of the stored body, seeded with XXH3-64 of bytes 8..39 (database
 * and place) 128  8  header checksum: XXH3-64 of bytes 0..127, same seed 136     body: the records
 * (record.h), compressed as the codec says
 */
#ifndef FIRN_FORMAT_BATCH_H
#define FIRN_FORMAT_BATCH_H

#include "base/slice.h"
#include "format/codec.h"
#include "format/id.h"
#include "format/place.h"

#define FIRN_BATCH_HEADER_BYTES 136
/* No batch is ever larger than this, whatever a setting says. */
#define FIRN_BATCH_RAW_MAX (UINT32_C(1) << 30)

struct firn_batch_header {
    struct firn_id db;
    struct firn_place place;
    struct firn_id nonce;
    struct firn_id process_nonce;
    uint64_t first_seqno;
    uint64_t log_time_ms;
    uint32_t count;
    uint16_t format; /* number of the object (version.h) */
    /* Results of encoding and decoding; ignored as inputs. */
    enum firn_codec codec;
    uint32_t raw_len, stored_len;
};

/* Append a whole batch object to `out`: header and records, compressed with `codec` if that makes
 * them smaller, else as they are. Pure: may run in a job. raw must hold h->count >= 1 records
 * (checked in debug), h->format be known. LIMIT: out's max or memory, raw above FIRN_BATCH_RAW_MAX;
 * out is unchanged then. Cost: compression, two checksums, one copy. */
enum firn_status firn_batch_encode(const struct firn_batch_header *h, struct firn_slice raw,
                                   enum firn_codec codec, struct firn_buf *out) FIRN_MUST_USE;

/* Verify and unpack a batch object. It must be of database `db` and say it lies at `place`; its
 * records must be at most raw_max bytes and well-formed (firn_records_check). Records are appended
 * to raw_out, the header goes to h; both unchanged on failure. CORRUPT: damaged, or not what the
 * name says; INVALID: a format, codec or record kind from the future; LIMIT: raw_max, raw_out's max
 * or memory. err says what. */
enum firn_status firn_batch_decode(struct firn_slice object, const struct firn_id *db,
                                   struct firn_place place, size_t raw_max,
                                   struct firn_batch_header *h, struct firn_buf *raw_out,
                                   struct firn_err *err) FIRN_MUST_USE;

/* As firn_batch_decode, but only the header is verified and read: whose batch is this (PROTOCOL
 * "Uncertain PUT")? `object` may be cut behind the header. */
enum firn_status firn_batch_peek(struct firn_slice object, const struct firn_id *db,
                                 struct firn_place place, struct firn_batch_header *h,
                                 struct firn_err *err) FIRN_MUST_USE;

#endif
