#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/data_url.h"

static void takes_a_data_url_apart(void **state)
{
    static const struct {
        const char *url;
        const char *media_type;
        const char *payload;
    } rows[] = {
        {"data:image/png;base64,aGk=", "image/png", "aGk="},
        {"DATA:image/PNG;charset=x;BASE64,aGkK+/", "image/PNG", "aGkK+/"},
        {"data:;base64,YQ==", "", "YQ=="},
    };
    struct data_url data;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(data_url_read(str_from(rows[i].url), &data));
        assert_true(str_eq(data.media_type, str_from(rows[i].media_type)));
        assert_true(str_eq(data.payload, str_from(rows[i].payload)));
    }
}

static void takes_nothing_else_for_one(void **state)
{
    static const char *const others[] = {
        "",
        "data:",
        "http://h/a.png",
        "data:image/png,abc",
        "data:image/png;base64",
        "data:image/png;base64,",
        "data:image/png;base64,a b",
        "data:image/png;base64,a=b",
        "data:image/png;base64,a===",
        "data:image/png;base64,\xc3\xa9",
        "data:base64,aGk=",
    };
    struct data_url data;
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (data_url_read(str_from(others[i]), &data)) {
            fail_msg("%s", others[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_data_url_apart),
        cmocka_unit_test(takes_nothing_else_for_one),
    };
    return cmocka_run_group_tests_name("llm/data_url", tests, NULL, NULL);
}
