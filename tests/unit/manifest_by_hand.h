/* Commits of nobody: the manifest in the fake store is replaced by its next version, at once. */
#ifndef FIRN_TESTS_UNIT_MANIFEST_BY_HAND_H
#define FIRN_TESTS_UNIT_MANIFEST_BY_HAND_H

#include "fakes/fake_env.h"
#include "format/manifest_codec.h"
#include "unit/manifest_sample.h"

/* The manifest as it lies there; the caller frees it. */
static inline Firn__Manifest *manifest_there(const struct firn_fake_world *w)
{
    struct firn_slice body;
    Firn__Manifest *m = NULL;
    if (!firn_fake_get(w, "manifest", &body))
        abort();
    SAMPLE_OK(firn_manifest_decode(body, &m, NULL));
    return m;
}

/* Let `edit` (NULL: nothing) change it, and put it there as the next version, which is returned. */
static inline uint64_t manifest_change(struct firn_fake_world *w,
                                       void (*edit)(Firn__Manifest *m, const void *arg),
                                       const void *arg)
{
    struct firn_buf out = {.max = SIZE_MAX};
    struct firn_id nonce = {{0}};
    Firn__Manifest *m = manifest_there(w);
    uint64_t version = ++m->version;
    memcpy(nonce.byte, &version, sizeof version);
    SAMPLE_OK(firn_pb_set_id(&m->nonce, &nonce));
    if (edit)
        edit(m, arg);
    SAMPLE_OK(firn_manifest_encode(m, true, &out));
    firn_fake_put(w, "manifest", out.data, out.len);
    firn_pb_manifest_free(m);
    firn_buf_clear(&out);
    return version;
}

#endif
