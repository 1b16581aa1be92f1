#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/*
 * What the agent's GET /gpu says that matters before a start: does a GPU need a reset, and does
 * one still hold memory of processes of ours that are gone? Whatever is missing in the report
 * counts as unknown, never as a reason to wait. Pure.
 */

struct gpu_word {
    bool needs_reset;   /* some GPU is DOWN and will not come back by itself */
    bool holds_ours;    /* memory is held by one of the pids asked for */
    int64_t holder;     /* its pid */
    bool has_processes; /* the report tells processes at all */
    uint64_t used;      /* bytes on all GPUs together, 0: not told */
    bool has_free;      /* some GPU tells total and used … */
    uint64_t most_free; /* … bytes of the one that has the most */
    char why[200];      /* with needs_reset, for people */
};

/* `pids`: all that ran in the last run. `only`: UUIDs of the GPUs that count; 0: all. ERR_TYPE:
 * the body is no report. */
struct gpu_query {
    const int64_t *pids;
    size_t pid_count;
    const struct str *only;
    size_t only_count;
};
NODISCARD enum err gpu_word_read(struct str body, const struct gpu_query *q,
                                 struct gpu_word *out);
