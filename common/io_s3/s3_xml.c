#include "io_s3/s3_priv.h"

#include "base/slice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t *find(struct firn_slice xml, size_t at, const char *what)
{
    return at < xml.len ? memmem(xml.data + at, xml.len - at, what, strlen(what)) : NULL;
}

bool s3_xml_inside(struct firn_slice xml, size_t *at, const char *name, struct firn_slice *out)
{
    char open[64], close[64];
    (void)snprintf(open, sizeof open, "<%s>", name);
    (void)snprintf(close, sizeof close, "</%s>", name);
    const uint8_t *from = find(xml, *at, open);
    if (!from)
        return false;
    size_t begin = (size_t)(from - xml.data) + strlen(open);
    const uint8_t *to = find(xml, begin, close);
    if (!to)
        return false;
    *out = firn_slice_of(xml.data + begin, (size_t)(to - xml.data) - begin);
    *at = (size_t)(to - xml.data) + strlen(close);
    return true;
}

/* One entity at s ("&amp;"): its byte and how long it is; 0 when it is none that stands for one byte. */
static size_t entity(struct firn_slice s, char *out)
{
    static const struct {
        const char *name;
        char byte;
    } known[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (firn_slice_starts(s, firn_slice_str(known[i].name))) {
            *out = known[i].byte;
            return strlen(known[i].name);
        }
    }
    if (s.len < 4 || s.data[1] != '#')
        return 0;
    bool hex = s.data[2] == 'x';
    unsigned v = 0;
    size_t i = hex ? 3 : 2;
    for (; i < s.len && i < 8 && s.data[i] != ';'; i++) {
        uint8_t c = s.data[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 32) - 'a' + 10);
        if (digit >= (hex ? 16u : 10u))
            return 0;
        v = v * (hex ? 16 : 10) + digit;
    }
    if (i >= s.len || s.data[i] != ';' || v > 255)
        return 0;
    *out = (char)v;
    return i + 1;
}

bool s3_xml_text(struct firn_slice xml, size_t *at, const char *name, char *out, size_t max)
{
    struct firn_slice in;
    size_t from = *at, n = 0;
    if (!s3_xml_inside(xml, &from, name, &in))
        return false;
    for (size_t i = 0; i < in.len;) {
        char c = (char)in.data[i];
        size_t step = c == '&' ? entity(firn_slice_of(in.data + i, in.len - i), &c) : 1;
        if (step == 0)
            step = 1;
        if (n + 1 >= max)
            return false;
        out[n++] = c;
        i += step;
    }
    out[n] = '\0';
    *at = from;
    return true;
}

enum firn_status s3_xml_escape(struct firn_buf *out, struct firn_slice s)
{
    enum firn_status st = FIRN_OK;
    for (size_t i = 0; i < s.len && st == FIRN_OK; i++) {
        switch (s.data[i]) {
        case '&':
            st = firn_buf_append(out, "&amp;", 5);
            break;
        case '<':
            st = firn_buf_append(out, "&lt;", 4);
            break;
        case '>':
            st = firn_buf_append(out, "&gt;", 4);
            break;
        default:
            st = firn_buf_append(out, s.data + i, 1);
            break;
        }
    }
    return st;
}
