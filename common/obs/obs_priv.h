/* Shared inside obs. */
#ifndef FIRN_OBS_PRIV_H
#define FIRN_OBS_PRIV_H

#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed UTF-8 sequence at p (n > 0 bytes are there), or 0 when there is none:
 * overlong forms, surrogates and code points above U+10FFFF are not well-formed (RFC 3629). */
size_t firn_obs__utf8_len(const uint8_t *p, size_t n);

#endif
