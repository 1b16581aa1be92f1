#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "tiers/catalog.h"
#include "tiers/dcgm_judge.h"
#include "tiers/telemetry.h"
#include "wire/dcgm_report.h"

/*
 * From the answer of somebody who tells of a backend to what is known of it: only the GPUs that
 * are the backend's count. Pure.
 */

struct teller_heard {
    struct gpu_news gpu;     /* of the agent and of dcgm-exporter */
    struct guard_news guard; /* of the guard */
    uint64_t seq;            /* of the agent */
    size_t missing;          /* GPUs of the configuration that nothing was told of */
};

/* Of an agent that cannot see, or has not for so long, only what is bad counts. */
enum { TELLER_AGE_MAX_MS = 60000 };

/* ERR_TYPE and others: it is no such answer, or it says what we do not know; nothing is taken.
 */
NODISCARD enum err teller_hear_agent(struct str body, const struct backend *b,
                                     struct teller_heard *out);

/* `judges`: DCGM_GPUS_MAX, zeroed before the first answer; one a GPU, by its index. */
NODISCARD enum err teller_hear_dcgm(struct str body, const struct backend *b,
                                    struct dcgm_judge *judges, uint64_t now_ms,
                                    struct teller_heard *out);

NODISCARD enum err teller_hear_guard(struct str body, struct teller_heard *out);
