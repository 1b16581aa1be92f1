#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"

/*
 * The lazy timer heap of a loop, without a clock: a binary heap in the order of where timers
 * stand (heap_due_ms), not of when they are due. A timer that comes up before it is due is
 * moved on. Not thread-safe.
 */

struct timers {
    struct timer **heap; /* from 1 on; timers are borrowed */
    size_t count;
    size_t cap;
    uint64_t serial;
    uint64_t fire_ms;
    bool is_firing;
};

void timers_fini(struct timers *ts);
void timers_arm(struct timers *ts, struct timer *t, uint64_t due_ms);
void timers_drop(struct timers *ts, struct timer *t);

/* When timers_fire is needed next, at the latest; TIMER_NEVER when the heap is empty. */
uint64_t timers_first(const struct timers *ts);

/* Fires what is due. Callbacks may arm, disarm and drop any timer. */
void timers_fire(struct timers *ts, uint64_t now_ms);
