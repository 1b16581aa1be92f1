#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "llm/dialect.h"

/*
 * Which models a backend says it has: GET /v1/models (vLLM, llama.cpp) or Ollama's GET /api/ps,
 * as dialect.models_path says. It costs nothing, and is where a model that was exchanged for
 * another shows. Pure.
 */

struct model_entry {
    bool is_loaded;      /* said to be in memory */
    bool is_absent;      /* said not to be */
    uint64_t identity;   /* of what stays the same as long as the model does (its name, root,
                            sizes, digest; not times or permissions); 0: not told */
    uint32_t context;    /* tokens; 0: not told */
    uint32_t embeddings; /* width of its vectors; 0: not told */
};

/* What the list says of `model`, a backend's own name for it. One that is not in the list of a
 * server that ignores names (llama.cpp) is whatever is. Another code than ERR_OK: no such list.
 */
NODISCARD enum err model_list_read(const struct dialect *d, struct str body, struct str model,
                                   struct model_entry *out);
