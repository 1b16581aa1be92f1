#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/*
 * What a guard tells the gateway that has started it, one packet a change:
 *
 *     STATE TURN RESTARTS PID WHY…
 *
 * WHY is the rest, a sentence without line ends. The only packet in the other direction is
 * GUARD_LINE_GO: the start that was asked for may be made. Pure.
 */

enum { GUARD_LINE_MAX = 512, GUARD_LINE_WHY = 256 };

#define GUARD_LINE_GO "go"

/* As GET /guard names them. */
enum guard_state {
    GUARD_STARTING,
    GUARD_LOADING,
    GUARD_READY,
    GUARD_STOPPING,
    GUARD_RESTARTING,
    GUARD_NEEDS_RESET,
    GUARD_GAVE_UP,
    GUARD_UNKILLABLE,
    GUARD_ENDED
};
enum { GUARD_STATES = GUARD_ENDED + 1 };

/* A heavy start is made by one at a time: who wants to make one asks, and holds the turn until
 * it has come to something. */
enum guard_turn { GUARD_TURN_NONE, GUARD_TURN_WANTED, GUARD_TURN_HELD };

struct guard_line {
    enum guard_state state;
    enum guard_turn turn;
    uint32_t restarts; /* after failures */
    uint32_t pid;      /* of the backend; 0: none */
    char why[GUARD_LINE_WHY];
};

const char *guard_state_name(enum guard_state s);

/* False when there is no such state. */
bool guard_state_find(struct str name, enum guard_state *out);

/* Returns the length of what it writes into `out`. */
size_t guard_line_write(const struct guard_line *line, char out[GUARD_LINE_MAX]);

/* ERR_SYNTAX: it is none. What cannot be printed in WHY becomes '?'. */
NODISCARD enum err guard_line_read(struct str packet, struct guard_line *out);
