#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "base/slab.h"
#include "net/watch.h"

/*
 * One event loop, with what the data path needs: sockets watched without a system call for each
 * change (net/watch.h), tasks that run once a turn, lazy timers, deferred frees, a read scratch
 * buffer. For all that is no socket of ours (name lookups, signals, processes) it carries a
 * libuv loop along. One thread owns a loop; only loop_post and loop_stop may be called from
 * others.
 *
 * A turn: timers (they only ready tasks) → tasks → deferred frees → libuv, if it has something
 * to do → wait → events (callbacks only record what happened and ready a task) → tasks →
 * deferred frees.
 */

enum { LOOP_SCRATCH = 65536 };

/* Work to be done once in this turn; embedded in its owner. */
struct task {
    void (*run)(struct task *t);
    /* private: */
    struct list_node node;
};

/*
 * A deadline; embedded in its owner. Lazy: moving it later, or disarming it, only writes a
 * field; the heap is touched when it comes up. So a timer may be re-armed for each request at
 * no cost.
 */
struct timer {
    void (*fire)(struct timer *t);
    /* private: */
    uint64_t due_ms;      /* TIMER_NEVER: disarmed */
    uint64_t heap_due_ms; /* where it stands in the heap */
    uint64_t serial;      /* earlier armed, earlier fired */
    uint64_t heap_serial; /* as it was when it was placed in the heap */
    size_t heap_index;    /* 1 …; 0: not in the heap */
};

#define TIMER_NEVER UINT64_MAX

/* A message from another thread; memory is the sender's until run is called, then the callee's.
 */
struct post {
    void (*run)(struct post *p, void *arg);
    void *arg;
    struct post *next; /* private */
};

struct loop; /* opaque: loop.c */

/* Also ignores SIGPIPE for the process: OpenSSL writes without MSG_NOSIGNAL. */
struct loop *loop_new(void);
/* Closes the handles that are still open on it and waits for name lookups under way; memory and
 * descriptors of connections and listeners that were not closed stay their owner's. */
void loop_free(struct loop **l);

/* Runs turns until loop_stop. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l); /* any thread */

/* Anything may be begun and ended on it, at any time, by the loop's thread; it is turned in
 * every turn in which a handle or request is active on it. (One that is unreferenced counts
 * only along with others.) Not to be run by others. */
uv_loop_t *loop_uv(struct loop *l);
struct watch_set *loop_watches(struct loop *l);
/* When the last wait ended: what happens now began then, or waited since. As clock_mono_us. */
uint64_t loop_woke_us(const struct loop *l);
uint64_t
loop_now_ms(const struct loop *l); /* monotonic (as clock_mono_ms), read after each wait */
char *loop_scratch(
    struct loop *l); /* LOOP_SCRATCH bytes, shared: valid until the next read on this loop */

/*
 * How long turns take, the wait not counted: so long whatever becomes ready meanwhile may have
 * to wait. Any thread may read; the numbers only grow.
 */
enum { LOOP_TURN_BUCKETS = 11 };
struct loop_turns {
    uint64_t
        most_us[LOOP_TURN_BUCKETS]; /* inclusive bounds, 1 ms … 5 s; UINT64_MAX: the last */
    uint64_t count[LOOP_TURN_BUCKETS]; /* not cumulative */
    uint64_t sum_us;
};
void loop_turns(const struct loop *l, struct loop_turns *out);

/* How long the turn that it is in has taken so far; 0 while it waits. Any thread. */
uint64_t loop_busy_us(const struct loop *l, uint64_t now_us);

/* Readies a task for this turn (or the next, if tasks have run); a ready one stays as it is. */
void task_init(struct task *t, void (*run)(struct task *t));
void task_ready(struct loop *l, struct task *t);
void task_cancel(struct loop *l, struct task *t); /* before its owner is freed */

void timer_init(struct timer *t, void (*fire)(struct timer *t));
/* Absolute, monotonic; TIMER_NEVER disarms. Inside a fire callback it is at least 1 ms from
 * now. */
void timer_arm(struct loop *l, struct timer *t, uint64_t due_ms);
void timer_disarm(struct timer *t);
void timer_drop(struct loop *l,
                struct timer *t); /* out of the heap: before its owner is freed */
bool timer_is_armed(const struct timer *t);

/* free(ptr) at the end of the turn, after all tasks: nobody is freed inside his own callback.
 */
void loop_free_later(struct loop *l, void *ptr);
/* The same for a piece of a slab, which outlives the loop and is used on its thread only. */
void loop_give_later(struct loop *l, struct slab *to, void *piece);

/* Hands a message to the loop's thread; any thread. Posts run in order, at the beginning of a
 * turn. */
void loop_post(struct loop *l, struct post *p);
