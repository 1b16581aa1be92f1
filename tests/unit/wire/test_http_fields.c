#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_cases.h"

/* The attack classes on fields and framing; request lines are in test_http_head.c. */

#define POST(fields) STR_INIT("POST / HTTP/1.1\r\nHost: gw\r\n" fields "\r\n")
#define HTTP_1_0(fields) STR_INIT("POST / HTTP/1.0\r\n" fields "\r\n")
#define WITH_HOST(field) STR_INIT("GET / HTTP/1.1\r\n" field "\r\n")

static void refuses_both_framings(void **state)
{
    (void)state;
    static const struct http_case cases[] = {
        {"CL.TE", POST("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n"), 400},
        {"TE.CL", POST("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n"), 400},
        {"CL 0", POST("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), 400},
        {"CL and unknown", POST("Content-Length: 6\r\nTransfer-Encoding: x\r\n"), 400},
        {"CL and empty TE", POST("Content-Length: 6\r\nTransfer-Encoding:\r\n"), 400},
        {"CL and identity", POST("Content-Length: 6\r\nTransfer-Encoding: identity\r\n"), 400},
        {"case", POST("cOnTeNt-LeNgTh: 6\r\ntRANSFER-eNCODING: chunked\r\n"), 400},
        {"TE in 1.0", HTTP_1_0("Transfer-Encoding: chunked\r\n"), 400},
        {"TE and CL in 1.0", HTTP_1_0("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"),
         400},
    };
    assert_cases(cases);
}

static void refuses_obfuscated_transfer_encodings(void **state)
{
    (void)state;
    static const struct http_case cases[] = {
        {"chunked", POST("Transfer-Encoding: chunked\r\n"), 0},
        {"no space", POST("Transfer-Encoding:chunked\r\n"), 0},
        {"white space around", POST("Transfer-Encoding: \t chunked \t\r\n"), 0},
        {"unknown", POST("Transfer-Encoding: xchunked\r\n"), 501},
        {"gzip", POST("Transfer-Encoding: gzip\r\n"), 501},
        {"gzip, chunked", POST("Transfer-Encoding: gzip, chunked\r\n"), 501},
        {"gzip with parameter", POST("Transfer-Encoding: gzip;q=1, chunked\r\n"), 501},
        {"identity", POST("Transfer-Encoding: identity\r\n"), 501},
        {"identity, chunked", POST("Transfer-Encoding: identity, chunked\r\n"), 501},
        {"chunked, identity", POST("Transfer-Encoding: chunked, identity\r\n"), 400},
        {"chunked, gzip", POST("Transfer-Encoding: chunked, gzip\r\n"), 400},
        {"chunked twice", POST("Transfer-Encoding: chunked, chunked\r\n"), 400},
        {"empty", POST("Transfer-Encoding:\r\n"), 400},
        {"comma", POST("Transfer-Encoding: ,\r\n"), 400},
        {"comma behind", POST("Transfer-Encoding: chunked,\r\n"), 400},
        {"comma before", POST("Transfer-Encoding: ,chunked\r\n"), 400},
        {"parameter", POST("Transfer-Encoding: chunked;q=1\r\n"), 400},
        {"semicolon", POST("Transfer-Encoding: chunked;\r\n"), 400},
        {"quoted", POST("Transfer-Encoding: \"chunked\"\r\n"), 400},
        {"single quotes", POST("Transfer-Encoding: 'chunked'\r\n"), 501},
        {"hidden in quotes", POST("Transfer-Encoding: x;a=\",chunked\"\r\n"), 400},
        {"two words", POST("Transfer-Encoding: chunked chunked\r\n"), 400},
        {"other byte", POST("Transfer-Encoding: chunked\xff\r\n"), 400},
        {"nbsp",
         POST("Transfer-Encoding: \xa0"
              "chunked\r\n"),
         400},
        {"NEL",
         POST("Transfer-Encoding: \x85"
              "chunked\r\n"),
         400},
        {"vertical tab", POST("Transfer-Encoding: \vchunked\r\n"), 400},
        {"form feed", POST("Transfer-Encoding: chunked\f\r\n"), 400},
        {"NUL", POST("Transfer-Encoding: chunked\0\r\n"), 400},
        {"two fields", POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
         400},
        {"chunked, then cow", POST("Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n"),
         400},
        {"cow, then chunked", POST("Transfer-Encoding: cow\r\nTransfer-encoding: chunked\r\n"),
         501},
        {"empty, then chunked", POST("Transfer-Encoding:\r\nTransfer-encoding: chunked\r\n"),
         400},
        {"cow, then bad", POST("Transfer-Encoding: cow\r\nTransfer-encoding: @\r\n"), 400},
    };
    assert_cases(cases);
}

static void refuses_obfuscated_names_of_transfer_encoding(void **state)
{
    (void)state;
    static const struct http_case cases[] = {
        {"space in name", POST("Transfer-Encoding : chunked\r\n"), 400},
        {"tab in name", POST("Transfer-Encoding\t: chunked\r\n"), 400},
        {"NUL in name", POST("Transfer-Encoding\0: chunked\r\n"), 400},
        {"NEL in name", POST("Transfer-Encoding\x85: chunked\r\n"), 400},
        {"no colon", POST("Transfer-Encoding chunked\r\n"), 400},
        {"space before name", POST(" Transfer-Encoding: chunked\r\n"), 400},
        {"fold", POST("Transfer-Encoding:\r\n chunked\r\n"), 400},
        {"fold by tab", POST("Transfer-Encoding: chunked\r\n\t, x\r\n"), 400},
        {"split name", POST("Transfer-\r\nEncoding: chunked\r\n"), 400},
        {"behind bare CR", POST("X: y\rTransfer-Encoding: chunked\r\n"), 400},
        {"behind bare LF", POST("X: y\nTransfer-Encoding: chunked\r\n"), 400},
        {"behind LF CR", POST("X: y\n\rTransfer-Encoding: chunked\r\n"), 400},
        {"another name", POST("Transfer_Encoding: chunked\r\n"), 0},
        {"names of connection options", POST("Connection: Transfer-Encoding\r\n"), 0},
    };
    assert_cases(cases);
}

static void refuses_a_content_length_that_is_not_digits(void **state)
{
    (void)state;
    static const struct http_case cases[] = {
        {"plus", POST("Content-Length: +5\r\n"), 400},
        {"minus", POST("Content-Length: -5\r\n"), 400},
        {"minus zero", POST("Content-Length: -0\r\n"), 400},
        {"hex", POST("Content-Length: 0x5\r\n"), 400},
        {"hex digits", POST("Content-Length: a\r\n"), 400},
        {"underscore", POST("Content-Length: 1_0\r\n"), 400},
        {"comma", POST("Content-Length: 1,000\r\n"), 400},
        {"list", POST("Content-Length: 5, 5\r\n"), 400},
        {"list with hole", POST("Content-Length: 5,\r\n"), 400},
        {"two words", POST("Content-Length: 5 5\r\n"), 400},
        {"empty", POST("Content-Length:\r\n"), 400},
        {"blank", POST("Content-Length: \t \r\n"), 400},
        {"point", POST("Content-Length: 5.0\r\n"), 400},
        {"exponent", POST("Content-Length: 1e1\r\n"), 400},
        {"quoted", POST("Content-Length: \"5\"\r\n"), 400},
        {"parameter", POST("Content-Length: 5;a=b\r\n"), 400},
        {"NUL", POST("Content-Length: 5\0\r\n"), 400},
        {"vertical tab", POST("Content-Length: \v5\r\n"), 400},
        {"nbsp",
         POST("Content-Length: \xa0"
              "5\r\n"),
         400},
        {"Arabic digit", POST("Content-Length: \xd9\xa5\r\n"), 400},
        {"space before colon", POST("Content-Length : 5\r\n"), 400},
        {"fold", POST("Content-Length:\r\n 5\r\n"), 400},
        {"2^63", POST("Content-Length: 9223372036854775808\r\n"), 400},
        {"2^64", POST("Content-Length: 18446744073709551616\r\n"), 400},
        {"2^64 + 5", POST("Content-Length: 18446744073709551621\r\n"), 400},
        {"very long", POST("Content-Length: 99999999999999999999999999999999999\r\n"), 400},
        {"twice alike", POST("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
        {"twice", POST("Content-Length: 5\r\ncontent-length: 6\r\n"), 400},
        {"apart", POST("Content-Length: 5\r\nX: y\r\nContent-Length: 0\r\n"), 400},
        {"second is empty", POST("Content-Length: 5\r\nContent-Length:\r\n"), 400},
        {"white space around", POST("Content-Length: \t5 \r\n"), 0},
        {"2^32 + 5", POST("Content-Length: 4294967301\r\n"), 0},
    };
    assert_cases(cases);
}

static void refuses_malformed_field_lines(void **state)
{
    (void)state;
    static const struct http_case cases[] = {
        {"empty name", POST(": x\r\n"), 400},
        {"no colon", POST("X\r\n"), 400},
        {"no name or value", POST(":\r\n"), 400},
        {"space in name", POST("X Y: z\r\n"), 400},
        {"separator in name", POST("X/Y: z\r\n"), 400},
        {"bracket in name", POST("X[0]: z\r\n"), 400},
        {"8 bit in name", POST("\xc3\xa4: z\r\n"), 400},
        {"DEL in name", POST("X\x7f: z\r\n"), 400},
        {"DEL in value", POST("X: a\x7f\r\n"), 400},
        {"NUL in value", POST("X: a\0b\r\n"), 400},
        {"escape in value", POST("X: a\x1b[0m\r\n"), 400},
        {"bare CR", POST("X: a\rb\r\n"), 400},
        {"CR CR LF", POST("X: a\r\r\n"), 400},
        {"bare LF", POST("X: a\n"), 400},
        {"first line by space", STR_INIT("GET / HTTP/1.1\r\n Host: gw\r\n\r\n"), 400},
        {"first line by tab", STR_INIT("GET / HTTP/1.1\r\n\tHost: gw\r\n\r\n"), 400},
        {"line of blanks", POST(" \r\n"), 400},
        {"fold", POST("X: a\r\n b\r\n"), 400},
        {"a request in a value", POST("X: GET / HTTP/1.1\r\n"), 0},
        {"8 bit in value", POST("X: \xc3\xa4\xff\r\n"), 0},
        {"tab in value", POST("X: a\tb\r\n"), 0},
        {"odd but a token", POST("!#$%&'*+-.^_`|~: z\r\n"), 0},
        {"colons in value", POST("X::: z:\r\n"), 0},
    };
    assert_cases(cases);
}

static void refuses_bad_hosts(void **state)
{
    (void)state;
    static const struct http_case cases[] = {
        {"missing", WITH_HOST("X: y\r\n"), 400},
        {"missing in 1.0 is fine", HTTP_1_0(""), 0},
        {"twice", WITH_HOST("Host: gw\r\nHost: gw\r\n"), 400},
        {"twice, different", WITH_HOST("Host: gw\r\nX: y\r\nhOST: evil\r\n"), 400},
        {"twice in 1.0", HTTP_1_0("Host: gw\r\nHost: gw\r\n"), 400},
        {"empty", WITH_HOST("Host:\r\n"), 400},
        {"empty in 1.0", HTTP_1_0("Host: \r\n"), 400},
        {"user info", WITH_HOST("Host: a@gw\r\n"), 400},
        {"user and password", WITH_HOST("Host: a:b@gw\r\n"), 400},
        {"comma", WITH_HOST("Host: gw,evil\r\n"), 400},
        {"list", WITH_HOST("Host: gw, evil\r\n"), 400},
        {"two words", WITH_HOST("Host: gw evil\r\n"), 400},
        {"NUL", WITH_HOST("Host: gw\0evil\r\n"), 400},
        {"path", WITH_HOST("Host: gw/a\r\n"), 400},
        {"query", WITH_HOST("Host: gw?a\r\n"), 400},
        {"fragment", WITH_HOST("Host: gw#a\r\n"), 400},
        {"URL", WITH_HOST("Host: http://gw\r\n"), 400},
        {"backslash", WITH_HOST("Host: gw\\evil\r\n"), 400},
        {"escape", WITH_HOST("Host: g%77\r\n"), 400},
        {"8 bit", WITH_HOST("Host: g\xc3\xb6\r\n"), 400},
        {"only a port", WITH_HOST("Host: :80\r\n"), 400},
        {"empty port", WITH_HOST("Host: gw:\r\n"), 400},
        {"bad port", WITH_HOST("Host: gw:8a\r\n"), 400},
        {"signed port", WITH_HOST("Host: gw:+80\r\n"), 400},
        {"port over the limit", WITH_HOST("Host: gw:65536\r\n"), 400},
        {"two ports", WITH_HOST("Host: gw:80:80\r\n"), 400},
        {"v6 without brackets", WITH_HOST("Host: ::1\r\n"), 400},
        {"v6 without end", WITH_HOST("Host: [::1\r\n"), 400},
        {"v6 that is none", WITH_HOST("Host: [gw]\r\n"), 400},
        {"v6 and junk", WITH_HOST("Host: [::1]a\r\n"), 400},
        {"space before colon", WITH_HOST("Host : gw\r\n"), 400},
        {"name", WITH_HOST("Host: my_gw-1.example.com:8400\r\n"), 0},
        {"port at the limit", WITH_HOST("Host: gw:65535\r\n"), 0},
        {"v4", WITH_HOST("Host: 127.0.0.1:80\r\n"), 0},
        {"v6", WITH_HOST("Host: [2001:db8::1]:80\r\n"), 0},
        {"v6 without port", WITH_HOST("Host: [::ffff:1.2.3.4]\r\n"), 0},
        {"forwarding headers do not matter",
         WITH_HOST("Host: gw\r\nX-Forwarded-Host: evil\r\nForwarded: host=evil\r\n"), 0},
    };
    assert_cases(cases);
}

static void refuses_expectations_that_it_does_not_know(void **state)
{
    (void)state;
    static const struct http_case cases[] = {
        {"100-continue", POST("Expect: 100-continue\r\n"), 0},
        {"case", POST("Expect: 100-CONTINUE\r\n"), 0},
        {"twice", POST("Expect: 100-continue\r\nExpect: 100-continue\r\n"), 0},
        {"other", POST("Expect: 200-ok\r\n"), 417},
        {"empty", POST("Expect:\r\n"), 417},
        {"obfuscated", POST("Expect: y 100-continue\r\n"), 417},
        {"list", POST("Expect: 100-continue, x\r\n"), 417},
        {"known, then other", POST("Expect: 100-continue\r\nExpect: x\r\n"), 417},
        {"other, then known", POST("Expect: x\r\nExpect: 100-continue\r\n"), 417},
        {"framing comes first", POST("Expect: x\r\nContent-Length: x\r\n"), 400},
    };
    assert_cases(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_both_framings),
        cmocka_unit_test(refuses_obfuscated_transfer_encodings),
        cmocka_unit_test(refuses_obfuscated_names_of_transfer_encoding),
        cmocka_unit_test(refuses_a_content_length_that_is_not_digits),
        cmocka_unit_test(refuses_malformed_field_lines),
        cmocka_unit_test(refuses_bad_hosts),
        cmocka_unit_test(refuses_expectations_that_it_does_not_know),
    };
    return cmocka_run_group_tests_name("wire/http_fields", tests, NULL, NULL);
}
