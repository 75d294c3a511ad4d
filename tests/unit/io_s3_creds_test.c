/* Where credentials come from, and what happens when they do not. */
#include "unit/io_s3_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

/* ---- credentials */

#define KEYS                                                                                       \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"remote-id\",\"SecretAccessKey\":\"" SECRET "\","      \
    "\"Token\":\"session-token\",\"Expiration\":\"2099-01-01T00:00:00Z\"}"
#define HTTP_OK(type) "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: " type "\r\n\r\n"

static void no_env_keys(void)
{
    (void)unsetenv("AWS_ACCESS_KEY_ID");
    (void)unsetenv("AWS_SECRET_ACCESS_KEY");
}

static unsigned count(const char *text)
{
    unsigned n = 0;
    for (unsigned i = 0; i < w.seen; i++)
        n += strstr(w.request[i], text) != NULL;
    return n;
}

static struct answer container(const char *request, unsigned n)
{
    if (strncmp(request, "GET /creds ", 11) != 0)
        return say_ok(request, n);
    if (!strstr(request, "\r\nAuthorization: Bearer abc\r\n"))
        return (struct answer){"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", false};
    return (struct answer){HTTP_OK("application/json") KEYS, true};
}

static void test_container_credentials(void **state)
{
    struct firn_os_req r[6];
    char uri[128];
    (void)state;
    no_env_keys();
    (void)snprintf(uri, sizeof uri, "%s/creds", w.endpoint);
    (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri, 1);
    (void)setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer abc", 1);
    w.script = container;
    open_store("");
    for (unsigned i = 0; i < 6; i++) {
        firn_os_req_init(&r[i]);
        submit(&r[i], FIRN_OS_PUT);
    }
    wait_all();
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(r[i].status, FIRN_OK);
        firn_os_req_clear(&r[i]);
    }
    assert_int_equal(count("GET /creds"), 1); /* all waited for one */
    assert_int_equal(count("\r\nx-amz-security-token: session-token\r\n"), 6);
    assert_int_equal(count("Credential=remote-id/"), 6);
}

static void test_container_refuses(void **state)
{
    char uri[128];
    (void)state;
    no_env_keys();
    (void)snprintf(uri, sizeof uri, "%s/creds", w.endpoint);
    (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri, 1);
    (void)setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "wrong", 1);
    w.script = container;
    open_store("");
    simple(FIRN_OS_PUT, FIRN_DENIED, "answered 401");
    simple(FIRN_OS_PUT, FIRN_DENIED, "answered 401"); /* not asked again at once */
    assert_int_equal(w.seen, 1);
}

static void test_container_uri_must_be_near(void **state)
{
    static const char *const far[] = {"http://example.com/creds", "http://127.0.0.1@example.com/",
                                      "http://127.0.0.1.example.com/",
                                      "http://localhost.example.com", "ftp://localhost/"};
    (void)state;
    no_env_keys();
    w.script = say_ok;
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", far[i], 1);
        open_store("");
        simple(FIRN_OS_PUT, FIRN_INVALID, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
        firn_s3_free(w.store);
        w.store = NULL;
    }
}

static struct answer instance(const char *request, unsigned n)
{
    static const char list[] = "GET /latest/meta-data/iam/security-credentials/ ";
    static const char role[] = "GET /latest/meta-data/iam/security-credentials/my-role ";
    if (strncmp(request, "PUT /latest/api/token ", 22) == 0 &&
        strstr(request, "X-aws-ec2-metadata-token-ttl-seconds: "))
        return (struct answer){HTTP_OK("text/plain") "imds-token", true};
    if (strncmp(request, "PUT /bucket", 11) == 0)
        return say_ok(request, n);
    if (!strstr(request, "\r\nX-aws-ec2-metadata-token: imds-token\r\n"))
        return (struct answer){"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", false};
    if (strncmp(request, list, sizeof list - 1) == 0)
        return (struct answer){HTTP_OK("text/plain") "my-role\n", true};
    if (strncmp(request, role, sizeof role - 1) == 0)
        return (struct answer){HTTP_OK("application/json") KEYS, true};
    return (struct answer){"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", false};
}

static void test_instance_credentials(void **state)
{
    (void)state;
    no_env_keys();
    (void)unsetenv("AWS_EC2_METADATA_DISABLED");
    (void)setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", w.endpoint, 1);
    w.script = instance;
    open_store("");
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    assert_int_equal(w.seen, 5);
    assert_int_equal(count("Credential=remote-id/"), 2);
}

static void test_no_instance(void **state)
{
    (void)state;
    no_env_keys();
    (void)unsetenv("AWS_EC2_METADATA_DISABLED");
    (void)setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
    open_store("");
    simple(FIRN_OS_PUT, FIRN_DENIED, "no credentials");
}

static void test_no_credentials(void **state)
{
    (void)state;
    no_env_keys();
    open_store("");
    simple(FIRN_OS_PUT, FIRN_DENIED, "no credentials");
    (void)setenv("AWS_ACCESS_KEY_ID", "alone", 1);
    firn_s3_free(w.store);
    open_store("");
    simple(FIRN_OS_PUT, FIRN_INVALID, "only one of");
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

/* The same into a new file; path is a template of mkstemp. */
static void new_file(char *path, const char *text, mode_t mode)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    write_file(path, text, mode);
}

#define STS_REPLY                                                                                  \
    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"            \
    "<AccessKeyId>sts-id</AccessKeyId><SecretAccessKey>" SECRET "</SecretAccessKey><SessionToken>" \
    "sts-token</SessionToken><Expiration>%s</Expiration></Credentials>"                            \
    "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
static const char *sts_expiration;

static struct answer sts(const char *request, unsigned n)
{
    static char reply[1024];
    if (strncmp(request, "POST / ", 7) != 0)
        return say_ok(request, n);
    if (!strstr(request,
                "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3A"
                "iam%3A%3A1%3Arole%2Fr&RoleSessionName=firn&WebIdentityToken=my.web-token"))
        return (struct answer){ERROR("400 Bad Request", "InvalidIdentityToken", "no no!"), true};
    (void)snprintf(reply, sizeof reply, HTTP_OK("text/xml") STS_REPLY, sts_expiration);
    return (struct answer){reply, true};
}

static void test_web_identity(void **state)
{
    char path[] = "/tmp/firn-s3-token-XXXXXX";
    (void)state;
    no_env_keys();
    new_file(path, "my.web-token\n", 0644);
    (void)setenv("AWS_WEB_IDENTITY_TOKEN_FILE", path, 1);
    (void)setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r", 1);
    (void)setenv("AWS_ENDPOINT_URL_STS", w.endpoint, 1);
    w.script = sts;
    sts_expiration = "2099-01-01T00:00:00Z";
    open_store("");
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    assert_int_equal(count("\r\nx-amz-security-token: sts-token\r\n"), 1);
    firn_s3_free(w.store);

    sts_expiration = "2001-01-01T00:00:00Z";
    open_store("");
    simple(FIRN_OS_PUT, FIRN_TRANSIENT, "expired already");
    firn_s3_free(w.store);

    write_file(path, "another", 0644);
    open_store("");
    simple(FIRN_OS_PUT, FIRN_DENIED, "InvalidIdentityToken");
    assert_int_equal(unlink(path), 0);
    firn_s3_free(w.store);
    open_store("");
    simple(FIRN_OS_PUT, FIRN_DENIED, path);
}

static void test_profiles(void **state)
{
    char dir[] = "/tmp/firn-s3-aws-XXXXXX", credentials[64], config[64];
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(credentials, sizeof credentials, "%s/credentials", dir);
    (void)snprintf(config, sizeof config, "%s/config", dir);
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", credentials, 1);
    (void)setenv("AWS_CONFIG_FILE", config, 1);
    (void)unsetenv("AWS_REGION");
    write_file(credentials,
               "# comment\n[default]\naws_access_key_id = file-id\naws_secret_access_key=" SECRET
               "\n\n[other]\r\naws_access_key_id = other-id\r\naws_secret_access_key=" SECRET
               "\r\n[half]\naws_access_key_id = x\n",
               0600);
    write_file(
        config,
        "[default]\nregion = eu-north-1\ns3 =\n  region = no\n[profile other]\nregion = "
        "us-west-2\n[profile cmd]\ncredential_process = /bin/false\n[profile bad]\nrubbish\n",
        0644);
    w.script = say_ok;
    open_store("other"); /* a profile that is named comes before the environment */
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    assert_int_equal(count("Credential=other-id/"), 1);
    assert_int_equal(count("/us-west-2/s3/"), 1);
    firn_s3_free(w.store);
    no_env_keys();
    open_store("");
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    assert_int_equal(count("Credential=file-id/"), 1);
    assert_int_equal(count("/eu-north-1/s3/"), 1);
    firn_s3_free(w.store);
    static const struct {
        const char *profile, *text;
        enum firn_status want;
    } bad[] = {{"half", "only one of", FIRN_INVALID},
               {"cmd", "credential_process", FIRN_INVALID},
               {"nobody", "no profile \"nobody\"", FIRN_DENIED}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        open_store(bad[i].profile);
        simple(FIRN_OS_PUT, bad[i].want, bad[i].text);
        firn_s3_free(w.store);
    }
    assert_int_equal(chmod(credentials, 0640), 0);
    open_store("");
    simple(FIRN_OS_PUT, FIRN_DENIED, "chmod 600");
    assert_int_equal(unlink(credentials), 0);
    assert_int_equal(unlink(config), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* The library's pauses are counted by this: time that a test lets pass. */
static uint64_t skipped_ns;

uint64_t uv_hrtime(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec + skipped_ns;
}

/* `ms` in which a thread may read a file, and seconds that only the library counts. */
static void pause_for(unsigned ms, unsigned skip_s)
{
    assert_int_equal(usleep(ms * 1000), 0);
    skipped_ns += skip_s * SECOND;
}

/* A store that grants all but to delete; and a container's endpoint. */
static struct answer no_delete(const char *request, unsigned n)
{
    if (strncmp(request, "DELETE ", 7) == 0)
        return (struct answer){ERROR("403 Forbidden", "AccessDenied", "no"), true};
    return container(request, n);
}

#define FILE_OF(id) "[default]\naws_access_key_id = " id "\naws_secret_access_key = " SECRET "\n"

/* After a denial keys of a file are read again; they serve until the file gives others, though it
 * be cut or missing at the moment, and nobody else is asked. */
static void test_denied_one_right(void **state)
{
    char path[] = "/tmp/firn-s3-keys-XXXXXX", uri[128];
    (void)state;
    no_env_keys();
    new_file(path, FILE_OF("file-id"), 0600);
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
    (void)snprintf(uri, sizeof uri, "%s/creds", w.endpoint);
    (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri, 1);
    (void)setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer abc", 1);
    w.script = no_delete;
    open_store("");
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    static const char *const meanwhile[] = {"", "[default]\naws_access_key_id = file-id\n", NULL};
    for (size_t i = 0; i < 3; i++) {
        pause_for(0, 11);
        simple(FIRN_OS_DELETE, FIRN_DENIED, "AccessDenied");
        if (meanwhile[i])
            write_file(path, meanwhile[i], 0600);
        else
            assert_int_equal(unlink(path), 0);
        for (unsigned k = 0; k < 3; k++) {
            simple(FIRN_OS_PUT, FIRN_OK, NULL);
            pause_for(10, 2);
        }
    }
    assert_int_equal(count("Credential=file-id/"), 13);
    assert_int_equal(count("GET /creds"), 0);
    write_file(path, FILE_OF("new-id"), 0600);
    for (unsigned k = 0; k < 15 && !count("Credential=new-id/"); k++) {
        simple(FIRN_OS_PUT, FIRN_OK, NULL);
        pause_for(20 << k / 2, 2); /* on a busy machine threads take their time */
    }
    assert_true(count("Credential=new-id/"));
    assert_int_equal(unlink(path), 0);
}

static struct answer bad_key(const char *request, unsigned n)
{
    (void)request;
    (void)n;
    return (struct answer){ERROR("403 Forbidden", "InvalidAccessKeyId", "no"), true};
}

/* Half a file is a wrong setting at a start; where it gave keys before, somebody is writing it. */
static void test_file_half_written(void **state)
{
    char path[] = "/tmp/firn-s3-keys-XXXXXX";
    (void)state;
    no_env_keys();
    new_file(path, FILE_OF("file-id"), 0600);
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
    w.script = say_ok;
    open_store("");
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    write_file(path, "[default]\naws_access_key_id = file-id\n", 0600);
    w.script = bad_key;
    pause_for(0, 11);
    simple(FIRN_OS_PUT, FIRN_DENIED, NULL);
    pause_for(0, 11);
    simple(FIRN_OS_PUT, FIRN_DENIED, "only one of");
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_container_credentials),
        TEST(test_container_refuses),
        TEST(test_container_uri_must_be_near),
        TEST(test_instance_credentials),
        TEST(test_no_instance),
        TEST(test_no_credentials),
        TEST(test_web_identity),
        TEST(test_file_half_written),
        TEST(test_profiles),
        TEST(test_denied_one_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
