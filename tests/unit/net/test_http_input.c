#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/http_conn_priv.h"
#include "server_scene.h"

/* --- requests --- */

static void answers_and_keeps_the_connection(void **state)
{
    static const struct talk_line lines[] = {
        SAY("GET /a?q=1 HTTP/1.1\r\n" HOST "\r\n"), HEAR(BLANK),
        SAY("POST /b HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi"), HEAR("\r\n\r\nhi"),
        END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_int_equal(s.requests, 2);
    assert_int_equal(http_server_connections(s.server), 1);
    assert_int_equal(strncmp(t->heard, "HTTP/1.1 200 OK\r\nDate: ", 23), 0);
    assert_true(has(t, " GMT\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n"));
    assert_true(has(t, "Content-Length: 2\r\n\r\nhi"));
    assert_false(has(t, "Connection:"));
    close_scene(&s);
}

static void reads_everything_byte_by_byte(void **state)
{
    static const struct talk_line lines[] = {
        DRIP("\r\nPOST /b?x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"),
        HEAR("\r\n\r\nhello"),
        DRIP("\r\n\r\nPOST /c HTTP/1.1\r\n" HOST
             "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n"),
        HEAR("\r\n\r\nabcde"), END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_int_equal(t->ending, TALK_OPEN);
    assert_int_equal(s.requests, 2);
    assert_int_equal(s.faults, 0);
    close_scene(&s);
}

static void reads_chunks_that_come_with_the_head(void **state)
{
    static const struct talk_line lines[] = {
        SAY("POST /c HTTP/1.1\r\n" HOST
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET /d "
            "HTTP/1.1\r\n" HOST "\r\n"),
        HEAR("Content-Length: 0\r\n\r\n"), END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_true(has(t, "\r\n\r\nabcdeHTTP/1.1 200 OK"));
    assert_int_equal(s.requests, 2);
    close_scene(&s);
}

static void reads_a_large_body(void **state)
{
    static const struct talk_line lines[] = {
        SAY("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5000000\r\n\r\n"),
        FLOOD(5000000),
        HEAR(BLANK),
        SAY("GET /d HTTP/1.1\r\n" HOST "\r\n"),
        HEAR("Content-Length: 0\r\n\r\n"),
        END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_int_equal(s.requests, 2);
    assert_int_equal(t->ending, TALK_OPEN);
    assert_int_equal(times(t, "HTTP/1.1 200 OK"), 2);
    assert_true(t->len > 5000000);
    close_scene(&s);
}

static size_t count_of(const struct talk *t, char what)
{
    size_t n = 0;
    for (size_t i = 0; i < t->len; i++) {
        n += t->heard[i] == what ? 1U : 0U;
    }
    return n;
}

/* The last one is in memory that held longer ones before. */
static void keeps_the_memory_of_large_bodies_for_the_next_ones(void **state)
{
    static const struct talk_line lines[] = {
        SAY("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3000000\r\n\r\n"),
        FLOOD(3000000),
        HEAR(BLANK),
        SAY("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n61A80\r\n"),
        FLOOD(400000),
        SAY("\r\n1\r\n"),
        FLOOD(1),
        SAY("\r\n0\r\n\r\n"),
        HEAR("Content-Length: 400001" BLANK),
        SAY("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 200000\r\n\r\n"),
        FLOOD(200000),
        HEAR("Content-Length: 200000" BLANK),
        SAY("GET /d HTTP/1.1\r\n" HOST "\r\n"),
        HEAR("Content-Length: 0\r\n\r\n"),
        END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_int_equal(s.requests, 4);
    assert_int_equal(count_of(t, 'x'), 3600001 + times(t, "text/plain"));
    assert_in_range(s.server->stock.kept_bytes, 3000000, 16 << 20);
    assert_true(timer_is_armed(&s.server->stock_timer));
    size_t kept = s.server->stock.kept_bytes;
    timer_disarm(&s.server->stock_timer);
    s.server->stock_timer.fire(&s.server->stock_timer); /* long before its time */
    assert_int_equal(s.server->stock.kept_bytes, kept);
    assert_true(timer_is_armed(&s.server->stock_timer));
    close_scene(&s);
}

static void keeps_nothing_of_small_bodies(void **state)
{
    static const struct talk_line lines[] = {
        SAY("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n"), FLOOD(100000),
        HEAR(BLANK), END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    play(&s, lines);
    assert_int_equal(s.requests, 1);
    assert_int_equal(s.server->stock.kept_bytes, 0);
    assert_false(timer_is_armed(&s.server->stock_timer));
    close_scene(&s);
}

/* The head is known to have been read when the body and what follows it come in one. */
static void a_request_right_behind_a_body_is_not_a_part_of_it(void **state)
{
    static const struct talk_line lines[] = {
        SAY("POST /b HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 6\r\n\r\n"),
        HEAR("100 Continue"),
        SAY("second" GET("/stream") GET("/empty")),
        HEAR("204 No Content"),
        HEAR(BLANK),
        END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_true(has(t, "\r\n\r\nsecondHTTP/1.1 200 OK"));
    assert_true(has(t, "0\r\n\r\nHTTP/1.1 204"));
    assert_int_equal(s.requests, 3);
    assert_int_equal(s.faults, 0);
    close_scene(&s);
}

static void answers_pipelined_requests_in_order(void **state)
{
    static const struct talk_line lines[] = {
        SAY(GET("/later") "POST /b HTTP/1.1\r\n" HOST
                          "Content-Length: 6\r\n\r\nsecond" GET("/stream") GET("/empty")),
        HEAR("204 No Content"), HEAR(BLANK), END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    const char *late = strstr(t->heard, "\r\n\r\nlateHTTP/1.1");
    assert_non_null(late);
    const char *second = strstr(late, "\r\n\r\nsecondHTTP/1.1");
    assert_non_null(second);
    assert_non_null(strstr(second, "0\r\n\r\nHTTP/1.1 204"));
    assert_int_equal(s.requests, 4);
    close_scene(&s);
}

static void holds_back_a_client_that_pipelines_without_end(void **state)
{
    static char many[400000];
    static const char one[] = GET("/x");
    static const struct talk_line lines[] = {SAY(GET("/later")), SAY(many), SAY(GET("/empty")),
                                             HEAR("204 No Content"), END};
    (void)state;
    struct scene s;
    size_t count = 0;
    for (size_t at = 0; at + sizeof(one) < sizeof(many); at += sizeof(one) - 1) {
        memcpy(many + at, one, sizeof(one));
        count++;
    }
    open_scene(&s);
    s.later_ms = 60;
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_int_equal(t->ending, TALK_OPEN);
    assert_int_equal(s.requests, count + 2);
    close_scene(&s);
}

/* --- limits and faults --- */

static void check_fault(struct scene *s, const char *text, int status, const char *path)
{
    const struct talk_line lines[] = {SAY(text), ALL, END};
    char line[32];
    s->faults = 0;
    struct talk *t = play(s, lines);
    snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
    assert_int_equal(s->faults, 1);
    assert_int_equal(s->fault_status, status);
    assert_string_equal(s->fault_path, path);
    assert_int_equal(strncmp(t->heard, line, strlen(line)), 0);
    assert_true(has(t, "Connection: close\r\n"));
    assert_true(has(t, s->fault_code));
    assert_int_equal(t->ending, TALK_FINISHED);
}

static void refuses_what_is_malformed(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    check_fault(&s, "GARBAGE\r\n\r\n", 400, "");
    check_fault(&s, "GET /v1/messages?a HTTP/1.1\r\n\r\n", 400, "/v1/messages");
    check_fault(&s, "\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400, "");
    check_fault(&s, "GET / HTTP/2.0\r\n" HOST "\r\n", 505, "/");
    check_fault(&s, "POST /p HTTP/1.1\r\n" HOST "Content-Length: 8388609\r\n\r\nx", 413, "/p");
    check_fault(&s, "POST /p HTTP/1.1\r\n" HOST "Expect: tea\r\nContent-Length: 8\r\n\r\n", 417,
                "/p");
    check_fault(&s, "POST /p HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nz\r\n", 400,
                "/p");
    check_fault(&s, "POST /p HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n", 501, "/p");
    assert_int_equal(s.requests, 0);
    close_scene(&s);
}

static void a_bad_request_in_a_pipeline_is_refused_in_its_turn(void **state)
{
    static const struct talk_line lines[] = {SAY(GET("/later") "BAD\r\n\r\n"), ALL, END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_true(has(t, "\r\n\r\nlateHTTP/1.1 400 Bad Request\r\n"));
    assert_int_equal(t->ending, TALK_FINISHED);
    close_scene(&s);
}

static char *make_head(size_t size)
{
    static const char start[] = "GET /large HTTP/1.1\r\n" HOST "Connection: close\r\nX: ";
    char *head = mem_alloc(size + 1);
    memset(head, 'a', size);
    memcpy(head, start, sizeof(start) - 1);
    memcpy(head + size - 4, BLANK, sizeof(BLANK));
    return head;
}

static void bounds_the_head(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    static const struct {
        size_t size;
        size_t requests;
    } cases[] = {{999, 1}, {1000, 1}, {1001, 0}, {200000, 0}};
    for (size_t i = 0; i < 4; i++) {
        char *head = make_head(cases[i].size);
        const struct talk_line lines[] = {SAY(head), ALL, END};
        s.requests = 0;
        struct talk *t = play(&s, lines);
        assert_int_equal(s.requests, cases[i].requests);
        assert_int_equal(
            strncmp(t->heard, cases[i].requests ? "HTTP/1.1 200" : "HTTP/1.1 431", 12), 0);
        assert_int_equal(t->ending, TALK_FINISHED);
        free(head);
    }
    assert_string_equal(s.fault_path, "/large");
    close_scene(&s);
}

static void check_chunked_size(size_t size, int status)
{
    char head[128];
    snprintf(head, sizeof(head),
             "POST /p HTTP/1.1\r\n" HOST
             "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
             size);
    const struct talk_line lines[] = {SAY(head), FLOOD(size), SAY("\r\n0\r\n\r\n"), ALL, END};
    struct scene s;
    open_scene(&s);
    s.limits.body_bytes = 10000;
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_int_equal(strtol(t->heard + 9, NULL, 10), status);
    assert_int_equal(t->ending, TALK_FINISHED);
    close_scene(&s);
}

static void bounds_a_chunked_body(void **state)
{
    (void)state;
    check_chunked_size(9999, 200);
    check_chunked_size(10000, 200);
    check_chunked_size(10001, 413);
    check_chunked_size(200000, 413);
}

static void check_deadline(const char *text, int status)
{
    const struct talk_line lines[] = {SAY(text), ALL, END};
    struct scene s;
    open_scene(&s);
    s.limits.header_ms = 30;
    s.limits.body_ms = 30;
    s.limits.idle_ms = 60;
    start_server(&s);
    uint64_t before = clock_mono_ms();
    struct talk *t = play(&s, lines);
    uint64_t took = clock_mono_ms() - before;
    assert_true(took >= 29 && took < 5000); /* a machine may be slow */
    assert_int_equal(t->ending, TALK_FINISHED);
    assert_int_equal(t->len > 0 ? strtol(t->heard + 9, NULL, 10) : 0, status);
    close_scene(&s);
}

static void has_deadlines_for_reading(void **state)
{
    (void)state;
    check_deadline("", 0);
    check_deadline("\r\n", 0);
    check_deadline("G", 408);
    check_deadline("GET / HTTP/1.1\r\nHost: ", 408);
    check_deadline("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n1234", 408);
    check_deadline("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\n1234",
                   408);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_keeps_the_connection),
        cmocka_unit_test(reads_everything_byte_by_byte),
        cmocka_unit_test(reads_chunks_that_come_with_the_head),
        cmocka_unit_test(reads_a_large_body),
        cmocka_unit_test(keeps_the_memory_of_large_bodies_for_the_next_ones),
        cmocka_unit_test(keeps_nothing_of_small_bodies),
        cmocka_unit_test(a_request_right_behind_a_body_is_not_a_part_of_it),
        cmocka_unit_test(answers_pipelined_requests_in_order),
        cmocka_unit_test(holds_back_a_client_that_pipelines_without_end),
        cmocka_unit_test(refuses_what_is_malformed),
        cmocka_unit_test(a_bad_request_in_a_pipeline_is_refused_in_its_turn),
        cmocka_unit_test(bounds_the_head),
        cmocka_unit_test(bounds_a_chunked_body),
        cmocka_unit_test(has_deadlines_for_reading),
    };
    return cmocka_run_group_tests_name("net/http_input", tests, NULL, NULL);
}
