#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "agent/agent_settings.h"
#include "base/err.h"

/*
 * The agent: one loop that asks the child once an interval, follows the kernel's log, keeps the
 * state file and serves HTTP. Nothing in it calls into the driver, so that nothing of it can
 * block there.
 *
 *     child (NVML, sysfs) ──frames──▶ gpu_child ─┐
 *     /dev/kmsg ─────────records──▶ kernel_log ──┴▶ gpu_host ─▶ agent_http, gpu_memo
 */

enum agent_end { AGENT_FINE, AGENT_DOWN, AGENT_FAILED };

/* Serves until SIGTERM or SIGINT. `s` must be fit to be served (agent_settings_load). */
NODISCARD enum agent_end agent_serve(const struct agent_settings *s);

/* One reading as JSON to `out`. AGENT_DOWN: a GPU is DOWN, or nothing came in time. Neither
 * listens nor writes the state file, but reads it. */
NODISCARD enum agent_end agent_once(const struct agent_settings *s, FILE *out);
