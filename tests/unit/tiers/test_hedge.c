#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/rand.h"
#include "tiers/hedge.h"

static const struct hedge_policy p95 = {
    .is_on = true, .percentile = 95, .max_share_per_10k = 500};

static void waits_for_the_percentile_of_what_was_seen(void **state)
{
    struct backend_figures f = {.attempts = 0};
    struct hedge_policy fixed = {.is_on = true, .after_ms = 70};
    struct hedge_policy off = {.percentile = 95, .after_ms = 70};
    (void)state;
    assert_int_equal(hedge_after_ms(&p95, &f), 0);
    assert_int_equal(hedge_after_ms(&fixed, &f), 70);
    assert_int_equal(hedge_after_ms(&off, &f), 0);
    f.first_token[10] = HEDGE_SAMPLES_MIN - 1; /* below 2^5 ms */
    assert_int_equal(hedge_after_ms(&p95, &f), 0);
    f.first_token[10]++;
    assert_int_equal(hedge_after_ms(&p95, &f), figures_first_token_ms(&f, 0.95));
    assert_in_range(hedge_after_ms(&p95, &f), 20, 40);
    f.first_token[20] = 1; /* one of 21 is late: no matter */
    assert_in_range(hedge_after_ms(&p95, &f), 20, 40);
    f.first_token[20] = 2; /* two of 22 are more than 5 % */
    assert_in_range(hedge_after_ms(&p95, &f), 700, 1100);
}

static void hedges_are_a_share_of_the_exchanges(void **state)
{
    struct hedge_budget b = {0};
    uint64_t exchanges = 0;
    uint64_t hedges = 0;
    struct rand r;
    rand_seed(&r);
    (void)state;
    assert_false(hedge_budget_take(&b));
    for (int i = 0; i < 200000; i++) {
        /* Bursts of either, and long times of nothing but exchanges. */
        bool wants_hedge = rand_next(&r) % 100 < ((unsigned)i / 5000U % 4U) * 30U;
        if (wants_hedge) {
            hedges += hedge_budget_take(&b);
        } else {
            hedge_budget_count(&b, &p95);
            exchanges++;
        }
        assert_true(hedges * 20 <= exchanges);
    }
    assert_true(hedges * 20 > exchanges / 2); /* and they are made, where they are wanted */
}

static void a_long_quiet_time_saves_up_a_small_burst_only(void **state)
{
    struct hedge_budget b = {0};
    int taken = 0;
    (void)state;
    for (int i = 0; i < 10000; i++) {
        hedge_budget_count(&b, &p95);
    }
    while (hedge_budget_take(&b)) {
        taken++;
    }
    assert_int_equal(taken, HEDGE_BURST);
}

static void off_saves_nothing(void **state)
{
    struct hedge_budget b = {0};
    struct hedge_policy off = {.max_share_per_10k = 10000};
    (void)state;
    hedge_budget_count(&b, &off);
    assert_false(hedge_budget_take(&b));
}

enum { THREADS = 4, TIMES = 50000 };

static void *count_and_take(void *arg)
{
    struct hedge_budget *b = arg;
    uintptr_t taken = 0;
    for (int i = 0; i < TIMES; i++) {
        hedge_budget_count(b, &p95);
        taken += hedge_budget_take(b);
    }
    return (void *)taken; // NOLINT(performance-no-int-to-ptr)
}

static void holds_with_many_threads(void **state)
{
    struct hedge_budget b = {0};
    pthread_t thread[THREADS];
    uint64_t taken = 0;
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, count_and_take, &b), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *one;
        assert_int_equal(pthread_join(thread[i], &one), 0);
        taken += (uintptr_t)one;
    }
    while (hedge_budget_take(&b)) {
        taken++;
    }
    assert_int_equal(taken, THREADS * TIMES / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_for_the_percentile_of_what_was_seen),
        cmocka_unit_test(hedges_are_a_share_of_the_exchanges),
        cmocka_unit_test(a_long_quiet_time_saves_up_a_small_burst_only),
        cmocka_unit_test(off_saves_nothing),
        cmocka_unit_test(holds_with_many_threads),
    };
    return cmocka_run_group_tests_name("tiers/hedge", tests, NULL, NULL);
}
