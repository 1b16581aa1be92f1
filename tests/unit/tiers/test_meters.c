#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "small_catalog.h"
#include "tiers/meters.h"

enum { THREADS = 4, ROUNDS = 20000, WORKERS_MANY = 100 };

/* Tier 1 of the model is b0 and b1, tier 2 is b2. */
static int set_up(void **state)
{
    static struct small_catalog small;
    small_catalog_init(&small, "01/2");
    *state = meters_new(&small.catalog);
    return 0;
}

static int tear_down(void **state)
{
    struct meters *m = *state;
    meters_free(&m);
    assert_null(m);
    meters_free(&m);
    return 0;
}

static uint64_t count_of(const struct meters_times *t)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < t->bucket_count; i++) {
        count += t->count[i];
    }
    return count;
}

/* How many took at most so long, by the bucket whose bound that is. */
static uint64_t at_most(const struct meters_times *t, uint64_t most_us)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < t->bucket_count && t->most_us[i] <= most_us; i++) {
        count += t->count[i];
    }
    return count;
}

static void answers_are_counted_by_member_and_end(void **state)
{
    struct meters *m = *state;
    meters_answer(m, 0, 2, ANSWER_OK);
    meters_answer(m, 0, 2, ANSWER_OK);
    meters_answer(m, 0, 0, ANSWER_INTERRUPTED);
    assert_int_equal(meters_answers(m, 0, 2, ANSWER_OK), 2);
    assert_int_equal(meters_answers(m, 0, 2, ANSWER_INTERRUPTED), 0);
    assert_int_equal(meters_answers(m, 0, 0, ANSWER_INTERRUPTED), 1);
    assert_int_equal(meters_answers(m, 0, 1, ANSWER_OK), 0);
    assert_int_equal(meters_answers(m, 0, 1, ANSWER_CLIENT_LEFT), 0);
}

static void an_end_of_an_answer_is_called_as_the_request_s(void **state)
{
    (void)state;
    assert_int_equal(answer_end_outcome(ANSWER_OK), OUTCOME_ok);
    assert_int_equal(answer_end_outcome(ANSWER_INTERRUPTED), OUTCOME_interrupted);
    assert_int_equal(answer_end_outcome(ANSWER_CLIENT_LEFT), OUTCOME_client_left);
}

static void failures_and_failovers_are_counted_apart(void **state)
{
    struct meters *m = *state;
    meters_failure(m, 1, FAILURE_reset);
    meters_failure(m, 1, FAILURE_reset);
    meters_failure(m, 1, FAILURE_cancelled);
    meters_failover(m, 1, 2);
    meters_over_budget(m, 0);
    assert_int_equal(meters_failures(m, 1, FAILURE_reset), 2);
    assert_int_equal(meters_failures(m, 1, FAILURE_cancelled), 1);
    assert_int_equal(meters_failures(m, 1, FAILURE_stall), 0);
    assert_int_equal(meters_failures(m, 2, FAILURE_reset), 0);
    assert_int_equal(meters_failovers(m, 1, 2), 1);
    assert_int_equal(meters_failovers(m, 2, 1), 0);
    assert_int_equal(meters_over_budgets(m, 0), 1);
}

static void usage_is_summed_up_and_what_was_not_told_is_no_report(void **state)
{
    struct meters *m = *state;
    struct meters_usage u;
    meters_usage(m, 0, 100, 20);
    meters_usage(m, 0, 0, 0);
    meters_usage(m, 0, 7, 0);
    meters_usages(m, 0, &u);
    assert_int_equal(u.prompt, 107);
    assert_int_equal(u.completion, 20);
    assert_int_equal(u.answers, 2);
    meters_usages(m, 1, &u);
    assert_int_equal(u.answers, 0);
}

static void own_times_of_all_workers_are_one_histogram(void **state)
{
    struct meters *m = *state;
    struct meters_times t;
    for (uint32_t worker = 0; worker < WORKERS_MANY; worker++) {
        meters_own(m, worker, 10); /* a bound is inclusive */
        meters_own(m, worker, 11);
    }
    meters_own(m, 0, 90000000);
    meters_times(m, TIME_OWN, 0, &t);
    assert_int_equal(t.most_us[0], 10);
    assert_int_equal(t.most_us[t.bucket_count - 1], UINT64_MAX);
    assert_int_equal(at_most(&t, 10), WORKERS_MANY);
    assert_int_equal(at_most(&t, 20), 2 * WORKERS_MANY);
    assert_int_equal(at_most(&t, 100000), 2 * WORKERS_MANY);
    assert_int_equal(count_of(&t), 2 * WORKERS_MANY + 1);
    assert_int_equal(t.sum_us, 21 * WORKERS_MANY + 90000000);
}

static void the_time_of_a_token_is_the_average_between_pieces(void **state)
{
    struct meters *m = *state;
    struct meters_times t;
    meters_token(m, 2, 1000, 101);
    meters_token(m, 2, 0, 2);
    meters_token(m, 2, 15, 2);
    meters_times(m, TIME_TOKEN, 2, &t);
    assert_int_equal(t.sum_us, 10000 + 15000);
    assert_int_equal(at_most(&t, 1000), 1);
    assert_int_equal(at_most(&t, 10000), 2);
    assert_int_equal(at_most(&t, 15000), 3);
    meters_times(m, TIME_TOKEN, 1, &t);
    assert_int_equal(count_of(&t), 0);
}

static void probes_are_counted_by_result_and_all_are_timed(void **state)
{
    struct meters *m = *state;
    struct meters_times t;
    meters_probe(m, 3, true, 4);
    meters_probe(m, 3, false, 5000);
    meters_probe(m, 3, false, 60000);
    assert_int_equal(meters_probes(m, 3, true), 1);
    assert_int_equal(meters_probes(m, 3, false), 2);
    meters_times(m, TIME_PROBE, 3, &t);
    assert_int_equal(at_most(&t, 5000), 1);
    assert_int_equal(at_most(&t, 5000000), 2);
    assert_int_equal(count_of(&t), 3);
    assert_int_equal(t.sum_us, 65004000);
}

static void bounds_of_buckets_rise(void **state)
{
    for (unsigned what = 0; what < METERS_TIMES; what++) {
        struct meters_times t;
        meters_times(*state, (enum meters_time)what, 0, &t);
        assert_in_range(t.bucket_count, 10, METERS_BUCKETS_MAX);
        for (uint32_t i = 1; i < t.bucket_count; i++) {
            assert_true(t.most_us[i] > t.most_us[i - 1]);
        }
    }
}

static void *count_much(void *arg)
{
    struct meters *m = arg;
    for (int i = 0; i < ROUNDS; i++) {
        meters_own(m, 0, 30); /* all at one place, as workers never are */
        meters_answer(m, 0, 0, ANSWER_OK);
    }
    return NULL;
}

static void nothing_is_lost_when_many_count_at_once(void **state)
{
    struct meters *m = *state;
    pthread_t threads[THREADS];
    struct meters_times t;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_much, m), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    meters_times(m, TIME_OWN, 0, &t);
    assert_int_equal(count_of(&t), THREADS * ROUNDS);
    assert_int_equal(t.sum_us, 30ULL * THREADS * ROUNDS);
    assert_int_equal(meters_answers(m, 0, 0, ANSWER_OK), THREADS * ROUNDS);
}

int main(void)
{
#define METERS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        METERS_TEST(answers_are_counted_by_member_and_end),
        METERS_TEST(an_end_of_an_answer_is_called_as_the_request_s),
        METERS_TEST(failures_and_failovers_are_counted_apart),
        METERS_TEST(usage_is_summed_up_and_what_was_not_told_is_no_report),
        METERS_TEST(own_times_of_all_workers_are_one_histogram),
        METERS_TEST(the_time_of_a_token_is_the_average_between_pieces),
        METERS_TEST(probes_are_counted_by_result_and_all_are_timed),
        METERS_TEST(bounds_of_buckets_rise),
        METERS_TEST(nothing_is_lost_when_many_count_at_once),
    };
    return cmocka_run_group_tests_name("tiers/meters", tests, NULL, NULL);
}
