#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guard/pulse.h"

enum { HANG = 60000 };

static void count(struct pulse *p, uint64_t progress, uint32_t in_flight, uint64_t now_ms)
{
    pulse_on_counters(p, &(struct pulse_counters){.progress = progress, .in_flight = in_flight},
                      now_ms);
}

static void begin(struct pulse *p)
{
    pulse_start(p, HANG, 1000);
    count(p, 5, 0, 1000);
    pulse_on_health(p, true, 1000);
}

static void standing_figures_and_a_failed_token_are_a_hang(void **state)
{
    struct pulse p;
    (void)state;
    begin(&p);
    count(&p, 9, 1, 2000);
    count(&p, 9, 1, 4000); /* stands still from here on */
    assert_string_equal(pulse_doubt(&p), "work in flight, but no token comes");
    assert_false(pulse_wants_token(&p, 4000 + HANG - 1));
    assert_true(pulse_wants_token(&p, 4000 + HANG));
    assert_false(pulse_wants_token(&p, 4000 + HANG + 1)); /* one at a time */
    count(&p, 9, 2, 4000 + HANG + 2000);
    assert_false(p.is_hung);
    pulse_on_token(&p, PULSE_TOKEN_NONE, 4000 + HANG + 20000);
    assert_true(p.is_hung);
}

static void standing_figures_alone_are_not(void **state)
{
    struct pulse p;
    (void)state;
    begin(&p);
    count(&p, 9, 1, 2000);
    count(&p, 9, 1, 4000);
    assert_true(pulse_wants_token(&p, 4000 + HANG));
    pulse_on_token(&p, PULSE_TOKEN_CAME, 70000);
    assert_false(p.is_hung);
    assert_false(pulse_wants_token(&p, 70000 + HANG - 1));
    assert_true(pulse_wants_token(&p, 70000 + HANG));
}

static void a_refused_question_proves_nothing(void **state)
{
    struct pulse p;
    (void)state;
    begin(&p);
    count(&p, 9, 1, 2000);
    count(&p, 9, 1, 4000);
    assert_true(pulse_wants_token(&p, 4000 + HANG));
    pulse_on_token(&p, PULSE_TOKEN_UNKNOWN, 70000);
    assert_false(p.is_hung);
    assert_true(pulse_wants_token(&p, 70000 + HANG));
}

static void a_token_late_behind_a_full_batch_is_no_hang(void **state)
{
    struct pulse p;
    (void)state;
    begin(&p);
    count(&p, 9, 1, 2000);
    count(&p, 9, 1, 4000);
    assert_true(pulse_wants_token(&p, 4000 + HANG));
    count(&p, 10, 1, 4000 + HANG + 1000); /* it goes on after all */
    pulse_on_token(&p, PULSE_TOKEN_NONE, 4000 + HANG + 20000);
    assert_false(p.is_hung);
}

/* vLLM's figures are those that the engine told last: an engine that stands still with nothing
 * to do goes on to have nothing to do, whatever waits in front of it. */
static void who_is_idle_for_long_is_asked_for_a_token_now_and_then(void **state)
{
    struct pulse p;
    (void)state;
    begin(&p);
    for (uint64_t round = 0; round < 3; round++) {
        uint64_t from = 1000 + round * PULSE_IDLE_FACTOR * HANG;
        uint64_t due = from + PULSE_IDLE_FACTOR * HANG;
        for (uint64_t t = from + 2000; t < due; t += 2000) {
            count(&p, 5 + round, 0, t);
            assert_false(pulse_wants_token(&p, t));
        }
        assert_true(pulse_wants_token(&p, due));
        pulse_on_token(&p, PULSE_TOKEN_CAME, due);
        count(&p, 5 + round + 1, 0, due);
        assert_false(p.is_hung);
    }
}

static void who_is_idle_and_makes_no_token_twice_hangs(void **state)
{
    struct pulse p;
    uint64_t due = 1000 + PULSE_IDLE_FACTOR * HANG;
    (void)state;
    begin(&p);
    count(&p, 5, 0, due);
    assert_true(pulse_wants_token(&p, due));
    pulse_on_token(&p, PULSE_TOKEN_NONE, due + 20000);
    assert_false(p.is_hung);
    assert_string_equal(pulse_doubt(&p), "it makes no token");
    assert_false(pulse_wants_token(&p, due + 20000 + HANG - 1));
    assert_true(pulse_wants_token(&p, due + 20000 + HANG));
    pulse_on_token(&p, PULSE_TOKEN_NONE, due + 40000 + HANG);
    assert_true(p.is_hung);
}

static void figures_that_move_between_two_failed_tokens_acquit(void **state)
{
    struct pulse p;
    uint64_t due = 1000 + PULSE_IDLE_FACTOR * HANG;
    (void)state;
    begin(&p);
    count(&p, 5, 0, due);
    assert_true(pulse_wants_token(&p, due));
    pulse_on_token(&p, PULSE_TOKEN_NONE, due + 20000);
    count(&p, 6, 0, due + 30000);
    assert_string_equal(pulse_doubt(&p), "");
    assert_false(pulse_wants_token(&p, due + 20000 + HANG));
}

static void a_refusal_of_an_idle_one_proves_nothing(void **state)
{
    struct pulse p;
    uint64_t due = 1000 + PULSE_IDLE_FACTOR * HANG;
    (void)state;
    begin(&p);
    assert_true(pulse_wants_token(&p, due));
    pulse_on_token(&p, PULSE_TOKEN_UNKNOWN, due);
    assert_false(pulse_wants_token(&p, due + PULSE_IDLE_FACTOR * HANG - 1));
    assert_true(pulse_wants_token(&p, due + PULSE_IDLE_FACTOR * HANG));
}

/* llama.cpp answers /slots between two steps of its engine, and /health always. */
static void counters_that_fall_silent_are_a_doubt(void **state)
{
    struct pulse p;
    (void)state;
    begin(&p);
    pulse_on_silence(&p, false, 5000);
    pulse_on_silence(&p, false, 9000);
    assert_string_equal(pulse_doubt(&p), "its counters are not answered any more");
    assert_false(pulse_wants_token(&p, 5000 + HANG - 1));
    assert_true(pulse_wants_token(&p, 5000 + HANG));
    pulse_on_token(&p, PULSE_TOKEN_NONE, 5000 + HANG + 20000);
    assert_true(p.is_hung);
}

static void counters_that_are_answered_again_acquit(void **state)
{
    struct pulse p;
    (void)state;
    begin(&p);
    pulse_on_silence(&p, false, 5000);
    count(&p, 9, 1, 9000);
    assert_string_equal(pulse_doubt(&p), "");
    assert_false(pulse_wants_token(&p, 5000 + HANG));
}

static void silence_is_borne_for_longer_over_a_long_prompt(void **state)
{
    struct pulse p;
    struct pulse_counters c = {
        .progress = 9, .in_flight = 1, .may_prefill = true, .is_computing = true};
    (void)state;
    begin(&p);
    pulse_on_counters(&p, &c, 2000);
    pulse_on_silence(&p, true, 4000);
    assert_false(pulse_wants_token(&p, 4000 + PULSE_PREFILL_FACTOR * HANG - 1));
    pulse_on_silence(&p, false, 4000 + HANG); /* it does not compute */
    assert_true(pulse_wants_token(&p, 4000 + HANG));
}

static void counters_that_never_were_there_are_no_silence(void **state)
{
    struct pulse p;
    (void)state;
    pulse_start(&p, HANG, 1000);
    pulse_on_silence(&p, false, 2000);
    assert_string_equal(pulse_doubt(&p), "");
}

static void counters_that_fall_are_progress(void **state)
{
    struct pulse p;
    (void)state;
    begin(&p);
    count(&p, 9, 1, 2000);
    count(&p, 9, 1, 3000);
    count(&p, 2, 1, 4000);
    assert_string_equal(pulse_doubt(&p), "");
}

static void a_long_prompt_is_waited_for_while_it_computes(void **state)
{
    struct pulse p;
    struct pulse_counters c = {
        .progress = 9, .in_flight = 1, .may_prefill = true, .is_computing = true};
    (void)state;
    begin(&p);
    pulse_on_counters(&p, &c, 2000);
    pulse_on_counters(&p, &c, 4000);
    assert_false(pulse_wants_token(&p, 4000 + PULSE_PREFILL_FACTOR * HANG - 1));
    c.is_computing = false; /* SIGSTOP, or stuck in the driver */
    pulse_on_counters(&p, &c, 100000);
    assert_true(pulse_wants_token(&p, 100000));
}

static void a_silent_health_page_is_a_doubt_too(void **state)
{
    struct pulse p;
    (void)state;
    begin(&p);
    pulse_on_health(&p, false, 5000);
    pulse_on_health(&p, false, 9000);
    assert_false(pulse_wants_token(&p, 5000 + HANG - 1));
    assert_true(pulse_wants_token(&p, 5000 + HANG));
    pulse_on_token(&p, PULSE_TOKEN_NONE, 5000 + HANG + 10);
    assert_true(p.is_hung);
    assert_string_equal(pulse_doubt(&p), "its health page does not answer 200");
}

static void without_counters_two_tokens_must_fail(void **state)
{
    struct pulse p;
    (void)state;
    pulse_start(&p, HANG, 0);
    pulse_on_health(&p, true, 0);
    assert_false(pulse_wants_token(&p, HANG - 1));
    assert_true(pulse_wants_token(&p, HANG));
    pulse_on_token(&p, PULSE_TOKEN_NONE, HANG + 20000);
    assert_false(p.is_hung);
    assert_true(pulse_wants_token(&p, 2 * HANG + 20000));
    pulse_on_token(&p, PULSE_TOKEN_NONE, 2 * HANG + 40000);
    assert_true(p.is_hung);
}

static void an_accusation_is_decided_by_one_token(void **state)
{
    struct pulse p;
    (void)state;
    begin(&p);
    pulse_accuse(&p);
    assert_true(pulse_wants_token(&p, 1001));
    pulse_on_token(&p, PULSE_TOKEN_CAME, 1500);
    assert_false(p.is_hung);
    assert_false(pulse_wants_token(&p, 1501));
    pulse_accuse(&p);
    assert_true(pulse_wants_token(&p, 2000));
    pulse_on_token(&p, PULSE_TOKEN_NONE, 2500);
    assert_true(p.is_hung);
}

static void switched_off_it_asks_for_nothing(void **state)
{
    struct pulse p;
    (void)state;
    pulse_start(&p, 0, 0);
    pulse_on_health(&p, false, 1);
    assert_false(pulse_wants_token(&p, UINT32_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standing_figures_and_a_failed_token_are_a_hang),
        cmocka_unit_test(standing_figures_alone_are_not),
        cmocka_unit_test(a_refused_question_proves_nothing),
        cmocka_unit_test(a_token_late_behind_a_full_batch_is_no_hang),
        cmocka_unit_test(who_is_idle_for_long_is_asked_for_a_token_now_and_then),
        cmocka_unit_test(who_is_idle_and_makes_no_token_twice_hangs),
        cmocka_unit_test(figures_that_move_between_two_failed_tokens_acquit),
        cmocka_unit_test(a_refusal_of_an_idle_one_proves_nothing),
        cmocka_unit_test(counters_that_fall_silent_are_a_doubt),
        cmocka_unit_test(counters_that_are_answered_again_acquit),
        cmocka_unit_test(silence_is_borne_for_longer_over_a_long_prompt),
        cmocka_unit_test(counters_that_never_were_there_are_no_silence),
        cmocka_unit_test(counters_that_fall_are_progress),
        cmocka_unit_test(a_long_prompt_is_waited_for_while_it_computes),
        cmocka_unit_test(a_silent_health_page_is_a_doubt_too),
        cmocka_unit_test(without_counters_two_tokens_must_fail),
        cmocka_unit_test(an_accusation_is_decided_by_one_token),
        cmocka_unit_test(switched_off_it_asks_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
