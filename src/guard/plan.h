#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rand.h"
#include "guard/blame.h"
#include "guard/ladder.h"
#include "guard/restarts.h"

/*
 * What becomes of one backend process: events and the time in, orders out. Pure; who carries
 * the orders out is guard/keeper.
 *
 *            ┌──────────── the delay is over ───────────────┐
 *            ▼                                              │
 *        STARTING ── spawned ─▶ LOADING ── one token ─▶ READY
 *            │ ▲                   │                      │ │
 *            ▼ │ well again        └─ exit, too slow ─┐   │ exit, hang
 *        NEEDS_RESET                                  ▼   ▼ │
 *                                                   STOPPING ── all gone ─▶ BACKOFF, GAVE_UP,
 *                                                     │ ▲                   or ENDED if asked
 *                          nothing kills what is left ▼ │ gone after all
 *                                                   UNKILLABLE
 *
 * STARTING waits until a start can succeed: nothing is left of the last run, the port is free,
 * the GPUs are well and their memory is back. No process is ever started while another one of
 * ours is still there.
 */

enum plan_state {
    PLAN_STARTING,
    PLAN_LOADING,
    PLAN_READY,
    PLAN_STOPPING,
    PLAN_BACKOFF,
    PLAN_NEEDS_RESET, /* a GPU does; no start until it is well again */
    PLAN_GAVE_UP,     /* too many restarts: waits for an operator */
    PLAN_UNKILLABLE,  /* something of ours survives SIGKILL: no start while it is there */
    PLAN_ENDED
};

/* "READY", "GAVE_UP"; BACKOFF is called RESTARTING. Static. */
const char *plan_state_name(enum plan_state s);

enum plan_order { /* bits */
                  PLAN_DO_SPAWN = 1,
                  PLAN_DO_TERM_MAIN = 2,
                  PLAN_DO_TERM_ALL = 4,
                  PLAN_DO_KILL_ALL = 8,
                  PLAN_DO_HOOK_DOWN = 16,
                  PLAN_DO_HOOK_RESET = 32,
                  PLAN_DO_HOOK_GAVE_UP = 64,
                  PLAN_DO_KEEP_INCIDENT =
                      128,            /* a failure: its log and cause are worth keeping */
                  PLAN_DO_LEAVE = 256 /* the guard ends, with exit_code */
};

struct plan_policy {
    uint32_t start_ms; /* from the spawn to the first token */
    struct ladder_times stop;
    struct restart_policy restart;
    enum {
        PLAN_STAY,
        PLAN_LEAVE
    } then_leave; /* having given up: stay and tell why, or leave */
    uint32_t oom_steps;
    uint64_t oom_forget_ms; /* READY for so long: the steps are taken back, at the next start */
};

enum { PLAN_WHY_MAX = 256 };

struct plan {
    enum plan_state state;
    uint64_t since_ms;
    char why[PLAN_WHY_MAX]; /* of the state, a sentence for people */
    enum cause cause;       /* of the last failure */
    uint32_t oom_step;      /* of policy.oom_steps, for the next start */
    uint64_t due_ms;        /* BACKOFF: the next start */
    bool has_been_ready;    /* ever */
    bool is_main_alive;
    bool is_asked_to_stop;
    bool has_gpu_memory_line; /* its recent log has one: the caller keeps this up to date */
    int exit_code;            /* 0, or 1 when it leaves without having done its work */
    struct ladder ladder;
    struct restarts restarts;
    /* private: */
    struct plan_policy policy;
    struct rand rand;
    bool is_reset_told; /* the hook has run for this GPU trouble */
};

void plan_init(struct plan *p, const struct plan_policy *policy, struct rand rand,
               uint64_t now_ms);

/* All others tell what has happened, and return orders (bits of enum plan_order). */

unsigned plan_on_tick(struct plan *p, uint64_t now_ms);

/* --- STARTING and NEEDS_RESET; in other states they do not change the state --- */

unsigned plan_on_clear(struct plan *p, uint64_t now_ms); /* a start can succeed */
void plan_on_blocked(struct plan *p, const char *why);   /* not yet */
unsigned plan_on_gpu_down(struct plan *p, const char *why, uint64_t now_ms);

/* Something of an earlier run is there still: it is ended first. */
unsigned plan_on_leftovers(struct plan *p, size_t left, uint64_t now_ms);

void plan_on_spawned(struct plan *p, uint64_t now_ms);
unsigned plan_on_no_start(struct plan *p, const char *why, uint64_t now_ms);

/* --- while it runs --- */

void plan_on_progress(struct plan *p, const char *why); /* LOADING: how far it is */
void plan_on_token(struct plan *p, uint64_t now_ms);    /* LOADING: it is READY */
unsigned plan_on_hang(struct plan *p, const char *why, uint64_t now_ms);
unsigned plan_on_exit(struct plan *p, enum cause cause, const char *why, uint64_t now_ms);

/* STOPPING, UNKILLABLE: what a look at the processes found. `left` counts the main process,
 * too; `stuck` those that sleep uninterruptibly (state D). */
unsigned plan_on_census(struct plan *p, size_t left, size_t stuck, uint64_t now_ms);

/* The operator's word; the second one is impatient. */
unsigned plan_on_stop(struct plan *p, uint64_t now_ms);
