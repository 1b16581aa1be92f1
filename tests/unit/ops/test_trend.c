#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/trend.h"

enum { T0 = 5000000, HOUR_MS = TREND_SLOTS * TREND_SLOT_MS };

_Static_assert(HOUR_MS == 3600000, "the slots make an hour");

static struct trend trend;

static void add(struct trend_counts *c, uint64_t requests, uint64_t failed)
{
    c->requests += requests;
    c->failed += failed;
}

static void begins_with_one_empty_slot(void **state)
{
    struct trend_counts c = {.requests = 1000, .tokens = 7};
    (void)state;
    trend_init(&trend, &c, T0);
    assert_int_equal(trend_count(&trend), 1);
    assert_int_equal(trend_at(&trend, 0)->requests, 0);
    assert_int_equal(trend_lasted_ms(&trend, 0), 0);
    trend_take(&trend, &c, T0 + 1000);
    assert_int_equal(trend_at(&trend, 0)->requests, 0);
    assert_int_equal(trend_at(&trend, 0)->tokens, 0);
    assert_int_equal(trend_lasted_ms(&trend, 0), 1000);
}

static void puts_what_was_added_into_the_slot_of_the_sample(void **state)
{
    struct trend_counts c = {.requests = 0};
    (void)state;
    trend_init(&trend, &c, T0);
    add(&c, 3, 1);
    c.degraded = 2;
    c.last_resort = 1;
    trend_take(&trend, &c, T0 + TREND_SLOT_MS - 1);
    add(&c, 4, 0);
    trend_take(&trend, &c, T0 + TREND_SLOT_MS);
    c.tokens = 50;
    trend_take(&trend, &c, T0 + TREND_SLOT_MS + 500);
    assert_int_equal(trend_count(&trend), 2);
    assert_int_equal(trend_at(&trend, 0)->requests, 3);
    assert_int_equal(trend_at(&trend, 0)->failed, 1);
    assert_int_equal(trend_at(&trend, 0)->degraded, 2);
    assert_int_equal(trend_at(&trend, 0)->last_resort, 1);
    assert_int_equal(trend_at(&trend, 1)->requests, 4);
    assert_int_equal(trend_at(&trend, 1)->tokens, 50);
    assert_int_equal(trend_lasted_ms(&trend, 0), TREND_SLOT_MS);
    assert_int_equal(trend_lasted_ms(&trend, 1), 500);
}

static void keeps_the_last_hour_only(void **state)
{
    struct trend_counts c = {.requests = 0};
    (void)state;
    trend_init(&trend, &c, T0);
    for (uint64_t i = 0; i < 3 * TREND_SLOTS; i++) {
        add(&c, i, 0);
        trend_take(&trend, &c, T0 + i * TREND_SLOT_MS);
    }
    assert_int_equal(trend_count(&trend), TREND_SLOTS);
    assert_int_equal(trend_at(&trend, 0)->requests, 2 * TREND_SLOTS);
    assert_int_equal(trend_at(&trend, TREND_SLOTS - 1)->requests, 3 * TREND_SLOTS - 1);
    assert_int_equal(trend_total(&trend).requests,
                     TREND_SLOTS * 2 * TREND_SLOTS + TREND_SLOTS * (TREND_SLOTS - 1) / 2);
}

static void empties_the_slots_that_nobody_sampled(void **state)
{
    struct trend_counts c = {.requests = 0};
    (void)state;
    trend_init(&trend, &c, T0);
    add(&c, 9, 0);
    trend_take(&trend, &c, T0 + 1000);
    add(&c, 5, 0);
    trend_take(&trend, &c, T0 + 4 * (uint64_t)TREND_SLOT_MS);
    assert_int_equal(trend_count(&trend), 5);
    assert_int_equal(trend_at(&trend, 0)->requests, 9);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(trend_at(&trend, i)->requests, 0);
    }
    assert_int_equal(trend_at(&trend, 4)->requests, 5);
    add(&c, 1, 0);
    trend_take(&trend, &c, T0 + 10 * (uint64_t)HOUR_MS);
    assert_int_equal(trend_count(&trend), TREND_SLOTS);
    assert_int_equal(trend_total(&trend).requests, 1);
}

static void a_counter_that_seems_to_fall_adds_nothing(void **state)
{
    struct trend_counts c = {.requests = 10};
    (void)state;
    trend_init(&trend, &c, T0);
    c.requests = 9;
    trend_take(&trend, &c, T0 + 1000);
    assert_int_equal(trend_at(&trend, 0)->requests, 0);
    c.requests = 11;
    trend_take(&trend, &c, T0 + 2000);
    assert_int_equal(trend_at(&trend, 0)->requests, 2);
}

static void more_than_fits_stays_at_the_most(void **state)
{
    struct trend_counts c = {.tokens = 0};
    (void)state;
    trend_init(&trend, &c, T0);
    c.tokens = UINT64_C(1) << 40;
    trend_take(&trend, &c, T0 + 1000);
    assert_int_equal(trend_at(&trend, 0)->tokens, UINT32_MAX);
    c.tokens++;
    trend_take(&trend, &c, T0 + 2000);
    assert_int_equal(trend_at(&trend, 0)->tokens, UINT32_MAX);
    assert_int_equal(trend_total(&trend).tokens, UINT32_MAX);
}

static void tells_the_first_token_of_a_share(void **state)
{
    struct trend_counts c = {.first_token = {0}};
    (void)state;
    trend_init(&trend, &c, T0);
    assert_int_equal(trend_first_token_ms(trend_at(&trend, 0), 0.5), 0);
    c.first_token[figures_bucket_of(100)] = 98;
    c.first_token[figures_bucket_of(3000)] = 2;
    trend_take(&trend, &c, T0 + 1000);
    uint64_t middle = trend_first_token_ms(trend_at(&trend, 0), 0.5);
    uint64_t slow = trend_first_token_ms(trend_at(&trend, 0), 0.99);
    assert_in_range(middle, 100, 142);
    assert_in_range(slow, 3000, 4250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_with_one_empty_slot),
        cmocka_unit_test(puts_what_was_added_into_the_slot_of_the_sample),
        cmocka_unit_test(keeps_the_last_hour_only),
        cmocka_unit_test(empties_the_slots_that_nobody_sampled),
        cmocka_unit_test(a_counter_that_seems_to_fall_adds_nothing),
        cmocka_unit_test(more_than_fits_stays_at_the_most),
        cmocka_unit_test(tells_the_first_token_of_a_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
