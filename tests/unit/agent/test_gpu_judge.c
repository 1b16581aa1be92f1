#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "judging.h"

static void an_xid_does_what_its_class_says(void **state)
{
    static const struct {
        uint32_t xid;
        enum gpu_state state;
        const char *word;
    } cases[] = {{79, GPU_DOWN, "gpu_lost"},       {151, GPU_DOWN, "reboot_required"},
                 {48, GPU_DOWN, "reset_required"}, {63, GPU_DEGRADED, "maintenance"},
                 {31, GPU_DEGRADED, "app_error"},  {62000, GPU_DEGRADED, "xid"},
                 {74, GPU_DEGRADED, "xid"},        {43, GPU_HEALTHY, "ok"},
                 {154, GPU_HEALTHY, "ok"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct judging t;
        set_up(&t);
        see_xid(&t, cases[i].xid);
        expect(&t, cases[i].state, cases[i].word);
    }
}

static void the_graver_reason_counts_and_the_other_is_not_forgotten(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    see_xid(&t, 31);
    see_xid(&t, 79);
    expect(&t, GPU_DOWN, "gpu_lost");
    assert_true(t.judge.ailment[AILMENT_APP].is_active);
    see_xid(&t, 63);
    expect(&t, GPU_DOWN, "gpu_lost");
}

static void silence_is_no_recovery(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    see_xid(&t, 95);
    read_times(&t, 10000);
    expect(&t, GPU_DOWN, "reset_required");
}

static void fleeting_ones_end_by_themselves_and_repeats_prolong_them(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    see_xid(&t, 31);
    pass(&t, t.policy.app_hold_ms - 1);
    see_xid(&t, 31);
    pass(&t, t.policy.app_hold_ms - 1);
    expect(&t, GPU_DEGRADED, "app_error");
    pass(&t, 1);
    expect(&t, GPU_HEALTHY, "ok");
}

static void three_in_the_window_are_down_and_two_or_slow_ones_are_not(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    for (int i = 0; i < 20; i++) {
        see_xid(&t, 31);
        expect(&t, GPU_DEGRADED, "app_error");
        pass(&t, t.policy.app_window_ms / 2 + 1);
    }
    pass(&t, t.policy.app_window_ms);
    see_xid(&t, 31);
    see_xid(&t, 13);
    see_xid(&t, 94);
    expect(&t, GPU_DOWN, "repeated_app_errors");
}

static void the_other_sources_word_is_not_counted_again(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    struct xid_event e = event_of(31);
    for (int i = 0; i < 10; i++) {
        gpu_judge_xid(&t.judge, &e, false, false, t.now_ms);
    }
    expect(&t, GPU_DEGRADED, "app_error");
}

static void another_programs_error_is_only_noted_whoever_tells_first(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    struct xid_event e = event_of(31);
    gpu_judge_xid(&t.judge, &e, true, true, t.now_ms);
    expect(&t, GPU_HEALTHY, "ok");
    gpu_judge_xid(&t.judge, &e, true, false, t.now_ms); /* NVML, which names nobody */
    expect(&t, GPU_DEGRADED, "app_error");
    gpu_judge_xid(&t.judge, &e, false, true, t.now_ms + 10);
    expect(&t, GPU_HEALTHY, "ok");
}

static void a_text_may_make_the_same_xid_graver(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    struct xid_event e = event_of(149);
    gpu_judge_xid(&t.judge, &e, true, false, t.now_ms);
    expect(&t, GPU_DEGRADED, "xid");
    e.is_fatal = true;
    gpu_judge_xid(&t.judge, &e, false, false, t.now_ms);
    expect(&t, GPU_DOWN, "reset_required");
}

static void a_recovery_action_speaks_by_its_text(void **state)
{
    static const struct {
        int64_t action;
        const char *word;
    } cases[] = {{RECOVERY_RESET, "reset_required"},
                 {RECOVERY_DRAIN_RESET, "reset_required"},
                 {RECOVERY_REBOOT, "reboot_required"},
                 {RECOVERY_DRAIN_P2P, "fabric"},
                 {RECOVERY_IMEX, "fabric"},
                 {77, "fabric"},
                 {RECOVERY_NONE, "ok"},
                 {-1, "ok"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct judging t;
        set_up(&t);
        struct xid_event e = event_of(154);
        e.action = cases[i].action;
        gpu_judge_xid(&t.judge, &e, true, false, t.now_ms);
        assert_string_equal(gpu_judge_verdict(&t.judge).word, cases[i].word);
    }
}

static void history_latches_but_does_not_linger(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    struct xid_event e = event_of(31);
    e.is_history = true;
    gpu_judge_xid(&t.judge, &e, true, false, t.now_ms);
    expect(&t, GPU_HEALTHY, "ok");
    e.xid = 95;
    gpu_judge_xid(&t.judge, &e, true, false, t.now_ms);
    expect(&t, GPU_DOWN, "reset_required");
    read_times(&t, 10); /* no recovery action is known: it stays */
    expect(&t, GPU_DOWN, "reset_required");
    t.reading.v[READING_RECOVERY_ACTION] = RECOVERY_NONE;
    read_times(&t, 3);
    expect(&t, GPU_HEALTHY, "ok");
    see_xid(&t, 95); /* a new one is not explained away so */
    read_times(&t, 10);
    expect(&t, GPU_DOWN, "reset_required");
}

static void lateness_is_degraded_and_down_only_with_more(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    gpu_judge_late(&t.judge, t.policy.hung_after_ms - 1, t.now_ms);
    expect(&t, GPU_HEALTHY, "ok");
    gpu_judge_late(&t.judge, t.policy.hung_after_ms, t.now_ms);
    expect(&t, GPU_DEGRADED, "driver_late");
    gpu_judge_late(&t.judge, 3600000, t.now_ms);
    expect(&t, GPU_DEGRADED, "driver_late");
    gpu_judge_gsp(&t.judge, t.now_ms);
    gpu_judge_late(&t.judge, 3600000, t.now_ms);
    expect(&t, GPU_DOWN, "driver_hung");
    gpu_judge_on_time(&t.judge, t.policy.on_time - 1, t.now_ms);
    expect(&t, GPU_DOWN, "driver_hung");
    gpu_judge_on_time(&t.judge, t.policy.on_time, t.now_ms);
    expect(&t, GPU_HEALTHY, "ok");
}

static void lateness_alone_is_down_where_the_configuration_says_so(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    t.policy.hung_down_after_ms = 60000;
    gpu_judge_late(&t.judge, 59999, t.now_ms);
    expect(&t, GPU_DEGRADED, "driver_late");
    gpu_judge_late(&t.judge, 60000, t.now_ms);
    expect(&t, GPU_DOWN, "driver_hung");
}

static void an_operator_lifts_latches_and_not_what_is_still_seen(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    see_xid(&t, 79);
    see_xid(&t, 151);
    see_xid(&t, 48);
    see_xid(&t, 31);
    gpu_judge_late(&t.judge, t.policy.hung_after_ms, t.now_ms);
    assert_true(gpu_judge_clear(&t.judge, t.now_ms));
    expect(&t, GPU_DEGRADED, "driver_late");
    assert_false(gpu_judge_clear(&t.judge, t.now_ms));
}

static void since_is_when_the_state_changed(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    pass(&t, 5000);
    see_xid(&t, 31);
    uint64_t since_ms = gpu_judge_verdict(&t.judge).since_ms;
    assert_int_equal(since_ms, t.now_ms);
    pass(&t, 1000);
    see_xid(&t, 63); /* also DEGRADED */
    assert_int_equal(gpu_judge_verdict(&t.judge).since_ms, since_ms);
    see_xid(&t, 79);
    assert_int_equal(gpu_judge_verdict(&t.judge).since_ms, t.now_ms);
}

static void words_are_found_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < AILMENT_COUNT; i++) {
        enum ailment_kind kind;
        assert_true(ailment_find(str_from(AILMENT_ROWS[i].word), &kind));
        assert_int_equal(kind, i);
        assert_true(i == 0 || AILMENT_ROWS[i].state <= AILMENT_ROWS[i - 1].state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_xid_does_what_its_class_says),
        cmocka_unit_test(the_graver_reason_counts_and_the_other_is_not_forgotten),
        cmocka_unit_test(silence_is_no_recovery),
        cmocka_unit_test(fleeting_ones_end_by_themselves_and_repeats_prolong_them),
        cmocka_unit_test(three_in_the_window_are_down_and_two_or_slow_ones_are_not),
        cmocka_unit_test(the_other_sources_word_is_not_counted_again),
        cmocka_unit_test(another_programs_error_is_only_noted_whoever_tells_first),
        cmocka_unit_test(a_text_may_make_the_same_xid_graver),
        cmocka_unit_test(a_recovery_action_speaks_by_its_text),
        cmocka_unit_test(history_latches_but_does_not_linger),
        cmocka_unit_test(lateness_is_degraded_and_down_only_with_more),
        cmocka_unit_test(lateness_alone_is_down_where_the_configuration_says_so),
        cmocka_unit_test(an_operator_lifts_latches_and_not_what_is_still_seen),
        cmocka_unit_test(since_is_when_the_state_changed),
        cmocka_unit_test(words_are_found_again),
    };
    return cmocka_run_group_tests_name("agent/gpu_judge", tests, NULL, NULL);
}
