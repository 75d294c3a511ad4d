/* The engine over a puppet role: the input is what two clients send, byte by byte as they like. The
 * first byte says whether it is a writer; then each piece: a byte (who sends, whether the turn ends
 * before the next), its length, its bytes. Nothing may crash or hang, and whoever waits for nothing
 * is told something. */
#include "unit/engine_fixture.h"

#include "fuzz/fuzz.h"

static void play(struct fixture *f, struct fuzz_in *in)
{
    struct client *c[2] = {fixture_connect(f), fixture_connect(f)};
    while (fuzz_more(in)) {
        uint8_t how = fuzz_u8(in);
        uint8_t *copy;
        struct firn_slice piece = fuzz_short(in);
        struct client *to = c[how & 1];
        if (how & 2)
            firn_fake_run_for(f->world, how & 4 ? 700 * FIRN_MS : 1000);
        if (!to->open)
            continue;
        copy = fuzz_copy(piece);
        to->user.data(to->user.arg, copy, piece.len);
        free(copy);
    }
    firn_fake_run_for(f->world, 5 * FIRN_SEC);
    for (int i = 0; i < 2; i++)
        if (c[i]->open)
            client_hang_up(c[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_begin(data, size);
    struct fixture *f = malloc(sizeof *f);
    FIRN_ASSERT(f != NULL);
    fixture_start(f, !(fuzz_u8(&in) & 1));
    play(f, &in);
    fixture_stop(f);
    free(f);
    return 0;
}
