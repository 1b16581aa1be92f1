#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "ops/alert_pack.h"

static struct alert full(void)
{
    struct alert a = {
        .number = 1770000000123,
        .incident = 17,
        .moment = ALERT_WORSENED,
        .severity = SEVERITY_ERROR,
        .wall_ms = 3,
        .opened_wall_ms = 2,
        .closed_wall_ms = 4,
        .subject_is_model = true,
        .from_tier = 1,
        .to_tier = 2,
        .felt = {.requests = 9, .moved = 8, .resumed = 7, .degraded = 6, .failed = 5},
        .line_count = 2,
        .lines_left_out = 3};
    EVENT_PUT(a.gateway, STR("gw"));
    EVENT_PUT(a.subject, STR("g\"p\\u1"));
    EVENT_PUT(a.from, STR("g\xC3\xBC"));
    EVENT_PUT(a.to, STR("b"));
    EVENT_PUT(a.error, STR("it {broke}"));
    EVENT_PUT(a.action, STR("tried"));
    EVENT_PUT(a.lines[0], STR("one"));
    EVENT_PUT(a.lines[1], STR("two"));
    return a;
}

static void an_alert_comes_back_as_it_was(void **state)
{
    (void)state;
    struct alert a = full();
    struct alert b;
    char *text = alert_pack(&a);
    assert_true(alert_unpack(str_from(text), &b));
    free(text);
    assert_int_equal(b.number, a.number);
    assert_int_equal(b.incident, 17);
    assert_int_equal(b.moment, ALERT_WORSENED);
    assert_int_equal(b.severity, SEVERITY_ERROR);
    assert_int_equal(b.wall_ms, 3);
    assert_int_equal(b.opened_wall_ms, 2);
    assert_int_equal(b.closed_wall_ms, 4);
    assert_true(b.subject_is_model);
    assert_int_equal(b.from_tier, 1);
    assert_int_equal(b.to_tier, 2);
    assert_memory_equal(&b.felt, &a.felt, sizeof(a.felt));
    assert_int_equal(b.lines_left_out, 3);
    assert_string_equal(b.gateway, a.gateway);
    assert_string_equal(b.subject, a.subject);
    assert_string_equal(b.from, a.from);
    assert_string_equal(b.to, a.to);
    assert_string_equal(b.error, a.error);
    assert_string_equal(b.action, a.action);
    assert_int_equal(b.line_count, 2);
    assert_string_equal(b.lines[0], "one");
    assert_string_equal(b.lines[1], "two");
}

static void every_moment_and_severity_comes_back(void **state)
{
    (void)state;
    for (unsigned m = 0; m <= ALERT_TEST; m++) {
        for (unsigned s = 0; s < SEVERITIES; s++) {
            struct alert a = {.moment = (enum alert_moment)m, .severity = (enum severity)s};
            struct alert b;
            char *text = alert_pack(&a);
            assert_true(alert_unpack(str_from(text), &b));
            assert_int_equal(b.moment, m);
            assert_int_equal(b.severity, s);
            free(text);
        }
    }
}

static void bytes_that_are_no_text_do_no_harm(void **state)
{
    (void)state;
    struct alert a = full();
    struct alert b;
    memset(a.error, 0xFF, sizeof(a.error) - 1);
    a.error[sizeof(a.error) - 1] = '\0';
    memset(a.lines[0], 0xC3, ALERT_LINE - 1);
    char *text = alert_pack(&a);
    assert_true(alert_unpack(str_from(text), &b));
    assert_int_equal(strlen(b.error) / 2, (sizeof(b.error) - 1) / 2);
    free(text);
}

static void what_is_no_alert_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "x",
                                        "[]",
                                        "{}",
                                        "{\"moment\":\"opened\"}",
                                        "{\"moment\":\"never\",\"severity\":\"error\"}"};
    struct alert b;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_false(alert_unpack(str_from(texts[i]), &b));
    }
    assert_true(alert_unpack(
        STR("{\"moment\":\"over\",\"severity\":\"info\",\"lines\":[1,null]}"), &b));
    assert_int_equal(b.line_count, 2);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(an_alert_comes_back_as_it_was),
    cmocka_unit_test(every_moment_and_severity_comes_back),
    cmocka_unit_test(bytes_that_are_no_text_do_no_harm),
    cmocka_unit_test(what_is_no_alert_is_refused),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
