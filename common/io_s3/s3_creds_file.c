/* The AWS credentials and config files.
 * https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html */
#include "io_s3/s3_creds_priv.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1u << 20)

void firn_s3__wipe(struct firn_buf *b)
{
    if (b->data)
        OPENSSL_cleanse(b->data, b->cap);
    firn_buf_clear(b);
}

/* ---- reading */

static enum firn_status read_all(int fd, const char *path, struct firn_buf *out,
                                 struct firn_err *err)
{
    for (;;) {
        /* All the room at once: growing would leave secrets behind in freed memory. */
        if (firn_buf_reserve(out, out->max - out->len) != FIRN_OK)
            return firn_fail(err, FIRN_LIMIT, "out of memory for %s", path);
        ssize_t n = read(fd, out->data + out->len, out->max - out->len);
        if (n == 0)
            return FIRN_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return firn_fail(err, FIRN_INVALID, "cannot read %s: %s", path, strerror(errno));
        out->len += (size_t)n;
        if (out->len == out->max)
            return firn_fail(err, FIRN_LIMIT, "%s is longer than %zu bytes", path, out->max - 1);
    }
}

enum firn_status firn_s3__file_read(const char *path, struct firn_buf *out, bool *exposed,
                                    struct firn_err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        enum firn_status s = errno == ENOENT || errno == ENOTDIR ? FIRN_ABSENT : FIRN_DENIED;
        return firn_fail(err, s, "cannot open %s: %s", path, strerror(errno));
    }
    enum firn_status s = FIRN_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        s = firn_fail(err, FIRN_INVALID, "%s is not a regular file", path);
    if (s == FIRN_OK) {
        *exposed = (st.st_mode & 077) != 0 || (st.st_uid != geteuid() && st.st_uid != 0);
        s = read_all(fd, path, out, err);
    }
    (void)close(fd);
    return s;
}

/* ---- parsing */

static char *trim(char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    size_t n = strlen(s);
    while (n && strchr(" \t\r", s[n - 1]))
        s[--n] = '\0';
    return s;
}

/* Whether "[header]" opens the section of the profile; the config file writes "profile name". */
static bool is_section(char *header, const char *name, bool is_config)
{
    char *close_at = strchr(header, ']');
    if (!close_at)
        return false;
    *close_at = '\0';
    header = trim(header);
    if (is_config && strcmp(name, "default") != 0) {
        if (strncmp(header, "profile", 7) != 0 || (header[7] != ' ' && header[7] != '\t'))
            return false;
        header = trim(header + 7);
    }
    return strcmp(header, name) == 0;
}

static bool set(char *out, size_t cap, const char *value)
{
    return firn_s3__copy(firn_slice_str(value), out, cap);
}

/* Take one "key = value". False: the value is too long or holds control bytes. */
static bool take(struct firn_s3__profile *p, const char *key, const char *value)
{
    static const char *const other[] = {"credential_process", "credential_source", "source_profile",
                                        "sso_session", "sso_start_url"};
    if (strcmp(key, "aws_access_key_id") == 0)
        return set(p->keys.id, sizeof p->keys.id, value);
    if (strcmp(key, "aws_secret_access_key") == 0)
        return set(p->keys.secret, sizeof p->keys.secret, value);
    if (strcmp(key, "aws_session_token") == 0)
        return set(p->keys.token, sizeof p->keys.token, value);
    if (strcmp(key, "region") == 0)
        return set(p->region, sizeof p->region, value);
    if (strcmp(key, "role_arn") == 0)
        return set(p->role_arn, sizeof p->role_arn, value);
    if (strcmp(key, "role_session_name") == 0)
        return set(p->session, sizeof p->session, value);
    if (strcmp(key, "web_identity_token_file") == 0)
        return set(p->token_file, sizeof p->token_file, value);
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        if (strcmp(key, other[i]) == 0)
            (void)snprintf(p->unsupported, sizeof p->unsupported, "%s", other[i]);
    }
    return true;
}

/* Read a file's text, which is ended by NUL and cut up in place. Returns the line that is wrong, 0
 * = none. Lines that begin with a blank belong to nested settings, which do not concern us. */
static unsigned parse(char *text, const char *name, bool is_config, struct firn_s3__profile *p)
{
    bool inside = false;
    unsigned line_no = 0;
    char *next;
    for (char *line = text; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        line_no++;
        if (strchr(" \t\r#;", line[0])) /* also an empty line */
            continue;
        if (line[0] == '[') {
            inside = is_section(line + 1, name, is_config);
            p->found = p->found || inside;
            continue;
        }
        char *equals = strchr(line, '=');
        if (!inside)
            continue;
        if (!equals)
            return line_no;
        *equals = '\0';
        if (!take(p, trim(line), trim(equals + 1)))
            return line_no;
    }
    return 0;
}

static bool path_of(const char *variable, const char *file, char out[1024])
{
    const char *path = getenv(variable), *home = getenv("HOME");
    int n = -1;
    if (path && path[0])
        n = snprintf(out, 1024, "%s", path);
    else if (home && home[0])
        n = snprintf(out, 1024, "%s/.aws/%s", home, file);
    return n > 0 && n < 1024;
}

/* Add what one file says. */
static enum firn_status read_file(const char *path, const char *name, bool is_config,
                                  struct firn_s3__profile *p, struct firn_err *err)
{
    struct firn_buf text;
    struct firn_err absent = {0};
    bool exposed = false;
    char secret[sizeof p->keys.secret];
    (void)snprintf(secret, sizeof secret, "%s", p->keys.secret);
    firn_buf_init(&text, FILE_BYTES_MAX);
    enum firn_status s = firn_s3__file_read(path, &text, &exposed, &absent);
    if (s == FIRN_OK) {
        FIRN_ASSERT(text.data);
        text.data[text.len] = '\0'; /* read_all leaves a byte of room */
        unsigned wrong = parse((char *)text.data, name, is_config, p);
        if (wrong)
            s = firn_fail(err, FIRN_INVALID, "%s: line %u is not \"name = value\"", path, wrong);
        else if (exposed && strcmp(p->keys.secret, secret) != 0)
            s = firn_fail(err, FIRN_DENIED,
                          "%s holds a secret key and others may read it: chmod 600 %s, owned by "
                          "the user who runs this",
                          path, path);
    } else if (s == FIRN_ABSENT) {
        s = FIRN_OK;
    } else {
        (void)firn_fail(err, s, "%s", absent.text);
    }
    OPENSSL_cleanse(secret, sizeof secret);
    firn_s3__wipe(&text);
    return s;
}

const char *firn_s3__profile_name(const char *name)
{
    const char *set_name = getenv("AWS_PROFILE");
    if (name[0])
        return name;
    return set_name && set_name[0] ? set_name : "default";
}

enum firn_status firn_s3__profile_read(const char *name, struct firn_s3__profile *p,
                                       struct firn_err *err)
{
    char path[1024];
    enum firn_status s = FIRN_OK;
    OPENSSL_cleanse(p, sizeof *p);
    /* The credentials file comes second: what it says counts. */
    if (path_of("AWS_CONFIG_FILE", "config", path))
        s = read_file(path, name, true, p, err);
    if (s == FIRN_OK && path_of("AWS_SHARED_CREDENTIALS_FILE", "credentials", path))
        s = read_file(path, name, false, p, err);
    if (s != FIRN_OK)
        OPENSSL_cleanse(p, sizeof *p);
    return s;
}
