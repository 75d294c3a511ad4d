/* The format number of a database (Manifest.format). It says what its objects may be, and every
 * object but a seal carries, in its header, the number of the database it was written for. A
 * program knows the numbers from FIRN_FORMAT_OLDEST to firn_format_newest: it reads objects of all
 * of them, writes those of the database's, and refuses a database or an object of a higher one.
 *
 * A node writes the number that the database had when it opened it (readers) or claimed its role
 * (writer, compactor); what a compactor merges keeps the highest of its inputs. `firnctl upgrade`
 * raises the number, when no older program runs any more; it never goes back. What needs no new
 * number: fields of protobuf messages, which older programs keep; kinds of records and entries, and
 * sections of tables, that may be skipped, which older programs lose when they flush or merge. */
#ifndef FIRN_FORMAT_VERSION_H
#define FIRN_FORMAT_VERSION_H

#include <stdbool.h>
#include <stdint.h>

#define FIRN_FORMAT_OLDEST 1

/* An object of its own, so that tests can link programs of the next format from the same libraries
 * (tests/next). Constant. */
extern const uint16_t firn_format_newest;

static inline bool firn_format_known(uint32_t format)
{
    return format >= FIRN_FORMAT_OLDEST && format <= firn_format_newest;
}

#endif
