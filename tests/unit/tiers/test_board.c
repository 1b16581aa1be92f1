#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "small_catalog.h"
#include "tiers/board.h"

enum { T0 = 1000000 };

struct fixture {
    struct small_catalog small;
    struct board *board;
};

static int set_up(void **state)
{
    static struct fixture f;
    small_catalog_init(&f.small, "01/2");
    f.board = board_new(&f.small.catalog, T0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    board_free(&f->board);
    assert_null(f->board);
    return 0;
}

static struct board *board_of(void **state)
{
    return ((struct fixture *)*state)->board;
}

static struct board_change strike(struct board *b, enum failure f, uint64_t now_ms)
{
    return board_on_failure(b, 0, &(struct failed_attempt){.failure = f, .is_first_500 = true},
                            now_ms);
}

static struct board_change probe(struct board *b, struct probe_result r, uint64_t now_ms)
{
    return board_on_probe(b, 0, &r, now_ms);
}

static void shows_every_backend_well_at_start(void **state)
{
    struct board *b = board_of(state);
    for (uint32_t i = 0; i < SMALL_MAX; i++) {
        struct backend_view v = board_view(b, i, T0);
        assert_int_equal(v.state, STATE_HEALTHY);
        assert_int_equal(v.cause.kind, CAUSE_STARTING);
        assert_int_equal(v.since_ms, T0);
        assert_int_equal(v.hold_until_ms, 0);
        assert_int_equal(v.in_flight, 0);
        assert_int_equal(v.recent_failures, 0);
        assert_int_equal(board_next_probe_ms(b, i), T0);
    }
}

static void lives_without_backends(void **state)
{
    (void)state;
    const struct catalog none = {0};
    struct board *b = board_new(&none, T0);
    assert_non_null(b);
    board_free(&b);
    board_free(&b);
}

static void publishes_what_a_failure_taught(void **state)
{
    struct board *b = board_of(state);
    struct board_change c = strike(b, FAILURE_connect_refused, T0 + 5);
    assert_true(c.state_changed);
    assert_int_equal(c.from, STATE_HEALTHY);
    assert_int_equal(c.to, STATE_DOWN);
    assert_int_equal(c.cause.failure, FAILURE_connect_refused);
    struct backend_view v = board_view(b, 0, T0 + 5);
    assert_int_equal(v.state, STATE_DOWN);
    assert_int_equal(v.cause.kind, CAUSE_TRAFFIC);
    assert_int_equal(v.cause.failure, FAILURE_connect_refused);
    assert_int_equal(v.since_ms, T0 + 5);
    assert_int_equal(v.recent_failures, 1);
    assert_int_equal(board_view(b, 1, T0 + 5).state, STATE_HEALTHY);
    assert_false(strike(b, FAILURE_reset, T0 + 6).state_changed);
}

static void publishes_what_a_probe_taught(void **state)
{
    struct board *b = board_of(state);
    struct board_change c = probe(b, probe_status(65535), T0 + 5);
    assert_true(c.state_changed);
    assert_int_equal(c.to, STATE_DOWN);
    struct backend_view v = board_view(b, 0, T0 + 5);
    assert_int_equal(v.cause.kind, CAUSE_PROBE_STATUS);
    assert_int_equal(v.cause.status, 65535);
    assert_int_equal(board_next_probe_ms(b, 0), T0 + 2005);
    assert_false(probe(b, probe_ok(5), T0 + 2005).state_changed);
    c = probe(b, probe_ok(5), T0 + 4005);
    assert_true(c.state_changed);
    assert_int_equal(c.from, STATE_DOWN);
    assert_int_equal(c.to, STATE_HEALTHY);
    assert_int_equal(c.cause.kind, CAUSE_PROBE_OK);
    assert_int_equal(board_view(b, 0, T0 + 4005).since_ms, T0 + 4005);
}

static void says_when_a_probe_is_wanted_sooner(void **state)
{
    struct board *b = board_of(state);
    assert_false(probe(b, probe_ok(5), T0).probe_now);
    struct board_change c = strike(b, FAILURE_http_500, T0 + 3000);
    assert_true(c.probe_now);
    assert_false(c.state_changed);
    assert_int_equal(board_next_probe_ms(b, 0), T0 + 3000);
    assert_false(strike(b, FAILURE_http_500, T0 + 3001).probe_now);
    assert_false(strike(b, FAILURE_http_429, T0 + 3002).probe_now);
}

static void nobodys_fault_changes_no_state(void **state)
{
    struct board *b = board_of(state);
    for (int i = 0; i < FAILURE_COUNT; i++) {
        if (verdict_of((enum failure)i)->blame == BLAME_NONE) {
            struct board_change c = strike(b, (enum failure)i, T0);
            assert_false(c.state_changed);
            assert_false(c.probe_now);
            assert_int_equal(c.to, STATE_HEALTHY);
        }
    }
}

static void only_what_serves_nobody_makes_a_backend_less_attractive(void **state)
{
    struct board *b = board_of(state);
    uint32_t count = 0;
    for (int i = 0; i < FAILURE_COUNT; i++) {
        enum failure f = (enum failure)i;
        count += verdict_is_fruitless(f) ? 1 : 0;
        (void)strike(b, f, T0);
        assert_int_equal(board_view(b, 0, T0).recent_failures, count);
    }
    assert_true(verdict_is_fruitless(FAILURE_http_404));
    assert_false(verdict_is_fruitless(FAILURE_client_error));
    assert_false(verdict_is_fruitless(FAILURE_cancelled));
    assert_false(verdict_is_fruitless(FAILURE_unmappable));
}

static void a_request_that_drew_a_500_before_only_counts_as_load(void **state)
{
    struct board *b = board_of(state);
    for (int i = 0; i < 10; i++) {
        assert_false(board_on_failure(b, 0,
                                      &(struct failed_attempt){.failure = FAILURE_http_500,
                                                               .is_first_500 = false},
                                      T0 + 1)
                         .state_changed);
    }
    assert_int_equal(board_view(b, 0, T0 + 1).recent_failures, 10);
    assert_int_equal(board_view(b, 0, T0 + 1).state, STATE_HEALTHY);
}

static void success_clears_suspicions(void **state)
{
    struct board *b = board_of(state);
    for (int i = 0; i < 5; i++) {
        (void)strike(b, FAILURE_http_500, T0);
        (void)strike(b, FAILURE_http_500, T0);
        board_on_success(b, 0, T0);
        assert_int_equal(board_view(b, 0, T0).state, STATE_HEALTHY);
    }
    (void)strike(b, FAILURE_http_500, T0);
    (void)strike(b, FAILURE_http_500, T0);
    board_on_success(b, 1, T0);
    assert_true(strike(b, FAILURE_http_500, T0).state_changed);
}

static void holds_as_long_as_was_asked(void **state)
{
    struct board *b = board_of(state);
    static const struct {
        uint32_t hold_ms;
        uint64_t until_ms;
    } rows[] = {
        {0, T0 + 1000},        {3000, T0 + 3000},         {2000, T0 + 3000},
        {600000, T0 + 600000}, {UINT32_MAX, T0 + 600000},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct board_change c = board_on_failure(
            b, 0,
            &(struct failed_attempt){
                .failure = FAILURE_http_429, .is_first_500 = true, .hold_ms = rows[i].hold_ms},
            T0);
        assert_false(c.state_changed);
        assert_int_equal(board_view(b, 0, T0).hold_until_ms, rows[i].until_ms);
    }
    (void)board_on_failure(b, 1,
                           &(struct failed_attempt){.failure = FAILURE_http_500,
                                                    .is_first_500 = true,
                                                    .hold_ms = 5000},
                           T0);
    assert_int_equal(board_view(b, 1, T0).hold_until_ms, 0);
}

static void recent_failures_halve_each_second(void **state)
{
    struct board *b = board_of(state);
    for (int i = 0; i < 8; i++) {
        (void)strike(b, FAILURE_http_429, T0);
    }
    static const struct {
        uint64_t after_ms;
        uint32_t count;
    } rows[] = {{0, 8},    {999, 8},  {1000, 4},  {1999, 4},    {2000, 2},
                {3000, 1}, {4000, 0}, {60000, 0}, {1u << 31, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(board_view(b, 0, T0 + rows[i].after_ms).recent_failures,
                         rows[i].count);
    }
    assert_int_equal(board_view(b, 0, T0 - 50).recent_failures, 8);
}

static void failures_at_short_intervals_decay_too(void **state)
{
    struct board *b = board_of(state);
    for (uint64_t i = 0; i < 1000; i++) {
        (void)strike(b, FAILURE_http_429, T0 + i * 900);
    }
    uint32_t count = board_view(b, 0, T0 + 999 * 900).recent_failures;
    assert_in_range(count, 1, 3);
}

static void counts_attempts_in_flight(void **state)
{
    struct board *b = board_of(state);
    board_begin(b, 0);
    board_begin(b, 0);
    board_begin(b, 1);
    assert_int_equal(board_view(b, 0, T0).in_flight, 2);
    board_end(b, 0);
    assert_int_equal(board_view(b, 0, T0).in_flight, 1);
    assert_int_equal(board_view(b, 1, T0).in_flight, 1);
    board_end(b, 0);
    board_end(b, 1);
    assert_int_equal(board_view(b, 0, T0).in_flight, 0);
}

static void lets_one_last_resort_a_second_through(void **state)
{
    struct board *b = board_of(state);
    (void)strike(b, FAILURE_connect_refused, T0);
    assert_false(board_claim_last_resort(b, 0, T0 + 999));
    assert_true(board_claim_last_resort(b, 0, T0 + 1000));
    assert_false(board_claim_last_resort(b, 0, T0 + 1000));
    assert_false(board_claim_last_resort(b, 0, T0 + 1999));
    assert_true(board_claim_last_resort(b, 0, T0 + 2000));
    (void)strike(b, FAILURE_connect_refused, T0 + 2500);
    assert_false(board_claim_last_resort(b, 0, T0 + 2999));
    assert_true(board_claim_last_resort(b, 0, T0 + 3000));
    for (uint64_t ms = 3500; ms < 8000; ms += 500) {
        (void)probe(b, probe_status(500), T0 + ms); /* frequent ones do not stand in its way */
    }
    assert_true(board_claim_last_resort(b, 0, T0 + 8000));
}

static void keeps_figures(void **state)
{
    struct board *b = board_of(state);
    struct backend_figures f;
    board_figures(b, 0, &f);
    assert_int_equal(figures_first_token_ms(&f, 0.5), 0);
    board_count_attempt(b, 0, true);
    board_count_attempt(b, 0, false);
    board_count_attempt(b, 1, true);
    board_count_tokens(b, 0, 40);
    board_count_tokens(b, 0, 2);
    board_figures(b, 0, &f);
    assert_int_equal(f.attempts, 2);
    assert_int_equal(f.failures, 1);
    assert_int_equal(f.tokens, 42);
}

static void sorts_first_tokens_into_buckets(void **state)
{
    struct board *b = board_of(state);
    static const struct {
        uint64_t took_ms;
        uint32_t bucket;
        uint64_t bound_ms;
    } rows[] = {
        {0, 0, 1},
        {1, 1, 2},
        {2, 3, 3},
        {3, 4, 4},
        {4, 5, 6},
        {5, 5, 6},
        {6, 6, 8},
        {7, 6, 8},
        {8, 7, 12},
        {100, 14, 128},
        {200, 16, 256},
        {1000, 20, 1024},
        {32767, 30, 32768},
        {32768, 31, 46341},
        {46340, 31, 46341},
        {50000, 31, 46341},
        {65535, 31, 46341},
        {65536, 31, 46341},
        {UINT64_MAX, 31, 46341},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct backend_figures before;
        struct backend_figures after;
        board_figures(b, 2, &before);
        board_count_first_token(b, 2, rows[i].took_ms);
        board_figures(b, 2, &after);
        assert_int_equal(after.first_token[rows[i].bucket],
                         before.first_token[rows[i].bucket] + 1);
        struct backend_figures one = {0};
        one.first_token[rows[i].bucket] = 1;
        assert_int_equal(figures_first_token_ms(&one, 0.5), rows[i].bound_ms);
    }
}

/* What a bucket's inclusive bound promises holds for every whole time up to the last bound. */
static void each_first_token_is_within_the_bound_of_its_bucket(void **state)
{
    struct board *b = board_of(state);
    uint32_t bucket = 0;
    uint64_t sum_ms = 0;
    struct backend_figures f = {0};
    for (uint64_t took_ms = 0; took_ms <= 40000; took_ms++) {
        while (took_ms > board_first_token_most_ms(bucket)) {
            bucket++;
        }
        uint64_t before = f.first_token[bucket];
        board_count_first_token(b, 0, took_ms);
        board_figures(b, 0, &f);
        sum_ms += took_ms;
        assert_int_equal(f.first_token[bucket], before + 1);
        assert_int_equal(f.first_token_sum_ms, sum_ms);
    }
    assert_int_equal(bucket, FIRST_TOKEN_BUCKETS - 1);
    assert_true(board_first_token_most_ms(bucket) == UINT64_MAX);
}

static void finds_the_bucket_of_a_share(void **state)
{
    (void)state;
    struct backend_figures f = {0};
    f.first_token[10] = 50; /* below 32 ms */
    f.first_token[12] = 49; /* below 64 ms */
    f.first_token[20] = 1;  /* below 1024 ms */
    static const struct {
        double share;
        uint64_t expected_ms;
    } rows[] = {{0.0, 32},  {-1.0, 32},    {0.5, 32},   {0.51, 64},
                {0.99, 64}, {0.991, 1024}, {1.0, 1024}, {2.0, 1024}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(figures_first_token_ms(&f, rows[i].share), rows[i].expected_ms);
    }
}

/* --- many threads --- */

enum { THREADS = 4, ROUNDS = 2000 };

struct crowd {
    struct board *board;
    _Atomic uint64_t now_ms;
    _Atomic uint32_t trials;
    atomic_bool is_torn;
};

static void report(struct crowd *c, uint32_t round)
{
    uint64_t now_ms = atomic_load(&c->now_ms);
    struct probe_result good = probe_ok(1);
    struct probe_result bad = probe_status(503);
    switch (round % 5) {
    case 0:
        (void)board_on_failure(
            c->board, 0,
            &(struct failed_attempt){.failure = FAILURE_http_500, .is_first_500 = true},
            now_ms);
        break;
    case 1:
        board_on_success(c->board, 0, now_ms);
        break;
    case 2:
        (void)board_on_probe(c->board, 0, &bad, now_ms);
        break;
    case 3:
        (void)board_on_probe(c->board, 0, &good, now_ms);
        break;
    default:
        (void)board_on_failure(c->board, 0,
                               &(struct failed_attempt){.failure = FAILURE_http_429,
                                                        .is_first_500 = true,
                                                        .hold_ms = 10},
                               now_ms);
        break;
    }
}

static void *hammer(void *arg)
{
    struct crowd *c = arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        board_begin(c->board, 0);
        report(c, i);
        struct backend_view v = board_view(c->board, 0, atomic_load(&c->now_ms));
        /* State and cause are one word: they never disagree. */
        if (v.state == STATE_HEALTHY && v.cause.kind != CAUSE_STARTING &&
            v.cause.kind != CAUSE_PROBE_OK) {
            atomic_store(&c->is_torn, true);
        }
        board_count_attempt(c->board, 0, i % 2 == 0);
        board_count_first_token(c->board, 0, i);
        (void)board_next_probe_ms(c->board, 0);
        (void)atomic_fetch_add(&c->now_ms, 1);
        board_end(c->board, 0);
    }
    return NULL;
}

static void *race_for_a_trial(void *arg)
{
    struct crowd *c = arg;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        if (board_claim_last_resort(c->board, 1, T0 + i * 10)) {
            (void)atomic_fetch_add(&c->trials, 1);
        }
    }
    return NULL;
}

static void run_threads(struct crowd *c, void *(*body)(void *))
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, body, c), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void many_threads_leave_it_in_order(void **state)
{
    struct crowd c = {.board = board_of(state), .now_ms = T0};
    run_threads(&c, hammer);
    assert_false(atomic_load(&c.is_torn));
    assert_int_equal(board_view(c.board, 0, T0).in_flight, 0);
    struct backend_figures f;
    board_figures(c.board, 0, &f);
    assert_int_equal(f.attempts, THREADS * ROUNDS);
    assert_int_equal(f.failures, THREADS * ROUNDS / 2);
    uint64_t first_tokens = 0;
    for (uint32_t i = 0; i < FIRST_TOKEN_BUCKETS; i++) {
        first_tokens += f.first_token[i];
    }
    assert_int_equal(first_tokens, THREADS * ROUNDS);
}

static void one_of_many_threads_wins_each_trial(void **state)
{
    struct crowd c = {.board = board_of(state)};
    (void)board_on_failure(
        c.board, 1, &(struct failed_attempt){.failure = FAILURE_reset, .is_first_500 = true},
        T0);
    run_threads(&c, race_for_a_trial);
    /* 20 s of claims every 10 ms: one a second at most, and the first comes after a second. */
    assert_in_range(atomic_load(&c.trials), 1, ROUNDS * 10 / LAST_RESORT_GAP_MS);
}

int main(void)
{
#define BOARD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        BOARD_TEST(shows_every_backend_well_at_start),
        BOARD_TEST(lives_without_backends),
        BOARD_TEST(publishes_what_a_failure_taught),
        BOARD_TEST(publishes_what_a_probe_taught),
        BOARD_TEST(says_when_a_probe_is_wanted_sooner),
        BOARD_TEST(nobodys_fault_changes_no_state),
        BOARD_TEST(only_what_serves_nobody_makes_a_backend_less_attractive),
        BOARD_TEST(a_request_that_drew_a_500_before_only_counts_as_load),
        BOARD_TEST(success_clears_suspicions),
        BOARD_TEST(holds_as_long_as_was_asked),
        BOARD_TEST(recent_failures_halve_each_second),
        BOARD_TEST(failures_at_short_intervals_decay_too),
        BOARD_TEST(counts_attempts_in_flight),
        BOARD_TEST(lets_one_last_resort_a_second_through),
        BOARD_TEST(keeps_figures),
        BOARD_TEST(sorts_first_tokens_into_buckets),
        BOARD_TEST(each_first_token_is_within_the_bound_of_its_bucket),
        BOARD_TEST(finds_the_bucket_of_a_share),
        BOARD_TEST(many_threads_leave_it_in_order),
        BOARD_TEST(one_of_many_threads_wins_each_trial),
    };
    return cmocka_run_group_tests_name("tiers/board", tests, NULL, NULL);
}
