#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guard/cgroup.h"
#include "guard/clearance.h"
#include "guard/engine_watch.h"
#include "guard/hooks.h"
#include "guard/hush.h"
#include "guard/incident.h"
#include "guard/keeper.h"
#include "guard/offspring.h"
#include "guard/outlet.h"
#include "guard/parent.h"
#include "guard/plan.h"
#include "guard/sdnotify.h"
#include "net/loop.h"

/*
 * The parts of the keeper: keeper.c turns, keeper_run.c has to do with processes,
 * keeper_tell.c with those who want to know.
 */

enum { KEEPER_PIDS_MAX = 1024, KEEPER_STRANGERS_MAX = 64 };

struct keeper {
    const struct guard_settings *settings;
    struct loop *loop;
    struct plan plan;
    struct watch *watch;
    struct clearance *clearance;
    struct guard_serve *serve; /* NULL: nowhere */
    struct parent *parent;     /* NULL: nobody who decides */
    bool has_left_parent;      /* it is gone, and that was seen */
    bool has_turn;             /* as of the last turn of ours */
    struct task task;
    struct timer timer;
    uv_signal_t on_child, on_term, on_int, on_hup;

    /* the backend's processes */
    pid_t pid; /* the main one; 0: none */
    struct cgroup cgroup;
    struct outlet *out, *err;
    struct offspring offspring;
    uint64_t census_due_ms;
    bool is_computing; /* between the last two looks */
    bool is_advancing; /* … or it wrote something */
    uint64_t seen_ticks;
    uint64_t seen_bytes;
    int64_t run_pids[KEEPER_PIDS_MAX]; /* of this run, for the GPU's memory */
    size_t run_pid_count;
    bool has_oom_count;
    uint64_t oom_count; /* at the start of this run */
    bool has_host_oom_count;
    uint64_t host_oom_count; /* of the machine, at the last look */
    uint64_t host_oom_ms;    /* when it was seen to rise during this run; 0: never */
    struct offspring_other strangers[KEEPER_STRANGERS_MAX]; /* ours before the first start */
    size_t stranger_count;
    struct hush hush; /* what is starred out of them */
    struct log_ring lines;
    size_t gpu_line; /* lines.total when the last such line came; 0: none */
    struct incident incident;

    /* telling */
    struct hooks hooks;
    struct sdnotify notify;
    enum plan_state told_state;
    char told_why[PLAN_WHY_MAX];
    bool has_told_ready;
    bool has_told_stopping;
    uint64_t watchdog_due_ms;
    uint64_t extend_due_ms;

    bool is_clearing; /* a clearance is under way */
    bool is_leaving;
    uint64_t leave_due_ms;
    enum keeper_end end;
    uint64_t now_ms; /* of this turn */
};

/* --- keeper_run.c --- */

bool keeper_init_processes(struct keeper *k);
void keeper_fini_processes(struct keeper *k);

/* Starts the command; orders of the plan. */
unsigned keeper_spawn(struct keeper *k);

/* Reaps all children that have ended; orders. */
unsigned keeper_reap(struct keeper *k);

/* Looks at the processes: k->offspring and what follows from it. */
void keeper_look(struct keeper *k);

void keeper_signal_all(struct keeper *k, int number);
void keeper_kill_all(struct keeper *k);
void keeper_keep_incident(struct keeper *k);

/* --- keeper_tell.c --- */

/* The log, the service manager and the parent. */
void keeper_tell(struct keeper *k);

/* The parent alone, of a command that cannot be run at all: its last word. */
void keeper_tell_no_command(struct keeper *k, const char *why);
void keeper_run_hook(struct keeper *k, enum guard_hook hook);

/* The JSON of GET /guard. */
struct str keeper_json(void *owner, struct arena *a);
