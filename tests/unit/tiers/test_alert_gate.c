#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tiers/alert_gate.h"

enum { MINUTE = 60000, NOON = 12 * 60, NIGHT = 23 * 60, MORNING = 7 * 60 };

static struct alert_channel channel;
static struct alert_gate gate;
static struct alert out;

static int set_up(void **state)
{
    (void)state;
    channel = (struct alert_channel){
        .rate = {.burst = 3, .refill_ms = 10 * MINUTE},
        .quiet = {.from_min = 22 * 60, .to_min = MORNING, .at_least = SEVERITY_ERROR}};
    alert_gate_init(&gate, &channel, 10 * MINUTE, 1000);
    return 0;
}

static struct alert_clock at(uint64_t now_ms, uint32_t minute)
{
    return (struct alert_clock){.now_ms = now_ms, .wall_ms = now_ms, .minute = minute};
}

static bool passes_to(const char *to, enum alert_moment moment, uint64_t incident,
                      enum severity severity, struct alert_clock when)
{
    struct alert a = {.moment = moment, .incident = incident, .severity = severity};
    EVENT_PUT(a.to, str_from(to));
    EVENT_PUT(a.subject, STR("b0"));
    EVENT_PUT(a.error, STR("it broke"));
    EVENT_PUT(a.action, STR("b1 serves"));
    a.felt.failed = 2;
    a.wall_ms = when.wall_ms;
    return alert_gate_pass(&gate, &a, &when);
}

static bool passes(enum alert_moment moment, uint64_t incident, enum severity severity,
                   struct alert_clock when)
{
    return passes_to("b1", moment, incident, severity, when);
}

/* Nobody is left who could serve. */
static bool despairs(uint64_t incident, struct alert_clock when)
{
    return passes_to("", ALERT_WORSENED, incident, SEVERITY_ERROR, when);
}

static bool warns(uint64_t incident, struct alert_clock when)
{
    return passes(ALERT_OPENED, incident, SEVERITY_WARN, when);
}

static bool digests(struct alert_clock when)
{
    return alert_gate_digest(&gate, &when, false, &out);
}

static void the_rate_lets_a_burst_through_and_then_one_a_while(void **state)
{
    (void)state;
    assert_true(warns(1, at(1000, NOON)));
    assert_true(warns(2, at(1000, NOON)));
    assert_true(warns(3, at(1000, NOON)));
    assert_false(warns(4, at(1000 + 10 * MINUTE - 1, NOON)));
    assert_true(warns(5, at(1000 + 10 * MINUTE, NOON)));
    assert_false(warns(6, at(1000 + 10 * MINUTE, NOON)));
    assert_true(warns(7, at(1000 + 100 * MINUTE, NOON)));
    assert_true(warns(8, at(1000 + 100 * MINUTE, NOON)));
    assert_true(warns(9, at(1000 + 100 * MINUTE, NOON)));
    assert_false(warns(10, at(1000 + 100 * MINUTE, NOON)));
}

static void that_nobody_is_left_has_a_message_of_its_own_in_reserve(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        assert_true(warns(i, at(1000, NOON)));
    }
    assert_false(warns(4, at(2000, NOON)));
    assert_true(despairs(5, at(2000, NOON)));
    assert_false(despairs(6, at(3000, NOON)));
    assert_false(passes_to("", ALERT_OVER, 5, SEVERITY_ERROR, at(2000 + 9 * MINUTE, NOON)));
    assert_true(warns(7, at(1000 + 10 * MINUTE, NOON)));
    assert_true(despairs(8, at(2000 + 10 * MINUTE, NOON)));
    assert_false(despairs(9, at(2000 + 10 * MINUTE, NOON)));
}

static void in_quiet_hours_it_passes_only_where_it_is_severe_enough(void **state)
{
    (void)state;
    channel.rate.burst = 0;
    alert_gate_init(&gate, &channel, 10 * MINUTE, 1000);
    assert_false(passes_to("", ALERT_OPENED, 1, SEVERITY_WARN, at(1000, NIGHT)));
    assert_true(passes_to("", ALERT_OPENED, 2, SEVERITY_ERROR, at(1000, NIGHT)));
}

static void what_is_too_much_comes_in_one_digest(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        assert_true(warns(i, at(1000, NOON)));
    }
    assert_false(digests(at(1000, NOON)));
    for (uint64_t i = 0; i < 40; i++) {
        assert_false(warns(4 + i % 2, at(2000, NOON)));
    }
    struct alert_clock now = at(2000, NOON);
    assert_int_equal(alert_gate_due_ms(&gate, &now), 2000 + DIGEST_FIRST_MS);
    assert_false(digests(at(2000 + DIGEST_FIRST_MS - 1, NOON)));
    assert_true(digests(at(2000 + DIGEST_FIRST_MS, NOON)));
    assert_int_equal(out.moment, ALERT_DIGEST);
    assert_int_equal(out.severity, SEVERITY_WARN);
    assert_int_equal(out.incident, 0);
    assert_int_equal(out.line_count, ALERT_LINES);
    assert_int_equal(out.lines_left_out, 40 - ALERT_LINES);
    assert_int_equal(out.felt.failed, 4); /* two incidents, each once */
    assert_string_equal(out.lines[0], "00:00:02Z b0: opened: it broke; b1 serves");
    assert_string_equal(out.error, "40 messages that were held back");
    assert_false(digests(at(3000 + DIGEST_FIRST_MS, NOON)));
    assert_false(warns(9, at(40000, NOON)));
    assert_false(digests(at(40000 + DIGEST_FIRST_MS, NOON)));
    assert_true(digests(at(2000 + DIGEST_FIRST_MS + 10 * MINUTE, NOON)));
    assert_int_equal(out.line_count, 1);
}

static void quiet_hours_hold_all_but_what_is_severe(void **state)
{
    (void)state;
    assert_false(warns(1, at(1000, NIGHT)));
    assert_true(passes(ALERT_OPENED, 2, SEVERITY_ERROR, at(1000, NIGHT)));
    struct alert_clock now = at(5 * 60 * MINUTE, 4 * 60);
    assert_false(digests(now));
    assert_int_equal(alert_gate_due_ms(&gate, &now), now.now_ms + 5000);
    assert_false(digests(at(8 * 60 * MINUTE - 1, MORNING - 1)));
    assert_true(digests(at(8 * 60 * MINUTE, MORNING)));
    assert_int_equal(out.line_count, 1);
    assert_true(warns(3, at(9 * 60 * MINUTE, NOON)));
}

static void a_severe_digest_does_not_wait_for_the_morning(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        assert_true(passes(ALERT_OPENED, i, SEVERITY_ERROR, at(1000, NIGHT)));
    }
    assert_false(passes(ALERT_OPENED, 4, SEVERITY_ERROR, at(1000, NIGHT)));
    assert_true(digests(at(1000 + DIGEST_FIRST_MS, NIGHT)));
}

static void an_incident_that_somebody_keeps_open_is_always_ended(void **state)
{
    (void)state;
    channel.rate.burst = 1;
    channel.format = ALERT_PAGERDUTY;
    alert_gate_init(&gate, &channel, MINUTE, 1000);
    assert_true(warns(1, at(1000, NOON)));
    assert_true(passes(ALERT_OVER, 1, SEVERITY_WARN, at(2000, NOON)));
    assert_true(passes(ALERT_OVER, 1, SEVERITY_WARN, at(2000, NIGHT)));
    assert_false(warns(1, at(2000, NOON)));
}

static void the_end_brings_what_is_held(void **state)
{
    (void)state;
    struct alert_clock now = at(1000, NIGHT);
    assert_false(alert_gate_digest(&gate, &now, true, &out));
    assert_false(warns(1, now));
    assert_true(alert_gate_digest(&gate, &now, true, &out));
    assert_false(alert_gate_digest(&gate, &now, true, &out));
    assert_int_equal(alert_gate_due_ms(&gate, &now), UINT64_MAX);
}

static void quiet_hours_may_span_midnight_or_not(void **state)
{
    (void)state;
    static const struct quiet_hours never = {.from_min = 60, .to_min = 60};
    static const struct quiet_hours noon = {.from_min = 12 * 60, .to_min = 13 * 60};
    static const struct quiet_hours night = {.from_min = 22 * 60, .to_min = 7 * 60};
    assert_false(quiet_hours_cover(&never, 60));
    assert_false(quiet_hours_cover(&noon, 12 * 60 - 1));
    assert_true(quiet_hours_cover(&noon, 12 * 60));
    assert_false(quiet_hours_cover(&noon, 13 * 60));
    assert_true(quiet_hours_cover(&night, 0));
    assert_true(quiet_hours_cover(&night, 22 * 60));
    assert_false(quiet_hours_cover(&night, 7 * 60));
    assert_false(quiet_hours_cover(&night, 21 * 60 + 59));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(the_rate_lets_a_burst_through_and_then_one_a_while, set_up),
    cmocka_unit_test_setup(that_nobody_is_left_has_a_message_of_its_own_in_reserve, set_up),
    cmocka_unit_test_setup(in_quiet_hours_it_passes_only_where_it_is_severe_enough, set_up),
    cmocka_unit_test_setup(what_is_too_much_comes_in_one_digest, set_up),
    cmocka_unit_test_setup(quiet_hours_hold_all_but_what_is_severe, set_up),
    cmocka_unit_test_setup(a_severe_digest_does_not_wait_for_the_morning, set_up),
    cmocka_unit_test_setup(an_incident_that_somebody_keeps_open_is_always_ended, set_up),
    cmocka_unit_test_setup(the_end_brings_what_is_held, set_up),
    cmocka_unit_test(quiet_hours_may_span_midnight_or_not),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
