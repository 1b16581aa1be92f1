#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "guard/blame.h"
#include "guard/log_ring.h"
#include "guard/plan.h"

/*
 * The account of the last failure: why, when, how the main process ended, and the last lines
 * that it wrote.
 */

struct incident {
    bool is_there;
    enum cause cause;
    char why[PLAN_WHY_MAX];
    uint64_t at_wall_ms;
    pid_t pid;
    bool has_ended; /* wait_status is known */
    int wait_status;
    struct log_ring lines;
};

/* What GET /guard tells; all borrowed. */
struct guard_view {
    const struct plan *plan;
    const struct incident *incident;
    const char *backend;   /* URL */
    const char *type;      /* of the backend */
    const char *program;   /* the first word of the command: others may hold secrets */
    const char *cgroup;    /* its folder; NULL: none … */
    const char *no_cgroup; /* … for this reason */
    pid_t pid;             /* 0: none runs */
    uint64_t now_ms;
    uint64_t now_wall_ms;
    uint32_t recent; /* restarts that count towards the limit */
    uint32_t limit;
    uint64_t dropped; /* bytes of the backend's output */
};

struct arena;

/* JSON, as docs/guard.md has it; lives as long as the arena. */
struct str guard_json(const struct guard_view *v, struct arena *a);
