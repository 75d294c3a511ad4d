#include "format/version.h"

const uint16_t firn_format_newest = 1;
