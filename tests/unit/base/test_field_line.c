#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/field_line.h"

static struct str line_of(struct field_line *l)
{
    field_line_end(l);
    return str_of(l->text, l->len);
}

static void both_formats_hold_the_same(void **state)
{
    static const char *const expected[] = {
        [LOG_LOGFMT] = "time=1970-01-01T00:00:01.500Z a=plain b=\"two words\" c=-7\n",
        [LOG_JSON] =
            "{\"time\":\"1970-01-01T00:00:01.500Z\",\"a\":\"plain\",\"b\":\"two words\","
            "\"c\":-7}\n"};
    (void)state;
    for (int f = LOG_LOGFMT; f <= LOG_JSON; f++) {
        struct field_line l;
        field_line_begin(&l, (enum log_format)f);
        field_line_time(&l, "time", 1500);
        field_line_text(&l, "a", STR("plain"));
        field_line_text(&l, "b", STR("two words"));
        field_line_number(&l, "c", -7);
        assert_true(str_eq(line_of(&l), str_from(expected[f])));
    }
}

static void no_value_forges_a_field_or_a_line(void **state)
{
    static const char *const values[] = {"a=b",           "a b",  "\"",       "\\",
                                         "a\nlevel=info", "\x7f", "\xc3\xa9", ""};
    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct field_line l;
        field_line_begin(&l, LOG_LOGFMT);
        field_line_text(&l, "v", str_from(values[i]));
        struct str line = line_of(&l);
        assert_true(str_starts(line, STR("v=\"")));
        assert_true(str_ends(line, STR("\"\n")));
        assert_ptr_equal(memchr(line.ptr, '\n', line.len), line.ptr + line.len - 1);
    }
}

static void what_does_not_fit_is_left_out(void **state)
{
    char text[2 * LOG_VALUE_MAX];
    struct field_line l;
    (void)state;
    memset(text, '\n', sizeof(text));
    field_line_begin(&l, LOG_JSON);
    for (int i = 0; i < 10; i++) {
        field_line_text(&l, "v", str_of(text, sizeof(text)));
    }
    struct str line = line_of(&l);
    assert_true(line.len <= LOG_LINE_MAX);
    assert_int_equal(line.ptr[line.len - 1], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_formats_hold_the_same),
        cmocka_unit_test(no_value_forges_a_field_or_a_line),
        cmocka_unit_test(what_does_not_fit_is_left_out),
    };
    return cmocka_run_group_tests_name("base/field_line", tests, NULL, NULL);
}
