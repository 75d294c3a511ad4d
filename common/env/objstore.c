#include "env/objstore.h"

#include "base/mem.h"

void firn_os_req_clear(struct firn_os_req *r)
{
    firn_buf_clear(&r->reply);
    for (size_t i = 0; i < r->page.count; i++)
        firn_free(r->page.entry[i].key);
    firn_free(r->page.entry);
    firn_free(r->page.next);
    r->page = (struct firn_os_page){0};
    r->status = FIRN_OK;
    r->slow_down = false;
    r->http_status = 0;
    r->err.text[0] = '\0';
    r->reply_etag[0] = '\0';
    r->upload_id_out[0] = '\0';
    r->size = 0;
    r->date_ms = 0;
    r->nfailed = 0;
}

const char *firn_os_op_name(enum firn_os_op op)
{
    static const char *const name[FIRN_OS_OPS] = {"GET",         "HEAD",    "PUT",       "DELETE",
                                                  "DELETE_MANY", "LIST",    "MP_CREATE", "MP_PART",
                                                  "MP_COMPLETE", "MP_ABORT"};
    return op < FIRN_OS_OPS ? name[op] : "?";
}
