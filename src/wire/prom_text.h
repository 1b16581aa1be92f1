#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

/*
 * Samples of Prometheus' text format (0.0.4, and OpenMetrics as far as it is the same), pulled
 * line by line. Comments, empty lines and lines that are no samples are skipped: one server's
 * odd line shall not hide the rest. Timestamps and exemplars are ignored. Pure; slices of the
 * input.
 *
 *     vllm:num_requests_running{engine="0",model_name="m"} 2.0
 *     └───────── name ────────┘ └────────── labels ─────┘  └ value
 */

struct prom_sample {
    struct str name;
    struct str labels; /* what is between the braces, as it came; empty: none */
    double value;      /* finite; lines with NaN and infinities are skipped */
};

/* Takes the next sample from the front of *in; false at the end. */
bool prom_next(struct str *in, struct prom_sample *out);
