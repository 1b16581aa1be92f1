#pragma once

#include <stdbool.h>
#include <unistd.h>

#include "net/loop.h"

/* Turns a loop by hand. */

/* One turn that does not wait. */
static inline void turn(struct loop *l)
{
    loop_stop(l);
    loop_run(l);
}

/* Turns until `is_done` says so, for two seconds at most; says whether it did. */
static inline bool turn_until(struct loop *l, bool (*is_done)(void *arg), void *arg)
{
    for (int i = 0; i < 4000; i++) {
        turn(l);
        if (is_done(arg)) {
            return true;
        }
        usleep(500);
    }
    return false;
}

static inline void turn_times(struct loop *l, int times)
{
    for (int i = 0; i < times; i++) {
        turn(l);
    }
}
