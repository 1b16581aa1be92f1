#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/newborn.h"

static const char *find(char *const *env, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; env[i]; i++) {
        if (strncmp(env[i], name, len) == 0 && env[i][len] == '=') {
            return env[i] + len + 1;
        }
    }
    return NULL;
}

static void a_child_is_not_told_what_the_service_manager_told_us_alone(void **state)
{
    (void)state;
    static const char *const OURS[] = {
        "NOTIFY_SOCKET", "WATCHDOG_USEC",  "WATCHDOG_PID", "LISTEN_FDS",
        "LISTEN_PID",    "LISTEN_FDNAMES", "MAINPID",      "FALLTHROUGH_DELEGATED"};
    for (size_t i = 0; i < sizeof(OURS) / sizeof(OURS[0]); i++) {
        assert_int_equal(setenv(OURS[i], "1", 1), 0);
    }
    char **env = newborn_environment(NULL);
    for (size_t i = 0; i < sizeof(OURS) / sizeof(OURS[0]); i++) {
        assert_null(find(env, OURS[i]));
    }
    free(env);
}

static void names_that_only_begin_like_those_are_kept(void **state)
{
    (void)state;
    assert_int_equal(setenv("LISTEN_ADDRESS", "[::1]", 1), 0);
    assert_int_equal(setenv("WATCHDOG_LOG", "/x", 1), 0);
    char **env = newborn_environment(NULL);
    assert_string_equal(find(env, "LISTEN_ADDRESS"), "[::1]");
    assert_string_equal(find(env, "WATCHDOG_LOG"), "/x");
    free(env);
}

static void what_is_added_is_there_too(void **state)
{
    (void)state;
    char one[] = "CUDA_VISIBLE_DEVICES=1";
    char two[] = "EMPTY=";
    char *extra[] = {one, two, NULL};
    assert_int_equal(setenv("KEPT", "yes", 1), 0);
    char **env = newborn_environment(extra);
    assert_string_equal(find(env, "CUDA_VISIBLE_DEVICES"), "1");
    assert_string_equal(find(env, "EMPTY"), "");
    assert_string_equal(find(env, "KEPT"), "yes");
    free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_is_not_told_what_the_service_manager_told_us_alone),
        cmocka_unit_test(names_that_only_begin_like_those_are_kept),
        cmocka_unit_test(what_is_added_is_there_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
