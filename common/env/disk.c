#include "env/disk.h"

#include "base/mem.h"

void firn_disk_req_clear(struct firn_disk_req *r)
{
    firn_free(r->entry);
    r->entry = NULL;
    r->count = r->got = 0;
    r->size = 0;
    r->status = FIRN_OK;
    r->err.text[0] = '\0';
}

const char *firn_disk_op_name(enum firn_disk_op op)
{
    static const char *const name[FIRN_DISK_OPS] = {
        [FIRN_DISK_OPEN] = "open",
        [FIRN_DISK_CLOSE] = "close",
        [FIRN_DISK_READ] = "read",
        [FIRN_DISK_WRITE] = "write",
        [FIRN_DISK_APPEND] = "append",
        [FIRN_DISK_SYNC] = "sync",
        [FIRN_DISK_SIZE] = "size",
        [FIRN_DISK_RENAME] = "rename",
        [FIRN_DISK_REMOVE] = "remove",
        [FIRN_DISK_LIST] = "list",
        [FIRN_DISK_SYNC_DIR] = "sync of the directory",
    };
    return op < FIRN_DISK_OPS ? name[op] : "?";
}

bool firn_disk_name_valid(const char *name)
{
    size_t len = strlen(name);
    size_t good = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return len >= 1 && len <= FIRN_DISK_NAME_MAX && good == len && name[0] != '.';
}
