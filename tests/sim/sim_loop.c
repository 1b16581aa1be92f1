#include "sim_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/doomed.h"
#include "base/mem.h"
#include "net/timers.h"

enum { START_MS = 1000000, LOOPS_MAX = 4, POLLED_MAX = 256, STALE = 0xdd };

/* 2026-11-21, when virtual time is 0. */
static const uint64_t wall_start_ms = UINT64_C(1795219200000);

struct loop {
    struct list_node node; /* in the kernel's loops */
    struct list ready;
    struct list_node phase_end; /* stands behind the tasks that a phase began with */
    struct list polled;
    struct timers timers;
    struct doomed doomed; /* freed at the end of the phase */
    struct post *first_post;
    struct post *last_post;
    bool is_stop_asked;
    bool is_stopped;
    size_t scratch_used;
    char scratch[LOOP_SCRATCH];
};

static struct {
    uint64_t now_ms;
    struct rand rand;
    struct list loops;
    struct sim_event **heap; /* from 1 on */
    size_t count;
    size_t cap;
    struct sim_spin spin; /* now */
    struct sim_spin worst;
    uint64_t did; /* things that happened, timers not counted */
} kernel;

/* --- clock --- */

uint64_t clock_mono_ms(void)
{
    return kernel.now_ms;
}

uint64_t clock_mono_us(void)
{
    return kernel.now_ms * 1000;
}

uint64_t clock_wall_ms(void)
{
    return wall_start_ms + kernel.now_ms;
}

void clock_format(uint64_t wall_ms, char out[25])
{
    time_t seconds = (time_t)(wall_ms / 1000U);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t len = strftime(out, 25, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out + len, 25 - len, ".%03uZ", (unsigned)(wall_ms % 1000U));
}

uint64_t sim_now_ms(void)
{
    return kernel.now_ms;
}

struct rand *sim_rand(void)
{
    return &kernel.rand;
}

/* --- events --- */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void put_at(struct sim_event *e, size_t index)
{
    kernel.heap[index] = e;
    e->heap_index = index;
}

static void sift_up(struct sim_event *e)
{
    size_t at = e->heap_index;
    while (at > 1 && is_before(e, kernel.heap[at / 2])) {
        put_at(kernel.heap[at / 2], at);
        at /= 2;
    }
    put_at(e, at);
}

static void sift_down(struct sim_event *e)
{
    size_t at = e->heap_index;
    for (size_t child = at * 2; child <= kernel.count; child = at * 2) {
        if (child < kernel.count && is_before(kernel.heap[child + 1], kernel.heap[child])) {
            child++;
        }
        if (!is_before(kernel.heap[child], e)) {
            break;
        }
        put_at(kernel.heap[child], at);
        at = child;
    }
    put_at(e, at);
}

void sim_event_init(struct sim_event *e, void (*run)(struct sim_event *e))
{
    *e = (struct sim_event){.run = run};
}

void sim_event_cancel(struct sim_event *e)
{
    size_t at = e->heap_index;
    if (at == 0) {
        return;
    }
    e->heap_index = 0;
    struct sim_event *last = kernel.heap[kernel.count--];
    if (last != e) {
        put_at(last, at);
        sift_up(last);
        sift_down(last);
    }
}

void sim_event_set(struct sim_event *e, uint64_t after_ms)
{
    sim_event_cancel(e);
    if (kernel.count + 2 > kernel.cap) {
        kernel.cap = kernel.cap > 0 ? kernel.cap * 2 : 64;
        kernel.heap = mem_resize(kernel.heap, kernel.cap * sizeof(struct sim_event *));
    }
    e->at_ms = kernel.now_ms + after_ms;
    e->order = rand_next(&kernel.rand);
    kernel.count++;
    put_at(e, kernel.count);
    sift_up(e);
}

bool sim_event_is_set(const struct sim_event *e)
{
    return e->heap_index != 0;
}

static void run_events(void)
{
    while (kernel.count > 0 && kernel.heap[1]->at_ms <= kernel.now_ms) {
        struct sim_event *e = kernel.heap[1];
        sim_event_cancel(e);
        kernel.did++;
        e->run(e);
    }
}

/* --- tasks, timers, frees, posts: as in net/loop.c --- */

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

void loop_post(struct loop *l, struct post *p)
{
    p->next = NULL;
    if (l->last_post) {
        l->last_post->next = p;
    } else {
        l->first_post = p;
    }
    l->last_post = p;
}

static void run_posts(struct loop *l)
{
    struct post *p = l->first_post;
    l->first_post = NULL;
    l->last_post = NULL;
    while (p) {
        struct post *after = p->next; /* p is the callee's once it runs */
        kernel.did++;
        p->run(p, p->arg);
        p = after;
    }
}

/* --- polling --- */

void sim_poll_add(struct loop *l, struct sim_polled *p)
{
    list_push_back(&l->polled, &p->node);
}

void sim_poll_remove(struct loop *l, struct sim_polled *p)
{
    list_remove(&l->polled, &p->node);
}

static bool has_ready_socket(struct loop *l)
{
    list_each(&l->polled, node, after)
    {
        struct sim_polled *p = container_of(node, struct sim_polled, node);
        if (p->is_ready(p)) {
            return true;
        }
    }
    return false;
}

/* In a drawn order; a callback only records, so none of them goes while others are told. */
static void poll_sockets(struct loop *l)
{
    struct sim_polled *found[POLLED_MAX];
    uint32_t count = 0;
    list_each(&l->polled, node, after)
    {
        struct sim_polled *p = container_of(node, struct sim_polled, node);
        if (p->is_ready(p) && count < POLLED_MAX) {
            found[count++] = p;
        }
    }
    while (count > 0) {
        uint32_t at = rand_below(&kernel.rand, count);
        struct sim_polled *p = found[at];
        found[at] = found[--count];
        kernel.did++;
        p->tell(p);
    }
}

/* --- the loop --- */

struct loop *loop_new(void)
{
    struct loop *l = mem_alloc(sizeof(*l));
    list_init(&l->ready);
    list_init(&l->polled);
    list_push_back(&kernel.loops, &l->node);
    return l;
}

void loop_free(struct loop **l)
{
    struct loop *dead = *l;
    *l = NULL;
    if (!dead) {
        return;
    }
    list_remove(&kernel.loops, &dead->node);
    doomed_fini(&dead->doomed);
    timers_fini(&dead->timers);
    free(dead);
}

void loop_stop(struct loop *l)
{
    l->is_stop_asked = true;
}

void loop_run(struct loop *l)
{
    while (!l->is_stopped && sim_step()) {
    }
}

uv_loop_t *loop_uv(struct loop *l)
{
    (void)l;
    BUG("nothing in the simulation may ask libuv");
}

uint64_t loop_now_ms(const struct loop *l)
{
    (void)l;
    return kernel.now_ms;
}

/* A turn takes no time here. */
uint64_t loop_woke_us(const struct loop *l)
{
    return loop_now_ms(l) * 1000;
}

char *loop_scratch(struct loop *l)
{
    return l->scratch;
}

bool sim_loop_is_stopped(const struct loop *l)
{
    return l->is_stopped;
}

void sim_loop_note_read(struct loop *l, const char *at, size_t size)
{
    bool is_scratch = at >= l->scratch && at < l->scratch + LOOP_SCRATCH;
    size_t end = is_scratch ? (size_t)(at - l->scratch) + size : 0;
    l->scratch_used = end > l->scratch_used ? end : l->scratch_used;
}

static void turn(struct loop *l)
{
    if (l->is_stopped) {
        return;
    }
    run_posts(l);
    poll_sockets(l);
    run_tasks(l);
    doomed_free(&l->doomed);
    timers_fire(&l->timers, kernel.now_ms);
    run_tasks(l);
    doomed_free(&l->doomed);
    memset(l->scratch, STALE, l->scratch_used);
    l->scratch_used = 0;
    l->is_stopped = l->is_stop_asked;
}

/* --- the kernel --- */

void sim_kernel_start(struct rand rand)
{
    CHECK(kernel.count == 0 && kernel.heap == NULL);
    kernel.now_ms = START_MS;
    kernel.rand = rand;
    kernel.spin = kernel.worst = (struct sim_spin){0};
    list_init(&kernel.loops);
}

void sim_kernel_stop(void)
{
    CHECK(kernel.loops.count == 0);
    free(kernel.heap);
    kernel.heap = NULL;
    kernel.count = kernel.cap = 0;
}

static bool is_busy(void)
{
    list_each(&kernel.loops, node, after)
    {
        struct loop *l = container_of(node, struct loop, node);
        if (!l->is_stopped &&
            (l->ready.count > 0 || l->first_post || l->is_stop_asked || has_ready_socket(l))) {
            return true;
        }
    }
    return false;
}

static uint64_t next_timer_ms(void)
{
    uint64_t first_ms = TIMER_NEVER;
    list_each(&kernel.loops, node, after)
    {
        struct loop *l = container_of(node, struct loop, node);
        uint64_t due_ms = l->is_stopped ? TIMER_NEVER : timers_first(&l->timers);
        first_ms = due_ms < first_ms ? due_ms : first_ms;
    }
    return first_ms;
}

/* To the next thing that will happen; false when there is none. */
static bool advance(void)
{
    uint64_t next_ms = next_timer_ms();
    if (kernel.count > 0 && kernel.heap[1]->at_ms < next_ms) {
        next_ms = kernel.heap[1]->at_ms;
    }
    if (next_ms == TIMER_NEVER) {
        return false;
    }
    if (next_ms > kernel.now_ms) {
        kernel.spin.tasks = 0;
        kernel.spin.timers = next_ms == kernel.now_ms + 1 ? kernel.spin.timers : 0;
        kernel.now_ms = next_ms;
    }
    return true;
}

static void watch_spin(uint64_t did)
{
    kernel.spin.tasks++;
    kernel.spin.timers = kernel.did == did ? kernel.spin.timers + 1 : 0;
    if (kernel.spin.tasks > kernel.worst.tasks) {
        kernel.worst.tasks = kernel.spin.tasks;
    }
    if (kernel.spin.timers > kernel.worst.timers) {
        kernel.worst.timers = kernel.spin.timers;
    }
}

bool sim_step(void)
{
    struct loop *loops[LOOPS_MAX];
    uint32_t count = 0;
    uint64_t did = kernel.did;
    if (!is_busy() && !advance()) {
        return false;
    }
    run_events();
    list_each(&kernel.loops, node, after)
    {
        CHECK(count < LOOPS_MAX);
        loops[count++] = container_of(node, struct loop, node);
    }
    while (count > 0) {
        uint32_t at = rand_below(&kernel.rand, count);
        struct loop *l = loops[at];
        loops[at] = loops[--count];
        turn(l);
    }
    watch_spin(did);
    return true;
}

struct sim_spin sim_kernel_spin(void)
{
    return kernel.worst;
}

/* --- what is left --- */

size_t sim_loop_ready(const struct loop *l)
{
    return l->ready.count;
}

size_t sim_loop_polled(const struct loop *l)
{
    return l->polled.count;
}

size_t sim_loop_armed(const struct loop *l)
{
    size_t armed = 0;
    for (size_t i = 1; i <= l->timers.count; i++) {
        armed += timer_is_armed(l->timers.heap[i]) ? 1 : 0;
    }
    return armed;
}
