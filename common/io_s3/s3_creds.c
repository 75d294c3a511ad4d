#include "io_s3/s3_priv.h"

#include "base/slice.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Files are looked at again this often. */
#define LOOK_MS 15000

static bool take(char *out, size_t max, const char *value)
{
    size_t n = strlen(value);
    if (n >= max)
        return false;
    memcpy(out, value, n + 1);
    return true;
}

static bool from_environment(struct s3_creds *c)
{
    const char *a = getenv("AWS_ACCESS_KEY_ID"), *s = getenv("AWS_SECRET_ACCESS_KEY"), *t = getenv("AWS_SESSION_TOKEN");
    return a && *a && s && *s && take(c->access_key, sizeof c->access_key, a) &&
           take(c->secret_key, sizeof c->secret_key, s) && take(c->token, sizeof c->token, t ? t : "");
}

static const char *profile(void)
{
    const char *p = getenv("AWS_PROFILE");
    return p && *p ? p : "default";
}

static void file_path(char out[1024], const char *variable, const char *below_home)
{
    const char *v = getenv(variable), *home = getenv("HOME");
    int n = v && *v ? snprintf(out, 1024, "%s", v) : home ? snprintf(out, 1024, "%s/%s", home, below_home) : -1;
    if (n < 0 || n >= 1024)
        out[0] = '\0';
}

/* Strip blanks at both ends, in place. */
static char *strip(char *s)
{
    s += strspn(s, " \t");
    size_t n = strlen(s);
    while (n && strchr(" \t\r\n", s[n - 1]))
        s[--n] = '\0';
    return s;
}

/* "[default]", in the config file "[profile x]". */
static bool is_our_section(char *line)
{
    size_t n = strlen(line);
    if (n < 2 || line[n - 1] != ']')
        return false;
    line[n - 1] = '\0';
    char *name = strip(line + 1);
    if (strncmp(name, "profile ", 8) == 0)
        name = strip(name + 8);
    return strcmp(name, profile()) == 0;
}

static void take_line(struct s3_creds *c, char *line)
{
    char *eq = strchr(line, '=');
    if (!eq)
        return;
    *eq = '\0';
    const char *name = strip(line), *value = strip(eq + 1);
    bool ok = true;
    if (strcmp(name, "aws_access_key_id") == 0)
        ok = take(c->access_key, sizeof c->access_key, value);
    else if (strcmp(name, "aws_secret_access_key") == 0)
        ok = take(c->secret_key, sizeof c->secret_key, value);
    else if (strcmp(name, "aws_session_token") == 0)
        ok = take(c->token, sizeof c->token, value);
    if (!ok)
        c->access_key[0] = '\0'; /* too long to be one */
}

/* OK also when the file is not there or has no such profile. */
static enum firn_status from_file(struct s3_creds *c, const char *path, struct timespec *mtime, struct firn_err *err)
{
    char line[8192];
    struct stat st;
    FILE *f = path[0] ? fopen(path, "re") : NULL;
    if (!f)
        return FIRN_OK;
    if (fstat(fileno(f), &st) == 0)
        *mtime = st.st_mtim;
    bool ours = false, any = false;
    while (fgets(line, sizeof line, f)) {
        char *s = strip(line);
        if (s[0] == '[')
            ours = is_our_section(s);
        else if (ours && s[0] != '#' && s[0] != ';')
            take_line(c, s);
        any |= ours && c->secret_key[0];
    }
    (void)fclose(f);
    OPENSSL_cleanse(line, sizeof line);
    if (any && (st.st_mode & 077) != 0)
        return firn_fail(err, FIRN_DENIED, "%s holds credentials and can be read by others: chmod 600 it", path);
    return FIRN_OK;
}

static enum firn_status from_files(struct s3_creds_source *c, struct s3_creds *out, struct firn_err *err)
{
    /* The credentials file wins over the config file. */
    enum firn_status s = from_file(out, c->file[1], &c->mtime[1], err);
    return s == FIRN_OK ? from_file(out, c->file[0], &c->mtime[0], err) : s;
}

enum firn_status s3_creds_open(struct s3_creds_source *c, struct firn_err *err)
{
    memset(c, 0, sizeof *c);
    c->generation = 1;
    c->from_env = from_environment(&c->now);
    if (c->from_env)
        return FIRN_OK;
    memset(&c->now, 0, sizeof c->now);
    file_path(c->file[0], "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
    file_path(c->file[1], "AWS_CONFIG_FILE", ".aws/config");
    enum firn_status s = from_files(c, &c->now, err);
    if (s != FIRN_OK)
        return s;
    if (!c->now.access_key[0] || !c->now.secret_key[0])
        return firn_fail(err, FIRN_DENIED,
                         "no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or profile \"%s\" in %s",
                         profile(), c->file[0][0] ? c->file[0] : "a credentials file");
    return FIRN_OK;
}

static bool changed(const struct s3_creds_source *c)
{
    for (int i = 0; i < 2; i++) {
        struct stat st;
        if (c->file[i][0] && stat(c->file[i], &st) == 0 &&
            (st.st_mtim.tv_sec != c->mtime[i].tv_sec || st.st_mtim.tv_nsec != c->mtime[i].tv_nsec))
            return true;
    }
    return false;
}

void s3_creds_refresh(struct s3_creds_source *c, uint64_t now_ms, bool must)
{
    if (c->from_env || (!must && now_ms - c->looked_ms < LOOK_MS))
        return;
    c->looked_ms = now_ms;
    if (!changed(c))
        return;
    struct s3_creds fresh = {0};
    if (from_files(c, &fresh, NULL) == FIRN_OK && fresh.access_key[0] && fresh.secret_key[0]) {
        c->now = fresh;
        c->generation++;
    }
    OPENSSL_cleanse(&fresh, sizeof fresh);
}

void s3_creds_wipe(struct s3_creds_source *c)
{
    OPENSSL_cleanse(c, sizeof *c);
}
