#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/rand.h"
#include "tiers/retry_budget.h"

enum { T0 = 7000000, SECOND = 1000, WINDOW_MS = 10 * SECOND };

static struct retry_budget *make(uint32_t percent, uint32_t per_second)
{
    return retry_budget_new(&(struct retry_budget_policy){.share_per_10k = percent * 100,
                                                          .per_second = per_second});
}

static void count(struct retry_budget *b, uint32_t times, uint64_t now_ms)
{
    for (uint32_t i = 0; i < times; i++) {
        retry_budget_count(b, now_ms);
    }
}

/* How many attempts are granted there, one after the other; `most` bounds the search. */
static uint32_t take(struct retry_budget *b, uint32_t most, uint64_t now_ms)
{
    uint32_t granted = 0;
    while (granted < most && retry_budget_take(b, now_ms)) {
        granted++;
    }
    return granted;
}

static void grants_the_rate_of_ten_seconds_without_traffic(void **state)
{
    (void)state;
    struct retry_budget *b = make(20, 10);
    assert_int_equal(take(b, 1000, T0), 100);
    assert_false(retry_budget_take(b, T0 + 9999));
    retry_budget_free(&b);
    assert_null(b);
}

static void grants_a_share_of_the_exchanges(void **state)
{
    (void)state;
    struct retry_budget *b = make(20, 0);
    count(b, 1000, T0);
    assert_int_equal(take(b, 1000, T0), 200);
    count(b, 10, T0 + 5000);
    assert_int_equal(take(b, 1000, T0 + 5000), 2);
    retry_budget_free(&b);
}

static void adds_share_and_rate(void **state)
{
    (void)state;
    struct retry_budget *b = make(50, 3);
    count(b, 100, T0);
    assert_int_equal(take(b, 1000, T0 + 1), 80);
    retry_budget_free(&b);
}

static void never_rounds_up(void **state)
{
    (void)state;
    struct retry_budget *b = make(20, 0);
    count(b, 4, T0);
    assert_false(retry_budget_take(b, T0));
    count(b, 1, T0);
    assert_int_equal(take(b, 10, T0), 1);
    count(b, 4, T0);
    assert_false(retry_budget_take(b, T0));
    retry_budget_free(&b);
}

static void grants_nothing_at_zero_and_everything_when_off(void **state)
{
    (void)state;
    struct retry_budget *zero = make(0, 0);
    struct retry_budget *off = retry_budget_new(&(struct retry_budget_policy){.is_off = true});
    count(zero, 1000, T0);
    assert_false(retry_budget_take(zero, T0));
    assert_int_equal(take(off, 100000, T0), 100000);
    assert_int_equal(retry_budget_tell(off, T0), 0);
    retry_budget_free(&zero);
    retry_budget_free(&off);
}

static void forgets_exchanges_after_ten_seconds_and_attempts_after_eleven(void **state)
{
    (void)state;
    struct retry_budget *b = make(100, 0);
    count(b, 5, T0);
    assert_int_equal(take(b, 10, T0 + 9999), 5);
    count(b, 5, T0 + 9999);
    assert_int_equal(take(b, 10, T0 + 9999), 5);
    assert_int_equal(take(b, 10, T0 + 10000), 0);
    retry_budget_free(&b);

    b = make(0, 1);
    assert_int_equal(take(b, 100, T0 + 999), 10);
    assert_int_equal(take(b, 100, T0 + 10999), 0);
    assert_int_equal(take(b, 100, T0 + 11000), 10);
    retry_budget_free(&b);
}

static void is_full_again_after_a_long_silence(void **state)
{
    (void)state;
    struct retry_budget *b = make(20, 10);
    for (uint64_t hour = 0; hour < 5; hour++) {
        uint64_t now_ms = T0 + hour * 3600 * SECOND + hour * 16 * SECOND;
        count(b, 50, now_ms);
        assert_int_equal(take(b, 1000, now_ms), 110);
    }
    retry_budget_free(&b);
}

static void takes_in_what_a_thread_with_a_late_clock_counts(void **state)
{
    (void)state;
    struct retry_budget *b = make(100, 0);
    count(b, 3, T0 + 5000);
    count(b, 4, T0 + 1000);
    assert_int_equal(take(b, 2, T0 + 1000), 2);
    assert_int_equal(take(b, 100, T0 + 5000), 5);
    assert_int_equal(take(b, 100, T0 + 1000), 0);
    retry_budget_free(&b);
}

/* --- seeded sequences --- */

enum { EVENTS_MAX = 6000 };

/* Times in order, and how many of the first are more than 10 s old. */
struct past {
    uint64_t at_ms[EVENTS_MAX];
    size_t count;
    size_t old;
};

static void remember(struct past *p, uint64_t now_ms)
{
    assert_true(p->count < EVENTS_MAX);
    p->at_ms[p->count++] = now_ms;
}

static uint64_t recent(struct past *p, uint64_t now_ms)
{
    while (p->old < p->count && p->at_ms[p->old] + WINDOW_MS <= now_ms) {
        p->old++;
    }
    return p->count - p->old;
}

/* Bursts and silences of requests that all fail and are tried again. Returns the attempts. */
static size_t play(uint64_t seed, uint32_t percent, uint32_t per_second)
{
    static struct past exchanges;
    static struct past attempts;
    struct rand rand = {.state = seed};
    struct retry_budget *b = make(percent, per_second);
    uint64_t now_ms = T0 + rand_below(&rand, SECOND);
    exchanges.count = exchanges.old = attempts.count = attempts.old = 0;
    for (uint32_t i = 0; i < EVENTS_MAX; i++) {
        bool is_pause = rand_below(&rand, 500) == 0;
        now_ms += is_pause ? rand_below(&rand, 15 * SECOND) : rand_below(&rand, 12);
        if (rand_below(&rand, 2) == 0) {
            retry_budget_count(b, now_ms);
            remember(&exchanges, now_ms);
        } else if (retry_budget_take(b, now_ms)) {
            remember(&attempts, now_ms);
            assert_true(recent(&attempts, now_ms) * 100 <=
                        recent(&exchanges, now_ms) * percent + (uint64_t)per_second * 1000);
        }
    }
    retry_budget_free(&b);
    return attempts.count;
}

static void holds_over_the_ten_seconds_before_any_attempt(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        assert_true(play(seed, 20, 10) > 100);
        assert_true(play(seed, 20, 0) > 50);
        assert_true(play(seed, 0, 7) > 70);
        assert_true(play(seed, 100, 0) > 500);
    }
}

/* A limit that nothing can pass would hold too: under a steady storm most of it is granted. */
static void grants_most_of_the_limit_under_a_steady_storm(void **state)
{
    (void)state;
    struct retry_budget *b = make(20, 10);
    uint32_t granted = 0;
    for (uint64_t at_ms = 0; at_ms < 60 * SECOND; at_ms += 5) {
        retry_budget_count(b, T0 + at_ms);
        granted += retry_budget_take(b, T0 + at_ms) ? 1 : 0;
    }
    assert_in_range(granted, 60 * 50 * 85 / 100, 60 * 50 + 100);
    retry_budget_free(&b);
}

/* --- telling --- */

static void tells_of_refusals_once_in_ten_seconds(void **state)
{
    (void)state;
    struct retry_budget *b = make(0, 0);
    assert_int_equal(retry_budget_tell(b, T0), 0);
    assert_false(retry_budget_take(b, T0));
    assert_int_equal(retry_budget_tell(b, T0), 1);
    for (int i = 0; i < 7; i++) {
        assert_false(retry_budget_take(b, T0 + 1));
        assert_int_equal(retry_budget_tell(b, T0 + 9999), 0);
    }
    assert_int_equal(retry_budget_tell(b, T0 + 10000), 7);
    assert_int_equal(retry_budget_tell(b, T0 + 50000), 0);
    assert_false(retry_budget_take(b, T0 + 60000));
    assert_int_equal(retry_budget_tell(b, T0 + 60000), 1);
    retry_budget_free(&b);
}

/* --- threads --- */

enum { THREADS = 4, TIMES = 5000 };

struct crowd {
    struct retry_budget *budget;
    _Atomic uint32_t granted;
};

static void *count_and_take(void *arg)
{
    struct crowd *c = arg;
    for (uint32_t i = 0; i < TIMES; i++) {
        retry_budget_count(c->budget, T0 + i);
        c->granted += retry_budget_take(c->budget, T0 + i) ? 1 : 0;
    }
    return NULL;
}

static void threads_together_get_what_one_would(void **state)
{
    (void)state;
    struct crowd c = {.budget = make(20, 10)};
    pthread_t thread[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, count_and_take, &c), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    uint32_t rest = take(c.budget, THREADS * TIMES, T0 + TIMES);
    assert_int_equal(c.granted + rest, THREADS * TIMES / 5 + 100);
    retry_budget_free(&c.budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grants_the_rate_of_ten_seconds_without_traffic),
        cmocka_unit_test(grants_a_share_of_the_exchanges),
        cmocka_unit_test(adds_share_and_rate),
        cmocka_unit_test(never_rounds_up),
        cmocka_unit_test(grants_nothing_at_zero_and_everything_when_off),
        cmocka_unit_test(forgets_exchanges_after_ten_seconds_and_attempts_after_eleven),
        cmocka_unit_test(is_full_again_after_a_long_silence),
        cmocka_unit_test(takes_in_what_a_thread_with_a_late_clock_counts),
        cmocka_unit_test(holds_over_the_ten_seconds_before_any_attempt),
        cmocka_unit_test(grants_most_of_the_limit_under_a_steady_storm),
        cmocka_unit_test(tells_of_refusals_once_in_ten_seconds),
        cmocka_unit_test(threads_together_get_what_one_would),
    };
    return cmocka_run_group_tests_name("tiers/retry_budget", tests, NULL, NULL);
}
