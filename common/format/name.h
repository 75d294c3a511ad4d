/* Names of objects below a database's URL. Numbers are decimal and zero-padded to fixed widths, so
 * that names sort; nothing relies on it. Ids and nonces are lower-case hex.
 *
 *   manifest
 *   manifest-log/<version 16>-<nonce 32 hex>
 *   wal/<db 8 hex>/<epoch 8>/<slot 13>
 *   sst/<db 8 hex>/w<epoch 8>-<number 12>      c... for tables of a compactor
 *   jobs/<id> nodes/<id> pins/<id> probe/<id>  id: 1..64 of A-Z a-z 0-9 . _ -, not beginning with
 * '.'
 */
#ifndef FIRN_FORMAT_NAME_H
#define FIRN_FORMAT_NAME_H

#include "base/slice.h"
#include "format/id.h"
#include "format/place.h"

#define FIRN_NAME_MAX 80 /* room for any name and its NUL */
#define FIRN_NAME_ID_MAX 64
#define FIRN_VERSION_MAX UINT64_C(9999999999999999)
#define FIRN_TABLE_NUMBER_MAX UINT64_C(999999999999)

#define FIRN_NAME_MANIFEST_TEXT "manifest"

/* Whose tables: the letter of the name, and the value in the manifest. */
enum firn_role {
    FIRN_ROLE_NONE = 0,
    FIRN_ROLE_WRITER = 1,
    FIRN_ROLE_COMPACTOR = 2,
};

/* The name of a table: never used twice (I10). */
struct firn_table_name {
    enum firn_role role;
    uint64_t epoch, number;
};

static inline bool firn_table_name_eq(const struct firn_table_name *a,
                                      const struct firn_table_name *b)
{
    return a->role == b->role && a->epoch == b->epoch && a->number == b->number;
}

enum firn_name_kind {
    FIRN_NAME_MANIFEST,
    FIRN_NAME_MANIFEST_LOG,
    FIRN_NAME_SLOT,
    FIRN_NAME_TABLE,
    FIRN_NAME_JOB,
    FIRN_NAME_NODE,
    FIRN_NAME_PIN,
    FIRN_NAME_PROBE,
};

/* A parsed name; which members count depends on kind. */
struct firn_name {
    enum firn_name_kind kind;
    uint32_t db;                   /* SLOT, TABLE */
    struct firn_place place;       /* SLOT */
    struct firn_table_name table;  /* TABLE */
    uint64_t version;              /* MANIFEST_LOG */
    struct firn_id nonce;          /* MANIFEST_LOG */
    char id[FIRN_NAME_ID_MAX + 1]; /* JOB, NODE, PIN, PROBE */
};

/* Each writes a NUL-terminated name. The numbers must lie in their ranges (asserted: they come from
 * our own counters or were checked when they were decoded). */
void firn_name_slot(char out[FIRN_NAME_MAX], uint32_t db, struct firn_place place);
/* The prefix "wal/<db>/<epoch>/" for LIST. */
void firn_name_epoch_prefix(char out[FIRN_NAME_MAX], uint32_t db, uint64_t epoch);
void firn_name_table(char out[FIRN_NAME_MAX], uint32_t db, const struct firn_table_name *t);
void firn_name_manifest_log(char out[FIRN_NAME_MAX], uint64_t version, const struct firn_id *nonce);
/* kind is JOB, NODE, PIN or PROBE. INVALID when `id` is not a well-formed id (out is untouched). */
enum firn_status firn_name_id(char out[FIRN_NAME_MAX], enum firn_name_kind kind,
                              struct firn_slice id) FIRN_MUST_USE;
/* Is `id` fit for jobs/, nodes/, pins/ and probe/? */
bool firn_name_id_valid(struct firn_slice id);

/* Parse a name strictly: every name the functions above build, and no other text. INVALID
 * otherwise. */
enum firn_status firn_name_parse(struct firn_slice text, struct firn_name *out) FIRN_MUST_USE;

#endif
