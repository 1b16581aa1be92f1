#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/stops.h"
#include "quotes.h"

static struct arena arena;
static struct stops stops;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static void start(const char *stop, const char *given)
{
    stops_init(&stops, quotes(&arena, stop), str_from(given), &arena);
}

static bool add(const char *text)
{
    return stops_add(&stops, str_from(text), &arena);
}

static void finds_what_straddles_the_seam_only(void **state)
{
    static const struct {
        const char *stop;
        const char *given;
        const char *text;
        bool completes;
    } rows[] = {
        {"'END'", "text E", "ND and more", true},
        {"'END'", "text EN", "D", true},
        {"'END'", "text E", "N", false},
        {"'END'", "text", "END", false},  /* the backend sees this one itself */
        {"'END'", "textEND", "x", false}, /* and this one the backend before */
        {"'END'", "E", "ND", true},
        {"'END'", "", "ND", false},
        {"'END'", "E", "xND", false},
        {"['a','END','b']", "E", "ND", true},
        {"['###','\\n\\n']", "x\\n", "\\n", true},
        {"'\\u00e9\\u00e8'", "x\xc3\xa9", "\xc3\xa8", true},
        {"'\xf0\x9f\x98\x80!'", "x\xf0\x9f\x98\x80", "!", true},
        {"'a\\\\b'", "a", "\\\\b", true},
        {"'x'", "x", "x", false}, /* one byte cannot straddle */
        {"''", "x", "x", false},
        {"null", "x", "x", false},
        {"7", "x", "x", false},
        {"[]", "x", "x", false},
        {"['',null,{},'ab']", "a", "b", true},
        {"'aab'", "aa", "ab", true}, /* from the second a */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        start(rows[i].stop, rows[i].given);
        if (add(rows[i].text) != rows[i].completes) {
            fail_msg("%s in %s|%s", rows[i].stop, rows[i].given, rows[i].text);
        }
    }
    stops_init(&stops, STR_NONE, STR("x"), &arena);
    assert_false(add("x"));
}

static void finds_it_in_pieces_and_then_looks_no_further(void **state)
{
    (void)state;
    start("['\\nUser:','Z']", "bye\\nUs");
    assert_false(add("e"));
    assert_false(add(""));
    assert_true(add("r: hello"));
    start("'abcd'", "a");
    assert_false(add("b"));
    assert_false(add("x"));
    assert_false(add("cd"));
    assert_false(add("abcd"));
}

static void finds_a_stop_string_cut_at_every_byte(void **state)
{
    const char *stop = "### Human:";
    char json[32];
    (void)state;
    (void)snprintf(json, sizeof(json), "'%s'", stop);
    for (size_t cut = 1; cut < strlen(stop); cut++) {
        struct str given = arena_printf(&arena, "text %.*s", (int)cut, stop);
        start(json, given.ptr);
        assert_true(add(stop + cut));
        start(json, given.ptr);
        for (size_t i = cut; stop[i]; i++) {
            assert_int_equal(stops_add(&stops, str_of(stop + i, 1), &arena), !stop[i + 1]);
        }
    }
}

static void leaves_overlong_and_too_many_strings_out(void **state)
{
    char *text = mem_alloc(STOP_LEN_MAX + 4);
    (void)state;
    memset(text, 'a', STOP_LEN_MAX + 3);
    text[0] = '"';
    text[STOP_LEN_MAX + 2] = '"';
    stops_init(&stops, str_of(text, STOP_LEN_MAX + 3), STR("a"), &arena);
    assert_int_equal(stops.count, 0);
    text[STOP_LEN_MAX + 1] = '"';
    stops_init(&stops, str_of(text, STOP_LEN_MAX + 2), STR("a"), &arena);
    assert_int_equal(stops.count, 1);
    for (int i = 0; i < STOP_LEN_MAX - 2; i++) {
        assert_false(add("a"));
    }
    assert_true(add("a"));
    free(text);
    start("['1','2','3','4','5','6','7','8','9','10','11','12','13','14','15','16','ab']", "a");
    assert_int_equal(stops.count, STOPS_MAX);
    assert_false(add("b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_what_straddles_the_seam_only, begin, end),
        cmocka_unit_test_setup_teardown(finds_it_in_pieces_and_then_looks_no_further, begin,
                                        end),
        cmocka_unit_test_setup_teardown(finds_a_stop_string_cut_at_every_byte, begin, end),
        cmocka_unit_test_setup_teardown(leaves_overlong_and_too_many_strings_out, begin, end),
    };
    return cmocka_run_group_tests_name("llm/stops", tests, NULL, NULL);
}
