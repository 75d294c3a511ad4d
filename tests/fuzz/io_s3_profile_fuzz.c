/* The AWS files: the input as credentials and as config, for a profile and for the default one. */
#include "fuzz/fuzz.h"

#include "io_s3/s3_creds_priv.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void file(const char *variable, const char *path)
{
    struct firn_s3__profile p;
    (void)setenv(variable, path, 1);
    for (int i = 0; i < 2; i++) {
        struct firn_err err = {""};
        enum firn_status s = firn_s3__profile_read(i ? "p" : "default", &p, &err);
        FIRN_ASSERT(s == FIRN_OK || (err.text[0] && !p.keys.secret[0] && !p.found));
        FIRN_ASSERT(memchr(p.keys.secret, 0, sizeof p.keys.secret) != NULL);
    }
    (void)setenv(variable, "/dev/null/none", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    char path[64];
    if (fd < 0)
        fd = memfd_create("profile", MFD_CLOEXEC);
    FIRN_ASSERT(fd >= 0 && fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0);
    FIRN_ASSERT(pwrite(fd, data, size, 0) == (ssize_t)size);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null/none", 1);
    (void)setenv("AWS_CONFIG_FILE", "/dev/null/none", 1);
    file("AWS_SHARED_CREDENTIALS_FILE", path);
    file("AWS_CONFIG_FILE", path);
    return 0;
}
