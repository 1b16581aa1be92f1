#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "small_catalog.h"
#include "tiers/tally.h"

static int set_up(void **state)
{
    static struct small_catalog small;
    small_catalog_init(&small, "01/2");
    *state = tally_new(&small.catalog);
    return 0;
}

static int tear_down(void **state)
{
    struct tally *t = *state;
    tally_free(&t);
    assert_null(t);
    tally_free(&t);
    return 0;
}

static uint64_t sum_of_ends(const struct tally *t, uint32_t model)
{
    uint64_t sum = 0;
    for (unsigned o = 0; o < OUTCOME_COUNT; o++) {
        sum += tally_ends(t, model, (enum outcome)o);
    }
    return sum;
}

static void names_the_outcomes_as_the_metrics_do(void **state)
{
    (void)state;
    assert_string_equal(outcome_name(OUTCOME_ok), "ok");
    assert_string_equal(outcome_name(OUTCOME_client_left), "client_left");
    assert_string_equal(outcome_name(OUTCOME_last_resort), "last_resort");
    assert_int_equal(OUTCOME_COUNT, 6);
}

static void counts_each_outcome_of_each_model_apart(void **state)
{
    struct tally *t = *state;
    assert_int_equal(sum_of_ends(t, 0) + sum_of_ends(t, TALLY_NONE), 0);
    tally_end(t, 0, OUTCOME_ok);
    tally_end(t, 0, OUTCOME_ok);
    tally_end(t, 0, OUTCOME_interrupted);
    tally_end(t, TALLY_NONE, OUTCOME_refused);
    assert_int_equal(tally_ends(t, 0, OUTCOME_ok), 2);
    assert_int_equal(tally_ends(t, 0, OUTCOME_interrupted), 1);
    assert_int_equal(tally_ends(t, TALLY_NONE, OUTCOME_refused), 1);
    assert_int_equal(sum_of_ends(t, 0), 3);
    assert_int_equal(sum_of_ends(t, TALLY_NONE), 1);
}

static void counts_degraded_answers_of_each_model(void **state)
{
    struct tally *t = *state;
    assert_int_equal(tally_degraded_answers(t, 0), 0);
    tally_degraded(t, 0);
    tally_degraded(t, 0);
    assert_int_equal(tally_degraded_answers(t, 0), 2);
}

static void a_last_resort_is_an_end_and_told_by_kind(void **state)
{
    struct tally *t = *state;
    tally_last_resort(t, 0, LAST_RESORT_CACHE);
    tally_last_resort(t, 0, LAST_RESORT_CACHE);
    tally_last_resort(t, 0, LAST_RESORT_MESSAGE);
    assert_int_equal(tally_last_resorts(t, 0, LAST_RESORT_CACHE), 2);
    assert_int_equal(tally_last_resorts(t, 0, LAST_RESORT_MESSAGE), 1);
    assert_int_equal(tally_ends(t, 0, OUTCOME_last_resort), 3);
    assert_int_equal(sum_of_ends(t, 0), 3);
    assert_string_equal(last_resort_name(LAST_RESORT_CACHE), "cache");
    assert_string_equal(last_resort_name(LAST_RESORT_MESSAGE), "message");
}

static void counts_each_resume_by_both_backends(void **state)
{
    struct tally *t = *state;
    tally_resumed(t, 0, 1, 30);
    tally_resumed(t, 0, 1, 40);
    tally_resumed(t, SMALL_MAX - 1, 0, 50);
    tally_not_resumed(t, SMALL_MAX - 1);
    assert_int_equal(tally_resumes(t, 0, 1), 2);
    assert_int_equal(tally_resumes(t, 1, 0), 0);
    assert_int_equal(tally_resumes(t, SMALL_MAX - 1, 0), 1);
    assert_int_equal(tally_resumes(t, SMALL_MAX - 1, TALLY_NONE), 0);
    assert_int_equal(tally_failed_resumes(t, SMALL_MAX - 1), 1);
    assert_int_equal(tally_failed_resumes(t, 0), 0);
}

static void counts_what_became_of_hedges(void **state)
{
    struct tally *t = *state;
    tally_hedge(t, 0, HEDGE_won);
    tally_hedge(t, 0, HEDGE_lost);
    tally_hedge(t, 0, HEDGE_lost);
    assert_int_equal(tally_hedges(t, 0, HEDGE_won), 1);
    assert_int_equal(tally_hedges(t, 0, HEDGE_lost), 2);
    assert_int_equal(tally_hedges(t, 0, HEDGE_refused), 0);
    assert_string_equal(hedge_result_name(HEDGE_refused), "refused");
}

static void an_answer_that_needs_nobody_more_has_no_gap(void **state)
{
    struct tally *t = *state;
    struct tally_gaps gaps;
    tally_resumed(t, 2, TALLY_NONE, 77);
    tally_gaps(t, &gaps);
    assert_int_equal(tally_resumes(t, 2, TALLY_NONE), 1);
    assert_int_equal(gaps.sum_ms, 0);
    for (uint32_t i = 0; i < TALLY_GAP_BUCKETS; i++) {
        assert_int_equal(gaps.count[i], 0);
    }
}

static void a_gap_is_in_the_first_bucket_that_fits(void **state)
{
    struct tally *t = *state;
    static const struct {
        uint64_t gap_ms;
        uint64_t most_ms;
    } rows[] = {
        {0, 1},
        {1, 1},
        {2, 2},
        {3, 5},
        {5, 5},
        {6, 10},
        {999, 1000},
        {1000, 1000},
        {1001, 2000},
        {30000, 30000},
        {60000, 60000},
        {60001, UINT64_MAX},
        {1 << 30, UINT64_MAX},
    };
    uint64_t sum_ms = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tally_gaps before;
        struct tally_gaps after;
        uint32_t bucket = 0;
        while (tally_gap_most_ms(bucket) != rows[i].most_ms) {
            bucket++;
        }
        tally_gaps(t, &before);
        tally_resumed(t, 0, 1, rows[i].gap_ms);
        tally_gaps(t, &after);
        sum_ms += rows[i].gap_ms;
        assert_int_equal(after.count[bucket], before.count[bucket] + 1);
        assert_int_equal(after.sum_ms, sum_ms);
    }
}

static void bounds_of_gaps_grow_from_a_millisecond_to_a_minute(void **state)
{
    (void)state;
    assert_int_equal(tally_gap_most_ms(0), 1);
    assert_int_equal(tally_gap_most_ms(TALLY_GAP_BUCKETS - 2), 60000);
    for (uint32_t i = 1; i < TALLY_GAP_BUCKETS; i++) {
        assert_true(tally_gap_most_ms(i) > tally_gap_most_ms(i - 1));
    }
}

static void lives_without_models_and_backends(void **state)
{
    (void)state;
    const struct catalog none = {0};
    struct tally *t = tally_new(&none);
    tally_end(t, TALLY_NONE, OUTCOME_refused);
    assert_int_equal(sum_of_ends(t, TALLY_NONE), 1);
    tally_free(&t);
}

/* --- many threads --- */

enum { THREADS = 4, ROUNDS = 5000 };

static void *hammer(void *arg)
{
    struct tally *t = arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        tally_end(t, 0, (enum outcome)(i % OUTCOME_COUNT));
        tally_resumed(t, 0, 1, i);
        tally_not_resumed(t, 1);
    }
    return NULL;
}

static void many_threads_lose_nothing(void **state)
{
    struct tally *t = *state;
    pthread_t threads[THREADS];
    struct tally_gaps gaps;
    uint64_t count = 0;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, t), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    tally_gaps(t, &gaps);
    for (uint32_t i = 0; i < TALLY_GAP_BUCKETS; i++) {
        count += gaps.count[i];
    }
    assert_int_equal(sum_of_ends(t, 0), THREADS * ROUNDS);
    assert_int_equal(tally_resumes(t, 0, 1), THREADS * ROUNDS);
    assert_int_equal(tally_failed_resumes(t, 1), THREADS * ROUNDS);
    assert_int_equal(count, THREADS * ROUNDS);
    assert_int_equal(gaps.sum_ms, (uint64_t)THREADS * ROUNDS * (ROUNDS - 1) / 2);
}

int main(void)
{
#define TALLY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TALLY_TEST(names_the_outcomes_as_the_metrics_do),
        TALLY_TEST(counts_each_outcome_of_each_model_apart),
        TALLY_TEST(counts_degraded_answers_of_each_model),
        TALLY_TEST(a_last_resort_is_an_end_and_told_by_kind),
        TALLY_TEST(counts_each_resume_by_both_backends),
        TALLY_TEST(counts_what_became_of_hedges),
        TALLY_TEST(an_answer_that_needs_nobody_more_has_no_gap),
        TALLY_TEST(a_gap_is_in_the_first_bucket_that_fits),
        TALLY_TEST(bounds_of_gaps_grow_from_a_millisecond_to_a_minute),
        TALLY_TEST(lives_without_models_and_backends),
        TALLY_TEST(many_threads_lose_nothing),
    };
    return cmocka_run_group_tests_name("tiers/tally", tests, NULL, NULL);
}
