#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rand.h"

/*
 * When a backend that has failed may be started again, and when that has been tried often
 * enough. Pure.
 *
 *     delay = first x 2^(failures in a row - 1), at most max, +-20 %
 */

enum { RESTARTS_MAX = 64 /* most that restart_policy.limit can be */ };

struct restart_policy {
    uint32_t first_ms;
    uint32_t max_ms;
    uint32_t healthy_ms; /* READY for so long: the next failure counts as the first */
    uint32_t limit;      /* restarts within within_ms; one more failure gives up; 0: never */
    uint64_t within_ms;
};

struct restarts {
    uint32_t in_row; /* failures since it was last well for healthy_ms */
    uint64_t total;  /* restarts allowed so far */
    /* private: */
    uint64_t at_ms[RESTARTS_MAX]; /* of the latest ones, a ring by total */
};

/* A failure. True: start again after *delay_ms; false: give up. */
bool restarts_next(struct restarts *r, const struct restart_policy *p, struct rand *rand,
                   uint64_t now_ms, uint64_t *delay_ms);

/* It has been READY for healthy_ms. */
void restarts_forget(struct restarts *r);

/* Restarts that count towards the limit now. */
uint32_t restarts_recent(const struct restarts *r, const struct restart_policy *p,
                         uint64_t now_ms);
