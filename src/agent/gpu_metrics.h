#pragma once

#include "agent/gpu_report.h"
#include "base/buf.h"

/* The answer to GET /metrics: Prometheus' text format 0.0.4. Pure. */

#define GPU_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* ERR_TOO_LARGE when it is more than `out` may hold. */
NODISCARD enum err gpu_metrics_write(const struct gpu_report_source *s, struct moment m,
                                     struct buf *out);
