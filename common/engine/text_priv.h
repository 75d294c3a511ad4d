/* Numbers as Redis reads and writes them, beyond what the resp room has. Pure functions. */
#ifndef FIRN_ENGINE_TEXT_PRIV_H
#define FIRN_ENGINE_TEXT_PRIV_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* A decimal number without sign, blanks or leading zeros, within 64 bits. */
bool firn_engine__parse_u64(struct firn_slice s, uint64_t *out);

#define FIRN_ENGINE_LD_MAX 5120 /* characters of a long double in plain digits, with a NUL */

/* A floating-point number as Redis's string2ld takes it: all of strtold's forms but NaN, no blanks.
 */
bool firn_engine__parse_ld(struct firn_slice s, long double *out);
/* Plain digits (%.17Lf without trailing zeros), never an exponent, never "-0"; returns the length.
 */
size_t firn_engine__format_ld(long double v, char out[FIRN_ENGINE_LD_MAX]);

#endif
