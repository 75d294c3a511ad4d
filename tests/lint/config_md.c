/* Prints docs/CONFIG.md, made from the table of settings. */
#include "conf/conf.h"

#include <stdio.h>

int main(void)
{
    struct firn_buf out;
    firn_buf_init(&out, 1 << 20);
    int rc = 1;
    if (firn_conf_markdown(&out) == FIRN_OK)
        rc = fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0 ? 0 : 1;
    firn_buf_clear(&out);
    return rc;
}
