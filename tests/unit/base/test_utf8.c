#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"

static void assert_reads(struct str text, size_t len, uint32_t code)
{
    uint32_t got = 0;
    assert_int_equal(utf8_read(text, &got), len);
    if (len > 0) {
        assert_int_equal(got, code);
    }
}

static void reads_characters_of_every_length(void **state)
{
    (void)state;
    assert_reads(STR("a"), 1, 'a');
    assert_reads(STR("\xc3\xa4z"), 2, 0xe4);
    assert_reads(STR("\xe2\x82\xac"), 3, 0x20ac);
    assert_reads(STR("\xf4\x8f\xbf\xbf"), 4, 0x10ffff);
}

static void reads_nothing_that_is_not_well_formed(void **state)
{
    (void)state;
    assert_reads(STR("\x80"), 0, 0);
    assert_reads(STR("\xc0\xaf"), 0, 0);
    assert_reads(STR("\xe0\x80\xaf"), 0, 0);
    assert_reads(STR("\xed\xa0\x80"), 0, 0);
    assert_reads(STR("\xf4\x90\x80\x80"), 0, 0);
    assert_reads(STR("\xe2\x82"), 0, 0);
    assert_reads(STR("\xc3("), 0, 0);
}

static void what_steers_or_reorders_is_not_shown(void **state)
{
    static const uint32_t HIDDEN[] = {0,      0x1b,   0x7f,   0x85,   0x200b, 0x2028,
                                      0x202e, 0x2066, 0xfeff, 0xfff9, 0xffff};
    (void)state;
    for (size_t i = 0; i < sizeof(HIDDEN) / sizeof(HIDDEN[0]); i++) {
        assert_false(utf8_is_shown(HIDDEN[i]));
    }
    assert_true(utf8_is_shown(' '));
    assert_true(utf8_is_shown(0xe4));
    assert_true(utf8_is_shown(0x1f525));
}

static void a_cut_falls_between_two_characters(void **state)
{
    struct str euro = STR("a\xe2\x82\xac");
    (void)state;
    assert_int_equal(utf8_cut(euro, 9).len, 4);
    assert_int_equal(utf8_cut(euro, 4).len, 4);
    assert_int_equal(utf8_cut(euro, 3).len, 1);
    assert_int_equal(utf8_cut(euro, 2).len, 1);
    assert_int_equal(utf8_cut(euro, 0).len, 0);
}

static void counts_characters(void **state)
{
    (void)state;
    assert_int_equal(utf8_count(STR("")), 0);
    assert_int_equal(utf8_count(STR("a\xc3\xa4\xe2\x82\xac")), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_characters_of_every_length),
        cmocka_unit_test(reads_nothing_that_is_not_well_formed),
        cmocka_unit_test(what_steers_or_reorders_is_not_shown),
        cmocka_unit_test(a_cut_falls_between_two_characters),
        cmocka_unit_test(counts_characters),
    };
    return cmocka_run_group_tests_name("base/utf8", tests, NULL, NULL);
}
