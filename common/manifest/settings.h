/* Between a node's settings and the manifest's copy of those kept there, (M) and (C). */
#ifndef FIRN_MANIFEST_SETTINGS_H
#define FIRN_MANIFEST_SETTINGS_H

#include "conf/settings.h"
#include "format/manifest_codec.h"

/* For creating a database: fill `out` (initialised here) from the node's settings. Its strings are
 * borrowed from s. */
void firn_settings_to_manifest(const struct firn_settings *s, Firn__Settings *out);

/* The manifest's word counts: overwrite the node's (M) and (C) values. LIMIT: memory; what was done
 * so far stays. */
enum firn_status firn_settings_from_manifest(struct firn_settings *s,
                                             const Firn__Settings *pb) FIRN_MUST_USE;

#endif
