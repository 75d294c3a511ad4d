#include "sim/check_report.h"

#include "base/assert.h"
#include "sim/history_text.h"

#include <stdio.h>

void check_report_init(struct check_report *r)
{
    r->wrong = 0;
    firn_buf_init(&r->text, SIZE_MAX);
}

void check_report_clear(struct check_report *r)
{
    firn_buf_clear(&r->text);
    check_report_init(r);
}

static void say(struct check_report *r, const char *fmt, va_list ap)
{
    char text[512];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    enum firn_status st = firn_buf_printf(&r->text, "%s\n", text);
    FIRN_ASSERT(st == FIRN_OK);
}

void check_wrong(struct check_report *r, const char *fmt, ...)
{
    va_list ap;
    if (r->wrong++ >= CHECK_TEXTS_MAX)
        return;
    va_start(ap, fmt);
    say(r, fmt, ap);
    va_end(ap);
}

void check_wrong_op(struct check_report *r, const struct hist *h, const struct hist_op *op,
                    const char *fmt, ...)
{
    va_list ap;
    if (r->wrong++ >= CHECK_TEXTS_MAX)
        return;
    va_start(ap, fmt);
    say(r, fmt, ap);
    va_end(ap);
    enum firn_status st = firn_buf_append(&r->text, "    ", 4);
    FIRN_ASSERT(st == FIRN_OK);
    hist_text_op(h, op, &r->text);
    st = firn_buf_append(&r->text, "\n", 1);
    FIRN_ASSERT(st == FIRN_OK);
}
