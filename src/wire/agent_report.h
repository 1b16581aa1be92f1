#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/*
 * What the GPU agent and the guard answer (docs/agent.md, docs/guard.md), as far as a gateway
 * needs it. Whoever answers may be anybody: types are checked, numbers are bounded, and nothing
 * is judged. Pure; texts live as long as the body and the arena.
 */

enum { AGENT_GPUS_MAX = 64, AGENT_SLICES_MAX = 8 };

struct agent_gpu {
    bool has_index;
    uint64_t index;
    struct str uuid;                    /* empty: not told, as all below */
    struct str slice[AGENT_SLICES_MAX]; /* UUIDs of what it is cut into */
    size_t slice_count;
    struct str state;
    struct str advice;
    struct str reason;
    struct str why;
};

struct agent_report {
    uint64_t seq;    /* grows with each change */
    bool sees;       /* "gpu" is "nvidia": what it calls well is well */
    bool is_late;    /* the driver does not answer */
    bool has_age;    /* some reading was complete */
    uint64_t age_ms; /* of it */
    struct agent_gpu gpu[AGENT_GPUS_MAX];
    size_t count;
};

/* ERR_TYPE: that is no report (a member is missing or of another type); ERR_SYNTAX …: nor JSON.
 */
NODISCARD enum err agent_report_read(struct str body, struct arena *a,
                                     struct agent_report *out);

struct guard_report {
    struct str state;
    struct str reason;
    bool has_restarts;
    uint64_t restarts; /* of the backend, since the guard started */
};

/* Likewise. */
NODISCARD enum err guard_report_read(struct str body, struct arena *a,
                                     struct guard_report *out);
