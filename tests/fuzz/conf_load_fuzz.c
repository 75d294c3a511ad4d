/* Configuration: the input as a file (with others that it may include), as an environment and as a
 * command line. What is refused says why; what loads can be shown, rewritten and loaded again. */
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "conf/conf.h"

#define WORDS 24
#define FILES 4

struct input {
    struct firn_slice file[FILES];
    unsigned opened;
};

static enum firn_status read_file(void *arg, const char *path, struct firn_buf *out, bool *exposed,
                                  struct firn_err *err)
{
    struct input *in = arg;
    *exposed = false;
    if (path[0] < 'a' || path[0] >= 'a' + FILES || ++in->opened > 64)
        return firn_fail(err, FIRN_ABSENT, "no such file");
    struct firn_slice s = in->file[path[0] - 'a'];
    return firn_buf_append(out, s.data, s.len);
}

static void emit(void *arg, const char *name, struct firn_slice value)
{
    size_t *n = arg;
    FIRN_ASSERT(name && (value.data || value.len == 0));
    ++*n;
}

/* What CONFIG GET shows, CONFIG SET takes. */
static void show(struct firn_settings *s, enum firn_conf_role role)
{
    size_t n = 0;
    FIRN_ASSERT(firn_conf_get(s, role, firn_slice_str("*"), emit, &n) == FIRN_OK);
    FIRN_ASSERT(n > 0);
}

static void rewrite(struct firn_settings *s, struct firn_slice old)
{
    struct firn_buf out;
    firn_buf_init(&out, 1 << 21);
    FIRN_ASSERT(firn_conf_rewrite(s, old, &out) == FIRN_OK);
    firn_buf_clear(&out);
}

static void changed(void *arg, const char *name, bool applied)
{
    (void)applied;
    *(bool *)arg = name != NULL;
}

/* Words divided by 0 bytes, behind those there are. */
static int words(struct firn_slice s, char **word, int n)
{
    struct fuzz_in in = fuzz_begin(s.data, s.len);
    while (fuzz_more(&in) && n < WORDS) {
        const uint8_t *z = memchr(in.at, 0, (size_t)(in.end - in.at));
        word[n++] = fuzz_string(fuzz_bytes(&in, (size_t)((z ? z : in.end) - in.at)));
        (void)fuzz_u8(&in);
    }
    word[n] = NULL;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum firn_conf_role roles[] = {FIRN_CONF_WRITER, FIRN_CONF_READER,
                                                FIRN_CONF_COMPACTOR, FIRN_CONF_CTL};
    struct fuzz_in in = fuzz_begin(data, size);
    struct input files = {0};
    char *argv[WORDS + 1] = {0}, *envp[WORDS + 1] = {0};
    struct firn_settings s, defaults;
    struct firn_err err = {""};
    enum firn_conf_role role = roles[fuzz_u8(&in) % 4];
    int argc = words(fuzz_short(&in), argv, words(firn_slice_str("firn"), argv, 0));
    int envc = words(fuzz_short(&in), envp, 0);
    for (int i = 1; i < FILES; i++)
        files.file[i] = fuzz_short(&in);
    files.file[0] = fuzz_rest(&in);
    struct firn_conf_source src = {
        .argc = argc, .argv = argv, .envp = envp, .read_file = read_file, .arg = &files};
    enum firn_status st = firn_conf_load(role, &src, &s, &err);
    FIRN_ASSERT(st == FIRN_OK || (err.text[0] && (st == FIRN_INVALID || st == FIRN_ABSENT)));
    if (st == FIRN_OK) {
        bool any = false;
        show(&s, role);
        rewrite(&s, files.file[0]);
        FIRN_ASSERT(firn_settings_init(&defaults) == FIRN_OK);
        FIRN_ASSERT(firn_conf_reload(&defaults, &s, role, changed, &any) == FIRN_OK);
        firn_settings_deinit(&defaults);
        firn_settings_deinit(&s);
    }
    while (argc)
        free(argv[--argc]);
    while (envc)
        free(envp[--envc]);
    return 0;
}
