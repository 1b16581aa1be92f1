#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server_scene.h"

/* --- answers --- */

static void streams_in_chunks(void **state)
{
    static const struct talk_line lines[] = {SAY(GET("/stream")), HEAR("0\r\n\r\n"), END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_true(has(t, "Transfer-Encoding: chunked\r\nX-Extra: yes\r\n\r\n"
                       "7\r\none-two\r\n5\r\nthree\r\n0\r\n\r\n"));
    assert_false(has(t, "Content-Length"));
    close_scene(&s);
}

static void streams_until_close_to_http_1_0(void **state)
{
    static const struct talk_line lines[] = {SAY("GET /stream HTTP/1.0\r\n\r\n"), ALL, END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_true(has(t, "Connection: close\r\nX-Extra: yes\r\n\r\none-twothree"));
    assert_false(has(t, "chunked"));
    assert_int_equal(t->ending, TALK_FINISHED);
    close_scene(&s);
}

static void keeps_http_1_0_alive_on_request(void **state)
{
    static const struct talk_line lines[] = {
        SAY("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), HEAR(BLANK),
        SAY("GET /a HTTP/1.0\r\n\r\n"), ALL, END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_int_equal(s.requests, 2);
    assert_int_equal(times(t, "Connection: keep-alive\r\n"), 1);
    assert_int_equal(times(t, "Connection: close\r\n"), 1);
    assert_int_equal(t->ending, TALK_FINISHED);
    close_scene(&s);
}

static void gives_no_body_to_head(void **state)
{
    static const struct talk_line lines[] = {
        SAY("HEAD /stream HTTP/1.1\r\n" HOST "\r\nHEAD /parts HTTP/1.1\r\n" HOST "\r\n"),
        SAY(GET("/empty")), HEAR("204 No Content"), HEAR(BLANK), END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_true(has(t, "chunked\r\nX-Extra: yes\r\n\r\nHTTP/1.1 200 OK"));
    assert_true(has(t, "Content-Length: 150\r\n\r\nHTTP/1.1 204"));
    assert_int_equal(times(t, "Content-Length"), 1);
    close_scene(&s);
}

static void sends_more_parts_than_fit_one_write(void **state)
{
    static const struct talk_line lines[] = {SAY(GET("/parts") GET("/empty")), HEAR("204 No"),
                                             END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    const char *body = strstr(t->heard, "\r\n\r\n") + 4;
    for (int i = 0; i < 150; i++) {
        assert_int_equal(body[i], '0' + i % 10);
    }
    assert_int_equal(strncmp(body + 150, "HTTP/1.1 204", 12), 0);
    close_scene(&s);
}

static void closes_when_either_side_asks(void **state)
{
    static const struct talk_line ours[] = {SAY(GET("/close")), ALL, END};
    static const struct talk_line theirs[] = {
        SAY("GET /a HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), ALL, END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    for (int i = 0; i < 2; i++) {
        struct talk *t = play(&s, i == 0 ? ours : theirs);
        assert_true(has(t, "Connection: close\r\n\r\n"));
        assert_int_equal(t->ending, TALK_FINISHED);
    }
    close_scene(&s);
}

static void answers_early_and_reads_the_body_away(void **state)
{
    static const struct talk_line lines[] = {
        SAY("POST /early HTTP/1.1\r\n" HOST "Content-Length: 200000\r\n\r\n"),
        HEAR("no key"),
        FLOOD(200000),
        SAY("POST /early HTTP/1.1\r\n" HOST
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" GET("/empty")),
        HEAR("204 No"),
        END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_int_equal(times(t, "HTTP/1.1 401"), 2);
    assert_int_equal(s.heads, 3);
    assert_int_equal(s.requests, 1);
    assert_false(has(t, "Connection: close"));
    close_scene(&s);
}

/* The answer is read only after all has been sent: it must not be lost in a reset. */
static void closes_gently_after_an_early_answer_to_a_huge_body(void **state)
{
    static const struct talk_line known[] = {
        SAY("POST /early HTTP/1.1\r\n" HOST "Content-Length: 7000000\r\n\r\n"), FLOOD(200000),
        WAIT(20), ALL, END};
    static const struct talk_line unknown[] = {
        SAY("POST /early HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nfffff\r\n"),
        FLOOD(300000), WAIT(20), ALL, END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, known);
    assert_true(has(t, "Connection: close\r\n\r\nno key"));
    assert_int_equal(t->ending, TALK_FINISHED);
    t = play(&s, unknown);
    assert_true(has(t, "no key"));
    assert_int_equal(t->ending, TALK_FINISHED);
    assert_int_equal(s.requests, 0);
    close_scene(&s);
}

static void says_100_only_when_the_body_is_wanted(void **state)
{
    static const struct talk_line lines[] = {
        SAY("POST /b HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
        HEAR("HTTP/1.1 100 Continue\r\n\r\n"),
        SAY("hi"),
        HEAR("\r\n\r\nhi"),
        SAY("POST /b HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nho"),
        HEAR("\r\n\r\nho"),
        SAY("POST /early HTTP/1.1\r\n" HOST
            "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
        ALL,
        END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_int_equal(times(t, "100 Continue"), 1);
    assert_true(has(t, "Connection: close\r\n\r\nno key"));
    assert_int_equal(t->ending, TALK_FINISHED);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_in_chunks),
        cmocka_unit_test(streams_until_close_to_http_1_0),
        cmocka_unit_test(keeps_http_1_0_alive_on_request),
        cmocka_unit_test(gives_no_body_to_head),
        cmocka_unit_test(sends_more_parts_than_fit_one_write),
        cmocka_unit_test(closes_when_either_side_asks),
        cmocka_unit_test(answers_early_and_reads_the_body_away),
        cmocka_unit_test(closes_gently_after_an_early_answer_to_a_huge_body),
        cmocka_unit_test(says_100_only_when_the_body_is_wanted),
    };
    return cmocka_run_group_tests_name("net/http_reply", tests, NULL, NULL);
}
