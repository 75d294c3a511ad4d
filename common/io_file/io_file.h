/* The object store in a local directory: `file:///srv/firn`. For one machine: any number of
 * processes on it may share the directory. Objects are plain files; a name appears or changes whole
 * or not at all, whatever crashes (S1–S4 of PROTOCOL.md hold between processes, and what was
 * acknowledged survives a power cut). */
#ifndef FIRN_IO_FILE_IO_FILE_H
#define FIRN_IO_FILE_IO_FILE_H

#include "env/objstore.h"
#include "env/post.h"

struct firn_file;

struct firn_file_options {
    unsigned threads;      /* that do the blocking calls; 0 = 16. At most 256. */
    bool allow_network_fs; /* do not refuse file systems whose locks and renames cannot be relied on
                            */
};

/* The directory of a `file:///path` URL, percent-decoded, without slashes at its end, into
 * dir[cap]. INVALID with a message: another scheme, a host, a relative path, "..", too long. */
enum firn_status firn_file_url_parse(const char *url, char *dir, size_t cap,
                                     struct firn_err *err) FIRN_MUST_USE;

/* Open the store at url: make the directory if its parent is there, refuse network file systems,
 * sweep temporary files older than an hour, start the threads. done() of requests runs on the loop
 * behind `poster`, which must outlive the store. o may be NULL. Blocks for a few file calls: for
 * start-up. INVALID (URL, file system), DENIED, LIMIT (memory, threads), ABSENT (no parent
 * directory), with a message. */
enum firn_status firn_file_create(const char *url, const struct firn_poster *poster,
                                  const struct firn_file_options *o, struct firn_file **out,
                                  struct firn_err *err) FIRN_MUST_USE;
/* End the threads and free. No request may be under way (done() of all has come). NULL-safe. */
void firn_file_free(struct firn_file *f);

/* The port. Differences to S3: a request's time-out is not kept, for a file call cannot be taken
 * back; ranged GETs carry no ETag; deletes may be undone by a power cut. */
struct firn_objstore *firn_file_store(struct firn_file *f);

#endif
