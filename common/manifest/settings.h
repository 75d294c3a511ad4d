/* Between what a node has (settings, the dialect of its store) and the manifest's copy of it. */
#ifndef FIRN_MANIFEST_SETTINGS_H
#define FIRN_MANIFEST_SETTINGS_H

#include "conf/conf.h"
#include "env/objstore.h"
#include "format/codec.h"
#include "format/manifest_codec.h"

/* For creating a database: fill `out` (initialised here) from the node's settings. Its strings are
 * borrowed from s. */
void firn_settings_to_manifest(const struct firn_settings *s, Firn__Settings *out);

/* The manifest's word counts: overwrite the node's (M) and (C) values. LIMIT: memory; what was done
 * so far stays. */
enum firn_status firn_settings_from_manifest(struct firn_settings *s,
                                             const Firn__Settings *pb) FIRN_MUST_USE;

/* The codec that the settings ask for. */
enum firn_codec firn_settings_codec(const struct firn_settings *s);

/* What was proved of the store, for the manifest (`out` is initialised here), and back. */
void firn_dialect_to_manifest(const struct firn_os_dialect *d, Firn__Dialect *out);
struct firn_os_dialect firn_dialect_from_manifest(const Firn__Dialect *pb);

#define FIRN_SETTINGS_VALUE_MAX 64

/* The value of a (C) setting, written as users write it (units), in the form the manifest's intent
 * takes: milliseconds, or the text in its normal form; NUL-terminated. INVALID as firn_conf_check;
 * LIMIT: memory. */
enum firn_status firn_settings_commit_value(const char *name, const char *value,
                                            char out[FIRN_SETTINGS_VALUE_MAX],
                                            struct firn_err *err) FIRN_MUST_USE;

#endif
