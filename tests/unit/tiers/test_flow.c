#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rand.h"
#include "tiers/flow.h"

enum { T0 = 5000000, SECOND = 1000 };

static struct flow make(double min_per_second)
{
    struct flow f = {0};
    flow_begin(&f, min_per_second, T0);
    return f;
}

static void assert_due(const struct flow *f, uint64_t after_ms)
{
    assert_int_equal(flow_due_ms(f) - T0, after_ms);
}

/* A piece each `gap_ms` from the start on, up to before `until_ms`. */
static void add_evenly(struct flow *f, uint64_t gap_ms, uint64_t until_ms)
{
    for (uint64_t at_ms = 0; at_ms < until_ms; at_ms += gap_ms) {
        flow_add(f, T0 + at_ms);
    }
}

static void is_not_judged_unless_asked_for(void **state)
{
    (void)state;
    struct flow zero = {0};
    assert_true(flow_due_ms(&zero) == UINT64_MAX);
    flow_add(&zero, T0);
    flow_restart(&zero, T0);
    assert_true(flow_due_ms(&zero) == UINT64_MAX);
    struct flow off = make(0);
    flow_add(&off, T0 + 100);
    assert_true(flow_due_ms(&off) == UINT64_MAX);
}

static void judges_the_first_window_after_ten_seconds(void **state)
{
    (void)state;
    struct flow f = make(1);
    flow_add(&f, T0);
    assert_due(&f, 10 * SECOND);
    add_evenly(&f, 2 * SECOND, 10 * SECOND);
    assert_due(&f, 10 * SECOND);
}

static void as_many_as_needed_are_enough(void **state)
{
    (void)state;
    struct flow f = make(0.5);
    add_evenly(&f, SECOND, 4 * SECOND);
    assert_due(&f, 10 * SECOND);
    flow_add(&f, T0 + 9999);
    assert_due(&f, 11 * SECOND);
}

static void what_comes_after_a_window_does_not_count_for_it(void **state)
{
    (void)state;
    struct flow f = make(0.5);
    add_evenly(&f, SECOND, 4 * SECOND);
    for (int i = 0; i < 100; i++) {
        flow_add(&f, T0 + 10 * SECOND);
    }
    assert_due(&f, 10 * SECOND);
}

static void a_fraction_of_a_piece_is_a_piece(void **state)
{
    (void)state;
    struct flow f = make(0.11);
    flow_add(&f, T0 + 500);
    assert_due(&f, 10 * SECOND);
    flow_add(&f, T0 + 500);
    assert_due(&f, 11 * SECOND);
    f = make(FLOW_LEAST);
    flow_add(&f, T0);
    assert_due(&f, 11 * SECOND);
}

static void a_steady_stream_at_the_limit_goes_on(void **state)
{
    (void)state;
    struct flow f = make(5);
    for (uint64_t at_ms = 0; at_ms < 100 * SECOND; at_ms += 200) {
        flow_add(&f, T0 + at_ms);
        assert_true(flow_due_ms(&f) > T0 + at_ms);
    }
    assert_due(&f, 101 * SECOND);
}

static void a_fast_beginning_does_not_excuse_a_crawl(void **state)
{
    (void)state;
    struct flow f = make(2);
    add_evenly(&f, 10, 5 * SECOND);
    assert_due(&f, 15 * SECOND);
    for (uint64_t at_s = 5; at_s < 15; at_s++) {
        flow_add(&f, T0 + at_s * SECOND);
        assert_due(&f, 15 * SECOND);
    }
}

static void a_burst_after_a_long_gap_begins_with_empty_seconds(void **state)
{
    (void)state;
    static const uint64_t gaps_s[] = {11, 15, 16, 17, 40, 3000000};
    for (size_t i = 0; i < sizeof(gaps_s) / sizeof(gaps_s[0]); i++) {
        struct flow f = make(1);
        add_evenly(&f, 10, 10 * SECOND);
        uint64_t at_ms = 9 * SECOND + gaps_s[i] * SECOND;
        flow_add(&f, T0 + at_ms);
        assert_due(&f, at_ms);
    }
}

static void a_restart_gives_ten_seconds_anew(void **state)
{
    (void)state;
    struct flow f = make(1);
    add_evenly(&f, 10, 3 * SECOND);
    flow_restart(&f, T0 + 60 * SECOND);
    assert_due(&f, 70 * SECOND);
    flow_add(&f, T0 + 60 * SECOND);
    assert_due(&f, 70 * SECOND);
    for (int i = 0; i < 9; i++) {
        flow_add(&f, T0 + 69 * SECOND);
    }
    assert_due(&f, 71 * SECOND);
}

/* --- against the definition --- */

enum { PIECES_MAX = 2000 };

/* The end of the first ten whole seconds with fewer than `needed`, by counting each of them. */
static uint64_t expected_due(const uint64_t *at_ms, size_t count, uint32_t needed)
{
    for (uint64_t end = 10;; end++) {
        uint32_t inside = 0;
        for (size_t i = 0; i < count; i++) {
            uint64_t second = at_ms[i] / SECOND;
            inside += second + 10 >= end && second < end ? 1 : 0;
        }
        if (inside < needed) {
            return end * SECOND;
        }
    }
}

static void is_due_when_the_definition_says_so(void **state)
{
    (void)state;
    static uint64_t at_ms[PIECES_MAX];
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct rand rand = {.state = seed};
        uint32_t tenths = 1 + rand_below(&rand, 80);
        struct flow f = make(tenths / 10.0);
        uint64_t now_ms = 0;
        size_t count = 0;
        /* As a gate would: judged before each piece is waited for. */
        while (count < PIECES_MAX && now_ms < flow_due_ms(&f) - T0) {
            at_ms[count++] = now_ms;
            flow_add(&f, T0 + now_ms);
            assert_due(&f, expected_due(at_ms, count, tenths));
            now_ms += rand_below(&rand, 2 * 10 * SECOND / tenths);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_not_judged_unless_asked_for),
        cmocka_unit_test(judges_the_first_window_after_ten_seconds),
        cmocka_unit_test(as_many_as_needed_are_enough),
        cmocka_unit_test(what_comes_after_a_window_does_not_count_for_it),
        cmocka_unit_test(a_fraction_of_a_piece_is_a_piece),
        cmocka_unit_test(a_steady_stream_at_the_limit_goes_on),
        cmocka_unit_test(a_fast_beginning_does_not_excuse_a_crawl),
        cmocka_unit_test(a_burst_after_a_long_gap_begins_with_empty_seconds),
        cmocka_unit_test(a_restart_gives_ten_seconds_anew),
        cmocka_unit_test(is_due_when_the_definition_says_so),
    };
    return cmocka_run_group_tests_name("tiers/flow", tests, NULL, NULL);
}
