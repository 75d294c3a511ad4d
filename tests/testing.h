/* cmocka with the headers it needs before itself. */
#ifndef FIRN_TESTS_TESTING_H
#define FIRN_TESTS_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
