#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "small_catalog.h"
#include "tiers/health.h"

enum { T0 = 1000000 };

static struct health fresh(void)
{
    struct health h;
    health_init(&h, T0);
    return h;
}

static bool probe(struct health *h, struct probe_result r, uint64_t now_ms)
{
    return health_on_probe(h, &SMALL_HEALTH, &r, now_ms);
}

/* DOWN since T0 by a real request. */
static struct health fallen(enum failure f)
{
    struct health h = fresh();
    assert_true(health_on_failure(&h, f, true, T0));
    assert_int_equal(h.state, STATE_DOWN);
    return h;
}

static void starts_healthy_and_due_for_a_probe(void **state)
{
    (void)state;
    struct health h = fresh();
    assert_int_equal(h.state, STATE_HEALTHY);
    assert_int_equal(h.cause.kind, CAUSE_STARTING);
    assert_int_equal(h.since_ms, T0);
    assert_int_equal(h.next_probe_ms, T0);
}

static void judges_a_200_by_its_time(void **state)
{
    (void)state;
    static const struct {
        uint32_t took_ms;
        enum state state;
        enum cause_kind kind;
    } rows[] = {
        {0, STATE_HEALTHY, CAUSE_PROBE_OK},
        {1999, STATE_HEALTHY, CAUSE_PROBE_OK},
        {2000, STATE_DEGRADED, CAUSE_PROBE_SLOW},
        {4999, STATE_DEGRADED, CAUSE_PROBE_SLOW},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct health h = fresh();
        assert_true(probe(&h, probe_ok(rows[i].took_ms), T0 + 5000));
        assert_int_equal(h.state, rows[i].state);
        assert_int_equal(h.cause.kind, rows[i].kind);
        assert_int_equal(h.next_probe_ms, T0 + 5000 + 10000);
    }
}

static void reports_a_change_once(void **state)
{
    (void)state;
    struct health h = fresh();
    assert_true(probe(&h, probe_ok(1), T0));
    assert_false(probe(&h, probe_ok(1), T0 + 10000));
    assert_true(probe(&h, probe_ok(3000), T0 + 20000));
    assert_false(probe(&h, probe_ok(3000), T0 + 30000));
    assert_int_equal(h.since_ms, T0 + 20000);
    assert_true(probe(&h, probe_ok(1), T0 + 40000));
    assert_int_equal(h.state, STATE_HEALTHY);
    assert_int_equal(h.since_ms, T0 + 40000);
}

static void another_status_is_down_at_once(void **state)
{
    (void)state;
    static const uint16_t statuses[] = {204, 301, 400, 401, 404, 500, 503, 599};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        struct health h = fresh();
        assert_true(probe(&h, probe_status(statuses[i]), T0 + 7));
        assert_int_equal(h.state, STATE_DOWN);
        assert_int_equal(h.cause.kind, CAUSE_PROBE_STATUS);
        assert_int_equal(h.cause.status, statuses[i]);
        assert_int_equal(h.since_ms, T0 + 7);
    }
}

static void a_503_that_says_loading_has_its_own_cause(void **state)
{
    (void)state;
    struct health h = fresh();
    assert_true(probe(&h, probe_loading(), T0));
    assert_int_equal(h.state, STATE_DOWN);
    assert_int_equal(h.cause.kind, CAUSE_LOADING);
    assert_true(probe(&h, probe_status(503), T0 + 2000));
    assert_int_equal(h.cause.kind, CAUSE_PROBE_STATUS);
}

static void the_third_exception_in_a_row_is_down(void **state)
{
    (void)state;
    struct health h = fresh();
    assert_true(probe(&h, probe_exception(FAILURE_connect_refused), T0));
    assert_int_equal(h.state, STATE_DEGRADED);
    assert_int_equal(h.cause.kind, CAUSE_PROBE_FAILED);
    assert_int_equal(h.cause.failure, FAILURE_connect_refused);
    assert_false(probe(&h, probe_exception(FAILURE_reset), T0 + 2000));
    assert_int_equal(h.state, STATE_DEGRADED);
    assert_int_equal(h.cause.failure, FAILURE_reset);
    assert_true(probe(&h, probe_exception(FAILURE_total_timeout), T0 + 5000));
    assert_int_equal(h.state, STATE_DOWN);
    assert_int_equal(h.cause.failure, FAILURE_total_timeout);
    assert_int_equal(h.since_ms, T0 + 5000);
}

static void an_answer_ends_a_run_of_exceptions(void **state)
{
    (void)state;
    struct health h = fresh();
    for (int i = 0; i < 5; i++) {
        (void)probe(&h, probe_exception(FAILURE_reset), T0);
        (void)probe(&h, probe_exception(FAILURE_reset), T0);
        assert_int_equal(h.state, STATE_DEGRADED);
        (void)probe(&h, probe_ok(5), T0);
        assert_int_equal(h.state, STATE_HEALTHY);
    }
}

static void obeys_down_after_and_up_after(void **state)
{
    (void)state;
    struct health_policy policy = SMALL_HEALTH;
    struct probe_result bad = probe_exception(FAILURE_reset);
    struct probe_result good = probe_ok(5);
    policy.down_after = 1;
    policy.up_after = 1;
    struct health h = fresh();
    assert_true(health_on_probe(&h, &policy, &bad, T0));
    assert_int_equal(h.state, STATE_DOWN);
    assert_true(health_on_probe(&h, &policy, &good, T0 + 2000));
    assert_int_equal(h.state, STATE_HEALTHY);
    policy.up_after = 4;
    assert_true(health_on_probe(&h, &policy, &bad, T0 + 4000));
    for (uint64_t i = 1; i <= 3; i++) {
        assert_false(health_on_probe(&h, &policy, &good, T0 + 4000 + i * 2000));
        assert_int_equal(h.state, STATE_DOWN);
    }
    assert_true(health_on_probe(&h, &policy, &good, T0 + 20000));
    assert_int_equal(h.state, STATE_HEALTHY);
}

static void down_is_left_by_good_probes_in_a_row_only(void **state)
{
    (void)state;
    struct health h = fallen(FAILURE_reset);
    assert_false(probe(&h, probe_ok(5), T0 + 100));
    (void)probe(&h, probe_status(500), T0 + 2000);
    assert_int_equal(h.good, 0);
    (void)probe(&h, probe_ok(5), T0 + 4000);
    (void)probe(&h, probe_exception(FAILURE_reset), T0 + 6000);
    (void)probe(&h, probe_ok(5), T0 + 8000);
    assert_int_equal(h.state, STATE_DOWN);
    assert_int_equal(h.since_ms, T0);
    assert_true(probe(&h, probe_ok(5), T0 + 10000));
    assert_int_equal(h.state, STATE_HEALTHY);
    assert_int_equal(h.cause.kind, CAUSE_PROBE_OK);
    assert_int_equal(h.since_ms, T0 + 10000);
}

static void a_slow_200_counts_as_good_and_ends_in_degraded(void **state)
{
    (void)state;
    struct health h = fallen(FAILURE_reset);
    (void)probe(&h, probe_ok(5), T0 + 3000);
    assert_true(probe(&h, probe_ok(2500), T0 + 6000));
    assert_int_equal(h.state, STATE_DEGRADED);
    assert_int_equal(h.cause.kind, CAUSE_PROBE_SLOW);
    h = fallen(FAILURE_reset);
    (void)probe(&h, probe_ok(2500), T0 + 3000);
    assert_true(probe(&h, probe_ok(5), T0 + 6000));
    assert_int_equal(h.state, STATE_HEALTHY);
}

static void keeps_the_cause_while_good_probes_are_counted(void **state)
{
    (void)state;
    struct health h = fallen(FAILURE_stall);
    (void)probe(&h, probe_ok(5), T0 + 100);
    assert_int_equal(h.cause.kind, CAUSE_TRAFFIC);
    assert_int_equal(h.cause.failure, FAILURE_stall);
}

static void traffic_that_blames_is_down_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < FAILURE_COUNT; i++) {
        enum failure f = (enum failure)i;
        bool blames = verdict_of(f)->blame == BLAME_DOWN;
        struct health h = fresh();
        (void)probe(&h, probe_ok(5), T0);
        assert_int_equal(health_on_failure(&h, f, true, T0 + 3000), blames);
        assert_int_equal(h.state, blames ? STATE_DOWN : STATE_HEALTHY);
        if (blames) {
            assert_int_equal(h.cause.kind,
                             f == FAILURE_loading ? CAUSE_LOADING : CAUSE_TRAFFIC);
            assert_int_equal(h.cause.failure, f);
            assert_int_equal(h.next_probe_ms, T0 + 3000);
        }
    }
}

static void blames_that_are_no_suspicion_do_not_ask_who_was_first(void **state)
{
    (void)state;
    struct health h = fresh();
    assert_true(health_on_failure(&h, FAILURE_reset, false, T0));
    assert_int_equal(h.state, STATE_DOWN);
}

static void further_blame_renews_the_outage(void **state)
{
    (void)state;
    struct health h = fallen(FAILURE_reset);
    (void)probe(&h, probe_ok(5), T0 + 100);
    uint64_t next_probe_ms = h.next_probe_ms;
    assert_false(health_on_failure(&h, FAILURE_stall, true, T0 + 700));
    assert_int_equal(h.cause.failure, FAILURE_stall);
    assert_int_equal(h.good, 0);
    assert_int_equal(h.since_ms, T0);
    assert_int_equal(h.next_probe_ms, next_probe_ms);
    assert_false(health_on_failure(&h, FAILURE_http_500, true, T0 + 900));
    assert_int_equal(h.cause.failure, FAILURE_http_500);
}

static void a_probe_from_before_the_blame_proves_nothing(void **state)
{
    (void)state;
    struct health h = fallen(FAILURE_reset);
    assert_false(probe(&h, probe_ok(1500), T0 + 1000));
    assert_int_equal(h.good, 0);
    assert_int_equal(h.next_probe_ms, T0 + 1000 + PROBE_GAP_MS);
    assert_false(probe(&h, probe_ok(500), T0 + 2000));
    assert_int_equal(h.good, 1);
    /* Bad news counts whenever it began. */
    h = fresh();
    (void)health_on_failure(&h, FAILURE_http_500, true, T0 + 100);
    struct probe_result late = probe_exception(FAILURE_total_timeout);
    late.took_ms = 5000;
    assert_true(probe(&h, late, T0 + 200));
    assert_int_equal(h.state, STATE_DOWN);
}

static void a_probe_from_before_a_suspicion_does_not_clear_it(void **state)
{
    (void)state;
    struct health h = fresh();
    (void)health_on_failure(&h, FAILURE_http_500, true, T0 + 100);
    (void)probe(&h, probe_ok(300), T0 + 200);
    assert_int_equal(h.next_probe_ms, T0 + 700);
    assert_true(probe(&h, probe_exception(FAILURE_reset), T0 + 705));
    assert_int_equal(h.state, STATE_DOWN);
}

static void a_500_asks_for_a_probe_at_once(void **state)
{
    (void)state;
    struct health h = fresh();
    (void)probe(&h, probe_ok(5), T0);
    assert_false(health_on_failure(&h, FAILURE_http_500, true, T0 + 3000));
    assert_int_equal(h.state, STATE_HEALTHY);
    assert_int_equal(h.next_probe_ms, T0 + 3000);
    assert_int_equal(h.suspicions, 1);
}

static void a_second_500_of_a_request_asks_for_a_probe_and_blames_nobody(void **state)
{
    (void)state;
    struct health h = fresh();
    (void)probe(&h, probe_ok(5), T0);
    assert_false(health_on_failure(&h, FAILURE_http_500, false, T0 + 3000));
    assert_int_equal(h.next_probe_ms, T0 + 3000);
    assert_int_equal(h.suspicions, 0);
    assert_false(h.suspect);
    (void)probe(&h, probe_exception(FAILURE_reset), T0 + 3001);
    assert_int_equal(h.state, STATE_DEGRADED);
}

static void probes_asked_for_keep_their_distance(void **state)
{
    (void)state;
    struct health h = fresh();
    (void)probe(&h, probe_ok(5), T0);
    (void)health_on_failure(&h, FAILURE_http_500, true, T0 + 10);
    assert_int_equal(h.next_probe_ms, T0 + PROBE_GAP_MS);
    (void)health_on_failure(&h, FAILURE_http_500, true, T0 + 20);
    assert_int_equal(h.next_probe_ms, T0 + PROBE_GAP_MS);
    (void)health_on_failure(&h, FAILURE_reset, true, T0 + 600);
    assert_int_equal(h.next_probe_ms, T0 + PROBE_GAP_MS);
}

static void a_500_and_a_bad_probe_are_down(void **state)
{
    (void)state;
    static const struct probe_result bad[] = {
        {.answered = true, .status = 500},
        {.answered = true, .status = 503, .is_loading = true},
        {.failure = FAILURE_connect_refused},
        {.failure = FAILURE_total_timeout},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct health h = fresh();
        (void)health_on_failure(&h, FAILURE_http_500, true, T0 + 10);
        assert_true(probe(&h, bad[i], T0 + 20));
        assert_int_equal(h.state, STATE_DOWN);
    }
}

static void a_500_and_a_good_probe_are_not_down(void **state)
{
    (void)state;
    struct health h = fresh();
    (void)health_on_failure(&h, FAILURE_http_500, true, T0 + 10);
    (void)probe(&h, probe_ok(5), T0 + 20);
    assert_int_equal(h.state, STATE_HEALTHY);
    /* The question is answered: an exception later is only an exception. */
    (void)probe(&h, probe_exception(FAILURE_reset), T0 + 10000);
    assert_int_equal(h.state, STATE_DEGRADED);
}

static void the_third_500_is_down_good_probes_or_not(void **state)
{
    (void)state;
    struct health h = fresh();
    assert_false(health_on_failure(&h, FAILURE_http_500, true, T0));
    (void)probe(&h, probe_ok(5), T0 + 100);
    assert_false(health_on_failure(&h, FAILURE_not_json, true, T0 + 1000));
    (void)probe(&h, probe_ok(5), T0 + 1100);
    assert_int_equal(h.state, STATE_HEALTHY);
    assert_true(health_on_failure(&h, FAILURE_http_500, true, T0 + 2000));
    assert_int_equal(h.state, STATE_DOWN);
    assert_int_equal(h.cause.kind, CAUSE_TRAFFIC);
    assert_int_equal(h.cause.failure, FAILURE_http_500);
}

static void a_complete_answer_clears_suspicions(void **state)
{
    (void)state;
    struct health h = fresh();
    for (int i = 0; i < 10; i++) {
        assert_false(health_on_failure(&h, FAILURE_http_500, true, T0));
        assert_false(health_on_failure(&h, FAILURE_http_500, true, T0));
        health_on_success(&h, T0);
        assert_int_equal(h.suspicions, 0);
        assert_false(h.suspect);
    }
    assert_int_equal(h.state, STATE_HEALTHY);
}

static void suspicions_begin_anew_after_an_outage(void **state)
{
    (void)state;
    struct health h = fresh();
    for (int i = 0; i < 3; i++) {
        (void)health_on_failure(&h, FAILURE_http_500, true, T0);
    }
    (void)probe(&h, probe_ok(5), T0 + 1000);
    (void)probe(&h, probe_ok(5), T0 + 3000);
    assert_int_equal(h.state, STATE_HEALTHY);
    assert_false(health_on_failure(&h, FAILURE_http_500, true, T0 + 3100));
    assert_int_equal(h.state, STATE_HEALTHY);
}

static void a_request_that_drew_a_500_before_blames_no_second(void **state)
{
    (void)state;
    struct health h = fresh();
    for (int i = 0; i < 100; i++) {
        assert_false(health_on_failure(&h, FAILURE_http_500, false, T0 + 1));
    }
    assert_int_equal(h.state, STATE_HEALTHY);
    assert_int_equal(h.suspicions, 0);
    assert_int_equal(h.next_probe_ms, T0);
    (void)probe(&h, probe_exception(FAILURE_reset), T0 + 2);
    assert_int_equal(h.state, STATE_DEGRADED);
}

static void success_does_not_end_an_outage(void **state)
{
    (void)state;
    struct health h = fallen(FAILURE_reset);
    health_on_success(&h, T0 + 1);
    assert_int_equal(h.state, STATE_DOWN);
}

static void outage_probes_come_soon_then_seldom(void **state)
{
    (void)state;
    static const uint64_t waits[] = {2000, 3000, 4500, 6750, 10000, 10000};
    struct health h = fallen(FAILURE_reset);
    assert_int_equal(h.next_probe_ms, T0);
    uint64_t now_ms = T0 + 5;
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        (void)probe(&h, probe_exception(FAILURE_connect_refused), now_ms);
        assert_int_equal(h.next_probe_ms, now_ms + waits[i]);
        now_ms = h.next_probe_ms;
    }
    (void)probe(&h, probe_ok(5), now_ms);
    assert_int_equal(h.next_probe_ms, now_ms + SMALL_HEALTH.down_gap_ms);
    (void)probe(&h, probe_ok(5), now_ms + SMALL_HEALTH.down_gap_ms);
    assert_int_equal(h.state, STATE_HEALTHY);
    assert_int_equal(h.next_probe_ms, now_ms + SMALL_HEALTH.down_gap_ms + 10000);
}

static void a_probe_that_finds_an_outage_is_its_first(void **state)
{
    (void)state;
    struct health h = fresh();
    (void)probe(&h, probe_status(500), T0);
    assert_int_equal(h.next_probe_ms, T0 + 2000);
    (void)probe(&h, probe_status(500), T0 + 2000);
    assert_int_equal(h.next_probe_ms, T0 + 5000);
}

static void exceptions_are_followed_up_soon(void **state)
{
    (void)state;
    struct health h = fresh();
    (void)probe(&h, probe_exception(FAILURE_reset), T0);
    assert_int_equal(h.next_probe_ms, T0 + 2000);
    (void)probe(&h, probe_exception(FAILURE_reset), T0 + 2000);
    assert_int_equal(h.next_probe_ms, T0 + 5000);
    (void)probe(&h, probe_exception(FAILURE_reset), T0 + 5000);
    assert_int_equal(h.state, STATE_DOWN);
    assert_int_equal(h.next_probe_ms, T0 + 7000);
}

static void short_intervals_bound_the_spacing(void **state)
{
    (void)state;
    static const struct {
        uint32_t interval_ms;
        uint32_t spacing_ms;
    } rows[] = {{5000, 2000}, {2000, 2000}, {1000, 1000}, {500, 500}, {100, 500}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct health_policy policy = SMALL_HEALTH;
        struct probe_result bad = probe_status(500);
        struct health h = fresh();
        policy.interval_ms = rows[i].interval_ms;
        (void)health_on_probe(&h, &policy, &bad, T0);
        assert_int_equal(h.next_probe_ms, T0 + rows[i].spacing_ms);
    }
}

static void probes_of_an_outage_grow_to_the_breakers_longest_trial(void **state)
{
    (void)state;
    struct health_policy policy = SMALL_HEALTH;
    struct probe_result bad = probe_status(500);
    struct health h = fresh();
    policy.interval_ms = 60000;
    policy.down_gap_ms = 1000;
    policy.down_gap_max_ms = 4000;
    static const uint32_t gaps[] = {1000, 1500, 2250, 3375, 4000, 4000};
    uint64_t now_ms = T0;
    for (size_t i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
        (void)health_on_probe(&h, &policy, &bad, now_ms);
        assert_int_equal(h.next_probe_ms, now_ms + gaps[i]);
        now_ms = h.next_probe_ms;
    }
    policy.down_gap_max_ms = 500; /* the longest one wins */
    (void)health_on_probe(&h, &policy, &bad, now_ms);
    assert_int_equal(h.next_probe_ms, now_ms + 500);
}

static void what_we_could_not_send_judges_nobody(void **state)
{
    (void)state;
    struct health h = fresh();
    (void)health_on_failure(&h, FAILURE_http_500, true, T0);
    for (uint64_t i = 1; i <= 10; i++) {
        assert_false(probe(&h, probe_exception(FAILURE_no_fds), T0 + i * 10000));
        assert_int_equal(h.next_probe_ms, T0 + i * 10000 + 10000);
    }
    assert_false(probe(&h, probe_exception(FAILURE_cancelled), T0 + 200000));
    assert_int_equal(h.state, STATE_HEALTHY);
    assert_true(h.suspect);
    h = fallen(FAILURE_reset);
    (void)probe(&h, probe_ok(5), T0 + 100);
    assert_false(probe(&h, probe_exception(FAILURE_no_fds), T0 + 2000));
    assert_int_equal(h.good, 1);
}

static void says_causes_in_words(void **state)
{
    (void)state;
    static const struct {
        struct cause cause;
        const char *text;
        const char *word;
    } rows[] = {
        {{.kind = CAUSE_STARTING}, "not probed yet", "starting"},
        {{.kind = CAUSE_PROBE_OK}, "probe answered 200", "ok"},
        {{.kind = CAUSE_PROBE_SLOW}, "probe answered slowly", "slow"},
        {{.kind = CAUSE_PROBE_STATUS, .status = 503}, "probe answered 503", "probe_status"},
        {{.kind = CAUSE_PROBE_FAILED, .failure = FAILURE_reset},
         "probe failed: reset",
         "probe_failed"},
        {{.kind = CAUSE_LOADING}, "loading its model", "loading"},
        {{.kind = CAUSE_GUARD_STARTING}, "its guard starts it", "guard_starting"},
        {{.kind = CAUSE_TRAFFIC, .failure = FAILURE_stall}, "request failed: stall", "stall"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[64];
        cause_text(rows[i].cause, text, sizeof(text));
        assert_string_equal(text, rows[i].text);
        assert_string_equal(cause_word(rows[i].cause), rows[i].word);
        char cut[6];
        cause_text(rows[i].cause, cut, sizeof(cut));
        assert_int_equal(strlen(cut), 5);
        assert_memory_equal(cut, rows[i].text, 5);
    }
    assert_string_equal(state_name(STATE_HEALTHY), "HEALTHY");
    assert_string_equal(state_name(STATE_DEGRADED), "DEGRADED");
    assert_string_equal(state_name(STATE_DOWN), "DOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_healthy_and_due_for_a_probe),
        cmocka_unit_test(judges_a_200_by_its_time),
        cmocka_unit_test(reports_a_change_once),
        cmocka_unit_test(another_status_is_down_at_once),
        cmocka_unit_test(a_503_that_says_loading_has_its_own_cause),
        cmocka_unit_test(the_third_exception_in_a_row_is_down),
        cmocka_unit_test(an_answer_ends_a_run_of_exceptions),
        cmocka_unit_test(obeys_down_after_and_up_after),
        cmocka_unit_test(down_is_left_by_good_probes_in_a_row_only),
        cmocka_unit_test(a_slow_200_counts_as_good_and_ends_in_degraded),
        cmocka_unit_test(keeps_the_cause_while_good_probes_are_counted),
        cmocka_unit_test(traffic_that_blames_is_down_at_once),
        cmocka_unit_test(blames_that_are_no_suspicion_do_not_ask_who_was_first),
        cmocka_unit_test(further_blame_renews_the_outage),
        cmocka_unit_test(a_probe_from_before_the_blame_proves_nothing),
        cmocka_unit_test(a_probe_from_before_a_suspicion_does_not_clear_it),
        cmocka_unit_test(a_500_asks_for_a_probe_at_once),
        cmocka_unit_test(a_second_500_of_a_request_asks_for_a_probe_and_blames_nobody),
        cmocka_unit_test(probes_asked_for_keep_their_distance),
        cmocka_unit_test(a_500_and_a_bad_probe_are_down),
        cmocka_unit_test(a_500_and_a_good_probe_are_not_down),
        cmocka_unit_test(the_third_500_is_down_good_probes_or_not),
        cmocka_unit_test(a_complete_answer_clears_suspicions),
        cmocka_unit_test(suspicions_begin_anew_after_an_outage),
        cmocka_unit_test(a_request_that_drew_a_500_before_blames_no_second),
        cmocka_unit_test(success_does_not_end_an_outage),
        cmocka_unit_test(outage_probes_come_soon_then_seldom),
        cmocka_unit_test(a_probe_that_finds_an_outage_is_its_first),
        cmocka_unit_test(exceptions_are_followed_up_soon),
        cmocka_unit_test(short_intervals_bound_the_spacing),
        cmocka_unit_test(probes_of_an_outage_grow_to_the_breakers_longest_trial),
        cmocka_unit_test(what_we_could_not_send_judges_nobody),
        cmocka_unit_test(says_causes_in_words),
    };
    return cmocka_run_group_tests_name("tiers/health", tests, NULL, NULL);
}
