#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/http_chars.h"

/* The spans take many bytes at once; the table says what each one should have said. */

enum { LONGEST = 40 };

static bool is_text(unsigned char c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* One byte of another kind at each place of texts of each length, in memory of their own so
 * that a read beyond the end shows. */
static void spans_end_at_the_first_other_byte(void **state)
{
    static const enum http_class classes[] = {HTTP_TOKEN, HTTP_TARGET, HTTP_HOST, HTTP_HEX,
                                              HTTP_DIGIT};
    static const char fillers[] = "7aF-z";
    (void)state;
    for (size_t len = 1; len <= LONGEST; len++) {
        char *text = malloc(len);
        assert_non_null(text);
        for (unsigned i = 0; i < 256 * 5; i++) {
            char filler = fillers[i % 5];
            size_t at = i % len;
            memset(text, filler, len);
            text[at] = (char)(i / 5);
            for (size_t c = 0; c < sizeof(classes) / sizeof(classes[0]); c++) {
                size_t want = 0;
                while (want < len && http_is(text[want], classes[c])) {
                    want++;
                }
                assert_int_equal(http_class_span(str_of(text, len), classes[c]), want);
            }
            size_t want = is_text((unsigned char)(i / 5)) ? len : at;
            assert_int_equal(http_text_span(str_of(text, len)), want);
        }
        free(text);
    }
}

static void a_token_has_something_in_it(void **state)
{
    (void)state;
    assert_false(http_is_token(STR("")));
    assert_true(http_is_token(STR("X-Request-Id_of.the-caller!")));
    assert_false(http_is_token(STR("X-Request-Id_of the-caller")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_end_at_the_first_other_byte),
        cmocka_unit_test(a_token_has_something_in_it),
    };
    return cmocka_run_group_tests_name("http_chars", tests, NULL, NULL);
}
