/* Reading configuration files: modes, limits, what is no file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "io_file/conf_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void reads_files_and_refuses_the_rest(void **state)
{
    (void)state;
    char dir[] = "/tmp/firn-conf-XXXXXX", path[64], fifo[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/file", dir);
    (void)snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    struct firn_buf b;
    firn_buf_init(&b, 300);
    struct firn_err err = {0};
    bool exposed = true;

    write_file(path, "hello\n", 0600);
    assert_int_equal(firn_conf_file_read(NULL, path, &b, &exposed, &err), FIRN_OK);
    assert_false(exposed);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(firn_conf_file_read(NULL, path, &b, &exposed, &err), FIRN_OK);
    assert_true(exposed);
    assert_int_equal(b.len, 12);
    assert_memory_equal(b.data, "hello\nhello\n", 12);

    char text[302];
    memset(text, 'x', sizeof text - 1);
    text[288] = '\0';
    write_file(path, text, 0600);
    assert_int_equal(firn_conf_file_read(NULL, path, &b, &exposed, &err), FIRN_OK);
    assert_int_equal(b.len, 300); /* exactly the bound */
    b.len = 12;
    text[288] = 'x';
    text[289] = '\0';
    write_file(path, text, 0600);
    assert_int_equal(firn_conf_file_read(NULL, path, &b, &exposed, &err), FIRN_LIMIT);
    assert_int_equal(b.len, 12);
    assert_non_null(strstr(err.text, "300"));

    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(firn_conf_file_read(NULL, fifo, &b, &exposed, NULL), FIRN_INVALID);
    assert_int_equal(firn_conf_file_read(NULL, dir, &b, &exposed, NULL), FIRN_INVALID);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(firn_conf_file_read(NULL, path, &b, &exposed, NULL), FIRN_ABSENT);
    assert_int_equal(unlink(fifo), 0);
    assert_int_equal(rmdir(dir), 0);
    firn_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_files_and_refuses_the_rest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
