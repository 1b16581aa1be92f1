#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "call_scene.h"
#include "rig.h"

/* --- framing --- */

static const struct framing_case {
    const char *answer;
    const char *body;
    enum err end;
    bool is_kept; /* goes back to the pool */
} framings[] = {
    {"HTTP/1.1 200 OK\r\nX: v\r\nContent-Length: 5\r\n\r\nhello", "hello", ERR_EOF, true},
    {"HTTP/1.1 200 OK\r\nX: v\r\nContent-Length: 0\r\n\r\n", "", ERR_EOF, true},
    {"HTTP/1.1 204 No Content\r\nX: v\r\n\r\n", "", ERR_EOF, true},
    {"HTTP/1.1 200 OK\r\nX: v\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n "
     "there\r\n0\r\n\r\n",
     "hello there", ERR_EOF, true},
    {"HTTP/1.1 200 OK\r\nX: v\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n", "",
     ERR_EOF, true},
    {"HTTP/1.1 200 OK\r\nX: v\r\n\r\nuntil the end", "until the end", ERR_EOF, false},
    {"HTTP/1.0 200 OK\r\nX: v\r\nContent-Length: 2\r\n\r\nok", "ok", ERR_EOF, false},
    {"HTTP/1.1 200 OK\r\nX: v\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "ok",
     ERR_EOF, false},
    {"HTTP/1.1 200 OK\r\nX: v\r\nContent-Length: 2\r\n\r\nok!", "ok", ERR_EOF, false},
    {"HTTP/1.1 200 OK\r\nX: v\r\nContent-Length: 0\r\n\r\n!", "", ERR_EOF, false},
    {"HTTP/1.1 200 OK\r\nX: v\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nHTTP/1.1",
     "a", ERR_EOF, false},
    {"HTTP/1.1 200 OK\r\nX: v\r\nContent-Length: 6\r\n\r\nhello", "hello", ERR_TRUNCATED,
     false},
    {"HTTP/1.1 200 OK\r\nX: v\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello",
     ERR_TRUNCATED, false},
    {"HTTP/1.1 200 OK\r\nX: v\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nz\r\n",
     "hello", ERR_SYNTAX, false},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: w\r\n\r\nHTTP/1.1 200 OK\r\nX: "
     "v\r\n"
     "Content-Length: 2\r\n\r\nok",
     "ok", ERR_EOF, true},
};

static void check_framing(const struct framing_case *f, enum talk_op how)
{
    /* Who is to be kept does not close: that could be seen before the call ends. */
    enum talk_op end = f->is_kept ? TALK_WAIT : TALK_CLOSE;
    const struct talk_line lines[] = {ACCEPT,  HEAR(BLANK),    {how, f->answer, 0},
                                      WAIT(2), {end, NULL, 0}, END};
    struct scene s;
    open_scene(&s, lines);
    call(&s);
    assert_int_equal(s.head_end, ERR_OK);
    assert_int_equal(s.body_end, f->end);
    assert_string_equal(s.value, "v");
    assert_string_equal(s.got, f->body);
    assert_string_equal(s.peer.heard, CALL_GET);
    assert_int_equal(upstream_idle(s.upstream), f->is_kept ? 1 : 0);
    close_scene(&s);
}

static void reads_every_framing_in_one_piece(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(framings) / sizeof(framings[0]); i++) {
        check_framing(&framings[i], TALK_SAY);
    }
}

static void reads_every_framing_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(framings) / sizeof(framings[0]); i++) {
        bool has_extra = framings[i].end == ERR_EOF && !framings[i].is_kept;
        if (!has_extra) { /* those come after the call has ended */
            check_framing(&framings[i], TALK_DRIP);
        }
    }
}

static void gives_the_payload_of_one_read_as_one_piece(void **state)
{
    static const struct talk_line lines[] = {
        ACCEPT,
        HEAR(BLANK),
        SAY("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        WAIT(10),
        SAY("3\r\nabc\r\n3\r\ndef\r\n1\r\ng\r\n0\r\n\r\n"),
        WAIT(10),
        END};
    (void)state;
    struct scene s;
    open_scene(&s, lines);
    call(&s);
    assert_string_equal(s.got, "abcdefg");
    assert_int_equal(s.pieces, 1);
    close_scene(&s);
}

static void answers_to_head_have_no_body(void **state)
{
    static const struct talk_line lines[] = {
        ACCEPT, HEAR(BLANK), SAY("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"), WAIT(10),
        END};
    (void)state;
    struct scene s;
    open_scene(&s, lines);
    s.request = STR("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
    call(&s);
    assert_int_equal(s.body_end, ERR_EOF);
    assert_int_equal(upstream_idle(s.upstream), 1);
    close_scene(&s);
}

static void survives_back_pressure(void **state)
{
    static const struct talk_line lines[] = {
        ACCEPT,
        HEAR(BLANK),
        SAY("HTTP/1.1 200 OK\r\nContent-Length: 300005\r\n\r\nstart"),
        FLOOD(300000),
        WAIT(10),
        END};
    (void)state;
    struct scene s;
    open_scene(&s, lines);
    s.pauses = true;
    call(&s);
    assert_int_equal(s.body_end, ERR_EOF);
    assert_int_equal(s.got_len, 300005);
    assert_memory_equal(s.got, "startxxx", 8);
    assert_int_equal(upstream_idle(s.upstream), 1);
    close_scene(&s);
}

/* --- bad heads --- */

static const struct bad_case {
    const char *answer;
    enum talk_op end;
    enum err want;
} bad_heads[] = {
    {"", TALK_CLOSE, ERR_CLOSED},
    {"", TALK_RST, ERR_RESET},
    {"HTTP/1.1 200 OK\r\nX: ", TALK_CLOSE, ERR_TRUNCATED},
    {"HTTP/1.1 200 OK\r\nX: ", TALK_RST, ERR_RESET},
    {"HTTP/1.1 100 Continue\r\n\r\n", TALK_CLOSE, ERR_TRUNCATED},
    {"SSH-2.0-x\r\n\r\n", TALK_WAIT, ERR_SYNTAX},
    {"HTTP/1.1 101 Switching Protocols\r\n\r\n", TALK_WAIT, ERR_SYNTAX},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     TALK_WAIT, ERR_SYNTAX},
};

static void refuses_bad_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_heads) / sizeof(bad_heads[0]); i++) {
        const struct talk_line lines[] = {ACCEPT,
                                          HEAR(BLANK),
                                          SAY(bad_heads[i].answer),
                                          WAIT(10),
                                          {bad_heads[i].end, NULL, 0},
                                          END};
        struct scene s;
        const struct http_response *head = NULL;
        open_scene(&s, lines);
        begin_call(&s);
        loop_run(s.loop);
        assert_int_equal(s.head_end, bad_heads[i].want);
        assert_int_equal(http_call_head(s.call, &head), bad_heads[i].want);
        assert_null(head);
        http_call_close(&s.call);
        assert_int_equal(upstream_idle(s.upstream), 0);
        close_scene(&s);
    }
}

/* A head of exactly `size` bytes. */
static char *make_head(size_t size)
{
    static const char start[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ";
    char *head = mem_alloc(size + 1);
    memset(head, 'a', size);
    memcpy(head, start, sizeof(start) - 1);
    memcpy(head + size - 4, BLANK, sizeof(BLANK));
    return head;
}

static void check_head_size(size_t size, enum err want)
{
    char *head = make_head(size);
    const struct talk_line lines[] = {ACCEPT, HEAR(BLANK), SAY(head), WAIT(5), END};
    struct scene s;
    open_scene(&s, lines);
    s.head_max = 1000;
    call(&s);
    assert_int_equal(s.head_end, want);
    close_scene(&s);
    free(head);
}

static void bounds_the_head(void **state)
{
    (void)state;
    check_head_size(1000, ERR_OK);
    check_head_size(1001, ERR_TOO_LARGE);
    check_head_size(40000, ERR_TOO_LARGE);
}

static void check_interims(size_t count, enum err want)
{
    static const char interim[] = "HTTP/1.1 102 Processing\r\n\r\n";
    static const char final[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    char answer[1024] = "";
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(answer + len, interim, sizeof(interim));
        len += sizeof(interim) - 1;
    }
    memcpy(answer + len, final, sizeof(final));
    const struct talk_line lines[] = {ACCEPT, HEAR(BLANK), SAY(answer), WAIT(5), END};
    struct scene s;
    open_scene(&s, lines);
    call(&s);
    assert_int_equal(s.head_end, want);
    close_scene(&s);
}

static void bounds_interim_responses(void **state)
{
    (void)state;
    check_interims(10, ERR_OK);
    check_interims(11, ERR_SYNTAX);
}

static void tells_a_refused_connection(void **state)
{
    static const struct talk_line lines[] = {END};
    (void)state;
    struct scene s;
    open_scene(&s, lines);
    talk_join(&s.peer);
    close(s.peer.listener);
    call(&s);
    assert_int_equal(s.head_end, ERR_REFUSED);
    s.peer.listener = -1;
    upstream_free(&s.upstream);
    talk_fini(&s.peer);
    timer_drop(s.loop, &s.later);
    loop_free(&s.loop);
    free(s.got);
}

/* --- sending --- */

static void sends_head_and_rope_in_order(void **state)
{
    static const struct talk_line lines[] = {
        ACCEPT, HEAR("three"), SAY("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), WAIT(5),
        END};
    (void)state;
    struct scene s;
    struct rope body;
    rope_init(&body);
    rope_add(&body, STR("one"));
    rope_add(&body, STR("two"));
    rope_add(&body, STR("three"));
    open_scene(&s, lines);
    s.body = &body;
    call(&s);
    assert_int_equal(s.head_end, ERR_OK);
    assert_string_equal(s.peer.heard, CALL_GET "onetwothree");
    assert_true(s.was_sent);
    close_scene(&s);
}

static void sends_a_large_body_in_many_writes(void **state)
{
    enum { SIZE = 6 << 20 };
    static const struct talk_line lines[] = {
        ACCEPT, HEAR("end of body"), SAY("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        WAIT(5), END};
    (void)state;
    struct scene s;
    struct rope body;
    char *large = mem_alloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        large[i] = (char)('a' + i % 23);
    }
    rope_init(&body);
    rope_add(&body, str_of(large, SIZE));
    rope_add(&body, STR("end of body"));
    open_scene(&s, lines);
    s.body = &body;
    call(&s);
    assert_int_equal(s.head_end, ERR_OK);
    assert_int_equal(s.peer.len, strlen(CALL_GET) + SIZE + 11);
    assert_memory_equal(s.peer.heard + strlen(CALL_GET), large, SIZE);
    assert_int_equal(upstream_idle(s.upstream), 1);
    close_scene(&s);
    free(large);
}

static void hears_an_error_before_everything_is_sent(void **state)
{
    enum { SIZE = 16 << 20 };
    static const struct talk_line lines[] = {
        ACCEPT, HEAR(BLANK), SAY("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"),
        WAIT(20), END};
    (void)state;
    struct scene s;
    struct rope body;
    char *large = mem_alloc(SIZE);
    rope_init(&body);
    rope_add(&body, str_of(large, SIZE));
    open_scene(&s, lines);
    s.body = &body;
    call(&s);
    assert_int_equal(s.status, 413);
    assert_string_equal(s.got, "big");
    assert_false(s.was_sent);
    assert_int_equal(upstream_idle(s.upstream), 0);
    close_scene(&s);
    free(large);
}

/* --- reuse --- */

#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void reuses_a_connection(void **state)
{
    static const struct talk_line lines[] = {ACCEPT,      HEAR(BLANK), SAY(OK2),
                                             HEAR(BLANK), SAY(OK2),    HEAR(BLANK),
                                             SAY(OK2),    WAIT(5),     END};
    (void)state;
    struct scene s;
    open_scene(&s, lines);
    for (int i = 0; i < 3; i++) {
        call(&s);
        assert_string_equal(s.got, "ok");
        assert_int_equal(upstream_idle(s.upstream), 1);
    }
    close_scene(&s);
    assert_int_equal(s.peer.accepted, 1);
}

static void check_redial(enum talk_op death)
{
    const struct talk_line lines[] = {ACCEPT,           HEAR(BLANK), SAY(OK2),    HEAR(BLANK),
                                      {death, NULL, 0}, ACCEPT,      HEAR(BLANK), SAY(OK2),
                                      WAIT(5),          END};
    struct scene s;
    open_scene(&s, lines);
    call(&s);
    call(&s);
    assert_int_equal(s.head_end, ERR_OK);
    assert_string_equal(s.got, "ok");
    assert_string_equal(s.peer.heard, CALL_GET CALL_GET CALL_GET);
    assert_int_equal(s.peer.accepted, 2);
    close_scene(&s);
}

static void replaces_a_reused_connection_that_dies(void **state)
{
    (void)state;
    check_redial(TALK_CLOSE);
    check_redial(TALK_RST);
}

/* The peer closed while nobody looked: no turn of the loop has noticed. */
static void replaces_a_connection_that_died_in_the_pool(void **state)
{
    static const struct talk_line lines[] = {ACCEPT, HEAR(BLANK), SAY(OK2), WAIT(10), RST,
                                             ACCEPT, HEAR(BLANK), SAY(OK2), WAIT(5),  END};
    (void)state;
    struct scene s;
    open_scene(&s, lines);
    call(&s);
    usleep(30000);
    call(&s);
    assert_string_equal(s.got, "ok");
    assert_int_equal(s.peer.accepted, 2);
    close_scene(&s);
}

static void redials_only_once(void **state)
{
    static const struct talk_line lines[] = {ACCEPT, HEAR(BLANK), SAY(OK2), HEAR(BLANK), CLOSE,
                                             ACCEPT, HEAR(BLANK), CLOSE,    END};
    (void)state;
    struct scene s;
    open_scene(&s, lines);
    call(&s);
    call(&s);
    assert_int_equal(s.head_end, ERR_CLOSED);
    close_scene(&s);
}

static void does_not_redial_once_the_time_for_it_is_over(void **state)
{
    static const struct talk_line lines[] = {ACCEPT,   HEAR(BLANK), SAY(OK2), HEAR(BLANK),
                                             WAIT(30), CLOSE,       END};
    (void)state;
    struct scene s;
    open_scene(&s, lines);
    call(&s);
    s.connect_ms = 10;
    call(&s);
    assert_int_equal(s.head_end, ERR_CLOSED);
    close_scene(&s);
}

static void does_not_redial_after_the_first_byte(void **state)
{
    static const struct talk_line lines[] = {ACCEPT,   HEAR(BLANK), SAY(OK2), HEAR(BLANK),
                                             SAY("H"), WAIT(10),    CLOSE,    END};
    (void)state;
    struct scene s;
    open_scene(&s, lines);
    call(&s);
    call(&s);
    assert_int_equal(s.head_end, ERR_TRUNCATED);
    close_scene(&s);
}

/* --- ends --- */

static void closing_cancels_the_request_at_once(void **state)
{
    static const struct talk_line lines[] = {ACCEPT, HEAR(BLANK), ALL, END};
    (void)state;
    struct scene s;
    open_scene(&s, lines);
    s.peer.stops = s.loop;
    begin_call(&s);
    /* Until it is sent; nothing will ever be answered. */
    timer_init(&s.later, on_later);
    while (!http_call_is_sent(s.call)) {
        turn(s.loop);
    }
    assert_true(http_call_is_connected(s.call));
    uint64_t before = clock_mono_ms();
    http_call_close(&s.call);
    loop_run(s.loop);
    assert_true(clock_mono_ms() - before < 5000); /* a machine may be slow */
    assert_int_equal(s.peer.ending, TALK_FINISHED);
    assert_int_equal(upstream_idle(s.upstream), 0);
    close_scene(&s);
}

static void may_be_closed_while_dialing(void **state)
{
    static const struct talk_line lines[] = {END};
    (void)state;
    struct scene s;
    open_scene(&s, lines);
    begin_call(&s);
    assert_false(http_call_is_connected(s.call));
    assert_false(http_call_is_sent(s.call));
    http_call_close(&s.call);
    assert_null(s.call);
    http_call_close(&s.call);
    close_scene(&s);
}

static void a_reset_in_the_body_is_told(void **state)
{
    static const struct talk_line lines[] = {
        ACCEPT, HEAR(BLANK), SAY("HTTP/1.1 200 OK\r\n\r\nuntil"), WAIT(20), RST, END};
    (void)state;
    struct scene s;
    open_scene(&s, lines);
    call(&s);
    assert_int_equal(s.body_end, ERR_RESET);
    assert_string_equal(s.got, "until");
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_framing_in_one_piece),
        cmocka_unit_test(reads_every_framing_byte_by_byte),
        cmocka_unit_test(gives_the_payload_of_one_read_as_one_piece),
        cmocka_unit_test(answers_to_head_have_no_body),
        cmocka_unit_test(survives_back_pressure),
        cmocka_unit_test(refuses_bad_heads),
        cmocka_unit_test(bounds_the_head),
        cmocka_unit_test(bounds_interim_responses),
        cmocka_unit_test(tells_a_refused_connection),
        cmocka_unit_test(sends_head_and_rope_in_order),
        cmocka_unit_test(sends_a_large_body_in_many_writes),
        cmocka_unit_test(hears_an_error_before_everything_is_sent),
        cmocka_unit_test(reuses_a_connection),
        cmocka_unit_test(replaces_a_reused_connection_that_dies),
        cmocka_unit_test(replaces_a_connection_that_died_in_the_pool),
        cmocka_unit_test(redials_only_once),
        cmocka_unit_test(does_not_redial_once_the_time_for_it_is_over),
        cmocka_unit_test(does_not_redial_after_the_first_byte),
        cmocka_unit_test(closing_cancels_the_request_at_once),
        cmocka_unit_test(may_be_closed_while_dialing),
        cmocka_unit_test(a_reset_in_the_body_is_told),
    };
    return cmocka_run_group_tests_name("net/http_call", tests, NULL, NULL);
}
