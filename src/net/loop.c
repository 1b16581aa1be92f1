#include "net/loop.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/timers.h"

struct loop {
    uv_loop_t uv;
    uv_check_t after_poll;
    uv_prepare_t before_poll;
    uv_idle_t hurry;  /* active while tasks are ready: libuv then polls without waiting */
    uv_timer_t alarm; /* the one libuv timer: ends the wait for the heap's first */
    uv_async_t wakeup;
    uint64_t alarm_ms; /* what the alarm is set for; TIMER_NEVER: not set */
    bool is_running;
    struct list ready;
    struct list_node phase_end; /* stands behind the tasks that a phase began with */
    struct timers timers;
    void **doomed; /* freed at the end of the phase */
    size_t doomed_count;
    size_t doomed_cap;
    _Atomic(struct post *) posts; /* last in, first out; turned around by the reader */
    atomic_bool is_stop_asked;
    char scratch[LOOP_SCRATCH];
};

/* A task that readies itself or another runs in the next phase, so that a phase always ends. */
static void run_tasks(struct loop *l)
{
    if (l->ready.count == 0) {
        return;
    }
    list_push_back(&l->ready, &l->phase_end);
    struct list_node *n = list_pop_front(&l->ready);
    while (n != &l->phase_end) {
        struct task *t = container_of(n, struct task, node);
        t->run(t);
        n = list_pop_front(&l->ready);
    }
}

static void free_doomed(struct loop *l)
{
    for (size_t i = 0; i < l->doomed_count; i++) {
        free(l->doomed[i]);
    }
    l->doomed_count = 0;
}

static void on_alarm(uv_timer_t *handle)
{
    struct loop *l = handle->data;
    l->alarm_ms = TIMER_NEVER;
}

/* libuv's time is of the same clock (CLOCK_MONOTONIC, in ms), so due times need no translation.
 * It is read before callbacks of the poll run, which no hook of libuv would allow us to do. */
static void set_alarm(struct loop *l)
{
    uint64_t first = timers_first(&l->timers);
    if (first >= l->alarm_ms) {
        return;
    }
    uint64_t uv_ms = uv_now(&l->uv);
    l->alarm_ms = first;
    CHECK(uv_timer_start(&l->alarm, on_alarm, first > uv_ms ? first - uv_ms : 0, 0) == 0);
}

static void on_hurry(uv_idle_t *handle)
{
    (void)handle;
}

static void on_after_poll(uv_check_t *handle)
{
    struct loop *l = handle->data;
    run_tasks(l);
    free_doomed(l);
}

static void on_before_poll(uv_prepare_t *handle)
{
    struct loop *l = handle->data;
    timers_fire(&l->timers, uv_now(&l->uv));
    run_tasks(l);
    free_doomed(l);
    set_alarm(l);
    if (l->ready.count > 0) {
        CHECK(uv_idle_start(&l->hurry, on_hurry) == 0);
    } else {
        CHECK(uv_idle_stop(&l->hurry) == 0);
    }
}

static struct post *take_posts(struct loop *l)
{
    struct post *newest = atomic_exchange(&l->posts, NULL);
    struct post *in_order = NULL;
    while (newest) {
        struct post *before = newest->next;
        newest->next = in_order;
        in_order = newest;
        newest = before;
    }
    return in_order;
}

static void on_wakeup(uv_async_t *handle)
{
    struct loop *l = handle->data;
    struct post *p = take_posts(l);
    while (p) {
        struct post *after = p->next; /* p is the callee's once it runs */
        p->run(p, p->arg);
        p = after;
    }
    if (atomic_exchange(&l->is_stop_asked, false)) {
        uv_stop(&l->uv);
    }
}

static void init_handles(struct loop *l)
{
    CHECK(uv_check_init(&l->uv, &l->after_poll) == 0);
    CHECK(uv_prepare_init(&l->uv, &l->before_poll) == 0);
    CHECK(uv_idle_init(&l->uv, &l->hurry) == 0);
    CHECK(uv_timer_init(&l->uv, &l->alarm) == 0);
    CHECK(uv_async_init(&l->uv, &l->wakeup, on_wakeup) == 0);
    l->after_poll.data = l;
    l->before_poll.data = l;
    l->alarm.data = l;
    l->wakeup.data = l;
    CHECK(uv_check_start(&l->after_poll, on_after_poll) == 0);
    CHECK(uv_prepare_start(&l->before_poll, on_before_poll) == 0);
}

struct loop *loop_new(void)
{
    struct loop *l = mem_alloc(sizeof(*l));
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    CHECK(uv_loop_init(&l->uv) == 0);
    list_init(&l->ready);
    l->alarm_ms = TIMER_NEVER;
    atomic_init(&l->posts, NULL);
    atomic_init(&l->is_stop_asked, false);
    init_handles(l);
    return l;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void loop_free(struct loop **l)
{
    struct loop *dead = *l;
    *l = NULL;
    if (!dead) {
        return;
    }
    uv_walk(&dead->uv, close_handle, NULL);
    CHECK(uv_run(&dead->uv, UV_RUN_DEFAULT) == 0);
    CHECK(uv_loop_close(&dead->uv) == 0);
    free_doomed(dead);
    free(dead->doomed);
    timers_fini(&dead->timers);
    free(dead);
}

void loop_run(struct loop *l)
{
    l->is_running = true;
    uv_run(&l->uv, UV_RUN_DEFAULT);
    l->is_running = false;
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->is_stop_asked, true);
    CHECK(uv_async_send(&l->wakeup) == 0);
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->is_running ? uv_now(&l->uv) : clock_mono_ms();
}

char *loop_scratch(struct loop *l)
{
    return l->scratch;
}

void task_init(struct task *t, void (*run)(struct task *t))
{
    *t = (struct task){.run = run};
}

void task_ready(struct loop *l, struct task *t)
{
    if (!list_is_linked(&t->node)) {
        list_push_back(&l->ready, &t->node);
    }
}

void task_cancel(struct loop *l, struct task *t)
{
    if (list_is_linked(&t->node)) {
        list_remove(&l->ready, &t->node);
    }
}

void timer_arm(struct loop *l, struct timer *t, uint64_t due_ms)
{
    timers_arm(&l->timers, t, due_ms);
}

void timer_drop(struct loop *l, struct timer *t)
{
    timers_drop(&l->timers, t);
}

void loop_free_later(struct loop *l, void *ptr)
{
    if (l->doomed_count == l->doomed_cap) {
        l->doomed_cap = l->doomed_cap > 0 ? l->doomed_cap * 2 : 64;
        l->doomed = mem_resize(l->doomed, l->doomed_cap * sizeof(void *));
    }
    l->doomed[l->doomed_count++] = ptr;
}

void loop_post(struct loop *l, struct post *p)
{
    struct post *newest = atomic_load(&l->posts);
    do {
        p->next = newest;
    } while (!atomic_compare_exchange_weak(&l->posts, &newest, p));
    /* Whoever found the box empty wakes the loop, which has not looked since. */
    if (!newest) {
        CHECK(uv_async_send(&l->wakeup) == 0);
    }
}
