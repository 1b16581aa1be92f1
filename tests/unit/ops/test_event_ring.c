#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/event_ring.h"

enum { ROOM = 100 };

static struct event out[ROOM];

static int set_up(void **state)
{
    *state = event_ring_new();
    return 0;
}

static int tear_down(void **state)
{
    struct event_ring *r = *state;
    event_ring_free(&r);
    assert_null(r);
    return 0;
}

static void push(struct event_ring *r, uint64_t count, uint64_t incident)
{
    for (uint64_t i = 0; i < count; i++) {
        struct event e = event_of(EVENT_KIND_state, 1, 1);
        e.incident = incident;
        event_ring_push(r, &e);
    }
}

static void an_empty_one_has_no_span(void **state)
{
    struct event_span span = event_ring_span(*state);
    assert_true(span.first > span.last);
    assert_int_equal(event_ring_read(*state, 0, out, ROOM), 0);
}

static void numbers_begin_at_one_and_have_no_gaps(void **state)
{
    push(*state, 5, 0);
    assert_int_equal(event_ring_read(*state, 0, out, ROOM), 5);
    assert_int_equal(out[0].id, 1);
    assert_int_equal(out[4].id, 5);
    assert_int_equal(event_ring_read(*state, 3, out, ROOM), 2);
    assert_int_equal(out[0].id, 4);
    assert_int_equal(event_ring_read(*state, 5, out, ROOM), 0);
    assert_int_equal(event_ring_read(*state, 0, out, 2), 2);
    assert_int_equal(out[1].id, 2);
}

static void the_oldest_give_way(void **state)
{
    push(*state, EVENT_RING_ROOM + 7, 0);
    struct event_span span = event_ring_span(*state);
    assert_int_equal(span.first, 8);
    assert_int_equal(span.last, EVENT_RING_ROOM + 7);
    assert_int_equal(event_ring_read(*state, 0, out, 1), 1);
    assert_int_equal(out[0].id, 8);
}

static void finds_the_last_that_match_or_the_first(void **state)
{
    struct event_filter f = {
        .until_ms = UINT64_MAX, .kind = EVENT_KINDS, .limit = 3, .incident = 2};
    push(*state, 5, 1);
    push(*state, 5, 2);
    push(*state, 5, 3);
    assert_int_equal(event_ring_find(*state, &f, out), 3);
    assert_int_equal(out[0].id, 8);
    assert_int_equal(out[2].id, 10);
    f.is_forward = true;
    assert_int_equal(event_ring_find(*state, &f, out), 3);
    assert_int_equal(out[0].id, 6);
    f.incident = 4;
    assert_int_equal(event_ring_find(*state, &f, out), 0);
}

static void numbers_go_on_from_those_of_an_earlier_process(void **state)
{
    push(*state, 3, 1);
    push(*state, 1, 0);
    event_ring_renumber(*state, 100, 20);
    push(*state, 1, 2);
    assert_int_equal(event_ring_read(*state, 0, out, ROOM), 5);
    assert_int_equal(out[0].id, 101);
    assert_int_equal(out[0].incident, 21);
    assert_int_equal(out[3].incident, 0);
    assert_int_equal(out[4].id, 105);
    assert_int_equal(out[4].incident, 22);
    assert_int_equal(event_ring_span(*state).shift, 100);
    assert_int_equal(event_ring_span(*state).first, 101);
}

static void a_full_one_is_renumbered_too(void **state)
{
    push(*state, EVENT_RING_ROOM + 3, 0);
    event_ring_renumber(*state, 11, 0);
    assert_int_equal(event_ring_read(*state, 0, out, ROOM), ROOM);
    for (uint64_t i = 0; i < ROOM; i++) {
        assert_int_equal(out[i].id, 4 + 11 + i);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_empty_one_has_no_span),
        TEST(numbers_begin_at_one_and_have_no_gaps),
        TEST(the_oldest_give_way),
        TEST(finds_the_last_that_match_or_the_first),
        TEST(numbers_go_on_from_those_of_an_earlier_process),
        TEST(a_full_one_is_renumbered_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
