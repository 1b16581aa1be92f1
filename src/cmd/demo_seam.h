#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"
#include "cmd/demo_stage.h"

/*
 * Shows one streamed answer of the stage's gateway, and where in it the standby took over from
 * the first backend. A client cannot see that, for the answer is one; the gateway's metrics
 * tell: how many pieces came from the first, and whether a resume was counted. In color what
 * either said stands apart, with a mark between that has the gap; else only the text is
 * printed.
 */

struct demo_seam {
    bool is_crossed; /* something of the standby has been shown */
    uint64_t gap_ms; /* then: between the last of the first and that */
    size_t pieces;   /* shown */

    /* private: */
    struct demo_stage *stage; /* borrowed */
    bool in_color;
    bool is_killed;
    uint64_t shown_ms; /* when the last piece came */
};

void demo_seam_init(struct demo_seam *s, struct demo_stage *stage);

/* The next piece of content, escaped. */
void demo_seam_show(struct demo_seam *s, struct str text);

/* Says that the first backend is being killed; the seam is looked for from now on. */
void demo_seam_mark_kill(struct demo_seam *s, int pid);

/* The answer is over. */
void demo_seam_end(struct demo_seam *s);
