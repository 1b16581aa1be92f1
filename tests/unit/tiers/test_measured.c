#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tiers/measured.h"

enum { T0 = 1000000, MINUTE = 60000, HOUR = 60 * MINUTE };

static const struct measured_subject SAME = {.identity = 7, .outages = 2};

static struct measured ended(enum measured_end end)
{
    struct measured m;
    measured_init(&m);
    measured_note(&m, end, &SAME, T0);
    return m;
}

static void is_due_at_first(void **state)
{
    struct measured m;
    (void)state;
    measured_init(&m);
    assert_true(measured_is_due(&m, &SAME, 0));
    assert_true(measured_is_due(&m, &SAME, T0));
    assert_int_equal(measured_next_ms(&m, &SAME, T0), T0);
    assert_false(measured_is_outdated(&m, 8));
}

static void a_good_result_holds_until_something_changes(void **state)
{
    (void)state;
    struct measured m = ended(MEASURED_WELL);
    assert_true(m.is_valid);
    assert_false(measured_is_due(&m, &SAME, T0));
    assert_false(measured_is_due(&m, &SAME, T0 + 1000ULL * HOUR));
    assert_true(measured_next_ms(&m, &SAME, T0) == UINT64_MAX);
    struct measured_subject back = {.identity = 7, .outages = 3};
    struct measured_subject other = {.identity = 8, .outages = 2};
    struct measured_subject untold = {.identity = 0, .outages = 2};
    assert_true(measured_is_due(&m, &back, T0));
    assert_true(measured_is_due(&m, &other, T0));
    assert_true(measured_is_outdated(&m, 8));
    assert_false(measured_is_due(&m, &untold, T0));
    assert_false(measured_is_outdated(&m, 0));
    measured_note(&m, MEASURED_WELL, &back, T0 + 5);
    assert_false(measured_is_due(&m, &back, T0 + 5));
}

static void waits_longer_each_time_in_vain(void **state)
{
    static const struct {
        enum measured_end end;
        uint64_t first;
        uint64_t most;
    } rows[] = {{MEASURED_BADLY, 10 * MINUTE, HOUR},
                {MEASURED_UNCLEAR, 10 * MINUTE, HOUR},
                {MEASURED_FAILED, 5000, 10 * MINUTE},
                {MEASURED_BROKE, MINUTE, HOUR}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct measured m = ended(rows[i].end);
        uint64_t wait = rows[i].first;
        for (uint64_t now = T0; now < T0 + 100ULL * HOUR;) {
            uint64_t due = now + (wait < rows[i].most ? wait : rows[i].most);
            assert_int_equal(measured_next_ms(&m, &SAME, now), due);
            assert_false(measured_is_due(&m, &SAME, due - 1));
            assert_true(measured_is_due(&m, &SAME, due));
            now = due;
            wait = wait < rows[i].most ? wait * 2 : wait;
            measured_note(&m, rows[i].end, &SAME, now);
        }
    }
}

static void a_good_result_ends_the_waiting(void **state)
{
    (void)state;
    struct measured m = ended(MEASURED_FAILED);
    measured_note(&m, MEASURED_FAILED, &SAME, T0);
    measured_note(&m, MEASURED_WELL, &SAME, T0);
    measured_note(&m, MEASURED_FAILED, &SAME, T0);
    assert_int_equal(measured_next_ms(&m, &SAME, T0), T0 + 5000);
}

/* A backend that dies of the question would die of it each time that it comes back. */
static void one_that_broke_is_not_asked_sooner_because_it_came_back(void **state)
{
    (void)state;
    struct measured m = ended(MEASURED_BROKE);
    struct measured_subject back = {.identity = 7, .outages = 3};
    assert_false(m.is_valid);
    assert_false(measured_is_due(&m, &back, T0 + MINUTE - 1));
    assert_true(measured_is_due(&m, &back, T0 + MINUTE));
}

static void a_bad_result_is_one_and_does_not_hide_a_change(void **state)
{
    (void)state;
    struct measured m = ended(MEASURED_BADLY);
    struct measured_subject other = {.identity = 8, .outages = 2};
    assert_true(m.is_valid);
    assert_true(measured_is_due(&m, &other, T0));
    assert_false(measured_is_due(&m, &SAME, T0));
}

static void a_try_in_vain_leaves_the_result_before(void **state)
{
    (void)state;
    struct measured m = ended(MEASURED_WELL);
    struct measured_subject back = {.identity = 7, .outages = 3};
    measured_note(&m, MEASURED_FAILED, &back, T0);
    assert_true(m.is_valid);
    assert_false(measured_is_due(&m, &back, T0 + 4999));
    assert_true(measured_is_due(&m, &back, T0 + 5000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_due_at_first),
        cmocka_unit_test(a_good_result_holds_until_something_changes),
        cmocka_unit_test(waits_longer_each_time_in_vain),
        cmocka_unit_test(a_good_result_ends_the_waiting),
        cmocka_unit_test(one_that_broke_is_not_asked_sooner_because_it_came_back),
        cmocka_unit_test(a_bad_result_is_one_and_does_not_hide_a_change),
        cmocka_unit_test(a_try_in_vain_leaves_the_result_before),
    };
    return cmocka_run_group_tests_name("tiers/measured", tests, NULL, NULL);
}
