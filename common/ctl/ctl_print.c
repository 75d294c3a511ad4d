/* Text for people. */
#include "ctl/ctl_priv.h"

#include "format/codec.h"
#include "format/key.h"
#include "format/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define HAND_OVER_BYTES ((size_t)64 * 1024)

void firn_ctl__flush(struct firn_ctl *c)
{
    if (c->text.len)
        c->user.out(c->user.arg, firn_buf_slice(&c->text));
    c->text.len = 0;
}

static void note(struct firn_ctl *c, enum firn_status s)
{
    if (s != FIRN_OK)
        c->text_lost = true;
    if (c->text.len >= HAND_OVER_BYTES)
        firn_ctl__flush(c);
}

void firn_ctl__print(struct firn_ctl *c, const char *fmt, ...)
{
    char line[2048]; /* long texts come through print_bytes */
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    note(c, firn_buf_append(&c->text, line, len));
}

/* --- bytes and keys */

static size_t escape_one(uint8_t ch, char out[8], bool json)
{
    const char *slash = json ? "\\\\" : "\\";
    if (ch == '"' || ch == '\\')
        return (size_t)snprintf(out, 8, "%s%s%c", slash, json ? "\\" : "", ch);
    if (ch == '\n' || ch == '\r' || ch == '\t')
        return (size_t)snprintf(out, 8, "%s%c", slash, ch == '\n' ? 'n' : ch == '\r' ? 'r' : 't');
    if (ch < ' ' || ch > '~')
        return (size_t)snprintf(out, 8, "%sx%02x", slash, ch);
    out[0] = (char)ch;
    return 1;
}

enum firn_status firn_ctl__escape(struct firn_buf *out, struct firn_slice s, bool json)
{
    for (size_t i = 0; i < s.len; i++) {
        char one[8];
        enum firn_status st = firn_buf_append(out, one, escape_one(s.data[i], one, json));
        if (st != FIRN_OK)
            return st;
    }
    return FIRN_OK;
}

static enum firn_status quoted(struct firn_buf *out, struct firn_slice s, bool json)
{
    const char *quote = json ? "\\\"" : "\"";
    enum firn_status st = firn_buf_append(out, quote, strlen(quote));
    if (st == FIRN_OK)
        st = firn_ctl__escape(out, s, json);
    return st == FIRN_OK ? firn_buf_append(out, quote, strlen(quote)) : st;
}

enum firn_status firn_ctl__escape_key(struct firn_buf *out, struct firn_slice key, bool json)
{
    enum firn_status st;
    if (key.len == 0)
        return firn_buf_printf(out, "-");
    int db = firn_key_db(key);
    if (db >= 0)
        st = firn_buf_printf(out, "db%d ", db);
    else if (key.data[0] == FIRN_NS_INTERNAL)
        st = firn_buf_printf(out, "internal ");
    else if (key.data[0] == FIRN_NS_EXPIRY)
        st = firn_buf_printf(out, "expiry ");
    else if (key.data[0] == FIRN_NS_DB_END && key.len == 1)
        return firn_buf_printf(out, "end");
    else
        st = firn_buf_printf(out, "0x%02x ", key.data[0]);
    return st == FIRN_OK ? quoted(out, firn_key_user(key), json) : st;
}

void firn_ctl__print_bytes(struct firn_ctl *c, struct firn_slice s)
{
    note(c, quoted(&c->text, s, false));
}

void firn_ctl__print_key(struct firn_ctl *c, struct firn_slice key)
{
    note(c, firn_ctl__escape_key(&c->text, key, false));
}

void firn_ctl__print_range(struct firn_ctl *c, struct firn_slice lower, struct firn_slice upper)
{
    firn_ctl__print(c, "[");
    firn_ctl__print_key(c, lower);
    firn_ctl__print(c, ", ");
    firn_ctl__print_key(c, upper);
    firn_ctl__print(c, ")");
}

/* --- times, sizes, names of numbers */

void firn_ctl__print_time(struct firn_ctl *c, uint64_t ms)
{
    struct tm tm;
    time_t t = (time_t)(ms / 1000);
    if (ms == 0)
        firn_ctl__print(c, "never");
    else if (ms / 1000 > (uint64_t)253402300799 || !gmtime_r(&t, &tm)) /* the year 9999 */
        firn_ctl__print(c, "%" PRIu64 " ms", ms);
    else
        firn_ctl__print(c, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1,
                        tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(ms % 1000));
}

const char *firn_ctl__size(uint64_t bytes, char out[CTL_SIZE_MAX])
{
    static const char *const unit[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes / 1024;
    size_t i = 0;
    while (v >= 1023.95 && i + 1 < sizeof unit / sizeof unit[0]) {
        v /= 1024;
        i++;
    }
    if (bytes < 1024)
        (void)snprintf(out, CTL_SIZE_MAX, "%u B", (unsigned)bytes);
    else
        (void)snprintf(out, CTL_SIZE_MAX, "%.1f %s", v, unit[i]);
    return out;
}

const char *firn_ctl__codec_name(unsigned codec)
{
    static const char *const name[] = {
        [FIRN_CODEC_NONE] = "none", [FIRN_CODEC_LZ4] = "lz4", [FIRN_CODEC_ZSTD] = "zstd"};
    return firn_codec_known(codec) ? name[codec] : "unknown";
}

const char *firn_ctl__kind_name(unsigned kind)
{
    static const char *const name[] = {
        [FIRN_RECORD_PUT] = "PUT",           [FIRN_RECORD_DEL] = "DEL",
        [FIRN_RECORD_RANGEDEL] = "RANGEDEL", [FIRN_RECORD_REF] = "REF",
        [FIRN_RECORD_PUBLISH] = "PUBLISH",   [FIRN_RECORD_DEDUP] = "DEDUP",
        [FIRN_RECORD_EXPIRED] = "EXPIRED",   [FIRN_RECORD_GROUP_BEGIN] = "BEGIN",
        [FIRN_RECORD_GROUP_END] = "END",
    };
    return kind < sizeof name / sizeof name[0] && name[kind] ? name[kind] : "unknown";
}
