#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "tiers/journal.h"

enum { ROOM = 2 * JOURNAL_ROOM };

static struct event taken[ROOM];

static int set_up(void **state)
{
    *state = journal_new();
    return 0;
}

static int tear_down(void **state)
{
    struct journal *j = *state;
    journal_free(&j);
    assert_null(j);
    journal_free(&j);
    return 0;
}

static void put(struct journal *j, enum event_kind kind, const char *backend, uint64_t now_ms)
{
    struct event e = event_of(kind, now_ms, now_ms);
    EVENT_PUT(e.backend, str_from(backend));
    journal_put(j, &e);
}

static void events_come_out_in_their_order(void **state)
{
    struct journal *j = *state;
    put(j, EVENT_KIND_state, "a", 1);
    put(j, EVENT_KIND_failover, "a", 1);
    put(j, EVENT_KIND_state, "b", 1);
    assert_int_equal(journal_take(j, taken, ROOM, 1), 3);
    assert_int_equal(taken[0].kind, EVENT_KIND_state);
    assert_int_equal(taken[1].kind, EVENT_KIND_failover);
    assert_string_equal(taken[2].backend, "b");
    assert_int_equal(journal_take(j, taken, ROOM, 1), 0);
}

static void equal_ones_are_told_once_and_then_with_their_number(void **state)
{
    struct journal *j = *state;
    for (unsigned i = 0; i < 100; i++) {
        put(j, EVENT_KIND_failover, "a", 1000 + i);
    }
    put(j, EVENT_KIND_failover, "b", 1100);
    assert_int_equal(journal_take(j, taken, ROOM, 1100), 2);
    assert_int_equal(taken[0].times, 1);
    assert_string_equal(taken[1].backend, "b");
    assert_int_equal(journal_due_ms(j), 1000 + JOURNAL_WINDOW_MS);
    assert_int_equal(journal_take(j, taken, ROOM, 1000 + JOURNAL_WINDOW_MS), 1);
    assert_int_equal(taken[0].times, 99);
    assert_string_equal(taken[0].backend, "a");
    assert_int_equal(taken[0].wall_ms, 1099);
    assert_int_equal(journal_due_ms(j), UINT64_MAX);
    assert_int_equal(journal_lost(j), 0);
}

static void a_storm_that_goes_on_is_told_again_and_again(void **state)
{
    struct journal *j = *state;
    uint64_t told = 0;
    size_t events = 0;
    for (uint64_t now_ms = 1; now_ms <= 10000; now_ms++) {
        put(j, EVENT_KIND_unserved, "a", now_ms);
        size_t count = journal_take(j, taken, ROOM, now_ms);
        events += count;
        for (size_t i = 0; i < count; i++) {
            told += taken[i].times;
        }
    }
    told += journal_take(j, taken, ROOM, 20000) > 0 ? taken[0].times : 0;
    assert_int_equal(told, 10000);
    assert_in_range(events, 10, 17);
}

static void the_next_one_after_a_quiet_while_goes_through_at_once(void **state)
{
    struct journal *j = *state;
    put(j, EVENT_KIND_failover, "a", 1000);
    put(j, EVENT_KIND_failover, "a", 1000 + JOURNAL_WINDOW_MS);
    assert_int_equal(journal_take(j, taken, ROOM, 1000 + JOURNAL_WINDOW_MS), 2);
}

static void changes_are_never_merged(void **state)
{
    struct journal *j = *state;
    put(j, EVENT_KIND_state, "a", 1);
    put(j, EVENT_KIND_state, "a", 1);
    assert_int_equal(journal_take(j, taken, ROOM, 1), 2);
}

static void a_storm_does_not_push_out_changes(void **state)
{
    struct journal *j = *state;
    char name[16];
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "b%u", i);
        put(j, EVENT_KIND_failover, name, i * JOURNAL_WINDOW_MS);
    }
    assert_true(journal_lost(j) > 0);
    put(j, EVENT_KIND_state, "a", 1);
    size_t count = journal_take(j, taken, ROOM, 1);
    assert_int_equal(taken[count - 1].kind, EVENT_KIND_state);
    assert_int_equal(count, JOURNAL_ROOM + 1);
}

static void what_finds_no_room_is_counted(void **state)
{
    struct journal *j = *state;
    for (unsigned i = 0; i < JOURNAL_ROOM + 7; i++) {
        put(j, EVENT_KIND_state, "a", 1);
    }
    assert_int_equal(journal_lost(j), 7);
    assert_int_equal(journal_take(j, taken, ROOM, 1), JOURNAL_ROOM);
}

static void too_many_sorts_at_a_time_are_counted(void **state)
{
    struct journal *j = *state;
    char name[16];
    for (unsigned i = 0; i < JOURNAL_WINDOWS + 5; i++) {
        (void)snprintf(name, sizeof(name), "b%u", i);
        put(j, EVENT_KIND_failover, name, 1);
    }
    assert_int_equal(journal_lost(j), 5);
}

static void count_wake(void *arg)
{
    ++*(unsigned *)arg;
}

static void the_reader_is_woken_once_until_he_has_taken_all(void **state)
{
    struct journal *j = *state;
    unsigned woken = 0;
    journal_set_reader(j, count_wake, &woken);
    put(j, EVENT_KIND_state, "a", 1);
    put(j, EVENT_KIND_state, "b", 1);
    assert_int_equal(woken, 1);
    assert_int_equal(journal_take(j, taken, 1, 1), 1);
    put(j, EVENT_KIND_state, "c", 1);
    assert_int_equal(woken, 1);
    assert_int_equal(journal_take(j, taken, ROOM, 1), 2);
    put(j, EVENT_KIND_state, "d", 1);
    assert_int_equal(woken, 2);
}

static void *put_many(void *arg)
{
    for (unsigned i = 0; i < 50000; i++) {
        put(arg, i % 50 == 0 ? EVENT_KIND_state : EVENT_KIND_failover, "a", 1);
    }
    return NULL;
}

static void threads_lose_nothing_that_is_not_counted(void **state)
{
    struct journal *j = *state;
    pthread_t threads[3];
    uint64_t told = 0;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, j), 0);
    }
    for (size_t i = 0; i < 3000; i++) {
        size_t count = journal_take(j, taken, 64, 1);
        for (size_t k = 0; k < count; k++) {
            told += taken[k].times;
        }
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    size_t count = journal_take(j, taken, ROOM, UINT64_MAX / 2);
    for (size_t k = 0; k < count; k++) {
        told += taken[k].times;
    }
    assert_int_equal(told + journal_lost(j), 150000);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(events_come_out_in_their_order),
        TEST(equal_ones_are_told_once_and_then_with_their_number),
        TEST(a_storm_that_goes_on_is_told_again_and_again),
        TEST(the_next_one_after_a_quiet_while_goes_through_at_once),
        TEST(changes_are_never_merged),
        TEST(a_storm_does_not_push_out_changes),
        TEST(what_finds_no_room_is_counted),
        TEST(too_many_sorts_at_a_time_are_counted),
        TEST(the_reader_is_woken_once_until_he_has_taken_all),
        TEST(threads_lose_nothing_that_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
