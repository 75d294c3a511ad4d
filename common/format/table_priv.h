/* Numbers and pieces of the table format that its files share. */
#ifndef FIRN_FORMAT_TABLE_PRIV_H
#define FIRN_FORMAT_TABLE_PRIV_H

#include "format/table.h"

enum firn_table__section {
    FIRN_TABLE__INDEX = 1,
    FIRN_TABLE__FILTER = 2,
    FIRN_TABLE__TOMBS = 3,
    FIRN_TABLE__PROPS = 4,
    FIRN_TABLE__PARTS = 5,
    FIRN_TABLE__SECTIONS /* how many are known, plus 1 */
};

#define FIRN_TABLE__MUST_KNOW 1 /* flag of a section */
#define FIRN_TABLE__DIRECTORY 8
#define FIRN_TABLE__SECTION_BYTES 16
#define FIRN_TABLE__INDEX_HEADER 16
#define FIRN_TABLE__INDEX_ENTRY FIRN_TABLE_INDEX_BYTES
#define FIRN_TABLE__PARTS_HEADER 8
#define FIRN_TABLE__PARTS_ENTRY 8
#define FIRN_TABLE__TOMB_HEADER 8
#define FIRN_TABLE__TOMB_ENTRY 16
#define FIRN_TABLE__PROPS_MAX (UINT32_C(1) << 20)
#define FIRN_TABLE__SUM_BYTES 8 /* at the end of a partition */

/* CORRUPT, with a text. */
enum firn_status firn_table__bad(struct firn_err *err, const char *what);

/* Find the sections of a head or a partition without its sum; data is NULL of those that are not
 * there. CORRUPT: the directory makes no sense; INVALID: an unknown one that must be known. */
enum firn_status firn_table__sections(struct firn_slice bytes,
                                      struct firn_slice out[FIRN_TABLE__SECTIONS],
                                      struct firn_err *err) FIRN_MUST_USE;

/* Places and separators of partitions, as the head or the manifest gives them. */
struct firn_table__parts_def {
    const uint32_t *length;     /* of each of `count` */
    const uint32_t *sep_length; /* of each but the first */
    size_t count;
    struct firn_slice sep; /* one behind the other */
    uint64_t end;          /* they end where the head begins */
};
/* Check them against each other, and make *out of them. *why says what is CORRUPT; LIMIT: memory.
 */
enum firn_status firn_table__parts_make(const struct firn_table__parts_def *d,
                                        struct firn_table_parts *out,
                                        const char **why) FIRN_MUST_USE;

#endif
