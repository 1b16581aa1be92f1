#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "http_cases.h"

#define HOST "Host: gw\r\n"

static void accept(struct str head, struct http_request *out)
{
    struct http_fault fault = {.why = "accepted"};
    enum err e = http_request_parse(head, out, &fault);
    if (e != ERR_OK) {
        fail_msg("refused: %s", fault.why);
    }
}

/* --- http_head_find --- */

static void finds_the_end_of_a_head_at_every_split(void **state)
{
    (void)state;
    const struct str texts[] = {
        STR("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"),
        STR("A\r\n\r\n"),
        STR("\r\n"),
        STR("\n"),
        STR("GET / HTTP/1.1\nHost: a\n\n"),
        STR("GET / HTTP/1.1\nHost: a\n\r\n"),
        STR("GET / HTTP/1.1\r\nHost: a\r\n\n"),
        STR("a\rb\r\r\n\r\r\n\r\n"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t scanned = 0;
        char padded[128];
        memset(padded, '\n', sizeof(padded));
        memcpy(padded, texts[i].ptr, texts[i].len);
        for (size_t len = 0; len < texts[i].len; len++) {
            char *copy = malloc(len + 1); /* so that a read past len is seen */
            memcpy(copy, padded, len);
            copy = realloc(copy, len > 0 ? len : 1);
            assert_int_equal(http_head_find(str_of(copy, len), &scanned), 0);
            free(copy);
        }
        assert_int_equal(http_head_find(texts[i], &scanned), texts[i].len);
        assert_int_equal(scanned, 0);
        assert_int_equal(http_head_find(str_of(padded, sizeof(padded)), &scanned),
                         texts[i].len);
    }
}

static void leaves_the_bytes_behind_a_head_alone(void **state)
{
    (void)state;
    size_t scanned = 0;
    struct str in = STR("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
    assert_int_equal(http_head_find(in, &scanned), 27);
}

static void does_not_search_a_slow_head_again(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE);
    memset(text, 'x', SIZE);
    size_t scanned = 0;
    for (size_t len = 0; len <= SIZE; len++) { /* 2^40 steps, were it not so */
        assert_int_equal(http_head_find(str_of(text, len), &scanned), 0);
        assert_true(len - scanned <= 2);
    }
    free(text);
}

static void waits_on_an_empty_input(void **state)
{
    (void)state;
    size_t scanned = 0;
    assert_int_equal(http_head_find(STR_NONE, &scanned), 0);
    assert_int_equal(http_head_find(STR("\r"), &scanned), 0);
    assert_int_equal(http_head_find(STR("\r\n"), &scanned), 2);
}

/* --- what is accepted --- */

static void parses_a_usual_request(void **state)
{
    (void)state;
    struct http_request r;
    accept(STR("POST /v1/chat/completions?a=1&b=%20 HTTP/1.1\r\nHost: localhost:8400\r\n"
               "Content-Type:application/json\r\nX-Empty:\r\nX-Pad: \t two words \t \r\n"
               "content-LENGTH: 17\r\n\r\n"),
           &r);
    assert_text(r.method, "POST");
    assert_text(r.target, "/v1/chat/completions?a=1&b=%20");
    assert_text(r.path, "/v1/chat/completions");
    assert_text(r.query, "a=1&b=%20");
    assert_int_equal(r.minor, 1);
    assert_true(r.keep_alive);
    assert_false(r.expect_continue);
    assert_int_equal(r.framing, HTTP_LENGTH);
    assert_int_equal(r.content_length, 17);
    assert_int_equal(r.header_count, 5);
    assert_text(http_find(r.header, r.header_count, "content-type"), "application/json");
    assert_text(http_find(r.header, r.header_count, "X-EMPTY"), "");
    assert_text(http_find(r.header, r.header_count, "x-pad"), "two words");
    assert_null(http_find(r.header, r.header_count, "x-pa").ptr);
    assert_null(http_find(r.header, r.header_count, "x-pads").ptr);
}

static void finds_the_first_header_of_a_name(void **state)
{
    (void)state;
    struct http_request r;
    accept(STR("GET / HTTP/1.1\r\n" HOST "A: 1\r\na: 2\r\n\r\n"), &r);
    assert_text(http_find(r.header, r.header_count, "a"), "1");
    assert_null(http_find(r.header, 0, "a").ptr);
}

static void knows_each_framing(void **state)
{
    (void)state;
    struct http_request r;
    accept(STR("GET / HTTP/1.1\r\n" HOST "\r\n"), &r);
    assert_int_equal(r.framing, HTTP_NO_BODY);
    accept(STR("GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"), &r);
    assert_int_equal(r.framing, HTTP_LENGTH);
    assert_int_equal(r.content_length, 0);
    accept(STR("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: CHUNKED\r\n\r\n"), &r);
    assert_int_equal(r.framing, HTTP_CHUNKED);
    accept(STR("POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n"), &r);
    assert_true(r.content_length == INT64_MAX);
    accept(STR("POST / HTTP/1.1\r\n" HOST "Content-Length: 007\r\n\r\n"), &r);
    assert_int_equal(r.content_length, 7);
}

static void judges_keep_alive_by_version_and_connection(void **state)
{
    (void)state;
    const struct {
        struct str head;
        bool keep_alive;
    } cases[] = {
        {STR("GET / HTTP/1.1\r\n" HOST "\r\n"), true},
        {STR("GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), false},
        {STR("GET / HTTP/1.1\r\n" HOST "Connection: CLOSE\r\n\r\n"), false},
        {STR("GET / HTTP/1.1\r\n" HOST "Connection: te ,\tclose, x\r\n\r\n"), false},
        {STR("GET / HTTP/1.1\r\n" HOST "Connection: x\r\nConnection: close\r\n\r\n"), false},
        {STR("GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n"), true},
        {STR("GET / HTTP/1.1\r\n" HOST "Connection: \r\n\r\n"), true},
        {STR("GET / HTTP/1.1\r\n" HOST "Connection: keep-alive, close\r\n\r\n"), false},
        {STR("GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), true},
        {STR("GET / HTTP/1.2\r\n" HOST "\r\n"), true},
        {STR("GET / HTTP/1.0\r\n\r\n"), false},
        {STR("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), true},
        {STR("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nConnection: close\r\n\r\n"), false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_request r;
        accept(cases[i].head, &r);
        assert_int_equal(r.keep_alive, cases[i].keep_alive);
    }
}

static void upgrades_are_headers_like_others(void **state)
{
    (void)state;
    struct http_request r;
    accept(
        STR("POST / HTTP/1.1\r\n" HOST "Upgrade: h2c\r\nHTTP2-Settings: AA\r\n"
            "Connection: Upgrade, HTTP2-Settings, Content-Length\r\nContent-Length: 3\r\n\r\n"),
        &r);
    assert_int_equal(r.framing, HTTP_LENGTH);
    assert_int_equal(r.content_length, 3);
}

static void knows_the_four_target_forms(void **state)
{
    (void)state;
    struct http_request r;
    accept(STR("GET /a/b?c?d HTTP/1.1\r\n" HOST "\r\n"), &r);
    assert_text(r.path, "/a/b");
    assert_text(r.query, "c?d");
    accept(STR("GET HTTP://GW:80/a?b HTTP/1.1\r\n" HOST "\r\n"), &r);
    assert_text(r.target, "HTTP://GW:80/a?b");
    assert_text(r.path, "/a");
    assert_text(r.query, "b");
    accept(STR("GET https://gw?b HTTP/1.1\r\nHost: gw:443\r\n\r\n"), &r);
    assert_text(r.path, "/");
    assert_text(r.query, "b");
    accept(STR("GET http://[::1]:8400 HTTP/1.1\r\nHost: [::1]:8400\r\n\r\n"), &r);
    assert_text(r.path, "/");
    accept(STR("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), &r);
    assert_text(r.path, "*");
    accept(STR("CONNECT gw:443 HTTP/1.1\r\nHost: gw:443\r\n\r\n"), &r);
    assert_text(r.path, "");
    assert_text(r.target, "gw:443");
    assert_false(r.keep_alive);
}

static void tells_the_path_even_where_a_header_is_refused(void **state)
{
    (void)state;
    struct http_request r;
    struct http_fault fault;
    struct str head = STR("POST /v1/messages HTTP/1.1\r\n" HOST "Expect: tea\r\n\r\n");
    assert_int_equal(http_request_parse(head, &r, &fault), ERR_SYNTAX);
    assert_int_equal(fault.status, 417);
    assert_text(r.path, "/v1/messages");
    assert_int_equal(http_request_parse(STR("GET\r\n\r\n"), &r, &fault), ERR_SYNTAX);
    assert_text(r.path, "");
}

static void waits_for_a_100_only_with_a_body(void **state)
{
    (void)state;
    const struct {
        struct str head;
        bool expects;
    } cases[] = {
        {STR("POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n"),
         true},
        {STR("POST / HTTP/1.1\r\n" HOST
             "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"),
         true},
        {STR("POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n"),
         false},
        {STR("GET / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n"), false},
        {STR("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"), false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_request r;
        accept(cases[i].head, &r);
        assert_int_equal(r.expect_continue, cases[i].expects);
    }
}

static void takes_a_hundred_headers_and_no_more(void **state)
{
    (void)state;
    for (int count = HTTP_HEADERS_MAX - 1; count <= HTTP_HEADERS_MAX + 1; count++) {
        char text[2048] = "GET / HTTP/1.1\r\n" HOST;
        size_t len = strlen(text);
        for (int i = 1; i < count; i++) {
            len += (size_t)snprintf(text + len, sizeof(text) - len, "X%d: y\r\n", i);
        }
        len += (size_t)snprintf(text + len, sizeof(text) - len, "\r\n");
        int want = count > HTTP_HEADERS_MAX ? 431 : 0;
        assert_int_equal(judge_request(str_of(text, len)), want);
    }
}

/* --- the request line --- */

static void refuses_odd_request_lines(void **state)
{
    (void)state;
    static const struct http_case cases[] = {
        {"no line", STR_INIT("\r\n"), 400},
        {"no line, LF", STR_INIT("\n"), 400},
        {"HTTP/0.9", STR_INIT("GET /\r\n\r\n"), 400},
        {"method only", STR_INIT("GET\r\n\r\n"), 400},
        {"method and space", STR_INIT("GET \r\n\r\n"), 400},
        {"no target", STR_INIT("GET HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"two spaces before the target", STR_INIT("GET  / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"two spaces before the version", STR_INIT("GET /  HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"space at the end", STR_INIT("GET / HTTP/1.1 \r\n" HOST "\r\n"), 400},
        {"space at the start", STR_INIT(" GET / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"tabs", STR_INIT("GET\t/\tHTTP/1.1\r\n" HOST "\r\n"), 400},
        {"tab in target", STR_INIT("GET /\ta HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"vertical tab", STR_INIT("GET /\v HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"space in target", STR_INIT("GET /a b HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"fourth part", STR_INIT("GET / HTTP/1.1 HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"bare LF", STR_INIT("GET / HTTP/1.1\n" HOST "\r\n"), 400},
        {"bare LF everywhere", STR_INIT("GET / HTTP/1.1\nHost: gw\n\n"), 400},
        {"bare CR", STR_INIT("GET / HTTP/1.1\r" HOST "\r\n"), 400},
        {"CR CR LF", STR_INIT("GET / HTTP/1.1\r\r\n" HOST "\r\n"), 400},
        {"NUL in target", STR_INIT("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"NUL in method", STR_INIT("G\0T / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"8 bit in target", STR_INIT("GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"8 bit in method", STR_INIT("G\xc3 / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"separator in method", STR_INIT("GE(T / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"colon in method", STR_INIT("GET: / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"fragment", STR_INIT("GET /a#b HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"backslash", STR_INIT("GET /\\a HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"quote", STR_INIT("GET /\"a HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"relative target", STR_INIT("GET a HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"query only", STR_INIT("GET ?a HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"cut escape", STR_INIT("GET /%4 HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"bad escape", STR_INIT("GET /%zz HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"bad escape in query", STR_INIT("GET /?%4g HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"escaped CR LF in path", STR_INIT("GET /%0d%0aX: HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"escaped NUL in path", STR_INIT("GET /%00 HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"dot segment", STR_INIT("GET /v1/../admin HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"dot segment at the end", STR_INIT("GET /v1/.. HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"single dot", STR_INIT("GET /./v1 HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"escaped dots", STR_INIT("GET /%2e%2E/a HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"half escaped dots", STR_INIT("GET /.%2e HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"dots in names are fine", STR_INIT("GET /...a/.b/c..?../ HTTP/1.1\r\n" HOST "\r\n"),
         0},
        {"escaped LF in query is fine", STR_INIT("GET /?%0A HTTP/1.1\r\n" HOST "\r\n"), 0},
        {"unknown method is fine", STR_INIT("BREW / HTTP/1.1\r\n" HOST "\r\n"), 0},
    };
    assert_cases(cases);
}

static void refuses_odd_versions(void **state)
{
    (void)state;
    static const struct http_case cases[] = {
        {"lower case", STR_INIT("GET / http/1.1\r\n" HOST "\r\n"), 400},
        {"no minor", STR_INIT("GET / HTTP/1\r\n" HOST "\r\n"), 400},
        {"no minor, dot", STR_INIT("GET / HTTP/1.\r\n" HOST "\r\n"), 400},
        {"two digit minor", STR_INIT("GET / HTTP/1.10\r\n" HOST "\r\n"), 400},
        {"two digit major", STR_INIT("GET / HTTP/01.1\r\n" HOST "\r\n"), 400},
        {"comma", STR_INIT("GET / HTTP/1,1\r\n" HOST "\r\n"), 400},
        {"letter", STR_INIT("GET / HTTP/1.x\r\n" HOST "\r\n"), 400},
        {"not HTTP", STR_INIT("GET / HTTZ/1.1\r\n" HOST "\r\n"), 400},
        {"ICY", STR_INIT("GET / ICY\r\n" HOST "\r\n"), 400},
        {"0.9", STR_INIT("GET / HTTP/0.9\r\n" HOST "\r\n"), 505},
        {"2.0", STR_INIT("GET / HTTP/2.0\r\n" HOST "\r\n"), 505},
        {"9.9", STR_INIT("GET / HTTP/9.9\r\n" HOST "\r\n"), 505},
        {"1.9 is 1.1 to us", STR_INIT("GET / HTTP/1.9\r\n" HOST "\r\n"), 0},
        {"HTTP/2 preface", STR_INIT("PRI * HTTP/2.0\r\n\r\n"), 505},
    };
    assert_cases(cases);
    size_t scanned = 0;
    struct str preface = STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_int_equal(http_head_find(preface, &scanned), 18);
}

static void refuses_targets_of_the_wrong_form(void **state)
{
    (void)state;
    static const struct http_case cases[] = {
        {"asterisk with GET", STR_INIT("GET * HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"asterisk and more", STR_INIT("OPTIONS *a HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"authority with GET", STR_INIT("GET gw:80 HTTP/1.1\r\nHost: gw:80\r\n\r\n"), 400},
        {"CONNECT to a path", STR_INIT("CONNECT / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"CONNECT without port", STR_INIT("CONNECT gw HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"CONNECT with a URL", STR_INIT("CONNECT http://gw/ HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"CONNECT with user", STR_INIT("CONNECT a@gw:1 HTTP/1.1\r\nHost: gw:1\r\n\r\n"), 400},
        {"CONNECT elsewhere", STR_INIT("CONNECT other:1 HTTP/1.1\r\nHost: gw:1\r\n\r\n"), 400},
        {"other scheme", STR_INIT("GET ftp://gw/ HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"file scheme", STR_INIT("GET file:///etc/passwd HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"no authority", STR_INIT("GET http:///a HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"no slashes", STR_INIT("GET http:a HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"user info", STR_INIT("GET http://u:p@gw/ HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"bad port", STR_INIT("GET http://gw:x/ HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"huge port", STR_INIT("GET http://gw:65616/ HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"other host", STR_INIT("GET http://evil/ HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"other port", STR_INIT("GET http://gw:81/ HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"absolute, no Host", STR_INIT("GET http://gw/ HTTP/1.1\r\n\r\n"), 400},
        {"v6 against name", STR_INIT("GET http://[::1]/ HTTP/1.1\r\nHost: 1\r\n\r\n"), 400},
        {"dots in absolute", STR_INIT("GET http://gw/../a HTTP/1.1\r\n" HOST "\r\n"), 400},
        {"1.0 needs no Host", STR_INIT("GET http://gw/ HTTP/1.0\r\n\r\n"), 0},
    };
    assert_cases(cases);
}

static void refuses_a_cut_or_overlong_head(void **state)
{
    (void)state;
    struct http_request r;
    struct http_fault fault;
    struct str head = STR("POST /a HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n");
    for (size_t len = 0; len < head.len; len++) {
        char *copy = malloc(len > 0 ? len : 1);
        memcpy(copy, head.ptr, len);
        assert_int_equal(http_request_parse(str_of(copy, len), &r, &fault), ERR_SYNTAX);
        assert_int_equal(fault.status, 400);
        free(copy);
    }
    struct str more = STR("GET / HTTP/1.1\r\n" HOST "\r\nGET");
    assert_int_equal(http_request_parse(more, &r, &fault), ERR_SYNTAX);
}

/* Whatever byte stands wherever: what is accepted has no control byte and the same lines. */
static void accepts_no_control_byte_anywhere(void **state)
{
    (void)state;
    struct str head = STR("POST /a?b HTTP/1.1\r\n" HOST "Content-Length: 1\r\nX: y z\r\n\r\n");
    char text[128];
    for (size_t at = 0; at < head.len; at++) {
        for (int byte = 0; byte < 256; byte++) {
            memcpy(text, head.ptr, head.len);
            text[at] = (char)byte;
            bool is_control = byte < 0x20 || byte == 0x7f;
            bool is_changed = head.ptr[at] != (char)byte;
            if (!is_control || !is_changed || byte == '\t') {
                continue;
            }
            assert_int_not_equal(judge_request(str_of(text, head.len)), 0);
        }
    }
}

/* --- writing --- */

static void writes_a_header(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 64);
    assert_int_equal(http_put_header(&b, "X-A", STR("b c")), ERR_OK);
    assert_int_equal(http_put_header(&b, "X-E", STR_NONE), ERR_OK);
    assert_text(buf_str(&b), "X-A: b c\r\nX-E: \r\n");
    buf_fini(&b);
}

static void writes_nothing_unsafe(void **state)
{
    (void)state;
    const struct str values[] = {STR("a\r\nX: y"),
                                 STR("a\n"),
                                 STR("\r"),
                                 STR("a\0"),
                                 STR("\x1b[0m"),
                                 STR("\x7f"),
                                 STR("0123456789abcdef\n")};
    struct buf b;
    buf_init(&b, 64);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        assert_false(http_value_is_safe(values[i]));
        assert_int_equal(http_put_header(&b, "X", values[i]), ERR_SYNTAX);
    }
    assert_int_equal(http_put_header(&b, "X Y", STR("a")), ERR_SYNTAX);
    assert_int_equal(http_put_header(&b, "X:", STR("a")), ERR_SYNTAX);
    assert_int_equal(http_put_header(&b, "", STR("a")), ERR_SYNTAX);
    assert_int_equal(buf_len(&b), 0);
    assert_true(http_value_is_safe(STR("tab\tand \xc3\xa4 are fine, so is a long value")));
    assert_true(http_value_is_safe(STR_NONE));
    buf_fini(&b);
}

static void writes_whole_headers_or_none(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(http_put_header(&b, "X", STR("123456")), ERR_TOO_LARGE);
    assert_int_equal(buf_len(&b), 0);
    assert_int_equal(http_put_header(&b, "X", STR("12345")), ERR_OK);
    assert_int_equal(buf_len(&b), 10);
    buf_fini(&b);
}

/* The vector path must see a control byte at every place. */
static void sees_a_control_byte_at_every_place(void **state)
{
    (void)state;
    char text[70];
    for (size_t len = 1; len <= sizeof(text); len++) {
        for (size_t at = 0; at < len; at++) {
            memset(text, 0xe4, sizeof(text));
            text[at] = at % 2 == 0 ? '\x1f' : '\x7f';
            assert_false(http_value_is_safe(str_of(text, len)));
            text[at] = '\t';
            assert_true(http_value_is_safe(str_of(text, len)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_end_of_a_head_at_every_split),
        cmocka_unit_test(leaves_the_bytes_behind_a_head_alone),
        cmocka_unit_test(does_not_search_a_slow_head_again),
        cmocka_unit_test(waits_on_an_empty_input),
        cmocka_unit_test(parses_a_usual_request),
        cmocka_unit_test(finds_the_first_header_of_a_name),
        cmocka_unit_test(knows_each_framing),
        cmocka_unit_test(judges_keep_alive_by_version_and_connection),
        cmocka_unit_test(upgrades_are_headers_like_others),
        cmocka_unit_test(knows_the_four_target_forms),
        cmocka_unit_test(tells_the_path_even_where_a_header_is_refused),
        cmocka_unit_test(waits_for_a_100_only_with_a_body),
        cmocka_unit_test(takes_a_hundred_headers_and_no_more),
        cmocka_unit_test(refuses_odd_request_lines),
        cmocka_unit_test(refuses_odd_versions),
        cmocka_unit_test(refuses_targets_of_the_wrong_form),
        cmocka_unit_test(refuses_a_cut_or_overlong_head),
        cmocka_unit_test(accepts_no_control_byte_anywhere),
        cmocka_unit_test(writes_a_header),
        cmocka_unit_test(writes_nothing_unsafe),
        cmocka_unit_test(writes_whole_headers_or_none),
        cmocka_unit_test(sees_a_control_byte_at_every_place),
    };
    return cmocka_run_group_tests_name("wire/http_head", tests, NULL, NULL);
}
