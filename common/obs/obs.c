#include "obs/obs.h"

#include "obs/obs_priv.h"

void firn_obs_init(struct firn_obs *obs)
{
    *obs = (struct firn_obs){.log = {.level = FIRN_LOG_INFO}};
    firn_metrics_init(&obs->metrics);
}

size_t firn_obs__utf8_len(const uint8_t *p, size_t n)
{
    uint8_t c = p[0];
    if (c < 0x80)
        return 1;
    size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || n < len)
        return 0;
    /* the second byte's range is narrower behind these four first bytes */
    uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}
