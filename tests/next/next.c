/* What makes a program one of the next format: it knows one number more than Firn does, and puts a
 * field of its own, which Firn does not know, into every protobuf message it writes. Linked before
 * the libraries, with --wrap for the functions below (ld(1)); everything else is Firn as it is. */
#include "format/version.h"

#include "base/mem.h"
#include "unit/manifest_sample.h"

#include "table.pb-c.h"

const uint16_t firn_format_newest = 2;

size_t __real_firn__manifest__get_packed_size(const Firn__Manifest *m);
size_t __wrap_firn__manifest__get_packed_size(const Firn__Manifest *m);
size_t __real_firn__table_properties__get_packed_size(const Firn__TableProperties *p);
size_t __wrap_firn__table_properties__get_packed_size(const Firn__TableProperties *p);

static void mark(ProtobufCMessage *m, void *arg)
{
    struct sample_count c = {0, 0};
    sample_count_unknown(m, &c);
    if (!c.with_unknown)
        sample_add_unknown(m, arg);
}

/* Encoding asks for the size first. What is encoded is a proposal of our own, made of memory from
 * base/mem as unknown fields are. */
size_t __wrap_firn__manifest__get_packed_size(const Firn__Manifest *m)
{
    Firn__Manifest *ours = (Firn__Manifest *)(uintptr_t)m;
    sample_visit(&ours->base, mark, NULL);
    return __real_firn__manifest__get_packed_size(m);
}

/* The properties of a table live on their encoder's stack, and nobody frees what is in them. */
size_t __wrap_firn__table_properties__get_packed_size(const Firn__TableProperties *p)
{
    static uint8_t bytes[] = "\x03new";
    static ProtobufCMessageUnknownField field = {900, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, 4,
                                                 bytes};
    Firn__TableProperties *ours = (Firn__TableProperties *)(uintptr_t)p;
    ours->base.n_unknown_fields = 1;
    ours->base.unknown_fields = &field;
    return __real_firn__table_properties__get_packed_size(p);
}
