#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tiers/event.h"

static void each_kind_is_found_by_its_name(void **state)
{
    (void)state;
    for (unsigned k = 0; k < EVENT_KINDS; k++) {
        const struct event_row *row = event_row((enum event_kind)k);
        assert_int_equal(event_kind_find(str_from(row->name)), k);
    }
    assert_int_equal(event_kind_find(STR("nothing")), EVENT_KINDS);
    assert_int_equal(event_kind_find(STR("")), EVENT_KINDS);
}

static void the_words_of_each_kind_can_be_filled_in(void **state)
{
    (void)state;
    for (unsigned k = 0; k < EVENT_KINDS; k++) {
        struct event e = event_of((enum event_kind)k, 1, 1);
        char text[EVENT_TEXT];
        EVENT_PUT(e.cause, STR("THE-CAUSE"));
        EVENT_PUT(e.backend, STR("BACKEND"));
        event_text(&e, text);
        assert_true(strlen(text) > 10);
        assert_null(strchr(text, '$'));
        assert_int_equal(e.times, 1);
    }
}

static void a_change_of_state_reads_as_a_sentence(void **state)
{
    struct event e = event_of(EVENT_KIND_state, 1, 1);
    char text[EVENT_TEXT];
    (void)state;
    EVENT_PUT(e.backend, STR("gpu1"));
    EVENT_PUT(e.word, STR("DOWN"));
    EVENT_PUT(e.was, STR("HEALTHY"));
    EVENT_PUT(e.cause, STR("probe answered 503"));
    event_text(&e, text);
    assert_string_equal(text, "gpu1 went from HEALTHY to DOWN: probe answered 503");
    EVENT_PUT(e.was, STR("DOWN"));
    event_text(&e, text);
    assert_string_equal(text, "gpu1 stays DOWN: probe answered 503");
}

static void numbers_stand_where_the_words_want_them(void **state)
{
    struct event e = event_of(EVENT_KIND_resume, 1, 1);
    char text[EVENT_TEXT];
    (void)state;
    EVENT_PUT(e.backend, STR("a"));
    EVENT_PUT(e.other, STR("b"));
    EVENT_PUT(e.model, STR("m"));
    e.numbers[0] = -12;
    event_text(&e, text);
    assert_string_equal(text, "an answer of m broke at a and was resumed by b after -12 ms");
}

static void long_text_is_cut_between_characters(void **state)
{
    struct event e = event_of(EVENT_KIND_state, 1, 1);
    char name[2 * EVENT_NAME];
    (void)state;
    memset(name, 'x', sizeof(name));
    memcpy(name + EVENT_NAME - 2, "\xC3\xA4", 2); /* its second byte does not fit */
    EVENT_PUT(e.backend, str_of(name, sizeof(name)));
    assert_int_equal(strlen(e.backend), EVENT_NAME - 2);
    EVENT_PUT(e.backend, str_of(name, EVENT_NAME - 1));
    assert_int_equal(strlen(e.backend), EVENT_NAME - 1);
}

static void control_characters_cannot_steer_a_terminal(void **state)
{
    struct event e = event_of(EVENT_KIND_state, 1, 1);
    (void)state;
    EVENT_PUT(e.cause, STR("a\033[2Jb\nc\x7F"));
    assert_string_equal(e.cause, "a?[2Jb?c?");
}

static void the_longest_event_fits_its_text(void **state)
{
    struct event e = event_of(EVENT_KIND_state, 1, 1);
    char text[EVENT_TEXT];
    char long_text[1024];
    (void)state;
    memset(long_text, 'y', sizeof(long_text));
    struct str s = str_of(long_text, sizeof(long_text));
    EVENT_PUT(e.backend, s);
    EVENT_PUT(e.word, s);
    EVENT_PUT(e.was, s);
    EVENT_PUT(e.cause, s);
    event_text(&e, text);
    assert_in_range(strlen(text), EVENT_CAUSE, EVENT_TEXT - 1);
}

/* docs/events.md has a line for each kind, as it is here. */
static void the_documentation_has_every_kind(void **state)
{
    static char docs[64 * 1024];
    FILE *f = fopen(EVENTS_MD, "r");
    (void)state;
    assert_non_null(f);
    size_t len = fread(docs, 1, sizeof(docs) - 1, f);
    assert_int_equal(fclose(f), 0);
    docs[len] = '\0';
    for (unsigned k = 0; k < EVENT_KINDS; k++) {
        const struct event_row *row = event_row((enum event_kind)k);
        char line[512];
        int at = snprintf(line, sizeof(line), "\n| `%s` | %s | ", row->name,
                          severity_name(row->severity));
        for (size_t i = 0; i < EVENT_NUMBERS && row->numbers[i][0] != '\0'; i++) {
            at += snprintf(line + at, sizeof(line) - (size_t)at, "%s`%s`", i > 0 ? ", " : "",
                           row->numbers[i]);
        }
        (void)snprintf(line + at, sizeof(line) - (size_t)at, " | %s |\n", row->words);
        if (!strstr(docs, line)) {
            fail_msg("not in docs/events.md: %s", line);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_found_by_its_name),
        cmocka_unit_test(the_words_of_each_kind_can_be_filled_in),
        cmocka_unit_test(a_change_of_state_reads_as_a_sentence),
        cmocka_unit_test(numbers_stand_where_the_words_want_them),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(control_characters_cannot_steer_a_terminal),
        cmocka_unit_test(the_longest_event_fits_its_text),
        cmocka_unit_test(the_documentation_has_every_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
