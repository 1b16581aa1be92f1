#include "net/timers.h"

#include <stdlib.h>

#include "base/mem.h"

static bool is_before(const struct timer *a, const struct timer *b)
{
    if (a->heap_due_ms != b->heap_due_ms) {
        return a->heap_due_ms < b->heap_due_ms;
    }
    return a->heap_serial < b->heap_serial;
}

static void put_at(struct timers *ts, struct timer *t, size_t index)
{
    ts->heap[index] = t;
    t->heap_index = index;
}

static void sift_up(struct timers *ts, struct timer *t)
{
    size_t at = t->heap_index;
    while (at > 1 && is_before(t, ts->heap[at / 2])) {
        put_at(ts, ts->heap[at / 2], at);
        at /= 2;
    }
    put_at(ts, t, at);
}

static void sift_down(struct timers *ts, struct timer *t)
{
    size_t at = t->heap_index;
    for (size_t child = at * 2; child <= ts->count; child = at * 2) {
        if (child < ts->count && is_before(ts->heap[child + 1], ts->heap[child])) {
            child++;
        }
        if (!is_before(ts->heap[child], t)) {
            break;
        }
        put_at(ts, ts->heap[child], at);
        at = child;
    }
    put_at(ts, t, at);
}

static void set_key(struct timer *t)
{
    t->heap_due_ms = t->due_ms;
    t->heap_serial = t->serial;
}

static void insert(struct timers *ts, struct timer *t)
{
    if (ts->count + 2 > ts->cap) {
        ts->cap = ts->cap > 0 ? ts->cap * 2 : 64;
        ts->heap = mem_resize(ts->heap, ts->cap * sizeof(struct timer *));
    }
    ts->count++;
    set_key(t);
    put_at(ts, t, ts->count);
    sift_up(ts, t);
}

void timers_fini(struct timers *ts)
{
    free(ts->heap);
    *ts = (struct timers){.heap = NULL};
}

void timers_arm(struct timers *ts, struct timer *t, uint64_t due_ms)
{
    if (due_ms == TIMER_NEVER) {
        timer_disarm(t);
        return;
    }
    /* A callback that arms for the past must not keep timers_fire going for ever. */
    if (ts->is_firing && due_ms <= ts->fire_ms) {
        due_ms = ts->fire_ms + 1;
    }
    t->due_ms = due_ms;
    t->serial = ++ts->serial;
    if (t->heap_index == 0) {
        insert(ts, t);
    } else if (due_ms < t->heap_due_ms) {
        set_key(t);
        sift_up(ts, t);
    }
}

void timers_drop(struct timers *ts, struct timer *t)
{
    t->due_ms = TIMER_NEVER;
    size_t at = t->heap_index;
    if (at == 0) {
        return;
    }
    t->heap_index = 0;
    struct timer *last = ts->heap[ts->count--];
    if (last == t) {
        return;
    }
    put_at(ts, last, at);
    sift_up(ts, last);
    sift_down(ts, last);
}

uint64_t timers_first(const struct timers *ts)
{
    return ts->count > 0 ? ts->heap[1]->heap_due_ms : TIMER_NEVER;
}

/* The first of the heap has come up: moves it on, takes it out, or fires it. */
static void settle_first(struct timers *ts, uint64_t now_ms)
{
    struct timer *t = ts->heap[1];
    if (t->due_ms != TIMER_NEVER && t->due_ms > t->heap_due_ms) {
        set_key(t);
        sift_down(ts, t);
        return;
    }
    bool is_due = t->due_ms <= now_ms;
    timers_drop(ts, t);
    if (is_due) {
        t->fire(t);
    }
}

void timers_fire(struct timers *ts, uint64_t now_ms)
{
    ts->is_firing = true;
    ts->fire_ms = now_ms;
    while (ts->count > 0 && ts->heap[1]->heap_due_ms <= now_ms) {
        settle_first(ts, now_ms);
    }
    ts->is_firing = false;
}

void timer_init(struct timer *t, void (*fire)(struct timer *t))
{
    *t = (struct timer){.fire = fire, .due_ms = TIMER_NEVER};
}

void timer_disarm(struct timer *t)
{
    t->due_ms = TIMER_NEVER;
}

bool timer_is_armed(const struct timer *t)
{
    return t->due_ms != TIMER_NEVER;
}
