#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/json_find.h"

#define WORD "\"image_url\""

static bool has(const char *text)
{
    /* In memory of its own, so that a read beyond its end shows. */
    size_t len = strlen(text);
    char *copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    bool found = json_find_word(str_of(copy, len), STR(WORD));
    free(copy);
    return found;
}

static void finds_a_key_and_a_string(void **state)
{
    (void)state;
    assert_true(has("{" WORD ":{\"url\":\"x\"}}"));
    assert_true(has("[" WORD "]"));
    assert_true(has(WORD));
}

static bool may_begin(struct str text)
{
    /* In memory of its own, as above. */
    char *copy = malloc(text.len + 1);
    assert_non_null(copy);
    memcpy(copy, text.ptr, text.len);
    bool may = json_may_begin_with(str_of(copy, text.len), '_');
    free(copy);
    return may;
}

static void knows_when_nothing_begins_with_an_underscore(void **state)
{
    (void)state;
    assert_true(may_begin(STR("{\"a\":1,\"_backend\":2}")));
    assert_true(may_begin(STR("{\"_\":1}")));
    assert_true(may_begin(STR("[\"\\u005f\"]")));
    assert_false(may_begin(STR("{\"finish_reason\":null,\"a_b\":\"\\n_\",\"c\":\"\\\\\"}")));
    assert_false(may_begin(STR("")));
    assert_false(may_begin(STR("\"")));
    assert_false(may_begin(STR("\"\\")));
}

/* At every place of texts of every length, so that each way through a block is taken. */
static void knows_it_wherever_it_stands(void **state)
{
    static const char *const beginnings[] = {"\"_", "\"\\u"};
    char text[100];
    (void)state;
    for (size_t len = 3; len <= sizeof(text); len++) {
        for (size_t at = 0; at + 3 <= len; at++) {
            memset(text, at % 3 ? '_' : 'x', len);
            text[len - 1] = '"';
            assert_false(may_begin(str_of(text, len)));
            const char *beginning = beginnings[at % 2];
            memcpy(text + at, beginning, strlen(beginning));
            assert_true(may_begin(str_of(text, len)));
        }
    }
}

static void finds_nothing_else(void **state)
{
    static const char *const texts[] = {
        "",
        "\"",
        "\"image_ur",
        "\"image_url",
        "image_url\"",
        "\"image_urls\" \"an_image_url\"",
        "\"see \\\"image_url\\\" there\"",
        "\"image\\u005furl\"",
        "\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\""};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_false(has(texts[i]));
    }
}

/* At every place of texts of every length, so that each way through a block is taken. */
static void finds_it_wherever_it_stands(void **state)
{
    enum { MOST = 100, LEN = sizeof(WORD) - 1 };
    char text[MOST + 1];
    (void)state;
    for (size_t len = LEN; len <= MOST; len++) {
        for (size_t at = 0; at + LEN <= len; at++) {
            memset(text, at % 2 ? '"' : 'e', len);
            text[len] = '\0';
            assert_false(has(text));
            memcpy(text + at, WORD, LEN);
            assert_true(has(text));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_a_key_and_a_string),
        cmocka_unit_test(finds_nothing_else),
        cmocka_unit_test(finds_it_wherever_it_stands),
        cmocka_unit_test(knows_when_nothing_begins_with_an_underscore),
        cmocka_unit_test(knows_it_wherever_it_stands),
    };
    return cmocka_run_group_tests_name("json_find", tests, NULL, NULL);
}
