#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "small_catalog.h"
#include "tiers/verdict_log.h"

static struct small_catalog small;

static int set_up(void **state)
{
    small_catalog_init(&small, "01/2");
    *state = verdict_log_new(&small.catalog);
    return 0;
}

static int tear_down(void **state)
{
    struct verdict_log *l = *state;
    verdict_log_free(&l);
    assert_null(l);
    verdict_log_free(&l);
    return 0;
}

static void note(struct verdict_log *l, uint32_t serving, enum failure f, uint64_t now_ms)
{
    verdict_log_failure(
        l, &(struct verdict_entry){.serving = serving, .failure = f, .then = "next backend"},
        now_ms);
}

static void tells_what_failed_and_what_was_decided(void **state)
{
    struct verdict_log *l = *state;
    struct verdict_entry got[VERDICTS_KEPT];
    assert_int_equal(verdict_log_read(l, 0, got), 0);
    verdict_log_failure(l,
                        &(struct verdict_entry){.serving = 0,
                                                .failure = FAILURE_http_503,
                                                .status = 503,
                                                .is_trial = true,
                                                .then = "next backend"},
                        1000);
    assert_int_equal(verdict_log_read(l, 0, got), 1);
    assert_int_equal(got[0].failure, FAILURE_http_503);
    assert_int_equal(got[0].status, 503);
    assert_true(got[0].is_trial);
    assert_string_equal(got[0].then, "next backend");
    assert_int_equal(got[0].first_ms, 1000);
    assert_int_equal(got[0].last_ms, 1000);
    assert_int_equal(got[0].times, 1);
    assert_int_equal(verdict_log_read(l, 1, got), 0);
}

static void only_the_first_answer_after_a_failure_is_noted(void **state)
{
    struct verdict_log *l = *state;
    struct verdict_entry got[VERDICTS_KEPT];
    verdict_log_answer(l, 0, false, 1000);
    assert_int_equal(verdict_log_read(l, 0, got), 0);
    note(l, 0, FAILURE_reset, 2000);
    verdict_log_answer(l, 0, true, 3000);
    verdict_log_answer(l, 0, false, 4000);
    assert_int_equal(verdict_log_read(l, 0, got), 2);
    assert_int_equal(got[0].failure, FAILURE_ok);
    assert_int_equal(got[0].last_ms, 3000);
    assert_true(got[0].is_trial);
    assert_int_equal(got[1].failure, FAILURE_reset);
}

static void equal_ones_in_a_row_are_counted(void **state)
{
    struct verdict_log *l = *state;
    struct verdict_entry got[VERDICTS_KEPT];
    note(l, 0, FAILURE_stall, 500);
    for (uint64_t i = 0; i < 1000; i++) {
        note(l, 0, FAILURE_http_503, 1000 + i);
    }
    assert_int_equal(verdict_log_read(l, 0, got), 2);
    assert_int_equal(got[0].times, 1000);
    assert_int_equal(got[0].first_ms, 1000);
    assert_int_equal(got[0].last_ms, 1999);
    assert_int_equal(got[1].failure, FAILURE_stall);
}

static void the_last_ten_are_kept_newest_first(void **state)
{
    struct verdict_log *l = *state;
    struct verdict_entry got[VERDICTS_KEPT];
    for (uint64_t i = 0; i < 25; i++) {
        note(l, 0, i % 2 == 0 ? FAILURE_http_503 : FAILURE_reset, i);
    }
    assert_int_equal(verdict_log_read(l, 0, got), VERDICTS_KEPT);
    for (uint32_t i = 0; i < VERDICTS_KEPT; i++) {
        assert_int_equal(got[i].last_ms, 24 - i);
    }
}

static void a_clients_own_error_asks_for_no_answer(void **state)
{
    struct verdict_log *l = *state;
    struct verdict_entry got[VERDICTS_KEPT];
    note(l, 0, FAILURE_client_error, 1000);
    verdict_log_answer(l, 0, false, 2000);
    assert_int_equal(verdict_log_read(l, 0, got), 1);
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *storm(void *arg)
{
    struct verdict_log *l = arg;
    struct verdict_entry got[VERDICTS_KEPT];
    for (uint64_t i = 0; i < ROUNDS; i++) {
        note(l, 0, FAILURE_http_503, i);
        verdict_log_answer(l, 0, false, i);
        uint32_t count = verdict_log_read(l, 0, got);
        assert_in_range(count, 1, VERDICTS_KEPT);
    }
    return NULL;
}

static void many_threads_write_and_read_it(void **state)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, storm, *state), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

int main(void)
{
#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LOG_TEST(tells_what_failed_and_what_was_decided),
        LOG_TEST(only_the_first_answer_after_a_failure_is_noted),
        LOG_TEST(equal_ones_in_a_row_are_counted),
        LOG_TEST(the_last_ten_are_kept_newest_first),
        LOG_TEST(a_clients_own_error_asks_for_no_answer),
        LOG_TEST(many_threads_write_and_read_it),
    };
    return cmocka_run_group_tests_name("tiers/verdict_log", tests, NULL, NULL);
}
