#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server_scene.h"

/* --- connections --- */

static void an_idle_connection_is_closed_after_its_answer_too(void **state)
{
    static const struct talk_line lines[] = {SAY(GET("/a")), ALL, END};
    (void)state;
    struct scene s;
    open_scene(&s);
    s.limits.idle_ms = 30;
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_int_equal(t->ending, TALK_FINISHED);
    assert_int_equal(times(t, "HTTP/1.1"), 1);
    close_scene(&s);
}

static void refuses_connections_over_the_limit(void **state)
{
    static const struct talk_line waits[] = {WAIT(40), END};
    static const struct talk_line asks[] = {SAY(GET("/a")), ALL, END};
    (void)state;
    struct scene s;
    open_scene(&s);
    s.limits.connections = 2;
    s.limits.idle_ms = 60;
    start_server(&s);
    add_client(&s, waits, NULL);
    add_client(&s, waits, NULL);
    struct talk *t = play(&s, asks);
    assert_int_equal(strncmp(t->heard, "HTTP/1.1 503", 12), 0);
    assert_int_equal(t->ending, TALK_FINISHED);
    assert_string_equal(s.fault_code, "too_many_connections");
    close_scene(&s);
}

static void just_closes_connections_far_over_the_limit(void **state)
{
    static const struct talk_line lines[] = {ALL, END};
    (void)state;
    struct scene s;
    open_scene(&s);
    s.limits.connections = 1;
    start_server(&s);
    s.count = 17;
    struct talk *t = play(&s, lines);
    assert_int_equal(t->len, 0);
    assert_int_equal(t->ending, TALK_FINISHED);
    assert_int_equal(http_server_connections(s.server), 0);
    assert_int_equal(s.count, 17);
    s.count = 0;
    close_scene(&s);
}

/* --- who goes --- */

static void tells_when_the_client_is_gone(void **state)
{
    static const enum talk_op ends[] = {TALK_FIN, TALK_CLOSE, TALK_RST};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct talk_line lines[] = {
            SAY(GET("/open")), HEAR("begun"), {ends[i], NULL, 0}, END};
        struct scene s;
        open_scene(&s);
        start_server(&s);
        add_client(&s, lines, NULL);
        turn_until_empty(&s);
        assert_int_equal(s.woken, HTTP_GONE);
        close_scene(&s);
    }
}

static void ignore_wakes(struct task *t)
{
    (void)t;
}

static void an_answer_to_nobody_is_thrown_away(void **state)
{
    static const struct talk_line lines[] = {SAY(GET("/silence")), WAIT(20), RST, WAIT(20),
                                             END};
    (void)state;
    struct scene s;
    struct http_reply r = text_reply(200);
    r.length = 100;
    open_scene(&s);
    start_server(&s);
    add_client(&s, lines, NULL);
    task_init(&s.task, ignore_wakes);
    while (s.woken == 0) {
        turn(s.loop);
    }
    assert_int_equal(s.woken, HTTP_GONE);
    assert_int_equal(http_server_connections(s.server), 1);
    struct http_conn *c = s.held;
    s.held = NULL;
    s.woken = 0;
    http_conn_attach(c, on_wake, &s);
    assert_int_equal(s.woken, HTTP_GONE);
    http_reply_begin(c, &r);
    http_reply_data(c, &STR("part"), 1, false);
    http_reply_flush(c);
    assert_int_equal(http_reply_pending(c), 0);
    assert_int_equal(http_conn_request(c)->path.len, 8);
    http_reply_data(c, &STR("last"), 1, true);
    assert_int_equal(http_server_connections(s.server), 0);
    close_scene(&s);
}

static void a_client_that_goes_before_its_request_is_whole_leaves_nothing(void **state)
{
    static const char *const parts[] = {
        "", "GET / HT", "POST /b HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc",
        "POST /b HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n9\r\nabc"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const struct talk_line lines[] = {SAY(parts[i]), WAIT(5), CLOSE, END};
        struct scene s;
        open_scene(&s);
        start_server(&s);
        add_client(&s, lines, NULL);
        turn_until_empty(&s);
        assert_int_equal(s.requests, 0);
        assert_int_equal(s.faults, 0);
        assert_int_equal(s.woken, 0);
        close_scene(&s);
    }
}

static void who_attached_in_on_head_is_told(void **state)
{
    static const struct talk_line lines[] = {
        SAY("POST /attached HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc"), WAIT(5), CLOSE,
        END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    add_client(&s, lines, NULL);
    turn_until_empty(&s);
    assert_int_equal(s.woken, HTTP_GONE);
    close_scene(&s);
}

static void aborting_never_looks_whole(void **state)
{
    static const struct talk_line cut[] = {SAY(GET("/cut")), ALL, END};
    static const struct talk_line polite[] = {SAY(GET("/polite")), ALL, END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, cut);
    assert_int_equal(t->ending, TALK_RESET);
    t = play(&s, polite);
    assert_int_equal(t->ending, TALK_FINISHED);
    assert_true(has(t, "4\r\nhalf\r\n"));
    assert_false(has(t, "0\r\n\r\n"));
    close_scene(&s);
}

static void drains_to_a_slow_reader(void **state)
{
    static const struct talk_line lines[] = {SAY(GET("/big") GET("/empty")), WAIT(30),
                                             HEAR("204 No Content"), END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_int_equal(s.woken, HTTP_DRAINED);
    const char *body = strstr(t->heard, "\r\n\r\n") + 4;
    assert_int_equal(strspn(body, "b"), BIG);
    assert_int_equal(strncmp(body + BIG, "HTTP/1.1 204", 12), 0);
    close_scene(&s);
}

static void cuts_a_client_that_does_not_read(void **state)
{
    static const struct talk_line lines[] = {SAY(GET("/big")), WAIT(250), ALL, END};
    (void)state;
    struct scene s;
    open_scene(&s);
    s.limits.send_ms = 30;
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_int_equal(s.woken, HTTP_GONE);
    assert_int_equal(t->ending, TALK_RESET);
    assert_true(s.big_left > 0);
    close_scene(&s);
}

/* The client has ended its side, the answer is complete: the rest of it still arrives. */
static void a_half_closed_client_gets_the_rest_of_a_complete_answer(void **state)
{
    static const struct talk_line lines[] = {
        SAY("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 8000000\r\n\r\n"),
        FLOOD(8000000),
        WAIT(20),
        FIN,
        WAIT(20),
        ALL,
        END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = play(&s, lines);
    assert_true(t->len > 8000000);
    assert_int_equal(t->ending, TALK_FINISHED);
    close_scene(&s);
}

/* --- the end of the server --- */

static void draining_closes_idle_connections_and_finishes_answers(void **state)
{
    static const struct talk_line idles[] = {ALL, CLOSE, END};
    static const struct talk_line asks[] = {SAY(GET("/later") GET("/a")), ALL, CLOSE, END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *idle = add_client(&s, idles, NULL);
    struct talk *busy = add_client(&s, asks, NULL);
    while (!s.held) {
        turn(s.loop);
    }
    http_server_drain(s.server, note_empty, &s);
    assert_int_equal(s.empties, 0);
    loop_run(s.loop);
    assert_int_equal(s.empties, 1);
    assert_int_equal(http_server_connections(s.server), 0);
    talk_join(idle);
    talk_join(busy);
    assert_int_equal(idle->ending, TALK_FINISHED);
    assert_int_equal(idle->len, 0);
    assert_int_equal(busy->ending, TALK_FINISHED);
    assert_true(has(busy, "Connection: close\r\n\r\nlate"));
    assert_int_equal(s.requests, 1);
    s.talks = 0;
    close_scene(&s);
    talk_fini(idle);
    talk_fini(busy);
}

static void draining_reads_a_request_that_has_just_come(void **state)
{
    static const struct talk_line lines[] = {SAY(GET("/a")), ALL, CLOSE, END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = add_client(&s, lines, NULL);
    while (t->sent == 0) { /* and no turn of the loop */
        usleep(1000);
    }
    http_server_drain(s.server, note_empty, &s);
    loop_run(s.loop);
    assert_int_equal(s.requests, 1);
    talk_join(t);
    assert_true(has(t, "HTTP/1.1 200 OK"));
    assert_true(has(t, "Connection: close\r\n"));
    s.talks = 0;
    close_scene(&s);
    talk_fini(t);
}

static void cutting_closes_all_and_tells_the_users(void **state)
{
    static const struct talk_line lines[] = {SAY(GET("/open")), HEAR("begun"), ALL, END};
    (void)state;
    struct scene s;
    open_scene(&s);
    start_server(&s);
    struct talk *t = add_client(&s, lines, NULL);
    while (!s.held) {
        turn(s.loop);
    }
    assert_int_equal(strncmp(http_conn_peer(s.held), "127.0.0.1:", 10), 0);
    usleep(10000);
    http_server_cut(s.server);
    assert_int_equal(s.woken, HTTP_GONE);
    assert_string_equal(http_conn_peer(s.held), "");
    talk_join(t);
    assert_int_equal(t->ending, TALK_RESET);
    http_server_drain(s.server, note_empty, &s);
    loop_run(s.loop);
    assert_int_equal(s.empties, 1);
    s.talks = 0;
    close_scene(&s);
    talk_fini(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_connection_is_closed_after_its_answer_too),
        cmocka_unit_test(refuses_connections_over_the_limit),
        cmocka_unit_test(just_closes_connections_far_over_the_limit),
        cmocka_unit_test(tells_when_the_client_is_gone),
        cmocka_unit_test(an_answer_to_nobody_is_thrown_away),
        cmocka_unit_test(a_client_that_goes_before_its_request_is_whole_leaves_nothing),
        cmocka_unit_test(who_attached_in_on_head_is_told),
        cmocka_unit_test(aborting_never_looks_whole),
        cmocka_unit_test(drains_to_a_slow_reader),
        cmocka_unit_test(cuts_a_client_that_does_not_read),
        cmocka_unit_test(a_half_closed_client_gets_the_rest_of_a_complete_answer),
        cmocka_unit_test(draining_closes_idle_connections_and_finishes_answers),
        cmocka_unit_test(draining_reads_a_request_that_has_just_come),
        cmocka_unit_test(cutting_closes_all_and_tells_the_users),
    };
    return cmocka_run_group_tests_name("net/http_server", tests, NULL, NULL);
}
