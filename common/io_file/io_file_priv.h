/* Shared by the files of the store in a directory: file_store.c (life, threads, queue), file_path.c
 * (URLs, names, errors), file_sync.c (locks, directories made durable), file_object.c (GET, PUT,
 * DELETE), file_list.c, file_multipart.c. All but the first run on worker threads and block. */
#ifndef FIRN_IO_FILE_IO_FILE_PRIV_H
#define FIRN_IO_FILE_IO_FILE_PRIV_H

#include "base/list.h"
#include "io_file/io_file.h"

#include <pthread.h>

#define FILE_TMP ".firn-tmp"
#define FILE_PATH_MAX (FIRN_OS_KEY_MAX + 64) /* of names below the root */
#define FILE_LOCKS 64
#define FILE_KNOWN 256

/* Requests in a row, linked through req->priv: a queue needs no memory of its own. */
struct file_queue {
    struct firn_os_req *head, *tail;
};

struct file_lock {
    pthread_mutex_t mutex; /* between threads */
    int fd;                /* flock(2): between processes; -1 = not open yet */
};

struct firn_file {
    struct firn_objstore store;
    const struct firn_poster *poster;
    int root; /* the directory */
    int tmp;  /* FILE_TMP in it */
    pthread_t *thread;
    unsigned threads;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t more;
    struct file_queue todo, ended;
    bool stop, posted;
    struct firn_post post;      /* on its way while `posted` */
    struct firn_list syncs;     /* struct sync: directories being made durable */
    uint64_t known[FILE_KNOWN]; /* hashes of directories known to be durable themselves */
    uint64_t temp_seq;          /* of temporary names of this process */
    struct file_lock name_lock[FILE_LOCKS]; /* by hash of the name */
};

/* ---- file_path.c */
/* A name the store takes: components of printable ASCII, none empty or with a leading dot. */
bool firn_file__key_ok(const char *key);
/* The same for a prefix, which may be empty or end anywhere. */
bool firn_file__prefix_ok(const char *prefix);
/* What an errno means for a write or a read that did `what` to key; fills req->err, returns the
 * status. */
enum firn_status firn_file__fail(struct firn_os_req *req, bool write, const char *what, int e);
/* Refuse file systems that cannot keep the promises. */
enum firn_status firn_file__check_fs(int fd, const char *dir, struct firn_err *err);
/* "\"32 hex digits\"": of the content, so that equal bytes have equal ETags. */
void firn_file__etag(const void *data, size_t len, char out[FIRN_OS_ETAG_MAX]);

/* ---- file_sync.c */
/* Make entries of the directory (relative to root; "" is root) durable. Calls at the same time
 * share one fsync that begins after the last of them. 0 or an errno. */
int firn_file__sync_dir(struct firn_file *f, const char *dir);
/* The directory part of key into dir[FILE_PATH_MAX], "" for none. */
void firn_file__dir_of(const char *key, char *dir);
/* See that the directories above key are there and durable. 0 or an errno. O(1) once known. */
int firn_file__make_dirs(struct firn_file *f, const char *key);
/* The directories above key turned out to be missing: forget that they were known. */
void firn_file__forget_dirs(struct firn_file *f, const char *key);
/* Keep others, threads and processes, from changing the name. 0 or an errno. */
int firn_file__lock_name(struct firn_file *f, const char *key);
void firn_file__unlock_name(struct firn_file *f, const char *key);

/* ---- file_object.c */
#define FILE_TEMP_NAME 64
/* A new temporary file in f->tmp with a fresh name; the descriptor, or -1 with errno. */
int firn_file__temp(struct firn_file *f, char name[FILE_TEMP_NAME]);
/* All bytes, or an errno. */
int firn_file__write_all(int fd, const void *data, size_t len);
/* Put the finished, synced temporary file in place of key, whatever is there; durable when it
 * returns. Sets the request's status and removes the temporary file when it fails. */
void firn_file__replace(struct firn_file *f, struct firn_os_req *req, const char *temp);
/* The bytes [offset, offset + length) of fd. FIRN_OK, or the request's status with its message. */
enum firn_status firn_file__read(int fd, struct firn_os_req *req, struct firn_buf *out,
                                 uint64_t offset, uint64_t length);
void firn_file__get(struct firn_file *f, struct firn_os_req *req); /* and HEAD */
void firn_file__put(struct firn_file *f, struct firn_os_req *req);
void firn_file__delete(struct firn_file *f, struct firn_os_req *req);
void firn_file__delete_many(struct firn_file *f, struct firn_os_req *req);

/* ---- file_list.c, file_multipart.c */
void firn_file__list(struct firn_file *f, struct firn_os_req *req);
void firn_file__mp_create(struct firn_file *f, struct firn_os_req *req);
void firn_file__mp_part(struct firn_file *f, struct firn_os_req *req);
void firn_file__mp_complete(struct firn_file *f, struct firn_os_req *req);
void firn_file__mp_abort(struct firn_file *f, struct firn_os_req *req);
/* Remove what crashed processes left behind in f->tmp more than an hour ago. */
void firn_file__sweep(struct firn_file *f);

#endif
