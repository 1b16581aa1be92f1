#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alert/clean.h"

static void assert_cleaned(struct str text, const char *expected)
{
    struct arena a;
    arena_init(&a);
    struct str got = clean_text(&a, text);
    assert_string_equal(got.ptr, expected);
    assert_int_equal(got.len, strlen(expected));
    arena_fini(&a);
}

static void text_that_can_be_shown_stays(void **state)
{
    (void)state;
    assert_cleaned(STR(""), "");
    assert_cleaned(STR("gpu-1.example (tier 2) & <b> \"x\""),
                   "gpu-1.example (tier 2) & <b> \"x\"");
    assert_cleaned(STR("\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\xa5"),
                   "\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\xa5");
}

static void nothing_ends_a_line_or_steers_a_terminal(void **state)
{
    (void)state;
    assert_cleaned(STR("a\r\nBcc: x"), "a??Bcc: x");
    assert_cleaned(STR("a\0b\tc\x1b[31m\x7f"), "a?b?c?[31m?");
    assert_cleaned(STR("a\xc2\x85z\xe2\x80\xa8y\xe2\x80\xa9"), "a?z?y?"); /* NEL, LS, PS */
    assert_cleaned(STR("a\xe2\x80\xaez\xe2\x81\xa6"), "a?z?");            /* RLO, LRI */
}

static void what_is_no_utf8_goes_byte_by_byte(void **state)
{
    (void)state;
    assert_cleaned(STR("\xff\xfe"), "??");
    assert_cleaned(STR("\xc0\xaf"), "??");           /* overlong slash */
    assert_cleaned(STR("\xed\xa0\x80"), "???");      /* surrogate */
    assert_cleaned(STR("\xf4\x90\x80\x80"), "????"); /* over U+10FFFF */
    assert_cleaned(STR("\xe2\x82"), "??");           /* cut off */
    assert_cleaned(STR("a\xc3"), "a?");
    assert_cleaned(STR("\xc3(x"), "?(x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_that_can_be_shown_stays),
        cmocka_unit_test(nothing_ends_a_line_or_steers_a_terminal),
        cmocka_unit_test(what_is_no_utf8_goes_byte_by_byte),
    };
    return cmocka_run_group_tests_name("alert/clean", tests, NULL, NULL);
}
