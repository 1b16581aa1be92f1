#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sys/socket.h>

#include "base/list.h"
#include "rig.h"

/* One watched socket and what it was told. */
struct eye {
    struct fd_watch watch;
    struct loop *loop;
    int fd;
    int peer;
    int calls;
    unsigned events;    /* the latest */
    struct eye *victim; /* taken off at the first call */
};

static void on_ready(struct fd_watch *w, unsigned events)
{
    struct eye *e = container_of(w, struct eye, watch);
    e->calls++;
    e->events = events;
    if (e->victim) {
        watch_set_remove(loop_watches(e->loop), &e->victim->watch, e->victim->fd);
        e->victim->victim = NULL;
        e->victim = NULL;
    }
}

static void open_eye(struct eye *e, struct loop *l)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    *e = (struct eye){.watch = {.ready = on_ready}, .loop = l, .fd = fds[0], .peer = fds[1]};
    watch_set_add(loop_watches(l), &e->watch, e->fd);
}

static void close_eye(struct eye *e)
{
    close(e->fd);
    close(e->peer);
}

static int make_loop(void **state)
{
    *state = loop_new();
    return 0;
}

static int free_loop(void **state)
{
    struct loop *l = *state;
    loop_free(&l);
    return 0;
}

static void tells_what_a_socket_is_and_then_only_what_is_new(void **state)
{
    struct eye e;
    open_eye(&e, *state);
    turn_times(e.loop, 3);
    assert_int_equal(e.calls, 1);
    assert_int_equal(e.events, EPOLLOUT);
    assert_int_equal(write(e.peer, "ab", 2), 2);
    turn_times(e.loop, 3); /* unread, and not told again */
    assert_int_equal(e.calls, 2);
    assert_int_equal(e.events, EPOLLIN | EPOLLOUT);
    char byte;
    assert_int_equal(read(e.fd, &byte, 1), 1);
    turn_times(e.loop, 3);
    assert_int_equal(e.calls, 2);
    assert_int_equal(write(e.peer, "c", 1), 1);
    turn_times(e.loop, 3);
    assert_int_equal(e.calls, 3);
    assert_int_equal(shutdown(e.peer, SHUT_WR), 0);
    turn_times(e.loop, 3);
    assert_int_equal(e.calls, 4);
    assert_int_equal(e.events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    watch_set_remove(loop_watches(e.loop), &e.watch, e.fd);
    close_eye(&e);
}

static void tells_nothing_more_once_removed(void **state)
{
    struct eye e;
    open_eye(&e, *state);
    watch_set_remove(loop_watches(e.loop), &e.watch, e.fd);
    assert_int_equal(write(e.peer, "a", 1), 1);
    turn_times(e.loop, 3);
    assert_int_equal(e.calls, 0);
    close_eye(&e);
}

/* Whichever is told first takes the other off, whose event has been taken in already. */
static void one_removed_by_the_one_before_it_is_not_told(void **state)
{
    struct eye a;
    struct eye b;
    open_eye(&a, *state);
    open_eye(&b, *state);
    a.victim = &b;
    b.victim = &a;
    turn_times(a.loop, 3);
    assert_int_equal(a.calls + b.calls, 1);
    struct eye *left = a.calls > 0 ? &a : &b;
    watch_set_remove(loop_watches(a.loop), &left->watch, left->fd);
    close_eye(&a);
    close_eye(&b);
}

static void tells_more_than_a_batch(void **state)
{
    enum { COUNT = WATCH_BATCH + 100 };
    static struct eye eyes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        open_eye(&eyes[i], *state);
    }
    turn_times(*state, 4);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(eyes[i].calls, 1);
        watch_set_remove(loop_watches(*state), &eyes[i].watch, eyes[i].fd);
        close_eye(&eyes[i]);
    }
}

/* Counts whom the loop had told when it fired. */
struct due {
    struct timer timer;
    struct eye *eyes;
    int count;
    int told;
    bool has_fired;
};

static void on_due(struct timer *t)
{
    struct due *d = container_of(t, struct due, timer);
    d->has_fired = true;
    for (int i = 0; i < d->count; i++) {
        d->told += d->eyes[i].calls > 0;
    }
}

static void what_has_come_is_told_before_what_is_due(void **state)
{
    enum { COUNT = 4 * WATCH_BATCH };
    static struct eye eyes[COUNT];
    struct due d = {.eyes = eyes, .count = COUNT};
    for (int i = 0; i < COUNT; i++) {
        open_eye(&eyes[i], *state);
    }
    timer_init(&d.timer, on_due);
    turn_times(*state, 1);
    timer_arm(*state, &d.timer, 1); /* long ago */
    turn_times(*state, 8);
    assert_true(d.has_fired);
    assert_int_equal(d.told, COUNT);
    for (int i = 0; i < COUNT; i++) {
        watch_set_remove(loop_watches(*state), &eyes[i].watch, eyes[i].fd);
        close_eye(&eyes[i]);
    }
}

/* Always more than a batch: it writes to its own peer. */
static void on_noisy(struct fd_watch *w, unsigned events)
{
    struct eye *e = container_of(w, struct eye, watch);
    (void)events;
    e->calls++;
    if (write(e->peer, "a", 1) != 1) {
        char bytes[4096];
        (void)!read(e->fd, bytes, sizeof(bytes));
    }
}

static void what_is_due_is_not_put_off_for_ever(void **state)
{
    enum { COUNT = 2 * WATCH_BATCH };
    static struct eye eyes[COUNT];
    struct due d = {.eyes = eyes, .count = COUNT};
    for (int i = 0; i < COUNT; i++) {
        open_eye(&eyes[i], *state);
        eyes[i].watch.ready = on_noisy;
    }
    timer_init(&d.timer, on_due);
    timer_arm(*state, &d.timer, 1);
    turn_times(*state, 64);
    assert_true(d.has_fired);
    for (int i = 0; i < COUNT; i++) {
        watch_set_remove(loop_watches(*state), &eyes[i].watch, eyes[i].fd);
        close_eye(&eyes[i]);
    }
}

static void what_is_left_watched_is_forgotten_with_the_loop(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct eye e;
    open_eye(&e, l);
    loop_free(&l);
    assert_int_equal(write(e.peer, "a", 1), 1);
    assert_int_equal(e.calls, 0);
    close_eye(&e);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_loop, free_loop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tells_what_a_socket_is_and_then_only_what_is_new),
        TEST(tells_nothing_more_once_removed),
        TEST(one_removed_by_the_one_before_it_is_not_told),
        TEST(tells_more_than_a_batch),
        TEST(what_has_come_is_told_before_what_is_due),
        TEST(what_is_due_is_not_put_off_for_ever),
        cmocka_unit_test(what_is_left_watched_is_forgotten_with_the_loop),
    };
    return cmocka_run_group_tests_name("net/watch", tests, NULL, NULL);
}
