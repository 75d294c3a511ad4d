/* The parts of the S3 adapter that need no network: texts, URLs, signatures, XML, JSON, statuses.
 */
#include "testing.h"

#include "base/mem.h"
#include "io_s3/s3_priv.h"
#include "io_s3/s3_request_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* ---- texts */

static void test_encode_and_decode(void **state)
{
    struct firn_arena a = {0};
    char text[64];
    (void)state;
    assert_string_equal(firn_s3__encode(&a, "AZaz09-._~/ +%\xc3\xbc", true),
                        "AZaz09-._~/%20%2B%25%C3%BC");
    assert_string_equal(firn_s3__encode(&a, "a/b", false), "a%2Fb");
    (void)snprintf(text, sizeof text, "a%%20b+c%%2Fd%%2b");
    assert_true(firn_s3__decode(text, true));
    assert_string_equal(text, "a b c/d+");
    static const char *const bad[] = {"%", "%4", "%zz", "a%00b", "%g0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)snprintf(text, sizeof text, "%s", bad[i]);
        assert_false(firn_s3__decode(text, false));
    }
    firn_arena_clear(&a);
}

static void test_base64(void **state)
{
    static const struct {
        const char *in, *out;
    } t[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};
    char out[16];
    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        firn_s3__base64((const uint8_t *)t[i].in, strlen(t[i].in), out);
        assert_string_equal(out, t[i].out);
    }
}

static void test_times(void **state)
{
    char out[FIRN_S3_TIME_LEN];
    (void)state;
    assert_int_equal(firn_s3__iso_time("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(firn_s3__iso_time("2026-11-21T10:20:30Z"), 1795256430);
    assert_int_equal(firn_s3__iso_time("2026-11-21T10:20:30.123Z"), 1795256430);
    static const char *const bad[] = {"",
                                      "2026-11-21",
                                      "2026-11-21T10:20:30",
                                      "2026-13-21T10:20:30Z",
                                      "2026-11-21 10:20:30Z",
                                      "2026-11-21T10:20:30+02:00",
                                      "1950-01-01T00:00:00Z",
                                      "x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(firn_s3__iso_time(bad[i]), -1);
    firn_s3__amz_time(1369353600, out);
    assert_string_equal(out, "20130524T000000Z");
}

/* ---- URLs */

static void test_url(void **state)
{
    struct firn_s3_options o = {0};
    struct firn_err err = {0};
    (void)state;
    (void)snprintf(o.region, sizeof o.region, "eu-north-1");
    assert_int_equal(firn_s3_url_parse("s3://bucket", &o, &err), FIRN_OK);
    assert_string_equal(o.bucket, "bucket");
    assert_string_equal(o.prefix, "");
    assert_string_equal(o.region, "eu-north-1");
    assert_int_equal(firn_s3_url_parse("s3://b.cket-1/a/b%20c/?endpoint=http://127.0.0.1:7480/&"
                                       "region=us-west-2&addressing=path&profile=p&ca=/x.pem",
                                       &o, &err),
                     FIRN_OK);
    assert_string_equal(o.bucket, "b.cket-1");
    assert_string_equal(o.prefix, "a/b c");
    assert_string_equal(o.endpoint, "http://127.0.0.1:7480");
    assert_string_equal(o.region, "us-west-2");
    assert_string_equal(o.profile, "p");
    assert_string_equal(o.ca_file, "/x.pem");
    assert_int_equal(o.addressing, FIRN_S3_PATH);
}

static void test_bad_urls(void **state)
{
    static const char *const bad[] = {"",
                                      "http://bucket",
                                      "s3://",
                                      "s3://ab",
                                      "s3://buc ket",
                                      "s3://-bucket",
                                      "s3://buc..ket",
                                      "s3://bucket/a//b",
                                      "s3://bucket//",
                                      "s3://bucket/./b",
                                      "s3://bucket/a/..",
                                      "s3://bucket/%2e%2e",
                                      "s3://bucket/a%00",
                                      "s3://bucket/a%0ab",
                                      "s3://bucket?endpoint",
                                      "s3://bucket?nothing=1",
                                      "s3://bucket?endpoint=host",
                                      "s3://bucket?endpoint=ftp://host",
                                      "s3://bucket?endpoint=http://user:pw@host",
                                      "s3://bucket?endpoint=http://host/path",
                                      "s3://bucket?endpoint=http://host:port",
                                      "s3://bucket?endpoint=http://[::1",
                                      "s3://bucket?addressing=none",
                                      "s3://bucket?region=a/b"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct firn_s3_options o = {.bucket = "kept"};
        struct firn_err err = {0};
        assert_int_equal(firn_s3_url_parse(bad[i], &o, &err), FIRN_INVALID);
        assert_true(err.text[0] != '\0');
        assert_string_equal(o.bucket, "kept");
    }
}

static void target(const char *url, struct firn_s3__target *t, enum firn_status want)
{
    struct firn_s3_options o = {0};
    struct firn_err err = {0};
    assert_int_equal(firn_s3_url_parse(url, &o, &err), FIRN_OK);
    firn_s3__options_complete(&o, NULL);
    assert_int_equal(firn_s3__target_of(&o, t, &err), want);
}

static void test_targets(void **state)
{
    struct firn_s3__target t;
    (void)state;
    (void)unsetenv("AWS_ENDPOINT_URL");
    (void)unsetenv("AWS_ENDPOINT_URL_S3");
    (void)unsetenv("AWS_REGION");
    (void)unsetenv("AWS_DEFAULT_REGION");
    target("s3://bucket/p", &t, FIRN_OK);
    assert_string_equal(t.base, "https://bucket.s3.us-east-1.amazonaws.com");
    assert_string_equal(t.host, "bucket.s3.us-east-1.amazonaws.com");
    assert_string_equal(t.root, "");
    assert_true(t.tls);
    target("s3://buck.et?region=cn-north-1", &t, FIRN_OK); /* a dot: no certificate fits */
    assert_string_equal(t.base, "https://s3.cn-north-1.amazonaws.com.cn");
    assert_string_equal(t.root, "/buck.et");
    target("s3://bucket?endpoint=https://minio:443", &t, FIRN_OK);
    assert_string_equal(t.base, "https://minio:443");
    assert_string_equal(t.host, "minio");
    target("s3://bucket?endpoint=http://[::1]:80", &t, FIRN_OK);
    assert_string_equal(t.host, "[::1]");
    assert_false(t.tls);
    target("s3://bucket?endpoint=http://host:8080&addressing=virtual", &t, FIRN_OK);
    assert_string_equal(t.base, "http://bucket.host:8080");
    target("s3://bucket?endpoint=http://127.0.0.1:1&addressing=virtual", &t, FIRN_INVALID);
    (void)setenv("AWS_ENDPOINT_URL", "http://all", 1);
    (void)setenv("AWS_DEFAULT_REGION", "second", 1);
    target("s3://bucket", &t, FIRN_OK);
    assert_string_equal(t.host, "all");
    (void)setenv("AWS_ENDPOINT_URL_S3", "http://s3only", 1);
    target("s3://bucket", &t, FIRN_OK);
    assert_string_equal(t.host, "s3only");
    target("s3://bucket?endpoint=http://mine", &t, FIRN_OK);
    assert_string_equal(t.host, "mine");
    (void)setenv("AWS_ENDPOINT_URL_S3", "http://user@host", 1);
    target("s3://bucket", &t, FIRN_INVALID);
    (void)unsetenv("AWS_ENDPOINT_URL");
    (void)unsetenv("AWS_ENDPOINT_URL_S3");
    (void)unsetenv("AWS_DEFAULT_REGION");
}

/* ---- signatures: the examples of
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */

static const struct firn_s3__keys example_keys = {
    .id = "AKIAIOSFODNN7EXAMPLE", .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};

static void check_signature(const struct firn_s3__signable *what, const char *signature)
{
    struct firn_s3__signer s;
    struct firn_arena a = {0};
    struct firn_err err = {0};
    assert_int_equal(firn_s3__signer_init(&s, &err), FIRN_OK);
    for (unsigned i = 0; i < 2; i++) { /* the second time with the kept signing key */
        const char *got = firn_s3__sign(&s, what, &example_keys, 1, &a);
        assert_non_null(got);
        assert_string_equal(strstr(got, "Signature=") + strlen("Signature="), signature);
        assert_null(strstr(got, example_keys.secret));
    }
    struct firn_s3__keys other = example_keys;
    other.secret[0] = 'x';
    assert_null(strstr(firn_s3__sign(&s, what, &other, 2, &a), signature));
    firn_arena_clear(&a);
    firn_s3__signer_deinit(&s);
}

static void test_signature_vectors(void **state)
{
    const char *host = "examplebucket.s3.amazonaws.com", *time = "20130524T000000Z";
    const char *welcome = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    const struct firn_s3__header get[] = {{"host", host},
                                          {"range", "bytes=0-9"},
                                          {"x-amz-content-sha256", FIRN_S3_EMPTY_SHA256},
                                          {"x-amz-date", time}};
    const struct firn_s3__header put[] = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                          {"host", host},
                                          {"x-amz-content-sha256", welcome},
                                          {"x-amz-date", time},
                                          {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    const struct firn_s3__header plain[] = {
        {"host", host}, {"x-amz-content-sha256", FIRN_S3_EMPTY_SHA256}, {"x-amz-date", time}};
    struct firn_s3__signable w = {.method = "GET",
                                  .path = "/test.txt",
                                  .query = "",
                                  .header = get,
                                  .headers = 4,
                                  .payload_hash = FIRN_S3_EMPTY_SHA256,
                                  .time = time,
                                  .region = "us-east-1"};
    (void)state;
    check_signature(&w, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    w.method = "PUT";
    w.path = "/test%24file.text";
    w.header = put;
    w.headers = 5;
    w.payload_hash = welcome;
    check_signature(&w, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    w.method = "GET";
    w.path = "/";
    w.query = "lifecycle=";
    w.header = plain;
    w.headers = 3;
    w.payload_hash = FIRN_S3_EMPTY_SHA256;
    check_signature(&w, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    w.query = "max-keys=2&prefix=J";
    check_signature(&w, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void test_payload_hash(void **state)
{
    struct firn_s3__signer s;
    struct firn_err err = {0};
    char hex[FIRN_S3_SHA256_HEX];
    (void)state;
    assert_int_equal(firn_s3__signer_init(&s, &err), FIRN_OK);
    assert_true(firn_s3__sha256_hex(&s, (struct firn_slice){0}, hex));
    assert_string_equal(hex, FIRN_S3_EMPTY_SHA256);
    assert_true(firn_s3__sha256_hex(&s, firn_slice_str("Welcome to Amazon S3."), hex));
    assert_string_equal(hex, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
    firn_s3__signer_deinit(&s);
}

/* ---- requests in S3's words */

static void place(struct firn_s3__place *p, const char *url)
{
    struct firn_err err = {0};
    memset(p, 0, sizeof *p);
    assert_int_equal(firn_s3_url_parse(url, &p->o, &err), FIRN_OK);
    firn_s3__options_complete(&p->o, NULL);
    assert_int_equal(firn_s3__target_of(&p->o, &p->target, &err), FIRN_OK);
    assert_int_equal(firn_s3__signer_init(&p->signer, &err), FIRN_OK);
    (void)snprintf(p->prefix, sizeof p->prefix, "%s/", p->o.prefix);
}

static const char *header_of(const struct firn_s3__wire *w, const char *name)
{
    for (size_t i = 0; i < w->headers; i++) {
        if (strcmp(w->header[i].name, name) == 0)
            return w->header[i].value;
    }
    return NULL;
}

static const char *line_of(const struct firn_s3__wire *w, const char *name)
{
    for (const struct curl_slist *l = &w->line[0]; l; l = l->next) {
        if (strncasecmp(l->data, name, strlen(name)) == 0)
            return l->data + strlen(name);
    }
    return NULL;
}

static void test_wire_put(void **state)
{
    struct firn_s3__place p;
    struct firn_s3__wire w;
    struct firn_os_req r;
    struct firn_err err = {0};
    struct firn_s3__keys keys = example_keys;
    (void)state;
    place(&p, "s3://bucket/db?endpoint=https://host");
    p.dialect.checksum_crc32c = true;
    firn_os_req_init(&r);
    r.op = FIRN_OS_PUT;
    r.key = "manifest/a b";
    r.cond = FIRN_OS_IF_ABSENT;
    r.body = firn_slice_str("123456789");
    assert_int_equal(firn_s3__wire_build(&w, &p, &r, &err), FIRN_OK);
    assert_string_equal(w.path, "/bucket/db/manifest/a%20b");
    assert_string_equal(header_of(&w, "if-none-match"), "*");
    assert_string_equal(header_of(&w, "x-amz-checksum-crc32c"), "4waSgw=="); /* 0xe3069283 */
    assert_string_equal(w.payload, FIRN_S3_UNSIGNED);
    assert_false(w.hash_body);
    (void)snprintf(keys.token, sizeof keys.token, "session");
    assert_int_equal(firn_s3__wire_sign(&w, &p, &keys, 1, 1369353600), FIRN_OK);
    assert_string_equal(w.url, "https://host/bucket/db/manifest/a%20b");
    assert_string_equal(line_of(&w, "x-amz-security-token: "), "session");
    assert_non_null(strstr(line_of(&w, "authorization: "),
                           "SignedHeaders=host;if-none-match;x-amz-checksum-crc32c;"
                           "x-amz-content-sha256;x-amz-date;x-amz-security-token,"));
    assert_string_equal(line_of(&w, "Expect:"), "");
    firn_s3__wire_clear(&w);

    r.cond = FIRN_OS_IF_MATCH; /* quoted as it came, or bare */
    r.etag = "\"abc\"";
    assert_int_equal(firn_s3__wire_build(&w, &p, &r, &err), FIRN_OK);
    assert_string_equal(header_of(&w, "if-match"), "\"abc\"");
    firn_s3__wire_clear(&w);
    p.dialect.if_match_bare = true;
    p.dialect.checksum_crc32c = false; /* then the body's hash is signed */
    assert_int_equal(firn_s3__wire_build(&w, &p, &r, &err), FIRN_OK);
    assert_string_equal(header_of(&w, "if-match"), "abc");
    assert_true(w.hash_body);
    firn_s3__wire_clear(&w);
    r.etag = "";
    assert_int_equal(firn_s3__wire_build(&w, &p, &r, &err), FIRN_INVALID);
    firn_s3__wire_clear(&w);
    firn_s3__signer_deinit(&p.signer);
}

static void test_wire_others(void **state)
{
    static const char *const keys[] = {"a<b", "c&d"};
    static const char *const etags[] = {"\"1\"", "2"};
    struct firn_s3__place p;
    struct firn_s3__wire w;
    struct firn_os_req r;
    struct firn_err err = {0};
    (void)state;
    place(&p, "s3://bucket/db?endpoint=http://host");
    firn_os_req_init(&r);
    r.op = FIRN_OS_LIST;
    r.key = "wal/";
    r.cursor = "a/b=";
    r.start_after = "wal/7";
    assert_int_equal(firn_s3__wire_build(&w, &p, &r, &err), FIRN_OK);
    assert_string_equal(w.path, "/bucket");
    assert_string_equal(w.query, "continuation-token=a%2Fb%3D&encoding-type=url&list-type=2&"
                                 "max-keys=1000&prefix=db%2Fwal%2F&start-after=db%2Fwal%2F7");
    firn_s3__wire_clear(&w);

    firn_os_req_init(&r);
    r.op = FIRN_OS_DELETE_MANY;
    r.keys = keys;
    r.nkeys = 2;
    assert_int_equal(firn_s3__wire_build(&w, &p, &r, &err), FIRN_OK);
    assert_true(firn_slice_eq(
        w.body, firn_slice_str("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>"
                               "true</Quiet><Object><Key>db/a&lt;b</Key></Object><Object><Key>"
                               "db/c&amp;d</Key></Object></Delete>")));
    assert_string_equal(w.query, "delete=");
    assert_int_equal(strlen(header_of(&w, "content-md5")), 24);
    firn_s3__wire_clear(&w);
    r.nkeys = FIRN_OS_DELETE_MANY_MAX + 1;
    assert_int_equal(firn_s3__wire_build(&w, &p, &r, &err), FIRN_INVALID);
    firn_s3__wire_clear(&w);

    firn_os_req_init(&r);
    r.op = FIRN_OS_MP_COMPLETE;
    r.key = "t";
    r.upload_id = "u+1";
    r.part_etags = etags;
    r.nparts = 2;
    assert_int_equal(firn_s3__wire_build(&w, &p, &r, &err), FIRN_OK);
    assert_string_equal(w.query, "uploadId=u%2B1");
    assert_true(firn_slice_eq(
        w.body, firn_slice_str("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"
                               "&quot;1&quot;</ETag></Part><Part><PartNumber>2</PartNumber><ETag>2"
                               "</ETag></Part></CompleteMultipartUpload>")));
    firn_s3__wire_clear(&w);
    r.op = FIRN_OS_MP_PART;
    r.part_number = 7;
    assert_int_equal(firn_s3__wire_build(&w, &p, &r, &err), FIRN_OK);
    assert_string_equal(w.query, "partNumber=7&uploadId=u%2B1");
    firn_s3__wire_clear(&w);

    firn_os_req_init(&r);
    r.op = FIRN_OS_GET;
    r.key = "k";
    r.offset = 5;
    r.length = 10;
    assert_int_equal(firn_s3__wire_build(&w, &p, &r, &err), FIRN_OK);
    assert_string_equal(header_of(&w, "range"), "bytes=5-14");
    firn_s3__wire_clear(&w);
    r.key = "";
    assert_int_equal(firn_s3__wire_build(&w, &p, &r, &err), FIRN_INVALID);
    firn_s3__wire_clear(&w);
    firn_s3__signer_deinit(&p.signer);
}

/* ---- XML */

static void free_page(struct firn_os_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        firn_free(page->entry[i].key);
    firn_free(page->entry);
    firn_free(page->next);
}

static void test_xml_list(void **state)
{
    static const char doc[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- x -->"
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
        "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>t&amp;&#x20AC;&#60;</NextContinuationToken>"
        "<Contents><Key>db%2Fa+b%2B</Key><Size>17</Size><Owner><ID>x</ID></Owner></Contents>"
        "<Contents><Key>db/</Key><Size>0</Size></Contents>\n"
        "<Contents><Size>123456789012</Size><Key>db/wal/1</Key><Empty/></Contents>"
        "</ListBucketResult>\n";
    struct firn_os_page page;
    (void)state;
    assert_int_equal(firn_s3__xml_list(firn_slice_str(doc), "db/", &page), FIRN_OK);
    assert_int_equal(page.count, 2);
    assert_string_equal(page.entry[0].key, "a b+");
    assert_int_equal(page.entry[0].size, 17);
    assert_string_equal(page.entry[1].key, "wal/1");
    assert_int_equal(page.entry[1].size, 123456789012);
    assert_string_equal(page.next, "t&\xe2\x82\xac<");
    free_page(&page);
    /* Every prefix of the document is cut off, and none is taken. */
    for (size_t n = 0; n < sizeof doc - 2; n++) {
        struct firn_slice cut = firn_slice_of(doc, n);
        assert_int_equal(firn_s3__xml_list(cut, "db/", &page), FIRN_CORRUPT);
        assert_int_equal(page.count, 0);
    }
}

static void test_bad_lists(void **state)
{
#define DOC(inside) "<ListBucketResult>" inside "</ListBucketResult>"
    static const char *const bad[] = {
        "x",
        "<Other></Other>",
        "<ListBucketResult></Other>",
        "<!DOCTYPE a><ListBucketResult/>",
        "<ListBucketResult/><ListBucketResult/>",
        DOC("<Contents><Key>p/a</Key></Contents>"),
        DOC("<Contents><Size>1</Size></Contents>"),
        DOC("<Contents><Key>p/a</Key><Size>x</Size></Contents>"),
        DOC("<Contents><Key>p/a</Key><Size>9999999999999999999</Size></Contents>"),
        DOC("<Contents><Key>q/a</Key><Size>1</Size></Contents>"),
        DOC("<Contents><Key>p/&nope;</Key><Size>1</Size></Contents>"),
        DOC("<Contents><Key>p/&#0;</Key><Size>1</Size></Contents>"),
        DOC("<Contents><Key>p/&amp</Key><Size>1</Size></Contents>"),
        DOC("<EncodingType>url</EncodingType><Contents><Key>p/%0</Key><Size>1</Size></Contents>"),
        DOC("<IsTruncated>true</IsTruncated>"),
        DOC("<a><b><c><d><e><f><g><h></h></g></f></e></d></c></b></a>"),
    };
    struct firn_os_page page;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(firn_s3__xml_list(firn_slice_str(bad[i]), "p/", &page), FIRN_CORRUPT);
    assert_int_equal(firn_s3__xml_list(firn_slice_str(DOC("")), "p/", &page), FIRN_OK);
    assert_int_equal(page.count, 0);
}

static void test_list_without_memory(void **state)
{
    static const char doc[] = DOC("<IsTruncated>true</IsTruncated><NextContinuationToken>t"
                                  "</NextContinuationToken><Contents><Key>p/a</Key><Size>1</Size>"
                                  "</Contents><Contents><Key>p/b</Key><Size>1</Size></Contents>");
    struct firn_os_page page;
    enum firn_status s = FIRN_LIMIT;
    (void)state;
    for (uint64_t n = 1; s != FIRN_OK; n++) {
        (void)firn_mem_fail_at(n, 1);
        s = firn_s3__xml_list(firn_slice_str(doc), "p/", &page);
        (void)firn_mem_fail_at(0, 0);
        assert_true(s == FIRN_OK || s == FIRN_LIMIT);
        assert_true(n < 10);
    }
    free_page(&page);
}

static void test_xml_others(void **state)
{
    struct firn_s3__error e;
    struct firn_s3__keys k;
    char id[16];
    size_t failed;
    (void)state;
    firn_s3__xml_error(firn_slice_str("<Error><Code>SlowDown</Code><Message>a &lt;b&gt;\n</Message>"
                                      "<Region>eu</Region></Error>"),
                       &e);
    assert_string_equal(e.code, "SlowDown");
    assert_string_equal(e.message, "a <b>?");
    assert_string_equal(e.region, "eu");
    firn_s3__xml_error(firn_slice_str("<ErrorResponse><Error><Code>Expired</Code></Error>"), &e);
    assert_string_equal(e.code, "Expired");
    firn_s3__xml_error(firn_slice_str("<html><Code>x</Code></html>"), &e);
    assert_string_equal(e.code, "");
    firn_s3__xml_error((struct firn_slice){0}, &e);
    assert_string_equal(e.code, "");

#define UPLOAD(id)                                                                                 \
    "<InitiateMultipartUploadResult><UploadId>" id "</UploadId></InitiateMultipartUploadResult>"
    assert_int_equal(firn_s3__xml_upload_id(firn_slice_str(UPLOAD("2~x")), id, sizeof id), FIRN_OK);
    assert_string_equal(id, "2~x");
    assert_int_equal(firn_s3__xml_upload_id(firn_slice_str(UPLOAD("")), id, sizeof id),
                     FIRN_CORRUPT);
    assert_int_equal(
        firn_s3__xml_upload_id(firn_slice_str(UPLOAD("0123456789abcdef")), id, sizeof id),
        FIRN_CORRUPT);
    assert_int_equal(
        firn_s3__xml_deleted(firn_slice_str("<DeleteResult><Error><Key>a</Key><Code>AccessDenied"
                                            "</Code></Error><Error><Code>NoSuchKey</Code></Error>"
                                            "<Error/></DeleteResult>"),
                             &failed),
        FIRN_OK);
    assert_int_equal(failed, 2);
    assert_int_equal(firn_s3__xml_completed(firn_slice_str("<CompleteMultipartUploadResult><ETag>"
                                                           "</ETag></CompleteMultipartUploadResult"
                                                           ">")),
                     FIRN_OK);
    assert_int_equal(firn_s3__xml_completed(firn_slice_str("<Error><Code>InternalError</Code>"
                                                           "</Error>")),
                     FIRN_CORRUPT);
#define STS(inside)                                                                                \
    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>" inside     \
    "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    assert_int_equal(
        firn_s3__xml_keys(firn_slice_str(STS("<AccessKeyId>i</AccessKeyId><SecretAccessKey>s"
                                             "</SecretAccessKey><SessionToken>t</SessionToken>"
                                             "<Expiration>2026-11-21T10:20:30Z</Expiration>")),
                          &k),
        FIRN_OK);
    assert_string_equal(k.id, "i");
    assert_string_equal(k.secret, "s");
    assert_string_equal(k.token, "t");
    assert_int_equal(k.expire_ms, 1795256430000);
    assert_int_equal(firn_s3__xml_keys(firn_slice_str(STS("<AccessKeyId>i</AccessKeyId>")), &k),
                     FIRN_CORRUPT);
}

/* ---- JSON */

static void test_json_keys(void **state)
{
    struct firn_s3__keys k;
    struct firn_err err = {0};
    (void)state;
    assert_int_equal(
        firn_s3__json_keys(
            firn_slice_str(" {\"Code\" : \"Success\", \"n\": [1, {\"Token\": \"no\"}, null],\n"
                           "\"AccessKeyId\":\"i\",\"SecretAccessKey\":\"a\\/b\\u0041\","
                           "\"Token\":\"t\",\"Expiration\":\"2026-11-21T10:20:30Z\", \"x\":-1.5"
                           "e3} "),
            &k, &err),
        FIRN_OK);
    assert_string_equal(k.secret, "a/bA");
    assert_string_equal(k.token, "t");
    assert_int_equal(k.expire_ms, 1795256430000);
    assert_int_equal(firn_s3__json_keys(firn_slice_str("{\"Code\":\"Failed\"}"), &k, &err),
                     FIRN_DENIED);
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"AccessKeyId\":\"i\"}",
        "{\"AccessKeyId\":\"i\",\"SecretAccessKey\":\"s\",\"Expiration\":\"soon\"}",
        "{\"AccessKeyId\":\"i\",\"SecretAccessKey\":\"s\"} x",
        "{\"AccessKeyId\":\"i\",\"SecretAccessKey\":\"s\\u00e9\"}",
        "{\"AccessKeyId\":\"i\",\"SecretAccessKey\":\"s\\",
        "{\"a\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(firn_s3__json_keys(firn_slice_str(bad[i]), &k, &err), FIRN_CORRUPT);
        assert_string_equal(k.secret, "");
    }
}

/* ---- statuses */

static void test_statuses(void **state)
{
    static const struct {
        enum firn_os_op op;
        enum firn_os_cond cond;
        int http;
        const char *code;
        enum firn_status want;
        bool slow;
    } t[] = {
        {FIRN_OS_GET, FIRN_OS_ALWAYS, 206, "", FIRN_OK, false},
        {FIRN_OS_GET, FIRN_OS_IF_NONE_MATCH, 304, "", FIRN_UNCHANGED, false},
        {FIRN_OS_GET, FIRN_OS_ALWAYS, 404, "NoSuchKey", FIRN_ABSENT, false},
        {FIRN_OS_GET, FIRN_OS_ALWAYS, 404, "NoSuchBucket", FIRN_INVALID, false},
        {FIRN_OS_GET, FIRN_OS_ALWAYS, 404, "", FIRN_TRANSIENT, false},
        {FIRN_OS_HEAD, FIRN_OS_ALWAYS, 404, "", FIRN_ABSENT, false},
        {FIRN_OS_PUT, FIRN_OS_IF_ABSENT, 412, "PreconditionFailed", FIRN_CONFLICT, false},
        {FIRN_OS_PUT, FIRN_OS_IF_MATCH, 404, "NoSuchKey", FIRN_CONFLICT, false},
        {FIRN_OS_PUT, FIRN_OS_ALWAYS, 404, "NoSuchBucket", FIRN_INVALID, false},
        {FIRN_OS_PUT, FIRN_OS_ALWAYS, 404, "", FIRN_UNCERTAIN, false},
        {FIRN_OS_PUT, FIRN_OS_IF_ABSENT, 409, "ConditionalRequestConflict", FIRN_TRANSIENT, false},
        {FIRN_OS_PUT, FIRN_OS_IF_ABSENT, 501, "NotImplemented", FIRN_INVALID, false},
        {FIRN_OS_PUT, FIRN_OS_ALWAYS, 500, "InternalError", FIRN_UNCERTAIN, false},
        {FIRN_OS_PUT, FIRN_OS_ALWAYS, 503, "SlowDown", FIRN_TRANSIENT, true},
        {FIRN_OS_PUT, FIRN_OS_ALWAYS, 503, "", FIRN_UNCERTAIN, true},
        {FIRN_OS_PUT, FIRN_OS_ALWAYS, 429, "", FIRN_TRANSIENT, true},
        {FIRN_OS_PUT, FIRN_OS_ALWAYS, 400, "RequestTimeout", FIRN_TRANSIENT, false},
        {FIRN_OS_PUT, FIRN_OS_ALWAYS, 400, "BadDigest", FIRN_TRANSIENT, false},
        {FIRN_OS_PUT, FIRN_OS_ALWAYS, 400, "EntityTooLarge", FIRN_INVALID, false},
        {FIRN_OS_PUT, FIRN_OS_ALWAYS, 400, "ExpiredToken", FIRN_DENIED, false},
        {FIRN_OS_PUT, FIRN_OS_ALWAYS, 403, "QuotaExceeded", FIRN_LIMIT, false},
        {FIRN_OS_PUT, FIRN_OS_ALWAYS, 507, "", FIRN_LIMIT, false},
        {FIRN_OS_GET, FIRN_OS_ALWAYS, 403, "AccessDenied", FIRN_DENIED, false},
        {FIRN_OS_GET, FIRN_OS_ALWAYS, 401, "", FIRN_DENIED, false},
        {FIRN_OS_GET, FIRN_OS_ALWAYS, 500, "", FIRN_TRANSIENT, false},
        {FIRN_OS_GET, FIRN_OS_ALWAYS, 503, "", FIRN_TRANSIENT, true},
        {FIRN_OS_GET, FIRN_OS_ALWAYS, 301, "PermanentRedirect", FIRN_INVALID, false},
        {FIRN_OS_GET, FIRN_OS_ALWAYS, 416, "InvalidRange", FIRN_INVALID, false},
        {FIRN_OS_MP_PART, FIRN_OS_ALWAYS, 404, "NoSuchUpload", FIRN_ABSENT, false},
        {FIRN_OS_LIST, FIRN_OS_ALWAYS, 404, "NoSuchBucket", FIRN_INVALID, false},
        {FIRN_OS_DELETE, FIRN_OS_ALWAYS, 502, "", FIRN_UNCERTAIN, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        bool slow;
        enum firn_status s = firn_s3__status_of(t[i].op, t[i].cond, t[i].http, t[i].code, &slow);
        if (s != t[i].want || slow != t[i].slow)
            fail_msg("%s %d %s: %s", firn_os_op_name(t[i].op), t[i].http, t[i].code,
                     firn_status_name(s));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode_and_decode),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_url),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_signature_vectors),
        cmocka_unit_test(test_payload_hash),
        cmocka_unit_test(test_wire_put),
        cmocka_unit_test(test_wire_others),
        cmocka_unit_test(test_xml_list),
        cmocka_unit_test(test_bad_lists),
        cmocka_unit_test(test_list_without_memory),
        cmocka_unit_test(test_xml_others),
        cmocka_unit_test(test_json_keys),
        cmocka_unit_test(test_statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
