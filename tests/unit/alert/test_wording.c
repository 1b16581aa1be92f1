#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alert/wording.h"
#include "sample_alerts.h"

static void assert_title(const struct alert *alert, const char *title, const char *headline)
{
    struct arena a;
    struct wording w;
    arena_init(&a);
    wording_make(alert, &a, &w);
    assert_string_equal(w.title.ptr, title);
    assert_string_equal(w.headline.ptr, headline);
    arena_fini(&a);
}

static void the_title_says_who_serves_now(void **state)
{
    struct alert alert = sample_alert(ALERT_OPENED);
    (void)state;
    assert_title(&alert, "[ALERT] LLM Failover: gpu1 -> gpu2", "gpu2 serves in place of gpu1.");
    alert = sample_alert(ALERT_WORSENED);
    EVENT_PUT(alert.to, STR("cpu"));
    assert_title(&alert, "[ALERT] LLM Failover (worse): gpu1 -> cpu",
                 "cpu serves in place of gpu1.");
    alert = sample_alert(ALERT_OVER);
    assert_title(&alert, "[RESOLVED] LLM Failover: gpu1 after 4 min 12 s",
                 "gpu1 is well again.");
    alert = sample_alert(ALERT_TEST);
    assert_title(&alert, "[TEST] LLM Failover: gw.example.com",
                 "This is a test: alerts of this gateway arrive here.");
    alert = sample_digest();
    assert_title(&alert, "[DIGEST] LLM Failover: 20 alerts",
                 "These were too many to be told one by one.");
}

static void the_title_says_when_nobody_is_left(void **state)
{
    struct alert alert = sample_alert(ALERT_WORSENED);
    (void)state;
    alert.to[0] = '\0';
    assert_title(&alert, "[ALERT] LLM Down (worse): gpu1",
                 "gpu1 failed, and nobody serves in its place.");
    alert.moment = ALERT_OPENED;
    alert.subject_is_model = true;
    EVENT_PUT(alert.subject, STR("llama-3.1-8b"));
    assert_title(&alert, "[ALERT] LLM Down: llama-3.1-8b", "Nobody can serve llama-3.1-8b.");
}

static void trouble_that_moved_nobody_is_no_failover(void **state)
{
    struct alert alert = sample_alert(ALERT_OPENED);
    (void)state;
    EVENT_PUT(alert.subject, STR("cpu"));
    EVENT_PUT(alert.to, STR("gpu1"));
    assert_title(&alert, "[ALERT] LLM Trouble: cpu",
                 "Something is wrong with cpu; requests are served by gpu1.");
    alert.from[0] = '\0';
    assert_title(&alert, "[ALERT] LLM Trouble: cpu",
                 "Something is wrong with cpu; requests are served by gpu1.");
}

static void assert_facts(const struct alert *alert, const char *const *expected)
{
    struct arena a;
    struct wording w;
    arena_init(&a);
    wording_make(alert, &a, &w);
    for (size_t i = 0; i < w.fact_count; i++) {
        struct str row =
            arena_printf(&a, "%s: %.*s", w.facts[i].name, STR_FMT(w.facts[i].value));
        assert_non_null(expected[i]);
        assert_string_equal(row.ptr, expected[i]);
    }
    assert_null(expected[w.fact_count]);
    arena_fini(&a);
}

static void the_facts_are_from_to_error_action_since_and_what_users_felt(void **state)
{
    static const char *const OPENED[] = {
        "From: gpu1 (tier 1)",
        "To: gpu2 (tier 2)",
        "Error: connection refused",
        "Action: traffic moved to gpu2 (tier 2)",
        "Since: 2026-11-21 05:44:02 UTC, for 5.1 s",
        "What users felt: 812 requests: 40 moved to another backend, 3 resumed in mid-answer, "
        "12 degraded, 0 failed",
        "Incident: #17 of gpu1",
        "Gateway: gw.example.com",
        NULL};
    struct alert alert = sample_alert(ALERT_OPENED);
    (void)state;
    assert_facts(&alert, OPENED);
}

static void what_is_not_known_is_said_or_left_out(void **state)
{
    static const char *const OVER[] = {
        "From: not known",
        "To: nobody",
        "Lasted: 4 min 12 s, from 2026-11-21 05:44:02 UTC to 2026-11-21 05:48:14 UTC",
        "What users felt: nothing: there was no request",
        "Incident: #17 of gpu1",
        "Gateway: gw.example.com",
        NULL};
    static const char *const DIGEST[] = {
        "What users felt: 1 request: 0 moved to another backend, 0 resumed in mid-answer, "
        "0 degraded, 1 failed",
        "Gateway: gw.example.com", NULL};
    struct alert alert = sample_alert(ALERT_OVER);
    (void)state;
    alert.from[0] = alert.to[0] = alert.error[0] = alert.action[0] = '\0';
    alert.felt = (struct alert_felt){.requests = 0};
    assert_facts(&alert, OVER);
    alert = sample_digest();
    alert.felt = (struct alert_felt){.requests = 1, .failed = 1};
    assert_facts(&alert, DIGEST);
}

static void no_text_of_others_is_taken_as_it_is(void **state)
{
    struct arena a;
    struct wording w;
    struct alert alert = sample_alert(ALERT_OPENED);
    (void)state;
    arena_init(&a);
    memcpy(alert.from, "g\r\nBcc: x\xff", 11);
    memcpy(alert.error, "e\nf", 4);
    alert.line_count = 1;
    memcpy(alert.lines[0], "l\x1b", 3);
    wording_make(&alert, &a, &w);
    assert_string_equal(w.title.ptr, "[ALERT] LLM Failover: g??Bcc: x? -> gpu2");
    assert_string_equal(w.facts[2].value.ptr, "e?f");
    assert_string_equal(w.lines[0].ptr, "l?");
    assert_string_equal(w.lines_title, "What happened");
    arena_fini(&a);
}

static void durations_have_their_two_largest_units(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } ROWS[] = {{0, "0.0 s"},
                {999, "0.9 s"},
                {9999, "9.9 s"},
                {10000, "10 s"},
                {59999, "59 s"},
                {60000, "1 min 0 s"},
                {3599999, "59 min 59 s"},
                {3600000, "1 h 0 min"},
                {86399999, "23 h 59 min"},
                {86400000, "1 d 0 h"},
                {1000ULL * 86400000, "1000 d 0 h"}};
    struct arena a;
    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        assert_string_equal(wording_duration(ROWS[i].ms, &a).ptr, ROWS[i].text);
    }
    arena_fini(&a);
}

static void a_clock_that_was_set_back_gives_no_negative_time(void **state)
{
    struct alert alert = sample_alert(ALERT_OPENED);
    (void)state;
    alert.opened_wall_ms = alert.wall_ms + 1000;
    assert_int_equal(wording_lasted_ms(&alert), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_title_says_who_serves_now),
        cmocka_unit_test(the_title_says_when_nobody_is_left),
        cmocka_unit_test(trouble_that_moved_nobody_is_no_failover),
        cmocka_unit_test(the_facts_are_from_to_error_action_since_and_what_users_felt),
        cmocka_unit_test(what_is_not_known_is_said_or_left_out),
        cmocka_unit_test(no_text_of_others_is_taken_as_it_is),
        cmocka_unit_test(durations_have_their_two_largest_units),
        cmocka_unit_test(a_clock_that_was_set_back_gives_no_negative_time),
    };
    return cmocka_run_group_tests_name("alert/wording", tests, NULL, NULL);
}
