#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalog.h"
#include "tiers/breaker.h"

enum { T0 = 1000000, MINUTE = 60000 };

static const struct breaker_policy *const P = &SMALL_BREAKER;

static struct breaker fresh(void)
{
    struct breaker b;
    breaker_init(&b, T0);
    return b;
}

/* As if the attempt had begun just now. */
static bool strike(struct breaker *b, enum failure f, uint64_t now_ms)
{
    return breaker_on_strike(b, P, f, &(struct breaker_ending){0}, now_ms);
}

static bool answer(struct breaker *b, uint64_t now_ms)
{
    return breaker_on_answer(b, P, &(struct breaker_ending){0}, now_ms);
}

static void down(struct breaker *b, enum outage why, uint64_t now_ms)
{
    breaker_on_down(b, P, why, FAILURE_ok, now_ms);
}

static void expect_phase(const struct breaker *b, enum breaker_phase phase, uint64_t now_ms)
{
    assert_int_equal(breaker_phase(b, P, now_ms), phase);
}

/* Open by strikes at T0. */
static struct breaker opened(void)
{
    struct breaker b = fresh();
    for (int i = 0; i < STRIKES_OPEN; i++) {
        (void)strike(&b, FAILURE_http_500, T0);
    }
    expect_phase(&b, PHASE_OPEN, T0);
    return b;
}

/* --- opening --- */

static void opens_by_count_and_rate(void **state)
{
    (void)state;
    static const struct {
        uint32_t strikes;
        uint32_t answers;
        uint32_t gap_ms;
        bool opens;
    } rows[] = {
        {4, 0, 0, false},      {5, 0, 0, true},    {5, 5, 0, true},    {5, 6, 0, false},
        {50, 51, 0, false},    {6, 6, 0, true},    {5, 0, 4000, true}, {5, 0, 5000, false},
        {100, 0, 6000, false}, {5, 0, 3999, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct breaker b = fresh();
        bool has_opened = false;
        for (uint32_t n = 0; n < rows[i].strikes && !has_opened; n++) {
            has_opened = breaker_on_strike(&b, P, FAILURE_http_500,
                                           &(struct breaker_ending){.answers = rows[i].answers},
                                           T0 + (uint64_t)n * rows[i].gap_ms);
        }
        assert_int_equal(has_opened, rows[i].opens);
        assert_int_equal(b.is_open, rows[i].opens);
    }
}

static void every_failure_that_blames_or_suspects_is_a_strike(void **state)
{
    (void)state;
    for (int i = 0; i < FAILURE_COUNT; i++) {
        enum failure f = (enum failure)i;
        enum blame blame = verdict_of(f)->blame;
        bool is_blamed = blame == BLAME_DOWN || blame == BLAME_SUSPECT;
        assert_int_equal(verdict_is_strike(f), is_blamed && f != FAILURE_loading);
    }
    assert_true(verdict_is_strike(FAILURE_error_in_stream));
    assert_false(verdict_is_strike(FAILURE_http_429));
    assert_false(verdict_is_strike(FAILURE_client_error));
}

static void an_outage_opens_it_at_once(void **state)
{
    (void)state;
    static const enum outage outages[] = {OUTAGE_PROBES, OUTAGE_SILENCE, OUTAGE_REQUEST,
                                          OUTAGE_LOADING};
    for (size_t i = 0; i < sizeof(outages) / sizeof(outages[0]); i++) {
        struct breaker b = fresh();
        down(&b, outages[i], T0);
        expect_phase(&b, PHASE_OPEN, T0 + 5 * MINUTE);
        assert_int_equal(breaker_share(&b, P, T0), 0);
    }
}

static void one_strike_in_the_dwell_or_the_ramp_opens_it_again(void **state)
{
    (void)state;
    static const uint64_t after_ms[] = {3000, 9999, 10000, 25000, 39999};
    for (size_t i = 0; i < sizeof(after_ms) / sizeof(after_ms[0]); i++) {
        struct breaker b = opened();
        assert_true(answer(&b, T0 + 2000));
        assert_true(strike(&b, FAILURE_reset, T0 + after_ms[i]));
        assert_int_equal(b.reason, FAILURE_reset);
    }
    struct breaker b = opened();
    assert_true(answer(&b, T0 + 2000));
    assert_false(strike(&b, FAILURE_reset, T0 + 40000));
}

/* --- the way back --- */

static void takes_steps_on_the_ramp(void **state)
{
    (void)state;
    static const struct {
        uint64_t after_ms;
        enum breaker_phase phase;
        uint32_t share;
    } rows[] = {
        {2000, PHASE_DWELL, 0},   {9999, PHASE_DWELL, 0},  {10000, PHASE_RAMP, 10},
        {19999, PHASE_RAMP, 10},  {20000, PHASE_RAMP, 25}, {29999, PHASE_RAMP, 25},
        {30000, PHASE_RAMP, 50},  {39999, PHASE_RAMP, 50}, {40000, PHASE_FULL, 100},
        {99999, PHASE_FULL, 100},
    };
    struct breaker b = opened();
    assert_true(answer(&b, T0 + 2000));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_phase(&b, rows[i].phase, T0 + rows[i].after_ms);
        assert_int_equal(breaker_share(&b, P, T0 + rows[i].after_ms), rows[i].share);
    }
    assert_int_equal(breaker_full_from_ms(&b, P), T0 + 40000);
}

static void does_not_dwell_after_a_long_outage(void **state)
{
    (void)state;
    struct breaker b = opened();
    assert_true(answer(&b, T0 + MINUTE));
    expect_phase(&b, PHASE_RAMP, T0 + MINUTE);
}

static void good_probes_alone_do_not_close_what_requests_opened(void **state)
{
    (void)state;
    struct breaker b = fresh();
    down(&b, OUTAGE_REQUEST, T0);
    assert_false(breaker_on_up(&b, P, T0 + MINUTE));
    expect_phase(&b, PHASE_OPEN, T0 + 60 * MINUTE);
    assert_true(b.answers_until_ms > T0 + 60 * MINUTE); /* a reserve until a request fails */
    (void)strike(&b, FAILURE_http_503, T0 + 61 * MINUTE);
    assert_int_equal(b.answers_until_ms, 0);
    assert_true(answer(&b, T0 + 62 * MINUTE));
}

static void probes_prove_who_was_silent_or_failed_probes(void **state)
{
    (void)state;
    static const enum outage outages[] = {OUTAGE_PROBES, OUTAGE_SILENCE};
    for (size_t i = 0; i < 2; i++) {
        struct breaker b = fresh();
        down(&b, outages[i], T0);
        assert_false(breaker_wants_trial(&b, P, T0 + 60000));
        assert_true(breaker_on_up(&b, P, T0 + 4000));
        expect_phase(&b, PHASE_DWELL, T0 + 9999);
        expect_phase(&b, PHASE_RAMP, T0 + 10000);
        expect_phase(&b, PHASE_RAMP, T0 + 60 * MINUTE); /* until a request is answered */
        assert_int_equal(breaker_share(&b, P, T0 + MINUTE), 10);
    }
}

static void the_ramp_begins_with_the_first_answer_after_good_probes(void **state)
{
    (void)state;
    struct breaker b = fresh();
    down(&b, OUTAGE_SILENCE, T0);
    assert_true(breaker_on_up(&b, P, T0 + 4000));
    assert_int_equal(breaker_claim(&b, P, T0 + 9999), 0);
    uint32_t claim = breaker_claim(&b, P, T0 + 10000);
    assert_int_not_equal(claim, 0);
    assert_int_equal(breaker_claim(&b, P, T0 + 20000), 0);
    assert_false(
        breaker_on_answer(&b, P, &(struct breaker_ending){.claim = claim}, T0 + 21000));
    assert_int_equal(breaker_share(&b, P, T0 + 21000), 10);
    expect_phase(&b, PHASE_RAMP, T0 + 50999);
    expect_phase(&b, PHASE_FULL, T0 + 51000);
}

static void loading_is_no_relapse_and_needs_no_dwell(void **state)
{
    (void)state;
    struct breaker b = fresh();
    down(&b, OUTAGE_LOADING, T0);
    assert_true(breaker_on_up(&b, P, T0 + 3000));
    expect_phase(&b, PHASE_RAMP, T0 + 3000);
    assert_false(answer(&b, T0 + 3000));
    down(&b, OUTAGE_LOADING, T0 + MINUTE);
    down(&b, OUTAGE_PROBES, T0 + 2 * MINUTE);
    assert_int_equal(b.relapses, 0);
    assert_int_equal(b.promotions, 0);
}

static void old_attempts_say_nothing_of_the_outage(void **state)
{
    (void)state;
    struct breaker b = opened();
    struct breaker_ending old = {.age_ms = 5001};
    assert_false(breaker_on_answer(&b, P, &old, T0 + 5000));
    assert_false(breaker_on_strike(&b, P, FAILURE_stall, &old, T0 + 5000));
    expect_phase(&b, PHASE_OPEN, T0 + 5000);
    assert_int_equal(b.opened_ms, T0);
    old.age_ms = 5000;
    assert_true(breaker_on_answer(&b, P, &old, T0 + 5000));
    old.age_ms = 9001;
    assert_false(breaker_on_strike(&b, P, FAILURE_stall, &old, T0 + 9000));
    expect_phase(&b, PHASE_DWELL, T0 + 9000);
}

static void the_dwell_counts_from_the_last_failure(void **state)
{
    (void)state;
    struct breaker b = opened();
    (void)strike(&b, FAILURE_http_500, T0 + 7000);
    assert_true(answer(&b, T0 + 8000));
    expect_phase(&b, PHASE_DWELL, T0 + 16999);
    expect_phase(&b, PHASE_RAMP, T0 + 17000);
}

/* --- trials --- */

static void trials_are_spaced_and_one_at_a_time(void **state)
{
    (void)state;
    static const uint64_t gaps[] = {2000, 3000, 4500, 6750, 10000, 10000};
    struct breaker b = opened();
    uint64_t now_ms = T0;
    for (size_t i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
        assert_int_equal(breaker_claim(&b, P, now_ms + gaps[i] - 1), 0);
        now_ms += gaps[i];
        uint32_t claim = breaker_claim(&b, P, now_ms);
        assert_int_not_equal(claim, 0);
        assert_int_equal(breaker_claim(&b, P, now_ms + 100000), 0);
        assert_false(breaker_on_strike(&b, P, FAILURE_http_500,
                                       &(struct breaker_ending){.claim = claim}, now_ms));
    }
}

static void a_trial_that_told_nothing_is_made_again(void **state)
{
    (void)state;
    struct breaker b = opened();
    uint32_t claim = breaker_claim(&b, P, T0 + 2000);
    breaker_release(&b, P, claim + 1, T0 + 2500);
    assert_int_equal(breaker_claim(&b, P, T0 + 9000), 0);
    breaker_release(&b, P, claim, T0 + 3000);
    assert_int_equal(breaker_claim(&b, P, T0 + 4999), 0);
    assert_int_not_equal(breaker_claim(&b, P, T0 + 5000), 0);
    breaker_release(&b, P, claim, T0 + 5001); /* the first one's, once more */
    assert_int_equal(breaker_claim(&b, P, T0 + 60000), 0);
}

/* It began before another failure, and so proves nothing; it must not be the last trial. */
static void an_overtaken_trial_leaves_room_for_the_next(void **state)
{
    (void)state;
    for (int is_answer = 0; is_answer < 2; is_answer++) {
        struct breaker b = opened();
        uint32_t claim = breaker_claim(&b, P, T0 + 2000);
        struct breaker_ending e = {.claim = claim, .age_ms = 2000};
        (void)strike(&b, FAILURE_http_500, T0 + 3000);
        if (is_answer) {
            assert_false(breaker_on_answer(&b, P, &e, T0 + 4000));
        } else {
            assert_false(breaker_on_strike(&b, P, FAILURE_reset, &e, T0 + 4000));
        }
        expect_phase(&b, PHASE_OPEN, T0 + 4000);
        assert_true(breaker_wants_trial(&b, P, T0 + 20000));
    }
}

static void trials_go_on_while_it_dwells(void **state)
{
    (void)state;
    struct breaker_policy slow = SMALL_BREAKER;
    struct breaker b = fresh();
    slow.dwell_ms = 600000;
    breaker_on_down(&b, &slow, OUTAGE_REQUEST, FAILURE_http_503, T0);
    (void)breaker_on_up(&b, &slow, T0 + 3000);
    assert_true(breaker_on_answer(&b, &slow, &(struct breaker_ending){0}, T0 + 3000));
    assert_false(breaker_wants_trial(&b, &slow, T0 + 12999));
    uint32_t claim = breaker_claim(&b, &slow, T0 + 13000);
    assert_int_not_equal(claim, 0);
    assert_true(breaker_on_strike(&b, &slow, FAILURE_http_503,
                                  &(struct breaker_ending){.claim = claim}, T0 + 14000));
    assert_int_equal(b.opened_ms, T0 + 14000);
    assert_int_equal(b.relapses, 0);
}

/* --- flapping --- */

/* Opens, is proven at once, and is promoted when its dwell is over; returns the dwell. */
static uint64_t go_round(struct breaker *b, uint64_t *now_ms)
{
    down(b, OUTAGE_PROBES, *now_ms);
    uint64_t dwell_ms = b->dwell_ms;
    assert_true(breaker_on_up(b, P, *now_ms + 1));
    *now_ms += dwell_ms;
    expect_phase(b, PHASE_DWELL, *now_ms - 1);
    expect_phase(b, PHASE_RAMP, *now_ms);
    (void)answer(b, *now_ms);
    return dwell_ms;
}

static void each_relapse_doubles_the_dwell(void **state)
{
    (void)state;
    static const uint64_t dwells_s[] = {10, 30, 60, 120, 240, 480, 600, 600};
    struct breaker b = fresh();
    uint64_t now_ms = T0;
    for (size_t i = 0; i < sizeof(dwells_s) / sizeof(dwells_s[0]); i++) {
        assert_int_equal(go_round(&b, &now_ms), dwells_s[i] * 1000);
        assert_int_equal(b.relapses, i);
        now_ms += FLAP_MEMORY_MS - 1;
    }
    assert_int_equal(b.promotions, 8);
    now_ms += 1; /* ten minutes of traffic */
    assert_int_equal(go_round(&b, &now_ms), 10000);
    assert_int_equal(b.relapses, 0);
}

static void only_a_return_to_traffic_makes_a_relapse(void **state)
{
    (void)state;
    struct breaker b = fresh();
    down(&b, OUTAGE_PROBES, T0);
    for (uint64_t i = 1; i < 100; i++) {
        (void)breaker_on_up(&b, P, T0 + i * 5000);
        down(&b, OUTAGE_PROBES, T0 + i * 5000 + 1000);
    }
    assert_int_equal(b.relapses, 0);
    assert_int_equal(b.promotions, 0);
}

static void without_dwell_and_ramp_it_returns_at_once(void **state)
{
    (void)state;
    static const struct breaker_policy none = {.trial_ms = 100, .trial_max_ms = 100};
    struct breaker b = fresh();
    for (uint64_t i = 0; i < 10; i++) {
        uint64_t now_ms = T0 + i * 1000;
        breaker_on_down(&b, &none, OUTAGE_PROBES, FAILURE_ok, now_ms);
        assert_true(breaker_on_up(&b, &none, now_ms + 1));
        assert_int_equal(breaker_phase(&b, &none, now_ms + 1), PHASE_FULL);
        assert_int_equal(breaker_share(&b, &none, now_ms + 1), 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_by_count_and_rate),
        cmocka_unit_test(every_failure_that_blames_or_suspects_is_a_strike),
        cmocka_unit_test(an_outage_opens_it_at_once),
        cmocka_unit_test(one_strike_in_the_dwell_or_the_ramp_opens_it_again),
        cmocka_unit_test(takes_steps_on_the_ramp),
        cmocka_unit_test(does_not_dwell_after_a_long_outage),
        cmocka_unit_test(good_probes_alone_do_not_close_what_requests_opened),
        cmocka_unit_test(probes_prove_who_was_silent_or_failed_probes),
        cmocka_unit_test(the_ramp_begins_with_the_first_answer_after_good_probes),
        cmocka_unit_test(loading_is_no_relapse_and_needs_no_dwell),
        cmocka_unit_test(old_attempts_say_nothing_of_the_outage),
        cmocka_unit_test(the_dwell_counts_from_the_last_failure),
        cmocka_unit_test(trials_are_spaced_and_one_at_a_time),
        cmocka_unit_test(a_trial_that_told_nothing_is_made_again),
        cmocka_unit_test(an_overtaken_trial_leaves_room_for_the_next),
        cmocka_unit_test(trials_go_on_while_it_dwells),
        cmocka_unit_test(each_relapse_doubles_the_dwell),
        cmocka_unit_test(only_a_return_to_traffic_makes_a_relapse),
        cmocka_unit_test(without_dwell_and_ramp_it_returns_at_once),
    };
    return cmocka_run_group_tests_name("tiers/breaker", tests, NULL, NULL);
}
