#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/rand.h"
#include "net/loop.h"
#include "net/timers.h"
#include "rig.h"

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

/* --- tasks --- */

struct job {
    struct task task;
    struct loop *loop;
    struct job *other;
    int runs;
    int again; /* how often it readies itself */
};

static void run_job(struct task *t)
{
    struct job *j = container_of(t, struct job, task);
    j->runs++;
    if (j->again > 0) {
        j->again--;
        task_ready(j->loop, &j->task);
    }
}

static void run_cancel(struct task *t)
{
    struct job *j = container_of(t, struct job, task);
    j->runs++;
    task_cancel(j->loop, &j->other->task);
}

static void run_stop(struct task *t)
{
    struct job *j = container_of(t, struct job, task);
    j->runs++;
    if (j->runs < 200) {
        task_ready(j->loop, &j->task);
    } else {
        loop_stop(j->loop);
    }
}

static void runs_a_ready_task_once(void **state)
{
    struct job j = {.loop = *state};
    task_init(&j.task, run_job);
    task_ready(j.loop, &j.task);
    task_ready(j.loop, &j.task);
    turn_times(j.loop, 3);
    assert_int_equal(j.runs, 1);
}

static void a_task_that_readies_itself_runs_in_the_next_phase(void **state)
{
    struct job j = {.loop = *state, .again = 1000};
    task_init(&j.task, run_job);
    task_ready(j.loop, &j.task);
    turn(j.loop);
    assert_int_equal(j.runs, 2); /* the phases before and after the poll */
    turn(j.loop);
    assert_int_equal(j.runs, 4);
    task_cancel(j.loop, &j.task);
    turn(j.loop);
    assert_int_equal(j.runs, 4);
}

static void a_task_cancelled_by_the_one_before_it_does_not_run(void **state)
{
    struct job second = {.loop = *state};
    struct job first = {.loop = *state, .other = &second};
    struct job third = {.loop = *state};
    task_init(&first.task, run_cancel);
    task_init(&second.task, run_job);
    task_init(&third.task, run_job);
    task_ready(first.loop, &first.task);
    task_ready(first.loop, &second.task);
    task_ready(first.loop, &third.task);
    turn_times(first.loop, 2);
    assert_int_equal(first.runs, 1);
    assert_int_equal(second.runs, 0);
    assert_int_equal(third.runs, 1);
}

static void does_not_wait_while_a_task_is_ready(void **state)
{
    struct job j = {.loop = *state};
    task_init(&j.task, run_stop);
    task_ready(j.loop, &j.task);
    loop_run(j.loop); /* nothing else would ever wake it */
    assert_int_equal(j.runs, 200);
}

/* --- deferred frees --- */

struct mortal {
    struct task task;
    struct loop *loop;
    struct task reader;
    int life;
};

static int life_seen;

static void run_die(struct task *t)
{
    struct mortal *m = container_of(t, struct mortal, task);
    loop_free_later(m->loop, m);
    m->life = 7;
}

static void run_look(struct task *t)
{
    life_seen = container_of(t, struct mortal, reader)->life;
}

static void frees_after_all_tasks_of_the_phase(void **state)
{
    struct mortal *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    m->loop = *state;
    task_init(&m->task, run_die);
    task_init(&m->reader, run_look);
    task_ready(m->loop, &m->task);
    task_ready(m->loop, &m->reader);
    life_seen = 0;
    turn_times(*state, 2); /* AddressSanitizer sees what is read too late or never freed */
    assert_int_equal(life_seen, 7);
}

static void frees_many_and_those_left_at_the_end(void **state)
{
    struct loop *l = *state;
    for (int i = 0; i < 1000; i++) {
        loop_free_later(l, malloc(8));
    }
    turn(l);
    loop_free_later(l, malloc(8));
}

/* --- timers --- */

enum { ALARMS = 8 };

struct alarm {
    struct timer timer;
    struct timers *timers;
    struct alarm *victim;
    int id;
    int fired;
    uint64_t again_ms; /* arms itself for then, once */
};

static int order[64];
static size_t order_count;

static void on_fire(struct timer *t)
{
    struct alarm *a = container_of(t, struct alarm, timer);
    a->fired++;
    order[order_count++ % 64] = a->id;
    assert_false(timer_is_armed(t));
    if (a->victim) {
        timers_drop(a->timers, &a->victim->timer);
    }
    if (a->again_ms > 0) {
        timers_arm(a->timers, t, a->again_ms);
        a->again_ms = 0;
    }
}

static void init_alarms(struct timers *ts, struct alarm *alarms)
{
    order_count = 0;
    for (int i = 0; i < ALARMS; i++) {
        alarms[i] = (struct alarm){.timers = ts, .id = i};
        timer_init(&alarms[i].timer, on_fire);
    }
}

static void fires_in_the_order_of_due_times_then_of_arming(void **state)
{
    (void)state;
    struct timers ts = {.heap = NULL};
    struct alarm a[ALARMS];
    init_alarms(&ts, a);
    static const uint64_t due_ms[ALARMS] = {30, 10, 20, 10, 30, 10, 20, 5};
    for (int i = 0; i < ALARMS; i++) {
        timers_arm(&ts, &a[i].timer, due_ms[i]);
    }
    assert_int_equal(timers_first(&ts), 5);
    timers_fire(&ts, 4);
    assert_int_equal(order_count, 0);
    timers_fire(&ts, 30);
    static const int expected[ALARMS] = {7, 1, 3, 5, 2, 6, 0, 4};
    assert_int_equal(order_count, ALARMS);
    assert_memory_equal(order, expected, sizeof(expected));
    assert_true(timers_first(&ts) == TIMER_NEVER);
    timers_fini(&ts);
}

static void a_timer_moved_later_keeps_its_place_in_the_order_of_arming(void **state)
{
    (void)state;
    struct timers ts = {.heap = NULL};
    struct alarm a[ALARMS];
    init_alarms(&ts, a);
    timers_arm(&ts, &a[0].timer, 10);
    timers_arm(&ts, &a[0].timer, 20); /* lazily: still at 10 in the heap */
    timers_arm(&ts, &a[1].timer, 20);
    assert_int_equal(timers_first(&ts), 10);
    timers_fire(&ts, 10);
    assert_int_equal(order_count, 0);
    assert_int_equal(timers_first(&ts), 20);
    timers_fire(&ts, 25);
    assert_int_equal(order_count, 2);
    assert_int_equal(order[0], 0);
    assert_int_equal(order[1], 1);
    timers_fini(&ts);
}

static void a_timer_moved_earlier_fires_earlier(void **state)
{
    (void)state;
    struct timers ts = {.heap = NULL};
    struct alarm a[ALARMS];
    init_alarms(&ts, a);
    for (int i = 0; i < ALARMS; i++) {
        timers_arm(&ts, &a[i].timer, 100 + (uint64_t)i);
    }
    timers_arm(&ts, &a[7].timer, 3);
    assert_int_equal(timers_first(&ts), 3);
    timers_fire(&ts, 3);
    assert_int_equal(order_count, 1);
    assert_int_equal(order[0], 7);
    timers_fini(&ts);
}

static void a_disarmed_or_dropped_timer_does_not_fire(void **state)
{
    (void)state;
    struct timers ts = {.heap = NULL};
    struct alarm a[ALARMS];
    init_alarms(&ts, a);
    for (int i = 0; i < ALARMS; i++) {
        timers_arm(&ts, &a[i].timer, 10);
    }
    timer_disarm(&a[0].timer);
    assert_false(timer_is_armed(&a[0].timer));
    timers_drop(&ts, &a[1].timer);
    timers_drop(&ts, &a[1].timer);
    timers_arm(&ts, &a[2].timer, TIMER_NEVER);
    a[3].victim = &a[4]; /* due at the same time */
    timers_fire(&ts, 10);
    static const int expected[] = {3, 5, 6, 7};
    assert_int_equal(order_count, 4);
    assert_memory_equal(order, expected, sizeof(expected));
    assert_int_equal(ts.count, 0);
    timers_fini(&ts);
}

static void a_disarmed_timer_can_be_armed_again_earlier_and_later(void **state)
{
    (void)state;
    struct timers ts = {.heap = NULL};
    struct alarm a[ALARMS];
    init_alarms(&ts, a);
    timers_arm(&ts, &a[0].timer, 10);
    timer_disarm(&a[0].timer);
    timers_arm(&ts, &a[0].timer, 5);
    timers_arm(&ts, &a[1].timer, 10);
    timer_disarm(&a[1].timer);
    timers_arm(&ts, &a[1].timer, 15);
    timers_fire(&ts, 10);
    assert_int_equal(a[0].fired, 1);
    assert_int_equal(a[1].fired, 0);
    timers_fire(&ts, 15);
    assert_int_equal(a[0].fired, 1);
    assert_int_equal(a[1].fired, 1);
    timers_fini(&ts);
}

static void a_timer_that_arms_itself_for_the_past_fires_at_the_next_time(void **state)
{
    (void)state;
    struct timers ts = {.heap = NULL};
    struct alarm a[ALARMS];
    init_alarms(&ts, a);
    a[0].again_ms = 1;
    timers_arm(&ts, &a[0].timer, 10);
    timers_fire(&ts, 10);
    assert_int_equal(a[0].fired, 1);
    assert_int_equal(timers_first(&ts), 11);
    timers_fire(&ts, 11);
    assert_int_equal(a[0].fired, 2);
    timers_fini(&ts);
}

/* A model in a plain array says what must have fired. */
static void agrees_with_a_model_over_random_operations(void **state)
{
    (void)state;
    enum { COUNT = 40, STEPS = 20000 };
    static struct alarm a[COUNT];
    uint64_t model[COUNT];
    struct timers ts = {.heap = NULL};
    struct rand rand = {.state = 42};
    for (int i = 0; i < COUNT; i++) {
        a[i] = (struct alarm){.timers = &ts, .id = i};
        timer_init(&a[i].timer, on_fire);
        model[i] = TIMER_NEVER;
    }
    uint64_t now_ms = 0;
    for (int step = 0; step < STEPS; step++) {
        uint32_t i = rand_below(&rand, COUNT);
        uint32_t what = rand_below(&rand, 8);
        if (what < 4) {
            model[i] = now_ms + 1 + rand_below(&rand, 50);
            timers_arm(&ts, &a[i].timer, model[i]);
        } else if (what == 4) {
            model[i] = TIMER_NEVER;
            timer_disarm(&a[i].timer);
        } else if (what == 5) {
            model[i] = TIMER_NEVER;
            timers_drop(&ts, &a[i].timer);
        } else {
            now_ms += rand_below(&rand, 10);
            timers_fire(&ts, now_ms);
            for (int k = 0; k < COUNT; k++) {
                assert_int_equal(a[k].fired, model[k] <= now_ms ? 1 : 0);
                model[k] = model[k] <= now_ms ? TIMER_NEVER : model[k];
                a[k].fired = 0;
            }
        }
    }
    timers_fini(&ts);
}

struct clocked {
    struct timer timer;
    struct loop *loop;
    uint64_t fired_ms;
};

static void on_clocked(struct timer *t)
{
    struct clocked *c = container_of(t, struct clocked, timer);
    c->fired_ms = clock_mono_ms();
    loop_stop(c->loop);
}

static void wakes_for_a_timer_and_never_early(void **state)
{
    struct clocked c = {.loop = *state};
    timer_init(&c.timer, on_clocked);
    uint64_t due_ms = clock_mono_ms() + 30;
    timer_arm(c.loop, &c.timer, due_ms - 20);
    timer_arm(c.loop, &c.timer, due_ms);
    loop_run(c.loop);
    assert_true(c.fired_ms >= due_ms);
    assert_true(c.fired_ms < due_ms + 5000); /* a machine may be slow */
    timer_drop(c.loop, &c.timer);
}

static void says_the_time_of_the_monotonic_clock(void **state)
{
    struct loop *l = *state;
    uint64_t before_ms = clock_mono_ms();
    turn(l);
    uint64_t now_ms = loop_now_ms(l);
    assert_true(now_ms + 5 >= before_ms);
    assert_true(now_ms <= clock_mono_ms());
}

/* --- posts --- */

enum { SENDERS = 4, LETTERS = 2000 };

struct letter {
    struct post post;
    int sender;
    int number;
};

struct box {
    struct loop *loop;
    int next[SENDERS];
    int total;
};

struct sender {
    pthread_t thread;
    struct box *box;
    int id;
};

static void on_letter(struct post *p, void *arg)
{
    struct box *box = arg;
    struct letter *letter = container_of(p, struct letter, post);
    assert_int_equal(letter->number, box->next[letter->sender]);
    box->next[letter->sender]++;
    free(letter);
    if (++box->total == SENDERS * LETTERS) {
        loop_stop(box->loop);
    }
}

static void *send_letters(void *arg)
{
    struct sender *s = arg;
    for (int i = 0; i < LETTERS; i++) {
        struct letter *letter = calloc(1, sizeof(*letter));
        letter->post = (struct post){.run = on_letter, .arg = s->box};
        letter->sender = s->id;
        letter->number = i;
        loop_post(s->box->loop, &letter->post);
    }
    return NULL;
}

static void posts_of_many_threads_all_arrive_in_the_order_of_each(void **state)
{
    struct box box = {.loop = *state};
    struct sender senders[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.box = &box, .id = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_letters, &senders[i]),
                         0);
    }
    loop_run(box.loop);
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
    }
    assert_int_equal(box.total, SENDERS * LETTERS);
}

static void *stop_soon(void *arg)
{
    usleep(5000);
    loop_stop(arg);
    return NULL;
}

static void can_be_stopped_by_another_thread(void **state)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, *state), 0);
    loop_run(*state);
    pthread_join(thread, NULL);
}

static void on_uv_timer(uv_timer_t *handle)
{
    (void)handle;
}

static void closes_what_is_still_open_when_freed(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    static uv_timer_t open;
    assert_int_equal(uv_timer_init(loop_uv(l), &open), 0);
    assert_int_equal(uv_timer_start(&open, on_uv_timer, 60000, 0), 0);
    loop_free(&l);
    assert_null(l);
    loop_free(&l);
}

/* --- how long turns take --- */

struct lazy {
    struct task task;
    struct loop *loop;
    uint64_t busy_us; /* as seen in the middle of its turn */
};

static void run_lazily(struct task *t)
{
    struct lazy *l = container_of(t, struct lazy, task);
    uint64_t until_us = loop_woke_us(l->loop) + 12000;
    while (clock_mono_us() < until_us) {
    }
    l->busy_us = loop_busy_us(l->loop, clock_mono_us());
}

static uint64_t turns_over_10_ms(const struct loop_turns *t)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < LOOP_TURN_BUCKETS; i++) {
        count += t->most_us[i] > 10000 ? t->count[i] : 0;
    }
    return count;
}

static void a_long_turn_is_counted_as_one(void **state)
{
    struct lazy lazy = {.loop = *state};
    struct loop_turns t;
    loop_turns(lazy.loop, &t);
    assert_int_equal(t.sum_us, 0);
    task_init(&lazy.task, run_lazily);
    task_ready(lazy.loop, &lazy.task);
    turn_times(lazy.loop, 3);
    loop_turns(lazy.loop, &t);
    assert_true(t.sum_us >= 12000);
    assert_true(turns_over_10_ms(&t) >= 1);
    assert_true(lazy.busy_us >= 12000);
    assert_int_equal(loop_busy_us(lazy.loop, clock_mono_us()), 0);
}

static void bounds_of_turns_rise(void **state)
{
    struct loop_turns t;
    loop_turns(*state, &t);
    for (uint32_t i = 1; i < LOOP_TURN_BUCKETS; i++) {
        assert_true(t.most_us[i] > t.most_us[i - 1]);
    }
    assert_int_equal(t.most_us[LOOP_TURN_BUCKETS - 1], UINT64_MAX);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, make_loop, free_loop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(runs_a_ready_task_once),
        LOOP_TEST(a_task_that_readies_itself_runs_in_the_next_phase),
        LOOP_TEST(a_task_cancelled_by_the_one_before_it_does_not_run),
        LOOP_TEST(does_not_wait_while_a_task_is_ready),
        LOOP_TEST(frees_after_all_tasks_of_the_phase),
        LOOP_TEST(frees_many_and_those_left_at_the_end),
        cmocka_unit_test(fires_in_the_order_of_due_times_then_of_arming),
        cmocka_unit_test(a_timer_moved_later_keeps_its_place_in_the_order_of_arming),
        cmocka_unit_test(a_timer_moved_earlier_fires_earlier),
        cmocka_unit_test(a_disarmed_or_dropped_timer_does_not_fire),
        cmocka_unit_test(a_disarmed_timer_can_be_armed_again_earlier_and_later),
        cmocka_unit_test(a_timer_that_arms_itself_for_the_past_fires_at_the_next_time),
        cmocka_unit_test(agrees_with_a_model_over_random_operations),
        LOOP_TEST(wakes_for_a_timer_and_never_early),
        LOOP_TEST(says_the_time_of_the_monotonic_clock),
        LOOP_TEST(posts_of_many_threads_all_arrive_in_the_order_of_each),
        LOOP_TEST(can_be_stopped_by_another_thread),
        LOOP_TEST(a_long_turn_is_counted_as_one),
        LOOP_TEST(bounds_of_turns_rise),
        cmocka_unit_test(closes_what_is_still_open_when_freed),
    };
    return cmocka_run_group_tests_name("net/loop", tests, NULL, NULL);
}
