/* Numbers of the table format that encoding and decoding share. */
#ifndef FIRN_FORMAT_TABLE_PRIV_H
#define FIRN_FORMAT_TABLE_PRIV_H

#include "format/table.h"

enum firn_table__section {
    FIRN_TABLE__INDEX = 1,
    FIRN_TABLE__FILTER = 2,
    FIRN_TABLE__TOMBS = 3,
    FIRN_TABLE__PROPS = 4,
    FIRN_TABLE__SECTIONS /* how many are known, plus 1 */
};

#define FIRN_TABLE__MUST_KNOW 1 /* flag of a section */
#define FIRN_TABLE__META_HEADER 8
#define FIRN_TABLE__SECTION_BYTES 16
#define FIRN_TABLE__INDEX_HEADER 16
#define FIRN_TABLE__INDEX_ENTRY 24
#define FIRN_TABLE__TOMB_HEADER 8
#define FIRN_TABLE__TOMB_ENTRY 16
#define FIRN_TABLE__PROPS_MAX (UINT32_C(1) << 20)

#endif
