/* The manifest between bytes and protobuf-c structs. The object, little-endian:
 *
 *   0   8  object header: kind FIRN_OBJ_MANIFEST, format of the database
 *   8   1  codec: 0 none, 2 zstd frame
 *   9   3  zero
 *   12  4  raw length: bytes of the protobuf message
 *   16  4  stored length: bytes of the body
 *   20  4  zero
 *   24  8  checksum: XXH3-64 of the stored body, seeded with XXH3-64 of bytes 0..23
 *   32     body: firn.Manifest (proto/manifest.proto), compressed as the codec says
 *
 * Structs are made of memory from base/mem; every setter here keeps it so that
 * firn_pb_manifest_free frees all. Fields unknown to this program are kept at every nesting level
 * and written again. Nothing here is thread-safe for one struct; different structs may be used by
 * different threads.
 */
#ifndef FIRN_FORMAT_MANIFEST_CODEC_H
#define FIRN_FORMAT_MANIFEST_CODEC_H

#include "base/slice.h"
#include "format/id.h"
#include "format/name.h"
#include "format/place.h"
#include "manifest.pb-c.h"

#define FIRN_MANIFEST_HEADER_BYTES 32
#define FIRN_MANIFEST_RAW_MAX ((size_t)32 * 1024 * 1024)
/* Memory that decoding may take: a hostile message of RAW_MAX bytes could ask for far more. */
#define FIRN_MANIFEST_MEMORY_MAX ((size_t)256 * 1024 * 1024)

/* Append the object; its number is m->format, which must be known (version.h). `compress`: zstd if
 * that makes it smaller. LIMIT: out's max, RAW_MAX or memory; out is unchanged then. Pure. */
enum firn_status firn_manifest_encode(const Firn__Manifest *m, bool compress,
                                      struct firn_buf *out) FIRN_MUST_USE;

/* Decode an object; *out is the caller's, who frees it with firn_pb_manifest_free. What is always
 * there after OK: database_id and nonce of 16 bytes, process nonces and parent_nonce of 16 or 0,
 * writer, compactor, floor, kept, l0_start, dialect, settings; first and end of every L0 table;
 * start..l0_upto of partitions; floor of checkpoints; format of the database known, those of tables
 * not above it; all places, epochs, table numbers and the
 * version within their ranges, table roles known, node ids and addresses at most 255 bytes.
 * Relations between fields are firn_manifest_check's (manifest room). CORRUPT: damaged or not so;
 * INVALID: a format from the future; LIMIT: memory. *out untouched on failure. */
enum firn_status firn_manifest_decode(struct firn_slice object, Firn__Manifest **out,
                                      struct firn_err *err) FIRN_MUST_USE;

/* Free it all. NULL-safe. */
void firn_pb_manifest_free(Firn__Manifest *m);
/* A deep copy, unknown fields included; NULL when memory is short. */
Firn__Manifest *firn_pb_manifest_dup(const Firn__Manifest *m);
/* A new, empty manifest of the newest format with the sub-messages that are always there; NULL when
 * memory is short. */
Firn__Manifest *firn_pb_manifest_new(void);

/* --- reading */
static inline struct firn_place firn_place_of(const Firn__Place *p)
{
    return (struct firn_place){p->epoch, p->slot};
}
static inline struct firn_slice firn_pb_slice(const ProtobufCBinaryData *b)
{
    return firn_slice_of(b->data, b->len);
}
/* The 16 bytes, or the none id when the field is empty. */
struct firn_id firn_pb_id(const ProtobufCBinaryData *b);
static inline struct firn_table_name firn_table_name_of(const Firn__Table *t)
{
    return (struct firn_table_name){(enum firn_role)t->role, t->epoch, t->number};
}
/* The key range that counts: bounds cut by the clip. Borrowed from t. */
struct firn_slice firn_table_lower(const Firn__Table *t);
struct firn_slice firn_table_upper(const Firn__Table *t);

/* --- setters: replace an owned field, freeing what was there. LIMIT when memory is short, nothing
 * changed then. */
enum firn_status firn_pb_set_bytes(ProtobufCBinaryData *field,
                                   struct firn_slice value) FIRN_MUST_USE;
enum firn_status firn_pb_set_id(ProtobufCBinaryData *field, const struct firn_id *id) FIRN_MUST_USE;
enum firn_status firn_pb_set_string(char **field, const char *value) FIRN_MUST_USE;
/* Make the sub-message if there is none; NULL when memory is short. */
enum firn_status firn_pb_set_place(Firn__Place **field, struct firn_place p) FIRN_MUST_USE;

/* --- sub-messages: new ones are the caller's until put into a manifest; _free is NULL-safe. */
Firn__Table *firn_pb_table_new(void);
Firn__Table *firn_pb_table_dup(const Firn__Table *t);
void firn_pb_table_free(Firn__Table *t);
Firn__Run *firn_pb_run_new(void);
void firn_pb_run_free(Firn__Run *r);
Firn__Partition *firn_pb_partition_new(void);
Firn__Partition *firn_pb_partition_dup(const Firn__Partition *p);
void firn_pb_partition_free(Firn__Partition *p);
Firn__Garbage *firn_pb_garbage_new(void);
void firn_pb_garbage_free(Firn__Garbage *g);
Firn__Checkpoint *firn_pb_checkpoint_new(void);
void firn_pb_checkpoint_free(Firn__Checkpoint *c);
Firn__Feature *firn_pb_feature_new(void);
void firn_pb_feature_free(Firn__Feature *f);

/* --- repeated fields: `array` and `count` are the two members protobuf-c makes of one. The element
 * belongs to the array afterwards. LIMIT when memory is short: nothing changed, the element still
 * the caller's. O(count). */
#define firn_pb_insert(array, count, at, element)                                                  \
    firn_pb_insert_ptr((void ***)(void *)(array), (count), (at), (element))
enum firn_status firn_pb_insert_ptr(void ***array, size_t *count, size_t at,
                                    void *element) FIRN_MUST_USE;
/* Take element `at` out; the caller owns it again. Never fails. */
#define firn_pb_remove(array, count, at) firn_pb_remove_ptr((void **)(array), (count), (at))
void *firn_pb_remove_ptr(void **array, size_t *count, size_t at);

#endif
