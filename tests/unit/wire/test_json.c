#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "wire/json.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* --- checking --- */

/* By both paths, from memory of exactly this size (so that ASan sees a read past it). */
static enum err check_both(struct str text, size_t *at)
{
    char *copy = malloc(text.len > 0 ? text.len : 1);
    size_t portable_at = SIZE_MAX;
    assert_non_null(copy);
    if (text.len > 0) {
        memcpy(copy, text.ptr, text.len);
    }
    *at = SIZE_MAX;
    enum err e = json_check(str_of(copy, text.len), at);
    enum err portable = json_check_portable(str_of(copy, text.len), &portable_at);
    free(copy);
    assert_int_equal(e, portable);
    assert_int_equal(*at, portable_at);
    return e;
}

static void expect_fault(struct str text, enum err want, size_t want_at)
{
    size_t at;
    enum err e = check_both(text, &at);
    if (e != want || at != want_at) {
        fail_msg("%.*s: %s at %zu, not %s at %zu", STR_FMT(text), err_name(e), at,
                 err_name(want), want_at);
    }
}

static void expect_ok(struct str text)
{
    size_t at;
    enum err e = check_both(text, &at);
    if (e != ERR_OK) {
        fail_msg("%.*s: %s at %zu", STR_FMT(text), err_name(e), at);
    }
}

static const char *const good[] = {
    "null",
    " \t\r\n true \n",
    "false",
    "0",
    "-0",
    "-12.50e+10",
    "1E5",
    "1e-5",
    "10",
    "\"\"",
    "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\uD83D\\uDE00\"",
    "\"\x7f\"",
    "\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"",
    "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
    "\"a long text without anything special, and then \xe4\xbd\xa0\xe5\xa5\xbd\"",
    "[]",
    "{}",
    "[ ]",
    "{ }",
    "[1,[2,[3,{}]],{\"a\":[]}]",
    "{\"a\":1,\"b\":{\"a\":1,\"a\":2},\"\":null}",
    " { \"a\" : [ 1 , 2 ] , \"b\" : \"c\" } ",
    "{\"A\":1,\"a\":2}",
};

static void accepts_what_the_rfc_allows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        expect_ok(str_from(good[i]));
    }
}

static void refuses_every_text_that_ends_too_early_at_its_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        for (size_t len = 0; len < strlen(good[i]); len++) {
            size_t at;
            enum err e = check_both(str_of(good[i], len), &at);
            if (e != ERR_OK && (e != ERR_SYNTAX || at != len)) {
                fail_msg("%.*s: %s at %zu", (int)len, good[i], err_name(e), at);
            }
        }
    }
}

static void points_at_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err e;
        size_t at;
    } rows[] = {
        {"", ERR_SYNTAX, 0},
        {"  ", ERR_SYNTAX, 2},
        {"\xef\xbb\xbf{}", ERR_SYNTAX, 0},
        {"{} {}", ERR_SYNTAX, 3},
        {"nul", ERR_SYNTAX, 3},
        {"nulL", ERR_SYNTAX, 3},
        {"True", ERR_SYNTAX, 0},
        {"NaN", ERR_SYNTAX, 0},
        {"-Infinity", ERR_SYNTAX, 1},
        {"01", ERR_SYNTAX, 1},
        {"-", ERR_SYNTAX, 1},
        {"+1", ERR_SYNTAX, 0},
        {".5", ERR_SYNTAX, 0},
        {"1.", ERR_SYNTAX, 2},
        {"1.e5", ERR_SYNTAX, 2},
        {"1e", ERR_SYNTAX, 2},
        {"1e+ ", ERR_SYNTAX, 3},
        {"0x10", ERR_SYNTAX, 1},
        {"[1,]", ERR_SYNTAX, 3},
        {"[,1]", ERR_SYNTAX, 1},
        {"[1 2]", ERR_SYNTAX, 3},
        {"[1}", ERR_SYNTAX, 2},
        {"]", ERR_SYNTAX, 0},
        {"[]]", ERR_SYNTAX, 2},
        {"{\"a\":1]", ERR_SYNTAX, 6},
        {"{\"a\":1,}", ERR_SYNTAX, 7},
        {"{\"a\":}", ERR_SYNTAX, 5},
        {"{\"a\"}", ERR_SYNTAX, 4},
        {"{a:1}", ERR_SYNTAX, 1},
        {"{1:1}", ERR_SYNTAX, 1},
        {"{\"a\" 1}", ERR_SYNTAX, 5},
        {"{\"a\":1 \"b\":2}", ERR_SYNTAX, 7},
        {"'a'", ERR_SYNTAX, 0},
        {"\"a\nb\"", ERR_SYNTAX, 2},
        {"\"tab\there\"", ERR_SYNTAX, 4},
        {"\"\\x41\"", ERR_SYNTAX, 2},
        {"\"\\u12g4\"", ERR_SYNTAX, 5},
        {"\"\\u 123\"", ERR_SYNTAX, 3},
        {"\"ab\\ud800\"", ERR_SYNTAX, 3},
        {"\"ab\\udc00\"", ERR_SYNTAX, 3},
        {"\"\\ud800x\"", ERR_SYNTAX, 1},
        {"\"\\ud800\\n\"", ERR_SYNTAX, 1},
        {"\"\\ud800\\ud800\"", ERR_SYNTAX, 1},
        {"\"\\ud800\\u0041\"", ERR_SYNTAX, 1},
        {"/**/1", ERR_SYNTAX, 0},
        {"1//", ERR_SYNTAX, 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        expect_fault(str_from(rows[i].text), rows[i].e, rows[i].at);
    }
    expect_fault(STR("\"a\0b\""), ERR_SYNTAX, 2);
    expect_fault(STR("1\0"), ERR_SYNTAX, 1);
}

static void refuses_what_is_not_utf8_at_every_place_in_a_block(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc2 ",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xe2\x82 ",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xfe\xff",
        "\xf0\x9f\x98 ",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        for (int before = 0; before < 40; before++) {
            char text[80];
            int len = snprintf(text, sizeof(text), "\"%.*s%s\"", before,
                               "a text that is longer than two blocks of it", bad[i]);
            expect_fault(str_of(text, (size_t)len), ERR_UTF8, (size_t)before + 1);
        }
    }
    expect_fault(STR("[\"\xe2\x82\xac\",\"\xff\"]"), ERR_UTF8, 8);
}

static void finds_special_bytes_at_every_place_in_a_block(void **state)
{
    (void)state;
    for (size_t len = 2; len < 70; len++) {
        char text[72];
        memset(text, 'x', sizeof(text));
        text[0] = '"';
        text[len - 1] = '"';
        expect_ok(str_of(text, len));
        expect_fault(str_of(text, len - 1), ERR_SYNTAX, len - 1);
        for (size_t i = 1; i + 1 < len; i++) {
            text[i] = '\x1f';
            expect_fault(str_of(text, len), ERR_SYNTAX, i);
            text[i] = '"';
            expect_fault(str_of(text, len), ERR_SYNTAX, i + 1);
            text[i] = 'x';
        }
    }
}

static void limits_depth(void **state)
{
    (void)state;
    char text[2 * JSON_DEPTH_MAX + 2];
    size_t half = JSON_DEPTH_MAX;
    memset(text, '[', half);
    memset(text + half, ']', half);
    expect_ok(str_of(text, 2 * half));
    memset(text, '[', half + 1);
    memset(text + half + 1, ']', half + 1);
    expect_fault(str_of(text, 2 * half + 2), ERR_TOO_DEEP, half);
    text[half] = '1';
    expect_ok(str_of(text, 2 * half + 1));
}

/* {"k0":0,"k1":0,…} with `count` members; the key of the last is `last` unless that is NULL. */
static struct str make_members(struct buf *b, size_t count, const char *last)
{
    buf_init(b, 1 << 20);
    for (size_t i = 0; i < count; i++) {
        const char *start = i > 0 ? "," : "{";
        enum err e = last && i + 1 == count ? buf_printf(b, "%s\"%s\":0", start, last)
                                            : buf_printf(b, "%s\"k%zu\":0", start, i);
        assert_int_equal(e, ERR_OK);
    }
    assert_int_equal(buf_append(b, STR("}")), ERR_OK);
    return buf_str(b);
}

static void limits_top_level_members(void **state)
{
    (void)state;
    struct buf b;
    struct str text = make_members(&b, JSON_MEMBERS_MAX, NULL);
    expect_ok(text);
    buf_fini(&b);
    text = make_members(&b, JSON_MEMBERS_MAX + 1, NULL);
    expect_fault(text, ERR_TOO_LARGE, text.len - strlen("\"k1024\":0}"));
    buf_fini(&b);
}

static void refuses_a_top_level_key_given_twice(void **state)
{
    (void)state;
    expect_fault(STR("{\"a\":1,\"b\":2,\"a\":3}"), ERR_DUPLICATE, 13);
    expect_fault(STR("{\"\":1, \"\":2}"), ERR_DUPLICATE, 7);
    expect_fault(STR("{\"model\":1,\"m\\u006fdel\":2}"), ERR_DUPLICATE, 11);
    expect_fault(STR("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}"), ERR_DUPLICATE, 18);
    expect_fault(STR("{\"\\/\":1,\"/\":2}"), ERR_DUPLICATE, 8);
    expect_ok(STR("{\"\\\\u0061\":1,\"a\":2,\"\\\\a\":3}"));
    expect_ok(STR("[{\"a\":1,\"a\":2}]"));
    /* What is malformed further on is said first: it was not JSON at all. */
    expect_fault(STR("{\"a\":1,\"a\":3} x"), ERR_SYNTAX, 14);
}

static void points_at_the_first_of_several_twins(void **state)
{
    (void)state;
    expect_fault(STR("{\"a\":0,\"b\":0,\"b\":0,\"a\":0}"), ERR_DUPLICATE, 13);
    expect_fault(STR("{\"\\u0061\":0,\"b\":0,\"b\":0,\"a\":0}"), ERR_DUPLICATE, 18);
    expect_fault(STR("{\"a\":0,\"c\\n\":0,\"\\u0061\":0,\"a\":0}"), ERR_DUPLICATE, 15);
    /* Other texts, although first and last byte and length are the same. */
    expect_ok(STR("{\"abc\":0,\"adc\":0,\"aec\":0,\"afc\":0}"));
}

static void finds_a_key_given_twice_among_few_and_many(void **state)
{
    (void)state;
    static const char *const twins[] = {"k0", "k1", "\\u006b0", "k\\u0031"};
    static const size_t counts[] = {2, 3, 15, 16, 17, 18, 100, JSON_MEMBERS_MAX};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        for (size_t k = 0; k < COUNT_OF(twins); k++) {
            struct buf b;
            struct str text = make_members(&b, counts[i], twins[k]);
            bool is_twin = counts[i] > 2 || k % 2 == 0;
            if (is_twin) {
                expect_fault(text, ERR_DUPLICATE, text.len - strlen(twins[k]) - 5);
            } else {
                expect_ok(text);
            }
            buf_fini(&b);
        }
    }
}

/* Digits are taken eight at a time, what ends a text from a block that reaches back. */
static void takes_numbers_and_words_wherever_the_text_ends(void **state)
{
    (void)state;
    static const char nines[] = "-99999999999999999999999999999";
    static const char bytes[] = {'/', ':', 'a', '\x00', '\x7f', '\xb0', '\xff'};
    for (size_t len = 2; len < sizeof(nines); len++) {
        expect_ok(str_of(nines, len));
        for (size_t i = 0; i < (len - 1) * sizeof(bytes); i++) {
            char text[sizeof(nines)];
            size_t at = 1 + i / sizeof(bytes);
            memcpy(text, nines, len);
            text[at] = bytes[i % sizeof(bytes)];
            expect_fault(str_of(text, len), ERR_SYNTAX, at);
        }
    }
    for (int before = 0; before < 40; before++) {
        char text[64];
        int len = snprintf(text, sizeof(text), "[%*s\"ab\",null", before, "");
        expect_fault(str_of(text, (size_t)len), ERR_SYNTAX, (size_t)len);
        text[len - 1] = 'L';
        expect_fault(str_of(text, (size_t)len), ERR_SYNTAX, (size_t)len - 1);
        memcpy(text + len - 1, "l]", 2);
        expect_ok(str_of(text, (size_t)len + 1));
    }
}

static void knows_a_string_that_stands_alone(void **state)
{
    static const struct {
        const char *text;
        bool is_one;
    } rows[] = {
        {"\"\"", true},
        {"\"a\"", true},
        {"\"a longer one, of more than sixteen bytes, plain to its end\"", true},
        {"\"\\n\\u00e9 \xc3\xa9 \\\" and so on for more than sixteen bytes\"", true},
        {"", false},
        {"\"", false},
        {"\"a", false},
        {"a\"", false},
        {"7", false},
        {"\"a\"\"b\"", false},
        {"\"a\",\"b\"", false},
        {"\"a\\\"", false},
        {" \"a\"", false},
        {"\"a\" ", false},
        {"\"\\x\"", false},
        {"\"\t\"", false},
        {"\"sixteen bytes of text before a line end\n\"", false},
        {"\"\xff\"", false},
        {"\"\xc3\"", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (json_is_quoted(str_from(rows[i].text)) != rows[i].is_one) {
            fail_msg("wrong about %s", rows[i].text);
        }
    }
}

static void names_its_path(void **state)
{
    (void)state;
#ifdef __SSE2__
    assert_string_equal(json_check_path(), "sse2");
#else
    assert_string_equal(json_check_path(), "portable");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_the_rfc_allows),
        cmocka_unit_test(refuses_every_text_that_ends_too_early_at_its_length),
        cmocka_unit_test(points_at_what_is_wrong),
        cmocka_unit_test(refuses_what_is_not_utf8_at_every_place_in_a_block),
        cmocka_unit_test(finds_special_bytes_at_every_place_in_a_block),
        cmocka_unit_test(limits_depth),
        cmocka_unit_test(limits_top_level_members),
        cmocka_unit_test(refuses_a_top_level_key_given_twice),
        cmocka_unit_test(points_at_the_first_of_several_twins),
        cmocka_unit_test(finds_a_key_given_twice_among_few_and_many),
        cmocka_unit_test(takes_numbers_and_words_wherever_the_text_ends),
        cmocka_unit_test(knows_a_string_that_stands_alone),
        cmocka_unit_test(names_its_path),
    };
    return cmocka_run_group_tests_name("wire/json", tests, NULL, NULL);
}
