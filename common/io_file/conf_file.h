/* Reading configuration and secret files: the callback that conf asks for. */
#ifndef FIRN_IO_FILE_CONF_FILE_H
#define FIRN_IO_FILE_CONF_FILE_H

#include "base/slice.h"

#include <stdbool.h>

/* Append the bytes of a regular file to `out`, within its max. *exposed: the file is not this
 * user's (or root's), or its mode lets others in (mode & 077). Blocks; for use before a loop runs,
 * or for a reload. `arg` is not used. ABSENT, DENIED, LIMIT (longer than out's max, or memory),
 * INVALID (a directory, a device, a read error), with why in err; `out` is then as it was. */
enum firn_status firn_conf_file_read(void *arg, const char *path, struct firn_buf *out,
                                     bool *exposed, struct firn_err *err);

#endif
