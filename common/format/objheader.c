#include "format/objheader.h"

#include "base/bytes.h"

static const uint8_t magic[4] = {'F', 'I', 'R', 'N'};

const char *firn_obj_kind_name(unsigned kind)
{
    static const char *const name[] = {"object of no kind",
                                       "log batch",
                                       "seal",
                                       "manifest",
                                       "table",
                                       "job",
                                       "node",
                                       "pin",
                                       "probe"};
    return kind < sizeof name / sizeof name[0] ? name[kind] : "object of an unknown kind";
}

void firn_objheader_put(uint8_t *out, enum firn_obj_kind kind, uint16_t format)
{
    memcpy(out, magic, sizeof magic);
    firn_put_le16(out + 4, (uint16_t)kind);
    firn_put_le16(out + 6, format);
}

enum firn_status firn_objheader_check(struct firn_slice object, enum firn_obj_kind kind,
                                      uint16_t oldest, uint16_t newest, struct firn_err *err)
{
    const char *what = firn_obj_kind_name(kind);
    if (object.len < FIRN_OBJHEADER_BYTES || memcmp(object.data, magic, sizeof magic) != 0)
        return firn_fail(err, FIRN_CORRUPT, "no %s: %zu bytes without Firn's magic", what,
                         object.len);
    unsigned found = firn_le16(object.data + 4), format = firn_le16(object.data + 6);
    if (found != (unsigned)kind)
        return firn_fail(err, FIRN_CORRUPT, "no %s: the header says %s (kind %u)", what,
                         firn_obj_kind_name(found), found);
    if (format > newest)
        return firn_fail(err, FIRN_INVALID,
                         "this %s has format %u, but this program knows formats up to %u: "
                         "use a newer version of Firn",
                         what, format, newest);
    if (format < oldest)
        return firn_fail(err, FIRN_INVALID,
                         "this %s has format %u, but this program knows formats from %u on: "
                         "use an older version of Firn to convert it",
                         what, format, oldest);
    return FIRN_OK;
}
