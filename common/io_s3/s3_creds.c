/* The chain: environment, web identity, profile, container, instance. The first place that is set
 * up decides; each fetch walks it anew. What blocks (files) is read by a thread of libuv's pool. */
#include "io_s3/s3_creds_priv.h"

#include "base/assert.h"
#include "base/mem.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TOKEN_MAX 65536
#define MINUTE_MS INT64_C(60000)
#define REFRESH_MS (5 * MINUTE_MS) /* so long before they expire a fetch begins … */
#define EXPIRE_MS MINUTE_MS /* … and so long before that the old ones are not used any more */
#define SECOND_NS UINT64_C(1000000000)
#define REFRESH_PAUSE_NS (30 * SECOND_NS) /* between fetches while there are good ones */
#define REJECT_PAUSE_NS (10 * SECOND_NS)  /* between fetches because the store refuses them */
#define RETRY_NS SECOND_NS                /* between failed fetches while there are none */

/* A file being read. Survives the credentials it is for. */
struct job {
    uv_work_t work;
    struct firn_s3__creds *creds; /* NULL = not wanted any more */
    struct firn_s3__http *http;   /* a reference */
    char path[1024];              /* a token's; "" = read the profile */
    char name[129];
    struct firn_s3__profile profile;
    struct firn_buf text;
    enum firn_status status;
    struct firn_err err;
};

struct firn_s3__creds {
    struct firn_s3__http *http;
    char profile[129], region[65];
    void (*changed)(void *arg);
    void *arg;

    struct firn_s3__keys keys;
    uint64_t generation;  /* of keys; 0 = there are none yet */
    bool stale;           /* the store called them bad: not used any more */
    bool suspect;         /* the store denied them something: used until there are others */
    bool from_profile;    /* they are a file's, which may be read again at no cost */
    bool instance_worked; /* instance metadata has given some before */
    bool fetching, in_get;
    uint64_t not_before_ns;   /* no fetch earlier, while that is avoidable (uv_hrtime) */
    uint64_t fetched_ns;      /* when the last one ended */
    enum firn_status failure; /* of the last fetch */
    struct firn_err err;

    struct job *job;
    struct firn_s3__fetch fetch;
    struct firn_buf token; /* what the token file held */
    char role_arn[2049], session[65];
};

static int64_t wall_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const char *env(const char *name)
{
    const char *s = getenv(name);
    return s && s[0] ? s : NULL;
}

/* ---- the end of a fetch */

static void ended(struct firn_s3__creds *c, enum firn_status s)
{
    c->fetching = false;
    c->failure = s;
    c->fetched_ns = uv_hrtime();
    c->not_before_ns = c->fetched_ns + (s == FIRN_OK ? REFRESH_PAUSE_NS : RETRY_NS);
    firn_s3__wipe(&c->token);
    if (!c->in_get)
        c->changed(c->arg);
}

static void fail(struct firn_s3__creds *c, enum firn_status s, const char *text)
{
    c->err.text[0] = '\0';
    /* There were keys before: this is no wrong setting, but a source that is being changed. */
    if (s == FIRN_INVALID && c->generation)
        s = FIRN_DENIED;
    ended(c, firn_fail(&c->err, s, "%s", text));
}

/* They become header lines: nothing but what belongs into one. */
static bool is_word(const char *s)
{
    for (; *s; s++) {
        if (*s <= ' ' || *s > '~')
            return false;
    }
    return true;
}

static bool is_line(struct firn_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < ' ' || s.data[i] > '~')
            return false;
    }
    return true;
}

/* The fetch gave these. They are named anew only when they are others. */
static void adopt(struct firn_s3__creds *c, const struct firn_s3__keys *k, bool from_profile)
{
    if (!is_word(k->id) || !is_word(k->secret) || !is_word(k->token)) {
        fail(c, FIRN_INVALID, "the credentials found hold blanks or control characters");
        return;
    }
    if (k->expire_ms && k->expire_ms <= wall_ms()) {
        fail(c, FIRN_TRANSIENT, "the credentials found have expired already");
        return;
    }
    bool same = c->generation && strcmp(k->id, c->keys.id) == 0 &&
                strcmp(k->secret, c->keys.secret) == 0 && strcmp(k->token, c->keys.token) == 0;
    c->keys = *k;
    c->generation += !same;
    c->from_profile = from_profile;
    c->stale = c->suspect = false;
    ended(c, FIRN_OK);
}

static void on_fetched(struct firn_s3__fetch *f)
{
    struct firn_s3__creds *c = f->arg;
    if (f->status == FIRN_OK) {
        c->instance_worked = c->instance_worked || f->remote == FIRN_S3__INSTANCE;
        adopt(c, &f->keys, false);
        OPENSSL_cleanse(&f->keys, sizeof f->keys);
    } else if (f->status == FIRN_TRANSIENT && f->remote == FIRN_S3__INSTANCE &&
               !c->instance_worked) {
        char text[480];
        (void)snprintf(text, sizeof text,
                       "no credentials: none in the environment, in a profile \"%.64s\", of a web "
                       "identity or of a container, and %.256s",
                       firn_s3__profile_name(c->profile), f->err.text);
        fail(c, FIRN_DENIED, text);
    } else {
        fail(c, f->status, f->err.text);
    }
}

static void ask(struct firn_s3__creds *c, enum firn_s3__remote remote, struct firn_slice token)
{
    struct firn_s3__fetch *f = &c->fetch;
    f->http = c->http;
    f->remote = remote;
    f->region = c->region;
    f->role_arn = c->role_arn;
    f->session = c->session;
    f->token = token;
    f->done = on_fetched;
    f->arg = c;
    firn_s3__fetch_start(f);
}

/* ---- files */

static void read_job(uv_work_t *w)
{
    struct job *j = w->data;
    bool exposed;
    if (j->path[0])
        j->status = firn_s3__file_read(j->path, &j->text, &exposed, &j->err);
    else
        j->status = firn_s3__profile_read(j->name, &j->profile, &j->err);
}

static void on_profile(struct firn_s3__creds *c, const struct firn_s3__profile *p);
static void on_token(struct firn_s3__creds *c);

static void job_free(struct job *j)
{
    OPENSSL_cleanse(&j->profile, sizeof j->profile);
    firn_s3__wipe(&j->text);
    firn_s3__http_unref(j->http);
    firn_free(j);
}

static void on_job(uv_work_t *w, int status)
{
    struct job *j = w->data;
    struct firn_s3__creds *c = j->creds;
    (void)status; /* nobody cancels it */
    if (c) {
        c->job = NULL;
        if (j->status != FIRN_OK) {
            fail(c, j->status == FIRN_ABSENT ? FIRN_DENIED : j->status, j->err.text);
        } else if (j->path[0]) {
            c->token = j->text;
            j->text = (struct firn_buf){0};
            on_token(c);
        } else {
            on_profile(c, &j->profile);
        }
    }
    job_free(j);
}

/* Read the token at `path`, or the profile when it is NULL. */
static void start_job(struct firn_s3__creds *c, const char *path)
{
    struct job *j = firn_calloc(1, sizeof *j);
    if (!j) {
        fail(c, FIRN_LIMIT, "out of memory for credentials");
        return;
    }
    j->work.data = j;
    j->creds = c;
    j->http = c->http;
    firn_s3__http_ref(j->http);
    firn_buf_init(&j->text, TOKEN_MAX);
    (void)snprintf(j->path, sizeof j->path, "%s", path ? path : "");
    (void)snprintf(j->name, sizeof j->name, "%s", firn_s3__profile_name(c->profile));
    if (uv_queue_work(firn_s3__http_loop(c->http), &j->work, read_job, on_job) != 0) {
        job_free(j);
        fail(c, FIRN_LIMIT, "no thread for credentials");
        return;
    }
    c->job = j;
}

/* ---- the chain, from its end */

static void try_instance(struct firn_s3__creds *c)
{
    const char *disabled = env("AWS_EC2_METADATA_DISABLED");
    if (disabled && firn_slice_ieq(firn_slice_str(disabled), "true"))
        fail(c, FIRN_DENIED,
             "no credentials: none in the environment, in a profile, of a web identity or of a "
             "container, and AWS_EC2_METADATA_DISABLED is set");
    else
        ask(c, FIRN_S3__INSTANCE, (struct firn_slice){0});
}

static void try_container(struct firn_s3__creds *c)
{
    const char *token = env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    const char *file = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    if (!env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") &&
        !env("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
        try_instance(c);
    } else if (file) {
        c->role_arn[0] = '\0';
        start_job(c, file);
    } else {
        struct firn_slice t = token ? firn_slice_str(token) : (struct firn_slice){0};
        if (is_line(t))
            ask(c, FIRN_S3__CONTAINER, t);
        else
            fail(c, FIRN_INVALID, "AWS_CONTAINER_AUTHORIZATION_TOKEN holds control characters");
    }
}

static void start_web_identity(struct firn_s3__creds *c, const char *role, const char *session,
                               const char *token_file)
{
    (void)snprintf(c->role_arn, sizeof c->role_arn, "%s", role);
    (void)snprintf(c->session, sizeof c->session, "%s", session && session[0] ? session : "firn");
    start_job(c, token_file);
}

/* The token file of a web identity (there is a role then) or of a container. */
static void on_token(struct firn_s3__creds *c)
{
    struct firn_slice t = firn_buf_slice(&c->token);
    while (t.len && (t.data[t.len - 1] == '\n' || t.data[t.len - 1] == '\r'))
        t.len--;
    if (t.len == 0 || !is_line(t))
        fail(c, FIRN_INVALID, "the token file is empty or holds control characters");
    else
        ask(c, c->role_arn[0] ? FIRN_S3__WEB_IDENTITY : FIRN_S3__CONTAINER, t);
}

static void on_profile(struct firn_s3__creds *c, const struct firn_s3__profile *p)
{
    const char *name = firn_s3__profile_name(c->profile);
    char text[256];
    if (p->keys.id[0] && p->keys.secret[0]) {
        adopt(c, &p->keys, true);
    } else if (p->keys.id[0] || p->keys.secret[0]) {
        (void)snprintf(text, sizeof text,
                       "profile \"%.64s\" has only one of aws_access_key_id and "
                       "aws_secret_access_key",
                       name);
        fail(c, FIRN_INVALID, text);
    } else if (p->role_arn[0] && p->token_file[0]) {
        start_web_identity(c, p->role_arn, p->session, p->token_file);
    } else if (p->unsupported[0] || p->role_arn[0]) {
        (void)snprintf(text, sizeof text,
                       "profile \"%.64s\" gets its credentials by %s, which Firn does not do: "
                       "give it keys or a web_identity_token_file",
                       name, p->unsupported[0] ? p->unsupported : "role_arn");
        fail(c, FIRN_INVALID, text);
    } else if (c->profile[0] || (!p->found && env("AWS_PROFILE"))) {
        (void)snprintf(text, sizeof text, "the AWS files have no profile \"%.64s\" with keys",
                       name);
        fail(c, FIRN_DENIED, text);
    } else if (c->from_profile) {
        /* The file is gone or empty, maybe for the moment in which it is replaced: no reason to go
         * on as somebody else. */
        (void)snprintf(text, sizeof text, "the AWS files have no keys for profile \"%.64s\" now",
                       name);
        fail(c, FIRN_DENIED, text);
    } else {
        try_container(c);
    }
}

static void adopt_env(struct firn_s3__creds *c, const char *id, const char *secret)
{
    struct firn_s3__keys k = {0};
    const char *token = env("AWS_SESSION_TOKEN");
    bool ok = firn_s3__copy(firn_slice_str(id), k.id, sizeof k.id) &&
              firn_s3__copy(firn_slice_str(secret), k.secret, sizeof k.secret) &&
              firn_s3__copy(firn_slice_str(token ? token : ""), k.token, sizeof k.token);
    if (ok)
        adopt(c, &k, false);
    else
        fail(c, FIRN_INVALID, "the credentials in the environment are too long, or no text");
    OPENSSL_cleanse(&k, sizeof k);
}

static void fetch(struct firn_s3__creds *c)
{
    const char *id = env("AWS_ACCESS_KEY_ID"), *secret = env("AWS_SECRET_ACCESS_KEY");
    const char *role = env("AWS_ROLE_ARN"), *file = env("AWS_WEB_IDENTITY_TOKEN_FILE");
    c->fetching = true;
    if (c->profile[0])
        start_job(c, NULL);
    else if (id && secret)
        adopt_env(c, id, secret);
    else if (id || secret)
        fail(c, FIRN_INVALID, "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set");
    else if (role && file)
        start_web_identity(c, role, env("AWS_ROLE_SESSION_NAME"), file);
    else
        start_job(c, NULL);
}

/* ---- interface */

enum firn_status firn_s3__creds_create(struct firn_s3__http *h, const char *profile,
                                       const char *region, void (*changed)(void *arg), void *arg,
                                       struct firn_s3__creds **out)
{
    struct firn_s3__creds *c = firn_calloc(1, sizeof *c);
    if (!c)
        return FIRN_LIMIT;
    c->http = h;
    (void)snprintf(c->profile, sizeof c->profile, "%s", profile);
    (void)snprintf(c->region, sizeof c->region, "%s", region);
    c->changed = changed;
    c->arg = arg;
    *out = c;
    return FIRN_OK;
}

void firn_s3__creds_free(struct firn_s3__creds *c)
{
    if (!c)
        return;
    if (c->job)
        c->job->creds = NULL;
    firn_s3__fetch_cancel(&c->fetch);
    firn_s3__wipe(&c->token);
    OPENSSL_cleanse(c, sizeof *c);
    firn_free(c);
}

/* Begin a fetch; it may end at once. */
static void fetch_in_get(struct firn_s3__creds *c)
{
    c->in_get = true;
    fetch(c);
    c->in_get = false;
}

/* There are credentials, not refused, which last for so long. */
static bool good_for(const struct firn_s3__creds *c, int64_t ms)
{
    return c->generation && !c->stale &&
           (c->keys.expire_ms == 0 || wall_ms() < c->keys.expire_ms - ms);
}

enum firn_status firn_s3__creds_get(struct firn_s3__creds *c, const struct firn_s3__keys **keys,
                                    uint64_t *generation, struct firn_err *err)
{
    FIRN_ASSERT(!c->in_get);
    for (;;) {
        bool wanted = !good_for(c, REFRESH_MS) || c->suspect;
        if (wanted && !c->fetching && uv_hrtime() >= c->not_before_ns)
            fetch_in_get(c);
        /* Old ones that still work are better than none. */
        if (good_for(c, c->fetching ? EXPIRE_MS : 0)) {
            *keys = &c->keys;
            *generation = c->generation;
            return FIRN_OK;
        }
        if (c->fetching)
            return FIRN_AGAIN;
        if (c->failure != FIRN_OK)
            return firn_fail(err, c->failure, "%s", c->err.text);
        /* They expired or were refused in the pause after a good fetch: do not wait for its end. */
        c->not_before_ns = 0;
    }
}

/* They are these, and were not fetched just now. */
static bool may_be_others(const struct firn_s3__creds *c, uint64_t generation)
{
    return generation == c->generation && uv_hrtime() - c->fetched_ns >= REJECT_PAUSE_NS;
}

void firn_s3__creds_reject(struct firn_s3__creds *c, uint64_t generation)
{
    if (may_be_others(c, generation))
        c->stale = true;
}

void firn_s3__creds_deny(struct firn_s3__creds *c, uint64_t generation)
{
    if (c->from_profile && !c->suspect && may_be_others(c, generation)) {
        c->suspect = true;
        c->not_before_ns = 0;
    }
}
