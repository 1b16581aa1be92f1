#pragma once

#include <stdint.h>

/*
 * Whether a stream crawls: fewer pieces of content in 10 seconds than its backend should give.
 * Seconds are counted from the first content (or from when the stream could be read again), and
 * every ten in a row are judged once they are over:
 *
 *     from_ms                                      now
 *     │ 0 │ 1 │ 2 │ … │ 8 │ 9 │10 │11 │12 │13 │ … │
 *     └── judged at 10 s ─────┘
 *         └── judged at 11 s ─────┘
 *
 * One belongs to one attempt. Pure: time is an argument and never goes back.
 */

enum { FLOW_WINDOW = 10, FLOW_SLOTS = 16 };

struct flow {
    /* private: */
    uint32_t needed; /* pieces in a window; 0: not judged */
    uint32_t slot;   /* of the last piece: seconds after from_ms */
    uint64_t from_ms;
    uint32_t pieces[FLOW_SLOTS]; /* by second; those after `slot` are stale */
};

/* At the first content. A flow that is all zero, or whose `min_per_second` is 0, is not judged;
 * at least FLOW_LEAST otherwise. */
void flow_begin(struct flow *f, double min_per_second, uint64_t now_ms);
#define FLOW_LEAST 0.1 /* one piece in a window: less cannot be told from silence */

/* The stream was not read for a while: what it did before is forgotten. */
void flow_restart(struct flow *f, uint64_t now_ms);

/* A piece of content has come. */
void flow_add(struct flow *f, uint64_t now_ms);

/* When the first window that has too few will be over, should nothing more come; UINT64_MAX:
 * not judged. */
uint64_t flow_due_ms(const struct flow *f);
