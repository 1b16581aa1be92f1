#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/list.h"
#include "rig.h"

/* The libuv loop that a loop carries along. */

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

/* Handles of libuv that are made before the loop runs and started from a task. */
struct guest {
    struct task task;
    struct loop *loop;
    uv_timer_t timer;
    uv_poll_t poll;
    int fds[2];
    int fired;
};

static void on_guest_readable(uv_poll_t *handle, int status, int events)
{
    struct guest *g = handle->data;
    assert_int_equal(status, 0);
    assert_int_equal(events, UV_READABLE);
    g->fired++;
    assert_int_equal(uv_poll_stop(handle), 0);
    loop_stop(g->loop);
}

static void on_guest_timer(uv_timer_t *handle)
{
    struct guest *g = handle->data;
    g->fired++;
    assert_int_equal(write(g->fds[1], "x", 1), 1);
}

static void start_guest(struct task *t)
{
    struct guest *g = container_of(t, struct guest, task);
    assert_int_equal(uv_poll_start(&g->poll, UV_READABLE, on_guest_readable), 0);
    assert_int_equal(uv_timer_start(&g->timer, on_guest_timer, 20, 0), 0);
}

static void what_a_task_starts_on_libuv_is_told(void **state)
{
    static struct guest g; /* its handles live until the loop is freed */
    g = (struct guest){.loop = *state};
    assert_int_equal(pipe(g.fds), 0);
    assert_int_equal(uv_poll_init(loop_uv(g.loop), &g.poll, g.fds[0]), 0);
    assert_int_equal(uv_timer_init(loop_uv(g.loop), &g.timer), 0);
    g.poll.data = &g;
    g.timer.data = &g;
    task_init(&g.task, start_guest);
    turn_times(g.loop, 2); /* nothing is active yet */
    task_ready(g.loop, &g.task);
    loop_run(g.loop); /* nothing but these would ever wake it */
    assert_int_equal(g.fired, 2);
    close(g.fds[1]);
    close(g.fds[0]);
}

static void *send_async(void *arg)
{
    usleep(20000);
    assert_int_equal(uv_async_send(arg), 0);
    return NULL;
}

static void on_async(uv_async_t *handle)
{
    loop_stop(handle->data);
}

static void another_thread_wakes_libuv_while_the_loop_waits(void **state)
{
    static uv_async_t async;
    pthread_t thread;
    assert_int_equal(uv_async_init(loop_uv(*state), &async, on_async), 0);
    async.data = *state;
    assert_int_equal(pthread_create(&thread, NULL, send_async, &async), 0);
    loop_run(*state);
    pthread_join(thread, NULL);
}

/* A timer of the loop, armed by a callback of libuv just before the loop would wait. */
struct armed {
    uv_timer_t by;
    struct timer timer;
    struct timer guard;
    struct loop *loop;
    bool is_late;
};

static void stop_at_timer(struct timer *t)
{
    loop_stop(container_of(t, struct armed, timer)->loop);
}

static void stop_at_guard(struct timer *t)
{
    struct armed *a = container_of(t, struct armed, guard);
    a->is_late = true;
    loop_stop(a->loop);
}

static void arm_timer(uv_timer_t *handle)
{
    struct armed *a = handle->data;
    timer_arm(a->loop, &a->timer, clock_mono_ms() + 20);
}

static void a_timer_that_is_armed_by_libuv_is_not_slept_over(void **state)
{
    static struct armed a;
    a = (struct armed){.loop = *state};
    timer_init(&a.timer, stop_at_timer);
    timer_init(&a.guard, stop_at_guard);
    timer_arm(a.loop, &a.guard, clock_mono_ms() + 10000);
    assert_int_equal(uv_timer_init(loop_uv(a.loop), &a.by), 0);
    a.by.data = &a;
    assert_int_equal(uv_timer_start(&a.by, arm_timer, 20, 0), 0);
    loop_run(a.loop);
    timer_drop(a.loop, &a.timer);
    timer_drop(a.loop, &a.guard);
    assert_false(a.is_late);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, make_loop, free_loop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(what_a_task_starts_on_libuv_is_told),
        LOOP_TEST(a_timer_that_is_armed_by_libuv_is_not_slept_over),
        LOOP_TEST(another_thread_wakes_libuv_while_the_loop_waits),
    };
    return cmocka_run_group_tests_name("net/loop_uv", tests, NULL, NULL);
}
