#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/*
 * What the guard tells the service manager (sd_notify(3)) about a plan: one datagram of
 * KEY=value lines. Pure.
 *
 *     first READY     READY=1, MAINPID=<guard>, STATUS=
 *     any news        STATUS=LOADING: weights are being read
 *     STOPPING        STOPPING=1 once, when the guard itself ends
 *     WATCHDOG=1      from the guard's own turn, whatever the backend does
 *     EXTEND_TIMEOUT_USEC= while a start that has not been READY yet, or a stop, goes on
 */

enum { NOTIFY_MAX = 1024 };

struct notify {
    bool is_ready;    /* say READY=1 */
    bool is_stopping; /* say STOPPING=1 */
    bool is_alive;    /* say WATCHDOG=1 */
    uint64_t extend_ms;
    int64_t main_pid;  /* with is_ready */
    struct str status; /* one line for people; control bytes become spaces; empty: none */
};

/* The datagram, into `out`; its length. 0: there is nothing to say. */
size_t notify_text(const struct notify *n, char out[NOTIFY_MAX]);

/* How often a watchdog of this many microseconds wants to hear of us, in milliseconds: twice.
 * 0: never. `pid`: WATCHDOG_PID, empty when unset; `own`: ours. */
uint32_t notify_watchdog_ms(struct str usec, struct str pid, int64_t own);
