#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/event.h"

/*
 * What the events of a backend say about how it is: bad while its state is not HEALTHY, a
 * breaker of it is open, or its GPU ails. Pure.
 */

struct signs {
    bool is_down;           /* not HEALTHY */
    bool is_ailing;         /* its GPU */
    uint64_t open_breakers; /* a bit each, by name */
};

/* False: the event says nothing about that. */
bool signs_take(struct signs *s, const struct event *e);

bool signs_are_good(const struct signs *s);
