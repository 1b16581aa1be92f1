#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alert/letters.h"

static struct letters letters;

static int tear_down(void **state)
{
    (void)state;
    letters_fini(&letters);
    return 0;
}

static struct letter *push(uint64_t number, uint64_t incident, uint64_t now_ms)
{
    struct alert a = {.number = number, .incident = incident};
    return letters_push(&letters, &a, now_ms);
}

static uint64_t next(uint64_t now_ms)
{
    uint64_t due_ms = 0;
    const struct letter *l = letters_next(&letters, now_ms, &due_ms);
    return l ? l->alert.number : 0;
}

static uint64_t due(uint64_t now_ms)
{
    uint64_t due_ms = 0;
    assert_null(letters_next(&letters, now_ms, &due_ms));
    return due_ms;
}

static void the_oldest_that_is_due_is_next(void **state)
{
    (void)state;
    assert_int_equal(due(10), UINT64_MAX);
    (void)push(2, 0, 10);
    struct letter *first = push(1, 0, 10);
    assert_int_equal(next(10), 1);
    first->due_ms = 500;
    assert_int_equal(next(10), 2);
    assert_int_equal(letters.waiting, 2);
    assert_int_equal(letters_oldest(&letters)->alert.number, 1);
    first->is_sent_now = true;
    assert_int_equal(letters_oldest(&letters)->alert.number, 2);
    letters_finish(&letters, letters.first->next, OUTBOX_SENT);
    assert_null(letters_oldest(&letters));
    assert_int_equal(due(10), 500);
    assert_int_equal(next(500), 1);
}

static void nothing_overtakes_its_own_incident(void **state)
{
    (void)state;
    struct letter *opened = push(1, 7, 10);
    (void)push(2, 7, 10);
    (void)push(3, 8, 10);
    opened->due_ms = 900;
    assert_int_equal(next(10), 3);
    letters_finish(&letters, opened, OUTBOX_FAILED);
    assert_int_equal(next(10), 2);
}

static void what_is_done_is_forgotten_once_it_is_written(void **state)
{
    (void)state;
    struct letter *one = push(1, 0, 10);
    letters_finish(&letters, one, OUTBOX_SENT);
    letters_sweep(&letters, true);
    assert_non_null(letters.first);
    one->written = one->version;
    letters_sweep(&letters, true);
    assert_null(letters.first);
    letters_finish(&letters, push(2, 0, 10), OUTBOX_SENT);
    (void)push(3, 0, 10);
    letters_sweep(&letters, false);
    assert_int_equal(letters.first->alert.number, 3);
    assert_int_equal(letters.waiting, 1);
}

static void tries_are_further_and_further_apart(void **state)
{
    (void)state;
    static const uint64_t seconds[] = {5, 15, 60, 300, 900, 3600, 3600};
    for (uint32_t i = 0; i < 7; i++) {
        assert_int_equal(letters_gap_ms(i + 1, 5000, 0), seconds[i] * 1000);
    }
    assert_int_equal(letters_gap_ms(1, 5000, 30000), 30000);
    assert_int_equal(letters_gap_ms(3, 5000, 30000), 60000);
    assert_int_equal(letters_gap_ms(1, 5000, UINT32_MAX), 24ULL * 3600 * 1000);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_teardown(the_oldest_that_is_due_is_next, tear_down),
    cmocka_unit_test_teardown(nothing_overtakes_its_own_incident, tear_down),
    cmocka_unit_test_teardown(what_is_done_is_forgotten_once_it_is_written, tear_down),
    cmocka_unit_test(tries_are_further_and_further_apart),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
