#pragma once

#include "agent/gpu_child.h"
#include "agent/gpu_host.h"
#include "base/mem.h"

/* The answer to GET /gpu (docs/agent.md): all that the agent knows, as JSON. Pure. */

struct gpu_report_source {
    const struct gpu_host *host;
    struct gpu_child_counts child;
    struct str boot_id;
    uint64_t polls; /* answered */
    bool has_kernel_log;
    uint64_t kernel_overrun;
};

/* Lives in the arena. */
struct str gpu_report_json(const struct gpu_report_source *s, struct moment m, struct arena *a);
