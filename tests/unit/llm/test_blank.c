#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/mem.h"
#include "llm/blank.h"

/* A copy that ends where the text ends, so that ASan sees overruns. */
static size_t trim(const char *text)
{
    struct str all = str_from(text);
    char *copy = malloc(all.len > 0 ? all.len : 1);
    assert_non_null(copy);
    memcpy(copy, all.ptr, all.len);
    size_t kept = blank_trim(str_of(copy, all.len));
    assert_int_equal(blank_is_all(str_of(copy, all.len)), kept == 0);
    free(copy);
    return kept;
}

static void knows_every_white_space_and_no_other(void **state)
{
    static const char *const blanks[] = {
        " ",
        "\\t",
        "\\n",
        "\\r",
        "\\f",
        "\\u000b",
        "\\u000B",
        "\\u001c",
        "\\u001F",
        "\\u0020",
        "\\u0085",
        "\\u00a0",
        "\\u00A0",
        "\\u1680",
        "\\u2000",
        "\\u200a",
        "\\u2028",
        "\\u202F",
        "\\u205f",
        "\\u3000",
        "\xc2\x85",
        "\xc2\xa0",
        "\xe1\x9a\x80",
        "\xe2\x80\x80",
        "\xe2\x80\x85",
        "\xe2\x80\x8a",
        "\xe2\x80\xa8",
        "\xe2\x80\xa9",
        "\xe2\x80\xaf",
        "\xe2\x81\x9f",
        "\xe3\x80\x80",
    };
    static const char *const others[] = {
        "a",        "\\b",      "\\\"",         "\\\\",         "\\/",
        "\\u0000",  "\\u001b",  "\\u200b",      "\\u0061",      "\\ud83d\\ude00",
        "\xc2\x86", "\xc3\xa9", "\xe2\x80\x8b", "\xe3\x80\x81", "\xf0\x9f\x98\x80",
        "\x7f",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++) {
        if (trim(blanks[i]) != 0) {
            fail_msg("%s is white space", blanks[i]);
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (trim(others[i]) != strlen(others[i])) {
            fail_msg("%s is none", others[i]);
        }
    }
}

static void trims_the_end_only(void **state)
{
    static const struct {
        const char *text;
        size_t kept;
    } rows[] = {
        {"", 0},
        {" a", 2},
        {"a b ", 3},
        {"a\\n\\t ", 1},
        {"a\\\\n", 4},
        {"a\\\\\\n", 3},
        {"a\\\\ ", 3},
        {"\\n\\n", 0},
        {"\xc3\xa9\xc2\xa0", 2},
        {"a\\u3000b\\u3000", 8},
        {"a\xe3\x80\x80 x", 6},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (trim(rows[i].text) != rows[i].kept) {
            fail_msg("'%s': %zu", rows[i].text, trim(rows[i].text));
        }
    }
    assert_true(blank_is_all(STR_NONE));
    assert_int_equal(blank_trim(STR_NONE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_every_white_space_and_no_other),
        cmocka_unit_test(trims_the_end_only),
    };
    return cmocka_run_group_tests_name("llm/blank", tests, NULL, NULL);
}
