/* What a reply means: the table of DESIGN.md. */
#include "io_s3/s3_priv.h"

static bool any_of(const char *code, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(code, list[i]) == 0)
            return true;
    }
    return false;
}
#define ANY_OF(code, list) any_of(code, list, sizeof(list) / sizeof(list)[0])

/* The store says that it is asked too much; such a request was not carried out. */
static bool is_slow_down(const char *code)
{
    static const char *const list[] = {"SlowDown", "SlowDownRead", "SlowDownWrite",
                                       "RequestLimitExceeded", "TooManyRequests"};
    return ANY_OF(code, list);
}

/* The body did not come whole or unharmed: nothing was done, and the next try may do better. */
static bool is_bad_delivery(const char *code)
{
    static const char *const list[] = {"RequestTimeout", "IncompleteBody", "BadDigest",
                                       "XAmzContentSHA256Mismatch"};
    return ANY_OF(code, list);
}

static bool is_full(const char *code)
{
    static const char *const list[] = {"QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull",
                                       "InsufficientStorage"};
    return ANY_OF(code, list);
}

static bool is_bad_credential(const char *code)
{
    static const char *const list[] = {"InvalidAccessKeyId", "SignatureDoesNotMatch",
                                       "RequestTimeTooSkewed", "AccessDenied"};
    return firn_s3__is_stale_credential(code) || ANY_OF(code, list);
}

bool firn_s3__is_stale_credential(const char *code)
{
    static const char *const list[] = {"ExpiredToken",         "InvalidToken",
                                       "TokenRefreshRequired", "ExpiredTokenException",
                                       "InvalidAccessKeyId",   "SignatureDoesNotMatch"};
    return ANY_OF(code, list);
}

static enum firn_status lost(enum firn_os_op op)
{
    return firn_s3__is_write(op) ? FIRN_UNCERTAIN : FIRN_TRANSIENT;
}

static enum firn_status not_found(enum firn_os_op op, enum firn_os_cond cond, const char *code)
{
    if (strcmp(code, "NoSuchBucket") == 0)
        return FIRN_INVALID;
    /* Without an S3 error this is some proxy or web server speaking, which knows nothing of keys.
     * (The reply to a HEAD has no body to say so.) */
    if (!code[0] && op != FIRN_OS_HEAD)
        return lost(op);
    if (op == FIRN_OS_PUT)
        return cond == FIRN_OS_IF_MATCH ? FIRN_CONFLICT : FIRN_INVALID;
    if (op == FIRN_OS_LIST || op == FIRN_OS_DELETE_MANY || op == FIRN_OS_MP_CREATE)
        return FIRN_INVALID;
    return FIRN_ABSENT;
}

static enum firn_status client_error(enum firn_os_op op, enum firn_os_cond cond, int http,
                                     const char *code)
{
    if (is_full(code))
        return FIRN_LIMIT;
    if (is_bad_credential(code))
        return FIRN_DENIED;
    if (is_bad_delivery(code))
        return FIRN_TRANSIENT;
    switch (http) {
    case 401:
    case 403:
        return FIRN_DENIED;
    case 404:
        return not_found(op, cond, code);
    case 408:
    case 409:
        return FIRN_TRANSIENT;
    case 412:
        return FIRN_CONFLICT;
    default:
        return FIRN_INVALID;
    }
}

enum firn_status firn_s3__status_of(enum firn_os_op op, enum firn_os_cond cond, int http,
                                    const char *code, bool *slow_down)
{
    *slow_down = http == 503 || http == 429 || is_slow_down(code);
    if (http >= 200 && http < 300)
        return FIRN_OK;
    if (http == 304 && cond == FIRN_OS_IF_NONE_MATCH)
        return FIRN_UNCHANGED;
    if (http == 429 || is_slow_down(code))
        return FIRN_TRANSIENT;
    if (http == 501 || http == 505)
        return FIRN_INVALID; /* a definite no, unlike the other 5xx */
    if (http == 507 || is_full(code))
        return FIRN_LIMIT;
    if (http >= 500)
        return lost(op);
    return client_error(op, cond, http, code);
}

int firn_s3__http_of(const char *code)
{
    static const struct {
        const char *code;
        int http;
    } known[] = {
        {"SlowDown", 503},           {"ServiceUnavailable", 503},
        {"PreconditionFailed", 412}, {"ConditionalRequestConflict", 409},
        {"OperationAborted", 409},   {"NoSuchUpload", 404},
        {"NoSuchBucket", 404},       {"NoSuchKey", 404},
        {"AccessDenied", 403},       {"InvalidPart", 400},
        {"InvalidPartOrder", 400},   {"EntityTooSmall", 400},
        {"EntityTooLarge", 400},     {"MalformedXML", 400},
        {"InvalidRequest", 400},     {"InvalidArgument", 400},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(code, known[i].code) == 0)
            return known[i].http;
    }
    return 500;
}

const char *firn_s3__right_of(enum firn_os_op op)
{
    switch (op) {
    case FIRN_OS_GET:
    case FIRN_OS_HEAD:
        return "s3:GetObject, or s3:ListBucket where the key may be missing";
    case FIRN_OS_DELETE:
    case FIRN_OS_DELETE_MANY:
        return "s3:DeleteObject";
    case FIRN_OS_LIST:
        return "s3:ListBucket";
    case FIRN_OS_MP_ABORT:
        return "s3:AbortMultipartUpload";
    default:
        return "s3:PutObject";
    }
}
