#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/*
 * What an engine says of its own work: vLLM's and llama.cpp's `GET /metrics`, llama.cpp's `GET
 * /slots`. They are answered while the engine itself hangs, with figures that stand still.
 * Pure.
 */

struct engine_report {
    uint64_t generated; /* tokens made. /slots: by what is in the slots now */
    uint64_t prompt;    /* tokens read, likewise */
    uint64_t steps;     /* forward passes; 0: not told */
    uint32_t running;
    uint32_t waiting;
    uint32_t slots;       /* the most that can run; 0: not told */
    uint32_t kv_permille; /* of the memory for prompts and answers, 0 … 1000 */
    bool has_kv;
    bool may_prefill; /* some request that runs may be at its prompt, of which a whole batch is
                         read before any figure moves */
};

struct engine_source {
    const char *path; /* GET, behind the backend's path prefix */
    /* ERR_TYPE: the body is not what it should be. */
    enum err (*read)(struct str body, struct engine_report *out);
};

/* Where this kind of backend ("vllm", "llamacpp") tells it, the best place first; NULL and 0
 * where nowhere. */
const struct engine_source *engine_sources(struct str type, size_t *count);
