#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tiers/budget.h"

static void gives_the_last_tier_all_that_is_left(void **state)
{
    (void)state;
    assert_int_equal(budget_share_ms(300000, 0), 300000);
    assert_int_equal(budget_share_ms(1, 0), 1);
    assert_true(budget_share_ms(UINT64_MAX, 0) == UINT64_MAX);
}

static void keeps_half_back_while_tiers_are_to_come(void **state)
{
    (void)state;
    assert_int_equal(budget_share_ms(300000, 1), 150000);
    assert_int_equal(budget_share_ms(300000, 7), 150000);
    assert_int_equal(budget_share_ms(301, 2), 150);
}

static void gives_a_trial_half_of_that(void **state)
{
    (void)state;
    assert_int_equal(budget_trial_ms(300000, 1), 75000);
    assert_int_equal(budget_trial_ms(300000, 0), 300000);
    assert_int_equal(budget_trial_ms(1, 1), 1);
}

static void never_gives_less_than_a_millisecond(void **state)
{
    (void)state;
    assert_int_equal(budget_share_ms(0, 0), 1);
    assert_int_equal(budget_share_ms(0, 3), 1);
    assert_int_equal(budget_share_ms(1, 3), 1);
}

static void leaves_time_for_the_last_of_many_tiers(void **state)
{
    (void)state;
    uint64_t left = 300000;
    for (uint32_t after = 4; after > 0; after--) {
        left -= budget_share_ms(left, after);
    }
    assert_int_equal(budget_share_ms(left, 0), 300000 / 16);
}

static void adds_time_for_each_started_thousand_tokens(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        uint64_t expected;
    } rows[] = {
        {0, 10000},    {3, 10000},    {4, 10500},
        {4000, 10500}, {4003, 10500}, {4004, 11000},
        {8000, 11000}, {8004, 11500}, {1000000, 10000 + 250 * 500},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(budget_first_token_ms(10000, 500, rows[i].bytes), rows[i].expected);
    }
}

static void waits_three_times_as_long_for_a_model_that_is_loaded_first(void **state)
{
    (void)state;
    assert_int_equal(budget_loading_ms(0), 0);
    assert_int_equal(budget_loading_ms(60500), 181500);
    assert_true(budget_loading_ms(UINT64_MAX / 3) == UINT64_MAX / 3 * 3);
    assert_true(budget_loading_ms(UINT64_MAX / 3 + 1) == UINT64_MAX);
    assert_true(budget_loading_ms(UINT64_MAX) == UINT64_MAX);
}

static void saturates_a_first_token_deadline(void **state)
{
    (void)state;
    assert_true(budget_first_token_ms(UINT32_MAX, UINT32_MAX, UINT64_MAX) == UINT64_MAX);
    assert_int_equal(budget_first_token_ms(7, 0, UINT64_MAX), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_last_tier_all_that_is_left),
        cmocka_unit_test(keeps_half_back_while_tiers_are_to_come),
        cmocka_unit_test(gives_a_trial_half_of_that),
        cmocka_unit_test(never_gives_less_than_a_millisecond),
        cmocka_unit_test(leaves_time_for_the_last_of_many_tiers),
        cmocka_unit_test(adds_time_for_each_started_thousand_tokens),
        cmocka_unit_test(waits_three_times_as_long_for_a_model_that_is_loaded_first),
        cmocka_unit_test(saturates_a_first_token_deadline),
    };
    return cmocka_run_group_tests_name("tiers/budget", tests, NULL, NULL);
}
