#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tiers/dcgm_judge.h"

enum { T0 = 1000000 };

static struct dcgm_figures nothing(void)
{
    double none = (double)NAN;
    return (struct dcgm_figures){none, none, none, none, none, none};
}

static struct gpu_news see(struct dcgm_judge *j, struct dcgm_figures f, uint64_t now_ms)
{
    struct gpu_news n = {.health = GPUS_UNKNOWN};
    dcgm_judge_see(j, &f, now_ms, &n);
    return n;
}

static void single_figures_mean_what_the_table_says(void **state)
{
    (void)state;
    const double none = (double)NAN;
    const struct {
        double recovery, xid, unmapped;
        enum gpu_health health;
        enum counsel counsel;
        const char *reason;
    } rows[] = {
        {none, none, none, GPUS_HEALTHY, COUNSEL_NONE, "ok"},
        {0, 0, 0, GPUS_HEALTHY, COUNSEL_NONE, "ok"},
        {1, none, none, GPUS_DOWN, COUNSEL_CUT, "reset_required"},
        {2, none, none, GPUS_DOWN, COUNSEL_CUT, "reboot_required"},
        {3, none, none, GPUS_DEGRADED, COUNSEL_DRAIN, "fabric"},
        {4, none, none, GPUS_DOWN, COUNSEL_CUT, "reset_required"},
        {9, none, none, GPUS_DEGRADED, COUNSEL_DRAIN, "fabric"},
        {none, 79, none, GPUS_DOWN, COUNSEL_CUT, "gpu_lost"},
        {0, 79, none, GPUS_DOWN, COUNSEL_CUT, "gpu_lost"},
        {none, 48, none, GPUS_DOWN, COUNSEL_CUT, "reset_required"},
        {none, 95, none, GPUS_DOWN, COUNSEL_CUT, "reset_required"},
        {0, 95, none, GPUS_HEALTHY, COUNSEL_NONE, "ok"}, /* long over */
        {none, 31, none, GPUS_HEALTHY, COUNSEL_NONE, "ok"},
        {none, 94, none, GPUS_HEALTHY, COUNSEL_NONE, "ok"},
        {none, none, 1, GPUS_DOWN, COUNSEL_DRAIN, "memory_worn"},
        {-1, -5, -1, GPUS_HEALTHY, COUNSEL_NONE, "ok"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dcgm_judge j = {.has_dbe = false};
        struct dcgm_figures f = nothing();
        f.recovery = rows[i].recovery;
        f.xid = rows[i].xid;
        f.unmapped = rows[i].unmapped;
        struct gpu_news n = see(&j, f, T0);
        assert_int_equal(n.health, rows[i].health);
        assert_int_equal(n.counsel, rows[i].counsel);
        assert_string_equal(n.reason, rows[i].reason);
    }
}

static void heat_enters_after_a_while_and_leaves_after_a_longer_one(void **state)
{
    (void)state;
    struct dcgm_judge j = {.has_dbe = false};
    struct dcgm_figures cool = nothing();
    struct dcgm_figures hot = nothing();
    cool.clocks = 0x4; /* a power cap is normal */
    hot.clocks = 0x40;
    assert_int_equal(see(&j, hot, T0).counsel, COUNSEL_NONE);
    assert_int_equal(see(&j, cool, T0 + 4000).counsel, COUNSEL_NONE);
    assert_int_equal(see(&j, hot, T0 + 6000).counsel, COUNSEL_NONE);
    assert_int_equal(see(&j, hot, T0 + 10999).counsel, COUNSEL_NONE);
    struct gpu_news n = see(&j, hot, T0 + 11000);
    assert_int_equal(n.counsel, COUNSEL_SPARE);
    assert_string_equal(n.reason, "hw_thermal");
    assert_int_equal(see(&j, cool, T0 + 12000).counsel, COUNSEL_SPARE);
    assert_int_equal(see(&j, cool, T0 + 71999).counsel, COUNSEL_SPARE);
    assert_int_equal(see(&j, cool, T0 + 72000).counsel, COUNSEL_NONE);
}

static void each_kind_of_heat_has_its_word(void **state)
{
    (void)state;
    const struct {
        double clocks, memory_c;
        const char *reason;
    } rows[] = {{0x80, 0, "power_brake"}, {0x08, 0, "hw_thermal"}, {0xe0, 0, "power_brake"},
                {0x20, 0, "sw_thermal"},  {0, 95, "memory_hot"},   {0x20, 99, "memory_hot"},
                {0x107, 94, "ok"},        {-1, -1, "ok"},          {1e300, 0, "ok"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dcgm_judge j = {.has_dbe = false};
        struct dcgm_figures f = nothing();
        f.clocks = rows[i].clocks;
        f.memory_c = rows[i].memory_c;
        (void)see(&j, f, T0);
        assert_string_equal(see(&j, f, T0 + HOT_AFTER_MS).reason, rows[i].reason);
    }
}

static void uncorrected_errors_count_while_they_are_more_than_at_first(void **state)
{
    (void)state;
    struct dcgm_judge j = {.has_dbe = false};
    struct dcgm_figures f = nothing();
    f.dbe = 4; /* there before we were */
    assert_int_equal(see(&j, f, T0).counsel, COUNSEL_NONE);
    f.dbe = 5;
    assert_string_equal(see(&j, f, T0 + 1).reason, "uncorrected_ecc");
    assert_int_equal(see(&j, nothing(), T0 + 2).counsel, COUNSEL_NONE); /* not told */
    assert_int_equal(see(&j, f, T0 + 3).counsel, COUNSEL_CUT);
    f.dbe = 0; /* a reset */
    assert_int_equal(see(&j, f, T0 + 4).counsel, COUNSEL_NONE);
    f.dbe = 1;
    assert_int_equal(see(&j, f, T0 + 5).counsel, COUNSEL_CUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_figures_mean_what_the_table_says),
        cmocka_unit_test(heat_enters_after_a_while_and_leaves_after_a_longer_one),
        cmocka_unit_test(each_kind_of_heat_has_its_word),
        cmocka_unit_test(uncorrected_errors_count_while_they_are_more_than_at_first),
    };
    return cmocka_run_group_tests_name("tiers/dcgm_judge", tests, NULL, NULL);
}
