#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/rand.h"
#include "net/loop.h"

/*
 * The kernel's place in the simulation: a clock that moves only when nobody has anything to do,
 * and the loops of net/loop.h on it. sim_loop.c takes the place of net/loop.c and base/clock.c;
 * timers are the real ones (net/timers.c).
 *
 * A step: due events (what the world does: bytes arrive, clients leave), in an order drawn from
 * the seed, then one turn of each loop, in the phases of net/loop.h:
 *
 *     posts and readiness (callbacks record) → tasks → frees → timers → tasks → frees
 *
 * There is one kernel, as there is one in reality; it is the simulation's only global state.
 */

/* Something that the world does at a time; embedded in its owner. */
struct sim_event {
    void (*run)(struct sim_event *e);
    /* private: */
    uint64_t at_ms;
    uint64_t order;    /* among those of the same time: drawn */
    size_t heap_index; /* 0: not scheduled */
};

/* What a loop polls: a socket. Both functions are called in the poll of a turn only. */
struct sim_polled {
    struct list_node node;
    bool (*is_ready)(struct sim_polled *p);
    void (*tell)(struct sim_polled *p);
};

/* From nothing; `rand` decides the order of what happens at the same time. */
void sim_kernel_start(struct rand rand);
void sim_kernel_stop(void);

uint64_t sim_now_ms(void);
struct rand *sim_rand(void); /* for what else the kernel decides: how much a write takes */

void sim_event_init(struct sim_event *e, void (*run)(struct sim_event *e));
void sim_event_set(struct sim_event *e, uint64_t after_ms); /* moves it if it is set already */
void sim_event_cancel(struct sim_event *e);
bool sim_event_is_set(const struct sim_event *e);

void sim_poll_add(struct loop *l, struct sim_polled *p);
void sim_poll_remove(struct loop *l, struct sim_polled *p);

/* A read has put bytes there. What is in the loop's scratch is spoilt at the end of the turn:
 * others may have read by the next one. */
void sim_loop_note_read(struct loop *l, const char *at, size_t size);

/* One step; false when nothing will ever happen again. */
bool sim_step(void);

/* True once loop_stop was called on it and its turn has ended. */
bool sim_loop_is_stopped(const struct loop *l);

/* Steps in a row in which timers fired a millisecond apart and nothing else happened: a due
 * time in the past that nobody acts upon. Steps in a row in which time stood still: a task that
 * readies itself for ever. The most of either since the kernel was started. */
struct sim_spin {
    uint32_t timers;
    uint32_t tasks;
};
struct sim_spin sim_kernel_spin(void);

/* What is left on a loop that should be quiet. */
size_t sim_loop_ready(const struct loop *l);
size_t sim_loop_polled(const struct loop *l);
size_t sim_loop_armed(const struct loop *l);
