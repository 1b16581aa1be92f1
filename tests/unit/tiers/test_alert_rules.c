#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alert_scene.h"

/* --- one backend --- */

static void an_outage_is_told_when_it_has_lasted_and_when_it_is_over(void **state)
{
    (void)state;
    stage("0/1");
    down(0);
    pass(FOR - 1);
    assert_told("");
    pass(1);
    assert_told("opened b0 b0->b1");
    pass(600000);
    assert_told("");
    up(0);
    pass(SETTLE - 1);
    assert_told("");
    pass(1);
    assert_told("over b0 b1->b0");
    pass(600000);
    assert_told("");
}

static void the_alert_says_what_is_wrong_and_what_is_done(void **state)
{
    (void)state;
    stage("0/1");
    down(0);
    pass(FOR);
    const struct alert *a = last_told();
    assert_int_equal(a->incident, 1);
    assert_int_equal(a->severity, SEVERITY_ERROR);
    assert_int_equal(a->opened_wall_ms, 1700000001000);
    assert_int_equal(a->wall_ms, 1700000001000 + FOR);
    assert_int_equal(a->closed_wall_ms, 0);
    assert_int_equal(a->from_tier, 1);
    assert_int_equal(a->to_tier, 2);
    assert_false(a->subject_is_model);
    assert_string_equal(a->gateway, "gw");
    assert_string_equal(a->error, "b0 went from HEALTHY to DOWN: reset");
    assert_string_equal(a->action,
                        "traffic of m moved to b1 (tier 2); b0 is probed every 10 s");
    assert_int_equal(a->line_count, 1);
    assert_string_equal(a->lines[0], "22:13:21Z b0 went from HEALTHY to DOWN: reset");
    up(0);
    pass(SETTLE);
    a = last_told();
    assert_int_equal(a->closed_wall_ms, 1700000001000 + FOR);
    assert_int_equal(a->from_tier, 2);
    assert_int_equal(a->to_tier, 1);
    assert_string_equal(a->action, "traffic of m is back at b0 (tier 1)");
}

static void a_blip_is_never_told(void **state)
{
    (void)state;
    stage("0/1");
    down(0);
    pass(FOR - 1);
    up(0);
    pass(10 * SETTLE);
    assert_told("");
}

static void two_blips_are_not_told_but_the_third_is(void **state)
{
    (void)state;
    stage("0/1");
    for (unsigned i = 0; i < 2; i++) {
        down(0);
        pass(1000);
        up(0);
        pass(20000);
    }
    assert_told("");
    down(0);
    assert_told("opened b0 b0->b1");
}

static void flapping_tells_nothing_new(void **state)
{
    (void)state;
    stage("0/1");
    for (unsigned i = 0; i < 1000; i++) {
        down(0);
        pass(30000);
        up(0);
        pass(30000);
    }
    assert_told("opened b0 b0->b1");
    pass(SETTLE);
    assert_told("over b0 b1->b0");
}

static void who_is_not_needed_moves_no_traffic(void **state)
{
    (void)state;
    stage("0/1");
    down(1);
    pass(FOR);
    assert_string_equal(last_told()->action,
                        "m is served by b0 (tier 1); b1 is probed every 10 s");
    assert_told("opened b1 b0->b0");
}

static void what_was_broken_at_the_start_is_told_after_a_while(void **state)
{
    (void)state;
    stage("0/1");
    down(0);
    pass(FOR);
    assert_told("opened b0 b0->b1");
}

static void degraded_is_a_warning_and_down_makes_it_worse(void **state)
{
    (void)state;
    stage("0/1");
    scene.policy.channel_count = 2;
    end_rules(&scene);
    scene.channels[1].at_least = SEVERITY_ERROR;
    begin_rules(&scene);
    state_of(0, "DEGRADED", SEVERITY_WARN);
    pass(FOR);
    assert_int_equal(last_told()->severity, SEVERITY_WARN);
    assert_told("opened b0 b0->b0");
    down(0);
    pass(FOR - 1);
    assert_told("");
    pass(1);
    assert_told("worsened b0 b0->b1, opened+ b0 b0->b1");
    up(0);
    pass(SETTLE);
    assert_told("over b0 b1->b0, over+ b0 b1->b0");
}

static void only_those_who_were_told_hear_that_it_is_over(void **state)
{
    (void)state;
    stage("0/1");
    end_rules(&scene);
    scene.policy.channel_count = 2;
    scene.channels[0].at_least = SEVERITY_ERROR;
    begin_rules(&scene);
    state_of(0, "DEGRADED", SEVERITY_WARN);
    pass(FOR);
    up(0);
    pass(SETTLE);
    assert_told("opened+ b0 b0->b0, over+ b0 b0->b0");
}

static void a_backend_that_no_model_has_is_trouble_only(void **state)
{
    (void)state;
    stage("0/1");
    down(7);
    pass(FOR);
    assert_string_equal(last_told()->action, "no model uses it; b7 is probed every 10 s");
    assert_told("opened b7 b7->b7");
    up(7);
    pass(SETTLE);
    assert_told("over b7 b7->b7");
}

static void nobody_need_wait(void **state)
{
    (void)state;
    stage("0/1");
    scene.policy.for_ms = 0;
    down(0);
    assert_told("opened b0 b0->b1");
    down(1);
    assert_told("worsened b0 b1->");
}

static void a_backend_that_is_being_started_is_named(void **state)
{
    (void)state;
    stage("0");
    scene.sums.rising = &scene.small.backends[1];
    down(0);
    pass(FOR);
    assert_string_equal(last_told()->action,
                        "no backend left: clients get 503 until b1, which is being started, is "
                        "up; b0 is probed every 10 s");
}

/* --- several --- */

static void a_tier_further_down_makes_the_incident_worse(void **state)
{
    (void)state;
    stage("0/1/2");
    down(0);
    pass(FOR);
    assert_told("opened b0 b0->b1");
    pass(100000);
    down(1);
    pass(FOR - 1);
    assert_told("");
    pass(1);
    assert_string_equal(last_told()->error, "b1 went from HEALTHY to DOWN: reset");
    assert_told("worsened b0 b1->b2");
    down(2);
    pass(FOR);
    assert_string_equal(last_told()->action,
                        "no backend left: clients get 503; b2 is probed every 10 s");
    assert_told("worsened b0 b2->");
    pass(1000000);
    up(1);
    pass(2 * SETTLE);
    up(2);
    pass(2 * SETTLE);
    assert_told("");
    up(0);
    pass(SETTLE);
    assert_told("over b0 ->b0");
}

static void it_is_over_when_the_last_of_it_is(void **state)
{
    (void)state;
    stage("0/1/2");
    down(0);
    pass(FOR);
    down(1);
    pass(FOR);
    assert_told("opened b0 b0->b1, worsened b0 b1->b2");
    up(0);
    pass(10 * SETTLE);
    assert_told("");
    down(0); /* it goes on */
    pass(10 * SETTLE);
    up(0);
    up(1);
    pass(SETTLE);
    assert_told("over b0 b2->b0");
    down(1);
    pass(FOR);
    assert_told("opened b1 b0->b0");
}

static void a_host_that_takes_two_with_it_is_told_once(void **state)
{
    (void)state;
    stage("0/1/2");
    down(0);
    down(1);
    pass(FOR);
    assert_told("opened b0 b0->b2");
    up(0);
    up(1);
    pass(SETTLE);
    assert_told("over b0 b2->b0");
}

static void all_down_at_once_is_told_once(void **state)
{
    (void)state;
    stage("0/1");
    down(1);
    down(0);
    pass(FOR);
    assert_told("opened b1 b0->");
}

/* Its own time to be told is over a moment before that of what it has done to the model. */
static void a_tier_whose_end_is_looked_at_later_makes_it_worse_and_is_no_other(void **state)
{
    (void)state;
    stage("0/1/2");
    down(0);
    pass(FOR);
    assert_told("opened b0 b0->b1");
    pass(100000);
    take_state(1, "DOWN", SEVERITY_ERROR);
    pass(FOR);
    pass(FOR);
    assert_told("worsened b0 b1->b2");
}

static void a_tier_that_flaps_below_is_told_as_worse_once(void **state)
{
    (void)state;
    stage("0/1/2");
    down(0);
    pass(FOR);
    for (unsigned i = 0; i < 20; i++) {
        down(1);
        pass(10000);
        up(1);
        pass(10000);
    }
    assert_told("opened b0 b0->b1, worsened b0 b1->b2");
}

static void another_of_the_same_tier_is_an_incident_of_its_own(void **state)
{
    (void)state;
    stage("01/2");
    down(0);
    pass(FOR);
    assert_told("opened b0 b0->b1");
    scene.is_down[1] = true;
    down(1);
    pass(FOR);
    assert_told("worsened b0 b1->b2");
}

static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
    TEST(an_outage_is_told_when_it_has_lasted_and_when_it_is_over),
    TEST(the_alert_says_what_is_wrong_and_what_is_done),
    TEST(a_blip_is_never_told),
    TEST(two_blips_are_not_told_but_the_third_is),
    TEST(flapping_tells_nothing_new),
    TEST(who_is_not_needed_moves_no_traffic),
    TEST(what_was_broken_at_the_start_is_told_after_a_while),
    TEST(degraded_is_a_warning_and_down_makes_it_worse),
    TEST(only_those_who_were_told_hear_that_it_is_over),
    TEST(a_backend_that_no_model_has_is_trouble_only),
    TEST(nobody_need_wait),
    TEST(a_backend_that_is_being_started_is_named),
    TEST(a_tier_further_down_makes_the_incident_worse),
    TEST(it_is_over_when_the_last_of_it_is),
    TEST(a_host_that_takes_two_with_it_is_told_once),
    TEST(all_down_at_once_is_told_once),
    TEST(a_tier_whose_end_is_looked_at_later_makes_it_worse_and_is_no_other),
    TEST(a_tier_that_flaps_below_is_told_as_worse_once),
    TEST(another_of_the_same_tier_is_an_incident_of_its_own),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
