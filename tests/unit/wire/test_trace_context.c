#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "wire/trace_context.h"

#define GOOD "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static void reads_what_the_specification_shows(void **state)
{
    struct trace_context t;
    (void)state;
    assert_int_equal(trace_context_read(STR(GOOD), &t), ERR_OK);
    assert_true(t.trace_high == 0x4bf92f3577b34da6U);
    assert_true(t.trace_low == 0xa3ce929d0e0e4736U);
    assert_true(t.span == 0x00f067aa0ba902b7U);
    assert_int_equal(t.flags, TRACE_FLAG_SAMPLED);
}

static void writes_what_it_has_read(void **state)
{
    static const char *const texts[] = {
        GOOD, "00-00000000000000000000000000000001-0000000000000001-00"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct trace_context t;
        char out[TRACEPARENT_LEN];
        assert_int_equal(trace_context_read(str_from(texts[i]), &t), ERR_OK);
        trace_context_write(&t, out);
        assert_memory_equal(out, texts[i], TRACEPARENT_LEN);
    }
}

static void knows_no_flag_but_sampled(void **state)
{
    struct trace_context t;
    (void)state;
    assert_int_equal(
        trace_context_read(STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe"), &t),
        ERR_OK);
    assert_int_equal(t.flags, 0);
}

static void reads_a_later_version_as_far_as_it_knows_it(void **state)
{
    static const char *const good[] = {
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-holds",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-"};
    struct trace_context t;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(trace_context_read(str_from(good[i]), &t), ERR_OK);
        assert_true(t.span == 0x00f067aa0ba902b7U);
    }
    assert_int_equal(
        trace_context_read(STR("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01."), &t),
        ERR_SYNTAX);
}

static void refuses_whatever_is_not_exactly_so(void **state)
{
    static const char *const bad[] = {
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        GOOD "-more",
        GOOD "-",
        GOOD "0",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
        "00-4bf92f3577b34da6a3ce929d0e0e473 -00f067aa0ba902b7-01"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct trace_context t = {.flags = 7};
        assert_int_equal(trace_context_read(str_from(bad[i]), &t), ERR_SYNTAX);
        assert_int_equal(t.flags, 7); /* untouched */
    }
}

static void joins_the_states_of_all_headers(void **state)
{
    const struct http_header headers[] = {{STR("tracestate"), STR("a=1, b=2")},
                                          {STR("other"), STR("x=y")},
                                          {STR("TraceState"), STR("c=3,,")}};
    char room[TRACESTATE_MAX];
    (void)state;
    assert_true(str_eq(trace_state_join(headers, 3, room), STR("a=1,b=2,c=3")));
    assert_int_equal(trace_state_join(headers + 1, 1, room).len, 0);
}

static void cuts_a_long_state_after_a_whole_entry(void **state)
{
    char text[3 * 200 + 2];
    char room[TRACESTATE_MAX];
    (void)state;
    memset(text, 'x', sizeof(text));
    text[200] = ',';
    text[401] = ',';
    const struct http_header header = {STR("tracestate"), str_of(text, sizeof(text))};
    struct str joined = trace_state_join(&header, 1, room);
    assert_int_equal(joined.len, 401);
    assert_memory_equal(joined.ptr, text, 401);
}

static void an_entry_of_other_bytes_ends_the_state(void **state)
{
    const struct http_header header = {STR("tracestate"), STR("a=1,b=\xc3\xa9,c=3")};
    char room[TRACESTATE_MAX];
    (void)state;
    assert_true(str_eq(trace_state_join(&header, 1, room), STR("a=1")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_the_specification_shows),
        cmocka_unit_test(writes_what_it_has_read),
        cmocka_unit_test(knows_no_flag_but_sampled),
        cmocka_unit_test(reads_a_later_version_as_far_as_it_knows_it),
        cmocka_unit_test(refuses_whatever_is_not_exactly_so),
        cmocka_unit_test(joins_the_states_of_all_headers),
        cmocka_unit_test(cuts_a_long_state_after_a_whole_entry),
        cmocka_unit_test(an_entry_of_other_bytes_ends_the_state),
    };
    return cmocka_run_group_tests_name("wire/trace_context", tests, NULL, NULL);
}
