/* For tests of the engine that need one writer and one client of it: begin and end are the setup
 * and teardown of each test. */
#ifndef FIRN_TESTS_ENGINE_ONE_CLIENT_H
#define FIRN_TESTS_ENGINE_ONE_CLIENT_H

#include "engine_fixture.h"

static struct fixture f;
static struct client *c;

static int begin(void **state)
{
    (void)state;
    fixture_start(&f, true);
    c = fixture_connect(&f);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fixture_stop(&f);
    return 0;
}

#endif
