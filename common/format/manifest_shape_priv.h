#ifndef FIRN_FORMAT_MANIFEST_SHAPE_PRIV_H
#define FIRN_FORMAT_MANIFEST_SHAPE_PRIV_H

#include "manifest.pb-c.h"

#include "base/status.h"

/* Is all there that firn_manifest_decode promises, each field within its own range? CORRUPT names
 * what is not. */
enum firn_status firn_manifest__check_shape(const Firn__Manifest *m,
                                            struct firn_err *err) FIRN_MUST_USE;

#endif
