#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/nvml_abi.h"
#include "judging.h"

static void heat_enters_with_three_of_five_and_leaves_slowly(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    t.reading.v[READING_REASONS] = NVML_HW_THERMAL;
    read_times(&t, 2);
    expect(&t, GPU_HEALTHY, "ok");
    read_times(&t, 1);
    expect(&t, GPU_DEGRADED, "hw_thermal");
    t.reading.v[READING_REASONS] = 0;
    t.reading.v[READING_TEMP] = 86; /* not five degrees below 90 */
    read_times(&t, 200);
    expect(&t, GPU_DEGRADED, "hw_thermal");
    t.reading.v[READING_TEMP] = 85;
    read_times(&t, 4);
    expect(&t, GPU_DEGRADED, "hw_thermal");
    read_times(&t, 1);
    expect(&t, GPU_HEALTHY, "ok");
}

static void heat_lasts_for_the_hold_at_least(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    t.reading.v[READING_REASONS] = NVML_HW_THERMAL;
    read_times(&t, 3);
    t.reading.v[READING_REASONS] = 0;
    read_times(&t, 59);
    expect(&t, GPU_DEGRADED, "hw_thermal");
    read_times(&t, 1);
    expect(&t, GPU_HEALTHY, "ok");
}

static void heat_that_comes_and_goes_does_not_flap(void **state)
{
    struct judging t;
    int changes = 0;
    (void)state;
    set_up(&t);
    enum gpu_state before = GPU_HEALTHY;
    for (int i = 0; i < 600; i++) {
        t.reading.v[READING_REASONS] = i % 5 < 3 ? NVML_HW_THERMAL : 0;
        read_times(&t, 1);
        enum gpu_state now = gpu_judge_verdict(&t.judge).state;
        changes += now != before;
        before = now;
    }
    assert_int_equal(changes, 1);
}

static void two_of_five_is_no_heat(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    for (int i = 0; i < 100; i++) {
        t.reading.v[READING_REASONS] = i % 5 < 2 ? NVML_HW_THERMAL : 0;
        read_times(&t, 1);
        expect(&t, GPU_HEALTHY, "ok");
    }
}

static void bits_mean_what_the_table_says(void **state)
{
    static const struct {
        int64_t bits;
        const char *word;
    } cases[] = {{0x01, "ok"},          {0x02, "ok"},          {0x04, "ok"},
                 {0x08, "hw_thermal"},  {0x10, "ok"},          {0x20, "sw_thermal"},
                 {0x40, "hw_thermal"},  {0x80, "power_brake"}, {0x100, "ok"},
                 {0x88, "power_brake"}, {0x48, "hw_thermal"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct judging t;
        set_up(&t);
        t.reading.v[READING_REASONS] = cases[i].bits;
        read_times(&t, 5);
        expect(&t, cases[i].word[0] == 'o' ? GPU_HEALTHY : GPU_DEGRADED, cases[i].word);
    }
}

static void time_counters_count_as_shares(void **state)
{
    static const struct {
        enum reading_key key;
        int64_t ns_a_second;
        const char *word;
    } cases[] = {{READING_NS_HW_THERMAL, 100000000, "ok"},
                 {READING_NS_HW_THERMAL, 101000000, "hw_thermal"},
                 {READING_NS_POWER_BRAKE, 101000000, "power_brake"},
                 {READING_NS_SW_THERMAL, 250000000, "ok"},
                 {READING_NS_SW_THERMAL, 251000000, "sw_thermal"},
                 {READING_NS_POWER_CAP, 1000000000, "ok"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct judging t;
        set_up(&t);
        t.reading.v[cases[i].key] = 5000000000;
        for (int k = 0; k < 6; k++) {
            read_times(&t, 1);
            t.reading.v[cases[i].key] += cases[i].ns_a_second;
        }
        expect(&t, cases[i].word[0] == 'o' ? GPU_HEALTHY : GPU_DEGRADED, cases[i].word);
    }
}

static void counters_that_begin_anew_are_no_share(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    t.reading.v[READING_NS_HW_THERMAL] = INT64_MAX;
    read_times(&t, 1);
    t.reading.v[READING_NS_HW_THERMAL] = 0;
    read_times(&t, 1);
    assert_int_equal(t.judge.share_per_10k[1], READING_NONE);
    t.reading.v[READING_NS_HW_THERMAL] = INT64_MAX;
    read_times(&t, 1);
    assert_int_equal(t.judge.share_per_10k[1], 10000);
}

static void near_shutdown_is_down_at_once_and_until_cool_for_the_hold(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    t.reading.v[READING_TEMP] = 91;
    read_times(&t, 5);
    expect(&t, GPU_HEALTHY, "ok");
    t.reading.v[READING_TEMP] = 92;
    read_times(&t, 1);
    expect(&t, GPU_DOWN, "near_shutdown_temperature");
    t.reading.v[READING_TEMP] = 84;
    read_times(&t, 60);
    expect(&t, GPU_DOWN, "near_shutdown_temperature");
    t.reading.v[READING_TEMP] = 86;
    read_times(&t, 1);
    t.reading.v[READING_TEMP] = 84;
    read_times(&t, 60);
    expect(&t, GPU_DOWN, "near_shutdown_temperature");
    read_times(&t, 1);
    expect(&t, GPU_HEALTHY, "ok");
}

static void memory_is_judged_by_the_boards_limit_or_ours(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    t.reading.v[READING_TEMP_MEMORY] = 96;
    t.reading.v[READING_LIMIT_MEMORY] = 105;
    read_times(&t, 5);
    expect(&t, GPU_HEALTHY, "ok");
    t.reading.v[READING_LIMIT_MEMORY] = READING_NONE;
    read_times(&t, 5);
    expect(&t, GPU_DEGRADED, "memory_hot");
}

static void a_handle_that_fails_once_is_not_lost(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    t.reading.fault = NVML_UNKNOWN;
    t.reading.is_handle_lost = true;
    read_times(&t, 1);
    expect(&t, GPU_HEALTHY, "ok");
    read_times(&t, 1);
    expect(&t, GPU_DOWN, "gpu_lost");
}

static void worn_memory_is_for_the_operator(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    t.reading.v[READING_PAGES_SINGLE] = 60;
    t.reading.v[READING_PAGES_DOUBLE] = 2;
    read_times(&t, 3);
    expect(&t, GPU_HEALTHY, "ok");
    t.reading.v[READING_PAGES_DOUBLE] = 3;
    read_times(&t, 1);
    expect(&t, GPU_DOWN, "memory_worn");
    t.reading.v[READING_PAGES_DOUBLE] = 0;
    read_times(&t, 100);
    expect(&t, GPU_DOWN, "memory_worn");
    assert_true(gpu_judge_clear(&t.judge, t.now_ms));
    expect(&t, GPU_HEALTHY, "ok");
}

static void an_unexplained_ecc_error_waits_for_its_xid(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    read_times(&t, 1);
    t.reading.v[READING_ECC_UNCORRECTED] = 1;
    read_times(&t, 1);
    expect(&t, GPU_HEALTHY, "ok");
    pass(&t, t.policy.ecc_grace_ms);
    expect(&t, GPU_DOWN, "uncorrected_ecc");

    set_up(&t);
    read_times(&t, 1);
    t.reading.v[READING_ECC_UNCORRECTED] = 1;
    read_times(&t, 1);
    see_xid(&t, 94);
    pass(&t, t.policy.ecc_grace_ms);
    expect(&t, GPU_DEGRADED, "app_error");
}

static void ecc_errors_of_before_the_first_look_are_no_news(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    t.reading.v[READING_ECC_UNCORRECTED] = 9;
    read_times(&t, 20);
    expect(&t, GPU_HEALTHY, "ok");
}

static void a_reset_is_known_by_what_it_leaves_behind(void **state)
{
    struct judging t;
    (void)state;
    /* An action asked for, and no more. */
    set_up(&t);
    t.reading.v[READING_RECOVERY_ACTION] = RECOVERY_RESET;
    read_times(&t, 1);
    expect(&t, GPU_DOWN, "reset_required");
    t.reading.v[READING_RECOVERY_ACTION] = RECOVERY_NONE;
    read_times(&t, 2);
    expect(&t, GPU_DOWN, "reset_required");
    read_times(&t, 1);
    expect(&t, GPU_HEALTHY, "ok");
    /* Counters that begin anew. */
    see_xid(&t, 95);
    read_times(&t, 20);
    expect(&t, GPU_DOWN, "reset_required");
    t.reading.v[READING_ENERGY_MJ] = 1;
    read_times(&t, 1);
    expect(&t, GPU_HEALTHY, "ok");
    /* NVML that refused and does no more. */
    t.reading.fault = NVML_RESET_REQUIRED;
    read_times(&t, 1);
    expect(&t, GPU_DOWN, "reset_required");
    t.reading.fault = 0;
    read_times(&t, 3);
    expect(&t, GPU_HEALTHY, "ok");
}

static void a_reboot_is_not_replaced_by_a_reset(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    t.reading.v[READING_RECOVERY_ACTION] = RECOVERY_REBOOT;
    read_times(&t, 1);
    t.reading.v[READING_RECOVERY_ACTION] = RECOVERY_NONE;
    t.reading.v[READING_ENERGY_MJ] = 1;
    read_times(&t, 50);
    expect(&t, GPU_DOWN, "reboot_required");
}

static void what_is_not_known_is_no_alarm(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    reading_clear(&t.reading);
    read_times(&t, 100);
    expect(&t, GPU_HEALTHY, "ok");
}

static void maintenance_is_over_when_nothing_is_pending(void **state)
{
    struct judging t;
    (void)state;
    set_up(&t);
    see_xid(&t, 63);
    read_times(&t, 50);
    expect(&t, GPU_DEGRADED, "maintenance"); /* nobody says whether a row is pending */
    assert_int_equal(gpu_judge_verdict(&t.judge).advice, ADVICE_SERVE);
    t.reading.v[READING_ROWS_PENDING] = 1;
    read_times(&t, 50);
    expect(&t, GPU_DEGRADED, "maintenance");
    t.reading.v[READING_ROWS_PENDING] = 0;
    read_times(&t, 5);
    expect(&t, GPU_HEALTHY, "ok");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heat_enters_with_three_of_five_and_leaves_slowly),
        cmocka_unit_test(heat_lasts_for_the_hold_at_least),
        cmocka_unit_test(heat_that_comes_and_goes_does_not_flap),
        cmocka_unit_test(two_of_five_is_no_heat),
        cmocka_unit_test(bits_mean_what_the_table_says),
        cmocka_unit_test(time_counters_count_as_shares),
        cmocka_unit_test(counters_that_begin_anew_are_no_share),
        cmocka_unit_test(near_shutdown_is_down_at_once_and_until_cool_for_the_hold),
        cmocka_unit_test(memory_is_judged_by_the_boards_limit_or_ours),
        cmocka_unit_test(a_handle_that_fails_once_is_not_lost),
        cmocka_unit_test(worn_memory_is_for_the_operator),
        cmocka_unit_test(an_unexplained_ecc_error_waits_for_its_xid),
        cmocka_unit_test(ecc_errors_of_before_the_first_look_are_no_news),
        cmocka_unit_test(a_reset_is_known_by_what_it_leaves_behind),
        cmocka_unit_test(a_reboot_is_not_replaced_by_a_reset),
        cmocka_unit_test(what_is_not_known_is_no_alarm),
        cmocka_unit_test(maintenance_is_over_when_nothing_is_pending),
    };
    return cmocka_run_group_tests_name("agent/gpu_judge_reading", tests, NULL, NULL);
}
