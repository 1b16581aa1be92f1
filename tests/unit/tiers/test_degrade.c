#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tiers/degrade.h"

static const struct degrade_policy NONE = {0};
static const struct degrade_policy CAP_200 = {.has_max_tokens = true, .max_tokens = 200};
static const struct degrade_policy CAP_1000 = {.has_max_tokens = true, .max_tokens = 1000};
static const struct degrade_policy COLD = {.has_temperature = true, .temperature = 0.0};
static const struct degrade_policy NOTICE = {.notice = STR_INIT("slow")};
static const struct degrade_policy LLAMACPP = {
    .has_max_tokens = true,
    .max_tokens = 200,
    .has_temperature = true,
    .notice = STR_INIT("Response from fallback"),
};

static void changes_nothing_without_a_policy(void **state)
{
    (void)state;
    struct degrade_plan plan = degrade_decide(&NONE, true, 100000, true, 2.0);
    assert_false(plan.set_max_tokens);
    assert_false(plan.set_temperature);
    assert_false(plan.is_degraded);
    assert_string_equal(degrade_words(&plan), "");
}

static void caps_only_requests_over_the_cap(void **state)
{
    (void)state;
    static const struct {
        const struct degrade_policy *policy;
        bool has_requested;
        uint64_t requested;
        bool set;
        uint64_t max_tokens;
    } rows[] = {
        {&CAP_200, true, 199, false, 0},  {&CAP_200, true, 200, false, 0},
        {&CAP_200, true, 201, true, 200}, {&CAP_200, true, UINT64_MAX, true, 200},
        {&CAP_200, true, 0, false, 0},    {&CAP_200, false, 0, true, 200},
        {&CAP_200, false, 7, true, 200},  {&CAP_1000, false, 0, true, 500},
        {&CAP_1000, true, 700, false, 0}, {&CAP_1000, true, 1001, true, 1000},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct degrade_plan plan =
            degrade_decide(rows[i].policy, rows[i].has_requested, rows[i].requested, false, 0);
        assert_int_equal(plan.set_max_tokens, rows[i].set);
        assert_int_equal(plan.max_tokens, rows[i].max_tokens);
        assert_int_equal(plan.is_degraded, rows[i].set);
        assert_string_equal(degrade_words(&plan), rows[i].set ? "max_tokens" : "");
    }
}

static void sets_a_temperature_that_differs(void **state)
{
    (void)state;
    struct degrade_plan absent = degrade_decide(&COLD, true, 10, false, 0.0);
    assert_true(absent.set_temperature);
    assert_true(absent.temperature == 0.0);
    assert_true(absent.is_degraded);
    assert_string_equal(degrade_words(&absent), "temperature");
    struct degrade_plan other = degrade_decide(&COLD, true, 10, true, 0.7);
    assert_true(other.set_temperature);
    struct degrade_plan same = degrade_decide(&COLD, true, 10, true, 0.0);
    assert_false(same.set_temperature);
    assert_false(same.is_degraded);
}

static void a_notice_alone_makes_an_answer_degraded(void **state)
{
    (void)state;
    struct degrade_plan plan = degrade_decide(&NOTICE, false, 0, false, 0);
    assert_false(plan.set_max_tokens);
    assert_false(plan.set_temperature);
    assert_true(plan.is_degraded);
    assert_string_equal(degrade_words(&plan), "notice");
}

static void says_all_that_was_changed(void **state)
{
    (void)state;
    struct degrade_plan both = degrade_decide(&LLAMACPP, true, 4096, true, 1.0);
    assert_string_equal(degrade_words(&both), "max_tokens,temperature");
    assert_int_equal(both.max_tokens, 200);
    struct degrade_plan neither = degrade_decide(&LLAMACPP, true, 20, true, 0.0);
    assert_true(neither.is_degraded);
    assert_string_equal(degrade_words(&neither), "notice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_nothing_without_a_policy),
        cmocka_unit_test(caps_only_requests_over_the_cap),
        cmocka_unit_test(sets_a_temperature_that_differs),
        cmocka_unit_test(a_notice_alone_makes_an_answer_degraded),
        cmocka_unit_test(says_all_that_was_changed),
    };
    return cmocka_run_group_tests_name("tiers/degrade", tests, NULL, NULL);
}
