/* A small XML reader: enough for the replies of S3 and STS, strict about what it takes. No DTDs, no
 * entities but the five of XML and numbers; attributes are skipped. */
#include "io_s3/s3_priv.h"

#include "base/mem.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 8

/* An element that has just been closed. */
struct element {
    unsigned depth;                /* 1 = the root */
    const struct firn_slice *name; /* name[0] the root's … name[depth - 1] its own */
    struct firn_slice text;        /* raw, between the tag before and its closing tag */
};

typedef enum firn_status element_fn(void *arg, const struct element *e);

struct walk {
    const char *at, *end;
    struct firn_slice name[DEPTH_MAX];
    unsigned depth;
    bool seen_root;
    struct firn_slice text; /* since the last tag */
    element_fn *fn;
    void *arg;
};

static bool name_is(struct firn_slice name, const char *s)
{
    return firn_slice_eq(name, firn_slice_str(s));
}

/* ---- walking */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Move behind the text `end`, which must come. */
static bool skip_past(struct walk *w, const char *end)
{
    size_t n = strlen(end);
    const char *p = memmem(w->at, (size_t)(w->end - w->at), end, n);
    if (!p)
        return false;
    w->at = p + n;
    return true;
}

static struct firn_slice tag_name(struct walk *w)
{
    const char *from = w->at;
    while (w->at < w->end && !is_blank(*w->at) && *w->at != '>' && *w->at != '/')
        w->at++;
    return firn_slice_of(from, (size_t)(w->at - from));
}

/* Skip attributes up to and with '>'; *empty says whether it was "/>". */
static bool end_of_tag(struct walk *w, bool *empty)
{
    char quote = '\0';
    *empty = false;
    for (; w->at < w->end; w->at++) {
        char c = *w->at;
        if (quote) {
            quote = c == quote ? '\0' : quote;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '>') {
            *empty = w->at[-1] == '/';
            w->at++;
            return true;
        } else if (c == '<') {
            return false;
        }
    }
    return false;
}

static enum firn_status close_element(struct walk *w)
{
    struct element e = {.depth = w->depth, .name = w->name, .text = w->text};
    enum firn_status s = w->fn(w->arg, &e);
    w->depth--;
    w->text = (struct firn_slice){0};
    return s;
}

static enum firn_status open_tag(struct walk *w)
{
    bool empty;
    struct firn_slice name = tag_name(w);
    if (name.len == 0 || w->depth == DEPTH_MAX || (w->depth == 0 && w->seen_root) ||
        !end_of_tag(w, &empty))
        return FIRN_CORRUPT;
    w->name[w->depth++] = name;
    w->seen_root = true;
    w->text = (struct firn_slice){0};
    return empty ? close_element(w) : FIRN_OK;
}

static enum firn_status close_tag(struct walk *w)
{
    bool empty;
    struct firn_slice name = tag_name(w);
    if (w->depth == 0 || !firn_slice_eq(name, w->name[w->depth - 1]) || !end_of_tag(w, &empty))
        return FIRN_CORRUPT;
    return close_element(w);
}

/* At a '<'. */
static enum firn_status tag(struct walk *w)
{
    w->at++;
    size_t left = (size_t)(w->end - w->at);
    if (left >= 1 && *w->at == '?')
        return skip_past(w, "?>") ? FIRN_OK : FIRN_CORRUPT;
    if (left >= 3 && memcmp(w->at, "!--", 3) == 0)
        return skip_past(w, "-->") ? FIRN_OK : FIRN_CORRUPT;
    if (left >= 1 && *w->at == '!')
        return FIRN_CORRUPT; /* a DTD, or CDATA, which no store sends */
    if (left >= 1 && *w->at == '/') {
        w->at++;
        return close_tag(w);
    }
    return open_tag(w);
}

/* Call fn for every element when it closes; stop at the first that is not OK. */
static enum firn_status walk(struct firn_slice doc, element_fn *fn, void *arg)
{
    struct walk w = {.fn = fn, .arg = arg};
    if (doc.len == 0)
        return FIRN_CORRUPT;
    w.at = (const char *)doc.data;
    w.end = w.at + doc.len;
    if (doc.len >= 3 && memcmp(w.at, "\xef\xbb\xbf", 3) == 0)
        w.at += 3;
    while (w.at < w.end) {
        const char *lt = memchr(w.at, '<', (size_t)(w.end - w.at));
        const char *stop = lt ? lt : w.end;
        w.text = firn_slice_of(w.at, (size_t)(stop - w.at));
        w.at = stop;
        enum firn_status s = lt ? tag(&w) : FIRN_OK;
        if (s != FIRN_OK)
            return s;
    }
    return w.seen_root && w.depth == 0 ? FIRN_OK : FIRN_CORRUPT;
}

/* ---- texts */

static size_t put_utf8(unsigned long v, char *out)
{
    if (v < 0x80) {
        out[0] = (char)v;
        return 1;
    }
    if (v < 0x800) {
        out[0] = (char)(0xc0 | v >> 6);
        out[1] = (char)(0x80 | (v & 63));
        return 2;
    }
    if (v < 0x10000) {
        out[0] = (char)(0xe0 | v >> 12);
        out[1] = (char)(0x80 | (v >> 6 & 63));
        out[2] = (char)(0x80 | (v & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | v >> 18);
    out[1] = (char)(0x80 | (v >> 12 & 63));
    out[2] = (char)(0x80 | (v >> 6 & 63));
    out[3] = (char)(0x80 | (v & 63));
    return 4;
}

/* The character that the entity `e` (without & and ;) stands for; 0 = none. */
static unsigned long entity(const char *e)
{
    static const struct {
        const char *name;
        char c;
    } known[] = {{"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'}, {"apos", '\''}};
    if (e[0] == '#') {
        bool hex = e[1] == 'x' || e[1] == 'X';
        const char *digits = e + (hex ? 2 : 1);
        size_t n = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");
        unsigned long v = n && !digits[n] ? strtoul(digits, NULL, hex ? 16 : 10) : 0;
        return v <= 0x10ffff ? v : 0;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(e, known[i].name) == 0)
            return (unsigned char)known[i].c;
    }
    return 0;
}

/* Write raw text to out (of at least raw.len + 1 bytes) with entities replaced, and a NUL; false
 * when one is not known. An entity is never shorter than what it stands for. */
static bool unescape(struct firn_slice raw, char *out)
{
    char e[12];
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.data[i] == '\0')
            return false;
        if (raw.data[i] != '&') {
            *out++ = (char)raw.data[i];
            continue;
        }
        size_t n = 0;
        while (++i < raw.len && raw.data[i] != ';' && n < sizeof e - 1)
            e[n++] = (char)raw.data[i];
        e[n] = '\0';
        unsigned long v = i < raw.len && raw.data[i] == ';' ? entity(e) : 0;
        if (v == 0)
            return false;
        out += put_utf8(v, out);
    }
    *out = '\0';
    return true;
}

/* A text that must fit. */
static enum firn_status text_to(struct firn_slice raw, char *out, size_t cap)
{
    out[0] = '\0';
    if (raw.len >= cap)
        return FIRN_CORRUPT;
    return unescape(raw, out) ? FIRN_OK : FIRN_CORRUPT;
}

static enum firn_status text_dup(struct firn_slice raw, char **out)
{
    char *p = firn_malloc(raw.len + 1);
    if (!p)
        return FIRN_LIMIT;
    if (!unescape(raw, p)) {
        firn_free(p);
        return FIRN_CORRUPT;
    }
    *out = p;
    return FIRN_OK;
}

enum firn_status firn_s3__xml_escape(struct firn_buf *out, const char *s)
{
    enum firn_status st = FIRN_OK;
    for (; *s && st == FIRN_OK; s++) {
        switch (*s) {
        case '<':
            st = firn_buf_append(out, "&lt;", 4);
            break;
        case '>':
            st = firn_buf_append(out, "&gt;", 4);
            break;
        case '&':
            st = firn_buf_append(out, "&amp;", 5);
            break;
        case '"':
            st = firn_buf_append(out, "&quot;", 6);
            break;
        default:
            st = firn_buf_append(out, s, 1);
        }
    }
    return st;
}

/* ---- documents */

static enum firn_status on_error(void *arg, const struct element *e)
{
    struct firn_s3__error *out = arg;
    char message[1024];
    /* <Error><Code>, or STS's <ErrorResponse><Error><Code>. */
    if (e->depth < 2 || !name_is(e->name[e->depth - 2], "Error"))
        return FIRN_OK;
    struct firn_slice name = e->name[e->depth - 1];
    if (name_is(name, "Code")) {
        firn_s3__printable(e->text, out->code, sizeof out->code);
    } else if (name_is(name, "Message") && e->text.len < sizeof message) {
        if (unescape(e->text, message))
            firn_s3__printable(firn_slice_str(message), out->message, sizeof out->message);
    } else if (name_is(name, "Region")) {
        firn_s3__printable(e->text, out->region, sizeof out->region);
    }
    return FIRN_OK;
}

void firn_s3__xml_error(struct firn_slice doc, struct firn_s3__error *e)
{
    *e = (struct firn_s3__error){0};
    /* A reply that was cut behind the error code has still told it. */
    (void)walk(doc, on_error, e);
}

struct list {
    struct firn_os_page *page;
    const char *prefix;
    char *key, *next; /* owned */
    uint64_t size;
    bool have_size, truncated, url_encoded, is_list;
};

static enum firn_status parse_size(struct firn_slice raw, uint64_t *out)
{
    uint64_t v = 0;
    if (raw.len == 0 || raw.len > 18)
        return FIRN_CORRUPT;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.data[i] < '0' || raw.data[i] > '9')
            return FIRN_CORRUPT;
        v = v * 10 + (uint64_t)(raw.data[i] - '0');
    }
    *out = v;
    return FIRN_OK;
}

/* A <Contents> is complete; its key is made relative when the whole page is known. */
static enum firn_status add_entry(struct list *l)
{
    struct firn_os_page *page = l->page;
    if (!l->key || !l->have_size || page->count == FIRN_OS_LIST_MAX)
        return FIRN_CORRUPT;
    if (!page->entry)
        page->entry = firn_calloc(FIRN_OS_LIST_MAX, sizeof *page->entry);
    if (!page->entry)
        return FIRN_LIMIT;
    page->entry[page->count++] = (struct firn_os_entry){.key = l->key, .size = l->size};
    l->key = NULL;
    l->have_size = false;
    return FIRN_OK;
}

static enum firn_status on_list_top(struct list *l, struct firn_slice name, struct firn_slice text)
{
    if (name_is(name, "Contents"))
        return add_entry(l);
    if (name_is(name, "IsTruncated"))
        l->truncated = name_is(text, "true");
    else if (name_is(name, "EncodingType"))
        l->url_encoded = name_is(text, "url");
    else if (name_is(name, "NextContinuationToken") && text.len)
        return l->next ? FIRN_CORRUPT : text_dup(text, &l->next);
    return FIRN_OK;
}

static enum firn_status on_list(void *arg, const struct element *e)
{
    struct list *l = arg;
    if (!name_is(e->name[0], "ListBucketResult"))
        return FIRN_CORRUPT;
    l->is_list = true;
    if (e->depth == 2)
        return on_list_top(l, e->name[1], e->text);
    if (e->depth != 3 || !name_is(e->name[1], "Contents"))
        return FIRN_OK;
    if (name_is(e->name[2], "Key"))
        return l->key ? FIRN_CORRUPT : text_dup(e->text, &l->key);
    if (name_is(e->name[2], "Size")) {
        l->have_size = true;
        return parse_size(e->text, &l->size);
    }
    return FIRN_OK;
}

/* Make the keys relative to the prefix; the prefix itself (some tools make such an object as a
 * folder's mark) is left out. */
static enum firn_status make_relative(struct list *l)
{
    struct firn_os_page *page = l->page;
    size_t cut = strlen(l->prefix), kept = 0;
    enum firn_status s = FIRN_OK;
    for (size_t i = 0; i < page->count; i++) {
        struct firn_os_entry e = page->entry[i];
        if ((l->url_encoded && !firn_s3__decode(e.key, true)) ||
            strncmp(e.key, l->prefix, cut) != 0)
            s = FIRN_CORRUPT;
        if (s != FIRN_OK || e.key[cut] == '\0') {
            firn_free(e.key);
            continue;
        }
        memmove(e.key, e.key + cut, strlen(e.key + cut) + 1);
        page->entry[kept++] = e;
    }
    page->count = kept;
    return s;
}

enum firn_status firn_s3__xml_list(struct firn_slice doc, const char *prefix,
                                   struct firn_os_page *page)
{
    struct list l = {.page = page, .prefix = prefix};
    *page = (struct firn_os_page){0};
    enum firn_status s = walk(doc, on_list, &l);
    enum firn_status relative = make_relative(&l);
    if (s == FIRN_OK)
        s = relative;
    if (s == FIRN_OK && l.truncated && !l.next)
        s = FIRN_CORRUPT;
    if (s == FIRN_OK && l.truncated) {
        page->next = l.next;
        l.next = NULL;
    }
    firn_free(l.key);
    firn_free(l.next);
    if (s == FIRN_OK)
        return FIRN_OK;
    for (size_t i = 0; i < page->count; i++)
        firn_free(page->entry[i].key);
    firn_free(page->entry);
    *page = (struct firn_os_page){0};
    return s;
}

struct field {
    const char *root, *name;
    char *out;
    size_t cap;
    bool seen;
};

static enum firn_status on_field(void *arg, const struct element *e)
{
    struct field *f = arg;
    if (!name_is(e->name[0], f->root))
        return FIRN_CORRUPT;
    if (e->depth != 2 || !name_is(e->name[1], f->name))
        return FIRN_OK;
    f->seen = true;
    return text_to(e->text, f->out, f->cap);
}

enum firn_status firn_s3__xml_upload_id(struct firn_slice doc, char *out, size_t cap)
{
    struct field f = {"InitiateMultipartUploadResult", "UploadId", out, cap, false};
    out[0] = '\0';
    enum firn_status s = walk(doc, on_field, &f);
    if (s == FIRN_OK && !out[0])
        s = FIRN_CORRUPT;
    return s;
}

struct deleted {
    size_t failed;
    bool harmless; /* the error of this key says that it was not there anyway */
};

static enum firn_status on_deleted(void *arg, const struct element *e)
{
    struct deleted *d = arg;
    if (!name_is(e->name[0], "DeleteResult"))
        return FIRN_CORRUPT;
    if (e->depth == 3 && name_is(e->name[1], "Error") && name_is(e->name[2], "Code"))
        d->harmless = name_is(e->text, "NoSuchKey");
    if (e->depth == 2 && name_is(e->name[1], "Error")) {
        d->failed += !d->harmless;
        d->harmless = false;
    }
    return FIRN_OK;
}

enum firn_status firn_s3__xml_deleted(struct firn_slice doc, size_t *failed)
{
    struct deleted d = {0};
    enum firn_status s = walk(doc, on_deleted, &d);
    if (s == FIRN_OK)
        *failed = d.failed;
    return s;
}

static enum firn_status on_completed(void *arg, const struct element *e)
{
    (void)arg;
    return name_is(e->name[0], "CompleteMultipartUploadResult") ? FIRN_OK : FIRN_CORRUPT;
}

enum firn_status firn_s3__xml_completed(struct firn_slice doc)
{
    return walk(doc, on_completed, NULL);
}

static enum firn_status on_keys(void *arg, const struct element *e)
{
    struct firn_s3__keys *k = arg;
    char expiration[64];
    if (e->depth != 4 || !name_is(e->name[2], "Credentials"))
        return FIRN_OK;
    struct firn_slice name = e->name[3];
    if (name_is(name, "AccessKeyId"))
        return text_to(e->text, k->id, sizeof k->id);
    if (name_is(name, "SecretAccessKey"))
        return text_to(e->text, k->secret, sizeof k->secret);
    if (name_is(name, "SessionToken"))
        return text_to(e->text, k->token, sizeof k->token);
    if (!name_is(name, "Expiration"))
        return FIRN_OK;
    enum firn_status s = text_to(e->text, expiration, sizeof expiration);
    int64_t at = s == FIRN_OK ? firn_s3__iso_time(expiration) : -1;
    k->expire_ms = at * 1000;
    return at > 0 ? FIRN_OK : FIRN_CORRUPT;
}

enum firn_status firn_s3__xml_keys(struct firn_slice doc, struct firn_s3__keys *keys)
{
    OPENSSL_cleanse(keys, sizeof *keys);
    enum firn_status s = walk(doc, on_keys, keys);
    if (s == FIRN_OK && (!keys->id[0] || !keys->secret[0] || !keys->token[0]))
        s = FIRN_CORRUPT;
    if (s != FIRN_OK)
        OPENSSL_cleanse(keys, sizeof *keys);
    return s;
}
