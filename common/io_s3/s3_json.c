/* The JSON of the credential endpoints: one object whose members are strings, or are skipped. */
#include "io_s3/s3_priv.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define DEPTH_MAX 16

struct json {
    const char *at, *end;
};

static void skip_blanks(struct json *j)
{
    while (j->at < j->end && strchr(" \t\r\n", *j->at) && *j->at)
        j->at++;
}

static bool take(struct json *j, char c)
{
    skip_blanks(j);
    if (j->at == j->end || *j->at != c)
        return false;
    j->at++;
    return true;
}

/* The character behind a backslash; -1 when there is no such escape or it is none of ASCII. */
static int escaped(struct json *j)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = *j->at++, hex[5];
    const char *p = c ? strchr(from, c) : NULL;
    if (p)
        return to[p - from];
    if (c != 'u' || j->end - j->at < 4)
        return -1;
    memcpy(hex, j->at, 4);
    hex[4] = '\0';
    if (strspn(hex, "0123456789abcdefABCDEF") != 4)
        return -1;
    j->at += 4;
    unsigned long v = strtoul(hex, NULL, 16);
    return v > 0 && v < 0x80 ? (int)v : -1;
}

/* A string, which is decoded to out; one that does not fit is CORRUPT only when out is wanted. */
static bool string(struct json *j, char *out, size_t cap)
{
    size_t n = 0;
    if (!take(j, '"'))
        return false;
    while (j->at < j->end && *j->at != '"') {
        int c = (unsigned char)*j->at++;
        if (c == '\\')
            c = j->at < j->end ? escaped(j) : -1;
        else if (c < 0x20)
            c = -1;
        if (out && (c < 0 || n + 1 >= cap))
            return false;
        if (out)
            out[n++] = (char)c;
    }
    if (out)
        out[n] = '\0';
    return take(j, '"');
}

/* Any value, unread: brackets are counted, not matched by kind. */
static bool skip_value(struct json *j)
{
    unsigned depth = 0;
    do {
        skip_blanks(j);
        if (j->at == j->end)
            return false;
        char c = *j->at;
        if (c == '"') {
            if (!string(j, NULL, 0))
                return false;
        } else if (c == '{' || c == '[') {
            j->at++;
            if (++depth > DEPTH_MAX)
                return false;
        } else if (c == '}' || c == ']') {
            j->at++;
            if (depth-- == 0)
                return false;
        } else if (depth && (c == ',' || c == ':')) {
            j->at++;
        } else {
            size_t n = 0;
            while (j->at < j->end && *j->at && !strchr(" \t\r\n,:[]{}\"", *j->at))
                j->at++, n++;
            if (n == 0)
                return false;
        }
    } while (depth);
    return true;
}

struct target {
    const char *name;
    char *out;
    size_t cap;
};

static bool member(struct json *j, const struct target *t, size_t n)
{
    char name[64];
    const char *from = j->at;
    if (!string(j, name, sizeof name)) {
        j->at = from; /* a name too long to be one of ours */
        name[0] = '\0';
        if (!string(j, NULL, 0))
            return false;
    }
    if (!take(j, ':'))
        return false;
    skip_blanks(j);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name, t[i].name) == 0 && j->at < j->end && *j->at == '"')
            return string(j, t[i].out, t[i].cap);
    }
    return skip_value(j);
}

static bool object(struct firn_slice doc, const struct target *t, size_t n)
{
    struct json j = {(const char *)doc.data, (const char *)doc.data + doc.len};
    if (doc.len == 0 || !take(&j, '{'))
        return false;
    if (take(&j, '}'))
        return true;
    do {
        skip_blanks(&j);
        if (!member(&j, t, n))
            return false;
    } while (take(&j, ','));
    if (!take(&j, '}'))
        return false;
    skip_blanks(&j);
    return j.at == j.end;
}

enum firn_status firn_s3__json_keys(struct firn_slice doc, struct firn_s3__keys *keys,
                                    struct firn_err *err)
{
    char code[64] = "", expiration[64] = "", printable[64];
    const struct target t[] = {
        {"AccessKeyId", keys->id, sizeof keys->id},
        {"SecretAccessKey", keys->secret, sizeof keys->secret},
        {"Token", keys->token, sizeof keys->token},
        {"Expiration", expiration, sizeof expiration},
        {"Code", code, sizeof code},
    };
    enum firn_status s = FIRN_OK;
    OPENSSL_cleanse(keys, sizeof *keys);
    if (!object(doc, t, sizeof t / sizeof t[0])) {
        s = firn_fail(err, FIRN_CORRUPT, "the credential endpoint's reply is no JSON object");
    } else if (code[0] && strcmp(code, "Success") != 0) {
        firn_s3__printable(firn_slice_str(code), printable, sizeof printable);
        s = firn_fail(err, FIRN_DENIED, "the credential endpoint says %s", printable);
    } else if (!keys->id[0] || !keys->secret[0]) {
        s = firn_fail(err, FIRN_CORRUPT, "the credential endpoint's reply holds no keys");
    }
    if (s == FIRN_OK && expiration[0]) {
        int64_t at = firn_s3__iso_time(expiration);
        keys->expire_ms = at * 1000;
        if (at <= 0)
            s = firn_fail(err, FIRN_CORRUPT, "the credential endpoint's expiration is no time");
    }
    if (s != FIRN_OK)
        OPENSSL_cleanse(keys, sizeof *keys);
    return s;
}
