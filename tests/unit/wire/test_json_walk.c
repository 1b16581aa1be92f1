#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/json.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void expect_str(struct str got, struct str want)
{
    if (!str_eq(got, want)) {
        fail_msg("\"%.*s\", not \"%.*s\"", STR_FMT(got), STR_FMT(want));
    }
}

/* Text that may be walked: the check is what gives the walk its right to trust it. */
static struct str checked(const char *text)
{
    size_t at = 0;
    struct str s = str_from(text);
    enum err e = json_check(s, &at);
    if (e != ERR_OK) {
        fail_msg("%s: %s at %zu", text, err_name(e), at);
    }
    return s;
}

static void trims_white_space(void **state)
{
    (void)state;
    expect_str(json_value(STR(" \r\n\t[ 1 ] \n")), STR("[ 1 ]"));
    expect_str(json_value(STR("1")), STR("1"));
    assert_int_equal(json_value(STR("  ")).len, 0);
    assert_int_equal(json_value(STR_NONE).len, 0);
}

static void tells_types(void **state)
{
    (void)state;
    assert_int_equal(json_type_of(STR("{}")), JSON_OBJECT);
    assert_int_equal(json_type_of(STR("[]")), JSON_ARRAY);
    assert_int_equal(json_type_of(STR("\"\"")), JSON_STRING);
    assert_int_equal(json_type_of(STR("-1")), JSON_NUMBER);
    assert_int_equal(json_type_of(STR("0")), JSON_NUMBER);
    assert_int_equal(json_type_of(STR("true")), JSON_TRUE);
    assert_int_equal(json_type_of(STR("false")), JSON_FALSE);
    assert_int_equal(json_type_of(STR("null")), JSON_NULL);
    assert_int_equal(json_type_of(STR_NONE), JSON_NULL);
}

static void walks_an_object(void **state)
{
    (void)state;
    struct json_iter it;
    json_iter_init(&it,
                   checked(" { \"a\" : 1 ,\n\"b\\n\":[1,{\"x\":\"]}\"}] , \"\":\"q\\\"}\" } "));
    assert_true(json_iter_next(&it));
    expect_str(it.key, STR("a"));
    expect_str(it.value, STR("1"));
    expect_str(it.whole, STR("\"a\" : 1"));
    assert_true(json_iter_next(&it));
    expect_str(it.key, STR("b\\n"));
    expect_str(it.value, STR("[1,{\"x\":\"]}\"}]"));
    expect_str(it.whole, STR("\"b\\n\":[1,{\"x\":\"]}\"}]"));
    assert_true(json_iter_next(&it));
    expect_str(it.key, STR(""));
    expect_str(it.value, STR("\"q\\\"}\""));
    assert_false(json_iter_next(&it));
    assert_false(json_iter_next(&it));
}

static void walks_an_array(void **state)
{
    (void)state;
    static const char *const want[] = {"1",       "-2.5e3", "null",   "true",
                                       "[[],[]]", "{}",     "\"a,b\""};
    struct json_iter it;
    size_t count = 0;
    json_iter_init(&it, checked("[1,-2.5e3 , null,true ,[[],[]],{},\"a,b\" ]"));
    for (; json_iter_next(&it); count++) {
        assert_true(count < COUNT_OF(want));
        expect_str(it.value, str_from(want[count]));
        expect_str(it.whole, it.value);
        assert_int_equal(it.key.len, 0);
    }
    assert_int_equal(count, COUNT_OF(want));
}

static void walks_nothing_in_a_scalar(void **state)
{
    (void)state;
    static const char *const texts[] = {"1",   "\"{}\"", "null", "{}", "[]",
                                        "[ ]", "{ }",    "",     " "};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct json_iter it;
        json_iter_init(&it, str_from(texts[i]));
        assert_false(json_iter_next(&it));
    }
}

/* Strings full of marks, moved through every place of a block, must not end the nest early. */
static void skips_nests_wherever_their_marks_lie(void **state)
{
    (void)state;
    for (int before = 0; before < 36; before++) {
        char text[160];
        char want[160];
        snprintf(want, sizeof(want),
                 "{\"%.*s\":[\"]}\\\\\",\"\\\"[{\",\"\\\\\\\"\",[[]],{\"\\u0022\":[]}]}",
                 before, "abcdefghijklmnopqrstuvwxyz0123456789");
        int len = snprintf(text, sizeof(text), "[%s,7]", want);
        char *copy = malloc((size_t)len);
        assert_non_null(copy);
        memcpy(copy, text, (size_t)len);
        struct json_iter it;
        checked(text);
        json_iter_init(&it, str_of(copy, (size_t)len));
        assert_true(json_iter_next(&it));
        expect_str(it.value, str_from(want));
        assert_true(json_iter_next(&it));
        expect_str(it.value, STR("7"));
        assert_false(json_iter_next(&it));
        free(copy);
    }
}

static void gets_members(void **state)
{
    (void)state;
    struct str o =
        checked("{\"a\":1,\"b\":{\"x\":1,\"y\":2,\"\\u0078\":3},\"\\ud83d\\ude00\":4}");
    expect_str(json_get(o, "a"), STR("1"));
    expect_str(json_get(o, "\xf0\x9f\x98\x80"), STR("4"));
    expect_str(json_get(json_get(o, "b"), "x"), STR("3"));
    assert_int_equal(json_get(o, "c").len, 0);
    assert_int_equal(json_get(o, "").len, 0);
    assert_int_equal(json_get(STR("[1]"), "0").len, 0);
    assert_int_equal(json_get(STR("1"), "a").len, 0);
    assert_int_equal(json_get(STR_NONE, "a").len, 0);
}

static void follows_paths(void **state)
{
    (void)state;
    struct str v =
        checked(" {\"choices\":[{\"delta\":{\"content\":\"hi\"}},{\"index\":1}],\"n\":5}");
    expect_str(json_path(v, "choices", "0", "delta", "content", NULL), STR("\"hi\""));
    expect_str(json_path(v, "choices", "1", "index", NULL), STR("1"));
    expect_str(json_path(v, "n", NULL), STR("5"));
    expect_str(json_path(v, NULL), json_value(v));
    assert_int_equal(json_path(v, "choices", "2", NULL).len, 0);
    assert_int_equal(json_path(v, "choices", "x", NULL).len, 0);
    assert_int_equal(json_path(v, "choices", "-1", NULL).len, 0);
    assert_int_equal(json_path(v, "choices", "index", NULL).len, 0);
    assert_int_equal(json_path(v, "n", "0", NULL).len, 0);
    assert_int_equal(json_path(v, "none", "0", "x", NULL).len, 0);
    assert_int_equal(json_path(STR_NONE, "a", NULL).len, 0);
}

static void compares_keys_unescaped(void **state)
{
    (void)state;
    assert_true(json_key_eq(STR("abc"), STR("abc")));
    assert_true(json_key_eq(STR(""), STR("")));
    assert_true(json_key_eq(STR("\\u0061bc"), STR("abc")));
    assert_true(json_key_eq(STR("a\\\\b"), STR("a\\b")));
    assert_true(json_key_eq(STR("\\u00e9"), STR("\xc3\xa9")));
    assert_false(json_key_eq(STR("a\\\\b"), STR("a\\\\b")));
    assert_false(json_key_eq(STR("abc"), STR("abd")));
    assert_false(json_key_eq(STR("abc"), STR("ab")));
    assert_false(json_key_eq(STR("ab"), STR("abc")));
    assert_false(json_key_eq(STR("\\u0061bc"), STR("abcd")));
    assert_false(json_key_eq(STR("\\u0061bc"), STR("ab")));
    assert_false(json_key_eq(STR("\\u0061"), STR("")));
}

static void a_walk_knows_whether_a_key_has_escapes(void **state)
{
    (void)state;
    struct json_iter it;
    json_iter_init(&it, checked("{\"ab\":1,\"\\u0061c\":2,\"sixteen_bytes_or_m\\u006fre\":3}"));
    assert_true(json_iter_next(&it));
    assert_false(it.key_has_escape);
    assert_true(json_key_is(&it, STR("ab")) && !json_key_is(&it, STR("a")));
    assert_true(json_iter_next(&it));
    assert_true(it.key_has_escape);
    assert_true(json_key_is(&it, STR("ac")) && !json_key_is(&it, STR("\\u0061c")));
    assert_true(json_iter_next(&it));
    assert_true(it.key_has_escape);
    assert_true(json_key_is(&it, STR("sixteen_bytes_or_more")));
    assert_false(json_iter_next(&it));
}

static void resolves_strings(void **state)
{
    (void)state;
    static const struct {
        struct str value;
        struct str text;
    } rows[] = {
        {STR_INIT("\"\""), STR_INIT("")},
        {STR_INIT("\"plain \xc3\xa9\""), STR_INIT("plain \xc3\xa9")},
        {STR_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), STR_INIT("\"\\/\b\f\n\r\t")},
        {STR_INIT("\"a\\u0041\\u00e9\\u20AC\\ud83d\\ude00z\""),
         STR_INIT("aA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z")},
        {STR_INIT("\"\\u0000\""), STR_INIT("\0")},
        {STR_INIT("\"\\u007f\\u0080\\u07ff\\u0800\\uffff\\udbff\\udfff\""),
         STR_INIT("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf")},
        {STR_INIT("\"one\\ntwo three four\\n\\nend\""), STR_INIT("one\ntwo three four\n\nend")},
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct str out;
        assert_int_equal(json_text(rows[i].value, &a, &out), ERR_OK);
        expect_str(out, rows[i].text);
        assert_int_equal(json_text_len(rows[i].value), rows[i].text.len);
    }
    arena_fini(&a);
}

static void copies_only_strings_with_escapes(void **state)
{
    (void)state;
    struct arena a;
    struct str out = STR("kept");
    struct str value = STR("\"abc\"");
    arena_init(&a);
    assert_int_equal(json_text(value, &a, &out), ERR_OK);
    assert_ptr_equal(out.ptr, value.ptr + 1);
    assert_int_equal(arena_used(&a), 0);
    out = STR("kept");
    assert_int_equal(json_text(STR("1"), &a, &out), ERR_TYPE);
    assert_int_equal(json_text(STR("null"), &a, &out), ERR_TYPE);
    assert_int_equal(json_text(STR_NONE, &a, &out), ERR_TYPE);
    expect_str(out, STR("kept"));
    assert_int_equal(json_text_len(STR("[\"a\"]")), 0);
    assert_int_equal(json_text_len(STR_NONE), 0);
    arena_fini(&a);
}

static void reads_whole_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        enum err e;
        uint64_t number;
    } rows[] = {
        {"0", 0, ERR_OK, 0},
        {"-0", 10, ERR_OK, 0},
        {"0e5", 10, ERR_OK, 0},
        {"0.000", 10, ERR_OK, 0},
        {"0e99999999999999999999999", 10, ERR_OK, 0},
        {"512", 512, ERR_OK, 512},
        {"513", 512, ERR_RANGE, 0},
        {"5.0", 10, ERR_OK, 5},
        {"1e3", 10000, ERR_OK, 1000},
        {"1E+3", 10000, ERR_OK, 1000},
        {"1.5e1", 100, ERR_OK, 15},
        {"0.0012e4", 100, ERR_OK, 12},
        {"120e-1", 100, ERR_OK, 12},
        {"1000000000000000000000000e-24", 100, ERR_OK, 1},
        {"18446744073709551615", UINT64_MAX, ERR_OK, UINT64_MAX},
        {"18446744073709551615.000", UINT64_MAX, ERR_OK, UINT64_MAX},
        {"1844674407370955161.5e1", UINT64_MAX, ERR_OK, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, ERR_RANGE, 0},
        {"18446744073709551615", UINT64_MAX - 1, ERR_RANGE, 0},
        {"1e19", UINT64_MAX, ERR_OK, 10000000000000000000U},
        {"1e20", UINT64_MAX, ERR_RANGE, 0},
        {"1e999999999999999999999", UINT64_MAX, ERR_RANGE, 0},
        {"100000000000000000000000000000001", UINT64_MAX, ERR_RANGE, 0},
        {"-1", 10, ERR_RANGE, 0},
        {"-1e30", 10, ERR_RANGE, 0},
        {"1.5", 10, ERR_TYPE, 0},
        {"-1.5", 10, ERR_TYPE, 0},
        {"1e-1", 10, ERR_TYPE, 0},
        {"1e-99999999999999999999", 10, ERR_TYPE, 0},
        {"1.00000000000000000000000000000000001", 10, ERR_TYPE, 0},
        {"\"1\"", 10, ERR_TYPE, 0},
        {"true", 10, ERR_TYPE, 0},
        {"null", 10, ERR_TYPE, 0},
        {"[1]", 10, ERR_TYPE, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t number = 77;
        enum err e = json_u64(checked(rows[i].text), rows[i].max, &number);
        if (e != rows[i].e || number != (e == ERR_OK ? rows[i].number : 77)) {
            fail_msg("%s: %s, %ju", rows[i].text, err_name(e), (uintmax_t)number);
        }
    }
    uint64_t number;
    assert_int_equal(json_u64(STR_NONE, 1, &number), ERR_TYPE);
}

static void expect_double(struct str value, double want)
{
    double number = 77;
    assert_int_equal(json_double(value, &number), ERR_OK);
    assert_true(number >= want && number <= want);
}

/* Numbers of each length, with the point at each place, against the C library. */
static void reads_short_doubles_as_the_library_does(void **state)
{
    static const char digits[] = "90071992547409931234";
    (void)state;
    for (size_t len = 1; len < sizeof(digits); len++) {
        for (size_t point = 1; point <= len; point++) {
            char text[32];
            int size = point < len ? snprintf(text, sizeof(text), "%.*s.%.*s", (int)point,
                                              digits, (int)(len - point), digits + point)
                                   : snprintf(text, sizeof(text), "%.*s", (int)len, digits);
            expect_double(str_of(text, (size_t)size), strtod(text, NULL));
        }
    }
    for (unsigned i = 0; i < 20000; i++) {
        char text[32];
        int size = snprintf(text, sizeof(text), "%u.%06u", i % 7, i * 49999 % 1000000);
        expect_double(str_of(text, (size_t)size), strtod(text, NULL));
    }
}

static void reads_doubles(void **state)
{
    (void)state;
    char many[400];
    double number = 77;
    expect_double(STR("0.7"), 0.7);
    expect_double(STR("-1e-3"), -1e-3);
    expect_double(str_of("12345", 2), 12);
    expect_double(STR("1e-400"), 0);
    expect_double(STR("1.7976931348623157e308"), 1.7976931348623157e308);
    memset(many, '0', sizeof(many));
    many[0] = '3';
    many[1] = '.';
    expect_double(str_of(many, sizeof(many)), 3);
    many[1] = '0';
    assert_int_equal(json_double(str_of(many, sizeof(many)), &number), ERR_RANGE);
    assert_int_equal(json_double(STR("1e400"), &number), ERR_RANGE);
    assert_int_equal(json_double(STR("-1e400"), &number), ERR_RANGE);
    assert_int_equal(json_double(STR("\"1\""), &number), ERR_TYPE);
    assert_int_equal(json_double(STR_NONE, &number), ERR_TYPE);
    assert_true(number > 76);
}

static void knows_true(void **state)
{
    (void)state;
    assert_true(json_is_true(STR("true")));
    assert_false(json_is_true(STR("false")));
    assert_false(json_is_true(STR("1")));
    assert_false(json_is_true(STR("\"true\"")));
    assert_false(json_is_true(STR_NONE));
}

static void quotes_text(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        struct str quoted;
    } rows[] = {
        {STR_INIT(""), STR_INIT("\"\"")},
        {STR_INIT("llama/3.3"), STR_INIT("\"llama/3.3\"")},
        {STR_INIT("a\"b\\c"), STR_INIT("\"a\\\"b\\\\c\"")},
        {STR_INIT("\b\t\n\v\f\r\x1f\x7f"), STR_INIT("\"\\b\\t\\n\\u000b\\f\\r\\u001f\x7f\"")},
        {STR_INIT("\0"), STR_INIT("\"\\u0000\"")},
        {STR_INIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
         STR_INIT("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"")},
        {STR_INIT("a\xff\xe2\x82"), STR_INIT("\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")},
        {STR_INIT("\xed\xa0\x80z"), STR_INIT("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"")},
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        expect_str(json_quote(&a, rows[i].text), rows[i].quoted);
    }
    expect_str(json_quote(&a, STR_NONE), STR("\"\""));
    arena_fini(&a);
}

/* Whatever the bytes, the quoted form is JSON; UTF-8 comes back as it was. */
static void quotes_every_byte_so_that_it_reads_back(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    for (int byte = 0; byte < 256; byte++) {
        char text[] = "sixteen bytes on_and more";
        struct str out;
        size_t at;
        text[16] = (char)byte;
        struct str s = str_of(text, sizeof(text) - 1);
        struct str quoted = json_quote(&a, s);
        assert_int_equal(json_check(quoted, &at), ERR_OK);
        assert_int_equal(json_text(quoted, &a, &out), ERR_OK);
        assert_true(byte >= 0x80 || str_eq(out, s));
    }
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trims_white_space),
        cmocka_unit_test(tells_types),
        cmocka_unit_test(walks_an_object),
        cmocka_unit_test(walks_an_array),
        cmocka_unit_test(walks_nothing_in_a_scalar),
        cmocka_unit_test(skips_nests_wherever_their_marks_lie),
        cmocka_unit_test(gets_members),
        cmocka_unit_test(follows_paths),
        cmocka_unit_test(compares_keys_unescaped),
        cmocka_unit_test(a_walk_knows_whether_a_key_has_escapes),
        cmocka_unit_test(resolves_strings),
        cmocka_unit_test(copies_only_strings_with_escapes),
        cmocka_unit_test(reads_whole_numbers),
        cmocka_unit_test(reads_doubles),
        cmocka_unit_test(reads_short_doubles_as_the_library_does),
        cmocka_unit_test(knows_true),
        cmocka_unit_test(quotes_text),
        cmocka_unit_test(quotes_every_byte_so_that_it_reads_back),
    };
    return cmocka_run_group_tests_name("wire/json_walk", tests, NULL, NULL);
}
