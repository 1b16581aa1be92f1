#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tiers/vitals.h"

enum { T0 = 1000000, S = 1000 };

static const struct vitals_policy POLICY = {
    .hang_after_ms = 20 * S, .prefill_ms = 10 * S, .stale_ms = 6 * S};
static const struct vitals_policy PATIENT = {
    .hang_after_ms = 20 * S, .prefill_ms = 60 * S, .stale_ms = 6 * S};

static void see(struct vitals *v, uint32_t in_flight, uint64_t content_ms, uint64_t now_ms)
{
    struct stream_signs s = {.in_flight = in_flight, .content_ms = content_ms};
    vitals_see_streams(v, &s, now_ms);
}

/* One attempt in flight whose last content came at T0. */
static struct vitals working(void)
{
    struct vitals v;
    vitals_init(&v);
    see(&v, 1, T0, T0);
    assert_int_equal(vitals_judge(&v, &POLICY, T0), VITAL_FLOWING);
    return v;
}

static void probe(struct vitals *v, const struct vitals_policy *p, uint64_t from_ms,
                  enum probe_end end, uint64_t to_ms)
{
    vitals_begin_probe(v, from_ms);
    vitals_end_probe(v, p, end, to_ms);
}

/* Declared hung at T0 + 20 s. */
static struct vitals hung(void)
{
    struct vitals v = working();
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 10 * S), VITAL_SUSPECT);
    probe(&v, &POLICY, T0 + 10 * S, PROBE_SILENT, T0 + 20 * S);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 20 * S), VITAL_HUNG);
    return v;
}

static struct engine_counters counters(uint64_t generated, uint32_t running, uint32_t waiting)
{
    return (struct engine_counters){
        .generated = generated, .running = running, .waiting = waiting};
}

static void see_counters(struct vitals *v, struct engine_counters c, uint64_t now_ms)
{
    vitals_see_engine(v, &c, now_ms);
}

/* --- our own streams --- */

static void is_idle_while_nothing_is_owed(void **state)
{
    (void)state;
    struct vitals v;
    vitals_init(&v);
    see(&v, 0, 0, T0);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 3600 * S), VITAL_IDLE);
    assert_false(vitals_wants_probe(&v, &POLICY, T0 + 3600 * S));
}

static void silence_counts_from_when_work_began(void **state)
{
    (void)state;
    struct vitals v;
    vitals_init(&v);
    see(&v, 0, T0, T0);
    see(&v, 1, T0, T0 + 100 * S);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 109 * S), VITAL_FLOWING);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 110 * S), VITAL_SUSPECT);
}

static void half_the_patience_asks_for_a_probe_and_all_of_it_is_not_enough(void **state)
{
    (void)state;
    struct vitals v = working();
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 9999), VITAL_FLOWING);
    assert_false(vitals_wants_probe(&v, &POLICY, T0 + 9999));
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 10 * S), VITAL_SUSPECT);
    assert_true(vitals_wants_probe(&v, &POLICY, T0 + 10 * S));
    assert_int_equal(vitals_probe_ms(&v, &POLICY, T0 + 10 * S), 10 * S);
    vitals_begin_probe(&v, T0 + 10 * S);
    assert_false(vitals_wants_probe(&v, &POLICY, T0 + 11 * S));
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 300 * S), VITAL_SUSPECT);
}

static void silence_and_a_failed_probe_are_a_hang(void **state)
{
    (void)state;
    struct vitals v = hung();
    assert_true(vitals_wants_probe(&v, &POLICY, T0 + 22 * S));
}

static void a_probe_that_fails_early_waits_for_the_patience(void **state)
{
    (void)state;
    struct vitals v = working();
    (void)vitals_judge(&v, &POLICY, T0 + 10 * S);
    probe(&v, &POLICY, T0 + 10 * S, PROBE_SILENT, T0 + 10 * S + 5);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 19 * S), VITAL_SUSPECT);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 20 * S), VITAL_HUNG);
}

static void content_of_any_stream_ends_the_suspicion(void **state)
{
    (void)state;
    struct vitals v = working();
    (void)vitals_judge(&v, &POLICY, T0 + 10 * S);
    vitals_begin_probe(&v, T0 + 10 * S);
    see(&v, 1, T0 + 15 * S, T0 + 15 * S);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 15 * S), VITAL_FLOWING);
    /* The late probe stood behind the others. */
    vitals_end_probe(&v, &POLICY, PROBE_SILENT, T0 + 20 * S);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 26 * S), VITAL_SUSPECT);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 60 * S), VITAL_SUSPECT);
    assert_true(vitals_wants_probe(&v, &POLICY, T0 + 60 * S));
}

static void a_token_of_the_probe_is_a_sign_of_life(void **state)
{
    (void)state;
    struct vitals v = working();
    (void)vitals_judge(&v, &POLICY, T0 + 10 * S);
    probe(&v, &POLICY, T0 + 10 * S, PROBE_TOKEN, T0 + 11 * S);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 12 * S), VITAL_FLOWING);
    assert_int_equal(v.token_ms, T0 + 11 * S);
}

static void what_is_hung_stays_so_until_a_token_comes(void **state)
{
    (void)state;
    struct vitals v = hung();
    see(&v, 0, T0, T0 + 21 * S);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 3600 * S), VITAL_HUNG);
    probe(&v, &POLICY, T0 + 3600 * S, PROBE_UNTOLD, T0 + 3601 * S);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 3601 * S), VITAL_HUNG);
    probe(&v, &POLICY, T0 + 3610 * S, PROBE_TOKEN, T0 + 3611 * S);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 3611 * S), VITAL_IDLE);
}

static void probes_of_a_hung_one_are_spaced(void **state)
{
    (void)state;
    struct vitals v = hung();
    static const uint32_t pauses_s[] = {2, 4, 8, 10, 10};
    uint64_t now_ms = T0 + 20 * S;
    for (size_t i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
        uint64_t due_ms = now_ms + pauses_s[i] * S;
        assert_false(vitals_wants_probe(&v, &POLICY, due_ms - 1));
        assert_true(vitals_wants_probe(&v, &POLICY, due_ms));
        assert_int_equal(vitals_probe_ms(&v, &POLICY, due_ms), 10 * S);
        now_ms = due_ms + 10 * S;
        probe(&v, &POLICY, due_ms, PROBE_SILENT, now_ms);
    }
}

static void one_that_cannot_be_asked_is_never_hung(void **state)
{
    (void)state;
    struct vitals v = working();
    (void)vitals_judge(&v, &POLICY, T0 + 10 * S);
    probe(&v, &POLICY, T0 + 10 * S, PROBE_UNASKABLE, T0 + 10 * S);
    assert_true(vitals_is_unaskable(&v, T0 + 11 * S));
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 300 * S), VITAL_SUSPECT);
    assert_false(vitals_wants_probe(&v, &POLICY, T0 + 300 * S));
    assert_true(vitals_wants_probe(&v, &POLICY, T0 + 611 * S));
}

static void nothing_is_ever_suspect_when_it_is_switched_off(void **state)
{
    (void)state;
    const struct vitals_policy off = {.stale_ms = 6 * S};
    struct vitals v = working();
    assert_int_equal(vitals_judge(&v, &off, T0 + 3600 * S), VITAL_FLOWING);
    assert_false(vitals_wants_probe(&v, &off, T0 + 3600 * S));
}

static void one_that_loads_owes_nothing(void **state)
{
    (void)state;
    struct vitals v = working();
    struct stream_signs s = {.in_flight = 3, .content_ms = T0, .is_loading = true};
    vitals_see_streams(&v, &s, T0 + 15 * S);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 300 * S), VITAL_IDLE);
    assert_false(vitals_wants_probe(&v, &POLICY, T0 + 300 * S));
}

static void a_doubted_one_is_asked_at_once_though_it_is_idle(void **state)
{
    (void)state;
    struct vitals v;
    vitals_init(&v);
    struct stream_signs s = {.is_doubted = true};
    vitals_see_streams(&v, &s, T0);
    assert_int_equal(vitals_judge(&v, &POLICY, T0), VITAL_SUSPECT);
    assert_true(vitals_wants_probe(&v, &POLICY, T0));
    assert_int_equal(vitals_probe_ms(&v, &POLICY, T0), 20 * S);
    probe(&v, &POLICY, T0, PROBE_SILENT, T0 + 20 * S);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 20 * S), VITAL_HUNG);
}

/* --- the engine's counters --- */

static void tokens_of_others_are_signs_of_life(void **state)
{
    (void)state;
    struct vitals v = working();
    for (uint64_t t = 0; t <= 3600; t += 2) {
        see_counters(&v, counters(1000 + t, 8, 0), T0 + t * S);
        see(&v, 1, T0, T0 + t * S);
        assert_int_equal(vitals_judge(&v, &POLICY, T0 + t * S), VITAL_FLOWING);
    }
}

static void a_prompt_being_read_is_a_sign_of_life_but_no_token(void **state)
{
    (void)state;
    struct vitals v = working();
    for (uint64_t t = 0; t <= 3600; t += 2) {
        struct engine_counters c = {.prompt = t * 500, .running = 1};
        see_counters(&v, c, T0 + t * S);
        assert_int_equal(vitals_judge(&v, &POLICY, T0 + t * S), VITAL_FLOWING);
    }
    assert_int_equal(v.token_ms, T0);
}

static void memory_that_fills_is_a_prompt_being_read(void **state)
{
    (void)state;
    struct vitals v = working();
    for (uint64_t t = 0; t <= 100; t += 2) {
        struct engine_counters c = {.has_kv = true, .kv_permille = (uint32_t)t, .running = 1};
        see_counters(&v, c, T0 + t * S);
        assert_int_equal(vitals_judge(&v, &POLICY, T0 + t * S), VITAL_FLOWING);
    }
}

static void work_in_a_frozen_engine_is_a_hang_without_a_stream_of_ours(void **state)
{
    (void)state;
    struct vitals v;
    vitals_init(&v);
    see_counters(&v, counters(100, 2, 0), T0);
    see_counters(&v, counters(200, 2, 0), T0 + 2 * S);
    for (uint64_t t = 4; t <= 12; t += 2) {
        see_counters(&v, counters(200, 2, 0), T0 + t * S);
    }
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 12 * S), VITAL_SUSPECT);
    vitals_begin_probe(&v, T0 + 12 * S);
    see_counters(&v, counters(200, 2, 0), T0 + 20 * S);
    vitals_end_probe(&v, &POLICY, PROBE_SILENT, T0 + 22 * S);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 22 * S), VITAL_HUNG);
}

static void a_new_process_is_no_sign_of_life(void **state)
{
    (void)state;
    struct vitals v = hung();
    see_counters(&v, counters(5000, 0, 0), T0 + 30 * S);
    see_counters(&v, counters(0, 0, 0), T0 + 32 * S);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 32 * S), VITAL_HUNG);
    see_counters(&v, counters(1, 1, 0), T0 + 34 * S);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 34 * S), VITAL_FLOWING);
}

static void saturation_with_tokens_is_busy(void **state)
{
    (void)state;
    static const struct engine_counters rows[] = {
        {.generated = 9, .running = 8, .waiting = 1},
        {.generated = 9, .running = 8, .has_kv = true, .kv_permille = 950},
        {.generated = 9, .running = 4, .slots = 4},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vitals v = working();
        struct engine_counters before = rows[i];
        before.generated = 1;
        see_counters(&v, before, T0);
        see_counters(&v, rows[i], T0 + 2 * S);
        assert_int_equal(vitals_judge(&v, &POLICY, T0 + 2 * S), VITAL_BUSY);
        assert_int_equal(vitals_judge(&v, &POLICY, T0 + 12 * S), VITAL_SUSPECT);
    }
}

static void counters_that_are_not_told_any_more_are_not_known(void **state)
{
    (void)state;
    struct vitals v;
    vitals_init(&v);
    see_counters(&v, counters(5, 3, 3), T0);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 5999), VITAL_BUSY);
    assert_int_equal(vitals_judge(&v, &POLICY, T0 + 6000), VITAL_IDLE);
    assert_false(v.has_engine);
}

/* --- patience with prompts --- */

static void without_counters_a_long_prompt_is_waited_for(void **state)
{
    (void)state;
    struct vitals v = working();
    assert_int_equal(vitals_judge(&v, &PATIENT, T0 + 29 * S), VITAL_FLOWING);
    assert_int_equal(vitals_judge(&v, &PATIENT, T0 + 30 * S), VITAL_SUSPECT);
    assert_int_equal(vitals_probe_ms(&v, &PATIENT, T0 + 30 * S), 30 * S);
    probe(&v, &PATIENT, T0 + 30 * S, PROBE_SILENT, T0 + 59 * S);
    assert_int_equal(vitals_judge(&v, &PATIENT, T0 + 59 * S), VITAL_SUSPECT);
    assert_int_equal(vitals_judge(&v, &PATIENT, T0 + 60 * S), VITAL_HUNG);
}

static void counters_that_have_moved_shorten_that(void **state)
{
    (void)state;
    struct vitals v = working();
    see_counters(&v, counters(5, 1, 0), T0 - 2 * S);
    see_counters(&v, counters(6, 1, 0), T0);
    see_counters(&v, counters(6, 1, 0), T0 + 9 * S);
    assert_int_equal(vitals_judge(&v, &PATIENT, T0 + 10 * S), VITAL_SUSPECT);
}

static void unless_they_say_that_it_may_be_a_prompt(void **state)
{
    (void)state;
    struct vitals v = working();
    struct engine_counters c = {.generated = 6, .running = 1, .may_prefill = true};
    see_counters(&v, counters(5, 1, 0), T0 - 2 * S);
    see_counters(&v, c, T0);
    see_counters(&v, c, T0 + 28 * S);
    assert_int_equal(vitals_judge(&v, &PATIENT, T0 + 29 * S), VITAL_FLOWING);
    assert_int_equal(vitals_judge(&v, &PATIENT, T0 + 30 * S), VITAL_SUSPECT);
}

static void or_stand_still_while_our_streams_get_tokens(void **state)
{
    (void)state;
    struct vitals v = working();
    see_counters(&v, counters(5, 0, 0), T0);
    see_counters(&v, counters(6, 0, 0), T0 + 2 * S);
    see_counters(&v, counters(6, 0, 0), T0 + 20 * S);
    see(&v, 1, T0 + 20 * S, T0 + 20 * S);
    see_counters(&v, counters(6, 0, 0), T0 + 49 * S);
    assert_int_equal(vitals_judge(&v, &PATIENT, T0 + 49 * S), VITAL_FLOWING);
    assert_int_equal(vitals_judge(&v, &PATIENT, T0 + 50 * S), VITAL_SUSPECT);
}

static void words_are_told_apart(void **state)
{
    (void)state;
    assert_null(vital_name(VITAL_UNKNOWN));
    assert_string_equal(vital_name(VITAL_IDLE), "idle");
    assert_string_equal(vital_name(VITAL_FLOWING), "flowing");
    assert_string_equal(vital_name(VITAL_BUSY), "busy");
    assert_string_equal(vital_name(VITAL_SUSPECT), "suspect");
    assert_string_equal(vital_name(VITAL_HUNG), "hung");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_idle_while_nothing_is_owed),
        cmocka_unit_test(silence_counts_from_when_work_began),
        cmocka_unit_test(half_the_patience_asks_for_a_probe_and_all_of_it_is_not_enough),
        cmocka_unit_test(silence_and_a_failed_probe_are_a_hang),
        cmocka_unit_test(a_probe_that_fails_early_waits_for_the_patience),
        cmocka_unit_test(content_of_any_stream_ends_the_suspicion),
        cmocka_unit_test(a_token_of_the_probe_is_a_sign_of_life),
        cmocka_unit_test(what_is_hung_stays_so_until_a_token_comes),
        cmocka_unit_test(probes_of_a_hung_one_are_spaced),
        cmocka_unit_test(one_that_cannot_be_asked_is_never_hung),
        cmocka_unit_test(nothing_is_ever_suspect_when_it_is_switched_off),
        cmocka_unit_test(one_that_loads_owes_nothing),
        cmocka_unit_test(a_doubted_one_is_asked_at_once_though_it_is_idle),
        cmocka_unit_test(tokens_of_others_are_signs_of_life),
        cmocka_unit_test(a_prompt_being_read_is_a_sign_of_life_but_no_token),
        cmocka_unit_test(memory_that_fills_is_a_prompt_being_read),
        cmocka_unit_test(work_in_a_frozen_engine_is_a_hang_without_a_stream_of_ours),
        cmocka_unit_test(a_new_process_is_no_sign_of_life),
        cmocka_unit_test(saturation_with_tokens_is_busy),
        cmocka_unit_test(counters_that_are_not_told_any_more_are_not_known),
        cmocka_unit_test(without_counters_a_long_prompt_is_waited_for),
        cmocka_unit_test(counters_that_have_moved_shorten_that),
        cmocka_unit_test(unless_they_say_that_it_may_be_a_prompt),
        cmocka_unit_test(or_stand_still_while_our_streams_get_tokens),
        cmocka_unit_test(words_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
