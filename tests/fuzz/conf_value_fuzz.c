/* Values: the first byte chooses a setting, the rest is what CONFIG SET gives it. What is refused
 * says why and changes nothing; what is taken is shown in a form that is taken again, and is then
 * shown the same. */
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "conf/conf_priv.h"

static struct firn_buf format(const struct firn_conf_def *d, const struct firn_settings *s)
{
    struct firn_buf out;
    firn_buf_init(&out, 1 << 20);
    FIRN_ASSERT(firn_conf__format(d, s, &out) == FIRN_OK);
    return out;
}

static void taken(const struct firn_conf_def *d, struct firn_settings *s)
{
    struct firn_buf once = format(d, s);
    FIRN_ASSERT(d->type == FIRN_CONF_SECRET ||
                firn_conf__put(d, s, firn_buf_slice(&once), FIRN_CONF_RUNTIME, NULL) == FIRN_OK);
    struct firn_buf twice = format(d, s);
    FIRN_ASSERT(firn_slice_eq(firn_buf_slice(&once), firn_buf_slice(&twice)));
    firn_buf_clear(&once);
    firn_buf_clear(&twice);
}

static void set_word(const char *list)
{
    struct firn_slice word;
    size_t len = strlen(list), seen = 0;
    for (const char *at = list; firn_conf_word(&at, &word); seen += word.len)
        FIRN_ASSERT(word.len > 0);
    FIRN_ASSERT(seen <= len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_begin(data, size);
    struct firn_settings s;
    struct firn_err err = {""}, check = {""};
    const struct firn_conf_def *d = &firn_conf__table[fuzz_u8(&in) % firn_conf__count];
    struct firn_slice name = firn_slice_str(d->name), value = fuzz_rest(&in);
    FIRN_ASSERT(firn_settings_init(&s) == FIRN_OK);
    for (unsigned role = FIRN_CONF_WRITER; role <= FIRN_CONF_CTL; role <<= 1) {
        enum firn_conf_role r = (enum firn_conf_role)role;
        enum firn_status may = firn_conf_check(&s, r, name, value, &check);
        FIRN_ASSERT(may == FIRN_OK || (may == FIRN_INVALID && check.text[0]));
        FIRN_ASSERT(firn_conf_set(&s, r, name, value, &err) == may);
        FIRN_ASSERT(strcmp(may == FIRN_OK ? "" : check.text, may == FIRN_OK ? "" : err.text) == 0);
    }
    enum firn_status st = firn_conf__put(d, &s, value, FIRN_CONF_FILE, &err);
    FIRN_ASSERT(st == FIRN_OK || (st == FIRN_INVALID && err.text[0]));
    if (st == FIRN_OK)
        taken(d, &s);
    char *list = fuzz_string(value);
    set_word(list);
    free(list);
    firn_settings_deinit(&s);
    return 0;
}
