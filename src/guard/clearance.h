#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guard/gpu_word.h"
#include "guard/guard_settings.h"
#include "net/loop.h"

/*
 * May a backend be started now? The port must be free (a stranger that answers there would pass
 * for ours), no GPU may need a reset, and the GPUs' memory must have come back from the last
 * run. An agent that is silent counts as one that knows nothing: it holds up no start for
 * longer than CLEARANCE_SILENT_MS. Belongs to the loop's thread.
 */

enum { CLEARANCE_SILENT_MS = 30000 };

struct clearance;

enum clearance_word {
    CLEARANCE_PENDING, /* not known yet */
    CLEARANCE_GIVEN,
    CLEARANCE_BLOCKED,  /* not now; asked again soon. clearance_why tells */
    CLEARANCE_GPU_DOWN, /* a GPU needs a reset; likewise */
};

struct clearance *clearance_new(struct loop *l, const struct guard_settings *s,
                                void (*notify)(void *owner), void *owner);
void clearance_free(struct clearance **c);

/* Begins anew. `pids`: of the last run, borrowed until the next begin; none for the first. */
void clearance_begin(struct clearance *c, const int64_t *pids, size_t count, uint64_t now_ms);
void clearance_rest(struct clearance *c);

/* To be asked every turn. */
enum clearance_word clearance_next(struct clearance *c, uint64_t now_ms);
const char *clearance_why(const struct clearance *c); /* a sentence */

/* While the backend runs: asks the agent now and then. True once when it says that a GPU needs
 * a reset, again after it was well. */
bool clearance_patrol(struct clearance *c, uint64_t now_ms);
