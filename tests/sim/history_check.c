/* history_check FILE: is what clients recorded linearizable? */
#include "sim/check_linear.h"
#include "sim/history_text.h"

#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "history_check [--drift-ppm N] [--work N] FILE\n"
    "\n"
    "Checks that the history in FILE (- = stdin) is linearizable, key by key, every key absent at\n"
    "first, and that reads at a freshness above 0 are not older than that. Prints what is wrong.\n"
    "  --drift-ppm N   a node's seconds may be longer by N millionths (1000)\n"
    "  --work N        steps of the search for one key, then it is not decided (4194304)\n"
    "Exit status: 0 all is well, 1 something is wrong, 2 usage or a malformed file, 3 nothing is "
    "wrong\n"
    "but some keys are not decided.\n"
    "\n"
    "One operation per line, its parts between single spaces:\n"
    "  SESSION NODE CLIENT FRESHNESS_NS INVOKED_NS REPLIED_NS|- [applied] [final] [exec]\n"
    "      : COMMAND WORDS ... [; COMMAND WORDS ...] [=> REPLY ...]\n"
    "Numbers are decimal, times of one clock that never goes back. A session is one connection. "
    "exec:\n"
    "the commands are one MULTI ... EXEC. The reply has the heads of arrays left out: $bytes a "
    "string,\n"
    ":n an integer, + a status, -TEXT an error (KVUNKNOWN: the outcome is not known; any other: "
    "nothing\n"
    "was applied), _ nil, ~ nil instead of an array. Without => no answer came: the outcome is "
    "not\n"
    "known. In words and strings, bytes outside 0x21-0x7e and the five % \" ; = : are written %XX; "
    "an\n"
    "empty word is \"\". Lines that begin with # say nothing.\n";

static int read_all(const char *name, struct firn_buf *out)
{
    FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "rb");
    enum firn_status st = FIRN_OK;
    static char part[1 << 16];
    size_t n;
    if (!f) {
        perror(name);
        return 2;
    }
    while ((n = fread(part, 1, sizeof part, f)) > 0 && st == FIRN_OK)
        st = firn_buf_append(out, part, n);
    int bad = ferror(f) || st != FIRN_OK;
    if (bad)
        (void)fprintf(stderr, "%s: cannot be read\n", name);
    if (f != stdin)
        (void)fclose(f);
    return bad ? 2 : 0;
}

static int parse(const char *name, struct firn_slice text, struct hist *h)
{
    size_t line = 0;
    while (text.len) {
        const uint8_t *nl = memchr(text.data, '\n', text.len);
        size_t len = nl ? (size_t)(nl - text.data) : text.len;
        struct firn_err err = {""};
        line++;
        if (hist_text_line(h, firn_slice_of(text.data, len), &err) != FIRN_OK) {
            (void)fprintf(stderr, "%s:%zu: %s\n", name, line, err.text);
            return 2;
        }
        len += nl != NULL;
        text = firn_slice_of(text.data + len, text.len - len);
    }
    return 0;
}

static int judge(const struct hist *h, const struct check_linear_options *o)
{
    struct check_linear_stats s;
    struct check_report r;
    check_report_init(&r);
    check_linear(h, o, &s, &r);
    if (r.wrong)
        (void)fwrite(r.text.data, 1, r.text.len, stdout);
    printf(
        "%zu operations: %llu keys decided, %llu not; %llu of one key, %llu of these unknown; %llu "
        "bounded reads; %llu steps; %llu wrong\n",
        h->ops, (unsigned long long)s.keys, (unsigned long long)s.undecided,
        (unsigned long long)s.operations, (unsigned long long)s.unknown,
        (unsigned long long)s.bounded, (unsigned long long)s.steps, (unsigned long long)r.wrong);
    int status = r.wrong ? 1 : s.undecided ? 3 : 0;
    check_report_clear(&r);
    return status;
}

int main(int argc, char **argv)
{
    struct check_linear_options o = {.work_max = CHECK_LINEAR_WORK, .drift_ppm = 1000};
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        if (strcmp(argv[i], "--help") == 0) {
            (void)fputs(help, stdout);
            return 0;
        }
        if (i + 1 < argc && strcmp(argv[i], "--drift-ppm") == 0) {
            o.drift_ppm = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--work") == 0) {
            o.work_max = strtoull(argv[i + 1], NULL, 10);
        } else {
            (void)fputs(help, stderr);
            return 2;
        }
    }
    if (i + 1 != argc) {
        (void)fputs(help, stderr);
        return 2;
    }
    struct firn_buf text;
    struct hist h;
    firn_buf_init(&text, SIZE_MAX);
    hist_init(&h);
    int status = read_all(argv[i], &text);
    if (!status)
        status = parse(argv[i], firn_buf_slice(&text), &h);
    if (!status)
        status = judge(&h, &o);
    firn_buf_clear(&text);
    hist_clear(&h);
    return status;
}
