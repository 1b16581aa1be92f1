#include "net/loop.h"

#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/doomed.h"
#include "base/mem.h"
#include "net/timers.h"

struct loop {
    uv_loop_t uv; /* for what is no socket: turned only while something is active on it */
    struct fd_watch uv_watch;
    struct watch_set watches;
    struct fd_watch wakeup;
    int wakeup_fd; /* an eventfd: written to by other threads */
    uint64_t now_ms;
    uint64_t woke_us;
    uint32_t full_turns; /* in a row, in which no timer was looked at */
    bool is_running;
    bool is_stopping; /* at the end of this turn */
    struct list ready;
    struct list_node phase_end; /* stands behind the tasks that a phase began with */
    struct timers timers;
    struct doomed doomed;         /* freed at the end of the phase */
    _Atomic(struct post *) posts; /* last in, first out; turned around by the reader */
    atomic_bool is_stop_asked;
    struct {
        _Atomic uint64_t count[LOOP_TURN_BUCKETS];
        _Atomic uint64_t sum_us;
        _Atomic uint64_t since_us; /* of the turn under way; 0: it waits */
    } turns;                       /* written by its thread only, read by any */
    char scratch[LOOP_SCRATCH];
};

static const uint64_t TURN_MOST_US[LOOP_TURN_BUCKETS] = {
    1000, 2000, 5000, 10000, 20000, 50000, 100000, 500000, 1000000, 5000000, UINT64_MAX};

enum { FULL_TURNS_MAX = 16 };

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

/* The count is never read off: each write is an event of its own. */
static void on_wakeup(struct fd_watch *w, unsigned events)
{
    struct loop *l = container_of(w, struct loop, wakeup);
    (void)events;
    struct post *p = take_posts(l);
    while (p) {
        struct post *after = p->next; /* p is the callee's once it runs */
        p->run(p, p->arg);
        p = after;
    }
    l->is_stopping = atomic_exchange(&l->is_stop_asked, false) || l->is_stopping;
}

static void wake(struct loop *l)
{
    const uint64_t one = 1;
    CHECK(write(l->wakeup_fd, &one, sizeof(one)) == sizeof(one));
}

static void on_uv(struct fd_watch *w, unsigned events)
{
    (void)events;
    (void)uv_run(&container_of(w, struct loop, uv_watch)->uv, UV_RUN_NOWAIT);
}

struct loop *loop_new(void)
{
    struct loop *l = mem_alloc(sizeof(*l));
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    CHECK(uv_loop_init(&l->uv) == 0);
    list_init(&l->ready);
    atomic_init(&l->posts, NULL);
    atomic_init(&l->is_stop_asked, false);
    watch_set_init(&l->watches);
    l->uv_watch.ready = on_uv;
    watch_set_add_level(&l->watches, &l->uv_watch, uv_backend_fd(&l->uv));
    l->wakeup.ready = on_wakeup;
    l->wakeup_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(l->wakeup_fd >= 0);
    watch_set_add(&l->watches, &l->wakeup, l->wakeup_fd);
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
    watch_set_fini(&dead->watches);
    close(dead->wakeup_fd);
    doomed_fini(&dead->doomed);
    timers_fini(&dead->timers);
    free(dead);
}

/* The sooner one; -1 is never. */
static int sooner(int a_ms, int b_ms)
{
    return a_ms < 0 || (b_ms >= 0 && b_ms < a_ms) ? b_ms : a_ms;
}

static int until_first_timer(const struct loop *l, uint64_t now_ms)
{
    uint64_t first_ms = timers_first(&l->timers);
    if (first_ms == TIMER_NEVER) {
        return -1;
    }
    uint64_t left_ms = first_ms > now_ms ? first_ms - now_ms : 0;
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

/* What was begun on libuv's loop since the last turn takes effect only when that is turned, so
 * it is before each wait; nothing is active on a worker's but now and then a name lookup. */
static int turn_uv(struct loop *l)
{
    if (!uv_loop_alive(&l->uv)) {
        return -1;
    }
    (void)uv_run(&l->uv, UV_RUN_NOWAIT);
    return uv_loop_alive(&l->uv) ? uv_backend_timeout(&l->uv) : -1;
}

/* The only writer adds: no locked instruction is needed. */
static void count_up(_Atomic uint64_t *to, uint64_t value)
{
    uint64_t before = atomic_load_explicit(to, memory_order_relaxed);
    atomic_store_explicit(to, before + value, memory_order_relaxed);
}

static void end_turn(struct loop *l, uint64_t took_us)
{
    uint32_t bucket = 0;
    while (took_us > TURN_MOST_US[bucket]) {
        bucket++;
    }
    count_up(&l->turns.sum_us, took_us);
    count_up(&l->turns.count[bucket], 1);
    atomic_store_explicit(&l->turns.since_us, 0, memory_order_relaxed);
}

static void begin_turn(struct loop *l)
{
    l->woke_us = clock_mono_us();
    l->now_ms = l->woke_us / 1000;
    atomic_store_explicit(&l->turns.since_us, l->woke_us, memory_order_relaxed);
}

/* What came in time is seen before a deadline is judged: after a long turn more may have come
 * than one batch holds. But timers are not put off for ever. */
static void fire_timers(struct loop *l)
{
    if (watch_set_is_full(&l->watches) && l->full_turns < FULL_TURNS_MAX) {
        l->full_turns++;
        return;
    }
    l->full_turns = 0;
    timers_fire(&l->timers, l->now_ms);
}

static void turn(struct loop *l)
{
    fire_timers(l);
    run_tasks(l);
    doomed_free(&l->doomed);
    int uv_ms = turn_uv(l);            /* which may arm timers and ready tasks */
    uint64_t end_us = clock_mono_us(); /* tasks may have taken their time */
    int timer_ms = until_first_timer(l, end_us / 1000);
    end_turn(l, end_us - l->woke_us);
    watch_set_wait(&l->watches, l->ready.count > 0 ? 0 : sooner(uv_ms, timer_ms));
    begin_turn(l);
    watch_set_tell(&l->watches);
    run_tasks(l);
    doomed_free(&l->doomed);
}

void loop_run(struct loop *l)
{
    l->is_running = true;
    l->is_stopping = false;
    begin_turn(l);
    while (!l->is_stopping) {
        turn(l);
    }
    atomic_store_explicit(&l->turns.since_us, 0, memory_order_relaxed);
    l->is_running = false;
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->is_stop_asked, true);
    wake(l);
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

uint64_t loop_woke_us(const struct loop *l)
{
    return l->woke_us;
}

void loop_turns(const struct loop *l, struct loop_turns *out)
{
    for (uint32_t i = 0; i < LOOP_TURN_BUCKETS; i++) {
        out->most_us[i] = TURN_MOST_US[i];
        out->count[i] = atomic_load_explicit(&l->turns.count[i], memory_order_relaxed);
    }
    out->sum_us = atomic_load_explicit(&l->turns.sum_us, memory_order_relaxed);
}

uint64_t loop_busy_us(const struct loop *l, uint64_t now_us)
{
    uint64_t since_us = atomic_load_explicit(&l->turns.since_us, memory_order_relaxed);
    return since_us > 0 && now_us > since_us ? now_us - since_us : 0;
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->is_running ? l->now_ms : clock_mono_ms();
}

struct watch_set *loop_watches(struct loop *l)
{
    return &l->watches;
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

void loop_give_later(struct loop *l, struct slab *to, void *piece)
{
    doomed_add(&l->doomed, to, piece);
}

void loop_free_later(struct loop *l, void *ptr)
{
    doomed_add(&l->doomed, NULL, ptr);
}

void loop_post(struct loop *l, struct post *p)
{
    struct post *newest = atomic_load(&l->posts);
    do {
        p->next = newest;
    } while (!atomic_compare_exchange_weak(&l->posts, &newest, p));
    /* Whoever found the box empty wakes the loop, which has not looked since. */
    if (!newest) {
        wake(l);
    }
}
