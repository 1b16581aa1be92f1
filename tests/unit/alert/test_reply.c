#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alert/reply.h"

static void take_all(struct smtp_replies *r, const char *const *lines)
{
    *r = (struct smtp_replies){.last = 0};
    for (size_t i = 0; lines[i]; i++) {
        smtp_replies_take(r, str_from(lines[i]));
    }
}

static void the_last_reply_decides_but_for_a_farewell(void **state)
{
    static const char *const REFUSED[] = {"220 x\r\n", "250 x\r\n", "550 5.1.1 no\r\n",
                                          "221 bye\r\n", NULL};
    static const char *const SILENT[] = {"220 x", "550 5.1.1 no", "354 go on", NULL};
    static const char *const LATER[] = {"220 x", "550 5.1.1 no", "451 4.3.0 full", NULL};
    struct smtp_replies r;
    (void)state;
    take_all(&r, REFUSED);
    assert_int_equal(r.last, 550);
    assert_string_equal(r.last_words, "550 5.1.1 no");
    assert_int_equal(smtp_replies_judge(&r), DELIVERY_REFUSED);
    take_all(&r, SILENT);
    assert_int_equal(r.last, 354);
    assert_int_equal(r.failure, 550);
    assert_string_equal(r.failure_words, "550 5.1.1 no");
    assert_int_equal(smtp_replies_judge(&r), DELIVERY_LATER);
    take_all(&r, LATER);
    assert_int_equal(smtp_replies_judge(&r), DELIVERY_LATER);
}

static void the_lines_of_one_reply_are_joined(void **state)
{
    static const char *const LINES[] = {"250-mail.test\r\n",
                                        "250-AUTH PLAIN\r\n",
                                        "250 HELP\r\n",
                                        "550-5.7.1 one\r\n",
                                        "550-two\r\n",
                                        "550 three\r\n",
                                        NULL};
    struct smtp_replies r;
    (void)state;
    take_all(&r, LINES);
    assert_string_equal(r.failure_words, "550-5.7.1 one two three");
    smtp_replies_take(&r, STR("550 four"));
    assert_string_equal(r.failure_words, "550 four");
}

static void what_is_no_reply_is_left_out(void **state)
{
    static const char *const LINES[] = {"",      "2",      "25",   "099 x", "600 x",
                                        "abc x", "250x x", "\r\n", NULL};
    struct smtp_replies r;
    (void)state;
    take_all(&r, LINES);
    assert_int_equal(r.last, 0);
    smtp_replies_take(&r, STR("554"));
    assert_int_equal(r.last, 554);
}

static void endless_lines_fill_no_more_than_their_room(void **state)
{
    struct smtp_replies r = {.last = 0};
    char line[2000];
    (void)state;
    memset(line, 'x', sizeof(line));
    memcpy(line, "550-", 4);
    for (size_t i = 0; i < 100; i++) {
        smtp_replies_take(&r, str_of(line, sizeof(line)));
    }
    assert_int_equal(strlen(r.failure_words), SMTP_WORDS - 1);
}

static void a_status_says_whether_to_come_again(void **state)
{
    static const struct {
        int status;
        enum delivery what;
    } ROWS[] = {{200, DELIVERED},        {202, DELIVERED},        {204, DELIVERED},
                {301, DELIVERY_REFUSED}, {304, DELIVERY_REFUSED}, {400, DELIVERY_REFUSED},
                {403, DELIVERY_REFUSED}, {404, DELIVERY_REFUSED}, {408, DELIVERY_LATER},
                {410, DELIVERY_REFUSED}, {425, DELIVERY_LATER},   {429, DELIVERY_LATER},
                {500, DELIVERY_LATER},   {503, DELIVERY_LATER},   {0, DELIVERY_LATER}};
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        assert_int_equal(reply_judge_http(ROWS[i].status), ROWS[i].what);
    }
}

static void assert_put(struct str text, size_t size, const char *expected)
{
    static const struct str SECRETS[] = {STR_INIT("sesame"), STR_INIT("abc"), STR_INIT("")};
    char out[240];
    reply_put(out, size, text, SECRETS, 3);
    assert_string_equal(out, expected);
}

static void words_are_one_clean_line_without_secrets(void **state)
{
    (void)state;
    assert_put(STR("  a \r\n\tb\x1b[0m\xff "), 240, "a b?[0m?");
    assert_put(STR("sesame, sesame; sesam abc"), 240, "***, ***; sesam abc");
    assert_put(STR(""), 240, "");
    assert_put(STR("\xe2\x82\xac\xe2\x82\xac"), 6, "\xe2\x82\xac"); /* cut between characters */
    assert_put(STR("xxsesame"), 5, "xx**"); /* first blotted out, then cut */
    assert_put(STR("xxxxsesame"), 8, "xxxx***");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_reply_decides_but_for_a_farewell),
        cmocka_unit_test(the_lines_of_one_reply_are_joined),
        cmocka_unit_test(what_is_no_reply_is_left_out),
        cmocka_unit_test(endless_lines_fill_no_more_than_their_room),
        cmocka_unit_test(a_status_says_whether_to_come_again),
        cmocka_unit_test(words_are_one_clean_line_without_secrets),
    };
    return cmocka_run_group_tests_name("alert/reply", tests, NULL, NULL);
}
