/* firnctl's words: divided by line ends. */
#include "fuzz/fuzz.h"

#include "ctl/ctl.h"

#define WORDS 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_begin(data, size);
    struct firn_ctl_args a;
    struct firn_err err = {""};
    char *argv[WORDS + 1] = {0};
    int argc = 0;
    while (fuzz_more(&in) && argc < WORDS) {
        const uint8_t *end = memchr(in.at, '\n', (size_t)(in.end - in.at));
        argv[argc++] = fuzz_string(fuzz_bytes(&in, (size_t)((end ? end : in.end) - in.at)));
        (void)fuzz_u8(&in);
    }
    if (firn_ctl_parse(argc, argv, &a, &err) == FIRN_OK)
        FIRN_ASSERT(a.verb && (!a.has_from || firn_place_valid(a.from)) &&
                    (!a.has_to || firn_place_valid(a.to)));
    else
        FIRN_ASSERT(err.text[0]);
    while (argc)
        free(argv[--argc]);
    return 0;
}
