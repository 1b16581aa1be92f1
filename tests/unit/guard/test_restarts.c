#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guard/restarts.h"

static const struct restart_policy policy = {
    .first_ms = 1000, .max_ms = 300000, .healthy_ms = 600000, .limit = 6, .within_ms = 1800000};

static void doubles_up_to_the_most_with_jitter(void **state)
{
    struct restarts r = {.in_row = 0};
    struct rand rand = {.state = 1};
    struct restart_policy endless = policy;
    uint64_t middle = 1000;
    (void)state;
    endless.limit = 0;
    for (int i = 0; i < 40; i++) {
        uint64_t delay = 0;
        assert_true(restarts_next(&r, &endless, &rand, 0, &delay));
        assert_in_range(delay, middle * 80 / 100, middle * 120 / 100);
        middle = middle * 2 < 300000 ? middle * 2 : 300000;
    }
}

static void jitter_differs_and_stays_within_a_fifth(void **state)
{
    struct rand rand = {.state = 7};
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct restarts r = {.in_row = 0};
        uint64_t delay = 0;
        assert_true(restarts_next(&r, &policy, &rand, 0, &delay));
        least = delay < least ? delay : least;
        most = delay > most ? delay : most;
    }
    assert_int_equal(least, 800);
    assert_int_equal(most, 1200);
}

static void gives_up_at_the_failure_after_the_last_restart(void **state)
{
    struct restarts r = {.in_row = 0};
    struct rand rand = {.state = 1};
    uint64_t delay = 0;
    (void)state;
    for (uint64_t i = 0; i < 6; i++) {
        assert_true(restarts_next(&r, &policy, &rand, i * 60000, &delay));
    }
    assert_int_equal(restarts_recent(&r, &policy, 360000), 6);
    assert_false(restarts_next(&r, &policy, &rand, 1799999, &delay));
    assert_int_equal(r.total, 6);
    /* The first of them is no longer within the window. */
    assert_true(restarts_next(&r, &policy, &rand, 1800000, &delay));
}

static void health_forgets_the_row_but_not_the_window(void **state)
{
    struct restarts r = {.in_row = 0};
    struct rand rand = {.state = 1};
    uint64_t delay = 0;
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_true(restarts_next(&r, &policy, &rand, 0, &delay));
    }
    restarts_forget(&r);
    assert_true(restarts_next(&r, &policy, &rand, 1, &delay));
    assert_in_range(delay, 800, 1200);
    assert_false(restarts_next(&r, &policy, &rand, 2, &delay));
}

static void the_ring_holds_more_than_the_largest_limit(void **state)
{
    struct restart_policy wide = policy;
    struct restarts r = {.in_row = 0};
    struct rand rand = {.state = 1};
    uint64_t delay = 0;
    (void)state;
    wide.limit = RESTARTS_MAX;
    for (int i = 0; i < RESTARTS_MAX; i++) {
        assert_true(restarts_next(&r, &wide, &rand, 0, &delay));
    }
    assert_false(restarts_next(&r, &wide, &rand, 0, &delay));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_up_to_the_most_with_jitter),
        cmocka_unit_test(jitter_differs_and_stays_within_a_fifth),
        cmocka_unit_test(gives_up_at_the_failure_after_the_last_restart),
        cmocka_unit_test(health_forgets_the_row_but_not_the_window),
        cmocka_unit_test(the_ring_holds_more_than_the_largest_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
