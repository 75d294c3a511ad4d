#include "obs/metrics.h"

#include "base/assert.h"
#include "base/mem.h"
#include "obs/obs_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#define FAMILIES_MAX 512

enum kind { COUNTER, GAUGE, HISTOGRAM };

/* All samples of one metric; the format wants them together under one HELP and TYPE. */
struct family {
    const char *name; /* without firn_; the collector's, constant for the rendering */
    const char *help;
    enum kind kind;
    struct firn_buf samples;
};

struct firn_metrics_out {
    struct family *family;
    size_t count, cap;
    size_t max;              /* of the whole text */
    enum firn_status status; /* the first failure; after it nothing is taken */
};

/* Bounds of the buckets shown; the histograms themselves are finer. */
static const uint64_t ns_bounds[] = {1000,       2500,        5000,        10000,      25000,
                                     50000,      100000,      250000,      500000,     1000000,
                                     2500000,    5000000,     10000000,    25000000,   50000000,
                                     100000000,  250000000,   500000000,   1000000000, 2500000000,
                                     5000000000, 10000000000, 25000000000, 60000000000};
static const uint64_t plain_bounds[] = {1,        4,        16,        64,        256,     1024,
                                        4096,     16384,    65536,     262144,    1048576, 4194304,
                                        16777216, 67108864, 268435456, 1073741824};

void firn_metrics_init(struct firn_metrics *m)
{
    firn_list_init(&m->collectors);
}

void firn_metrics_add(struct firn_metrics *m, struct firn_collector *c)
{
    firn_list_push(&m->collectors, &c->link);
}

void firn_metrics_remove(struct firn_collector *c)
{
    firn_list_remove(&c->link);
}

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

static bool is_name(const char *s)
{
    if (*s < 'a' || *s > 'z')
        return false;
    return s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

static void fail(struct firn_metrics_out *out, enum firn_status s)
{
    if (out->status == FIRN_OK)
        out->status = s;
}

static struct family *family_of(struct firn_metrics_out *out, const char *name, const char *help,
                                enum kind kind)
{
    FIRN_ASSERT(is_name(name) && ends_with(name, "_total") == (kind == COUNTER));
    for (size_t i = 0; i < out->count; i++) {
        struct family *f = &out->family[i];
        if (strcmp(f->name, name) == 0) {
            FIRN_ASSERT(f->kind == kind);
            return f;
        }
    }
    if (out->count == out->cap) {
        size_t cap = out->cap ? out->cap * 2 : 64;
        struct family *f = cap <= FAMILIES_MAX ? firn_realloc(out->family, cap * sizeof *f) : NULL;
        if (!f) {
            fail(out, FIRN_LIMIT);
            return NULL;
        }
        out->family = f;
        out->cap = cap;
    }
    struct family *f = &out->family[out->count++];
    *f = (struct family){.name = name, .help = help, .kind = kind};
    firn_buf_init(&f->samples, out->max);
    return f;
}

/* Append text in which \ and line feed (and " in labels) are escaped, bad UTF-8 becomes ?. */
static enum firn_status append_escaped(struct firn_buf *b, const char *text, bool label)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t left = strlen(text);
    enum firn_status s = FIRN_OK;
    while (left && s == FIRN_OK) {
        size_t n = firn_obs__utf8_len(p, left);
        if (*p == '\n')
            s = firn_buf_append(b, "\\n", 2);
        else if (*p == '\\' || (*p == '"' && label))
            s = firn_buf_append(b, (char[]){'\\', (char)*p}, 2);
        else
            s = n ? firn_buf_append(b, p, n) : firn_buf_append(b, "?", 1);
        n = n ? n : 1;
        p += n;
        left -= n;
    }
    return s;
}

/* Append `{a="x",b="y"` without the closing brace; *any says whether there was a label. */
static enum firn_status append_labels(struct firn_buf *b, va_list ap, bool *any)
{
    enum firn_status s = FIRN_OK;
    *any = false;
    for (const char *k; s == FIRN_OK && (k = va_arg(ap, const char *)) != NULL; *any = true) {
        const char *v = va_arg(ap, const char *);
        FIRN_ASSERT(is_name(k) && v);
        s = firn_buf_printf(b, "%c%s=\"", *any ? ',' : '{', k);
        if (s == FIRN_OK)
            s = append_escaped(b, v, true);
        if (s == FIRN_OK)
            s = firn_buf_append(b, "\"", 1);
    }
    return s;
}

static enum firn_status append_number(struct firn_buf *b, double v)
{
    if (isnan(v))
        return firn_buf_printf(b, " NaN\n");
    if (isinf(v))
        return firn_buf_printf(b, v > 0 ? " +Inf\n" : " -Inf\n");
    return firn_buf_printf(b, " %.15g\n", v);
}

/* `firn_name{labels}` of an ordinary sample. */
static enum firn_status append_head(struct family *f, va_list ap)
{
    bool any;
    enum firn_status s = firn_buf_printf(&f->samples, "firn_%s", f->name);
    if (s == FIRN_OK)
        s = append_labels(&f->samples, ap, &any);
    if (s == FIRN_OK && any)
        s = firn_buf_append(&f->samples, "}", 1);
    return s;
}

static void sample(struct firn_metrics_out *out, struct family *f, double value, va_list ap)
{
    enum firn_status s = append_head(f, ap);
    if (s == FIRN_OK)
        s = append_number(&f->samples, value);
    if (s != FIRN_OK)
        fail(out, s);
}

void firn_metrics_counter(struct firn_metrics_out *out, const char *name, const char *help,
                          uint64_t value, ...)
{
    struct family *f = family_of(out, name, help, COUNTER);
    if (!f)
        return;
    va_list ap;
    va_start(ap, value);
    enum firn_status s = append_head(f, ap);
    va_end(ap);
    if (s == FIRN_OK)
        s = firn_buf_printf(&f->samples, " %" PRIu64 "\n", value);
    if (s != FIRN_OK)
        fail(out, s);
}

void firn_metrics_counter_f(struct firn_metrics_out *out, const char *name, const char *help,
                            double value, ...)
{
    struct family *f = family_of(out, name, help, COUNTER);
    if (!f)
        return;
    va_list ap;
    va_start(ap, value);
    sample(out, f, value, ap);
    va_end(ap);
}

void firn_metrics_gauge(struct firn_metrics_out *out, const char *name, const char *help,
                        double value, ...)
{
    struct family *f = family_of(out, name, help, GAUGE);
    if (!f)
        return;
    va_list ap;
    va_start(ap, value);
    sample(out, f, value, ap);
    va_end(ap);
}

/* The lines of one histogram; `labels` is as append_labels made it. */
static enum firn_status append_hist(struct family *f, const struct firn_hist *h,
                                    struct firn_slice labels)
{
    bool ns = ends_with(f->name, "_seconds");
    double unit = ns ? 1e-9 : 1;
    const uint64_t *bounds = ns ? ns_bounds : plain_bounds;
    size_t nbounds =
        ns ? sizeof ns_bounds / sizeof *ns_bounds : sizeof plain_bounds / sizeof *plain_bounds;
    const char *sep = labels.len ? "," : "{", *close = labels.len ? "}" : "";
    const char *text = labels.len ? (const char *)labels.data : "";
    int len = (int)labels.len;
    struct firn_buf *b = &f->samples;
    enum firn_status s = FIRN_OK;
    for (size_t i = 0; i < nbounds && s == FIRN_OK; i++)
        s = firn_buf_printf(b, "firn_%s_bucket%.*s%sle=\"%.15g\"} %" PRIu64 "\n", f->name, len,
                            text, sep, (double)bounds[i] * unit, firn_hist_count_le(h, bounds[i]));
    if (s == FIRN_OK)
        s = firn_buf_printf(b, "firn_%s_bucket%.*s%sle=\"+Inf\"} %" PRIu64 "\n", f->name, len, text,
                            sep, h->count);
    if (s == FIRN_OK)
        s = firn_buf_printf(b, "firn_%s_sum%.*s%s", f->name, len, text, close);
    if (s == FIRN_OK)
        s = append_number(b, (double)h->sum * unit);
    if (s == FIRN_OK)
        s = firn_buf_printf(b, "firn_%s_count%.*s%s %" PRIu64 "\n", f->name, len, text, close,
                            h->count);
    return s;
}

void firn_metrics_hist(struct firn_metrics_out *out, const char *name, const char *help,
                       const struct firn_hist *h, ...)
{
    struct family *f = family_of(out, name, help, HISTOGRAM);
    if (!f)
        return;
    struct firn_buf labels;
    firn_buf_init(&labels, out->max);
    bool any;
    va_list ap;
    va_start(ap, h);
    enum firn_status s = append_labels(&labels, ap, &any);
    va_end(ap);
    if (s == FIRN_OK)
        s = append_hist(f, h, firn_buf_slice(&labels));
    firn_buf_clear(&labels);
    if (s != FIRN_OK)
        fail(out, s);
}

static enum firn_status append_family(struct firn_buf *out, const struct family *f)
{
    static const char *const kind[] = {"counter", "gauge", "histogram"};
    enum firn_status s = firn_buf_printf(out, "# HELP firn_%s ", f->name);
    if (s == FIRN_OK)
        s = append_escaped(out, f->help, false);
    if (s == FIRN_OK)
        s = firn_buf_printf(out, "\n# TYPE firn_%s %s\n", f->name, kind[f->kind]);
    if (s == FIRN_OK)
        s = firn_buf_append(out, f->samples.data, f->samples.len);
    return s;
}

enum firn_status firn_metrics_render(const struct firn_metrics *m, struct firn_buf *out)
{
    struct firn_metrics_out o = {.max = out->max};
    size_t len = out->len;
    FIRN_LIST_EACH(it, nx, &m->collectors)
    {
        struct firn_collector *c = FIRN_CONTAINER(it, struct firn_collector, link);
        c->collect(&o, c->arg);
    }
    for (size_t i = 0; i < o.count; i++) {
        if (o.status == FIRN_OK)
            o.status = append_family(out, &o.family[i]);
        firn_buf_clear(&o.family[i].samples);
    }
    firn_free(o.family);
    if (o.status != FIRN_OK)
        out->len = len;
    return o.status;
}
