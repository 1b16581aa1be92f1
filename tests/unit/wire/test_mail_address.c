#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "wire/mail_address.h"

static void takes_plain_addresses(void **state)
{
    static const char *const GOOD[] = {
        "ops@example.com",         "a@b",  "first.last+tag@sub-1.example.com", "root@localhost",
        "!#$%&'*+-/=?^_`{|}~@x.y", "x@1.2"};
    const char *why = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        if (!mail_address_is_good(str_from(GOOD[i]), &why)) {
            print_error("%s is refused: %s\n", GOOD[i], why);
            fail();
        }
    }
}

static void refuses_whatever_could_end_a_header_or_a_command(void **state)
{
    static const struct str BAD[] = {
        STR_INIT(""),
        STR_INIT("@"),
        STR_INIT("ops"),
        STR_INIT("ops@"),
        STR_INIT("@example.com"),
        STR_INIT("a@b@c"),
        STR_INIT(".a@b"),
        STR_INIT("a.@b"),
        STR_INIT("a..b@c"),
        STR_INIT("a b@c"),
        STR_INIT("a@b c"),
        STR_INIT("a@b\r\nBcc: x@y"),
        STR_INIT("a\r\nRCPT TO:<x@y>@b"),
        STR_INIT("a\n@b"),
        STR_INIT("a\0b@c"),
        STR_INIT("a@b\0"),
        STR_INIT("a\t@b"),
        STR_INIT("a@b\x7f"),
        STR_INIT("<a@b>"),
        STR_INIT("Ops <a@b>"),
        STR_INIT("a@b, c@d"),
        STR_INIT("a@b;c"),
        STR_INIT("\"a b\"@c"),
        STR_INIT("a(x)@b"),
        STR_INIT("a@[127.0.0.1]"),
        STR_INIT("a@-b"),
        STR_INIT("a@b-.c"),
        STR_INIT("a@b."),
        STR_INIT("a@.b"),
        STR_INIT("a@b..c"),
        STR_INIT("a@b_c"),
        STR_INIT("\xc3\xa4@b"),
        STR_INIT("a@\xc3\xa4.de"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        const char *why = NULL;
        if (mail_address_is_good(BAD[i], &why)) {
            print_error("'%.*s' is taken\n", STR_FMT(BAD[i]));
            fail();
        }
        assert_non_null(why);
    }
}

static void refuses_what_is_longer_than_smtp_allows(void **state)
{
    char text[400];
    const char *why = NULL;
    (void)state;
    int len = snprintf(text, sizeof(text), "%064d@b", 1);
    assert_true(mail_address_is_good(str_of(text, (size_t)len), &why));
    len = snprintf(text, sizeof(text), "%065d@b", 1);
    assert_false(mail_address_is_good(str_of(text, (size_t)len), &why));
    len = snprintf(text, sizeof(text), "a@%063d.b", 1);
    assert_true(mail_address_is_good(str_of(text, (size_t)len), &why));
    len = snprintf(text, sizeof(text), "a@%064d.b", 1);
    assert_false(mail_address_is_good(str_of(text, (size_t)len), &why));
    len = snprintf(text, sizeof(text), "a@%060d.%060d.%060d.%060d.b%08d", 1, 1, 1, 1, 1);
    assert_int_equal(len, 255);
    assert_false(mail_address_is_good(str_of(text, (size_t)len), &why));
    len = snprintf(text, sizeof(text), "a@%060d.%060d.%060d.%060d.b%07d", 1, 1, 1, 1, 1);
    assert_true(mail_address_is_good(str_of(text, (size_t)len), &why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_plain_addresses),
        cmocka_unit_test(refuses_whatever_could_end_a_header_or_a_command),
        cmocka_unit_test(refuses_what_is_longer_than_smtp_allows),
    };
    return cmocka_run_group_tests_name("wire/mail_address", tests, NULL, NULL);
}
