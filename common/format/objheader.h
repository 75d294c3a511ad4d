/* The first 8 bytes of every object that Firn writes:
 *
 *   0  4  magic "FIRN"
 *   4  2  kind, little-endian
 *   6  2  format number of that kind, little-endian
 */
#ifndef FIRN_FORMAT_OBJHEADER_H
#define FIRN_FORMAT_OBJHEADER_H

#include "base/slice.h"

#define FIRN_OBJHEADER_BYTES 8

enum firn_obj_kind {
    FIRN_OBJ_BATCH = 1,
    FIRN_OBJ_SEAL = 2,
    FIRN_OBJ_MANIFEST = 3,
    FIRN_OBJ_TABLE = 4,
    FIRN_OBJ_JOB = 5,
    FIRN_OBJ_NODE = 6,
    FIRN_OBJ_PIN = 7,
    FIRN_OBJ_PROBE = 8,
};

/* Write the header to 8 bytes. */
void firn_objheader_put(uint8_t *out, enum firn_obj_kind kind, uint16_t format);

/* The format number in a header that firn_objheader_check found good. */
static inline uint16_t firn_objheader_format(const uint8_t *p)
{
    return (uint16_t)(p[6] | p[7] << 8);
}

/* Is this the header of an object of `kind` in a format from `oldest` to `newest`? CORRUPT: too
 * short, no magic, another kind. INVALID: a format this program does not know, newer ("upgrade") or
 * older. */
enum firn_status firn_objheader_check(struct firn_slice object, enum firn_obj_kind kind,
                                      uint16_t oldest, uint16_t newest,
                                      struct firn_err *err) FIRN_MUST_USE;

/* Name of a kind for messages. Never NULL. */
const char *firn_obj_kind_name(unsigned kind);

#endif
