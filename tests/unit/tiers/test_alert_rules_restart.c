#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alert_scene.h"

/* --- what users feel, models --- */

static void what_users_felt_is_counted_from_its_beginning(void **state)
{
    (void)state;
    stage("0/1");
    scene.sums = (struct alert_look){.requests = 1000, .degraded = 5, .failed = 3};
    down(0);
    scene.sums = (struct alert_look){.requests = 1100, .degraded = 45, .failed = 10};
    happens(EVENT_KIND_failover, "b0", "next backend", 7);
    happens(EVENT_KIND_failover, "b0", "same backend again", 9);
    happens(EVENT_KIND_resume, "b0", "", 2);
    pass(FOR);
    const struct alert_felt *felt = &last_told()->felt;
    assert_int_equal(felt->requests, 100);
    assert_int_equal(felt->degraded, 40);
    assert_int_equal(felt->failed, 7);
    assert_int_equal(felt->moved, 7);
    assert_int_equal(felt->resumed, 2);
}

static void a_model_has_incidents_of_its_own(void **state)
{
    (void)state;
    stage("0/1");
    for (unsigned i = 0; i < 10; i++) {
        happens(EVENT_KIND_queue, "", "queue_full", 100);
        pass(700);
    }
    assert_true(last_told()->subject_is_model);
    assert_int_equal(last_told()->line_count, 1);
    assert_told("opened m b0->b0");
    pass(2 * SETTLE);
    assert_told("over m b0->b0");
}

static void one_refused_request_is_no_message(void **state)
{
    (void)state;
    stage("0/1");
    happens(EVENT_KIND_unserved, "", "upstream_unavailable", 1);
    pass(2 * SETTLE);
    assert_told("");
}

static void its_own_events_open_no_incident(void **state)
{
    (void)state;
    stage("0/1");
    struct event e = event_of(EVENT_KIND_alert_failed, scene.at.wall_ms, scene.at.now_ms);
    EVENT_PUT(e.word, STR("mail"));
    EVENT_PUT(e.cause, STR("550 no such user"));
    take(&e);
    assert_int_equal(e.incident, 0);
    pass(2 * SETTLE);
    assert_told("");
}

static void incidents_are_told_by_the_number_that_the_history_gives(void **state)
{
    (void)state;
    stage("0/1");
    down(0);
    scene.at.incident_shift = 41;
    pass(FOR);
    assert_int_equal(last_told()->incident, 42);
    scene.at.incident_shift = 100; /* what was told keeps its number */
    up(0);
    pass(SETTLE);
    assert_int_equal(last_told()->incident, 42);
}

/* --- restarts --- */

static struct alert_carried carried(const char *subject)
{
    struct alert_carried c = {.channels = 1};
    c.last.moment = ALERT_OPENED;
    c.last.incident = 17;
    c.last.severity = SEVERITY_ERROR;
    c.last.opened_wall_ms = 1600000000000;
    c.last.to_tier = 2;
    c.last.felt.failed = 4;
    EVENT_PUT(c.last.subject, str_from(subject));
    EVENT_PUT(c.last.to, STR("b1"));
    return c;
}

static void what_is_still_broken_after_a_restart_is_not_told_again(void **state)
{
    (void)state;
    stage("0/1/2");
    struct alert_carried c = carried("b0");
    alert_rules_carry(scene.rules, &c, &scene.at);
    pass(1000);
    down(0);
    pass(10 * SETTLE);
    assert_told("");
    down(1);
    pass(FOR);
    assert_int_equal(last_told()->incident, 17);
    assert_told("worsened b0 b1->b2");
    up(0);
    up(1);
    pass(SETTLE);
    assert_int_equal(last_told()->incident, 17);
    assert_int_equal(last_told()->opened_wall_ms, 1600000000000);
    assert_int_equal(last_told()->felt.failed, 4);
    assert_told("over b0 b2->b0");
}

static void what_is_well_after_a_restart_is_over(void **state)
{
    (void)state;
    stage("0/1");
    struct alert_carried c = carried("b0");
    alert_rules_carry(scene.rules, &c, &scene.at);
    pass(FOR + SETTLE - 1);
    assert_told("");
    pass(1);
    assert_int_equal(last_told()->incident, 17);
    assert_int_equal(last_told()->closed_wall_ms, scene.at.wall_ms);
    assert_string_equal(last_told()->action, "the gateway was restarted; all is well");
    assert_told("over b0 b1->b0");
    pass(10 * SETTLE);
    assert_told("");
}

static void what_is_not_configured_any_more_is_over_at_once(void **state)
{
    (void)state;
    stage("0/1");
    struct alert_carried c = carried("stranger");
    alert_rules_carry(scene.rules, &c, &scene.at);
    assert_told("over stranger b1->");
}

static void of_two_that_were_told_the_newer_goes_on(void **state)
{
    (void)state;
    stage("0/1");
    struct alert_carried c = carried("b0");
    alert_rules_carry(scene.rules, &c, &scene.at);
    c.last.incident = 18;
    alert_rules_carry(scene.rules, &c, &scene.at);
    assert_int_equal(last_told()->incident, 17);
    assert_told("over b0 b1->b0");
    down(0);
    pass(FOR);
    assert_told("");
    c.last.incident = 19; /* read too late */
    alert_rules_carry(scene.rules, &c, &scene.at);
    assert_string_equal(last_told()->action, "what goes on is told as another incident");
    scene.count = 0;
    up(0);
    pass(SETTLE);
    assert_int_equal(last_told()->incident, 18);
}

static void channels_that_were_not_told_before_a_restart_are_told_now(void **state)
{
    (void)state;
    stage("0/1");
    end_rules(&scene);
    scene.policy.channel_count = 2;
    begin_rules(&scene);
    struct alert_carried c = carried("b0");
    alert_rules_carry(scene.rules, &c, &scene.at);
    down(0);
    pass(FOR);
    assert_told("opened+ b0 b0->b1");
}

static void two_of_one_story_are_not_told_again_after_a_restart(void **state)
{
    (void)state;
    stage("0/1/2");
    struct alert_carried c = carried("b0");
    c.last.to_tier = 3;
    EVENT_PUT(c.last.to, STR("b2"));
    alert_rules_carry(scene.rules, &c, &scene.at);
    down(1);
    down(0);
    pass(10 * SETTLE);
    assert_told("");
    up(0);
    up(1);
    pass(SETTLE);
    assert_told("over b0 b2->b0");
}

static void a_blip_after_a_restart_only_delays_the_end(void **state)
{
    (void)state;
    stage("0/1");
    struct alert_carried c = carried("b0");
    alert_rules_carry(scene.rules, &c, &scene.at);
    pass(FOR + SETTLE - 1000);
    down(0);
    pass(1000);
    up(0);
    pass(SETTLE - 1);
    assert_told("");
    pass(1);
    assert_told("over b0 b1->b0");
}

/* --- storms --- */

enum { STEPS = 20000, NUMBERS = 4096 };

/* What one channel knows of an incident. */
enum knowledge { KNOWS_NOTHING, KNOWS_OPEN, KNOWS_OVER };

struct listener {
    enum knowledge of[NUMBERS];
    uint32_t worse[NUMBERS];
    uint32_t open;
    uint32_t over;
};

static void listen(struct listener *l)
{
    for (size_t i = 0; i < scene.count; i++) {
        const struct alert *a = &scene.told[i].alert;
        assert_in_range(a->incident, 1, NUMBERS - 1);
        enum knowledge *of = &l->of[a->incident];
        if (a->moment == ALERT_OPENED) {
            assert_int_equal(*of, KNOWS_NOTHING);
            *of = KNOWS_OPEN;
            l->open++;
        } else {
            assert_int_equal(*of, KNOWS_OPEN);
        }
        l->worse[a->incident] += a->moment == ALERT_WORSENED ? 1 : 0;
        assert_true(l->worse[a->incident] <= scene.small.model.tier_count + 1);
        if (a->moment == ALERT_OVER) {
            *of = KNOWS_OVER;
            l->open--;
            l->over++;
        }
    }
    scene.count = 0;
}

static uint32_t draw(uint64_t *seed, uint32_t below)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(*seed >> 33) % below;
}

/* Whatever happens: opened once, worse at most once a tier, over once. */
static void every_incident_is_told_in_order_and_to_its_end(void **state)
{
    static struct listener listener;
    uint64_t seed = 7;
    (void)state;
    stage("01/2/34/5");
    end_rules(&scene);
    scene.channels[0].rate.burst = UINT32_MAX;
    begin_rules(&scene);
    for (uint32_t i = 0; i < STEPS; i++) {
        uint32_t b = draw(&seed, 6);
        uint32_t what = draw(&seed, 8);
        if (what < 3) {
            down(b);
        } else if (what < 7) {
            up(b);
        } else {
            happens(EVENT_KIND_unserved, "", "upstream_unavailable", 1);
        }
        pass(draw(&seed, 20) == 0 ? draw(&seed, 200000) : draw(&seed, 4000));
        listen(&listener);
    }
    assert_true(listener.open <= 7);
    for (uint32_t b = 0; b < 6; b++) {
        up(b);
    }
    pass(2 * SETTLE);
    listen(&listener);
    assert_int_equal(listener.open, 0);
    assert_true(listener.over > 50);
}

static void a_storm_is_three_messages_and_a_digest(void **state)
{
    (void)state;
    stage("0/1/2/3/4/5/6/7");
    end_rules(&scene);
    scene.channels[0].rate = (struct alert_rate){.burst = 3, .refill_ms = 600000};
    begin_rules(&scene);
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t b = i % 8;
        if (scene.is_down[b]) {
            up(b);
        } else {
            down(b);
        }
        pass(60);
    }
    assert_true(scene.count >= 1);
    assert_true(scene.count <= 6);
    scene.count = 0;
    for (uint32_t b = 0; b < 8; b++) {
        up(b);
    }
    pass(1000000);
    assert_true(scene.count <= 4);
}

static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
    TEST(what_users_felt_is_counted_from_its_beginning),
    TEST(a_model_has_incidents_of_its_own),
    TEST(one_refused_request_is_no_message),
    TEST(its_own_events_open_no_incident),
    TEST(incidents_are_told_by_the_number_that_the_history_gives),
    TEST(what_is_still_broken_after_a_restart_is_not_told_again),
    TEST(what_is_well_after_a_restart_is_over),
    TEST(what_is_not_configured_any_more_is_over_at_once),
    TEST(of_two_that_were_told_the_newer_goes_on),
    TEST(channels_that_were_not_told_before_a_restart_are_told_now),
    TEST(two_of_one_story_are_not_told_again_after_a_restart),
    TEST(a_blip_after_a_restart_only_delays_the_end),
    TEST(every_incident_is_told_in_order_and_to_its_end),
    TEST(a_storm_is_three_messages_and_a_digest),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
