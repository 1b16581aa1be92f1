#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * The stop ladder: how a backend and all that it started is ended, ever less politely. Pure;
 * what is done on a rung is the caller's, each time a new one is reached.
 *
 *     ASK ── main gone, or term_ms ──▶ REST ── rest_ms ──▶ KILL ── kill_ms ──▶ TOP
 */

enum ladder_rung {
    LADDER_ASK,  /* SIGTERM to the main process: vLLM ends its own workers */
    LADDER_REST, /* SIGTERM to all that is left */
    LADDER_KILL, /* SIGKILL to all that is left */
    LADDER_TOP   /* there is no further rung: what is left cannot be killed */
};

struct ladder_times {
    uint32_t term_ms; /* on ASK at most */
    uint32_t rest_ms;
    uint32_t kill_ms;
};

struct ladder {
    enum ladder_rung rung;
    uint64_t since_ms;         /* on this rung */
    struct ladder_times times; /* private */
};

void ladder_start(struct ladder *l, const struct ladder_times *times, uint64_t now_ms);

/* The main process hangs: it is asked no longer than what is left would be. */
void ladder_hasten(struct ladder *l);

/* Goes on where the time is up, or where nobody is left to be asked. True: a new rung has been
 * reached, one at a time. */
bool ladder_climb(struct ladder *l, bool is_main_gone, uint64_t now_ms);

/* Straight to KILL (an impatient operator). True: it was not there yet. */
bool ladder_jump(struct ladder *l, uint64_t now_ms);

/* How long the whole climb can still take, in milliseconds. */
uint64_t ladder_left_ms(const struct ladder *l, uint64_t now_ms);
