#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/http_entry.h"

static struct http_request request_with(const struct http_header *header)
{
    return (struct http_request){.minor = 1, .header = {*header}, .header_count = 1};
}

static void lets_in_whoever_has_the_token(void **state)
{
    static const struct {
        const char *value;
        bool is_in;
    } rows[] = {{"Bearer secret", true},   {"bearer  secret ", true}, {"Bearer secre", false},
                {"Bearer secrets", false}, {"Bearer ", false},        {"Basic secret", false},
                {"secret", false}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_header header = {STR("Authorization"), str_from(rows[i].value)};
        struct http_request q = request_with(&header);
        assert_int_equal(http_has_token(&q, STR("secret")), rows[i].is_in);
    }
}

static void tells_an_empty_bearer_from_none(void **state)
{
    struct http_header header = {STR("authorization"), STR("Bearer ")};
    struct http_header other = {STR("x-api-key"), STR("k")};
    struct http_request q = request_with(&header);
    struct http_request r = request_with(&other);
    struct str bearer = STR("untouched");
    (void)state;
    assert_false(http_bearer(&r, &bearer));
    assert_true(str_eq(bearer, STR("untouched")));
    assert_true(http_bearer(&q, &bearer));
    assert_int_equal(bearer.len, 0);
}

static void knows_loopback_by_its_names(void **state)
{
    static const struct {
        const char *host;
        bool is_fine;
    } rows[] = {{"127.0.0.1:8401", true}, {"127.0.0.1", true},  {"localhost:1", true},
                {"[::1]", true},          {"[::1]:8401", true}, {"evil.example", false},
                {"10.0.0.1:8401", false}, {"a b", false}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_header header = {STR("Host"), str_from(rows[i].host)};
        struct http_request q = request_with(&header);
        assert_int_equal(http_names_loopback(&q), rows[i].is_fine);
    }
}

static void only_http_1_0_may_have_no_host(void **state)
{
    struct http_request q = {.minor = 1};
    (void)state;
    assert_false(http_names_loopback(&q));
    q.minor = 0;
    assert_true(http_names_loopback(&q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_in_whoever_has_the_token),
        cmocka_unit_test(tells_an_empty_bearer_from_none),
        cmocka_unit_test(knows_loopback_by_its_names),
        cmocka_unit_test(only_http_1_0_may_have_no_host),
    };
    return cmocka_run_group_tests_name("wire/http_entry", tests, NULL, NULL);
}
