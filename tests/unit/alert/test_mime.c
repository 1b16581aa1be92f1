#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "alert/mime.h"

enum { ROOM = 64 * 1024 };

static void assert_text_field(struct str text, const char *expected)
{
    struct buf b;
    buf_init(&b, ROOM);
    mime_text_field(&b, "Subject", text);
    if (!str_eq(buf_str(&b), str_from(expected))) {
        print_error("got\n%.*s\nnot\n%s\n", STR_FMT(buf_str(&b)), expected);
        fail();
    }
    buf_fini(&b);
}

static void plain_text_stays_as_it_is_and_folds_at_spaces(void **state)
{
    (void)state;
    assert_text_field(STR("[ALERT] LLM Failover: gpu1 -> gpu2"),
                      "Subject: [ALERT] LLM Failover: gpu1 -> gpu2\r\n");
    assert_text_field(STR("[ALERT] LLM Failover: a-backend-with-quite-a-long-name -> "
                          "another-backend-with-a-name"),
                      "Subject: [ALERT] LLM Failover: a-backend-with-quite-a-long-name ->\r\n"
                      " another-backend-with-a-name\r\n");
}

static void other_text_goes_as_encoded_words(void **state)
{
    (void)state;
    assert_text_field(STR("\xc3\xa4"), "Subject: =?UTF-8?B?w6Q=?=\r\n");
    assert_text_field(STR(""), "Subject: =?UTF-8?B?"
                               "?=\r\n");
    assert_text_field(STR(" a"), "Subject: =?UTF-8?B?IGE=?=\r\n");
    assert_text_field(STR("a  b"), "Subject: =?UTF-8?B?YSAgYg==?=\r\n");
    /* It must not be decoded to what it is not. */
    assert_text_field(STR("=?x"), "Subject: =?UTF-8?B?PT94?=\r\n");
}

/* Every line is short, goes on with a space, and no character is torn apart between words. */
static void assert_folded_well(struct str field)
{
    bool is_first = true;
    while (field.len > 0) {
        struct str line = str_cut(&field, '\n');
        assert_true(line.len >= 1 && line.len <= 77);
        assert_int_equal(line.ptr[line.len - 1], '\r');
        assert_true(is_first || line.ptr[0] == ' ');
        is_first = false;
    }
}

static void long_text_is_many_short_words(void **state)
{
    struct buf b;
    char text[1200];
    (void)state;
    for (size_t i = 0; i < sizeof(text); i += 4) {
        memcpy(text + i, "\xf0\x9f\x94\xa5", 4);
    }
    buf_init(&b, ROOM);
    mime_text_field(&b, "Subject", str_of(text, sizeof(text)));
    assert_folded_well(buf_str(&b));
    /* Characters of four bytes, in a word of 39: it ends behind the ninth. */
    assert_true(str_has(buf_str(&b), STR("?=\r\n =?UTF-8?B?8J+U")));
    buf_fini(&b);
}

static void a_line_end_can_never_start_a_field(void **state)
{
    struct buf b;
    (void)state;
    /* Clean texts hold none; should one come all the same, it is encoded. */
    buf_init(&b, ROOM);
    mime_text_field(&b, "Subject", STR("a\r\nBcc: evil@example.com"));
    assert_false(str_has(buf_str(&b), STR("Bcc")));
    assert_folded_well(buf_str(&b));
    buf_fini(&b);
}

static void a_word_longer_than_any_line_is_encoded(void **state)
{
    struct buf b;
    char text[500];
    (void)state;
    memset(text, 'x', sizeof(text));
    buf_init(&b, ROOM);
    mime_text_field(&b, "Subject", str_of(text, sizeof(text)));
    assert_folded_well(buf_str(&b));
    buf_fini(&b);
}

static void lists_fold_between_their_items(void **state)
{
    static const struct str TO[] = {STR_INIT("first.person@department.example.com"),
                                    STR_INIT("second.person@department.example.com"),
                                    STR_INIT("third@example.com")};
    struct buf b;
    (void)state;
    buf_init(&b, ROOM);
    mime_list_field(&b, "To", TO, 3);
    assert_true(str_eq(buf_str(&b),
                       STR("To: first.person@department.example.com,\r\n"
                           " second.person@department.example.com, third@example.com\r\n")));
    buf_fini(&b);
}

static void assert_quoted(struct str text, const char *expected)
{
    struct buf b;
    buf_init(&b, ROOM);
    mime_quoted(&b, text);
    if (!str_eq(buf_str(&b), str_from(expected))) {
        print_error("got\n%.*s\nnot\n%s\n", STR_FMT(buf_str(&b)), expected);
        fail();
    }
    buf_fini(&b);
}

static void bodies_are_quoted_printable(void **state)
{
    (void)state;
    assert_quoted(STR("a b\n"), "a b\r\n");
    assert_quoted(STR("a=b \nc\t\n"), "a=3Db=20\r\nc=09\r\n");
    assert_quoted(STR("\xc3\xa4\r\n"), "=C3=A4\r\n");
    assert_quoted(STR(".\n..\n"), "=2E\r\n=2E.\r\n");
    assert_quoted(STR("a\n\nb"), "a\r\n\r\nb\r\n");
    assert_quoted(STR("\r\x1b\n"), "=0D=1B\r\n");
}

static void long_lines_are_broken_softly(void **state)
{
    char text[200];
    char expected[400];
    (void)state;
    memset(text, 'x', 160);
    (void)snprintf(expected, sizeof(expected), "%.75s=\r\n%.75s=\r\n%.10s\r\n", text, text,
                   text);
    assert_quoted(str_of(text, 160), expected);
    /* An escape is not broken, and a dot that comes to stand first is one. */
    text[74] = '=';
    text[75] = '.';
    (void)snprintf(expected, sizeof(expected), "%.74s=\r\n=3D.%.71s=\r\n%.13s\r\n", text, text,
                   text);
    assert_quoted(str_of(text, 160), expected);
    memset(text, 'x', 160);
    text[75] = '.';
    (void)snprintf(expected, sizeof(expected), "%.75s=\r\n=2E%.72s=\r\n%.12s\r\n", text, text,
                   text);
    assert_quoted(str_of(text, 160), expected);
}

static void base64_is_that_of_the_standard(void **state)
{
    static const struct {
        struct str text;
        const char *code;
    } ROWS[] = {{STR_INIT(""), ""},
                {STR_INIT("f"), "Zg=="},
                {STR_INIT("fo"), "Zm8="},
                {STR_INIT("foo"), "Zm9v"},
                {STR_INIT("foob"), "Zm9vYg=="},
                {STR_INIT("\xff\xfe\xfd\0"), "//79AA=="}};
    struct arena a;
    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        assert_string_equal(mime_base64(&a, ROWS[i].text).ptr, ROWS[i].code);
    }
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_stays_as_it_is_and_folds_at_spaces),
        cmocka_unit_test(other_text_goes_as_encoded_words),
        cmocka_unit_test(long_text_is_many_short_words),
        cmocka_unit_test(a_line_end_can_never_start_a_field),
        cmocka_unit_test(a_word_longer_than_any_line_is_encoded),
        cmocka_unit_test(lists_fold_between_their_items),
        cmocka_unit_test(bodies_are_quoted_printable),
        cmocka_unit_test(long_lines_are_broken_softly),
        cmocka_unit_test(base64_is_that_of_the_standard),
    };
    return cmocka_run_group_tests_name("alert/mime", tests, NULL, NULL);
}
