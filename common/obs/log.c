#include "obs/log.h"

#include "base/assert.h"
#include "base/hash.h"
#include "obs/obs_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#define VALUE_MAX 512     /* bytes of one value, before escaping */
#define TAIL_ROOM 64      /* kept free for truncated=yes, suppressed=N and the closing brace */
#define CONVERSION_MAX 40 /* of one printf conversion, without a string's text */

/* The line under construction. A piece that does not fit sets `full` and leaves the line as it was.
 */
struct line {
    char text[FIRN_LOG_LINE_MAX];
    size_t len;
    size_t max;
    bool full;
    bool json;
};

/* The value of one pair, before quoting. */
struct value {
    char text[VALUE_MAX];
    size_t len;
    bool number; /* may stand unquoted in JSON */
};

const char *firn_log_level_name(enum firn_log_level level)
{
    static const char *const name[] = {"debug", "info", "warn", "error"};
    return level <= FIRN_LOG_ERROR ? name[level] : "?";
}

static void put(struct line *l, const char *text, size_t len)
{
    if (len > l->max - l->len) {
        l->full = true;
        return;
    }
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

/* One character (a UTF-8 sequence) as JSON writes it inside quotes. Returns the bytes of input
 * used. */
static size_t put_escaped(struct line *l, const uint8_t *p, size_t n)
{
    char hex[8];
    size_t len = firn_obs__utf8_len(p, n);
    if (len == 0) {
        put(l, "\\ufffd", 6);
        return 1;
    }
    if (*p == '"' || *p == '\\') {
        put(l, (char[]){'\\', (char)*p}, 2);
    } else if (*p == '\n') {
        put(l, "\\n", 2);
    } else if (*p < 0x20 || *p == 0x7f) {
        (void)snprintf(hex, sizeof hex, "\\u%04x", *p);
        put(l, hex, 6);
    } else {
        put(l, (const char *)p, len);
    }
    return len;
}

static void put_quoted(struct line *l, const char *text, size_t len)
{
    put(l, "\"", 1);
    for (size_t i = 0; i < len;)
        i += put_escaped(l, (const uint8_t *)text + i, len - i);
    put(l, "\"", 1);
}

/* logfmt wants quotes around anything but a plain word. */
static bool is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' || c >= 0x7f || c == '=' || c == '"' || c == '\\')
            return false;
    }
    return len > 0;
}

static void put_pair(struct line *l, const char *key, size_t key_len, const struct value *v)
{
    size_t start = l->len;
    if (l->json) {
        put(l, start == 0 ? "{\"" : ",\"", 2);
        put(l, key, key_len);
        put(l, "\":", 2);
    } else {
        put(l, " ", start == 0 ? 0 : 1);
        put(l, key, key_len);
        put(l, "=", 1);
    }
    if (l->json ? v->number : is_plain(v->text, v->len))
        put(l, v->text, v->len);
    else
        put_quoted(l, v->text, v->len);
    if (l->full)
        l->len = start;
}

static void put_text_pair(struct line *l, const char *key, const char *text)
{
    struct value v = {.len = strnlen(text, VALUE_MAX)};
    memcpy(v.text, text, v.len);
    put_pair(l, key, strlen(key), &v);
}

static void value_append(struct value *v, const char *text, size_t len)
{
    size_t room = sizeof v->text - v->len;
    if (len > room)
        len = room;
    memcpy(v->text + v->len, text, len);
    v->len += len;
}

/* One conversion: what stands between % and its letter. */
struct conversion {
    char flags[8];
    int width, precision; /* -1 = not given */
    char length;          /* H = hh, h, l, L = ll, z, t, j, 0 = int */
    char letter;
};

static int parse_count(const char **at, va_list *ap)
{
    if (**at == '*') {
        (*at)++;
        return va_arg(*ap, int);
    }
    int n = 0;
    for (; **at >= '0' && **at <= '9' && n < 1000; (*at)++)
        n = n * 10 + (**at - '0');
    return n;
}

/* Parse behind a %; *at moves behind the letter. The format is a constant of our own: bad ones
 * assert. */
static struct conversion parse_conversion(const char **at, va_list *ap)
{
    struct conversion c = {.width = -1, .precision = -1};
    size_t n = strspn(*at, "-+0#");
    FIRN_ASSERT(n < sizeof c.flags);
    memcpy(c.flags, *at, n);
    *at += n;
    if (**at == '*' || (**at >= '1' && **at <= '9'))
        c.width = parse_count(at, ap);
    if (**at == '.') {
        (*at)++;
        c.precision = parse_count(at, ap);
    }
    if (**at && strchr("hlztj", **at)) {
        c.length = *(*at)++;
        if (**at == c.length) {
            c.length = c.length == 'h' ? 'H' : 'L';
            (*at)++;
        }
    }
    c.letter = **at;
    FIRN_ASSERT(c.letter && strchr("diuxXcsfg", c.letter));
    (*at)++;
    return c;
}

static intmax_t signed_arg(char length, va_list *ap)
{
    switch (length) {
    case 'l':
        return va_arg(*ap, long);
    case 'L':
        return va_arg(*ap, long long);
    case 'z':
        return va_arg(*ap, ssize_t);
    case 't':
        return va_arg(*ap, ptrdiff_t);
    case 'j':
        return va_arg(*ap, intmax_t);
    default: /* hh and h are promoted to int */
        return va_arg(*ap, int);
    }
}

static uintmax_t unsigned_arg(char length, va_list *ap)
{
    switch (length) {
    case 'l':
        return va_arg(*ap, unsigned long);
    case 'L':
        return va_arg(*ap, unsigned long long);
    case 'z':
    case 't':
        return va_arg(*ap, size_t);
    case 'j':
        return va_arg(*ap, uintmax_t);
    default:
        return va_arg(*ap, unsigned int);
    }
}

static void append_string(struct value *v, int precision, va_list *ap)
{
    const char *s = va_arg(*ap, const char *);
    if (!s)
        s = "(none)";
    size_t max = precision >= 0 ? (size_t)precision : VALUE_MAX;
    value_append(v, s, strnlen(s, max < VALUE_MAX ? max : VALUE_MAX));
}

/* Write the text of one conversion into v, taking its argument. */
static void append_conversion(struct value *v, const char **at, va_list *ap)
{
    struct conversion c = parse_conversion(at, ap);
    char spec[CONVERSION_MAX], text[VALUE_MAX];
    char width[12] = "", precision[13] = "";
    if (c.letter == 's') {
        append_string(v, c.precision, ap);
        return;
    }
    if (c.width >= 0)
        (void)snprintf(width, sizeof width, "%d", c.width);
    if (c.precision >= 0)
        (void)snprintf(precision, sizeof precision, ".%d", c.precision);
    bool real = c.letter == 'f' || c.letter == 'g', byte = c.letter == 'c';
    (void)snprintf(spec, sizeof spec, "%%%s%s%s%s%c", c.flags, width, precision,
                   real || byte ? "" : "j", c.letter);
    int n;
    bool finite = true;
    if (real) {
        double d = va_arg(*ap, double);
        finite = isfinite(d);
        n = snprintf(text, sizeof text, spec, d);
    } else if (byte) {
        n = snprintf(text, sizeof text, spec, va_arg(*ap, int));
    } else if (c.letter == 'd' || c.letter == 'i') {
        n = snprintf(text, sizeof text, spec, signed_arg(c.length, ap));
    } else {
        n = snprintf(text, sizeof text, spec, unsigned_arg(c.length, ap));
    }
    v->number = v->len == 0 && finite && c.width < 0 && !c.flags[0] && strchr("diufg", c.letter);
    if (n > 0)
        value_append(v, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* Read one value template up to a blank or the end. */
static void read_value(struct value *v, const char **at, va_list *ap)
{
    *v = (struct value){.len = 0};
    while (**at && **at != ' ') {
        if (**at == '%' && (*at)[1] != '%') {
            (*at)++;
            append_conversion(v, at, ap);
            continue;
        }
        *at += **at == '%'; /* %% */
        value_append(v, *at, 1);
        v->number = false;
        (*at)++;
    }
}

static void put_pairs(struct line *l, const char *fmt, va_list *ap)
{
    struct value v;
    while (*fmt) {
        size_t key_len = strcspn(fmt, "= ");
        FIRN_ASSERT(key_len > 0 && fmt[key_len] == '=');
        const char *key = fmt;
        fmt += key_len + 1;
        read_value(&v, &fmt, ap);
        put_pair(l, key, key_len, &v);
        fmt += *fmt == ' ';
    }
}

/* RFC 3339 in UTC. Days to dates as in H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
 */
static void put_time(struct line *l, uint64_t ms)
{
    uint64_t days = ms / 86400000 + 719468, second = ms / 1000 % 86400;
    uint64_t era = days / 146097, doe = days % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    uint64_t mp = (5 * doy + 2) / 153, day = doy - (153 * mp + 2) / 5 + 1;
    uint64_t month = mp < 10 ? mp + 3 : mp - 9;
    uint64_t year = yoe + era * 400 + (month <= 2);
    struct value v = {.len = 0};
    int n = snprintf(v.text, sizeof v.text,
                     "%04" PRIu64 "-%02" PRIu64 "-%02" PRIu64 "T%02" PRIu64 ":%02" PRIu64
                     ":%02" PRIu64 ".%03" PRIu64 "Z",
                     year, month, day, second / 3600, second / 60 % 60, second % 60, ms % 1000);
    v.len = (size_t)n;
    put_pair(l, "ts", 2, &v);
}

/* The entry that counts this event's lines: its own, else a free or run-out one, else the first. */
static struct firn_log_repeat *repeat_of(struct firn_log *log, uint64_t hash, uint64_t now)
{
    struct firn_log_repeat *use = NULL;
    for (size_t i = 0; i < FIRN_LOG_REPEAT_SLOTS; i++) {
        struct firn_log_repeat *r = &log->repeat[i];
        if (r->lines && r->event_hash == hash)
            return r;
        bool over = now - r->window_start_ms >= FIRN_LOG_WINDOW_MS && r->suppressed == 0;
        if (!use && (r->lines == 0 || over))
            use = r;
    }
    if (!use)
        use = &log->repeat[0];
    *use = (struct firn_log_repeat){.event_hash = hash, .window_start_ms = now};
    return use;
}

/* Whether this line is to be written; *suppressed is how many were not since the last one. */
static bool admit(struct firn_log *log, enum firn_log_level level, const char *event, uint64_t now,
                  uint64_t *suppressed)
{
    struct firn_log_repeat *r = repeat_of(log, firn_xxh3(event, strlen(event)), now);
    /* a wall clock that jumped back ends the window as well */
    if (now - r->window_start_ms >= FIRN_LOG_WINDOW_MS) {
        r->window_start_ms = now;
        r->lines = 0;
    }
    if (r->lines >= FIRN_LOG_BURST && level < FIRN_LOG_ERROR) {
        r->suppressed++;
        return false;
    }
    if (r->lines < UINT32_MAX)
        r->lines++;
    *suppressed = r->suppressed;
    r->suppressed = 0;
    return true;
}

/* Build the line from `fmt` (NULL: no pairs) and hand it to the sink. */
static void emit(struct firn_log *log, enum firn_log_level level, const char *event, uint64_t now,
                 uint64_t suppressed, const char *fmt, va_list *ap)
{
    struct line l;
    l.len = 0;
    l.max = sizeof l.text - TAIL_ROOM;
    l.full = false;
    l.json = log->json;
    if (log->wall_ms)
        put_time(&l, now);
    put_text_pair(&l, "level", firn_log_level_name(level));
    put_text_pair(&l, "msg", event);
    if (fmt)
        put_pairs(&l, fmt, ap);
    bool cut = l.full;
    l.full = false;
    l.max = sizeof l.text;
    if (cut)
        put_text_pair(&l, "truncated", "yes");
    if (suppressed) {
        struct value v = {.number = true};
        v.len = (size_t)snprintf(v.text, sizeof v.text, "%" PRIu64, suppressed);
        put_pair(&l, "suppressed", 10, &v);
    }
    if (l.json)
        put(&l, "}", 1);
    log->sink(log->sink_arg, level, l.text, l.len);
}

/* Whether anybody wants the line; tells the time and how many lines like it were suppressed. */
static bool wanted(struct firn_log *log, enum firn_log_level level, const char *event,
                   uint64_t *now, uint64_t *suppressed)
{
    *now = *suppressed = 0;
    if (!log || !log->sink || level < log->level)
        return false;
    if (!log->wall_ms)
        return true;
    *now = log->wall_ms(log->wall_arg);
    return admit(log, level, event, *now, suppressed);
}

void firn_log_event(struct firn_log *log, enum firn_log_level level, const char *event,
                    const char *fmt, ...)
{
    uint64_t now, suppressed;
    if (!wanted(log, level, event, &now, &suppressed))
        return;
    va_list ap;
    va_start(ap, fmt);
    emit(log, level, event, now, suppressed, fmt, &ap);
    va_end(ap);
}

void firn_log_plain(struct firn_log *log, enum firn_log_level level, const char *event)
{
    uint64_t now, suppressed;
    if (wanted(log, level, event, &now, &suppressed))
        emit(log, level, event, now, suppressed, NULL, NULL);
}
