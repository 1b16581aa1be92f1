#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pair.h"

/* --- plain: a connection and a bare socket --- */

struct plain {
    struct loop *loop;
    struct end end;
    int peer;
};

static struct plain *plain_new(void)
{
    struct plain *p = calloc(1, sizeof(*p));
    int fds[2];
    assert_non_null(p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    p->loop = loop_new();
    p->peer = fds[1];
    init_end(&p->end);
    p->end.conn = conn_accepted(p->loop, fds[0], NULL, on_event, &p->end);
    return p;
}

static int make_plain(void **state)
{
    *state = plain_new();
    return 0;
}

static int free_plain(void **state)
{
    struct plain *p = *state;
    fini_end(&p->end);
    if (p->peer >= 0) {
        close(p->peer);
    }
    loop_free(&p->loop);
    free(p);
    return 0;
}

static void hang_up(struct plain *p)
{
    close(p->peer);
    p->peer = -1;
}

static enum err write_text(struct conn *c, const char *text, size_t *put)
{
    struct str part = str_from(text);
    return conn_write(c, &part, 1, put);
}

static void reads_what_the_peer_wrote(void **state)
{
    struct plain *p = *state;
    turn_times(p->loop, 3);
    assert_int_equal(p->end.calls, 0);
    assert_int_equal(write(p->peer, "hello", 5), 5);
    turn(p->loop);
    assert_int_equal(p->end.told, CONN_READABLE);
    char got_bytes[16];
    size_t got = 0;
    assert_int_equal(conn_read(p->end.conn, got_bytes, 3, &got), ERR_OK);
    assert_int_equal(got, 3);
    assert_int_equal(conn_read(p->end.conn, got_bytes + 3, sizeof(got_bytes) - 3, &got),
                     ERR_OK);
    assert_int_equal(got, 2);
    assert_memory_equal(got_bytes, "hello", 5);
    assert_int_equal(conn_read(p->end.conn, got_bytes, sizeof(got_bytes), &got), ERR_AGAIN);
}

static void writes_more_parts_than_one_call_takes_and_skips_empty_ones(void **state)
{
    struct plain *p = *state;
    enum { PARTS = 300 };
    struct str parts[PARTS];
    char expected[PARTS];
    static const char letters[] = "abcdefg";
    size_t size = 0;
    for (int i = 0; i < PARTS; i++) {
        parts[i] = i % 3 == 0 ? STR_NONE : str_of(&letters[i % 7], 1);
        if (i % 3 != 0) {
            expected[size++] = letters[i % 7];
        }
    }
    size_t put = 0;
    assert_int_equal(conn_write(p->end.conn, parts, PARTS, &put), ERR_OK);
    assert_int_equal(put, size);
    char got[PARTS + 1];
    assert_int_equal(read(p->peer, got, sizeof(got)), size);
    assert_memory_equal(got, expected, size);
    assert_int_equal(conn_write(p->end.conn, parts, 0, &put), ERR_OK);
    assert_int_equal(conn_write(p->end.conn, parts, 1, &put), ERR_OK);
    assert_int_equal(put, 0);
    turn_times(p->loop, 3);
    assert_int_equal(p->end.calls, 0); /* no interest in writing while nothing is blocked */
}

static void a_blocked_write_goes_on_when_there_is_room(void **state)
{
    struct plain *p = *state;
    enum { SIZE = 2 << 20 };
    char *bytes = make_bytes(SIZE);
    char *got = malloc(SIZE);
    size_t got_len = 0;
    p->end.out = bytes;
    p->end.out_len = SIZE;
    for (int i = 0; i < 100000 && got_len < SIZE; i++) {
        push(&p->end);
        turn(p->loop);
        ssize_t n = read(p->peer, got + got_len, 50000);
        got_len += n > 0 ? (size_t)n : 0;
    }
    assert_int_equal(got_len, SIZE);
    assert_memory_equal(got, bytes, SIZE);
    assert_true(p->end.out_blocked > 1);
    int calls = p->end.calls;
    turn_times(p->loop, 5);
    assert_int_equal(p->end.calls, calls);
    free(got);
    free(bytes);
}

static void an_owner_with_nothing_more_to_write_is_told_of_room_once(void **state)
{
    struct plain *p = *state;
    enum { SIZE = 1 << 20 };
    char *bytes = make_bytes(SIZE);
    struct str part = str_of(bytes, SIZE);
    size_t put = 0;
    assert_int_equal(conn_write(p->end.conn, &part, 1, &put), ERR_AGAIN);
    char *got = malloc(SIZE);
    assert_int_equal(read(p->peer, got, SIZE), put);
    turn_times(p->loop, 10);
    assert_int_equal(p->end.told, CONN_WRITABLE);
    assert_int_equal(p->end.calls, 1);
    free(got);
    free(bytes);
}

static void the_end_comes_after_the_bytes_and_stays(void **state)
{
    struct plain *p = *state;
    assert_int_equal(write(p->peer, "bye", 3), 3);
    assert_int_equal(shutdown(p->peer, SHUT_WR), 0);
    turn(p->loop);
    pull(&p->end);
    assert_int_equal(p->end.in_len, 3);
    turn(p->loop);
    pull(&p->end);
    assert_int_equal(p->end.in_end, ERR_EOF);
    char byte;
    size_t got;
    assert_int_equal(conn_read(p->end.conn, &byte, 1, &got), ERR_EOF);
    int calls = p->end.calls;
    turn_times(p->loop, 10);
    assert_int_equal(p->end.calls, calls); /* no spin */
    size_t put = 0;
    assert_int_equal(write_text(p->end.conn, "still here", &put), ERR_OK);
    assert_int_equal(put, 10);
}

static void a_paused_reader_is_not_told_until_it_goes_on(void **state)
{
    struct plain *p = *state;
    conn_read_pause(p->end.conn);
    conn_read_pause(p->end.conn);
    assert_int_equal(write(p->peer, "x", 1), 1);
    turn_times(p->loop, 3);
    hang_up(p);
    turn_times(p->loop, 3);
    assert_int_equal(p->end.calls, 0);
    conn_read_resume(p->end.conn);
    turn(p->loop);
    assert_int_equal(p->end.told, CONN_READABLE);
    pull(&p->end);
    assert_int_equal(p->end.in_len, 1);
    turn(p->loop);
    pull(&p->end);
    assert_int_equal(p->end.in_end, ERR_EOF);
}

static void sees_a_gone_peer_behind_unread_bytes(void **state)
{
    struct plain *p = *state;
    assert_false(conn_is_gone(p->end.conn));
    assert_int_equal(write(p->peer, "unread", 6), 6);
    assert_false(conn_is_gone(p->end.conn));
    hang_up(p);
    assert_true(conn_is_gone(p->end.conn));
}

static void writing_to_a_gone_peer_is_a_reset_and_no_signal(void **state)
{
    struct plain *p = *state;
    hang_up(p);
    size_t put = 1;
    assert_int_equal(write_text(p->end.conn, "hello?", &put), ERR_RESET);
    assert_int_equal(put, 0);
}

static void ends_sending_and_keeps_reading(void **state)
{
    struct plain *p = *state;
    char byte;
    conn_shutdown_write(p->end.conn);
    assert_int_equal(read(p->peer, &byte, 1), 0);
    assert_int_equal(write(p->peer, "late", 4), 4);
    turn(p->loop);
    pull(&p->end);
    assert_int_equal(p->end.in_len, 4);
}

static void a_new_owner_gets_the_events(void **state)
{
    struct plain *p = *state;
    struct end other = {.conn = p->end.conn};
    conn_set_owner(p->end.conn, on_event, &other);
    assert_int_equal(write(p->peer, "x", 1), 1);
    turn(p->loop);
    assert_int_equal(p->end.calls, 0);
    assert_int_equal(other.told, CONN_READABLE);
    conn_set_owner(p->end.conn, on_event, &p->end);
}

static void a_new_owner_is_told_of_what_the_one_before_did_not_read(void **state)
{
    struct plain *p = *state;
    struct end other = {.conn = p->end.conn};
    assert_int_equal(write(p->peer, "x", 1), 1);
    turn(p->loop);
    assert_int_equal(p->end.told, CONN_READABLE);
    conn_set_owner(p->end.conn, on_event, &other);
    turn_times(p->loop, 3);
    assert_int_equal(other.told, CONN_READABLE);
    assert_int_equal(other.calls, 1);
    conn_set_owner(p->end.conn, on_event, &p->end);
}

/* No event comes for what is there already. */
static void tells_of_what_a_full_read_left(void **state)
{
    struct plain *p = *state;
    p->end.step = 2;
    assert_int_equal(write(p->peer, "hello", 5), 5);
    for (int i = 0; i < 6; i++) {
        turn(p->loop);
        pull(&p->end);
    }
    assert_int_equal(p->end.in_len, 5);
    int calls = p->end.calls;
    turn_times(p->loop, 5);
    assert_int_equal(p->end.calls, calls);
    conn_read_pause(p->end.conn);
    assert_int_equal(write(p->peer, "again", 5), 5);
    turn_times(p->loop, 3);
    conn_read_resume(p->end.conn);
    turn(p->loop);
    pull(&p->end);
    conn_read_pause(p->end.conn); /* what is left is not told now */
    p->end.told = 0;
    turn_times(p->loop, 3);
    assert_int_equal(p->end.told, 0);
    conn_read_resume(p->end.conn);
    for (int i = 0; i < 6; i++) {
        turn(p->loop);
        pull(&p->end);
    }
    assert_int_equal(p->end.in_len, 10);
}

static void a_closed_connection_tells_nothing_more(void **state)
{
    struct plain *p = *state;
    assert_int_equal(write(p->peer, "x", 1), 1);
    conn_close(&p->end.conn);
    assert_null(p->end.conn);
    conn_close(&p->end.conn);
    conn_abort(&p->end.conn);
    turn_times(p->loop, 3);
    assert_int_equal(p->end.calls, 0);
}

/* --- over TCP --- */

static void connects_and_talks_over_tcp(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, NULL, NULL);
    size_t put = 1;
    char byte;
    size_t got;
    assert_int_equal(conn_connected(p->client.conn), ERR_AGAIN);
    assert_int_equal(write_text(p->client.conn, "too early", &put), ERR_AGAIN);
    assert_int_equal(put, 0);
    assert_int_equal(conn_read(p->client.conn, &byte, 1, &got), ERR_AGAIN);
    assert_int_equal(settle(p), ERR_OK);
    assert_true((p->client.told & CONN_WRITABLE) != 0);
    send_bytes(&p->client, "ping", 4);
    send_bytes(&p->server, "pong!", 5);
    assert_true(step_until_read(p, &p->server, 4));
    assert_true(step_until_read(p, &p->client, 5));
    assert_memory_equal(p->server.in, "ping", 4);
    assert_memory_equal(p->client.in, "pong!", 5);
    assert_memory_equal(conn_peer(p->client.conn), "127.0.0.1:", 10);
    assert_memory_equal(conn_peer(p->server.conn), "127.0.0.1:", 10);
    assert_string_not_equal(conn_peer(p->client.conn), conn_peer(p->server.conn));
    pair_free(p);
}

static void a_port_where_nobody_listens_refuses(void **state)
{
    (void)state;
    struct sockaddr_in name;
    close(listen_on_loopback(&name));
    struct loop *l = loop_new();
    struct end e;
    init_end(&e);
    const struct conn_target target = {.address = (struct sockaddr *)&name,
                                       .address_len = sizeof(name)};
    enum err result = conn_connect(l, &target, on_event, &e, &e.conn);
    for (int i = 0; result == ERR_OK && e.calls == 0 && i < 1000; i++) {
        turn(l);
        usleep(100);
    }
    if (result == ERR_OK) {
        assert_int_equal(e.told, CONN_WRITABLE);
        result = conn_connected(e.conn);
        size_t put;
        assert_int_equal(write_text(e.conn, "x", &put), ERR_REFUSED);
    }
    assert_int_equal(result, ERR_REFUSED);
    fini_end(&e);
    loop_free(&l);
}

static void an_aborted_connection_resets_its_peer(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, NULL, NULL);
    assert_int_equal(settle(p), ERR_OK);
    send_bytes(&p->server, "half an ans", 11);
    assert_true(step_until_read(p, &p->client, 11));
    conn_abort(&p->server.conn);
    assert_true(step_until_end(p, &p->client));
    assert_int_equal(p->client.in_end, ERR_RESET);
    assert_true(conn_is_gone(p->client.conn));
    int calls = p->client.calls;
    turn_times(p->loop, 5);
    assert_int_equal(p->client.calls, calls);
    pair_free(p);
}

static void a_reset_ends_a_paused_reader_that_waits_to_write(void **state)
{
    (void)state;
    enum { SIZE = 8 << 20 };
    struct pair *p = pair_new(NULL, NULL, NULL);
    char *bytes = make_bytes(SIZE);
    assert_int_equal(settle(p), ERR_OK);
    conn_read_pause(p->client.conn);
    conn_read_pause(p->server.conn);
    struct str part = str_of(bytes, SIZE);
    size_t put = 0;
    assert_int_equal(conn_write(p->client.conn, &part, 1, &put), ERR_AGAIN);
    p->client.told = 0;
    conn_abort(&p->server.conn);
    for (int i = 0; i < 1000 && (p->client.told & CONN_WRITABLE) == 0; i++) {
        turn(p->loop);
        usleep(100);
    }
    assert_int_equal(p->client.told, CONN_WRITABLE);
    assert_int_equal(conn_write(p->client.conn, &part, 1, &put), ERR_RESET);
    free(bytes);
    pair_free(p);
}

#define PLAIN_TEST(name) cmocka_unit_test_setup_teardown(name, make_plain, free_plain)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAIN_TEST(reads_what_the_peer_wrote),
        PLAIN_TEST(writes_more_parts_than_one_call_takes_and_skips_empty_ones),
        PLAIN_TEST(a_blocked_write_goes_on_when_there_is_room),
        PLAIN_TEST(an_owner_with_nothing_more_to_write_is_told_of_room_once),
        PLAIN_TEST(the_end_comes_after_the_bytes_and_stays),
        PLAIN_TEST(a_paused_reader_is_not_told_until_it_goes_on),
        PLAIN_TEST(sees_a_gone_peer_behind_unread_bytes),
        PLAIN_TEST(writing_to_a_gone_peer_is_a_reset_and_no_signal),
        PLAIN_TEST(ends_sending_and_keeps_reading),
        PLAIN_TEST(a_new_owner_gets_the_events),
        PLAIN_TEST(a_new_owner_is_told_of_what_the_one_before_did_not_read),
        PLAIN_TEST(tells_of_what_a_full_read_left),
        PLAIN_TEST(a_closed_connection_tells_nothing_more),
        cmocka_unit_test(connects_and_talks_over_tcp),
        cmocka_unit_test(a_port_where_nobody_listens_refuses),
        cmocka_unit_test(an_aborted_connection_resets_its_peer),
        cmocka_unit_test(a_reset_ends_a_paused_reader_that_waits_to_write),
    };
    return cmocka_run_group_tests_name("net/conn", tests, NULL, NULL);
}
