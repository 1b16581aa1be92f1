#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "llm/canonical.h"

static struct arena arena;

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

static const struct {
    const char *raw;
    const char *canonical;
} rows[] = {
    {"", ""},
    {"plain", "plain"},
    {"\\n\\t\\r\\b\\f\\\"\\\\", "\\n\\t\\r\\b\\f\\\"\\\\"},
    {"a\\/b", "a/b"},
    {"\\u00e9", "\xc3\xa9"},
    {"\\u00E9", "\xc3\xa9"},
    {"\xc3\xa9", "\xc3\xa9"},
    {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
    {"x\\uD83D\\uDE00y", "x\xf0\x9f\x98\x80y"},
    {"\\u000a", "\\n"},
    {"\\u0022\\u005c", "\\\"\\\\"},
    {"\\u0001\\u0000", "\\u0001\\u0000"},
    {"\\u001F", "\\u001f"},
    {"\\u007f", "\x7f"},
    {"\\\\u00e9", "\\\\u00e9"}, /* a backslash, then plain letters */
    {"\\\\\\u00e9", "\\\\\xc3\xa9"},
};

static void writes_every_text_in_one_way(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str out = canonical_text(str_from(rows[i].raw), &arena);
        if (!str_eq(out, str_from(rows[i].canonical))) {
            fail_msg("%s became %.*s", rows[i].raw, STR_FMT(out));
        }
        struct str again = canonical_text(out, &arena);
        assert_true(str_eq(again, out));
        assert_true(str_eq(canonical_unescape(str_from(rows[i].raw), &arena),
                           canonical_unescape(out, &arena)));
    }
}

static void copies_nothing_that_is_so_already(void **state)
{
    struct str raw = STR("a \\\"b\\\" \xc3\xa9\\n");
    (void)state;
    assert_ptr_equal(canonical_text(raw, &arena).ptr, raw.ptr);
    assert_int_equal(arena_used(&arena), 0);
    assert_int_equal(canonical_unescape(STR("x y"), &arena).len, 3);
    assert_int_equal(arena_used(&arena), 0);
    assert_int_equal(canonical_text(STR_NONE, &arena).len, 0);
    assert_int_equal(canonical_unescape(STR_NONE, &arena).len, 0);
}

static void joins_pieces_to_the_same_as_the_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
            struct str whole = arena_printf(&arena, "%s%s", rows[i].raw, rows[k].raw);
            struct str joined =
                arena_printf(&arena, "%s%s", rows[i].canonical, rows[k].canonical);
            assert_true(str_eq(canonical_text(whole, &arena), joined));
        }
    }
}

static void resolves_escapes(void **state)
{
    (void)state;
    struct str text = canonical_unescape(STR("a\\n\\u0000\\ud83d\\ude00\\/"), &arena);
    assert_true(str_eq(text, STR("a\n\0\xf0\x9f\x98\x80/")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_every_text_in_one_way, begin, end),
        cmocka_unit_test_setup_teardown(copies_nothing_that_is_so_already, begin, end),
        cmocka_unit_test_setup_teardown(joins_pieces_to_the_same_as_the_whole, begin, end),
        cmocka_unit_test_setup_teardown(resolves_escapes, begin, end),
    };
    return cmocka_run_group_tests_name("llm/canonical", tests, NULL, NULL);
}
