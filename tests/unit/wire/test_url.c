#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "wire/url.h"

struct url_case {
    struct str text;
    bool tls;
    const char *host;
    bool is_ipv6;
    uint16_t port;
    bool has_port;
    const char *path;
};

static void takes_urls_apart(void **state)
{
    (void)state;
    static const struct url_case cases[] = {
        {STR_INIT("http://gpu1:8000"), false, "gpu1", false, 8000, true, ""},
        {STR_INIT("http://gpu1"), false, "gpu1", false, 80, false, ""},
        {STR_INIT("https://api.example.com"), true, "api.example.com", false, 443, false, ""},
        {STR_INIT("HTTPS://h:80/v1"), true, "h", false, 80, true, "/v1"},
        {STR_INIT("http://h/"), false, "h", false, 80, false, ""},
        {STR_INIT("http://h//"), false, "h", false, 80, false, ""},
        {STR_INIT("http://h/a/b%20c/"), false, "h", false, 80, false, "/a/b%20c"},
        {STR_INIT("http://[::1]:1/x"), false, "::1", true, 1, true, "/x"},
        {STR_INIT("http://[2001:db8::1]"), false, "2001:db8::1", true, 80, false, ""},
        {STR_INIT("http://10.0.0.1:65535"), false, "10.0.0.1", false, 65535, true, ""},
        {STR_INIT("http://my_host-1:1"), false, "my_host-1", false, 1, true, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct url_case *c = &cases[i];
        const char *why = "accepted";
        struct url u;
        if (url_parse(c->text, &u, &why) != ERR_OK) {
            fail_msg("%.*s: %s", STR_FMT(c->text), why);
        }
        assert_int_equal(u.tls, c->tls);
        assert_true(str_eq(u.host, str_from(c->host)));
        assert_int_equal(u.is_ipv6, c->is_ipv6);
        assert_int_equal(u.port, c->port);
        assert_int_equal(u.has_port, c->has_port);
        assert_true(str_eq(u.path, str_from(c->path)));
    }
}

struct bad_case {
    struct str text;
    enum err want;
    const char *why; /* a word of it */
};

static void refuses_bad_urls(void **state)
{
    (void)state;
    static const struct bad_case cases[] = {
        {STR_INIT(""), ERR_SYNTAX, "scheme"},
        {STR_INIT("gpu1:8000"), ERR_SYNTAX, "scheme"},
        {STR_INIT("http:gpu1"), ERR_SYNTAX, "scheme"},
        {STR_INIT("http:/gpu1"), ERR_SYNTAX, "scheme"},
        {STR_INIT(" http://gpu1"), ERR_UNSUPPORTED, "scheme"},
        {STR_INIT("ftp://gpu1"), ERR_UNSUPPORTED, "scheme"},
        {STR_INIT("unix:///tmp/a"), ERR_UNSUPPORTED, "scheme"},
        {STR_INIT("http://"), ERR_SYNTAX, "host"},
        {STR_INIT("http:///a"), ERR_SYNTAX, "host"},
        {STR_INIT("http://:80"), ERR_SYNTAX, "host"},
        {STR_INIT("http://a b"), ERR_SYNTAX, "host"},
        {STR_INIT("http://a,b"), ERR_SYNTAX, "host"},
        {STR_INIT("http://a\0b"), ERR_SYNTAX, "host"},
        {STR_INIT("http://\xc3\xa4"), ERR_SYNTAX, "host"},
        {STR_INIT("http://u@h"), ERR_SYNTAX, "user info"},
        {STR_INIT("http://u:p@h/"), ERR_SYNTAX, "user info"},
        {STR_INIT("http://h:"), ERR_SYNTAX, "port"},
        {STR_INIT("http://h:a"), ERR_SYNTAX, "port"},
        {STR_INIT("http://h:-1"), ERR_SYNTAX, "port"},
        {STR_INIT("http://h: 1"), ERR_SYNTAX, "port"},
        {STR_INIT("http://h:0"), ERR_RANGE, "port"},
        {STR_INIT("http://h:65536"), ERR_RANGE, "port"},
        {STR_INIT("http://h:99999999999999999999999"), ERR_RANGE, "port"},
        {STR_INIT("http://::1/"), ERR_SYNTAX, "port"},
        {STR_INIT("http://[::1"), ERR_SYNTAX, "IPv6"},
        {STR_INIT("http://[]"), ERR_SYNTAX, "IPv6"},
        {STR_INIT("http://[1.2.3.4]"), ERR_SYNTAX, "IPv6"},
        {STR_INIT("http://[fe80::1%25eth0]"), ERR_SYNTAX, "IPv6"},
        {STR_INIT("http://[::1]a"), ERR_SYNTAX, "host"},
        {STR_INIT("http://h?a"), ERR_SYNTAX, "query"},
        {STR_INIT("http://h/a?b/"), ERR_SYNTAX, "query"},
        {STR_INIT("http://h#a"), ERR_SYNTAX, "fragment"},
        {STR_INIT("http://h/#"), ERR_SYNTAX, "fragment"},
        {STR_INIT("http://h/a b"), ERR_SYNTAX, "path"},
        {STR_INIT("http://h/a\r\nX: y"), ERR_SYNTAX, "path"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why = "nothing";
        struct url u;
        enum err e = url_parse(cases[i].text, &u, &why);
        if (e != cases[i].want || !strstr(why, cases[i].why)) {
            fail_msg("%.*s: %s, %s", STR_FMT(cases[i].text), err_name(e), why);
        }
    }
}

static void bounds_host_names(void **state)
{
    (void)state;
    char text[300];
    for (int len = 253; len <= 254; len++) {
        const char *why = NULL;
        struct url u;
        int size = snprintf(text, sizeof(text), "http://%0*d/", len, 0);
        enum err e = url_parse(str_of(text, (size_t)size), &u, &why);
        assert_int_equal(e, len == 253 ? ERR_OK : ERR_SYNTAX);
    }
}

struct address_case {
    struct str text;
    bool is_unix;
    const char *host;
    bool is_ipv6;
    uint16_t port;
    const char *path;
    bool is_loopback;
};

static void takes_addresses_apart(void **state)
{
    (void)state;
    static const struct address_case cases[] = {
        {STR_INIT("127.0.0.1:8400"), false, "127.0.0.1", false, 8400, "", true},
        {STR_INIT("127.1.2.3:0"), false, "127.1.2.3", false, 0, "", true},
        {STR_INIT("localhost:1"), false, "localhost", false, 1, "", true},
        {STR_INIT("LocalHost:1"), false, "LocalHost", false, 1, "", true},
        {STR_INIT("[::1]:8400"), false, "::1", true, 8400, "", true},
        {STR_INIT("[0:0::0:1]:8400"), false, "0:0::0:1", true, 8400, "", true},
        {STR_INIT("unix:/run/a.sock"), true, "", false, 0, "/run/a.sock", true},
        {STR_INIT(":8400"), false, "", false, 8400, "", false},
        {STR_INIT("0.0.0.0:8400"), false, "0.0.0.0", false, 8400, "", false},
        {STR_INIT("[::]:8400"), false, "::", true, 8400, "", false},
        {STR_INIT("[::2]:8400"), false, "::2", true, 8400, "", false},
        {STR_INIT("128.0.0.1:65535"), false, "128.0.0.1", false, 65535, "", false},
        {STR_INIT("127.evil.example:1"), false, "127.evil.example", false, 1, "", false},
        {STR_INIT("127.1:1"), false, "127.1", false, 1, "", false},
        {STR_INIT("localhost.evil:1"), false, "localhost.evil", false, 1, "", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct address_case *c = &cases[i];
        const char *why = "accepted";
        struct address a;
        if (address_parse(c->text, &a, &why) != ERR_OK) {
            fail_msg("%.*s: %s", STR_FMT(c->text), why);
        }
        assert_int_equal(a.is_unix, c->is_unix);
        assert_true(str_eq(a.host, str_from(c->host)));
        assert_int_equal(a.is_ipv6, c->is_ipv6);
        assert_int_equal(a.port, c->port);
        assert_true(str_eq(a.path, str_from(c->path)));
        assert_int_equal(address_is_loopback(&a), c->is_loopback);
    }
}

static void refuses_bad_addresses(void **state)
{
    (void)state;
    static const struct bad_case cases[] = {
        {STR_INIT(""), ERR_SYNTAX, "port"},
        {STR_INIT("8400"), ERR_SYNTAX, "port"},
        {STR_INIT("localhost"), ERR_SYNTAX, "port"},
        {STR_INIT("localhost:"), ERR_SYNTAX, "port"},
        {STR_INIT("localhost:http"), ERR_SYNTAX, "port"},
        {STR_INIT("localhost:65536"), ERR_RANGE, "port"},
        {STR_INIT("[::1]"), ERR_SYNTAX, "port"},
        {STR_INIT("::1:8400"), ERR_SYNTAX, "port"},
        {STR_INIT("[x]:1"), ERR_SYNTAX, "IPv6"},
        {STR_INIT("http://localhost:1"), ERR_SYNTAX, "port"},
        {STR_INIT("a/b:1"), ERR_SYNTAX, "host"},
        {STR_INIT("*:1"), ERR_SYNTAX, "host"},
        {STR_INIT("unix:"), ERR_SYNTAX, "path"},
        {STR_INIT("unix:a.sock"), ERR_SYNTAX, "path"},
        {STR_INIT("unix:/a\0b"), ERR_SYNTAX, "path"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why = "nothing";
        struct address a;
        enum err e = address_parse(cases[i].text, &a, &why);
        if (e != cases[i].want || !strstr(why, cases[i].why)) {
            fail_msg("%.*s: %s, %s", STR_FMT(cases[i].text), err_name(e), why);
        }
    }
}

static void bounds_the_path_of_a_unix_socket(void **state)
{
    (void)state;
    char text[200];
    for (int len = 107; len <= 108; len++) {
        const char *why = NULL;
        struct address a;
        int size = snprintf(text, sizeof(text), "unix:/%0*d", len - 1, 0);
        enum err e = address_parse(str_of(text, (size_t)size), &a, &why);
        assert_int_equal(e, len == 107 ? ERR_OK : ERR_RANGE);
    }
}

static void decodes_escapes_and_leaves_what_is_none(void **state)
{
    static const struct {
        const char *in, *path, *query;
    } rows[] = {
        {"", "", ""},
        {"a%2Fb", "a/b", "a/b"},
        {"%41%6a", "Aj", "Aj"},
        {"a+b", "a+b", "a b"},
        {"100%", "100%", "100%"},
        {"%4", "%4", "%4"},
        {"%zz%2", "%zz%2", "%zz%2"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena a;
        arena_init(&a);
        assert_true(
            str_eq(url_decode(str_from(rows[i].in), false, &a), str_from(rows[i].path)));
        assert_true(
            str_eq(url_decode(str_from(rows[i].in), true, &a), str_from(rows[i].query)));
        arena_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_urls_apart),
        cmocka_unit_test(refuses_bad_urls),
        cmocka_unit_test(bounds_host_names),
        cmocka_unit_test(takes_addresses_apart),
        cmocka_unit_test(refuses_bad_addresses),
        cmocka_unit_test(bounds_the_path_of_a_unix_socket),
        cmocka_unit_test(decodes_escapes_and_leaves_what_is_none),
    };
    return cmocka_run_group_tests_name("wire/url", tests, NULL, NULL);
}
