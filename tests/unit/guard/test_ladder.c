#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guard/ladder.h"

static const struct ladder_times times = {.term_ms = 30000, .rest_ms = 5000, .kill_ms = 10000};

static void climbs_one_rung_at_a_time(void **state)
{
    struct ladder l;
    (void)state;
    ladder_start(&l, &times, 1000);
    assert_false(ladder_climb(&l, false, 30999));
    assert_true(ladder_climb(&l, false, 31000));
    assert_int_equal(l.rung, LADDER_REST);
    assert_false(ladder_climb(&l, false, 35999));
    assert_true(ladder_climb(&l, false, 36000));
    assert_int_equal(l.rung, LADDER_KILL);
    assert_true(ladder_climb(&l, false, 46000));
    assert_int_equal(l.rung, LADDER_TOP);
    assert_false(ladder_climb(&l, false, UINT32_MAX));
}

static void asks_nobody_when_the_main_process_is_gone(void **state)
{
    struct ladder l;
    (void)state;
    ladder_start(&l, &times, 0);
    assert_true(ladder_climb(&l, true, 0));
    assert_int_equal(l.rung, LADDER_REST);
    assert_false(ladder_climb(&l, true, 4999));
}

static void asks_a_hanging_one_no_longer_than_the_rest(void **state)
{
    struct ladder l;
    (void)state;
    ladder_start(&l, &times, 0);
    ladder_hasten(&l);
    assert_false(ladder_climb(&l, false, 4999));
    assert_true(ladder_climb(&l, false, 5000));
}

static void an_impatient_word_goes_straight_to_the_kill(void **state)
{
    struct ladder l;
    (void)state;
    ladder_start(&l, &times, 0);
    assert_true(ladder_jump(&l, 100));
    assert_int_equal(l.rung, LADDER_KILL);
    assert_false(ladder_jump(&l, 200));
    assert_true(ladder_climb(&l, false, 10100));
}

static void tells_how_long_it_can_still_take(void **state)
{
    struct ladder l;
    (void)state;
    ladder_start(&l, &times, 0);
    assert_int_equal(ladder_left_ms(&l, 0), 45000);
    assert_int_equal(ladder_left_ms(&l, 10000), 35000);
    assert_true(ladder_jump(&l, 10000));
    assert_int_equal(ladder_left_ms(&l, 12000), 8000);
    assert_int_equal(ladder_left_ms(&l, 60000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(climbs_one_rung_at_a_time),
        cmocka_unit_test(asks_nobody_when_the_main_process_is_gone),
        cmocka_unit_test(asks_a_hanging_one_no_longer_than_the_rest),
        cmocka_unit_test(an_impatient_word_goes_straight_to_the_kill),
        cmocka_unit_test(tells_how_long_it_can_still_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
