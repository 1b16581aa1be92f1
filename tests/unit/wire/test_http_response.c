#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "http_cases.h"

static void accept(struct str head, bool to_head, struct http_response *out)
{
    const char *why = "accepted";
    if (http_response_parse(head, to_head, out, &why) != ERR_OK) {
        fail_msg("refused: %s", why);
    }
}

static void parses_a_usual_response(void **state)
{
    (void)state;
    struct http_response r;
    accept(
        STR("HTTP/1.1 200 OK\r\ndate: today\r\nserver: uvicorn\r\ncontent-length: 2\r\n\r\n"),
        false, &r);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.minor, 1);
    assert_true(r.keep_alive);
    assert_int_equal(r.framing, HTTP_LENGTH);
    assert_int_equal(r.content_length, 2);
    assert_int_equal(r.header_count, 3);
    assert_text(http_find(r.header, r.header_count, "Server"), "uvicorn");
}

struct framing_case {
    struct str head;
    bool to_head;
    enum http_framing framing;
    bool keep_alive;
};

static void frames_by_status_and_fields(void **state)
{
    (void)state;
    static const struct framing_case cases[] = {
        {STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), false, HTTP_LENGTH, true},
        {STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), true, HTTP_NO_BODY, true},
        {STR_INIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), false, HTTP_CHUNKED,
         true},
        {STR_INIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), true, HTTP_NO_BODY,
         true},
        {STR_INIT("HTTP/1.1 200 OK\r\n\r\n"), false, HTTP_UNTIL_EOF, false},
        {STR_INIT("HTTP/1.1 200 OK\r\n\r\n"), true, HTTP_NO_BODY, true},
        {STR_INIT("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n"), false, HTTP_UNTIL_EOF,
         false},
        {STR_INIT("HTTP/1.1 500 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), false,
         HTTP_LENGTH, false},
        {STR_INIT("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"), false, HTTP_LENGTH, false},
        {STR_INIT("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n"),
         false, HTTP_LENGTH, true},
        {STR_INIT("HTTP/1.1 100 Continue\r\n\r\n"), false, HTTP_NO_BODY, true},
        {STR_INIT("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"), false, HTTP_NO_BODY, true},
        {STR_INIT("HTTP/1.1 204 No Content\r\n\r\n"), false, HTTP_NO_BODY, true},
        {STR_INIT("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"), false, HTTP_NO_BODY,
         true},
        {STR_INIT("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"), false, HTTP_NO_BODY,
         false},
        {STR_INIT("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"), false,
         HTTP_NO_BODY, false},
        {STR_INIT("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), false,
         HTTP_NO_BODY, true},
        {STR_INIT("HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n"), false, HTTP_LENGTH, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_response r;
        accept(cases[i].head, cases[i].to_head, &r);
        assert_int_equal(r.framing, cases[i].framing);
        assert_int_equal(r.keep_alive, cases[i].keep_alive);
    }
}

static void takes_any_reason_or_none(void **state)
{
    (void)state;
    const struct str heads[] = {STR("HTTP/1.1 200\r\n\r\n"), STR("HTTP/1.1 200 \r\n\r\n"),
                                STR("HTTP/1.1 200 Alles  sch\xc3\xb6n\t!\r\n\r\n"),
                                STR("HTTP/1.1 200  200 200\r\n\r\n")};
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct http_response r;
        accept(heads[i], false, &r);
        assert_int_equal(r.status, 200);
    }
}

static void refuses_hostile_responses(void **state)
{
    (void)state;
    static const struct str heads[] = {
        STR_INIT("\r\n"),
        STR_INIT("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        STR_INIT("HTTP/2.0 200 OK\r\n\r\n"),
        STR_INIT("HTTP/0.9 200 OK\r\n\r\n"),
        STR_INIT("ICY 200 OK\r\n\r\n"),
        STR_INIT("http/1.1 200 OK\r\n\r\n"),
        STR_INIT("HTTP/1.1  200 OK\r\n\r\n"),
        STR_INIT("HTTP/1.1\t200 OK\r\n\r\n"),
        STR_INIT("HTTP/1.1\r\n\r\n"),
        STR_INIT("HTTP/1.1 \r\n\r\n"),
        STR_INIT("HTTP/1.1 20 OK\r\n\r\n"),
        STR_INIT("HTTP/1.1 2000 OK\r\n\r\n"),
        STR_INIT("HTTP/1.1 200OK\r\n\r\n"),
        STR_INIT("HTTP/1.1 +20 OK\r\n\r\n"),
        STR_INIT("HTTP/1.1 099 OK\r\n\r\n"),
        STR_INIT("HTTP/1.1 600 OK\r\n\r\n"),
        STR_INIT("HTTP/1.1 000 OK\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 O\0K\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 O\rK\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\n\n"),
        STR_INIT("HTTP/1.1 200 OK\r\n\n"),
        STR_INIT("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"),
        STR_INIT("HTTP/1.1 204 OK\r\nContent-Length: x\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
        STR_INIT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\nX : y\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\n: y\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\nX: y\nZ: z\r\n\r\n"),
        STR_INIT("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        if (judge_response(heads[i], i % 2 == 0) != ERR_SYNTAX) {
            fail_msg("accepted: %.*s", STR_FMT(heads[i]));
        }
    }
}

static void refuses_every_cut_of_a_response_head(void **state)
{
    (void)state;
    struct str head = STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    for (size_t len = 0; len < head.len; len++) {
        assert_int_equal(judge_response(str_of(head.ptr, len), false), ERR_SYNTAX);
    }
    assert_int_equal(judge_response(head, false), ERR_OK);
}

static void refuses_a_hundred_and_one_headers_as_too_large(void **state)
{
    (void)state;
    for (int count = HTTP_HEADERS_MAX; count <= HTTP_HEADERS_MAX + 1; count++) {
        char text[2048] = "HTTP/1.1 200 OK\r\n";
        size_t len = strlen(text);
        for (int i = 0; i < count; i++) {
            len += (size_t)snprintf(text + len, sizeof(text) - len, "X: %d\r\n", i);
        }
        len += (size_t)snprintf(text + len, sizeof(text) - len, "\r\n");
        assert_int_equal(judge_response(str_of(text, len), false),
                         count > HTTP_HEADERS_MAX ? ERR_TOO_LARGE : ERR_OK);
    }
}

static void ignores_what_only_requests_must_heed(void **state)
{
    (void)state;
    struct http_response r;
    accept(STR("HTTP/1.1 200 OK\r\nHost: a,b\r\nHost: c\r\nExpect: x\r\nContent-Length: "
               "1\r\n\r\n"),
           false, &r);
    assert_int_equal(r.framing, HTTP_LENGTH);
}

static void names_the_statuses(void **state)
{
    (void)state;
    assert_string_equal(http_reason(200), "OK");
    assert_string_equal(http_reason(431), "Request Header Fields Too Large");
    assert_string_equal(http_reason(503), "Service Unavailable");
    assert_string_equal(http_reason(299), "Unknown");
    assert_string_equal(http_reason(-1), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_a_usual_response),
        cmocka_unit_test(frames_by_status_and_fields),
        cmocka_unit_test(takes_any_reason_or_none),
        cmocka_unit_test(refuses_hostile_responses),
        cmocka_unit_test(refuses_every_cut_of_a_response_head),
        cmocka_unit_test(refuses_a_hundred_and_one_headers_as_too_large),
        cmocka_unit_test(ignores_what_only_requests_must_heed),
        cmocka_unit_test(names_the_statuses),
    };
    return cmocka_run_group_tests_name("wire/http_response", tests, NULL, NULL);
}
