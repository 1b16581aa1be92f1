#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "upstream_rig.h"

static struct conn *dial_ok(struct rig *r, int *server_fd)
{
    assert_int_equal(dial_to_the_end(r), ERR_OK);
    struct conn *c = r->conn;
    r->conn = NULL;
    *server_fd = accept4(r->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(*server_fd >= 0);
    return c;
}

enum { KEPT = 4 };

struct kept {
    struct conn *conn;
    int server_fd;
};

static void make_kept(struct rig *r, struct kept *k, int count)
{
    for (int i = 0; i < count; i++) {
        k[i].conn = dial_ok(r, &k[i].server_fd);
    }
}

static void close_servers(struct kept *k, int count)
{
    for (int i = 0; i < count; i++) {
        close(k[i].server_fd);
    }
}

static void takes_the_newest_first_and_drops_the_oldest_over_the_limit(void **state)
{
    struct rig *r = *state;
    struct kept k[KEPT];
    uint64_t now_ms = loop_now_ms(r->loop);
    uint64_t born_ms = 0;
    assert_null(upstream_take(r->upstream, on_event, r, &born_ms));
    make_kept(r, k, KEPT);
    struct conn *given[KEPT];
    for (int i = 0; i < KEPT; i++) {
        given[i] = k[i].conn;
        upstream_give(r->upstream, &k[i].conn, now_ms - (uint64_t)i);
        assert_null(k[i].conn);
    }
    assert_int_equal(upstream_idle(r->upstream), 3);
    for (int i = KEPT - 1; i >= 1; i--) {
        struct conn *c = upstream_take(r->upstream, on_event, r, &born_ms);
        assert_ptr_equal(c, given[i]);
        assert_int_equal(born_ms, now_ms - (uint64_t)i);
        conn_close(&c);
    }
    assert_null(upstream_take(r->upstream, on_event, r, &born_ms));
    char byte;
    assert_int_equal(read(k[0].server_fd, &byte, 1), 0);
    close_servers(k, KEPT);
}

static void a_taken_connection_tells_its_new_owner(void **state)
{
    struct rig *r = *state;
    struct kept k[1];
    uint64_t born_ms;
    make_kept(r, k, 1);
    upstream_give(r->upstream, &k[0].conn, loop_now_ms(r->loop));
    r->conn = upstream_take(r->upstream, on_event, r, &born_ms);
    assert_non_null(r->conn);
    r->told = 0;
    assert_int_equal(write(k[0].server_fd, "x", 1), 1);
    turn_times(r->loop, 2);
    assert_int_equal(r->told, CONN_READABLE);
    close_servers(k, 1);
}

static void keeps_nothing_when_reuse_is_off(void **state)
{
    struct rig *r = *state;
    struct kept k[1];
    const struct upstream_conf conf = {.host = STR("127.0.0.1"),
                                       .port = ntohs(r->name.sin_port),
                                       .age_ms = 1000,
                                       .idle_ms = 1000};
    upstream_free(&r->upstream);
    r->upstream = upstream_new(r->loop, &conf);
    make_kept(r, k, 1);
    upstream_give(r->upstream, &k[0].conn, loop_now_ms(r->loop));
    assert_int_equal(upstream_idle(r->upstream), 0);
    close_servers(k, 1);
}

static bool has_no_idle(void *arg)
{
    const struct rig *r = arg;
    return upstream_idle(r->upstream) == 0;
}

static void closes_what_is_idle_too_long(void **state)
{
    struct rig *r = *state;
    struct kept k[2];
    const struct upstream_conf conf = {.host = STR("127.0.0.1"),
                                       .port = ntohs(r->name.sin_port),
                                       .idle_max = 2,
                                       .idle_ms = 50,
                                       .age_ms = 100000};
    upstream_free(&r->upstream);
    r->upstream = upstream_new(r->loop, &conf);
    make_kept(r, k, 2);
    uint64_t given_ms = loop_now_ms(r->loop);
    upstream_give(r->upstream, &k[0].conn, given_ms);
    usleep(20000);
    upstream_give(r->upstream, &k[1].conn, given_ms);
    assert_int_equal(upstream_idle(r->upstream), 2);
    assert_true(turn_until(r->loop, has_no_idle, r));
    assert_true(loop_now_ms(r->loop) >= given_ms + 70);
    close_servers(k, 2);
}

static void does_not_hand_out_what_is_over_its_time_but_not_yet_closed(void **state)
{
    struct rig *r = *state;
    struct kept k[1];
    const struct upstream_conf conf = {.host = STR("127.0.0.1"),
                                       .port = ntohs(r->name.sin_port),
                                       .idle_max = 2,
                                       .idle_ms = 5,
                                       .age_ms = 100000};
    uint64_t born_ms;
    upstream_free(&r->upstream);
    r->upstream = upstream_new(r->loop, &conf);
    make_kept(r, k, 1);
    upstream_give(r->upstream, &k[0].conn, loop_now_ms(r->loop));
    usleep(10000); /* and no turn of the loop */
    assert_null(upstream_take(r->upstream, on_event, r, &born_ms));
    assert_int_equal(upstream_idle(r->upstream), 0);
    close_servers(k, 1);
}

static void does_not_keep_what_is_too_old(void **state)
{
    struct rig *r = *state;
    struct kept k[2];
    make_kept(r, k, 2);
    uint64_t now_ms = loop_now_ms(r->loop);
    upstream_give(r->upstream, &k[0].conn, now_ms - 300000);
    assert_int_equal(upstream_idle(r->upstream), 0);
    upstream_give(r->upstream, &k[1].conn, now_ms - 300000 + 60); /* of age in 60 ms */
    assert_int_equal(upstream_idle(r->upstream), 1);
    assert_true(turn_until(r->loop, has_no_idle, r));
    assert_true(loop_now_ms(r->loop) >= now_ms + 60);
    close_servers(k, 2);
}

static void closes_an_idle_connection_that_becomes_readable(void **state)
{
    struct rig *r = *state;
    struct kept k[3];
    make_kept(r, k, 3);
    for (int i = 0; i < 3; i++) {
        upstream_give(r->upstream, &k[i].conn, loop_now_ms(r->loop));
    }
    turn_times(r->loop, 2);
    assert_int_equal(upstream_idle(r->upstream), 3);
    assert_int_equal(shutdown(k[0].server_fd, SHUT_WR), 0);
    turn_times(r->loop, 3);
    assert_int_equal(upstream_idle(r->upstream), 2);
    assert_int_equal(write(k[1].server_fd, "HTTP/1.1 408", 12), 12);
    turn_times(r->loop, 3);
    assert_int_equal(upstream_idle(r->upstream), 1);
    upstream_flush(r->upstream);
    assert_int_equal(upstream_idle(r->upstream), 0);
    char byte;
    assert_int_equal(read(k[2].server_fd, &byte, 1), 0);
    close_servers(k, 3);
}

static void a_paused_connection_is_watched_again_when_given(void **state)
{
    struct rig *r = *state;
    struct kept k[1];
    make_kept(r, k, 1);
    conn_read_pause(k[0].conn);
    upstream_give(r->upstream, &k[0].conn, loop_now_ms(r->loop));
    close(k[0].server_fd);
    turn_times(r->loop, 3);
    assert_int_equal(upstream_idle(r->upstream), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(takes_the_newest_first_and_drops_the_oldest_over_the_limit),
        RIG_TEST(a_taken_connection_tells_its_new_owner),
        RIG_TEST(keeps_nothing_when_reuse_is_off),
        RIG_TEST(closes_what_is_idle_too_long),
        RIG_TEST(does_not_hand_out_what_is_over_its_time_but_not_yet_closed),
        RIG_TEST(does_not_keep_what_is_too_old),
        RIG_TEST(closes_an_idle_connection_that_becomes_readable),
        RIG_TEST(a_paused_connection_is_watched_again_when_given),
    };
    return cmocka_run_group_tests_name("net/upstream", tests, NULL, NULL);
}
